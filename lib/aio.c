/* SPDX-License-Identifier: ISC */
/*
 * What both engines of aio.h share: the queue of started requests, the
 * choice between doing an operation at once and handing it over, and the
 * delivery of results.
 *
 * At once are done:
 *  - operations on a file in memory (tmpfs): kernels hand these to worker
 *    threads, which costs more than the copy itself;
 *  - a read that is alone, when the page cache has it (RWF_NOWAIT);
 *  - buffered writes, which io_uring passes to its workers on most file
 *    systems and which the inode's lock serialises anyway - as long as they
 *    do not block.  One that did (write-back throttling, a journal commit)
 *    makes later ones asynchronous for a while, so that they hold up reads at
 *    most once in SLOW_MS.
 */
#include <sys/vfs.h>

#include <linux/magic.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "aio_impl.h"

/* The coarse clock ticks every 4 or 10 ms: one tick may be chance. */
#define BLOCKED_MS 15
#define SLOW_MS	   200
/* So many at once before the results are delivered, to keep the other side
 * busy. */
#define DIRECT_BATCH 16

static int64_t
coarse_ms(void)
{
	struct timespec ts;

	/* Needs no system call whatever the clock source is. */
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static enum aio_direct
probe_direct(int fd)
{
	struct statfs fs;
	struct iovec iov;
	char c;

	if (fstatfs(fd, &fs) == 0 &&
	    (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC))
		return AIO_DIRECT_ALWAYS;
	iov = (struct iovec){ &c, 1 };
	if (preadv2(fd, &iov, 1, 0, RWF_NOWAIT) >= 0 || errno == EAGAIN)
		return AIO_DIRECT_CACHED;
	return AIO_DIRECT_NEVER;
}

void
aio_init(struct aio *a, const struct aio_engine_ops *ops,
    const struct aio_conf *conf)
{
	unsigned i;

	a->ops = ops;
	a->conf = *conf;
	for (i = 0; i <= conf->nmore; i++) {
		a->fd[i] = i == 0 ? conf->fd : conf->more[i - 1];
		a->direct[i] = probe_direct(a->fd[i]);
	}
	aio_list_init(&a->pending);
	aio_list_init(&a->finished);
}

/* The counters are read and written only when that cannot block. */
static int
set_nonblock(const struct aio_conf *conf)
{
	int fd[4] = { conf->kick, conf->wake, conf->call, conf->timer };
	int i, flags;

	for (i = 0; i < (conf->timed ? 4 : 3); i++) {
		flags = fcntl(fd[i], F_GETFL);
		if (flags == -1 ||
		    fcntl(fd[i], F_SETFL, flags | O_NONBLOCK) == -1)
			return -errno;
	}
	return 0;
}

int
aio_new(struct aio **out, const struct aio_conf *conf)
{
	int error;

	if (conf->nmore >= AIO_FILES_MAX)
		return -EINVAL;
	error = set_nonblock(conf);
	if (error != 0)
		return error;
	if (conf->engine == AIO_THREADS)
		return aio_threads_new(out, conf);
	error = aio_uring_new(out, conf);
	/* Refused by sysctl or a filter, unknown, or too old for our flags. */
	if (error != 0 && conf->engine == AIO_AUTO)
		error = aio_threads_new(out, conf);
	return error;
}

int
aio_bind(struct aio *a)
{
	return a->ops->bind(a);
}

void
aio_free(struct aio *a)
{
	if (a != NULL)
		a->ops->free(a);
}

const char *
aio_name(const struct aio *a)
{
	return a->ops->name;
}

unsigned
aio_inflight(const struct aio *a)
{
	return a->inflight + a->npending + a->nfinished;
}

uint64_t
aio_syscalls(const struct aio *a)
{
	return a->syscalls;
}

int64_t
aio_exec(int fd, const struct aio_req *r, int flags)
{
	int64_t n = -1;

	do {
		switch (r->op) {
		case AIO_READ:
			n = preadv2(
			    fd, r->iov, (int)r->niov, (off_t)r->off, flags);
			break;
		case AIO_WRITE:
			n = pwritev2(fd, r->iov, (int)r->niov, (off_t)r->off,
			    r->durable ? flags | RWF_DSYNC : flags);
			break;
		case AIO_SYNC:
			n = fdatasync(fd);
			break;
		case AIO_PUNCH:
			n = fallocate(fd,
			    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    (off_t)r->off, (off_t)r->len);
			break;
		case AIO_ZERO:
			n = fallocate(fd,
			    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
			    (off_t)r->off, (off_t)r->len);
			break;
		case AIO_NOP:
			n = 0;
			break;
		}
	} while (n == -1 && errno == EINTR);
	return n == -1 ? -errno : n;
}

void
aio_start(struct aio *a, struct aio_req *r)
{
	aio_list_put(&a->pending, r);
	a->npending++;
}

static void
finish(struct aio *a, struct aio_req *r, int64_t res)
{
	r->res = res;
	aio_list_put(&a->finished, r);
	a->nfinished++;
}

void
aio_done(struct aio *a, struct aio_req *r, int64_t res)
{
	a->inflight--;
	finish(a, r, res);
}

/* May r be done at once?  alone: nothing else is queued or in flight. */
static bool
want_direct(const struct aio *a, const struct aio_req *r, bool alone)
{
	enum aio_direct direct = a->direct[r->file];

	switch (r->op) {
	case AIO_READ:
		return direct == AIO_DIRECT_ALWAYS ||
		    (direct == AIO_DIRECT_CACHED && alone);
	case AIO_WRITE:
		if (direct == AIO_DIRECT_ALWAYS)
			return true;
		return !r->durable &&
		    (a->slow_until == 0 || coarse_ms() >= a->slow_until);
	case AIO_SYNC:
		return direct == AIO_DIRECT_ALWAYS;
	case AIO_PUNCH:
	case AIO_ZERO:
		return false; /* freeing pages may take long */
	case AIO_NOP:
		return true;
	}
	return false;
}

/* True when done; false when it would block and the engine must do it. */
static bool
run_direct(struct aio *a, struct aio_req *r)
{
	int flags = 0;
	int64_t res, start = 0, end;
	enum aio_direct direct = a->direct[r->file];
	bool timed = r->op == AIO_WRITE && direct != AIO_DIRECT_ALWAYS;

	if (r->op == AIO_READ && direct == AIO_DIRECT_CACHED)
		flags = RWF_NOWAIT;
	if (timed)
		start = coarse_ms();
	res = aio_exec(a->fd[r->file], r, flags);
	if (r->op != AIO_NOP)
		a->syscalls++;
	if (timed) {
		end = coarse_ms();
		a->slow_until = end - start >= BLOCKED_MS ? end + SLOW_MS : 0;
	}
	/* A short result is delivered: the caller goes on where it ends.  Zero
	 * bytes may mean end of file; let the engine say so. */
	if (flags != 0 && (res == -EAGAIN || res == -EOPNOTSUPP || res == 0))
		return false;
	finish(a, r, res);
	return true;
}

static void
submit(struct aio *a, struct aio_req *r)
{
	a->inflight++;
	a->ops->submit(a, r);
}

/*
 * Look at what was started.  Requests for the engine are submitted before
 * others are done at once, so that they overlap.
 */
static int
dispatch(struct aio *a)
{
	bool alone = a->inflight == 0 && a->npending == 1;
	unsigned submitted = 0, n;
	struct aio_list direct;
	struct aio_req *r;
	int error;

	aio_list_init(&direct);
	while ((r = aio_list_get(&a->pending)) != NULL) {
		if (want_direct(a, r, alone)) {
			aio_list_put(&direct, r);
			continue;
		}
		a->npending--;
		submit(a, r);
		submitted++;
	}
	if (submitted > 0 && direct.head != NULL) {
		error = a->ops->flush(a);
		if (error != 0)
			return error;
	}
	for (n = 0; n < DIRECT_BATCH; n++) {
		r = aio_list_get(&direct);
		if (r == NULL)
			return 0;
		a->npending--;
		if (!run_direct(a, r))
			submit(a, r);
	}
	/* The rest has its turn in the next round. */
	if (direct.head != NULL)
		a->pending = direct;
	return 0;
}

/* done() may start further requests, which are left for the next round. */
static int
deliver(struct aio *a)
{
	struct aio_list l = a->finished;
	struct aio_req *r, *next;

	if (a->nfinished == 0)
		return 0;
	aio_list_init(&a->finished);
	a->nfinished = 0;
	for (r = l.head; r != NULL; r = next) {
		next = r->next;
		r->done(r, r->res);
	}
	return AIO_DONE;
}

int
aio_run(struct aio *a, bool wait)
{
	int events = 0, error = 0;

	/* The other side goes on while we work. */
	if (a->signalled && a->npending > 0)
		error = a->ops->flush(a);
	if (error == 0)
		error = dispatch(a);
	if (error != 0)
		return error;
	if (a->nfinished + a->npending != 0)
		wait = false;
	if (wait || a->inflight > 0)
		events = a->ops->wait(a, wait);
	if (events < 0)
		return events;
	return events | deliver(a);
}

void
aio_signal(struct aio *a)
{
	a->ops->signal(a);
}
