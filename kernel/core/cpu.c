// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Which values control registers may take: APM vol. 2 "System-Control
 * Registers", "Canonicalization and Consistency Checks".
 */
#include "cpu.h"
#include "x86.h"

unsigned
cpu_mode_bits(const struct gcpu *c)
{
	u16 cs = c->seg[SEG_CS].attr;

	if ((c->efer & X86_EFER_LMA) && (cs & SEG_L))
		return 64;
	return (c->cr0 & X86_CR0_PE) && (cs & SEG_DB) &&
		!(c->rflags & X86_RFLAGS_VM)
	    ? 32
	    : 16;
}

/* MOV to CR4: reserved bits; PAE and LA57 stay under long mode; PCIDE is
 * taken with PCID 0 in long mode only. */
bool
cpu_cr4_allowed(const struct gcpu *c, u64 val)
{
	u64 changed = val ^ c->cr4;

	if (val & ~c->cr4_valid)
		return false;
	if ((c->efer & X86_EFER_LMA) &&
	    (!(val & X86_CR4_PAE) || (changed & X86_CR4_LA57)))
		return false;
	if ((changed & val & X86_CR4_PCIDE) &&
	    (!(c->efer & X86_EFER_LMA) || (c->cr3 & 0xfff)))
		return false;
	return true;
}

/*
 * APM vol. 1 "XFEATURE_ENABLED_MASK": x87 always, AVX only with SSE, the three
 * parts of AVX-512 together and only with AVX.
 */
bool
cpu_xcr0_allowed(const struct gcpu *c, u64 xcr0)
{
	u64 zmm = xcr0 & 0xe0;

	if (!(xcr0 & 1) || (xcr0 & ~c->xcr0_valid) || (xcr0 & 6) == 4)
		return false;
	return zmm == 0 || (zmm == 0xe0 && (xcr0 & 4));
}

/* The state as user space sets it as a whole: what VMRUN would refuse. */
bool
cpu_crs_allowed(const struct gcpu *c, u64 cr0, u64 cr3, u64 cr4, u64 efer)
{
	bool pg = cr0 & X86_CR0_PG, pe = cr0 & X86_CR0_PE;
	bool long_on = pg && (efer & X86_EFER_LME);

	if ((cr0 >> 32) || (pg && !pe) ||
	    ((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD)))
		return false;
	if ((cr4 & ~c->cr4_valid) || (efer & ~c->efer_valid))
		return false;
	if (long_on != !!(efer & X86_EFER_LMA))
		return false;
	if (long_on && !(cr4 & X86_CR4_PAE))
		return false;
	return !long_on || !(cr3 >> c->maxphyaddr);
}
