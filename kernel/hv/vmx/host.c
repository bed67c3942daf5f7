// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * VMX of the host's CPUs: detection, the controls that this processor allows,
 * VMXON, and the MSR bitmap that all guests share (SDM vol. 3 "VMX Capability
 * Reporting Facility", "Enabling and Entering VMX Operation", "MSR-Bitmap
 * Address").
 *
 * Invariants
 *  1. A control is set only when the capability MSR allows it; one that we
 *     need and that is not there refuses the processor, by name.  EPT,
 *     unrestricted guests and fields for EFER and PAT may be absent.
 *  2. The MSR bitmap intercepts everything but the MSRs of direct[], which the
 *     VMCS switches: a guest writes no MSR that is not its own.
 */
#include <linux/cpu.h>
#include <linux/cpufeature.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <asm/asm.h>
#include <asm/fpu/xcr.h>
#include <asm/perf_event.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/tlbflush.h>
#include "vmx.h"

/* IA32_VMX_BASIC, "Basic VMX Information" */
#define BASIC_REVISION 0x7fffffffU
#define BASIC_TRUE     BIT_ULL(55)
/* CPUID.1:ECX, whatever the firmware has made of it */
#define CPUID_VMX BIT(5)

struct vmx_features vmx_features;
struct hv_caps vmx_caps;
u64 vmx_msr_bitmap_pa;
static u8 *msr_bitmap;
DEFINE_PER_CPU(struct vmx_host, vmx_hosts);

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

static struct npt_format format;

/* "VM-Execution Controls" and the like: the low half are bits that must be 1,
 * the high half those that may be.  false: one of need is not there. */
static bool
controls(u32 msr, u32 need, u32 want, u32 *out)
{
	u32 low, high;

	rdmsr(msr, low, high);
	*out = low | ((need | want) & high);
	return !(need & ~high) && !(*out & ~high);
}

#define PIN                                                \
	(PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING | \
	    PIN_BASED_VIRTUAL_NMIS)
#define PRIMARY                                                      \
	(CPU_BASED_USE_TSC_OFFSETTING | CPU_BASED_HLT_EXITING |      \
	    CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING |    \
	    CPU_BASED_RDPMC_EXITING | CPU_BASED_TPR_SHADOW |         \
	    CPU_BASED_MOV_DR_EXITING | CPU_BASED_UNCOND_IO_EXITING | \
	    CPU_BASED_USE_MSR_BITMAPS | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
#define SECONDARY_WANT                                               \
	(SECONDARY_EXEC_ENABLE_VPID | SECONDARY_EXEC_ENABLE_RDTSCP | \
	    SECONDARY_EXEC_WBINVD_EXITING |                          \
	    SECONDARY_EXEC_PAUSE_LOOP_EXITING |                      \
	    SECONDARY_EXEC_ENABLE_INVPCID | SECONDARY_EXEC_ENABLE_EPT)
#define EXIT (VM_EXIT_SAVE_DEBUG_CONTROLS | VM_EXIT_HOST_ADDR_SPACE_SIZE)
#define EXIT_WANT                                         \
	(VM_EXIT_LOAD_IA32_PAT | VM_EXIT_SAVE_IA32_EFER | \
	    VM_EXIT_LOAD_IA32_EFER)
#define ENTRY	   VM_ENTRY_LOAD_DEBUG_CONTROLS
#define ENTRY_WANT (VM_ENTRY_LOAD_IA32_PAT | VM_ENTRY_LOAD_IA32_EFER)

/* What must not be set with EPT, however the processor starts. */
#define PRIMARY_NOT (CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING)

/* "Basic VMX Information": old processors have only controls of which some
 * are always on, of ours those of CR3. */
static u32
capability(u32 msr, u32 true_msr)
{
	return vmx_features.true_controls ? true_msr : msr;
}

static int
choose_primary(const char **why)
{
	struct vmx_features *f = &vmx_features;

	if (!controls(capability(MSR_IA32_VMX_PINBASED_CTLS,
			  MSR_IA32_VMX_TRUE_PINBASED_CTLS),
		PIN, 0, &f->pin)) {
		*why = "the processor has no virtual NMIs";
		return -ENODEV;
	}
	if (!controls(capability(MSR_IA32_VMX_PROCBASED_CTLS,
			  MSR_IA32_VMX_TRUE_PROCBASED_CTLS),
		PRIMARY, 0, &f->primary)) {
		*why = "the processor's VMX lacks a primary control";
		return -ENODEV;
	}
	return 0;
}

/* "VMX Capability MSRs": what a restricted guest needs, EPT, each in turn. */
static int
choose_secondary(const char **why)
{
	struct vmx_features *f = &vmx_features;
	u32 all;

	if (!controls(MSR_IA32_VMX_PROCBASED_CTLS2, 0, SECONDARY_WANT,
		&f->secondary)) {
		*why = "the processor's VMX wants a secondary control";
		return -ENODEV;
	}
	if (f->primary & PRIMARY_NOT)
		f->secondary &= ~SECONDARY_EXEC_ENABLE_EPT;
	f->ept = f->secondary & SECONDARY_EXEC_ENABLE_EPT;
	if (f->ept &&
	    controls(MSR_IA32_VMX_PROCBASED_CTLS2,
		f->secondary | SECONDARY_EXEC_UNRESTRICTED_GUEST, 0, &all)) {
		f->secondary = all;
		f->unrestricted = true;
	}
	f->vpid = f->secondary & SECONDARY_EXEC_ENABLE_VPID;
	f->rdtscp = f->secondary & SECONDARY_EXEC_ENABLE_RDTSCP;
	f->ple = f->secondary & SECONDARY_EXEC_PAUSE_LOOP_EXITING;
	return 0;
}

/* EFER has fields, or an entry of the lists; the guest's PAT has a field, or
 * is not in force, as where its memory is not EPT's. */
static int
choose_switch(const char **why)
{
	struct vmx_features *f = &vmx_features;

	if (!controls(
		capability(MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_TRUE_EXIT_CTLS),
		EXIT, EXIT_WANT, &f->exit) ||
	    !controls(capability(MSR_IA32_VMX_ENTRY_CTLS,
			  MSR_IA32_VMX_TRUE_ENTRY_CTLS),
		ENTRY, ENTRY_WANT, &f->entry)) {
		*why = "the processor's VMX lacks a control of entry or exit";
		return -ENODEV;
	}
	f->efer = (f->exit & VM_EXIT_SAVE_IA32_EFER) &&
	    (f->exit & VM_EXIT_LOAD_IA32_EFER) &&
	    (f->entry & VM_ENTRY_LOAD_IA32_EFER);
	f->pat = (f->exit & VM_EXIT_LOAD_IA32_PAT) &&
	    (f->entry & VM_ENTRY_LOAD_IA32_PAT);
	if (f->ept && !(f->efer && f->pat)) {
		*why = "the processor's VMX does not switch PAT and EFER";
		return -ENODEV;
	}
	if (!f->efer) {
		f->exit &= ~(VM_EXIT_SAVE_IA32_EFER | VM_EXIT_LOAD_IA32_EFER);
		f->entry &= ~VM_ENTRY_LOAD_IA32_EFER;
		f->secondary &= ~SECONDARY_EXEC_ENABLE_RDTSCP;
		f->rdtscp = false;
	}
	f->last_msr = !f->efer ? MSR_EFER : f->rdtscp ? MSR_TSC_AUX : 0;
	return 0;
}

/* IA32_VMX_EPT_VPID_CAP, "VPID and EPT Capabilities" */
static int
choose_ept(const char **why)
{
	u64 need = VMX_EPT_PAGE_WALK_4_BIT | VMX_EPTP_WB_BIT |
	    VMX_EPT_2MB_PAGE_BIT | VMX_EPT_INVEPT_BIT;
	u64 cap;

	format = npt_ept;
	if (!vmx_features.ept)
		return 0;
	rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, cap);
	if ((cap & need) != need ||
	    !(cap & (VMX_EPT_EXTENT_CONTEXT_BIT | VMX_EPT_EXTENT_GLOBAL_BIT))) {
		*why = "the processor's EPT lacks what we need of it";
		return -ENODEV;
	}
	vmx_features.invept_single = cap & VMX_EPT_EXTENT_CONTEXT_BIT;
	if (!(cap & VMX_EPT_1GB_PAGE_BIT))
		format.largest = NPT_2M;
	return 0;
}

static int
choose(const char **why)
{
	int err = choose_primary(why);

	if (!err)
		err = choose_secondary(why);
	if (!err)
		err = choose_switch(why);
	return err ? err : choose_ept(why);
}

/* What of the host's own state must be switched. */
static void
host_features(void)
{
	struct vmx_features *f = &vmx_features;

	f->spec_ctrl = boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL);
	f->pku = boot_cpu_has(X86_FEATURE_OSPKE);
	f->l1tf = boot_cpu_has_bug(X86_BUG_L1TF) &&
	    boot_cpu_has(X86_FEATURE_FLUSH_L1D);
	if (boot_cpu_has(X86_FEATURE_OSXSAVE))
		f->host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, f->host_xss);
	rdmsrl(MSR_IA32_VMX_CR0_FIXED0, f->cr0_fixed0);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED0, f->cr4_fixed0);
	vmx_caps = (struct hv_caps){ .no_nested = !f->ept,
		.spec_ctrl = f->spec_ctrl,
		.npt = &format,
		.npt_levels = 4,
		.nmi_window = true,
		.rdtscp = f->rdtscp };
}

int
vmx_probe(const char **why)
{
	u64 basic, ctl;
	int err;

	if (!(cpuid_ecx(1) & CPUID_VMX)) {
		*why = "the processor has no VMX";
		return -ENODEV;
	}
	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &ctl) || !(ctl & FEAT_CTL_LOCKED) ||
	    !(ctl & FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX)) {
		*why = "the firmware has disabled VMX: enable it in its setup";
		return -ENODEV;
	}
	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	vmx_features =
	    (struct vmx_features){ .revision = basic & BASIC_REVISION,
		    .true_controls = (basic & BASIC_TRUE) != 0 };
	err = choose(why);
	if (err)
		return err;
	/* "not affected" otherwise, or it takes the flush by the MSR */
	if (boot_cpu_has_bug(X86_BUG_L1TF) &&
	    !boot_cpu_has(X86_FEATURE_FLUSH_L1D) && !cpu_mitigations_off()) {
		*why = "the processor has L1TF and no microcode against it";
		return -ENODEV;
	}
	if (__read_cr4() & X86_CR4_VMXE) {
		*why = "another hypervisor has the processor (kvm_intel?)";
		return -EBUSY;
	}
	host_features();
	return 0;
}

/* Four maps of 1 KiB: reads of low and high MSRs, then writes. */
static void
pass(u32 msr)
{
	u32 at = msr < 0x2000 ? 0 : 0x400, bit = msr & 0x1fff;

	msr_bitmap[at + bit / 8] &= (u8) ~(1U << (bit % 8));
	msr_bitmap[0x800 + at + bit / 8] &= (u8) ~(1U << (bit % 8));
}

int
vmx_global_init(void)
{
	size_t i;
	int cpu;

	msr_bitmap = (void *)__get_free_page(GFP_KERNEL);
	if (!msr_bitmap || vmx_identity_init()) {
		vmx_global_exit();
		return -ENOMEM;
	}
	memset(msr_bitmap, 0xff, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(direct); i++)
		pass(direct[i]);
	vmx_msr_bitmap_pa = __pa(msr_bitmap);
	for_each_possible_cpu(cpu)
	{
		struct vmx_host *h = per_cpu_ptr(&vmx_hosts, cpu);

		h->vmxon = (void *)get_zeroed_page(GFP_KERNEL);
		if (!h->vmxon) {
			vmx_global_exit();
			return -ENOMEM;
		}
		*h->vmxon = vmx_features.revision;
	}
	return 0;
}

void
vmx_global_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
	{
		struct vmx_host *h = per_cpu_ptr(&vmx_hosts, cpu);

		free_page((unsigned long)h->vmxon);
		h->vmxon = NULL;
	}
	vmx_identity_exit();
	free_page((unsigned long)msr_bitmap);
	msr_bitmap = NULL;
}

static int
vmxon(u64 pa)
{
	/* clang-format off */
	asm goto("1: vmxon %[pa]\n\t"
		 "jbe %l[failed]\n\t"
		 _ASM_EXTABLE(1b, %l[failed])
		 :
		 : [pa] "m"(pa)
		 : "memory", "cc"
		 : failed);
	/* clang-format on */
	return 0;
failed:
	return -EIO;
}

/* "VMXON": CR4.VMXE stays set while it lasts.  What EPT cached of before is
 * not ours. */
int
vmx_cpu_enable(void)
{
	struct vmx_host *h = this_cpu_ptr(&vmx_hosts);
	int err;

	if (__read_cr4() & X86_CR4_VMXE) {
		pr_err_ratelimited(
		    "vmm: another hypervisor has CPU %d\n", smp_processor_id());
		return -EBUSY;
	}
	intel_pt_handle_vmx(1);
	cr4_set_bits(X86_CR4_VMXE);
	err = vmxon(__pa(h->vmxon));
	if (err) {
		cr4_clear_bits(X86_CR4_VMXE);
		intel_pt_handle_vmx(0);
		pr_err_ratelimited(
		    "vmm: VMXON fails on CPU %d\n", smp_processor_id());
		return err;
	}
	h->last = 0;
	h->loaded = NULL;
	h->enabled = true;
	return 0;
}

void
vmx_cpu_disable(void)
{
	struct vmx_host *h = this_cpu_ptr(&vmx_hosts);
	unsigned long flags;

	if (!h->enabled)
		return;
	local_irq_save(flags);
	h->enabled = false;
	if (h->loaded)
		vmx_clear(h->loaded->vmcs_pa);
	h->loaded = NULL;
	asm volatile("vmxoff" ::: "cc", "memory");
	cr4_clear_bits(X86_CR4_VMXE);
	local_irq_restore(flags);
	intel_pt_handle_vmx(0);
}

/*
 * "INVEPT": with EPT every translation that a CPU keeps is guest-physical or
 * combined, so that this drops linear ones, too, of all VPIDs.
 */
void
vmx_invept(u64 eptp)
{
	struct {
		u64 eptp, zero;
	} desc = { eptp, 0 };
	unsigned long type = vmx_features.invept_single ? VMX_EPT_EXTENT_CONTEXT
							: VMX_EPT_EXTENT_GLOBAL;

	asm volatile("invept %0, %1" ::"m"(desc), "r"(type) : "cc", "memory");
}
