/* SPDX-License-Identifier: ISC */
/*
 * A larger refcount table, so that allocation never needs one: "Refcount
 * table".  Done when an image is opened, in an order that a crash does not
 * hurt: new clusters at the end of the file, their refcounts, sync, the
 * header, sync, and last the old table's clusters are free.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "qcow2_impl.h"
#include "qcow2_sync.h"

struct grow {
	int fd;
	struct qcow2_header *h;
	uint64_t csize;
	unsigned shift; /* counts in a block */
	uint8_t *table; /* the new one */
	uint64_t n, old_n; /* entries */
	uint8_t *block; /* a buffer */
	uint64_t first; /* cluster of the new table */
	uint64_t end; /* cluster behind all that is new */
};

static int
sync_file(const struct grow *g)
{
	return fdatasync(g->fd) == -1 ? -errno : 0;
}

/* Counts of [from, to), which lie in one block, become v. */
static int
set_counts(struct grow *g, uint64_t from, uint64_t to, uint64_t v)
{
	uint64_t i = from >> g->shift, c, off, mask = (1ULL << g->shift) - 1;
	int error;

	off = qcow2_get64(g->table + i * 8) & QR_OFFSET;
	error = qcow2_read_at(g->fd, g->block, g->csize, off);
	if (error != 0)
		return error;
	for (c = from; c < to; c++)
		qcow2_refcount_set(g->block, g->h->refcount_order, c & mask, v);
	return qcow2_write_at(g->fd, g->block, g->csize, off);
}

static int
set_all_counts(struct grow *g, uint64_t from, uint64_t to, uint64_t v)
{
	uint64_t next;
	int error = 0;

	for (; from < to && error == 0; from = next) {
		next = ((from >> g->shift) + 1) << g->shift;
		if (next > to)
			next = to;
		error = set_counts(g, from, next, v);
	}
	return error;
}

/*
 * Where nothing is: behind the file, and behind all that has a count, which a
 * file that was cut off may lack.
 */
static int
find_end(struct grow *g)
{
	uint64_t i, k, off, per = 1ULL << g->shift;
	int error;

	g->first = (g->h->file_size + g->csize - 1) / g->csize;
	for (i = g->first >> g->shift; i < g->old_n; i++) {
		off = qcow2_get64(g->table + i * 8) & QR_OFFSET;
		if (off == 0)
			continue;
		if (off % g->csize != 0)
			return -EUCLEAN;
		error = qcow2_read_at(g->fd, g->block, g->csize, off);
		if (error != 0)
			return error;
		for (k = 0; k < per; k++)
			if (qcow2_refcount_get(
				g->block, g->h->refcount_order, k) != 0 &&
			    (i << g->shift) + k >= g->first)
				g->first = (i << g->shift) + k + 1;
	}
	return 0;
}

/* New blocks behind the new table, for all clusters that are new. */
static int
add_blocks(struct grow *g)
{
	uint64_t i, tclusters = g->n * 8 / g->csize;
	uint8_t *zero = calloc(1, g->csize);
	int error = 0;

	if (zero == NULL)
		return -ENOMEM;
	g->end = g->first + tclusters;
	for (i = g->first >> g->shift;
	     error == 0 && i <= (g->end - 1) >> g->shift; i++) {
		if (i >= g->n)
			error = -EFBIG;
		else if ((qcow2_get64(g->table + i * 8) & QR_OFFSET) == 0) {
			qcow2_put64(g->table + i * 8, g->end * g->csize);
			error = qcow2_write_at(
			    g->fd, zero, g->csize, g->end * g->csize);
			g->end++;
		}
	}
	free(zero);
	if (error == 0)
		error = set_all_counts(g, g->first, g->end, 1);
	return error;
}

/* Both fields at once, in the header's first sector. */
static int
switch_over(struct grow *g)
{
	uint8_t field[12];
	uint64_t off = g->first * g->csize;
	uint32_t clusters = (uint32_t)(g->n * 8 / g->csize);
	int error;

	qcow2_put64(field, off);
	qcow2_put32(field + 8, clusters);
	error = qcow2_write_at(g->fd, field, sizeof(field), QH_REFS_OFFSET);
	if (error == 0)
		error = sync_file(g);
	if (error != 0)
		return error;
	error = set_all_counts(g, g->h->refs_offset / g->csize,
	    g->h->refs_offset / g->csize + g->h->refs_clusters, 0);
	g->h->refs_offset = off;
	g->h->refs_clusters = clusters;
	g->h->file_size = g->end * g->csize;
	return error;
}

static int
grow(struct grow *g)
{
	uint64_t old = (uint64_t)g->h->refs_clusters * g->csize;
	int error;

	error = qcow2_read_at(g->fd, g->table, old, g->h->refs_offset);
	if (error == 0)
		error = find_end(g);
	if (error == 0)
		error = add_blocks(g);
	if (error == 0)
		error = qcow2_write_at(
		    g->fd, g->table, g->n * 8, g->first * g->csize);
	if (error == 0)
		error = sync_file(g);
	return error == 0 ? switch_over(g) : error;
}

int
qc_grow_refs(int fd, struct qcow2_header *h, uint64_t clusters, struct why *why)
{
	struct grow g = { .fd = fd, .h = h, .csize = qcow2_cluster_size(h) };
	uint64_t per = g.csize / 8;
	int error = -ENOMEM;

	g.shift = h->cluster_bits + 3 - h->refcount_order;
	g.old_n = h->refs_clusters * per;
	if (g.old_n << g.shift >= clusters)
		return 0;
	/* The table, which is itself counted, twice over. */
	g.n = (clusters >> g.shift) + 2;
	g.n += g.n / per + 2;
	g.n = (g.n + per - 1) / per * per;
	if (g.n * 8 > QCOW2_REFS_BYTES_MAX)
		g.n = QCOW2_REFS_BYTES_MAX / 8;
	if (g.n <= g.old_n || h->blockdev)
		return 0;
	g.table = calloc(1, g.n * 8);
	g.block = malloc(g.csize);
	if (g.table != NULL && g.block != NULL)
		error = grow(&g);
	free(g.table);
	free(g.block);
	if (error != 0)
		return why_set(
		    why, error, "cannot make the refcount table larger");
	return 0;
}
