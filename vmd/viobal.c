/* SPDX-License-Identifier: ISC */

/*
 * The memory balloon; see viobal.h.
 *
 * A page goes back to the host by a hole in the memfd, so in all processes at
 * once.  The guest says which, and may lie: what it names is looked up as any
 * other guest address, and a page that it used after all reads as zeroes.
 *
 * What a guest can cost: a chain counts for PFNS_MAX pages at most (drivers
 * send 256, or a page full), and all of a PERIOD for PERIOD_HOLES holes; what
 * is left waits in the rings for the timer.  Holes are made without the
 * machine lock, as that takes time: a reset meanwhile is answered afterwards.
 * What the guest writes into `actual' is passed on once in a period at most.
 *
 * Queues: inflate, deflate, and that of free page reporting, which is number
 * 4 in the specification.  Drivers that count only queues they use call it 2
 * (Linux), or 3.  The queues that these numbers belong to otherwise come with
 * features that are not offered, so all three report.
 *
 * Runs on the main thread; start, reset and configuration writes come from
 * vCPU threads with the machine lock held.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <event2/event.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <sys/eventfd.h>
#include "state.h"
#include "viobal.h"
#include "virtio_host.h"
#include "virtio_pci.h"
#include "virtq.h"

#define QUEUES	     5
#define Q_INFLATE    0
#define Q_DEFLATE    1
#define QUEUE_SIZE   128
#define PFN_SHIFT    VIRTIO_BALLOON_PFN_SHIFT
#define PAGE	     (1UL << PFN_SHIFT)
#define PFNS_MAX     1024 /* of a chain */
#define PERIOD_USEC  100000
#define PERIOD_HOLES 8192
#define CHAIN_COST   8 /* holes that a chain counts for at least */
#define CONFIG_LEN   8 /* up to the fields of features not offered */
#define OFF_TARGET   0
#define OFF_ACTUAL   4

_Static_assert(
    offsetof(struct virtio_balloon_config, num_pages) == OFF_TARGET, "target");
_Static_assert(
    offsetof(struct virtio_balloon_config, actual) == OFF_ACTUAL, "actual");

struct viobal;

struct queue {
	struct viobal *b;
	unsigned n;
	struct event *kick;
	bool on; /* (m) */
	bool more; /* (m) chains wait for the next period */
	struct virtq vq; /* (m) */
};

struct viobal {
	struct viobal_conf conf;
	struct virtio_dev *dev;
	struct event *timer; /* ends a period */
	bool period; /* (m) the timer is set */
	unsigned holes; /* (m) left in this period */
	bool busy; /* (m) a chain is worked upon without the lock */
	bool resetting; /* (m) meanwhile, the guest wants its memory back */
	uint8_t actual[4]; /* (m) as the driver wrote it */
	uint64_t told; /* main thread: last passed on */
	struct queue queue[QUEUES];
	/* main thread: the chain */
	struct iovec iov[QUEUE_SIZE];
	uint32_t pfn[PFNS_MAX];
};

static void
lock(struct viobal *b)
{
	b->conf.host->ops->lock(b->conf.host);
}

static void
unlock(struct viobal *b)
{
	b->conf.host->ops->unlock(b->conf.host);
}

/* (m) */
static uint64_t
given(const struct viobal *b)
{
	uint32_t pages;
	uint64_t bytes;

	memcpy(&pages, b->actual, sizeof(pages));
	bytes = (uint64_t)le32toh(pages) << PFN_SHIFT;
	return bytes < b->conf.mem->size ? bytes : b->conf.mem->size;
}

/* (m) */
static void
stop_queues(struct viobal *b)
{
	unsigned i;

	for (i = 0; i < QUEUES; i++)
		b->queue[i].on = b->queue[i].more = false;
}

/* (m) */
static void
period_begin(struct viobal *b)
{
	static const struct timeval length = { .tv_usec = PERIOD_USEC };

	if (b->period)
		return;
	b->period = event_add(b->timer, &length) == 0;
	b->holes = PERIOD_HOLES;
}

/* Page numbers out of the chain: a copy, as the guest may change them. */
static unsigned
read_pfns(struct viobal *b, const struct virtq_chain *chain)
{
	uint8_t *to = (uint8_t *)b->pfn;
	size_t done = 0, n;
	unsigned i;

	for (i = 0; i < chain->nread && done < sizeof(b->pfn); i++) {
		n = chain->iov[i].iov_len;
		if (n > sizeof(b->pfn) - done)
			n = sizeof(b->pfn) - done;
		memcpy(to + done, chain->iov[i].iov_base, n);
		done += n;
	}
	return (unsigned)(done / sizeof(b->pfn[0]));
}

/* A run of pages, NULL: none.  The holes that it made. */
static unsigned
discard(const struct viobal *b, void *p, size_t len)
{
	if (p == NULL)
		return 0;
	/* An error leaves the page where it is, which is as good. */
	if (b->conf.discard != NULL)
		(void)b->conf.discard(b->conf.arg, p, len);
	else
		(void)gmem_discard(b->conf.mem, p, len);
	return 1;
}

/* Pages next to each other are one hole.  Drivers may count down. */
static unsigned
inflate(struct viobal *b, const struct virtq_chain *chain)
{
	unsigned i, n = read_pfns(b, chain), holes = 0;
	uint8_t *run = NULL, *p;
	size_t len = 0;

	for (i = 0; i < n; i++) {
		struct gpa gpa = { (uint64_t)le32toh(b->pfn[i]) << PFN_SHIFT };

		if ((p = gmem_range(b->conf.mem, gpa, PAGE)) == NULL)
			continue;
		if (run != NULL && p == run + len) {
			len += PAGE;
		} else if (run != NULL && p + PAGE == run) {
			run = p;
			len += PAGE;
		} else {
			holes += discard(b, run, len);
			run = p;
			len = PAGE;
		}
	}
	return holes + discard(b, run, len);
}

/* "Free Page Reporting": the buffers are the pages. */
static unsigned
report(struct viobal *b, const struct virtq_chain *chain)
{
	unsigned i, holes = 0;

	for (i = 0; i < chain->nwrite; i++) {
		const struct iovec *v = &chain->iov[chain->nread + i];

		holes += discard(b, v->iov_base, v->iov_len);
	}
	return holes;
}

/* Without the lock.  What it cost. */
static unsigned
serve(struct queue *q, const struct virtq_chain *chain)
{
	unsigned holes = 0;

	if (q->n == Q_INFLATE)
		holes = inflate(q->b, chain);
	else if (q->n != Q_DEFLATE)
		holes = report(q->b, chain);
	return holes > CHAIN_COST ? holes : CHAIN_COST;
}

/* (m) The chain was served; its queue may be gone. */
static bool
served(struct queue *q, const struct virtq_chain *chain, unsigned cost)
{
	struct viobal *b = q->b;

	b->busy = false;
	b->holes -= cost < b->holes ? cost : b->holes;
	if (b->resetting) {
		b->resetting = false;
		virtio_reset_done(b->dev);
		return false;
	}
	virtq_push(&q->vq, chain->head, 0);
	if (virtq_want_interrupt(&q->vq))
		eventfd_write(virtio_call_fd(b->dev, q->n), 1);
	return true;
}

/* One chain, so that others of the event loop have their turn. */
static void
run(struct queue *q)
{
	struct viobal *b = q->b;
	struct virtq_chain chain = { .iov = b->iov, .iov_max = QUEUE_SIZE };
	unsigned cost;
	int n;

	period_begin(b);
	if (b->holes == 0) { /* the timer goes on; no kick is needed */
		q->more = true;
		virtq_disable_kick(&q->vq);
		return;
	}
	do
		n = virtq_pop(&q->vq, &chain);
	while (n == 0 && virtq_enable_kick(&q->vq));
	if (n < 0) {
		virtio_needs_reset(b->dev, "bad queue");
		stop_queues(b);
	}
	if (n <= 0)
		return;
	b->busy = true;
	unlock(b);
	cost = serve(q, &chain);
	lock(b);
	if (served(q, &chain, cost))
		event_active(q->kick, 0, 0);
}

static void
on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct queue *q = arg;
	eventfd_t count;

	if ((what & EV_READ) != 0)
		eventfd_read(fd, &count);
	lock(q->b);
	if (q->on && !q->more)
		run(q);
	unlock(q->b);
}

static void
tell(struct viobal *b, uint64_t bytes)
{
	if (bytes == b->told)
		return;
	b->told = bytes;
	if (b->conf.told != NULL)
		b->conf.told(b->conf.arg, bytes);
}

static void
on_period(evutil_socket_t fd, short what, void *arg)
{
	struct viobal *b = arg;
	uint64_t bytes;
	unsigned i;

	lock(b);
	b->period = false;
	for (i = 0; i < QUEUES; i++) {
		if (b->queue[i].more)
			event_active(b->queue[i].kick, 0, 0);
		b->queue[i].more = false;
	}
	bytes = given(b);
	unlock(b);
	tell(b, bytes);
}

/* The transport. */

static bool
start_queue(struct queue *q, const struct virtio_ring *ring, bool event_idx)
{
	struct viobal *b = q->b;

	if (ring->size == 0)
		return true; /* the driver does not want it */
	if (virtq_init(&q->vq, b->conf.mem, ring->size, ring->desc, ring->avail,
		ring->used, event_idx) != 0)
		return false;
	if (virtio_resuming(b->dev))
		virtq_resume(&q->vq);
	q->on = true;
	/* Buffers may be there already. */
	eventfd_write(virtio_kick_fd(b->dev, q->n), 1);
	return true;
}

static void
start(struct virtio_dev *dev, uint64_t features, const struct virtio_ring *ring,
    unsigned nqueues)
{
	struct viobal *b = virtio_arg(dev);
	bool event_idx = (features >> VIRTIO_RING_F_EVENT_IDX & 1) != 0;
	bool reports = (features >> VIRTIO_BALLOON_F_REPORTING & 1) != 0;
	unsigned i;

	for (i = 0; i < (reports ? QUEUES : Q_DEFLATE + 1U); i++) {
		if (!start_queue(&b->queue[i], &ring[i], event_idx)) {
			virtio_needs_reset(dev, "bad ring address");
			stop_queues(b);
			return;
		}
	}
}

static void
reset(struct virtio_dev *dev)
{
	struct viobal *b = virtio_arg(dev);

	stop_queues(b);
	memset(b->actual, 0, sizeof(b->actual));
	period_begin(b); /* at its end that is told */
	if (b->busy)
		b->resetting = true;
	else
		virtio_reset_done(dev);
}

/* Only `actual' is the driver's to write. */
static bool
config(struct virtio_dev *dev, unsigned off, uint8_t val)
{
	struct viobal *b = virtio_arg(dev);

	if (off < OFF_ACTUAL || off - OFF_ACTUAL >= sizeof(b->actual))
		return false;
	b->actual[off - OFF_ACTUAL] = val;
	period_begin(b);
	return true;
}

static const struct virtio_ops ops = {
	.start = start, .reset = reset, .config = config
};

void
viobal_keep(struct viobal *b, uint64_t bytes)
{
	uint64_t all = b->conf.mem->size;
	uint32_t pages;

	pages =
	    htole32(bytes < all ? (uint32_t)((all - bytes) >> PFN_SHIFT) : 0);
	lock(b);
	virtio_configure(b->dev, OFF_TARGET, &pages, sizeof(pages));
	unlock(b);
}

uint64_t
viobal_given(struct viobal *b)
{
	uint64_t bytes;

	lock(b);
	bytes = given(b);
	unlock(b);
	return bytes;
}

static int
make_events(struct viobal *b)
{
	struct event_base *base = b->conf.host->base;
	unsigned i;

	b->timer = event_new(base, -1, 0, on_period, b);
	if (b->timer == NULL)
		return -1;
	for (i = 0; i < QUEUES; i++) {
		struct queue *q = &b->queue[i];

		q->b = b;
		q->n = i;
		q->kick = event_new(base, virtio_kick_fd(b->dev, i),
		    EV_READ | EV_PERSIST, on_kick, q);
		if (q->kick == NULL || event_add(q->kick, NULL) != 0)
			return -1;
	}
	return 0;
}

struct viobal *
viobal_new(const struct viobal_conf *conf)
{
	static const uint8_t zeroes[CONFIG_LEN];
	struct viobal *b = calloc(1, sizeof(*b));
	const struct virtio_conf c = {
		.name = conf->name,
		.type = VIRTIO_ID_BALLOON,
		.class = 0x00ff00, /* unclassified, other */
		.features = UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
		    UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC |
		    UINT64_C(1) << VIRTIO_BALLOON_F_DEFLATE_ON_OOM |
		    UINT64_C(1) << VIRTIO_BALLOON_F_REPORTING,
		.nqueues = QUEUES,
		.queue_size = QUEUE_SIZE,
		.config = zeroes,
		.config_len = CONFIG_LEN,
		.ops = &ops,
		.arg = b,
	};

	if (b == NULL)
		return NULL;
	b->conf = *conf;
	b->dev = virtio_pci_new(conf->pci, conf->host, &c);
	if (b->dev == NULL)
		goto free_all;
	if (make_events(b) != 0) {
		errno = ENOMEM;
		goto free_all;
	}
	return b;

free_all:
	viobal_free(b);
	return NULL;
}

void
viobal_free(struct viobal *b)
{
	unsigned i;

	if (b == NULL)
		return;
	for (i = 0; i < QUEUES; i++)
		if (b->queue[i].kick != NULL)
			event_free(b->queue[i].kick);
	if (b->timer != NULL)
		event_free(b->timer);
	virtio_pci_free(b->dev);
	free(b);
}

void
viobal_state(struct viobal *b, struct state *s)
{
	lock(b);
	virtio_state(b->dev, s);
	state_bytes(s, b->actual, sizeof(b->actual));
	if (s->error == 0 && !s->writing) {
		period_begin(b);
		virtio_resume(b->dev);
	}
	unlock(b);
}
