/* SPDX-License-Identifier: ISC */
/*
 * Where new tables go: clusters that nothing refers to, at the end of the file
 * where there are none.  Where they have no refcount block one is made:
 * "Host cluster management".
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "qcow2_snap_impl.h"
#include "qcow2_impl.h"
#include "qcow2_sync.h"

static unsigned
shift(const struct qcow2_snap *s)
{
	return s->h.cluster_bits + 3 - s->h.refcount_order;
}

/* n clusters in a row. */
static int
take(struct qcow2_snap *s, uint64_t n, uint64_t *first)
{
	uint64_t i, run = 0;

	for (i = 1; i < s->nrefs && run < n; i++)
		run = s->refs[i] == 0 ? run + 1 : 0;
	if (run < n)
		return -ENOSPC;
	*first = i - n;
	for (i = *first; i < *first + n; i++)
		s->refs[i] = 1;
	return 0;
}

/* Blocks for [first, first + n); a new one may need another for itself. */
static int
add_blocks(struct qcow2_snap *s, uint64_t first, uint64_t n)
{
	uint64_t i, c, at;
	int error;

	for (i = first >> shift(s); i <= (first + n - 1) >> shift(s); i++) {
		if (i >= s->nblocks)
			return -ENOSPC;
		if ((be64toh(s->blocks[i]) & QR_OFFSET) != 0)
			continue;
		if ((error = take(s, 1, &c)) != 0)
			return error;
		s->blocks[i] = htobe64(c * s->csize);
		s->made[s->nmade++] = c;
	}
	for (at = 0; at < s->nmade; at++) {
		i = s->made[at] >> shift(s);
		if (i >= s->nblocks)
			return -ENOSPC;
		if ((be64toh(s->blocks[i]) & QR_OFFSET) != 0)
			continue;
		if ((error = take(s, 1, &c)) != 0)
			return error;
		s->blocks[i] = htobe64(c * s->csize);
		s->made[s->nmade++] = c;
	}
	return 0;
}

static int
place(struct qcow2_snap *s, struct qs_part *p)
{
	uint64_t first, n = qs_clusters(s, p->len);
	int error;

	if (n == 0)
		return 0;
	if ((error = take(s, n, &first)) != 0)
		return error;
	p->off = first * s->csize;
	return add_blocks(s, first, n);
}

/* What there is, as qcow2_check() counts it; and what a file can grow by. */
static int
count(struct qcow2_snap *s, uint64_t more, struct why *why)
{
	struct qcow2_report r;
	struct qcow2_check c = {
		.fd = s->fd,
		.h = &s->h,
		.refs = &s->refs,
		.nrefs = &s->nrefs,
	};
	uint32_t *refs;
	int error;

	if ((error = qcow2_check(&c, &r, why)) != 0)
		return error;
	if (r.corruptions > 0)
		return why_set(why, -EUCLEAN,
		    "image has errors, as a check of it would show");
	if (s->h.blockdev) {
		s->nrefs = s->h.file_size / s->csize;
		return 0;
	}
	refs = realloc(s->refs, (size_t)(s->nrefs + more) * sizeof(*refs));
	if (refs == NULL)
		return why_set(why, -ENOMEM, "out of memory");
	memset(refs + s->nrefs, 0, (size_t)more * sizeof(*refs));
	s->refs = refs;
	s->nrefs += more;
	return 0;
}

static int
read_blocks(struct qcow2_snap *s, struct why *why)
{
	uint64_t bytes = (uint64_t)s->h.refs_clusters * s->csize;
	int error;

	s->nblocks = bytes / 8;
	s->blocks = malloc((size_t)bytes);
	s->made = calloc((size_t)s->nblocks, sizeof(*s->made));
	if (s->blocks == NULL || s->made == NULL)
		return why_set(why, -ENOMEM, "out of memory");
	error =
	    qcow2_read_at(s->fd, s->blocks, (size_t)bytes, s->h.refs_offset);
	if (error != 0)
		return why_set(why, error, "cannot read the refcount table");
	return 0;
}

int
qs_space(struct qcow2_snap *s, struct why *why)
{
	uint64_t n = qs_clusters(s, s->l1.len) + qs_clusters(s, s->table.len);
	uint64_t more = 2 * n + 64;
	int error;

	error = qc_grow_refs(
	    s->fd, &s->h, s->h.file_size / s->csize + 1 + 2 * more, why);
	if (error != 0 || (error = count(s, more, why)) != 0 ||
	    (error = read_blocks(s, why)) != 0)
		return error;
	if ((error = place(s, &s->l1)) != 0 ||
	    (error = place(s, &s->table)) != 0)
		return why_set(
		    why, error, "no room for the tables of a snapshot");
	return 0;
}

/* A count of 1 for a new block. */
static int
count_block(struct qcow2_snap *s, uint64_t cluster, uint8_t *buf)
{
	uint64_t off = be64toh(s->blocks[cluster >> shift(s)]) & QR_OFFSET;
	int error;

	error = qcow2_read_at(s->fd, buf, s->csize, off);
	if (error != 0)
		return error;
	qcow2_refcount_set(
	    buf, s->h.refcount_order, cluster & ((1ULL << shift(s)) - 1), 1);
	return qcow2_write_at(s->fd, buf, s->csize, off);
}

/* Blocks and their own counts before what refers to them. */
int
qs_space_write(struct qcow2_snap *s)
{
	uint8_t *buf = calloc(1, s->csize);
	uint64_t i;
	int error = 0;

	if (buf == NULL)
		return -ENOMEM;
	for (i = 0; i < s->nmade && error == 0; i++)
		error =
		    qcow2_write_at(s->fd, buf, s->csize, s->made[i] * s->csize);
	for (i = 0; i < s->nmade && error == 0; i++)
		error = count_block(s, s->made[i], buf);
	free(buf);
	if (error == 0 && s->nmade > 0 && fdatasync(s->fd) == -1)
		error = -errno;
	if (error == 0 && s->nmade > 0)
		error = qcow2_write_at(
		    s->fd, s->blocks, (size_t)s->nblocks * 8, s->h.refs_offset);
	return error;
}
