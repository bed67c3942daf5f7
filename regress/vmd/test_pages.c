/* SPDX-License-Identifier: ISC */
/* Memory in a file (vmd/pages.c). */
#include <sys/mman.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "pages.h"

#define PAGE 4096ULL
#define MIB  (1ULL << 20)
#define SIZE (3 * MIB + 5 * PAGE) /* the last group is a short one */

static uint8_t *
at(const struct gmem *g, uint64_t off)
{
	return g->region[0].host + off;
}

/* Pages with a number in them, and holes. */
static bool
is_hole(uint64_t page)
{
	return page % 7 == 3 || (page >= 128 && page < 192) ||
	    (page >= 300 && page < 310);
}

static uint64_t
number(uint64_t page)
{
	return page * 0x9e3779b97f4a7c15ULL + 1;
}

static void
make(struct gmem *g)
{
	uint64_t page, n;

	assert_int_equal(gmem_create(g, SIZE), 0);
	for (page = 0; page < SIZE / PAGE; page++) {
		n = number(page);
		if (!is_hole(page))
			memcpy(at(g, page * PAGE + page % 4000), &n, sizeof(n));
	}
}

static bool
right(const struct gmem *g, uint64_t page)
{
	uint8_t want[PAGE];
	uint64_t n = number(page);

	memset(want, 0, sizeof(want));
	if (!is_hole(page))
		memcpy(want + page % 4000, &n, sizeof(n));
	return memcmp(at(g, page * PAGE), want, PAGE) == 0;
}

static bool
all_right(const struct gmem *g)
{
	uint64_t page;

	for (page = 0; page < SIZE / PAGE; page++)
		if (!right(g, page))
			return false;
	return true;
}

/* Between two other sections. */
static int
written(void)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct gmem g;
	struct state s;

	assert_true(fd >= 0);
	make(&g);
	assert_int_equal(state_write_head(&s, fd, "web"), 0);
	if (state_begin(&s, "first", 1) == 0)
		(void)state_end(&s);
	pages_write(&s, &g);
	if (state_begin(&s, "last", 1) == 0)
		(void)state_end(&s);
	assert_int_equal(s.error, 0);
	state_free(&s);
	gmem_destroy(&g);
	return fd;
}

/* The table, and all sections; the line that it is refused with, or "". */
static const char *
opened(int fd, struct pages *p, const struct gmem *g)
{
	static char why[STATE_WHY_MAX];
	char name[STATE_NAME_MAX + 1];
	struct state s;

	memset(p, 0, sizeof(*p));
	if (state_read_head(&s, fd, name) == 0) {
		if (state_begin(&s, "first", 1) == 0)
			(void)state_end(&s);
		assert_false(state_next(&s, "memory"));
		pages_read(&s, p, g);
		if (state_begin(&s, "last", 1) == 0)
			(void)state_end(&s);
	}
	memcpy(why, s.why, sizeof(why));
	state_free(&s);
	return why;
}

static const char *
read_back(int fd, const struct gmem *g)
{
	static char why[STATE_WHY_MAX];
	struct state s = { .fd = fd };
	struct pages p;

	snprintf(why, sizeof(why), "%s", opened(fd, &p, g));
	if (why[0] == '\0') {
		pages_all(&s, &p, g);
		memcpy(why, s.why, sizeof(why));
	}
	pages_free(&p);
	return why;
}

static void
test_there_and_back(void **state)
{
	int fd = written();
	struct gmem g;

	assert_int_equal(gmem_create(&g, SIZE), 0);
	assert_string_equal(read_back(fd, &g), "");
	assert_true(all_right(&g));
	gmem_destroy(&g);
	close(fd);
}

/* Of another length: the sections that follow are not where they should be. */
static void
test_other_memory(void **state)
{
	int fd = written();
	struct gmem g;

	assert_int_equal(gmem_create(&g, SIZE - PAGE), 0);
	assert_string_not_equal(read_back(fd, &g), "");
	gmem_destroy(&g);
	assert_int_equal(gmem_create(&g, 64 * MIB), 0);
	assert_string_not_equal(read_back(fd, &g), "");
	gmem_destroy(&g);
	close(fd);
}

/* Any bit, and any end: a line, and never a page that was another. */
static void
test_damage(void **state)
{
	static const uint64_t cut[] = { 0, 79, 100, 200, 4096, 400000 };
	struct gmem g;
	uint64_t off;
	uint8_t byte;
	off_t len;
	size_t i;
	int fd = written();

	assert_int_equal(gmem_create(&g, SIZE), 0);
	len = lseek(fd, 0, SEEK_END);
	for (off = 112; off < (uint64_t)len; off += off < 400 ? 1 : 4001) {
		/* Between the table and the data is nothing. */
		if (off >= 112 + 32 + 13 * 16 && off < 4096)
			continue;
		assert_int_equal(pread(fd, &byte, 1, (off_t)off), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)off), 1);
		assert_string_not_equal(read_back(fd, &g), "");
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)off), 1);
	}
	assert_string_equal(read_back(fd, &g), "");
	close(fd);
	for (i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		fd = written();
		assert_int_equal(ftruncate(fd, (off_t)cut[i]), 0);
		assert_non_null(
		    strstr(read_back(fd, &g), "the file ends here"));
		close(fd);
	}
	gmem_destroy(&g);
}

/* What a table may not say although its checksum is right. */
static void
test_hostile(void **state)
{
	static const struct {
		const char *what;
		uint64_t group, mask;
		uint32_t sum, len;
	} rows[] = {
		{ "a page behind the end", 12, 1 << 5, 0, 4096 },
		{ "more bytes than pages", 0, 1, 0, 8192 },
		{ "fewer", 0, 3, 0, 4096 },
		{ "all there can be", 0, 1, 0, UINT32_MAX },
		{ "a checksum of nothing", 0, 0, 1, 0 },
		{ "a part of a page", 0, 1, 0, 4095 },
	};
	uint64_t both;
	struct gmem g;
	struct state s;
	struct pages p;
	char name[STATE_NAME_MAX + 1];
	size_t i, k;
	int fd;

	assert_int_equal(gmem_create(&g, SIZE), 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fd = memfd_create("state", MFD_CLOEXEC);
		assert_int_equal(state_write_head(&s, fd, "web"), 0);
		assert_int_equal(state_begin(&s, "pages", 1), 0);
		for (k = 0; k < 13; k++) {
			uint64_t mask = k == rows[i].group ? rows[i].mask : 0;

			both = k == rows[i].group
			    ? rows[i].sum | (uint64_t)rows[i].len << 32
			    : 0;
			state_number(&s, &mask, UINT64_MAX);
			state_number(&s, &both, UINT64_MAX);
		}
		assert_int_equal(state_end(&s), 0);
		state_free(&s);
		assert_int_equal(state_read_head(&s, fd, name), 0);
		pages_read(&s, &p, &g);
		if (strstr(s.why, "not what 64 pages can be") == NULL)
			fail_msg("%s: \"%s\"", rows[i].what, s.why);
		pages_free(&p);
		state_free(&s);
		close(fd);
	}
	gmem_destroy(&g);
}

static void
test_runs(void **state)
{
	unsigned first = 99;

	assert_int_equal(pages_run(0, &first), 0);
	assert_int_equal(pages_run(UINT64_MAX, &first), 64);
	assert_int_equal(first, 0);
	assert_int_equal(pages_run(1ULL << 63, &first), 1);
	assert_int_equal(first, 63);
	assert_int_equal(pages_run(0xf0f0, &first), 4);
	assert_int_equal(first, 4);
	assert_true(pages_without(0xf0f0, 4, 4) == 0xf000);
	assert_true(pages_without(UINT64_MAX, 0, 64) == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_other_memory),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
