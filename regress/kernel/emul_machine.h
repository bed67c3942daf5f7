/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef REGRESS_EMUL_MACHINE_H
#define REGRESS_EMUL_MACHINE_H

/*
 * A machine for the emulator in any mode: some RAM, mapped one to one, with a
 * page that cannot be written and one that is missing; above it a device and
 * everywhere ports, which answer with the low bytes of the address.
 */
#include "emul.h"

#define RAM_LEN	  0x20000
#define CODE	  0x10100 /* linear address of the instruction */
#define READ_ONLY 0xd000 /* a page */
#define MISSING	  0xe000 /* a page */
#define DEVICE	  0x100000
#define GDT	  0x8000
#define TSS	  0x9000
#define LDT	  0x9100

enum mode {
	REAL, /* CS 1000:0100, other segments 0 */
	V86, /* the same at CPL 3 */
	PROT32, /* CS 8, others 10 */
	USER32, /* CS 33, others 2b, CPL 3 */
	LONG64, /* CS 70, others 10 */
};

enum reg {
	END,
	RAX,
	RCX,
	RDX,
	RBX,
	RSP,
	RBP,
	RSI,
	RDI,
	RIP,
	FLAGS,
	ES,
	CS,
	SS,
	DS,
	FS,
	GS,
	LDTR,
	TR,
	ES_BASE,
	CS_BASE,
	DS_BASE,
	GS_BASE,
	TR_BASE,
	DS_ATTR,
	DS_LIMIT,
	TR_LIMIT,
	CR0,
	CR2,
	CR4,
	CR8,
	DR0,
	DR6,
	DR7,
	KERNEL_GS,
	GDT_BASE,
	GDT_LIMIT,
	IDT_BASE,
	IDT_LIMIT,
	NREGS,
};

struct access {
	char kind; /* 'r', 'w': device; 'i', 'o': port; 0: end */
	u64 at;
	u8 len;
	u64 v;
};

struct machine {
	struct emul e;
	struct gcpu cpu;
	u8 ram[RAM_LEN];
	struct access log[16];
	unsigned nlog;
	unsigned fetches; /* reads of the code's page */
};

/* A new machine in this mode. */
void machine_start(struct machine *, enum mode);
u64 machine_get(struct gcpu *, enum reg);
void machine_set(struct gcpu *, enum reg, u64);
/* Answer what the emulator waits for. */
void machine_answer(struct machine *);
/* Run an instruction to its end. */
enum emul_result machine_run(struct machine *);

#endif
