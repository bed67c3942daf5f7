/* SPDX-License-Identifier: ISC */
/*
 * Raw images: byte n of the disk is byte n of the file or block device.
 *
 * A range operation is a list of methods, tried in order until one is
 * supported; writing zeroes always is.  The file may shrink or vanish under
 * us: reads and writes through descriptors then fail, they do not fault.
 */
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <linux/fs.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "disk_impl.h"

#define ZERO_PIECE (64 * 1024)
#define ZERO_IOV   8
/* Interrupted operations of one request that are repeated. */
#define TRIES 64

/* Never written: all of it is the kernel's one page of zeroes. */
static const uint8_t zeroes[ZERO_PIECE];

enum method { PUNCH, ZERO, WRITE, FAIL };

static const enum method discard_methods[] = { PUNCH, FAIL };
static const enum method zero_methods[] = { ZERO, WRITE };
static const enum method unmap_methods[] = { PUNCH, ZERO, WRITE };

static void run_method(struct disk_req *);

static int
file_size(int fd, const struct stat *st, uint64_t *size)
{
	if (S_ISREG(st->st_mode))
		*size = (uint64_t)st->st_size;
	else if (!S_ISBLK(st->st_mode))
		return -ENOTBLK;
	else if (ioctl(fd, BLKGETSIZE64, size) == -1)
		return -errno;
	return 0;
}

/* Beyond the end of a file a hole changes nothing, yet tells whether the file
 * system makes any. */
static bool
probe_punch(const struct disk *d, const struct stat *st)
{
	const uint64_t page = 4096;
	uint64_t off = ((uint64_t)st->st_size + page) & ~(page - 1);
	int rc;

	if (d->readonly)
		return false;
	if (S_ISBLK(st->st_mode))
		return true;
	if (off > INT64_MAX - page)
		return false;
	do {
		rc = fallocate(d->fd[0],
		    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
		    (off_t)page);
	} while (rc == -1 && errno == EINTR);
	return rc == 0;
}

static int
raw_open(struct disk *d, struct why *why)
{
	struct stat st;
	uint64_t size;
	int error;

	if (fstat(d->fd[0], &st) == -1)
		return why_set(why, -errno, "cannot look at the image");
	error = file_size(d->fd[0], &st, &size);
	if (error == -ENOTBLK)
		return why_set(
		    why, error, "image is neither a file nor a block device");
	if (error != 0)
		return why_set(why, error, "cannot get the image's size");
	if (size < DISK_SECTOR || size > INT64_MAX)
		return why_set(
		    why, -EINVAL, "image is empty or of an unusable size");
	d->cut = size % DISK_SECTOR;
	d->size = size - d->cut;
	d->block = st.st_blksize >= DISK_SECTOR ? (uint32_t)st.st_blksize
						: DISK_SECTOR;
	d->can_discard = probe_punch(d, &st);
	return 0;
}

/* A block device says that all of it is data. */
static uint64_t
raw_hole(const struct disk *d, uint64_t off)
{
	off_t data = lseek(d->fd[0], (off_t)off, SEEK_DATA);

	if (data == -1)
		return errno == ENXIO ? d->size - off : 0;
	return (uint64_t)data - off;
}

static void
raw_close(struct disk *d)
{
}

static void
finish(struct disk_req *r, int error)
{
	r->done(r, error);
}

static struct disk_req *
owner(struct aio_req *a)
{
	return (struct disk_req *)((char *)a - offsetof(struct disk_req, areq));
}

/* Data: short results are continued. */
static void data_done(struct aio_req *, int64_t);

static void
run_data(struct disk_req *r)
{
	/* After a short result: what is left of one buffer, by itself. */
	if (r->skip > 0)
		r->tail = (struct iovec){
			(char *)r->iov->iov_base + r->skip,
			r->iov->iov_len - r->skip,
		};
	r->areq = (struct aio_req){
		.op = r->op == DISK_READ ? AIO_READ : AIO_WRITE,
		.durable = r->durable,
		.iov = r->skip > 0 ? &r->tail : r->iov,
		.niov = r->skip > 0 ? 1 : r->niov,
		.off = r->off + r->pos,
		.done = data_done,
	};
	aio_start(r->aio, &r->areq);
}

static void
iov_advance(struct disk_req *r, uint64_t n)
{
	n += r->skip;
	while (n > 0 && n >= r->iov->iov_len) {
		n -= r->iov->iov_len;
		r->iov++;
		r->niov--;
	}
	r->skip = (size_t)n;
}

static void
data_done(struct aio_req *a, int64_t res)
{
	struct disk_req *r = owner(a);

	if ((res == -EAGAIN || res == -EINTR) && r->tries++ < TRIES) {
		run_data(r);
		return;
	}
	/* Nothing at all: the image ends before the disk does. */
	if (res <= 0) {
		finish(r, res == 0 ? -EIO : (int)res);
		return;
	}
	r->pos += (uint64_t)res;
	if (r->pos >= r->len) {
		finish(r, 0);
		return;
	}
	iov_advance(r, (uint64_t)res);
	run_data(r);
}

static void
sync_done(struct aio_req *a, int64_t res)
{
	struct disk_req *r = owner(a);

	finish(r, disk_flush_failed(r->disk, res < 0 ? (int)res : 0));
}

static void
run_sync(struct disk_req *r)
{
	r->areq = (struct aio_req){ .op = AIO_SYNC, .done = sync_done };
	aio_start(r->aio, &r->areq);
}

/* A range operation has done its work. */
static void
range_done(struct disk_req *r)
{
	if (r->durable)
		run_sync(r);
	else
		finish(r, 0);
}

static bool
unsupported(int64_t res)
{
	/* EINVAL: a block device whose sectors are larger than ours. */
	return res == -EOPNOTSUPP || res == -ENOSYS || res == -ENOTTY ||
	    res == -EINVAL || res == -ENODEV;
}

static void
method_done(struct aio_req *a, int64_t res)
{
	struct disk_req *r = owner(a);
	struct disk *d = r->disk;

	if ((res == -EINTR || res == -EAGAIN) && r->tries++ < TRIES) {
		run_method(r);
	} else if (a->op == AIO_WRITE) {
		if (res <= 0) {
			finish(r, res == 0 ? -EIO : (int)res);
			return;
		}
		r->pos += (uint64_t)res;
		if (r->pos < r->len)
			run_method(r);
		else
			range_done(r);
	} else if (unsupported(res)) {
		if (res == -EOPNOTSUPP)
			__atomic_store_n(
			    a->op == AIO_PUNCH ? &d->no_punch : &d->no_zero, 1,
			    __ATOMIC_RELAXED);
		r->step++;
		run_method(r);
	} else if (res < 0) {
		finish(r, (int)res);
	} else {
		range_done(r);
	}
}

/* The next piece of zeroes; the vector is shared by all, as none changes. */
static void
zero_piece(struct disk_req *r)
{
#define Z                                             \
	{                                             \
		(void *)(uintptr_t)zeroes, ZERO_PIECE \
	}
	static const struct iovec full[ZERO_IOV] = { Z, Z, Z, Z, Z, Z, Z, Z };
#undef Z
	uint64_t left = r->len - r->pos;

	r->areq.op = AIO_WRITE;
	if (left >= ZERO_PIECE) {
		r->areq.iov = full;
		r->areq.niov = left / ZERO_PIECE < ZERO_IOV
		    ? (unsigned)(left / ZERO_PIECE)
		    : ZERO_IOV;
	} else {
		r->tail = full[0];
		r->tail.iov_len = left;
		r->areq.iov = &r->tail;
		r->areq.niov = 1;
	}
	r->areq.off = r->off + r->pos;
}

static enum method
method(const struct disk_req *r)
{
	if (r->op == DISK_DISCARD)
		return discard_methods[r->step];
	if (r->op == DISK_ZERO)
		return zero_methods[r->step];
	return unmap_methods[r->step];
}

static void
run_method(struct disk_req *r)
{
	struct disk *d = r->disk;

	r->areq = (struct aio_req){
		.off = r->off,
		.len = r->len,
		.done = method_done,
	};
	if (method(r) == PUNCH &&
	    __atomic_load_n(&d->no_punch, __ATOMIC_RELAXED))
		r->step++;
	if (method(r) == ZERO && __atomic_load_n(&d->no_zero, __ATOMIC_RELAXED))
		r->step++;
	switch (method(r)) {
	case PUNCH:
		r->areq.op = AIO_PUNCH;
		break;
	case ZERO:
		r->areq.op = AIO_ZERO;
		break;
	case WRITE:
		zero_piece(r);
		break;
	case FAIL:
		finish(r, -EOPNOTSUPP);
		return;
	}
	aio_start(r->aio, &r->areq);
}

static int
raw_start(struct disk_req *r)
{
	struct disk *d = r->disk;

	switch (r->op) {
	case DISK_READ:
	case DISK_WRITE:
		run_data(r);
		return 0;
	case DISK_FLUSH:
		run_sync(r);
		return 0;
	case DISK_DISCARD:
		if (__atomic_load_n(&d->no_punch, __ATOMIC_RELAXED))
			return -EOPNOTSUPP;
		run_method(r);
		return 0;
	case DISK_ZERO:
	case DISK_ZERO_UNMAP:
		run_method(r);
		return 0;
	}
	return -EINVAL;
}

const struct disk_ops disk_raw = {
	.name = "raw",
	.open = raw_open,
	.start = raw_start,
	.hole = raw_hole,
	.close = raw_close,
};
