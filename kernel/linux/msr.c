// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Model-specific registers: core/msr.c's table, with what it needs of this
 * vCPU, and the calls about them.
 */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include "../core/x86.h"
#include "calls.h"
#include "clock.h"
#include "pveoi.h"

#define LIST_MAX  256
#define INDEX_MAX 256 /* more than core/msr.c lists */

/* Machine checks: global, and of a bank. */
#define MCG_CTL_P	CORE_BIT(8)
#define MCG_SER_P	CORE_BIT(24)
#define MCE_CAP		(MCG_CTL_P | MCG_SER_P)
#define MCG_STATUS_MCIP CORE_BIT(2)
#define MC_STATUS_VAL	CORE_BIT(63)
#define MC_STATUS_OVER	CORE_BIT(62)
#define MC_STATUS_UC	CORE_BIT(61)
enum { MC_CTL, MC_STATUS, MC_ADDR, MC_MISC };

static u64
tsc(void *arg)
{
	return clock_guest_tsc(arg, rdtsc());
}

static void
tsc_add(void *arg, u64 delta)
{
	clock_move_tsc(arg, delta);
}

/* APM vol. 2 "Indirect Branch Prediction Barrier": on whatever CPU this is;
 * where the vCPU goes next has one of its own when another guest was there. */
static void
ibpb(void *arg)
{
	indirect_branch_prediction_barrier();
}

static int
system_time(void *arg, u64 val)
{
	return clock_write_system(arg, val);
}

static int
wall_clock(void *arg, u64 val)
{
	return clock_write_wall(arg, val);
}

/* Not offered: only what says so can be restored. */
static int
steal_time(void *arg, u64 val)
{
	return val == 0 ? 0 : -EINVAL;
}

static int
pv_eoi(void *arg, u64 val)
{
	return pveoi_write(arg, val);
}

static void
unknown(void *arg, u32 index, bool write)
{
	struct vcpu *v = arg;

	pr_debug_ratelimited(
	    "vmm: vCPU %u: %s of MSR 0x%x, which is not there\n", v->id,
	    write ? "write" : "read", index);
}

static const struct msr_ops ops = {
	.tsc = tsc,
	.tsc_add = tsc_add,
	.ibpb = ibpb,
	.system_time = system_time,
	.wall_clock = wall_clock,
	.steal_time = steal_time,
	.pv_eoi = pv_eoi,
	.unknown = unknown,
};

static struct msr_env
env_of(struct vcpu *v, bool host)
{
	return (struct msr_env){ .cpu = vcpu_state(v),
		.state = &v->msr,
		.lapic = &v->lapic,
		.cpuid = v->cpuid,
		.ncpuid = v->ncpuid,
		.host = host,
		.ops = &ops,
		.arg = v };
}

/* The x2APIC's are the most frequent by far. */
static bool
is_x2apic(u32 msr)
{
	return msr >= X86_MSR_X2APIC && msr < X86_MSR_X2APIC + 0x100;
}

int
msr_read(struct vcpu *v, u32 msr, u64 *val, bool host)
{
	struct msr_env env;

	if (is_x2apic(msr))
		return !v->vm->apics ||
		    lapic_msr_read(&v->lapic, msr, val) != 0;
	env = env_of(v, host);
	return msr_get(&env, msr, val);
}

int
msr_write(struct vcpu *v, u32 msr, u64 val, bool host)
{
	struct msr_env env;

	if (is_x2apic(msr))
		return !v->vm->apics ||
		    lapic_msr_write(&v->lapic, msr, val) != 0;
	if (host && msr == X86_MSR_TSC) {
		clock_sync_tsc(v, val);
		return 0;
	}
	if (host && msr == X86_MSR_APIC_BASE)
		return apic_set_base(v, val) != 0;
	env = env_of(v, host);
	if (msr_set(&env, msr, val))
		return 1;
	/* Those that the hardware itself needs. */
	if (msr == X86_MSR_TSC_AUX)
		hv->tsc_aux(v->hv, (u32)val);
	else if (msr == X86_MSR_SPEC_CTRL)
		hv->spec_ctrl(v->hv, val);
	else if (msr == X86_MSR_VIRT_SPEC_CTRL)
		v->hv->virt_spec_ctrl = val;
	return 0;
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

/* Which there are; as KVM, the number comes back even when there is no room. */
static long
indices(struct kvm_msr_list __user *arg, enum msr_rights right)
{
	struct kvm_msr_list head;
	u32 *index, room;
	long r = 0;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	index = kcalloc(INDEX_MAX, sizeof(*index), GFP_KERNEL);
	if (!index)
		return -ENOMEM;
	room = head.nmsrs;
	head.nmsrs = msr_list(right, index, INDEX_MAX);
	if (copy_to_user(arg, &head, sizeof(head)))
		r = -EFAULT;
	else if (room < head.nmsrs)
		r = -E2BIG;
	else if (copy_to_user(arg->indices, index, head.nmsrs * sizeof(*index)))
		r = -EFAULT;
	kfree(index);
	return r;
}

/* What a new vCPU's feature MSRs hold: KVM_GET_MSRS of the device. */
static long
features(struct kvm_msrs __user *arg)
{
	struct kvm_msr_entry e;
	struct kvm_msrs head;
	u32 i;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs > LIST_MAX)
		return -E2BIG;
	for (i = 0; i < head.nmsrs; i++) {
		u64 val;

		if (copy_from_user(&e, &arg->entries[i], sizeof(e)))
			return -EFAULT;
		if (!msr_feature(e.index, &val))
			break;
		e.data = val;
		if (copy_to_user(&arg->entries[i], &e, sizeof(e)))
			return -EFAULT;
	}
	return i;
}

/* Which banks of machine-check registers there are; QEMU asks for ten. */
long
msr_setup_mce(struct vcpu *v, void *buf)
{
	u64 cap = *(u64 *)buf, banks = cap & 0xff;
	unsigned i;

	if (banks == 0 || banks > MSR_BANKS || (cap & ~(MCE_CAP | 0xff)))
		return -EINVAL;
	v->msr.mcg_cap = cap;
	if (cap & MCG_CTL_P)
		v->msr.mcg_ctl = ~0ULL;
	for (i = 0; i < banks; i++)
		v->msr.bank[i][MC_CTL] = ~0ULL;
	return 0;
}

/*
 * An error for the guest (APM vol. 2 "Machine Check Architecture"): a
 * corrected one is for its polling, another is #MC, and the end of a guest
 * that is not prepared or in the handling of one already.
 */
long
msr_set_mce(struct vcpu *v, void *buf)
{
	const struct kvm_x86_mce *m = buf;
	struct msr_state *s = &v->msr;
	bool uncorrected = m->status & MC_STATUS_UC;
	struct gcpu *c = vcpu_state(v);
	u64 *bank, status = m->status;

	if (m->bank >= (s->mcg_cap & 0xff) || !(m->status & MC_STATUS_VAL))
		return -EINVAL;
	bank = s->bank[m->bank];
	if (uncorrected &&
	    (((s->mcg_cap & MCG_CTL_P) && s->mcg_ctl != ~0ULL) ||
		bank[MC_CTL] != ~0ULL))
		return 0;
	cpu_need(c, CPU_CRS);
	if (uncorrected &&
	    ((s->mcg_status & MCG_STATUS_MCIP) || !(c->cr4 & X86_CR4_MCE))) {
		v->event.triple = true;
		vcpu_attend(v);
		return 0;
	}
	if (bank[MC_STATUS] & MC_STATUS_VAL) {
		if (!uncorrected && (bank[MC_STATUS] & MC_STATUS_UC)) {
			bank[MC_STATUS] |= MC_STATUS_OVER;
			return 0;
		}
		status |= MC_STATUS_OVER;
	}
	bank[MC_STATUS] = status;
	bank[MC_ADDR] = m->addr;
	bank[MC_MISC] = m->misc;
	if (uncorrected) {
		s->mcg_status = m->mcg_status;
		event_raise(&v->event, X86_MC, false, 0);
		vcpu_attend(v);
	}
	return 0;
}

static long
mce_cap(void __user *arg)
{
	u64 cap = MCE_CAP;

	return copy_to_user(arg, &cap, sizeof(cap)) ? -EFAULT : 0;
}

long
msr_dev_ioctl(unsigned cmd, unsigned long arg)
{
	void __user *p = (void __user *)arg;

	switch (cmd) {
	case KVM_GET_MSR_INDEX_LIST:
		return indices(p, MSR_LISTED);
	case KVM_GET_MSR_FEATURE_INDEX_LIST:
		return indices(p, MSR_FEATURE);
	case KVM_GET_MSRS:
		return features(p);
	case KVM_X86_GET_MCE_CAP_SUPPORTED:
		return mce_cap(p);
	default:
		return -EINVAL; /* as KVM answers an unknown one here */
	}
}
