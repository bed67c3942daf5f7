/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_LAPIC_H
#define CORE_LAPIC_H

/*
 * Local APIC: xAPIC and x2APIC; timer one-shot, periodic, TSC-deadline.
 * (AMD APM vol. 2 "Advanced Programmable Interrupt Controller", SDM vol. 3
 * "APIC" and "Extended xAPIC".)
 *
 * Concurrency: IRR, TMR and ESR are the only state that others change: senders
 * set bits in them atomically (lapic_post) and then kick the target.  Senders
 * also read base_msr, xapic_id, ldr, dfr and svr (lapic_match), tpr and isr
 * (lapic_priority) and the error LVT: single words, an old value is what a
 * message that came a moment ago would have met.  All other state belongs to
 * the thread that runs the vCPU or holds its mutex.
 */
#include "types.h"

#define LAPIC_HZ 1000000000ULL /* bus clock: 1 ns a count */

enum lapic_lvt {
	LVT_TIMER,
	LVT_THERMAL,
	LVT_PMC,
	LVT_LINT0,
	LVT_LINT1,
	LVT_ERROR,
	LAPIC_LVTS,
};

/* IA32_APIC_BASE, APM vol. 2 "Enabling the Local APIC" */
#define LAPIC_BASE_BSP	  CORE_BIT(8)
#define LAPIC_BASE_X2	  CORE_BIT(10)
#define LAPIC_BASE_ENABLE CORE_BIT(11)
#define LAPIC_BASE_ADDR	  0xfee00000ULL

/* "Interrupt Command Register (ICR)", message type. */
enum lapic_mode {
	LAPIC_FIXED,
	LAPIC_LOWEST,
	LAPIC_SMI,
	LAPIC_NMI = 4,
	LAPIC_INIT,
	LAPIC_STARTUP,
	LAPIC_EXTINT,
};

struct lapic_msg {
	enum lapic_mode mode;
	u8 vector;
	enum {
		TO_DEST,
		TO_SELF,
		TO_ALL,
		TO_OTHERS,
	} to; /* the ICR's shorthands */
	u32 dest;
	bool logical, level;
	bool wide; /* dest is an x2APIC's of 32 bits, else of 8 */
};

struct lapic;
struct lapic_ops {
	/* Send this: lapic_send(). */
	void (*ipi)(void *arg, const struct lapic_msg *);
	/* EOI of a level-triggered vector. */
	void (*eoi)(void *arg, u8 vector);
	/* (Re)arm or disarm (0) the timer at an absolute host time in ns. */
	void (*timer)(void *arg, u64 deadline_ns);
	u64 (*now)(void *arg); /* ns */
	u64 (*guest_tsc)(void *arg);
	u64 (*tsc_to_ns)(void *arg, u64 guest_tsc); /* absolute */
	void (*kick)(void *arg); /* wake or exit the vCPU */
	/* The guest accesses the TPR, as a register of the APIC. */
	void (*tpr)(void *arg, bool write);
};

struct lapic {
	u64 base_msr; /* IA32_APIC_BASE */
	u32 id; /* x2APIC id, fixed */
	u32 xapic_id; /* 8 bits; the low byte of id unless rewritten */
	u32 tpr, ldr, dfr, svr;
	u32 esr; /* errors seen; atomic */
	u32 esr_latch; /* errors as last latched by a write */
	u64 icr;
	u32 lvt[LAPIC_LVTS];
	u32 tmict, tdcr;
	u64 timer_start; /* ns at which the count began */
	u64 tsc_deadline;
	u32 isr[8], tmr[8];
	u32 irr[8]; /* atomic */
	const struct lapic_ops *ops;
	void *arg;
};

void
lapic_init(struct lapic *, u32 id, bool bsp, const struct lapic_ops *, void *);
void lapic_reset(struct lapic *, bool init); /* INIT keeps id and base */

/* Registers in xAPIC mode: offset 0..0xff0 of the page, if it is there. */
bool lapic_has_page(const struct lapic *, struct gpa);
void lapic_mmio_read(struct lapic *, u32 off, u32 *val);
void lapic_mmio_write(struct lapic *, u32 off, u32 val);
/* In x2APIC mode: 0, or -EINVAL = #GP. */
int lapic_msr_read(struct lapic *, u32 msr, u64 *);
int lapic_msr_write(struct lapic *, u32 msr, u64);
/* The guest's write goes by the state transitions; user space restores any
 * state that there is.  0 or -EINVAL. */
int lapic_base_write(struct lapic *, u64, bool x2apic_allowed);
int lapic_base_restore(struct lapic *, u64);
static inline u64
lapic_get_cr8(const struct lapic *l)
{
	return (l->tpr >> 4) & 0xf;
}
void lapic_set_cr8(struct lapic *, u64);
void lapic_set_tpr(struct lapic *, u8);
/* In bytes from the lowest: TPR, the class in service, 0, the highest pending
 * vector. */
u32 lapic_summary(const struct lapic *);

/* Senders, any context: true when something is newly pending. */
bool lapic_post(struct lapic *, u8 vector, bool level);

/* All LAPICs that a message may reach. */
struct lapic_bus {
	unsigned n;
	struct lapic *(*at)(void *arg, unsigned i);
	/* Something is newly pending in this one. */
	void (*kick)(void *arg, unsigned i);
	/* NMI, INIT or a start-up vector for that CPU. */
	void (*signal)(void *arg, unsigned i, enum lapic_mode, u8 vector);
	void *arg;
};
/* How many took it.  self: who sends, NULL for a device. */
int lapic_send(const struct lapic_bus *, const struct lapic_msg *,
    const struct lapic *self);
/* A message-signalled interrupt (APM vol. 2 "Message Signalled Interrupts"). */
struct lapic_msg lapic_msi(u64 addr, u32 data);
/* What a write to ICR sends; false: nothing. */
bool lapic_icr(u64 icr, bool wide, struct lapic_msg *);
/*
 * Does a message with this destination address this LAPIC?  wide: dest is a
 * 32-bit x2APIC destination, else an 8-bit one (IOAPIC, MSI, xAPIC ICR).
 */
bool lapic_match(const struct lapic *, u32 dest, bool logical, bool wide);
/* Globally and by SVR: takes new interrupts.  Those that it took before SVR
 * disabled it are still delivered. */
bool lapic_enabled(const struct lapic *);
u32 lapic_priority(const struct lapic *); /* for lowest-priority choice */

/* Highest vector that may be delivered now, or -1 (PPR applied). */
int lapic_highest(const struct lapic *);
/* Highest pending but blocked by PPR (for the TPR threshold), or -1. */
int lapic_highest_irr(const struct lapic *);
/* That one, if it is not blocked: what lapic_highest() says. */
int lapic_above_priority(const struct lapic *, int irr);
void lapic_accept(struct lapic *, u8 vector); /* IRR -> ISR */
void lapic_eoi(struct lapic *);
/* The same, if nobody else hears of it and no other interrupt waits; false: nothing
 * was done. */
bool lapic_eoi_alone(struct lapic *);
/* One is in service whose EOI does nothing but to take it out of service: user
 * space is not to be told, and no other interrupt waits. */
bool lapic_eoi_is_private(const struct lapic *);
bool lapic_accepts_pic(const struct lapic *); /* LINT0 ExtINT, or disabled */
void lapic_timer_fired(struct lapic *); /* the host timer of ops->timer */
/* IA32_TSC_DEADLINE, SDM vol. 3 "TSC-Deadline Mode". */
u64 lapic_deadline_read(const struct lapic *);
void lapic_deadline_write(struct lapic *, u64 tsc);
void lapic_tsc_changed(struct lapic *); /* by a write or another offset */
/* What LINT1 delivers is an NMI, unmasked. */
bool lapic_lint1_nmi(const struct lapic *);

/* KVM_GET_LAPIC / KVM_SET_LAPIC: the 1 KiB register page.  id32: the ID of
 * an x2APIC is stored whole (KVM_X2APIC_API_USE_32BIT_IDS). */
void lapic_get_page(struct lapic *, u8 page[1024], bool id32);
int lapic_set_page(struct lapic *, const u8 page[1024], bool id32);

#endif
