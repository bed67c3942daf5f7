/* SPDX-License-Identifier: ISC */
/*
 * Virtual disks: see disk.h.  The common part: checks, then the format.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk_impl.h"

static const struct disk_ops *const formats[] = {
	[VM_DISK_RAW] = &disk_raw,
	[VM_DISK_QCOW2] = &disk_qcow2,
};

#define NFORMATS (sizeof(formats) / sizeof(formats[0]))

static void
close_all(struct disk *d)
{
	unsigned i;

	for (i = 0; i < d->nlayers; i++)
		close(d->fd[i]);
	free(d);
}

static bool
layers_ok(const struct disk_layer *l, unsigned n)
{
	unsigned i;

	/* A raw image is not based on anything. */
	for (i = 0; i < n; i++)
		if ((unsigned)l[i].format >= NFORMATS ||
		    (l[i].format == VM_DISK_RAW && i + 1 < n))
			return false;
	return n > 0;
}

int
disk_open_later(struct disk **out, const struct disk_layer *l, unsigned n,
    bool readonly, struct why *why)
{
	struct disk *d = NULL;
	int error = -EINVAL;
	unsigned i;

	if (n > DISK_LAYERS_MAX || !layers_ok(l, n))
		why_set(why, error, "not a chain of images");
	else if ((d = calloc(1, sizeof(*d))) == NULL)
		error = why_set(why, -ENOMEM, "out of memory");
	if (d == NULL) {
		for (i = 0; i < n; i++)
			close(l[i].fd);
		return error;
	}
	d->ops = formats[l[0].format];
	d->nlayers = n;
	for (i = 0; i < n; i++) {
		d->layer[i] = l[i];
		d->fd[i] = l[i].fd;
	}
	d->readonly = readonly;
	d->threads = UINT_MAX;
	if ((error = d->ops->open(d, why)) != 0) {
		close_all(d);
		return error;
	}
	*out = d;
	return 0;
}

int
disk_load(struct disk *d, struct why *why)
{
	int error = 0;

	if (d->loaded)
		return 0;
	disk_snap_abort(d);
	if (d->ops->load != NULL)
		error = d->ops->load(d, why);
	d->loaded = error == 0;
	return error;
}

int
disk_store(struct disk *d)
{
	int error = 0;

	if (!d->loaded || d->ops->store == NULL)
		return 0;
	error = d->ops->store(d);
	d->loaded = error != 0;
	return error;
}

int
disk_snap_prepare(struct disk *d, enum qcow2_snap_op op, const char *tag,
    struct timespec now, struct why *why)
{
	if (d->ops != &disk_qcow2)
		return why_set(why,
		    op == QCOW2_SNAP_DELETE ? -ENOENT : -ENOTSUP,
		    "a %s image has no snapshots", d->ops->name);
	if (d->readonly)
		return why_set(why, -EROFS, "image can only be read");
	if (d->loaded || d->snap != NULL)
		return why_set(why, -EBUSY, "image is in use");
	return qcow2_snap_prepare(&d->snap, d->fd[0], op, tag, now, why);
}

int
disk_snap_commit(struct disk *d, struct why *why)
{
	struct qcow2_snap *s = d->snap;

	if (s == NULL)
		return why_set(why, -EINVAL, "nothing was prepared");
	d->snap = NULL;
	return qcow2_snap_commit(s, why);
}

void
disk_snap_abort(struct disk *d)
{
	if (d->snap != NULL)
		qcow2_snap_abort(d->snap);
	d->snap = NULL;
}

int
disk_open_chain(struct disk **out, const struct disk_layer *l, unsigned n,
    bool readonly, struct why *why)
{
	struct disk *d;
	int error = disk_open_later(&d, l, n, readonly, why);

	if (error != 0)
		return error;
	if ((error = disk_load(d, why)) != 0)
		disk_close(d);
	else
		*out = d;
	return error;
}

int
disk_open(struct disk **out, enum vm_diskfmt fmt, int fd, bool readonly)
{
	struct disk_layer layer = { fd, fmt };

	return disk_open_chain(out, &layer, 1, readonly, NULL);
}

void
disk_close(struct disk *d)
{
	if (d == NULL)
		return;
	disk_snap_abort(d);
	d->ops->close(d);
	close_all(d);
}

uint64_t
disk_size(const struct disk *d)
{
	return d->size;
}

unsigned
disk_cut(const struct disk *d)
{
	return d->cut;
}

uint32_t
disk_block(const struct disk *d)
{
	return d->block;
}

bool
disk_can_discard(const struct disk *d)
{
	return d->can_discard;
}

void
disk_aio(const struct disk *d, struct aio_conf *c)
{
	c->fd = d->fd[0];
	c->more = d->fd + 1;
	c->nmore = d->nlayers - 1;
	c->readonly = d->readonly;
}

uint64_t
disk_hole(const struct disk *d, uint64_t off)
{
	uint64_t n;

	if ((!d->loaded && d->ops->load != NULL) || off >= d->size)
		return 0;
	n = d->ops->hole(d, off);
	return n < d->size - off ? n : d->size - off;
}

unsigned
disk_threads(const struct disk *d)
{
	return d->threads;
}

unsigned
disk_depth(const struct disk *d, unsigned requests)
{
	return requests + d->extra;
}

/* The kernel reports a lost write to one caller only. */
int
disk_flush_failed(struct disk *d, int error)
{
	int old = 0;

	if (error != 0)
		__atomic_compare_exchange_n(&d->flush_error, &old, error, false,
		    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return __atomic_load_n(&d->flush_error, __ATOMIC_RELAXED);
}

int
disk_start(struct disk *d, struct aio *a, struct disk_req *r)
{
	if (!d->loaded && d->ops->load != NULL)
		return -EIO;
	/* An empty range has no end that could be reached. */
	if (r->op != DISK_FLUSH && r->len == 0)
		return -EINVAL;
	if (r->op != DISK_FLUSH &&
	    (r->off > d->size || r->len > d->size - r->off))
		return -EINVAL;
	if (r->op != DISK_FLUSH && r->op != DISK_READ && d->readonly)
		return -EROFS;
	r->disk = d;
	r->aio = a;
	r->pos = 0;
	r->skip = 0;
	r->step = r->tries = 0;
	return d->ops->start(r);
}
