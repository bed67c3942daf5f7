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
	if (!long_on && (cr4 & X86_CR4_PCIDE))
		return false;
	return !long_on || !(cr3 >> c->maxphyaddr);
}

/* Others are reserved and read 0. */
#define CR0_BITS                                                             \
	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET |    \
	    X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | \
	    X86_CR0_PG)

/* "Enabling and Activating Long Mode", "Leaving Long Mode". */
int
cpu_set_cr0(struct gcpu *c, u64 val)
{
	bool pg = val & X86_CR0_PG, was_pg = c->cr0 & X86_CR0_PG;
	bool in_64bit =
	    (c->efer & X86_EFER_LMA) && (c->seg[SEG_CS].attr & SEG_L);
	u64 efer = c->efer;

	if (val >> 32)
		return 1;
	if (pg && !was_pg && (efer & X86_EFER_LME)) {
		if (c->seg[SEG_CS].attr & SEG_L)
			return 1;
		efer |= X86_EFER_LMA;
	} else if (!pg && was_pg) {
		if (in_64bit || (c->cr4 & X86_CR4_PCIDE))
			return 1;
		efer &= ~X86_EFER_LMA;
	}
	val = (val & CR0_BITS) | X86_CR0_ET;
	if (!cpu_crs_allowed(c, val, c->cr3, c->cr4, efer))
		return 1;
	c->cr0 = val;
	c->efer = efer;
	cpu_dirty(c, CPU_CRS);
	return 0;
}

/* "CR3 Register" */
bool
cpu_cr3_allowed(const struct gcpu *c, u64 *val)
{
	if (!(c->efer & X86_EFER_LMA))
		return true;
	if (c->cr4 & X86_CR4_PCIDE)
		*val &= ~CORE_BIT(63);
	return *val >> c->maxphyaddr == 0;
}

int
cpu_set_cr3(struct gcpu *c, u64 val)
{
	if (!cpu_cr3_allowed(c, &val))
		return 1;
	c->cr3 = val;
	cpu_dirty(c, CPU_CRS);
	return 0;
}

int
cpu_set_cr4(struct gcpu *c, u64 val)
{
	if (!cpu_cr4_allowed(c, val))
		return 1;
	c->cr4 = val;
	cpu_dirty(c, CPU_CRS);
	return 0;
}

#define XCR0_X87    CORE_BIT(0)
#define XCR0_SSE    CORE_BIT(1)
#define XCR0_AVX    CORE_BIT(2)
#define XCR0_AVX512 (CORE_BIT(5) | CORE_BIT(6) | CORE_BIT(7))

/* APM vol. 4 "XSETBV": x87 always, AVX with SSE, AVX-512 whole and with
 * AVX. */
bool
cpu_xcr0_allowed(const struct gcpu *c, u64 val)
{
	if (!(val & XCR0_X87) || (val & ~c->xcr0_valid))
		return false;
	if ((val & XCR0_AVX) && !(val & XCR0_SSE))
		return false;
	if (!(val & XCR0_AVX512))
		return true;
	return (val & XCR0_AVX512) == XCR0_AVX512 && (val & XCR0_AVX);
}
