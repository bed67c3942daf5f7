/* SPDX-License-Identifier: ISC */
/*
 * The control queue: virtio 1.2, "Control Virtqueue" of the network device.
 * Served by the main thread, which alone changes the filter and the number
 * of pairs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vionet_impl.h"

/* The longest command that means something: two full tables and their counts,
 * each with entries that we have no room for. */
#define DATA_MAX 4096

/* What is left of a command's data. */
struct data {
	const uint8_t *p;
	size_t len;
};

static bool
get(struct data *d, void *to, size_t len)
{
	if (len > d->len)
		return false;
	memcpy(to, d->p, len);
	d->p += len;
	d->len -= len;
	return true;
}

int
vionet_set_offload(struct vionet *v, uint64_t f)
{
	static const struct {
		unsigned feature, flag;
	} map[] = {
		{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM },
		{ VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
		{ VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
		{ VIRTIO_NET_F_GUEST_UFO, TUN_F_UFO },
		{ VIONET_F_GUEST_USO4, TUN_F_USO4 },
		{ VIONET_F_GUEST_USO6, TUN_F_USO6 },
	};
	unsigned flags = 0, i;

	v->guest_offload = f;
	for (i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if ((f & 1ULL << map[i].feature) != 0)
			flags |= map[i].flag;
	/* Segmentation without checksums does not exist. */
	if ((flags & TUN_F_CSUM) == 0)
		flags = 0;
	/* The tap knows the two only together. */
	if ((flags & (TUN_F_USO4 | TUN_F_USO6)) != (TUN_F_USO4 | TUN_F_USO6))
		flags &= ~(unsigned)(TUN_F_USO4 | TUN_F_USO6);
	return v->conf.ops->offload(v->conf.fd[0], flags & v->conf.offload);
}

int
vionet_set_pairs(struct vionet *v, unsigned n)
{
	unsigned i;
	int error = 0;

	for (i = 0; i < v->conf.npairs; i++) {
		if (i >= n) {
			vdev_want(&v->rx[i].v, VDEV_IDLE);
			vdev_want(&v->tx[i].v, VDEV_IDLE);
		}
		/* The first pair is attached for good. */
		if (i > 0 && i >= v->active && i < n)
			error = v->conf.ops->attach(v->conf.fd[i], true);
		else if (i > 0 && i >= n && i < v->active)
			(void)v->conf.ops->attach(v->conf.fd[i], false);
		if (error != 0)
			break;
		if (i < n && i >= v->active) {
			if (v->rx[i].v.vq.size != 0)
				vdev_want(&v->rx[i].v, VDEV_RUN);
			if (v->tx[i].v.vq.size != 0)
				vdev_want(&v->tx[i].v, VDEV_RUN);
		}
	}
	v->active = i < n ? i : n;
	return error;
}

static bool
has(const struct vionet *v, unsigned feature)
{
	return (v->vdev.features & 1ULL << feature) != 0;
}

/* "Packet Receive Filtering" */
static bool
rx_mode(struct vionet *v, uint8_t cmd, struct data *d)
{
	struct vionet_filter *f = &v->filter;
	bool *const mode[] = { &f->promisc, &f->allmulti, &f->alluni,
		&f->nomulti, &f->nouni, &f->nobcast };
	unsigned first_extra = VIRTIO_NET_CTRL_RX_ALLUNI;
	uint8_t on;

	if (!has(v, VIRTIO_NET_F_CTRL_RX) ||
	    cmd >= sizeof(mode) / sizeof(mode[0]) || !get(d, &on, 1) ||
	    (cmd >= first_extra && !has(v, VIRTIO_NET_F_CTRL_RX_EXTRA)))
		return false;
	*mode[cmd] = on != 0;
	return true;
}

/* One table of addresses.  One that is too large sets *all instead. */
static bool
mac_table(struct data *d, uint8_t (*table)[ETH_ALEN], unsigned *n, bool *all)
{
	uint8_t mac[ETH_ALEN];
	uint32_t entries, i;

	if (!get(d, &entries, sizeof(entries)) ||
	    entries > d->len / sizeof(mac))
		return false;
	*n = 0;
	for (i = 0; i < entries; i++) {
		(void)get(d, mac, sizeof(mac));
		if (*n == VIONET_MACS)
			*all = true;
		else
			memcpy(table[(*n)++], mac, sizeof(mac));
	}
	return true;
}

/* "Setting MAC Address Filtering" */
static bool
mac_command(struct vionet *v, uint8_t cmd, struct data *d)
{
	struct vionet_filter *f = &v->filter;
	uint8_t mac[ETH_ALEN];

	switch (cmd) {
	case VIRTIO_NET_CTRL_MAC_TABLE_SET:
		return has(v, VIRTIO_NET_F_CTRL_RX) &&
		    mac_table(d, f->uni, &f->nuni, &f->alluni) &&
		    mac_table(d, f->multi, &f->nmulti, &f->allmulti);
	case VIRTIO_NET_CTRL_MAC_ADDR_SET:
		if (!has(v, VIRTIO_NET_F_CTRL_MAC_ADDR) || v->conf.locked ||
		    !get(d, mac, sizeof(mac)) || (mac[0] & 1) != 0)
			return false;
		memcpy(f->mac, mac, sizeof(mac));
		return true;
	default:
		return false;
	}
}

/* "VLAN Filtering" */
static bool
vlan_command(struct vionet *v, uint8_t cmd, struct data *d)
{
	uint16_t id;

	if (!has(v, VIRTIO_NET_F_CTRL_VLAN) || !get(d, &id, sizeof(id)) ||
	    id >= 4096)
		return false;
	switch (cmd) {
	case VIRTIO_NET_CTRL_VLAN_ADD:
		v->filter.vlan[id / 8] |= (uint8_t)(1 << id % 8);
		return true;
	case VIRTIO_NET_CTRL_VLAN_DEL:
		v->filter.vlan[id / 8] &= (uint8_t) ~(1 << id % 8);
		return true;
	default:
		return false;
	}
}

/* "Gratuitous Packet Sending" */
static bool
announce_command(struct vionet *v, uint8_t cmd)
{
	if (!has(v, VIRTIO_NET_F_GUEST_ANNOUNCE) ||
	    cmd != VIRTIO_NET_CTRL_ANNOUNCE_ACK)
		return false;
	vionet_announced(v);
	return true;
}

/* "Automatic receive steering in multiqueue mode" */
static bool
mq_command(struct vionet *v, uint8_t cmd, struct data *d)
{
	uint16_t n;

	if (!has(v, VIRTIO_NET_F_MQ) ||
	    cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || !get(d, &n, sizeof(n)) ||
	    n == 0 || n > v->conf.npairs)
		return false;
	return vionet_set_pairs(v, n) == 0;
}

/* "Setting Offloads State": a part of what was negotiated. */
static bool
offload_command(struct vionet *v, uint8_t cmd, struct data *d)
{
	const uint64_t may = v->vdev.features &
	    (1ULL << VIRTIO_NET_F_GUEST_CSUM | 1ULL << VIRTIO_NET_F_GUEST_TSO4 |
		1ULL << VIRTIO_NET_F_GUEST_TSO6 |
		1ULL << VIRTIO_NET_F_GUEST_ECN |
		1ULL << VIRTIO_NET_F_GUEST_UFO | 1ULL << VIONET_F_GUEST_USO4 |
		1ULL << VIONET_F_GUEST_USO6);
	uint64_t f;

	if (!has(v, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
	    cmd != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
	    !get(d, &f, sizeof(f)) || (f & ~may) != 0)
		return false;
	return vionet_set_offload(v, f) == 0;
}

static bool
filter_command(struct vionet *v, uint8_t class, uint8_t cmd, struct data *d)
{
	struct vionet_filter *f = &v->filter;
	bool ok = false;

	pthread_mutex_lock(&f->lock);
	if (class == VIRTIO_NET_CTRL_RX)
		ok = rx_mode(v, cmd, d);
	else if (class == VIRTIO_NET_CTRL_MAC)
		ok = mac_command(v, cmd, d);
	else
		ok = vlan_command(v, cmd, d);
	__atomic_store_n(&f->active, !f->promisc, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&f->lock);
	return ok;
}

static bool
command(struct vionet *v, struct data d)
{
	struct virtio_net_ctrl_hdr h;

	if (!get(&d, &h, sizeof(h)))
		return false;
	switch (h.class) {
	case VIRTIO_NET_CTRL_RX:
	case VIRTIO_NET_CTRL_MAC:
	case VIRTIO_NET_CTRL_VLAN:
		return filter_command(v, h.class, h.cmd, &d);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return announce_command(v, h.cmd);
	case VIRTIO_NET_CTRL_MQ:
		return mq_command(v, h.cmd, &d);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return offload_command(v, h.cmd, &d);
	default:
		return false;
	}
}

/* One request: what it says is copied before anybody looks at it. */
static void
request(struct vionet *v, struct virtq *vq, const struct virtq_chain *c)
{
	uint8_t data[DATA_MAX], ack;
	size_t len;
	bool ok;

	len = vionet_copy_out(c->iov, c->nread, 0, data, sizeof(data));
	ok = c->read_len <= sizeof(data) &&
	    command(v, (struct data){ data, len });
	ack = ok ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	vionet_copy_in(c->iov + c->nread, c->nwrite, 0, &ack, 1);
	virtq_wrote(vq, c->iov + c->nread, c->nwrite, 1);
	virtq_push(vq, c->head, 1);
}

void
vionet_ctrl_kick(int fd, short what, void *arg)
{
	struct vionet *v = arg;
	struct vdev_queue *q = v->ctrl;
	struct iovec iov[VIONET_QUEUE_SIZE];
	struct virtq_chain c = { .iov = iov, .iov_max = VIONET_QUEUE_SIZE };
	struct vionet_stats unused = { 0 };
	const uint64_t one = 1;
	unsigned i;
	int n = 0;

	vionet_drain(fd);
	if (q == NULL || !vdev_ok(&v->vdev))
		return;
	for (i = 0; i < q->vq.size; i++) {
		n = virtq_pop(&q->vq, &c);
		if (n != 1)
			break;
		if (c.nwrite == 0) {
			vdev_break(
			    q, "control request without room for an answer");
			return;
		}
		request(v, &q->vq, &c);
	}
	if (n < 0)
		vdev_break(q, "invalid virtqueue");
	vionet_interrupt(q, &unused);
	/* More of them: after the other events. */
	if (n == 1 || (n == 0 && virtq_enable_kick(&q->vq)))
		(void)!write(fd, &one, sizeof(one));
}
