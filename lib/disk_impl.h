/* SPDX-License-Identifier: ISC */
#ifndef LIB_DISK_IMPL_H
#define LIB_DISK_IMPL_H

/*
 * Between disk.c and the formats.
 */
#include "disk.h"

struct disk_ops {
	const char *name;
	/* Fills the constants below.  0, or -errno with *why. */
	int (*open)(struct disk *, struct why *);
	/* What it keeps in memory: read it; write and forget it.  NULL: nothing
	 * is kept. */
	int (*load)(struct disk *, struct why *);
	int (*store)(struct disk *);
	/* r was checked.  0: done() will be called; or -errno. */
	int (*start)(struct disk_req *);
	/* Of disk.h; off is on the disk.  What it says may go beyond the end. */
	uint64_t (*hole)(const struct disk *, uint64_t off);
	void (*close)(struct disk *);
};

struct disk {
	const struct disk_ops *ops;
	unsigned nlayers;
	struct disk_layer layer[DISK_LAYERS_MAX];
	int fd[DISK_LAYERS_MAX]; /* of the layers */
	bool readonly;
	bool loaded;
	struct qcow2_snap *snap; /* prepared; NULL: none */
	void *format; /* what the format keeps */
	/* set by open(), constant afterwards */
	uint64_t size;
	unsigned cut;
	uint32_t block;
	bool can_discard;
	unsigned threads; /* most that may use it */
	unsigned extra; /* requests of the format's own in flight */
	/* (a) atomic: shared by the threads that use the disk */
	int flush_error; /* (a) -errno of the first flush that failed */
	unsigned no_punch; /* (a) what the file system turned out not to do */
	unsigned no_zero; /* (a) */
};

/* Sticky, invariant 5 of disk.h; the error that is to be reported. */
int disk_flush_failed(struct disk *, int error);

extern const struct disk_ops disk_raw;
extern const struct disk_ops disk_qcow2;

#endif
