/* SPDX-License-Identifier: ISC */
#ifndef VMD_VMM_IMPL_H
#define VMD_VMM_IMPL_H

/* Shared by vmm.c, vmm_log.c and vmm_state.c. */
#include <linux/kvm.h>
#include <pthread.h>
#include "vmm.h"

#define MSRS_MAX	 16
#define MSR_LIST_MAX	 512
#define VMM_FEATURES	 8
#define MSR_TSC		 0x10
#define MSR_TSC_DEADLINE 0x6e0
/* AMD64 APM volume 2, "Hardware Configuration Register (HWCR)" */
#define MSR_HWCR     0xc0010015
#define TSC_FREQ_SEL (1ULL << 24)

struct vmm {
	int fd;
	unsigned ncpus;
	int vcpu_base; /* invariant 1 */
	unsigned vcpu_span; /* a power of two >= ncpus */
	size_t run_len;
	struct kvm_run *run[VM_CPUS_MAX];
	struct kvm_cpuid2 *cpuid;
	bool tsc_deadline;
	bool dirty;
	uint32_t msr[MSR_LIST_MAX]; /* the state that is in MSRs */
	unsigned nmsrs;
	uint32_t feature[VMM_FEATURES]; /* of the guest's CPUID */
	bool stopped; /* vmm_clock_stop() filled these two */
	struct kvm_clock_data clock;
	struct {
		uint64_t tsc, deadline;
	} time[VM_CPUS_MAX];
	struct vmm_gsi {
		bool used;
		uint32_t data;
		uint64_t addr;
	} gsi[VMM_GSI_MAX]; /* (m) */
	pthread_mutex_t slots; /* (l) */
	struct vmm_slot {
		uint64_t gpa, len; /* len 0: none */
		uint8_t *host;
		bool readonly, logged;
	} slot[VMM_SLOTS]; /* (l) */
	const struct gmem *logging; /* (l) NULL: nothing is logged */
	uint64_t *log; /* (l) room for that of a slot */
};

union msrs {
	struct kvm_msrs head;
	uint8_t room[sizeof(struct kvm_msrs) +
	    MSRS_MAX * sizeof(struct kvm_msr_entry)];
};

int vmm_call(int fd, unsigned long request, const void *arg);
int
vmm_msrs_call(struct vmm *, unsigned cpu, unsigned long request, union msrs *);
/* What the guest sees of the features that a saved one may need. */
void vmm_remember_cpuid(struct vmm *, const struct kvm_cpuid2 *);
int vmm_list_msrs(struct vmm *, int devfd);

#endif
