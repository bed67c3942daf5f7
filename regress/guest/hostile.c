/* SPDX-License-Identifier: ISC */
/*
 * hostile: a driver of virtio devices that means harm, as the only program of a
 * guest (tiny-init: run,hostile).  Static, no library but libc; root.
 *
 * It takes each virtio device but the last disk from its driver, and does to
 * it, one after the other, what no driver may: chains that loop, leave memory
 * or lie on the rings, descriptors that change while they are read, features
 * that nobody offered, registers written while the device runs, queues that are
 * not there, a reset in the midst of it.  Each time the device either asks for
 * a reset or goes on, as the row says; after a reset it is as new.  The last
 * disk works all the while.
 *
 * It prints "hostile: DEVICE: ROW: what was wrong", or "hostile: DEVICE: ok"
 * for each device, and "hostile: end, N wrong".
 *
 * "Virtio Over PCI Bus" and "Split Virtqueues" of the specification.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <sys/mman.h>
#include <err.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE	 16 /* of a queue */
#define NOWHERE	 (1ULL << 40)
#define WAIT_MS	 10000
#define PAGE	 4096
#define F(n)	 (1ULL << (n))
#define FEATURES F(VIRTIO_F_VERSION_1)
#define FRAME	 ((1ULL << 55) - 1) /* of an entry of /proc/PID/pagemap */

/* Each part of a queue has a page of its own: they need not be neighbours. */
struct page {
	void *p;
	uint64_t gpa;
};

static struct page ring[3], data; /* desc, avail, used */
#define desc  ((volatile struct vring_desc *)ring[0].p)
#define avail ((volatile struct vring_avail *)ring[1].p)

struct device {
	char path[128], name[32];
	unsigned type, queue;
	int config, notify; /* files */
	volatile struct virtio_pci_common_cfg *common;
	uint64_t mem; /* where its registers are */
	off_t notify_off;
	uint32_t notify_mult, notify_len;
};

static const char *const names[] = {
	[VIRTIO_ID_NET] = "net",
	[VIRTIO_ID_BLOCK] = "block",
	[VIRTIO_ID_CONSOLE] = "console",
	[VIRTIO_ID_RNG] = "rng",
	[VIRTIO_ID_BALLOON] = "balloon",
	[VIRTIO_ID_SCSI] = "scsi",
};
/* A queue that the device looks into when it is kicked. */
static const unsigned queues[] = {
	[VIRTIO_ID_NET] = 1,
	[VIRTIO_ID_CONSOLE] = 1,
	[VIRTIO_ID_SCSI] = 2,
};
static unsigned wrong;

static struct page
page(void)
{
	struct page pg;
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	pg.p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
	if (pg.p == MAP_FAILED || fd == -1)
		err(1, "page");
	memset(pg.p, 0, PAGE);
	if (pread(fd, &entry, 8, (off_t)((uintptr_t)pg.p / PAGE * 8)) != 8 ||
	    (entry & FRAME) == 0)
		errx(1, "no physical address");
	close(fd);
	pg.gpa = (entry & FRAME) * PAGE;
	return pg;
}

static int
file(const struct device *d, const char *name, int flags)
{
	char path[192];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", d->path, name);
	if ((fd = open(path, flags | O_SYNC)) == -1)
		err(1, "%s", path);
	return fd;
}

static uint32_t
config(const struct device *d, unsigned off, unsigned size)
{
	uint32_t v = 0;

	if (pread(d->config, &v, size, off) != (ssize_t)size)
		err(1, "%s: configuration space", d->name);
	return v;
}

/* ---- the device as it is meant ---- */

static void
find_structures(struct device *d)
{
	unsigned cap, bar, type;
	uint32_t off;
	char name[16];
	uint8_t *p;
	int fd;

	for (cap = config(d, PCI_CAPABILITY_LIST, 1); cap != 0;
	     cap = config(d, cap + PCI_CAP_LIST_NEXT, 1)) {
		if (config(d, cap, 1) != PCI_CAP_ID_VNDR)
			continue;
		type = config(d, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1);
		bar = config(d, cap + VIRTIO_PCI_CAP_BAR, 1);
		off = config(d, cap + VIRTIO_PCI_CAP_OFFSET, 4);
		snprintf(name, sizeof(name), "resource%u", bar);
		if (type == VIRTIO_PCI_CAP_COMMON_CFG) {
			fd = file(d, name, O_RDWR);
			p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			    fd, off / PAGE * PAGE);
			if (p == MAP_FAILED)
				err(1, "%s: %s", d->name, name);
			close(fd);
			d->common = (void *)(p + off % PAGE);
			d->mem =
			    config(d, PCI_BASE_ADDRESS_0 + 4 * bar, 4) & ~15U;
		} else if (type == VIRTIO_PCI_CAP_NOTIFY_CFG) {
			d->notify = file(d, name, O_RDWR);
			d->notify_off = off;
			d->notify_len =
			    config(d, cap + VIRTIO_PCI_CAP_LENGTH, 4);
			d->notify_mult =
			    config(d, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		}
	}
	if (d->common == NULL || d->notify == -1)
		errx(1, "%s: not a virtio 1.0 device", d->name);
}

static uint8_t
status(const struct device *d)
{
	return d->common->device_status;
}

static bool
becomes(const struct device *d, uint8_t mask, uint8_t want)
{
	unsigned ms;

	for (ms = 0; (status(d) & mask) != want; ms++) {
		if (ms == WAIT_MS)
			return false;
		usleep(1000);
	}
	return true;
}

static bool
reset(const struct device *d)
{
	d->common->device_status = 0;
	return becomes(d, 0xff, 0);
}

static void
kick(const struct device *d, unsigned queue)
{
	uint16_t n = (uint16_t)queue;

	d->common->queue_select = n;
	(void)!pwrite(d->notify, &n, 2,
	    d->notify_off +
		(off_t)d->common->queue_notify_off * (off_t)d->notify_mult);
}

/* Up to FEATURES_OK; what is set then. */
static uint8_t
negotiate(const struct device *d, uint64_t features)
{
	d->common->device_status = VIRTIO_CONFIG_S_ACKNOWLEDGE;
	d->common->device_status |= VIRTIO_CONFIG_S_DRIVER;
	d->common->guest_feature_select = 0;
	d->common->guest_feature = (uint32_t)features;
	d->common->guest_feature_select = 1;
	d->common->guest_feature = (uint32_t)(features >> 32);
	d->common->device_status |= VIRTIO_CONFIG_S_FEATURES_OK;
	return status(d);
}

static void
set_queue(const struct device *d, uint64_t a, uint64_t b, uint64_t c)
{
	d->common->queue_select = (uint16_t)d->queue;
	d->common->queue_size = SIZE;
	d->common->queue_desc_lo = (uint32_t)a;
	d->common->queue_desc_hi = (uint32_t)(a >> 32);
	d->common->queue_avail_lo = (uint32_t)b;
	d->common->queue_avail_hi = (uint32_t)(b >> 32);
	d->common->queue_used_lo = (uint32_t)c;
	d->common->queue_used_hi = (uint32_t)(c >> 32);
	d->common->queue_enable = 1;
}

static void
clear_rings(void)
{
	unsigned i;

	for (i = 0; i < 3; i++)
		memset(ring[i].p, 0, PAGE);
	/* Of the balloon these are the numbers of pages that it gets. */
	memset(data.p, 0, PAGE);
	avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

static void
go(const struct device *d)
{
	d->common->device_status |= VIRTIO_CONFIG_S_DRIVER_OK;
}

static bool
start(const struct device *d, uint64_t features)
{
	clear_rings();
	if ((negotiate(d, FEATURES | features) & VIRTIO_CONFIG_S_FEATURES_OK) ==
	    0)
		return false;
	set_queue(d, ring[0].gpa, ring[1].gpa, ring[2].gpa);
	go(d);
	return true;
}

static void
put(unsigned i, uint64_t addr, uint32_t len, unsigned flags, unsigned next)
{
	desc[i].addr = addr;
	desc[i].len = len;
	desc[i].flags = (uint16_t)flags;
	desc[i].next = (uint16_t)next;
}

static void
publish(const struct device *d, unsigned head, unsigned idx)
{
	avail->ring[0] = (uint16_t)head;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	avail->idx = (uint16_t)idx;
	kick(d, d->queue);
}

/* ---- what it is not meant for ---- */

#define NEXT VRING_DESC_F_NEXT
#define IND  VRING_DESC_F_INDIRECT

static void
loop_self(const struct device *d)
{
	put(0, data.gpa, 16, NEXT, 0);
	publish(d, 0, 1);
}

static void
loop_two(const struct device *d)
{
	put(0, data.gpa, 16, NEXT, 1);
	put(1, data.gpa, 16, NEXT, 0);
	publish(d, 0, 1);
}

static void
next_outside(const struct device *d)
{
	put(0, data.gpa, 16, NEXT, SIZE);
	publish(d, 0, 1);
}

static void
head_outside(const struct device *d)
{
	publish(d, 0x7fff, 1);
}

static void
index_jumps(const struct device *d)
{
	publish(d, 0, 0x4000);
}

static void
outside(const struct device *d)
{
	put(0, NOWHERE, 64, 0, 0);
	publish(d, 0, 1);
}

static void
wraps(const struct device *d)
{
	put(0, UINT64_MAX - 15, 64, 0, 0);
	publish(d, 0, 1);
}

static void
huge(const struct device *d)
{
	put(0, data.gpa, UINT32_MAX, 0, 0);
	publish(d, 0, 1);
}

static void
own_registers(const struct device *d)
{
	put(0, d->mem, 64, 0, 0);
	publish(d, 0, 1);
}

static void
indirect_odd(const struct device *d)
{
	put(0, data.gpa, 17, IND, 0);
	publish(d, 0, 1);
}

static void
indirect_nested(const struct device *d)
{
	struct vring_desc *t = data.p;

	t[0] = (struct vring_desc){ data.gpa, 16, IND, 0 };
	put(0, data.gpa, 16, IND, 0);
	publish(d, 0, 1);
}

static void
registers_while_running(const struct device *d)
{
	d->common->queue_select = (uint16_t)d->queue;
	d->common->queue_size = 0x8000;
	d->common->queue_desc_hi = 0x7fffffff;
	d->common->queue_used_lo = 1;
	d->common->queue_enable = 0;
	d->common->queue_enable = 1;
	kick(d, d->queue);
}

static void
absent_queues(const struct device *d)
{
	unsigned i;
	uint32_t n;

	for (i = 0; i < 0x10000; i += i < 64 ? 1 : 251) {
		n = i << 16 | i;
		d->common->queue_select = (uint16_t)i;
		(void)d->common->queue_size;
		(void)!pwrite(d->notify, &n, i % 2 ? 2 : 4,
		    d->notify_off + (off_t)(i * 4 % d->notify_len));
	}
}

/* Another CPU writes what the device reads. */
static volatile bool changing;

static void *
change(void *arg)
{
	while (changing) {
		desc[0].addr = NOWHERE;
		desc[0].len = UINT32_MAX;
		desc[0].addr = data.gpa;
		desc[0].len = 16;
		desc[1].next = 0;
		avail->ring[0] = 0x7fff;
		avail->ring[0] = 0;
		desc[1].next = 2;
	}
	return NULL;
}

static void
changes(const struct device *d)
{
	pthread_t t;
	unsigned i;

	put(0, data.gpa, 16, NEXT, 1);
	put(1, data.gpa + 16, 512, NEXT, 2);
	put(2, data.gpa + 1024, 1, VRING_DESC_F_WRITE, 0);
	changing = true;
	if (pthread_create(&t, NULL, change, NULL) != 0)
		errx(1, "thread");
	for (i = 1; i < 200; i++) {
		avail->ring[i % SIZE] = 0;
		publish(d, 0, i);
	}
	changing = false;
	pthread_join(t, NULL);
}

/* The device writes into the ring that it reads. */
static void
on_the_ring(const struct device *d)
{
	unsigned i;

	put(0, ring[0].gpa, 256, VRING_DESC_F_WRITE, 0);
	put(1, ring[1].gpa, 64, VRING_DESC_F_WRITE, 0);
	put(2, ring[2].gpa, PAGE, VRING_DESC_F_WRITE, 0);
	for (i = 0; i < SIZE; i++)
		avail->ring[i] = (uint16_t)(i % 3);
	avail->idx = SIZE;
	kick(d, d->queue);
}

static void
reset_midway(const struct device *d)
{
	unsigned i;

	for (i = 0; i < SIZE; i++) {
		put(i, data.gpa, 64, 0, 0);
		avail->ring[i] = (uint16_t)i;
	}
	avail->idx = SIZE;
	kick(d, d->queue);
	d->common->device_status = 0;
}

enum want { BREAKS, MAY_BREAK, GOES_ON };
static const struct row {
	const char *name;
	void (*attack)(const struct device *);
	enum want want;
	uint64_t features;
} rows[] = {
	{ "a descriptor follows itself", loop_self, BREAKS, 0 },
	{ "two follow each other", loop_two, BREAKS, 0 },
	{ "the next one is outside of the table", next_outside, BREAKS, 0 },
	{ "the first one is", head_outside, BREAKS, 0 },
	{ "the index jumps", index_jumps, BREAKS, 0 },
	{ "a buffer outside of memory", outside, BREAKS, 0 },
	{ "a buffer that wraps", wraps, BREAKS, 0 },
	{ "a buffer of 4 GiB", huge, BREAKS, 0 },
	{ "the device's own registers", own_registers, BREAKS, 0 },
	{ "an indirect table of odd length", indirect_odd, BREAKS,
	    F(VIRTIO_RING_F_INDIRECT_DESC) },
	{ "an indirect table within another", indirect_nested, BREAKS,
	    F(VIRTIO_RING_F_INDIRECT_DESC) },
	{ "registers of a queue that runs", registers_while_running, GOES_ON,
	    0 },
	{ "queues that are not there", absent_queues, MAY_BREAK, 0 },
	{ "descriptors that change", changes, MAY_BREAK, 0 },
	{ "buffers on the rings", on_the_ring, MAY_BREAK, 0 },
	{ "a reset midway", reset_midway, MAY_BREAK, 0 },
};

static void
complain(const struct device *d, const char *row, const char *what)
{
	wrong++;
	printf("hostile: %s: %s: %s\n", d->name, row, what);
	fflush(stdout);
}

static void
try(const struct device *d, const struct row *r)
{
	if (!reset(d)) {
		complain(d, r->name, "no reset before");
		return;
	}
	if (!start(d, r->features)) {
		complain(d, r->name, "does not start");
		return;
	}
	r->attack(d);
	if (r->want == BREAKS &&
	    !becomes(
		d, VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_CONFIG_S_NEEDS_RESET))
		complain(d, r->name, "not noticed");
	usleep(20000);
	if (r->want == GOES_ON &&
	    (status(d) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
		complain(d, r->name, "needs a reset");
	if (!reset(d))
		complain(d, r->name, "no reset after");
	else if (!start(d, 0) ||
	    (usleep(5000), status(d) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
		complain(d, r->name, "not as new after a reset");
}

static void
bad_starts(const struct device *d)
{
	(void)reset(d);
	if ((negotiate(d, UINT64_MAX) & VIRTIO_CONFIG_S_FEATURES_OK) != 0)
		complain(d, "features", "what was not offered is accepted");
	(void)reset(d);
	clear_rings();
	(void)negotiate(d, FEATURES);
	set_queue(d, NOWHERE, NOWHERE, NOWHERE);
	go(d);
	if (!becomes(
		d, VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_CONFIG_S_NEEDS_RESET))
		complain(d, "rings", "outside of memory, not noticed");
}

static void
attack(struct device *d)
{
	unsigned i, before = wrong;
	uint16_t command;

	find_structures(d);
	command = (uint16_t)config(d, PCI_COMMAND, 2);
	command |= PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
	    PCI_COMMAND_INTX_DISABLE;
	if (pwrite(d->config, &command, 2, PCI_COMMAND) != 2)
		err(1, "%s: command", d->name);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		try(d, &rows[i]);
	bad_starts(d);
	if (!reset(d))
		complain(d, "end", "no reset");
	if (wrong == before)
		printf("hostile: %s: ok\n", d->name);
	fflush(stdout);
}

/* From its driver, if it has one. */
static void
take(const struct device *d)
{
	const char *address = strrchr(d->path, '/') + 1;
	int fd = open("/sys/bus/pci/drivers/virtio-pci/unbind", O_WRONLY);

	if (fd == -1)
		err(1, "unbind");
	(void)!write(fd, address, strlen(address));
	close(fd);
	fd = file(d, "enable", O_WRONLY);
	(void)!write(fd, "1", 1);
	close(fd);
}

static bool
identify(struct device *d, const char *path)
{
	unsigned id;

	*d = (struct device){ .notify = -1 };
	snprintf(d->path, sizeof(d->path), "%s", path);
	d->config = file(d, "config", O_RDWR);
	id = config(d, PCI_DEVICE_ID, 2);
	/* Transitional ones say it in the subsystem's identifier. */
	d->type = id >= 0x1040 ? id - 0x1040 : config(d, PCI_SUBSYSTEM_ID, 2);
	if (config(d, PCI_VENDOR_ID, 2) != 0x1af4 ||
	    d->type >= sizeof(names) / sizeof(names[0]) ||
	    names[d->type] == NULL) {
		close(d->config);
		return false;
	}
	if (d->type < sizeof(queues) / sizeof(queues[0]))
		d->queue = queues[d->type];
	snprintf(d->name, sizeof(d->name), "%s", names[d->type]);
	return true;
}

static void
read_disk(const char *path)
{
	void *buf = aligned_alloc(PAGE, PAGE);
	int fd = open(path, O_RDONLY | O_DIRECT);

	if (buf == NULL || fd == -1 || pread(fd, buf, PAGE, 0) != PAGE) {
		wrong++;
		printf("hostile: %s: cannot be read\n", path);
	}
	close(fd);
	free(buf);
}

int
main(void)
{
	static struct device dev[16];
	unsigned i, n = 0, last = 0;
	glob_t g;

	for (i = 0; i < 3; i++)
		ring[i] = page();
	data = page();
	if (glob("/sys/bus/pci/devices/*", 0, NULL, &g) != 0)
		errx(1, "no PCI devices");
	for (i = 0; i < g.gl_pathc && n < 16; i++)
		if (identify(&dev[n], g.gl_pathv[i])) {
			if (dev[n].type == VIRTIO_ID_BLOCK)
				last = n;
			n++;
		}
	for (i = 0; i < n; i++) {
		if (i == last)
			continue;
		take(&dev[i]);
		attack(&dev[i]);
		read_disk("/dev/vdb");
	}
	printf("hostile: end, %u wrong\n", wrong);
	fflush(stdout);
	return 0;
}
