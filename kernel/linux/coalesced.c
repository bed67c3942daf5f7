// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Guest writes that end no KVM_RUN but wait in a ring for it to end ("The
 * Definitive KVM API Documentation", KVM_REGISTER_COALESCED_MMIO).  The ring is
 * a page that user space shares, the third of each vCPU's file.
 *
 * Invariants
 *  1. The table of zones never changes; it is replaced under slots_lock, and
 *     the old one freed when no reader (vm->srcu) is left.
 *  2. The ring's page is user space's to write: each index is read once and
 *     checked, and nothing is ever read from an entry.  Entries are written
 *     under ring_lock.
 *  3. A full ring takes nothing: the write ends KVM_RUN, as without a zone.
 */
#include <linux/gfp.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>
#include "coalesced.h"

#define ZONES_MAX 1000

struct zones {
	unsigned n;
	struct kvm_coalesced_mmio_zone z[];
};

static bool
within(const struct kvm_coalesced_mmio_zone *z, bool pio, u64 addr, u64 len)
{
	return pio == (z->pio != 0) && addr >= z->addr && len <= z->size &&
	    addr - z->addr <= z->size - len;
}

static bool
find(struct vm *vm, bool pio, u64 addr, u64 len)
{
	const struct zones *all;
	bool found = false;
	unsigned i;
	int idx;

	if (!coalesced_any(vm))
		return false;
	idx = srcu_read_lock(&vm->srcu);
	all = srcu_dereference(vm->coalesced.zones, &vm->srcu);
	for (i = 0; all && !found && i < all->n; i++)
		found = within(&all->z[i], pio, addr, len);
	srcu_read_unlock(&vm->srcu, idx);
	return found;
}

bool
coalesced_at(struct vm *vm, bool pio, u64 addr)
{
	return find(vm, pio, addr, 1);
}

static bool
put(struct kvm_coalesced_mmio_ring *ring, const struct kvm_coalesced_mmio *e)
{
	u32 last = READ_ONCE(ring->last), next;

	if (last >= KVM_COALESCED_MMIO_MAX)
		return false;
	next = (last + 1) % KVM_COALESCED_MMIO_MAX;
	if (next == READ_ONCE(ring->first))
		return false;
	ring->coalesced_mmio[last] = *e;
	smp_store_release(&ring->last, next); /* after the entry */
	return true;
}

bool
coalesced_write(
    struct vm *vm, bool pio, u64 addr, const void *data, unsigned len)
{
	struct kvm_coalesced_mmio e = {
		.phys_addr = addr, .len = len, .pio = pio
	};
	bool taken;

	if (len > sizeof(e.data) || !find(vm, pio, addr, len))
		return false;
	memcpy(e.data, data, len);
	spin_lock(&vm->coalesced.ring_lock);
	taken = put(vm->coalesced.ring, &e);
	spin_unlock(&vm->coalesced.ring_lock);
	return taken;
}

/* The table without those that hold all of `gone', and with `more'. */
static int
replace(struct vm *vm, const struct kvm_coalesced_mmio_zone *gone,
    const struct kvm_coalesced_mmio_zone *more)
{
	struct zones *old, *new;
	unsigned i, n;

	old = rcu_dereference_protected(
	    vm->coalesced.zones, lockdep_is_held(&vm->slots_lock));
	n = old ? old->n : 0;
	if (more && n >= ZONES_MAX)
		return -ENOSPC;
	new = kzalloc(struct_size(new, z, n + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		if (!gone ||
		    !within(&old->z[i], gone->pio != 0, gone->addr, gone->size))
			new->z[new->n++] = old->z[i];
	}
	if (more)
		new->z[new->n++] = *more;
	rcu_assign_pointer(vm->coalesced.zones, new);
	synchronize_srcu_expedited(&vm->srcu);
	kfree(old);
	return 0;
}

long
coalesced_ioctl(struct vm *vm, void __user *arg, bool gone)
{
	struct kvm_coalesced_mmio_zone z;
	long r;

	if (copy_from_user(&z, arg, sizeof(z)))
		return -EFAULT;
	if (z.pio > 1)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	r = gone ? replace(vm, &z, NULL) : replace(vm, NULL, &z);
	mutex_unlock(&vm->slots_lock);
	return r;
}

int
coalesced_init(struct vm *vm)
{
	spin_lock_init(&vm->coalesced.ring_lock);
	vm->coalesced.ring = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return vm->coalesced.ring ? 0 : -ENOMEM;
}

/* Nobody reads the table any more; a mapping has its own reference of the
 * page. */
void
coalesced_free(struct vm *vm)
{
	kfree(rcu_dereference_protected(vm->coalesced.zones, true));
	free_page((unsigned long)vm->coalesced.ring);
}
