/* SPDX-License-Identifier: ISC */

/* PCI bus 0: vmd/pci.c, by the guest's way (ports 0xcf8 and 0xcfc). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "pci.h"
#include "pcireg.h"

#define LEN(a)	(sizeof(a) / sizeof((a)[0]))
#define MEM_LEN 0x1000
#define IO_LEN	0x40

struct fix {
	struct bus pio, mmio;
	struct pci pci;
	struct pci_dev a, b;
	bool gsi[24];
	unsigned mapped, unmapped; /* calls */
	uint64_t last; /* base of the last mapping */
	uint16_t command;
	unsigned commands;
};

static void
set_gsi(void *arg, unsigned gsi, bool level)
{
	struct fix *f = arg;

	assert_true(gsi < LEN(f->gsi));
	f->gsi[gsi] = level;
}

static uint64_t
bar_read(void *arg, uint64_t off, unsigned size)
{
	struct pci_dev *d = arg;

	return 0x11111111 * (d->slot + (off >= 0x800 ? 8 : 0));
}

static void
bar_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
}

static const struct bus_ops bar_ops = {
	.sizes = 7, .read = bar_read, .write = bar_write
};

static void
on_mapped(struct pci_dev *d, unsigned bar, uint64_t base)
{
	struct fix *f = d->arg;

	f->mapped++;
	f->last = base;
}

static void
on_unmapped(struct pci_dev *d, unsigned bar, uint64_t base)
{
	struct fix *f = d->arg;

	f->unmapped++;
}

static void
on_command(struct pci_dev *d, uint16_t command)
{
	struct fix *f = d->arg;

	f->command = command;
	f->commands++;
}

static const struct pci_dev_ops dev_ops = {
	.bar_mapped = on_mapped,
	.bar_unmapped = on_unmapped,
	.command = on_command,
};

static uint32_t
cfg_rd(struct fix *f, unsigned slot, unsigned off, unsigned size)
{
	bus_write(&f->pio, 0xcf8, 4, 0x80000000 | slot << 11 | (off & 0xfc));
	return (uint32_t)bus_read(&f->pio, 0xcfc + (off & 3), size);
}

static void
cfg_wr(struct fix *f, unsigned slot, unsigned off, unsigned size, uint32_t v)
{
	bus_write(&f->pio, 0xcf8, 4, 0x80000000 | slot << 11 | (off & 0xfc));
	bus_write(&f->pio, 0xcfc + (off & 3), size, v);
}

static int
setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	bus_init(&f->pio, 0x10000);
	bus_init(&f->mmio, UINT64_MAX);
	pci_init(&f->pci, &f->pio, &f->mmio, set_gsi, f);
	pci_add(&f->pci, &f->a, "a", 0x1af4, 0x1042, 0x010000, 1, 0x1af4, 0x42,
	    &dev_ops, f);
	pci_add(&f->pci, &f->b, "b", 0x1af4, 0x1044, 0x00ff00, 1, 0x1af4, 0x44,
	    &dev_ops, f);
	assert_int_equal(
	    pci_add_bar(&f->a, 0, PCI_BAR_MEM32, MEM_LEN, &bar_ops), 0);
	assert_int_equal(
	    pci_add_bar(&f->a, 1, PCI_BAR_IO, IO_LEN, &bar_ops), 0);
	assert_int_equal(
	    pci_add_bar(&f->b, 0, PCI_BAR_MEM32, MEM_LEN, &bar_ops), 0);
	assert_int_equal(
	    pci_add_bar(&f->b, 1, PCI_BAR_IO, IO_LEN, &bar_ops), 0);
	f->mapped = f->unmapped = 0;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	free(*state);
	return 0;
}

static void
test_ids(void **state)
{
	static const struct {
		unsigned slot, off, size;
		uint32_t val;
	} rows[] = {
		{ 0, 0, 4, 0x12378086 },
		{ 0, 8, 4, 0x06000002 },
		{ 1, 0, 4, 0x70008086 },
		{ 1, 10, 2, 0x0601 },
		{ 1, 0x60, 4, 0x80808080 },
		{ 2, 0, 2, 0x1af4 },
		{ 2, 2, 2, 0x1042 },
		{ 2, 8, 1, 1 },
		{ 2, 11, 1, 1 }, /* mass storage */
		{ 2, 14, 1, 0 }, /* type 0, one function */
		{ 2, 0x2c, 4, 0x00421af4 },
		{ 2, 0x3d, 1, 1 }, /* INTA */
		{ 2, 0x3c, 1, 17 },
		{ 2, 0x18, 4, 0 }, /* no such BAR */
		{ 2, 0x30, 4, 0 }, /* no ROM */
		{ 4, 0, 4, 0xffffffff }, /* empty slot */
		{ 31, 0, 4, 0xffffffff },
	};
	struct fix *f = *state;

	for (size_t i = 0; i < LEN(rows); i++) {
		uint32_t v = cfg_rd(f, rows[i].slot, rows[i].off, rows[i].size);

		if (v != rows[i].val)
			fail_msg("row %zu: %#x", i, v);
	}
}

static void
test_mechanism(void **state)
{
	struct fix *f = *state;

	/* As an operating system looks for mechanism 1. */
	bus_write(&f->pio, 0xcf8, 4, 0x80000000);
	assert_int_equal(bus_read(&f->pio, 0xcf8, 4), 0x80000000);
	bus_write(&f->pio, 0xcf8, 4, 0xffffffff);
	assert_int_equal(bus_read(&f->pio, 0xcf8, 4), 0x80fffffc);
	/* Smaller accesses to the address are not ours. */
	bus_write(&f->pio, 0xcf8, 4, 0x80000000);
	bus_write(&f->pio, 0xcf8, 1, 0x55);
	bus_write(&f->pio, 0xcfb, 1, 1);
	bus_write(&f->pio, 0xcf8, 2, 0x5555);
	assert_int_equal(bus_read(&f->pio, 0xcf8, 4), 0x80000000);
	assert_int_equal(bus_read(&f->pio, 0xcf8, 2), 0xffff);
	/* 0xcf9 is free for the reset control. */
	assert_int_equal(bus_add(&f->pio, 0xcf9, 1, &bar_ops, &f->a, "t"), 0);

	/* Not enabled, another bus, another function. */
	bus_write(&f->pio, 0xcf8, 4, 0x00000000);
	assert_int_equal(bus_read(&f->pio, 0xcfc, 4), 0xffffffff);
	bus_write(&f->pio, 0xcf8, 4, 0x80010000);
	assert_int_equal(bus_read(&f->pio, 0xcfc, 4), 0xffffffff);
	bus_write(&f->pio, 0xcf8, 4, 0x80000100);
	assert_int_equal(bus_read(&f->pio, 0xcfc, 4), 0xffffffff);
	/* Bytes and words of a dword. */
	bus_write(&f->pio, 0xcf8, 4, 0x80000000);
	assert_int_equal(bus_read(&f->pio, 0xcfe, 2), 0x1237);
	assert_int_equal(bus_read(&f->pio, 0xcfd, 1), 0x80);
	assert_int_equal(bus_read(&f->pio, 0xcfd, 2), 0x3780);
	assert_int_equal(bus_read(&f->pio, 0xcfe, 4), 0xffff1237);
}

static void
test_readonly(void **state)
{
	struct fix *f = *state;

	for (unsigned slot = 0; slot < 4; slot++) {
		static const unsigned regs[] = { 0, 8, 0x0c, 0x18, 0x2c, 0x30,
			0x34 };

		for (size_t i = 0; i < LEN(regs); i++) {
			uint32_t before = cfg_rd(f, slot, regs[i], 4);

			cfg_wr(f, slot, regs[i], 4, ~before);
			assert_int_equal(cfg_rd(f, slot, regs[i], 4), before);
		}
	}
	cfg_wr(f, 2, PCIR_INT_LINE, 4, 0xffffffff);
	assert_int_equal(cfg_rd(f, 2, PCIR_INT_LINE, 4), 0x000001ff);
}

static void
test_sizing(void **state)
{
	struct fix *f = *state;
	uint32_t mem = cfg_rd(f, 2, 0x10, 4), io = cfg_rd(f, 2, 0x14, 4);

	assert_true(mem >= PCI_MMIO_BASE);
	assert_int_equal(mem % MEM_LEN, 0);
	assert_true((io & ~3U) >= PCI_IO_BASE);
	assert_int_equal(io & 3, 1);
	assert_int_equal(bus_read(&f->mmio, mem, 4), 0x22222222);
	assert_int_equal(bus_read(&f->pio, io & ~3U, 4), 0x22222222);

	/* With decoding on, as careless software does. */
	cfg_wr(f, 2, 0x10, 4, 0xffffffff);
	assert_int_equal(cfg_rd(f, 2, 0x10, 4), ~(MEM_LEN - 1U));
	assert_int_equal(bus_read(&f->mmio, mem, 4), 0xffffffff);
	assert_int_equal(bus_read(&f->mmio, 0xfffff000, 4), 0xffffffff);
	cfg_wr(f, 2, 0x14, 4, 0xffffffff);
	assert_int_equal(cfg_rd(f, 2, 0x14, 4), 0xffffffc1);
	assert_int_equal(bus_read(&f->pio, 0xffc0, 4), 0xffffffff);
	/* An I/O BAR right at the end of the port space is legal. */
	cfg_wr(f, 2, 0x14, 4, 0xffc0);
	assert_int_equal(cfg_rd(f, 2, 0x14, 4), 0xffc1);
	assert_int_equal(bus_read(&f->pio, 0xffc0, 4), 0x22222222);
	cfg_wr(f, 2, 0x10, 4, mem);
	cfg_wr(f, 2, 0x14, 4, io);
	assert_int_equal(bus_read(&f->mmio, mem, 4), 0x22222222);
	assert_int_equal(bus_read(&f->pio, io & ~3U, 4), 0x22222222);
}

static void
test_decode(void **state)
{
	struct fix *f = *state;
	uint32_t mem = cfg_rd(f, 2, 0x10, 4), io = cfg_rd(f, 2, 0x14, 4) & ~3U;

	cfg_wr(f, 2, PCIR_COMMAND, 2, PCIR_COMMAND_IO);
	assert_int_equal(bus_read(&f->mmio, mem, 4), 0xffffffff);
	assert_int_equal(bus_read(&f->pio, io, 4), 0x22222222);
	cfg_wr(f, 2, PCIR_COMMAND, 2, PCIR_COMMAND_MEM);
	assert_int_equal(bus_read(&f->mmio, mem, 4), 0x22222222);
	assert_int_equal(bus_read(&f->pio, io, 4), 0xffffffff);
	assert_int_equal(f->command, PCIR_COMMAND_MEM);
	assert_int_equal(f->commands, 2);
	/* The same again: nothing happens. */
	f->mapped = f->unmapped = 0;
	cfg_wr(f, 2, PCIR_COMMAND, 2, PCIR_COMMAND_MEM);
	assert_int_equal(f->mapped + f->unmapped, 0);
	assert_int_equal(f->commands, 2);
	cfg_wr(f, 2, PCIR_COMMAND, 2, 0xffff);
	assert_int_equal(cfg_rd(f, 2, PCIR_COMMAND, 2), 0x0407);
}

/* BARs in bad places do no harm: absent, and nothing else is shadowed. */
static void
test_bad_places(void **state)
{
	static const struct {
		const char *what;
		unsigned bar;
		uint32_t base;
	} rows[] = {
		{ "RAM", 0, 0x00100000 },
		{ "zero", 0, 0 },
		{ "end of RAM", 0, 0xbffff000 },
		{ "a chip", 0, 0xfd000000 },
		{ "IOAPIC", 0, 0xfec00000 },
		{ "LAPIC", 0, 0xfee00000 },
		{ "top", 0, 0xfffff000 },
		{ "a port of a chip", 1, 0x3c0 },
		{ "configuration ports", 1, 0xcc0 },
		{ "port zero", 1, 0 },
	};
	struct fix *f = *state;
	struct pci_dev chip = { .slot = 7 };

	bus_add(&f->mmio, 0xfd000800, 16, &bar_ops, &chip, "chip");
	bus_add(&f->pio, 0x3f8, 8, &bar_ops, &chip, "chip");
	for (size_t i = 0; i < LEN(rows); i++) {
		struct bus *bus = rows[i].bar == 0 ? &f->mmio : &f->pio;
		unsigned reg = 0x10 + 4 * rows[i].bar;
		uint32_t was = cfg_rd(f, 2, reg, 4);
		unsigned n = bus->n;

		cfg_wr(f, 2, reg, 4, rows[i].base);
		if (bus->n != n - 1 ||
		    bus_read(bus, rows[i].base, 4) != 0xffffffff)
			fail_msg("%s", rows[i].what);
		/* It is all there to be read back, though. */
		assert_int_equal(cfg_rd(f, 2, reg, 4) & ~1U, rows[i].base);
		assert_int_equal(bus_read(&f->pio, 0x3f8, 4), 0x77777777);
		assert_int_equal(bus_read(&f->mmio, 0xfd000800, 4), 0x77777777);
		cfg_wr(f, 2, reg, 4, was);
		assert_int_equal(bus->n, n);
	}
}

static void
test_overlap(void **state)
{
	struct fix *f = *state;
	uint32_t a = cfg_rd(f, 2, 0x10, 4), b = cfg_rd(f, 3, 0x10, 4);

	/* a onto b: b was there first. */
	cfg_wr(f, 2, 0x10, 4, b);
	assert_int_equal(bus_read(&f->mmio, b, 4), 0x33333333);
	assert_int_equal(bus_read(&f->mmio, a, 4), 0xffffffff);
	assert_false(f->a.bar[0].mapped);
	/* b moves away: the place is a's now. */
	cfg_wr(f, 3, 0x10, 4, a);
	assert_int_equal(bus_read(&f->mmio, b, 4), 0x22222222);
	assert_int_equal(bus_read(&f->mmio, a, 4), 0x33333333);
	/* Both in one place, then both decoders off. */
	cfg_wr(f, 2, 0x10, 4, a);
	cfg_wr(f, 3, PCIR_COMMAND, 2, 0);
	assert_int_equal(bus_read(&f->mmio, a, 4), 0x22222222);
	cfg_wr(f, 2, PCIR_COMMAND, 2, 0);
	assert_int_equal(bus_read(&f->mmio, a, 4), 0xffffffff);
	/* The one that has the place is taken away. */
	cfg_wr(f, 3, PCIR_COMMAND, 2, PCIR_COMMAND_MEM);
	cfg_wr(f, 2, PCIR_COMMAND, 2, PCIR_COMMAND_MEM);
	assert_int_equal(bus_read(&f->mmio, a, 4), 0x33333333);
	pci_remove(&f->b);
	assert_int_equal(bus_read(&f->mmio, a, 4), 0x22222222);
}

/* "Expansion ROM Base Address Register" */
static void
test_rom(void **state)
{
	static const struct {
		const char *what;
		uint32_t len, reg, command, mask, at;
		bool there;
	} rows[] = {
		{ "off", 3000, 0xe0000000, 2, 0xfffff001, 0xe0000000, false },
		{ "on", 3000, 0xe0000001, 2, 0xfffff001, 0xe0000000, true },
		{ "no decode", 3000, 0xe0000001, 1, 0xfffff001, 0xe0000000,
		    false },
		{ "low bits stay 0", 3000, 0xe00007ff, 2, 0xfffff001,
		    0xe0000000, true },
		{ "one byte: 2 KiB", 1, 0xe0000801, 2, 0xfffff801, 0xe0000800,
		    true },
		{ "just so", 4096, 0xe0001001, 2, 0xfffff001, 0xe0001000,
		    true },
		{ "large", 300000, 0xe0080001, 2, 0xfff80001, 0xe0080000,
		    true },
		{ "in RAM", 3000, 0x00100001, 2, 0xfffff001, 0x00100000,
		    false },
		{ "over the IOAPIC", 3000, 0xfec00001, 2, 0xfffff001,
		    0xfec00000, false },
		{ "at the end", 3000, 0xfffff001, 2, 0xfffff001, 0xfffff000,
		    false },
	};
	static uint8_t rom[300000];
	struct fix *f = *state;

	for (size_t i = 0; i < sizeof(rom); i++)
		rom[i] = (uint8_t)(i * 7 + 1);
	assert_int_equal(pci_add_rom(&f->a, rom, 0), -EINVAL);
	assert_int_equal(pci_add_rom(&f->a, rom, PCI_ROM_MAX + 1), -EINVAL);
	for (size_t i = 0; i < LEN(rows); i++) {
		uint32_t len = rows[i].len;

		memset(&f->a.bar[PCI_ROM], 0, sizeof(f->a.bar[PCI_ROM]));
		pci_cfg_set(&f->a, PCIR_ROM, 4, 0);
		assert_int_equal(pci_add_rom(&f->a, rom, len), 0);
		assert_int_equal(pci_add_rom(&f->a, rom, len), -EINVAL);
		cfg_wr(f, 2, PCIR_COMMAND, 2, rows[i].command);
		assert_int_equal(cfg_rd(f, 2, PCIR_ROM, 4), 0);
		cfg_wr(f, 2, PCIR_ROM, 4, 0xffffffff);
		assert_int_equal(cfg_rd(f, 2, PCIR_ROM, 4), rows[i].mask);
		cfg_wr(f, 2, PCIR_ROM, 4, rows[i].reg);
		if (f->a.bar[PCI_ROM].mapped != rows[i].there)
			fail_msg("%s", rows[i].what);
		if (rows[i].there) {
			uint64_t at = rows[i].at;

			assert_int_equal(
			    bus_read(&f->mmio, at + len - 1, 1), rom[len - 1]);
			bus_write(&f->mmio, at, 1, 0);
			assert_int_equal(bus_read(&f->mmio, at, 1), rom[0]);
			if (len > 4 && len < 4096) /* behind its end */
				assert_int_equal(
				    bus_read(&f->mmio, at + len - 2, 4),
				    0xffff0000U | rom[len - 1] << 8 |
					rom[len - 2]);
			/* Moved, and off. */
			cfg_wr(f, 2, PCIR_ROM, 4, 0xe8000001);
			assert_int_equal(
			    bus_read(&f->mmio, 0xe8000000, 1), rom[0]);
			assert_int_equal(bus_read(&f->mmio, at, 4), 0xffffffff);
			cfg_wr(f, 2, PCIR_ROM, 1, 0);
			assert_int_equal(
			    bus_read(&f->mmio, 0xe8000000, 1), 0xff);
		}
		cfg_wr(f, 2, PCIR_ROM, 4, 0);
	}
}

/* ATTACKS.md B, kvmtool 78771e7: writes to the status register. */
static void
test_status(void **state)
{
	struct fix *f = *state;

	assert_int_equal(cfg_rd(f, 2, PCIR_STATUS, 2), 0);
	f->a.cfg[PCIR_STATUS + 1] = 0xf9; /* errors, latched */
	cfg_wr(f, 2, PCIR_STATUS, 2, 0);
	assert_int_equal(cfg_rd(f, 2, PCIR_STATUS, 2), 0xf900);
	cfg_wr(f, 2, PCIR_STATUS, 2, 0x8000);
	assert_int_equal(cfg_rd(f, 2, PCIR_STATUS, 2), 0x7900);
	cfg_wr(f, 2, PCIR_COMMAND, 4, 0xffff0003);
	assert_int_equal(cfg_rd(f, 2, PCIR_STATUS, 2), 0);
	pci_add_cap(&f->a, 9, 16);
	pci_intx(&f->a, true);
	cfg_wr(f, 2, PCIR_STATUS, 2, 0xffff);
	assert_int_equal(cfg_rd(f, 2, PCIR_STATUS, 2), 0x0018);
}

static void
test_intx(void **state)
{
	struct fix *f = *state;
	unsigned gsi = pci_gsi(2, 0);

	assert_int_equal(gsi, 17);
	assert_int_equal(pci_gsi(3, 0), 18);
	assert_int_equal(pci_gsi(4, 0), 19);
	assert_int_equal(pci_gsi(2, 3), 16);
	pci_intx(&f->a, true);
	assert_true(f->gsi[gsi]);
	assert_int_equal(cfg_rd(f, 2, PCIR_STATUS, 1) & 8, 8);
	/* "Interrupt Disable" takes the line, not the status bit. */
	cfg_wr(f, 2, PCIR_COMMAND, 2, 0x403);
	assert_false(f->gsi[gsi]);
	assert_int_equal(cfg_rd(f, 2, PCIR_STATUS, 1) & 8, 8);
	cfg_wr(f, 2, PCIR_COMMAND, 2, 3);
	assert_true(f->gsi[gsi]);
	pci_intx(&f->a, false);
	assert_false(f->gsi[gsi]);
	assert_int_equal(cfg_rd(f, 2, PCIR_STATUS, 1) & 8, 0);
}

static void
test_intx_shared(void **state)
{
	struct fix *f = *state;
	static struct pci_dev more[3];

	for (unsigned i = 0; i < LEN(more); i++)
		pci_add(&f->pci, &more[i], "m", 1, 2, 0, 0, 0, 0, NULL, NULL);
	assert_int_equal(more[2].slot, 6); /* shares GSI 17 with slot 2 */
	pci_intx(&f->a, true);
	pci_intx(&more[2], true);
	pci_intx(&f->a, false);
	assert_true(f->gsi[17]);
	pci_remove(&more[2]);
	assert_false(f->gsi[17]);
	assert_int_equal(cfg_rd(f, 6, 0, 4), 0xffffffff);
}

static void
test_pirq(void **state)
{
	struct fix *f = *state;

	pci_intx(&f->a, true); /* slot 2: PIRQB */
	for (unsigned i = 0; i < 16; i++)
		assert_false(f->gsi[i]);
	cfg_wr(f, 1, 0x61, 1, 11);
	assert_true(f->gsi[11]);
	assert_true(f->gsi[17]);
	cfg_wr(f, 1, 0x61, 1, 10); /* moved */
	assert_false(f->gsi[11]);
	assert_true(f->gsi[10]);
	cfg_wr(f, 1, 0x62, 1, 10); /* PIRQC shares it */
	pci_intx(&f->b, true);
	pci_intx(&f->a, false);
	assert_true(f->gsi[10]);
	pci_intx(&f->b, false);
	assert_false(f->gsi[10]);
	/* Interrupts that PIIX3 cannot route to. */
	pci_intx(&f->a, true);
	for (unsigned irq = 0; irq < 16; irq++) {
		bool legal = irq > 2 && irq != 8 && irq != 13;

		cfg_wr(f, 1, 0x61, 1, irq);
		assert_int_equal(f->gsi[irq], legal);
	}
	cfg_wr(f, 1, 0x61, 1, 0xff);
	assert_int_equal(cfg_rd(f, 1, 0x61, 1), 0x8f);
	assert_false(f->gsi[15]);
}

static void
test_caps(void **state)
{
	struct fix *f = *state;
	unsigned n = 0, at;

	assert_int_equal(cfg_rd(f, 2, PCIR_STATUS, 2) & 0x10, 0);
	assert_int_equal(pci_add_cap(&f->a, 0x11, 12), 0x40);
	assert_int_equal(pci_add_cap(&f->a, 0x09, 19), 0x4c);
	assert_int_equal(pci_add_cap(&f->a, 0x09, 16), 0x60);
	assert_int_equal(cfg_rd(f, 2, PCIR_STATUS, 2) & 0x10, 0x10);
	for (at = cfg_rd(f, 2, PCIR_CAPS, 1); at != 0;
	     at = cfg_rd(f, 2, at + 1, 1))
		n++;
	assert_int_equal(n, 3);
	assert_int_equal(pci_add_cap(&f->a, 0x09, 0x91), -ENOSPC);
	assert_int_equal(pci_add_cap(&f->a, 0x09, 0x90), 0x70);
	assert_int_equal(pci_add_cap(&f->a, 0x09, 4), -ENOSPC);
	assert_int_equal(pci_add_cap(&f->b, 0x09, 0xff), -ENOSPC);
}

static void
test_limits(void **state)
{
	static struct pci_dev many[PCI_SLOTS];
	struct fix *f = *state;
	unsigned n = 0;

	assert_int_equal(
	    pci_add_bar(&f->a, 0, PCI_BAR_MEM32, 4096, &bar_ops), -EINVAL);
	assert_int_equal(
	    pci_add_bar(&f->a, 6, PCI_BAR_MEM32, 4096, &bar_ops), -EINVAL);
	assert_int_equal(
	    pci_add_bar(&f->a, 2, PCI_BAR_MEM32, 4097, &bar_ops), -EINVAL);
	assert_int_equal(
	    pci_add_bar(&f->a, 2, PCI_BAR_IO, 512, &bar_ops), -EINVAL);
	assert_int_equal(
	    pci_add_bar(&f->a, 2, PCI_BAR_MEM32, 0, &bar_ops), -EINVAL);
	assert_int_equal(
	    pci_add_bar(&f->a, 2, PCI_BAR_MEM32, PCI_MMIO_LEN, &bar_ops),
	    -ENOSPC);
	while (
	    pci_add(&f->pci, &many[n], "m", 1, 2, 0, 0, 0, 0, NULL, NULL) == 0)
		n++;
	assert_int_equal(n, PCI_SLOTS - 4);
}

/* Any write anywhere in configuration space, then the machine still stands. */
static void
test_random(void **state)
{
	struct fix *f = *state;
	struct pci_dev chip = { .slot = 7 };

	bus_add(&f->pio, 0x3f8, 8, &bar_ops, &chip, "chip");
	srandom(2);
	for (unsigned i = 0; i < 300000; i++) {
		unsigned size = 1U << (random() % 3);
		unsigned off = (unsigned)random() & 0xff;
		uint32_t val = (uint32_t)random() << 1;

		if (random() % 4 == 0)
			val |= 0xd0000000;
		if ((off & 0xfc) == 4)
			val |= 3;
		cfg_wr(f, (unsigned)random() % 6, off, size, val);
		cfg_rd(f, (unsigned)random() % 6, off, size);
		assert_true(f->pio.n <= 4 && f->mmio.n <= 2);
	}
	assert_int_equal(bus_read(&f->pio, 0x3f8, 4), 0x77777777);
	assert_int_equal(cfg_rd(f, 2, 0, 4), 0x10421af4);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_ids),
		T(test_mechanism),
		T(test_readonly),
		T(test_sizing),
		T(test_decode),
		T(test_bad_places),
		T(test_overlap),
		T(test_rom),
		T(test_status),
		T(test_intx),
		T(test_intx_shared),
		T(test_pirq),
		T(test_caps),
		T(test_limits),
		T(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
