/* SPDX-License-Identifier: ISC */
#ifndef VMD_CHIPSET_H
#define VMD_CHIPSET_H

/*
 * What a machine has for firmware beyond what a kernel that is booted
 * directly needs: the ROM and shadow RAM, the host bridge's registers that
 * work them, PIIX4 power management, fw_cfg, the debug console.  Caller holds
 * the machine lock, or no vCPU runs yet.
 */
#include "acpi.h"
#include "flash.h"
#include "fwcfg.h"
#include "pci.h"
#include "piix4.h"
#include "shadow.h"
#include "vmconf.h"

#define CHIPSET_LINE 120 /* of the debug console */

struct state;
struct vga;
struct vmm;

struct chipset_conf {
	struct pci *pci;
	struct bus *pio, *mmio;
	const struct gmem *mem;
	struct vmm *vmm; /* it has no memory yet */
	struct acpi_pm *pm;
	const struct bus_ops *pm_block;
	void *pm_arg;
	uint8_t *rom;
	uint32_t rom_len;
	uint8_t *flash; /* ends where the ROM begins; NULL: there is none */
	uint32_t flash_len;
	void (*flash_changed)(void *arg); /* see flash.h */
	void *flash_arg;
	const char *name; /* the VM's */
	unsigned cpus;
	struct vga *vga; /* or NULL */
};

struct chipset {
	struct chipset_conf conf;
	struct acpi_conf acpi;
	struct fwcfg fwcfg;
	struct shadow shadow;
	struct flash flash;
	struct piix4 piix4;
	bool floppy;
	char line[CHIPSET_LINE];
	unsigned nline;
};

/* 0 or -errno. */
int chipset_init(struct chipset *, const struct chipset_conf *);
void chipset_free(struct chipset *);
/* A floppy disk in the guest's memory, which SeaBIOS makes of the image.
 * 0 or -errno. */
int chipset_floppy(struct chipset *, const uint8_t *image, uint32_t len);
/* The video card's BIOS, before the guest runs.  0 or -errno. */
int chipset_video_bios(struct chipset *, const void *, uint32_t len);
/* The expansion ROM of the first network interface; its bytes stay the
 * caller's. */
int chipset_net_rom(struct chipset *, uint8_t *rom, uint32_t len);
/* When all devices are there: the floppy disk, disks in their order, then the
 * CD-ROM; or one of the two last kinds and nothing else. */
int chipset_boot_order(struct chipset *, enum vm_bootdev);
/* The state but that of the host bridge, which is in place. */
void chipset_state(struct chipset *, struct state *);

#endif
