/* SPDX-License-Identifier: ISC */
/*
 * The common part of devices in processes of their own: see vdev.h.
 */
#include <sys/eventfd.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "fd.h"
#include "thread.h"
#include "vdev.h"

#define NEXT 4 /* one command number, above the state */

int
vdev_init(struct vdev *v, uint16_t queue_size)
{
	memset(v, 0, sizeof(*v));
	v->mem.fd = -1;
	v->queue_size = queue_size;
	v->report = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return v->report == -1 ? -errno : 0;
}

void
vdev_destroy(struct vdev *v)
{
	struct vdev_queue *q;
	unsigned i;

	for (i = 0; i < v->nqueues; i++) {
		q = v->queue[i];
		vdev_stop(q);
		fd_close(&q->kick);
		fd_close(&q->call);
		fd_close(&q->wake);
	}
	v->nqueues = 0;
	gmem_destroy(&v->mem);
	page_detach((void *)v->config);
	page_detach(v->stats);
	v->config = NULL;
	v->stats = NULL;
	fd_close(&v->report);
}

int
vdev_add(struct vdev *v, struct vdev_queue *q)
{
	if (v->nqueues == VIRTIO_QUEUES_MAX)
		return -ENOSPC;
	q->dev = v;
	q->index = v->nqueues;
	q->kick = q->call = -1;
	q->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->wake == -1)
		return -errno;
	v->queue[v->nqueues++] = q;
	return 0;
}

int
vdev_set_memory(struct vdev *v, int memfd, uint64_t size)
{
	if (v->mem.fd != -1) {
		close(memfd);
		return -EEXIST;
	}
	return gmem_attach(&v->mem, memfd, size);
}

int
vdev_set_fd(struct vdev *v, unsigned queue, bool call, int fd)
{
	int *to;

	if (queue >= v->nqueues) {
		close(fd);
		return -ERANGE;
	}
	to = call ? &v->queue[queue]->call : &v->queue[queue]->kick;
	if (*to != -1) {
		close(fd);
		return -EEXIST;
	}
	*to = fd;
	return 0;
}

int
vdev_set_config(struct vdev *v, int fd)
{
	void *page;
	int error;

	if (v->config != NULL) {
		close(fd);
		return -EEXIST;
	}
	error = page_attach(fd, false, &page);
	if (error == 0)
		v->config = page;
	return error;
}

uint8_t
vdev_config_byte(const struct vdev *v, size_t off, uint8_t dflt)
{
	if (v->config == NULL)
		return dflt;
	return __atomic_load_n(v->config + off, __ATOMIC_RELAXED);
}

int
vdev_complete(const struct vdev *v)
{
	unsigned i;

	if (v->mem.fd == -1)
		return -EBADF;
	for (i = 0; i < v->nqueues; i++)
		if (v->queue[i]->kick == -1 || v->queue[i]->call == -1)
			return -EBADF;
	return 0;
}

int
vdev_thread(struct vdev_queue *q, const char *name, void *(*run)(void *))
{
	int error = thread_new(&q->thread, name, run, q);

	q->threaded = error == 0;
	return error;
}

void
vdev_stop(struct vdev_queue *q)
{
	if (!q->threaded)
		return;
	vdev_want(q, VDEV_QUIT);
	pthread_join(q->thread, NULL);
	q->threaded = false;
}

void
vdev_want(struct vdev_queue *q, enum vdev_state s)
{
	const uint64_t one = 1;
	uint32_t number = q->want - VDEV_STATE(q->want) + NEXT;

	__atomic_store_n(&q->want, number | s, __ATOMIC_RELEASE);
	/* Fails only when the counter is full, which wakes as well. */
	(void)!write(q->wake, &one, sizeof(one));
}

bool
vdev_settled(const struct vdev_queue *q)
{
	/* A queue without a thread is the main thread's own. */
	return !q->threaded ||
	    __atomic_load_n(&q->is, __ATOMIC_ACQUIRE) == q->want;
}

uint32_t
vdev_wanted(const struct vdev_queue *q)
{
	return __atomic_load_n(&q->want, __ATOMIC_ACQUIRE);
}

void
vdev_news(struct vdev *v)
{
	const uint64_t one = 1;

	(void)!write(v->report, &one, sizeof(one));
}

void
vdev_settle(struct vdev_queue *q, uint32_t want)
{
	__atomic_store_n(&q->is, want, __ATOMIC_RELEASE);
	vdev_news(q->dev);
}

void
vdev_loop(struct vdev_queue *q, const struct vdev_loop *loop)
{
	struct pollfd p = { q->wake, POLLIN, 0 };
	uint32_t want;
	uint64_t n;

	for (;;) {
		want = vdev_wanted(q);
		if (q->is != want && VDEV_STATE(want) == VDEV_RUN) {
			if (loop->begin != NULL)
				loop->begin(
				    q, q->generation != q->dev->generation);
			q->generation = q->dev->generation;
		}
		if (q->is != want && VDEV_STATE(want) == VDEV_IDLE &&
		    loop->idle != NULL)
			loop->idle(q);
		if (q->is != want)
			vdev_settle(q, want);
		switch (VDEV_STATE(want)) {
		case VDEV_RUN:
			loop->serve(q);
			break;
		case VDEV_IDLE:
			if (poll(&p, 1, -1) == 1)
				(void)!read(q->wake, &n, sizeof(n));
			break;
		case VDEV_QUIT:
			return;
		}
	}
}

void
vdev_count(const struct vdev_queue *q, const struct ctl_counters *n)
{
	if (q->dev->stats != NULL)
		devstat_put(&q->dev->stats->queue[q->index], n);
}

void
vdev_break(struct vdev_queue *q, const char *why)
{
	q->vq.broken = true;
	__atomic_store_n(&q->broken, why, __ATOMIC_RELEASE);
	vdev_news(q->dev);
}

/* All rings are checked before any queue runs. */
static int
check_rings(struct vdev *v, const struct virtio_ring *r, unsigned n)
{
	bool event = (v->features & 1ULL << VIRTIO_RING_F_EVENT_IDX) != 0;
	unsigned i;
	int error;

	for (i = 0; i < n; i++) {
		if (r[i].size == 0)
			continue;
		if (r[i].size > v->queue_size)
			return -EINVAL;
		error = virtq_init(&v->queue[i]->vq, &v->mem, r[i].size,
		    r[i].desc, r[i].avail, r[i].used, event);
		if (error != 0)
			return error;
		if (v->resume)
			virtq_resume(&v->queue[i]->vq);
	}
	return 0;
}

void
vdev_refuse(struct vdev *v, const char *why)
{
	v->start_error = why;
	vdev_news(v);
}

int
vdev_start(
    struct vdev *v, uint64_t features, const struct virtio_ring *r, unsigned n)
{
	unsigned i;
	int error;

	if (v->started || v->resetting)
		return -EBUSY;
	if (n > v->nqueues)
		return -ERANGE;
	v->started = true;
	v->generation++;
	v->reported = false;
	v->start_error = NULL;
	v->features = features & (v->offered | 1ULL << VIRTIO_F_VERSION_1);
	for (i = 0; i < v->nqueues; i++)
		v->queue[i]->vq = (struct virtq){ .broken = true };
	error = check_rings(v, r, n);
	if (error != 0)
		vdev_refuse(v,
		    error == -EFAULT ? "virtqueue outside of guest memory"
				     : "invalid virtqueue size or alignment");
	return 0;
}

bool
vdev_ok(const struct vdev *v)
{
	return v->started && !v->resetting && v->start_error == NULL;
}

int
vdev_reset(struct vdev *v)
{
	unsigned i;

	if (v->resetting)
		return -EBUSY;
	v->resetting = true;
	v->start_error = NULL;
	for (i = 0; i < v->nqueues; i++)
		vdev_want(v->queue[i], VDEV_IDLE);
	vdev_news(v);
	return 0;
}

void
vdev_configured(struct vdev *v)
{
	v->configured = true;
	vdev_news(v);
}

static const char *
broken(struct vdev *v)
{
	const char *why = v->start_error, *w;
	unsigned i;

	v->start_error = NULL;
	for (i = 0; i < v->nqueues; i++) {
		w = __atomic_exchange_n(
		    &v->queue[i]->broken, NULL, __ATOMIC_ACQUIRE);
		if (why == NULL)
			why = w;
	}
	return why;
}

static bool
all_settled(const struct vdev *v)
{
	unsigned i;

	for (i = 0; i < v->nqueues; i++)
		if (!vdev_settled(v->queue[i]))
			return false;
	return true;
}

unsigned
vdev_report(struct vdev *v, const char **why)
{
	unsigned mask = 0;
	const char *w;
	uint64_t n;

	(void)!read(v->report, &n, sizeof(n));
	if (v->configured)
		mask |= VDEV_CONFIGURED;
	v->configured = false;
	w = broken(v);
	/* A device that is being reset cannot need a reset. */
	if (w != NULL && !v->reported && !v->resetting) {
		v->reported = true;
		*why = w;
		mask |= VDEV_BROKEN;
	}
	if (v->resetting && all_settled(v)) {
		v->resetting = v->started = false;
		__atomic_store_n(&v->draining, false, __ATOMIC_RELAXED);
		(void)broken(v); /* of the past */
		mask |= VDEV_RESET_DONE;
	}
	return mask;
}
