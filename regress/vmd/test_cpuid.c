/* SPDX-License-Identifier: ISC */
/* CPUID policy: what the guest sees of an AMD and of an Intel host. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "cpuid.h"
#include "vmconf.h"

#define B(n)  (1U << (n))
#define EXT   0x80000000U
#define HV    0x40000000U
#define INDEX KVM_CPUID_FLAG_SIGNIFCANT_INDEX

enum vendor { AMD, INTEL };

/* A hypervisor that supports every bit of every leaf. */
static struct kvm_cpuid2 *
host(enum vendor vendor)
{
	static const uint32_t leaves[][2] = { { 0, 0 }, { 1, 0 }, { 2, 0 },
		{ 4, 0 }, { 4, 3 }, { 5, 0 }, { 6, 0 }, { 7, 0 }, { 7, 1 },
		{ 9, 0 }, { 0xa, 0 }, { 0xb, 0 }, { 0xb, 1 }, { 0xd, 0 },
		{ 0xd, 1 }, { 0xd, 2 }, { 0x12, 0 }, { 0x14, 0 }, { 0x1f, 0 },
		{ HV, 0 }, { HV + 1, 0 }, { EXT, 0 }, { EXT + 1, 0 },
		{ EXT + 2, 0 }, { EXT + 7, 0 }, { EXT + 8, 0 },
		{ EXT + 0xa, 0 }, { EXT + 0x1d, 0 }, { EXT + 0x1d, 3 },
		{ EXT + 0x1e, 0 }, { EXT + 0x1f, 0 }, { EXT + 0x22, 0 },
		{ 0xc0000000, 0 } };
	const size_t n = sizeof(leaves) / sizeof(leaves[0]);
	struct kvm_cpuid2 *c;
	size_t i;

	c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));
	c->nent = (uint32_t)n;
	for (i = 0; i < n; i++) {
		c->entries[i] =
		    (struct kvm_cpuid_entry2){ .function = leaves[i][0],
			    .index = leaves[i][1],
			    .flags = INDEX,
			    .eax = UINT32_MAX,
			    .ebx = UINT32_MAX,
			    .ecx = UINT32_MAX,
			    .edx = UINT32_MAX };
		if (leaves[i][0] == 0) {
			c->entries[i].eax = 0x20;
			c->entries[i].ebx =
			    vendor == AMD ? 0x68747541 : 0x756e6547;
		}
		/* cache level by sub-leaf, type data */
		if (leaves[i][0] == 4 || leaves[i][0] == EXT + 0x1d)
			c->entries[i].eax = leaves[i][1] == 3 ? 0x61 : 0x21;
	}
	return c;
}

static const struct kvm_cpuid_entry2 *
leaf(const struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	uint32_t i;

	for (i = 0; i < c->nent; i++) {
		if (c->entries[i].function == function &&
		    c->entries[i].index == index)
			return &c->entries[i];
	}
	return NULL;
}

static struct kvm_cpuid2 *
build(enum vendor vendor, unsigned ncpus, bool deadline)
{
	struct kvm_cpuid2 *h = host(vendor), *c;

	c = cpuid_build(h, ncpus, deadline, VM_CPU_HOST, NULL);
	free(h);
	assert_non_null(c);
	return c;
}

/* Features that we cannot honour are hidden though supported. */
static void
hidden(void **state)
{
	static const struct {
		uint32_t function;
		unsigned reg; /* 0 eax .. 3 edx */
		unsigned bit;
	} rows[] = { { 1, 2, 3 }, { 1, 2, 5 }, { 1, 2, 6 }, { 1, 2, 7 },
		{ 1, 2, 15 }, { 1, 3, 22 }, { 1, 3, 21 }, { 6, 2, 3 },
		{ 7, 1, 2 }, { 7, 1, 25 }, { 7, 2, 5 }, { 7, 2, 30 },
		{ EXT + 1, 2, 2 }, { EXT + 1, 2, 10 }, { EXT + 1, 2, 23 },
		{ EXT + 1, 2, 29 }, { HV + 1, 0, 17 }, { EXT + 7, 3, 7 } };
	static const uint32_t gone[] = { 5, 9, 0xa, 0x12, 0x14, 0x1f, EXT + 0xa,
		EXT + 0x1f, EXT + 0x22, 0xc0000000 };
	struct kvm_cpuid2 *c = build(AMD, 1, true);
	const struct kvm_cpuid_entry2 *e;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		e = leaf(c, rows[i].function, 0);
		assert_non_null(e);
		if ((&e->eax)[rows[i].reg] & B(rows[i].bit))
			fail_msg("leaf %#x register %u bit %u",
			    rows[i].function, rows[i].reg, rows[i].bit);
	}
	for (i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		assert_null(leaf(c, gone[i], 0));
	assert_int_equal(leaf(c, 0, 0)->eax, 0xd);
	assert_int_equal(leaf(c, EXT, 0)->eax, EXT + 0x21);
	assert_int_equal(leaf(c, HV, 0)->eax, HV + 1);
	free(c);
}

/* What stays and what is set. */
static void
shown(void **state)
{
	struct kvm_cpuid2 *c = build(INTEL, 1, false);
	uint32_t ecx = leaf(c, 1, 0)->ecx;

	assert_true(ecx & B(31)); /* hypervisor */
	assert_true(ecx & B(21)); /* x2APIC */
	assert_false(ecx & B(24)); /* no deadline timer offered */
	assert_true(leaf(c, 1, 0)->edx & B(12)); /* MTRR */
	assert_true(leaf(c, EXT + 7, 0)->edx & B(8));
	assert_non_null(leaf(c, 0xd, 2));
	free(c);
	c = build(INTEL, 1, true);
	assert_true(leaf(c, 1, 0)->ecx & B(24));
	free(c);
}

static void
topology(void **state)
{
	static const struct {
		unsigned ncpus, bits;
	} rows[] = { { 1, 0 }, { 2, 1 }, { 3, 2 }, { 4, 2 }, { 5, 3 },
		{ 64, 6 } };
	struct kvm_cpuid2 *c;
	unsigned n, bits;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		n = rows[i].ncpus;
		bits = rows[i].bits;
		c = build(INTEL, n, true);
		cpuid_for(c, n - 1);
		assert_int_equal(leaf(c, 1, 0)->ebx >> 24, n - 1);
		assert_int_equal(leaf(c, 1, 0)->ebx >> 16 & 0xff, 1U << bits);
		assert_int_equal(leaf(c, 1, 0)->edx >> 28 & 1, n > 1);
		assert_int_equal(leaf(c, 4, 0)->eax >> 26, (1U << bits) - 1);
		assert_int_equal(leaf(c, 4, 0)->eax >> 14 & 0xfff, 0);
		assert_int_equal(
		    leaf(c, 4, 3)->eax >> 14 & 0xfff, (1U << bits) - 1);
		assert_int_equal(leaf(c, 0xb, 0)->eax, 0);
		assert_int_equal(leaf(c, 0xb, 0)->ebx, 1);
		assert_int_equal(leaf(c, 0xb, 0)->ecx, 0x100);
		assert_int_equal(leaf(c, 0xb, 1)->eax, bits);
		assert_int_equal(leaf(c, 0xb, 1)->ebx, n);
		assert_int_equal(leaf(c, 0xb, 1)->ecx, 0x201);
		assert_int_equal(leaf(c, 0xb, 1)->edx, n - 1);
		assert_int_equal(leaf(c, 0xb, 2)->ebx, 0);
		free(c);
		c = build(AMD, n, true);
		cpuid_for(c, n - 1);
		assert_int_equal(leaf(c, EXT + 8, 0)->ecx & 0xff, n - 1);
		assert_int_equal(leaf(c, EXT + 8, 0)->ecx >> 12 & 0xf, bits);
		assert_int_equal(leaf(c, EXT + 1, 0)->ecx >> 1 & 1, n > 1);
		assert_int_equal(leaf(c, EXT + 0x1d, 3)->eax >> 14, n - 1);
		assert_int_equal(leaf(c, EXT + 0x1e, 0)->eax, n - 1);
		assert_int_equal(leaf(c, EXT + 0x1e, 0)->ebx, n - 1);
		assert_int_equal(leaf(c, EXT + 0x1e, 0)->ecx, 0);
		free(c);
	}
}

/* One build serves all vCPUs: nothing of the last one stays. */
static void
per_vcpu(void **state)
{
	struct kvm_cpuid2 *c = build(AMD, 64, true);
	unsigned i;

	for (i = 64; i-- > 0;) {
		cpuid_for(c, i);
		assert_int_equal(leaf(c, 1, 0)->ebx >> 24, i);
		assert_int_equal(leaf(c, 0xb, 0)->edx, i);
	}
	free(c);
}

static void
host_answer(void **state)
{
	struct cpuid_regs r;

	assert_true(cpuid_host(0, &r));
	assert_false(cpuid_host(0x7ffffff0, &r));
}

/* Of a baseline: what it has, what it hides, what stays. */
static const struct {
	uint32_t function, index;
	unsigned reg, bit;
	uint32_t from; /* the first baseline that shows it */
	const char *name;
} bits[] = {
	{ 1, 0, 3, 15, VM_CPU_V1, "CMOV" },
	{ 1, 0, 3, 26, VM_CPU_V1, "SSE2" },
	{ 1, 0, 3, 12, VM_CPU_V1, "MTRR" },
	{ 1, 0, 2, 21, VM_CPU_V1, "x2APIC" },
	{ 1, 0, 2, 24, VM_CPU_V1, "TSC deadline" },
	{ 1, 0, 2, 31, VM_CPU_V1, "hypervisor" },
	{ EXT + 1, 0, 3, 20, VM_CPU_V1, "NX" },
	{ EXT + 1, 0, 3, 29, VM_CPU_V1, "long mode" },
	{ 7, 0, 1, 7, VM_CPU_V1, "SMEP" },
	{ 7, 0, 3, 31, VM_CPU_V1, "SSBD" },
	{ EXT + 8, 0, 1, 12, VM_CPU_V1, "IBPB" },
	{ 1, 0, 2, 0, VM_CPU_V2, "SSE3" },
	{ 1, 0, 2, 13, VM_CPU_V2, "CMPXCHG16B" },
	{ 1, 0, 2, 20, VM_CPU_V2, "SSE4.2" },
	{ EXT + 1, 0, 2, 0, VM_CPU_V2, "LAHF" },
	{ 1, 0, 2, 26, VM_CPU_V3, "XSAVE" },
	{ 1, 0, 2, 28, VM_CPU_V3, "AVX" },
	{ 7, 0, 1, 5, VM_CPU_V3, "AVX2" },
	{ EXT + 1, 0, 2, 5, VM_CPU_V3, "LZCNT" },
	{ 0xd, 0, 0, 2, VM_CPU_V3, "state of AVX" },
	{ 1, 0, 2, 25, VM_CPU_V3 + 1, "AES" },
	{ 1, 0, 2, 30, VM_CPU_V3 + 1, "RDRAND" },
	{ 1, 0, 2, 17, VM_CPU_V3 + 1, "PCID" },
	{ 7, 0, 1, 0, VM_CPU_V3 + 1, "FSGSBASE" },
	{ 7, 0, 1, 16, VM_CPU_V3 + 1, "AVX512F" },
	{ 7, 0, 2, 3, VM_CPU_V3 + 1, "PKU" },
	{ 7, 0, 0, 0, VM_CPU_V3 + 1, "sub-leaves" },
	{ 7, 1, 0, 4, VM_CPU_V3 + 1, "AVX-VNNI" },
	{ 0xd, 0, 0, 5, VM_CPU_V3 + 1, "state of AVX-512" },
	{ 0xd, 1, 0, 3, VM_CPU_V3 + 1, "XSAVES" },
	{ EXT + 1, 0, 3, 27, VM_CPU_V3 + 1, "RDTSCP" },
	{ EXT + 1, 0, 3, 31, VM_CPU_V3 + 1, "3DNow!" },
	{ EXT + 8, 0, 1, 0, VM_CPU_V3 + 1, "CLZERO" },
};

static void
baselines(void **state)
{
	const char *missing = NULL;
	struct kvm_cpuid2 *h = host(AMD), *c;
	const struct kvm_cpuid_entry2 *e;

	for (uint32_t cpu = VM_CPU_V1; cpu <= VM_CPU_V3; cpu++) {
		c = cpuid_build(h, 3, true, cpu, &missing);
		assert_non_null(c);
		for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
			e = leaf(c, bits[i].function, bits[i].index);
			assert_non_null(e);
			if (((&e->eax)[bits[i].reg] >> bits[i].bit & 1) !=
			    (cpu >= bits[i].from))
				fail_msg("%s: %s", vmconf_cpu_name(cpu),
				    bits[i].name);
		}
		/* No larger than with AVX, and topology is as ever. */
		assert_true(leaf(c, 0xd, 0)->ecx <= 832);
		assert_int_equal(leaf(c, 0xb, 1)->ebx, 3);
		assert_true(leaf(c, 1, 0)->edx & B(28));
		assert_true(leaf(c, EXT + 1, 0)->ecx & B(1));
		assert_true(leaf(c, EXT + 1, 0)->ecx & B(22));
		assert_int_equal(leaf(c, EXT + 8, 0)->ecx, 2 << 12 | 2);
		free(c);
	}
	free(h);
}

/* Invariant: a baseline shows nothing that the host does not. */
static void
baseline_takes_away(void **state)
{
	const char *missing = NULL;
	struct kvm_cpuid2 *h = host(INTEL), *all, *c;

	all = cpuid_build(h, 2, true, VM_CPU_HOST, &missing);
	for (uint32_t cpu = VM_CPU_V1; cpu <= VM_CPU_V3; cpu++) {
		c = cpuid_build(h, 2, true, cpu, &missing);
		assert_int_equal(c->nent, all->nent);
		for (uint32_t i = 0; i < c->nent; i++) {
			const struct kvm_cpuid_entry2 *e = &c->entries[i];
			const struct kvm_cpuid_entry2 *a = &all->entries[i];

			if (e->function == 0xd)
				continue; /* lengths are no bits */
			assert_int_equal(e->eax & ~a->eax, 0);
			assert_int_equal(e->ebx & ~a->ebx, 0);
			assert_int_equal(e->ecx & ~a->ecx, 0);
			assert_int_equal(e->edx & ~a->edx, 0);
		}
		free(c);
	}
	free(all);
	free(h);
}

static void
baseline_lacking(void **state)
{
	static const struct {
		uint32_t function;
		unsigned reg, bit;
		uint32_t first; /* baseline that cannot be had */
		const char *name;
	} rows[] = {
		{ 1, 3, 26, VM_CPU_V1, "SSE2" },
		{ EXT + 1, 3, 29, VM_CPU_V1, "long mode" },
		{ 1, 2, 23, VM_CPU_V2, "POPCNT" },
		{ EXT + 1, 2, 0, VM_CPU_V2, "LAHF" },
		{ 7, 1, 5, VM_CPU_V3, "AVX2" },
		{ 1, 2, 26, VM_CPU_V3, "XSAVE" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kvm_cpuid2 *h = host(AMD), *c;
		const struct kvm_cpuid_entry2 *e = leaf(h, rows[i].function, 0);

		((uint32_t *)&e->eax)[rows[i].reg] &= ~B(rows[i].bit);
		for (uint32_t cpu = VM_CPU_HOST; cpu <= VM_CPU_V3; cpu++) {
			const char *missing = NULL;

			c = cpuid_build(h, 1, true, cpu, &missing);
			if (cpu < rows[i].first) {
				assert_non_null(c);
				assert_null(missing);
				free(c);
				continue;
			}
			assert_null(c);
			assert_int_equal(errno, ENOTSUP);
			assert_string_equal(missing, rows[i].name);
		}
		free(h);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hidden),
		cmocka_unit_test(shown),
		cmocka_unit_test(topology),
		cmocka_unit_test(per_vcpu),
		cmocka_unit_test(host_answer),
		cmocka_unit_test(baselines),
		cmocka_unit_test(baseline_takes_away),
		cmocka_unit_test(baseline_lacking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
