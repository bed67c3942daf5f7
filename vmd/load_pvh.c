/* SPDX-License-Identifier: ISC */
/*
 * An uncompressed kernel, ELF32 or ELF64, with the note that names its
 * "x86/HVM direct boot ABI" entry point (XEN_ELFNOTE_PHYS32_ENTRY).
 *
 * Invariants
 *  1. Segments go to [1 MiB, end of low RAM) only: none overlays what the
 *     loader puts below.
 *  2. Headers are converted to one form by parse_*(); the rest sees no ELF
 *     class.
 */
#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include "load.h"

#define PHDRS_MAX    128
#define NOTES_MAX    65536ULL /* bytes of one note segment */
#define PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define START_MAGIC  0x336ec578
#define CMDLINE_MAX  4095

/* "hvm_start_info" version 1, "hvm_modlist_entry", "hvm_memmap_table_entry" */
struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
	uint32_t memmap_entries, reserved;
};
struct start_module {
	uint64_t paddr, size, cmdline_paddr, reserved;
};
struct start_memory {
	uint64_t addr, size;
	uint32_t type, reserved;
};
static_assert(sizeof(struct start_info) == 56, "hvm_start_info");
static_assert(sizeof(struct start_module) == 32, "hvm_modlist_entry");
static_assert(sizeof(struct start_memory) == 24, "hvm_memmap_table_entry");

/* What is written at LOAD_PARAMS_GPA. */
struct params {
	struct start_info info;
	struct start_module module;
	struct start_memory map[LOAD_RANGES];
};

struct segment {
	uint32_t type;
	uint64_t off, filesz, memsz, paddr;
};

struct image {
	bool elf64;
	unsigned n;
	uint64_t phoff;
	uint64_t end; /* of the highest loaded byte */
	bool has_entry;
	uint32_t entry;
};

static int
parse_header(const struct load *l, struct image *img)
{
	unsigned char ident[EI_NIDENT];
	Elf64_Ehdr h64;
	Elf32_Ehdr h32;
	bool ok;
	int r;

	if ((r = load_peek(l, ident, sizeof(ident), 0)) < 0)
		return load_fail(l, r, "kernel: truncated");
	img->elf64 = ident[EI_CLASS] == ELFCLASS64;
	if (ident[EI_DATA] != ELFDATA2LSB ||
	    (!img->elf64 && ident[EI_CLASS] != ELFCLASS32))
		return load_fail(l, -ENOEXEC, "kernel: not an x86 ELF file");
	if (img->elf64) {
		if ((r = load_peek(l, &h64, sizeof(h64), 0)) < 0)
			return load_fail(l, r, "kernel: truncated");
		img->phoff = h64.e_phoff;
		img->n = h64.e_phnum;
		ok = h64.e_phentsize == sizeof(Elf64_Phdr) &&
		    h64.e_machine == EM_X86_64;
	} else {
		if ((r = load_peek(l, &h32, sizeof(h32), 0)) < 0)
			return load_fail(l, r, "kernel: truncated");
		img->phoff = h32.e_phoff;
		img->n = h32.e_phnum;
		ok = h32.e_phentsize == sizeof(Elf32_Phdr) &&
		    h32.e_machine == EM_386;
	}
	if (!ok)
		return load_fail(l, -ENOEXEC, "kernel: not an x86 ELF file");
	if (img->n == 0 || img->n > PHDRS_MAX)
		return load_fail(l, -ENOEXEC, "kernel: bad program headers");
	return 0;
}

static int
parse_segment(const struct load *l, const struct image *img, unsigned i,
    struct segment *s)
{
	Elf64_Phdr p64;
	Elf32_Phdr p32;
	uint64_t size;
	int r;

	size = img->elf64 ? sizeof(p64) : sizeof(p32);
	if (img->phoff > l->kernel_size)
		return load_fail(l, -ENODATA, "kernel: truncated");
	if (img->elf64) {
		r = load_peek(l, &p64, sizeof(p64), img->phoff + i * size);
		*s = (struct segment){ p64.p_type, p64.p_offset, p64.p_filesz,
			p64.p_memsz, p64.p_paddr };
	} else {
		r = load_peek(l, &p32, sizeof(p32), img->phoff + i * size);
		*s = (struct segment){ p32.p_type, p32.p_offset, p32.p_filesz,
			p32.p_memsz, p32.p_paddr };
	}
	if (r < 0)
		return load_fail(l, r, "kernel: truncated");
	if (s->off > l->kernel_size || s->filesz > l->kernel_size - s->off)
		return load_fail(l, -ENODATA, "kernel: truncated");
	return 0;
}

/* The note header, its name padded to 4, its descriptor padded to 4. */
static int
scan_notes(const struct load *l, const struct segment *s, struct image *img)
{
	uint64_t off = s->off, left = s->filesz, name, desc;
	uint32_t h[3]; /* namesz, descsz, type: alike in both classes */
	char xen[4];
	uint64_t value;
	int r;

	if (left > NOTES_MAX)
		left = NOTES_MAX;
	while (left >= sizeof(h)) {
		if ((r = load_peek(l, h, sizeof(h), off)) < 0)
			return r;
		off += sizeof(h);
		left -= sizeof(h);
		name = ((uint64_t)h[0] + 3) & ~3ULL;
		desc = ((uint64_t)h[1] + 3) & ~3ULL;
		if (name > left || desc > left - name)
			return 0; /* a note past its segment ends the list */
		if (h[0] == sizeof(xen) && h[2] == PHYS32_ENTRY &&
		    (h[1] == 4 || h[1] == 8)) {
			value = 0;
			if ((r = load_peek(l, xen, sizeof(xen), off)) < 0 ||
			    (r = load_peek(l, &value, h[1], off + name)) < 0)
				return r;
			if (memcmp(xen, "Xen", sizeof(xen)) == 0 &&
			    value <= UINT32_MAX) {
				img->entry = (uint32_t)value;
				img->has_entry = true;
			}
		}
		off += name + desc;
		left -= name + desc;
	}
	return 0;
}

static int
check_segment(const struct load *l, const struct segment *s, struct image *img)
{
	if (s->filesz > s->memsz)
		return load_fail(l, -ENOEXEC, "kernel: bad program headers");
	if (s->memsz == 0)
		return 0;
	if (s->paddr < LOAD_HIGH_BASE)
		return load_fail(
		    l, -ENOEXEC, "kernel: wants memory below 1 MiB");
	if (s->paddr > l->ram_end || s->memsz > l->ram_end - s->paddr)
		return load_fail(l, -ENOSPC,
		    "kernel: does not fit in %llu MiB of memory",
		    (unsigned long long)(l->in->mem->size >> 20));
	if (s->paddr + s->memsz > img->end)
		img->end = s->paddr + s->memsz;
	return 0;
}

/* Decode: everything that can be refused is refused before a byte is
 * loaded. */
static int
check_image(const struct load *l, struct image *img)
{
	struct segment s;
	unsigned i;
	int r;

	for (i = 0; i < img->n; i++) {
		if ((r = parse_segment(l, img, i, &s)) < 0)
			return r;
		if (s.type == PT_LOAD)
			r = check_segment(l, &s, img);
		else if (s.type == PT_NOTE)
			r = scan_notes(l, &s, img);
		if (r < 0)
			return r;
	}
	if (img->end == 0)
		return load_fail(l, -ENOEXEC, "kernel: no code in it");
	if (!img->has_entry)
		return load_fail(
		    l, -ENOEXEC, "kernel: no PVH entry point (CONFIG_PVH)");
	if (img->entry < LOAD_HIGH_BASE || img->entry >= img->end)
		return load_fail(l, -ENOEXEC, "kernel: bad PVH entry point");
	return 0;
}

/* Fresh guest memory is zero: so is what a segment has beyond its file. */
static int
copy_image(const struct load *l, const struct image *img)
{
	struct segment s;
	unsigned i;
	int r;

	for (i = 0; i < img->n; i++) {
		if ((r = parse_segment(l, img, i, &s)) < 0)
			return r;
		if (s.type != PT_LOAD)
			continue;
		/* Checked again: the file may have changed meanwhile. */
		if (s.paddr < LOAD_HIGH_BASE)
			return load_fail(l, -EINVAL, "kernel: file changed");
		r = load_copy(
		    l, l->in->kernel, s.off, s.filesz, s.paddr, "kernel");
		if (r < 0)
			return r;
	}
	return 0;
}

static int
write_params(const struct load *l, uint64_t initrd)
{
	struct load_range range[LOAD_RANGES];
	struct params p;
	unsigned i, n;
	int r;

	memset(&p, 0, sizeof(p));
	n = load_memmap(l, range);
	for (i = 0; i < n; i++) {
		p.map[i].addr = range[i].base;
		p.map[i].size = range[i].len;
		p.map[i].type = range[i].type;
	}
	p.info.magic = START_MAGIC;
	p.info.version = 1;
	p.info.cmdline_paddr = LOAD_CMDLINE_GPA;
	p.info.rsdp_paddr = l->in->rsdp.v;
	p.info.memmap_paddr = LOAD_PARAMS_GPA + offsetof(struct params, map);
	p.info.memmap_entries = n;
	if (initrd != 0) {
		p.module.paddr = initrd;
		p.module.size = l->initrd_size;
		p.info.nr_modules = 1;
		p.info.modlist_paddr =
		    LOAD_PARAMS_GPA + offsetof(struct params, module);
	}
	r = gmem_write(
	    l->in->mem, (struct gpa){ LOAD_PARAMS_GPA }, &p, sizeof(p));
	return r < 0 ? load_fail(l, r, "kernel: no low memory") : 0;
}

int
load_pvh(const struct load *l, struct load_out *out)
{
	struct image img = { 0 };
	uint64_t initrd;
	int r;

	if ((r = parse_header(l, &img)) < 0 || (r = check_image(l, &img)) < 0 ||
	    (r = load_cmdline(l, CMDLINE_MAX)) < 0 ||
	    (r = load_initrd(l, img.end, UINT32_MAX, &initrd)) < 0 ||
	    (r = copy_image(l, &img)) < 0 || (r = write_params(l, initrd)) < 0)
		return r;
	*out = (struct load_out){
		.mode = LOAD_PROTECTED,
		.rip = img.entry,
		.rbx = LOAD_PARAMS_GPA,
	};
	return 0;
}
