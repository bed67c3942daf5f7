// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Registers for user space.  Everything from user space is copied once and
 * checked whole before any of it is taken; what VMRUN would refuse is -EINVAL.
 */
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "../core/x86.h"
#include "cpuid.h"
#include "vcpu.h"

#define MSRS_MAX 256

/* struct kvm_regs names them in an order of its own. */
static void
regs_order(struct kvm_regs *r, u64 **reg)
{
	__u64 *order[CPU_NREGS] = { &r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp,
		&r->rbp, &r->rsi, &r->rdi, &r->r8, &r->r9, &r->r10, &r->r11,
		&r->r12, &r->r13, &r->r14, &r->r15 };

	memcpy(reg, order, sizeof(order));
}

static long
get_regs(struct vcpu *v, void __user *arg)
{
	struct gcpu *c = vcpu_state(v);
	struct kvm_regs r = { .rip = c->rip, .rflags = c->rflags };
	u64 *reg[CPU_NREGS];
	unsigned i;

	regs_order(&r, reg);
	for (i = 0; i < CPU_NREGS; i++)
		*reg[i] = c->gpr[i];
	return copy_to_user(arg, &r, sizeof(r)) ? -EFAULT : 0;
}

static long
set_regs(struct vcpu *v, void __user *arg)
{
	struct gcpu *c = vcpu_state(v);
	struct kvm_regs r;
	u64 *reg[CPU_NREGS];
	unsigned i;

	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	regs_order(&r, reg);
	for (i = 0; i < CPU_NREGS; i++)
		c->gpr[i] = *reg[i];
	c->rip = r.rip;
	c->rflags = (r.rflags & 0x3f7fd5) | X86_RFLAGS_ONE;
	v->event.exception.type = EVENT_NONE;
	return 0;
}

static void
seg_get(struct kvm_segment *k, const struct seg *s)
{
	u16 a = s->attr;

	*k = (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->sel,
		.type = a & SEG_TYPE,
		.present = (a & SEG_P) != 0,
		.dpl = (a & SEG_DPL) >> SEG_DPL_SHIFT,
		.db = (a & SEG_DB) != 0,
		.s = (a & SEG_S) != 0,
		.l = (a & SEG_L) != 0,
		.g = (a & SEG_G) != 0,
		.avl = (a & SEG_AVL) != 0,
		.unusable = (a & SEG_P) == 0,
	};
}

static void
seg_set(struct seg *s, const struct kvm_segment *k)
{
	u16 a = k->type & SEG_TYPE;

	a |= k->s ? SEG_S : 0;
	a |= (k->dpl & 3) << SEG_DPL_SHIFT;
	a |= k->present && !k->unusable ? SEG_P : 0;
	a |= k->avl ? SEG_AVL : 0;
	a |= k->l ? SEG_L : 0;
	a |= k->db ? SEG_DB : 0;
	a |= k->g ? SEG_G : 0;
	*s = (struct seg){ k->selector, a, k->limit, k->base };
}

static long
get_sregs(struct vcpu *v, void __user *arg)
{
	struct gcpu *c = vcpu_state(v);
	struct kvm_sregs s = { 0 };

	cpu_need(c, CPU_SEGS | CPU_CRS);
	seg_get(&s.cs, &c->seg[SEG_CS]);
	seg_get(&s.ds, &c->seg[SEG_DS]);
	seg_get(&s.es, &c->seg[SEG_ES]);
	seg_get(&s.fs, &c->seg[SEG_FS]);
	seg_get(&s.gs, &c->seg[SEG_GS]);
	seg_get(&s.ss, &c->seg[SEG_SS]);
	seg_get(&s.tr, &c->seg[SEG_TR]);
	seg_get(&s.ldt, &c->seg[SEG_LDTR]);
	s.gdt.base = c->gdt.base;
	s.gdt.limit = c->gdt.limit;
	s.idt.base = c->idt.base;
	s.idt.limit = c->idt.limit;
	s.cr0 = c->cr0;
	s.cr2 = c->cr2;
	s.cr3 = c->cr3;
	s.cr4 = c->cr4;
	s.cr8 = lapic_get_cr8(&v->lapic);
	s.efer = c->efer;
	s.apic_base = v->lapic.base_msr;
	if (v->event.extint >= 0)
		s.interrupt_bitmap[v->event.extint / 64] |= 1ULL
		    << v->event.extint % 64;
	return copy_to_user(arg, &s, sizeof(s)) ? -EFAULT : 0;
}

static long
set_sregs(struct vcpu *v, void __user *arg)
{
	struct gcpu *c = vcpu_state(v);
	struct kvm_sregs s;

	if (copy_from_user(&s, arg, sizeof(s)))
		return -EFAULT;
	cpu_need(c, CPU_SEGS | CPU_CRS);
	if (!cpu_crs_allowed(c, s.cr0, s.cr3, s.cr4, s.efer) || s.cr8 > 15 ||
	    /* "Consistency Checks": CS.L and CS.D both set in long mode. */
	    ((s.efer & X86_EFER_LMA) && s.cs.l && s.cs.db))
		return -EINVAL;
	if (s.apic_base != v->lapic.base_msr &&
	    msr_write(v, X86_MSR_APIC_BASE, s.apic_base, true))
		return -EINVAL;
	seg_set(&c->seg[SEG_CS], &s.cs);
	seg_set(&c->seg[SEG_DS], &s.ds);
	seg_set(&c->seg[SEG_ES], &s.es);
	seg_set(&c->seg[SEG_FS], &s.fs);
	seg_set(&c->seg[SEG_GS], &s.gs);
	seg_set(&c->seg[SEG_SS], &s.ss);
	seg_set(&c->seg[SEG_TR], &s.tr);
	seg_set(&c->seg[SEG_LDTR], &s.ldt);
	c->gdt = (struct dtable){ s.gdt.base, s.gdt.limit };
	c->idt = (struct dtable){ s.idt.base, s.idt.limit };
	c->cpl = s.ss.dpl & 3;
	c->cr0 = s.cr0 | X86_CR0_ET;
	c->cr2 = s.cr2;
	c->cr3 = s.cr3;
	c->cr4 = s.cr4;
	c->efer = s.efer;
	cpu_dirty(c, CPU_SEGS | CPU_CRS);
	lapic_set_cr8(&v->lapic, s.cr8);
	return 0;
}

static long
set_cpuid2(struct vcpu *v, void __user *arg)
{
	struct cpuid_entry *e;
	struct kvm_cpuid2 head;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nent > CPUID_ENTRIES)
		return -E2BIG;
	e = vmemdup_user(arg + sizeof(head), array_size(head.nent, sizeof(*e)));
	if (IS_ERR(e))
		return PTR_ERR(e);
	kvfree(v->cpuid);
	v->cpuid = e;
	v->ncpuid = head.nent;
	cpuid_derive(
	    e, head.nent, cpuid_host_cr4(), cpuid_host_xcr0(), vcpu_state(v));
	return 0;
}

/* KVM's result: how many were done before one was refused. */
static long
msrs(struct vcpu *v, void __user *arg, bool write)
{
	struct kvm_msr_entry *e;
	struct kvm_msrs head;
	long done;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs > MSRS_MAX)
		return -E2BIG;
	e = vmemdup_user(
	    arg + sizeof(head), array_size(head.nmsrs, sizeof(*e)));
	if (IS_ERR(e))
		return PTR_ERR(e);
	for (done = 0; done < head.nmsrs; done++) {
		u64 val = e[done].data;

		if (write ? msr_write(v, e[done].index, val, true)
			  : msr_read(v, e[done].index, &val, true))
			break;
		e[done].data = val;
	}
	if (!write && copy_to_user(arg + sizeof(head), e, done * sizeof(*e)))
		done = -EFAULT;
	kvfree(e);
	return done;
}

static long
interrupt(struct vcpu *v, void __user *arg)
{
	struct kvm_interrupt i;

	if (copy_from_user(&i, arg, sizeof(i)))
		return -EFAULT;
	if (i.irq > 255)
		return -EINVAL;
	if (v->event.extint >= 0)
		return -EEXIST;
	v->event.extint = (int)i.irq;
	return 0;
}

static long
mp_state(struct vcpu *v, void __user *arg, bool set)
{
	struct kvm_mp_state m = { .mp_state = v->mp_state };

	if (!set)
		return copy_to_user(arg, &m, sizeof(m)) ? -EFAULT : 0;
	if (copy_from_user(&m, arg, sizeof(m)))
		return -EFAULT;
	if (m.mp_state > KVM_MP_STATE_HALTED)
		return -EINVAL;
	v->mp_state = m.mp_state;
	return 0;
}

long
state_ioctl(struct vcpu *v, unsigned cmd, void __user *arg)
{
	switch (cmd) {
	case KVM_GET_REGS:
		return get_regs(v, arg);
	case KVM_SET_REGS:
		return set_regs(v, arg);
	case KVM_GET_SREGS:
		return get_sregs(v, arg);
	case KVM_SET_SREGS:
		return set_sregs(v, arg);
	case KVM_SET_CPUID2:
		return set_cpuid2(v, arg);
	case KVM_GET_MSRS:
		return msrs(v, arg, false);
	case KVM_SET_MSRS:
		return msrs(v, arg, true);
	case KVM_INTERRUPT:
		return interrupt(v, arg);
	case KVM_GET_MP_STATE:
		return mp_state(v, arg, false);
	case KVM_SET_MP_STATE:
		return mp_state(v, arg, true);
	default:
		return -ENOTTY;
	}
}
