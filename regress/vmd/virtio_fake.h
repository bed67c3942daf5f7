/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_VMD_VIRTIO_FAKE_H
#define REGRESS_VMD_VIRTIO_FAKE_H

/*
 * A machine for the tests of the virtio transport: buses, PCI, and a kernel
 * that remembers ioeventfds, irqfds and routes, and delivers irqfds when
 * fake_kernel() runs.  And a driver's view of one function, found through its
 * capabilities as drivers do.  Include after cmocka.h.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <sys/eventfd.h>
#include "bus.h"
#include "pci.h"
#include "pcireg.h"
#include "virtio_host.h"
#include "virtio_pci.h"

#define LEN(a)	  (sizeof(a) / sizeof((a)[0]))
#define FAKE_GSIS 128
#define FAKE_FDS  64
#define FAKE_MSIS 65536

struct fake_msi {
	uint64_t addr;
	uint32_t data;
};

struct fake {
	struct virtio_host host;
	struct bus pio, mmio;
	struct pci pci;
	bool gsi[24]; /* lines */
	struct {
		int fd; /* 0: free */
		uint16_t port;
		int64_t match;
	} io[FAKE_FDS];
	struct {
		int fd; /* 0: free */
		unsigned gsi;
		bool stale; /* the count is from before the bind */
	} irq[FAKE_FDS];
	struct {
		bool set;
		struct fake_msi msi;
	} staged[FAKE_GSIS], route[FAKE_GSIS];
	unsigned commits, binds; /* calls */
	int io_error, irq_error, commit_error; /* to be returned */
	/* fd that is signalled just before it is bound; this kernel is one
	 * that does not look at what was signalled before */
	int signal_in_bind;
	struct fake_msi msi[FAKE_MSIS]; /* delivered */
	unsigned nmsi;
	pthread_mutex_t lock;
	unsigned holds; /* vCPUs do not go on */
	unsigned waiting; /* (atomic) threads that want the lock */
};

static inline int
fake_ioeventfd(struct virtio_host *h, int fd, uint16_t port, unsigned len,
    int64_t match, bool assign)
{
	struct fake *f = h->arg;

	assert_int_equal(len, 2);
	if (assign && f->io_error != 0)
		return f->io_error;
	for (size_t i = 0; i < LEN(f->io); i++) {
		if (assign && f->io[i].fd == 0) {
			f->io[i].fd = fd;
			f->io[i].port = port;
			f->io[i].match = match;
			return 0;
		}
		assert_false(assign && f->io[i].port == port &&
		    (match == -1 || f->io[i].match == match));
		if (!assign && f->io[i].fd == fd && f->io[i].port == port &&
		    f->io[i].match == match) {
			f->io[i].fd = f->io[i].port = 0;
			return 0;
		}
	}
	fail_msg("ioeventfd %d %#x %d", fd, port, assign);
	return -ENOENT;
}

static inline int
fake_irqfd(struct virtio_host *h, int fd, unsigned gsi, bool assign)
{
	struct fake *f = h->arg;

	if (assign) {
		f->binds++;
		if (f->signal_in_bind == fd)
			eventfd_write(fd, 1);
		if (f->irq_error != 0)
			return f->irq_error;
		assert_true(gsi < FAKE_GSIS && f->route[gsi].set);
	}
	for (size_t i = 0; i < LEN(f->irq); i++) {
		if (assign && f->irq[i].fd == 0) {
			f->irq[i].fd = fd;
			f->irq[i].gsi = gsi;
			f->irq[i].stale = f->signal_in_bind == fd;
			return 0;
		}
		assert_false(assign && f->irq[i].fd == fd);
		if (!assign && f->irq[i].fd == fd && f->irq[i].gsi == gsi) {
			f->irq[i].fd = 0;
			return 0;
		}
	}
	fail_msg("irqfd %d %u %d", fd, gsi, assign);
	return -ENOENT;
}

static inline void
fake_route_set(
    struct virtio_host *h, unsigned gsi, uint64_t addr, uint32_t data)
{
	struct fake *f = h->arg;

	assert_true(gsi >= 24 && gsi < FAKE_GSIS);
	f->staged[gsi].set = true;
	f->staged[gsi].msi.addr = addr;
	f->staged[gsi].msi.data = data;
}

static inline void
fake_route_clear(struct virtio_host *h, unsigned gsi)
{
	struct fake *f = h->arg;

	assert_true(f->staged[gsi].set);
	f->staged[gsi].set = false;
}

static inline int
fake_route_commit(struct virtio_host *h)
{
	struct fake *f = h->arg;

	f->commits++;
	if (f->commit_error != 0)
		return f->commit_error;
	memcpy(f->route, f->staged, sizeof(f->route));
	return 0;
}

static inline int
fake_msi(struct virtio_host *h, uint64_t addr, uint32_t data)
{
	struct fake *f = h->arg;

	assert_true(f->nmsi < FAKE_MSIS);
	f->msi[f->nmsi].addr = addr;
	f->msi[f->nmsi++].data = data;
	return 0;
}

static inline void
fake_lock(struct virtio_host *h)
{
	struct fake *f = h->arg;

	__atomic_add_fetch(&f->waiting, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&f->lock);
	__atomic_sub_fetch(&f->waiting, 1, __ATOMIC_SEQ_CST);
}

static inline void
fake_unlock(struct virtio_host *h)
{
	struct fake *f = h->arg;

	pthread_mutex_unlock(&f->lock);
}

static inline void
fake_hold(struct virtio_host *h, bool on)
{
	struct fake *f = h->arg;

	assert_true(on || f->holds > 0);
	if (on)
		f->holds++;
	else
		f->holds--;
}

/* The kernel's turn: what was signalled on irqfds becomes messages. */
static inline void
fake_kernel(struct fake *f)
{
	for (size_t i = 0; i < LEN(f->irq); i++) {
		unsigned gsi = f->irq[i].gsi;
		bool stale = f->irq[i].stale;
		eventfd_t n;

		f->irq[i].stale = false;
		if (f->irq[i].fd == 0 || eventfd_read(f->irq[i].fd, &n) != 0 ||
		    stale)
			continue;
		assert_true(f->route[gsi].set);
		fake_msi(
		    &f->host, f->route[gsi].msi.addr, f->route[gsi].msi.data);
	}
}

/* Everybody's turn: event loop and kernel. */
static inline void
fake_run(struct fake *f)
{
	event_base_loop(f->host.base, EVLOOP_NONBLOCK);
	pthread_mutex_lock(&f->lock);
	fake_kernel(f);
	pthread_mutex_unlock(&f->lock);
}

static inline unsigned
fake_msis(const struct fake *f, uint32_t data)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->nmsi; i++)
		n += f->msi[i].data == data;
	return n;
}

static inline unsigned
fake_nio(const struct fake *f)
{
	unsigned n = 0;

	for (size_t i = 0; i < LEN(f->io); i++)
		n += f->io[i].fd != 0;
	return n;
}

static inline unsigned
fake_nirq(const struct fake *f)
{
	unsigned n = 0;

	for (size_t i = 0; i < LEN(f->irq); i++)
		n += f->irq[i].fd != 0;
	return n;
}

/* The guest's vCPU writes 16 bits to a port. */
static inline void
fake_out(struct fake *f, uint16_t port, uint16_t val)
{
	for (size_t i = 0; i < LEN(f->io); i++)
		if (f->io[i].fd != 0 && f->io[i].port == port &&
		    (f->io[i].match == -1 || f->io[i].match == val)) {
			eventfd_write(f->io[i].fd, 1);
			return;
		}
	bus_write(&f->pio, port, 2, val);
}

static inline void
fake_gsi(void *arg, unsigned gsi, bool level)
{
	struct fake *f = arg;

	f->gsi[gsi] = level;
}

static inline unsigned
fake_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static const struct virtio_irq_ops fake_ops = {
	.ioeventfd = fake_ioeventfd,
	.irqfd = fake_irqfd,
	.route_set = fake_route_set,
	.route_clear = fake_route_clear,
	.route_commit = fake_route_commit,
	.msi = fake_msi,
	.lock = fake_lock,
	.unlock = fake_unlock,
	.hold = fake_hold,
};

static inline struct fake *
fake_new(void)
{
	struct fake *f = calloc(1, sizeof(*f));

	evthread_use_pthreads();
	pthread_mutex_init(&f->lock, NULL);
	bus_init(&f->pio, 0x10000);
	bus_init(&f->mmio, UINT64_MAX);
	pci_init(&f->pci, &f->pio, &f->mmio, fake_gsi, f);
	f->host.ops = &fake_ops;
	f->host.base = event_base_new();
	f->host.next_gsi = 24;
	f->host.end_gsi = FAKE_GSIS;
	f->host.arg = f;
	return f;
}

static inline void
fake_free(struct fake *f)
{
	event_base_free(f->host.base);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

/* ---- the guest's driver ---- */

struct drv {
	struct fake *f;
	unsigned slot;
	unsigned msix, window; /* capabilities */
	uint64_t common, isr, device, table, pba;
	uint16_t notify;
	uint32_t step, notify_len, device_len;
};

static inline uint32_t
cfg_rd(struct drv *d, unsigned off, unsigned size)
{
	bus_write(
	    &d->f->pio, 0xcf8, 4, 0x80000000 | d->slot << 11 | (off & 0xfc));
	return (uint32_t)bus_read(&d->f->pio, 0xcfc + (off & 3), size);
}

static inline void
cfg_wr(struct drv *d, unsigned off, unsigned size, uint32_t val)
{
	bus_write(
	    &d->f->pio, 0xcf8, 4, 0x80000000 | d->slot << 11 | (off & 0xfc));
	bus_write(&d->f->pio, 0xcfc + (off & 3), size, val);
}

static inline uint64_t
drv_bar(struct drv *d, unsigned bar)
{
	uint32_t reg = cfg_rd(d, PCIR_BAR0 + 4 * bar, 4);

	return reg & ((reg & 1) != 0 ? ~3U : ~15U);
}

/* Walk the capabilities. */
static inline void
drv_find(struct drv *d, struct fake *f, unsigned slot)
{
	memset(d, 0, sizeof(*d));
	d->f = f;
	d->slot = slot;
	for (unsigned at = cfg_rd(d, PCIR_CAPS, 1); at != 0;
	     at = cfg_rd(d, at + 1, 1)) {
		uint64_t bar = drv_bar(d, cfg_rd(d, at + 4, 1) & 7);
		uint32_t off = cfg_rd(d, at + 8, 4);

		if (cfg_rd(d, at, 1) == PCICAP_ID_MSIX) {
			uint32_t t = cfg_rd(d, at + MSIX_TABLE, 4);
			uint32_t p = cfg_rd(d, at + MSIX_PBA, 4);

			d->msix = at;
			d->table = drv_bar(d, t & 7) + (t & ~7U);
			d->pba = drv_bar(d, p & 7) + (p & ~7U);
			continue;
		}
		assert_int_equal(cfg_rd(d, at, 1), PCICAP_ID_VENDOR);
		switch (cfg_rd(d, at + 3, 1)) {
		case VIRTIO_PCI_CAP_COMMON_CFG:
			d->common = bar + off;
			assert_true(cfg_rd(d, at + 12, 4) >=
			    sizeof(struct virtio_pci_common_cfg));
			break;
		case VIRTIO_PCI_CAP_ISR_CFG:
			d->isr = bar + off;
			break;
		case VIRTIO_PCI_CAP_DEVICE_CFG:
			d->device = bar + off;
			d->device_len = cfg_rd(d, at + 12, 4);
			break;
		case VIRTIO_PCI_CAP_NOTIFY_CFG:
			d->notify = (uint16_t)(bar + off);
			d->notify_len = cfg_rd(d, at + 12, 4);
			d->step = cfg_rd(d, at + 16, 4);
			break;
		case VIRTIO_PCI_CAP_PCI_CFG:
			d->window = at;
			break;
		default:
			fail_msg("capability type");
		}
	}
}

static inline uint64_t
com_rd(struct drv *d, unsigned off, unsigned size)
{
	return bus_read(&d->f->mmio, d->common + off, size);
}

static inline void
com_wr(struct drv *d, unsigned off, unsigned size, uint64_t val)
{
	bus_write(&d->f->mmio, d->common + off, size, val);
}

static inline uint8_t
drv_status(struct drv *d)
{
	return (uint8_t)com_rd(d, VIRTIO_PCI_COMMON_STATUS, 1);
}

static inline void
drv_set_status(struct drv *d, uint8_t status)
{
	com_wr(d, VIRTIO_PCI_COMMON_STATUS, 1, status);
}

/* Program a vector as operating systems do: mask, message, unmask. */
static inline void
drv_vector(struct drv *d, unsigned v, uint32_t data)
{
	bus_write(&d->f->mmio, d->table + 16 * v + 12, 4, 1);
	bus_write(&d->f->mmio, d->table + 16 * v, 4, 0xfee00000);
	bus_write(&d->f->mmio, d->table + 16 * v + 4, 4, 0);
	bus_write(&d->f->mmio, d->table + 16 * v + 8, 4, data);
	bus_write(&d->f->mmio, d->table + 16 * v + 12, 4, 0);
}

static inline void
drv_mask(struct drv *d, unsigned v, bool mask)
{
	bus_write(&d->f->mmio, d->table + 16 * v + 12, 4, mask);
}

static inline void
drv_msix(struct drv *d, uint16_t control)
{
	cfg_wr(d, d->msix + MSIX_CONTROL, 2, control);
}

static inline void
drv_queue(struct drv *d, unsigned q, uint16_t size, uint64_t desc,
    uint64_t avail, uint64_t used)
{
	com_wr(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
	com_wr(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
	com_wr(d, VIRTIO_PCI_COMMON_Q_DESCLO, 4, (uint32_t)desc);
	com_wr(d, VIRTIO_PCI_COMMON_Q_DESCHI, 4, desc >> 32);
	com_wr(d, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, (uint32_t)avail);
	com_wr(d, VIRTIO_PCI_COMMON_Q_AVAILHI, 4, avail >> 32);
	com_wr(d, VIRTIO_PCI_COMMON_Q_USEDLO, 4, (uint32_t)used);
	com_wr(d, VIRTIO_PCI_COMMON_Q_USEDHI, 4, used >> 32);
}

static inline void
drv_enable(struct drv *d, unsigned q)
{
	com_wr(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
	com_wr(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

/* "Device Initialization", steps 1 to 6; true when FEATURES_OK stayed. */
static inline bool
drv_negotiate(struct drv *d, uint64_t features)
{
	drv_set_status(d, 0);
	if (drv_status(d) != 0)
		return false;
	drv_set_status(d, 1);
	drv_set_status(d, 3);
	for (unsigned i = 0; i < 2; i++) {
		com_wr(d, VIRTIO_PCI_COMMON_GFSELECT, 4, i);
		com_wr(d, VIRTIO_PCI_COMMON_GF, 4,
		    (uint32_t)(features >> (32 * i)));
	}
	drv_set_status(d, 11);
	return (drv_status(d) & VIRTIO_CONFIG_S_FEATURES_OK) != 0;
}

#endif
