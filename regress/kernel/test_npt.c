/* SPDX-License-Identifier: ISC */
/*
 * Nested page tables against a flat model: an array that says for each guest
 * page what it maps to.  Translations are read from the tables by a walker of
 * the test's own, as a CPU would.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdlib.h>

#include "host.h"
#include "npt.h"
#include "x86.h"

/* --- the host: pages of a fixed arena, counted --------------------------- */

#define ARENA_PAGES 512
#define ARENA_PA    0x7f000000000ULL

static u8 arena[ARENA_PAGES][4096] __attribute__((aligned(4096)));
static bool used[ARENA_PAGES];
static unsigned long in_use, budget = ARENA_PAGES;

void *
host_page_alloc(void)
{
	unsigned i;

	if (in_use >= budget)
		return NULL;
	for (i = 0; used[i]; i++)
		;
	used[i] = true;
	in_use++;
	return memset(arena[i], 0, sizeof(arena[i]));
}

void
host_page_free(void *page)
{
	unsigned i;

	if (page == NULL)
		return;
	i = (unsigned)(((u8 *)page - arena[0]) / 4096);
	assert_true(used[i]);
	memset(page, 0xa5, 4096);
	used[i] = false;
	in_use--;
}

struct hpa
host_page_pa(const void *page)
{
	return (struct hpa){ ARENA_PA + (u64)((const u8 *)page - arena[0]) };
}

void *
host_page_va(struct hpa pa)
{
	assert_true(pa.v >= ARENA_PA && pa.v < ARENA_PA + sizeof(arena));
	return arena[0] + (pa.v - ARENA_PA);
}

/* --- the CPU's view ------------------------------------------------------ */

struct view {
	bool present, writable, accessed;
	u64 hpa;
	int level;
};

static int levels = 4; /* that the CPU walks */

static struct view
look(const struct npt *n, u64 gpa)
{
	struct view v = { .writable = true };
	const u64 *table = n->root;
	u64 e = 0, size;

	for (v.level = levels; v.level > 0; v.level--) {
		e = table[(gpa >> (12 + 9 * (v.level - 1))) & 511];
		if (!(e & X86_PTE_P))
			return (struct view){ .level = v.level };
		/* Nested walks are user accesses; reserved bits are clear. */
		assert_true(e & X86_PTE_U);
		assert_int_equal(e & 0xfff0000000000000ULL, 0);
		v.writable &= (e & X86_PTE_W) != 0;
		if (v.level == 1 || (e & X86_PTE_PS))
			break;
		table = host_page_va((struct hpa){ e & 0xffffffffff000ULL });
	}
	size = npt_page_size((enum npt_level)v.level);
	assert_int_equal(e & 0xffffffffff000ULL & (size - 1), 0);
	v.present = true;
	v.accessed = (e & X86_PTE_A) != 0;
	v.hpa = (e & 0xffffffffff000ULL) | (gpa & (size - 1));
	return v;
}

/* --- a flat model of a few regions --------------------------------------- */

#define PAGES  (4 * 512) /* 8 MiB, in four runs of 2 MiB that are far apart */
#define ROUNDS 60000

/* Runs at places that need tables of their own at each level. */
static const u64 run_base[] = { 0, 0x200000, 0x40000000, 0x8000000000 };

struct page {
	bool present, writable, accessed;
	u64 hpa;
	u8 level; /* of the leaf that maps it */
};

static struct page model[PAGES];

static u64
gpa_of(unsigned page)
{
	return run_base[page / 512] + (u64)(page % 512) * 4096;
}

static u64 seed = 88172645463325252ULL;

static unsigned
rnd(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 11) % n);
}

/* The pages that one leaf maps together with `page'. */
static void
leaf_pages(unsigned page, unsigned *first, unsigned *n)
{
	bool large = model[page].present && model[page].level == NPT_2M;

	*first = large ? page & ~511U : page;
	*n = large ? 512 : 1;
}

static bool
model_map(unsigned page, u64 hpa, enum npt_level level, bool writable)
{
	unsigned i, first, n;
	bool flush = false;

	leaf_pages(page, &first, &n);
	if (level == NPT_4K && n == 512) {
		flush = true; /* a split */
		for (i = 0; i < 512; i++)
			model[first + i].level = NPT_4K;
	}
	if (level == NPT_2M) {
		first = page & ~511U;
		n = 512;
	} else {
		first = page;
		n = 1;
	}
	for (i = first; i < first + n; i++) {
		struct page *p = &model[i];
		u64 to = hpa + (u64)(i - first) * 4096;

		if (p->present &&
		    (p->hpa != to || (p->writable && !writable) ||
			p->level != level))
			flush = true;
		*p = (struct page){ true, writable, true, to, (u8)level };
	}
	return flush;
}

enum what { ZAP, PROTECT, FORGET, ASK };

/* What zap, protect and young do to one leaf at a time. */
static bool
model_range(unsigned from, unsigned to, enum what what)
{
	unsigned at, i, first, n;
	bool any = false;

	for (at = from; at < to; at++) {
		if (!model[at].present)
			continue;
		leaf_pages(at, &first, &n);
		for (i = first; i < first + n; i++) {
			struct page *p = &model[i];

			switch (what) {
			case ZAP:
				any = true;
				p->present = false;
				break;
			case PROTECT:
				any |= p->writable;
				p->writable = false;
				break;
			case FORGET:
				any |= p->accessed;
				p->accessed = false;
				break;
			case ASK:
				any |= p->accessed;
				break;
			}
		}
	}
	return any;
}

static void
compare(const struct npt *n)
{
	unsigned i;

	for (i = 0; i < PAGES; i++) {
		struct view v = look(n, gpa_of(i));

		assert_int_equal(v.present, model[i].present);
		if (!v.present)
			continue;
		assert_int_equal(v.level, model[i].level);
		assert_int_equal(v.writable, model[i].writable);
		assert_int_equal(v.accessed, model[i].accessed);
		assert_int_equal(v.hpa, model[i].hpa);
	}
}

static void
random_map(struct npt *n, struct npt_cache *c)
{
	unsigned page = rnd(PAGES);
	bool writable = rnd(2), large = rnd(40) == 0;
	u64 hpa = (u64)rnd(1 << 20) << (large ? 21 : 12);
	enum npt_level level = large ? NPT_2M : NPT_4K;
	bool had_table, flush;
	void *stale;

	if (large)
		page &= ~511U;
	else if (rnd(2) && model[page].present)
		hpa = model[page].hpa; /* the same page, other rights */
	assert_int_equal(npt_cache_fill(c), 0);
	had_table = look(n, gpa_of(page)).level == 1;
	flush = npt_map(n, c, (struct gpa){ gpa_of(page) + rnd(4096) },
	    (struct hpa){ hpa }, level, writable, &stale);
	assert_int_equal(stale != NULL, large && had_table);
	if (model_map(page, hpa, level, writable) || stale != NULL)
		assert_true(flush);
	else
		assert_false(flush);
	npt_release(stale);
}

static void
random_range(struct npt *n)
{
	unsigned from = rnd(PAGES), to, len = rnd(4) ? rnd(16) : rnd(512);
	struct gpa a, b;
	bool got;

	if (from % 512 + len > 512)
		len = 512 - from % 512;
	to = from + len;
	a.v = gpa_of(from);
	b.v = a.v + (u64)len * 4096;
	switch (rnd(8)) {
	case 0:
		got = npt_zap(n, a, b);
		assert_int_equal(got, model_range(from, to, ZAP));
		break;
	case 1:
		got = npt_young(n, a, b, true);
		assert_int_equal(got, model_range(from, to, FORGET));
		break;
	case 2:
	case 3:
		got = npt_young(n, a, b, false);
		assert_int_equal(got, model_range(from, to, ASK));
		break;
	default:
		got = npt_protect(n, a, b);
		assert_int_equal(got, model_range(from, to, PROTECT));
		break;
	}
}

static void
random_mask(struct npt *n)
{
	unsigned from = rnd(PAGES - 64), i;
	bool want = false;
	u64 mask = 0;

	if (from / 512 != (from + 63) / 512)
		from &= ~63U;
	for (i = 0; i < 64; i++) {
		if (rnd(3))
			continue;
		mask |= 1ULL << i;
		want |= model_range(from + i, from + i + 1, PROTECT);
	}
	assert_int_equal(
	    npt_protect_mask(n, (struct gpa){ gpa_of(from) }, mask), want);
}

static void
random_operations(void)
{
	struct npt_cache c = { .n = 0 };
	struct gpa end = { 1ULL << NPT_GPA_BITS };
	struct npt n;
	void *stale;
	unsigned i;

	memset(model, 0, sizeof(model));
	assert_int_equal(npt_init(&n, levels), 0);
	for (i = 0; i < ROUNDS; i++) {
		switch (rnd(10)) {
		case 0:
			random_range(&n);
			break;
		case 1:
			random_mask(&n);
			break;
		default:
			random_map(&n, &c);
			break;
		}
		if (i % 256 == 0)
			compare(&n);
		if (i % 2048 == 0)
			npt_release(npt_prune(&n, (struct gpa){ 0 }, end));
		assert_int_equal(in_use, n.tables + c.n);
	}
	compare(&n);
	npt_zap(&n, (struct gpa){ 0 }, end);
	model_range(0, PAGES, ZAP);
	compare(&n);
	stale = npt_prune(&n, (struct gpa){ 0 }, end);
	assert_non_null(stale);
	assert_int_equal(n.tables, 1);
	npt_release(stale);
	npt_cache_drain(&c);
	npt_free(&n);
	assert_int_equal(in_use, 0);
}

static void
test_random(void **state)
{
	random_operations();
	levels = 5;
	random_operations();
	levels = 4;
}

/* --- rows ---------------------------------------------------------------- */

static bool
map(struct npt *n, u64 gpa, u64 hpa, enum npt_level level, bool writable)
{
	struct npt_cache c = { .n = 0 };
	void *stale;
	bool flush;

	assert_int_equal(npt_cache_fill(&c), 0);
	flush = npt_map(n, &c, (struct gpa){ gpa }, (struct hpa){ hpa }, level,
	    writable, &stale);
	npt_release(stale);
	npt_cache_drain(&c);
	return flush;
}

/* A write to one page of a protected 1 GiB page opens that page alone. */
static void
test_split(void **state)
{
	const u64 at = 0x40000000, to = 0x180000000, hit = at + 0x12345000;
	struct gpa a = { at }, b = { at + 0x40000000 };
	struct npt n;
	u64 gpa;

	assert_int_equal(npt_init(&n, 4), 0);
	assert_false(map(&n, at, to, NPT_1G, true));
	assert_int_equal(n.tables, 2);
	assert_true(npt_protect(&n, a, b));
	assert_false(npt_protect(&n, a, b));
	assert_false(look(&n, hit).writable);
	assert_int_equal(look(&n, hit).level, NPT_1G);
	assert_true(map(&n, hit, to + (hit - at), NPT_4K, true));
	assert_int_equal(n.tables, 4);
	for (gpa = at; gpa < b.v; gpa += 4096) {
		struct view v = look(&n, gpa);

		assert_true(v.present);
		assert_int_equal(v.hpa, to + (gpa - at));
		assert_int_equal(v.writable, gpa == hit);
	}
	assert_int_equal(look(&n, at).level, NPT_2M);
	assert_int_equal(look(&n, hit + 4096).level, NPT_4K);
	assert_false(npt_fits(&n, a, NPT_1G));
	assert_true(npt_fits(&n, a, NPT_2M));

	/* Only the written page is to be taken away again. */
	assert_false(npt_protect_mask(&n, (struct gpa){ hit - 4096 }, 1));
	assert_true(npt_protect_mask(&n, (struct gpa){ hit - 4096 }, 3));
	assert_false(npt_protect(&n, a, b));

	/* The end of logging: everything goes, a large page fits again. */
	assert_true(npt_zap(&n, a, b));
	npt_release(npt_prune(&n, a, b));
	assert_int_equal(n.tables, 2);
	assert_true(npt_fits(&n, a, NPT_1G));
	assert_false(map(&n, at, to, NPT_1G, true));
	npt_free(&n);
	assert_int_equal(in_use, 0);
}

/* A pruned table belongs to the range alone. */
static void
test_prune_borders(void **state)
{
	struct npt n;

	assert_int_equal(npt_init(&n, 4), 0);
	map(&n, 0x1000, 0x1000, NPT_4K, true);
	map(&n, 0x1ff000, 0x2000, NPT_4K, true);
	assert_int_equal(n.tables, 4);
	npt_zap(&n, (struct gpa){ 0 }, (struct gpa){ 0x2000 });
	assert_null(npt_prune(&n, (struct gpa){ 0 }, (struct gpa){ 0x2000 }));
	npt_zap(&n, (struct gpa){ 0x100000 }, (struct gpa){ 0x200000 });
	assert_null(
	    npt_prune(&n, (struct gpa){ 0x100000 }, (struct gpa){ 0x200000 }));
	npt_release(npt_prune(&n, (struct gpa){ 0 }, (struct gpa){ 0x200000 }));
	assert_int_equal(n.tables, 3); /* upper tables serve more than that */
	npt_free(&n);
	assert_int_equal(in_use, 0);
}

static void
test_no_memory(void **state)
{
	struct npt_cache c = { .n = 0 };
	struct npt n;

	budget = 0;
	assert_int_equal(npt_init(&n, 4), -ENOMEM);
	npt_free(&n);
	budget = 2;
	assert_int_equal(npt_cache_fill(&c), -ENOMEM);
	npt_cache_drain(&c);
	assert_int_equal(in_use, 0);
	budget = ARENA_PAGES;
}

/* EPT: each entry as the SDM has it, and no bit that is reserved there. */
static void
test_ept(void **state)
{
	struct gpa a = { 0x200000 }, b = { 0x400000 };
	struct npt_format no_1g = npt_ept;
	const u64 *table;
	struct npt n;

	no_1g.largest = NPT_2M;
	assert_int_equal(npt_init(&n, 4), 0);
	n.format = &no_1g;
	assert_false(npt_fits(&n, a, NPT_1G));
	map(&n, a.v, 0x40000000, NPT_2M, false);
	table = host_page_va((struct hpa){ n.root[0] & ~7ULL });
	assert_int_equal(n.root[0] & 0xfff, 7);
	assert_int_equal(table[0] & 0xfff, 7);
	table = host_page_va((struct hpa){ table[0] & ~7ULL });
	assert_int_equal(table[1], 0x400000f5);

	/* A page of it is written: the others stay as they were. */
	map(&n, 0x201000, 0x40001000, NPT_4K, true);
	assert_int_equal(table[1] & 0xfff, 7);
	table = host_page_va((struct hpa){ table[1] & ~7ULL });
	assert_int_equal(table[0], 0x40000075);
	assert_int_equal(table[1], 0x40001077);
	assert_int_equal(table[511], 0x401ff075);
	assert_true(npt_protect(&n, a, b));
	assert_int_equal(table[1], 0x40001075);

	/* Without accessed bits to forget is to unmap. */
	assert_true(npt_young(&n, a, b, false));
	assert_true(npt_young(&n, a, b, true));
	assert_int_equal(table[0] | table[1] | table[511], 0);
	assert_false(npt_young(&n, a, b, false));
	npt_free(&n);
	assert_int_equal(in_use, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_prune_borders),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_ept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
