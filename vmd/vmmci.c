/* SPDX-License-Identifier: ISC */

/*
 * OpenBSD's VMM control interface; see vmmci.h.
 *
 * The host writes a command into the configuration and raises the
 * configuration interrupt.  A driver that took the feature `ack' writes the
 * same command back when it does what it says.  The time is taken when the
 * first byte of its seconds is read, so that the parts fit together.
 *
 * All accesses come with the machine lock held.  Nothing here is an address,
 * and there is nothing that a guest could fill.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include "pci.h"
#include "virtio_host.h"
#include "state.h"
#include "vmmci.h"

#define OPENBSD_VENDOR	0x0b5d
#define OPENBSD_CONTROL 0x0777
#define SUBSYSTEM	0xffff
#define CLASS		0x078000 /* communication, other */
#define BAR_LEN		64

/* The legacy header, without MSI-X, and the configuration behind it. */
#define CONFIG VIRTIO_PCI_CONFIG_OFF(0)

enum { F_TIMESYNC = 1, F_ACK = 2, F_SYNCRTC = 4 };
#define FEATURES (F_TIMESYNC | F_ACK | F_SYNCRTC)

enum command { NONE, SHUTDOWN, SYNCRTC = 3 }; /* 2: reboot */

/* All of it little-endian. */
struct config {
	uint32_t command;
	uint64_t sec, usec;
} __attribute__((packed));
_Static_assert(offsetof(struct config, sec) == 4, "seconds");
_Static_assert(offsetof(struct config, usec) == 12, "microseconds");
_Static_assert(CONFIG + sizeof(struct config) <= BAR_LEN, "BAR");

/* (m) machine lock */
struct vmmci {
	struct vmmci_conf conf;
	struct pci_dev pci;
	bool on_bus;
	uint32_t features; /* (m) that the driver took */
	uint8_t status; /* (m) */
	uint8_t isr; /* (m) */
	bool going; /* (m) the guest said that it shuts down */
	struct config config; /* (m) */
};

static void
take_time(struct vmmci *v)
{
	struct timeval tv;

	if (v->conf.now(&tv) != 0)
		return;
	v->config.sec = (uint64_t)tv.tv_sec;
	v->config.usec = (uint64_t)tv.tv_usec;
}

/* Size bytes of len at p, from off on; what is beyond reads as zeroes. */
static uint64_t
part(const void *p, size_t len, uint64_t off, unsigned size)
{
	uint64_t val = 0;

	if (off < len)
		memcpy(&val, (const uint8_t *)p + off,
		    size < len - off ? size : len - off);
	return val;
}

static uint64_t
reg_read(void *arg, uint64_t off, unsigned size)
{
	struct pci_dev *pci = arg;
	struct vmmci *v = pci->arg;
	static const uint32_t features = FEATURES;
	uint64_t val;

	if (off >= CONFIG) {
		off -= CONFIG;
		if (off == offsetof(struct config, sec))
			take_time(v);
		return part(&v->config, sizeof(v->config), off, size);
	}
	switch (off) {
	case VIRTIO_PCI_HOST_FEATURES:
		return part(&features, sizeof(features), 0, size);
	case VIRTIO_PCI_GUEST_FEATURES:
		return part(&v->features, sizeof(v->features), 0, size);
	case VIRTIO_PCI_STATUS:
		return v->status;
	case VIRTIO_PCI_ISR:
		val = v->isr;
		v->isr = 0;
		pci_intx(&v->pci, false);
		return val;
	}
	return 0; /* the size of a queue, too: there is none */
}

static void
reset(struct vmmci *v)
{
	v->features = 0;
	v->status = 0;
	v->isr = 0;
	v->going = false;
	v->config.command = NONE;
	pci_intx(&v->pci, false);
}

/* The driver does what was asked. */
static void
answered(struct vmmci *v, uint64_t command)
{
	if (command == NONE || command != v->config.command)
		return;
	v->config.command = NONE;
	if (command != SHUTDOWN)
		return;
	v->going = true;
	v->conf.acked(v->conf.arg);
}

static void
reg_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct pci_dev *pci = arg;
	struct vmmci *v = pci->arg;

	switch (off) {
	case VIRTIO_PCI_GUEST_FEATURES:
		v->features = (uint32_t)val & FEATURES;
		break;
	case VIRTIO_PCI_STATUS:
		v->status = (uint8_t)val;
		if (v->status == 0)
			reset(v);
		break;
	case CONFIG + offsetof(struct config, command):
		answered(v, val);
		break;
	}
}

static const struct bus_ops reg_ops = {
	.sizes = 1 | 2 | 4, .read = reg_read, .write = reg_write
};

static bool
listens(const struct vmmci *v, uint32_t features)
{
	return (v->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0 &&
	    (v->features & features) == features;
}

static void
ask(struct vmmci *v, enum command command)
{
	v->config.command = command;
	v->isr |= VIRTIO_PCI_ISR_CONFIG;
	pci_intx(&v->pci, true);
}

bool
vmmci_shutdown(struct vmmci *v)
{
	bool asked;

	v->conf.host->ops->lock(v->conf.host);
	asked = v->going;
	if (!asked && listens(v, F_ACK)) {
		asked = v->config.command != SHUTDOWN;
		ask(v, SHUTDOWN);
	}
	v->conf.host->ops->unlock(v->conf.host);
	return asked;
}

void
vmmci_sync(struct vmmci *v)
{
	v->conf.host->ops->lock(v->conf.host);
	if (listens(v, F_SYNCRTC) && v->config.command != SHUTDOWN)
		ask(v, SYNCRTC);
	v->conf.host->ops->unlock(v->conf.host);
}

static const struct pci_dev_ops pci_ops;

struct vmmci *
vmmci_new(const struct vmmci_conf *conf)
{
	struct vmmci *v = calloc(1, sizeof(*v));
	int error;

	if (v == NULL)
		return NULL;
	v->conf = *conf;
	error = pci_add(conf->pci, &v->pci, conf->name, OPENBSD_VENDOR,
	    OPENBSD_CONTROL, CLASS, 0, OPENBSD_VENDOR, SUBSYSTEM, &pci_ops, v);
	if (error == 0) {
		v->on_bus = true;
		error = pci_add_bar(&v->pci, 0, PCI_BAR_IO, BAR_LEN, &reg_ops);
	}
	if (error != 0) {
		vmmci_free(v);
		errno = -error;
		return NULL;
	}
	return v;
}

void
vmmci_free(struct vmmci *v)
{
	if (v == NULL)
		return;
	if (v->on_bus)
		pci_remove(&v->pci);
	free(v);
}

void
vmmci_state(struct vmmci *v, struct state *s)
{
	static const struct state_field fields[] = {
		STATE_NUM(struct vmmci, features, FEATURES),
		STATE_NUM(struct vmmci, status, UINT8_MAX),
		STATE_NUM(struct vmmci, isr, UINT8_MAX),
		STATE_NUM(struct vmmci, going, 1),
		STATE_NUM(struct vmmci, config.command, UINT32_MAX),
	};

	v->conf.host->ops->lock(v->conf.host);
	pci_dev_state(&v->pci, s);
	state_fields(s, v, fields, sizeof(fields) / sizeof(fields[0]));
	v->conf.host->ops->unlock(v->conf.host);
}
