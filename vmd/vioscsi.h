/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIOSCSI_H
#define VMD_VIOSCSI_H

/*
 * The virtio SCSI host with a CD-ROM drive, target 0, unit 0: virtio 1.2,
 * "SCSI Host Device".  The device proper, without channels: vioscsi.c (the
 * process) and the tests drive it.
 *
 * Threads: everything below is called by the main thread.  One thread serves
 * all three queues, one request after the other: when it answers a task
 * management function, no request is in flight.
 * (l) the drive lock: the drive's state and the medium.  The queues' thread
 *     has it while it does a request, the main thread to change the medium.
 *
 * Invariants
 *  1. Those of vdev.h.
 *  2. Each popped chain is pushed exactly once, unless the ring is broken.
 *  3. Guest memory is written within the chain's writable part only, the
 *     medium never.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ctl.h"
#include "vdev.h"
#include "virtio_pci.h"

#define VIOSCSI_QUEUE_SIZE 128

struct vioscsi;

/* 0 or -errno.  The drive is empty. */
int vioscsi_new(struct vioscsi **);
/* Ends the thread; for good. */
void vioscsi_stop(struct vioscsi *);
/* Stops as well.  NULL is fine. */
void vioscsi_free(struct vioscsi *);

/*
 * Takes fd, -1: none, as the medium of so many bytes.  -EBUSY when the guest
 * keeps the one that is there; force: it does not matter.
 */
int vioscsi_medium(struct vioscsi *, int fd, uint64_t bytes, bool force);

/* Set-up by descriptors, reset and report: vdev.h. */
struct vdev *vioscsi_vdev(struct vioscsi *);
const void *vioscsi_config(const struct vioscsi *, size_t *len);
/* The thread; all descriptors must be there.  0 or -errno. */
int vioscsi_thread(struct vioscsi *);
/* As vdev_start(). */
int vioscsi_start(struct vioscsi *, uint64_t features,
    const struct virtio_ring *, unsigned nrings);

/* What the guest has told the drive and it has not told the guest, for a start
 * that goes on where another device stopped: as devproc.h has it. */
size_t vioscsi_keep(struct vioscsi *, void *bytes, size_t max);
int vioscsi_kept(struct vioscsi *, const void *bytes, size_t len);

/* Exact while the queues are idle. */
void vioscsi_stats(const struct vioscsi *, struct ctl_counters *);

#endif
