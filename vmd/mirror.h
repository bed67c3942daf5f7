/* SPDX-License-Identifier: ISC */
#ifndef VMD_MIRROR_H
#define VMD_MIRROR_H

/*
 * A VM that is sent together with its disks: what its vm process and those of
 * its disks say to each other, and the sections of the stream (state.h).
 *
 *   "disks"   after "conf": u64 how many; for each: u64 index, u64 bytes
 *   "disk"    before and among "memory": u64 index, u64 offset, u64 length,
 *             then so many bytes, or none: zeroes
 *
 * The last copy of a byte counts, as with memory.  Every DEV_MIRROR is answered
 * by one DEV_MIRRORED with the same tag, in any order.
 *
 * Neither a stream nor a process at the other end of a channel is trusted: what
 * they say is checked by mirror_piece_ok() against the disk that there is.
 */
#include <stdbool.h>
#include <stdint.h>
#include "blkmap.h"
#include "vmconf.h"

struct ibuf;
struct state;

#define MIRROR_PIECE  BLKMAP_GRANULE /* bytes in one message */
#define MIRROR_ZEROES (64ULL << 20) /* bytes, at once */
#define MIRROR_SLOTS  12 /* requests that a device has under way */
#define MIRROR_WINDOW 8 /* of them, pieces */

enum mirror_do {
	MIRROR_END, /* forget what is under way */
	MIRROR_FROM, /* this disk is copied: all of it is to be read */
	MIRROR_NEXT, /* a piece; length 0: none any more with this tag */
	MIRROR_LEFT, /* how much there is now */
	MIRROR_TO, /* this one is a copy: nobody uses it yet */
	MIRROR_PUT, /* a piece; length 0: all of them on stable storage */
};

struct mirror_msg {
	enum mirror_do what;
	uint32_t tag; /* of NEXT: of one pass over the disk */
	uint32_t error; /* errno, of an answer */
	uint64_t off, len, left; /* bytes */
	const uint8_t *bytes; /* len of them, or NULL: zeroes */
};

/* A message's fields.  0, or -EBADMSG; bytes are the buffer's. */
int mirror_get(struct ibuf *, struct mirror_msg *);
int mirror_put(struct ibuf *, const struct mirror_msg *);
/* Is it a piece of a disk of so many bytes? */
bool mirror_piece_ok(const struct mirror_msg *, uint64_t size);

struct mirror_disk {
	uint64_t size; /* bytes; 0: not copied */
};

/* Sections are written. */
void
mirror_write_disks(struct state *, const struct mirror_disk *, unsigned ndisks);
void mirror_write(struct state *, unsigned disk, const struct mirror_msg *);

/* Who gets them.  Both return 0 or -errno with a line in why. */
#define MIRROR_WHY_MAX 160
struct mirror_to {
	const struct vmconf *conf;
	struct mirror_disk disk[VM_DISKS_MAX]; /* what there is */
	bool on; /* "disks" was there */
	bool copied[VM_DISKS_MAX];
	int (*begin)(void *arg, char why[MIRROR_WHY_MAX]);
	int (*put)(void *arg, unsigned disk, const struct mirror_msg *,
	    char why[MIRROR_WHY_MAX]);
	void *arg;
};

/* One section. */
void mirror_read_disks(struct state *, struct mirror_to *);
void mirror_read(struct state *, struct mirror_to *);

#endif
