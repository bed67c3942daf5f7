/* SPDX-License-Identifier: ISC */
#ifndef VMD_BLKMAP_H
#define VMD_BLKMAP_H

/*
 * Which parts of a disk have still to be copied: a bit for each granule.  Any
 * thread may mark, one takes.  A bit is taken before its granule is read, and
 * set after it was written, so what a reader has missed is marked again.
 */
#include <stdbool.h>
#include <stdint.h>

#define BLKMAP_GRANULE (32U << 10) /* bytes */

struct blkmap {
	uint64_t size; /* bytes of the disk; 0: there is no map */
	uint64_t granules;
	uint64_t *bits; /* atomic */
};

/* All clear.  0 or -ENOMEM. */
int blkmap_init(struct blkmap *, uint64_t size);
void blkmap_free(struct blkmap *);
/* [off, off + len) is on the disk. */
void blkmap_mark(struct blkmap *, uint64_t off, uint64_t len);
void blkmap_take(struct blkmap *, uint64_t off, uint64_t len);
/* The first marked granule that begins at or behind off, where a granule does
 * or the disk ends. */
bool blkmap_next(const struct blkmap *, uint64_t off, uint64_t *next);
/* Bytes of marked granules. */
uint64_t blkmap_left(const struct blkmap *);

#endif
