/* SPDX-License-Identifier: ISC */
/* See pipebuf.h. */
#include <sys/types.h>
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "pipebuf.h"

size_t
pipebuf_has(struct pipebuf *b, uint8_t **p)
{
	if (p != NULL)
		*p = b->data + b->at;
	return b->end - b->at;
}

void
pipebuf_took(struct pipebuf *b, size_t n)
{
	assert(n <= b->end - b->at);
	b->at += n;
	if (b->at == b->end)
		pipebuf_drop(b);
}

void
pipebuf_drop(struct pipebuf *b)
{
	b->at = b->end = 0;
}

size_t
pipebuf_room(struct pipebuf *b, uint8_t **p)
{
	*p = b->data + b->end;
	return sizeof(b->data) - b->end;
}

void
pipebuf_put(struct pipebuf *b, size_t n)
{
	assert(n <= sizeof(b->data) - b->end);
	b->end += n;
}

static int
moved(ssize_t n)
{
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n > 0 ? 1 : -1;
}

int
pipebuf_read(struct pipebuf *b, int fd)
{
	uint8_t *p;
	size_t room = pipebuf_room(b, &p);
	ssize_t n;

	if (room == 0)
		return 0;
	n = read(fd, p, room);
	if (n > 0)
		pipebuf_put(b, (size_t)n);
	return moved(n);
}

int
pipebuf_write(struct pipebuf *b, int fd)
{
	uint8_t *p;
	size_t len = pipebuf_has(b, &p);
	ssize_t n;

	if (len == 0)
		return 0;
	n = write(fd, p, len);
	if (n > 0)
		pipebuf_took(b, (size_t)n);
	return moved(n);
}
