/* SPDX-License-Identifier: ISC */
/*
 * The walker of the guest's page tables against a slow twin, which states
 * each paging mode and each rule by itself, on random entries; and rows.
 *
 * Guest memory has no limit: what was never written is a hash of its address,
 * shaped so that most entries lead somewhere.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>

#include "walk.h"
#include "x86.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CASES	 400000

static u64 seed = 88172645463325252ULL;

static u64
rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static bool
one_in(unsigned n)
{
	return (rnd() >> 20) % n == 0;
}

/* --- guest memory -------------------------------------------------------- */

struct write {
	u64 gpa, val;
};

struct mem {
	u64 salt;
	struct walk_env env; /* the shape of entries follows the mode */
	struct write w[16];
	unsigned nw;
	bool strict; /* what was not written is not present */
	/* What another CPU does just before the n-th compare-exchange. */
	unsigned race_at, exchanges;
	struct write race;
	bool readonly;
};

static u64
mix(u64 x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static bool
is_pae(const struct walk_env *env)
{
	return (env->cr4 & X86_CR4_PAE) && !(env->efer & X86_EFER_LMA);
}

/* One 8-byte entry; each bit group has a say with some probability. */
static u64
made_up(const struct mem *m, u64 gpa)
{
	u64 r = mix(gpa ^ m->salt), dice = mix(r), e;
	const struct walk_env *env = &m->env;

	e = (r & 0x000ffffffffff07fULL) | X86_PTE_P;
	if (dice % 16 == 0)
		e &= ~X86_PTE_P;
	if ((dice >> 4) % 4 != 0)
		e |= X86_PTE_W | X86_PTE_U;
	if ((dice >> 8) % 3 == 0)
		e |= X86_PTE_PS;
	if ((dice >> 12) % 8 != 0) /* within the physical address space */
		e &= (1ULL << env->maxphyaddr) - 1;
	if ((dice >> 16) % 4 != 0) /* aligned as a large page */
		e &= ~0x3fffe000ULL;
	if ((dice >> 20) % 2 && (env->efer & X86_EFER_LMA))
		e |= (r << 3) & 0x7ff0000000000000ULL; /* keys, ignored bits */
	if ((dice >> 24) % 16 == 0)
		e |= (r << 5) & 0x7ff0000000000000ULL;
	if ((dice >> 28) % (env->efer & X86_EFER_NXE ? 3 : 16) == 0)
		e |= X86_PTE_NX;
	if (is_pae(env) && gpa - (env->cr3 & ~31ULL) < 32 &&
	    (dice >> 32) % 16 != 0)
		e &= 0x000ffffffffff039ULL; /* a PDPTE as it should be */
	return e;
}

static u64
load8(const struct mem *m, u64 gpa)
{
	unsigned i;

	for (i = m->nw; i-- > 0;) {
		if (m->w[i].gpa == gpa)
			return m->w[i].val;
	}
	return m->strict ? 0 : made_up(m, gpa);
}

static u64
load(const struct mem *m, u64 gpa, unsigned size)
{
	u64 e = load8(m, gpa & ~7ULL);

	return size == 8 ? e : (u32)(gpa & 4 ? e >> 32 : e);
}

static void
store(struct mem *m, u64 gpa, u64 val, unsigned size)
{
	u64 old = load8(m, gpa & ~7ULL);

	if (size == 4)
		val = gpa & 4 ? (old & 0xffffffff) | val << 32
			      : (old & ~0xffffffffULL) | val;
	assert_true(m->nw < COUNT(m->w));
	m->w[m->nw++] = (struct write){ gpa & ~7ULL, val };
}

static int
mem_read(void *arg, struct gpa gpa, void *buf, unsigned size)
{
	const struct mem *m = arg;
	u64 e = load(m, gpa.v, size);

	assert_int_equal(gpa.v & (size - 1), 0);
	/* Never beyond what the CPU can address. */
	assert_int_equal(gpa.v >> m->env.maxphyaddr, 0);
	memcpy(buf, &e, size);
	return 0;
}

static int
mem_cmpxchg(void *arg, struct gpa gpa, u64 old, u64 new, unsigned size)
{
	struct mem *m = arg;

	if (++m->exchanges == m->race_at)
		store(m, m->race.gpa, m->race.val, size);
	if (m->readonly)
		return -EFAULT;
	if (load(m, gpa.v, size) != old)
		return -EAGAIN;
	store(m, gpa.v, new, size);
	return 0;
}

static const struct walk_ops ops = { mem_read, mem_cmpxchg };

/* --- the twin ------------------------------------------------------------ */

struct outcome {
	bool fault;
	u32 error;
	u64 gpa, page;
	bool writable, user, nx;
	struct write mark[5]; /* entries as they are to be afterwards */
	unsigned nmarks, size;
};

struct twin {
	const struct walk_env *env;
	struct mem *mem;
	u64 entry[5], at[5]; /* from the root down */
	unsigned n; /* entries read */
	unsigned shift; /* of the last one */
	bool present, reserved, leaf;
};

#define LOW(n)	      ((1ULL << (n)) - 1)
#define BITS(hi, lo)  (LOW((hi) + 1) & ~LOW(lo))
#define SET(what, of) (((what) & (of)) != 0)

/* Read the entry for va in this table; false: the walk ends here. */
static bool
level(struct twin *t, u64 table, u64 index, unsigned size, u64 reserved,
    unsigned shift, bool leaf)
{
	u64 e;

	t->at[t->n] = table + index * size;
	e = load(t->mem, t->at[t->n], size);
	t->entry[t->n++] = e;
	t->shift = shift;
	t->present = SET(e, X86_PTE_P);
	t->reserved = t->present && SET(e, reserved);
	t->leaf = leaf;
	return t->present && !t->reserved && !leaf;
}

/* SDM "32-Bit Paging", PSE-36 included. */
static void
twin_32bit(struct twin *t, u32 va)
{
	u64 pde =
	    load(t->mem, (t->env->cr3 & BITS(31, 12)) + (va >> 22) * 4, 4);
	bool large = SET(t->env->cr4, X86_CR4_PSE) && SET(pde, X86_PTE_PS);
	unsigned phys = t->env->maxphyaddr < 40 ? t->env->maxphyaddr : 40;
	/* PDE bits 13 to 12 + (phys - 32) are address bits. */
	u64 reserved = large ? BITS(21, 13 + (phys - 32)) : 0;

	if (level(t, t->env->cr3 & BITS(31, 12), va >> 22, 4, reserved, 22,
		large))
		level(t, pde & BITS(31, 12), (va >> 12) & 1023, 4, 0, 12, true);
}

/* The last two levels of PAE and long mode. */
static void
twin_tail(struct twin *t, u64 table, u64 va, u64 reserved)
{
	u64 addr = LOW(t->env->maxphyaddr) & ~LOW(12), pde;
	bool large;

	pde = load(t->mem, table + ((va >> 21) & 511) * 8, 8);
	large = SET(pde, X86_PTE_PS);
	if (level(t, table, (va >> 21) & 511, 8,
		reserved | (large ? BITS(20, 13) : 0), 21, large))
		level(t, pde & addr, (va >> 12) & 511, 8, reserved, 12, true);
}

/* SDM "PAE Paging"; A in a PDPTE is let pass, see walk.c. */
static void
twin_pae(struct twin *t, u32 va)
{
	unsigned phys = t->env->maxphyaddr;
	u64 reserved = BITS(62, phys), cr3 = t->env->cr3 & BITS(31, 5);
	u64 pdpte = load(t->mem, cr3 + (va >> 30) * 8, 8);

	if (!SET(t->env->efer, X86_EFER_NXE))
		reserved |= X86_PTE_NX;
	if (level(t, cr3, va >> 30, 8,
		BITS(62, phys) | X86_PTE_NX | BITS(2, 1) | BITS(8, 6), 30,
		false))
		twin_tail(t, pdpte & LOW(phys) & ~LOW(12), va, reserved);
}

/* SDM "4-Level Paging and 5-Level Paging". */
static void
twin_long(struct twin *t, u64 va)
{
	unsigned phys = t->env->maxphyaddr;
	u64 addr = LOW(phys) & ~LOW(12), table = t->env->cr3 & addr, e;
	u64 reserved = BITS(51, phys) & LOW(52);
	bool large;

	if (phys == 52)
		reserved = 0;
	if (!SET(t->env->efer, X86_EFER_NXE))
		reserved |= X86_PTE_NX;
	if (SET(t->env->cr4, X86_CR4_LA57)) {
		e = load(t->mem, table + ((va >> 48) & 511) * 8, 8);
		if (!level(t, table, (va >> 48) & 511, 8, reserved | X86_PTE_PS,
			48, false))
			return;
		table = e & addr;
	}
	e = load(t->mem, table + ((va >> 39) & 511) * 8, 8);
	if (!level(t, table, (va >> 39) & 511, 8, reserved | X86_PTE_PS, 39,
		false))
		return;
	table = e & addr;
	e = load(t->mem, table + ((va >> 30) & 511) * 8, 8);
	large = SET(e, X86_PTE_PS);
	if (level(t, table, (va >> 30) & 511, 8,
		reserved | (large ? BITS(29, 13) : 0), 30, large))
		twin_tail(t, e & addr, va, reserved);
}

/* Do all entries that have such a bit have it set? */
static bool
all_have(const struct twin *t, u64 bit)
{
	unsigned i = is_pae(t->env) ? 1 : 0;

	for (; i < t->n; i++) {
		if (!SET(t->entry[i], bit))
			return false;
	}
	return true;
}

static bool
any_has(const struct twin *t, u64 bit)
{
	unsigned i;

	for (i = 0; i < t->n; i++) {
		if (SET(t->entry[i], bit))
			return true;
	}
	return false;
}

/* SDM "Protection Keys". */
static bool
key_denies(const struct twin *t, unsigned access, bool user_page)
{
	unsigned key = (t->entry[t->n - 1] >> 59) & 15;
	bool ad = (t->env->pkru >> (2 * key)) & 1;
	bool wd = (t->env->pkru >> (2 * key + 1)) & 1;

	if (!SET(t->env->cr4, X86_CR4_PKE) || !SET(t->env->efer, X86_EFER_LMA))
		return false;
	if (!user_page || SET(access, WALK_FETCH))
		return false;
	if (ad)
		return true;
	return wd && SET(access, WALK_WRITE) &&
	    (SET(access, WALK_USER) || SET(t->env->cr0, X86_CR0_WP));
}

/* SDM "Determination of Access Rights", mode by mode and kind by kind. */
static bool
rights_deny(const struct twin *t, unsigned access, const struct outcome *o)
{
	const struct walk_env *env = t->env;
	bool smap = SET(env->cr4, X86_CR4_SMAP);
	bool ac = SET(env->rflags, X86_RFLAGS_AC);

	if (SET(access, WALK_USER)) {
		if (!o->user)
			return true;
		if (SET(access, WALK_FETCH))
			return o->nx;
		return SET(access, WALK_WRITE) && !o->writable;
	}
	if (SET(access, WALK_FETCH)) {
		if (o->user && SET(env->cr4, X86_CR4_SMEP))
			return true;
		return o->nx;
	}
	if (o->user && smap && (SET(access, WALK_IMPLICIT) || !ac))
		return true;
	return SET(access, WALK_WRITE) && !o->writable &&
	    SET(env->cr0, X86_CR0_WP);
}

/* "Page-Fault Exceptions": the bits that say what the access was. */
static u32
access_bits(const struct walk_env *env, unsigned access)
{
	bool nx = SET(env->cr4, X86_CR4_PAE) && SET(env->efer, X86_EFER_NXE);
	u32 e = 0;

	if (SET(access, WALK_WRITE))
		e |= 2;
	if (SET(access, WALK_USER))
		e |= 4;
	if (SET(access, WALK_FETCH) && (nx || SET(env->cr4, X86_CR4_SMEP)))
		e |= 16;
	return e;
}

/* "Accessed and Dirty Flags" */
static void
expect_marks(const struct twin *t, unsigned access, struct outcome *o)
{
	unsigned i = is_pae(t->env) ? 1 : 0;
	u64 e;

	for (; i < t->n; i++) {
		e = t->entry[i];
		if (!SET(access, WALK_PROBE)) {
			e |= X86_PTE_A;
			if (i == t->n - 1 && SET(access, WALK_WRITE))
				e |= X86_PTE_D;
		}
		o->mark[o->nmarks++] = (struct write){ t->at[i], e };
	}
}

static u64
leaf_address(const struct twin *t)
{
	u64 e = t->entry[t->n - 1];

	if (SET(t->env->cr4, X86_CR4_PAE))
		return e & LOW(t->env->maxphyaddr) & ~LOW(t->shift);
	if (t->shift == 22)
		return (e & BITS(31, 22)) | ((e & BITS(20, 13)) << 19);
	return e & BITS(31, 12);
}

static struct outcome
twin_walk(const struct walk_env *env, struct mem *m, u64 va, unsigned access)
{
	struct twin t = { .env = env, .mem = m };
	struct outcome o = { .size = SET(env->cr4, X86_CR4_PAE) ? 8 : 4 };
	bool denied, key;

	if (!SET(env->cr0, X86_CR0_PG)) {
		o.gpa = (u32)va;
		o.page = 1ULL << 32;
		o.writable = o.user = true;
		return o;
	}
	if (!SET(env->cr4, X86_CR4_PAE))
		twin_32bit(&t, (u32)va);
	else if (!SET(env->efer, X86_EFER_LMA))
		twin_pae(&t, (u32)va);
	else
		twin_long(&t, va);
	o.error = access_bits(env, access);
	o.fault = true;
	if (!t.present)
		return o;
	if (t.reserved) {
		o.error |= 1 | 8;
		return o;
	}
	assert_true(t.leaf);
	o.writable = all_have(&t, X86_PTE_W);
	o.user = all_have(&t, X86_PTE_U);
	o.nx = SET(env->cr4, X86_CR4_PAE) && SET(env->efer, X86_EFER_NXE) &&
	    any_has(&t, X86_PTE_NX);
	denied = rights_deny(&t, access, &o);
	key = key_denies(&t, access, o.user);
	if (denied || key) {
		o.error |= 1 | (key ? 32 : 0);
		return o;
	}
	o.fault = false;
	o.page = 1ULL << t.shift;
	o.gpa = leaf_address(&t) | (va & LOW(t.shift));
	expect_marks(&t, access, &o);
	return o;
}

/* --- random cases -------------------------------------------------------- */

static void
random_env(struct walk_env *env)
{
	static const u8 phys[] = { 32, 36, 39, 40, 43, 46, 48, 51, 52 };
	unsigned mode = (unsigned)(rnd() >> 30) % 16;

	*env = (struct walk_env){ .rflags = one_in(2) ? X86_RFLAGS_AC : 0,
		.pkru = (u32)rnd() & (u32)(rnd() >> 8),
		.maxphyaddr = phys[(rnd() >> 9) % COUNT(phys)] };
	env->cr0 = X86_CR0_PE | (mode == 0 ? 0 : X86_CR0_PG) |
	    (one_in(2) ? X86_CR0_WP : 0);
	env->cr4 =
	    rnd() & (X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE | X86_CR4_PSE);
	if (one_in(2))
		env->efer |= X86_EFER_NXE;
	if (mode > 5)
		env->cr4 |= X86_CR4_PAE;
	if (mode > 8)
		env->efer |= X86_EFER_LME | X86_EFER_LMA;
	if (mode > 12)
		env->cr4 |= X86_CR4_LA57;
	env->cr3 = rnd();
	if (!(env->efer & X86_EFER_LMA))
		env->cr3 = (u32)env->cr3;
}

static unsigned
random_access(void)
{
	static const unsigned accesses[] = { WALK_READ, WALK_WRITE, WALK_FETCH,
		WALK_USER, WALK_USER | WALK_WRITE, WALK_USER | WALK_FETCH,
		WALK_IMPLICIT, WALK_IMPLICIT | WALK_WRITE };
	unsigned a = accesses[(rnd() >> 13) % COUNT(accesses)];

	return one_in(4) ? a | WALK_PROBE : a;
}

static void
compare(struct mem *m, u64 va, unsigned access, const struct outcome *o)
{
	struct walk_result res = { .gpa = { 0 } };
	u32 error = 0;
	unsigned i, before = m->nw;
	int r =
	    walk(&m->env, &ops, m, (struct gva){ va }, access, &res, &error);

	if (r != o->fault || (r == 1 && error != o->error))
		fail_msg("va %llx access %x: %d error %x, twin %d %x", va,
		    access, r, error, o->fault, o->error);
	if (r == 1) {
		assert_int_equal(m->nw, before); /* no bit was set */
		return;
	}
	if (res.gpa.v != o->gpa || res.page != o->page ||
	    res.writable != o->writable || res.user != o->user ||
	    res.nx != o->nx)
		fail_msg("va %llx: gpa %llx, twin %llx", va, res.gpa.v, o->gpa);
	for (i = 0; i < o->nmarks; i++) {
		/* One entry may serve at two levels. */
		u64 e = load(m, o->mark[i].gpa, o->size);

		assert_int_equal(e & o->mark[i].val, o->mark[i].val);
	}
	assert_true(m->nw - before <= o->nmarks);
}

static void
test_twin(void **state)
{
	unsigned i, ok = 0, access;
	struct outcome o;
	struct mem m;
	u64 va;

	for (i = 0; i < CASES; i++) {
		m.salt = rnd();
		m.nw = m.exchanges = m.race_at = 0;
		m.strict = m.readonly = false;
		random_env(&m.env);
		va = rnd();
		access = random_access();
		o = twin_walk(&m.env, &m, va, access);
		compare(&m, va, access, &o);
		ok += !o.fault;
	}
	/* Both ways are well trodden. */
	assert_true(ok > CASES / 5 && ok < CASES * 4 / 5);
}

/* --- rows ---------------------------------------------------------------- */

#define NP   0 /* an error code of 0: not present, read by the supervisor */
#define OK   0xffffffffU
#define PWU  (X86_PTE_P | X86_PTE_W | X86_PTE_U)
#define PG   (X86_CR0_PE | X86_CR0_PG)
#define PGWP (PG | X86_CR0_WP)
#define PAE  X86_CR4_PAE
#define LM   (X86_EFER_LME | X86_EFER_LMA)
#define NXE  X86_EFER_NXE

struct row {
	const char *name;
	u64 cr0, cr4, efer;
	u64 va;
	unsigned access;
	u32 error; /* or OK */
	u64 gpa; /* when OK */
	struct write entry[5]; /* what is in memory */
	u64 rflags;
	u32 pkru;
	u8 maxphyaddr; /* 0: 40 */
};

/* Tables at 0x1000 (CR3), 0x2000 .. for the last levels; va picks entry 1 in
 * each but the first, so they are at + 8 (or + 4). */
#define VA4 0x0000000040201123ULL /* indices 0 1 1 1 */
#define LONG4(p3, p2, p1)                                                 \
	{                                                                 \
		{ 0x1000, 0x2000 | PWU }, { 0x2008, p3 }, { 0x3008, p2 }, \
		    { 0x4008, p1 },                                       \
	}
#define SMALL(flags) LONG4(0x3000 | PWU, 0x4000 | PWU, 0x9000 | (flags))

/* clang-format off */
static const struct row rows[] = {
	{ "no paging", X86_CR0_PE, PAE, 0, 0x1234567812345678, WALK_WRITE,
	    OK, 0x12345678, { { 0, 0 } }, 0, 0, 0 },
	{ "nothing there", PG, PAE, LM, VA4, WALK_READ, NP, 0, { { 0, 0 } },
	    0, 0, 0 },
	{ "4 levels", PGWP, PAE, LM, VA4, WALK_WRITE | WALK_USER, OK, 0x9123,
	    SMALL(PWU), 0, 0, 0 },
	{ "2 MiB", PG, PAE, LM, VA4, WALK_READ, OK, 0x801123,
	    LONG4(0x3000 | PWU, 0x800000 | PWU | X86_PTE_PS, 0), 0, 0, 0 },
	{ "2 MiB, reserved bit", PG, PAE, LM, VA4, WALK_READ, 9, 0,
	    LONG4(0x3000 | PWU, 0x802000 | PWU | X86_PTE_PS, 0), 0, 0, 0 },
	{ "2 MiB, PAT", PG, PAE, LM, VA4, WALK_READ, OK, 0x801123,
	    LONG4(0x3000 | PWU, 0x801000 | PWU | X86_PTE_PS, 0), 0, 0, 0 },
	{ "1 GiB", PG, PAE, LM, VA4, WALK_READ, OK, 0xc0201123,
	    LONG4(0xc0000000 | PWU | X86_PTE_PS, 0, 0), 0, 0, 0 },
	{ "1 GiB, reserved bit", PG, PAE, LM, VA4, WALK_READ, 9, 0,
	    LONG4(0xe0000000 | PWU | X86_PTE_PS, 0, 0), 0, 0, 0 },
	{ "no 512 GiB pages", PG, PAE, LM, VA4, WALK_READ, 9, 0,
	    { { 0x1000, 0x2000 | PWU | X86_PTE_PS } }, 0, 0, 0 },
	{ "beyond the physical addresses", PG, PAE, LM, VA4, WALK_READ, 9, 0,
	    SMALL(PWU | 1ULL << 40), 0, 0, 0 },
	{ "the last physical address bit", PG, PAE, LM, VA4, WALK_READ, OK,
	    0x9123 | 1ULL << 39, SMALL(PWU | 1ULL << 39), 0, 0, 0 },
	{ "52 bits", PG, PAE, LM, VA4, WALK_READ, OK, 0x9123 | 1ULL << 51,
	    SMALL(PWU | 1ULL << 51), 0, 0, 52 },
	{ "ignored bits in long mode", PG, PAE, LM, VA4, WALK_READ, OK,
	    0x9123, SMALL(PWU | 0x7ff0000000000e00), 0, 0, 0 },
	{ "5 levels", PG, PAE | X86_CR4_LA57, LM, 1ULL << 48 | VA4, WALK_READ,
	    OK, 0x9123,
	    { { 0x1008, 0x6000 | PWU }, { 0x6000, 0x2000 | PWU },
	    { 0x2008, 0x3000 | PWU }, { 0x3008, 0x4000 | PWU },
	    { 0x4008, 0x9000 | PWU } }, 0, 0, 0 },
	{ "32 bits", PG, 0, 0, 0x00401123, WALK_READ, OK, 0x9123,
	    { { 0x1000, (0x4000ULL | PWU) << 32 },
	    { 0x4000, (0x9000ULL | PWU) << 32 } }, 0, 0, 0 },
	{ "32 bits: PS without PSE is a table", PG, 0, 0, 0x00401123,
	    WALK_READ, OK, 0x9123,
	    { { 0x1000, (0x4000ULL | PWU | X86_PTE_PS) << 32 },
	    { 0x4000, (0x9000ULL | PWU) << 32 } }, 0, 0, 0 },
	{ "4 MiB", PG, X86_CR4_PSE, 0, 0x00401123, WALK_READ, OK, 0xc01123,
	    { { 0x1000, (0xc00000ULL | PWU | X86_PTE_PS) << 32 } }, 0, 0, 0 },
	{ "PSE-36: bits 32 to 39", PG, X86_CR4_PSE, 0, 0x00401123, WALK_READ,
	    OK, 0xa500c01123,
	    { { 0x1000, (0xc00000ULL | 0xa5 << 13 | PWU | X86_PTE_PS) << 32 }
	    }, 0, 0, 0 },
	{ "PSE-36 of a 36-bit CPU", PG, X86_CR4_PSE, 0, 0x00401123,
	    WALK_READ, 9, 0,
	    { { 0x1000, (0xc00000ULL | 0x10 << 13 | PWU | X86_PTE_PS) << 32 }
	    }, 0, 0, 36 },
	{ "4 MiB, bit 21", PG, X86_CR4_PSE, 0, 0x00401123, WALK_READ, 9, 0,
	    { { 0x1000, (0xe00000ULL | PWU | X86_PTE_PS) << 32 } }, 0, 0, 0 },
	{ "PAE", PGWP, PAE, 0, VA4, WALK_WRITE | WALK_USER, OK, 0x9123,
	    { { 0x1008, 0x3001 }, { 0x3008, 0x4000 | PWU },
	    { 0x4008, 0x9000 | PWU } }, 0, 0, 0 },
	{ "PAE: writable PDPTE is reserved", PG, PAE, 0, VA4, WALK_READ, 9, 0,
	    { { 0x1008, 0x3003 }, { 0x3008, 0x4000 | PWU },
	    { 0x4008, 0x9000 | PWU } }, 0, 0, 0 },
	{ "PAE: bits 52 to 62", PG, PAE, 0, VA4, WALK_READ, 9, 0,
	    { { 0x1008, 0x3001 }, { 0x3008, 0x4000 | PWU },
	    { 0x4008, 0x9000 | PWU | 1ULL << 55 } }, 0, 0, 0 },
	{ "PAE: NX in a PDPTE", PG, PAE, NXE, VA4, WALK_READ, 9, 0,
	    { { 0x1008, 0x3001 | X86_PTE_NX } }, 0, 0, 0 },
	{ "NX", PG, PAE, LM | NXE, VA4, WALK_FETCH, 0x11, 0,
	    SMALL(PWU | X86_PTE_NX), 0, 0, 0 },
	{ "NX and a read", PG, PAE, LM | NXE, VA4, WALK_READ, OK, 0x9123,
	    SMALL(PWU | X86_PTE_NX), 0, 0, 0 },
	{ "NX without NXE is reserved", PG, PAE, LM, VA4, WALK_FETCH, 9, 0,
	    SMALL(PWU | X86_PTE_NX), 0, 0, 0 },
	{ "a fetch that is not there, NXE", PG, PAE, LM | NXE, VA4,
	    WALK_FETCH | WALK_USER, 0x14, 0, SMALL(0), 0, 0, 0 },
	{ "NXE means nothing without PAE", PG, 0, NXE, 0x00401123,
	    WALK_FETCH, 0, 0, { { 0, 0 } }, 0, 0, 0 },
	{ "a fetch under SMEP alone", PG, X86_CR4_SMEP, 0, 0x00401123,
	    WALK_FETCH, 0x10, 0, { { 0, 0 } }, 0, 0, 0 },
	{ "user to supervisor's", PG, PAE, LM, VA4, WALK_USER, 5, 0,
	    SMALL(X86_PTE_P | X86_PTE_W), 0, 0, 0 },
	{ "user's write to read-only", PG, PAE, LM, VA4,
	    WALK_USER | WALK_WRITE, 7, 0, SMALL(X86_PTE_P | X86_PTE_U),
	    0, 0, 0 },
	{ "supervisor's write, no WP", PG, PAE, LM, VA4, WALK_WRITE, OK,
	    0x9123, SMALL(X86_PTE_P | X86_PTE_U), 0, 0, 0 },
	{ "supervisor's write, WP", PGWP, PAE, LM, VA4, WALK_WRITE, 3, 0,
	    SMALL(X86_PTE_P | X86_PTE_U), 0, 0, 0 },
	{ "SMEP", PG, PAE | X86_CR4_SMEP, LM, VA4, WALK_FETCH, 0x11, 0,
	    SMALL(PWU), 0, 0, 0 },
	{ "SMEP, the user's fetch", PG, PAE | X86_CR4_SMEP, LM, VA4,
	    WALK_FETCH | WALK_USER, OK, 0x9123, SMALL(PWU), 0, 0, 0 },
	{ "SMAP", PG, PAE | X86_CR4_SMAP, LM, VA4, WALK_READ, 1, 0,
	    SMALL(PWU), 0, 0, 0 },
	{ "SMAP with AC", PG, PAE | X86_CR4_SMAP, LM, VA4, WALK_READ, OK,
	    0x9123, SMALL(PWU), X86_RFLAGS_AC, 0, 0 },
	{ "SMAP with AC, implicit", PG, PAE | X86_CR4_SMAP, LM, VA4,
	    WALK_IMPLICIT, 1, 0, SMALL(PWU), X86_RFLAGS_AC, 0, 0 },
	{ "SMAP and supervisor's pages", PG, PAE | X86_CR4_SMAP, LM, VA4,
	    WALK_READ, OK, 0x9123, SMALL(X86_PTE_P), 0, 0, 0 },
	{ "SMAP and fetches", PG, PAE | X86_CR4_SMAP, LM, VA4, WALK_FETCH,
	    OK, 0x9123, SMALL(PWU), 0, 0, 0 },
	{ "key 5: no access", PG, PAE | X86_CR4_PKE, LM, VA4, WALK_USER, 0x25,
	    0, SMALL(PWU | 5ULL << 59), 0, 1 << 10, 0 },
	{ "key 5: no writes", PG, PAE | X86_CR4_PKE, LM, VA4,
	    WALK_USER | WALK_WRITE, 0x27, 0, SMALL(PWU | 5ULL << 59), 0,
	    2 << 10, 0 },
	{ "key 5: reads", PG, PAE | X86_CR4_PKE, LM, VA4, WALK_USER, OK,
	    0x9123, SMALL(PWU | 5ULL << 59), 0, 2 << 10, 0 },
	{ "key 5: supervisor's write, no WP", PG, PAE | X86_CR4_PKE, LM, VA4,
	    WALK_WRITE, OK, 0x9123, SMALL(PWU | 5ULL << 59), 0, 2 << 10, 0 },
	{ "key 5: supervisor's write, WP", PGWP, PAE | X86_CR4_PKE, LM, VA4,
	    WALK_WRITE, 0x23, 0, SMALL(PWU | 5ULL << 59), 0, 2 << 10, 0 },
	{ "key 5: fetches", PG, PAE | X86_CR4_PKE, LM, VA4,
	    WALK_FETCH | WALK_USER, OK, 0x9123, SMALL(PWU | 5ULL << 59), 0,
	    3 << 10, 0 },
	{ "key 5: supervisor's page", PG, PAE | X86_CR4_PKE, LM, VA4,
	    WALK_READ, OK, 0x9123, SMALL(X86_PTE_P | 5ULL << 59), 0, 3 << 10,
	    0 },
	{ "key and entry both deny", PG, PAE | X86_CR4_PKE, LM, VA4,
	    WALK_USER | WALK_WRITE, 0x27, 0,
	    SMALL(X86_PTE_P | X86_PTE_U | 5ULL << 59), 0, 2 << 10, 0 },
};
/* clang-format on */

static void
fill(struct mem *m, const struct row *r)
{
	unsigned i;

	memset(m, 0, sizeof(*m));
	m->strict = true;
	m->env = (struct walk_env){ r->cr0, 0x1000, r->cr4, r->efer, r->rflags,
		r->pkru, r->maxphyaddr != 0 ? r->maxphyaddr : 40 };
	for (i = 0; i < COUNT(r->entry); i++)
		store(m, r->entry[i].gpa, r->entry[i].val, 8);
}

static void
test_rows(void **state)
{
	struct walk_result res;
	const struct row *r;
	struct outcome o;
	struct mem m;
	u32 error;
	size_t i;
	int got;

	for (i = 0; i < COUNT(rows); i++) {
		r = &rows[i];
		fill(&m, r);
		o = twin_walk(&m.env, &m, r->va, r->access);
		if (o.fault != (r->error != OK) ||
		    (o.fault ? o.error != r->error : o.gpa != r->gpa))
			fail_msg(
			    "%s: the twin: %x %llx", r->name, o.error, o.gpa);
		got = walk(&m.env, &ops, &m, (struct gva){ r->va }, r->access,
		    &res, &error);
		if (got != (r->error != OK))
			fail_msg("%s: %d, error %x", r->name, got, error);
		if (got == 1 && error != r->error)
			fail_msg("%s: error %x", r->name, error);
		if (got == 0 && res.gpa.v != r->gpa)
			fail_msg("%s: gpa %llx", r->name, res.gpa.v);
	}
}

/* --- entries that change under the walk ---------------------------------- */

static const struct row small = { "small", PG, PAE, LM, VA4, WALK_WRITE, OK,
	0x9123, SMALL(PWU), 0, 0, 0 };

static void
test_race(void **state)
{
	struct walk_result res;
	struct mem m;
	u32 error;

	/* The leaf moves: the walk begins again and finds the new page. */
	fill(&m, &small);
	m.race_at = 4;
	m.race = (struct write){ 0x4008, 0xa000 | PWU };
	assert_int_equal(walk(&m.env, &ops, &m, (struct gva){ VA4 }, WALK_WRITE,
			     &res, &error),
	    0);
	assert_int_equal(res.gpa.v, 0xa123);
	assert_int_equal(
	    load8(&m, 0x4008), 0xa000 | PWU | X86_PTE_A | X86_PTE_D);

	/* It goes: a fault, and no dirty bit in what was there. */
	fill(&m, &small);
	m.race_at = 4;
	m.race = (struct write){ 0x4008, 0 };
	assert_int_equal(walk(&m.env, &ops, &m, (struct gva){ VA4 }, WALK_WRITE,
			     &res, &error),
	    1);
	assert_int_equal(error, X86_PFEC_W);
	assert_int_equal(load8(&m, 0x4008), 0);

	/* It becomes read-only for a user's write. */
	fill(&m, &small);
	m.race_at = 4;
	m.race = (struct write){ 0x4008, 0x9000 | X86_PTE_P | X86_PTE_U };
	assert_int_equal(walk(&m.env, &ops, &m, (struct gva){ VA4 },
			     WALK_WRITE | WALK_USER, &res, &error),
	    1);
	assert_int_equal(error, X86_PFEC_P | X86_PFEC_W | X86_PFEC_U);
	assert_int_equal(load8(&m, 0x4008) & X86_PTE_D, 0);
}

/* A CPU that rewrites an entry all the time costs a fault, not our time. */
static int
never(void *arg, struct gpa gpa, u64 old, u64 new, unsigned size)
{
	++*(unsigned *)((struct mem *)arg)->w[15].val;
	return -EAGAIN;
}

static void
test_endless_race(void **state)
{
	const struct walk_ops hostile = { mem_read, never };
	struct walk_result res;
	unsigned tries = 0;
	struct mem m;
	u32 error;

	fill(&m, &small);
	m.w[15].val = (u64)(uintptr_t)&tries;
	assert_int_equal(walk(&m.env, &hostile, &m, (struct gva){ VA4 },
			     WALK_WRITE, &res, &error),
	    1);
	assert_int_equal(error, X86_PFEC_W);
	assert_true(tries > 1 && tries < 100);
}

/* Tables in ROM: the bits are lost, the access goes on. */
static void
test_tables_in_rom(void **state)
{
	struct walk_result res;
	struct mem m;
	u32 error;

	fill(&m, &small);
	m.readonly = true;
	assert_int_equal(walk(&m.env, &ops, &m, (struct gva){ VA4 }, WALK_WRITE,
			     &res, &error),
	    0);
	assert_int_equal(res.gpa.v, 0x9123);
	assert_int_equal(load8(&m, 0x4008), 0x9000 | PWU);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_twin),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_endless_race),
		cmocka_unit_test(test_tables_in_rom),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
