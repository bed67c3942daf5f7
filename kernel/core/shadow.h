/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_SHADOW_H
#define CORE_SHADOW_H

/*
 * Shadow page tables, for processors without nested paging: tables that the
 * CPU walks instead of the guest's, from guest linear to host physical
 * addresses, made of what the guest's say as accesses meet them.
 *
 * They are what a TLB is to the guest (APM vol. 2 "Translation-Lookaside
 * Buffer (TLB)", SDM vol. 3 "Caching Translation Information"): an entry may
 * be older than the guest's until the guest invalidates it, never younger
 * rights than the guest's once had.  A guest's table is write-protected while
 * shadow tables repeat it; the first write makes them "loose", and the next
 * load of CR3 compares each loose one with memory, INVLPG one path.
 *
 * Format: of long mode where the guest is in it, else of legacy PAE, whatever
 * the guest's own is, without paging too.  The CPU runs with CR0.PG, CR0.WP,
 * CR4.PAE and EFER.NXE set.
 *
 * Concurrency: the caller serialises all calls but shadow_cache_*() with one
 * lock; CPUs walk the tables at any time.  ops->flush() is called below that
 * lock, before what was taken away is used otherwise.
 */
#include "walk.h"

#define SHADOW_TABLES_MAX 16383

struct shadow_ops {
	/* Guest physical memory without sleeping; 0, or -EFAULT: it is not at
	 * hand. */
	int (*peek)(void *arg, struct gpa, void *, unsigned len);
	/* The page with what the guest may write to at gpa, if it is at hand
	 * and nobody has to be told of writes; 0 or -EFAULT, without sleeping. */
	int (*writable_page)(void *arg, struct gpa, struct hpa *);
	/* No CPU uses an old translation when it returns. */
	void (*flush)(void *arg);
};

struct shadow_table;
struct shadow;

/* Pages that one call may need, taken before the lock. */
#define SHADOW_CACHE 18
struct shadow_cache {
	void *page[SHADOW_CACHE];
	unsigned n;
};

int shadow_cache_fill(struct shadow_cache *); /* 0 or -ENOMEM */
void shadow_cache_drain(struct shadow_cache *);

/* tables: how many there may be at a time, each of 12 KiB. */
struct shadow *
shadow_new(const struct shadow_ops *, void *arg, unsigned tables); /* or NULL */
void shadow_free(struct shadow *);

/* One guest CPU's.  `pae' is zero, or four entries that the host keeps below
 * 4 GiB: what the CPU loads outside long mode. */
struct shadow_root {
	u64 *pae;
	u32 table; /* 0: none */
};

/*
 * The root for these registers; the host physical address of its table, or
 * 0 when it is root->pae.  invalidate: as a load of CR3 does.
 */
struct hpa shadow_load(struct shadow *, struct shadow_cache *,
    struct shadow_root *, const struct walk_env *, bool invalidate);
/* Before each entry outside long mode; no lock. */
void shadow_show_pae(struct shadow *, struct shadow_root *);
/* INVLPG, but for the CPU's own TLB. */
void shadow_invlpg(struct shadow *, const struct shadow_root *,
    const struct walk_env *, struct gva);

enum shadow_fill {
	SHADOW_FILLED,
	SHADOW_AGAIN, /* the guest's tables have changed since the walk */
	SHADOW_EMULATE, /* no entry can permit this access and no other */
};
/*
 * The guest's walk permits the access, with this result, and hpa is the page
 * with it, which may be written to or not.  A root was loaded for env.  What is
 * beside it in the guest's table with the same rights comes along.
 */
enum shadow_fill shadow_fill(struct shadow *, struct shadow_cache *,
    const struct shadow_root *, const struct walk_env *, struct gva,
    unsigned access, const struct walk_result *, struct hpa, bool writable);

/* Memory that may hold tables was written by other means than the CPU. */
void shadow_written(struct shadow *, struct gpa, unsigned len);

/* Over [start, end); CPUs have flushed when they return. */
void shadow_zap(struct shadow *, struct gpa start, struct gpa end);
void shadow_protect(struct shadow *, struct gpa start, struct gpa end);
/* Bit i of mask is the page at base + i pages. */
void shadow_protect_mask(struct shadow *, struct gpa base, u64 mask);
/* Was anything accessed?  clear: forget it, and flush nothing. */
bool
shadow_young(struct shadow *, struct gpa start, struct gpa end, bool clear);
void shadow_zap_all(struct shadow *);

#endif
