// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Events of a guest CPU.
 *
 * Invariants
 *  1. At most one event is injected per entry, in the order: what was cut
 *     off, exceptions, NMI, interrupts.  An exception was raised by an
 *     instruction that began, so nothing may come before it.
 *  2. An interrupt is taken from its source when it is injected and never
 *     given back: it is delivered, or `again' holds it.
 *  3. A software interrupt of the guest's own that was cut off is forgotten,
 *     as RIP still names the instruction that raises it again.  One that was
 *     injected by us is kept.
 *  4. `again' and `exception' are not both of an exception.
 */
#include "event.h"
#include "x86.h"

void
event_reset(struct event_state *s)
{
	*s = (struct event_state){ .extint = -1 };
}

enum class { BENIGN, CONTRIBUTORY, PAGE_FAULT };

static enum class class_of(u8 vec) {
	switch (vec){
		case X86_DE : case X86_TS : case X86_NP : case X86_SS : case
		X86_GP : case X86_CP : return CONTRIBUTORY;
		case X86_PF : return PAGE_FAULT;
		default : return BENIGN;
	}
}

/* Faults, whose saved RFLAGS have RF set (APM "RFLAGS", resume flag). */
static bool
sets_rf(u8 vec)
{
	switch (vec) {
	case X86_DB:
	case X86_NMI:
	case X86_BP:
	case X86_OF:
	case X86_DF:
	case X86_MC:
		return false;
	default:
		return true;
	}
}

static bool
is_double(u8 first, u8 second)
{
	enum class a = class_of(first), b = class_of(second);

	return (a == CONTRIBUTORY && b == CONTRIBUTORY) ||
	    (a == PAGE_FAULT && b != BENIGN);
}

void
event_raise_payload(struct event_state *s, const struct event *e)
{
	const struct event *first =
	    s->again.type == EVENT_EXCEPTION ? &s->again : &s->exception;
	bool some = first->type == EVENT_EXCEPTION;
	u8 vec = first->vector;

	/*
	 * Where both can be handled serially, the second is delivered and the
	 * first is raised again by its instruction.  An external interrupt is
	 * lost with the delivery that failed, as it is on a real CPU.
	 */
	s->again.type = EVENT_NONE;
	if (some && vec == X86_DF && class_of(e->vector) != BENIGN) {
		s->exception.type = EVENT_NONE;
		s->triple = true;
		return;
	}
	if (some && is_double(vec, e->vector))
		s->exception = (struct event){ .type = EVENT_EXCEPTION,
			.vector = X86_DF,
			.has_error = true };
	else
		s->exception = *e;
}

void
event_raise(struct event_state *s, u8 vector, bool has_error, u32 error)
{
	struct event e = { .type = EVENT_EXCEPTION,
		.vector = vector,
		.has_error = has_error,
		.error = error };

	event_raise_payload(s, &e);
}

static bool
nmi_ready(const struct event_state *s, const struct event_env *env)
{
	return s->nmi_pending && s->nmi == NMI_OPEN && !env->shadow;
}

static int
pending_vector(const struct event_state *s, const struct event_env *env)
{
	return s->extint >= 0 ? s->extint : env->lapic;
}

static bool
pending(const struct event_state *s, const struct event_env *env)
{
	return env->pic || pending_vector(s, env) >= 0;
}

/* What is next; *lapic: it is the LAPIC's. */
static struct event
next(struct event_state *s, const struct event_env *env, bool *lapic)
{
	struct event e = { .type = EVENT_NONE };
	int vec = pending_vector(s, env);

	*lapic = false;
	if (s->again.type != EVENT_NONE) {
		e = s->again;
		s->again.type = EVENT_NONE;
	} else if (s->exception.type != EVENT_NONE) {
		e = s->exception;
		s->exception.type = EVENT_NONE;
	} else if (nmi_ready(s, env)) {
		s->nmi_pending = false;
		s->nmi = NMI_MASKED;
		e = (struct event){ .type = EVENT_NMI, .vector = X86_NMI };
	} else if (vec >= 0 && env->iflag && !env->shadow) {
		*lapic = s->extint < 0;
		s->extint = -1;
		e = (struct event){ .type = EVENT_INTR, .vector = (u8)vec };
	}
	return e;
}

bool
event_choose(
    struct event_state *s, const struct event_env *env, struct event *e)
{
	bool lapic;

	*e = next(s, env, &lapic);
	s->injected = *e;
	s->injected.has_payload = false; /* applied once */
	s->injected_rip = env->rip;
	return lapic;
}

void
event_apply(struct gcpu *c, const struct event *e)
{
	if (e->type != EVENT_EXCEPTION)
		return;
	if (sets_rf(e->vector))
		c->rflags |= X86_RFLAGS_RF;
	if (!e->has_payload)
		return;
	if (e->vector == X86_PF) {
		c->cr2 = e->payload;
		cpu_dirty(c, CPU_CRS);
	} else if (e->vector == X86_DB) {
		/* "Debug-Status Register (DR6)": the CPU clears no cause but
		 * those of breakpoints; a #DB ends general detection. */
		c->dr6 = (c->dr6 & ~X86_DR6_B) | e->payload;
		c->dr7 &= ~X86_DR7_GD;
		cpu_dirty(c, CPU_DRS);
	}
}

void
event_undo(struct event_state *s)
{
	if (s->injected.type != EVENT_NONE)
		s->again = s->injected;
	s->injected.type = EVENT_NONE;
}

static bool
is_software(const struct event *e)
{
	return e->type == EVENT_SOFT ||
	    (e->type == EVENT_EXCEPTION &&
		(e->vector == X86_BP || e->vector == X86_OF));
}

/* Ours when the guest got nowhere since it was injected. */
static bool
is_injected(const struct event_state *s, const struct event *cut, u64 rip)
{
	return s->injected.type != EVENT_NONE && s->injected_rip == rip &&
	    s->injected.vector == cut->vector && is_software(&s->injected);
}

void
event_exit(struct event_state *s, const struct event *cut, u64 rip)
{
	s->again.type = EVENT_NONE;
	if (cut->type != EVENT_NONE && !is_software(cut))
		s->again = *cut;
	else if (cut->type != EVENT_NONE && is_injected(s, cut, rip))
		s->again = s->injected;
	s->injected.type = EVENT_NONE;
	if (s->nmi == NMI_IRET && rip != s->iret_rip)
		s->nmi = NMI_OPEN;
}

void
event_iret(struct event_state *s, u64 rip)
{
	if (s->nmi == NMI_OPEN)
		return;
	s->nmi = NMI_IRET;
	s->iret_rip = rip;
}

void
event_iret_done(struct event_state *s)
{
	s->nmi = NMI_OPEN;
}

bool
event_wants_intr(const struct event_state *s, const struct event_env *env)
{
	return pending(s, env);
}

bool
event_wants_iret(const struct event_state *s)
{
	return s->nmi == NMI_MASKED;
}

bool
event_intr_open(const struct event_state *s, const struct event_env *env)
{
	return env->iflag && !env->shadow && s->extint < 0 &&
	    s->again.type == EVENT_NONE && s->exception.type == EVENT_NONE;
}

bool
event_intr_next(const struct event_state *s, const struct event_env *env)
{
	return event_intr_open(s, env) && !nmi_ready(s, env);
}

bool
event_wakes(const struct event_state *s, const struct event_env *env)
{
	return s->again.type != EVENT_NONE || s->exception.type != EVENT_NONE ||
	    (s->nmi_pending && s->nmi == NMI_OPEN) ||
	    (env->iflag && pending(s, env));
}

void
event_settle(struct event_state *s, struct gcpu *c)
{
	u64 rflags = c->rflags;

	event_apply(c, &s->exception);
	c->rflags = rflags; /* RF belongs to the delivery itself */
	s->exception.has_payload = false;
}

static void
exception_view(const struct event *e, bool payloads, struct event_view *v)
{
	v->exception.nr = e->vector;
	v->exception.has_error = e->has_error;
	v->exception.error = e->has_error ? e->error : 0;
	v->exception.has_payload = payloads && e->has_payload;
	v->exception.payload = v->exception.has_payload ? e->payload : 0;
}

void
event_get(const struct event_state *s, bool payloads, struct event_view *v)
{
	*v = (struct event_view){ .triple = s->triple };
	switch (s->again.type) {
	case EVENT_NONE:
		break;
	case EVENT_INTR:
	case EVENT_SOFT:
		v->interrupt.injected = true;
		v->interrupt.soft = s->again.type == EVENT_SOFT;
		v->interrupt.nr = s->again.vector;
		break;
	case EVENT_NMI:
		v->nmi.injected = true;
		break;
	case EVENT_EXCEPTION:
		v->exception.injected = true;
		exception_view(&s->again, payloads, v);
		break;
	}
	if (s->exception.type == EVENT_EXCEPTION) {
		v->exception.pending = payloads;
		v->exception.injected = !payloads;
		exception_view(&s->exception, payloads, v);
	}
	v->nmi.pending = s->nmi_pending;
	v->nmi.masked = s->nmi != NMI_OPEN;
}

static struct event
exception_of(const struct event_view *v, bool pending)
{
	return (struct event){ .type = EVENT_EXCEPTION,
		.vector = v->exception.nr,
		.has_error = v->exception.has_error,
		.error = v->exception.error,
		.has_payload = pending && v->exception.has_payload,
		.payload = v->exception.payload };
}

int
event_set(struct event_state *s, bool payloads, const struct event_view *v)
{
	bool pending = payloads && v->exception.pending;
	bool exception = pending || v->exception.injected;

	if (exception && (v->exception.nr > 31 || v->exception.nr == X86_NMI))
		return -EINVAL;
	/* One delivery can be under way, and an exception ends it. */
	if (exception + v->interrupt.injected + v->nmi.injected > 1)
		return -EINVAL;
	s->again.type = s->exception.type = s->injected.type = EVENT_NONE;
	if (v->interrupt.injected)
		s->again = (struct event){
			.type = v->interrupt.soft ? EVENT_SOFT : EVENT_INTR,
			.vector = v->interrupt.nr,
		};
	else if (v->nmi.injected)
		s->again =
		    (struct event){ .type = EVENT_NMI, .vector = X86_NMI };
	else if (pending)
		s->exception = exception_of(v, true);
	else if (exception)
		s->again = exception_of(v, false);
	s->nmi_pending = v->nmi.pending;
	s->nmi = v->nmi.masked || v->nmi.injected ? NMI_MASKED : NMI_OPEN;
	s->triple = v->triple;
	return 0;
}
