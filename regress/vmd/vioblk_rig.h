/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_VIOBLK_RIG_H
#define REGRESS_VIOBLK_RIG_H

/*
 * A block device with a driver in front of it: real rings in real guest
 * memory, real eventfds, the device's own threads, a temporary image.
 *
 * Guest memory: rings of queue n at n * 0x10000, headers and status bytes at
 * 0x100000, indirect tables at 0x200000, data from RIG_DATA.
 */
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "qcow2_create.h"
#include "../vdriver.h"
#include "../../vmd/vioblk.h"

#define RIG_MEM	 (32ULL << 20)
#define RIG_DATA 0x1000000ULL
#define RIG_QMAX VIOBLK_QUEUES_MAX
#define F(n)	 (1ULL << (n))

struct rig_kind {
	enum aio_engine engine;
	bool memory; /* the image is a file in memory */
};

struct rig {
	struct gmem mem;
	struct vioblk *dev;
	int image; /* our own descriptor of it */
	unsigned nq;
	struct vdrv q[RIG_QMAX];
	int kick[RIG_QMAX], call[RIG_QMAX];
	unsigned calls[RIG_QMAX]; /* interrupts seen */
};

struct rig_opt {
	struct rig_kind kind;
	uint64_t bytes;
	bool readonly;
	unsigned vcpus;
	uint64_t without; /* features not to be negotiated */
	uint16_t qsize;
	struct vm_limit iops, bandwidth;
	bool qcow2;
};

static inline int
rig_image(bool memory, uint64_t bytes)
{
	char path[] = "/tmp/vioblk.XXXXXX";
	int fd;

	if (memory) {
		fd = memfd_create("image", MFD_CLOEXEC);
	} else {
		fd = mkstemp(path);
		unlink(path);
	}
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static inline void
rig_rings(struct rig *r, uint64_t features, uint16_t qsize)
{
	unsigned i;

	for (i = 0; i < r->nq; i++)
		vdrv_init(&r->q[i], &r->mem, i * 0x10000ull, qsize,
		    (features & F(VIRTIO_RING_F_EVENT_IDX)) != 0);
}

static inline int
rig_start(struct rig *r, uint64_t features)
{
	struct virtio_ring ring[RIG_QMAX];
	unsigned i;

	for (i = 0; i < r->nq; i++)
		ring[i] = (struct virtio_ring){
			.size = r->q[i].size,
			.desc = r->q[i].desc_gpa,
			.avail = r->q[i].avail_gpa,
			.used = r->q[i].used_gpa,
		};
	return vioblk_start(r->dev, features, ring, r->nq);
}

static inline void
rig_connect(struct rig *r)
{
	unsigned i;

	assert_int_equal(
	    vdev_set_memory(vioblk_vdev(r->dev), dup(r->mem.fd), RIG_MEM), 0);
	for (i = 0; i < r->nq; i++) {
		r->kick[i] = eventfd(0, EFD_CLOEXEC);
		r->call[i] = eventfd(0, EFD_CLOEXEC);
		assert_int_equal(
		    vdev_set_fd(vioblk_vdev(r->dev), i, false, dup(r->kick[i])),
		    0);
		assert_int_equal(
		    vdev_set_fd(vioblk_vdev(r->dev), i, true, dup(r->call[i])),
		    0);
	}
	assert_int_equal(vioblk_threads(r->dev), 0);
}

static inline struct rig *
rig_new(const struct rig_opt *o)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct vioblk_conf conf = {
		.readonly = o->readonly,
		.vcpus = o->vcpus != 0 ? o->vcpus : 1,
		.serial = "serial-0123456789xyz",
		.engine = o->kind.engine,
		.iops = o->iops,
		.bandwidth = o->bandwidth,
	};
	struct disk_layer image = { .format = VM_DISK_RAW };
	struct why why;
	uint64_t f;

	assert_non_null(r);
	r->image = rig_image(o->kind.memory, o->bytes);
	if (o->qcow2) {
		image.format = VM_DISK_QCOW2;
		assert_int_equal(ftruncate(r->image, 0), 0);
		assert_int_equal(
		    qcow2_create(r->image,
			&(struct qcow2_new){ .size = o->bytes }, &why),
		    0);
	}
	image.fd = dup(r->image);
	assert_int_equal(vioblk_new(&r->dev, &conf, &image, 1, &why), 0);
	assert_int_equal(gmem_create(&r->mem, RIG_MEM), 0);
	r->nq = vioblk_vdev(r->dev)->nqueues;
	rig_connect(r);
	f = vioblk_vdev(r->dev)->offered & ~o->without;
	rig_rings(r, f, o->qsize != 0 ? o->qsize : VIOBLK_QUEUE_SIZE);
	assert_int_equal(rig_start(r, f), 0);
	return r;
}

static inline void
rig_free(struct rig *r)
{
	unsigned i;

	vioblk_free(r->dev);
	for (i = 0; i < r->nq; i++) {
		close(r->kick[i]);
		close(r->call[i]);
	}
	gmem_destroy(&r->mem);
	close(r->image);
	free(r);
}

/* Wait for the device's report; the mask, 0 when none came in time. */
static inline unsigned
rig_report(struct rig *r, unsigned want, const char **why, int ms)
{
	struct pollfd p = { vioblk_vdev(r->dev)->report, POLLIN, 0 };
	unsigned mask = 0;
	int i;

	for (i = 0; i < ms / 10 && (mask & want) == 0; i++)
		if (poll(&p, 1, 10) == 1)
			mask |= vdev_report(vioblk_vdev(r->dev), why);
	return mask;
}

static inline void
rig_reset(struct rig *r)
{
	const char *why;

	assert_int_equal(vdev_reset(vioblk_vdev(r->dev)), 0);
	assert_true(
	    rig_report(r, VDEV_RESET_DONE, &why, 5000) & VDEV_RESET_DONE);
}

static inline void *
rig_ptr(struct rig *r, uint64_t gpa, size_t len)
{
	void *p = gmem_range(&r->mem, (struct gpa){ gpa }, len);

	assert_non_null(p);
	return p;
}

/* Header and status of request number n (any number below 4096). */
static inline uint64_t
rig_hdr(struct rig *r, unsigned n, uint32_t type, uint64_t sector)
{
	uint64_t gpa = 0x100000 + n * 32ull;
	struct virtio_blk_outhdr *h = rig_ptr(r, gpa, 32);

	h->type = type;
	h->ioprio = 0;
	h->sector = sector;
	((uint8_t *)h)[16] = 0xee;
	return gpa;
}

static inline uint8_t
rig_status(struct rig *r, unsigned n)
{
	return *(volatile uint8_t *)rig_ptr(r, 0x100000 + n * 32ull + 16, 1);
}

static inline void
rig_kick(struct rig *r, unsigned qi)
{
	const uint64_t one = 1;

	if (vdrv_publish(&r->q[qi]))
		assert_int_equal(write(r->kick[qi], &one, 8), 8);
}

/* Sleep for an interrupt like a driver.  False: none in time. */
static inline bool
rig_sleep(struct rig *r, unsigned qi, int ms)
{
	struct pollfd p = { r->call[qi], POLLIN, 0 };
	uint64_t n;

	if (vdrv_want_used(&r->q[qi]))
		return true;
	if (poll(&p, 1, ms) != 1)
		return false;
	r->calls[qi]++;
	return read(r->call[qi], &n, 8) == 8;
}

/* Wait for the next used element. */
static inline uint32_t
rig_used(struct rig *r, unsigned qi, uint32_t *len)
{
	uint32_t id;

	while (!vdrv_take(&r->q[qi], &id, len))
		assert_true(rig_sleep(r, qi, 5000));
	return id;
}

/* One request with its data in one piece, answered: the status. */
static inline uint8_t
rig_io(struct rig *r, uint32_t type, uint64_t sector, uint64_t data,
    uint32_t len, uint32_t *used)
{
	uint64_t h = rig_hdr(r, 0, type, sector);
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct vbuf b[3] = {
		{ h, 16, false },
		{ data, len, in },
		{ h + 16, 1, true },
	};
	uint32_t l;
	int head;

	if (len == 0)
		b[1] = b[2];
	head = vdrv_add(&r->q[0], b, len == 0 ? 2 : 3, 0);
	assert_true(head >= 0);
	rig_kick(r, 0);
	assert_int_equal(rig_used(r, 0, &l), head);
	if (used != NULL)
		*used = l;
	return rig_status(r, 0);
}

#endif
