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
#include "../hv/hv.h"
#include "dev.h"
#include "mmu.h"
#include "slots.h"

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
	enum npt_level level = NPT_4K;
	u64 size, start;

	if (!s->dirty)
		level = host_level(vm->mm, slot_hva(s, gpa.v));
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

/* How many pages from gpa on may be mapped by one fault. */
static unsigned
around(const struct vm *vm, const struct slot *s, struct gpa gpa)
{
	u64 page = gpa.v >> PAGE_SHIFT;

	/* Shadow tables map linear addresses, this is a physical one. */
	if (vm->shadow || s->dirty || s->readonly)
		return 1;
	return (unsigned)min_t(u64, AROUND - page % AROUND,
	    slot_pages(s) - (page - (s->gpa >> PAGE_SHIFT)));
}

/* What the process has there already, as far as it may write to it; or else
 * the one page that is needed, to be had by sleeping. */
static int
grab(const struct vm *vm, const struct slot *s, struct gpa gpa, bool write,
    struct grab *g)
{
	unsigned long hva = slot_hva(s, gpa.v) & PAGE_MASK;
	struct page *page;
	int n = 0;

	if (!s->readonly)
		n = get_user_pages_fast_only(
		    hva, around(vm, s, gpa), FOLL_WRITE, g->page);
	g->writable = true;
	g->n = 1;
	if (n > 0) {
		g->n = (unsigned)n;
		return 0;
	}
	if (get_user_pages_unlocked(
		hva, 1, g->page, FOLL_HWPOISON | (write ? FOLL_WRITE : 0)) != 1)
		return -EFAULT;
	g->writable = write;
	if (!write && !s->readonly &&
	    get_user_page_fast_only(hva, FOLL_WRITE, &page)) {
		put_page(g->page[0]);
		g->page[0] = page;
		g->writable = true;
	}
	return 0;
}

static void
release_pages_of(struct grab *g, bool mapped)
{
	unsigned i;

	for (i = 0; i < g->n; i++) {
		if (mapped && g->writable)
			SetPageDirty(g->page[i]);
		if (mapped && i == 0 && !PageReserved(g->page[i]))
			mark_page_accessed(g->page[i]);
		put_page(g->page[i]);
	}
}

/* Under mmu_lock. */
static void *
map(struct vm *vm, void *cache, const struct slot *s, struct gpa gpa,
    struct grab *g)
{
	enum npt_level level = choose_level(vm, s, gpa);
	void *stale = NULL, *none;
	bool flush = false;
	struct hpa hpa;
	unsigned i;

	if (g->writable)
		slot_mark_dirty(s, gpa.v);
	if (level != NPT_4K) {
		hpa.v = page_to_phys(g->page[0]) -
		    (gpa.v & (npt_page_size(level) - 1) & PAGE_MASK);
		flush = npt_map(
		    &vm->npt, cache, gpa, hpa, level, g->writable, &stale);
	}
	for (i = 0; level == NPT_4K && i < g->n; i++, gpa.v += PAGE_SIZE) {
		/* Only the first one makes tables. */
		hpa.v = page_to_phys(g->page[i]);
		flush |= npt_map(&vm->npt, cache, gpa, hpa, level, g->writable,
		    i == 0 ? &stale : &none);
	}
	if (flush)
		vcpu_flush_all(vm);
	return stale;
}

static enum mem_fault
fault_in(struct vm *vm, mem_map_fn *fn, void *arg, const struct slot *s,
    struct gpa gpa, bool write)
{
	void *stale = NULL;
	struct grab g;
	unsigned long seq;
	bool good;

	seq = READ_ONCE(vm->mmu_seq);
	smp_rmb(); /* before pages are looked up; pairs with invalidate */
	if (grab(vm, s, gpa, write, &g))
		return signal_pending(current) ? MEM_MAPPED : MEM_ERROR;
	if (s->dirty)
		g.writable &= write; /* the first write is to be seen */
	spin_lock(&vm->mmu_lock);
	good = !vm->mmu_busy && vm->mmu_seq == seq;
	if (good)
		stale = fn(vm, arg, s, gpa, &g);
	spin_unlock(&vm->mmu_lock);
	npt_release(stale);
	release_pages_of(&g, good);
	return MEM_MAPPED; /* or the guest faults again */
}

enum mem_fault
mem_fault_with(
    struct vm *vm, mem_map_fn *fn, void *arg, struct gpa gpa, bool write)
{
	const struct slot *s;
	enum mem_fault r = MEM_NONE;
	int idx;

	idx = srcu_read_lock(&vm->srcu);
	s = slots_find(slots_read(vm), gpa.v);
	if (s && s->going)
		r = MEM_MAPPED; /* soon it is another */
	else if (s && !(write && s->readonly))
		r = fault_in(vm, fn, arg, s, gpa, write);
	srcu_read_unlock(&vm->srcu, idx);
	return r;
}

enum mem_fault
mem_fault(struct vm *vm, struct npt_cache *cache, struct gpa gpa, bool write)
{
	if (npt_cache_fill(cache))
		return MEM_ERROR;
	return mem_fault_with(vm, map, cache, gpa, write);
}

void
mem_unmap(struct vm *vm, u64 gpa, u64 len)
{
	struct gpa start = { gpa }, end = { gpa + len };
	void *stale;
	bool flush;

	spin_lock(&vm->mmu_lock);
	flush = mmu_zap(vm, start, end);
	stale = npt_prune(&vm->npt, start, end);
	if (flush || stale)
		vcpu_flush_all(vm);
	spin_unlock(&vm->mmu_lock);
	npt_release(stale);
}

/* --- what Linux does to the memory -------------------------------------- */

/* fn over the guest physical image of [start, end); true when any said so. */
static bool
over_range(struct vm *vm, unsigned long start, unsigned long end,
    bool (*fn)(struct vm *, struct gpa, struct gpa))
{
	const struct slots *all = slots_read(vm);
	const struct slot *s;
	unsigned long a, b;
	bool any = false;
	unsigned i;

	for (i = 0; i < all->n; i++) {
		s = &all->s[i];
		a = max(start, s->hva);
		b = min(end, s->hva + (unsigned long)s->len);
		if (a < b)
			any |= fn(vm, (struct gpa){ s->gpa + a - s->hva },
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
	if (over_range(vm, r->start, r->end, mmu_zap))
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
forget_young(struct vm *vm, struct gpa start, struct gpa end)
{
	return mmu_young(vm, start, end, true);
}

static bool
is_young(struct vm *vm, struct gpa start, struct gpa end)
{
	return mmu_young(vm, start, end, false);
}

static int
young(struct vm *vm, unsigned long start, unsigned long end,
    bool (*fn)(struct vm *, struct gpa, struct gpa), bool flush)
{
	int idx = srcu_read_lock(&vm->srcu);
	bool any;

	spin_lock(&vm->mmu_lock);
	any = over_range(vm, start, end, fn);
	/* What was zapped will not be met again, so it goes now. */
	if (any && (flush || !vm->npt.format->accessed))
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
	if (mmu_zap(vm, (struct gpa){ 0 }, (struct gpa){ VM_GPA_END }))
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

static int
npt_levels(void)
{
	if (hv->caps->npt_levels)
		return hv->caps->npt_levels;
	return pgtable_l5_enabled() ? 5 : 4;
}

/* The backend's own page. */
static int
map_own(struct vm *vm)
{
	struct npt_cache cache = { .n = 0 };
	struct gpa gpa = { hv->caps->own_gpa };
	void *stale;
	int err;

	if (!gpa.v)
		return 0;
	err = npt_cache_fill(&cache);
	if (!err)
		npt_map(&vm->npt, &cache, gpa, hv->caps->own, NPT_4K, false,
		    &stale);
	npt_cache_drain(&cache);
	return err;
}

int
mem_create(struct vm *vm)
{
	int err;

	err = slots_init(vm);
	if (err)
		return err;
	err = init_srcu_struct(&vm->srcu);
	if (err)
		goto free_slots;
	err = npt_init(&vm->npt, npt_levels());
	if (err)
		goto free_srcu;
	vm->npt.format = hv->caps->npt;
	err = map_own(vm);
	if (!err)
		err = mmu_vm_init(vm);
	if (err)
		goto free_npt;
	vm->notifier.ops = &notifier_ops;
	err = mmu_notifier_register(&vm->notifier, vm->mm);
	if (err)
		goto free_shadow;
	return 0;
free_shadow:
	mmu_vm_free(vm);
free_npt:
	npt_free(&vm->npt);
free_srcu:
	cleanup_srcu_struct(&vm->srcu);
free_slots:
	slots_free(vm);
	return err;
}

void
mem_stop(struct vm *vm)
{
	mmu_notifier_unregister(&vm->notifier, vm->mm);
}

void
mem_destroy(struct vm *vm)
{
	mmu_vm_free(vm);
	npt_free(&vm->npt);
	cleanup_srcu_struct(&vm->srcu);
	slots_free(vm);
}
