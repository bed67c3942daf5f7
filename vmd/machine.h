/* SPDX-License-Identifier: ISC */
#ifndef VMD_MACHINE_H
#define VMD_MACHINE_H

/*
 * The machine: chips, both buses, PCI, console, timers, and the wires between
 * them, under one lock (m).  No function here is called with the lock held,
 * unless said.
 */
#include <stdbool.h>
#include <stdint.h>
#include "gmem.h"
#include "msg.h"
#include "vmconf.h"

struct console;
struct event_base;
struct machine;
struct pci;
struct screen;
struct virtio_host;
struct vmm;

struct machine_ops {
	/* Called with the lock held, by any thread; must not block. */
	void (*ended)(void *arg, enum vm_end, const char *detail);
	void (*button_read)(void *arg); /* the guest saw the power button */
	void (*kick)(void *arg); /* vCPU 0 has an ExtINT to take */
	void (*hold)(void *arg, bool on); /* vcpu_hold() */
	void (*panicked)(void *arg, bool handled); /* see pvpanic.h; once */
	void (*flash_changed)(void *arg); /* machine_flash_take() has some */
};

struct machine_conf {
	struct vmm *vmm;
	const struct gmem *mem;
	struct event_base *base;
	const char *name; /* the VM's, in what SMBIOS says */
	unsigned cpus;
	uint8_t *rom; /* firmware, or NULL; stays mapped, filled later */
	uint32_t rom_len;
	uint8_t *flash; /* UEFI's variables, before the ROM; or NULL */
	uint32_t flash_len;
	uint8_t *genid; /* genid.h; or NULL, in tests */
	struct screen *screen; /* a page to show text in, or NULL */
	/* Terminals, or -1; taken, whatever the result.  That of the virtio
	 * console waits for viocon_new(). */
	int console[VM_TTYS];
	const struct machine_ops *ops;
	void *arg;
};

/*
 * The chips; with firmware, all of the guest's memory.  0 or -errno.
 */
int machine_new(struct machine **, const struct machine_conf *);
/* Main thread, when no vCPU runs any more. */
void machine_free(struct machine *);

/* Without firmware: the tables that it would have left in the guest's memory,
 * ACPI's from *rsdp on, and SMBIOS's.  0 or -errno. */
int machine_tables(struct machine *, struct gpa *rsdp);
/* With firmware, before its boot order: a copy of the floppy disk's image.
 * 0 or -errno. */
int machine_floppy(struct machine *, const uint8_t *image, uint32_t len);
/* With firmware, when the devices are there: what it may boot.  0 or -errno. */
int machine_boot_order(struct machine *, enum vm_bootdev);

/* With firmware: the BIOS of the video card.  0 or -errno. */
int machine_video_bios(struct machine *, const void *rom, uint32_t len);
/* ... and what its first network interface has; its bytes stay the caller's. */
int machine_net_rom(struct machine *, uint8_t *rom, uint32_t len);

/* What the guest changed of the flash since the last call, from *off on:
 * copied to the same place in p, which is as long.  How much, 0: nothing. */
uint32_t machine_flash_take(struct machine *, uint8_t *p, uint32_t *off);

/* For the device models, while the machine is being made. */
struct pci *machine_pci(struct machine *);
struct virtio_host *machine_virtio(struct machine *);
struct console *machine_console(struct machine *, enum vm_tty); /* or NULL */
void machine_lock(void *machine);
void machine_unlock(void *machine);

/* The vCPU threads.  data: count items of size bytes, host order. */
void machine_pio(struct machine *, uint16_t port, unsigned size, uint32_t count,
    bool write, void *data);
void machine_mmio(struct machine *, uint64_t addr, unsigned size, bool write,
    uint8_t data[8]);
void machine_eoi(struct machine *, uint8_t vector);
/* Is the 8259's INTR asserted?  Without the lock. */
bool machine_extint(const struct machine *);
/* The vector, or -EAGAIN when INTR was withdrawn. */
int machine_extint_ack(struct machine *);

/* The main thread. */
void machine_power_button(struct machine *);
/* It goes on from a state that is older: its generation is another. */
void machine_new_generation(struct machine *);
/* Keys of the keyboard: SCREEN_KEY_*. */
void machine_keys(struct machine *, const uint32_t *key, uint32_t n);
/* Its time stands still, and goes on where it stood.  No vCPU runs. */
void machine_pause(struct machine *);
void machine_resume(struct machine *);
/* Console output that is still in the batch. */
void machine_flush(struct machine *);

/* With the lock held: drive the line of a GSI (vmd/DESIGN.md). */
void machine_set_gsi(void *machine, unsigned gsi, bool level);
/* All chips of a machine without firmware and screen, while it is paused. */
struct state;
void machine_state(struct machine *, struct state *);

#endif
