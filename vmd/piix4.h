/* SPDX-License-Identifier: ISC */
#ifndef VMD_PIIX4_H
#define VMD_PIIX4_H

/*
 * PIIX4 power management, function 3 of the ISA bridge's slot: firmware puts
 * the PM1 block (acpi_pm.c) where it likes.  And the APM ports 0xb2-0xb3.
 * Caller holds the machine lock.
 */
#include "acpi.h"
#include "pci.h"

struct piix4_ops {
	/* The PM1 block is at another place, base; told before the guest's
	 * next access. */
	void (*moved)(void *arg, uint16_t base);
};

struct piix4 {
	struct pci *pci;
	struct bus *pio;
	struct acpi_pm *pm;
	const struct bus_ops *block; /* of the PM1 block */
	void *block_arg;
	const struct piix4_ops *ops;
	void *arg;
	struct pci_dev dev;
	bool mapped;
	uint16_t base; /* where, or where last */
	uint8_t apmc, apms;
};

/* 0 or -errno. */
int piix4_init(struct piix4 *, struct pci *, struct bus *pio, struct acpi_pm *,
    const struct bus_ops *block, void *block_arg, const struct piix4_ops *,
    void *arg);

/* Its registers were set: the PM1 block goes where they say. */
void piix4_restored(struct piix4 *);

#endif
