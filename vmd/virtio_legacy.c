/* SPDX-License-Identifier: ISC */

/* The legacy registers of a transitional device; see virtio_legacy.h. */
#include <string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include "virtio_legacy.h"

#define PAGE (UINT64_C(1) << VIRTIO_PCI_QUEUE_ADDR_SHIFT)

#define STEPS                                                   \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | \
	    VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED)

/*
 * Bits 0 to 31.  A chain's buffers may be of any number and size for us, so
 * ANY_LAYOUT is offered, which only these drivers know.
 */
static uint32_t
offered(const struct virtio_common *c)
{
	return (uint32_t)c->offered | 1U << VIRTIO_F_ANY_LAYOUT;
}

/* "Legacy Interfaces: A Note on Virtqueue Layout". */
static void
place(struct virtio_common_queue *q, uint16_t size, uint32_t page)
{
	uint64_t end;

	q->enabled = page != 0;
	q->size = size;
	q->desc = page * PAGE;
	q->avail = q->desc + size * sizeof(struct vring_desc);
	end = q->avail + sizeof(struct vring_avail) +
	    (size + UINT64_C(1)) * sizeof(uint16_t);
	q->used = (end + PAGE - 1) & ~(PAGE - 1);
}

static void
write_page(struct virtio_common *c, uint32_t page)
{
	/* While the device runs its rings stay where they are. */
	if (c->queue_select < c->nqueues && !virtio_common_started(c))
		place(&c->queue[c->queue_select], c->queue_max, page);
}

void
virtio_legacy_start(struct virtio_common *c)
{
	const uint8_t before =
	    VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	const uint8_t against = VIRTIO_CONFIG_S_DRIVER_OK |
	    VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;

	if (c->resetting || (c->status & (before | against)) != before)
		return;
	c->status |= VIRTIO_CONFIG_S_DRIVER_OK;
	c->ops->start(c->arg);
}

static void
write_status(struct virtio_common *c, uint8_t val)
{
	if (val == 0) {
		virtio_common_reset(c);
		return;
	}
	if ((c->status & VIRTIO_CONFIG_S_FAILED) == 0)
		c->status |= val & STEPS & ~VIRTIO_CONFIG_S_DRIVER_OK;
	if ((val & VIRTIO_CONFIG_S_DRIVER_OK) != 0)
		virtio_legacy_start(c);
}

static void
image(const struct virtio_common *c, uint8_t *img)
{
	const struct virtio_common_queue *q;
	unsigned n = c->queue_select;

	memset(img, 0, VIRTIO_LEGACY_CONFIG_MSIX);
	virtio_image_put(img, VIRTIO_PCI_HOST_FEATURES, 4, offered(c));
	virtio_image_put(
	    img, VIRTIO_PCI_GUEST_FEATURES, 4, (uint32_t)c->accepted);
	virtio_image_put(img, VIRTIO_PCI_QUEUE_SEL, 2, n);
	virtio_image_put(img, VIRTIO_PCI_STATUS, 1, c->status);
	virtio_image_put(img, VIRTIO_MSI_CONFIG_VECTOR, 2,
	    virtio_irq_vector(c->irq, VIRTIO_QUEUES_MAX));
	virtio_image_put(img, VIRTIO_MSI_QUEUE_VECTOR, 2, VIRTIO_NO_VECTOR);
	if (n >= c->nqueues)
		return;
	q = &c->queue[n];
	virtio_image_put(img, VIRTIO_PCI_QUEUE_PFN, 4,
	    q->enabled ? (uint32_t)(q->desc / PAGE) : 0);
	virtio_image_put(img, VIRTIO_PCI_QUEUE_NUM, 2, c->queue_max);
	virtio_image_put(
	    img, VIRTIO_MSI_QUEUE_VECTOR, 2, virtio_irq_vector(c->irq, n));
}

uint64_t
virtio_legacy_read(const struct virtio_common *c, unsigned off, unsigned size)
{
	uint8_t img[VIRTIO_LEGACY_CONFIG_MSIX];

	if (off >= sizeof(img) || size > sizeof(img) - off)
		return UINT64_MAX;
	image(c, img);
	return virtio_image_get(img, off, size);
}

void
virtio_legacy_write(
    struct virtio_common *c, unsigned off, unsigned size, uint64_t val)
{
	if (c->resetting)
		return;
	switch (off << 4 | size) {
	case VIRTIO_PCI_GUEST_FEATURES << 4 | 4:
		if (!virtio_common_started(c))
			c->accepted = val & c->offered & UINT32_MAX;
		break;
	case VIRTIO_PCI_QUEUE_PFN << 4 | 4:
		write_page(c, (uint32_t)val);
		break;
	case VIRTIO_PCI_QUEUE_SEL << 4 | 2:
		c->queue_select = (uint16_t)val;
		break;
	case VIRTIO_PCI_STATUS << 4 | 1:
		write_status(c, (uint8_t)val);
		break;
	case VIRTIO_MSI_CONFIG_VECTOR << 4 | 2:
		virtio_irq_set_vector(c->irq, VIRTIO_QUEUES_MAX, (uint16_t)val);
		break;
	case VIRTIO_MSI_QUEUE_VECTOR << 4 | 2:
		if (c->queue_select < c->nqueues)
			virtio_irq_set_vector(
			    c->irq, c->queue_select, (uint16_t)val);
		break;
	}
}
