/* SPDX-License-Identifier: ISC */
/*
 * The process NAME/vioblkN: one virtio block device over one image, in the
 * frame of devproc.h.
 *
 * The image's lock is held by the parent's open file description, which is
 * also ours: it goes when the last of us closes it.
 */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "devproc.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "role.h"
#include "vioblk.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

struct proc {
	struct vioblk *dev;
	struct vioblk_conf conf;
	bool configured; /* BLK_CONF was there */
	struct disk_layer image[DISK_LAYERS_MAX]; /* the device's, once used */
	unsigned nimages; /* of them, configured */
	unsigned nopen; /* received */
	int channel; /* until used */
	struct why why;
};

/* The parent: msg.h, BLK_REQUESTS. */

static int
blk_conf(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = devproc_arg(arg);
	uint32_t index, format, readonly, later, vcpus, n;
	char serial[256];
	size_t len;

	if (p->configured || ibuf_get_n32(body, &index) == -1 ||
	    ibuf_get_n32(body, &readonly) == -1 || readonly > 1 ||
	    ibuf_get_n32(body, &later) == -1 || later > 1 ||
	    ibuf_get_n32(body, &vcpus) == -1 ||
	    ctl_get_str(body, serial, sizeof(serial)) != 0 ||
	    ibuf_get_n64(body, &p->conf.iops.rate) == -1 ||
	    ibuf_get_n64(body, &p->conf.iops.burst) == -1 ||
	    ibuf_get_n64(body, &p->conf.bandwidth.rate) == -1 ||
	    ibuf_get_n64(body, &p->conf.bandwidth.burst) == -1 ||
	    ibuf_get_n32(body, &n) == -1 || n < 1 || n > DISK_LAYERS_MAX)
		return -EBADMSG;
	for (p->nimages = 0; p->nimages < n; p->nimages++) {
		if (ibuf_get_n32(body, &format) == -1)
			return -EBADMSG;
		p->image[p->nimages].format = (enum vm_diskfmt)format;
	}
	p->conf.readonly = readonly == 1;
	p->conf.later = later == 1;
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
	struct proc *p = devproc_arg(arg);
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
	DEVPROC_ROW,
#ifdef VMD_CONFINE_TEST
	CONFINE_ROW,
#endif
};

static bool
complete(void *arg)
{
	const struct proc *p = arg;

	return p->configured && p->nopen == p->nimages && p->channel != -1;
}

static int
make(void *arg, struct vdev **vdev, const char **why)
{
	struct proc *p = arg;
	int error;

	error = vioblk_new(&p->dev, &p->conf, p->image, p->nopen, &p->why);
	*why = p->why.text;
	if (error == 0)
		*vdev = vioblk_vdev(p->dev);
	return error;
}

static const void *
config(void *arg, size_t *len)
{
	const struct proc *p = arg;

	return vioblk_config(p->dev, len);
}

static int
threads(void *arg, struct event_base *base)
{
	struct proc *p = arg;
	int error = vioblk_threads(p->dev);

	if (error == 0)
		log_debug("%u queues, %s", vioblk_vdev(p->dev)->nqueues,
		    vioblk_engine(p->dev));
	return error;
}

/* How long an image on a block device is, when it is read again. */
static size_t
ioctls(void *arg, struct sandbox_ioctl *to)
{
	const struct proc *p = arg;
	unsigned i;

	for (i = 0; i < p->nimages; i++)
		to[i] = (struct sandbox_ioctl){
			.request = BLKGETSIZE64,
			.fd = p->image[i].fd,
			.nfds = 1,
		};
	return p->nimages;
}

static int
start(void *arg, uint64_t features, const struct virtio_ring *ring, unsigned n)
{
	const struct proc *p = arg;

	return vioblk_start(p->dev, features, ring, n);
}

static int
reset(void *arg)
{
	const struct proc *p = arg;

	return vdev_reset(vioblk_vdev(p->dev));
}

static int
drained(void *arg)
{
	const struct proc *p = arg;
	int error;

	/* It stays ours, and the rest of it is still to be read. */
	if (vioblk_mirroring(p->dev))
		return 0;
	error = vioblk_store(p->dev);

	if (error != 0)
		log_warnx("cannot write what is left of the image: %s",
		    strerror(-error));
	return error;
}

static int
snapshot(void *arg, enum snap_step step, enum snap_what what, const char *tag,
    struct timespec now, struct why *why)
{
	static const enum qcow2_snap_op op[] = {
		[SNAP_CREATE] = QCOW2_SNAP_CREATE,
		[SNAP_DELETE] = QCOW2_SNAP_DELETE,
		[SNAP_REVERT] = QCOW2_SNAP_REVERT,
	};
	const struct proc *p = arg;
	struct disk *d = vioblk_disk(p->dev);

	switch (step) {
	case SNAP_PREPARE:
		return disk_snap_prepare(d, op[what], tag, now, why);
	case SNAP_COMMIT:
		return disk_snap_commit(d, why);
	case SNAP_ABORT:
		disk_snap_abort(d);
		break;
	}
	return 0;
}

static int
mirror(void *arg, const struct mirror_msg *m)
{
	const struct proc *p = arg;

	return vioblk_mirror(p->dev, m);
}

static bool
mirrored(void *arg, struct mirror_msg *m)
{
	const struct proc *p = arg;

	return vioblk_mirrored(p->dev, m);
}

static void
log_stats(const struct vioblk *dev)
{
	struct vioblk_stats s;

	vioblk_stats(dev, &s);
	log_debug("%llu reads (%llu bytes), %llu writes (%llu bytes), "
		  "%llu flushes, %llu others, %llu errors, %llu kicks, "
		  "%llu interrupts, %llu waits, %llu system calls",
	    (unsigned long long)s.reads, (unsigned long long)s.read_bytes,
	    (unsigned long long)s.writes, (unsigned long long)s.write_bytes,
	    (unsigned long long)s.flushes, (unsigned long long)s.others,
	    (unsigned long long)s.errors, (unsigned long long)s.kicks,
	    (unsigned long long)s.interrupts, (unsigned long long)s.waits,
	    (unsigned long long)s.syscalls);
}

static void
stop(void *arg)
{
	const struct proc *p = arg;

	vioblk_stop(p->dev);
	log_stats(p->dev);
	vioblk_free(p->dev);
}

static_assert(DISK_LAYERS_MAX <= DEVPROC_IOCTLS, "one for each image");

static const struct devproc_ops ops = {
	.rows = blk_rows,
	.nrows = sizeof(blk_rows) / sizeof(blk_rows[0]),
	.complete = complete,
	.ready = BLK_READY,
	.error = BLK_ERROR,
	/*
	 * stdio: channels, eventfds, log
	 * disk:  the image, and reads and writes that need no ring
	 * uring: the queue threads' rings, restricted in aio_uring.c
	 */
	.promises = "stdio disk uring",
	.make = make,
	.config = config,
	.threads = threads,
	.start = start,
	.reset = reset,
	.ioctls = ioctls,
	.drained = drained,
	.snapshot = snapshot,
	.mirror = mirror,
	.mirrored = mirrored,
	.stop = stop,
};

int
vioblk_main(void)
{
	struct proc p = { .channel = -1 };

	return devproc_main(&ops, &p, &p.channel);
}
