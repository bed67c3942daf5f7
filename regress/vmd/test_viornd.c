/* SPDX-License-Identifier: ISC */

/* The entropy device (vmd/viornd.c), driven by rings in guest memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>
#include <linux/virtio_ring.h>
#include "gmem.h"
#include "viornd.h"
#include "virtio_fake.h"

#define VERSION1 (UINT64_C(1) << 32)
#define RAM	 (16ULL << 20)
#define QSIZE	 64
#define DESC	 0x10000
#define AVAIL	 0x20000
#define USED	 0x30000
#define BUFFER	 0x100000
#define VECTOR	 0x51
#define NO_KICK	 1

struct fix {
	struct fake *f;
	struct gmem mem;
	struct viornd *r;
	struct drv d;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t seen; /* used elements looked at */
};

static int
setup(void **state)
{
	struct fix *x = calloc(1, sizeof(*x));

	x->f = fake_new();
	assert_int_equal(gmem_create(&x->mem, RAM), 0);
	x->r = viornd_new(&x->f->pci, &x->f->host, &x->mem, "viornd0");
	assert_non_null(x->r);
	drv_find(&x->d, x->f, 2);
	x->desc = gmem_range(&x->mem, (struct gpa){ DESC }, 0x1000);
	x->avail = gmem_range(&x->mem, (struct gpa){ AVAIL }, 0x1000);
	x->used = gmem_range(&x->mem, (struct gpa){ USED }, 0x1000);
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *x = *state;

	viornd_free(x->r);
	assert_int_equal(fake_nio(x->f) + fake_nirq(x->f), 0);
	gmem_destroy(&x->mem);
	fake_free(x->f);
	free(x);
	return 0;
}

static void
bring_up_at(struct fix *x, uint64_t desc)
{
	memset(x->desc, 0, 0x1000);
	memset(x->avail, 0, 0x1000);
	memset(x->used, 0, 0x1000);
	x->seen = 0;
	assert_true(drv_negotiate(&x->d, VERSION1));
	drv_msix(&x->d, MSIX_CONTROL_ENABLE);
	drv_vector(&x->d, 0, VECTOR - 1);
	drv_vector(&x->d, 1, VECTOR);
	com_wr(&x->d, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	drv_queue(&x->d, 0, QSIZE, desc, AVAIL, USED);
	com_wr(&x->d, VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	drv_enable(&x->d, 0);
	drv_set_status(&x->d, 15);
	fake_run(x->f);
}

static void
bring_up(struct fix *x)
{
	bring_up_at(x, DESC);
	assert_int_equal(drv_status(&x->d), 15);
}

static void
set_desc(struct fix *x, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags,
    uint16_t next)
{
	x->desc[i] = (struct vring_desc){
		.addr = addr, .len = len, .flags = flags, .next = next
	};
}

static void
offer(struct fix *x, uint16_t head)
{
	uint16_t idx = x->avail->idx;

	x->avail->ring[idx % QSIZE] = head;
	__atomic_store_n(&x->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

static void
kick(struct fix *x)
{
	fake_out(x->f, x->d.notify, 0);
	/* More than one turn of the event loop may be needed. */
	for (unsigned i = 0; i < 20; i++)
		fake_run(x->f);
}

/* Bytes of the next used element; fails when there is none. */
static uint32_t
used_len(struct fix *x, uint16_t head)
{
	struct vring_used_elem *e = &x->used->ring[x->seen % QSIZE];

	assert_true(x->used->idx != x->seen);
	assert_int_equal(e->id, head);
	x->seen++;
	return e->len;
}

static unsigned
nonzero(struct fix *x, uint64_t gpa, size_t len)
{
	const uint8_t *p = gmem_range(&x->mem, (struct gpa){ gpa }, len);
	unsigned n = 0;

	for (size_t i = 0; i < len; i++)
		n += p[i] != 0;
	return n;
}

static void
test_request(void **state)
{
	struct fix *x = *state;

	assert_int_equal(cfg_rd(&x->d, 0, 4), 0x10051af4);
	assert_int_equal(x->d.device, 0); /* no configuration */
	bring_up(x);
	set_desc(x, 3, BUFFER, 64, VRING_DESC_F_WRITE, 0);
	offer(x, 3);
	kick(x);
	assert_int_equal(used_len(x, 3), 64);
	assert_true(nonzero(x, BUFFER, 64) > 32);
	assert_int_equal(nonzero(x, BUFFER + 64, 4096), 0);
	assert_int_equal(fake_msis(x->f, VECTOR), 1);
	/* Again, the buffer in parts, without an ioeventfd. */
	cfg_wr(&x->d, PCIR_BAR0 + 4, 4, 0xc800);
	x->d.notify = 0xc800;
	set_desc(x, 0, BUFFER + 0x1000, 10,
	    VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	set_desc(x, 1, BUFFER + 0x2000, 20, VRING_DESC_F_WRITE, 0);
	offer(x, 0);
	bus_write(&x->f->pio, 0xc800, 2, 0);
	kick(x);
	assert_int_equal(used_len(x, 0), 30);
	assert_int_equal(fake_msis(x->f, VECTOR), 2);
}

static void
test_before_driver_ok(void **state)
{
	struct fix *x = *state;

	assert_true(drv_negotiate(&x->d, VERSION1));
	drv_queue(&x->d, 0, QSIZE, DESC, AVAIL, USED);
	drv_enable(&x->d, 0);
	set_desc(x, 0, BUFFER, 64, VRING_DESC_F_WRITE, 0);
	offer(x, 0);
	kick(x);
	assert_int_equal(x->used->idx, 0);
	/* What was offered before is served without another kick. */
	drv_set_status(&x->d, 15);
	fake_run(x->f);
	assert_int_equal(x->used->idx, 1);
}

static void
test_no_interrupt_wanted(void **state)
{
	struct fix *x = *state;

	bring_up(x);
	x->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	set_desc(x, 0, BUFFER, 64, VRING_DESC_F_WRITE, 0);
	offer(x, 0);
	kick(x);
	assert_int_equal(used_len(x, 0), 64);
	assert_int_equal(fake_msis(x->f, VECTOR), 0);
}

/* ATTACKS.md B, FC #5762: unbounded request. */
static void
test_request_bound(void **state)
{
	static const struct {
		const char *what;
		uint32_t len[4];
		uint16_t flags[4];
		uint32_t want;
	} rows[] = {
		{ "1 MiB", { 1 << 20 }, { 2 }, 65536 },
		{ "1 MiB in parts", { 60000, 60000, 1 << 20 }, { 2, 2, 2 },
		    65536 },
		{ "just so", { 65536 }, { 2 }, 65536 },
		{ "one byte", { 1 }, { 2 }, 1 },
		{ "no bytes", { 0 }, { 2 }, 0 },
		{ "only readable", { 64 }, { 0 }, 0 },
		{ "readable, then writable", { 64, 32 }, { 0, 2 }, 32 },
	};
	struct fix *x = *state;

	for (size_t i = 0; i < LEN(rows); i++) {
		uint16_t n = 0;

		bring_up(x);
		for (; n < 4 && (n == 0 || rows[i].len[n] != 0); n++) {
			bool more = n < 3 && rows[i].len[n + 1] != 0;

			set_desc(x, n, BUFFER + n * 0x200000ULL, rows[i].len[n],
			    (uint16_t)(rows[i].flags[n] | (more ? 1 : 0)),
			    (uint16_t)(n + 1));
		}
		offer(x, 0);
		kick(x);
		if (used_len(x, 0) != rows[i].want)
			fail_msg("%s", rows[i].what);
		usleep(110000); /* the next period */
		fake_run(x->f);
	}
}

/* A flood is spread over time, and ends complete. */
static void
test_rate(void **state)
{
	struct fix *x = *state;
	struct timespec a, b;
	uint16_t first;
	const uint16_t n = 10;

	bring_up(x);
	for (uint16_t i = 0; i < n; i++) {
		set_desc(x, i, BUFFER + i * 0x10000ULL, 65536,
		    VRING_DESC_F_WRITE, 0);
		offer(x, i);
	}
	clock_gettime(CLOCK_MONOTONIC, &a);
	kick(x);
	first = x->used->idx;
	assert_in_range(first, 1, 4);
	/* Kicks do not buy more. */
	assert_int_equal(x->used->flags & NO_KICK, NO_KICK);
	kick(x);
	assert_int_equal(x->used->idx, first);
	while (x->used->idx < n)
		event_base_loop(x->f->host.base, EVLOOP_ONCE);
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_true(
	    (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 >=
	    190);
	for (uint16_t i = 0; i < n; i++)
		assert_int_equal(used_len(x, i), 65536);
	assert_int_equal(x->used->flags & NO_KICK, 0);
}

/* Chains that ask for nothing are bounded too. */
static void
test_rate_empty(void **state)
{
	struct fix *x = *state;
	unsigned served = 0;

	bring_up(x);
	set_desc(x, 0, BUFFER, 64, 0, 0);
	for (unsigned i = 0; i < 40; i++) {
		uint16_t before = x->used->idx;

		for (unsigned j = 0; j < QSIZE; j++)
			offer(x, 0);
		kick(x);
		served += (uint16_t)(x->used->idx - before);
	}
	assert_in_range(served, 1024, 1536);
}

/* ATTACKS.md A: rings and buffers that are none. */
static void
test_bad_ring(void **state)
{
	static const struct {
		const char *what;
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next, head;
	} rows[] = {
		{ "head out of range", BUFFER, 64, 2, 0, QSIZE },
		{ "head 0xffff", BUFFER, 64, 2, 0, 0xffff },
		{ "next out of range", BUFFER, 64, 3, QSIZE, 0 },
		{ "loop", BUFFER, 64, 3, 0, 0 },
		{ "beyond RAM", RAM, 64, 2, 0, 0 },
		{ "across the end", RAM - 32, 64, 2, 0, 0 },
		{ "wraps", UINT64_MAX - 31, 64, 2, 0, 0 },
		{ "4 GiB", BUFFER, UINT32_MAX, 2, 0, 0 },
		{ "its own BAR (CVE-2024-3446)", PCI_MMIO_BASE, 64, 2, 0, 0 },
		{ "indirect table cut short", BUFFER, 20, 4, 0, 0 },
		{ "indirect table beyond RAM", RAM, 64, 4, 0, 0 },
	};
	struct fix *x = *state;

	for (size_t i = 0; i < LEN(rows); i++) {
		x->f->nmsi = 0;
		bring_up(x);
		set_desc(x, 0, rows[i].addr, rows[i].len, rows[i].flags,
		    rows[i].next);
		offer(x, rows[i].head);
		kick(x);
		if (drv_status(&x->d) != 0x4f)
			fail_msg("%s: %#x", rows[i].what, drv_status(&x->d));
		assert_int_equal(fake_msis(x->f, VECTOR - 1), 1);
		kick(x);
		assert_int_equal(x->used->idx, 0);
		drv_set_status(&x->d, 0);
		assert_int_equal(drv_status(&x->d), 0);
	}
	bring_up_at(x, DESC + 8); /* misaligned */
	assert_int_equal(drv_status(&x->d), 0x4f);
	bring_up_at(x, RAM);
	assert_int_equal(drv_status(&x->d), 0x4f);
	bring_up_at(x, UINT64_MAX & ~15ULL);
	assert_int_equal(drv_status(&x->d), 0x4f);
	/* And it is none the worse for it. */
	bring_up(x);
	set_desc(x, 0, BUFFER, 64, VRING_DESC_F_WRITE, 0);
	offer(x, 0);
	kick(x);
	assert_int_equal(used_len(x, 0), 64);
}

static void
test_reset_midway(void **state)
{
	struct fix *x = *state;

	bring_up(x);
	for (uint16_t i = 0; i < 8; i++) {
		set_desc(x, i, BUFFER + i * 0x10000ULL, 65536,
		    VRING_DESC_F_WRITE, 0);
		offer(x, i);
	}
	kick(x);
	drv_set_status(&x->d, 0);
	assert_int_equal(drv_status(&x->d), 0);
	memset(x->used, 0, 0x1000);
	kick(x);
	usleep(120000);
	fake_run(x->f);
	assert_int_equal(x->used->idx, 0); /* rings are the guest's again */
	/* A driver without the queue. */
	assert_true(drv_negotiate(&x->d, VERSION1));
	drv_set_status(&x->d, 15);
	kick(x);
	assert_int_equal(drv_status(&x->d), 15);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_request),
		T(test_before_driver_ok),
		T(test_no_interrupt_wanted),
		T(test_request_bound),
		T(test_rate),
		T(test_rate_empty),
		T(test_bad_ring),
		T(test_reset_midway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
