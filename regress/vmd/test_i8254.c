/* SPDX-License-Identifier: ISC */

/*
 * Rows against the Intel 82C54 data sheet, and a twin that counts clock by
 * clock as the section "Mode Definitions" tells it.
 */
#include <string.h>
#include "fakeenv.h"
#include "i8254.h"

static uint64_t
ns_of(uint64_t tick)
{
	return tick / I8254_HZ * SEC +
	    (tick % I8254_HZ * SEC + I8254_HZ - 1) / I8254_HZ;
}

enum op { END, W, R, CLK, OUT0, OUT2, RISES, DUE };

struct step {
	enum op op;
	unsigned a, b;
};

struct row {
	const char *name;
	struct step step[40];
};

#define ST0                   \
	{                     \
		W, 0x43, 0xe2 \
	} /* read back status of counter 0 */
#define CNT0                  \
	{                     \
		W, 0x43, 0x00 \
	} /* latch counter 0 */

static const struct row rows[] = {
	{ "nothing happens before it is programmed",
	    { { OUT0, 0, 0 }, { CLK, 100000, 0 }, { RISES, 0, 0 },
		{ R, 0x43, 0xff } } },
	{ "Mode 0: OUT rises N + 1 clocks after the count",
	    { { W, 0x43, 0x10 }, { W, 0x40, 4 }, { DUE, 5, 0 }, { CLK, 4, 0 },
		{ OUT0, 0, 0 }, { CLK, 1, 0 }, { OUT0, 1, 0 },
		{ CLK, 70000, 0 }, { OUT0, 1, 0 }, { RISES, 1, 0 } } },
	{ "Mode 0: wraps to FFFF and goes on",
	    { { W, 0x43, 0x30 }, { W, 0x40, 4 }, { W, 0x40, 0 }, { CLK, 6, 0 },
		CNT0, { R, 0x40, 0xff }, { R, 0x40, 0xff } } },
	{ "Mode 0: first byte of two stops and sets OUT low",
	    { { W, 0x43, 0x30 }, { W, 0x40, 2 }, { W, 0x40, 0 }, { CLK, 9, 0 },
		{ OUT0, 1, 0 }, { W, 0x40, 3 }, { OUT0, 0, 0 }, { CLK, 50, 0 },
		{ OUT0, 0, 0 }, { W, 0x40, 0 }, { CLK, 4, 0 },
		{ OUT0, 1, 0 } } },
	{ "Mode 0: count 0 is 65536",
	    { { W, 0x43, 0x30 }, { W, 0x40, 0 }, { W, 0x40, 0 },
		{ CLK, 65536, 0 }, { OUT0, 0, 0 }, { CLK, 1, 0 },
		{ OUT0, 1, 0 } } },
	{ "Mode 0 BCD: count 0 is 10000, counts in decades",
	    { { W, 0x43, 0x31 }, { W, 0x40, 0 }, { W, 0x40, 0 }, { CLK, 2, 0 },
		CNT0, { R, 0x40, 0x99 }, { R, 0x40, 0x99 }, { CLK, 9998, 0 },
		{ OUT0, 0, 0 }, { CLK, 1, 0 }, { OUT0, 1, 0 } } },
	{ "Mode 1: GATE triggers, retriggers; port 0x61 shows OUT 2",
	    { { W, 0x61, 0 }, { W, 0x43, 0x92 }, { W, 0x42, 5 }, { CLK, 50, 0 },
		{ OUT2, 1, 0 }, { W, 0x61, 1 }, { OUT2, 1, 0 }, { CLK, 1, 0 },
		{ OUT2, 0, 0 }, { CLK, 4, 0 }, { W, 0x61, 0 }, { W, 0x61, 1 },
		{ CLK, 5, 0 }, { OUT2, 0, 0 }, { CLK, 1, 0 }, { OUT2, 1, 0 },
		{ CLK, 70000, 0 }, { OUT2, 1, 0 } } },
	{ "Mode 2: low for one clock, N apart",
	    { { W, 0x43, 0x14 }, { OUT0, 1, 0 }, { W, 0x40, 3 }, { CLK, 3, 0 },
		{ RISES, 1, 0 }, { DUE, 1, 0 }, { CLK, 1, 0 }, { RISES, 2, 0 },
		{ DUE, 3, 0 }, { CLK, 3, 0 }, { RISES, 3, 0 } } },
	{ "Mode 2: reads N down to 1",
	    { { W, 0x43, 0x14 }, { W, 0x40, 3 }, { CLK, 1, 0 }, { R, 0x40, 3 },
		{ CLK, 1, 0 }, { R, 0x40, 2 }, { CLK, 1, 0 }, { R, 0x40, 1 },
		{ CLK, 1, 0 }, { R, 0x40, 3 } } },
	{ "Mode 2: a new count waits for the end of the period",
	    { { W, 0x43, 0x14 }, { W, 0x40, 10 }, { CLK, 3, 0 }, { W, 0x40, 5 },
		ST0, { R, 0x40, 0xd4 }, { CLK, 8, 0 }, ST0, { R, 0x40, 0x94 },
		{ R, 0x40, 5 }, { DUE, 5, 0 } } },
	{ "Mode 2: GATE low sets OUT high, GATE high reloads",
	    { { W, 0x61, 1 }, { W, 0x43, 0x94 }, { W, 0x42, 4 }, { CLK, 4, 0 },
		{ OUT2, 0, 0 }, { W, 0x61, 0 }, { OUT2, 1, 0 }, { CLK, 9, 0 },
		{ W, 0x61, 1 }, { CLK, 1, 0 }, { R, 0x42, 4 }, { CLK, 3, 0 },
		{ OUT2, 0, 0 } } },
	{ "Mode 2: the illegal count 1 is 2",
	    { { W, 0x43, 0x14 }, { W, 0x40, 1 }, { CLK, 2, 0 }, { R, 0x40, 1 },
		{ CLK, 1, 0 }, { R, 0x40, 2 } } },
	{ "Mode 3 even: 4 2 4 2",
	    { { W, 0x61, 1 }, { W, 0x43, 0x96 }, { W, 0x42, 4 }, { CLK, 1, 0 },
		{ R, 0x42, 4 }, { OUT2, 1, 0 }, { CLK, 1, 0 }, { R, 0x42, 2 },
		{ CLK, 1, 0 }, { R, 0x42, 4 }, { OUT2, 0, 0 }, { CLK, 1, 0 },
		{ R, 0x42, 2 }, { CLK, 1, 0 }, { R, 0x42, 4 },
		{ OUT2, 1, 0 } } },
	{ "Mode 3 odd: 5 4 2 high, 5 2 low",
	    { { W, 0x61, 1 }, { W, 0x43, 0x96 }, { W, 0x42, 5 }, { CLK, 1, 0 },
		{ R, 0x42, 5 }, { CLK, 1, 0 }, { R, 0x42, 4 }, { CLK, 1, 0 },
		{ R, 0x42, 2 }, { OUT2, 1, 0 }, { CLK, 1, 0 }, { R, 0x42, 5 },
		{ OUT2, 0, 0 }, { CLK, 1, 0 }, { R, 0x42, 2 }, { OUT2, 0, 0 },
		{ CLK, 1, 0 }, { R, 0x42, 5 }, { OUT2, 1, 0 } } },
	{ "Mode 4: strobe after N + 1, one clock, once",
	    { { W, 0x43, 0x18 }, { W, 0x40, 3 }, { OUT0, 1, 0 }, { CLK, 3, 0 },
		{ OUT0, 1, 0 }, { CLK, 1, 0 }, { OUT0, 0, 0 }, { DUE, 1, 0 },
		{ CLK, 1, 0 }, { OUT0, 1, 0 }, { CLK, 70000, 0 },
		{ RISES, 2, 0 } } },
	{ "Mode 4: a new count triggers again",
	    { { W, 0x43, 0x18 }, { W, 0x40, 3 }, { CLK, 2, 0 }, { W, 0x40, 9 },
		{ CLK, 9, 0 }, { OUT0, 1, 0 }, { CLK, 1, 0 },
		{ OUT0, 0, 0 } } },
	{ "Mode 5: strobe after a GATE trigger",
	    { { W, 0x61, 0 }, { W, 0x43, 0x9a }, { W, 0x42, 3 }, { CLK, 99, 0 },
		{ OUT2, 1, 0 }, { W, 0x61, 1 }, { CLK, 3, 0 }, { OUT2, 1, 0 },
		{ CLK, 1, 0 }, { OUT2, 0, 0 }, { CLK, 1, 0 },
		{ OUT2, 1, 0 } } },
	{ "Control Word: modes 6 and 7 are 2 and 3, status as written",
	    { { W, 0x43, 0x3c }, { W, 0x40, 5 }, { W, 0x40, 0 }, { CLK, 1, 0 },
		ST0, { R, 0x40, 0xbc }, { DUE, 5, 0 } } },
	{ "Read-Back: null count until loaded, status before count",
	    { { W, 0x43, 0x30 }, ST0, { R, 0x40, 0x70 }, { W, 0x40, 7 },
		{ W, 0x40, 1 }, ST0, { R, 0x40, 0x70 }, { CLK, 1, 0 },
		{ W, 0x43, 0xc2 }, { R, 0x40, 0x30 }, { R, 0x40, 7 },
		{ R, 0x40, 1 } } },
	{ "Counter Latch: holds until read, second latch ignored",
	    { { W, 0x43, 0x34 }, { W, 0x40, 0 }, { W, 0x40, 2 }, { CLK, 1, 0 },
		CNT0, { CLK, 17, 0 }, CNT0, { R, 0x40, 0 }, { CLK, 5, 0 },
		{ R, 0x40, 2 }, { R, 0x40, 0xea }, { R, 0x40, 1 } } },
	{ "Counter Latch: reprogramming drops it",
	    { { W, 0x43, 0x14 }, { W, 0x40, 9 }, { CLK, 1, 0 }, CNT0,
		{ W, 0x43, 0x14 }, { W, 0x40, 5 }, { CLK, 1, 0 },
		{ R, 0x40, 5 } } },
	{ "most significant byte only",
	    { { W, 0x43, 0x24 }, { W, 0x40, 3 }, { CLK, 1, 0 }, { R, 0x40, 3 },
		{ CLK, 1, 0 }, { R, 0x40, 2 }, { DUE, 0x2ff, 0 } } },
	{ "PIIX3 port 0x61: low bits kept, parity bits 0, OUT 2",
	    { { W, 0x61, 0xff }, { R, 0x61, 0x2f }, { CLK, 18, 0 },
		{ R, 0x61, 0x3f }, { CLK, 18, 0 }, { R, 0x61, 0x2f } } },
	{ "programming a mode with OUT high is an edge, once",
	    { { W, 0x43, 0x34 }, { RISES, 1, 0 }, { W, 0x43, 0x36 },
		{ RISES, 1, 0 }, { W, 0x43, 0x30 }, { OUT0, 0, 0 } } },
};

static void
run_row(void **state)
{
	const struct row *row = *state;
	const struct step *s;
	struct fake f = { 0 };
	struct i8254 p;
	uint64_t tick = 0;

	i8254_init(&p, fake_line(&f), fake_env(&f));
	for (s = row->step; s->op != END; s++) {
		switch (s->op) {
		case W:
			i8254_write(&p, (uint16_t)s->a, (uint8_t)s->b);
			break;
		case R:
			assert_int_equal(i8254_read(&p, (uint16_t)s->a), s->b);
			break;
		case CLK:
			tick += s->a;
			f.now = ns_of(tick);
			i8254_run(&p);
			break;
		case OUT0:
			assert_int_equal(f.level, s->a);
			break;
		case OUT2:
			assert_int_equal(i8254_read(&p, 0x61) >> 5 & 1, s->a);
			break;
		case RISES:
			assert_int_equal(f.rises, s->a);
			break;
		case DUE: /* the brake on fast rates may delay it */
			p.quiet_until = 0;
			assert_int_equal(
			    i8254_deadline(&p), ns_of(tick + s->a));
			break;
		case END:
			break;
		}
	}
}

/* The twin: one counter, one clock at a time, nothing clever. */
struct twin {
	unsigned mode, rw;
	bool bcd, gate, out, null, loaded, written, trigger, newcount, strobe,
	    high_half, stop, second_byte;
	uint8_t low;
	uint32_t cr, ce; /* ce modulo the range */
	uint32_t shown; /* count the mode 3 half period started from */
	uint64_t rises;
};

static uint32_t
twin_range(const struct twin *t)
{
	return t->bcd ? 10000 : 65536;
}

static void
twin_out(struct twin *t, bool out)
{
	if (out && !t->out)
		t->rises++;
	t->out = out;
}

static void
twin_dec(struct twin *t, uint32_t by)
{
	t->ce = (t->ce + twin_range(t) - by) % twin_range(t);
}

static void
twin_load(struct twin *t)
{
	t->ce = t->cr % twin_range(t);
	t->shown = t->cr;
	t->loaded = true;
	t->null = false;
	t->stop = false;
}

static void
twin_clock3(struct twin *t)
{
	bool fresh = t->ce == t->shown % twin_range(t);
	uint32_t by = 2;

	/* "initial count is loaded, decremented by one on the next clock,
	 * then by two"; in the low half the first step is three. */
	if (fresh && (t->shown & 1))
		by = t->high_half ? 1 : 3;
	/* "when the count expires, OUT changes and it is reloaded" */
	if ((t->ce == 0 ? twin_range(t) : t->ce) <= by && !(by == 1)) {
		t->high_half = !t->high_half;
		twin_out(t, t->high_half);
		twin_load(t);
		return;
	}
	twin_dec(t, by);
}

static void
twin_clock(struct twin *t)
{
	bool load = t->trigger || t->newcount;

	if (t->mode >= 4 && !t->out)
		twin_out(t, true);
	t->trigger = t->newcount = false;
	if (load) {
		twin_load(t);
		t->strobe = true;
		t->high_half = true;
		if (t->mode == 1)
			twin_out(t, false);
		else if (t->mode != 0)
			twin_out(t, true);
		return;
	}
	if (!t->loaded || t->stop)
		return;
	if (!t->gate && t->mode != 1 && t->mode != 5)
		return;
	switch (t->mode) {
	case 0:
	case 1:
		twin_dec(t, 1);
		if (t->ce == 0)
			twin_out(t, true);
		break;
	case 2:
		if (t->ce == 1) {
			twin_load(t);
			twin_out(t, true);
		} else {
			twin_dec(t, 1);
			if (t->ce == 1)
				twin_out(t, false);
		}
		break;
	case 3:
		twin_clock3(t);
		break;
	default:
		twin_dec(t, 1);
		if (t->ce == 0 && t->strobe) {
			twin_out(t, false);
			t->strobe = false;
		}
		break;
	}
}

static void
twin_control(struct twin *t, uint8_t val)
{
	uint64_t rises = t->rises;
	bool gate = t->gate, was = t->out;

	memset(t, 0, sizeof(*t));
	t->rises = rises;
	t->gate = gate;
	t->rw = val >> 4 & 3;
	t->mode = val >> 1 & 7;
	if (t->mode > 5)
		t->mode &= 3;
	t->bcd = val & 1;
	t->null = true;
	t->out = was;
	twin_out(t, t->mode != 0);
}

static void
twin_count(struct twin *t, unsigned v)
{
	if (t->bcd)
		v = (v >> 12) * 1000 + (v >> 8 & 15) * 100 +
		    (v >> 4 & 15) * 10 + (v & 15);
	v %= twin_range(t);
	t->cr = v == 0 ? twin_range(t) : v;
	if (t->cr == 1 && (t->mode == 2 || t->mode == 3))
		t->cr = 2;
	t->null = true;
	if (t->mode == 0)
		twin_out(t, false);
	if (t->mode == 0 || t->mode == 4 ||
	    ((t->mode == 2 || t->mode == 3) && !t->written))
		t->newcount = true;
	t->written = true;
}

static void
twin_write(struct twin *t, uint8_t val)
{
	if (t->rw == 1)
		twin_count(t, val);
	else if (t->rw == 2)
		twin_count(t, (unsigned)val << 8);
	else if (!t->second_byte) {
		t->second_byte = true;
		t->low = val;
		if (t->mode == 0) {
			t->stop = true;
			t->newcount = false;
			twin_out(t, false);
		}
	} else {
		t->second_byte = false;
		twin_count(t, (unsigned)val << 8 | t->low);
	}
}

static void
twin_gate(struct twin *t, bool gate)
{
	bool rise = gate && !t->gate;

	t->gate = gate;
	if (t->mode == 0 || t->mode == 4)
		return;
	if (rise && t->written)
		t->trigger = true;
	if (!gate && (t->mode == 2 || t->mode == 3))
		twin_out(t, true);
}

static unsigned
twin_value(const struct twin *t)
{
	unsigned v = t->ce;

	if (!t->bcd)
		return v;
	return v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
}

static uint8_t
dice_control(uint64_t *seed, unsigned n)
{
	uint32_t r = dice(seed);

	return (uint8_t)(n << 6 | (r % 3 + 1) << 4 | (r >> 8 & 15));
}

/* One thing done to both, or a stretch of clocks. */
static void
both(struct i8254 *p, struct twin *t, unsigned n, uint64_t *seed,
    struct fake *f, uint64_t *tick)
{
	uint64_t clocks, k;
	uint8_t b;

	switch (dice(seed) % 24) {
	case 0:
		b = dice_control(seed, n);
		i8254_write(p, 0x43, b);
		twin_control(t, b);
		break;
	case 1:
	case 2:
	case 3:
	case 4:
		b = (uint8_t)(dice(seed) >> dice(seed) % 9);
		i8254_write(p, (uint16_t)(0x40 + n), b);
		twin_write(t, b);
		break;
	case 5:
	case 6:
		if (n != 2)
			break;
		b = dice(seed) & 1;
		i8254_write(p, 0x61, b);
		twin_gate(t, b);
		break;
	default:
		clocks = dice(seed) >> (12 + dice(seed) % 20) & 0x1ff;
		if (dice(seed) % 64 == 0)
			clocks = dice(seed) % 70000;
		for (k = 0; k < clocks; k++)
			twin_clock(t);
		*tick += clocks;
		f->now = ns_of(*tick);
		break;
	}
}

/* Everything that software can see: read-back, count, OUT on port 0x61. */
static void
compare(struct i8254 *p, const struct twin *t, unsigned n)
{
	static const unsigned seen[4] = { 0, 0x00ff, 0xff00, 0xffff };
	uint16_t port = (uint16_t)(0x40 + n);
	uint8_t status;
	unsigned v;

	i8254_write(p, 0x43, (uint8_t)(0xc0 | 2 << n));
	status = i8254_read(p, port);
	assert_int_equal(status >> 7, t->out);
	assert_int_equal(status >> 6 & 1, t->null);
	v = i8254_read(p, port);
	if (t->rw == 3)
		v |= (unsigned)i8254_read(p, port) << 8;
	else if (t->rw == 2)
		v <<= 8;
	if (t->loaded)
		assert_int_equal(v, twin_value(t) & seen[t->rw]);
	if (n == 2)
		assert_int_equal(i8254_read(p, 0x61) >> 5 & 1, t->out);
}

/* Channel 2 has a gate, channel 0 the interrupt: both against the twin. */
static void
differential(unsigned n, uint64_t seed)
{
	struct fake f = { 0 };
	struct i8254 p;
	struct twin t = { .gate = n == 0 };
	uint64_t tick = 0;
	unsigned i;
	uint8_t b;

	i8254_init(&p, fake_line(&f), fake_env(&f));
	b = dice_control(&seed, n);
	i8254_write(&p, 0x43, b);
	twin_control(&t, b);
	for (i = 0; i < 6000; i++) {
		both(&p, &t, n, &seed, &f, &tick);
		compare(&p, &t, n);
	}
}

static void
test_twin(void **state)
{
	uint64_t seed;

	for (seed = 1; seed <= 40; seed++) {
		differential(0, seed * 0x9e3779b97f4a7c15ULL);
		differential(2, seed * 0xc2b2ae3d27d4eb4fULL);
	}
}

/* Deadlines are the twin's rising edges, exactly, and each is one rise. */
static void
test_edges(void **state)
{
	static const uint8_t control[] = { 0x30, 0x34, 0x36, 0x38 };
	struct fake f;
	struct i8254 p;
	struct twin t;
	uint64_t seed = 61, tick, at;
	unsigned i, k, count;

	for (i = 0; i < 200; i++) {
		memset(&f, 0, sizeof(f));
		memset(&t, 0, sizeof(t));
		t.gate = true;
		i8254_init(&p, fake_line(&f), fake_env(&f));
		count = 200 + dice(&seed) % 3000;
		i8254_write(&p, 0x43, control[i % 4]);
		twin_control(&t, control[i % 4]);
		i8254_write(&p, 0x40, (uint8_t)count);
		i8254_write(&p, 0x40, (uint8_t)(count >> 8));
		twin_write(&t, (uint8_t)count);
		twin_write(&t, (uint8_t)(count >> 8));
		for (k = 0, tick = 0; k < 5; k++) {
			at = i8254_deadline(&p);
			if (at == DEV_NEVER)
				break;
			while (ns_of(tick) < at) {
				assert_int_equal(f.rises, t.rises);
				twin_clock(&t);
				tick++;
			}
			assert_int_equal(ns_of(tick), at);
			f.now = at;
			i8254_run(&p);
			assert_int_equal(f.rises, t.rises);
		}
		assert_int_equal(k, control[i % 4] & 0x04 ? 5 : 1);
	}
}

/* A rate of 1193182 / 11932 Hz, and nobody looks for an hour. */
static void
test_stall(void **state)
{
	struct fake f = { 0 };
	struct i8254 p;
	uint64_t at, start;
	unsigned rises;

	i8254_init(&p, fake_line(&f), fake_env(&f));
	i8254_write(&p, 0x43, 0x34);
	i8254_write(&p, 0x40, 11932 & 0xff);
	i8254_write(&p, 0x40, 11932 >> 8);
	f.now = start = 3600 * SEC;
	rises = f.rises;
	i8254_run(&p);
	assert_int_equal(f.rises - rises, 1);
	/* Twice the rate until all that is owed has been paid. */
	while (f.now < start + 4 * SEC) {
		at = i8254_deadline(&p);
		assert_true(at > f.now);
		f.now = at;
		i8254_run(&p);
		/* 100 Hz, and never more than twice that. */
		assert_true(f.rises - rises <= 3 + (at - start) / 5000000);
	}
	assert_in_range(
	    f.rises - rises, 400 + I8254_OWED - 1, 400 + I8254_OWED + 2);
	assert_int_equal(p.owed, 0);
}

/* Years do not overflow, and the rate has not drifted by one clock. */
static void
test_years(void **state)
{
	struct fake f = { 0 };
	struct i8254 p;
	unsigned v;

	i8254_init(&p, fake_line(&f), fake_env(&f));
	i8254_write(&p, 0x43, 0x34);
	i8254_write(&p, 0x40, 0);
	i8254_write(&p, 0x40, 0);
	f.now = ns_of(1 + 65536ULL * 20000000000ULL + 7); /* 34 years */
	i8254_write(&p, 0x43, 0);
	v = i8254_read(&p, 0x40);
	v |= (unsigned)i8254_read(&p, 0x40) << 8;
	assert_int_equal(v, 65536 - 7);
}

static void
test_fast_rate(void **state)
{
	struct fake f = { 0 };
	struct i8254 p;
	unsigned n = 0;

	i8254_init(&p, fake_line(&f), fake_env(&f));
	i8254_write(&p, 0x43, 0x14);
	i8254_write(&p, 0x40, 2);
	while (f.now < SEC / 100) {
		f.now = i8254_deadline(&p);
		i8254_run(&p);
		n++;
	}
	assert_in_range(n, 100, SEC / 100 / I8254_MIN_NS + 2);
}

/* Interrupts that met one that waits are paid between the others, each once;
 * rates that are not followed owe nothing. */
static void
test_missed(void **state)
{
	struct fake f = { 0 };
	struct i8254 p;
	unsigned i;

	i8254_init(&p, fake_line(&f), fake_env(&f));
	i8254_write(&p, 0x43, 0x34);
	i8254_write(&p, 0x40, 0);
	i8254_write(&p, 0x40, 0x10);
	for (i = 0; i < 4; i++) {
		f.now = i8254_deadline(&p);
		i8254_run(&p);
		i8254_missed(&p);
	}
	assert_int_equal(f.rises, 5); /* that of the control word, too */
	f.rises = 0;
	for (i = 0; i < 200; i++)
		i8254_missed(&p);
	assert_int_equal(p.owed, I8254_OWED);
	p.owed = 3;
	while (p.owed > 0) {
		f.now = i8254_deadline(&p);
		i8254_run(&p);
	}
	assert_int_equal(f.rises, 5);
	i8254_write(&p, 0x43, 0x34);
	i8254_write(&p, 0x40, 40);
	i8254_write(&p, 0x40, 0);
	f.now = i8254_deadline(&p);
	i8254_run(&p);
	i8254_missed(&p);
	assert_int_equal(p.owed, 0);
}

static void
test_spray(void **state)
{
	static const uint16_t port[] = { 0x40, 0x41, 0x42, 0x43, 0x61 };
	struct fake f = { 0 };
	struct i8254 p;
	uint64_t seed = 8254, at;
	unsigned i;
	uint32_t r;

	i8254_init(&p, fake_line(&f), fake_env(&f));
	for (i = 0; i < 1500000; i++) {
		r = dice(&seed);
		if ((r & 3) == 0)
			f.now += dice_step(&seed);
		if ((r & 0x30) == 0)
			i8254_run(&p);
		if (r & 4)
			i8254_write(&p, port[(r >> 8) % 5], (uint8_t)(r >> 16));
		else
			i8254_read(&p, port[(r >> 8) % 5]);
		if ((r & 0x30) == 0) {
			/* Whatever was done, the timer does not spin. */
			i8254_run(&p);
			at = i8254_deadline(&p);
			assert_true(at > f.now);
		}
	}
}

int
main(void)
{
	enum { N = sizeof(rows) / sizeof(rows[0]) };
	static const struct CMUnitTest more[] = {
		cmocka_unit_test(test_twin),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_years),
		cmocka_unit_test(test_fast_rate),
		cmocka_unit_test(test_missed),
		cmocka_unit_test(test_spray),
	};
	struct CMUnitTest t[N + sizeof(more) / sizeof(more[0])];
	unsigned i;

	for (i = 0; i < N; i++)
		t[i] = (struct CMUnitTest){ rows[i].name, run_row, NULL, NULL,
			(void *)(uintptr_t)&rows[i] };
	memcpy(t + N, more, sizeof(more));
	return cmocka_run_group_tests_name("i8254", t, NULL, NULL);
}
