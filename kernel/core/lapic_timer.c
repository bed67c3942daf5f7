// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The timer of the local APIC: one-shot, periodic, TSC-deadline.  APM vol. 2
 * "APIC Timer Operation"; SDM vol. 3 "APIC Timer" and "TSC-Deadline Mode".
 *
 * Invariants
 *  1. At most one host deadline is armed per LAPIC.
 *  2. A periodic timer that was served late goes on at its own phase and
 *     does not make up for ticks that nobody could have seen.
 *  3. A period shorter than PERIOD_MIN_NS is served at PERIOD_MIN_NS, so
 *     that a guest cannot keep the host busy with timer interrupts.
 */
#include "lapic.h"
#include "lapic_regs.h"
#include "x86.h"

#define PERIOD_MIN_NS 100000ULL

static u32
mode(const struct lapic *l)
{
	return l->lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

/* Divide configuration: bits 0, 1 and 3 select 2, 4 .. 128, 1. */
static u64
divisor(const struct lapic *l)
{
	u32 v = (l->tdcr & 3) | ((l->tdcr >> 1) & 4);

	return CORE_BIT((v + 1) & 7);
}

static u64
period_ns(const struct lapic *l)
{
	return (u64)l->tmict * divisor(l) * (1000000000ULL / LAPIC_HZ);
}

static u64
effective_period(const struct lapic *l)
{
	u64 p = period_ns(l);

	if (mode(l) == LVT_PERIODIC && p < PERIOD_MIN_NS)
		p = PERIOD_MIN_NS;
	return p;
}

static void
arm(struct lapic *l)
{
	u64 deadline = l->timer_start + effective_period(l);

	l->ops->timer(l->arg, deadline != 0 ? deadline : 1);
}

/* 0 says that the timer is off. */
static void
begin_at(struct lapic *l, u64 ns)
{
	l->timer_start = ns != 0 ? ns : 1;
}

void
lapic_timer_stop(struct lapic *l)
{
	l->timer_start = 0;
	if (l->ops != NULL)
		l->ops->timer(l->arg, 0);
}

void
lapic_timer_start(struct lapic *l, u32 count)
{
	if (mode(l) == LVT_TSCDEADLINE)
		return; /* the initial count is ignored in this mode */
	l->tmict = count;
	if (count == 0) {
		lapic_timer_stop(l);
		return;
	}
	begin_at(l, l->ops->now(l->arg));
	arm(l);
}

void
lapic_timer_divide(struct lapic *l, u32 tdcr)
{
	u64 now, left, old;

	if (tdcr == l->tdcr)
		return;
	if (l->timer_start == 0 || mode(l) == LVT_TSCDEADLINE) {
		l->tdcr = tdcr;
		return;
	}
	/* The count goes on from where it is, at the new rate. */
	old = divisor(l);
	now = l->ops->now(l->arg);
	left = l->timer_start + period_ns(l) - now;
	left = (s64)left > 0 ? left / old : 0;
	l->tdcr = tdcr;
	begin_at(l, now + left * divisor(l) - period_ns(l));
	arm(l);
}

void
lapic_timer_mode_changed(struct lapic *l, u32 old_lvt)
{
	u32 old = old_lvt & LVT_TIMER_MODE;

	/* SDM: a change to or from TSC-deadline mode disarms the timer. */
	if (old == LVT_TSCDEADLINE || mode(l) == LVT_TSCDEADLINE) {
		l->tsc_deadline = 0;
		l->tmict = 0;
		lapic_timer_stop(l);
	}
}

u32
lapic_timer_current(const struct lapic *l)
{
	u64 now, gone, period = period_ns(l);

	if (mode(l) == LVT_TSCDEADLINE || l->timer_start == 0 || period == 0)
		return 0;
	now = l->ops->now(l->arg);
	gone = (s64)(now - l->timer_start) > 0 ? now - l->timer_start : 0;
	if (gone >= period) {
		if (mode(l) != LVT_PERIODIC)
			return 0;
		gone %= period;
	}
	return (u32)((period - gone + divisor(l) - 1) / divisor(l));
}

u64
lapic_deadline_read(const struct lapic *l)
{
	return mode(l) == LVT_TSCDEADLINE ? l->tsc_deadline : 0;
}

void
lapic_deadline_write(struct lapic *l, u64 tsc)
{
	u64 ns;

	if (mode(l) != LVT_TSCDEADLINE)
		return;
	l->tsc_deadline = tsc;
	if (tsc == 0) {
		lapic_timer_stop(l);
		return;
	}
	ns = l->ops->tsc_to_ns(l->arg, tsc);
	l->ops->timer(l->arg, ns != 0 ? ns : 1);
}

void
lapic_tsc_changed(struct lapic *l)
{
	if (l->tsc_deadline != 0)
		lapic_deadline_write(l, l->tsc_deadline);
}

void
lapic_timer_restore(struct lapic *l, u32 count, u32 left)
{
	lapic_timer_stop(l);
	l->tmict = 0;
	if (mode(l) == LVT_TSCDEADLINE) {
		lapic_tsc_changed(l);
		return;
	}
	l->tmict = count;
	if (count == 0 || (left == 0 && mode(l) != LVT_PERIODIC))
		return; /* off, or it has fired */
	if (left == 0 || left > count)
		left = count;
	l->timer_start = l->ops->now(l->arg) - (u64)(count - left) * divisor(l);
	if (l->timer_start == 0)
		l->timer_start = 1;
	arm(l);
}

static void
next_period(struct lapic *l)
{
	u64 now = l->ops->now(l->arg), p = effective_period(l);

	l->timer_start += p;
	if ((s64)(now - l->timer_start) > 0 && now - l->timer_start >= p)
		l->timer_start += (now - l->timer_start) / p * p;
	arm(l);
}

void
lapic_timer_fired(struct lapic *l)
{
	u32 lvt = l->lvt[LVT_TIMER];

	switch (mode(l)) {
	case LVT_PERIODIC:
		if (l->timer_start == 0)
			return;
		next_period(l);
		break;
	case LVT_TSCDEADLINE:
		if (l->tsc_deadline == 0)
			return;
		l->tsc_deadline = 0;
		break;
	default:
		if (l->timer_start == 0)
			return;
		l->timer_start = 0;
		break;
	}
	if (!(lvt & LVT_MASKED) && lapic_enabled(l))
		lapic_post(l, lvt & 0xff, false);
}
