/* SPDX-License-Identifier: ISC */
/*
 * A client of another host: TLS with its certificate, a line that says what it
 * wants, then bytes both ways.  vmctl(8) has the protocol: vmctl/remote.c.
 *
 * Invariants
 *  1. Nothing of a client is read beyond its line before what it wants is
 *     there; before that it has REMOTE_PATIENCE seconds.
 *  2. What it does not read is at most one buffer, and waits for it at most
 *     REMOTE_STALL seconds.
 *  3. pump() does all that can be done, then waits for exactly what it lacked.
 *     One that always gets on makes way for the others after TURNS turns.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>

#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "pipebuf.h"
#include "remote_impl.h"
#include "tlslib.h"

#define REMOTE_PATIENCE 10
#define REMOTE_STALL	60
#define REMOTE_LINGER	2
#define TURNS		16 /* a buffer each way in each of them */
#define LINE_MAX_LEN	(VM_NAME_MAX + 32)

enum phase { HANDSHAKE, LINGER, LINE, WAITING, RELAY };

struct remote_client {
	TAILQ_ENTRY(remote_client) entry;
	struct remote *r;
	uint32_t id;
	enum phase phase;
	struct source *source;
	char from[64];
	struct tls *tls;
	int net, local; /* -1 */
	struct event *net_ev, *local_ev, *timer;
	short net_what, local_what; /* events that are waited for */
	short wants_read, wants_write; /* EV_*, of the last try */
	bool ending; /* once all is written */
	struct pipebuf in, out; /* from and to the client */
};

static struct log_rate rate = LOG_RATE(10, 60);

static void pump(struct remote_client *);

static void
client_free(struct remote_client *c)
{
	struct remote *r = c->r;

	TAILQ_REMOVE(&r->clients, c, entry);
	r->nclients--;
	source_give(c->source);
	if (c->net_ev != NULL)
		event_free(c->net_ev);
	if (c->local_ev != NULL)
		event_free(c->local_ev);
	if (c->timer != NULL)
		event_free(c->timer);
	tlslib.tls_free(c->tls);
	fd_close(&c->net);
	fd_close(&c->local);
	free(c);
}

static void
client_drop(struct remote_client *c, const char *why)
{
	log_limited(&rate, "client from %s dropped: %s", c->from, why);
	client_free(c);
}

struct remote_client *
remote_client_find(const struct remote *r, uint32_t id)
{
	struct remote_client *c;

	TAILQ_FOREACH(c, &r->clients, entry)
	{
		if (c->id == id)
			return c;
	}
	return NULL;
}

static void
patience(struct remote_client *c, int seconds)
{
	const struct timeval tv = { seconds, 0 };

	if (evtimer_add(c->timer, &tv) == -1)
		fatalx("evtimer_add failed");
}

static void
on_late(int fd, short what, void *arg)
{
	struct remote_client *c = arg;

	if (c->phase == LINGER)
		client_free(c);
	else
		client_drop(c,
		    c->phase == RELAY ? "does not read"
			: c->ending   ? "does not read its answer"
				      : "says nothing");
}

static void
on_ready(int fd, short what, void *arg)
{
	pump(arg);
}

static short
wants(ssize_t r)
{
	return r == TLS_WANT_POLLIN ? EV_READ : EV_WRITE;
}

/* Everything below returns true when it got on. */

static bool
tls_wants(ssize_t r)
{
	return r == TLS_WANT_POLLIN || r == TLS_WANT_POLLOUT;
}

/* 1: got on; 0: not now; -1: dropped. */
static int
net_read(struct remote_client *c)
{
	struct pipebuf *b = &c->in;
	int got = 0;
	uint8_t *p;
	size_t room;
	ssize_t n;

	c->wants_read = 0;
	while (!c->ending && (room = pipebuf_room(b, &p)) > 0) {
		if (c->phase == LINE && room > LINE_MAX_LEN - b->end)
			room = LINE_MAX_LEN - b->end;
		n = tlslib.tls_read(c->tls, p, room);
		if (tls_wants(n)) {
			c->wants_read = wants(n);
			break;
		}
		if (n < 0) {
			client_drop(c, tlslib.tls_error(c->tls));
			return -1;
		}
		got = 1;
		if (n == 0) { /* it is gone; what it said is still passed on */
			c->ending = true;
			pipebuf_drop(&c->out);
			break;
		}
		pipebuf_put(b, (size_t)n);
		if (c->phase == LINE) /* it may be all that is wanted */
			break;
	}
	return got;
}

static int
net_write(struct remote_client *c)
{
	struct pipebuf *b = &c->out;
	int got = 0;
	uint8_t *p;
	size_t len;
	ssize_t n;

	c->wants_write = 0;
	while ((len = pipebuf_has(b, &p)) > 0) {
		n = tlslib.tls_write(c->tls, p, len);
		if (tls_wants(n)) {
			c->wants_write = wants(n);
			if (!evtimer_pending(c->timer, NULL))
				patience(c, REMOTE_STALL);
			break;
		}
		if (n <= 0) {
			client_drop(c, tlslib.tls_error(c->tls));
			return -1;
		}
		pipebuf_took(b, (size_t)n);
		evtimer_del(c->timer);
		got = 1;
	}
	return got;
}

static bool
again(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static bool
local_read(struct remote_client *c)
{
	int n;

	if (c->local == -1 || c->ending)
		return false;
	if ((n = pipebuf_read(&c->out, c->local)) < 0)
		c->ending = true; /* the control process or the line is gone */
	return n != 0;
}

static bool
local_write(struct remote_client *c)
{
	int n;

	if (c->phase != RELAY || c->local == -1)
		return false;
	if ((n = pipebuf_write(&c->in, c->local)) < 0) {
		c->ending = true;
		pipebuf_drop(&c->in);
	}
	return n != 0;
}

static int
handshake(struct remote_client *c)
{
	int r = tlslib.tls_handshake(c->tls);

	if (tls_wants(r)) {
		c->wants_read = wants(r);
		return 0;
	}
	if (r != 0) {
		log_limited(&rate, "client from %s: %s", c->from,
		    tlslib.tls_error(c->tls));
		c->phase = LINGER;
		patience(c, REMOTE_LINGER);
		return 1;
	}
	if (tlslib.tls_peer_cert_subject(c->tls) == NULL) {
		client_drop(c, "no certificate");
		return -1;
	}
	c->phase = LINE;
	return 1;
}

/*
 * TLS has told it why it is not accepted.  What it has sent meanwhile is read,
 * as else TCP would drop that alert, until it goes.
 */
static int
linger(struct remote_client *c)
{
	ssize_t n;

	n = read(c->net, c->in.data, sizeof(c->in.data));
	if (n > 0)
		return 1;
	if (n == 0 || !again()) {
		client_free(c);
		return -1;
	}
	c->wants_read = EV_READ;
	return 0;
}

static int
ask(struct remote_client *c, enum remote_what what, const char *name)
{
	const char *subject = tlslib.tls_peer_cert_subject(c->tls);
	struct ibuf *body = chan_body();

	if (strlen(subject) > CONF_SUBJECT_MAX ||
	    ctl_put_str(body, subject) != 0 || ibuf_add_n32(body, what) == -1 ||
	    ctl_put_str(body, name) != 0) {
		ibuf_free(body);
		return -EMSGSIZE;
	}
	c->phase = WAITING;
	return chan_send(c->r->parent, REMOTE_WANTS, c->id, -1, body);
}

/* "vmd 1 control", or ... */
static const struct {
	const char *begin; /* a name or a ticket follows */
	enum remote_what what;
} wishes[] = {
	{ "vmd 1 console ", REMOTE_CONSOLE },
	{ "vmd 1 serial2 ", REMOTE_SERIAL2 },
	{ "vmd 1 virtio ", REMOTE_VIRTIO },
	{ "vmd 1 stream ", REMOTE_STREAM },
};

static int
wish(struct remote_client *c, const char *text)
{
	const char *name;
	unsigned i;
	size_t n;

	if (strcmp(text, "vmd 1 control") == 0)
		return ask(c, REMOTE_CONTROL, "");
	for (i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		n = strlen(wishes[i].begin);
		name = text + n;
		if (strncmp(text, wishes[i].begin, n) == 0 &&
		    vmconf_name_ok(name))
			return ask(c, wishes[i].what, name);
	}
	return -EPROTO;
}

static int
line(struct remote_client *c)
{
	char text[LINE_MAX_LEN];
	uint8_t *p, *end;
	size_t len;
	int r;

	if ((r = net_read(c)) < 0)
		return r;
	if ((len = pipebuf_has(&c->in, &p)) == 0)
		return r;
	end = memchr(p, '\n', len);
	if (end == NULL && len < LINE_MAX_LEN && !c->ending)
		return r;
	if (end == NULL || memchr(p, '\0', (size_t)(end - p)) != NULL) {
		client_drop(c, "does not say what it wants");
		return -1;
	}
	*end++ = '\0';
	len = (size_t)(end - p);
	memcpy(text, p, len);
	pipebuf_took(&c->in, len);
	if (wish(c, text) == 0)
		return 1;
	client_drop(c, "does not say what it wants");
	return -1;
}

static int
step(struct remote_client *c)
{
	bool on = false;
	int r;

	switch (c->phase) {
	case HANDSHAKE:
		return handshake(c);
	case LINGER:
		return linger(c);
	case LINE:
		return line(c);
	case WAITING:
		return net_write(c); /* why it is refused */
	case RELAY:
		break;
	}
	on |= local_read(c);
	if ((r = net_write(c)) < 0)
		return r;
	on |= r > 0;
	if ((r = net_read(c)) < 0)
		return r;
	on |= r > 0;
	on |= local_write(c);
	return on;
}

static void
wait_for(struct event *ev, short *now, short what, int fd, void *arg)
{
	if (*now == what)
		return;
	*now = what;
	event_del(ev);
	if (what == 0)
		return;
	if (event_assign(ev, event_get_base(ev), fd, (short)(what | EV_PERSIST),
		on_ready, arg) == -1 ||
	    event_add(ev, NULL) == -1)
		fatalx("event_add failed");
}

static void
pump(struct remote_client *c)
{
	unsigned turns = TURNS;
	short local = 0;
	uint8_t *p;
	int r;

	while ((r = step(c)) > 0 && --turns > 0)
		;
	if (r < 0)
		return;
	if (r > 0) { /* TLS may have bytes that no event tells of */
		event_active(c->net_ev, EV_READ, 0);
		return;
	}
	if (c->ending && pipebuf_has(&c->out, NULL) == 0 &&
	    (pipebuf_has(&c->in, NULL) == 0 || c->local == -1)) {
		/* It sees that this is the end; whether or not, we go. */
		tlslib.tls_close(c->tls);
		client_free(c);
		return;
	}
	wait_for(c->net_ev, &c->net_what,
	    (short)(c->wants_read | c->wants_write), c->net, c);
	if (c->local == -1)
		return;
	if (c->ending && !evtimer_pending(c->timer, NULL))
		patience(c, REMOTE_STALL);
	if (!c->ending && pipebuf_room(&c->out, &p) > 0)
		local |= EV_READ;
	if (pipebuf_has(&c->in, NULL) > 0)
		local |= EV_WRITE;
	wait_for(c->local_ev, &c->local_what, local, c->local, c);
}

/* The first line of our answer. */
static void
say(struct remote_client *c, const char *lead, const char *text)
{
	uint8_t *p;
	size_t room = pipebuf_room(&c->out, &p); /* all of it */
	int n = snprintf((char *)p, room, "%s%.512s\n", lead, text);

	pipebuf_put(&c->out, (size_t)n);
}

void
remote_client_opened(struct remote_client *c, int fd)
{
	if (c->phase != WAITING || c->ending) {
		fd_close(&fd);
		return;
	}
	c->local = fd;
	c->local_ev = event_new(c->r->base, fd, EV_READ, on_ready, c);
	if (c->local_ev == NULL || fd_nonblock(fd) != 0) {
		client_drop(c, "out of memory");
		return;
	}
	evtimer_del(c->timer);
	c->phase = RELAY;
	say(c, "ok", "");
	pump(c);
}

void
remote_client_refused(struct remote_client *c, const char *why)
{
	if (c->phase != WAITING || c->ending)
		return;
	pipebuf_drop(&c->in);
	c->ending = true;
	say(c, "no ", why);
	pump(c);
}

void
remote_client_new(struct remote *r, struct tls *tls, int fd,
    struct source *source, const char *from)
{
	struct remote_client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		log_limited(
		    &rate, "client from %s refused: out of memory", from);
		tlslib.tls_free(tls);
		fd_close(&fd);
		source_give(source);
		return;
	}
	c->r = r;
	c->id = ++r->last_id;
	c->source = source;
	c->tls = tls;
	c->net = fd;
	c->local = -1;
	snprintf(c->from, sizeof(c->from), "%s", from);
	TAILQ_INSERT_TAIL(&r->clients, c, entry);
	r->nclients++;
	c->net_ev = event_new(r->base, fd, EV_READ, on_ready, c);
	c->timer = evtimer_new(r->base, on_late, c);
	if (c->net_ev == NULL || c->timer == NULL) {
		client_drop(c, "out of memory");
		return;
	}
	patience(c, REMOTE_PATIENCE);
	pump(c);
}
