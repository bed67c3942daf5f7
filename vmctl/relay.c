/* SPDX-License-Identifier: ISC */
/*
 * The process that speaks TLS for vmctl -H: the certificate of the host is
 * checked against the name that the user gave, before anything is said; what
 * the host sends is handled by a process that can do nothing but pass it on.
 */
#include <sys/socket.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "pipebuf.h"
#include "remote.h"
#include "sandbox.h"
#include "spawn.h"
#include "tlslib.h"

#define SETUP_MS   10000
#define CONNECT_MS 10000
#define TALK_MS	   20000 /* handshake and the first line */

struct relay {
	char host[256], port[8], want[128], dir[PATH_MAX];
	int local, net;
	struct tls *tls;
	char why[REMOTE_LINE_MAX];
};

static int
fail(struct relay *, const char *, ...) __attribute__((format(printf, 2, 3)));

static int
fail(struct relay *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return -1;
}

static int
on_open(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct relay *r = arg;

	r->local = fd;
	if (ctl_get_str(body, r->host, sizeof(r->host)) != 0 ||
	    ctl_get_str(body, r->port, sizeof(r->port)) != 0 ||
	    ctl_get_str(body, r->want, sizeof(r->want)) != 0 ||
	    ctl_get_str(body, r->dir, sizeof(r->dir)) != 0)
		return -EBADMSG;
	return 0;
}

static const struct chan_row rows[] = {
	{ RELAY_OPEN, "RELAY_OPEN", CHAN_FD, on_open },
};
static const struct chan_ops ops = { rows, 1, NULL };

static int
load(struct relay *r, struct tls_config *tc, const char *name,
    int (*set)(struct tls_config *, const uint8_t *, size_t))
{
	char path[PATH_MAX + 16];
	uint8_t *data;
	size_t len;
	int error = 0;

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	if ((data = tlslib.tls_load_file(path, &len, NULL)) == NULL)
		return fail(r, "%s: %s", path, strerror(errno));
	if (set(tc, data, len) != 0)
		error = fail(r, "%s: %s", path, tlslib.tls_config_error(tc));
	tlslib.tls_unload_file(data, len);
	return error;
}

static int
configure(struct relay *r)
{
	struct tls_config *tc = tlslib.tls_config_new();
	int error;

	if (tc == NULL || (r->tls = tlslib.tls_client()) == NULL)
		return fail(r, "out of memory");
	error = load(r, tc, "ca.pem", tlslib.tls_config_set_ca_mem);
	if (error == 0)
		error = load(r, tc, "cert.pem", tlslib.tls_config_set_cert_mem);
	if (error == 0)
		error = load(r, tc, "key.pem", tlslib.tls_config_set_key_mem);
	if (error == 0 &&
	    (tlslib.tls_config_set_protocols(
		 tc, TLS_PROTOCOL_TLSv1_2 | TLS_PROTOCOL_TLSv1_3) != 0 ||
		tlslib.tls_configure(r->tls, tc) != 0))
		error = fail(r, "%s", tlslib.tls_error(r->tls));
	tlslib.tls_config_free(tc);
	return error;
}

/* A connected socket, not blocking, or -errno. */
static int
connect_to(const struct addrinfo *ai)
{
	int error = 0, fd;
	socklen_t len = sizeof(error);

	fd = socket(
	    ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -errno;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) == -1)
		error = errno;
	if (error == EINPROGRESS) {
		error = fd_wait(fd, POLLOUT, fd_now_ms() + CONNECT_MS);
		if (error > 0 &&
		    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
			error = errno;
	}
	if (error == 0)
		return fd;
	fd_close(&fd);
	return error > 0 ? -error : error;
}

static int
reach(struct relay *r)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all, *ai;
	int error;

	if ((error = getaddrinfo(r->host, r->port, &hints, &all)) != 0)
		return fail(r, "%s", gai_strerror(error));
	r->net = -EADDRNOTAVAIL;
	for (ai = all; ai != NULL && r->net < 0; ai = ai->ai_next)
		r->net = connect_to(ai);
	freeaddrinfo(all);
	if (r->net < 0)
		return fail(r, "connect: %s", strerror(-r->net));
	if (tlslib.tls_connect_fds(r->tls, r->net, r->net, r->host) != 0)
		return fail(r, "%s", tlslib.tls_error(r->tls));
	return 0;
}

/* After a call of libtls that returned n: true to call again. */
static bool
again(const struct relay *r, ssize_t n, long long until)
{
	short events;

	if (n != TLS_WANT_POLLIN && n != TLS_WANT_POLLOUT)
		return false;
	events = n == TLS_WANT_POLLIN ? POLLIN : POLLOUT;
	return fd_wait(r->net, events, until) > 0;
}

static int
ask(struct relay *r)
{
	long long until = fd_now_ms() + TALK_MS;
	char line[160], answer[REMOTE_LINE_MAX];
	size_t done = 0, len;
	ssize_t n;

	do
		n = tlslib.tls_handshake(r->tls);
	while (again(r, n, until));
	if (n != 0)
		return fail(
		    r, "%s", n == -1 ? tlslib.tls_error(r->tls) : "no answer");
	len = (size_t)snprintf(line, sizeof(line), "vmd 1 %s\n", r->want);
	while (done < len) {
		n = tlslib.tls_write(r->tls, line + done, len - done);
		if (n > 0)
			done += (size_t)n;
		else if (!again(r, n, until))
			break; /* it may have said why */
	}
	/* Byte by byte: what follows is not ours. */
	for (len = 0; len < sizeof(answer);) {
		n = tlslib.tls_read(r->tls, &answer[len], 1);
		if (n == 1 && answer[len] == '\n')
			break;
		if (n == 1)
			len++;
		else if (!again(r, n, until))
			return fail(r, "%s",
			    n == -1	 ? tlslib.tls_error(r->tls)
				: n == 0 ? "refused by the host"
					 : "no answer");
	}
	if (len == sizeof(answer))
		return fail(r, "answer not understood");
	answer[len] = '\0';
	if (strcmp(answer, "ok") == 0)
		return 0;
	if (strncmp(answer, "no ", 3) == 0)
		return fail(r, "%s", answer + 3);
	return fail(r, "answer not understood");
}

/* What poll(2) is to wait for in vain goes on at once. */
struct ways {
	struct pipebuf out, in; /* to and from the host */
	bool ended; /* one of both ends */
	short net, local; /* events that are missing */
};

/* One call of libtls returned n: true if that were bytes. */
static bool
moved(struct ways *w, ssize_t n)
{
	if (n > 0)
		return true;
	if (n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT)
		w->net |= n == TLS_WANT_POLLIN ? POLLIN : POLLOUT;
	else
		w->ended = true;
	return false;
}

/* All that is to go out, and what there is room for: true if any was. */
static bool
tls_step(struct relay *r, struct ways *w)
{
	bool on = false;
	uint8_t *p;
	ssize_t n;
	size_t len;

	w->net = 0;
	while ((len = pipebuf_has(&w->out, &p)) > 0) {
		if (!moved(w, n = tlslib.tls_write(r->tls, p, len)))
			break;
		pipebuf_took(&w->out, (size_t)n);
		on = true;
	}
	while ((len = pipebuf_room(&w->in, &p)) > 0) {
		if (!moved(w, n = tlslib.tls_read(r->tls, p, len)))
			break;
		pipebuf_put(&w->in, (size_t)n);
		on = true;
	}
	return on;
}

static bool
local_step(struct relay *r, struct ways *w)
{
	int in = pipebuf_write(&w->in, r->local);
	int out = pipebuf_read(&w->out, r->local);
	uint8_t *p;

	if (in < 0 || out < 0)
		w->ended = true;
	w->local = pipebuf_has(&w->in, NULL) > 0 ? POLLOUT : 0;
	if (pipebuf_room(&w->out, &p) > 0)
		w->local |= POLLIN;
	return in > 0 || out > 0;
}

/* What the host said last is still passed on, and what was last said to it. */
static void
finish(struct relay *r, struct ways *w)
{
	long long until = fd_now_ms() + SETUP_MS;
	uint8_t *p;
	size_t len;
	ssize_t n;

	while (pipebuf_has(&w->in, NULL) > 0) {
		if (fd_wait(r->local, POLLOUT, fd_now_ms() + SETUP_MS) < 0)
			return;
		if (pipebuf_write(&w->in, r->local) < 0)
			break;
	}
	while ((len = pipebuf_has(&w->out, &p)) > 0) {
		n = tlslib.tls_write(r->tls, p, len);
		if (n > 0)
			pipebuf_took(&w->out, (size_t)n);
		else if (!again(r, n, until))
			break;
	}
	tlslib.tls_close(r->tls);
}

static void
pass_on(struct relay *r)
{
	struct ways w = { .ended = false };
	struct pollfd p[2];
	bool on;

	while (!w.ended) {
		do {
			on = tls_step(r, &w);
			on |= local_step(r, &w);
		} while (on && !w.ended);
		if (w.ended)
			break;
		p[0] = (struct pollfd){ r->net, w.net, 0 };
		p[1] = (struct pollfd){ r->local, w.local, 0 };
		if (poll(p, 2, -1) == -1 && errno != EINTR)
			break;
	}
	finish(r, &w);
}

static int
answer(struct chan *c, const struct relay *r, int error)
{
	struct ibuf *body;

	if (error == 0)
		chan_send(c, RELAY_READY, 0, -1, NULL);
	else {
		body = chan_body();
		if (ctl_put_str(body, r->why) != 0)
			fatalx("answer");
		chan_send(c, RELAY_FAILED, 0, -1, body);
	}
	return chan_flush(c, SETUP_MS);
}

int
remote_relay(void)
{
	struct relay r = { .local = -1, .net = -1 };
	struct chan *c;
	const char *why;
	int error;

	if ((c = chan_new(NULL, SPAWN_FD, &ops, &r)) == NULL)
		fatal("channel");
	if (chan_recv(c, SETUP_MS) != 0)
		return 1;
	if ((why = tlslib_load()) != NULL)
		error = fail(&r, "%s", why);
	else if ((error = configure(&r)) == 0)
		error = reach(&r);
	if (error == 0) {
		chan_forbid_fds(c);
		sandbox_seal("stdio", NULL, 0); /* both ways, the answer */
		error = ask(&r);
	}
	if (error == 0)
		error = fd_nonblock(r.local);
	if (answer(c, &r, error) != 0 || error != 0)
		return 1;
	chan_free(c);
	pass_on(&r);
	return 0;
}
