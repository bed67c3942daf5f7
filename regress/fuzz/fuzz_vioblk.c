/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: block requests over hostile rings.  The input is a head and what is
 * in guest memory, rings included; its end is written over a part of that
 * between two rounds.  Every chain that was taken is answered, the image keeps
 * its size and, when it is only read, its content; nothing is written outside
 * of guest memory (the sanitizers see that).
 */
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_ring.h>

#include "aio_sync.h"
#include "vioblk_impl.h"

#define MEM    (1ULL << 20)
#define SHOWN  4096 /* bytes of it that the input fills */
#define SIZE   8 /* of the ring */
#define IMAGE  (64 * 1024)
#define ROUNDS 4

/* The input's first bytes. */
struct head {
	uint8_t features, used; /* where the used ring is, in 16 bytes */
	uint16_t at; /* of what is written between */
	uint8_t more, wce; /* how much that is */
	uint8_t unused[2];
};
enum { H_EVENT_IDX = 1, H_WCE = 2, H_FLUSH = 4, H_RANGES = 8, H_RO = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct rig {
	struct gmem mem;
	struct vioblk *dev;
	uint8_t *page, *image;
	int fd;
	uint8_t content[IMAGE]; /* of the image at first */
} r;

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
set_up(void)
{
	struct vioblk_conf conf = { .vcpus = 1, .serial = "serial" };
	struct disk_layer layer = { .format = VM_DISK_RAW };
	struct aio_conf aio = { 0 };
	struct why why;
	struct vdev *v;
	void *page;
	unsigned i;
	int fd;

	for (i = 0; i < IMAGE; i++)
		r.content[i] = (uint8_t)(i / 512 + 1);
	r.fd = memfd_create("image", MFD_CLOEXEC);
	check(ftruncate(r.fd, IMAGE) == 0);
	r.image =
	    mmap(NULL, IMAGE, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, 0);
	check(r.image != MAP_FAILED);
	layer.fd = dup(r.fd);
	check(gmem_create(&r.mem, MEM) == 0);
	check(vioblk_new(&r.dev, &conf, &layer, 1, &why) == 0);
	v = vioblk_vdev(r.dev);
	check(vdev_set_memory(v, dup(r.mem.fd), MEM) == 0);
	check(page_create(&fd, true, &page) == 0);
	check(vdev_set_config(v, fd) == 0);
	r.page = page;
	disk_aio(r.dev->disk, &aio);
	check(aio_sync_new(&r.dev->queue[0].aio, &aio) == 0);
}

static uint64_t
features(unsigned how)
{
	uint64_t f = 0;

	if ((how & H_EVENT_IDX) != 0)
		f |= 1ULL << VIRTIO_RING_F_EVENT_IDX;
	if ((how & H_WCE) != 0)
		f |= 1ULL << VIRTIO_BLK_F_CONFIG_WCE;
	if ((how & H_FLUSH) != 0)
		f |= 1ULL << VIRTIO_BLK_F_FLUSH;
	if ((how & H_RANGES) != 0)
		f |= 1ULL << VIRTIO_BLK_F_DISCARD |
		    1ULL << VIRTIO_BLK_F_WRITE_ZEROES;
	return f;
}

/* False: the rings cannot be where they are said to be. */
static bool
start(const struct head *h)
{
	struct virtio_ring ring = { SIZE, { 0 }, { 128 }, { h->used * 16u } };
	struct vdev *v = vioblk_vdev(r.dev);

	v->started = false;
	check(vdev_start(v, features(h->features), &ring, 1) == 0);
	r.dev->conf.readonly = (h->features & H_RO) != 0;
	r.page[offsetof(struct virtio_blk_config, wce)] = h->wce;
	memcpy(r.image, r.content, IMAGE);
	return vdev_ok(v);
}

static void
check_end(bool readonly)
{
	struct vioblk_queue *q = &r.dev->queue[0];

	check(aio_inflight(q->aio) == 0);
	check(q->nfree == VIOBLK_QUEUE_SIZE);
	check(q->npool_free == VIOBLK_QUEUE_SIZE);
	check(q->v.vq.broken || q->v.vq.used_idx == q->v.vq.last_avail);
	check(lseek(r.fd, 0, SEEK_END) == IMAGE);
	check(!readonly || memcmp(r.image, r.content, IMAGE) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct vioblk_queue *q;
	struct head h;
	uint8_t *mem;
	size_t n;
	unsigned i;

	if (len < sizeof(h))
		return 0;
	if (r.dev == NULL)
		set_up();
	memcpy(&h, data, sizeof(h));
	data += sizeof(h);
	len -= sizeof(h);
	mem = gmem_range(&r.mem, (struct gpa){ 0 }, MEM);
	memset(mem, 0, SHOWN);
	n = len < h.more ? len : h.more;
	memcpy(mem, data, len - n < SHOWN ? len - n : SHOWN);
	if (!start(&h))
		return 0;
	q = &r.dev->queue[0];
	for (i = 0; i < ROUNDS; i++) {
		check(vioblk_queue_round(q) >= 0);
		if (i == 0)
			memcpy(mem + h.at % SHOWN, data + len - n, n);
	}
	while (aio_inflight(q->aio) > 0)
		check(aio_run(q->aio, false) >= 0);
	check_end(r.dev->conf.readonly);
	return 0;
}
