/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_LAPIC_H
#define CORE_LAPIC_H

/*
 * Local APIC: xAPIC and x2APIC; timer one-shot, periodic, TSC-deadline.
 * (AMD APM vol. 2 "Advanced Programmable Interrupt Controller", SDM vol. 3
 * "APIC" and "Extended xAPIC".)
 *
 * Concurrency: the IRR is the only state that others change: senders set
 * bits in irr[] atomically (lapic_post) and then kick the target; all other
 * state belongs to the thread that runs the vCPU or holds its mutex.
 */
#include "types.h"

#define LAPIC_HZ 1000000000ULL /* bus clock: 1 ns a count */

struct lapic;
struct lapic_ops {
	/* Deliver an interrupt message from this CPU to the set it names. */
	void (*ipi)(void *arg, u32 icr_low, u32 dest, bool x2apic);
	/* Level-triggered vector's EOI (no broadcast suppression). */
	void (*eoi)(void *arg, u8 vector);
	/* (Re)arm or disarm (0) the timer at an absolute host time in ns. */
	void (*timer)(void *arg, u64 deadline_ns);
	u64 (*now)(void *arg); /* ns */
	u64 (*guest_tsc)(void *arg);
	u64 (*tsc_to_ns)(void *arg, u64 guest_tsc); /* absolute */
	void (*kick)(void *arg); /* wake or exit the vCPU */
};

struct lapic {
	u64 base_msr; /* IA32_APIC_BASE */
	u32 id; /* x2APIC id; xAPIC id is its low byte unless rewritten */
	u32 xapic_id, version, tpr, ldr, dfr, svr, esr, esr_latch;
	u64 icr;
	u32 lvt[7]; /* timer thermal pmc lint0 lint1 error (cmci) */
	u32 tmict, tdcr;
	u64 timer_start; /* ns at which the count began */
	u64 tsc_deadline;
	u32 isr[8], tmr[8];
	u32 irr[8]; /* atomic */
	u8 isr_max; /* cached: highest in-service vector, 0 = none */
	const struct lapic_ops *ops;
	void *arg;
};

void lapic_init(struct lapic *, u32 id, bool bsp, const struct lapic_ops *, void *);
void lapic_reset(struct lapic *, bool init); /* INIT keeps id and base */

/* Registers: offset 0..0xff0 of the MMIO page; 0, or -EINVAL = #GP (x2). */
int lapic_mmio_read(struct lapic *, u32 off, u32 *val);
int lapic_mmio_write(struct lapic *, u32 off, u32 val);
int lapic_msr_read(struct lapic *, u32 msr, u64 *);
int lapic_msr_write(struct lapic *, u32 msr, u64);
int lapic_base_write(struct lapic *, u64, bool x2apic_allowed);
u64 lapic_get_cr8(const struct lapic *);
void lapic_set_cr8(struct lapic *, u64);

/* Senders, any context: true when newly pending. */
bool lapic_post(struct lapic *, u8 vector, bool level);
/* Does a message with this destination address this LAPIC? */
bool lapic_match(const struct lapic *, u32 dest, bool logical, u32 source_mode_x2);
u32 lapic_priority(const struct lapic *); /* for lowest-priority choice */

/* Highest vector that may be delivered now, or -1 (PPR applied). */
int lapic_highest(const struct lapic *);
/* Highest pending but blocked by PPR (for the TPR threshold), or -1. */
int lapic_highest_irr(const struct lapic *);
void lapic_accept(struct lapic *, u8 vector); /* IRR -> ISR */
void lapic_eoi(struct lapic *);
bool lapic_accepts_pic(const struct lapic *); /* LINT0 ExtINT, or disabled */
void lapic_timer_fired(struct lapic *); /* the host timer of ops->timer */
void lapic_nmi_lint1(struct lapic *);

/* KVM_GET_LAPIC / KVM_SET_LAPIC: the 1 KiB register page. */
void lapic_get_page(struct lapic *, u8 page[1024]);
int lapic_set_page(struct lapic *, const u8 page[1024]);

#endif
