/* SPDX-License-Identifier: ISC */
/*
 * CPUID policy (Intel SDM volume 2, "CPUID-CPU Identification"; AMD64
 * Architecture Programmer's Manual volume 3, "Obtaining Processor Information
 * Via the CPUID Instruction"; "KVM CPUID bits").
 *
 * Invariants
 *  1. An allow-list: a leaf without a row in policy[] does not exist for the
 *     guest, whatever the hypervisor supports.
 *  2. A bit is never set that the hypervisor does not support, other than
 *     identity, topology, and the features the in-kernel APIC provides.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "cpubase.h"
#include "cpuid.h"

#define ANY  UINT32_MAX
#define B(n) (1U << (n))
#define ALL  UINT32_MAX

#define ENTRIES 128

#define HV_BASE 0x40000000U
#define EXT	0x80000000U

/* Leaf 1. */
#define C1_TSC_DEADLINE B(24)
#define C1_X2APIC	B(21)
#define C1_HYPERVISOR	B(31)
#define D1_HTT		B(28)

struct row {
	uint32_t leaf, index; /* ANY: all its sub-leaves */
	uint32_t keep[4]; /* eax, ebx, ecx, edx */
};

/* Ascending by leaf.  Masks say what is taken away and why. */
static const struct row policy[] = {
	{ 0x0, 0, { ALL, ALL, ALL, ALL } },
	/* ecx: no DTES64, MONITOR, DS-CPL, VMX, SMX, EST, TM2, xTPR, PDCM,
	 * DCA: no monitor, power, debug store or nested virtualization.
	 * edx: no PSN, DS, ACPI, SS-independent TM, PBE. */
	{ 0x1, 0,
	    { ALL, ALL,
		~(B(2) | B(3) | B(4) | B(5) | B(6) | B(7) | B(8) | B(14) |
		    B(15) | B(18)),
		~(B(18) | B(21) | B(22) | B(29) | B(31)) } },
	{ 0x2, ANY, { ALL, ALL, ALL, ALL } },
	{ 0x4, ANY, { ALL, ALL, ALL, ALL } },
	/* Only ARAT: the APIC timer never stops. */
	{ 0x6, 0, { B(2), 0, 0, 0 } },
	/* ebx: no SGX, RDT, MPX, PT; ecx: no WAITPKG, TME, SGX_LC, ENQCMD;
	 * edx: no PCONFIG, architectural LBR, hybrid. */
	{ 0x7, 0,
	    { ALL, ~(B(2) | B(12) | B(14) | B(15) | B(25)),
		~(B(5) | B(13) | B(29) | B(30)), ~(B(15) | B(18) | B(19)) } },
	{ 0x7, 1, { ALL, ALL, ALL, ALL } },
	{ 0x7, 2, { ALL, ALL, ALL, ALL } },
	/* 0xa, the performance counters, is not there. */
	{ 0xb, ANY, { 0, 0, 0, 0 } }, /* built below */
	{ 0xd, ANY, { ALL, ALL, ALL, ALL } },
	{ HV_BASE, 0, { ALL, ALL, ALL, ALL } },
	/* eax: no MIGRATION_CONTROL: nobody serves its hypercall. */
	{ HV_BASE + 1, 0, { ~B(17), 0, 0, 0 } },
	{ EXT, 0, { ALL, ALL, ALL, ALL } },
	/* ecx: no SVM, OSVW, IBS, SKINIT, WDT, LWP, node-id MSR, performance
	 * counters, data breakpoint extension, MWAITX. */
	{ EXT + 1, 0,
	    { ALL, ALL,
		~(B(2) | B(9) | B(10) | B(12) | B(13) | B(15) | B(19) | B(23) |
		    B(24) | B(26) | B(27) | B(28) | B(29)),
		ALL } },
	{ EXT + 2, 0, { ALL, ALL, ALL, ALL } },
	{ EXT + 3, 0, { ALL, ALL, ALL, ALL } },
	{ EXT + 4, 0, { ALL, ALL, ALL, ALL } },
	{ EXT + 5, 0, { ALL, ALL, ALL, ALL } },
	{ EXT + 6, 0, { ALL, ALL, ALL, ALL } },
	{ EXT + 7, 0, { 0, 0, 0, B(8) } }, /* invariant TSC */
	{ EXT + 8, 0, { ALL, ALL, 0, 0 } }, /* ecx built below */
	{ EXT + 0x19, 0, { ALL, ALL, ALL, ALL } },
	{ EXT + 0x1a, 0, { ALL, ALL, ALL, ALL } },
	{ EXT + 0x1d, ANY, { ALL, ALL, ALL, ALL } },
	{ EXT + 0x1e, 0, { 0, 0, 0, 0 } }, /* built below */
	{ EXT + 0x21, 0, { ALL, 0, 0, 0 } },
};

static const struct row *
find_row(uint32_t leaf, uint32_t index)
{
	size_t i;

	for (i = 0; i < sizeof(policy) / sizeof(policy[0]); i++) {
		if (policy[i].leaf == leaf &&
		    (policy[i].index == ANY || policy[i].index == index))
			return &policy[i];
	}
	return NULL;
}

static struct kvm_cpuid_entry2 *
find(struct kvm_cpuid2 *c, uint32_t leaf, uint32_t index)
{
	struct kvm_cpuid_entry2 *e;
	uint32_t i;

	for (i = 0; i < c->nent; i++) {
		e = &c->entries[i];
		if (e->function == leaf && e->index == index)
			return e;
	}
	return NULL;
}

static struct kvm_cpuid_entry2 *
add(struct kvm_cpuid2 *c, uint32_t leaf, uint32_t index, uint32_t flags)
{
	struct kvm_cpuid_entry2 *e;

	if ((e = find(c, leaf, index)) != NULL)
		return e;
	if (c->nent == ENTRIES)
		return NULL;
	e = &c->entries[c->nent++];
	memset(e, 0, sizeof(*e));
	e->function = leaf;
	e->index = index;
	e->flags = flags;
	return e;
}

/* Bits of an APIC id that number the cores of the package. */
static unsigned
core_bits(unsigned ncpus)
{
	unsigned n = 0;

	while ((1U << n) < ncpus)
		n++;
	return n;
}

static int
copy_allowed(struct kvm_cpuid2 *c, const struct kvm_cpuid2 *supported)
{
	const struct kvm_cpuid_entry2 *s;
	struct kvm_cpuid_entry2 *e;
	const struct row *row;
	uint32_t i;

	for (i = 0; i < supported->nent; i++) {
		s = &supported->entries[i];
		if ((row = find_row(s->function, s->index)) == NULL)
			continue;
		if ((e = add(c, s->function, s->index, s->flags)) == NULL)
			return -E2BIG;
		e->eax = s->eax & row->keep[0];
		e->ebx = s->ebx & row->keep[1];
		e->ecx = s->ecx & row->keep[2];
		e->edx = s->edx & row->keep[3];
	}
	return 0;
}

/* "x2APIC, TSC-deadline and the hypervisor bit": set by the user of KVM. */
static void
fix_features(struct kvm_cpuid2 *c, unsigned ncpus, bool tsc_deadline)
{
	struct kvm_cpuid_entry2 *e;

	if ((e = find(c, 0x1, 0)) == NULL)
		return;
	e->ecx |= C1_HYPERVISOR | C1_X2APIC;
	e->ecx &= ~C1_TSC_DEADLINE;
	if (tsc_deadline)
		e->ecx |= C1_TSC_DEADLINE;
	e->ebx &= 0x0000ffff; /* brand index, CLFLUSH size */
	e->ebx |= (1U << core_bits(ncpus)) << 16;
	e->edx &= ~D1_HTT;
	if (ncpus > 1)
		e->edx |= D1_HTT;
}

/* Caches below the last level are a core's own; the last is shared by all. */
static void
fix_caches(struct kvm_cpuid2 *c, uint32_t leaf, unsigned ncpus, bool intel)
{
	struct kvm_cpuid_entry2 *e;
	uint32_t i, level, sharing;

	for (i = 0; i < c->nent; i++) {
		e = &c->entries[i];
		if (e->function != leaf || (e->eax & 0x1f) == 0)
			continue;
		level = e->eax >> 5 & 7;
		sharing = level >= 3 ? (1U << core_bits(ncpus)) - 1 : 0;
		if (!intel && level >= 3)
			sharing = ncpus - 1;
		e->eax &= 0x3fff;
		e->eax |= sharing << 14;
		if (intel)
			e->eax |= ((1U << core_bits(ncpus)) - 1) << 26;
	}
}

/* "Extended Topology Enumeration Leaf"; 64 cores fit without leaf 0x1f. */
static int
fix_topology(struct kvm_cpuid2 *c, unsigned ncpus)
{
	struct kvm_cpuid_entry2 *e;
	uint32_t i, max;

	if ((e = find(c, 0x0, 0)) == NULL)
		return 0;
	max = e->eax;
	if (max > 0xd)
		e->eax = 0xd; /* policy[] has nothing above */
	if (max < 0xb)
		return 0;
	for (i = 0; i < 3; i++) {
		e = add(c, 0xb, i, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
		if (e == NULL)
			return -E2BIG;
		e->eax = e->ebx = e->edx = 0;
		e->ecx = i;
	}
	find(c, 0xb, 0)->ebx = 1; /* threads */
	find(c, 0xb, 0)->ecx |= 1U << 8;
	find(c, 0xb, 1)->eax = core_bits(ncpus);
	find(c, 0xb, 1)->ebx = ncpus;
	find(c, 0xb, 1)->ecx |= 2U << 8;
	return 0;
}

/* The brand string, which the hypervisor does not hand out. */
static void
fix_brand(struct kvm_cpuid2 *c)
{
	struct kvm_cpuid_entry2 *e;
	struct cpuid_regs r;
	uint32_t leaf;

	for (leaf = EXT + 2; leaf <= EXT + 4; leaf++) {
		if ((e = find(c, leaf, 0)) == NULL || e->eax != 0 ||
		    !cpuid_host(leaf, &r))
			continue;
		e->eax = r.eax;
		e->ebx = r.ebx;
		e->ecx = r.ecx;
		e->edx = r.edx;
	}
}

static bool
is_amd(struct kvm_cpuid2 *c)
{
	struct kvm_cpuid_entry2 *e;

	/* "Auth" of AuthenticAMD, "Hygo" of HygonGenuine. */
	e = find(c, 0x0, 0);
	return e != NULL && (e->ebx == 0x68747541 || e->ebx == 0x6f677948);
}

static void
fix_amd(struct kvm_cpuid2 *c, unsigned ncpus)
{
	struct kvm_cpuid_entry2 *e;

	if ((e = find(c, EXT + 1, 0)) != NULL) {
		e->ecx &= ~B(1); /* CmpLegacy: logical CPUs are cores */
		if (ncpus > 1)
			e->ecx |= B(1);
	}
	if ((e = find(c, EXT + 8, 0)) != NULL)
		e->ecx = core_bits(ncpus) << 12 | (ncpus - 1);
}

struct kvm_cpuid2 *
cpuid_build(const struct kvm_cpuid2 *supported, unsigned ncpus,
    bool tsc_deadline, uint32_t base, const char **missing)
{
	struct kvm_cpuid_entry2 *e;
	struct kvm_cpuid2 *c;
	int error;

	c = calloc(1, sizeof(*c) + ENTRIES * sizeof(c->entries[0]));
	if (c == NULL)
		return NULL;
	if (copy_allowed(c, supported) < 0 || fix_topology(c, ncpus) < 0) {
		free(c);
		errno = E2BIG;
		return NULL;
	}
	fix_features(c, ncpus, tsc_deadline);
	fix_caches(c, 0x4, ncpus, true);
	fix_caches(c, EXT + 0x1d, ncpus, false);
	fix_brand(c);
	if (is_amd(c))
		fix_amd(c, ncpus);
	if ((e = find(c, HV_BASE, 0)) != NULL)
		e->eax = HV_BASE + 1;
	if ((e = find(c, EXT, 0)) != NULL && e->eax > EXT + 0x21)
		e->eax = EXT + 0x21;
	if ((error = cpubase_apply(c, base, missing)) < 0) {
		free(c);
		errno = -error;
		return NULL;
	}
	return c;
}

void
cpuid_for(struct kvm_cpuid2 *c, unsigned cpu)
{
	struct kvm_cpuid_entry2 *e;
	uint32_t i;

	for (i = 0; i < c->nent; i++) {
		e = &c->entries[i];
		switch (e->function) {
		case 0x1:
			e->ebx = (e->ebx & 0x00ffffff) | cpu << 24;
			break;
		case 0xb:
			e->edx = cpu;
			break;
		case EXT + 0x1e:
			/* Core id = APIC id; one thread each, one node. */
			e->eax = cpu;
			e->ebx = cpu;
			break;
		default:
			break;
		}
	}
}

bool
cpuid_host(uint32_t leaf, struct cpuid_regs *r)
{
	uint32_t max, b, c, d;

	__asm__ volatile("cpuid"
			 : "=a"(max), "=b"(b), "=c"(c), "=d"(d)
			 : "a"(leaf & EXT), "c"(0));
	if (leaf > max)
		return false;
	__asm__ volatile(
	    "cpuid"
	    : "=a"(r->eax), "=b"(r->ebx), "=c"(r->ecx), "=d"(r->edx)
	    : "a"(leaf), "c"(0));
	return true;
}
