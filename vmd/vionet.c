/* SPDX-License-Identifier: ISC */
/*
 * The process NAME/vionetN: one virtio network device over one tap, in the
 * frame of devproc.h.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "devproc.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "nettap.h"
#include "role.h"
#include "vionet.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

struct proc {
	struct vionet *dev;
	struct vionet_conf conf;
	bool configured; /* NET_CONF was there */
	unsigned nfds;
	int channel; /* until used */
	int ioctl_fd[VIONET_PAIRS_MAX];
};

/* The parent: msg.h, NET_REQUESTS. */

static int
get_local(struct ibuf *body, struct local_conf *l, uint32_t *on)
{
	uint32_t inet6;

	if (ibuf_get_n32(body, on) == -1 ||
	    ibuf_get(body, l->host_mac, sizeof(l->host_mac)) == -1 ||
	    ibuf_get_n32(body, &l->host) == -1 ||
	    ibuf_get_n32(body, &l->guest) == -1 ||
	    ibuf_get_n32(body, &inet6) == -1 ||
	    ibuf_get(body, l->host6, sizeof(l->host6)) == -1 ||
	    ibuf_get(body, l->guest6, sizeof(l->guest6)) == -1 ||
	    ctl_get_str(body, l->netboot, sizeof(l->netboot)) != 0 || *on > 1 ||
	    inet6 > 1)
		return -EBADMSG;
	l->inet6 = inet6 == 1;
	return 0;
}

/* There is nothing to set, and nothing was offered. */
static int
stream_offload(int fd, unsigned flags)
{
	return 0;
}

static int
stream_attach(int fd, bool on)
{
	return 0;
}

static int
stream_header(int fd, size_t len)
{
	return 0;
}

static const struct vionet_link_ops stream_ops = {
	.offload = stream_offload,
	.header = stream_header,
	.attach = stream_attach,
};

static int
net_conf(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = devproc_arg(arg);
	struct vionet_conf *c = &p->conf;
	uint32_t index, locked, mtu, offload, queues, local, stream;

	if (p->configured || ibuf_get_n32(body, &index) == -1 ||
	    ibuf_get(body, c->mac, sizeof(c->mac)) == -1 ||
	    ibuf_get_n32(body, &locked) == -1 || locked > 1 ||
	    ibuf_get_n32(body, &mtu) == -1 || mtu > UINT16_MAX ||
	    ibuf_get_n32(body, &offload) == -1 ||
	    ibuf_get_n32(body, &queues) == -1 || queues == 0 ||
	    queues > VIONET_PAIRS_MAX ||
	    get_local(body, &c->local, &local) != 0 ||
	    ibuf_get_n32(body, &stream) == -1 || stream > 1 ||
	    (stream == 1 && queues != 1) ||
	    ibuf_get_n64(body, &c->bandwidth.rate) == -1 ||
	    ibuf_get_n64(body, &c->bandwidth.burst) == -1)
		return -EBADMSG;
	c->locked = locked == 1;
	c->mtu = c->local.mtu = (uint16_t)mtu;
	c->offload = offload;
	c->npairs = queues;
	c->serve = local == 1;
	c->stream = stream == 1;
	c->ops = c->stream ? &stream_ops : &nettap_link_ops;
	p->configured = true;
	return 0;
}

static int
net_fd(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = devproc_arg(arg);
	uint32_t kind;

	if (ibuf_get_n32(body, &kind) == -1)
		kind = UINT32_MAX;
	if (kind == NET_FD_QUEUE && p->configured && p->nfds < p->conf.npairs) {
		p->conf.fd[p->nfds++] = fd;
		return 0;
	}
	if (kind == NET_FD_CHANNEL && p->channel == -1) {
		p->channel = fd;
		return 0;
	}
	close(fd);
	return -EBADMSG;
}

static int
net_link(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = devproc_arg(arg);
	uint32_t up;

	if (ibuf_get_n32(body, &up) == -1 || up > 1)
		return -EBADMSG;
	/* Before there are threads the device takes it from conf. */
	if (p->dev != NULL)
		vionet_link(p->dev, up == 1);
	else
		p->conf.unplugged = up == 0;
	return 0;
}

static const struct chan_row net_rows[] = {
	{ NET_LINK, "NET_LINK", CHAN_NOFD, net_link },
	{ NET_CONF, "NET_CONF", CHAN_NOFD, net_conf },
	{ NET_FD, "NET_FD", CHAN_FD, net_fd },
	DEVPROC_ROW,
#ifdef VMD_CONFINE_TEST
	CONFINE_ROW,
#endif
};

static bool
complete(void *arg)
{
	const struct proc *p = arg;

	return p->configured && p->nfds == p->conf.npairs && p->channel != -1;
}

static int
make(void *arg, struct vdev **vdev, const char **why)
{
	struct proc *p = arg;
	unsigned i;
	int error = 0;

	memcpy(p->ioctl_fd, p->conf.fd, sizeof(p->ioctl_fd));
	for (i = 0; i < p->conf.npairs && p->conf.locked && !p->conf.stream &&
	     error == 0;
	     i++)
		error = nettap_only(p->conf.fd[i], p->conf.mac);
	if (error != 0) {
		*why = "cannot lock the address of the interface";
		return error;
	}
	error = vionet_new(&p->dev, &p->conf, why);
	if (error == 0)
		*vdev = vionet_vdev(p->dev);
	return error;
}

static const void *
config(void *arg, size_t *len)
{
	const struct proc *p = arg;

	return vionet_config(p->dev, len);
}

static int
threads(void *arg, struct event_base *base)
{
	const struct proc *p = arg;

	return vionet_threads(p->dev, base);
}

static_assert(VIONET_PAIRS_MAX * NETTAP_LINK_IOCTLS <= DEVPROC_IOCTLS,
    "room for all of them");

static size_t
ioctls(void *arg, struct sandbox_ioctl *to)
{
	const struct proc *p = arg;
	unsigned i;

	if (p->conf.stream)
		return 0;
	for (i = 0; i < p->conf.npairs; i++)
		nettap_link_ioctls(p->ioctl_fd[i], to + i * NETTAP_LINK_IOCTLS);
	return p->conf.npairs * NETTAP_LINK_IOCTLS;
}

static int
start(void *arg, uint64_t features, const struct virtio_ring *ring, unsigned n)
{
	const struct proc *p = arg;

	return vionet_start(p->dev, features, ring, n);
}

static int
reset(void *arg)
{
	const struct proc *p = arg;

	return vionet_reset(p->dev);
}

static size_t
keep(void *arg, void *bytes, size_t max)
{
	const struct proc *p = arg;

	return vionet_keep(p->dev, bytes, max);
}

static int
kept(void *arg, const void *bytes, size_t len)
{
	const struct proc *p = arg;

	return vionet_kept(p->dev, bytes, len);
}

static void
log_stats(const struct vionet *dev)
{
	struct vionet_stats s;

	vionet_stats(dev, &s);
	log_debug("%llu frames in (%llu bytes, %llu dropped), %llu out "
		  "(%llu bytes, %llu dropped, %llu forged), %llu answered, "
		  "%llu kicks, %llu interrupts, %llu system calls",
	    (unsigned long long)s.rx_frames, (unsigned long long)s.rx_bytes,
	    (unsigned long long)s.rx_dropped, (unsigned long long)s.tx_frames,
	    (unsigned long long)s.tx_bytes, (unsigned long long)s.tx_dropped,
	    (unsigned long long)s.tx_forged, (unsigned long long)s.served,
	    (unsigned long long)s.kicks, (unsigned long long)s.interrupts,
	    (unsigned long long)s.syscalls);
}

static void
stop(void *arg)
{
	const struct proc *p = arg;

	vionet_stop(p->dev);
	log_stats(p->dev);
}

static const struct devproc_ops ops = {
	.rows = net_rows,
	.nrows = sizeof(net_rows) / sizeof(net_rows[0]),
	.complete = complete,
	.ready = NET_READY,
	.error = NET_ERROR,
	/*
	 * stdio: channels, eventfds, log, and frames: reads and writes
	 * tap:   offloads and queues as the driver asks for, on the tap's
	 *        own descriptors
	 */
	.promises = "stdio tap",
	.make = make,
	.config = config,
	.threads = threads,
	.ioctls = ioctls,
	.start = start,
	.reset = reset,
	.keep = keep,
	.kept = kept,
	.stop = stop,
};

int
vionet_main(void)
{
	struct proc p = { .channel = -1 };

	return devproc_main(&ops, &p, &p.channel);
}
