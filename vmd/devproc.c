/* SPDX-License-Identifier: ISC */
/*
 * The frame of device processes: see devproc.h.
 */
#include <event2/event.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "devproc.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "mirror.h"
#include "msg.h"
#include "spawn.h"
#include "uffd.h"

/* The slowest step of the peers is a guest memory of many GiB. */
#define SETUP_MS 30000

struct devproc {
	const struct devproc_ops *ops;
	void *arg;
	struct event_base *base;
	struct chan *parent, *vm;
	struct event *report;
	struct vdev *dev;
	void *stats; /* page, until there is a device */
	bool sealed; /* DEV_SEAL was there */
	int lazy; /* UFFD_DEVICE, or -1 */
	/* Its pages come from the vm process as long as that has them; open
	 * here, so that they never come out of nothing: pager.c. */
	int faults;
	bool draining;
	uint8_t keep[DEV_KEPT_MAX]; /* for DEV_DRAINED */
	size_t keep_len;
	bool ended;
};

/* The vm process: msg.h, DEV_REQUESTS. */

static int
dev_mem(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct devproc *p = arg;
	uint64_t size;

	if (p->sealed || ibuf_get_n64(body, &size) == -1) {
		close(fd);
		return -EBADMSG;
	}
	return vdev_set_memory(p->dev, fd, size);
}

static int
dev_lazy(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct devproc *p = arg;

	if (p->sealed || p->lazy != -1) {
		close(fd);
		return -EBADMSG;
	}
	p->lazy = fd;
	return 0;
}

static int
dev_queuefd(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct devproc *p = arg;
	uint32_t queue, call;

	if (p->sealed || ibuf_get_n32(body, &queue) == -1 ||
	    ibuf_get_n32(body, &call) == -1 || call > 1) {
		close(fd);
		return -EBADMSG;
	}
	return vdev_set_fd(p->dev, queue, call == 1, fd);
}

static int
dev_seal(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct devproc *p = arg;

	if (p->sealed)
		return -EBADMSG;
	p->sealed = true;
	return 0;
}

static int
get_ring(struct ibuf *body, struct virtio_ring *r)
{
	uint32_t size;

	if (ibuf_get_n32(body, &size) == -1 ||
	    ibuf_get_n64(body, &r->desc.v) == -1 ||
	    ibuf_get_n64(body, &r->avail.v) == -1 ||
	    ibuf_get_n64(body, &r->used.v) == -1 || size > UINT16_MAX)
		return -EBADMSG;
	r->size = (uint16_t)size;
	return 0;
}

static int
dev_start(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct devproc *p = arg;
	struct virtio_ring ring[VIRTIO_QUEUES_MAX];
	uint64_t features;
	uint8_t kept[DEV_KEPT_MAX];
	uint32_t i, n, resume, len;
	int error;

	if (!p->sealed || ibuf_get_n64(body, &features) == -1 ||
	    ibuf_get_n32(body, &n) == -1 || n > VIRTIO_QUEUES_MAX)
		return -EBADMSG;
	for (i = 0; i < n; i++)
		if (get_ring(body, &ring[i]) != 0)
			return -EBADMSG;
	if (ibuf_get_n32(body, &resume) == -1 || resume > 1 ||
	    ibuf_get_n32(body, &len) == -1 || len > sizeof(kept) ||
	    (len > 0 && ibuf_get(body, kept, len) == -1))
		return -EBADMSG;
	p->dev->resume = resume == 1;
	error = p->ops->start(p->arg, features, ring, n);
	p->dev->resume = false;
	if (error == 0 && resume == 1 && p->ops->kept != NULL)
		error = p->ops->kept(p->arg, kept, len);
	return error;
}

static int
dev_reset(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct devproc *p = arg;

	return p->sealed ? p->ops->reset(p->arg) : -EBADMSG;
}

static int
dev_drain(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct devproc *p = arg;

	if (!p->sealed || p->draining)
		return -EBADMSG;
	p->draining = true;
	p->keep_len = 0;
	if (p->ops->keep != NULL)
		p->keep_len = p->ops->keep(p->arg, p->keep, sizeof(p->keep));
	__atomic_store_n(&p->dev->draining, true, __ATOMIC_RELAXED);
	return p->ops->reset(p->arg);
}

static int
answer_snapshot(struct devproc *p, int error, const struct why *why)
{
	struct ibuf *b = chan_body();

	if (ibuf_add_n32(b, (uint64_t)-error) == -1 ||
	    ctl_put_str(b, error == 0 ? "" : why->text) != 0) {
		ibuf_free(b);
		return -ENOMEM;
	}
	return chan_send(p->vm, DEV_SNAPPED, 0, -1, b);
}

static int
dev_snapshot(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct devproc *p = arg;
	struct why why = { "" };
	char tag[SNAP_TAG_MAX];
	struct timespec now;
	uint32_t step, what, ns;
	uint64_t s;

	if (!p->sealed || p->draining || p->ops->snapshot == NULL ||
	    ibuf_get_n32(body, &step) == -1 || step > SNAP_ABORT ||
	    ibuf_get_n32(body, &what) == -1 || what > SNAP_REVERT ||
	    ctl_get_str(body, tag, sizeof(tag)) != 0 ||
	    ibuf_get_n64(body, &s) == -1 || s > INT64_MAX ||
	    ibuf_get_n32(body, &ns) == -1 || ns > 999999999)
		return -EBADMSG;
	now = (struct timespec){ (time_t)s, (long)ns };
	return answer_snapshot(p,
	    p->ops->snapshot(p->arg, (enum snap_step)step, (enum snap_what)what,
		tag, now, &why),
	    &why);
}

static int
dev_config(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct devproc *p = arg;

	if (p->sealed) {
		close(fd);
		return -EBADMSG;
	}
	return vdev_set_config(p->dev, fd);
}

static int
dev_mirror(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct devproc *p = arg;
	struct mirror_msg m;

	if (!p->sealed || p->ops->mirror == NULL || mirror_get(body, &m) != 0)
		return -EBADMSG;
	return p->ops->mirror(p->arg, &m);
}

static const struct chan_row dev_rows[] = {
	{ DEV_MEM, "DEV_MEM", CHAN_FD, dev_mem },
	{ DEV_QUEUEFD, "DEV_QUEUEFD", CHAN_FD, dev_queuefd },
	{ DEV_SEAL, "DEV_SEAL", CHAN_NOFD, dev_seal },
	{ DEV_START, "DEV_START", CHAN_NOFD, dev_start },
	{ DEV_CONFIG, "DEV_CONFIG", CHAN_FD, dev_config },
	{ DEV_RESET, "DEV_RESET", CHAN_NOFD, dev_reset },
	{ DEV_DRAIN, "DEV_DRAIN", CHAN_NOFD, dev_drain },
	{ DEV_SNAPSHOT, "DEV_SNAPSHOT", CHAN_NOFD, dev_snapshot },
	{ DEV_LAZY, "DEV_LAZY", CHAN_FD, dev_lazy },
	{ DEV_MIRROR, "DEV_MIRROR", CHAN_NOFD, dev_mirror },
};

int
devproc_stats(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct devproc *p = arg;

	if (p->dev != NULL || p->stats != NULL) {
		close(fd);
		return -EBADMSG;
	}
	return page_attach(fd, true, &p->stats);
}

/* One peer gone ends the device: the parent starts it again if need be. */
static void
closed(void *arg, const char *why)
{
	struct devproc *p = arg;

	if (why[0] != '\0')
		log_warnx("channel: %s", why);
	p->ended = true;
	if (p->base != NULL)
		event_base_loopbreak(p->base);
}

static const struct chan_ops vm_ops = {
	.rows = dev_rows,
	.nrows = sizeof(dev_rows) / sizeof(dev_rows[0]),
	.closed = closed,
};

/* Fields that do not fit a message are our own mistake. */
static void
must(int rc)
{
	if (rc != 0)
		fatal("message");
}

static void
send_broken(struct devproc *p, const char *why)
{
	/* A guest can break, reset and break its device for ever. */
	static struct log_rate rate = LOG_RATE(5, 60);
	struct ibuf *b = chan_body();

	log_limited(&rate, "needs reset: %s", why);
	must(ctl_put_str(b, why));
	must(chan_send(p->vm, DEV_BROKEN, 0, -1, b));
}

static void
send_config(struct devproc *p)
{
	struct ibuf *b = chan_body();
	const void *config;
	size_t len;

	config = p->ops->config(p->arg, &len);
	must(ibuf_add(b, config, len));
	must(chan_send(p->vm, DEV_CONFIGURED, 0, -1, b));
}

static void
send_drained(struct devproc *p)
{
	struct ibuf *b = chan_body();
	int error = p->ops->drained != NULL ? p->ops->drained(p->arg) : 0;

	p->draining = false;
	must(ibuf_add_n32(b, (uint64_t)-error));
	must(ibuf_add(b, p->keep, p->keep_len));
	must(chan_send(p->vm, DEV_DRAINED, 0, -1, b));
}

static void
send_mirrored(struct devproc *p)
{
	struct mirror_msg m;
	struct ibuf *b;

	while (p->ops->mirrored != NULL && p->ops->mirrored(p->arg, &m)) {
		b = chan_body();
		must(mirror_put(b, &m));
		must(chan_send(p->vm, DEV_MIRRORED, 0, -1, b));
	}
}

static void
on_report(evutil_socket_t fd, short what, void *arg)
{
	struct devproc *p = arg;
	const char *why;
	unsigned mask = vdev_report(p->dev, &why);

	if (p->ended)
		return;
	send_mirrored(p);
	if ((mask & VDEV_CONFIGURED) != 0)
		send_config(p);
	if ((mask & VDEV_BROKEN) != 0)
		send_broken(p, why);
	if ((mask & VDEV_RESET_DONE) != 0 && p->draining)
		send_drained(p);
	else if ((mask & VDEV_RESET_DONE) != 0)
		must(chan_send(p->vm, DEV_RESET_DONE, 0, -1, NULL));
}

/* Tell the parent why there will be no device. */
static int
give_up(struct devproc *p, int error, const char *why)
{
	struct ibuf *b = chan_body();
	char line[320];

	snprintf(line, sizeof(line), "%s: %s", why, strerror(-error));
	must(ibuf_add_n32(b, (uint64_t)-error));
	must(ctl_put_str(b, line));
	if (chan_send(p->parent, p->ops->error, 0, -1, b) == 0)
		(void)chan_flush(p->parent, SETUP_MS);
	return 1;
}

static int
receive(struct devproc *p, struct chan *c, bool (*complete)(struct devproc *))
{
	int error = 0;

	while (error == 0 && !p->ended && !complete(p))
		error = chan_recv(c, SETUP_MS);
	return p->ended ? -EPIPE : error;
}

static bool
have_conf(struct devproc *p)
{
	return p->ops->complete(p->arg);
}

static bool
have_all(struct devproc *p)
{
	return p->sealed;
}

static void
send_hello(struct devproc *p)
{
	struct ibuf *b = chan_body();
	const void *config;
	size_t len;

	config = p->ops->config(p->arg, &len);
	must(ibuf_add_n64(b, p->dev->offered));
	must(ibuf_add_n32(b, p->dev->nqueues));
	must(ibuf_add_n32(b, p->dev->queue_size));
	must(ibuf_add_n32(b, len));
	must(ibuf_add(b, config, len));
	must(chan_send(p->vm, DEV_HELLO, 0, -1, b));
}

/* Memory that is not there yet.  0 or -errno. */
static int
make_lazy(struct devproc *p)
{
	const struct gmem *mem = &p->dev->mem;
	struct ibuf *b;
	int copy, error;

	if (p->lazy == -1)
		return 0;
	if (mem->fd == -1)
		return -EBADF;
	p->faults = uffd_new(p->lazy);
	fd_close(&p->lazy);
	if (p->faults < 0)
		return p->faults;
	if ((error = uffd_arm(p->faults, mem)) != 0)
		return error;
	if ((copy = fcntl(p->faults, F_DUPFD_CLOEXEC, 0)) == -1)
		return -errno;
	b = chan_body();
	must(ibuf_add_n64(b, (uintptr_t)mem->region[0].host));
	must(chan_send(p->vm, DEV_FAULTS, 0, copy, b));
	return chan_flush(p->vm, SETUP_MS);
}

/* Everything that is received before the seal. */
static int
set_up(struct devproc *p, int *channel)
{
	static const struct sandbox box = {
		.user = "_vmd",
		.nofile = 72, /* three for each of 15 queues, and a tap */
	};
	const char *why;
	int error;

	error = receive(p, p->parent, have_conf);
	if (error != 0)
		return give_up(p, error, "set-up by parent");
	/* Before it looks at an image, which may be anybody's. */
	sandbox_confine(&box);
	error = p->ops->make(p->arg, &p->dev, &why);
	if (error != 0)
		return give_up(p, error, why);
	p->dev->stats = p->stats;
	p->vm = chan_new(NULL, fd_take(channel), &vm_ops, p);
	if (p->vm == NULL)
		return give_up(p, -errno, "device channel");
	send_hello(p);
	error = chan_flush(p->vm, SETUP_MS);
	if (error == 0)
		error = receive(p, p->vm, have_all);
	if (error != 0)
		return give_up(p, error, "set-up by vm");
	error = make_lazy(p);
	return error == 0 ? 0 : give_up(p, error, "memory out of a file");
}

static int
make_events(struct devproc *p)
{
	p->base = event_base_new();
	if (p->base == NULL)
		return -ENOMEM;
	p->report = event_new(
	    p->base, p->dev->report, EV_READ | EV_PERSIST, on_report, p);
	if (p->report == NULL || event_add(p->report, NULL) == -1 ||
	    chan_attach(p->parent, p->base) != 0 ||
	    chan_attach(p->vm, p->base) != 0)
		return -ENOMEM;
	return 0;
}

/* Make the threads, seal. */
static int
seal(struct devproc *p)
{
	struct sandbox_ioctl ioctls[DEVPROC_IOCTLS];
	size_t n = 0;
	int error;

	error = make_events(p);
	if (error == 0)
		error = p->ops->threads(p->arg, p->base);
	if (error != 0)
		return give_up(p, error, "cannot make the queues");
	if (!p->ops->keep_fds)
		chan_forbid_fds(p->parent);
	else
		must(chan_only_receive_fds(p->parent));
	chan_forbid_fds(p->vm);
	if (p->ops->ioctls != NULL)
		n = p->ops->ioctls(p->arg, ioctls);
	sandbox_seal(p->ops->promises, ioctls, n);
	return 0;
}

int
devproc_report(struct devproc *p, uint32_t type, uint32_t id, uint32_t error)
{
	struct ibuf *b = chan_body();

	must(ibuf_add_n32(b, error));
	return chan_send(p->parent, type, id, -1, b);
}

void *
devproc_arg(struct devproc *p)
{
	return p->arg;
}

int
devproc_main(const struct devproc_ops *ops, void *arg, int *channel)
{
	struct devproc p = { .ops = ops, .arg = arg, .lazy = -1, .faults = -1 };
	const struct chan_ops parent_ops = {
		.rows = ops->rows,
		.nrows = ops->nrows,
		.closed = closed,
	};

	p.parent = chan_new(NULL, SPAWN_FD, &parent_ops, &p);
	if (p.parent == NULL)
		fatal("channel to parent");
	if (set_up(&p, channel) != 0 || seal(&p) != 0)
		return 1;
	must(chan_send(p.vm, DEV_SEALED, 0, -1, NULL));
	must(chan_send(p.parent, ops->ready, 0, -1, NULL));
	event_base_dispatch(p.base);
	ops->stop(arg);
	return 0;
}
