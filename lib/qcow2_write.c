/* SPDX-License-Identifier: ISC */
/*
 * Writing: in place where a cluster is ours alone, else into new clusters
 * together with what is to be kept of the old ones.
 *
 * Two requests never allocate for the same cluster of the disk at a time, and
 * whatever else changes its L2 entry waits as well (qc_alloc_conflict()).
 */
#include <errno.h>
#include <string.h>

#include "qcow2_impl.h"

struct qc_op *
qc_alloc_conflict(const struct qcow2 *s, uint64_t first, uint64_t n)
{
	struct qc_op *o;

	for (o = s->allocs; o != NULL; o = o->al_next)
		if (first < o->al_first + o->al_n && o->al_first < first + n)
			return o;
	return NULL;
}

static void
alloc_end(struct qc_op *op)
{
	struct qcow2 *s = op->s;
	struct qc_op **at;

	if (!op->al_on)
		return;
	for (at = &s->allocs; *at != op; at = &(*at)->al_next)
		;
	*at = op->al_next;
	op->al_on = false;
	qc_wake(s, &op->al_wait, 0);
}

/* The request failed: what it has got is not needed. */
void
qc_write_abort(struct qc_op *op)
{
	struct qc_reap *r = &op->s->reap;
	uint64_t i;

	if (op->al_on && op->al_counted)
		for (i = 0; i < op->al_n; i++)
			if (r->tail - r->head < QC_PENDING)
				qc_reap_put(op->s, op->al_host + i);
	alloc_end(op);
	if (op->tb_made && r->tail - r->head < QC_PENDING)
		qc_reap_put(op->s, op->tb_host);
	op->tb_made = false;
}

static void
advance(struct qc_op *op, uint64_t n)
{
	if (!op->wr_zero)
		qc_cur_advance(&op->wr_cur, n);
	op->wr_off += n;
	op->wr_left -= n;
}

/* Parts of what is to be written, at most max; *len becomes their length. */
static unsigned
source(struct qc_op *op, struct iovec *v, unsigned max, uint64_t *len)
{
	unsigned n;

	if (op->wr_zero)
		return qc_zeroes(v, max, len);
	*len = qc_cur_slice(&op->wr_cur, *len, v, max, &n);
	return n;
}

static int
was_written(struct qc_op *op)
{
	advance(op, op->wr_len);
	op->step = qc_write;
	return QC_GO;
}

/* Nothing but the guest's own clusters, whatever the L2 entry says. */
static int
check_place(struct qcow2 *s, uint64_t host, uint64_t len)
{
	uint64_t csize = s->layer[0].csize, c;

	for (c = host / csize; c <= (host + len - 1) / csize; c++)
		if (c >= s->space.limit || !qc_bit(s->space.used, c) ||
		    qc_bit(s->space.meta, c))
			return qc_corrupt(
			    s, "L2 entry leads to no cluster of data");
	return 0;
}

static int
write_in_place(struct qc_op *op, const struct qc_extent *x)
{
	unsigned n;
	int error;

	op->wr_len = x->len;
	n = source(op, op->iov, QC_IOV, &op->wr_len);
	error = check_place(op->s, x->host, op->wr_len);
	if (error != 0)
		return error;
	return qc_xfer(op, AIO_WRITE, 0, x->host, n, op->wr_len, was_written);
}

static bool
unchanged(const struct qc_layer *l, uint64_t entry)
{
	struct qc_extent x;

	qc_classify(l, entry, &x);
	return x.kind != QC_DATA || !x.copied;
}

static int
link_data(struct qc_op *op)
{
	struct qcow2 *s = op->s;
	struct qc_layer *l = &s->layer[0];
	struct qc_page *page;
	unsigned index, i;
	uint64_t old;
	int rc;

	qc_bounce_put(op);
	rc = qc_commit_quiet(op);
	if (rc == QC_GO)
		rc = qc_reap_room(op, (unsigned)op->al_n + 3);
	if (rc == QC_GO)
		rc = qc_map_page(op, op->al_first, &page, &index);
	if (rc != QC_GO)
		return rc;
	for (i = 0; i < op->al_n; i++) {
		old = qcow2_get64(page->data + (index + i) * 8);
		if (!unchanged(l, old))
			return qc_corrupt(s, "two L1 entries, one L2 table");
		qcow2_put64(page->data + (index + i) * 8,
		    (op->al_host + i) * l->csize | QE_COPIED);
		qc_reap_entry(s, old);
	}
	qc_page_dirty(s, page);
	alloc_end(op);
	op->step = was_written;
	return QC_GO;
}

static uint64_t
head_of(const struct qc_op *op)
{
	return op->wr_off - op->al_first * op->s->layer[0].csize;
}

static uint64_t
tail_of(const struct qc_op *op)
{
	return op->al_n * op->s->layer[0].csize - head_of(op) - op->wr_len;
}

/* Copied head, new data, copied tail. */
static int
write_data(struct qc_op *op)
{
	struct qcow2 *s = op->s;
	uint64_t csize = s->layer[0].csize, head = head_of(op);
	uint64_t tail = tail_of(op), len = op->wr_len;
	uint64_t host = op->al_host * csize;
	unsigned n = 0;

	if (op->bounce == NULL) {
		/* Around it the file reads as zeroes. */
		host += head;
		head = tail = 0;
	}
	if (head > 0)
		op->iov[n++] = (struct iovec){ op->bounce, head };
	n += source(op, op->iov + n, QC_IOV - 2, &len);
	if (tail > 0)
		op->iov[n++] =
		    (struct iovec){ op->bounce + csize - tail, tail };
	return qc_xfer(op, AIO_WRITE, 0, host, n, head + len + tail, link_data);
}

static int
read_part(
    struct qc_op *op, uint64_t off, uint8_t *to, uint64_t len, qc_next then)
{
	op->rd_one = (struct iovec){ to, len };
	op->rd_cur = (struct qc_cur){ &op->rd_one, 0 };
	op->rd_off = off;
	op->rd_left = len;
	return qc_call(op, qc_read, then);
}

static int
read_tail(struct qc_op *op)
{
	uint64_t csize = op->s->layer[0].csize, tail = tail_of(op);

	if (tail == 0) {
		op->step = write_data;
		return QC_GO;
	}
	return read_part(op, op->wr_off + op->wr_len, op->bounce + csize - tail,
	    tail, write_data);
}

/* What is to be kept of the old clusters. */
static int
read_head(struct qc_op *op)
{
	uint64_t head = head_of(op), tail = tail_of(op);
	int rc;

	op->al_counted = true;
	op->step = write_data;
	if (head + tail == 0 || (op->wr_blank && op->al_clean))
		return QC_GO;
	op->step = read_head;
	rc = qc_bounce_get(op);
	if (rc != QC_GO)
		return rc;
	if (op->wr_blank) {
		memset(op->bounce, 0, op->s->layer[0].csize);
		op->step = write_data;
		return QC_GO;
	}
	if (head > 0)
		return read_part(op, op->al_first * op->s->layer[0].csize,
		    op->bounce, head, read_tail);
	op->step = read_tail;
	return QC_GO;
}

/* How much of x one allocation takes: wr_len bytes in al_n clusters. */
static void
size_up(struct qc_op *op, const struct qc_extent *x)
{
	const struct qc_layer *l = &op->s->layer[0];
	uint64_t csize = l->csize, head = op->wr_off & (csize - 1);
	uint64_t per = l->psize / 8, most;

	op->al_first = op->wr_off >> l->h.cluster_bits;
	/* One page of the L2 table, so that one step links them all. */
	most = per - (op->al_first & (per - 1));
	if (most > QC_RUN)
		most = QC_RUN;
	op->wr_len = x->len;
	if (op->wr_len > most * csize - head)
		op->wr_len = most * csize - head;
	source(op, op->iov, QC_IOV - 2, &op->wr_len);
	op->al_n = (head + op->wr_len + csize - 1) / csize;
	/* There is one buffer: not for a head and another cluster's tail. */
	if (op->al_n > 1 && head > 0 && (head + op->wr_len) % csize != 0) {
		op->al_n--;
		op->wr_len = op->al_n * csize - head;
	}
}

static int
allocate(struct qc_op *op, const struct qc_extent *x)
{
	struct qcow2 *s = op->s;
	struct qc_op *other;
	uint64_t got, most;
	int rc;

	op->tb_index = op->wr_off >> (2 * s->layer[0].h.cluster_bits - 3);
	if (!qc_table_ok(s, op->tb_index))
		return qc_call(op, qc_table_make, qc_write);
	size_up(op, x);
	other = qc_alloc_conflict(s, op->al_first, op->al_n);
	if (other != NULL)
		return qc_wait_apart(op, &other->al_wait);
	rc = qc_alloc(s, op->al_n, &op->al_host, &got, &op->al_clean);
	if (rc != 0)
		return rc;
	if (got < op->al_n) {
		op->al_n = got;
		most = got * s->layer[0].csize - head_of(op);
		if (op->wr_len > most)
			op->wr_len = most;
	}
	op->wr_blank = x->kind == QC_ZERO ||
	    (x->kind == QC_UNALLOCATED &&
		!qc_beneath(s, op->al_first * s->layer[0].csize));
	qc_wait_init(&op->al_wait);
	op->al_next = s->allocs;
	s->allocs = op;
	op->al_on = true;
	op->al_counted = false;
	op->rf_cluster = op->al_host;
	op->rf_n = op->al_n;
	return qc_call(op, qc_refs_add, read_head);
}

int
qc_write(struct qc_op *op)
{
	struct qc_extent x;
	int rc;

	if (op->wr_left == 0)
		return qc_return(op);
	rc = qc_map(op, 0, op->wr_off, op->wr_left, &x);
	if (rc != QC_GO)
		return rc;
	if (op->wr_zero &&
	    (x.kind == QC_ZERO ||
		(x.kind == QC_UNALLOCATED && !qc_beneath(op->s, op->wr_off)))) {
		/* An allocation for it may be about to change that. */
		struct qc_op *other =
		    qc_alloc_conflict(op->s, op->wr_off / op->s->layer[0].csize,
			x.len / op->s->layer[0].csize + 2);

		if (other != NULL)
			return qc_wait_apart(op, &other->al_wait);
		advance(op, x.len);
		return QC_GO;
	}
	if (x.kind == QC_DATA && x.copied)
		return write_in_place(op, &x);
	return allocate(op, &x);
}
