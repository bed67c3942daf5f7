// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Protected mode without paging, on a processor with EPT that has no
 * unrestricted guests: paging is on for the CPU, with these tables, in which
 * each address is itself (SDM vol. 3 "PAE Paging").  They are the same for all
 * guests, which can read them at most: nested tables have them read-only at the
 * end of what the CPU can address, and their accessed bits are set.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <asm/processor.h>
#include "../../core/x86.h"
#include "vmx.h"

static u64 *directories[HV_OWN_PAGES]; /* (c) each of 1 GiB */

int
vmx_identity_init(void)
{
	u64 leaf = X86_PTE_P | X86_PTE_W | X86_PTE_U | X86_PTE_A | X86_PTE_D |
	    X86_PTE_PS;
	u64 size = (u64)PAGE_SIZE * HV_OWN_PAGES;
	unsigned bits = min_t(unsigned, boot_cpu_data.x86_phys_bits, 48);
	unsigned i, j;

	if (!vmx_features.ept || vmx_features.unrestricted)
		return 0;
	for (i = 0; i < HV_OWN_PAGES; i++) {
		directories[i] = (void *)get_zeroed_page(GFP_KERNEL);
		if (!directories[i])
			return -ENOMEM;
		for (j = 0; j < 512; j++)
			directories[i][j] = ((u64)i << 30 | j << 21) | leaf;
		vmx_caps.own[i].v = __pa(directories[i]);
	}
	vmx_caps.own_gpa = (1ULL << bits) - size;
	return 0;
}

void
vmx_identity_exit(void)
{
	unsigned i;

	for (i = 0; i < HV_OWN_PAGES; i++) {
		free_page((unsigned long)directories[i]);
		directories[i] = NULL;
	}
}

/* What the VMCS has of PAE's first level; of its bits only P is used. */
void
vmx_identity_pdptrs(u64 pdptr[4])
{
	unsigned i;

	for (i = 0; i < HV_OWN_PAGES; i++)
		pdptr[i] = (vmx_caps.own_gpa + i * PAGE_SIZE) | X86_PTE_P;
}
