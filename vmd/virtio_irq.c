/* SPDX-License-Identifier: ISC */

/*
 * Interrupts of a virtio PCI function; see virtio_irq.h.  After virtio 1.2,
 * "ISR status capability", "MSI-X Vector Configuration", "Used Buffer
 * Notifications" and "Notification of Device Configuration Changes".
 *
 * Everything that the guest or the device changes ends in update(), which
 * compares what is wanted with what is and does only the difference: a guest
 * that masks and unmasks its vectors many times before it starts the device
 * causes no system call at all, and the GSI table is committed once for all
 * vectors that a start brings into use.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>
#include <sys/eventfd.h>
#include "log.h"
#include "state.h"
#include "virtio_host.h"
#include "virtio_irq.h"

#define ISR_QUEUE  1
#define ISR_CONFIG 2

/* Takes what was signalled; true when there was something. */
static bool
drain(const struct virtio_irq_queue *q)
{
	uint64_t count;

	return read(q->fd, &count, sizeof(count)) == sizeof(count);
}

static bool
route_current(const struct virtio_irq *irq, unsigned v)
{
	const struct msix_entry *e = &irq->msix.entry[v];

	return irq->route[v].set && irq->route[v].addr == e->addr &&
	    irq->route[v].data == e->data;
}

/* Bring the GSI table up to date for the vectors in use. */
static void
routes_update(struct virtio_irq *irq)
{
	struct virtio_host *h = irq->host;
	uint32_t changed = 0;
	int error;

	for (unsigned i = 0; i < irq->nqueues; i++) {
		const struct virtio_irq_queue *q = &irq->queue[i];
		unsigned v = q->vector;

		if (!q->live || !msix_open(&irq->msix, v) ||
		    route_current(irq, v))
			continue;
		h->ops->route_set(h, irq->gsi0 + v, irq->msix.entry[v].addr,
		    irq->msix.entry[v].data);
		changed |= 1U << v;
	}
	if (changed == 0)
		return;
	if ((error = h->ops->route_commit(h)) != 0) {
		static struct log_rate rate = LOG_RATE(3, 60);

		log_limited(&rate, "%s: interrupt routes: %s", irq->name,
		    strerrordesc_np(-error));
	}
	for (unsigned v = 0; v < irq->msix.n; v++)
		if ((changed & (1U << v)) != 0) {
			irq->route[v].set = error == 0;
			irq->route[v].addr = irq->msix.entry[v].addr;
			irq->route[v].data = irq->msix.entry[v].data;
		}
}

static enum virtio_irq_mode
wanted(const struct virtio_irq *irq, const struct virtio_irq_queue *q)
{
	const struct msix *m = &irq->msix;

	if (!q->live)
		return VIRTIO_IRQ_OFF;
	if (!m->enabled)
		return (irq->isr & ISR_QUEUE) != 0 ? VIRTIO_IRQ_PARKED
						   : VIRTIO_IRQ_WATCHED;
	if (q->vector >= m->n)
		return VIRTIO_IRQ_OFF;
	if (msix_open(m, q->vector))
		return route_current(irq, q->vector) ? VIRTIO_IRQ_BOUND
						     : VIRTIO_IRQ_WATCHED;
	return (m->pending >> q->vector & 1) != 0 ? VIRTIO_IRQ_PARKED
						  : VIRTIO_IRQ_WATCHED;
}

/*
 * event_del_noblock() because the callback on the main thread may be waiting
 * for the lock that we hold; it looks at the mode once it has it.
 */
static void
leave(struct virtio_irq_queue *q)
{
	struct virtio_host *h = q->irq->host;

	switch (q->mode) {
	case VIRTIO_IRQ_OFF:
		drain(q);
		break;
	case VIRTIO_IRQ_PARKED:
		break;
	case VIRTIO_IRQ_WATCHED:
		event_del_noblock(q->ev);
		break;
	case VIRTIO_IRQ_BOUND:
		h->ops->irqfd(h, q->fd, q->gsi, false);
		break;
	}
	q->mode = VIRTIO_IRQ_PARKED;
}

static int
bind_fd(struct virtio_irq_queue *q)
{
	struct virtio_irq *irq = q->irq;
	bool late;
	int error;

	late = drain(q);
	q->gsi = irq->gsi0 + q->vector;
	error = irq->host->ops->irqfd(irq->host, q->fd, q->gsi, true);
	/* Between the first look and the bind. */
	late = drain(q) || late;
	if (late)
		msix_set_pending(&irq->msix, q->vector);
	if (error != 0) {
		static struct log_rate rate = LOG_RATE(3, 60);

		log_limited(
		    &rate, "%s: irqfd: %s", irq->name, strerrordesc_np(-error));
	}
	return error;
}

static void
queue_sync(struct virtio_irq_queue *q)
{
	enum virtio_irq_mode mode = wanted(q->irq, q);

	if (mode == q->mode &&
	    (mode != VIRTIO_IRQ_BOUND || q->gsi == q->irq->gsi0 + q->vector))
		return;
	leave(q);
	/* Without an irqfd the slow way is still correct. */
	if (mode == VIRTIO_IRQ_BOUND && bind_fd(q) != 0)
		mode = VIRTIO_IRQ_WATCHED;
	if (mode == VIRTIO_IRQ_WATCHED && event_add(q->ev, NULL) != 0)
		log_warnx("%s: cannot watch a queue", q->irq->name);
	q->mode = mode;
}

static void
deliver(struct virtio_irq *irq)
{
	struct virtio_host *h = irq->host;

	for (unsigned v = 0; v < irq->msix.n; v++) {
		const struct msix_entry *e = &irq->msix.entry[v];

		if (msix_take_pending(&irq->msix, v) &&
		    h->ops->msi(h, e->addr, e->data) < 0) {
			static struct log_rate rate = LOG_RATE(3, 60);

			log_limited(
			    &rate, "%s: vector %u not delivered", irq->name, v);
		}
	}
}

static void
update(struct virtio_irq *irq)
{
	routes_update(irq);
	for (unsigned i = 0; i < irq->nqueues; i++)
		queue_sync(&irq->queue[i]);
	deliver(irq);
	/* "ISR status capability": INTx is the OR of the ISR bits while MSI-X
	 * is disabled. */
	pci_intx(irq->pci, !irq->msix.enabled && irq->isr != 0);
}

/* One bit stands for all queues: whatever else they signalled is in it. */
static void
isr_raise(struct virtio_irq *irq)
{
	irq->isr |= ISR_QUEUE;
	for (unsigned i = 0; i < irq->nqueues; i++)
		if (irq->queue[i].live)
			drain(&irq->queue[i]);
}

static void
on_call(evutil_socket_t fd, short what, void *arg)
{
	struct virtio_irq_queue *q = arg;
	struct virtio_irq *irq = q->irq;
	struct virtio_host *h = irq->host;

	h->ops->lock(h);
	if (q->mode == VIRTIO_IRQ_WATCHED && drain(q)) {
		if (irq->msix.enabled)
			msix_set_pending(&irq->msix, q->vector);
		else
			isr_raise(irq);
		update(irq);
	}
	h->ops->unlock(h);
}

int
virtio_irq_init(struct virtio_irq *irq, struct virtio_host *h,
    struct pci_dev *pci, const char *name, unsigned nqueues)
{
	memset(irq, 0, sizeof(*irq));
	irq->host = h;
	irq->pci = pci;
	irq->name = name;
	irq->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		irq->queue[i].irq = irq;
		irq->queue[i].fd = -1;
		irq->queue[i].vector = VIRTIO_NO_VECTOR;
	}
	if (nqueues > VIRTIO_QUEUES_MAX)
		return -EINVAL;
	irq->nqueues = nqueues;
	if (h->end_gsi - h->next_gsi < nqueues + 1)
		return -ENOSPC;
	irq->gsi0 = h->next_gsi;
	h->next_gsi += nqueues + 1;
	msix_init(&irq->msix, nqueues + 1);
	for (unsigned i = 0; i < nqueues; i++) {
		struct virtio_irq_queue *q = &irq->queue[i];

		q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->fd == -1)
			return -errno;
		q->ev =
		    event_new(h->base, q->fd, EV_READ | EV_PERSIST, on_call, q);
		if (q->ev == NULL)
			return -ENOMEM;
	}
	return 0;
}

void
virtio_irq_free(struct virtio_irq *irq)
{
	struct virtio_host *h = irq->host;
	bool routed = false;

	virtio_irq_stop(irq);
	for (unsigned i = 0; i < irq->nqueues; i++) {
		struct virtio_irq_queue *q = &irq->queue[i];

		if (q->ev != NULL)
			event_free(q->ev);
		if (q->fd != -1)
			close(q->fd);
		q->ev = NULL;
		q->fd = -1;
	}
	for (unsigned v = 0; v < irq->msix.n; v++)
		if (irq->route[v].set) {
			h->ops->route_clear(h, irq->gsi0 + v);
			irq->route[v].set = false;
			routed = true;
		}
	if (routed)
		h->ops->route_commit(h);
}

void
virtio_irq_start(struct virtio_irq *irq, uint32_t queues)
{
	for (unsigned i = 0; i < irq->nqueues; i++)
		irq->queue[i].live = (queues & (1U << i)) != 0;
	update(irq);
}

void
virtio_irq_stop(struct virtio_irq *irq)
{
	for (unsigned i = 0; i < irq->nqueues; i++) {
		irq->queue[i].live = false;
		irq->queue[i].vector = VIRTIO_NO_VECTOR;
	}
	irq->config_vector = VIRTIO_NO_VECTOR;
	irq->isr = 0;
	irq->msix.pending = 0;
	update(irq);
}

void
virtio_irq_set_vector(struct virtio_irq *irq, unsigned queue, uint16_t vector)
{
	if (vector >= irq->msix.n)
		vector = VIRTIO_NO_VECTOR;
	if (queue == VIRTIO_QUEUES_MAX)
		irq->config_vector = vector;
	else if (queue < irq->nqueues)
		irq->queue[queue].vector = vector;
	update(irq);
}

uint16_t
virtio_irq_vector(const struct virtio_irq *irq, unsigned queue)
{
	if (queue == VIRTIO_QUEUES_MAX)
		return irq->config_vector;
	return queue < irq->nqueues ? irq->queue[queue].vector : 0;
}

void
virtio_irq_config(struct virtio_irq *irq)
{
	irq->isr |= ISR_CONFIG;
	if (irq->msix.enabled)
		msix_set_pending(&irq->msix, irq->config_vector);
	update(irq);
}

uint8_t
virtio_irq_isr_read(struct virtio_irq *irq)
{
	uint8_t isr = irq->isr;

	irq->isr = 0;
	update(irq);
	return isr;
}

void
virtio_irq_control(struct virtio_irq *irq, uint16_t control)
{
	bool was_enabled = irq->msix.enabled;
	uint64_t pending = irq->msix.pending;

	msix_control(&irq->msix, control);
	/* What waited for the one kind of delivery gets the other. */
	if (was_enabled && !irq->msix.enabled && pending != 0)
		irq->isr |= ISR_QUEUE;
	if (!was_enabled && irq->msix.enabled && (irq->isr & ISR_QUEUE) != 0)
		for (unsigned i = 0; i < irq->nqueues; i++)
			if (irq->queue[i].live)
				msix_set_pending(
				    &irq->msix, irq->queue[i].vector);
	update(irq);
}

void
virtio_irq_table_write(
    struct virtio_irq *irq, uint64_t off, unsigned size, uint64_t val)
{
	if (msix_table_write(&irq->msix, off, size, val))
		update(irq);
}

static const struct state_field irq_fields[] = {
	STATE_NUM(struct virtio_irq, msix.enabled, 1),
	STATE_NUM(struct virtio_irq, msix.fmask, 1),
	STATE_NUM(struct virtio_irq, msix.pending, UINT64_MAX),
	STATE_SUB(struct virtio_irq, msix.entry, addr, UINT64_MAX),
	STATE_SUB(struct virtio_irq, msix.entry, data, UINT32_MAX),
	STATE_SUB(struct virtio_irq, msix.entry, control, UINT32_MAX),
	STATE_NUM(struct virtio_irq, config_vector, UINT16_MAX),
	STATE_NUM(struct virtio_irq, isr, ISR_QUEUE | ISR_CONFIG),
	STATE_SUB(struct virtio_irq, queue, vector, UINT16_MAX),
};

/* Which of the queues are live is said by virtio_irq_start(). */
void
virtio_irq_state(struct virtio_irq *irq, struct state *s)
{
	state_fields(
	    s, irq, irq_fields, sizeof(irq_fields) / sizeof(irq_fields[0]));
	if (s->error != 0 || s->writing)
		return;
	for (unsigned i = 0; i < irq->nqueues; i++)
		if (irq->queue[i].vector >= irq->msix.n)
			irq->queue[i].vector = VIRTIO_NO_VECTOR;
	if (irq->config_vector >= irq->msix.n)
		irq->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned v = 0; v < irq->msix.n; v++)
		irq->msix.entry[v].addr &= ~UINT64_C(3);
}
