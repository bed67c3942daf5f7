/* SPDX-License-Identifier: ISC */
/*
 * Opening a writable image: which clusters are used, which are metadata.
 *
 * An image whose metadata overlap or have no refcount is refused: allocating
 * would overwrite them.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "qcow2_check.h"
#include "qcow2_impl.h"
#include "qcow2_sync.h"

/* 2 maps of 256 MiB, of which only what is used takes memory. */
#define CLUSTERS_MAX (1ULL << 31)
/* Clusters beside data and tables, such as those that wait to be freed. */
#define SLACK (2 * QC_PENDING)

struct load {
	struct qcow2 *s;
	struct why *why;
};

static struct qc_layer *
top(struct load *ld)
{
	return &ld->s->layer[0];
}

/* Clusters that the file may come to have. */
static uint64_t
most_clusters(const struct qc_layer *l)
{
	uint64_t n, data = l->h.size / l->csize + 1, per = l->csize / 8;

	n = l->h.file_size / l->csize + 1 + data + data / per + l->h.l1_size;
	/* Refcounts: 1 to 64 bits a cluster. */
	n += (n << l->h.refcount_order) / 8 / l->csize + 1 + SLACK;
	return n < CLUSTERS_MAX ? n : CLUSTERS_MAX;
}

static int
mark(struct load *ld, const char *what, uint64_t off, uint64_t len)
{
	struct qc_space *sp = &ld->s->space;
	uint64_t csize = top(ld)->csize, c;

	for (c = off / csize; c < (off + len + csize - 1) / csize; c++) {
		if (c >= sp->limit || !qc_bit(sp->used, c))
			return why_set(ld->why, -EUCLEAN,
			    "image is corrupt: %s has a refcount of 0", what);
		if (qc_bit(sp->meta, c))
			return why_set(ld->why, -EUCLEAN,
			    "image is corrupt: %s overlaps other metadata",
			    what);
		qc_bit_set(sp->meta, c);
	}
	return 0;
}

static int
read_table(struct load *ld, struct qc_table *t, const char *what)
{
	int error;

	t->be = calloc(1, (size_t)t->bytes + 8);
	t->dirty = calloc((size_t)(t->bytes / 512 / 64 + 1), sizeof(*t->dirty));
	if (t->be == NULL || t->dirty == NULL)
		return why_set(ld->why, -ENOMEM, "out of memory");
	error =
	    qcow2_read_at(ld->s->disk->fd[0], t->be, (size_t)t->bytes, t->off);
	if (error != 0)
		return why_set(ld->why, error, "cannot read the %s", what);
	return 0;
}

static int
read_block(struct load *ld, uint64_t i, uint64_t off, uint8_t *buf)
{
	struct qc_space *sp = &ld->s->space;
	const struct qc_layer *l = top(ld);
	uint64_t first = i << sp->block_shift, n = 1ULL << sp->block_shift, k;
	int error;

	if (off % l->csize != 0 || off < l->csize ||
	    off > l->h.file_size - l->csize || l->h.file_size < l->csize)
		return why_set(ld->why, -EUCLEAN,
		    "image is corrupt: refcount block %llu is invalid",
		    (unsigned long long)i);
	error = qcow2_read_at(ld->s->disk->fd[0], buf, l->csize, off);
	if (error != 0)
		return why_set(ld->why, error, "cannot read a refcount block");
	for (k = 0; k < n && first + k < sp->limit; k++)
		if (qcow2_refcount_get(buf, l->h.refcount_order, k) != 0)
			qc_bit_set(sp->used, first + k);
	return 0;
}

static int
read_blocks(struct load *ld)
{
	struct qc_space *sp = &ld->s->space;
	uint64_t n = sp->refs.bytes / 8, i, off;
	uint8_t *buf = malloc(top(ld)->csize);
	int error = 0;

	if (buf == NULL)
		return why_set(ld->why, -ENOMEM, "out of memory");
	for (i = 0; i < n && error == 0; i++) {
		off = qc_table_get(&sp->refs, i) & QR_OFFSET;
		if (off != 0)
			error = read_block(ld, i, off, buf);
	}
	free(buf);
	for (i = 0; i < n && error == 0; i++) {
		off = qc_table_get(&sp->refs, i) & QR_OFFSET;
		if (off != 0)
			error = mark(ld, "refcount block", off, top(ld)->csize);
	}
	return error;
}

static int
mark_snapshot(void *arg, const struct qcow2_snapshot *sn)
{
	return mark(arg, "L1 table of a snapshot", sn->l1_offset,
	    (uint64_t)sn->l1_size * 8);
}

static int
mark_tables(struct load *ld)
{
	struct qc_layer *l = top(ld);
	struct qc_space *sp = &ld->s->space;
	uint64_t i, off, bytes = 0;
	int error;

	if ((error = mark(ld, "header", 0, l->csize)) != 0 ||
	    (error = mark(
		 ld, "refcount table", sp->refs.off, sp->refs.bytes)) != 0 ||
	    (error = mark(ld, "L1 table", l->l1.off, l->l1.bytes)) != 0)
		return error;
	error = qcow2_snapshots(
	    ld->s->disk->fd[0], &l->h, mark_snapshot, ld, &bytes, ld->why);
	if (error == 0 && bytes > 0)
		error =
		    mark(ld, "snapshot table", l->h.snapshots_offset, bytes);
	for (i = 0; i < l->h.l1_size && error == 0; i++) {
		off = qc_table_get(&l->l1, i) & QE_OFFSET;
		if (off % l->csize != 0)
			error = why_set(ld->why, -EUCLEAN,
			    "image is corrupt: L2 table is not aligned");
		else if (off != 0)
			error = mark(ld, "L2 table", off, l->csize);
	}
	return error;
}

static int
make_maps(struct load *ld)
{
	struct qc_space *sp = &ld->s->space;
	struct qc_layer *l = top(ld);
	uint64_t most = most_clusters(l), n;

	sp->block_shift = l->h.cluster_bits + 3 - l->h.refcount_order;
	n = sp->refs.bytes / 8;
	sp->limit = most;
	if (n << sp->block_shift < most)
		sp->limit = n << sp->block_shift;
	if (l->h.file_size / l->csize >= CLUSTERS_MAX)
		return why_set(ld->why, -EFBIG, "image file is too large");
	sp->used = calloc((size_t)(most / 64 + 1), sizeof(*sp->used));
	sp->meta = calloc((size_t)(most / 64 + 1), sizeof(*sp->meta));
	sp->plan = calloc((size_t)n + 1, sizeof(*sp->plan));
	if (sp->used == NULL || sp->meta == NULL || sp->plan == NULL)
		return why_set(ld->why, -ENOMEM, "out of memory");
	return 0;
}

/*
 * Somebody who counts late, "lazy refcounts", did not close it: tables are
 * right, counts may be too small.
 */
static int
count_again(struct qcow2 *s, struct why *why)
{
	struct qc_layer *l = &s->layer[0];
	struct qcow2_check c = {
		.fd = s->disk->fd[0],
		.h = &l->h,
		.repair = true,
	};
	struct qcow2_report r;
	int error;

	error = qcow2_check(&c, &r, why);
	if (error != 0)
		return error;
	if (r.corruptions > 0)
		return why_set(why, -EUCLEAN,
		    "image was not closed, and has errors that cannot be "
		    "repaired");
	l->h.incompatible &= ~QCOW2_I_DIRTY;
	return 0;
}

int
qc_load(struct qcow2 *s, struct why *why)
{
	struct load ld = { s, why };
	struct qc_space *sp = &s->space;
	struct qc_layer *l = &s->layer[0];
	int error;

	if ((error = qcow2_header_writable(&l->h, why)) != 0)
		return error;
	if ((l->h.incompatible & QCOW2_I_DIRTY) != 0)
		error = count_again(s, why);
	if (error != 0)
		return error;
	qc_wait_init(&sp->block_wait);
	error = qc_grow_refs(s->disk->fd[0], &l->h, most_clusters(l), why);
	if (error != 0)
		return error;
	if (l->h.file_size > l->end)
		l->end = l->h.file_size;
	sp->refs.off = l->h.refs_offset;
	sp->refs.bytes = (uint64_t)l->h.refs_clusters << l->h.cluster_bits;
	if ((error = make_maps(&ld)) != 0 ||
	    (error = read_table(&ld, &sp->refs, "refcount table")) != 0 ||
	    (error = read_blocks(&ld)) != 0 || (error = mark_tables(&ld)) != 0)
		return error;
	sp->file = !l->h.blockdev;
	sp->virgin = (l->h.file_size + l->csize - 1) / l->csize;
	return qcow2_autoclear(s->disk->fd[0], &l->h, why);
}
