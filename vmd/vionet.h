/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIONET_H
#define VMD_VIONET_H

/*
 * The virtio network device: virtio 1.2, "Network Device".  The device
 * proper, without channels: vionet.c (the process) and the tests drive it.
 *
 * Frames go between guest memory and the link without a copy, with the
 * virtio-net header in front of each: a tap opened with IFF_VNET_HDR takes and
 * gives the same header, so that checksums and segmentation are left to
 * whoever can do them for free.
 *
 * Threads: as vdev.h says, one per receive and transmit queue; at times that of
 * the first serves the other one of its pair, too (vionet_tx.c).  The control
 * queue is served by the main thread, which also owns the filter.
 *
 * Invariants
 *  1. Those of vdev.h.
 *  2. With locked, no frame leaves with another source address than mac: what
 *     is checked is a copy of the frame's head, and the copy is what leaves.
 *  3. No allocation, no open and no new thread after vionet_threads().
 */
#include <net/ethernet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "local.h"
#include "vdev.h"
#include "vmconf.h"

#define VIONET_PAIRS_MAX  ((VIRTIO_QUEUES_MAX - 1) / 2)
#define VIONET_QUEUE_SIZE 256

struct event_base;
struct vionet;

/*
 * The host's end: one descriptor per pair of queues, non-blocking.  Of a tap
 * read(2) and write(2) move one frame with its header.  A stream socket has
 * frames without it, each after its length (32 bits, network order): that is
 * what passt(1) speaks.
 */
struct vionet_link_ops {
	/* What may be received: TUN_F_*.  0 or -errno. */
	int (*offload)(int fd, unsigned flags);
	/* Bytes of the header from here on. */
	int (*header)(int fd, size_t len);
	/* Take part in the distribution of frames, or not any more. */
	int (*attach)(int fd, bool on);
};

struct vionet_conf {
	uint8_t mac[ETH_ALEN];
	bool locked; /* mac is the only source, and cannot be changed */
	uint16_t mtu; /* told to the guest; 0: nothing said */
	unsigned offload; /* TUN_F_* that the link can do */
	unsigned npairs;
	int fd[VIONET_PAIRS_MAX]; /* taken */
	const struct vionet_link_ops *ops;
	bool stream; /* the one descriptor is a stream socket */
	bool serve; /* a local interface: answer by the rules of local */
	struct local_conf local;
	bool unplugged; /* at first: vionet_link() */
	struct vm_limit bandwidth; /* bytes, each way; all queues together */
};

struct vionet_stats {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
	uint64_t rx_dropped; /* too large, or not for this guest */
	uint64_t tx_dropped; /* refused by the link */
	uint64_t tx_forged; /* locked, with another source address */
	uint64_t served; /* answered here, without the link */
	uint64_t kicks, interrupts, syscalls;
};

/* 0, or -errno with *why a static text; the descriptors are taken. */
int vionet_new(struct vionet **, const struct vionet_conf *, const char **why);
/* Ends the threads; for good. */
void vionet_stop(struct vionet *);
/* Stops as well.  NULL is fine. */
void vionet_free(struct vionet *);

/* Set-up by descriptors and report: vdev.h. */
struct vdev *vionet_vdev(struct vionet *);
/* The device-specific configuration. */
const void *vionet_config(const struct vionet *, size_t *len);
/* Threads and the control queue's event; all descriptors must be there.
 * 0 or -errno. */
int vionet_threads(struct vionet *, struct event_base *);
/* As vdev_start() and vdev_reset(). */
int vionet_start(struct vionet *, uint64_t features, const struct virtio_ring *,
    unsigned nrings);
/* For a start that goes on where another device stopped: devproc.h. */
size_t vionet_keep(struct vionet *, void *, size_t max);
int vionet_kept(struct vionet *, const void *, size_t len);
int vionet_reset(struct vionet *);

/*
 * Main thread: plugged in or not.  Unplugged, the guest gets no frames, its
 * own are dropped, and its driver knows; VDEV_CONFIGURED follows.  After
 * vionet_threads().
 */
void vionet_link(struct vionet *, bool up);

/* Sum over the queues; exact while they are idle. */
void vionet_stats(const struct vionet *, struct vionet_stats *);

#endif
