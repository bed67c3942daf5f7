/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_COALESCED_H
#define LINUX_COALESCED_H

/* Guest writes that wait for user space's next look: coalesced.c. */
#include "vm.h"

int coalesced_init(struct vm *);
void coalesced_free(struct vm *);
/* KVM_REGISTER_COALESCED_MMIO, or KVM_UNREGISTER_... */
long coalesced_ioctl(struct vm *, void __user *, bool gone);
static inline bool
coalesced_any(const struct vm *vm)
{
	return rcu_access_pointer(vm->coalesced.zones) != NULL;
}

/* A write of the guest: true when the ring took it. */
bool coalesced_write(
    struct vm *, bool pio, u64 addr, const void *data, unsigned len);
bool coalesced_at(struct vm *, bool pio, u64 addr);

#endif
