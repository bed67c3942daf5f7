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
/* Duplicates of the descriptors, to unlock the images.  0 or -errno. */
int chain_dup(struct chain *to, const struct chain *);
void chain_release(struct chain *); /* image_release() */

#endif
