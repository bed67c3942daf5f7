// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * KVM_RUN: the loop around the guest.
 *
 * Invariants
 *  1. No wake-up is lost: who wants the vCPU's attention sets a request and
 *     then looks at in_guest and the wait queue (vcpu_kick); we set in_guest
 *     or our task state first and then look at the requests.
 *  2. What is injected is core/event.c's choice.  It is asked anew whenever
 *     something may have changed its answer (vcpu_attend): after every
 *     request, and after every exit but the few of quiet().
 *  3. The guest's FPU state is current from start to end of KVM_RUN.
 */
#include <linux/context_tracking.h>
#include <linux/jiffies.h>
#include <linux/sched/signal.h>
#include <linux/vtime.h>
#include <asm/fpu/api.h>
#include "../core/x86.h"
#include "calls.h"
#include "chipset.h"
#include "clock.h"
#include "compat.h"
#include "debug.h"
#include "mmu.h"
#include "pveoi.h"
#include "run.h"
#include "vapic.h"

#define X2APIC_EOI (X86_MSR_X2APIC + 0xb)
#define ENTER_NOT  ((enum hv_exit) - 1)

static struct event_env
event_env(const struct vcpu *v)
{
	const struct gcpu *c = &v->hv->cpu;
	bool blocked = debug_blocks_events(v);

	return (struct event_env){ .rip = c->rip,
		.iflag = (c->rflags & X86_RFLAGS_IF) != 0 && !blocked,
		.shadow = v->hv->intr_shadow || blocked,
		.lapic = -1 };
}

/* With what the local APIC has for the CPU. */
static bool
pic_asks(const struct vcpu *v)
{
	return v->vm->chips && chipset_asks(v);
}

static struct event_env
event_env_lapic(const struct vcpu *v)
{
	struct event_env env = event_env(v);

	if (v->vm->apics)
		env.lapic = lapic_highest(&v->lapic);
	env.pic = pic_asks(v);
	return env;
}

static bool
intr_open(const struct vcpu *v)
{
	struct event_env env = event_env(v);

	return event_intr_open(&v->event, &env);
}

/* Does the LAPIC let the interrupts of user space's 8259 through? */
static bool
pic_connected(const struct vcpu *v)
{
	return !v->vm->apics || lapic_accepts_pic(&v->lapic);
}

/* User space wants to know when it may inject one. */
static bool
window_requested(const struct vcpu *v)
{
	return READ_ONCE(v->run->request_interrupt_window) && !v->vm->chips &&
	    pic_connected(v);
}

/* And it may now. */
static bool
window_open(const struct vcpu *v)
{
	return window_requested(v) && intr_open(v);
}

static void
choose_event(struct vcpu *v)
{
	struct event_env env = event_env(v);
	const struct lapic *l = &v->lapic;
	struct hv_vcpu *h = v->hv;
	int irr = v->vm->apics ? lapic_highest_irr(l) : -1;
	bool window;

	v->attention = false;
	env.lapic = lapic_above_priority(l, irr);
	env.pic = pic_asks(v);
	if (env.pic && event_intr_next(&v->event, &env)) {
		v->event.extint = chipset_ack(v->vm);
		env.pic = false;
	}
	if (event_choose(&v->event, &env, &h->inject)) {
		lapic_accept(&v->lapic, h->inject.vector);
		irr = lapic_highest_irr(l);
		env.lapic = lapic_above_priority(l, irr);
	} else if (!env.pic) {
		env.pic = pic_asks(v); /* another one */
	}
	if (h->inject.type == EVENT_EXCEPTION) {
		cpu_need(&h->cpu, CPU_CRS | CPU_DRS);
		event_apply(&h->cpu, &h->inject);
	}
	window = event_wants_intr(&v->event, &env) || window_requested(v);
	hv->window(
	    h, window && !debug_blocks_events(v), event_wants_iret(&v->event));
	/* An interrupt that only the TPR holds back comes when that falls. */
	hv->tpr(h, (u8)vcpu_cr8(v), env.lapic < 0 && irr >= 0);
	if (v->vapic.addr.v != 0)
		vapic_show(v);
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

void
run_accept_init(struct vcpu *v)
{
	if (test_and_clear_bit(REQ_INIT, &v->requests)) {
		hv->vcpu_reset(v->hv, true);
		apic_reset(v);
		event_reset(&v->event);
		v->pending.kind = PENDING_NONE;
		v->mp_state = v->id == v->vm->bsp ? KVM_MP_STATE_RUNNABLE
						  : KVM_MP_STATE_INIT_RECEIVED;
	}
	if (test_and_clear_bit(REQ_SIPI, &v->requests))
		start_ap(v);
	vcpu_attend(v);
}

static void
serve_requests(struct vcpu *v)
{
	if (test_and_clear_bit(REQ_FLUSH, &v->requests)) {
		mmu_reload(v);
		hv->flush_tlb(v->hv);
	}
	if (test_and_clear_bit(REQ_TIMER, &v->requests))
		lapic_timer_fired(&v->lapic);
	if (test_and_clear_bit(REQ_NMI, &v->requests))
		v->event.nmi_pending = true;
	if (test_and_clear_bit(REQ_CLOCK, &v->requests))
		clock_update(v);
	if (v->requests & (1UL << REQ_INIT | 1UL << REQ_SIPI))
		run_accept_init(v);
	clear_bit(REQ_EVENT, &v->requests);
	smp_mb__after_atomic(); /* the request, then what it is about */
	vcpu_attend(v);
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
	env = event_env_lapic(v);
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

/*
 * A CPU that does not run.  The window that user space waits for does not come
 * from the hardware after STI HLT: HLT exits before it opens.
 */
static enum next
stopped(struct vcpu *v)
{
	if (awake(v)) {
		v->mp_state = KVM_MP_STATE_RUNNABLE;
	} else if (v->mp_state == KVM_MP_STATE_HALTED && window_open(v)) {
		v->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
		return NEXT_USER;
	} else {
		block(v);
	}
	return NEXT_ENTER;
}

/* RCU may see each entry as a context switch; once a tick is soon enough. */
static void
note_entry(struct vcpu *v)
{
	unsigned long now = READ_ONCE(jiffies);

	if (v->noted == now)
		return;
	v->noted = now;
	compat_rcu_virt_note_context_switch();
}

/* The end of an interrupt, by x2APIC's register. */
static bool
writes_eoi(const struct vcpu *v)
{
	return v->vm->apics && (v->lapic.base_msr & LAPIC_BASE_X2) &&
	    (u32)v->hv->cpu.gpr[R_RCX] == X2APIC_EOI;
}

static bool
eoi_alone(struct vcpu *v)
{
	const struct gcpu *c = &v->hv->cpu;

	return writes_eoi(v) && (u32)c->gpr[R_RAX] == 0 &&
	    (u32)c->gpr[R_RDX] == 0 && lapic_eoi_alone(&v->lapic);
}

/*
 * Exits that are served where they came, with interrupts off, and the guest goes on:
 * those that touch nothing but the vCPU.  What came for the host or for the vCPU
 * meanwhile is an interrupt, invariant 1, that ends the next entry as it begins.
 */
static bool
at_once(struct vcpu *v, enum hv_exit why)
{
	struct hv_vcpu *h = v->hv;
	struct gcpu *c = &h->cpu;

	if ((why != HV_CPUID && why != HV_WRMSR) || h->info.next_rip == 0 ||
	    h->cut.type != EVENT_NONE || (c->rflags & X86_RFLAGS_TF) ||
	    c->cr8 != vcpu_cr8(v) || (why == HV_WRMSR && !eoi_alone(v)))
		return false;
	WRITE_ONCE(v->exits[why], v->exits[why] + 1);
	event_exit(&v->event, &h->cut, c->rip);
	if (why == HV_CPUID)
		exits_answer_cpuid(v);
	c->rip = h->info.next_rip;
	h->intr_shadow = false;
	return true;
}

/* Has nothing to be done for it around each entry?  (Of shadow tables: what changes
 * them comes with a request.) */
static bool
goes_on(const struct vcpu *v)
{
	return !v->pveoi.on && v->vapic.addr.v == 0;
}

/*
 * The interrupt that ended the guest is taken while the time is still the
 * guest's, so that a tick is accounted to it.
 */
static enum hv_exit
enter(struct vcpu *v, bool debug)
{
	enum hv_exit why = ENTER_NOT;
	bool alone = !debug && goes_on(v);

	local_irq_disable();
	WRITE_ONCE(v->in_guest, 1);
	smp_mb(); /* in_guest, then requests: invariant 1 */
	if (READ_ONCE(v->requests) || need_resched() || signal_pending(current))
		goto out;
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
	vtime_account_guest_enter();
	if (!context_tracking_guest_enter())
		note_entry(v);
	do
		why = hv->enter(v->hv);
	while (alone && at_once(v, why));
	context_tracking_guest_exit();
	if (why == HV_INTR) {
		WRITE_ONCE(v->in_guest, 0);
		local_irq_enable();
		local_irq_disable();
	}
	vtime_account_guest_exit();
out:
	WRITE_ONCE(v->in_guest, 0);
	local_irq_enable();
	return why;
}

/*
 * Exits that change nothing that event.c or the LAPIC look at.  Ports and
 * memory, too: what the LAPIC's page or the emulator does asks for attention
 * itself, and so does an exception.
 */
static bool
quiet(const struct vcpu *v, enum hv_exit why)
{
	const u32 are = 1U << HV_CPUID | 1U << HV_RDMSR | 1U << HV_INTR |
	    1U << HV_PAUSE | 1U << HV_IO | 1U << HV_NPF | 1U << HV_INVLPG;

	return (are >> why & 1) ||
	    (why == HV_EXCEPTION && v->hv->info.vector == X86_PF) ||
	    (why == HV_CR && v->hv->info.cr.decoded && v->hv->info.cr.n == 3) ||
	    (why == HV_WRMSR && writes_eoi(v) &&
		lapic_highest_irr(&v->lapic) < 0);
}

static enum next
once(struct vcpu *v)
{
	struct hv_vcpu *h = v->hv;
	bool debug = debug_wanted(v);
	enum hv_exit why;
	enum next next;

	if (v->attention)
		choose_event(v);
	if (v->pveoi.on)
		pveoi_offer(v);
	if (debug)
		debug_before(v);
	if (hv->pdptrs && !v->vm->shadow && (h->cpu.dirty & CPU_CRS))
		state_load_pdptrs(v);
	preempt_disable();
	why = enter(v, debug);
	preempt_enable();
	if (v->pveoi.offered)
		pveoi_take(v);
	if (debug)
		debug_after(v);
	if (why == ENTER_NOT) {
		event_undo(&v->event);
		h->inject.type = EVENT_NONE;
		vcpu_attend(v);
		cond_resched();
		return NEXT_ENTER;
	}
	WRITE_ONCE(v->exits[why], v->exits[why] + 1);
	event_exit(&v->event, &h->cut, h->cpu.rip);
	if (h->cpu.cr8 != vcpu_cr8(v)) {
		vcpu_set_cr8(v, h->cpu.cr8);
		vcpu_attend(v);
	}
	if (v->vapic.addr.v != 0)
		vapic_take(v);
	if (!quiet(v, why) || h->cut.type != EVENT_NONE || v->vapic.addr.v != 0)
		vcpu_attend(v);
	next = exits_serve(v, why);
	if (debug) {
		v->debug.our_tf = false;
		v->debug.seen = 0;
	}
	if (v->event.exception.type != EVENT_NONE)
		vcpu_attend(v);
	return next;
}

/* What ends or suspends the run before an entry; NEXT_ENTER: nothing. */
static enum next
before(struct vcpu *v)
{
	if (v->event.triple) {
		v->event.triple = false;
		v->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return NEXT_USER;
	}
	if (debug_report_step(v))
		return NEXT_USER;
	if (window_open(v)) {
		v->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
		return NEXT_USER;
	}
	return NEXT_ENTER;
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
		if (READ_ONCE(v->requests))
			serve_requests(v);
		if (signal_pending(current)) {
			WRITE_ONCE(v->signals, v->signals + 1);
			v->run->exit_reason = KVM_EXIT_INTR;
			return -EINTR;
		}
		if (v->mp_state != KVM_MP_STATE_RUNNABLE) {
			next = stopped(v);
			continue;
		}
		if (v->attention || v->debug.stepped)
			next = before(v);
		if (next == NEXT_ENTER && v->vm->shadow && !mmu_prepared(v) &&
		    mmu_prepare(v))
			return -ENOMEM;
		if (next == NEXT_ENTER)
			next = once(v);
	}
	return next == NEXT_USER ? 0 : -EFAULT;
}

/* What the run page tells user space at each return. */
static void
publish(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	u64 sync = READ_ONCE(run->kvm_valid_regs);

	run->if_flag = (v->hv->cpu.rflags & X86_RFLAGS_IF) != 0;
	run->cr8 = vcpu_cr8(v);
	run->apic_base = v->lapic.base_msr;
	run->ready_for_interrupt_injection =
	    v->vm->chips || (intr_open(v) && pic_connected(v));
	run->flags = 0;
	if (sync & KVM_SYNC_X86_REGS)
		state_get_regs(v, &run->s.regs.regs);
	if (sync & KVM_SYNC_X86_SREGS)
		state_get_sregs(v, &run->s.regs.sregs);
	if (sync & KVM_SYNC_X86_EVENTS)
		inject_get_events(v, &run->s.regs.events);
}

/* Registers that user space changed in the run page, each copied first.  Apart
 * from sync_in() for its stack, which is cleared. */
static noinline int
take_regs(struct vcpu *v, u64 dirty)
{
	struct kvm_sync_regs *from = &v->run->s.regs;
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (dirty & KVM_SYNC_X86_REGS) {
		regs = from->regs;
		state_set_regs(v, &regs);
	}
	if (dirty & KVM_SYNC_X86_SREGS) {
		sregs = from->sregs;
		if (state_set_sregs(v, &sregs))
			return -EINVAL;
	}
	if (dirty & KVM_SYNC_X86_EVENTS) {
		events = from->events;
		if (inject_set_events(v, &events))
			return -EINVAL;
	}
	v->run->kvm_dirty_regs = 0;
	return 0;
}

static int
sync_in(struct vcpu *v)
{
	u64 dirty = READ_ONCE(v->run->kvm_dirty_regs);

	if ((READ_ONCE(v->run->kvm_valid_regs) | dirty) &
	    ~(u64)KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	return dirty ? take_regs(v, dirty) : 0;
}

static int
run_loaded(struct vcpu *v)
{
	int r;

	fpu_swap_kvm_fpstate(&v->fpu, true);
	preempt_disable();
	preempt_notifier_register(&v->preempt);
	vcpu_load(v, smp_processor_id());
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
	vcpu_set_thread(v);
	r = sync_in(v);
	if (r)
		goto out;
	if (!v->vm->apics)
		vcpu_set_cr8(v, READ_ONCE(v->run->cr8));
	vcpu_attend(v);
	r = run_loaded(v);
	publish(v);
out:
	if (v->sigset_active)
		sigprocmask(SIG_SETMASK, &saved, NULL);
	return r;
}
