/* SPDX-License-Identifier: ISC */

/* MSI-X table and pending bits: vmd/msix.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include "msix.h"

#define LEN(a)	  (sizeof(a) / sizeof((a)[0]))
#define ENABLE	  0x8000
#define FMASK	  0x4000
#define VECTORS	  3
#define TABLE_END (VECTORS * 16)

static void
fill(struct msix *m)
{
	msix_init(m, VECTORS);
	for (unsigned v = 0; v < VECTORS; v++) {
		msix_table_write(m, v * 16, 8, 0xfee00000 + (v << 12));
		msix_table_write(m, v * 16 + 8, 4, 0x40 + v);
	}
}

/* ATTACKS.md A, CHV #7918 and #6657: table index over the limit, 1, 2, 4 and
 * 8 byte and unaligned accesses, straddling the end. */
static void
test_table_access(void **state)
{
	static const struct {
		uint64_t off;
		unsigned size;
		uint64_t val; /* read; a write of ~val must take or not */
		int taken;
	} rows[] = {
		{ 0, 4, 0xfee00000, 1 },
		{ 4, 4, 0, 1 },
		{ 0, 8, 0xfee00000, 1 },
		{ 8, 4, 0x40, 1 },
		{ 8, 8, 0x100000040, 1 }, /* data, and masked */
		{ 12, 4, 1, 1 },
		{ 16, 8, 0xfee01000, 1 },
		{ 40, 8, 0x100000042, 1 },
		{ 0, 1, UINT64_MAX, 0 },
		{ 12, 1, UINT64_MAX, 0 },
		{ 0, 2, UINT64_MAX, 0 },
		{ 2, 4, UINT64_MAX, 0 },
		{ 4, 8, UINT64_MAX, 0 },
		{ 12, 8, UINT64_MAX, 0 },
		{ 0, 0, UINT64_MAX, 0 },
		{ 0, 3, UINT64_MAX, 0 },
		{ 0, 16, UINT64_MAX, 0 },
		{ TABLE_END - 4, 8, UINT64_MAX, 0 },
		{ TABLE_END, 4, UINT64_MAX, 0 },
		{ TABLE_END, 8, UINT64_MAX, 0 },
		{ UINT64_MAX - 3, 4, UINT64_MAX, 0 },
		{ UINT64_MAX - 7, 8, UINT64_MAX, 0 },
		{ 0x7ff0, 4, UINT64_MAX, 0 },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct msix m;

		fill(&m);
		if (msix_table_read(&m, rows[i].off, rows[i].size) !=
		    rows[i].val)
			fail_msg("read, row %zu", i);
		if (msix_table_write(&m, rows[i].off, rows[i].size,
			~rows[i].val) != (rows[i].taken != 0))
			fail_msg("write, row %zu", i);
	}
}

static void
test_reserved_bits(void **state)
{
	struct msix m;

	msix_init(&m, 1);
	assert_int_equal(msix_table_read(&m, 12, 4), 1); /* masked at first */
	msix_table_write(&m, 12, 4, 0xfffffffe);
	assert_int_equal(msix_table_read(&m, 12, 4), 0);
	msix_table_write(&m, 0, 4, 0xffffffff);
	assert_int_equal(msix_table_read(&m, 0, 4), 0xfffffffc);
	/* Nothing new: no change. */
	assert_false(msix_table_write(&m, 0, 4, 0xffffffff));
}

static void
test_open(void **state)
{
	struct msix m;

	fill(&m);
	msix_table_write(&m, 12, 4, 0);
	assert_false(msix_open(&m, 0)); /* disabled */
	msix_control(&m, ENABLE);
	assert_true(msix_open(&m, 0));
	assert_false(msix_open(&m, 1)); /* masked */
	msix_control(&m, ENABLE | FMASK);
	assert_false(msix_open(&m, 0));
	msix_control(&m, ENABLE);
	assert_false(msix_open(&m, VECTORS));
	assert_false(msix_open(&m, 0xffff));
	assert_false(msix_open(&m, 0xffffffff));
}

static void
test_pending(void **state)
{
	struct msix m;

	fill(&m);
	msix_control(&m, ENABLE);
	msix_set_pending(&m, 1);
	msix_set_pending(&m, 64); /* none of these exists */
	msix_set_pending(&m, VECTORS);
	msix_set_pending(&m, 0xffff);
	assert_int_equal(m.pending, 2);
	assert_int_equal(msix_pba_read(&m, 0, 4), 2);
	assert_int_equal(msix_pba_read(&m, 0, 8), 2);
	assert_int_equal(msix_pba_read(&m, 4, 4), 0);
	assert_int_equal(msix_pba_read(&m, 0, 1), UINT64_MAX);
	assert_int_equal(msix_pba_read(&m, 4, 8), UINT64_MAX);
	assert_int_equal(msix_pba_read(&m, 8, 4), UINT64_MAX);
	assert_int_equal(msix_pba_read(&m, UINT64_MAX, 4), UINT64_MAX);

	assert_false(msix_take_pending(&m, 1)); /* masked */
	assert_false(msix_take_pending(&m, 0xffff));
	msix_table_write(&m, 28, 4, 0);
	assert_true(msix_take_pending(&m, 1));
	assert_false(msix_take_pending(&m, 1)); /* once */
	msix_set_pending(&m, 1);
	msix_control(&m, 0);
	assert_int_equal(m.pending, 0);
}

static void
test_limits(void **state)
{
	struct msix m;

	msix_init(&m, 100000);
	assert_int_equal(m.n, MSIX_VECTORS_MAX);
	msix_set_pending(&m, 63);
	assert_int_equal(msix_pba_read(&m, 4, 4), 0x80000000);
	msix_init(&m, 0);
	assert_int_equal(msix_table_read(&m, 0, 4), UINT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_access),
		cmocka_unit_test(test_reserved_bits),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
