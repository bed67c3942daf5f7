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

int
insn_decode(const u8 *b, unsigned have, unsigned bits, struct insn *in)
{
	struct decoded d;

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
