// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Running one instruction: fetch, decode, what holds for all of them,
 * execute on a copy of the registers, write, publish.  See emul.h.
 */
#include "emul_int.h"

/* Iterations of a repeated instruction before the caller looks for events;
 * one that went to a device counts as many, for its answer took long. */
#define BATCH	    1024
#define DEVICE_COST 64

typedef enum emul_result (*execute)(struct emul *);

static const execute executes[OP_COUNT] = {
#define X(name, group) [OP_##name] = emul_##group,
	DECODE_OPS(X)
#undef X
};

/* Real mode pushes no error codes. */
enum emul_result
emul_fault(struct emul *e, enum x86_vector vector, u32 error)
{
	bool has = vector == X86_DF || vector == X86_AC ||
	    (vector >= X86_TS && vector <= X86_PF);

	e->fault = (struct fault){
		.vector = (u8)vector,
		.has_error = has && (e->cpu->cr0 & X86_CR0_PE),
		.error = error,
	};
	return EMUL_FAULT;
}

enum emul_result
emul_ud(struct emul *e)
{
	return emul_fault(e, X86_UD, 0);
}

enum emul_result
emul_other(struct emul *e)
{
	return EMUL_UNHANDLED;
}

/* AH..BH are encoded as 4..7 when there is no REX. */
static bool
is_high_byte(const struct emul *e, unsigned n, unsigned size)
{
	return size == 1 && n >= 4 && n < 8 && !e->in.rex;
}

u64
emul_reg(const struct emul *e, unsigned n, unsigned size)
{
	if (is_high_byte(e, n, size))
		return (e->gpr[n - 4] >> 8) & 0xff;
	return e->gpr[n] & size_mask(size);
}

void
emul_set_reg(struct emul *e, unsigned n, unsigned size, u64 v)
{
	u64 *r = &e->gpr[n];

	if (is_high_byte(e, n, size)) {
		r = &e->gpr[n - 4];
		*r = (*r & ~0xff00ULL) | ((v & 0xff) << 8);
	} else if (size < 4) {
		*r = (*r & ~size_mask(size)) | (v & size_mask(size));
	} else {
		*r = v & size_mask(size);
	}
}

static struct emul_ref
operand_of(const struct emul *e, unsigned arg)
{
	if (arg == A_RM)
		return emul_operand(e);
	return (struct emul_ref){ .off = (u64)e->in.imm, .seg = e->in.seg };
}

enum emul_result
emul_get(struct emul *e, unsigned arg, bool change, u64 *v)
{
	const struct decoded *in = &e->in;
	struct emul_ref ref;

	switch (arg) {
	case A_REG:
		*v = emul_reg(e, in->reg, in->size);
		break;
	case A_OPREG:
		*v = emul_reg(e, in->opreg, in->size);
		break;
	case A_ACC:
		*v = e->gpr[R_RAX] & size_mask(in->size);
		break;
	case A_IMM:
		*v = (u64)in->imm & size_mask(in->size);
		break;
	case A_ONE:
		*v = 1;
		break;
	case A_CL:
		*v = e->gpr[R_RCX] & 0xff;
		break;
	case A_DX:
		*v = e->gpr[R_RDX] & 0xffff;
		break;
	case A_RM:
	case A_MOFFS:
		if (arg == A_RM && !in->mem) {
			*v = emul_reg(e, in->rm, in->size);
			break;
		}
		ref = operand_of(e, arg);
		ref.change = change;
		*v = 0;
		TRY(emul_read(e, ref, v, in->size));
		e->old = *v;
		break;
	default:
		return EMUL_UNHANDLED;
	}
	return EMUL_DONE;
}

enum emul_result
emul_get_rm(struct emul *e, unsigned size, u64 *v)
{
	*v = 0;
	if (e->in.mem)
		return emul_read(e, emul_operand(e), v, size);
	*v = emul_reg(e, e->in.rm, size);
	return EMUL_DONE;
}

enum emul_result
emul_put(struct emul *e, unsigned arg, u64 v)
{
	const struct decoded *in = &e->in;

	if (arg == A_REG || arg == A_OPREG || arg == A_ACC ||
	    (arg == A_RM && !in->mem)) {
		emul_set_reg(e,
		    arg == A_REG	 ? in->reg
			: arg == A_OPREG ? in->opreg
			: arg == A_RM	 ? in->rm
					 : R_RAX,
		    in->size, v);
		return EMUL_DONE;
	}
	TRY(emul_write(e, operand_of(e, arg), &v, in->size));
	/* APM vol. 3 "Lock Prefix": XCHG implies it. */
	if (in->lock || in->op == OP_XCHG)
		emul_lock_write(e, &e->old);
	return EMUL_DONE;
}

/* APM vol. 3 "rFLAGS Condition Codes"; cc is an opcode. */
bool
emul_condition(const struct emul *e, unsigned cc)
{
	u64 f = e->rflags;
	bool less = !(f & FL_SF) != !(f & FL_OF), is;

	switch ((cc >> 1) & 7) {
	case 0:
		is = (f & FL_OF) != 0;
		break;
	case 1:
		is = (f & FL_CF) != 0;
		break;
	case 2:
		is = (f & FL_ZF) != 0;
		break;
	case 3:
		is = (f & (FL_CF | FL_ZF)) != 0;
		break;
	case 4:
		is = (f & FL_SF) != 0;
		break;
	case 5:
		is = (f & FL_PF) != 0;
		break;
	case 6:
		is = less;
		break;
	default:
		is = less || (f & FL_ZF);
		break;
	}
	return is != (cc & 1);
}

/* One access to a device, through the log. */
enum emul_result
emul_access(struct emul *e, enum emul_space space, u64 addr, void *data,
    unsigned len, bool write)
{
	struct emul_io *io = &e->io[e->io_at];
	struct gpa gpa = { addr };
	int err;

	/* What does not match is not this access: the guest's tables or
	 * registers were changed from outside meanwhile. */
	if (e->io_at < e->io_n &&
	    (io->space != space || io->addr != addr || io->len != len ||
		io->write != write))
		e->io_n = e->io_at;
	if (e->io_at == e->io_n) {
		if (e->io_n == EMUL_IO_MAX)
			return EMUL_UNHANDLED;
		*io = (struct emul_io){ space, addr, (u8)len, write, false,
			{ 0 } };
		if (write)
			memcpy(io->data, data, len);
		if (space == EMUL_MMIO)
			err = e->ops->mmio(e, gpa, io->data, len, write);
		else
			err = e->ops->port(e, (u16)addr, io->data, len, write);
		io->done = err == 0;
		e->io_n++;
	}
	if (!io->done) {
		e->pending = io;
		return EMUL_IO;
	}
	if (!write)
		memcpy(data, io->data, len);
	e->io_at++;
	return EMUL_DONE;
}

void
emul_begin(struct emul *e)
{
	e->insn_len = 0;
	e->io_n = e->io_at = 0;
	e->pending = NULL;
	e->decoded = e->committing = false;
	e->shadow = false;
	e->spent = 0;
}

/* What is checked before any operand, APM vol. 2 "Exceptions". */
static enum emul_result
check(struct emul *e)
{
	u16 flags = e->in.flags;

	if (e->in.op == OP_UD)
		return emul_ud(e);
	if (((flags & D_PE) || e->in.vex) && !emul_protected(e))
		return emul_ud(e);
	if ((flags & D_CPL0) && e->cpl != 0)
		return emul_fault(e, X86_GP, 0);
	return EMUL_DONE;
}

void
emul_start(struct emul *e)
{
	const struct gcpu *c = e->cpu;

	memcpy(e->gpr, c->gpr, sizeof(e->gpr));
	e->rflags = c->rflags;
	e->rip = c->rip + e->in.len;
	e->bits = e->in.bits;
	if (e->bits != 64)
		e->rip = (u32)e->rip;
	e->cpl = c->cpl;
	e->seg_set = 0;
	e->nwrites = 0;
	e->again = false;
	e->result = EMUL_DONE;
	e->io_at = 0;
}

void
emul_publish(struct emul *e)
{
	struct gcpu *c = e->cpu;
	unsigned i, groups = CPU_REGS;

	memcpy(c->gpr, e->gpr, sizeof(c->gpr));
	c->rflags = e->rflags;
	if (!e->again) {
		c->rip = e->rip;
		c->rflags &= ~X86_RFLAGS_RF;
	}
	for (i = 0; i < CPU_NSEGS; i++)
		if (e->seg_set >> i & 1)
			c->seg[i] = e->seg[i];
	if (e->seg_set || c->cpl != e->cpl) {
		c->cpl = e->cpl;
		groups |= CPU_SEGS;
	}
	cpu_dirty(c, groups);
}

static enum emul_result
iteration(struct emul *e)
{
	enum emul_result r;

	if (!e->committing) {
		emul_start(e);
		TRY(check(e));
		TRY(executes[e->in.op](e));
	}
	r = emul_commit_writes(e);
	if (r == EMUL_AGAIN)
		e->committing = false;
	if (r == EMUL_DONE)
		emul_publish(e);
	return r;
}

enum emul_result
emul_run(struct emul *e)
{
	e->pending = NULL;
	if (!e->decoded) {
		e->cpl = e->cpu->cpl;
		e->rflags = e->cpu->rflags;
		TRY(emul_fetch(e));
		e->decoded = true;
	}
	do {
		TRY(iteration(e));
		e->spent += e->io_n > 0 ? DEVICE_COST : 1;
		e->io_n = 0;
	} while (e->again && e->spent < BATCH && !(e->rflags & X86_RFLAGS_TF));
	return (enum emul_result)e->result;
}

enum emul_result
emul_interrupt(struct emul *e, u8 vector, unsigned len)
{
	e->in = (struct decoded){ .bits = 16, .len = (u8)len };
	emul_start(e);
	TRY(emul_real_interrupt(e, vector));
	TRY(emul_commit_writes(e));
	emul_publish(e);
	return EMUL_DONE;
}
