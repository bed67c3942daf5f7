/* SPDX-License-Identifier: ISC */
/*
 * Block device: interrupts that wait for the requests after.  The test is the
 * queue's thread, so that nothing depends on who is faster.
 */
#include <sys/mman.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../vdriver.h"
#include "aio_sync.h"
#include "vioblk_impl.h"

#define MEM   (1ULL << 20)
#define IMAGE (64 * 1024)
#define HDR   0x20000ULL
#define TABLE 0x30000ULL
#define DATA  0x40000ULL
#define SIZE  64

struct env {
	struct gmem mem;
	struct vioblk *dev;
	struct vioblk_queue *q;
	struct vdrv drv;
	unsigned n; /* requests made available */
};

static int
set_up(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	struct vioblk_conf conf = { .vcpus = 1 };
	struct disk_layer layer = { .format = VM_DISK_RAW };
	struct virtio_ring ring = { .size = SIZE };
	struct aio_conf aio = { 0 };
	struct vdev *v;
	struct why why;

	assert_non_null(e);
	layer.fd = memfd_create("image", MFD_CLOEXEC);
	assert_int_equal(ftruncate(layer.fd, IMAGE), 0);
	assert_int_equal(gmem_create(&e->mem, MEM), 0);
	assert_int_equal(vioblk_new(&e->dev, &conf, &layer, 1, &why), 0);
	v = vioblk_vdev(e->dev);
	assert_int_equal(vdev_set_memory(v, dup(e->mem.fd), MEM), 0);
	e->q = &e->dev->queue[0];
	disk_aio(e->dev->disk, &aio);
	assert_int_equal(aio_sync_new(&e->q->aio, &aio), 0);
	vdrv_init(&e->drv, &e->mem, 0, SIZE, true);
	ring.desc = e->drv.desc_gpa;
	ring.avail = e->drv.avail_gpa;
	ring.used = e->drv.used_gpa;
	assert_int_equal(vdev_start(v, v->offered, &ring, 1), 0);
	assert_true(vdev_ok(v));
	*state = e;
	return 0;
}

static int
tear_down(void **state)
{
	struct env *e = *state;

	vioblk_free(e->dev);
	gmem_destroy(&e->mem);
	free(e);
	return 0;
}

static void
put(struct env *e, uint32_t type)
{
	uint64_t h = HDR + e->n % SIZE * 32, d = DATA + e->n % SIZE * 512;
	struct virtio_blk_outhdr *hdr =
	    gmem_range(&e->mem, (struct gpa){ h }, 32);
	struct vbuf v[3] = {
		{ h, 16, false },
		{ d, 512, true },
		{ h + 16, 1, true },
	};

	hdr->type = type;
	hdr->sector = 0;
	assert_true(vdrv_add(&e->drv, v, 3, TABLE + e->n++ % SIZE * 64) >= 0);
	vdrv_publish(&e->drv);
}

static unsigned
take_all(struct env *e)
{
	uint32_t id, len;
	unsigned n = 0;

	while (vdrv_take(&e->drv, &id, &len))
		n++;
	return n;
}

static int
round_of(struct env *e)
{
	int events = vioblk_queue_round(e->q);

	assert_true(events >= 0);
	return events;
}

/* Answers in the used ring that the driver was not told of. */
static unsigned
untold(const struct env *e)
{
	return virtq_unsignalled(&e->q->v.vq);
}

/* More is there when the interrupt is due: one goes with all, yet not with too
 * many. */
static void
test_together(void **state)
{
	struct env *e = *state;
	uint64_t told = 0;
	unsigned i, most = 0;

	vdrv_want_used(&e->drv);
	for (i = 0; i < SIZE - 1; i++) {
		put(e, VIRTIO_BLK_T_IN);
		assert_true((round_of(e) & AIO_DONE) != 0);
		assert_true(untold(e) <= BATCH_MAX);
		if (untold(e) > most)
			most = untold(e);
		if (e->q->stats.interrupts != told) {
			told = e->q->stats.interrupts;
			take_all(e);
			vdrv_want_used(&e->drv);
		}
	}
	assert_int_equal(most, BATCH_MAX);
	/* No more comes. */
	assert_int_equal(round_of(e), 0);
	assert_int_equal(untold(e), 0);
	assert_in_range(e->q->stats.interrupts, (SIZE - 1) / (BATCH_MAX + 1),
	    SIZE / BATCH_MAX);
}

/* What came needs no disk, so nothing will end the sleep that follows. */
static void
test_no_sleep(void **state)
{
	static const uint32_t type[] = { VIRTIO_BLK_T_GET_ID, 0x7777 };
	struct env *e = *state;
	uint64_t interrupts;
	unsigned i;

	for (i = 0; i < 8; i++) {
		vdrv_want_used(&e->drv);
		interrupts = e->q->stats.interrupts;
		put(e, VIRTIO_BLK_T_IN);
		assert_true((round_of(e) & AIO_DONE) != 0);
		assert_int_equal(e->q->stats.interrupts, interrupts);
		put(e, type[i % 2]);
		assert_int_equal(round_of(e) & AIO_DONE, 0);
		assert_int_equal(e->q->stats.interrupts, interrupts + 1);
		assert_int_equal(take_all(e), 2);
	}
}

/* A driver that waits after one is told at once, when that is known. */
static void
test_alone(void **state)
{
	struct env *e = *state;
	uint64_t waits = 0;
	unsigned i;

	for (i = 0; i < 4 * BATCH_REST; i++) {
		if (i == 3 * BATCH_REST)
			waits = e->q->stats.waits;
		vdrv_want_used(&e->drv);
		put(e, VIRTIO_BLK_T_IN);
		assert_true((round_of(e) & AIO_DONE) != 0);
		assert_int_equal(round_of(e), 0);
		assert_int_equal(e->q->stats.interrupts, i + 1);
		assert_int_equal(take_all(e), 1);
	}
	assert_in_range(e->q->stats.waits - waits, 0, 2);
}

/* Who does not want any gets none, and nothing waits for him. */
static void
test_unwanted(void **state)
{
	struct env *e = *state;
	unsigned i;

	*vdrv_used_event(&e->drv) = 0x4000;
	for (i = 0; i < SIZE; i++) {
		put(e, VIRTIO_BLK_T_IN);
		round_of(e);
	}
	assert_int_equal(round_of(e), 0);
	assert_int_equal(e->q->stats.interrupts, 0);
	assert_int_equal(e->q->stats.waits, 0);
}

#define T(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_together),
		T(test_no_sleep),
		T(test_alone),
		T(test_unwanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
