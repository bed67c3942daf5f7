/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_IMAGE_H
#define VMCTL_IMAGE_H

/*
 * Disk images as create and image use them.  What an image holds is looked at
 * by a process of its own, which can do nothing but read and write what it
 * was given (imgwork.c); here no more than its header is.
 */
#include <stdbool.h>
#include <stdint.h>

#include "cmd.h"
#include "disk.h"
#include "qcow2.h"
#include "qcow2_check.h"
#include "qcow2_snap.h"

struct image {
	const char *name; /* as the user wrote it, without a prefix */
	enum vm_diskfmt format;
	uint64_t size; /* bytes of the disk */
	uint64_t file_size;
	struct qcow2_header h; /* qcow2 */
	/* It, and what it is based on. */
	struct disk_layer layer[DISK_LAYERS_MAX];
	unsigned n;
};

/*
 * "[raw:|qcow2:]path", else the name's end decides.  Opens the first image
 * with flags, its base images (when chain is set) to be read, and locks them.
 * Says what is wrong.
 */
bool image_open(struct image *, const char *word, int flags, bool chain);
void image_close(struct image *);

/* What the worker does. */
enum image_job {
	IMAGE_CHECK,
	IMAGE_REPAIR,
	IMAGE_COPY,
	/* snapshots */
	IMAGE_LIST,
	IMAGE_CREATE,
	IMAGE_DELETE,
	IMAGE_REVERT,
};
/* What the worker of a check or of snapshots is told, and told. */
struct image_check {
	/* A problem, safe to print; false: no more of them. */
	bool (*line)(void *, const char *);
	void *arg;
	bool done; /* the report is there; else it failed, and has said so */
	struct qcow2_report report; /* clusters and what is wrong of them */
	const char *tag; /* of a snapshot; NULL: none */
	/* A snapshot, safe to print; false: no more of them. */
	bool (*snapshot)(void *, const struct qcow2_snap_info *);
};
/*
 * Runs it with the image's descriptors, which are consumed, and out (-1:
 * none), which is not.  The last one is NULL when nothing is checked.  False
 * when something is wrong, and has been said or is in the report.
 */
bool image_work(struct image *, enum image_job, int out, enum vm_diskfmt,
    struct image_check *);
/* The worker itself: its exit status. */
#define IMAGE_ROLE "image"
int image_worker(void);

/* imgsnap.c: vmctl image snapshot; argv[0] is "snapshot". */
enum cmd_result image_snapshot(int argc, char **argv);

/* Messages to the worker, and from it. */
#define IMAGE_REQUESTS(X)                           \
	X(IMAGE_LAYER, "u32 format (fd), in order") \
	X(IMAGE_OUT, "u32 format (fd)")             \
	X(IMAGE_DO, "u32 enum image_job, u32 show the progress, str snapshot")
#define IMAGE_REPORTS(X)                                               \
	X(IMAGE_LINE, "str: a problem found")                          \
	X(IMAGE_COUNTS,                                                \
	    "u64 corruptions, leaks, clusters, allocated, compressed") \
	X(IMAGE_SNAPSHOT,                                              \
	    "str id, str name, u32 seconds, nanoseconds, u64 state, disk")

enum image_msg {
	IMAGE_MSG_BASE = 2000,
#define X(n, ...) n,
	IMAGE_REQUESTS(X) IMAGE_REPORTS(X)
#undef X
};

#endif
