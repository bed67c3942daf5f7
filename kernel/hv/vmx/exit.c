// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Why the guest left: exit reasons to enum hv_exit, with what the hardware
 * says beside them (SDM vol. 3 "VM-Exit Information Fields", "Exit
 * Qualification").
 *
 * Invariants
 *  1. next_rip is 0 unless the exit is of an instruction, whose length the
 *     processor then has.
 *  2. An event whose delivery was cut off is in hv->cut; RIP is that of the
 *     instruction that raised it, or was interrupted.
 *  3. NMIs and machine checks of the host are served here, before IRQs are on.
 */
#include <linux/kernel.h>
#include "../../core/x86.h"
#include "vmx.h"

#define REASON_GETSEC 11
#define REASON_RSM    17

/* "Information for VM Exits That Occur During Event Delivery" */
static void
take_cut(struct vmx_vcpu *v)
{
	struct event *e = &v->hv.cut;
	u32 info = vmx_read(IDT_VECTORING_INFO_FIELD);

	*e = (struct event){ .type = EVENT_NONE };
	if (!(info & VECTORING_INFO_VALID_MASK))
		return;
	e->vector = info & VECTORING_INFO_VECTOR_MASK;
	e->has_error = (info & VECTORING_INFO_DELIVER_CODE_MASK) != 0;
	if (e->has_error)
		e->error = vmx_read(IDT_VECTORING_ERROR_CODE);
	switch (info & VECTORING_INFO_TYPE_MASK) {
	case INTR_TYPE_EXT_INTR:
		e->type = EVENT_INTR;
		break;
	case INTR_TYPE_NMI_INTR:
		e->type = EVENT_NMI;
		break;
	case INTR_TYPE_SOFT_INTR:
		e->type = EVENT_SOFT;
		e->insn_len = vmx_read(VM_EXIT_INSTRUCTION_LEN);
		break;
	default:
		e->type = EVENT_EXCEPTION;
		e->insn_len = vmx_read(VM_EXIT_INSTRUCTION_LEN);
		break;
	}
}

/* "Exit Qualification for I/O Instructions" */
static void
exit_io(struct vmx_vcpu *v)
{
	struct hv_info *i = &v->hv.info;
	u64 x = vmx_read(EXIT_QUALIFICATION);

	i->io.port = (u16)(x >> 16);
	i->io.size = (u8)((x & 7) + 1);
	i->io.in = (x & 8) != 0;
	i->io.string = (x & 16) != 0;
	i->io.rep = (x & 32) != 0;
}

/* "Exit Qualification for Control-Register Accesses"; what is neither MOV to nor
 * from one is CLTS or LMSW. */
static void
exit_cr(struct vmx_vcpu *v)
{
	struct hv_info *i = &v->hv.info;
	u64 x = vmx_read(EXIT_QUALIFICATION);

	i->cr.n = x & 0xf;
	i->cr.write = (x & 0x10) == 0;
	i->cr.decoded = (x & 0x20) == 0;
	i->cr.reg = x >> 8 & 0xf;
}

/*
 * The first use of a debug register: from now to vmx_put() the guest has all
 * of them itself; the instruction is executed again.
 */
static enum hv_exit
exit_dr(struct vmx_vcpu *v)
{
	if (v->debugger)
		return HV_DR;
	v->guest_drs = true;
	v->dirty.controls = true;
	return HV_INTR; /* nothing else is to be done */
}

/* "Exit Qualification for EPT Violations" */
static enum hv_exit
exit_ept(struct vmx_vcpu *v)
{
	struct hv_info *i = &v->hv.info;
	u64 x = vmx_read(EXIT_QUALIFICATION);

	i->gpa = vmx_read(GUEST_PHYSICAL_ADDRESS);
	i->table = (x & EPT_VIOLATION_GVA_IS_VALID) &&
	    !(x & EPT_VIOLATION_GVA_TRANSLATED);
	i->error = (x & EPT_VIOLATION_RWX_MASK ? X86_PFEC_P : 0) |
	    (x & EPT_VIOLATION_ACC_WRITE ? X86_PFEC_W : 0) |
	    (x & EPT_VIOLATION_ACC_INSTR ? X86_PFEC_ID : 0) | X86_PFEC_U;
	/* A walk will set accessed bits: as SVM says it of each. */
	if (i->table)
		i->error |= X86_PFEC_W;
	i->insn_len = 0;
	return HV_NPF;
}

/* "Exit Qualification for Debug Exceptions", "Architectural
 * State Before a VM Exit":
 * DR6 and DR7 are as before, whereas a delivery would have cleared GD. */
static void
debug_causes(struct vmx_vcpu *v)
{
	u64 causes = vmx_read(EXIT_QUALIFICATION) &
	    (X86_DR6_B | X86_DR6_BD | X86_DR6_BS);
	struct gcpu *c = &v->hv.cpu;

	cpu_need(c, CPU_DRS);
	c->dr6 = (c->dr6 & ~X86_DR6_B) | causes;
	if (causes & X86_DR6_BD)
		c->dr7 &= ~X86_DR7_GD;
	cpu_dirty(c, CPU_DRS);
}

static enum hv_exit
exit_exception(struct vmx_vcpu *v)
{
	u32 info = vmx_read(VM_EXIT_INTR_INFO);
	struct hv_info *i = &v->hv.info;

	i->vector = info & INTR_INFO_VECTOR_MASK;
	if (i->vector != X86_PF)
		v->in_pending = VMX_PENDING_UNKNOWN;
	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR) {
		asm volatile("int $2");
		return HV_INTR;
	}
	if (i->vector == X86_MC) {
		asm volatile("int $18");
		return HV_INTR;
	}
	i->error = info & INTR_INFO_DELIVER_CODE_MASK
	    ? vmx_read(VM_EXIT_INTR_ERROR_CODE)
	    : 0;
	if (i->vector == X86_PF)
		i->cr2 = vmx_read(EXIT_QUALIFICATION);
	if (i->vector == X86_DB)
		debug_causes(v);
	return HV_EXCEPTION;
}

static enum hv_exit
exit_window(struct vmx_vcpu *v)
{
	v->hv.irq_window = false;
	vmx_control(v, &v->primary, CPU_BASED_INTR_WINDOW_EXITING, false);
	return HV_WINDOW_INTR;
}

/* The handler's IRET is behind us. */
static enum hv_exit
exit_nmi_window(struct vmx_vcpu *v)
{
	v->nmi_window = false;
	vmx_control(v, &v->primary, CPU_BASED_NMI_WINDOW_EXITING, false);
	return HV_WINDOW_NMI;
}

/* "Exit Qualification for Task Switches".  A cut event came by a task gate; it
 * is of an instruction where that is a software interrupt. */
static enum hv_exit
exit_task(struct vmx_vcpu *v)
{
	static const enum task_why why[] = { TASK_CALL, TASK_IRET, TASK_JMP,
		TASK_GATE };
	const struct event *e = &v->hv.cut;
	struct hv_info *i = &v->hv.info;
	u64 x = vmx_read(EXIT_QUALIFICATION);
	bool insn;

	i->task.decoded = true;
	i->task.sel = (u16)x;
	i->task.why = why[x >> 30 & 3];
	insn = i->task.why != TASK_GATE || e->type == EVENT_SOFT ||
	    (e->type == EVENT_EXCEPTION &&
		(e->vector == X86_BP || e->vector == X86_OF));
	i->task.len = insn ? (u8)vmx_read(VM_EXIT_INSTRUCTION_LEN) : 0;
	return HV_TASK;
}

static void
next_rip(struct vmx_vcpu *v)
{
	struct gcpu *c = &v->hv.cpu;
	u64 rip = c->rip + vmx_read(VM_EXIT_INSTRUCTION_LEN);

	/* It wraps at the end of 4 GiB but in 64-bit code. */
	if ((rip ^ c->rip) >> 32) {
		cpu_need(c, CPU_SEGS | CPU_CRS);
		if (cpu_mode_bits(c) != 64)
			rip = (u32)rip;
	}
	v->hv.info.next_rip = rip;
}

/* What exits before it is carried out, and is no event's delivery: HV_INTR, which
 * no instruction is, for all else. */
static const u8 instructions[] = {
	[EXIT_REASON_CPUID] = HV_CPUID,
	[REASON_GETSEC] = HV_UD,
	[EXIT_REASON_HLT] = HV_HLT,
	[EXIT_REASON_INVD] = HV_WBINVD,
	[EXIT_REASON_RDPMC] = HV_RDPMC,
	[REASON_RSM] = HV_UD,
	[EXIT_REASON_INVLPG] = HV_INVLPG,
	[EXIT_REASON_VMCALL] = HV_HYPERCALL,
	[EXIT_REASON_CR_ACCESS] = HV_CR,
	[EXIT_REASON_VMCLEAR... EXIT_REASON_VMON] = HV_UD,
	[EXIT_REASON_IO_INSTRUCTION] = HV_IO,
	[EXIT_REASON_MSR_READ] = HV_RDMSR,
	[EXIT_REASON_MSR_WRITE] = HV_WRMSR,
	[EXIT_REASON_MWAIT_INSTRUCTION] = HV_UD,
	[EXIT_REASON_MONITOR_INSTRUCTION] = HV_UD,
	[EXIT_REASON_PAUSE_INSTRUCTION] = HV_PAUSE,
	[EXIT_REASON_INVEPT] = HV_UD,
	[EXIT_REASON_INVVPID] = HV_UD,
	[EXIT_REASON_WBINVD] = HV_WBINVD,
	[EXIT_REASON_XSETBV] = HV_XSETBV,
};
static_assert(HV_INTR == 0, "holes are no instructions");

static enum hv_exit
exit_insn(struct vmx_vcpu *v, u32 reason)
{
	v->hv.cut.type = EVENT_NONE;
	next_rip(v);
	switch (reason) {
	case EXIT_REASON_IO_INSTRUCTION:
		exit_io(v);
		break;
	case EXIT_REASON_CR_ACCESS:
		exit_cr(v);
		break;
	case EXIT_REASON_INVLPG: /* "Exit Qualification" */
		v->hv.info.linear = vmx_read(EXIT_QUALIFICATION);
		break;
	}
	return instructions[reason];
}

enum hv_exit
vmx_decode_exit(struct vmx_vcpu *v, u32 reason)
{
	reason = (u16)reason;
	if (reason < ARRAY_SIZE(instructions) &&
	    instructions[reason] != HV_INTR)
		return exit_insn(v, reason);
	v->hv.info.next_rip = 0;
	take_cut(v);
	switch (reason) {
	case EXIT_REASON_EXCEPTION_NMI:
		return exit_exception(v);
	case EXIT_REASON_INIT_SIGNAL:
		v->in_pending = VMX_PENDING_UNKNOWN;
		return HV_INTR;
	case EXIT_REASON_EXTERNAL_INTERRUPT:
		return HV_INTR;
	case EXIT_REASON_TRIPLE_FAULT:
		return HV_SHUTDOWN;
	case EXIT_REASON_INTERRUPT_WINDOW:
		return exit_window(v);
	case EXIT_REASON_NMI_WINDOW:
		return exit_nmi_window(v);
	case EXIT_REASON_TASK_SWITCH:
		return exit_task(v);
	case EXIT_REASON_DR_ACCESS:
		return exit_dr(v);
	case EXIT_REASON_EPT_VIOLATION:
		return exit_ept(v);
	case EXIT_REASON_EPT_MISCONFIG:
		v->hv.info.hw_reason = reason;
		return HV_FAILED;
	default:
		return HV_UD;
	}
}
