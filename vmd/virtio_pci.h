/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIRTIO_PCI_H
#define VMD_VIRTIO_PCI_H

/*
 * The virtio 1.2 PCI transport ("Virtio Over PCI Bus"): capabilities, common,
 * ISR, device and notify structures, MSI-X, and as a transitional device the
 * registers that came before those.  It owns status, features and ring
 * addresses; it never touches a ring.  A device model behind it is a
 * struct virtio_ops: viornd in this process, vioblk by a channel.
 *
 * Notify lives in an I/O BAR (a port ioeventfd needs no instruction decode),
 * the rest in a memory BAR.
 *
 * All functions are called with the machine lock (m) held, unless said.
 *
 * Invariants
 *  1. Size, addresses and enable of a queue are writable only while the queue
 *     is disabled and DRIVER_OK is not set; later writes are ignored.
 *  2. Status only moves forward as the specification allows; a bad step is
 *     refused (FEATURES_OK stays clear) or ignored.
 *  3. Reset completes (status reads 0) only after the device let go of
 *     guest memory.
 */
#include <stdbool.h>
#include <stdint.h>
#include "pci.h"
#include "gmem.h"

struct virtio_host;
struct state;

#define VIRTIO_QUEUES_MAX 16
#define VIRTIO_CONFIG_MAX 256 /* bytes of device-specific configuration */

struct virtio_ring {
	uint16_t size; /* 0: queue not enabled */
	struct gpa desc, avail, used;
};

struct virtio_dev; /* opaque; virtio_pci.c */

struct virtio_ops {
	/* DRIVER_OK: rings as programmed. */
	void (*start)(struct virtio_dev *, uint64_t features,
	    const struct virtio_ring *, unsigned nqueues);
	/* Stop; call virtio_reset_done() now or later. */
	void (*reset)(struct virtio_dev *);
	/* A kick that did not come by ioeventfd (optional; without it such a
	 * kick signals the queue's kick descriptor). */
	void (*kick)(struct virtio_dev *, unsigned queue);
	/* The driver writes a byte of the device's configuration (optional:
	 * then no byte can be).  True: it has that value until a reset. */
	bool (*config)(struct virtio_dev *, unsigned off, uint8_t val);
};

struct virtio_conf {
	const char *name; /* "vioblk0"; not copied */
	uint16_t type; /* virtio device id: 2 block, 4 entropy */
	uint32_t class; /* PCI class: base << 16 | sub << 8 | prog-if */
	uint64_t features; /* offered, VERSION_1 added by the transport */
	unsigned nqueues;
	uint16_t queue_size; /* maximum, power of two */
	const uint8_t *config; /* copied */
	unsigned config_len;
	const struct virtio_ops *ops;
	void *arg;
};

/* host outlives the device.  NULL with errno. */
struct virtio_dev *
virtio_pci_new(struct pci *, struct virtio_host *, const struct virtio_conf *);
/* Main thread, without the lock, once no vCPU runs. */
void virtio_pci_free(struct virtio_dev *);
void *virtio_arg(struct virtio_dev *);
/* Descriptors of a queue, owned by the transport; dup them to pass on. */
int virtio_kick_fd(struct virtio_dev *, unsigned queue);
int virtio_call_fd(struct virtio_dev *, unsigned queue);
/* The answer to ops->reset; ignored when no reset is under way. */
void virtio_reset_done(struct virtio_dev *);
/* Sets DEVICE_NEEDS_RESET and raises a configuration interrupt.  Ignored
 * unless the device is running. */
void virtio_needs_reset(struct virtio_dev *, const char *why);
/* Bytes of the configuration are others from now on; the driver is told. */
void
virtio_configure(struct virtio_dev *, unsigned off, const void *, unsigned len);
/*
 * The function's state, in the section at hand.  A device that was running is
 * started again with virtio_resume(): its ops->start() then finds that
 * virtio_resuming(), which means rings that were in use.  Its queues are kicked
 * and their interrupts raised once, as whoever waits for either cannot know.
 */
void virtio_state(struct virtio_dev *, struct state *);
void virtio_resume(struct virtio_dev *);
bool virtio_resuming(const struct virtio_dev *);
uint8_t virtio_config_byte(const struct virtio_dev *, unsigned off);
/* DRIVER_OK is set, no reset is under way or needed. */
bool virtio_running(const struct virtio_dev *);

#endif
