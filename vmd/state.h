/* SPDX-License-Identifier: ISC */
#ifndef VMD_STATE_H
#define VMD_STATE_H

/*
 * A VM's state as a stream of bytes: what vmctl save writes and vmctl restore
 * reads.  Numbers are little-endian.
 *
 *   head     magic (8), u32 version, u32 0, name of the VM (64, with NULs)
 *   section  name (16, with NULs), u32 version, u32 CRC-32 of the payload,
 *            u64 bytes of payload; then those
 *   ...      the last one is named "end" and has none
 *
 * Sections follow each other in the order in which they are asked for.  One of
 * another name or version than the reader knows ends the reading, with a line
 * that names it.  A regular file is read and written by offset, from its
 * beginning, and may have something between two sections (pages.h).  The writer is in the vm process and so is the reader: what a
 * hostile stream reaches is a process that the guest may have taken over
 * anyway.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_MAGIC	   "VMSTATE"
#define STATE_VERSION	   2
#define STATE_HEAD	   80
#define STATE_NAME_MAX	   63
#define STATE_SECTION_HEAD 32
#define STATE_SECTION_MAX  (1U << 20) /* payload; memory comes in pieces */
#define STATE_WHY_MAX	   192

struct state {
	int fd;
	bool writing;
	bool file; /* a regular one */
	uint64_t at; /* in it, of the next byte */
	uint64_t off; /* of the section at hand */
	uint8_t head[STATE_SECTION_HEAD]; /* of the next one, already read: */
	bool looked;
	uint8_t *buf; /* its payload, for the writer of a file with its head */
	uint8_t *to; /* writing: buf, or what follows in out */
	size_t len, pos;
	size_t got; /* reading: so much of len is in buf */
	uint32_t crc, crc_due;
	uint8_t *out; /* without a file: what was written so far */
	size_t nout, room;
	int error; /* the first one; what follows does nothing */
	char section[17];
	char why[STATE_WHY_MAX];
};

/*
 * One number of a chip's state, or several at equal distances.  A table has a
 * row for each member of a struct that is saved; what is not is made anew.
 */
struct state_field {
	uint32_t off, size, count, stride;
	uint64_t max; /* what a stream may say at most */
};

/* m: a number.  a: an array of them.  n: a number in an array of structs. */
#define STATE_NUM(s, m, max)                                      \
	{                                                         \
		offsetof(s, m), sizeof(((s *)0)->m), 1, 0, (max), \
	}
#define STATE_ARR(s, a, max)                                      \
	{                                                         \
		offsetof(s, a), sizeof(((s *)0)->a[0]),           \
		    sizeof(((s *)0)->a) / sizeof(((s *)0)->a[0]), \
		    sizeof(((s *)0)->a[0]), (max),                \
	}
#define STATE_SUB(s, a, m, max)                                   \
	{                                                         \
		offsetof(s, a[0].m), sizeof(((s *)0)->a[0].m),    \
		    sizeof(((s *)0)->a) / sizeof(((s *)0)->a[0]), \
		    sizeof(((s *)0)->a[0]), (max),                \
	}

/* fd stays the caller's; -1 to write: into out.  0 or -errno. */
int state_write_head(struct state *, int fd, const char *name);
int state_read_head(struct state *, int fd, char name[STATE_NAME_MAX + 1]);
void state_free(struct state *);

/* A section begins; reading: it has to be this one.  At its end nothing may be
 * left of it. */
int state_begin(struct state *, const char *section, uint32_t version);
int state_end(struct state *);
/* Reading: of its payload only so many bytes at first.  The rest, which is much, goes
 * where state_into() says, whatever its checksum is; state_left() is how much
 * that is. */
int state_begin_first(
    struct state *, const char *section, uint32_t version, size_t first);
size_t state_left(const struct state *);
void state_into(struct state *, void *p);
/* Is it this one that comes next?  Reading. */
bool state_next(struct state *, const char *section);
/* Between two sections of a file: the next one is at that byte. */
void state_seek(struct state *, uint64_t at);
/* Bytes of the section: written, or read into p. */
void state_bytes(struct state *, void *p, size_t len);
void state_number(struct state *, uint64_t *v, uint64_t max);
/* A struct by its table. */
void
state_fields(struct state *, void *chip, const struct state_field *, size_t n);
/* The payload is wrong: one line, unless there is one already. */
void __attribute__((format(printf, 3, 4)))
state_fail(struct state *, int error, const char *fmt, ...);

#endif
