/* SPDX-License-Identifier: ISC */
/*
 * Raw disks over a file system that is made to behave badly: short and
 * interrupted results, operations it does not know, writes it loses.  The
 * thread engine makes plain system calls, which this file intercepts.
 */
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"

#define SIZE (2 << 20)

/* How the file system behaves. */
static struct {
	_Atomic unsigned chunk; /* bytes at most in one result */
	_Atomic unsigned interrupts; /* this many calls fail with EAGAIN */
	_Atomic int sync_error, punch_error, zero_error;
	_Atomic unsigned syncs, punches, zeroings, writes;
} fs;

static ssize_t
some(long nr, int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	struct iovec one = iov[0];

	if (fs.interrupts > 0) {
		fs.interrupts--;
		errno = EAGAIN;
		return -1;
	}
	if (fs.chunk == 0)
		return syscall(nr, fd, iov, n, (long)off, 0L, flags);
	if (one.iov_len > fs.chunk)
		one.iov_len = fs.chunk;
	return syscall(nr, fd, &one, 1, (long)off, 0L, flags);
}

ssize_t
preadv2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	return some(SYS_preadv2, fd, iov, n, off, flags);
}

ssize_t
pwritev2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	fs.writes++;
	return some(SYS_pwritev2, fd, iov, n, off, flags);
}

int
fdatasync(int fd)
{
	fs.syncs++;
	errno = fs.sync_error;
	return fs.sync_error != 0 ? -1 : 0;
}

int
fallocate(int fd, int mode, off_t off, off_t len)
{
	int error = 0;

	if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
		fs.punches++;
		error = fs.punch_error;
	} else if ((mode & FALLOC_FL_ZERO_RANGE) != 0) {
		fs.zeroings++;
		error = fs.zero_error;
	}
	if (error != 0) {
		errno = error;
		return -1;
	}
	/* A file in memory cannot zero a range: punching looks the same. */
	return (int)syscall(SYS_fallocate, fd,
	    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (long)off, (long)len);
}

struct env {
	struct disk *d;
	struct aio *a;
	int fd, ev[3];
	uint8_t *model;
};

static void
open_env(struct env *e, bool readonly)
{
	struct aio_conf c = { .engine = AIO_THREADS, .depth = 16 };
	unsigned i;

	memset(&fs, 0, sizeof(fs));
	e->fd = memfd_create("disk", MFD_CLOEXEC);
	assert_true(e->fd >= 0);
	e->model = malloc(SIZE);
	for (i = 0; i < SIZE; i++)
		e->model[i] = (uint8_t)(i * 7 + i / 512);
	assert_int_equal(pwrite(e->fd, e->model, SIZE, 0), SIZE);
	assert_int_equal(
	    disk_open(&e->d, VM_DISK_RAW, dup(e->fd), readonly), 0);
	for (i = 0; i < 3; i++)
		e->ev[i] = eventfd(0, 0);
	disk_aio(e->d, &c);
	c.kick = e->ev[0];
	c.wake = e->ev[1];
	c.call = e->ev[2];
	assert_int_equal(aio_new(&e->a, &c), 0);
	assert_int_equal(aio_bind(e->a), 0);
	fs.punches = 0;
}

static void
close_env(struct env *e)
{
	uint8_t *image = malloc(SIZE);
	unsigned i;

	assert_int_equal(pread(e->fd, image, SIZE, 0), SIZE);
	assert_memory_equal(image, e->model, SIZE);
	aio_free(e->a);
	disk_close(e->d);
	for (i = 0; i < 3; i++)
		close(e->ev[i]);
	close(e->fd);
	free(e->model);
	free(image);
}

struct req {
	struct disk_req r;
	struct iovec iov[4];
	int ndone, error;
};

static void
on_done(struct disk_req *r, int error)
{
	struct req *q = (struct req *)r;

	q->ndone++;
	q->error = error;
}

/* The result, or what disk_start() refused with plus 10000. */
static int
run(struct env *e, struct req *q, enum disk_op op, uint64_t off, uint64_t len)
{
	int error;

	q->r.op = op;
	q->r.off = off;
	q->r.len = len;
	q->r.done = on_done;
	q->ndone = 0;
	error = disk_start(e->d, e->a, &q->r);
	if (error != 0)
		return error + 10000;
	assert_int_equal(q->ndone, 0);
	while (q->ndone == 0)
		assert_true(aio_run(e->a, true) >= 0);
	assert_int_equal(aio_inflight(e->a), 0);
	return q->error;
}

static int
simple(struct env *e, enum disk_op op, uint64_t off, uint64_t len)
{
	struct req q = { 0 };

	return run(e, &q, op, off, len);
}

static void
set_iov(struct req *q, uint8_t *p, size_t a, size_t b, size_t c)
{
	*q = (struct req){ 0 };
	q->iov[0] = (struct iovec){ p, a };
	q->iov[1] = (struct iovec){ p + a, b };
	q->iov[2] = (struct iovec){ p + a + b, c };
	q->r.iov = q->iov;
	q->r.niov = 3;
}

static void
test_short(void **state)
{
	static const unsigned chunks[] = { 1, 511, 512, 513, 700, 4096 };
	uint8_t buf[2048];
	struct req q;
	struct env e;
	unsigned i;

	open_env(&e, false);
	for (i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		fs.chunk = chunks[i];
		memset(buf, 0, sizeof(buf));
		set_iov(&q, buf, 13, 1000, 1035);
		assert_int_equal(run(&e, &q, DISK_READ, 4096, 2048), 0);
		assert_memory_equal(buf, e.model + 4096, 2048);
		memset(buf, (int)i + 1, sizeof(buf));
		memset(e.model + i * 8192, (int)i + 1, 2048);
		set_iov(&q, buf, 1000, 1, 1047);
		assert_int_equal(run(&e, &q, DISK_WRITE, i * 8192, 2048), 0);
	}
	fs.chunk = 0;
	close_env(&e);
}

static void
test_interrupted(void **state)
{
	uint8_t buf[2048];
	struct req q;
	struct env e;

	open_env(&e, false);
	fs.interrupts = 10;
	set_iov(&q, buf, 13, 1000, 1035);
	assert_int_equal(run(&e, &q, DISK_READ, 4096, 2048), 0);
	assert_memory_equal(buf, e.model + 4096, 2048);
	/* Not for ever. */
	fs.interrupts = 100000;
	set_iov(&q, buf, 13, 1000, 1035);
	assert_int_equal(run(&e, &q, DISK_READ, 4096, 2048), -EAGAIN);
	fs.interrupts = 0;
	close_env(&e);
}

static void
test_checks(void **state)
{
	static const struct {
		uint64_t off, len;
		int result;
	} rows[] = {
		{ 0, SIZE, 0 },
		{ SIZE - 512, 512, 0 },
		{ SIZE, 512, 10000 - EINVAL },
		{ SIZE - 512, 1024, 10000 - EINVAL },
		{ 512, SIZE, 10000 - EINVAL },
		{ 0, 0, 10000 - EINVAL },
		{ UINT64_MAX, 1, 10000 - EINVAL },
		{ 512, UINT64_MAX, 10000 - EINVAL },
		{ UINT64_MAX - 511, 1024, 10000 - EINVAL },
	};
	struct env e;
	unsigned i;

	open_env(&e, false);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (simple(&e, DISK_ZERO, rows[i].off, rows[i].len) !=
		    rows[i].result)
			fail_msg("row %u", i);
		if (rows[i].result == 0)
			memset(e.model + rows[i].off, 0, rows[i].len);
	}
	close_env(&e);
	open_env(&e, true);
	assert_false(disk_can_discard(e.d));
	assert_int_equal(simple(&e, DISK_ZERO, 0, 512), 10000 - EROFS);
	assert_int_equal(simple(&e, DISK_DISCARD, 0, 512), 10000 - EROFS);
	assert_int_equal(simple(&e, DISK_WRITE, 0, 512), 10000 - EROFS);
	assert_int_equal(simple(&e, DISK_FLUSH, 0, 0), 0);
	close_env(&e);
}

/* Which system calls an operation comes down to. */
struct method_row {
	const char *name;
	enum disk_op op;
	int punch_error, zero_error;
	int result;
	unsigned punches, zeroings;
	bool writes;
};

static const struct method_row method_rows[] = {
	{ "discard", DISK_DISCARD, 0, 0, 0, 1, 0, false },
	{ "discard fails", DISK_DISCARD, EIO, 0, -EIO, 1, 0, false },
	{ "discard cannot", DISK_DISCARD, EOPNOTSUPP, 0, -EOPNOTSUPP, 1, 0,
	    false },
	{ "unmap", DISK_ZERO_UNMAP, 0, 0, 0, 1, 0, false },
	{ "unmap by zeroing", DISK_ZERO_UNMAP, EOPNOTSUPP, 0, 0, 1, 1, false },
	{ "unmap by writing", DISK_ZERO_UNMAP, EOPNOTSUPP, EOPNOTSUPP, 0, 1, 1,
	    true },
	{ "unmap fails", DISK_ZERO_UNMAP, ENOSPC, 0, -ENOSPC, 1, 0, false },
	{ "zero", DISK_ZERO, 0, 0, 0, 0, 1, false },
	{ "zero by writing", DISK_ZERO, 0, EOPNOTSUPP, 0, 0, 1, true },
	{ "zero, large sectors", DISK_ZERO, 0, EINVAL, 0, 0, 1, true },
	{ "zero fails", DISK_ZERO, 0, EIO, -EIO, 0, 1, false },
};

static void
test_methods(void **state)
{
	const struct method_row *r;
	struct env e;
	unsigned i;

	for (i = 0; i < sizeof(method_rows) / sizeof(method_rows[0]); i++) {
		r = &method_rows[i];
		open_env(&e, false);
		fs.punch_error = r->punch_error;
		fs.zero_error = r->zero_error;
		if (simple(&e, r->op, 512, 3 * 512) != r->result ||
		    fs.punches != r->punches || fs.zeroings != r->zeroings ||
		    (fs.writes != 0) != r->writes)
			fail_msg("%s: %u %u %u", r->name, fs.punches,
			    fs.zeroings, fs.writes);
		if (r->result == 0)
			memset(e.model + 512, 0, 3 * 512);
		/* What is not supported is not tried again. */
		if (r->writes && r->zero_error == EOPNOTSUPP) {
			assert_int_equal(simple(&e, r->op, 0, 512), 0);
			assert_int_equal(fs.punches, r->punches);
			assert_int_equal(fs.zeroings, r->zeroings);
			memset(e.model, 0, 512);
		}
		if (r->op == DISK_DISCARD && r->result == -EOPNOTSUPP)
			assert_int_equal(
			    simple(&e, r->op, 0, 512), 10000 - EOPNOTSUPP);
		close_env(&e);
	}
}

/* More zeroes than fit one write, in results of odd sizes. */
static void
test_fill(void **state)
{
	static const uint64_t lens[] = { 512, 65536, 65536 + 512, 8 * 65536,
		8 * 65536 + 512, 1300 * 512 };
	struct env e;
	unsigned i, chunk;

	for (chunk = 0; chunk < 2; chunk++) {
		open_env(&e, false);
		fs.zero_error = EOPNOTSUPP;
		fs.chunk = chunk == 0 ? 0 : 30001;
		for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
			memset(e.model + 1024 * i, 0, lens[i]);
			assert_int_equal(
			    simple(&e, DISK_ZERO, 1024 * i, lens[i]), 0);
		}
		close_env(&e);
	}
}

/* After one failed flush nothing is known to be durable any more. */
static void
test_flush(void **state)
{
	struct env e;

	open_env(&e, false);
	assert_int_equal(simple(&e, DISK_FLUSH, 0, 0), 0);
	assert_int_equal(fs.syncs, 1);
	fs.sync_error = EIO;
	assert_int_equal(simple(&e, DISK_FLUSH, 0, 0), -EIO);
	fs.sync_error = 0;
	assert_int_equal(simple(&e, DISK_FLUSH, 0, 0), -EIO);
	close_env(&e);
}

/* Write-through: zeroing is followed by a sync. */
static void
test_durable(void **state)
{
	struct req q = { 0 };
	struct env e;

	open_env(&e, false);
	q.r.durable = true;
	assert_int_equal(run(&e, &q, DISK_ZERO, 0, 4096), 0);
	assert_int_equal(fs.syncs, 1);
	memset(e.model, 0, 4096);
	close_env(&e);
}

static void
test_open(void **state)
{
	struct disk *d = NULL;
	int fd;

	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(disk_open(&d, VM_DISK_RAW, fd, false), -ENOTBLK);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	fd = memfd_create("x", MFD_CLOEXEC);
	assert_int_equal(disk_open(&d, VM_DISK_RAW, dup(fd), false), -EINVAL);
	assert_int_equal(ftruncate(fd, 1025), 0);
	assert_int_equal(
	    disk_open(&d, (enum vm_diskfmt)77, dup(fd), false), -EINVAL);
	assert_int_equal(disk_open(&d, VM_DISK_RAW, fd, false), 0);
	assert_int_equal(disk_size(d), 1024);
	assert_int_equal(disk_cut(d), 1);
	disk_close(d);
}

static void
test_hole(void **state)
{
	static const struct {
		uint64_t off, want;
	} rows[] = {
		{ 0, 65536 },
		{ 4096, 61440 },
		{ 65536, 0 },
		{ 65536 + 4095, 0 },
		{ 65536 + 4096, 983040 - 4096 + 1024 },
		{ 1048576, 1024 },
		{ 1048576 + 1024, 0 },
		{ UINT64_MAX, 0 },
	};
	struct disk *d;
	size_t i;
	int fd = memfd_create("x", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, 1048576 + 1024), 0);
	assert_int_equal(pwrite(fd, "x", 1, 65536), 1);
	assert_int_equal(disk_open(&d, VM_DISK_RAW, fd, false), 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(disk_hole(d, rows[i].off), rows[i].want);
	disk_close(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_flush),
		cmocka_unit_test(test_durable),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
