/* SPDX-License-Identifier: ISC */
/*
 * The process NAME/vioscsi0: a virtio SCSI host with a CD-ROM drive, in the
 * frame of devproc.h.  Media come and go as long as it runs, by descriptors
 * that the parent passes.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "devproc.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "role.h"
#include "vioscsi.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

struct proc {
	struct vioscsi *dev; /* from the beginning: it holds the medium */
	int channel; /* until used */
};

/* The parent: msg.h, CD_REQUESTS. */

static int
change(struct devproc *dp, uint32_t id, int fd, uint64_t bytes, uint32_t force)
{
	struct proc *p = devproc_arg(dp);
	int error = vioscsi_medium(p->dev, fd, bytes, force == 1);

	if (id == 0)
		return 0;
	return devproc_report(dp, CD_DONE, id, (uint32_t)-error);
}

static int
cd_medium(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	uint32_t force;
	uint64_t bytes;

	if (ibuf_get_n32(body, &force) == -1 ||
	    ibuf_get_n64(body, &bytes) == -1 || force > 1) {
		close(fd);
		return -EBADMSG;
	}
	return change(arg, id, fd, bytes, force);
}

static int
cd_eject(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	uint32_t force;

	if (ibuf_get_n32(body, &force) == -1 || force > 1)
		return -EBADMSG;
	return change(arg, id, -1, 0, force);
}

static int
cd_channel(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = devproc_arg(arg);

	if (p->channel != -1 || vioscsi_vdev(p->dev)->mem.fd != -1) {
		close(fd);
		return -EBADMSG;
	}
	p->channel = fd;
	return 0;
}

static const struct chan_row cd_rows[] = {
	{ CD_MEDIUM, "CD_MEDIUM", CHAN_FD, cd_medium },
	{ CD_EJECT, "CD_EJECT", CHAN_NOFD, cd_eject },
	{ CD_CHANNEL, "CD_CHANNEL", CHAN_FD, cd_channel },
	DEVPROC_ROW,
#ifdef VMD_CONFINE_TEST
	CONFINE_ROW,
#endif
};

static bool
complete(void *arg)
{
	const struct proc *p = arg;

	return p->channel != -1;
}

static int
make(void *arg, struct vdev **vdev, const char **why)
{
	const struct proc *p = arg;

	*vdev = vioscsi_vdev(p->dev);
	return 0;
}

static const void *
config(void *arg, size_t *len)
{
	const struct proc *p = arg;

	return vioscsi_config(p->dev, len);
}

static int
threads(void *arg, struct event_base *base)
{
	const struct proc *p = arg;

	return vioscsi_thread(p->dev);
}

static int
start(void *arg, uint64_t features, const struct virtio_ring *ring, unsigned n)
{
	const struct proc *p = arg;

	return vioscsi_start(p->dev, features, ring, n);
}

static int
reset(void *arg)
{
	const struct proc *p = arg;

	return vdev_reset(vioscsi_vdev(p->dev));
}

static size_t
keep(void *arg, void *bytes, size_t max)
{
	const struct proc *p = arg;

	return vioscsi_keep(p->dev, bytes, max);
}

static int
kept(void *arg, const void *bytes, size_t len)
{
	const struct proc *p = arg;

	return vioscsi_kept(p->dev, bytes, len);
}

static void
stop(void *arg)
{
	const struct proc *p = arg;
	struct ctl_counters n;

	vioscsi_stop(p->dev);
	vioscsi_stats(p->dev, &n);
	log_debug("%llu requests (%llu bytes), %llu errors, %llu kicks, "
		  "%llu interrupts",
	    (unsigned long long)n.requests, (unsigned long long)n.in,
	    (unsigned long long)n.errors, (unsigned long long)n.kicks,
	    (unsigned long long)n.interrupts);
	vioscsi_free(p->dev);
}

static const struct devproc_ops ops = {
	.rows = cd_rows,
	.nrows = sizeof(cd_rows) / sizeof(cd_rows[0]),
	.complete = complete,
	.ready = CD_READY,
	.error = CD_ERROR,
	/*
	 * stdio:  channels, eventfds, log
	 * recvfd: the next medium
	 * disk:   reading it
	 */
	.promises = "stdio recvfd disk",
	.keep_fds = true,
	.make = make,
	.config = config,
	.threads = threads,
	.start = start,
	.reset = reset,
	.keep = keep,
	.kept = kept,
	.stop = stop,
};

int
vioscsi_main(void)
{
	struct proc p = { .channel = -1 };
	int error = vioscsi_new(&p.dev);

	if (error != 0) {
		errno = -error;
		fatal("device");
	}
	return devproc_main(&ops, &p, &p.channel);
}
