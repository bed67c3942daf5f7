/* SPDX-License-Identifier: ISC */

/*
 * The chipset by its ports: the host bridge's SMRAM register (440FX data
 * sheet, "SMRAM - System Management RAM Control Register"), PIIX4's power
 * management function ("Power Management Configuration Registers (Function
 * 3)", "APM Registers"), fw_cfg's contents, the debug console.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "fakeenv.h"
#include "chipset.h"
#include "log.h"
#include "vmm.h"

#define LEN(a)	  (sizeof(a) / sizeof((a)[0]))
#define MEM	  (4ULL << 20)
#define ROM_LEN	  0x20000U
#define FLASH_LEN 0x3000U
#define FLASH_AT  (0x100000000ULL - ROM_LEN - FLASH_LEN)
#define HOST	  0x00 /* device and function */
#define ISA	  0x08
#define PM	  0x0b

struct bed {
	struct fake f;
	struct gmem mem;
	struct bus pio, mmio;
	struct pci pci;
	struct pci_dev disk, cdrom;
	struct acpi_pm pm;
	struct chipset c;
	uint8_t rom[ROM_LEN], flash[FLASH_LEN];
	unsigned changed;
};

/* The hypervisor: where there is memory. */
static struct slot {
	uint64_t gpa, len;
	void *host;
	bool readonly;
} slots[32];

int
vmm_set_slot(struct vmm *v, unsigned slot, struct gpa at, uint64_t len,
    void *host, bool readonly)
{
	assert_true(slot < LEN(slots));
	slots[slot] = (struct slot){ at.v, len, host, readonly };
	return 0;
}

static const struct slot *
slot_at(uint64_t gpa)
{
	for (unsigned i = 0; i < LEN(slots); i++)
		if (gpa >= slots[i].gpa && gpa - slots[i].gpa < slots[i].len)
			return &slots[i];
	return NULL;
}

static void
nothing(void *arg)
{
}

static void
set_gsi(void *arg, unsigned gsi, bool level)
{
}

static uint64_t
block_read(void *arg, uint64_t off, unsigned size)
{
	return acpi_pm_read(arg, off, size);
}

static void
block_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	acpi_pm_write(arg, off, size, val);
}

static void
flash_changed(void *arg)
{
	struct bed *b = arg;

	b->changed++;
}

static const struct bus_ops block = { 7, block_read, block_write };

static int
setup(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct chipset_conf conf = {
		.pci = &b->pci,
		.pio = &b->pio,
		.mmio = &b->mmio,
		.mem = &b->mem,
		.pm = &b->pm,
		.pm_block = &block,
		.pm_arg = &b->pm,
		.rom = b->rom,
		.rom_len = ROM_LEN,
		.flash = b->flash,
		.flash_len = FLASH_LEN,
		.flash_changed = flash_changed,
		.flash_arg = b,
		.name = "web",
		.cpus = 3,
	};

	memset(slots, 0, sizeof(slots));
	assert_int_equal(gmem_create(&b->mem, MEM), 0);
	bus_init(&b->pio, 0x10000);
	bus_init(&b->mmio, 1ULL << 52);
	pci_init(&b->pci, &b->pio, &b->mmio, set_gsi, b);
	acpi_pm_init(
	    &b->pm, fake_line(&b->f), fake_env(&b->f), nothing, nothing, b);
	assert_int_equal(chipset_init(&b->c, &conf), 0);
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct bed *b = *state;

	log_setverbose(0);
	chipset_free(&b->c);
	gmem_destroy(&b->mem);
	free(b);
	return 0;
}

static uint32_t
cfg_rd(struct bed *b, unsigned fn, unsigned off, unsigned size)
{
	bus_write(&b->pio, 0xcf8, 4, 0x80000000 | fn << 8 | (off & 0xfc));
	return (uint32_t)bus_read(&b->pio, 0xcfc + (off & 3), size);
}

static void
cfg_wr(struct bed *b, unsigned fn, unsigned off, unsigned size, uint32_t val)
{
	bus_write(&b->pio, 0xcf8, 4, 0x80000000 | fn << 8 | (off & 0xfc));
	bus_write(&b->pio, 0xcfc + (off & 3), size, val);
}

/* What registers are at first, and what of all ones they keep. */
static const struct {
	const char *name;
	unsigned fn, off, size;
	uint32_t reset, ones;
} registers[] = {
	{ "440FX", HOST, 0x00, 4, 0x12378086, 0x12378086 },
	{ "its subsystem", HOST, 0x2c, 4, 0x11001af4, 0x11001af4 },
	{ "PAM0", HOST, 0x59, 1, 0x00, 0xf0 },
	{ "PAM1", HOST, 0x5a, 1, 0x00, 0xff },
	{ "PAM6", HOST, 0x5f, 1, 0x00, 0xff },
	{ "PIIX3: more than one function", ISA, 0x0e, 1, 0x80, 0x80 },
	{ "PIIX4", PM, 0x00, 4, 0x71138086, 0x71138086 },
	{ "its class", PM, 0x08, 4, 0x06800003, 0x06800003 },
	{ "INTA", PM, 0x3d, 1, 0x01, 0x01 },
	{ "PMBASE", PM, 0x40, 4, 0x00000001, 0x0000ffc1 },
	{ "DEVACTB: APMC_EN", PM, 0x58, 4, 0x02000000, 0x02000000 },
	{ "PMREGMISC", PM, 0x80, 1, 0x00, 0x01 },
	{ "SMBBA", PM, 0x90, 4, 0x00000001, 0x0000fff1 },
	{ "SMBHSTCFG", PM, 0xd2, 1, 0x00, 0x0f },
	{ "no BAR", PM, 0x10, 4, 0, 0 },
	{ "no function 1", ISA + 1, 0x00, 4, 0xffffffff, 0xffffffff },
	{ "function 3 of no other", HOST + 3, 0x00, 4, 0xffffffff, 0xffffffff },
};

static void
test_registers(void **state)
{
	struct bed *b = *state;

	for (unsigned i = 0; i < LEN(registers); i++) {
		if (cfg_rd(b, registers[i].fn, registers[i].off,
			registers[i].size) != registers[i].reset)
			print_message("%s\n", registers[i].name);
		assert_int_equal(cfg_rd(b, registers[i].fn, registers[i].off,
				     registers[i].size),
		    registers[i].reset);
	}
	for (unsigned i = 0; i < LEN(registers); i++) {
		uint32_t mask = registers[i].size == 1 ? 0xff : 0xffffffff;

		cfg_wr(b, registers[i].fn, registers[i].off, registers[i].size,
		    mask);
		if (cfg_rd(b, registers[i].fn, registers[i].off,
			registers[i].size) != registers[i].ones)
			print_message("%s\n", registers[i].name);
		assert_int_equal(cfg_rd(b, registers[i].fn, registers[i].off,
				     registers[i].size),
		    registers[i].ones);
	}
}

/* Writes in a row; what the register says, and whether RAM is to be seen. */
static const struct {
	uint8_t write, read;
	bool open;
} smram[] = {
	{ 0x00, 0x02, false },
	{ 0x40, 0x42, false }, /* D_OPEN without G_SMRAME */
	{ 0x48, 0x4a, true }, { 0x68, 0x6a, true },
	{ 0x0f, 0x0a, false }, /* C_BASE_SEG is hardwired */
	{ 0x58, 0x1a, false }, /* D_LCK closes ... */
	{ 0x48, 0x1a, false }, /* ... for good ... */
	{ 0x00, 0x1a, false }, { 0x20, 0x3a, false }, /* ... all but D_CLS */
};

static void
test_smram(void **state)
{
	struct bed *b = *state;

	for (unsigned i = 0; i < LEN(smram); i++) {
		cfg_wr(b, HOST, 0x72, 1, smram[i].write);
		assert_int_equal(cfg_rd(b, HOST, 0x72, 1), smram[i].read);
		assert_int_equal(slot_at(0xa0000) != NULL, smram[i].open);
	}
}

static void
test_memory(void **state)
{
	struct bed *b = *state;
	const struct slot *s;

	assert_false(slot_at(0)->readonly);
	assert_false(slot_at(0x9ffff)->readonly);
	assert_null(slot_at(0xc0000));
	s = slot_at(0xf0000);
	assert_true(s->readonly && s->host == b->rom + 0x10000);
	assert_ptr_equal(slot_at(0xffffffff)->host, b->rom);
	assert_false(slot_at(0x100000)->readonly);
	assert_non_null(slot_at(MEM - 1));
	assert_null(slot_at(MEM));
	/* As SeaBIOS does: RAM under all of it, then read only. */
	cfg_wr(b, HOST, 0x58, 4, 0x33333000);
	cfg_wr(b, HOST, 0x5c, 4, 0x33333333);
	assert_false(slot_at(0xf0000)->readonly);
	assert_false(slot_at(0xc0000)->readonly);
	cfg_wr(b, HOST, 0x59, 1, 0x10);
	s = slot_at(0xf0000);
	assert_true(s->readonly && s->host != b->rom + 0x10000);
}

/* "PMBASE", "PMREGMISC": where the timer answers. */
static const struct {
	const char *name;
	uint16_t base;
	uint8_t misc;
	uint16_t there; /* 0: nowhere */
} places[] = {
	{ "off", 0x600, 0, 0 },
	{ "on", 0x600, 1, 0x600 },
	{ "moved", 0xb000, 1, 0xb000 },
	{ "at the 8254's place, which is not there", 0x40, 1, 0x40 },
	{ "at none", 0, 1, 0 },
	{ "at the end", 0xffc0, 1, 0xffc0 },
	{ "over PCI's ports", 0xcc0, 1, 0xcc0 },
	{ "over fw_cfg", 0x500, 1, 0x500 },
	{ "off again", 0x500, 0, 0 },
};

static void
test_places(void **state)
{
	struct bed *b = *state;

	b->f.now = SEC;
	for (unsigned i = 0; i < LEN(places); i++) {
		cfg_wr(b, PM, 0x40, 4, places[i].base);
		cfg_wr(b, PM, 0x80, 1, places[i].misc);
		for (unsigned k = 0; k < LEN(places); k++) {
			uint32_t want = places[i].there != 0 &&
				places[k].base == places[i].there
			    ? 3579545
			    : 0xffffffff;

			assert_int_equal(
			    bus_read(&b->pio, places[k].base + 8U, 4), want);
		}
	}
}

/* Where something else is already, the block is not. */
static void
test_contest(void **state)
{
	struct bed *b = *state;

	assert_int_equal(bus_add(&b->pio, 0x604, 1, &block, &b->pm, "x"), 0);
	cfg_wr(b, PM, 0x40, 4, 0x600);
	cfg_wr(b, PM, 0x80, 1, 1);
	assert_int_equal(bus_read(&b->pio, 0x608, 4), 0xffffffff);
	bus_remove(&b->pio, 0x604);
	cfg_wr(b, PM, 0x80, 1, 1);
	assert_int_not_equal(bus_read(&b->pio, 0x608, 4), 0xffffffff);
}

/* "APM Control Port": ACPI mode by the values that the FADT names. */
static void
test_apm(void **state)
{
	struct bed *b = *state;

	cfg_wr(b, PM, 0x40, 4, 0x600);
	cfg_wr(b, PM, 0x80, 1, 1);
	assert_int_equal(bus_read(&b->pio, 0x604, 2), 0);
	bus_write(&b->pio, 0x602, 2, 0x100);
	acpi_pm_power_button(&b->pm);
	assert_false(b->f.level); /* not in ACPI mode */
	bus_write(&b->pio, 0xb2, 1, 0xf1);
	assert_int_equal(bus_read(&b->pio, 0x604, 2), 1);
	assert_true(b->f.level);
	bus_write(&b->pio, 0xb2, 1, 0x55); /* nobody's command */
	assert_int_equal(bus_read(&b->pio, 0x604, 2), 1);
	bus_write(&b->pio, 0xb3, 1, 0xaa);
	assert_int_equal(bus_read(&b->pio, 0xb2, 2), 0xaa55);
	bus_write(&b->pio, 0xb2, 1, 0xf0);
	assert_int_equal(bus_read(&b->pio, 0x604, 2), 0);
	assert_false(b->f.level);
}

/* The bytes of a file, at most n; its length, or -1. */
static int
file(struct bed *b, const char *name, void *buf, unsigned n)
{
	uint8_t e[64];
	unsigned count;

	bus_write(&b->pio, 0x510, 2, 0x19);
	for (unsigned i = 0; i < 4; i++)
		e[i] = (uint8_t)bus_read(&b->pio, 0x511, 1);
	for (count = e[3]; count > 0; count--) {
		for (unsigned i = 0; i < sizeof(e); i++)
			e[i] = (uint8_t)bus_read(&b->pio, 0x511, 1);
		if (strcmp((char *)e + 8, name) == 0)
			break;
	}
	if (count == 0)
		return -1;
	bus_write(&b->pio, 0x510, 2, (uint64_t)e[4] << 8 | e[5]);
	for (unsigned i = 0; i < n; i++)
		((uint8_t *)buf)[i] = (uint8_t)bus_read(&b->pio, 0x511, 1);
	return e[2] << 8 | e[3];
}

static void
files(void **state, const char *order, enum vm_bootdev only)
{
	/* RAM, and pages of ours and the hypervisor's. */
	static const uint8_t map[40] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0,
		0, 0, 0, 0, 1, 0, 0, 0, 0, 0xb0, 0xff, 0xfe, 0, 0, 0, 0, 0,
		0x50, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0 };
	struct bed *b = *state;
	char buf[128];

	assert_int_equal(file(b, "etc/e820", buf, sizeof(map)), sizeof(map));
	assert_memory_equal(buf, map, sizeof(map));
	assert_int_equal(file(b, "etc/sercon-port", buf, 2), 2);
	assert_memory_equal(buf, "\xf8\x03", 2);
	assert_int_equal(file(b, "etc/acpi/rsdp", buf, 8), 36);
	assert_memory_equal(buf, "RSD PTR ", 8);
	bus_write(&b->pio, 0x510, 2, 5);
	assert_int_equal(bus_read(&b->pio, 0x511, 1), 3);

	assert_int_equal(chipset_boot_order(&b->c, VM_BOOT_ANY), 0);
	assert_int_equal(file(b, "bootorder", buf, 1), -1);
	pci_add(&b->pci, &b->disk, "d", 0x1af4, 0x1001, 0x010000, 1, 0, 0, NULL,
	    NULL);
	pci_add(&b->pci, &b->cdrom, "c", 0x1af4, 0x1004, 0x010000, 1, 0, 0,
	    NULL, NULL);
	assert_int_equal(chipset_boot_order(&b->c, only), 0);
	assert_int_equal(file(b, "bootorder", buf, (unsigned)strlen(order) + 1),
	    strlen(order) + 1);
	assert_string_equal(buf, order);
}

static void
test_files(void **state)
{
	files(state,
	    "/pci@i0cf8/scsi@2/disk@0,0\n"
	    "/pci@i0cf8/scsi@3/channel@0/disk@0,0",
	    VM_BOOT_ANY);
}

static void
test_disk_only(void **state)
{
	files(state, "/pci@i0cf8/scsi@2/disk@0,0\nHALT", VM_BOOT_DISK);
}

static void
test_cdrom_only(void **state)
{
	files(
	    state, "/pci@i0cf8/scsi@3/channel@0/disk@0,0\nHALT", VM_BOOT_CDROM);
}

/* The first network interface has a ROM, which SeaBIOS knows by its place. */
static void
test_net_only(void **state)
{
	static const char order[] =
	    "/pci@i0cf8/ethernet@3/ethernet-phy@0\nHALT";
	static uint8_t rom[0x34] = { 0x55, 0xaa,
		1, [6] = 7, [0x18] = 0x1c, [0x1c] = 'P', 'C', 'I', 'R', 0xf4,
		0x1a, 0x41, 0x10 };
	struct bed *b = *state;
	char buf[sizeof(order)];

	assert_int_equal(chipset_net_rom(&b->c, rom, sizeof(rom)), -ENODEV);
	pci_add(&b->pci, &b->disk, "d", 0x1af4, 0x1001, 0x010000, 1, 0, 0, NULL,
	    NULL);
	pci_add(&b->pci, &b->cdrom, "n", 0x1af4, 0x1000, 0x020000, 1, 0, 0,
	    NULL, NULL);
	assert_int_equal(chipset_net_rom(&b->c, rom, sizeof(rom)), 0);
	assert_ptr_equal(b->cdrom.rom, rom);
	/* It is this one's, and its bytes add up as before. */
	assert_memory_equal(rom + 0x1c, "PCIR\xf4\x1a\x00\x10", 8);
	assert_int_equal(rom[6], 7 + 0x41);
	assert_int_equal(chipset_boot_order(&b->c, VM_BOOT_NET), 0);
	assert_int_equal(
	    file(b, "bootorder", buf, sizeof(order)), sizeof(order));
	assert_memory_equal(buf, order, sizeof(order));
}

/* Images that have no data structure, or not all of it, stay as they are. */
static void
test_net_rom_bad(void **state)
{
	static const uint16_t at[] = { 0x1d, 0xfff0, 0xffff, 0 };
	uint8_t rom[0x34], was[sizeof(rom)];
	struct bed *b = *state;
	unsigned i;

	pci_add(&b->pci, &b->cdrom, "n", 0x1af4, 0x1000, 0x020000, 1, 0, 0,
	    NULL, NULL);
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		memset(rom, 'P', sizeof(rom));
		memcpy(rom, "\x55\xaa", 2);
		memcpy(rom + 0x18, &at[i], 2);
		memcpy(rom + 0x1d, "PCIR", 4);
		memcpy(was, rom, sizeof(rom));
		chipset_net_rom(&b->c, rom, sizeof(rom));
		assert_memory_equal(rom, was, sizeof(rom));
	}
}

/* A floppy disk is a file of its own, and what is booted first. */
static void
test_floppy(void **state)
{
	static const char alone[] = "/rom@floppyimg/floppy";
	static const char order[] = "/rom@floppyimg/floppy\n"
				    "/pci@i0cf8/scsi@2/disk@0,0";
	static uint8_t image[4096], buf[sizeof(image)];
	struct bed *b = *state;

	memset(image, 0x5a, sizeof(image));
	image[sizeof(image) - 1] = 0xa5;
	assert_int_equal(chipset_floppy(&b->c, image, sizeof(image)), 0);
	assert_int_equal(
	    file(b, "floppyimg/floppy", buf, sizeof(buf)), sizeof(buf));
	assert_memory_equal(buf, image, sizeof(buf));
	assert_int_equal(chipset_boot_order(&b->c, VM_BOOT_ANY), 0);
	assert_int_equal(
	    file(b, "bootorder", buf, sizeof(alone)), sizeof(alone));
	assert_memory_equal(buf, alone, sizeof(alone));
	pci_add(&b->pci, &b->disk, "d", 0x1af4, 0x1001, 0x010000, 1, 0, 0, NULL,
	    NULL);
	assert_int_equal(chipset_boot_order(&b->c, VM_BOOT_ANY), 0);
	assert_int_equal(
	    file(b, "bootorder", buf, sizeof(order)), sizeof(order));
	assert_memory_equal(buf, order, sizeof(order));
}

/* The tables say where the PM1 block was put. */
static void
test_moved(void **state)
{
	static uint8_t tables[12 * 1024];
	struct bed *b = *state;
	int len = file(b, "etc/acpi/tables", tables, 1), at;

	assert_true(len > 0 && len <= (int)sizeof(tables));
	cfg_wr(b, PM, 0x40, 4, 0xa000);
	cfg_wr(b, PM, 0x80, 1, 1);
	assert_int_equal(
	    file(b, "etc/acpi/tables", tables, (unsigned)len), len);
	for (at = 0; memcmp(tables + at, "FACP", 4) != 0; at++)
		assert_true(at < len - 4);
	assert_memory_equal(tables + at + 56, "\x00\xa0\0\0", 4);
	/* SMI_CMD, ACPI_ENABLE, ACPI_DISABLE */
	assert_memory_equal(tables + at + 48, "\xb2\0\0\0\xf1\xf0", 6);
}

static void
test_debug(void **state)
{
	struct bed *b = *state;

	assert_int_equal(bus_read(&b->pio, 0x402, 1), 0xff);
	bus_write(&b->pio, 0x402, 1, 'x');
	assert_int_equal(b->c.nline, 0);
	log_setverbose(1);
	assert_int_equal(bus_read(&b->pio, 0x402, 1), 0xe9);
	bus_write(&b->pio, 0x402, 1, 'a');
	bus_write(&b->pio, 0x402, 1, 0x1b); /* no escapes in the log */
	bus_write(&b->pio, 0x402, 1, 'b');
	assert_int_equal(b->c.nline, 2);
	bus_write(&b->pio, 0x402, 1, '\n');
	assert_int_equal(b->c.nline, 0);
	for (unsigned i = 0; i < CHIPSET_LINE - 1; i++)
		bus_write(&b->pio, 0x402, 1, 'z');
	assert_int_equal(b->c.nline, CHIPSET_LINE - 1);
	bus_write(&b->pio, 0x402, 1, 'z');
	assert_int_equal(b->c.nline, 0);
}

/* Below the ROM: memory that is read, and a chip when it is written to. */
static void
test_flash(void **state)
{
	struct bed *b = *state;
	const struct slot *s = slot_at(FLASH_AT);

	assert_non_null(s);
	assert_int_equal(s->gpa, FLASH_AT);
	assert_int_equal(s->len, FLASH_LEN);
	assert_ptr_equal(s->host, b->flash);
	assert_true(s->readonly);
	b->flash[0x1234] = 0x77;
	bus_write(&b->mmio, FLASH_AT + 0x1234, 1, 0x10);
	assert_null(slot_at(FLASH_AT));
	bus_write(&b->mmio, FLASH_AT + 0x1234, 1, 0x0f);
	assert_int_equal(bus_read(&b->mmio, FLASH_AT, 4), 0x80808080);
	assert_int_equal(b->changed, 0);
	bus_write(&b->mmio, FLASH_AT, 1, 0xff);
	assert_int_equal(b->changed, 1);
	assert_int_equal(b->flash[0x1234], 0x07);
	assert_ptr_equal(slot_at(FLASH_AT)->host, b->flash);
	/* Neither what is before it nor the ROM is a chip. */
	bus_write(&b->mmio, FLASH_AT - 1, 1, 0x70);
	bus_write(&b->mmio, FLASH_AT + FLASH_LEN, 1, 0x70);
	assert_non_null(slot_at(FLASH_AT));
}

/* More than there is room for below 4 GiB. */
static void
test_flash_size(void **state)
{
	struct bed *b = *state;
	struct chipset_conf conf = b->c.conf;
	struct chipset c;

	bus_init(&b->pio, 0x10000);
	bus_init(&b->mmio, 1ULL << 52);
	conf.flash_len = SHADOW_ROM_MAX;
	assert_int_equal(chipset_init(&c, &conf), -EINVAL);
	chipset_free(&c);
}

/* BARs may lie from 2 GiB on, where OVMF puts them, or from RAM's end on. */
static void
test_floor(void **state)
{
	struct bed *b = *state;

	assert_int_equal(b->pci.mmio_floor, 0x80000000);
	assert_int_equal(b->c.acpi.pci_mmio_base, 0x80000000);
	assert_int_equal(b->c.acpi.pci_mmio_len, 0x7ec00000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_registers),
		T(test_smram),
		T(test_memory),
		T(test_places),
		T(test_contest),
		T(test_apm),
		T(test_files),
		T(test_disk_only),
		T(test_cdrom_only),
		T(test_net_only),
		T(test_net_rom_bad),
		T(test_floppy),
		T(test_moved),
		T(test_debug),
		T(test_flash),
		T(test_flash_size),
		T(test_floor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
