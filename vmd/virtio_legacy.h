/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIRTIO_LEGACY_H
#define VMD_VIRTIO_LEGACY_H

/*
 * The registers of drivers from before virtio 1.0 (virtio 1.2, "Legacy
 * Interfaces: A Note on PCI Device Layout"), over the same state as those of
 * virtio_common.h.  A driver that uses them does not accept VERSION_1, which
 * is how a device knows it.
 *
 * Such a driver gives one page number per queue, of which size and the three
 * addresses follow; there is no FEATURES_OK; and a reset is over when the
 * write that asks for it is, which is the caller's to see to.
 */
#include <stdint.h>
#include "virtio_common.h"

/* Where the device's own configuration begins, without and with MSI-X. */
#define VIRTIO_LEGACY_CONFIG	  20
#define VIRTIO_LEGACY_CONFIG_MSIX 24

/* Offsets below VIRTIO_LEGACY_CONFIG_MSIX; the ISR and the notification are
 * the caller's.  Machine lock. */
uint64_t
virtio_legacy_read(const struct virtio_common *, unsigned off, unsigned size);
void virtio_legacy_write(
    struct virtio_common *, unsigned off, unsigned size, uint64_t val);
/*
 * As DRIVER_OK; ignored when it is not its time.  Also at a first kick, as
 * there are drivers that use a device before they say that they are ready.
 */
void virtio_legacy_start(struct virtio_common *);

#endif
