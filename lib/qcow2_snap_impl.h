/* SPDX-License-Identifier: ISC */
#ifndef LIB_QCOW2_SNAP_IMPL_H
#define LIB_QCOW2_SNAP_IMPL_H

/* Between the parts of snapshots. */
#include "qcow2_check.h"
#include "qcow2_format.h"
#include "qcow2_snap.h"

/* A table that is new: in its form on the disk, zeroes to a cluster's end. */
struct qs_part {
	uint8_t *data;
	uint64_t len; /* bytes of the table; 0: there is none */
	uint64_t off; /* in the file */
};

struct qcow2_snap {
	int fd;
	enum qcow2_snap_op op;
	struct qcow2_header h;
	uint64_t csize;
	struct qs_part l1, table;
	uint64_t row; /* CREATE: where the new row is in the table */
	uint32_t nsnapshots; /* that there will be */
	/* qcow2_snap_space.c */
	uint32_t *refs; /* references to each cluster */
	uint64_t nrefs; /* clusters that can be used */
	uint64_t *blocks; /* refcount table, as on the disk */
	uint64_t nblocks;
	uint64_t *made; /* clusters of its new blocks */
	uint64_t nmade;
};

/* qcow2_snap_table.c: what the new tables hold.  0, or -errno with *why. */
int qs_plan(
    struct qcow2_snap *, const char *tag, struct timespec now, struct why *);
/* Zeroes for a table; 0 or -ENOMEM. */
int qs_part_new(struct qcow2_snap *, struct qs_part *, uint64_t len);

/* qcow2_snap_space.c: where they will be, and room for the refcounts there. */
int qs_space(struct qcow2_snap *, struct why *);
/* Refcount blocks that are missing are written and linked. */
int qs_space_write(struct qcow2_snap *);

static inline uint64_t
qs_clusters(const struct qcow2_snap *s, uint64_t bytes)
{
	return (bytes + s->csize - 1) / s->csize;
}

#endif
