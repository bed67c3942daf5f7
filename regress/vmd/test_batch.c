/* SPDX-License-Identifier: ISC */

/* How many answers go with one interrupt: vmd/batch.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "batch.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

struct seen {
	unsigned interrupts, in_vain, answers;
};

/* A driver that makes depth requests available after each interrupt, one by
 * one, and waits then; the device answers each at once. */
static struct seen
drive(struct batch *b, unsigned depth, unsigned least, unsigned interrupts)
{
	struct seen s = { 0 };
	unsigned n = 0, told = depth, out = 0;

	while (s.interrupts < interrupts) {
		/* As many as it was told of. */
		if (n == 0) {
			out = told;
			n = 1;
			out--;
			s.answers++;
		}
		if (batch_wait(b, n, least) != BATCH_TELL) {
			batch_was(b, n, out > 0 ? BATCH_SOON : BATCH_NONE);
			if (out > 0) {
				out--;
				n++;
				s.answers++;
				continue;
			}
			s.in_vain++;
		}
		s.interrupts++;
		told = out + n > depth ? depth : out + n;
		n = 0;
	}
	return s;
}

static void
test_depths(void **state)
{
	static const struct {
		unsigned depth, least, batch;
	} rows[] = {
		{ 1, 1, 1 },
		{ 2, 1, 2 },
		{ 4, 1, 4 },
		{ 15, 1, 15 },
		{ 16, 1, 16 },
		{ 32, 1, 16 },
		{ 256, 1, 16 },
		/* Where few are not worth it. */
		{ 1, 8, 1 },
		{ 4, 8, 1 },
		{ 7, 8, 1 },
		{ 8, 8, 8 },
		{ 32, 8, 16 },
	};
	struct batch b;
	struct seen s;
	unsigned i;

	for (i = 0; i < LEN(rows); i++) {
		b = (struct batch){ 0 };
		drive(&b, rows[i].depth, rows[i].least, 4 * BATCH_REST);
		s = drive(&b, rows[i].depth, rows[i].least, 4 * BATCH_REST);
		/* Some look whether there are more, in vain. */
		assert_in_range(s.answers, rows[i].batch * s.interrupts,
		    rows[i].batch * s.interrupts + s.interrupts / 8);
		assert_in_range(s.in_vain, 0, 8);
	}
}

/* Whatever it learned, it learns anew. */
static void
test_change(void **state)
{
	static const unsigned depth[] = { 1, 32, 4, 16, 1, 256, 2, 1, 32 };
	struct batch b = { 0 };
	struct seen s;
	unsigned i, want;

	for (i = 0; i < LEN(depth); i++) {
		drive(&b, depth[i], 1, 2 * BATCH_REST);
		s = drive(&b, depth[i], 1, BATCH_REST);
		want = depth[i] < BATCH_MAX ? depth[i] : BATCH_MAX;
		assert_in_range(s.answers, want * s.interrupts,
		    want * s.interrupts + s.interrupts / 8);
		assert_in_range(s.in_vain, 0, 8);
	}
}

/* One pause of a driver is no habit. */
static void
test_chance(void **state)
{
	struct batch b = { 0 };
	struct seen s;

	drive(&b, 32, 1, 10);
	assert_int_equal(batch_wait(&b, 3, 1), BATCH_HOLD);
	batch_was(&b, 3, BATCH_NONE);
	drive(&b, 32, 1, 4);
	s = drive(&b, 32, 1, 10);
	assert_int_equal(s.answers, 160);
	assert_int_equal(s.in_vain, 0);
}

static void
test_max(void **state)
{
	struct batch b = { 0 };
	unsigned n;

	for (n = 1; n < BATCH_MAX; n++) {
		assert_int_equal(batch_wait(&b, n, 1), BATCH_HOLD);
		batch_was(&b, n, BATCH_SOON);
	}
	assert_int_equal(batch_wait(&b, n, 1), BATCH_TELL);
	assert_int_equal(batch_wait(&b, n + 1, 1), BATCH_TELL);
}

/* It waits after one, for all that is known. */
static struct batch
settled(void)
{
	struct batch b = { 0 };

	drive(&b, 1, 1, 4 * BATCH_REST);
	while (batch_wait(&b, 1, 1) != BATCH_LOOK)
		;
	return b;
}

/* An interrupt and a kick for each was all that made it slow. */
static void
test_slow_once(void **state)
{
	struct batch b = settled();
	struct seen s;

	batch_was(&b, 1, BATCH_SLOW);
	assert_int_equal(batch_wait(&b, 2, 1), BATCH_HOLD);
	batch_was(&b, 2, BATCH_SOON);
	s = drive(&b, 32, 1, 10);
	assert_int_equal(s.answers, 160);
	assert_int_equal(s.in_vain, 0);
}

/* One that is always slow costs no more than one that waits. */
static void
test_slow(void **state)
{
	struct batch b = settled();
	unsigned i, looks = 0, held = 0;
	enum batch_wait w;

	for (i = 0; i < 16 * BATCH_REST; i++) {
		if ((w = batch_wait(&b, 1, 1)) == BATCH_TELL)
			continue;
		if (w == BATCH_HOLD) {
			held++;
			batch_was(&b, 1, BATCH_NONE);
			continue;
		}
		looks++;
		batch_was(&b, 1, BATCH_SLOW);
		assert_int_equal(batch_wait(&b, 2, 1), BATCH_HOLD);
		batch_was(&b, 2, BATCH_NONE);
	}
	assert_in_range(looks, 15, 17);
	assert_int_equal(held, 0);
}

/* What it costs is bounded, whatever the clock said. */
static void
test_hold(void **state)
{
	static const struct {
		uint64_t call, hold;
	} rows[] = {
		{ 0, BATCH_HOLD_MIN },
		{ 300, BATCH_HOLD_MIN },
		{ 625, BATCH_HOLD_MIN },
		{ 1000, 32000 },
		{ 15625, BATCH_HOLD_MAX },
		{ 15626, BATCH_HOLD_MAX },
		{ UINT64_MAX, BATCH_HOLD_MAX },
	};
	unsigned i;

	for (i = 0; i < LEN(rows); i++)
		assert_int_equal(batch_hold_ns(rows[i].call), rows[i].hold);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_depths),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_chance),
		cmocka_unit_test(test_max),
		cmocka_unit_test(test_slow_once),
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
