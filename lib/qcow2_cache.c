/* SPDX-License-Identifier: ISC */
/*
 * Pieces of L2 tables and refcount blocks that are in memory.
 *
 * Changed ones stay until a commit wrote them; of the others the one that was
 * not used for long makes room (second chance).
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "qcow2_impl.h"

static uint32_t
bucket(const struct qcow2 *s, unsigned layer, uint64_t off)
{
	uint64_t x = (off / 512 + layer) * 0x9e3779b97f4a7c15ULL;

	return (uint32_t)(x >> 32) & s->hash_mask;
}

static struct qc_page *
find(struct qcow2 *s, unsigned layer, uint64_t off)
{
	uint32_t i = s->hash[bucket(s, layer, off)];
	struct qc_page *p;

	for (; i != QC_NOPAGE; i = p->next) {
		p = &s->page[i];
		if (p->off == off && p->layer == layer)
			return p;
	}
	return NULL;
}

static void
forget(struct qcow2 *s, struct qc_page *p)
{
	uint32_t *at = &s->hash[bucket(s, p->layer, p->off)];

	while (&s->page[*at] != p)
		at = &s->page[*at].next;
	*at = p->next;
	p->used = false;
}

static struct qc_page *
take(struct qcow2 *s)
{
	struct qc_page *p;
	uint32_t n;

	for (n = 0; n < 2 * s->npages; n++) {
		p = &s->page[s->hand];
		s->hand = (s->hand + 1) % s->npages;
		if (!p->used)
			return p;
		if (p->dirty || p->loading || p->writing)
			continue;
		if (!p->recent) {
			forget(s, p);
			return p;
		}
		p->recent = false;
	}
	return NULL;
}

static void
loaded(struct aio_req *a, int64_t res)
{
	struct qc_page *p =
	    (struct qc_page *)((char *)a - offsetof(struct qc_page, areq));
	struct qcow2 *s = p->s;
	size_t got = res > 0 ? (size_t)res : 0;
	int error = res < 0 ? (int)res : 0;

	if (res == -EINTR || res == -EAGAIN) {
		aio_start(s->aio, a);
		return;
	}
	p->iov.iov_base = (uint8_t *)p->iov.iov_base + got;
	p->iov.iov_len -= got;
	a->off += got;
	if (got > 0 && p->iov.iov_len > 0) {
		aio_start(s->aio, a);
		return;
	}
	/* As in qcow2_io.c: beyond the end there are zeroes. */
	if (error == 0 && p->iov.iov_len > 0 && a->off < s->layer[p->layer].end)
		error = -EIO;
	if (error == 0)
		memset(p->iov.iov_base, 0, p->iov.iov_len);
	p->loading = false;
	if (error != 0)
		forget(s, p);
	qc_wake(s, &p->wait, error);
	qc_wake(s, &s->page_wait, 0);
	qc_drain(s);
}

static int
load(struct qc_op *op, unsigned layer, uint64_t off, enum qc_page_kind kind)
{
	struct qcow2 *s = op->s;
	struct qc_page *p = take(s);
	uint32_t b = bucket(s, layer, off);

	if (p == NULL) {
		/* Those that load or are written come free by themselves. */
		if (s->ndirty[0] + s->ndirty[1] > 0)
			qc_commit_kick(s);
		return qc_wait(op, &s->page_wait);
	}
	p->off = off;
	p->layer = (uint8_t)layer;
	p->kind = kind;
	p->used = p->loading = p->recent = true;
	p->len = s->layer[layer].psize;
	p->next = s->hash[b];
	s->hash[b] = (uint32_t)(p - s->page);
	p->iov = (struct iovec){ p->data, p->len };
	p->areq = (struct aio_req){
		.op = AIO_READ,
		.file = (uint8_t)layer,
		.iov = &p->iov,
		.niov = 1,
		.off = off,
		.done = loaded,
	};
	aio_start(s->aio, &p->areq);
	return qc_wait(op, &p->wait);
}

int
qc_page_get(struct qc_op *op, unsigned layer, uint64_t off,
    enum qc_page_kind kind, bool change, struct qc_page **out)
{
	struct qc_page *p = find(op->s, layer, off);

	if (p == NULL)
		return load(op, layer, off, kind);
	/* A table is either the one or the other. */
	if (p->kind != kind)
		return qc_corrupt(op->s, "L2 table is a refcount block");
	if (p->loading || (change && p->writing))
		return qc_wait(op, &p->wait);
	p->recent = true;
	*out = p;
	return QC_GO;
}

void
qc_page_dirty(struct qcow2 *s, struct qc_page *p)
{
	if (p->dirty)
		return;
	p->dirty = true;
	s->ndirty[p->kind]++;
	if (s->ndirty[0] + s->ndirty[1] > s->npages / 2)
		qc_commit_kick(s);
}
