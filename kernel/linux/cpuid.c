// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The CPUID leaves that guests may be given: what the host has and this
 * driver keeps its promise for (APM vol. 3 "CPUID Fn...").  An allow-list: a
 * leaf without a row does not exist, a bit outside the mask is 0.
 */
#include <asm/cpufeature.h>
#include <asm/processor.h>
#include <asm/fpu/xcr.h>
#include <uapi/asm/kvm_para.h>
#include <linux/string.h>
#include "cpuid.h"

#define ALL  0xffffffffU
#define B(n) (1U << (n))
#define EXT  0x80000000U

struct row {
	u32 leaf, index;
	bool indexed;
	u32 keep[4], add[4];
};

/* The order is that of the leaves. */
static const struct row rows[] = {
	{ .leaf = 0, .keep = { ALL, ALL, ALL, ALL } },
	/* ecx: SSE3 PCLMUL SSSE3 FMA CX16 SSE4 MOVBE POPCNT AES XSAVE AVX F16C
	 * RDRAND; x2APIC, TSC-deadline and the hypervisor bit are ours. */
	{ .leaf = 1,
	    .keep = { ALL, 0x0000ff00,
		B(0) | B(1) | B(9) | B(12) | B(13) | B(19) | B(20) | B(22) |
		    B(23) | B(25) | B(26) | B(28) | B(29) | B(30),
		0x078bbb7f },
	    .add = { 0, 0, B(21) | B(24) | B(31), 0 } },
	{ .leaf = 6, .add = { B(2), 0, 0, 0 } },
	/* FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS RDSEED ADX SMAP CLFLUSHOPT CLWB
	 * SHA */
	{ .leaf = 7,
	    .indexed = true,
	    .keep = { 0,
		B(0) | B(3) | B(5) | B(7) | B(8) | B(9) | B(18) | B(19) |
		    B(20) | B(23) | B(24) | B(29),
		0, 0 } },
	{ .leaf = 0x40000000,
	    .add = { 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d } },
	{ .leaf = 0x40000001 },
	{ .leaf = EXT, .keep = { ALL, ALL, ALL, ALL } },
	/* LAHF, CR8, ABM, SSE4A, misaligned SSE, prefetch */
	{ .leaf = EXT + 1,
	    .keep = { ALL, ALL, B(0) | B(1) | B(4) | B(5) | B(6) | B(7) | B(8),
		/* as leaf 1, and SYSCALL NX MMXEXT FXSR 1G LM 3DNow */
		0xe5d3fb7f & ~B(25) } },
	{ .leaf = EXT + 2, .keep = { ALL, ALL, ALL, ALL } },
	{ .leaf = EXT + 3, .keep = { ALL, ALL, ALL, ALL } },
	{ .leaf = EXT + 4, .keep = { ALL, ALL, ALL, ALL } },
	{ .leaf = EXT + 5, .keep = { ALL, ALL, ALL, ALL } },
	{ .leaf = EXT + 6, .keep = { ALL, ALL, ALL, ALL } },
	{ .leaf = EXT + 7, .keep = { 0, 0, 0, B(8) } },
	{ .leaf = EXT + 8, .keep = { 0xffff, 0, 0, 0 } },
};

static void
host(u32 leaf, u32 index, u32 r[4])
{
	u32 max = cpuid_eax(leaf & 0xf0000000);

	memset(r, 0, 4 * sizeof(*r));
	if ((leaf & 0x70000000) == 0 && leaf <= max)
		cpuid_count(leaf, index, &r[0], &r[1], &r[2], &r[3]);
}

/* Highest leaves: of what rows[] has. */
static void
limit(struct kvm_cpuid_entry2 *e)
{
	if (e->function == 0)
		e->eax = min_t(u32, e->eax, 0xd);
	if (e->function == EXT)
		e->eax = min_t(u32, e->eax, EXT + 8);
}

/* The state that XSAVE may have: x87, SSE and AVX, in the standard format
 * (APM vol. 3 "Processor Extended State Enumeration"). */
static void
xsave(struct kvm_cpuid_entry2 *e, u32 index)
{
	u32 r[4];

	e->function = 0xd;
	e->index = index;
	e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	host(0xd, index, r);
	if (index == 0) {
		e->eax = r[0] & 7;
		e->ebx = e->ecx = (e->eax & 4) ? 576 + 256 : 576;
	} else if (index == 1) {
		e->eax = r[0] & 1; /* XSAVEOPT */
	} else {
		e->eax = r[0];
		e->ebx = r[1];
	}
}

int
cpuid_supported(struct kvm_cpuid_entry2 *out, unsigned max)
{
	struct kvm_cpuid_entry2 *e;
	unsigned i, n = 0;
	u32 r[4];

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		if (n == max)
			return -E2BIG;
		e = &out[n++];
		memset(e, 0, sizeof(*e));
		host(row->leaf, 0, r);
		e->function = row->leaf;
		if (row->indexed)
			e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		e->eax = (r[0] & row->keep[0]) | row->add[0];
		e->ebx = (r[1] & row->keep[1]) | row->add[1];
		e->ecx = (r[2] & row->keep[2]) | row->add[2];
		e->edx = (r[3] & row->keep[3]) | row->add[3];
		limit(e);
	}
	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return (int)n;
	for (i = 0; i < 3; i++) {
		if (n == max)
			return -E2BIG;
		memset(&out[n], 0, sizeof(*out));
		xsave(&out[n++], i);
	}
	return (int)n;
}

const struct kvm_cpuid_entry2 *
cpuid_find(const struct kvm_cpuid_entry2 *e, unsigned n, u32 leaf, u32 index)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		if (e[i].function == leaf &&
		    (!(e[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) ||
			e[i].index == index))
			return &e[i];
	}
	return NULL;
}
