/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_INSN_H
#define CORE_INSN_H

/*
 * The few instructions that a CPU reports as an exit of their own, for CPUs
 * that do not say where the next one begins or which registers it names
 * (APM vol. 2 "Decode Assists", "State Saved on Exit": nRIP).
 */
#include "decode.h"

#define INSN_MAX DECODE_MAX

enum insn_what {
	INSN_OTHER, /* none of these */
	INSN_CPUID,
	INSN_RDMSR,
	INSN_WRMSR,
	INSN_HLT,
	INSN_VMMCALL, /* VMCALL too */
	INSN_XSETBV,
	INSN_INVD, /* WBINVD, WBNOINVD */
	INSN_PAUSE,
	INSN_RDPMC,
	INSN_MOV_CR,
	INSN_MOV_DR,
	INSN_IRET,
};

struct insn {
	enum insn_what what;
	u8 len;
	bool write; /* MOV to CR or DR */
	u8 n, reg; /* which CR or DR; which general register */
};

/* At most `have' bytes are looked at; 0, or -ENODATA when they end first. */
int
insn_decode(const u8 *bytes, unsigned have, unsigned mode_bits, struct insn *);

#endif
