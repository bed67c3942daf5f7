/* SPDX-License-Identifier: ISC */
#ifndef VMD_BALLOON_H
#define VMD_BALLOON_H

/*
 * How much of its memory a VM's guest is asked to keep.  What was said holds
 * until the VM stops, over restarts of the guest; a guest without a driver
 * does not hear it.
 */
#include <stdint.h>
#include "fail.h"

struct vm;

/* 0 or negative with *why filled. */
int balloon_set(struct vm *, uint64_t bytes, struct fail *why);
/* To a new process: how it is.  0 or -errno. */
int balloon_send(const struct vm *);

#endif
