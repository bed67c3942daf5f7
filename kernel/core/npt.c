// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Nested page tables.
 *
 * Invariants
 *  1. An entry with X86_PTE_PS at levels 2 and 3, or any present entry at
 *     level 1, is a leaf; all other present entries name a page of ours.
 *  2. Each entry is U: nested walks are user accesses (APM "Nested Paging").
 *  3. A leaf goes from one page to another, and a table goes, only with the
 *     caller told to flush.
 *  4. A table off the tree is on a list through its entry 0, with P clear: a
 *     CPU that walks it still, until the flush, finds nothing there.
 */
#include "npt.h"
#include "host.h"
#include "x86.h"

#define ENTRIES	  512
#define W	  X86_PTE_W /* bit 1 in all formats */
#define ADDR_MASK 0x000ffffffffff000ULL

const struct npt_format npt_long_mode = {
	.table = X86_PTE_P | X86_PTE_W | X86_PTE_U | X86_PTE_A,
	.leaf = X86_PTE_P | X86_PTE_U | X86_PTE_A,
	.writable = X86_PTE_W | X86_PTE_D,
	.accessed = X86_PTE_A,
	.largest = NPT_1G,
};

/* SDM vol. 3 "Format of an EPT Page-Table Entry": read, write, execute; memory
 * type write-back, whatever the guest's PAT says: no device of the host's is
 * ever in it. */
#define EPT_R	 CORE_BIT(0)
#define EPT_W	 CORE_BIT(1)
#define EPT_X	 CORE_BIT(2)
#define EPT_WB	 (6ULL << 3)
#define EPT_IPAT CORE_BIT(6)

const struct npt_format npt_ept = {
	.table = EPT_R | EPT_W | EPT_X,
	.leaf = EPT_R | EPT_X | EPT_WB | EPT_IPAT,
	.writable = EPT_W,
	.largest = NPT_1G,
};

static unsigned
index_of(struct gpa gpa, int level)
{
	return (gpa.v >> (12 + 9 * (level - 1))) & (ENTRIES - 1);
}

static u64
load(const u64 *e)
{
	return __atomic_load_n(e, __ATOMIC_RELAXED);
}

static bool
is_leaf(u64 e, int level)
{
	return level == 1 || (e & X86_PTE_PS);
}

static u64 *
table_of(u64 e)
{
	return host_page_va((struct hpa){ e & ADDR_MASK });
}

int
npt_init(struct npt *n, int levels)
{
	n->format = &npt_long_mode;
	n->levels = levels;
	n->root = host_page_alloc();
	n->tables = n->root != NULL;
	return n->root == NULL ? -ENOMEM : 0;
}

static void
free_level(u64 *table, int level)
{
	unsigned i;
	u64 e;

	for (i = 0; level > 1 && i < ENTRIES; i++) {
		e = load(&table[i]);
		if ((e & X86_PTE_P) && !is_leaf(e, level))
			free_level(table_of(e), level - 1);
	}
	host_page_free(table);
}

void
npt_free(struct npt *n)
{
	if (n->root != NULL)
		free_level(n->root, n->levels);
	n->root = NULL;
	n->tables = 0;
}

int
npt_cache_fill(struct npt_cache *c)
{
	while (c->n < NPT_LEVELS_MAX) {
		c->page[c->n] = host_page_alloc();
		if (c->page[c->n] == NULL)
			return -ENOMEM;
		c->n++;
	}
	return 0;
}

void
npt_cache_drain(struct npt_cache *c)
{
	while (c->n > 0)
		host_page_free(c->page[--c->n]);
}

/* Off the tree and onto the list (invariant 4). */
static void
unlink_table(struct npt *n, u64 *table, void **list)
{
	n->tables--;
	__atomic_store_n(
	    &table[0], (u64)(unsigned long)*list, __ATOMIC_RELAXED);
	*list = table;
}

void
npt_release(void *stale)
{
	u64 *table;

	while ((table = stale) != NULL) {
		stale = (void *)(unsigned long)table[0];
		host_page_free(table);
	}
}

/* The table that holds the entry for gpa at this level, or NULL. */
static u64 *
find(const struct npt *n, struct gpa gpa, int level)
{
	u64 *table = n->root, e;
	int at;

	for (at = n->levels; at > level; at--) {
		e = load(&table[index_of(gpa, at)]);
		if (!(e & X86_PTE_P) || is_leaf(e, at))
			return NULL;
		table = table_of(e);
	}
	return table;
}

bool
npt_fits(const struct npt *n, struct gpa gpa, enum npt_level level)
{
	u64 *table, e;

	if (level > n->format->largest)
		return false;
	if (level != NPT_1G)
		return true;
	table = find(n, gpa, level);
	if (table == NULL)
		return true;
	e = load(&table[index_of(gpa, level)]);
	return !(e & X86_PTE_P) || is_leaf(e, level);
}

/* The entry for a table; rights are those of the leaves. */
static u64
table_entry(const struct npt *n, const u64 *table)
{
	return host_page_pa(table).v | n->format->table;
}

/* Fill a table with what the leaf e of `level' maps. */
static void
split(u64 *table, u64 e, int level)
{
	u64 step = 1ULL << (12 + 9 * (level - 2));
	unsigned i;

	if (level == 2)
		e &= ~(u64)X86_PTE_PS;
	for (i = 0; i < ENTRIES; i++)
		table[i] = e + i * step;
}

/* The table below *p, made when there is none; *flush: a page was split. */
static u64 *
make_table(struct npt *n, struct npt_cache *c, u64 *p, int level, bool *flush)
{
	u64 e = load(p), *table;

	if ((e & X86_PTE_P) && !is_leaf(e, level))
		return table_of(e);
	table = c->page[--c->n];
	n->tables++;
	if (e & X86_PTE_P) {
		split(table, e, level);
		*flush = true;
	}
	__atomic_store_n(p, table_entry(n, table), __ATOMIC_RELEASE);
	return table;
}

bool
npt_map(struct npt *n, struct npt_cache *c, struct gpa gpa, struct hpa hpa,
    enum npt_level leaf, bool writable, void **stale)
{
	u64 *table = n->root, *p, e, new;
	bool flush = false;
	int level;

	*stale = NULL;
	for (level = n->levels; level > (int)leaf; level--)
		table = make_table(
		    n, c, &table[index_of(gpa, level)], level, &flush);
	p = &table[index_of(gpa, level)];
	new = (hpa.v & ~(npt_page_size(leaf) - 1)) | n->format->leaf;
	if (writable)
		new |= n->format->writable;
	if (leaf != NPT_4K)
		new |= X86_PTE_PS;
	e = __atomic_exchange_n(p, new, __ATOMIC_RELEASE);
	if (!(e & X86_PTE_P))
		return flush;
	if (!is_leaf(e, level)) {
		unlink_table(n, table_of(e), stale);
		return true;
	}
	return flush || ((e ^ new) & ADDR_MASK) || ((e & W) && !writable);
}

/* What a visit does to one leaf: the entry's new value. */
typedef u64 leaf_fn(u64 e, int level);

/*
 * All leaves over [start, end); true when fn changed one.  Entries are
 * exchanged, as the CPU sets A and D meanwhile.
 */
static bool
visit(u64 *table, int level, u64 base, u64 start, u64 end, leaf_fn *fn)
{
	u64 span = 1ULL << (12 + 9 * (level - 1)), at, e, new;
	bool changed = false;
	unsigned i;

	if (start >= end)
		return false;
	i = start > base ? (unsigned)((start - base) / span) : 0;
	for (; i < ENTRIES; i++) {
		at = base + i * span;
		if (at >= end)
			break;
		e = load(&table[i]);
		if (!(e & X86_PTE_P))
			continue;
		if (!is_leaf(e, level)) {
			changed |=
			    visit(table_of(e), level - 1, at, start, end, fn);
			continue;
		}
		do {
			new = fn(e, level);
			if (new == e)
				break;
			changed = true;
		} while (!__atomic_compare_exchange_n(&table[i], &e, new, false,
		    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	}
	return changed;
}

static u64
zap_leaf(u64 e, int level)
{
	(void)e;
	(void)level;
	return 0;
}

static u64
protect_leaf(u64 e, int level)
{
	(void)level;
	return e & ~(u64)W;
}

static u64
old_leaf(u64 e, int level)
{
	(void)level;
	return e & ~(u64)X86_PTE_A;
}

bool
npt_zap(struct npt *n, struct gpa start, struct gpa end)
{
	return visit(n->root, n->levels, 0, start.v, end.v, zap_leaf);
}

bool
npt_protect(struct npt *n, struct gpa start, struct gpa end)
{
	return visit(n->root, n->levels, 0, start.v, end.v, protect_leaf);
}

bool
npt_protect_mask(struct npt *n, struct gpa base, u64 mask)
{
	struct gpa gpa;
	bool changed = false;

	for (; mask != 0; mask &= mask - 1) {
		gpa.v = base.v + ((u64)__builtin_ctzll(mask) << 12);
		changed |= npt_protect(n, gpa, (struct gpa){ gpa.v + 4096 });
	}
	return changed;
}

static bool
any_young(
    u64 accessed, const u64 *table, int level, u64 base, u64 start, u64 end)
{
	u64 span = 1ULL << (12 + 9 * (level - 1)), at, e;
	unsigned i;

	if (start >= end)
		return false;
	i = start > base ? (unsigned)((start - base) / span) : 0;
	for (; i < ENTRIES; i++) {
		at = base + i * span;
		if (at >= end)
			break;
		e = load(&table[i]);
		if (!(e & X86_PTE_P))
			continue;
		if (is_leaf(e, level) ? (e & accessed) == accessed
				      : any_young(accessed, table_of(e),
					    level - 1, at, start, end))
			return true;
	}
	return false;
}

bool
npt_young(struct npt *n, struct gpa start, struct gpa end, bool clear)
{
	if (clear)
		return visit(n->root, n->levels, 0, start.v, end.v,
		    n->format->accessed ? old_leaf : zap_leaf);
	return any_young(
	    n->format->accessed, n->root, n->levels, 0, start.v, end.v);
}

/* Below `table', which serves from base on; true when it maps nothing. */
static bool
prune(struct npt *n, u64 *table, int level, u64 base, u64 start, u64 end,
    void **list)
{
	u64 span = 1ULL << (12 + 9 * (level - 1)), at, e;
	bool empty = true;
	unsigned i;

	for (i = 0; i < ENTRIES; i++) {
		e = load(&table[i]);
		if (!(e & X86_PTE_P))
			continue;
		at = base + i * span;
		if (is_leaf(e, level) || at >= end || at + span <= start ||
		    !prune(n, table_of(e), level - 1, at, start, end, list) ||
		    at < start || at + span > end) {
			empty = false;
			continue;
		}
		__atomic_store_n(&table[i], 0, __ATOMIC_RELEASE);
		unlink_table(n, table_of(e), list);
	}
	return empty;
}

void *
npt_prune(struct npt *n, struct gpa start, struct gpa end)
{
	void *list = NULL;

	prune(n, n->root, n->levels, 0, start.v, end.v, &list);
	return list;
}
