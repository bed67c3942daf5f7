// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The emulator's memory: segmentation, page crossing, the queue of writes.
 * APM vol. 2 "Segmented Virtual Memory", vol. 1 "Memory Addressing".
 *
 * Invariants
 *  1. Every access is checked (segment, canonical form, alignment, pages)
 *     before a byte of it moves.
 *  2. Writes are only queued; a read sees the bytes queued before it.
 */
#include "emul_int.h"

#define PAGE 4096

bool
emul_canonical(const struct emul *e, u64 va)
{
	unsigned bits = (e->cpu->cr4 & X86_CR4_LA57) ? 57 : 48;

	return (u64)((s64)(va << (64 - bits)) >> (64 - bits)) == va;
}

/* The memory operand that ModRM names. */
struct emul_ref
emul_operand(const struct emul *e)
{
	const struct decoded *in = &e->in;
	u64 off = (u64)in->disp;

	if (in->base >= 0)
		off += e->gpr[in->base];
	if (in->index >= 0)
		off += e->gpr[in->index] << in->shift;
	if (in->rip_relative)
		off += e->cpu->rip + in->len;
	return (struct emul_ref){
		.off = off & size_mask(in->asize),
		.seg = in->seg,
	};
}

static enum emul_result
refuse(struct emul *e, unsigned seg)
{
	return emul_fault(e, seg == SEG_SS ? X86_SS : X86_GP, 0);
}

/* May the segment's type be used so?  Not asked in real mode. */
static bool
type_allows(const struct seg *s, bool write)
{
	bool code = (s->attr & 8) != 0, bit1 = (s->attr & 2) != 0;

	if (!(s->attr & SEG_P))
		return false; /* null selector */
	return write ? !code && bit1 : !code || bit1;
}

static bool
within_limit(const struct seg *s, u64 off, unsigned len)
{
	u64 last = off + len - 1;

	/* Expand-down: data, bit 2. */
	if ((s->attr & 0xc) == 4)
		return off > s->limit &&
		    last <= ((s->attr & SEG_DB) ? 0xffffffff : 0xffff);
	return last <= s->limit;
}

static enum emul_result
check_alignment(struct emul *e, u64 va, unsigned align)
{
	if (e->cpl != 3 || !(e->cpu->cr0 & X86_CR0_AM) ||
	    !(e->rflags & X86_RFLAGS_AC) || (va & (align - 1)) == 0)
		return EMUL_DONE;
	return emul_fault(e, X86_AC, 0);
}

enum emul_result
emul_linear(struct emul *e, struct emul_ref ref, unsigned len, bool write,
    struct gva *va)
{
	const struct seg *s = emul_seg(e, ref.seg);
	u64 v;

	if (e->bits == 64) {
		v = ref.off;
		if (!emul_canonical(e, v))
			return refuse(e, ref.seg);
		if (ref.seg == SEG_FS || ref.seg == SEG_GS)
			v += s->base;
		if (!emul_canonical(e, v) || !emul_canonical(e, v + len - 1))
			return refuse(e, ref.seg);
	} else {
		if (emul_protected(e) && !type_allows(s, write))
			return refuse(e, ref.seg);
		if (!within_limit(s, ref.off, len))
			return refuse(e, ref.seg);
		v = (u32)(s->base + ref.off);
	}
	va->v = v;
	return check_alignment(e, v, ref.align ? ref.align : len);
}

/* MOVAPS, CMPXCHG16B: they insist before the segment is looked at. */
enum emul_result
emul_aligned_operand(struct emul *e, unsigned len, struct emul_ref *ref)
{
	u64 va;

	*ref = emul_operand(e);
	ref->align = 1;
	va = ref->off;
	if (e->bits != 64 || ref->seg == SEG_FS || ref->seg == SEG_GS)
		va += emul_seg(e, ref->seg)->base;
	if (va & (len - 1))
		return emul_fault(e, X86_GP, 0);
	return EMUL_DONE;
}

static unsigned
min_u(u64 a, u64 b)
{
	return (unsigned)(a < b ? a : b);
}

/* The next device access of an unaligned or long one: a power of two. */
static unsigned
device_len(unsigned len)
{
	return len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;
}

static enum emul_result
read_device(struct emul *e, struct gpa gpa, u8 *buf, unsigned len)
{
	unsigned n;

	for (; len > 0; len -= n, buf += n, gpa.v += n) {
		n = device_len(len);
		TRY(emul_access(e, EMUL_MMIO, gpa.v, buf, n, false));
	}
	return EMUL_DONE;
}

static enum emul_result
translate(
    struct emul *e, struct gva va, unsigned access, struct gpa *gpa, u64 *left)
{
	if (e->cpl == 3 && !(access & WALK_IMPLICIT))
		access |= WALK_USER;
	switch (e->ops->translate(e, va, access, gpa, left)) {
	case 0:
		/* RAM is accessed by 4 KiB pages, whatever maps it. */
		*left = min_u(*left, PAGE - (va.v & (PAGE - 1)));
		return EMUL_DONE;
	case -EAGAIN:
		return EMUL_AGAIN;
	default:
		return EMUL_FAULT;
	}
}

/* Bytes queued for [va, va + len) replace what memory has. */
static void
see_queued(const struct emul *e, struct gva va, u8 *buf, unsigned len)
{
	const struct emul_write *w;
	unsigned i, k;

	for (i = 0; i < e->nwrites; i++) {
		w = &e->writes[i];
		for (k = 0; k < w->len; k++)
			if (w->va.v + k - va.v < len)
				buf[w->va.v + k - va.v] = w->data[k];
	}
}

enum emul_result
emul_read_linear(
    struct emul *e, struct gva va, unsigned access, void *out, unsigned len)
{
	struct gpa gpa[2] = { { 0 }, { 0 } };
	u8 *buf = out;
	unsigned n[2], i;
	struct gva next;
	u64 left;

	TRY(translate(e, va, access, &gpa[0], &left));
	n[0] = min_u(left, len);
	n[1] = len - n[0];
	if (n[1] > 0) {
		next.v = va.v + n[0];
		if (e->bits != 64)
			next.v = (u32)next.v;
		TRY(translate(e, next, access, &gpa[1], &left));
	}
	for (i = 0; i < 2 && n[i] > 0; buf += n[i++])
		if (e->ops->ram_read(e, gpa[i], buf, n[i]) != 0)
			TRY(read_device(e, gpa[i], buf, n[i]));
	if (e->nwrites > 0)
		see_queued(e, va, out, len);
	return EMUL_DONE;
}

enum emul_result
emul_read(struct emul *e, struct emul_ref ref, void *buf, unsigned len)
{
	struct gva va;

	TRY(emul_linear(e, ref, len, ref.change, &va));
	return emul_read_linear(
	    e, va, ref.change ? WALK_WRITE : WALK_READ, buf, len);
}

enum emul_result
emul_probe(struct emul *e, struct emul_ref ref, unsigned len, bool write)
{
	unsigned access = write ? WALK_WRITE : WALK_READ;
	struct gva va;
	struct gpa gpa;
	u64 left;

	TRY(emul_linear(e, ref, len, write, &va));
	TRY(translate(e, va, access, &gpa, &left));
	if (left >= len)
		return EMUL_DONE;
	va.v += left;
	if (e->bits != 64)
		va.v = (u32)va.v;
	return translate(e, va, access, &gpa, &left);
}

/* The pages are looked up now: what can fault does so in program order. */
enum emul_result
emul_queue(struct emul *e, struct gva va, unsigned access, const void *data,
    unsigned len)
{
	struct emul_write *w = &e->writes[e->nwrites];
	struct gva next;
	u64 left;

	if (e->nwrites == EMUL_WRITES || len > sizeof(w->data))
		return EMUL_UNHANDLED; /* there is none that writes so much */
	access |= WALK_WRITE;
	TRY(translate(e, va, access, &w->gpa[0], &left));
	w->split = (u8)min_u(left, len);
	if (w->split < len) {
		next.v = va.v + w->split;
		if (e->bits != 64)
			next.v = (u32)next.v;
		TRY(translate(e, next, access, &w->gpa[1], &left));
	}
	w->va = va;
	w->len = (u8)len;
	w->lock = false;
	memcpy(w->data, data, len);
	e->nwrites++;
	return EMUL_DONE;
}

enum emul_result
emul_write(struct emul *e, struct emul_ref ref, const void *data, unsigned len)
{
	struct gva va;

	TRY(emul_linear(e, ref, len, true, &va));
	return emul_queue(e, va, 0, data, len);
}

/* The last queued write is a compare-exchange against these bytes. */
void
emul_lock_write(struct emul *e, const void *old)
{
	struct emul_write *w = &e->writes[e->nwrites - 1];

	w->lock = true;
	memcpy(w->old, old, w->len);
}

/*
 * One locked write.  Across cache lines the CPU locks the bus; that is not
 * done for a guest, whose other CPUs see the two halves.
 */
static enum emul_result
write_locked(struct emul *e, const struct emul_write *w)
{
	switch (e->ops->ram_cmpxchg(e, w->gpa[0], w->old, w->data, w->len)) {
	case 0:
		return EMUL_DONE;
	case -EAGAIN:
		return EMUL_AGAIN;
	default:
		return EMUL_UNHANDLED;
	}
}

/* Continues at e->write_off. */
static enum emul_result
carry_out(struct emul *e, const struct emul_write *w)
{
	struct gpa gpa;
	unsigned n, at;
	enum emul_result r;

	if (w->lock && (w->gpa[0].v & 63) + w->len <= 64) {
		r = write_locked(e, w);
		if (r != EMUL_UNHANDLED)
			return r; /* else it is a device's */
	}
	while (e->write_off < w->len) {
		at = e->write_off;
		if (at < w->split) {
			gpa.v = w->gpa[0].v + at;
			n = w->split - at;
		} else {
			gpa.v = w->gpa[1].v + at - w->split;
			n = w->len - at;
		}
		if (e->ops->ram_write(e, gpa, w->data + at, n) != 0) {
			n = device_len(n);
			TRY(emul_access(e, EMUL_MMIO, gpa.v,
			    (void *)(w->data + at), n, true));
		}
		e->write_off += (u8)n;
	}
	return EMUL_DONE;
}

enum emul_result
emul_commit_writes(struct emul *e)
{
	if (!e->committing) {
		e->committing = true;
		e->write_at = e->write_off = 0;
	}
	for (; e->write_at < e->nwrites; e->write_at++) {
		TRY(carry_out(e, &e->writes[e->write_at]));
		e->write_off = 0;
	}
	e->committing = false;
	return EMUL_DONE;
}

/* How many bytes at rip + have may be fetched at once; 0: a fault is set. */
static enum emul_result
fetch_window(struct emul *e, unsigned bits, struct gva *va, unsigned *max)
{
	const struct seg *cs = &e->cpu->seg[SEG_CS];
	u64 off = e->cpu->rip + e->insn_len;

	*max = DECODE_MAX - e->insn_len;
	if (bits == 64) {
		if (!emul_canonical(e, off))
			return emul_fault(e, X86_GP, 0);
		va->v = off;
		return EMUL_DONE;
	}
	off = (u32)off;
	if (off > cs->limit)
		return emul_fault(e, X86_GP, 0);
	*max = min_u(*max, (u64)cs->limit - off + 1);
	va->v = (u32)(cs->base + off);
	return EMUL_DONE;
}

/* Append to insn[], to the end of a page at most. */
static enum emul_result
fetch_more(struct emul *e, unsigned bits)
{
	struct gva va = { 0 };
	struct gpa gpa;
	unsigned max;
	u64 left;

	TRY(fetch_window(e, bits, &va, &max));
	TRY(translate(e, va, WALK_FETCH, &gpa, &left));
	max = min_u(left, max);
	if (e->ops->ram_read(e, gpa, e->insn + e->insn_len, max) != 0)
		return EMUL_UNHANDLED;
	e->insn_len += (u8)max;
	return EMUL_DONE;
}

enum emul_result
emul_fetch(struct emul *e)
{
	unsigned bits = cpu_mode_bits(e->cpu);
	int err;

	if (e->insn_len > DECODE_MAX)
		e->insn_len = DECODE_MAX;
	e->bits = (u8)bits;
	while ((err = decode(e->insn, e->insn_len, bits, &e->in)) == -ENODATA)
		TRY(fetch_more(e, bits));
	return err == 0 ? EMUL_DONE : emul_fault(e, X86_GP, 0);
}
