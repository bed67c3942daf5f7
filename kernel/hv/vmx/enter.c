// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Entering a guest: what is switched when a vCPU comes to a CPU, and what at
 * each entry (SDM vol. 3 "VM Entries", "Loading Host State").
 *
 * Invariants
 *  1. vmx_enter() is called with IRQs off.  An NMI may come at any time: what
 *     is the guest's while it does, nothing of the kernel's NMI path uses.
 *  2. The host's debug registers, DEBUGCTL, XCR0, XSS, PKRU and SPEC_CTRL are
 *     as before when it returns; of the MSRs the exit has loaded them.  The
 *     limits of GDT, IDT and TSS, LDTR and the selectors of the thread are
 *     the host's again after vmx_put().
 *  3. Before the first entry on a CPU, and after each flush_tlb(), that CPU
 *     drops what it knows of the vCPU's EPT.
 */
#include <linux/hw_breakpoint.h>
#include <linux/sched.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/fsgsbase.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/spec-ctrl.h>
#include <asm/special_insns.h>
#include "../../core/x86.h"
#include "vmx.h"

#define VAPIC_TPR 0x80
#define DR6_NONE  0xffff0ff0UL

/* The base of the TSS that TR names: a descriptor of 16 bytes (SDM vol. 3
 * "TSS Descriptor in 64-bit mode"). */
static u64
tss_base(const struct desc_ptr *gdt, u16 tr)
{
	const u32 *d = (const void *)(gdt->address + (tr & ~7));

	return d[0] >> 16 | (u64)(d[1] & 0xff) << 16 | (d[1] & 0xff000000) |
	    (u64)d[2] << 32;
}

/* What is one CPU's, whichever thread is there: the kernel sets it when it
 * brings the CPU up. */
static void
host_cpu(struct vmx_vcpu *v)
{
	struct vmx_msr_entry *m = v->lists->host;
	u16 tr = 0;
	unsigned i;
	u64 val;

	for (i = 0; i < (vmx_features.last_msr ? VMX_MSRS : VMX_LAST); i++)
		rdmsrl(m[i].index, m[i].value);

	/* Only selectors of the kernel's can be in these fields. */
	vmx_write(HOST_CS_SELECTOR, __KERNEL_CS);
	vmx_write(HOST_SS_SELECTOR, __KERNEL_DS);
	vmx_write(HOST_DS_SELECTOR, 0);
	vmx_write(HOST_ES_SELECTOR, 0);
	vmx_write(HOST_FS_SELECTOR, 0);
	vmx_write(HOST_GS_SELECTOR, 0);
	rdmsrl(MSR_GS_BASE, val);
	vmx_write(HOST_GS_BASE, val);
	native_store_gdt(&v->gdt);
	asm volatile("str %0" : "=m"(tr));
	vmx_write(HOST_GDTR_BASE, v->gdt.address);
	vmx_write(HOST_TR_SELECTOR, tr);
	vmx_write(HOST_TR_BASE, tss_base(&v->gdt, tr));
	store_idt(&v->idt);
	vmx_write(HOST_IDTR_BASE, v->idt.address);
	rdmsrl(MSR_IA32_SYSENTER_CS, val);
	vmx_write(HOST_IA32_SYSENTER_CS, (u32)val);
	rdmsrl(MSR_IA32_SYSENTER_ESP, val);
	vmx_write(HOST_IA32_SYSENTER_ESP, val);
	rdmsrl(MSR_IA32_SYSENTER_EIP, val);
	vmx_write(HOST_IA32_SYSENTER_EIP, val);
	if (vmx_features.pat) {
		rdmsrl(MSR_IA32_CR_PAT, val);
		vmx_write(HOST_IA32_PAT, val);
	}
	if (vmx_features.efer) {
		rdmsrl(MSR_EFER, val);
		vmx_write(HOST_IA32_EFER, val);
	}
	vmx_write(HOST_CR0, read_cr0());
	vmx_write(HOST_RIP, (unsigned long)vmx_exit_to);
}

/* What is the thread's. */
static void
host_thread(struct vmx_vcpu *v)
{
	savesegment(ds, v->ds);
	savesegment(es, v->es);
	savesegment(fs, v->fs);
	savesegment(gs, v->gs);
	v->fs_base = x86_fsbase_read_cpu();
	vmx_put64(HOST_FS_BASE, v->fs_base, &v->in_fs_base);
	v->lists->host[VMX_KERNEL_GS].value = __rdmsr(MSR_KERNEL_GS_BASE);
	v->debugctl = __rdmsr(MSR_IA32_DEBUGCTLMSR);
	if (vmx_features.pku)
		v->host_pkru = rdpkru();
	v->ldt = 0;
}

void
vmx_load(struct hv_vcpu *hv)
{
	struct vmx_vcpu *v = to_vmx(hv);
	struct vmx_host *h;
	unsigned long flags;

	local_irq_save(flags);
	h = this_cpu_ptr(&vmx_hosts);
	if (!h->enabled || !vmx_ptr_load(v->vmcs_pa)) {
		local_irq_restore(flags);
		return;
	}
	h->loaded = v;
	v->loaded = true;
	v->launched = false;
	if (!v->written)
		vmx_write_all(v);
	if (v->last_cpu != smp_processor_id()) {
		v->last_cpu = smp_processor_id();
		v->dirty.flush = true;
		host_cpu(v);
	}
	if (h->last != v->id) {
		h->last = v->id;
		indirect_branch_prediction_barrier();
	}
	host_thread(v);
	local_irq_restore(flags);
}

/* "Loading Host Segment and Descriptor-Table Registers": what an exit leaves
 * different from what it was. */
static void
host_segments(const struct vmx_vcpu *v)
{
	native_load_gdt(&v->gdt);
	native_load_idt(&v->idt);
	invalidate_tss_limit();
	if (v->ldt)
		asm volatile("lldt %0" ::"m"(v->ldt));
	if (!v->any_sel)
		return;
	if (v->ds)
		loadsegment(ds, v->ds);
	if (v->es)
		loadsegment(es, v->es);
	if (v->fs) {
		loadsegment(fs, v->fs);
		wrmsrl(MSR_FS_BASE, v->fs_base);
	}
	if (v->gs) {
		load_gs_index(v->gs);
		wrmsrl(MSR_KERNEL_GS_BASE, v->lists->host[VMX_KERNEL_GS].value);
	}
}

/* Breakpoints that are on stay in force; others are fetched anew. */
static void
drs_settle(struct vmx_vcpu *v)
{
	struct gcpu *c = &v->hv.cpu;

	cpu_need(c, CPU_DRS);
	if (c->dr7 & 0xff)
		return;
	v->guest_drs = false;
	v->dirty.controls = true;
}

void
vmx_put(struct hv_vcpu *hv)
{
	struct vmx_vcpu *v = to_vmx(hv);
	struct vmx_host *h;
	unsigned long flags;

	if (!v->loaded)
		return;
	if (v->guest_drs && !v->debugger)
		drs_settle(v);
	local_irq_save(flags);
	h = this_cpu_ptr(&vmx_hosts);
	if (h->enabled && h->loaded == v) {
		vmx_clear(v->vmcs_pa);
		h->loaded = NULL;
	}
	v->loaded = false;
	host_segments(v);
	local_irq_restore(flags);
}

static void
drs_in(const struct gcpu *c)
{
	set_debugreg(0UL, 7);
	set_debugreg(c->dr[0], 0);
	set_debugreg(c->dr[1], 1);
	set_debugreg(c->dr[2], 2);
	set_debugreg(c->dr[3], 3);
	set_debugreg(c->dr6, 6);
}

static void
drs_out(struct gcpu *c)
{
	get_debugreg(c->dr[0], 0);
	get_debugreg(c->dr[1], 1);
	get_debugreg(c->dr[2], 2);
	get_debugreg(c->dr[3], 3);
	get_debugreg(c->dr6, 6);
	set_debugreg(DR6_NONE, 6);
}

/* "Event Injection", "VM-Entry Exception Error Code": which exceptions push an
 * error code, in protected mode only. */
static bool
pushes_error(const struct event *e, u64 cr0)
{
	u32 with = 1U << X86_DF | 1U << X86_TS | 1U << X86_NP | 1U << X86_SS |
	    1U << X86_GP | 1U << X86_PF | 1U << X86_AC;

	return (cr0 & X86_CR0_PE) && e->vector < 32 && (with >> e->vector & 1);
}

static void
inject_soft(const struct event *e)
{
	vmx_write(VM_ENTRY_INSTRUCTION_LEN, e->insn_len ? e->insn_len : 1);
}

/* Returns what blocks, as the event lets it be. */
static u32
inject(struct vmx_vcpu *v, u32 blocking)
{
	struct event *e = &v->hv.inject;
	u32 info = e->vector | INTR_INFO_VALID_MASK;
	u32 keep = GUEST_INTR_STATE_NMI;

	switch (e->type) {
	case EVENT_NONE:
		return blocking;
	case EVENT_INTR:
		blocking &= keep;
		break;
	case EVENT_NMI: /* and begins to block by itself */
		info = X86_NMI | INTR_TYPE_NMI_INTR | INTR_INFO_VALID_MASK;
		blocking = 0;
		break;
	case EVENT_EXCEPTION:
		if (e->vector == X86_BP || e->vector == X86_OF) {
			info |= INTR_TYPE_SOFT_EXCEPTION;
			inject_soft(e);
			break;
		}
		info |= INTR_TYPE_HARD_EXCEPTION;
		cpu_need(&v->hv.cpu, CPU_CRS);
		if (!pushes_error(e, v->hv.cpu.cr0))
			break;
		info |= INTR_INFO_DELIVER_CODE_MASK;
		vmx_write(VM_ENTRY_EXCEPTION_ERROR_CODE, e->error & 0x7fff);
		break;
	case EVENT_SOFT:
		info |= INTR_TYPE_SOFT_INTR;
		inject_soft(e);
		break;
	}
	vmx_write(VM_ENTRY_INTR_INFO_FIELD, info);
	e->type = EVENT_NONE;
	return blocking;
}

/* "Guest Non-Register State": STI blocks only with IF; one of the two. */
static u32
blocking_of(struct vmx_vcpu *v)
{
	u32 one = GUEST_INTR_STATE_MOV_SS;
	u32 nmi = v->nmi_window ? GUEST_INTR_STATE_NMI : 0;

	if (!v->hv.intr_shadow)
		return nmi;
	if ((v->hv.cpu.rflags & X86_RFLAGS_IF) &&
	    v->blocking != GUEST_INTR_STATE_MOV_SS)
		one = GUEST_INTR_STATE_STI;
	return nmi | one;
}

/* Where something blocks, a trap that waits must be a step, and is one under
 * TF ("Checks on Guest Non-Register State"). */
static u64
pending_of(const struct vmx_vcpu *v, u32 blocking)
{
	u64 pending = v->pending_dbg & ~X86_DR6_BS;

	if (!(blocking & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS)))
		return 0;
	if (v->hv.cpu.rflags & X86_RFLAGS_TF)
		pending |= X86_DR6_BS;
	return pending;
}

static noinline void
blocking_out(struct vmx_vcpu *v, u32 blocking)
{
	vmx_put32(GUEST_INTERRUPTIBILITY_INFO, blocking, &v->in_blocking);
	vmx_put64(GUEST_PENDING_DBG_EXCEPTIONS, pending_of(v, blocking),
	    &v->in_pending);
}

/* What changes seldom. */
static void
dirty_out(struct vmx_vcpu *v)
{
	bool drs = v->guest_drs && !v->debugger;
	u32 primary = v->primary & ~(drs ? CPU_BASED_MOV_DR_EXITING : 0U);
	unsigned i;

	if (v->dirty.controls) {
		vmx_put32(CPU_BASED_VM_EXEC_CONTROL, primary, &v->in_primary);
		vmx_put32(
		    SECONDARY_VM_EXEC_CONTROL, v->secondary, &v->in_secondary);
		vmx_put32(EXCEPTION_BITMAP, v->exceptions, &v->in_exceptions);
		vmx_put64(TSC_OFFSET, v->hv.tsc_offset, &v->in_tsc_offset);
	}
	if (v->dirty.root)
		vmx_write(GUEST_CR3, v->root);
	for (i = 0; v->dirty.pdptrs && i < 4; i++)
		vmx_write(GUEST_PDPTR0 + 2 * i, v->pdptr[i]);
	/* Shadow tables have no VPID: each entry flushes. */
	if (v->dirty.flush && !v->shadow)
		vmx_invept(v->eptp);
	v->dirty.any = 0;
}

static void
guest_out(struct vmx_vcpu *v)
{
	struct gcpu *c = &v->hv.cpu;
	u32 blocking;

	vmx_put64(GUEST_RSP, c->gpr[R_RSP], &v->in_rsp);
	vmx_put64(GUEST_RIP, c->rip, &v->in_rip);
	vmx_put64(GUEST_RFLAGS, c->rflags, &v->in_rflags);
	if (c->dirty & ~(unsigned)CPU_REGS)
		vmx_sync(v);
	c->dirty = 0;
	if (v->dirty.any)
		dirty_out(v);
	blocking = blocking_of(v);
	if (v->hv.inject.type != EVENT_NONE)
		blocking = inject(v, blocking);
	if (blocking || v->in_blocking || v->in_pending)
		blocking_out(v, blocking);
	vmx_put64(HOST_CR3, __read_cr3(), &v->in_cr3);
	vmx_put64(HOST_CR4, __read_cr4(), &v->in_cr4);
}

/*
 * "Saving Non-Register State": the pending debug exceptions are saved as none,
 * but where MOV SS blocks; for a machine check or INIT see exit.c.  Bochs 2.7
 * saves them at each exit, of an instruction, too, that begins anew.
 */
static void
guest_in(struct vmx_vcpu *v)
{
	struct gcpu *c = &v->hv.cpu;

	c->gpr[R_RSP] = v->in_rsp = vmx_read(GUEST_RSP);
	c->rip = v->in_rip = vmx_read(GUEST_RIP);
	c->rflags = v->in_rflags = vmx_read(GUEST_RFLAGS);
	c->cr8 = v->vapic[VAPIC_TPR] >> 4;
	c->valid = v->always;
	v->in_blocking = vmx_read(GUEST_INTERRUPTIBILITY_INFO);
	v->blocking =
	    v->in_blocking & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS);
	v->hv.intr_shadow = v->blocking != 0;
	v->in_pending = 0;
	if (v->blocking || (c->rflags & X86_RFLAGS_TF) || v->guest_drs)
		v->in_pending = vmx_read(GUEST_PENDING_DBG_EXCEPTIONS);
	v->pending_dbg = v->blocking ? v->in_pending : 0;
}

/*
 * What XSAVE, XRSTOR and protection keys of the guest work with.  The host's
 * own FPU functions need the host's, so it is changed for the guest alone.
 */
enum { OTHER_XCR0 = 1, OTHER_XSS = 2, OTHER_PKRU = 4 };

/* Which of them are other ones in the guest, or may become so there. */
static unsigned
xstate_of(const struct vmx_vcpu *v)
{
	const struct gcpu *c = &v->hv.cpu; /* it always has CR4 */
	unsigned x = vmx_features.host_xss ? OTHER_XSS : 0;

	if ((c->cr4 & X86_CR4_OSXSAVE) && c->xcr0 != vmx_features.host_xcr0)
		x |= OTHER_XCR0;
	if (vmx_features.pku &&
	    ((c->xcr0 & XFEATURE_MASK_PKRU) || (c->cr4 & X86_CR4_PKE)))
		x |= OTHER_PKRU;
	return x;
}

static noinline void
xstate_in(const struct vmx_vcpu *v, unsigned x)
{
	const struct gcpu *c = &v->hv.cpu;

	if (x & OTHER_XCR0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, c->xcr0);
	if (x & OTHER_XSS)
		wrmsrl(MSR_IA32_XSS, 0);
	if ((x & OTHER_PKRU) && c->pkru != v->host_pkru)
		wrpkru(c->pkru);
}

static noinline void
xstate_out(struct vmx_vcpu *v, unsigned x)
{
	struct gcpu *c = &v->hv.cpu;

	if (x & OTHER_PKRU) {
		c->pkru = rdpkru();
		if (c->pkru != v->host_pkru)
			wrpkru(v->host_pkru);
	}
	if (x & OTHER_XSS)
		wrmsrl(MSR_IA32_XSS, vmx_features.host_xss);
	if (x & OTHER_XCR0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vmx_features.host_xcr0);
}

static int
run(struct vmx_vcpu *v)
{
	struct gcpu *c = &v->hv.cpu;
	struct vmx_spec *spec = NULL;
	u16 ldt;
	int failed;

	if (vmx_features.spec_ctrl) {
		v->spec.guest = v->hv.spec_ctrl;
		v->spec.host = this_cpu_read(x86_spec_ctrl_current);
		/* There the write itself is the barrier. */
		if (v->spec.guest != v->spec.host ||
		    boot_cpu_has(X86_FEATURE_KERNEL_IBRS))
			spec = &v->spec;
	}
	/* 0 after the first exit; a process never loses its LDT. */
	asm volatile("sldt %0" : "=r"(ldt));
	if (unlikely(ldt))
		v->ldt = ldt;
	if (v->guest_drs)
		drs_in(c);
	if (native_read_cr2() != c->cr2)
		native_write_cr2(c->cr2);
	if (vmx_features.l1tf)
		native_wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	failed = vmx_switch(c->gpr, v->launched, spec, &v->in_rsp_host);
	c->cr2 = native_read_cr2();
	if (v->debugctl)
		update_debugctlmsr(v->debugctl);
	if (v->guest_drs)
		drs_out(c);
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
	return failed;
}

static enum hv_exit
refused(struct vmx_vcpu *v, u64 reason)
{
	v->hv.cut.type = v->hv.inject.type = EVENT_NONE;
	v->hv.info.hw_reason = reason;
	return HV_FAILED;
}

enum hv_exit
vmx_enter(struct hv_vcpu *hv)
{
	struct vmx_vcpu *v = to_vmx(hv);
	unsigned x;
	u32 reason;
	int failed;

	/* The host is on its way down. */
	if (this_cpu_read(vmx_hosts.loaded) != v)
		return refused(v, 0);
	if (v->restricted && (hv->cpu.dirty & (CPU_SEGS | CPU_CRS)) &&
	    !vmx_enterable(&hv->cpu)) {
		hv->cut.type = EVENT_NONE;
		return HV_EMULATE;
	}
	/* Nothing reads a group between here and the exit. */
	guest_out(v);
	x = xstate_of(v);
	if (x)
		xstate_in(v, x);
	failed = run(v);
	if (x)
		xstate_out(v, x);
	if (failed) {
		vmx_write(VM_ENTRY_INTR_INFO_FIELD, 0);
		return refused(v, vmx_read(VM_INSTRUCTION_ERROR));
	}
	reason = vmx_read(VM_EXIT_REASON);
	if (reason & VMX_EXIT_REASONS_FAILED_VMENTRY) {
		vmx_write(VM_ENTRY_INTR_INFO_FIELD, 0);
		if ((u16)reason == EXIT_REASON_MCE_DURING_VMENTRY)
			asm volatile("int $18");
		return refused(v, reason);
	}
	v->launched = true;
	guest_in(v);
	return vmx_decode_exit(v, reason);
}
