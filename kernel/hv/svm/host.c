// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * SVM of the host's CPUs: detection, EFER.SVME, the host save area, ASIDs,
 * and the permission maps that all guests share (APM vol. 2 "Enabling SVM",
 * "Host Save Area", "MSR Intercepts", "IOIO Intercept").
 *
 * Invariants
 *  1. The permission maps intercept everything but the MSRs of direct[],
 *     which VMLOAD and VMSAVE switch: a guest writes no MSR that is not its
 *     own.
 *  2. ASID 0 is the host's and is never given out.  An ASID belongs to a
 *     vCPU on one CPU in one generation; a new generation begins with a
 *     flush of that CPU's whole TLB.
 */
#include <linux/cpufeature.h>
#include <linux/gfp.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <asm/cpu_device_id.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include "svm.h"

#define VM_CR_SVMDIS (1U << 4)
#define RATIO_ONE    (1ULL << 32)
#define RATIO_END    (1ULL << 40) /* 8 bits before the point */
#define IOPM_ORDER   2 /* 12 KiB */
#define MSRPM_ORDER  1 /* 8 KiB */

struct svm_features svm_features;
struct hv_caps svm_caps;
u64 svm_iopm_pa, svm_msrpm_pa;
static void *iopm, *msrpm;
static DEFINE_PER_CPU(struct svm_host, hosts);

static const u32 direct[] = {
	MSR_STAR,
	MSR_LSTAR,
	MSR_CSTAR,
	MSR_SYSCALL_MASK,
	MSR_FS_BASE,
	MSR_GS_BASE,
	MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS,
	MSR_IA32_SYSENTER_ESP,
	MSR_IA32_SYSENTER_EIP,
};

/* udev loads the driver where there is SVM. */
static const struct x86_cpu_id __maybe_unused cpus[] = {
	X86_MATCH_FEATURE(X86_FEATURE_SVM, NULL),
	{},
};
MODULE_DEVICE_TABLE(x86cpu, cpus);

struct svm_host *
svm_this_host(void)
{
	return this_cpu_ptr(&hosts);
}

/* What of the host's own state must be switched. */
static void
host_features(void)
{
	struct svm_features *f = &svm_features;

	f->spec_ctrl = boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL);
	/* SSBD of processors whose SPEC_CTRL has it not. */
	f->virt_ssbd = boot_cpu_has(X86_FEATURE_LS_CFG_SSBD) ||
	    boot_cpu_has(X86_FEATURE_VIRT_SSBD);
	f->tsc_aux =
	    boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID);
	f->pku = boot_cpu_has(X86_FEATURE_OSPKE);
	if (boot_cpu_has(X86_FEATURE_OSXSAVE))
		f->host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, f->host_xss);
	svm_caps = (struct hv_caps){ .no_nested = !f->npt,
		.tsc_scaling = f->tsc_ratio,
		.tsc_ratio_end = RATIO_END,
		.spec_ctrl = f->spec_ctrl,
		.virt_ssbd = f->virt_ssbd,
		.rdtscp = true,
		.npt = &npt_long_mode };
}

/* EFER.SVME of this CPU: who else would set it? */
static bool
other_hypervisor(void)
{
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	return (efer & EFER_SVME) != 0;
}

int
svm_probe(const char **why)
{
	u32 a, b, c, d;
	u64 vm_cr;

	if (!boot_cpu_has(X86_FEATURE_SVM)) {
		*why = "the processor has neither SVM nor VMX";
		return -ENODEV;
	}
	cpuid(0x8000000a, &a, &b, &c, &d);
	if (rdmsrl_safe(MSR_VM_CR, &vm_cr) || (vm_cr & VM_CR_SVMDIS)) {
		*why = "the firmware has disabled SVM: enable it in its setup";
		return -ENODEV;
	}
	if (b < 2) {
		*why = "the processor has no address space identifiers";
		return -ENODEV;
	}
	svm_features = (struct svm_features){
		.asids = b,
		.npt = d & BIT(0),
		.nrips = d & BIT(3),
		.clean = d & BIT(5),
		.flush_asid = d & BIT(6),
		.decode = d & BIT(7),
		.pause_filter = d & BIT(10),
		.pause_thresh = d & BIT(12),
		.tsc_ratio = d & BIT(4),
		.virt_spec_ctrl = d & BIT(20),
	};
	if (other_hypervisor()) {
		*why = "another hypervisor has the processor (kvm_amd?)";
		return -EBUSY;
	}
	host_features();
	return 0;
}

/* Two bits per MSR, read and write; three ranges of 2 KiB. */
static void
pass(u8 *map, u32 msr)
{
	u32 at = msr < 0x2000 ? 0 : 0x800;
	u32 bit = (msr & 0x1fff) * 2;

	map[at + bit / 8] &= (u8) ~(3U << (bit % 8));
}

int
svm_global_init(void)
{
	size_t i;
	int cpu;

	iopm = (void *)__get_free_pages(GFP_KERNEL, IOPM_ORDER);
	msrpm = (void *)__get_free_pages(GFP_KERNEL, MSRPM_ORDER);
	if (!iopm || !msrpm)
		goto no_memory;
	memset(iopm, 0xff, PAGE_SIZE << IOPM_ORDER);
	memset(msrpm, 0xff, PAGE_SIZE << MSRPM_ORDER);
	for (i = 0; i < ARRAY_SIZE(direct); i++)
		pass(msrpm, direct[i]);
	svm_iopm_pa = __pa(iopm);
	svm_msrpm_pa = __pa(msrpm);
	for_each_possible_cpu(cpu)
	{
		struct svm_host *h = per_cpu_ptr(&hosts, cpu);

		h->hsave = (void *)get_zeroed_page(GFP_KERNEL);
		h->state = (void *)get_zeroed_page(GFP_KERNEL);
		if (!h->hsave || !h->state)
			goto no_memory;
		h->hsave_pa = __pa(h->hsave);
		h->state_pa = __pa(h->state);
	}
	return 0;
no_memory:
	svm_global_exit();
	return -ENOMEM;
}

void
svm_global_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
	{
		struct svm_host *h = per_cpu_ptr(&hosts, cpu);

		free_page((unsigned long)h->hsave);
		free_page((unsigned long)h->state);
		h->hsave = h->state = NULL;
	}
	free_pages((unsigned long)iopm, IOPM_ORDER);
	free_pages((unsigned long)msrpm, MSRPM_ORDER);
	iopm = msrpm = NULL;
}

int
svm_cpu_enable(void)
{
	struct svm_host *h = this_cpu_ptr(&hosts);
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME) {
		pr_err_ratelimited(
		    "vmm: another hypervisor has CPU %d\n", smp_processor_id());
		return -EBUSY;
	}
	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(MSR_VM_HSAVE_PA, h->hsave_pa);
	h->asid_gen++;
	h->asid_next = svm_features.asids; /* the first one flushes */
	h->last = 0;
	h->tsc_ratio = 0; /* unknown */
	if (svm_features.tsc_aux)
		rdmsrl(MSR_TSC_AUX, h->tsc_aux);
	h->enabled = true;
	return 0;
}

void
svm_cpu_disable(void)
{
	struct svm_host *h = this_cpu_ptr(&hosts);
	u64 efer;

	if (!h->enabled)
		return;
	h->enabled = false;
	/* GIF may be 0 after a crash in a guest; INIT needs it set. */
	asm volatile("stgi" ::: "memory");
	if (svm_features.tsc_ratio)
		wrmsrl(MSR_AMD64_TSC_RATIO, RATIO_ONE);
	wrmsrl(MSR_VM_HSAVE_PA, 0);
	rdmsrl(MSR_EFER, efer);
	wrmsrl(MSR_EFER, efer & ~(u64)EFER_SVME);
}

void
svm_new_asid(struct svm_vcpu *v, struct svm_host *h)
{
	if (h->asid_next >= svm_features.asids) {
		h->asid_gen++;
		h->asid_next = 1;
		v->vmcb->c.tlb_ctl = VMCB_TLB_ALL;
	}
	v->asid_gen = h->asid_gen;
	v->vmcb->c.asid = h->asid_next++;
	svm_changed(v, VMCB_C_ASID);
}
