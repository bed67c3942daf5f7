/* SPDX-License-Identifier: ISC */
#ifndef LIB_QCOW2_SNAP_H
#define LIB_QCOW2_SNAP_H

/*
 * Internal snapshots of qcow2 images: "qcow2 Image File Format", "Snapshots".
 * For images that nobody else uses: see disk_store() for those of a guest.
 *
 * A change has two phases, so that those of several images are made together
 * or not at all: what can fail is done first, and the change itself is one
 * write of 12 bytes into the header's first sector.
 *
 * Invariants, for a crash at any point
 *  1. The disk, and every snapshot that the header knows, reads as it did.
 *  2. No refcount is too small, no COPIED flag is set where a cluster is
 *     shared.  What is too large is put right when a version 3 image is next
 *     opened to be written, for it is marked dirty meanwhile; of version 2
 *     these are clusters that leak.
 */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "qcow2.h"

#define QCOW2_SNAP_TEXT 255 /* bytes; longer ones are shown cut */

struct qcow2_snap_info {
	char id[QCOW2_SNAP_TEXT + 1], name[QCOW2_SNAP_TEXT + 1];
	uint32_t sec, nsec; /* when it was made */
	uint64_t state_size; /* of a VM state in the image, of others' making */
	uint64_t disk_size; /* bytes */
};

/* In the order of the image: 0, -errno with *why, or what each() returned if
 * that was not 0. */
int qcow2_snap_list(int fd, const struct qcow2_header *,
    int (*each)(void *, const struct qcow2_snap_info *), void *, struct why *);

/* May a snapshot be made with that name? */
bool qcow2_snap_name_ok(const char *);

enum qcow2_snap_op {
	QCOW2_SNAP_CREATE,
	QCOW2_SNAP_DELETE,
	QCOW2_SNAP_REVERT, /* the disk becomes what it was */
};

struct qcow2_snap;

/*
 * Snapshots are found by name, or else by id.  0: the image reads as before,
 * and commit or abort follows.  -errno, with *why: so it does, nothing does:
 * -EEXIST (CREATE), -ENOENT (the others), -ENOSPC and so on.
 */
int qcow2_snap_prepare(struct qcow2_snap **, int fd, enum qcow2_snap_op,
    const char *tag, struct timespec now, struct why *);
/* 0: it is so, for good.  -errno, with *why: it is as before, unless the error
 * is one of the file itself. */
int qcow2_snap_commit(struct qcow2_snap *, struct why *);
void qcow2_snap_abort(struct qcow2_snap *);

#endif
