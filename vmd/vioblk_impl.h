/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIOBLK_IMPL_H
#define VMD_VIOBLK_IMPL_H

/*
 * Between the parts of the block device: vioblk_dev.c (device, main thread),
 * vioblk_queue.c (queue threads), vioblk_req.c (requests).
 */
#include <pthread.h>
#include <semaphore.h>

#include <linux/virtio_blk.h>

#include <assert.h>

#include "batch.h"
#include "disk.h"
#include "log.h"
#include "mirror.h"
#include "vioblk.h"
#include "limit.h"
#include "virtq.h"

/* "seg_max": data segments, so that header and status still fit a chain. */
#define VIOBLK_SEG_MAX	 (VIOBLK_QUEUE_SIZE - 2)
#define VIOBLK_CHAIN_MAX (VIOBLK_SEG_MAX + 2)
/* Segments that fit the request itself; more take a vector from a pool. */
#define VIOBLK_IOV_SMALL 8
/* Ranges in one discard or write-zeroes request. */
#define VIOBLK_RANGES 8
/* Sectors in one range: 2 GiB less a page. */
#define VIOBLK_RANGE_MAX ((1U << 22) - 8)

/* One request in flight. */
struct vioblk_slot {
	struct disk_req disk;
	struct vioblk_queue *q;
	struct vioblk_slot *next; /* on the free list, or held */
	uint8_t *status; /* in guest memory */
	uint64_t sector; /* for log lines */
	uint32_t type;
	uint32_t written; /* used length when it succeeds */
	uint16_t head;
	uint8_t range, nranges;
	uint16_t nin; /* buffers that are read into */
	struct iovec *big; /* from the pool, or NULL */
	union {
		struct iovec iov[VIOBLK_IOV_SMALL];
		struct virtio_blk_discard_write_zeroes ranges[VIOBLK_RANGES];
	};
};

struct vioblk_queue {
	struct vdev_queue v; /* what changes hands: vdev.h */
	struct vioblk *dev;
	int bind_error;
	struct aio *aio;
	struct vioblk_stats stats;
	struct batch batch; /* answers to an interrupt */
	uint64_t hold_ns; /* an interrupt waits so long for one request */
	uint64_t held_since; /* ns, 0: no interrupt is held back */
	bool alone; /* it has one processor, which may be the driver's */
	struct vioblk_slot *slots, *free;
	unsigned nfree;
	struct iovec *pool; /* VIOBLK_QUEUE_SIZE vectors of VIOBLK_CHAIN_MAX */
	struct iovec **pool_free;
	unsigned npool_free;
	struct iovec *scratch; /* the chain being read */
	struct log_rate rate_io, rate_range;
	/* Requests over the disk's limits, in order. */
	int timer; /* timerfd, -1: none */
	struct vioblk_slot *held, **held_tail;
};

/* A request of mirror.h's; its own until it is answered. */
struct vioblk_job {
	struct disk_req disk;
	struct vioblk *dev;
	struct vioblk_job *next; /* (l) to do, or done */
	struct mirror_msg msg; /* ... and then the answer */
	struct iovec iov;
	uint8_t *buf; /* MIRROR_PIECE */
	bool used; /* main thread */
};

/* vioblk_mirror.c: (l) its lock; (q) the first queue's thread; else the main
 * thread. */
struct vioblk_mirror {
	pthread_mutex_t lock;
	struct vioblk_job *todo, **todo_tail, *done, **done_tail; /* (l) */
	struct vioblk_job job[MIRROR_SLOTS], *told;
	enum mirror_do mode; /* FROM, TO, or END */
	uint8_t *buf; /* atomic: once there, all is */
	bool marking; /* atomic */
	struct blkmap map;
	uint64_t cursor; /* (q) */
	uint32_t pass; /* (q) */
};

struct vioblk {
	struct vdev vdev;
	struct disk *disk;
	struct why why; /* why it could not be read at a start */
	struct vioblk_conf conf;
	struct virtio_blk_config config;
	uint64_t sectors;
	struct limit limit;
	unsigned nqueues;
	struct vioblk_queue *queue;
	sem_t bound; /* a queue thread is ready */
	struct vioblk_mirror mirror;
};

static_assert(sizeof(struct virtio_blk_discard_write_zeroes) == 16,
    "\"Device Operation\"");
static_assert(
    offsetof(struct virtio_blk_config, max_secure_erase_sectors) == 60,
    "\"Device configuration layout\"");

/* vioblk_queue.c */
int vioblk_queue_init(struct vioblk_queue *, struct vioblk *);
int vioblk_queue_thread(struct vioblk_queue *);
void vioblk_queue_free(struct vioblk_queue *);
/* Of the thread, or of a test in its place: what a running queue does without
 * waiting.  Events of aio_run(). */
int vioblk_queue_round(struct vioblk_queue *);
struct vioblk_slot *vioblk_slot_get(struct vioblk_queue *);
void vioblk_slot_put(struct vioblk_slot *);

/* vioblk_mirror.c */
int vioblk_mirror_init(struct vioblk_mirror *);
void vioblk_mirror_free(struct vioblk_mirror *);
/* Of a queue's thread: begin what there is. */
void vioblk_mirror_run(struct vioblk_queue *);
/* Of any: a request that changes the disk is done. */
void vioblk_mirror_wrote(struct vioblk *, uint64_t off, uint64_t len);

/* vioblk_dev.c: is each write durable before it is done, from now on? */
bool vioblk_durable(const struct vioblk *);

/* vioblk_req.c: the clock of limits and waits. */
uint64_t vioblk_now_ns(void);
/* Requests that were held back: start those whose time has come; or forget
 * them, as the device is reset. */
void vioblk_req_release(struct vioblk_queue *);
void vioblk_req_forget(struct vioblk_queue *);
/* Takes the chain; false when it is not a request at all. */
bool vioblk_req_start(struct vioblk_queue *, const struct virtq_chain *);

#endif
