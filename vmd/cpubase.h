/* SPDX-License-Identifier: ISC */
#ifndef VMD_CPUBASE_H
#define VMD_CPUBASE_H

/*
 * Named baselines of processors, `cpu' in vm.conf: a guest sees no more
 * instructions than the name says, so it finds the same on another host.
 */
#include <stdint.h>
#include <linux/kvm.h>

/* cpu: enum vm_cpu.  0, or -ENOTSUP with what the host lacks. */
int cpubase_apply(struct kvm_cpuid2 *, uint32_t cpu, const char **missing);

#endif
