// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The VMX backend's table, and its small members: what linux/ sets for the
 * next entry.  A vCPU may be loaded or not: nothing here touches the VMCS.
 */
#include <linux/kernel.h>
#include <linux/preempt.h>
#include <asm/msr-index.h>
#include "../../core/x86.h"
#include "vmx.h"

#define VAPIC_TPR 0x80

static void
set_root(struct hv_vcpu *hv, struct hpa root)
{
	struct vmx_vcpu *v = to_vmx(hv);

	v->root = root.v;
	v->dirty.root = true;
}

static void
flush_tlb(struct hv_vcpu *hv)
{
	to_vmx(hv)->dirty.flush = true;
}

/* SDM vol. 3 "NMI-Window Exiting", "Interrupt-Window Exiting": the NMI's is
 * after the handler's IRET. */
static void
window(struct hv_vcpu *hv, bool intr, bool nmi)
{
	struct vmx_vcpu *v = to_vmx(hv);

	u32 both = CPU_BASED_NMI_WINDOW_EXITING | CPU_BASED_INTR_WINDOW_EXITING;
	u32 want = (nmi ? CPU_BASED_NMI_WINDOW_EXITING : 0U) |
	    (intr ? CPU_BASED_INTR_WINDOW_EXITING : 0U);

	v->nmi_window = nmi;
	hv->irq_window = intr;
	if ((v->primary & both) == want)
		return;
	v->primary = (v->primary & ~both) | want;
	v->dirty.controls = true;
}

static void
tpr(struct hv_vcpu *hv, u8 cr8, bool watch)
{
	struct vmx_vcpu *v = to_vmx(hv);

	vmx_control(v, &v->primary, CPU_BASED_CR8_LOAD_EXITING, watch);
	v->vapic[VAPIC_TPR] = (u8)(cr8 << 4);
}

static void
intercept_exceptions(struct hv_vcpu *hv, u32 mask)
{
	vmx_exceptions(to_vmx(hv), mask);
}

static void
tsc(struct hv_vcpu *hv, u64 offset, u64 ratio)
{
	hv->tsc_offset = offset;
	hv->tsc_ratio = ratio;
	to_vmx(hv)->dirty.controls = true;
}

static void
tsc_aux(struct hv_vcpu *hv, u32 val)
{
	hv->tsc_aux = val;
	if (vmx_features.last_msr == MSR_TSC_AUX)
		to_vmx(hv)->lists->guest[VMX_LAST].value = val;
}

static void
allow(struct hv_vcpu *hv, bool rdtscp, bool invpcid)
{
	struct vmx_vcpu *v = to_vmx(hv);

	vmx_control(v, &v->secondary, SECONDARY_EXEC_ENABLE_RDTSCP,
	    rdtscp && vmx_features.rdtscp);
	vmx_control(v, &v->secondary, SECONDARY_EXEC_ENABLE_INVPCID,
	    invpcid && !v->shadow &&
		(vmx_features.secondary & SECONDARY_EXEC_ENABLE_INVPCID));
}

static void
spec_ctrl(struct hv_vcpu *hv, u64 val)
{
	hv->spec_ctrl = val;
}

static void
debugger(struct hv_vcpu *hv, bool on)
{
	struct vmx_vcpu *v = to_vmx(hv);

	v->debugger = v->guest_drs = on;
	v->dirty.controls = true;
}

static void
pdptrs(struct hv_vcpu *hv, const u64 pdptr[4])
{
	struct vmx_vcpu *v = to_vmx(hv);

	memcpy(v->pdptr, pdptr, sizeof(v->pdptr));
	v->dirty.pdptrs = true;
}

const struct hv_ops vmx_ops = {
	.name = "VMX",
	.caps = &vmx_caps,
	.probe = vmx_probe,
	.global_init = vmx_global_init,
	.global_exit = vmx_global_exit,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.vcpu_new = vmx_vcpu_new,
	.vcpu_free = vmx_vcpu_free,
	.vcpu_reset = vmx_vcpu_reset,
	.load = vmx_load,
	.put = vmx_put,
	.enter = vmx_enter,
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
	.pdptrs = pdptrs,
};
