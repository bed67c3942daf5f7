// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Shadow page tables: what the guest's tables say, put where the CPU walks.
 *
 * Invariants
 *  1. An entry is made only of a walk of the guest's tables, and only when
 *     each entry of that walk is still the same while the guest cannot write
 *     to it unnoticed.  Rights come with the last level alone, those of the
 *     whole path.
 *  2. A leaf is writable only when the guest's entry is dirty, the host's
 *     page may be written to, and no table that is not loose repeats it.
 *  3. CPU tables hold no bit of the guest's but rights: addresses are those of
 *     the pages that the host gave.
 */
#include "shadow.h"
#include "host.h"
#include "shadow_table.h"
#include "x86.h"

/* Entries that one access may make, those of 64 bytes of a table of 8 each. */
#define AROUND 8

/* Entries of a table that are compared one by one. */
#define SPARSE 4

/* Pages of a range that are looked up one by one. */
#define FEW 512

#define SPAN(level) (1ULL << (12 + 9 * ((level)-1)))

int
shadow_cache_fill(struct shadow_cache *c)
{
	while (c->n < SHADOW_CACHE) {
		c->page[c->n] = host_page_alloc();
		if (c->page[c->n] == NULL)
			return -ENOMEM;
		c->n++;
	}
	return 0;
}

void
shadow_cache_drain(struct shadow_cache *c)
{
	while (c->n > 0)
		host_page_free(c->page[--c->n]);
}

struct shadow *
shadow_new(const struct shadow_ops *ops, void *arg, unsigned tables)
{
	struct shadow *s = host_page_alloc();

	_Static_assert(sizeof(*s) <= 4096, "a page");
	if (s == NULL)
		return NULL;
	s->ops = ops;
	s->arg = arg;
	s->max = tables;
	if (shadow_pool_init(s) != 0) {
		shadow_free(s);
		return NULL;
	}
	return s;
}

void
shadow_free(struct shadow *s)
{
	if (s == NULL)
		return;
	shadow_pool_free(s);
	host_page_free(s);
}

/* --- modes ---------------------------------------------------------------- */

static bool
is_long(const struct walk_env *env)
{
	return (env->efer & X86_EFER_LMA) != 0;
}

/* Levels that the CPU walks. */
static unsigned
levels_of(const struct walk_env *env)
{
	if (!is_long(env))
		return 3;
	return (env->cr4 & X86_CR4_LA57) ? 5 : 4;
}

/* What else decides about a guest table's leaves. */
static u32
mode_role(const struct walk_env *env)
{
	u32 role = 0;

	if (env->cr4 & X86_CR4_PAE)
		role |= ROLE_PAE;
	else if (env->cr4 & X86_CR4_PSE)
		role |= ROLE_PSE;
	if (is_long(env))
		role |= ROLE_LONG;
	if (env->efer & X86_EFER_NXE)
		role |= ROLE_NXE;
	if (env->cr0 & X86_CR0_WP)
		return role;
	role |= ROLE_WP0;
	if (env->cr4 & X86_CR4_SMEP)
		role |= ROLE_SMEP;
	if (env->cr4 & X86_CR4_SMAP)
		role |= ROLE_SMAP;
	return role;
}

static u32
rights_role(unsigned rights)
{
	return rights << ROLE_RIGHTS_SHIFT;
}

struct key {
	u64 gfn;
	u32 role;
};

static struct key
root_key(const struct walk_env *env)
{
	u32 role = levels_of(env) | rights_role(WALK_W | WALK_U);
	u64 at;

	if (!(env->cr0 & X86_CR0_PG))
		return (struct key){ 0, role | ROLE_DIRECT };
	role |= mode_role(env);
	if (is_long(env))
		at = env->cr3 & (CORE_BIT(env->maxphyaddr) - 1);
	else
		at = env->cr3 & 0xffffffff;
	if ((env->cr4 & X86_CR4_PAE) && !is_long(env))
		role |= (u32)(at >> 5 & 127) << ROLE_PART_SHIFT;
	return (struct key){ at >> 12, role };
}

static bool
is(const struct shadow_table *t, struct key k)
{
	return t->gfn == k.gfn && t->role == k.role;
}

static unsigned
index_at(const struct walk_env *env, struct gva va, unsigned level)
{
	unsigned i = (va.v >> (12 + 9 * (level - 1))) & (SHADOW_ENTRIES - 1);

	return level == 3 && !is_long(env) ? i & 3 : i;
}

/* --- what a walk says ----------------------------------------------------- */

/*
 * The rights of a leaf, or -1.  The CPU has CR0.WP set.  A guest that has not
 * lets its kernel write to any page: one of the kernel's is simply writable;
 * one of users' is, for a while, nobody else's.
 */
static int
leaf_rights(
    const struct walk_env *env, const struct walk_result *r, unsigned access)
{
	const struct walk_path *p = &r->path;
	bool write = (access & WALK_WRITE) != 0;
	bool w = r->writable, u = r->user, nx = r->nx, dirty;

	if (p->levels == 0)
		return WALK_W | WALK_U;
	dirty = write || (p->entry[p->leaf - 1] & X86_PTE_D);
	if (!w && !(env->cr0 & X86_CR0_WP)) {
		if (!u) {
			w = true;
		} else if (write && !(access & WALK_USER)) {
			/* Without the U bit SMAP would not be checked. */
			if (env->cr4 & X86_CR4_SMAP)
				return -1;
			w = true;
			u = false;
			nx |= (env->cr4 & X86_CR4_SMEP) != 0;
		}
	}
	return (w && dirty ? WALK_W : 0) | (u ? WALK_U : 0) |
	    (nx ? WALK_NX : 0);
}

/* The guest's entry that the CPU's of this level repeats; 0: none. */
static u64
guest_entry(const struct walk_path *p, unsigned level)
{
	return level <= p->levels && level >= p->leaf ? p->entry[level - 1] : 0;
}

/* The table below the CPU's entry of this level. */
static struct key
child_key(const struct walk_env *env, const struct walk_result *r,
    struct gva va, unsigned level, unsigned rights)
{
	const struct walk_path *p = &r->path;
	u32 role = level - 1;

	if (p->levels == 0 || level <= p->leaf)
		return (struct key){ (r->gpa.v & ~(SPAN(level) - 1)) >> 12,
			role | ROLE_DIRECT | rights_role(rights) };
	role |= mode_role(env);
	if (p->size == 4)
		role |= (u32)(level == 3 ? va.v >> 30 & 3 : va.v >> 21 & 1)
		    << ROLE_PART_SHIFT;
	if (level > p->levels) /* above 32-bit paging's two */
		return (struct key){ p->addr[1].v >> 12,
			role | rights_role(WALK_W | WALK_U) };
	return (struct key){ p->addr[level - 2].v >> 12,
		role | rights_role(p->rights[level - 1]) };
}

/* Is each entry what the walk found? */
static bool
still_so(struct shadow *s, const struct walk_path *p)
{
	unsigned level;
	u64 e;

	for (level = p->levels; level > 0 && level >= p->leaf; level--) {
		e = 0;
		if (s->ops->peek(s->arg, p->addr[level - 1], &e, p->size) ||
		    e != p->entry[level - 1])
			return false;
	}
	return true;
}

static u64
leaf_entry(struct hpa hpa, unsigned rights, bool writable)
{
	u64 e = (hpa.v & SHADOW_ADDR) | X86_PTE_P | X86_PTE_A;

	if ((rights & WALK_W) && writable)
		e |= X86_PTE_W | X86_PTE_D;
	if (rights & WALK_U)
		e |= X86_PTE_U;
	if (rights & WALK_NX)
		e |= X86_PTE_NX;
	return e;
}

/*
 * The leaves beside the one at index `at', which have no entry yet, or one without
 * the right to write that this one has: of the same large page, or of entries that
 * are the guest's like that one (with its D bit) but for the address.  The CPU has
 * not been there: the A bit is its own to set.
 */
static void
fill_around(struct shadow *s, u32 id, unsigned at, const struct walk_env *env,
    const struct walk_path *p, unsigned rights)
{
	struct shadow_table *t = shadow_at(s, id);
	bool direct = (t->role & ROLE_DIRECT) != 0;
	u64 addr = CORE_BIT(p->size == 4 ? 32 : env->maxphyaddr) - 4096;
	unsigned first = at & ~(AROUND - 1U), i, size = 0;
	u8 entry[AROUND * 8];
	struct gpa gpa;
	struct hpa hpa;
	u64 e = 0, old;

	if (!direct) {
		/* What a write was permitted without CR0.WP is no use to others. */
		if (!(env->cr0 & X86_CR0_WP))
			return;
		gpa = shadow_guest_entry(t, first, &size);
		if (s->ops->peek(s->arg, gpa, entry, AROUND * size))
			return;
	}
	for (i = first; i < first + AROUND; i++) {
		old = shadow_load_entry(&t->entry[i]);
		if ((old & X86_PTE_P) &&
		    ((old & X86_PTE_W) || !(rights & WALK_W)))
			continue;
		gpa.v = (t->gfn + i) << 12;
		if (!direct) {
			memcpy(&e, entry + (i - first) * size, size);
			if ((e ^ p->entry[0]) & ~addr)
				continue;
			gpa.v = e & addr;
		}
		if (s->ops->writable_page(s->arg, gpa, &hpa))
			continue;
		shadow_set_leaf(s, id, i, e, gpa.v >> 12,
		    (leaf_entry(hpa, rights, !shadow_guarded(s, gpa.v >> 12)) &
			~(u64)X86_PTE_A) |
			(old & X86_PTE_A));
	}
}

enum shadow_fill
shadow_fill(struct shadow *s, struct shadow_cache *c,
    const struct shadow_root *root, const struct walk_env *env, struct gva va,
    unsigned access, const struct walk_result *r, struct hpa hpa, bool writable)
{
	unsigned levels = levels_of(env), level;
	u64 gfn = r->gpa.v >> 12;
	u32 id[WALK_LEVELS + 1];
	int rights = leaf_rights(env, r, access);
	struct key k = root_key(env);

	if (rights < 0)
		return SHADOW_EMULATE;
	if (root->table == 0 || !is(shadow_at(s, root->table), k))
		return SHADOW_AGAIN;
	/* All tables first: to make one may take another's entries. */
	for (level = levels; level > 0; level--) {
		id[level] = shadow_get(s, c, k.gfn, k.role);
		if (level > 1)
			k = child_key(env, r, va, level, (unsigned)rights);
	}
	if (!still_so(s, &r->path))
		return SHADOW_AGAIN;
	for (level = levels; level > 1; level--)
		shadow_set_table(s, id[level], index_at(env, va, level),
		    guest_entry(&r->path, level), id[level - 1]);
	if (access & WALK_WRITE)
		shadow_loosen(s, gfn);
	else if (writable)
		writable = !shadow_guarded(s, gfn);
	shadow_set_leaf(s, id[1], index_at(env, va, 1),
	    guest_entry(&r->path, 1), gfn,
	    leaf_entry(hpa, (unsigned)rights, writable));
	fill_around(
	    s, id[1], index_at(env, va, 1), env, &r->path, (unsigned)rights);
	return SHADOW_FILLED;
}

/* --- what the guest invalidates ------------------------------------------- */

static void
protect_leaf(struct shadow *s, u32 id, unsigned i)
{
	if (__atomic_fetch_and(&shadow_at(s, id)->entry[i], ~(u64)X86_PTE_W,
		__ATOMIC_ACQ_REL) &
	    X86_PTE_W)
		s->pending = true;
}

/* Where the entry has neither moved nor lost its A bit, a leaf may stay as it
 * is but for W, which the next write brings back if it may. */
#define HARMLESS (X86_PTE_W | X86_PTE_D | 7 << 9)

/* Memory has e where entry i repeats another one. */
static void
changed(struct shadow *s, u32 id, unsigned i, u64 e)
{
	struct shadow_table *t = shadow_at(s, id);

	if (shadow_level(t) > 1 || !(e & X86_PTE_A) ||
	    ((e ^ t->guest[i]) & ~(u64)HARMLESS)) {
		shadow_clear(s, id, i);
		return;
	}
	protect_leaf(s, id, i);
	t->guest[i] = e;
}

/* The guest's entry that entry i repeats, as memory has it; page: the guest's
 * table, when it was read as a whole. */
static u64
in_memory(
    struct shadow *s, const struct shadow_table *t, unsigned i, const u8 *page)
{
	unsigned size;
	struct gpa gpa = shadow_guest_entry(t, i, &size);
	u64 e = 0;

	if (page != NULL)
		memcpy(&e, page + (gpa.v & 0xfff), size);
	else if (s->ops->peek(s->arg, gpa, &e, size))
		e = 0;
	return e;
}

static void
compare(struct shadow *s, u32 id)
{
	struct shadow_table *t = shadow_at(s, id);
	unsigned i, n = t->live;
	const u8 *page = NULL;
	u64 e;

	if (n > SPARSE &&
	    s->ops->peek(
		s->arg, (struct gpa){ t->gfn << 12 }, s->scratch, 4096) == 0)
		page = s->scratch;
	for (i = 0; n > 0 && i < SHADOW_ENTRIES; i++) {
		if (!(shadow_load_entry(&t->entry[i]) & X86_PTE_P))
			continue;
		n--;
		e = in_memory(s, t, i, page);
		if (e != t->guest[i])
			changed(s, id, i, e);
	}
}

/*
 * A table that is empty then is one that the guest has given up, or will make
 * anew: it goes, and where it has few entries before the guest is hindered to
 * write to it.
 */
static void
compare_loose(struct shadow *s)
{
	u32 id, next;

	if (s->loose == 0)
		return;
	for (id = s->loose; id != 0; id = next) {
		next = shadow_at(s, id)->loose_next;
		if (shadow_at(s, id)->live <= SPARSE)
			compare(s, id);
		if (shadow_at(s, id)->live == 0)
			shadow_zap_table(s, id);
		else
			shadow_protect_gfn(s, shadow_at(s, id)->gfn);
	}
	shadow_settle(s);
	while ((id = s->loose) != 0) {
		shadow_tighten(s, id);
		compare(s, id);
		if (shadow_at(s, id)->live == 0)
			shadow_zap_table(s, id);
	}
}

struct hpa
shadow_load(struct shadow *s, struct shadow_cache *c, struct shadow_root *root,
    const struct walk_env *env, bool invalidate)
{
	struct key k = root_key(env);

	if (invalidate)
		compare_loose(s);
	root->table = shadow_get(s, c, k.gfn, k.role);
	if (!is_long(env))
		return (struct hpa){ 0 };
	return host_page_pa(shadow_at(s, root->table)->entry);
}

void
shadow_show_pae(struct shadow *s, struct shadow_root *root)
{
	const struct shadow_table *t = shadow_at(s, root->table);
	unsigned i;

	/* "Legacy PAE": of the first level's bits only P is used. */
	for (i = 0; i < 4; i++)
		__atomic_store_n(&root->pae[i],
		    shadow_load_entry(&t->entry[i]) & (SHADOW_ADDR | X86_PTE_P),
		    __ATOMIC_RELAXED);
}

void
shadow_invlpg(struct shadow *s, const struct shadow_root *root,
    const struct walk_env *env, struct gva va)
{
	u32 id = root->table, next;
	struct shadow_table *t;
	unsigned level, i, size;
	struct gpa at;
	u64 e;

	if (id == 0 || !is(shadow_at(s, id), root_key(env)))
		return;
	for (level = levels_of(env); level > 0; level--, id = next) {
		t = shadow_at(s, id);
		i = index_at(env, va, level);
		if (!(shadow_load_entry(&t->entry[i]) & X86_PTE_P))
			return;
		next = (u32)t->link[i].child;
		if (!t->loose)
			continue;
		at = shadow_guest_entry(t, i, &size);
		e = 0;
		if (s->ops->peek(s->arg, at, &e, size) || e != t->guest[i]) {
			shadow_clear(s, id, i);
			return;
		}
	}
}

void
shadow_written(struct shadow *s, struct gpa gpa, unsigned len)
{
	u64 gfn;

	for (gfn = gpa.v >> 12; gfn <= (gpa.v + len - 1) >> 12; gfn++)
		shadow_loosen(s, gfn);
}

/* --- what the host does --------------------------------------------------- */

/* What the host does to the pages of a range. */
struct deed {
	void (*gfn)(struct shadow *, u64 gfn);
	void (*leaf)(struct shadow *, u32 id, unsigned i);
	void (*table)(struct shadow *, u32 id); /* that repeats one */
};

static void
keep_table(struct shadow *s, u32 id)
{
	(void)s;
	(void)id;
}

static const struct deed zap = { shadow_zap_gfn, shadow_clear,
	shadow_zap_table };
static const struct deed protect = { shadow_protect_gfn, protect_leaf,
	keep_table };

/* Every leaf once, however often the guest has mapped a page. */
static void
over_tables(struct shadow *s, u64 first, u64 last, const struct deed *d)
{
	struct shadow_table *t;
	unsigned i;
	u64 gfn;
	u32 id;

	for (id = 1; id <= s->tables; id++) {
		t = shadow_at(s, id);
		for (i = 0; shadow_level(t) == 1 && i < SHADOW_ENTRIES; i++) {
			if (!(shadow_load_entry(&t->entry[i]) & X86_PTE_P))
				continue;
			gfn = shadow_gfn(t, i);
			if (gfn >= first && gfn < last)
				d->leaf(s, id, i);
		}
		if (t->role != 0 && shadow_repeats(t) && t->gfn >= first &&
		    t->gfn < last)
			d->table(s, id);
	}
}

static void
over(struct shadow *s, struct gpa start, struct gpa end, const struct deed *d)
{
	u64 first = start.v >> 12, last = (end.v + 4095) >> 12;

	if (start.v >= end.v)
		return;
	if (last - first > FEW && last - first > s->tables)
		over_tables(s, first, last, d);
	else
		for (; first < last; first++)
			d->gfn(s, first);
	shadow_settle(s);
}

void
shadow_zap(struct shadow *s, struct gpa start, struct gpa end)
{
	over(s, start, end, &zap);
}

void
shadow_protect(struct shadow *s, struct gpa start, struct gpa end)
{
	over(s, start, end, &protect);
}

void
shadow_protect_mask(struct shadow *s, struct gpa base, u64 mask)
{
	for (; mask != 0; mask &= mask - 1)
		shadow_protect_gfn(
		    s, (base.v >> 12) + (u64)__builtin_ctzll(mask));
	shadow_settle(s);
}

bool
shadow_young(struct shadow *s, struct gpa start, struct gpa end, bool clear)
{
	bool any = false;
	u64 gfn;

	for (gfn = start.v >> 12; gfn < (end.v + 4095) >> 12; gfn++)
		any |= shadow_young_gfn(s, gfn, clear);
	return any;
}

void
shadow_zap_all(struct shadow *s)
{
	while (s->newest != 0)
		shadow_zap_table(s, s->newest);
	shadow_settle(s);
}
