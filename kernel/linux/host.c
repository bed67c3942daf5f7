// SPDX-License-Identifier: (ISC OR GPL-2.0)
/* The host seam of core/host.h: pages for nested page tables. */
#include <linux/gfp.h>
#include <linux/mm.h>
#include "../core/host.h"

void *
host_page_alloc(void)
{
	return (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
}

void
host_page_free(void *page)
{
	free_page((unsigned long)page);
}

struct hpa
host_page_pa(const void *page)
{
	return (struct hpa){ __pa(page) };
}

void *
host_page_va(struct hpa pa)
{
	return __va(pa.v);
}
