// SPDX-License-Identifier: (ISC OR GPL-2.0)
/* APM vol. 3 "MOV", "MOVZX", "MOVSX", "MOVNTI"; see mov.h. */
#include "mov.h"
#include "x86.h"

#define PAGE 4096ULL

static u64
size_mask(unsigned size)
{
	return ~0ULL >> (64 - 8 * size);
}

static bool
is_high(const struct decoded *d, unsigned n, unsigned size)
{
	return size == 1 && n >= 4 && n < 8 && !d->rex;
}

static u64
reg_value(const struct gcpu *c, const struct decoded *d, unsigned n)
{
	if (is_high(d, n, d->size))
		return (c->gpr[n - 4] >> 8) & 0xff;
	return c->gpr[n] & size_mask(d->size);
}

/* The offset in its page of the address that the operand names. */
static u64
page_offset(const struct gcpu *c, const struct decoded *d, bool moffs)
{
	u64 at = moffs ? (u64)d->imm : (u64)d->disp;

	if (!moffs) {
		if (d->base >= 0)
			at += c->gpr[d->base];
		if (d->index >= 0)
			at += c->gpr[d->index] << d->shift;
		if (d->rip_relative)
			at += c->rip + d->len;
	}
	if (d->bits != 64 || d->seg == SEG_FS || d->seg == SEG_GS)
		at += c->seg[d->seg].base;
	return at & (PAGE - 1);
}

static bool
store(const struct gcpu *c, const struct decoded *d, struct mov *m)
{
	if (d->dst != A_RM && d->dst != A_MOFFS)
		return false;
	switch (d->src) {
	case A_REG:
		m->value = reg_value(c, d, d->reg);
		break;
	case A_ACC:
		m->value = reg_value(c, d, R_RAX);
		break;
	case A_IMM:
		m->value = (u64)d->imm & size_mask(d->size);
		break;
	default:
		return false;
	}
	m->size = d->size;
	return true;
}

static bool
load(const struct decoded *d, struct mov *m)
{
	if ((d->src != A_RM && d->src != A_MOFFS) ||
	    (d->dst != A_REG && d->dst != A_ACC))
		return false;
	m->reg = d->dst == A_ACC ? R_RAX : d->reg;
	m->reg_size = d->size;
	m->size = d->size;
	m->sign =
	    d->op == OP_MOVSX8 || d->op == OP_MOVSX16 || d->op == OP_MOVSXD;
	if (d->op == OP_MOVZX8 || d->op == OP_MOVSX8)
		m->size = 1;
	if (d->op == OP_MOVZX16 || d->op == OP_MOVSX16)
		m->size = 2;
	if (d->op == OP_MOVSXD)
		m->size = 4;
	m->high = is_high(d, m->reg, d->size);
	return true;
}

bool
mov_match(const struct gcpu *c, const u8 *bytes, unsigned have, struct gpa gpa,
    bool write, struct mov *m)
{
	struct decoded d;
	u64 in_page = gpa.v & (PAGE - 1);
	bool moffs;

	if (decode(bytes, have, cpu_mode_bits(c), &d) != 0 || d.lock)
		return false;
	*m = (struct mov){ .write = write, .len = d.len };
	switch (d.op) {
	case OP_MOV:
	case OP_MOVNTI:
		if (!(write ? store(c, &d, m) : load(&d, m)))
			return false;
		break;
	case OP_MOVZX8:
	case OP_MOVZX16:
	case OP_MOVSX8:
	case OP_MOVSX16:
	case OP_MOVSXD:
		if (write || !load(&d, m))
			return false;
		break;
	default:
		return false;
	}
	moffs = (write ? d.dst : d.src) == A_MOFFS;
	return (moffs || d.mem) && page_offset(c, &d, moffs) == in_page &&
	    in_page + m->size <= PAGE;
}

void
mov_load(struct gcpu *c, const struct mov *m, u64 v)
{
	unsigned drop = 64 - 8 * m->size;
	u64 *r = &c->gpr[m->high ? m->reg - 4 : m->reg];

	v <<= drop;
	v = m->sign ? (u64)((s64)v >> drop) : v >> drop;
	v &= size_mask(m->reg_size);
	if (m->high)
		*r = (*r & ~0xff00ULL) | v << 8;
	else if (m->reg_size < 4)
		*r = (*r & ~size_mask(m->reg_size)) | v;
	else
		*r = v;
}
