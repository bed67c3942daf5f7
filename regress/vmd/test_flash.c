/* SPDX-License-Identifier: ISC */
/*
 * The flash chip, command by command: rows of what is written and what is read
 * after it, against "Intel Basic Command Set" and "Intel Extended Command Set"
 * of Intel's application note 646 and the query table of JESD68.01; what OVMF
 * does to find a chip; what is changed, and told, when; and that any row of
 * accesses leaves a chip that still works.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "fakeenv.h"
#include "flash.h"

#define BLOCKS 3U
#define SIZE   (BLOCKS * FLASH_BLOCK)
#define LEN(a) (sizeof(a) / sizeof((a)[0]))

struct rig {
	struct flash f;
	uint8_t array[SIZE];
	unsigned shows, hides, told;
	int refuse; /* what show() answers */
};

static int
show(void *arg, bool array)
{
	struct rig *r = arg;

	if (r->refuse != 0)
		return r->refuse;
	if (array)
		r->shows++;
	else
		r->hides++;
	return 0;
}

static void
told(void *arg)
{
	struct rig *r = arg;

	r->told++;
}

static const struct flash_ops ops = { .show = show, .changed = told };

static void
begin(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	memset(r->array, 0xff, sizeof(r->array));
	assert_int_equal(flash_init(&r->f, r->array, SIZE, &ops, r), 0);
}

static void
w(struct rig *r, uint32_t off, uint8_t val)
{
	flash_bus_ops.write(&r->f, off, 1, val);
}

static uint8_t
rd(struct rig *r, uint32_t off)
{
	return (uint8_t)flash_bus_ops.read(&r->f, off, 1);
}

/* Writes, up to a pair of zeroes after which a read is compared. */
struct access {
	uint32_t off;
	int val; /* END: no more of them */
};
#define END -1

static const struct row {
	const char *name;
	struct access write[10];
	uint32_t at;
	uint8_t want; /* read there */
	uint8_t status; /* by a read of it afterwards */
} rows[] = {
	{ "after a reset", { { 0, END } }, 5, 0xff, 0x00 },
	{ "read array", { { 0, 0x70 }, { 0, 0xff }, { 0, END } }, 0, 0xff, 0 },
	{ "status", { { 9, 0x70 }, { 0, END } }, 0x1234, 0x00, 0x00 },
	{ "identifier: maker", { { 0, 0x90 }, { 0, END } }, 0, 0x89, 0 },
	{ "identifier: device", { { 0, 0x90 }, { 0, END } }, 1, 0x18, 0 },
	{ "identifier: no lock", { { 0, 0x90 }, { 0, END } }, 0x1002, 0, 0 },
	{ "query", { { 0x55, 0x98 }, { 0, END } }, 0x10, 'Q', 0 },
	{ "query of a status", { { 0, 0x98 }, { 0, 0x70 }, { 0, END } }, 0x10,
	    0, 0 },
	{ "program", { { 7, 0x40 }, { 7, 0x5a }, { 0, 0xff }, { 0, END } }, 7,
	    0x5a, 0x80 },
	{ "program, the other",
	    { { 7, 0x10 }, { 7, 0x5a }, { 0, 0xff }, { 0, END } }, 7, 0x5a,
	    0x80 },
	{ "its second cycle says where",
	    { { 7, 0x40 }, { 8, 0x5a }, { 0, 0xff }, { 0, END } }, 7, 0xff,
	    0x80 },
	{ "a command as a byte",
	    { { 7, 0x40 }, { 7, 0xff }, { 7, 0x40 }, { 7, 0x20 }, { 0, 0xff },
		{ 0, END } },
	    7, 0x20, 0x80 },
	{ "reads while it programs", { { 7, 0x40 }, { 0, END } }, 7, 0x00,
	    0x80 },
	{ "reads after it programmed", { { 7, 0x40 }, { 7, 0x11 }, { 0, END } },
	    7, 0x80, 0x80 },
	{ "bits go to 0 only",
	    { { 7, 0x40 }, { 7, 0x0f }, { 7, 0x40 }, { 7, 0xfc }, { 0, 0xff },
		{ 0, END } },
	    7, 0x0c, 0x80 },
	{ "erase",
	    { { 0x1fff, 0x40 }, { 0x1fff, 0 }, { 0x1000, 0x20 },
		{ 0x1000, 0xd0 }, { 0, 0xff }, { 0, END } },
	    0x1fff, 0xff, 0x80 },
	{ "erase of one block",
	    { { 0xfff, 0x40 }, { 0xfff, 0 }, { 0x1000, 0x20 }, { 0x1000, 0xd0 },
		{ 0, 0xff }, { 0, END } },
	    0xfff, 0x00, 0x80 },
	{ "... and not of the next",
	    { { 0x2000, 0x40 }, { 0x2000, 0 }, { 0x1000, 0x20 },
		{ 0x1fff, 0xd0 }, { 0, 0xff }, { 0, END } },
	    0x2000, 0x00, 0x80 },
	{ "erase, not confirmed",
	    { { 0, 0x40 }, { 0, 0 }, { 0, 0x20 }, { 0, 0xff }, { 0, 0xff },
		{ 0, END } },
	    0, 0x00, 0xb0 },
	{ "clear status", { { 0, 0x20 }, { 0, 0x10 }, { 0, 0x50 }, { 0, END } },
	    0, 0xff, 0x00 },
	{ "buffered program",
	    { { 0x100, 0xe8 }, { 0x100, 1 }, { 0x100, 0x12 }, { 0x101, 0x34 },
		{ 0x100, 0xd0 }, { 0, 0xff }, { 0, END } },
	    0x101, 0x34, 0x80 },
	{ "... in any order",
	    { { 0x100, 0xe8 }, { 0x100, 2 }, { 0x100, 0x12 }, { 0x102, 0x34 },
		{ 0x101, 0x56 }, { 0x100, 0xd0 }, { 0, 0xff }, { 0, END } },
	    0x101, 0x56, 0x80 },
	{ "there is a buffer", { { 0x100, 0xe8 }, { 0, END } }, 0, 0x80, 0x80 },
	{ "... not confirmed",
	    { { 0x100, 0xe8 }, { 0x100, 0 }, { 0x100, 0x12 }, { 0x100, 0xff },
		{ 0, 0xff }, { 0, END } },
	    0x100, 0xff, 0xb0 },
	{ "... below its beginning",
	    { { 0x100, 0xe8 }, { 0x100, 1 }, { 0x100, 0x12 }, { 0xff, 0x34 },
		{ 0, 0xff }, { 0, END } },
	    0x100, 0xff, 0xb0 },
	{ "... behind its end",
	    { { 0x100, 0xe8 }, { 0x100, 1 }, { 0x100, 0x12 }, { 0x102, 0x34 },
		{ 0, 0xff }, { 0, END } },
	    0x100, 0xff, 0xb0 },
	{ "... over the end of a block",
	    { { 0xfff, 0xe8 }, { 0xfff, 1 }, { 0xfff, 0x12 }, { 0, 0xff },
		{ 0, END } },
	    0xfff, 0xff, 0xb0 },
	{ "... over the end of the chip",
	    { { SIZE - 1, 0xe8 }, { SIZE - 1, 255 }, { SIZE - 1, 0x12 },
		{ 0, 0xff }, { 0, END } },
	    SIZE - 1, 0xff, 0xb0 },
	{ "unlock", { { 0, 0x60 }, { 0, 0xd0 }, { 0, 0xff }, { 0, END } }, 0,
	    0xff, 0x80 },
	{ "lock", { { 0, 0x60 }, { 0, 0x01 }, { 0, 0xff }, { 0, END } }, 0,
	    0xff, 0x80 },
	{ "neither", { { 0, 0x60 }, { 0, 0x90 }, { 0, 0xff }, { 0, END } }, 0,
	    0xff, 0xb0 },
	{ "suspend: nothing to do", { { 0, 0xb0 }, { 0, END } }, 0, 0xff, 0 },
	{ "no command", { { 0, 0x00 }, { 0, 0xd0 }, { 0, END } }, 0, 0xff, 0 },
};

static void
test_commands(void **state)
{
	static struct rig r;
	unsigned i, k;
	uint8_t got;

	for (i = 0; i < LEN(rows); i++) {
		begin(&r);
		for (k = 0; rows[i].write[k].val != END; k++)
			w(&r, rows[i].write[k].off,
			    (uint8_t)rows[i].write[k].val);
		got = rd(&r, rows[i].at);
		if (got != rows[i].want)
			fail_msg("%s: reads %#x, not %#x", rows[i].name, got,
			    rows[i].want);
		/* A cycle that is open would take it for its own. */
		if (r.f.cycle != FLASH_COMMAND)
			continue;
		w(&r, 0, 0x70);
		got = rd(&r, 0);
		if (got != rows[i].status)
			fail_msg("%s: status %#x, not %#x", rows[i].name, got,
			    rows[i].status);
	}
}

static void
test_query(void **state)
{
	static const struct {
		uint32_t off;
		uint8_t want;
	} table[] = {
		{ 0x10, 'Q' },
		{ 0x11, 'R' },
		{ 0x12, 'Y' },
		{ 0x13, 1 },
		{ 0x14, 0 },
		{ 0x15, 0x31 },
		{ 0x16, 0 },
		{ 0x27, 14 }, /* 12 KiB fit in 16 */
		{ 0x28, 0 },
		{ 0x29, 0 }, /* 8 bits */
		{ 0x2a, 8 },
		{ 0x2b, 0 }, /* a buffer of 256 */
		{ 0x2c, 1 },
		{ 0x2d, BLOCKS - 1 },
		{ 0x2e, 0 },
		{ 0x2f, 16 },
		{ 0x30, 0 }, /* times 256 */
		{ 0x31, 'P' },
		{ 0x32, 'R' },
		{ 0x33, 'I' },
		{ 0x80, 0 },
		{ SIZE - 1, 0 },
	};
	static struct rig r;
	unsigned i;

	begin(&r);
	w(&r, 0x55, 0x98);
	for (i = 0; i < LEN(table); i++)
		if (rd(&r, table[i].off) != table[i].want)
			fail_msg("query %#x: %#x, not %#x", table[i].off,
			    rd(&r, table[i].off), table[i].want);
}

/* OVMF's look for a chip: what is no RAM and no ROM has a clear status. */
static void
test_found(void **state)
{
	static struct rig r;

	begin(&r);
	r.array[3] = 0x8d;
	w(&r, 3, 0x50);
	assert_int_equal(rd(&r, 3), 0x8d);
	w(&r, 3, 0x70);
	assert_int_equal(rd(&r, 3), 0x00);
	w(&r, 3, 0xff);
	assert_int_equal(rd(&r, 3), 0x8d);
}

/* The array is in the processors' sight while it is read, and told of once it
 * is again. */
static void
test_sight(void **state)
{
	static struct rig r;
	uint32_t off, i;

	begin(&r);
	assert_int_equal(r.shows, 1);
	assert_int_equal(flash_take(&r.f, &off), 0);
	for (i = 0; i < 8; i++) {
		w(&r, 0x1100 + i, 0x10);
		w(&r, 0x1100 + i, (uint8_t)i);
	}
	assert_int_equal(r.hides, 1);
	assert_int_equal(r.shows, 1);
	assert_int_equal(r.told, 0);
	w(&r, 0, 0xff);
	assert_int_equal(r.shows, 2);
	assert_int_equal(r.told, 1);
	assert_int_equal(flash_take(&r.f, &off), 8);
	assert_int_equal(off, 0x1100);
	assert_int_equal(flash_take(&r.f, &off), 0);
	/* Nothing new. */
	w(&r, 0, 0xff);
	w(&r, 0, 0x50);
	assert_int_equal(r.told, 1);
	assert_int_equal(r.hides, 1);
	/* One range over both. */
	w(&r, 0x10, 0x10);
	w(&r, 0x10, 0);
	w(&r, 0x2345, 0x20);
	w(&r, 0x2345, 0xd0);
	w(&r, 0, 0xff);
	assert_int_equal(flash_take(&r.f, &off), 0x3000 - 0x10);
	assert_int_equal(off, 0x10);
}

/* The hypervisor refuses: all goes by us, and reads the same. */
static void
test_refused(void **state)
{
	static struct rig r;

	begin(&r);
	r.array[9] = 0x42;
	r.refuse = -ENOMEM;
	w(&r, 0, 0x70);
	assert_int_equal(rd(&r, 9), 0);
	w(&r, 0, 0xff);
	assert_int_equal(rd(&r, 9), 0x42);
	r.refuse = 0;
	w(&r, 0, 0x70);
	assert_int_equal(r.hides, 1);
}

static void
test_sizes(void **state)
{
	static const struct {
		uint32_t len;
		int want;
	} sizes[] = {
		{ 0, -EINVAL },
		{ 1, -EINVAL },
		{ FLASH_BLOCK - 1, -EINVAL },
		{ FLASH_BLOCK, 0 },
		{ SIZE, 0 },
		{ SIZE + 512, -EINVAL },
		{ FLASH_MAX + FLASH_BLOCK, -EINVAL },
		{ UINT32_MAX, -EINVAL },
	};
	static struct rig r;

	for (unsigned i = 0; i < LEN(sizes); i++)
		assert_int_equal(
		    flash_init(&r.f, r.array, sizes[i].len, &ops, &r),
		    sizes[i].want);
}

/* Any accesses; then a chip that was not erased has lost bits only. */
static void
test_any(void **state)
{
	static struct {
		uint8_t before[64];
		struct rig r;
		uint8_t after[64];
	} g;
	static const uint8_t likely[] = { 0xff, 0x10, 0x40, 0x20, 0xd0, 0xe8,
		0x60, 0x90, 0x98, 0x70, 0x50, 0x00 };
	uint32_t off, n, i;
	unsigned seed = 7;

	begin(&g.r);
	memset(g.before, 0xa5, sizeof(g.before));
	memset(g.after, 0xa5, sizeof(g.after));
	for (i = 0; i < 2000000; i++) {
		off = (uint32_t)rand_r(&seed) % SIZE;
		n = (uint32_t)rand_r(&seed);
		if ((n & 0x700) == 0)
			rd(&g.r, off);
		else if ((n & 0x800) != 0)
			w(&g.r, off, likely[n % LEN(likely)]);
		else
			w(&g.r, off, (uint8_t)n);
		if (flash_take(&g.r.f, &off) > SIZE - off)
			fail_msg("more than there is");
	}
	for (i = 0; i < sizeof(g.before); i++) {
		assert_int_equal(g.before[i], 0xa5);
		assert_int_equal(g.after[i], 0xa5);
	}
	/* At most this many are open: a buffer's, and its confirmation. */
	for (i = 0; i < FLASH_BUFFER + 3; i++)
		w(&g.r, 0, 0xff);
	w(&g.r, 0x1000, 0x20);
	w(&g.r, 0x1000, 0xd0);
	w(&g.r, 0x1000, 0xff);
	assert_int_equal(rd(&g.r, 0x1abc), 0xff);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_sight),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
