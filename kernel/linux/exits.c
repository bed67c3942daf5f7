// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * What an exit asks for.
 *
 * Invariants
 *  1. RIP moves past an instruction only when it was carried out; one that
 *     cannot be measured (its bytes are gone meanwhile) is executed again.
 *  2. What cannot be emulated ends KVM_RUN with an internal error: nothing is
 *     guessed.
 */
#include <linux/sched.h>
#include <linux/string.h>
#include <asm/fpu/xcr.h>
#include <uapi/linux/kvm_para.h>
#include "../core/insn.h"
#include "../core/x86.h"
#include "cpuid.h"
#include "debug.h"
#include "linear.h"
#include "mmio.h"
#include "mmu.h"
#include "vapic.h"

bool
exits_measure(struct vcpu *v, struct insn *in)
{
	struct gcpu *c = vcpu_state(v);
	u8 buf[INSN_MAX];
	unsigned bits;

	cpu_need(c, CPU_CODE | CPU_CRS);
	bits = cpu_mode_bits(c);
	return insn_decode(buf, linear_fetch(v, buf), bits, in) == 0 &&
	    in->what != INSN_OTHER;
}

/* Where the next instruction is; false: this one is executed again. */
static bool
next_rip(struct vcpu *v, u64 *rip)
{
	struct gcpu *c = vcpu_state(v);
	struct insn in;

	*rip = v->hv->info.next_rip;
	if (*rip != 0)
		return true;
	if (!exits_measure(v, &in))
		return false;
	*rip = c->rip + in.len;
	if (cpu_mode_bits(c) != 64)
		*rip = (u32)*rip;
	return true;
}

bool
exits_skip(struct vcpu *v)
{
	u64 rip;

	if (!next_rip(v, &rip))
		return false;
	vcpu_state(v)->rip = rip;
	emulate_done(v, false);
	return true;
}

static enum next
gp(struct vcpu *v)
{
	event_raise(&v->event, X86_GP, true, 0);
	return NEXT_ENTER;
}

static enum next
internal_error(struct vcpu *v, u32 suberror)
{
	memset(&v->run->internal, 0, sizeof(v->run->internal));
	v->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	v->run->internal.suberror = suberror;
	return NEXT_USER;
}

/* With KVM's words about it: the event, the exit, its error, its address. */
static enum next
delivery_error(struct vcpu *v, enum hv_exit why)
{
	const struct event *e = &v->hv->cut;
	struct kvm_run *run = v->run;

	internal_error(v, KVM_INTERNAL_ERROR_DELIVERY_EV);
	run->internal.ndata = 4;
	run->internal.data[0] = (u64)e->type << 8 | e->vector;
	run->internal.data[1] = why;
	run->internal.data[2] =
	    why == HV_NPF ? v->hv->info.error : v->hv->info.vector;
	run->internal.data[3] = why == HV_NPF ? v->hv->info.gpa : 0;
	return NEXT_USER;
}

void
exits_answer_cpuid(struct vcpu *v)
{
	struct gcpu *c = &v->hv->cpu;

	cpuid_answer(v->cpuid, v->ncpuid, c, c->gpr);
}

static enum next
serve_cpuid(struct vcpu *v)
{
	if (exits_skip(v))
		exits_answer_cpuid(v);
	return NEXT_ENTER;
}

static enum next
serve_rdmsr(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);
	u64 val;

	if (msr_read(v, (u32)c->gpr[R_RCX], &val, false))
		return gp(v);
	if (exits_skip(v)) {
		c->gpr[R_RAX] = (u32)val;
		c->gpr[R_RDX] = val >> 32;
	}
	return NEXT_ENTER;
}

static enum next
serve_wrmsr(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);
	u64 rip;

	if (!next_rip(v, &rip))
		return NEXT_ENTER;
	if (msr_write(v, (u32)c->gpr[R_RCX],
		(u32)c->gpr[R_RAX] | c->gpr[R_RDX] << 32, false))
		return gp(v);
	c->rip = rip;
	emulate_done(v, false);
	return NEXT_ENTER;
}

enum next
exits_halt(struct vcpu *v)
{
	if (!v->vm->apics) {
		v->run->exit_reason = KVM_EXIT_HLT;
		return NEXT_USER;
	}
	v->mp_state = KVM_MP_STATE_HALTED;
	return NEXT_ENTER;
}

static enum next
serve_hlt(struct vcpu *v)
{
	return exits_skip(v) ? exits_halt(v) : NEXT_ENTER;
}

/* What user space is to be told once the instruction is carried out. */
static enum next
tell(struct vcpu *v)
{
	if (v->eoi_pending) {
		v->eoi_pending = false;
		v->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
		v->run->eoi.vector = v->eoi_vector;
		return NEXT_USER;
	}
	if (!v->vapic.seen)
		return NEXT_ENTER;
	vapic_report(v);
	return NEXT_USER;
}

static enum next
finish(struct vcpu *v)
{
	int kind = v->pending.kind;

	v->pending.kind = PENDING_NONE;
	if (v->pending.rip != vcpu_state(v)->rip)
		return NEXT_ENTER;
	if (kind == PENDING_EMUL)
		return emulate_complete(v);
	if (kind == PENDING_LOAD)
		return mmio_complete(v);
	v->pending.kind = kind;
	pio_complete(v);
	return NEXT_ENTER;
}

enum next
exits_complete(struct vcpu *v)
{
	enum next next = finish(v);

	return next == NEXT_ENTER ? tell(v) : next;
}

/* As the hardware says, else as the bytes do; false: they are CLTS or LMSW, or gone. */
static bool
measure_cr(struct vcpu *v, struct insn *in)
{
	const struct hv_info *i = &v->hv->info;

	if (!i->cr.decoded || i->next_rip == 0)
		return exits_measure(v, in);
	*in = (struct insn){ .what = INSN_MOV_CR,
		.write = i->cr.write,
		.n = i->cr.n,
		.reg = i->cr.reg,
		.len = (u8)(i->next_rip - vcpu_state(v)->rip) };
	return true;
}

static void
cr_done(struct vcpu *v, const struct insn *in)
{
	struct gcpu *c = vcpu_state(v);

	c->rip += in->len;
	if (cpu_mode_bits(c) != 64)
		c->rip = (u32)c->rip;
	emulate_done(v, false);
}

/*
 * CR3 of a guest with shadow tables, which is here alone (mmu.c): no backend has to
 * write it.  Kernels that keep their tables from user space load it, and read it
 * before, with each system call.
 */
static enum next
serve_cr3(struct vcpu *v, const struct insn *in, u64 mask)
{
	struct gcpu *c = vcpu_state(v);
	u64 val = c->gpr[in->reg] & mask;

	if (!in->write) {
		c->gpr[in->reg] = c->cr3 & mask;
	} else if (cpu_cr3_allowed(c, &val)) {
		c->cr3 = val;
		mmu_invalidate(v);
	} else {
		return gp(v);
	}
	cr_done(v, in);
	return NEXT_ENTER;
}

/*
 * MOV to CR4, for what OSXSAVE and the valid bits need; to CR0, where the
 * backend has bits of it; to CR8, while an interrupt waits for the TPR to fall.
 * The rest is for those that cannot have more of a control register's own.
 */
static enum next
serve_cr(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);
	u64 mask = ~0ULL, val;
	struct insn in;

	if (!measure_cr(v, &in))
		return emulate(v, NULL, 0);
	cpu_need(c, CPU_CODE | CPU_CRS);
	if (cpu_mode_bits(c) != 64)
		mask = 0xffffffff;
	if (in.what == INSN_MOV_CR && in.n == 3 && v->vm->shadow)
		return serve_cr3(v, &in, mask);
	if (in.what != INSN_MOV_CR || !in.write ||
	    (in.n != 4 && in.n != 8 && (in.n != 0 || v->vm->shadow)))
		return emulate(v, NULL, 0);
	val = c->gpr[in.reg] & mask;
	if (in.n == 8) {
		if (val > 15)
			return gp(v);
		vcpu_set_cr8(v, val);
	} else if (in.n == 4 ? cpu_set_cr4(c, val) : cpu_set_cr0(c, val)) {
		return gp(v);
	} else {
		mmu_invalidate(v);
		hv->flush_tlb(v->hv);
	}
	cr_done(v, &in);
	return NEXT_ENTER;
}

/* Of an address that is not canonical it does nothing; more is no harm. */
static enum next
serve_invlpg(struct vcpu *v)
{
	const struct hv_info *i = &v->hv->info;

	if (i->next_rip == 0)
		return emulate(v, NULL, 0);
	mmu_invlpg(v, (struct gva){ i->linear });
	hv->flush_tlb(v->hv);
	exits_skip(v);
	return NEXT_ENTER;
}

/* APM vol. 4 "XSETBV".  A processor checks CR4 before the intercept; an
 * emulated one may not. */
static enum next
serve_xsetbv(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);
	u64 val = (u32)c->gpr[R_RAX] | c->gpr[R_RDX] << 32;

	cpu_need(c, CPU_SEGS | CPU_CRS);
	if (!(c->cr4 & X86_CR4_OSXSAVE)) {
		event_raise(&v->event, X86_UD, false, 0);
		return NEXT_ENTER;
	}
	if (c->cpl != 0 || (u32)c->gpr[R_RCX] != 0 || !cpu_xcr0_allowed(c, val))
		return gp(v);
	if (exits_skip(v))
		c->xcr0 = val;
	return NEXT_ENTER;
}

static enum next
serve_npf(struct vcpu *v)
{
	const struct hv_info *i = &v->hv->info;
	struct gpa gpa = { i->gpa };

	switch (
	    mem_fault(v->vm, &v->cache, gpa, (i->error & X86_PFEC_W) != 0)) {
	case MEM_MAPPED:
		return NEXT_ENTER;
	case MEM_NONE:
		if (v->hv->cut.type != EVENT_NONE)
			return delivery_error(v, HV_NPF);
		return mmio_fault(v);
	case MEM_ERROR:
		return NEXT_ERROR;
	}
	return NEXT_ERROR;
}

/* Without nested paging: each one of the guest's comes here. */
static enum next
serve_pf(struct vcpu *v)
{
	switch (mmu_fault(v)) {
	case MMU_AGAIN:
		return NEXT_ENTER;
	case MMU_DEVICE:
		if (v->hv->cut.type != EVENT_NONE)
			return delivery_error(v, HV_EXCEPTION);
		return mmio_fault(v);
	case MMU_EMULATE:
		return emulate(v, NULL, 0);
	case MMU_ERROR:
		return NEXT_ERROR;
	}
	return NEXT_ERROR;
}

static enum next
serve_exception(struct vcpu *v)
{
	switch (v->hv->info.vector) {
	case X86_DB:
		return debug_db(v);
	case X86_BP:
		return debug_bp(v);
	case X86_AC:
		event_raise(&v->event, X86_AC, true, 0);
		return NEXT_ENTER;
	case X86_PF:
		return serve_pf(v);
	default:
		return delivery_error(v, HV_EXCEPTION);
	}
}

/* KVM_HC_VAPIC_POLL_IRQ only: the exit itself is what it is for. */
static enum next
serve_hypercall(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);
	u64 nr = c->gpr[R_RAX], mask = ~0ULL;
	long r = -KVM_ENOSYS;

	cpu_need(c, CPU_CODE | CPU_CRS);
	if (cpu_mode_bits(c) != 64)
		mask = 0xffffffff;
	if (c->cpl != 0)
		r = -KVM_EPERM;
	else if ((nr & mask) == KVM_HC_VAPIC_POLL_IRQ)
		r = 0;
	if (exits_skip(v))
		c->gpr[R_RAX] = (u64)r & mask;
	return NEXT_ENTER;
}

static enum next
serve(struct vcpu *v, enum hv_exit why)
{
	switch (why) {
	case HV_INTR:
	case HV_WINDOW_INTR:
		return NEXT_ENTER;
	case HV_WINDOW_NMI:
		if (hv->caps->nmi_window)
			event_iret_done(&v->event);
		else
			event_iret(&v->event, vcpu_state(v)->rip);
		return NEXT_ENTER;
	case HV_CPUID:
		return serve_cpuid(v);
	case HV_RDMSR:
		return serve_rdmsr(v);
	case HV_WRMSR:
		return serve_wrmsr(v);
	case HV_HLT:
		return serve_hlt(v);
	case HV_IO:
		return pio_serve(v);
	case HV_NPF:
		return serve_npf(v);
	case HV_EXCEPTION:
		return serve_exception(v);
	case HV_HYPERCALL:
		return serve_hypercall(v);
	case HV_DR:
		return debug_mov_dr(v);
	case HV_CR:
		return serve_cr(v);
	case HV_XSETBV:
		return serve_xsetbv(v);
	case HV_WBINVD:
		exits_skip(v);
		return NEXT_ENTER;
	case HV_PAUSE:
		exits_skip(v);
		vcpu_spins(v);
		return NEXT_ENTER;
	case HV_RDPMC:
		return gp(v);
	case HV_UD:
		event_raise(&v->event, X86_UD, false, 0);
		return NEXT_ENTER;
	case HV_EMULATE:
		return real_serve(v);
	case HV_INVLPG:
		return serve_invlpg(v);
	case HV_TASK:
		return v->hv->info.task.decoded
		    ? emulate_task(v)
		    : internal_error(v, KVM_INTERNAL_ERROR_EMULATION);
	case HV_SHUTDOWN:
		v->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return NEXT_USER;
	case HV_FAILED:
		v->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
		v->run->fail_entry.hardware_entry_failure_reason =
		    v->hv->info.hw_reason;
		v->run->fail_entry.cpu = v->cpu;
		return NEXT_USER;
	}
	return internal_error(v, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON);
}

enum next
exits_serve(struct vcpu *v, enum hv_exit why)
{
	enum next next = serve(v, why);

	return next == NEXT_ENTER ? tell(v) : next;
}
