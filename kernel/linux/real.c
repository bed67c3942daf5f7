// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Guests in states that the processor cannot run: real mode and what leads out
 * of it, where VMX has no unrestricted guests (SDM vol. 3 "Checks on the Guest
 * State Area").  Each instruction is emulated, each event delivered here.
 *
 * Invariants
 *  1. Before each entry the backend says again whether it can run the guest:
 *     nothing here decides it.
 *  2. An event is delivered in real mode only; in protected mode, where the
 *     guest has not loaded its segments yet, one ends in an internal error.
 */
#include <linux/sched/signal.h>
#include "../core/x86.h"
#include "clock.h"
#include "debug.h"
#include "linear.h"
#include "mmio.h"

/* Instructions before the run loop looks at everything again. */
#define BATCH 256

static bool
real_mode(const struct vcpu *v)
{
	return !(v->hv->cpu.cr0 & X86_CR0_PE);
}

/* Cut off, as far as event.c can tell, until it is delivered. */
static enum next
deliver(struct vcpu *v)
{
	struct event *e = &v->hv->inject;
	enum emul_result r;

	v->event.again = *e;
	e->type = EVENT_NONE;
	if (!real_mode(v))
		return emulate_failed(v);
	r = emulate_interrupt(v, v->event.again.vector,
	    v->event.again.type == EVENT_SOFT ||
		    v->event.again.vector == X86_BP ||
		    v->event.again.vector == X86_OF
		? v->event.again.insn_len
		: 0);
	switch (r) {
	case EMUL_DONE:
		v->event.again.type = EVENT_NONE;
		v->hv->intr_shadow = false;
		return NEXT_ENTER;
	case EMUL_FAULT:
		emulate_raise(v, &v->emul.fault);
		return NEXT_ENTER;
	case EMUL_AGAIN:
		return NEXT_ENTER;
	case EMUL_IO:
	case EMUL_UNHANDLED:
	case EMUL_HLT:
		break;
	}
	return emulate_failed(v);
}

/* What is at RIP, by a shorter way than the emulator's. */
static unsigned
fetch(struct vcpu *v, u8 *buf)
{
	struct gcpu *c = vcpu_state(v);
	u64 limit;

	cpu_need(c, CPU_SEGS | CPU_CRS);
	limit = c->seg[SEG_CS].limit;
	if (c->rip > limit)
		return 0;
	return (unsigned)min_t(u64, linear_fetch(v, buf), limit - c->rip + 1);
}

/* May another one follow, with nothing looked at in between? */
static bool
goes_on(const struct vcpu *v, u64 flags, bool shadow)
{
	return real_mode(v) && v->mp_state == KVM_MP_STATE_RUNNABLE &&
	    v->event.exception.type == EVENT_NONE && !shadow &&
	    !((v->hv->cpu.rflags ^ flags) & X86_RFLAGS_IF) &&
	    !(v->hv->cpu.rflags & X86_RFLAGS_TF) && !v->debug.control &&
	    v->event.nmi == NMI_OPEN && !v->eoi_pending &&
	    v->vapic.addr.v == 0 && !READ_ONCE(v->requests) &&
	    !need_resched() && !signal_pending(current);
}

enum next
real_serve(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);
	enum next next;
	u8 buf[DECODE_MAX];
	unsigned n = 0;
	bool shadow;
	u64 flags;

	if (v->hv->inject.type != EVENT_NONE)
		return deliver(v);
	do {
		flags = c->rflags;
		shadow = v->hv->intr_shadow;
		next = emulate(v, buf, fetch(v, buf));
	} while (
	    next == NEXT_ENTER && ++n < BATCH && goes_on(v, flags, shadow));
	return next;
}
