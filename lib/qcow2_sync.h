/* SPDX-License-Identifier: ISC */
#ifndef LIB_QCOW2_SYNC_H
#define LIB_QCOW2_SYNC_H

/*
 * Plain reads and writes of images that nobody else uses: when they are
 * opened, made, checked.  All or nothing: 0 or -errno.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "qcow2.h"

int qcow2_read_at(int fd, void *, size_t, uint64_t off); /* -EIO: too short */
int qcow2_write_at(int fd, const void *, size_t, uint64_t off);

/* One row of the snapshot table. */
struct qcow2_snapshot {
	uint64_t l1_offset;
	uint32_t l1_size;
	uint64_t at, len; /* in the table, without padding */
};

/*
 * Calls each() for every snapshot; *bytes is the size of their table.  0,
 * -errno (with *why), or what each() returned if that was not 0.
 */
int qcow2_snapshots(int fd, const struct qcow2_header *,
    int (*each)(void *, const struct qcow2_snapshot *), void *, uint64_t *bytes,
    struct why *);

/* What we do not keep up to date, others must not believe: "Header",
 * autoclear_features.  0, or -errno with *why. */
int qcow2_autoclear(int fd, struct qcow2_header *, struct why *);

#endif
