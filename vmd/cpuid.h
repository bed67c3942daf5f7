/* SPDX-License-Identifier: ISC */
#ifndef VMD_CPUID_H
#define VMD_CPUID_H

/*
 * What the guest's CPUID instruction answers: the hypervisor's supported
 * leaves, cut down by the policy table, with identity, topology and the
 * hypervisor leaves filled in.  One package, one thread per core, APIC id =
 * vCPU number.
 */
#include <stdbool.h>
#include <stdint.h>
#include <linux/kvm.h>

#define CPUID_ENTRIES 128

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entry[CPUID_ENTRIES];
};

/* The part all vCPUs share.  0, or -E2BIG. */
int cpuid_build(struct cpuid *, const struct kvm_cpuid2 *supported,
    unsigned ncpus, bool tsc_deadline);
/* Turns it into that of vCPU cpu; may be called again for the next one. */
void cpuid_for(struct cpuid *, unsigned cpu);

#endif
