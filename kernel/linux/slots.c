// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Changes of the table of memory slots: KVM_SET_USER_MEMORY_REGION as "The
 * Definitive KVM API Documentation" has it.
 *
 * Invariants
 *  1. Slots are page aligned, disjoint, inside the guest physical address
 *     space, and within the user half of the address space.
 *  2. A table never changes; it is replaced, and the old one freed when no
 *     reader is left.
 *  3. A slot that goes or moves stays in the table, marked, until nothing is
 *     mapped from it any more: what Linux does to its memory meanwhile still
 *     finds it (mem.c, invariant 1), and the guest waits.
 */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "../hv/hv.h"
#include "dev.h"
#include "dirtylog.h"
#include "slots.h"

/* KVM's limits: a bitmap of 2^31 pages is 256 MiB. */
#define PAGES_MAX ((1ULL << 31) - 1)

static int
check(const struct kvm_userspace_memory_region *r)
{
	u64 end = r->guest_phys_addr + r->memory_size;

	if (r->flags & ~(u32)(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EINVAL;
	if (r->slot >= VM_SLOTS)
		return -EINVAL;
	if ((r->guest_phys_addr | r->memory_size | r->userspace_addr) &
	    ~PAGE_MASK)
		return -EINVAL;
	/* User space may hand out tagged addresses; none is ours. */
	if (untagged_addr(r->userspace_addr) != r->userspace_addr ||
	    !access_ok((void __user *)(unsigned long)r->userspace_addr,
		r->memory_size))
		return -EINVAL;
	if (end < r->guest_phys_addr ||
	    r->memory_size >> PAGE_SHIFT > PAGES_MAX)
		return -EINVAL;
	return 0;
}

const struct slot *
slots_find(const struct slots *all, u64 gpa)
{
	unsigned lo = 0, hi = all->n, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (gpa < all->s[mid].gpa)
			hi = mid;
		else if (gpa - all->s[mid].gpa >= all->s[mid].len)
			lo = mid + 1;
		else
			return &all->s[mid];
	}
	return NULL;
}

const struct slot *
slots_by_id(const struct slots *all, u32 id)
{
	unsigned i;

	for (i = 0; i < all->n; i++) {
		if (all->s[i].id == id)
			return &all->s[i];
	}
	return NULL;
}

const struct slots *
slots_current(struct vm *vm)
{
	return rcu_dereference_protected(
	    vm->slots, lockdep_is_held(&vm->slots_lock));
}

/* Does s lie over a slot with another id? */
static bool
overlaps(const struct slots *all, const struct slot *s)
{
	unsigned i;

	for (i = 0; i < all->n; i++) {
		if (all->s[i].id != s->id &&
		    s->gpa < all->s[i].gpa + all->s[i].len &&
		    all->s[i].gpa < s->gpa + s->len)
			return true;
	}
	return false;
}

/* A copy with s in the place of the slot with its id, or without that one. */
static struct slots *
copy_with(const struct slots *old, const struct slot *s, u32 id)
{
	struct slots *new;
	unsigned i;

	new = kvzalloc(struct_size(new, s, old->n + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return NULL;
	for (i = 0; i < old->n; i++) {
		if (s && s->gpa < old->s[i].gpa) {
			new->s[new->n++] = *s;
			s = NULL;
		}
		if (old->s[i].id != id)
			new->s[new->n++] = old->s[i];
	}
	if (s)
		new->s[new->n++] = *s;
	return new;
}

static void
publish(struct vm *vm, struct slots *new)
{
	const struct slots *old = slots_current(vm);

	new->gen = old->gen + 1;
	rcu_assign_pointer(vm->slots, new);
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(old);
}

/* Nobody maps from this slot any more, and nothing of it is mapped. */
static int
retire(struct vm *vm, const struct slot *s)
{
	struct slot marked = *s;
	struct slots *new;

	marked.going = true;
	new = copy_with(slots_current(vm), &marked, s->id);
	if (!new)
		return -ENOMEM;
	publish(vm, new);
	mem_unmap(vm, marked.gpa, marked.len);
	return 0;
}

/* The other tables that a change needs are made first: it may fail before
 * anything is retired, not after. */
static int
retire_and_replace(
    struct vm *vm, const struct slot *before, const struct slot *s)
{
	struct slot old = *before;
	struct slots *new;
	int err;

	new = copy_with(slots_current(vm), s, old.id);
	if (!new)
		return -ENOMEM;
	err = retire(vm, before);
	if (err) {
		kvfree(new);
		return err;
	}
	publish(vm, new);
	if (!s || s->dirty != old.dirty)
		kvfree(old.dirty);
	return 0;
}

/* Only the logging changes, or the slot is new: nothing is to be unmapped. */
static int
replace(struct vm *vm, const struct slot *before, const struct slot *s)
{
	unsigned long *dirty = before ? before->dirty : NULL;
	struct slots *new = copy_with(slots_current(vm), s, s->id);

	if (!new)
		return -ENOMEM;
	publish(vm, new);
	if (dirty == s->dirty)
		return 0;
	if (s->dirty)
		dirtylog_begin(vm, s);
	else
		mem_unmap(vm, s->gpa, s->len); /* large pages come back */
	kvfree(dirty);
	return 0;
}

static bool
has_own_page(const struct slot *s)
{
	u64 own = hv->caps->own_gpa;

	return own && s->gpa <= own && own - s->gpa < s->len;
}

/* What KVM allows of a slot's changes; the log as it will be. */
static int
prepare(struct vm *vm, const struct slot *before, struct slot *s, bool log)
{
	if (before &&
	    (before->len != s->len || before->hva != s->hva ||
		before->readonly != s->readonly))
		return -EINVAL;
	if ((!before || before->gpa != s->gpa) &&
	    overlaps(slots_current(vm), s))
		return -EEXIST;
	if (s->gpa + s->len > VM_GPA_END || has_own_page(s))
		return -EINVAL;
	if (!before && slots_current(vm)->n >= VM_SLOTS)
		return -ENOSPC;
	if (!log)
		return 0;
	if (before && before->dirty) {
		s->dirty = before->dirty;
		return 0;
	}
	s->dirty = dirtylog_new(vm, slot_pages(s));
	return s->dirty ? 0 : -ENOMEM;
}

static int
change(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
	struct slot s = {
		.gpa = r->guest_phys_addr,
		.len = r->memory_size,
		.hva = (unsigned long)r->userspace_addr,
		.id = r->slot,
		.readonly = (r->flags & KVM_MEM_READONLY) != 0,
	};
	const struct slot *before = slots_by_id(slots_current(vm), s.id);
	unsigned long *had = before ? before->dirty : NULL;
	bool log = (r->flags & KVM_MEM_LOG_DIRTY_PAGES) != 0;
	int err;

	if (s.len == 0)
		return before ? retire_and_replace(vm, before, NULL) : -EINVAL;
	err = prepare(vm, before, &s, log);
	if (err)
		return err;
	if (before && before->gpa != s.gpa)
		err = retire_and_replace(vm, before, &s);
	else if (!before || had != s.dirty)
		err = replace(vm, before, &s);
	if (err && s.dirty != had)
		kvfree(s.dirty);
	return err;
}

int
mem_set_region(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
	int err = check(r);

	if (err)
		return err;
	mutex_lock(&vm->slots_lock);
	err = change(vm, r);
	mutex_unlock(&vm->slots_lock);
	return err;
}

int
slots_init(struct vm *vm)
{
	struct slots *none = kvzalloc(sizeof(*none), GFP_KERNEL_ACCOUNT);

	RCU_INIT_POINTER(vm->slots, none);
	return none ? 0 : -ENOMEM;
}

void
slots_free(struct vm *vm)
{
	struct slots *all = rcu_dereference_protected(vm->slots, true);
	unsigned i;

	for (i = 0; i < all->n; i++)
		kvfree(all->s[i].dirty);
	kvfree(all);
}
