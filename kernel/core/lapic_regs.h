/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_LAPIC_REGS_H
#define CORE_LAPIC_REGS_H

/*
 * Registers of the local APIC: APM vol. 2 "APIC Registers", and what
 * lapic.c, lapic_timer.c and lapic_page.c share.
 */
#include "lapic.h"

enum lapic_reg {
	APIC_ID = 0x20,
	APIC_VERSION = 0x30,
	APIC_TPR = 0x80,
	APIC_APR = 0x90,
	APIC_PPR = 0xa0,
	APIC_EOI = 0xb0,
	APIC_RRR = 0xc0,
	APIC_LDR = 0xd0,
	APIC_DFR = 0xe0,
	APIC_SVR = 0xf0,
	APIC_ISR = 0x100,
	APIC_TMR = 0x180,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_ICR_LOW = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_THERMAL = 0x330,
	APIC_LVT_PMC = 0x340,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TMICT = 0x380,
	APIC_TMCCT = 0x390,
	APIC_TDCR = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};

#define SVR_ENABLE  (1U << 8)
#define SVR_FOCUS   (1U << 9)
#define DFR_FLAT    0xfU
#define DFR_CLUSTER 0x0U

#define ESR_SEND_ILLEGAL (1U << 5)
#define ESR_RECV_ILLEGAL (1U << 6)
#define ESR_ILLEGAL_REG	 (1U << 7)

#define LVT_MODE	(7U << 8)
#define LVT_PENDING	(1U << 12) /* read-only, never set here */
#define LVT_REMOTE_IRR	(1U << 14) /* the same */
#define LVT_NMI		(4U << 8)
#define LVT_EXTINT	(7U << 8)
#define LVT_POLARITY	(1U << 13)
#define LVT_LEVEL	(1U << 15)
#define LVT_MASKED	(1U << 16)
#define LVT_TIMER_MODE	(3U << 17)
#define LVT_ONESHOT	(0U << 17)
#define LVT_PERIODIC	(1U << 17)
#define LVT_TSCDEADLINE (2U << 17)

#define TDCR_BITS 0xbU

#define ICR_MODE_SHIFT 8
#define ICR_LOGICAL    (1U << 11)
#define ICR_BUSY       (1U << 12)
#define ICR_ASSERT     (1U << 14)
#define ICR_LEVEL      (1U << 15)
#define ICR_TO_SHIFT   18
/* Bits that must be zero in the 64-bit ICR of x2APIC mode. */
#define ICR_RESERVED_X2 0xfff32000ULL

void lapic_timer_start(struct lapic *, u32 count);
void lapic_timer_stop(struct lapic *);
void lapic_timer_divide(struct lapic *, u32 tdcr);
void lapic_timer_mode_changed(struct lapic *, u32 old_lvt);
u32 lapic_timer_current(const struct lapic *);
/* As saved: an initial count of which so much was left. */
void lapic_timer_restore(struct lapic *, u32 count, u32 left);

/* Bits of an LVT entry that can be written. */
extern const u32 lapic_lvt_writable[LAPIC_LVTS];

#endif
