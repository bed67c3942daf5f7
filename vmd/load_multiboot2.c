/* SPDX-License-Identifier: ISC */
/*
 * "Multiboot2 Specification" 2.0: a kernel with a header in its first 32 KiB,
 * which is an ELF image or says itself where it goes.
 *
 * Invariants
 *  1. The header's tags are read once: what was checked is what is used.
 *  2. What the kernel has is at 1 MiB and above, wherever it is moved to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "load_elf.h"
#include "load_multiboot.h"
#include "load_multiboot2.h"

/* "The magic fields of Multiboot2 header" */
#define MAGIC	0xe85250d6U
#define I386	0
#define SEARCH	32768U
#define FIXED	16U /* bytes before the tags */
#define ALIGNED 8U

/* "I386 machine state" */
#define EAX_MAGIC 0x36d76289U

/* "General tag structure" */
#define OPTIONAL     1U
#define TAG_HEAD     8U
#define INFO_LAST    21U /* the last kind of information that has a meaning */
#define FILE_START   UINT32_MAX
#define CONSOLE_MUST 1U
#define CONSOLE_EGA  2U
enum tag {
	TAG_END,
	TAG_INFO,
	TAG_ADDRESS,
	TAG_ENTRY,
	TAG_CONSOLE,
	TAG_FRAMEBUFFER, /* a preference */
	TAG_ALIGN, /* modules always are */
	TAG_EFI_SERVICES, /* these three are for EFI alone */
	TAG_EFI_ENTRY32,
	TAG_EFI_ENTRY64,
	TAG_RELOCATABLE,
	TAGS
};
enum preference { ANYWHERE, LOWEST, HIGHEST };

/* What the header wants. */
struct wish {
	bool has_at, has_entry, relocatable;
	struct multiboot_at at;
	uint32_t entry;
	struct {
		uint32_t min, max, align, preference;
	} to;
};

/* Where in the header, for what is said of it. */
struct reader {
	const struct load *l;
	const struct multiboot2 *h;
	const uint8_t *b;
};

bool
load_multiboot2_header(const struct load *l, struct multiboot2 *h)
{
	uint32_t n =
	    l->kernel.size < SEARCH ? (uint32_t)l->kernel.size : SEARCH;
	uint32_t off, w[4];
	bool found = false;
	uint8_t *b;

	n -= n % ALIGNED;
	if (n < FIXED || (b = malloc(n)) == NULL)
		return false;
	if (load_peek(l, b, n, 0) == 0) {
		for (off = 0; !found && off <= n - FIXED; off += ALIGNED) {
			memcpy(w, b + off, sizeof(w));
			found = w[0] == MAGIC && w[0] + w[1] + w[2] + w[3] == 0;
			*h = (struct multiboot2){ off, w[2] };
		}
	}
	free(b);
	return found;
}

static int
bad(const struct reader *r, const char *what, uint32_t n)
{
	return load_fail(r->l, -ENOEXEC,
	    "kernel: multiboot2 header at %#x: %s %u", r->h->off, what, n);
}

/* "Multiboot2 information request": of a kind that has no meaning, or any. */
static int
check_info(const struct reader *r, uint32_t at, uint32_t len)
{
	uint32_t kind;

	for (; len >= sizeof(kind); at += 4, len -= 4) {
		memcpy(&kind, r->b + at, sizeof(kind));
		if (kind > INFO_LAST)
			return bad(
			    r, "wants information of unknown kind", kind);
	}
	return 0;
}

/* "Flags tag": a screen in text mode is all that there can be. */
static int
check_console(const struct reader *r, uint32_t at)
{
	uint32_t flags;

	memcpy(&flags, r->b + at, sizeof(flags));
	if ((flags & CONSOLE_MUST) == 0 ||
	    ((flags & CONSOLE_EGA) != 0 && r->l->in->screen))
		return 0;
	return bad(r, "wants a screen that there is not: flags", flags);
}

/* Its length is checked. */
static int
take_tag(const struct reader *r, enum tag type, bool optional, uint32_t at,
    uint32_t len, struct wish *w)
{
	switch (type) {
	case TAG_INFO:
		return optional ? 0 : check_info(r, at, len);
	case TAG_ADDRESS:
		memcpy(&w->at, r->b + at, sizeof(w->at));
		w->has_at = true;
		return 0;
	case TAG_ENTRY:
		memcpy(&w->entry, r->b + at, sizeof(w->entry));
		w->has_entry = true;
		return 0;
	case TAG_CONSOLE:
		return optional ? 0 : check_console(r, at);
	case TAG_RELOCATABLE:
		memcpy(&w->to, r->b + at, sizeof(w->to));
		w->relocatable = true;
		return 0;
	case TAG_END:
	case TAG_FRAMEBUFFER:
	case TAG_ALIGN:
	case TAG_EFI_SERVICES:
	case TAG_EFI_ENTRY32:
	case TAG_EFI_ENTRY64:
	case TAGS:
		return 0;
	}
	return 0;
}

static int
take_tags(const struct reader *r, struct wish *w)
{
	/* Bytes that each has at least. */
	static const uint8_t least[TAGS] = {
		[TAG_ADDRESS] = sizeof(w->at),
		[TAG_ENTRY] = sizeof(w->entry),
		[TAG_CONSOLE] = 4,
		[TAG_FRAMEBUFFER] = 12,
		[TAG_EFI_ENTRY32] = 4,
		[TAG_EFI_ENTRY64] = 4,
		[TAG_RELOCATABLE] = sizeof(w->to),
	};
	uint32_t at = FIXED, size;
	uint16_t tag[2]; /* type, flags */
	int e;

	while (r->h->len - at >= TAG_HEAD) {
		memcpy(tag, r->b + at, sizeof(tag));
		memcpy(&size, r->b + at + sizeof(tag), sizeof(size));
		if (size < TAG_HEAD || size > r->h->len - at ||
		    (tag[0] < TAGS && size - TAG_HEAD < least[tag[0]]))
			return bad(r, "bad length of tag", tag[0]);
		if (tag[0] == TAG_END)
			return 0;
		if (tag[0] >= TAGS && (tag[1] & OPTIONAL) == 0)
			return bad(r, "unknown tag", tag[0]);
		if (tag[0] < TAGS &&
		    (e = take_tag(r, (enum tag)tag[0], (tag[1] & OPTIONAL) != 0,
			 at + TAG_HEAD, size - TAG_HEAD, w)) < 0)
			return e;
		size = (size + ALIGNED - 1) & ~(ALIGNED - 1);
		if (size > r->h->len - at)
			break;
		at += size;
	}
	return bad(r, "no last tag in its bytes,", r->h->len);
}

static int
read_header(const struct load *l, const struct multiboot2 *h, struct wish *w)
{
	struct reader r = { l, h, NULL };
	uint32_t arch;
	uint8_t *b;
	int e;

	if (h->len < FIXED || h->len > SEARCH - h->off)
		return bad(&r, "bad length", h->len);
	if ((b = malloc(h->len)) == NULL)
		return load_fail(
		    l, -ENOMEM, "kernel: no memory for its header");
	r.b = b;
	if ((e = load_peek(l, b, h->len, h->off)) < 0) {
		load_fail(l, e, "kernel: truncated: multiboot2 header at %#x",
		    h->off);
		goto free_header;
	}
	memcpy(&arch, b + sizeof(arch), sizeof(arch));
	e = arch == I386 ? take_tags(&r, w)
			 : bad(&r, "for another architecture,", arch);
free_header:
	free(b);
	return e;
}

/* "Relocatable header tag": how far it is moved. */
static int
choose(const struct load *l, const struct wish *w, uint64_t base, uint64_t end,
    uint64_t *shift)
{
	uint64_t align = w->to.align == 0 ? 1 : w->to.align;
	uint64_t lo = w->to.min, hi = w->to.max, high;

	*shift = 0;
	if (!w->relocatable)
		return 0;
	if ((align & (align - 1)) != 0)
		return load_fail(l, -ENOEXEC,
		    "kernel: wants to be at multiples of %#x, no power of two",
		    w->to.align);
	if (lo < LOAD_HIGH_BASE)
		lo = LOAD_HIGH_BASE;
	lo = (lo + align - 1) & ~(align - 1);
	if (hi > l->ram_end)
		hi = l->ram_end;
	if (hi < end - base || (high = (hi - (end - base)) & ~(align - 1)) < lo)
		return load_fail(l, -ENOSPC,
		    "kernel: does not fit in %llu MiB of memory: %#llx bytes "
		    "from %#x to %#x",
		    (unsigned long long)(l->in->mem->size >> 20),
		    (unsigned long long)(end - base), w->to.min, w->to.max);
	if (w->to.preference == HIGHEST)
		lo = high;
	else if (w->to.preference != LOWEST && base >= lo && base <= high &&
	    base % align == 0)
		lo = base;
	*shift = lo - base;
	return 0;
}

static int
place_flat(const struct load *l, const struct multiboot2 *h,
    const struct wish *w, struct multiboot2_place *p, uint64_t *entry)
{
	struct multiboot_at at = w->at;
	struct multiboot_image im;
	uint64_t shift;
	int r;

	if (!w->has_entry)
		return load_fail(l, -ENOEXEC,
		    "kernel: multiboot2 header at %#x with addresses, and "
		    "without an entry point",
		    h->off);
	if (at.load == FILE_START)
		at.load = at.header - h->off; /* else it is refused */
	if ((r = load_multiboot_flat(l, h->off, &at, &im)) < 0 ||
	    (r = choose(l, w, im.base, im.end, &shift)) < 0)
		return r;
	im.base += shift;
	im.end += shift;
	p->base = im.base;
	p->end = im.end;
	*entry = w->entry + shift;
	return load_multiboot_copy(l, &im);
}

/* As linked. */
static int
extent(
    const struct load *l, const struct elf *img, uint64_t *base, uint64_t *end)
{
	struct elf_segment s;
	unsigned i;
	int r;

	*base = UINT64_MAX;
	*end = 0;
	for (i = 0; i < img->n; i++) {
		if ((r = load_elf_segment(l, img, i, &s)) < 0)
			return r;
		if (!load_elf_loaded(img, &s) || s.memsz == 0)
			continue;
		if (s.memsz > UINT64_MAX - s.paddr)
			return load_fail(l, -ENOEXEC,
			    "kernel: bad program headers: segment %u, %#llx "
			    "bytes at %#llx",
			    i, (unsigned long long)s.memsz,
			    (unsigned long long)s.paddr);
		if (s.paddr < *base)
			*base = s.paddr;
		if (s.paddr + s.memsz > *end)
			*end = s.paddr + s.memsz;
	}
	return *end != 0 ? 0 : load_fail(l, -ENOEXEC, "kernel: no code in it");
}

static int
place_elf(const struct load *l, const struct wish *w, struct elf *img,
    struct multiboot2_place *p, uint64_t *entry)
{
	int r;

	if ((r = extent(l, img, &p->base, &p->end)) < 0 ||
	    (r = choose(l, w, p->base, p->end, &img->shift)) < 0 ||
	    (r = load_elf_check(l, img)) < 0 ||
	    (r = load_multiboot_entry(l, img, entry)) < 0)
		return r;
	p->base += img->shift;
	p->end += img->shift;
	p->img = img;
	if (w->has_entry)
		*entry = w->entry + img->shift;
	return load_elf_copy(l, img);
}

/* The larger of what is before the image and what is after it. */
static void
find_room(const struct load *l, struct multiboot2_place *p)
{
	p->floor = p->end;
	p->limit = l->ram_end;
	if (p->limit - p->floor < p->base - LOAD_HIGH_BASE) {
		p->floor = LOAD_HIGH_BASE;
		p->limit = p->base;
	}
}

int
load_multiboot2(const struct load *l, const struct multiboot2 *h,
    const struct elf *linked, struct load_out *out)
{
	struct multiboot2_place p = { .img = NULL };
	struct wish w = { .has_at = false };
	struct elf img;
	uint64_t entry;
	int r;

	if ((r = read_header(l, h, &w)) < 0)
		return r;
	if (!w.has_at && linked == NULL)
		return load_fail(l, -ENOEXEC,
		    "kernel: multiboot2 header at %#x without addresses, and "
		    "not an ELF file",
		    h->off);
	if (w.has_at) {
		r = place_flat(l, h, &w, &p, &entry);
	} else {
		img = *linked;
		r = place_elf(l, &w, &img, &p, &entry);
	}
	if (r < 0)
		return r;
	if (entry < p.base || entry >= p.end)
		return load_fail(l, -ENOEXEC, "kernel: bad entry point %#llx",
		    (unsigned long long)entry);
	p.moved = w.relocatable;
	find_room(l, &p);
	if ((r = load_multiboot2_info(l, &p)) < 0)
		return r;
	*out = (struct load_out){
		.mode = LOAD_PROTECTED,
		.rip = entry,
		.rax = EAX_MAGIC,
		.rbx = LOAD_CMDLINE_GPA,
	};
	return 0;
}
