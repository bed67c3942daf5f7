// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Nested or shadow tables, and the host's part of the latter.
 *
 * Invariants
 *  1. A vCPU enters with a root that was looked up after the last request to
 *     flush: who takes a root away makes one before its pages are used again.
 *  2. CR0, CR3, CR4 and EFER of struct gcpu are the guest's own and always
 *     valid; what the CPU has in them is the backend's.
 */
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/uaccess.h>
#include "../core/shadow.h"
#include "../core/x86.h"
#include "linear.h"
#include "mmio.h"
#include "mmu.h"
#include "slots.h"

/* Of 12 KiB; each maps up to 2 MiB. */
#define TABLES 4096

static bool nested_paging = true;
module_param(nested_paging, bool, 0444);
MODULE_PARM_DESC(nested_paging,
    "use nested paging where the processor has it (default: yes)");

void
mmu_init(void)
{
	nested_paging = nested_paging && !hv->caps->no_nested;
}

bool
mmu_shadows(void)
{
	return !nested_paging;
}

/* --- the seam of core/shadow.h -------------------------------------------- */

/* Under vm->srcu, by a thread of the VM's process. */
static int
peek(void *arg, struct gpa gpa, void *buf, unsigned len)
{
	const struct slot *s = slots_find(slots_read(arg), gpa.v);

	if (!s || s->len - (gpa.v - s->gpa) < len)
		return -EFAULT;
	return copy_from_user_nofault(
		   buf, (void __user *)slot_hva(s, gpa.v), len)
	    ? -EFAULT
	    : 0;
}

static void
flush(void *arg)
{
	vcpu_flush_all(arg);
}

/* As peek(); the notifier has not begun with anything (mem.c, invariant 2), and
 * finds what is mapped here. */
static int
writable_page(void *arg, struct gpa gpa, struct hpa *hpa)
{
	const struct slot *s = slots_find(slots_read(arg), gpa.v);
	struct page *page;

	if (!s || s->going || s->dirty || s->readonly ||
	    !get_user_page_fast_only(
		slot_hva(s, gpa.v) & PAGE_MASK, FOLL_WRITE, &page))
		return -EFAULT;
	hpa->v = page_to_phys(page);
	SetPageDirty(page);
	put_page(page);
	return 0;
}

static const struct shadow_ops shadow_ops = {
	.peek = peek,
	.flush = flush,
	.writable_page = writable_page,
};

int
mmu_vm_init(struct vm *vm)
{
	if (!mmu_shadows())
		return 0;
	vm->shadow = shadow_new(&shadow_ops, vm, TABLES);
	return vm->shadow ? 0 : -ENOMEM;
}

void
mmu_vm_free(struct vm *vm)
{
	shadow_free(vm->shadow);
}

int
mmu_vcpu_init(struct vcpu *v)
{
	if (!v->vm->shadow)
		return 0;
	/* CR3 has 32 bits outside long mode. */
	v->mmu.root.pae =
	    (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT | GFP_DMA32);
	return v->mmu.root.pae ? 0 : -ENOMEM;
}

void
mmu_vcpu_free(struct vcpu *v)
{
	shadow_cache_drain(&v->mmu.cache);
	free_page((unsigned long)v->mmu.root.pae);
}

/* --- what the host does --------------------------------------------------- */

bool
mmu_zap(struct vm *vm, struct gpa start, struct gpa end)
{
	if (!vm->shadow)
		return npt_zap(&vm->npt, start, end);
	shadow_zap(vm->shadow, start, end);
	return false;
}

bool
mmu_protect(struct vm *vm, struct gpa start, struct gpa end)
{
	if (!vm->shadow)
		return npt_protect(&vm->npt, start, end);
	shadow_protect(vm->shadow, start, end);
	return false;
}

bool
mmu_protect_mask(struct vm *vm, struct gpa base, u64 mask)
{
	if (!vm->shadow)
		return npt_protect_mask(&vm->npt, base, mask);
	shadow_protect_mask(vm->shadow, base, mask);
	return false;
}

bool
mmu_young(struct vm *vm, struct gpa start, struct gpa end, bool clear)
{
	if (!vm->shadow)
		return npt_young(&vm->npt, start, end, clear);
	return shadow_young(vm->shadow, start, end, clear);
}

void
mmu_written(struct vm *vm, struct gpa gpa, unsigned len)
{
	if (!vm->shadow || len == 0)
		return;
	spin_lock(&vm->mmu_lock);
	shadow_written(vm->shadow, gpa, len);
	spin_unlock(&vm->mmu_lock);
}

/* --- what the guest does -------------------------------------------------- */

#define CR0_HERE (X86_CR0_PG | X86_CR0_WP)
#define CR4_HERE                                                  \
	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_LA57 | \
	    X86_CR4_SMEP | X86_CR4_SMAP)
#define EFER_HERE (X86_EFER_LMA | X86_EFER_NXE)

/* By what is always at hand (invariant 2). */
static bool
same_mode(const struct gcpu *c, const struct walk_env *e)
{
	return !((c->cr0 ^ e->cr0) & CR0_HERE) && c->cr3 == e->cr3 &&
	    !((c->cr4 ^ e->cr4) & CR4_HERE) &&
	    !((c->efer ^ e->efer) & EFER_HERE) &&
	    c->maxphyaddr == e->maxphyaddr;
}

static int
load(struct vcpu *v)
{
	struct vm *vm = v->vm;
	struct hpa root;
	int idx;

	if (shadow_cache_fill(&v->mmu.cache))
		return -ENOMEM;
	v->mmu.reload = false;
	idx = srcu_read_lock(&vm->srcu);
	spin_lock(&vm->mmu_lock);
	root = shadow_load(vm->shadow, &v->mmu.cache, &v->mmu.root, &v->mmu.env,
	    v->mmu.invalidate);
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	if (root.v == 0)
		root.v = __pa(v->mmu.root.pae);
	hv->set_root(v->hv, root);
	if (v->mmu.invalidate)
		hv->flush_tlb(v->hv);
	v->mmu.invalidate = false;
	return 0;
}

int
mmu_prepare(struct vcpu *v)
{
	const struct gcpu *c = vcpu_state(v);

	/* No backend reads these registers from the CPU (invariant 2). */
	if (((c->dirty & CPU_CRS) || v->mmu.invalidate) &&
	    !same_mode(c, &v->mmu.env)) {
		linear_env(c, &v->mmu.env);
		mmu_invalidate(v);
	}
	if (v->mmu.reload && load(v))
		return -ENOMEM;
	if (!(v->mmu.env.efer & X86_EFER_LMA))
		shadow_show_pae(v->vm->shadow, &v->mmu.root);
	return 0;
}

void
mmu_invalidate(struct vcpu *v)
{
	v->mmu.invalidate = v->mmu.reload = true;
}

void
mmu_reload(struct vcpu *v)
{
	v->mmu.reload = true;
}

void
mmu_invlpg(struct vcpu *v, struct gva va)
{
	struct vm *vm = v->vm;
	int idx;

	if (!vm->shadow)
		return;
	idx = srcu_read_lock(&vm->srcu);
	spin_lock(&vm->mmu_lock);
	shadow_invlpg(vm->shadow, &v->mmu.root, &v->mmu.env, va);
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
}

void
mmu_forget(struct vcpu *v)
{
	struct vm *vm = v->vm;

	if (!vm->shadow)
		return;
	spin_lock(&vm->mmu_lock);
	shadow_zap_all(vm->shadow);
	spin_unlock(&vm->mmu_lock);
	mmu_invalidate(v);
}

/* --- page faults ---------------------------------------------------------- */

struct fill {
	struct vcpu *v;
	struct gva va;
	unsigned access;
	struct walk_result res;
	enum shadow_fill result;
};

static void *
fill(struct vm *vm, void *arg, const struct slot *s, struct gpa gpa,
    struct grab *g)
{
	struct fill *f = arg;
	struct vcpu *v = f->v;
	struct hpa hpa = { page_to_phys(g->page[0]) };

	if (g->writable)
		slot_mark_dirty(s, gpa.v);
	f->result = shadow_fill(vm->shadow, &v->mmu.cache, &v->mmu.root,
	    &v->mmu.env, f->va, f->access, &f->res, hpa, g->writable);
	return NULL;
}

/* "Page-Fault Exception", error code: with EFER.NXE, the CPU always says
 * whether it was a fetch. */
static unsigned
access_of(const struct vcpu *v)
{
	u64 error = v->hv->info.error;
	unsigned access = WALK_READ;

	if (error & X86_PFEC_W)
		access |= WALK_WRITE;
	if (error & X86_PFEC_U)
		access |= WALK_USER;
	else if (v->hv->cpu.cpl == 3)
		access |= WALK_IMPLICIT;
	if (error & X86_PFEC_ID)
		access |= WALK_FETCH;
	return access;
}

static enum mmu_fault
mend(struct vcpu *v, struct fill *f)
{
	bool write = (f->access & WALK_WRITE) != 0;

	if (shadow_cache_fill(&v->mmu.cache))
		return MMU_ERROR;
	switch (mem_fault_with(v->vm, fill, f, f->res.gpa, write)) {
	case MEM_MAPPED:
		break;
	case MEM_NONE:
		return MMU_DEVICE;
	case MEM_ERROR:
		return MMU_ERROR;
	}
	switch (f->result) {
	case SHADOW_FILLED:
		break;
	case SHADOW_AGAIN:
		mmu_reload(v);
		break;
	case SHADOW_EMULATE:
		return MMU_EMULATE;
	}
	return MMU_AGAIN;
}

enum mmu_fault
mmu_fault(struct vcpu *v)
{
	struct hv_info *i = &v->hv->info;
	struct fault fault;
	struct fill f = { .v = v, .va = { i->cr2 }, .result = SHADOW_FILLED };
	enum mmu_fault r;

	cpu_need(vcpu_state(v), CPU_SEGS | CPU_CRS);
	f.access = access_of(v);
	i->table = false;
	i->insn_len = 0;
	if (linear_known(v, f.va, f.access, &f.res.gpa)) {
		i->gpa = f.res.gpa.v;
		return MMU_DEVICE;
	}
	if (linear_walk(v, f.va, f.access, &f.res, &fault)) {
		emulate_raise(v, &fault);
		return MMU_AGAIN;
	}
	i->gpa = f.res.gpa.v;
	r = mend(v, &f);
	if (r == MMU_DEVICE)
		linear_learn(v, f.va, f.access, &f.res);
	return r;
}
