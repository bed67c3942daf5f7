// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The stack and near control flow, APM vol. 3 "General-Purpose Instruction
 * Reference", vol. 1 "Procedure Calls", "Control Transfers".
 */
#include "emul_int.h"

unsigned
emul_stack_size(const struct emul *e)
{
	if (e->bits == 64)
		return 8;
	return (emul_seg(e, SEG_SS)->attr & SEG_DB) ? 4 : 2;
}

static struct emul_ref
stack_at(const struct emul *e, u64 sp)
{
	return (struct emul_ref){
		.off = sp & size_mask(emul_stack_size(e)),
		.seg = SEG_SS,
	};
}

enum emul_result
emul_push_value(struct emul *e, u64 v, unsigned size)
{
	u64 sp = e->gpr[R_RSP] - size;

	TRY(emul_write(e, stack_at(e, sp), &v, size));
	emul_set_reg(e, R_RSP, emul_stack_size(e), sp);
	return EMUL_DONE;
}

enum emul_result
emul_pop_value(struct emul *e, u64 *v, unsigned size)
{
	*v = 0;
	TRY(emul_read(e, stack_at(e, e->gpr[R_RSP]), v, size));
	emul_set_reg(e, R_RSP, emul_stack_size(e), e->gpr[R_RSP] + size);
	return EMUL_DONE;
}

/* The next instruction, in this code segment. */
enum emul_result
emul_jump(struct emul *e, u64 rip)
{
	if (e->bits == 64) {
		if (!emul_canonical(e, rip))
			return emul_fault(e, X86_GP, 0);
	} else if (rip > emul_seg(e, SEG_CS)->limit) {
		return emul_fault(e, X86_GP, 0);
	}
	e->rip = rip;
	return EMUL_DONE;
}

static enum emul_result
jump_relative(struct emul *e)
{
	return emul_jump(e, (e->rip + (u64)e->in.imm) & size_mask(e->in.size));
}

enum emul_result
emul_push(struct emul *e)
{
	u64 v;

	TRY(emul_get(e, e->in.dst, false, &v));
	return emul_push_value(e, v, e->in.size);
}

/* An address that uses rSP uses the one after the pop. */
enum emul_result
emul_pop(struct emul *e)
{
	u64 v;

	TRY(emul_pop_value(e, &v, e->in.size));
	return emul_put(e, e->in.dst, v);
}

enum emul_result
emul_pusha(struct emul *e)
{
	u64 sp = e->gpr[R_RSP];
	unsigned i;

	for (i = R_RAX; i <= R_RDI; i++)
		TRY(emul_push_value(
		    e, i == R_RSP ? sp : e->gpr[i], e->in.size));
	return EMUL_DONE;
}

enum emul_result
emul_popa(struct emul *e)
{
	unsigned i;
	u64 v;

	for (i = R_RDI + 1; i-- > R_RAX;) {
		TRY(emul_pop_value(e, &v, e->in.size));
		if (i != R_RSP)
			emul_set_reg(e, i, e->in.size, v);
	}
	return EMUL_DONE;
}

/* Virtual-8086 mode needs IOPL 3; its VME variant is not emulated. */
enum emul_result
emul_check_v86(struct emul *e)
{
	if (!(e->rflags & X86_RFLAGS_VM) || emul_iopl(e) == 3)
		return EMUL_DONE;
	if (e->cpu->cr4 & X86_CR4_VME)
		return EMUL_UNHANDLED;
	return emul_fault(e, X86_GP, 0);
}

enum emul_result
emul_pushf(struct emul *e)
{
	TRY(emul_check_v86(e));
	return emul_push_value(
	    e, e->rflags & ~(X86_RFLAGS_VM | X86_RFLAGS_RF), e->in.size);
}

/* What POPF and IRET may change at this privilege. */
void
emul_set_flags(struct emul *e, u64 v, unsigned size)
{
	u64 may = FL_STATUS | X86_RFLAGS_TF | X86_RFLAGS_DF | X86_RFLAGS_NT;

	if (size > 2)
		may |= X86_RFLAGS_AC | X86_RFLAGS_ID;
	if (e->cpl <= emul_iopl(e))
		may |= X86_RFLAGS_IF;
	if (e->cpl == 0)
		may |= X86_RFLAGS_IOPL;
	emul_flags(e, may, v);
}

enum emul_result
emul_popf(struct emul *e)
{
	u64 v;

	TRY(emul_check_v86(e));
	TRY(emul_pop_value(e, &v, e->in.size));
	emul_set_flags(e, v, e->in.size);
	return EMUL_DONE;
}

enum emul_result
emul_enter(struct emul *e)
{
	unsigned size = e->in.size, level = e->in.imm2 & 31, i;
	u64 frame, at = e->gpr[R_RBP], v;

	TRY(emul_push_value(e, e->gpr[R_RBP], size));
	frame = e->gpr[R_RSP];
	for (i = 1; i < level; i++) {
		at -= size;
		v = 0;
		TRY(emul_read(e, stack_at(e, at), &v, size));
		TRY(emul_push_value(e, v, size));
	}
	if (level > 0)
		TRY(emul_push_value(e, frame, size));
	emul_set_reg(e, R_RBP, size, frame);
	emul_set_reg(
	    e, R_RSP, emul_stack_size(e), e->gpr[R_RSP] - (u64)e->in.imm);
	/* The new top of the stack must be writable. */
	return emul_probe(e, stack_at(e, e->gpr[R_RSP]), size, true);
}

enum emul_result
emul_leave(struct emul *e)
{
	u64 v;

	emul_set_reg(e, R_RSP, emul_stack_size(e), e->gpr[R_RBP]);
	TRY(emul_pop_value(e, &v, e->in.size));
	emul_set_reg(e, R_RBP, e->in.size, v);
	return EMUL_DONE;
}

enum emul_result
emul_call(struct emul *e)
{
	u64 back = e->rip, to;

	if (e->in.op == OP_CALL_IND) {
		TRY(emul_get(e, A_RM, false, &to));
		TRY(emul_jump(e, to));
	} else {
		TRY(jump_relative(e));
	}
	return emul_push_value(e, back, e->in.size);
}

enum emul_result
emul_ret(struct emul *e)
{
	u64 to;

	TRY(emul_pop_value(e, &to, e->in.size));
	if (e->in.src == A_IMM)
		emul_set_reg(e, R_RSP, emul_stack_size(e),
		    e->gpr[R_RSP] + (u64)e->in.imm);
	return emul_jump(e, to);
}

enum emul_result
emul_jmp(struct emul *e)
{
	u64 to;

	if (e->in.op == OP_JMP)
		return jump_relative(e);
	TRY(emul_get(e, A_RM, false, &to));
	return emul_jump(e, to);
}

enum emul_result
emul_jcc(struct emul *e)
{
	if (!emul_condition(e, e->in.opcode))
		return EMUL_DONE;
	return jump_relative(e);
}

/* LOOPNE, LOOPE, LOOP: e0, e1, e2; JCXZ counts nothing. */
enum emul_result
emul_loop(struct emul *e)
{
	unsigned asize = e->in.asize;
	bool zf = (e->rflags & FL_ZF) != 0, taken;

	if (e->in.op == OP_LOOP)
		emul_set_reg(e, R_RCX, asize, e->gpr[R_RCX] - 1);
	taken = (e->gpr[R_RCX] & size_mask(asize)) != 0;
	if (e->in.op == OP_JCXZ)
		taken = !taken;
	else if (e->in.opcode != 0xe2)
		taken = taken && zf == (e->in.opcode == 0xe1);
	return taken ? jump_relative(e) : EMUL_DONE;
}
