/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_CALLS_H
#define LINUX_CALLS_H

/*
 * The calls on a vCPU.  Those of a fixed size get a copy of the caller's
 * structure, in the kernel, as their second argument, and fill it when the
 * call returns one; the others get the caller's argument.
 */
#include "vcpu.h"

/* calls.c: the table; everything but KVM_RUN. */
long calls_vcpu(struct vcpu *, unsigned cmd, unsigned long arg);

/* state.c */
long state_get_regs(struct vcpu *, void *);
long state_set_regs(struct vcpu *, void *);
long state_get_sregs(struct vcpu *, void *);
long state_set_sregs(struct vcpu *, void *);
long state_get_sregs2(struct vcpu *, void *);
long state_set_sregs2(struct vcpu *, void *);
void state_load_pdptrs(struct vcpu *); /* before an entry, for hv->pdptrs */
long state_get_mp(struct vcpu *, void *);
long state_set_mp(struct vcpu *, void *);
long state_translate(struct vcpu *, void *);

/* inject.c */
long inject_interrupt(struct vcpu *, void *);
long inject_nmi(struct vcpu *, unsigned long);
long inject_get_events(struct vcpu *, void *);
long inject_set_events(struct vcpu *, void *);

/* fpu.c */
long fpu_get(struct vcpu *, void *);
long fpu_set(struct vcpu *, void *);
long fpu_get_xsave(struct vcpu *, void *);
long fpu_set_xsave(struct vcpu *, void *);
long fpu_get_xcrs(struct vcpu *, void *);
long fpu_set_xcrs(struct vcpu *, void *);
unsigned fpu_xsave_size(void); /* KVM_CAP_XSAVE2 */

/* debug.c */
long debug_get_regs(struct vcpu *, void *);
long debug_set_regs(struct vcpu *, void *);
long debug_set_guest(struct vcpu *, void *);

/* apic.c */
long apic_get(struct vcpu *, void *);
long apic_set(struct vcpu *, void *);

/* vapic.c */
long vapic_set_addr(struct vcpu *, void *);
long vapic_set_reports(struct vcpu *, void *);

/* clock.c */
long clock_set_khz(struct vcpu *, unsigned long);
long clock_get_khz(struct vcpu *, unsigned long);
long clock_stopped(struct vcpu *, unsigned long);

/* cpuid.c and msr.c */
long cpuid_set2(struct vcpu *, unsigned long);
long cpuid_get2(struct vcpu *, unsigned long);
long msr_get_list(struct vcpu *, unsigned long);
long msr_set_list(struct vcpu *, unsigned long);
long msr_setup_mce(struct vcpu *, void *);
long msr_set_mce(struct vcpu *, void *);

#endif
