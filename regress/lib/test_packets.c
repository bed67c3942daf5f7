/* SPDX-License-Identifier: ISC */
/*
 * Framed messages over a socket of packets: whole ones or none, whoever reads
 * or writes the next one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "imsg.h"

#define MAX 4096

static int s[2];

static void
open_pair(struct imsgbuf *b)
{
	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s),
	    0);
	assert_int_equal(imsgbuf_init(b, s[1]), 0);
	assert_int_equal(imsgbuf_set_maxsize(b, MAX), 0);
	imsgbuf_allow_fdpass(b);
}

static void
close_pair(struct imsgbuf *b)
{
	imsgbuf_clear(b);
	close(s[0]);
	close(s[1]);
}

/* The next message's type; 0: none, -1: error. */
static int
next(struct imsgbuf *b)
{
	struct imsg m;
	int n;

	n = imsgbuf_get(b, &m);
	if (n == 0) {
		if ((n = imsgbuf_read(b)) != 1)
			return n;
		n = imsgbuf_get(b, &m);
	}
	if (n != 1)
		return n;
	n = (int)imsg_get_type(&m);
	imsg_free(&m);
	return n;
}

/* Somebody else goes on where one stopped, at both ends. */
static void
test_take_over(void **state)
{
	struct imsgbuf a, b, c, d;
	int fd;

	open_pair(&b);
	assert_int_equal(imsgbuf_init(&a, s[0]), 0);
	imsgbuf_allow_fdpass(&a);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(imsg_compose(&a, 1, 0, 0, -1, "one", 3), 1);
	assert_int_equal(imsg_compose(&a, 2, 0, 0, fd, "two", 3), 1);
	assert_int_equal(imsg_compose(&a, 3, 0, 0, -1, NULL, 0), 1);
	assert_int_equal(imsgbuf_write(&a), 0);
	imsgbuf_clear(&a);
	assert_int_equal(next(&b), 1);
	/* The first reader dies: what it has not asked for is there. */
	assert_int_equal(imsgbuf_init(&c, s[1]), 0);
	imsgbuf_allow_fdpass(&c);
	assert_int_equal(imsgbuf_init(&d, s[0]), 0);
	assert_int_equal(imsg_compose(&d, 4, 0, 0, -1, NULL, 0), 1);
	assert_int_equal(imsgbuf_write(&d), 0);
	assert_int_equal(next(&c), 2);
	assert_int_equal(next(&c), 3);
	assert_int_equal(next(&c), 4);
	imsgbuf_clear(&c);
	imsgbuf_clear(&d);
	close_pair(&b);
}

static void
test_hostile(void **state)
{
	const struct {
		const char *what;
		uint32_t len; /* as announced */
		size_t sent;
	} rows[] = {
		{ "half a header", 8, 8 },
		{ "header cut", 16, 12 },
		{ "payload missing", 20, 16 },
		{ "payload cut", 20, 19 },
		{ "more than announced", 16, 20 },
		{ "two of them", 16, 32 },
		{ "too long", MAX + 4, MAX + 4 },
		{ "announced short, sent too long", MAX, MAX + 4 },
		{ "shorter than a header", 4, 16 },
	};
	uint8_t bytes[2 * MAX];
	struct imsg_hdr h = { .type = 7 };
	struct imsgbuf b;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		open_pair(&b);
		memset(bytes, 0, sizeof(bytes));
		h.len = rows[i].len;
		memcpy(bytes, &h, sizeof(h));
		memcpy(bytes + 16, &h, sizeof(h));
		assert_int_equal(send(s[0], bytes, rows[i].sent, MSG_NOSIGNAL),
		    rows[i].sent);
		/* Cut off by the kernel it looks as if it were right. */
		if (rows[i].len == MAX && rows[i].sent > MAX)
			assert_int_equal(next(&b), 7);
		else if (next(&b) != -1 || errno != EBADMSG)
			fail_msg("%s", rows[i].what);
		close_pair(&b);
	}
}

/* Its last words come after the error that says that it left some of ours. */
static void
test_last_words(void **state)
{
	struct imsgbuf a, b;

	open_pair(&b);
	assert_int_equal(imsgbuf_init(&a, s[0]), 0);
	assert_int_equal(imsg_compose(&b, 9, 0, 0, -1, "unread", 6), 1);
	assert_int_equal(imsgbuf_write(&b), 0);
	assert_int_equal(imsg_compose(&a, 1, 0, 0, -1, NULL, 0), 1);
	assert_int_equal(imsg_compose(&a, 2, 0, 0, -1, NULL, 0), 1);
	assert_int_equal(imsgbuf_write(&a), 0);
	imsgbuf_clear(&a);
	close(s[0]);
	assert_int_equal(next(&b), 1);
	assert_int_equal(next(&b), 2);
	assert_int_equal(next(&b), 0);
	assert_false(imsgbuf_partial(&b));
	imsgbuf_clear(&b);
	close(s[1]);
}

/* A full socket takes whole messages or none. */
static void
test_full(void **state)
{
	struct imsgbuf a, b;
	uint8_t body[1024] = { 0 };
	unsigned i, n;

	open_pair(&b);
	assert_int_equal(imsgbuf_init(&a, s[0]), 0);
	for (i = 1; i <= 900; i++)
		assert_int_equal(
		    imsg_compose(&a, i, 0, 0, -1, body, sizeof(body)), 1);
	assert_int_equal(imsgbuf_write(&a), 0);
	assert_true(imsgbuf_queuelen(&a) > 0);
	for (n = 1; n <= 900; n++) {
		assert_int_equal(next(&b), n);
		assert_int_equal(imsgbuf_write(&a), 0);
	}
	assert_int_equal(imsgbuf_queuelen(&a), 0);
	imsgbuf_clear(&a);
	close_pair(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take_over),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
