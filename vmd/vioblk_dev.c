/* SPDX-License-Identifier: ISC */
/*
 * The block device as the main thread sees it: see vioblk.h.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_ring.h>

#include "vioblk_impl.h"

/* For those who still think in cylinders; nothing depends on it. */
#define HEADS	      16
#define SECTORS	      63
#define CYLINDERS_MAX 65535

static uint64_t
offered(const struct vioblk *v)
{
	uint64_t f = 1ULL << VIRTIO_BLK_F_SEG_MAX |
	    1ULL << VIRTIO_BLK_F_BLK_SIZE | 1ULL << VIRTIO_BLK_F_FLUSH |
	    1ULL << VIRTIO_BLK_F_TOPOLOGY | 1ULL << VIRTIO_BLK_F_MQ |
	    1ULL << VIRTIO_BLK_F_GEOMETRY |
	    1ULL << VIRTIO_RING_F_INDIRECT_DESC |
	    1ULL << VIRTIO_RING_F_EVENT_IDX;

	if (v->conf.readonly)
		return f | 1ULL << VIRTIO_BLK_F_RO;
	f |= 1ULL << VIRTIO_BLK_F_CONFIG_WCE;
	if (disk_can_discard(v->disk))
		f |= 1ULL << VIRTIO_BLK_F_DISCARD;
	return f | 1ULL << VIRTIO_BLK_F_WRITE_ZEROES;
}

/* "Device configuration layout".  Little-endian, like the host. */
static void
fill_config(struct vioblk *v)
{
	struct virtio_blk_config *c = &v->config;
	uint64_t cylinders = v->sectors / (HEADS * SECTORS);
	uint32_t block = disk_block(v->disk), exp = 0;

	/* Larger hints (a file system's own extents) help no guest. */
	while (exp < 3 && (uint32_t)DISK_SECTOR << exp < block)
		exp++;
	c->capacity = v->sectors;
	c->geometry.heads = HEADS;
	c->geometry.sectors = SECTORS;
	c->geometry.cylinders =
	    cylinders < CYLINDERS_MAX ? (uint16_t)cylinders : CYLINDERS_MAX;
	c->seg_max = VIOBLK_SEG_MAX;
	c->blk_size = DISK_SECTOR;
	c->physical_block_exp = (uint8_t)exp;
	c->min_io_size = (uint16_t)(1U << exp);
	c->wce = 1;
	c->num_queues = (uint16_t)v->vdev.nqueues;
	c->max_discard_sectors = VIOBLK_RANGE_MAX;
	c->max_discard_seg = VIOBLK_RANGES;
	c->discard_sector_alignment = 1U << exp;
	c->max_write_zeroes_sectors = VIOBLK_RANGE_MAX;
	c->max_write_zeroes_seg = VIOBLK_RANGES;
	c->write_zeroes_may_unmap = 1;
}

static int
make_queues(struct vioblk *v)
{
	unsigned i, n = v->conf.vcpus;
	int error;

	if (n == 0)
		n = 1;
	if (n > VIOBLK_QUEUES_MAX)
		n = VIOBLK_QUEUES_MAX;
	if (n > disk_threads(v->disk))
		n = disk_threads(v->disk);
	v->queue = calloc(n, sizeof(*v->queue));
	if (v->queue == NULL)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		v->nqueues = i + 1;
		error = vioblk_queue_init(&v->queue[i], v);
		if (error != 0)
			return error;
	}
	return 0;
}

int
vioblk_new(struct vioblk **out, const struct vioblk_conf *conf,
    const struct disk_layer *images, unsigned n, struct why *why)
{
	struct vioblk *v = calloc(1, sizeof(*v));
	int error;

	if (v == NULL) {
		while (n > 0)
			close(images[--n].fd);
		return why_set(why, -ENOMEM, "out of memory");
	}
	v->conf = *conf;
	v->conf.serial[VIOBLK_SERIAL_MAX] = '\0';
	sem_init(&v->bound, 0, 0);
	(void)vioblk_mirror_init(&v->mirror); /* cannot fail: default kind */
	if ((error = vdev_init(&v->vdev, VIOBLK_QUEUE_SIZE)) != 0) {
		while (n > 0)
			close(images[--n].fd);
		why_set(why, error, "cannot make the device");
		goto free_it;
	}
	error = conf->later
	    ? disk_open_later(&v->disk, images, n, conf->readonly, why)
	    : disk_open_chain(&v->disk, images, n, conf->readonly, why);
	if (error != 0)
		goto free_it;
	why_set(why, 0, "cannot make the device");
	v->sectors = disk_size(v->disk) / DISK_SECTOR;
	limit_init(&v->limit, &conf->iops, &conf->bandwidth);
	error = make_queues(v);
	if (error != 0)
		goto free_it;
	v->vdev.offered = offered(v);
	fill_config(v);
	if (disk_cut(v->disk) != 0)
		log_warnx("image is no whole number of sectors: "
			  "last %u bytes not used",
		    disk_cut(v->disk));
	*out = v;
	return 0;
free_it:
	vioblk_free(v);
	return error;
}

void
vioblk_stop(struct vioblk *v)
{
	unsigned i;

	for (i = 0; i < v->nqueues; i++)
		vdev_stop(&v->queue[i].v);
}

void
vioblk_free(struct vioblk *v)
{
	unsigned i;

	if (v == NULL)
		return;
	vioblk_stop(v);
	for (i = 0; i < v->nqueues; i++)
		vioblk_queue_free(&v->queue[i]);
	vdev_destroy(&v->vdev);
	free(v->queue);
	disk_close(v->disk);
	sem_destroy(&v->bound);
	vioblk_mirror_free(&v->mirror);
	free(v);
}

struct vdev *
vioblk_vdev(struct vioblk *v)
{
	return &v->vdev;
}

const void *
vioblk_config(const struct vioblk *v, size_t *len)
{
	/* Secure erase is not offered, so its fields do not exist. */
	*len = offsetof(struct virtio_blk_config, max_secure_erase_sectors);
	return &v->config;
}

int
vioblk_threads(struct vioblk *v)
{
	unsigned i;
	int error;

	error = vdev_complete(&v->vdev);
	if (error != 0)
		return error;
	for (i = 0; i < v->nqueues; i++) {
		error = vioblk_queue_thread(&v->queue[i]);
		if (error != 0)
			return error;
	}
	for (i = 0; i < v->nqueues; i++)
		while (sem_wait(&v->bound) == -1)
			;
	for (i = 0; i < v->nqueues; i++)
		if (v->queue[i].bind_error != 0)
			return v->queue[i].bind_error;
	return 0;
}

const char *
vioblk_engine(const struct vioblk *v)
{
	return aio_name(v->queue[0].aio);
}

/*
 * "Device Operation": without flushes a completed write is stable; with
 * CONFIG_WCE it is what the driver chose.  It chose before it made the request
 * available that is asked for, so that is what counts for it.
 */
bool
vioblk_durable(const struct vioblk *v)
{
	const uint64_t flush = 1ULL << VIRTIO_BLK_F_FLUSH;
	const uint64_t wce = 1ULL << VIRTIO_BLK_F_CONFIG_WCE;
	uint64_t f = v->vdev.features;

	if ((f & wce) == 0)
		return (f & flush) == 0;
	return vdev_config_byte(
		   &v->vdev, offsetof(struct virtio_blk_config, wce), 1) == 0;
}

int
vioblk_start(struct vioblk *v, uint64_t features, const struct virtio_ring *r,
    unsigned n)
{
	unsigned i;
	int error;

	error = vdev_start(&v->vdev, features, r, n);
	if (error != 0 || !vdev_ok(&v->vdev))
		return error;
	if (disk_load(v->disk, &v->why) != 0) {
		vdev_refuse(&v->vdev, v->why.text);
		return 0;
	}
	for (i = 0; i < n; i++)
		if (r[i].size != 0)
			vdev_want(&v->queue[i].v, VDEV_RUN);
	return 0;
}

struct disk *
vioblk_disk(struct vioblk *v)
{
	return v->disk;
}

int
vioblk_store(struct vioblk *v)
{
	return disk_store(v->disk);
}

void
vioblk_stats(const struct vioblk *v, struct vioblk_stats *out)
{
	struct vioblk_stats s = { 0 };
	const struct vioblk_stats *q;
	unsigned i;

	for (i = 0; i < v->nqueues; i++) {
		q = &v->queue[i].stats;
		s.reads += q->reads;
		s.writes += q->writes;
		s.flushes += q->flushes;
		s.others += q->others;
		s.read_bytes += q->read_bytes;
		s.write_bytes += q->write_bytes;
		s.errors += q->errors;
		s.answered += q->answered;
		s.kicks += q->kicks;
		s.interrupts += q->interrupts;
		s.waits += q->waits;
		s.syscalls += q->syscalls;
	}
	*out = s;
}
