// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The SVM backend's table, and its small members: what linux/ sets for the
 * next entry (APM vol. 2 "Injecting Virtual (INTR) Interrupts", "TLB
 * Control", "TSC Offset").
 */
#include <linux/kernel.h>
#include <linux/preempt.h>
#include <asm/msr.h>
#include "../../core/x86.h"
#include "svm.h"

static void
set_root(struct hv_vcpu *hv, struct hpa root)
{
	struct svm_vcpu *v = to_svm(hv);

	v->vmcb->s.cr3 = root.v;
	svm_changed(v, VMCB_C_CRX);
}

static void
flush_tlb(struct hv_vcpu *hv)
{
	struct svm_vcpu *v = to_svm(hv);

	if (svm_features.flush_asid)
		v->vmcb->c.tlb_ctl = VMCB_TLB_ASID;
	else
		v->asid_gen = 0;
}

/* A virtual interrupt of the highest priority that is never delivered: its
 * intercept comes first.  After an NMI the handler's IRET is waited for. */
static void
window(struct hv_vcpu *hv, bool intr, bool nmi)
{
	struct svm_vcpu *v = to_svm(hv);
	struct vmcb_control *c = &v->vmcb->c;

	if (nmi && !(c->intercept[VMCB_MISC1] & VMCB_I_IRET)) {
		c->intercept[VMCB_MISC1] |= (u32)VMCB_I_IRET;
		svm_changed(v, VMCB_C_INTERCEPTS);
	}
	if (intr == hv->irq_window)
		return;
	hv->irq_window = intr;
	c->int_ctl &= ~(u32)(VMCB_V_IRQ | VMCB_V_IGN_TPR);
	c->intercept[VMCB_MISC1] &= ~(u32)VMCB_I_VINTR;
	if (intr) {
		c->int_ctl |= (u32)(VMCB_V_IRQ | VMCB_V_IGN_TPR) |
		    0xfU << VMCB_V_PRIO_SHIFT;
		c->int_vector = 0;
		c->intercept[VMCB_MISC1] |= (u32)VMCB_I_VINTR;
	}
	svm_changed(v, VMCB_C_INTERCEPTS | VMCB_C_TPR);
}

static void
tpr(struct hv_vcpu *hv, u8 cr8, bool watch)
{
	struct svm_vcpu *v = to_svm(hv);
	struct vmcb_control *c = &v->vmcb->c;
	u32 write = 1U << (16 + 8);

	if (watch != ((c->intercept[VMCB_CR] & write) != 0)) {
		c->intercept[VMCB_CR] ^= write;
		svm_changed(v, VMCB_C_INTERCEPTS);
	}
	if ((c->int_ctl & VMCB_V_TPR) == cr8)
		return;
	c->int_ctl = (c->int_ctl & ~(u32)VMCB_V_TPR) | (cr8 & 0xf);
	svm_changed(v, VMCB_C_TPR);
}

static void
intercept_exceptions(struct hv_vcpu *hv, u32 mask)
{
	struct svm_vcpu *v = to_svm(hv);

	v->vmcb->c.intercept[VMCB_EXCEPTION] = mask | 1U << X86_DB |
	    1U << X86_AC | 1U << X86_MC | (v->shadow ? 1U << X86_PF : 0);
	svm_changed(v, VMCB_C_INTERCEPTS);
}

static void
tsc(struct hv_vcpu *hv, u64 offset, u64 ratio)
{
	struct svm_vcpu *v = to_svm(hv);

	hv->tsc_offset = offset;
	v->vmcb->c.tsc_offset = offset;
	svm_changed(v, VMCB_C_INTERCEPTS);
	preempt_disable();
	hv->tsc_ratio = ratio;
	if (v->loaded && svm_features.tsc_ratio &&
	    svm_this_host()->tsc_ratio != ratio) {
		svm_this_host()->tsc_ratio = ratio;
		wrmsrl(MSR_AMD64_TSC_RATIO, ratio);
	}
	preempt_enable();
}

static void
tsc_aux(struct hv_vcpu *hv, u32 val)
{
	struct svm_vcpu *v = to_svm(hv);

	preempt_disable();
	hv->tsc_aux = val;
	if (v->loaded)
		svm_load_tsc_aux(v, svm_this_host());
	preempt_enable();
}

static void
intercept(u32 *word, u32 bit, bool on)
{
	*word = on ? *word | bit : *word & ~bit;
}

static void
allow(struct hv_vcpu *hv, bool rdtscp, bool invpcid)
{
	struct svm_vcpu *v = to_svm(hv);
	u32 *intercepts = v->vmcb->c.intercept;

	intercept(&intercepts[VMCB_MISC2], (u32)VMCB_I_RDTSCP, !rdtscp);
	intercept(&intercepts[VMCB_MISC3], (u32)VMCB_I_INVPCID,
	    !invpcid || v->shadow);
	svm_changed(v, VMCB_C_INTERCEPTS);
}

static void
spec_ctrl(struct hv_vcpu *hv, u64 val)
{
	hv->spec_ctrl = val;
	if (svm_features.virt_spec_ctrl)
		to_svm(hv)->vmcb->s.spec_ctrl = val;
}

static void
debugger(struct hv_vcpu *hv, bool on)
{
	struct svm_vcpu *v = to_svm(hv);

	v->debugger = v->guest_drs = on;
	v->vmcb->c.intercept[VMCB_DR] = 0xffffffff;
	svm_changed(v, VMCB_C_INTERCEPTS);
}

const struct hv_ops svm_ops = {
	.name = "SVM",
	.caps = &svm_caps,
	.probe = svm_probe,
	.global_init = svm_global_init,
	.global_exit = svm_global_exit,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.vcpu_new = svm_vcpu_new,
	.vcpu_free = svm_vcpu_free,
	.vcpu_reset = svm_vcpu_reset,
	.load = svm_load,
	.put = svm_put,
	.enter = svm_enter,
	.set_root = set_root,
	.flush_tlb = flush_tlb,
	.window = window,
	.tpr = tpr,
	.intercept_exceptions = intercept_exceptions,
	.tsc = tsc,
	.tsc_aux = tsc_aux,
	.allow = allow,
	.spec_ctrl = spec_ctrl,
	.debugger = debugger,
};
