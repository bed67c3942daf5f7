/* SPDX-License-Identifier: ISC */
/*
 * Multiboot2 kernels: ELF images of both classes, flat ones, those that may be
 * moved, hostile ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include "load_rig.h"

#define MAGIC 0xe85250d6U
#define AT    0x200000U
#define HIGH  0xc0000000U /* where it runs */
#define TEXT  0x1000
#define LEN   0x2000
#define SYMS  0x2000 /* in an ELF file */
#define SHOFF 0x2800

enum tags { END, INFO, ADDRESS, ENTRY, CONSOLE, SIZE, ALIGN, RELOCATABLE = 10 };

/* The header, and the tags so far. */
static uint32_t head_off, head_len;

static uint32_t *
head(uint32_t off)
{
	return (uint32_t *)(image + head_off + off);
}

static void
sum(void)
{
	head(0)[0] = MAGIC;
	head(0)[2] = head_len;
	head(0)[3] = -(MAGIC + head(0)[1] + head_len);
}

static void
begin(uint32_t off)
{
	head_off = off;
	head_len = 16;
	memset(head(0), 0, 256);
}

#define TAG(type, flags, ...)                         \
	tag(type, flags, (uint32_t[]){ __VA_ARGS__ }, \
	    sizeof((uint32_t[]){ __VA_ARGS__ }))

static void
tag(unsigned type, unsigned flags, const void *words, uint32_t len)
{
	head(head_len)[0] = type | flags << 16;
	head(head_len)[1] = 8 + len;
	if (len != 0)
		memcpy(head(head_len) + 2, words, len);
	head_len += (8 + len + 7) & ~7U;
}

static void
end(void)
{
	tag(END, 0, NULL, 0);
	sum();
}

/* Where the last tag was. */
static void
more(void)
{
	head_len -= 8;
}

/* Sections: of the code, of symbols, of strings, with none in the file. */
static void
make_elf32(void)
{
	Elf32_Shdr sh[4] = {
		{ 0 },
		{ 1, SHT_PROGBITS, SHF_ALLOC, HIGH + AT, TEXT, 0x1000, 0, 0, 16,
		    0 },
		{ 7, SHT_SYMTAB, 0, 0, SYMS, 100, 3, 0, 64, 16 },
		{ 15, SHT_STRTAB, 0, 0, SYMS + 0x100, 50, 0, 0, 3, 0 },
	};

	memset(image, 0, sizeof(image));
	image_len = SHOFF + sizeof(sh);
	*(Elf32_Ehdr *)image = (Elf32_Ehdr){ .e_ident = { 0x7f, 'E', 'L', 'F',
						 ELFCLASS32, ELFDATA2LSB },
		.e_machine = EM_386,
		.e_entry = HIGH + AT + 16,
		.e_phoff = sizeof(Elf32_Ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 1,
		.e_shoff = SHOFF,
		.e_shentsize = sizeof(Elf32_Shdr),
		.e_shnum = 4,
		.e_shstrndx = 3 };
	*(Elf32_Phdr *)(image + sizeof(Elf32_Ehdr)) =
	    (Elf32_Phdr){ .p_type = PT_LOAD,
		    .p_offset = TEXT,
		    .p_vaddr = HIGH + AT,
		    .p_paddr = AT,
		    .p_filesz = 0x1000,
		    .p_memsz = 0x3000 };
	memset(image + TEXT, 0xcc, 0x1000);
	memset(image + SYMS, 0x11, 100);
	memset(image + SYMS + 0x100, 0x22, 50);
	memcpy(image + SHOFF, sh, sizeof(sh));
	begin(TEXT);
	end();
}

static Elf32_Shdr *
shdr(unsigned i)
{
	return (Elf32_Shdr *)(image + SHOFF) + i;
}

static Elf32_Phdr *
phdr(void)
{
	return (Elf32_Phdr *)(image + sizeof(Elf32_Ehdr));
}

static void
make_elf64(void)
{
	Elf64_Shdr sh[2] = {
		{ 0 },
		{ 1, SHT_STRTAB, 0, 0, SYMS, 100, 0, 0, 8, 0 },
	};

	make_elf32();
	memset(image, 0, TEXT);
	image_len = SHOFF + sizeof(sh);
	*(Elf64_Ehdr *)image = (Elf64_Ehdr){ .e_ident = { 0x7f, 'E', 'L', 'F',
						 ELFCLASS64, ELFDATA2LSB },
		.e_machine = EM_X86_64,
		.e_entry = 0xffffffff80000010,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
		.e_shoff = SHOFF,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 2,
		.e_shstrndx = 1 };
	*(Elf64_Phdr *)(image + sizeof(Elf64_Ehdr)) =
	    (Elf64_Phdr){ .p_type = PT_LOAD,
		    .p_offset = TEXT,
		    .p_vaddr = 0xffffffff80000000,
		    .p_paddr = AT,
		    .p_filesz = 0x1000,
		    .p_memsz = 0x3000 };
	memcpy(image + SHOFF, sh, sizeof(sh));
}

/* The header 0x40 into the file, the image from 0x20 on. */
static void
make_flat(void)
{
	memset(image, 0xcc, sizeof(image));
	image_len = LEN;
	begin(0x40);
	TAG(ADDRESS, 0, AT + 0x20, AT, AT + 0x1000, AT + 0x3000);
	TAG(ENTRY, 0, AT + 0x200);
	end();
}

static uint32_t
word(const struct run *r, uint64_t gpa)
{
	uint32_t v;

	assert_int_equal(
	    gmem_read(&r->mem, (struct gpa){ gpa }, &v, sizeof(v)), 0);
	return v;
}

static uint64_t
quad(const struct run *r, uint64_t gpa)
{
	return word(r, gpa) | (uint64_t)word(r, gpa + 4) << 32;
}

/* The tag of a type, 0 when there is none; all are well-formed. */
static uint32_t
find(const struct run *r, unsigned type, uint32_t len)
{
	uint32_t at = (uint32_t)r->out.rbx, stop = at + word(r, at), found = 0;

	assert_int_equal(at % 8, 0);
	assert_int_equal(word(r, at + 4), 0);
	for (at += 8; word(r, at) != 0; at += (word(r, at + 4) + 7) & ~7U) {
		assert_true(at + 8 < stop);
		if (word(r, at) != type)
			continue;
		assert_int_equal(found, 0);
		found = at;
		if (len != 0)
			assert_int_equal(word(r, at + 4), len);
	}
	assert_int_equal(word(r, at + 4), 8);
	assert_int_equal(at + 8, stop);
	return found;
}

static void
is_text(const struct run *r, uint32_t gpa, const char *want)
{
	assert_string_equal(
	    gmem_range(&r->mem, (struct gpa){ gpa }, strlen(want) + 1), want);
}

static void
check_map(const struct run *r)
{
	uint32_t at = find(r, 6, 0), stop = at + word(r, at + 4);
	uint64_t ram = 0;

	assert_int_equal(word(r, at + 8), 24);
	assert_int_equal(word(r, at + 12), 0);
	for (at += 16; at < stop; at += 24) {
		assert_int_equal(word(r, at + 20), 0);
		if (word(r, at + 16) == 1)
			ram += quad(r, at + 8);
	}
	assert_int_equal(at, stop);
	assert_int_equal(ram, r->mem.size - (MIB - LOAD_LOW_END));
}

/* 5000 bytes of initrd, 4 GiB of memory. */
static void
check_info(const struct run *r)
{
	uint32_t at, start;

	assert_int_equal(r->out.mode, LOAD_PROTECTED);
	assert_int_equal(r->out.rax, 0x36d76289);
	is_text(r, find(r, 1, 12) + 8, "a b");
	is_text(r, find(r, 2, 12) + 8, "vmd");
	at = find(r, 3, 17);
	start = word(r, at + 8);
	assert_int_equal(start % 4096, 0);
	assert_int_equal(word(r, at + 12) - start, 5000);
	assert_int_equal(word(r, start), 0x5a5a5a5a);
	is_text(r, at + 16, "");
	at = find(r, 4, 16);
	assert_int_equal(word(r, at + 8), 639);
	assert_int_equal(word(r, at + 12), 3071 * 1024);
	check_map(r);
	assert_int_not_equal(find(r, 14, 8 + 20), 0);
	assert_int_not_equal(find(r, 15, 8 + 36), 0);
	assert_int_equal(find(r, 21, 0), 0);
}

static void
elf32(void **state)
{
	uint32_t at, sh, sym, str;
	struct run r;

	make_elf32();
	assert_int_equal(load(&r, 4096 * MIB, 5000, "a b"), 0);
	assert_int_equal(r.out.rip, AT + 16);
	assert_int_equal(word(&r, AT + 0xffc), 0xcccccccc);
	assert_int_equal(word(&r, AT + 0x1000), 0);
	check_info(&r);
	at = find(&r, 9, 16 + 4 * 40);
	assert_int_equal(word(&r, at + 8), 4 | 40 << 16);
	assert_int_equal(word(&r, at + 12), 3);
	sh = at + 16;
	assert_int_equal(word(&r, sh + 40 + 12), HIGH + AT); /* its own */
	sym = word(&r, sh + 80 + 12);
	str = word(&r, sh + 120 + 12);
	assert_int_equal(sym % 64, 0);
	assert_true(sym >= AT + 0x3000 && str >= sym + 100);
	assert_int_equal(word(&r, sym + 96), 0x11111111);
	assert_int_equal(word(&r, str + 44), 0x22222222);
	gmem_destroy(&r.mem);
}

static void
elf64(void **state)
{
	struct run r;
	uint32_t at;

	make_elf64();
	assert_int_equal(load(&r, 4096 * MIB, 5000, "a b"), 0);
	assert_int_equal(r.out.rip, AT + 16);
	check_info(&r);
	at = find(&r, 9, 16 + 2 * 64);
	assert_int_equal(word(&r, at + 8), 2 | 64 << 16);
	assert_int_equal(quad(&r, at + 16 + 64 + 16), AT + 0x3000);
	assert_int_equal(word(&r, AT + 0x3000), 0x11111111);
	gmem_destroy(&r.mem);
}

static void
flat(void **state)
{
	struct run r;

	make_flat();
	assert_int_equal(load(&r, 4096 * MIB, 5000, "a b"), 0);
	assert_int_equal(r.out.rip, AT + 0x200);
	assert_int_equal(word(&r, AT + 0x20), MAGIC);
	assert_int_equal(word(&r, AT + 0xffc), 0xcccccccc);
	assert_int_equal(word(&r, AT + 0x1000), 0);
	check_info(&r);
	assert_int_equal(find(&r, 9, 0), 0);
	gmem_destroy(&r.mem);
}

/* From the file's first byte to its last, without a module. */
static void
whole_file(void **state)
{
	struct run r;

	make_flat();
	begin(0x40);
	TAG(ADDRESS, 0, AT + 0x40, UINT32_MAX, 0, 0);
	TAG(ENTRY, 0, AT + 0x200);
	end();
	assert_int_equal(load(&r, 64 * MIB, 0, ""), 0);
	assert_int_equal(word(&r, AT + 0x40), MAGIC);
	assert_int_equal(word(&r, AT + LEN - 4), 0xcccccccc);
	assert_int_equal(word(&r, AT + LEN), 0);
	assert_int_equal(find(&r, 3, 0), 0);
	is_text(&r, find(&r, 1, 9) + 8, "");
	gmem_destroy(&r.mem);
}

/* A header's wish for a screen, and the tag that says what it is. */
static void
screen(void **state)
{
	struct run r;
	uint32_t at;

	make_elf32();
	more();
	TAG(CONSOLE, 0, 3);
	end();
	load_screen = true;
	assert_int_equal(load(&r, 64 * MIB, 0, ""), 0);
	load_screen = false;
	at = find(&r, 8, 32);
	assert_int_equal(quad(&r, at + 8), 0xb8000);
	assert_int_equal(word(&r, at + 16), 160);
	assert_int_equal(word(&r, at + 20), 80);
	assert_int_equal(word(&r, at + 24), 25);
	assert_int_equal(word(&r, at + 28), 16 | 2 << 8);
	gmem_destroy(&r.mem);
}

/* What is optional, or does not matter here, is let through. */
static void
tolerated(void **state)
{
	struct run r;

	make_elf32();
	more();
	TAG(INFO, 0, 1, 5, 7, 8, 12, 13, 16, 21);
	TAG(INFO, 1, 22, 0xffff);
	TAG(CONSOLE, 0, 2);
	TAG(CONSOLE, 1, 1);
	TAG(SIZE, 0, 1024, 768, 32);
	tag(ALIGN, 0, NULL, 0);
	tag(7, 0, NULL, 0);
	TAG(8, 0, 1);
	TAG(9, 0, 1);
	TAG(11, 1, 1);
	TAG(999, 1, 1);
	end();
	assert_int_equal(load(&r, 64 * MIB, 5000, ""), 0);
	assert_int_equal(find(&r, 8, 0), 0);
	gmem_destroy(&r.mem);
}

/* "Relocatable header tag", in 64 MiB. */
static const struct {
	const char *name;
	void (*make)(void);
	uint32_t min, max, align, preference, at;
} moves[] = {
	{ "as it is", make_elf32, 0, UINT32_MAX, 4096, 0, AT },
	{ "not aligned", make_elf32, 0, UINT32_MAX, 0x400000, 0, 0x400000 },
	{ "too low", make_elf32, 0x300001, UINT32_MAX, 4096, 0, 0x301000 },
	{ "too high", make_elf32, 0, 0x180000, 4096, 0, 0x100000 },
	{ "lowest", make_elf32, 0, UINT32_MAX, 0, 1, 0x100000 },
	{ "highest", make_elf32, 0, UINT32_MAX, 0x10000, 2, 0x3ff0000 },
	{ "highest, to", make_elf32, 0, 0x1003fff, 0x1000, 2, 0x1000000 },
	{ "just one", make_elf32, AT, AT + 0x3000, AT, 0, AT },
	{ "ELF64", make_elf64, 0, 0x1003fff, 0x1000, 2, 0x1000000 },
	{ "flat", make_flat, 0, UINT32_MAX, 0x10000, 2, 0x3ff0000 },
	{ "flat, lowest", make_flat, 0x108000, 0xfffff000, 0x10000, 1,
	    0x110000 },
};

static void
moved(void **state)
{
	uint32_t start;
	struct run r;
	size_t i;

	for (i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
		moves[i].make();
		more();
		TAG(RELOCATABLE, 0, moves[i].min, moves[i].max, moves[i].align,
		    moves[i].preference);
		end();
		if (load(&r, 64 * MIB, 5000, "") != 0)
			fail_msg("%s: %s", moves[i].name, r.why);
		if (word(&r, find(&r, 21, 12) + 8) != moves[i].at)
			fail_msg("%s: at %#x", moves[i].name,
			    word(&r, find(&r, 21, 12) + 8));
		assert_int_equal(r.out.rip - moves[i].at,
		    moves[i].make == make_flat ? 0x200 : 16);
		assert_int_equal(word(&r, moves[i].at + 0xffc), 0xcccccccc);
		start = word(&r, find(&r, 3, 17) + 8);
		assert_true(start >= moves[i].at + 0x3000 ||
		    start + 5000 <= moves[i].at);
		assert_int_equal(word(&r, start), 0x5a5a5a5a);
		gmem_destroy(&r.mem);
	}
}

/* Linked at 0: it must be moved, and can be. */
static void
moved_from_nothing(void **state)
{
	struct run r;

	make_elf32();
	phdr()->p_paddr = 0;
	more();
	TAG(RELOCATABLE, 0, 0, UINT32_MAX, 4096, 0);
	TAG(ENTRY, 0, 32);
	end();
	assert_int_equal(load(&r, 64 * MIB, 0, ""), 0);
	assert_int_equal(r.out.rip, MIB + 32);
	assert_int_equal(word(&r, MIB + 0xffc), 0xcccccccc);
	gmem_destroy(&r.mem);
}

/* A ROM's length does not make firmware of one. */
static void
not_firmware(void **state)
{
	int fd;

	make_flat();
	fd = memfile(image, image_len);
	assert_int_equal(ftruncate(fd, 65536), 0);
	assert_int_equal(pwrite(fd, "\352", 1, 65536 - 16), 1);
	assert_int_equal(load_is_firmware(fd), 0);
	close(fd);
}

static void
h_sum(void)
{
	head(0)[3]++;
}
static void
h_odd(void)
{
	memmove(image + head_off + 4, image + head_off, 128);
}
static void
h_arch(void)
{
	head(0)[1] = 4;
	sum();
}
static void
h_short(void)
{
	head_len = 8;
	sum();
}
static void
h_long(void)
{
	head_len = 32768;
	sum();
}
static void
h_cut(void)
{
	image_len = head_off + 24;
}
static void
h_no_end(void)
{
	more();
	sum();
}
static void
t_short(void)
{
	head(16)[1] = 7;
}
static void
t_beyond(void)
{
	head(16)[1] = head_len - 15;
}
static void
t_huge(void)
{
	head(16)[1] = UINT32_MAX;
}
static void
t_address(void)
{
	head(16)[1] = 20;
}
static void
t_unknown(void)
{
	more();
	TAG(11, 0, 1);
	end();
}
static void
t_type(void)
{
	more();
	TAG(0x8001, 0, 1);
	end();
}
static void
t_info(void)
{
	more();
	TAG(INFO, 0, 1, 2, 22);
	end();
}
static void
t_console(void)
{
	more();
	TAG(CONSOLE, 0, 3);
	end();
}
static void
t_align(void)
{
	more();
	TAG(RELOCATABLE, 0, 0, UINT32_MAX, 4095, 0);
	end();
}
static void
t_room(void)
{
	more();
	TAG(RELOCATABLE, 0, 0, 0x102fff, 4096, 0);
	end();
}
static void
t_window(void)
{
	more();
	TAG(RELOCATABLE, 0, 0x201000, 0x204fff, 0x4000, 1);
	end();
}
static void
a_plain(void)
{
	begin(0x40);
	end();
}
static void
a_no_entry(void)
{
	begin(0x40);
	TAG(ADDRESS, 0, AT + 0x20, AT, AT + 0x1000, AT + 0x3000);
	end();
}
static void
a_load(void)
{
	head(16)[3] = head(16)[2] + 1;
}
static void
a_before(void)
{
	head(16)[3] = AT - 0x21;
}
static void
a_start(void)
{
	head(16)[2] = 0x3f;
	head(16)[3] = UINT32_MAX;
}
static void
a_end(void)
{
	head(16)[4] = AT + LEN;
}
static void
a_low(void)
{
	head(16)[2] = 0x7020;
	head(16)[3] = 0x7000;
	head(16)[4] = 0x8000;
}
static void
a_bss(void)
{
	head(16)[5] = UINT32_MAX;
}
static void
a_entry(void)
{
	head(40)[2] = AT + 0x3000;
}
static void
e_low(void)
{
	phdr()->p_paddr = 0x7000;
}
static void
e_segment(void)
{
	phdr()->p_filesz = 0x4000;
	phdr()->p_offset = 0;
	image_len = sizeof(image);
}
static void
e_empty(void)
{
	phdr()->p_type = PT_NULL;
}
static void
e_entry(void)
{
	more();
	TAG(ENTRY, 0, AT - 1);
	end();
}
static void
e_wraps(void)
{
	make_elf64();
	((Elf64_Phdr *)(image + sizeof(Elf64_Ehdr)))->p_paddr = -4096UL;
}
static void
s_size(void)
{
	((Elf32_Ehdr *)image)->e_shentsize = 64;
}
static void
s_many(void)
{
	((Elf32_Ehdr *)image)->e_shnum = 513;
}
static void
s_cut(void)
{
	image_len--;
}
static void
s_offset(void)
{
	((Elf32_Ehdr *)image)->e_shoff = UINT32_MAX;
}
static void
s_beyond(void)
{
	shdr(2)->sh_offset = 0x10000;
}
static void
s_large(void)
{
	shdr(3)->sh_size = UINT32_MAX;
}

static const struct bad {
	const char *name;
	void (*make)(void);
	void (*spoil)(void);
	int error;
	const char *why;
} bad[] = {
	{ "sum", make_flat, h_sum, -ENOEXEC, "not a kernel image" },
	{ "not aligned", make_flat, h_odd, -ENOEXEC, "not a kernel image" },
	{ "MIPS", make_flat, h_arch, -ENOEXEC,
	    "header at 0x40: for another architecture, 4" },
	{ "short", make_flat, h_short, -ENOEXEC, "0x40: bad length 8" },
	{ "long", make_flat, h_long, -ENOEXEC, "0x40: bad length 32768" },
	{ "cut", make_flat, h_cut, -ENODATA, "truncated: multiboot2 header" },
	{ "no last tag", make_flat, h_no_end, -ENOEXEC, "no last tag in its" },
	{ "tag, short", make_flat, t_short, -ENOEXEC, "bad length of tag 2" },
	{ "tag, beyond", make_flat, t_beyond, -ENOEXEC, "bad length of tag 2" },
	{ "tag, huge", make_flat, t_huge, -ENOEXEC, "bad length of tag 2" },
	{ "tag, addresses", make_flat, t_address, -ENOEXEC,
	    "bad length of tag 2" },
	{ "tag, unknown", make_flat, t_unknown, -ENOEXEC, "unknown tag 11" },
	{ "tag, type", make_flat, t_type, -ENOEXEC, "unknown tag 32769" },
	{ "information", make_flat, t_info, -ENOEXEC,
	    "wants information of unknown kind 22" },
	{ "screen", make_flat, t_console, -ENOEXEC,
	    "wants a screen that there is not" },
	{ "no addresses", make_flat, a_plain, -ENOEXEC,
	    "header at 0x40 without addresses" },
	{ "no entry", make_flat, a_no_entry, -ENOEXEC,
	    "without an entry point" },
	{ "loaded behind it", make_flat, a_load, -ENOEXEC, "not in the file" },
	{ "before the file", make_flat, a_before, -ENOEXEC, "not in the file" },
	{ "file before 0", make_flat, a_start, -ENOEXEC, "not in the file" },
	{ "end", make_flat, a_end, -ENODATA,
	    "truncated: 0x200000 to 0x202000" },
	{ "low", make_flat, a_low, -ENOEXEC, "at 0x7000, wants memory below" },
	{ "bss", make_flat, a_bss, -ENOSPC, "64 MiB of memory: to 0xffffffff" },
	{ "entry", make_flat, a_entry, -ENOEXEC, "bad entry point 0x203000" },
	{ "alignment", make_flat, t_align, -ENOEXEC, "multiples of 0xfff, no" },
	{ "no room", make_elf32, t_room, -ENOSPC,
	    "64 MiB of memory: 0x3000 bytes from 0 to 0x102fff" },
	{ "no room at multiples", make_elf32, t_window, -ENOSPC,
	    "0x3000 bytes from 0x201000 to 0x204fff" },
	{ "ELF sum", make_elf32, h_sum, -ENOEXEC, "no multiboot header" },
	{ "ELF low", make_elf32, e_low, -ENOEXEC, "segment 0, at 0x7000" },
	{ "ELF segment", make_elf32, e_segment, -ENOEXEC,
	    "segment 0 has more" },
	{ "ELF empty", make_elf32, e_empty, -ENOEXEC, "no code in it" },
	{ "ELF entry", make_elf32, e_entry, -ENOEXEC, "point 0x1fffff" },
	{ "ELF wraps", make_elf32, e_wraps, -ENOEXEC, "segment 0, 0x3000" },
	{ "sections, size", make_elf32, s_size, -ENOEXEC, "4 of 64 bytes" },
	{ "sections, many", make_elf32, s_many, -ENOEXEC, "513 of 40 bytes" },
	{ "sections, cut", make_elf32, s_cut, -ENODATA,
	    "truncated: section headers at 0x2800" },
	{ "sections, offset", make_elf32, s_offset, -ENODATA,
	    "section headers at 0xffffffff" },
	{ "section, beyond", make_elf32, s_beyond, -ENODATA,
	    "section 2 has 0x64 bytes at 0x10000" },
	{ "section, large", make_elf32, s_large, -ENOSPC,
	    "section 3, 0xffffffff bytes" },
};

static void
hostile(void **state)
{
	struct run r;
	size_t i;
	int e;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bad[i].make();
		bad[i].spoil();
		memset(&r.out, 0x77, sizeof(r.out));
		e = load(&r, 64 * MIB, 0, "");
		if (e != bad[i].error || strstr(r.why, bad[i].why) == NULL)
			fail_msg("%s: %d, \"%s\"", bad[i].name, e, r.why);
		assert_null(strchr(r.why, '\n'));
		assert_int_equal(r.out.rsi, 0x7777777777777777);
		gmem_destroy(&r.mem);
	}
}

/* A command line, and a module, that do not fit. */
static void
too_large(void **state)
{
	char line[4097];
	struct run r;

	memset(line, 'x', 4096);
	line[4096] = '\0';
	make_elf32();
	assert_int_equal(load(&r, 64 * MIB, 0, line), -E2BIG);
	gmem_destroy(&r.mem);
	line[4095] = '\0';
	assert_int_equal(load(&r, 64 * MIB, 0, line), 0);
	is_text(&r, find(&r, 1, 8 + 4096) + 8, line);
	gmem_destroy(&r.mem);
	assert_int_equal(load(&r, 4 * MIB, 2 * MIB, ""), -ENOSPC);
	assert_non_null(strstr(r.why, "initrd: does not fit"));
	gmem_destroy(&r.mem);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elf32),
		cmocka_unit_test(elf64),
		cmocka_unit_test(flat),
		cmocka_unit_test(whole_file),
		cmocka_unit_test(screen),
		cmocka_unit_test(tolerated),
		cmocka_unit_test(moved),
		cmocka_unit_test(moved_from_nothing),
		cmocka_unit_test(not_firmware),
		cmocka_unit_test(hostile),
		cmocka_unit_test(too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
