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

/*
 * The part all vCPUs share, to be freed by the caller; NULL with errno.
 * base: enum vm_cpu; when the host lacks one of its features (ENOTSUP),
 * *missing is its name.
 */
struct kvm_cpuid2 *cpuid_build(const struct kvm_cpuid2 *supported,
    unsigned ncpus, bool tsc_deadline, uint32_t base, const char **missing);
/* Turns it into that of vCPU cpu; may be called again for the next one. */
void cpuid_for(struct kvm_cpuid2 *, unsigned cpu);

/* This processor's own answer; false when there is no such leaf. */
struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};
bool cpuid_host(uint32_t leaf, struct cpuid_regs *);

#endif
