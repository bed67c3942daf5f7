/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_STATS_H
#define LINUX_STATS_H

/*
 * KVM_GET_STATS_FD: a file with what was counted of a VM or a vCPU.  It keeps
 * the VM, as a vCPU's file does.  A descriptor, or -errno.
 */
#include "vcpu.h"

long stats_vm(struct vm *);
long stats_vcpu(struct vcpu *, unsigned long);

#endif
