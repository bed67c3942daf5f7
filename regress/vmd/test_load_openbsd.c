/* SPDX-License-Identifier: ISC */
/* OpenBSD's kernels, compressed ones, hostile ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <zlib.h>
#include "load_elf.h"
#include "load_rig.h"

#define VIRT	0xffffffff81000000ULL /* as amd64's are linked */
#define PHYS	0x1000000ULL
#define TEXT	0x1000 /* in the file */
#define DATA	0x2000
#define DATA_AT (PHYS + 0x200000)
#define BSS	0x3000
#define RANDOM	0x100 /* within the data */
#define SYMS	0x2800
#define STRS	0x2900
#define NAMES	0x2a00
#define LINES	0x2b00
#define SHDRS	0x3000
#define END	(DATA_AT + BSS)
#define WORD(n) (((n) + 7) & ~7ULL)

static const char names[] = "\0.symtab\0.strtab\0.shstrtab\0.debug_line\0.x";
enum { NONE, SYMTAB, STRTAB, SHSTRTAB, DEBUG, OTHER, SECTIONS };

static Elf64_Ehdr *
ehdr(void)
{
	return (Elf64_Ehdr *)image;
}

static Elf64_Phdr *
phdr(unsigned i)
{
	return (Elf64_Phdr *)(image + sizeof(Elf64_Ehdr)) + i;
}

static Elf64_Shdr *
shdr(unsigned i)
{
	return (Elf64_Shdr *)(image + SHDRS) + i;
}

static void
section(unsigned i, unsigned name, uint32_t type, uint64_t off, uint64_t size)
{
	*shdr(i) = (Elf64_Shdr){ .sh_name = name,
		.sh_type = type,
		.sh_offset = off,
		.sh_size = size };
}

static void
make(void)
{
	memset(image, 0, sizeof(image));
	image_len = SHDRS + SECTIONS * sizeof(Elf64_Shdr);
	*ehdr() = (Elf64_Ehdr){ .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64,
				    ELFDATA2LSB },
		.e_machine = EM_X86_64,
		.e_entry = VIRT + 0x10,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 3,
		.e_shoff = SHDRS,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = SECTIONS,
		.e_shstrndx = SHSTRTAB };
	/* The random bytes before what they are in. */
	*phdr(0) = (Elf64_Phdr){ .p_type = PT_OPENBSD_RANDOMIZE,
		.p_offset = DATA + RANDOM,
		.p_paddr = DATA_AT + RANDOM,
		.p_filesz = 64,
		.p_memsz = 64 };
	*phdr(1) = (Elf64_Phdr){ .p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_offset = TEXT,
		.p_paddr = 0xffffffff00000000ULL | PHYS,
		.p_filesz = 4096,
		.p_memsz = 4096 };
	*phdr(2) = (Elf64_Phdr){ .p_type = PT_LOAD,
		.p_flags = PF_R | PF_W,
		.p_offset = DATA,
		.p_paddr = DATA_AT,
		.p_filesz = 0x800,
		.p_memsz = BSS };
	memset(image + TEXT, 0xcc, 4096);
	memset(image + SYMS, 0x51, 0x30);
	memset(image + STRS, 0x52, 0x0b);
	memset(image + LINES, 0x53, 5);
	memcpy(image + NAMES, names, sizeof(names));
	section(NONE, 0, SHT_NULL, 0, 0);
	section(SYMTAB, 1, SHT_SYMTAB, SYMS, 0x30);
	section(STRTAB, 9, SHT_STRTAB, STRS, 0x0b);
	section(SHSTRTAB, 17, SHT_STRTAB, NAMES, sizeof(names));
	section(DEBUG, 27, SHT_PROGBITS, LINES, 5);
	section(OTHER, 39, SHT_PROGBITS, LINES, 5);
}

/* The same, ELF32, without symbols. */
static void
make32(void)
{
	Elf32_Ehdr e = { .e_machine = EM_386,
		.e_entry = 0xd1000010,
		.e_phoff = sizeof(e),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 2 };
	Elf32_Phdr p[2] = {
		{ .p_type = PT_LOAD,
		    .p_flags = PF_R | PF_X,
		    .p_offset = TEXT,
		    .p_paddr = 0xd1000000,
		    .p_filesz = 4096,
		    .p_memsz = 8190 },
		{ .p_type = PT_OPENBSD_RANDOMIZE,
		    .p_offset = TEXT,
		    .p_paddr = 0xd1000100,
		    .p_filesz = 64 },
	};

	make();
	memset(image, 0, TEXT);
	memcpy(e.e_ident, ELFMAG, SELFMAG);
	e.e_ident[EI_CLASS] = ELFCLASS32;
	e.e_ident[EI_DATA] = ELFDATA2LSB;
	memcpy(image, &e, sizeof(e));
	memcpy(image + sizeof(e), p, sizeof(p));
}

static void
gzip_image(void)
{
	static uint8_t out[sizeof(image)];
	z_stream z = { .next_in = image,
		.avail_in = (uInt)image_len,
		.next_out = out,
		.avail_out = sizeof(out) };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8,
			     Z_DEFAULT_STRATEGY),
	    Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	image_len = sizeof(out) - z.avail_out;
	memcpy(image, out, image_len);
	deflateEnd(&z);
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

static const uint8_t *
at(const struct run *r, uint64_t gpa, size_t len)
{
	const uint8_t *p = gmem_range(&r->mem, (struct gpa){ gpa }, len);

	assert_non_null(p);
	return p;
}

/* Arguments by the stack, and where they point. */
static void
check_args(const struct run *r, uint64_t end)
{
	uint64_t sp = r->out.rsp, args, ram = 0;
	uint32_t len, map, off;

	assert_int_equal(word(r, sp + 4), 0);
	assert_int_equal(word(r, sp + 8), 0xa0000004);
	assert_int_equal(word(r, sp + 12), 0x0e);
	assert_int_equal(word(r, sp + 16), end);
	assert_int_equal(quad(r, sp + 20), 0);
	len = word(r, sp + 28);
	args = word(r, sp + 32);
	assert_int_equal(word(r, args), 0);
	map = word(r, args + 4);
	assert_int_equal(word(r, args + 8), map);
	assert_int_equal((map - 12) % 20, 0);
	for (off = 12; word(r, args + off + 16) != 0; off += 20)
		if (word(r, args + off + 16) == 1)
			ram += quad(r, args + off + 8);
	assert_int_equal(off + 20, map);
	assert_int_equal(ram, r->mem.size - (MIB - LOAD_LOW_END));
	assert_int_equal(word(r, args + map), 5);
	assert_int_equal(word(r, args + map + 4), 44);
	assert_int_equal(word(r, args + map + 12), 0x800);
	assert_int_equal(word(r, args + map + 16), 115200);
	assert_int_equal(quad(r, args + map + 20), 0x3f8);
	assert_int_equal(word(r, args + map + 44), UINT32_MAX);
	assert_int_equal(len, map + 44 + 4);
}

static void
check_syms(const struct run *r)
{
	uint64_t base = WORD(END), sh = base + sizeof(Elf64_Ehdr), off;
	const Elf64_Ehdr *e = (const Elf64_Ehdr *)at(r, base, sizeof(*e));
	const Elf64_Shdr *s =
	    (const Elf64_Shdr *)at(r, sh, SECTIONS * sizeof(*s));

	assert_memory_equal(e->e_ident, image, SELFMAG);
	assert_int_equal(e->e_phnum, 0);
	assert_int_equal(e->e_phoff, 0);
	assert_int_equal(e->e_shoff, sizeof(*e));
	assert_int_equal(e->e_shnum, SECTIONS);
	off = sizeof(*e) + SECTIONS * sizeof(*s);
	assert_int_equal(s[SYMTAB].sh_offset, off);
	assert_true((s[SYMTAB].sh_flags & SHF_ALLOC) != 0);
	assert_int_equal(*at(r, base + off + 0x2f, 1), 0x51);
	assert_int_equal(s[STRTAB].sh_offset, off + 0x30);
	assert_int_equal(*at(r, base + off + 0x30, 1), 0x52);
	assert_int_equal(s[SHSTRTAB].sh_offset, off + 0x40);
	assert_int_equal(s[DEBUG].sh_offset, off + 0x40 + WORD(sizeof(names)));
	assert_int_equal(*at(r, base + s[DEBUG].sh_offset, 1), 0x53);
	/* What the kernel does not look for stays away. */
	assert_int_equal(s[OTHER].sh_offset, LINES);
	assert_int_equal(s[OTHER].sh_flags, 0);
}

static void
check_random(const struct run *r, uint64_t gpa)
{
	const uint8_t *p = at(r, gpa, 64);
	unsigned i, n = 0;

	for (i = 0; i < 64; i++)
		n += p[i] != image[TEXT] && p[i] != 0;
	assert_in_range(n, 33, 64);
}

static void
elf64(void **state)
{
	struct run r;
	uint64_t i;

	make();
	assert_int_equal(load(&r, 4096 * MIB, 0, ""), 0);
	assert_int_equal(r.out.mode, LOAD_BSD64);
	assert_int_equal(r.out.rip, PHYS + 0x10);
	assert_int_equal(*at(&r, PHYS + 4095, 1), 0xcc);
	check_random(&r, DATA_AT + RANDOM);
	check_syms(&r);
	check_args(&r,
	    WORD(END) + sizeof(Elf64_Ehdr) + SECTIONS * sizeof(Elf64_Shdr) +
		0x30 + 0x10 + WORD(sizeof(names)) + 8);
	assert_int_equal(quad(&r, r.out.cr3), (r.out.cr3 + 4096) | 7);
	assert_int_equal(quad(&r, r.out.cr3 + 4096), (r.out.cr3 + 8192) | 7);
	for (i = 1; i < 512; i++) {
		assert_int_equal(quad(&r, r.out.cr3 + 8 * i), 0);
		assert_int_equal(quad(&r, r.out.cr3 + 4096 + 8 * i), 0);
	}
	for (i = 0; i < 512; i++)
		assert_int_equal(
		    quad(&r, r.out.cr3 + 8192 + 8 * i), i << 21 | 0x87);
	gmem_destroy(&r.mem);
}

static void
elf32(void **state)
{
	struct run r;
	uint32_t i;

	make32();
	assert_int_equal(load(&r, 64 * MIB, 0, ""), 0);
	assert_int_equal(r.out.mode, LOAD_BSD32);
	assert_int_equal(r.out.rip, PHYS + 0x10);
	check_args(&r, PHYS + 8192 + sizeof(Elf32_Ehdr));
	assert_int_equal(word(&r, PHYS + 8192), 0x464c457f);
	check_random(&r, PHYS + 0x100);
	for (i = 0; i < 1024; i++)
		assert_int_equal(word(&r, r.out.cr3 + 4 * i), i << 22 | 0x87);
	gmem_destroy(&r.mem);
}

/* Without a symbol table the names are of no use. */
static void
stripped(void **state)
{
	struct run r;

	make();
	shdr(SYMTAB)->sh_type = SHT_PROGBITS;
	assert_int_equal(load(&r, 64 * MIB, 0, ""), 0);
	check_args(
	    &r, WORD(END) + sizeof(Elf64_Ehdr) + SECTIONS * sizeof(Elf64_Shdr));
	gmem_destroy(&r.mem);
}

static void
compressed(void **state)
{
	struct run r;

	make();
	gzip_image();
	assert_int_equal(load(&r, 64 * MIB, 0, ""), 0);
	assert_int_equal(r.out.mode, LOAD_BSD64);
	assert_int_equal(*at(&r, PHYS + 4095, 1), 0xcc);
	make();
	check_syms(&r);
	gmem_destroy(&r.mem);
}

/* Hostile and wrong images: each a change to a good one. */
static void
p_over(void)
{
	phdr(2)->p_paddr = PHYS + 4095;
}
static void
p_alias(void)
{
	phdr(2)->p_paddr = 0x40000000ULL + PHYS;
}
static void
p_low(void)
{
	phdr(1)->p_paddr = 0x10000000ULL + 0x9000;
}
static void
p_high(void)
{
	phdr(2)->p_paddr = 0x4000000;
}
static void
p_huge(void)
{
	phdr(2)->p_memsz = UINT64_MAX - PHYS;
}
static void
p_wrap(void)
{
	phdr(2)->p_paddr = UINT64_MAX - 16;
}
static void
p_noflags(void)
{
	phdr(1)->p_flags = phdr(2)->p_flags = 0;
}
static void
p_entry(void)
{
	ehdr()->e_entry = VIRT + 0x300000;
}
static void
p_entry_low(void)
{
	ehdr()->e_entry = 0x9000;
}
static void
r_far(void)
{
	phdr(0)->p_paddr = END - 63;
}
static void
r_low(void)
{
	phdr(0)->p_paddr = 0x9000;
}
static void
r_cut(void)
{
	phdr(0)->p_filesz = UINT64_MAX;
}
static void
s_entsize(void)
{
	ehdr()->e_shentsize = 1;
}
static void
s_many(void)
{
	ehdr()->e_shnum = UINT16_MAX;
}
static void
s_names(void)
{
	ehdr()->e_shstrndx = SECTIONS;
}
static void
s_off(void)
{
	ehdr()->e_shoff = UINT64_MAX - 63;
}
static void
s_size(void)
{
	shdr(STRTAB)->sh_size = UINT64_MAX;
}
static void
s_where(void)
{
	shdr(SYMTAB)->sh_offset = UINT64_MAX - 1;
}
static void
s_full(void)
{
	phdr(2)->p_memsz = 64 * MIB - DATA_AT - 16;
}
static void
s_full_later(void)
{
	phdr(2)->p_memsz = 64 * MIB - DATA_AT - 64 - 6 * 64 - 16;
}
static void
z_cut(void)
{
	gzip_image();
	image_len -= 9;
}
static void
z_head(void)
{
	gzip_image();
	image_len = 5;
}
static void
z_crc(void)
{
	gzip_image();
	image[image_len - 6] ^= 1;
}
static void
z_flags(void)
{
	gzip_image();
	image[3] = 0xe0;
}
static void
z_twice(void)
{
	gzip_image();
	gzip_image();
}
static void
z_not_elf(void)
{
	image[0] = 0;
	gzip_image();
}

static const struct bad {
	const char *name;
	void (*spoil)(void);
	int error;
	const char *why;
} bad[] = {
	{ "overlap", p_over, -ENOEXEC,
	    "segments 1 and 2 overlap at 0x1000fff" },
	{ "overlap by the mask", p_alias, -ENOEXEC,
	    "segments 1 and 2 overlap at 0x1000000" },
	{ "low", p_low, -ENOEXEC, "segment 1, at 0x9000, wants memory below" },
	{ "high", p_high, -ENOSPC, "64 MiB of memory: segment 2, 0x3000" },
	{ "memsz", p_huge, -ENOSPC, "64 MiB of memory: segment 2" },
	{ "wraps", p_wrap, -ENOSPC, "segment 2, 0x3000 bytes at 0xfffffef" },
	{ "flags", p_noflags, -ENOEXEC, "no code in it" },
	{ "entry", p_entry, -ENOEXEC, "bad entry point 0x1300000" },
	{ "low entry", p_entry_low, -ENOEXEC, "bad entry point 0x9000" },
	{ "random past the end", r_far, -ENOEXEC,
	    "random bytes outside of it" },
	{ "random on us", r_low, -ENOEXEC, "segment 0, 0x40 at 0x9000" },
	{ "random bytes", r_cut, -ENODATA, "truncated: segment 0 has" },
	{ "section headers' size", s_entsize, -ENOEXEC, "headers: 6 of 1 byt" },
	{ "section headers", s_many, -ENOEXEC, "65535 of 64" },
	{ "names", s_names, -ENOEXEC, "names in section 6 of 6" },
	{ "shoff", s_off, -ENODATA, "section headers at 0xffffffffffffffc0" },
	{ "section's size", s_size, -ENODATA, "truncated: section 2 has" },
	{ "section's offset", s_where, -ENODATA, "truncated: section 1 has" },
	{ "no room for headers", s_full, -ENOSPC, "does not fit in 64 MiB" },
	{ "no room for symbols", s_full_later, -ENOSPC, "section 1, 0x30" },
	{ "gzip cut", z_cut, -ENODATA, "gzip data ends early, at" },
	{ "gzip header only", z_head, -ENODATA,
	    "gzip data ends early, at 0x5" },
	{ "gzip sum", z_crc, -EINVAL, "bad gzip data before" },
	{ "gzip flags", z_flags, -EINVAL, "bad gzip data before" },
	{ "gzip in gzip", z_twice, -ENOEXEC, "not a kernel image" },
	{ "gzip of noise", z_not_elf, -ENOEXEC, "not a kernel image" },
};

static void
hostile(void **state)
{
	struct run r;
	size_t i;
	int e;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		make();
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

/* What it inflates to is bounded by the guest's memory. */
static void
bomb(void **state)
{
	static uint8_t zeros[MIB], out[256 * 1024];
	z_stream z = { .next_out = out, .avail_out = sizeof(out) };
	struct load_in in = { .initrd = -1, .cmdline = "" };
	char why[LOAD_WHY_MAX];
	struct load_out o;
	struct gmem mem;
	unsigned i;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8,
			     Z_DEFAULT_STRATEGY),
	    Z_OK);
	for (i = 0; i < 64; i++) {
		z.next_in = zeros;
		z.avail_in = sizeof(zeros);
		assert_int_equal(deflate(&z, i == 63 ? Z_FINISH : Z_NO_FLUSH),
		    i == 63 ? Z_STREAM_END : Z_OK);
	}
	assert_int_equal(gmem_create(&mem, 32 * MIB), 0);
	in.mem = &mem;
	in.kernel = memfile(out, sizeof(out) - z.avail_out);
	deflateEnd(&z);
	assert_int_equal(load_kernel(&in, &o, why), -ENOSPC);
	assert_string_equal(why, "kernel: inflates to more than 32 MiB");
	close(in.kernel);
	gmem_destroy(&mem);
}

static void
no_options(void **state)
{
	struct run r;

	make();
	assert_int_equal(load(&r, 64 * MIB, 0, "-s"), -EINVAL);
	assert_string_equal(
	    r.why, "kernel: OpenBSD's takes no initrd or cmdline");
	gmem_destroy(&r.mem);
	assert_int_equal(load(&r, 64 * MIB, 100, ""), -EINVAL);
	gmem_destroy(&r.mem);
}

/* Every byte of the headers, to every extreme: refused or loaded, no more. */
static void
every_byte(void **state)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	struct load_in in = { .initrd = -1, .cmdline = "" };
	char why[LOAD_WHY_MAX];
	struct load_out out;
	struct gmem mem;
	size_t i, v;
	bool head;

	assert_int_equal(gmem_create(&mem, 32 * MIB), 0);
	in.mem = &mem;
	make();
	in.kernel = memfile(image, image_len);
	for (i = 0; i < image_len; i++) {
		head = i < 0x100 || i >= SHDRS;
		for (v = 0; head && v < sizeof(values); v++) {
			assert_int_equal(
			    pwrite(in.kernel, &values[v], 1, (off_t)i), 1);
			(void)load_kernel(&in, &out, why);
		}
		if (head)
			assert_int_equal(
			    pwrite(in.kernel, image + i, 1, (off_t)i), 1);
	}
	assert_int_equal(load_kernel(&in, &out, why), 0);
	close(in.kernel);
	gmem_destroy(&mem);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elf64),
		cmocka_unit_test(elf32),
		cmocka_unit_test(stripped),
		cmocka_unit_test(compressed),
		cmocka_unit_test(hostile),
		cmocka_unit_test(bomb),
		cmocka_unit_test(no_options),
		cmocka_unit_test(every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
