/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_NPT_H
#define CORE_NPT_H

/*
 * Nested page tables in the format of long mode with four levels (AMD APM
 * vol. 2 "Nested Paging"): guest physical to host physical addresses.  Owns
 * the table pages, not what they map.
 *
 * Concurrency: the caller serialises all calls with one lock; the CPU walks
 * the tables at any time and sets A and D bits in them, hence the atomic
 * accesses.  A function that took rights away says so; the caller flushes
 * TLBs before it gives up that lock, and frees `stale' only then.
 */
#include "types.h"

#define NPT_LEVELS   4
#define NPT_GPA_BITS 48

enum npt_level { NPT_4K = 1, NPT_2M = 2, NPT_1G = 3 };

struct npt {
	u64 *root;
	unsigned long tables;
};

/* Pages for one npt_map(), taken before the lock. */
struct npt_cache {
	void *page[NPT_LEVELS];
	unsigned n;
};

int npt_init(struct npt *);
void npt_free(struct npt *);

int npt_cache_fill(struct npt_cache *); /* 0 or -ENOMEM */
void npt_cache_drain(struct npt_cache *);

static inline u64
npt_page_size(enum npt_level level)
{
	return 1ULL << (12 + 9 * ((int)level - 1));
}

/*
 * Map the page of this level around gpa.  The cache is full.  *stale is a
 * table that the mapping replaced, or NULL.  Returns true when a translation
 * that a CPU may hold has changed.  A 1 GiB page is mapped only where no
 * table is; elsewhere nothing happens and the level must be tried smaller
 * (npt_fits).
 */
bool npt_fits(const struct npt *, struct gpa, enum npt_level);
bool npt_map(struct npt *, struct npt_cache *, struct gpa, struct hpa,
    enum npt_level, bool writable, void **stale);

/* Over [start, end); true: flush.  Large pages at the borders go as a whole
 * for zap, and are zapped by npt_protect(). */
bool npt_zap(struct npt *, struct gpa start, struct gpa end);
bool npt_protect(struct npt *, struct gpa start, struct gpa end);
/* Was anything accessed?  clear: forget it. */
bool npt_young(struct npt *, struct gpa start, struct gpa end, bool clear);

#endif
