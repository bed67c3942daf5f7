// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Entering a guest: what is switched when a vCPU comes to a CPU, and what at
 * each entry (APM vol. 2 "VMRUN Instruction", "Global Interrupt Flag", "TLB
 * Control", "VMCB Clean Bits").
 *
 * Invariants
 *  1. svm_enter() is called with IRQs off; GIF is 0 only inside it.
 *  2. The host's debug registers, XCR0, XSS, PKRU and SPEC_CTRL are as before
 *     when it returns; FS, GS, TR, LDTR and the SYSCALL and SYSENTER MSRs come
 *     back with VMLOAD, GDTR and IDTR with their limits by VMRUN itself;
 *     TSC_AUX is the host's again after svm_put().
 *  3. guest_drs is only true between load and put.
 */
#include <linux/hw_breakpoint.h>
#include <linux/sched.h>
#include <asm/debugreg.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/spec-ctrl.h>
#include <asm/special_insns.h>
#include "../../core/x86.h"
#include "svm.h"

/* RDTSCP and RDPID read it in the guest; the host's programs read it too, so
 * that the host's value is back before any of them runs here. */
void
svm_load_tsc_aux(struct svm_vcpu *v, struct svm_host *h)
{
	if (!svm_features.tsc_aux)
		return;
	if (v->hv.tsc_aux == h->tsc_aux && !v->msr_aux)
		return;
	wrmsrl(MSR_TSC_AUX, v->hv.tsc_aux);
	v->msr_aux = true;
}

void
svm_put_tsc_aux(struct svm_vcpu *v, struct svm_host *h)
{
	if (!v->msr_aux)
		return;
	wrmsrl(MSR_TSC_AUX, h->tsc_aux);
	v->msr_aux = false;
}

void
svm_load(struct hv_vcpu *hv)
{
	struct svm_vcpu *v = to_svm(hv);
	struct svm_host *h = svm_this_host();
	int cpu = smp_processor_id();

	if (v->last_cpu != cpu) {
		v->last_cpu = cpu;
		v->asid_gen = 0;
		v->vmcb->c.clean = 0;
	}
	if (h->last != v->id) {
		h->last = v->id;
		indirect_branch_prediction_barrier();
	}
	if (svm_features.tsc_ratio && h->enabled &&
	    h->tsc_ratio != hv->tsc_ratio) {
		h->tsc_ratio = hv->tsc_ratio;
		wrmsrl(MSR_AMD64_TSC_RATIO, hv->tsc_ratio);
	}
	svm_load_tsc_aux(v, h);
	if (svm_features.pku)
		v->host_pkru = rdpkru();
	if (h->enabled)
		asm volatile("vmsave %0" ::"a"(h->state_pa) : "memory");
	v->loaded = true;
}

void
svm_put(struct hv_vcpu *hv)
{
	struct svm_vcpu *v = to_svm(hv);

	if (v->guest_drs && !v->debugger) {
		v->guest_drs = false;
		v->vmcb->c.intercept[VMCB_DR] = 0xffffffff;
		svm_changed(v, VMCB_C_INTERCEPTS);
	}
	svm_put_tsc_aux(v, svm_this_host());
	v->loaded = false;
}

/* Breakpoints that are on have to be where the guest's are, whether it has set
 * them just now, before a preemption, or user space has. */
static bool
drs_live(const struct svm_vcpu *v)
{
	return v->guest_drs || (v->vmcb->s.dr7 & X86_DR7_ENABLED) != 0;
}

/* A guest that uses breakpoints has DR0-3 itself.  DR7 is off meanwhile: the
 * guest's comes with VMRUN, the exit disables all. */
static void
drs_in(const struct gcpu *c)
{
	set_debugreg(0UL, 7);
	set_debugreg(c->dr[0], 0);
	set_debugreg(c->dr[1], 1);
	set_debugreg(c->dr[2], 2);
	set_debugreg(c->dr[3], 3);
}

static void
drs_out(struct gcpu *c)
{
	get_debugreg(c->dr[0], 0);
	get_debugreg(c->dr[1], 1);
	get_debugreg(c->dr[2], 2);
	get_debugreg(c->dr[3], 3);
}

/*
 * A software event is delivered with the RIP after its instruction: CPUs that
 * save NRIP take it from there, for others RIP is moved, and back when the
 * delivery is cut off (APM "Event Injection").
 */
static void
inject_soft(struct svm_vcpu *v, u8 len)
{
	v->soft_len = len;
	if (svm_features.nrips)
		v->vmcb->c.next_rip = v->hv.cpu.rip + len;
	else
		v->vmcb->s.rip += len;
}

static void
inject(struct svm_vcpu *v)
{
	struct event *e = &v->hv.inject;
	u64 inj = e->vector | VMCB_EV_VALID;

	switch (e->type) {
	case EVENT_NONE:
		return;
	case EVENT_INTR:
		inj |= VMCB_EV_INTR;
		break;
	case EVENT_NMI:
		inj |= VMCB_EV_NMI;
		break;
	case EVENT_EXCEPTION:
		inj |= VMCB_EV_EXCEPTION;
		if (e->has_error)
			inj |= VMCB_EV_ERROR | (u64)e->error << 32;
		if (e->vector == X86_BP || e->vector == X86_OF)
			inject_soft(v, e->insn_len);
		break;
	case EVENT_SOFT:
		inj |= VMCB_EV_SOFT;
		inject_soft(v, e->insn_len);
		break;
	}
	v->vmcb->c.event_inj = inj;
	e->type = EVENT_NONE;
}

static void
regs_to_vmcb(struct svm_vcpu *v)
{
	struct vmcb *b = v->vmcb;
	struct gcpu *c = &v->hv.cpu;

	b->s.rax = c->gpr[R_RAX];
	b->s.rsp = c->gpr[R_RSP];
	b->s.rip = c->rip;
	b->s.rflags = c->rflags;
	b->c.int_state = v->hv.intr_shadow ? VMCB_INT_SHADOW : 0;
	if (c->dirty & ~(unsigned)CPU_REGS)
		svm_sync(v);
	c->dirty = 0;
}

/* Delivered or not? */
static void
soft_undo(struct svm_vcpu *v)
{
	const struct vmcb_control *c = &v->vmcb->c;
	u64 type = c->exit_int_info & VMCB_EV_TYPE;

	if ((c->exit_int_info & VMCB_EV_VALID) && !svm_features.nrips &&
	    (type == VMCB_EV_SOFT || type == VMCB_EV_EXCEPTION))
		v->hv.cpu.rip -= v->soft_len;
	v->soft_len = 0;
}

static void
regs_from_vmcb(struct svm_vcpu *v)
{
	struct vmcb *b = v->vmcb;
	struct gcpu *c = &v->hv.cpu;

	c->gpr[R_RAX] = b->s.rax;
	c->gpr[R_RSP] = b->s.rsp;
	c->rip = b->s.rip;
	c->rflags = b->s.rflags;
	c->cr8 = b->c.int_ctl & 0xf;
	c->valid = CPU_REGS;
	v->hv.intr_shadow = (b->c.int_state & VMCB_INT_SHADOW) != 0;
	v->hv.info.next_rip = 0;
	if (v->soft_len != 0)
		soft_undo(v);
}

/*
 * What XSAVE, XRSTOR and protection keys of the guest work with.  The host's
 * own FPU functions need the host's, so it is changed for the guest alone.
 */
static void
xstate_in(const struct svm_vcpu *v, u64 cr4)
{
	const struct gcpu *c = &v->hv.cpu;

	if ((cr4 & X86_CR4_OSXSAVE) && c->xcr0 != svm_features.host_xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, c->xcr0);
	if (svm_features.host_xss)
		wrmsrl(MSR_IA32_XSS, 0);
	if (svm_features.pku && c->pkru != v->host_pkru &&
	    ((c->xcr0 & XFEATURE_MASK_PKRU) || (cr4 & X86_CR4_PKE)))
		wrpkru(c->pkru);
}

static void
xstate_out(struct svm_vcpu *v, u64 cr4_in)
{
	struct gcpu *c = &v->hv.cpu;

	if (svm_features.pku &&
	    ((c->xcr0 & XFEATURE_MASK_PKRU) ||
		((v->vmcb->s.cr4 | cr4_in) & X86_CR4_PKE))) {
		c->pkru = rdpkru();
		if (c->pkru != v->host_pkru)
			wrpkru(v->host_pkru);
	}
	if (svm_features.host_xss)
		wrmsrl(MSR_IA32_XSS, svm_features.host_xss);
	if ((cr4_in & X86_CR4_OSXSAVE) && c->xcr0 != svm_features.host_xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, svm_features.host_xcr0);
}

/* With V_SPEC_CTRL the hardware switches it, from and to the VMCB. */
static const struct svm_spec *
spec_of(const struct svm_vcpu *v, struct svm_spec *spec)
{
	if (svm_features.virt_spec_ctrl || !svm_features.spec_ctrl)
		return NULL;
	spec->guest = v->hv.spec_ctrl;
	spec->host = this_cpu_read(x86_spec_ctrl_current);
	return spec->guest != spec->host ? spec : NULL;
}

/* GIF is 0: neither NMI nor anything else comes in between. */
static void
run(struct svm_vcpu *v, struct svm_host *h)
{
	struct gcpu *c = &v->hv.cpu;
	const struct svm_spec *spec;
	struct svm_spec values;
	bool drs = drs_live(v);

	spec = spec_of(v, &values);
	if (drs)
		drs_in(c);
	/* The kernel knows which register, and what the host wants of it. */
	if (svm_features.virt_ssbd)
		x86_spec_ctrl_set_guest(v->hv.virt_spec_ctrl);
	svm_switch(c->gpr, v->vmcb_pa, h->state_pa, spec);
	if (svm_features.virt_ssbd)
		x86_spec_ctrl_restore_host(v->hv.virt_spec_ctrl);
	if (drs)
		drs_out(c);
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
}

/*
 * VMRUN loads CR2; that of Bochs 2.7 does not.  With shadow tables most page faults
 * of the guest's are raised by us.
 */
static void
load_cr2(const struct svm_vcpu *v)
{
	if (v->shadow && native_read_cr2() != v->vmcb->s.cr2)
		native_write_cr2(v->vmcb->s.cr2);
}

enum hv_exit
svm_enter(struct hv_vcpu *hv)
{
	struct svm_vcpu *v = to_svm(hv);
	struct svm_host *h = svm_this_host();
	struct vmcb *b = v->vmcb;
	u64 cr4;

	if (!h->enabled) { /* the host is on its way down */
		hv->inject.type = hv->cut.type = EVENT_NONE;
		hv->info.hw_reason = 0;
		return HV_FAILED;
	}
	regs_to_vmcb(v);
	inject(v);
	if (v->asid_gen != h->asid_gen)
		svm_new_asid(v, h);
	cr4 = b->s.cr4;
	xstate_in(v, cr4);
	asm volatile("clgi" ::: "memory");
	load_cr2(v);
	run(v, h);
	asm volatile("stgi" ::: "memory");
	xstate_out(v, cr4);
	b->c.tlb_ctl = VMCB_TLB_NONE;
	b->c.clean = svm_features.clean ? (u32)VMCB_C_ALL : 0;
	v->cache_off = 0;
	regs_from_vmcb(v);
	if (b->c.exit_code == VMEXIT_EXCP0 + X86_MC)
		/* The host's: to its handler, while nothing else has run. */
		asm volatile("int $18");
	return svm_decode_exit(v);
}
