/* SPDX-License-Identifier: ISC */
#ifndef VMD_DEVPROC_H
#define VMD_DEVPROC_H

/*
 * A device process: NAME/vioblkN, NAME/vionetN.
 *
 * Set-up by two channels as msg.h says: the parent tells what the device is,
 * the vm process gives memory and eventfds.  The process confines itself
 * before it makes the device, then makes its threads, seals itself and tells
 * both.  From then on the
 * channels carry start, reset and their answers only; the data path is in
 * the queue threads (vdev.h).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "chan.h"
#include "sandbox.h"
#include "vdev.h"

#define DEVPROC_IOCTLS 16

struct devproc;
struct event_base;

/* arg is that of devproc_main(). */
struct devproc_ops {
	/* What the parent may say; handlers get a struct devproc. */
	const struct chan_row *rows;
	size_t nrows;
	bool (*complete)(void *arg); /* all of that is there */
	uint32_t ready, error; /* our messages to the parent */
	const char *promises; /* with their reasons at the definition */

	/* Make the device; *why says what is wrong. */
	int (*make)(void *arg, struct vdev **, const char **why);
	const void *(*config)(void *arg, size_t *len);
	/* After confinement: threads, events; the ioctls that stay. */
	int (*threads)(void *arg, struct event_base *);
	size_t (*ioctls)(void *arg, struct sandbox_ioctl *); /* or NULL */
	/* As vdev_start() and vdev_reset(). */
	int (*start)(void *arg, uint64_t features, const struct virtio_ring *,
	    unsigned nrings);
	int (*reset)(void *arg);
	/* The driver wrote a byte of the configuration (optional). */
	void (*config_byte)(void *arg, uint32_t off, uint8_t val);
	void (*stop)(void *arg); /* for good: threads end */
};

void *devproc_arg(struct devproc *);
/* channel: where the parent's handlers put the device channel.  The exit
 * status. */
int devproc_main(const struct devproc_ops *, void *arg, int *channel);

#endif
