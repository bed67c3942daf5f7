// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Floating point and vector registers for user space.  The host's functions
 * keep them (asm/fpu/api.h); what is here is their form: APM vol. 1 "XSAVE
 * Area Layout", of which the first 512 bytes are FXSAVE's.
 */
#include <linux/kvm.h>
#include <linux/slab.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>
#include "../core/x86.h"
#include "calls.h"

#define XSTATE_BV    512 /* of the header: which components are there */
#define XSTATE_FPSSE 3ULL

unsigned
fpu_xsave_size(void)
{
	return sizeof(struct kvm_xsave);
}

/* XSAVE's standard format; KVM's structure has room for all that a guest may
 * have (cpuid.c offers nothing with more). */
long
fpu_get_xsave(struct vcpu *v, void *buf)
{
	struct gcpu *c = vcpu_state(v);

	fpu_copy_guest_fpstate_to_uabi(&v->fpu, buf, sizeof(struct kvm_xsave),
	    c->xcr0_valid | XSTATE_FPSSE, c->pkru);
	return 0;
}

long
fpu_set_xsave(struct vcpu *v, void *buf)
{
	struct gcpu *c = vcpu_state(v);
	u32 pkru = c->pkru;
	int err;

	err = fpu_copy_uabi_to_guest_fpstate(
	    &v->fpu, buf, c->xcr0_valid | XSTATE_FPSSE, &pkru);
	if (!err)
		c->pkru = pkru;
	return err;
}

/* The legacy area in an order of its own. */
static void
order(struct kvm_fpu *f, struct fxregs_state *x, bool set)
{
	if (set) {
		memcpy(x->st_space, f->fpr, sizeof(f->fpr));
		memcpy(x->xmm_space, f->xmm, sizeof(f->xmm));
		x->cwd = f->fcw;
		x->swd = f->fsw;
		x->twd = f->ftwx;
		x->fop = f->last_opcode;
		x->rip = f->last_ip;
		x->rdp = f->last_dp;
		x->mxcsr = f->mxcsr;
		return;
	}
	memcpy(f->fpr, x->st_space, sizeof(f->fpr));
	memcpy(f->xmm, x->xmm_space, sizeof(f->xmm));
	f->fcw = x->cwd;
	f->fsw = x->swd;
	f->ftwx = (u8)x->twd;
	f->last_opcode = x->fop;
	f->last_ip = x->rip;
	f->last_dp = x->rdp;
	f->mxcsr = x->mxcsr;
}

static long
legacy(struct vcpu *v, struct kvm_fpu *f, bool set)
{
	struct kvm_xsave *x = kzalloc(sizeof(*x), GFP_KERNEL_ACCOUNT);
	long r;

	if (!x)
		return -ENOMEM;
	r = fpu_get_xsave(v, x);
	order(f, (struct fxregs_state *)x, set);
	if (set) {
		*(u64 *)((u8 *)x + XSTATE_BV) |= XSTATE_FPSSE;
		r = fpu_set_xsave(v, x);
	}
	kfree(x);
	return r;
}

long
fpu_get(struct vcpu *v, void *buf)
{
	return legacy(v, buf, false);
}

long
fpu_set(struct vcpu *v, void *buf)
{
	return legacy(v, buf, true);
}

long
fpu_get_xcrs(struct vcpu *v, void *buf)
{
	struct kvm_xcrs *x = buf;

	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return -EINVAL;
	x->nr_xcrs = 1;
	x->xcrs[0].xcr = XCR_XFEATURE_ENABLED_MASK;
	x->xcrs[0].value = vcpu_state(v)->xcr0;
	return 0;
}

long
fpu_set_xcrs(struct vcpu *v, void *buf)
{
	struct kvm_xcrs *x = buf;
	unsigned i;

	if (!boot_cpu_has(X86_FEATURE_XSAVE) || x->nr_xcrs > KVM_MAX_XCRS ||
	    x->flags)
		return -EINVAL;
	for (i = 0; i < x->nr_xcrs; i++) {
		if (x->xcrs[i].xcr != XCR_XFEATURE_ENABLED_MASK)
			continue;
		if (!cpu_xcr0_allowed(vcpu_state(v), x->xcrs[i].value))
			return -EINVAL;
		vcpu_state(v)->xcr0 = x->xcrs[i].value;
		return 0;
	}
	return 0;
}
