/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_CPUID_H
#define LINUX_CPUID_H

#include <linux/kvm.h>

#define CPUID_ENTRIES 256

/* KVM_GET_SUPPORTED_CPUID; returns how many entries, at most max, or -E2BIG */
int cpuid_supported(struct kvm_cpuid_entry2 *, unsigned max);

const struct kvm_cpuid_entry2 *
cpuid_find(const struct kvm_cpuid_entry2 *, unsigned n, u32 leaf, u32 index);

#endif
