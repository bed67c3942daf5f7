/* SPDX-License-Identifier: ISC */
/*
 * guestio: the load of `make bench', run as the only program of a guest.
 * Keeps a number of O_DIRECT requests in flight on a block device for some
 * seconds by io_submit(2) and prints "result N": operations per second when
 * random, MB per second when sequential.  Static, no library but libc.
 *
 *	guestio [-r] [-w] [-b bytes] [-q depth] [-t seconds] device
 *
 * -r random offsets, -w writes.
 */
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/aio_abi.h>
#include <linux/fs.h>

#define DEPTH_MAX 128
#define BLOCK_MAX (1U << 20)

struct load {
	bool random, write;
	unsigned depth;
	uint64_t block, blocks; /* bytes of one, how many on the device */
	double seconds;
	int fd;
	uint64_t next, seed;
	aio_context_t ctx;
	struct iocb cb[DEPTH_MAX];
};

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Xorshift: the same offsets in every run. */
static uint64_t
next_block(struct load *l)
{
	if (!l->random)
		return l->next++ % l->blocks;
	l->seed ^= l->seed << 13;
	l->seed ^= l->seed >> 7;
	l->seed ^= l->seed << 17;
	return l->seed % l->blocks;
}

static void
submit(struct load *l, struct iocb *cb)
{
	struct iocb *list[1] = { cb };

	cb->aio_offset = (int64_t)(next_block(l) * l->block);
	if (syscall(SYS_io_submit, l->ctx, 1L, list) != 1)
		err(1, "io_submit");
}

static void
prepare(struct load *l, const char *device)
{
	unsigned i;
	uint64_t size;
	void *buf;

	if ((l->fd = open(device, O_RDWR | O_DIRECT | O_CLOEXEC)) == -1)
		err(1, "%s", device);
	if (ioctl(l->fd, BLKGETSIZE64, &size) == -1)
		err(1, "%s: size", device);
	l->blocks = size / l->block;
	if (l->blocks == 0)
		errx(1, "%s: smaller than a block", device);
	if (syscall(SYS_io_setup, DEPTH_MAX, &l->ctx) == -1)
		err(1, "io_setup");
	for (i = 0; i < l->depth; i++) {
		if ((buf = aligned_alloc(4096, l->block)) == NULL)
			err(1, "buffer");
		memset(buf, (int)i + 1, l->block);
		l->cb[i].aio_fildes = (uint32_t)l->fd;
		l->cb[i].aio_buf = (uintptr_t)buf;
		l->cb[i].aio_nbytes = l->block;
		l->cb[i].aio_lio_opcode =
		    l->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
	}
}

/* Requests done in the time given; the first half second does not count. */
static double
run(struct load *l)
{
	struct io_event ev[DEPTH_MAX];
	uint64_t done = 0;
	double begin = now(), t;
	bool warm = true;
	unsigned i;
	long j, n;

	for (i = 0; i < l->depth; i++)
		submit(l, &l->cb[i]);
	for (;;) {
		n = syscall(
		    SYS_io_getevents, l->ctx, 1L, (long)l->depth, ev, NULL);
		if (n < 1)
			err(1, "io_getevents");
		for (j = 0; j < n; j++) {
			if (ev[j].res != (int64_t)l->block)
				errx(1, "request: %lld", (long long)ev[j].res);
			submit(l, (struct iocb *)(uintptr_t)ev[j].obj);
		}
		done += (uint64_t)n;
		t = now();
		if (warm && t - begin >= 0.5) {
			warm = false;
			begin = t;
			done = 0;
		} else if (!warm && t - begin >= l->seconds) {
			return (double)done / (t - begin);
		}
	}
}

int
main(int argc, char **argv)
{
	static struct load l = { .block = 4096,
		.depth = 1,
		.seconds = 4,
		.seed = 88172645463325252 };
	double rate;
	int c;

	while ((c = getopt(argc, argv, "b:q:rt:w")) != -1) {
		if (c == 'b')
			l.block = strtoull(optarg, NULL, 10);
		else if (c == 'q')
			l.depth = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'r')
			l.random = true;
		else if (c == 't')
			l.seconds = strtod(optarg, NULL);
		else if (c == 'w')
			l.write = true;
		else
			return 2;
	}
	if (optind + 1 != argc || l.depth == 0 || l.depth > DEPTH_MAX ||
	    l.block == 0 || l.block % 512 != 0 || l.block > BLOCK_MAX)
		errx(2,
		    "usage: guestio [-rw] [-b bytes] [-q depth] "
		    "[-t seconds] device");
	prepare(&l, argv[optind]);
	rate = run(&l);
	printf("result %.1f\n", l.random ? rate : rate * (double)l.block / 1e6);
	return 0;
}
