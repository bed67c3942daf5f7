/* SPDX-License-Identifier: ISC */
/*
 * After the 82371AB (PIIX4) data sheet: "Power Management Configuration
 * Registers (Function 3)", "APM Registers"; the values of the command that
 * switches ACPI on are ours and in the FADT ("SMI_CMD").
 *
 * Invariants
 *  1. The PM1 block is on the bus exactly while PMIOSE is set, its base is
 *     not 0, and no other window is there.
 *  2. There is no system management mode.  The function says that an SMI
 *     handler is there already (APMC_EN), so firmware makes none; what it
 *     would do for ACPI is done here.
 *
 * The SMBus has registers for its place, and nothing is there.
 */
#include <string.h>
#include "pcireg.h"
#include "piix4.h"

#define PMBASE	  0x40
#define PMBASE_IO 0x01
#define DEVACTB	  0x58
#define APMC_EN	  (1U << 25)
#define PMREGMISC 0x80
#define PMIOSE	  0x01
#define SMBBA	  0x90
#define SMBHSTCFG 0xd2
#define SMB_WRITE 0x0f /* interrupt select, host enable */

#define APMC_PORT 0xb2 /* command; APMS, status, is the next */

static void
place(struct piix4 *p)
{
	uint16_t base = (uint16_t)pci_cfg_get(&p->dev, PMBASE, 2) & 0xffc0;
	bool on = (p->dev.cfg[PMREGMISC] & PMIOSE) != 0 && base != 0;

	if (p->mapped && (!on || base != p->base)) {
		bus_remove(p->pio, p->base);
		p->mapped = false;
	}
	if (!on || p->mapped)
		return;
	if (bus_add(p->pio, base, ACPI_PM_LEN, p->block, p->block_arg,
		"acpi pm") < 0)
		return;
	p->mapped = true;
	if (base != p->base) {
		p->base = base;
		p->ops->moved(p->arg, base);
	}
}

static void
cfg_written(struct pci_dev *d, unsigned off, unsigned size)
{
	place(d->arg);
}

static const struct pci_dev_ops dev_ops = {
	.cfg_written = cfg_written,
};

void
piix4_restored(struct piix4 *p)
{
	place(p);
}

static uint64_t
apm_read(void *arg, uint64_t off, unsigned size)
{
	const struct piix4 *p = arg;

	return off == 0 ? p->apmc : p->apms;
}

static void
apm_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct piix4 *p = arg;

	if (off == 1) {
		p->apms = (uint8_t)val;
		return;
	}
	p->apmc = (uint8_t)val;
	if (val == ACPI_SMI_ENABLE || val == ACPI_SMI_DISABLE)
		acpi_pm_enable(p->pm, val == ACPI_SMI_ENABLE);
}

static const struct bus_ops apm_ops = {
	.sizes = 1, .read = apm_read, .write = apm_write
};

int
piix4_init(struct piix4 *p, struct pci *pci, struct bus *pio,
    struct acpi_pm *pm, const struct bus_ops *block, void *block_arg,
    const struct piix4_ops *ops, void *arg)
{
	struct pci_dev *d = &p->dev;

	memset(p, 0, sizeof(*p));
	p->pci = pci;
	p->pio = pio;
	p->pm = pm;
	p->block = block;
	p->block_arg = block_arg;
	p->ops = ops;
	p->arg = arg;
	pci_add_pm(pci, d, "PIIX4", 0x8086, 0x7113, 0x068000, 3);
	d->ops = &dev_ops;
	d->arg = p;
	pci_cfg_set(d, PMBASE, 4, PMBASE_IO);
	d->wmask[PMBASE] = 0xc0;
	d->wmask[PMBASE + 1] = 0xff;
	pci_cfg_set(d, DEVACTB, 4, APMC_EN);
	d->wmask[PMREGMISC] = PMIOSE;
	pci_cfg_set(d, SMBBA, 4, PMBASE_IO);
	d->wmask[SMBBA] = 0xf0;
	d->wmask[SMBBA + 1] = 0xff;
	d->wmask[SMBHSTCFG] = SMB_WRITE;
	return bus_add(pio, APMC_PORT, 2, &apm_ops, p, "apm");
}
