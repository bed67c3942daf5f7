/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_CPUID_H
#define CORE_CPUID_H

/*
 * CPUID: what a guest may be given (KVM_GET_SUPPORTED_CPUID), what it is
 * given when it asks, and which facts of its CPU follow from that (AMD APM
 * vol. 3 "Obtaining Processor Information Via the CPUID Instruction", SDM
 * vol. 2 "CPUID", Linux "KVM CPUID bits").
 */
#include "cpu.h"

enum { LEAF_EAX, LEAF_EBX, LEAF_ECX, LEAF_EDX };

/* The layout of struct kvm_cpuid_entry2, so that tables need no conversion. */
struct cpuid_entry {
	u32 leaf, index;
	u32 flags; /* CPUID_INDEXED: index counts */
	u32 reg[4];
	u32 padding[3];
};
#define CPUID_INDEXED (1U << 0)
static_assert(sizeof(struct cpuid_entry) == 40, "KVM's layout");

#define CPUID_ENTRIES 256 /* more than cpuid_supported() ever makes */

/* What a feature needs of the driver beside the host's own bit. */
enum cpuid_cap {
	CPUID_TSC_AUX = 1 << 0, /* the MSR is switched */
	CPUID_SPEC_CTRL = 1 << 1, /* the MSR is the guest's */
	CPUID_VIRT_SSBD = 1 << 2, /* VIRT_SPEC_CTRL is served */
	CPUID_PRED_CMD = 1 << 3, /* IBPB */
	CPUID_PKU = 1 << 4, /* PKRU is switched */
	CPUID_MCE = 1 << 5, /* machine-check MSRs */
	CPUID_KVMCLOCK = 1 << 6,
	CPUID_STABLE = 1 << 7, /* the host's TSC is, across CPUs */
	CPUID_STEAL_TIME = 1 << 8,
	CPUID_LA57 = 1 << 9, /* 57-bit guests */
	CPUID_NESTED = 1 << 10, /* nested paging: its walks know of PCIDs */
};

struct cpuid_source {
	/* The host's leaf, without what the host's kernel has turned off; 0 in
	 * all registers where there is none. */
	void (*host)(void *arg, u32 leaf, u32 index, u32 reg[4]);
	void *arg;
	unsigned caps; /* enum cpuid_cap */
	u64 xcr0; /* components that host and driver can switch, 0: no XSAVE */
};

/* Rows of cpuid_table.c. */
struct cpuid_feature {
	const char *name;
	u32 leaf;
	u8 index, reg, bit;
	bool ours; /* offered whether the host has it or not */
	unsigned needs; /* enum cpuid_cap, and CPUID_YMM .. below */
};
#define CPUID_XSAVE (1U << 28)
#define CPUID_YMM   (1U << 29)
#define CPUID_ZMM   (1U << 30)
extern const struct cpuid_feature cpuid_features[];
extern const unsigned cpuid_nfeatures;

struct cpuid_leaf {
	u32 leaf, index;
	enum {
		LEAF_ONE, /* one answer, whatever ECX */
		LEAF_INDEXED, /* this index alone */
		LEAF_CACHES, /* indices from 0 on until a type of 0 */
		LEAF_XSAVE, /* made from the components */
	} kind;
	u32 keep[4]; /* fields of the host's that are no features */
	u32 set[4]; /* fields of ours */
};
extern const struct cpuid_leaf cpuid_leaves[];
extern const unsigned cpuid_nleaves;

/* How many entries, at most max, or -E2BIG. */
int cpuid_supported(
    const struct cpuid_source *, struct cpuid_entry *, unsigned max);

/* A guest's table: NULL when it has no such leaf. */
const struct cpuid_entry *
cpuid_find(const struct cpuid_entry *, unsigned n, u32 leaf, u32 index);
bool cpuid_has(const struct cpuid_entry *, unsigned n, u32 leaf, u32 index,
    unsigned reg, unsigned bit);

/*
 * The instruction, upon RAX to RDX of gpr[].  OSXSAVE, OSPKE and the size of the
 * XSAVE area follow the state of the CPU.
 */
void
cpuid_answer(const struct cpuid_entry *, unsigned n, struct gcpu *, u64 *gpr);

/* Bytes of a standard-format XSAVE area for these components. */
u32 cpuid_xsave_size(const struct cpuid_entry *, unsigned n, u64 xcr0);

/* The bits of CR4 that belong to what is offered. */
u64 cpuid_cr4(const struct cpuid_source *);

/*
 * The facts of struct gcpu that the table decides: maxphyaddr and the valid
 * bits of CR4, EFER and XCR0.  cr4, xcr0: what can be had at all, as user
 * space may put into a table what it likes.
 */
void cpuid_derive(
    const struct cpuid_entry *, unsigned n, u64 cr4, u64 xcr0, struct gcpu *);

#endif
