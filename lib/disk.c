/* SPDX-License-Identifier: ISC */
/*
 * Virtual disks: see disk.h.  The common part: checks, then the format.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk_impl.h"

static const struct disk_ops *const formats[] = {
	[VM_DISK_RAW] = &disk_raw,
};

int
disk_open(struct disk **out, enum vm_diskfmt fmt, int fd, bool readonly)
{
	struct disk *d;
	int error;

	if ((unsigned)fmt >= sizeof(formats) / sizeof(formats[0])) {
		close(fd);
		return -EINVAL;
	}
	d = calloc(1, sizeof(*d));
	if (d == NULL) {
		close(fd);
		return -ENOMEM;
	}
	d->ops = formats[fmt];
	d->fd = fd;
	d->readonly = readonly;
	error = d->ops->open(d);
	if (error != 0) {
		close(fd);
		free(d);
		return error;
	}
	*out = d;
	return 0;
}

void
disk_close(struct disk *d)
{
	if (d == NULL)
		return;
	d->ops->close(d);
	close(d->fd);
	free(d);
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

int
disk_fd(const struct disk *d)
{
	return d->fd;
}

int
disk_start(struct disk *d, struct aio *a, struct disk_req *r)
{
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
	r->step = r->tries = 0;
	return d->ops->start(r);
}
