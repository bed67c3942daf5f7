/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_MMU_H
#define LINUX_MMU_H

/*
 * What turns the guest's addresses into the host's: nested tables of the VM,
 * or shadow tables where vm->shadow is not NULL.  What the host does to memory
 * goes to either.
 */
#include "../core/x86.h"
#include "run.h"

/* The backend is known. */
void mmu_init(void);
/* Are VMs made with shadow tables? */
bool mmu_shadows(void);
int mmu_vm_init(struct vm *); /* 0 or -ENOMEM */
void mmu_vm_free(struct vm *);
int mmu_vcpu_init(struct vcpu *);
void mmu_vcpu_free(struct vcpu *);

/* Under mmu_lock; true: the caller flushes all CPUs. */
bool mmu_zap(struct vm *, struct gpa start, struct gpa end);
bool mmu_protect(struct vm *, struct gpa start, struct gpa end);
bool mmu_protect_mask(struct vm *, struct gpa base, u64 mask);
bool mmu_young(struct vm *, struct gpa start, struct gpa end, bool clear);

/* The driver has written to memory in which there may be tables. */
void mmu_written(struct vm *, struct gpa, unsigned len);

/* Before each entry with shadow tables: 0 or -ENOMEM. */
int mmu_prepare(struct vcpu *);
/* Has that nothing to do? */
static inline bool
mmu_prepared(const struct vcpu *v)
{
	return !v->mmu.reload && !(v->hv->cpu.dirty & CPU_CRS) &&
	    (v->mmu.env.efer & X86_EFER_LMA);
}

/* All of these do nothing without shadow tables. */

/* CR3 was written, or what counts like that. */
void mmu_invalidate(struct vcpu *);
/* All CPUs were to flush: the root may be gone. */
void mmu_reload(struct vcpu *);
void mmu_invlpg(struct vcpu *, struct gva);
/* User space has set the registers: memory may be another one, too. */
void mmu_forget(struct vcpu *);

/* A page fault of the guest's: mended, the guest's own, or an access to a
 * device.  Shadow tables only. */
enum mmu_fault {
	MMU_AGAIN, /* run the guest */
	MMU_DEVICE, /* info.gpa and info.error tell of it */
	MMU_EMULATE,
	MMU_ERROR,
};
enum mmu_fault mmu_fault(struct vcpu *);

#endif
