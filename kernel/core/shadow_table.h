/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_SHADOW_TABLE_H
#define CORE_SHADOW_TABLE_H

/*
 * The shadow tables themselves, for shadow.c: found by what they repeat; who
 * points to them, and which entries map a page of the guest's.
 */
#include "shadow.h"

#define SHADOW_ENTRIES 512
#define SHADOW_ADDR    0x000ffffffffff000ULL

/*
 * What a table is for.  Bits of `role'; two tables of the same guest table
 * differ by the level that it is read at, by the rights of the path to it and
 * by what else decides about its leaves.
 */
#define ROLE_LEVEL	  0x7u
#define ROLE_DIRECT	  0x8u /* a part of a large page, or no paging */
#define ROLE_RIGHTS_SHIFT 4 /* enum walk_rights: of the path, of all leaves */
#define ROLE_RIGHTS	  0x70u
#define ROLE_PART_SHIFT	  7 /* which part of the guest's table */
#define ROLE_PART	  0x3f80u
#define ROLE_PAE	  0x4000u
#define ROLE_LONG	  0x8000u
#define ROLE_PSE	  0x10000u
#define ROLE_NXE	  0x20000u
#define ROLE_WP0	  0x40000u
#define ROLE_SMEP	  0x80000u /* with WP0 only */
#define ROLE_SMAP	  0x100000u /* with WP0 only */

/* An entry's neighbours: those that map the same page, or point to the same
 * table, child.  Numbers are table * 512 + index, 0 is none. */
struct shadow_link {
	u64 next : 23, prev : 23, child : 14;
};

struct shadow_table {
	u64 *entry; /* what the CPU walks */
	u64 *guest; /* the guest's entry that each present one repeats */
	struct shadow_link *link;
	u64 gfn; /* of the guest's table; DIRECT: of the first page mapped */
	u32 role;
	u32 parents; /* entries that point here */
	u32 hash_next;
	u32 newer, older; /* by use; a free one: older is the next free */
	u32 loose_next, loose_prev;
	u16 live; /* present entries */
	bool loose; /* the guest may write to its table */
	bool used; /* since it became loose, or was compared, last */
};

/* Pages of 1024 heads each: of tables, of leaves. */
#define SHADOW_HASH 4
#define SHADOW_RMAP 32

#define SHADOW_PER_PAGE 64 /* struct shadow_table */
_Static_assert(sizeof(struct shadow_table) * SHADOW_PER_PAGE <= 4096, "a page");

struct shadow {
	const struct shadow_ops *ops;
	void *arg;
	struct shadow_table *page[(SHADOW_TABLES_MAX + 1) / SHADOW_PER_PAGE];
	unsigned tables, max; /* made; at most */
	unsigned pages; /* of page[] */
	u32 free, newest, oldest, loose;
	u32 *hash[SHADOW_HASH];
	u32 *rmap[SHADOW_RMAP];
	unsigned long leaves;
	bool pending; /* CPUs may hold what is gone from the tables */
	u8 *scratch; /* a page */
};

static inline struct shadow_table *
shadow_at(const struct shadow *s, u32 id)
{
	return &s->page[id / SHADOW_PER_PAGE][id % SHADOW_PER_PAGE];
}

static inline unsigned
shadow_level(const struct shadow_table *t)
{
	return t->role & ROLE_LEVEL;
}

/* Does it repeat a table of the guest's?  Of 32-bit paging's two levels the
 * third is not one. */
static inline bool
shadow_repeats(const struct shadow_table *t)
{
	return !(t->role & ROLE_DIRECT) &&
	    ((t->role & ROLE_PAE) || shadow_level(t) < 3);
}

static inline u64
shadow_load_entry(const u64 *e)
{
	return __atomic_load_n(e, __ATOMIC_RELAXED);
}

int shadow_pool_init(struct shadow *);
void shadow_pool_free(struct shadow *);
/* The table for this, made when there is none. */
u32 shadow_get(struct shadow *, struct shadow_cache *, u64 gfn, u32 role);
void shadow_zap_table(struct shadow *, u32 id);
void shadow_settle(struct shadow *); /* CPUs flush what is pending */

/* One entry. */
void shadow_clear(struct shadow *, u32 id, unsigned i);
void
shadow_set_table(struct shadow *, u32 id, unsigned i, u64 guest, u32 child);
void shadow_set_leaf(
    struct shadow *, u32 id, unsigned i, u64 guest, u64 gfn, u64 entry);

/* Every leaf of a page. */
void shadow_protect_gfn(struct shadow *, u64 gfn);
void shadow_zap_gfn(struct shadow *, u64 gfn); /* and tables that repeat it */
bool shadow_young_gfn(struct shadow *, u64 gfn, bool clear);
/* Is it a table that the guest may not write to unnoticed? */
bool shadow_guarded(const struct shadow *, u64 gfn);
/* It is written to: tables that repeat it are loose, or go. */
void shadow_loosen(struct shadow *, u64 gfn);
void shadow_tighten(struct shadow *, u32 id);
/* Which page of the guest's a leaf maps. */
u64 shadow_gfn(const struct shadow_table *, unsigned i);
/* Where the guest has the entry that entry i repeats, and its size. */
struct gpa
shadow_guest_entry(const struct shadow_table *, unsigned i, unsigned *size);

#endif
