/* SPDX-License-Identifier: ISC */

/* OpenBSD's VMM control interface (vmd/vmmci.c), as a driver sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "virtio_fake.h"
#include "vmmci.h"

#define CONFIG	  20
#define DRIVER_OK 7

struct fix {
	struct fake *f;
	struct vmmci *v;
	struct drv d;
	uint64_t base;
	unsigned acks;
};

static struct timeval now_is;

static int
now(struct timeval *tv)
{
	*tv = now_is;
	return 0;
}

static void
acked(void *arg)
{
	struct fix *x = arg;

	x->acks++;
}

static int
setup(void **state)
{
	struct fix *x = calloc(1, sizeof(*x));
	struct vmmci_conf c = {
		.name = "vmmci", .acked = acked, .now = now, .arg = x
	};

	x->f = fake_new();
	c.pci = &x->f->pci;
	c.host = &x->f->host;
	x->v = vmmci_new(&c);
	assert_non_null(x->v);
	x->d.f = x->f;
	x->d.slot = 2;
	x->base = drv_bar(&x->d, 0);
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *x = *state;

	vmmci_free(x->v);
	fake_free(x->f);
	free(x);
	return 0;
}

static uint64_t
rd(struct fix *x, unsigned off, unsigned size)
{
	return bus_read(&x->f->pio, x->base + off, size);
}

static void
wr(struct fix *x, unsigned off, unsigned size, uint64_t val)
{
	bus_write(&x->f->pio, x->base + off, size, val);
}

static bool
intx(struct fix *x)
{
	return x->f->gsi[pci_gsi(2, 0)];
}

static void
attach(struct fix *x, uint32_t features)
{
	wr(x, 18, 1, 0);
	wr(x, 18, 1, 3);
	wr(x, 4, 4, features);
	wr(x, 18, 1, DRIVER_OK);
}

/* "Legacy Interfaces: A Note on PCI Device Layout" */
static void
test_registers(void **state)
{
	static const struct {
		const char *name;
		unsigned off, size;
		uint64_t write, read;
	} rows[] = {
		{ "device features", 0, 4, 0xffffffff, 7 },
		{ "its first byte", 0, 1, 0xff, 7 },
		{ "guest features", 4, 4, 0xffffffff, 7 },
		{ "guest features", 4, 4, 2, 2 },
		{ "queue address", 8, 4, 0xffffffff, 0 },
		{ "queue size", 12, 2, 0xffff, 0 },
		{ "queue select", 14, 2, 0xffff, 0 },
		{ "queue notify", 16, 2, 0xffff, 0 },
		{ "status", 18, 1, 0x83, 0x83 },
		{ "ISR", 19, 1, 0xff, 0 },
		{ "command", CONFIG, 4, 1, 0 },
		{ "seconds", CONFIG + 4, 4, 1, 0x89abcdef },
		{ "seconds, high", CONFIG + 8, 4, 1, 0x01234567 },
		{ "microseconds", CONFIG + 12, 4, 1, 999999 },
		{ "microseconds, high", CONFIG + 16, 4, 1, 0 },
		{ "behind it", CONFIG + 20, 4, 0xffffffff, 0 },
		{ "the last", 60, 4, 0xffffffff, 0 },
	};
	struct fix *x = *state;

	now_is = (struct timeval){ 0x0123456789abcdef, 999999 };
	assert_int_equal(cfg_rd(&x->d, 0, 4), 0x07770b5d);
	assert_int_equal(cfg_rd(&x->d, 8, 4), 0x07800000);
	assert_int_equal(cfg_rd(&x->d, 0x2c, 4), 0xffff0b5d);
	for (size_t i = 0; i < LEN(rows); i++) {
		wr(x, rows[i].off, rows[i].size, rows[i].write);
		if (rd(x, rows[i].off, rows[i].size) != rows[i].read)
			fail_msg("%s: %#lx", rows[i].name,
			    rd(x, rows[i].off, rows[i].size));
	}
	assert_int_equal(x->acks, 0);
	wr(x, 18, 1, 0);
	assert_int_equal(rd(x, 4, 4) + rd(x, 18, 1), 0);
}

/* The parts of the time are those of one moment. */
static void
test_time(void **state)
{
	struct fix *x = *state;

	attach(x, 7);
	now_is = (struct timeval){ 0x1ffffffff, 999999 };
	assert_int_equal(rd(x, CONFIG + 4, 4), 0xffffffff);
	now_is = (struct timeval){ 0x200000000, 3 };
	assert_int_equal(rd(x, CONFIG + 8, 4), 1);
	assert_int_equal(rd(x, CONFIG + 12, 4), 999999);
	assert_int_equal(rd(x, CONFIG + 4, 1), 0);
	assert_int_equal(rd(x, CONFIG + 8, 1), 2);
	assert_int_equal(rd(x, CONFIG + 12, 1), 3);
}

/* Who is asked by the power button instead. */
static void
test_not_asked(void **state)
{
	static const struct {
		const char *what;
		uint32_t features;
		uint8_t status;
	} rows[] = {
		{ "no driver", 7, 0 },
		{ "not yet", 7, 3 },
		{ "it would not answer", 5, DRIVER_OK },
		{ "no features", 0, DRIVER_OK },
	};
	struct fix *x = *state;

	for (size_t i = 0; i < LEN(rows); i++) {
		wr(x, 18, 1, 0);
		wr(x, 4, 4, rows[i].features);
		wr(x, 18, 1, rows[i].status);
		if (rows[i].status == 0)
			wr(x, 4, 4, 0);
		if (vmmci_shutdown(x->v) || intx(x) || rd(x, CONFIG, 4) != 0)
			fail_msg("%s", rows[i].what);
	}
	/* Likewise. */
	attach(x, 3);
	vmmci_sync(x->v);
	assert_int_equal(rd(x, CONFIG, 4), 0);
	assert_false(intx(x));
}

static void
test_shutdown(void **state)
{
	struct fix *x = *state;

	attach(x, 7);
	assert_true(vmmci_shutdown(x->v));
	assert_true(intx(x));
	assert_int_equal(rd(x, 19, 1), 2);
	assert_false(intx(x));
	assert_int_equal(rd(x, 19, 1), 0);
	assert_int_equal(rd(x, CONFIG, 4), 1);
	/* It was not answered: again, and by the button as well. */
	assert_false(vmmci_shutdown(x->v));
	assert_true(intx(x));
	/* The clock has to wait. */
	vmmci_sync(x->v);
	assert_int_equal(rd(x, CONFIG, 4), 1);
	/* Answers to nothing that was asked. */
	wr(x, CONFIG, 4, 3);
	wr(x, CONFIG, 4, 2);
	wr(x, CONFIG, 4, 0);
	wr(x, CONFIG + 1, 4, 1);
	assert_int_equal(x->acks, 0);
	wr(x, CONFIG, 4, 1);
	wr(x, CONFIG, 4, 1);
	assert_int_equal(x->acks, 1);
	assert_int_equal(rd(x, CONFIG, 4), 0);
	/* It is not asked again, nor by the button. */
	rd(x, 19, 1);
	assert_true(vmmci_shutdown(x->v));
	assert_true(vmmci_shutdown(x->v));
	assert_false(intx(x));
	assert_int_equal(rd(x, CONFIG, 4), 0);
	/* A reset forgets that, and what was asked. */
	attach(x, 7);
	assert_true(vmmci_shutdown(x->v));
	assert_true(intx(x));
	wr(x, 18, 1, 0);
	assert_false(intx(x));
	wr(x, CONFIG, 4, 1);
	assert_int_equal(x->acks, 1);
	assert_false(vmmci_shutdown(x->v));
}

static void
test_sync(void **state)
{
	struct fix *x = *state;

	attach(x, 7);
	vmmci_sync(x->v);
	assert_true(intx(x));
	assert_int_equal(rd(x, 19, 1), 2);
	assert_int_equal(rd(x, CONFIG, 4), 3);
	/* A shutdown is more urgent. */
	assert_true(vmmci_shutdown(x->v));
	assert_int_equal(rd(x, CONFIG, 4), 1);
	wr(x, CONFIG, 4, 3);
	assert_int_equal(x->acks, 0);
	wr(x, CONFIG, 4, 1);
	assert_int_equal(x->acks, 1);
	vmmci_sync(x->v);
	wr(x, CONFIG, 4, 3);
	assert_int_equal(rd(x, CONFIG, 4), 0);
	assert_int_equal(x->acks, 1);
}

/* Any access to any of it, in any order. */
static void
test_spray(void **state)
{
	struct fix *x = *state;
	uint32_t seed = 1;

	for (unsigned i = 0; i < 200000; i++) {
		unsigned size;

		seed = seed * 1664525 + 1013904223;
		size = 1U << (seed >> 30) % 3;
		if ((seed >> 29 & 1) != 0)
			rd(x, seed >> 8 & 63, size);
		else
			wr(x, seed >> 8 & 63, size, seed >> 16);
		if (i % 1000 == 0)
			vmmci_shutdown(x->v);
		if (i % 1001 == 0)
			vmmci_sync(x->v);
	}
	attach(x, 7);
	assert_true(vmmci_shutdown(x->v));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_registers),
		T(test_time),
		T(test_not_asked),
		T(test_shutdown),
		T(test_sync),
		T(test_spray),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
