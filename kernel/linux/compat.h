/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_COMPAT_H
#define LINUX_COMPAT_H

/*
 * Where the kernels that we support (6.1 to 6.12) differ.  The only file
 * with version checks.
 */
#include <linux/eventfd.h>
#include <linux/rcupdate.h>
#include <linux/smp.h>
#include <linux/version.h>
#include <asm/cpufeature.h>
#include <asm/nospec-branch.h>

/* The kernel's own view of struct kvm_run renames what user space may write
 * at any time: to be read once, with READ_ONCE(). */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define immediate_exit immediate_exit__unsafe
#endif

/* smp_send_reschedule() is a macro there, with a trace point. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#include <trace/events/ipi.h>
#endif

static inline void
compat_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* Before the host's programs run here again the branch predictor is to forget
 * what the guest taught it (VMSCAPE). */
static inline void
compat_ibpb_before_user(void)
{
#ifdef X86_FEATURE_IBPB_EXIT_TO_USER
	if (boot_cpu_has(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
#endif
}

static inline void
compat_rcu_virt_note_context_switch(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	rcu_virt_note_context_switch();
#else
	rcu_virt_note_context_switch(smp_processor_id());
#endif
}

#endif
