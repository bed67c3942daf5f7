/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_NPT_H
#define CORE_NPT_H

/*
 * Nested page tables in the format of long mode (AMD APM vol. 2 "Nested
 * Paging"): guest physical to host physical addresses.  The CPU walks as many
 * levels as the host itself uses.  Owns the table pages, not what they map.
 *
 * Concurrency: the caller serialises all calls with one lock; the CPU walks
 * the tables at any time and sets A and D bits in them, hence the atomic
 * accesses.  A function that took rights or tables away says so; the caller
 * flushes TLBs before it gives up that lock, and only then npt_release()s the
 * tables that it got back.
 *
 * Dirty logging of a slot: npt_protect() it once, when logging begins.  While
 * it lasts, map with NPT_4K, writable only for a write fault whose bit in the
 * slot's bitmap is set before npt_map(); each large page is split by the first
 * such write.  To clear bits of the log, take them from the bitmap, then
 * npt_protect_mask() them, then flush: a write is either in the bits taken or
 * faults again.  When logging ends, npt_zap() brings large pages back.
 */
#include "types.h"

#define NPT_LEVELS_MAX 5
#define NPT_GPA_BITS   48 /* also with five levels */

enum npt_level { NPT_4K = 1, NPT_2M = 2, NPT_1G = 3 };

/* The bits of an entry; a leaf above 4 KiB has X86_PTE_PS too.  Present is bit
 * 0 in all formats. */
struct npt_format {
	u64 table; /* of one that names a table */
	u64 leaf, writable; /* of one that maps a page, and may be written */
	u64 accessed; /* set by the CPU; 0: by none, and each page is young */
	enum npt_level largest;
};
extern const struct npt_format npt_long_mode; /* that of npt_init() */
extern const struct npt_format
    npt_ept; /* SDM vol. 3 "EPT Translation Mechanism" */

struct npt {
	const struct npt_format *format;
	u64 *root;
	int levels; /* 4 or 5 */
	unsigned long tables; /* pages of ours, the root included */
};

/* Pages for one npt_map(), taken before the lock. */
struct npt_cache {
	void *page[NPT_LEVELS_MAX];
	unsigned n;
};

int npt_init(struct npt *, int levels);
void npt_free(struct npt *);

int npt_cache_fill(struct npt_cache *); /* 0 or -ENOMEM */
void npt_cache_drain(struct npt_cache *);

static inline u64
npt_page_size(enum npt_level level)
{
	return 1ULL << (12 + 9 * ((int)level - 1));
}

/*
 * Map the page of this level around gpa.  The cache is full.  A larger page in
 * the way is split, and what else it maps stays as it was.  *stale is a table
 * that the mapping replaced, or NULL.  Returns true when a translation that a
 * CPU may hold has changed.  A 1 GiB page is mapped only where no table is:
 * npt_fits() says so, the caller tries a smaller level.
 */
bool npt_fits(const struct npt *, struct gpa, enum npt_level);
bool npt_map(struct npt *, struct npt_cache *, struct gpa, struct hpa,
    enum npt_level, bool writable, void **stale);

/*
 * Over [start, end); true: flush.  A large page that the range touches is
 * zapped, or protected, as a whole.
 */
bool npt_zap(struct npt *, struct gpa start, struct gpa end);
bool npt_protect(struct npt *, struct gpa start, struct gpa end);
/* Bit i of mask is the 4 KiB page at base + i pages: 64 pages of a bitmap. */
bool npt_protect_mask(struct npt *, struct gpa base, u64 mask);
/* Was anything accessed?  clear: forget it; without accessed bits by a zap, of
 * which the caller flushes. */
bool npt_young(struct npt *, struct gpa start, struct gpa end, bool clear);

/*
 * Unlink the tables that serve only [start, end) and map nothing: a list for
 * npt_release(), NULL when there are none.  Not NULL: flush.
 */
void *npt_prune(struct npt *, struct gpa start, struct gpa end);
void npt_release(void *stale);

#endif
