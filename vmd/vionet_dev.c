/* SPDX-License-Identifier: ISC */
/*
 * The network device as the main thread sees it: see vionet.h.
 */
#include <event2/event.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_ring.h>

#include "fd.h"
#include "vionet_impl.h"

#define F(n) (1ULL << (n))

/* Between router advertisements that nobody asked for. */
#define ADVERTISE_SEC 200
/* What a guest sends before it saw its link come up is lost. */
#define ANNOUNCE_USEC 500000

/* Checksums and segmentation, as far as the link can. */
static uint64_t
offloads(unsigned flags)
{
	uint64_t f = 0;

	if ((flags & TUN_F_CSUM) == 0)
		return 0;
	f |= F(VIRTIO_NET_F_CSUM) | F(VIRTIO_NET_F_GUEST_CSUM) |
	    F(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	if ((flags & TUN_F_TSO4) != 0)
		f |= F(VIRTIO_NET_F_HOST_TSO4) | F(VIRTIO_NET_F_GUEST_TSO4);
	if ((flags & TUN_F_TSO6) != 0)
		f |= F(VIRTIO_NET_F_HOST_TSO6) | F(VIRTIO_NET_F_GUEST_TSO6);
	if ((flags & TUN_F_TSO_ECN) != 0)
		f |= F(VIRTIO_NET_F_HOST_ECN) | F(VIRTIO_NET_F_GUEST_ECN);
	if ((flags & TUN_F_UFO) != 0)
		f |= F(VIRTIO_NET_F_HOST_UFO) | F(VIRTIO_NET_F_GUEST_UFO);
	if ((flags & TUN_F_USO4) != 0 && (flags & TUN_F_USO6) != 0)
		f |= F(VIONET_F_HOST_USO) | F(VIONET_F_GUEST_USO4) |
		    F(VIONET_F_GUEST_USO6);
	return f;
}

static uint64_t
offered(const struct vionet *v)
{
	uint64_t f = F(VIRTIO_NET_F_MAC) | F(VIRTIO_NET_F_STATUS) |
	    F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_NET_F_CTRL_VQ) |
	    F(VIRTIO_NET_F_CTRL_RX) | F(VIRTIO_NET_F_CTRL_RX_EXTRA) |
	    F(VIRTIO_NET_F_CTRL_VLAN) | F(VIRTIO_NET_F_GUEST_ANNOUNCE) |
	    F(VIRTIO_RING_F_INDIRECT_DESC) | F(VIRTIO_RING_F_EVENT_IDX);

	f |= offloads(v->conf.offload);
	/* A locked address is not the driver's to change. */
	if (!v->conf.locked)
		f |= F(VIRTIO_NET_F_CTRL_MAC_ADDR);
	if (v->conf.mtu != 0)
		f |= F(VIRTIO_NET_F_MTU);
	if (v->conf.npairs > 1)
		f |= F(VIRTIO_NET_F_MQ);
	return f;
}

/* "Device configuration layout".  Little-endian, like the host. */
static void
fill_config(struct vionet *v)
{
	struct virtio_net_config *c = &v->config;

	memcpy(c->mac, v->conf.mac, ETH_ALEN);
	c->status = v->unplugged ? 0 : VIRTIO_NET_S_LINK_UP;
	c->max_virtqueue_pairs = (uint16_t)v->conf.npairs;
	c->mtu = v->conf.mtu;
	/* Speed and what follows is not offered. */
	v->config_len = offsetof(struct virtio_net_config, speed);
}

/* "Virtqueues": receiveq1, transmitq1, ..., controlq */
static int
make_queues(struct vionet *v)
{
	unsigned i, n = v->conf.npairs;
	int error;

	v->rx = calloc(n, sizeof(*v->rx));
	for (i = 0; v->rx != NULL && i < n; i++)
		v->rx[i].ep = -1;
	v->tx = calloc(n, sizeof(*v->tx));
	v->kicks = calloc(2 * n + 1, sizeof(*v->kicks));
	if (v->rx == NULL || v->tx == NULL || v->kicks == NULL)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		error = vionet_rx_init(&v->rx[i], v, i);
		if (error == 0)
			error = vionet_tx_init(&v->tx[i], v, i);
		if (error != 0)
			return error;
	}
	return vdev_add(&v->vdev, &v->control);
}

int
vionet_new(
    struct vionet **out, const struct vionet_conf *conf, const char **why)
{
	static const struct vm_limit none;
	struct vionet *v = calloc(1, sizeof(*v));
	unsigned i;
	int error;

	*why = "out of memory";
	if (v == NULL) {
		for (i = 0; i < conf->npairs; i++)
			close(conf->fd[i]);
		return -ENOMEM;
	}
	v->conf = *conf;
	pthread_mutex_init(&v->filter.lock, NULL);
	pthread_mutex_init(&v->ads.lock, NULL);
	error = vdev_init(&v->vdev, VIONET_QUEUE_SIZE);
	if (error == 0)
		error = make_queues(v);
	if (error != 0)
		goto free_it;
	*why = "cannot detach a queue of the interface";
	for (i = 1; i < conf->npairs && error == 0; i++)
		error = conf->ops->attach(v->conf.fd[i], false);
	if (error != 0)
		goto free_it;
	v->vdev.offered = offered(v);
	v->unplugged = conf->unplugged;
	limit_init(&v->in, &none, &conf->bandwidth);
	limit_init(&v->out, &none, &conf->bandwidth);
	fill_config(v);
	vionet_filter_reset(&v->filter, v->conf.mac, false);
	*out = v;
	return 0;
free_it:
	vionet_free(v);
	return error;
}

void
vionet_stop(struct vionet *v)
{
	unsigned i;

	for (i = 0; i < v->vdev.nqueues; i++)
		vdev_stop(v->vdev.queue[i]);
}

void
vionet_free(struct vionet *v)
{
	unsigned i;

	if (v == NULL)
		return;
	vionet_stop(v);
	for (i = 0; v->kicks != NULL && i < 2 * v->conf.npairs + 1; i++)
		if (v->kicks[i] != NULL)
			event_free(v->kicks[i]);
	if (v->announce != NULL)
		event_free(v->announce);
	if (v->advertise != NULL)
		event_free(v->advertise);
	vdev_destroy(&v->vdev);
	for (i = 0; i < v->conf.npairs; i++) {
		if (v->rx != NULL) {
			free(v->rx[i].spill);
			free(v->rx[i].in);
			fd_close(&v->rx[i].ep);
		}
		if (v->tx != NULL)
			free(v->tx[i].left);
		fd_close(&v->conf.fd[i]);
	}
	free(v->rx);
	free(v->tx);
	free(v->kicks);
	pthread_mutex_destroy(&v->filter.lock);
	pthread_mutex_destroy(&v->ads.lock);
	free(v);
}

struct vdev *
vionet_vdev(struct vionet *v)
{
	return &v->vdev;
}

const void *
vionet_config(const struct vionet *v, size_t *len)
{
	*len = v->config_len;
	return &v->config;
}

static void
on_advertise(int fd, short what, void *arg)
{
	struct vionet *v = arg;
	uint8_t frame[LOCAL_FRAME_MAX];
	size_t n;

	if (v->active == 0)
		return;
	n = local_advertise(&v->conf.local, frame, sizeof(frame));
	if (n > 0)
		vionet_advertise(v, frame, n);
}

static void
set_status(struct vionet *v, uint16_t status)
{
	if (v->config.status == status)
		return;
	v->config.status = status;
	vdev_configured(&v->vdev);
}

/* "Gratuitous Packet Sending" */
static void
on_announce(int fd, short what, void *arg)
{
	struct vionet *v = arg;

	if (!v->unplugged && v->ctrl != NULL &&
	    (v->vdev.features & F(VIRTIO_NET_F_GUEST_ANNOUNCE)) != 0)
		set_status(v, VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
}

/* Which queue is the control queue is known at the start only: each that
 * may be has an event. */
static int
make_events(struct vionet *v, struct event_base *base)
{
	struct timeval tv = { .tv_sec = ADVERTISE_SEC };
	unsigned i;

	for (i = 0; i < v->vdev.nqueues; i++) {
		v->kicks[i] = event_new(base, v->vdev.queue[i]->kick,
		    EV_READ | EV_PERSIST, vionet_ctrl_kick, v);
		if (v->kicks[i] == NULL)
			return -ENOMEM;
	}
	v->announce = event_new(base, -1, 0, on_announce, v);
	if (v->announce == NULL)
		return -ENOMEM;
	if (!v->conf.serve || !v->conf.local.inet6)
		return 0;
	v->advertise = event_new(base, -1, EV_PERSIST, on_advertise, v);
	if (v->advertise == NULL || event_add(v->advertise, &tv) == -1)
		return -ENOMEM;
	return 0;
}

int
vionet_threads(struct vionet *v, struct event_base *base)
{
	char name[16];
	unsigned i;
	int error;

	error = vdev_complete(&v->vdev);
	if (error == 0)
		error = make_events(v, base);
	for (i = 0; i < v->conf.npairs && error == 0; i++) {
		snprintf(name, sizeof(name), "rx%u", i);
		error = vdev_thread(&v->rx[i].v, name, vionet_rx_run);
		if (error != 0)
			break;
		snprintf(name, sizeof(name), "tx%u", i);
		error = vdev_thread(&v->tx[i].v, name, vionet_tx_run);
	}
	return error;
}

/* "Virtqueues": controlq is queue 2 unless there are several pairs. */
static int
start_control(struct vionet *v)
{
	bool mq = (v->vdev.features & F(VIRTIO_NET_F_MQ)) != 0;
	unsigned i = mq ? 2 * v->conf.npairs : 2;
	struct vdev_queue *q = v->vdev.queue[i];

	if ((v->vdev.features & F(VIRTIO_NET_F_CTRL_VQ)) == 0 ||
	    q->vq.size == 0)
		return 0;
	v->ctrl = q;
	if (event_add(v->kicks[i], NULL) == -1)
		return -ENOMEM;
	/* What was made available before we looked. */
	event_active(v->kicks[i], EV_READ, 0);
	return 0;
}

int
vionet_start(struct vionet *v, uint64_t features, const struct virtio_ring *r,
    unsigned n)
{
	const uint64_t gso = F(VIRTIO_NET_F_GUEST_TSO4) |
	    F(VIRTIO_NET_F_GUEST_TSO6) | F(VIRTIO_NET_F_GUEST_UFO) |
	    F(VIONET_F_GUEST_USO4) | F(VIONET_F_GUEST_USO6);
	int error = vdev_start(&v->vdev, features, r, n);

	if (error != 0 || !vdev_ok(&v->vdev))
		return error;
	features = v->vdev.features;
	v->mergeable = (features & F(VIRTIO_NET_F_MRG_RXBUF)) != 0;
	v->hdr = v->mergeable || (features & F(VIRTIO_F_VERSION_1)) != 0
	    ? VIONET_HDR
	    : VIONET_HDR_LEGACY;
	v->need = (features & gso) != 0 ? VIONET_BUF_MAX : VIONET_NEED_SMALL;
	vionet_filter_reset(&v->filter, v->conf.mac,
	    (features & F(VIRTIO_NET_F_CTRL_VLAN)) != 0);
	error = v->conf.ops->header(v->conf.fd[0], v->hdr);
	if (error == 0)
		error = vionet_set_offload(v, features);
	if (error == 0)
		error = start_control(v);
	if (error == 0)
		error = vionet_set_pairs(v, 1);
	if (error != 0)
		vdev_break(&v->control, "the interface refuses its settings");
	return 0;
}

void
vionet_link(struct vionet *v, bool up)
{
	static const struct timeval later = { .tv_usec = ANNOUNCE_USEC };

	if (up == !v->unplugged)
		return;
	__atomic_store_n(&v->unplugged, !up, __ATOMIC_RELAXED);
	set_status(v, up ? VIRTIO_NET_S_LINK_UP : 0);
	if (up && event_add(v->announce, &later) == -1)
		log_warnx("no timer to announce the link");
}

void
vionet_announced(struct vionet *v)
{
	set_status(v, v->config.status & (uint16_t)~VIRTIO_NET_S_ANNOUNCE);
}

int
vionet_reset(struct vionet *v)
{
	int error = vdev_reset(&v->vdev);
	unsigned i;

	if (error != 0)
		return error;
	for (i = 0; i < v->vdev.nqueues; i++)
		event_del(v->kicks[i]);
	v->ctrl = NULL;
	vionet_announced(v);
	return vionet_set_pairs(v, 0);
}

static void
add(struct vionet_stats *to, const struct vionet_stats *s)
{
	to->rx_frames += s->rx_frames;
	to->rx_bytes += s->rx_bytes;
	to->tx_frames += s->tx_frames;
	to->tx_bytes += s->tx_bytes;
	to->rx_dropped += s->rx_dropped;
	to->tx_dropped += s->tx_dropped;
	to->tx_forged += s->tx_forged;
	to->served += s->served;
	to->kicks += s->kicks;
	to->interrupts += s->interrupts;
	to->syscalls += s->syscalls;
}

void
vionet_stats(const struct vionet *v, struct vionet_stats *out)
{
	unsigned i;

	memset(out, 0, sizeof(*out));
	for (i = 0; i < v->conf.npairs; i++) {
		add(out, &v->rx[i].stats);
		add(out, &v->tx[i].stats);
	}
}
