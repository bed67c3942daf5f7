/* SPDX-License-Identifier: ISC */
#ifndef LIB_BPF_H
#define LIB_BPF_H

/*
 * A list of system calls that are allowed as a program for seccomp(2),
 * SECCOMP_SET_MODE_FILTER: BPF over a struct seccomp_data.  What is not on the
 * list, and each call of another architecture (i386's, x32's), ends the process.
 *
 * Made here because each process makes its own, on the way to the guest's first
 * instruction: libseccomp takes 2 million instructions for what takes 70,000.
 * regress/lib/test_bpf.c compares the two.
 */
#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

/* The condition (argument & mask) == value; mask 0: none. */
struct bpf_cond {
	unsigned arg; /* 0 to 5 */
	uint64_t mask;
	uint64_t value;
};

#define BPF_CONDS  2
#define BPF_NR_MAX 0x40000000 /* no number of x86-64 */

/*
 * A call that is allowed if its conditions hold.  Several of the same number:
 * if those of any of them do.  They are tried in this order.
 */
struct bpf_call {
	int nr;
	struct bpf_cond cond[BPF_CONDS];
};

/*
 * Sorts calls by number and writes at most max instructions to prog.  first: a
 * number that is looked for before all others; -1: none.  How many instructions
 * there are, or -E2BIG when they do not fit; -ENOMEM; -EINVAL for a number or an
 * argument that there is not, or a value that its mask cannot leave.
 */
int bpf_compile(struct bpf_call *calls, size_t n, int first,
    struct sock_filter *prog, size_t max);

#endif
