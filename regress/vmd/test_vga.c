/* SPDX-License-Identifier: ISC */

/* Rows after the IBM PS/2 Hardware Interface Technical Reference. */
#include <stdlib.h>
#include <string.h>
#include "fakeenv.h"
#include "scancode.h"
#include "vga.h"

enum op {
	END,
	W, /* val to port at */
	R, /* port at reads val */
	X, /* register index (high byte of val) := low byte; at: its port */
	POKE, /* val to address at, from VGA_MEM_BASE */
	PEEK,
	CELL, /* at shows val */
	MODE,
	COLS,
	ROWS,
	CURSOR,
};

struct row {
	const char *name;
	struct {
		enum op op;
		unsigned at, val;
	} step[20];
};

#define TEXT 0x18000 /* 0xb8000 */
#define GONE 0xff

static const struct row rows[] = {
	{ "at first: 80 by 25, blank",
	    { { MODE, 0, SCREEN_TEXT }, { COLS, 0, 80 }, { ROWS, 0, 25 },
		{ CURSOR, 0, 0 }, { CELL, 0, 0x0720 }, { CELL, 1999, 0x0720 },
		{ PEEK, TEXT, 0x20 }, { PEEK, TEXT + 1, 0x07 } } },
	{ "characters and attributes",
	    { { POKE, TEXT, 'A' }, { POKE, TEXT + 1, 0x1f },
		{ POKE, TEXT + 3998, 'z' }, { CELL, 0, 0x1f41 },
		{ CELL, 1999, 0x077a }, { PEEK, TEXT, 'A' },
		{ PEEK, TEXT + 1, 0x1f } } },
	{ "the start address scrolls",
	    { { POKE, TEXT + 160, 'B' }, { X, 0x3d4, 0x0d50 },
		{ CELL, 0, 0x0742 }, { CURSOR, 0, SCREEN_NOCURSOR },
		{ X, 0x3d4, 0x0f50 }, { CURSOR, 0, 0 } } },
	{ "cursor: place, off",
	    { { X, 0x3d4, 0x0e01 }, { X, 0x3d4, 0x0f02 }, { CURSOR, 0, 0x102 },
		{ X, 0x3d4, 0x0a20 }, { CURSOR, 0, SCREEN_NOCURSOR } } },
	{ "memory map select: monochrome text",
	    { { X, 0x3ce, 0x060a }, { POKE, 0x10000, 'M' }, { CELL, 0, 0x074d },
		{ PEEK, 0x10000, 'M' }, { PEEK, TEXT, GONE },
		{ PEEK, 0, GONE } } },
	{ "memory map select: 64 KiB and 128 KiB",
	    { { X, 0x3ce, 0x0606 }, { PEEK, 0, 0x20 }, { PEEK, TEXT, GONE },
		{ X, 0x3ce, 0x0602 }, { PEEK, 0, 0x20 },
		{ PEEK, TEXT, 0x20 } } },
	{ "memory off",
	    { { W, 0x3c2, 0x65 }, { PEEK, TEXT, GONE }, { POKE, TEXT, 'X' },
		{ W, 0x3c2, 0x67 }, { PEEK, TEXT, 0x20 } } },
	{ "a font goes to plane 2, text stays",
	    { { X, 0x3c4, 0x0204 }, { X, 0x3c4, 0x0407 }, { X, 0x3ce, 0x0600 },
		{ X, 0x3ce, 0x0402 }, { POKE, 0, 0x7e }, { PEEK, 0, 0x7e },
		{ X, 0x3c4, 0x0203 }, { X, 0x3c4, 0x0402 },
		{ X, 0x3ce, 0x0400 }, { X, 0x3ce, 0x060e },
		{ PEEK, TEXT, 0x20 }, { CELL, 0, 0x0720 } } },
	{ "write modes 1, 2, 3, and read mode 1",
	    { { X, 0x3c4, 0x020f }, { X, 0x3c4, 0x0406 }, { X, 0x3ce, 0x0605 },
		{ X, 0x3ce, 0x0502 }, { POKE, 8, 0x05 }, { PEEK, 8, 0xff },
		{ X, 0x3ce, 0x0501 }, { POKE, 9, 0 }, { PEEK, 9, 0xff },
		{ X, 0x3ce, 0x050b }, { X, 0x3ce, 0x0205 }, { PEEK, 8, 0xff },
		{ X, 0x3ce, 0x0204 }, { PEEK, 8, 0x00 }, { X, 0x3ce, 0x0000 },
		{ POKE, 8, 0x0f }, { X, 0x3ce, 0x0500 }, { PEEK, 8, 0xf0 } } },
	{ "write mode 0: rotate, and, mask",
	    { { POKE, TEXT, 0xf0 }, { PEEK, TEXT, 0xf0 }, { X, 0x3ce, 0x0308 },
		{ POKE, TEXT, 0x3c }, { PEEK, TEXT, 0x30 },
		{ X, 0x3ce, 0x0304 }, { POKE, TEXT, 0x0f },
		{ PEEK, TEXT, 0xf0 }, { X, 0x3ce, 0x0300 },
		{ X, 0x3ce, 0x0801 }, { POKE, TEXT, 0x0f },
		{ PEEK, TEXT, 0xf1 } } },
	{ "graphics are told, not drawn",
	    { { X, 0x3ce, 0x0605 }, { MODE, 0, SCREEN_GRAPHICS },
		{ COLS, 0, 0 }, { ROWS, 0, 0 }, { CURSOR, 0, SCREEN_NOCURSOR },
		{ X, 0x3ce, 0x060e }, { MODE, 0, SCREEN_TEXT } } },
	{ "screen off, attribute controller off",
	    { { X, 0x3c4, 0x0120 }, { MODE, 0, SCREEN_OFF },
		{ X, 0x3c4, 0x0100 }, { MODE, 0, SCREEN_TEXT },
		{ R, 0x3da, 0x09 }, { W, 0x3c0, 0x10 }, { MODE, 0, SCREEN_OFF },
		{ W, 0x3c0, 0x0c }, { W, 0x3c0, 0x20 },
		{ MODE, 0, SCREEN_TEXT }, { R, 0x3c0, 0x20 } } },
	{ "attribute registers: index and data in turn",
	    { { R, 0x3da, 0x09 }, { W, 0x3c0, 0x24 }, { W, 0x3c0, 0x2a },
		{ W, 0x3c0, 0x24 }, { R, 0x3c1, 0x2a }, { R, 0x3da, 0x00 },
		{ W, 0x3c0, 0x3f }, { R, 0x3c1, 0 } } },
	{ "retrace comes and goes",
	    { { R, 0x3da, 0x09 }, { R, 0x3da, 0x00 }, { R, 0x3da, 0x09 } } },
	{ "monochrome ports take the place of the colour ones",
	    { { R, 0x3b4, GONE }, { W, 0x3c2, 0x66 }, { R, 0x3d4, GONE },
		{ R, 0x3da, GONE }, { X, 0x3b4, 0x0f05 }, { CURSOR, 0, 5 } } },
	{ "CRTC 0-7 are protected but for line compare",
	    { { X, 0x3d4, 0x0127 }, { COLS, 0, 80 }, { X, 0x3d4, 0x0700 },
		{ R, 0x3d5, 0x0f }, { X, 0x3d4, 0x110e }, { X, 0x3d4, 0x0127 },
		{ COLS, 0, 40 } } },
	{ "DAC: three bytes each, six bits",
	    { { W, 0x3c8, 5 }, { W, 0x3c9, 0xff }, { W, 0x3c9, 2 },
		{ W, 0x3c9, 3 }, { R, 0x3c8, 6 }, { R, 0x3c7, 0 },
		{ W, 0x3c7, 5 }, { R, 0x3c7, 3 }, { R, 0x3c9, 0x3f },
		{ R, 0x3c9, 2 }, { R, 0x3c9, 3 }, { W, 0x3c7, 255 },
		{ R, 0x3c9, 0 }, { R, 0x3c9, 0 }, { R, 0x3c9, 0 },
		{ R, 0x3c9, 0 } } },
	{ "registers that are not there",
	    { { X, 0x3c4, 0x0555 }, { R, 0x3c5, 0 }, { X, 0x3ce, 0x0955 },
		{ R, 0x3cf, 0 }, { X, 0x3d4, 0x1955 }, { R, 0x3d5, 0 },
		{ X, 0x3d4, 0xff55 }, { R, 0x3d5, 0 }, { R, 0x3d8, GONE },
		{ R, 0x3bf, GONE } } },
	{ "hostile: rows of no width, of one line, all at once",
	    { { X, 0x3d4, 0x110e }, { X, 0x3d4, 0x1300 }, { POKE, TEXT, 'H' },
		{ CELL, 80, 0x0748 }, { X, 0x3d4, 0x01ff }, { COLS, 0, 256 },
		{ ROWS, 0, 7 }, { X, 0x3d4, 0x0900 }, { ROWS, 0, 7 },
		{ X, 0x3d4, 0x1200 }, { X, 0x3d4, 0x0700 },
		{ X, 0x3d4, 0x09ff }, { ROWS, 0, 1 }, { X, 0x3d4, 0x0100 },
		{ COLS, 0, 1 }, { ROWS, 0, 1 } } },
};

static void
step(struct vga *v, enum op op, unsigned at, unsigned val)
{
	const struct screen *s = v->out;

	switch (op) {
	case END:
		break;
	case W:
		vga_write(v, (uint16_t)at, (uint8_t)val);
		break;
	case R:
		assert_int_equal(vga_read(v, (uint16_t)at), val);
		break;
	case X:
		vga_write(v, (uint16_t)at, (uint8_t)(val >> 8));
		vga_write(v, (uint16_t)(at + 1), (uint8_t)val);
		break;
	case POKE:
		vga_mem_ops.write(v, at, 1, val);
		break;
	case PEEK:
		assert_int_equal((uint8_t)vga_mem_ops.read(v, at, 1), val);
		break;
	case CELL:
		assert_int_equal(s->cell[at], val);
		break;
	case MODE:
		assert_int_equal(s->mode, val);
		break;
	case COLS:
		assert_int_equal(s->cols, val);
		break;
	case ROWS:
		assert_int_equal(s->rows, val);
		break;
	case CURSOR:
		assert_int_equal(s->cursor, val);
		break;
	}
}

static void
run_row(void **state)
{
	const struct row *row = *state;
	struct vga *v = malloc(sizeof(*v));
	struct screen s;
	unsigned i;

	assert_non_null(v);
	vga_init(v, &s);
	for (i = 0; row->step[i].op != END; i++) {
		step(v, row->step[i].op, row->step[i].at, row->step[i].val);
		assert_true(screen_ok(&s));
	}
	free(v);
}

/* Whatever is written where: out is fit to be sent, a cell's change shows as
 * a new drawing of everything would. */
static void
test_spray(void **state)
{
	struct vga *v = malloc(sizeof(*v));
	struct {
		uint32_t before;
		struct screen s;
		uint32_t after;
	} page = { .before = 0xaaaaaaaa, .after = 0x55555555 };
	struct screen was;
	uint64_t seed = 3;
	unsigned i;
	uint32_t r;

	assert_non_null(v);
	vga_init(v, &page.s);
	for (i = 0; i < 400000; i++) {
		r = dice(&seed);
		if ((r & 3) == 0)
			vga_mem_ops.write(v, r >> 8 & 0x1ffff, 1, r >> 4);
		else if ((r & 3) == 1)
			vga_mem_ops.read(v, r >> 8 & 0x1ffff, 1);
		else if ((r & 7) == 2)
			vga_read(v, 0x3b0 + (r >> 8) % 0x30);
		else
			vga_write(
			    v, 0x3b0 + (r >> 8) % 0x30, (uint8_t)(r >> 16));
		assert_true(screen_ok(&page.s));
		if (i % 64 != 0)
			continue;
		was = page.s;
		vga_draw(v);
		assert_memory_equal(&was, &page.s, 16);
		assert_memory_equal(
		    was.cell, page.s.cell, 2UL * page.s.cols * page.s.rows);
	}
	assert_int_equal(page.before, 0xaaaaaaaa);
	assert_int_equal(page.after, 0x55555555);
	free(v);
}

/* No two keys have the same code. */
static void
test_scancodes(void **state)
{
	static const struct {
		uint32_t key;
		bool set2;
		unsigned n;
		uint8_t bytes[SCANCODE_MAX];
	} codes[] = {
		{ 0x1e, false, 1, { 0x1e } },
		{ 0x1e, true, 1, { 0x1c } },
		{ SCREEN_KEY_UP | 0x1e, false, 1, { 0x9e } },
		{ SCREEN_KEY_UP | 0x1e, true, 2, { 0xf0, 0x1c } },
		{ SCREEN_KEY_EXT | 0x53, false, 2, { 0xe0, 0x53 } },
		{ SCREEN_KEY_EXT | SCREEN_KEY_UP | 0x53, true, 3,
		    { 0xe0, 0xf0, 0x71 } },
		{ 0x00, true, 0, { 0 } },
		{ 0x7f, false, 0, { 0 } },
	};
	uint8_t out[SCANCODE_MAX];
	bool seen[256] = { false };
	unsigned i;

	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		assert_int_equal(
		    scancode_bytes(codes[i].key, codes[i].set2, out),
		    codes[i].n);
		assert_memory_equal(out, codes[i].bytes, codes[i].n);
	}
	for (i = 0; i < 128; i++) {
		if (scancode_bytes(i, true, out) == 0)
			continue;
		assert_false(seen[out[0]]);
		seen[out[0]] = true;
	}
}

int
main(void)
{
	struct CMUnitTest tests[sizeof(rows) / sizeof(rows[0]) + 2] = {
		cmocka_unit_test(test_spray),
		cmocka_unit_test(test_scancodes),
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		tests[i + 2] = (struct CMUnitTest){ .name = rows[i].name,
			.test_func = run_row,
			.initial_state = (void *)&rows[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
