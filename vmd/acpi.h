/* SPDX-License-Identifier: ISC */
#ifndef VMD_ACPI_H
#define VMD_ACPI_H

/*
 * ACPI: the PM1 block, PM timer and reset register (acpi_pm.c), the tables
 * (acpi_tables.c) and what firmware makes them from (acpi_fwcfg.c): RSDP, RSDT,
 * XSDT, FADT, FACS, MADT, DSDT (own AML: S5, power button, PCI root with _PRT
 * and _CRS, COM1, RTC, generation id).
 */
#include "devenv.h"
#include "gmem.h"

#define ACPI_PM_BASE \
	0xb000 /* PM1a event 0-3, control 4-5, timer 8-11, GPE0 12-15 */
#define ACPI_PM_LEN	0x10
#define ACPI_PM_HZ	3579545
#define ACPI_SCI	9
#define ACPI_RESET_PORT 0xcf9
/* With firmware, until the guest asks for it, ACPI is off ("SMI_CMD"). */
#define ACPI_SMI_PORT	 0xb2
#define ACPI_SMI_ENABLE	 0xf1
#define ACPI_SMI_DISABLE 0xf0
#define ACPI_TABLES_GPA	 0x000e0000 /* RSDP first, up to 1 MiB */
#define ACPI_TABLES_LEN	 0x00020000

#define ACPI_IOAPIC_ID 0 /* in the MADT; give it to ioapic_init() too */

struct acpi_pm {
	uint16_t pm1_status, pm1_enable, pm1_control;
	uint16_t gpe_status, gpe_enable;
	uint64_t carries; /* carries of the timer that TMR_STS has seen */
	bool level; /* of the SCI line */
	struct line sci; /* level */
	void (*poweroff)(void *arg); /* S5 was entered */
	void (*button_read)(void *arg); /* the guest cleared PWRBTN_STS */
	void *arg;
	struct devenv env;
};

void acpi_pm_init(struct acpi_pm *, struct line sci, struct devenv,
    void (*poweroff)(void *), void (*button_read)(void *), void *arg);
uint64_t acpi_pm_read(struct acpi_pm *, uint64_t off, unsigned size);
void acpi_pm_write(struct acpi_pm *, uint64_t off, unsigned size, uint64_t);
/* ACPI mode on or off; it is on at first. */
void acpi_pm_enable(struct acpi_pm *, bool on);
void acpi_pm_power_button(struct acpi_pm *);
void acpi_pm_gpe(struct acpi_pm *, unsigned n); /* happens */
void acpi_pm_rtc(struct acpi_pm *); /* the RTC asserts its interrupt */
/* The timer's carry, wanted only when the guest enables TMR_EN. */
void acpi_pm_run(struct acpi_pm *);
uint64_t acpi_pm_deadline(const struct acpi_pm *);

struct acpi_conf {
	unsigned cpus;
	uint16_t pm_base; /* of the PM1 block, ACPI_PM_BASE unless moved */
	bool smi; /* ACPI is switched on by ACPI_SMI_PORT */
	uint32_t pci_mmio_base, pci_mmio_len; /* 32-bit window of the root */
	uint16_t pci_io_base, pci_io_len;
	bool vga; /* there is one */
};
/* Writes the tables into guest memory; *rsdp is where they start.
 * 0, -EFAULT or -ENOSPC. */
int
acpi_tables(const struct gmem *, const struct acpi_conf *, struct gpa *rsdp);
/* The same as files of fw_cfg, for firmware that finds a place for them. */
struct fwcfg;
int acpi_fwcfg(struct fwcfg *, const struct acpi_conf *);

#endif
