/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef REGRESS_EMUL_CASE_H
#define REGRESS_EMUL_CASE_H

/*
 * A random instruction that a process may try, and a state before it in
 * which it is likely to find memory, selectors and targets that exist.
 */
#include "decode.h"
#include "native.h"

struct kase {
	unsigned bits;
	u8 code[16];
	struct decoded d;
	struct native_state in;
	u64 at; /* linear address of the code */
};

/* The same seed makes the same cases. */
void case_seed(u64);
bool case_percent(unsigned);
/* false: none of the kind that is compared; try again. */
bool case_make(struct kase *);
/* Disturb memory (NATIVE_DATA's), and put there what the case looks for. */
void case_fill_memory(const struct kase *, u8 *);
/* Is this an operation that is not to be run on the CPU? */
bool case_is_excluded(const struct decoded *);

#endif
