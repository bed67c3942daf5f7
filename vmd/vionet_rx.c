/* SPDX-License-Identifier: ISC */
/*
 * One receive queue of the network device and its thread: see vionet.h.
 *
 * How large the next frame is is known only when it was read.  So the thread
 * gathers buffers for the largest one, reads into all of them at once, gives
 * those back that the frame fills and keeps the rest for the next.  What goes
 * beyond them ends up in a buffer of our own ("spill") and is copied when the
 * driver adds more.
 *
 * Invariants
 *  1. cap is the sum of held[h0 .. h1).len, whose memory is iov[i0 .. i1) in
 *     order.
 *  2. All used elements of a frame appear at once: "Processing of Incoming
 *     Packets", num_buffers.
 */
#include <sys/epoll.h>

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vionet_impl.h"

/* So many small frames in a row: the next one is not large. */
#define SMALL_FRAMES 64

static struct vionet_rx *
rx_of(struct vdev_queue *v)
{
	return (void *)((char *)v - offsetof(struct vionet_rx, v));
}

/* The transmit queue of the same pair. */
static struct vionet_tx *
tx_of(const struct vionet_rx *q)
{
	return &q->dev->tx[q - q->dev->rx];
}

uint64_t
vionet_drain(int eventfd)
{
	uint64_t n = 0;

	(void)!read(eventfd, &n, sizeof(n));
	return n;
}

uint64_t
vionet_pay(struct limit *l, uint64_t *owed)
{
	struct timespec t;
	uint64_t ns;

	if (!l->any || *owed == 0) {
		*owed = 0;
		return 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &t);
	ns = limit_take(
	    l, 0, *owed, (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec);
	if (ns == 0)
		*owed = 0;
	return ns;
}

int
vionet_timeout(uint64_t ns)
{
	/* Not longer than the main thread may have to wait at worst. */
	if (ns > 1000000000)
		return 1000;
	return ns == 0 ? -1 : (int)(ns / 1000000) + 1;
}

void
vionet_let_others_first(bool *behind, bool yes, struct vionet_stats *s)
{
	const struct sched_param none = { 0 };

	if (*behind == yes)
		return;
	*behind = yes;
	s->syscalls++;
	(void)sched_setscheduler(0, yes ? SCHED_BATCH : SCHED_OTHER, &none);
}

void
vionet_interrupt(struct vdev_queue *q, struct vionet_stats *s)
{
	const uint64_t one = 1;

	if (!virtq_want_interrupt(&q->vq))
		return;
	s->interrupts++;
	(void)!write(q->call, &one, sizeof(one));
}

void
vionet_count(const struct vdev_queue *q, const struct vionet_stats *s)
{
	vdev_count(q,
	    &(struct ctl_counters){
		.requests = s->rx_frames + s->tx_frames + s->served,
		.in = s->rx_bytes,
		.out = s->tx_bytes,
		.errors = s->rx_dropped + s->tx_dropped + s->tx_forged,
		.kicks = s->kicks,
		.interrupts = s->interrupts,
	    });
}

static size_t
copy(const struct iovec *iov, unsigned niov, size_t off, void *buf,
    const void *from, size_t len)
{
	size_t n, done = 0;
	unsigned i;

	for (i = 0; i < niov && done < len; i++) {
		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		n = iov[i].iov_len - off;
		if (n > len - done)
			n = len - done;
		if (from != NULL)
			memcpy((uint8_t *)iov[i].iov_base + off,
			    (const uint8_t *)from + done, n);
		else
			memcpy((uint8_t *)buf + done,
			    (uint8_t *)iov[i].iov_base + off, n);
		done += n;
		off = 0;
	}
	return done;
}

size_t
vionet_copy_out(
    const struct iovec *iov, unsigned niov, size_t off, void *to, size_t len)
{
	return copy(iov, niov, off, to, NULL, len);
}

size_t
vionet_copy_in(const struct iovec *iov, unsigned niov, size_t off,
    const void *from, size_t len)
{
	return copy(iov, niov, off, NULL, from, len);
}

/* Room for one more chain and the spare element at the end of both. */
static bool
make_room(struct vionet_rx *q)
{
	if (q->i1 + VIONET_QUEUE_SIZE < VIONET_IOV && q->h1 < VIONET_HELD)
		return true;
	memmove(q->iov, q->iov + q->i0, (q->i1 - q->i0) * sizeof(*q->iov));
	memmove(q->held, q->held + q->h0, (q->h1 - q->h0) * sizeof(*q->held));
	q->i1 -= q->i0;
	q->h1 -= q->h0;
	q->i0 = q->h0 = 0;
	return q->i1 + VIONET_QUEUE_SIZE < VIONET_IOV && q->h1 < VIONET_HELD;
}

/* Take one buffer from the driver. */
static bool
take_buffer(struct vionet_rx *q)
{
	struct virtq_chain c = { .iov_max = VIONET_QUEUE_SIZE };
	int n;

	if (!make_room(q))
		return false;
	c.iov = q->iov + q->i1;
	n = virtq_pop(&q->v.vq, &c);
	if (n < 0)
		vdev_break(&q->v, "invalid virtqueue");
	if (n != 1)
		return false;
	if (c.nread != 0 || c.write_len < q->dev->hdr) {
		vdev_break(&q->v, "receive buffer without room for a header");
		return false;
	}
	q->held[q->h1++] = (struct vionet_held){
		.head = c.head,
		.niov = (uint16_t)c.nwrite,
		.len = (uint32_t)c.write_len,
	};
	q->i1 += c.nwrite;
	q->cap += c.write_len;
	return true;
}

/* Bytes that the next frame may take at once. */
static size_t
room(const struct vionet_rx *q)
{
	if (q->h0 == q->h1)
		return 0;
	return q->dev->mergeable ? q->cap : q->held[q->h0].len;
}

/*
 * Room for the largest frame is a vector of 40 buffers and more, which the
 * kernel copies and checks for each frame.  After many small ones there is
 * room for one of those; a larger one is copied from spill.
 */
static void
gather(struct vionet_rx *q)
{
	/* The first chain decides alone when frames cannot be spread. */
	size_t need = q->dev->mergeable ? q->dev->need : 1;

	if (need > VIONET_NEED_SMALL && q->small >= SMALL_FRAMES)
		need = VIONET_NEED_SMALL;
	while (room(q) < need && take_buffer(q))
		;
}

/* Forget what is in the buffers; they stay. */
static void
drop(struct vionet_rx *q)
{
	q->pending = false;
	q->stats.rx_dropped++;
}

/* How many of the buffers q->total bytes take. */
static unsigned
buffers(const struct vionet_rx *q)
{
	size_t left = q->total;
	unsigned n = 0;

	while (left > 0) {
		left -= left < q->held[q->h0 + n].len ? left
						      : q->held[q->h0 + n].len;
		n++;
	}
	return n;
}

/* The frame is in the buffers: give those that it fills to the driver. */
static void
deliver(struct vionet_rx *q)
{
	uint16_t n = (uint16_t)buffers(q);
	size_t left = q->total, part;
	struct vionet_held *h;

	if (q->dev->hdr == VIONET_HDR)
		vionet_copy_in(q->iov + q->i0, q->i1 - q->i0,
		    offsetof(struct virtio_net_hdr_v1, num_buffers), &n,
		    sizeof(n));
	for (; n > 0; n--) {
		h = &q->held[q->h0++];
		part = left < h->len ? left : h->len;
		virtq_wrote(&q->v.vq, q->iov + q->i0, h->niov, part);
		virtq_stage(&q->v.vq, h->head, (uint32_t)part);
		left -= part;
		q->i0 += h->niov;
		q->cap -= h->len;
	}
	virtq_publish(&q->v.vq);
	q->stats.rx_frames++;
	q->stats.rx_bytes += q->total - q->dev->hdr;
	q->pending = false;
}

/* Go on with the frame of which the rest is in spill. */
static enum vionet_next
finish(struct vionet_rx *q)
{
	size_t n;

	while (q->done < q->total) {
		n = room(q);
		if (n > q->done) {
			if (n > q->total)
				n = q->total;
			n = vionet_copy_in(q->iov + q->i0, q->i1 - q->i0,
			    q->done, q->rest, n - q->done);
			q->rest += n;
			q->done += n;
			continue;
		}
		if (q->h0 != q->h1 && !q->dev->mergeable) {
			drop(q);
			return NET_GO_ON;
		}
		if (take_buffer(q))
			continue;
		/* All of the ring is here: there will not be more. */
		if (q->h1 - q->h0 >= q->v.vq.size || !make_room(q)) {
			drop(q);
			return NET_GO_ON;
		}
		return NET_WAIT_BUFFER;
	}
	deliver(q);
	return NET_GO_ON;
}

static void
begin(struct vionet_rx *q, size_t total, size_t done, const uint8_t *rest)
{
	if (total > VIONET_NEED_SMALL) {
		q->small = 0;
		q->stream = q->tends = true;
	} else if (q->small < SMALL_FRAMES) {
		q->small++;
	} else {
		q->stream = false;
	}
	q->pending = true;
	q->rest = rest;
	q->total = total;
	q->done = done;
}

/* A frame of our own, if there is one, becomes the pending one. */
static bool
take_ad(struct vionet_rx *q)
{
	struct vionet_ads *a = &q->dev->ads;
	size_t len = 0;

	if (__atomic_load_n(&a->n, __ATOMIC_ACQUIRE) == 0 ||
	    q != &q->dev->rx[0])
		return false;
	pthread_mutex_lock(&a->lock);
	if (a->n > 0) {
		len = a->ad[a->first].len;
		memset(q->spill, 0, q->dev->hdr);
		memcpy(q->spill + q->dev->hdr, a->ad[a->first].frame, len);
		a->first = (a->first + 1) % VIONET_ADS;
		__atomic_store_n(&a->n, a->n - 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&a->lock);
	if (len > 0)
		begin(q, q->dev->hdr + len, 0, q->spill);
	return len > 0;
}

void
vionet_advertise(struct vionet *dev, const uint8_t *frame, size_t len)
{
	struct vionet_ads *a = &dev->ads;
	const uint64_t one = 1;
	unsigned i;

	pthread_mutex_lock(&a->lock);
	if (a->n < VIONET_ADS && len <= LOCAL_FRAME_MAX) {
		i = (a->first + a->n) % VIONET_ADS;
		a->ad[i].len = (uint16_t)len;
		memcpy(a->ad[i].frame, frame, len);
		__atomic_store_n(&a->n, a->n + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&a->lock);
	(void)!write(dev->rx[0].v.wake, &one, sizeof(one));
}

/* Does the guest want the frame that was just read? */
static bool
wanted(struct vionet_rx *q, size_t len)
{
	struct vionet_filter *f = &q->dev->filter;
	uint8_t head[18];
	size_t n;

	if (vionet_unplugged(q->dev))
		return false;
	if (!__atomic_load_n(&f->active, __ATOMIC_ACQUIRE))
		return true;
	if (len < q->dev->hdr + sizeof(head))
		return len >= q->dev->hdr;
	n = vionet_copy_out(
	    q->iov + q->i0, q->i1 - q->i0, q->dev->hdr, head, sizeof(head));
	/* The head may be in spill when buffers are tiny. */
	if (n < sizeof(head))
		memcpy(head + n, q->spill, sizeof(head) - n);
	return vionet_filter_wants(f, head, sizeof(head));
}

/* One frame from the link. */
static enum vionet_next
receive(struct vionet_rx *q)
{
	size_t cap = room(q);
	unsigned niov = q->i1 - q->i0;
	ssize_t n;

	q->iov[q->i1] = (struct iovec){ q->spill, VIONET_BUF_MAX };
	n = readv(q->fd, q->iov + q->i0, (int)niov + 1);
	q->stats.syscalls++;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return NET_WAIT_LINK;
	if (n <= 0) { /* detached, or taken away */
		q->gone = true;
		return NET_WAIT_LINK;
	}
	q->owed += (uint64_t)n;
	if ((size_t)n < q->dev->hdr || !wanted(q, (size_t)n)) {
		drop(q);
		return NET_GO_ON;
	}
	begin(q, (size_t)n, (size_t)n < cap ? (size_t)n : cap, q->spill);
	return NET_GO_ON;
}

/* One frame of a stream: it is there as a whole before it is anywhere. */
static enum vionet_next
receive_stream(struct vionet_rx *q)
{
	struct vionet_filter *f = &q->dev->filter;
	const uint8_t *frame;
	size_t n = vionet_stream_next(q, &frame);

	if (n == 0) {
		q->gone = errno != EAGAIN;
		return NET_WAIT_LINK;
	}
	q->owed += n;
	if (vionet_unplugged(q->dev) ||
	    (__atomic_load_n(&f->active, __ATOMIC_ACQUIRE) &&
		!vionet_filter_wants(
		    f, frame + q->dev->hdr, n - q->dev->hdr))) {
		drop(q);
		return NET_GO_ON;
	}
	begin(q, n, 0, frame);
	return NET_GO_ON;
}

static enum vionet_next
step(struct vionet_rx *q)
{
	if (q->v.vq.broken)
		return NET_WAIT_BUFFER;
	if (q->pending || take_ad(q))
		return finish(q);
	gather(q);
	if (room(q) == 0)
		return NET_WAIT_BUFFER;
	if ((q->pause = vionet_pay(&q->dev->in, &q->owed)) != 0)
		return NET_WAIT_TIME;
	return q->in != NULL ? receive_stream(q) : receive(q);
}

/*
 * A tap's queue that takes no part has nothing to wait on, now or later, so this
 * is done anew whenever the queue begins.
 */
static bool
listen_to_link(struct vionet_rx *q)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = q->fd };

	(void)epoll_ctl(q->ep, EPOLL_CTL_DEL, q->fd, &e);
	q->listening = epoll_ctl(q->ep, EPOLL_CTL_ADD, q->fd, &e) == 0;
	q->stats.syscalls += 2;
	return q->listening;
}

void
vionet_rx_hold(const struct vionet_rx *q, bool on)
{
	struct epoll_event e = {
		.events = on ? 0 : EPOLLIN,
		.data.fd = q->fd,
	};

	/* That of a queue that does not listen fails, which is fine: it begins
	 * to as if nobody held it. */
	(void)epoll_ctl(q->ep, EPOLL_CTL_MOD, q->fd, &e);
}

/* Kicks of the transmit queue wake this thread, or not. */
static void
watch(struct vionet_rx *q)
{
	int kick = tx_of(q)->v.kick;
	struct epoll_event e = { .events = EPOLLIN, .data.fd = kick };

	if (q->watches == q->tends)
		return;
	q->watches = q->tends;
	(void)epoll_ctl(
	    q->ep, q->watches ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, kick, &e);
	q->stats.syscalls++;
}

static void
wait_for_link(struct vionet_rx *q)
{
	struct epoll_event e[3];
	int i, n;

	if (!q->listening && !listen_to_link(q)) {
		vdev_break(&q->v, "cannot wait for the interface");
		return;
	}
	watch(q);
	q->stats.syscalls++;
	n = epoll_wait(q->ep, e, 3, -1);
	for (i = 0; i < n; i++) {
		if (e[i].data.fd == q->v.wake)
			vionet_drain(q->v.wake);
		else if (q->watches && e[i].data.fd == tx_of(q)->v.kick)
			vionet_tx_kicked(tx_of(q));
		/* A link that is not there any more says nothing else. */
		else if ((e[i].events & EPOLLERR) != 0 &&
		    (e[i].events & EPOLLIN) == 0)
			q->gone = true;
	}
}

static void
wait_for(struct vionet_rx *q, enum vionet_next what)
{
	struct pollfd p[3] = {
		{ q->v.wake, POLLIN, 0 },
		{ what == NET_WAIT_BUFFER ? q->v.kick : -1, POLLIN, 0 },
		{ q->tends ? tx_of(q)->v.kick : -1, POLLIN, 0 },
	};

	if (what == NET_WAIT_LINK && !q->gone) {
		wait_for_link(q);
		return;
	}
	q->stats.syscalls++;
	(void)poll(p, 3, vionet_timeout(what == NET_WAIT_TIME ? q->pause : 0));
	if ((p[0].revents & POLLIN) != 0)
		vionet_drain(q->v.wake);
	if ((p[1].revents & POLLIN) != 0) {
		vionet_drain(q->v.kick);
		q->stats.kicks++;
	}
	if ((p[2].revents & POLLIN) != 0)
		vionet_tx_kicked(tx_of(q));
}

enum vionet_next
vionet_rx_round(struct vionet_rx *q)
{
	enum vionet_next next = NET_GO_ON;
	unsigned n;

	for (n = 0; n < VIONET_BATCH && next == NET_GO_ON; n++) {
		next = step(q);
		if (q->tends)
			q->tends = vionet_tx_tend(tx_of(q));
	}
	vionet_interrupt(&q->v, &q->stats);
	vionet_count(&q->v, &q->stats);
	return next;
}

static void
serve(struct vdev_queue *v)
{
	struct vionet_rx *q = rx_of(v);
	enum vionet_next next = vionet_rx_round(q);

	if (next == NET_GO_ON)
		return;
	/* A buffer that came meanwhile: go on instead of sleeping. */
	if (next == NET_WAIT_BUFFER && !q->v.vq.broken &&
	    virtq_enable_kick(&q->v.vq)) {
		virtq_disable_kick(&q->v.vq);
		return;
	}
	vionet_let_others_first(&q->behind, q->stream, &q->stats);
	if (!q->tends || vionet_tx_watch(tx_of(q)))
		wait_for(q, next);
	virtq_disable_kick(&q->v.vq);
}

void
vionet_rx_begin(struct vdev_queue *v, bool fresh)
{
	struct vionet_rx *q = rx_of(v);

	if (fresh) {
		q->h0 = q->h1 = q->i0 = q->i1 = 0;
		q->cap = 0;
		q->small = 0;
		q->pending = q->stream = q->tends = false;
		q->owed = 0;
	}
	q->gone = q->listening = false;
	virtq_disable_kick(&v->vq);
}

void *
vionet_rx_run(void *queue)
{
	static const struct vdev_loop loop = { vionet_rx_begin, serve, NULL };

	vdev_loop(queue, &loop);
	return NULL;
}

int
vionet_rx_init(struct vionet_rx *q, struct vionet *dev, unsigned pair)
{
	struct epoll_event e = { .events = EPOLLIN };
	int error;

	q->dev = dev;
	q->fd = dev->conf.fd[pair];
	q->spill = calloc(1, VIONET_BUF_MAX);
	if (dev->conf.stream) {
		q->in = malloc(VIONET_STREAM_MAX);
		vionet_stream_reset(q);
	}
	if (q->spill == NULL || (dev->conf.stream && q->in == NULL))
		return -ENOMEM;
	error = vdev_add(&dev->vdev, &q->v);
	if (error != 0)
		return error;
	e.data.fd = q->v.wake;
	q->ep = epoll_create1(EPOLL_CLOEXEC);
	if (q->ep == -1 || epoll_ctl(q->ep, EPOLL_CTL_ADD, q->v.wake, &e) == -1)
		return -errno;
	return 0;
}
