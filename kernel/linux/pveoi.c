// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Linux "KVM-specific MSRs", MSR_KVM_PV_EOI_EN: while an interrupt is in
 * service whose end concerns nobody else, bit 0 of the word is set.  A guest
 * that finds it so clears it with one instruction and has ended the interrupt;
 * it may write EOI as ever, too.
 *
 * Invariants
 *  1. The bit is set while the guest runs only, and only for the interrupt of
 *     the highest priority in service: every exit takes the offer back, before
 *     anything looks at the LAPIC.  User space never sees it.
 *  2. An interrupt that becomes pending under an offer makes the vCPU exit, as
 *     every one does, so nothing waits for an EOI that we are not told of.
 *  3. A word that is no memory any more is left alone: the interrupt stays in
 *     service until the guest writes EOI.
 */
#include "pveoi.h"
#include "slots.h"

#define ENABLED	 1ULL
#define RESERVED 2ULL

static bool
put(struct vcpu *v, u8 bit)
{
	return mem_write(v->vm, v->pveoi.addr, &bit, sizeof(bit)) == 0;
}

int
pveoi_write(struct vcpu *v, u64 val)
{
	struct gpa addr = { val & ~(ENABLED | RESERVED) };
	bool on = val & ENABLED;

	if ((val & RESERVED) ||
	    (on && !mem_present(v->vm, addr, sizeof(u32), true)))
		return -EINVAL;
	v->pveoi.on = on;
	v->pveoi.addr = addr;
	return 0;
}

void
pveoi_reset(struct vcpu *v)
{
	v->pveoi.on = false;
	v->msr.pv_eoi = 0;
}

void
pveoi_offer(struct vcpu *v)
{
	if (lapic_eoi_is_private(&v->lapic))
		v->pveoi.offered = put(v, 1);
}

void
pveoi_take(struct vcpu *v)
{
	u8 bit;

	v->pveoi.offered = false;
	if (mem_read(v->vm, v->pveoi.addr, &bit, sizeof(bit)))
		return;
	if (bit & ENABLED) {
		put(v, 0);
		return;
	}
	lapic_eoi(&v->lapic);
	if (lapic_highest_irr(&v->lapic) >= 0)
		vcpu_attend(v);
}
