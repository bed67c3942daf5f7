/* SPDX-License-Identifier: ISC */
#ifndef VMD_VMM_H
#define VMD_VMM_H

/*
 * The hypervisor: KVM ioctls on /dev/vmm or /dev/kvm.  vmm.c is the only
 * file that calls them.  All functions return 0 or -errno unless said.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gmem.h"
#include "sandbox.h"
#include "vmconf.h"

#define VMM_GSI_PINS   24 /* IOAPIC pins come first in the GSI table */
#define VMM_GSI_MAX    256 /* MSI-X vectors follow */
#define VMM_SLOTS      32 /* of memory */
#define VMM_SLOT_GENID (VMM_SLOTS - 1) /* genid.c */

struct vmm; /* one VM */
struct vcpu;

/* Takes devfd (closed once the VM exists).  *why: static text on failure. */
int vmm_create(struct vmm **, int devfd, unsigned ncpus, const char **why);
int vmm_set_memory(struct vmm *, const struct gmem *);
/* From here on the pages that the guest writes are remembered, or not.  The
 * memory stays. */
int vmm_log(struct vmm *, const struct gmem *, bool on);
/* Adds those since the last time, a bit each, in the order of gmem.h's file. */
int vmm_logged(struct vmm *, uint64_t *bits);
/*
 * Instead, for memory that changes while the guest runs: len bytes of host,
 * which stays mapped, at an address; len 0 takes the slot away.
 */
int vmm_set_slot(struct vmm *, unsigned slot, struct gpa, uint64_t len,
    void *host, bool readonly);
void vmm_destroy(struct vmm *);

/*
 * A write of any size to port or address addr signals fd instead of leaving
 * the guest with an exit.  datamatch < 0: any value.
 */
int vmm_ioeventfd(struct vmm *, int fd, uint64_t addr, unsigned len, bool pio,
    int64_t datamatch, bool assign);
/* Signalling fd raises the MSI that gsi is routed to. */
int vmm_irqfd(struct vmm *, int fd, unsigned gsi, bool assign);
/*
 * The GSI table.  An entry is an MSI (address, data); pins of the IOAPIC are
 * routed too so that the driver reports their EOI.  Changes take effect at
 * vmm_route_commit().
 */
void vmm_route_set(struct vmm *, unsigned gsi, uint64_t addr, uint32_t data);
void vmm_route_clear(struct vmm *, unsigned gsi);
int vmm_route_commit(struct vmm *);
int vmm_signal_msi(struct vmm *, uint64_t addr, uint32_t data);
/*
 * While no vCPU runs: remember the guest's clocks, and let them go on from
 * there - kvm-clock, the TSCs, TSC deadlines.  A local APIC's other timers go
 * by the host's time: one that ran out meanwhile interrupts at once.
 */
int vmm_clock_stop(struct vmm *);
int vmm_clock_go(struct vmm *);

struct kvm_cpuid2;
struct kvm_regs;
struct kvm_run;
struct state;
struct kvm_sregs;

/* What the hypervisor says a vCPU can do; valid as long as the VM. */
const struct kvm_cpuid2 *vmm_cpuid(const struct vmm *);
bool vmm_tsc_deadline(const struct vmm *);
unsigned vmm_ncpus(const struct vmm *);

/*
 * One vCPU, by its number (which is its APIC id).  Its run page is shared
 * with the hypervisor; everything but vmm_vcpu_state() is for the thread that
 * runs the vCPU, or for any thread before it runs.
 */
struct vmm_msr {
	uint32_t index;
	uint64_t value;
};
struct kvm_run *vmm_vcpu_state(const struct vmm *, unsigned cpu);
int vmm_vcpu_set_cpuid(struct vmm *, unsigned cpu, const struct kvm_cpuid2 *);
/* Its machine-check registers: MCG_CAP. */
int vmm_vcpu_set_mce(struct vmm *, unsigned cpu, uint64_t cap);
int
vmm_vcpu_set_msrs(struct vmm *, unsigned cpu, const struct vmm_msr *, size_t n);
int vmm_vcpu_get_regs(struct vmm *, unsigned cpu, struct kvm_regs *);
int vmm_vcpu_set_regs(struct vmm *, unsigned cpu, const struct kvm_regs *);
int vmm_vcpu_get_sregs(struct vmm *, unsigned cpu, struct kvm_sregs *);
int vmm_vcpu_set_sregs(struct vmm *, unsigned cpu, const struct kvm_sregs *);
/* Until the next exit. -EINTR: kicked; -EAGAIN: still waits for a SIPI. */
int vmm_vcpu_run(struct vmm *, unsigned cpu);
/* Hand an ExtINT to a vCPU that is ready for one. */
int vmm_vcpu_interrupt(struct vmm *, unsigned cpu, uint8_t vector);

/*
 * All vCPUs and the clocks, a section each: after vmm_clock_stop(), and with
 * vmm_clock_go() to follow.  No vCPU runs.
 */
void vmm_state(struct vmm *, struct state *);

/* For the host probe: what the device says before any VM exists. */
struct vmm_info {
	int api; /* KVM_GET_API_VERSION */
	unsigned max_vcpus;
	const char *missing; /* a capability that we need, or NULL */
};
int vmm_query(int devfd, struct vmm_info *);

/* The ioctls that a sealed vm process needs; fills at most max rows and
 * returns the number.  vCPU descriptors sit at fixed aligned numbers. */
size_t vmm_seal_list(const struct vmm *, struct sandbox_ioctl *, size_t max);

#endif
