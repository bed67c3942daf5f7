/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_VIONET_RIG_H
#define REGRESS_VIONET_RIG_H

/*
 * A network device with a driver in front of it and, in place of a tap, a
 * socket pair that keeps frames apart.  Its main thread's events are run by
 * the test.
 *
 * Guest memory: rings of queue n at n * 0x10000, control requests at
 * 0x180000, indirect tables at 0x200000, receive buffers of pair n at RIG_RX
 * + n MiB, what is sent at RIG_TX.
 */
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../vdriver.h"
#include "../../vmd/vionet.h"

#define RIG_MEM	   (32ULL << 20)
#define RIG_CTRL   0x180000ULL
#define RIG_TABLES 0x200000ULL
#define RIG_RX	   0x800000ULL
#define RIG_TX	   0x1000000ULL
#define RIG_QMAX   VIRTIO_QUEUES_MAX
#define HDR	   12
#define F(n)	   (1ULL << (n))

static const uint8_t rig_mac[6]
    __attribute__((unused)) = { 0xfe, 0xe1, 0xbb, 0xd1, 2, 3 };
static const uint8_t rig_peer[6] __attribute__((unused)) = { 2, 0, 0, 0, 0, 9 };

/* What the link was told last. */
struct rig_link {
	unsigned offload;
	size_t header;
	int offloads, attached[64]; /* by descriptor */
	int error;
};
static struct rig_link rig_link;

static inline int
rig_offload(int fd, unsigned flags)
{
	rig_link.offload = flags;
	rig_link.offloads++;
	return rig_link.error;
}

static inline int
rig_attach(int fd, bool on)
{
	if (fd < 64)
		rig_link.attached[fd] = on;
	return rig_link.error;
}

static inline int
rig_header(int fd, size_t len)
{
	rig_link.header = len;
	return rig_link.error;
}

static const struct vionet_link_ops rig_link_ops = {
	.offload = rig_offload, .header = rig_header, .attach = rig_attach
};

struct rig {
	struct gmem mem;
	struct vionet *dev;
	struct vdev *v;
	struct event_base *base;
	unsigned np, nq;
	int link[VIONET_PAIRS_MAX]; /* our ends */
	int dfd[VIONET_PAIRS_MAX]; /* numbers of the device's ends */
	struct vdrv q[RIG_QMAX];
	int kick[RIG_QMAX], call[RIG_QMAX];
	uint64_t features;
};

struct rig_opt {
	unsigned pairs;
	bool locked, serve, stream, unplugged;
	struct vm_limit bandwidth;
	struct local_conf local;
	uint64_t without; /* features not to be negotiated */
	uint16_t qsize;
};

static inline void *
rig_ptr(struct rig *r, uint64_t gpa, size_t len)
{
	void *p = gmem_range(&r->mem, (struct gpa){ gpa }, len);

	assert_non_null(p);
	return p;
}

static inline void
rig_rings(struct rig *r, uint16_t qsize)
{
	unsigned i;

	for (i = 0; i < r->nq; i++)
		vdrv_init(&r->q[i], &r->mem, i * 0x10000ull, qsize,
		    (r->features & F(VIRTIO_RING_F_EVENT_IDX)) != 0);
}

static inline int
rig_start(struct rig *r)
{
	struct virtio_ring ring[RIG_QMAX];
	unsigned i;

	for (i = 0; i < r->nq; i++)
		ring[i] = (struct virtio_ring){
			.size = r->q[i].size,
			.desc = r->q[i].desc_gpa,
			.avail = r->q[i].avail_gpa,
			.used = r->q[i].used_gpa,
		};
	return vionet_start(r->dev, r->features, ring, r->nq);
}

static inline void
rig_connect(struct rig *r)
{
	unsigned i;

	assert_int_equal(vdev_set_memory(r->v, dup(r->mem.fd), RIG_MEM), 0);
	for (i = 0; i < r->nq; i++) {
		r->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_int_equal(
		    vdev_set_fd(r->v, i, false, dup(r->kick[i])), 0);
		assert_int_equal(
		    vdev_set_fd(r->v, i, true, dup(r->call[i])), 0);
	}
	assert_int_equal(vionet_threads(r->dev, r->base), 0);
}

static inline struct rig *
rig_new(const struct rig_opt *o)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct vionet_conf conf = {
		.locked = o->locked,
		.offload = o->stream ? 0
				     : TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 |
			TUN_F_TSO_ECN | TUN_F_UFO,
		.npairs = o->pairs != 0 ? o->pairs : 1,
		.ops = &rig_link_ops,
		.mtu = 1500,
		.stream = o->stream,
		.unplugged = o->unplugged,
		.bandwidth = o->bandwidth,
		.serve = o->serve,
		.local = o->local,
	};
	const char *why;
	unsigned i;
	int pair[2];

	assert_non_null(r);
	memset(&rig_link, 0, sizeof(rig_link));
	memcpy(conf.mac, rig_mac, 6);
	r->np = conf.npairs;
	for (i = 0; i < r->np; i++) {
		assert_int_equal(
		    socketpair(AF_UNIX,
			SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
		    0);
		r->link[i] = pair[0];
		conf.fd[i] = r->dfd[i] = pair[1];
	}
	r->base = event_base_new();
	assert_non_null(r->base);
	assert_int_equal(vionet_new(&r->dev, &conf, &why), 0);
	r->v = vionet_vdev(r->dev);
	assert_int_equal(gmem_create(&r->mem, RIG_MEM), 0);
	r->nq = r->v->nqueues;
	rig_connect(r);
	r->features = (r->v->offered | F(VIRTIO_F_VERSION_1)) & ~o->without;
	rig_rings(r, o->qsize != 0 ? o->qsize : VIONET_QUEUE_SIZE);
	assert_int_equal(rig_start(r), 0);
	return r;
}

static inline void
rig_free(struct rig *r)
{
	unsigned i;

	vionet_free(r->dev);
	for (i = 0; i < r->nq; i++) {
		close(r->kick[i]);
		close(r->call[i]);
	}
	for (i = 0; i < r->np; i++)
		close(r->link[i]);
	event_base_free(r->base);
	gmem_destroy(&r->mem);
	free(r);
}

/* Wait for the device's report; the mask, 0 when none came in time. */
static inline unsigned
rig_report(struct rig *r, unsigned want, const char **why, int ms)
{
	struct pollfd p = { r->v->report, POLLIN, 0 };
	unsigned mask = 0;
	int i;

	for (i = 0; i < ms / 10 && (mask & want) == 0; i++) {
		event_base_loop(r->base, EVLOOP_NONBLOCK);
		if (poll(&p, 1, 10) == 1)
			mask |= vdev_report(r->v, why);
	}
	return mask;
}

static inline void
rig_reset(struct rig *r)
{
	const char *why;

	assert_int_equal(vionet_reset(r->dev), 0);
	assert_true(
	    rig_report(r, VDEV_RESET_DONE, &why, 5000) & VDEV_RESET_DONE);
}

static inline void
rig_kick(struct rig *r, unsigned qi)
{
	const uint64_t one = 1;

	if (vdrv_publish(&r->q[qi]))
		assert_int_equal(write(r->kick[qi], &one, 8), 8);
}

/* The next used element within ms; false: none. */
static inline bool
rig_take(struct rig *r, unsigned qi, uint32_t *id, uint32_t *len, int ms)
{
	struct pollfd p = { r->call[qi], POLLIN, 0 };
	uint64_t n;

	while (!vdrv_take(&r->q[qi], id, len)) {
		if (vdrv_want_used(&r->q[qi]))
			continue;
		if (poll(&p, 1, ms) != 1)
			return false;
		assert_int_equal(read(r->call[qi], &n, 8), 8);
	}
	return true;
}

static inline unsigned
rxq(unsigned pair)
{
	return 2 * pair;
}

static inline unsigned
txq(unsigned pair)
{
	return 2 * pair + 1;
}

/* n receive buffers of size bytes, one after the other. */
static inline void
rig_fill(struct rig *r, unsigned pair, unsigned from, unsigned n, uint32_t size)
{
	uint64_t base = RIG_RX + pair * 0x100000ull;
	unsigned i;

	for (i = from; i < from + n; i++) {
		struct vbuf b = { base + i * (uint64_t)size, size, true };

		assert_true(vdrv_add(&r->q[rxq(pair)], &b, 1, 0) >= 0);
	}
	rig_kick(r, rxq(pair));
}

/* A frame with its header: for dst, from src, filled from seed. */
static inline void
rig_frame(uint8_t *p, size_t frame, const uint8_t *dst, const uint8_t *src,
    unsigned seed)
{
	size_t i;

	memset(p, 0, HDR);
	memcpy(p + HDR, dst, 6);
	memcpy(p + HDR + 6, src, 6);
	p[HDR + 12] = 0x88;
	p[HDR + 13] = 0xb5; /* for local experiments */
	for (i = 14; i < frame; i++)
		p[HDR + i] = (uint8_t)(seed + i * 7 + i / 256);
}

/* From the link to the guest. */
static inline void
rig_inject(struct rig *r, unsigned pair, const uint8_t *p, size_t len)
{
	struct pollfd w = { r->link[pair], POLLOUT, 0 };

	assert_int_equal(poll(&w, 1, 5000), 1);
	assert_int_equal(write(r->link[pair], p, len), (ssize_t)len);
}

/* From the guest to the link; 0 when none comes within ms. */
static inline size_t
rig_outward(struct rig *r, unsigned pair, uint8_t *p, size_t room, int ms)
{
	struct pollfd w = { r->link[pair], POLLIN, 0 };
	ssize_t n;

	if (poll(&w, 1, ms) != 1)
		return 0;
	n = read(r->link[pair], p, room);
	assert_true(n >= 0);
	return (size_t)n;
}

/* Send what is at RIG_TX (len bytes with header); waits for its end. */
static inline void
rig_send(struct rig *r, unsigned pair, size_t len)
{
	struct vbuf b[2] = {
		{ RIG_TX, HDR, false },
		{ RIG_TX + HDR, (uint32_t)len - HDR, false },
	};
	uint32_t id, used;
	int head = vdrv_add(&r->q[txq(pair)], b, 2, 0);

	assert_true(head >= 0);
	rig_kick(r, txq(pair));
	assert_true(rig_take(r, txq(pair), &id, &used, 5000));
	assert_int_equal(id, head);
	assert_int_equal(used, 0);
}

/* The index of the control queue, by what was negotiated. */
static inline unsigned
rig_ctrlq(const struct rig *r)
{
	return (r->features & F(VIRTIO_NET_F_MQ)) != 0 ? 2 * r->np : 2;
}

/* A control request; its answer. */
static inline uint8_t
rig_ctrl(struct rig *r, uint8_t class, uint8_t cmd, const void *data, size_t n)
{
	unsigned qi = rig_ctrlq(r), i;
	uint8_t *p = rig_ptr(r, RIG_CTRL, 0x10000);
	struct vbuf b[3] = {
		{ RIG_CTRL, 2, false },
		{ RIG_CTRL + 2, (uint32_t)n, false },
		{ RIG_CTRL + 0xf000, 1, true },
	};
	uint32_t id, len;

	p[0] = class;
	p[1] = cmd;
	memcpy(p + 2, data, n);
	p[0xf000] = 0xee;
	assert_true(vdrv_add(&r->q[qi], b, 3, 0) >= 0);
	rig_kick(r, qi);
	for (i = 0; i < 500; i++) {
		event_base_loop(r->base, EVLOOP_NONBLOCK);
		if (vdrv_take(&r->q[qi], &id, &len))
			break;
		usleep(1000);
	}
	assert_int_not_equal(i, 500);
	assert_int_equal(len, 1);
	return p[0xf000];
}

#endif
