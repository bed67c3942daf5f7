/* SPDX-License-Identifier: ISC */

/*
 * The console device; see viocon.h.
 *
 * Output takes no time: what the console does not get rid of it forgets, as
 * behind the serial port.  Of one buffer chain OUTPUT_MAX bytes are looked at,
 * which is more than the console keeps, and a turn is not much more than that,
 * so that the machine lock is never held for long.
 *
 * Invariants
 *  1. Input waits in `in' until the guest has buffers: a chain that was popped
 *     is pushed at once, so that there is none under way when the state is
 *     saved.
 *  2. While there is input in `in', the receive queue's kicks are wanted.
 *
 * Runs on the main thread; start, reset and emergency writes come from vCPU
 * threads with the machine lock held.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <event2/event.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <sys/eventfd.h>
#include "console.h"
#include "state.h"
#include "viocon.h"
#include "virtio_host.h"
#include "virtio_pci.h"
#include "virtq.h"

#define QUEUE_SIZE  64
#define RECEIVE	    0
#define TRANSMIT    1
#define INPUT	    256
#define OUTPUT_MAX  65536 /* bytes of one chain, and the end of a turn */
#define TURN_CHAINS 16 /* under one hold of the lock */

struct viocon {
	struct virtio_dev *dev;
	struct virtio_host *host;
	const struct gmem *mem;
	struct console *console;
	struct event *kick[2];
	bool running; /* (m) */
	bool usable[2]; /* (m) the driver has set the queue up */
	struct virtq vq[2]; /* (m) */
	struct iovec iov[QUEUE_SIZE];
	uint8_t in[INPUT]; /* (m) */
	uint32_t nin; /* (m) */
};

static void
broken(struct viocon *c, unsigned queue)
{
	virtio_needs_reset(c->dev,
	    queue == RECEIVE ? "bad receive queue" : "bad transmit queue");
	c->running = false;
}

static void
interrupt(struct viocon *c, unsigned queue)
{
	if (virtq_want_interrupt(&c->vq[queue]))
		eventfd_write(virtio_call_fd(c->dev, queue), 1);
}

/* Output */

static uint32_t
put_out(struct viocon *c, const struct virtq_chain *chain)
{
	size_t left = OUTPUT_MAX;

	for (unsigned i = 0; i < chain->nread && left > 0; i++) {
		const struct iovec *v = &chain->iov[i];
		size_t n = v->iov_len < left ? v->iov_len : left;

		console_out(c->console, v->iov_base, n);
		left -= n;
	}
	return (uint32_t)(OUTPUT_MAX - left);
}

enum turn { EMPTY, MORE, BROKEN };

static enum turn
output_turn(struct viocon *c, bool *any)
{
	struct virtq_chain chain = { .iov = c->iov, .iov_max = QUEUE_SIZE };
	uint32_t bytes = 0;
	int n;

	for (unsigned i = 0; i < TURN_CHAINS && bytes < OUTPUT_MAX; i++) {
		if ((n = virtq_pop(&c->vq[TRANSMIT], &chain)) == 0)
			return EMPTY;
		if (n < 0)
			return BROKEN;
		bytes += put_out(c, &chain);
		virtq_push(&c->vq[TRANSMIT], chain.head, 0);
		*any = true;
	}
	return MORE;
}

static void
output(struct viocon *c)
{
	bool any = false;
	enum turn t;

	do
		t = output_turn(c, &any);
	while (t == EMPTY && virtq_enable_kick(&c->vq[TRANSMIT]));
	if (any)
		interrupt(c, TRANSMIT);
	switch (t) {
	case EMPTY:
		break;
	case MORE: /* let others have the lock, then come back */
		event_active(c->kick[TRANSMIT], 0, 0);
		break;
	case BROKEN:
		broken(c, TRANSMIT);
		break;
	}
}

/* Input */

/* To one chain's buffers; what it got. */
static uint32_t
put_in(struct viocon *c, const struct virtq_chain *chain)
{
	uint32_t done = 0, n;

	for (unsigned i = 0; i < chain->nwrite && done < c->nin; i++) {
		const struct iovec *v = &chain->iov[chain->nread + i];

		n = c->nin - done;
		if (v->iov_len < n)
			n = (uint32_t)v->iov_len;
		memcpy(v->iov_base, c->in + done, n);
		done += n;
	}
	c->nin -= done;
	memmove(c->in, c->in + done, c->nin);
	return done;
}

static enum turn
input_turn(struct viocon *c, bool *any)
{
	struct virtq_chain chain = { .iov = c->iov, .iov_max = QUEUE_SIZE };
	struct virtq *vq = &c->vq[RECEIVE];
	uint32_t len;
	int n;

	for (unsigned i = 0; i < TURN_CHAINS; i++) {
		if (c->nin == 0 || (n = virtq_pop(vq, &chain)) == 0)
			return EMPTY;
		if (n < 0)
			return BROKEN;
		len = put_in(c, &chain);
		virtq_wrote(vq, chain.iov + chain.nread, chain.nwrite, len);
		virtq_push(vq, chain.head, len);
		*any = true;
	}
	return MORE; /* chains without room for a byte */
}

static void
input(struct viocon *c)
{
	bool any = false;
	enum turn t;

	do
		t = input_turn(c, &any);
	while (t == EMPTY && c->nin > 0 && virtq_enable_kick(&c->vq[RECEIVE]));
	if (any)
		interrupt(c, RECEIVE);
	switch (t) {
	case EMPTY:
		if (c->nin == 0)
			virtq_disable_kick(&c->vq[RECEIVE]);
		break;
	case MORE:
		event_active(c->kick[RECEIVE], 0, 0);
		break;
	case BROKEN:
		broken(c, RECEIVE);
		break;
	}
	console_room(c->console);
}

/* The console's side */

static size_t
sink_room(const void *arg)
{
	const struct viocon *c = arg;

	return c->running && c->usable[RECEIVE] ? INPUT - c->nin : 0;
}

static void
sink_input(void *arg, const uint8_t *b, size_t n)
{
	struct viocon *c = arg;

	memcpy(c->in + c->nin, b, n);
	c->nin += (uint32_t)n;
	input(c);
}

static const struct console_sink sink = { sink_room, sink_input };

/* The transport's */

static void
on_kick(struct viocon *c, evutil_socket_t fd, short what, unsigned queue)
{
	eventfd_t count;

	if ((what & EV_READ) != 0)
		eventfd_read(fd, &count);
	c->host->ops->lock(c->host);
	if (c->running && c->usable[queue]) {
		if (queue == TRANSMIT)
			output(c);
		else
			input(c);
	}
	c->host->ops->unlock(c->host);
}

static void
on_receive(evutil_socket_t fd, short what, void *arg)
{
	on_kick(arg, fd, what, RECEIVE);
}

static void
on_transmit(evutil_socket_t fd, short what, void *arg)
{
	on_kick(arg, fd, what, TRANSMIT);
}

static void
start(struct virtio_dev *dev, uint64_t features, const struct virtio_ring *ring,
    unsigned nqueues)
{
	struct viocon *c = virtio_arg(dev);
	bool event_idx = (features >> VIRTIO_RING_F_EVENT_IDX & 1) != 0;

	for (unsigned i = 0; i < 2; i++) {
		c->usable[i] = ring[i].size != 0;
		if (!c->usable[i])
			continue; /* the driver does not want the queue */
		if (virtq_init(&c->vq[i], c->mem, ring[i].size, ring[i].desc,
			ring[i].avail, ring[i].used, event_idx) != 0) {
			virtio_needs_reset(dev, "bad ring address");
			return;
		}
		if (virtio_resuming(dev))
			virtq_resume(&c->vq[i]);
	}
	c->running = true;
	/* Buffers may be there already, and input that waited for them. */
	for (unsigned i = 0; i < 2; i++)
		eventfd_write(virtio_kick_fd(dev, i), 1);
}

static void
reset(struct virtio_dev *dev)
{
	struct viocon *c = virtio_arg(dev);

	/* All is done under the lock that we hold: nothing is under way. */
	c->running = false;
	virtio_reset_done(dev);
}

/* "Device configuration layout": emerg_wr, whose lowest byte is a character;
 * good before there are queues, too. */
static bool
config(struct virtio_dev *dev, unsigned off, uint8_t val)
{
	struct viocon *c = virtio_arg(dev);

	if (off == offsetof(struct virtio_console_config, emerg_wr))
		console_out(c->console, &val, 1);
	return false;
}

static const struct virtio_ops ops = {
	.start = start,
	.reset = reset,
	.config = config,
};

static int
make_kicks(struct viocon *c)
{
	static const event_callback_fn cb[2] = { on_receive, on_transmit };

	for (unsigned i = 0; i < 2; i++) {
		c->kick[i] = event_new(c->host->base, virtio_kick_fd(c->dev, i),
		    EV_READ | EV_PERSIST, cb[i], c);
		if (c->kick[i] == NULL || event_add(c->kick[i], NULL) != 0)
			return -ENOMEM;
	}
	return 0;
}

struct viocon *
viocon_new(struct pci *pci, struct virtio_host *host, const struct gmem *mem,
    struct console *console, const char *name)
{
	static const struct virtio_console_config empty;
	struct viocon *c = calloc(1, sizeof(*c));
	const struct virtio_conf conf = {
		.name = name,
		.type = VIRTIO_ID_CONSOLE,
		.class = 0x078000, /* communication controller, other */
		.features = UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
		    UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC |
		    UINT64_C(1) << VIRTIO_CONSOLE_F_EMERG_WRITE,
		.nqueues = 2,
		.queue_size = QUEUE_SIZE,
		.config = (const uint8_t *)&empty,
		.config_len = sizeof(empty),
		.ops = &ops,
		.arg = c,
	};

	if (c == NULL)
		return NULL;
	c->host = host;
	c->mem = mem;
	c->console = console;
	c->dev = virtio_pci_new(pci, host, &conf);
	if (c->dev == NULL)
		goto free_all;
	if (make_kicks(c) != 0) {
		errno = ENOMEM;
		goto free_all;
	}
	console_attach(console, &sink, c);
	return c;

free_all:
	viocon_free(c);
	return NULL;
}

void
viocon_state(struct viocon *c, struct state *s)
{
	uint64_t n = c->nin;

	c->host->ops->lock(c->host);
	virtio_state(c->dev, s);
	state_number(s, &n, INPUT);
	state_bytes(s, c->in, INPUT);
	if (s->error == 0 && !s->writing) {
		c->nin = (uint32_t)n;
		virtio_resume(c->dev);
	}
	c->host->ops->unlock(c->host);
}

void
viocon_free(struct viocon *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < 2; i++)
		if (c->kick[i] != NULL)
			event_free(c->kick[i]);
	virtio_pci_free(c->dev);
	free(c);
}
