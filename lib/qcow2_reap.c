/* SPDX-License-Identifier: ISC */
/*
 * Clusters that nothing refers to any more: invariant 3 of qcow2_impl.h.
 *
 * They are in a ring: from head to limit those that are being freed, to
 * committed those whose unlinking is on the disk, to tail the others.  Before
 * a batch is freed, requests that began before its commit have to end: each
 * counts in one of two epochs, and a batch begins by changing the epoch.
 */
#include <errno.h>
#include <stdlib.h>

#include "qcow2_impl.h"

#define SLOT(r, i) ((r)->ring[(i) % QC_PENDING])

static qc_step next;

int
qc_reap_init(struct qcow2 *s)
{
	struct qc_reap *r = &s->reap;

	qc_wait_init(&r->space);
	r->ring = calloc(QC_PENDING, sizeof(*r->ring));
	if (r->ring == NULL)
		return -ENOMEM;
	r->idle = true;
	return 0;
}

bool
qc_reap_quiet(const struct qcow2 *s)
{
	return s->reap.head == s->reap.committed;
}

int
qc_reap_room(struct qc_op *op, unsigned n)
{
	struct qcow2 *s = op->s;
	struct qc_reap *r = &s->reap;

	if (r->tail - r->head + n <= QC_PENDING)
		return QC_GO;
	qc_commit_kick(s);
	return qc_wait_apart(op, &r->space);
}

void
qc_reap_put(struct qcow2 *s, uint64_t cluster)
{
	struct qc_reap *r = &s->reap;

	SLOT(r, r->tail) = cluster;
	r->tail++;
	if (r->tail - r->head > QC_PENDING / 2)
		qc_commit_kick(s);
}

void
qc_reap_entry(struct qcow2 *s, uint64_t entry)
{
	const struct qc_layer *l = &s->layer[0];
	struct qc_extent x;
	uint64_t off, len, c;

	qc_classify(l, entry, &x);
	if (x.kind == QC_COMPRESSED) {
		qcow2_compressed(l->h.cluster_bits, entry, &off, &len);
		for (c = off / l->csize; c <= (off + len - 1) / l->csize; c++)
			qc_reap_put(s, c);
	} else if (x.kind != QC_UNALLOCATED && x.host != 0) {
		qc_reap_put(s, x.host / l->csize);
	}
}

static int
forget(struct qc_op *op)
{
	struct qc_reap *r = &op->s->reap;

	r->head += r->run;
	r->run = 0;
	qc_wake(op->s, &r->space, 0);
	op->step = next;
	return QC_GO;
}

/* The run's counts, all 1 and in one page, become 0. */
static int
clear(struct qc_op *op)
{
	struct qcow2 *s = op->s;
	struct qc_reap *r = &s->reap;
	uint64_t c = SLOT(r, r->head), i, n;
	struct qc_page *page;
	int rc;

	rc = qc_refs_page(op, c, true, &page, &i);
	if (rc != QC_GO)
		return rc;
	for (n = 0; n < r->run; n++) {
		qcow2_refcount_set(
		    page->data, s->layer[0].h.refcount_order, i + n, 0);
		qc_free(s, c + n);
	}
	qc_page_dirty(s, page);
	return forget(op);
}

static void
size_up(struct qcow2 *s, const struct qc_page *page, uint64_t i)
{
	struct qc_reap *r = &s->reap;
	unsigned order = s->layer[0].h.refcount_order;
	uint64_t c = SLOT(r, r->head);
	uint64_t per = (uint64_t)page->len * 8 >> order;

	r->run = 1;
	while (r->head + r->run < r->limit && i + r->run < per &&
	    SLOT(r, r->head + r->run) == c + r->run &&
	    qcow2_refcount_get(page->data, order, i + r->run) == 1)
		r->run++;
}

static bool
sane(const struct qcow2 *s, uint64_t c)
{
	const struct qc_space *sp = &s->space;

	return c < sp->limit && qc_bit(sp->used, c) &&
	    (qc_table_get(&sp->refs, c >> sp->block_shift) & QR_OFFSET) != 0;
}

static int
next(struct qc_op *op)
{
	struct qcow2 *s = op->s;
	struct qc_reap *r = &s->reap;
	unsigned order = s->layer[0].h.refcount_order;
	uint64_t csize = s->layer[0].csize, c, v, i;
	struct qc_page *page;
	int rc;

	if (r->head == r->limit) {
		r->idle = true;
		qc_reap_kick(s);
		return QC_WAIT;
	}
	c = SLOT(r, r->head);
	r->run = 1;
	if (!sane(s, c)) {
		qc_corrupt(s, "cluster in use has a refcount of 0");
		return forget(op);
	}
	rc = qc_refs_page(op, c, true, &page, &i);
	if (rc != QC_GO)
		return rc;
	v = qcow2_refcount_get(page->data, order, i);
	if (v == 0) {
		qc_corrupt(s, "cluster in use has a refcount of 0");
		return forget(op);
	}
	if (v > 1) {
		qcow2_refcount_set(page->data, order, i, v - 1);
		qc_page_dirty(s, page);
		return forget(op);
	}
	size_up(s, page, i);
	op->step = clear;
	if (!r->can_punch)
		return QC_GO;
	/* Before it can be allocated again. */
	return qc_xfer(op, AIO_PUNCH, 0, c * csize, 0, r->run * csize, clear);
}

/* Something may have become possible. */
void
qc_reap_kick(struct qcow2 *s)
{
	struct qc_reap *r = &s->reap;

	if (r->idle && r->head < r->committed) {
		r->idle = false;
		r->grace = true;
		r->limit = r->committed;
		r->epoch ^= 1;
	}
	if (r->grace && r->count[r->epoch ^ 1] == 0) {
		r->grace = false;
		r->op->step = next;
		r->run = 0;
		r->op->error = 0;
		qc_wait(r->op, &s->ready);
	}
}
