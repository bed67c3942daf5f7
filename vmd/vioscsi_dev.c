/* SPDX-License-Identifier: ISC */
/*
 * The SCSI host as the main thread sees it: see vioscsi.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_ring.h>

#include "fd.h"
#include "vioscsi_impl.h"

static const struct virtio_scsi_config config = {
	.num_queues = 1,
	.seg_max = VIOSCSI_SEG_MAX,
	.max_sectors = 0xffff, /* of 512 bytes, in one request */
	.cmd_per_lun = VIOSCSI_QUEUE_SIZE,
	.event_info_size = sizeof(struct virtio_scsi_event),
	.sense_size = VIRTIO_SCSI_SENSE_DEFAULT_SIZE,
	.cdb_size = VIRTIO_SCSI_CDB_DEFAULT_SIZE,
};

int
vioscsi_new(struct vioscsi **out)
{
	struct vioscsi *v = calloc(1, sizeof(*v));
	unsigned i;
	int error;

	if (v == NULL)
		return -ENOMEM;
	v->medium = -1;
	v->config = config;
	v->rate_io = (struct log_rate)LOG_RATE(5, 10);
	cdrom_init(&v->drive, 0);
	pthread_mutex_init(&v->lock, NULL);
	error = vdev_init(&v->vdev, VIOSCSI_QUEUE_SIZE);
	for (i = 0; error == 0 && i < VIOSCSI_QUEUES; i++)
		error = vdev_add(&v->vdev, &v->queue[i]);
	if (error != 0) {
		vioscsi_free(v);
		return error;
	}
	v->vdev.offered = 1ULL << VIRTIO_RING_F_INDIRECT_DESC |
	    1ULL << VIRTIO_RING_F_EVENT_IDX;
	*out = v;
	return 0;
}

void
vioscsi_stop(struct vioscsi *v)
{
	vdev_stop(&v->queue[VIOSCSI_REQUEST]);
}

void
vioscsi_free(struct vioscsi *v)
{
	if (v == NULL)
		return;
	vioscsi_stop(v);
	vdev_destroy(&v->vdev);
	fd_close(&v->medium);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

/* Fails only when the counter is full, which wakes as well. */
static void
wake(struct vioscsi *v)
{
	const uint64_t one = 1;

	(void)!write(v->queue[VIOSCSI_REQUEST].wake, &one, sizeof(one));
}

int
vioscsi_medium(struct vioscsi *v, int fd, uint64_t bytes, bool force)
{
	int error;

	pthread_mutex_lock(&v->lock);
	error = cdrom_change(&v->drive, bytes / CDROM_BLOCK, force);
	if (error == 0) {
		fd_close(&v->medium);
		v->medium = fd_take(&fd);
	}
	v->news = true;
	pthread_mutex_unlock(&v->lock);
	fd_close(&fd);
	wake(v);
	return error;
}

struct vdev *
vioscsi_vdev(struct vioscsi *v)
{
	return &v->vdev;
}

const void *
vioscsi_config(const struct vioscsi *v, size_t *len)
{
	*len = sizeof(v->config);
	return &v->config;
}

int
vioscsi_thread(struct vioscsi *v)
{
	int error = vdev_complete(&v->vdev);

	if (error != 0)
		return error;
	return vdev_thread(&v->queue[VIOSCSI_REQUEST], "queues", vioscsi_run);
}

int
vioscsi_start(struct vioscsi *v, uint64_t features, const struct virtio_ring *r,
    unsigned n)
{
	int error = vdev_start(&v->vdev, features, r, n);

	if (error == 0 && vdev_ok(&v->vdev))
		vdev_want(&v->queue[VIOSCSI_REQUEST], VDEV_RUN);
	return error;
}

struct kept {
	uint64_t blocks;
	uint32_t open, locked, attention, event;
	uint32_t subscribed, missed;
};

size_t
vioscsi_keep(struct vioscsi *v, void *bytes, size_t max)
{
	struct kept k;

	if (max < sizeof(k))
		return 0;
	pthread_mutex_lock(&v->lock);
	k = (struct kept){
		.blocks = v->drive.blocks,
		.open = v->drive.open,
		.locked = v->drive.locked,
		.attention = v->drive.attention,
		.event = v->drive.event,
		.subscribed = v->subscribed,
		.missed = v->missed || v->news,
	};
	pthread_mutex_unlock(&v->lock);
	memcpy(bytes, &k, sizeof(k));
	return sizeof(k);
}

/* The bytes went through the vm process.  An event that was not delivered is
 * one that was missed. */
int
vioscsi_kept(struct vioscsi *v, const void *bytes, size_t len)
{
	struct cdrom was;
	struct kept k;

	if (len != sizeof(k))
		return -EBADMSG;
	memcpy(&k, bytes, sizeof(k));
	if (k.open > 1 || k.locked > 1 || k.missed > 1 ||
	    k.attention > UINT16_MAX || k.event > CDROM_EV_REMOVAL ||
	    (k.subscribed & ~VIOSCSI_AN_MEDIA) != 0)
		return -EBADMSG;
	was = (struct cdrom){
		.blocks = k.blocks,
		.open = k.open,
		.locked = k.locked,
		.attention = (uint16_t)k.attention,
		.event = (enum cdrom_event)k.event,
	};
	pthread_mutex_lock(&v->lock);
	cdrom_restore(&v->drive, &was);
	v->news = k.blocks != v->drive.blocks;
	v->kept_subscribed = k.subscribed;
	v->kept_missed = k.missed;
	v->kept = true;
	pthread_mutex_unlock(&v->lock);
	wake(v);
	return 0;
}

void
vioscsi_stats(const struct vioscsi *v, struct ctl_counters *out)
{
	unsigned i;

	*out = v->stats;
	for (i = 0; i < VIOSCSI_QUEUES; i++) {
		out->kicks += v->kicks[i];
		out->interrupts += v->interrupts[i];
	}
}
