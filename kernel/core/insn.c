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

/* The usual encodings, which mean the same in every mode; with prefixes they
 * are decoded like all others. */
static const struct {
	u8 bytes[3], len;
	enum insn_what what;
} plain[] = {
	{ { 0x0f, 0xa2 }, 2, INSN_CPUID },
	{ { 0x0f, 0x30 }, 2, INSN_WRMSR },
	{ { 0x0f, 0x32 }, 2, INSN_RDMSR },
	{ { 0x0f, 0x01, 0xd9 }, 3, INSN_VMMCALL },
	{ { 0xf4 }, 1, INSN_HLT },
};

static bool
is_plain(const u8 *b, unsigned have, struct insn *in)
{
	unsigned i, n;

	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		for (n = 0; n < plain[i].len; n++) {
			if (n >= have || b[n] != plain[i].bytes[n])
				break;
		}
		if (n == plain[i].len) {
			*in = (struct insn){ .what = plain[i].what,
				.len = plain[i].len };
			return true;
		}
	}
	return false;
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
