/* SPDX-License-Identifier: ISC */
/*
 * Refcounts: "Host cluster management".
 */
#include <errno.h>
#include <string.h>

#include "qcow2_impl.h"

/* The page with a cluster's count; there has to be a block. */
int
qc_refs_page(struct qc_op *op, uint64_t cluster, bool change,
    struct qc_page **page, uint64_t *index)
{
	struct qcow2 *s = op->s;
	const struct qc_layer *l = &s->layer[0];
	uint64_t block, bit, at, per;

	block = qc_table_get(&s->space.refs, cluster >> s->space.block_shift) &
	    QR_OFFSET;
	bit = (cluster & ((1ULL << s->space.block_shift) - 1))
	    << l->h.refcount_order;
	at = bit / 8 - bit / 8 % l->psize;
	per = (uint64_t)l->psize * 8 >> l->h.refcount_order;
	*index = cluster & (per - 1);
	return qc_page_get(op, 0, block + at, QC_PAGE_REFS, change, page);
}

static int
block_link(struct qc_op *op)
{
	struct qcow2 *s = op->s;
	struct qc_space *sp = &s->space;
	uint64_t i = op->rf_block >> sp->block_shift;
	int rc;

	rc = qc_commit_quiet(op);
	if (rc != QC_GO)
		return rc;
	qc_table_set(&sp->refs, i, op->rf_block * s->layer[0].csize);
	sp->plan[i] = 0;
	qc_bit_set(sp->meta, op->rf_block);
	op->holds &= ~(unsigned)QC_HOLD_BLOCK;
	sp->block_busy = false;
	qc_wake(s, &sp->block_wait, 0);
	op->step = qc_refs_add;
	return QC_GO;
}

static int
block_written(struct qc_op *op)
{
	qc_bounce_put(op);
	op->step = block_link;
	return QC_GO;
}

/* A new block, which counts itself. */
static int
block_make(struct qc_op *op, uint64_t cluster)
{
	struct qcow2 *s = op->s;
	struct qc_space *sp = &s->space;
	const struct qc_layer *l = &s->layer[0];
	int rc;

	if (sp->block_busy)
		return qc_wait(op, &sp->block_wait);
	rc = qc_bounce_get(op);
	if (rc != QC_GO)
		return rc;
	sp->block_busy = true;
	op->holds |= QC_HOLD_BLOCK;
	op->rf_block = sp->plan[cluster >> sp->block_shift];
	memset(op->bounce, 0, l->csize);
	qcow2_refcount_set(op->bounce, l->h.refcount_order,
	    op->rf_block & ((1ULL << sp->block_shift) - 1), 1);
	op->iov[0] = (struct iovec){ op->bounce, l->csize };
	return qc_xfer(op, AIO_WRITE, 0, op->rf_block * l->csize, 1, l->csize,
	    block_written);
}

int
qc_refs_add(struct qc_op *op)
{
	struct qcow2 *s = op->s;
	const struct qc_layer *l = &s->layer[0];
	uint64_t i, per = (uint64_t)l->psize * 8 >> l->h.refcount_order;
	struct qc_page *page;
	int rc;

	while (op->rf_n > 0) {
		if ((qc_table_get(&s->space.refs,
			 op->rf_cluster >> s->space.block_shift) &
			QR_OFFSET) == 0)
			return block_make(op, op->rf_cluster);
		rc = qc_refs_page(op, op->rf_cluster, true, &page, &i);
		if (rc != QC_GO)
			return rc;
		for (; op->rf_n > 0 && i < per; i++) {
			qcow2_refcount_set(
			    page->data, l->h.refcount_order, i, 1);
			op->rf_cluster++;
			op->rf_n--;
		}
		qc_page_dirty(s, page);
	}
	return qc_return(op);
}
