// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The table of calls on a vCPU.
 *
 * Invariants
 *  1. A structure of the caller's is copied once, before it is looked at, and
 *     copied back whole after the call succeeded: what a call does not fill
 *     is what the caller gave, or 0.
 *  2. The caller holds vcpu->lock.
 */
#include <linux/kvm.h>
#include <linux/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "calls.h"
#include "stats.h"

#define SMALL 512

struct call {
	unsigned cmd;
	long (*fixed)(struct vcpu *, void *);
	long (*raw)(struct vcpu *, unsigned long);
};

/* Which signals are blocked during KVM_RUN; none given: the caller's own. */
static long
set_signal_mask(struct vcpu *v, unsigned long arg)
{
	struct kvm_signal_mask __user *p = (void __user *)arg;
	struct kvm_signal_mask head;

	if (!p) {
		v->sigset_active = false;
		return 0;
	}
	if (copy_from_user(&head, p, sizeof(head)))
		return -EFAULT;
	if (head.len != sizeof(v->sigset))
		return -EINVAL;
	if (copy_from_user(&v->sigset, p->sigset, sizeof(v->sigset)))
		return -EFAULT;
	sigdelsetmask(&v->sigset, sigmask(SIGKILL) | sigmask(SIGSTOP));
	v->sigset_active = true;
	return 0;
}

static const struct call calls[] = {
	{ KVM_GET_REGS, .fixed = state_get_regs },
	{ KVM_SET_REGS, .fixed = state_set_regs },
	{ KVM_GET_SREGS, .fixed = state_get_sregs },
	{ KVM_SET_SREGS, .fixed = state_set_sregs },
	{ KVM_GET_SREGS2, .fixed = state_get_sregs2 },
	{ KVM_SET_SREGS2, .fixed = state_set_sregs2 },
	{ KVM_GET_MP_STATE, .fixed = state_get_mp },
	{ KVM_SET_MP_STATE, .fixed = state_set_mp },
	{ KVM_TRANSLATE, .fixed = state_translate },
	{ KVM_INTERRUPT, .fixed = inject_interrupt },
	{ KVM_NMI, .raw = inject_nmi },
	{ KVM_GET_VCPU_EVENTS, .fixed = inject_get_events },
	{ KVM_SET_VCPU_EVENTS, .fixed = inject_set_events },
	{ KVM_GET_FPU, .fixed = fpu_get },
	{ KVM_SET_FPU, .fixed = fpu_set },
	{ KVM_GET_XSAVE, .fixed = fpu_get_xsave },
	{ KVM_GET_XSAVE2, .fixed = fpu_get_xsave },
	{ KVM_SET_XSAVE, .fixed = fpu_set_xsave },
	{ KVM_GET_XCRS, .fixed = fpu_get_xcrs },
	{ KVM_SET_XCRS, .fixed = fpu_set_xcrs },
	{ KVM_GET_DEBUGREGS, .fixed = debug_get_regs },
	{ KVM_SET_DEBUGREGS, .fixed = debug_set_regs },
	{ KVM_SET_GUEST_DEBUG, .fixed = debug_set_guest },
	{ KVM_GET_LAPIC, .fixed = apic_get },
	{ KVM_SET_LAPIC, .fixed = apic_set },
	{ KVM_SET_VAPIC_ADDR, .fixed = vapic_set_addr },
	{ KVM_TPR_ACCESS_REPORTING, .fixed = vapic_set_reports },
	{ KVM_SET_CPUID2, .raw = cpuid_set2 },
	{ KVM_GET_CPUID2, .raw = cpuid_get2 },
	{ KVM_GET_MSRS, .raw = msr_get_list },
	{ KVM_SET_MSRS, .raw = msr_set_list },
	{ KVM_X86_SETUP_MCE, .fixed = msr_setup_mce },
	{ KVM_X86_SET_MCE, .fixed = msr_set_mce },
	{ KVM_SET_TSC_KHZ, .raw = clock_set_khz },
	{ KVM_GET_TSC_KHZ, .raw = clock_get_khz },
	{ KVM_KVMCLOCK_CTRL, .raw = clock_stopped },
	{ KVM_SET_SIGNAL_MASK, .raw = set_signal_mask },
	{ KVM_GET_STATS_FD, .raw = stats_vcpu },
};

/* KVM_GET_XSAVE2 has the number and the size of KVM_GET_XSAVE's structure. */
static long
fixed(struct vcpu *v, const struct call *c, void __user *arg)
{
	size_t size = _IOC_SIZE(c->cmd);
	u64 small[SMALL / sizeof(u64)] = { 0 };
	void *buf = small;
	long r = -EFAULT;

	if (size > sizeof(small)) {
		buf = kzalloc(size, GFP_KERNEL_ACCOUNT);
		if (!buf)
			return -ENOMEM;
	}
	if ((_IOC_DIR(c->cmd) & _IOC_WRITE) && copy_from_user(buf, arg, size))
		goto out;
	r = c->fixed(v, buf);
	if (r >= 0 && (_IOC_DIR(c->cmd) & _IOC_READ) &&
	    copy_to_user(arg, buf, size))
		r = -EFAULT;
out:
	if (buf != small)
		kfree(buf);
	return r;
}

long
calls_vcpu(struct vcpu *v, unsigned cmd, unsigned long arg)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		if (calls[i].cmd != cmd)
			continue;
		if (calls[i].raw)
			return calls[i].raw(v, arg);
		return fixed(v, &calls[i], (void __user *)arg);
	}
	return -EINVAL; /* as KVM answers an unknown one here */
}
