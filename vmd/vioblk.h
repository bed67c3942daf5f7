/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIOBLK_H
#define VMD_VIOBLK_H

/*
 * The virtio block device: virtio 1.2, "Block Device".  The device proper,
 * without channels: vioblk.c (the process) and the tests drive it.
 *
 * Threads: everything below is called by the main thread.  Each queue has a
 * thread of its own, which is the only one that touches the queue's rings and
 * requests while the queue runs.
 *
 * Invariants
 *  1. Those of vdev.h.
 *  2. Each popped chain is pushed exactly once, unless the device is reset
 *     or the ring is broken.
 *  3. No allocation, no open and no new thread after vioblk_threads(), but
 *     memory for the tables of an image, and to copy it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "aio.h"
#include "disk.h"
#include "gmem.h"
#include "mirror.h"
#include "virtio_pci.h"
#include "vdev.h"
#include "vmconf.h"

#define VIOBLK_QUEUES_MAX 8
#define VIOBLK_QUEUE_SIZE 256
#define VIOBLK_SERIAL_MAX 20 /* bytes, "Device Operation", GET_ID */

struct vioblk;

struct vioblk_conf {
	bool readonly;
	bool later; /* its image is another's until the first start */
	unsigned vcpus;
	char serial[VIOBLK_SERIAL_MAX + 1];
	struct vm_limit iops, bandwidth;
	enum aio_engine engine;
};

struct vioblk_stats {
	uint64_t reads, writes, flushes, others; /* requests */
	uint64_t read_bytes, write_bytes;
	uint64_t errors; /* requests not answered with OK */
	uint64_t answered;
	uint64_t kicks, interrupts;
	uint64_t waits; /* of interrupts, for requests that may come */
	uint64_t syscalls; /* by the queue's thread, waits' not counted */
};

/* Takes the images.  0, or -errno with *why. */
int vioblk_new(struct vioblk **, const struct vioblk_conf *,
    const struct disk_layer *, unsigned n, struct why *why);
/* Ends the threads after what is in flight; for good. */
void vioblk_stop(struct vioblk *);
/* While no queue runs: writes what is kept in memory of an image and forgets
 * it; the next start reads it.  0 or -errno. */
int vioblk_store(struct vioblk *);
/* For snapshots, while it is stored. */
struct disk *vioblk_disk(struct vioblk *);
/* Stops, and writes what is left of an image.  NULL is fine. */
void vioblk_free(struct vioblk *);

/* Set-up by descriptors, reset and report: vdev.h. */
struct vdev *vioblk_vdev(struct vioblk *);
/* The device-specific configuration. */
const void *vioblk_config(const struct vioblk *, size_t *len);
/* Engines and threads; all descriptors must be there.  0 or -errno. */
int vioblk_threads(struct vioblk *);
const char *vioblk_engine(const struct vioblk *);
/* As vdev_start(). */
int vioblk_start(struct vioblk *, uint64_t features, const struct virtio_ring *,
    unsigned nrings);

/*
 * Requests of mirror.h: 0, or -errno: the caller broke the order, or there are
 * too many.  When the report descriptor becomes readable there may be answers,
 * whose bytes stay until the next is taken.
 */
int vioblk_mirror(struct vioblk *, const struct mirror_msg *);
bool vioblk_mirrored(struct vioblk *, struct mirror_msg *);
/* Is its image being copied? */
bool vioblk_mirroring(const struct vioblk *);

/* Sum over the queues; exact while they are idle. */
void vioblk_stats(const struct vioblk *, struct vioblk_stats *);

#endif
