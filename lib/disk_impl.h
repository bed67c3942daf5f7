/* SPDX-License-Identifier: ISC */
#ifndef LIB_DISK_IMPL_H
#define LIB_DISK_IMPL_H

/*
 * Between disk.c and the formats.
 */
#include "disk.h"

struct disk_ops {
	const char *name;
	/* Reads fd, fills size, block and can_discard.  0 or -errno. */
	int (*open)(struct disk *);
	/* r was checked.  0: done() will be called; or -errno. */
	int (*start)(struct disk_req *);
	void (*close)(struct disk *);
};

struct disk {
	const struct disk_ops *ops;
	int fd;
	bool readonly;
	/* set by open(), constant afterwards */
	uint64_t size;
	unsigned cut;
	uint32_t block;
	bool can_discard;
	/* (a) atomic: shared by the threads that use the disk */
	int flush_error; /* (a) -errno of the first flush that failed */
	unsigned no_punch; /* (a) what the file system turned out not to do */
	unsigned no_zero; /* (a) */
};

extern const struct disk_ops disk_raw;

#endif
