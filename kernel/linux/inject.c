// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Events from user space: interrupts of its 8259, NMIs, and the state of
 * those under way (KVM_GET_VCPU_EVENTS, for resets and migration).
 */
#include <linux/kvm.h>
#include <linux/string.h>
#include "../core/x86.h"
#include "calls.h"
#include "run.h"

#define SHADOW (KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI)
#define VALID                                                           \
	(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | \
	    KVM_VCPUEVENT_VALID_SIPI_VECTOR)

long
inject_interrupt(struct vcpu *v, void *buf)
{
	struct kvm_interrupt *i = buf;

	if (i->irq > 255)
		return -EINVAL;
	if (v->vm->chips)
		return -ENXIO;
	if (v->vm->apics && v->event.extint >= 0)
		return -EEXIST;
	v->event.extint = (int)i->irq;
	vcpu_attend(v);
	return 0;
}

long
inject_nmi(struct vcpu *v, unsigned long arg)
{
	v->event.nmi_pending = true;
	vcpu_attend(v);
	return 0;
}

/* Payloads are known to those who enabled KVM_CAP_EXCEPTION_PAYLOAD, triple
 * faults to those of KVM_CAP_X86_TRIPLE_FAULT_EVENT. */
long
inject_get_events(struct vcpu *v, void *buf)
{
	bool payloads = READ_ONCE(v->vm->payloads);
	struct kvm_vcpu_events *e = buf;
	struct event_view w;

	memset(e, 0, sizeof(*e));
	run_accept_init(v);
	if (!payloads) {
		cpu_need(vcpu_state(v), CPU_CRS | CPU_DRS);
		event_settle(&v->event, vcpu_state(v));
	}
	event_get(&v->event, payloads, &w);
	e->exception.injected = w.exception.injected;
	e->exception.pending = w.exception.pending;
	e->exception.nr = w.exception.nr;
	e->exception.has_error_code = w.exception.has_error;
	e->exception.error_code = w.exception.error;
	e->exception_has_payload = w.exception.has_payload;
	e->exception_payload = w.exception.payload;
	e->interrupt.injected = w.interrupt.injected && !w.interrupt.soft;
	e->interrupt.nr = w.interrupt.nr;
	e->interrupt.shadow = v->hv->intr_shadow ? SHADOW : 0;
	e->nmi.injected = w.nmi.injected;
	e->nmi.pending = w.nmi.pending;
	e->nmi.masked = w.nmi.masked;
	e->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (payloads)
		e->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (READ_ONCE(v->vm->triple_faults)) {
		e->triple_fault.pending = w.triple;
		e->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
	return 0;
}

static u32
valid_flags(const struct vm *vm)
{
	u32 flags = VALID;

	if (READ_ONCE(vm->payloads))
		flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (READ_ONCE(vm->triple_faults))
		flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	return flags;
}

long
inject_set_events(struct vcpu *v, void *buf)
{
	const struct kvm_vcpu_events *e = buf;
	bool payloads = (e->flags & KVM_VCPUEVENT_VALID_PAYLOAD) != 0;
	struct event_view w = { 0 };

	if (e->flags & ~valid_flags(v->vm))
		return -EINVAL;
	w.exception.injected = e->exception.injected;
	w.exception.pending = payloads && e->exception.pending;
	w.exception.nr = e->exception.nr;
	w.exception.has_error = e->exception.has_error_code;
	w.exception.error = e->exception.error_code;
	w.exception.has_payload = payloads && e->exception_has_payload;
	w.exception.payload = e->exception_payload;
	w.interrupt.injected = e->interrupt.injected;
	w.interrupt.nr = e->interrupt.nr;
	w.interrupt.soft = e->interrupt.soft;
	w.nmi.injected = e->nmi.injected;
	w.nmi.masked = e->nmi.masked;
	w.nmi.pending = (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
	    ? e->nmi.pending != 0
	    : v->event.nmi_pending;
	w.triple = (e->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
	    ? e->triple_fault.pending != 0
	    : v->event.triple;
	if (event_set(&v->event, payloads, &w))
		return -EINVAL;
	if (e->flags & KVM_VCPUEVENT_VALID_SHADOW)
		v->hv->intr_shadow = e->interrupt.shadow != 0;
	if (e->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR)
		WRITE_ONCE(v->sipi_vector, (u8)e->sipi_vector);
	vcpu_attend(v);
	return 0;
}
