/* SPDX-License-Identifier: ISC */
#ifndef VMD_VDEV_H
#define VMD_VDEV_H

/*
 * What the devices in processes of their own have in common: guest memory,
 * queues with their eventfds, a thread per queue, start and reset, the news
 * for the main thread.  A device embeds a struct vdev, and a struct
 * vdev_queue in each of its queues.
 *
 * Threads: the main thread calls everything but what is marked (q), which the
 * queue's thread calls.  The main thread says what a queue shall be
 * (vdev_want()), its thread says when it is (vdev_settle()); vq and what the
 * device keeps per queue change hands with the two.
 *
 * Invariants
 *  1. Guest memory is touched only between vdev_start() and VDEV_RESET_DONE.
 *  2. VDEV_BROKEN comes at most once between start and reset.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "devstat.h"
#include "gmem.h"
#include "virtio_pci.h"
#include "virtq.h"

struct vdev;

/* A command is one of these and a number above it, so that an answer tells
 * which command it answers. */
enum vdev_state { VDEV_IDLE, VDEV_RUN, VDEV_QUIT };
#define VDEV_STATE(x) ((enum vdev_state)((x)&3))

struct vdev_queue {
	struct vdev *dev;
	unsigned index;
	int kick, call, wake; /* eventfds */
	pthread_t thread;
	bool threaded;
	/* Main thread writes, queue thread reads, and the reverse; atomic. */
	uint32_t want, is;
	const char *broken; /* reason; taken by the main thread */
	struct virtq vq;
	uint32_t generation; /* of the rings that its thread knows */
};

struct vdev {
	struct gmem mem;
	unsigned nqueues;
	uint16_t queue_size; /* maximum */
	struct vdev_queue *queue[VIRTIO_QUEUES_MAX];
	int report; /* eventfd: a queue has news */
	uint64_t offered, features;
	bool started, resetting, reported;
	bool resume; /* the rings of the next start were in use */
	bool draining; /* atomic: the reset lets requests end, and loses none */
	bool configured; /* anew, and not reported yet */
	const char *start_error;
	/*
	 * The configuration as the driver wrote it, shared with the vm
	 * process: a byte is there before the driver's next instruction.
	 * NULL: nobody writes any.
	 */
	const uint8_t *config;
	struct devstat_page *stats; /* shared with the parent, or NULL */
	uint32_t generation; /* one more with each start; read while running */
};

/* 0 or -errno.  Both may be destroyed in any state, once initialized. */
int vdev_init(struct vdev *, uint16_t queue_size);
void vdev_destroy(struct vdev *);
/* The next queue; it lives as long as the device. */
int vdev_add(struct vdev *, struct vdev_queue *);

/* Set-up; each takes the descriptor.  0 or -errno. */
int vdev_set_memory(struct vdev *, int memfd, uint64_t size);
int vdev_set_fd(struct vdev *, unsigned queue, bool call, int fd);
int vdev_set_config(struct vdev *, int page);
/* A byte of the configuration now; dflt: as it is when nobody writes. */
uint8_t vdev_config_byte(const struct vdev *, size_t off, uint8_t dflt);
/* 0, or -EBADF when memory or a descriptor is missing. */
int vdev_complete(const struct vdev *);
/* A thread that gets the queue as its argument; see also vdev_loop(). */
int vdev_thread(struct vdev_queue *, const char *name, void *(*run)(void *));
/* Ends it after what is in flight. */
void vdev_stop(struct vdev_queue *);

/*
 * DRIVER_OK: takes the features that were offered, and the rings.  0, or
 * -errno: the caller broke the order of calls.  Rings that cannot be used are
 * reported as VDEV_BROKEN; vdev_ok() says so.
 */
int vdev_start(struct vdev *, uint64_t features, const struct virtio_ring *,
    unsigned nrings);
bool vdev_ok(const struct vdev *);
/* The same for what a device itself finds out; the text stays. */
void vdev_refuse(struct vdev *, const char *why);
/* 0, or -errno as above.  VDEV_RESET_DONE follows. */
int vdev_reset(struct vdev *);

/* The device's configuration is another one: VDEV_CONFIGURED follows. */
void vdev_configured(struct vdev *);

/* When the report descriptor becomes readable: what happened, as a mask.
 * *why is set with VDEV_BROKEN (static text). */
enum {
	VDEV_RESET_DONE = 1 << 0,
	VDEV_BROKEN = 1 << 1,
	VDEV_CONFIGURED = 1 << 2, /* before the others */
};
unsigned vdev_report(struct vdev *, const char **why);

void vdev_want(struct vdev_queue *, enum vdev_state);
/* Did the thread do what was wanted last? */
bool vdev_settled(const struct vdev_queue *);
uint32_t vdev_wanted(const struct vdev_queue *); /* (q) */
void vdev_settle(struct vdev_queue *, uint32_t want); /* (q) */
/*
 * (q) The whole life of a thread that has nothing in flight between two
 * rounds: serve() while the queue is to run, begin() before the first round;
 * fresh: the device was started since the last.  idle() before the main thread
 * learns that the queue does not run any more.  begin and idle may be NULL.
 */
struct vdev_loop {
	void (*begin)(struct vdev_queue *, bool fresh);
	void (*serve)(struct vdev_queue *);
	void (*idle)(struct vdev_queue *);
};
void vdev_loop(struct vdev_queue *, const struct vdev_loop *);
/* (q) What the queue counted so far, for whoever reads the counters. */
void vdev_count(const struct vdev_queue *, const struct ctl_counters *);
/* (q), or the main thread for a queue that it serves itself. */
void vdev_break(struct vdev_queue *, const char *why);
/* (q) Tell the main thread that there is something to report. */
void vdev_news(struct vdev *);

#endif
