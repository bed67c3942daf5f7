/* SPDX-License-Identifier: ISC */
/*
 * The local APIC: scenarios as rows of steps, and random accesses that must
 * break no invariant.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>

#include "lapic.h"
#include "lapic_regs.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BSP	 0xfee00900ULL
#define BSP_X2	 0xfee00d00ULL
#define BSP_OFF	 0xfee00100ULL
#define TSC_RATE 2 /* ticks per ns */

/* --- the world: one LAPIC under test, and a clock ------------------------ */

struct world {
	struct lapic l;
	u64 now, deadline;
	unsigned ticks; /* the host's timer fired */
	int eoi; /* vector of the last broadcast, or -1 */
	unsigned kicks;
	unsigned nsent; /* messages */
	unsigned tpr_reads, tpr_writes;
};

static void
ipi(void *arg, const struct lapic_msg *m)
{
	((struct world *)arg)->nsent++;
}

static void
eoi(void *arg, u8 vector)
{
	((struct world *)arg)->eoi = vector;
}

static void
set_timer(void *arg, u64 deadline)
{
	((struct world *)arg)->deadline = deadline;
}

static u64
now(void *arg)
{
	return ((struct world *)arg)->now;
}

static u64
guest_tsc(void *arg)
{
	return ((struct world *)arg)->now * TSC_RATE;
}

static u64
tsc_to_ns(void *arg, u64 tsc)
{
	return tsc / TSC_RATE;
}

static void
kick(void *arg)
{
	((struct world *)arg)->kicks++;
}

static void
tpr(void *arg, bool write)
{
	struct world *w = arg;

	if (write)
		w->tpr_writes++;
	else
		w->tpr_reads++;
}

static const struct lapic_ops ops = { ipi, eoi, set_timer, now, guest_tsc,
	tsc_to_ns, kick, tpr };

static void
set_up(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->now = 1000;
	w->eoi = -1;
	lapic_init(&w->l, 5, true, &ops, w);
}

/* Time passes; late: the host does not get around to the timer. */
static void
pass(struct world *w, u64 ns, bool late)
{
	u64 end = w->now + ns;

	while (!late && w->deadline != 0 && w->deadline <= end) {
		w->now = w->deadline;
		w->deadline = 0;
		w->ticks++;
		lapic_timer_fired(&w->l);
	}
	w->now = end;
}

/* --- scenarios ----------------------------------------------------------- */

enum op {
	END,
	R, /* xAPIC register a reads b */
	W, /* b is written to xAPIC register a */
	XR, /* the same by MSR; a is the xAPIC offset */
	XW,
	XR_GP, /* ... faults */
	XW_GP,
	POST, /* an edge-triggered vector a comes */
	LEVEL, /* a level-triggered one */
	IS, /* vector b is the next to be delivered, or NONE */
	TAKE, /* so it is, and is accepted */
	EOI, /* written in the mode's way; b is broadcast, or NONE */
	CR8, /* is set to b */
	CR8_IS,
	BASE, /* IA32_APIC_BASE is set to b by the guest */
	BASE_GP,
	BASE_IS,
	RESTORE, /* IA32_APIC_BASE by user space */
	RESTORE_BAD,
	PASS, /* b ns */
	LATE, /* b ns, the timer is not served */
	ARMED, /* the timer will fire in b ns; 0: it is off */
	TICKS, /* it has fired b times */
	DEADLINE, /* IA32_TSC_DEADLINE is set b TSC ticks ahead */
	DEADLINE_IS, /* it reads 0, or not */
	SENT, /* b messages so far */
	KICKS,
	PIC, /* the 8259 is heard, or not */
	LINT1, /* is an NMI, or not */
	INIT,
	RESET,
	SAVE, /* state to a page, to a new LAPIC, and back from there */
};

#define NONE ((u64)-1)

struct step {
	enum op op;
	u32 a;
	u64 b;
};

struct scenario {
	const char *name;
	struct step step[40];
};

static u64
reg_msr(u32 off)
{
	return 0x800 + (off >> 4);
}

static bool
do_eoi(struct world *w, u64 want)
{
	w->eoi = -1;
	if (w->l.base_msr & LAPIC_BASE_X2)
		assert_int_equal(lapic_msr_write(&w->l, 0x80b, 0), 0);
	else
		lapic_mmio_write(&w->l, APIC_EOI, 0);
	return w->eoi == (int)want;
}

static bool
save(struct world *w)
{
	u8 page[1024], again[1024];
	u64 base = w->l.base_msr, tsc_deadline = w->l.tsc_deadline;
	u64 deadline = w->deadline;

	lapic_get_page(&w->l, page, true);
	w->deadline = 77;
	lapic_init(&w->l, 5, true, &ops, w);
	if (lapic_base_restore(&w->l, base) != 0 ||
	    lapic_set_page(&w->l, page, true) != 0)
		return false;
	lapic_deadline_write(&w->l, tsc_deadline);
	lapic_get_page(&w->l, again, true);
	return memcmp(page, again, sizeof(page)) == 0 &&
	    w->deadline == deadline;
}

/* Accesses to registers; true: as expected. */
static bool
access_step(struct world *w, const struct step *s)
{
	u64 val = 0;
	u32 low = 0;

	switch (s->op) {
	case R:
		lapic_mmio_read(&w->l, s->a, &low);
		return low == s->b;
	case W:
		lapic_mmio_write(&w->l, s->a, (u32)s->b);
		return true;
	case XR:
		return lapic_msr_read(&w->l, (u32)reg_msr(s->a), &val) == 0 &&
		    val == s->b;
	case XW:
		return lapic_msr_write(&w->l, (u32)reg_msr(s->a), s->b) == 0;
	case XR_GP:
		return lapic_msr_read(&w->l, (u32)reg_msr(s->a), &val) != 0;
	case XW_GP:
		return lapic_msr_write(&w->l, (u32)reg_msr(s->a), s->b) != 0;
	case BASE:
		return lapic_base_write(&w->l, s->b, true) == 0 &&
		    w->l.base_msr == s->b;
	case BASE_GP:
		return lapic_base_write(&w->l, s->b, true) != 0;
	case BASE_IS:
		return w->l.base_msr == s->b;
	case RESTORE:
		return lapic_base_restore(&w->l, s->b) == 0;
	case RESTORE_BAD:
		return lapic_base_restore(&w->l, s->b) != 0;
	default:
		return false;
	}
}

static bool
timer_step(struct world *w, const struct step *s)
{
	u64 in;

	switch (s->op) {
	case PASS:
	case LATE:
		pass(w, s->b, s->op == LATE);
		return true;
	case ARMED:
		in = w->deadline == 0 ? 0 : w->deadline - w->now;
		return in == s->b;
	case TICKS:
		return w->ticks == s->b;
	case DEADLINE:
		lapic_deadline_write(
		    &w->l, s->b == 0 ? 0 : guest_tsc(w) + s->b);
		return true;
	case DEADLINE_IS:
		return (lapic_deadline_read(&w->l) != 0) == (s->b != 0);
	case SAVE:
		return save(w);
	default:
		return access_step(w, s);
	}
}

static bool
run_step(struct world *w, const struct step *s)
{
	int next = lapic_highest(&w->l);

	switch (s->op) {
	case POST:
	case LEVEL:
		lapic_post(&w->l, (u8)s->a, s->op == LEVEL);
		return true;
	case IS:
		return next == (int)s->b;
	case TAKE:
		if (next != (int)s->b)
			return false;
		lapic_accept(&w->l, (u8)next);
		return true;
	case EOI:
		return do_eoi(w, s->b);
	case CR8:
		lapic_set_cr8(&w->l, s->b);
		return true;
	case CR8_IS:
		return lapic_get_cr8(&w->l) == s->b;
	case SENT:
		return w->nsent == s->b;
	case KICKS:
		return w->kicks == s->b;
	case PIC:
		return lapic_accepts_pic(&w->l) == (s->b != 0);
	case LINT1:
		return lapic_lint1_nmi(&w->l) == (s->b != 0);
	case INIT:
	case RESET:
		lapic_reset(&w->l, s->op == INIT);
		return true;
	default:
		return timer_step(w, s);
	}
}

static void
run(const struct scenario *s, size_t n)
{
	struct world w;
	unsigned i;

	for (; n > 0; n--, s++) {
		set_up(&w);
		for (i = 0; i < COUNT(s->step) && s->step[i].op != END; i++) {
			if (!run_step(&w, &s->step[i]))
				fail_msg("%s: step %u", s->name, i);
		}
	}
}

#define ON                         \
	{                          \
		W, APIC_SVR, 0x1ff \
	}
#define XON                         \
	{ BASE, 0, BSP_X2 },        \
	{                           \
		XW, APIC_SVR, 0x1ff \
	}

/* clang-format off */
static const struct scenario register_rows[] = {
	{ "after reset", {
		{ R, APIC_ID, 5 << 24 }, { R, APIC_VERSION, 0x50014 },
		{ R, APIC_TPR, 0 }, { R, APIC_PPR, 0 }, { R, APIC_LDR, 0 },
		{ R, APIC_DFR, 0xffffffff }, { R, APIC_SVR, 0xff },
		{ R, APIC_ESR, 0 }, { R, APIC_ICR_LOW, 0 },
		{ R, APIC_ICR_HIGH, 0 }, { R, APIC_LVT_TIMER, 0x10000 },
		{ R, APIC_LVT_THERMAL, 0x10000 }, { R, APIC_LVT_PMC, 0x10000 },
		{ R, APIC_LVT_LINT0, 0x700 }, { R, APIC_LVT_LINT1, 0x10000 },
		{ R, APIC_LVT_ERROR, 0x10000 }, { R, APIC_TMICT, 0 },
		{ R, APIC_TMCCT, 0 }, { R, APIC_TDCR, 0 }, { BASE_IS, 0, BSP },
		{ PIC, 0, 1 }, { LINT1, 0, 0 } } },
	{ "what can be written", { ON,
		{ W, APIC_ID, 0xffffffff }, { R, APIC_ID, 0xff000000 },
		{ W, APIC_LDR, 0xffffffff }, { R, APIC_LDR, 0xff000000 },
		{ W, APIC_DFR, 0 }, { R, APIC_DFR, 0x0fffffff },
		{ W, APIC_TPR, 0xffffffff }, { R, APIC_TPR, 0xff },
		{ W, APIC_SVR, 0xffffffff }, { R, APIC_SVR, 0x3ff },
		{ W, APIC_LVT_TIMER, ~0U }, { R, APIC_LVT_TIMER, 0x700ff },
		{ W, APIC_LVT_THERMAL, ~0U },
		{ R, APIC_LVT_THERMAL, 0x107ff },
		{ W, APIC_LVT_PMC, ~0U }, { R, APIC_LVT_PMC, 0x107ff },
		{ W, APIC_LVT_LINT0, ~0U }, { R, APIC_LVT_LINT0, 0x1a7ff },
		{ W, APIC_LVT_LINT1, ~0U }, { R, APIC_LVT_LINT1, 0x1a7ff },
		{ W, APIC_LVT_ERROR, ~0U }, { R, APIC_LVT_ERROR, 0x100ff },
		{ W, APIC_TDCR, ~0U }, { R, APIC_TDCR, 0xb },
		{ W, APIC_ICR_HIGH, ~0U }, { R, APIC_ICR_HIGH, 0xff000000 },
		{ W, APIC_ICR_LOW, 0x1041 }, { R, APIC_ICR_LOW, 0x41 },
		{ W, APIC_ESR, 0 }, { R, APIC_ESR, 0 } } },
	{ "what is not there", { ON,
		{ R, 0x40, 0 }, { W, APIC_ESR, 0 }, { R, APIC_ESR, 0x80 },
		{ W, 0x1000 - 16, 1 }, { W, APIC_ESR, 0 },
		{ R, APIC_ESR, 0x80 }, { W, APIC_SELF_IPI, 0x40 },
		{ IS, 0, NONE }, { W, APIC_ESR, 0 }, { R, APIC_ESR, 0x80 },
		{ R, APIC_EOI, 0 }, { R, APIC_APR, 0 }, { R, APIC_RRR, 0 },
		{ W, APIC_ESR, 0 }, { R, APIC_ESR, 0 } } },
	{ "read-only registers", { ON,
		{ W, APIC_VERSION, 1 }, { R, APIC_VERSION, 0x50014 },
		{ W, APIC_PPR, 0xff }, { R, APIC_PPR, 0 },
		{ W, APIC_IRR + 0x10, ~0U }, { IS, 0, NONE },
		{ W, APIC_ISR + 0x10, ~0U }, { R, APIC_PPR, 0 },
		{ W, APIC_TMCCT, 5 }, { R, APIC_TMCCT, 0 },
		{ W, APIC_ESR, 0 }, { R, APIC_ESR, 0x80 } } },
	{ "MSRs only in x2APIC mode", {
		{ XR_GP, APIC_ID, 0 }, { XW_GP, APIC_TPR, 0 },
		{ BASE, 0, BSP_X2 }, { XR, APIC_ID, 5 },
		{ XW, APIC_TPR, 0 } } },
	{ "x2APIC: what is not there", { XON,
		{ XR_GP, APIC_DFR, 0 }, { XW_GP, APIC_DFR, 0 },
		{ XR_GP, APIC_ICR_HIGH, 0 }, { XW_GP, APIC_ICR_HIGH, 0 },
		{ XR_GP, APIC_EOI, 0 }, { XR_GP, APIC_SELF_IPI, 0 },
		{ XR_GP, APIC_APR, 0 }, { XR_GP, 0x40, 0 },
		{ XR_GP, 0xff0, 0 }, { XW_GP, 0x40, 0 },
		{ XW_GP, APIC_ID, 5 }, { XW_GP, APIC_ID, 0 },
		{ XW_GP, APIC_VERSION, 0 }, { XW_GP, APIC_LDR, 0 },
		{ XW_GP, APIC_PPR, 0 }, { XW_GP, APIC_ISR, 0 },
		{ XW_GP, APIC_TMR, 0 }, { XW_GP, APIC_IRR, 0 },
		{ XW_GP, APIC_TMCCT, 0 }, { XW, APIC_ESR, 0 },
		{ XR, APIC_ESR, 0 } } },
	{ "x2APIC: reserved bits", { XON,
		{ XW_GP, APIC_TPR, 0x100 }, { XW_GP, APIC_EOI, 1 },
		{ XW_GP, APIC_ESR, 1 }, { XW_GP, APIC_SVR, 0x1000 },
		{ XW_GP, APIC_TDCR, 4 }, { XW_GP, APIC_SELF_IPI, 0x100 },
		{ XW_GP, APIC_TMICT, 1ULL << 32 },
		{ XW_GP, APIC_LVT_TIMER, 0x100 },
		{ XW_GP, APIC_LVT_TIMER, 0x60000 },
		{ XW_GP, APIC_LVT_ERROR, 0x100 },
		{ XW_GP, APIC_LVT_LINT0, 0x20000 },
		{ XW_GP, APIC_LVT_PMC, 1ULL << 40 },
		{ XW_GP, APIC_ICR_LOW, 1 << 13 },
		{ XW_GP, APIC_ICR_LOW, 1 << 16 },
		{ XW_GP, APIC_ICR_LOW, 1 << 20 },
		{ XW, APIC_LVT_LINT0, 0x1f7ff },
		{ XR, APIC_LVT_LINT0, 0x1a7ff },
		{ XW, APIC_ICR_LOW, 0x1000004041 },
		{ XR, APIC_ICR_LOW, 0x1000004041 }, { SENT, 0, 1 } } },
	{ "x2APIC: logical id", { XON, { XR, APIC_LDR, 0x20 } } },
};

static const struct scenario priority_rows[] = {
	{ "one interrupt", { ON,
		{ POST, 0x41, 0 }, { R, APIC_IRR + 0x20, 2 },
		{ TAKE, 0, 0x41 }, { R, APIC_IRR + 0x20, 0 },
		{ R, APIC_ISR + 0x20, 2 }, { R, APIC_PPR, 0x40 },
		{ EOI, 0, NONE }, { R, APIC_ISR + 0x20, 0 },
		{ R, APIC_PPR, 0 } } },
	{ "nested by class", { ON,
		{ POST, 0x41, 0 }, { TAKE, 0, 0x41 }, { POST, 0x4f, 0 },
		{ IS, 0, NONE }, { POST, 0x50, 0 }, { TAKE, 0, 0x50 },
		{ R, APIC_PPR, 0x50 }, { EOI, 0, NONE }, { IS, 0, NONE },
		{ EOI, 0, NONE }, { TAKE, 0, 0x4f }, { EOI, 0, NONE },
		{ EOI, 0, NONE }, { R, APIC_PPR, 0 } } },
	{ "the highest first", { ON,
		{ POST, 0x31, 0 }, { POST, 0xff, 0 }, { POST, 0x80, 0 },
		{ TAKE, 0, 0xff }, { EOI, 0, NONE }, { TAKE, 0, 0x80 },
		{ EOI, 0, NONE }, { TAKE, 0, 0x31 } } },
	{ "the same vector again", { ON,
		{ POST, 0x60, 0 }, { TAKE, 0, 0x60 }, { POST, 0x60, 0 },
		{ IS, 0, NONE }, { EOI, 0, NONE }, { TAKE, 0, 0x60 } } },
	{ "TPR", { ON,
		{ POST, 0x41, 0 }, { W, APIC_TPR, 0x40 }, { IS, 0, NONE },
		{ R, APIC_PPR, 0x40 }, { CR8_IS, 0, 4 },
		{ W, APIC_TPR, 0x3f }, { IS, 0, 0x41 },
		{ R, APIC_PPR, 0x3f }, { CR8, 0, 4 }, { R, APIC_TPR, 0x40 },
		{ IS, 0, NONE }, { CR8, 0, 15 }, { POST, 0xff, 0 },
		{ IS, 0, NONE }, { CR8, 0, 14 }, { TAKE, 0, 0xff },
		{ R, APIC_PPR, 0xf0 }, { CR8_IS, 0, 14 } } },
	{ "level-triggered: EOI is broadcast", { ON,
		{ LEVEL, 0x71, 0 }, { R, APIC_TMR + 0x30, 0x20000 },
		{ TAKE, 0, 0x71 }, { EOI, 0, 0x71 }, { POST, 0x71, 0 },
		{ R, APIC_TMR + 0x30, 0 }, { TAKE, 0, 0x71 },
		{ EOI, 0, NONE } } },
	{ "EOI of the highest in service", { ON,
		{ LEVEL, 0x31, 0 }, { TAKE, 0, 0x31 }, { LEVEL, 0x91, 0 },
		{ TAKE, 0, 0x91 }, { EOI, 0, 0x91 }, { EOI, 0, 0x31 },
		{ EOI, 0, NONE } } },
	{ "x2APIC: level-triggered", { XON,
		{ LEVEL, 0x71, 0 }, { XR, APIC_TMR + 0x30, 0x20000 },
		{ TAKE, 0, 0x71 }, { XR, APIC_ISR + 0x30, 0x20000 },
		{ EOI, 0, 0x71 } } },
	{ "x2APIC: an IPI to itself", { XON,
		{ XW, APIC_SELF_IPI, 0x55 }, { KICKS, 0, 1 },
		{ XW, APIC_SELF_IPI, 0x55 }, { KICKS, 0, 1 },
		{ TAKE, 0, 0x55 }, { EOI, 0, NONE },
		{ XW, APIC_SELF_IPI, 0xf }, { IS, 0, NONE },
		{ XW, APIC_ESR, 0 }, { XR, APIC_ESR, 0x20 } } },
	{ "off by software", { ON,
		{ POST, 0x41, 0 }, { W, APIC_LVT_LINT1, 0x400 },
		{ LINT1, 0, 1 }, { W, APIC_SVR, 0xff },
		{ R, APIC_LVT_LINT1, 0x10400 }, { LINT1, 0, 0 },
		{ R, APIC_LVT_LINT0, 0x10700 }, { PIC, 0, 0 },
		{ W, APIC_LVT_ERROR, 0xfe }, { R, APIC_LVT_ERROR, 0x100fe },
		{ TAKE, 0, 0x41 }, { EOI, 0, NONE }, ON,
		{ R, APIC_LVT_ERROR, 0x100fe },
		{ W, APIC_LVT_ERROR, 0xfe }, { R, APIC_LVT_ERROR, 0xfe } } },
	{ "off by software, x2APIC", { { BASE, 0, BSP_X2 },
		{ XW, APIC_SELF_IPI, 0x55 }, { KICKS, 0, 0 },
		{ IS, 0, NONE } } },
	{ "off by hardware", { ON,
		{ POST, 0x41, 0 }, { W, APIC_LVT_LINT0, 0x10700 },
		{ PIC, 0, 0 }, { BASE, 0, BSP_OFF }, { PIC, 0, 1 },
		{ IS, 0, NONE } } },
	{ "LINT modes", { ON,
		{ W, APIC_LVT_LINT0, 0x700 }, { PIC, 0, 1 },
		{ W, APIC_LVT_LINT0, 0x8700 }, { PIC, 0, 1 },
		{ W, APIC_LVT_LINT0, 0x10700 }, { PIC, 0, 0 },
		{ W, APIC_LVT_LINT0, 0x30 }, { PIC, 0, 0 },
		{ W, APIC_LVT_LINT1, 0x400 }, { LINT1, 0, 1 },
		{ W, APIC_LVT_LINT1, 0x10400 }, { LINT1, 0, 0 },
		{ W, APIC_LVT_LINT1, 0x700 }, { LINT1, 0, 0 } } },
};

static const struct scenario error_rows[] = {
	{ "a write latches, the next one clears", { ON,
		{ W, APIC_ICR_LOW, 0xf }, { SENT, 0, 0 }, { R, APIC_ESR, 0 },
		{ W, APIC_ESR, 0 }, { R, APIC_ESR, 0x20 },
		{ R, APIC_ESR, 0x20 }, { W, APIC_ESR, 0 },
		{ R, APIC_ESR, 0 } } },
	{ "errors add up", { ON,
		{ W, APIC_ICR_LOW, 0x10f }, { POST, 3, 0 }, { R, 0x50, 0 },
		{ W, APIC_ESR, 0 }, { R, APIC_ESR, 0xe0 },
		{ IS, 0, NONE } } },
	{ "the error interrupt, once a kind", { ON,
		{ W, APIC_LVT_ERROR, 0xfe }, { POST, 3, 0 },
		{ TAKE, 0, 0xfe }, { EOI, 0, NONE }, { POST, 4, 0 },
		{ IS, 0, NONE }, { W, APIC_ICR_LOW, 0 }, { TAKE, 0, 0xfe },
		{ EOI, 0, NONE }, { W, APIC_ESR, 0 }, { POST, 3, 0 },
		{ IS, 0, 0xfe } } },
	{ "masked", { ON,
		{ W, APIC_LVT_ERROR, 0x100fe }, { POST, 3, 0 },
		{ IS, 0, NONE }, { W, APIC_LVT_ERROR, 0xfe },
		{ IS, 0, NONE } } },
	{ "an error interrupt of an illegal vector", { ON,
		{ W, APIC_LVT_ERROR, 5 }, { W, APIC_ICR_LOW, 1 },
		{ IS, 0, NONE }, { W, APIC_ESR, 0 }, { R, APIC_ESR, 0x60 } } },
	{ "NMI and INIT need no vector", { ON,
		{ W, APIC_ICR_LOW, 0x4400 }, { W, APIC_ICR_LOW, 0x4500 },
		{ W, APIC_ICR_LOW, 0x4605 }, { SENT, 0, 3 },
		{ W, APIC_ESR, 0 }, { R, APIC_ESR, 0 } } },
	{ "the timer with an illegal vector", { ON,
		{ W, APIC_TDCR, 0xb }, { W, APIC_LVT_TIMER, 3 },
		{ W, APIC_TMICT, 500 }, { PASS, 0, 500 }, { IS, 0, NONE },
		{ W, APIC_ESR, 0 }, { R, APIC_ESR, 0x40 } } },
};

#define ONESHOT	 { W, APIC_LVT_TIMER, 0xec }
#define PERIODIC { W, APIC_LVT_TIMER, 0x200ec }
#define BY_TSC	 { W, APIC_LVT_TIMER, 0x400ec }
#define BY_1	 { W, APIC_TDCR, 0xb }

static const struct scenario timer_rows[] = {
	{ "one-shot", { ON, BY_1, ONESHOT,
		{ W, APIC_TMICT, 1000 }, { ARMED, 0, 1000 },
		{ R, APIC_TMCCT, 1000 }, { PASS, 0, 400 },
		{ R, APIC_TMCCT, 600 }, { R, APIC_TMICT, 1000 },
		{ PASS, 0, 599 }, { IS, 0, NONE }, { R, APIC_TMCCT, 1 },
		{ PASS, 0, 1 }, { TAKE, 0, 0xec }, { R, APIC_TMCCT, 0 },
		{ EOI, 0, NONE }, { ARMED, 0, 0 }, { PASS, 0, 99999 },
		{ TICKS, 0, 1 }, { R, APIC_TMICT, 1000 } } },
	{ "a zero stops", { ON, BY_1, ONESHOT,
		{ W, APIC_TMICT, 1000 }, { W, APIC_TMICT, 0 },
		{ ARMED, 0, 0 }, { R, APIC_TMCCT, 0 }, { PASS, 0, 5000 },
		{ TICKS, 0, 0 } } },
	{ "a write begins again", { ON, BY_1, ONESHOT,
		{ W, APIC_TMICT, 1000 }, { PASS, 0, 900 },
		{ W, APIC_TMICT, 1000 }, { PASS, 0, 900 }, { TICKS, 0, 0 },
		{ ARMED, 0, 100 } } },
	{ "divide by 2 to 128", { ON, ONESHOT,
		{ W, APIC_TDCR, 0 }, { W, APIC_TMICT, 100 },
		{ ARMED, 0, 200 }, { W, APIC_TDCR, 1 }, { ARMED, 0, 400 },
		{ W, APIC_TDCR, 2 }, { ARMED, 0, 800 },
		{ W, APIC_TDCR, 3 }, { ARMED, 0, 1600 },
		{ W, APIC_TDCR, 8 }, { ARMED, 0, 3200 },
		{ W, APIC_TDCR, 9 }, { ARMED, 0, 6400 },
		{ W, APIC_TDCR, 10 }, { ARMED, 0, 12800 }, BY_1,
		{ ARMED, 0, 100 }, { R, APIC_TMCCT, 100 } } },
	{ "another rate goes on from the count", { ON, ONESHOT,
		{ W, APIC_TDCR, 0 }, { W, APIC_TMICT, 1000 },
		{ PASS, 0, 1000 }, { R, APIC_TMCCT, 500 }, BY_1,
		{ R, APIC_TMCCT, 500 }, { ARMED, 0, 500 } } },
	{ "periodic", { ON, BY_1, PERIODIC,
		{ W, APIC_TMICT, 1000000 }, { PASS, 0, 1000000 },
		{ TAKE, 0, 0xec }, { EOI, 0, NONE }, { ARMED, 0, 1000000 },
		{ PASS, 0, 250000 }, { R, APIC_TMCCT, 750000 },
		{ PASS, 0, 3750000 }, { TICKS, 0, 5 }, { TAKE, 0, 0xec } } },
	{ "periodic, served late: at its phase", { ON, BY_1, PERIODIC,
		{ W, APIC_TMICT, 1000000 }, { LATE, 0, 3400000 }, { R, APIC_TMCCT, 600000 },
		{ PASS, 0, 0 }, { R, APIC_TMCCT, 600000 } } },
	{ "periodic, too fast", { ON, BY_1, PERIODIC,
		{ W, APIC_TMICT, 10 }, { PASS, 0, 1000000 },
		{ TICKS, 0, 10 } } },
	{ "masked, it counts on", { ON, BY_1,
		{ W, APIC_LVT_TIMER, 0x300ec }, { W, APIC_TMICT, 1000000 },
		{ PASS, 0, 1500000 }, { TICKS, 0, 1 }, { IS, 0, NONE },
		{ R, APIC_TMCCT, 500000 }, PERIODIC, { PASS, 0, 500000 },
		{ TAKE, 0, 0xec } } },
	{ "off by software, no interrupt", { BY_1,
		{ W, APIC_TMICT, 1000 }, { PASS, 0, 1000 }, { TICKS, 0, 1 },
		{ IS, 0, NONE } } },
	{ "one-shot to periodic", { ON, BY_1, ONESHOT,
		{ W, APIC_TMICT, 1000000 }, { PASS, 0, 500000 }, PERIODIC,
		{ R, APIC_TMCCT, 500000 }, { PASS, 0, 500000 },
		{ TAKE, 0, 0xec }, { ARMED, 0, 1000000 } } },
	{ "periodic to one-shot", { ON, BY_1, PERIODIC,
		{ W, APIC_TMICT, 1000000 }, { PASS, 0, 1500000 }, ONESHOT,
		{ PASS, 0, 500000 }, { TICKS, 0, 2 }, { ARMED, 0, 0 } } },
	{ "TSC deadline", { ON, BY_TSC,
		{ W, APIC_TMICT, 1000 }, { R, APIC_TMICT, 0 },
		{ ARMED, 0, 0 }, { DEADLINE_IS, 0, 0 },
		{ DEADLINE, 0, 2000 }, { DEADLINE_IS, 0, 1 },
		{ ARMED, 0, 1000 }, { R, APIC_TMCCT, 0 },
		{ PASS, 0, 1000 }, { TAKE, 0, 0xec }, { DEADLINE_IS, 0, 0 },
		{ EOI, 0, NONE }, { DEADLINE, 0, 2000 }, { DEADLINE, 0, 0 },
		{ ARMED, 0, 0 }, { DEADLINE_IS, 0, 0 } } },
	{ "a deadline in the past", { ON, BY_TSC,
		{ DEADLINE, 0, NONE - 1000 }, { PASS, 0, 0 },
		{ TAKE, 0, 0xec } } },
	{ "no deadline in other modes", { ON, ONESHOT,
		{ DEADLINE, 0, 2000 }, { ARMED, 0, 0 },
		{ DEADLINE_IS, 0, 0 } } },
	{ "to and from deadlines: disarmed", { ON, BY_1, PERIODIC,
		{ W, APIC_TMICT, 1000000 }, BY_TSC, { ARMED, 0, 0 },
		{ DEADLINE, 0, 5000 }, PERIODIC, { ARMED, 0, 0 },
		{ DEADLINE_IS, 0, 0 }, BY_TSC, { DEADLINE_IS, 0, 0 },
		{ R, APIC_TMICT, 0 } } },
	{ "a masked deadline passes", { ON, { W, APIC_LVT_TIMER, 0x500ec },
		{ DEADLINE, 0, 2000 }, { PASS, 0, 1000 }, { TICKS, 0, 1 },
		{ IS, 0, NONE }, { DEADLINE_IS, 0, 0 } } },
	{ "the longest", { ON, ONESHOT,
		{ W, APIC_TDCR, 10 }, { W, APIC_TMICT, 0xffffffff },
		{ R, APIC_TMCCT, 0xffffffff },
		{ ARMED, 0, 128 * 0xffffffffULL },
		{ PASS, 0, 128 * 0xfffffffeULL }, { R, APIC_TMCCT, 1 } } },
};

static const struct scenario base_rows[] = {
	{ "xAPIC to x2APIC to off to xAPIC", { ON,
		{ W, APIC_TPR, 0x20 }, { BASE, 0, BSP_X2 },
		{ XR, APIC_TPR, 0x20 }, { XR, APIC_SVR, 0x1ff },
		{ BASE_GP, 0, BSP }, { BASE, 0, BSP_OFF },
		{ XR_GP, APIC_TPR, 0 }, { BASE_GP, 0, BSP_X2 },
		{ BASE, 0, BSP }, { R, APIC_SVR, 0xff },
		{ R, APIC_TPR, 0 } } },
	{ "x2APIC without APIC", {
		{ BASE_GP, 0, 0xfee00500 }, { BASE_IS, 0, BSP },
		{ RESTORE_BAD, 0, 0xfee00500 } } },
	{ "reserved bits", {
		{ BASE_GP, 0, BSP | 1 }, { BASE_GP, 0, BSP | 0x200 },
		{ BASE_GP, 0, BSP | 1ULL << 52 },
		{ RESTORE_BAD, 0, BSP | 1 }, { BASE_IS, 0, BSP } } },
	{ "user space goes any way", {
		{ RESTORE, 0, BSP_OFF }, { RESTORE, 0, BSP_X2 },
		{ XR, APIC_LDR, 0x20 }, { RESTORE, 0, BSP },
		{ R, APIC_ID, 5 << 24 } } },
	{ "INIT keeps id and mode", { ON,
		{ W, APIC_ID, 7 << 24 }, { W, APIC_TPR, 0x50 },
		{ W, APIC_LDR, 1 << 24 }, BY_1, ONESHOT,
		{ W, APIC_TMICT, 1000 }, { POST, 0x41, 0 }, { INIT, 0, 0 },
		{ R, APIC_ID, 7 << 24 }, { R, APIC_TPR, 0 },
		{ R, APIC_LDR, 0 }, { R, APIC_SVR, 0xff },
		{ R, APIC_LVT_TIMER, 0x10000 }, { ARMED, 0, 0 },
		{ R, APIC_IRR + 0x20, 0 }, { BASE_IS, 0, BSP } } },
	{ "INIT in x2APIC mode", { XON,
		{ XW, APIC_TPR, 0x50 }, { INIT, 0, 0 },
		{ BASE_IS, 0, BSP_X2 }, { XR, APIC_TPR, 0 },
		{ XR, APIC_LDR, 0x20 } } },
	{ "reset", { XON,
		{ RESET, 0, 0 }, { BASE_IS, 0, BSP },
		{ R, APIC_ID, 5 << 24 }, { R, APIC_LDR, 0 } } },
	{ "reset restores the id", { ON,
		{ W, APIC_ID, 7 << 24 }, { RESET, 0, 0 },
		{ R, APIC_ID, 5 << 24 } } },
};

static const struct scenario save_rows[] = {
	{ "reset state", { { SAVE, 0, 0 } } },
	{ "registers", { ON,
		{ W, APIC_ID, 9 << 24 }, { W, APIC_LDR, 4 << 24 },
		{ W, APIC_DFR, 0x0fffffff }, { W, APIC_TPR, 0x25 },
		{ W, APIC_LVT_LINT0, 0x8700 }, { W, APIC_LVT_LINT1, 0x400 },
		{ W, APIC_LVT_ERROR, 0xfe }, { W, APIC_ICR_HIGH, 3 << 24 },
		{ W, APIC_ICR_LOW, 0x40c1 }, { POST, 1, 0 },
		{ W, APIC_ESR, 0 }, { SAVE, 0, 0 }, { R, APIC_ESR, 0x40 },
		{ R, APIC_TPR, 0x25 }, { SENT, 0, 1 } } },
	{ "interrupts pending and in service", { ON,
		{ LEVEL, 0x31, 0 }, { TAKE, 0, 0x31 }, { POST, 0x91, 0 },
		{ POST, 0x22, 0 }, { SAVE, 0, 0 }, { TAKE, 0, 0x91 },
		{ EOI, 0, NONE }, { EOI, 0, 0x31 }, { TAKE, 0, 0x22 } } },
	{ "one-shot under way", { ON, BY_1, ONESHOT,
		{ W, APIC_TMICT, 1000 }, { PASS, 0, 700 }, { SAVE, 0, 0 },
		{ ARMED, 0, 300 }, { PASS, 0, 300 }, { IS, 0, 0xec } } },
	{ "one-shot that has fired", { ON, BY_1, ONESHOT,
		{ W, APIC_TMICT, 1000 }, { PASS, 0, 2000 },
		{ TAKE, 0, 0xec }, { EOI, 0, NONE }, { SAVE, 0, 0 },
		{ ARMED, 0, 0 }, { R, APIC_TMICT, 1000 } } },
	{ "periodic under way", { ON, BY_1, PERIODIC,
		{ W, APIC_TMICT, 1000000 }, { PASS, 0, 1300000 },
		{ TAKE, 0, 0xec }, { EOI, 0, NONE }, { SAVE, 0, 0 },
		{ ARMED, 0, 700000 }, { PASS, 0, 1700000 },
		{ TICKS, 0, 3 } } },
	{ "by the TSC", { ON, BY_TSC,
		{ DEADLINE, 0, 2000 }, { PASS, 0, 400 }, { SAVE, 0, 0 },
		{ ARMED, 0, 600 }, { PASS, 0, 600 }, { IS, 0, 0xec } } },
	{ "x2APIC", { XON,
		{ XW, APIC_TPR, 0x10 }, { LEVEL, 0x81, 0 },
		{ XW, APIC_ICR_LOW, 0x700004041 }, { SAVE, 0, 0 },
		{ XR, APIC_ICR_LOW, 0x700004041 }, { XR, APIC_LDR, 0x20 },
		{ TAKE, 0, 0x81 }, { EOI, 0, 0x81 } } },
};
/* clang-format on */

static void
test_registers(void **state)
{
	run(register_rows, COUNT(register_rows));
}

static void
test_priorities(void **state)
{
	run(priority_rows, COUNT(priority_rows));
}

static void
test_errors(void **state)
{
	run(error_rows, COUNT(error_rows));
}

static void
test_timer(void **state)
{
	run(timer_rows, COUNT(timer_rows));
}

static void
test_base(void **state)
{
	run(base_rows, COUNT(base_rows));
}

static void
test_save(void **state)
{
	run(save_rows, COUNT(save_rows));
}

/* --- the page of user space ---------------------------------------------- */

static void
put(u8 *page, u32 off, u32 val)
{
	memcpy(page + off, &val, sizeof(val));
}

/* What no LAPIC can hold is not taken from a page. */
static void
test_hostile_page(void **state)
{
	struct world w;
	u8 page[1024];
	u32 val;

	set_up(&w);
	memset(page, 0xff, sizeof(page));
	assert_int_equal(lapic_set_page(&w.l, page, false), 0);
	assert_int_equal(w.l.irr[0], 0xffff0000);
	assert_int_equal(w.l.isr[0], 0xffff0000);
	lapic_mmio_read(&w.l, APIC_LVT_ERROR, &val);
	assert_int_equal(val, 0x100ff);
	lapic_mmio_read(&w.l, APIC_ICR_LOW, &val);
	assert_int_equal(val & ICR_BUSY, 0);
	assert_int_equal(w.nsent, 0);
	/* The id of an x2APIC is not changed. */
	set_up(&w);
	assert_int_equal(lapic_base_write(&w.l, BSP_X2, true), 0);
	lapic_get_page(&w.l, page, false);
	assert_int_equal(lapic_set_page(&w.l, page, false), 0);
	assert_int_equal(lapic_set_page(&w.l, page, true), -EINVAL);
	put(page, APIC_ID, 6);
	assert_int_equal(lapic_set_page(&w.l, page, true), -EINVAL);
	put(page, APIC_ID, 5);
	assert_int_equal(lapic_set_page(&w.l, page, true), 0);
	assert_false(lapic_base_write(&w.l, BSP_OFF, false));
	assert_true(lapic_base_write(&w.l, BSP, false) == 0);
	assert_true(lapic_base_write(&w.l, BSP_X2, false) != 0);
}

static void
test_page_address(void **state)
{
	struct world w;

	set_up(&w);
	assert_true(lapic_has_page(&w.l, (struct gpa){ 0xfee00ff0 }));
	assert_false(lapic_has_page(&w.l, (struct gpa){ 0xfee01000 }));
	assert_false(lapic_has_page(&w.l, (struct gpa){ 0x1fee00000 }));
	lapic_base_write(&w.l, BSP_X2, true);
	assert_false(lapic_has_page(&w.l, (struct gpa){ 0xfee00000 }));
	lapic_base_write(&w.l, BSP_OFF, true);
	assert_false(lapic_has_page(&w.l, (struct gpa){ 0xfee00000 }));
}

/* An armed deadline follows the TSC. */
static void
test_tsc_changed(void **state)
{
	struct world w;

	set_up(&w);
	lapic_mmio_write(&w.l, APIC_SVR, 0x1ff);
	lapic_tsc_changed(&w.l);
	assert_int_equal(w.deadline, 0);
	lapic_mmio_write(&w.l, APIC_LVT_TIMER, 0x400ec);
	lapic_deadline_write(&w.l, 4000);
	assert_int_equal(w.deadline, 2000);
	w.deadline = 1;
	lapic_tsc_changed(&w.l);
	assert_int_equal(w.deadline, 2000);
}

/* --- random accesses ----------------------------------------------------- */

static u64 seed = 88172645463325252ULL;

static u64
rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void
random_access(struct world *w)
{
	static const u64 bases[] = { BSP, BSP_X2, BSP_OFF, 0, ~0ULL };
	u32 off = (u32)(rnd() % 0x40) << 4, val;
	u64 wide;
	int vec;

	switch (rnd() % 10) {
	case 0:
		lapic_base_write(&w->l, bases[rnd() % COUNT(bases)], true);
		break;
	case 1:
		pass(w, rnd() % 3000000, rnd() % 4 == 0);
		break;
	case 2:
		lapic_post(&w->l, (u8)rnd(), rnd() & 1);
		break;
	case 3:
	case 4:
		vec = lapic_highest(&w->l);
		if (vec >= 0)
			lapic_accept(&w->l, (u8)vec);
		break;
	case 5:
		lapic_deadline_write(&w->l, rnd() >> (rnd() % 64));
		break;
	case 6:
		lapic_mmio_read(&w->l, off, &val);
		lapic_msr_read(&w->l, 0x800 + (off >> 4), &wide);
		break;
	default:
		wide = rnd() >> (rnd() % 64);
		if (w->l.base_msr & LAPIC_BASE_X2)
			lapic_msr_write(&w->l, 0x800 + (off >> 4), wide);
		else
			lapic_mmio_write(&w->l, off, (u32)wide);
		break;
	}
}

/* What a guest's copy of the TPR shows, and who is told of accesses. */
static void
test_shared_tpr(void **state)
{
	struct world w;
	u32 val;

	set_up(&w);
	lapic_mmio_write(&w.l, APIC_SVR, 0x1ff);
	assert_int_equal(lapic_summary(&w.l), 0);
	lapic_mmio_write(&w.l, APIC_TPR, 0x123);
	assert_int_equal(lapic_summary(&w.l), 0x23);
	lapic_post(&w.l, 0x45, false);
	lapic_post(&w.l, 0x67, false);
	assert_int_equal(lapic_summary(&w.l), 0x67000023);
	lapic_accept(&w.l, 0x67);
	assert_int_equal(lapic_summary(&w.l), 0x45006023);
	lapic_set_tpr(&w.l, 0xff);
	lapic_mmio_read(&w.l, APIC_TPR, &val);
	assert_int_equal(val, 0xff);
	lapic_set_cr8(&w.l, 3);
	assert_int_equal(lapic_get_cr8(&w.l), 3);
	assert_int_equal(w.tpr_writes, 1);
	assert_int_equal(w.tpr_reads, 1);
}

/* When a guest's EOI concerns nobody but the one in service. */
static void
test_private_eoi(void **state)
{
	struct world w;

	set_up(&w);
	lapic_mmio_write(&w.l, APIC_SVR, 0x1ff);
	assert_false(lapic_eoi_is_private(&w.l));
	lapic_post(&w.l, 0x45, false);
	assert_false(lapic_eoi_is_private(&w.l));
	lapic_accept(&w.l, 0x45);
	assert_true(lapic_eoi_is_private(&w.l));
	lapic_post(&w.l, 0x31, false); /* waits for it */
	assert_false(lapic_eoi_is_private(&w.l));
	lapic_eoi(&w.l);
	lapic_accept(&w.l, 0x31);
	assert_true(lapic_eoi_is_private(&w.l));
	lapic_post(&w.l, 0x67, true);
	lapic_accept(&w.l, 0x67); /* level-triggered, on top of it */
	assert_false(lapic_eoi_is_private(&w.l));
	lapic_eoi(&w.l);
	assert_true(lapic_eoi_is_private(&w.l));
	lapic_eoi(&w.l);
	assert_false(lapic_eoi_is_private(&w.l));
}

static void
test_random(void **state)
{
	struct world w;
	unsigned i;

	set_up(&w);
	for (i = 0; i < 300000; i++) {
		random_access(&w);
		assert_int_equal(w.l.irr[0] & 0xffff, 0);
		assert_int_equal(w.l.isr[0] & 0xffff, 0);
		assert_true(lapic_priority(&w.l) <= 0xff);
		assert_true(lapic_timer_current(&w.l) <= w.l.tmict);
		if (!(w.l.svr & SVR_ENABLE) && w.l.tpr != 0)
			assert_true(w.l.lvt[LVT_TIMER] & LVT_MASKED);
		if (i % 64 == 0)
			save(&w);
	}
	assert_true(w.ticks > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_timer),
		cmocka_unit_test(test_base),
		cmocka_unit_test(test_save),
		cmocka_unit_test(test_hostile_page),
		cmocka_unit_test(test_page_address),
		cmocka_unit_test(test_tsc_changed),
		cmocka_unit_test(test_shared_tpr),
		cmocka_unit_test(test_private_eoi),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
