/* SPDX-License-Identifier: ISC */
#ifndef VMD_PCI_H
#define VMD_PCI_H

/*
 * PCI bus 0: configuration mechanism 1 (ports 0xcf8-0xcff), type 0 headers,
 * BARs that the guest may size, move and switch off, INTx, capability list.
 * Slot 0 is the host bridge, slot 1 the ISA bridge (PIIX3, PIRQ routing
 * registers 0x60-63), devices from slot 2.  Caller holds the machine lock.
 *
 * pci_init() adds its own windows to the port bus: 0xcf8 for dwords only and
 * 0xcfc-0xcff.
 */
#include <stdbool.h>
#include <stdint.h>
#include "bus.h"
#include "devenv.h"

#define PCI_SLOTS   32
#define PCI_BARS    6
#define PCI_ROM	    6 /* the expansion ROM, which is much like a BAR */
#define PCI_ROM_MAX (16U << 20)

/* What SeaBIOS boots over a virtio network interface with: iPXE. */
#define NET_ROM	      "/usr/lib/ipxe/qemu/pxe-virtio.rom"
#define PCI_IO_BASE   0xc000 /* I/O BARs are placed here ... */
#define PCI_IO_LEN    0x2000
#define PCI_MMIO_BASE 0xd0000000 /* ... memory BARs here */
#define PCI_MMIO_LEN  0x10000000

struct pci;
struct pci_dev;

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_ROM };

struct pci_dev_ops {
	/* Device-specific configuration space, after the standard header
	 * (offsets from 0x40); NULL: plain read/write-mask bytes.  Both are
	 * called with off + size inside one dword; cfg_written after the bytes
	 * were stored under the mask, cfg_read instead of pci_cfg_get(). */
	void (*cfg_written)(struct pci_dev *, unsigned off, unsigned size);
	uint32_t (*cfg_read)(struct pci_dev *, unsigned off, unsigned size);
	/* A BAR was mapped at base or unmapped (decode off, moved).  Not the
	 * ROM. */
	void (*bar_mapped)(struct pci_dev *, unsigned bar, uint64_t base);
	void (*bar_unmapped)(struct pci_dev *, unsigned bar, uint64_t base);
	/* Command register changed (bus master, INTx disable). */
	void (*command)(struct pci_dev *, uint16_t);
};

struct pci_bar {
	enum pci_bar_kind kind;
	uint32_t len; /* power of two */
	const struct bus_ops *ops;
	bool mapped;
	uint64_t base; /* where, when mapped */
};

struct pci_dev {
	struct pci *pci;
	unsigned slot;
	const char *name; /* "vioblk0" */
	uint8_t cfg[256];
	uint8_t wmask[256]; /* bits the guest may write */
	uint8_t w1c[256]; /* bits a written one clears */
	unsigned cap_end; /* allocation of the capability list */
	struct pci_bar bar[PCI_BARS + 1];
	const uint8_t *rom; /* bytes of the expansion ROM, or NULL */
	uint32_t rom_len;
	bool intx; /* what the device wants, before INTx disable */
	const struct pci_dev_ops *ops;
	void *arg;
};

struct pci {
	uint32_t address; /* 0xcf8 */
	struct pci_dev *dev[PCI_SLOTS];
	struct bus *pio, *mmio;
	uint32_t next_io, next_mmio;
	uint64_t
	    mmio_floor; /* where memory BARs may lie from; no RAM is there */
	struct line gsi[4]; /* PIRQA..D: GSI 16..19 of the IOAPIC */
	bool root[4]; /* their levels */
	uint16_t isa_level; /* ISA IRQs asserted by way of PIRQRC */
	struct pci_dev host, isa;
	struct pci_dev *pm; /* function 3 of the ISA bridge's slot, or NULL */
};

void pci_init(struct pci *, struct bus *pio, struct bus *mmio,
    void (*set_gsi)(void *, unsigned gsi, bool), void *arg);
/* Next free slot; class = base << 16 | sub << 8 | prog-if. 0 or -ENOSPC. */
int pci_add(struct pci *, struct pci_dev *, const char *name, uint16_t vendor,
    uint16_t device, uint32_t class, uint8_t rev, uint16_t subvendor,
    uint16_t subdevice, const struct pci_dev_ops *, void *arg);
/* The power management function; it has no BARs, its interrupt is not INTx. */
void pci_add_pm(struct pci *, struct pci_dev *, const char *name,
    uint16_t vendor, uint16_t device, uint32_t class, uint8_t rev);
/* Takes the function off the bus; its struct may be freed then. */
void pci_remove(struct pci_dev *);
/* Before the guest runs: a BAR, placed and decoded as firmware would.
 * The ops get the struct pci_dev. */
int pci_add_bar(struct pci_dev *, unsigned bar, enum pci_bar_kind, uint32_t len,
    const struct bus_ops *);
/* Before the guest runs: an expansion ROM, switched off as after a reset.  Its
 * bytes stay the caller's.  0 or -EINVAL. */
int pci_add_rom(struct pci_dev *, const uint8_t *rom, uint32_t len);
/* Offset of a new capability of len bytes (header included), or -ENOSPC. */
int pci_add_cap(struct pci_dev *, uint8_t id, uint8_t len);
/* In the section at hand; a function's, then what is the bus's. */
struct state;
void pci_dev_state(struct pci_dev *, struct state *);
void pci_state(struct pci *, struct state *);
/* Configuration bytes as they are stored, little-endian; size 1, 2 or 4. */
uint32_t pci_cfg_get(const struct pci_dev *, unsigned off, unsigned size);
void pci_cfg_set(struct pci_dev *, unsigned off, unsigned size, uint32_t val);
void pci_intx(struct pci_dev *, bool level);
/* The GSI that a pin (0 = INTA) of slot is wired to, 16 to 19 for PIRQA to
 * PIRQD. */
unsigned pci_gsi(unsigned slot, unsigned pin);

#endif
