/* SPDX-License-Identifier: ISC */
/*
 * Memory that is sent in rounds (vmd/send.c): whatever is written in between,
 * by the guest or by us, the last copy that goes out is what is there.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "send.h"

#define PAGE 4096ULL
#define MIB  (1ULL << 20)

/* What a hypervisor would have in its log. */
static uint64_t guest_log[16384];
static int log_error;

static int
take_log(void *arg, uint64_t *bits)
{
	const struct gmem *g = arg;
	size_t i, n = (g->size / PAGE + 63) / 64;

	if (log_error != 0)
		return log_error;
	for (i = 0; i < n && i < sizeof(guest_log) / 8; i++) {
		bits[i] |= guest_log[i];
		guest_log[i] = 0;
	}
	return 0;
}

/* What the other side does with it. */
static void
receive(struct send *d, const struct gmem *to)
{
	char name[STATE_NAME_MAX + 1];
	int fd = memfd_create("out", MFD_CLOEXEC);
	struct state s;
	uint64_t gpa;
	bool head;
	void *p;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, d->s.out, d->s.nout), (ssize_t)d->s.nout);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	head = d->s.nout >= 8 && memcmp(d->s.out, STATE_MAGIC, 8) == 0;
	memset(&s, 0, sizeof(s));
	if (head)
		assert_int_equal(state_read_head(&s, fd, name), 0);
	else {
		s.fd = fd;
		s.buf = malloc(STATE_SECTION_MAX);
	}
	while (s.at < d->s.nout) {
		assert_int_equal(state_begin(&s, "memory", 1), 0);
		gpa = 0;
		state_number(&s, &gpa, UINT64_MAX);
		p = gmem_range(to, (struct gpa){ gpa }, s.len - s.pos);
		assert_non_null(p);
		state_bytes(&s, p, s.len - s.pos);
		assert_int_equal(state_end(&s), 0);
	}
	state_free(&s);
	close(fd);
	d->s.nout = 0;
}

static void
send_all(struct send *d, const struct gmem *to)
{
	while (!send_more(d, 100000))
		receive(d, to);
	receive(d, to);
}

static void
same(const struct gmem *a, const struct gmem *b)
{
	unsigned i;

	for (i = 0; i < a->nregions; i++)
		assert_memory_equal(
		    a->region[i].host, b->region[i].host, a->region[i].len);
}

static uint32_t
next(uint32_t *seed)
{
	return *seed = *seed * 1664525 + 1013904223;
}

/* Somebody writes to a page: the guest, or one of us. */
static void
scribble(const struct gmem *g, uint32_t *seed, bool mark)
{
	uint64_t page = next(seed) / 16 % (g->size / PAGE);
	uint8_t *p = g->region[0].host + page * PAGE;

	if (next(seed) / 16 % 4 == 0)
		memset(p, 0, PAGE);
	else
		p[next(seed) / 16 % PAGE] = (uint8_t)(next(seed) >> 8);
	if (!mark)
		return;
	if (next(seed) / 16 % 2 == 0)
		guest_log[page / 64] |= 1ULL << page % 64;
	else
		gmem_wrote(g, p, PAGE);
}

static void
test_rounds(void **state)
{
	static const uint64_t sizes[] = { 1, 2, 63, 64, 65, 1000, 4096 };
	struct gmem from, to;
	struct send d;
	uint32_t seed = 7;
	unsigned i, k, round;
	int64_t n;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(gmem_create(&from, sizes[i] * PAGE), 0);
		assert_int_equal(gmem_create(&to, sizes[i] * PAGE), 0);
		for (k = 0; k < sizes[i] / 2; k++)
			scribble(&from, &seed, false);
		assert_int_equal(send_begin(&d, &from, "web"), 0);
		for (round = 0; round < 20; round++) {
			/* Before, during and after the reading. */
			scribble(&from, &seed, true);
			while (!send_more(&d, 1 + next(&seed) % 50000)) {
				receive(&d, &to);
				scribble(&from, &seed, true);
			}
			receive(&d, &to);
			scribble(&from, &seed, true);
			/* What a round had left is in the next one. */
			if (round % 3 == 0)
				(void)send_round(&d, take_log, &from);
			if (round % 5 == 0)
				(void)send_more(&d, 1);
			receive(&d, &to);
			scribble(&from, &seed, true);
			n = send_round(&d, take_log, &from);
			assert_true(n >= 0 && (uint64_t)n <= sizes[i]);
		}
		send_all(&d, &to);
		same(&from, &to);
		assert_int_equal(send_round(&d, take_log, &from), 0);
		send_free(&d);
		gmem_destroy(&from);
		gmem_destroy(&to);
	}
}

/* Pages that the round has. */
static unsigned
marked(const struct send *d)
{
	unsigned n = 0;
	size_t i;

	for (i = 0; i < d->words; i++)
		n += (unsigned)__builtin_popcountll(d->map[i]);
	return n;
}

/* Above the hole, and holes stay holes. */
static void
test_regions(void **state)
{
	struct gmem from, to;
	struct send d;

	assert_int_equal(gmem_create(&from, GMEM_PCI_HOLE + 4 * MIB), 0);
	assert_int_equal(gmem_create(&to, GMEM_PCI_HOLE + 4 * MIB), 0);
	from.region[0].host[GMEM_PCI_HOLE - 1] = 1;
	from.region[1].host[0] = 2;
	from.region[1].host[4 * MIB - 1] = 3;
	assert_int_equal(send_begin(&d, &from, "web"), 0);
	assert_int_equal(marked(&d), 3);
	send_all(&d, &to);
	assert_int_equal(to.region[0].host[GMEM_PCI_HOLE - 1], 1);
	assert_int_equal(to.region[1].host[0], 2);
	assert_int_equal(to.region[1].host[4 * MIB - 1], 3);
	from.region[1].host[PAGE] = 4;
	gmem_wrote(&from, from.region[1].host + PAGE, 1);
	assert_int_equal(send_round(&d, take_log, &from), 1);
	send_all(&d, &to);
	assert_int_equal(to.region[1].host[PAGE], 4);
	log_error = -EIO;
	assert_int_equal(send_round(&d, take_log, &from), -EIO);
	log_error = 0;
	send_free(&d);
	gmem_destroy(&from);
	gmem_destroy(&to);
}

static void
test_judge(void **state)
{
	static const struct {
		uint64_t pages, before, speed;
		unsigned rounds, limit;
		enum send_next next;
	} rows[] = {
		{ 0, UINT64_MAX, 0, 1, 1, SEND_STOP },
		{ 1, UINT64_MAX, 0, 1, 300, SEND_GO_ON },
		{ 1, 1, 0, SEND_ROUNDS_MAX, 300, SEND_NEVER },
		{ 100, 100, 4096000, 1, 100, SEND_STOP },
		{ 101, UINT64_MAX, 4096000, 1, 100, SEND_GO_ON },
		{ 101, 101, 4096000, SEND_ROUNDS_MAX - 1, 100, SEND_GO_ON },
		{ 101, 101, 4096000, SEND_ROUNDS_MAX, 100, SEND_NEVER },
		{ 100, 500, 4096000, SEND_ROUNDS_MAX, 100, SEND_STOP },
		{ 1ULL << 34, UINT64_MAX, 1ULL << 30, 1, 60000, SEND_GO_ON },
		/* In time, but it becomes less. */
		{ 100, UINT64_MAX, 4096000, 1, 100, SEND_GO_ON },
		{ 74, 100, 4096000, 2, 100, SEND_GO_ON },
		{ 75, 100, 4096000, 2, 100, SEND_STOP },
		{ 13, 100, 4096000, 2, 100, SEND_GO_ON },
		{ 12, 100, 4096000, 2, 100, SEND_STOP },
	};
	struct send_trend t;
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t = (struct send_trend){ .left = rows[i].before };
		if (send_judge(&t, rows[i].pages, rows[i].speed, rows[i].rounds,
			rows[i].limit) != rows[i].next)
			fail_msg("row %u", i);
		assert_int_equal(t.left, rows[i].pages);
	}
}

/* A guest that writes in bursts: a chance that was let go is not let go again. */
static void
test_judge_bursts(void **state)
{
	static const struct {
		uint64_t pages;
		enum send_next next;
	} rounds[] = {
		{ 500, SEND_GO_ON },
		{ 50, SEND_GO_ON }, /* in time, and becomes less */
		{ 30, SEND_GO_ON },
		{ 120, SEND_GO_ON },
		{ 110, SEND_GO_ON },
		{ 50, SEND_STOP },
	};
	struct send_trend t = { .left = UINT64_MAX };
	unsigned i;

	for (i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++)
		if (send_judge(&t, rounds[i].pages, 4096000, i + 1, 100) !=
		    rounds[i].next)
			fail_msg("round %u", i + 1);
}

static void
test_slow(void **state)
{
	static const struct {
		unsigned percent, most;
		uint64_t pages, before;
		unsigned want;
	} rows[] = {
		{ 0, 0, 1000, 1000, 0 }, /* nobody asked for it */
		{ 0, 95, 749, 1000, 0 },
		{ 0, 95, 750, 1000, 20 },
		{ 0, 95, 5000, 1000, 20 },
		{ 20, 95, 749, 1000, 20 },
		{ 20, 95, 1000, 1000, 40 },
		{ 80, 95, 1000, 1000, 95 },
		{ 95, 95, 1000, 1000, 95 },
		{ 20, 30, 1000, 1000, 30 },
		{ 0, 95, 0, 0, 20 },
		{ 0, 95, UINT64_MAX, UINT64_MAX, 20 },
	};
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (send_slow(rows[i].percent, rows[i].most, rows[i].pages,
			rows[i].before) != rows[i].want)
			fail_msg("row %u", i);
}

static void
test_words(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		int word;
		size_t used;
		const char *text;
	} rows[] = {
		{ "", 0, 0, 0, "" },
		{ "R", 1, 0, 1, "" },
		{ "R\0", 2, SEND_READY, 2, "" },
		{ "D\0R", 3, SEND_DONE, 2, "" },
		{ "N\3abc", 5, SEND_NO, 5, "abc" },
		{ "N\3abcD", 6, SEND_NO, 5, "abc" },
		{ "N\3ab", 4, 0, 4, "" },
		{ "N\0", 2, SEND_NO, 2, "" },
		{ "N\310", 2, 0, 2, "" },
		{ "N\311", 2, -EBADMSG, 0, "" },
		{ "C\0", 2, -EBADMSG, 0, "" },
		{ "X", 1, -EBADMSG, 0, "" },
		{ "R\1", 2, -EBADMSG, 0, "" },
		{ "D\377", 2, -EBADMSG, 0, "" },
	};
	uint8_t put[2 + SEND_TEXT_MAX];
	char text[SEND_TEXT_MAX + 1], longer[500];
	struct send_words w;
	size_t used, n;
	unsigned i;
	int word;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&w, 0, sizeof(w));
		text[0] = '\0';
		used = 0;
		word = send_words(
		    &w, (const uint8_t *)rows[i].bytes, rows[i].n, &used, text);
		if (word != rows[i].word || used != rows[i].used ||
		    strcmp(text, rows[i].text) != 0)
			fail_msg("row %u: %d, %zu", i, word, used);
	}
	/* What is put is understood, byte by byte. */
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	memset(&w, 0, sizeof(w));
	n = send_word_put(put, SEND_NO, longer);
	assert_int_equal(n, sizeof(put));
	for (i = 0; i < n - 1; i++)
		assert_int_equal(send_words(&w, put + i, 1, &used, text), 0);
	assert_int_equal(send_words(&w, put + i, 1, &used, text), SEND_NO);
	assert_int_equal(strlen(text), SEND_TEXT_MAX);
	n = send_word_put(put, SEND_READY, "");
	assert_int_equal(n, 2);
	assert_int_equal(send_words(&w, put, n, &used, text), SEND_READY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_regions),
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_judge_bursts),
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
