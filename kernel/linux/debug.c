// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Debug registers and KVM_SET_GUEST_DEBUG: a debugger outside of the guest
 * that steps it and sets breakpoints (APM vol. 2 "Software-Debug Resources").
 *
 * Invariants
 *  1. Outside of an entry, gcpu's DR0-3, DR6, DR7 and RFLAGS.TF are the
 *     guest's own; the debugger's take their place in debug_before() and go
 *     in debug_after().
 *  2. With a debugger the guest has no direct access to debug registers:
 *     debug_mov_dr() carries out its moves, so that neither sees the other's.
 *  3. A step over an instruction that the driver carries out is a step too.
 */
#include <linux/kvm.h>
#include <linux/string.h>
#include "../core/insn.h"
#include "../core/x86.h"
#include "calls.h"
#include "debug.h"

#define DR6_FIXED    0xffff0ff0ULL
#define DR6_CAUSES   (X86_DR6_B | X86_DR6_BD | X86_DR6_BS | X86_DR6_BT)
#define DR7_FIXED    0x400ULL
#define DR7_WRITABLE 0xffff2bffULL
#define STEP	     KVM_GUESTDBG_SINGLESTEP
#define HARD	     KVM_GUESTDBG_USE_HW_BP
#define SOFT	     KVM_GUESTDBG_USE_SW_BP

long
debug_get_regs(struct vcpu *v, void *buf)
{
	struct gcpu *c = vcpu_state(v);
	struct kvm_debugregs *d = buf;

	cpu_need(c, CPU_DRS);
	memcpy(d->db, c->dr, sizeof(d->db));
	d->dr6 = c->dr6;
	d->dr7 = c->dr7;
	return 0;
}

long
debug_set_regs(struct vcpu *v, void *buf)
{
	struct gcpu *c = vcpu_state(v);
	struct kvm_debugregs *d = buf;

	if (d->flags || (d->dr6 >> 32) || (d->dr7 >> 32))
		return -EINVAL;
	cpu_need(c, CPU_DRS);
	memcpy(c->dr, d->db, sizeof(c->dr));
	c->dr6 = d->dr6 | DR6_FIXED;
	c->dr7 = (d->dr7 & (DR7_WRITABLE | DR7_FIXED)) | DR7_FIXED;
	cpu_dirty(c, CPU_DRS);
	return 0;
}

long
debug_set_guest(struct vcpu *v, void *buf)
{
	struct kvm_guest_debug *g = buf;
	u32 inject = KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP;
	/* The guest's own INT3, which RIP still names. */
	const struct event int3 = {
		.type = EVENT_EXCEPTION, .vector = X86_BP, .insn_len = 1
	};
	u32 known = KVM_GUESTDBG_ENABLE | STEP | HARD | SOFT | inject |
	    KVM_GUESTDBG_BLOCKIRQ;

	if (g->control & ~known)
		return -EINVAL;
	if (g->control & inject) {
		if (v->event.exception.type != EVENT_NONE)
			return -EBUSY;
		if (g->control & KVM_GUESTDBG_INJECT_DB)
			event_raise(&v->event, X86_DB, false, 0);
		else
			event_raise_payload(&v->event, &int3);
	}
	v->debug.control = g->control & ~inject;
	if (!(g->control & KVM_GUESTDBG_ENABLE))
		v->debug.control = 0;
	memcpy(v->debug.dr, g->arch.debugreg, sizeof(v->debug.dr));
	v->debug.dr7 = (g->arch.debugreg[7] & DR7_WRITABLE) | DR7_FIXED;
	v->debug.stepped = false;
	hv->debugger(v->hv, (v->debug.control & (STEP | HARD)) != 0);
	hv->intercept_exceptions(
	    v->hv, (v->debug.control & SOFT) ? 1U << X86_BP : 0);
	vcpu_attend(v);
	return 0;
}

static void
swap_breakpoints(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(c->dr); i++)
		swap(c->dr[i], v->debug.dr[i]);
	swap(c->dr7, v->debug.dr7);
}

void
debug_before(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);
	bool step = (v->debug.control & STEP) || event_wants_step(&v->event);

	cpu_need(c, CPU_DRS);
	v->debug.guest_dr6 = c->dr6;
	c->dr6 = DR6_FIXED;
	if (v->debug.control & HARD)
		swap_breakpoints(v);
	cpu_dirty(c, CPU_DRS);
	v->debug.our_tf = step && !(c->rflags & X86_RFLAGS_TF);
	if (step)
		c->rflags |= X86_RFLAGS_TF;
}

void
debug_after(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);

	cpu_need(c, CPU_DRS);
	v->debug.seen = c->dr6 & DR6_CAUSES;
	c->dr6 = v->debug.guest_dr6;
	if (v->debug.control & HARD)
		swap_breakpoints(v);
	cpu_dirty(c, CPU_DRS);
	if (v->debug.our_tf)
		c->rflags &= ~X86_RFLAGS_TF;
}

static enum next
report(struct vcpu *v, u8 vector, u64 dr6)
{
	struct kvm_debug_exit_arch *d = &v->run->debug.arch;
	struct gcpu *c = vcpu_state(v);

	cpu_need(c, CPU_SEGS | CPU_DRS);
	v->run->exit_reason = KVM_EXIT_DEBUG;
	*d = (struct kvm_debug_exit_arch){ .exception = vector,
		.pc = c->rip + c->seg[SEG_CS].base,
		.dr6 = dr6 | DR6_FIXED,
		.dr7 = (v->debug.control & HARD) ? v->debug.dr7 : c->dr7 };
	return NEXT_USER;
}

static void
raise(struct vcpu *v, u64 causes)
{
	struct event e = { .type = EVENT_EXCEPTION,
		.vector = X86_DB,
		.has_payload = true,
		.payload = causes };

	event_raise_payload(&v->event, &e);
}

void
debug_skipped(struct vcpu *v)
{
	if (v->debug.control & STEP)
		v->debug.stepped = true;
	else if (vcpu_state(v)->rflags & X86_RFLAGS_TF)
		raise(v, X86_DR6_BS);
}

bool
debug_report_step(struct vcpu *v)
{
	if (!v->debug.stepped)
		return false;
	v->debug.stepped = false;
	report(v, X86_DB, X86_DR6_BS);
	return true;
}

/* The intercepted #DB: the CPU has noted its causes in DR6, and RIP is where
 * the guest's handler would return to. */
enum next
debug_db(struct vcpu *v)
{
	u64 seen = v->debug.seen;

	v->debug.seen = 0;
	if (v->debug.control & (STEP | HARD))
		return report(v, X86_DB, seen);
	if (v->debug.our_tf) {
		/* The step over an IRET: not the guest's affair. */
		v->debug.our_tf = false;
		seen &= ~X86_DR6_BS;
		if (seen)
			raise(v, seen);
		return NEXT_ENTER;
	}
	if (seen)
		raise(v, seen); /* stepped over by the guest itself, too */
	else
		event_raise(&v->event, X86_DB, false, 0);
	return NEXT_ENTER;
}

enum next
debug_bp(struct vcpu *v)
{
	if (v->debug.control & SOFT)
		return report(v, X86_BP, 0);
	event_raise(&v->event, X86_BP, false, 0);
	return NEXT_ENTER;
}

/* APM vol. 3 "MOV DRn": DR4 and DR5 are other names of DR6 and DR7. */
static u64 *
debug_reg(struct gcpu *c, unsigned n)
{
	if (n < 4)
		return &c->dr[n];
	return n == 6 ? &c->dr6 : &c->dr7;
}

static void
mov_dr(struct gcpu *c, const struct insn *in, unsigned n)
{
	u64 *reg = debug_reg(c, n), val = c->gpr[in->reg];
	bool wide = cpu_mode_bits(c) == 64;

	if (!in->write) {
		c->gpr[in->reg] = wide ? *reg : (u32)*reg;
		return;
	}
	if (!wide)
		val = (u32)val;
	if (n == 6)
		val = (val & DR6_CAUSES) | DR6_FIXED;
	else if (n == 7)
		val = (val & DR7_WRITABLE) | DR7_FIXED;
	*reg = val;
	cpu_dirty(c, CPU_DRS);
}

enum next
debug_mov_dr(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);
	struct insn in;
	unsigned n;

	cpu_need(c, CPU_SEGS | CPU_CRS | CPU_DRS);
	if (!exits_measure(v, &in) || in.what != INSN_MOV_DR)
		return NEXT_ENTER;
	n = in.n;
	if (n > 7 || ((n == 4 || n == 5) && (c->cr4 & X86_CR4_DE))) {
		event_raise(&v->event, X86_UD, false, 0);
		return NEXT_ENTER;
	}
	if (n == 4 || n == 5)
		n += 2;
	if (c->cpl != 0 ||
	    (in.write && n >= 6 && cpu_mode_bits(c) == 64 &&
		(c->gpr[in.reg] >> 32))) {
		event_raise(&v->event, X86_GP, true, 0);
		return NEXT_ENTER;
	}
	if (c->dr7 & X86_DR7_GD) {
		raise(v, X86_DR6_BD);
		return NEXT_ENTER;
	}
	if (exits_skip(v))
		mov_dr(c, &in, n);
	return NEXT_ENTER;
}
