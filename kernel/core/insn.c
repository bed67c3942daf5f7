// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The CPU has executed or intercepted the instruction, so only its shape is
 * looked for; bytes that do not fit (changed meanwhile by another CPU) are
 * INSN_OTHER.
 */
#include "insn.h"

static enum insn_what
what_is(unsigned op)
{
	switch (op) {
	case OP_CPUID:
		return INSN_CPUID;
	case OP_RDMSR:
		return INSN_RDMSR;
	case OP_WRMSR:
		return INSN_WRMSR;
	case OP_HLT:
		return INSN_HLT;
	case OP_VMMCALL:
		return INSN_VMMCALL;
	case OP_XSETBV:
		return INSN_XSETBV;
	case OP_WBINVD:
		return INSN_INVD;
	case OP_PAUSE:
		return INSN_PAUSE;
	case OP_RDPMC:
		return INSN_RDPMC;
	case OP_MOV_CR:
		return INSN_MOV_CR;
	case OP_MOV_DR:
		return INSN_MOV_DR;
	case OP_IRET:
		return INSN_IRET;
	default:
		return INSN_OTHER;
	}
}

static bool
found(struct insn *in, enum insn_what what, u8 len)
{
	*in = (struct insn){ .what = what, .len = len };
	return true;
}

/* The usual encodings, which mean the same in every mode; with prefixes they
 * are decoded like all others. */
static bool
is_plain(const u8 *b, unsigned have, struct insn *in)
{
	if (have >= 1 && b[0] == 0xf4)
		return found(in, INSN_HLT, 1);
	if (have < 2 || b[0] != 0x0f)
		return false;
	switch (b[1]) {
	case 0xa2:
		return found(in, INSN_CPUID, 2);
	case 0x30:
		return found(in, INSN_WRMSR, 2);
	case 0x32:
		return found(in, INSN_RDMSR, 2);
	case 0x01:
		return have >= 3 && b[2] == 0xd9 && found(in, INSN_VMMCALL, 3);
	default:
		return false;
	}
}

int
insn_decode(const u8 *b, unsigned have, unsigned bits, struct insn *in)
{
	struct decoded d;

	if (is_plain(b, have, in))
		return 0;
	if (decode(b, have, bits, &d) != 0)
		return -ENODATA;
	*in = (struct insn){ .what = what_is(d.op), .len = d.len };
	if (in->what == INSN_MOV_CR || in->what == INSN_MOV_DR) {
		in->write = d.dst == A_NONE;
		in->n = d.reg | (d.lock ? 8 : 0);
		in->reg = d.rm;
	}
	return 0;
}
