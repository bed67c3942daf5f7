/* SPDX-License-Identifier: ISC */
/*
 * What a vCPU is when it starts: CPUID, MSRs as firmware leaves them, and the
 * boot processor's registers for the entry points of load.h.
 */
#include <linux/kvm.h>
#include <errno.h>
#include <stdlib.h>
#include "cpuid.h"
#include "vcpu.h"

/* Intel SDM volume 4; AMD64 APM volume 2, "MTRRs". */
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLE	  (1U << 11)
#define MTRR_WRITEBACK	  6

#define CR0_PE	 (1U << 0)
#define CR0_ET	 (1U << 4)
#define CR0_PG	 (1U << 31)
#define CR4_PAE	 (1U << 5)
#define EFER_LME (1U << 8)
#define EFER_LMA (1U << 10)

int
vcpu_set_up(struct vmm *vmm, uint32_t cpu, const char **missing)
{
	/* As firmware leaves it: all memory write-back. */
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

/* The same segments in a GDT, for a kernel that reloads them. */
static int
write_gdt(const struct gmem *mem, bool lm)
{
	const uint64_t gdt[] = {
		0,
		0,
		lm ? 0x00af9b000000ffffULL : 0x00cf9b000000ffffULL,
		0x00cf93000000ffffULL,
		0x00008b0000000067ULL | LOAD_TSS_GPA << 16,
	};

	return gmem_write(mem, (struct gpa){ LOAD_GDT_GPA }, gdt, sizeof(gdt));
}

int
vcpu_boot(struct vmm *vmm, const struct gmem *mem, const struct load_out *o)
{
	struct kvm_regs regs = {
		.rip = o->rip,
		.rbx = o->rbx,
		.rsi = o->rsi,
		.rflags = 2,
	};
	struct kvm_sregs s;
	bool lm = o->mode == LOAD_LONG;
	int r;

	if ((r = write_gdt(mem, lm)) < 0 ||
	    (r = vmm_vcpu_get_sregs(vmm, 0, &s)) < 0)
		return r;
	s.cs = flat(LOAD_CS, 11, lm);
	s.ds = s.es = s.fs = s.gs = s.ss = flat(LOAD_DS, 3, false);
	s.tr = (struct kvm_segment){
		.base = LOAD_TSS_GPA,
		.limit = 0x67,
		.selector = LOAD_TR,
		.type = 11,
		.present = 1,
	};
	s.gdt.base = LOAD_GDT_GPA;
	s.gdt.limit = 5 * 8 - 1;
	s.idt.base = 0;
	s.idt.limit = 0;
	s.cr0 = CR0_PE | CR0_ET;
	s.cr4 = 0;
	s.efer = 0;
	if (lm) {
		s.cr0 |= CR0_PG;
		s.cr3 = o->cr3;
		s.cr4 = CR4_PAE;
		s.efer = EFER_LME | EFER_LMA;
	}
	if ((r = vmm_vcpu_set_sregs(vmm, 0, &s)) < 0)
		return r;
	return vmm_vcpu_set_regs(vmm, 0, &regs);
}
