/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_VAPIC_H
#define LINUX_VAPIC_H

/*
 * The task priority without exits: code that user space has put into a guest
 * reads and writes it in a word of memory (KVM_SET_VAPIC_ADDR); and what user
 * space needs to find the code to replace (KVM_TPR_ACCESS_REPORTING).
 */
#include "vcpu.h"

/* Of vCPUs with such a word: before an entry and after an exit. */
void vapic_show(struct vcpu *);
void vapic_take(struct vcpu *);
/* An access to the TPR, and KVM_EXIT_TPR_ACCESS for what was seen of it. */
void vapic_accessed(struct vcpu *, bool write);
void vapic_report(struct vcpu *);

#endif
