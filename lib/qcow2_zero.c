/* SPDX-License-Identifier: ISC */
/*
 * Discarding and zeroing: whole clusters by their L2 entries, parts of
 * clusters by writing zeroes.
 *
 * A discarded cluster reads as zeroes where version 3 can say so.  Version 2
 * cannot: with a backing file, whose old content would appear again, discard
 * does nothing and zeroes are written.
 */
#include <errno.h>

#include "qcow2_impl.h"

static void
advance(struct qc_op *op, uint64_t n)
{
	op->ze_off += n;
	op->ze_left -= n;
}

static int
write_zeroes(struct qc_op *op, uint64_t n)
{
	op->wr_off = op->ze_off;
	op->wr_left = n;
	op->wr_zero = true;
	advance(op, n);
	return qc_call(op, qc_write, qc_zero);
}

/* The new entry for an old one; false: it stays as it is. */
static bool
new_entry(struct qc_op *op, uint64_t cluster, uint64_t old, uint64_t *new)
{
	const struct qc_layer *l = &op->s->layer[0];
	bool beneath = qc_beneath(op->s, cluster * l->csize);
	bool v3 = l->h.version >= 3;
	struct qc_extent x;

	qc_classify(l, old, &x);
	*new = v3 ? QE_ZERO : 0;
	if (x.kind == QC_UNALLOCATED)
		return v3 && beneath && op->req->op != DISK_DISCARD;
	if (op->req->op == DISK_ZERO) {
		if (x.kind == QC_ZERO)
			return false;
		if (x.kind == QC_DATA && x.copied)
			*new = old | QE_ZERO;
	}
	return *new != old;
}

static bool
keeps(uint64_t old, uint64_t new)
{
	return (new &QE_OFFSET) != 0 && (old & QE_OFFSET) == (new &QE_OFFSET);
}

/* n clusters, all in one page. */
static int
set_entries(struct qc_op *op, uint64_t first, uint64_t n)
{
	struct qcow2 *s = op->s;
	struct qc_page *page;
	bool dirty = false;
	uint64_t old, new, i;
	unsigned index;
	uint8_t *e;
	int rc;

	rc = qc_commit_quiet(op);
	/* A compressed cluster may share several. */
	if (rc == QC_GO)
		rc = qc_reap_room(op, 3 * (unsigned)n);
	if (rc == QC_GO)
		rc = qc_map_page(op, first, &page, &index);
	if (rc != QC_GO)
		return rc;
	for (i = 0; i < n; i++) {
		e = page->data + (index + i) * 8;
		old = qcow2_get64(e);
		if (!new_entry(op, first + i, old, &new))
			continue;
		qcow2_put64(e, new);
		dirty = true;
		if (!keeps(old, new))
			qc_reap_entry(s, old);
	}
	if (dirty)
		qc_page_dirty(s, page);
	return QC_GO;
}

/* There is no L2 table: everything is as in the layers beneath. */
static bool
nothing_there(struct qc_op *op, uint64_t first)
{
	const struct qc_layer *l = &op->s->layer[0];
	uint64_t e;

	e = qc_table_get(&l->l1, first >> (l->h.cluster_bits - 3));
	return (e & QE_OFFSET) == 0 &&
	    (op->req->op == DISK_DISCARD ||
		!qc_beneath(op->s, first * l->csize));
}

static int
whole(struct qc_op *op, uint64_t n)
{
	struct qcow2 *s = op->s;
	const struct qc_layer *l = &s->layer[0];
	uint64_t first = op->ze_off >> l->h.cluster_bits, most, len;
	uint64_t per = l->psize / 8;
	struct qc_op *other;
	int rc;

	most = per - (first & (per - 1));
	if (n > most)
		n = most;
	len = n * l->csize;
	if (len > op->ze_left)
		len = op->ze_left;
	if (l->h.version < 3 &&
	    (op->req->op == DISK_ZERO || qc_beneath(s, op->ze_off))) {
		if (op->req->op != DISK_DISCARD)
			return write_zeroes(op, len);
		advance(op, len);
		return QC_GO;
	}
	other = qc_alloc_conflict(s, first, n);
	if (other != NULL)
		return qc_wait_apart(op, &other->al_wait);
	if (!nothing_there(op, first)) {
		op->tb_index = first >> (l->h.cluster_bits - 3);
		if (!qc_table_ok(s, op->tb_index))
			return qc_call(op, qc_table_make, qc_zero);
		rc = set_entries(op, first, n);
		if (rc != QC_GO)
			return rc;
	}
	advance(op, len);
	return QC_GO;
}

int
qc_zero(struct qc_op *op)
{
	struct qcow2 *s = op->s;
	uint64_t csize = s->layer[0].csize, n;
	uint64_t inside = op->ze_off & (csize - 1);

	if (op->ze_left == 0)
		return qc_return(op);
	n = op->ze_left >> s->layer[0].h.cluster_bits;
	/* The disk may end within its last cluster. */
	if (op->ze_off + op->ze_left == s->disk->size &&
	    op->ze_left % csize != 0)
		n++;
	if (inside == 0 && n > 0)
		return whole(op, n);
	n = csize - inside;
	if (n > op->ze_left)
		n = op->ze_left;
	if (op->req->op != DISK_DISCARD)
		return write_zeroes(op, n);
	advance(op, n);
	return QC_GO;
}
