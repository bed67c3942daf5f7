/* SPDX-License-Identifier: ISC */
/*
 * CPUID: what is offered on which host, what the instruction answers, and
 * which bits of control registers follow.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>

#include "cpuid.h"
#include "x86.h"

#define EXT	 0x80000000U
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CHECK(row, cond)                                        \
	do {                                                    \
		if (!(cond))                                    \
			fail_msg("%s: %s", (row)->name, #cond); \
	} while (0)

#define ALL_CAPS ((1U << 11) - 1)
#define AMD_XCR0 0x207 /* x87 SSE AVX PKRU */

/* --- hosts --------------------------------------------------------------- */

/* A host that has everything, the future included. */
static void
host_ones(void *arg, u32 leaf, u32 index, u32 reg[4])
{
	memset(reg, 0xff, 4 * sizeof(*reg));
}

static void
host_none(void *arg, u32 leaf, u32 index, u32 reg[4])
{
	memset(reg, 0, 4 * sizeof(*reg));
}

/* The parts of an AMD processor that the tests look at. */
static const struct {
	u32 leaf, index, reg[4];
} amd[] = {
	{ 0, 0, { 0x10, 0x68747541, 0x444d4163, 0x69746e65 } },
	{ 1, 0, { 0x00a20f10, 0x03100800, 0x7ef8320b, 0x178bfbff } },
	{ 7, 0, { 0, 0x219c97a9, 0x0040069c, 0x00000010 } },
	{ 0xd, 0, { 0x207, 0x340, 0x988, 0 } },
	{ 0xd, 1, { 0xf, 0x340, 0x1800, 0 } },
	{ 0xd, 2, { 0x100, 0x240, 0, 0 } },
	{ 0xd, 9, { 8, 0x980, 0, 0 } },
	{ EXT, 0, { 0x80000023, 0x68747541, 0x444d4163, 0x69746e65 } },
	{ EXT + 1, 0, { 0x00a20f10, 0x20000000, 0x75c237ff, 0x2fd3fbff } },
	{ EXT + 8, 0, { 0x3030, 0x111ef657, 0x400c, 0x10000 } },
	{ EXT + 0x1d, 0, { 0x4121, 0x1c0003f, 0x3f, 0 } },
	{ EXT + 0x1d, 1, { 0x4122, 0x1c0003f, 0x3f, 0 } },
};

static void
host_amd(void *arg, u32 leaf, u32 index, u32 reg[4])
{
	size_t i;

	memset(reg, 0, 4 * sizeof(*reg));
	for (i = 0; i < COUNT(amd); i++) {
		if (amd[i].leaf == leaf && amd[i].index == index)
			memcpy(reg, amd[i].reg, sizeof(amd[i].reg));
	}
}

typedef void host_fn(void *, u32, u32, u32[4]);

static unsigned
make(host_fn *host, unsigned caps, u64 xcr0, struct cpuid_entry *e)
{
	struct cpuid_source s = { .host = host, .caps = caps, .xcr0 = xcr0 };
	int n = cpuid_supported(&s, e, CPUID_ENTRIES);

	assert_true(n > 0);
	return (unsigned)n;
}

/* --- the table itself ---------------------------------------------------- */

static void
test_table(void **state)
{
	const struct cpuid_feature *f, *g;
	unsigned i, j;

	for (i = 1; i < cpuid_nleaves; i++)
		assert_true(cpuid_leaves[i].leaf > cpuid_leaves[i - 1].leaf ||
		    (cpuid_leaves[i].leaf == cpuid_leaves[i - 1].leaf &&
			cpuid_leaves[i].index > cpuid_leaves[i - 1].index));
	for (i = 0; i < cpuid_nfeatures; i++) {
		f = &cpuid_features[i];
		CHECK(f, f->bit < 32 && f->reg < 4);
		for (j = 0; j < i; j++) {
			g = &cpuid_features[j];
			CHECK(f, strcmp(f->name, g->name) != 0);
			CHECK(f,
			    f->leaf != g->leaf || f->index != g->index ||
				f->reg != g->reg || f->bit != g->bit);
		}
		for (j = 0; j < cpuid_nleaves; j++) {
			if (cpuid_leaves[j].leaf == f->leaf)
				break;
		}
		CHECK(f, j < cpuid_nleaves);
	}
}

/* What no guest may see, whatever host and driver can do. */
static const struct {
	const char *name;
	u32 leaf, index;
	unsigned reg, bit;
} hidden_rows[] = {
	{ "MONITOR", 1, 0, LEAF_ECX, 3 },
	{ "VMX", 1, 0, LEAF_ECX, 5 },
	{ "SMX", 1, 0, LEAF_ECX, 6 },
	{ "PDCM", 1, 0, LEAF_ECX, 15 },
	{ "OSXSAVE", 1, 0, LEAF_ECX, 27 },
	{ "debug store", 1, 0, LEAF_EDX, 21 },
	{ "ACPI", 1, 0, LEAF_EDX, 22 },
	{ "thermal sensor", 6, 0, LEAF_EAX, 0 },
	{ "SGX", 7, 0, LEAF_EBX, 2 },
	{ "HLE", 7, 0, LEAF_EBX, 4 },
	{ "RTM", 7, 0, LEAF_EBX, 11 },
	{ "PT", 7, 0, LEAF_EBX, 25 },
	{ "OSPKE", 7, 0, LEAF_ECX, 4 },
	{ "WAITPKG", 7, 0, LEAF_ECX, 5 },
	{ "CET shadow stacks", 7, 0, LEAF_ECX, 7 },
	{ "ENQCMD", 7, 0, LEAF_ECX, 29 },
	{ "CET branch tracking", 7, 0, LEAF_EDX, 20 },
	{ "AMX", 7, 0, LEAF_EDX, 24 },
	{ "ARCH_CAPABILITIES", 7, 0, LEAF_EDX, 29 },
	{ "XSAVES", 0xd, 1, LEAF_EAX, 3 },
	{ "async page faults", 0x40000001, 0, LEAF_EAX, 4 },
	{ "SVM", EXT + 1, 0, LEAF_ECX, 2 },
	{ "OSVW", EXT + 1, 0, LEAF_ECX, 9 },
	{ "IBS", EXT + 1, 0, LEAF_ECX, 10 },
	{ "core counters", EXT + 1, 0, LEAF_ECX, 23 },
	{ "breakpoint extension", EXT + 1, 0, LEAF_ECX, 26 },
	{ "MWAITX", EXT + 1, 0, LEAF_ECX, 29 },
	{ "FFXSR", EXT + 1, 0, LEAF_EDX, 25 },
	{ "RDPRU", EXT + 8, 0, LEAF_EBX, 4 },
	{ "SEV", EXT + 0x1f, 0, LEAF_EAX, 1 },
	{ "SVM revision", EXT + 0xa, 0, LEAF_EAX, 0 },
	{ "counter width", 0xa, 0, LEAF_EAX, 8 },
	{ "PT leaf", 0x14, 0, LEAF_EAX, 0 },
};

static void
test_hidden(void **state)
{
	struct cpuid_entry e[CPUID_ENTRIES];
	unsigned n = make(host_ones, ALL_CAPS, 0x2e7, e);
	size_t i;

	for (i = 0; i < COUNT(hidden_rows); i++)
		CHECK(&hidden_rows[i],
		    !cpuid_has(e, n, hidden_rows[i].leaf, hidden_rows[i].index,
			hidden_rows[i].reg, hidden_rows[i].bit));
	/* Each bit of feature registers has a row. */
	assert_int_equal(cpuid_find(e, n, EXT + 8, 0)->reg[LEAF_ECX], 0);
	assert_int_equal(cpuid_find(e, n, EXT + 8, 0)->reg[LEAF_EAX], 0xffff);
	assert_int_equal(cpuid_find(e, n, 0, 0)->reg[LEAF_EAX], 0xd);
	assert_int_equal(cpuid_find(e, n, EXT, 0)->reg[LEAF_EAX], EXT + 0x21);
}

/* Each feature: on a host without it, with it, and without what it needs. */
static void
test_features(void **state)
{
	struct cpuid_entry e[CPUID_ENTRIES];
	const struct cpuid_feature *f;
	unsigned i, n;

	for (i = 0; i < cpuid_nfeatures; i++) {
		f = &cpuid_features[i];
		n = make(host_ones, ALL_CAPS, 0x2e7, e);
		CHECK(f, cpuid_has(e, n, f->leaf, f->index, f->reg, f->bit));
		n = make(host_none, ALL_CAPS, 0x2e7, e);
		CHECK(f,
		    cpuid_has(e, n, f->leaf, f->index, f->reg, f->bit) ==
			f->ours);
		n = make(host_ones, 0, 0, e);
		CHECK(f,
		    cpuid_has(e, n, f->leaf, f->index, f->reg, f->bit) ==
			(f->needs == 0));
	}
}

struct need_row {
	const char *name;
	unsigned caps;
	u64 xcr0;
	u32 leaf;
	unsigned reg, bit;
	bool want;
};

static const struct need_row need_rows[] = {
	{ "AVX", 0, 7, 1, LEAF_ECX, 28, true },
	{ "AVX without its state", 0, 3, 1, LEAF_ECX, 28, false },
	{ "AVX-512", 0, 0xe7, 7, LEAF_EBX, 16, true },
	{ "AVX-512 with half its state", 0, 0x67, 7, LEAF_EBX, 16, false },
	{ "PKU", CPUID_PKU, 0x207, 7, LEAF_ECX, 3, true },
	{ "PKU without its state", CPUID_PKU, 7, 7, LEAF_ECX, 3, false },
	{ "PKU not switched", 0, 0x207, 7, LEAF_ECX, 3, false },
	{ "PCID under nested paging", CPUID_NESTED, 7, 1, LEAF_ECX, 17, true },
	{ "PCID", 0, 7, 1, LEAF_ECX, 17, false },
	{ "INVPCID", 0, 7, 7, LEAF_EBX, 10, false },
	{ "RDTSCP", CPUID_TSC_AUX, 7, EXT + 1, LEAF_EDX, 27, true },
	{ "IBRS wants IBPB", CPUID_SPEC_CTRL, 7, 7, LEAF_EDX, 26, false },
	{ "IBRS", CPUID_SPEC_CTRL | CPUID_PRED_CMD, 7, 7, LEAF_EDX, 26, true },
	{ "VIRT_SSBD", CPUID_VIRT_SSBD, 7, EXT + 8, LEAF_EBX, 25, true },
	{ "VIRT_SSBD not switched", 0, 7, EXT + 8, LEAF_EBX, 25, false },
	{ "stable clock alone", CPUID_STABLE, 7, 0x40000001, LEAF_EAX, 24,
	    false },
	{ "stable clock", CPUID_STABLE | CPUID_KVMCLOCK, 7, 0x40000001,
	    LEAF_EAX, 24, true },
};

static void
test_needs(void **state)
{
	struct cpuid_entry e[CPUID_ENTRIES];
	const struct need_row *r;
	unsigned n;
	size_t i;

	for (i = 0; i < COUNT(need_rows); i++) {
		r = &need_rows[i];
		n = make(host_ones, r->caps, r->xcr0, e);
		CHECK(
		    r, cpuid_has(e, n, r->leaf, 0, r->reg, r->bit) == r->want);
	}
}

static void
test_too_big(void **state)
{
	struct cpuid_entry e[CPUID_ENTRIES];
	struct cpuid_source s = { .host = host_amd, .xcr0 = AMD_XCR0 };
	unsigned n = make(host_amd, 0, AMD_XCR0, e), i;

	for (i = 0; i < n; i++)
		assert_int_equal(cpuid_supported(&s, e, i), -E2BIG);
	assert_int_equal(cpuid_supported(&s, e, n), n);
}

static void
test_signature(void **state)
{
	struct cpuid_entry e[CPUID_ENTRIES];
	unsigned n = make(host_amd, 0, AMD_XCR0, e);
	const struct cpuid_entry *c = cpuid_find(e, n, 0x40000000, 0);

	assert_non_null(c);
	assert_memory_equal(&c->reg[LEAF_EBX], "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(c->reg[LEAF_EAX], 0x40000001);
	/* Topology leaves are there to be filled in, with no host ids. */
	c = cpuid_find(e, n, 1, 0);
	assert_int_equal(c->reg[LEAF_EBX], 0x0800);
	assert_non_null(cpuid_find(e, n, 0xb, 0));
	assert_int_equal(
	    cpuid_find(e, n, EXT + 0x1d, 1)->reg[LEAF_EAX], 0x4122);
	assert_int_equal(cpuid_find(e, n, EXT + 0x1d, 2)->reg[LEAF_EAX], 0);
	assert_null(cpuid_find(e, n, EXT + 0x1d, 3));
}

/* --- what a guest is answered -------------------------------------------- */

struct answer_row {
	const char *name;
	u32 leaf, index;
	u64 cr4, xcr0;
	unsigned reg;
	u32 mask, want;
};

static const struct answer_row answer_rows[] = {
	{ "OSXSAVE off", 1, 0, 0, 1, LEAF_ECX, 1U << 27, 0 },
	{ "OSXSAVE on", 1, 9, X86_CR4_OSXSAVE, 1, LEAF_ECX, 1U << 27,
	    1U << 27 },
	{ "OSPKE off", 7, 0, 0, 1, LEAF_ECX, 1U << 4, 0 },
	{ "OSPKE on", 7, 0, X86_CR4_PKE, 1, LEAF_ECX, 1U << 4, 1U << 4 },
	{ "XSAVE area: x87", 0xd, 0, 0, 1, LEAF_EBX, ~0U, 576 },
	{ "XSAVE area: AVX", 0xd, 0, 0, 7, LEAF_EBX, ~0U, 832 },
	{ "XSAVE area: PKRU", 0xd, 0, 0, 0x203, LEAF_EBX, ~0U, 2440 },
	{ "XSAVE area: largest", 0xd, 0, 0, 1, LEAF_ECX, ~0U, 2440 },
	{ "XSAVE components", 0xd, 0, 0, 1, LEAF_EAX, ~0U, 0x207 },
	{ "component", 0xd, 2, 0, 1, LEAF_EAX, ~0U, 256 },
	{ "no component", 0xd, 3, 0, 1, LEAF_EAX, ~0U, 0 },
	{ "no index", 7, 2, 0, 1, LEAF_EBX, ~0U, 0 },
	{ "no leaf", 0x1f, 0, 0, 1, LEAF_EAX, ~0U, 0 },
	{ "beyond, AMD", 0x20, 0, 0, 7, LEAF_EBX, ~0U, 0 },
	{ "topology beyond its levels", 0xb, 2, 0, 1, LEAF_ECX, ~0U, 2 },
	{ "topology's id", 0xb, 2, 0, 1, LEAF_EDX, ~0U, 5 },
	{ "a hypervisor's leaf", 0x40000100, 0, 0, 1, LEAF_EAX, ~0U, 0 },
};

static void
answer(const struct cpuid_entry *e, unsigned n, struct gcpu *c, u32 leaf,
    u32 index, u32 reg[4])
{
	/* The upper halves do not count, and are cleared. */
	u64 gpr[CPU_NREGS] = { [R_RAX] = 5ULL << 32 | leaf,
		[R_RCX] = 5ULL << 32 | index,
		[R_RBX] = ~0ULL,
		[R_RDX] = ~0ULL };

	cpuid_answer(e, n, c, gpr);
	assert_true(
	    (gpr[R_RAX] | gpr[R_RBX] | gpr[R_RCX] | gpr[R_RDX]) >> 32 == 0);
	reg[LEAF_EAX] = (u32)gpr[R_RAX];
	reg[LEAF_EBX] = (u32)gpr[R_RBX];
	reg[LEAF_ECX] = (u32)gpr[R_RCX];
	reg[LEAF_EDX] = (u32)gpr[R_RDX];
}

static void
test_answer(void **state)
{
	struct cpuid_entry e[CPUID_ENTRIES];
	unsigned n = make(host_amd, ALL_CAPS, AMD_XCR0, e), i;
	const struct answer_row *r;
	struct gcpu c = { .valid = CPU_CR4 };
	u32 reg[4];
	size_t k;

	for (i = 0; i < n; i++) {
		if (e[i].leaf == 0xb)
			e[i].reg[LEAF_EDX] = 5; /* as user space does */
	}
	for (k = 0; k < COUNT(answer_rows); k++) {
		r = &answer_rows[k];
		c.cr4 = r->cr4;
		c.xcr0 = r->xcr0;
		answer(e, n, &c, r->leaf, r->index, reg);
		CHECK(r, (reg[r->reg] & r->mask) == r->want);
	}
}

/* On Intel's a basic leaf beyond the highest is answered as that. */
static void
test_beyond_intel(void **state)
{
	struct cpuid_entry e[] = {
		{ .leaf = 0,
		    .reg = { 0xb, 0x756e6547, 0x6c65746e, 0x49656e69 } },
		{ .leaf = 0xb,
		    .flags = CPUID_INDEXED,
		    .reg = { 1, 2, 0x100, 3 } },
	};
	struct gcpu c = { .valid = CPU_CR4 };
	u32 reg[4];

	answer(e, 2, &c, 0x1234, 0, reg);
	assert_int_equal(reg[LEAF_EBX], 2);
	answer(e, 2, &c, 0x9, 0, reg);
	assert_int_equal(reg[LEAF_EBX], 0);
	answer(e, 2, &c, 0x40000000, 0, reg);
	assert_int_equal(reg[LEAF_EBX], 0);
	answer(e, 2, &c, EXT + 0x1234, 0, reg);
	assert_int_equal(reg[LEAF_EBX], 0);
	answer(e, 0, &c, 0x1234, 0, reg);
	assert_int_equal(reg[LEAF_EBX], 0);
}

static void
test_derive(void **state)
{
	struct cpuid_entry e[CPUID_ENTRIES];
	unsigned n = make(host_amd, ALL_CAPS, AMD_XCR0, e);
	struct gcpu c;

	cpuid_derive(e, n, ~0ULL, AMD_XCR0, &c);
	assert_int_equal(c.maxphyaddr, 48);
	assert_int_equal(c.xcr0_valid, 0x207);
	assert_int_equal(c.efer_valid,
	    X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE);
	assert_int_equal(c.cr4_valid,
	    0x7ff | X86_CR4_UMIP | X86_CR4_FSGSBASE | X86_CR4_OSXSAVE |
		X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE);
	/* The driver does less. */
	cpuid_derive(e, n, ~X86_CR4_PKE, 7, &c);
	assert_false(c.cr4_valid & X86_CR4_PKE);
	assert_int_equal(c.xcr0_valid, 7);
	/* What the host's own features allow. */
	assert_int_equal(
	    cpuid_cr4(&(struct cpuid_source){
		.host = host_amd, .caps = ALL_CAPS, .xcr0 = AMD_XCR0 }),
	    0x7ff | X86_CR4_UMIP | X86_CR4_FSGSBASE | X86_CR4_OSXSAVE |
		X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE);
	assert_int_equal(cpuid_cr4(&(struct cpuid_source){ .host = host_amd }),
	    0x7ff | X86_CR4_UMIP | X86_CR4_FSGSBASE | X86_CR4_SMEP |
		X86_CR4_SMAP);
	/* A guest with no table at all. */
	cpuid_derive(e, 0, ~0ULL, 7, &c);
	assert_int_equal(c.maxphyaddr, 36);
	assert_int_equal(c.xcr0_valid, 1);
	assert_int_equal(c.efer_valid, X86_EFER_SCE);
	assert_int_equal(c.cr4_valid, X86_CR4_MCE | X86_CR4_PCE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_too_big),
		cmocka_unit_test(test_signature),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_beyond_intel),
		cmocka_unit_test(test_derive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
