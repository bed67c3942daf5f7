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
	u64 id; /* (c) never used again, unlike its address */
	int last_cpu; /* where the CPU may cache the VMCB */
	bool shadow; /* no nested paging: CR3 is of set_root() */
	bool loaded;
	bool guest_drs; /* gcpu's DR0-3 are in force in the guest */
	bool debugger; /* and are not the guest's to see */
	bool msr_aux; /* TSC_AUX is not the host's now */
	u8 soft_len; /* RIP was moved over the software event injected */
	u32 cache_off; /* CR0.CD and NW, before the first entry */
	u32 host_pkru; /* of the thread that it is loaded for */
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
	u64 last; /* for IBPB: id of the guest that ran here last */
	u64 tsc_ratio, tsc_aux; /* in the MSRs; in the host's */
	bool enabled;
};

/* What the hardware has; constant after probe. */
struct svm_features {
	u32 asids;
	bool npt, nrips, decode, flush_asid, clean, pause_filter, pause_thresh;
	bool tsc_ratio, virt_spec_ctrl, spec_ctrl, virt_ssbd, tsc_aux, pku;
	u64 host_xcr0, host_xss; /* 0: without XSAVE, XSAVES */
};
extern struct svm_features svm_features;
extern struct hv_caps svm_caps;
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
struct hv_vcpu *svm_vcpu_new(struct hpa npt_root);
void svm_vcpu_free(struct hv_vcpu *);
void svm_vcpu_reset(struct hv_vcpu *, bool init);
void svm_sync(struct svm_vcpu *); /* struct gcpu to VMCB before an entry */

/* enter.c */
void svm_load(struct hv_vcpu *);
void svm_put(struct hv_vcpu *);
void svm_put_tsc_aux(struct svm_vcpu *, struct svm_host *);
void svm_load_tsc_aux(struct svm_vcpu *, struct svm_host *);
enum hv_exit svm_enter(struct hv_vcpu *);

/* exit.c */
enum hv_exit svm_decode_exit(struct svm_vcpu *);

/* switch.S */
struct svm_spec {
	u64 guest, host; /* values of SPEC_CTRL */
};
/* spec: NULL when the MSR need not be switched. */
void
svm_switch(u64 *gpr, u64 vmcb_pa, u64 host_pa, const struct svm_spec *spec);

static inline void
svm_changed(struct svm_vcpu *v, u32 clean_bits)
{
	/* One instruction: a preemption amid it may clear all of them. */
	asm("andl %1, %0" : "+m"(v->vmcb->c.clean) : "er"(~clean_bits));
}

#endif
