/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_VCPU_H
#define LINUX_VCPU_H

/*
 * A vCPU.  Locks: (v) vcpu->lock, the mutex that KVM_RUN and every other call
 * on the vCPU hold; (a) atomic; (c) constant after creation; (r) changed under
 * (v), read under RCU.
 */
#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <asm/fpu/api.h>
#include "../core/cpuid.h"
#include "../core/host.h"
#include "../core/emul.h"
#include "../core/lapic.h"
#include "../core/mov.h"
#include "../core/msr.h"
#include "../core/pvclock.h"
#include "../core/shadow.h"
#include "../core/walk.h"
#include "../hv/hv.h"
#include "vm.h"

enum vcpu_request {
	REQ_FLUSH, /* drop all translations */
	REQ_TIMER, /* the LAPIC's host timer fired */
	REQ_EVENT, /* look for interrupts */
	REQ_INIT,
	REQ_SIPI, /* sipi_vector */
	REQ_NMI,
	REQ_CLOCK, /* kvm-clock's page is to be written */
};

/* An instruction that user space has yet to answer, by the next KVM_RUN. */
struct pending {
	enum {
		PENDING_NONE,
		PENDING_OUT,
		PENDING_IN,
		PENDING_STRING, /* a batch of INS or OUTS */
		PENDING_LOAD, /* a move from memory */
		PENDING_EMUL, /* vcpu->emul knows */
	} kind;
	u64 rip; /* where it is: elsewhere, and it is forgotten */
	u64 next_rip; /* OUT, IN, STRING */
	u8 size; /* OUT, IN, STRING: of an element */
	struct {
		bool in;
		u8 asize;
		u32 count;
		struct gpa gpa;
	} string;
	struct mov load;
};

/*
 * The last walk of a kind: what it depended on, and each entry that it read.
 * While all of it is the same, so is the page (linear.c).
 */
struct walk_memo {
	struct walk_env env;
	u64 page; /* linear */
	u64 slots_gen;
	unsigned access;
	unsigned n; /* entries read */
	struct {
		unsigned long hva;
		u64 entry;
		unsigned size;
	} read[5];
	bool known;
	unsigned long hva; /* of the page, if memory is there */
	struct gpa gpa; /* likewise */
};

struct vcpu {
	struct vm *vm; /* (c) */
	u32 id; /* (c) */
	struct mutex lock;
	struct hv_vcpu *hv; /* (c), contents (v) */
	struct kvm_run *run; /* (c), two pages, shared with user space */
	struct npt_cache cache; /* (v) */
	struct {
		struct shadow_cache cache;
		struct shadow_root root;
		struct walk_env env; /* what the root is for */
		bool reload; /* the root is to be looked up */
		bool invalidate; /* and all translations dropped */
	} mmu; /* (v) shadow tables, see mmu.c */
	struct fpu_guest fpu; /* (v) */
	struct preempt_notifier preempt; /* (v) */

	unsigned long requests; /* (a) enum vcpu_request */
	int in_guest; /* (a) entered, or about to */
	int cpu; /* (a) where it is loaded */
	u8 sipi_vector; /* (a) */
	struct rcuwait wait; /* (v) sleeps, anybody wakes */

	struct lapic lapic; /* (v), see lapic.h */
	struct hrtimer timer; /* (v) armed by lapic */
	u32 mp_state; /* (v) KVM_MP_STATE_* */
	struct event_state event; /* (v) */
	struct pending pending; /* (v) */
	struct emul emul; /* (v) */
	/* (v) of an instruction; of a device, with shadow tables */
	struct walk_memo fetch, device;

	unsigned long noted; /* (v) jiffies, when RCU was told of an entry */
	bool attention; /* (v) choose events anew before the next entry */
	struct {
		u32 control; /* KVM_GUESTDBG_*, 0: no debugger */
		u64 dr[4], dr7; /* its breakpoints; the guest's, meanwhile */
		u64 guest_dr6, seen; /* seen: causes in DR6 at the last exit */
		bool our_tf; /* TF was set by us for the last entry */
		bool stepped; /* by the driver: to be reported */
	} debug; /* (v) */

	bool eoi_pending; /* (v) user space is to be told of eoi_vector */
	u8 eoi_vector; /* (v) */
	struct {
		struct gpa addr; /* of the guest's word; 0: none */
		bool reports; /* accesses to the TPR, to user space */
		bool seen, write; /* one, and what it was */
		u64 rip;
	} vapic; /* (v) */
	struct {
		bool on, offered; /* offered: bit 0 of the word is set */
		struct gpa addr; /* of the guest's word */
	} pveoi; /* (v) */

	struct cpuid_entry *cpuid; /* (v) */
	unsigned ncpuid; /* (v) */
	sigset_t sigset; /* (v) of KVM_SET_SIGNAL_MASK */
	bool sigset_active; /* (v) */
	struct msr_state msr; /* (v) */

	u32 tsc_khz; /* (v) */
	u64 tsc_lost; /* (v) of clock.c's, already added to the offset */
	struct pvclock_time clock; /* (v) kvm-clock's page as last written */
	u64 clock_msr; /* (v) where it is, and whether */
	bool clock_stopped; /* (v) of KVM_KVMCLOCK_CTRL */
	u64 exits[HV_EXITS]; /* (v), readers: any; see stats.c */
	u64 signals; /* (v), readers: any: runs that a signal ended */
	unsigned spun_for; /* (v) index of the vCPU last yielded to */
	struct pid __rcu *pid; /* (r) of the thread that runs it */
};

static inline struct gcpu *
vcpu_state(struct vcpu *v)
{
	return &v->hv->cpu;
}

static inline void
vcpu_request(struct vcpu *v, enum vcpu_request r)
{
	set_bit(r, &v->requests);
}

static inline void
vcpu_attend(struct vcpu *v)
{
	v->attention = true;
}

/* The task priority: the LAPIC's, or without one the CPU's alone. */
static inline u64
vcpu_cr8(const struct vcpu *v)
{
	return v->vm->apics ? lapic_get_cr8(&v->lapic) : v->hv->cpu.cr8;
}

static inline void
vcpu_set_cr8(struct vcpu *v, u64 cr8)
{
	v->hv->cpu.cr8 = cr8 & 0xf;
	lapic_set_cr8(&v->lapic, cr8);
}

extern const struct hv_ops *hv;

/* vcpu.c */
int vcpu_new(struct vm *, u32 id); /* a file descriptor, or -errno */
void vcpu_free(struct vcpu *);
void vcpu_load(struct vcpu *, int cpu);
void vcpu_set_thread(struct vcpu *);
void vcpu_kick(struct vcpu *);
void vcpu_spins(struct vcpu *); /* on a lock that another may hold */
int vcpu_check_extension(unsigned long cap); /* of calls on vCPUs */
long vcpu_enable_cap(struct vm *, const struct kvm_enable_cap *);

/* run.c */
int vcpu_run(struct vcpu *);

/* msr.c: 0, or 1 for #GP; host: user space asks. */
int msr_read(struct vcpu *, u32 msr, u64 *, bool host);
int msr_write(struct vcpu *, u32 msr, u64, bool host);
long msr_dev_ioctl(unsigned cmd, unsigned long arg); /* of /dev/vmm */

/* apic.c */
void apic_init(struct vcpu *);
void apic_reset(struct vcpu *); /* INIT */
int apic_set_base(struct vcpu *, u64); /* user space's; 0 or -EINVAL */
/* How many LAPICs took the message, and whether it is newly pending in one;
 * -EPERM: there are none. */
int apic_message(struct vm *, u64 addr, u32 data, bool *fresh);

#endif
