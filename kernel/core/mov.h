/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_MOV_H
#define CORE_MOV_H

/*
 * The moves between a register and memory that drivers use on devices: MOV,
 * MOVZX, MOVSX, MOVNTI.  Under nested paging the CPU has checked segment and
 * paging before it reports the access, so these need no emulator.
 */
#include "cpu.h"
#include "decode.h"

struct mov {
	bool write;
	u8 size; /* bytes in memory */
	u8 len; /* of the instruction */
	u8 reg, reg_size; /* where a load goes */
	bool high; /* AH .. BH */
	bool sign;
	u64 value; /* of a store */
};

/*
 * Is the instruction at RIP, of these bytes, such a move to or from gpa?
 * False also when it goes over the end of the page, or when its address is
 * not that of the access: the bytes changed meanwhile.  Needs SEGS and CRS.
 */
bool mov_match(const struct gcpu *, const u8 *bytes, unsigned have, struct gpa,
    bool write, struct mov *);
/* What a load does with the value. */
void mov_load(struct gcpu *, const struct mov *, u64 value);

#endif
