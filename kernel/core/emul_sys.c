// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * System instructions, APM vol. 3 "System Instruction Reference".  The last
 * step of each changes the CPU's state and cannot fail afterwards.
 */
#include "emul_int.h"

/* --- Descriptor tables. --- */

enum emul_result
emul_lgdt(struct emul *e)
{
	struct dtable *t = e->in.op == OP_LGDT ? &e->cpu->gdt : &e->cpu->idt;
	unsigned n = e->bits == 64 ? 8 : 4;
	struct emul_ref ref = emul_operand(e);
	u64 base = 0;
	u16 limit;

	TRY(emul_read(e, ref, &limit, 2));
	ref.off = (ref.off + 2) & size_mask(e->in.asize);
	ref.align = 1;
	TRY(emul_read(e, ref, &base, n));
	if (n == 8 && !emul_canonical(e, base))
		return emul_fault(e, X86_GP, 0);
	if (n == 4 && e->in.size == 2)
		base &= 0xffffff;
	*t = (struct dtable){ base, limit };
	cpu_dirty(e->cpu, CPU_SEGS);
	return EMUL_DONE;
}

enum emul_result
emul_sgdt(struct emul *e)
{
	const struct dtable *t =
	    e->in.op == OP_SGDT ? &e->cpu->gdt : &e->cpu->idt;
	unsigned n = e->bits == 64 ? 8 : 4;
	struct emul_ref ref = emul_operand(e);

	TRY(emul_check_umip(e));
	TRY(emul_write(e, ref, &t->limit, 2));
	ref.off = (ref.off + 2) & size_mask(e->in.asize);
	ref.align = 1;
	return emul_write(e, ref, &t->base, n);
}

/* --- Control and debug registers. --- */

static enum emul_result
set_cr(struct emul *e, unsigned n, u64 v)
{
	return e->ops->set_cr(e, n, v) ? EMUL_FAULT : EMUL_DONE;
}

/* PE can be set, not cleared. */
enum emul_result
emul_lmsw(struct emul *e)
{
	u64 v, cr0 = e->cpu->cr0;

	TRY(emul_get_rm(e, 2, &v));
	return set_cr(e, 0, (cr0 & ~0xeULL) | (v & 0xf));
}

enum emul_result
emul_smsw(struct emul *e)
{
	u64 cr0 = e->cpu->cr0;

	TRY(emul_check_umip(e));
	if (e->in.mem)
		return emul_write(e, emul_operand(e), &cr0, 2);
	return emul_put(e, A_RM, cr0);
}

enum emul_result
emul_clts(struct emul *e)
{
	return set_cr(e, 0, e->cpu->cr0 & ~X86_CR0_TS);
}

static u64
read_cr(const struct gcpu *c, unsigned n)
{
	switch (n) {
	case 0:
		return c->cr0;
	case 2:
		return c->cr2;
	case 3:
		return c->cr3;
	case 4:
		return c->cr4;
	default:
		return c->cr8;
	}
}

enum emul_result
emul_mov_cr(struct emul *e)
{
	unsigned n = e->in.reg | (e->in.lock ? 8U : 0);
	unsigned size = e->bits == 64 ? 8 : 4;

	if (e->in.dst == A_NONE)
		return set_cr(e, n, emul_reg(e, e->in.rm, size));
	emul_set_reg(e, e->in.rm, size, read_cr(e->cpu, n));
	return EMUL_DONE;
}

#define DR6_BD	 CORE_BIT(13)
#define DR6_ONES 0xffff0ff0ULL
#define DR7_GD	 CORE_BIT(13)
#define DR7_ONE	 CORE_BIT(10)

/* DR7.GD guards all of them, once. */
static enum emul_result
check_dr(struct emul *e, unsigned *n)
{
	struct gcpu *c = e->cpu;

	if (*n == 4 || *n == 5) {
		if (c->cr4 & X86_CR4_DE)
			return emul_ud(e);
		*n += 2;
	}
	cpu_need(c, CPU_DRS);
	if (!(c->dr7 & DR7_GD))
		return EMUL_DONE;
	c->dr6 |= DR6_BD;
	c->dr7 &= ~DR7_GD;
	cpu_dirty(c, CPU_DRS);
	return emul_fault(e, X86_DB, 0);
}

enum emul_result
emul_mov_dr(struct emul *e)
{
	unsigned n = e->in.reg, size = e->bits == 64 ? 8 : 4;
	struct gcpu *c = e->cpu;
	u64 v;

	TRY(check_dr(e, &n));
	if (e->in.dst == A_RM) {
		v = n < 4 ? c->dr[n] : n == 6 ? c->dr6 : c->dr7;
		emul_set_reg(e, e->in.rm, size, v);
		return EMUL_DONE;
	}
	v = emul_reg(e, e->in.rm, size);
	if (n >= 6 && v >> 32 != 0)
		return emul_fault(e, X86_GP, 0);
	if (n < 4)
		c->dr[n] = v;
	else if (n == 6)
		c->dr6 = (v & 0xe00f) | DR6_ONES;
	else
		c->dr7 = (v & 0xffff2bff) | DR7_ONE;
	cpu_dirty(c, CPU_DRS);
	return EMUL_DONE;
}

/* --- Flags. --- */

/* The virtual interrupt flag of VME and PVI is not emulated. */
enum emul_result
emul_cli(struct emul *e)
{
	u64 virtual = (e->rflags & X86_RFLAGS_VM) ? X86_CR4_VME : X86_CR4_PVI;
	bool sti = e->in.op == OP_STI;

	if ((e->cpu->cr0 & X86_CR0_PE) && e->cpl > emul_iopl(e)) {
		if (e->cpl == 3 && (e->cpu->cr4 & virtual))
			return EMUL_UNHANDLED;
		return emul_fault(e, X86_GP, 0);
	}
	if (sti && !(e->rflags & X86_RFLAGS_IF))
		e->shadow = true;
	emul_flags(e, X86_RFLAGS_IF, sti ? X86_RFLAGS_IF : 0);
	return EMUL_DONE;
}

enum emul_result
emul_clac(struct emul *e)
{
	if (e->cpl != 0 || !(e->cpu->cr4 & X86_CR4_SMAP))
		return emul_ud(e);
	emul_flags(e, X86_RFLAGS_AC, e->in.op == OP_STAC ? X86_RFLAGS_AC : 0);
	return EMUL_DONE;
}

/* --- The rest. --- */

enum emul_result
emul_hlt(struct emul *e)
{
	e->result = EMUL_HLT;
	return EMUL_DONE;
}

/* The address is not checked; one that is not canonical does nothing. */
enum emul_result
emul_invlpg(struct emul *e)
{
	struct emul_ref ref = emul_operand(e);
	struct gva va = { ref.off };

	if (e->bits != 64)
		va.v = (u32)(va.v + emul_seg(e, ref.seg)->base);
	else if (ref.seg == SEG_FS || ref.seg == SEG_GS)
		va.v += emul_seg(e, ref.seg)->base;
	if (emul_canonical(e, va.v))
		e->ops->invlpg(e, va);
	return EMUL_DONE;
}

/* INVD, too: caches are coherent and nothing in them may be lost. */
enum emul_result
emul_wbinvd(struct emul *e)
{
	return EMUL_DONE;
}

enum emul_result
emul_cpuid(struct emul *e)
{
	e->ops->cpuid(e);
	return EMUL_DONE;
}

enum emul_result
emul_rdtsc(struct emul *e)
{
	u64 v;

	if (e->ops->tsc == NULL)
		return EMUL_UNHANDLED;
	if ((e->cpu->cr4 & X86_CR4_TSD) && e->cpl != 0)
		return emul_fault(e, X86_GP, 0);
	v = e->ops->tsc(e);
	e->gpr[R_RAX] = (u32)v;
	e->gpr[R_RDX] = v >> 32;
	return EMUL_DONE;
}

/* APM vol. 2 "Device-Not-Available Exception" */
enum emul_result
emul_x87(struct emul *e)
{
	u16 v;

	if (e->cpu->cr0 & (X86_CR0_EM | X86_CR0_TS))
		return emul_fault(e, X86_NM, 0);
	v = e->ops->x87(e, e->in.op);
	if (e->in.op == OP_FNINIT)
		return EMUL_DONE;
	if (e->in.mem)
		return emul_write(e, emul_operand(e), &v, 2);
	emul_set_reg(e, R_RAX, 2, v);
	return EMUL_DONE;
}

enum emul_result
emul_rdmsr(struct emul *e)
{
	u64 v = 0;

	if (e->ops->rdmsr(e, (u32)e->gpr[R_RCX], &v))
		return EMUL_FAULT;
	e->gpr[R_RAX] = (u32)v;
	e->gpr[R_RDX] = v >> 32;
	return EMUL_DONE;
}

enum emul_result
emul_wrmsr(struct emul *e)
{
	u64 v = (u32)e->gpr[R_RAX] | e->gpr[R_RDX] << 32;

	if (e->ops->wrmsr(e, (u32)e->gpr[R_RCX], v))
		return EMUL_FAULT;
	return EMUL_DONE;
}

enum emul_result
emul_swapgs(struct emul *e)
{
	struct seg gs = *emul_seg(e, SEG_GS);
	struct gcpu *c = e->cpu;
	u64 base = gs.base;

	cpu_need(c, CPU_SYSMSRS);
	gs.base = c->kernel_gs_base;
	c->kernel_gs_base = base;
	emul_set_seg(e, SEG_GS, &gs);
	cpu_dirty(c, CPU_SYSMSRS);
	return EMUL_DONE;
}
