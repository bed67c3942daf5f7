// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Integer arithmetic, APM vol. 3 "General-Purpose Instruction Reference".
 * Flags that the architecture leaves undefined are set as is convenient.
 */
#include "emul_int.h"

static bool
even_parity(u64 v)
{
	v ^= v >> 4;
	return (0x9669 >> (v & 15)) & 1;
}

/* ZF, SF, PF. */
u64
emul_flags_of_result(u64 r, unsigned size)
{
	u64 f = 0;

	r &= size_mask(size);
	if (r == 0)
		f |= FL_ZF;
	if (r & sign_bit(size))
		f |= FL_SF;
	if (even_parity(r & 0xff))
		f |= FL_PF;
	return f;
}

/* carries: the carry (borrow) out of each bit. */
static u64
flags_of_sum(u64 r, u64 carries, bool overflow, unsigned size)
{
	u64 f = emul_flags_of_result(r, size);

	if (carries & sign_bit(size))
		f |= FL_CF;
	if (carries & 8)
		f |= FL_AF;
	if (overflow)
		f |= FL_OF;
	return f;
}

static u64
add(struct emul *e, u64 a, u64 b, u64 carry)
{
	unsigned size = e->in.size;
	u64 r = a + b + carry;

	emul_flags(e, FL_STATUS,
	    flags_of_sum(r, (a & b) | ((a | b) & ~r),
		((a ^ r) & (b ^ r) & sign_bit(size)) != 0, size));
	return r;
}

static u64
sub(struct emul *e, u64 a, u64 b, u64 borrow)
{
	unsigned size = e->in.size;
	u64 r = a - b - borrow;

	emul_flags(e, FL_STATUS,
	    flags_of_sum(r, (~a & b) | ((~a | b) & r),
		((a ^ b) & (a ^ r) & sign_bit(size)) != 0, size));
	return r;
}

static u64
logic(struct emul *e, u64 r)
{
	emul_flags(e, FL_STATUS, emul_flags_of_result(r, e->in.size));
	return r;
}

u64
emul_compare(struct emul *e, u64 a, u64 b)
{
	return sub(e, a, b, 0);
}

u64
emul_add(struct emul *e, u64 a, u64 b)
{
	return add(e, a, b, 0);
}

enum emul_result
emul_alu(struct emul *e)
{
	const struct decoded *in = &e->in;
	bool writes = in->op != OP_CMP && in->op != OP_TEST;
	u64 cf = (e->rflags & FL_CF) != 0, a, b, r = 0;

	TRY(emul_get(e, in->dst, writes, &a));
	TRY(emul_get(e, in->src, false, &b));
	switch (in->op) {
	case OP_ADD:
		r = add(e, a, b, 0);
		break;
	case OP_ADC:
		r = add(e, a, b, cf);
		break;
	case OP_SUB:
	case OP_CMP:
		r = sub(e, a, b, 0);
		break;
	case OP_SBB:
		r = sub(e, a, b, cf);
		break;
	case OP_OR:
		r = logic(e, a | b);
		break;
	case OP_XOR:
		r = logic(e, a ^ b);
		break;
	case OP_AND:
	case OP_TEST:
		r = logic(e, a & b);
		break;
	}
	return writes ? emul_put(e, in->dst, r) : EMUL_DONE;
}

enum emul_result
emul_unary(struct emul *e)
{
	const struct decoded *in = &e->in;
	u64 cf = e->rflags & FL_CF, a, r = 0;

	TRY(emul_get(e, in->dst, true, &a));
	switch (in->op) {
	case OP_INC:
		r = add(e, a, 1, 0);
		emul_flags(e, FL_CF, cf);
		break;
	case OP_DEC:
		r = sub(e, a, 1, 0);
		emul_flags(e, FL_CF, cf);
		break;
	case OP_NEG:
		r = sub(e, 0, a, 0);
		break;
	case OP_NOT:
		r = ~a;
		break;
	}
	return emul_put(e, in->dst, r);
}

/* --- Shifts and rotates; n is at least 1. --- */

static u64
rotate(struct emul *e, u64 a, unsigned n, bool left)
{
	unsigned size = e->in.size, width = 8 * size;
	u64 r = a, top, next;

	n &= width - 1;
	if (!left)
		n = (width - n) & (width - 1);
	if (n > 0)
		r = ((a << n) | (a >> (width - n))) & size_mask(size);
	top = r >> (width - 1) & 1;
	next = r >> (width - 2) & 1;
	if (left)
		emul_flags(e, FL_CF | FL_OF,
		    ((r & 1) ? FL_CF : 0) | ((r & 1) != top ? FL_OF : 0));
	else
		emul_flags(e, FL_CF | FL_OF,
		    (top ? FL_CF : 0) | (top != next ? FL_OF : 0));
	return r;
}

/* Through the carry, bit by bit: at most 63 of them. */
static u64
rotate_carry(struct emul *e, u64 a, unsigned n, bool left)
{
	unsigned size = e->in.size, width = 8 * size;
	u64 cf = (e->rflags & FL_CF) != 0, out, top;

	for (n %= width + 1; n > 0; n--) {
		if (left) {
			out = a >> (width - 1) & 1;
			a = ((a << 1) | cf) & size_mask(size);
		} else {
			out = a & 1;
			a = (a >> 1) | (cf << (width - 1));
		}
		cf = out;
	}
	top = a >> (width - 1) & 1;
	emul_flags(e, FL_CF | FL_OF,
	    (cf ? FL_CF : 0) |
		((left ? top != cf : top != (a >> (width - 2) & 1)) ? FL_OF
								    : 0));
	return a;
}

static u64
shift_left(struct emul *e, u64 a, unsigned n)
{
	unsigned size = e->in.size, width = 8 * size;
	u64 r = a << n, f = emul_flags_of_result(r, size);
	bool cf = n <= width && (a >> (width - n) & 1);

	if (cf)
		f |= FL_CF;
	if (cf != ((r & sign_bit(size)) != 0))
		f |= FL_OF;
	emul_flags(e, FL_STATUS, f);
	return r;
}

static u64
shift_right(struct emul *e, u64 a, unsigned n, bool arithmetic)
{
	unsigned size = e->in.size;
	u64 wide = arithmetic ? (u64)sign_extended(a, size) : a, r, f;

	r = arithmetic ? (u64)((s64)wide >> n) : wide >> n;
	f = emul_flags_of_result(r, size);
	if ((arithmetic ? (u64)((s64)wide >> (n - 1)) : wide >> (n - 1)) & 1)
		f |= FL_CF;
	if (!arithmetic && (a & sign_bit(size)))
		f |= FL_OF;
	emul_flags(e, FL_STATUS, f);
	return r;
}

enum emul_result
emul_shift(struct emul *e)
{
	const struct decoded *in = &e->in;
	u64 a, count;
	unsigned n;

	TRY(emul_get(e, in->dst, true, &a));
	TRY(emul_get(e, in->src, false, &count));
	n = count & (in->size == 8 ? 63 : 31);
	if (n == 0)
		return emul_put(e, in->dst, a);
	switch (in->op) {
	case OP_ROL:
	case OP_ROR:
		a = rotate(e, a, n, in->op == OP_ROL);
		break;
	case OP_RCL:
	case OP_RCR:
		a = rotate_carry(e, a, n, in->op == OP_RCL);
		break;
	case OP_SHL:
		a = shift_left(e, a, n);
		break;
	case OP_SHR:
	case OP_SAR:
		a = shift_right(e, a, n, in->op == OP_SAR);
		break;
	}
	return emul_put(e, in->dst, a);
}

/* SHLD, SHRD; a 16-bit operand shifted by more than 16 is undefined. */
enum emul_result
emul_shift2(struct emul *e)
{
	const struct decoded *in = &e->in;
	unsigned width = 8U * in->size, n;
	u64 a, b, r, count, f;
	bool cf;

	TRY(emul_get(e, in->dst, true, &a));
	TRY(emul_get(e, in->src, false, &count));
	b = emul_reg(e, in->reg, in->size);
	n = count & (in->size == 8 ? 63 : 31);
	if (n == 0)
		return emul_put(e, in->dst, a);
	if (n > width) {
		/* Only 16-bit operands get here: b is followed by a. */
		n -= width;
		r = a;
		a = b;
		b = r;
	}
	if (in->op == OP_SHLD) {
		r = n < width ? (a << n) | (b >> (width - n)) : b;
		cf = a >> (width - n) & 1;
	} else {
		r = n < width ? (a >> n) | (b << (width - n)) : b;
		cf = a >> (n - 1) & 1;
	}
	f = emul_flags_of_result(r, in->size);
	if (cf)
		f |= FL_CF;
	if ((a ^ r) & sign_bit(in->size))
		f |= FL_OF;
	emul_flags(e, FL_STATUS, f);
	return emul_put(e, in->dst, r);
}

/* --- Multiplication and division. --- */

/* The double-width accumulator: AX, or rDX:rAX. */
static void
set_wide(struct emul *e, u64 low, u64 high)
{
	unsigned size = e->in.size;

	if (size == 1) {
		emul_set_reg(e, R_RAX, 2, (low & 0xff) | high << 8);
		return;
	}
	emul_set_reg(e, R_RAX, size, low);
	emul_set_reg(e, R_RDX, size, high);
}

/* CF and OF say that the high half matters; the others are undefined. */
static void
mul_flags(struct emul *e, u64 low, bool significant)
{
	emul_flags(e, FL_CF | FL_OF, significant ? FL_CF | FL_OF : 0);
}

enum emul_result
emul_mul(struct emul *e)
{
	unsigned size = e->in.size, width = 8 * size;
	unsigned __int128 p;
	u64 a = e->gpr[R_RAX] & size_mask(size), b, low, high;
	bool significant;

	TRY(emul_get(e, A_RM, false, &b));
	if (e->in.op == OP_MUL)
		p = (unsigned __int128)a * b;
	else
		p = (unsigned __int128)((__int128)sign_extended(a, size) *
		    sign_extended(b, size));
	low = (u64)p & size_mask(size);
	high = (u64)(p >> width) & size_mask(size);
	if (e->in.op == OP_MUL)
		significant = high != 0;
	else
		significant =
		    high != ((low & sign_bit(size)) ? size_mask(size) : 0);
	set_wide(e, low, high);
	mul_flags(e, low, significant);
	return EMUL_DONE;
}

/* IMUL with two or three operands. */
enum emul_result
emul_imul(struct emul *e)
{
	unsigned size = e->in.size;
	__int128 p;
	u64 a, b;

	TRY(emul_get(e, A_RM, false, &a));
	b = e->in.op == OP_IMUL3 ? (u64)e->in.imm
				 : emul_reg(e, e->in.reg, size);
	p = (__int128)sign_extended(a, size) * sign_extended(b, size);
	mul_flags(e, (u64)p, sign_extended((u64)p, size) != p);
	return emul_put(e, A_REG, (u64)p);
}

/* high:low / d by the CPU; high < d, so the quotient fits. */
static void
divide_128(u64 high, u64 low, u64 d, u64 *q, u64 *r)
{
	asm("divq %4"
	    : "=a"(*q), "=d"(*r)
	    : "0"(low), "1"(high), "r"(d)
	    : "cc");
}

/* Magnitudes of a double-width dividend; false: the quotient is too large. */
static bool
divide(unsigned size, u64 high, u64 low, u64 d, u64 *q, u64 *r)
{
	if (high >= d)
		return false;
	if (size < 8) {
		low |= high << (8 * size);
		high = 0;
	}
	divide_128(high, low, d, q, r);
	return true;
}

static bool
divide_signed(unsigned size, u64 high, u64 low, u64 d, u64 *q, u64 *r)
{
	bool negative = (high & sign_bit(size)) != 0;
	bool opposite = negative != ((d & sign_bit(size)) != 0);
	u64 mask = size_mask(size);

	if (d & sign_bit(size))
		d = -d & mask;
	if (negative) {
		high = (~high + (low == 0)) & mask;
		low = -low & mask;
	}
	if (!divide(size, high, low, d, q, r))
		return false;
	if (*q > sign_bit(size) - !opposite)
		return false;
	if (opposite)
		*q = -*q;
	if (negative)
		*r = -*r;
	return true;
}

enum emul_result
emul_div(struct emul *e)
{
	unsigned size = e->in.size;
	u64 mask = size_mask(size), d, low, high, q = 0, r = 0;
	bool fits;

	TRY(emul_get(e, A_RM, false, &d));
	low = e->gpr[R_RAX] & mask;
	high = size == 1 ? (e->gpr[R_RAX] >> 8) & 0xff : e->gpr[R_RDX] & mask;
	if (e->in.op == OP_DIV)
		fits = divide(size, high, low, d, &q, &r);
	else
		fits = divide_signed(size, high, low, d, &q, &r);
	if (!fits)
		return emul_fault(e, X86_DE, 0);
	set_wide(e, q, r);
	return EMUL_DONE;
}
