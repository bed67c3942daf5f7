// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Guest memory: slots over user memory, nested faults, and what Linux does to
 * that memory meanwhile (mm/mmu_notifier).
 *
 * Invariants
 *  1. A nested translation exists only for a page that the process has
 *     mapped: before Linux takes one away, the notifier has zapped it and all
 *     CPUs have flushed.  No page is held.
 *  2. mem_fault() looks its page up without a lock and installs it only if
 *     no invalidation ran meanwhile (mmu_seq, mmu_busy).
 *  3. A list of slots never changes; it is replaced, and the old one freed
 *     when no reader is left.
 */
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/uaccess.h>
#include "vm.h"

static const struct slot *
find_slot(const struct slots *all, u64 gpa)
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

/* The user address of gpa, 0 when len bytes there are not within a slot. */
static unsigned long
user_address(struct vm *vm, struct gpa gpa, unsigned len, bool write)
{
	const struct slots *all;
	const struct slot *s;
	unsigned long hva = 0;
	int idx;

	idx = srcu_read_lock(&vm->srcu);
	all = srcu_dereference(vm->slots, &vm->srcu);
	s = find_slot(all, gpa.v);
	if (s && !(write && s->readonly) && s->len - (gpa.v - s->gpa) >= len)
		hva = s->hva + (gpa.v - s->gpa);
	srcu_read_unlock(&vm->srcu, idx);
	return hva;
}

bool
mem_present(struct vm *vm, struct gpa gpa, unsigned len, bool write)
{
	return user_address(vm, gpa, len, write) != 0;
}

int
mem_read(struct vm *vm, struct gpa gpa, void *buf, unsigned len)
{
	unsigned long hva = user_address(vm, gpa, len, false);

	if (!hva || copy_from_user(buf, (void __user *)hva, len))
		return -EFAULT;
	return 0;
}

int
mem_write(struct vm *vm, struct gpa gpa, const void *buf, unsigned len)
{
	unsigned long hva = user_address(vm, gpa, len, true);

	if (!hva || copy_to_user((void __user *)hva, buf, len))
		return -EFAULT;
	return 0;
}

/* On the kernel's own mapping of the page, which no fault can interrupt. */
static bool
exchange(void *p, const void *old, const void *new, unsigned size)
{
	union {
		u8 b;
		u16 w;
		u32 l;
		u64 q;
		u64 x[2];
	} o = { 0 }, n = { 0 };
	bool ok;

	memcpy(&o, old, size);
	memcpy(&n, new, size);
	switch (size) {
	case 1:
		return try_cmpxchg((u8 *)p, &o.b, n.b);
	case 2:
		return try_cmpxchg((u16 *)p, &o.w, n.w);
	case 4:
		return try_cmpxchg((u32 *)p, &o.l, n.l);
	case 8:
		return try_cmpxchg((u64 *)p, &o.q, n.q);
	default:
		asm volatile("lock cmpxchg16b %1"
			     : "=@ccz"(ok), "+m"(*(u8(*)[16])p),
			     "+a"(o.x[0]), "+d"(o.x[1])
			     : "b"(n.x[0]), "c"(n.x[1])
			     : "memory");
		return ok;
	}
}

int
mem_cmpxchg(struct vm *vm, struct gpa gpa, const void *old, const void *new,
    unsigned size)
{
	unsigned long hva = user_address(vm, gpa, size, true);
	struct page *page;
	u8 *p;
	bool ok;

	if (!hva || (hva & ~PAGE_MASK) + size > PAGE_SIZE ||
	    (size == 16 && (hva & 15)) ||
	    pin_user_pages_fast(hva & PAGE_MASK, 1, FOLL_WRITE, &page) != 1)
		return -EFAULT;
	p = kmap_local_page(page);
	ok = exchange(p + (hva & ~PAGE_MASK), old, new, size);
	kunmap_local(p);
	unpin_user_pages_dirty_lock(&page, 1, ok);
	return ok ? 0 : -EAGAIN;
}

/* --- nested faults ------------------------------------------------------ */

/* How large the process maps hva; IRQs off keep its tables in place, and the
 * notifier's count, checked under mmu_lock, keeps the answer true. */
static enum npt_level
host_level(struct mm_struct *mm, unsigned long hva)
{
	enum npt_level level = NPT_4K;
	unsigned long flags;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	local_irq_save(flags);
	pgd = READ_ONCE(*pgd_offset(mm, hva));
	if (pgd_none(pgd))
		goto out;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		goto out;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud) || !pud_present(pud))
		goto out;
	if (pud_leaf(pud)) {
		level = NPT_1G;
		goto out;
	}
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (!pmd_none(pmd) && pmd_present(pmd) && pmd_leaf(pmd))
		level = NPT_2M;
out:
	local_irq_restore(flags);
	return level;
}

/* The largest page that the host's page, the slot and its alignment allow. */
static enum npt_level
choose_level(struct vm *vm, const struct slot *s, struct gpa gpa)
{
	unsigned long hva = s->hva + (gpa.v - s->gpa);
	enum npt_level level = host_level(vm->mm, hva);
	u64 size, start;

	for (; level > NPT_4K; level--) {
		size = npt_page_size(level);
		start = gpa.v & ~(size - 1);
		if (start >= s->gpa && start + size <= s->gpa + s->len &&
		    !((s->hva - s->gpa) & (size - 1)) &&
		    npt_fits(&vm->npt, gpa, level))
			break;
	}
	return level;
}

/* A page for hva; *writable: may the guest write to it now? */
static struct page *
get_page_at(unsigned long hva, bool write, bool may_write, bool *writable)
{
	struct page *page;

	*writable = true;
	if (may_write && get_user_page_fast_only(hva, FOLL_WRITE, &page))
		return page;
	if (get_user_pages_unlocked(
		hva, 1, &page, FOLL_HWPOISON | (write ? FOLL_WRITE : 0)) != 1)
		return NULL;
	*writable = write;
	return page;
}

/* 0, or -EAGAIN when an invalidation came between. */
static int
install(struct vm *vm, struct npt_cache *cache, const struct slot *s,
    struct gpa gpa, struct page *page, bool writable, unsigned long seq)
{
	enum npt_level level;
	struct hpa hpa;
	void *stale = NULL;
	u64 in_page;

	spin_lock(&vm->mmu_lock);
	if (vm->mmu_busy || vm->mmu_seq != seq) {
		spin_unlock(&vm->mmu_lock);
		return -EAGAIN;
	}
	level = choose_level(vm, s, gpa);
	in_page = gpa.v & (npt_page_size(level) - 1) & PAGE_MASK;
	hpa.v = page_to_phys(page) - in_page;
	if (npt_map(&vm->npt, cache, gpa, hpa, level, writable, &stale))
		vcpu_flush_all(vm);
	spin_unlock(&vm->mmu_lock);
	npt_release(stale);
	return 0;
}

static enum mem_fault
fault_in(struct vm *vm, struct npt_cache *cache, const struct slot *s,
    struct gpa gpa, bool write)
{
	unsigned long seq, hva = s->hva + ((gpa.v - s->gpa) & PAGE_MASK);
	struct page *page;
	bool writable;
	int r;

	seq = READ_ONCE(vm->mmu_seq);
	smp_rmb(); /* before the page is looked up; pairs with invalidate */
	page = get_page_at(hva, write, !s->readonly, &writable);
	if (!page)
		return signal_pending(current) ? MEM_MAPPED : MEM_ERROR;
	r = install(vm, cache, s, gpa, page, writable, seq);
	if (r == 0) {
		if (writable)
			SetPageDirty(page);
		mark_page_accessed(page);
	}
	put_page(page);
	return MEM_MAPPED; /* after -EAGAIN the guest faults again */
}

enum mem_fault
mem_fault(struct vm *vm, struct npt_cache *cache, struct gpa gpa, bool write)
{
	const struct slot *s;
	enum mem_fault r = MEM_NONE;
	int idx;

	if (npt_cache_fill(cache))
		return MEM_ERROR;
	idx = srcu_read_lock(&vm->srcu);
	s = find_slot(srcu_dereference(vm->slots, &vm->srcu), gpa.v);
	if (s && !(write && s->readonly))
		r = fault_in(vm, cache, s, gpa, write);
	srcu_read_unlock(&vm->srcu, idx);
	return r;
}

/* --- what Linux does to the memory -------------------------------------- */

/* fn over the guest physical image of [start, end); true when any said so. */
static bool
over_range(struct vm *vm, unsigned long start, unsigned long end,
    bool (*fn)(struct npt *, struct gpa, struct gpa))
{
	const struct slots *all = srcu_dereference(vm->slots, &vm->srcu);
	const struct slot *s;
	unsigned long a, b;
	bool any = false;
	unsigned i;

	for (i = 0; i < all->n; i++) {
		s = &all->s[i];
		a = max(start, s->hva);
		b = min(end, s->hva + (unsigned long)s->len);
		if (a < b)
			any |= fn(&vm->npt, (struct gpa){ s->gpa + a - s->hva },
			    (struct gpa){ s->gpa + b - s->hva });
	}
	return any;
}

static struct vm *
vm_of(struct mmu_notifier *mn)
{
	return container_of(mn, struct vm, notifier);
}

static int
invalidate_start(struct mmu_notifier *mn, const struct mmu_notifier_range *r)
{
	struct vm *vm = vm_of(mn);
	int idx = srcu_read_lock(&vm->srcu);

	spin_lock(&vm->mmu_lock);
	vm->mmu_busy++;
	if (over_range(vm, r->start, r->end, npt_zap))
		vcpu_flush_all(vm);
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	return 0;
}

static void
invalidate_end(struct mmu_notifier *mn, const struct mmu_notifier_range *r)
{
	struct vm *vm = vm_of(mn);

	spin_lock(&vm->mmu_lock);
	vm->mmu_seq++;
	smp_wmb(); /* the new count before the end of busy */
	vm->mmu_busy--;
	spin_unlock(&vm->mmu_lock);
}

static bool
forget_young(struct npt *n, struct gpa start, struct gpa end)
{
	return npt_young(n, start, end, true);
}

static bool
is_young(struct npt *n, struct gpa start, struct gpa end)
{
	return npt_young(n, start, end, false);
}

static int
young(struct vm *vm, unsigned long start, unsigned long end,
    bool (*fn)(struct npt *, struct gpa, struct gpa), bool flush)
{
	int idx = srcu_read_lock(&vm->srcu);
	bool any;

	spin_lock(&vm->mmu_lock);
	any = over_range(vm, start, end, fn);
	if (any && flush)
		vcpu_flush_all(vm);
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	return any;
}

static int
clear_flush_young(struct mmu_notifier *mn, struct mm_struct *mm,
    unsigned long start, unsigned long end)
{
	return young(vm_of(mn), start, end, forget_young, true);
}

static int
clear_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long start,
    unsigned long end)
{
	return young(vm_of(mn), start, end, forget_young, false);
}

static int
test_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long addr)
{
	return young(vm_of(mn), addr, addr + PAGE_SIZE, is_young, false);
}

/* The process ends: everything goes before its pages do. */
static void
release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct vm *vm = vm_of(mn);

	spin_lock(&vm->mmu_lock);
	vm->mmu_seq++;
	if (npt_zap(&vm->npt, (struct gpa){ 0 }, (struct gpa){ VM_GPA_END }))
		vcpu_flush_all(vm);
	spin_unlock(&vm->mmu_lock);
}

static const struct mmu_notifier_ops notifier_ops = {
	.release = release,
	.clear_flush_young = clear_flush_young,
	.clear_young = clear_young,
	.test_young = test_young,
	.invalidate_range_start = invalidate_start,
	.invalidate_range_end = invalidate_end,
};

int
mem_create(struct vm *vm)
{
	struct slots *none;
	int err;

	none = kzalloc(sizeof(*none), GFP_KERNEL_ACCOUNT);
	if (!none)
		return -ENOMEM;
	RCU_INIT_POINTER(vm->slots, none);
	err = init_srcu_struct(&vm->srcu);
	if (err)
		goto free_slots;
	err = npt_init(&vm->npt, pgtable_l5_enabled() ? 5 : 4);
	if (err)
		goto free_srcu;
	vm->notifier.ops = &notifier_ops;
	err = mmu_notifier_register(&vm->notifier, vm->mm);
	if (err)
		goto free_npt;
	return 0;
free_npt:
	npt_free(&vm->npt);
free_srcu:
	cleanup_srcu_struct(&vm->srcu);
free_slots:
	kfree(none);
	return err;
}

void
mem_destroy(struct vm *vm)
{
	mmu_notifier_unregister(&vm->notifier, vm->mm);
	npt_free(&vm->npt);
	cleanup_srcu_struct(&vm->srcu);
	kfree(rcu_dereference_protected(vm->slots, true));
}
