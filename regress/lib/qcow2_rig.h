/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_QCOW2_RIG_H
#define REGRESS_QCOW2_RIG_H

/*
 * Disks over an engine that finishes operations in random order, one at a
 * time, and tells a test what it does; images are made and judged by
 * qemu-img.
 */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aio_impl.h"
#include "disk.h"

#define RIG_OPS 1024

struct rig {
	struct aio a; /* first */
	struct aio_req *op[RIG_OPS];
	unsigned n;
	uint64_t rng;
	struct disk *d;
	/* Called before an operation happens; false: it fails with EIO. */
	bool (*before)(struct rig *, const struct aio_req *);
	void *arg;
};

static inline uint64_t
rig_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static void
rig_submit(struct aio *a, struct aio_req *r)
{
	struct rig *g = (struct rig *)a;

	assert_true(g->n < RIG_OPS);
	g->op[g->n++] = r;
}

static int
rig_nothing(struct aio *a)
{
	return 0;
}

static void
rig_signal(struct aio *a)
{
}

static int
rig_wait(struct aio *a, bool wait)
{
	struct rig *g = (struct rig *)a;
	struct aio_req *r;
	unsigned i;
	int64_t res = -EIO;

	if (g->n == 0)
		return 0;
	i = (unsigned)(rig_random(&g->rng) % g->n);
	r = g->op[i];
	g->op[i] = g->op[--g->n];
	if (g->before == NULL || g->before(g, r))
		res = aio_exec(a->fd[r->file], r, 0);
	aio_done(a, r, res);
	return 0;
}

static void
rig_free(struct aio *a)
{
}

static const struct aio_engine_ops rig_ops = {
	.name = "rig",
	.bind = rig_nothing,
	.free = rig_free,
	.submit = rig_submit,
	.flush = rig_nothing,
	.signal = rig_signal,
	.wait = rig_wait,
};

static void
rig_attach(struct rig *g, struct disk *d, uint64_t seed)
{
	struct aio_conf conf = { 0 };
	unsigned i;

	memset(g, 0, sizeof(*g));
	disk_aio(d, &conf);
	aio_init(&g->a, &rig_ops, &conf);
	for (i = 0; i < AIO_FILES_MAX; i++)
		g->a.direct[i] = AIO_DIRECT_NEVER;
	g->a.slow_until = INT64_MAX;
	g->rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	g->d = d;
}

/* One request at a time. */
struct rig_req {
	struct disk_req r;
	bool done;
	int error;
	struct iovec iov;
};

static void
rig_done(struct disk_req *r, int error)
{
	struct rig_req *q = (struct rig_req *)r;

	assert_false(q->done);
	q->done = true;
	q->error = error;
}

static inline int
rig_do(struct rig *g, enum disk_op op, void *buf, uint64_t off, uint64_t len)
{
	struct rig_req q = { .iov = { buf, len } };
	int error;

	q.r.op = op;
	q.r.iov = &q.iov;
	q.r.niov = 1;
	q.r.off = off;
	q.r.len = len;
	q.r.done = rig_done;
	error = disk_start(g->d, &g->a, &q.r);
	if (error != 0)
		return error;
	while (!q.done)
		aio_run(&g->a, false);
	return q.error;
}

static inline void
rig_settle(struct rig *g)
{
	while (aio_inflight(&g->a) > 0)
		aio_run(&g->a, false);
}

/* The format's own operations have to end first. */
static inline void
rig_close(struct rig *g)
{
	rig_settle(g);
	disk_close(g->d);
}

/* The exit status of a shell command. */
static int __attribute__((format(printf, 1, 2))) rig_sh(const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;
	int rc;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	rc = system(cmd);
	return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

/* A directory, in memory if there is such a file system; dir: 32 bytes. */
static inline int
rig_mkdir(char *dir)
{
	strcpy(dir,
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm/vmmq.XXXXXX"
					  : "/tmp/vmmq.XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static inline int
rig_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd == -1)
		fail_msg("%s: %s", path, strerror(errno));
	return fd;
}

#endif
