/* SPDX-License-Identifier: ISC */
/* The buffer between a socket and TLS: pipebuf.h. */
#include <sys/socket.h>
#include <stdarg.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "pipebuf.h"

#define TOTAL (4U << 20)
#define TURNS 100000 /* it takes about a hundred */

static void
pair(int sp[2])
{
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sp), 0);
}

/* What was put comes out; there is room again once all of it is. */
static void
test_room(void **state)
{
	struct pipebuf *b = calloc(1, sizeof(*b));
	uint8_t *p, *q;

	assert_int_equal(pipebuf_has(b, NULL), 0);
	assert_int_equal(pipebuf_room(b, &p), PIPEBUF_SIZE);
	memcpy(p, "abcd", 4);
	pipebuf_put(b, 4);
	assert_int_equal(pipebuf_room(b, &q), PIPEBUF_SIZE - 4);
	assert_ptr_equal(q, p + 4);
	pipebuf_took(b, 3);
	assert_int_equal(pipebuf_has(b, &q), 1);
	assert_int_equal(*q, 'd');
	pipebuf_put(b, PIPEBUF_SIZE - 4);
	assert_int_equal(pipebuf_room(b, &q), 0);
	pipebuf_took(b, PIPEBUF_SIZE - 4);
	assert_int_equal(pipebuf_room(b, &q), 0);
	pipebuf_took(b, 1);
	assert_int_equal(pipebuf_room(b, &q), PIPEBUF_SIZE);
	pipebuf_put(b, 7);
	pipebuf_drop(b);
	assert_int_equal(pipebuf_has(b, NULL), 0);
	assert_int_equal(pipebuf_room(b, &q), PIPEBUF_SIZE);
	free(b);
}

static void
test_ends(void **state)
{
	struct pipebuf *b = calloc(1, sizeof(*b));
	uint8_t *p;
	int sp[2];

	(void)signal(SIGPIPE, SIG_IGN);
	pair(sp);
	assert_int_equal(pipebuf_write(b, sp[0]), 0); /* nothing to write */
	assert_int_equal(pipebuf_read(b, sp[0]), 0); /* nothing there */
	assert_int_equal(write(sp[1], "xy", 2), 2);
	assert_int_equal(pipebuf_read(b, sp[0]), 1);
	assert_int_equal(pipebuf_has(b, &p), 2);
	assert_memory_equal(p, "xy", 2);
	pipebuf_put(b, PIPEBUF_SIZE - 2);
	assert_int_equal(pipebuf_read(b, sp[0]), 0); /* no room */
	fd_close(&sp[1]);
	assert_int_equal(pipebuf_write(b, sp[0]), -1);
	assert_int_equal(pipebuf_has(b, NULL), PIPEBUF_SIZE);
	pipebuf_drop(b);
	assert_int_equal(pipebuf_read(b, sp[0]), -1);
	fd_close(&sp[0]);
	free(b);
}

/* Through two sockets that take what they like, in order. */
static void
test_stream(void **state)
{
	struct pipebuf *b = calloc(1, sizeof(*b));
	size_t sent = 0, got = 0, n, i, turns = 0;
	uint8_t *data = malloc(TOTAL), *back = malloc(TOTAL);
	int from[2], to[2];
	ssize_t r;

	pair(from);
	pair(to);
	srandom(5);
	for (i = 0; i < TOTAL; i++)
		data[i] = (uint8_t)random();
	while (got < TOTAL) {
		assert_true(turns++ < TURNS);
		n = (size_t)random() % 100000;
		n = n < TOTAL - sent ? n : TOTAL - sent;
		if (n > 0 && (r = write(from[1], data + sent, n)) > 0)
			sent += (size_t)r;
		assert_true(pipebuf_read(b, from[0]) >= 0);
		assert_true(pipebuf_write(b, to[1]) >= 0);
		n = (size_t)random() % 100000;
		n = n < TOTAL - got ? n : TOTAL - got;
		if (n > 0 && (r = read(to[0], back + got, n)) > 0)
			got += (size_t)r;
	}
	assert_memory_equal(data, back, TOTAL);
	for (i = 0; i < 2; i++) {
		fd_close(&from[i]);
		fd_close(&to[i]);
	}
	free(data);
	free(back);
	free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
