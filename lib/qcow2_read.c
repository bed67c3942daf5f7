/* SPDX-License-Identifier: ISC */
/*
 * Reading: range by range from the first layer that has something there.
 */
#include <errno.h>

#include "qcow2_impl.h"

static void
advance(struct qc_op *op, uint64_t n)
{
	op->rd_off += n;
	op->rd_left -= n;
}

static int
was_read(struct qc_op *op)
{
	qc_cur_advance(&op->rd_cur, op->rd_got);
	advance(op, op->rd_got);
	op->step = qc_read;
	return QC_GO;
}

static int
read_data(struct qc_op *op, unsigned layer, const struct qc_extent *x)
{
	unsigned n;

	op->rd_got = qc_cur_slice(&op->rd_cur, x->len, op->iov, QC_IOV, &n);
	return qc_xfer(op, AIO_READ, layer, x->host, n, op->rd_got, was_read);
}

static int
read_compressed(struct qc_op *op, unsigned layer, const struct qc_extent *x)
{
	const uint8_t *data;
	uint64_t inside = op->rd_off & (op->s->layer[layer].csize - 1);
	int rc;

	rc = qc_inflated(op, layer, x->entry, &data);
	if (rc != QC_GO)
		return rc;
	qc_cur_copy(&op->rd_cur, data + inside, x->len);
	advance(op, x->len);
	return QC_GO;
}

/* What rd_off is, in the first layer that knows. */
static int
look_up(struct qc_op *op, unsigned *layer, struct qc_extent *x)
{
	struct qcow2 *s = op->s;
	uint64_t max = op->rd_left;
	unsigned i;
	int rc;

	for (i = 0; i < s->nlayers; i++) {
		/* Of the first, a cluster's end may be copied too. */
		if (i > 0 && op->rd_off >= s->layer[i].size)
			break;
		if (i > 0 && max > s->layer[i].size - op->rd_off)
			max = s->layer[i].size - op->rd_off;
		rc = qc_map(op, i, op->rd_off, max, x);
		if (rc != QC_GO)
			return rc;
		max = x->len;
		if (x->kind != QC_UNALLOCATED) {
			*layer = i;
			return QC_GO;
		}
	}
	*x = (struct qc_extent){ .kind = QC_ZERO, .len = max };
	*layer = 0;
	return QC_GO;
}

int
qc_read(struct qc_op *op)
{
	struct qc_extent x;
	unsigned layer;
	int rc;

	if (op->rd_left == 0)
		return qc_return(op);
	rc = look_up(op, &layer, &x);
	if (rc != QC_GO)
		return rc;
	switch (x.kind) {
	case QC_DATA:
		return read_data(op, layer, &x);
	case QC_COMPRESSED:
		return read_compressed(op, layer, &x);
	case QC_ZERO:
	case QC_UNALLOCATED:
		break;
	}
	qc_cur_zero(&op->rd_cur, x.len);
	advance(op, x.len);
	return QC_GO;
}
