// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Segment registers and descriptors, APM vol. 2 "Segmented Virtual Memory",
 * "Segment-Protection Overview".
 *
 * Invariant: a descriptor is read once; its accessed or busy bit is set by
 * compare-exchange against what was read.
 */
#include "emul_int.h"

#define RPL 3

/* Parts of a descriptor as they lie in memory. */
struct descriptor {
	u64 low, high; /* high: the second half of 16-byte ones */
	struct gva at;
};

static bool
is_null(u16 sel)
{
	return (sel & ~RPL) == 0;
}

static u16
attributes(const struct descriptor *d)
{
	return (u16)((d->low >> 40 & 0xff) | (d->low >> 44 & 0xf00));
}

static struct seg
unpack(const struct descriptor *d, u16 sel)
{
	struct seg s = { .sel = sel, .attr = attributes(d) };

	s.limit = (u32)((d->low & 0xffff) | (d->low >> 32 & 0xf0000));
	if (s.attr & SEG_G)
		s.limit = s.limit << 12 | 0xfff;
	s.base = (d->low >> 16 & 0xffffff) | (d->low >> 32 & 0xff000000);
	return s;
}

/* false: beyond its table. */
static bool
locate(const struct emul *e, u16 sel, unsigned len, struct gva *at)
{
	const struct seg *ldt = &e->cpu->seg[SEG_LDTR];
	u32 off = sel & ~7U;

	if (sel & 4) {
		if (!(ldt->attr & SEG_P) || off + len - 1 > ldt->limit)
			return false;
		at->v = ldt->base + off;
	} else {
		if (off + len - 1 > e->cpu->gdt.limit)
			return false;
		at->v = e->cpu->gdt.base + off;
	}
	return true;
}

static enum emul_result
selector_fault(struct emul *e, enum x86_vector vector, u16 sel)
{
	return emul_fault(e, vector, sel & ~3U);
}

static enum emul_result
read_descriptor(struct emul *e, u16 sel, unsigned len, struct descriptor *d)
{
	u64 v[2] = { 0 };

	if (!locate(e, sel, len, &d->at))
		return selector_fault(e, X86_GP, sel);
	TRY(emul_read_linear(e, d->at, WALK_IMPLICIT, v, len));
	d->low = v[0];
	d->high = v[1];
	return EMUL_DONE;
}

/* Set bits of the type byte when the instruction completes. */
static enum emul_result
mark_type(struct emul *e, const struct descriptor *d, u8 bits)
{
	u8 old = (u8)(d->low >> 40), new = old | bits;
	struct gva at = { d->at.v + 5 };

	if (old == new)
		return EMUL_DONE;
	TRY(emul_queue(e, at, WALK_IMPLICIT, &new, 1));
	emul_lock_write(e, &old);
	return EMUL_DONE;
}

/* Real and virtual-8086 mode: the base follows the selector, the limit and
 * attributes of real mode stay what they were. */
static struct seg
real_segment(const struct emul *e, unsigned n, u16 sel)
{
	struct seg s = *emul_seg(e, n);

	s.sel = sel;
	s.base = (u64)sel << 4;
	return s;
}

static enum emul_result
load_null(struct emul *e, unsigned n, u16 sel, struct seg *s)
{
	if (n == SEG_SS &&
	    (e->bits != 64 || e->cpl == 3 || (sel & RPL) != e->cpl))
		return emul_fault(e, X86_GP, 0);
	*s = (struct seg){ .sel = sel };
	/* The stack of 64-bit code needs no descriptor. */
	if (n == SEG_SS)
		s->attr = (u16)(e->cpl << SEG_DPL_SHIFT);
	return EMUL_DONE;
}

static enum emul_result
check_stack(struct emul *e, u16 sel, const struct seg *s)
{
	unsigned dpl = (s->attr & SEG_DPL) >> SEG_DPL_SHIFT;

	if ((sel & RPL) != e->cpl || dpl != e->cpl || !(s->attr & SEG_S) ||
	    (s->attr & 0xa) != 2)
		return selector_fault(e, X86_GP, sel);
	if (!(s->attr & SEG_P))
		return selector_fault(e, X86_SS, sel);
	return EMUL_DONE;
}

static enum emul_result
check_data(struct emul *e, u16 sel, const struct seg *s)
{
	unsigned dpl = (s->attr & SEG_DPL) >> SEG_DPL_SHIFT;
	bool code = (s->attr & 8) != 0, conforming = code && (s->attr & 4);

	if (!(s->attr & SEG_S) || (code && !(s->attr & 2)))
		return selector_fault(e, X86_GP, sel);
	if (!conforming && (dpl < e->cpl || dpl < (sel & RPL)))
		return selector_fault(e, X86_GP, sel);
	if (!(s->attr & SEG_P))
		return selector_fault(e, X86_NP, sel);
	return EMUL_DONE;
}

enum emul_result
emul_load_seg(struct emul *e, unsigned n, u16 sel, struct seg *s)
{
	struct descriptor d;

	if (!emul_protected(e)) {
		*s = real_segment(e, n, sel);
		return EMUL_DONE;
	}
	if (is_null(sel))
		return load_null(e, n, sel, s);
	TRY(read_descriptor(e, sel, 8, &d));
	*s = unpack(&d, sel);
	TRY(n == SEG_SS ? check_stack(e, sel, s) : check_data(e, sel, s));
	s->attr |= 1;
	return mark_type(e, &d, 1);
}

/* A code segment for a far JMP or CALL (ret: RETF, IRET) at this CPL. */
enum emul_result
emul_load_cs(struct emul *e, u16 sel, bool ret, struct seg *s)
{
	struct descriptor d;
	unsigned dpl, rpl = sel & RPL;

	if (!emul_protected(e)) {
		*s = real_segment(e, SEG_CS, sel);
		return EMUL_DONE;
	}
	if (is_null(sel))
		return emul_fault(e, X86_GP, 0);
	TRY(read_descriptor(e, sel, 8, &d));
	*s = unpack(&d, sel);
	dpl = (s->attr & SEG_DPL) >> SEG_DPL_SHIFT;
	if (!(s->attr & SEG_S) && !ret)
		return EMUL_UNHANDLED; /* gates and tasks */
	if (!(s->attr & SEG_S) || !(s->attr & 8))
		return selector_fault(e, X86_GP, sel);
	if (ret && rpl < e->cpl)
		return selector_fault(e, X86_GP, sel);
	if (ret && rpl > e->cpl)
		return EMUL_UNHANDLED; /* to an outer level */
	if (s->attr & 4 ? dpl > e->cpl : dpl != e->cpl || rpl > e->cpl)
		return selector_fault(e, X86_GP, sel);
	/* 64-bit and 32-bit at once is reserved. */
	if ((e->cpu->efer & X86_EFER_LMA) && (s->attr & SEG_L) &&
	    (s->attr & SEG_DB))
		return selector_fault(e, X86_GP, sel);
	if (!(s->attr & SEG_P))
		return selector_fault(e, X86_NP, sel);
	s->sel = (u16)((sel & ~RPL) | e->cpl);
	s->attr |= 1;
	return mark_type(e, &d, 1);
}

/* Which register PUSH and POP name in their opcode; MOV in ModRM.reg. */
static unsigned
named_segment(const struct decoded *in)
{
	if (in->op == OP_MOV_FROM_SEG || in->op == OP_MOV_TO_SEG)
		return in->reg & 7;
	return (in->opcode >> 3) & 7;
}

enum emul_result
emul_from_seg(struct emul *e)
{
	unsigned n = named_segment(&e->in);
	u16 sel;

	if (n > SEG_GS)
		return emul_ud(e);
	sel = emul_seg(e, n)->sel;
	if (e->in.op == OP_PUSH_SEG)
		return emul_push_value(e, sel, e->in.size);
	if (e->in.mem)
		return emul_write(e, emul_operand(e), &sel, 2);
	return emul_put(e, A_RM, sel);
}

enum emul_result
emul_to_seg(struct emul *e)
{
	unsigned n = named_segment(&e->in);
	struct seg s;
	u64 v;

	if (n > SEG_GS || n == SEG_CS)
		return emul_ud(e);
	if (e->in.op == OP_POP_SEG)
		TRY(emul_pop_value(e, &v, e->in.size));
	else
		TRY(emul_get_rm(e, 2, &v));
	TRY(emul_load_seg(e, n, (u16)v, &s));
	emul_set_seg(e, n, &s);
	if (n == SEG_SS)
		e->shadow = true;
	return EMUL_DONE;
}

/* LES, LDS, LSS, LFS, LGS. */
enum emul_result
emul_load_far(struct emul *e)
{
	struct emul_ref ref = emul_operand(e);
	u64 off = 0, sel = 0;
	struct seg s;
	unsigned n;

	switch (e->in.opcode) {
	case 0xc4:
		n = SEG_ES;
		break;
	case 0xc5:
		n = SEG_DS;
		break;
	default: /* 0F B2, B4, B5 */
		n = e->in.opcode & 7;
		break;
	}
	TRY(emul_read(e, ref, &off, e->in.size));
	ref.off = (ref.off + e->in.size) & size_mask(e->in.asize);
	TRY(emul_read(e, ref, &sel, 2));
	TRY(emul_load_seg(e, n, (u16)sel, &s));
	emul_set_seg(e, n, &s);
	return emul_put(e, A_REG, off);
}

/* --- LDTR and TR. --- */

/* In long mode they have 16-byte descriptors. */
static enum emul_result
system_descriptor(struct emul *e, u16 sel, struct descriptor *d, struct seg *s)
{
	bool longmode = (e->cpu->efer & X86_EFER_LMA) != 0;

	if (sel & 4)
		return selector_fault(e, X86_GP, sel);
	TRY(read_descriptor(e, sel, longmode ? 16 : 8, d));
	*s = unpack(d, sel);
	if (!longmode)
		return EMUL_DONE;
	s->base |= d->high << 32;
	if ((d->high >> 40 & 31) != 0 || !emul_canonical(e, s->base))
		return selector_fault(e, X86_GP, sel);
	return EMUL_DONE;
}

enum emul_result
emul_load_ldt(struct emul *e, u16 sel, struct seg *s)
{
	struct descriptor d;

	*s = (struct seg){ .sel = sel };
	if (is_null(sel))
		return EMUL_DONE;
	TRY(system_descriptor(e, sel, &d, s));
	if ((s->attr & (SEG_S | SEG_TYPE)) != 2)
		return selector_fault(e, X86_GP, sel);
	return s->attr & SEG_P ? EMUL_DONE : selector_fault(e, X86_NP, sel);
}

/* What its descriptor says. */
enum emul_result
emul_look_at_tss(struct emul *e, u16 sel, struct seg *s)
{
	struct descriptor d;

	return system_descriptor(e, sel, &d, s);
}

static enum emul_result
load_tr(struct emul *e, u16 sel, struct seg *s)
{
	bool longmode = (e->cpu->efer & X86_EFER_LMA) != 0;
	struct descriptor d;
	unsigned type;

	if (is_null(sel))
		return emul_fault(e, X86_GP, 0);
	TRY(system_descriptor(e, sel, &d, s));
	type = s->attr & (SEG_S | SEG_TYPE);
	if (type != 9 && (longmode || type != 1))
		return selector_fault(e, X86_GP, sel);
	if (!(s->attr & SEG_P))
		return selector_fault(e, X86_NP, sel);
	s->attr |= 2;
	return mark_type(e, &d, 2);
}

enum emul_result
emul_lldt(struct emul *e)
{
	bool tr = e->in.op == OP_LTR;
	struct seg s;
	u64 sel;

	TRY(emul_get_rm(e, 2, &sel));
	TRY(tr ? load_tr(e, (u16)sel, &s) : emul_load_ldt(e, (u16)sel, &s));
	emul_set_seg(e, tr ? SEG_TR : SEG_LDTR, &s);
	return EMUL_DONE;
}

/* User-mode instruction prevention: SLDT, STR, SGDT, SIDT, SMSW. */
enum emul_result
emul_check_umip(struct emul *e)
{
	if (e->cpl != 0 && (e->cpu->cr4 & X86_CR4_UMIP))
		return emul_fault(e, X86_GP, 0);
	return EMUL_DONE;
}

enum emul_result
emul_sldt(struct emul *e)
{
	u16 sel = e->cpu->seg[e->in.op == OP_STR ? SEG_TR : SEG_LDTR].sel;

	TRY(emul_check_umip(e));
	if (e->in.mem)
		return emul_write(e, emul_operand(e), &sel, 2);
	return emul_put(e, A_RM, sel);
}

/* --- Questions about descriptors, answered in ZF. --- */

/* EMUL_DONE with *visible false: not to be seen from here. */
static enum emul_result
look(struct emul *e, u16 sel, struct descriptor *d, bool *visible)
{
	unsigned dpl;
	u16 attr;

	*visible = false;
	if (is_null(sel) || !locate(e, sel, 8, &d->at))
		return EMUL_DONE;
	d->low = 0;
	TRY(emul_read_linear(e, d->at, WALK_IMPLICIT, &d->low, 8));
	attr = attributes(d);
	dpl = (attr & SEG_DPL) >> SEG_DPL_SHIFT;
	/* Conforming code is seen from everywhere. */
	*visible = (attr & (SEG_S | 0xc)) == (SEG_S | 0xc) ||
	    (dpl >= e->cpl && dpl >= (sel & RPL));
	return EMUL_DONE;
}

/* APM vol. 3 "LAR", "LSL": which system types have an answer. */
static bool
has_answer(const struct emul *e, u16 attr)
{
	bool longmode = (e->cpu->efer & X86_EFER_LMA) != 0;
	unsigned type = attr & SEG_TYPE;
	u32 legacy = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11;
	u32 gates = 1 << 4 | 1 << 5 | 1 << 12;
	u32 in_long = 1 << 2 | 1 << 9 | 1 << 11;
	u32 types = longmode ? in_long : legacy;

	if (attr & SEG_S)
		return true;
	if (e->in.op == OP_LAR)
		types |= longmode ? 1 << 12 : gates;
	return (types >> type & 1) != 0;
}

enum emul_result
emul_lar(struct emul *e)
{
	struct descriptor d = { 0 };
	bool visible;
	u64 sel, v;

	TRY(emul_get_rm(e, 2, &sel));
	TRY(look(e, (u16)sel, &d, &visible));
	if (!visible || !has_answer(e, attributes(&d))) {
		e->rflags &= ~FL_ZF;
		return EMUL_DONE;
	}
	e->rflags |= FL_ZF;
	if (e->in.op == OP_LAR)
		v = d.low >> 32 & 0x00ffff00;
	else
		v = unpack(&d, (u16)sel).limit;
	return emul_put(e, A_REG, v);
}

enum emul_result
emul_verr(struct emul *e)
{
	struct descriptor d = { 0 };
	bool visible, code, bit1;
	u64 sel;
	u16 attr;

	TRY(emul_get_rm(e, 2, &sel));
	TRY(look(e, (u16)sel, &d, &visible));
	attr = attributes(&d);
	code = (attr & 8) != 0;
	bit1 = (attr & 2) != 0;
	if (!(attr & SEG_S))
		visible = false;
	if (e->in.op == OP_VERR ? code && !bit1 : code || !bit1)
		visible = false;
	emul_flags(e, FL_ZF, visible ? FL_ZF : 0);
	return EMUL_DONE;
}

enum emul_result
emul_arpl(struct emul *e)
{
	u64 a, b;

	TRY(emul_get(e, A_RM, false, &a));
	TRY(emul_get(e, A_REG, false, &b));
	emul_flags(e, FL_ZF, (a & RPL) < (b & RPL) ? FL_ZF : 0);
	if ((a & RPL) >= (b & RPL))
		return EMUL_DONE;
	return emul_put(e, A_RM, (a & ~(u64)RPL) | (b & RPL));
}
