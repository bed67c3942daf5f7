/* SPDX-License-Identifier: ISC */
/* A client of another host, whose TLS is played: remote_client.c. */
#include <sys/socket.h>
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
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

static int
fails(struct tls *tls)
{
	return -1;
}

static const char *
error(struct tls *tls)
{
	return "no certificate";
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

/* The process, and somebody else whom it has to serve. */
struct rig {
	struct source source;
	struct remote r;
	struct other other;
	struct tls tls;
	int peer; /* of the parent's channel */
};

static int
setup(void **state)
{
	static const struct chan_ops none;
	struct rig *g = calloc(1, sizeof(*g));
	int sp[2];

	tlslib.tls_handshake = zero;
	tlslib.tls_peer_cert_subject = subject;
	tlslib.tls_read = read_flood;
	tlslib.tls_write = write_all;
	tlslib.tls_close = zero;
	tlslib.tls_free = no_free;
	tlslib.tls_error = error;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sp), 0);
	g->peer = sp[1];
	g->source.n = 1;
	TAILQ_INIT(&g->r.clients);
	g->r.base = g->other.base = event_base_new();
	g->r.parent = chan_new(g->r.base, sp[0], &none, NULL);
	g->other.ev = event_new(g->r.base, -1, EV_PERSIST, on_other, &g->other);
	*state = g;
	return 0;
}

static int
teardown(void **state)
{
	struct rig *g = *state;

	event_free(g->other.ev);
	chan_free(g->r.parent);
	event_base_free(g->r.base);
	close(g->peer);
	free(g);
	return 0;
}

static int
open_zero(void)
{
	int fd = open("/dev/zero", O_RDWR); /* has and takes all there is */

	assert_true(fd >= 0);
	return fd;
}

/* There is more to be done for the client, and the other one is served. */
static void
other_is_served(struct rig *g)
{
	unsigned before = g->other.turns;

	event_active(g->other.ev, EV_READ, 0);
	event_base_loop(g->r.base, EVLOOP_NONBLOCK);
	assert_int_equal(g->other.turns, before + 1);
	assert_int_equal(g->r.nclients, 1);
}

static void
is_gone(struct rig *g)
{
	event_base_loop(g->r.base, EVLOOP_NONBLOCK);
	assert_int_equal(g->r.nclients, 0);
	assert_int_equal(g->source.n, 0);
}

/* However much it sends and is sent. */
static void
test_flood(void **state)
{
	struct rig *g = *state;
	size_t before;
	unsigned i;
	int net[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, net), 0);
	remote_client_new(&g->r, &g->tls, net[0], &g->source, "somebody");
	assert_int_equal(g->r.nclients, 1);
	remote_client_opened(
	    remote_client_find(&g->r, g->r.last_id), open_zero());
	for (i = 0; i < 20; i++) {
		before = g->tls.bytes;
		other_is_served(g);
		assert_true(g->tls.bytes > before);
	}
	g->tls.gone = true;
	is_gone(g);
	close(net[1]);
}

/* However much somebody sends who is not accepted. */
static void
test_stranger(void **state)
{
	struct rig *g = *state;
	int net = open_zero(), null = open("/dev/null", O_RDWR);
	unsigned i;

	tlslib.tls_handshake = fails;
	remote_client_new(&g->r, &g->tls, net, &g->source, "a stranger");
	for (i = 0; i < 20; i++)
		other_is_served(g);
	assert_int_equal(dup2(null, net), net);
	is_gone(g);
	close(null);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stranger, setup, teardown),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
