/* SPDX-License-Identifier: ISC */
#ifndef VMD_LINK_H
#define VMD_LINK_H

/*
 * The links of a VM's interfaces, as its guest sees them: plugged in or not.
 * What was said holds until the VM stops, over restarts of the guest.
 */
#include <stdbool.h>
#include <stdint.h>
#include "fail.h"

struct vm;

/* 0 or negative with *why filled. */
int link_set(struct vm *, uint32_t nic, bool up, struct fail *why);
/* To a new process: how it is.  0 or -errno. */
int link_send(struct vm *, uint32_t nic);

#endif
