/* SPDX-License-Identifier: ISC */
/*
 * The SCSI host as the main thread sees it: see vioscsi.h.
 */
#include <errno.h>
#include <stdlib.h>
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

int
vioscsi_medium(struct vioscsi *v, int fd, uint64_t bytes, bool force)
{
	const uint64_t one = 1;
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
	/* Fails only when the counter is full, which wakes as well. */
	(void)!write(v->queue[VIOSCSI_REQUEST].wake, &one, sizeof(one));
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
