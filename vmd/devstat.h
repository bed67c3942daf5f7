/* SPDX-License-Identifier: ISC */
#ifndef VMD_DEVSTAT_H
#define VMD_DEVSTAT_H

/*
 * Counters of a device, in a page (lib/page.h) that the device process writes
 * and the parent reads.  Each queue's thread writes a slot of its own, each
 * counter by one store; the parent adds them up.  They start from zero with
 * the process.
 */
#include <assert.h>
#include <stdint.h>
#include "ctl.h"
#include "page.h"
#include "virtio_pci.h"

struct devstat {
	struct ctl_counters n;
} __attribute__((aligned(64)));

struct devstat_page {
	struct devstat queue[VIRTIO_QUEUES_MAX];
};
static_assert(sizeof(struct devstat_page) <= PAGE_BYTES, "one page");

/* One store each. */
void devstat_put(struct devstat *, const struct ctl_counters *);
/* The sum over the queues; page NULL: zeroes. */
void devstat_sum(const struct devstat_page *, struct ctl_counters *);

#endif
