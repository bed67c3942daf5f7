/* SPDX-License-Identifier: ISC */
/*
 * ELF images: whose they are, and their segments.  System V ABI, "Object
 * Files", "Program Loading".
 *
 * Invariants
 *  1. Segments go to [1 MiB, end of low RAM) only: none overlays what the
 *     loader puts below.
 *  2. Headers are converted to one form here; the rest sees no ELF class, but
 *     for what is given to the kernel in its own.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include "load_elf.h"
#include "load_multiboot.h"
#include "load_multiboot2.h"

#define PHDRS_MAX    128
#define NOTES_MAX    65536ULL /* bytes of one note segment */
#define PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
/*
 * OpenBSD's kernels are linked for where they run, and loaded at 256 MiB at
 * most.
 */
#define OPENBSD_MASK 0x0fffffffULL

#define FROM(h)                                                               \
	(struct elf)                                                          \
	{                                                                     \
		.n = (h).e_phnum, .phoff = (h).e_phoff, .entry = (h).e_entry, \
		.shoff = (h).e_shoff, .shentsize = (h).e_shentsize,           \
		.shnum = (h).e_shnum, .shstrndx = (h).e_shstrndx              \
	}

static int
parse_header(const struct load *l, struct elf *img)
{
	unsigned char ident[EI_NIDENT];
	Elf64_Ehdr h64;
	Elf32_Ehdr h32;
	bool ok, elf64;
	int r;

	if ((r = load_peek(l, ident, sizeof(ident), 0)) < 0)
		return load_fail(l, r, "kernel: truncated");
	elf64 = ident[EI_CLASS] == ELFCLASS64;
	if (ident[EI_DATA] != ELFDATA2LSB ||
	    (!elf64 && ident[EI_CLASS] != ELFCLASS32))
		return load_fail(l, -ENOEXEC, "kernel: not an x86 ELF file");
	if (elf64) {
		if ((r = load_peek(l, &h64, sizeof(h64), 0)) < 0)
			return load_fail(l, r, "kernel: truncated");
		*img = FROM(h64);
		ok = h64.e_phentsize == sizeof(Elf64_Phdr) &&
		    h64.e_machine == EM_X86_64;
	} else {
		if ((r = load_peek(l, &h32, sizeof(h32), 0)) < 0)
			return load_fail(l, r, "kernel: truncated");
		*img = FROM(h32);
		ok = h32.e_phentsize == sizeof(Elf32_Phdr) &&
		    h32.e_machine == EM_386;
	}
	img->elf64 = elf64;
	if (!ok)
		return load_fail(l, -ENOEXEC, "kernel: not an x86 ELF file");
	if (img->n == 0 || img->n > PHDRS_MAX)
		return load_fail(l, -ENOEXEC,
		    "kernel: bad program headers: %u of them", img->n);
	return 0;
}

#define SEGMENT(p)                                                   \
	(struct elf_segment)                                         \
	{                                                            \
		(p).p_type, (p).p_flags, (p).p_offset, (p).p_filesz, \
		    (p).p_memsz, (p).p_vaddr, (p).p_paddr            \
	}

int
load_elf_segment(const struct load *l, const struct elf *img, unsigned i,
    struct elf_segment *s)
{
	Elf64_Phdr p64;
	Elf32_Phdr p32;
	int r;

	if (img->phoff > l->kernel.size)
		return load_fail(l, -ENODATA,
		    "kernel: truncated: program headers at %#llx",
		    (unsigned long long)img->phoff);
	if (img->elf64) {
		r = load_peek(
		    l, &p64, sizeof(p64), img->phoff + i * sizeof(p64));
		if (r == 0)
			*s = SEGMENT(p64);
	} else {
		r = load_peek(
		    l, &p32, sizeof(p32), img->phoff + i * sizeof(p32));
		if (r == 0)
			*s = SEGMENT(p32);
	}
	if (r < 0)
		return load_fail(
		    l, r, "kernel: truncated: program header %u", i);
	if (s->off > l->kernel.size || s->filesz > l->kernel.size - s->off)
		return load_fail(l, -ENODATA,
		    "kernel: truncated: segment %u has %#llx bytes at %#llx", i,
		    (unsigned long long)s->filesz, (unsigned long long)s->off);
	if (img->openbsd)
		s->paddr &= OPENBSD_MASK;
	s->paddr += img->shift;
	return 0;
}

bool
load_elf_loaded(const struct elf *img, const struct elf_segment *s)
{
	return s->type == PT_LOAD &&
	    (!img->openbsd || (s->flags & (PF_R | PF_W | PF_X)) != 0);
}

/* The note header, its name padded to 4, its descriptor padded to 4. */
static int
scan_notes(const struct load *l, const struct elf_segment *s, struct elf *img)
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
			return load_fail(l, r, "kernel: notes: truncated");
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
				return load_fail(
				    l, r, "kernel: notes: truncated");
			if (memcmp(xen, "Xen", sizeof(xen)) == 0 &&
			    value <= UINT32_MAX) {
				img->pvh_entry = (uint32_t)value;
				img->pvh = true;
			}
		}
		off += name + desc;
		left -= name + desc;
	}
	return 0;
}

/* Who can start it. */
static int
identify(const struct load *l, struct elf *img)
{
	struct elf_segment s;
	bool random = false;
	unsigned i;
	int r;

	for (i = 0; i < img->n; i++) {
		if ((r = load_elf_segment(l, img, i, &s)) < 0)
			return r;
		if (s.type == PT_OPENBSD_RANDOMIZE)
			random = true;
		if (s.type == PT_NOTE && (r = scan_notes(l, &s, img)) < 0)
			return r;
	}
	img->openbsd = random && !img->pvh;
	if (img->openbsd)
		img->entry &= OPENBSD_MASK;
	return 0;
}

static int
check_segment(const struct load *l, const struct elf_segment *s, unsigned i,
    uint64_t *end)
{
	if (s->filesz > s->memsz)
		return load_fail(l, -ENOEXEC,
		    "kernel: bad program headers: segment %u has more bytes in "
		    "the file than in memory",
		    i);
	if (s->memsz == 0)
		return 0;
	if (s->paddr < LOAD_HIGH_BASE)
		return load_fail(l, -ENOEXEC,
		    "kernel: segment %u, at %#llx, wants memory below 1 MiB", i,
		    (unsigned long long)s->paddr);
	if (s->paddr > l->ram_end || s->memsz > l->ram_end - s->paddr)
		return load_fail(l, -ENOSPC,
		    "kernel: does not fit in %llu MiB of memory: segment %u, "
		    "%#llx bytes at %#llx",
		    (unsigned long long)(l->in->mem->size >> 20), i,
		    (unsigned long long)s->memsz, (unsigned long long)s->paddr);
	if (s->paddr + s->memsz > *end)
		*end = s->paddr + s->memsz;
	return 0;
}

int
load_elf_check(const struct load *l, struct elf *img)
{
	struct elf_segment s;
	unsigned i;
	int r;

	for (i = 0; i < img->n; i++) {
		if ((r = load_elf_segment(l, img, i, &s)) < 0)
			return r;
		if (load_elf_loaded(img, &s) &&
		    (r = check_segment(l, &s, i, &img->end)) < 0)
			return r;
	}
	if (img->end == 0)
		return load_fail(l, -ENOEXEC, "kernel: no code in it");
	return 0;
}

int
load_elf_copy(const struct load *l, const struct elf *img)
{
	struct elf_segment s;
	unsigned i;
	int r;

	for (i = 0; i < img->n; i++) {
		if ((r = load_elf_segment(l, img, i, &s)) < 0)
			return r;
		if (!load_elf_loaded(img, &s))
			continue;
		/* Checked again: the file may have changed meanwhile. */
		if (s.filesz != 0 && s.paddr < LOAD_HIGH_BASE)
			return load_fail(l, -EINVAL, "kernel: file changed");
		r = load_copy(l, &l->kernel, s.off, s.filesz, s.paddr);
		if (r < 0)
			return r;
	}
	return 0;
}

int
load_elf(const struct load *l, struct load_out *out)
{
	struct multiboot multiboot;
	struct multiboot2 multiboot2;
	struct elf img;
	int r;

	if ((r = parse_header(l, &img)) < 0 || (r = identify(l, &img)) < 0)
		return r;
	if (!img.pvh && !img.openbsd && load_multiboot2_header(l, &multiboot2))
		return load_multiboot2(l, &multiboot2, &img, out);
	if ((r = load_elf_check(l, &img)) < 0)
		return r;
	if (img.pvh)
		return load_pvh(l, &img, out);
	if (img.openbsd)
		return load_openbsd(l, &img, out);
	if (load_multiboot_header(l, &multiboot))
		return load_multiboot(l, &multiboot, &img, out);
	return load_fail(l, -ENOEXEC,
	    "kernel: no PVH entry point (CONFIG_PVH), no multiboot header, and "
	    "not OpenBSD's");
}
