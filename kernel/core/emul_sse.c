// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * SSE and AVX moves, APM vol. 4 "Instruction Reference"; vol. 2
 * "Enabling Media Instructions".  Registers are reached through ops only.
 */
#include "emul_int.h"

static enum emul_result
check_enabled(struct emul *e)
{
	u64 cr0 = e->cpu->cr0;

	if (e->in.vex) {
		if (!e->avx)
			return emul_fault(e, X86_UD, 0);
	} else if ((cr0 & X86_CR0_EM) || !(e->cpu->cr4 & X86_CR4_OSFXSR)) {
		return emul_fault(e, X86_UD, 0);
	}
	if (cr0 & X86_CR0_TS)
		return emul_fault(e, X86_NM, 0);
	return EMUL_DONE;
}

static enum emul_result
vector_operand(struct emul *e, struct emul_ref *ref)
{
	unsigned n = e->in.vbytes;

	if (e->in.valign)
		return emul_aligned_operand(e, n, ref);
	*ref = emul_operand(e);
	ref->align = n == 32 ? 16 : 0;
	return EMUL_DONE;
}

/* Set a register; a VEX instruction clears what lies above. */
static void
set_vector(struct emul *e, unsigned n, const u8 *v)
{
	e->ops->xmm_set(e, n, v, e->in.vex ? 32 : 16);
}

/* The source's bytes: a register's low ones or memory. */
static enum emul_result
source(struct emul *e, u8 *v)
{
	struct emul_ref ref;

	if (e->in.mem) {
		TRY(vector_operand(e, &ref));
		return emul_read(e, ref, v, e->in.vbytes);
	}
	if (e->in.vgpr)
		memcpy(v, &e->gpr[e->in.rm], e->in.vbytes);
	else
		e->ops->xmm_get(e, e->in.rm, v, e->in.vlen);
	return EMUL_DONE;
}

enum emul_result
emul_vload(struct emul *e)
{
	const struct decoded *in = &e->in;
	u8 v[32] = { 0 }, reg[32] = { 0 };

	TRY(check_enabled(e));
	TRY(source(e, v));
	switch (in->vec) {
	case V_FULL:
	case V_LOW:
		memcpy(reg, v, in->vbytes);
		break;
	case V_MERGE:
	case V_HIGH:
		e->ops->xmm_get(e, in->vex ? in->vreg : in->reg, reg, 16);
		memcpy(reg + (in->vec == V_HIGH ? 8 : 0), v, in->vbytes);
		break;
	}
	set_vector(e, in->reg, reg);
	return EMUL_DONE;
}

/* Register to register: rm is the destination. */
static enum emul_result
store_register(struct emul *e, const u8 *v)
{
	const struct decoded *in = &e->in;
	u8 reg[32] = { 0 };
	u64 gpr = 0;

	if (in->vgpr) {
		memcpy(&gpr, v, in->vbytes);
		e->gpr[in->rm] = gpr;
		return EMUL_DONE;
	}
	if (in->vec == V_MERGE)
		e->ops->xmm_get(e, in->vex ? in->vreg : in->rm, reg, 16);
	memcpy(reg, v, in->vbytes);
	set_vector(e, in->rm, reg);
	return EMUL_DONE;
}

enum emul_result
emul_vstore(struct emul *e)
{
	const struct decoded *in = &e->in;
	struct emul_ref ref;
	u8 v[32] = { 0 };

	TRY(check_enabled(e));
	e->ops->xmm_get(e, in->reg, v, in->vlen);
	if (!in->mem)
		return store_register(e, v);
	TRY(vector_operand(e, &ref));
	return emul_write(e, ref, v + (in->vec == V_HIGH ? 8 : 0), in->vbytes);
}
