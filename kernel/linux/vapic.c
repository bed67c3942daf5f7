// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The word is lapic_summary()'s: the guest's code writes its lowest byte and
 * looks at the others for an interrupt that the new priority lets through;
 * then it exits by a hypercall.
 *
 * Invariants
 *  1. Nothing but the lowest byte is taken from the guest, and that may be any.
 *  2. A word that is no memory any more is left alone: the TPR stays.
 */
#include <linux/kvm.h>
#include "calls.h"
#include "slots.h"
#include "vapic.h"

long
vapic_set_addr(struct vcpu *v, void *buf)
{
	const struct kvm_vapic_addr *a = buf;
	struct gpa gpa = { a->vapic_addr };

	if (!v->vm->apics)
		return -EINVAL;
	if (gpa.v != 0 && !mem_present(v->vm, gpa, sizeof(u32), false))
		return -EINVAL;
	v->vapic.addr = gpa;
	vcpu_attend(v);
	return 0;
}

long
vapic_set_reports(struct vcpu *v, void *buf)
{
	const struct kvm_tpr_access_ctl *c = buf;

	if (c->flags)
		return -EINVAL;
	v->vapic.reports = c->enabled != 0;
	return 0;
}

void
vapic_show(struct vcpu *v)
{
	u32 word = lapic_summary(&v->lapic);

	mem_write(v->vm, v->vapic.addr, &word, sizeof(word));
}

void
vapic_take(struct vcpu *v)
{
	u32 word;

	if (mem_read(v->vm, v->vapic.addr, &word, sizeof(word)) ||
	    (u8)word == v->lapic.tpr)
		return;
	lapic_set_tpr(&v->lapic, (u8)word);
	vcpu_state(v)->cr8 = vcpu_cr8(v);
	vcpu_attend(v);
}

/* RIP is still the instruction's. */
void
vapic_accessed(struct vcpu *v, bool write)
{
	if (!v->vapic.reports)
		return;
	v->vapic.seen = true;
	v->vapic.write = write;
	v->vapic.rip = vcpu_state(v)->rip;
}

void
vapic_report(struct vcpu *v)
{
	v->vapic.seen = false;
	v->run->exit_reason = KVM_EXIT_TPR_ACCESS;
	v->run->tpr_access.rip = v->vapic.rip;
	v->run->tpr_access.is_write = v->vapic.write;
}
