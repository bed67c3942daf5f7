/* SPDX-License-Identifier: ISC */
/*
 * The block device as the main thread sees it: see vioblk.h.
 */
#include <sys/eventfd.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_ring.h>

#include "vioblk_impl.h"

static uint64_t
offered(const struct vioblk *v)
{
	uint64_t f = 1ULL << VIRTIO_BLK_F_SEG_MAX |
	    1ULL << VIRTIO_BLK_F_BLK_SIZE | 1ULL << VIRTIO_BLK_F_FLUSH |
	    1ULL << VIRTIO_BLK_F_TOPOLOGY | 1ULL << VIRTIO_BLK_F_MQ |
	    1ULL << VIRTIO_RING_F_INDIRECT_DESC |
	    1ULL << VIRTIO_RING_F_EVENT_IDX;

	/* CONFIG_WCE is not offered: the transport keeps the configuration
	 * and does not pass writes on. */
	if (v->conf.readonly)
		return f | 1ULL << VIRTIO_BLK_F_RO;
	if (disk_can_discard(v->disk))
		f |= 1ULL << VIRTIO_BLK_F_DISCARD;
	return f | 1ULL << VIRTIO_BLK_F_WRITE_ZEROES;
}

/* "Device configuration layout".  Little-endian, like the host. */
static void
fill_config(struct vioblk *v)
{
	struct virtio_blk_config *c = &v->config;
	uint32_t block = disk_block(v->disk), exp = 0;

	/* Larger hints (a file system's own extents) help no guest. */
	while (exp < 3 && (uint32_t)DISK_SECTOR << exp < block)
		exp++;
	c->capacity = v->sectors;
	c->seg_max = VIOBLK_SEG_MAX;
	c->blk_size = DISK_SECTOR;
	c->physical_block_exp = (uint8_t)exp;
	c->min_io_size = (uint16_t)(1U << exp);
	c->wce = 1;
	c->num_queues = (uint16_t)v->nqueues;
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
		error = vioblk_queue_init(&v->queue[i], v, i);
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
	v->mem.fd = v->report = -1;
	sem_init(&v->bound, 0, 0);
	error = disk_open_chain(&v->disk, images, n, conf->readonly, why);
	if (error != 0)
		goto free_it;
	why_set(why, 0, "cannot make the device");
	v->sectors = disk_size(v->disk) / DISK_SECTOR;
	v->report = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = v->report == -1 ? -errno : make_queues(v);
	if (error != 0)
		goto free_it;
	v->offered = offered(v);
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
		vioblk_queue_stop(&v->queue[i]);
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
	free(v->queue);
	gmem_destroy(&v->mem);
	disk_close(v->disk);
	if (v->report != -1)
		close(v->report);
	sem_destroy(&v->bound);
	free(v);
}

uint64_t
vioblk_features(const struct vioblk *v)
{
	return v->offered;
}

unsigned
vioblk_nqueues(const struct vioblk *v)
{
	return v->nqueues;
}

const void *
vioblk_config(const struct vioblk *v, size_t *len)
{
	/* Secure erase is not offered, so its fields do not exist. */
	*len = offsetof(struct virtio_blk_config, max_secure_erase_sectors);
	return &v->config;
}

int
vioblk_set_memory(struct vioblk *v, int memfd, uint64_t size)
{
	if (v->mem.fd != -1) {
		close(memfd);
		return -EEXIST;
	}
	return gmem_attach(&v->mem, memfd, size);
}

int
vioblk_set_fd(struct vioblk *v, unsigned queue, bool call, int fd)
{
	int *to;

	if (queue >= v->nqueues) {
		close(fd);
		return -ERANGE;
	}
	to = call ? &v->queue[queue].call : &v->queue[queue].kick;
	if (*to != -1) {
		close(fd);
		return -EEXIST;
	}
	*to = fd;
	return 0;
}

int
vioblk_threads(struct vioblk *v)
{
	unsigned i;
	int error;

	if (v->mem.fd == -1)
		return -EBADF;
	for (i = 0; i < v->nqueues; i++)
		if (v->queue[i].kick == -1 || v->queue[i].call == -1)
			return -EBADF;
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

static void
news(struct vioblk *v)
{
	const uint64_t one = 1;

	(void)!write(v->report, &one, sizeof(one));
}

/* All rings are checked before any queue runs. */
static int
check_rings(struct vioblk *v, const struct virtio_ring *r, unsigned n)
{
	bool event = (v->features & 1ULL << VIRTIO_RING_F_EVENT_IDX) != 0;
	unsigned i;
	int error;

	for (i = 0; i < n; i++) {
		if (r[i].size == 0)
			continue;
		if (r[i].size > VIOBLK_QUEUE_SIZE)
			return -EINVAL;
		error = virtq_init(&v->queue[i].vq, &v->mem, r[i].size,
		    r[i].desc, r[i].avail, r[i].used, event);
		if (error != 0)
			return error;
	}
	return 0;
}

int
vioblk_start(struct vioblk *v, uint64_t features, const struct virtio_ring *r,
    unsigned n)
{
	const uint64_t flush = 1ULL << VIRTIO_BLK_F_FLUSH;
	unsigned i;
	int error;

	if (v->started || v->resetting)
		return -EBUSY;
	if (n > v->nqueues)
		return -ERANGE;
	v->started = true;
	v->reported = false;
	v->start_error = NULL;
	v->features = features & v->offered;
	/* "Device Operation": without flushes a completed write is stable. */
	v->durable = (v->features & flush) == 0;
	error = check_rings(v, r, n);
	if (error != 0) {
		v->start_error = error == -EFAULT
		    ? "virtqueue outside of guest memory"
		    : "invalid virtqueue size or alignment";
		news(v);
		return 0;
	}
	for (i = 0; i < n; i++)
		if (r[i].size != 0)
			vioblk_queue_want(&v->queue[i], VIOBLK_Q_RUN);
	return 0;
}

int
vioblk_reset(struct vioblk *v)
{
	unsigned i;

	if (v->resetting)
		return -EBUSY;
	v->resetting = true;
	v->start_error = NULL;
	for (i = 0; i < v->nqueues; i++)
		vioblk_queue_want(&v->queue[i], VIOBLK_Q_IDLE);
	news(v);
	return 0;
}

int
vioblk_report_fd(const struct vioblk *v)
{
	return v->report;
}

static const char *
broken(struct vioblk *v)
{
	const char *why = v->start_error, *w;
	unsigned i;

	v->start_error = NULL;
	for (i = 0; i < v->nqueues; i++) {
		w = __atomic_exchange_n(
		    &v->queue[i].broken, NULL, __ATOMIC_ACQUIRE);
		if (why == NULL)
			why = w;
	}
	return why;
}

static bool
all_settled(const struct vioblk *v)
{
	unsigned i;

	for (i = 0; i < v->nqueues; i++)
		if (!vioblk_queue_settled(&v->queue[i]))
			return false;
	return true;
}

unsigned
vioblk_report(struct vioblk *v, const char **why)
{
	unsigned mask = 0;
	const char *w;
	uint64_t n;

	(void)!read(v->report, &n, sizeof(n));
	w = broken(v);
	/* A device that is being reset cannot need a reset. */
	if (w != NULL && !v->reported && !v->resetting) {
		v->reported = true;
		*why = w;
		mask |= VIOBLK_BROKEN;
	}
	if (v->resetting && all_settled(v)) {
		v->resetting = v->started = false;
		(void)broken(v); /* of the past */
		mask |= VIOBLK_RESET_DONE;
	}
	return mask;
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
		s.kicks += q->kicks;
		s.interrupts += q->interrupts;
		s.syscalls += q->syscalls;
	}
	*out = s;
}
