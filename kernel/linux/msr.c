// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Model-specific registers that are intercepted.  An allow-list: what has no
 * case here is #GP for the guest and an unknown index for user space.
 */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/msr.h>
#include "../core/x86.h"
#include "calls.h"
#include "clock.h"

#define LIST_MAX	  256
#define MTRR_DEFTYPE_BITS 0xcffULL

static bool
is_x2apic(u32 msr)
{
	return msr >= X86_MSR_X2APIC && msr < X86_MSR_X2APIC + 0x100;
}

/* "Page-Attribute Table Mechanism": types 0, 1, 4-7 in each byte. */
static bool
pat_valid(u64 pat)
{
	unsigned i;

	for (i = 0; i < 64; i += 8) {
		u8 t = (u8)(pat >> i);

		if (t > 7 || t == 2 || t == 3)
			return false;
	}
	return true;
}

/* "Extended Feature Enable Register": LME not under paging; LMA is the
 * CPU's. */
static int
write_efer(struct vcpu *v, u64 val, bool host)
{
	struct gcpu *c = vcpu_state(v);

	cpu_need(c, CPU_CRS);
	if (val & ~c->efer_valid)
		return 1;
	if (!host) {
		if ((c->cr0 & X86_CR0_PG) && ((val ^ c->efer) & X86_EFER_LME))
			return 1;
		val = (val & ~X86_EFER_LMA) | (c->efer & X86_EFER_LMA);
	}
	c->efer = val;
	cpu_dirty(c, CPU_CRS);
	return 0;
}

int
msr_read(struct vcpu *v, u32 msr, u64 *val, bool host)
{
	struct gcpu *c = vcpu_state(v);

	if (is_x2apic(msr))
		return lapic_msr_read(&v->lapic, msr, val) ? 1 : 0;
	switch (msr) {
	case X86_MSR_TSC:
		*val = clock_guest_tsc(v, rdtsc());
		return 0;
	case X86_MSR_APIC_BASE:
		*val = v->lapic.base_msr;
		return 0;
	case X86_MSR_TSC_DEADLINE:
		*val = lapic_deadline_read(&v->lapic);
		return 0;
	case X86_MSR_MTRR_DEFTYPE:
		*val = v->mtrr_deftype;
		return 0;
	case X86_MSR_MTRRCAP:
		*val = 0; /* no ranges: the default type covers all */
		return 0;
	case X86_MSR_EFER:
		cpu_need(c, CPU_CRS);
		*val = c->efer;
		return 0;
	case X86_MSR_PAT:
		cpu_need(c, CPU_SYSMSRS);
		*val = c->pat;
		return 0;
	default:
		return 1;
	}
}

int
msr_write(struct vcpu *v, u32 msr, u64 val, bool host)
{
	struct gcpu *c = vcpu_state(v);

	if (is_x2apic(msr))
		return lapic_msr_write(&v->lapic, msr, val) ? 1 : 0;
	switch (msr) {
	case X86_MSR_TSC:
		clock_sync_tsc(v, val);
		return 0;
	case X86_MSR_APIC_BASE:
		/* The page stays where firmware finds it. */
		if ((val & ~0xfffULL) != LAPIC_BASE_ADDR)
			return 1;
		return lapic_base_write(&v->lapic, val, true) ? 1 : 0;
	case X86_MSR_TSC_DEADLINE:
		lapic_deadline_write(&v->lapic, val);
		return 0;
	case X86_MSR_MTRR_DEFTYPE:
		if (val & ~MTRR_DEFTYPE_BITS)
			return 1;
		v->mtrr_deftype = val;
		return 0;
	case X86_MSR_EFER:
		return write_efer(v, val, host);
	case X86_MSR_PAT:
		if (!pat_valid(val))
			return 1;
		cpu_need(c, CPU_SYSMSRS);
		c->pat = val;
		cpu_dirty(c, CPU_SYSMSRS);
		return 0;
	default:
		return 1;
	}
}

/* KVM's result: how many were done before one was refused. */
static long
list(struct vcpu *v, unsigned long arg, bool write)
{
	struct kvm_msrs __user *p = (void __user *)arg;
	struct kvm_msr_entry *e;
	struct kvm_msrs head;
	long done;

	if (copy_from_user(&head, p, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs > LIST_MAX)
		return -E2BIG;
	e = vmemdup_user(p->entries, array_size(head.nmsrs, sizeof(*e)));
	if (IS_ERR(e))
		return PTR_ERR(e);
	for (done = 0; done < head.nmsrs; done++) {
		u64 val = e[done].data;

		if (write ? msr_write(v, e[done].index, val, true)
			  : msr_read(v, e[done].index, &val, true))
			break;
		e[done].data = val;
	}
	if (!write && copy_to_user(p->entries, e, done * sizeof(*e)))
		done = -EFAULT;
	kvfree(e);
	vcpu_attend(v);
	return done;
}

long
msr_get_list(struct vcpu *v, unsigned long arg)
{
	return list(v, arg, false);
}

long
msr_set_list(struct vcpu *v, unsigned long arg)
{
	return list(v, arg, true);
}
