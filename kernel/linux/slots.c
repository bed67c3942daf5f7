// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The table of memory slots: KVM_SET_USER_MEMORY_REGION as "The Definitive
 * KVM API Documentation" has it.  Dirty logging and read-only slots are not
 * offered: their flags are refused like any unknown one.
 *
 * Invariants
 *  1. Slots are page aligned, disjoint, inside the guest physical address
 *     space, and within the user half of the address space.
 *  2. A slot that changed or went leaves no translation behind: the new table
 *     is published, readers of the old one drain, then its range is zapped.
 */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "vm.h"

static int
check(const struct kvm_userspace_memory_region *r)
{
	u64 end = r->guest_phys_addr + r->memory_size;

	if (r->flags)
		return -EINVAL;
	if (r->slot >= VM_SLOTS)
		return -EINVAL;
	if ((r->guest_phys_addr | r->memory_size | r->userspace_addr) &
	    ~PAGE_MASK)
		return -EINVAL;
	if (r->memory_size == 0)
		return 0;
	if (end < r->guest_phys_addr || end > VM_GPA_END)
		return -EINVAL;
	/* User space may hand out tagged addresses; none is ours. */
	if (untagged_addr(r->userspace_addr) != r->userspace_addr ||
	    !access_ok((void __user *)(unsigned long)r->userspace_addr,
		r->memory_size))
		return -EINVAL;
	return 0;
}

static const struct slot *
by_id(const struct slots *all, u32 id)
{
	unsigned i;

	for (i = 0; i < all->n; i++) {
		if (all->s[i].id == id)
			return &all->s[i];
	}
	return NULL;
}

/* The table without id; *gone is what it was. */
static void
copy_without(
    struct slots *new, const struct slots *old, u32 id, struct slot *gone)
{
	unsigned i;

	for (i = 0; i < old->n; i++) {
		if (old->s[i].id == id)
			*gone = old->s[i];
		else
			new->s[new->n++] = old->s[i];
	}
}

/* 0, -EEXIST when it overlaps another. */
static int
insert(struct slots *all, const struct slot *s)
{
	unsigned i, at = all->n;

	for (i = all->n; i-- > 0;) {
		if (s->gpa < all->s[i].gpa + all->s[i].len &&
		    all->s[i].gpa < s->gpa + s->len)
			return -EEXIST;
		if (s->gpa < all->s[i].gpa)
			at = i;
	}
	memmove(&all->s[at + 1], &all->s[at], (all->n - at) * sizeof(*s));
	all->s[at] = *s;
	all->n++;
	return 0;
}

/* Only moves, and from writable to read-only no change (KVM's -EINVAL). */
static int
may_replace(const struct slot *old, const struct slot *new)
{
	if (old->len != new->len || old->hva != new->hva ||
	    old->readonly != new->readonly)
		return -EINVAL;
	return 0;
}

static void
zap_slot(struct vm *vm, const struct slot *s)
{
	struct gpa start = { s->gpa }, end = { s->gpa + s->len };
	void *stale;
	bool flush;

	if (s->len == 0)
		return;
	spin_lock(&vm->mmu_lock);
	flush = npt_zap(&vm->npt, start, end);
	stale = npt_prune(&vm->npt, start, end);
	if (flush || stale)
		vcpu_flush_all(vm);
	spin_unlock(&vm->mmu_lock);
	npt_release(stale);
}

static int
replace(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
	struct slot s = {
		.gpa = r->guest_phys_addr,
		.len = r->memory_size,
		.hva = (unsigned long)r->userspace_addr,
		.id = r->slot,
	};
	struct slots *old, *new;
	struct slot gone = { 0 };
	const struct slot *before;
	int err = 0;

	old = rcu_dereference_protected(
	    vm->slots, lockdep_is_held(&vm->slots_lock));
	before = by_id(old, s.id);
	if (!before && s.len == 0)
		return -EINVAL;
	if (before && s.len != 0 && (err = may_replace(before, &s)))
		return err;
	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	copy_without(new, old, s.id, &gone);
	if (s.len != 0)
		err = insert(new, &s);
	if (err) {
		kfree(new);
		return err;
	}
	rcu_assign_pointer(vm->slots, new);
	synchronize_srcu(&vm->srcu);
	zap_slot(vm, &gone);
	kfree(old);
	return 0;
}

int
mem_set_region(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
	int err = check(r);

	if (err)
		return err;
	mutex_lock(&vm->slots_lock);
	err = replace(vm, r);
	mutex_unlock(&vm->slots_lock);
	return err;
}
