/* SPDX-License-Identifier: ISC */
/*
 * The device side of a split virtqueue: virtio 1.2, "Split Virtqueues".
 * See virtq.h for the invariants.
 *
 * Every access to ring memory below is one volatile or atomic access of the
 * value's own width: the guest's CPUs write while we read.  The structures
 * are little-endian, as is the only host that we run on.
 *
 * Ordering, with the driver's matching half in brackets:
 *  - acquire on avail.idx before ring entries and descriptors [its release]
 *  - release on used.idx after the used element and the data [its acquire]
 *  - a full fence between publishing an index and reading the other side's
 *    event index or flags: "Used Buffer Notification Suppression" and
 *    "Available Buffer Notification Suppression" need store-load ordering.
 */
#include <linux/virtio_ring.h>

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "virtq.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "host byte order");
static_assert(sizeof(struct vring_desc) == 16, "descriptor layout");
static_assert(sizeof(struct vring_used_elem) == 8, "used element layout");
static_assert(offsetof(struct vring_avail, ring) == 4, "avail ring layout");
static_assert(offsetof(struct vring_used, ring) == 4, "used ring layout");

/* An indirect table may have any alignment. */
typedef uint64_t u64_any __attribute__((aligned(1), may_alias));

/* Where the descriptors of one step of a chain are. */
struct table {
	const uint8_t *base;
	uint32_t n; /* entries */
};

static uint16_t
load16(const void *p)
{
	return __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED);
}

static void
store16(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, v, __ATOMIC_RELAXED);
}

/* Ring field addresses, of the checked host pointers. */
static uint8_t *
avail_at(const struct virtq *q, size_t off)
{
	return (uint8_t *)q->avail + off;
}

static uint8_t *
used_at(const struct virtq *q, size_t off)
{
	return (uint8_t *)q->used + off;
}

/* "used_event" follows the available ring, "avail_event" the used ring. */
static uint8_t *
used_event(const struct virtq *q)
{
	return avail_at(q, 4 + 2 * (size_t)q->size);
}

static uint8_t *
avail_event(const struct virtq *q)
{
	return used_at(q, 4 + 8 * (size_t)q->size);
}

static uint16_t
avail_idx(const struct virtq *q)
{
	return __atomic_load_n(
	    (const uint16_t *)avail_at(q, 2), __ATOMIC_ACQUIRE);
}

/* The one copy of a descriptor; what it says is checked in the copy only. */
static struct vring_desc
copy_desc(const struct table *t, uint32_t i)
{
	const uint8_t *p = t->base + (size_t)i * sizeof(struct vring_desc);
	uint64_t w[2];
	struct vring_desc d;

	w[0] = *(const volatile u64_any *)p;
	w[1] = *(const volatile u64_any *)(p + 8);
	memcpy(&d, w, sizeof(d));
	return d;
}

int
virtq_init(struct virtq *q, const struct gmem *mem, uint16_t size,
    struct gpa desc, struct gpa avail, struct gpa used, bool event_idx)
{
	struct virtq n = { .mem = mem, .size = size, .event_idx = event_idx };

	if (size == 0 || size > VIRTQ_SIZE_MAX || (size & (size - 1)) != 0)
		return -EINVAL;
	/* Alignments and sizes: "Virtqueues", the table of the three parts. */
	if (desc.v % 16 != 0 || avail.v % 2 != 0 || used.v % 4 != 0)
		return -EINVAL;
	n.desc = gmem_range(mem, desc, 16 * (size_t)size);
	n.avail = gmem_range(mem, avail, 6 + 2 * (size_t)size);
	n.used = gmem_range(mem, used, 6 + 8 * (size_t)size);
	if (n.desc == NULL || n.avail == NULL || n.used == NULL)
		return -EFAULT;
	*q = n;
	return 0;
}

void
virtq_resume(struct virtq *q)
{
	q->used_idx = load16(used_at(q, 2));
	q->last_avail = q->signalled_used = q->used_idx;
}

/* One buffer descriptor into the chain.  0 or -EPROTO. */
static int
add_buffer(
    const struct virtq *q, struct virtq_chain *c, const struct vring_desc *d)
{
	bool write = (d->flags & VRING_DESC_F_WRITE) != 0;
	uint64_t *total = write ? &c->write_len : &c->read_len;
	unsigned n = c->nread + c->nwrite;
	void *p;

	/* "Message Framing": device-writable ones come last. */
	if (!write && c->write_len != 0)
		return -EPROTO;
	if (d->len == 0)
		return 0;
	p = gmem_range(q->mem, (struct gpa){ d->addr }, d->len);
	if (p == NULL || n >= c->iov_max || d->len > UINT32_MAX - *total)
		return -EPROTO;
	c->iov[n] = (struct iovec){ p, d->len };
	*total += d->len;
	if (write)
		c->nwrite++;
	else
		c->nread++;
	return 0;
}

/*
 * "Indirect Descriptors": the table's length is a whole number of
 * descriptors, and the descriptor that refers to it ends the direct chain.
 */
static int
enter_indirect(
    const struct virtq *q, struct table *t, const struct vring_desc *d)
{
	uint32_t n = d->len / sizeof(struct vring_desc);

	if ((d->flags & VRING_DESC_F_NEXT) != 0 || n == 0 || n > q->size ||
	    d->len % sizeof(struct vring_desc) != 0)
		return -EPROTO;
	t->base = gmem_range(q->mem, (struct gpa){ d->addr }, d->len);
	t->n = n;
	return t->base != NULL ? 0 : -EPROTO;
}

/*
 * Follow the chain from head.  Each table allows as many steps as it has
 * entries, so that a loop ends.
 */
static int
walk(const struct virtq *q, struct virtq_chain *c, uint16_t head)
{
	struct table t = { q->desc, q->size };
	bool indirect = false;
	uint32_t i = head, steps = 0;
	struct vring_desc d;

	for (;;) {
		if (i >= t.n || steps++ >= t.n)
			return -EPROTO;
		d = copy_desc(&t, i);
		if ((d.flags & VRING_DESC_F_INDIRECT) != 0) {
			if (indirect || enter_indirect(q, &t, &d) != 0)
				return -EPROTO;
			indirect = true;
			i = steps = 0;
			continue;
		}
		if (add_buffer(q, c, &d) != 0)
			return -EPROTO;
		if ((d.flags & VRING_DESC_F_NEXT) == 0)
			return 0;
		i = d.next;
	}
}

int
virtq_pop(struct virtq *q, struct virtq_chain *c)
{
	uint16_t pending, head;

	if (q->broken)
		return 0;
	pending = (uint16_t)(avail_idx(q) - q->last_avail);
	if (pending == 0)
		return 0;
	if (pending > q->size)
		goto broken;
	head = load16(avail_at(q, 4 + 2 * (q->last_avail & (q->size - 1u))));
	c->head = head;
	c->nread = c->nwrite = 0;
	c->read_len = c->write_len = 0;
	if (walk(q, c, head) != 0)
		goto broken;
	q->last_avail++;
	return 1;
broken:
	q->broken = true;
	return -EPROTO;
}

/* The used ring: seldom more than one word of the map. */
static void
wrote_used(const struct virtq *q)
{
	gmem_wrote(q->mem, q->used, 6 + 8 * (size_t)q->size);
}

void
virtq_wrote(
    const struct virtq *q, const struct iovec *iov, unsigned n, uint64_t len)
{
	size_t part;
	unsigned i;

	for (i = 0; i < n && len > 0; i++) {
		part = len < iov[i].iov_len ? (size_t)len : iov[i].iov_len;
		gmem_wrote(q->mem, iov[i].iov_base, part);
		len -= part;
	}
}

void
virtq_stage(struct virtq *q, uint16_t head, uint32_t len)
{
	uint8_t *e = used_at(q, 4 + 8 * (q->used_idx & (q->size - 1u)));

	/* The driver may not rely on anything now: "Device Status Field". */
	if (q->broken)
		return;
	__atomic_store_n((uint32_t *)e, head, __ATOMIC_RELAXED);
	__atomic_store_n((uint32_t *)(e + 4), len, __ATOMIC_RELAXED);
	q->used_idx++;
}

void
virtq_publish(struct virtq *q)
{
	if (q->broken)
		return;
	__atomic_store_n(
	    (uint16_t *)used_at(q, 2), q->used_idx, __ATOMIC_RELEASE);
	wrote_used(q);
}

void
virtq_push(struct virtq *q, uint16_t head, uint32_t len)
{
	virtq_stage(q, head, len);
	virtq_publish(q);
}

bool
virtq_pending(const struct virtq *q)
{
	return !q->broken && avail_idx(q) != q->last_avail;
}

static bool
wants_interrupt(const struct virtq *q)
{
	uint16_t old = q->signalled_used, new = q->used_idx, event;

	if (q->broken || old == new)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return (load16(avail_at(q, 0)) & VRING_AVAIL_F_NO_INTERRUPT) ==
		    0;
	event = load16(used_event(q));
	/* The interval (old, new] passed the driver's event index, modulo
	 * 2^16. */
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

unsigned
virtq_unsignalled(const struct virtq *q)
{
	return wants_interrupt(q) ? (uint16_t)(q->used_idx - q->signalled_used)
				  : 0;
}

bool
virtq_want_interrupt(struct virtq *q)
{
	bool want = wants_interrupt(q);

	if (!q->broken)
		q->signalled_used = q->used_idx;
	return want;
}

void
virtq_disable_kick(struct virtq *q)
{
	/* With event indices a stale avail_event asks for no kick by itself. */
	if (q->broken || q->event_idx)
		return;
	store16(used_at(q, 0), VRING_USED_F_NO_NOTIFY);
	wrote_used(q);
}

bool
virtq_enable_kick(struct virtq *q)
{
	if (q->broken)
		return false;
	if (q->event_idx)
		store16(avail_event(q), q->last_avail);
	else
		store16(used_at(q, 0), 0);
	wrote_used(q);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return avail_idx(q) != q->last_avail;
}
