/* SPDX-License-Identifier: ISC */
/* See blkmap.h. */
#include <errno.h>
#include <stdlib.h>

#include "blkmap.h"

#define WORD 64U /* granules */

int
blkmap_init(struct blkmap *m, uint64_t size)
{
	uint64_t granules = (size + BLKMAP_GRANULE - 1) / BLKMAP_GRANULE;

	m->bits =
	    calloc((size_t)((granules + WORD - 1) / WORD), sizeof(*m->bits));
	if (m->bits == NULL)
		return -ENOMEM;
	m->size = size;
	m->granules = granules;
	return 0;
}

void
blkmap_free(struct blkmap *m)
{
	free(m->bits);
	*m = (struct blkmap){ .size = 0 };
}

/* The bits of word i that belong to granules [first, end). */
static uint64_t
mask(uint64_t i, uint64_t first, uint64_t end)
{
	uint64_t m = UINT64_MAX;

	if (first > i * WORD)
		m &= UINT64_MAX << (first - i * WORD);
	if (end < (i + 1) * WORD)
		m &= UINT64_MAX >> ((i + 1) * WORD - end);
	return m;
}

/* Release and acquire: who takes a bit sees what was written before it. */
void
blkmap_mark(struct blkmap *m, uint64_t off, uint64_t len)
{
	uint64_t first = off / BLKMAP_GRANULE, i;
	uint64_t end = (off + len + BLKMAP_GRANULE - 1) / BLKMAP_GRANULE;

	for (i = first / WORD; i * WORD < end; i++)
		__atomic_or_fetch(
		    &m->bits[i], mask(i, first, end), __ATOMIC_ACQ_REL);
}

void
blkmap_take(struct blkmap *m, uint64_t off, uint64_t len)
{
	uint64_t first = off / BLKMAP_GRANULE, i;
	uint64_t end = (off + len + BLKMAP_GRANULE - 1) / BLKMAP_GRANULE;

	for (i = first / WORD; i * WORD < end; i++)
		__atomic_and_fetch(
		    &m->bits[i], ~mask(i, first, end), __ATOMIC_ACQ_REL);
}

bool
blkmap_next(const struct blkmap *m, uint64_t off, uint64_t *next)
{
	uint64_t g = (off + BLKMAP_GRANULE - 1) / BLKMAP_GRANULE, i, bits;

	for (i = g / WORD; i * WORD < m->granules; i++) {
		bits = __atomic_load_n(&m->bits[i], __ATOMIC_ACQUIRE) &
		    mask(i, g, m->granules);
		if (bits == 0)
			continue;
		g = i * WORD + (unsigned)__builtin_ctzll(bits);
		*next = g * BLKMAP_GRANULE;
		return true;
	}
	return false;
}

uint64_t
blkmap_left(const struct blkmap *m)
{
	uint64_t i, n = 0;

	for (i = 0; i * WORD < m->granules; i++)
		n += (uint64_t)__builtin_popcountll(
		    __atomic_load_n(&m->bits[i], __ATOMIC_RELAXED));
	return n * BLKMAP_GRANULE;
}
