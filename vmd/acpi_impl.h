/* SPDX-License-Identifier: ISC */
#ifndef VMD_ACPI_IMPL_H
#define VMD_ACPI_IMPL_H

/* The tables in the making, and what is to be mended when they move. */
#include <assert.h>
#include "acpi.h"

#define ACPI_RSDP_LEN	 36 /* it is the first thing in the image */
#define ACPI_CHECKSUM_AT 9 /* in a table with a header */
#define ACPI_FIXES	 12

struct acpi_fix {
	uint16_t at, len;
};

struct acpi_image {
	uint32_t base; /* address of byte 0 */
	uint8_t b[12 * 1024];
	size_t len;
	unsigned npointers, ntables;
	struct acpi_fix pointer[ACPI_FIXES]; /* fields that hold addresses */
	struct acpi_fix table[ACPI_FIXES]; /* with a header and a checksum */
};
static_assert(sizeof(((struct acpi_image *)0)->b) <= ACPI_TABLES_LEN, "area");

/* 0 or -ENOSPC. */
int acpi_build(struct acpi_image *, const struct acpi_conf *, uint32_t base);

#endif
