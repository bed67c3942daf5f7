/* SPDX-License-Identifier: ISC */
/*
 * Guest memory: layout around the hole, ranges at every edge, seals.
 */
#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gmem.h"

#define G	 (1ULL << 30)
#define M	 (1ULL << 20)
#define HOLE	 GMEM_PCI_HOLE
#define HIGH	 GMEM_HIGH_BASE
#define SIZE_BIG (4 * G) /* never touched: no memory is used */

struct size_row {
	const char *name;
	uint64_t size;
	int result;
	unsigned nregions;
};

static const struct size_row size_rows[] = {
	{ "zero", 0, -EINVAL, 0 },
	{ "no whole page", 4095, -EINVAL, 0 },
	{ "one page", 4096, 0, 1 },
	{ "16M", 16 * M, 0, 1 },
	{ "up to the hole", HOLE, 0, 1 },
	{ "one page above", HOLE + 4096, 0, 2 },
	{ "3.5G", 3584 * M, 0, 2 },
	{ "absurd", 1ULL << 47, -EINVAL, 0 },
	{ "wraps", UINT64_MAX - 4095, -EINVAL, 0 },
};

static void
test_sizes(void **state)
{
	const struct size_row *r;
	struct gmem g;
	unsigned i;
	int error;

	for (i = 0; i < sizeof(size_rows) / sizeof(size_rows[0]); i++) {
		r = &size_rows[i];
		error = gmem_create(&g, r->size);
		if (error != r->result)
			fail_msg("%s: %d", r->name, error);
		if (error != 0)
			continue;
		assert_int_equal(g.nregions, r->nregions);
		assert_int_equal(g.size, r->size);
		/* Large pages need equal alignment on both sides. */
		assert_int_equal((uintptr_t)g.region[0].host % (2 * M), 0);
		gmem_destroy(&g);
		assert_int_equal(g.fd, -1);
	}
}

struct range_row {
	uint64_t gpa;
	uint64_t len;
	uint64_t run; /* what gmem_run() says */
	bool ok; /* whether gmem_range() yields a pointer */
};

static const struct range_row range_rows[] = {
	{ 0, 1, 1, true },
	{ 0, 0, 0, false },
	{ HIGH, 0, 0, false },
	{ 0, HOLE, HOLE, true },
	{ 0, HOLE + 1, HOLE, false },
	{ HOLE - 1, 1, 1, true },
	{ HOLE - 1, 2, 1, false },
	{ HOLE, 1, 0, false },
	{ HIGH - 1, 1, 0, false },
	{ HIGH - 1, 2, 0, false },
	{ HIGH, 1, 1, true },
	{ HIGH, G, G, true },
	{ HIGH, G + 1, G, false },
	{ HIGH + G - 1, 1, 1, true },
	{ HIGH + G - 1, 2, 1, false },
	{ HIGH + G, 1, 0, false },
	{ 1, UINT64_MAX, HOLE - 1, false },
	{ UINT64_MAX, 1, 0, false },
	{ UINT64_MAX, 2, 0, false },
	{ UINT64_MAX - 4095, 8192, 0, false },
	{ HIGH + 1, UINT64_MAX, G - 1, false },
};

static void
test_ranges(void **state)
{
	const struct range_row *r;
	struct gmem g;
	struct gpa gpa;
	uint8_t *p;
	unsigned i;

	assert_int_equal(gmem_create(&g, SIZE_BIG), 0);
	for (i = 0; i < sizeof(range_rows) / sizeof(range_rows[0]); i++) {
		r = &range_rows[i];
		gpa.v = r->gpa;
		p = gmem_range(&g, gpa, r->len);
		if ((p != NULL) != r->ok || gmem_run(&g, gpa, r->len) != r->run)
			fail_msg("row %u", i);
		if (p != NULL && r->gpa < HOLE)
			assert_ptr_equal(p, g.region[0].host + r->gpa);
		if (p != NULL && r->gpa >= HIGH)
			assert_ptr_equal(p, g.region[1].host + (r->gpa - HIGH));
	}
	gmem_destroy(&g);
	assert_null(gmem_range(&g, (struct gpa){ 0 }, 1));
}

static void
test_copy(void **state)
{
	struct gmem g;
	char buf[8];

	assert_int_equal(gmem_create(&g, 8192), 0);
	assert_int_equal(gmem_write(&g, (struct gpa){ 4094 }, "abcd", 4), 0);
	assert_int_equal(gmem_read(&g, (struct gpa){ 4094 }, buf, 4), 0);
	assert_memory_equal(buf, "abcd", 4);
	/* Nothing is copied when only part is memory. */
	memset(buf, '#', 8);
	assert_int_equal(gmem_read(&g, (struct gpa){ 8190 }, buf, 4), -EFAULT);
	assert_memory_equal(buf, "####", 4);
	assert_int_equal(
	    gmem_write(&g, (struct gpa){ 8190 }, "wxyz", 4), -EFAULT);
	assert_int_equal(gmem_read(&g, (struct gpa){ 8190 }, buf, 2), 0);
	assert_memory_equal(buf, "\0\0", 2);
	assert_int_equal(gmem_read(&g, (struct gpa){ 99999 }, buf, 0), 0);
	gmem_destroy(&g);
}

/* The two mappings are the same memory. */
static void
test_attach(void **state)
{
	struct gmem a, b;
	int v = 0x12345678, w = 0;

	assert_int_equal(gmem_create(&a, HOLE + 16 * M), 0);
	assert_int_equal(gmem_attach(&b, dup(a.fd), a.size), 0);
	assert_int_equal(b.nregions, 2);
	assert_int_equal(
	    gmem_write(&a, (struct gpa){ HIGH + 100 }, &v, sizeof(v)), 0);
	assert_int_equal(
	    gmem_read(&b, (struct gpa){ HIGH + 100 }, &w, sizeof(w)), 0);
	assert_int_equal(v, w);
	gmem_destroy(&b);
	gmem_destroy(&a);
}

static int
memfd(uint64_t size, int seals)
{
	int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	/* Behind it a page for the map. */
	assert_int_equal(ftruncate(fd, (off_t)size + 4096), 0);
	if (seals != 0)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void
test_attach_refused(void **state)
{
	const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct gmem g = { .fd = -77 };
	int p[2], fd;

	assert_int_equal(gmem_attach(&g, memfd(8192, 0), 8192), -EPERM);
	assert_int_equal(
	    gmem_attach(&g, memfd(8192, all & ~F_SEAL_SHRINK), 8192), -EPERM);
	assert_int_equal(
	    gmem_attach(&g, memfd(8192, all & ~F_SEAL_SEAL), 8192), -EPERM);
	assert_int_equal(gmem_attach(&g, memfd(4096, all), 8192), -EINVAL);
	assert_int_equal(gmem_attach(&g, memfd(8192, all), 4096), -EINVAL);
	assert_int_equal(gmem_attach(&g, memfd(8192, all), 0), -EINVAL);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(gmem_attach(&g, p[0], 4096), -EINVAL);
	/* It was closed, and the output was not touched. */
	assert_int_equal(fcntl(p[0], F_GETFD), -1);
	assert_int_equal(g.fd, -77);
	close(p[1]);
	fd = memfd(8192, all);
	assert_int_equal(gmem_attach(&g, fd, 8192), 0);
	assert_int_equal(ftruncate(fd, 0), -1);
	gmem_destroy(&g);
}

/* Guest memory appears in no core dump: "dd" in smaps' VmFlags. */
static void
test_dontdump(void **state)
{
	char line[256], want[32];
	bool in = false, found = false;
	struct gmem g;
	FILE *f;

	assert_int_equal(gmem_create(&g, M), 0);
	snprintf(want, sizeof(want), "%lx-", (long)g.region[0].host);
	f = fopen("/proc/self/smaps", "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, want, strlen(want)) == 0)
			in = true;
		if (in && strncmp(line, "VmFlags:", 8) == 0) {
			found = strstr(line, " dd") != NULL &&
			    strstr(line, " dc") != NULL;
			break;
		}
	}
	fclose(f);
	assert_true(found);
	gmem_destroy(&g);
}

/* Whole pages inside of it only, and nothing that is not guest memory. */
static void
test_discard(void **state)
{
	static const struct {
		const char *name;
		int64_t off;
		uint64_t len;
		int result;
		unsigned first, n; /* pages that are gone */
	} rows[] = {
		{ "a page", 4096, 4096, 0, 1, 1 },
		{ "all", 0, M, 0, 0, 256 },
		{ "nothing", 4096, 0, 0, 0, 0 },
		{ "not aligned", 4095, 8194, 0, 1, 2 },
		{ "a byte too few", 4097, 8190, 0, 0, 0 },
		{ "the last", M - 4096, 4096, 0, 255, 1 },
		{ "the end", M, 0, 0, 0, 0 },
		{ "across the end", M - 4096, 4097, -EFAULT, 0, 0 },
		{ "beyond", M + 4096, 4096, -EFAULT, 0, 0 },
		{ "before", -4096, 4096, -EFAULT, 0, 0 },
		{ "wraps", 4096, UINT64_MAX, -EFAULT, 0, 0 },
	};
	struct gmem g;
	unsigned i, j;

	assert_int_equal(gmem_create(&g, M), 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(g.region[0].host, 1, M);
		if (gmem_discard(&g, g.region[0].host + rows[i].off,
			rows[i].len) != rows[i].result)
			fail_msg("%s", rows[i].name);
		for (j = 0; j < 256; j++)
			if ((g.region[0].host[j * 4096] == 0) !=
			    (j - rows[i].first < rows[i].n))
				fail_msg("%s: page %u", rows[i].name, j);
	}
	gmem_destroy(&g);
}

/* One process writes, the other takes: each page once, and its neighbours not. */
static void
test_written(void **state)
{
	static const struct {
		const char *name;
		uint64_t gpa, len;
		uint64_t word, bits; /* what is set by that */
	} rows[] = {
		{ "a byte", 4096, 1, 0, 2 },
		{ "a page", 8192, 4096, 0, 4 },
		{ "across", 8191, 2, 0, 6 },
		{ "the last of a word", 63 * 4096, 4096, 0, 1ULL << 63 },
		{ "the first of the next", 64 * 4096, 4096, 1, 1 },
		{ "two words", 63 * 4096, 2 * 4096, 1, 1 },
		{ "a whole word", 64 * 4096, 64 * 4096, 1, UINT64_MAX },
		{ "three words", 0, 192 * 4096, 1, UINT64_MAX },
		{ "above the hole", HIGH + 4096, 1, HOLE / 4096 / 64, 2 },
		{ "the last page", HIGH + 16 * M - 1, 1,
		    (HOLE + 16 * M) / 4096 / 64 - 1, 1ULL << 63 },
		{ "nothing", 4096, 0, 0, 0 },
	};
	struct gmem a, b, none;
	const uint8_t *p;
	unsigned i, w;

	assert_int_equal(gmem_create(&a, HOLE + 16 * M), 0);
	assert_int_equal(gmem_attach(&b, dup(a.fd), a.size), 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		p = gmem_range(&b, (struct gpa){ rows[i].gpa }, 1);
		gmem_wrote(&b, p, rows[i].len);
		if (gmem_take(&a, rows[i].word) != rows[i].bits)
			fail_msg("%s", rows[i].name);
		if (gmem_take(&a, rows[i].word) != 0)
			fail_msg("%s: twice", rows[i].name);
		for (w = 0; w < 4; w++)
			(void)gmem_take(&a, w);
	}
	/* What is no guest memory marks nothing. */
	gmem_wrote(&b, &i, sizeof(i));
	gmem_wrote(&b, b.region[0].host - 1, 2);
	gmem_wrote(&b, b.region[0].host + b.size, 1);
	gmem_wrote(&b, b.region[0].host + b.size - 1, 2);
	for (w = 0; w < a.size / 4096 / 64; w++)
		assert_int_equal(gmem_take(&a, w), 0);
	assert_int_equal(gmem_take(&a, w), 0);
	assert_int_equal(gmem_take(&a, UINT64_MAX), 0);
	/* What we do with it ourselves is marked. */
	assert_int_equal(gmem_write(&a, (struct gpa){ 8191 }, "ab", 2), 0);
	assert_int_equal(gmem_take(&a, 0), 6);
	assert_int_equal(
	    gmem_discard(&b, b.region[0].host + 4096, 3 * 4096), 0);
	assert_int_equal(gmem_take(&a, 0), 0xe);
	none = a;
	none.written = NULL;
	gmem_wrote(&none, none.region[0].host, 1);
	assert_int_equal(gmem_take(&none, 0), 0);
	gmem_destroy(&b);
	gmem_destroy(&a);
}

/* What is there of the memory: none of what is behind it in the file. */
static void
test_next(void **state)
{
	static const struct {
		uint64_t page, n; /* that are there */
	} runs[] = { { 0, 1 }, { 3, 2 }, { 64, 64 }, { 4095, 1 } };
	uint64_t off = 0, end = 0;
	struct gmem g;
	unsigned i;

	assert_int_equal(gmem_create(&g, 16 * M), 0);
	assert_false(gmem_next(&g, &off, &end));
	for (i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		memset(g.region[0].host + runs[i].page * 4096, 1,
		    runs[i].n * 4096);
	for (i = 0, off = 0; gmem_next(&g, &off, &end); off = end, i++) {
		assert_in_range(i, 0, sizeof(runs) / sizeof(runs[0]) - 1);
		assert_int_equal(off, runs[i].page * 4096);
		assert_int_equal(end, off + runs[i].n * 4096);
	}
	assert_int_equal(i, sizeof(runs) / sizeof(runs[0]));
	off = 16 * M;
	assert_false(gmem_next(&g, &off, &end));
	off = 4 * 4096; /* within one */
	assert_true(gmem_next(&g, &off, &end));
	assert_int_equal(off, 4 * 4096);
	assert_int_equal(end, 5 * 4096);
	gmem_destroy(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_attach_refused),
		cmocka_unit_test(test_dontdump),
		cmocka_unit_test(test_discard),
		cmocka_unit_test(test_written),
		cmocka_unit_test(test_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
