/* SPDX-License-Identifier: ISC */

/* Rows against the Intel 8259A data sheet; the section is in each name. */
#include "fakeenv.h"
#include "i8259.h"

enum op { END, W, R, UP, DOWN, ACK, NONE, HIGH, LOW };

struct step {
	enum op op;
	unsigned port; /* or line */
	unsigned val; /* written, or expected */
};

/* As every PC does: vectors 0x20 and 0x28, slave on IR2, everything open. */
#define PC_INIT                                                               \
	{ W, 0x20, 0x11 }, { W, 0x21, 0x20 }, { W, 0x21, 4 }, { W, 0x21, 1 }, \
	    { W, 0xa0, 0x11 }, { W, 0xa1, 0x28 }, { W, 0xa1, 2 },             \
	{                                                                     \
		W, 0xa1, 1                                                    \
	}
/* The same with other ICW4s. */
#define PC_INIT4(m, s)                                                        \
	{ W, 0x20, 0x11 }, { W, 0x21, 0x20 }, { W, 0x21, 4 }, { W, 0x21, m }, \
	    { W, 0xa0, 0x11 }, { W, 0xa1, 0x28 }, { W, 0xa1, 2 },             \
	{                                                                     \
		W, 0xa1, s                                                    \
	}
#define ISR0                  \
	{                     \
		W, 0x20, 0x0b \
	}
#define IRR0                  \
	{                     \
		W, 0x20, 0x0a \
	}

struct row {
	const char *name;
	struct step step[48];
};

static const struct row rows[] = {
	{ "power on: masked, mask readable and writable",
	    { { R, 0x21, 0xff }, { UP, 3, 0 }, { NONE, 0, 0 },
		{ W, 0x21, 0xfb }, { R, 0x21, 0xfb } } },
	{ "Interrupt Sequence: vector is ICW2 plus level",
	    { PC_INIT, { UP, 4, 0 }, { HIGH, 0, 0 }, { ACK, 0, 0x24 }, ISR0,
		{ R, 0x20, 0x10 }, IRR0, { R, 0x20, 0 }, { LOW, 0, 0 } } },
	{ "ICW2: low three bits do not count",
	    { { W, 0x20, 0x11 }, { W, 0x21, 0x57 }, { W, 0x21, 4 },
		{ W, 0x21, 1 }, { UP, 1, 0 }, { ACK, 0, 0x51 } } },
	{ "no request while ICWs are missing",
	    { PC_INIT, { W, 0x20, 0x11 }, { UP, 1, 0 }, { NONE, 0, 0 },
		{ W, 0x21, 0x20 }, { W, 0x21, 4 }, { NONE, 0, 0 },
		{ W, 0x21, 1 }, { ACK, 0, 0x21 } } },
	{ "ICW1: SNGL skips ICW3, IC4 clear skips ICW4",
	    { { W, 0x20, 0x12 }, { W, 0x21, 0x40 }, { UP, 0, 0 },
		{ ACK, 0, 0x40 } } },
	{ "ICW1: clears IMR and edges, IR7 lowest, reads IRR",
	    { PC_INIT, { W, 0x21, 0xff }, { UP, 1, 0 }, { W, 0x20, 0xc3 }, ISR0,
		PC_INIT, { R, 0x21, 0 }, { R, 0x20, 0 }, { NONE, 0, 0 },
		{ DOWN, 1, 0 }, { UP, 1, 0 }, { UP, 0, 0 },
		{ ACK, 0, 0x20 } } },
	{ "Fully Nested Mode: lower and equal wait, higher interrupts",
	    { PC_INIT, { UP, 3, 0 }, { ACK, 0, 0x23 }, { UP, 4, 0 },
		{ NONE, 0, 0 }, { UP, 1, 0 }, { ACK, 0, 0x21 }, { DOWN, 3, 0 },
		{ UP, 3, 0 }, { NONE, 0, 0 }, { W, 0x20, 0x20 }, { NONE, 0, 0 },
		{ W, 0x20, 0x20 }, { ACK, 0, 0x23 } } },
	{ "Edge Triggered: held high is one request",
	    { PC_INIT, { UP, 5, 0 }, { ACK, 0, 0x25 }, { W, 0x20, 0x20 },
		{ NONE, 0, 0 }, { UP, 5, 0 }, { NONE, 0, 0 }, { DOWN, 5, 0 },
		{ UP, 5, 0 }, { ACK, 0, 0x25 } } },
	{ "Edge Triggered: gone before INTA is default IR7, no ISR",
	    { PC_INIT, { UP, 5, 0 }, { HIGH, 0, 0 }, { DOWN, 5, 0 },
		{ LOW, 0, 0 }, { ACK, 0, 0x27 }, ISR0, { R, 0x20, 0 } } },
	{ "PIIX3 ELCR: level requests as long as it is high",
	    { PC_INIT, { W, 0x4d0, 0x20 }, { R, 0x4d0, 0x20 }, { UP, 5, 0 },
		{ ACK, 0, 0x25 }, { NONE, 0, 0 }, { W, 0x20, 0x20 },
		{ ACK, 0, 0x25 }, { DOWN, 5, 0 }, { W, 0x20, 0x20 },
		{ NONE, 0, 0 } } },
	{ "PIIX3 ELCR: IRQ 0, 1, 2, 8, 13 stay edges",
	    { { W, 0x4d0, 0xff }, { R, 0x4d0, 0xf8 }, { W, 0x4d1, 0xff },
		{ R, 0x4d1, 0xde } } },
	{ "Cascade: slave's vector, both in service",
	    { PC_INIT, { UP, 12, 0 }, { ACK, 0, 0x2c }, ISR0, { R, 0x20, 4 },
		{ W, 0xa0, 0x0b }, { R, 0xa0, 0x10 }, { W, 0xa0, 0x20 },
		{ W, 0x20, 0x20 }, { R, 0x20, 0 }, { R, 0xa0, 0 } } },
	{ "Cascade: two slave requests, one after the other",
	    { PC_INIT, { UP, 9, 0 }, { UP, 12, 0 }, { ACK, 0, 0x29 },
		{ W, 0xa0, 0x20 }, { NONE, 0, 0 }, { W, 0x20, 0x20 },
		{ ACK, 0, 0x2c } } },
	{ "Cascade: slave outranks IR3, not IR1",
	    { PC_INIT, { UP, 3, 0 }, { UP, 8, 0 }, { UP, 1, 0 },
		{ ACK, 0, 0x21 }, { W, 0x20, 0x20 }, { ACK, 0, 0x28 },
		{ W, 0x20, 0x20 }, { ACK, 0, 0x23 } } },
	{ "ICW3: master without a slave on IR2 answers itself",
	    { { W, 0xa0, 0x11 }, { W, 0xa1, 0x28 }, { W, 0xa1, 2 },
		{ W, 0xa1, 1 }, { W, 0x20, 0x11 }, { W, 0x21, 0x20 },
		{ W, 0x21, 0 }, { W, 0x21, 1 }, { UP, 8, 0 },
		{ ACK, 0, 0x22 } } },
	{ "ICW3: a slave of another number keeps silent",
	    { { W, 0x20, 0x11 }, { W, 0x21, 0x20 }, { W, 0x21, 4 },
		{ W, 0x21, 1 }, { W, 0xa0, 0x11 }, { W, 0xa1, 0x28 },
		{ W, 0xa1, 3 }, { W, 0xa1, 1 }, { UP, 8, 0 },
		{ ACK, 0, 0xff } } },
	{ "OCW1: mask holds a request back, not away",
	    { PC_INIT, { W, 0x21, 0x08 }, { UP, 3, 0 }, { NONE, 0, 0 },
		{ R, 0x20, 0x08 }, { W, 0x21, 0 }, { ACK, 0, 0x23 } } },
	{ "OCW2: specific EOI",
	    { PC_INIT, { UP, 5, 0 }, { ACK, 0, 0x25 }, { UP, 3, 0 },
		{ ACK, 0, 0x23 }, { W, 0x20, 0x65 }, ISR0, { R, 0x20, 0x08 },
		{ W, 0x20, 0x63 }, { R, 0x20, 0 } } },
	{ "OCW2: no operation; set priority IR3 lowest",
	    { PC_INIT, { UP, 5, 0 }, { ACK, 0, 0x25 }, { W, 0x20, 0x40 }, ISR0,
		{ R, 0x20, 0x20 }, { W, 0x20, 0x20 }, { W, 0x20, 0xc3 },
		{ UP, 1, 0 }, { UP, 4, 0 }, { ACK, 0, 0x24 } } },
	{ "Automatic Rotation: rotate on non-specific EOI",
	    { PC_INIT, { UP, 4, 0 }, { UP, 6, 0 }, { ACK, 0, 0x24 },
		{ W, 0x20, 0xa0 }, { DOWN, 4, 0 }, { UP, 4, 0 },
		{ ACK, 0, 0x26 }, { W, 0x20, 0xa0 }, { ACK, 0, 0x24 } } },
	{ "Specific Rotation: rotate on specific EOI",
	    { PC_INIT, { UP, 2 + 1, 0 }, { ACK, 0, 0x23 }, { W, 0x20, 0xe3 },
		ISR0, { R, 0x20, 0 }, { DOWN, 3, 0 }, { UP, 3, 0 },
		{ UP, 7, 0 }, { ACK, 0, 0x27 } } },
	{ "Automatic EOI: never in service",
	    { PC_INIT4(3, 3), { UP, 4, 0 }, { ACK, 0, 0x24 }, ISR0,
		{ R, 0x20, 0 }, { UP, 5, 0 }, { ACK, 0, 0x25 }, { UP, 9, 0 },
		{ UP, 10, 0 }, { ACK, 0, 0x29 }, { ACK, 0, 0x2a },
		{ NONE, 0, 0 } } },
	{ "Rotate in AEOI mode, set and clear",
	    { PC_INIT4(3, 1), { W, 0x20, 0x80 }, { UP, 4, 0 }, { ACK, 0, 0x24 },
		{ DOWN, 4, 0 }, { UP, 4, 0 }, { UP, 6, 0 }, { ACK, 0, 0x26 },
		{ W, 0x20, 0x00 }, { ACK, 0, 0x24 }, { DOWN, 6, 0 },
		{ UP, 6, 0 }, { UP, 0, 0 }, { DOWN, 4, 0 }, { UP, 4, 0 },
		{ ACK, 0, 0x20 } } },
	{ "Special Mask Mode: a masked level in service inhibits nobody",
	    { PC_INIT, { UP, 1, 0 }, { ACK, 0, 0x21 }, { UP, 5, 0 },
		{ NONE, 0, 0 }, { W, 0x21, 2 }, { NONE, 0, 0 },
		{ W, 0x20, 0x68 }, { ACK, 0, 0x25 }, { W, 0x20, 0x20 }, ISR0,
		{ R, 0x20, 2 }, { W, 0x20, 0x20 }, { R, 0x20, 2 },
		{ W, 0x20, 0x48 }, { W, 0x20, 0x20 }, { R, 0x20, 0 } } },
	{ "Special Fully Nested Mode: a higher slave request gets through",
	    { PC_INIT4(0x11, 1), { UP, 12, 0 }, { ACK, 0, 0x2c }, { UP, 9, 0 },
		{ ACK, 0, 0x29 }, { UP, 14, 0 }, { NONE, 0, 0 }, { UP, 3, 0 },
		{ NONE, 0, 0 } } },
	{ "without SFNM the slave is locked out",
	    { PC_INIT, { UP, 12, 0 }, { ACK, 0, 0x2c }, { UP, 9, 0 },
		{ NONE, 0, 0 }, { W, 0x20, 0x20 }, { ACK, 0, 0x29 } } },
	{ "Poll Command: read acknowledges",
	    { PC_INIT, { UP, 6, 0 }, { W, 0x20, 0x0c }, { R, 0x20, 0x86 }, ISR0,
		{ R, 0x20, 0x40 }, { LOW, 0, 0 }, { W, 0x20, 0x0c },
		{ R, 0x21, 0 }, { R, 0x21, 0 } } },
	{ "Poll Command: slave under the master's IR2",
	    { PC_INIT, { UP, 11, 0 }, { W, 0x20, 0x0c }, { R, 0x20, 0x82 },
		{ W, 0xa0, 0x0c }, { R, 0xa0, 0x83 }, { W, 0xa0, 0x20 },
		{ W, 0x20, 0x20 }, { NONE, 0, 0 } } },
	{ "spurious slave: its IR7, master in service",
	    { PC_INIT, { UP, 9, 0 }, { W, 0xa0, 0x0c }, { R, 0xa0, 0x81 },
		{ NONE, 0, 0 } } },
	{ "IR0: highest, requests, is polled, interrupts IR7",
	    { PC_INIT, { UP, 7, 0 }, { ACK, 0, 0x27 }, { UP, 0, 0 },
		{ HIGH, 0, 0 }, { ACK, 0, 0x20 }, { W, 0x20, 0x20 },
		{ DOWN, 0, 0 }, { UP, 0, 0 }, { W, 0x20, 0x0c },
		{ R, 0x20, 0x80 } } },
	{ "Edge Triggered: other lines do not make an edge of a held one",
	    { PC_INIT, { UP, 3, 0 }, { ACK, 0, 0x23 }, { W, 0x20, 0x20 },
		{ UP, 4, 0 }, { ACK, 0, 0x24 }, { W, 0x20, 0x20 }, { UP, 3, 0 },
		{ NONE, 0, 0 } } },
	{ "PIIX3 ELCR: a change leaves the other lines' edges",
	    { PC_INIT, { UP, 3, 0 }, { W, 0x4d0, 0x20 }, { R, 0x20, 0x08 },
		{ ACK, 0, 0x23 } } },
	{ "IRQ 2 is not wired, 16 does not exist",
	    { PC_INIT, { UP, 2, 0 }, { UP, 16, 0 }, { UP, 1000, 0 },
		{ NONE, 0, 0 }, { R, 0x22, 0xff } } },
};

static void
run_row(void **state)
{
	const struct row *row = *state;
	const struct step *s;
	struct fake f = { 0 };
	struct i8259 p;

	i8259_init(&p, fake_line(&f));
	for (s = row->step; s->op != END; s++) {
		switch (s->op) {
		case W:
			i8259_write(&p, (uint16_t)s->port, (uint8_t)s->val);
			break;
		case R:
			assert_int_equal(
			    i8259_read(&p, (uint16_t)s->port), s->val);
			break;
		case UP:
		case DOWN:
			i8259_set(&p, s->port, s->op == UP);
			break;
		case ACK:
			assert_int_equal(i8259_ack(&p), s->val);
			break;
		case NONE:
		case LOW:
			assert_false(i8259_pending(&p));
			assert_false(f.level);
			break;
		case HIGH:
			assert_true(f.level);
			break;
		case END:
			break;
		}
		assert_true(f.level == i8259_pending(&p));
	}
}

/* INTR falls during INTA and rises again when more is waiting. */
static void
test_intr_edges(void **state)
{
	static const uint8_t icw[] = { 0x11, 0x20, 4, 1 };
	struct fake f = { 0 };
	struct i8259 p;
	unsigned i;

	i8259_init(&p, fake_line(&f));
	for (i = 0; i < 4; i++)
		i8259_write(&p, i == 0 ? 0x20 : 0x21, icw[i]);
	i8259_set(&p, 3, true);
	i8259_set(&p, 1, true);
	assert_int_equal(i8259_ack(&p), 0x21);
	assert_false(f.level);
	i8259_write(&p, 0x20, 0x20);
	assert_true(f.level);
	assert_int_equal(f.rises, 2);
	assert_int_equal(f.falls, 1);
}

/* A line that is only pulsed, as an eventfd does it. */
static void
test_kept_edges(void **state)
{
	static const uint8_t init[] = { 0x11, 0x20, 4, 1, 0x11, 0x28, 2, 1 };
	struct fake f = { 0 };
	struct i8259 p;
	unsigned i;

	i8259_init(&p, fake_line(&f));
	i8259_keep_edges(&p);
	for (i = 0; i < 8; i++)
		i8259_write(&p,
		    (uint16_t)((i & 4 ? 0xa0 : 0x20) + (i % 4 != 0)), init[i]);
	i8259_set(&p, 4, true);
	i8259_set(&p, 4, false);
	assert_true(f.level);
	assert_int_equal(i8259_ack(&p), 0x24);
	assert_false(f.level);
	/* The slave's are latched there, and the master's IR2 follows. */
	i8259_set(&p, 9, true);
	i8259_set(&p, 9, false);
	i8259_write(&p, 0x20, 0x20);
	assert_true(f.level);
	i8259_write(&p, 0xa1, 2);
	assert_false(f.level);
	i8259_write(&p, 0xa1, 0);
	assert_int_equal(i8259_ack(&p), 0x29);
	/* A level is none that lasts. */
	i8259_write(&p, 0x4d1, 8);
	i8259_set(&p, 11, true);
	i8259_set(&p, 11, false);
	i8259_write(&p, 0xa0, 0x20);
	i8259_write(&p, 0x20, 0x20);
	assert_false(f.level);
}

/* What went out of service, for those who wait for it. */
static void
test_ended(void **state)
{
	static const uint8_t init[] = { 0x11, 0x20, 4, 1, 0x11, 0x28, 2, 3 };
	struct fake f = { 0 };
	struct i8259 p;
	unsigned i;

	i8259_init(&p, fake_line(&f));
	for (i = 0; i < 8; i++)
		i8259_write(&p,
		    (uint16_t)((i & 4 ? 0xa0 : 0x20) + (i % 4 != 0)), init[i]);
	i8259_set(&p, 4, true);
	i8259_ack(&p);
	assert_int_equal(p.ended, 0);
	i8259_write(&p, 0x20, 0x63); /* another's */
	assert_int_equal(p.ended, 0);
	i8259_write(&p, 0x20, 0x20);
	assert_int_equal(p.ended, 1 << 4);
	p.ended = 0;
	i8259_write(&p, 0x20, 0x20); /* nothing is in service */
	assert_int_equal(p.ended, 0);
	i8259_set(&p, 9, true);
	i8259_ack(&p); /* the slave's EOIs are automatic */
	assert_int_equal(p.ended, 1 << 9);
}

static void
test_spray(void **state)
{
	static const uint16_t port[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };
	struct fake f = { 0 };
	struct i8259 p;
	uint64_t seed = 8259;
	unsigned i;
	uint32_t r;

	i8259_init(&p, fake_line(&f));
	for (i = 0; i < 1500000; i++) {
		r = dice(&seed);
		switch (r & 7) {
		case 0:
		case 1:
			i8259_set(&p, r >> 8 & 31, r >> 16 & 1);
			break;
		case 2:
			i8259_ack(&p);
			break;
		case 3:
			i8259_read(&p, port[(r >> 8) % 6]);
			break;
		default:
			i8259_write(&p, port[(r >> 8) % 6], (uint8_t)(r >> 16));
			break;
		}
		assert_true(f.level == i8259_pending(&p));
	}
}

int
main(void)
{
	enum { N = sizeof(rows) / sizeof(rows[0]) };
	struct CMUnitTest t[N + 4];
	unsigned i;

	for (i = 0; i < N; i++)
		t[i] = (struct CMUnitTest){ rows[i].name, run_row, NULL, NULL,
			(void *)(uintptr_t)&rows[i] };
	t[N] = (struct CMUnitTest)cmocka_unit_test(test_intr_edges);
	t[N + 1] = (struct CMUnitTest)cmocka_unit_test(test_kept_edges);
	t[N + 2] = (struct CMUnitTest)cmocka_unit_test(test_ended);
	t[N + 3] = (struct CMUnitTest)cmocka_unit_test(test_spray);
	return cmocka_run_group_tests_name("i8259", t, NULL, NULL);
}
