/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef HV_SVM_VMCB_H
#define HV_SVM_VMCB_H

/*
 * The virtual machine control block: AMD APM vol. 2, Appendix B "Layout of
 * VMCB".  Two areas in one page; offsets are asserted below each.
 */
#include "../../core/types.h"

/* Intercept words, "VMCB Layout, Control Area". */
enum vmcb_intercept {
	VMCB_CR, /* reads 0-15, writes 16-31 */
	VMCB_DR,
	VMCB_EXCEPTION,
	VMCB_MISC1,
	VMCB_MISC2,
	VMCB_MISC3,
	VMCB_INTERCEPTS,
};

/* VMCB_MISC1 */
#define VMCB_I_INTR	CORE_BIT(0)
#define VMCB_I_NMI	CORE_BIT(1)
#define VMCB_I_SMI	CORE_BIT(2)
#define VMCB_I_INIT	CORE_BIT(3)
#define VMCB_I_VINTR	CORE_BIT(4)
#define VMCB_I_CR0_SEL	CORE_BIT(5)
#define VMCB_I_IDTR_RD	CORE_BIT(6)
#define VMCB_I_GDTR_RD	CORE_BIT(7)
#define VMCB_I_LDTR_RD	CORE_BIT(8)
#define VMCB_I_TR_RD	CORE_BIT(9)
#define VMCB_I_IDTR_WR	CORE_BIT(10)
#define VMCB_I_GDTR_WR	CORE_BIT(11)
#define VMCB_I_LDTR_WR	CORE_BIT(12)
#define VMCB_I_TR_WR	CORE_BIT(13)
#define VMCB_I_RDTSC	CORE_BIT(14)
#define VMCB_I_RDPMC	CORE_BIT(15)
#define VMCB_I_PUSHF	CORE_BIT(16)
#define VMCB_I_POPF	CORE_BIT(17)
#define VMCB_I_CPUID	CORE_BIT(18)
#define VMCB_I_RSM	CORE_BIT(19)
#define VMCB_I_IRET	CORE_BIT(20)
#define VMCB_I_INTN	CORE_BIT(21)
#define VMCB_I_INVD	CORE_BIT(22)
#define VMCB_I_PAUSE	CORE_BIT(23)
#define VMCB_I_HLT	CORE_BIT(24)
#define VMCB_I_INVLPG	CORE_BIT(25)
#define VMCB_I_INVLPGA	CORE_BIT(26)
#define VMCB_I_IOIO	CORE_BIT(27)
#define VMCB_I_MSR	CORE_BIT(28)
#define VMCB_I_TASK	CORE_BIT(29)
#define VMCB_I_FERR	CORE_BIT(30)
#define VMCB_I_SHUTDOWN CORE_BIT(31)

/* VMCB_MISC2 */
#define VMCB_I_VMRUN   CORE_BIT(0)
#define VMCB_I_VMMCALL CORE_BIT(1)
#define VMCB_I_VMLOAD  CORE_BIT(2)
#define VMCB_I_VMSAVE  CORE_BIT(3)
#define VMCB_I_STGI    CORE_BIT(4)
#define VMCB_I_CLGI    CORE_BIT(5)
#define VMCB_I_SKINIT  CORE_BIT(6)
#define VMCB_I_RDTSCP  CORE_BIT(7)
#define VMCB_I_ICEBP   CORE_BIT(8)
#define VMCB_I_WBINVD  CORE_BIT(9)
#define VMCB_I_MONITOR CORE_BIT(10)
#define VMCB_I_MWAIT   CORE_BIT(11)
#define VMCB_I_MWAIT_C CORE_BIT(12)
#define VMCB_I_XSETBV  CORE_BIT(13)
#define VMCB_I_RDPRU   CORE_BIT(14)
#define VMCB_I_EFER_WR CORE_BIT(15)

/* VMCB_MISC3 */
#define VMCB_I_INVLPGB	 CORE_BIT(0)
#define VMCB_I_INVLPGB_I CORE_BIT(1)
#define VMCB_I_INVPCID	 CORE_BIT(2)
#define VMCB_I_MCOMMIT	 CORE_BIT(3)
#define VMCB_I_TLBSYNC	 CORE_BIT(4)

/* int_ctl at 0x60 */
#define VMCB_V_TPR	    0xffU
#define VMCB_V_IRQ	    CORE_BIT(8)
#define VMCB_V_GIF	    CORE_BIT(9)
#define VMCB_V_PRIO_SHIFT   16
#define VMCB_V_IGN_TPR	    CORE_BIT(20)
#define VMCB_V_INTR_MASKING CORE_BIT(24)

/* int_state at 0x68 */
#define VMCB_INT_SHADOW CORE_BIT(0)

/* event_inj and exit_int_info */
#define VMCB_EV_VECTOR	  0xffU
#define VMCB_EV_TYPE	  (7U << 8)
#define VMCB_EV_INTR	  (0U << 8)
#define VMCB_EV_NMI	  (2U << 8)
#define VMCB_EV_EXCEPTION (3U << 8)
#define VMCB_EV_SOFT	  (4U << 8)
#define VMCB_EV_ERROR	  CORE_BIT(11)
#define VMCB_EV_VALID	  CORE_BIT(31)

/* nested_ctl at 0x90 */
#define VMCB_NP_ENABLE CORE_BIT(0)

/* clean, "VMCB Clean Bits" */
#define VMCB_C_INTERCEPTS CORE_BIT(0)
#define VMCB_C_IOPM	  CORE_BIT(1)
#define VMCB_C_ASID	  CORE_BIT(2)
#define VMCB_C_TPR	  CORE_BIT(3)
#define VMCB_C_NP	  CORE_BIT(4)
#define VMCB_C_CRX	  CORE_BIT(5)
#define VMCB_C_DRX	  CORE_BIT(6)
#define VMCB_C_DT	  CORE_BIT(7)
#define VMCB_C_SEG	  CORE_BIT(8)
#define VMCB_C_CR2	  CORE_BIT(9)
#define VMCB_C_LBR	  CORE_BIT(10)
#define VMCB_C_ALL \
	0x7ffU /* those defined: the rest may come to mean something */

/* tlb_ctl, "TLB Control" */
#define VMCB_TLB_NONE 0
#define VMCB_TLB_ALL  1
#define VMCB_TLB_ASID 3

struct vmcb_control {
	u32 intercept[VMCB_INTERCEPTS]; /* 0x00 */
	u8 rsvd_18[0x24];
	u16 pause_thresh, pause_count; /* 0x3c */
	u64 iopm_pa, msrpm_pa, tsc_offset; /* 0x40 */
	u32 asid; /* 0x58 */
	u8 tlb_ctl, rsvd_5d[3];
	u32 int_ctl, int_vector; /* 0x60 */
	u64 int_state; /* 0x68 */
	u64 exit_code, exit_info1, exit_info2; /* 0x70 */
	u64 exit_int_info; /* 0x88 */
	u64 nested_ctl; /* 0x90 */
	u64 avic_bar, ghcb_pa; /* 0x98 */
	u64 event_inj; /* 0xa8 */
	u64 n_cr3; /* 0xb0 */
	u64 virt_ext; /* 0xb8 */
	u32 clean, rsvd_c4; /* 0xc0 */
	u64 next_rip; /* 0xc8 */
	u8 insn_len, insn[15]; /* 0xd0 */
	u64 avic_backing, rsvd_e8, avic_logical, avic_physical; /* 0xe0 */
	u8 rsvd_100[0x300];
};

struct vmcb_seg {
	u16 sel, attr;
	u32 limit;
	u64 base;
};

struct vmcb_save {
	struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr; /* 0x00 */
	u8 rsvd_a0[0x2b];
	u8 cpl; /* 0xcb */
	u32 rsvd_cc;
	u64 efer; /* 0xd0 */
	u8 rsvd_d8[0x70];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip; /* 0x148 */
	u8 rsvd_180[0x58];
	u64 rsp, s_cet, ssp, isst, rax; /* 0x1d8 */
	u64 star, lstar, cstar, sfmask, kernel_gs_base; /* 0x200 */
	u64 sysenter_cs, sysenter_esp, sysenter_eip, cr2; /* 0x228 */
	u8 rsvd_248[0x20];
	u64 pat, dbgctl, br_from, br_to, ex_from, ex_to; /* 0x268 */
	u8 rsvd_298[0x48];
	u64 spec_ctrl; /* 0x2e0 */
	u8 rsvd_2e8[0x918];
};

struct vmcb {
	struct vmcb_control c;
	struct vmcb_save s;
};

#define VMCB_AT(t, m, off) \
	_Static_assert(__builtin_offsetof(struct t, m) == (off), #t "." #m)

VMCB_AT(vmcb_control, pause_thresh, 0x3c);
VMCB_AT(vmcb_control, iopm_pa, 0x40);
VMCB_AT(vmcb_control, asid, 0x58);
VMCB_AT(vmcb_control, int_ctl, 0x60);
VMCB_AT(vmcb_control, exit_code, 0x70);
VMCB_AT(vmcb_control, exit_int_info, 0x88);
VMCB_AT(vmcb_control, event_inj, 0xa8);
VMCB_AT(vmcb_control, n_cr3, 0xb0);
VMCB_AT(vmcb_control, clean, 0xc0);
VMCB_AT(vmcb_control, next_rip, 0xc8);
VMCB_AT(vmcb_control, insn, 0xd1);
VMCB_AT(vmcb_control, avic_backing, 0xe0);
_Static_assert(sizeof(struct vmcb_control) == 0x400, "control area");
_Static_assert(sizeof(struct vmcb_seg) == 16, "segment");
VMCB_AT(vmcb_save, gdtr, 0x60);
VMCB_AT(vmcb_save, cpl, 0xcb);
VMCB_AT(vmcb_save, efer, 0xd0);
VMCB_AT(vmcb_save, cr4, 0x148);
VMCB_AT(vmcb_save, rip, 0x178);
VMCB_AT(vmcb_save, rsp, 0x1d8);
VMCB_AT(vmcb_save, rax, 0x1f8);
VMCB_AT(vmcb_save, cr2, 0x240);
VMCB_AT(vmcb_save, pat, 0x268);
VMCB_AT(vmcb_save, spec_ctrl, 0x2e0);
_Static_assert(sizeof(struct vmcb) == 0x1000, "one page");

/* Exit codes, APM vol. 2 Appendix C "SVM Intercept Exit Codes". */
enum vmcb_exit {
	VMEXIT_CR0_READ = 0x000, /* to CR15_READ 0x00f */
	VMEXIT_CR0_WRITE = 0x010,
	VMEXIT_DR0_READ = 0x020,
	VMEXIT_DR0_WRITE = 0x030,
	VMEXIT_EXCP0 = 0x040, /* to 0x05f */
	VMEXIT_INTR = 0x060,
	VMEXIT_NMI = 0x061,
	VMEXIT_SMI = 0x062,
	VMEXIT_INIT = 0x063,
	VMEXIT_VINTR = 0x064,
	VMEXIT_CR0_SEL_WRITE = 0x065,
	VMEXIT_RDPMC = 0x06f,
	VMEXIT_CPUID = 0x072,
	VMEXIT_RSM = 0x073,
	VMEXIT_IRET = 0x074,
	VMEXIT_INVD = 0x076,
	VMEXIT_PAUSE = 0x077,
	VMEXIT_HLT = 0x078,
	VMEXIT_INVLPG = 0x079,
	VMEXIT_INVLPGA = 0x07a,
	VMEXIT_IOIO = 0x07b,
	VMEXIT_MSR = 0x07c,
	VMEXIT_TASK_SWITCH = 0x07d,
	VMEXIT_FERR_FREEZE = 0x07e,
	VMEXIT_SHUTDOWN = 0x07f,
	VMEXIT_VMRUN = 0x080,
	VMEXIT_VMMCALL = 0x081,
	VMEXIT_VMLOAD = 0x082,
	VMEXIT_VMSAVE = 0x083,
	VMEXIT_STGI = 0x084,
	VMEXIT_CLGI = 0x085,
	VMEXIT_SKINIT = 0x086,
	VMEXIT_RDTSCP = 0x087,
	VMEXIT_ICEBP = 0x088,
	VMEXIT_WBINVD = 0x089,
	VMEXIT_MONITOR = 0x08a,
	VMEXIT_MWAIT = 0x08b,
	VMEXIT_XSETBV = 0x08d,
	VMEXIT_RDPRU = 0x08e,
	VMEXIT_INVPCID = 0x0a2,
	VMEXIT_NPF = 0x400,
};
#define VMEXIT_INVALID (~0ULL)

/* exit_info1 of VMEXIT_IOIO, "IOIO Intercept Information" */
#define VMCB_IO_IN	   CORE_BIT(0)
#define VMCB_IO_STR	   CORE_BIT(2)
#define VMCB_IO_REP	   CORE_BIT(3)
#define VMCB_IO_SIZE	   0x70U /* SZ8, SZ16, SZ32 at 4..6 */
#define VMCB_IO_SIZE_SHIFT 4
#define VMCB_IO_PORT_SHIFT 16

/* exit_info1 of VMEXIT_NPF beyond the page-fault error code */
#define VMCB_NPF_FINAL CORE_BIT(32) /* on the final translation */
#define VMCB_NPF_TABLE CORE_BIT(33) /* on a guest page-table walk */

#endif
