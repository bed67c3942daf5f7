/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_PVEOI_H
#define LINUX_PVEOI_H

/*
 * The end of an interrupt without an exit: a word of the guest's memory says
 * that clearing it is enough.
 */
#include "vcpu.h"

/* The MSR; 0 or -errno: #GP. */
int pveoi_write(struct vcpu *, u64);
void pveoi_reset(struct vcpu *);
/* Of vCPUs that have such a word: before an entry. */
void pveoi_offer(struct vcpu *);
/* After an exit, or an entry that did not come about, with an offer. */
void pveoi_take(struct vcpu *);

#endif
