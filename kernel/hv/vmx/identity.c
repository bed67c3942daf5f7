// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Protected mode without paging, on a processor with EPT that has no
 * unrestricted guests: paging is on for the CPU, with this page directory, in which
 * each address is itself (SDM vol. 3 "32-Bit Paging", pages of 4 MiB).  It is the
 * same for all guests, which can read it at most: nested tables have it read-only,
 * with its accessed bits set, at an address where a PC has no memory, as a write of a
 * device's there is an interrupt ("Message Address Register Format").
 *
 * Not PAE's tables, whose first level the VMCS could have without a page of the
 * guest's: Bochs loads that level anew whenever CR0 is written, as it was, too.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <asm/processor.h>
#include "../../core/x86.h"
#include "vmx.h"

#define ENTRIES	   1024
#define LEAF_SHIFT 22 /* 4 MiB */
#define OWN_GPA	   0xfeeff000ULL

static u32 *directory; /* (c) */

int
vmx_identity_init(void)
{
	u32 leaf = X86_PTE_P | X86_PTE_W | X86_PTE_U | X86_PTE_A | X86_PTE_D |
	    X86_PTE_PS;
	u32 i;

	if (!vmx_features.ept || vmx_features.unrestricted)
		return 0;
	directory = (void *)get_zeroed_page(GFP_KERNEL);
	if (!directory)
		return -ENOMEM;
	for (i = 0; i < ENTRIES; i++)
		directory[i] = i << LEAF_SHIFT | leaf;
	vmx_caps.own.v = __pa(directory);
	vmx_caps.own_gpa = OWN_GPA;
	return 0;
}

void
vmx_identity_exit(void)
{
	free_page((unsigned long)directory);
	directory = NULL;
}
