/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_DIRTYLOG_H
#define LINUX_DIRTYLOG_H

#include <linux/kvm.h>
#include "vm.h"

#define DIRTYLOG_FLAGS \
	(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)

long dirtylog_get(struct vm *, void __user *); /* KVM_GET_DIRTY_LOG */
long dirtylog_clear(struct vm *, void __user *); /* KVM_CLEAR_DIRTY_LOG */
long dirtylog_enable(struct vm *, u64 flags);

/* For slots.c, under slots_lock. */
unsigned long *dirtylog_new(struct vm *, unsigned long pages);
/* The slot with its log is in the table. */
void dirtylog_begin(struct vm *, const struct slot *);

#endif
