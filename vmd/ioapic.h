/* SPDX-License-Identifier: ISC */
#ifndef VMD_IOAPIC_H
#define VMD_IOAPIC_H

/* 82093AA IOAPIC at 0xfec00000, 24 pins. */
#include "devenv.h"

#define IOAPIC_BASE 0xfec00000ULL
#define IOAPIC_LEN  0x1000ULL
#define IOAPIC_PINS 24

struct ioapic_ops {
	/* Deliver now. addr/data in MSI format (SDM "Message Signalled
	 * Interrupts"; the IOAPIC's entry maps onto it field by field). */
	void (*msi)(void *arg, uint64_t addr, uint32_t data);
	/* The entry of pin changed: keep the GSI table in step (needed for
	 * EOI reports of level-triggered pins). Masked entries too. */
	void (*route)(
	    void *arg, unsigned pin, uint64_t addr, uint32_t data, bool masked);
};

struct ioapic {
	uint32_t id, select;
	uint64_t redir[IOAPIC_PINS];
	uint32_t lines; /* level now, by pin */
	uint32_t pending; /* edges latched while masked are not kept */
	const struct ioapic_ops *ops;
	void *arg;
};

void ioapic_init(struct ioapic *, uint8_t id, const struct ioapic_ops *, void *);
void ioapic_set(struct ioapic *, unsigned pin, bool level);
/* The driver reported an EOI of vector (KVM_EXIT_IOAPIC_EOI). */
void ioapic_eoi(struct ioapic *, uint8_t vector);
uint64_t ioapic_read(struct ioapic *, uint64_t off, unsigned size);
void ioapic_write(struct ioapic *, uint64_t off, unsigned size, uint64_t val);

#endif
