// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Why the guest left: exit codes to enum hv_exit, with what the hardware
 * says beside them (APM vol. 2 Appendix C "SVM Intercept Exit Codes").
 *
 * Invariants
 *  1. next_rip is 0 unless this CPU saves it and the exit is of a decoded
 *     instruction; the caller then measures the instruction itself.
 *  2. An event whose delivery was cut off is in hv->cut; RIP is that of the
 *     instruction that raised it, or was interrupted.
 */
#include <linux/kernel.h>
#include "../../core/x86.h"
#include "svm.h"

#define EVENT_ERROR(info) ((u32)((info) >> 32))

static void
take_cut(struct svm_vcpu *v)
{
	struct event *e = &v->hv.cut;
	u64 info = v->vmcb->c.exit_int_info;
	u8 vec = info & VMCB_EV_VECTOR;

	e->type = EVENT_NONE;
	if (!(info & VMCB_EV_VALID))
		return;
	e->vector = vec;
	e->has_error = (info & VMCB_EV_ERROR) != 0;
	e->error = e->has_error ? EVENT_ERROR(info) : 0;
	switch (info & VMCB_EV_TYPE) {
	case VMCB_EV_INTR:
		e->type = EVENT_INTR;
		break;
	case VMCB_EV_NMI:
		e->type = EVENT_NMI;
		break;
	case VMCB_EV_EXCEPTION:
		e->type = EVENT_EXCEPTION;
		break;
	case VMCB_EV_SOFT:
		e->type = EVENT_SOFT;
		break;
	default:
		break;
	}
}

static enum hv_exit
exit_io(struct svm_vcpu *v)
{
	const struct vmcb_control *c = &v->vmcb->c;
	struct hv_info *i = &v->hv.info;
	u64 x = c->exit_info1;

	i->io.port = (u16)(x >> VMCB_IO_PORT_SHIFT);
	i->io.size = (u8)((x & VMCB_IO_SIZE) >> VMCB_IO_SIZE_SHIFT);
	i->io.in = (x & VMCB_IO_IN) != 0;
	i->io.string = (x & VMCB_IO_STR) != 0;
	i->io.rep = (x & VMCB_IO_REP) != 0;
	i->next_rip = c->exit_info2; /* "IOIO Intercept Information" */
	return HV_IO;
}

/* "Next-RIP": of instructions that are intercepted; it is of use where the rest of
 * them is known. */
static u64
next_rip(const struct svm_vcpu *v)
{
	return svm_features.nrips ? v->vmcb->c.next_rip : 0;
}

/* APM "Decode Assists", "MOV CRx/DRx": bit 63 and the register's number. */
static enum hv_exit
exit_cr(struct svm_vcpu *v, u64 code)
{
	struct hv_info *i = &v->hv.info;
	u64 x = v->vmcb->c.exit_info1;

	i->cr.n = code & 0xf;
	i->cr.write = (code & 0x10) != 0;
	i->cr.decoded = svm_features.decode && (x >> 63);
	i->cr.reg = x & 0xf;
	if (i->cr.decoded)
		i->next_rip = next_rip(v);
	return HV_CR;
}

/* "Decode Assists", "INVLPG and INVLPGA". */
static enum hv_exit
exit_invlpg(struct svm_vcpu *v)
{
	struct hv_info *i = &v->hv.info;

	i->linear = v->vmcb->c.exit_info1;
	if (svm_features.decode)
		i->next_rip = next_rip(v);
	return HV_INVLPG;
}

/*
 * The first use of a debug register: from now to svm_put() the guest has all
 * of them itself; the instruction is executed again.
 */
static enum hv_exit
exit_dr(struct svm_vcpu *v)
{
	if (v->debugger)
		return HV_DR;
	v->guest_drs = true;
	v->vmcb->c.intercept[VMCB_DR] = 0;
	svm_changed(v, VMCB_C_INTERCEPTS);
	return HV_INTR; /* nothing else is to be done */
}

static enum hv_exit
exit_npf(struct svm_vcpu *v)
{
	const struct vmcb_control *c = &v->vmcb->c;
	struct hv_info *i = &v->hv.info;

	i->error = c->exit_info1;
	i->gpa = c->exit_info2;
	i->table = (c->exit_info1 & VMCB_NPF_TABLE) != 0;
	i->insn_len = 0;
	if (svm_features.decode && c->insn_len <= sizeof(i->insn)) {
		i->insn_len = c->insn_len;
		memcpy(i->insn, c->insn, i->insn_len);
	}
	return HV_NPF;
}

static enum hv_exit
exit_exception(struct svm_vcpu *v, u64 code)
{
	struct hv_info *i = &v->hv.info;

	i->vector = (u8)(code - VMEXIT_EXCP0);
	if (i->vector == X86_MC)
		return HV_INTR; /* the host's, and served */
	i->error = v->vmcb->c.exit_info1;
	i->cr2 = v->vmcb->c.exit_info2;
	return HV_EXCEPTION;
}

/* The window that svm_window() asked for is open. */
static enum hv_exit
exit_vintr(struct svm_vcpu *v)
{
	struct vmcb_control *c = &v->vmcb->c;

	c->int_ctl &= ~(u32)(VMCB_V_IRQ | VMCB_V_IGN_TPR);
	c->intercept[VMCB_MISC1] &= ~(u32)VMCB_I_VINTR;
	v->hv.irq_window = false;
	svm_changed(v, VMCB_C_INTERCEPTS | VMCB_C_TPR);
	return HV_WINDOW_INTR;
}

static enum hv_exit
exit_iret(struct svm_vcpu *v)
{
	v->vmcb->c.intercept[VMCB_MISC1] &= ~(u32)VMCB_I_IRET;
	svm_changed(v, VMCB_C_INTERCEPTS);
	return HV_WINDOW_NMI;
}

static enum hv_exit
exit_insn(struct svm_vcpu *v, u64 code)
{
	v->hv.info.next_rip = next_rip(v);
	switch (code) {
	case VMEXIT_CPUID:
		return HV_CPUID;
	case VMEXIT_MSR:
		return v->vmcb->c.exit_info1 ? HV_WRMSR : HV_RDMSR;
	case VMEXIT_HLT:
		return HV_HLT;
	case VMEXIT_VMMCALL:
		return HV_HYPERCALL;
	case VMEXIT_XSETBV:
		return HV_XSETBV;
	case VMEXIT_WBINVD:
	case VMEXIT_INVD:
		return HV_WBINVD;
	case VMEXIT_PAUSE:
		return HV_PAUSE;
	case VMEXIT_RDPMC:
		return HV_RDPMC;
	default:
		return HV_UD; /* SVM's own, MONITOR, MWAIT, RDPRU, RSM */
	}
}

enum hv_exit
svm_decode_exit(struct svm_vcpu *v)
{
	u64 code = v->vmcb->c.exit_code;

	v->hv.info.next_rip = 0;
	take_cut(v);
	if (code < VMEXIT_DR0_READ)
		return exit_cr(v, code);
	if (code < VMEXIT_EXCP0)
		return exit_dr(v);
	if (code < VMEXIT_INTR)
		return exit_exception(v, code);
	switch (code) {
	case VMEXIT_INTR:
	case VMEXIT_NMI:
	case VMEXIT_SMI:
	case VMEXIT_INIT:
		return HV_INTR;
	case VMEXIT_VINTR:
		return exit_vintr(v);
	case VMEXIT_IRET:
		return exit_iret(v);
	case VMEXIT_IOIO:
		return exit_io(v);
	case VMEXIT_INVLPG:
		return exit_invlpg(v);
	case VMEXIT_TASK_SWITCH:
		v->hv.info.task.decoded = false;
		return HV_TASK;
	case VMEXIT_SHUTDOWN:
		return HV_SHUTDOWN;
	case VMEXIT_NPF:
		return exit_npf(v);
	case VMEXIT_INVALID:
		v->hv.info.hw_reason = code;
		return HV_FAILED;
	default:
		return exit_insn(v, code);
	}
}
