/* SPDX-License-Identifier: ISC */
/* A client of another host, whose TLS is played: remote_client.c. */
#include <sys/socket.h>
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>

#include <cmocka.h>

#include "chan.h"
#include "fd.h"
#include "remote_impl.h"
#include "tlslib.h"

#define FLOOD (64U << 20) /* more than one turn of it has */

/* What it says first; then it never pauses, until it has gone. */
static const char hello[] = "vmd 1 control\n";
struct tls {
	bool said, gone;
	size_t bytes;
};

static int
zero(struct tls *tls)
{
	return 0;
}

static const char *
subject(struct tls *tls)
{
	return "/CN=alice";
}

static ssize_t
read_flood(struct tls *tls, void *buf, size_t len)
{
	if (tls->gone)
		return 0;
	if (!tls->said) {
		tls->said = true;
		memcpy(buf, hello, sizeof(hello) - 1);
		return sizeof(hello) - 1;
	}
	assert_true(tls->bytes < FLOOD);
	memset(buf, 'x', len);
	tls->bytes += len;
	return (ssize_t)len;
}

static ssize_t
write_all(struct tls *tls, const void *buf, size_t len)
{
	return (ssize_t)len;
}

static void
no_free(struct tls *tls)
{
}

struct other {
	struct event_base *base;
	struct event *ev;
	unsigned turns;
};

static void
on_other(evutil_socket_t fd, short what, void *arg)
{
	struct other *o = arg;

	o->turns++;
	event_base_loopbreak(o->base);
}

/* However much it sends and is sent, others have their turn in between. */
static void
test_flood(void **state)
{
	static const struct chan_ops none;
	struct source source = { .n = 1 };
	struct remote r = { .nclients = 0 };
	struct tls tls = { .bytes = 0 };
	struct other other = { .turns = 0 };
	unsigned i;
	size_t before;
	int sp[2], net[2], both;

	tlslib.tls_handshake = zero;
	tlslib.tls_peer_cert_subject = subject;
	tlslib.tls_read = read_flood;
	tlslib.tls_write = write_all;
	tlslib.tls_close = zero;
	tlslib.tls_free = no_free;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sp), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, net), 0);
	both = open("/dev/zero", O_RDWR); /* has and takes all there is */
	assert_true(both >= 0);
	r.base = event_base_new();
	TAILQ_INIT(&r.clients);
	r.parent = chan_new(r.base, sp[0], &none, NULL);
	other.base = r.base;
	other.ev = event_new(r.base, -1, EV_PERSIST, on_other, &other);
	remote_client_new(&r, &tls, net[0], &source, "somebody");
	assert_int_equal(r.nclients, 1);
	remote_client_opened(remote_client_find(&r, r.last_id), both);
	for (i = 1; i <= 20; i++) {
		before = tls.bytes;
		event_active(other.ev, EV_READ, 0);
		event_base_loop(r.base, EVLOOP_NONBLOCK);
		assert_int_equal(other.turns, i);
		assert_true(tls.bytes > before);
	}
	tls.gone = true;
	event_base_loop(r.base, EVLOOP_NONBLOCK);
	assert_int_equal(r.nclients, 0);
	assert_int_equal(source.n, 0);
	event_free(other.ev);
	chan_free(r.parent);
	event_base_free(r.base);
	close(net[1]);
	close(sp[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_flood) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
