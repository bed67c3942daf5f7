/* SPDX-License-Identifier: ISC */
/*
 * The 440FX host bridge's PAM and SMRAM registers ("PAM - Programmable
 * Attribute Map Registers", "SMRAM - System Management RAM Control Register"
 * of its data sheet), and what firmware reads of fw_cfg.
 *
 * Invariants
 *  1. Memory is as the registers of the host bridge say after each write.
 *  2. Once locked, SMRAM is closed and its register read-only.
 *
 * SeaBIOS takes the machine for one that has fw_cfg by the host bridge's
 * subsystem, which is QEMU's.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "chipset.h"
#include "log.h"
#include "pcireg.h"
#include "smbios.h"
#include "state.h"
#include "state_chips.h"
#include "vga.h"
#include "vmm.h"

#define PAM0	  0x59
#define SMRAM	  0x72
#define C_BASE	  0x02 /* segment A, hardwired */
#define G_SMRAME  0x08
#define D_LCK	  0x10
#define D_CLS	  0x20
#define D_OPEN	  0x40
#define SUBVENDOR 0x1af4
#define SUBDEVICE 0x1100

#define ROM_PIECE 0x80000U /* in one section of a state */

#define DEBUG_PORT  0x402
#define DEBUG_THERE 0xe9 /* what a console that is there reads as */
#define COM1_BASE   0x3f8
#define IOAPIC_BASE 0xfec00000U /* PCI's memory ends where it is */

#define E820_RAM      1
#define E820_RESERVED 2

#define SLOT_LOW   (SHADOW_AREAS + 1) /* shadow.c has those before */
#define SLOT_MAIN  (SHADOW_AREAS + 2)
#define SLOT_HIGH  (SHADOW_AREAS + 3)
#define SLOT_FLASH (SHADOW_AREAS + 4)

#define PCI_FLOOR (2ULL << 30) /* OVMF puts BARs from here on, or behind RAM */
#define FOUR_GIB  (1ULL << 32)

#define VIRTIO_NET   0x1000
#define VIRTIO_BLOCK 0x1001
#define VIRTIO_SCSI  0x1004
#define ORDER_LINE   40
#define ORDER_END    "HALT\n" /* SeaBIOS: nothing that is not listed */
#define FLOPPY_FILE  "floppyimg/floppy" /* SeaBIOS: that directory */

/* ---- memory ---- */

static int
shadow_map(void *arg, unsigned slot, uint64_t gpa, uint64_t len, void *host,
    enum shadow_show how)
{
	struct chipset *c = arg;

	return vmm_set_slot(c->conf.vmm, slot, (struct gpa){ gpa },
	    how == SHADOW_NONE ? 0 : len, host, how == SHADOW_READONLY);
}

static const struct shadow_ops shadow_callbacks = { .map = shadow_map };

static int
map_ram(struct chipset *c, unsigned slot, uint64_t from, uint64_t to)
{
	uint64_t len = to - from;

	return vmm_set_slot(c->conf.vmm, slot, (struct gpa){ from }, len,
	    gmem_range(c->conf.mem, (struct gpa){ from }, len), false);
}

/* All RAM but that between the two that shadow.c has. */
static int
make_memory(struct chipset *c)
{
	const struct gmem *m = c->conf.mem;
	int r;

	if (m->nregions == 0 || m->region[0].len <= SHADOW_END)
		return -EINVAL;
	if ((r = shadow_init(&c->shadow, m, c->conf.rom, c->conf.rom_len,
		 &shadow_callbacks, c)) < 0 ||
	    (r = map_ram(c, SLOT_LOW, 0, SHADOW_BASE)) < 0 ||
	    (r = map_ram(c, SLOT_MAIN, SHADOW_END, m->region[0].len)) < 0)
		return r;
	if (m->nregions > 1)
		r = map_ram(c, SLOT_HIGH, m->region[1].gpa,
		    m->region[1].gpa + m->region[1].len);
	if (r < 0)
		return r;
	if (c->conf.vga != NULL) {
		c->shadow.video = &vga_mem_ops;
		c->shadow.video_arg = c->conf.vga;
	}
	return bus_add(c->conf.mmio, SHADOW_BASE, SHADOW_END - SHADOW_BASE,
	    &shadow_bus_ops, &c->shadow, "shadow");
}

/* ---- flash ---- */

static uint64_t
flash_base(const struct chipset *c)
{
	return FOUR_GIB - c->conf.rom_len - c->conf.flash_len;
}

static int
flash_show(void *arg, bool array)
{
	struct chipset *c = arg;

	return vmm_set_slot(c->conf.vmm, SLOT_FLASH,
	    (struct gpa){ flash_base(c) }, array ? c->conf.flash_len : 0,
	    array ? c->conf.flash : NULL, true);
}

static void
flash_changed(void *arg)
{
	struct chipset *c = arg;

	c->conf.flash_changed(c->conf.flash_arg);
}

static const struct flash_ops flash_callbacks = { .show = flash_show,
	.changed = flash_changed };

static int
make_flash(struct chipset *c)
{
	int r;

	if (c->conf.flash == NULL)
		return 0;
	if (c->conf.flash_len > SHADOW_ROM_MAX - c->conf.rom_len)
		return -EINVAL;
	r = flash_init(
	    &c->flash, c->conf.flash, c->conf.flash_len, &flash_callbacks, c);
	return r < 0 ? r
		     : bus_add(c->conf.mmio, flash_base(c), c->conf.flash_len,
			   &flash_bus_ops, &c->flash, "flash");
}

/* ---- host bridge ---- */

static void
host_written(struct pci_dev *d, unsigned off, unsigned size)
{
	static struct log_rate rate = LOG_RATE(3, 60);
	struct chipset *c = d->arg;
	bool open;
	int r;

	if ((d->cfg[SMRAM] & D_LCK) != 0) {
		d->cfg[SMRAM] &= (uint8_t)~D_OPEN;
		d->wmask[SMRAM] = D_CLS;
	}
	open = (d->cfg[SMRAM] & (D_OPEN | G_SMRAME)) == (D_OPEN | G_SMRAME);
	if ((r = shadow_set(&c->shadow, &d->cfg[PAM0], open)) < 0)
		log_limited(&rate, "firmware: memory below 1 MiB: %s",
		    strerrordesc_np(-r));
}

static const struct pci_dev_ops host_ops = {
	.cfg_written = host_written,
};

static void
make_host(struct chipset *c)
{
	struct pci_dev *d = &c->conf.pci->host;

	pci_cfg_set(d, PCIR_SUBVENDOR, 2, SUBVENDOR);
	pci_cfg_set(d, PCIR_SUBDEVICE, 2, SUBDEVICE);
	d->wmask[PAM0] = 0xf0; /* the lower nibble is reserved */
	d->cfg[SMRAM] = C_BASE;
	d->wmask[SMRAM] = D_OPEN | D_CLS | D_LCK | G_SMRAME;
	d->ops = &host_ops;
	d->arg = c;
}

/* ---- debug console ---- */

static void
debug_flush(struct chipset *c)
{
	static struct log_rate rate = LOG_RATE(500, 10);

	if (c->nline > 0)
		log_limited(&rate, "firmware: %.*s", (int)c->nline, c->line);
	c->nline = 0;
}

/* A console that nobody reads is not there, which saves an exit per byte. */
static uint64_t
debug_read(void *arg, uint64_t off, unsigned size)
{
	return log_getverbose() ? DEBUG_THERE : 0xff;
}

static void
debug_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct chipset *c = arg;

	if (!log_getverbose())
		return;
	if (val == '\n')
		debug_flush(c);
	else if (val >= ' ' && val < 0x7f) {
		c->line[c->nline++] = (char)val;
		if (c->nline == sizeof(c->line))
			debug_flush(c);
	}
}

static const struct bus_ops debug_ops = {
	.sizes = 1, .read = debug_read, .write = debug_write
};

/* ---- fw_cfg ---- */

/* "etc/e820": RAM, without what firmware reserves for itself, and what the
 * hypervisor does. */
static int
add_memory_map(struct chipset *c)
{
	const struct gmem *m = c->conf.mem;
	struct {
		uint64_t base, len;
		uint32_t type;
	} __attribute__((packed)) map[GMEM_REGIONS + 1];
	unsigned i;

	for (i = 0; i < m->nregions; i++) {
		map[i].base = htole64(m->region[i].gpa);
		map[i].len = htole64(m->region[i].len);
		map[i].type = htole32(E820_RAM);
	}
	map[i].base = htole64(GMEM_HIDDEN);
	map[i].len = htole64(GMEM_HIDDEN_LEN);
	map[i].type = htole32(E820_RESERVED);
	return fwcfg_add_file(&c->fwcfg, "etc/e820", map,
	    (uint32_t)((m->nregions + 1) * sizeof(map[0])));
}

static int
make_fwcfg(struct chipset *c)
{
	uint64_t size = htole64(c->conf.mem->size);
	uint16_t cpus = htole16((uint16_t)c->conf.cpus);
	uint16_t port = htole16(COM1_BASE);
	struct fwcfg *f = &c->fwcfg;
	int r;

	if ((r = fwcfg_init(f, c->conf.mem)) < 0 ||
	    (r = fwcfg_add(f, FWCFG_RAM_SIZE, &size, sizeof(size))) < 0 ||
	    (r = fwcfg_add(f, FWCFG_NB_CPUS, &cpus, sizeof(cpus))) < 0 ||
	    (r = fwcfg_add(f, FWCFG_MAX_CPUS, &cpus, sizeof(cpus))) < 0 ||
	    (r = add_memory_map(c)) < 0 ||
	    (r = fwcfg_add_file(f, "etc/sercon-port", &port, sizeof(port))) <
		0 ||
	    (r = acpi_fwcfg(f, &c->acpi)) < 0 ||
	    (r = smbios_fwcfg(f, c->conf.mem, c->conf.name, c->conf.cpus)) < 0)
		return r;
	return fwcfg_attach(f, c->conf.pio);
}

/* OpenFirmware's names, as SeaBIOS and OVMF read them. */
static unsigned
order_line(
    char *line, size_t len, const struct pci_dev *d, enum vm_bootdev only)
{
	uint32_t device = d == NULL ? 0 : pci_cfg_get(d, PCIR_DEVICE, 2);

	if (d != NULL && d->rom != NULL && only == VM_BOOT_NET)
		return (unsigned)snprintf(line, len,
		    "/pci@i0cf8/ethernet@%x/ethernet-phy@0\n", d->slot);
	if (only == VM_BOOT_NET)
		return 0;
	if (device == VIRTIO_BLOCK && only != VM_BOOT_CDROM)
		return (unsigned)snprintf(
		    line, len, "/pci@i0cf8/scsi@%x/disk@0,0\n", d->slot);
	if (device == VIRTIO_SCSI && only != VM_BOOT_DISK)
		return (unsigned)snprintf(line, len,
		    "/pci@i0cf8/scsi@%x/channel@0/disk@0,0\n", d->slot);
	return 0;
}

int
chipset_floppy(struct chipset *c, const uint8_t *image, uint32_t len)
{
	c->floppy = true;
	return fwcfg_add_file(&c->fwcfg, FLOPPY_FILE, image, len);
}

int
chipset_boot_order(struct chipset *c, enum vm_bootdev only)
{
	char order[(PCI_SLOTS + 1) * ORDER_LINE + sizeof(ORDER_END)];
	unsigned len = 0;

	if (c->floppy && only == VM_BOOT_ANY)
		len = (unsigned)snprintf(
		    order, sizeof(order), "/rom@" FLOPPY_FILE "\n");
	for (unsigned s = 0; s < PCI_SLOTS; s++)
		len += order_line(order + len, sizeof(order) - len,
		    c->conf.pci->dev[s], only);
	if (len == 0)
		return 0;
	if (only != VM_BOOT_ANY)
		len += (unsigned)snprintf(
		    order + len, sizeof(order) - len, ORDER_END);
	order[len - 1] = '\0'; /* newlines are between lines */
	return fwcfg_add_file(&c->fwcfg, "bootorder", order, len);
}

int
chipset_video_bios(struct chipset *c, const void *rom, uint32_t len)
{
	return fwcfg_add_file(&c->fwcfg, "vgaroms/vgabios.bin", rom, len);
}

static uint16_t
le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

/*
 * iPXE's image is made for the function with virtio 1's number and serves each;
 * firmware runs it for the one that its data structure names ("PCI Expansion ROM
 * Header Format", "PCI Data Structure Format").  What the bytes of an image add
 * up to stays as it was, by the one that iPXE keeps for that.
 */
static void
rename_rom(uint8_t *rom, uint32_t len, uint16_t device)
{
	enum { DATA = 0x18, CHECKSUM = 6, DATA_LEN = 0x18, DEVICE = 6 };
	uint32_t at;

	if (len < DATA + 2 || rom[0] != 0x55 || rom[1] != 0xaa)
		return;
	at = le16(rom + DATA);
	if (len < DATA_LEN || at > len - DATA_LEN ||
	    memcmp(rom + at, "PCIR", 4) != 0)
		return;
	for (unsigned i = 0; i < 2; i++) {
		rom[CHECKSUM] += rom[at + DEVICE + i];
		rom[at + DEVICE + i] = (uint8_t)(device >> 8 * i);
		rom[CHECKSUM] -= rom[at + DEVICE + i];
	}
}

int
chipset_net_rom(struct chipset *c, uint8_t *rom, uint32_t len)
{
	struct pci_dev *d;

	for (unsigned s = 0; s < PCI_SLOTS; s++) {
		d = c->conf.pci->dev[s];
		if (d == NULL || pci_cfg_get(d, PCIR_DEVICE, 2) != VIRTIO_NET)
			continue;
		rename_rom(rom, len, VIRTIO_NET);
		return pci_add_rom(d, rom, len);
	}
	return -ENODEV;
}

/* ---- power management ---- */

/* The tables say where the firmware put it; they are read after that. */
static void
pm_moved(void *arg, uint16_t base)
{
	struct chipset *c = arg;

	c->acpi.pm_base = base;
	acpi_fwcfg(&c->fwcfg, &c->acpi);
}

static const struct piix4_ops piix4_callbacks = { .moved = pm_moved };

int
chipset_init(struct chipset *c, const struct chipset_conf *conf)
{
	uint64_t floor = conf->mem->region[0].len;
	int r;

	if (floor < PCI_FLOOR)
		floor = PCI_FLOOR;
	memset(c, 0, sizeof(*c));
	c->conf = *conf;
	conf->pci->mmio_floor = floor;
	c->acpi = (struct acpi_conf){
		.cpus = conf->cpus,
		.pm_base = ACPI_PM_BASE,
		.smi = true,
		.vga = conf->vga != NULL,
		.pci_mmio_base = (uint32_t)floor,
		.pci_mmio_len = IOAPIC_BASE - (uint32_t)floor,
		.pci_io_base = PCI_IO_BASE,
		.pci_io_len = 0x10000 - PCI_IO_BASE,
	};
	acpi_pm_enable(conf->pm, false);
	make_host(c);
	if ((r = make_memory(c)) < 0 || (r = make_flash(c)) < 0 ||
	    (r = make_fwcfg(c)) < 0 ||
	    (r = bus_add(
		 conf->pio, DEBUG_PORT, 1, &debug_ops, c, "debug console")) < 0)
		return r;
	return piix4_init(&c->piix4, conf->pci, conf->pio, conf->pm,
	    conf->pm_block, conf->pm_arg, &piix4_callbacks, c);
}

/* ---- state ---- */

/* The guest's firmware, which the host may have replaced since. */
static void
state_rom(struct chipset *c, struct state *s)
{
	uint32_t off, n;

	for (off = 0; off < c->conf.rom_len; off += n) {
		if (state_begin(s, "rom", 1) != 0)
			return;
		n = c->conf.rom_len - off;
		if (n > ROM_PIECE)
			n = ROM_PIECE;
		state_bytes(s, c->conf.rom + off, n);
		(void)state_end(s);
	}
}

/* UEFI's variables go with the guest, whatever is in their file by then. */
static void
state_flash(struct chipset *c, struct state *s)
{
	if (c->conf.flash == NULL)
		return;
	state_chip(s, STATE_FLASH, &c->flash);
	if (state_begin(s, "variables", 1) == 0) {
		state_bytes(s, c->conf.flash, c->conf.flash_len);
		(void)state_end(s);
	}
	if (s->error == 0 && !s->writing)
		flash_restored(&c->flash);
}

void
chipset_state(struct chipset *c, struct state *s)
{
	state_rom(c, s);
	state_flash(c, s);
	if (state_begin(s, "chipset", 1) == 0) {
		pci_dev_state(&c->piix4.dev, s);
		(void)state_end(s);
	}
	state_chip(s, STATE_PIIX4, &c->piix4);
	state_chip(s, STATE_FWCFG, &c->fwcfg);
	if (s->error != 0 || s->writing)
		return;
	piix4_restored(&c->piix4);
	fwcfg_restored(&c->fwcfg);
	host_written(&c->conf.pci->host, PAM0, 1);
}

void
chipset_free(struct chipset *c)
{
	fwcfg_free(&c->fwcfg);
}
