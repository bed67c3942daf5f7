/* SPDX-License-Identifier: ISC */
/*
 * The table of MSRs: rights, reserved bits, what CPUID hides, and that user
 * space can write back all that it reads.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>

#include "msr.h"
#include "x86.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ALL	 ~0ULL

/* --- the world ----------------------------------------------------------- */

struct world {
	struct gcpu cpu;
	struct msr_state state;
	struct lapic lapic;
	struct cpuid_entry cpuid[CPUID_ENTRIES];
	struct msr_env env;
	u64 tsc;
	unsigned ibpb, unknown;
	u64 system_time;
};

static void
need(struct gcpu *c, unsigned groups)
{
	c->valid |= groups;
}

static void
set_timer(void *arg, u64 deadline)
{
}

static u64
zero(void *arg)
{
	return 0;
}

static u64
same(void *arg, u64 tsc)
{
	return tsc;
}

static const struct gcpu_ops cpu_ops = { need };
static const struct lapic_ops lapic_ops = {
	.timer = set_timer, .now = zero, .guest_tsc = zero, .tsc_to_ns = same
};

static u64
get_tsc(void *arg)
{
	return ((struct world *)arg)->tsc;
}

static void
add_tsc(void *arg, u64 delta)
{
	((struct world *)arg)->tsc += delta;
}

static void
ibpb(void *arg)
{
	((struct world *)arg)->ibpb++;
}

static int
system_time(void *arg, u64 val)
{
	struct world *w = arg;

	if (val & 2)
		return -EINVAL;
	w->system_time = val;
	return 0;
}

static int
pv_eoi(void *arg, u64 val)
{
	return (val & 2) ? -EINVAL : 0;
}

static int
accept(void *arg, u64 val)
{
	return 0;
}

static void
unknown(void *arg, u32 index, bool write)
{
	((struct world *)arg)->unknown++;
}

static const struct msr_ops ops = { get_tsc, add_tsc, ibpb, system_time, accept,
	accept, pv_eoi, unknown };

static void
host_ones(void *arg, u32 leaf, u32 index, u32 reg[4])
{
	memset(reg, 0xff, 4 * sizeof(*reg));
	if (leaf == 0x80000008)
		reg[LEAF_EAX] = 0x3028; /* 48 and 40 bits */
}

/* all: a guest with every feature, else with none that has MSRs. */
static void
set_up(struct world *w, bool all, bool host)
{
	struct cpuid_source s = { .host = host_ones, .caps = ~0U, .xcr0 = 7 };
	int n = 0;

	memset(w, 0, sizeof(*w));
	w->cpu.ops = &cpu_ops;
	lapic_init(&w->lapic, 0, true, &lapic_ops, w);
	msr_reset(&w->state);
	if (all)
		n = cpuid_supported(&s, w->cpuid, CPUID_ENTRIES);
	assert_true(n >= 0);
	cpuid_derive(w->cpuid, (unsigned)n, ~(u64)X86_CR4_LA57, 7, &w->cpu);
	w->cpu.efer_valid =
	    X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	w->cpu.maxphyaddr = 40;
	w->cpu.pat = 0x0007040600070406ULL;
	w->env = (struct msr_env){ .cpu = &w->cpu,
		.state = &w->state,
		.lapic = &w->lapic,
		.cpuid = w->cpuid,
		.ncpuid = (unsigned)n,
		.host = host,
		.ops = &ops,
		.arg = w };
}

/* --- writes by a guest ---------------------------------------------------- */

enum { OK, GP };

struct write_row {
	const char *name;
	u32 index;
	u64 val;
	int result;
	u64 read; /* what a read then gives, when OK */
};

#define NONCANONICAL 0x0000800000000000ULL
#define HIGH	     0xffff800000000000ULL

static const struct write_row write_rows[] = {
	{ "no such", 0x12345, 0, GP, 0 },
	{ "VM_HSAVE_PA", X86_MSR_VM_HSAVE_PA, 0, GP, 0 },
	{ "VM_CR", X86_MSR_VM_CR, 0, GP, 0 },
	{ "async page faults", 0x4b564d02, 0, GP, 0 },
	{ "PLATFORM_ID is read-only", X86_MSR_PLATFORM_ID, 0, GP, 0 },
	{ "MTRRCAP is read-only", X86_MSR_MTRRCAP, 0x508, GP, 0 },
	{ "MCG_CAP is read-only", X86_MSR_MCG_CAP, 0, GP, 0 },
	{ "SYSCFG ignores", X86_MSR_SYSCFG, ALL, OK, 0 },
	{ "NB_CFG ignores", X86_MSR_NB_CFG, ALL, OK, 0 },
	{ "TOP_MEM ignores", X86_MSR_TOP_MEM, 1 << 23, OK, 0 },
	{ "microcode revision", X86_MSR_UCODE_REV, 0, OK, 0x01000065 },
	{ "HWCR", X86_MSR_HWCR, 1 << 18, OK, 1 << 18 },
	{ "HWCR reserved", X86_MSR_HWCR, 1ULL << 40, GP, 0 },
	{ "DEBUGCTL ignores", X86_MSR_DEBUGCTL, 3, OK, 0 },
	{ "DEBUGCTL reserved", X86_MSR_DEBUGCTL, 4, GP, 0 },
	{ "SYSENTER_CS", X86_MSR_SYSENTER_CS, 0x10, OK, 0x10 },
	{ "SYSENTER_EIP", X86_MSR_SYSENTER_EIP, HIGH, OK, HIGH },
	{ "SYSENTER_EIP not canonical", X86_MSR_SYSENTER_EIP, NONCANONICAL, GP,
	    0 },
	{ "LSTAR not canonical", X86_MSR_LSTAR, NONCANONICAL, GP, 0 },
	{ "KERNEL_GS_BASE", X86_MSR_KERNEL_GS_BASE, HIGH + 8, OK, HIGH + 8 },
	{ "GS_BASE", X86_MSR_GS_BASE, HIGH, OK, HIGH },
	{ "FS_BASE not canonical", X86_MSR_FS_BASE, NONCANONICAL, GP, 0 },
	{ "STAR takes all", X86_MSR_STAR, ALL, OK, ALL },
	{ "SFMASK reserved", X86_MSR_SFMASK, 1ULL << 32, GP, 0 },
	{ "EFER", X86_MSR_EFER, X86_EFER_SCE | X86_EFER_NXE, OK,
	    X86_EFER_SCE | X86_EFER_NXE },
	{ "EFER.LMA is the CPU's", X86_MSR_EFER, X86_EFER_LMA, OK, 0 },
	{ "EFER.SVME", X86_MSR_EFER, X86_EFER_SVME, GP, 0 },
	{ "PAT", X86_MSR_PAT, 0x0001050600070406ULL, OK,
	    0x0001050600070406ULL },
	{ "PAT type 2", X86_MSR_PAT, 2, GP, 0 },
	{ "PAT type 8", X86_MSR_PAT, 8ULL << 56, GP, 0 },
	{ "MTRR default", X86_MSR_MTRR_DEFTYPE, 0xc06, OK, 0xc06 },
	{ "MTRR default type 2", X86_MSR_MTRR_DEFTYPE, 0xc02, GP, 0 },
	{ "MTRR default reserved", X86_MSR_MTRR_DEFTYPE, 0x1006, GP, 0 },
	{ "MTRR base", 0x200, 0x80000006, OK, 0x80000006 },
	{ "MTRR base reserved", 0x202, 0x80000106, GP, 0 },
	{ "MTRR base type", 0x204, 0x80000007, GP, 0 },
	{ "MTRR base beyond the CPU", 0x200, 1ULL << 40, GP, 0 },
	{ "MTRR mask", 0x20f, 0xff80000800, OK, 0xff80000800 },
	{ "MTRR mask reserved", 0x201, 0x400, GP, 0 },
	{ "MTRR mask beyond the CPU", 0x201, 0x1ff80000800, GP, 0 },
	{ "a ninth MTRR", 0x210, 0, GP, 0 },
	{ "MTRR fixed 64K", 0x250, 0x0606060606060606, OK, 0x0606060606060606 },
	{ "MTRR fixed 16K", 0x259, 0x0500040100060606, OK, 0x0500040100060606 },
	{ "MTRR fixed 4K", 0x26f, 0x0303030303030303, GP, 0 },
	{ "no fixed range", 0x251, 0, GP, 0 },
	{ "TSC_AUX", X86_MSR_TSC_AUX, 0xffffffff, OK, 0xffffffff },
	{ "TSC_AUX reserved", X86_MSR_TSC_AUX, 1ULL << 32, GP, 0 },
	{ "SPEC_CTRL", X86_MSR_SPEC_CTRL, 7, OK, 7 },
	{ "SPEC_CTRL reserved", X86_MSR_SPEC_CTRL, 8, GP, 0 },
	{ "VIRT_SPEC_CTRL", X86_MSR_VIRT_SPEC_CTRL, 4, OK, 4 },
	{ "VIRT_SPEC_CTRL reserved", X86_MSR_VIRT_SPEC_CTRL, 1, GP, 0 },
	{ "PRED_CMD reserved", X86_MSR_PRED_CMD, 2, GP, 0 },
	{ "MCG_STATUS", X86_MSR_MCG_STATUS, 4, OK, 4 },
	{ "MCG_STATUS reserved", X86_MSR_MCG_STATUS, 8, GP, 0 },
	{ "MCG_CTL off", X86_MSR_MCG_CTL, 0, OK, 0 },
	{ "MCG_CTL in part", X86_MSR_MCG_CTL, 1, GP, 0 },
	{ "bank's control", 0x400, 0xff, OK, 0xff },
	{ "bank's status cleared", 0x401, 0, OK, 0 },
	{ "bank's status set", 0x401, 1, GP, 0 },
	{ "bank's address", 0x402, 0x1000, OK, 0x1000 },
	{ "the last bank", 0x400 + 4 * MSR_BANKS - 1, 5, OK, 5 },
	{ "beyond the banks", 0x400 + 4 * MSR_BANKS, 0, GP, 0 },
	{ "MISC_ENABLE keeps what is not there", X86_MSR_MISC_ENABLE, 0, OK,
	    0x1800 },
	{ "APIC_BASE moved", X86_MSR_APIC_BASE, 0xfed00900, GP, 0 },
	{ "APIC_BASE to x2APIC", X86_MSR_APIC_BASE, 0xfee00d00, OK,
	    0xfee00d00 },
	{ "x2APIC register in xAPIC mode", 0x808, 0, GP, 0 },
	{ "system time", KVM_MSR_SYSTEM_TIME, 0x1001, OK, 0x1001 },
	{ "system time, old", KVM_MSR_SYSTEM_TIME_OLD, 0x1001, OK, 0x1001 },
	{ "system time refused", KVM_MSR_SYSTEM_TIME, 3, GP, 0 },
	{ "wall clock", KVM_MSR_WALL_CLOCK, 0x2000, OK, 0x2000 },
	{ "steal time reserved", KVM_MSR_STEAL_TIME, 0x1003, GP, 0 },
	{ "steal time", KVM_MSR_STEAL_TIME, 0x1001, OK, 0x1001 },
	{ "EOI's word", KVM_MSR_PV_EOI, 0x1001, OK, 0x1001 },
	{ "EOI's word refused", KVM_MSR_PV_EOI, 0x1003, GP, 0 },
	{ "TSC deadline in another mode", X86_MSR_TSC_DEADLINE, 5, OK, 0 },
};

static void
test_guest_writes(void **state)
{
	const struct write_row *r;
	struct world w;
	u64 val;
	size_t i;

	for (i = 0; i < COUNT(write_rows); i++) {
		r = &write_rows[i];
		set_up(&w, true, false);
		if (msr_set(&w.env, r->index, r->val) != r->result)
			fail_msg("%s: result", r->name);
		if (r->result == GP)
			continue;
		if (msr_get(&w.env, r->index, &val) != 0 || val != r->read)
			fail_msg("%s: reads %llx", r->name, val);
	}
}

/* What a guest may read before anything was written. */
static const struct {
	const char *name;
	u32 index;
	int result;
	u64 val;
} reset_rows[] = {
	{ "PLATFORM_ID", X86_MSR_PLATFORM_ID, OK, 0 },
	{ "EBL_CR_POWERON", X86_MSR_EBL_CR_POWERON, OK, 0 },
	{ "APIC_BASE", X86_MSR_APIC_BASE, OK, 0xfee00900 },
	{ "UCODE_REV", X86_MSR_UCODE_REV, OK, 0x01000065 },
	{ "MTRRCAP", X86_MSR_MTRRCAP, OK, 0x508 },
	{ "MTRR default", X86_MSR_MTRR_DEFTYPE, OK, 0 },
	{ "MCG_CAP", X86_MSR_MCG_CAP, OK, 0x100 | MSR_BANKS },
	{ "MISC_ENABLE", X86_MSR_MISC_ENABLE, OK, 0x1801 },
	{ "PAT", X86_MSR_PAT, OK, 0x0007040600070406ULL },
	{ "HWCR", X86_MSR_HWCR, OK, 1 << 24 },
	{ "DE_CFG", X86_MSR_DE_CFG, OK, 2 },
	{ "PRED_CMD is write-only", X86_MSR_PRED_CMD, GP, 0 },
	{ "UCODE_WRITE is write-only", X86_MSR_UCODE_WRITE, GP, 0 },
	{ "performance counter", 0xc0010004, GP, 0 },
	{ "VM_HSAVE_PA", X86_MSR_VM_HSAVE_PA, GP, 0 },
	{ "the first index", 0, GP, 0 },
	{ "the last index", 0xffffffff, GP, 0 },
};

static void
test_reset_values(void **state)
{
	struct world w;
	u64 val;
	size_t i;

	set_up(&w, true, false);
	for (i = 0; i < COUNT(reset_rows); i++) {
		if (msr_get(&w.env, reset_rows[i].index, &val) !=
		    reset_rows[i].result)
			fail_msg("%s: result", reset_rows[i].name);
		if (reset_rows[i].result == OK && val != reset_rows[i].val)
			fail_msg("%s: %llx", reset_rows[i].name, val);
	}
	assert_int_equal(w.unknown, 4);
}

/* Without the feature in CPUID: #GP for the guest, there for user space. */
static void
test_hidden(void **state)
{
	static const u32 gated[] = { X86_MSR_TSC_ADJUST, X86_MSR_SPEC_CTRL,
		X86_MSR_VIRT_SPEC_CTRL, X86_MSR_TSC_AUX, KVM_MSR_STEAL_TIME };
	struct world w;
	u64 val;
	size_t i;

	for (i = 0; i < COUNT(gated); i++) {
		set_up(&w, false, false);
		assert_int_equal(msr_get(&w.env, gated[i], &val), GP);
		assert_int_equal(msr_set(&w.env, gated[i], 0), GP);
		assert_int_equal(w.unknown, 0);
		w.env.host = true;
		assert_int_equal(msr_get(&w.env, gated[i], &val), OK);
		assert_int_equal(msr_set(&w.env, gated[i], val), OK);
	}
	set_up(&w, false, false);
	assert_int_equal(msr_set(&w.env, X86_MSR_PRED_CMD, 1), GP);
	assert_int_equal(w.ibpb, 0);
	/* x2APIC mode is a feature too. */
	assert_int_equal(msr_set(&w.env, X86_MSR_APIC_BASE, 0xfee00d00), GP);
}

static void
test_pred_cmd(void **state)
{
	struct world w;

	set_up(&w, true, false);
	assert_int_equal(msr_set(&w.env, X86_MSR_PRED_CMD, 0), OK);
	assert_int_equal(w.ibpb, 0);
	assert_int_equal(msr_set(&w.env, X86_MSR_PRED_CMD, 1), OK);
	assert_int_equal(w.ibpb, 1);
}

/* All that is listed: ascending, named, and comes back as it was. */
static void
test_list(void **state)
{
	u32 list[256], few[3] = { 0, 0, 0xaa };
	unsigned n = msr_list(MSR_LISTED, list, 256), i;
	struct world w;
	u64 val, again;

	assert_true(n > 50 && n < 256);
	assert_int_equal(msr_list(MSR_LISTED, few, 2), n);
	assert_int_equal(few[1], list[1]);
	assert_int_equal(few[2], 0xaa);
	set_up(&w, false, true);
	for (i = 0; i < n; i++) {
		assert_true(i == 0 || list[i] > list[i - 1]);
		assert_non_null(msr_name(list[i]));
		assert_int_equal(msr_get(&w.env, list[i], &val), OK);
		assert_int_equal(msr_set(&w.env, list[i], val), OK);
		assert_int_equal(msr_get(&w.env, list[i], &again), OK);
		assert_true(val == again);
	}
	assert_null(msr_name(0x12345));
}

static void
test_feature_list(void **state)
{
	u32 list[16];
	unsigned n = msr_list(MSR_FEATURE, list, 16), i;
	u64 val;

	assert_int_equal(n, 2);
	for (i = 0; i < n; i++)
		assert_true(msr_feature(list[i], &val));
	assert_int_equal(list[0], X86_MSR_UCODE_REV);
	assert_false(msr_feature(X86_MSR_EFER, &val));
	assert_false(msr_feature(0x12345, &val));
	msr_feature(X86_MSR_DE_CFG, &val);
	assert_int_equal(val, 2);
}

/* What QEMU writes to every vCPU at reset. */
static void
test_qemu(void **state)
{
	struct world w;
	unsigned i;

	set_up(&w, true, true);
	for (i = 0; i < 4 * MSR_BANKS; i++)
		assert_int_equal(
		    msr_set(&w.env, 0x400 + i, i % 4 == 0 ? ALL : 0), OK);
	assert_int_equal(msr_set(&w.env, X86_MSR_MCG_CTL, ALL), OK);
	for (i = 0; i < 2 * MSR_MTRRS; i++)
		assert_int_equal(msr_set(&w.env, 0x200 + i, 0), OK);
	assert_int_equal(msr_set(&w.env, X86_MSR_UCODE_REV, 0x5000), OK);
	assert_int_equal(w.state.ucode_rev, 0x5000);
	assert_int_equal(msr_set(&w.env, 0x401, 0xbd00000000000000), OK);
	/* Fewer banks, as KVM_X86_SETUP_MCE has it. */
	w.state.mcg_cap = 2;
	assert_int_equal(msr_set(&w.env, 0x407, 0), OK);
	assert_int_equal(msr_set(&w.env, 0x408, 0), GP);
}

static void
test_tsc(void **state)
{
	struct world w;
	u64 val;

	set_up(&w, true, false);
	w.tsc = 1000;
	assert_int_equal(msr_set(&w.env, X86_MSR_TSC, 5000), OK);
	assert_int_equal(w.tsc, 5000);
	msr_get(&w.env, X86_MSR_TSC_ADJUST, &val);
	assert_int_equal(val, 4000);
	assert_int_equal(msr_set(&w.env, X86_MSR_TSC_ADJUST, 0), OK);
	assert_int_equal(w.tsc, 1000);
	/* User space sets each of the two by itself. */
	w.env.host = true;
	assert_int_equal(msr_set(&w.env, X86_MSR_TSC_ADJUST, 77), OK);
	assert_int_equal(w.tsc, 1000);
	assert_int_equal(msr_set(&w.env, X86_MSR_TSC, 3), OK);
	assert_int_equal(w.state.tsc_adjust, 77);
	assert_int_equal(w.tsc, 3);
}

static void
test_efer(void **state)
{
	struct world w;
	u64 val;

	set_up(&w, true, false);
	w.cpu.cr0 = X86_CR0_PG | X86_CR0_PE;
	w.cpu.efer = X86_EFER_LME | X86_EFER_LMA;
	assert_int_equal(msr_set(&w.env, X86_MSR_EFER, 0), GP);
	assert_int_equal(
	    msr_set(&w.env, X86_MSR_EFER, X86_EFER_LME | X86_EFER_NXE), OK);
	msr_get(&w.env, X86_MSR_EFER, &val);
	assert_int_equal(val, X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE);
	assert_true(w.cpu.dirty & CPU_CRS);
	w.env.host = true; /* with the rest of the state to follow */
	assert_int_equal(msr_set(&w.env, X86_MSR_EFER, 0), OK);
	assert_int_equal(w.cpu.efer, 0);
}

/* Every index around every row, with hostile values, changes nothing that a
 * row does not own. */
static void
test_sweep(void **state)
{
	static const u64 values[] = { 0, 1, ALL, NONCANONICAL, 1ULL << 40 };
	static const u32 bases[] = { 0, 0x4b564d00 - 0x80, 0xc0000000,
		0xc0010000, 0xc0011000, 0xfffff000 };
	struct world w;
	u64 guard = 0x1122334455667788, val;
	u32 at;
	size_t i, k;

	set_up(&w, true, false);
	w.cpu.cr0 = guard;
	for (i = 0; i < COUNT(bases); i++) {
		for (at = bases[i]; at - bases[i] < 0x1000; at++) {
			for (k = 0; k < COUNT(values); k++)
				msr_set(&w.env, at, values[k]);
			val = guard;
			if (msr_get(&w.env, at, &val) != 0)
				assert_true(val == guard);
		}
	}
	assert_true(w.cpu.cr0 == guard);
	assert_int_equal(w.env.ncpuid > 0, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guest_writes),
		cmocka_unit_test(test_reset_values),
		cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_pred_cmd),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_feature_list),
		cmocka_unit_test(test_qemu),
		cmocka_unit_test(test_tsc),
		cmocka_unit_test(test_efer),
		cmocka_unit_test(test_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
