// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Moves and exchanges, APM vol. 3 "General-Purpose Instruction Reference".
 */
#include "emul_int.h"

enum emul_result
emul_mov(struct emul *e)
{
	u64 v;

	TRY(emul_get(e, e->in.src, false, &v));
	return emul_put(e, e->in.dst, v);
}

enum emul_result
emul_lea(struct emul *e)
{
	return emul_put(e, A_REG, emul_operand(e).off);
}

enum emul_result
emul_xchg(struct emul *e)
{
	const struct decoded *in = &e->in;
	u64 a, b;

	TRY(emul_get(e, in->dst, true, &a));
	TRY(emul_get(e, in->src, false, &b));
	TRY(emul_put(e, in->dst, b));
	return emul_put(e, in->src, a);
}

enum emul_result
emul_xadd(struct emul *e)
{
	const struct decoded *in = &e->in;
	u64 a, b, sum;

	TRY(emul_get(e, A_RM, true, &a));
	TRY(emul_get(e, A_REG, false, &b));
	sum = emul_add(e, a, b);
	/* The sum wins if both are one register; an address is computed
	 * from the old ones. */
	if (in->mem)
		TRY(emul_put(e, A_RM, sum));
	TRY(emul_put(e, A_REG, a));
	return in->mem ? EMUL_DONE : emul_put(e, A_RM, sum);
}

/* Memory is written in any case. */
enum emul_result
emul_cmpxchg(struct emul *e)
{
	u64 acc = e->gpr[R_RAX] & size_mask(e->in.size), a, b;

	TRY(emul_get(e, A_RM, true, &a));
	TRY(emul_get(e, A_REG, false, &b));
	emul_compare(e, acc, a);
	if (acc == a)
		return emul_put(e, A_RM, b);
	if (e->in.mem)
		TRY(emul_put(e, A_RM, a));
	return emul_put(e, A_ACC, a);
}

/* CMPXCHG8B, with REX.W CMPXCHG16B. */
enum emul_result
emul_cmpxchg16b(struct emul *e)
{
	unsigned half = e->in.size == 8 ? 8 : 4;
	struct emul_ref ref = emul_operand(e);
	u64 old[2] = { 0 }, new[2];
	u8 was[16], next[16];
	bool equal;

	ref.align = 8;
	if (half == 8)
		TRY(emul_aligned_operand(e, 16, &ref));
	ref.change = true;
	TRY(emul_read(e, ref, was, 2 * half));
	memcpy(&old[0], was, half);
	memcpy(&old[1], was + half, half);
	equal = old[0] == emul_reg(e, R_RAX, half) &&
	    old[1] == emul_reg(e, R_RDX, half);
	new[0] = equal ? e->gpr[R_RBX] : old[0];
	new[1] = equal ? e->gpr[R_RCX] : old[1];
	memcpy(next, &new[0], half);
	memcpy(next + half, &new[1], half);
	TRY(emul_write(e, ref, next, 2 * half));
	if (e->in.lock)
		emul_lock_write(e, was);
	emul_flags(e, FL_ZF, equal ? FL_ZF : 0);
	if (!equal) {
		emul_set_reg(e, R_RAX, half, old[0]);
		emul_set_reg(e, R_RDX, half, old[1]);
	}
	return EMUL_DONE;
}

enum emul_result
emul_movx(struct emul *e)
{
	bool sign = e->in.op != OP_MOVZX8 && e->in.op != OP_MOVZX16;
	unsigned from;
	u64 v;

	switch (e->in.op) {
	case OP_MOVZX8:
	case OP_MOVSX8:
		from = 1;
		break;
	case OP_MOVSXD:
		from = 4;
		break;
	default:
		from = 2;
		break;
	}
	TRY(emul_get_rm(e, from, &v));
	return emul_put(e, A_REG, sign ? (u64)sign_extended(v, from) : v);
}

/* CBW, CWDE, CDQE; CWD, CDQ, CQO. */
enum emul_result
emul_cbw(struct emul *e)
{
	unsigned size = e->in.size;
	u64 a = e->gpr[R_RAX];

	if (e->in.op == OP_CBW)
		emul_set_reg(e, R_RAX, size, (u64)sign_extended(a, size / 2));
	else
		emul_set_reg(e, R_RDX, size, (a & sign_bit(size)) ? ~0ULL : 0);
	return EMUL_DONE;
}

enum emul_result
emul_setcc(struct emul *e)
{
	return emul_put(e, A_RM, emul_condition(e, e->in.opcode));
}

/* The source is read, and a register cleared above bit 31, in any case. */
enum emul_result
emul_cmov(struct emul *e)
{
	u64 v;

	TRY(emul_get(e, A_RM, false, &v));
	if (!emul_condition(e, e->in.opcode))
		v = emul_reg(e, e->in.reg, e->in.size);
	return emul_put(e, A_REG, v);
}

enum emul_result
emul_xlat(struct emul *e)
{
	struct emul_ref ref = { .seg = e->in.string_seg };
	u64 v = 0;

	ref.off =
	    (e->gpr[R_RBX] + (e->gpr[R_RAX] & 0xff)) & size_mask(e->in.asize);
	TRY(emul_read(e, ref, &v, 1));
	emul_set_reg(e, R_RAX, 1, v);
	return EMUL_DONE;
}

static u64
reverse(u64 v, unsigned size)
{
	return __builtin_bswap64(v) >> (64 - 8 * size);
}

enum emul_result
emul_movbe(struct emul *e)
{
	u64 v;

	TRY(emul_get(e, e->in.src, false, &v));
	return emul_put(e, e->in.dst, reverse(v, e->in.size));
}

/* NOP with any operand; CLFLUSH must be allowed to read its. */
enum emul_result
emul_nop(struct emul *e)
{
	if (e->in.op == OP_TOUCH)
		return emul_probe(e, emul_operand(e), 1, false);
	return EMUL_DONE;
}

enum emul_result
emul_bound(struct emul *e)
{
	unsigned size = e->in.size;
	struct emul_ref ref = emul_operand(e);
	u64 low = 0, high = 0;
	s64 index = sign_extended(e->gpr[e->in.reg], size);

	TRY(emul_read(e, ref, &low, size));
	ref.off = (ref.off + size) & size_mask(e->in.asize);
	TRY(emul_read(e, ref, &high, size));
	if (index < sign_extended(low, size) ||
	    index > sign_extended(high, size))
		return emul_fault(e, X86_BR, 0);
	return EMUL_DONE;
}
