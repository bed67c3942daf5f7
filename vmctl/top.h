/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_TOP_H
#define VMCTL_TOP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl.h"

/* A list, and when it was taken. */
struct top_sample {
	struct ctl_vm *vms;
	size_t n;
	uint64_t us; /* of any clock that only goes on */
};

/*
 * What the VMs that run used between two samples, the busiest first, in at
 * most so many lines.  0 or -ENOMEM.
 */
int top_print(FILE *, const struct top_sample *before,
    const struct top_sample *now, size_t lines);

#endif
