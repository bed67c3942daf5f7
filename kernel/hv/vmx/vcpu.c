// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * A vCPU's VMCS, and the way between it and struct gcpu (SDM vol. 3
 * "Guest-State Area", "Checks on the Guest State Area", "Processor State After
 * Reset").
 *
 * Invariants
 *  1. CR4 is ours as a whole, of CR0 the bits of CR0_OURS: what the guest sees
 *     of them is in the read shadows, and gcpu has it.
 *  2. What the checks refuse and a guest can bring about is put right here;
 *     what is left can come from user space only, and ends in HV_FAILED.
 */
#include <linux/gfp.h>
#include <linux/idr.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "../../core/x86.h"
#include "vmx.h"

#define PLE_GAP_CYCLES	  128
#define PLE_WINDOW_CYCLES 4096
#define VPIDS		  0xffff

/* NE is required by VMX; caches stay on, as the guest's memory is coherent. */
#define CR0_OURS (X86_CR0_NE | X86_CR0_NW | X86_CR0_CD)

static DEFINE_IDA(vpids);

/* Fields of segment i are this far from those of ES, in the order of enum
 * cpu_seg ("Field Encoding in VMCS"). */
#define SEG_FIELD(first, i) ((first) + 2 * (i))
_Static_assert(GUEST_TR_SELECTOR == SEG_FIELD(GUEST_ES_SELECTOR, SEG_TR), "TR");
_Static_assert(GUEST_LDTR_BASE == SEG_FIELD(GUEST_ES_BASE, SEG_LDTR), "LDTR");
_Static_assert(GUEST_GS_LIMIT == SEG_FIELD(GUEST_ES_LIMIT, SEG_GS), "GS");
_Static_assert(GUEST_CS_AR_BYTES == SEG_FIELD(GUEST_ES_AR_BYTES, SEG_CS), "CS");

/* "Format of Access Rights": bits 0-7 are those of a descriptor, as are ours,
 * and so are 12-15, which we have in 8-11. */
static u16
attr_in(u32 ar)
{
	u16 attr = (ar & 0xff) | (ar >> 4 & 0xf00);

	return ar & VMX_AR_UNUSABLE_MASK ? attr & ~SEG_P : attr;
}

static u32
ar_out(u16 attr)
{
	u32 ar = (attr & 0xff) | (u32)(attr & 0xf00) << 4;

	return attr & SEG_P ? ar : ar | VMX_AR_UNUSABLE_MASK;
}

static void
seg_in(struct gcpu *c, unsigned i)
{
	struct seg *s = &c->seg[i];

	s->sel = vmx_read(SEG_FIELD(GUEST_ES_SELECTOR, i));
	s->attr = attr_in(vmx_read(SEG_FIELD(GUEST_ES_AR_BYTES, i)));
	s->limit = vmx_read(SEG_FIELD(GUEST_ES_LIMIT, i));
	s->base = vmx_read(SEG_FIELD(GUEST_ES_BASE, i));
}

static void
code_in(struct gcpu *c)
{
	seg_in(c, SEG_CS);
	/* Also when SS is not usable. */
	c->cpl = VMX_AR_DPL(vmx_read(GUEST_SS_AR_BYTES));
}

static void
segs_in(struct gcpu *c)
{
	unsigned i;

	for (i = 0; i < CPU_NSEGS; i++)
		if (i != SEG_CS)
			seg_in(c, i);
	code_in(c);
	c->gdt.base = vmx_read(GUEST_GDTR_BASE);
	c->gdt.limit = vmx_read(GUEST_GDTR_LIMIT);
	c->idt.base = vmx_read(GUEST_IDTR_BASE);
	c->idt.limit = vmx_read(GUEST_IDTR_LIMIT);
}

/* "Checks on Guest Segment Registers": a limit of 20 bits and one of pages
 * look different. */
static u16
granularity(u16 attr, u32 limit)
{
	if (limit & 0xfff00000)
		return attr | SEG_G;
	return (limit & 0xfff) != 0xfff ? attr & ~SEG_G : attr;
}

static u16
checked_attr(const struct gcpu *c, unsigned i)
{
	const struct seg *s = &c->seg[i];
	u16 attr = granularity(s->attr, s->limit);

	switch (i) {
	case SEG_TR: /* always there, and busy */
		attr = (attr & ~(SEG_S | SEG_TYPE)) | SEG_P |
		    ((attr & SEG_TYPE) == 1 || (attr & SEG_TYPE) == 3 ? 3 : 11);
		return (c->efer & X86_EFER_LMA) ? attr | 8 : attr;
	case SEG_LDTR:
		return attr;
	case SEG_SS:
		attr = (attr & ~SEG_DPL) | c->cpl << SEG_DPL_SHIFT;
		break;
	case SEG_CS:
		if (!(c->cr0 & X86_CR0_PE) || (attr & SEG_TYPE) == 3)
			attr &= ~SEG_DPL;
		break;
	}
	/* Accessed, as loading it would have made it. */
	return (c->rflags & X86_RFLAGS_VM) ? attr : attr | (attr & SEG_S) >> 4;
}

/* "Checks on Guest Segment Registers", those of a data segment; attr as it will
 * be in the VMCS. */
static bool
data_enterable(u16 attr, u16 sel)
{
	unsigned type = attr & SEG_TYPE;

	if (!(attr & SEG_P))
		return true;
	if (!(attr & SEG_S) || (type & 10) == 8) /* code that cannot be read */
		return false;
	return type > 11 || (attr & SEG_DPL) >> SEG_DPL_SHIFT >= (sel & 3);
}

static bool
code_enterable(const struct gcpu *c, u16 cs, u16 ss)
{
	unsigned dpl = (cs & SEG_DPL) >> SEG_DPL_SHIFT, type = cs & SEG_TYPE;
	u16 sel = c->seg[SEG_SS].sel;

	if ((cs & (SEG_P | SEG_S)) != (SEG_P | SEG_S) || !(type & 8) ||
	    ((cs & SEG_L) && (cs & SEG_DB) && (c->efer & X86_EFER_LMA)))
		return false;
	if (type < 12 ? dpl != c->cpl : dpl > c->cpl)
		return false;
	if ((c->seg[SEG_CS].sel & 3) != (sel & 3) || (sel & 3) != c->cpl)
		return false;
	type = ss & SEG_TYPE;
	return !(ss & SEG_P) || ((ss & SEG_S) && (type == 3 || type == 7));
}

/* "Checks on Guest Segment Registers", of virtual-8086 mode */
static bool
v86_enterable(const struct gcpu *c)
{
	const struct seg *s;
	unsigned i;

	for (i = SEG_ES; i <= SEG_GS; i++) {
		s = &c->seg[i];
		if (s->base != (u64)s->sel << 4 || s->limit != 0xffff ||
		    (s->attr & 0xff) != 0xf3)
			return false;
	}
	return true;
}

/* Would the checks let a restricted guest run as it is? */
bool
vmx_enterable(struct gcpu *c)
{
	unsigned i;

	cpu_need(c, CPU_SEGS | CPU_CRS);
	if (!(c->cr0 & X86_CR0_PE))
		return false;
	if (c->rflags & X86_RFLAGS_VM)
		return v86_enterable(c);
	for (i = SEG_ES; i <= SEG_GS; i++)
		if (i != SEG_CS && i != SEG_SS &&
		    !data_enterable(checked_attr(c, i), c->seg[i].sel))
			return false;
	return code_enterable(
	    c, checked_attr(c, SEG_CS), checked_attr(c, SEG_SS));
}

static void
segs_out(const struct gcpu *c)
{
	unsigned i;

	for (i = 0; i < CPU_NSEGS; i++) {
		vmx_write(SEG_FIELD(GUEST_ES_SELECTOR, i), c->seg[i].sel);
		vmx_write(SEG_FIELD(GUEST_ES_AR_BYTES, i),
		    ar_out(checked_attr(c, i)));
		vmx_write(SEG_FIELD(GUEST_ES_LIMIT, i), c->seg[i].limit);
		vmx_write(SEG_FIELD(GUEST_ES_BASE, i), c->seg[i].base);
	}
	vmx_write(GUEST_GDTR_BASE, c->gdt.base);
	vmx_write(GUEST_GDTR_LIMIT, c->gdt.limit);
	vmx_write(GUEST_IDTR_BASE, c->idt.base);
	vmx_write(GUEST_IDTR_LIMIT, c->idt.limit);
}

/*
 * CR2 is in no field: gcpu has it after each exit; so is DR6.  Of a restricted
 * guest gcpu always has all but CR3 of EPT's; of any other CR4, CR0_OURS ("Changes
 * to Instruction Behavior in VMX Non-Root Operation": what is the host's stays as
 * it is) and, as its writes exit, EFER, whose LMA comes and goes with CR0.PG
 * ("Paging-Mode Enabling").
 */
static void
crs_in(const struct vmx_vcpu *v, struct gcpu *c)
{
	if (!v->shadow && !v->identity)
		c->cr3 = vmx_read(GUEST_CR3);
	if (v->restricted)
		return;
	c->cr0 = (vmx_read(GUEST_CR0) & ~(u64)CR0_OURS) | (c->cr0 & CR0_OURS);
	c->efer &= ~(u64)X86_EFER_LMA;
	if ((c->efer & X86_EFER_LME) && (c->cr0 & X86_CR0_PG))
		c->efer |= X86_EFER_LMA;
}

static void
sysmsrs_in(struct vmx_vcpu *v)
{
	const struct vmx_msr_entry *m = v->lists->guest;
	struct gcpu *c = &v->hv.cpu;

	c->star = m[VMX_STAR].value;
	c->lstar = m[VMX_LSTAR].value;
	c->cstar = m[VMX_CSTAR].value;
	c->sfmask = m[VMX_SFMASK].value;
	c->kernel_gs_base = m[VMX_KERNEL_GS].value;
	c->sysenter_cs = vmx_read(GUEST_SYSENTER_CS);
	c->sysenter_esp = vmx_read(GUEST_SYSENTER_ESP);
	c->sysenter_eip = vmx_read(GUEST_SYSENTER_EIP);
	if (!v->shadow)
		c->pat = vmx_read(GUEST_IA32_PAT);
}

static void
read_groups(struct vmx_vcpu *v, unsigned groups)
{
	struct gcpu *c = &v->hv.cpu;

	if (groups & CPU_SEGS)
		segs_in(c);
	else if (groups & CPU_CODE)
		code_in(c);
	if (groups & CPU_CRS)
		crs_in(v, c);
	if (groups & CPU_DRS)
		c->dr7 = vmx_read(GUEST_DR7);
	if (groups & CPU_SYSMSRS)
		sysmsrs_in(v);
}

/* Loaded or not; on a CPU that was turned off there is nothing to be had. */
static void
need(struct gcpu *c, unsigned groups)
{
	struct vmx_vcpu *v = container_of(c, struct vmx_vcpu, hv.cpu);
	struct vmx_host *h;
	unsigned long flags;

	local_irq_save(flags);
	h = this_cpu_ptr(&vmx_hosts);
	if (h->enabled && h->loaded == v) {
		read_groups(v, groups);
	} else if (h->enabled && vmx_ptr_load(v->vmcs_pa)) {
		read_groups(v, groups);
		vmx_clear(v->vmcs_pa);
		v->launched = false;
		if (h->loaded)
			vmx_ptr_load(h->loaded->vmcs_pa);
	}
	local_irq_restore(flags);
	c->valid |= cpu_groups(groups);
}

static const struct gcpu_ops cpu_ops = { .need = need };

static u32
entry_controls(const struct vmx_vcpu *v)
{
	return v->shadow ? vmx_features.entry & ~VM_ENTRY_LOAD_IA32_PAT
			 : vmx_features.entry;
}

/* What the CPU has in the place of the guest's own. */
struct crs {
	u64 cr0, cr3, cr4, efer;
};

/* Shadow tables (core/shadow.h): paging is on in each mode.  Without paging of
 * the guest's nothing is a user's page, with rights of its own. */
static void
crs_shadow(const struct vmx_vcpu *v, struct crs *r)
{
	u64 no = X86_CR4_PCIDE | X86_CR4_PKE | X86_CR4_PGE;

	if (!(r->cr0 & X86_CR0_PG))
		no |= X86_CR4_SMEP | X86_CR4_SMAP;
	if (!(r->efer & X86_EFER_LMA))
		no |= X86_CR4_LA57;
	r->cr0 |= X86_CR0_WP;
	r->cr3 = v->root;
	r->cr4 = (r->cr4 & ~no) | X86_CR4_PAE;
	r->efer |= X86_EFER_NXE;
}

/* Nested tables, and no paging of the guest's (identity.c). */
static void
crs_identity(struct crs *r)
{
	r->cr4 &= ~(u64)(X86_CR4_PAE | X86_CR4_PCIDE | X86_CR4_PKE |
	    X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_LA57);
	r->cr4 |= X86_CR4_PSE;
	r->cr3 = vmx_caps.own_gpa;
}

/* Paging is on for the CPU, and long mode only where it is active. */
static void
crs_restricted(struct vmx_vcpu *v, struct crs *r)
{
	if (!(r->efer & X86_EFER_LMA))
		r->efer &= ~(u64)X86_EFER_LME;
	if (v->shadow) {
		crs_shadow(v, r);
		return;
	}
	v->identity = !(r->cr0 & X86_CR0_PG);
	vmx_control(v, &v->primary,
	    CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING,
	    v->identity);
	if (v->identity)
		crs_identity(r);
}

static void
crs_out(struct vmx_vcpu *v)
{
	const struct gcpu *c = &v->hv.cpu;
	struct crs r = { c->cr0 & ~(u64)CR0_OURS, c->cr3, c->cr4, c->efer };
	u64 cr0_set = vmx_features.cr0_fixed0;

	if (v->restricted)
		crs_restricted(v, &r);
	else /* the paging bits are free */
		cr0_set &= ~(u64)(X86_CR0_PE | X86_CR0_PG);
	vmx_write(GUEST_CR0, r.cr0 | cr0_set);
	vmx_write(CR0_READ_SHADOW, c->cr0);
	vmx_write(GUEST_CR3, r.cr3);
	vmx_write(GUEST_CR4, r.cr4 | vmx_features.cr4_fixed0);
	vmx_write(CR4_READ_SHADOW, c->cr4);
	if (vmx_features.efer)
		vmx_write(GUEST_IA32_EFER, r.efer);
	else
		v->lists->guest[VMX_LAST].value = r.efer;
	/* The processor changes it with the guest's CR0. */
	vmx_write(VM_ENTRY_CONTROLS,
	    entry_controls(v) |
		(c->efer & X86_EFER_LMA ? VM_ENTRY_IA32E_MODE : 0));
}

/* "Loading MSRs": an address that is not canonical would refuse the entry. */
static u64
canonical(u64 va)
{
	return (u64)((s64)(va << 16) >> 16);
}

static void
sysmsrs_out(struct vmx_vcpu *v)
{
	struct vmx_msr_entry *m = v->lists->guest;
	const struct gcpu *c = &v->hv.cpu;

	m[VMX_STAR].value = c->star;
	m[VMX_LSTAR].value = canonical(c->lstar);
	m[VMX_CSTAR].value = canonical(c->cstar);
	m[VMX_SFMASK].value = (u32)c->sfmask;
	m[VMX_KERNEL_GS].value = canonical(c->kernel_gs_base);
	vmx_write(GUEST_SYSENTER_CS, c->sysenter_cs);
	vmx_write(GUEST_SYSENTER_ESP, canonical(c->sysenter_esp));
	vmx_write(GUEST_SYSENTER_EIP, canonical(c->sysenter_eip));
	if (!v->shadow)
		vmx_write(GUEST_IA32_PAT, c->pat);
}

void
vmx_sync(struct vmx_vcpu *v)
{
	struct gcpu *c = &v->hv.cpu;

	/* Attributes depend on CR0 and EFER, and are the processor's to save. */
	if (c->dirty & CPU_SEGS) {
		cpu_need(c, CPU_CRS);
		segs_out(c);
	}
	if (c->dirty & CPU_CRS)
		crs_out(v);
	if (c->dirty & CPU_DRS)
		vmx_write(GUEST_DR7, (u32)c->dr7);
	if (c->dirty & CPU_SYSMSRS)
		sysmsrs_out(v);
}

/* Fields whose values are remembered begin with one that is known. */
static void
zero_cached(struct vmx_vcpu *v)
{
	static const u32 fields[] = { CPU_BASED_VM_EXEC_CONTROL,
		SECONDARY_VM_EXEC_CONTROL, EXCEPTION_BITMAP, TSC_OFFSET,
		GUEST_INTERRUPTIBILITY_INFO, GUEST_PENDING_DBG_EXCEPTIONS,
		GUEST_RSP, GUEST_RIP, GUEST_RFLAGS, HOST_CR3, HOST_CR4,
		HOST_FS_BASE, HOST_RSP };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(fields); i++)
		vmx_write(fields[i], 0);
	v->in_primary = v->in_secondary = v->in_exceptions = 0;
	v->in_blocking = 0;
	v->in_tsc_offset = v->in_pending = 0;
	v->in_rsp = v->in_rip = v->in_rflags = 0;
	v->in_cr3 = v->in_cr4 = v->in_fs_base = v->in_rsp_host = 0;
	v->dirty.controls = true;
}

void
vmx_write_all(struct vmx_vcpu *v)
{
	const struct vmx_features *f = &vmx_features;
	u64 guest = __pa(v->lists->guest), host = __pa(v->lists->host);
	unsigned n = f->last_msr ? VMX_MSRS : VMX_LAST;

	vmx_write(PIN_BASED_VM_EXEC_CONTROL, f->pin);
	vmx_write(VM_EXIT_CONTROLS,
	    v->shadow ? f->exit & ~VM_EXIT_LOAD_IA32_PAT : f->exit);
	vmx_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmx_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmx_write(CR3_TARGET_COUNT, 0);
	vmx_write(VM_EXIT_MSR_STORE_ADDR, guest);
	vmx_write(VM_EXIT_MSR_STORE_COUNT, n);
	vmx_write(VM_ENTRY_MSR_LOAD_ADDR, guest);
	vmx_write(VM_ENTRY_MSR_LOAD_COUNT, n);
	vmx_write(VM_EXIT_MSR_LOAD_ADDR, host);
	vmx_write(VM_EXIT_MSR_LOAD_COUNT, n);
	vmx_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	vmx_write(VIRTUAL_APIC_PAGE_ADDR, __pa(v->vapic));
	vmx_write(TPR_THRESHOLD, 0);
	vmx_write(MSR_BITMAP, vmx_msr_bitmap_pa);
	if (!v->shadow)
		vmx_write(EPT_POINTER, v->eptp);
	if (v->vpid)
		vmx_write(VIRTUAL_PROCESSOR_ID, v->vpid);
	if (f->ple) {
		vmx_write(PLE_GAP, PLE_GAP_CYCLES);
		vmx_write(PLE_WINDOW, PLE_WINDOW_CYCLES);
	}
	vmx_write(CR0_GUEST_HOST_MASK, v->restricted ? ~0ULL : CR0_OURS);
	vmx_write(CR4_GUEST_HOST_MASK, ~0ULL);
	vmx_write(VMCS_LINK_POINTER, ~0ULL);
	vmx_write(GUEST_IA32_DEBUGCTL, 0);
	vmx_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	zero_cached(v);
	v->written = true;
}

/* "Processor State After Reset", its table. */
void
vmx_vcpu_reset(struct hv_vcpu *hv, bool init)
{
	struct gcpu *c = &hv->cpu;
	struct vmx_vcpu *v = to_vmx(hv);
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
	v->dirty.flush = true;
	v->blocking = 0;
	v->pending_dbg = 0;
	hv->intr_shadow = false;
	hv->inject.type = hv->cut.type = EVENT_NONE;
}

static const u32 listed[VMX_MSRS] = {
	[VMX_STAR] = MSR_STAR,
	[VMX_LSTAR] = MSR_LSTAR,
	[VMX_CSTAR] = MSR_CSTAR,
	[VMX_SFMASK] = MSR_SYSCALL_MASK,
	[VMX_KERNEL_GS] = MSR_KERNEL_GS_BASE,
};

static void
free_pages_of(struct vmx_vcpu *v)
{
	free_page((unsigned long)v->vmcs);
	free_page((unsigned long)v->vapic);
	free_page((unsigned long)v->lists);
	kfree(v);
}

void
vmx_exceptions(struct vmx_vcpu *v, u32 mask)
{
	v->exceptions = mask | 1U << X86_DB | 1U << X86_AC | 1U << X86_MC |
	    (v->shadow ? 1U << X86_PF : 0);
	v->dirty.controls = true;
}

/* Of a vCPU with shadow tables each register that decides about paging is ours.
 * CPUID says whether the guest has INVPCID. */
static void
choose_controls(struct vmx_vcpu *v)
{
	v->primary = vmx_features.primary;
	v->secondary =
	    vmx_features.secondary & ~(u32)SECONDARY_EXEC_ENABLE_INVPCID;
	if (v->shadow) {
		v->primary |= CPU_BASED_CR3_LOAD_EXITING |
		    CPU_BASED_CR3_STORE_EXITING | CPU_BASED_INVLPG_EXITING;
		v->secondary &= ~(u32)(SECONDARY_EXEC_ENABLE_EPT |
		    SECONDARY_EXEC_UNRESTRICTED_GUEST |
		    SECONDARY_EXEC_ENABLE_VPID);
	}
	if (v->secondary & SECONDARY_EXEC_ENABLE_VPID)
		v->vpid = max(
		    0, ida_alloc_range(&vpids, 1, VPIDS, GFP_KERNEL_ACCOUNT));
	if (!v->vpid)
		v->secondary &= ~SECONDARY_EXEC_ENABLE_VPID;
}

struct hv_vcpu *
vmx_vcpu_new(struct hpa npt_root)
{
	static atomic64_t last_id;
	struct vmx_vcpu *v;
	unsigned i;

	BUILD_BUG_ON(sizeof(struct vmx_lists) > PAGE_SIZE);
	v = kzalloc(sizeof(*v), GFP_KERNEL_ACCOUNT);
	if (!v)
		return NULL;
	v->vmcs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	v->vapic = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	v->lists = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!v->vmcs || !v->vapic || !v->lists) {
		free_pages_of(v);
		return NULL;
	}
	v->vmcs_pa = __pa(v->vmcs);
	*(u32 *)v->vmcs = vmx_features.revision;
	for (i = 0; i < VMX_MSRS; i++)
		v->lists->guest[i].index = v->lists->host[i].index =
		    i == VMX_LAST ? vmx_features.last_msr : listed[i];
	v->eptp = npt_root.v | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4;
	v->id = (u64)atomic64_inc_return(&last_id);
	v->shadow = npt_root.v == 0;
	v->restricted = v->shadow || !vmx_features.unrestricted;
	v->always = CPU_REGS | CPU_CR4 | (v->shadow ? CPU_CRS : 0);
	choose_controls(v);
	vmx_exceptions(v, 0);
	v->hv.tsc_ratio = 1ULL << 32;
	v->last_cpu = -1;
	v->hv.cpu.ops = &cpu_ops;
	v->hv.cpu.valid =
	    cpu_groups(CPU_REGS | CPU_SEGS | CPU_CRS | CPU_DRS | CPU_SYSMSRS);
	vmx_vcpu_reset(&v->hv, false);
	return &v->hv;
}

void
vmx_vcpu_free(struct hv_vcpu *hv)
{
	struct vmx_vcpu *v = to_vmx(hv);

	if (!v)
		return;
	if (v->vpid)
		ida_free(&vpids, v->vpid);
	free_pages_of(v);
}
