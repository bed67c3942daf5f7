/* SPDX-License-Identifier: ISC */

/*
 * Common configuration structure; see virtio_common.h.
 *
 * Reads have no side effects and may have any size.  Writes must have the
 * size of the field that they begin at ("PCI Device Layout"; a 64-bit field
 * is two of 32); others are ignored.
 *
 * Feature negotiation: bits are kept as the driver writes them, and checked
 * as a whole when it sets FEATURES_OK, which stays clear unless they are a
 * subset of those offered and VERSION_1 is among them.
 */
#include <errno.h>
#include <string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include "state.h"
#include "virtio_common.h"
#include "virtq.h"

#define VERSION_1 (UINT64_C(1) << VIRTIO_F_VERSION_1)

#define S_ACKNOWLEDGE VIRTIO_CONFIG_S_ACKNOWLEDGE
#define S_DRIVER      VIRTIO_CONFIG_S_DRIVER
#define S_DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define S_FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define S_NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define S_FAILED      VIRTIO_CONFIG_S_FAILED

static void
clear(struct virtio_common *c)
{
	c->accepted = 0;
	c->device_select = c->driver_select = 0;
	c->queue_select = 0;
	memset(c->queue, 0, sizeof(c->queue));
	for (unsigned i = 0; i < c->nqueues; i++)
		c->queue[i].size = c->queue_max;
}

int
virtio_common_init(struct virtio_common *c, uint64_t offered, unsigned nqueues,
    uint16_t queue_max, struct virtio_irq *irq,
    const struct virtio_common_ops *ops, void *arg)
{
	if (nqueues == 0 || nqueues > VIRTIO_QUEUES_MAX || queue_max == 0 ||
	    queue_max > VIRTQ_SIZE_MAX || (queue_max & (queue_max - 1)) != 0)
		return -EINVAL;
	memset(c, 0, sizeof(*c));
	c->offered = offered | VERSION_1;
	c->nqueues = nqueues;
	c->queue_max = queue_max;
	c->irq = irq;
	c->ops = ops;
	c->arg = arg;
	clear(c);
	return 0;
}

bool
virtio_common_started(const struct virtio_common *c)
{
	return (c->status & S_DRIVER_OK) != 0 && !c->resetting;
}

bool
virtio_common_running(const struct virtio_common *c)
{
	return virtio_common_started(c) && (c->status & S_NEEDS_RESET) == 0;
}

bool
virtio_common_needs_reset(struct virtio_common *c)
{
	if (!virtio_common_running(c))
		return false;
	c->status |= S_NEEDS_RESET;
	return true;
}

void
virtio_common_reset_done(struct virtio_common *c)
{
	if (!c->resetting)
		return;
	c->resetting = false;
	c->status = 0;
}

/* ---- status ---- */

void
virtio_common_reset(struct virtio_common *c)
{
	bool started = virtio_common_started(c);

	clear(c);
	if (started)
		c->resetting = true; /* status reads as before */
	else
		c->status = 0;
	c->ops->reset(c->arg, started);
}

static bool
features_ok(const struct virtio_common *c)
{
	return (c->accepted & ~c->offered) == 0 &&
	    (c->accepted & VERSION_1) != 0;
}

/*
 * The steps of "Device Initialization", in order.  A bit that is set stays
 * set; one whose predecessor is missing is ignored; nothing but FAILED can be
 * added once the driver or the device gave up.
 */
static void
write_status(struct virtio_common *c, uint32_t val)
{
	uint8_t old = c->status, now = old;

	if (val == 0) {
		virtio_common_reset(c);
		return;
	}
	now |= val & S_FAILED;
	if ((old & (S_FAILED | S_NEEDS_RESET)) == 0) {
		now |= val & S_ACKNOWLEDGE;
		if ((now & S_ACKNOWLEDGE) != 0)
			now |= val & S_DRIVER;
		if ((old & S_DRIVER) != 0 && features_ok(c))
			now |= val & S_FEATURES_OK;
		/* The driver has to see FEATURES_OK accepted before. */
		if ((old & S_FEATURES_OK) != 0)
			now |= val & S_DRIVER_OK;
	}
	c->status = now;
	if ((now & ~old & S_DRIVER_OK) != 0)
		c->ops->start(c->arg);
}

/* ---- features ---- */

static void
set_low(uint64_t *v, uint32_t val)
{
	*v = (*v & ~UINT64_C(0xffffffff)) | val;
}

static void
set_high(uint64_t *v, uint32_t val)
{
	*v = (uint32_t)*v | (uint64_t)val << 32;
}

static uint32_t
half(uint64_t bits, uint32_t select)
{
	return select > 1 ? 0 : (uint32_t)(bits >> (32 * select));
}

static void
write_device_select(struct virtio_common *c, uint32_t val)
{
	c->device_select = val;
}

static void
write_driver_select(struct virtio_common *c, uint32_t val)
{
	c->driver_select = val;
}

static void
write_features(struct virtio_common *c, uint32_t val)
{
	if ((c->status & S_FEATURES_OK) != 0 || c->driver_select > 1)
		return;
	if (c->driver_select == 0)
		set_low(&c->accepted, val);
	else
		set_high(&c->accepted, val);
}

/* ---- queues ---- */

/* The selected queue, if it may be programmed now: invariant 1. */
static struct virtio_common_queue *
programmable(struct virtio_common *c)
{
	struct virtio_common_queue *q;

	if (c->queue_select >= c->nqueues || (c->status & S_DRIVER_OK) != 0)
		return NULL;
	q = &c->queue[c->queue_select];
	return q->enabled ? NULL : q;
}

static void
write_config_vector(struct virtio_common *c, uint32_t val)
{
	virtio_irq_set_vector(c->irq, VIRTIO_QUEUES_MAX, (uint16_t)val);
}

static void
write_queue_select(struct virtio_common *c, uint32_t val)
{
	c->queue_select = (uint16_t)val;
}

static void
write_queue_size(struct virtio_common *c, uint32_t val)
{
	struct virtio_common_queue *q = programmable(c);

	if (q != NULL && val != 0 && val <= c->queue_max &&
	    (val & (val - 1)) == 0)
		q->size = (uint16_t)val;
}

/*
 * A vector is no part of the ring and may be mapped at any time: there are
 * drivers that do it after they enabled the queue.
 */
static void
write_queue_vector(struct virtio_common *c, uint32_t val)
{
	if (c->queue_select < c->nqueues)
		virtio_irq_set_vector(c->irq, c->queue_select, (uint16_t)val);
}

static void
write_queue_enable(struct virtio_common *c, uint32_t val)
{
	struct virtio_common_queue *q = programmable(c);

	if (q != NULL && val == 1)
		q->enabled = true;
}

#define ADDRESS_WRITER(name, field, set)                         \
	static void name(struct virtio_common *c, uint32_t val)  \
	{                                                        \
		struct virtio_common_queue *q = programmable(c); \
                                                                 \
		if (q != NULL)                                   \
			set(&q->field, val);                     \
	}

ADDRESS_WRITER(write_desc_low, desc, set_low)
ADDRESS_WRITER(write_desc_high, desc, set_high)
ADDRESS_WRITER(write_avail_low, avail, set_low)
ADDRESS_WRITER(write_avail_high, avail, set_high)
ADDRESS_WRITER(write_used_low, used, set_low)
ADDRESS_WRITER(write_used_high, used, set_high)

/* ---- the structure ---- */

static const struct {
	uint8_t off, size;
	void (*write)(struct virtio_common *, uint32_t);
} fields[] = {
	{ VIRTIO_PCI_COMMON_DFSELECT, 4, write_device_select },
	{ VIRTIO_PCI_COMMON_GFSELECT, 4, write_driver_select },
	{ VIRTIO_PCI_COMMON_GF, 4, write_features },
	{ VIRTIO_PCI_COMMON_MSIX, 2, write_config_vector },
	{ VIRTIO_PCI_COMMON_STATUS, 1, write_status },
	{ VIRTIO_PCI_COMMON_Q_SELECT, 2, write_queue_select },
	{ VIRTIO_PCI_COMMON_Q_SIZE, 2, write_queue_size },
	{ VIRTIO_PCI_COMMON_Q_MSIX, 2, write_queue_vector },
	{ VIRTIO_PCI_COMMON_Q_ENABLE, 2, write_queue_enable },
	{ VIRTIO_PCI_COMMON_Q_DESCLO, 4, write_desc_low },
	{ VIRTIO_PCI_COMMON_Q_DESCHI, 4, write_desc_high },
	{ VIRTIO_PCI_COMMON_Q_AVAILLO, 4, write_avail_low },
	{ VIRTIO_PCI_COMMON_Q_AVAILHI, 4, write_avail_high },
	{ VIRTIO_PCI_COMMON_Q_USEDLO, 4, write_used_low },
	{ VIRTIO_PCI_COMMON_Q_USEDHI, 4, write_used_high },
};

void
virtio_image_put(uint8_t *img, unsigned off, unsigned size, uint64_t val)
{
	for (unsigned i = 0; i < size; i++)
		img[off + i] = (uint8_t)(val >> (8 * i));
}

uint64_t
virtio_image_get(const uint8_t *img, unsigned off, unsigned size)
{
	uint64_t val = 0;

	for (unsigned i = 0; i < size; i++)
		val |= (uint64_t)img[off + i] << (8 * i);
	return val;
}

/* Fields that are always zero: queue_notify_data, queue_reset. */
static void
image(const struct virtio_common *c, uint8_t *img)
{
	const struct virtio_common_queue *q;
	unsigned n = c->queue_select;

	memset(img, 0, VIRTIO_COMMON_LEN);
	virtio_image_put(img, VIRTIO_PCI_COMMON_DFSELECT, 4, c->device_select);
	virtio_image_put(
	    img, VIRTIO_PCI_COMMON_DF, 4, half(c->offered, c->device_select));
	virtio_image_put(img, VIRTIO_PCI_COMMON_GFSELECT, 4, c->driver_select);
	virtio_image_put(
	    img, VIRTIO_PCI_COMMON_GF, 4, half(c->accepted, c->driver_select));
	virtio_image_put(img, VIRTIO_PCI_COMMON_MSIX, 2,
	    virtio_irq_vector(c->irq, VIRTIO_QUEUES_MAX));
	virtio_image_put(img, VIRTIO_PCI_COMMON_NUMQ, 2, c->nqueues);
	virtio_image_put(img, VIRTIO_PCI_COMMON_STATUS, 1, c->status);
	virtio_image_put(
	    img, VIRTIO_PCI_COMMON_CFGGENERATION, 1, c->generation);
	virtio_image_put(img, VIRTIO_PCI_COMMON_Q_SELECT, 2, n);
	if (n >= c->nqueues)
		return;
	q = &c->queue[n];
	virtio_image_put(img, VIRTIO_PCI_COMMON_Q_SIZE, 2, q->size);
	virtio_image_put(
	    img, VIRTIO_PCI_COMMON_Q_MSIX, 2, virtio_irq_vector(c->irq, n));
	virtio_image_put(img, VIRTIO_PCI_COMMON_Q_ENABLE, 2, q->enabled);
	virtio_image_put(img, VIRTIO_PCI_COMMON_Q_NOFF, 2, n);
	virtio_image_put(img, VIRTIO_PCI_COMMON_Q_DESCLO, 8, q->desc);
	virtio_image_put(img, VIRTIO_PCI_COMMON_Q_AVAILLO, 8, q->avail);
	virtio_image_put(img, VIRTIO_PCI_COMMON_Q_USEDLO, 8, q->used);
}

uint64_t
virtio_common_read(const struct virtio_common *c, uint64_t off, unsigned size)
{
	uint8_t img[VIRTIO_COMMON_LEN];

	if (size > 8 || off >= sizeof(img) || size > sizeof(img) - off)
		return UINT64_MAX;
	image(c, img);
	return virtio_image_get(img, (unsigned)off, size);
}

void
virtio_common_write(
    struct virtio_common *c, uint64_t off, unsigned size, uint64_t val)
{
	if (size == 8) {
		virtio_common_write(c, off, 4, (uint32_t)val);
		virtio_common_write(c, off + 4, 4, val >> 32);
		return;
	}
	/* The driver has to wait for the end of a reset that it asked for. */
	if (c->resetting)
		return;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i].off == off && fields[i].size == size)
			fields[i].write(c, (uint32_t)val);
}

static const struct state_field state_fields_of[] = {
	STATE_NUM(struct virtio_common, accepted, UINT64_MAX),
	STATE_NUM(struct virtio_common, device_select, UINT32_MAX),
	STATE_NUM(struct virtio_common, driver_select, UINT32_MAX),
	STATE_NUM(struct virtio_common, status, UINT8_MAX),
	STATE_NUM(struct virtio_common, generation, UINT8_MAX),
	STATE_NUM(struct virtio_common, queue_select, UINT16_MAX),
	STATE_SUB(struct virtio_common, queue, size, VIRTQ_SIZE_MAX),
	STATE_SUB(struct virtio_common, queue, enabled, 1),
	STATE_SUB(struct virtio_common, queue, desc, UINT64_MAX),
	STATE_SUB(struct virtio_common, queue, avail, UINT64_MAX),
	STATE_SUB(struct virtio_common, queue, used, UINT64_MAX),
};

void
virtio_common_state(struct virtio_common *c, struct state *s)
{
	if (s->writing && c->resetting)
		state_fail(s, -EBUSY, "%s is being reset", c->irq->name);
	state_fields(s, c, state_fields_of,
	    sizeof(state_fields_of) / sizeof(state_fields_of[0]));
	if (s->error != 0 || s->writing)
		return;
	/* Legacy drivers know nothing of VERSION_1, others accept it. */
	if ((c->accepted & ~c->offered) != 0)
		state_fail(s, -ENOTSUP,
		    "features that are not offered any more: %#llx",
		    (unsigned long long)(c->accepted & ~c->offered));
	for (unsigned i = 0; i < c->nqueues; i++)
		if (c->queue[i].size > c->queue_max)
			state_fail(s, -EINVAL, "queue %u is too large", i);
}
