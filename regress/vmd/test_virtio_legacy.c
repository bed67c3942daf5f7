/* SPDX-License-Identifier: ISC */

/*
 * The legacy registers of a transitional device (vmd/virtio_legacy.c,
 * virtio_pci.c), as drivers from before virtio 1.0 use them, and as others do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "virtio_fix.h"

#define FEATURES 0x00
#define ACCEPTED 0x04
#define PAGE	 0x08
#define SIZE	 0x0c
#define SELECT	 0x0e
#define NOTIFY	 0x10
#define STATUS	 0x12
#define ISR	 0x13
#define VEC_CONF 0x14
#define VEC_Q	 0x16

#define ANY_LAYOUT (1U << 27)

static uint16_t
port(struct fix *x, unsigned off)
{
	return (uint16_t)(drv_bar(&x->d, 0) + off);
}

static uint32_t
in(struct fix *x, unsigned off, unsigned size)
{
	return (uint32_t)bus_read(&x->f->pio, port(x, off), size);
}

static void
out(struct fix *x, unsigned off, unsigned size, uint32_t val)
{
	bus_write(&x->f->pio, port(x, off), size, val);
}

static void
queue(struct fix *x, unsigned q, uint32_t page)
{
	out(x, SELECT, 2, q);
	out(x, PAGE, 4, page);
}

/* As such drivers do: no FEATURES_OK, and nobody waits for the reset. */
static void
up(struct fix *x)
{
	out(x, STATUS, 1, 0);
	out(x, STATUS, 1, 1);
	out(x, STATUS, 1, 3);
	out(x, ACCEPTED, 4, in(x, FEATURES, 4));
	for (unsigned q = 0; q < QUEUES; q++)
		queue(x, q, 0x100 + 16 * q);
	out(x, STATUS, 1, 7);
}

static void
test_registers(void **state)
{
	struct fix *x = *state;

	assert_int_equal(in(x, FEATURES, 4), (uint32_t)OFFERED | ANY_LAYOUT);
	assert_int_equal(in(x, ACCEPTED, 4), 0);
	assert_int_equal(in(x, STATUS, 1), 0);
	assert_int_equal(in(x, ISR, 1), 0);
	for (unsigned q = 0; q < QUEUES; q++) {
		out(x, SELECT, 2, q);
		assert_int_equal(in(x, SELECT, 2), q);
		assert_int_equal(in(x, SIZE, 2), MAXSIZE);
		assert_int_equal(in(x, PAGE, 4), 0);
	}
	/* A queue that there is not. */
	queue(x, QUEUES, 5);
	assert_int_equal(in(x, SIZE, 2), 0);
	assert_int_equal(in(x, PAGE, 4), 0);
	/* The configuration follows, later when there are vectors. */
	assert_int_equal(in(x, 20, 4), 0x04030201);
	assert_int_equal(in(x, 28, 2), 0x0a09);
	assert_int_equal(in(x, 28, 4), 0xffffffff);
	drv_msix(&x->d, ENABLE);
	assert_int_equal(in(x, 24, 4), 0x04030201);
	assert_int_equal(in(x, VEC_CONF, 2), 0xffff);
	out(x, VEC_CONF, 2, 1);
	assert_int_equal(in(x, VEC_CONF, 2), 1);
	out(x, VEC_CONF, 2, 999);
	assert_int_equal(in(x, VEC_CONF, 2), 0xffff);
}

/* "Legacy Interfaces: A Note on Virtqueue Layout". */
static void
test_rings(void **state)
{
	struct fix *x = *state;
	const uint64_t avail = MAXSIZE * 16, end = avail + 6 + 2 * MAXSIZE;

	up(x);
	assert_int_equal(x->starts, 1);
	assert_true(virtio_running(x->dev));
	/* What only legacy drivers know is not the device's, and it sees that
	 * this is one. */
	assert_true(x->features == (OFFERED & 0xffffffff));
	assert_int_equal(x->nrings, QUEUES);
	for (unsigned q = 0; q < QUEUES; q++) {
		uint64_t at = (0x100 + 16 * q) * UINT64_C(4096);

		assert_int_equal(x->ring[q].size, MAXSIZE);
		assert_int_equal(x->ring[q].desc.v, at);
		assert_int_equal(x->ring[q].avail.v, at + avail);
		assert_int_equal(
		    x->ring[q].used.v, at + ((end + 4095) & ~UINT64_C(4095)));
		out(x, SELECT, 2, q);
		assert_int_equal(in(x, PAGE, 4), 0x100 + 16 * q);
	}
	/* While it runs its rings stay where they are. */
	queue(x, 0, 0x999);
	assert_int_equal(in(x, PAGE, 4), 0x100);
	out(x, ACCEPTED, 4, 0);
	assert_int_equal(in(x, ACCEPTED, 4), (uint32_t)(OFFERED & 0xffffffff));
}

/* The highest page: whether there is memory is the device's question. */
static void
test_high_page(void **state)
{
	struct fix *x = *state;

	out(x, STATUS, 1, 3);
	queue(x, 0, 0xffffffff);
	out(x, STATUS, 1, 7);
	assert_int_equal(x->starts, 1);
	assert_true(x->ring[0].desc.v == UINT64_C(0xffffffff000));
	assert_int_equal(x->ring[1].size, 0);
}

static void
test_kicks(void **state)
{
	struct fix *x = *state;

	up(x);
	assert_int_equal(fake_nio(x->f), QUEUES);
	for (unsigned q = 0; q < QUEUES; q++) {
		fake_out(x->f, port(x, NOTIFY), (uint16_t)q);
		for (unsigned i = 0; i < QUEUES; i++)
			assert_int_equal(kicked(x, i), i == q);
	}
	fake_out(x->f, port(x, NOTIFY), QUEUES);
	fake_out(x->f, port(x, NOTIFY), 0xffff);
	for (unsigned i = 0; i < QUEUES; i++)
		assert_false(kicked(x, i));
	/* The other way is another driver's. */
	bus_write(&x->f->pio, x->d.notify, 2, 0);
	assert_true(kicked(x, 0));
	/* The BAR is switched off, and comes back elsewhere. */
	cfg_wr(&x->d, PCIR_COMMAND, 2, 6);
	assert_int_equal(fake_nio(x->f), 0);
	cfg_wr(&x->d, PCIR_BAR0, 4, 0xd000);
	cfg_wr(&x->d, PCIR_COMMAND, 2, 7);
	assert_int_equal(fake_nio(x->f), QUEUES);
	fake_out(x->f, 0xd000 + NOTIFY, 1);
	assert_true(kicked(x, 1));
}

/* There are drivers that use a device before they say that they are ready. */
static void
test_kick_before_ready(void **state)
{
	struct fix *x = *state;

	out(x, STATUS, 1, 1);
	queue(x, 0, 0x100);
	fake_out(x->f, port(x, NOTIFY), 0);
	assert_int_equal(x->starts, 0); /* there is no driver yet */
	out(x, STATUS, 1, 3);
	fake_out(x->f, port(x, NOTIFY), 1);
	assert_int_equal(x->starts, 0); /* nor that queue */
	fake_out(x->f, port(x, NOTIFY), 0);
	assert_int_equal(x->starts, 1);
	out(x, STATUS, 1, 7);
	assert_int_equal(x->starts, 1);
	assert_true(virtio_running(x->dev));
}

static void
test_interrupts(void **state)
{
	struct fix *x = *state;

	/* INTx: the ISR says it, and is clear when it was read. */
	up(x);
	call(x, 1);
	assert_int_equal(in(x, ISR, 1), 1);
	assert_int_equal(in(x, ISR, 1), 0);
	/* MSI-X, each queue's own vector. */
	drv_msix(&x->d, ENABLE);
	for (unsigned v = 0; v <= QUEUES; v++)
		drv_vector(&x->d, v, 0x40 + v);
	for (unsigned q = 0; q < QUEUES; q++) {
		out(x, SELECT, 2, q);
		out(x, VEC_Q, 2, q + 1);
		assert_int_equal(in(x, VEC_Q, 2), q + 1);
	}
	call(x, 1);
	assert_int_equal(fake_msis(x->f, 0x42), 1);
}

/* The driver goes on at once, so it must not go on before it is over. */
static void
test_reset(void **state)
{
	struct fix *x = *state;

	up(x);
	out(x, STATUS, 1, 0);
	assert_int_equal(x->resets, 1);
	assert_int_equal(x->f->holds, 0);
	assert_int_equal(in(x, STATUS, 1), 0);
	assert_int_equal(in(x, PAGE, 4), 0);
	assert_int_equal(fake_nio(x->f) + fake_nirq(x->f), 0);

	x->slow_reset = true;
	up(x);
	assert_int_equal(x->starts, 2);
	out(x, STATUS, 1, 0);
	assert_int_equal(x->f->holds, 1);
	/* Another vCPU is not there yet: it changes nothing. */
	out(x, STATUS, 1, 0);
	out(x, STATUS, 1, 3);
	queue(x, 0, 1);
	assert_int_equal(x->f->holds, 1);
	virtio_reset_done(x->dev);
	assert_int_equal(x->f->holds, 0);
	virtio_reset_done(x->dev);
	assert_int_equal(x->f->holds, 0);
	assert_int_equal(in(x, STATUS, 1), 0);
	x->slow_reset = false;
	up(x);
	assert_int_equal(x->starts, 3);
}

static void
test_failed(void **state)
{
	struct fix *x = *state;

	/* Ready before it is there, and after it gave up. */
	out(x, STATUS, 1, 4);
	out(x, STATUS, 1, 5);
	assert_int_equal(x->starts, 0);
	out(x, STATUS, 1, 0x83);
	out(x, STATUS, 1, 7);
	assert_int_equal(x->starts, 0);
	assert_int_equal(in(x, STATUS, 1), 0x83);
	/* The device does: nothing but a reset helps. */
	x->refuse_start = true;
	up(x);
	assert_false(virtio_running(x->dev));
	assert_int_equal(in(x, STATUS, 1) & 0x40, 0x40);
	x->refuse_start = false;
	up(x);
	assert_true(virtio_running(x->dev));
}

/* Both interfaces at once, which no driver does. */
static void
test_both(void **state)
{
	struct fix *x = *state;

	assert_true(drv_negotiate(&x->d, OFFERED | VERSION1));
	queue(x, 0, 0x100);
	out(x, STATUS, 1, 7);
	assert_int_equal(x->starts, 1);
	assert_true(x->features == (OFFERED | VERSION1));
	/* It is kicked as the features say. */
	fake_out(x->f, x->d.notify, 0);
	assert_true(kicked(x, 0));
	fake_out(x->f, port(x, NOTIFY), 0);
	assert_true(kicked(x, 0));
	out(x, STATUS, 1, 0);
	assert_int_equal(drv_status(&x->d), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		TEST(test_registers),
		TEST(test_rings),
		TEST(test_high_page),
		TEST(test_kicks),
		TEST(test_kick_before_ready),
		TEST(test_interrupts),
		TEST(test_reset),
		TEST(test_failed),
		TEST(test_both),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
