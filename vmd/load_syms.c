/* SPDX-License-Identifier: ISC */
/*
 * What OpenBSD's kernel finds at its end: an ELF header, without program
 * headers; the section headers; then the sections of symbols, strings, lines
 * and types.  Each begins at a multiple of a word; offsets count from that
 * header, and SHF_ALLOC says that the section is there.
 *
 * Invariant: the headers are read once; what was checked is what is used.
 */
#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "load_elf.h"
#include "load_syms.h"

#define SHDRS_MAX 512

union shdr {
	Elf32_Shdr s32;
	Elf64_Shdr s64;
};
static_assert(sizeof(union shdr) == sizeof(Elf64_Shdr), "the larger one");

struct syms {
	const struct load *l;
	const struct elf *img;
	uint64_t base, end; /* where it is placed */
	uint64_t word, shsize;
	uint8_t *raw; /* the section headers */
	uint64_t names; /* in the file, bytes of section names */
	uint64_t names_len;
};

struct section {
	uint32_t name, type;
	uint64_t off, size;
};

static uint64_t
round_up(const struct syms *s, uint64_t n)
{
	return (n + s->word - 1) & ~(s->word - 1);
}

static struct section
get(const struct syms *s, unsigned i)
{
	union shdr h;

	memcpy(&h, s->raw + i * s->shsize, s->shsize);
	if (s->img->elf64)
		return (struct section){ h.s64.sh_name, h.s64.sh_type,
			h.s64.sh_offset, h.s64.sh_size };
	return (struct section){ h.s32.sh_name, h.s32.sh_type, h.s32.sh_offset,
		h.s32.sh_size };
}

/* It is at off of the base. */
static void
set(const struct syms *s, unsigned i, uint64_t off)
{
	union shdr h;

	memcpy(&h, s->raw + i * s->shsize, s->shsize);
	if (s->img->elf64) {
		h.s64.sh_offset = off;
		h.s64.sh_flags |= SHF_ALLOC;
	} else {
		h.s32.sh_offset = (Elf32_Off)off;
		h.s32.sh_flags |= SHF_ALLOC;
	}
	memcpy(s->raw + i * s->shsize, &h, s->shsize);
}

static int
read_headers(struct syms *s)
{
	const struct elf *img = s->img;
	struct section names;
	int r;

	if (img->shnum > SHDRS_MAX || img->shentsize != s->shsize)
		return load_fail(s->l, -ENOEXEC,
		    "kernel: bad section headers: %u of %u bytes", img->shnum,
		    img->shentsize);
	if (img->shstrndx >= img->shnum)
		return load_fail(s->l, -ENOEXEC,
		    "kernel: bad section headers: names in section %u of %u",
		    img->shstrndx, img->shnum);
	if ((s->raw = calloc(img->shnum, s->shsize)) == NULL)
		return load_fail(
		    s->l, -ENOMEM, "kernel: no memory for symbols");
	r = load_peek(s->l, s->raw, img->shnum * s->shsize, img->shoff);
	if (r < 0)
		return load_fail(s->l, r,
		    "kernel: truncated: section headers at %#llx",
		    (unsigned long long)img->shoff);
	names = get(s, img->shstrndx);
	s->names = names.off;
	s->names_len = names.size;
	return 0;
}

static bool
named(const struct syms *s, const struct section *sec, const char *name)
{
	size_t len = strlen(name) + 1;
	char b[16];

	/* names + name: both are checked, the first one by load_peek(). */
	return sec->name < s->names_len && len <= s->names_len - sec->name &&
	    s->names <= s->l->kernel.size && len <= sizeof(b) &&
	    load_peek(s->l, b, len, s->names + sec->name) == 0 &&
	    memcmp(b, name, len) == 0;
}

static bool
wanted(const struct syms *s, const struct section *sec)
{
	return sec->type == SHT_SYMTAB || sec->type == SHT_STRTAB ||
	    named(s, sec, ".debug_line") || named(s, sec, ".SUNW_ctf");
}

/* load_copy() would find the end of memory, but not say which section it is. */
static int
place(struct syms *s, unsigned i, const struct section *sec)
{
	const struct load *l = s->l;
	int r;

	if (sec->type == SHT_NOBITS || sec->off > l->kernel.size ||
	    sec->size > l->kernel.size - sec->off)
		return load_fail(l, -ENODATA,
		    "kernel: truncated: section %u has %#llx bytes at %#llx", i,
		    (unsigned long long)sec->size,
		    (unsigned long long)sec->off);
	if (s->end > l->ram_end || sec->size > l->ram_end - s->end)
		return load_fail(l, -ENOSPC,
		    "kernel: does not fit in %llu MiB of memory: section %u, "
		    "%#llx bytes",
		    (unsigned long long)(l->in->mem->size >> 20), i,
		    (unsigned long long)sec->size);
	r = load_copy(l, &l->kernel, sec->off, sec->size, s->end);
	if (r < 0)
		return r;
	set(s, i, s->end - s->base);
	s->end = round_up(s, s->end + sec->size);
	return 0;
}

static int
place_all(struct syms *s)
{
	struct section sec;
	bool have = false;
	unsigned i;
	int r;

	for (i = 0; i < s->img->shnum; i++)
		have |= get(s, i).type == SHT_SYMTAB;
	for (i = 0; have && i < s->img->shnum; i++) {
		sec = get(s, i);
		if (wanted(s, &sec) && (r = place(s, i, &sec)) < 0)
			return r;
	}
	return 0;
}

/* The kernel's own, as it has no program headers here. */
static int
write_header(const struct syms *s)
{
	union {
		Elf32_Ehdr e32;
		Elf64_Ehdr e64;
	} h;
	uint64_t len = s->img->elf64 ? sizeof(h.e64) : sizeof(h.e32);
	int r;

	if ((r = load_peek(s->l, &h, len, 0)) < 0)
		return load_fail(s->l, r, "kernel: truncated");
	if (s->img->elf64) {
		h.e64.e_phoff = 0;
		h.e64.e_shoff = len;
		h.e64.e_phentsize = h.e64.e_phnum = 0;
	} else {
		h.e32.e_phoff = 0;
		h.e32.e_shoff = (Elf32_Off)len;
		h.e32.e_phentsize = h.e32.e_phnum = 0;
	}
	r = gmem_write(s->l->in->mem, (struct gpa){ s->base }, &h, len);
	if (r == 0 && s->img->shnum != 0)
		r = gmem_write(s->l->in->mem, (struct gpa){ s->base + len },
		    s->raw, s->img->shnum * s->shsize);
	return r < 0 ? load_fail(s->l, -ENOSPC,
			   "kernel: does not fit in %llu MiB of memory: "
			   "section headers",
			   (unsigned long long)(s->l->in->mem->size >> 20))
		     : 0;
}

int
load_syms(const struct load *l, const struct elf *img, uint64_t *end)
{
	struct syms s = {
		.l = l,
		.img = img,
		.word = img->elf64 ? sizeof(Elf64_Addr) : sizeof(Elf32_Addr),
		.shsize = img->elf64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr),
	};
	int r = 0;

	s.base = round_up(&s, img->end);
	s.end = s.base + (img->elf64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr));
	if (img->shnum != 0) {
		r = read_headers(&s);
		s.end = round_up(&s, s.end + img->shnum * s.shsize);
	}
	if (r == 0 && img->shnum != 0)
		r = place_all(&s);
	if (r == 0)
		r = write_header(&s);
	free(s.raw);
	if (r == 0)
		*end = s.end;
	return r;
}
