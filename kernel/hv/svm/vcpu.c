// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * A guest CPU's VMCB: creation, reset, and the way between it and struct gcpu
 * (APM vol. 2 "VMCB Layout, State Save Area", "Processor Initialization
 * State").
 *
 * Invariants
 *  1. EFER.SVME is set in the VMCB and in no guest's view of EFER.
 *  2. No state reaches the VMCB that makes VMRUN fail ("Canonicalization and
 *     Consistency Checks"): linux/ and core/ refuse it first; what is left
 *     ends in HV_FAILED.
 */
#include <linux/gfp.h>
#include <linux/slab.h>
#include <linux/mm.h>
#include "../../core/x86.h"
#include "svm.h"

#define PAUSE_COUNT  3000
#define PAUSE_THRESH 128

static void
seg_in(struct seg *s, const struct vmcb_seg *v)
{
	s->sel = v->sel;
	s->attr = v->attr;
	s->limit = v->limit;
	s->base = v->base;
}

static void
seg_out(struct vmcb_seg *v, const struct seg *s)
{
	v->sel = s->sel;
	v->attr = (s->attr & SEG_P) ? s->attr : 0;
	v->limit = s->limit;
	v->base = s->base;
}

static void
code_in(struct gcpu *c, const struct vmcb_save *s)
{
	seg_in(&c->seg[SEG_CS], &s->cs);
	c->cpl = s->cpl;
}

static void
segs_in(struct gcpu *c, const struct vmcb_save *s)
{
	code_in(c, s);
	seg_in(&c->seg[SEG_ES], &s->es);
	seg_in(&c->seg[SEG_SS], &s->ss);
	seg_in(&c->seg[SEG_DS], &s->ds);
	seg_in(&c->seg[SEG_FS], &s->fs);
	seg_in(&c->seg[SEG_GS], &s->gs);
	seg_in(&c->seg[SEG_LDTR], &s->ldtr);
	seg_in(&c->seg[SEG_TR], &s->tr);
	c->gdt.base = s->gdtr.base;
	c->gdt.limit = (u16)s->gdtr.limit;
	c->idt.base = s->idtr.base;
	c->idt.limit = (u16)s->idtr.limit;
}

static void
segs_out(struct vmcb_save *s, const struct gcpu *c)
{
	seg_out(&s->es, &c->seg[SEG_ES]);
	seg_out(&s->cs, &c->seg[SEG_CS]);
	seg_out(&s->ss, &c->seg[SEG_SS]);
	seg_out(&s->ds, &c->seg[SEG_DS]);
	seg_out(&s->fs, &c->seg[SEG_FS]);
	seg_out(&s->gs, &c->seg[SEG_GS]);
	seg_out(&s->ldtr, &c->seg[SEG_LDTR]);
	seg_out(&s->tr, &c->seg[SEG_TR]);
	s->gdtr.base = c->gdt.base;
	s->gdtr.limit = c->gdt.limit;
	s->idtr.base = c->idt.base;
	s->idtr.limit = c->idt.limit;
	s->cpl = c->cpl;
}

static void
need(struct gcpu *c, unsigned groups)
{
	struct svm_vcpu *v = container_of(c, struct svm_vcpu, hv.cpu);
	const struct vmcb_save *s = &v->vmcb->s;

	if (groups & CPU_CR4)
		groups |= CPU_CRS;
	if (groups & CPU_SEGS)
		segs_in(c, s);
	else if (groups & CPU_CODE)
		code_in(c, s);
	if (groups & CPU_CRS)
		c->cr2 = s->cr2;
	if ((groups & CPU_CRS) && !v->shadow) {
		c->cr0 = s->cr0 | v->cache_off;
		c->cr3 = s->cr3;
		c->cr4 = s->cr4;
		c->efer = s->efer & ~X86_EFER_SVME;
	}
	if (groups & CPU_DRS) {
		c->dr6 = s->dr6;
		c->dr7 = s->dr7;
	}
	if (groups & CPU_SYSMSRS) {
		c->star = s->star;
		c->lstar = s->lstar;
		c->cstar = s->cstar;
		c->sfmask = s->sfmask;
		c->kernel_gs_base = s->kernel_gs_base;
		c->sysenter_cs = s->sysenter_cs;
		c->sysenter_esp = s->sysenter_esp;
		c->sysenter_eip = s->sysenter_eip;
		c->pat = s->pat;
	}
	c->valid |= cpu_groups(groups);
}

static const struct gcpu_ops cpu_ops = { .need = need };

/*
 * What the CPU has in place of the guest's own under shadow tables: paging is
 * on in each mode ("Paged Real Mode", for that purpose), of the format that
 * core/shadow.h names.  Without paging nothing is a user's page, with rights of
 * its own.
 */
static void
crs_shadow(const struct svm_vcpu *v, u64 *cr0, u64 *cr3, u64 *cr4, u64 *efer)
{
	u64 no = X86_CR4_PCIDE | X86_CR4_PKE | X86_CR4_PGE;
	if (!(*cr0 & X86_CR0_PG))
		no |= X86_CR4_SMEP | X86_CR4_SMAP;
	if (!(*efer & X86_EFER_LMA)) {
		no |= X86_CR4_LA57;
		*efer &= ~X86_EFER_LME;
	}
	*cr0 |= X86_CR0_PG | X86_CR0_WP;
	*cr3 = v->vmcb->s.cr3;
	*cr4 = (*cr4 & ~no) | X86_CR4_PAE;
	*efer |= X86_EFER_NXE;
}

/*
 * Caches stay on whatever CD and NW say that a reset or user space has set:
 * memory is coherent, and without them a guest is slower by orders until it
 * turns them on.  What it writes to CR0 itself is in force.
 */
static void
crs_out(struct svm_vcpu *v)
{
	struct gcpu *c = &v->hv.cpu;
	struct vmcb_save *s = &v->vmcb->s;
	u64 off = X86_CR0_CD | X86_CR0_NW, cr0 = c->cr0 & ~off;
	u64 efer = c->efer | X86_EFER_SVME, cr3 = c->cr3, cr4 = c->cr4;

	if (v->shadow)
		crs_shadow(v, &cr0, &cr3, &cr4, &efer);
	v->cache_off = (u32)(c->cr0 & off);
	if (s->cr0 != cr0 || s->cr3 != cr3 || s->cr4 != cr4 || s->efer != efer)
		svm_changed(v, VMCB_C_CRX);
	if (s->cr2 != c->cr2)
		svm_changed(v, VMCB_C_CR2);
	s->cr0 = cr0;
	s->cr2 = c->cr2;
	s->cr3 = cr3;
	s->cr4 = cr4;
	s->efer = efer;
}

void
svm_sync(struct svm_vcpu *v)
{
	struct gcpu *c = &v->hv.cpu;
	struct vmcb_save *s = &v->vmcb->s;

	if (c->dirty & CPU_SEGS) {
		segs_out(s, c);
		svm_changed(v, VMCB_C_SEG | VMCB_C_DT);
	}
	if (c->dirty & CPU_CRS)
		crs_out(v);
	if (c->dirty & CPU_DRS) {
		s->dr6 = c->dr6;
		s->dr7 = c->dr7;
		svm_changed(v, VMCB_C_DRX);
	}
	if (c->dirty & CPU_SYSMSRS) {
		s->star = c->star;
		s->lstar = c->lstar;
		s->cstar = c->cstar;
		s->sfmask = c->sfmask;
		s->kernel_gs_base = c->kernel_gs_base;
		s->sysenter_cs = c->sysenter_cs;
		s->sysenter_esp = c->sysenter_esp;
		s->sysenter_eip = c->sysenter_eip;
		if (s->pat != c->pat)
			svm_changed(v, VMCB_C_NP);
		s->pat = c->pat;
	}
	c->dirty = 0;
}

/* Each register that decides about paging is ours; a task switch would load
 * CR3. */
static void
init_shadow(struct vmcb_control *c)
{
	c->intercept[VMCB_CR] |=
	    1U << 0 | 1U << 3 | 1U << 4 | 1U << (16 + 0) | 1U << (16 + 3);
	c->intercept[VMCB_EXCEPTION] |= 1U << X86_PF;
	c->intercept[VMCB_MISC1] |= (u32)(VMCB_I_INVLPG | VMCB_I_TASK);
}

static void
init_control(struct svm_vcpu *v, struct hpa npt_root)
{
	struct vmcb_control *c = &v->vmcb->c;

	/* CR4 writes; all debug registers until the first use. */
	c->intercept[VMCB_CR] = 1U << (16 + 4);
	c->intercept[VMCB_DR] = 0xffffffff;
	/* #DB, #AC: a guest could loop in their delivery for ever. */
	c->intercept[VMCB_EXCEPTION] =
	    1U << X86_DB | 1U << X86_AC | 1U << X86_MC;
	c->intercept[VMCB_MISC1] = (u32)(VMCB_I_INTR | VMCB_I_NMI | VMCB_I_SMI |
	    VMCB_I_INIT | VMCB_I_RDPMC | VMCB_I_CPUID | VMCB_I_INVD |
	    VMCB_I_HLT | VMCB_I_INVLPGA | VMCB_I_IOIO | VMCB_I_MSR |
	    VMCB_I_SHUTDOWN | VMCB_I_RSM);
	c->intercept[VMCB_MISC2] = (u32)(VMCB_I_VMRUN | VMCB_I_VMMCALL |
	    VMCB_I_VMLOAD | VMCB_I_VMSAVE | VMCB_I_STGI | VMCB_I_CLGI |
	    VMCB_I_SKINIT | VMCB_I_WBINVD | VMCB_I_MONITOR | VMCB_I_MWAIT |
	    VMCB_I_XSETBV | VMCB_I_RDPRU | VMCB_I_RDTSCP);
	c->intercept[VMCB_MISC3] = (u32)VMCB_I_INVPCID;
	if (svm_features.pause_filter) {
		c->pause_count = PAUSE_COUNT;
		if (svm_features.pause_thresh)
			c->pause_thresh = PAUSE_THRESH;
		c->intercept[VMCB_MISC1] |= VMCB_I_PAUSE;
	}
	c->iopm_pa = svm_iopm_pa;
	c->msrpm_pa = svm_msrpm_pa;
	c->int_ctl = VMCB_V_INTR_MASKING;
	if (v->shadow) {
		init_shadow(c);
		return;
	}
	c->nested_ctl = VMCB_NP_ENABLE;
	c->n_cr3 = npt_root.v;
}

/* APM vol. 2 "Processor Initialization State", its table. */
void
svm_vcpu_reset(struct hv_vcpu *hv, bool init)
{
	struct gcpu *c = &hv->cpu;
	unsigned i;

	cpu_need(c, CPU_SEGS | CPU_CRS | CPU_DRS | CPU_SYSMSRS);
	memset(c->gpr, 0, sizeof(c->gpr));
	memset(c->dr, 0, sizeof(c->dr));
	for (i = 0; i < CPU_NSEGS; i++)
		c->seg[i] =
		    (struct seg){ .attr = SEG_P | SEG_S | 3, .limit = 0xffff };
	c->seg[SEG_CS].sel = 0xf000;
	c->seg[SEG_CS].base = 0xffff0000;
	c->seg[SEG_CS].attr = SEG_P | SEG_S | 0xb;
	c->seg[SEG_LDTR].attr = SEG_P | 2;
	c->seg[SEG_TR].attr = SEG_P | 0xb;
	c->gdt = c->idt = (struct dtable){ .limit = 0xffff };
	c->cpl = 0;
	c->rip = 0xfff0;
	c->rflags = X86_RFLAGS_ONE;
	/* INIT keeps CD and NW. */
	c->cr0 = X86_CR0_ET |
	    (init ? c->cr0 & (X86_CR0_CD | X86_CR0_NW)
		  : X86_CR0_CD | X86_CR0_NW);
	c->cr2 = c->cr3 = c->cr4 = c->cr8 = c->efer = 0;
	c->dr6 = 0xffff0ff0;
	c->dr7 = 0x400;
	if (!init) {
		c->star = c->lstar = c->cstar = c->sfmask = 0;
		c->kernel_gs_base = 0;
		c->sysenter_cs = c->sysenter_esp = c->sysenter_eip = 0;
		c->pat = 0x0007040600070406ULL;
		c->xcr0 = 1;
		c->pkru = 0;
	}
	c->dirty = CPU_REGS | CPU_SEGS | CPU_CRS | CPU_DRS | CPU_SYSMSRS;
	to_svm(hv)->asid_gen = 0; /* translations are gone, too */
	hv->intr_shadow = false;
	hv->inject.type = hv->cut.type = EVENT_NONE;
}

struct hv_vcpu *
svm_vcpu_new(struct hpa npt_root)
{
	static atomic64_t last_id;
	struct svm_vcpu *v;

	v = kzalloc(sizeof(*v), GFP_KERNEL_ACCOUNT);
	if (!v)
		return NULL;
	v->vmcb = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!v->vmcb) {
		kfree(v);
		return NULL;
	}
	v->vmcb_pa = __pa(v->vmcb);
	v->id = (u64)atomic64_inc_return(&last_id);
	v->hv.tsc_ratio = 1ULL << 32;
	v->last_cpu = -1;
	v->shadow = npt_root.v == 0;
	v->hv.cpu.ops = &cpu_ops;
	v->hv.cpu.valid = CPU_REGS;
	init_control(v, npt_root);
	svm_vcpu_reset(&v->hv, false);
	return &v->hv;
}

void
svm_vcpu_free(struct hv_vcpu *hv)
{
	struct svm_vcpu *v = to_svm(hv);

	if (!v)
		return;
	free_page((unsigned long)v->vmcb);
	kfree(v);
}
