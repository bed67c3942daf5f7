// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * APM vol. 3 "Instruction Encoding", "Opcode Maps".  The CPU has executed or
 * intercepted the instruction, so only its shape is looked for; bytes that do
 * not fit (changed meanwhile by another CPU) are INSN_OTHER.
 */
#include "insn.h"

#define LOCK 0xf0
#define REP  0xf3

static bool
is_prefix(u8 b)
{
	switch (b) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67:
	case LOCK:
	case 0xf2:
	case REP:
		return true;
	default:
		return false;
	}
}

static enum insn_what
one_byte(u8 op)
{
	switch (op) {
	case 0x90:
		return INSN_PAUSE;
	case 0xcf:
		return INSN_IRET;
	case 0xf4:
		return INSN_HLT;
	default:
		return INSN_OTHER;
	}
}

static enum insn_what
two_byte(u8 op)
{
	switch (op) {
	case 0x08:
	case 0x09:
		return INSN_INVD;
	case 0x20:
	case 0x22:
		return INSN_MOV_CR;
	case 0x21:
	case 0x23:
		return INSN_MOV_DR;
	case 0x30:
		return INSN_WRMSR;
	case 0x32:
		return INSN_RDMSR;
	case 0x33:
		return INSN_RDPMC;
	case 0xa2:
		return INSN_CPUID;
	default:
		return INSN_OTHER;
	}
}

/* 0F 01 /modrm */
static enum insn_what
group7(u8 modrm)
{
	switch (modrm) {
	case 0xc1:
	case 0xd9:
		return INSN_VMMCALL;
	case 0xd1:
		return INSN_XSETBV;
	default:
		return INSN_OTHER;
	}
}

int
insn_decode(const u8 *b, unsigned have, unsigned bits, struct insn *in)
{
	unsigned at = 0;
	bool lock = false;
	u8 rex = 0, op;

	*in = (struct insn){ .what = INSN_OTHER };
	if (have > INSN_MAX)
		have = INSN_MAX;
	for (; at < have; at++) {
		if (bits == 64 && (b[at] & 0xf0) == 0x40) {
			rex = b[at];
			continue;
		}
		if (!is_prefix(b[at]))
			break;
		rex = 0; /* REX counts only directly before the opcode */
		lock |= b[at] == LOCK;
	}
	if (at >= have)
		return -ENODATA;
	op = b[at++];
	if (op != 0x0f) {
		in->what = one_byte(op);
		in->len = (u8)at;
		return 0;
	}
	if (at >= have)
		return -ENODATA;
	op = b[at++];
	in->what = op == 0x01 ? INSN_OTHER : two_byte(op);
	if (op == 0x01 || in->what == INSN_MOV_CR || in->what == INSN_MOV_DR) {
		if (at >= have)
			return -ENODATA;
		if (op == 0x01)
			in->what = group7(b[at]);
		in->write = (op & 2) != 0;
		in->n = (u8)(((b[at] >> 3) & 7) | ((rex & 4) ? 8 : 0));
		in->reg = (u8)((b[at] & 7) | ((rex & 1) ? 8 : 0));
		/* LOCK MOV CR0 is CR8: APM "MOV CRn". */
		if (lock && in->what == INSN_MOV_CR)
			in->n |= 8;
		at++;
	}
	in->len = (u8)at;
	return 0;
}
