// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Bits, decimal arithmetic and single flags, APM vol. 3 "General-Purpose
 * Instruction Reference".
 */
#include "emul_int.h"

/*
 * BT and its relatives.  A register's bit number reaches beyond a memory
 * operand, in both directions; an immediate one does not.
 */
static struct emul_ref
bit_operand(const struct emul *e, u64 bit)
{
	const struct decoded *in = &e->in;
	struct emul_ref ref = emul_operand(e);
	unsigned log = in->size == 2 ? 4 : in->size == 4 ? 5 : 6;

	if (in->src == A_REG)
		ref.off +=
		    (u64)(sign_extended(bit, in->size) >> log) * in->size;
	ref.off &= size_mask(in->asize);
	return ref;
}

enum emul_result
emul_bt(struct emul *e)
{
	const struct decoded *in = &e->in;
	struct emul_ref ref = { 0 };
	u64 bit, old = 0, v, m;

	TRY(emul_get(e, in->src, false, &bit));
	if (in->mem) {
		ref = bit_operand(e, bit);
		ref.change = in->op != OP_BT;
		TRY(emul_read(e, ref, &old, in->size));
	} else {
		old = emul_reg(e, in->rm, in->size);
	}
	m = CORE_BIT(bit & (8U * in->size - 1));
	emul_flags(e, FL_CF, (old & m) ? FL_CF : 0);
	if (in->op == OP_BT)
		return EMUL_DONE;
	v = in->op == OP_BTS ? old | m : in->op == OP_BTR ? old & ~m : old ^ m;
	if (!in->mem)
		return emul_put(e, A_RM, v);
	TRY(emul_write(e, ref, &v, in->size));
	if (in->lock)
		emul_lock_write(e, &old);
	return EMUL_DONE;
}

static unsigned
count_ones(u64 v)
{
	unsigned n = 0;

	for (; v != 0; v &= v - 1)
		n++;
	return n;
}

static unsigned
lowest(u64 v)
{
	return (unsigned)__builtin_ctzll(v);
}

static unsigned
highest(u64 v)
{
	return 63 - (unsigned)__builtin_clzll(v);
}

/* Without a bit BSF and BSR leave the register; TZCNT and LZCNT count. */
enum emul_result
emul_bitscan(struct emul *e)
{
	unsigned width = 8U * e->in.size;
	u64 v, r = 0;

	TRY(emul_get(e, A_RM, false, &v));
	switch (e->in.op) {
	case OP_BSF:
	case OP_BSR:
		emul_flags(e, FL_ZF, v == 0 ? FL_ZF : 0);
		if (v == 0)
			return EMUL_DONE;
		r = e->in.op == OP_BSF ? lowest(v) : highest(v);
		break;
	case OP_TZCNT:
	case OP_LZCNT:
		if (v == 0)
			r = width;
		else
			r = e->in.op == OP_TZCNT ? lowest(v)
						 : width - 1 - highest(v);
		emul_flags(e, FL_CF | FL_ZF,
		    (v == 0 ? FL_CF : 0) | (r == 0 ? FL_ZF : 0));
		break;
	case OP_POPCNT:
		r = count_ones(v);
		emul_flags(e, FL_STATUS, v == 0 ? FL_ZF : 0);
		break;
	}
	return emul_put(e, A_REG, r);
}

/* A 16-bit BSWAP is undefined; CPUs clear the register. */
enum emul_result
emul_bswap(struct emul *e)
{
	u64 v = e->gpr[e->in.opreg];

	if (e->in.size == 8)
		v = __builtin_bswap64(v);
	else if (e->in.size == 4)
		v = __builtin_bswap32((u32)v);
	else
		v = 0;
	emul_set_reg(e, e->in.opreg, e->in.size, v);
	return EMUL_DONE;
}

/* CRC-32C, reflected. */
enum emul_result
emul_crc32(struct emul *e)
{
	u32 crc = (u32)e->gpr[e->in.reg];
	unsigned i;
	u64 v;

	TRY(emul_get(e, A_RM, false, &v));
	for (i = 0; i < 8U * e->in.size; i++, v >>= 1)
		crc = (crc >> 1) ^ (((crc ^ v) & 1) ? 0x82f63b78 : 0);
	emul_set_reg(e, e->in.reg, 8, crc);
	return EMUL_DONE;
}

/* DAA, DAS: both digits of AL. */
static void
decimal_adjust(struct emul *e, bool subtract)
{
	u8 al = (u8)e->gpr[R_RAX];
	bool cf = (e->rflags & FL_CF) != 0, high = al > 0x99 || cf;
	u64 f = 0;

	if ((al & 15) > 9 || (e->rflags & FL_AF)) {
		f |= FL_AF;
		/* DAS of the low digit may borrow from the high one. */
		if (subtract ? al < 6 : al > 0xf9)
			f |= FL_CF;
	}
	if (cf || high)
		f |= FL_CF;
	if (subtract)
		al -= (u8)(((f & FL_AF) ? 6 : 0) + (high ? 0x60 : 0));
	else
		al += (u8)(((f & FL_AF) ? 6 : 0) + (high ? 0x60 : 0));
	emul_set_reg(e, R_RAX, 1, al);
	emul_flags(e, FL_STATUS & ~FL_OF, f | emul_flags_of_result(al, 1));
}

/* AAA, AAS: one digit of AL, the carry into AH. */
static void
ascii_adjust(struct emul *e, bool subtract)
{
	u64 ax = e->gpr[R_RAX] & 0xffff;
	bool carry = (ax & 15) > 9 || (e->rflags & FL_AF);

	if (carry)
		ax = subtract ? ax - 0x106 : ax + 0x106;
	emul_set_reg(e, R_RAX, 2, ax & 0xff0f);
	emul_flags(e, FL_CF | FL_AF, carry ? FL_CF | FL_AF : 0);
}

enum emul_result
emul_bcd(struct emul *e)
{
	u8 al = (u8)e->gpr[R_RAX], ah = (u8)(e->gpr[R_RAX] >> 8);
	u8 base = (u8)e->in.imm;

	switch (e->in.op) {
	case OP_DAA:
	case OP_DAS:
		decimal_adjust(e, e->in.op == OP_DAS);
		return EMUL_DONE;
	case OP_AAA:
	case OP_AAS:
		ascii_adjust(e, e->in.op == OP_AAS);
		return EMUL_DONE;
	case OP_AAM:
		if (base == 0)
			return emul_fault(e, X86_DE, 0);
		ah = al / base;
		al = al % base;
		break;
	case OP_AAD:
		al = (u8)(al + ah * base);
		ah = 0;
		break;
	}
	emul_set_reg(e, R_RAX, 2, (u64)ah << 8 | al);
	emul_flags(e, FL_STATUS, emul_flags_of_result(al, 1));
	return EMUL_DONE;
}

enum emul_result
emul_flagop(struct emul *e)
{
	const u64 lahf = FL_STATUS & ~FL_OF;
	u64 ah;

	switch (e->in.op) {
	case OP_CLC:
		e->rflags &= ~FL_CF;
		break;
	case OP_STC:
		e->rflags |= FL_CF;
		break;
	case OP_CMC:
		e->rflags ^= FL_CF;
		break;
	case OP_CLD:
		e->rflags &= ~X86_RFLAGS_DF;
		break;
	case OP_STD:
		e->rflags |= X86_RFLAGS_DF;
		break;
	case OP_LAHF:
		ah = (e->rflags & lahf) | X86_RFLAGS_ONE;
		emul_set_reg(e, R_RAX, 2, (e->gpr[R_RAX] & 0xff) | ah << 8);
		break;
	case OP_SAHF:
		emul_flags(e, lahf, e->gpr[R_RAX] >> 8);
		break;
	case OP_SALC:
		emul_set_reg(e, R_RAX, 1, (e->rflags & FL_CF) ? 0xff : 0);
		break;
	}
	return EMUL_DONE;
}
