/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_MSR_H
#define CORE_MSR_H

/*
 * Model-specific registers of a guest CPU: an allow-list as rows.  An index
 * without a row is #GP for the guest and unknown to user space (AMD APM vol. 2
 * "Model-Specific Registers (MSRs)", SDM vol. 4).
 */
#include "cpu.h"
#include "cpuid.h"
#include "lapic.h"

#define MSR_BANKS 10 /* of machine-check registers */
#define MSR_MTRRS 8 /* of variable range */

/* What no other module holds. */
struct msr_state {
	u64 tsc_adjust, tsc_aux;
	u64 spec_ctrl, virt_spec_ctrl;
	u64 ucode_rev, misc_enable, hwcr, de_cfg;
	u64 mcg_cap, mcg_status, mcg_ctl;
	u64 bank[MSR_BANKS][4];
	u64 mtrr_deftype, mtrr_fix[11], mtrr_var[2 * MSR_MTRRS];
	u64 system_time, wall_clock, steal_time, pv_eoi;
};

struct msr_ops {
	u64 (*tsc)(void *arg); /* the guest's, now */
	void (*tsc_add)(void *arg, u64 delta);
	void (*ibpb)(void *arg);
	/* A page of shared time was named, or given up.  0 or -errno: #GP. */
	int (*system_time)(void *arg, u64);
	int (*wall_clock)(void *arg, u64);
	int (*steal_time)(void *arg, u64);
	int (*pv_eoi)(void *arg, u64);
	/* The guest met #GP by an index without a row; to be rate-limited. */
	void (*unknown)(void *arg, u32 index, bool write);
};

struct msr_env {
	struct gcpu *cpu;
	struct msr_state *state;
	struct lapic *lapic;
	const struct cpuid_entry *cpuid;
	unsigned ncpuid;
	bool host; /* user space asks: what CPUID hides is there as well */
	const struct msr_ops *ops;
	void *arg;
};

/* INIT keeps all of it but pv_eoi. */
void msr_reset(struct msr_state *);

/* 0; 1: #GP, or for user space a register that is not there. */
int msr_get(const struct msr_env *, u32 index, u64 *);
int msr_set(const struct msr_env *, u32 index, u64);

enum msr_rights {
	MSR_R = 1 << 0,
	MSR_W = 1 << 1,
	MSR_RW = MSR_R | MSR_W,
	MSR_LISTED = 1 << 2, /* state: KVM_GET_MSR_INDEX_LIST */
	MSR_FEATURE = 1 << 3, /* KVM_GET_MSR_FEATURE_INDEX_LIST */
};

/* The indices that have this right, up to max of them; how many there are. */
unsigned msr_list(enum msr_rights, u32 *out, unsigned max);
/* "EFER"; NULL without a row. */
const char *msr_name(u32 index);
/* The values that feature MSRs begin with; false: not one. */
bool msr_feature(u32 index, u64 *);

#endif
