// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Which pages of a slot were written: KVM_MEM_LOG_DIRTY_PAGES,
 * KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG.
 *
 * Invariants
 *  1. A page that the guest may write has its bit set (core/npt.h, "Dirty
 *     logging"), or was mapped before logging began with all bits set.
 *  2. A bit is taken before the page is protected, and the CPUs have flushed
 *     before user space sees it: a write is in this report or in a later one.
 *  3. The driver's own writes (copy.c) set the bit after the write.
 */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "dirtylog.h"
#include "mmu.h"
#include "slots.h"

/* Words of a bitmap that are done under one hold of mmu_lock. */
#define CHUNK 64

static size_t
words(unsigned long pages)
{
	return DIV_ROUND_UP(pages, BITS_PER_LONG);
}

unsigned long *
dirtylog_new(struct vm *vm, unsigned long pages)
{
	unsigned long *map;

	map = kvcalloc(words(pages), sizeof(*map), GFP_KERNEL_ACCOUNT);
	if (map && (vm->log_flags & KVM_DIRTY_LOG_INITIALLY_SET))
		bitmap_set(map, 0, pages);
	return map;
}

void
dirtylog_begin(struct vm *vm, const struct slot *s)
{
	struct gpa start = { s->gpa }, end = { s->gpa + s->len };

	/* All set already: pages are protected as they are cleared. */
	if (vm->log_flags & KVM_DIRTY_LOG_INITIALLY_SET)
		return;
	spin_lock(&vm->mmu_lock);
	if (mmu_protect(vm, start, end))
		vcpu_flush_all(vm);
	spin_unlock(&vm->mmu_lock);
}

/* Takes the bits of `which' (NULL: all) in words [at, at + n), which then
 * has those that were set. */
static void
take(struct vm *vm, const struct slot *s, size_t at, size_t n,
    const unsigned long *which, unsigned long *taken)
{
	struct gpa base;
	bool flush = false;
	size_t i;

	spin_lock(&vm->mmu_lock);
	for (i = 0; i < n; i++) {
		atomic_long_t *w = (atomic_long_t *)&s->dirty[at + i];

		taken[i] = which ? which[i] : ~0UL;
		if (taken[i] == 0 || atomic_long_read(w) == 0) {
			taken[i] = 0;
			continue;
		}
		taken[i] &= atomic_long_fetch_andnot(taken[i], w);
		base.v = s->gpa + ((u64)(at + i) * BITS_PER_LONG << PAGE_SHIFT);
		flush |= mmu_protect_mask(vm, base, taken[i]);
	}
	if (flush)
		vcpu_flush_all(vm);
	spin_unlock(&vm->mmu_lock);
}

static long
report(struct vm *vm, const struct slot *s, void __user *out)
{
	size_t all = words(slot_pages(s)), at, n;
	bool manual = vm->log_flags != 0;
	unsigned long taken[CHUNK];

	for (at = 0; at < all; at += n) {
		n = min_t(size_t, CHUNK, all - at);
		if (manual)
			memcpy(taken, &s->dirty[at], n * sizeof(*taken));
		else
			take(vm, s, at, n, NULL, taken);
		if (copy_to_user(
			out + at * sizeof(*taken), taken, n * sizeof(*taken)))
			return -EFAULT;
		cond_resched();
	}
	return 0;
}

static const struct slot *
logged(struct vm *vm, u32 id)
{
	const struct slot *s = slots_by_id(slots_current(vm), id);

	return s && s->dirty ? s : NULL;
}

long
dirtylog_get(struct vm *vm, void __user *arg)
{
	struct kvm_dirty_log log;
	const struct slot *s;
	long r = -ENOENT;

	if (copy_from_user(&log, arg, sizeof(log)))
		return -EFAULT;
	if (log.slot >= VM_SLOTS)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	s = logged(vm, log.slot);
	if (s)
		r = report(vm, s, log.dirty_bitmap);
	mutex_unlock(&vm->slots_lock);
	return r;
}

static long
clear(
    struct vm *vm, const struct slot *s, const struct kvm_clear_dirty_log *log)
{
	unsigned long pages = slot_pages(s), which[CHUNK], taken[CHUNK];
	size_t first = log->first_page / BITS_PER_LONG, at, n, all;

	if (log->first_page > pages ||
	    log->num_pages > pages - log->first_page ||
	    (log->num_pages < pages - log->first_page &&
		(log->num_pages & (BITS_PER_LONG - 1))))
		return -EINVAL;
	all = words(log->num_pages);
	for (at = 0; at < all; at += n) {
		n = min_t(size_t, CHUNK, all - at);
		if (copy_from_user(which,
			log->dirty_bitmap + at * sizeof(*which),
			n * sizeof(*which)))
			return -EFAULT;
		take(vm, s, first + at, n, which, taken);
		cond_resched();
	}
	return 0;
}

long
dirtylog_clear(struct vm *vm, void __user *arg)
{
	struct kvm_clear_dirty_log log;
	const struct slot *s;
	long r = -ENOENT;

	if (copy_from_user(&log, arg, sizeof(log)))
		return -EFAULT;
	if (log.slot >= VM_SLOTS || (log.first_page & (BITS_PER_LONG - 1)))
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	s = logged(vm, log.slot);
	if (s)
		r = clear(vm, s, &log);
	mutex_unlock(&vm->slots_lock);
	return r;
}

/* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: for slots that begin later. */
long
dirtylog_enable(struct vm *vm, u64 flags)
{
	u64 known = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		known = DIRTYLOG_FLAGS;
	if (flags & ~known)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	vm->log_flags = (u32)flags;
	mutex_unlock(&vm->slots_lock);
	return 0;
}
