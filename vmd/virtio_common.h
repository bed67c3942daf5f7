/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIRTIO_COMMON_H
#define VMD_VIRTIO_COMMON_H

/*
 * The common configuration structure of a virtio PCI function: status
 * machine, feature negotiation, queue registers (virtio 1.2, "Common
 * configuration structure layout", "Device Status Field", "Device
 * Initialization").  The invariants of virtio_pci.h are kept here.
 */
#include <stdbool.h>
#include <stdint.h>
#include "virtio_irq.h"
#include "virtio_pci.h"

#define VIRTIO_COMMON_LEN 0x40 /* the structure, padded */

struct virtio_common_queue {
	uint16_t size;
	bool enabled;
	uint64_t desc, avail, used;
};

struct virtio_common_ops {
	/* DRIVER_OK was accepted. */
	void (*start)(void *arg);
	/* Reset was requested: everything stops.  With started, the device
	 * has to let go of memory before virtio_common_reset_done(). */
	void (*reset)(void *arg, bool started);
};

/* All members: (m) machine lock. */
struct virtio_common {
	uint64_t offered, accepted; /* feature bits */
	uint32_t device_select, driver_select;
	uint8_t status;
	bool resetting;
	uint8_t generation; /* of the device-specific configuration */
	uint16_t queue_select;
	unsigned nqueues;
	uint16_t queue_max;
	struct virtio_common_queue queue[VIRTIO_QUEUES_MAX];
	struct virtio_irq *irq; /* has the vectors */
	const struct virtio_common_ops *ops;
	void *arg;
};

/* 0, or -EINVAL for limits that the structure cannot express. */
int virtio_common_init(struct virtio_common *, uint64_t offered,
    unsigned nqueues, uint16_t queue_max, struct virtio_irq *,
    const struct virtio_common_ops *, void *arg);
uint64_t
virtio_common_read(const struct virtio_common *, uint64_t off, unsigned size);
void virtio_common_write(
    struct virtio_common *, uint64_t off, unsigned size, uint64_t val);
struct state;
void virtio_common_state(struct virtio_common *, struct state *);
/* The driver asks for a reset; its end comes now, or with: */
void virtio_common_reset(struct virtio_common *);
void virtio_common_reset_done(struct virtio_common *);
/* Sets DEVICE_NEEDS_RESET; false when it is set, or the device not started. */
bool virtio_common_needs_reset(struct virtio_common *);
/* Little-endian numbers in an image of registers. */
void virtio_image_put(uint8_t *img, unsigned off, unsigned size, uint64_t val);
uint64_t virtio_image_get(const uint8_t *img, unsigned off, unsigned size);
/* Between DRIVER_OK and reset, needing one or not. */
bool virtio_common_started(const struct virtio_common *);
bool virtio_common_running(const struct virtio_common *);

#endif
