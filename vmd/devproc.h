/* SPDX-License-Identifier: ISC */
#ifndef VMD_DEVPROC_H
#define VMD_DEVPROC_H

/*
 * A device process: NAME/vioblkN, NAME/vionetN, NAME/vioscsi0.
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
#include <time.h>
#include "chan.h"
#include "msg.h"
#include "sandbox.h"
#include "vdev.h"
#include "why.h"

#define DEVPROC_IOCTLS 24

struct devproc;
struct event_base;
struct mirror_msg;

/* arg is that of devproc_main(). */
struct devproc_ops {
	/* What the parent may say; handlers get a struct devproc. */
	const struct chan_row *rows;
	size_t nrows;
	bool (*complete)(void *arg); /* all of that is there */
	uint32_t ready, error; /* our messages to the parent */
	const char *promises; /* with their reasons at the definition */
	bool keep_fds; /* the parent passes descriptors for ever */

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
	/* What a device remembers beside its rings (or both NULL): before it
	 * is drained; after such a start.  Lengths, 0 or -errno. */
	size_t (*keep)(void *arg, void *bytes, size_t max);
	int (*kept)(void *arg, const void *bytes, size_t len);
	/* Nothing is under way any more; or NULL.  0 or -errno. */
	int (*drained)(void *arg);
	/* A step of a snapshot of the image; or NULL.  0 or -errno with *why. */
	int (*snapshot)(void *arg, enum snap_step, enum snap_what,
	    const char *tag, struct timespec, struct why *);
	/* Requests of mirror.h and their answers; or both NULL. */
	int (*mirror)(void *arg, const struct mirror_msg *);
	bool (*mirrored)(void *arg, struct mirror_msg *);
	void (*stop)(void *arg); /* for good: threads end */
};

void *devproc_arg(struct devproc *);
/* An answer to the parent, "u32 errno", from a handler.  0 or -errno. */
int
devproc_report(struct devproc *, uint32_t type, uint32_t id, uint32_t error);
/* A row of each device's own table. */
int devproc_stats(void *, uint32_t id, int fd, struct ibuf *);
#define DEVPROC_ROW                                            \
	{                                                      \
		DEV_STATS, "DEV_STATS", CHAN_FD, devproc_stats \
	}
/* channel: where the parent's handlers put the device channel.  The exit
 * status. */
int devproc_main(const struct devproc_ops *, void *arg, int *channel);

#endif
