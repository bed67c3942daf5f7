/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef HV_VMX_VMX_H
#define HV_VMX_VMX_H

/*
 * What the files of the VMX backend share.  Field numbers, control bits and
 * exit reasons are those of Linux's asm/vmx.h (SDM vol. 3 "Field Encoding in
 * VMCS", "VMX Basic Exit Reasons").  Locks: a vCPU belongs to the thread that
 * holds its mutex; struct vmx_host to its CPU, with preemption off.
 *
 * A VMCS is active only while its vCPU is loaded: vmx_put() clears it.  So it
 * is in memory, complete, when the vCPU comes to another CPU, when a CPU goes
 * and when the host sleeps.
 */
#include <asm/vmx.h>
#include "../hv.h"

/* MSRs that VMX has no field for: switched by the lists of the VMCS. */
enum vmx_msr {
	VMX_STAR,
	VMX_LSTAR,
	VMX_CSTAR,
	VMX_SFMASK,
	VMX_KERNEL_GS,
	VMX_LAST, /* TSC_AUX, or EFER where it has no field, or neither */
	VMX_MSRS,
};

struct vmx_lists {
	struct vmx_msr_entry guest[VMX_MSRS] __aligned(16);
	struct vmx_msr_entry host[VMX_MSRS] __aligned(16);
};

struct vmx_vcpu {
	struct hv_vcpu hv; /* first */
	void *vmcs; /* the page */
	u8 *vapic; /* virtual-APIC page, for the TPR */
	struct vmx_lists *lists; /* a page */
	u64 eptp;
	u64 root; /* of shadow tables: the CPU's CR3 */
	u64 id; /* (c) never used again, unlike its address */
	int vpid; /* (c) 0: none was left */
	int last_cpu; /* whose TLB has nothing of before */
	bool written; /* what never changes is in the VMCS */
	bool launched;
	bool loaded;
	bool flush; /* before the next entry */
	bool guest_drs; /* gcpu's DR0-3 and DR6 are in force in the guest */
	bool debugger; /* and are not the guest's to see */
	bool nmi_window;
	bool shadow; /* no EPT */
	bool restricted; /* runs with PE and PG only */
	u32 blocking; /* STI or MOV SS, as the last exit said */
	u64 pending_dbg; /* exceptions that MOV SS holds back */
	u32 primary, secondary, exceptions; /* as they should be */
	u32 in_primary, in_secondary, in_exceptions; /* in the VMCS */
	u64 in_tsc_offset, in_cr3, in_cr4; /* cr3, cr4: the host's */
	bool root_dirty, pdptrs_dirty;
	u64 pdptr[4];
	u32 host_pkru; /* of the thread that it is loaded for */
	/* Of that thread and CPU, as they were before. */
	u16 ds, es, fs, gs, ldt, idt_limit;
	u64 fs_base, debugctl;
};

static inline struct vmx_vcpu *
to_vmx(struct hv_vcpu *hv)
{
	return (struct vmx_vcpu *)hv;
}

/* One per CPU. */
struct vmx_host {
	u32 *vmxon; /* page of VMXON */
	struct vmx_vcpu *loaded; /* whose VMCS is current */
	u64 last; /* for IBPB: id of the guest that ran here last */
	bool enabled;
};

/* What the hardware has; constant after probe. */
struct vmx_features {
	u32 revision;
	u32 pin, primary, secondary, exit, entry; /* for every VMCS */
	u64 cr0_fixed0, cr4_fixed0;
	u32 last_msr; /* VMX_LAST's index; 0: the lists end before */
	bool true_controls, ept, unrestricted;
	bool efer, pat; /* have fields */
	bool vpid, rdtscp, ple, invept_single;
	bool spec_ctrl, pku, l1tf;
	u64 host_xcr0, host_xss; /* 0: without XSAVE, XSAVES */
};
extern struct vmx_features vmx_features;
extern struct hv_caps vmx_caps;
extern u64 vmx_msr_bitmap_pa;

/* host.c */
int vmx_probe(const char **why);
int vmx_global_init(void);
void vmx_global_exit(void);
int vmx_cpu_enable(void);
void vmx_cpu_disable(void);
struct vmx_host *vmx_this_host(void);
void vmx_invept(u64 eptp);

/* vcpu.c */
struct hv_vcpu *vmx_vcpu_new(struct hpa npt_root);
void vmx_vcpu_free(struct hv_vcpu *);
void vmx_vcpu_reset(struct hv_vcpu *, bool init);
void vmx_write_all(struct vmx_vcpu *); /* what never changes */
void vmx_exceptions(struct vmx_vcpu *, u32 mask); /* and ours */
/* Of a restricted guest: else it is emulated. */
bool vmx_enterable(struct gcpu *);
void vmx_sync(struct vmx_vcpu *); /* struct gcpu to VMCS before an entry */

/* enter.c */
void vmx_load(struct hv_vcpu *);
void vmx_put(struct hv_vcpu *);
enum hv_exit vmx_enter(struct hv_vcpu *);

/* identity.c */
int vmx_identity_init(void);
void vmx_identity_exit(void);
void vmx_identity_pdptrs(u64 pdptr[4]);

/* exit.c */
enum hv_exit vmx_decode_exit(struct vmx_vcpu *, u32 reason);

/* switch.S */
struct vmx_spec {
	u64 guest, host; /* values of SPEC_CTRL */
};
/* 0, or 1 when the instruction failed; spec: NULL when not to be switched. */
int vmx_switch(u64 *gpr, bool launched, const struct vmx_spec *spec);
extern const char vmx_exit_to[];

/* SDM vol. 3 "VMX Instruction Reference".  A field that is not there is a
 * mistake of ours. */
static inline u64
vmx_read(unsigned long field)
{
	unsigned long val;

	asm volatile("vmread %1, %0" : "=r"(val) : "r"(field) : "cc");
	return val;
}

static inline void
vmx_write(unsigned long field, u64 val)
{
	bool failed;

	asm volatile("vmwrite %2, %1; setbe %0"
		     : "=q"(failed)
		     : "r"(field), "r"((unsigned long)val)
		     : "cc");
	if (failed)
		pr_warn_once("vmm: VMWRITE of field %lx failed\n", field);
}

static inline bool
vmx_ptr_load(u64 pa)
{
	bool failed;

	asm volatile("vmptrld %1; setbe %0"
		     : "=q"(failed)
		     : "m"(pa)
		     : "cc", "memory");
	return !failed;
}

static inline void
vmx_clear(u64 pa)
{
	asm volatile("vmclear %0" ::"m"(pa) : "cc", "memory");
}

#endif
