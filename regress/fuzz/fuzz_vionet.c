/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: the network device over hostile rings, and a link that says
 * anything.  The input is a head and what is in guest memory, rings included;
 * its end is written over a part of that between two rounds and is what the
 * link says.  With a locked address no frame leaves from another one; nothing
 * is written outside of guest memory (the sanitizers see that).
 */
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_ring.h>

#include "vionet_impl.h"

#define MEM    (1ULL << 20)
#define SHOWN  4096 /* bytes of it that the input fills */
#define SIZE   8 /* of each ring */
#define QUEUES 3
#define ROUNDS 3

/* The input's first bytes. */
struct head {
	uint16_t how;
	uint16_t at; /* of what is written between */
	uint16_t frame; /* bytes of one from the link; what is not said is 0 */
	uint8_t more, frames;
};
enum {
	H_EVENT_IDX = 1,
	H_MERGEABLE = 2,
	H_BIG = 4,
	H_LOCKED = 8,
	H_SERVE = 16,
	H_UNPLUGGED = 32,
	H_STREAM = 64,
	H_CONTROL = 128, /* before the others, not after them */
	H_LEGACY = 256, /* with H_MERGEABLE nothing else */
};

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* One device over frames, one over a stream. */
static struct rig {
	struct vionet *dev;
	int link, own[QUEUES];
} rig[2];
static struct gmem mem;

static const uint8_t mac[ETH_ALEN] = { 0xfe, 0xe1, 0xba, 1, 2, 3 };

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static int
offload(int fd, unsigned flags)
{
	return 0;
}

static int
header(int fd, size_t len)
{
	return 0;
}

static int
attach(int fd, bool on)
{
	return 0;
}

static void
set_up(struct rig *r, bool stream)
{
	static const struct vionet_link_ops ops = { offload, header, attach };
	struct vionet_conf conf = {
		.offload = stream ? 0 : TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6,
		.npairs = 1,
		.ops = &ops,
		.mtu = 1500,
		.stream = stream,
		.local = { .host_mac = { 2, 2, 2, 2, 2, 2 },
		    .host = 0x0a4d0102,
		    .guest = 0x0a4d0103,
		    .inet6 = true },
	};
	const char *why;
	struct vdev *v;
	int pair[2];
	unsigned i;

	memcpy(conf.mac, mac, sizeof(mac));
	check(socketpair(AF_UNIX,
		  (stream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_NONBLOCK, 0,
		  pair) == 0);
	conf.fd[0] = pair[0];
	r->link = pair[1];
	check(vionet_new(&r->dev, &conf, &why) == 0);
	v = vionet_vdev(r->dev);
	check(vdev_set_memory(v, dup(mem.fd), MEM) == 0);
	for (i = 0; i < QUEUES; i++) {
		r->own[i] = eventfd(0, EFD_NONBLOCK);
		check(vdev_set_fd(v, i, false, dup(r->own[i])) == 0);
		check(vdev_set_fd(v, i, true, eventfd(0, EFD_NONBLOCK)) == 0);
	}
}

/* Rings next to each other, so that a short input describes them all. */
static void
start(struct rig *r, unsigned how)
{
	uint64_t f = ~(1ULL << VIRTIO_RING_F_EVENT_IDX);
	struct virtio_ring ring[QUEUES];
	struct vionet *dev = r->dev;
	uint64_t at = 0;
	unsigned i;

	for (i = 0; i < QUEUES; i++, at += 256)
		ring[i] = (struct virtio_ring){ SIZE, { at }, { at + 128 },
			{ at + 160 } };
	if ((how & H_EVENT_IDX) != 0)
		f = ~0ULL;
	dev->vdev.started = false;
	dev->vdev.reported = false;
	check(vdev_start(&dev->vdev, f, ring, QUEUES) == 0);
	check(vdev_ok(&dev->vdev));
	dev->mergeable = (how & H_MERGEABLE) != 0;
	dev->hdr = (how & (H_LEGACY | H_MERGEABLE)) == H_LEGACY
	    ? VIONET_HDR_LEGACY
	    : VIONET_HDR;
	dev->need = (how & H_BIG) != 0 ? VIONET_BUF_MAX : 2048;
	dev->conf.locked = (how & H_LOCKED) != 0;
	dev->conf.serve = (how & H_SERVE) != 0;
	dev->unplugged = (how & H_UNPLUGGED) != 0;
	dev->ctrl = dev->vdev.queue[2];
	dev->active = 1;
	dev->ads.n = 0;
	vionet_filter_reset(&dev->filter, mac, true);
	vionet_rx_begin(&dev->rx[0].v, true);
	vionet_tx_begin(&dev->tx[0].v, true);
}

/* What the device sent: whole frames, of its own address when it is locked. */
static void
drain(struct rig *r, bool locked)
{
	static uint8_t buf[2 * VIONET_BUF_MAX];
	static size_t have; /* of a stream */
	uint32_t len;
	ssize_t n;

	if (!r->dev->conf.stream) {
		while ((n = recv(r->link, buf, sizeof(buf), 0)) > 0)
			check((size_t)n >= r->dev->hdr + ETH_HLEN &&
			    (!locked ||
				memcmp(buf + r->dev->hdr + ETH_ALEN, mac,
				    ETH_ALEN) == 0));
		return;
	}
	while ((n = recv(r->link, buf + have, sizeof(buf) - have, 0)) > 0) {
		have += (size_t)n;
		while (have >= sizeof(len)) {
			memcpy(&len, buf, sizeof(len));
			len = ntohl(len);
			check(len >= ETH_HLEN && len <= VIONET_FRAME_MAX);
			if (have - sizeof(len) < len)
				break;
			check(!locked ||
			    memcmp(buf + sizeof(len) + ETH_ALEN, mac,
				ETH_ALEN) == 0);
			have -= sizeof(len) + len;
			memmove(buf, buf + sizeof(len) + len, have);
		}
	}
}

static void
inject(struct rig *r, const struct head *h, const uint8_t *said, size_t n)
{
	static uint8_t frame[65536 + 64];
	size_t len = h->frame;
	unsigned i;

	if (r->dev->conf.stream)
		len = n;
	memset(frame, 0, len);
	memcpy(frame, said, n < len ? n : len);
	for (i = 0; i < h->frames % 4u && len > 0; i++)
		(void)!send(r->link, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
check_held(const struct vionet_rx *q)
{
	uint64_t cap = 0;
	unsigned i, n = 0;

	for (i = q->h0; i < q->h1; i++) {
		cap += q->held[i].len;
		n += q->held[i].niov;
	}
	check(cap == q->cap && n == q->i1 - q->i0 && q->i1 < VIONET_IOV);
}

/* A stream that broke off is another one from now on. */
static void
new_link(struct rig *r)
{
	uint8_t buf[4096];

	while (recv(r->dev->conf.fd[0], buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	if (r->dev->conf.stream)
		vionet_stream_reset(&r->dev->rx[0]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct head h;
	struct rig *r;
	uint8_t *p;
	size_t n;
	unsigned i;

	if (len < sizeof(h))
		return 0;
	if (rig[0].dev == NULL) {
		check(gmem_create(&mem, MEM) == 0);
		set_up(&rig[0], false);
		set_up(&rig[1], true);
	}
	memcpy(&h, data, sizeof(h));
	data += sizeof(h);
	len -= sizeof(h);
	p = gmem_range(&mem, (struct gpa){ 0 }, MEM);
	memset(p, 0, SHOWN);
	n = len < h.more ? len : h.more;
	memcpy(p, data, len - n < SHOWN ? len - n : SHOWN);
	r = &rig[(h.how & H_STREAM) != 0];
	start(r, h.how);
	inject(r, &h, data + len - n, n);
	for (i = 0; i < ROUNDS; i++) {
		if ((h.how & H_CONTROL) != 0)
			vionet_ctrl_kick(r->own[2], 0, r->dev);
		(void)vionet_rx_round(&r->dev->rx[0]);
		check_held(&r->dev->rx[0]);
		(void)vionet_tx_round(&r->dev->tx[0]);
		if ((h.how & H_CONTROL) == 0)
			vionet_ctrl_kick(r->own[2], 0, r->dev);
		drain(r, (h.how & H_LOCKED) != 0);
		if (i == 0)
			memcpy(p + h.at % SHOWN, data + len - n, n);
	}
	/* What a stream still has of a frame is sent whatever comes. */
	while (r->dev->tx[0].left0 != r->dev->tx[0].left1) {
		(void)vionet_tx_round(&r->dev->tx[0]);
		drain(r, (h.how & H_LOCKED) != 0);
	}
	new_link(r);
	return 0;
}
