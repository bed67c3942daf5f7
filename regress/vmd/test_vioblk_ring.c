/* SPDX-License-Identifier: ISC */
/*
 * Block device: queues, interrupts, resets, and drivers that misbehave.
 */
#include <sys/syscall.h>

#include <pthread.h>

#include "vioblk_rig.h"

#define IMAGE (4ull << 20)

static struct rig_kind kinds[] = {
	{ AIO_URING, false },
	{ AIO_URING, true },
	{ AIO_THREADS, false },
	{ AIO_THREADS, true },
};

/* Microseconds that each read by system call takes longer. */
static _Atomic unsigned slow_reads;

ssize_t
preadv2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	if (slow_reads != 0 && (flags & RWF_NOWAIT) == 0)
		usleep(slow_reads);
	else if (slow_reads != 0) {
		errno = EAGAIN;
		return -1;
	}
	return syscall(SYS_preadv2, fd, iov, n, (long)off, 0L, flags);
}

static struct rig *
open_rig(void **state, struct rig_opt o)
{
	o.kind = *(struct rig_kind *)*state;
	o.bytes = IMAGE;
	return rig_new(&o);
}

/* Stage a read or write of 4 KiB as request n; its head. */
static int
stage(struct rig *r, unsigned qi, unsigned n, uint32_t type, uint64_t sector)
{
	uint64_t h = rig_hdr(r, n, type, sector);
	struct vbuf b[3] = {
		{ h, 16, false },
		{ RIG_DATA + n * 4096ull, 4096, type == VIRTIO_BLK_T_IN },
		{ h + 16, 1, true },
	};

	return vdrv_add(&r->q[qi], b, 3, 0x200000 + n * 64ull);
}

static void
take_all(struct rig *r, unsigned qi, unsigned n)
{
	uint32_t len;

	while (n-- > 0)
		rig_used(r, qi, &len);
}

static void
test_depth(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ 0 });
	struct vioblk_stats s;
	uint32_t id, len;
	unsigned i, round;

	for (i = 0; i < 200; i++)
		memset(rig_ptr(r, RIG_DATA + i * 4096ull, 4096), (int)i, 4096);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 200; i++)
			assert_true(
			    stage(r, 0, i,
				round == 0 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
				i * 8) >= 0);
		rig_kick(r, 0);
		take_all(r, 0, 200);
		assert_false(vdrv_take(&r->q[0], &id, &len));
		for (i = 0; i < 200; i++)
			assert_int_equal(rig_status(r, i), 0);
		if (round == 0)
			memset(
			    rig_ptr(r, RIG_DATA, 200 * 4096), 0xff, 200 * 4096);
	}
	for (i = 0; i < 200; i++)
		assert_int_equal(
		    *(uint8_t *)rig_ptr(r, RIG_DATA + i * 4096ull + 99, 1), i);
	vioblk_stop(r->dev);
	vioblk_stats(r->dev, &s);
	assert_int_equal(s.reads, 200);
	assert_int_equal(s.writes, 200);
	assert_int_equal(s.read_bytes, 200 * 4096);
	assert_int_equal(s.errors, 0);
	rig_free(r);
}

/* Wait, by polling memory, for n used elements. */
static void
await_used(struct rig *r, unsigned qi, uint16_t n)
{
	unsigned i;

	for (i = 0; i < 5000; i++) {
		if (__atomic_load_n(&r->q[qi].used->idx, __ATOMIC_ACQUIRE) == n)
			return;
		usleep(1000);
	}
	fail_msg("used index %u", r->q[qi].used->idx);
}

static uint64_t
interrupts(struct rig *r)
{
	uint64_t n = 0;
	struct pollfd p = { r->call[0], POLLIN, 0 };

	if (poll(&p, 1, 50) == 1)
		assert_int_equal(read(r->call[0], &n, 8), 8);
	return n;
}

static void
test_event_idx(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ 0 });
	unsigned i, round;

	/* An interrupt is wanted for the last of 32 only. */
	for (round = 0; round < 3; round++) {
		*vdrv_used_event(&r->q[0]) = (uint16_t)(round * 32 + 31);
		for (i = 0; i < 32; i++)
			stage(r, 0, i, VIRTIO_BLK_T_IN, i * 8);
		rig_kick(r, 0);
		await_used(r, 0, (uint16_t)(round * 32 + 32));
		assert_int_equal(interrupts(r), 1);
		take_all(r, 0, 32);
	}
	/* None is wanted. */
	*vdrv_used_event(&r->q[0]) = 5;
	for (i = 0; i < 32; i++)
		stage(r, 0, i, VIRTIO_BLK_T_IN, i * 8);
	rig_kick(r, 0);
	await_used(r, 0, 128);
	assert_int_equal(interrupts(r), 0);
	rig_free(r);
}

static void
test_flags(void **state)
{
	struct rig *r = open_rig(
	    state, (struct rig_opt){ .without = F(VIRTIO_RING_F_EVENT_IDX) });
	unsigned i;

	r->q[0].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	for (i = 0; i < 32; i++)
		stage(r, 0, i, VIRTIO_BLK_T_IN, i * 8);
	rig_kick(r, 0);
	await_used(r, 0, 32);
	assert_int_equal(interrupts(r), 0);
	r->q[0].avail->flags = 0;
	take_all(r, 0, 32);
	for (i = 0; i < 32; i++)
		stage(r, 0, i, VIRTIO_BLK_T_IN, i * 8);
	rig_kick(r, 0);
	await_used(r, 0, 64);
	assert_in_range(interrupts(r), 1, 32);
	rig_free(r);
}

struct worker {
	struct rig *r;
	unsigned qi;
	bool ok;
};

/* One driver per queue, each with sectors and memory of its own. */
static void *
worker_run(void *arg)
{
	struct worker *w = arg;
	struct rig *r = w->r;
	unsigned i, round, base = w->qi * 32;
	uint32_t id, len;
	uint8_t *p;

	w->ok = true;
	for (round = 0; round < 100; round++) {
		for (i = 0; i < 16; i++) {
			p = rig_ptr(r, RIG_DATA + (base + i) * 4096ull, 4096);
			if (round % 2 == 0)
				memset(p, (int)(round + base + i), 4096);
			else
				memset(p, 0, 4096);
			if (stage(r, w->qi, base + i,
				round % 2 == 0 ? VIRTIO_BLK_T_OUT
					       : VIRTIO_BLK_T_IN,
				(base + i) * 8) < 0)
				w->ok = false;
		}
		rig_kick(r, w->qi);
		for (i = 0; i < 16;)
			if (vdrv_take(&r->q[w->qi], &id, &len))
				i++;
			else if (!rig_sleep(r, w->qi, 5000))
				return NULL;
		for (i = 0; i < 16 && round % 2 == 1; i++) {
			p = rig_ptr(r, RIG_DATA + (base + i) * 4096ull, 4096);
			if (p[4095] != (uint8_t)(round - 1 + base + i))
				w->ok = false;
		}
	}
	return NULL;
}

static void
test_multiqueue(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ .vcpus = 4 });
	struct worker w[4];
	pthread_t t[4];
	unsigned i;

	assert_int_equal(r->nq, 4);
	for (i = 0; i < 4; i++) {
		w[i] = (struct worker){ r, i, false };
		assert_int_equal(
		    pthread_create(&t[i], NULL, worker_run, &w[i]), 0);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_true(w[i].ok);
	}
	rig_free(r);
}

/* Misbehaviour that breaks the ring. */
static void
no_status(struct rig *r)
{
	struct vbuf b = { rig_hdr(r, 0, VIRTIO_BLK_T_IN, 0), 16, false };

	vdrv_add(&r->q[0], &b, 1, 0);
}

static void
short_header(struct rig *r)
{
	uint64_t h = rig_hdr(r, 0, VIRTIO_BLK_T_IN, 0);
	struct vbuf b[2] = { { h, 15, false }, { h + 16, 1, true } };

	vdrv_add(&r->q[0], b, 2, 0);
}

static void
no_header(struct rig *r)
{
	struct vbuf b = { RIG_DATA, 512, true };

	vdrv_add(&r->q[0], &b, 1, 0);
}

static void
empty_chain(struct rig *r)
{
	struct vbuf b = { RIG_DATA, 0, true };

	vdrv_add(&r->q[0], &b, 1, 0);
}

static void
loop(struct rig *r)
{
	stage(r, 0, 0, VIRTIO_BLK_T_IN, 0);
	r->q[0].desc[0] = (struct vring_desc){ RIG_DATA, 1, 1, 0 };
}

static void
bad_head(struct rig *r)
{
	stage(r, 0, 0, VIRTIO_BLK_T_IN, 0);
	r->q[0].avail->ring[(r->q[0].avail_idx - 1) & 255] = 0x7fff;
}

static void
jump(struct rig *r)
{
	r->q[0].avail_idx = 0x4000;
}

static void
outside(struct rig *r)
{
	stage(r, 0, 0, VIRTIO_BLK_T_IN, 0);
	r->q[0].desc[0] = (struct vring_desc){ RIG_MEM - 1, 2, 0, 0 };
}

static void
mmio(struct rig *r)
{
	stage(r, 0, 0, VIRTIO_BLK_T_OUT, 0);
	r->q[0].desc[0] = (struct vring_desc){ 0xfebf0000, 4096, 0, 0 };
}

static const struct {
	const char *name;
	void (*stage)(struct rig *);
	const char *why;
} hostile_rows[] = {
	{ "no status", no_status, "request without header or status" },
	{ "short header", short_header, "request without header or status" },
	{ "no header", no_header, "request without header or status" },
	{ "empty chain", empty_chain, "request without header or status" },
	{ "loop", loop, "invalid virtqueue" },
	{ "bad head", bad_head, "invalid virtqueue" },
	{ "index jumps", jump, "invalid virtqueue" },
	{ "outside of memory", outside, "invalid virtqueue" },
	{ "device memory", mmio, "invalid virtqueue" },
};

static void
test_hostile(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ 0 });
	uint64_t f = vioblk_vdev(r->dev)->offered;
	const uint64_t one = 1;
	const char *why;
	unsigned i, n = sizeof(hostile_rows) / sizeof(hostile_rows[0]);

	for (i = 0; i < n; i++) {
		why = "";
		hostile_rows[i].stage(r);
		vdrv_publish(&r->q[0]);
		assert_int_equal(write(r->kick[0], &one, 8), 8);
		if (rig_report(r, VDEV_BROKEN, &why, 2000) != VDEV_BROKEN ||
		    strcmp(why, hostile_rows[i].why) != 0)
			fail_msg("%s: '%s'", hostile_rows[i].name, why);
		/* Once, whatever else comes. */
		assert_int_equal(write(r->kick[0], &one, 8), 8);
		assert_int_equal(rig_report(r, VDEV_BROKEN, &why, 30), 0);
		rig_reset(r);
		rig_rings(r, f, VIOBLK_QUEUE_SIZE);
		assert_int_equal(rig_start(r, f), 0);
		assert_int_equal(
		    rig_io(r, VIRTIO_BLK_T_IN, 0, RIG_DATA, 512, NULL), 0);
	}
	rig_free(r);
}

static void
test_bad_start(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ .vcpus = 2 });
	uint64_t f = vioblk_vdev(r->dev)->offered;
	struct virtio_ring ring[3] = { 0 };
	const char *why = "";

	assert_int_equal(rig_start(r, f), -EBUSY);
	rig_reset(r);
	assert_int_equal(vioblk_start(r->dev, f, ring, 3), -ERANGE);
	ring[0] = (struct virtio_ring){ .size = 256, .desc = { RIG_MEM - 16 } };
	assert_int_equal(vioblk_start(r->dev, f, ring, 2), 0);
	assert_int_equal(rig_report(r, VDEV_BROKEN, &why, 1000), VDEV_BROKEN);
	assert_string_equal(why, "virtqueue outside of guest memory");
	rig_reset(r);
	ring[0] = (struct virtio_ring){ .size = 100 };
	ring[1] = (struct virtio_ring){ .size = 512 };
	assert_int_equal(vioblk_start(r->dev, f, ring, 2), 0);
	assert_int_equal(rig_report(r, VDEV_BROKEN, &why, 1000), VDEV_BROKEN);
	rig_reset(r);
	/* A driver may use one queue of two. */
	r->q[1].size = 0;
	rig_rings(r, f, VIOBLK_QUEUE_SIZE);
	r->q[1].size = 0;
	assert_int_equal(rig_start(r, f), 0);
	assert_int_equal(rig_io(r, VIRTIO_BLK_T_IN, 0, RIG_DATA, 512, NULL), 0);
	assert_int_equal(vdev_reset(vioblk_vdev(r->dev)), 0);
	assert_int_equal(vdev_reset(vioblk_vdev(r->dev)), -EBUSY);
	rig_free(r);
}

/* Kicks of a queue that is not there, features that nobody offered. */
static void
test_absent_queues(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ .vcpus = 2 });
	uint64_t f = vioblk_vdev(r->dev)->offered;
	const uint64_t one = 1;
	const char *why = "";
	unsigned i, round;

	for (round = 0; round < 50; round++) {
		rig_reset(r);
		for (i = 0; i < r->nq; i++)
			assert_int_equal(write(r->kick[i], &one, 8), 8);
		rig_rings(r, f, VIOBLK_QUEUE_SIZE);
		for (i = 1; i < r->nq; i++)
			r->q[i].size = 0;
		assert_int_equal(rig_start(r, UINT64_MAX), 0);
		for (i = 0; i < r->nq; i++)
			assert_int_equal(write(r->kick[i], &one, 8), 8);
		assert_int_equal(
		    rig_io(r, VIRTIO_BLK_T_IN, 0, RIG_DATA, 512, NULL), 0);
	}
	assert_int_equal(rig_report(r, VDEV_BROKEN, &why, 50), 0);
	f |= F(VIRTIO_F_VERSION_1);
	assert_int_equal(vioblk_vdev(r->dev)->features & ~f, 0);
}

/*
 * Requests that need no disk and make more of themselves available: a round
 * ends when the ring was served once, so that the main thread is heard.
 */
static void
test_rounds_end(void **state)
{
	struct rig *r = open_rig(state,
	    (struct rig_opt){
		.qsize = 64, .without = F(VIRTIO_RING_F_EVENT_IDX) });
	struct vdrv *d = &r->q[0];
	uint64_t h = rig_hdr(r, 0, VIRTIO_BLK_T_GET_ID, 0);
	struct vbuf b[3] = { { h, 16, false }, { RIG_DATA, 20, true },
		{ h + 16, 1, true } };
	int head = vdrv_add(d, b, 3, 0), last;
	unsigned i;

	/* The last one writes the first byte of the serial number, an s, into
	 * the available index. */
	b[1] = (struct vbuf){ d->avail_gpa.v + 2, 1, true };
	last = vdrv_add(d, b, 3, 0);
	for (i = 0; i < 64; i++)
		d->avail->ring[i] = (uint16_t)(i < 63 ? head : last);
	d->avail_idx = 64;
	rig_kick(r, 0);
	await_used(r, 0, 's');
	assert_true(interrupts(r) >= 2);
	rig_free(r);
}

/*
 * Reset with requests in flight: once it is done, memory is left alone, and
 * the device can be started again.
 */
static void
test_reset_midway(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ 0 });
	uint64_t f = vioblk_vdev(r->dev)->offered;
	uint8_t *low = rig_ptr(r, 0, 0x300000), *copy = malloc(0x300000);
	uint8_t *data = rig_ptr(r, RIG_DATA, 64 * 4096);
	unsigned i, k, round;

	slow_reads = 500;
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 64; i++)
			stage(r, 0, i, VIRTIO_BLK_T_IN, i * 8);
		rig_kick(r, 0);
		usleep(round * 100);
		rig_reset(r);
		memset(data, 0xa5, 64 * 4096);
		memcpy(copy, low, 0x300000);
		usleep(3000);
		assert_memory_equal(copy, low, 0x300000);
		for (k = 0; k < 64 * 4096; k++)
			assert_int_equal(data[k], 0xa5);
		rig_rings(r, f, VIOBLK_QUEUE_SIZE);
		assert_int_equal(rig_start(r, f), 0);
		assert_int_equal(
		    rig_io(r, VIRTIO_BLK_T_IN, 0, RIG_DATA, 512, NULL), 0);
	}
	slow_reads = 0;
	free(copy);
	rig_free(r);
}

/* Start and reset without a pause: neither answer is lost. */
static void
test_reset_storm(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ .vcpus = 8 });
	uint64_t f = vioblk_vdev(r->dev)->offered;
	unsigned i;

	for (i = 0; i < 300; i++) {
		rig_reset(r);
		rig_rings(r, f, 64);
		assert_int_equal(rig_start(r, f), 0);
	}
	assert_int_equal(rig_io(r, VIRTIO_BLK_T_IN, 0, RIG_DATA, 512, NULL), 0);
	rig_free(r);
}

struct racer {
	struct rig *r;
	bool stop;
};

/* Another vCPU rewrites descriptors and headers while they are in use. */
static void *
racer_run(void *arg)
{
	struct racer *x = arg;
	uint64_t s = 88172645463325252ull;
	struct vring_desc *t = rig_ptr(x->r, 0x200000, 64 * 64);
	uint8_t *h = rig_ptr(x->r, 0x100000, 64 * 32);
	unsigned i;

	while (!__atomic_load_n(&x->stop, __ATOMIC_RELAXED)) {
		s ^= s << 13;
		s ^= s >> 7;
		s ^= s << 17;
		i = (unsigned)(s >> 8) % 256;
		t[i].len = (uint32_t)(s >> 40) % 8192;
		t[i].flags = (uint16_t)(s >> 16) & (uint16_t)(s >> 32) & 7;
		h[(s >> 20) % (64 * 32)] = (uint8_t)(s >> 50);
	}
	return NULL;
}

static void
test_toctou(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ 0 });
	uint64_t f = vioblk_vdev(r->dev)->offered;
	struct racer x = { r, false };
	const char *why;
	pthread_t t;
	unsigned i, round;

	assert_int_equal(pthread_create(&t, NULL, racer_run, &x), 0);
	for (round = 0; round < 100; round++) {
		for (i = 0; i < 64; i++)
			stage(r, 0, i,
			    i % 2 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, i * 8);
		rig_kick(r, 0);
		rig_report(r, VDEV_BROKEN, &why, 10);
		rig_reset(r);
		rig_rings(r, f, VIOBLK_QUEUE_SIZE);
		assert_int_equal(rig_start(r, f), 0);
	}
	__atomic_store_n(&x.stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	assert_int_equal(rig_io(r, VIRTIO_BLK_T_IN, 0, RIG_DATA, 512, NULL), 0);
	rig_free(r);
}

/* Depth one, the common case: at most two system calls a request. */
static void
test_syscalls(void **state)
{
	const struct rig_kind *k = *state;
	struct vioblk_stats s;
	struct rig *r;
	unsigned i;

	if (k->engine != AIO_URING)
		return;
	r = open_rig(state, (struct rig_opt){ 0 });
	for (i = 0; i < 1000; i++)
		assert_int_equal(
		    rig_io(r, VIRTIO_BLK_T_OUT, i % 1024, RIG_DATA, 4096, NULL),
		    0);
	for (i = 0; i < 1000; i++)
		assert_int_equal(
		    rig_io(r, VIRTIO_BLK_T_IN, i % 1024, RIG_DATA, 4096, NULL),
		    0);
	vioblk_stop(r->dev);
	vioblk_stats(r->dev, &s);
	assert_in_range(s.syscalls, 1, 2 * 2000 + 40);
	rig_free(r);
}

/* What the device wrote is marked, page by page; what it read is not. */
static void
test_written(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ 0 });
	uint64_t first = (RIG_DATA + 512) / 4096, i, bits[RIG_MEM / 4096 / 64];

	memset(rig_ptr(r, RIG_DATA, 16384), 0x5a, 16384);
	for (i = 0; i < RIG_MEM / 4096 / 64; i++)
		(void)gmem_take(&r->mem, i);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_OUT, 0, RIG_DATA + 512, 8192, NULL), 0);
	for (i = 0; i < RIG_MEM / 4096 / 64; i++)
		bits[i] = gmem_take(&r->mem, i);
	for (i = first; i < first + 3; i++)
		assert_int_equal(bits[i / 64] >> i % 64 & 1, 0);
	memset(rig_ptr(r, RIG_DATA, 16384), 0, 16384);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_IN, 0, RIG_DATA + 512, 8192, NULL), 0);
	for (i = 0; i < RIG_MEM / 4096 / 64; i++)
		bits[i] |= gmem_take(&r->mem, i);
	for (i = first; i < first + 3; i++)
		assert_int_equal(bits[i / 64] >> i % 64 & 1, 1);
	assert_int_equal(bits[(first + 3) / 64] >> (first + 3) % 64 & 1, 0);
	rig_free(r);
}

int
main(void)
{
#define ALL(f)                                       \
	cmocka_unit_test_prestate(f, &kinds[0]),     \
	    cmocka_unit_test_prestate(f, &kinds[1]), \
	    cmocka_unit_test_prestate(f, &kinds[2]), \
	    cmocka_unit_test_prestate(f, &kinds[3])
	const struct CMUnitTest tests[] = {
		ALL(test_depth),
		ALL(test_event_idx),
		ALL(test_flags),
		ALL(test_multiqueue),
		ALL(test_hostile),
		ALL(test_bad_start),
		ALL(test_absent_queues),
		ALL(test_rounds_end),
		ALL(test_reset_midway),
		ALL(test_reset_storm),
		ALL(test_toctou),
		ALL(test_syscalls),
		ALL(test_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
