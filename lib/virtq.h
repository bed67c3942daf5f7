/* SPDX-License-Identifier: ISC */
#ifndef LIB_VIRTQ_H
#define LIB_VIRTQ_H

/*
 * The device side of a split virtqueue: virtio 1.2, "Split Virtqueues".
 * virtq_pop() is the only reader of guest rings: it copies each descriptor
 * once, checks the copy and hands out host pointers.
 *
 * Invariants
 *  1. Nothing is trusted: indices, lengths and addresses come from the guest
 *     and may change under us; every value is read once.
 *  2. A chain has at most size descriptors over the direct table, or at most
 *     one indirect table of at most size entries (never nested, never
 *     chained with further direct descriptors).
 *  3. A bad ring yields -EPROTO once; the queue is then broken until reset
 *     and the caller tells the guest by DEVICE_NEEDS_RESET.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "gmem.h"

#define VIRTQ_SIZE_MAX 1024

struct virtq {
	const struct gmem *mem;
	uint16_t size; /* power of two, <= VIRTQ_SIZE_MAX */
	bool event_idx; /* VIRTIO_F_EVENT_IDX negotiated */
	bool broken;
	uint16_t last_avail; /* next available index to take */
	uint16_t used_idx; /* next used index to publish */
	uint16_t
	    signalled_used; /* used_idx at the last decision to interrupt */
	/* host pointers, checked at virtq_init() for the full table length */
	void *desc;
	void *avail;
	void *used;
};

/* One request: buffers in descriptor order, readable ones first. */
struct virtq_chain {
	uint16_t head; /* give back to virtq_push() */
	unsigned nread; /* iov[0 .. nread) the device reads */
	unsigned nwrite; /* iov[nread .. nread + nwrite) the device writes */
	uint64_t read_len, write_len; /* bytes, each at most 2^32 - 1 */
	struct iovec *iov; /* caller's array */
	unsigned iov_max; /* its length; an oversize chain is -EPROTO */
};

/* Ring addresses as programmed by the driver.  0, or -EINVAL / -EFAULT. */
int virtq_init(struct virtq *, const struct gmem *, uint16_t size,
    struct gpa desc, struct gpa avail, struct gpa used, bool event_idx);
/*
 * After virtq_init(), for a ring that was in use: go on behind what was given
 * back.  Chains that were taken and not given back are taken again, so all
 * before the first of them have to have been given back.
 */
void virtq_resume(struct virtq *);
/* 1: chain filled; 0: empty; -EPROTO: broken (see invariant 3). Zero-length
 * buffers are dropped from iov. */
int virtq_pop(struct virtq *, struct virtq_chain *);
/* Of a chain's writable buffers, iov, the first len bytes were written: before
 * the push. */
void virtq_wrote(
    const struct virtq *, const struct iovec *iov, unsigned n, uint64_t len);
/* Publish a used element.  len: bytes written to the writable part. */
void virtq_push(struct virtq *, uint16_t head, uint32_t len);
/* The same in two steps, for elements that have to appear all at once. */
void virtq_stage(struct virtq *, uint16_t head, uint32_t len);
void virtq_publish(struct virtq *);
/* Is there something for virtq_pop()? */
bool virtq_pending(const struct virtq *);
/* After pushing: must the driver be interrupted? */
bool virtq_want_interrupt(struct virtq *);
/* Elements pushed since it was asked last; 0 when it would say no.  Decides
 * nothing. */
unsigned virtq_unsignalled(const struct virtq *);
/* Notification suppression.  enable returns true when more buffers came in
 * meanwhile, so that the caller has to go on instead of sleeping. */
void virtq_disable_kick(struct virtq *);
bool virtq_enable_kick(struct virtq *);

#endif
