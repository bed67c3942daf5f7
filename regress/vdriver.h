/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_VDRIVER_H
#define REGRESS_VDRIVER_H

/*
 * The driver side of a split virtqueue, for tests and benchmarks: what a
 * guest kernel does, as simply as possible.  Fields of the rings are plain
 * pointers so that a test can also write nonsense into them.
 */
#include <linux/virtio_ring.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "gmem.h"

#define VDRV_MAX 1024

struct vbuf {
	uint64_t gpa;
	uint32_t len;
	bool write; /* the device writes it */
};

struct vdrv {
	const struct gmem *mem;
	uint16_t size;
	bool event_idx;
	struct gpa desc_gpa, avail_gpa, used_gpa;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_idx; /* next to publish */
	uint16_t kicked_idx; /* avail_idx at the last check for a kick */
	uint16_t last_used;
	uint16_t free[VDRV_MAX]; /* next free descriptor, a list */
	uint16_t first_free;
	unsigned nfree;
	uint16_t chain[VDRV_MAX]; /* descriptors used by the chain of a head */
};

/* Rings in consecutive pages from gpa (page aligned, at most 32 KiB). */
static inline void
vdrv_init(struct vdrv *d, const struct gmem *mem, uint64_t gpa, uint16_t size,
    bool event_idx)
{
	unsigned i;

	memset(d, 0, sizeof(*d));
	d->mem = mem;
	d->size = size;
	d->event_idx = event_idx;
	d->desc_gpa.v = gpa;
	d->avail_gpa.v = gpa + 0x4000;
	d->used_gpa.v = gpa + 0x5000;
	d->desc = gmem_range(mem, d->desc_gpa, 16u * size);
	d->avail = gmem_range(mem, d->avail_gpa, 6u + 2u * size);
	d->used = gmem_range(mem, d->used_gpa, 6u + 8u * size);
	memset(d->desc, 0, 16u * size);
	memset(d->avail, 0, 6u + 2u * size);
	memset(d->used, 0, 6u + 8u * size);
	for (i = 0; i < size; i++)
		d->free[i] = (uint16_t)(i + 1);
	d->nfree = size;
}

static inline uint16_t *
vdrv_used_event(struct vdrv *d)
{
	return &d->avail->ring[d->size];
}

static inline uint16_t *
vdrv_avail_event(struct vdrv *d)
{
	return (uint16_t *)&d->used->ring[d->size];
}

static inline void
vdrv_desc(struct vring_desc *t, unsigned i, const struct vbuf *b, bool next,
    uint16_t nexti)
{
	t[i].addr = b->gpa;
	t[i].len = b->len;
	t[i].flags = (uint16_t)((b->write ? VRING_DESC_F_WRITE : 0) |
	    (next ? VRING_DESC_F_NEXT : 0));
	t[i].next = nexti;
}

/* Stage a chain; its head, or -1 when descriptors are short.  indirect: guest
 * address of a table to use, or 0. */
static inline int
vdrv_add(struct vdrv *d, const struct vbuf *b, unsigned n, uint64_t indirect)
{
	unsigned i, need = indirect != 0 ? 1 : n;
	uint16_t head = d->first_free, at = head, next;
	struct vring_desc *t;
	struct vbuf tb;

	if (need > d->nfree || n == 0)
		return -1;
	if (indirect != 0) {
		t = gmem_range(d->mem, (struct gpa){ indirect }, 16ul * n);
		for (i = 0; i < n; i++)
			vdrv_desc(t, i, &b[i], i + 1 < n, (uint16_t)(i + 1));
		tb = (struct vbuf){ indirect, 16 * n, false };
		d->first_free = d->free[head];
		vdrv_desc(d->desc, head, &tb, false, 0);
		d->desc[head].flags = VRING_DESC_F_INDIRECT;
	} else {
		for (i = 0; i < n; i++) {
			next = d->free[at];
			vdrv_desc(d->desc, at, &b[i], i + 1 < n, next);
			at = next;
		}
		d->first_free = at;
	}
	d->nfree -= need;
	d->chain[head] = (uint16_t)need;
	d->avail->ring[d->avail_idx++ & (d->size - 1)] = head;
	return head;
}

/* Make staged chains available.  True: the device wants a kick. */
static inline bool
vdrv_publish(struct vdrv *d)
{
	uint16_t old = d->kicked_idx, new = d->avail_idx, event;

	__atomic_store_n(&d->avail->idx, new, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	d->kicked_idx = new;
	if (!d->event_idx)
		return (__atomic_load_n(&d->used->flags, __ATOMIC_RELAXED) &
			   VRING_USED_F_NO_NOTIFY) == 0;
	event = __atomic_load_n(vdrv_avail_event(d), __ATOMIC_RELAXED);
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* Take one used element; its descriptors are free again. */
static inline bool
vdrv_take(struct vdrv *d, uint32_t *id, uint32_t *len)
{
	uint16_t idx = __atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE);
	struct vring_used_elem *e;
	uint16_t i, n;

	if (idx == d->last_used)
		return false;
	e = &d->used->ring[d->last_used++ & (d->size - 1)];
	*id = e->id;
	*len = e->len;
	if (e->id >= d->size)
		return true;
	n = d->chain[e->id];
	i = (uint16_t)e->id;
	d->nfree += n;
	/* The free list is threaded through free[] in chain order already. */
	while (--n > 0)
		i = d->free[i];
	d->free[i] = d->first_free;
	d->first_free = (uint16_t)e->id;
	return true;
}

/* Ask for an interrupt at the next used element.  True: there is one. */
static inline bool
vdrv_want_used(struct vdrv *d)
{
	if (d->event_idx)
		__atomic_store_n(
		    vdrv_used_event(d), d->last_used, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE) != d->last_used;
}

#endif
