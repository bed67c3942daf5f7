/* SPDX-License-Identifier: ISC */
/* Multiboot kernels: ELF images, flat ones, hostile ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include "load_rig.h"

#define MAGIC 0x1badb002U
#define AT    0x200000U
#define TEXT  0x1000
#define LEN   0x2000

static Elf32_Ehdr *
ehdr(void)
{
	return (Elf32_Ehdr *)image;
}

static Elf32_Phdr *
phdr(void)
{
	return (Elf32_Phdr *)(image + sizeof(Elf32_Ehdr));
}

static uint32_t head_off;

static uint32_t *
head(void)
{
	return (uint32_t *)(image + head_off);
}

static void
put_head(uint32_t off, uint32_t flags)
{
	head_off = off;
	memcpy(head(), (uint32_t[]){ MAGIC, flags, -(MAGIC + flags) }, 12);
}

/* Linked for high addresses, loaded at low ones. */
static void
make_elf(void)
{
	memset(image, 0, sizeof(image));
	image_len = TEXT + 0x1000;
	*ehdr() = (Elf32_Ehdr){ .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32,
				    ELFDATA2LSB },
		.e_machine = EM_386,
		.e_entry = 0xc0000000 + AT + 16,
		.e_phoff = sizeof(Elf32_Ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 1 };
	*phdr() = (Elf32_Phdr){ .p_type = PT_LOAD,
		.p_offset = TEXT,
		.p_vaddr = 0xc0000000 + AT,
		.p_paddr = AT,
		.p_filesz = 0x1000,
		.p_memsz = 0x3000 };
	memset(image + TEXT, 0xcc, 0x1000);
	put_head(TEXT, 3);
}

/* The header 0x40 into the file, the image from 0x20 on. */
static void
make_flat(void)
{
	memset(image, 0xcc, sizeof(image));
	image_len = LEN;
	put_head(0x40, 0x10003);
	memcpy(head() + 3,
	    (uint32_t[]){ AT + 0x20, AT, AT + 0x1000, AT + 0x3000, AT + 0x80 },
	    20);
}

static uint32_t
word(const struct run *r, uint64_t gpa)
{
	uint32_t v;

	assert_int_equal(
	    gmem_read(&r->mem, (struct gpa){ gpa }, &v, sizeof(v)), 0);
	return v;
}

static void
is_text(const struct run *r, uint32_t gpa, const char *want)
{
	assert_string_equal(
	    gmem_range(&r->mem, (struct gpa){ gpa }, strlen(want) + 1), want);
}

/* 5000 bytes of initrd. */
static void
check_info(const struct run *r)
{
	uint64_t i = r->out.rbx, ram = 0;
	uint32_t at, end, mod = word(r, i + 24);

	assert_int_equal(r->out.mode, LOAD_PROTECTED);
	assert_int_equal(r->out.rax, 0x2badb002);
	assert_int_equal(word(r, i), 0x24d);
	assert_int_equal(word(r, i + 4), 639);
	assert_int_equal(word(r, i + 8), 3071 * 1024);
	is_text(r, word(r, i + 16), "a b");
	is_text(r, word(r, i + 64), "vmd");
	assert_int_equal(word(r, i + 20), 1);
	assert_int_equal(word(r, mod) % 4096, 0);
	assert_int_equal(word(r, mod + 4) - word(r, mod), 5000);
	assert_int_equal(word(r, word(r, mod)), 0x5a5a5a5a);
	is_text(r, word(r, mod + 8), "");
	at = word(r, i + 48);
	for (end = at + word(r, i + 44); at < end; at += word(r, at) + 4) {
		assert_int_equal(word(r, at), 20);
		if (word(r, at + 20) == 1)
			ram +=
			    word(r, at + 12) | (uint64_t)word(r, at + 16) << 32;
	}
	assert_int_equal(at, end);
	assert_int_equal(ram, r->mem.size - (MIB - LOAD_LOW_END));
}

static void
elf(void **state)
{
	struct run r;

	make_elf();
	assert_int_equal(load(&r, 4096 * MIB, 5000, "a b"), 0);
	assert_int_equal(r.out.rip, AT + 16);
	assert_int_equal(word(&r, AT + 0xffc), 0xcccccccc);
	assert_int_equal(word(&r, AT + 0x1000), 0);
	check_info(&r);
	gmem_destroy(&r.mem);
}

static void
flat(void **state)
{
	struct run r;

	make_flat();
	assert_int_equal(load(&r, 4096 * MIB, 5000, "a b"), 0);
	assert_int_equal(r.out.rip, AT + 0x80);
	assert_int_equal(word(&r, AT + 0x20), MAGIC);
	assert_int_equal(word(&r, AT + 0xffc), 0xcccccccc);
	assert_int_equal(word(&r, AT + 0x1000), 0);
	check_info(&r);
	gmem_destroy(&r.mem);
}

/* Zeros for the ends: the file's own, and no bss. */
static void
whole_file(void **state)
{
	struct run r;

	make_flat();
	head()[5] = head()[6] = 0;
	assert_int_equal(load(&r, 64 * MIB, 0, ""), 0);
	assert_int_equal(word(&r, AT + LEN - 0x20 - 4), 0xcccccccc);
	assert_int_equal(word(&r, AT + LEN - 0x20), 0);
	assert_int_equal(word(&r, r.out.rbx + 20), 0);
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
	head()[2]++;
}
static void
h_odd(void)
{
	memmove(image + head_off + 2, image + head_off, 32);
}
static void
h_late(void)
{
	memset(image + head_off, 0, 32);
	image_len = sizeof(image);
	put_head(8192 - 8, 3);
}
static void
h_cut(void)
{
	image_len = head_off + 20;
}
static void
h_video(void)
{
	put_head(head_off, 0x10007);
}
static void
h_plain(void)
{
	put_head(head_off, 3);
}
static void
a_load(void)
{
	head()[4] = head()[3] + 1;
}
static void
a_before(void)
{
	head()[4] = AT - 0x21;
}
static void
a_end(void)
{
	head()[5] = AT + LEN;
}
static void
a_backwards(void)
{
	head()[5] = AT - 1;
}
static void
a_low(void)
{
	head()[3] = 0x7020;
	head()[4] = 0x7000;
	head()[5] = 0x8000;
}
static void
a_high(void)
{
	head()[3] = 0xffffff20;
	head()[4] = 0xffffff00;
	head()[5] = 0;
}
static void
a_bss(void)
{
	head()[6] = UINT32_MAX;
}
static void
a_entry(void)
{
	head()[7] = AT + 0x3000;
}
static void
a_entry_low(void)
{
	head()[7] = 0x7000;
}
static void
e_entry(void)
{
	ehdr()->e_entry = 0xc0000000 + AT + 0x3000;
}
static void
e_paddr(void)
{
	phdr()->p_paddr = 0xffffff00;
}
static void
e_video(void)
{
	put_head(head_off, 0x8000);
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
	{ "beyond 8 KiB", make_flat, h_late, -ENOEXEC, "not a kernel image" },
	{ "addresses cut", make_flat, h_cut, -ENOEXEC, "not a kernel image" },
	{ "video", make_flat, h_video, -ENOEXEC,
	    "header at 0x40 wants what there is not: flags 0x10007" },
	{ "no addresses", make_flat, h_plain, -ENOEXEC,
	    "header at 0x40 without addresses" },
	{ "loaded behind it", make_flat, a_load, -ENOEXEC, "not in the file" },
	{ "before the file", make_flat, a_before, -ENOEXEC, "not in the file" },
	{ "end", make_flat, a_end, -ENODATA,
	    "truncated: 0x200000 to 0x202000, from 0x20" },
	{ "end first", make_flat, a_backwards, -ENODATA, "truncated: 0x20000" },
	{ "low", make_flat, a_low, -ENOEXEC, "at 0x7000, wants memory below" },
	{ "wraps", make_flat, a_high, -ENOSPC, "to 0x100001ee0" },
	{ "bss", make_flat, a_bss, -ENOSPC, "64 MiB of memory: to 0xffffffff" },
	{ "entry", make_flat, a_entry, -ENOEXEC, "bad entry point 0x203000" },
	{ "entry low", make_flat, a_entry_low, -ENOEXEC, "point 0x7000" },
	{ "ELF sum", make_elf, h_sum, -ENOEXEC, "no multiboot header" },
	{ "ELF entry", make_elf, e_entry, -ENOEXEC, "bad entry point 0xc020" },
	{ "ELF paddr", make_elf, e_paddr, -ENOSPC, "segment 0, 0x3000 bytes" },
	{ "ELF wants", make_elf, e_video, -ENOEXEC, "flags 0x8000" },
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elf),
		cmocka_unit_test(flat),
		cmocka_unit_test(whole_file),
		cmocka_unit_test(not_firmware),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
