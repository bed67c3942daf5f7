/* SPDX-License-Identifier: ISC */

/*
 * PCI bus 0; see pci.h.  After the PCI Local Bus Specification 3.0:
 * "Configuration Mechanism #1", "Configuration Space Organization", "Base
 * Addresses", "Expansion ROM Base Address Register", "Device Control", "Device
 * Status", "Capabilities List".
 *
 * Invariants
 *  1. A BAR is mapped exactly when its decode bit is set, it lies in the
 *     address range that PCI has, and no other window is there.  One that
 *     loses such a contest is absent (reads as all ones) until the place is
 *     free; it never shadows RAM, a chip or another BAR.
 *  2. A PIRQ's level is the OR of the INTx wishes of the functions wired to
 *     it; an ISA IRQ's level is the OR of the PIRQs routed to it.
 *
 * Bus mastering is not withheld from a device whose bus-master bit is clear:
 * virtio drivers stop a device by resetting it.
 */
#include <errno.h>
#include <string.h>
#include "gmem.h"
#include "pci.h"
#include "pcireg.h"
#include "state.h"

#define CFG_ADDRESS  0xcf8
#define CFG_DATA     0xcfc
#define CFG_ENABLE   0x80000000U
#define CFG_WRITABLE 0x80fffffcU /* reserved bits read as zero */

#define ISA_SLOT   1
#define PM_FUNC	   3
#define FIRST_SLOT 2 /* of the devices behind the two bridges */

/* Memory BARs may lie from mmio_floor up to the IOAPIC. */
#define MMIO_END 0xfec00000ULL

#define PAM_FIRST  0x59 /* 440FX: seven PAM registers */
#define PAM_LAST   0x5f
#define PIRQ_RC	   0x60 /* PIIX3: PIRQRC[A:D] */
#define PIRQ_OFF   0x80 /* not routed to an ISA IRQ */
#define PIRQ_MASK  0x0f
#define PIRQ_LEGAL 0xdef8U /* ISA IRQs that PIIX3 can route to */

uint32_t
pci_cfg_get(const struct pci_dev *d, unsigned off, unsigned size)
{
	uint32_t val = 0;

	for (unsigned i = 0; i < size && i < 4; i++)
		val |= (uint32_t)d->cfg[(off + i) & 0xff] << (8 * i);
	return val;
}

void
pci_cfg_set(struct pci_dev *d, unsigned off, unsigned size, uint32_t val)
{
	for (unsigned i = 0; i < size && i < 4; i++)
		d->cfg[(off + i) & 0xff] = (uint8_t)(val >> (8 * i));
}

unsigned
pci_gsi(unsigned slot, unsigned pin)
{
	/* As the firmware of this chipset has it: slot 1 begins at PIRQA. */
	return 16 + (slot + pin + 3) % 4;
}

/* ---- interrupts ---- */

static void
route_isa(struct pci *p)
{
	uint16_t level = 0, changed;

	for (unsigned i = 0; i < 4; i++) {
		uint8_t rc = p->isa.cfg[PIRQ_RC + i];
		uint16_t irq = (uint16_t)(1U << (rc & PIRQ_MASK));

		if (p->root[i] && (rc & PIRQ_OFF) == 0)
			level |= irq & PIRQ_LEGAL;
	}
	changed = level ^ p->isa_level;
	p->isa_level = level;
	for (unsigned irq = 0; irq < 16; irq++) {
		struct line l = p->gsi[0];

		l.n = irq;
		if ((changed & (1U << irq)) != 0)
			line_set(&l, (level & (1U << irq)) != 0);
	}
}

static bool
intx_driven(const struct pci_dev *d)
{
	return d->intx &&
	    (pci_cfg_get(d, PCIR_COMMAND, 2) & PCIR_COMMAND_NOINTX) == 0;
}

/* Recompute the PIRQ that INTA of d is wired to. */
static void
intx_update(struct pci_dev *d)
{
	struct pci *p = d->pci;
	unsigned gsi = pci_gsi(d->slot, 0), root = gsi - 16;
	bool level = false;

	if (d->intx)
		d->cfg[PCIR_STATUS] |= PCIR_STATUS_INTX;
	else
		d->cfg[PCIR_STATUS] &= (uint8_t)~PCIR_STATUS_INTX;
	for (unsigned s = 0; s < PCI_SLOTS && !level; s++)
		level = p->dev[s] != NULL && pci_gsi(s, 0) == gsi &&
		    intx_driven(p->dev[s]);
	if (level == p->root[root])
		return;
	p->root[root] = level;
	line_set(&p->gsi[root], level);
	route_isa(p);
}

void
pci_intx(struct pci_dev *d, bool level)
{
	if (d->intx == level)
		return;
	d->intx = level;
	intx_update(d);
}

/* ---- base address registers ---- */

/* Where the guest wants the BAR; false: not decoded or in no legal place. */
static bool
bar_wanted(const struct pci_dev *d, unsigned n, uint64_t *base)
{
	const struct pci_bar *bar = &d->bar[n];
	uint32_t reg =
	    pci_cfg_get(d, n == PCI_ROM ? PCIR_ROM : PCIR_BAR0 + 4 * n, 4);
	uint32_t cmd = pci_cfg_get(d, PCIR_COMMAND, 2);

	switch (bar->kind) {
	case PCI_BAR_NONE:
		return false;
	case PCI_BAR_IO:
		*base = reg & PCIR_BAR_IO_ADDR;
		/* A BAR of zero is one that nobody placed. */
		return (cmd & PCIR_COMMAND_IO) != 0 && *base != 0 &&
		    *base + bar->len <= 0x10000;
	case PCI_BAR_MEM32:
		*base = reg & PCIR_BAR_MEM_ADDR;
		return (cmd & PCIR_COMMAND_MEM) != 0 &&
		    *base >= d->pci->mmio_floor && *base + bar->len <= MMIO_END;
	case PCI_BAR_ROM:
		*base = reg & PCIR_ROM_ADDR;
		return (reg & PCIR_ROM_ON) != 0 &&
		    (cmd & PCIR_COMMAND_MEM) != 0 &&
		    *base >= d->pci->mmio_floor && *base + bar->len <= MMIO_END;
	}
	return false;
}

static struct bus *
bar_bus(const struct pci_dev *d, unsigned n)
{
	return d->bar[n].kind == PCI_BAR_IO ? d->pci->pio : d->pci->mmio;
}

static void
bar_unmap(struct pci_dev *d, unsigned n)
{
	struct pci_bar *bar = &d->bar[n];

	bus_remove(bar_bus(d, n), bar->base);
	bar->mapped = false;
	if (n != PCI_ROM && d->ops != NULL && d->ops->bar_unmapped != NULL)
		d->ops->bar_unmapped(d, n, bar->base);
}

static void
bar_map(struct pci_dev *d, unsigned n, uint64_t base)
{
	struct pci_bar *bar = &d->bar[n];

	if (bus_add(bar_bus(d, n), base, bar->len, bar->ops, d, d->name) != 0)
		return; /* somebody else is there: invariant 1 */
	bar->mapped = true;
	bar->base = base;
	if (n != PCI_ROM && d->ops != NULL && d->ops->bar_mapped != NULL)
		d->ops->bar_mapped(d, n, base);
}

/*
 * Make invariant 1 true again for all functions: a BAR that moved may have
 * left its place to another one.
 */
static void
bars_update(struct pci *p)
{
	uint64_t base;

	for (unsigned s = 0; s < PCI_SLOTS; s++)
		for (unsigned n = 0; p->dev[s] != NULL && n <= PCI_ROM; n++) {
			struct pci_bar *bar = &p->dev[s]->bar[n];

			if (bar->mapped &&
			    (!bar_wanted(p->dev[s], n, &base) ||
				base != bar->base))
				bar_unmap(p->dev[s], n);
		}
	for (unsigned s = 0; s < PCI_SLOTS; s++)
		for (unsigned n = 0; p->dev[s] != NULL && n <= PCI_ROM; n++)
			if (!p->dev[s]->bar[n].mapped &&
			    bar_wanted(p->dev[s], n, &base))
				bar_map(p->dev[s], n, base);
}

int
pci_add_bar(struct pci_dev *d, unsigned n, enum pci_bar_kind kind, uint32_t len,
    const struct bus_ops *ops)
{
	struct pci *p = d->pci;
	bool io = kind == PCI_BAR_IO;
	uint32_t *next = io ? &p->next_io : &p->next_mmio;
	uint32_t end =
	    io ? PCI_IO_BASE + PCI_IO_LEN : PCI_MMIO_BASE + PCI_MMIO_LEN;
	uint32_t least = io ? 4 : 16, most = io ? 256 : PCI_MMIO_LEN;
	uint32_t base, mask;

	if (n >= PCI_BARS || kind == PCI_BAR_NONE || len < least ||
	    len > most || (len & (len - 1)) != 0 ||
	    d->bar[n].kind != PCI_BAR_NONE)
		return -EINVAL;
	base = (*next + len - 1) & ~(len - 1);
	if (base > end - len)
		return -ENOSPC;
	*next = base + len;
	d->bar[n] = (struct pci_bar){ .kind = kind, .len = len, .ops = ops };

	/* "Base Addresses": the upper half of an I/O BAR may be hardwired to
	 * zero in a PC, but SeaBIOS takes that for a part of the size. */
	mask = ~(len - 1);
	for (unsigned i = 0; i < 4; i++)
		d->wmask[PCIR_BAR0 + 4 * n + i] = (uint8_t)(mask >> (8 * i));
	pci_cfg_set(d, PCIR_BAR0 + 4 * n, 4, base | (io ? PCIR_BAR_IO : 0));
	d->cfg[PCIR_COMMAND] |= io ? PCIR_COMMAND_IO : PCIR_COMMAND_MEM;
	bars_update(p);
	return 0;
}

/* What is behind the end of the image reads as an erased chip. */
static uint64_t
rom_read(void *arg, uint64_t off, unsigned size)
{
	const struct pci_dev *d = arg;
	uint64_t val = UINT64_MAX;

	for (unsigned i = 0; i < size && off + i < d->rom_len; i++) {
		val &= ~(0xffULL << (8 * i));
		val |= (uint64_t)d->rom[off + i] << (8 * i);
	}
	return val;
}

static void
rom_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
}

static const struct bus_ops rom_ops = {
	.sizes = 1 | 2 | 4 | 8, .read = rom_read, .write = rom_write
};

int
pci_add_rom(struct pci_dev *d, const uint8_t *rom, uint32_t len)
{
	uint32_t size = ~PCIR_ROM_ADDR + 1, mask;

	if (len == 0 || len > PCI_ROM_MAX ||
	    d->bar[PCI_ROM].kind != PCI_BAR_NONE)
		return -EINVAL;
	while (size < len)
		size <<= 1;
	d->rom = rom;
	d->rom_len = len;
	d->bar[PCI_ROM] = (struct pci_bar){
		.kind = PCI_BAR_ROM, .len = size, .ops = &rom_ops
	};
	mask = ~(size - 1) | PCIR_ROM_ON;
	for (unsigned i = 0; i < 4; i++)
		d->wmask[PCIR_ROM + i] = (uint8_t)(mask >> (8 * i));
	return 0;
}

/* ---- configuration space ---- */

static bool
touches(unsigned off, unsigned size, unsigned first, unsigned len)
{
	return off < first + len && first < off + size;
}

static void
cfg_write(struct pci_dev *d, unsigned off, unsigned size, uint32_t val)
{
	uint16_t before = (uint16_t)pci_cfg_get(d, PCIR_COMMAND, 2), after;

	for (unsigned i = 0; i < size; i++) {
		uint8_t *b = &d->cfg[off + i];
		uint8_t v = (uint8_t)(val >> (8 * i));
		uint8_t w = d->wmask[off + i];

		*b = (uint8_t)((*b & ~w) | (v & w));
		*b &= (uint8_t) ~(v & d->w1c[off + i]);
	}
	after = (uint16_t)pci_cfg_get(d, PCIR_COMMAND, 2);
	if (before != after) {
		intx_update(d);
		if (d->ops != NULL && d->ops->command != NULL)
			d->ops->command(d, after);
	}
	if (before != after || touches(off, size, PCIR_BAR0, 4 * PCI_BARS) ||
	    touches(off, size, PCIR_ROM, 4))
		bars_update(d->pci);
	if (d == &d->pci->isa && touches(off, size, PIRQ_RC, 4))
		route_isa(d->pci);
	if (off >= PCIR_HEADER_END && d->ops != NULL &&
	    d->ops->cfg_written != NULL)
		d->ops->cfg_written(d, off, size);
}

static uint32_t
cfg_read(struct pci_dev *d, unsigned off, unsigned size)
{
	if (off >= PCIR_HEADER_END && d->ops != NULL &&
	    d->ops->cfg_read != NULL)
		return d->ops->cfg_read(d, off, size);
	return pci_cfg_get(d, off, size);
}

/* The function that 0xcf8 selects; NULL when there is none. */
static struct pci_dev *
selected(const struct pci *p)
{
	unsigned bus = (p->address >> 16) & 0xff;
	unsigned slot = (p->address >> 11) & 0x1f;
	unsigned func = (p->address >> 8) & 7;

	if ((p->address & CFG_ENABLE) == 0 || bus != 0)
		return NULL;
	if (func == PM_FUNC && slot == ISA_SLOT)
		return p->pm;
	return func == 0 ? p->dev[slot] : NULL;
}

static uint64_t
data_read(void *arg, uint64_t off, unsigned size)
{
	struct pci *p = arg;
	struct pci_dev *d = selected(p);

	if (d == NULL)
		return UINT64_MAX;
	return cfg_read(d, (p->address & 0xfc) + (unsigned)off, size);
}

static void
data_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct pci *p = arg;
	struct pci_dev *d = selected(p);

	if (d != NULL)
		cfg_write(d, (p->address & 0xfc) + (unsigned)off, size,
		    (uint32_t)val);
}

static uint64_t
address_read(void *arg, uint64_t off, unsigned size)
{
	struct pci *p = arg;

	return p->address;
}

static void
address_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct pci *p = arg;

	p->address = (uint32_t)val & CFG_WRITABLE;
}

static const struct bus_ops address_ops = {
	.sizes = 4, .read = address_read, .write = address_write
};

static const struct bus_ops data_ops = {
	.sizes = 1 | 2 | 4, .read = data_read, .write = data_write
};

/* ---- set-up ---- */

/* The header that all functions have. */
static void
dev_init(struct pci *p, struct pci_dev *d, unsigned slot, const char *name,
    uint16_t vendor, uint16_t device, uint32_t class, uint8_t rev)
{
	memset(d, 0, sizeof(*d));
	d->pci = p;
	d->slot = slot;
	d->name = name;
	d->cap_end = PCIR_HEADER_END;
	pci_cfg_set(d, PCIR_VENDOR, 2, vendor);
	pci_cfg_set(d, PCIR_DEVICE, 2, device);
	pci_cfg_set(d, PCIR_REVISION, 4, class << 8 | rev);
	d->wmask[PCIR_COMMAND] =
	    PCIR_COMMAND_IO | PCIR_COMMAND_MEM | PCIR_COMMAND_MASTER;
	d->wmask[PCIR_COMMAND + 1] = PCIR_COMMAND_NOINTX >> 8;
	d->w1c[PCIR_STATUS + 1] = PCIR_STATUS_ERRORS >> 8;
}

void
pci_init(struct pci *p, struct bus *pio, struct bus *mmio,
    void (*set_gsi)(void *, unsigned gsi, bool), void *arg)
{
	memset(p, 0, sizeof(*p));
	p->pio = pio;
	p->mmio = mmio;
	p->next_io = PCI_IO_BASE;
	p->next_mmio = PCI_MMIO_BASE;
	p->mmio_floor = GMEM_PCI_HOLE;
	for (unsigned i = 0; i < 4; i++)
		p->gsi[i] =
		    (struct line){ .set = set_gsi, .arg = arg, .n = 16 + i };
	dev_init(p, &p->host, 0, "440FX", 0x8086, 0x1237, 0x060000, 2);
	/* Without firmware RAM is readable and writable throughout the first
	 * MiB, and the PAM registers only keep what was written; chipset.c
	 * makes them work. */
	memset(&p->host.wmask[PAM_FIRST], 0xff, PAM_LAST - PAM_FIRST + 1);
	p->dev[0] = &p->host;
	dev_init(p, &p->isa, ISA_SLOT, "PIIX3", 0x8086, 0x7000, 0x060100, 0);
	p->dev[ISA_SLOT] = &p->isa;
	memset(&p->isa.cfg[PIRQ_RC], PIRQ_OFF, 4);
	memset(&p->isa.wmask[PIRQ_RC], PIRQ_OFF | PIRQ_MASK, 4);

	bus_add_exact(pio, CFG_ADDRESS, 4, &address_ops, p, "pci address");
	bus_add(pio, CFG_DATA, 4, &data_ops, p, "pci data");
}

int
pci_add(struct pci *p, struct pci_dev *d, const char *name, uint16_t vendor,
    uint16_t device, uint32_t class, uint8_t rev, uint16_t subvendor,
    uint16_t subdevice, const struct pci_dev_ops *ops, void *arg)
{
	unsigned slot = FIRST_SLOT;

	while (slot < PCI_SLOTS && p->dev[slot] != NULL)
		slot++;
	if (slot == PCI_SLOTS)
		return -ENOSPC;
	dev_init(p, d, slot, name, vendor, device, class, rev);
	p->dev[slot] = d;
	pci_cfg_set(d, PCIR_SUBVENDOR, 2, subvendor);
	pci_cfg_set(d, PCIR_SUBDEVICE, 2, subdevice);
	d->cfg[PCIR_INT_PIN] = 1; /* INTA */
	d->cfg[PCIR_INT_LINE] = (uint8_t)pci_gsi(slot, 0);
	d->wmask[PCIR_INT_LINE] = 0xff;
	d->ops = ops;
	d->arg = arg;
	return 0;
}

void
pci_add_pm(struct pci *p, struct pci_dev *d, const char *name, uint16_t vendor,
    uint16_t device, uint32_t class, uint8_t rev)
{
	dev_init(p, d, ISA_SLOT, name, vendor, device, class, rev);
	d->cfg[PCIR_INT_PIN] = 1; /* INTA, which is the SCI's IRQ 9 */
	d->cfg[PCIR_INT_LINE] = 9;
	d->wmask[PCIR_INT_LINE] = 0xff;
	p->isa.cfg[PCIR_HEADER_TYPE] |= PCIR_HEADER_MULTI;
	p->pm = d;
}

void
pci_remove(struct pci_dev *d)
{
	pci_intx(d, false);
	for (unsigned n = 0; n <= PCI_ROM; n++)
		if (d->bar[n].mapped)
			bar_unmap(d, n);
	d->pci->dev[d->slot] = NULL;
	bars_update(d->pci);
}

int
pci_add_cap(struct pci_dev *d, uint8_t id, uint8_t len)
{
	unsigned off = d->cap_end, end = off + ((len + 3U) & ~3U);
	uint8_t *link = &d->cfg[PCIR_CAPS];

	if (len < 2 || end > sizeof(d->cfg))
		return -ENOSPC;
	while (*link != 0)
		link = &d->cfg[*link + PCICAP_NEXT];
	*link = (uint8_t)off;
	d->cfg[off + PCICAP_ID] = id;
	d->cfg[PCIR_STATUS] |= PCIR_STATUS_CAPS;
	d->cap_end = end;
	return (int)off;
}

/* ---- state ---- */

/* The guest's bits are taken, those that are ours stay. */
void
pci_dev_state(struct pci_dev *d, struct state *s)
{
	uint64_t intx = d->intx;
	uint8_t cfg[sizeof(d->cfg)], own;

	memcpy(cfg, d->cfg, sizeof(cfg));
	state_bytes(s, cfg, sizeof(cfg));
	state_number(s, &intx, 1);
	if (s->error != 0 || s->writing)
		return;
	if (memcmp(cfg, d->cfg, 4) != 0) {
		state_fail(s, -EINVAL, "slot %u is another device", d->slot);
		return;
	}
	for (unsigned i = 0; i < sizeof(cfg); i++) {
		own = (uint8_t) ~(d->wmask[i] | d->w1c[i]);
		d->cfg[i] = (uint8_t)((d->cfg[i] & own) | (cfg[i] & ~own));
	}
	d->intx = intx != 0;
	d->cfg[PCIR_STATUS] &= (uint8_t)~PCIR_STATUS_INTX;
	if (d->intx)
		d->cfg[PCIR_STATUS] |= PCIR_STATUS_INTX;
	bars_update(d->pci);
}

static const struct state_field fields[] = {
	STATE_NUM(struct pci, address, UINT32_MAX),
	STATE_ARR(struct pci, root, 1),
	STATE_NUM(struct pci, isa_level, UINT16_MAX),
};

void
pci_state(struct pci *p, struct state *s)
{
	pci_dev_state(&p->host, s);
	pci_dev_state(&p->isa, s);
	state_fields(s, p, fields, sizeof(fields) / sizeof(fields[0]));
}
