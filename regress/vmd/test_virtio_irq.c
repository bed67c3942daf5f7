/* SPDX-License-Identifier: ISC */

/*
 * Interrupts of the virtio PCI transport (vmd/virtio_irq.c): MSI-X by irqfd,
 * masked vectors, INTx; no signal is lost, no system call wasted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include "virtio_fix.h"

/* Vectors are masked and unmasked many times before a driver is up: that
 * must not cost system calls. */
static void
test_no_needless_commits(void **state)
{
	struct fix *x = *state;

	drv_msix(&x->d, ENABLE);
	for (unsigned i = 0; i < 100; i++)
		for (unsigned v = 0; v <= QUEUES; v++)
			drv_vector(&x->d, v, 0x40 + v + i);
	assert_int_equal(x->f->commits + x->f->binds, 0);
	bring_up(x, true);
	assert_int_equal(x->f->commits, 1);
	assert_int_equal(x->f->binds, QUEUES);
	/* And while it runs: the same message again is no change. */
	drv_mask(&x->d, 1, true);
	drv_mask(&x->d, 1, false);
	assert_int_equal(x->f->commits, 1);
	/* A new target is. */
	drv_vector(&x->d, 1, 0x99);
	assert_int_equal(x->f->commits, 2);
	call(x, 0);
	assert_int_equal(fake_msis(x->f, 0x99), 1);
}

/* Without ioeventfd, irqfd or routes it is slow, not wrong. */
static void
test_kernel_refuses(void **state)
{
	struct fix *x = *state;

	x->f->io_error = -ENOSPC;
	x->f->irq_error = -ENOSPC;
	bring_up(x, true);
	assert_int_equal(fake_nio(x->f) + fake_nirq(x->f), 0);
	fake_out(x->f, x->d.notify, 0);
	assert_true(kicked(x, 0));
	call(x, 0);
	call(x, 0);
	assert_int_equal(fake_msis(x->f, 0x41), 2);
	drv_set_status(&x->d, 0);

	x->f->io_error = x->f->irq_error = 0;
	x->f->commit_error = -EINVAL;
	bring_up(x, true);
	/* The old routes are still there, but these are not they. */
	drv_vector(&x->d, 1, 0x77);
	call(x, 0);
	assert_int_equal(fake_msis(x->f, 0x77), 1);
	x->f->commit_error = 0;
	drv_vector(&x->d, 1, 0x78);
	assert_int_equal(fake_nirq(x->f), QUEUES);
	call(x, 0);
	assert_int_equal(fake_msis(x->f, 0x78), 1);
}

/* ATTACKS.md A, CHV #7918 and #6657: vectors out of range. */
static void
test_vector_range(void **state)
{
	struct fix *x = *state;
	struct drv *d = &x->d;

	for (uint32_t v = 0; v <= 0xffff; v++) {
		uint32_t want = v <= QUEUES ? v : NOVEC;

		com_wr(d, VIRTIO_PCI_COMMON_MSIX, 2, v);
		assert_int_equal(com_rd(d, VIRTIO_PCI_COMMON_MSIX, 2), want);
		set_queue_vector(x, 1, (uint16_t)v);
		assert_int_equal(com_rd(d, Q_VECTOR, 2), want);
	}
	/* Reset unmaps. */
	com_wr(d, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	set_queue_vector(x, 1, 1);
	drv_set_status(d, 0);
	com_wr(d, Q_SELECT, 2, 1);
	assert_int_equal(com_rd(d, Q_VECTOR, 2), NOVEC);
	assert_int_equal(com_rd(d, VIRTIO_PCI_COMMON_MSIX, 2), NOVEC);
}

/* Drivers there are that map vectors when the queues are enabled already. */
static void
test_vector_late(void **state)
{
	struct fix *x = *state;

	bring_up(x, true);
	set_queue_vector(x, 0, NOVEC);
	call(x, 0);
	assert_int_equal(x->f->nmsi, 0);
	set_queue_vector(x, 0, 2);
	/* "the device MUST NOT deliver an interrupt" for what came before */
	fake_run(x->f);
	assert_int_equal(x->f->nmsi, 0);
	call(x, 0);
	assert_int_equal(fake_msis(x->f, 0x42), 1);
	/* Two queues on one vector. */
	call(x, 1);
	assert_int_equal(fake_msis(x->f, 0x42), 2);
}

static void
test_masked(void **state)
{
	struct fix *x = *state;
	struct drv *d = &x->d;

	bring_up(x, true);
	drv_mask(d, 1, true);
	assert_int_equal(fake_nirq(x->f), QUEUES - 1);
	for (unsigned i = 0; i < 5; i++)
		call(x, 0);
	assert_int_equal(x->f->nmsi, 0);
	assert_int_equal(bus_read(&x->f->mmio, d->pba, 8), 2);
	/* PBA writes do nothing. */
	bus_write(&x->f->mmio, d->pba, 8, 0);
	bus_write(&x->f->mmio, d->pba, 4, 0xffffffff);
	assert_int_equal(bus_read(&x->f->mmio, d->pba, 4), 2);
	call(x, 1); /* others are not affected */
	assert_int_equal(fake_msis(x->f, 0x42), 1);
	drv_mask(d, 1, false);
	fake_run(x->f);
	assert_int_equal(fake_msis(x->f, 0x41), 1); /* once */
	assert_int_equal(bus_read(&x->f->mmio, d->pba, 8), 0);
	call(x, 0);
	assert_int_equal(fake_msis(x->f, 0x41), 2);
}

static void
test_function_mask(void **state)
{
	struct fix *x = *state;

	bring_up(x, true);
	drv_msix(&x->d, ENABLE | FMASK);
	assert_int_equal(fake_nirq(x->f), 0);
	call(x, 0);
	call(x, 2);
	assert_int_equal(bus_read(&x->f->mmio, x->d.pba, 8), 2 | 8);
	drv_mask(&x->d, 1, true);
	drv_msix(&x->d, ENABLE);
	fake_run(x->f);
	assert_int_equal(x->f->nmsi, 1);
	assert_int_equal(fake_msis(x->f, 0x43), 1);
	drv_mask(&x->d, 1, false);
	assert_int_equal(fake_msis(x->f, 0x41), 1);
	/* What is pending does not outlive a reset. */
	drv_mask(&x->d, 1, true);
	call(x, 0);
	assert_int_equal(bus_read(&x->f->mmio, x->d.pba, 8), 2);
	drv_set_status(&x->d, 0);
	assert_int_equal(bus_read(&x->f->mmio, x->d.pba, 8), 0);
	drv_mask(&x->d, 1, false);
	fake_run(x->f);
	assert_int_equal(x->f->nmsi, 2);
}

/* A signal in each gap of each transition: none is lost. */
static void
test_gaps(void **state)
{
	struct fix *x = *state;
	int fd;

	bring_up(x, true);
	fd = virtio_call_fd(x->dev, 0);
	/* Masked, signalled, unmasked before the event loop ran. */
	drv_mask(&x->d, 1, true);
	eventfd_write(fd, 1);
	drv_mask(&x->d, 1, false);
	fake_run(x->f);
	assert_int_equal(fake_msis(x->f, 0x41), 1);
	/* Signalled while bound, masked before the kernel took it. */
	eventfd_write(fd, 1);
	drv_mask(&x->d, 1, true);
	fake_run(x->f);
	assert_int_equal(bus_read(&x->f->mmio, x->d.pba, 8), 2);
	/* Signalled between the look at the eventfd and the bind. */
	drv_mask(&x->d, 1, false);
	assert_int_equal(fake_msis(x->f, 0x41), 2);
	drv_mask(&x->d, 1, true);
	x->f->signal_in_bind = fd;
	drv_mask(&x->d, 1, false);
	fake_run(x->f);
	assert_int_equal(fake_msis(x->f, 0x41), 3);
	x->f->signal_in_bind = 0;
	/* From MSI-X to INTx with one pending, and back. */
	drv_mask(&x->d, 1, true);
	call(x, 0);
	drv_msix(&x->d, 0);
	fake_run(x->f);
	assert_true(x->f->gsi[17]);
	drv_mask(&x->d, 1, false);
	drv_msix(&x->d, ENABLE);
	fake_run(x->f);
	assert_false(x->f->gsi[17]);
	assert_true(fake_msis(x->f, 0x41) >= 4);
}

static void
test_intx(void **state)
{
	struct fix *x = *state;
	struct drv *d = &x->d;

	bring_up(x, false);
	assert_int_equal(fake_nirq(x->f), 0);
	call(x, 0);
	call(x, 1);
	assert_true(x->f->gsi[17]);
	assert_int_equal(cfg_rd(d, PCIR_STATUS, 2) & 8, 8);
	/* Signals while the bit is set are not looked at: no wakeups. */
	for (unsigned q = 0; q < QUEUES; q++)
		eventfd_write(virtio_call_fd(x->dev, q), 1);
	assert_int_equal(
	    event_base_get_num_events(x->f->host.base, EVENT_BASE_COUNT_ADDED),
	    0);
	/* The read clears and deasserts ... */
	assert_int_equal(bus_read(&x->f->mmio, d->isr, 1), 1);
	assert_false(x->f->gsi[17]);
	assert_int_equal(cfg_rd(d, PCIR_STATUS, 2) & 8, 0);
	assert_int_equal(bus_read(&x->f->mmio, d->isr, 1), 0);
	/* ... and what came meanwhile asserts again. */
	fake_run(x->f);
	assert_true(x->f->gsi[17]);
	assert_int_equal(bus_read(&x->f->mmio, d->isr, 1), 1);
	fake_run(x->f);
	assert_false(x->f->gsi[17]);
	/* Interrupt disable. */
	cfg_wr(d, PCIR_COMMAND, 2, 7 | PCIR_COMMAND_NOINTX);
	call(x, 2);
	assert_false(x->f->gsi[17]);
	cfg_wr(d, PCIR_COMMAND, 2, 7);
	assert_true(x->f->gsi[17]);
	/* Reset takes it back. */
	drv_set_status(d, 0);
	assert_false(x->f->gsi[17]);
	assert_int_equal(bus_read(&x->f->mmio, d->isr, 1), 0);
}

/* A vCPU that holds the machine lock when the event loop's callback for a
 * masked vector comes to wait for it, and then unmasks that vector. */
static void *
unmask_late(void *arg)
{
	struct fix *x = arg;

	fake_lock(&x->f->host);
	eventfd_write(virtio_call_fd(x->dev, 0), 1);
	while (__atomic_load_n(&x->f->waiting, __ATOMIC_SEQ_CST) == 0)
		sched_yield();
	drv_mask(&x->d, 1, false);
	fake_unlock(&x->f->host);
	return NULL;
}

static void
test_no_deadlock(void **state)
{
	struct fix *x = *state;
	pthread_t thread;

	bring_up(x, true);
	drv_mask(&x->d, 1, true);
	alarm(10);
	assert_int_equal(pthread_create(&thread, NULL, unmask_late, x), 0);
	event_base_loop(x->f->host.base, EVLOOP_ONCE);
	pthread_join(thread, NULL);
	alarm(0);
	fake_run(x->f);
	assert_int_equal(fake_msis(x->f, 0x41), 1);
}

struct toggler {
	struct fix *x;
	bool stop; /* (m) */
};

/* A vCPU that masks and unmasks vector 1 as fast as it can. */
static void *
toggle(void *arg)
{
	struct toggler *t = arg;
	struct fix *x = t->x;
	bool stop = false;

	for (unsigned i = 0; !stop; i++) {
		fake_lock(&x->f->host);
		drv_mask(&x->d, 1, i % 2 == 0);
		if (i % 64 == 0)
			drv_vector(&x->d, 1, 0x41);
		stop = t->stop;
		fake_unlock(&x->f->host);
	}
	fake_lock(&x->f->host);
	drv_mask(&x->d, 1, false);
	fake_unlock(&x->f->host);
	return NULL;
}

/* Every signal is delivered while another thread masks and unmasks. */
static void
test_threads(void **state)
{
	struct fix *x = *state;
	struct toggler t = { .x = x };
	pthread_t thread;
	unsigned seen = 0;

	bring_up(x, true);
	assert_int_equal(pthread_create(&thread, NULL, toggle, &t), 0);
	for (unsigned i = 0; i < 2000; i++) {
		unsigned before;

		fake_lock(&x->f->host);
		before = x->f->nmsi = 0;
		fake_unlock(&x->f->host);
		eventfd_write(virtio_call_fd(x->dev, 0), 1);
		for (unsigned turns = 0; before == 0; turns++) {
			assert_true(turns < 1000000);
			fake_run(x->f);
			fake_lock(&x->f->host);
			before = x->f->nmsi;
			fake_unlock(&x->f->host);
		}
		seen++;
	}
	fake_lock(&x->f->host);
	t.stop = true;
	fake_unlock(&x->f->host);
	pthread_join(thread, NULL);
	assert_int_equal(seen, 2000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_no_needless_commits),
		T(test_kernel_refuses),
		T(test_vector_range),
		T(test_vector_late),
		T(test_masked),
		T(test_function_mask),
		T(test_gaps),
		T(test_intx),
		T(test_no_deadlock),
		T(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
