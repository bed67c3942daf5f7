/* SPDX-License-Identifier: ISC */
/*
 * Network device: drivers that misbehave, resets, links that go away.
 */
#include <sys/mman.h>
#include <pthread.h>

#include "log.h"
#include "vionet_rig.h"

#define OUTSIDE (RIG_MEM - 1)

static uint8_t got[70000];

/* Misbehaviour: what the driver puts into queue qi. */
static void
loop(struct rig *r, unsigned qi)
{
	struct vbuf b = { RIG_TX, 2048, (qi & 1) == 0 };

	vdrv_add(&r->q[qi], &b, 1, 0);
	r->q[qi].desc[0].flags |= VRING_DESC_F_NEXT;
	r->q[qi].desc[0].next = 0;
}

static void
two_cycle(struct rig *r, unsigned qi)
{
	loop(r, qi);
	r->q[qi].desc[0].next = 1;
	r->q[qi].desc[1] = r->q[qi].desc[0];
	r->q[qi].desc[1].next = 0;
}

static void
bad_head(struct rig *r, unsigned qi)
{
	struct vbuf b = { RIG_TX, 2048, (qi & 1) == 0 };

	vdrv_add(&r->q[qi], &b, 1, 0);
	r->q[qi].avail->ring[(r->q[qi].avail_idx - 1) & 255] = 0x7fff;
}

static void
jump(struct rig *r, unsigned qi)
{
	r->q[qi].avail_idx = 0x4000;
}

static void
outside(struct rig *r, unsigned qi)
{
	struct vbuf b = { OUTSIDE, 2, (qi & 1) == 0 };

	vdrv_add(&r->q[qi], &b, 1, 0);
}

static void
wraps(struct rig *r, unsigned qi)
{
	struct vbuf b = { UINT64_MAX - 100, 0xffffffff, (qi & 1) == 0 };

	vdrv_add(&r->q[qi], &b, 1, 0);
}

static void
device_memory(struct rig *r, unsigned qi)
{
	struct vbuf b = { 0xfebf0000, 2048, (qi & 1) == 0 };

	vdrv_add(&r->q[qi], &b, 1, 0);
}

static void
nested(struct rig *r, unsigned qi)
{
	struct vbuf b[2] = { { RIG_TX, 2048, (qi & 1) == 0 },
		{ RIG_TX, 2048, (qi & 1) == 0 } };
	struct vring_desc *t;

	vdrv_add(&r->q[qi], b, 2, RIG_TABLES);
	t = rig_ptr(r, RIG_TABLES, 32);
	t[0].flags = VRING_DESC_F_INDIRECT;
}

static void
odd_table(struct rig *r, unsigned qi)
{
	nested(r, qi);
	r->q[qi].desc[0].len = 17;
}

static void
no_table(struct rig *r, unsigned qi)
{
	nested(r, qi);
	r->q[qi].desc[0].len = 0;
}

static void
empty(struct rig *r, unsigned qi)
{
	struct vbuf b = { RIG_TX, 0, (qi & 1) == 0 };

	vdrv_add(&r->q[qi], &b, 1, 0);
}

static void
short_header(struct rig *r, unsigned qi)
{
	struct vbuf b = { RIG_TX, HDR - 1, (qi & 1) == 0 };

	vdrv_add(&r->q[qi], &b, 1, 0);
}

static void
wrong_way(struct rig *r, unsigned qi)
{
	struct vbuf b = { RIG_TX, 2048, (qi & 1) != 0 };

	vdrv_add(&r->q[qi], &b, 1, 0);
}

static void
both_ways(struct rig *r, unsigned qi)
{
	struct vbuf b[2] = { { RIG_TX, 2048, false }, { RIG_TX, 64, true } };

	vdrv_add(&r->q[qi], b, 2, 0);
}

/*
 * Buffers that are the rings themselves, or each other: the driver's own
 * damage (CVE-2024-3446).  The device may break and works after a reset.
 */
static void
test_overlap(void **state)
{
	static uint8_t frame[HDR + 4000];
	static const uint64_t at[] = { 0, 0x1000, 0x10000, RIG_RX, RIG_TX };
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	const char *why;
	unsigned i, k;

	rig_frame(frame, 4000, rig_mac, rig_peer, 1);
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct vbuf in = { at[i], 0x8000, true };
		struct vbuf out[3] = { { at[i], 2048, false },
			{ at[i] + 16, 2048, false }, { at[i], 32, false } };

		for (k = 0; k < 16; k++) {
			vdrv_add(&r->q[0], &in, 1, 0);
			vdrv_add(&r->q[1], out, 3, 0);
		}
		rig_kick(r, 0);
		rig_kick(r, 1);
		for (k = 0; k < 16; k++)
			(void)!write(r->link[0], frame, sizeof(frame));
		(void)rig_report(r, VDEV_BROKEN, &why, 30);
		rig_reset(r);
		while (rig_outward(r, 0, got, sizeof(got), 20) != 0)
			;
		memset(rig_ptr(r, 0, 0x40000), 0, 0x40000);
		rig_rings(r, 256);
		assert_int_equal(rig_start(r), 0);
		rig_frame(rig_ptr(r, RIG_TX, 200), 100, rig_peer, rig_mac, 1);
		rig_send(r, 0, HDR + 100);
		assert_int_equal(
		    rig_outward(r, 0, got, sizeof(got), 5000), HDR + 100);
	}
	rig_free(r);
}

static const struct {
	const char *name;
	void (*stage)(struct rig *, unsigned qi);
	bool control; /* is one for the control queue too */
} rows[] = {
	{ "loop", loop, true }, /* CVE-2019-3900 */
	{ "two-cycle", two_cycle, true },
	{ "bad head", bad_head, true },
	{ "index jumps", jump, true }, /* CVE-2016-5403 */
	{ "outside of memory", outside, true },
	{ "address wraps", wraps, true }, /* CVE-2016-7422 */
	{ "device memory", device_memory, true }, /* CVE-2024-3446 */
	{ "table in a table", nested, true }, /* CVE-2019-14835 */
	{ "odd table", odd_table, true },
	{ "empty table", no_table, true },
	{ "nothing", empty, true },
	{ "short header", short_header, false }, /* CVE-2023-6693 */
	{ "wrong way", wrong_way, false },
	{ "both ways", both_ways, false },
};

static void
restart(struct rig *r)
{
	rig_reset(r);
	rig_rings(r, 256);
	assert_int_equal(rig_start(r), 0);
}

/* The device works: a frame goes out. */
static void
works(struct rig *r)
{
	rig_frame(rig_ptr(r, RIG_TX, 200), 100, rig_peer, rig_mac, 1);
	rig_send(r, 0, HDR + 100);
	assert_int_equal(rig_outward(r, 0, got, sizeof(got), 5000), HDR + 100);
}

static void
test_hostile(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	const uint64_t one = 1;
	unsigned i, qi;
	const char *why;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (qi = 0; qi < (rows[i].control ? 3u : 2u); qi++) {
			why = "";
			/* As for a control queue: not device-writable. */
			rows[i].stage(r, qi == 2 ? 2 : qi);
			vdrv_publish(&r->q[qi]);
			assert_int_equal(write(r->kick[qi], &one, 8), 8);
			if (rig_report(r, VDEV_BROKEN, &why, 3000) !=
			    VDEV_BROKEN)
				fail_msg("%s, queue %u", rows[i].name, qi);
			/* Once, whatever else comes. */
			assert_int_equal(write(r->kick[qi], &one, 8), 8);
			assert_int_equal(
			    rig_report(r, VDEV_BROKEN, &why, 20), 0);
			restart(r);
			works(r);
		}
	}
	rig_free(r);
}

/* A control request that can be read but not answered. */
static void
test_no_answer(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	struct vbuf b = { RIG_CTRL, 3, false };
	const uint64_t one = 1;
	const char *why = "";

	vdrv_add(&r->q[2], &b, 1, 0);
	vdrv_publish(&r->q[2]);
	assert_int_equal(write(r->kick[2], &one, 8), 8);
	assert_int_equal(rig_report(r, VDEV_BROKEN, &why, 3000), VDEV_BROKEN);
	assert_string_equal(why, "control request without room for an answer");
	restart(r);
	works(r);
	rig_free(r);
}

static void
test_bad_start(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ .pairs = 2 });
	struct virtio_ring ring[6] = { 0 };
	const char *why = "";

	assert_int_equal(rig_start(r), -EBUSY);
	rig_reset(r);
	assert_int_equal(vionet_start(r->dev, r->features, ring, 6), -ERANGE);
	ring[0] = (struct virtio_ring){ .size = 256, .desc = { OUTSIDE - 15 } };
	assert_int_equal(vionet_start(r->dev, r->features, ring, 5), 0);
	assert_int_equal(rig_report(r, VDEV_BROKEN, &why, 1000), VDEV_BROKEN);
	assert_string_equal(why, "virtqueue outside of guest memory");
	/* The link refuses. */
	rig_reset(r);
	rig_rings(r, 256);
	rig_link.error = -EIO;
	assert_int_equal(rig_start(r), 0);
	assert_int_equal(rig_report(r, VDEV_BROKEN, &why, 1000), VDEV_BROKEN);
	assert_string_equal(why, "the interface refuses its settings");
	rig_link.error = 0;
	restart(r);
	works(r);
	/* No queue at all, then only the first. */
	rig_reset(r);
	memset(ring, 0, sizeof(ring));
	assert_int_equal(vionet_start(r->dev, r->features, ring, 5), 0);
	rig_reset(r);
	assert_int_equal(vionet_start(r->dev, 0, ring, 0), 0);
	restart(r);
	works(r);
	rig_free(r);
}

/*
 * Kicks of queues that the driver did not set up, and features that nobody
 * offered: of no effect.
 */
static void
test_absent_queues(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ .pairs = 3 });
	const uint64_t one = 1;
	const char *why;
	unsigned i, round;

	rig_reset(r);
	for (round = 0; round < 50; round++) {
		r->features = r->v->offered;
		rig_rings(r, 256);
		r->features = UINT64_MAX;
		for (i = 2; i < r->nq; i++)
			r->q[i].size = 0;
		assert_int_equal(rig_start(r), 0);
		for (i = 0; i < r->nq; i++)
			assert_int_equal(write(r->kick[i], &one, 8), 8);
		works(r);
		rig_reset(r);
	}
	/* Between a reset and the next start. */
	for (i = 0; i < r->nq; i++)
		assert_int_equal(write(r->kick[i], &one, 8), 8);
	assert_int_equal(rig_report(r, VDEV_BROKEN, &why, 50), 0);
	assert_int_equal(
	    r->v->features & ~(r->v->offered | F(VIRTIO_F_VERSION_1)), 0);
	r->features = r->v->offered;
	rig_rings(r, 256);
	assert_int_equal(rig_start(r), 0);
	works(r);
	rig_free(r);
}

/* OpenBSD 6.9-001: frames of a guest do not fill the host's log. */
static void
test_log_flood(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ .locked = true });
	int log = memfd_create("log", MFD_CLOEXEC), old = dup(STDERR_FILENO);
	char text[8192];
	ssize_t n;
	unsigned i, lines = 0;

	assert_true(log >= 0 && old >= 0);
	log_init(LOG_TO_STDERR, "test");
	dup2(log, STDERR_FILENO);
	rig_frame(rig_ptr(r, RIG_TX, 200), 100, rig_mac, rig_peer, 1);
	for (i = 0; i < 2000; i++)
		rig_send(r, 0, HDR + 100);
	dup2(old, STDERR_FILENO);
	close(old);
	n = pread(log, text, sizeof(text), 0);
	for (i = 0; (ssize_t)i < n; i++)
		lines += text[i] == '\n';
	close(log);
	assert_in_range(lines, 1, 12);
	rig_free(r);
}

/* CVE-2026-45782.  Once a reset is done, memory is left alone, whatever arrives. */
static void
test_reset_midway(void **state)
{
	static uint8_t frame[HDR + 9000];
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	uint8_t *mem = rig_ptr(r, 0, RIG_TX), *copy = malloc(RIG_TX);
	unsigned round, i;
	ssize_t n;

	assert_non_null(copy);
	rig_frame(frame, 9000, rig_mac, rig_peer, 1);
	for (round = 0; round < 20; round++) {
		rig_fill(r, 0, 0, 200, 1526);
		for (i = 0; i < 6; i++)
			n = write(r->link[0], frame, sizeof(frame));
		rig_reset(r);
		memcpy(copy, mem, RIG_TX);
		n = write(r->link[0], frame, sizeof(frame));
		(void)n;
		usleep(2000);
		assert_memory_equal(copy, mem, RIG_TX);
		rig_rings(r, 256);
		assert_int_equal(rig_start(r), 0);
	}
	works(r);
	free(copy);
	rig_free(r);
}

/* The interface was taken away: no traffic, nothing else. */
static void
test_link_gone(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	struct vbuf b = { RIG_TX, HDR + 100, false };
	uint32_t id, len;
	const char *why;

	rig_fill(r, 0, 0, 8, 1526);
	rig_frame(rig_ptr(r, RIG_TX, 200), 100, rig_peer, rig_mac, 1);
	close(r->link[0]);
	r->link[0] = -1;
	assert_true(vdrv_add(&r->q[1], &b, 1, 0) >= 0);
	rig_kick(r, 1);
	assert_true(rig_take(r, 1, &id, &len, 5000));
	assert_int_equal(rig_report(r, VDEV_BROKEN, &why, 50), 0);
	rig_reset(r);
	rig_free(r);
}

/* The link takes nothing: frames wait, and go when it does. */
static void
test_link_blocked(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	struct vbuf b = { RIG_TX, HDR + 9000, false };
	uint32_t id, len;
	unsigned i;

	rig_frame(rig_ptr(r, RIG_TX, 9100), 9000, rig_peer, rig_mac, 1);
	for (i = 0; i < 200; i++)
		assert_true(vdrv_add(&r->q[1], &b, 1, 0) >= 0);
	rig_kick(r, 1);
	usleep(20000);
	for (i = 0; i < 200; i++) {
		assert_int_equal(
		    rig_outward(r, 0, got, sizeof(got), 5000), HDR + 9000);
		assert_memory_equal(got, rig_ptr(r, RIG_TX, 9100), HDR + 9000);
	}
	for (i = 0; i < 200; i++)
		assert_true(rig_take(r, 1, &id, &len, 5000));
	/* A reset while it is blocked. */
	for (i = 0; i < 200; i++)
		vdrv_add(&r->q[1], &b, 1, 0);
	rig_kick(r, 1);
	usleep(20000);
	restart(r);
	while (rig_outward(r, 0, got, sizeof(got), 20) != 0)
		;
	works(r);
	rig_free(r);
}

static _Atomic bool scribbling;

/* Rewrites descriptors, the available ring and the data all the time. */
static void *
scribbler(void *arg)
{
	struct rig *r = arg;
	uint32_t x = 1;
	unsigned qi;

	while (scribbling) {
		x = x * 1664525 + 1013904223;
		qi = x >> 30;
		if (qi == 3)
			qi = 1;
		switch (x >> 27 & 7) {
		case 0:
			r->q[qi].desc[x & 255].addr = x & 0x3ffffff;
			break;
		case 1:
			r->q[qi].desc[x & 255].len = x & 0x3fff;
			break;
		case 2:
			r->q[qi].desc[x & 255].flags = x & 7;
			break;
		case 3:
			r->q[qi].desc[x & 255].next = x & 0x1ff;
			break;
		case 4:
			r->q[qi].avail->ring[x & 255] = x & 0x1ff;
			break;
		case 5:
			r->q[qi].avail->flags = x & 1;
			break;
		case 6:
			*vdrv_used_event(&r->q[qi]) = (uint16_t)x;
			break;
		default:
			/* Sometimes right, to get far. */
			r->q[qi].desc[x & 255] =
			    (struct vring_desc){ RIG_TX + (x & 0xfff), 1526,
				    qi == 0 ? VRING_DESC_F_WRITE : 0, 0 };
		}
	}
	return NULL;
}

/* Whatever a driver writes while the device runs: it breaks at most. */
static void
test_scribble(void **state)
{
	static uint8_t frame[HDR + 3000];
	struct rig *r = rig_new(&(struct rig_opt){ .locked = true,
	    .serve = true,
	    .local = {
		.host = 0x64400102, .guest = 0x64400103, .inet6 = true } });
	const uint64_t one = 1;
	unsigned round, qi, i;
	const char *why;
	pthread_t t;

	rig_frame(frame, 3000, rig_mac, rig_peer, 1);
	for (round = 0; round < 150; round++) {
		scribbling = true;
		assert_int_equal(pthread_create(&t, NULL, scribbler, r), 0);
		for (i = 0; i < 20; i++) {
			for (qi = 0; qi < 3; qi++) {
				__atomic_fetch_add(
				    &r->q[qi].avail->idx, 13, __ATOMIC_RELEASE);
				(void)!write(r->kick[qi], &one, 8);
			}
			(void)!write(r->link[0], frame, sizeof(frame));
			event_base_loop(r->base, EVLOOP_NONBLOCK);
			(void)!read(r->link[0], got, sizeof(got));
		}
		(void)rig_report(r, VDEV_BROKEN, &why, 10);
		scribbling = false;
		pthread_join(t, NULL);
		restart(r);
	}
	while (rig_outward(r, 0, got, sizeof(got), 20) != 0)
		;
	works(r);
	rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_bad_start),
		cmocka_unit_test(test_absent_queues),
		cmocka_unit_test(test_log_flood),
		cmocka_unit_test(test_reset_midway),
		cmocka_unit_test(test_link_gone),
		cmocka_unit_test(test_link_blocked),
		cmocka_unit_test(test_scribble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
