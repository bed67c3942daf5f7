/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIRTIO_CHAN_H
#define VMD_VIRTIO_CHAN_H

/*
 * The front end of a device that lives in a process of its own, behind a
 * channel (msg.h, "vm <-> device process").  The process at the other end is
 * not trusted: what it says is checked, and all that it can do is to break
 * its own device.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include "msg.h"

struct gmem;
struct mirror_msg;
struct state;
struct pager;
struct pci;
struct virtio_chan;
struct virtio_host;

struct virtio_chan_conf {
	struct pci *pci;
	struct virtio_host *host;
	const struct gmem *mem;
	struct pager *pager; /* of memory that comes out of a file, or NULL */
	const char *name; /* "vioblk0"; not copied */
	uint16_t type; /* virtio device id */
	uint32_t class; /* PCI class */
	/* The device needs a reset.  One clean line, at most 127 bytes; main
	 * thread, without the machine lock. */
	void (*broken)(void *arg, const char *why);
	/* The process is gone: no reset will help.  As broken; once. */
	void (*dead)(void *arg, const char *why);
	/* The answer to virtio_chan_drain(); false: the process is gone. */
	void (*drained)(void *arg, bool ok);
	/* The answer to virtio_chan_snapshot(): 0, or -errno with a clean
	 * line; -EPIPE: the process is gone. */
	void (*snapped)(void *arg, int error, const char *why);
	/* To virtio_chan_mirror(), which may be NULL then; NULL: there will be
	 * no answer, as the process is gone. */
	void (*mirrored)(void *arg, const struct mirror_msg *);
	void *arg;
};

/*
 * Before the seal, without the machine lock: takes chanfd, waits (with a time limit) for the device's
 * DEV_HELLO, makes the PCI function, hands memory and eventfds over and waits
 * for DEV_SEALED.  0 or -errno with a clear line in why.
 */
int virtio_chan_new(struct virtio_chan **, int chanfd,
    const struct virtio_chan_conf *, char *why, size_t whylen);
/*
 * While no vCPU runs: let the device end what it has begun and stop, with its
 * rings as they are.  0: there is nothing to wait for; 1: conf.drained follows; -EBUSY: it
 * cannot be now.
 */
int virtio_chan_drain(struct virtio_chan *);
/* A drained device, or one whose state was read, goes on. */
void virtio_chan_resume(struct virtio_chan *);
/* Of a drained device, in the section at hand: write it, or read it. */
void virtio_chan_state(struct virtio_chan *, struct state *);
/*
 * A step of a snapshot of a disk that is drained or was not started; none is
 * under way.  0: conf.snapped follows; or -errno.
 */
int virtio_chan_snapshot(struct virtio_chan *, enum snap_step, enum snap_what,
    const char *tag, struct timespec);
/* For a while; conf.snapped was called for what was under way, or -errno. */
int virtio_chan_snap_wait(struct virtio_chan *, int ms);
/*
 * Of a disk: a request of mirror.h, which conf.mirrored answers.  0; -EAGAIN:
 * there are too many; -EPIPE: the process is gone.
 */
int virtio_chan_mirror(struct virtio_chan *, const struct mirror_msg *);
/* Waits until it said something.  0 or -errno. */
int virtio_chan_wait(struct virtio_chan *, int timeout_ms);
uint64_t virtio_chan_disk_size(const struct virtio_chan *); /* bytes */
/* Main thread, without the lock, once no vCPU runs. */
void virtio_chan_free(struct virtio_chan *);

#endif
