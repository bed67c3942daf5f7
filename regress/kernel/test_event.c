/* SPDX-License-Identifier: ISC */
/*
 * Events of a guest CPU as rows: which one goes first, what two exceptions
 * make, what becomes of a delivery that was cut off, and the state that user
 * space reads and sets.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>

#include "event.h"
#include "x86.h"

#define CHECK(row, cond)                                        \
	do {                                                    \
		if (!(cond))                                    \
			fail_msg("%s: %s", (row)->name, #cond); \
	} while (0)

#define RIP 0x1000

static struct event
ev(enum event_type type, u8 vector)
{
	return (struct event){ .type = type, .vector = vector };
}

/* --- which one is next --------------------------------------------------- */

enum {
	AGAIN = 1 << 0, /* an interrupt, vector 0x41, was cut off */
	EXC = 1 << 1, /* #GP is pending */
	NMI = 1 << 2,
	MASKED = 1 << 3,
	EXTINT = 1 << 4, /* vector 0x20 */
	LAPIC = 1 << 5, /* vector 0x80 */
	IF = 1 << 6,
	SHADOW = 1 << 7,
};

struct choose_row {
	const char *name;
	unsigned in;
	enum event_type type;
	u8 vector;
	bool lapic; /* to be accepted */
	bool wants_intr, wants_iret; /* afterwards */
};

static const struct choose_row choose_rows[] = {
	{ "nothing", IF, EVENT_NONE, 0, false, false, false },
	{ "cut off before all", AGAIN | EXC | NMI | EXTINT | LAPIC | IF,
	    EVENT_INTR, 0x41, false, true, false },
	{ "cut off in spite of IF and shadow", AGAIN | SHADOW, EVENT_INTR, 0x41,
	    false, false, false },
	{ "exception before NMI", EXC | NMI | EXTINT | IF, EVENT_EXCEPTION,
	    X86_GP, false, true, false },
	{ "exception under a shadow", EXC | SHADOW, EVENT_EXCEPTION, X86_GP,
	    false, false, false },
	{ "NMI before interrupts", NMI | EXTINT | LAPIC | IF, EVENT_NMI, 2,
	    false, true, true },
	{ "NMI without IF", NMI, EVENT_NMI, 2, false, false, true },
	{ "NMI under a shadow", NMI | SHADOW | IF, EVENT_NONE, 0, false, false,
	    false },
	{ "masked NMI", NMI | MASKED | IF, EVENT_NONE, 0, false, false, true },
	{ "interrupt beside a masked NMI", NMI | MASKED | LAPIC | IF,
	    EVENT_INTR, 0x80, true, false, true },
	{ "8259 before LAPIC", EXTINT | LAPIC | IF, EVENT_INTR, 0x20, false,
	    true, false },
	{ "LAPIC", LAPIC | IF, EVENT_INTR, 0x80, true, false, false },
	{ "interrupt without IF", LAPIC, EVENT_NONE, 0, false, true, false },
	{ "interrupt under a shadow", EXTINT | IF | SHADOW, EVENT_NONE, 0,
	    false, true, false },
};

static void
set_up(struct event_state *s, struct event_env *env, unsigned in)
{
	event_reset(s);
	*env = (struct event_env){ .rip = RIP,
		.iflag = (in & IF) != 0,
		.shadow = (in & SHADOW) != 0,
		.lapic = (in & LAPIC) ? 0x80 : -1 };
	if (in & AGAIN)
		s->again = ev(EVENT_INTR, 0x41);
	if (in & EXC)
		s->exception = ev(EVENT_EXCEPTION, X86_GP);
	s->nmi_pending = (in & NMI) != 0;
	s->nmi = (in & MASKED) ? NMI_MASKED : NMI_OPEN;
	if (in & EXTINT)
		s->extint = 0x20;
}

static void
test_choose(void **state)
{
	const struct choose_row *r;
	struct event_state s, before;
	struct event_env env;
	struct event e;
	size_t i;
	bool lapic;

	for (i = 0; i < sizeof(choose_rows) / sizeof(*choose_rows); i++) {
		r = &choose_rows[i];
		set_up(&s, &env, r->in);
		before = s;
		lapic = event_choose(&s, &env, &e);
		CHECK(r, e.type == r->type);
		CHECK(r, e.type == EVENT_NONE || e.vector == r->vector);
		CHECK(r, lapic == r->lapic);
		if (lapic)
			env.lapic = -1;
		CHECK(r, event_wants_intr(&s, &env) == r->wants_intr);
		CHECK(r, event_wants_iret(&s) == r->wants_iret);

		/* The entry does not happen: the same is chosen again. */
		event_undo(&s);
		CHECK(r, event_wakes(&s, &env) || e.type == EVENT_NONE);
		event_choose(&s, &env, &e);
		CHECK(r, e.type == r->type);

		/* It happens: the event is gone, the others are as before. */
		event_exit(&s, &(struct event){ .type = EVENT_NONE }, RIP + 1);
		CHECK(r, s.again.type == EVENT_NONE);
		CHECK(r,
		    s.exception.type ==
			(e.type == EVENT_EXCEPTION ? EVENT_NONE
						   : before.exception.type));
		CHECK(r,
		    s.nmi_pending ==
			(before.nmi_pending && e.type != EVENT_NMI));
	}
}

struct wake_row {
	const char *name;
	unsigned in;
	bool wakes, open;
};

static const struct wake_row wake_rows[] = {
	{ "nothing", IF, false, true },
	{ "no IF", 0, false, false },
	{ "NMI", NMI, true, false },
	{ "masked NMI", NMI | MASKED, false, false },
	{ "interrupt", LAPIC | IF, true, true },
	{ "interrupt, no IF", LAPIC, false, false },
	{ "8259", EXTINT | IF, true, false },
	{ "exception", EXC | IF, true, false },
	{ "cut off", AGAIN | IF, true, false },
	{ "shadow", IF | SHADOW, false, false },
};

static void
test_wake(void **state)
{
	const struct wake_row *r;
	struct event_state s;
	struct event_env env;
	size_t i;

	for (i = 0; i < sizeof(wake_rows) / sizeof(*wake_rows); i++) {
		r = &wake_rows[i];
		set_up(&s, &env, r->in);
		CHECK(r, event_wakes(&s, &env) == r->wakes);
		CHECK(r, event_intr_open(&s, &env) == r->open);
	}
}

/* The driver's 8259, which is acknowledged only for what is injected at once. */
static const struct {
	const char *name;
	unsigned in;
	bool next, wakes;
} pic_rows[] = {
	{ "open", IF, true, true },
	{ "beside the LAPIC", LAPIC | IF, true, true },
	{ "without IF", 0, false, false },
	{ "under a shadow", IF | SHADOW, false, true },
	{ "behind one that was cut off", AGAIN | IF, false, true },
	{ "behind an exception", EXC | IF, false, true },
	{ "behind an NMI", NMI | IF, false, true },
	{ "beside a masked NMI", NMI | MASKED | IF, true, true },
	{ "behind one that is acknowledged", EXTINT | IF, false, true },
};

static void
test_pic(void **state)
{
	struct event_state s;
	struct event_env env;
	size_t i;

	for (i = 0; i < sizeof(pic_rows) / sizeof(*pic_rows); i++) {
		set_up(&s, &env, pic_rows[i].in);
		env.pic = true;
		CHECK(&pic_rows[i],
		    event_intr_next(&s, &env) == pic_rows[i].next);
		CHECK(&pic_rows[i], event_wakes(&s, &env) == pic_rows[i].wakes);
		CHECK(&pic_rows[i], event_wants_intr(&s, &env));
	}
}

/* --- two exceptions ------------------------------------------------------ */

enum outcome { SERIAL, DOUBLE, SHUTDOWN };

/* One letter per vector: b benign, c contributory, p page fault, d #DF. */
static const char classes[] = "cbbbbbbbdbccccpbbbbbbcbbbbbbbbbb";

/* A row per first class, a column per second (SDM "Double Fault Exception",
 * conditions for generating one). */
static const struct {
	char first, second;
	enum outcome outcome;
} pair_rows[] = {
	{ 'b', 'b', SERIAL },
	{ 'b', 'c', SERIAL },
	{ 'b', 'p', SERIAL },
	{ 'c', 'b', SERIAL },
	{ 'c', 'c', DOUBLE },
	{ 'c', 'p', SERIAL },
	{ 'p', 'b', SERIAL },
	{ 'p', 'c', DOUBLE },
	{ 'p', 'p', DOUBLE },
	{ 'd', 'b', SERIAL },
	{ 'd', 'c', SHUTDOWN },
	{ 'd', 'p', SHUTDOWN },
};

static enum outcome
expected(u8 first, u8 second)
{
	size_t i;

	for (i = 0; i < sizeof(pair_rows) / sizeof(*pair_rows); i++) {
		if (pair_rows[i].first == classes[first] &&
		    pair_rows[i].second == classes[second])
			return pair_rows[i].outcome;
	}
	fail();
	return SERIAL;
}

static void
raise_pair(u8 first, u8 second, bool cut)
{
	struct event one = ev(EVENT_EXCEPTION, first);
	struct event_state s;

	event_reset(&s);
	if (cut)
		event_exit(&s, &one, RIP);
	else
		event_raise_payload(&s, &one);
	event_raise(&s, second, true, 0x18);
	assert_int_equal(s.again.type, EVENT_NONE);
	switch (expected(first, second)) {
	case SERIAL:
		assert_int_equal(s.exception.vector, second);
		assert_int_equal(s.exception.error, 0x18);
		assert_false(s.triple);
		break;
	case DOUBLE:
		assert_int_equal(s.exception.vector, X86_DF);
		assert_true(s.exception.has_error);
		assert_int_equal(s.exception.error, 0);
		assert_false(s.triple);
		break;
	case SHUTDOWN:
		assert_int_equal(s.exception.type, EVENT_NONE);
		assert_true(s.triple);
		break;
	}
}

static void
test_pairs(void **state)
{
	u8 first, second;

	for (first = 0; first < 32; first++) {
		for (second = 0; second < 32; second++) {
			/* INT3 and INTO begin again by themselves. */
			bool soft = first == X86_BP || first == X86_OF;

			if (classes[second] == 'd' || first == X86_NMI)
				continue;
			raise_pair(first, second, !soft);
			raise_pair(first, second, false);
		}
	}
}

/* An exception in the delivery of an interrupt or an NMI is benign after it,
 * and the interrupt is not delivered again. */
static void
test_exception_in_interrupt(void **state)
{
	static const enum event_type types[] = { EVENT_INTR, EVENT_NMI };
	struct event_env env = { .rip = RIP, .lapic = -1 };
	struct event_state s;
	struct event e;
	size_t i;

	for (i = 0; i < 2; i++) {
		event_reset(&s);
		e = ev(types[i], 0x41);
		event_exit(&s, &e, RIP);
		event_raise(&s, X86_NP, true, 0x20b);
		event_choose(&s, &env, &e);
		assert_int_equal(e.vector, X86_NP);
		assert_int_equal(e.error, 0x20b);
		event_choose(&s, &env, &e);
		assert_int_equal(e.type, EVENT_NONE);
	}
}

/* --- a delivery that was cut off ----------------------------------------- */

struct cut_row {
	const char *name;
	struct event injected, cut;
	u64 rip; /* at the exit; RIP at the entry */
	bool again;
};

#define NONE                       \
	{                          \
		.type = EVENT_NONE \
	}
#define E(t, v)                                \
	{                                      \
		.type = EVENT_##t, .vector = v \
	}

static const struct cut_row cut_rows[] = {
	{ "nothing", NONE, NONE, RIP, false },
	{ "delivered", E(INTR, 0x30), NONE, RIP + 9, false },
	{ "interrupt", E(INTR, 0x30), E(INTR, 0x30), RIP, true },
	{ "NMI", E(NMI, 2), E(NMI, 2), RIP, true },
	{ "exception", E(EXCEPTION, 13), E(EXCEPTION, 13), RIP, true },
	{ "the guest's exception", NONE, E(EXCEPTION, 14), RIP + 4, true },
	{ "the guest's INT n", NONE, E(SOFT, 0x80), RIP + 4, false },
	{ "the guest's INT3", NONE, E(EXCEPTION, 3), RIP, false },
	{ "the guest's INTO", NONE, E(SOFT, 4), RIP, false },
	{ "our INT n", E(SOFT, 0x80), E(SOFT, 0x80), RIP, true },
	{ "our #BP", E(EXCEPTION, 3), E(EXCEPTION, 3), RIP, true },
	{ "our #BP went, the handler's INT3 did not", E(EXCEPTION, 3),
	    E(EXCEPTION, 3), RIP + 0x100, false },
	{ "our interrupt went, INT n did not", E(INTR, 0x80), E(SOFT, 0x80),
	    RIP, false },
};

static void
test_cut(void **state)
{
	struct event_env env = { .rip = RIP, .lapic = -1 };
	const struct cut_row *r;
	struct event_state s;
	struct event e;
	size_t i;

	for (i = 0; i < sizeof(cut_rows) / sizeof(*cut_rows); i++) {
		r = &cut_rows[i];
		event_reset(&s);
		s.again = r->injected;
		event_choose(&s, &env, &e);
		CHECK(r, e.type == r->injected.type);
		event_exit(&s, &r->cut, r->rip);
		event_choose(&s, &env, &e);
		CHECK(r, (e.type != EVENT_NONE) == r->again);
		CHECK(r, !r->again || e.type == r->cut.type);
		CHECK(r, !r->again || e.vector == r->cut.vector);
	}
}

/* --- NMIs ---------------------------------------------------------------- */

static enum event_type
turn(struct event_state *s, u64 rip, u64 exit_rip)
{
	struct event_env env = { .rip = rip, .lapic = -1 };
	struct event e, none = { .type = EVENT_NONE };

	event_choose(s, &env, &e);
	event_exit(s, &none, exit_rip);
	return e.type;
}

static void
test_nmi_mask(void **state)
{
	struct event_state s;

	event_reset(&s);
	event_iret(&s, 0x500); /* a common IRET */
	assert_int_equal(s.nmi, NMI_OPEN);
	s.nmi_pending = true;
	assert_int_equal(turn(&s, RIP, 0x2000), EVENT_NMI);
	s.nmi_pending = true;
	assert_int_equal(turn(&s, 0x2000, 0x2010), EVENT_NONE);
	assert_true(event_wants_iret(&s));
	assert_false(event_wants_step(&s));
	event_iret(&s, 0x2010);
	assert_false(event_wants_iret(&s));
	assert_true(event_wants_step(&s));
	/* A host interrupt comes before the IRET is executed. */
	assert_int_equal(turn(&s, 0x2010, 0x2010), EVENT_NONE);
	assert_int_equal(s.nmi, NMI_IRET);
	/* It completes; the NMI that waited is delivered. */
	assert_int_equal(turn(&s, 0x2010, RIP), EVENT_NONE);
	assert_int_equal(s.nmi, NMI_OPEN);
	assert_int_equal(turn(&s, RIP, 0x2000), EVENT_NMI);
	assert_int_equal(s.nmi, NMI_MASKED);
	/* A processor that tells of the IRET afterwards: no step. */
	s.nmi_pending = true;
	event_iret_done(&s);
	assert_false(event_wants_step(&s));
	assert_int_equal(turn(&s, RIP, 0x2000), EVENT_NMI);
}

/* Cut off, an NMI goes again although NMIs are masked meanwhile. */
static void
test_nmi_cut(void **state)
{
	struct event_env env = { .rip = RIP, .lapic = -1 };
	struct event_state s;
	struct event e;

	event_reset(&s);
	s.nmi_pending = true;
	event_choose(&s, &env, &e);
	s.nmi_pending = true; /* another one meanwhile */
	event_exit(&s, &e, RIP);
	event_choose(&s, &env, &e);
	assert_int_equal(e.type, EVENT_NMI);
	event_exit(&s, &(struct event){ .type = EVENT_NONE }, 0x2000);
	assert_true(s.nmi_pending);
	assert_int_equal(s.nmi, NMI_MASKED);
}

/* --- what a delivery leaves in registers --------------------------------- */

static void
nothing_needed(struct gcpu *c, unsigned groups)
{
	c->valid |= groups;
}

static void
test_apply(void **state)
{
	static const struct gcpu_ops ops = { nothing_needed };
	struct gcpu c = { .ops = &ops,
		.cr2 = 1,
		.dr6 = 0xffff0ff1,
		.dr7 = 0x2400,
		.rflags = X86_RFLAGS_ONE };
	struct event e = { .type = EVENT_EXCEPTION,
		.vector = X86_PF,
		.has_payload = true,
		.payload = 0xdead0000 };

	event_apply(&c, &e);
	assert_int_equal(c.cr2, 0xdead0000);
	assert_true(c.dirty & CPU_CRS);
	assert_true(c.rflags & X86_RFLAGS_RF);

	c.rflags = X86_RFLAGS_ONE;
	e = (struct event){ .type = EVENT_EXCEPTION,
		.vector = X86_DB,
		.has_payload = true,
		.payload = X86_DR6_BS };
	event_apply(&c, &e);
	assert_int_equal(c.dr6, 0xffff4ff0);
	assert_int_equal(c.dr7, 0x400);
	assert_false(c.rflags & X86_RFLAGS_RF);

	c.cr2 = 7;
	e = ev(EVENT_EXCEPTION, X86_PF); /* cut off: CR2 is there already */
	event_apply(&c, &e);
	assert_int_equal(c.cr2, 7);
	e = ev(EVENT_INTR, X86_PF);
	c.rflags = X86_RFLAGS_ONE;
	event_apply(&c, &e);
	assert_false(c.rflags & X86_RFLAGS_RF);
}

/* The payload is applied once, also when the delivery is repeated. */
static void
test_payload_once(void **state)
{
	struct event_env env = { .rip = RIP, .lapic = -1 };
	struct event pf = { .type = EVENT_EXCEPTION,
		.vector = X86_PF,
		.has_error = true,
		.error = 2,
		.has_payload = true,
		.payload = 0x4000 };
	struct event_state s;
	struct event e;

	event_reset(&s);
	event_raise_payload(&s, &pf);
	event_choose(&s, &env, &e);
	assert_true(e.has_payload);
	event_undo(&s);
	event_choose(&s, &env, &e);
	assert_int_equal(e.vector, X86_PF);
	assert_int_equal(e.error, 2);
	assert_false(e.has_payload);
}

/* --- the state that user space sees -------------------------------------- */

struct set_row {
	const char *name;
	struct event_view view;
	int result;
};

static const struct set_row set_rows[] = {
	{ "nothing", { .triple = false }, 0 },
	{ "injected #GP",
	    { .exception = { .injected = true,
		  .nr = 13,
		  .has_error = true,
		  .error = 8 } },
	    0 },
	{ "pending #PF",
	    { .exception = { .pending = true,
		  .nr = 14,
		  .has_error = true,
		  .has_payload = true,
		  .payload = 0x1234 } },
	    0 },
	{ "vector 32", { .exception = { .injected = true, .nr = 32 } },
	    -EINVAL },
	{ "vector 2", { .exception = { .pending = true, .nr = 2 } }, -EINVAL },
	{ "interrupt", { .interrupt = { .injected = true, .nr = 0xfe } }, 0 },
	{ "INT n",
	    { .interrupt = { .injected = true, .soft = true, .nr = 0x80 } },
	    0 },
	{ "NMI in delivery", { .nmi = { .injected = true, .masked = true } },
	    0 },
	{ "NMIs masked, one waits",
	    { .nmi = { .pending = true, .masked = true } }, 0 },
	{ "shutdown", { .triple = true }, 0 },
	{ "two deliveries",
	    { .interrupt = { .injected = true, .nr = 32 },
		.nmi = { .injected = true } },
	    -EINVAL },
	{ "exception and interrupt",
	    { .exception = { .injected = true, .nr = 6 },
		.interrupt = { .injected = true, .nr = 32 } },
	    -EINVAL },
};

static void
test_set_get(void **state)
{
	const struct set_row *r;
	struct event_state s;
	struct event_view v;
	size_t i;

	for (i = 0; i < sizeof(set_rows) / sizeof(*set_rows); i++) {
		r = &set_rows[i];
		event_reset(&s);
		s.nmi_pending = true;
		CHECK(r, event_set(&s, true, &r->view) == r->result);
		event_get(&s, true, &v);
		if (r->result != 0) {
			CHECK(r, v.nmi.pending);
			continue;
		}
		CHECK(r, v.exception.injected == r->view.exception.injected);
		CHECK(r, v.exception.pending == r->view.exception.pending);
		CHECK(r, v.exception.nr == r->view.exception.nr);
		CHECK(r, v.exception.has_error == r->view.exception.has_error);
		CHECK(r, v.exception.error == r->view.exception.error);
		CHECK(r, v.exception.payload == r->view.exception.payload);
		CHECK(r, v.interrupt.injected == r->view.interrupt.injected);
		CHECK(r, v.interrupt.soft == r->view.interrupt.soft);
		CHECK(r, v.interrupt.nr == r->view.interrupt.nr);
		CHECK(r, v.nmi.injected == r->view.nmi.injected);
		CHECK(r, v.nmi.pending == r->view.nmi.pending);
		CHECK(r, v.nmi.masked == r->view.nmi.masked);
		CHECK(r, v.triple == r->view.triple);
	}
}

/* User space that knows no payloads: pending looks injected, the payload is
 * in CR2, and what was read can be set again. */
static void
test_old_user_space(void **state)
{
	static const struct gcpu_ops ops = { nothing_needed };
	struct gcpu c = { .ops = &ops, .rflags = X86_RFLAGS_ONE };
	struct event pf = { .type = EVENT_EXCEPTION,
		.vector = X86_PF,
		.has_error = true,
		.error = 6,
		.has_payload = true,
		.payload = 0x5000 };
	struct event_env env = { .rip = RIP, .lapic = -1 };
	struct event_state s;
	struct event_view v;
	struct event e;

	event_reset(&s);
	event_raise_payload(&s, &pf);
	event_settle(&s, &c);
	event_get(&s, false, &v);
	assert_int_equal(c.cr2, 0x5000);
	assert_int_equal(c.rflags, X86_RFLAGS_ONE);
	assert_true(v.exception.injected);
	assert_false(v.exception.pending);
	assert_false(v.exception.has_payload);
	event_reset(&s);
	assert_int_equal(event_set(&s, false, &v), 0);
	event_choose(&s, &env, &e);
	assert_int_equal(e.vector, X86_PF);
	assert_int_equal(e.error, 6);
	assert_false(e.has_payload);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_wake),
		cmocka_unit_test(test_pic),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_exception_in_interrupt),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_nmi_mask),
		cmocka_unit_test(test_nmi_cut),
		cmocka_unit_test(test_apply),
		cmocka_unit_test(test_payload_once),
		cmocka_unit_test(test_set_get),
		cmocka_unit_test(test_old_user_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
