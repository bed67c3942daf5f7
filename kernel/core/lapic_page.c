// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The register page in the layout of KVM_GET_LAPIC and KVM_SET_LAPIC: each
 * 32-bit register at its MMIO offset.
 */
#include "lapic.h"
#include "lapic_regs.h"

static void
put(u8 *page, u32 off, u32 val)
{
	memcpy(page + off, &val, sizeof(val));
}

static u32
get(const u8 *page, u32 off)
{
	u32 val;

	memcpy(&val, page + off, sizeof(val));
	return val;
}

static const u16 lvt_off[LAPIC_LVTS] = {
	[LVT_TIMER] = APIC_LVT_TIMER,
	[LVT_THERMAL] = APIC_LVT_THERMAL,
	[LVT_PMC] = APIC_LVT_PMC,
	[LVT_LINT0] = APIC_LVT_LINT0,
	[LVT_LINT1] = APIC_LVT_LINT1,
	[LVT_ERROR] = APIC_LVT_ERROR,
};

void
lapic_get_page(struct lapic *l, u8 page[1024], bool id32)
{
	bool x2 = (l->base_msr & LAPIC_BASE_X2) != 0;
	unsigned i;
	u32 v = 0;

	memset(page, 0, 1024);
	put(page, APIC_ID,
	    !x2	       ? l->xapic_id << 24
		: id32 ? l->id
		       : l->id << 24);
	lapic_mmio_read(l, APIC_VERSION, &v);
	put(page, APIC_VERSION, v);
	lapic_mmio_read(l, APIC_PPR, &v);
	put(page, APIC_PPR, v);
	put(page, APIC_TPR, l->tpr);
	put(page, APIC_LDR, l->ldr);
	put(page, APIC_DFR, l->dfr);
	put(page, APIC_SVR, l->svr);
	put(page, APIC_ESR, l->esr_latch);
	put(page, APIC_ICR_LOW, (u32)l->icr);
	put(page, APIC_ICR_HIGH, (u32)(l->icr >> 32));
	for (i = 0; i < LAPIC_LVTS; i++)
		put(page, lvt_off[i], l->lvt[i]);
	put(page, APIC_TMICT, l->tmict);
	put(page, APIC_TMCCT, lapic_timer_current(l));
	put(page, APIC_TDCR, l->tdcr);
	for (i = 0; i < 8; i++) {
		put(page, APIC_ISR + i * 16, l->isr[i]);
		put(page, APIC_TMR + i * 16, l->tmr[i]);
		put(page, APIC_IRR + i * 16, l->irr[i]);
	}
}

int
lapic_set_page(struct lapic *l, const u8 page[1024], bool id32)
{
	bool x2 = (l->base_msr & LAPIC_BASE_X2) != 0;
	u32 id = get(page, APIC_ID);
	unsigned i;

	if (x2 && (id32 ? id : id >> 24) != l->id)
		return -EINVAL;
	if (!x2)
		l->xapic_id = id >> 24;
	l->tpr = get(page, APIC_TPR) & 0xff;
	l->dfr = get(page, APIC_DFR) | 0x0fffffff;
	if (!x2)
		l->ldr = get(page, APIC_LDR) & 0xff000000;
	l->svr = get(page, APIC_SVR) & (SVR_ENABLE | SVR_FOCUS | 0xff);
	l->esr_latch = get(page, APIC_ESR) & 0xff;
	l->icr = (get(page, APIC_ICR_LOW) & ~ICR_BUSY) |
	    (u64)get(page, APIC_ICR_HIGH) << 32;
	for (i = 0; i < LAPIC_LVTS; i++)
		l->lvt[i] = get(page, lvt_off[i]) & lapic_lvt_writable[i];
	for (i = 0; i < 8; i++) {
		l->isr[i] = get(page, APIC_ISR + i * 16);
		l->tmr[i] = get(page, APIC_TMR + i * 16);
		__atomic_store_n(
		    &l->irr[i], get(page, APIC_IRR + i * 16), __ATOMIC_SEQ_CST);
	}
	/* Vectors below 16 cannot be pending or in service. */
	l->isr[0] &= 0xffff0000;
	l->irr[0] &= 0xffff0000;
	l->tdcr = get(page, APIC_TDCR) & TDCR_BITS;
	lapic_timer_restore(l, get(page, APIC_TMICT), get(page, APIC_TMCCT));
	return 0;
}
