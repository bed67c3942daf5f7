/* SPDX-License-Identifier: ISC */
/*
 * Checking images: see qcow2_check.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "qcow2_check.h"
#include "qcow2_format.h"
#include "qcow2_sync.h"

#define CLUSTERS_MAX (1ULL << 30)

struct check {
	const struct qcow2_check *c;
	const struct qcow2_header *h;
	struct qcow2_report *r;
	struct why *why;
	uint64_t csize;
	uint64_t n; /* clusters of the file */
	uint32_t *refs; /* references to each */
	unsigned lines;
	uint64_t *table; /* refcount table */
	uint64_t ntable;
	uint64_t *l2;
	uint8_t *block;
	uint64_t block_at; /* which one block holds */
	bool dirty; /* the block was changed */
	uint64_t hole, nhole; /* clusters to be punched */
	bool active; /* the L1 table is not a snapshot's */
};

static void __attribute__((format(printf, 2, 3)))
say(struct check *k, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	if (k->c->say == NULL || k->lines++ >= QCOW2_CHECK_LINES)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	k->c->say(k->c->arg, line);
}

static int
nomem(struct check *k)
{
	return why_set(k->why, -ENOMEM, "out of memory");
}

/* One more reference to each cluster of a range. */
static void
refer(struct check *k, const char *what, uint64_t off, uint64_t len)
{
	uint64_t i = off / k->csize,
		 end = (off + len + k->csize - 1) / k->csize;

	for (; i < end; i++) {
		if (i >= k->n) {
			say(k,
			    "%s is beyond the end of the file: offset 0x%llx",
			    what, (unsigned long long)off);
			k->r->corruptions++;
			return;
		}
		if (k->refs[i] != UINT32_MAX)
			k->refs[i]++;
	}
}

static void
bad(struct check *k, const char *what, uint64_t at)
{
	say(k, "%s: offset 0x%llx", what, (unsigned long long)at);
	k->r->corruptions++;
}

static void
entry(struct check *k, uint64_t e)
{
	uint64_t off, len;

	if ((e & QE_COMPRESSED) != 0) {
		qcow2_compressed(k->h->cluster_bits, e, &off, &len);
		if (off >= k->n * k->csize)
			bad(k, "compressed cluster beyond the file", off);
		else {
			/* Data may stop before the end of a sector. */
			if (len > k->n * k->csize - off)
				len = k->n * k->csize - off;
			refer(k, "compressed cluster", off, len);
		}
		k->r->compressed += k->active;
		k->r->allocated += k->active;
		return;
	}
	off = e & QE_OFFSET;
	if (k->h->version >= 3 && (e & QE_ZERO) != 0)
		k->r->zero += k->active;
	else if (off != 0)
		k->r->allocated += k->active;
	if (off % k->csize != 0)
		bad(k, "cluster is not aligned", off);
	else if (off != 0)
		refer(k, "cluster", off, k->csize);
}

static int
l2_table(struct check *k, uint64_t off)
{
	uint64_t i;
	int error;

	if (off % k->csize != 0) {
		bad(k, "L2 table is not aligned", off);
		return 0;
	}
	refer(k, "L2 table", off, k->csize);
	if (off >= k->n * k->csize)
		return 0;
	error = qcow2_read_at(k->c->fd, k->l2, k->csize, off);
	if (error != 0 && error != -EIO)
		return why_set(k->why, error, "cannot read an L2 table");
	if (error != 0) {
		bad(k, "L2 table cannot be read", off);
		return 0;
	}
	for (i = 0; i < k->csize / 8; i++)
		if (k->l2[i] != 0)
			entry(k, be64toh(k->l2[i]));
	return 0;
}

static int
l1_table(struct check *k, uint64_t off, uint32_t size)
{
	uint64_t e, *l1;
	uint32_t i;
	int error;

	if (size == 0)
		return 0;
	refer(k, "L1 table", off, (uint64_t)size * 8);
	l1 = malloc((size_t)size * 8);
	if (l1 == NULL)
		return nomem(k);
	error = qcow2_read_at(k->c->fd, l1, (size_t)size * 8, off);
	if (error != 0)
		why_set(k->why, error, "cannot read an L1 table");
	for (i = 0; i < size && error == 0; i++) {
		e = be64toh(l1[i]);
		if ((e & QE_OFFSET) != 0)
			error = l2_table(k, e & QE_OFFSET);
	}
	free(l1);
	return error;
}

static int
snapshot(void *arg, const struct qcow2_snapshot *sn)
{
	return l1_table(arg, sn->l1_offset, sn->l1_size);
}

/* Everything that refers to clusters. */
static int
count(struct check *k)
{
	uint64_t bytes = 0, i, off;
	int error;

	refer(k, "header", 0, k->csize);
	refer(k, "refcount table", k->h->refs_offset,
	    (uint64_t)k->h->refs_clusters * k->csize);
	for (i = 0; i < k->ntable; i++) {
		off = be64toh(k->table[i]) & QR_OFFSET;
		if (off % k->csize != 0)
			bad(k, "refcount block is not aligned", off);
		else if (off != 0)
			refer(k, "refcount block", off, k->csize);
	}
	k->active = true;
	error = l1_table(k, k->h->l1_offset, k->h->l1_size);
	k->active = false;
	if (error == 0)
		error = qcow2_snapshots(
		    k->c->fd, k->h, snapshot, k, &bytes, k->why);
	if (error == 0 && bytes > 0)
		refer(k, "snapshot table", k->h->snapshots_offset, bytes);
	if (k->c->more == NULL || error != 0)
		return error;
	if (k->c->more->len > 0)
		refer(k, "new table", k->c->more->off, k->c->more->len);
	return l1_table(k, k->c->more->l1_offset, k->c->more->l1_size);
}

static int
block_flush(struct check *k)
{
	int error;

	if (!k->dirty)
		return 0;
	k->dirty = false;
	error = qcow2_write_at(k->c->fd, k->block, k->csize,
	    be64toh(k->table[k->block_at]) & QR_OFFSET);
	if (error != 0)
		return why_set(k->why, error, "cannot write a refcount block");
	return 0;
}

/* The i-th refcount block into k->block; 1: there is none. */
static int
block_load(struct check *k, uint64_t i)
{
	uint64_t off;
	int error;

	if (i >= k->ntable)
		return 1;
	off = be64toh(k->table[i]) & QR_OFFSET;
	if (off == 0 || off % k->csize != 0 || off / k->csize >= k->n)
		return 1;
	if (k->block_at == i)
		return 0;
	if ((error = block_flush(k)) != 0)
		return error;
	error = qcow2_read_at(k->c->fd, k->block, k->csize, off);
	if (error != 0)
		return why_set(k->why, error, "cannot read a refcount block");
	k->block_at = i;
	return 0;
}

static uint64_t
most(const struct check *k)
{
	return k->h->refcount_order == 6
	    ? UINT64_MAX
	    : (1ULL << (1U << k->h->refcount_order)) - 1;
}

static bool
fixes(const struct check *k)
{
	return k->c->repair || k->c->more != NULL;
}

/* True when a difference was put right, or is to stay. */
static bool
put_right(struct check *k, uint64_t in_block, uint64_t v, uint64_t refs)
{
	if (v > refs && k->c->more != NULL)
		return true;
	if (!fixes(k) || refs > most(k))
		return false;
	qcow2_refcount_set(k->block, k->h->refcount_order, in_block, refs);
	k->dirty = true;
	return true;
}

/* Where nothing is any more; what the file system cannot do stays undone. */
static void
punch(struct check *k)
{
	if (k->nhole > 0)
		(void)fallocate(k->c->fd,
		    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		    (off_t)(k->hole * k->csize), (off_t)(k->nhole * k->csize));
	k->nhole = 0;
}

static void
came_free(struct check *k, uint64_t cluster)
{
	if (!k->c->punch || k->h->blockdev)
		return;
	if (k->hole + k->nhole != cluster)
		punch(k);
	if (k->nhole++ == 0)
		k->hole = cluster;
}

static int
compare(struct check *k)
{
	unsigned shift = k->h->cluster_bits + 3 - k->h->refcount_order;
	uint64_t i, v, in;
	int rc;

	for (i = 0; i < k->n; i++) {
		rc = block_load(k, i >> shift);
		if (rc < 0)
			return rc;
		in = i & ((1ULL << shift) - 1);
		v = rc == 0
		    ? qcow2_refcount_get(k->block, k->h->refcount_order, in)
		    : 0;
		if (k->refs[i] != 0 || v != 0)
			k->r->end = (i + 1) * k->csize;
		if (v == k->refs[i])
			continue;
		say(k,
		    "%s: cluster %llu has a refcount of %llu and %u "
		    "references",
		    v > k->refs[i] ? "leak" : "corrupt", (unsigned long long)i,
		    (unsigned long long)v, k->refs[i]);
		if (rc == 0 && put_right(k, in, v, k->refs[i])) {
			if (k->refs[i] == 0)
				came_free(k, i);
			continue;
		}
		if (v > k->refs[i])
			k->r->leaks++;
		else
			k->r->corruptions++;
	}
	punch(k);
	return block_flush(k);
}

/* Before anything is written that assumes it. */
static int
check_widths(struct check *k)
{
	uint64_t i;

	for (i = 0; i < k->n; i++)
		if (k->refs[i] > most(k))
			return why_set(k->why, -EOVERFLOW,
			    "refcounts of %u bits are too narrow for one more "
			    "snapshot",
			    1U << k->h->refcount_order);
	return 0;
}

enum copied { COPIED_OK, COPIED_WRONG, COPIED_LEAK };

/* "Standard Cluster Descriptor": COPIED says that the refcount is 1. */
static enum copied
copied(const struct check *k, uint64_t e)
{
	uint64_t i = (e & QE_OFFSET) / k->csize;
	bool is = (e & QE_COPIED) != 0;

	if ((e & QE_COMPRESSED) != 0)
		return is ? COPIED_WRONG : COPIED_OK;
	if ((e & QE_OFFSET) == 0 || i >= k->n || is == (k->refs[i] == 1))
		return COPIED_OK;
	return is ? COPIED_WRONG : COPIED_LEAK;
}

/* It is not set, for the refcount is too large; that was said already. */
static int
leaks(struct check *k, uint64_t e, bool *yes)
{
	unsigned shift = k->h->cluster_bits + 3 - k->h->refcount_order;
	uint64_t i = (e & QE_OFFSET) / k->csize;
	int rc = block_load(k, i >> shift);

	if (rc < 0)
		return rc;
	*yes = rc == 0 &&
	    qcow2_refcount_get(
		k->block, k->h->refcount_order, i & ((1ULL << shift) - 1)) > 1;
	return 0;
}

/*
 * One entry; 1: it was changed, 0, or -errno.  Of what is about to be shared
 * flags are cleared only.  While anything else is wrong none is set.
 */
static int
check_entry(struct check *k, const char *what, uint64_t *be, uint64_t at)
{
	uint64_t e = be64toh(*be);
	enum copied is = copied(k, e);
	bool leak = false, set = is == COPIED_LEAK;
	int error;

	if (is == COPIED_OK || (set && k->c->more != NULL))
		return 0;
	if (fixes(k) && (!set || k->r->corruptions == 0)) {
		*be = htobe64(set ? e | QE_COPIED : e & ~QE_COPIED);
		return 1;
	}
	if (set && (error = leaks(k, e, &leak)) != 0)
		return error;
	if (!leak)
		bad(k, what, at);
	return 0;
}

/* Entries of a table; those that were changed are written. */
static int
check_entries(
    struct check *k, const char *what, uint64_t *be, uint64_t n, uint64_t off)
{
	uint64_t i, first = n, last = 0;
	int rc;

	for (i = 0; i < n; i++) {
		rc = check_entry(k, what, &be[i], off + i * 8);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		if (first == n)
			first = i;
		last = i;
	}
	if (first == n)
		return 0;
	rc = qcow2_write_at(
	    k->c->fd, be + first, (last - first + 1) * 8, off + first * 8);
	return rc == 0 ? 0 : why_set(k->why, rc, "cannot write a table");
}

static int
check_copied_l2(struct check *k, uint64_t off)
{
	int error;

	error = qcow2_read_at(k->c->fd, k->l2, k->csize, off);
	if (error != 0)
		return why_set(k->why, error, "cannot read an L2 table");
	return check_entries(
	    k, "wrong COPIED flag in an L2 table", k->l2, k->csize / 8, off);
}

static int
check_copied(struct check *k, uint64_t off, uint32_t size)
{
	uint64_t e, *l1;
	uint32_t i;
	int error;

	if (size == 0)
		return 0;
	l1 = malloc((size_t)size * 8);
	if (l1 == NULL)
		return nomem(k);
	error = qcow2_read_at(k->c->fd, l1, (size_t)size * 8, off);
	if (error != 0)
		why_set(k->why, error, "cannot read the L1 table");
	for (i = 0; i < size && error == 0; i++) {
		e = be64toh(l1[i]) & QE_OFFSET;
		if (e != 0 && e / k->csize < k->n)
			error = check_copied_l2(k, e);
	}
	/* Tables before what refers to them. */
	if (error == 0)
		error = check_entries(
		    k, "wrong COPIED flag in the L1 table", l1, size, off);
	free(l1);
	return error;
}

static int
sync_file(struct check *k, const char *what)
{
	if (fixes(k) && fdatasync(k->c->fd) == -1)
		return why_set(k->why, -errno, "cannot write %s", what);
	return 0;
}

static int
check_flags(struct check *k)
{
	const struct qcow2_more *more = k->c->more;
	int error;

	error = check_copied(k, k->h->l1_offset, k->h->l1_size);
	if (error == 0 && more != NULL && more->l1_active)
		error = check_copied(k, more->l1_offset, more->l1_size);
	return error == 0 ? sync_file(k, "the tables") : error;
}

/*
 * A COPIED flag is set only while its cluster is referred to once: cleared
 * when there will be more, set when there are no more.  Counts are meanwhile
 * too large, not too small.
 */
static int
check_all(struct check *k)
{
	int error;

	if (k->c->more == NULL) {
		error = check_flags(k);
		if (error == 0)
			error = compare(k);
		return error == 0 ? sync_file(k, "the refcounts") : error;
	}
	if ((error = check_widths(k)) == 0)
		error = compare(k);
	if (error == 0)
		error = sync_file(k, "the refcounts");
	return error == 0 ? check_flags(k) : error;
}

/* Refcounts are right now: the image is clean. */
static int
clear_dirty(struct check *k)
{
	uint64_t left = k->h->incompatible & ~QCOW2_I_DIRTY;
	uint8_t raw[8];
	int error;

	if (left == k->h->incompatible || k->r->corruptions > 0)
		return 0;
	qcow2_put64(raw, left);
	error = qcow2_write_at(k->c->fd, raw, 8, QH_INCOMPATIBLE);
	if (error == 0 && fdatasync(k->c->fd) == -1)
		error = -errno;
	return error == 0 ? 0
			  : why_set(k->why, error, "cannot write the header");
}

static int
run(struct check *k)
{
	int error;

	error =
	    qcow2_read_at(k->c->fd, k->table, k->ntable * 8, k->h->refs_offset);
	if (error != 0)
		return why_set(k->why, error, "cannot read the refcount table");
	if ((error = count(k)) != 0 || (error = check_all(k)) != 0)
		return error;
	return k->c->repair ? clear_dirty(k) : 0;
}

int
qcow2_check(
    const struct qcow2_check *c, struct qcow2_report *r, struct why *why)
{
	struct check k = { .c = c, .h = c->h, .r = r, .why = why };
	int error;

	*r = (struct qcow2_report){ 0 };
	k.csize = qcow2_cluster_size(c->h);
	k.n = (c->h->file_size + k.csize - 1) / k.csize;
	k.ntable = c->h->refs_clusters * (k.csize / 8);
	k.block_at = UINT64_MAX;
	r->clusters = (c->h->size + k.csize - 1) / k.csize;
	if (k.n > CLUSTERS_MAX)
		return why_set(why, -EFBIG, "image file is too large");
	k.refs = calloc(k.n, sizeof(*k.refs));
	k.table = malloc(k.ntable * 8);
	k.l2 = malloc(k.csize);
	k.block = malloc(k.csize);
	if (k.refs == NULL || k.table == NULL || k.l2 == NULL ||
	    k.block == NULL)
		error = nomem(&k);
	else
		error = run(&k);
	if (error == 0 && c->refs != NULL) {
		*c->refs = k.refs;
		*c->nrefs = k.n;
		k.refs = NULL;
	}
	free(k.refs);
	free(k.table);
	free(k.l2);
	free(k.block);
	return error;
}
