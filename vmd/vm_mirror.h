/* SPDX-License-Identifier: ISC */
#ifndef VMD_VM_MIRROR_H
#define VMD_VM_MIRROR_H

/*
 * The vm process between the processes of its disks and a stream: mirror.h.
 * Disks that are read-only are not copied.  Main thread.
 */
#include <stdbool.h>
#include <stdint.h>
#include "mirror.h"

struct state;
struct vm;
struct vm_dev;

/* ---- of a guest that is sent ---- */

struct vm_mirror;

/* Writes "disks".  news: look again, vm_mirror_more().  0 or -errno. */
int vm_mirror_begin(struct vm_mirror **, struct vm *, struct state *to,
    void (*news)(void *arg), void *arg);
/* Tells its processes; NULL is fine. */
void vm_mirror_end(struct vm_mirror *);
/* Over all disks once more. */
void vm_mirror_pass(struct vm_mirror *);
/* Asks for pieces, which become sections as they come: true when the pass is
 * over, or failed. */
bool vm_mirror_more(struct vm_mirror *);
/* 0, or -errno and one line. */
int vm_mirror_failed(const struct vm_mirror *, const char **why);
/* Bytes that were left as the pass was over. */
uint64_t vm_mirror_left(const struct vm_mirror *);

/* ---- of one that is received ---- */

struct vm_copy {
	struct mirror_to *to;
	uint32_t tag;
	unsigned asked[VM_DISKS_MAX]; /* without an answer */
	uint64_t unflushed[VM_DISKS_MAX]; /* bytes */
	int error[VM_DISKS_MAX]; /* the first one; -errno */
};

/* Who takes sections, until vm->copy is NULL again. */
void vm_copy_init(struct mirror_to *, struct vm *, struct vm_copy *);
/* All that was put is on stable storage.  0, or -errno with a line in why. */
int vm_copy_finish(struct mirror_to *, char why[MIRROR_WHY_MAX]);

/* struct virtio_chan_conf's. */
void vm_mirrored(void *dev, const struct mirror_msg *);

#endif
