/* SPDX-License-Identifier: ISC */
#ifndef VMD_PAGES_H
#define VMD_PAGES_H

/*
 * The guest's memory in a file of state.h, so that each part of it can be had
 * without the others.  Memory is groups of PAGES_EACH pages, in the order of the
 * memfd (gmem.h): few, since who waits for one of them waits for the group.
 *
 *   section "pages"  16 bytes for each group: u64 which pages are not zero,
 *                    u32 CRC-32 of what is there of them, u32 how many bytes
 *                    that is: fewer than pages of that number have are a frame
 *                    of zstd (RFC 8878); a section has PAGES_SECTION groups, the
 *                    last one what is left
 *   zeroes           up to the next multiple of 4096 bytes of the file
 *   data             of one group after the other: its pages that are not zero
 *
 * then the next section.  The table is before what it describes, so nobody has
 * to look for it, and who writes it knows beforehand how long it is.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zstd.h>
#include "gmem.h"
#include "state.h"

#define PAGES_PAGE    4096U
#define PAGES_EACH    16U
#define PAGES_GROUP   (PAGES_EACH * PAGES_PAGE)
#define PAGES_SECTION 32768U /* groups */
#define PAGES_NAME    "pages"

struct pages_group {
	uint64_t mask; /* pages that are there */
	uint64_t at; /* in the file */
	uint32_t sum, len;
};

struct pages {
	struct pages_group *group;
	uint64_t n;
	ZSTD_DCtx *zstd; /* NULL: no group is compressed */
	uint8_t *frame; /* room for the largest one */
};

/* All of it.  An error is the state's. */
void pages_write(struct state *, const struct gmem *, bool zstd);
/* The table, for a guest of that memory; the data is passed over. */
void pages_read(struct state *, struct pages *, const struct gmem *);
void pages_free(struct pages *);
/*
 * What is there of a group, its pages one after the other, into
 * to[PAGES_GROUP].  One caller at a time.  0, or -errno with a line in why.
 */
int pages_get(const struct pages *, int fd, uint64_t group, uint8_t *to,
    char why[STATE_WHY_MAX]);
/* The first run of pages in mask: its length, from *first on; 0: none. */
unsigned pages_run(uint64_t mask, unsigned *first);
/* Without such a run. */
uint64_t pages_without(uint64_t mask, unsigned first, unsigned n);
/* Everything, into memory that is all zeroes. */
void pages_all(struct state *, const struct pages *, const struct gmem *);

#endif
