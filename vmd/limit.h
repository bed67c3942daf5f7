/* SPDX-License-Identifier: ISC */
#ifndef VMD_LIMIT_H
#define VMD_LIMIT_H

/*
 * Limits of a device, for all its queues together: a token bucket each for
 * requests and for bytes.  A bucket is kept as the time at which it will be
 * full.  A request that is larger than a bucket takes all of it and is paid
 * for afterwards.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "vmconf.h"

struct limit_bucket {
	uint64_t rate; /* 0: no limit */
	uint64_t span; /* ns from empty to full */
	uint64_t full; /* (m) when, ns */
};

struct limit {
	bool any;
	pthread_mutex_t mtx; /* (m) */
	struct limit_bucket requests, bytes;
};

void limit_init(struct limit *, const struct vm_limit *requests,
    const struct vm_limit *bytes);
/* 0: taken.  Otherwise so many ns are to pass before it is asked again. */
uint64_t
limit_take(struct limit *, uint64_t requests, uint64_t bytes, uint64_t now);

#endif
