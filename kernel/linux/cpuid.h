/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_CPUID_H
#define LINUX_CPUID_H

#include <linux/kvm.h>
#include "../core/cpuid.h"

/* KVM_GET_SUPPORTED_CPUID; returns how many entries, at most max, or -E2BIG */
int cpuid_offer(struct kvm_cpuid_entry2 *, unsigned max);

/* What guests may have of CR4, and of XCR0 (0: no XSAVE). */
u64 cpuid_host_cr4(void);
u64 cpuid_host_xcr0(void);

#endif
