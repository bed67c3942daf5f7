/* SPDX-License-Identifier: ISC */
/* The kernel loaders against good, odd and hostile images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "load_rig.h"

#define SECTS	  3
#define CODE_OFF  ((SECTS + 1) * 512)
#define CODE_LEN  8192
#define BZ_LEN	  (CODE_OFF + CODE_LEN)
#define PVH_LEN	  16384
#define PVH_CODE  0x1000 /* file offset of the segment */
#define PVH_NOTE  0x800
#define PVH_PADDR 0x1000000ULL

static struct setup_header *
hdr(void)
{
	return (struct setup_header *)(image + 0x1f1);
}

/* A small kernel like those of Debian. */
static void
make_bzimage(void)
{
	struct setup_header *h = hdr();

	memset(image, 0, sizeof(image));
	image_len = BZ_LEN;
	memset(image + CODE_OFF, 0xcc, CODE_LEN);
	h->setup_sects = SECTS;
	h->syssize = CODE_LEN / 16;
	h->boot_flag = 0xaa55;
	h->jump = 0x66eb; /* header ends at 0x268 */
	memcpy(&h->header, "HdrS", 4);
	h->version = 0x020f;
	h->loadflags = LOADED_HIGH;
	h->initrd_addr_max = 0x7fffffff;
	h->kernel_alignment = 0x200000;
	h->relocatable_kernel = 1;
	h->xloadflags = XLF_KERNEL_64;
	h->cmdline_size = 2047;
	h->pref_address = 0x1000000;
	h->init_size = 8 * MIB;
}

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

static uint32_t *
note(void)
{
	return (uint32_t *)(image + PVH_NOTE);
}

static void
make_pvh(void)
{
	Elf64_Ehdr *e = ehdr();
	uint32_t *n = note();

	memset(image, 0, sizeof(image));
	image_len = PVH_LEN;
	memcpy(e->e_ident, ELFMAG, SELFMAG);
	e->e_ident[EI_CLASS] = ELFCLASS64;
	e->e_ident[EI_DATA] = ELFDATA2LSB;
	e->e_machine = EM_X86_64;
	e->e_phoff = sizeof(*e);
	e->e_phentsize = sizeof(Elf64_Phdr);
	e->e_phnum = 2;
	*phdr(0) = (Elf64_Phdr){ .p_type = PT_LOAD,
		.p_offset = PVH_CODE,
		.p_paddr = PVH_PADDR,
		.p_filesz = 4096,
		.p_memsz = 1 * MIB };
	*phdr(1) = (Elf64_Phdr){
		.p_type = PT_NOTE, .p_offset = PVH_NOTE, .p_filesz = 48
	};
	memset(image + PVH_CODE, 0xcc, 4096);
	/* a foreign note first */
	memcpy(n, (uint32_t[]){ 4, 4, 1, 0x00554e47, 7 }, 20);
	memcpy(n + 5, (uint32_t[]){ 4, 4, 18, 0x006e6558, PVH_PADDR + 16 }, 20);
}

/* The same, ELF32. */
static void
make_pvh32(void)
{
	Elf32_Ehdr e = { .e_machine = EM_386,
		.e_phoff = sizeof(e),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 2 };
	Elf32_Phdr p[2] = {
		{ .p_type = PT_NOTE, .p_offset = PVH_NOTE, .p_filesz = 40 },
		{ .p_type = PT_LOAD,
		    .p_offset = PVH_CODE,
		    .p_paddr = PVH_PADDR,
		    .p_filesz = 4096,
		    .p_memsz = 8192 }
	};

	make_pvh();
	memset(image, 0, PVH_NOTE);
	memcpy(e.e_ident, ELFMAG, SELFMAG);
	e.e_ident[EI_CLASS] = ELFCLASS32;
	e.e_ident[EI_DATA] = ELFDATA2LSB;
	memcpy(image, &e, sizeof(e));
	memcpy(image + sizeof(e), p, sizeof(p));
}

/*
 * Is it firmware?  By the length, which is a ROM's, and not a kernel's magic.
 */
static const struct {
	const char *name;
	uint64_t len;
	unsigned off;
	const char *magic;
	uint32_t want;
} roms[] = {
	{ "64 KiB", 0x10000, 0, "", 0x10000 },
	{ "256 KiB, as SeaBIOS", 0x40000, 0, "", 0x40000 },
	{ "4 MiB", 4 * MIB, 0, "", 4 * MIB },
	{ "16 MiB", 16 * MIB, 0, "", 16 * MIB },
	{ "more than 16 MiB", 16 * MIB + 0x10000, 0, "", 0 },
	{ "4 GiB and 64 KiB", 4096 * MIB + 0x10000, 0, "", 0 },
	{ "empty", 0, 0, "", 0 },
	{ "half of a unit", 0x8000, 0, "", 0 },
	{ "no unit, but UEFI", 0x37c000, 40, "_FVH", 0x37c000 },
	{ "UEFI's magic elsewhere", 0x37c000, 41, "_FVH", 0 },
	{ "UEFI, but not whole pages", 0x37c200, 40, "_FVH", 0 },
	{ "a byte less", 0x3ffff, 0, "", 0 },
	{ "a byte more", 0x40001, 0, "", 0 },
	{ "ELF of that length", 0x40000, 0, "\177ELF", 0 },
	{ "bzImage of that length", 0x40000, 0x202, "HdrS", 0 },
	{ "its magic elsewhere", 0x40000, 0x203, "HdrS", 0x40000 },
	{ "nothing at the reset vector", 0x40000, 0x3fff0, "\0\0\0\0", 0 },
	{ "erased there", 0x40000, 0x3fff0, "\377\377\377\377", 0 },
};

static void
firmware(void **state)
{
	static uint8_t rom[0x40000];
	char why[LOAD_WHY_MAX];
	int fd, pipes[2];

	for (unsigned i = 0; i < sizeof(roms) / sizeof(roms[0]); i++) {
		fd = memfd_create("rom", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fd, (off_t)roms[i].len), 0);
		if (roms[i].len >= 16)
			assert_int_equal(
			    pwrite(fd, "\352", 1, (off_t)roms[i].len - 16), 1);
		if (roms[i].off != 0 || roms[i].magic[0] != '\0')
			assert_int_equal(
			    pwrite(fd, roms[i].magic, 4, roms[i].off), 4);
		if (load_is_firmware(fd) != roms[i].want)
			print_message("%s\n", roms[i].name);
		assert_int_equal(load_is_firmware(fd), roms[i].want);
		close(fd);
	}
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(load_is_firmware(pipes[0]), 0);
	close(pipes[0]);
	close(pipes[1]);

	fd = memfd_create("rom", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, sizeof(rom)), 0);
	assert_int_equal(pwrite(fd, "\352", 1, sizeof(rom) - 16), 1);
	assert_int_equal(load_file(fd, "firmware", rom, sizeof(rom), why), 0);
	assert_int_equal(rom[sizeof(rom) - 16], 0xea);
	/* It became shorter meanwhile. */
	assert_int_equal(ftruncate(fd, sizeof(rom) - 1), 0);
	assert_int_equal(
	    load_file(fd, "firmware", rom, sizeof(rom), why), -ENODATA);
	assert_string_equal(why, "firmware: truncated");
	close(fd);
}

/* Files for flash, and what of firmware is UEFI's. */
static void
flash(void **state)
{
	static const struct {
		uint64_t len;
		uint32_t max, want;
	} files[] = {
		{ 0x84000, 16 * MIB, 0x84000 },
		{ 0x1000, 0x1000, 0x1000 },
		{ 0x100000, 16 * MIB, 0x100000 },
		{ 0, 16 * MIB, 0 },
		{ 0x84001, 16 * MIB, 0 },
		{ 0x800, 16 * MIB, 0 },
		{ 0x101000, 16 * MIB, 0 },
		{ 0x2000, 0x1000, 0 },
		{ 0x2000, 0, 0 },
		{ (4096 + 1) * MIB, 16 * MIB, 0 },
	};
	int fd, pipes[2];

	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		fd = memfd_create("vars", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fd, (off_t)files[i].len), 0);
		if (load_flash_size(fd, files[i].max) != files[i].want)
			fail_msg("%#llx bytes, of %#x",
			    (unsigned long long)files[i].len, files[i].max);
		close(fd);
	}
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(load_flash_size(pipes[0], 16 * MIB), 0);
	assert_false(load_is_uefi(pipes[0]));
	close(pipes[0]);
	close(pipes[1]);
	fd = memfd_create("vars", MFD_CLOEXEC);
	assert_false(load_is_uefi(fd));
	assert_int_equal(pwrite(fd, "_FVH", 3, 40), 3);
	assert_false(load_is_uefi(fd));
	assert_int_equal(pwrite(fd, "_FVH", 4, 40), 4);
	assert_true(load_is_uefi(fd));
	close(fd);
}

/* Cylinders, heads, sectors of SeaBIOS's disks; and others. */
static void
floppy(void **state)
{
	static const struct {
		unsigned long long len;
		uint32_t want;
	} rows[] = {
		{ 40ULL * 1 * 8 * 512, 163840 },
		{ 40ULL * 1 * 9 * 512, 184320 },
		{ 40ULL * 2 * 8 * 512, 327680 },
		{ 40ULL * 2 * 9 * 512, 368640 },
		{ 80ULL * 2 * 9 * 512, 737280 },
		{ 80ULL * 2 * 15 * 512, 1228800 },
		{ 80ULL * 2 * 18 * 512, 1474560 },
		{ 80ULL * 2 * 36 * 512, 2949120 },
		{ 0, 0 },
		{ 512, 0 },
		{ 1474559, 0 },
		{ 1474561, 0 },
		{ 1 * MIB, 0 },
		{ 4096 * MIB + 1474560, 0 },
	};
	int fd, pipes[2];

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fd = memfd_create("floppy", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fd, (off_t)rows[i].len), 0);
		assert_int_equal(load_floppy_size(fd), rows[i].want);
		close(fd);
	}
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(load_floppy_size(pipes[0]), 0);
	close(pipes[0]);
	close(pipes[1]);
}

static void
bzimage_64(void **state)
{
	struct boot_params bp;
	struct run r;
	char line[16];
	uint8_t b[2];
	uint64_t pte, end;

	make_bzimage();
	assert_int_equal(load(&r, 256 * MIB, 5000, "console=ttyS0"), 0);
	assert_int_equal(r.out.mode, LOAD_LONG);
	assert_int_equal(r.out.rip, 0x1000200);
	assert_int_equal(r.out.rsi, LOAD_PARAMS_GPA);
	gmem_read(&r.mem, (struct gpa){ r.out.rsi }, &bp, sizeof(bp));
	assert_int_equal(bp.acpi_rsdp_addr, ACPI_TABLES_GPA);
	assert_int_equal(bp.hdr.type_of_loader, 0xff);
	assert_int_equal(bp.hdr.ramdisk_size, 5000);
	assert_int_equal(bp.hdr.ramdisk_image & 4095, 0);
	end = bp.hdr.ramdisk_image + 5000ULL;
	assert_in_range(end, 256 * MIB - 8191, 256 * MIB);
	gmem_read(&r.mem, (struct gpa){ end - 1 }, b, 1);
	assert_int_equal(b[0], 0x5a);
	gmem_read(&r.mem, (struct gpa){ bp.hdr.cmd_line_ptr }, line, 14);
	assert_string_equal(line, "console=ttyS0");
	gmem_read(&r.mem, (struct gpa){ 0x1000000 + CODE_LEN - 1 }, b, 2);
	assert_int_equal(b[0], 0xcc);
	assert_int_equal(b[1], 0);
	/* the last page of the identity map */
	gmem_read(&r.mem,
	    (struct gpa){ r.out.cr3 + 2 * 4096 + (4 * 512 - 1) * 8 }, &pte,
	    sizeof(pte));
	assert_int_equal(pte, 0xffe00083);
	gmem_destroy(&r.mem);
}

/* Memtest86+'s file ends 8 bytes before its last paragraph does. */
static void
bzimage_short_paragraph(void **state)
{
	struct run r;
	uint8_t b[2];

	make_bzimage();
	image[BZ_LEN - 16] = 0xee;
	image_len = BZ_LEN - 15;
	assert_int_equal(load(&r, 256 * MIB, 0, ""), 0);
	gmem_read(&r.mem, (struct gpa){ 0x1000000 + CODE_LEN - 16 }, b, 2);
	assert_int_equal(b[0], 0xee);
	assert_int_equal(b[1], 0);
	gmem_destroy(&r.mem);
	image_len = BZ_LEN - 16;
	assert_int_equal(load(&r, 256 * MIB, 0, ""), -ENODATA);
}

/* "struct screen_info": mode 3 of a VGA, or nothing. */
static void
bzimage_screen(void **state)
{
	static const struct screen_info none;
	struct boot_params bp;
	struct run r;

	make_bzimage();
	assert_int_equal(load(&r, 256 * MIB, 0, ""), 0);
	gmem_read(&r.mem, (struct gpa){ r.out.rsi }, &bp, sizeof(bp));
	assert_memory_equal(&bp.screen_info, &none, sizeof(none));
	gmem_destroy(&r.mem);
	load_screen = true;
	assert_int_equal(load(&r, 256 * MIB, 0, ""), 0);
	load_screen = false;
	gmem_read(&r.mem, (struct gpa){ r.out.rsi }, &bp, sizeof(bp));
	assert_int_equal(bp.screen_info.orig_video_mode, 3);
	assert_int_equal(bp.screen_info.orig_video_cols, 80);
	assert_int_equal(bp.screen_info.orig_video_lines, 25);
	assert_int_equal(bp.screen_info.orig_video_isVGA, 1);
	assert_int_equal(bp.acpi_rsdp_addr, ACPI_TABLES_GPA);
	gmem_destroy(&r.mem);
}

static void
bzimage_memmap(void **state)
{
	struct boot_params bp;
	struct run r;
	uint64_t ram = 0;
	unsigned i;

	make_bzimage();
	assert_int_equal(load(&r, 4096 * MIB, 0, ""), 0);
	gmem_read(&r.mem, (struct gpa){ r.out.rsi }, &bp, sizeof(bp));
	for (i = 0; i < bp.e820_entries; i++) {
		if (i > 0)
			assert_true(
			    bp.e820_table[i].addr >= bp.e820_table[i - 1].addr +
				bp.e820_table[i - 1].size);
		if (bp.e820_table[i].type == 1)
			ram += bp.e820_table[i].size;
	}
	assert_int_equal(ram, 4096 * MIB - (MIB - LOAD_LOW_END));
	assert_int_equal(bp.e820_table[i - 1].addr, GMEM_HIGH_BASE);
	assert_int_equal(bp.e820_table[i - 1].size, 1024 * MIB);
	assert_int_equal(bp.hdr.ramdisk_image, 0);
	gmem_destroy(&r.mem);
}

static void
bzimage_32(void **state)
{
	struct run r;

	make_bzimage();
	hdr()->xloadflags = 0;
	assert_int_equal(load(&r, 64 * MIB, 0, ""), 0);
	assert_int_equal(r.out.mode, LOAD_PROTECTED);
	assert_int_equal(r.out.rip, 0x1000000);
	assert_int_equal(r.out.rsi, LOAD_PARAMS_GPA);
	assert_int_equal(r.out.rbx, 0);
	gmem_destroy(&r.mem);
}

/* A relocatable kernel without a pref_address goes where there is RAM; with
 * one it would move there, so it needs RAM there. */
static void
bzimage_small(void **state)
{
	struct run r;

	make_bzimage();
	hdr()->pref_address = 0;
	assert_int_equal(load(&r, 16 * MIB, 0, ""), 0);
	assert_int_equal(r.out.rip, 0x200200);
	gmem_destroy(&r.mem);
	make_bzimage();
	hdr()->pref_address += 0x1000; /* not aligned */
	assert_int_equal(load(&r, 32 * MIB, 0, ""), 0);
	assert_int_equal(r.out.rip, 0x200200);
	gmem_destroy(&r.mem);
}

static void
pvh(void **state)
{
	static const struct {
		void (*make)(void);
	} kinds[] = { { make_pvh }, { make_pvh32 } };
	uint64_t info[7], module[2];
	struct run r;
	size_t i;
	uint8_t b;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		kinds[i].make();
		assert_int_equal(load(&r, 64 * MIB, 4097, "quiet"), 0);
		assert_int_equal(r.out.mode, LOAD_PROTECTED);
		assert_int_equal(r.out.rip, PVH_PADDR + 16);
		gmem_read(
		    &r.mem, (struct gpa){ r.out.rbx }, info, sizeof(info));
		assert_int_equal(info[0], 0x00000001336ec578);
		assert_int_equal(info[1] >> 32, 1); /* modules */
		assert_int_equal(info[4], ACPI_TABLES_GPA);
		assert_in_range(info[6], 4, LOAD_RANGES);
		gmem_read(
		    &r.mem, (struct gpa){ info[2] }, module, sizeof(module));
		assert_int_equal(module[1], 4097);
		gmem_read(&r.mem, (struct gpa){ module[0] + 4096 }, &b, 1);
		assert_int_equal(b, 0x5a);
		gmem_destroy(&r.mem);
	}
}

/* Hostile and wrong images: each a change to a good one. */
static void
h_magic(void)
{
	hdr()->header = 0;
}
static void
h_flag(void)
{
	hdr()->boot_flag = 0;
}
static void
h_old(void)
{
	hdr()->version = 0x0205;
}
static void
h_zimage(void)
{
	hdr()->loadflags = 0;
}
static void
h_short(void)
{
	image_len = 0x1f8;
}
static void
h_cut_hdr(void)
{
	image_len = 0x210;
}
static void
h_cut(void)
{
	image_len -= 16;
}
static void
h_syssize(void)
{
	hdr()->syssize = UINT32_MAX;
}
static void
h_nocode(void)
{
	hdr()->syssize = 0;
}
static void
h_sects(void)
{
	hdr()->setup_sects = 255;
}
static void
h_align(void)
{
	hdr()->kernel_alignment = 0x300000;
}
static void
h_init(void)
{
	hdr()->init_size = UINT32_MAX;
}
static void
h_cmdline(void)
{
	hdr()->cmdline_size = 3;
}
static void
h_initrd0(void)
{
	hdr()->initrd_addr_max = 0;
}
static void
h_initrd(void)
{
	hdr()->initrd_addr_max = 0x1001000;
}
static void
h_empty(void)
{
	image_len = 0;
}
static void
e_class(void)
{
	ehdr()->e_ident[EI_CLASS] = 9;
}
static void
e_data(void)
{
	ehdr()->e_ident[EI_DATA] = ELFDATA2MSB;
}
static void
e_mach(void)
{
	ehdr()->e_machine = EM_ARM;
}
static void
e_entsize(void)
{
	ehdr()->e_phentsize = 0;
}
static void
e_phnum0(void)
{
	ehdr()->e_phnum = 0;
}
static void
e_phnum(void)
{
	ehdr()->e_phnum = UINT16_MAX;
}
static void
e_phoff(void)
{
	ehdr()->e_phoff = UINT64_MAX - 8;
}
static void
e_cut(void)
{
	image_len = 40;
}
static void
p_off(void)
{
	phdr(0)->p_offset = UINT64_MAX;
}
static void
p_size(void)
{
	phdr(0)->p_filesz = UINT64_MAX;
}
static void
p_order(void)
{
	phdr(0)->p_memsz = 1;
}
static void
p_low(void)
{
	phdr(0)->p_paddr = LOAD_PARAMS_GPA;
}
static void
p_high(void)
{
	phdr(0)->p_paddr = 0xfffffffffffff000;
}
static void
p_mem(void)
{
	phdr(0)->p_memsz = UINT64_MAX;
}
static void
p_none(void)
{
	phdr(0)->p_type = PT_NULL;
}
static void
n_none(void)
{
	phdr(1)->p_type = PT_NULL;
}
static void
n_name(void)
{
	note()[5] = UINT32_MAX;
}
static void
n_desc(void)
{
	note()[6] = UINT32_MAX;
}
static void
n_first(void)
{
	note()[0] = UINT32_MAX - 2;
}
static void
n_entry(void)
{
	note()[9] = 0x1000;
}
static void
n_past(void)
{
	note()[9] = 0x3000000;
}

/* There is room below it. */
static void
h_pref(void)
{
	hdr()->pref_address = 58 * MIB;
}

static const struct bad {
	const char *name;
	void (*make)(void);
	void (*spoil)(void);
	size_t initrd;
	int error;
	const char *why;
} bad[] = {
	{ "magic", make_bzimage, h_magic, 0, -ENOEXEC, "not a kernel image" },
	{ "boot flag", make_bzimage, h_flag, 0, -ENOEXEC, "not a kernel" },
	{ "old", make_bzimage, h_old, 0, -ENOEXEC, "2.05 is too old" },
	{ "zImage", make_bzimage, h_zimage, 0, -ENOEXEC, "not a bzImage" },
	{ "short", make_bzimage, h_short, 0, -ENOEXEC, "not a kernel image" },
	{ "header cut", make_bzimage, h_cut_hdr, 0, -ENODATA, "truncated" },
	{ "cut", make_bzimage, h_cut, 0, -ENODATA, "truncated" },
	{ "syssize", make_bzimage, h_syssize, 0, -ENODATA, "truncated" },
	{ "no code", make_bzimage, h_nocode, 0, -ENOEXEC, "no code" },
	{ "sectors", make_bzimage, h_sects, 0, -ENODATA, "truncated" },
	{ "alignment", make_bzimage, h_align, 0, -ENOEXEC, "bad alignment" },
	{ "init_size", make_bzimage, h_init, 0, -ENOSPC,
	    "kernel: does not fit in 64 MiB" },
	{ "pref_address", make_bzimage, h_pref, 0, -ENOSPC,
	    "kernel: does not fit in 64 MiB" },
	{ "cmdline", make_bzimage, h_cmdline, 0, -E2BIG,
	    "this kernel takes 3" },
	{ "initrd limit 0", make_bzimage, h_initrd0, 1, -ENOSPC,
	    "initrd: does not fit in 64 MiB" },
	{ "initrd limit", make_bzimage, h_initrd, 1, -ENOSPC,
	    "initrd: does not fit in 64 MiB" },
	{ "big initrd", make_bzimage, NULL, 60 * MIB, -ENOSPC,
	    "initrd: does not fit in 64 MiB" },
	{ "empty", make_bzimage, h_empty, 0, -ENODATA, "kernel: empty file" },
	{ "class", make_pvh, e_class, 0, -ENOEXEC, "not an x86 ELF" },
	{ "endian", make_pvh, e_data, 0, -ENOEXEC, "not an x86 ELF" },
	{ "machine", make_pvh, e_mach, 0, -ENOEXEC, "not an x86 ELF" },
	{ "entsize", make_pvh, e_entsize, 0, -ENOEXEC, "not an x86 ELF" },
	{ "no headers", make_pvh, e_phnum0, 0, -ENOEXEC, "program headers" },
	{ "headers", make_pvh, e_phnum, 0, -ENOEXEC, "program headers" },
	{ "phoff", make_pvh, e_phoff, 0, -ENODATA, "truncated" },
	{ "elf cut", make_pvh, e_cut, 0, -ENODATA, "truncated" },
	{ "offset", make_pvh, p_off, 0, -ENODATA, "truncated" },
	{ "filesz", make_pvh, p_size, 0, -ENODATA, "truncated" },
	{ "filesz > memsz", make_pvh, p_order, 0, -ENOEXEC, "program headers" },
	{ "over us", make_pvh, p_low, 0, -ENOEXEC, "below 1 MiB" },
	{ "paddr", make_pvh, p_high, 0, -ENOSPC, "does not fit in 64 MiB" },
	{ "memsz", make_pvh, p_mem, 0, -ENOSPC, "does not fit in 64 MiB" },
	{ "no segment", make_pvh, p_none, 0, -ENOEXEC, "no code" },
	{ "no note", make_pvh, n_none, 0, -ENOEXEC, "no PVH entry" },
	{ "name size", make_pvh, n_name, 0, -ENOEXEC, "no PVH entry" },
	{ "descriptor size", make_pvh, n_desc, 0, -ENOEXEC, "no PVH entry" },
	{ "first note", make_pvh, n_first, 0, -ENOEXEC, "no PVH entry" },
	{ "low entry", make_pvh, n_entry, 0, -ENOEXEC, "bad PVH entry" },
	{ "high entry", make_pvh, n_past, 0, -ENOEXEC, "bad PVH entry" },
};

static void
hostile(void **state)
{
	struct run r;
	size_t i;
	int e;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bad[i].make();
		if (bad[i].spoil != NULL)
			bad[i].spoil();
		memset(&r.out, 0x77, sizeof(r.out));
		e = load(&r, 64 * MIB, bad[i].initrd, "abcdef");
		if (e != bad[i].error || strstr(r.why, bad[i].why) == NULL)
			fail_msg("%s: %d, \"%s\"", bad[i].name, e, r.why);
		assert_null(strchr(r.why, '\n'));
		/* outputs are written only on success */
		assert_int_equal(r.out.rsi, 0x7777777777777777);
		gmem_destroy(&r.mem);
	}
}

static void
poke(int fd, uint8_t byte, size_t at)
{
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
}

/* Every byte of the headers, to every extreme: refused or loaded, no more. */
static void
every_byte(void **state)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	void (*const make[])(void) = { make_bzimage, make_pvh, make_pvh32 };
	struct load_in in = { .initrd = -1, .cmdline = "x" };
	char why[LOAD_WHY_MAX];
	struct load_out out;
	struct gmem mem;
	size_t k, at, v, from, to;

	assert_int_equal(gmem_create(&mem, 32 * MIB), 0);
	in.mem = &mem;
	for (k = 0; k < sizeof(make) / sizeof(make[0]); k++) {
		make[k]();
		from = k == 0 ? 0x1f1 : 0;
		to = k == 0 ? 0x270 : 0x100;
		in.kernel = memfile(image, image_len);
		for (at = from; at < to; at++) {
			for (v = 0; v < sizeof(values); v++) {
				poke(in.kernel, values[v], at);
				(void)load_kernel(&in, &out, why);
			}
			poke(in.kernel, image[at], at);
		}
		assert_int_equal(load_kernel(&in, &out, why), 0);
		close(in.kernel);
	}
	gmem_destroy(&mem);
}

static void
not_files(void **state)
{
	struct load_in in = { .initrd = -1, .cmdline = "" };
	char why[LOAD_WHY_MAX];
	struct load_out out;
	struct gmem mem;
	int p[2];

	assert_int_equal(pipe(p), 0);
	assert_int_equal(gmem_create(&mem, 32 * MIB), 0);
	in.mem = &mem;
	in.kernel = p[0];
	assert_int_equal(load_kernel(&in, &out, why), -EINVAL);
	assert_string_equal(why, "kernel: not a regular file");
	make_bzimage();
	in.kernel = memfile(image, image_len);
	in.initrd = p[0];
	assert_int_equal(load_kernel(&in, &out, why), -EINVAL);
	assert_string_equal(why, "initrd: not a regular file");
	close(in.kernel);
	close(p[0]);
	close(p[1]);
	gmem_destroy(&mem);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bzimage_64),
		cmocka_unit_test(bzimage_short_paragraph),
		cmocka_unit_test(bzimage_screen),
		cmocka_unit_test(bzimage_memmap),
		cmocka_unit_test(bzimage_32),
		cmocka_unit_test(bzimage_small),
		cmocka_unit_test(pvh),
		cmocka_unit_test(hostile),
		cmocka_unit_test(every_byte),
		cmocka_unit_test(not_files),
		cmocka_unit_test(firmware),
		cmocka_unit_test(flash),
		cmocka_unit_test(floppy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
