/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_X86_H
#define CORE_X86_H

/*
 * Architectural constants, written down once.  AMD APM volume 2 and Intel
 * SDM volume 3; the section is named where a group begins.
 */
#include "types.h"

/*
 * APM vol. 2 "System-Control Registers".  Linux has the same names for the
 * same bits of CR0 and CR4; in the module they are its own.
 */
#ifdef __KERNEL__
#include <asm/processor-flags.h>
#else
#define X86_CR0_PE CORE_BIT(0)
#define X86_CR0_MP CORE_BIT(1)
#define X86_CR0_EM CORE_BIT(2)
#define X86_CR0_TS CORE_BIT(3)
#define X86_CR0_ET CORE_BIT(4)
#define X86_CR0_NE CORE_BIT(5)
#define X86_CR0_WP CORE_BIT(16)
#define X86_CR0_AM CORE_BIT(18)
#define X86_CR0_NW CORE_BIT(29)
#define X86_CR0_CD CORE_BIT(30)
#define X86_CR0_PG CORE_BIT(31)

#define X86_CR4_VME	   CORE_BIT(0)
#define X86_CR4_PVI	   CORE_BIT(1)
#define X86_CR4_TSD	   CORE_BIT(2)
#define X86_CR4_DE	   CORE_BIT(3)
#define X86_CR4_PSE	   CORE_BIT(4)
#define X86_CR4_PAE	   CORE_BIT(5)
#define X86_CR4_MCE	   CORE_BIT(6)
#define X86_CR4_PGE	   CORE_BIT(7)
#define X86_CR4_PCE	   CORE_BIT(8)
#define X86_CR4_OSFXSR	   CORE_BIT(9)
#define X86_CR4_OSXMMEXCPT CORE_BIT(10)
#define X86_CR4_UMIP	   CORE_BIT(11)
#define X86_CR4_LA57	   CORE_BIT(12)
#define X86_CR4_VMXE	   CORE_BIT(13)
#define X86_CR4_FSGSBASE   CORE_BIT(16)
#define X86_CR4_PCIDE	   CORE_BIT(17)
#define X86_CR4_OSXSAVE	   CORE_BIT(18)
#define X86_CR4_SMEP	   CORE_BIT(20)
#define X86_CR4_SMAP	   CORE_BIT(21)
#define X86_CR4_PKE	   CORE_BIT(22)
#endif
#ifndef X86_CR4_CET
#define X86_CR4_CET CORE_BIT(23)
#endif

#define X86_EFER_SCE   CORE_BIT(0)
#define X86_EFER_LME   CORE_BIT(8)
#define X86_EFER_LMA   CORE_BIT(10)
#define X86_EFER_NXE   CORE_BIT(11)
#define X86_EFER_SVME  CORE_BIT(12)
#define X86_EFER_LMSLE CORE_BIT(13)
#define X86_EFER_FFXSR CORE_BIT(14)

#define X86_RFLAGS_CF	CORE_BIT(0)
#define X86_RFLAGS_ONE	CORE_BIT(1) /* always set */
#define X86_RFLAGS_PF	CORE_BIT(2)
#define X86_RFLAGS_AF	CORE_BIT(4)
#define X86_RFLAGS_ZF	CORE_BIT(6)
#define X86_RFLAGS_SF	CORE_BIT(7)
#define X86_RFLAGS_TF	CORE_BIT(8)
#define X86_RFLAGS_IF	CORE_BIT(9)
#define X86_RFLAGS_DF	CORE_BIT(10)
#define X86_RFLAGS_OF	CORE_BIT(11)
#define X86_RFLAGS_IOPL (CORE_BIT(12) | CORE_BIT(13))
#define X86_RFLAGS_NT	CORE_BIT(14)
#define X86_RFLAGS_RF	CORE_BIT(16)
#define X86_RFLAGS_VM	CORE_BIT(17)
#define X86_RFLAGS_AC	CORE_BIT(18)
#define X86_RFLAGS_VIF	CORE_BIT(19)
#define X86_RFLAGS_VIP	CORE_BIT(20)
#define X86_RFLAGS_ID	CORE_BIT(21)

/* APM vol. 2 "Debug Registers" */
#define X86_DR6_B	0xfULL /* breakpoints 0 to 3 */
#define X86_DR6_BD	CORE_BIT(13)
#define X86_DR6_BS	CORE_BIT(14)
#define X86_DR6_BT	CORE_BIT(15)
#define X86_DR7_GD	CORE_BIT(13)
#define X86_DR7_ENABLED 0xff /* L0 G0 ... L3 G3 */

/* APM vol. 2 "Vectors" */
enum x86_vector {
	X86_DE = 0,
	X86_DB = 1,
	X86_NMI = 2,
	X86_BP = 3,
	X86_OF = 4,
	X86_BR = 5,
	X86_UD = 6,
	X86_NM = 7,
	X86_DF = 8,
	X86_TS = 10,
	X86_NP = 11,
	X86_SS = 12,
	X86_GP = 13,
	X86_PF = 14,
	X86_MF = 16,
	X86_AC = 17,
	X86_MC = 18,
	X86_XF = 19,
	X86_CP = 21,
};

/* APM vol. 2 "Page-Fault Exception" error code */
#define X86_PFEC_P    CORE_BIT(0)
#define X86_PFEC_W    CORE_BIT(1)
#define X86_PFEC_U    CORE_BIT(2)
#define X86_PFEC_RSVD CORE_BIT(3)
#define X86_PFEC_ID   CORE_BIT(4)
#define X86_PFEC_PK   CORE_BIT(5)

/* APM vol. 2 "Page-Translation-Table Entry Fields" */
#define X86_PTE_P	   CORE_BIT(0)
#define X86_PTE_W	   CORE_BIT(1)
#define X86_PTE_U	   CORE_BIT(2)
#define X86_PTE_PWT	   CORE_BIT(3)
#define X86_PTE_PCD	   CORE_BIT(4)
#define X86_PTE_A	   CORE_BIT(5)
#define X86_PTE_D	   CORE_BIT(6)
#define X86_PTE_PS	   CORE_BIT(7)
#define X86_PTE_G	   CORE_BIT(8)
#define X86_PTE_PAT_BIG	   CORE_BIT(12)
#define X86_PTE_NX	   CORE_BIT(63)
#define X86_PTE_PKEY_SHIFT 59

/* Model-specific registers: APM vol. 2 "MSR Cross-Reference", SDM vol. 4 */
#define X86_MSR_TSC		 0x10
#define X86_MSR_PLATFORM_ID	 0x17
#define X86_MSR_APIC_BASE	 0x1b
#define X86_MSR_EBL_CR_POWERON	 0x2a
#define X86_MSR_EBC_FREQUENCY_ID 0x2c
#define X86_MSR_TSC_ADJUST	 0x3b
#define X86_MSR_SPEC_CTRL	 0x48
#define X86_MSR_PRED_CMD	 0x49
#define X86_MSR_UCODE_WRITE	 0x79
#define X86_MSR_UCODE_REV	 0x8b
#define X86_MSR_FSB_FREQ	 0xcd
#define X86_MSR_MTRRCAP		 0xfe
#define X86_MSR_SYSENTER_CS	 0x174
#define X86_MSR_SYSENTER_ESP	 0x175
#define X86_MSR_SYSENTER_EIP	 0x176
#define X86_MSR_MCG_CAP		 0x179
#define X86_MSR_MCG_STATUS	 0x17a
#define X86_MSR_MCG_CTL		 0x17b
#define X86_MSR_MISC_ENABLE	 0x1a0
#define X86_MSR_DEBUGCTL	 0x1d9
#define X86_MSR_MTRR_PHYSBASE0	 0x200 /* base and mask, in turn */
#define X86_MSR_MTRR_FIX64K	 0x250
#define X86_MSR_MTRR_FIX16K	 0x258
#define X86_MSR_MTRR_FIX4K	 0x268
#define X86_MSR_PAT		 0x277
#define X86_MSR_MTRR_DEFTYPE	 0x2ff
#define X86_MSR_MC0_CTL		 0x400 /* CTL STATUS ADDR MISC, in turn */
#define X86_MSR_TSC_DEADLINE	 0x6e0
#define X86_MSR_X2APIC		 0x800 /* to 0x8ff */
#define X86_MSR_EFER		 0xc0000080
#define X86_MSR_STAR		 0xc0000081
#define X86_MSR_LSTAR		 0xc0000082
#define X86_MSR_CSTAR		 0xc0000083
#define X86_MSR_SFMASK		 0xc0000084
#define X86_MSR_FS_BASE		 0xc0000100
#define X86_MSR_GS_BASE		 0xc0000101
#define X86_MSR_KERNEL_GS_BASE	 0xc0000102
#define X86_MSR_TSC_AUX		 0xc0000103
#define X86_MSR_SYSCFG		 0xc0010010
#define X86_MSR_HWCR		 0xc0010015
#define X86_MSR_TOP_MEM		 0xc001001a
#define X86_MSR_TOP_MEM2	 0xc001001d
#define X86_MSR_NB_CFG		 0xc001001f
#define X86_MSR_INT_PENDING	 0xc0010055
#define X86_MSR_MMIO_CONF_BASE	 0xc0010058
#define X86_MSR_TSEG_ADDR	 0xc0010112
#define X86_MSR_TSEG_MASK	 0xc0010113
#define X86_MSR_VM_CR		 0xc0010114
#define X86_MSR_VM_HSAVE_PA	 0xc0010117
#define X86_MSR_VIRT_SPEC_CTRL	 0xc001011f
#define X86_MSR_DC_CFG		 0xc0011022
#define X86_MSR_DE_CFG		 0xc0011029
#define X86_MSR_BU_CFG2		 0xc001102a
#define X86_MSR_EX_CFG		 0xc001102c

/* Linux "KVM-specific MSRs" */
#define KVM_MSR_WALL_CLOCK_OLD	0x11
#define KVM_MSR_SYSTEM_TIME_OLD 0x12
#define KVM_MSR_WALL_CLOCK	0x4b564d00
#define KVM_MSR_SYSTEM_TIME	0x4b564d01
#define KVM_MSR_STEAL_TIME	0x4b564d03
#define KVM_MSR_PV_EOI		0x4b564d04

#endif
