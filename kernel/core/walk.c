// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Walking the guest's page tables: AMD APM vol. 2 "Page Translation and
 * Protection"; SDM vol. 3 "Paging" where the two say the same in other words.
 *
 * Invariants
 *  1. Each entry is read once; the copy is checked and used.  Accessed and
 *     dirty bits are set by compare-exchange against that copy, so an entry
 *     that changed meanwhile makes the walk start over.
 *  2. No access outside what the tables name: a table address beyond
 *     maxphyaddr is a reserved-bit fault before it is followed.
 *  3. A and D bits are set only when the whole access is permitted.
 */
#include "walk.h"
#include "x86.h"

#define WALK_RETRIES 16

/* The shape of one paging mode. */
struct mode {
	unsigned levels;
	unsigned entry; /* bytes of an entry: 4 or 8 */
	unsigned index_bits; /* per level */
};

static const struct mode mode_32bit = { 2, 4, 10 };
static const struct mode mode_pae = { 3, 8, 9 };
static const struct mode mode_long = { 4, 8, 9 };
static const struct mode mode_la57 = { 5, 8, 9 };

/* What one attempt gathers on its way down. */
struct path {
	const struct mode *mode;
	struct gpa addr[WALK_LEVELS]; /* of each entry, [level - 1] */
	u64 entry[WALK_LEVELS];
	u8 rights[WALK_LEVELS];
	unsigned leaf; /* level of the leaf, 1 = 4 KiB */
	bool writable, user, nx;
};

static const struct mode *
mode_of(const struct walk_env *env)
{
	if (!(env->cr4 & X86_CR4_PAE))
		return &mode_32bit;
	if (!(env->efer & X86_EFER_LMA))
		return &mode_pae;
	return (env->cr4 & X86_CR4_LA57) ? &mode_la57 : &mode_long;
}

static u64
phys_mask(const struct walk_env *env)
{
	return CORE_BIT(env->maxphyaddr) - 1;
}

static unsigned
shift_of(const struct mode *m, unsigned level)
{
	return 12 + (level - 1) * m->index_bits;
}

/* May an entry at this level map a page itself? */
static bool
may_be_large(const struct walk_env *env, const struct mode *m, unsigned level)
{
	if (level == 2)
		return m->entry == 8 || (env->cr4 & X86_CR4_PSE);
	/* 1 GiB pages exist in long mode only. */
	return level == 3 && m->levels >= 4;
}

/* Reserved bits of a present 4-byte entry: only 4 MiB pages have some.  With
 * PSE-36, bits 13-20 hold address bits 32-39 (APM "4-Mbyte Page
 * Translation"). */
static u64
reserved_32bit(const struct walk_env *env, bool large)
{
	unsigned high;

	if (!large)
		return 0;
	high = env->maxphyaddr > 40 ? 40 : env->maxphyaddr;
	if (high <= 32)
		return 0x3fe000;
	return CORE_BIT(21) | (0x1fe000 & ~((CORE_BIT(high - 32) - 1) << 13));
}

static u64
reserved_bits(const struct walk_env *env, const struct mode *m, unsigned level,
    bool large)
{
	u64 high, rsvd;

	if (m->entry == 4)
		return reserved_32bit(env, large);
	high = ~phys_mask(env) & 0x000fffffffffffffULL;
	if (m == &mode_pae) {
		/* Bits 52-62 are reserved in legacy PAE entries; PDPTEs also
		 * reserve 1, 2, 6-8 and NX, and 5 in the manual: processors
		 * that walk PDPTEs like other entries set it (A) there. */
		rsvd = high | 0x7ff0000000000000ULL;
		if (level == 3)
			return rsvd | X86_PTE_NX | 0x1c6;
	} else {
		rsvd = high;
		if (level >= 4)
			rsvd |= X86_PTE_PS;
	}
	if (!(env->efer & X86_EFER_NXE))
		rsvd |= X86_PTE_NX;
	if (large)
		rsvd |= (CORE_BIT(shift_of(m, level)) - 1) & ~0x1fffULL;
	return rsvd;
}

static u64
table_of(const struct walk_env *env, const struct mode *m, u64 entry)
{
	if (m->entry == 4)
		return entry & 0xfffff000;
	return entry & phys_mask(env) & ~0xfffULL;
}

static u64
root_of(const struct walk_env *env, const struct mode *m)
{
	if (m == &mode_32bit)
		return env->cr3 & 0xfffff000;
	if (m == &mode_pae)
		return env->cr3 & 0xffffffe0;
	return env->cr3 & phys_mask(env) & ~0xfffULL;
}

static u32
access_error(const struct walk_env *env, unsigned access)
{
	u32 e = 0;

	if (access & WALK_WRITE)
		e |= X86_PFEC_W;
	if (access & WALK_USER)
		e |= X86_PFEC_U;
	if ((access & WALK_FETCH) &&
	    ((env->cr4 & X86_CR4_SMEP) ||
		((env->cr4 & X86_CR4_PAE) && (env->efer & X86_EFER_NXE))))
		e |= X86_PFEC_ID;
	return e;
}

/* 0: p is filled down to a leaf; 1: fault. */
static int
descend(const struct walk_env *env, const struct walk_ops *ops, void *arg,
    struct gva va, struct path *p, u32 *error)
{
	const struct mode *m = p->mode;
	u64 table = root_of(env, m), entry;
	unsigned level, index;
	bool large;

	p->writable = p->user = true;
	p->nx = false;
	for (level = m->levels; level > 0; level--) {
		index = (va.v >> shift_of(m, level)) &
		    (CORE_BIT(m->index_bits) - 1);
		if (m == &mode_pae && level == 3)
			index &= 3;
		p->addr[level - 1].v = table + (u64)index * m->entry;
		entry = 0;
		if (ops->read(arg, p->addr[level - 1], &entry, m->entry) != 0)
			entry = 0;
		if (!(entry & X86_PTE_P))
			return 1;
		large = level > 1 && (entry & X86_PTE_PS) &&
		    may_be_large(env, m, level);
		if (entry & reserved_bits(env, m, level, large)) {
			*error |= X86_PFEC_P | X86_PFEC_RSVD;
			return 1;
		}
		p->entry[level - 1] = entry;
		if (!(m == &mode_pae && level == 3)) {
			p->writable &= (entry & X86_PTE_W) != 0;
			p->user &= (entry & X86_PTE_U) != 0;
		}
		if (m->entry == 8 && (env->efer & X86_EFER_NXE))
			p->nx |= (entry & X86_PTE_NX) != 0;
		p->rights[level - 1] = (p->writable ? WALK_W : 0) |
		    (p->user ? WALK_U : 0) | (p->nx ? WALK_NX : 0);
		if (level == 1 || large) {
			p->leaf = level;
			return 0;
		}
		table = table_of(env, m, entry);
	}
	return 1;
}

/* SDM vol. 3 "Protection Keys": data accesses to user pages in long mode. */
static bool
pkey_denies(const struct walk_env *env, const struct path *p, unsigned access)
{
	unsigned key;
	u32 bits;

	if (!(env->cr4 & X86_CR4_PKE) || !(env->efer & X86_EFER_LMA) ||
	    !p->user || (access & WALK_FETCH))
		return false;
	key = (p->entry[p->leaf - 1] >> X86_PTE_PKEY_SHIFT) & 15;
	bits = (env->pkru >> (2 * key)) & 3;
	if (bits & 1)
		return true;
	return (bits & 2) && (access & WALK_WRITE) &&
	    ((access & WALK_USER) || (env->cr0 & X86_CR0_WP));
}

/* Rights by the entries alone. */
static bool
permitted(const struct walk_env *env, const struct path *p, unsigned access)
{
	bool user = (access & WALK_USER) != 0;
	bool ac = (env->rflags & X86_RFLAGS_AC) != 0;

	if (user && !p->user)
		return false;
	if ((access & WALK_FETCH) && p->nx)
		return false;
	if (!user && p->user) {
		if ((access & WALK_FETCH) && (env->cr4 & X86_CR4_SMEP))
			return false;
		if (!(access & WALK_FETCH) && (env->cr4 & X86_CR4_SMAP) &&
		    ((access & WALK_IMPLICIT) || !ac))
			return false;
	}
	return !(access & WALK_WRITE) || p->writable ||
	    (!user && !(env->cr0 & X86_CR0_WP));
}

/* 0; 1: a fault, *error as "Page-Fault Exceptions" has it: the key counts
 * whether the entries deny the access as well or not. */
static int
check(const struct walk_env *env, const struct path *p, unsigned access,
    u32 *error)
{
	bool key = pkey_denies(env, p, access);

	if (!key && permitted(env, p, access))
		return 0;
	*error |= X86_PFEC_P | (key ? X86_PFEC_PK : 0);
	return 1;
}

/* Set A on the path and D on the leaf; -EAGAIN: the tables moved. */
static int
mark(const struct walk_ops *ops, void *arg, struct path *p, unsigned access)
{
	const struct mode *m = p->mode;
	unsigned level;
	u64 want;
	int r;

	for (level = m->levels; level >= p->leaf; level--) {
		if (m == &mode_pae && level == 3)
			continue; /* PDPTEs have no A bit */
		want = p->entry[level - 1] | X86_PTE_A;
		if (level == p->leaf && (access & WALK_WRITE))
			want |= X86_PTE_D;
		if (want == p->entry[level - 1])
			continue;
		r = ops->compare_swap(arg, p->addr[level - 1],
		    p->entry[level - 1], want, m->entry);
		if (r == -EAGAIN)
			return r;
		if (r == 0)
			p->entry[level - 1] = want;
	}
	return 0;
}

static u64
leaf_base(const struct walk_env *env, const struct path *p)
{
	u64 e = p->entry[p->leaf - 1];
	u64 page = CORE_BIT(shift_of(p->mode, p->leaf));

	if (p->mode->entry == 8)
		return e & phys_mask(env) & ~(page - 1);
	if (p->leaf == 1)
		return e & 0xfffff000;
	return (e & 0xffc00000) | (((e >> 13) & 0xff) << 32);
}

static void
tell_path(const struct path *p, struct walk_path *out)
{
	out->levels = p->mode->levels;
	out->leaf = p->leaf;
	out->size = p->mode->entry;
	memcpy(out->addr, p->addr, sizeof(out->addr));
	memcpy(out->entry, p->entry, sizeof(out->entry));
	memcpy(out->rights, p->rights, sizeof(out->rights));
}

static void
unpaged(struct gva va, struct walk_result *res)
{
	res->path.levels = 0;
	res->gpa.v = va.v & 0xffffffff;
	res->page = CORE_BIT(32);
	res->writable = res->user = true;
	res->nx = false;
}

int
walk(const struct walk_env *env, const struct walk_ops *ops, void *arg,
    struct gva va, unsigned access, struct walk_result *res, u32 *error)
{
	struct path p = { 0 };
	unsigned try;

	if (!(env->cr0 & X86_CR0_PG)) {
		unpaged(va, res);
		return 0;
	}
	p.mode = mode_of(env);
	if (!(env->efer & X86_EFER_LMA))
		va.v &= 0xffffffff;
	for (try = 0; try < WALK_RETRIES; try++) {
		*error = access_error(env, access);
		if (descend(env, ops, arg, va, &p, error) != 0)
			return 1;
		if (check(env, &p, access, error) != 0)
			return 1;
		if (!(access & WALK_PROBE) &&
		    mark(ops, arg, &p, access) == -EAGAIN)
			continue;
		res->page = CORE_BIT(shift_of(p.mode, p.leaf));
		res->gpa.v = leaf_base(env, &p) | (va.v & (res->page - 1));
		res->writable = p.writable;
		res->user = p.user;
		res->nx = p.nx;
		tell_path(&p, &res->path);
		return 0;
	}
	/*
	 * Another CPU keeps rewriting the entries.  A fault that says "not
	 * present" is what a walk a moment ago could have seen; the guest
	 * repeats the access.
	 */
	*error = access_error(env, access);
	return 1;
}
