// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Registers for user space.  A structure is checked whole before any of it is
 * taken; what VMRUN would refuse is -EINVAL.
 */
#include <linux/kvm.h>
#include <linux/string.h>
#include "../core/walk.h"
#include "../core/x86.h"
#include "calls.h"
#include "mmu.h"
#include "run.h"

#define RFLAGS_DEFINED 0x3f7fd5ULL

/* struct kvm_regs names them in an order of its own. */
static void
regs_order(struct kvm_regs *r, __u64 **reg)
{
	__u64 *order[CPU_NREGS] = { &r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp,
		&r->rbp, &r->rsi, &r->rdi, &r->r8, &r->r9, &r->r10, &r->r11,
		&r->r12, &r->r13, &r->r14, &r->r15 };

	memcpy(reg, order, sizeof(order));
}

long
state_get_regs(struct vcpu *v, void *buf)
{
	struct gcpu *c = vcpu_state(v);
	struct kvm_regs *r = buf;
	__u64 *reg[CPU_NREGS];
	unsigned i;

	regs_order(r, reg);
	for (i = 0; i < CPU_NREGS; i++)
		*reg[i] = c->gpr[i];
	r->rip = c->rip;
	r->rflags = c->rflags;
	return 0;
}

long
state_set_regs(struct vcpu *v, void *buf)
{
	struct gcpu *c = vcpu_state(v);
	struct kvm_regs *r = buf;
	__u64 *reg[CPU_NREGS];
	unsigned i;

	regs_order(r, reg);
	for (i = 0; i < CPU_NREGS; i++)
		c->gpr[i] = *reg[i];
	c->rip = r->rip;
	/* Whether segments can be run with depends on VM. */
	cpu_need(c, CPU_SEGS);
	if ((c->rflags ^ r->rflags) & X86_RFLAGS_VM)
		cpu_dirty(c, CPU_SEGS);
	c->rflags = (r->rflags & RFLAGS_DEFINED) | X86_RFLAGS_ONE;
	v->event.exception.type = EVENT_NONE;
	vcpu_attend(v);
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

/* Both structures begin alike; what differs comes after apic_base. */
_Static_assert(offsetof(struct kvm_sregs, interrupt_bitmap) ==
	offsetof(struct kvm_sregs2, flags),
    "common part of the sregs");

static void
common_get(struct vcpu *v, struct kvm_sregs *s)
{
	struct gcpu *c = vcpu_state(v);

	cpu_need(c, CPU_SEGS | CPU_CRS);
	seg_get(&s->cs, &c->seg[SEG_CS]);
	seg_get(&s->ds, &c->seg[SEG_DS]);
	seg_get(&s->es, &c->seg[SEG_ES]);
	seg_get(&s->fs, &c->seg[SEG_FS]);
	seg_get(&s->gs, &c->seg[SEG_GS]);
	seg_get(&s->ss, &c->seg[SEG_SS]);
	seg_get(&s->tr, &c->seg[SEG_TR]);
	seg_get(&s->ldt, &c->seg[SEG_LDTR]);
	/* AMD's CPUs keep CPL beside SS, and no granularity of CS. */
	s->ss.dpl = c->cpl;
	s->cs.g = s->cs.limit > 0xfffff;
	s->gdt.base = c->gdt.base;
	s->gdt.limit = c->gdt.limit;
	s->idt.base = c->idt.base;
	s->idt.limit = c->idt.limit;
	s->cr0 = c->cr0;
	s->cr2 = c->cr2;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->cr8 = vcpu_cr8(v);
	s->efer = c->efer;
	s->apic_base = v->lapic.base_msr;
}

/*
 * "Canonicalization and Consistency Checks", as far as KVM makes them: 64-bit
 * code with a default size of 32 is left to the processor, and is
 * KVM_EXIT_FAIL_ENTRY.
 */
static bool
common_valid(struct vcpu *v, const struct kvm_sregs *s)
{
	struct gcpu *c = vcpu_state(v);

	cpu_need(c, CPU_SEGS | CPU_CRS);
	if (!cpu_crs_allowed(c, s->cr0, s->cr3, s->cr4, s->efer) || s->cr8 > 15)
		return false;
	return (s->efer & X86_EFER_LMA) || !s->cs.l;
}

static void
common_set(struct vcpu *v, const struct kvm_sregs *s)
{
	struct gcpu *c = vcpu_state(v);

	seg_set(&c->seg[SEG_CS], &s->cs);
	seg_set(&c->seg[SEG_DS], &s->ds);
	seg_set(&c->seg[SEG_ES], &s->es);
	seg_set(&c->seg[SEG_FS], &s->fs);
	seg_set(&c->seg[SEG_GS], &s->gs);
	seg_set(&c->seg[SEG_SS], &s->ss);
	seg_set(&c->seg[SEG_TR], &s->tr);
	seg_set(&c->seg[SEG_LDTR], &s->ldt);
	c->gdt = (struct dtable){ s->gdt.base, s->gdt.limit };
	c->idt = (struct dtable){ s->idt.base, s->idt.limit };
	c->cpl = s->ss.dpl & 3;
	c->cr0 = s->cr0 | X86_CR0_ET;
	c->cr2 = s->cr2;
	c->cr3 = s->cr3;
	c->cr4 = s->cr4;
	c->efer = s->efer;
	cpu_dirty(c, CPU_SEGS | CPU_CRS);
	hv->flush_tlb(v->hv);
	mmu_forget(v);
	vcpu_set_cr8(v, s->cr8);
	/* A processor that user space gives a reset state runs from there. */
	if (v->id == 0 && c->rip == 0xfff0 && s->cs.selector == 0xf000 &&
	    !(s->cr0 & X86_CR0_PE))
		v->mp_state = KVM_MP_STATE_RUNNABLE;
	vcpu_attend(v);
}

long
state_get_sregs(struct vcpu *v, void *buf)
{
	struct kvm_sregs *s = buf;
	struct event_view e;

	common_get(v, s);
	memset(s->interrupt_bitmap, 0, sizeof(s->interrupt_bitmap));
	event_get(&v->event, false, &e);
	if (e.interrupt.injected && !e.interrupt.soft)
		s->interrupt_bitmap[e.interrupt.nr / 64] |= 1ULL
		    << e.interrupt.nr % 64;
	return 0;
}

/* A vector in the bitmap is one that the CPU has already acknowledged. */
static void
set_bitmap(struct vcpu *v, const struct kvm_sregs *s)
{
	unsigned i;

	for (i = 0; i < 256; i++) {
		if (!(s->interrupt_bitmap[i / 64] & (1ULL << i % 64)))
			continue;
		v->event.again =
		    (struct event){ .type = EVENT_INTR, .vector = (u8)i };
		return;
	}
}

long
state_set_sregs(struct vcpu *v, void *buf)
{
	struct kvm_sregs *s = buf;

	if (!common_valid(v, s) || apic_set_base(v, s->apic_base))
		return -EINVAL;
	common_set(v, s);
	set_bitmap(v, s);
	return 0;
}

static bool
pae_paging(const struct kvm_sregs *s)
{
	return (s->cr0 & X86_CR0_PG) && (s->cr4 & X86_CR4_PAE) &&
	    !(s->efer & X86_EFER_LMA);
}

#define PDPTE_RESERVED 0x1e6ULL /* below the address; SDM "PDPTE" */

/* As MOV to CR3 does, but that what it would refuse is absent. */
void
state_load_pdptrs(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);
	struct gpa table;
	u64 e[4];
	unsigned i;

	cpu_need(c, CPU_CRS);
	if (!(c->cr0 & X86_CR0_PG) || !(c->cr4 & X86_CR4_PAE) ||
	    (c->efer & X86_EFER_LMA))
		return;
	table.v = c->cr3 & 0xffffffe0ULL;
	if (mem_read(v->vm, table, e, sizeof(e)))
		memset(e, 0, sizeof(e));
	for (i = 0; i < ARRAY_SIZE(e); i++) {
		if ((e[i] & PDPTE_RESERVED) || (e[i] >> c->maxphyaddr))
			e[i] = 0;
	}
	hv->pdptrs(v->hv, e);
}

/* The four entries of PAE's first level: this hardware reads them from
 * memory whenever it needs them, so they are shown and never set. */
long
state_get_sregs2(struct vcpu *v, void *buf)
{
	struct kvm_sregs2 *s = buf;
	struct gpa table;

	common_get(v, buf);
	if (!pae_paging(buf))
		return 0;
	table.v = s->cr3 & 0xffffffe0ULL;
	if (mem_read(v->vm, table, s->pdptrs, sizeof(s->pdptrs)) == 0)
		s->flags |= KVM_SREGS2_FLAGS_PDPTRS_VALID;
	return 0;
}

long
state_set_sregs2(struct vcpu *v, void *buf)
{
	struct kvm_sregs2 *s = buf;

	if ((s->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID) ||
	    (s->flags && !pae_paging(buf)))
		return -EINVAL;
	if (!common_valid(v, buf) || apic_set_base(v, s->apic_base))
		return -EINVAL;
	common_set(v, buf);
	return 0;
}

long
state_get_mp(struct vcpu *v, void *buf)
{
	struct kvm_mp_state *m = buf;

	run_accept_init(v);
	m->mp_state = v->mp_state;
	return 0;
}

long
state_set_mp(struct vcpu *v, void *buf)
{
	struct kvm_mp_state *m = buf;

	switch (m->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_SIPI_RECEIVED:
		if (!v->vm->apics)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	v->mp_state = m->mp_state;
	if (v->mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
		v->mp_state = KVM_MP_STATE_INIT_RECEIVED;
		vcpu_request(v, REQ_SIPI);
	}
	return 0;
}

static int
walk_read(void *arg, struct gpa gpa, void *buf, unsigned size)
{
	return mem_read(arg, gpa, buf, size);
}

long
state_translate(struct vcpu *v, void *buf)
{
	static const struct walk_ops ops = { .read = walk_read };
	struct kvm_translation *t = buf;
	struct gcpu *c = vcpu_state(v);
	struct walk_result res;
	struct walk_env env;
	struct gva va = { t->linear_address };
	u32 error;

	cpu_need(c, CPU_CRS);
	env = (struct walk_env){ c->cr0, c->cr3, c->cr4, c->efer, c->rflags,
		c->pkru, c->maxphyaddr };
	t->valid = walk(&env, &ops, v->vm, va, WALK_PROBE, &res, &error) == 0;
	t->physical_address = t->valid ? res.gpa.v : ~0ULL;
	t->writeable = 1;
	t->usermode = 0;
	return 0;
}
