/* SPDX-License-Identifier: ISC */
#ifndef VMD_MSIX_H
#define VMD_MSIX_H

/*
 * The MSI-X table and pending bits of one function: PCI Local Bus
 * Specification 3.0, "MSI-X Capability and Table Structures".  Pure state;
 * who owns it delivers the messages.
 */
#include <stdbool.h>
#include <stdint.h>

#define MSIX_VECTORS_MAX 64 /* one quadword of pending bits */
#define MSIX_PBA_LEN	 8

struct msix_entry {
	uint64_t addr; /* dword aligned */
	uint32_t data;
	uint32_t control; /* bit 0: masked */
};

struct msix {
	unsigned n; /* vectors */
	bool enabled, fmask; /* message control */
	uint64_t pending;
	struct msix_entry entry[MSIX_VECTORS_MAX];
};

void msix_init(struct msix *, unsigned nvectors);
/* The message control word was written. */
void msix_control(struct msix *, uint16_t);
/* off is relative to the table or to the pending bits.  Accesses other than
 * aligned 4 or 8 bytes inside are ignored and read as all ones. */
uint64_t msix_table_read(const struct msix *, uint64_t off, unsigned size);
/* True when an entry changed. */
bool msix_table_write(struct msix *, uint64_t off, unsigned size, uint64_t val);
uint64_t msix_pba_read(const struct msix *, uint64_t off, unsigned size);

/* May vector (any value) be delivered now?  False when out of range. */
bool msix_open(const struct msix *, unsigned vector);
void msix_set_pending(struct msix *, unsigned vector);
/* True, and no longer pending, when vector is pending and may be delivered. */
bool msix_take_pending(struct msix *, unsigned vector);

#endif
