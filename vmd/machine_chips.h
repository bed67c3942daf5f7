/* SPDX-License-Identifier: ISC */
#ifndef VMD_MACHINE_CHIPS_H
#define VMD_MACHINE_CHIPS_H

/*
 * What machine.c and machine_ports.c share: the machine's chips and buses.
 * (m): with the lock held.
 */
#include <pthread.h>
#include <stdatomic.h>
#include "acpi.h"
#include "bus.h"
#include "chipset.h"
#include "i8042.h"
#include "i8254.h"
#include "i8259.h"
#include "ioapic.h"
#include "machine.h"
#include "mc146818.h"
#include "ns16550.h"
#include "pci.h"
#include "pvpanic.h"
#include "virtio_host.h"

#define MACHINE_COMS	  2
#define MACHINE_WINDOWS	  13
#define MACHINE_VGA_PORT  0x3b0
#define MACHINE_VGA_PORTS 0x30

struct machine_window;
struct machine_slot { /* argument of a byte-wide window */
	struct machine *m;
	const struct machine_window *w;
};

struct machine {
	pthread_mutex_t lock;
	struct machine_conf conf;
	uint64_t start; /* (m) CLOCK_MONOTONIC when made, pauses left out */
	uint64_t paused; /* (m) CLOCK_MONOTONIC when time stood still, or 0 */
	int timerfd;
	struct event *timer;
	uint64_t armed; /* (m) */
	atomic_bool extint; /* written under (m) */
	struct bus pio, mmio; /* (m), as all chips */
	struct i8259 pic;
	struct i8254 pit;
	struct ioapic ioapic;
	struct mc146818 rtc;
	struct com {
		struct ns16550 uart;
		struct console **console; /* nobody listens: NULL in there */
	} com[MACHINE_COMS];
	struct i8042 kbd;
	struct pvpanic panic;
	struct vga *vga; /* or NULL */
	struct acpi_pm pm;
	struct pci pci;
	struct chipset chipset; /* with firmware only */
	struct console *console[VM_TTYS]; /* or NULL */
	struct virtio_host virtio;
	struct machine_slot slot[MACHINE_WINDOWS];
};

/* The byte-wide chips on the ports, and the IOAPIC.  0 or -errno. */
int machine_windows(struct machine *);
extern const struct bus_ops machine_pm_ops, machine_vga_ops;

#endif
