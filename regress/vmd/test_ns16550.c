/* SPDX-License-Identifier: ISC */

/* Against the National Semiconductor PC16550D data sheet. */
#include <string.h>
#include "fakeenv.h"
#include "ns16550.h"

#define RBR 0
#define THR 0
#define IER 1
#define IIR 2
#define FCR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCR 7

struct bed {
	struct fake f;
	struct ns16550 u;
	uint8_t sent[256];
	size_t nsent, take; /* take: how many bytes the outside accepts */
};

static size_t
out(void *arg, const uint8_t *buf, size_t n)
{
	struct bed *b = arg;

	assert_true(n > 0 && n <= NS16550_FIFO);
	if (n > b->take)
		n = b->take;
	b->take -= n;
	if (n > sizeof(b->sent) - b->nsent)
		b->nsent = 0;
	memcpy(b->sent + b->nsent, buf, n);
	b->nsent += n;
	return n;
}

static void
bed_init(struct bed *b)
{
	memset(b, 0, sizeof(*b));
	b->take = SIZE_MAX;
	ns16550_init(&b->u, fake_line(&b->f), fake_env(&b->f), out, b);
	ns16550_write(&b->u, MCR, 0x08);
}

static uint8_t
rd(struct bed *b, unsigned reg)
{
	return ns16550_read(&b->u, reg);
}

static void
wr(struct bed *b, unsigned reg, uint8_t val)
{
	ns16550_write(&b->u, reg, val);
}

static void
feed(struct bed *b, const char *s)
{
	assert_int_equal(
	    ns16550_input(&b->u, (const uint8_t *)s, strlen(s)), strlen(s));
}

/* "Registers": what is kept of a write. */
static void
test_registers(void **state)
{
	static const struct {
		unsigned reg;
		uint8_t write, read;
	} rows[] = { { IER, 0xff, 0x0f }, { LCR, 0x7f, 0x7f },
		{ MCR, 0xff, 0x1f }, { SCR, 0xa5, 0xa5 }, { LSR, 0xff, 0x60 },
		{ MSR, 0xff, 0xb0 } };
	struct bed b;
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bed_init(&b);
		wr(&b, rows[i].reg, rows[i].write);
		assert_int_equal(rd(&b, rows[i].reg), rows[i].read);
	}
	bed_init(&b);
	assert_int_equal(rd(&b, IIR), 0x01);
	assert_int_equal(rd(&b, 8), 0xff);
	wr(&b, 8, 0);
	/* DLAB opens the divisor latch in place of data and IER. */
	wr(&b, LCR, 0x83);
	wr(&b, 0, 0x34);
	wr(&b, 1, 0x12);
	assert_int_equal(rd(&b, 0), 0x34);
	assert_int_equal(rd(&b, 1), 0x12);
	wr(&b, LCR, 0x03);
	assert_int_equal(rd(&b, IER), 0);
	assert_int_equal(b.nsent, 0);
}

/* How Linux and others tell a 16550A: FCR shows in IIR, loop back in MSR. */
static void
test_probe(void **state)
{
	struct bed b;

	bed_init(&b);
	wr(&b, MCR, 0x1a);
	assert_int_equal(rd(&b, MSR) & 0xf0, 0x90);
	wr(&b, MCR, 0x08);
	wr(&b, FCR, 0x01);
	assert_int_equal(rd(&b, IIR), 0xc1);
	wr(&b, FCR, 0xc0); /* without bit 0 nothing is programmed */
	assert_int_equal(rd(&b, IIR), 0x01);
}

/* "FIFO Interrupt Mode Operation" B: trigger levels. */
static void
test_trigger(void **state)
{
	static const unsigned level[4] = { 1, 4, 8, 14 };
	struct bed b;
	unsigned i, n;

	for (i = 0; i < 4; i++) {
		bed_init(&b);
		wr(&b, IER, 0x01);
		wr(&b, FCR, (uint8_t)(0x01 | i << 6));
		for (n = 1; n <= 16; n++) {
			feed(&b, "x");
			assert_int_equal(b.f.level, n >= level[i]);
			assert_int_equal(
			    rd(&b, IIR), n >= level[i] ? 0xc4 : 0xc1);
			assert_int_equal(rd(&b, LSR) & 1, 1);
		}
		for (n = 15; n > 0; n--) {
			rd(&b, RBR);
			assert_int_equal(b.f.level, n >= level[i]);
		}
		assert_int_equal(rd(&b, LSR), 0x61);
		assert_int_equal(rd(&b, RBR), 'x');
		assert_int_equal(rd(&b, LSR), 0x60);
		assert_int_equal(rd(&b, RBR), 0);
	}
}

/* "FIFO timeout": four character times after the last input or read. */
static const struct {
	uint8_t lcr;
	unsigned divisor;
	uint64_t ns; /* 4 x bits x divisor / 115200 s */
} timeouts[] = {
	{ 0x03, 1, 347222 }, /* 8N1: 10 bits */
	{ 0x1b, 1, 381944 }, /* 8E1: 11 bits */
	{ 0x07, 1, 381944 }, /* 8N2: 11 bits */
	{ 0x00, 1, 243055 }, /* 5N1: 7 bits */
	{ 0x04, 1, 260416 }, /* 5N1.5: 7.5 bits */
	{ 0x03, 12, 4166666 },
	{ 0x03, 0, 347222 }, /* no divisor: the fastest */
	{ 0x03, 65535, 22755208333ULL },
};

static void
test_timeout(void **state)
{
	struct bed b;
	unsigned i;
	uint64_t ns;

	for (i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
		ns = timeouts[i].ns;
		bed_init(&b);
		wr(&b, LCR, 0x80);
		wr(&b, 0, (uint8_t)timeouts[i].divisor);
		wr(&b, 1, (uint8_t)(timeouts[i].divisor >> 8));
		wr(&b, LCR, timeouts[i].lcr);
		wr(&b, FCR, 0x81);
		wr(&b, IER, 0x01);
		assert_int_equal(ns16550_deadline(&b.u), DEV_NEVER);
		feed(&b, "ab");
		assert_int_equal(ns16550_deadline(&b.u), ns);
		b.f.now = ns - 1;
		ns16550_run(&b.u);
		assert_false(b.f.level);
		b.f.now = ns;
		ns16550_run(&b.u);
		assert_true(b.f.level);
		assert_int_equal(rd(&b, IIR), 0xcc);
		assert_int_equal(ns16550_deadline(&b.u), DEV_NEVER);
		rd(&b, RBR); /* clears it and starts the time again */
		assert_false(b.f.level);
		assert_int_equal(ns16550_deadline(&b.u), 2 * ns);
		rd(&b, RBR);
		assert_int_equal(ns16550_deadline(&b.u), DEV_NEVER);
	}
}

/* "Interrupt Control Functions": THRE. */
static void
test_thre(void **state)
{
	struct bed b;

	bed_init(&b);
	wr(&b, IER, 0x02); /* enabling it when empty raises it */
	assert_true(b.f.level);
	assert_int_equal(rd(&b, IIR), 0x02); /* reading is the reset ... */
	assert_false(b.f.level);
	assert_int_equal(rd(&b, IIR), 0x01);
	wr(&b, IER, 0x02); /* ... and no new enable is no new interrupt */
	assert_false(b.f.level);
	wr(&b, THR, 'a'); /* sent at once: empty again */
	assert_true(b.f.level);
	wr(&b, THR, 'b'); /* each write is an edge */
	assert_int_equal(b.f.rises, 3);
	assert_int_equal(b.nsent, 2);
	assert_memory_equal(b.sent, "ab", 2);
	wr(&b, IER, 0x00);
	assert_false(b.f.level);
	wr(&b, IER, 0x02);
	assert_true(b.f.level);
}

/* "Interrupt Control Functions": priorities, and what resets each. */
static void
test_priority(void **state)
{
	struct bed b;

	bed_init(&b);
	wr(&b, FCR, 0x01);
	wr(&b, MCR, 0x18);
	wr(&b, MCR, 0x08); /* out of loop back: CTS and DSR changed */
	wr(&b, IER, 0x0f);
	ns16550_break(&b.u);
	assert_int_equal(rd(&b, IIR), 0xc6);
	assert_int_equal(rd(&b, LSR), 0xf1);
	assert_int_equal(rd(&b, LSR), 0x61);
	assert_int_equal(rd(&b, IIR), 0xc4);
	assert_int_equal(rd(&b, RBR), 0);
	assert_int_equal(rd(&b, IIR), 0xc2);
	assert_int_equal(rd(&b, IIR), 0xc0);
	assert_int_equal(rd(&b, MSR), 0xb3);
	assert_int_equal(rd(&b, MSR), 0xb0);
	assert_int_equal(rd(&b, IIR), 0xc1);
	assert_false(b.f.level);
}

/* "LSR": error bits belong to the byte on top, bit 7 to the whole FIFO. */
static void
test_break_in_fifo(void **state)
{
	struct bed b;

	bed_init(&b);
	wr(&b, FCR, 0x01);
	feed(&b, "a");
	ns16550_break(&b.u);
	feed(&b, "b");
	assert_int_equal(rd(&b, LSR), 0xe1);
	assert_int_equal(rd(&b, RBR), 'a');
	assert_int_equal(rd(&b, LSR), 0xf1);
	assert_int_equal(rd(&b, LSR), 0x61);
	assert_int_equal(rd(&b, RBR), 0);
	assert_int_equal(rd(&b, RBR), 'b');
	assert_int_equal(rd(&b, LSR), 0x60);
}

static void
test_overrun(void **state)
{
	struct bed b;
	unsigned i;

	bed_init(&b);
	wr(&b, FCR, 0x01);
	wr(&b, MCR, 0x10);
	for (i = 0; i < 17; i++)
		wr(&b, THR, (uint8_t)('a' + i));
	assert_int_equal(rd(&b, LSR), 0x63);
	assert_int_equal(rd(&b, LSR), 0x61);
	for (i = 0; i < 16; i++)
		assert_int_equal(rd(&b, RBR), 'a' + i);
	assert_int_equal(rd(&b, LSR), 0x60);
	/* Without FIFO the new character takes the old one's place. */
	wr(&b, FCR, 0x00);
	wr(&b, THR, 'x');
	wr(&b, THR, 'y');
	assert_int_equal(rd(&b, LSR), 0x63);
	assert_int_equal(rd(&b, RBR), 'y');
	/* The outside never overruns. */
	wr(&b, MCR, 0x00);
	assert_int_equal(ns16550_input(&b.u, (const uint8_t *)"12", 2), 1);
	assert_int_equal(ns16550_input(&b.u, (const uint8_t *)"2", 1), 0);
	assert_int_equal(ns16550_room(&b.u), 0);
	assert_int_equal(rd(&b, LSR), 0x61);
}

/* "Loop": outputs to inputs, masked to the word, and cut off from outside. */
static void
test_loop(void **state)
{
	static const struct {
		uint8_t mcr, msr;
	} modem[] = { { 0x10, 0x00 }, { 0x11, 0x20 }, { 0x12, 0x10 },
		{ 0x14, 0x40 }, { 0x18, 0x80 }, { 0x1f, 0xf0 } };
	struct bed b;
	unsigned i;

	for (i = 0; i < 6; i++) {
		bed_init(&b);
		wr(&b, MCR, modem[i].mcr);
		assert_int_equal(rd(&b, MSR) & 0xf0, modem[i].msr);
	}
	bed_init(&b);
	wr(&b, MCR, 0x14);
	rd(&b, MSR);
	wr(&b, MCR, 0x10); /* "Trailing Edge of Ring Indicator" */
	assert_int_equal(rd(&b, MSR), 0x04);
	wr(&b, MCR, 0x14); /* the leading edge is none */
	assert_int_equal(rd(&b, MSR), 0x40);
	wr(&b, LCR, 0x00);
	wr(&b, THR, 0xff);
	assert_int_equal(rd(&b, RBR), 0x1f);
	assert_int_equal(b.nsent, 0);
	assert_int_equal(ns16550_room(&b.u), 0);
	ns16550_break(&b.u);
	assert_int_equal(rd(&b, LSR), 0x60);
	wr(&b, LCR, 0x43);
	assert_int_equal(rd(&b, LSR), 0x71);
}

/* On a PC, OUT2 opens the way to the interrupt controller. */
static void
test_out2(void **state)
{
	struct bed b;

	bed_init(&b);
	wr(&b, MCR, 0x00);
	wr(&b, IER, 0x02);
	assert_false(b.f.level);
	wr(&b, MCR, 0x08);
	assert_true(b.f.level);
	wr(&b, MCR, 0x18);
	assert_false(b.f.level);
}

/* The outside takes nothing, then a little, then all. */
static void
test_back_pressure(void **state)
{
	struct bed b;
	unsigned i;

	bed_init(&b);
	wr(&b, FCR, 0x01);
	wr(&b, IER, 0x02);
	rd(&b, IIR);
	b.take = 0;
	for (i = 0; i < 16; i++) {
		wr(&b, THR, (uint8_t)i);
		assert_int_equal(rd(&b, LSR), 0x00);
	}
	assert_false(b.f.level);
	wr(&b, THR, 0xee); /* did not wait for THRE: lost, as on the chip */
	b.take = 5;
	ns16550_tx_ready(&b.u);
	assert_int_equal(rd(&b, LSR), 0x00);
	assert_int_equal(b.nsent, 5);
	b.take = SIZE_MAX;
	ns16550_tx_ready(&b.u);
	assert_int_equal(rd(&b, LSR), 0x60);
	assert_true(b.f.level);
	assert_int_equal(b.nsent, 16);
	for (i = 0; i < 16; i++)
		assert_int_equal(b.sent[i], i);
	ns16550_tx_ready(&b.u); /* nothing to do */
	assert_int_equal(b.f.rises, 2);
	/* Character mode holds one byte. */
	wr(&b, FCR, 0x00);
	b.take = 0;
	wr(&b, THR, 'q');
	assert_int_equal(rd(&b, LSR), 0x00);
	wr(&b, FCR, 0x01); /* changing the mode clears the FIFOs */
	assert_int_equal(rd(&b, LSR), 0x60);
}

static void
test_fifo_reset(void **state)
{
	struct bed b;

	bed_init(&b);
	wr(&b, FCR, 0x01);
	wr(&b, IER, 0x01);
	feed(&b, "abc");
	assert_true(b.f.level);
	b.f.rearms = 0;
	wr(&b, FCR, 0x03);
	assert_false(b.f.level);
	assert_int_equal(rd(&b, LSR), 0x60);
	assert_int_equal(ns16550_room(&b.u), 16);
	assert_true(b.f.rearms > 0);
	/* Room where there was none is announced. */
	feed(&b, "0123456789abcdef");
	b.f.rearms = 0;
	rd(&b, RBR);
	assert_true(b.f.rearms > 0);
}

static void
test_spray(void **state)
{
	struct bed b;
	uint64_t seed = 16550, at;
	unsigned i;
	uint32_t r;
	uint8_t buf[24] = { 0 };

	bed_init(&b);
	for (i = 0; i < 1500000; i++) {
		r = dice(&seed);
		if ((r & 3) == 0)
			b.f.now += dice_step(&seed) >> 8;
		switch (r >> 2 & 7) {
		case 0:
		case 1:
		case 2:
			wr(&b, r >> 8 & 15, (uint8_t)(r >> 16));
			break;
		case 3:
			at = ns16550_room(&b.u);
			assert_true(
			    ns16550_input(&b.u, buf, r >> 8 & 15) <= at);
			break;
		case 4:
			b.take = r & 0x1000 ? SIZE_MAX : r >> 8 & 15;
			ns16550_tx_ready(&b.u);
			break;
		case 5:
			if ((r & 0xf00) == 0)
				ns16550_break(&b.u);
			ns16550_run(&b.u);
			assert_true(ns16550_deadline(&b.u) > b.f.now);
			break;
		default:
			rd(&b, r >> 8 & 15);
			break;
		}
		assert_true(b.u.rx.n <= 16 && b.u.tx.n <= 16);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_trigger),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_thre),
		cmocka_unit_test(test_priority),
		cmocka_unit_test(test_break_in_fifo),
		cmocka_unit_test(test_overrun),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_out2),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_fifo_reset),
		cmocka_unit_test(test_spray),
	};

	return cmocka_run_group_tests_name("ns16550", tests, NULL, NULL);
}
