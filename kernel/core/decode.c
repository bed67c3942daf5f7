// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * APM vol. 3 "Instruction Encoding".
 *
 * Invariants
 *  1. No byte is looked at twice, none beyond `have' or beyond the 15th, and
 *     none that the CPU would not need to know the instruction.
 *  2. What the CPU refuses by its encoding alone (LOCK, register or memory
 *     form, mode) is OP_UD, whatever the operands are.
 */
#include "decode.h"
#include "cpu.h"

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

struct cursor {
	const u8 *b;
	unsigned have, at;
	bool opsize, asize; /* prefixes 66 and 67 */
	bool ignored_rex; /* a REX that is not last, or none */
	u8 prefix; /* mandatory prefix: 0, 66, f2, f3 */
	u8 map;
	u8 seg; /* override, CPU_NSEGS: none */
};

static int
take(struct cursor *c, unsigned n, u64 *v)
{
	unsigned i;

	if (c->at + n > DECODE_MAX)
		return -E2BIG;
	if (c->at + n > c->have)
		return -ENODATA;
	*v = 0;
	for (i = 0; i < n; i++)
		*v |= (u64)c->b[c->at + i] << (8 * i);
	c->at += n;
	return 0;
}

static s64
sign_extend(u64 v, unsigned bytes)
{
	unsigned drop = 64 - 8 * bytes;

	return (s64)(v << drop) >> drop;
}

/* false: not a legacy prefix. */
static bool
legacy_prefix(struct cursor *c, struct decoded *d, u8 b)
{
	switch (b) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		if (d->bits != 64)
			c->seg = SEG_ES + ((b >> 3) & 3);
		return true;
	case 0x64:
	case 0x65:
		c->seg = SEG_FS + (b & 1);
		return true;
	case 0x66:
		c->opsize = true;
		return true;
	case 0x67:
		c->asize = true;
		return true;
	case 0xf0:
		d->lock = true;
		return true;
	case 0xf2:
	case 0xf3:
		d->rep = b;
		return true;
	default:
		return false;
	}
}

static int
prefixes(struct cursor *c, struct decoded *d, u8 *opcode)
{
	u64 b;
	int err;

	for (;;) {
		if ((err = take(c, 1, &b)) != 0)
			return err;
		if (legacy_prefix(c, d, (u8)b)) {
			d->rex = 0; /* counts only before the opcode */
		} else if (d->bits == 64 && (b & 0xf0) == 0x40) {
			d->rex = (u8)b;
		} else {
			*opcode = (u8)b;
			break;
		}
	}
	c->prefix = d->rep ? d->rep : c->opsize ? 0x66 : 0;
	if (d->bits == 64)
		d->asize = c->asize ? 4 : 8;
	else
		d->asize = (d->bits == 32) != c->asize ? 4 : 2;
	return 0;
}

/* APM vol. 3 "ModRM and SIB Bytes", 16-bit addressing. */
static int
modrm_16(struct cursor *c, struct decoded *d)
{
	static const s8 bases[8] = { R_RBX, R_RBX, R_RBP, R_RBP, -1, -1, R_RBP,
		R_RBX };
	static const s8 indexes[8] = { R_RSI, R_RDI, R_RSI, R_RDI, R_RSI, R_RDI,
		-1, -1 };
	unsigned mod = d->modrm >> 6, rm = d->modrm & 7;
	unsigned n = mod;
	u64 v;
	int err;

	d->base = bases[rm];
	d->index = indexes[rm];
	if (mod == 0 && rm == 6) {
		d->base = -1;
		n = 2;
	}
	if (n > 0) {
		if ((err = take(c, n, &v)) != 0)
			return err;
		d->disp = sign_extend(v, n);
	}
	return 0;
}

static int
modrm_32(struct cursor *c, struct decoded *d)
{
	unsigned mod = d->modrm >> 6, rm = d->modrm & 7, n;
	u64 v;
	int err;

	n = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	d->base = (s8)(rm | ((d->rex & REX_B) ? 8 : 0));
	if (rm == 4) {
		if ((err = take(c, 1, &v)) != 0)
			return err;
		d->shift = (u8)(v >> 6);
		d->index = (s8)(((v >> 3) & 7) | ((d->rex & REX_X) ? 8 : 0));
		if (d->index == 4)
			d->index = -1;
		rm = v & 7;
		d->base = (s8)(rm | ((d->rex & REX_B) ? 8 : 0));
	} else if (rm == 5 && mod == 0) {
		d->rip_relative = d->bits == 64;
	}
	if (rm == 5 && mod == 0) {
		d->base = -1;
		n = 4;
	}
	if (n > 0) {
		if ((err = take(c, n, &v)) != 0)
			return err;
		d->disp = sign_extend(v, n);
	}
	return 0;
}

static int
modrm(struct cursor *c, struct decoded *d, bool always_register)
{
	u64 v;
	int err;

	if ((err = take(c, 1, &v)) != 0)
		return err;
	d->modrm = (u8)v;
	d->reg = (u8)(((v >> 3) & 7) | ((d->rex & REX_R) ? 8 : 0));
	d->rm = (u8)((v & 7) | ((d->rex & REX_B) ? 8 : 0));
	d->mem = (v >> 6) != 3 && !always_register;
	if (!d->mem)
		return 0;
	err = d->asize == 2 ? modrm_16(c, d) : modrm_32(c, d);
	if (d->base == R_RBP || d->base == R_RSP)
		d->seg = SEG_SS;
	return err;
}

static int
immediate(struct cursor *c, struct decoded *d, unsigned kind)
{
	unsigned z = d->size == 8 ? 4 : d->size, n = 0;
	u64 v;
	int err;

	switch (kind) {
	case IMM_NONE:
		return 0;
	case IMM_8:
		n = 1;
		break;
	case IMM_16:
	case IMM_ENTER:
		n = 2;
		break;
	case IMM_Z:
	case IMM_PTR:
	case IMM_BZ: /* of a byte, z is 1 */
		n = z;
		break;
	case IMM_V:
		n = d->size;
		break;
	case IMM_MOFFS:
		n = d->asize;
		break;
	}
	if ((err = take(c, n, &v)) != 0)
		return err;
	/* Offsets and counts are unsigned. */
	if (kind == IMM_16 || kind == IMM_ENTER || kind == IMM_PTR ||
	    kind == IMM_MOFFS)
		d->imm = (s64)v;
	else
		d->imm = sign_extend(v, n);
	if (kind == IMM_PTR || kind == IMM_ENTER) {
		if ((err = take(c, kind == IMM_PTR ? 2 : 1, &v)) != 0)
			return err;
		d->imm2 = (u16)v;
	}
	return 0;
}

/* 0F 01 with a register that is not of the table. */
static void
group7_register(struct decoded *d)
{
	switch (d->modrm) {
	case 0xc1: /* VMCALL */
	case 0xd9:
		d->op = OP_VMMCALL;
		break;
	case 0xca:
		d->op = OP_CLAC;
		break;
	case 0xcb:
		d->op = OP_STAC;
		break;
	case 0xd1:
		d->op = OP_XSETBV;
		break;
	case 0xf8:
		d->op = OP_SWAPGS;
		d->flags |= D_CPL0 | D_ONLY64;
		break;
	case 0xf9:
		d->op = OP_RDTSCP;
		break;
	default:
		d->op = OP_OTHER;
		break;
	}
	d->flags &= (u16)~D_MEM;
}

static void
group15(const struct cursor *c, struct decoded *d)
{
	unsigned reg = d->reg & 7;

	if (!d->mem && reg >= 5 && c->prefix == 0)
		d->op = OP_NOP; /* LFENCE, MFENCE, SFENCE */
	else if (d->mem && reg == 7 && (c->prefix == 0 || c->prefix == 0x66))
		d->op = OP_TOUCH; /* CLFLUSH, CLFLUSHOPT */
}

/* Of x87 what finds out whether there is one. */
static void
probe_x87(struct decoded *d)
{
	unsigned reg = d->reg & 7;

	if (d->opcode == 0xdb && d->modrm == 0xe3)
		d->op = OP_FNINIT;
	else if (d->opcode == 0xdf && d->modrm == 0xe0)
		d->op = OP_FNSTSW;
	else if (d->opcode == 0xdd && d->mem && reg == 7)
		d->op = OP_FNSTSW;
	else if (d->opcode == 0xd9 && d->mem && reg == 7)
		d->op = OP_FNSTCW;
}

/* Opcodes whose operation depends on more than the tables say. */
static void
refine(struct cursor *c, struct decoded *d)
{
	/* APM "LDS": no 64-bit offsets. */
	if (d->op == OP_LOAD_FAR && d->size == 8)
		d->size = 4;
	if (c->map == 0) {
		if (d->opcode == 0x63 && d->bits != 64) {
			d->op = OP_ARPL;
			d->dst = A_RM;
			d->src = A_REG;
			d->flags |= D_PE;
			d->size = 2;
		} else if (d->opcode == 0x90 && !(d->rex & REX_B)) {
			d->op = d->rep == 0xf3 ? OP_PAUSE : OP_NOP;
			d->dst = d->src = A_NONE;
		}
		probe_x87(d);
		return;
	}
	switch (d->opcode) {
	case 0x01:
		if (!d->mem && (d->reg & 7) != 4 && (d->reg & 7) != 6)
			group7_register(d);
		break;
	case 0xae:
		group15(c, d);
		break;
	case 0xb8: /* without F3 it is JMPE, which nobody has */
		if (d->rep != 0xf3)
			d->op = OP_UD;
		break;
	case 0xbc:
		if (d->rep == 0xf3)
			d->op = OP_TZCNT;
		break;
	case 0xbd:
		if (d->rep == 0xf3)
			d->op = OP_LZCNT;
		break;
	case 0xc3:
		if (c->prefix)
			d->op = OP_UD;
		if (d->size == 2)
			d->size = 4;
		break;
	case 0xc7:
		if ((d->reg & 7) >= 6 && !d->mem)
			d->op = OP_OTHER; /* RDRAND, RDSEED, RDPID */
		break;
	}
}

static void
operand_size(const struct cursor *c, struct decoded *d, unsigned flags)
{
	if (flags & D_BYTE)
		d->size = 1;
	else if (d->rex & REX_W)
		d->size = 8;
	else if (d->bits == 64 && (flags & D_DEF64))
		d->size = c->opsize ? 2 : 8;
	else
		d->size = (d->bits == 16) != c->opsize ? 2 : 4;
}

/* CR0, 2, 3, 4, 8; LOCK makes CR0 CR8: APM "MOV CRn".  DR0 to DR7. */
static bool
exists(const struct decoded *d)
{
	if (d->op == OP_MOV_DR)
		return d->reg < 8;
	return d->lock ? d->reg == 0 : (0x11d >> d->reg & 1) != 0;
}

/* Does the encoding alone make it invalid? */
static bool
is_invalid(const struct decoded *d)
{
	if ((d->op == OP_MOV_CR || d->op == OP_MOV_DR) && !exists(d))
		return true;
	if ((d->flags & D_NO64) && d->bits == 64)
		return true;
	if ((d->flags & D_ONLY64) && d->bits != 64)
		return true;
	if ((d->flags & D_MEM) && !d->mem)
		return true;
	if (!d->lock || d->op == OP_MOV_CR)
		return false;
	return !(d->flags & D_LOCK) || d->dst != A_RM || !d->mem;
}

static int
by_row(struct cursor *c, struct decoded *d, const struct decode_row *row)
{
	const struct decode_row *sub;
	unsigned imm = row->imm;
	int err;

	d->op = row->op;
	d->dst = row->dst;
	d->src = row->src;
	d->flags = row->flags;
	if (row->flags & D_MODRM) {
		err = modrm(c, d, (row->flags & D_REGISTER) != 0);
		if (err != 0)
			return err;
	}
	if (row->group != G_NONE) {
		sub = &decode_groups[row->group][d->reg & 7];
		d->op = sub->op;
		d->flags |= sub->flags;
		if (sub->src != A_NONE)
			d->src = sub->src;
		if (sub->imm != IMM_NONE)
			imm = sub->imm;
	}
	operand_size(c, d, d->flags);
	if ((err = immediate(c, d, imm)) != 0)
		return err;
	d->opreg = (u8)((d->opcode & 7) | ((d->rex & REX_B) ? 8 : 0));
	refine(c, d);
	return 0;
}

/* --- Vector moves. --- */

static void
vector_row(struct decoded *d, const struct decode_vrow *v)
{
	d->op = v->op;
	d->vec = v->vec;
	d->vbytes = v->bytes;
	if (v->bytes == 0 && (v->flags & VF_GPR))
		d->vbytes = (d->rex & REX_W) ? 8 : 4;
	else if (v->bytes == 0)
		d->vbytes = d->vlen;
	d->vgpr = (v->flags & VF_GPR) != 0;
	d->valign = (v->flags & VF_ALIGN) != 0;
	if (d->vex &&
	    (((v->flags & VF_L0) && d->vlen != 16) ||
		(!(v->flags & VF_NDS) && d->vreg != 0)))
		d->op = OP_UD;
	if (d->bits != 64)
		d->vreg &= 7;
}

/* Others stay OP_OTHER. */
static void
vector_move(const struct cursor *c, struct decoded *d)
{
	const struct decode_vrow *v;
	unsigned i;

	for (i = 0; i < decode_nvectors; i++) {
		v = &decode_vectors[i];
		if (v->map != c->map || v->opcode != d->opcode ||
		    v->prefix != c->prefix)
			continue;
		if (((v->flags & VF_MEM) && !d->mem) ||
		    ((v->flags & VF_REG) && d->mem))
			continue;
		vector_row(d, v);
		return;
	}
}

static int
map_0f38(struct cursor *c, struct decoded *d)
{
	u64 b;
	int err;

	c->map = 2;
	if ((err = take(c, 1, &b)) != 0)
		return err;
	d->opcode = (u8)b;
	d->flags = D_MODRM;
	if ((err = modrm(c, d, false)) != 0)
		return err;
	operand_size(c, d, 0);
	d->op = OP_OTHER;
	if ((b == 0xf0 || b == 0xf1) && d->rep == 0xf2) {
		d->op = OP_CRC32;
		d->dst = A_REG;
		d->src = A_RM;
		if (b == 0xf0)
			d->size = 1;
	} else if ((b == 0xf0 || b == 0xf1) && d->rep == 0) {
		d->op = OP_MOVBE;
		d->flags |= D_MEM;
		d->dst = b == 0xf0 ? A_REG : A_RM;
		d->src = b == 0xf0 ? A_RM : A_REG;
	} else {
		vector_move(c, d);
	}
	return 0;
}

static int
map_0f(struct cursor *c, struct decoded *d)
{
	u64 b;
	int err;

	c->map = 1;
	if ((err = take(c, 1, &b)) != 0)
		return err;
	if (b == 0x38)
		return map_0f38(c, d);
	d->opcode = (u8)b;
	if (b == 0x3a) {
		d->op = OP_OTHER;
		return 0;
	}
	if ((err = by_row(c, d, &decode_two[b])) != 0)
		return err;
	if (d->op == OP_OTHER && (d->flags & D_MODRM))
		vector_move(c, d);
	return 0;
}

/* APM vol. 3 "VEX and XOP Prefixes"; the first byte is c5 or c4. */
static int
vex(struct cursor *c, struct decoded *d, u8 first)
{
	static const u8 mandatory[4] = { 0, 0x66, 0xf3, 0xf2 };
	bool refused = d->lock || d->rep || c->opsize || d->rex;
	u64 p0, p1, b;
	int err;

	if ((err = take(c, 1, &p0)) != 0)
		return err;
	if (first == 0xc5) {
		p1 = p0 & 0x7f;
		p0 = (p0 & 0x80) | 0x61;
	} else if ((err = take(c, 1, &p1)) != 0) {
		return err;
	}
	if ((err = take(c, 1, &b)) != 0)
		return err;
	d->vex = true;
	d->rex = (u8)(((~p0 >> 5) & 7) | ((p1 & 0x80) ? REX_W : 0));
	d->vreg = (u8)((~p1 >> 3) & 15);
	if (d->bits != 64)
		d->rex = 0;
	d->vlen = (p1 & 4) ? 32 : 16;
	c->prefix = mandatory[p1 & 3];
	c->map = p0 & 31;
	d->opcode = (u8)b;
	d->op = OP_OTHER;
	if (c->map == 1 && b == 0x77)
		return 0; /* VZEROUPPER */
	d->flags = D_MODRM;
	if ((err = modrm(c, d, false)) != 0)
		return err;
	vector_move(c, d);
	if (refused)
		d->op = OP_UD;
	return 0;
}

/* C4 and C5 are LES and LDS with a memory operand outside of 64-bit code. */
static bool
is_vex(const struct cursor *c, const struct decoded *d, u8 opcode)
{
	if (opcode != 0xc4 && opcode != 0xc5)
		return false;
	return d->bits == 64 ||
	    (c->at < c->have && (c->b[c->at] & 0xc0) == 0xc0);
}

int
decode(const u8 *bytes, unsigned have, unsigned bits, struct decoded *d)
{
	struct cursor c = { .b = bytes, .have = have, .seg = CPU_NSEGS };
	u8 opcode = 0;
	int err;

	*d = (struct decoded){
		.bits = (u8)bits,
		.base = -1,
		.index = -1,
		.vlen = 16,
		.seg = SEG_DS,
	};
	if ((err = prefixes(&c, d, &opcode)) != 0)
		return err;
	d->opcode = opcode;
	if (is_vex(&c, d, opcode))
		err = vex(&c, d, opcode);
	else if (opcode == 0x0f)
		err = map_0f(&c, d);
	else
		err = by_row(&c, d, &decode_one[opcode]);
	if (err != 0)
		return err;
	if (c.seg != CPU_NSEGS)
		d->seg = c.seg;
	d->string_seg = c.seg != CPU_NSEGS ? c.seg : SEG_DS;
	d->len = (u8)c.at;
	if (is_invalid(d))
		d->op = OP_UD;
	return 0;
}
