/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_VMD_VIRTIO_FIX_H
#define REGRESS_VMD_VIRTIO_FIX_H

/* A device of QUEUES queues behind the transport, and a driver for it. */
#include "virtio_fake.h"

#define QUEUES	 3
#define MAXSIZE	 256
#define OFFERED	 (UINT64_C(1) << 9 | UINT64_C(1) << 28 | UINT64_C(1) << 29)
#define VERSION1 (UINT64_C(1) << 32)
#define NOVEC	 0xffff
#define ENABLE	 0x8000
#define FMASK	 0x4000

#define Q_SELECT VIRTIO_PCI_COMMON_Q_SELECT
#define Q_SIZE	 VIRTIO_PCI_COMMON_Q_SIZE
#define Q_VECTOR VIRTIO_PCI_COMMON_Q_MSIX
#define Q_ENABLE VIRTIO_PCI_COMMON_Q_ENABLE

struct fix {
	struct fake *f;
	struct virtio_dev *dev;
	struct drv d;
	/* the device model */
	unsigned starts, resets, kicks;
	bool slow_reset, refuse_start;
	uint64_t features;
	struct virtio_ring ring[VIRTIO_QUEUES_MAX];
	unsigned nrings;
};

static inline void
dev_start(struct virtio_dev *dev, uint64_t features,
    const struct virtio_ring *ring, unsigned n)
{
	struct fix *x = virtio_arg(dev);

	x->starts++;
	x->features = features;
	x->nrings = n;
	memcpy(x->ring, ring, n * sizeof(ring[0]));
	if (x->refuse_start)
		virtio_needs_reset(dev, "rings");
}

static inline void
dev_reset(struct virtio_dev *dev)
{
	struct fix *x = virtio_arg(dev);

	x->resets++;
	if (!x->slow_reset)
		virtio_reset_done(dev);
}

static const struct virtio_ops dev_ops = { .start = dev_start,
	.reset = dev_reset };

static inline struct virtio_dev *
make(struct fake *f, struct fix *x)
{
	static const uint8_t config[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
	const struct virtio_conf conf = {
		.name = "vioblk0",
		.type = 2,
		.class = 0x010000,
		.features = OFFERED,
		.nqueues = QUEUES,
		.queue_size = MAXSIZE,
		.config = config,
		.config_len = sizeof(config),
		.ops = &dev_ops,
		.arg = x,
	};

	return virtio_pci_new(&f->pci, &f->host, &conf);
}

static inline int
setup(void **state)
{
	struct fix *x = calloc(1, sizeof(*x));

	x->f = fake_new();
	x->dev = make(x->f, x);
	assert_non_null(x->dev);
	drv_find(&x->d, x->f, 2);
	*state = x;
	return 0;
}

static inline int
teardown(void **state)
{
	struct fix *x = *state;
	struct fake *f = x->f;

	virtio_pci_free(x->dev);
	/* Nothing is left behind, whatever a test did. */
	assert_int_equal(fake_nio(f), 0);
	assert_int_equal(fake_nirq(f), 0);
	for (unsigned i = 0; i < FAKE_GSIS; i++)
		assert_false(f->staged[i].set);
	assert_int_equal(f->mmio.n, 0);
	assert_int_equal(cfg_rd(&x->d, 0, 4), 0xffffffff);
	fake_free(f);
	free(x);
	return 0;
}

/* Signal as the device does. */
static inline void
call(struct fix *x, unsigned q)
{
	assert_int_equal(eventfd_write(virtio_call_fd(x->dev, q), 1), 0);
	fake_run(x->f);
}

static inline bool
kicked(struct fix *x, unsigned q)
{
	eventfd_t n;

	return eventfd_read(virtio_kick_fd(x->dev, q), &n) == 0;
}

static inline void
set_queue_vector(struct fix *x, unsigned q, uint16_t v)
{
	com_wr(&x->d, Q_SELECT, 2, q);
	com_wr(&x->d, Q_VECTOR, 2, v);
}

/* All of "Device Initialization" with all queues; vectors: configuration on
 * 0, queue n on n + 1. */
static inline void
bring_up(struct fix *x, bool msix)
{
	struct drv *d = &x->d;

	assert_true(drv_negotiate(d, OFFERED | VERSION1));
	if (msix) {
		drv_msix(d, ENABLE | FMASK);
		for (unsigned v = 0; v <= QUEUES; v++)
			drv_vector(d, v, 0x40 + v);
		drv_msix(d, ENABLE);
		com_wr(d, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	}
	for (unsigned q = 0; q < QUEUES; q++) {
		drv_queue(d, q, 128, 0x10000 * (q + 1),
		    0x10000 * (q + 1) + 0x4000, 0x10000 * (q + 1) + 0x8000);
		if (msix)
			set_queue_vector(x, q, (uint16_t)(q + 1));
	}
	for (unsigned q = 0; q < QUEUES; q++)
		drv_enable(d, q);
	drv_set_status(d, 15);
	assert_int_equal(drv_status(d), 15);
}

#endif
