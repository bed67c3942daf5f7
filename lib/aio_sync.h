/* SPDX-License-Identifier: ISC */
#ifndef LIB_AIO_SYNC_H
#define LIB_AIO_SYNC_H

/*
 * An engine without a kernel queue or threads: each operation is a system
 * call of aio_run().  For work that nobody waits for at the same time, such
 * as the last writes of an image that is closed.
 */
#include "aio.h"

/* conf's eventfds, engine and depth are not used.  0 or -errno. */
int aio_sync_new(struct aio **, const struct aio_conf *);

#endif
