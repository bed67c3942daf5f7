// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * CPUID from the allow-list of cpuid_table.c.
 *
 * Invariants
 *  1. No bit of the host's reaches a guest but through a row.
 *  2. The highest leaves name leaves that have a row.
 *  3. Components of the XSAVE area that the driver does not switch do not
 *     exist, and no feature whose registers they hold.
 */
#include "cpuid.h"
#include "x86.h"

#define LEAF_MAX   0xdU
#define EXT	   0x80000000U
#define EXT_MAX	   (EXT + 0x21)
#define CACHES_MAX 8
#define XSAVE_BASE 576 /* legacy region and header */
#define XCR0_YMM   CORE_BIT(2)
#define XCR0_ZMM   (CORE_BIT(5) | CORE_BIT(6) | CORE_BIT(7))
#define XCR0_PKRU  CORE_BIT(9)

/* The entries under construction. */
struct list {
	struct cpuid_entry *e;
	unsigned n, max;
};

static struct cpuid_entry *
add(struct list *l, u32 leaf, u32 index, bool indexed)
{
	struct cpuid_entry *e;

	if (l->n == l->max)
		return NULL;
	e = &l->e[l->n++];
	*e = (struct cpuid_entry){ .leaf = leaf,
		.index = index,
		.flags = indexed ? CPUID_INDEXED : 0 };
	return e;
}

static unsigned
caps_of(const struct cpuid_source *s)
{
	unsigned caps = s->caps;

	if (s->xcr0 != 0)
		caps |= CPUID_XSAVE;
	if (s->xcr0 & XCR0_YMM)
		caps |= CPUID_YMM;
	if ((s->xcr0 & XCR0_ZMM) == XCR0_ZMM)
		caps |= CPUID_ZMM;
	if (!(s->xcr0 & XCR0_PKRU))
		caps &= ~(unsigned)CPUID_PKU;
	return caps;
}

static void
add_features(
    const struct cpuid_source *s, struct cpuid_entry *e, const u32 host[4])
{
	const struct cpuid_feature *f;
	unsigned i, caps = caps_of(s);

	for (i = 0; i < cpuid_nfeatures; i++) {
		f = &cpuid_features[i];
		if (f->leaf != e->leaf || f->index != e->index ||
		    (f->needs & ~caps))
			continue;
		if (f->ours || (host[f->reg] & CORE_BIT(f->bit)))
			e->reg[f->reg] |= (u32)CORE_BIT(f->bit);
	}
}

/* The highest leaf of a range is in its first one. */
static void
limit(struct cpuid_entry *e)
{
	u32 *eax = &e->reg[LEAF_EAX];

	if (e->leaf == 0 && *eax > LEAF_MAX)
		*eax = LEAF_MAX;
	if (e->leaf == EXT && *eax > EXT_MAX)
		*eax = EXT_MAX;
}

static int
add_caches(
    const struct cpuid_source *s, const struct cpuid_leaf *row, struct list *l)
{
	struct cpuid_entry *e;
	u32 i, reg, host[4];

	for (i = 0; i < CACHES_MAX; i++) {
		s->host(s->arg, row->leaf, i, host);
		e = add(l, row->leaf, i, true);
		if (e == NULL)
			return -E2BIG;
		for (reg = 0; reg < 4; reg++)
			e->reg[reg] = host[reg] & row->keep[reg];
		if ((host[LEAF_EAX] & 0x1f) == 0)
			break; /* no more caches */
	}
	return 0;
}

u32
cpuid_xsave_size(const struct cpuid_entry *e, unsigned n, u64 xcr0)
{
	const struct cpuid_entry *c;
	u32 size = XSAVE_BASE, end, i;

	for (i = 2; i < 64; i++) {
		if (!(xcr0 & CORE_BIT(i)) ||
		    (c = cpuid_find(e, n, 0xd, i)) == NULL)
			continue;
		end = c->reg[LEAF_EAX] + c->reg[LEAF_EBX];
		if (end > size)
			size = end;
	}
	return size;
}

/* APM vol. 3 "Processor Extended State Enumeration": index 0 sums up, 1 has
 * features, the others are one component each. */
static int
add_xsave(const struct cpuid_source *s, struct list *l)
{
	struct cpuid_entry *main, *e;
	u32 i, first = l->n, host[4];

	main = add(l, 0xd, 0, true);
	if (main == NULL)
		return -E2BIG;
	if (s->xcr0 == 0)
		return 0;
	main->reg[LEAF_EAX] = (u32)s->xcr0;
	main->reg[LEAF_EDX] = (u32)(s->xcr0 >> 32);
	for (i = 1; i < 64; i++) {
		if (i > 1 && !(s->xcr0 & CORE_BIT(i)))
			continue;
		e = add(l, 0xd, i, true);
		if (e == NULL)
			return -E2BIG;
		s->host(s->arg, 0xd, i, host);
		if (i == 1) {
			add_features(s, e, host);
			continue;
		}
		e->reg[LEAF_EAX] = host[LEAF_EAX];
		e->reg[LEAF_EBX] = host[LEAF_EBX];
		e->reg[LEAF_ECX] = host[LEAF_ECX] & 2; /* aligned */
	}
	main->reg[LEAF_EBX] = XSAVE_BASE;
	main->reg[LEAF_ECX] =
	    cpuid_xsave_size(&l->e[first], l->n - first, s->xcr0);
	return 0;
}

static int
add_leaf(
    const struct cpuid_source *s, const struct cpuid_leaf *row, struct list *l)
{
	struct cpuid_entry *e;
	u32 i, host[4];

	e = add(l, row->leaf, row->index, row->kind == LEAF_INDEXED);
	if (e == NULL)
		return -E2BIG;
	s->host(s->arg, row->leaf, row->index, host);
	for (i = 0; i < 4; i++)
		e->reg[i] = (host[i] & row->keep[i]) | row->set[i];
	add_features(s, e, host);
	limit(e);
	return 0;
}

int
cpuid_supported(
    const struct cpuid_source *s, struct cpuid_entry *out, unsigned max)
{
	struct list l = { out, 0, max };
	unsigned i;
	int err = 0;

	for (i = 0; i < cpuid_nleaves && err == 0; i++) {
		switch (cpuid_leaves[i].kind) {
		case LEAF_ONE:
		case LEAF_INDEXED:
			err = add_leaf(s, &cpuid_leaves[i], &l);
			break;
		case LEAF_CACHES:
			err = add_caches(s, &cpuid_leaves[i], &l);
			break;
		case LEAF_XSAVE:
			err = add_xsave(s, &l);
			break;
		}
	}
	return err != 0 ? err : (int)l.n;
}

const struct cpuid_entry *
cpuid_find(const struct cpuid_entry *e, unsigned n, u32 leaf, u32 index)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		if (e[i].leaf == leaf &&
		    (!(e[i].flags & CPUID_INDEXED) || e[i].index == index))
			return &e[i];
	}
	return NULL;
}

bool
cpuid_has(const struct cpuid_entry *e, unsigned n, u32 leaf, u32 index,
    unsigned reg, unsigned bit)
{
	const struct cpuid_entry *c = cpuid_find(e, n, leaf, index);

	return c != NULL && (c->reg[reg] & CORE_BIT(bit));
}

/*
 * A basic leaf beyond the highest: Intel's answer with the highest one, AMD's
 * with zeros (SDM vol. 2 "CPUID", "INPUT EAX").
 */
static const struct cpuid_entry *
beyond(const struct cpuid_entry *e, unsigned n, u32 leaf, u32 index)
{
	const struct cpuid_entry *first = cpuid_find(e, n, 0, 0);

	if (first == NULL || leaf >= 0x40000000 ||
	    first->reg[LEAF_ECX] != 0x6c65746e) /* Genuine, ine, "ntel" */
		return NULL;
	if (leaf <= first->reg[LEAF_EAX])
		return NULL;
	return cpuid_find(e, n, first->reg[LEAF_EAX], index);
}

static void
set_bit(u64 *reg, unsigned bit, bool on)
{
	*reg = (*reg & ~(u64)CORE_BIT(bit)) | (on ? (u64)CORE_BIT(bit) : 0);
}

/* Of a leaf that is not there.  "Extended Topology Enumeration": ECX comes back, EDX
 * is the same for each index. */
static void
absent(const struct cpuid_entry *e, unsigned n, u32 leaf, u64 *gpr)
{
	const struct cpuid_entry *first = NULL;

	if (leaf == 0xb)
		first = cpuid_find(e, n, 0xb, 0);
	gpr[R_RAX] = gpr[R_RBX] = 0;
	gpr[R_RCX] = first != NULL ? gpr[R_RCX] & 0xff : 0;
	gpr[R_RDX] = first != NULL ? first->reg[LEAF_EDX] : 0;
}

void
cpuid_answer(const struct cpuid_entry *e, unsigned n, struct gcpu *c, u64 *gpr)
{
	u32 leaf = (u32)gpr[R_RAX], index = (u32)gpr[R_RCX];
	const struct cpuid_entry *found = cpuid_find(e, n, leaf, index);

	if (found == NULL)
		found = beyond(e, n, leaf, index);
	if (found == NULL) {
		absent(e, n, leaf, gpr);
		return;
	}
	gpr[R_RAX] = found->reg[LEAF_EAX];
	gpr[R_RBX] = found->reg[LEAF_EBX];
	gpr[R_RCX] = found->reg[LEAF_ECX];
	gpr[R_RDX] = found->reg[LEAF_EDX];
	if (found->leaf == 1) {
		cpu_need(c, CPU_CR4);
		set_bit(&gpr[R_RCX], 27, (c->cr4 & X86_CR4_OSXSAVE) != 0);
	} else if (found->leaf == 7 && found->index == 0) {
		cpu_need(c, CPU_CR4);
		set_bit(&gpr[R_RCX], 4, (c->cr4 & X86_CR4_PKE) != 0);
	} else if (found->leaf == 0xd && found->index == 0 &&
	    found->reg[LEAF_EAX] != 0) {
		gpr[R_RBX] = cpuid_xsave_size(e, n, c->xcr0);
	}
}

/* Machine checks and counters may be enabled even where none come. */
#define CR4_ALWAYS (X86_CR4_MCE | X86_CR4_PCE)

/* Which feature gives which bits of CR4. */
static const struct {
	u64 cr4;
	u32 leaf;
	u8 reg, bit;
} cr4_rows[] = {
	{ X86_CR4_VME | X86_CR4_PVI, 1, LEAF_EDX, 1 },
	{ X86_CR4_DE, 1, LEAF_EDX, 2 },
	{ X86_CR4_PSE, 1, LEAF_EDX, 3 },
	{ X86_CR4_TSD, 1, LEAF_EDX, 4 },
	{ X86_CR4_PAE, 1, LEAF_EDX, 6 },
	{ X86_CR4_PGE, 1, LEAF_EDX, 13 },
	{ X86_CR4_OSFXSR, 1, LEAF_EDX, 24 },
	{ X86_CR4_OSXMMEXCPT, 1, LEAF_EDX, 25 },
	{ X86_CR4_PCIDE, 1, LEAF_ECX, 17 },
	{ X86_CR4_OSXSAVE, 1, LEAF_ECX, 26 },
	{ X86_CR4_FSGSBASE, 7, LEAF_EBX, 0 },
	{ X86_CR4_SMEP, 7, LEAF_EBX, 7 },
	{ X86_CR4_SMAP, 7, LEAF_EBX, 20 },
	{ X86_CR4_UMIP, 7, LEAF_ECX, 2 },
	{ X86_CR4_PKE, 7, LEAF_ECX, 3 },
	{ X86_CR4_LA57, 7, LEAF_ECX, 16 },
};

u64
cpuid_cr4(const struct cpuid_source *s)
{
	struct cpuid_entry e;
	u64 cr4 = CR4_ALWAYS;
	unsigned i;
	u32 host[4];

	for (i = 0; i < sizeof(cr4_rows) / sizeof(cr4_rows[0]); i++) {
		e = (struct cpuid_entry){ .leaf = cr4_rows[i].leaf };
		s->host(s->arg, e.leaf, 0, host);
		add_features(s, &e, host);
		if (e.reg[cr4_rows[i].reg] & CORE_BIT(cr4_rows[i].bit))
			cr4 |= cr4_rows[i].cr4;
	}
	return cr4;
}

static u8
physical_bits(const struct cpuid_entry *e, unsigned n)
{
	const struct cpuid_entry *c = cpuid_find(e, n, EXT + 8, 0);
	u32 bits = c != NULL ? c->reg[LEAF_EAX] & 0xff : 36;

	return bits < 32 || bits > 52 ? 36 : (u8)bits;
}

void
cpuid_derive(
    const struct cpuid_entry *e, unsigned n, u64 cr4, u64 xcr0, struct gcpu *c)
{
	const struct cpuid_entry *area = cpuid_find(e, n, 0xd, 0);
	unsigned i;

	c->cr4_valid = CR4_ALWAYS;
	for (i = 0; i < sizeof(cr4_rows) / sizeof(cr4_rows[0]); i++) {
		if (cpuid_has(e, n, cr4_rows[i].leaf, 0, cr4_rows[i].reg,
			cr4_rows[i].bit))
			c->cr4_valid |= cr4_rows[i].cr4;
	}
	c->cr4_valid &= cr4;
	c->efer_valid = X86_EFER_SCE;
	if (cpuid_has(e, n, EXT + 1, 0, LEAF_EDX, 20))
		c->efer_valid |= X86_EFER_NXE;
	if (cpuid_has(e, n, EXT + 1, 0, LEAF_EDX, 29))
		c->efer_valid |= X86_EFER_LME | X86_EFER_LMA;
	c->xcr0_valid = 1;
	if ((c->cr4_valid & X86_CR4_OSXSAVE) && area != NULL)
		c->xcr0_valid |= xcr0 &
		    (area->reg[LEAF_EAX] | (u64)area->reg[LEAF_EDX] << 32);
	c->maxphyaddr = physical_bits(e, n);
}
