/* SPDX-License-Identifier: ISC */

/*
 * The entropy device; see viornd.h.
 *
 * A guest can ask for as many buffers as large as it likes.  A request gets
 * at most REQUEST_MAX bytes (the device "MAY use less than the entire buffer
 * length"), and all requests of a PERIOD together at most PERIOD_MAX; what is
 * left waits in the ring for the timer.  So one guest costs the host a
 * bounded share of a processor, and the machine lock is never held for longer
 * than REQUEST_MAX bytes take to make and few chains to pop.
 *
 * Runs on the main thread; start and reset come from vCPU threads with the
 * machine lock held.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <event2/event.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include "state.h"
#include "viornd.h"
#include "virtio_host.h"
#include "virtio_pci.h"
#include "virtq.h"

#define QUEUE_SIZE   64
#define REQUEST_MAX  65536 /* bytes for one buffer chain */
#define PERIOD_USEC  100000
#define PERIOD_MAX   (4 * REQUEST_MAX) /* bytes in a period: 2.5 MiB/s */
#define PERIOD_CHAIN 1024 /* and chains, which cost something when empty */
#define TURN_CHAINS  16 /* under one hold of the lock */

struct viornd {
	struct virtio_dev *dev;
	struct virtio_host *host;
	const struct gmem *mem;
	struct event *kick, *timer; /* the timer ends a period */
	bool running; /* (m) */
	bool more; /* (m) chains wait for the next period */
	unsigned bytes, chains; /* (m) left in this period */
	bool period; /* (m) the timer is set */
	struct virtq vq; /* (m) */
	struct iovec iov[QUEUE_SIZE];
};

/* Fill one buffer; what it got. */
static size_t
fill(uint8_t *p, size_t len)
{
	size_t done = 0;

	/* Up to 256 bytes come whole; more may be cut short by a signal. */
	while (done < len) {
		ssize_t n = getrandom(p + done, len - done, GRND_NONBLOCK);

		if (n > 0)
			done += (size_t)n;
		else if (n == -1 && errno != EINTR)
			break;
	}
	return done;
}

/* The bytes that chain gets. */
static uint32_t
serve(struct viornd *r, const struct virtq_chain *chain)
{
	size_t left = r->bytes < REQUEST_MAX ? r->bytes : REQUEST_MAX;
	uint32_t total = 0;

	for (unsigned i = 0; i < chain->nwrite && left > 0; i++) {
		const struct iovec *v = &chain->iov[chain->nread + i];
		size_t want = v->iov_len < left ? v->iov_len : left;
		size_t n = fill(v->iov_base, want);

		total += (uint32_t)n;
		left -= n;
		if (n < want)
			break;
	}
	return total;
}

static void
period_begin(struct viornd *r)
{
	static const struct timeval length = { .tv_usec = PERIOD_USEC };

	if (r->period)
		return;
	r->period = event_add(r->timer, &length) == 0;
	r->bytes = PERIOD_MAX;
	r->chains = PERIOD_CHAIN;
}

enum turn { EMPTY, MORE, SPENT, BROKEN };

/* Serve some chains under one hold of the lock. */
static enum turn
turn(struct viornd *r, bool *interrupt)
{
	struct virtq_chain chain = { .iov = r->iov, .iov_max = QUEUE_SIZE };
	size_t before = r->bytes;
	int n;

	for (unsigned i = 0; i < TURN_CHAINS; i++) {
		uint32_t len;

		if (r->bytes == 0 || r->chains == 0)
			return SPENT;
		if (before - r->bytes >= REQUEST_MAX)
			return MORE;
		if ((n = virtq_pop(&r->vq, &chain)) == 0)
			return EMPTY;
		if (n < 0)
			return BROKEN;
		len = serve(r, &chain);
		r->bytes -= len;
		r->chains--;
		virtq_wrote(&r->vq, chain.iov + chain.nread, chain.nwrite, len);
		virtq_push(&r->vq, chain.head, len);
		*interrupt = true;
	}
	return MORE;
}

static void
run(struct viornd *r)
{
	bool interrupt = false;
	enum turn t;

	period_begin(r);
	do
		t = turn(r, &interrupt);
	while (t == EMPTY && virtq_enable_kick(&r->vq));
	if (interrupt && virtq_want_interrupt(&r->vq))
		eventfd_write(virtio_call_fd(r->dev, 0), 1);
	switch (t) {
	case EMPTY:
		break;
	case MORE: /* let others have the lock, then come back */
		event_active(r->kick, 0, 0);
		break;
	case SPENT: /* the timer goes on; no kick is needed for that */
		r->more = true;
		virtq_disable_kick(&r->vq);
		break;
	case BROKEN:
		virtio_needs_reset(r->dev, "bad request queue");
		r->running = false;
		break;
	}
}

static void
on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct viornd *r = arg;
	eventfd_t count;

	if ((what & EV_READ) != 0)
		eventfd_read(fd, &count);
	r->host->ops->lock(r->host);
	if (r->running)
		run(r);
	r->host->ops->unlock(r->host);
}

static void
on_period(evutil_socket_t fd, short what, void *arg)
{
	struct viornd *r = arg;

	r->host->ops->lock(r->host);
	r->period = false;
	if (r->more) {
		r->more = false;
		if (r->running)
			run(r);
	}
	r->host->ops->unlock(r->host);
}

static void
start(struct virtio_dev *dev, uint64_t features, const struct virtio_ring *ring,
    unsigned nqueues)
{
	struct viornd *r = virtio_arg(dev);

	if (ring[0].size == 0)
		return; /* the driver does not want the queue */
	if (virtq_init(&r->vq, r->mem, ring[0].size, ring[0].desc,
		ring[0].avail, ring[0].used,
		(features >> VIRTIO_RING_F_EVENT_IDX & 1) != 0) != 0) {
		virtio_needs_reset(dev, "bad ring address");
		return;
	}
	if (virtio_resuming(dev))
		virtq_resume(&r->vq);
	r->running = true;
	/* Buffers may be there already. */
	eventfd_write(virtio_kick_fd(dev, 0), 1);
}

static void
reset(struct virtio_dev *dev)
{
	struct viornd *r = virtio_arg(dev);

	/* Requests are served under the lock that we hold: none is under
	 * way.  The budget of the period stays spent. */
	r->running = false;
	virtio_reset_done(dev);
}

static const struct virtio_ops ops = { .start = start, .reset = reset };

struct viornd *
viornd_new(struct pci *pci, struct virtio_host *host, const struct gmem *mem,
    const char *name)
{
	struct viornd *r = calloc(1, sizeof(*r));
	const struct virtio_conf conf = {
		.name = name,
		.type = VIRTIO_ID_RNG,
		.class = 0x00ff00, /* unclassified, other */
		.features = UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
		    UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC,
		.nqueues = 1,
		.queue_size = QUEUE_SIZE,
		.ops = &ops,
		.arg = r,
	};

	if (r == NULL)
		return NULL;
	r->host = host;
	r->mem = mem;
	r->dev = virtio_pci_new(pci, host, &conf);
	if (r->dev == NULL)
		goto free_all;
	r->kick = event_new(host->base, virtio_kick_fd(r->dev, 0),
	    EV_READ | EV_PERSIST, on_kick, r);
	r->timer = event_new(host->base, -1, 0, on_period, r);
	if (r->kick == NULL || r->timer == NULL ||
	    event_add(r->kick, NULL) != 0) {
		errno = ENOMEM;
		goto free_all;
	}
	return r;

free_all:
	viornd_free(r);
	return NULL;
}

void
viornd_state(struct viornd *r, struct state *s)
{
	r->host->ops->lock(r->host);
	virtio_state(r->dev, s);
	if (s->error == 0 && !s->writing)
		virtio_resume(r->dev);
	r->host->ops->unlock(r->host);
}

void
viornd_free(struct viornd *r)
{
	if (r == NULL)
		return;
	if (r->kick != NULL)
		event_free(r->kick);
	if (r->timer != NULL)
		event_free(r->timer);
	virtio_pci_free(r->dev);
	free(r);
}
