/* SPDX-License-Identifier: ISC */
/*
 * Channels between processes.
 *
 * Invariants
 *  1. A channel lives, is doomed (why is set, nothing is dispatched or sent
 *     any more), was told (closed() was called), is freed; in this order.
 *  2. closed() and handlers run without the lock and on the loop's thread;
 *     while one runs, busy is nonzero and chan_free() only marks.
 *  3. A write error does not doom: what the peer sent before it went is
 *     still read, up to the end of file.
 *
 * Locking: (q) is held for the sending half of ib and for mute and why; the
 * receiving half belongs to the loop's thread.  Nothing is called out with
 * it held but libevent, whose lock nests inside.
 */
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>
#include "chan.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"

#define FORBID_FLUSH_MS 1000

struct chan {
	const struct chan_ops *ops;
	void *arg;
	int fd; /* owned */
	struct event_base *base; /* NULL until attached */
	struct event *rev, *wev;
	pthread_mutex_t lock; /* (q) */
	struct imsgbuf ib; /* sending half: (q) */
	bool mute; /* (q) writing failed */
	bool doomed; /* (q) */
	char why[128]; /* (q) written once, before doomed */
	bool told;
	bool freed;
	unsigned busy;
};

static void
lock(struct chan *c)
{
	pthread_mutex_lock(&c->lock);
}

static void
unlock(struct chan *c)
{
	pthread_mutex_unlock(&c->lock);
}

static bool
is_doomed(struct chan *c)
{
	bool doomed;

	lock(c);
	doomed = c->doomed;
	unlock(c);
	return doomed;
}

/* With the lock held: the channel ends, the loop will tell. */
static void __attribute__((format(printf, 2, 0)))
doom_locked(struct chan *c, const char *fmt, va_list ap)
{
	if (c->doomed)
		return;
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	c->doomed = true;
	if (c->base != NULL)
		event_active(c->wev, EV_WRITE, 0);
}

static void __attribute__((format(printf, 2, 3)))
doom(struct chan *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	lock(c);
	doom_locked(c, fmt, ap);
	unlock(c);
	va_end(ap);
}

/* The same from under the lock. */
static void __attribute__((format(printf, 2, 3)))
doom_held(struct chan *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	doom_locked(c, fmt, ap);
	va_end(ap);
}

static void
detach(struct chan *c)
{
	lock(c);
	if (c->rev != NULL)
		event_free(c->rev);
	if (c->wev != NULL)
		event_free(c->wev);
	c->rev = c->wev = NULL;
	c->base = NULL;
	unlock(c);
}

static void
destroy(struct chan *c)
{
	detach(c);
	imsgbuf_clear(&c->ib);
	fd_close(&c->fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* The end of everything that calls out: tell and free what was asked for. */
static void
leave(struct chan *c, bool tell)
{
	if (tell && !c->freed && !c->told && is_doomed(c)) {
		c->told = true;
		detach(c);
		c->ops->closed(c->arg, c->why);
	}
	if (--c->busy == 0 && c->freed)
		destroy(c);
}

/* Write what the socket takes.  With the lock held. */
static void
write_some(struct chan *c)
{
	if (c->mute || c->doomed || imsgbuf_write(&c->ib) == 0)
		return;
	if (errno == EPIPE || errno == ECONNRESET)
		c->mute = true; /* invariant 3 */
	else
		doom_held(c, "write: %s", strerrordesc_np(errno));
}

/* More to write?  With the lock held. */
static bool
backlog(const struct chan *c)
{
	return !c->mute && !c->doomed && imsgbuf_queuelen(&c->ib) > 0;
}

static const struct chan_row *
find_row(const struct chan *c, uint32_t type)
{
	size_t i;

	for (i = 0; i < c->ops->nrows; i++)
		if (c->ops->rows[i].type == type)
			return &c->ops->rows[i];
	return NULL;
}

static const char *
reason(int error)
{
	const char *text = strerrordesc_np(-error);

	if (error == -EBADMSG)
		return "fields missing or out of range";
	return text == NULL ? "unknown error" : text;
}

/* Hand one message to its row.  0, or -errno and doomed. */
static int
dispatch(struct chan *c, struct imsg *imsg)
{
	const struct chan_row *row = find_row(c, imsg_get_type(imsg));
	int fd = -1, error;

	if (row == NULL) {
		doom(c, "unknown message %u", imsg_get_type(imsg));
		return -EBADMSG;
	}
	if (row->fd == CHAN_FD && !ibuf_fd_avail(imsg->buf)) {
		doom(c, "%s: descriptor missing", row->name);
		return -EBADMSG;
	}
	if (row->fd == CHAN_NOFD && ibuf_fd_avail(imsg->buf)) {
		doom(c, "%s: a descriptor where none belongs", row->name);
		return -EBADMSG;
	}
	if (row->fd == CHAN_FD)
		fd = imsg_get_fd(imsg);
	error = row->handle(c->arg, imsg_get_id(imsg), fd, imsg->buf);
	if (error != 0) {
		doom(c, "%s: %s", row->name, reason(error));
		return error;
	}
	if (imsg_get_len(imsg) != 0) {
		doom(c, "%s: %zu bytes left over", row->name,
		    imsg_get_len(imsg));
		return -EBADMSG;
	}
	return 0;
}

/* Dispatch one buffered message: 1 done, 0 none, or -errno and doomed. */
static int
next_message(struct chan *c)
{
	struct imsg imsg;
	int n, error;

	n = imsgbuf_get(&c->ib, &imsg);
	if (n == 0)
		return 0;
	if (n == -1) {
		error = -errno;
		doom(c, "%s",
		    error == -EBADMSG ? "broken framing" : reason(error));
		return error;
	}
	error = dispatch(c, &imsg);
	imsg_free(&imsg);
	return error == 0 ? 1 : error;
}

/* One read(2).  0, or -EPIPE and doomed. */
static int
read_some(struct chan *c)
{
	int n = imsgbuf_read(&c->ib);

	if (n == 1)
		return 0;
	if (n == -1 && errno == EBADMSG)
		doom(c, "too many descriptors");
	else if (n == -1 && errno != ECONNRESET)
		doom(c, "read: %s", reason(-errno));
	else if (imsgbuf_partial(&c->ib))
		doom(c, "end of file inside a message");
	else
		doom(c, "%s", "");
	return -EPIPE;
}

static void
drain(struct chan *c)
{
	while (!c->freed && !is_doomed(c))
		if (next_message(c) != 1)
			return;
}

static void
on_read(int fd, short what, void *arg)
{
	struct chan *c = arg;

	c->busy++;
	drain(c); /* what a chan_recv() left in the buffer */
	if (!c->freed && !is_doomed(c) && read_some(c) == 0)
		drain(c);
	leave(c, true);
}

static void
on_write(int fd, short what, void *arg)
{
	struct chan *c = arg;

	c->busy++;
	lock(c);
	write_some(c);
	if (backlog(c) && event_add(c->wev, NULL) == -1)
		doom_held(c, "event_add failed");
	unlock(c);
	leave(c, true);
}

struct chan *
chan_new(struct event_base *base, int fd, const struct chan_ops *ops, void *arg)
{
	struct chan *c = calloc(1, sizeof(*c));
	int error;

	if (c == NULL) {
		fd_close(&fd);
		return NULL;
	}
	c->ops = ops;
	c->arg = arg;
	c->fd = fd;
	pthread_mutex_init(&c->lock, NULL);
	error = fd_nonblock(fd);
	if (error != 0)
		goto free_chan;
	error = -ENOMEM;
	if (imsgbuf_init(&c->ib, fd) == -1)
		goto free_chan;
	if (imsgbuf_set_maxsize(&c->ib, CHAN_MSG_MAX) == -1)
		goto clear_imsgbuf;
	imsgbuf_set_maxqueue(&c->ib, CHAN_QUEUE_MAX);
	imsgbuf_allow_fdpass(&c->ib);
	if (base != NULL && (error = chan_attach(c, base)) != 0)
		goto clear_imsgbuf;
	return c;

clear_imsgbuf:
	imsgbuf_clear(&c->ib);
free_chan:
	fd_close(&c->fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
	errno = -error;
	return NULL;
}

int
chan_attach(struct chan *c, struct event_base *base)
{
	struct event *rev, *wev;

	if (c->base != NULL || c->told)
		return -EINVAL;
	rev = event_new(base, c->fd, EV_READ | EV_PERSIST, on_read, c);
	wev = event_new(base, c->fd, EV_WRITE, on_write, c);
	if (rev == NULL || wev == NULL || event_add(rev, NULL) == -1) {
		if (rev != NULL)
			event_free(rev);
		if (wev != NULL)
			event_free(wev);
		return -ENOMEM;
	}
	lock(c);
	c->rev = rev;
	c->wev = wev;
	c->base = base;
	/* What was buffered or decided before waits for no descriptor. */
	event_active(rev, EV_READ, 0);
	if (c->doomed || backlog(c))
		event_active(wev, EV_WRITE, 0);
	unlock(c);
	return 0;
}

void
chan_free(struct chan *c)
{
	if (c == NULL)
		return;
	c->freed = true;
	if (c->busy == 0)
		destroy(c);
	else
		detach(c);
}

void
chan_end(struct chan *c)
{
	if (c != NULL)
		shutdown(c->fd, SHUT_RDWR);
	chan_free(c);
}

int
chan_dup(const struct chan *c)
{
	int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);

	return fd == -1 ? -errno : fd;
}

void
chan_set_arg(struct chan *c, void *arg)
{
	c->arg = arg;
}

void
chan_set_limit(struct chan *c, size_t bytes)
{
	lock(c);
	imsgbuf_set_maxqueue(&c->ib, bytes);
	unlock(c);
}

int
chan_only_receive_fds(struct chan *c)
{
	int error;

	lock(c);
	error = imsgbuf_only_receive_fds(&c->ib) == -1 ? -errno : 0;
	unlock(c);
	return error;
}

void
chan_forbid_fds(struct chan *c)
{
	int error = 0;

	lock(c);
	if (imsgbuf_forbid_fdpass(&c->ib) == 0) {
		unlock(c);
		return;
	}
	unlock(c);
	error = chan_flush(c, FORBID_FLUSH_MS);
	lock(c);
	if (c->mute || error != 0 || imsgbuf_forbid_fdpass(&c->ib) == -1) {
		/* Never write again what a sealed process cannot send. */
		c->mute = true;
		doom_held(c, "descriptors unsent: %s",
		    reason(error == 0 ? -EPIPE : error));
	}
	unlock(c);
}

struct ibuf *
chan_body(void)
{
	struct ibuf *b = ibuf_dynamic(0, CHAN_MSG_MAX - IMSG_HEADER_SIZE);

	if (b == NULL)
		fatal("message body");
	return b;
}

int
chan_send(struct chan *c, uint32_t type, uint32_t id, int fd, struct ibuf *body)
{
	bool idle;
	int n, error = 0;

	lock(c);
	if (c->doomed || c->mute) {
		unlock(c);
		fd_close(&fd);
		ibuf_free(body);
		return -EPIPE;
	}
	idle = imsgbuf_queuelen(&c->ib) == 0;
	if (body == NULL) {
		n = imsg_compose(&c->ib, type, id, 0, fd, NULL, 0);
	} else {
		ibuf_fd_set(body, fd);
		n = imsg_compose_ibuf(&c->ib, type, id, 0, body);
	}
	if (n == -1) {
		error = -errno;
		if (error == -ENOBUFS)
			doom_held(c, "peer does not read: %zu bytes unsent",
			    imsgbuf_queued(&c->ib));
	} else if (idle && c->base != NULL) {
		event_active(c->wev, EV_WRITE, 0);
	}
	unlock(c);
	return error;
}

size_t
chan_queued(const struct chan *c)
{
	struct chan *m = (struct chan *)(uintptr_t)c; /* for its lock only */
	size_t n;

	lock(m);
	n = imsgbuf_queued(&c->ib);
	unlock(m);
	return n;
}

static long long
deadline_of(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : fd_now_ms() + timeout_ms;
}

int
chan_flush(struct chan *c, int timeout_ms)
{
	long long deadline = deadline_of(timeout_ms);
	bool more, gone;
	int n;

	for (;;) {
		lock(c);
		write_some(c);
		more = backlog(c);
		gone = c->mute || c->doomed;
		unlock(c);
		if (gone)
			return -EPIPE;
		if (!more)
			return 0;
		n = fd_wait(c->fd, POLLOUT, deadline);
		if (n < 0)
			return n;
	}
}

/* Until one message was dispatched. */
static int
recv_loop(struct chan *c, long long deadline)
{
	bool more;
	int n;

	for (;;) {
		if (is_doomed(c))
			return -EPIPE;
		n = next_message(c);
		if (n != 0)
			return n > 0 ? 0 : n;
		lock(c);
		write_some(c);
		more = backlog(c);
		unlock(c);
		n = fd_wait(c->fd, more ? POLLIN | POLLOUT : POLLIN, deadline);
		if (n < 0)
			return n;
		if ((n & ~POLLOUT) != 0 && read_some(c) != 0)
			return -EPIPE;
	}
}

int
chan_recv(struct chan *c, int timeout_ms)
{
	int error;

	c->busy++;
	error = recv_loop(c, deadline_of(timeout_ms));
	if (c->freed)
		error = -ECANCELED;
	leave(c, false);
	return error;
}

const char *
chan_why(const struct chan *c)
{
	struct chan *m = (struct chan *)(uintptr_t)c; /* for its lock only */

	return is_doomed(m) ? c->why : NULL;
}
