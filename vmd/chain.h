/* SPDX-License-Identifier: ISC */
#ifndef VMD_CHAIN_H
#define VMD_CHAIN_H

/*
 * A disk's image and those that it is based on: opened by the parent, the
 * first to be written, the others to be read, all of them locked.
 */
#include "disk.h"
#include "fail.h"

struct chain {
	unsigned n; /* 0: not opened */
	struct disk_layer layer[DISK_LAYERS_MAX];
};

void chain_close(struct chain *);
/* 0, or negative with *why filled and nothing left open. */
int chain_open(struct chain *, const struct vm_diskconf *, struct fail *why);
/* For a VM that is received: the disk's own image is not locked yet. */
int
chain_open_free(struct chain *, const struct vm_diskconf *, struct fail *why);
/* The disk's own image alone.  The same; *format says what it is. */
int chain_open_own(
    struct disk_layer *, const struct vm_diskconf *, struct fail *why);
/* Locks those of a VM that runs, or lets go of them.  0 or -errno. */
int chain_lock(const struct chain *, bool readonly, bool on);
/* Duplicates of the descriptors, to unlock the images.  0 or -errno. */
int chain_dup(struct chain *to, const struct chain *);
void chain_release(struct chain *); /* image_release() */

#endif
