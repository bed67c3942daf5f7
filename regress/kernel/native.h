/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef REGRESS_NATIVE_H
#define REGRESS_NATIVE_H

/*
 * One instruction on the real CPU, in user mode: 64-bit code, 32-bit code
 * through the compatibility segment, 16-bit code through the LDT.  A region
 * below 4 GiB at a fixed address holds everything:
 *
 *	code	executable, the instruction is put there; the rest is INT3
 *	data	two pages that can be written, a hole, a page that can only be
 *		read, holes
 */
#include "types.h"

#define NATIVE_CODE	0x10000000ULL
#define NATIVE_CODE_LEN 0x3000
#define NATIVE_DATA	0x10010000ULL
#define NATIVE_RW_LEN	0x2000 /* then a page of hole */
#define NATIVE_RO	0x10013000ULL
/* What native.c needs for itself is here. */
#define NATIVE_OWN     0x1f000000ULL
#define NATIVE_OWN_LEN 0x8000
#define NATIVE_RO_LEN  0x1000

struct native_state {
	u64 gpr[16];
	u64 rip, rflags; /* rip is an offset in CS */
	u16 cs, ds, es, ss, gs;
	u64 gs_base; /* loaded for 64-bit code only */
	bool vectors; /* load and store ymm */
	u8 ymm[16][32];
};

/* What stopped it, if it was not the end of the instruction. */
struct native_end {
	bool fault;
	u8 vector;
	u32 error;
	u64 cr2; /* of #PF */
};

/* Descriptors of the LDT, by index. */
enum native_ldt {
	LDT_NONE,
	LDT_CODE16, /* base NATIVE_CODE */
	LDT_DATA16, /* base NATIVE_DATA, 64 KiB, 16-bit */
	LDT_SMALL, /* base NATIVE_DATA, ends in the first page */
	LDT_DOWN, /* expand-down, 32-bit, begins after the first page */
	LDT_DOWN16, /* the same, 16-bit */
	LDT_READ, /* read-only */
	LDT_COUNT,
};
#define LDT_SEL(n) ((u16)((n) << 3 | 7))
struct native_segment {
	u64 base;
	u32 limit;
	u16 attr; /* as struct seg's */
};
extern const struct native_segment native_ldt[LDT_COUNT];

static inline bool
is_ldt(u16 sel)
{
	return (sel & 4) && sel >> 3 < LDT_COUNT;
}

#define USER32_CS 0x23
#define USER_DS	  0x2b
#define USER_CS	  0x33

/* 0; -ENOTSUP: a kind of code cannot be run here (bits 16 or 32). */
int native_init(void);
bool native_can(unsigned bits);
/* Take the signals back: cmocka catches them around each test. */
void native_catch(void);

/* Run the bytes at CS:RIP in the code region; *s is state before and after.
 * CS says how many bits the code has. */
void native_run(const u8 *code, unsigned len, struct native_state *s,
    struct native_end *end);

#endif
