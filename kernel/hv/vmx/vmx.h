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
#include <linux/percpu.h>
#include <asm/desc_defs.h>
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

/* SPEC_CTRL */
struct vmx_spec {
	u64 guest, host;
};

/* What an entry has to see to beside the registers.  Each has a byte: the thread
 * may be preempted, and loaded elsewhere, while it sets one of them. */
union vmx_dirty {
	struct {
		bool flush, controls, root, pdptrs;
	};
	u32 any;
};

/* No value of the pending debug exceptions. */
#define VMX_PENDING_UNKNOWN ~0ULL

struct vmx_lists {
	struct vmx_msr_entry guest[VMX_MSRS] __aligned(16);
	struct vmx_msr_entry host[VMX_MSRS] __aligned(16);
};

struct vmx_vcpu {
	struct hv_vcpu hv; /* first */
	void *vmcs; /* the page */
	u64 vmcs_pa;
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
	union vmx_dirty dirty; /* controls: also the TSC's offset, guest_drs */
	bool guest_drs; /* gcpu's DR0-3 and DR6 are in force in the guest */
	bool debugger; /* and are not the guest's to see */
	bool nmi_window;
	bool shadow; /* no EPT */
	bool restricted; /* runs with PE and PG only */
	bool identity; /* the VMCS's CR3 is identity.c's */
	u32 blocking; /* STI or MOV SS, as the last exit said */
	u64 pending_dbg; /* exceptions that MOV SS holds back */
	/* As they should be; of MOV DR guest_drs and debugger say it. */
	u32 primary, secondary, exceptions;
	/* What the VMCS has, so that only what differs is written. */
	u32 in_primary, in_secondary, in_exceptions, in_blocking;
	u64 in_tsc_offset, in_rsp, in_rip, in_rflags, in_pending;
	u64 in_cr3, in_cr4, in_fs_base, in_rsp_host; /* the host's */
	unsigned always; /* groups of gcpu that an exit leaves valid */
	u64 pdptr[4];
	struct vmx_spec spec;
	u32 host_pkru; /* of the thread that it is loaded for */
	/* Of that thread and CPU, as they were before. */
	union {
		struct {
			u16 ds, es, fs, gs;
		};
		u64 any_sel;
	};
	u16 ldt;
	struct desc_ptr gdt, idt;
	u64 fs_base, debugctl;
};

static inline struct vmx_vcpu *
to_vmx(struct hv_vcpu *hv)
{
	return (struct vmx_vcpu *)hv;
}

/* A bit of its controls. */
static inline void
vmx_control(struct vmx_vcpu *v, u32 *word, u32 bit, bool on)
{
	u32 now = on ? *word | bit : *word & ~bit;

	if (now == *word)
		return;
	*word = now;
	v->dirty.controls = true;
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
DECLARE_PER_CPU(struct vmx_host, vmx_hosts);
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

/* exit.c */
enum hv_exit vmx_decode_exit(struct vmx_vcpu *, u32 reason);

/* switch.S */
/* 0, or 1 when the instruction failed; spec: NULL when not to be switched;
 * rsp: what the VMCS has of the host's. */
int vmx_switch(u64 *gpr, bool launched, const struct vmx_spec *spec, u64 *rsp);
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
	/* clang-format off */
	asm goto("vmwrite %[val], %[field]\n\t"
		 "jbe %l[failed]"
		 :
		 : [field] "r"(field), [val] "r"((unsigned long)val)
		 : "cc"
		 : failed);
	/* clang-format on */
	return;
failed:
	pr_warn_once("vmm: VMWRITE of field %lx failed\n", field);
}

/* What the VMCS has is kept beside it: only what differs is written. */
static inline void
vmx_put32(unsigned long field, u32 want, u32 *in)
{
	if (*in != want)
		vmx_write(field, *in = want);
}

static inline void
vmx_put64(unsigned long field, u64 want, u64 *in)
{
	if (*in != want)
		vmx_write(field, *in = want);
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
