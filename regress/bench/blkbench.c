/* SPDX-License-Identifier: ISC */
/*
 * The block device alone, without a hypervisor: a driver in this process, the
 * device's own queue thread, an image.  Prints I/O operations per second and
 * what each cost: system calls of the device, kicks, interrupts.
 *
 *	blkbench [-t] [-s seconds] [image]
 *
 * -t takes the thread engine.  Without an image: 64 MiB in memory.
 */
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <linux/virtio_blk.h>

#include "../vdriver.h"
#include "vioblk.h"

#define MEM	  (64ULL << 20)
#define IMAGE	  (64ULL << 20)
#define HDR	  0x100000ULL
#define TABLE	  0x200000ULL
#define DATA	  0x1000000ULL
#define DEPTH_MAX 128
#define BUFFER	  (256 * 1024)

struct bench {
	struct gmem mem;
	struct vioblk *dev;
	struct vdrv q;
	int kick, call;
	uint64_t sectors;
	uint64_t seed;
	int slot_of[VIOBLK_QUEUE_SIZE]; /* head -> our slot */
};

struct load {
	const char *name;
	uint32_t type;
	unsigned depth;
	uint32_t bytes;
	bool sequential;
	unsigned each_us; /* handed over one by one, so many apart */
};

static const struct load loads[] = {
	{ "4k random read, depth 1", VIRTIO_BLK_T_IN, 1, 4096, false, 0 },
	{ "4k random read, depth 32", VIRTIO_BLK_T_IN, 32, 4096, false, 0 },
	{ "4k random read, depth 1, 3 us", VIRTIO_BLK_T_IN, 1, 4096, false, 3 },
	{ "4k random read, depth 2, 3 us", VIRTIO_BLK_T_IN, 2, 4096, false, 3 },
	{ "4k random read, depth 4, 3 us", VIRTIO_BLK_T_IN, 4, 4096, false, 3 },
	{ "4k random read, depth 32, 3 us", VIRTIO_BLK_T_IN, 32, 4096, false,
	    3 },
	{ "4k random write, depth 1", VIRTIO_BLK_T_OUT, 1, 4096, false, 0 },
	{ "4k random write, depth 32", VIRTIO_BLK_T_OUT, 32, 4096, false, 0 },
	{ "256k sequential read, depth 8", VIRTIO_BLK_T_IN, 8, BUFFER, true,
	    0 },
	{ "256k sequential write, depth 8", VIRTIO_BLK_T_OUT, 8, BUFFER, true,
	    0 },
};

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Processor time of both sides. */
static double
cpu(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	    (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void
start_device(struct bench *b, enum aio_engine engine, int image)
{
	struct vioblk_conf conf = { .vcpus = 1, .engine = engine };
	struct virtio_ring ring;
	struct disk_layer l = { image, VM_DISK_RAW };
	struct why why;
	size_t len;

	if (vioblk_new(&b->dev, &conf, &l, 1, &why) != 0)
		errx(1, "%s", why.text);
	if (gmem_create(&b->mem, MEM) != 0)
		errx(1, "guest memory");
	b->kick = eventfd(0, EFD_CLOEXEC);
	b->call = eventfd(0, EFD_CLOEXEC);
	if (vdev_set_memory(vioblk_vdev(b->dev), dup(b->mem.fd), MEM) != 0 ||
	    vdev_set_fd(vioblk_vdev(b->dev), 0, false, dup(b->kick)) != 0 ||
	    vdev_set_fd(vioblk_vdev(b->dev), 0, true, dup(b->call)) != 0 ||
	    vioblk_threads(b->dev) != 0)
		errx(1, "device set-up");
	vdrv_init(&b->q, &b->mem, 0, VIOBLK_QUEUE_SIZE, true);
	ring = (struct virtio_ring){ VIOBLK_QUEUE_SIZE, b->q.desc_gpa,
		b->q.avail_gpa, b->q.used_gpa };
	if (vioblk_start(b->dev, vioblk_vdev(b->dev)->offered, &ring, 1) != 0)
		errx(1, "start");
	b->sectors =
	    ((const struct virtio_blk_config *)vioblk_config(b->dev, &len))
		->capacity;
	b->seed = 88172645463325252ull;
}

static uint64_t
next_sector(struct bench *b, const struct load *l, uint64_t n)
{
	uint64_t blocks = b->sectors / (l->bytes / 512);

	if (l->sequential)
		return n % blocks * (l->bytes / 512);
	b->seed ^= b->seed << 13;
	b->seed ^= b->seed >> 7;
	b->seed ^= b->seed << 17;
	return b->seed % blocks * (l->bytes / 512);
}

static void
submit(struct bench *b, const struct load *l, int slot, uint64_t n)
{
	uint64_t h = HDR + (uint64_t)slot * 32;
	struct virtio_blk_outhdr *hdr =
	    gmem_range(&b->mem, (struct gpa){ h }, 32);
	struct vbuf v[3] = {
		{ h, 16, false },
		{ DATA + (uint64_t)slot * BUFFER, l->bytes,
		    l->type == VIRTIO_BLK_T_IN },
		{ h + 16, 1, true },
	};
	int head;

	hdr->type = l->type;
	hdr->sector = next_sector(b, l, n);
	head = vdrv_add(&b->q, v, 3, TABLE + (uint64_t)slot * 64);
	if (head < 0)
		errx(1, "queue full");
	b->slot_of[head] = slot;
}

static void
kick(struct bench *b)
{
	const uint64_t one = 1;

	if (vdrv_publish(&b->q) && write(b->kick, &one, 8) != 8)
		err(1, "kick");
}

static void
await_interrupt(struct bench *b)
{
	struct pollfd p = { b->call, POLLIN, 0 };
	uint64_t n;

	while (read(b->call, &n, 8) != 8)
		if (poll(&p, 1, 5000) != 1)
			errx(1, "the device does not answer");
}

static void
await(struct bench *b)
{
	while (!vdrv_want_used(&b->q))
		await_interrupt(b);
}

/*
 * Like a kernel whose program submits one after the other: answers are taken
 * when an interrupt comes, until one for the next is asked for.
 */
static unsigned
one_by_one(struct bench *b, const struct load *l, uint64_t *started)
{
	unsigned i, n = 0, slots[DEPTH_MAX];
	uint32_t id, len;
	double t;

	await_interrupt(b);
	do {
		while (n < l->depth && vdrv_take(&b->q, &id, &len)) {
			if (id >= VIOBLK_QUEUE_SIZE)
				errx(1, "used element");
			slots[n++] = b->slot_of[id];
		}
	} while (vdrv_want_used(&b->q) && n < l->depth);
	for (i = 0; i < n; i++) {
		for (t = now() + l->each_us / 1e6; now() < t;)
			;
		submit(b, l, slots[i], (*started)++);
		kick(b);
	}
	return n;
}

static uint64_t
run(struct bench *b, const struct load *l, double seconds)
{
	uint64_t started = 0, done = 0;
	double end = now() + seconds;
	uint32_t id, len;
	unsigned i;

	(void)vdrv_want_used(&b->q);
	for (i = 0; i < l->depth; i++)
		submit(b, l, (int)i, started++);
	kick(b);
	while (l->each_us != 0 && now() < end)
		done += one_by_one(b, l, &started);
	while (done < started && l->each_us == 0) {
		await(b);
		while (vdrv_take(&b->q, &id, &len)) {
			done++;
			if (id >= VIOBLK_QUEUE_SIZE)
				errx(1, "used element");
			if (done % 64 != 0 || now() < end)
				submit(b, l, b->slot_of[id], started++);
			else
				end = 0;
			if (end == 0)
				break;
		}
		kick(b);
		if (end == 0)
			break;
	}
	while (done < started) {
		await(b);
		while (vdrv_take(&b->q, &id, &len))
			done++;
	}
	return done;
}

static void
measure(const struct load *l, enum aio_engine engine, const char *path,
    double seconds)
{
	struct bench b = { 0 };
	struct vioblk_stats s;
	const char *name;
	uint64_t n;
	double t, c;
	int fd;

	if (path != NULL)
		fd = open(path, O_RDWR | O_CLOEXEC);
	else
		fd = memfd_create("image", MFD_CLOEXEC);
	if (fd == -1)
		err(1, "%s", path != NULL ? path : "memfd");
	/* No page is made while we measure. */
	while (path == NULL && fallocate(fd, 0, 0, IMAGE) == -1)
		if (errno != EINTR)
			err(1, "memfd");
	start_device(&b, engine, fd);
	name = vioblk_engine(b.dev);
	t = now();
	c = cpu();
	n = run(&b, l, seconds);
	t = now() - t;
	c = cpu() - c;
	vioblk_stop(b.dev);
	vioblk_stats(b.dev, &s);
	printf("%-8s %-31s %9.0f IOPS %6.0f MiB/s  per request: "
	       "%.1f us CPU, %.2f system calls, %.2f kicks, "
	       "%.2f interrupts, %.2f waits\n",
	    name, l->name, (double)n / t, (double)n * l->bytes / t / (1 << 20),
	    c * 1e6 / (double)n, (double)s.syscalls / (double)n,
	    (double)s.kicks / (double)n, (double)s.interrupts / (double)n,
	    (double)s.waits / (double)n);
	vioblk_free(b.dev);
	gmem_destroy(&b.mem);
	close(b.kick);
	close(b.call);
}

int
main(int argc, char **argv)
{
	enum aio_engine engine = AIO_AUTO;
	double seconds = 1;
	unsigned i;
	int c;

	while ((c = getopt(argc, argv, "ts:")) != -1) {
		if (c == 't')
			engine = AIO_THREADS;
		else if (c == 's')
			seconds = strtod(optarg, NULL);
		else
			errx(1, "usage: blkbench [-t] [-s seconds] [image]");
	}
	for (i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		measure(&loads[i], engine, argv[optind], seconds);
	return 0;
}
