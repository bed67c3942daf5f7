/* SPDX-License-Identifier: ISC */
#ifndef LIB_DISK_H
#define LIB_DISK_H

/*
 * A virtual disk in an image of some format: a small table of operations per
 * format, all asynchronous over aio.h.  One struct disk serves several
 * threads, each with its own struct aio.
 *
 * Invariants
 *  1. disk_start() checks range and access mode before a format sees the
 *     request; formats never see a request beyond disk_size().
 *  2. Requests are independent of each other.  What is done before a
 *     DISK_FLUSH is started is durable when that flush is done without error.
 *  3. A format with metadata of its own is used by one thread only:
 *     disk_threads() says how many there may be.
 *  4. Nothing is written between disk_store() and disk_load().
 *  5. Once a flush failed, the kernel has dropped what it could not write:
 *     all later flushes fail as well.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "aio.h"
#include "qcow2_snap.h"
#include "vmconf.h"
#include "why.h"

#define DISK_SECTOR	512
#define DISK_LAYERS_MAX AIO_FILES_MAX

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH,
	DISK_DISCARD, /* the range's content becomes undefined */
	DISK_ZERO, /* the range reads as zeroes, storage stays */
	DISK_ZERO_UNMAP, /* the same, storage may be given back */
};

struct disk;

struct disk_req {
	enum disk_op op;
	bool durable; /* on stable storage before it is done */
	struct iovec *iov; /* READ and WRITE; what it points to stays */
	unsigned niov;
	uint64_t off, len; /* bytes */
	/* Called from aio_run(); 0 or -errno (-EOPNOTSUPP: cannot). */
	void (*done)(struct disk_req *, int error);
	/* private to disk_*.c */
	struct disk *disk;
	struct disk_req *next;
	struct aio *aio;
	struct aio_req areq;
	struct iovec tail; /* of a fill with zeroes */
	uint64_t pos; /* bytes done */
	size_t skip; /* of them, in the first of iov */
	unsigned step; /* method in use */
	unsigned tries;
};

/* One image; the layers after the first are those that it is based on. */
struct disk_layer {
	int fd;
	enum vm_diskfmt format;
};

/* Takes fd.  The image is locked by whoever opened it.  0 or -errno. */
int disk_open(struct disk **, enum vm_diskfmt, int fd, bool readonly);
/* The same for a chain: takes every fd.  0, or -errno with *why. */
int disk_open_chain(struct disk **, const struct disk_layer *, unsigned n,
    bool readonly, struct why *);
/* The same for a chain that somebody else still writes to: only what never
 * changes is read.  disk_load() before the first request. */
int disk_open_later(struct disk **, const struct disk_layer *, unsigned n,
    bool readonly, struct why *);
/*
 * What a format keeps in memory is written and forgotten, so that another
 * process may use the image; and read again.  Nothing may be in flight.  0, or
 * -errno: then all is as it was before.
 */
int disk_store(struct disk *);
int disk_load(struct disk *, struct why *);
/*
 * A change of the snapshots that are in the image, as of qcow2_snap.h, while
 * the disk is stored; disk_load() gives up what was not committed.  0, or
 * -errno with *why: -ENOTSUP for a format that has none.
 */
int disk_snap_prepare(struct disk *, enum qcow2_snap_op, const char *tag,
    struct timespec now, struct why *);
int disk_snap_commit(struct disk *, struct why *);
void disk_snap_abort(struct disk *);
/*
 * Writes what a format keeps in memory, which is why it may take long.
 * Nothing may be in flight, as aio_inflight() says: formats have operations
 * of their own.
 */
void disk_close(struct disk *);

uint64_t disk_size(const struct disk *); /* bytes, whole sectors */
/* Bytes of the image that do not make up a sector and are not used. */
unsigned disk_cut(const struct disk *);
uint32_t disk_block(const struct disk *); /* bytes: best I/O granularity */
bool disk_can_discard(const struct disk *);
/* For struct aio_conf; the descriptors stay ours. */
void disk_aio(const struct disk *, struct aio_conf *);
/*
 * So many bytes from off on read as zeroes, as far as that is known without
 * reading: 0 says nothing.  By a thread that uses the disk; what is written
 * meanwhile may be there or not.
 */
uint64_t disk_hole(const struct disk *, uint64_t off);
/* Threads that may use the disk, and what one request adds to the depth that
 * an engine has to have. */
unsigned disk_threads(const struct disk *);
unsigned disk_depth(const struct disk *, unsigned requests);

/* 0: done() will be called.  Otherwise refused and done() is not called:
 * -EROFS, -EINVAL (beyond the end, or empty), -EOPNOTSUPP. */
int disk_start(struct disk *, struct aio *, struct disk_req *);

#endif
