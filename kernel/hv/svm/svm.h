/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef HV_SVM_SVM_H
#define HV_SVM_SVM_H

/*
 * What the files of the SVM backend share.  Locks: a vCPU belongs to the
 * thread that holds its mutex; struct svm_host to its CPU, with preemption
 * off or from a cpuhp callback.
 */
#include "../hv.h"
#include "vmcb.h"

struct svm_vcpu {
	struct hv_vcpu hv; /* first */
	struct vmcb *vmcb;
	u64 vmcb_pa;
	u64 asid_gen; /* 0: needs a new ASID */
	u32 id;
	int last_cpu; /* where the CPU may cache the VMCB */
	bool loaded;
	bool guest_drs; /* DR0-3 of the guest are in the registers */
};

static inline struct svm_vcpu *
to_svm(struct hv_vcpu *hv)
{
	return (struct svm_vcpu *)hv;
}

/* One per CPU. */
struct svm_host {
	void *hsave; /* page of VM_HSAVE_PA */
	void *state; /* page for VMSAVE and VMLOAD of the host */
	u64 hsave_pa, state_pa;
	u64 asid_gen;
	u32 asid_next;
	struct svm_vcpu *last; /* for IBPB: the guest that ran here last */
	bool enabled;
};

/* What the hardware has; constant after probe. */
struct svm_features {
	u32 asids;
	bool nrips, decode, flush_asid, clean, pause_filter;
};
extern struct svm_features svm_features;
extern u64 svm_iopm_pa, svm_msrpm_pa;

/* host.c */
int svm_probe(const char **why);
int svm_global_init(void);
void svm_global_exit(void);
int svm_cpu_enable(void);
void svm_cpu_disable(void);
struct svm_host *svm_this_host(void);
void svm_new_asid(struct svm_vcpu *, struct svm_host *);

/* vcpu.c */
struct hv_vcpu *svm_vcpu_new(struct hpa npt_root, u32 id);
void svm_vcpu_free(struct hv_vcpu *);
void svm_vcpu_reset(struct hv_vcpu *, bool init);
void svm_sync(struct svm_vcpu *); /* struct gcpu to VMCB before an entry */

/* enter.c */
void svm_load(struct hv_vcpu *);
void svm_put(struct hv_vcpu *);
enum hv_exit svm_enter(struct hv_vcpu *);

/* exit.c */
enum hv_exit svm_decode_exit(struct svm_vcpu *);

/* switch.S */
void svm_switch(u64 *gpr, u64 vmcb_pa, u64 host_pa);

static inline void
svm_changed(struct svm_vcpu *v, u32 clean_bits)
{
	v->vmcb->c.clean &= ~clean_bits;
}

#endif
