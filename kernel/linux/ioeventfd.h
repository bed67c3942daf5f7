/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_IOEVENTFD_H
#define LINUX_IOEVENTFD_H

#include "vm.h"

enum ioeventfd_space { IOEVENT_PORT, IOEVENT_MMIO };

long ioeventfd_ioctl(struct vm *, void __user *); /* KVM_IOEVENTFD */
static inline bool
ioeventfd_any(const struct vm *vm, enum ioeventfd_space space)
{
	return rcu_access_pointer(vm->events[space]) != NULL;
}

/* A write of the guest: true when an eventfd took it.  Any context but NMI. */
bool ioeventfd_write(struct vm *, enum ioeventfd_space, u64 addr,
    const void *data, unsigned len);
/* Is there any at this address? */
bool ioeventfd_at(struct vm *, enum ioeventfd_space, u64 addr);
void ioeventfd_free_all(struct vm *);

#endif
