// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The table of MSRs and what reading and writing them does.
 *
 * Invariants
 *  1. Nothing is read from the host's MSRs, and nothing written to them.
 *  2. A guest's write stores bits of the row's `valid' only; others are #GP.
 *  3. What is listed can be read by user space and written back, whatever
 *     the guest's CPUID has.
 *
 * Rows without state are those that operating systems read or write without a
 * check of CPUID first; they do nothing.
 */
#include "msr.h"
#include "x86.h"

#define ALL ~0ULL

/* What of CPUID a guest's access depends on. */
enum need {
	ALWAYS,
	TSC_ADJUST,
	SPEC_CTRL,
	IBPB,
	VIRT_SSBD,
	TSC_AUX,
	STEAL_TIME,
};

struct row;
typedef int read_fn(const struct msr_env *, const struct row *, u32, u64 *);
typedef int write_fn(const struct msr_env *, const struct row *, u32, u64);

struct row {
	u32 first, n;
	const char *name;
	unsigned rights; /* enum msr_rights */
	enum need need;
	u64 valid; /* bits that a write may have */
	read_fn *read;
	write_fn *write;
	size_t at; /* the field, when it is one */
	u64 value; /* the constant, when it is one */
};

#define MISC_ENABLE_FAST_STRINGS CORE_BIT(0)
#define MISC_ENABLE_NO_BTS	 CORE_BIT(11)
#define MISC_ENABLE_NO_PEBS	 CORE_BIT(12)
#define MISC_ENABLE_WRITABLE                                      \
	(MISC_ENABLE_FAST_STRINGS | CORE_BIT(16) | CORE_BIT(18) | \
	    CORE_BIT(22) | CORE_BIT(34))
#define HWCR_MC_STATUS_WRITE CORE_BIT(18)
#define HWCR_TSC_FREQ_SEL    CORE_BIT(24)
#define DE_CFG_LFENCE	     CORE_BIT(1)
#define UCODE_REV	     0x01000065ULL
#define MCG_CTL_P	     CORE_BIT(8)

void
msr_reset(struct msr_state *s)
{
	*s = (struct msr_state){
		.ucode_rev = UCODE_REV,
		.misc_enable = MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_NO_BTS |
		    MISC_ENABLE_NO_PEBS,
		.hwcr = HWCR_TSC_FREQ_SEL,
		.de_cfg = DE_CFG_LFENCE,
		.mcg_cap = MSR_BANKS | MCG_CTL_P,
		.mcg_ctl = ALL,
	};
}

/* --- plain values -------------------------------------------------------- */

static int
read_value(const struct msr_env *env, const struct row *r, u32 i, u64 *val)
{
	*val = r->value;
	return 0;
}

static int
write_nothing(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	return 0;
}

static u64 *
state_field(const struct msr_env *env, const struct row *r, u32 i)
{
	return (u64 *)((u8 *)env->state + r->at) + i;
}

static int
read_state(const struct msr_env *env, const struct row *r, u32 i, u64 *val)
{
	*val = *state_field(env, r, i);
	return 0;
}

static int
write_state(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	*state_field(env, r, i) = val;
	return 0;
}

/* --- registers of struct gcpu -------------------------------------------- */

static int
read_cpu(const struct msr_env *env, const struct row *r, u32 i, u64 *val)
{
	cpu_need(env->cpu, CPU_SYSMSRS);
	*val = *(const u64 *)((const u8 *)env->cpu + r->at);
	return 0;
}

static int
write_cpu(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	cpu_need(env->cpu, CPU_SYSMSRS);
	*(u64 *)((u8 *)env->cpu + r->at) = val;
	cpu_dirty(env->cpu, CPU_SYSMSRS);
	return 0;
}

/* "Canonical Address Form", with the width that paging may have at all. */
static bool
canonical(const struct msr_env *env, u64 va)
{
	unsigned unused = (env->cpu->cr4_valid & X86_CR4_LA57) ? 7 : 16;

	return (u64)((s64)(va << unused) >> unused) == va;
}

static int
write_address(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	return canonical(env, val) ? write_cpu(env, r, i, val) : 1;
}

static int
read_base(const struct msr_env *env, const struct row *r, u32 i, u64 *val)
{
	cpu_need(env->cpu, CPU_SEGS);
	*val = env->cpu->seg[SEG_FS + i].base;
	return 0;
}

static int
write_base(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	if (!canonical(env, val))
		return 1;
	cpu_need(env->cpu, CPU_SEGS);
	env->cpu->seg[SEG_FS + i].base = val;
	cpu_dirty(env->cpu, CPU_SEGS);
	return 0;
}

static int
read_efer(const struct msr_env *env, const struct row *r, u32 i, u64 *val)
{
	cpu_need(env->cpu, CPU_CRS);
	*val = env->cpu->efer;
	return 0;
}

/* "Extended Feature Enable Register": LME not under paging; LMA is the
 * CPU's. */
static int
write_efer(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	struct gcpu *c = env->cpu;

	cpu_need(c, CPU_CRS);
	if (val & ~c->efer_valid)
		return 1;
	if (!env->host) {
		if ((c->cr0 & X86_CR0_PG) && ((val ^ c->efer) & X86_EFER_LME))
			return 1;
		val = (val & ~X86_EFER_LMA) | (c->efer & X86_EFER_LMA);
	}
	c->efer = val;
	cpu_dirty(c, CPU_CRS);
	return 0;
}

/* "Page-Attribute Table Mechanism": types 0, 1, 4-7 in each byte. */
static int
write_pat(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	unsigned at;
	u8 type;

	for (at = 0; at < 64; at += 8) {
		type = (u8)(val >> at);
		if (type > 7 || type == 2 || type == 3)
			return 1;
	}
	return write_cpu(env, r, i, val);
}

/* --- memory type ranges -------------------------------------------------- */

/* "Memory Types" of MTRRs: UC, WC, WT, WP, WB. */
static bool
mtrr_type(u8 type)
{
	return type <= 6 && type != 2 && type != 3;
}

static int
write_mtrr_fixed(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	unsigned at;

	for (at = 0; at < 64; at += 8) {
		if (!mtrr_type((u8)(val >> at)))
			return 1;
	}
	return write_state(env, r, i, val);
}

static int
write_mtrr_var(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	u64 low = (i & 1) ? 0x7ff : 0xf00; /* reserved in mask and base */

	if ((val & low) || (val >> env->cpu->maxphyaddr))
		return 1;
	if (!(i & 1) && !mtrr_type((u8)val))
		return 1;
	return write_state(env, r, i, val);
}

static int
write_mtrr_deftype(
    const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	return mtrr_type((u8)val) ? write_state(env, r, i, val) : 1;
}

/* --- machine checks ------------------------------------------------------ */

/* "Machine Check Architecture MSRs": all or nothing; Linux leaves single bits
 * of bank 4 and bank 0 off. */
static int
write_mcg_ctl(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	return val == 0 || val == ALL ? write_state(env, r, i, val) : 1;
}

static bool
bank_exists(const struct msr_env *env, u32 i)
{
	return i / 4 < (env->state->mcg_cap & 0xff);
}

static int
read_bank(const struct msr_env *env, const struct row *r, u32 i, u64 *val)
{
	return bank_exists(env, i) ? read_state(env, r, i, val) : 1;
}

/* Software clears a bank; it sets one only where HWCR allows it. */
static int
write_bank(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	bool any = env->host || (env->state->hwcr & HWCR_MC_STATUS_WRITE);

	if (!bank_exists(env, i) || ((i & 3) == 1 && val != 0 && !any))
		return 1;
	return write_state(env, r, i, val);
}

/* --- time ---------------------------------------------------------------- */

static int
read_tsc(const struct msr_env *env, const struct row *r, u32 i, u64 *val)
{
	*val = env->ops->tsc(env->arg);
	return 0;
}

/* SDM vol. 3 "Time-Stamp Counter Adjustment": the two move together. */
static int
write_tsc(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	u64 delta = val - env->ops->tsc(env->arg);

	env->ops->tsc_add(env->arg, delta);
	if (!env->host)
		env->state->tsc_adjust += delta;
	return 0;
}

static int
write_tsc_adjust(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	if (!env->host)
		env->ops->tsc_add(env->arg, val - env->state->tsc_adjust);
	env->state->tsc_adjust = val;
	return 0;
}

static int
write_system_time(
    const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	if (env->ops->system_time(env->arg, val) != 0)
		return 1;
	return write_state(env, r, 0, val);
}

static int
write_wall_clock(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	if (env->ops->wall_clock(env->arg, val) != 0)
		return 1;
	return write_state(env, r, 0, val);
}

static int
write_steal_time(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	if (env->ops->steal_time(env->arg, val) != 0)
		return 1;
	return write_state(env, r, 0, val);
}

static int
write_pv_eoi(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	if (env->ops->pv_eoi(env->arg, val) != 0)
		return 1;
	return write_state(env, r, 0, val);
}

/* --- local APIC ---------------------------------------------------------- */

static int
read_apic_base(const struct msr_env *env, const struct row *r, u32 i, u64 *val)
{
	*val = env->lapic->base_msr;
	return 0;
}

static int
write_apic_base(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	bool x2 = cpuid_has(env->cpuid, env->ncpuid, 1, 0, LEAF_ECX, 21);

	/* The page stays where firmware finds it. */
	if ((val & ~0xfffULL) != LAPIC_BASE_ADDR)
		return 1;
	if (env->host)
		return lapic_base_restore(env->lapic, val) != 0;
	return lapic_base_write(env->lapic, val, x2) != 0;
}

static int
read_deadline(const struct msr_env *env, const struct row *r, u32 i, u64 *val)
{
	*val = lapic_deadline_read(env->lapic);
	return 0;
}

static int
write_deadline(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	lapic_deadline_write(env->lapic, val);
	return 0;
}

static int
read_x2apic(const struct msr_env *env, const struct row *r, u32 i, u64 *val)
{
	return lapic_msr_read(env->lapic, r->first + i, val) != 0;
}

static int
write_x2apic(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	return lapic_msr_write(env->lapic, r->first + i, val) != 0;
}

/* --- others -------------------------------------------------------------- */

/* Bits that say what there is not stay. */
static int
write_misc_enable(
    const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	u64 *reg = &env->state->misc_enable;

	*reg = (*reg & ~MISC_ENABLE_WRITABLE) | (val & MISC_ENABLE_WRITABLE);
	return 0;
}

/* A guest's write of 0 asks for CPUID to report the revision: it always is. */
static int
write_ucode_rev(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	return env->host ? write_state(env, r, i, val) : 0;
}

static int
write_de_cfg(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	return env->host ? write_state(env, r, i, val) : 0;
}

static int
write_pred_cmd(const struct msr_env *env, const struct row *r, u32 i, u64 val)
{
	if (val != 0 && !env->host)
		env->ops->ibpb(env->arg);
	return 0;
}

/* --- the table ----------------------------------------------------------- */

#define STATE(field) .at = offsetof(struct msr_state, field)
#define CPU(field)   .at = offsetof(struct gcpu, field)
#define RWL	     (MSR_RW | MSR_LISTED)

/* clang-format off */
/* A constant; where writes are allowed they do nothing. */
#define CONST(index, label, r, v) \
	{ index, 1, label, r, ALWAYS, ALL, read_value, write_nothing, 0, v }

/* Ascending. */
static const struct row rows[] = {
	{ X86_MSR_TSC, 1, "TSC", RWL, ALWAYS, ALL, read_tsc, write_tsc,
	    0, 0 },
	{ KVM_MSR_WALL_CLOCK_OLD, 1, "WALL_CLOCK_OLD", RWL, ALWAYS, ALL,
	    read_state, write_wall_clock, STATE(wall_clock), 0 },
	{ KVM_MSR_SYSTEM_TIME_OLD, 1, "SYSTEM_TIME_OLD", RWL, ALWAYS, ALL,
	    read_state, write_system_time, STATE(system_time), 0 },
	CONST(X86_MSR_PLATFORM_ID, "PLATFORM_ID", MSR_R, 0),
	{ X86_MSR_APIC_BASE, 1, "APIC_BASE", RWL, ALWAYS, ALL, read_apic_base,
	    write_apic_base, 0, 0 },
	CONST(X86_MSR_EBL_CR_POWERON, "EBL_CR_POWERON", MSR_RW, 0),
	CONST(X86_MSR_EBC_FREQUENCY_ID, "EBC_FREQUENCY_ID", MSR_R, 1 << 24),
	{ X86_MSR_TSC_ADJUST, 1, "TSC_ADJUST", RWL, TSC_ADJUST, ALL,
	    read_state, write_tsc_adjust, STATE(tsc_adjust), 0 },
	/* IBRS, STIBP, SSBD, PSFD */
	{ X86_MSR_SPEC_CTRL, 1, "SPEC_CTRL", RWL, SPEC_CTRL, 0x87,
	    read_state, write_state, STATE(spec_ctrl), 0 },
	{ X86_MSR_PRED_CMD, 1, "PRED_CMD", MSR_W, IBPB, 1, read_value,
	    write_pred_cmd, 0, 0 },
	CONST(X86_MSR_UCODE_WRITE, "UCODE_WRITE", MSR_W, 0),
	{ X86_MSR_UCODE_REV, 1, "UCODE_REV", RWL | MSR_FEATURE, ALWAYS, ALL,
	    read_state, write_ucode_rev, STATE(ucode_rev), UCODE_REV },
	CONST(X86_MSR_FSB_FREQ, "FSB_FREQ", MSR_R, 3),
	/* fixed ranges, write combining */
	CONST(X86_MSR_MTRRCAP, "MTRRCAP", MSR_R, 0x500 | MSR_MTRRS),
	{ X86_MSR_SYSENTER_CS, 1, "SYSENTER_CS", RWL, ALWAYS, 0xffffffff,
	    read_cpu, write_cpu, CPU(sysenter_cs), 0 },
	{ X86_MSR_SYSENTER_ESP, 1, "SYSENTER_ESP", RWL, ALWAYS, ALL,
	    read_cpu, write_address, CPU(sysenter_esp), 0 },
	{ X86_MSR_SYSENTER_EIP, 1, "SYSENTER_EIP", RWL, ALWAYS, ALL,
	    read_cpu, write_address, CPU(sysenter_eip), 0 },
	{ X86_MSR_MCG_CAP, 1, "MCG_CAP", MSR_R, ALWAYS, 0, read_state, NULL,
	    STATE(mcg_cap), 0 },
	{ X86_MSR_MCG_STATUS, 1, "MCG_STATUS", RWL, ALWAYS, 7, read_state,
	    write_state, STATE(mcg_status), 0 },
	{ X86_MSR_MCG_CTL, 1, "MCG_CTL", RWL, ALWAYS, ALL, read_state,
	    write_mcg_ctl, STATE(mcg_ctl), 0 },
	{ X86_MSR_MISC_ENABLE, 1, "MISC_ENABLE", RWL, ALWAYS, ALL, read_state,
	    write_misc_enable, STATE(misc_enable), 0 },
	/* last branches, single step on branches */
	{ X86_MSR_DEBUGCTL, 1, "DEBUGCTL", MSR_RW, ALWAYS, 3, read_value,
	    write_nothing, 0, 0 },
	{ X86_MSR_MTRR_PHYSBASE0, 2 * MSR_MTRRS, "MTRR_PHYS", RWL, ALWAYS,
	    ALL, read_state, write_mtrr_var, STATE(mtrr_var), 0 },
	{ X86_MSR_MTRR_FIX64K, 1, "MTRR_FIX64K", RWL, ALWAYS, ALL, read_state,
	    write_mtrr_fixed, STATE(mtrr_fix[0]), 0 },
	{ X86_MSR_MTRR_FIX16K, 2, "MTRR_FIX16K", RWL, ALWAYS, ALL, read_state,
	    write_mtrr_fixed, STATE(mtrr_fix[1]), 0 },
	{ X86_MSR_MTRR_FIX4K, 8, "MTRR_FIX4K", RWL, ALWAYS, ALL, read_state,
	    write_mtrr_fixed, STATE(mtrr_fix[3]), 0 },
	{ X86_MSR_PAT, 1, "PAT", RWL, ALWAYS, ALL, read_cpu, write_pat,
	    CPU(pat), 0 },
	{ X86_MSR_MTRR_DEFTYPE, 1, "MTRR_DEFTYPE", RWL, ALWAYS, 0xcff,
	    read_state, write_mtrr_deftype, STATE(mtrr_deftype), 0 },
	{ X86_MSR_MC0_CTL, 4 * MSR_BANKS, "MC", MSR_RW, ALWAYS, ALL, read_bank,
	    write_bank, STATE(bank), 0 },
	{ X86_MSR_TSC_DEADLINE, 1, "TSC_DEADLINE", RWL, ALWAYS, ALL,
	    read_deadline, write_deadline, 0, 0 },
	{ X86_MSR_X2APIC, 0x100, "X2APIC", MSR_RW, ALWAYS, ALL, read_x2apic,
	    write_x2apic, 0, 0 },
	{ KVM_MSR_WALL_CLOCK, 1, "WALL_CLOCK", RWL, ALWAYS, ALL, read_state,
	    write_wall_clock, STATE(wall_clock), 0 },
	{ KVM_MSR_SYSTEM_TIME, 1, "SYSTEM_TIME", RWL, ALWAYS, ALL, read_state,
	    write_system_time, STATE(system_time), 0 },
	{ KVM_MSR_STEAL_TIME, 1, "STEAL_TIME", RWL, STEAL_TIME, ~0x3eULL,
	    read_state, write_steal_time, STATE(steal_time), 0 },
	{ KVM_MSR_PV_EOI, 1, "PV_EOI", RWL, ALWAYS, ALL, read_state,
	    write_pv_eoi, STATE(pv_eoi), 0 },
	{ X86_MSR_EFER, 1, "EFER", RWL, ALWAYS, ALL, read_efer, write_efer,
	    0, 0 },
	{ X86_MSR_STAR, 1, "STAR", RWL, ALWAYS, ALL, read_cpu, write_cpu,
	    CPU(star), 0 },
	{ X86_MSR_LSTAR, 1, "LSTAR", RWL, ALWAYS, ALL, read_cpu,
	    write_address, CPU(lstar), 0 },
	{ X86_MSR_CSTAR, 1, "CSTAR", RWL, ALWAYS, ALL, read_cpu,
	    write_address, CPU(cstar), 0 },
	{ X86_MSR_SFMASK, 1, "SFMASK", RWL, ALWAYS, 0xffffffff, read_cpu,
	    write_cpu, CPU(sfmask), 0 },
	{ X86_MSR_FS_BASE, 2, "FS_BASE, GS_BASE", MSR_RW, ALWAYS, ALL,
	    read_base, write_base, 0, 0 },
	{ X86_MSR_KERNEL_GS_BASE, 1, "KERNEL_GS_BASE", RWL, ALWAYS, ALL,
	    read_cpu, write_address, CPU(kernel_gs_base), 0 },
	{ X86_MSR_TSC_AUX, 1, "TSC_AUX", RWL, TSC_AUX, 0xffffffff, read_state,
	    write_state, STATE(tsc_aux), 0 },
	CONST(X86_MSR_SYSCFG, "SYSCFG", MSR_RW, 0),
	/* what BIOSes set, MC status writes, TSC at P0 */
	{ X86_MSR_HWCR, 1, "HWCR", RWL, ALWAYS, 0x1040158, read_state,
	    write_state, STATE(hwcr), 0 },
	CONST(X86_MSR_TOP_MEM, "TOP_MEM", MSR_RW, 0),
	CONST(X86_MSR_TOP_MEM2, "TOP_MEM2", MSR_RW, 0),
	CONST(X86_MSR_NB_CFG, "NB_CFG", MSR_RW, 0),
	CONST(X86_MSR_INT_PENDING, "INT_PENDING", MSR_RW, 0),
	CONST(X86_MSR_MMIO_CONF_BASE, "MMIO_CONF_BASE", MSR_RW, 0),
	CONST(X86_MSR_TSEG_ADDR, "TSEG_ADDR", MSR_R, 0),
	CONST(X86_MSR_TSEG_MASK, "TSEG_MASK", MSR_R, 0),
	{ X86_MSR_VIRT_SPEC_CTRL, 1, "VIRT_SPEC_CTRL", RWL, VIRT_SSBD, 4,
	    read_state, write_state, STATE(virt_spec_ctrl), 0 },
	CONST(X86_MSR_DC_CFG, "DC_CFG", MSR_RW, 0),
	{ X86_MSR_DE_CFG, 1, "DE_CFG", RWL | MSR_FEATURE, ALWAYS, ALL,
	    read_state, write_de_cfg, STATE(de_cfg), DE_CFG_LFENCE },
	CONST(X86_MSR_BU_CFG2, "BU_CFG2", MSR_RW, 0),
	CONST(X86_MSR_EX_CFG, "EX_CFG", MSR_RW, 0),
};
/* clang-format on */
#define NROWS (sizeof(rows) / sizeof(rows[0]))

static const struct row *
find(u32 index)
{
	unsigned lo = 0, hi = NROWS, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (index < rows[mid].first)
			hi = mid;
		else if (index - rows[mid].first >= rows[mid].n)
			lo = mid + 1;
		else
			return &rows[mid];
	}
	return NULL;
}

static bool
has(const struct msr_env *env, u32 leaf, unsigned reg, unsigned bit)
{
	return cpuid_has(env->cpuid, env->ncpuid, leaf, 0, reg, bit);
}

/* "Speculation Control MSRs": each vendor has feature bits of its own. */
static bool
available(const struct msr_env *env, enum need need)
{
	switch (need) {
	case ALWAYS:
		return true;
	case TSC_ADJUST:
		return has(env, 7, LEAF_EBX, 1);
	case SPEC_CTRL:
		return has(env, 7, LEAF_EDX, 26) || has(env, 7, LEAF_EDX, 27) ||
		    has(env, 7, LEAF_EDX, 31) ||
		    has(env, 0x80000008, LEAF_EBX, 14) ||
		    has(env, 0x80000008, LEAF_EBX, 15) ||
		    has(env, 0x80000008, LEAF_EBX, 24);
	case IBPB:
		return has(env, 7, LEAF_EDX, 26) ||
		    has(env, 0x80000008, LEAF_EBX, 12);
	case VIRT_SSBD:
		return has(env, 0x80000008, LEAF_EBX, 25);
	case TSC_AUX:
		return has(env, 0x80000001, LEAF_EDX, 27) ||
		    has(env, 7, LEAF_ECX, 22);
	case STEAL_TIME:
		return has(env, 0x40000001, LEAF_EAX, 5);
	}
	return false;
}

/* The row, when this access to it is allowed. */
static const struct row *
allowed(const struct msr_env *env, u32 index, enum msr_rights right)
{
	const struct row *r = find(index);

	if (r == NULL) {
		if (!env->host)
			env->ops->unknown(env->arg, index, right == MSR_W);
		return NULL;
	}
	if (!(r->rights & right) || (!env->host && !available(env, r->need)))
		return NULL;
	return r;
}

int
msr_get(const struct msr_env *env, u32 index, u64 *val)
{
	const struct row *r = allowed(env, index, MSR_R);

	return r == NULL ? 1 : r->read(env, r, index - r->first, val);
}

int
msr_set(const struct msr_env *env, u32 index, u64 val)
{
	const struct row *r = allowed(env, index, MSR_W);

	if (r == NULL || (val & ~r->valid))
		return 1;
	return r->write(env, r, index - r->first, val);
}

unsigned
msr_list(enum msr_rights right, u32 *out, unsigned max)
{
	unsigned i, n = 0;
	u32 k;

	for (i = 0; i < NROWS; i++) {
		if (!(rows[i].rights & right))
			continue;
		for (k = 0; k < rows[i].n; k++, n++) {
			if (n < max)
				out[n] = rows[i].first + k;
		}
	}
	return n;
}

const char *
msr_name(u32 index)
{
	const struct row *r = find(index);

	return r == NULL ? NULL : r->name;
}

bool
msr_feature(u32 index, u64 *val)
{
	const struct row *r = find(index);

	if (r == NULL || !(r->rights & MSR_FEATURE))
		return false;
	*val = r->value;
	return true;
}
