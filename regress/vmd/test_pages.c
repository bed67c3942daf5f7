/* SPDX-License-Identifier: ISC */
/*
 * Memory in a file (vmd/pages.c), and memory that comes out of it as it is
 * touched (vmd/pager.c).
 */
#include <sys/mman.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "pager.h"
#include "pages.h"
#include "uffd.h"

#define PAGE 4096ULL
#define MIB  (1ULL << 20)
#define SIZE (3 * MIB + 5 * PAGE) /* the last group is a short one */
#define N    (3 * MIB / PAGES_GROUP + 1) /* groups */

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

/* Some groups are of pages that cannot be compressed. */
static void
fill(uint8_t *p, uint64_t page)
{
	uint64_t n = number(page), i;

	if (is_hole(page))
		return;
	if (page / PAGES_EACH % 5 != 2) {
		memcpy(p + page % 4000, &n, sizeof(n));
		return;
	}
	for (i = 0; i < PAGE; i += sizeof(n)) {
		memcpy(p + i, &n, sizeof(n));
		n ^= n << 13;
		n ^= n >> 7;
		n ^= n << 17;
	}
}

static void
make(struct gmem *g)
{
	uint64_t page;

	assert_int_equal(gmem_create(g, SIZE), 0);
	for (page = 0; page < SIZE / PAGE; page++)
		fill(at(g, page * PAGE), page);
}

static bool
right(const struct gmem *g, uint64_t page)
{
	uint8_t want[PAGE];

	memset(want, 0, sizeof(want));
	fill(want, page);
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
written(bool zstd)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct gmem g;
	struct state s;

	assert_true(fd >= 0);
	make(&g);
	assert_int_equal(state_write_head(&s, fd, "web"), 0);
	if (state_begin(&s, "first", 1) == 0)
		(void)state_end(&s);
	pages_write(&s, &g, zstd);
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
	struct gmem g;
	unsigned zstd;
	off_t len[2];
	int fd;

	for (zstd = 0; zstd < 2; zstd++) {
		fd = written(zstd);
		len[zstd] = lseek(fd, 0, SEEK_END);
		assert_int_equal(gmem_create(&g, SIZE), 0);
		assert_string_equal(read_back(fd, &g), "");
		assert_true(all_right(&g));
		gmem_destroy(&g);
		close(fd);
	}
	assert_true(len[1] < len[0] / 3);
}

/* Of another length: the sections that follow are not where they should be. */
static void
test_other_memory(void **state)
{
	int fd = written(false);
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
damage(bool zstd)
{
	static const uint64_t cut[] = { 0, 79, 100, 200, 4096, 400000 };
	struct gmem g;
	uint64_t off;
	uint8_t byte;
	off_t len;
	size_t i;
	int fd = written(zstd);
	unsigned step = zstd ? 501 : 4001;

	assert_int_equal(gmem_create(&g, SIZE), 0);
	len = lseek(fd, 0, SEEK_END);
	for (off = 112; off < (uint64_t)len; off += off < 400 ? 1 : step) {
		/* Between the table and the data is nothing. */
		if (off >= 112 + 32 + N * 16 && off < 4096)
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
		fd = written(zstd);
		assert_int_equal(ftruncate(fd, (off_t)cut[i]), 0);
		assert_non_null(
		    strstr(read_back(fd, &g), "the file ends here"));
		close(fd);
	}
	gmem_destroy(&g);
}

static void
test_damage(void **state)
{
	damage(false);
	damage(true);
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
		{ "a page behind the end", N - 1, 1 << 5, 0, 4096 },
		{ "one behind the group", 0, 1 << 16, 0, 4096 },
		{ "more bytes than pages", 0, 1, 0, 8192 },
		{ "none", 0, 3, 0, 0 },
		{ "all there can be", 0, 1, 0, UINT32_MAX },
		{ "a checksum of nothing", 0, 0, 1, 0 },
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
		assert_int_equal(state_begin(&s, "pages", 3), 0);
		for (k = 0; k < N; k++) {
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
		if (strstr(s.why, "not what 16 pages can be") == NULL)
			fail_msg("%s: \"%s\"", rows[i].what, s.why);
		pages_free(&p);
		state_free(&s);
		close(fd);
	}
	gmem_destroy(&g);
}

/* Frames whose checksum is right. */
static void
test_frames(void **state)
{
	static uint8_t from[4 * PAGES_PAGE], frame[8 * PAGES_PAGE];
	static const struct {
		unsigned pages, in; /* that it says, and that are in it */
		size_t len; /* of a frame, 0: all of it */
		const char *why;
	} rows[] = {
		{ 2, 2, 0, "" },
		{ 2, 1, 0, "a frame of fewer pages" },
		{ 1, 2, 0, "Destination buffer is too small" },
		{ 2, 2, 9, "Src size is incorrect" },
		{ 2, 0, 4000, "Unknown frame descriptor" },
		/* Whole and broken pages, but no frame. */
		{ 2, 0, 4096, "Unknown frame descriptor" },
		{ 1, 0, 4095, "Unknown frame descriptor" },
	};
	char name[STATE_NAME_MAX + 1], why[STATE_WHY_MAX];
	static uint8_t to[PAGES_GROUP];
	uint64_t mask, both, none = 0;
	struct gmem g;
	struct state s;
	struct pages p;
	size_t i, k, len;
	int fd, e;

	assert_int_equal(gmem_create(&g, SIZE), 0);
	for (i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i / 100);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fd = memfd_create("state", MFD_CLOEXEC);
		memset(frame, 0x77, sizeof(frame));
		len = rows[i].in == 0 ? rows[i].len
				      : ZSTD_compress(frame, sizeof(frame),
					    from, rows[i].in * PAGE, 1);
		assert_false(ZSTD_isError(len));
		if (rows[i].len != 0)
			len = rows[i].len;
		mask = (1 << rows[i].pages) - 1;
		both = crc32(0, frame, (unsigned)len) | (uint64_t)len << 32;
		assert_int_equal(state_write_head(&s, fd, "web"), 0);
		assert_int_equal(state_begin(&s, "pages", 3), 0);
		for (k = 0; k < N; k++) {
			state_number(&s, k == 0 ? &mask : &none, UINT64_MAX);
			state_number(&s, k == 0 ? &both : &none, UINT64_MAX);
		}
		assert_int_equal(state_end(&s), 0);
		state_free(&s);
		assert_int_equal(pwrite(fd, frame, len, 4096), len);
		assert_int_equal(state_read_head(&s, fd, name), 0);
		pages_read(&s, &p, &g);
		assert_string_equal(s.why, "");
		state_free(&s);
		why[0] = '\0';
		e = pages_get(&p, fd, 0, to, why);
		assert_int_equal(e, rows[i].why[0] == '\0' ? 0 : -EINVAL);
		if (strstr(why, rows[i].why) == NULL)
			fail_msg("%zu: \"%s\"", i, why);
		if (e == 0)
			assert_memory_equal(to, from, rows[i].in * PAGE);
		pages_free(&p);
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

/* The pager. */

static int lost_fd = -1;
static char lost_why[STATE_WHY_MAX];

static void
lost(void *arg, const char *why)
{
	snprintf(lost_why, sizeof(lost_why), "%s", why);
	if (lost_fd != -1)
		assert_int_equal(write(lost_fd, "x", 1), 1);
}

/* -1: this system has none, or not for us. */
static int
device(void)
{
	return open(UFFD_DEVICE, O_RDWR | O_CLOEXEC);
}

static struct pager *
pager(const struct gmem *g, int dev)
{
	struct pager *p;

	lost_why[0] = '\0';
	assert_int_equal(pager_new(&p, dev, g, lost, NULL), 0);
	return p;
}

static void
go(struct pager *p, const struct gmem *g, int fd)
{
	struct pages pages;

	assert_string_equal(opened(fd, &pages, g), "");
	assert_int_equal(gmem_discard(g, g->region[0].host, g->size), 0);
	assert_int_equal(pager_go(p, &pages, fd), 0);
	assert_true(pager_went(p));
}

/* As they are touched, also by the kernel for us; then the rest. */
static void
lazy(bool zstd)
{
	static const uint64_t some[] = { 0, 3, 64, 200, 128, 305, 772, 5 };
	int dev = device(), fd, pipefd[2];
	struct pager *p;
	struct gmem g;
	size_t i;

	if (dev == -1)
		skip();
	assert_int_equal(gmem_create(&g, SIZE), 0);
	p = pager(&g, dev);
	fd = written(zstd);
	memset(at(&g, 0), 0xff, 2 * PAGE); /* as who makes the machine does */
	go(p, &g, fd);
	for (i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		assert_true(right(&g, some[i]));
	/* What was written before it was read stays. */
	*(uint64_t *)(void *)at(&g, 400 * PAGE + 4088) = 42;
	assert_int_equal(pipe(pipefd), 0);
	assert_int_equal(write(pipefd[1], at(&g, 500 * PAGE), 4096), 4096);
	assert_int_equal(read(pipefd[0], at(&g, 600 * PAGE), 4096), 4096);
	assert_memory_equal(at(&g, 600 * PAGE), at(&g, 500 * PAGE), 4096);
	/* Thrown away is thrown away, read already or not. */
	assert_int_equal(pager_discard(p, at(&g, 500 * PAGE), 2 * PAGE), 0);
	assert_int_equal(pager_discard(p, at(&g, 700 * PAGE), 2 * PAGE), 0);
	assert_int_equal(
	    pager_discard(p, at(&g, SIZE - PAGE), 2 * PAGE), -EFAULT);
	assert_int_equal(pager_wait(p), 0);
	assert_string_equal(lost_why, "");
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(*(uint64_t *)(void *)at(&g, 400 * PAGE + 4088), 42);
	*(uint64_t *)(void *)at(&g, 400 * PAGE + 4088) = 0;
	assert_int_equal(at(&g, 500 * PAGE)[500], 0);
	assert_int_equal(at(&g, 701 * PAGE)[701], 0);
	for (i = 0; i < SIZE / PAGE; i++)
		if (i != 500 && i != 501 && i != 600 && i != 700 && i != 701)
			assert_true(right(&g, i));
	assert_int_equal(pager_discard(p, at(&g, 0), PAGE), 0);
	assert_int_equal(at(&g, 0)[0], 0);
	gmem_destroy(&g);
}

static void
test_lazy(void **state)
{
	lazy(false);
	lazy(true);
}

/* Everything is there by other means. */
static void
test_nothing_lazy(void **state)
{
	int dev = device();
	struct pages none = { 0 };
	struct pager *p;
	struct gmem g;

	if (dev == -1)
		skip();
	assert_int_equal(gmem_create(&g, SIZE), 0);
	p = pager(&g, dev);
	assert_false(pager_went(p));
	assert_int_equal(pager_go(p, &none, -1), 0);
	assert_int_equal(pager_wait(p), 0);
	assert_int_equal(at(&g, 100)[0], 0);
	gmem_destroy(&g);
}

/* A device process: another address, its own faults. */
static void
test_other_process(void **state)
{
	int dev = device(), fd, copy, status, pair[2], uffd;
	struct gmem g, other;
	struct pager *p;
	pid_t pid;

	if (dev == -1)
		skip();
	assert_int_equal(gmem_create(&g, SIZE), 0);
	assert_int_equal(pipe(pair), 0);
	fd = written(false);
	if ((pid = fork()) == 0) {
		uint64_t address;

		/* The vm process: this one never has the guest's pages. */
		if (gmem_attach(&other, dup(g.fd), SIZE) != 0 ||
		    (uffd = uffd_new(dev)) < 0 || uffd_arm(uffd, &other) != 0)
			_exit(1);
		address = (uintptr_t)other.region[0].host;
		/* As a parent it would get it by a message. */
		if ((copy = dup(uffd)) == -1)
			_exit(2);
		if (gmem_attach(&g, dup(g.fd), SIZE) != 0 ||
		    pager_new(&p, dev, &g, lost, NULL) != 0 ||
		    pager_add(p, copy, address) != 0 ||
		    pager_add(p, dup(uffd), 12) != -EINVAL)
			_exit(3);
		go(p, &g, fd);
		if (!right(&other, 70) || !right(&other, 129) ||
		    !right(&g, 71) || !right(&other, 71) || !right(&g, 129))
			_exit(4);
		if (pager_wait(p) != 0 || !all_right(&other) || !all_right(&g))
			_exit(5);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd);
	close(dev);
	gmem_destroy(&g);
}

/* A file that changed: one line, nobody gets a page, nobody hangs. */
static void
lose(void (*spoil)(int fd), const char *line)
{
	int dev = device(), fd = written(false), pair[2];
	struct pager *p;
	struct gmem g, seen;
	char x;

	if (dev == -1)
		skip();
	assert_int_equal(gmem_create(&g, SIZE), 0);
	assert_int_equal(gmem_attach(&seen, dup(g.fd), SIZE), 0);
	p = pager(&g, dev);
	assert_int_equal(pipe(pair), 0);
	lost_fd = pair[1];
	go(p, &g, fd);
	assert_true(right(&g, 5));
	spoil(fd);
	assert_int_equal(at(&g, 600 * PAGE)[600], 0); /* goes on, alone */
	assert_int_equal(read(pair[0], &x, 1), 1);
	if (strstr(lost_why, line) == NULL)
		fail_msg("\"%s\"", lost_why);
	assert_int_equal(pager_wait(p), -EIO);
	memset(at(&g, 0), 0x55, SIZE);
	assert_true(right(&seen, 5));
	assert_int_equal(at(&seen, 600 * PAGE)[0], 0);
	lost_fd = -1;
	/* What it keeps until the process ends. */
	assert_int_equal(close_range(992, 1023, 0), 0);
	close(pair[0]);
	close(pair[1]);
	gmem_destroy(&seen);
	gmem_destroy(&g);
}

static void
cut(int fd)
{
	assert_int_equal(ftruncate(fd, 1000000), 0);
}

static void
flip(int fd)
{
	uint8_t b[PAGE];
	off_t off;

	memset(b, 0x5a, sizeof(b));
	for (off = 1000000; off < 2400000; off += 4096)
		assert_int_equal(pwrite(fd, b, sizeof(b), off), 4096);
}

static void
test_lost(void **state)
{
	lose(cut, "section \"pages\" at byte");
	lose(cut, "the file ends here");
	lose(flip, "wrong checksum");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_other_memory),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_lazy),
		cmocka_unit_test(test_nothing_lazy),
		cmocka_unit_test(test_other_process),
		cmocka_unit_test(test_lost),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
