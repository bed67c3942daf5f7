/* SPDX-License-Identifier: ISC */
/*
 * Network device: frames both ways, mergeable buffers, the control queue,
 * several pairs, locked lladdr.
 */
#include <pthread.h>
#include <time.h>

#include "../../vmd/vionet_impl.h"
#include "vionet_rig.h"

#define BIG (65535 + 18)

static uint8_t frame[HDR + BIG], got[HDR + BIG + 64];

static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t multicast[6] = { 0x33, 0x33, 0, 0, 0, 1 };
static const uint8_t other[6] = { 2, 0, 0, 0, 0, 7 };

/* Take one frame from the guest's receive queue; its length with header. */
static size_t
guest_takes(struct rig *r, unsigned pair, uint32_t size, uint8_t *to, int ms)
{
	uint64_t base = RIG_RX + pair * 0x100000ull;
	size_t at = 0;
	uint16_t n = 1, i;
	uint32_t id, len;

	for (i = 0; i < n; i++) {
		struct vring_desc *d;

		if (!rig_take(r, rxq(pair), &id, &len, i == 0 ? ms : 0)) {
			assert_int_equal(i, 0); /* all at once */
			return 0;
		}
		d = &r->q[rxq(pair)].desc[id];
		assert_in_range(d->addr, base, RIG_TX - 1);
		assert_true(len <= size);
		memcpy(to + at, rig_ptr(r, d->addr, size), len);
		if (i == 0)
			memcpy(&n, to + 10, 2);
		at += len;
		assert_true(n >= 1 && n <= 256);
	}
	return at;
}

static void
test_features(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ .pairs = 3 });
	const struct virtio_net_config *c;
	uint64_t f = r->v->offered;
	size_t len;

	c = vionet_config(r->dev, &len);
	assert_true(len >= 12);
	assert_memory_equal(c->mac, rig_mac, 6);
	assert_int_equal(c->status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(c->max_virtqueue_pairs, 3);
	assert_int_equal(c->mtu, 1500);
	assert_int_equal(r->nq, 7);
	assert_true(f & F(VIRTIO_NET_F_MQ));
	assert_true(f & F(VIRTIO_NET_F_HOST_TSO4));
	assert_true(f & F(VIRTIO_NET_F_CTRL_MAC_ADDR));
	/* By what was negotiated. */
	assert_int_equal(rig_link.offload,
	    TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_UFO);
	rig_free(r);
	r = rig_new(&(struct rig_opt){ .without = F(VIRTIO_NET_F_GUEST_CSUM) });
	assert_int_equal(rig_link.offload, 0);
	assert_false(r->v->offered & F(VIRTIO_NET_F_MQ));
	rig_free(r);
	r = rig_new(&(struct rig_opt){ .locked = true });
	assert_false(r->v->offered & F(VIRTIO_NET_F_CTRL_MAC_ADDR));
	rig_free(r);
}

static void
test_send(void **state)
{
	static const size_t sizes[] = { 14, 60, 1514, 9014, BIG };
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	struct vionet_stats s;
	unsigned i;
	size_t n;

	for (i = 0; i < 5; i++) {
		n = HDR + sizes[i];
		rig_frame(frame, sizes[i], rig_peer, rig_mac, i);
		frame[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		memcpy(rig_ptr(r, RIG_TX, n), frame, n);
		rig_send(r, 0, n);
		assert_int_equal(rig_outward(r, 0, got, sizeof(got), 5000), n);
		assert_memory_equal(got, frame, n);
	}
	vionet_stop(r->dev);
	vionet_stats(r->dev, &s);
	assert_int_equal(s.tx_frames, 5);
	assert_int_equal(s.tx_dropped, 0);
	rig_free(r);
}

/* Many segments, by an indirect table. */
static void
test_send_scattered(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ .locked = true });
	struct vbuf b[256];
	uint32_t id, len;
	unsigned i;

	rig_frame(frame, 1024 - HDR, rig_peer, rig_mac, 1);
	memcpy(rig_ptr(r, RIG_TX, 1024), frame, 1024);
	for (i = 0; i < 256; i++)
		b[i] = (struct vbuf){ RIG_TX + i * 4ull, 4, false };
	assert_true(vdrv_add(&r->q[1], b, 256, RIG_TABLES) >= 0);
	rig_kick(r, 1);
	assert_true(rig_take(r, 1, &id, &len, 5000));
	assert_int_equal(rig_outward(r, 0, got, sizeof(got), 5000), 1024);
	assert_memory_equal(got, frame, 1024);
	rig_free(r);
}

static void
test_receive_merged(void **state)
{
	static const size_t sizes[] = { 14, 1514, 9014, 60, 1515, 40000 };
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	unsigned i;
	size_t n;

	rig_fill(r, 0, 0, 128, 1526);
	for (i = 0; i < 6; i++) {
		n = HDR + sizes[i];
		rig_frame(frame, sizes[i], rig_mac, rig_peer, i);
		rig_inject(r, 0, frame, n);
		assert_int_equal(guest_takes(r, 0, 1526, got, 5000), n);
		assert_memory_equal(got + HDR, frame + HDR, sizes[i]);
	}
	rig_free(r);
}

/* More than there are buffers for: it waits for the driver. */
static void
test_receive_waits(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	size_t n = HDR + 30000;
	unsigned i;

	rig_frame(frame, 30000, rig_mac, rig_peer, 3);
	rig_fill(r, 0, 0, 5, 1526);
	rig_inject(r, 0, frame, n);
	assert_int_equal(guest_takes(r, 0, 1526, got, 50), 0);
	for (i = 5; i < 60; i += 5) {
		rig_fill(r, 0, i, 5, 1526);
		usleep(1000);
	}
	assert_int_equal(guest_takes(r, 0, 1526, got, 5000), n);
	assert_memory_equal(got + HDR, frame + HDR, 30000);
	rig_free(r);
}

/*
 * After many small frames the device has few buffers in its hands; a large one
 * arrives whole all the same, and those after it.
 */
static void
test_receive_small(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	const struct vionet_rx *q = &r->dev->rx[0];
	static const size_t len[] = { 100, 60000, 60000, 1500, 60000 };
	unsigned i, n;

	rig_fill(r, 0, 0, VIONET_QUEUE_SIZE, 1526);
	for (i = 0; i < 128; i++) {
		rig_frame(frame, 100, rig_mac, rig_peer, i);
		rig_inject(r, 0, frame, HDR + 100);
		assert_int_equal(guest_takes(r, 0, 1526, got, 5000), HDR + 100);
		assert_memory_equal(got + HDR, frame + HDR, 100);
	}
	/* Nothing is received, so they stay as they are. */
	n = __atomic_load_n(&q->h1, __ATOMIC_RELAXED) -
	    __atomic_load_n(&q->h0, __ATOMIC_RELAXED);
	assert_true(n <= 2);
	rig_fill(r, 0, 0, 128, 1526);
	for (i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		rig_frame(frame, len[i], rig_mac, rig_peer, i);
		rig_inject(r, 0, frame, HDR + len[i]);
		assert_int_equal(
		    guest_takes(r, 0, 1526, got, 5000), HDR + len[i]);
		assert_memory_equal(got + HDR, frame + HDR, len[i]);
	}
	rig_free(r);
}

/*
 * More than the whole ring can hold: dropped, and the next one comes; no buffer
 * is lost or used twice (CVE-2021-3748, CVE-2022-26353).
 */
static void
test_receive_too_large(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ .qsize = 4 });
	struct vionet_stats s;
	unsigned i;

	rig_fill(r, 0, 0, 4, 1526);
	for (i = 0; i < 3; i++) {
		rig_frame(frame, 30000, rig_mac, rig_peer, 3);
		rig_inject(r, 0, frame, HDR + 30000);
		rig_frame(frame, 100, rig_mac, rig_peer, i);
		rig_inject(r, 0, frame, HDR + 100);
		assert_int_equal(guest_takes(r, 0, 1526, got, 5000), HDR + 100);
		assert_memory_equal(got + HDR, frame + HDR, 100);
		rig_fill(r, 0, i % 4, 1, 1526);
	}
	vionet_stop(r->dev);
	vionet_stats(r->dev, &s);
	assert_int_equal(s.rx_dropped, 3);
	assert_int_equal(s.rx_frames, 3);
	rig_free(r);
}

static void
test_receive_unmerged(void **state)
{
	struct rig *r =
	    rig_new(&(struct rig_opt){ .without = F(VIRTIO_NET_F_MRG_RXBUF) });
	unsigned i;

	rig_fill(r, 0, 0, 16, 2048);
	for (i = 0; i < 8; i++) {
		rig_frame(frame, 2037, rig_mac, rig_peer, 3);
		rig_inject(r, 0, frame, HDR + 2037); /* one too many */
		rig_frame(frame, 2036, rig_mac, rig_peer, i);
		rig_inject(r, 0, frame, HDR + 2036);
		assert_int_equal(
		    guest_takes(r, 0, 2048, got, 5000), HDR + 2036);
		assert_memory_equal(got + HDR, frame + HDR, 2036);
	}
	rig_free(r);
}

/*
 * A legacy driver that cannot merge buffers has the shorter header, both ways:
 * whatever the frames' bytes at 10 and 11 are, nobody writes there.
 */
static void
test_legacy_header(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){
	    .without = F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_F_VERSION_1) });
	const size_t n = 10 + 100;
	uint32_t id = 0, len = 0;
	uint8_t out[HDR + 100];

	assert_int_equal(rig_link.header, 10);
	rig_fill(r, 0, 0, 16, 2048);
	rig_frame(frame, 100, rig_mac, rig_peer, 3);
	rig_inject(r, 0, frame + 2, n);
	assert_true(rig_take(r, rxq(0), &id, &len, 5000));
	assert_int_equal(len, n);
	assert_memory_equal(
	    rig_ptr(r, r->q[rxq(0)].desc[id].addr, n), frame + 2, n);
	/* And out; the rig's vector has the header's twelve bytes apart. */
	rig_frame(frame, 100, rig_peer, rig_mac, 1);
	memcpy(rig_ptr(r, RIG_TX, n), frame + 2, n);
	rig_send(r, 0, n);
	assert_int_equal(rig_outward(r, 0, out, sizeof(out), 5000), n);
	assert_memory_equal(out, frame + 2, n);
	rig_free(r);
	/* With merging the header has its count again. */
	r = rig_new(&(struct rig_opt){ .without = F(VIRTIO_F_VERSION_1) });
	assert_int_equal(rig_link.header, 12);
	rig_free(r);
}

/* Buffers that hold a header and nothing else, and two-part buffers. */
static void
test_receive_tiny(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });

	rig_fill(r, 0, 0, 256, 12);
	rig_frame(frame, 1000, rig_mac, rig_peer, 9);
	rig_inject(r, 0, frame, HDR + 1000);
	assert_int_equal(guest_takes(r, 0, 12, got, 5000), HDR + 1000);
	assert_memory_equal(got + HDR, frame + HDR, 1000);
	rig_free(r);
}

/* In batches, with the driver's suppression: few interrupts. */
static void
test_batches(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	struct vbuf b = { RIG_TX, HDR + 60, false };
	struct vionet_stats s;
	unsigned i, round;
	uint32_t id, len;

	rig_frame(rig_ptr(r, RIG_TX, 80), 60, rig_peer, rig_mac, 0);
	for (round = 0; round < 4; round++) {
		*vdrv_used_event(&r->q[1]) = (uint16_t)(round * 32 + 31);
		for (i = 0; i < 32; i++)
			assert_true(vdrv_add(&r->q[1], &b, 1, 0) >= 0);
		rig_kick(r, 1);
		for (i = 0; i < 32; i++)
			assert_int_equal(
			    rig_outward(r, 0, got, sizeof(got), 5000),
			    HDR + 60);
		for (i = 0; i < 32; i++)
			assert_true(rig_take(r, 1, &id, &len, 5000));
	}
	vionet_stop(r->dev);
	vionet_stats(r->dev, &s);
	assert_in_range(s.interrupts, 4, 8);
	assert_in_range(s.kicks, 1, 8);
	rig_free(r);
}

/* Does a frame for dst reach the guest? */
static bool
reaches(struct rig *r, const uint8_t *dst, unsigned vlan)
{
	static unsigned seed;
	struct vionet_stats before, s;
	size_t n = HDR + 100;

	rig_frame(frame, 100, dst, rig_peer, seed++);
	if (vlan != 0) {
		frame[HDR + 12] = 0x81;
		frame[HDR + 13] = 0;
		frame[HDR + 14] = (uint8_t)(vlan >> 8);
		frame[HDR + 15] = (uint8_t)vlan;
	}
	vionet_stats(r->dev, &before);
	rig_inject(r, 0, frame, n);
	do {
		usleep(500);
		vionet_stats(r->dev, &s);
	} while (
	    s.rx_frames + s.rx_dropped == before.rx_frames + before.rx_dropped);
	if (s.rx_dropped != before.rx_dropped)
		return false;
	assert_int_equal(guest_takes(r, 0, 1526, got, 5000), n);
	assert_memory_equal(got + HDR, frame + HDR, 100);
	return true;
}

static void
test_filter(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	const uint8_t on = 1, off = 0;
	uint8_t table[4 + 6 + 4 + 6] = { 1 };
	uint16_t vlan = 77;

	memcpy(table + 4, other, 6);
	table[10] = 1;
	memcpy(table + 14, multicast, 6);
	rig_fill(r, 0, 0, 200, 1526);
	/* Promiscuous until told. */
	assert_true(reaches(r, other, 0));
	assert_true(reaches(r, other, 77));
	assert_int_equal(rig_ctrl(r, 0, 0, &off, 1), 0);
	assert_false(reaches(r, other, 0));
	assert_false(reaches(r, multicast, 0));
	assert_true(reaches(r, rig_mac, 0));
	assert_true(reaches(r, broadcast, 0));
	assert_int_equal(rig_ctrl(r, 1, 0, table, sizeof(table)), 0);
	assert_true(reaches(r, other, 0));
	assert_true(reaches(r, multicast, 0));
	assert_int_equal(rig_ctrl(r, 0, 3, &on, 1), 0); /* no multicast */
	assert_false(reaches(r, multicast, 0));
	assert_int_equal(rig_ctrl(r, 0, 5, &on, 1), 0); /* no broadcast */
	assert_false(reaches(r, broadcast, 0));
	assert_int_equal(rig_ctrl(r, 1, 1, rig_peer, 6), 0);
	assert_true(reaches(r, rig_peer, 0));
	assert_false(reaches(r, rig_mac, 0));
	/* Nobody asked for this VLAN yet. */
	assert_false(reaches(r, rig_peer, 77));
	assert_int_equal(rig_ctrl(r, 2, 0, &vlan, 2), 0);
	assert_true(reaches(r, rig_peer, 77));
	assert_int_equal(rig_ctrl(r, 2, 1, &vlan, 2), 0);
	assert_false(reaches(r, rig_peer, 77));
	/* A reset forgets it all. */
	rig_reset(r);
	rig_rings(r, 256);
	assert_int_equal(rig_start(r), 0);
	rig_fill(r, 0, 0, 16, 1526);
	assert_true(reaches(r, other, 0));
	rig_free(r);
}

/* Control requests that are refused, and leave everything as it was. */
static void
test_control_refuses(void **state)
{
	static uint8_t data[8192];
	static const struct {
		uint8_t class, cmd;
		uint8_t data[8];
		size_t len;
	} rows[] = {
		{ 0, 0, { 0 }, 0 }, /* no data */
		{ 0, 6, { 0 }, 1 }, /* unknown mode */
		{ 0, 255, { 0 }, 1 },
		{ 1, 0, { 1, 0, 0, 0, 1, 2, 3 }, 7 }, /* short table */
		{ 1, 0, { 0xff, 0xff, 0xff, 0xff }, 4 }, /* wraps */
		{ 1, 0, { 0, 0, 0, 0 }, 4 }, /* one table missing */
		{ 1, 0, { 0 }, 3 },
		{ 1, 1, { 1, 2, 3, 4, 5, 6 }, 6 }, /* multicast */
		{ 1, 1, { 2, 2, 3, 4, 5 }, 5 },
		{ 1, 2, { 2, 2, 3, 4, 5, 6 }, 6 },
		{ 2, 0, { 0, 0x10 }, 2 }, /* VLAN 4096 */
		{ 2, 0, { 0 }, 1 },
		{ 2, 2, { 0, 0 }, 2 },
		{ 3, 1, { 0 }, 0 }, /* announce: not an acknowledgement */
		{ 4, 0, { 0, 0 }, 2 }, /* no pairs */
		{ 4, 0, { 3, 0 }, 2 }, /* more than there are */
		{ 4, 0, { 1 }, 1 },
		{ 4, 1, { 1, 0 }, 2 },
		{ 5, 0, { 1, 0, 0, 0, 0, 0, 0, 0 }, 8 }, /* the host's */
		{ 5, 0, { 0, 0, 0, 0, 0, 0, 0, 0x80 }, 8 },
		{ 5, 1, { 0 }, 8 },
		{ 5, 0, { 0 }, 7 },
		{ 6, 0, { 0 }, 8 },
		{ 255, 255, { 0 }, 8 },
	};
	struct rig *r = rig_new(&(struct rig_opt){ .pairs = 2 });
	const uint8_t off = 0;
	unsigned i;

	assert_int_equal(rig_ctrl(r, 0, 0, &off, 1), 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rig_ctrl(r, rows[i].class, rows[i].cmd, rows[i].data,
			rows[i].len) != VIRTIO_NET_ERR)
			fail_msg("row %u was accepted", i);
	}
	/* Longer than any command. */
	assert_int_equal(rig_ctrl(r, 0, 0, data, 4095), VIRTIO_NET_ERR);
	rig_fill(r, 0, 0, 8, 1526);
	assert_false(reaches(r, other, 0));
	assert_true(reaches(r, rig_mac, 0));
	rig_free(r);
}

/* A table larger than ours admits all addresses of its kind. */
static void
test_filter_overflow(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	uint8_t table[4 + 100 * 6 + 4] = { 100 };
	const uint8_t off = 0;

	assert_int_equal(rig_ctrl(r, 0, 0, &off, 1), 0);
	assert_int_equal(rig_ctrl(r, 1, 0, table, sizeof(table)), 0);
	rig_fill(r, 0, 0, 8, 1526);
	assert_true(reaches(r, other, 0));
	assert_false(reaches(r, multicast, 0));
	rig_free(r);
}

static void
test_offloads_command(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	uint64_t f = F(VIRTIO_NET_F_GUEST_CSUM) | F(VIRTIO_NET_F_GUEST_TSO4);

	assert_int_equal(rig_ctrl(r, 5, 0, &f, 8), 0);
	assert_int_equal(rig_link.offload, TUN_F_CSUM | TUN_F_TSO4);
	f = 0;
	assert_int_equal(rig_ctrl(r, 5, 0, &f, 8), 0);
	assert_int_equal(rig_link.offload, 0);
	/* The link refuses: so do we. */
	rig_link.error = -EINVAL;
	assert_int_equal(rig_ctrl(r, 5, 0, &f, 8), VIRTIO_NET_ERR);
	rig_free(r);
}

static void
test_pairs(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ .pairs = 3 });
	uint16_t n = 3;
	unsigned i, round;

	for (i = 0; i < 3; i++)
		rig_fill(r, i, 0, 32, 1526);
	/* Until it is asked for there is one pair. */
	assert_false(rig_link.attached[r->dfd[1]]);
	rig_frame(frame, 100, rig_mac, rig_peer, 1);
	rig_inject(r, 1, frame, HDR + 100);
	assert_int_equal(guest_takes(r, 1, 1526, got, 50), 0);
	for (round = 0; round < 3; round++) {
		n = 3;
		assert_int_equal(rig_ctrl(r, 4, 0, &n, 2), 0);
		assert_true(rig_link.attached[r->dfd[1]]);
		assert_true(rig_link.attached[r->dfd[2]]);
		if (round == 0)
			assert_int_equal(
			    guest_takes(r, 1, 1526, got, 5000), HDR + 100);
		for (i = 0; i < 3; i++) {
			rig_frame(frame, 200, rig_mac, rig_peer, i);
			rig_inject(r, i, frame, HDR + 200);
			assert_int_equal(
			    guest_takes(r, i, 1526, got, 5000), HDR + 200);
			rig_frame(
			    rig_ptr(r, RIG_TX, 300), 200, rig_peer, rig_mac, i);
			rig_send(r, i, HDR + 200);
			assert_int_equal(
			    rig_outward(r, i, got, sizeof(got), 5000),
			    HDR + 200);
		}
		n = 1;
		assert_int_equal(rig_ctrl(r, 4, 0, &n, 2), 0);
		assert_false(rig_link.attached[r->dfd[1]]);
	}
	rig_free(r);
}

/* A driver that does not know pairs finds the control queue at 2. */
static void
test_pairs_unused(void **state)
{
	struct rig *r = rig_new(
	    &(struct rig_opt){ .pairs = 2, .without = F(VIRTIO_NET_F_MQ) });
	const uint8_t off = 0;
	uint16_t n = 2;

	rig_fill(r, 0, 0, 8, 1526);
	assert_int_equal(rig_ctrl(r, 0, 0, &off, 1), 0);
	assert_int_equal(rig_ctrl(r, 4, 0, &n, 2), VIRTIO_NET_ERR);
	assert_false(reaches(r, other, 0));
	rig_free(r);
}

/* What the driver reads after the device's news. */
static uint16_t
new_status(struct rig *r)
{
	const struct virtio_net_config *c;
	const char *why;
	size_t len;

	assert_true(
	    rig_report(r, VDEV_CONFIGURED, &why, 5000) & VDEV_CONFIGURED);
	c = vionet_config(r->dev, &len);
	return c->status;
}

/* Nothing passes while the cable is out; then the guest has to announce. */
static void
test_link(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ .unplugged = true });
	const struct virtio_net_config *c;
	const char *why;
	size_t len;
	unsigned i;

	c = vionet_config(r->dev, &len);
	assert_int_equal(c->status, 0);
	rig_fill(r, 0, 0, 16, 2048);
	rig_frame(frame, 100, rig_mac, rig_peer, 1);
	memcpy(rig_ptr(r, RIG_TX, HDR + 100), frame, HDR + 100);
	for (i = 0; i < 2; i++) {
		rig_send(r, 0, HDR + 100);
		assert_int_equal(rig_outward(r, 0, got, sizeof(got), 50), 0);
		rig_inject(r, 0, frame, HDR + 100);
		assert_int_equal(guest_takes(r, 0, 2048, got, 50), 0);
		vionet_link(r->dev, true);
		assert_int_equal(new_status(r), VIRTIO_NET_S_LINK_UP);
		assert_int_equal(new_status(r),
		    VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
		rig_send(r, 0, HDR + 100);
		assert_int_equal(
		    rig_outward(r, 0, got, sizeof(got), 5000), HDR + 100);
		rig_inject(r, 0, frame, HDR + 100);
		assert_int_equal(guest_takes(r, 0, 2048, got, 5000), HDR + 100);
		assert_int_equal(rig_ctrl(r, VIRTIO_NET_CTRL_ANNOUNCE,
				     VIRTIO_NET_CTRL_ANNOUNCE_ACK, "", 0),
		    VIRTIO_NET_OK);
		assert_int_equal(new_status(r), VIRTIO_NET_S_LINK_UP);
		vionet_link(r->dev, false);
		assert_int_equal(new_status(r), 0);
	}
	/* A reset forgets what was to be announced; the same again is none. */
	vionet_link(r->dev, true);
	assert_int_equal(new_status(r), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(
	    new_status(r), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	rig_reset(r);
	assert_int_equal(c->status, VIRTIO_NET_S_LINK_UP);
	vionet_link(r->dev, true);
	assert_int_equal(rig_report(r, VDEV_CONFIGURED, &why, 600), 0);
	assert_int_equal(rig_start(r), 0);
	rig_free(r);
}

/* A driver that does not know of announcements is not bothered. */
static void
test_link_without_announce(void **state)
{
	struct rig *r = rig_new(
	    &(struct rig_opt){ .without = F(VIRTIO_NET_F_GUEST_ANNOUNCE) });
	const char *why;

	vionet_link(r->dev, false);
	assert_int_equal(new_status(r), 0);
	vionet_link(r->dev, true);
	assert_int_equal(new_status(r), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(rig_report(r, VDEV_CONFIGURED, &why, 600), 0);
	assert_int_equal(rig_ctrl(r, VIRTIO_NET_CTRL_ANNOUNCE,
			     VIRTIO_NET_CTRL_ANNOUNCE_ACK, "", 0),
	    VIRTIO_NET_ERR);
	rig_free(r);
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/*
 * 100000 bytes a second each way, 50000 at once: what goes beyond them takes
 * its time, and a reset does not wait for it.
 */
static void
test_bandwidth(void **state)
{
	struct rig *r =
	    rig_new(&(struct rig_opt){ .bandwidth = { 100000, 50000 } });
	const size_t n = 10000 - HDR;
	unsigned i;
	double t0 = seconds(), t;

	rig_frame(frame, n, rig_mac, rig_peer, 1);
	memcpy(rig_ptr(r, RIG_TX, HDR + n), frame, HDR + n);
	for (i = 0; i < 9; i++) {
		rig_send(r, 0, HDR + n);
		assert_int_equal(
		    rig_outward(r, 0, got, sizeof(got), 5000), HDR + n);
	}
	t = seconds() - t0;
	/* The last is paid for later. */
	assert_true(t > 0.25 && t < 2);
	t0 = seconds();
	rig_fill(r, 0, 0, 16, 16384);
	for (i = 0; i < 9; i++) {
		rig_inject(r, 0, frame, HDR + n);
		assert_int_equal(guest_takes(r, 0, 16384, got, 5000), HDR + n);
	}
	t = seconds() - t0;
	assert_true(t > 0.25 && t < 2);
	t0 = seconds();
	rig_reset(r);
	assert_true(seconds() - t0 < 0.2);
	rig_free(r);
}

static void
test_locked(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ .locked = true });
	uint8_t *p = rig_ptr(r, RIG_TX, 2000);
	struct vionet_stats s;

	rig_frame(p, 1000, rig_peer, other, 1);
	rig_send(r, 0, HDR + 1000);
	assert_int_equal(rig_outward(r, 0, got, sizeof(got), 50), 0);
	rig_frame(p, 1000, rig_peer, rig_mac, 1);
	rig_send(r, 0, HDR + 1000);
	assert_int_equal(rig_outward(r, 0, got, sizeof(got), 5000), HDR + 1000);
	assert_memory_equal(got, p, HDR + 1000);
	assert_int_equal(rig_ctrl(r, 1, 1, other, 6), VIRTIO_NET_ERR);
	vionet_stop(r->dev);
	vionet_stats(r->dev, &s);
	assert_int_equal(s.tx_forged, 1);
	assert_int_equal(s.tx_frames, 1);
	rig_free(r);
}

static _Atomic bool racing;

static void *
forger(void *arg)
{
	volatile uint8_t *src = (uint8_t *)arg + HDR + 6;

	for (unsigned i = 0; racing; i++)
		src[5] = i % 4 == 0 ? 7 : rig_mac[5];
	return NULL;
}

/* A driver that changes the address while the frame is on its way. */
static void
test_locked_race(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ .locked = true });
	uint8_t *p = rig_ptr(r, RIG_TX, 2000);
	unsigned i, sent = 0;
	pthread_t t;

	rig_frame(p, 100, rig_peer, rig_mac, 1);
	racing = true;
	assert_int_equal(pthread_create(&t, NULL, forger, p), 0);
	for (i = 0; i < 3000; i++) {
		rig_send(r, 0, HDR + 100);
		if (rig_outward(r, 0, got, sizeof(got), 0) == 0)
			continue;
		sent++;
		if (memcmp(got + HDR + 6, rig_mac, 6) != 0)
			fail_msg("a forged frame left");
	}
	racing = false;
	pthread_join(t, NULL);
	assert_int_not_equal(sent, 0);
	rig_free(r);
}

/* What a local interface answers never reaches the link. */
static void
test_serves(void **state)
{
	struct rig_opt o = { .serve = true,
		.local = { .host = 0x64400102,
		    .guest = 0x64400103,
		    .host_mac = { 2, 1, 1, 1, 1, 1 } } };
	struct rig *r = rig_new(&o);
	uint8_t *p = rig_ptr(r, RIG_TX, 2000), *ip = p + HDR + 14;
	size_t len = 20 + 8 + 236 + 4 + 3 + 1;

	rig_fill(r, 0, 0, 8, 1526);
	rig_frame(p, 14 + len, broadcast, rig_mac, 0);
	memset(p + HDR + 12, 0, 2 + len);
	p[HDR + 12] = 8;
	ip[0] = 0x45;
	ip[2] = (uint8_t)(len >> 8);
	ip[3] = (uint8_t)len;
	ip[9] = 17;
	ip[20 + 3] = 67;
	ip[20 + 4] = (uint8_t)((len - 20) >> 8);
	ip[20 + 5] = (uint8_t)(len - 20);
	memcpy(ip + 28, "\1\1\6\0abcd", 8);
	memcpy(ip + 28 + 28, rig_mac, 6);
	memcpy(ip + 28 + 236, "\x63\x82\x53\x63\x35\1\1\xff", 8);
	rig_send(r, 0, HDR + 14 + len);
	assert_int_equal(rig_outward(r, 0, got, sizeof(got), 50), 0);
	assert_true(guest_takes(r, 0, 1526, got, 5000) >= HDR + 14 + 28 + 300);
	assert_memory_equal(got + HDR, rig_mac, 6);
	assert_memory_equal(got + HDR + 14 + 28 + 4, "abcd", 4);
	assert_memory_equal(got + HDR + 14 + 28 + 16, "\x64\x40\1\3", 4);
	/* Everything else does. */
	ip[20 + 3] = 68;
	rig_send(r, 0, HDR + 14 + len);
	assert_int_equal(
	    rig_outward(r, 0, got, sizeof(got), 5000), HDR + 14 + len);
	rig_free(r);
}

/* All of len bytes from our end of a stream. */
static void
read_all(struct rig *r, uint8_t *p, size_t len)
{
	size_t n = 0;

	while (n < len)
		n += rig_outward(r, 0, p + n, len - n, 5000);
}

static void
write_all(struct rig *r, const uint8_t *p, size_t len)
{
	struct pollfd w = { r->link[0], POLLOUT, 0 };
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		assert_int_equal(poll(&w, 1, 5000), 1);
		n = write(r->link[0], p, len);
		assert_true(n > 0);
	}
}

static void
put_length(uint8_t *p, size_t n)
{
	p[0] = (uint8_t)(n >> 24);
	p[1] = (uint8_t)(n >> 16);
	p[2] = (uint8_t)(n >> 8);
	p[3] = (uint8_t)n;
}

static void
test_stream_out(void **state)
{
	static const size_t sizes[] = { 14, 60, 1514, 9014, BIG };
	struct rig *r = rig_new(&(struct rig_opt){ .stream = true });
	uint8_t want[4];
	unsigned i;

	assert_false(r->v->offered & F(VIRTIO_NET_F_CSUM));
	for (i = 0; i < 5; i++) {
		rig_frame(frame, sizes[i], rig_peer, rig_mac, i);
		memcpy(rig_ptr(r, RIG_TX, HDR + BIG), frame, HDR + sizes[i]);
		rig_send(r, 0, HDR + sizes[i]);
		read_all(r, got, 4 + sizes[i]);
		put_length(want, sizes[i]);
		assert_memory_equal(got, want, 4);
		assert_memory_equal(got + 4, frame + HDR, sizes[i]);
	}
	rig_free(r);
}

/* More than the socket takes, a reset in the middle: frames stay whole. */
static void
test_stream_out_full(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ .stream = true });
	struct vbuf b = { RIG_TX, HDR + 9000, false };
	unsigned i, n = 0;
	uint8_t want[4];

	put_length(want, 9000);
	rig_frame(rig_ptr(r, RIG_TX, 9100), 9000, rig_peer, rig_mac, 1);
	for (i = 0; i < 100; i++)
		assert_true(vdrv_add(&r->q[1], &b, 1, 0) >= 0);
	rig_kick(r, 1);
	usleep(20000);
	rig_reset(r);
	rig_rings(r, 256);
	assert_int_equal(rig_start(r), 0);
	rig_frame(rig_ptr(r, RIG_TX, 9100), 9000, rig_peer, rig_mac, 7);
	assert_true(vdrv_add(&r->q[1], &b, 1, 0) >= 0);
	rig_kick(r, 1);
	do {
		read_all(r, got, 4 + 9000);
		assert_memory_equal(got, want, 4);
		n++;
	} while (memcmp(got + 4, rig_ptr(r, RIG_TX + HDR, 9000), 9000) != 0);
	assert_in_range(n, 2, 100);
	rig_free(r);
}

/* In pieces of all sizes. */
static void
test_stream_in(void **state)
{
	static const size_t sizes[] = { 14, 1514, 9014, 60, 40000 };
	struct rig *r = rig_new(&(struct rig_opt){ .stream = true });
	size_t at, piece, len;
	unsigned i, round;

	for (round = 0; round < 4; round++) {
		rig_fill(r, 0, 0, 48, 1526);
		for (i = 0; i < 5; i++) {
			len = 4 + sizes[i];
			rig_frame(frame, sizes[i], rig_mac, rig_peer, i);
			put_length(frame + HDR - 4, sizes[i]);
			piece = round == 0 ? 1 : round == 1 ? 3 : 1000;
			if (round == 3 || sizes[i] > 10000)
				piece = len;
			for (at = 0; at < len; at += piece)
				write_all(r, frame + HDR - 4 + at,
				    len - at < piece ? len - at : piece);
			assert_int_equal(
			    guest_takes(r, 0, 1526, got, 5000), HDR + sizes[i]);
			assert_memory_equal(got + HDR, frame + HDR, sizes[i]);
		}
	}
	rig_free(r);
}

/* Nonsense ends the stream and nothing else. */
static void
test_stream_nonsense(void **state)
{
	static const uint32_t lengths[] = { 0, 13, BIG + 1, 0xffffffff };
	struct rig *r;
	unsigned i;

	for (i = 0; i < 4; i++) {
		r = rig_new(&(struct rig_opt){ .stream = true });
		rig_fill(r, 0, 0, 4, 1526);
		put_length(frame, lengths[i]);
		write_all(r, frame, 200);
		assert_int_equal(guest_takes(r, 0, 1526, got, 50), 0);
		rig_reset(r);
		rig_free(r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_send_scattered),
		cmocka_unit_test(test_receive_merged),
		cmocka_unit_test(test_receive_waits),
		cmocka_unit_test(test_receive_small),
		cmocka_unit_test(test_receive_too_large),
		cmocka_unit_test(test_receive_unmerged),
		cmocka_unit_test(test_legacy_header),
		cmocka_unit_test(test_receive_tiny),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_control_refuses),
		cmocka_unit_test(test_filter_overflow),
		cmocka_unit_test(test_offloads_command),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_pairs_unused),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_link_without_announce),
		cmocka_unit_test(test_bandwidth),
		cmocka_unit_test(test_locked),
		cmocka_unit_test(test_locked_race),
		cmocka_unit_test(test_serves),
		cmocka_unit_test(test_stream_out),
		cmocka_unit_test(test_stream_out_full),
		cmocka_unit_test(test_stream_in),
		cmocka_unit_test(test_stream_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
