/* SPDX-License-Identifier: ISC */
/*
 * Shadow page tables against a slow twin: for each access, a walk of the
 * guest's own tables says what must come of it.  Two CPUs with TLBs walk the
 * shadow tables as the hardware does, in every paging mode, over tables of
 * random entries, which are edited at random: by the CPUs through their
 * mappings, by an emulator, by each with or without what the architecture asks
 * of a guest that edits tables.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>

#include "host.h"
#include "shadow.h"
#include "shadow_table.h"
#include "x86.h"

#define STEPS	   2000000
#define STEPS_CASE 2500

static u64 seed = 88172645463325252ULL;

static u64
rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed >> 16;
}

static bool
one_in(unsigned n)
{
	return rnd() % n == 0;
}

/* --- the host: pages of a fixed arena, and the guest's memory ------------- */

#define ARENA_PAGES 4096
#define ARENA_PA    0x40000000ULL
#define GUEST_PAGES 48
#define GUEST_PA    0x7000000000ULL

static u8 arena[ARENA_PAGES][4096] __attribute__((aligned(4096)));
static void *spare[ARENA_PAGES];
static unsigned spares, fresh, in_use;
static u8 ram[GUEST_PAGES][4096] __attribute__((aligned(4096)));

void *
host_page_alloc(void)
{
	void *page;

	if (spares > 0)
		page = spare[--spares];
	else if (fresh < ARENA_PAGES)
		page = arena[fresh++];
	else
		return NULL;
	in_use++;
	return memset(page, 0, 4096);
}

void
host_page_free(void *page)
{
	if (page == NULL)
		return;
	memset(page, 0xa5, 4096);
	spare[spares++] = page;
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

static u8 *
guest(u64 gpa, unsigned len)
{
	if (gpa >= sizeof(ram) || len > sizeof(ram) - gpa)
		return NULL;
	return ram[0] + gpa;
}

static int
mem_read(void *arg, struct gpa gpa, void *buf, unsigned len)
{
	const u8 *p = guest(gpa.v, len);

	(void)arg;
	if (p == NULL)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

static void marked(u64 gpa);

static int
mem_swap(void *arg, struct gpa gpa, u64 old, u64 new, unsigned len)
{
	u8 *p = guest(gpa.v, len);

	(void)arg;
	if (p == NULL)
		return -EFAULT;
	marked(gpa.v);
	if (memcmp(p, &old, len) != 0)
		return -EAGAIN;
	memcpy(p, &new, len);
	return 0;
}

static const struct walk_ops walk_ops = {
	.read = mem_read,
	.compare_swap = mem_swap,
};

/* --- CPUs ------------------------------------------------------------------ */

#define TLB 64

struct tlb {
	bool valid;
	u64 page, entry; /* of the leaf, with the whole path's rights */
};

struct cpu {
	struct walk_env env;
	struct shadow_root root;
	struct hpa cr3;
	struct tlb tlb[TLB];
	bool reload;
};

static struct cpu cpus[2];
static struct shadow *shadow;
static struct shadow_cache cache;
static unsigned long flushes, emulated, faults, hits, devices;
static bool coherent; /* no edit waits for the guest to invalidate */

/* In an entry of PAE's first level D is a reserved bit: to mark one, as that of
 * another level, is to edit it.  Where CR3 may point, see random_env(). */
static void
marked(u64 gpa)
{
	const struct walk_env *env;
	unsigned i;

	for (i = 0; i < 2; i++) {
		env = &cpus[i].env;
		if (!(env->cr4 & X86_CR4_PAE) || (env->efer & X86_EFER_LMA) ||
		    gpa >= 8 << 12 || (gpa & 0xfff) >= 4 * 32)
			continue;
		coherent = false;
		shadow_written(shadow, (struct gpa){ gpa }, 8);
	}
}

static void
flush_tlb(struct cpu *c)
{
	memset(c->tlb, 0, sizeof(c->tlb));
}

static void
flush(void *arg)
{
	unsigned i;

	(void)arg;
	flushes++;
	for (i = 0; i < 2; i++) {
		flush_tlb(&cpus[i]);
		cpus[i].reload = true;
	}
}

static int
writable_page(void *arg, struct gpa gpa, struct hpa *hpa)
{
	(void)arg;
	if (guest(gpa.v, 4096) == NULL || one_in(4))
		return -EFAULT;
	hpa->v = GUEST_PA + gpa.v;
	return 0;
}

static const struct shadow_ops ops = {
	.peek = mem_read,
	.flush = flush,
	.writable_page = writable_page,
};

/*
 * What each table was when it was seen last, and after how many flushes.  One
 * that is another by now, which CPUs may have come by before, was flushed.
 */
#define FEW_TABLES 64

static struct known {
	u64 gfn;
	u32 role;
	unsigned long flushes;
} known[FEW_TABLES + 1];

static void
check_reuse(void)
{
	const struct shadow_table *t;
	struct known *k;
	u32 id;

	if (shadow->max > FEW_TABLES)
		return;
	for (id = 1; id <= shadow->tables; id++) {
		t = shadow_at(shadow, id);
		k = &known[id];
		if (t->role == 0)
			continue;
		if (k->role != 0 && (k->role != t->role || k->gfn != t->gfn))
			assert_true(flushes > k->flushes);
		*k = (struct known){ t->gfn, t->role, flushes };
	}
}

static void
load_root(struct cpu *c, bool invalidate)
{
	c->reload = false;
	assert_int_equal(shadow_cache_fill(&cache), 0);
	c->cr3 = shadow_load(shadow, &cache, &c->root, &c->env, invalidate);
	check_reuse();
	if (invalidate)
		flush_tlb(c);
	if (c->reload) /* it flushed */
		load_root(c, false);
}

static void
enter(struct cpu *c)
{
	if (c->reload)
		load_root(c, false);
	if (!(c->env.efer & X86_EFER_LMA))
		shadow_show_pae(shadow, &c->root);
}

/* APM vol. 2 "Page-Protection Checks", as the CPU is set up. */
static bool
permits(const struct cpu *c, u64 e, unsigned access)
{
	bool user = (access & WALK_USER) != 0;
	bool on = (c->env.cr0 & X86_CR0_PG) != 0;

	if ((access & WALK_WRITE) && !(e & X86_PTE_W))
		return false;
	if ((access & WALK_FETCH) && (e & X86_PTE_NX))
		return false;
	if (user)
		return (e & X86_PTE_U) != 0;
	if (!on || !(e & X86_PTE_U))
		return true;
	if (access & WALK_FETCH)
		return !(c->env.cr4 & X86_CR4_SMEP);
	return !(c->env.cr4 & X86_CR4_SMAP) ||
	    (!(access & WALK_IMPLICIT) && (c->env.rflags & X86_RFLAGS_AC));
}

/* The leaf for va, 0 when there is none; A and D are set. */
static u64
hw_walk(struct cpu *c, struct gva va, unsigned access)
{
	bool lng = (c->env.efer & X86_EFER_LMA) != 0;
	unsigned level = !lng ? 3 : c->env.cr4 & X86_CR4_LA57 ? 5 : 4, i;
	u64 *table, e, all = X86_PTE_W | X86_PTE_U, nx = 0;

	if (!lng) {
		assert_int_equal(c->cr3.v, 0);
		e = c->root.pae[va.v >> 30 & 3];
		/* Only the address and P. */
		assert_int_equal(e & ~0xffffffff001ULL, 0);
		if (!(e & X86_PTE_P))
			return 0;
		table = host_page_va((struct hpa){ e & ~0xfffULL });
		level = 2;
	} else {
		table = host_page_va(c->cr3);
	}
	for (;; level--) {
		i = (va.v >> (12 + 9 * (level - 1))) & 511;
		e = table[i];
		if (!(e & X86_PTE_P))
			return 0;
		all &= e;
		nx |= e & X86_PTE_NX;
		if (level == 1)
			break;
		table[i] |= X86_PTE_A;
		assert_int_equal(e & X86_PTE_PS, 0);
		table = host_page_va((struct hpa){ e & 0xffffffffff000ULL });
	}
	assert_true((e & 0xffffffffff000ULL) >= GUEST_PA &&
	    (e & 0xffffffffff000ULL) < GUEST_PA + sizeof(ram));
	e = (e & ~(u64)(X86_PTE_W | X86_PTE_U | X86_PTE_NX)) | all | nx;
	if (permits(c, e, access))
		table[i] |= X86_PTE_A;
	return e;
}

/* The CPU's access: the host's address, or 0 for a page fault. */
static u64
hw_access(struct cpu *c, struct gva va, unsigned access)
{
	struct tlb *t = &c->tlb[(va.v >> 12) % TLB];
	u64 e;

	if (!t->valid || t->page != va.v >> 12 ||
	    !permits(c, t->entry, access)) {
		e = hw_walk(c, va, access);
		if (e == 0 || !permits(c, e, access))
			return 0;
		*t = (struct tlb){ true, va.v >> 12, e };
	} else {
		hits++;
	}
	return (t->entry & 0xffffffffff000ULL) | (va.v & 0xfff);
}

/* --- the guest -------------------------------------------------------------- */

static u64
random_entry(const struct walk_env *env)
{
	u64 gfn = rnd() % GUEST_PAGES, e;

	if (one_in(24))
		gfn = 0x80000 + rnd() % 8;
	e = gfn << 12 | X86_PTE_P;
	if (!one_in(5))
		e |= X86_PTE_W;
	if (!one_in(3))
		e |= X86_PTE_U;
	if (one_in(6))
		e = (one_in(3) ? rnd() % 4 << 22 : 0) | (e & 7) | X86_PTE_PS;
	if (one_in(3))
		e |= X86_PTE_A;
	if (one_in(3))
		e |= X86_PTE_D;
	if (one_in(4))
		e |= X86_PTE_G;
	if (one_in(8) && (env->efer & X86_EFER_NXE))
		e |= X86_PTE_NX;
	if (one_in(64))
		e |= X86_PTE_NX | CORE_BIT(51);
	if (one_in(10))
		e &= ~(u64)X86_PTE_P;
	return e;
}

/* PAE's first level has few bits. */
static u64
table_entry(const struct walk_env *env, u64 gpa)
{
	u64 e = random_entry(env);

	if ((env->cr4 & X86_CR4_PAE) && !(env->efer & X86_EFER_LMA) &&
	    gpa - (env->cr3 & ~31ULL) < 32 && !one_in(8))
		e &= 0xffffff001;
	return e;
}

/* One that accesses may come by, in the page of gpa. */
static u64
busy_entry(const struct walk_env *env, u64 gpa)
{
	static const u16 index[] = { 0, 1, 255, 511, 2, 3, 510, 1023 };
	u64 i = one_in(3) ? rnd() % 32 : index[rnd() % 8];

	return (gpa & ~0xfffULL) +
	    (i * (env->cr4 & X86_CR4_PAE ? 8 : 4) & 0xfff);
}

static void
store_entry(const struct walk_env *env, u64 gpa)
{
	unsigned size = env->cr4 & X86_CR4_PAE ? 8 : 4;
	u64 e;

	gpa &= ~(u64)(size - 1);
	e = table_entry(env, gpa);
	if (size == 4 && one_in(2)) /* both halves alike is no case */
		e &= 0xffffffff;
	memcpy(guest(gpa, size), &e, size);
}

static const struct {
	const char *name;
	u64 cr0, cr4, efer;
} modes[] = {
	{ "none", 0, 0, 0 },
	{ "32-bit", X86_CR0_PG, 0, 0 },
	{ "PSE", X86_CR0_PG, X86_CR4_PSE, 0 },
	{ "PAE", X86_CR0_PG, X86_CR4_PAE, 0 },
	{ "4-level", X86_CR0_PG, X86_CR4_PAE, X86_EFER_LME | X86_EFER_LMA },
	{ "5-level", X86_CR0_PG, X86_CR4_PAE | X86_CR4_LA57,
	    X86_EFER_LME | X86_EFER_LMA },
};
#define MODES (sizeof(modes) / sizeof(modes[0]))

static void
random_env(struct walk_env *env, unsigned m)
{
	*env = (struct walk_env){ .cr0 = X86_CR0_PE | modes[m].cr0,
		.cr4 = modes[m].cr4,
		.efer = modes[m].efer,
		.maxphyaddr = 40 };
	if (!one_in(3))
		env->cr0 |= X86_CR0_WP;
	if (!one_in(3))
		env->efer |= X86_EFER_NXE;
	if (one_in(2))
		env->cr4 |= X86_CR4_SMEP;
	if (one_in(2))
		env->cr4 |= X86_CR4_SMAP;
	if (one_in(2))
		env->rflags |= X86_RFLAGS_AC;
	env->cr3 = rnd() % 8 << 12;
	if (m == 3)
		env->cr3 |= rnd() % 4 << 5;
}

static void
random_memory(const struct walk_env *env)
{
	u64 gpa;

	for (gpa = 0; gpa < sizeof(ram); gpa += env->cr4 & X86_CR4_PAE ? 8 : 4)
		store_entry(env, gpa);
}

/* Few pages, so that accesses meet. */
static struct gva
random_va(const struct walk_env *env)
{
	static const u16 index[] = { 0, 1, 255, 511 };
	unsigned level;
	u64 va = rnd() & 0xfff;

	if (!(env->efer & X86_EFER_LMA)) {
		if (!(env->cr0 & X86_CR0_PG) && !one_in(4))
			return (struct gva){ rnd() % sizeof(ram) };
		va |= (rnd() % 4) << 30 | (u64)index[rnd() % 4] << 21 |
		    (u64)index[rnd() % 4] << 12;
		return (struct gva){ va };
	}
	for (level = 1; level <= 5; level++)
		va |= (u64)index[rnd() % 3 + (level == 1)]
		    << (12 + 9 * (level - 1));
	if (!(env->cr4 & X86_CR4_LA57))
		va = (u64)((s64)(va << 16) >> 16);
	else
		va = (u64)((s64)(va << 7) >> 7);
	return (struct gva){ va };
}

static unsigned
random_access(void)
{
	static const unsigned kinds[] = { WALK_READ, WALK_WRITE, WALK_USER,
		WALK_WRITE | WALK_USER, WALK_FETCH, WALK_FETCH | WALK_USER,
		WALK_IMPLICIT };

	return kinds[rnd() % 7];
}

/* --- one access, as the driver serves it ----------------------------------- */

enum outcome { DONE, FAULT, DEVICE };

struct answer {
	enum outcome what;
	u64 gpa;
	u32 error;
};

static struct answer
twin(const struct walk_env *env, struct gva va, unsigned access)
{
	struct walk_result r;
	struct answer a = { FAULT, 0, 0 };

	if (walk(env, &walk_ops, NULL, va, access | WALK_PROBE, &r, &a.error))
		return a;
	a.error = 0;
	a.gpa = r.gpa.v;
	a.what = guest(a.gpa, 1) == NULL ? DEVICE : DONE;
	return a;
}

/* Another CPU writes to an entry of the path just walked. */
static void
race(const struct cpu *c, const struct walk_result *r)
{
	u64 gpa;

	if (r->path.levels == 0 || !one_in(32))
		return;
	gpa = r->path
		  .addr[r->path.leaf - 1 +
		      rnd() % (r->path.levels - r->path.leaf + 1)]
		  .v;
	coherent = false;
	store_entry(&c->env, gpa);
	shadow_written(shadow, (struct gpa){ gpa }, 8);
}

static struct answer
access_memory(struct cpu *c, struct gva va, unsigned access)
{
	struct answer a = { DONE, 0, 0 };
	struct walk_result r;
	enum shadow_fill fill;
	unsigned try;
	u64 hpa;

	for (try = 0; try < 8; try++) {
		enter(c);
		hpa = hw_access(c, va, access);
		if (hpa != 0) {
			a.gpa = hpa - GUEST_PA;
			return a;
		}
		faults++;
		if (walk(&c->env, &walk_ops, NULL, va, access, &r, &a.error)) {
			a.what = FAULT;
			return a;
		}
		a.error = 0;
		a.gpa = r.gpa.v;
		if (guest(a.gpa, 1) == NULL) {
			devices++;
			a.what = DEVICE;
			return a;
		}
		race(c, &r);
		assert_int_equal(shadow_cache_fill(&cache), 0);
		fill = shadow_fill(shadow, &cache, &c->root, &c->env, va,
		    access, &r, (struct hpa){ GUEST_PA + (a.gpa & ~0xfffULL) },
		    true);
		check_reuse();
		switch (fill) {
		case SHADOW_FILLED:
			break;
		case SHADOW_AGAIN:
			c->reload = true;
			break;
		case SHADOW_EMULATE:
			emulated++; /* a write: mem_write() tells */
			shadow_written(shadow, (struct gpa){ a.gpa }, 1);
			return a;
		}
	}
	fail_msg("the guest does not get on at %llx", va.v);
	return a;
}

/* The path of a completed access has its A bits, and D. */
static void
check_marks(const struct walk_env *env, struct gva va, unsigned access)
{
	struct walk_result r;
	unsigned level;
	u32 error;

	if (walk(env, &walk_ops, NULL, va, access | WALK_PROBE, &r, &error) ||
	    r.path.levels == 0)
		return;
	for (level = r.path.leaf; level <= r.path.levels; level++) {
		if (r.path.levels == 3 && level == 3)
			continue;
		assert_true(r.path.entry[level - 1] & X86_PTE_A);
	}
	if (access & WALK_WRITE)
		assert_true(r.path.entry[r.path.leaf - 1] & X86_PTE_D);
}

static void
check_access(struct cpu *c, struct gva va, unsigned access)
{
	struct answer want = twin(&c->env, va, access);
	struct answer got = access_memory(c, va, access);

	if (!coherent)
		return;
	assert_int_equal(got.what, want.what);
	assert_int_equal(got.error, want.error);
	assert_int_equal(got.gpa, want.gpa);
	if (got.what == DONE)
		check_marks(&c->env, va, access);
}

/* --- what else happens ------------------------------------------------------ */

static void
load_cr3(struct cpu *c)
{
	if (one_in(2) && (c->env.cr0 & X86_CR0_PG))
		c->env.cr3 = (c->env.cr3 & 0xfe0) | rnd() % 8 << 12;
	load_root(c, true);
}

/* CR0.WP, EFER.NXE, CR4.SMEP and SMAP; in 32-bit mode CR4.PSE. */
static void
change_mode(struct cpu *c)
{
	switch (rnd() % 5) {
	case 0:
		c->env.cr0 ^= X86_CR0_WP;
		break;
	case 1:
		c->env.efer ^= X86_EFER_NXE;
		break;
	case 2:
		c->env.cr4 ^= X86_CR4_SMEP;
		break;
	case 3:
		c->env.cr4 ^= X86_CR4_SMAP;
		break;
	case 4:
		if (!(c->env.cr4 & X86_CR4_PAE))
			c->env.cr4 ^= X86_CR4_PSE;
		break;
	}
	load_root(c, true);
}

static void
both_load_cr3(void)
{
	load_root(&cpus[0], true);
	load_root(&cpus[1], true);
	coherent = true;
}

/* Through a mapping, if there is one to be had. */
static void
edit_by_cpu(struct cpu *c)
{
	struct gva va = random_va(&c->env);
	struct answer a =
	    access_memory(c, va, WALK_WRITE | (one_in(2) ? WALK_USER : 0));

	if (a.what != DONE)
		return;
	coherent = false;
	store_entry(&c->env, busy_entry(&c->env, a.gpa));
}

/* By what a TLB has, without any walk. */
static void
edit_by_tlb(struct cpu *c)
{
	const struct tlb *t = &c->tlb[rnd() % TLB];
	u64 gpa = (t->entry & 0xffffffffff000ULL) - GUEST_PA;

	enter(c);
	if (!t->valid || !(t->entry & X86_PTE_W))
		return;
	coherent = false;
	store_entry(&c->env, busy_entry(&c->env, gpa));
}

static void
edit_by_emulator(struct cpu *c)
{
	u64 gpa = busy_entry(&c->env, rnd() % sizeof(ram));

	coherent = false;
	store_entry(&c->env, gpa);
	shadow_written(shadow, (struct gpa){ gpa }, 8);
}

/* One entry of one path, and INVLPG for it on each CPU. */
static void
edit_and_invlpg(struct cpu *c)
{
	struct gva va = random_va(&c->env);
	struct walk_result r;
	u32 error;
	u64 gpa;
	unsigned i, level;

	if (walk(&c->env, &walk_ops, NULL, va, WALK_PROBE, &r, &error) ||
	    r.path.levels == 0)
		return;
	level = r.path.leaf + rnd() % (r.path.levels - r.path.leaf + 1);
	gpa = r.path.addr[level - 1].v;
	store_entry(&c->env, gpa);
	shadow_written(shadow, (struct gpa){ gpa }, 8);
	for (i = 0; i < 2; i++) {
		enter(&cpus[i]);
		shadow_invlpg(shadow, &cpus[i].root, &cpus[i].env, va);
		flush_tlb(&cpus[i]);
	}
	if (coherent)
		check_access(c, va, random_access());
	coherent = false; /* by other paths it may be had as it was */
}

/* No TLB has what the host took away. */
static void
check_tlbs(u64 first, u64 last, bool writable_only)
{
	const struct tlb *t;
	unsigned i, n;
	u64 gfn;

	for (i = 0; i < 2; i++) {
		for (n = 0; n < TLB; n++) {
			t = &cpus[i].tlb[n];
			gfn =
			    ((t->entry & 0xffffffffff000ULL) - GUEST_PA) >> 12;
			if (t->valid && gfn >= first && gfn < last)
				assert_true(
				    writable_only && !(t->entry & X86_PTE_W));
		}
	}
}

/* No TLB lets a table be written to while tables that are not loose repeat it. */
static void
check_guards(void)
{
	const struct tlb *t;
	unsigned i;
	u64 gpa;

	for (i = 0; i < 2 * TLB; i++) {
		t = &cpus[i / TLB].tlb[i % TLB];
		gpa = (t->entry & 0xffffffffff000ULL) - GUEST_PA;
		if (t->valid && (t->entry & X86_PTE_W))
			assert_false(shadow_guarded(shadow, gpa >> 12));
	}
}

static void
host_event(void)
{
	u64 first = rnd() % GUEST_PAGES, last = first + 1;
	struct gpa start = { first << 12 }, end;

	if (one_in(4))
		last = one_in(2) ? GUEST_PAGES : first + rnd() % 8 + 1;
	if (one_in(16))
		last = CORE_BIT(30);
	end.v = last << 12;
	switch (rnd() % 4) {
	case 0:
		shadow_zap(shadow, start, end);
		check_tlbs(first, last, false);
		assert_false(shadow_young(shadow, start,
				 (struct gpa){ GUEST_PAGES << 12 }, false) &&
		    last >= GUEST_PAGES);
		break;
	case 1:
		shadow_protect(shadow, start, end);
		check_tlbs(first, last, true);
		break;
	case 2:
		shadow_protect_mask(shadow, start, CORE_BIT(rnd() % 3) | 1);
		check_tlbs(first, first + 1, true);
		break;
	case 3:
		end.v = start.v + 4096;
		shadow_young(shadow, start, end, true);
		assert_false(shadow_young(shadow, start, end, false));
		break;
	}
}

static void
step(struct cpu *c)
{
	switch (rnd() % 34) {
	case 0:
		edit_by_cpu(c);
		break;
	case 1:
		edit_by_emulator(c);
		break;
	case 2:
		edit_and_invlpg(c);
		break;
	case 3:
		host_event();
		break;
	case 4:
		load_cr3(c);
		break;
	case 5:
		change_mode(c);
		break;
	case 6:
	case 7:
	case 8:
		edit_by_tlb(c);
		break;
	case 9:
		c->env.rflags ^= X86_RFLAGS_AC;
		break;
	default:
		if (!coherent && one_in(2))
			both_load_cr3();
		if (coherent)
			check_access(c, random_va(&c->env), random_access());
		else
			access_memory(c, random_va(&c->env), random_access());
		break;
	}
}

static void
run_case(unsigned m, unsigned steps)
{
	unsigned i, turn = 0;

	for (i = 0; i < 2; i++)
		random_env(&cpus[i].env, m);
	/* One CPU may be in another mode: both share tables or do not. */
	if (one_in(4))
		random_env(&cpus[1].env, (unsigned)(rnd() % MODES));
	random_memory(&cpus[0].env);
	shadow_zap_all(shadow);
	both_load_cr3();
	for (i = 0; i < steps; i++) {
		if (one_in(i / 256 % 2 ? 2 : 64)) /* or one for a while */
			turn = rnd() % 2;
		step(&cpus[turn]);
		if (one_in(4))
			check_guards();
	}
}

static void
set_up(unsigned tables)
{
	unsigned i;

	shadow = shadow_new(&ops, NULL, tables);
	assert_non_null(shadow);
	memset(cpus, 0, sizeof(cpus));
	memset(known, 0, sizeof(known));
	for (i = 0; i < 2; i++)
		cpus[i].root.pae = host_page_alloc();
}

static void
tear_down(void)
{
	shadow_free(shadow);
	shadow_cache_drain(&cache);
	host_page_free(cpus[0].root.pae);
	host_page_free(cpus[1].root.pae);
	assert_int_equal(in_use, 0);
}

static void
test_random(void **state)
{
	unsigned long n;
	unsigned m = 0;

	(void)state;
	for (n = 0; n < STEPS; n += STEPS_CASE, m = (m + 1) % MODES) {
		set_up(one_in(2) ? 64 : 600);
		run_case(m, STEPS_CASE);
		tear_down();
	}
	print_message("%lu faults, %lu TLB hits, %lu flushes, %lu devices, "
		      "%lu emulated\n",
	    faults, hits, flushes, devices, emulated);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
