// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Entering a guest: what is switched when a vCPU comes to a CPU, and what at
 * each entry (APM vol. 2 "VMRUN Instruction", "Global Interrupt Flag", "TLB
 * Control", "VMCB Clean Bits").
 *
 * Invariants
 *  1. svm_enter() is called with IRQs off; GIF is 0 only inside it.
 *  2. The host's debug registers and XCR0 are as before when it returns;
 *     SPEC_CTRL stays the host's in the guest, which has no such MSR; FS, GS, TR, LDTR and the SYSCALL and SYSENTER MSRs
 *     come back with VMLOAD, GDTR and IDTR with their limits by VMRUN itself.
 *  3. guest_drs is only true between load and put.
 */
#include <linux/hw_breakpoint.h>
#include <linux/sched.h>
#include <asm/debugreg.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/special_insns.h>
#include "../../core/x86.h"
#include "svm.h"

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
	if (h->last != v) {
		h->last = v;
		indirect_branch_prediction_barrier();
	}
	asm volatile("vmsave %0" ::"a"(h->state_pa) : "memory");
	v->loaded = true;
}

void
svm_put(struct hv_vcpu *hv)
{
	struct svm_vcpu *v = to_svm(hv);

	if (v->guest_drs) {
		v->guest_drs = false;
		v->vmcb->c.intercept[VMCB_DR] = 0xffffffff;
		svm_changed(v, VMCB_C_INTERCEPTS);
	}
	v->loaded = false;
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
		break;
	case EVENT_SOFT:
		inj |= VMCB_EV_SOFT;
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
}

enum hv_exit
svm_enter(struct hv_vcpu *hv)
{
	struct svm_vcpu *v = to_svm(hv);
	struct svm_host *h = svm_this_host();
	struct vmcb *b = v->vmcb;
	u64 host_xcr0 = 0;
	bool xcr0;

	regs_to_vmcb(v);
	inject(v);
	if (v->asid_gen != h->asid_gen)
		svm_new_asid(v, h);
	xcr0 = (b->s.cr4 & X86_CR4_OSXSAVE) != 0;
	if (xcr0) {
		host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
		if (host_xcr0 != hv->cpu.xcr0)
			xsetbv(XCR_XFEATURE_ENABLED_MASK, hv->cpu.xcr0);
	}
	asm volatile("clgi" ::: "memory");
	if (v->guest_drs)
		drs_in(&hv->cpu);
	svm_switch(hv->cpu.gpr, v->vmcb_pa, h->state_pa);
	if (v->guest_drs)
		drs_out(&hv->cpu);
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
	asm volatile("stgi" ::: "memory");
	if (xcr0 && host_xcr0 != hv->cpu.xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, host_xcr0);
	b->c.tlb_ctl = VMCB_TLB_NONE;
	b->c.clean = svm_features.clean ? (u32)VMCB_C_ALL : 0;
	regs_from_vmcb(v);
	return svm_decode_exit(v);
}
