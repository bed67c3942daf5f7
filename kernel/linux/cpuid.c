// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The host's side of core/cpuid.c: its leaves without what Linux has turned
 * off, and what this driver does for the features that need it.
 */
#include <asm/cpufeature.h>
#include <asm/processor.h>
#include <asm/fpu/xcr.h>
#include <linux/build_bug.h>
#include <linux/string.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>
#include "calls.h"
#include "cpuid.h"
#include "mmu.h"

/* What the FPU code and the backend switch: x87, SSE, AVX, AVX-512, PKRU. */
#define XCR0_HERE 0x2e7

static_assert(sizeof(struct cpuid_entry) == sizeof(struct kvm_cpuid_entry2));
static_assert(offsetof(struct cpuid_entry, index) ==
    offsetof(struct kvm_cpuid_entry2, index));
static_assert(offsetof(struct cpuid_entry, reg) ==
    offsetof(struct kvm_cpuid_entry2, eax));
static_assert(CPUID_INDEXED == KVM_CPUID_FLAG_SIGNIFCANT_INDEX);

/* Registers that Linux keeps a word of its own for. */
static const struct {
	u32 leaf, index;
	u8 reg;
	u8 word;
} words[] = {
	{ 1, 0, LEAF_ECX, CPUID_1_ECX },
	{ 1, 0, LEAF_EDX, CPUID_1_EDX },
	{ 7, 0, LEAF_EBX, CPUID_7_0_EBX },
	{ 7, 0, LEAF_ECX, CPUID_7_ECX },
	{ 7, 0, LEAF_EDX, CPUID_7_EDX },
	{ 7, 1, LEAF_EAX, CPUID_7_1_EAX },
	{ 0xd, 1, LEAF_EAX, CPUID_D_1_EAX },
	{ 0x80000001, 0, LEAF_ECX, CPUID_8000_0001_ECX },
	{ 0x80000001, 0, LEAF_EDX, CPUID_8000_0001_EDX },
	{ 0x80000008, 0, LEAF_EBX, CPUID_8000_0008_EBX },
};

static void
host(void *arg, u32 leaf, u32 index, u32 r[4])
{
	u32 max = cpuid_eax(leaf & 0xf0000000);
	size_t i;

	memset(r, 0, 4 * sizeof(*r));
	if ((leaf & 0x70000000) != 0 || leaf > max)
		return;
	cpuid_count(leaf, index, &r[0], &r[1], &r[2], &r[3]);
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if (words[i].leaf == leaf && words[i].index == index)
			r[words[i].reg] &=
			    boot_cpu_data.x86_capability[words[i].word];
	}
}

u64
cpuid_host_xcr0(void)
{
	if (!boot_cpu_has(X86_FEATURE_OSXSAVE))
		return 0;
	return xgetbv(XCR_XFEATURE_ENABLED_MASK) & XCR0_HERE;
}

static struct cpuid_source
source(void)
{
	struct cpuid_source s = { .host = host, .xcr0 = cpuid_host_xcr0() };

	s.caps = CPUID_PRED_CMD | CPUID_MCE | CPUID_KVMCLOCK;
	if (hv->caps->rdtscp)
		s.caps |= CPUID_TSC_AUX;
	if (!mmu_shadows())
		s.caps |= CPUID_NESTED;
	if (boot_cpu_has(X86_FEATURE_OSPKE) && !mmu_shadows())
		s.caps |= CPUID_PKU;
	if (hv->caps->spec_ctrl)
		s.caps |= CPUID_SPEC_CTRL;
	if (hv->caps->virt_ssbd)
		s.caps |= CPUID_VIRT_SSBD;
	if (!check_tsc_unstable())
		s.caps |= CPUID_STABLE;
	return s;
}

u64
cpuid_host_cr4(void)
{
	struct cpuid_source s = source();

	return cpuid_cr4(&s);
}

int
cpuid_offer(struct kvm_cpuid_entry2 *out, unsigned max)
{
	struct cpuid_source s = source();

	return cpuid_supported(&s, (struct cpuid_entry *)out, max);
}

static void
derive(struct vcpu *v)
{
	cpuid_derive(v->cpuid, v->ncpuid, cpuid_host_cr4(), cpuid_host_xcr0(),
	    vcpu_state(v));
	hv->allow(v->hv,
	    cpuid_has(v->cpuid, v->ncpuid, 0x80000001, 0, LEAF_EDX, 27),
	    cpuid_has(v->cpuid, v->ncpuid, 7, 0, LEAF_EBX, 10));
	mmu_invalidate(v); /* the width of addresses counts for its tables */
}

long
cpuid_set2(struct vcpu *v, unsigned long arg)
{
	struct kvm_cpuid2 __user *p = (void __user *)arg;
	struct cpuid_entry *e;
	struct kvm_cpuid2 head;

	if (copy_from_user(&head, p, sizeof(head)))
		return -EFAULT;
	if (head.nent > CPUID_ENTRIES)
		return -E2BIG;
	e = vmemdup_user(p->entries, array_size(head.nent, sizeof(*e)));
	if (IS_ERR(e))
		return PTR_ERR(e);
	kvfree(v->cpuid);
	v->cpuid = e;
	v->ncpuid = head.nent;
	derive(v);
	return 0;
}

long
cpuid_get2(struct vcpu *v, unsigned long arg)
{
	struct kvm_cpuid2 __user *p = (void __user *)arg;
	struct kvm_cpuid2 head;
	u32 room;

	if (copy_from_user(&head, p, sizeof(head)))
		return -EFAULT;
	room = head.nent;
	head.nent = v->ncpuid;
	if (copy_to_user(p, &head, sizeof(head)))
		return -EFAULT;
	if (room < v->ncpuid)
		return -E2BIG;
	return copy_to_user(p->entries, v->cpuid, v->ncpuid * sizeof(*v->cpuid))
	    ? -EFAULT
	    : 0;
}
