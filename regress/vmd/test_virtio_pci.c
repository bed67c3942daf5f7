/* SPDX-License-Identifier: ISC */

/*
 * The virtio PCI transport (vmd/virtio_pci.c, virtio_common.c) as a guest
 * sees it, friendly and hostile.  Interrupts are in test_virtio_irq.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "virtio_fix.h"

/* ---- discovery and negotiation ---- */

static void
test_discovery(void **state)
{
	struct fix *x = *state;
	struct drv *d = &x->d;

	assert_int_equal(cfg_rd(d, 0, 4), 0x10011af4);
	/* A transitional device. */
	assert_int_equal(cfg_rd(d, 8, 1), 0);
	assert_int_equal(cfg_rd(d, 0x2e, 2), 2);
	assert_true(d->common != 0 && d->isr != 0 && d->device != 0 &&
	    d->window != 0 && d->msix != 0 && d->notify != 0);
	assert_int_equal(d->common % 4, 0);
	assert_int_equal(d->device % 4, 0);
	assert_int_equal(d->notify % 2, 0);
	assert_int_equal(d->device_len, 10);
	assert_true(d->step >= 2 && (d->step & (d->step - 1)) == 0);
	assert_true(d->notify_len >= (QUEUES - 1) * d->step + 2);
	assert_int_equal(cfg_rd(d, d->msix + MSIX_CONTROL, 2), QUEUES);
	assert_int_equal(bus_read(&x->f->mmio, d->device, 4), 0x04030201);
	assert_int_equal(bus_read(&x->f->mmio, d->device + 8, 2), 0x0a09);
	assert_int_equal(
	    bus_read(&x->f->mmio, d->device, 8), 0x0807060504030201);
	/* It cannot be written, and there is nothing behind it. */
	bus_write(&x->f->mmio, d->device, 4, 0);
	assert_int_equal(bus_read(&x->f->mmio, d->device, 4), 0x04030201);
	assert_int_equal(bus_read(&x->f->mmio, d->device + 8, 4), 0xffffffff);
}

static void
test_linux(void **state)
{
	struct fix *x = *state;
	struct drv *d = &x->d;

	assert_int_equal(com_rd(d, VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
	com_wr(d, VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
	assert_int_equal(com_rd(d, VIRTIO_PCI_COMMON_DF, 4), OFFERED);
	com_wr(d, VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	assert_int_equal(com_rd(d, VIRTIO_PCI_COMMON_DF, 4), 1);
	com_wr(d, VIRTIO_PCI_COMMON_DFSELECT, 4, 2);
	assert_int_equal(com_rd(d, VIRTIO_PCI_COMMON_DF, 4), 0);
	com_wr(d, VIRTIO_PCI_COMMON_DFSELECT, 4, 0xffffffff);
	assert_int_equal(com_rd(d, VIRTIO_PCI_COMMON_DF, 4), 0);
	com_wr(d, Q_SELECT, 2, 0);
	assert_int_equal(com_rd(d, Q_SIZE, 2), MAXSIZE);
	assert_int_equal(com_rd(d, Q_ENABLE, 2), 0);
	assert_int_equal(com_rd(d, VIRTIO_PCI_COMMON_Q_NOFF, 2), 0);
	assert_int_equal(com_rd(d, Q_VECTOR, 2), NOVEC);
	assert_int_equal(com_rd(d, VIRTIO_PCI_COMMON_MSIX, 2), NOVEC);

	bring_up(x, true);
	assert_int_equal(x->starts, 1);
	assert_int_equal(x->resets, 0); /* nothing ran before */
	assert_true(virtio_running(x->dev));
	assert_true(x->features == (OFFERED | VERSION1));
	assert_int_equal(x->nrings, QUEUES);
	assert_int_equal(x->ring[2].size, 128);
	assert_int_equal(x->ring[2].desc.v, 0x30000);
	assert_int_equal(x->ring[2].avail.v, 0x34000);
	assert_int_equal(x->ring[2].used.v, 0x38000);

	/* One change of the GSI table for all, an irqfd and an ioeventfd
	 * each, nothing of it twice. */
	assert_int_equal(x->f->commits, 1);
	assert_int_equal(x->f->binds, QUEUES);
	assert_int_equal(fake_nirq(x->f), QUEUES);
	assert_int_equal(fake_nio(x->f), QUEUES);
	for (unsigned q = 0; q < QUEUES; q++) {
		call(x, q);
		assert_int_equal(fake_msis(x->f, 0x41 + q), 1);
		fake_out(
		    x->f, (uint16_t)(d->notify + q * d->step), (uint16_t)q);
		assert_true(kicked(x, q));
	}
	assert_int_equal(x->f->nmsi, QUEUES);
}

static void
test_features(void **state)
{
	static const struct {
		const char *what;
		uint64_t accept;
		bool ok;
	} rows[] = {
		{ "all", OFFERED | VERSION1, true },
		{ "only VERSION_1", VERSION1, true },
		{ "none", 0, false },
		{ "no VERSION_1", OFFERED, false },
		{ "not offered", VERSION1 | 1, false },
		{ "not offered, high", VERSION1 | UINT64_C(1) << 33, false },
		{ "packed ring", VERSION1 | UINT64_C(1) << 34, false },
		{ "everything", UINT64_MAX, false },
	};
	struct fix *x = *state;

	for (size_t i = 0; i < LEN(rows); i++) {
		if (drv_negotiate(&x->d, rows[i].accept) != rows[i].ok)
			fail_msg("%s", rows[i].what);
		drv_set_status(&x->d, 15);
		if ((drv_status(&x->d) == 15) != rows[i].ok)
			fail_msg("%s: DRIVER_OK", rows[i].what);
	}
	/* Beyond 63 there is nothing to accept, and nothing to spoil. */
	drv_set_status(&x->d, 0);
	com_wr(&x->d, VIRTIO_PCI_COMMON_GFSELECT, 4, 0x80000001);
	com_wr(&x->d, VIRTIO_PCI_COMMON_GF, 4, 0xffffffff);
	assert_int_equal(com_rd(&x->d, VIRTIO_PCI_COMMON_GF, 4), 0);
	assert_true(drv_negotiate(&x->d, VERSION1));
	/* Not after FEATURES_OK. */
	com_wr(&x->d, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	com_wr(&x->d, VIRTIO_PCI_COMMON_GF, 4, 0x200);
	assert_int_equal(com_rd(&x->d, VIRTIO_PCI_COMMON_GF, 4), 0);
}

/* ATTACKS.md A, FC #5818: status bits out of order. */
static void
test_status_order(void **state)
{
	static const struct {
		const char *what;
		uint8_t write[6], want; /* zero ends the writes */
		bool started;
	} rows[] = {
		{ "as specified", { 1, 3, 11, 15 }, 15, true },
		{ "first two at once", { 3, 11, 15 }, 15, true },
		{ "DRIVER_OK at once", { 15 }, 3, false },
		{ "without FEATURES_OK", { 1, 3, 7 }, 3, false },
		{ "FEATURES_OK with DRIVER_OK", { 1, 3, 15 }, 11, false },
		{ "FEATURES_OK first", { 8 }, 0, false },
		{ "DRIVER first", { 2 }, 0, false },
		{ "DRIVER_OK alone", { 4 }, 0, false },
		{ "FEATURES_OK without DRIVER", { 1, 9 }, 1, false },
		{ "a bit taken back", { 1, 3, 1 }, 3, false },
		{ "FEATURES_OK taken back", { 1, 3, 11, 3 }, 11, false },
		{ "DRIVER_OK taken back", { 1, 3, 11, 15, 11 }, 15, true },
		{ "FAILED, then on", { 1, 3, 0x83, 11, 15 }, 0x83, false },
		{ "FAILED at once with all", { 1, 3, 0x8f }, 0x8b, false },
		{ "FAILED while running", { 1, 3, 11, 15, 0x8f }, 0x8f, true },
		{ "NEEDS_RESET by the driver", { 0x40 }, 0, false },
		{ "reserved bits", { 0x30, 1, 0x31 }, 1, false },
		{ "only bits that do not exist", { 0x70 }, 0, false },
	};
	struct fix *x = *state;

	for (size_t i = 0; i < LEN(rows); i++) {
		drv_set_status(&x->d, 0);
		x->starts = 0;
		com_wr(&x->d, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
		com_wr(&x->d, VIRTIO_PCI_COMMON_GF, 4, 1);
		for (size_t j = 0; j < LEN(rows[i].write); j++)
			if (rows[i].write[j] != 0)
				drv_set_status(&x->d, rows[i].write[j]);
		if (drv_status(&x->d) != rows[i].want ||
		    x->starts != rows[i].started)
			fail_msg("%s: %#x, %u starts", rows[i].what,
			    drv_status(&x->d), x->starts);
	}
}

/* ---- queue registers ---- */

/* ATTACKS.md A, CVE-2026-5747: every queue register rewritten after the
 * queue was enabled, and after DRIVER_OK. */
static void
test_queue_immutable(void **state)
{
	static const struct {
		unsigned off, size;
	} rows[] = {
		{ Q_SIZE, 2 },
		{ Q_ENABLE, 2 },
		{ VIRTIO_PCI_COMMON_Q_NOFF, 2 },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, 4 },
		{ VIRTIO_PCI_COMMON_Q_DESCHI, 4 },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, 8 },
		{ VIRTIO_PCI_COMMON_Q_AVAILLO, 4 },
		{ VIRTIO_PCI_COMMON_Q_AVAILHI, 4 },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, 4 },
		{ VIRTIO_PCI_COMMON_Q_USEDHI, 4 },
		{ VIRTIO_PCI_COMMON_NUMQ, 2 },
	};
	struct fix *x = *state;
	struct drv *d = &x->d;

	assert_true(drv_negotiate(d, VERSION1));
	drv_queue(d, 0, 64, 0x1000, 0x2000, 0x3000);
	drv_queue(d, 1, 64, 0x1000, 0x2000, 0x3000);
	drv_enable(d, 0); /* and 1 stays off */
	for (unsigned step = 0; step < 2; step++) {
		for (unsigned q = 0; q <= step; q++) {
			com_wr(d, Q_SELECT, 2, q);
			for (size_t i = 0; i < LEN(rows); i++) {
				uint64_t was =
				    com_rd(d, rows[i].off, rows[i].size);

				com_wr(d, rows[i].off, rows[i].size, 1);
				com_wr(d, rows[i].off, rows[i].size, 16);
				com_wr(d, rows[i].off, rows[i].size, ~was);
				if (com_rd(d, rows[i].off, rows[i].size) != was)
					fail_msg("%u: %#x", q, rows[i].off);
			}
		}
		if (step == 0)
			drv_set_status(d, 15);
	}
	assert_int_equal(x->ring[0].size, 64);
	assert_int_equal(x->ring[0].used.v, 0x3000);
	assert_int_equal(x->ring[1].size, 0); /* never enabled */
}

static void
test_queue_size(void **state)
{
	static const struct {
		uint16_t write, want;
	} rows[] = {
		{ 1, 1 },
		{ 2, 2 },
		{ 256, 256 },
		{ 0, 256 },
		{ 3, 256 },
		{ 512, 256 },
		{ 0x8000, 256 },
		{ 0xffff, 256 },
		{ 255, 256 },
	};
	struct fix *x = *state;

	for (size_t i = 0; i < LEN(rows); i++) {
		drv_set_status(&x->d, 0);
		com_wr(&x->d, Q_SELECT, 2, 1);
		com_wr(&x->d, Q_SIZE, 2, rows[i].write);
		if (com_rd(&x->d, Q_SIZE, 2) != rows[i].want)
			fail_msg("%u", rows[i].write);
	}
	com_wr(&x->d, Q_ENABLE, 2, 0);
	com_wr(&x->d, Q_ENABLE, 2, 2);
	com_wr(&x->d, Q_ENABLE, 2, 0xffff);
	assert_int_equal(com_rd(&x->d, Q_ENABLE, 2), 0);
}

/* ATTACKS.md A, kvmtool 31e0eac and CHV #7918: queue_select beyond the
 * array. */
static void
test_queue_select(void **state)
{
	struct fix *x = *state;
	struct drv *d = &x->d;

	assert_true(drv_negotiate(d, VERSION1));
	for (uint32_t q = QUEUES; q <= 0xffff; q++) {
		com_wr(d, Q_SELECT, 2, q);
		com_wr(d, Q_SIZE, 2, 16);
		com_wr(d, Q_VECTOR, 2, 1);
		com_wr(d, Q_ENABLE, 2, 1);
		com_wr(d, VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x1000);
		assert_int_equal(com_rd(d, Q_SELECT, 2), q);
		for (unsigned off = Q_SIZE; off < 56; off += 4)
			assert_int_equal(com_rd(d, off, 4), 0);
	}
	for (unsigned q = 0; q < QUEUES; q++) {
		com_wr(d, Q_SELECT, 2, q);
		assert_int_equal(com_rd(d, Q_SIZE, 2), MAXSIZE);
		assert_int_equal(com_rd(d, Q_ENABLE, 2), 0);
		assert_int_equal(com_rd(d, Q_VECTOR, 2), NOVEC);
	}
}

/* Fields are written by accesses of their own size only. */
static void
test_write_sizes(void **state)
{
	struct fix *x = *state;
	struct drv *d = &x->d;

	com_wr(d, Q_SELECT, 2, 1);
	com_wr(d, Q_SELECT, 4, 0x00400002); /* with queue_size */
	com_wr(d, Q_SELECT, 1, 2);
	assert_int_equal(com_rd(d, Q_SELECT, 2), 1);
	com_wr(d, VIRTIO_PCI_COMMON_STATUS, 2, 1);
	com_wr(d, VIRTIO_PCI_COMMON_STATUS, 4, 1);
	com_wr(d, VIRTIO_PCI_COMMON_NUMQ, 4, 0x00010001);
	assert_int_equal(drv_status(d), 0);
	com_wr(d, VIRTIO_PCI_COMMON_Q_DESCLO + 1, 4, ~0U);
	com_wr(d, VIRTIO_PCI_COMMON_Q_DESCLO, 2, ~0U);
	assert_int_equal(com_rd(d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0);
	com_wr(d, VIRTIO_PCI_COMMON_Q_DESCLO, 8, 0x1122334455667788);
	assert_int_equal(
	    com_rd(d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0x1122334455667788);
	assert_int_equal(com_rd(d, VIRTIO_PCI_COMMON_Q_DESCHI, 2), 0x3344);
}

/* ---- kicks ---- */

/* ATTACKS.md A, CVE-2011-2512: any value written to the notify port; and any
 * port of the BAR, any size. */
static void
test_notify(void **state)
{
	struct fix *x = *state;
	struct drv *d = &x->d;

	bus_write(&x->f->pio, d->notify, 2, 0); /* before DRIVER_OK */
	assert_false(kicked(x, 0));
	bring_up(x, false);
	for (uint32_t v = 0; v <= 0xffff; v++)
		bus_write(&x->f->pio, d->notify + d->step, 2, v);
	bus_write(&x->f->pio, d->notify + d->step, 4, 0x80000000);
	bus_write(&x->f->pio, d->notify + d->step, 4, 0xffffffff);
	bus_write(&x->f->pio, d->notify + d->step, 1, 0xff);
	assert_true(kicked(x, 1));
	assert_false(kicked(x, 0));
	assert_false(kicked(x, 2));
	for (unsigned off = 0; off < d->notify_len; off++)
		for (unsigned size = 1; size <= 4; size *= 2) {
			bus_write(&x->f->pio, d->notify + off, size, 0xffff);
			bus_read(&x->f->pio, d->notify + off, size);
			for (unsigned q = 0; q < QUEUES; q++)
				assert_int_equal(
				    kicked(x, q), off == q * d->step);
		}
}

static void
test_notify_disabled_queue(void **state)
{
	struct fix *x = *state;
	struct drv *d = &x->d;

	assert_true(drv_negotiate(d, VERSION1));
	drv_queue(d, 1, 64, 0x1000, 0x2000, 0x3000);
	drv_enable(d, 1);
	drv_set_status(d, 15);
	assert_int_equal(fake_nio(x->f), 1);
	for (unsigned q = 0; q < 4; q++)
		fake_out(x->f, (uint16_t)(d->notify + q * d->step), 0);
	assert_false(kicked(x, 0));
	assert_true(kicked(x, 1));
	assert_false(kicked(x, 2));
}

static void
test_notify_moves(void **state)
{
	struct fix *x = *state;
	struct drv *d = &x->d;
	uint16_t was = d->notify;

	bring_up(x, true);
	assert_int_equal(fake_nio(x->f), QUEUES);
	cfg_wr(d, PCIR_BAR0 + 4, 4, 0xd000);
	assert_int_equal(fake_nio(x->f), QUEUES);
	fake_out(x->f, was, 0);
	assert_false(kicked(x, 0));
	fake_out(x->f, 0xd000, 0);
	assert_true(kicked(x, 0));
	/* Decoding off, then on again. */
	cfg_wr(d, PCIR_COMMAND, 2, PCIR_COMMAND_MEM);
	assert_int_equal(fake_nio(x->f), 0);
	fake_out(x->f, 0xd000, 0);
	assert_false(kicked(x, 0));
	cfg_wr(d, PCIR_COMMAND, 2, PCIR_COMMAND_MEM | PCIR_COMMAND_IO);
	assert_int_equal(fake_nio(x->f), QUEUES);
	/* Over a port that is taken: no ioeventfd may sit there. */
	cfg_wr(d, PCIR_BAR0 + 4, 4, 0xcf0);
	assert_int_equal(fake_nio(x->f), 0);
	cfg_wr(d, PCIR_BAR0 + 4, 4, was);
	assert_int_equal(fake_nio(x->f), QUEUES);
	/* And gone with the reset. */
	drv_set_status(d, 0);
	assert_int_equal(fake_nio(x->f), 0);
}

/* ---- reset ---- */

/* ATTACKS.md A, CVE-2026-45782, FC #5818: reset with requests in flight, twice,
 * and everything a guest may do before it is over. */
static void
test_reset_async(void **state)
{
	struct fix *x = *state;
	struct drv *d = &x->d;

	x->slow_reset = true;
	bring_up(x, true);
	drv_set_status(d, 0);
	assert_int_equal(x->resets, 1);
	assert_true(drv_status(d) != 0);
	assert_false(virtio_running(x->dev));
	assert_int_equal(fake_nio(x->f) + fake_nirq(x->f), 0);

	drv_set_status(d, 0);
	drv_set_status(d, 0);
	assert_int_equal(x->resets, 1);
	drv_set_status(d, 1);
	drv_set_status(d, 15);
	drv_queue(d, 0, 16, 1, 2, 3);
	drv_enable(d, 0);
	set_queue_vector(x, 0, 1);
	com_wr(d, Q_SELECT, 2, 0);
	assert_int_equal(com_rd(d, Q_ENABLE, 2), 0);
	fake_out(x->f, d->notify, 0);
	assert_false(kicked(x, 0));
	call(x, 0); /* the device finishes what was in flight */
	virtio_needs_reset(x->dev, "late");
	assert_int_equal(x->f->nmsi, 0);
	assert_int_equal(drv_status(d), 15);
	assert_int_equal(x->starts, 1);

	virtio_reset_done(x->dev);
	assert_int_equal(drv_status(d), 0);
	virtio_reset_done(x->dev); /* one too many */
	assert_int_equal(drv_status(d), 0);
	bring_up(x, true);
	assert_int_equal(x->starts, 2);
	virtio_reset_done(x->dev); /* unasked */
	assert_int_equal(drv_status(d), 15);
	assert_true(virtio_running(x->dev));
	/* The signal from before the reset is not heard now. */
	fake_run(x->f);
	assert_int_equal(x->f->nmsi, 0);
	call(x, 0);
	assert_int_equal(x->f->nmsi, 1);
}

static void
test_reset_idle(void **state)
{
	struct fix *x = *state;

	for (uint8_t s = 0; s < 12; s++) {
		drv_set_status(&x->d, s);
		drv_set_status(&x->d, 0);
		assert_int_equal(drv_status(&x->d), 0);
	}
	assert_int_equal(x->resets, 0);
}

static void
test_needs_reset(void **state)
{
	struct fix *x = *state;
	struct drv *d = &x->d;

	virtio_needs_reset(x->dev, "not running");
	assert_int_equal(drv_status(d), 0);
	bring_up(x, true);
	virtio_needs_reset(x->dev, "bad ring");
	assert_int_equal(drv_status(d), 0x4f);
	assert_int_equal(fake_msis(x->f, 0x40), 1);
	assert_false(virtio_running(x->dev));
	virtio_needs_reset(x->dev, "again");
	assert_int_equal(x->f->nmsi, 1);
	drv_set_status(d, 0x4f);
	drv_set_status(d, 0x0f);
	assert_int_equal(drv_status(d), 0x4f);
	drv_set_status(d, 0);
	assert_int_equal(drv_status(d), 0);
	assert_int_equal(x->resets, 1);

	/* By INTx, and refused at the start. */
	drv_msix(d, 0);
	x->refuse_start = true;
	assert_true(drv_negotiate(d, VERSION1));
	drv_queue(d, 0, 64, UINT64_MAX, 3, 1);
	drv_enable(d, 0);
	drv_set_status(d, 15);
	assert_int_equal(drv_status(d), 0x4f);
	assert_true(x->f->gsi[17]);
	assert_int_equal(bus_read(&x->f->mmio, d->isr, 1), 2);
	assert_false(x->f->gsi[17]);
}

/* One device's failure is its own. */
static void
test_two_devices(void **state)
{
	struct fix *x = *state, y = { .f = x->f };

	y.dev = make(x->f, &y);
	drv_find(&y.d, x->f, 3);
	bring_up(x, true);
	for (unsigned v = 0; v <= QUEUES; v++)
		drv_vector(&y.d, v, 0x80 + v);
	assert_true(drv_negotiate(&y.d, VERSION1));
	drv_queue(&y.d, 0, 64, 0x1000, 0x2000, 0x3000);
	drv_msix(&y.d, ENABLE);
	com_wr(&y.d, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	set_queue_vector(&y, 0, 1);
	drv_vector(&y.d, 0, 0x80);
	drv_vector(&y.d, 1, 0x81);
	drv_enable(&y.d, 0);
	drv_set_status(&y.d, 15);
	virtio_needs_reset(y.dev, "broken");
	assert_true(virtio_running(x->dev));
	call(x, 0);
	call(&y, 0);
	assert_int_equal(fake_msis(x->f, 0x41), 1);
	assert_int_equal(fake_msis(x->f, 0x81), 1);
	assert_int_equal(fake_msis(x->f, 0x80), 1);
	drv_set_status(&y.d, 0);
	assert_int_equal(drv_status(&x->d), 15);
	virtio_pci_free(y.dev);
	call(x, 0);
	assert_int_equal(fake_msis(x->f, 0x41), 2);
}

/* ---- PCI configuration access capability ---- */

static uint32_t
window_rd(struct drv *d, uint8_t bar, uint32_t off, uint32_t len)
{
	cfg_wr(d, d->window + 4, 1, bar);
	cfg_wr(d, d->window + 8, 4, off);
	cfg_wr(d, d->window + 12, 4, len);
	return cfg_rd(d, d->window + 16, len == 1 || len == 2 ? len : 4);
}

static void
window_wr(struct drv *d, uint8_t bar, uint32_t off, uint32_t len, uint32_t v)
{
	cfg_wr(d, d->window + 4, 1, bar);
	cfg_wr(d, d->window + 8, 4, off);
	cfg_wr(d, d->window + 12, 4, len);
	cfg_wr(d, d->window + 16, len == 1 || len == 2 ? len : 4, v);
}

static void
test_window(void **state)
{
	static const struct {
		uint8_t bar;
		uint32_t off, len;
	} bad[] = {
		{ 2, 0, 0 },
		{ 2, 0, 3 },
		{ 2, 0, 8 },
		{ 2, 1, 2 },
		{ 2, 2, 4 },
		{ 2, 0x40, 4 },
		{ 2, 0x1000, 4 },
		{ 2, 0x1800, 4 },
		{ 2, 0x2000, 4 },
		{ 2, 0xfffffffc, 4 },
		{ 2, 0, 0xffffffff },
		{ 2, 0x208, 4 },
		{ 1, 16, 4 },
		{ 1, 0xfffffffc, 4 },
		{ 0, 0, 4 },
		{ 5, 0, 4 },
		{ 255, 0, 4 },
	};
	struct fix *x = *state;
	struct drv *d = &x->d;

	/* Also with the decoders off. */
	cfg_wr(d, PCIR_COMMAND, 2, 0);
	assert_int_equal(window_rd(d, 2, VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
	assert_int_equal(window_rd(d, 2, 0x200, 4), 0x04030201);
	window_wr(d, 2, VIRTIO_PCI_COMMON_STATUS, 1, 1);
	assert_int_equal(window_rd(d, 2, VIRTIO_PCI_COMMON_STATUS, 1), 1);
	for (size_t i = 0; i < LEN(bad); i++) {
		window_wr(d, bad[i].bar, bad[i].off, bad[i].len, 0x12345678);
		/* Nothing happens but that the bytes are kept. */
		if (window_rd(d, bad[i].bar, bad[i].off, bad[i].len) !=
		    (bad[i].len == 2 ? 0x5678 : 0x12345678))
			fail_msg("row %zu", i);
	}
	cfg_wr(d, PCIR_COMMAND, 2, 7);
	bring_up(x, true);
	window_wr(d, 1, 2 * d->step, 2, 2);
	assert_true(kicked(x, 2));
	/* The other capabilities cannot be written. */
	for (unsigned off = 0x40; off < d->window + 4; off++)
		if (off != d->msix + 3) {
			uint32_t was = cfg_rd(d, off, 1);

			cfg_wr(d, off, 1, ~was);
			assert_int_equal(cfg_rd(d, off, 1), was);
		}
}

/* ---- all of it ---- */

static void
random_access(struct fix *x)
{
	struct drv *d = &x->d;
	uint64_t base = d->common,
		 val = (uint64_t)random() << 32 | ((uint64_t)random() << 1);
	unsigned size = 1U << (random() % 4), off;
	struct bus *bus = &x->f->mmio;

	switch (random() % 8) {
	case 0:
		base = d->notify;
		bus = &x->f->pio;
		off = (unsigned)random() % (d->notify_len + 8);
		break;
	case 1: /* configuration space, but not where the BARs are */
		off = (unsigned)random() % 0x100;
		if (off >= 0x0c && off < 0x1c)
			return;
		size = 1U << (random() % 3);
		cfg_wr(d, off, size, off < 8 ? 7 : (uint32_t)val);
		cfg_rd(d, off, size);
		return;
	case 4:
		base = drv_bar(d, 0);
		bus = &x->f->pio;
		off = (unsigned)random() % 0x40;
		break;
	case 2:
		off = 0x1000 + (unsigned)random() % 0x1000;
		break;
	case 3:
		off = (unsigned)random() % 0x2010;
		break;
	default:
		off = (unsigned)random() % 0x40;
	}
	if (random() % 2 == 0)
		val &= 0xf;
	bus_write(bus, base + off, size, val);
	bus_read(bus, base + off, size);
}

/* ATTACKS.md A and B: every offset, every size, any value. */
static void
test_sweep(void **state)
{
	struct fix *x = *state;
	struct fake *f = x->f;

	srandom(3);
	for (unsigned i = 0; i < 500000; i++) {
		random_access(x);
		if (i % 512 == 0) {
			drv_msix(&x->d, random() % 2 ? ENABLE : 0);
			bring_up(x, i % 1024 == 0);
			for (unsigned q = 0; q < QUEUES; q++)
				call(x, q);
		}
		if (i % 64 == 0)
			call(x, (unsigned)random() % QUEUES);
		f->nmsi = 0;
	}
	drv_set_status(&x->d, 0);
	drv_msix(&x->d, 0);
	bring_up(x, true);
	call(x, 0);
	assert_int_equal(fake_msis(f, 0x41), 1);
}

static void
test_limits(void **state)
{
	struct virtio_conf conf = {
		.name = "t",
		.type = 2,
		.nqueues = 1,
		.queue_size = 8,
		.ops = &dev_ops,
	};
	static const struct {
		unsigned nqueues;
		uint16_t size;
		unsigned config;
		bool ok;
	} rows[] = {
		{ 0, 8, 0, false },
		{ 17, 8, 0, false },
		{ 0xffffffff, 8, 0, false },
		{ 1, 0, 0, false },
		{ 1, 9, 0, false },
		{ 1, 2048, 0, false },
		{ 1, 8, VIRTIO_CONFIG_MAX + 1, false },
		{ 16, 1024, VIRTIO_CONFIG_MAX, true },
		{ 1, 1, 0, true },
	};
	static const uint8_t config[VIRTIO_CONFIG_MAX + 1];
	struct fake *f = fake_new();
	unsigned fds = fake_open_fds();
	struct virtio_dev *many[32];
	unsigned n = 0;

	for (size_t i = 0; i < LEN(rows); i++) {
		struct virtio_dev *dev;

		conf.nqueues = rows[i].nqueues;
		conf.queue_size = rows[i].size;
		conf.config = config;
		conf.config_len = rows[i].config;
		f->host.next_gsi = 24;
		dev = virtio_pci_new(&f->pci, &f->host, &conf);
		if ((dev != NULL) != rows[i].ok)
			fail_msg("row %zu", i);
		virtio_pci_free(dev);
		assert_int_equal(fake_open_fds(), fds);
	}
	/* Until something runs out. */
	conf.nqueues = 16;
	conf.queue_size = 8;
	conf.config_len = 0;
	f->host.next_gsi = 24;
	while (n < LEN(many) &&
	    (many[n] = virtio_pci_new(&f->pci, &f->host, &conf)) != NULL)
		n++;
	assert_int_equal(n, (FAKE_GSIS - 24) / 17);
	assert_int_equal(errno, ENOSPC);
	while (n > 0)
		virtio_pci_free(many[--n]);
	assert_int_equal(fake_open_fds(), fds);
	assert_int_equal(f->mmio.n, 0);
	fake_free(f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_discovery),
		T(test_linux),
		T(test_features),
		T(test_status_order),
		T(test_queue_immutable),
		T(test_queue_size),
		T(test_queue_select),
		T(test_write_sizes),
		T(test_notify),
		T(test_notify_disabled_queue),
		T(test_notify_moves),
		T(test_reset_async),
		T(test_reset_idle),
		T(test_needs_reset),
		T(test_two_devices),
		T(test_window),
		T(test_sweep),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
