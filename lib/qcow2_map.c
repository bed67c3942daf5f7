/* SPDX-License-Identifier: ISC */
/*
 * From places of the disk to places of a layer's file: "Cluster mapping".
 */
#include <errno.h>

#include "qcow2_impl.h"

uint64_t
qc_table_get(const struct qc_table *t, uint64_t index)
{
	return qcow2_get64(t->be + index * 8);
}

static unsigned
span_bits(const struct qc_layer *l)
{
	return 2 * l->h.cluster_bits - 3;
}

bool
qc_table_ok(const struct qcow2 *s, uint64_t index)
{
	uint64_t e = qc_table_get(&s->layer[0].l1, index);

	return (e & QE_COPIED) != 0 && (e & QE_OFFSET) != 0;
}

bool
qc_beneath(const struct qcow2 *s, uint64_t off)
{
	return s->nlayers > 1 && off < s->layer[1].size;
}

/* "Standard Cluster Descriptor", "Compressed Clusters Descriptor". */
void
qc_classify(const struct qc_layer *l, uint64_t e, struct qc_extent *x)
{
	x->host = e & QE_OFFSET;
	x->entry = e;
	x->copied = (e & QE_COPIED) != 0;
	if ((e & QE_COMPRESSED) != 0) {
		x->kind = QC_COMPRESSED;
		x->copied = false;
	} else if (l->h.version >= 3 && (e & QE_ZERO) != 0) {
		x->kind = QC_ZERO;
	} else {
		x->kind = x->host != 0 ? QC_DATA : QC_UNALLOCATED;
	}
}

/* Does y, n clusters after x, go on where x ends? */
static bool
goes_on(const struct qc_layer *l, const struct qc_extent *x,
    const struct qc_extent *y, uint64_t n)
{
	if (x->kind != y->kind || x->copied != y->copied)
		return false;
	if (x->kind == QC_DATA)
		return y->host == x->host + n * l->csize;
	return x->kind != QC_COMPRESSED;
}

static int
page_of(struct qc_op *op, unsigned layer, uint64_t table, uint64_t cluster,
    struct qc_page **page, unsigned *index)
{
	struct qc_layer *l = &op->s->layer[layer];
	uint64_t at = (cluster & (l->csize / 8 - 1)) * 8;

	if (table % l->csize != 0)
		return qc_corrupt(op->s, "L2 table is not aligned");
	*index = (unsigned)(at % l->psize) / 8;
	return qc_page_get(
	    op, layer, table + at - at % l->psize, QC_PAGE_MAP, false, page);
}

int
qc_map_page(
    struct qc_op *op, uint64_t cluster, struct qc_page **page, unsigned *index)
{
	struct qc_layer *l = &op->s->layer[0];
	uint64_t e;

	e = qc_table_get(&l->l1, cluster >> (l->h.cluster_bits - 3));
	return page_of(op, 0, e & QE_OFFSET, cluster, page, index);
}

static uint64_t
min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int
qc_map(struct qc_op *op, unsigned layer, uint64_t off, uint64_t max,
    struct qc_extent *x)
{
	struct qc_layer *l = &op->s->layer[layer];
	uint64_t e, n = 1, inside, index;
	struct qc_extent y;
	struct qc_page *page;
	unsigned i;
	int rc;

	*x = (struct qc_extent){ .kind = QC_DATA, .host = off, .len = max };
	if (l->format == VM_DISK_RAW)
		return QC_GO;
	index = off >> span_bits(l);
	if (index >= l->h.l1_size)
		return -EIO;
	e = qc_table_get(&l->l1, index);
	if ((e & QE_OFFSET) == 0) {
		x->kind = QC_UNALLOCATED;
		x->len = min64(max,
		    (1ULL << span_bits(l)) -
			(off & ((1ULL << span_bits(l)) - 1)));
		return QC_GO;
	}
	rc = page_of(
	    op, layer, e & QE_OFFSET, off >> l->h.cluster_bits, &page, &i);
	if (rc != QC_GO)
		return rc;
	inside = off & (l->csize - 1);
	qc_classify(l, qcow2_get64(page->data + i * 8), x);
	for (; i + n < page->len / 8 && n * l->csize - inside < max; n++) {
		qc_classify(l, qcow2_get64(page->data + (i + n) * 8), &y);
		if (!goes_on(l, x, &y, n))
			break;
	}
	if (x->kind != QC_COMPRESSED && x->host % l->csize != 0)
		return qc_corrupt(op->s, "cluster is not aligned");
	x->len = min64(max, n * l->csize - inside);
	x->copied = x->copied && (e & QE_COPIED) != 0;
	if (x->kind == QC_DATA)
		x->host += inside;
	return QC_GO;
}
