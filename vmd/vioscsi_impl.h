/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIOSCSI_IMPL_H
#define VMD_VIOSCSI_IMPL_H

/*
 * Between the parts of the SCSI host: vioscsi_dev.c (device, main thread),
 * vioscsi_queue.c (the thread, requests), vioscsi_ctrl.c (control and event
 * queues).
 */
#include <pthread.h>

#include <linux/virtio_scsi.h>

#include <assert.h>

#include "cdrom.h"
#include "log.h"
#include "vioscsi.h"
#include "virtq.h"

/* "Device Layout": the queues. */
enum { VIOSCSI_CONTROL, VIOSCSI_EVENT, VIOSCSI_REQUEST, VIOSCSI_QUEUES };

/* Both headers of a request, and its data. */
#define VIOSCSI_CHAIN_MAX VIOSCSI_QUEUE_SIZE
#define VIOSCSI_SEG_MAX	  (VIOSCSI_CHAIN_MAX - 2)

/* Media events of the control queue's notifications, MMC's class 4. */
#define VIOSCSI_AN_MEDIA (1U << 4)

struct vioscsi {
	struct vdev vdev;
	struct vdev_queue queue[VIOSCSI_QUEUES];
	struct virtio_scsi_config config;
	pthread_mutex_t lock; /* (l) */
	struct cdrom drive; /* (l) */
	int medium; /* (l) -1: none */
	bool news; /* (l) a media event for subscribers */
	bool kept; /* (l) the next two are to be taken over */
	uint32_t kept_subscribed; /* (l) */
	bool kept_missed; /* (l) */
	/* The queues' thread: */
	struct iovec iov[VIOSCSI_CHAIN_MAX]; /* the chain at hand */
	struct iovec data[VIOSCSI_CHAIN_MAX]; /* behind the response */
	uint32_t subscribed; /* notifications */
	bool missed; /* one was lost */
	uint64_t kicks[VIOSCSI_QUEUES], interrupts[VIOSCSI_QUEUES];
	struct ctl_counters stats; /* of requests */
	struct log_rate rate_io;
};

static_assert(
    sizeof(struct virtio_scsi_config) == 36, "\"Device configuration layout\"");
static_assert(sizeof(struct virtio_scsi_cmd_req) == 19 + 32, "request");
static_assert(sizeof(struct virtio_scsi_cmd_resp) == 12 + 96, "response");

/* vioscsi_queue.c */
void *vioscsi_run(void *queue);
/* All requests that are there, at most a ring full of them. */
void vioscsi_requests(struct vioscsi *);
/* The next chain of a queue; false: none, or broken. */
bool vioscsi_pop(struct vioscsi *, unsigned queue, struct virtq_chain *);
/* iov_give(), and the pages are marked as written. */
bool vioscsi_give(const struct vioscsi *, struct iovec **, unsigned *n,
    const void *src, size_t len);
/* Which unit an address means; false: no such target. */
bool vioscsi_unit(const uint8_t lun[8], enum cdrom_lun *);

/* vioscsi_ctrl.c */
void vioscsi_control(struct vioscsi *);
void vioscsi_events(struct vioscsi *);

#endif
