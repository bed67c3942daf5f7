/* SPDX-License-Identifier: ISC */
/*
 * L2 tables: new ones, and copies of those that snapshots use too.
 */
#include <errno.h>

#include "qcow2_impl.h"

void
qc_table_set(struct qc_table *t, uint64_t index, uint64_t value)
{
	uint64_t sector = index / 64;

	qcow2_put64(t->be + index * 8, value);
	if (!qc_bit(t->dirty, sector)) {
		qc_bit_set(t->dirty, sector);
		t->ndirty++;
	}
}

static int
link_table(struct qc_op *op)
{
	struct qcow2 *s = op->s;
	struct qc_table *l1 = &s->layer[0].l1;
	uint64_t old = qc_table_get(l1, op->tb_index) & QE_OFFSET;
	int rc;

	rc = qc_commit_quiet(op);
	if (rc == QC_GO && old != 0)
		rc = qc_reap_room(op, 1);
	if (rc != QC_GO)
		return rc;
	qc_table_set(
	    l1, op->tb_index, op->tb_host * s->layer[0].csize | QE_COPIED);
	qc_bit_set(s->space.meta, op->tb_host);
	if (old != 0)
		qc_reap_put(s, old / s->layer[0].csize);
	op->tb_made = false;
	op->holds &= ~(unsigned)QC_HOLD_TABLE;
	s->table_busy = false;
	qc_wake(s, &s->table_wait, 0);
	return qc_return(op);
}

static int
written(struct qc_op *op)
{
	qc_bounce_put(op);
	op->step = link_table;
	return QC_GO;
}

static int
copy_was_read(struct qc_op *op)
{
	uint64_t csize = op->s->layer[0].csize;

	op->iov[0] = (struct iovec){ op->bounce, csize };
	return qc_xfer(
	    op, AIO_WRITE, 0, op->tb_host * csize, 1, csize, written);
}

static int
fill(struct qc_op *op)
{
	struct qcow2 *s = op->s;
	uint64_t csize = s->layer[0].csize, old;
	unsigned n;
	int rc;

	op->tb_made = true;
	old = qc_table_get(&s->layer[0].l1, op->tb_index) & QE_OFFSET;
	if (old == 0) {
		n = qc_zeroes(op->iov, QC_IOV, &csize);
		return qc_xfer(
		    op, AIO_WRITE, 0, op->tb_host * csize, n, csize, written);
	}
	if (old % csize != 0)
		return qc_corrupt(s, "L2 table is not aligned");
	rc = qc_bounce_get(op);
	if (rc != QC_GO)
		return rc;
	op->iov[0] = (struct iovec){ op->bounce, csize };
	return qc_xfer(op, AIO_READ, 0, old, 1, csize, copy_was_read);
}

int
qc_table_make(struct qc_op *op)
{
	struct qcow2 *s = op->s;
	uint64_t got;
	bool clean;
	int rc;

	if (qc_table_ok(s, op->tb_index))
		return qc_return(op);
	if (s->table_busy)
		return qc_wait_apart(op, &s->table_wait);
	rc = qc_alloc(s, 1, &op->tb_host, &got, &clean);
	if (rc != 0)
		return rc;
	s->table_busy = true;
	op->holds |= QC_HOLD_TABLE;
	op->rf_cluster = op->tb_host;
	op->rf_n = 1;
	return qc_call(op, qc_refs_add, fill);
}
