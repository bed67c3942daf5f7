/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_VM_H
#define LINUX_VM_H

/*
 * A VM: memory slots, nested page tables, vCPUs.
 *
 * Locks, in this order (LOCKING.md)
 *  (c)  constant after creation
 *  (m)  vm->lock, a mutex: creation of vCPUs, where interrupt controllers are
 *  (i)  vm->irq_lock, a mutex: interrupts by number
 *  (s)  vm->slots_lock, a mutex, for changes; readers hold vm->srcu
 *  (k)  vm->clock.lock, a spinlock
 *  (g)  vm->coalesced.ring_lock, a spinlock
 *  (e)  vm->ends_lock, a spinlock
 *  (n)  vm->mmu_lock, a spinlock
 *  (q)  vm->chipset->lock, a raw spinlock
 *  (a)  atomic, or a single word that stands for itself
 */
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/workqueue.h>
#include "../core/npt.h"
#include "../core/pvclock.h"

#define VM_SLOTS 1024
#define VM_VCPUS 64
/* 4 KiB below the end keep sums in range. */
#define VM_GPA_END ((1ULL << NPT_GPA_BITS) - 4096)

struct chipset;
struct ioevents;
struct kvm_coalesced_mmio_ring;
struct kvm_userspace_memory_region;
struct route;
struct shadow;
struct slot;
struct slots;
struct vcpu;
struct zones;

/* See clock.c. */
struct vm_clock {
	spinlock_t lock;
	u32 khz; /* (m), readers: any: of the TSC of new vCPUs */
	struct pvclock_line line; /* (k) */
	u64 boot_offset; /* (k) to the host's clock, where the line ends */
	unsigned resumes; /* (k) of the host, when the line was drawn */
	struct pvclock_sync sync; /* (k) of the TSCs that user space sets */
	u32 sync_khz; /* (k) */
};

struct vm {
	refcount_t refs; /* (a) its file, each vCPU's, and those of stats.c */
	struct mm_struct *mm; /* (c) whose addresses the slots hold */
	struct mutex lock;
	struct vcpu *vcpu[VM_VCPUS]; /* (m), readers: those below nvcpus */
	unsigned nvcpus; /* (m), grows only, after vcpu[] */
	bool payloads; /* (a) user space knows of events' payloads */
	bool triple_faults; /* (a) and of triple faults as events */
	bool id32; /* (a) KVM_SET_LAPIC has 32-bit IDs (x2APIC) */
	struct vm_clock clock;
	u32 bsp; /* (m) the boot processor's ID, constant once there are vCPUs */
	bool apics; /* (m), set once: local APICs here */
	bool chips; /* (m), stored before apics: the rest, too */
	bool pit; /* (m), set once: and the 8254 */
	struct chipset *chipset; /* (c), contents (q); see chipset.h */
	u32 pins; /* (m) of user space's IOAPIC; stored before apics */

	struct mutex irq_lock;
	struct route *routes; /* (i), see routing.c */
	u32 nroutes; /* (i) */
	unsigned long eoi_vectors[BITS_TO_LONGS(256)]; /* (i), readers: any */
	struct list_head irqfds; /* (i) */
	spinlock_t ends_lock;
	struct list_head ends; /* (e) irqfds that wait for ends of interrupts */
	struct work_struct reap; /* (a) irqfds whose eventfd is closed */

	struct mutex slots_lock;
	struct srcu_struct srcu;
	struct slots __rcu *slots; /* (s) */
	u32 log_flags; /* (s) of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 */
	struct ioevents __rcu *events[2]; /* (s), enum ioeventfd_space */
	struct {
		struct zones __rcu *zones; /* (s) */
		spinlock_t ring_lock;
		/* (c), contents (g) and user space's */
		struct kvm_coalesced_mmio_ring *ring;
	} coalesced;

	spinlock_t mmu_lock;
	struct npt npt; /* (n) */
	struct shadow *shadow; /* (c), contents (n); NULL: nested paging */
	struct mmu_notifier notifier; /* (c), its list is Linux's */
	/* (n) invalidations completed; looked at without it, too */
	unsigned long mmu_seq;
	unsigned mmu_busy; /* (n) invalidations under way */
};

struct vm *vm_new(void);
int vm_open(void); /* a file descriptor, or -errno */
void vm_get(struct vm *);
void vm_put(struct vm *);

/* mem.c */
int mem_create(struct vm *);
void mem_stop(struct vm *); /* the last mapping goes; no notifier any more */
void mem_destroy(struct vm *); /* after that */
/* Nothing of it stays mapped; its slot does not let it come back, or may. */
void mem_unmap(struct vm *, u64 gpa, u64 len);

enum mem_fault {
	MEM_MAPPED, /* run the guest again */
	MEM_NONE, /* no slot, or a write to a read-only one */
	MEM_ERROR, /* the host has no page there */
};
/* Caller: the vCPU's thread, in the VM's mm, may sleep. */
enum mem_fault
mem_fault(struct vm *, struct npt_cache *, struct gpa, bool write);

/* slots.c */
int mem_set_region(struct vm *, const struct kvm_userspace_memory_region *);

/* copy.c: for several reads of what belongs together; the table of slots is
 * held meanwhile. */
struct mem_view {
	struct vm *vm;
	const struct slots *slots;
	const struct slot *last; /* where the last read was */
	int idx;
};
void mem_view_open(struct vm *, struct mem_view *);
void mem_view_close(struct mem_view *);
int mem_view_read(struct mem_view *, struct gpa, void *, unsigned len);
/* User space's address of len bytes, in one slot; 0: there are none. */
unsigned long mem_view_hva(struct mem_view *, struct gpa, unsigned len);

/* Copies within one page; 0 or -EFAULT.  May sleep. */
int mem_read(struct vm *, struct gpa, void *, unsigned len);
int mem_write(struct vm *, struct gpa, const void *, unsigned len);
/* Would a copy be to or from a slot? */
bool mem_present(struct vm *, struct gpa, unsigned len, bool write);
/* -EAGAIN: it was not `old'; size 1, 2, 4, 8 or 16, aligned for 16. */
int mem_cmpxchg(
    struct vm *, struct gpa, const void *old, const void *new, unsigned size);

/* vcpu.c: all vCPUs drop their translations before they run on. */
void vcpu_flush_all(struct vm *);

#endif
