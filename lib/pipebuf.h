/* SPDX-License-Identifier: ISC */
#ifndef LIB_PIPEBUF_H
#define LIB_PIPEBUF_H

/*
 * What is on its way from one descriptor to another, between a socket and TLS.
 * Bytes never move: what was read together is written until all of it is out,
 * so that one system call is for several records of TLS.
 */
#include <stddef.h>
#include <stdint.h>

#define PIPEBUF_SIZE (64U << 10)

/* All zeroes: empty. */
struct pipebuf {
	size_t at, end; /* of what it has, in data[] */
	uint8_t data[PIPEBUF_SIZE];
};

/* How many bytes it has, at *p unless that is NULL. */
size_t pipebuf_has(struct pipebuf *, uint8_t **p);
/* n of them are out. */
void pipebuf_took(struct pipebuf *, size_t n);
/* Nobody wants them any more. */
void pipebuf_drop(struct pipebuf *);
/* How many more can be put to *p now: 0 until the rest is out, at times. */
size_t pipebuf_room(struct pipebuf *, uint8_t **p);
/* n of them were. */
void pipebuf_put(struct pipebuf *, size_t n);
/*
 * One read(2) or write(2), of a descriptor that does not block.  1: some bytes;
 * 0: not now, or there is no room, or nothing to write; -1: the end, or an
 * error.
 */
int pipebuf_read(struct pipebuf *, int fd);
int pipebuf_write(struct pipebuf *, int fd);

#endif
