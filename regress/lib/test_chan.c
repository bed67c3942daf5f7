/* SPDX-License-Identifier: ISC */
/*
 * Channels: one end is ours, the other a raw imsgbuf that can break rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>
#include <event2/thread.h>
#include "chan.h"
#include "fd.h"
#include "imsg.h"

enum { NUMBER = 1, PASS, FREE, FAIL, NEST, ECHO };

/* What the handlers saw. */
struct seen {
	struct event_base *base;
	struct chan *c;
	struct imsgbuf peer;
	int peerfd;
	unsigned messages;
	uint32_t last_id, sum;
	bool got_fd;
	unsigned closed;
	char why[128];
	bool free_in_closed;
	int nested;
};

static int
on_number(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct seen *s = arg;
	uint32_t v;

	assert_int_equal(fd, -1);
	if (ibuf_get_n32(body, &v) == -1)
		return -errno;
	s->messages++;
	s->last_id = id;
	s->sum += v;
	return 0;
}

static int
on_pass(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct seen *s = arg;

	s->messages++;
	s->got_fd = fcntl(fd, F_GETFD) == FD_CLOEXEC;
	close(fd);
	return 0;
}

static int
on_free(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct seen *s = arg;

	s->messages++;
	chan_free(s->c);
	s->c = NULL;
	return id == 1 ? -EIO : 0;
}

static int
on_fail(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	return -EIO;
}

/* A handler that waits for another message. */
static int
on_nest(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct seen *s = arg;

	s->nested = chan_recv(s->c, 5000);
	return 0;
}

static int
on_echo(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct seen *s = arg;
	struct ibuf *b = chan_body();

	ibuf_add_ibuf(b, body);
	ibuf_skip(body, ibuf_size(body));
	return chan_send(s->c, ECHO, id, -1, b);
}

static const struct chan_row rows[] = {
	{ NUMBER, "NUMBER", CHAN_NOFD, on_number },
	{ PASS, "PASS", CHAN_FD, on_pass },
	{ FREE, "FREE", CHAN_NOFD, on_free },
	{ FAIL, "FAIL", CHAN_NOFD, on_fail },
	{ NEST, "NEST", CHAN_NOFD, on_nest },
	{ ECHO, "ECHO", CHAN_NOFD, on_echo },
};

static void
on_closed(void *arg, const char *why)
{
	struct seen *s = arg;

	s->closed++;
	snprintf(s->why, sizeof(s->why), "%s", why);
	if (s->free_in_closed) {
		chan_free(s->c);
		s->c = NULL;
	}
}

static const struct chan_ops ops = { rows, sizeof(rows) / sizeof(rows[0]),
	on_closed };

static int
count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static int before;

static void
setup(struct seen *s, bool attached)
{
	int sv[2];

	before = count_fds();
	memset(s, 0, sizeof(*s));
	s->base = event_base_new();
	assert_non_null(s->base);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	s->c = chan_new(attached ? s->base : NULL, sv[0], &ops, s);
	assert_non_null(s->c);
	s->peerfd = sv[1];
	fd_nonblock(sv[1]);
	assert_int_equal(imsgbuf_init(&s->peer, sv[1]), 0);
	assert_int_equal(imsgbuf_set_maxsize(&s->peer, CHAN_MSG_MAX), 0);
	imsgbuf_allow_fdpass(&s->peer);
}

static void
teardown(struct seen *s)
{
	chan_free(s->c);
	imsgbuf_clear(&s->peer);
	close(s->peerfd);
	event_base_free(s->base);
	assert_int_equal(count_fds(), before);
}

/* Let the loop run until nothing is left to do. */
static void
turn(struct seen *s)
{
	int i;

	for (i = 0; i < 20; i++)
		event_base_loop(s->base, EVLOOP_NONBLOCK);
}

static void
peer_send(
    struct seen *s, uint32_t type, uint32_t id, int fd, const void *p, size_t n)
{
	assert_int_equal(imsg_compose(&s->peer, type, id, 0, fd, p, n), 1);
	assert_int_equal(imsgbuf_write(&s->peer), 0);
}

static const uint32_t one = 0x01000000; /* 1 in network order */

static void
test_chan_dispatch(void **state)
{
	struct seen s;

	setup(&s, true);
	peer_send(&s, NUMBER, 7, -1, &one, 4);
	peer_send(&s, NUMBER, 8, -1, &one, 4);
	peer_send(&s, PASS, 9, dup(0), NULL, 0);
	turn(&s);
	assert_int_equal(s.messages, 3);
	assert_int_equal(s.sum, 2);
	assert_int_equal(s.last_id, 8);
	assert_true(s.got_fd);
	assert_int_equal(s.closed, 0);
	assert_null(chan_why(s.c));
	teardown(&s);
}

struct rule {
	const char *name, *why;
	uint32_t type;
	bool fd;
	uint8_t len; /* of a zero payload */
};

static void
test_chan_rules(void **state)
{
	static const struct rule cases[] = {
		{ "unknown", "unknown message 99", 99, false, 0 },
		{ "descriptor", "NUMBER: a descriptor where none belongs",
		    NUMBER, true, 4 },
		{ "no descriptor", "PASS: descriptor missing", PASS, false, 0 },
		{ "short", "NUMBER: fields missing or out of range", NUMBER,
		    false, 3 },
		{ "long", "NUMBER: 1 bytes left over", NUMBER, false, 5 },
		{ "refused", "FAIL: Input/output error", FAIL, false, 0 },
		{ "pass, long", "PASS: 4 bytes left over", PASS, true, 4 },
	};
	char zero[8] = "";
	struct seen s;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setup(&s, true);
		peer_send(&s, cases[i].type, 0, cases[i].fd ? dup(0) : -1, zero,
		    cases[i].len);
		/* What follows is not looked at. */
		peer_send(&s, NUMBER, 0, -1, &one, 4);
		turn(&s);
		if (s.closed != 1 || strcmp(s.why, cases[i].why) != 0)
			fail_msg("%s: closed %u, \"%s\"", cases[i].name,
			    s.closed, s.why);
		assert_string_equal(chan_why(s.c), cases[i].why);
		assert_int_equal(s.sum, 0);
		assert_int_equal(chan_send(s.c, 1, 0, dup(0), NULL), -EPIPE);
		teardown(&s);
	}
}

static void
test_chan_framing(void **state)
{
	static const uint32_t bad[4] = { 1, 3, 0, 0 },
			      part[4] = { 1, 20, 0, 0 };
	struct seen s;

	setup(&s, true);
	assert_int_equal(write(s.peerfd, bad, 16), 16);
	turn(&s);
	assert_string_equal(s.why, "broken framing");
	teardown(&s);

	setup(&s, true);
	assert_int_equal(write(s.peerfd, part, 16), 16);
	shutdown(s.peerfd, SHUT_WR);
	turn(&s);
	assert_string_equal(s.why, "end of file inside a message");
	teardown(&s);

	setup(&s, true);
	s.free_in_closed = true;
	peer_send(&s, NUMBER, 0, -1, &one, 4);
	shutdown(s.peerfd, SHUT_WR);
	turn(&s);
	assert_int_equal(s.sum, 1);
	assert_int_equal(s.closed, 1);
	assert_string_equal(s.why, "");
	assert_null(s.c);
	teardown(&s);
}

static void
test_chan_free_in_handler(void **state)
{
	struct seen s;
	uint32_t id;

	for (id = 0; id < 2; id++) {
		setup(&s, true);
		peer_send(&s, FREE, id, -1, NULL, 0);
		peer_send(&s, NUMBER, 0, -1, &one, 4);
		turn(&s);
		assert_null(s.c);
		assert_int_equal(s.messages, 1);
		assert_int_equal(s.closed, 0);
		teardown(&s);

		setup(&s, false);
		peer_send(&s, FREE, id, -1, NULL, 0);
		assert_int_equal(chan_recv(s.c, 1000), -ECANCELED);
		assert_null(s.c);
		teardown(&s);
	}
}

/* The receiver's last words arrive although writing to it fails. */
static void
test_chan_last_words(void **state)
{
	struct seen s;

	setup(&s, true);
	peer_send(&s, NUMBER, 0, -1, &one, 4);
	close(s.peerfd);
	s.peerfd = open("/dev/null", O_RDWR);
	assert_int_equal(chan_send(s.c, ECHO, 0, -1, NULL), 0);
	assert_int_equal(chan_flush(s.c, 100), -EPIPE);
	turn(&s);
	assert_int_equal(s.sum, 1);
	assert_int_equal(s.closed, 1);
	assert_string_equal(s.why, "");
	teardown(&s);
}

static unsigned
peer_count(struct seen *s, uint32_t type)
{
	struct imsg m;
	unsigned n = 0;

	assert_int_equal(imsgbuf_read(&s->peer), 1);
	while (imsgbuf_get(&s->peer, &m) == 1) {
		assert_int_equal(imsg_get_type(&m), type);
		imsg_free(&m);
		n++;
	}
	return n;
}

static void
test_chan_send(void **state)
{
	struct ibuf *b;
	struct seen s;
	int i;

	setup(&s, true);
	for (i = 0; i < 10; i++) {
		b = chan_body();
		ibuf_add_n32(b, 5);
		assert_int_equal(chan_send(s.c, 77, 0, -1, b), 0);
	}
	assert_int_equal(chan_queued(s.c), 200); /* not in the caller */
	turn(&s);
	assert_int_equal(chan_queued(s.c), 0);
	assert_int_equal(peer_count(&s, 77), 10);
	/* With descriptors. */
	assert_int_equal(chan_send(s.c, 78, 0, dup(0), NULL), 0);
	turn(&s);
	assert_int_equal(peer_count(&s, 78), 1);
	/* A body that an adder failed on is not sent. */
	b = chan_body();
	assert_int_equal(ibuf_add_zero(b, CHAN_MSG_MAX), -1);
	assert_int_equal(chan_send(s.c, 78, 0, -1, b), -EMSGSIZE);
	/* The largest one is. */
	b = chan_body();
	assert_int_equal(ibuf_add_zero(b, ibuf_left(b)), 0);
	assert_int_equal(chan_send(s.c, 79, 0, -1, b), 0);
	for (i = 0; i < 100 && chan_queued(s.c) > 0; i++)
		turn(&s);
	assert_int_equal(peer_count(&s, 79), 1);
	teardown(&s);
}

/* A peer that does not read is dropped; its owner hears of it later. */
static void
test_chan_queue_limit(void **state)
{
	struct ibuf *b;
	struct seen s;
	int error = 0, n = 0;

	setup(&s, true);
	chan_set_limit(s.c, 1 << 20);
	while (error == 0) {
		b = chan_body();
		ibuf_add_zero(b, 10000);
		error = chan_send(s.c, 1, 0, n % 50 == 0 ? dup(0) : -1, b);
		turn(&s);
		assert_true(++n < 1000);
	}
	assert_int_equal(error, -ENOBUFS);
	assert_true(chan_queued(s.c) <= 1 << 20);
	turn(&s);
	assert_int_equal(s.closed, 1);
	assert_non_null(strstr(s.why, "peer does not read"));
	teardown(&s);
}

static void
test_chan_blocking(void **state)
{
	struct seen s;
	long long start;

	setup(&s, false);
	start = fd_now_ms();
	assert_int_equal(chan_recv(s.c, 30), -ETIMEDOUT);
	assert_true(fd_now_ms() - start >= 29);
	peer_send(&s, NUMBER, 0, -1, &one, 4);
	peer_send(&s, NUMBER, 0, -1, &one, 4);
	assert_int_equal(chan_recv(s.c, 1000), 0);
	assert_int_equal(s.messages, 1);
	/* What recv left in the buffer is dispatched after attaching. */
	assert_int_equal(chan_attach(s.c, s.base), 0);
	assert_int_equal(chan_attach(s.c, s.base), -EINVAL);
	turn(&s);
	assert_int_equal(s.messages, 2);
	/* A nested wait inside a handler. */
	peer_send(&s, NEST, 0, -1, NULL, 0);
	peer_send(&s, NUMBER, 0, -1, &one, 4);
	turn(&s);
	assert_int_equal(s.nested, 0);
	assert_int_equal(s.messages, 3);
	shutdown(s.peerfd, SHUT_WR);
	assert_int_equal(chan_recv(s.c, 1000), -EPIPE);
	assert_string_equal(chan_why(s.c), "");
	assert_int_equal(s.closed, 0); /* from the loop only */
	turn(&s);
	assert_int_equal(s.closed, 1);
	teardown(&s);
}

static void
test_chan_blocking_errors(void **state)
{
	struct seen s;

	setup(&s, false);
	peer_send(&s, FAIL, 0, -1, NULL, 0);
	assert_int_equal(chan_recv(s.c, 1000), -EIO);
	assert_int_equal(chan_recv(s.c, 1000), -EPIPE);
	assert_int_equal(chan_flush(s.c, 1000), -EPIPE);
	assert_string_equal(chan_why(s.c), "FAIL: Input/output error");
	/* Attached when already dead: closed() comes all the same. */
	assert_int_equal(chan_attach(s.c, s.base), 0);
	turn(&s);
	assert_int_equal(s.closed, 1);
	assert_int_equal(chan_attach(s.c, s.base), -EINVAL);
	teardown(&s);
}

/* Both blocking calls write; recv() does so while it waits. */
static void
test_chan_blocking_writes(void **state)
{
	static char big[50000];
	struct ibuf *b;
	struct seen s;
	int i;

	setup(&s, false);
	for (i = 0; i < 20; i++) {
		b = chan_body();
		ibuf_add(b, big, sizeof(big));
		assert_int_equal(chan_send(s.c, 5, 0, -1, b), 0);
	}
	assert_int_equal(chan_flush(s.c, 50), -ETIMEDOUT);
	assert_true(chan_queued(s.c) > 0);
	while (chan_queued(s.c) > 0) {
		(void)peer_count(&s, 5);
		assert_int_equal(chan_recv(s.c, 1), -ETIMEDOUT);
	}
	teardown(&s);
}

static void
test_chan_forbid_fds(void **state)
{
	struct seen s;

	/* Queued ones go out first. */
	setup(&s, true);
	assert_int_equal(chan_send(s.c, 5, 0, dup(0), NULL), 0);
	chan_forbid_fds(s.c);
	assert_int_equal(peer_count(&s, 5), 1);
	assert_int_equal(chan_send(s.c, 5, 0, dup(0), NULL), -EINVAL);
	assert_int_equal(chan_send(s.c, 5, 0, -1, NULL), 0);
	peer_send(&s, NUMBER, 0, -1, &one, 4);
	turn(&s);
	assert_int_equal(s.messages, 1);
	peer_send(&s, PASS, 0, dup(0), NULL, 0);
	turn(&s);
	assert_int_equal(s.messages, 1);
	assert_string_equal(s.why, "broken framing");
	teardown(&s);

	/* They cannot: the channel ends. */
	setup(&s, true);
	assert_int_equal(chan_send(s.c, 5, 0, dup(0), NULL), 0);
	close(s.peerfd);
	s.peerfd = open("/dev/null", O_RDWR);
	chan_forbid_fds(s.c);
	turn(&s);
	assert_int_equal(s.closed, 1);
	assert_non_null(strstr(s.why, "descriptors unsent"));
	teardown(&s);
}

/* Other threads send while the loop runs. */

#define THREADS 4
#define EACH	2000

static void *
sender(void *arg)
{
	struct ibuf *b;
	int i;

	for (i = 0; i < EACH; i++) {
		b = chan_body();
		ibuf_add_n32(b, 1);
		if (chan_send(arg, NUMBER, 0, -1, b) != 0)
			return arg;
	}
	return NULL;
}

static void
on_timeout(int fd, short what, void *arg)
{
	event_base_loopbreak(arg);
}

static int
count_until(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct seen *s = arg;

	if (on_number(arg, id, fd, body) != 0)
		return -EBADMSG;
	if (s->sum == THREADS * EACH)
		event_base_loopbreak(s->base);
	return 0;
}

static void
test_chan_threads(void **state)
{
	static const struct chan_row row = { NUMBER, "NUMBER", CHAN_NOFD,
		count_until };
	static const struct chan_ops reader = { &row, 1, on_closed };
	struct timeval limit = { 20, 0 };
	pthread_t t[THREADS];
	struct chan *other;
	struct seen s;
	void *failed;
	int i, sv[2];

	setup(&s, true);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	chan_free(s.c);
	s.c = chan_new(s.base, sv[0], &ops, &s);
	other = chan_new(s.base, sv[1], &reader, &s);
	event_base_once(s.base, -1, EV_TIMEOUT, on_timeout, s.base, &limit);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, sender, s.c), 0);
	event_base_dispatch(s.base);
	for (i = 0; i < THREADS; i++) {
		pthread_join(t[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(s.sum, THREADS * EACH);
	assert_int_equal(s.closed, 0);
	chan_free(other);
	teardown(&s);
}

static void
test_chan_new_fails(void **state)
{
	struct seen s;

	assert_null(chan_new(NULL, 9999, &ops, &s));
	assert_int_equal(errno, EBADF);
	chan_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chan_dispatch),
		cmocka_unit_test(test_chan_rules),
		cmocka_unit_test(test_chan_framing),
		cmocka_unit_test(test_chan_free_in_handler),
		cmocka_unit_test(test_chan_last_words),
		cmocka_unit_test(test_chan_send),
		cmocka_unit_test(test_chan_queue_limit),
		cmocka_unit_test(test_chan_blocking),
		cmocka_unit_test(test_chan_blocking_errors),
		cmocka_unit_test(test_chan_blocking_writes),
		cmocka_unit_test(test_chan_forbid_fds),
		cmocka_unit_test(test_chan_threads),
		cmocka_unit_test(test_chan_new_fails),
	};

	signal(SIGPIPE, SIG_IGN);
	evthread_use_pthreads();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
