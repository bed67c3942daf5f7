/* SPDX-License-Identifier: ISC */
/*
 * Which clusters of the file are free: a bit for each, so that allocation
 * needs no I/O.  Refcounts follow (qcow2_refs.c) before anything refers to
 * what was allocated.
 *
 * Where clusters have no refcount block yet, one of them is set aside for it.
 */
#include <errno.h>

#include "qcow2_impl.h"

bool
qc_bit(const uint64_t *map, uint64_t i)
{
	return (map[i / 64] >> (i % 64) & 1) != 0;
}

void
qc_bit_set(uint64_t *map, uint64_t i)
{
	map[i / 64] |= 1ULL << (i % 64);
}

void
qc_bit_clear(uint64_t *map, uint64_t i)
{
	map[i / 64] &= ~(1ULL << (i % 64));
}

/* The first free one, or limit. */
static uint64_t
find(const struct qc_space *sp)
{
	uint64_t w = sp->low / 64, n = (sp->limit + 63) / 64, free, i;

	if (sp->low >= sp->limit)
		return sp->limit;
	free = ~sp->used[w] & (~0ULL << (sp->low % 64));
	while (free == 0 && ++w < n)
		free = ~sp->used[w];
	if (free == 0)
		return sp->limit;
	i = w * 64 + (unsigned)__builtin_ctzll(free);
	return i < sp->limit ? i : sp->limit;
}

static bool
has_block(const struct qc_space *sp, uint64_t cluster)
{
	uint64_t i = cluster >> sp->block_shift;

	return sp->plan[i] != 0 ||
	    (qc_table_get(&sp->refs, i) & QR_OFFSET) != 0;
}

static void
take(struct qc_space *sp, uint64_t cluster)
{
	qc_bit_set(sp->used, cluster);
	if (cluster >= sp->virgin)
		sp->virgin = cluster + 1;
	sp->low = cluster + 1;
}

int
qc_alloc(struct qcow2 *s, uint64_t want, uint64_t *cluster, uint64_t *got,
    bool *clean)
{
	struct qc_space *sp = &s->space;
	uint64_t c, n = 0;

	c = find(sp);
	/* More than once where a block counts nothing but itself. */
	while (c < sp->limit && !has_block(sp, c)) {
		sp->plan[c >> sp->block_shift] = c;
		take(sp, c);
		c = find(sp);
	}
	if (c >= sp->limit)
		return -ENOSPC;
	*clean = sp->file && c >= sp->virgin;
	*cluster = c;
	while (n < want && c + n < sp->limit && !qc_bit(sp->used, c + n) &&
	    has_block(sp, c + n)) {
		take(sp, c + n);
		n++;
	}
	*got = n;
	return 0;
}

void
qc_free(struct qcow2 *s, uint64_t cluster)
{
	struct qc_space *sp = &s->space;

	qc_bit_clear(sp->used, cluster);
	qc_bit_clear(sp->meta, cluster);
	if (cluster < sp->low)
		sp->low = cluster;
}
