/* SPDX-License-Identifier: ISC */

/*
 * The virtio PCI transport; see virtio_pci.h.  This file owns the PCI
 * function: its capabilities ("Virtio Structure PCI Capabilities"), its two
 * BARs and the kick eventfds.  The common structure is in virtio_common.c,
 * interrupts are in virtio_irq.c.
 *
 * Memory BAR (2): common, ISR, device configuration in the first page, MSI-X
 * table and pending bits in the second.  I/O BAR (1): one port of
 * NOTIFY_STEP bytes per queue; which queue is meant follows from the port, so
 * the value written is of no account.  I/O BAR (0): the registers of legacy
 * drivers, with one port for all queues.
 *
 * Kicks: while the device is started and the I/O BAR is decoded, each enabled
 * queue's port is an ioeventfd, and a kick costs this process nothing.  At
 * other times, and for odd access sizes, kicks arrive as port writes.
 *
 * A legacy driver goes on as soon as it has asked for a reset.  Where the
 * device does not let go of memory at once, the vCPU is held until it does.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <sys/eventfd.h>
#include "log.h"
#include "pcireg.h"
#include "state.h"
#include "virtio_common.h"
#include "virtio_host.h"
#include "virtio_irq.h"
#include "virtio_legacy.h"
#include "virtio_pci.h"

#define VIRTIO_VENDOR 0x1af4

#define BAR_LEGACY  0
#define BAR_IO	    1
#define BAR_MEM	    2
#define NOTIFY_STEP 4
#define MEM_BAR_LEN 0x2000

#define OFF_COMMON 0x0000
#define OFF_ISR	   0x0100
#define OFF_DEVICE 0x0200
#define OFF_TABLE  0x1000
#define OFF_PBA	   0x1800

_Static_assert(OFF_DEVICE + VIRTIO_CONFIG_MAX <= OFF_TABLE, "BAR layout");
_Static_assert(
    OFF_TABLE + VIRTIO_VECTORS_MAX * MSIX_ENTRY_LEN <= OFF_PBA, "BAR layout");
_Static_assert(OFF_PBA + MSIX_PBA_LEN <= MEM_BAR_LEN, "BAR layout");

struct kick {
	int fd; /* owned */
	bool bound; /* as ioeventfd */
	uint16_t port;
	int64_t match;
};

/* All members: (m) machine lock. */
struct virtio_dev {
	struct pci_dev pci;
	bool on_bus;
	struct virtio_host *host;
	const char *name;
	const struct virtio_ops *ops;
	void *arg;
	struct virtio_common common;
	struct virtio_irq irq;
	unsigned nqueues;
	struct kick kick[VIRTIO_QUEUES_MAX];
	bool notify_mapped, legacy_mapped;
	uint16_t notify_base, legacy_base;
	uint32_t notify_len;
	bool resuming;
	bool holding; /* vCPUs, until a reset is over */
	unsigned msix_cap, window_cap; /* offsets in configuration space */
	unsigned config_len;
	uint8_t config[VIRTIO_CONFIG_MAX];
	uint8_t config_reset[VIRTIO_CONFIG_MAX]; /* what it is after a reset */
};

/* ---- kicks ---- */

static void
kick_unbind(struct virtio_dev *dev, struct kick *k)
{
	struct virtio_host *h = dev->host;

	if (!k->bound)
		return;
	h->ops->ioeventfd(h, k->fd, k->port, 2, k->match, false);
	k->bound = false;
}

static void
kick_bind(struct virtio_dev *dev, struct kick *k, uint16_t port, int64_t match)
{
	static struct log_rate rate = LOG_RATE(3, 60);
	struct virtio_host *h = dev->host;
	int error;

	if (k->bound)
		return;
	error = h->ops->ioeventfd(h, k->fd, port, 2, match, true);
	if (error != 0) {
		/* Kicks by port writes are slow but work. */
		log_limited(&rate, "%s: ioeventfd: %s", dev->name,
		    strerrordesc_np(-error));
		return;
	}
	k->bound = true;
	k->port = port;
	k->match = match;
}

/* The driver that started the device is a legacy one. */
static bool
is_legacy(const struct virtio_dev *dev)
{
	return (dev->common.accepted >> VIRTIO_F_VERSION_1 & 1) == 0;
}

static void
kicks_update(struct virtio_dev *dev)
{
	bool legacy = is_legacy(dev);
	bool mapped = legacy ? dev->legacy_mapped : dev->notify_mapped;
	bool on = mapped && virtio_common_started(&dev->common);

	for (unsigned i = 0; i < dev->nqueues; i++) {
		struct kick *k = &dev->kick[i];

		/* A BAR that moves is unmapped first. */
		if (!on || !dev->common.queue[i].enabled)
			kick_unbind(dev, k);
		else if (legacy)
			kick_bind(dev, k,
			    (uint16_t)(dev->legacy_base +
				VIRTIO_PCI_QUEUE_NOTIFY),
			    i);
		else
			kick_bind(dev, k,
			    (uint16_t)(dev->notify_base + i * NOTIFY_STEP), -1);
	}
}

static void
kick_by_hand(struct virtio_dev *dev, unsigned queue)
{
	if (queue >= dev->nqueues || !dev->common.queue[queue].enabled ||
	    !virtio_common_started(&dev->common))
		return;
	if (dev->ops->kick != NULL)
		dev->ops->kick(dev, queue);
	else
		eventfd_write(dev->kick[queue].fd, 1);
}

/* ---- the BARs ---- */

enum region { R_NONE, R_COMMON, R_ISR, R_DEVICE, R_TABLE, R_PBA };

/* The structure that all of [off, off + size) belongs to. */
static enum region
region(const struct virtio_dev *dev, uint64_t off, unsigned size, uint64_t *rel)
{
	const struct {
		enum region r;
		uint64_t off, len;
	} map[] = {
		{ R_COMMON, OFF_COMMON, VIRTIO_COMMON_LEN },
		{ R_ISR, OFF_ISR, 4 },
		{ R_DEVICE, OFF_DEVICE, dev->config_len },
		{ R_TABLE, OFF_TABLE, dev->irq.msix.n * MSIX_ENTRY_LEN },
		{ R_PBA, OFF_PBA, MSIX_PBA_LEN },
	};

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (off >= map[i].off && off - map[i].off < map[i].len &&
		    size <= map[i].len - (off - map[i].off)) {
			*rel = off - map[i].off;
			return map[i].r;
		}
	return R_NONE;
}

static uint64_t
mem_read(void *arg, uint64_t off, unsigned size)
{
	struct pci_dev *pci = arg;
	struct virtio_dev *dev = pci->arg;
	uint64_t rel;

	switch (region(dev, off, size, &rel)) {
	case R_NONE:
		return UINT64_MAX;
	case R_COMMON:
		return virtio_common_read(&dev->common, rel, size);
	case R_ISR:
		return rel == 0 ? virtio_irq_isr_read(&dev->irq) : 0;
	case R_DEVICE:
		return virtio_image_get(dev->config, (unsigned)rel, size);
	case R_TABLE:
		return msix_table_read(&dev->irq.msix, rel, size);
	case R_PBA:
		return msix_pba_read(&dev->irq.msix, rel, size);
	}
	return UINT64_MAX;
}

static void
config_write(struct virtio_dev *dev, unsigned off, unsigned size, uint64_t val)
{
	uint8_t byte;

	if (dev->ops->config == NULL)
		return;
	for (unsigned i = 0; i < size; i++) {
		byte = (uint8_t)(val >> (8 * i));
		if (dev->ops->config(dev, off + i, byte))
			dev->config[off + i] = byte;
	}
}

static void
mem_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct pci_dev *pci = arg;
	struct virtio_dev *dev = pci->arg;
	uint64_t rel;

	switch (region(dev, off, size, &rel)) {
	case R_COMMON:
		virtio_common_write(&dev->common, rel, size, val);
		break;
	case R_TABLE:
		virtio_irq_table_write(&dev->irq, rel, size, val);
		break;
	case R_DEVICE:
		config_write(dev, (unsigned)rel, size, val);
		break;
	case R_NONE:
	case R_ISR:
	case R_PBA:
		break;
	}
}

static uint64_t
io_read(void *arg, uint64_t off, unsigned size)
{
	return 0;
}

static void
io_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct pci_dev *pci = arg;

	if (off % NOTIFY_STEP == 0)
		kick_by_hand(pci->arg, (unsigned)(off / NOTIFY_STEP));
}

/* Where the device's configuration is for legacy drivers. */
static unsigned
legacy_config(const struct virtio_dev *dev)
{
	return dev->irq.msix.enabled ? VIRTIO_LEGACY_CONFIG_MSIX
				     : VIRTIO_LEGACY_CONFIG;
}

/* Is all of [off, off + size) in it? */
static bool
in_legacy_config(const struct virtio_dev *dev, uint64_t off, unsigned size)
{
	unsigned at = legacy_config(dev);

	return off >= at && off - at < dev->config_len &&
	    size <= dev->config_len - (off - at);
}

static uint64_t
legacy_read(void *arg, uint64_t off, unsigned size)
{
	struct pci_dev *pci = arg;
	struct virtio_dev *dev = pci->arg;
	unsigned at = legacy_config(dev);

	if (off == VIRTIO_PCI_ISR && size == 1)
		return virtio_irq_isr_read(&dev->irq);
	if (off + size <= at)
		return virtio_legacy_read(&dev->common, (unsigned)off, size);
	if (in_legacy_config(dev, off, size))
		return virtio_image_get(dev->config, (unsigned)off - at, size);
	return UINT64_MAX;
}

static void
legacy_kick(struct virtio_dev *dev, uint64_t queue)
{
	if (queue < dev->nqueues && dev->common.queue[queue].enabled)
		virtio_legacy_start(&dev->common);
	kick_by_hand(dev, queue < dev->nqueues ? (unsigned)queue : UINT_MAX);
}

static void
legacy_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct pci_dev *pci = arg;
	struct virtio_dev *dev = pci->arg;
	unsigned at = legacy_config(dev);

	if (off == VIRTIO_PCI_QUEUE_NOTIFY && size == 2)
		legacy_kick(dev, val);
	else if (off + size <= at)
		virtio_legacy_write(&dev->common, (unsigned)off, size, val);
	else if (in_legacy_config(dev, off, size))
		config_write(dev, (unsigned)off - at, size, val);
	if (dev->common.resetting && !dev->holding) {
		dev->holding = true;
		dev->host->ops->hold(dev->host, true);
	}
}

static const struct bus_ops legacy_ops = {
	.sizes = 1 | 2 | 4, .read = legacy_read, .write = legacy_write
};

static const struct bus_ops mem_ops = {
	.sizes = 1 | 2 | 4 | 8, .read = mem_read, .write = mem_write
};

static const struct bus_ops io_ops = {
	.sizes = 1 | 2 | 4, .read = io_read, .write = io_write
};

static void
bar_mapped(struct pci_dev *pci, unsigned bar, uint64_t base)
{
	struct virtio_dev *dev = pci->arg;

	if (bar == BAR_IO) {
		dev->notify_mapped = true;
		dev->notify_base = (uint16_t)base;
	} else if (bar == BAR_LEGACY) {
		dev->legacy_mapped = true;
		dev->legacy_base = (uint16_t)base;
	}
	kicks_update(dev);
}

static void
bar_unmapped(struct pci_dev *pci, unsigned bar, uint64_t base)
{
	struct virtio_dev *dev = pci->arg;

	if (bar == BAR_IO)
		dev->notify_mapped = false;
	else if (bar == BAR_LEGACY)
		dev->legacy_mapped = false;
	kicks_update(dev);
}

/* ---- configuration space ---- */

#define WINDOW_BAR    VIRTIO_PCI_CAP_BAR
#define WINDOW_OFFSET VIRTIO_PCI_CAP_OFFSET
#define WINDOW_LENGTH VIRTIO_PCI_CAP_LENGTH
#define WINDOW_DATA   ((unsigned)sizeof(struct virtio_pci_cap))
#define WINDOW_LEN    ((uint8_t)sizeof(struct virtio_pci_cfg_cap))

static bool
overlap(unsigned off, unsigned size, unsigned first, unsigned len)
{
	return off < first + len && first < off + size;
}

/*
 * "PCI configuration access capability": one aligned access of 1, 2 or 4
 * bytes to a structure that another virtio capability describes, whether the
 * BAR is decoded or not.  NULL when the guest asks for something else.
 */
static const struct bus_ops *
window(const struct virtio_dev *dev, uint32_t *off, unsigned *size)
{
	unsigned cap = dev->window_cap;
	uint32_t length = pci_cfg_get(&dev->pci, cap + WINDOW_LENGTH, 4);
	uint64_t rel;

	*off = pci_cfg_get(&dev->pci, cap + WINDOW_OFFSET, 4);
	if ((length != 1 && length != 2 && length != 4) || *off % length != 0)
		return NULL;
	*size = length;
	switch (dev->pci.cfg[cap + WINDOW_BAR]) {
	case BAR_IO:
		return *off < dev->notify_len ? &io_ops : NULL;
	case BAR_MEM:
		switch (region(dev, *off, length, &rel)) {
		case R_COMMON:
		case R_ISR:
		case R_DEVICE:
			return &mem_ops;
		case R_NONE:
		case R_TABLE:
		case R_PBA:
			break;
		}
	}
	return NULL;
}

static uint32_t
cfg_read(struct pci_dev *pci, unsigned off, unsigned size)
{
	struct virtio_dev *dev = pci->arg;
	const struct bus_ops *ops;
	unsigned len, data = dev->window_cap + WINDOW_DATA;
	uint32_t at;

	if (overlap(off, size, data, 4) &&
	    (ops = window(dev, &at, &len)) != NULL)
		pci_cfg_set(pci, data, len, (uint32_t)ops->read(pci, at, len));
	return pci_cfg_get(pci, off, size);
}

static void
cfg_written(struct pci_dev *pci, unsigned off, unsigned size)
{
	struct virtio_dev *dev = pci->arg;
	const struct bus_ops *ops;
	unsigned len, data = dev->window_cap + WINDOW_DATA;
	uint32_t at;

	if (overlap(off, size, dev->msix_cap + MSIX_CONTROL, 2))
		virtio_irq_control(&dev->irq,
		    (uint16_t)pci_cfg_get(
			pci, dev->msix_cap + MSIX_CONTROL, 2));
	if (overlap(off, size, data, 4) &&
	    (ops = window(dev, &at, &len)) != NULL)
		ops->write(pci, at, len, pci_cfg_get(pci, data, len));
}

static const struct pci_dev_ops pci_ops = {
	.cfg_written = cfg_written,
	.cfg_read = cfg_read,
	.bar_mapped = bar_mapped,
	.bar_unmapped = bar_unmapped,
};

/* ---- start and reset ---- */

static void
start(void *arg)
{
	struct virtio_dev *dev = arg;
	struct virtio_ring ring[VIRTIO_QUEUES_MAX] = { 0 };
	uint32_t enabled = 0;

	for (unsigned i = 0; i < dev->nqueues; i++) {
		const struct virtio_common_queue *q = &dev->common.queue[i];

		if (!q->enabled)
			continue;
		enabled |= 1U << i;
		ring[i].size = q->size;
		ring[i].desc.v = q->desc;
		ring[i].avail.v = q->avail;
		ring[i].used.v = q->used;
	}
	/* First the ways for interrupts and kicks, then who uses them. */
	virtio_irq_start(&dev->irq, enabled);
	kicks_update(dev);
	dev->ops->start(dev, dev->common.accepted, ring, dev->nqueues);
}

static void
reset(void *arg, bool started)
{
	struct virtio_dev *dev = arg;

	memcpy(dev->config, dev->config_reset, sizeof(dev->config));
	virtio_irq_stop(&dev->irq);
	kicks_update(dev);
	if (started)
		dev->ops->reset(dev);
}

static const struct virtio_common_ops common_ops = { .start = start,
	.reset = reset };

void
virtio_reset_done(struct virtio_dev *dev)
{
	virtio_common_reset_done(&dev->common);
	if (!dev->holding)
		return;
	dev->holding = false;
	dev->host->ops->hold(dev->host, false);
}

void
virtio_needs_reset(struct virtio_dev *dev, const char *why)
{
	static struct log_rate rate = LOG_RATE(5, 10);

	if (!virtio_common_needs_reset(&dev->common))
		return;
	log_limited(&rate, "%s: needs reset: %s", dev->name, why);
	virtio_irq_config(&dev->irq);
}

void
virtio_configure(
    struct virtio_dev *dev, unsigned off, const void *bytes, unsigned len)
{
	assert(off <= dev->config_len && len <= dev->config_len - off);
	memcpy(dev->config + off, bytes, len);
	memcpy(dev->config_reset + off, bytes, len);
	dev->common.generation++;
	if (virtio_common_started(&dev->common))
		virtio_irq_config(&dev->irq);
}

bool
virtio_running(const struct virtio_dev *dev)
{
	return virtio_common_running(&dev->common);
}

void *
virtio_arg(struct virtio_dev *dev)
{
	return dev->arg;
}

bool
virtio_resuming(const struct virtio_dev *dev)
{
	return dev->resuming;
}

uint8_t
virtio_config_byte(const struct virtio_dev *dev, unsigned off)
{
	return dev->config[off];
}

void
virtio_resume(struct virtio_dev *dev)
{
	if (!virtio_running(dev))
		return;
	dev->resuming = true;
	start(dev);
	dev->resuming = false;
	for (unsigned i = 0; i < dev->nqueues; i++) {
		if (!dev->common.queue[i].enabled)
			continue;
		eventfd_write(dev->kick[i].fd, 1);
		eventfd_write(dev->irq.queue[i].fd, 1);
	}
}

/* What a driver of this device was told has to be true still. */
static void
state_config(struct virtio_dev *dev, struct state *s)
{
	uint16_t type = (uint16_t)pci_cfg_get(&dev->pci, PCIR_SUBDEVICE, 2);
	uint8_t was[VIRTIO_CONFIG_MAX], now[VIRTIO_CONFIG_MAX];

	memcpy(was, dev->config_reset, sizeof(was));
	memcpy(now, dev->config, sizeof(now));
	state_bytes(s, was, dev->config_len);
	state_bytes(s, now, dev->config_len);
	if (s->error != 0 || s->writing)
		return;
	for (unsigned i = 0; i < dev->config_len; i++) {
		/* The link's status is told anew. */
		if (type == VIRTIO_ID_NET && (i == 6 || i == 7))
			now[i] = was[i] = dev->config_reset[i];
		if (type != VIRTIO_ID_BALLOON && was[i] != dev->config_reset[i])
			state_fail(s, -EINVAL,
			    "it is another device: byte %u of its "
			    "configuration was %#x and is %#x",
			    i, was[i], dev->config_reset[i]);
	}
	if (s->error != 0)
		return;
	memcpy(dev->config_reset, was, dev->config_len);
	memcpy(dev->config, now, dev->config_len);
}

void
virtio_state(struct virtio_dev *dev, struct state *s)
{
	uint64_t n = dev->nqueues;

	state_number(s, &n, VIRTIO_QUEUES_MAX);
	if (s->error == 0 && n != dev->nqueues)
		state_fail(s, -EINVAL, "it has %u queues, and had %llu",
		    dev->nqueues, (unsigned long long)n);
	pci_dev_state(&dev->pci, s);
	virtio_common_state(&dev->common, s);
	virtio_irq_state(&dev->irq, s);
	state_config(dev, s);
}

int
virtio_kick_fd(struct virtio_dev *dev, unsigned queue)
{
	return queue < dev->nqueues ? dev->kick[queue].fd : -1;
}

int
virtio_call_fd(struct virtio_dev *dev, unsigned queue)
{
	return queue < dev->nqueues ? dev->irq.queue[queue].fd : -1;
}

/* ---- set-up ---- */

static int
add_msix_cap(struct virtio_dev *dev)
{
	struct pci_dev *pci = &dev->pci;
	int cap = pci_add_cap(pci, PCICAP_ID_MSIX, MSIX_CAP_LEN);

	if (cap < 0)
		return cap;
	dev->msix_cap = (unsigned)cap;
	pci_cfg_set(pci, dev->msix_cap + MSIX_CONTROL, 2, dev->irq.msix.n - 1);
	pci->wmask[dev->msix_cap + MSIX_CONTROL + 1] =
	    (MSIX_CONTROL_ENABLE | MSIX_CONTROL_FMASK) >> 8;
	pci_cfg_set(pci, dev->msix_cap + MSIX_TABLE, 4, OFF_TABLE | BAR_MEM);
	pci_cfg_set(pci, dev->msix_cap + MSIX_PBA, 4, OFF_PBA | BAR_MEM);
	return 0;
}

/* Offset of the capability, or -ENOSPC. */
static int
add_virtio_cap(struct virtio_dev *dev, uint8_t type, uint8_t len, uint8_t bar,
    uint32_t off, uint32_t length)
{
	struct pci_dev *pci = &dev->pci;
	int at = pci_add_cap(pci, PCICAP_ID_VENDOR, len);
	unsigned cap = (unsigned)at;

	if (at < 0)
		return at;
	pci->cfg[cap + VIRTIO_PCI_CAP_LEN] = len;
	pci->cfg[cap + VIRTIO_PCI_CAP_CFG_TYPE] = type;
	pci->cfg[cap + VIRTIO_PCI_CAP_BAR] = bar;
	pci_cfg_set(pci, cap + VIRTIO_PCI_CAP_OFFSET, 4, off);
	pci_cfg_set(pci, cap + VIRTIO_PCI_CAP_LENGTH, 4, length);
	return at;
}

static int
add_caps(struct virtio_dev *dev)
{
	const uint8_t len = sizeof(struct virtio_pci_cap);
	struct pci_dev *pci = &dev->pci;
	int cap;

	if ((cap = add_msix_cap(dev)) < 0)
		return cap;
	if ((cap = add_virtio_cap(dev, VIRTIO_PCI_CAP_COMMON_CFG, len, BAR_MEM,
		 OFF_COMMON, VIRTIO_COMMON_LEN)) < 0)
		return cap;
	if ((cap = add_virtio_cap(
		 dev, VIRTIO_PCI_CAP_ISR_CFG, len, BAR_MEM, OFF_ISR, 1)) < 0)
		return cap;
	if (dev->config_len > 0 &&
	    (cap = add_virtio_cap(dev, VIRTIO_PCI_CAP_DEVICE_CFG, len, BAR_MEM,
		 OFF_DEVICE, dev->config_len)) < 0)
		return cap;
	cap = add_virtio_cap(dev, VIRTIO_PCI_CAP_NOTIFY_CFG,
	    sizeof(struct virtio_pci_notify_cap), BAR_IO, 0, dev->notify_len);
	if (cap < 0)
		return cap;
	pci_cfg_set(
	    pci, (unsigned)cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4, NOTIFY_STEP);
	cap = add_virtio_cap(
	    dev, VIRTIO_PCI_CAP_PCI_CFG, WINDOW_LEN, BAR_MEM, 0, 0);
	if (cap < 0)
		return cap;
	dev->window_cap = (unsigned)cap;
	pci->wmask[dev->window_cap + WINDOW_BAR] = 0xff;
	memset(&pci->wmask[dev->window_cap + WINDOW_OFFSET], 0xff, 4);
	memset(&pci->wmask[dev->window_cap + WINDOW_LENGTH], 0xff, 4);
	memset(&pci->wmask[dev->window_cap + WINDOW_DATA], 0xff, 4);
	return 0;
}

/* The ids of transitional devices, "PCI Device Discovery". */
static uint16_t
device_id(uint16_t type)
{
	switch (type) {
	case VIRTIO_ID_NET:
		return 0x1000;
	case VIRTIO_ID_BLOCK:
		return 0x1001;
	case VIRTIO_ID_BALLOON:
		return 0x1002;
	case VIRTIO_ID_CONSOLE:
		return 0x1003;
	case VIRTIO_ID_SCSI:
		return 0x1004;
	case VIRTIO_ID_RNG:
		return 0x1005;
	}
	return (uint16_t)(0x1040 + type);
}

/* The least that is not below n. */
static uint32_t
power_of_two(uint32_t n)
{
	uint32_t len = NOTIFY_STEP;

	while (len < n)
		len *= 2;
	return len;
}

static int
add_function(struct virtio_dev *dev, struct pci *p, const struct virtio_conf *c)
{
	uint32_t len;
	int error;

	/* "Legacy Interfaces: A Note on PCI Device Discovery": revision 0; the
	 * subsystem is the virtio device id. */
	error =
	    pci_add(p, &dev->pci, c->name, VIRTIO_VENDOR, device_id(c->type),
		c->class, 0, VIRTIO_VENDOR, c->type, &pci_ops, dev);
	if (error != 0)
		return error;
	dev->on_bus = true;
	if ((error = virtio_irq_init(
		 &dev->irq, dev->host, &dev->pci, c->name, c->nqueues)) != 0)
		return error;
	if ((error = virtio_common_init(&dev->common, c->features, c->nqueues,
		 c->queue_size, &dev->irq, &common_ops, dev)) != 0)
		return error;
	if ((error = add_caps(dev)) != 0)
		return error;
	/* An I/O BAR has 256 bytes at most, whatever is behind that. */
	len = power_of_two(VIRTIO_LEGACY_CONFIG_MSIX + c->config_len);
	if ((error = pci_add_bar(&dev->pci, BAR_LEGACY, PCI_BAR_IO,
		 len < 256 ? len : 256, &legacy_ops)) != 0)
		return error;
	if ((error = pci_add_bar(
		 &dev->pci, BAR_IO, PCI_BAR_IO, dev->notify_len, &io_ops)) != 0)
		return error;
	return pci_add_bar(
	    &dev->pci, BAR_MEM, PCI_BAR_MEM32, MEM_BAR_LEN, &mem_ops);
}

static int
add_kicks(struct virtio_dev *dev)
{
	for (unsigned i = 0; i < dev->nqueues; i++) {
		dev->kick[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (dev->kick[i].fd == -1)
			return -errno;
	}
	return 0;
}

struct virtio_dev *
virtio_pci_new(
    struct pci *p, struct virtio_host *host, const struct virtio_conf *c)
{
	struct virtio_dev *dev;
	int error;

	if (c->nqueues == 0 || c->nqueues > VIRTIO_QUEUES_MAX ||
	    c->config_len > VIRTIO_CONFIG_MAX) {
		errno = EINVAL;
		return NULL;
	}
	if ((dev = calloc(1, sizeof(*dev))) == NULL)
		return NULL;
	dev->host = host;
	dev->name = c->name;
	dev->ops = c->ops;
	dev->arg = c->arg;
	dev->nqueues = c->nqueues;
	dev->notify_len = power_of_two(c->nqueues * NOTIFY_STEP);
	dev->config_len = c->config_len;
	if (c->config_len > 0)
		memcpy(dev->config, c->config, c->config_len);
	memcpy(dev->config_reset, dev->config, sizeof(dev->config));
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		dev->kick[i].fd = -1;

	if ((error = add_kicks(dev)) != 0 ||
	    (error = add_function(dev, p, c)) != 0) {
		virtio_pci_free(dev);
		errno = -error;
		return NULL;
	}
	return dev;
}

void
virtio_pci_free(struct virtio_dev *dev)
{
	if (dev == NULL)
		return;
	for (unsigned i = 0; i < dev->nqueues; i++) {
		kick_unbind(dev, &dev->kick[i]);
		if (dev->kick[i].fd != -1)
			close(dev->kick[i].fd);
	}
	if (dev->on_bus) {
		virtio_irq_free(&dev->irq);
		pci_remove(&dev->pci);
	}
	free(dev);
}
