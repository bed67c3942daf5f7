/* SPDX-License-Identifier: ISC */
/*
 * The process NAME/vioblkN: one virtio block device over one image.
 *
 * Set-up by two channels as msg.h says: the parent names image and options,
 * the vm process gives memory and eventfds.  The process confines itself
 * before it looks at the image, makes its threads, seals itself and tells
 * both.  From then on the
 * channels carry start, reset and their answers only; the data path is in
 * the queue threads (vioblk_queue.c).
 *
 * The image's lock is held by the parent's open file description, which is
 * also ours: it goes when the last of us closes it.
 */
#include <event2/event.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "role.h"
#include "sandbox.h"
#include "spawn.h"
#include "vioblk.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

/* The slowest step of the peers is a guest memory of many GiB. */
#define SETUP_MS 30000

struct proc {
	struct event_base *base;
	struct chan *parent, *vm;
	struct event *report;
	struct vioblk *dev;
	struct vioblk_conf conf;
	bool configured, sealed; /* BLK_CONF, DEV_SEAL were there */
	bool ended;
	struct disk_layer image[DISK_LAYERS_MAX]; /* until used */
	unsigned nimages; /* of them, configured */
	unsigned nopen; /* received */
	int channel; /* until used */
};

/* The vm process: msg.h, DEV_REQUESTS. */

static int
dev_mem(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = arg;
	uint64_t size;

	if (p->sealed || ibuf_get_n64(body, &size) == -1) {
		close(fd);
		return -EBADMSG;
	}
	return vioblk_set_memory(p->dev, fd, size);
}

static int
dev_queuefd(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = arg;
	uint32_t queue, call;

	if (p->sealed || ibuf_get_n32(body, &queue) == -1 ||
	    ibuf_get_n32(body, &call) == -1 || call > 1) {
		close(fd);
		return -EBADMSG;
	}
	return vioblk_set_fd(p->dev, queue, call == 1, fd);
}

static int
dev_seal(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = arg;

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
	struct proc *p = arg;
	struct virtio_ring ring[VIOBLK_QUEUES_MAX];
	uint64_t features;
	uint32_t i, n;

	if (!p->sealed || ibuf_get_n64(body, &features) == -1 ||
	    ibuf_get_n32(body, &n) == -1 || n > VIOBLK_QUEUES_MAX)
		return -EBADMSG;
	for (i = 0; i < n; i++)
		if (get_ring(body, &ring[i]) != 0)
			return -EBADMSG;
	return vioblk_start(p->dev, features, ring, n);
}

static int
dev_reset(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = arg;

	return p->sealed ? vioblk_reset(p->dev) : -EBADMSG;
}

static const struct chan_row dev_rows[] = {
	{ DEV_MEM, "DEV_MEM", CHAN_FD, dev_mem },
	{ DEV_QUEUEFD, "DEV_QUEUEFD", CHAN_FD, dev_queuefd },
	{ DEV_SEAL, "DEV_SEAL", CHAN_NOFD, dev_seal },
	{ DEV_START, "DEV_START", CHAN_NOFD, dev_start },
	{ DEV_RESET, "DEV_RESET", CHAN_NOFD, dev_reset },
};

/* The parent: msg.h, BLK_REQUESTS. */

static int
blk_conf(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = arg;
	uint32_t index, format, readonly, vcpus, n;
	char serial[256];
	size_t len;

	if (p->configured || ibuf_get_n32(body, &index) == -1 ||
	    ibuf_get_n32(body, &readonly) == -1 || readonly > 1 ||
	    ibuf_get_n32(body, &vcpus) == -1 ||
	    ctl_get_str(body, serial, sizeof(serial)) != 0 ||
	    ibuf_get_n32(body, &n) == -1 || n < 1 || n > DISK_LAYERS_MAX)
		return -EBADMSG;
	for (p->nimages = 0; p->nimages < n; p->nimages++) {
		if (ibuf_get_n32(body, &format) == -1)
			return -EBADMSG;
		p->image[p->nimages].format = (enum vm_diskfmt)format;
	}
	p->conf.readonly = readonly == 1;
	p->conf.vcpus = vcpus;
	len = strnlen(serial, VIOBLK_SERIAL_MAX);
	memcpy(p->conf.serial, serial, len);
	p->conf.serial[len] = '\0';
	p->configured = true;
	return 0;
}

static int
blk_fd(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = arg;
	uint32_t kind;

	if (ibuf_get_n32(body, &kind) == -1)
		kind = UINT32_MAX;
	if (kind == BLK_FD_IMAGE && p->nopen < p->nimages)
		p->image[p->nopen++].fd = fd;
	else if (kind == BLK_FD_CHANNEL && p->channel == -1)
		p->channel = fd;
	else {
		close(fd);
		return -EBADMSG;
	}
	return 0;
}

static const struct chan_row blk_rows[] = {
	{ BLK_CONF, "BLK_CONF", CHAN_NOFD, blk_conf },
	{ BLK_FD, "BLK_FD", CHAN_FD, blk_fd },
#ifdef VMD_CONFINE_TEST
	CONFINE_ROW,
#endif
};

/* One peer gone ends the device: the parent starts it again if need be. */
static void
closed(void *arg, const char *why)
{
	struct proc *p = arg;

	if (why[0] != '\0')
		log_warnx("channel: %s", why);
	p->ended = true;
	if (p->base != NULL)
		event_base_loopbreak(p->base);
}

static const struct chan_ops parent_ops = {
	.rows = blk_rows,
	.nrows = sizeof(blk_rows) / sizeof(blk_rows[0]),
	.closed = closed,
};

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
send_broken(struct proc *p, const char *why)
{
	struct ibuf *b = chan_body();

	log_warnx("needs reset: %s", why);
	must(ctl_put_str(b, why));
	must(chan_send(p->vm, DEV_BROKEN, 0, -1, b));
}

static void
on_report(evutil_socket_t fd, short what, void *arg)
{
	struct proc *p = arg;
	const char *why;
	unsigned mask = vioblk_report(p->dev, &why);

	if (p->ended)
		return;
	if ((mask & VIOBLK_BROKEN) != 0)
		send_broken(p, why);
	if ((mask & VIOBLK_RESET_DONE) != 0)
		must(chan_send(p->vm, DEV_RESET_DONE, 0, -1, NULL));
}

/* Tell the parent why there will be no device. */
static int
give_up(struct proc *p, int error, const char *why)
{
	struct ibuf *b = chan_body();
	char line[320];

	snprintf(line, sizeof(line), "%s: %s", why, strerror(-error));
	must(ibuf_add_n32(b, (uint64_t)-error));
	must(ctl_put_str(b, line));
	if (chan_send(p->parent, BLK_ERROR, 0, -1, b) == 0)
		(void)chan_flush(p->parent, SETUP_MS);
	return 1;
}

static int
receive(struct proc *p, struct chan *c, bool (*complete)(const struct proc *))
{
	int error = 0;

	while (error == 0 && !p->ended && !complete(p))
		error = chan_recv(c, SETUP_MS);
	return p->ended ? -EPIPE : error;
}

static bool
have_conf(const struct proc *p)
{
	return p->configured && p->nopen == p->nimages && p->channel != -1;
}

static bool
have_all(const struct proc *p)
{
	return p->sealed;
}

static void
send_hello(struct proc *p)
{
	struct ibuf *b = chan_body();
	const void *config;
	size_t len;

	config = vioblk_config(p->dev, &len);
	must(ibuf_add_n64(b, vioblk_features(p->dev)));
	must(ibuf_add_n32(b, vioblk_nqueues(p->dev)));
	must(ibuf_add_n32(b, VIOBLK_QUEUE_SIZE));
	must(ibuf_add_n32(b, len));
	must(ibuf_add(b, config, len));
	must(chan_send(p->vm, DEV_HELLO, 0, -1, b));
}

/* Everything that is received before the seal. */
static int
set_up(struct proc *p)
{
	static const struct sandbox box = {
		.user = "_vmd",
		.nofile = 64,
	};
	struct why why;
	int error;

	error = receive(p, p->parent, have_conf);
	if (error != 0)
		return give_up(p, error, "set-up by parent");
	/* Before the image is read: it may be anybody's. */
	sandbox_confine(&box);
	error = vioblk_new(&p->dev, &p->conf, p->image, p->nopen, &why);
	if (error != 0)
		return give_up(p, error, why.text);
	p->vm = chan_new(NULL, fd_take(&p->channel), &vm_ops, p);
	if (p->vm == NULL)
		return give_up(p, -errno, "device channel");
	send_hello(p);
	error = chan_flush(p->vm, SETUP_MS);
	if (error == 0)
		error = receive(p, p->vm, have_all);
	return error == 0 ? 0 : give_up(p, error, "set-up by vm");
}

static int
make_events(struct proc *p)
{
	p->base = event_base_new();
	if (p->base == NULL)
		return -ENOMEM;
	p->report = event_new(p->base, vioblk_report_fd(p->dev),
	    EV_READ | EV_PERSIST, on_report, p);
	if (p->report == NULL || event_add(p->report, NULL) == -1 ||
	    chan_attach(p->parent, p->base) != 0 ||
	    chan_attach(p->vm, p->base) != 0)
		return -ENOMEM;
	return 0;
}

/* Make the threads, seal. */
static int
seal(struct proc *p)
{
	int error;

	error = make_events(p);
	if (error == 0)
		error = vioblk_threads(p->dev);
	if (error != 0)
		return give_up(p, error, "cannot make the queues");
	log_debug(
	    "%u queues, %s", vioblk_nqueues(p->dev), vioblk_engine(p->dev));
	chan_forbid_fds(p->parent);
	chan_forbid_fds(p->vm);
	/*
	 * stdio: channels, eventfds, log
	 * disk:  the image, and reads and writes that need no ring
	 * uring: the queue threads' rings, restricted in aio_uring.c
	 */
	sandbox_seal("stdio disk uring", NULL, 0);
	return 0;
}

static void
log_stats(const struct vioblk *dev)
{
	struct vioblk_stats s;

	vioblk_stats(dev, &s);
	log_debug("%llu reads (%llu bytes), %llu writes (%llu bytes), "
		  "%llu flushes, %llu others, %llu errors, %llu kicks, "
		  "%llu interrupts, %llu system calls",
	    (unsigned long long)s.reads, (unsigned long long)s.read_bytes,
	    (unsigned long long)s.writes, (unsigned long long)s.write_bytes,
	    (unsigned long long)s.flushes, (unsigned long long)s.others,
	    (unsigned long long)s.errors, (unsigned long long)s.kicks,
	    (unsigned long long)s.interrupts, (unsigned long long)s.syscalls);
}

int
vioblk_main(void)
{
	struct proc p = { .channel = -1 };

	p.parent = chan_new(NULL, SPAWN_FD, &parent_ops, &p);
	if (p.parent == NULL)
		fatal("channel to parent");
	if (set_up(&p) != 0 || seal(&p) != 0)
		return 1;
	must(chan_send(p.vm, DEV_SEALED, 0, -1, NULL));
	must(chan_send(p.parent, BLK_READY, 0, -1, NULL));
	event_base_dispatch(p.base);
	vioblk_stop(p.dev);
	log_stats(p.dev);
	vioblk_free(p.dev);
	return 0;
}
