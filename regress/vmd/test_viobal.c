/* SPDX-License-Identifier: ISC */

/* The memory balloon (vmd/viobal.c), driven by rings in guest memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ring.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "gmem.h"
#include "viobal.h"
#include "virtio_fake.h"

#define VERSION1  (UINT64_C(1) << 32)
#define REPORTING (UINT64_C(1) << VIRTIO_BALLOON_F_REPORTING)
#define ON_OOM	  (UINT64_C(1) << VIRTIO_BALLOON_F_DEFLATE_ON_OOM)
#define RAM	  (32ULL << 20)
#define PAGE	  4096ULL
#define QSIZE	  64
#define RINGS	  0x10000 /* of queue n: RINGS + n * 0x10000 */
#define LIST	  0x100000 /* page numbers */
#define MARKED	  0x400000 /* from here on all bytes are set */
#define VECTOR	  0x51
#define NOTIFY	  4 /* ports from queue to queue */

struct ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
};

struct fix {
	struct fake *f;
	struct gmem mem;
	struct viobal *b;
	struct drv d;
	struct ring r[5];
	uint64_t told;
	unsigned ntold;
};

static void
told(void *arg, uint64_t bytes)
{
	struct fix *x = arg;

	x->told = bytes;
	x->ntold++;
}

static void *
at(struct fix *x, uint64_t gpa, size_t len)
{
	return gmem_range(&x->mem, (struct gpa){ gpa }, len);
}

static int
setup(void **state)
{
	struct fix *x = calloc(1, sizeof(*x));
	struct viobal_conf c = { .name = "viobal", .told = told, .arg = x };

	x->f = fake_new();
	assert_int_equal(gmem_create(&x->mem, RAM), 0);
	memset(at(x, MARKED, RAM - MARKED), 0x5a, RAM - MARKED);
	c.pci = &x->f->pci;
	c.host = &x->f->host;
	c.mem = &x->mem;
	x->b = viobal_new(&c);
	assert_non_null(x->b);
	drv_find(&x->d, x->f, 2);
	for (unsigned q = 0; q < 5; q++) {
		x->r[q].desc = at(x, RINGS + q * 0x10000, 0x1000);
		x->r[q].avail = at(x, RINGS + q * 0x10000 + 0x1000, 0x1000);
		x->r[q].used = at(x, RINGS + q * 0x10000 + 0x2000, 0x1000);
	}
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *x = *state;

	viobal_free(x->b);
	assert_int_equal(fake_nio(x->f) + fake_nirq(x->f), 0);
	gmem_destroy(&x->mem);
	fake_free(x->f);
	free(x);
	return 0;
}

/* Queues: a bit each. */
static void
bring_up(struct fix *x, uint64_t features, unsigned queues)
{
	drv_set_status(&x->d, 0);
	assert_true(drv_negotiate(&x->d, VERSION1 | features));
	drv_msix(&x->d, MSIX_CONTROL_ENABLE);
	for (unsigned q = 0; q < 5; q++) {
		uint64_t base = RINGS + q * 0x10000;

		memset(at(x, base, 0x3000), 0, 0x3000);
		if ((queues >> q & 1) == 0)
			continue;
		drv_vector(&x->d, q + 1, VECTOR + q);
		drv_queue(&x->d, q, QSIZE, base, base + 0x1000, base + 0x2000);
		com_wr(&x->d, VIRTIO_PCI_COMMON_Q_MSIX, 2, q + 1);
		drv_enable(&x->d, q);
	}
	drv_set_status(&x->d, 15);
	fake_run(x->f);
	assert_int_equal(drv_status(&x->d), 15);
}

/* Until all is served that was offered, or for a while. */
static void
kick(struct fix *x, unsigned q)
{
	fake_out(x->f, (uint16_t)(x->d.notify + q * NOTIFY), 0);
	for (unsigned i = 0; i < 200; i++)
		fake_run(x->f);
}

static void
offer(struct fix *x, unsigned q, uint64_t addr, uint32_t len, bool write)
{
	struct ring *r = &x->r[q];
	uint16_t idx = r->avail->idx, head = idx % QSIZE;

	r->desc[head] = (struct vring_desc){
		.addr = addr, .len = len, .flags = write ? 2 : 0
	};
	r->avail->ring[idx % QSIZE] = head;
	__atomic_store_n(&r->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

/* Pages of [gpa, gpa + n pages) that the host has. */
static unsigned
there(struct fix *x, uint64_t gpa, unsigned n)
{
	unsigned char vec[256];
	unsigned count = 0;

	assert_true(n <= sizeof(vec));
	assert_int_equal(mincore(at(x, gpa, n * PAGE), n * PAGE, vec), 0);
	for (unsigned i = 0; i < n; i++)
		count += vec[i] & 1;
	return count;
}

static uint64_t
blocks(struct fix *x)
{
	struct stat st;

	assert_int_equal(fstat(x->mem.fd, &st), 0);
	return (uint64_t)st.st_blocks;
}

static void
put_pfns(struct fix *x, const uint32_t *pfn, unsigned n)
{
	memcpy(at(x, LIST, n * 4), pfn, n * 4);
}

static void
test_identity(void **state)
{
	struct fix *x = *state;

	assert_int_equal(cfg_rd(&x->d, 0, 4), 0x10021af4);
	bring_up(x, ON_OOM | REPORTING, 7);
	/* A feature that is not offered cannot be had. */
	drv_set_status(&x->d, 0);
	assert_false(drv_negotiate(
	    &x->d, VERSION1 | UINT64_C(1) << VIRTIO_BALLOON_F_STATS_VQ));
}

static void
test_inflate(void **state)
{
	static const struct {
		const char *what;
		uint32_t pfn[8];
		unsigned n;
		unsigned gone; /* of the 16 pages from MARKED on */
	} rows[] = {
		{ "one", { 0x400 }, 1, 1 },
		{ "none", { 0 }, 0, 0 },
		{ "ascending", { 0x400, 0x401, 0x402, 0x403 }, 4, 4 },
		{ "descending", { 0x403, 0x402, 0x401, 0x400 }, 4, 4 },
		{ "apart", { 0x400, 0x402, 0x404, 0x406 }, 4, 4 },
		{ "up and down", { 0x402, 0x403, 0x401, 0x405 }, 4, 4 },
		{ "the same again", { 0x400, 0x400, 0x400, 0x401 }, 4, 2 },
		{ "beyond RAM", { 0x2000, 0x400, 0x2001 }, 3, 1 },
		{ "in the PCI hole", { 0xc0000, 0x401, 0xfffff }, 3, 1 },
		{ "no such page", { 0xffffffff, 0x401, 0x80000000 }, 3, 1 },
	};
	struct fix *x = *state;

	bring_up(x, 0, 3);
	for (size_t i = 0; i < LEN(rows); i++) {
		memset(at(x, MARKED, 16 * PAGE), 0x5a, 16 * PAGE);
		put_pfns(x, rows[i].pfn, rows[i].n);
		offer(x, 0, LIST, rows[i].n * 4, false);
		kick(x, 0);
		assert_int_equal(x->r[0].used->idx, i + 1);
		if (there(x, MARKED, 16) != 16 - rows[i].gone)
			fail_msg("%s: %u", rows[i].what, there(x, MARKED, 16));
	}
	assert_int_equal(there(x, MARKED + 16 * PAGE, 256), 256);
	assert_int_equal(drv_status(&x->d), 15);
	assert_int_equal(fake_msis(x->f, VECTOR), LEN(rows));
	/* It comes back as zeroes, and deflating takes nothing. */
	assert_int_equal(*(uint8_t *)at(x, MARKED + PAGE, 1), 0);
	offer(x, 1, LIST, 4, false);
	kick(x, 1);
	assert_int_equal(x->r[1].used->idx, 1);
	assert_int_equal(drv_status(&x->d), 15);
}

/* ATTACKS.md B: balloon arithmetic. */
static void
test_bounds(void **state)
{
	struct fix *x = *state;
	uint32_t *list = at(x, LIST, 8192);
	uint64_t before;

	bring_up(x, 0, 3);
	/* A list longer than any driver's: the rest is not looked at. */
	for (unsigned i = 0; i < 2048; i++)
		list[i] = (uint32_t)(MARKED / PAGE + i);
	before = blocks(x);
	offer(x, 0, LIST, 8192, false);
	kick(x, 0);
	assert_int_equal(x->r[0].used->idx, 1);
	assert_int_equal((before - blocks(x)) * 512, 1024 * PAGE);
	/* A list that ends within a number, and one that may be written. */
	list[0] = list[1] = (uint32_t)(MARKED / PAGE + 2000);
	offer(x, 0, LIST, 3, false);
	offer(x, 0, LIST, 8, true);
	kick(x, 0);
	assert_int_equal(x->r[0].used->idx, 3);
	assert_int_equal(there(x, MARKED + 2000 * PAGE, 1), 1);
	/* The list gives itself away, and the rings. */
	list[0] = LIST / PAGE;
	list[1] = RINGS / PAGE + 16; /* of the other queue */
	offer(x, 0, LIST, 8, false);
	kick(x, 0);
	assert_int_equal(x->r[0].used->idx, 4);
	assert_int_equal(list[0], 0);
}

/* Holes are spread over time, and all are made in the end. */
static void
test_rate(void **state)
{
	struct fix *x = *state;
	uint32_t *list = at(x, LIST, 4096);
	uint16_t first;

	bring_up(x, 0, 3);
	/* Every other page, none next to the one before. */
	for (unsigned i = 0; i < 1024; i++)
		list[i] = (uint32_t)(MARKED / PAGE + i * 2);
	for (unsigned i = 0; i < 20; i++)
		offer(x, 0, LIST, 4096, false);
	kick(x, 0);
	first = x->r[0].used->idx;
	assert_in_range(first, 1, 16);
	while (x->r[0].used->idx < 20)
		event_base_loop(x->f->host.base, EVLOOP_ONCE);
}

/* Linux counts the queues that it uses, others as the specification does. */
static void
test_report(void **state)
{
	static const struct {
		const char *what;
		uint64_t off, len;
		bool write;
		unsigned gone; /* of the 16 pages from MARKED on */
	} rows[] = {
		{ "four pages", 0, 4 * PAGE, true, 4 },
		{ "not aligned", 100, 4 * PAGE, true, 3 },
		{ "less than a page", 0, PAGE - 1, true, 0 },
		{ "a page, not aligned", 1, PAGE, true, 0 },
		{ "to be read", 0, 4 * PAGE, false, 0 },
	};
	struct fix *x = *state;

	for (unsigned q = 2; q < 5; q++) {
		bring_up(x, REPORTING, 3 | 1U << q);
		for (size_t i = 0; i < LEN(rows); i++) {
			memset(at(x, MARKED, 16 * PAGE), 0x5a, 16 * PAGE);
			offer(x, q, MARKED + rows[i].off, (uint32_t)rows[i].len,
			    rows[i].write);
			kick(x, q);
			assert_int_equal(x->r[q].used->idx, i + 1);
			if (there(x, MARKED, 16) != 16 - rows[i].gone)
				fail_msg("%s: %u", rows[i].what,
				    there(x, MARKED, 16));
		}
	}
	/* Without the feature nobody listens there. */
	bring_up(x, 0, 7);
	offer(x, 2, MARKED, 4 * PAGE, true);
	kick(x, 2);
	assert_int_equal(x->r[2].used->idx, 0);
}

static void
wait_period(struct fix *x)
{
	usleep(110000);
	for (unsigned i = 0; i < 3; i++)
		fake_run(x->f);
}

static void
test_config(void **state)
{
	static const struct {
		uint64_t keep;
		uint32_t pages;
	} rows[] = {
		{ RAM, 0 },
		{ RAM / 2, RAM / 2 / PAGE },
		{ RAM + 1, 0 },
		{ UINT64_MAX, 0 },
		{ PAGE, RAM / PAGE - 1 },
		{ 16ULL << 20, (RAM - (16ULL << 20)) / PAGE },
	};
	struct fix *x = *state;

	bring_up(x, 0, 3);
	for (size_t i = 0; i < LEN(rows); i++) {
		viobal_keep(x->b, rows[i].keep);
		assert_int_equal(
		    bus_read(&x->f->mmio, x->d.device, 4), rows[i].pages);
	}
	/* Only `actual' is the driver's. */
	bus_write(&x->f->mmio, x->d.device, 4, 77);
	assert_int_equal(bus_read(&x->f->mmio, x->d.device, 4), rows[5].pages);
	bus_write(&x->f->mmio, x->d.device + 4, 4, 256);
	assert_int_equal(bus_read(&x->f->mmio, x->d.device + 4, 4), 256);
	assert_int_equal(viobal_given(x->b), 256 * PAGE);
	/* It is told once, however often it was written. */
	for (unsigned i = 0; i < 1000; i++)
		bus_write(&x->f->mmio, x->d.device + 4, 4, i);
	for (unsigned i = 0; i < 10; i++)
		fake_run(x->f);
	assert_int_equal(x->ntold, 0);
	wait_period(x);
	assert_int_equal(x->ntold, 1);
	assert_int_equal(x->told, 999 * PAGE);
	/* More than there is. */
	bus_write(&x->f->mmio, x->d.device + 4, 4, UINT32_MAX);
	wait_period(x);
	assert_int_equal(x->told, RAM);
	/* A reset gives it all back, and what is asked for stays. */
	drv_set_status(&x->d, 0);
	assert_int_equal(viobal_given(x->b), 0);
	wait_period(x);
	assert_int_equal(x->told, 0);
	assert_int_equal(bus_read(&x->f->mmio, x->d.device, 4), rows[5].pages);
}

static void
test_bad_ring(void **state)
{
	static const struct {
		const char *what;
		uint64_t addr;
		uint32_t len;
	} rows[] = {
		{ "beyond RAM", RAM, 64 },
		{ "across the end", RAM - 32, 64 },
		{ "wraps", UINT64_MAX - 31, 64 },
		{ "4 GiB", LIST, UINT32_MAX },
		{ "device memory (CVE-2024-3446)", PCI_MMIO_BASE, 64 },
	};
	struct fix *x = *state;

	for (unsigned q = 0; q < 3; q++) {
		for (size_t i = 0; i < LEN(rows); i++) {
			bring_up(x, REPORTING, 7);
			offer(x, q, rows[i].addr, rows[i].len, q == 2);
			kick(x, q);
			if (drv_status(&x->d) != 0x4f)
				fail_msg("%s", rows[i].what);
			/* The others rest, too. */
			offer(x, (q + 1) % 2, LIST, 4, false);
			kick(x, (q + 1) % 2);
			assert_int_equal(x->r[(q + 1) % 2].used->idx, 0);
		}
	}
	bring_up(x, REPORTING, 7);
	offer(x, 0, LIST, 4, false);
	kick(x, 0);
	assert_int_equal(x->r[0].used->idx, 1);
}

/* Of a vCPU, while holes are made. */
static void *
reset_thread(void *arg)
{
	struct fix *x = arg;

	usleep(300);
	drv_set_status(&x->d, 0);
	return NULL;
}

/* CVE-2026-45782: reset with requests in flight. */
static void
test_reset_midway(void **state)
{
	struct fix *x = *state;
	pthread_t thread;

	for (unsigned n = 0; n < 50; n++) {
		uint32_t *list = at(x, LIST, 4096);

		bring_up(x, 0, 3);
		for (unsigned i = 0; i < 1024; i++)
			list[i] = (uint32_t)(MARKED / PAGE + i * 2);
		memset(at(x, MARKED, 2048 * PAGE), 0x5a, 2048 * PAGE);
		for (unsigned i = 0; i < 4; i++)
			offer(x, 0, LIST, 4096, false);
		assert_int_equal(
		    pthread_create(&thread, NULL, reset_thread, x), 0);
		kick(x, 0);
		pthread_join(thread, NULL);
		fake_run(x->f);
		assert_int_equal(drv_status(&x->d), 0);
		/* The rings are the guest's again. */
		memset(at(x, RINGS, 0x3000), 0xff, 0x3000);
		kick(x, 0);
		assert_int_equal(x->r[0].used->idx, 0xffff);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_identity),
		T(test_inflate),
		T(test_bounds),
		T(test_rate),
		T(test_report),
		T(test_config),
		T(test_bad_ring),
		T(test_reset_midway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
