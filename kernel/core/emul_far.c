// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Control transfers that load CS: real mode, and protected mode within one
 * privilege level.  Gates, tasks and other levels are not emulated: no
 * processor leaves these to software.  APM vol. 2 "Control-Transfer
 * Privilege Checks", vol. 3 "INT", "IRET".
 */
#include "emul_int.h"

static enum emul_result
far_pointer(struct emul *e, u64 *off, u16 *sel)
{
	const struct decoded *in = &e->in;
	/* AMD's CPUs know no 64-bit offset: APM "JMP Far". */
	unsigned size = in->size == 8 ? 4 : in->size;
	struct emul_ref ref;

	*off = (u64)in->imm;
	*sel = in->imm2;
	if (in->op == OP_CALLF || in->op == OP_JMPF)
		return EMUL_DONE;
	ref = emul_operand(e);
	*off = 0;
	TRY(emul_read(e, ref, off, size));
	ref.off = (ref.off + size) & size_mask(in->asize);
	return emul_read(e, ref, sel, 2);
}

/* What still happens to the stack does so as in the new code. */
static void
adopt_mode(struct emul *e, const struct seg *cs)
{
	if (e->cpu->efer & X86_EFER_LMA)
		e->bits = (cs->attr & SEG_L) ? 64 : 32;
}

/* Is rip inside of the new code segment? */
static enum emul_result
enter_segment(struct emul *e, const struct seg *cs, u64 rip)
{
	bool sixty_four = (e->cpu->efer & X86_EFER_LMA) && (cs->attr & SEG_L);

	if (sixty_four ? !emul_canonical(e, rip) : rip > cs->limit)
		return emul_fault(e, X86_GP, 0);
	emul_set_seg(e, SEG_CS, cs);
	e->rip = rip;
	return EMUL_DONE;
}

enum emul_result
emul_far(struct emul *e)
{
	bool call = e->in.op == OP_CALLF || e->in.op == OP_CALLF_IND;
	u64 off, back = e->rip;
	struct seg cs;
	u16 sel;

	TRY(far_pointer(e, &off, &sel));
	TRY(emul_load_cs(e, sel, false, &cs));
	adopt_mode(e, &cs);
	if (call) {
		TRY(emul_push_value(e, emul_seg(e, SEG_CS)->sel, e->in.size));
		TRY(emul_push_value(e, back, e->in.size));
	}
	return enter_segment(e, &cs, off);
}

enum emul_result
emul_retf(struct emul *e)
{
	struct seg cs;
	u64 off, sel;

	TRY(emul_pop_value(e, &off, e->in.size));
	TRY(emul_pop_value(e, &sel, e->in.size));
	TRY(emul_load_cs(e, (u16)sel, true, &cs));
	adopt_mode(e, &cs);
	if (e->in.src == A_IMM)
		emul_set_reg(e, R_RSP, emul_stack_size(e),
		    e->gpr[R_RSP] + (u64)e->in.imm);
	return enter_segment(e, &cs, off);
}

/* Through the real-mode vector table. */
enum emul_result
emul_real_interrupt(struct emul *e, unsigned vector)
{
	const struct dtable *idt = &e->cpu->idt;
	struct gva at = { (u32)(idt->base + vector * 4) };
	struct seg cs;
	u16 to[2];

	if (vector * 4 + 3 > idt->limit)
		return emul_fault(e, X86_GP, 0);
	TRY(emul_read_linear(e, at, WALK_IMPLICIT, to, sizeof(to)));
	TRY(emul_push_value(e, e->rflags, 2));
	TRY(emul_push_value(e, emul_seg(e, SEG_CS)->sel, 2));
	TRY(emul_push_value(e, e->rip, 2));
	e->rflags &= ~(X86_RFLAGS_IF | X86_RFLAGS_TF | X86_RFLAGS_AC);
	TRY(emul_load_cs(e, to[1], false, &cs));
	return enter_segment(e, &cs, to[0]);
}

enum emul_result
emul_int(struct emul *e)
{
	if (e->in.op == OP_INTO && !(e->rflags & FL_OF))
		return EMUL_DONE;
	if (e->cpu->cr0 & X86_CR0_PE)
		return EMUL_UNHANDLED;
	switch (e->in.op) {
	case OP_INT3:
		return emul_real_interrupt(e, X86_BP);
	case OP_INTO:
		return emul_real_interrupt(e, X86_OF);
	default:
		return emul_real_interrupt(e, (u8)e->in.imm);
	}
}

enum emul_result
emul_iret(struct emul *e)
{
	u64 off, sel, flags;
	struct seg cs;

	if (e->cpu->cr0 & X86_CR0_PE)
		return EMUL_UNHANDLED;
	TRY(emul_pop_value(e, &off, e->in.size));
	TRY(emul_pop_value(e, &sel, e->in.size));
	TRY(emul_pop_value(e, &flags, e->in.size));
	TRY(emul_load_cs(e, (u16)sel, true, &cs));
	emul_set_flags(e, flags, e->in.size);
	return enter_segment(e, &cs, off);
}
