// SPDX-License-Identifier: (ISC OR GPL-2.0)

/*
 * 8254 programmable interval timer and the PC's port 0x61.
 * After: Intel "82C54 CHMOS Programmable Interval Timer" data sheet, sections
 * "Programming the 82C54", "Read Operations" and "Mode Definitions"; port
 * 0x61 after the PIIX3 data sheet, "NMI Status and Control Register".
 *
 * Time is counted in clocks of 1193182 Hz since now() 0, so it never drifts.
 * A channel is brought up to date when somebody looks: whole periods are
 * skipped by division, and what remains is at most a handful of events.
 *
 * Invariants
 *  1. Every step costs a bounded number of events, whatever the count and
 *     however long nobody looked.
 *  2. The interrupt line rises when OUT 0 rises, exactly once per edge that
 *     is delivered.  In the periodic modes it falls only just before it
 *     rises again: an 8259 drops a request whose line fell, and a guest that
 *     the host did not run for half a period would lose its clock tick.
 *  3. Edges that nobody delivered in time are owed (I8254_OWED at most) and
 *     paid one per period, a quarter period after the regular one.
 */
#include "i8254.h"

#define NS	1000000000ULL
#define FOREVER DEV_NEVER

#define RW_LATCH 0
#define RW_LOW	 1
#define RW_HIGH	 2
#define RW_BOTH	 3

#define P61_GATE2   0x01
#define P61_WRITE   0x0f
#define P61_REFRESH 0x10
#define P61_OUT2    0x20
#define REFRESH_CLK 18 /* clocks between two refresh requests, 15 us */

static uint64_t
ns_to_tick(uint64_t ns)
{
	return ns / NS * I8254_HZ + ns % NS * I8254_HZ / NS;
}

/* The first nanosecond that belongs to tick. */
static uint64_t
tick_to_ns(uint64_t tick)
{
	return tick / I8254_HZ * NS +
	    (tick % I8254_HZ * NS + I8254_HZ - 1) / I8254_HZ;
}

static uint32_t
modulus(const struct i8254_channel *c)
{
	return (c->control & 1) ? 10000 : 65536;
}

static bool
periodic(const struct i8254_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* "Gate Pin Operations Summary": a low GATE stops modes 0, 2, 3 and 4. */
static bool
running(const struct i8254_channel *c)
{
	if (!c->counting || c->stopped)
		return false;
	return c->gate || c->mode == 1 || c->mode == 5;
}

/* Mode 3: clocks of the half period; of an odd count the first is longer. */
static uint32_t
half(const struct i8254_channel *c)
{
	return c->low ? c->cur / 2 : (c->cur + 1) / 2;
}

/* Clocks until something other than counting happens. */
static uint64_t
channel_event(const struct i8254_channel *c)
{
	if (c->load || (c->mode >= 4 && !c->out))
		return 1;
	if (!running(c))
		return FOREVER;
	switch (c->mode) {
	case 0:
	case 1:
		if (c->out)
			return FOREVER; /* wraps around and counts on */
		break;
	case 2:
		return c->out && c->ce > 2 ? c->ce - 1 : 1;
	case 3:
		return c->ce;
	default:
		if (!c->armed)
			return FOREVER;
		break;
	}
	return c->ce == 0 ? modulus(c) : c->ce;
}

/* n clocks without an event. */
static void
channel_count(struct i8254_channel *c, uint64_t n)
{
	uint32_t mod = modulus(c);

	if (!running(c))
		return;
	if (periodic(c))
		c->ce -= (uint32_t)n;
	else
		c->ce = (uint32_t)((c->ce + mod - n % mod) % mod);
}

static void
channel_load(struct i8254_channel *c)
{
	c->load = c->null_count = c->stopped = c->low = false;
	c->counting = c->armed = true;
	c->cur = c->cr;
	/* OUT falls with the load in mode 1, and a strobe ends with it. */
	if (c->mode != 0)
		c->out = c->mode != 1;
	c->ce = c->mode == 3 ? half(c) : c->cur;
}

/* One clock at which channel_event() said that something happens. */
static void
channel_clock(struct i8254_channel *c)
{
	if (c->load) {
		channel_load(c);
		return;
	}
	if (c->mode >= 4 && !c->out)
		c->out = true;
	if (!running(c))
		return;
	switch (c->mode) {
	case 2:
		if (!c->out)
			channel_load(c);
		else if (--c->ce <= 1)
			c->out = false;
		return;
	case 3:
		if (--c->ce == 0) {
			c->out = c->low;
			c->low = !c->low;
			c->cur = c->cr;
			c->null_count = false;
			c->ce = half(c);
		}
		return;
	}
	channel_count(c, 1);
	if (c->ce != 0)
		return;
	if (c->mode < 2)
		c->out = true;
	else if (c->armed)
		c->out = c->armed = false;
}

/* At the first clock of a period of a count that will repeat. */
static bool
channel_steady(const struct i8254_channel *c)
{
	return periodic(c) && !c->load && running(c) && !c->low && c->out &&
	    !c->null_count && c->cur == c->cr &&
	    c->ce == (c->mode == 3 ? half(c) : c->cur);
}

/* n clocks; returns how often OUT rose. */
static uint64_t
channel_advance(struct i8254_channel *c, uint64_t n)
{
	uint64_t event, rises = 0;
	bool before;

	while (n > 0) {
		if (channel_steady(c) && n >= c->cur) {
			rises += n / c->cur;
			n %= c->cur;
			continue;
		}
		event = channel_event(c);
		if (event > n) {
			channel_count(c, n);
			break;
		}
		channel_count(c, event - 1);
		before = c->out;
		channel_clock(c);
		rises += !before && c->out;
		n -= event;
	}
	return rises;
}

/* Clocks until OUT rises next, from c->tick on. */
static uint64_t
channel_next_rise(const struct i8254_channel *channel)
{
	struct i8254_channel c = *channel;
	uint64_t event, sum = 0;
	unsigned i;
	bool before;

	/* Load, fall, rise: three events at most, and one to spare. */
	for (i = 0; i < 4; i++) {
		event = channel_event(&c);
		if (event == FOREVER)
			break;
		channel_count(&c, event - 1);
		before = c.out;
		channel_clock(&c);
		sum += event;
		if (!before && c.out)
			return sum;
	}
	return FOREVER;
}

static void
irq_level(struct i8254 *p, bool level)
{
	if (p->level == level)
		return;
	p->level = level;
	line_set(&p->irq, level);
}

static void
irq_pulse(struct i8254 *p, uint64_t now)
{
	irq_level(p, false);
	irq_level(p, true);
	p->quiet_until = now + I8254_MIN_NS;
}

static void
irq_rises(struct i8254 *p, uint64_t rises, uint64_t now)
{
	const struct i8254_channel *c = &p->ch[0];
	uint64_t period;

	if (rises > 0)
		irq_pulse(p, now);
	else if (!periodic(c))
		irq_level(p, c->out);
	if (!periodic(c) || rises == 0)
		return;
	period = tick_to_ns(c->cur);
	/* Rates that are not followed anyway owe nothing. */
	if (period < 2ULL * I8254_MIN_NS) {
		p->owed = 0;
		return;
	}
	if (rises - 1 > I8254_OWED - p->owed)
		p->owed = I8254_OWED;
	else
		p->owed += (unsigned)(rises - 1);
	p->pay_at = p->owed > 0 ? now + period / 4 : DEV_NEVER;
}

static void
channel_sync(struct i8254 *p, unsigned n)
{
	struct i8254_channel *c = &p->ch[n];
	uint64_t now = p->env.now(p->env.arg), tick = ns_to_tick(now), rises;

	if (tick <= c->tick)
		return;
	rises = channel_advance(c, tick - c->tick);
	c->tick = tick;
	if (n == 0)
		irq_rises(p, rises, now);
}

/* OUT, the count or the schedule of channel n was changed by a write. */
static void
channel_changed(struct i8254 *p, unsigned n)
{
	if (n != 0)
		return;
	p->owed = 0;
	p->pay_at = DEV_NEVER;
	if (p->ch[0].out || !periodic(&p->ch[0]))
		irq_level(p, p->ch[0].out);
	p->env.rearm(p->env.arg);
}

/* What a read of the counter returns. */
static uint16_t
channel_value(const struct i8254_channel *c)
{
	uint32_t v = c->ce, k;

	if (c->mode == 3 && c->counting) {
		/* "Mode 3 is implemented as follows": steps of two; of an
		 * odd count the first step is one (OUT high) or three. */
		k = half(c) - c->ce;
		v = c->cur - 2 * k;
		if (k > 0 && (c->cur & 1))
			v = c->low ? v - 1 : v + 1;
	}
	v %= modulus(c);
	if (c->control & 1)
		v = v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 |
		    v % 10;
	return (uint16_t)v;
}

static unsigned
channel_rw(const struct i8254_channel *c)
{
	return c->control >> 4 & 3;
}

static void
channel_latch(struct i8254_channel *c)
{
	if (c->nlatched > 0)
		return; /* "Counter Latch Command": the first one counts */
	c->latched = channel_value(c);
	c->nlatched = channel_rw(c) == RW_BOTH ? 2 : 1;
}

static void
channel_latch_status(struct i8254_channel *c)
{
	if (c->has_status)
		return;
	c->latched_status =
	    (uint8_t)(c->out << 7 | c->null_count << 6 | c->control);
	c->has_status = true;
}

static uint8_t
channel_read(struct i8254_channel *c)
{
	uint16_t v;
	bool high = channel_rw(c) == RW_HIGH;

	if (c->has_status) {
		c->has_status = false;
		return c->latched_status;
	}
	if (c->nlatched > 0) {
		if (channel_rw(c) == RW_BOTH)
			high = c->nlatched == 1;
		c->nlatched--;
		v = c->latched;
	} else {
		if (channel_rw(c) == RW_BOTH) {
			high = c->read_high;
			c->read_high = !high;
		}
		v = channel_value(c);
	}
	return (uint8_t)(high ? v >> 8 : v);
}

/* The count register is complete; 0 stands for the most. */
static void
channel_set_cr(struct i8254_channel *c, uint32_t n)
{
	if (n == 0)
		n = modulus(c);
	/* A count of one is illegal in the periodic modes; take the least
	 * one that is legal. */
	if (n == 1 && periodic(c))
		n = 2;
	c->cr = n;
	c->null_count = true;
	if (c->mode == 0)
		c->out = false;
	/* Modes 0 and 4 take a new count at the next clock, modes 2 and 3
	 * only their first one, modes 1 and 5 wait for a trigger. */
	if (c->mode == 0 || c->mode == 4 || (periodic(c) && !c->written))
		c->load = true;
	c->written = true;
}

static void
channel_set_count(struct i8254_channel *c, uint16_t v)
{
	uint32_t n = v;

	if (c->control & 1)
		n = ((v >> 12) * 1000u + (v >> 8 & 15) * 100u +
			(v >> 4 & 15) * 10u + (v & 15)) %
		    10000;
	channel_set_cr(c, n);
}

static void
channel_write(struct i8254_channel *c, uint8_t val)
{
	switch (channel_rw(c)) {
	case RW_LOW:
		channel_set_count(c, val);
		break;
	case RW_HIGH:
		channel_set_count(c, (uint16_t)(val << 8));
		break;
	case RW_BOTH:
		if (!c->write_high) {
			c->write_high = true;
			c->write_low = val;
			/* "Mode 0": the first byte stops the count and sets
			 * OUT low. */
			if (c->mode == 0) {
				c->stopped = true;
				c->load = false;
				c->out = false;
			}
			break;
		}
		c->write_high = false;
		channel_set_count(c, (uint16_t)(val << 8 | c->write_low));
		break;
	}
}

/* "Control Word Format": everything about the channel starts again. */
static void
channel_control(struct i8254_channel *c, uint8_t val)
{
	c->control = val & 0x3f;
	c->mode = val >> 1 & 7;
	if (c->mode > 5)
		c->mode -= 4;
	c->out = c->mode != 0;
	c->ce = 0;
	c->written = c->load = c->counting = c->stopped = false;
	c->armed = c->low = c->write_high = c->read_high = false;
	c->has_status = false;
	c->nlatched = 0;
	c->null_count = true;
}

static void
channel_gate(struct i8254_channel *c, bool gate)
{
	bool rise = gate && !c->gate;

	c->gate = gate;
	if (c->mode == 0 || c->mode == 4)
		return;
	if (rise)
		c->load = c->load || c->written;
	else if (!gate && periodic(c))
		c->out = true;
}

static void
write_control(struct i8254 *p, uint8_t val)
{
	unsigned n, sc = val >> 6;

	if (sc != 3) {
		channel_sync(p, sc);
		if ((val & 0x30) == RW_LATCH) {
			channel_latch(&p->ch[sc]);
			return;
		}
		channel_control(&p->ch[sc], val);
		channel_changed(p, sc);
		return;
	}
	/* "Read-Back Command" */
	for (n = 0; n < 3; n++) {
		if (!(val & 2u << n))
			continue;
		channel_sync(p, n);
		if (!(val & 0x20))
			channel_latch(&p->ch[n]);
		if (!(val & 0x10))
			channel_latch_status(&p->ch[n]);
	}
}

void
i8254_init(struct i8254 *p, struct line irq, struct devenv env)
{
	unsigned n;

	memset(p, 0, sizeof(*p));
	p->irq = irq;
	p->env = env;
	p->pay_at = DEV_NEVER;
	/* The power-on state is undefined: mode 3, not counting, and OUT 0
	 * low, so that nothing is requested before it is programmed. */
	for (n = 0; n < 3; n++) {
		channel_control(&p->ch[n], RW_BOTH << 4 | 3 << 1);
		p->ch[n].gate = n != 2;
		p->ch[n].out = n != 0;
		p->ch[n].tick = ns_to_tick(env.now(env.arg));
	}
}

uint8_t
i8254_read(struct i8254 *p, uint16_t port)
{
	uint8_t val;

	switch (port) {
	case 0x40:
	case 0x41:
	case 0x42:
		channel_sync(p, port - 0x40u);
		return channel_read(&p->ch[port - 0x40]);
	case 0x61:
		channel_sync(p, 2);
		val = p->port61;
		if (p->ch[2].tick / REFRESH_CLK & 1)
			val |= P61_REFRESH;
		if (p->ch[2].out)
			val |= P61_OUT2;
		return val;
	}
	return 0xff; /* 0x43: "No-Operation" */
}

void
i8254_write(struct i8254 *p, uint16_t port, uint8_t val)
{
	switch (port) {
	case 0x40:
	case 0x41:
	case 0x42:
		channel_sync(p, port - 0x40u);
		channel_write(&p->ch[port - 0x40], val);
		channel_changed(p, port - 0x40u);
		break;
	case 0x43:
		write_control(p, val);
		break;
	case 0x61:
		channel_sync(p, 2);
		p->port61 = val & P61_WRITE;
		channel_gate(&p->ch[2], val & P61_GATE2);
		break;
	}
}

void
i8254_run(struct i8254 *p)
{
	uint64_t now;

	channel_sync(p, 0);
	now = p->env.now(p->env.arg);
	if (p->owed == 0 || now < p->pay_at)
		return;
	p->owed--;
	p->pay_at = DEV_NEVER;
	irq_pulse(p, now);
}

/* Clocks since the period under way began. */
static uint64_t
channel_elapsed(const struct i8254_channel *c)
{
	uint32_t mod = modulus(c);

	if (!c->counting)
		return 0;
	if (c->mode == 2)
		return c->cur - c->ce;
	if (c->mode == 3)
		return (c->low ? (c->cur + 1) / 2 : 0) + half(c) - c->ce;
	return (c->cur + mod - c->ce) % mod;
}

uint64_t
i8254_loaded(struct i8254 *p, unsigned n)
{
	uint64_t elapsed;

	channel_sync(p, n);
	elapsed = channel_elapsed(&p->ch[n]);
	if (elapsed > p->ch[n].tick)
		return 0;
	return tick_to_ns(p->ch[n].tick - elapsed);
}

void
i8254_program(
    struct i8254 *p, unsigned n, uint8_t control, bool gate, uint32_t count)
{
	struct i8254_channel *c = &p->ch[n];

	channel_sync(p, n);
	channel_control(c, control);
	c->gate = gate;
	if (count <= modulus(c))
		channel_set_cr(c, count);
	channel_changed(p, n);
}

void
i8254_missed(struct i8254 *p)
{
	const struct i8254_channel *c = &p->ch[0];
	uint64_t period = tick_to_ns(c->cur);

	if (!periodic(c) || period < 2ULL * I8254_MIN_NS)
		return;
	if (p->owed < I8254_OWED)
		p->owed++;
	p->pay_at = p->env.now(p->env.arg) + period / 4;
}

uint64_t
i8254_deadline(const struct i8254 *p)
{
	uint64_t at = DEV_NEVER, rise = channel_next_rise(&p->ch[0]);

	if (rise != FOREVER)
		at = tick_to_ns(p->ch[0].tick + rise);
	if (p->pay_at < at)
		at = p->pay_at;
	return at < p->quiet_until ? p->quiet_until : at;
}
