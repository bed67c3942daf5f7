/* SPDX-License-Identifier: ISC */

/* Rows after the IBM PS/2 Hardware Interface Technical Reference. */
#include <string.h>
#include "fakeenv.h"
#include "i8042.h"

enum op {
	END,
	C,
	D,
	R,
	ST,
	NST,
	EMPTY,
	IRQ,
	NOIRQ,
	IRQ12,
	NOIRQ12,
	M,
	A,
	W92,
	R92,
	WCF9,
	RCF9,
	RESET,
	KEY
};

struct row {
	const char *name;
	struct {
		enum op op;
		unsigned val;
	} step[26];
};

/* ST, NST: status bits that must be set, clear. */
static const struct row rows[] = {
	{ "idle: nothing to read, not locked, no IBF",
	    { { ST, 0x14 }, { NST, 0x03 }, { EMPTY, 0 }, { NOIRQ, 0 } } },
	{ "AA self test answers 55 and sets SYS",
	    { { C, 0x60 }, { D, 0x61 }, { NST, 0x04 }, { C, 0xaa },
		{ ST, 0x1d }, { R, 0x55 }, { ST, 0x04 }, { EMPTY, 0 },
		{ C, 0x20 }, { R, 0x65 } } },
	{ "20/60 command byte",
	    { { C, 0x20 }, { R, 0x65 }, { C, 0x60 }, { D, 0x44 }, { NST, 8 },
		{ C, 0x20 }, { R, 0x44 } } },
	{ "60 can clear SYS", { { C, 0x60 }, { D, 0x00 }, { NST, 0x04 } } },
	{ "21-3f, 61-7f controller RAM",
	    { { C, 0x7f }, { D, 0x5a }, { C, 0x3f }, { R, 0x5a }, { C, 0x61 },
		{ D, 0xa5 }, { C, 0x21 }, { R, 0xa5 }, { C, 0x3f },
		{ R, 0x5a } } },
	{ "AB keyboard interface test", { { C, 0xab }, { R, 0x00 } } },
	{ "AD/AE keyboard off and on",
	    { { C, 0xad }, { C, 0x20 }, { R, 0x75 }, { C, 0xae }, { C, 0x20 },
		{ R, 0x65 } } },
	{ "A7/A8 auxiliary off and on",
	    { { C, 0xa8 }, { C, 0x20 }, { R, 0x45 }, { C, 0xa7 }, { C, 0x20 },
		{ R, 0x65 } } },
	{ "A9 auxiliary interface test", { { C, 0xa9 }, { R, 0x00 } } },
	{ "D3 as if the mouse had sent it",
	    { { C, 0xd3 }, { D, 0xa5 }, { ST, 0x21 }, { NOIRQ, 0 },
		{ NOIRQ12, 0 }, { C, 0xd0 }, { R, 0x23 }, { C, 0x60 },
		{ D, 0x47 }, { C, 0xd3 }, { D, 0x5a }, { IRQ12, 0 },
		{ NOIRQ, 0 }, { A, 0x5a }, { NOIRQ12, 0 }, { NST, 0x21 } } },
	{ "D4 enables the interface, as a byte to the keyboard does",
	    { { C, 0x20 }, { R, 0x65 }, { M, 0xf2 }, { A, 0xfa }, { A, 0x00 },
		{ EMPTY, 0 }, { C, 0x20 }, { R, 0x45 } } },
	{ "mouse waits until it is on",
	    { { M, 0xff }, { C, 0xa7 }, { A, 0xfa }, { EMPTY, 0 }, { C, 0xa8 },
		{ A, 0xaa }, { A, 0x00 }, { M, 0xf2 }, { C, 0x60 }, { D, 0x65 },
		{ A, 0xfa }, { EMPTY, 0 }, { C, 0x60 }, { D, 0x45 },
		{ A, 0x00 }, { EMPTY, 0 } } },
	{ "mouse and keyboard share the buffer; each byte is of its side",
	    { { C, 0x60 }, { D, 0x47 }, { M, 0xff }, { IRQ12, 0 }, { NOIRQ, 0 },
		{ KEY, 0x1e }, { IRQ12, 0 }, { A, 0xfa }, { IRQ, 0 },
		{ NOIRQ12, 0 }, { NST, 0x20 }, { R, 0x1e }, { NOIRQ, 0 },
		{ IRQ12, 0 }, { A, 0xaa }, { A, 0x00 }, { NOIRQ12, 0 } } },
	{ "mouse FF: reset, self test passed, its kind",
	    { { M, 0xe7 }, { A, 0xfa }, { M, 0xff }, { A, 0xfa }, { A, 0xaa },
		{ A, 0x00 }, { EMPTY, 0 }, { M, 0xe9 }, { A, 0xfa },
		{ A, 0x00 }, { A, 0x02 }, { A, 0x64 }, { EMPTY, 0 } } },
	{ "mouse E9: modes that were set",
	    { { M, 0xe7 }, { A, 0xfa }, { M, 0xf4 }, { A, 0xfa }, { M, 0xf0 },
		{ A, 0xfa }, { M, 0xe9 }, { A, 0xfa }, { A, 0x70 }, { A, 0x02 },
		{ A, 0x64 }, { M, 0xea }, { A, 0xfa }, { M, 0xe6 }, { A, 0xfa },
		{ M, 0xf5 }, { A, 0xfa }, { M, 0xe9 }, { A, 0xfa }, { A, 0x00 },
		{ A, 0x02 }, { A, 0x64 } } },
	{ "mouse E8, F3: resolution and rate, F6 defaults",
	    { { M, 0xe8 }, { A, 0xfa }, { M, 0x03 }, { A, 0xfa }, { M, 0xf3 },
		{ A, 0xfa }, { M, 0xc8 }, { A, 0xfa }, { M, 0xe9 }, { A, 0xfa },
		{ A, 0x00 }, { A, 0x03 }, { A, 0xc8 }, { M, 0xf6 }, { A, 0xfa },
		{ M, 0xe9 }, { A, 0xfa }, { A, 0x00 }, { A, 0x02 }, { A, 0x64 },
		{ EMPTY, 0 } } },
	{ "mouse E8, F3: bad arguments, and a command in place of one",
	    { { M, 0xe8 }, { A, 0xfa }, { M, 0x04 }, { A, 0xfe }, { M, 0xf3 },
		{ A, 0xfa }, { M, 0x65 }, { A, 0xfe }, { M, 0xf3 }, { A, 0xfa },
		{ M, 0xf2 }, { A, 0xfa }, { A, 0x00 }, { M, 0x64 }, { A, 0xfe },
		{ M, 0xe9 }, { A, 0xfa }, { A, 0x00 }, { A, 0x02 },
		{ A, 0x64 } } },
	{ "mouse EB: a report, in either mode",
	    { { M, 0xeb }, { A, 0xfa }, { A, 0x08 }, { A, 0 }, { A, 0 },
		{ EMPTY, 0 }, { M, 0xf0 }, { A, 0xfa }, { M, 0xeb },
		{ A, 0xfa }, { A, 0x08 }, { A, 0 }, { A, 0 }, { EMPTY, 0 } } },
	{ "mouse EE: bytes come back until EC or FF",
	    { { M, 0xee }, { A, 0xfa }, { M, 0xf2 }, { A, 0xf2 }, { M, 0xee },
		{ A, 0xee }, { M, 0xec }, { A, 0xfa }, { M, 0xf2 }, { A, 0xfa },
		{ A, 0x00 }, { M, 0xee }, { A, 0xfa }, { M, 0xff }, { A, 0xfa },
		{ A, 0xaa }, { A, 0x00 }, { M, 0xeb }, { A, 0xfa },
		{ A, 0x08 } } },
	{ "mouse FE and unknown; a byte to it ends its answer",
	    { { M, 0xf2 }, { A, 0xfa }, { A, 0x00 }, { M, 0xfe }, { A, 0x00 },
		{ M, 0xe1 }, { A, 0xfe }, { M, 0xff }, { A, 0xfa }, { M, 0xf4 },
		{ A, 0xaa }, { A, 0xfa }, { EMPTY, 0 } } },
	{ "C0, E0 ports", { { C, 0xc0 }, { R, 0x80 }, { C, 0xe0 }, { R, 0 } } },
	{ "D0/D1 output port, A20 is the one of port 92",
	    { { C, 0xd0 }, { R, 0x03 }, { C, 0xd1 }, { D, 0x01 }, { R92, 0 },
		{ W92, 0x02 }, { C, 0xd0 }, { R, 0x03 }, { C, 0xdd },
		{ R92, 0 }, { C, 0xdf }, { R92, 2 }, { C, 0xd0 },
		{ R, 0x03 } } },
	{ "D0 shows a full output buffer",
	    { { C, 0xd2 }, { D, 0x1c }, { C, 0xd0 }, { R, 0x13 } } },
	{ "D1 with bit 0 clear resets",
	    { { C, 0xd1 }, { D, 0xfe }, { RESET, 1 } } },
	{ "D2 as if typed",
	    { { C, 0xd2 }, { D, 0x1c }, { IRQ, 0 }, { R, 0x1c },
		{ NOIRQ, 0 } } },
	{ "FE pulse resets", { { C, 0xfe }, { RESET, 1 } } },
	{ "F0 pulse resets", { { C, 0xf0 }, { RESET, 1 } } },
	{ "FF pulses nothing", { { C, 0xff }, { C, 0xf1 }, { RESET, 0 } } },
	{ "unknown commands are ignored, also as prefix",
	    { { C, 0x00 }, { C, 0x80 }, { C, 0xb0 }, { EMPTY, 0 }, { C, 0xd1 },
		{ C, 0x99 }, { D, 0xee }, { R, 0xee }, { RESET, 0 } } },
	{ "keyboard FF: reset, self test passed",
	    { { D, 0xff }, { IRQ, 0 }, { R, 0xfa }, { IRQ, 0 }, { R, 0xaa },
		{ NOIRQ, 0 }, { EMPTY, 0 } } },
	{ "keyboard F2: identify, translated",
	    { { D, 0xf2 }, { R, 0xfa }, { R, 0xab }, { R, 0x41 },
		{ EMPTY, 0 } } },
	{ "keyboard F2: identify, not translated",
	    { { C, 0x60 }, { D, 0x05 }, { D, 0xf2 }, { R, 0xfa }, { R, 0xab },
		{ R, 0x83 }, { EMPTY, 0 } } },
	{ "keyboard ED, F3: argument acknowledged",
	    { { D, 0xed }, { R, 0xfa }, { D, 0x07 }, { R, 0xfa }, { EMPTY, 0 },
		{ D, 0xf3 }, { R, 0xfa }, { D, 0x20 }, { R, 0xfa } } },
	{ "keyboard ED 00, F0 05: acknowledged and no more",
	    { { D, 0xed }, { R, 0xfa }, { D, 0x00 }, { R, 0xfa }, { EMPTY, 0 },
		{ D, 0xf0 }, { R, 0xfa }, { D, 0x05 }, { R, 0xfa },
		{ EMPTY, 0 }, { D, 0xf0 }, { R, 0xfa }, { D, 0x00 },
		{ R, 0xfa }, { R, 0x41 } } },
	{ "keyboard ED: a command in place of the argument",
	    { { D, 0xed }, { R, 0xfa }, { D, 0xf4 }, { R, 0xfa }, { D, 0x02 },
		{ R, 0xfe } } },
	{ "keyboard F0: set and ask the scan code set",
	    { { C, 0x60 }, { D, 0x05 }, { D, 0xf0 }, { R, 0xfa }, { D, 0x03 },
		{ R, 0xfa }, { D, 0xf0 }, { R, 0xfa }, { D, 0x00 }, { R, 0xfa },
		{ R, 0x03 }, { D, 0xf6 }, { R, 0xfa }, { D, 0xf0 }, { R, 0xfa },
		{ D, 0x00 }, { R, 0xfa }, { R, 0x02 } } },
	{ "keyboard F4, F5, EE, unknown, FE",
	    { { D, 0xf4 }, { R, 0xfa }, { D, 0xf5 }, { R, 0xfa }, { D, 0xee },
		{ R, 0xee }, { D, 0xef }, { R, 0xfe }, { D, 0xee }, { R, 0xee },
		{ D, 0xfe }, { R, 0xee } } },
	{ "keyboard waits while off, a byte to it turns it on",
	    { { D, 0xff }, { C, 0xad }, { R, 0xfa }, { EMPTY, 0 }, { C, 0xae },
		{ R, 0xaa }, { C, 0xad }, { D, 0xee }, { R, 0xee } } },
	{ "controller's answer replaces an unread byte",
	    { { D, 0xee }, { C, 0xaa }, { R, 0x55 }, { EMPTY, 0 } } },
	{ "interrupt off in the command byte",
	    { { C, 0x60 }, { D, 0x44 }, { D, 0xee }, { NOIRQ, 0 }, { ST, 1 },
		{ C, 0x60 }, { D, 0x45 }, { IRQ, 0 } } },
	{ "keys: translated, down and up, one byte after the other",
	    { { KEY, 0x1e }, { KEY, 0x801e }, { IRQ, 0 }, { R, 0x1e },
		{ R, 0x9e }, { EMPTY, 0 }, { KEY, 0x153 }, { R, 0xe0 },
		{ R, 0x53 }, { KEY, 0x8153 }, { R, 0xe0 }, { R, 0xd3 } } },
	{ "keys: set 2 without translation, and set 1",
	    { { C, 0x60 }, { D, 0x05 }, { KEY, 0x8153 }, { R, 0xe0 },
		{ R, 0xf0 }, { R, 0x71 }, { D, 0xf0 }, { R, 0xfa }, { D, 0x01 },
		{ R, 0xfa }, { KEY, 0x801e }, { R, 0x9e }, { EMPTY, 0 } } },
	{ "keys: lost in set 3, while disabled, or unknown",
	    { { D, 0xf5 }, { R, 0xfa }, { KEY, 0x1e }, { EMPTY, 0 },
		{ D, 0xf4 }, { R, 0xfa }, { EMPTY, 0 }, { KEY, 0x7f },
		{ EMPTY, 0 }, { KEY, 0x1e }, { R, 0x1e }, { D, 0xf0 },
		{ R, 0xfa }, { D, 0x03 }, { R, 0xfa }, { KEY, 0x1e },
		{ EMPTY, 0 } } },
	{ "keys: wait while the interface is off; answers come first",
	    { { C, 0xad }, { KEY, 0x1e }, { KEY, 0x801e }, { EMPTY, 0 },
		{ D, 0xee }, { R, 0xee }, { R, 0x1e }, { R, 0x9e },
		{ EMPTY, 0 } } },
	{ "port 92 resets on bit 0",
	    { { W92, 0x02 }, { RESET, 0 }, { W92, 0x03 }, { RESET, 1 },
		{ R92, 0x02 } } },
	{ "CF9: 06 after 02",
	    { { WCF9, 0x02 }, { RESET, 0 }, { RCF9, 0x02 }, { WCF9, 0x06 },
		{ RESET, 1 } } },
	{ "CF9: 0E", { { WCF9, 0x0e }, { RESET, 1 }, { RCF9, 0x0a } } },
	{ "CF9: 04 soft reset", { { WCF9, 0x04 }, { RESET, 1 } } },
	{ "CF9: nothing else", { { WCF9, 0xfb }, { RESET, 0 } } },
};

static void
on_reset(void *arg)
{
	++*(unsigned *)arg;
}

static void
run_row(void **state)
{
	const struct row *row = *state;
	struct fake f = { 0 }, aux = { 0 };
	struct i8042 k;
	unsigned i, resets = 0;
	uint8_t v;

	i8042_init(&k, fake_line(&f), fake_line(&aux), on_reset, &resets);
	for (i = 0; row->step[i].op != END; i++) {
		v = (uint8_t)row->step[i].val;
		switch (row->step[i].op) {
		case C:
			i8042_write(&k, 0x64, v);
			break;
		case D:
			i8042_write(&k, 0x60, v);
			break;
		case R:
			assert_true(i8042_read(&k, 0x64) & 1);
			assert_int_equal(i8042_read(&k, 0x60), v);
			break;
		case ST:
			assert_int_equal(i8042_read(&k, 0x64) & v, v);
			break;
		case NST:
			assert_int_equal(i8042_read(&k, 0x64) & v, 0);
			break;
		case EMPTY:
			assert_false(i8042_read(&k, 0x64) & 1);
			break;
		case IRQ:
		case NOIRQ:
			assert_int_equal(f.level, row->step[i].op == IRQ);
			break;
		case IRQ12:
		case NOIRQ12:
			assert_int_equal(aux.level, row->step[i].op == IRQ12);
			break;
		case M: /* a byte to the mouse */
			i8042_write(&k, 0x64, 0xd4);
			i8042_write(&k, 0x60, v);
			break;
		case A: /* a byte from it */
			assert_int_equal(i8042_read(&k, 0x64) & 0x21, 0x21);
			assert_int_equal(i8042_read(&k, 0x60), v);
			break;
		case W92:
			i8042_write(&k, 0x92, v);
			break;
		case R92:
			assert_int_equal(i8042_read(&k, 0x92), v);
			break;
		case WCF9:
			i8042_write(&k, 0xcf9, v);
			break;
		case RCF9:
			assert_int_equal(i8042_read(&k, 0xcf9), v);
			break;
		case KEY:
			i8042_key(&k, row->step[i].val);
			break;
		case RESET:
			assert_int_equal(resets, v);
			break;
		case END:
			break;
		}
	}
}

/* IRQ 1, as 12, is edge-triggered: each byte is an edge, also in place of one that
 * was not read. */
static void
test_irq_edges(void **state)
{
	struct fake f = { 0 }, aux = { 0 };
	struct i8042 k;
	unsigned resets = 0;

	i8042_init(&k, fake_line(&f), fake_line(&aux), on_reset, &resets);
	i8042_write(&k, 0x60, 0xff);
	assert_int_equal(f.rises, 1);
	i8042_read(&k, 0x60);
	assert_int_equal(f.rises, 2);
	i8042_write(&k, 0x64, 0xd2);
	i8042_write(&k, 0x60, 0x1c);
	assert_int_equal(f.rises, 3);
	i8042_read(&k, 0x60);
	assert_int_equal(f.falls, 3);
	assert_int_equal(f.rises, 3);
	i8042_write(&k, 0x64, 0x60);
	i8042_write(&k, 0x60, 0x47);
	i8042_write(&k, 0x64, 0xd4);
	i8042_write(&k, 0x60, 0xf2);
	assert_int_equal(aux.rises, 1);
	i8042_read(&k, 0x60);
	assert_int_equal(aux.rises, 2);
	i8042_read(&k, 0x60);
	assert_int_equal(aux.falls, 2);
	assert_int_equal(f.rises, 3);
}

static void
test_spray(void **state)
{
	static const uint16_t port[] = { 0x60, 0x64, 0x92, 0xcf9, 0x61 };
	struct fake f = { 0 }, aux = { 0 };
	struct i8042 k;
	uint64_t seed = 8042;
	unsigned i, resets = 0;
	uint32_t r;

	i8042_init(&k, fake_line(&f), fake_line(&aux), on_reset, &resets);
	for (i = 0; i < 1500000; i++) {
		r = dice(&seed);
		if ((r & 0xff) == 0)
			i8042_key(&k, r >> 8 & 0x81ff);
		else if (r & 3)
			i8042_write(&k, port[(r >> 8) % 5], (uint8_t)(r >> 16));
		else
			i8042_read(&k, port[(r >> 8) % 5]);
		assert_true(k.kbd.n <= I8042_QUEUE);
		assert_true(k.kbd.nkeys <= I8042_KEYS);
		assert_true(k.aux.n <= PS2MOUSE_QUEUE);
		assert_true(f.level == k.level);
		assert_true(aux.level == k.aux_level);
		assert_false(f.level && aux.level);
	}
	assert_true(resets > 0);
}

int
main(void)
{
	enum { N = sizeof(rows) / sizeof(rows[0]) };
	struct CMUnitTest t[N + 2];
	unsigned i;

	for (i = 0; i < N; i++)
		t[i] = (struct CMUnitTest){ rows[i].name, run_row, NULL, NULL,
			(void *)(uintptr_t)&rows[i] };
	t[N] = (struct CMUnitTest)cmocka_unit_test(test_irq_edges);
	t[N + 1] = (struct CMUnitTest)cmocka_unit_test(test_spray);
	return cmocka_run_group_tests_name("i8042", t, NULL, NULL);
}
