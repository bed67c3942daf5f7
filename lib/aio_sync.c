/* SPDX-License-Identifier: ISC */
/*
 * The synchronous engine: see aio_sync.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "aio_impl.h"
#include "aio_sync.h"

static void
sync_submit(struct aio *a, struct aio_req *r)
{
	a->syscalls++;
	aio_done(a, r, aio_exec(a->fd[r->file], r, 0));
}

/* There is nothing to hand over and nobody to be told. */
static int
sync_nothing(struct aio *a)
{
	return 0;
}

static void
sync_signal(struct aio *a)
{
}

static int
sync_wait(struct aio *a, bool wait)
{
	return 0;
}

static void
sync_free(struct aio *a)
{
	free(a);
}

static const struct aio_engine_ops sync_ops = {
	.name = "sync",
	.bind = sync_nothing,
	.free = sync_free,
	.submit = sync_submit,
	.flush = sync_nothing,
	.signal = sync_signal,
	.wait = sync_wait,
};

int
aio_sync_new(struct aio **out, const struct aio_conf *conf)
{
	struct aio *a;

	if (conf->nmore >= AIO_FILES_MAX)
		return -EINVAL;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return -ENOMEM;
	aio_init(a, &sync_ops, conf);
	*out = a;
	return 0;
}
