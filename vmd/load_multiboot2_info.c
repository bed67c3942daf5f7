/* SPDX-License-Identifier: ISC */
/*
 * "Boot information" of "Multiboot2 Specification" 2.0: tags, each at a
 * multiple of 8, which is written by leaving bytes as they are: fresh guest
 * memory is zero.
 */
#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "load_elf.h"
#include "load_multiboot2.h"

#define ALIGNED	    8U
#define CMDLINE_MAX 4095
#define SHDRS_MAX   512U
#define PAGE	    4096ULL
#define KIB	    1024U
#define RSDP_OLD    20U /* ACPI, "Root System Description Pointer (RSDP)" */
#define RSDP_NEW    36U

enum info {
	INFO_END,
	INFO_CMDLINE,
	INFO_LOADER,
	INFO_MODULE,
	INFO_MEMORY,
	INFO_MAP = 6,
	INFO_FRAMEBUFFER = 8,
	INFO_ELF,
	INFO_RSDP_OLD = 14,
	INFO_RSDP_NEW,
	INFO_BASE = 21
};

/* "Memory map" */
struct memory {
	uint64_t base, len;
	uint32_t type, reserved;
};
static_assert(sizeof(struct memory) == 24, "memory map");

/* "Framebuffer info", of a screen in text mode. */
#define EGA_TEXT 2
struct framebuffer {
	uint64_t address;
	uint32_t pitch, width, height;
	uint8_t bpp, type, reserved[2];
};
static_assert(sizeof(struct framebuffer) == 24, "Framebuffer info");

/* "ELF-Symbols" */
struct elf_head {
	uint16_t num, entsize, shndx, reserved;
};
static_assert(sizeof(struct elf_head) == 8, "ELF-Symbols");

union shdr {
	Elf32_Shdr s32;
	Elf64_Shdr s64;
};
struct section {
	uint32_t type;
	uint64_t flags, off, size, align;
};

/* The tags in the making. */
struct writer {
	const struct load *l;
	uint64_t at;
	int error; /* the first */
};

static void
put(struct writer *w, const void *p, size_t len)
{
	if (w->error != 0 || len == 0)
		return;
	if (len > LOAD_LOW_END - w->at)
		w->error = -E2BIG;
	else
		w->error =
		    gmem_write(w->l->in->mem, (struct gpa){ w->at }, p, len);
	w->at += len;
}

/* Of two parts, the second of which may be empty. */
static void
put_tag(struct writer *w, enum info type, const void *a, size_t alen,
    const void *b, size_t blen)
{
	uint32_t head[2] = { type, (uint32_t)(sizeof(head) + alen + blen) };

	put(w, head, sizeof(head));
	put(w, a, alen);
	put(w, b, blen);
	w->at = (w->at + ALIGNED - 1) & ~(uint64_t)(ALIGNED - 1);
}

static void
put_memory(struct writer *w)
{
	uint32_t basic[2] = { LOAD_LOW_END / KIB,
		(uint32_t)((w->l->ram_end - LOAD_HIGH_BASE) / KIB) };
	uint32_t head[2] = { sizeof(struct memory), 0 };
	struct load_range range[LOAD_RANGES];
	struct memory map[LOAD_RANGES];
	unsigned i, n = load_memmap(w->l, range);

	for (i = 0; i < n; i++)
		map[i] = (struct memory){ range[i].base, range[i].len,
			range[i].type, 0 };
	put_tag(w, INFO_MEMORY, basic, sizeof(basic), NULL, 0);
	put_tag(w, INFO_MAP, head, sizeof(head), map, n * sizeof(map[0]));
}

/* The tables' own, in both lengths. */
static void
put_rsdp(struct writer *w)
{
	uint8_t b[RSDP_NEW];

	if (gmem_read(w->l->in->mem, w->l->in->rsdp, b, sizeof(b)) < 0)
		return;
	put_tag(w, INFO_RSDP_OLD, b, RSDP_OLD, NULL, 0);
	put_tag(w, INFO_RSDP_NEW, b, RSDP_NEW, NULL, 0);
}

static struct section
get(const struct elf *img, const union shdr *h)
{
	return img->elf64
	    ? (struct section){ h->s64.sh_type, h->s64.sh_flags,
		      h->s64.sh_offset, h->s64.sh_size, h->s64.sh_addralign }
	    : (struct section){ h->s32.sh_type, h->s32.sh_flags,
		      h->s32.sh_offset, h->s32.sh_size, h->s32.sh_addralign };
}

/*
 * A section that no segment has, behind the others; its header is given the
 * address.
 */
static int
place_section(
    const struct load *l, struct multiboot2_place *p, unsigned i, uint8_t *raw)
{
	struct section s;
	union shdr h;
	uint64_t at;
	int r;

	memcpy(&h, raw, p->img->shentsize);
	s = get(p->img, &h);
	if ((s.flags & SHF_ALLOC) != 0 || s.type == SHT_NULL ||
	    s.type == SHT_NOBITS || s.size == 0)
		return 0;
	if (s.align == 0 || s.align > PAGE || (s.align & (s.align - 1)) != 0)
		s.align = 1;
	at = (p->floor + s.align - 1) & ~(s.align - 1);
	if (at > p->limit || s.size > p->limit - at)
		return load_fail(l, -ENOSPC,
		    "kernel: does not fit in %llu MiB of memory: section %u, "
		    "%#llx bytes",
		    (unsigned long long)(l->in->mem->size >> 20), i,
		    (unsigned long long)s.size);
	if (s.off > l->kernel.size || s.size > l->kernel.size - s.off)
		return load_fail(l, -ENODATA,
		    "kernel: truncated: section %u has %#llx bytes at %#llx", i,
		    (unsigned long long)s.size, (unsigned long long)s.off);
	if ((r = load_copy(l, &l->kernel, s.off, s.size, at)) < 0)
		return r;
	p->floor = at + s.size;
	if (p->img->elf64)
		h.s64.sh_addr = at;
	else
		h.s32.sh_addr = (Elf32_Addr)at;
	memcpy(raw, &h, p->img->shentsize);
	return 0;
}

/* "ELF-Symbols": all sections are in memory. */
static int
put_sections(struct writer *w, struct multiboot2_place *p)
{
	const struct elf *img = p->img;
	const struct load *l = w->l;
	struct elf_head head;
	uint8_t *raw;
	unsigned i;
	int r;

	if (img == NULL || img->shnum == 0)
		return 0;
	if (img->shnum > SHDRS_MAX ||
	    img->shentsize !=
		(img->elf64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr)))
		return load_fail(l, -ENOEXEC,
		    "kernel: bad section headers: %u of %u bytes", img->shnum,
		    img->shentsize);
	if ((raw = calloc(img->shnum, img->shentsize)) == NULL)
		return load_fail(
		    l, -ENOMEM, "kernel: no memory for its sections");
	r = load_peek(l, raw, (size_t)img->shnum * img->shentsize, img->shoff);
	if (r < 0)
		load_fail(l, r, "kernel: truncated: section headers at %#llx",
		    (unsigned long long)img->shoff);
	for (i = 0; r == 0 && i < img->shnum; i++)
		r = place_section(l, p, i, raw + i * img->shentsize);
	head = (struct elf_head){ (uint16_t)img->shnum,
		(uint16_t)img->shentsize, (uint16_t)img->shstrndx, 0 };
	if (r == 0)
		put_tag(w, INFO_ELF, &head, sizeof(head), raw,
		    (size_t)img->shnum * img->shentsize);
	free(raw);
	return r;
}

static int
put_module(struct writer *w, const struct multiboot2_place *p)
{
	const struct load *l = w->l;
	uint64_t initrd;
	uint32_t at[2];
	int r;

	if ((r = load_initrd(l, p->floor, p->limit - 1, &initrd)) < 0)
		return r;
	if (initrd != 0) {
		at[0] = (uint32_t)initrd;
		at[1] = (uint32_t)(initrd + l->initrd.size);
		put_tag(w, INFO_MODULE, at, sizeof(at), "", 1);
	}
	return 0;
}

int
load_multiboot2_info(const struct load *l, struct multiboot2_place *p)
{
	static const struct framebuffer screen = { 0xb8000, 160, 80, 25, 16,
		EGA_TEXT, { 0 } };
	struct writer w = { l, LOAD_CMDLINE_GPA + 8, 0 };
	uint32_t fixed[2] = { 0 }, base = (uint32_t)p->base;
	size_t len = strlen(l->in->cmdline);
	int r;

	if (len > CMDLINE_MAX)
		return load_fail(l, -E2BIG,
		    "cmdline: %zu bytes, this kernel takes %d", len,
		    CMDLINE_MAX);
	put_tag(&w, INFO_CMDLINE, l->in->cmdline, len + 1, NULL, 0);
	put_tag(&w, INFO_LOADER, "vmd", sizeof("vmd"), NULL, 0);
	put_memory(&w);
	if (l->in->screen)
		put_tag(&w, INFO_FRAMEBUFFER, &screen, sizeof(screen), NULL, 0);
	if ((r = put_sections(&w, p)) < 0 || (r = put_module(&w, p)) < 0)
		return r;
	put_rsdp(&w);
	if (p->moved)
		put_tag(&w, INFO_BASE, &base, sizeof(base), NULL, 0);
	put_tag(&w, INFO_END, NULL, 0, NULL, 0);
	fixed[0] = (uint32_t)(w.at - LOAD_CMDLINE_GPA);
	w.at = LOAD_CMDLINE_GPA;
	put(&w, fixed, sizeof(fixed));
	return w.error < 0 ? load_fail(l, w.error, "kernel: no low memory") : 0;
}
