/* SPDX-License-Identifier: ISC */
/*
 * guestio: the load of `make bench', run as the only program of a guest.
 * Static, no library but libc.
 *
 *	guestio [-t seconds] device job[:depth] ...
 *
 * For each job it keeps a number of O_DIRECT requests in flight by
 * io_submit(2).  randread and randwrite: 4 KiB at random offsets; read and
 * write: 128 KiB, one after the other; fsync: 4 KiB, written and made stable
 * before the next.  It prints "begin JOB-DEPTH" when the job is warm and
 * "result JOB-DEPTH RATE COUNT" at its end: operations per second, MB per
 * second of read and write, and how many there were.  Then "guestio end".
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
#define BLOCK_MAX (128U * 1024)
#define WARM_SEC  0.5

struct job {
	const char *name;
	bool random, write, sync;
	uint64_t block; /* bytes of one */
};

static const struct job jobs[] = {
	{ "randread", true, false, false, 4096 },
	{ "randwrite", true, true, false, 4096 },
	{ "read", false, false, false, BLOCK_MAX },
	{ "write", false, true, false, BLOCK_MAX },
	{ "fsync", true, true, true, 4096 },
};

struct load {
	const struct job *job;
	unsigned depth;
	uint64_t size, blocks; /* of the device, in bytes and in job's blocks */
	double seconds;
	int fd;
	uint64_t next, seed;
	aio_context_t ctx;
	void *buf[DEPTH_MAX];
	struct iocb cb[DEPTH_MAX];
	uint64_t done;
	double begin; /* of what counts; 0: still warming up */
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
	if (!l->job->random)
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

	cb->aio_offset = (int64_t)(next_block(l) * l->job->block);
	if (syscall(SYS_io_submit, l->ctx, 1L, list) != 1)
		err(1, "io_submit");
}

static void
prepare(struct load *l, const char *device)
{
	unsigned i;

	if ((l->fd = open(device, O_RDWR | O_DIRECT | O_CLOEXEC)) == -1)
		err(1, "%s", device);
	if (ioctl(l->fd, BLKGETSIZE64, &l->size) == -1)
		err(1, "%s: size", device);
	if (l->size < BLOCK_MAX)
		errx(1, "%s: smaller than a block", device);
	if (syscall(SYS_io_setup, DEPTH_MAX, &l->ctx) == -1)
		err(1, "io_setup");
	for (i = 0; i < DEPTH_MAX; i++) {
		if ((l->buf[i] = aligned_alloc(4096, BLOCK_MAX)) == NULL)
			err(1, "buffer");
		memset(l->buf[i], (int)i + 1, BLOCK_MAX);
	}
}

/* The first ones do not count, and the last are waited for. */
struct clock {
	double start, begin; /* begin: of what counts, 0 at first */
	uint64_t done;
};

/* n more are done.  False: that is enough. */
static bool
count(struct clock *c, const struct load *l, const char *name, unsigned n)
{
	double t = now();

	if (c->begin != 0) {
		c->done += n;
		return t - c->begin < l->seconds;
	}
	if (t - c->start < WARM_SEC)
		return true;
	printf("begin %s\n", name);
	fflush(stdout);
	c->begin = now();
	return true;
}

static void
result(const struct clock *c, const struct load *l, const char *name)
{
	double rate = (double)c->done / (now() - c->begin);

	if (!l->job->random)
		rate *= (double)l->job->block / 1e6;
	printf(
	    "result %s %.1f %llu\n", name, rate, (unsigned long long)c->done);
	fflush(stdout);
}

static void
run_sync(struct load *l, const char *name)
{
	struct clock c = { .start = now() };
	off_t at;

	do {
		at = (off_t)(next_block(l) * l->job->block);
		if (pwrite(l->fd, l->buf[0], l->job->block, at) !=
			(ssize_t)l->job->block ||
		    fdatasync(l->fd) == -1)
			err(1, "%s", name);
	} while (count(&c, l, name, 1));
	result(&c, l, name);
}

static void
run_async(struct load *l, const char *name)
{
	struct clock c = { .start = now() };
	struct io_event ev[DEPTH_MAX];
	unsigned i, inflight = l->depth;
	bool more = true;
	long j, n;

	for (i = 0; i < l->depth; i++) {
		l->cb[i] = (struct iocb){
			.aio_fildes = (uint32_t)l->fd,
			.aio_buf = (uintptr_t)l->buf[i],
			.aio_nbytes = l->job->block,
			.aio_lio_opcode =
			    l->job->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
		};
		submit(l, &l->cb[i]);
	}
	while (inflight > 0) {
		n = syscall(
		    SYS_io_getevents, l->ctx, 1L, (long)inflight, ev, NULL);
		if (n < 1)
			err(1, "io_getevents");
		for (j = 0; j < n; j++) {
			if (ev[j].res != (int64_t)l->job->block)
				errx(1, "request: %lld", (long long)ev[j].res);
			if (more)
				submit(l, (struct iocb *)(uintptr_t)ev[j].obj);
			else
				inflight--;
		}
		if (more && !(more = count(&c, l, name, (unsigned)n)))
			result(&c, l, name);
	}
}

/* NAME[:DEPTH] */
static void
run(struct load *l, char *arg)
{
	char *colon = strchr(arg, ':'), name[32];
	size_t i, n = sizeof(jobs) / sizeof(jobs[0]);

	l->depth = 1;
	if (colon != NULL) {
		*colon = '\0';
		l->depth = (unsigned)strtoul(colon + 1, NULL, 10);
	}
	for (i = 0; i < n && strcmp(jobs[i].name, arg) != 0; i++)
		;
	if (i == n || l->depth == 0 || l->depth > DEPTH_MAX)
		errx(2, "%s: no such job", arg);
	l->job = &jobs[i];
	l->blocks = l->size / l->job->block;
	snprintf(name, sizeof(name), "%s-%u", arg, l->depth);
	if (l->job->sync)
		run_sync(l, name);
	else
		run_async(l, name);
}

int
main(int argc, char **argv)
{
	static struct load l = { .seconds = 4, .seed = 88172645463325252 };
	int c;

	while ((c = getopt(argc, argv, "t:")) != -1) {
		if (c != 't')
			return 2;
		l.seconds = strtod(optarg, NULL);
	}
	if (argc - optind < 2)
		errx(2, "usage: guestio [-t seconds] device job[:depth] ...");
	prepare(&l, argv[optind]);
	while (++optind < argc)
		run(&l, argv[optind]);
	printf("guestio end\n");
	return 0;
}
