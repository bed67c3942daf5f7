/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_CPU_H
#define CORE_CPU_H

/*
 * The architectural state of one guest CPU, independent of vendor.  While
 * the guest runs the truth is in the VMCB or VMCS; a backend brings groups
 * of it here on demand, so that a cheap exit touches little:
 *
 *   cpu_need(c, CPU_SEGS)    groups in `need' are valid here afterwards
 *   cpu_dirty(c, CPU_SEGS)   changed here: the backend writes them back
 *                            before the next entry
 *
 * gpr[] (with RSP and RAX), rip and rflags are the group CPU_REGS.
 */
#include "types.h"

enum cpu_reg {
	R_RAX,
	R_RCX,
	R_RDX,
	R_RBX,
	R_RSP,
	R_RBP,
	R_RSI,
	R_RDI,
	R_R8,
	R_R9,
	R_R10,
	R_R11,
	R_R12,
	R_R13,
	R_R14,
	R_R15,
	CPU_NREGS,
};

/* Encoding order of segment registers in instructions, then system ones. */
enum cpu_seg {
	SEG_ES,
	SEG_CS,
	SEG_SS,
	SEG_DS,
	SEG_FS,
	SEG_GS,
	SEG_LDTR,
	SEG_TR,
	CPU_NSEGS,
};

struct seg {
	u16 sel;
	u16 attr; /* SEG_ATTR_*: as in the VMCB, bits 0-11 */
	u32 limit; /* bytes, granularity applied */
	u64 base;
};
#define SEG_TYPE      0x00f
#define SEG_S	      0x010
#define SEG_DPL	      0x060
#define SEG_P	      0x080
#define SEG_AVL	      0x100
#define SEG_L	      0x200
#define SEG_DB	      0x400
#define SEG_G	      0x800
#define SEG_DPL_SHIFT 5
/* A segment register that holds no usable descriptor has P clear. */

struct dtable {
	u64 base;
	u16 limit;
};

enum cpu_group {
	CPU_REGS = 1 << 0,
	CPU_SEGS = 1 << 1, /* seg[], gdt, idt, cpl */
	CPU_CRS = 1 << 2, /* cr0 cr2 cr3 cr4 efer */
	CPU_DRS = 1 << 3, /* dr6 dr7 (dr0-3 are always here) */
	CPU_SYSMSRS = 1 << 4, /* star.., sysenter.., kernel_gs_base, pat */
	CPU_CODE = 1 << 5, /* to read: seg[SEG_CS] and cpl, of SEGS */
	CPU_CR4 = 1 << 6, /* to read: cr4, of CRS */
};

struct gcpu;
struct gcpu_ops {
	void (*need)(struct gcpu *, unsigned groups);
};

struct gcpu {
	u64 gpr[CPU_NREGS];
	u64 rip, rflags;
	struct seg seg[CPU_NSEGS];
	struct dtable gdt, idt;
	u8 cpl;
	u64 cr0, cr2, cr3, cr4, cr8, efer, xcr0;
	u64 dr[4], dr6, dr7;
	u32 pkru;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip, pat;

	unsigned valid, dirty; /* enum cpu_group */
	const struct gcpu_ops *ops;

	/* Facts fixed by KVM_SET_CPUID2, precomputed. */
	u8 maxphyaddr;
	u64 cr4_valid, efer_valid, xcr0_valid; /* bits the guest may set */
};

static inline void
cpu_need(struct gcpu *c, unsigned groups)
{
	if (groups & ~c->valid)
		c->ops->need(c, groups & ~c->valid);
}

static inline void
cpu_dirty(struct gcpu *c, unsigned groups)
{
	c->dirty |= groups;
}

/* What is valid once these groups are. */
static inline unsigned
cpu_groups(unsigned groups)
{
	return groups | (groups & CPU_SEGS ? CPU_CODE : 0) |
	    (groups & CPU_CRS ? CPU_CR4 : 0);
}

/* 16, 32 or 64: the size of code that CS and EFER say. Needs CODE|CRS. */
unsigned cpu_mode_bits(const struct gcpu *);
/*
 * MOV to a control register, at CPL 0: 0, or 1 for #GP.  Long mode
 * begins and ends with CR0.PG.  Needs SEGS|CRS; dirties CRS.
 */
int cpu_set_cr0(struct gcpu *, u64);
int cpu_set_cr3(struct gcpu *, u64);
/* May CR3 become it?  Bit 63 asks under PCIDE for no flush, and is taken off. */
bool cpu_cr3_allowed(const struct gcpu *, u64 *val);
int cpu_set_cr4(struct gcpu *, u64);
/* May MOV to CR4 write this?  Needs CRS. */
bool cpu_cr4_allowed(const struct gcpu *, u64 cr4);
/* XSETBV: may XCR0 be this? */
bool cpu_xcr0_allowed(const struct gcpu *, u64 xcr0);
/* Are these consistent, whatever the current ones are? */
bool cpu_crs_allowed(const struct gcpu *, u64 cr0, u64 cr3, u64 cr4, u64 efer);

/* An exception as an instruction or event delivery raises it. */
struct fault {
	u8 vector;
	bool has_error;
	u32 error;
	u64 cr2; /* #PF only */
};

#endif
