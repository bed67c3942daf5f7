/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef HV_HV_H
#define HV_HV_H

/*
 * What a vendor backend offers.  A backend holds vendor facts only:
 * architecture legality (CR, EFER, segment and MSR rules), emulation, event
 * choice and interrupt state are core's.  A backend keeps what belongs to
 * one guest CPU in its own structure that begins with struct hv_vcpu.
 *
 * enter() is called with preemption and interrupts off and returns the same
 * way; what it returns is one decoded exit that both vendors can express.
 */
#include "../core/emul.h"
#include "../core/event.h"
#include "../core/npt.h"

enum hv_exit {
	HV_INTR, /* a host interrupt or NMI: enable interrupts */
	HV_NPF, /* gpa, error */
	HV_EXCEPTION, /* vector, error: intercepted #PF #UD #DB #BP #MC #AC */
	HV_CPUID,
	HV_RDMSR,
	HV_WRMSR,
	HV_HLT,
	HV_IO, /* io.* */
	HV_HYPERCALL,
	HV_WINDOW_INTR, /* the guest can take an interrupt now */
	HV_WINDOW_NMI, /* at the IRET of an NMI handler; caps: after it */
	HV_CR, /* cr.* */
	HV_DR,
	HV_XSETBV,
	HV_WBINVD, /* INVD too: nothing to do under coherent memory */
	HV_PAUSE,
	HV_RDPMC,
	HV_INVLPG, /* shadow paging only */
	HV_TASK, /* task.*; has_error is of cut */
	HV_UD, /* an instruction that the guest does not have */
	HV_EMULATE, /* not entered: the hardware cannot run this state */
	HV_SHUTDOWN, /* triple fault */
	HV_FAILED, /* entry refused: hw_reason */
};
#define HV_EXITS (HV_FAILED + 1)

/* The decoded exit; members not named by the exit are undefined. */
struct hv_info {
	u64 next_rip; /* 0 when the hardware did not say */
	u64 gpa; /* HV_NPF */
	u64 error; /* HV_NPF, HV_EXCEPTION: #PF error code and beyond */
	bool table; /* HV_NPF: met by the walk of the guest's own tables */
	u64 cr2; /* HV_EXCEPTION #PF */
	u64 linear; /* HV_INVLPG, with next_rip alone */
	u8 vector;
	struct {
		u16 port;
		u8 size;
		bool in, string, rep;
	} io;
	struct {
		u8 n, reg;
		bool write, decoded; /* else nothing of it is known */
	} cr;
	u8 insn[15], insn_len; /* 0: fetch from memory */
	struct {
		u8 n, reg;
		bool write, decoded;
	} dr;
	struct {
		u16 sel;
		enum task_why why;
		u8 len; /* of the instruction; 0: of none */
		bool decoded; /* else nothing of it is known */
	} task;
	u64 hw_reason;
};

/* What the hardware can do beside what every backend needs. */
struct hv_caps {
	bool no_nested; /* paging: shadow tables only */
	bool tsc_scaling;
	u64 tsc_ratio_end; /* ratios, of 32 fraction bits, are below */
	bool spec_ctrl; /* SPEC_CTRL can be the guest's own */
	bool virt_ssbd; /* VIRT_SPEC_CTRL can */
	bool rdtscp; /* TSC_AUX is switched */
	bool nmi_window; /* HV_WINDOW_NMI comes after the IRET */
	const struct npt_format *npt; /* of nested tables */
	int npt_levels; /* 0: as many as the host's own */
	/* A page that nested tables have read-only at own_gpa, where no slot
	 * can be; 0: none. */
	u64 own_gpa;
	struct hpa own;
};

struct hv_vcpu {
	struct gcpu cpu;
	struct hv_info info;
	struct event inject; /* type EVENT_NONE after a successful entry */
	struct event cut; /* delivery was intercepted, by the last exit */
	u64 tsc_offset, tsc_ratio; /* of 32 fraction bits */
	u64 spec_ctrl; /* MSR of the guest */
	u64 virt_spec_ctrl; /* MSR of the guest; effective at the next entry */
	u32 tsc_aux; /* MSR of the guest */
	bool irq_window; /* the next entry asks for HV_WINDOW_INTR */
	bool intr_shadow; /* STI or MOV SS blocks interrupts */
};

struct hv_ops {
	const char *name; /* "SVM" */
	const struct hv_caps *caps; /* filled by probe */
	/* 0, or -ENODEV / -EBUSY with a sentence that says why. */
	int (*probe)(const char **why);
	int (*global_init)(void);
	void (*global_exit)(void);
	/* On this CPU, preemption off. */
	int (*cpu_enable)(void);
	void (*cpu_disable)(void);

	/* npt_root 0: it has shadow tables. */
	struct hv_vcpu *(*vcpu_new)(struct hpa npt_root);
	void (*vcpu_free)(struct hv_vcpu *);
	void (*vcpu_reset)(struct hv_vcpu *, bool init);
	/* The vCPU comes to or leaves this CPU; preemption off. */
	void (*load)(struct hv_vcpu *);
	void (*put)(struct hv_vcpu *);
	enum hv_exit (*enter)(struct hv_vcpu *);

	/* Effective at the next entry. */
	/* Of shadow tables. */
	void (*set_root)(struct hv_vcpu *, struct hpa);
	void (*flush_tlb)(struct hv_vcpu *);
	void (*window)(struct hv_vcpu *, bool intr, bool nmi);
	/* watch: the guest exits when it writes CR8. */
	void (*tpr)(struct hv_vcpu *, u8 cr8, bool watch);
	void (*intercept_exceptions)(struct hv_vcpu *, u32 mask);
	void (*tsc)(struct hv_vcpu *, u64 offset, u64 ratio);
	void (*tsc_aux)(struct hv_vcpu *, u32);
	/* Those that the guest does not have are HV_UD, or #UD without an exit. */
	void (*allow)(struct hv_vcpu *, bool rdtscp, bool invpcid);
	void (*spec_ctrl)(struct hv_vcpu *, u64);
	/* gcpu's DR0-3 are in force at each entry; every access exits. */
	void (*debugger)(struct hv_vcpu *, bool on);
	/* NULL, or the CPU reads PAE's first level only when it loads CR3:
	 * called where gcpu's control registers were changed. */
	void (*pdptrs)(struct hv_vcpu *, const u64 pdptr[4]);
};

extern const struct hv_ops svm_ops, vmx_ops;

#endif
