/* SPDX-License-Identifier: ISC */
/*
 * What a vCPU is when it starts: CPUID, MSRs as firmware leaves them, and the
 * boot processor's registers for the entry points of load.h.
 */
#include <linux/kvm.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include "cpuid.h"
#include "vcpu.h"

/* Intel SDM volume 4; AMD64 APM volume 2, "MTRRs". */
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLE	  (1U << 11)
#define MTRR_WRITEBACK	  6
/* APM volume 2, "Machine Check Global Capabilities Register" */
#define MCG_CTL_P (1U << 8)
#define MCE_BANKS 10

#define CR0_PE	 (1U << 0)
#define CR0_ET	 (1U << 4)
#define CR0_PG	 (1U << 31)
#define CR4_PSE	 (1U << 4)
#define CR4_PAE	 (1U << 5)
#define EFER_LME (1U << 8)
#define EFER_LMA (1U << 10)

#define CODE32	 0x00cf9b000000ffffULL
#define CODE64	 0x00af9b000000ffffULL
#define DATA	 0x00cf93000000ffffULL
#define TSS	 (0x00008b0000000067ULL | LOAD_TSS_GPA << 16)
#define GDT_SIZE 5

/*
 * The segments are in a GDT too, for a kernel that reloads them.  Linux says
 * which selectors it wants, and OpenBSD's boot(8) had the others.
 */
static const struct start {
	uint64_t gdt[GDT_SIZE];
	uint16_t cs, ds, tr;
	bool l; /* a 64-bit code segment */
	uint32_t cr0, cr4, efer;
} starts[LOAD_MODES] = {
	[LOAD_PROTECTED] = { { 0, 0, CODE32, DATA, TSS }, 0x10, 0x18, 0x20,
	    false, CR0_PE | CR0_ET, 0, 0 },
	[LOAD_LONG] = { { 0, 0, CODE64, DATA, TSS }, 0x10, 0x18, 0x20, true,
	    CR0_PE | CR0_ET | CR0_PG, CR4_PAE, EFER_LME | EFER_LMA },
	[LOAD_BSD32] = { { 0, CODE32, DATA, CODE64, TSS }, 0x08, 0x10, 0x20,
	    false, CR0_PE | CR0_ET | CR0_PG, CR4_PSE, 0 },
	[LOAD_BSD64] = { { 0, CODE32, DATA, CODE64, TSS }, 0x08, 0x10, 0x20,
	    false, CR0_PE | CR0_ET | CR0_PG, CR4_PAE | CR4_PSE,
	    EFER_LME | EFER_LMA },
};

int
vcpu_set_up(struct vmm *vmm, uint32_t cpu, const char **missing)
{
	/* As firmware leaves it: all memory write-back.  The banks of machine
	 * checks are the same for all hypervisors, whatever they begin with. */
	static const struct vmm_msr msrs[] = {
		{ MSR_MTRR_DEF_TYPE, MTRR_ENABLE | MTRR_WRITEBACK },
	};
	struct kvm_cpuid2 *c;
	unsigned i;
	int r = 0;

	*missing = NULL;
	c = cpuid_build(vmm_cpuid(vmm), vmm_ncpus(vmm), vmm_tsc_deadline(vmm),
	    cpu, missing);
	if (c == NULL)
		return -errno;
	for (i = 0; r == 0 && i < vmm_ncpus(vmm); i++) {
		cpuid_for(c, i);
		r = vmm_vcpu_set_cpuid(vmm, i, c);
		if (r == 0)
			r = vmm_vcpu_set_mce(vmm, i, MCE_BANKS | MCG_CTL_P);
		if (r == 0)
			r = vmm_vcpu_set_msrs(
			    vmm, i, msrs, sizeof(msrs) / sizeof(msrs[0]));
	}
	free(c);
	return r;
}

/* Flat segments; type 11 code, 3 data, 11 busy TSS (SDM, "Descriptors"). */
static struct kvm_segment
flat(uint16_t selector, uint8_t type, bool lm)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = !lm,
		.l = lm,
	};
}

int
vcpu_boot(struct vmm *vmm, const struct gmem *mem, const struct load_out *o)
{
	const struct start *st = &starts[o->mode];
	struct kvm_regs regs = {
		.rip = o->rip,
		.rax = o->rax,
		.rbx = o->rbx,
		.rsi = o->rsi,
		.rsp = o->rsp,
		.rflags = 2,
	};
	struct kvm_sregs s;
	int r;

	r = gmem_write(
	    mem, (struct gpa){ LOAD_GDT_GPA }, st->gdt, sizeof(st->gdt));
	if (r < 0 || (r = vmm_vcpu_get_sregs(vmm, 0, &s)) < 0)
		return r;
	s.cs = flat(st->cs, 11, st->l);
	s.ds = s.es = s.fs = s.gs = s.ss = flat(st->ds, 3, false);
	s.tr = (struct kvm_segment){
		.base = LOAD_TSS_GPA,
		.limit = 0x67,
		.selector = st->tr,
		.type = 11,
		.present = 1,
	};
	s.gdt.base = LOAD_GDT_GPA;
	s.gdt.limit = sizeof(st->gdt) - 1;
	s.idt.base = 0;
	s.idt.limit = 0;
	s.cr0 = st->cr0;
	s.cr4 = st->cr4;
	s.efer = st->efer;
	if ((st->cr0 & CR0_PG) != 0)
		s.cr3 = o->cr3;
	if ((r = vmm_vcpu_set_sregs(vmm, 0, &s)) < 0)
		return r;
	return vmm_vcpu_set_regs(vmm, 0, &regs);
}
