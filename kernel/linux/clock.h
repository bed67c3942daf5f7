/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_CLOCK_H
#define LINUX_CLOCK_H

#include "vcpu.h"

void clock_vm_init(struct vm *);
void clock_vcpu_init(struct vcpu *);
/* KVM_SET_CLOCK, KVM_GET_CLOCK, the VM's KVM_SET_TSC_KHZ and KVM_GET_TSC_KHZ;
 * -ENOTTY for others. */
long clock_vm_ioctl(struct vm *, unsigned cmd, unsigned long arg);
int clock_capability(void); /* KVM_CAP_ADJUST_CLOCK */

/* The guest's time stamp counter, when the host's is tsc. */
u64 clock_guest_tsc(const struct vcpu *, u64 tsc);
/* User space sets it: near to what another vCPU was set to is the same. */
void clock_sync_tsc(struct vcpu *, u64 val);
void clock_move_tsc(struct vcpu *, u64 by); /* the guest does */

/* kvm-clock's MSRs: 0, or 1 for #GP. */
int clock_write_system(struct vcpu *, u64 val);
int clock_write_wall(struct vcpu *, u64 val);

/* The vCPU comes to a CPU, in KVM_RUN; preemption is off. */
void clock_load(struct vcpu *, bool moved);
void clock_update(struct vcpu *); /* REQ_CLOCK; may sleep */

/* power.c: the host's counter began anew. */
void clock_resume(u64 tsc_before);

#endif
