// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * KVM_RUN: the loop around the guest.
 *
 * Invariants
 *  1. No wake-up is lost: who wants the vCPU's attention sets a request and
 *     then looks at in_guest and the wait queue (vcpu_kick); we set in_guest
 *     or our task state first and then look at the requests.
 *  2. At most one event is injected per entry, in the order of APM vol. 2
 *     "Priorities" : what was cut off, exceptions, NMI, interrupts.
 *  3. The guest's FPU state is current from start to end of KVM_RUN.
 */
#include <linux/context_tracking.h>
#include <linux/sched/signal.h>
#include <linux/vtime.h>
#include <asm/fpu/api.h>
#include "../core/x86.h"
#include "compat.h"
#include "run.h"

#define ENTER_NOT ((enum hv_exit) - 1)

static bool
intr_allowed(const struct vcpu *v)
{
	return (v->hv->cpu.rflags & X86_RFLAGS_IF) && !v->hv->intr_shadow;
}

static int
pending_vector(const struct vcpu *v)
{
	return v->extint >= 0 ? v->extint : lapic_highest(&v->lapic);
}

static void
inject_interrupt(struct vcpu *v)
{
	int vec = pending_vector(v);

	if (v->extint >= 0)
		v->extint = -1;
	else
		lapic_accept(&v->lapic, (u8)vec);
	v->hv->inject =
	    (struct hv_event){ .type = HV_EV_INTR, .vector = (u8)vec };
}

static void
choose_event(struct vcpu *v)
{
	struct hv_vcpu *h = v->hv;
	bool nmi_window = false, intr_window;

	if (h->cut.type != HV_EV_NONE) {
		h->inject = h->cut;
		h->cut.type = HV_EV_NONE;
	} else if (v->exception.type != HV_EV_NONE) {
		h->inject = v->exception;
		v->exception.type = HV_EV_NONE;
	} else if (v->nmi && !h->nmi_masked && !h->intr_shadow) {
		v->nmi = false;
		h->nmi_masked = true;
		h->inject =
		    (struct hv_event){ .type = HV_EV_NMI, .vector = X86_NMI };
	} else if (pending_vector(v) >= 0 && intr_allowed(v)) {
		inject_interrupt(v);
	}
	nmi_window = h->nmi_masked;
	intr_window =
	    pending_vector(v) >= 0 || v->run->request_interrupt_window;
	hv->window(h, intr_window, nmi_window);
	hv->tpr(h, (u8)lapic_get_cr8(&v->lapic));
}

static void
start_ap(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);

	if (v->mp_state != KVM_MP_STATE_INIT_RECEIVED)
		return;
	cpu_need(c, CPU_SEGS);
	c->seg[SEG_CS].sel = (u16)(READ_ONCE(v->sipi_vector) << 8);
	c->seg[SEG_CS].base = (u64)READ_ONCE(v->sipi_vector) << 12;
	c->rip = 0;
	cpu_dirty(c, CPU_SEGS);
	v->mp_state = KVM_MP_STATE_RUNNABLE;
}

static void
serve_requests(struct vcpu *v)
{
	if (test_and_clear_bit(REQ_FLUSH, &v->requests))
		hv->flush_tlb(v->hv);
	if (test_and_clear_bit(REQ_TIMER, &v->requests))
		lapic_timer_fired(&v->lapic);
	if (test_and_clear_bit(REQ_NMI, &v->requests))
		v->nmi = true;
	if (test_and_clear_bit(REQ_INIT, &v->requests)) {
		hv->vcpu_reset(v->hv, true);
		lapic_reset(&v->lapic, true);
		v->exception.type = HV_EV_NONE;
		v->mp_state = v->id == 0 ? KVM_MP_STATE_RUNNABLE
					 : KVM_MP_STATE_INIT_RECEIVED;
	}
	if (test_and_clear_bit(REQ_SIPI, &v->requests))
		start_ap(v);
	clear_bit(REQ_EVENT, &v->requests);
	smp_mb__after_atomic();
}

/* Is there a reason to leave HLT? */
static bool
awake(struct vcpu *v)
{
	if (v->mp_state == KVM_MP_STATE_RUNNABLE)
		return true;
	if (v->mp_state != KVM_MP_STATE_HALTED)
		return false;
	return v->exception.type != HV_EV_NONE ||
	    (v->nmi && !v->hv->nmi_masked) ||
	    (pending_vector(v) >= 0 && (v->hv->cpu.rflags & X86_RFLAGS_IF));
}

/* Sleeps until there may be something; -EINTR for a signal. */
static int
block(struct vcpu *v)
{
	return rcuwait_wait_event(&v->wait,
	    READ_ONCE(v->requests) != 0 || signal_pending(current),
	    TASK_INTERRUPTIBLE);
}

static enum hv_exit
enter(struct vcpu *v)
{
	enum hv_exit why = ENTER_NOT;

	local_irq_disable();
	WRITE_ONCE(v->in_guest, 1);
	smp_mb(); /* in_guest, then requests: invariant 1 */
	if (READ_ONCE(v->requests) || need_resched() || signal_pending(current))
		goto out;
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
	vtime_account_guest_enter();
	if (!context_tracking_guest_enter())
		compat_rcu_virt_note_context_switch();
	why = hv->enter(v->hv);
	context_tracking_guest_exit();
	vtime_account_guest_exit();
out:
	WRITE_ONCE(v->in_guest, 0);
	local_irq_enable();
	return why;
}

static enum next
once(struct vcpu *v)
{
	enum hv_exit why;

	choose_event(v);
	preempt_disable();
	why = enter(v);
	preempt_enable();
	if (why == ENTER_NOT) {
		/* What was chosen is chosen again. */
		v->hv->cut = v->hv->inject;
		v->hv->inject.type = HV_EV_NONE;
		return NEXT_ENTER;
	}
	if (v->hv->cpu.cr8 != lapic_get_cr8(&v->lapic))
		lapic_set_cr8(&v->lapic, v->hv->cpu.cr8);
	return exits_serve(v, why);
}

static int
loop(struct vcpu *v)
{
	enum next next = NEXT_ENTER;

	while (next == NEXT_ENTER) {
		serve_requests(v);
		if (signal_pending(current)) {
			v->run->exit_reason = KVM_EXIT_INTR;
			return -EINTR;
		}
		if (v->shutdown) {
			v->shutdown = false;
			v->run->exit_reason = KVM_EXIT_SHUTDOWN;
			return 0;
		}
		if (!awake(v)) {
			block(v);
			continue;
		}
		v->mp_state = KVM_MP_STATE_RUNNABLE;
		if (v->run->request_interrupt_window && intr_allowed(v) &&
		    v->extint < 0) {
			v->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
			return 0;
		}
		next = once(v);
		cond_resched();
	}
	return next == NEXT_USER ? 0 : -EFAULT;
}

/* What the run page tells user space at each return. */
static void
publish(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	run->if_flag = (v->hv->cpu.rflags & X86_RFLAGS_IF) != 0;
	run->cr8 = lapic_get_cr8(&v->lapic);
	run->apic_base = v->lapic.base_msr;
	run->ready_for_interrupt_injection = v->extint < 0 &&
	    lapic_accepts_pic(&v->lapic) && intr_allowed(v) &&
	    v->hv->cut.type == HV_EV_NONE && v->exception.type == HV_EV_NONE;
	run->flags = 0;
}

static int
run_loaded(struct vcpu *v)
{
	int r;

	fpu_swap_kvm_fpstate(&v->fpu, true);
	preempt_disable();
	WRITE_ONCE(v->cpu, smp_processor_id());
	preempt_notifier_register(&v->preempt);
	hv->load(v->hv);
	preempt_enable();
	r = loop(v);
	preempt_disable();
	hv->put(v->hv);
	preempt_notifier_unregister(&v->preempt);
	preempt_enable();
	fpu_swap_kvm_fpstate(&v->fpu, false);
	return r;
}

int
vcpu_run(struct vcpu *v)
{
	sigset_t saved;
	int r = -EINTR;

	if (v->sigset_active)
		sigprocmask(SIG_SETMASK, &v->sigset, &saved);
	if (v->in.pending)
		exits_complete(v);
	if (!READ_ONCE(v->run->immediate_exit))
		r = run_loaded(v);
	publish(v);
	if (v->sigset_active)
		sigprocmask(SIG_SETMASK, &saved, NULL);
	return r;
}
