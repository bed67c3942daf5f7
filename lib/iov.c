/* SPDX-License-Identifier: ISC */
#include <stdint.h>
#include <string.h>

#include "iov.h"

/* The next piece of at most len bytes, consumed; NULL at the end. */
static void *
piece(struct iovec **iov, unsigned *n, size_t *len)
{
	uint8_t *p;

	if (*n == 0)
		return NULL;
	p = (*iov)->iov_base;
	if (*len > (*iov)->iov_len)
		*len = (*iov)->iov_len;
	(*iov)->iov_base = p + *len;
	(*iov)->iov_len -= *len;
	if ((*iov)->iov_len == 0) {
		(*iov)++;
		(*n)--;
	}
	return p;
}

bool
iov_take(struct iovec **iov, unsigned *n, void *dst, size_t len)
{
	uint8_t *to = dst;
	const void *from;
	size_t part;

	for (; len > 0; len -= part) {
		part = len;
		if ((from = piece(iov, n, &part)) == NULL)
			return false;
		if (to != NULL) {
			memcpy(to, from, part);
			to += part;
		}
	}
	return true;
}

bool
iov_give(struct iovec **iov, unsigned *n, const void *src, size_t len)
{
	const uint8_t *from = src;
	size_t part;
	void *to;

	for (; len > 0; len -= part) {
		part = len;
		if ((to = piece(iov, n, &part)) == NULL)
			return false;
		if (from == NULL)
			memset(to, 0, part);
		else {
			memcpy(to, from, part);
			from += part;
		}
	}
	return true;
}
