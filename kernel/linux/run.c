// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * KVM_RUN: the loop around the guest.
 *
 * Invariants
 *  1. No wake-up is lost: who wants the vCPU's attention sets a request and
 *     then looks at in_guest and the wait queue (vcpu_kick); we set in_guest
 *     or our task state first and then look at the requests.
 *  2. What is injected is core/event.c's choice.
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

static struct event_env
event_env(const struct vcpu *v)
{
	const struct gcpu *c = &v->hv->cpu;

	return (struct event_env){ .rip = c->rip,
		.iflag = (c->rflags & X86_RFLAGS_IF) != 0,
		.shadow = v->hv->intr_shadow,
		.lapic = lapic_highest(&v->lapic) };
}

static bool
intr_open(const struct vcpu *v)
{
	struct event_env env = event_env(v);

	return event_intr_open(&v->event, &env);
}

static void
choose_event(struct vcpu *v)
{
	struct event_env env = event_env(v);
	struct hv_vcpu *h = v->hv;

	if (event_choose(&v->event, &env, &h->inject)) {
		lapic_accept(&v->lapic, h->inject.vector);
		env.lapic = lapic_highest(&v->lapic);
	}
	if (h->inject.type == EVENT_EXCEPTION) {
		cpu_need(&h->cpu, CPU_CRS | CPU_DRS);
		event_apply(&h->cpu, &h->inject);
	}
	hv->window(h,
	    event_wants_intr(&v->event, &env) ||
		v->run->request_interrupt_window,
	    event_wants_iret(&v->event));
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
		v->event.nmi_pending = true;
	if (test_and_clear_bit(REQ_INIT, &v->requests)) {
		hv->vcpu_reset(v->hv, true);
		lapic_reset(&v->lapic, true);
		event_reset(&v->event);
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
	struct event_env env;

	if (v->mp_state == KVM_MP_STATE_RUNNABLE)
		return true;
	if (v->mp_state != KVM_MP_STATE_HALTED)
		return false;
	env = event_env(v);
	return event_wakes(&v->event, &env);
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
		event_undo(&v->event);
		return NEXT_ENTER;
	}
	event_exit(&v->event, &v->hv->cut, v->hv->cpu.rip);
	if (v->hv->cpu.cr8 != lapic_get_cr8(&v->lapic))
		lapic_set_cr8(&v->lapic, v->hv->cpu.cr8);
	return exits_serve(v, why);
}

static int
loop(struct vcpu *v)
{
	enum next next = NEXT_ENTER;

	if (v->pending.kind != PENDING_NONE)
		next = exits_complete(v);
	if (next == NEXT_ENTER && READ_ONCE(v->run->immediate_exit))
		return -EINTR;
	while (next == NEXT_ENTER) {
		serve_requests(v);
		if (signal_pending(current)) {
			v->run->exit_reason = KVM_EXIT_INTR;
			return -EINTR;
		}
		if (v->event.triple) {
			v->event.triple = false;
			v->run->exit_reason = KVM_EXIT_SHUTDOWN;
			return 0;
		}
		if (!awake(v)) {
			block(v);
			continue;
		}
		v->mp_state = KVM_MP_STATE_RUNNABLE;
		if (v->run->request_interrupt_window && intr_open(v)) {
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
	run->ready_for_interrupt_injection =
	    lapic_accepts_pic(&v->lapic) && intr_open(v);
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
	int r;

	if (v->sigset_active)
		sigprocmask(SIG_SETMASK, &v->sigset, &saved);
	r = run_loaded(v);
	publish(v);
	if (v->sigset_active)
		sigprocmask(SIG_SETMASK, &saved, NULL);
	return r;
}
