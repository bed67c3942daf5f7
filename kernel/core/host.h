/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_HOST_H
#define CORE_HOST_H

/*
 * What core needs of the host: pages for nested tables.  Implemented once
 * for Linux (linux/host.c) and once for the tests.
 */
#include "types.h"

/* A zeroed page, charged to whoever runs the VM; NULL when there is none. */
void *host_page_alloc(void);
void host_page_free(void *);
struct hpa host_page_pa(const void *);
/* The inverse, for pages of host_page_alloc() only. */
void *host_page_va(struct hpa);

#endif
