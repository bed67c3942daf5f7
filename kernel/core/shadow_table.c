// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Shadow tables: a bounded pool of them, found by what they repeat.
 *
 * Invariants
 *  1. A table in use is in one chain of hash[] and in the list by age; one
 *     that is not is in the list of free ones, with no entry present.
 *  2. Each present entry of level 1 is a leaf and in the chain of the page
 *     that it maps; each of a higher level points to a table and is in that
 *     table's chain of parents.
 *  3. A page that a table repeats is mapped writable by no leaf while that
 *     table is not loose.
 *  4. A right that is taken away is pending until CPUs have flushed; a table
 *     is used again only after that.
 */
#include "host.h"
#include "shadow_table.h"
#include "x86.h"

#define HEADS	1024 /* in a page */
#define RECLAIM 16 /* tables at a time: one flush for all */

static u64
mix(u64 x)
{
	return (x * 0x9e3779b97f4a7c15ULL) >> 32;
}

static u32 *
hash_head(const struct shadow *s, u64 gfn)
{
	u64 h = mix(gfn);

	return &s->hash[h % SHADOW_HASH][h / SHADOW_HASH % HEADS];
}

static u32 *
rmap_head(const struct shadow *s, u64 gfn)
{
	u64 h = mix(gfn);

	return &s->rmap[h % SHADOW_RMAP][h / SHADOW_RMAP % HEADS];
}

static struct shadow_link *
link_of(const struct shadow *s, u32 entry)
{
	return &shadow_at(s, entry / SHADOW_ENTRIES)
		    ->link[entry % SHADOW_ENTRIES];
}

static void
chain(struct shadow *s, u32 *head, u32 entry)
{
	struct shadow_link *l = link_of(s, entry);

	l->prev = 0;
	l->next = *head;
	if (*head != 0)
		link_of(s, *head)->prev = entry;
	*head = entry;
}

static void
unchain(struct shadow *s, u32 *head, u32 entry)
{
	struct shadow_link *l = link_of(s, entry);

	if (l->prev != 0)
		link_of(s, l->prev)->next = l->next;
	else
		*head = (u32)l->next;
	if (l->next != 0)
		link_of(s, l->next)->prev = l->prev;
}

/* --- by age --------------------------------------------------------------- */

static void
age_insert(struct shadow *s, u32 id)
{
	struct shadow_table *t = shadow_at(s, id);

	t->newer = 0;
	t->older = s->newest;
	if (s->newest != 0)
		shadow_at(s, s->newest)->newer = id;
	else
		s->oldest = id;
	s->newest = id;
}

static void
age_remove(struct shadow *s, u32 id)
{
	struct shadow_table *t = shadow_at(s, id);

	if (t->newer != 0)
		shadow_at(s, t->newer)->older = t->older;
	else
		s->newest = t->older;
	if (t->older != 0)
		shadow_at(s, t->older)->newer = t->newer;
	else
		s->oldest = t->newer;
}

/* --- entries -------------------------------------------------------------- */

u64
shadow_gfn(const struct shadow_table *t, unsigned i)
{
	if (t->role & ROLE_DIRECT)
		return t->gfn + i;
	if (t->role & ROLE_PAE)
		return (t->guest[i] & SHADOW_ADDR) >> 12;
	return (u32)t->guest[i] >> 12;
}

/*
 * A table of 1024 entries of 4 bytes is repeated by two of level 1, and by
 * four of level 2, each entry of which has one half of a page table; the four
 * entries of PAE's first level are anywhere in their page.
 */
struct gpa
shadow_guest_entry(const struct shadow_table *t, unsigned i, unsigned *size)
{
	unsigned part = (t->role & ROLE_PART) >> ROLE_PART_SHIFT, at;

	*size = (t->role & ROLE_PAE) ? 8 : 4;
	if (t->role & ROLE_PAE)
		at = (shadow_level(t) == 3 ? part * 32 : 0) + i * 8;
	else if (shadow_level(t) == 2)
		at = (part * 256 + i / 2) * 4;
	else
		at = (part * 512 + i) * 4;
	return (struct gpa){ (t->gfn << 12) + at };
}

void
shadow_settle(struct shadow *s)
{
	if (!s->pending)
		return;
	s->pending = false;
	s->ops->flush(s->arg);
}

void
shadow_clear(struct shadow *s, u32 id, unsigned i)
{
	struct shadow_table *t = shadow_at(s, id), *child;
	u32 entry = id * SHADOW_ENTRIES + i, *head;

	if (!(shadow_load_entry(&t->entry[i]) & X86_PTE_P))
		return;
	if (shadow_level(t) == 1) {
		head = rmap_head(s, shadow_gfn(t, i));
		s->leaves--;
	} else {
		child = shadow_at(s, (u32)t->link[i].child);
		head = &child->parents;
	}
	__atomic_store_n(&t->entry[i], 0, __ATOMIC_RELEASE);
	unchain(s, head, entry);
	t->live--;
	s->pending = true;
}

static void
put(struct shadow_table *t, unsigned i, u64 guest, u64 e)
{
	t->guest[i] = guest;
	t->live++;
	__atomic_store_n(&t->entry[i], e, __ATOMIC_RELEASE);
}

void
shadow_set_table(struct shadow *s, u32 id, unsigned i, u64 guest, u32 child)
{
	struct shadow_table *t = shadow_at(s, id), *c = shadow_at(s, child);
	u64 e = host_page_pa(c->entry).v | X86_PTE_P | X86_PTE_W | X86_PTE_U |
	    X86_PTE_A;

	if (((shadow_load_entry(&t->entry[i]) ^ e) &
		~(u64)(X86_PTE_A | X86_PTE_D)) == 0) {
		t->guest[i] = guest;
		return;
	}
	shadow_clear(s, id, i);
	t->link[i].child = child;
	chain(s, &c->parents, id * SHADOW_ENTRIES + i);
	put(t, i, guest, e);
}

void
shadow_set_leaf(struct shadow *s, u32 id, unsigned i, u64 guest, u64 gfn, u64 e)
{
	struct shadow_table *t = shadow_at(s, id);
	u64 old = shadow_load_entry(&t->entry[i]);

	if ((old & X86_PTE_P) && !((old ^ e) & SHADOW_ADDR) &&
	    shadow_gfn(t, i) == gfn) {
		/* Other rights to the same page. */
		__atomic_store_n(&t->entry[i], e, __ATOMIC_RELEASE);
		if ((old & ~e & (X86_PTE_W | X86_PTE_U)) ||
		    (e & ~old & X86_PTE_NX))
			s->pending = true;
		t->guest[i] = guest;
		return;
	}
	shadow_clear(s, id, i);
	put(t, i, guest, e);
	chain(s, rmap_head(s, gfn), id * SHADOW_ENTRIES + i);
	s->leaves++;
}

/* --- tables --------------------------------------------------------------- */

void
shadow_tighten(struct shadow *s, u32 id)
{
	struct shadow_table *t = shadow_at(s, id);

	if (!t->loose)
		return;
	t->loose = false;
	if (t->loose_prev != 0)
		shadow_at(s, t->loose_prev)->loose_next = t->loose_next;
	else
		s->loose = t->loose_next;
	if (t->loose_next != 0)
		shadow_at(s, t->loose_next)->loose_prev = t->loose_prev;
}

/* Did the CPU come through it since this was asked last? */
static bool
visited(struct shadow *s, const struct shadow_table *t)
{
	bool any = false;
	u32 e;

	for (e = t->parents; e != 0; e = (u32)link_of(s, e)->next)
		any |= (__atomic_fetch_and(&shadow_at(s, e / SHADOW_ENTRIES)
						->entry[e % SHADOW_ENTRIES],
			    ~(u64)X86_PTE_A, __ATOMIC_RELAXED) &
			   X86_PTE_A) != 0;
	return any;
}

static void
loosen(struct shadow *s, u32 id)
{
	struct shadow_table *t = shadow_at(s, id);

	t->loose = true;
	t->used = false;
	t->loose_prev = 0;
	t->loose_next = s->loose;
	if (s->loose != 0)
		shadow_at(s, s->loose)->loose_prev = id;
	s->loose = id;
}

void
shadow_zap_table(struct shadow *s, u32 id)
{
	struct shadow_table *t = shadow_at(s, id);
	u32 *p = hash_head(s, t->gfn);
	unsigned i;

	for (i = 0; t->live > 0 && i < SHADOW_ENTRIES; i++)
		shadow_clear(s, id, i);
	while (t->parents != 0)
		shadow_clear(s, t->parents / SHADOW_ENTRIES,
		    t->parents % SHADOW_ENTRIES);
	shadow_tighten(s, id);
	while (*p != id)
		p = &shadow_at(s, *p)->hash_next;
	*p = t->hash_next;
	age_remove(s, id);
	t->role = 0;
	t->older = s->free;
	s->free = id;
	s->pending = true; /* a CPU may still have it as its root */
}

/* Three pages make one more, while there may be more. */
static bool
grow(struct shadow *s, struct shadow_cache *c)
{
	struct shadow_table *t;
	u32 id = s->tables + 1;

	if (s->tables == s->max || c->n < 3)
		return false;
	s->tables++;
	t = shadow_at(s, id);
	t->entry = c->page[--c->n];
	t->guest = c->page[--c->n];
	t->link = c->page[--c->n];
	t->older = s->free;
	s->free = id;
	return true;
}

static u32
take(struct shadow *s, struct shadow_cache *c)
{
	unsigned n;
	u32 id;

	if (s->free == 0 && !grow(s, c)) {
		for (n = 0; n < RECLAIM && s->oldest != s->newest; n++)
			shadow_zap_table(s, s->oldest);
	}
	shadow_settle(s);
	id = s->free;
	s->free = shadow_at(s, id)->older;
	return id;
}

u32
shadow_get(struct shadow *s, struct shadow_cache *c, u64 gfn, u32 role)
{
	struct shadow_table *t;
	u32 id, *head = hash_head(s, gfn);

	for (id = *head; id != 0; id = t->hash_next) {
		t = shadow_at(s, id);
		if (t->gfn == gfn && t->role == role)
			break;
	}
	if (id != 0) {
		age_remove(s, id);
		age_insert(s, id);
		t->used = true;
		return id;
	}
	id = take(s, c);
	t = shadow_at(s, id);
	t->gfn = gfn;
	t->role = role;
	t->parents = 0;
	t->live = 0;
	t->loose = false;
	t->used = true;
	t->hash_next = *head;
	*head = id;
	age_insert(s, id);
	if (shadow_repeats(t)) {
		shadow_protect_gfn(s, gfn);
		shadow_settle(s);
	}
	return id;
}

/* --- pages of the guest's ------------------------------------------------- */

void
shadow_protect_gfn(struct shadow *s, u64 gfn)
{
	struct shadow_table *t;
	u32 e;

	for (e = *rmap_head(s, gfn); e != 0; e = (u32)link_of(s, e)->next) {
		t = shadow_at(s, e / SHADOW_ENTRIES);
		if (shadow_gfn(t, e % SHADOW_ENTRIES) == gfn &&
		    (__atomic_fetch_and(&t->entry[e % SHADOW_ENTRIES],
			 ~(u64)X86_PTE_W, __ATOMIC_ACQ_REL) &
			X86_PTE_W))
			s->pending = true;
	}
}

void
shadow_zap_gfn(struct shadow *s, u64 gfn)
{
	const struct shadow_table *t;
	u32 e, next;

	for (e = *rmap_head(s, gfn); e != 0; e = next) {
		next = (u32)link_of(s, e)->next;
		if (shadow_gfn(shadow_at(s, e / SHADOW_ENTRIES),
			e % SHADOW_ENTRIES) == gfn)
			shadow_clear(s, e / SHADOW_ENTRIES, e % SHADOW_ENTRIES);
	}
	for (e = *hash_head(s, gfn); e != 0; e = next) {
		t = shadow_at(s, e);
		next = t->hash_next;
		if (t->gfn == gfn && shadow_repeats(t))
			shadow_zap_table(s, e);
	}
}

bool
shadow_young_gfn(struct shadow *s, u64 gfn, bool clear)
{
	u64 mask = clear ? ~(u64)X86_PTE_A : ~0ULL;
	struct shadow_table *t;
	bool any = false;
	u32 e;

	for (e = *rmap_head(s, gfn); e != 0; e = (u32)link_of(s, e)->next) {
		t = shadow_at(s, e / SHADOW_ENTRIES);
		if (shadow_gfn(t, e % SHADOW_ENTRIES) == gfn)
			any |=
			    (__atomic_fetch_and(&t->entry[e % SHADOW_ENTRIES],
				 mask, __ATOMIC_ACQ_REL) &
				X86_PTE_A) != 0;
	}
	return any;
}

bool
shadow_guarded(const struct shadow *s, u64 gfn)
{
	const struct shadow_table *t;
	u32 id;

	for (id = *hash_head(s, gfn); id != 0; id = t->hash_next) {
		t = shadow_at(s, id);
		if (t->gfn == gfn && !t->loose && shadow_repeats(t))
			return true;
	}
	return false;
}

/* One that has served nothing since the last time is no table any more. */
void
shadow_loosen(struct shadow *s, u64 gfn)
{
	const struct shadow_table *t;
	u32 id, next;

	for (id = *hash_head(s, gfn); id != 0; id = next) {
		t = shadow_at(s, id);
		next = t->hash_next;
		if (t->gfn != gfn || t->loose || !shadow_repeats(t))
			continue;
		if (visited(s, t) || t->used)
			loosen(s, id);
		else
			shadow_zap_table(s, id);
	}
}

/* --- the pool ------------------------------------------------------------- */

int
shadow_pool_init(struct shadow *s)
{
	unsigned i;

	s->scratch = host_page_alloc();
	if (s->scratch == NULL)
		return -ENOMEM;
	for (i = 0; i < SHADOW_HASH; i++) {
		s->hash[i] = host_page_alloc();
		if (s->hash[i] == NULL)
			return -ENOMEM;
	}
	for (i = 0; i < SHADOW_RMAP; i++) {
		s->rmap[i] = host_page_alloc();
		if (s->rmap[i] == NULL)
			return -ENOMEM;
	}
	for (; s->pages * SHADOW_PER_PAGE <= s->max; s->pages++) {
		s->page[s->pages] = host_page_alloc();
		if (s->page[s->pages] == NULL)
			return -ENOMEM;
	}
	return 0;
}

void
shadow_pool_free(struct shadow *s)
{
	struct shadow_table *t;
	unsigned i;

	for (i = 1; i <= s->tables; i++) {
		t = shadow_at(s, i);
		host_page_free(t->entry);
		host_page_free(t->guest);
		host_page_free(t->link);
	}
	for (i = 0; i < s->pages; i++)
		host_page_free(s->page[i]);
	for (i = 0; i < SHADOW_RMAP; i++)
		host_page_free(s->rmap[i]);
	for (i = 0; i < SHADOW_HASH; i++)
		host_page_free(s->hash[i]);
	host_page_free(s->scratch);
}
