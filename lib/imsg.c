/* SPDX-License-Identifier: ISC */
/*
 * Framed messages over a socket: a fixed header, a payload of at most
 * maxsize - IMSG_HEADER_SIZE bytes, and at most one descriptor.
 *
 * Invariants
 *  1. A message with a descriptor starts its own sendmsg(2), so that the
 *     descriptor arrives with the message's first bytes; its header carries
 *     FD_MARK.  Descriptors therefore come in the order of marked headers.
 *  2. When no complete message is left, at most one descriptor is unclaimed,
 *     and only while the message it came with is incomplete.  Anything else
 *     is EBADMSG, so a peer cannot park descriptors here.
 *  3. rbuf has room for maxsize bytes; a header that announces more is
 *     refused before its payload is read.
 *  4. Unsent bytes and descriptors are bounded: imsg_close() refuses more.
 *  5. On a socket of packets a message is a packet.  It is sent and received
 *     as a whole: whoever takes over an end finds no half of one.
 */
#include <sys/socket.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fd.h"
#include "imsg.h"

#define FD_MARK	   0x80000000U
#define IOV_GATHER 64

static_assert(sizeof(struct imsg_hdr) == 16, "wire header");

static int
fail(int error)
{
	errno = error;
	return -1;
}

static bool
has_packets(int fd)
{
	socklen_t len = sizeof(int);
	int type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_SEQPACKET;
}

int
imsgbuf_init(struct imsgbuf *b, int fd)
{
	memset(b, 0, sizeof(*b));
	b->rbuf = malloc(MAX_IMSGSIZE);
	if (b->rbuf == NULL)
		return -1;
	b->fd = fd;
	b->pid = getpid();
	b->maxsize = MAX_IMSGSIZE;
	b->maxqueue = IMSG_QUEUE_DFLT;
	b->packets = has_packets(fd);
	TAILQ_INIT(&b->queue);
	return 0;
}

void
imsgbuf_allow_fdpass(struct imsgbuf *b)
{
	b->fdpass = true;
}

static void
close_received(struct imsgbuf *b)
{
	while (b->nrfds > 0)
		fd_close(&b->rfd[--b->nrfds]);
}

int
imsgbuf_forbid_fdpass(struct imsgbuf *b)
{
	if (b->nqueuedfds > 0)
		return fail(EBUSY);
	close_received(b);
	b->fdpass = false;
	return 0;
}

int
imsgbuf_only_receive_fds(struct imsgbuf *b)
{
	if (b->nqueuedfds > 0)
		return fail(EBUSY);
	b->recvonly = true;
	return 0;
}

int
imsgbuf_set_maxsize(struct imsgbuf *b, uint32_t maxsize)
{
	size_t have = b->rlen - b->rpos;
	uint8_t *nb;

	if (maxsize < IMSG_HEADER_SIZE || maxsize >= FD_MARK || maxsize < have)
		return fail(EINVAL);
	nb = malloc(maxsize);
	if (nb == NULL)
		return -1;
	memcpy(nb, b->rbuf + b->rpos, have);
	free(b->rbuf);
	b->rbuf = nb;
	b->rpos = 0;
	b->rlen = have;
	b->maxsize = maxsize;
	return 0;
}

void
imsgbuf_set_maxqueue(struct imsgbuf *b, size_t bytes)
{
	b->maxqueue = bytes;
}

/* The first queued message leaves the queue. */
static void
dequeue(struct imsgbuf *b, struct ibuf *msg)
{
	TAILQ_REMOVE(&b->queue, msg, entry);
	b->nqueued--;
	if (ibuf_fd_avail(msg))
		b->nqueuedfds--;
	b->queued -= ibuf_size(msg);
	ibuf_free(msg);
}

void
imsgbuf_clear(struct imsgbuf *b)
{
	struct ibuf *msg;
	int saved = errno;

	while ((msg = TAILQ_FIRST(&b->queue)) != NULL)
		dequeue(b, msg);
	close_received(b);
	free(b->rbuf);
	b->rbuf = NULL;
	b->rpos = b->rlen = 0;
	b->fd = -1;
	errno = saved;
}

/* Keep the descriptors of one control message; false: too many. */
static bool
keep_fds(struct imsgbuf *b, const struct cmsghdr *c)
{
	size_t i, n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	bool fits = true;
	int fd;

	for (i = 0; i < n; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (b->nrfds < IMSG_READ_FDS) {
			b->rfd[b->nrfds++] = fd;
		} else {
			close(fd);
			fits = false;
		}
	}
	return fits;
}

/* recvmsg(2); every descriptor received is either kept or closed. */
static ssize_t
receive(struct imsgbuf *b, void *p, size_t len)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * IMSG_READ_FDS)];
	} control;
	struct iovec iov = { p, len };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *c;
	bool fits = true;
	ssize_t n;

	n = recvmsg(b->fd, &m, MSG_CMSG_CLOEXEC);
	if (n == -1)
		return -1;
	for (c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			fits = keep_fds(b, c) && fits;
	/* More than fit, or our own table of descriptors is full. */
	if (!fits || (m.msg_flags & MSG_CTRUNC))
		return fail(EBADMSG);
	return n;
}

static ssize_t
read_once(struct imsgbuf *b)
{
	uint8_t *p = b->rbuf + b->rlen;
	size_t room = b->maxsize - b->rlen;
	ssize_t n;

	do
		n = b->fdpass ? receive(b, p, room) : read(b->fd, p, room);
	while (n == -1 && errno == EINTR);
	return n;
}

int
imsgbuf_read(struct imsgbuf *b)
{
	ssize_t n;

	if (b->rpos > 0) {
		memmove(b->rbuf, b->rbuf + b->rpos, b->rlen - b->rpos);
		b->rlen -= b->rpos;
		b->rpos = 0;
	}
	/* Invariant 2 says that imsgbuf_get() has something to do first. */
	if (b->rlen == b->maxsize || b->nrfds > 1 ||
	    (b->packets && b->rlen > 0))
		return 1;
	n = read_once(b);
	/* A peer that went without reading all: packets come after the error,
	 * which is told once. */
	if (n == -1 && errno == ECONNRESET && b->packets)
		n = read_once(b);
	if (n == -1)
		return errno == EAGAIN ? 1 : -1;
	b->rlen += (size_t)n;
	return n == 0 ? 0 : 1;
}

/* No complete message: invariants 2 and 5. */
static int
incomplete(const struct imsgbuf *b, unsigned fds)
{
	if (b->nrfds > fds || (b->packets && b->rlen != b->rpos))
		return fail(EBADMSG);
	return 0;
}

/* The oldest received descriptor. */
static int
claim_fd(struct imsgbuf *b)
{
	int fd = fd_take(&b->rfd[0]);

	b->nrfds--;
	memmove(&b->rfd[0], &b->rfd[1], b->nrfds * sizeof(b->rfd[0]));
	return fd;
}

int
imsgbuf_get(struct imsgbuf *b, struct imsg *imsg)
{
	size_t have = b->rlen - b->rpos;
	struct imsg_hdr hdr;
	struct ibuf *msg;
	bool mark;

	if (have < sizeof(hdr))
		return incomplete(b, have > 0 ? 1 : 0);
	memcpy(&hdr, b->rbuf + b->rpos, sizeof(hdr));
	mark = (hdr.len & FD_MARK) != 0;
	hdr.len &= ~FD_MARK;
	if (hdr.len < sizeof(hdr) || hdr.len > b->maxsize)
		return fail(EBADMSG);
	if (mark && !b->fdpass)
		return fail(EBADMSG);
	if (have < hdr.len)
		return incomplete(b, mark ? 1 : 0);
	if ((mark && b->nrfds == 0) || (b->packets && have != hdr.len))
		return fail(EBADMSG);

	msg = ibuf_open(hdr.len);
	if (msg == NULL)
		return -1;
	ibuf_add(msg, b->rbuf + b->rpos, hdr.len);
	ibuf_skip(msg, sizeof(hdr));
	if (mark)
		ibuf_fd_set(msg, claim_fd(b));
	b->rpos += hdr.len;
	imsg->hdr = hdr;
	imsg->buf = msg;
	imsg->data = ibuf_data(msg);
	return 1;
}

bool
imsgbuf_partial(const struct imsgbuf *b)
{
	return b->rlen != b->rpos;
}

uint32_t
imsgbuf_queuelen(const struct imsgbuf *b)
{
	return b->nqueued;
}

size_t
imsgbuf_queued(const struct imsgbuf *b)
{
	return b->queued;
}

/* sendmsg(2) of one gather, with the descriptor of its first message. */
static ssize_t
transmit(struct imsgbuf *b, struct iovec *iov, size_t niov, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = niov };
	struct cmsghdr *c;

	if (!b->fdpass || b->recvonly)
		return writev(b->fd, iov, (int)niov);
	if (fd != -1) {
		memset(&control, 0, sizeof(control));
		m.msg_control = control.buf;
		m.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(b->fd, &m, MSG_NOSIGNAL);
}

/* n bytes, and the first message's descriptor, have gone. */
static void
sent(struct imsgbuf *b, size_t n)
{
	struct ibuf *msg = TAILQ_FIRST(&b->queue);
	int fd;

	if (msg != NULL && ibuf_fd_avail(msg)) {
		fd = ibuf_fd_get(msg);
		fd_close(&fd);
		b->nqueuedfds--;
	}
	while (n > 0 && (msg = TAILQ_FIRST(&b->queue)) != NULL) {
		if (n < ibuf_size(msg)) {
			ibuf_skip(msg, n);
			b->queued -= n;
			return;
		}
		n -= ibuf_size(msg);
		dequeue(b, msg);
	}
}

int
imsgbuf_write(struct imsgbuf *b)
{
	struct iovec iov[IOV_GATHER];
	size_t niov, gather = b->packets ? 1 : IOV_GATHER;
	struct ibuf *msg;
	ssize_t n;
	int fd;

	while ((msg = TAILQ_FIRST(&b->queue)) != NULL) {
		fd = msg->fd;
		for (niov = 0; msg != NULL && niov < gather; niov++) {
			if (niov > 0 && ibuf_fd_avail(msg))
				break; /* invariant 1 */
			iov[niov].iov_base = ibuf_data(msg);
			iov[niov].iov_len = ibuf_size(msg);
			msg = TAILQ_NEXT(msg, entry);
		}
		do
			n = transmit(b, iov, niov, fd);
		while (n == -1 && errno == EINTR);
		if (n == -1)
			return errno == EAGAIN ? 0 : -1;
		sent(b, (size_t)n);
	}
	return 0;
}

int
imsgbuf_flush(struct imsgbuf *b)
{
	int error;

	for (;;) {
		if (imsgbuf_write(b) == -1)
			return -1;
		if (b->nqueued == 0)
			return 0;
		error = fd_wait(b->fd, POLLOUT, -1);
		if (error < 0)
			return fail(-error);
	}
}

uint32_t
imsg_get_type(const struct imsg *imsg)
{
	return imsg->hdr.type;
}

uint32_t
imsg_get_id(const struct imsg *imsg)
{
	return imsg->hdr.peerid;
}

pid_t
imsg_get_pid(const struct imsg *imsg)
{
	return (pid_t)imsg->hdr.pid;
}

size_t
imsg_get_len(const struct imsg *imsg)
{
	return ibuf_size(imsg->buf);
}

int
imsg_get_fd(struct imsg *imsg)
{
	return ibuf_fd_get(imsg->buf);
}

int
imsg_get_data(struct imsg *imsg, void *data, size_t len)
{
	if (len == 0)
		return fail(EINVAL);
	if (ibuf_size(imsg->buf) != len)
		return fail(EBADMSG);
	return ibuf_get(imsg->buf, data, len);
}

int
imsg_get_buf(struct imsg *imsg, void *data, size_t len)
{
	return ibuf_get(imsg->buf, data, len);
}

int
imsg_get_ibuf(struct imsg *imsg, struct ibuf *view)
{
	ibuf_from_ibuf(view, imsg->buf);
	return 0;
}

void
imsg_free(struct imsg *imsg)
{
	ibuf_free(imsg->buf);
	imsg->buf = NULL;
	imsg->data = NULL;
}

struct ibuf *
imsg_create(
    struct imsgbuf *b, uint32_t type, uint32_t id, pid_t pid, size_t datalen)
{
	struct imsg_hdr hdr = {
		.type = type,
		.peerid = id,
		.pid = (uint32_t)(pid == 0 ? b->pid : pid),
	};
	struct ibuf *msg;

	if (datalen > b->maxsize - sizeof(hdr)) {
		errno = ERANGE;
		return NULL;
	}
	msg = ibuf_dynamic(sizeof(hdr) + datalen, b->maxsize);
	if (msg != NULL)
		ibuf_add(msg, &hdr, sizeof(hdr));
	return msg;
}

int
imsg_add(struct ibuf *msg, const void *data, size_t len)
{
	if (len > INT_MAX || ibuf_add(msg, data, len) == -1) {
		ibuf_free(msg);
		return -1;
	}
	return (int)len;
}

int
imsg_close(struct imsgbuf *b, struct ibuf *msg)
{
	uint32_t len = (uint32_t)ibuf_size(msg);
	bool fd = ibuf_fd_avail(msg);
	int error = 0;

	if (msg->failed)
		error = EMSGSIZE;
	else if (fd && !b->fdpass)
		error = EINVAL;
	else if (len > b->maxsize)
		error = ERANGE;
	else if (b->queued > b->maxqueue || len > b->maxqueue - b->queued)
		error = ENOBUFS;
	else if (fd && b->nqueuedfds >= IMSG_QUEUE_FDS)
		error = ENOBUFS;
	if (error != 0) {
		ibuf_free(msg);
		return fail(error);
	}
	ibuf_set_h32(
	    msg, offsetof(struct imsg_hdr, len), fd ? len | FD_MARK : len);
	TAILQ_INSERT_TAIL(&b->queue, msg, entry);
	b->nqueued++;
	b->queued += len;
	if (fd)
		b->nqueuedfds++;
	return 0;
}

int
imsg_composev(struct imsgbuf *b, uint32_t type, uint32_t id, pid_t pid, int fd,
    const struct iovec *iov, int niov)
{
	struct ibuf *msg = imsg_create(b, type, id, pid, 0);
	int i;

	if (msg == NULL) {
		fd_close(&fd);
		return -1;
	}
	ibuf_fd_set(msg, fd);
	for (i = 0; i < niov; i++)
		if (imsg_add(msg, iov[i].iov_base, iov[i].iov_len) == -1)
			return -1;
	return imsg_close(b, msg) == -1 ? -1 : 1;
}

int
imsg_compose(struct imsgbuf *b, uint32_t type, uint32_t id, pid_t pid, int fd,
    const void *data, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };

	return imsg_composev(b, type, id, pid, fd, &iov, 1);
}

int
imsg_compose_ibuf(
    struct imsgbuf *b, uint32_t type, uint32_t id, pid_t pid, struct ibuf *body)
{
	struct ibuf *msg = imsg_create(b, type, id, pid, ibuf_size(body));

	if (msg == NULL) {
		ibuf_free(body);
		return -1;
	}
	ibuf_add_ibuf(msg, body);
	msg->failed |= body->failed;
	ibuf_fd_set(msg, ibuf_fd_get(body));
	ibuf_free(body);
	return imsg_close(b, msg) == -1 ? -1 : 1;
}
