/* SPDX-License-Identifier: ISC */
#ifndef VMD_VCPU_H
#define VMD_VCPU_H

/*
 * One thread per vCPU.  All threads are made parked, so that the seal covers
 * them, and run from vcpu_go() until vcpu_park(), vcpu_stop() or the guest's
 * end.
 */
#include "load.h"
#include "msg.h"
#include "vmm.h"

struct machine;
struct vcpus;

struct vcpu_ops {
	/* The guest's end, from a vCPU thread; every vCPU stops by itself. */
	void (*ended)(void *arg, enum vm_end, const char *detail);
};

/* CPUID and MSRs of every vCPU; cpu: enum vm_cpu.  Before the seal.  0 or
 * -errno; -ENOTSUP with the feature that the host lacks, or NULL. */
int vcpu_set_up(struct vmm *, uint32_t cpu, const char **missing);
/* The boot processor's registers.  0 or -errno. */
int vcpu_boot(struct vmm *, const struct gmem *, const struct load_out *);

int vcpu_create(struct vcpus **, struct vmm *, struct machine *,
    const struct vcpu_ops *, void *arg);
void vcpu_go(struct vcpus *);
/*
 * Main thread: no vCPU is in the guest, or serves an exit, when this returns.
 * Those that wait for an interrupt or their start are parked as well.
 */
void vcpu_park(struct vcpus *);
/*
 * Any thread, counted: vCPUs that leave the guest serve their exit and do not
 * go back before it is undone.  Those in the guest stay there.
 */
void vcpu_hold(struct vcpus *, bool on);
/*
 * Parked: the end of what a vCPU had asked the machine for reaches its
 * registers ("The kvm_run structure": the operation is complete when the vCPU
 * is entered again).  Main thread.
 */
void vcpu_settle(struct vcpus *);
/* Any thread: makes the vCPU look at the machine again before it goes on. */
void vcpu_kick(struct vcpus *, unsigned cpu);
/* Any thread: no vCPU enters the guest any more once its exit is served. */
void vcpu_quit(struct vcpus *);
/* All threads have ended when this returns; parked ones too. */
void vcpu_stop(struct vcpus *);
void vcpu_free(struct vcpus *);

#endif
