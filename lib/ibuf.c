/* SPDX-License-Identifier: ISC */
/*
 * Buffers for messages.
 *
 * Invariants
 *  1. rpos <= wpos <= size; size <= max, except in a view, where max is 0.
 *  2. A view owns neither its bytes nor a descriptor (fd is -1).
 *  3. A getter that fails consumes nothing; a setter or adder that fails
 *     changes nothing, but an adder leaves failed set.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fd.h"
#include "imsg.h"

static int
fail(int error)
{
	errno = error;
	return -1;
}

/* An adder failed. */
static int
spoil(struct ibuf *b, int error)
{
	b->failed = true;
	return fail(error);
}

struct ibuf *
ibuf_dynamic(size_t len, size_t max)
{
	struct ibuf *b;

	if (max == 0 || max < len) {
		errno = EINVAL;
		return NULL;
	}
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	if (len > 0) {
		b->buf = calloc(1, len);
		if (b->buf == NULL) {
			free(b);
			return NULL;
		}
	}
	b->size = len;
	b->max = max;
	b->fd = -1;
	return b;
}

struct ibuf *
ibuf_open(size_t len)
{
	return ibuf_dynamic(len, len);
}

void
ibuf_free(struct ibuf *b)
{
	int saved = errno;

	if (b == NULL || b->max == 0)
		return;
	fd_close(&b->fd);
	/* Messages may hold what other processes must not see. */
	if (b->buf != NULL)
		explicit_bzero(b->buf, b->wpos);
	free(b->buf);
	free(b);
	errno = saved;
}

void
ibuf_from_buffer(struct ibuf *b, void *data, size_t len)
{
	memset(b, 0, sizeof(*b));
	b->buf = data;
	b->size = b->wpos = len;
	b->fd = -1;
}

void
ibuf_from_ibuf(struct ibuf *b, const struct ibuf *from)
{
	ibuf_from_buffer(b, ibuf_data(from), ibuf_size(from));
}

/* Make room for len more bytes. */
static int
grow(struct ibuf *b, size_t len)
{
	size_t need, size;
	uint8_t *nb;

	if (b->max == 0 || len > b->max - b->wpos)
		return spoil(b, ERANGE);
	need = b->wpos + len;
	if (need <= b->size)
		return 0;
	size = b->size < 64 ? 64 : b->size;
	while (size < need)
		size = size > b->max / 2 ? b->max : size * 2;
	if (size > b->max)
		size = b->max;
	/* Not realloc(3): the old bytes are wiped, see ibuf_free(). */
	nb = malloc(size);
	if (nb == NULL)
		return spoil(b, ENOMEM);
	if (b->wpos > 0) {
		memcpy(nb, b->buf, b->wpos);
		explicit_bzero(b->buf, b->wpos);
	}
	free(b->buf);
	b->buf = nb;
	b->size = size;
	return 0;
}

void *
ibuf_reserve(struct ibuf *b, size_t len)
{
	void *p;

	if (len == 0) {
		errno = EINVAL;
		return NULL;
	}
	if (grow(b, len) == -1)
		return NULL;
	p = b->buf + b->wpos;
	memset(p, 0, len);
	b->wpos += len;
	return p;
}

int
ibuf_add(struct ibuf *b, const void *data, size_t len)
{
	if (len == 0)
		return 0;
	if (grow(b, len) == -1)
		return -1;
	memcpy(b->buf + b->wpos, data, len);
	b->wpos += len;
	return 0;
}

int
ibuf_add_ibuf(struct ibuf *b, const struct ibuf *from)
{
	return ibuf_add(b, ibuf_data(from), ibuf_size(from));
}

int
ibuf_add_zero(struct ibuf *b, size_t len)
{
	if (len == 0)
		return 0;
	return ibuf_reserve(b, len) == NULL ? -1 : 0;
}

int
ibuf_add_strbuf(struct ibuf *b, const char *str, size_t len)
{
	size_t n = strnlen(str, len);
	char *p;

	if (n == len)
		return spoil(b, EOVERFLOW);
	p = ibuf_reserve(b, len);
	if (p == NULL)
		return -1;
	memcpy(p, str, n);
	return 0;
}

int
ibuf_add_n8(struct ibuf *b, uint64_t value)
{
	uint8_t v = (uint8_t)value;

	if (value > UINT8_MAX)
		return spoil(b, EINVAL);
	return ibuf_add(b, &v, sizeof(v));
}

int
ibuf_add_n16(struct ibuf *b, uint64_t value)
{
	uint16_t v = htobe16((uint16_t)value);

	if (value > UINT16_MAX)
		return spoil(b, EINVAL);
	return ibuf_add(b, &v, sizeof(v));
}

int
ibuf_add_n32(struct ibuf *b, uint64_t value)
{
	uint32_t v = htobe32((uint32_t)value);

	if (value > UINT32_MAX)
		return spoil(b, EINVAL);
	return ibuf_add(b, &v, sizeof(v));
}

int
ibuf_add_n64(struct ibuf *b, uint64_t value)
{
	value = htobe64(value);
	return ibuf_add(b, &value, sizeof(value));
}

int
ibuf_add_h16(struct ibuf *b, uint64_t value)
{
	uint16_t v = (uint16_t)value;

	if (value > UINT16_MAX)
		return spoil(b, EINVAL);
	return ibuf_add(b, &v, sizeof(v));
}

int
ibuf_add_h32(struct ibuf *b, uint64_t value)
{
	uint32_t v = (uint32_t)value;

	if (value > UINT32_MAX)
		return spoil(b, EINVAL);
	return ibuf_add(b, &v, sizeof(v));
}

int
ibuf_add_h64(struct ibuf *b, uint64_t value)
{
	return ibuf_add(b, &value, sizeof(value));
}

void *
ibuf_seek(struct ibuf *b, size_t pos, size_t len)
{
	size_t have = ibuf_size(b);

	if (pos > have || len > have - pos) {
		errno = ERANGE;
		return NULL;
	}
	return b->buf == NULL ? NULL : b->buf + b->rpos + pos;
}

int
ibuf_set(struct ibuf *b, size_t pos, const void *data, size_t len)
{
	void *p;

	if (len == 0)
		return pos > ibuf_size(b) ? fail(ERANGE) : 0;
	p = ibuf_seek(b, pos, len);
	if (p == NULL)
		return -1;
	memcpy(p, data, len);
	return 0;
}

int
ibuf_set_n8(struct ibuf *b, size_t pos, uint64_t value)
{
	uint8_t v = (uint8_t)value;

	if (value > UINT8_MAX)
		return fail(EINVAL);
	return ibuf_set(b, pos, &v, sizeof(v));
}

int
ibuf_set_n16(struct ibuf *b, size_t pos, uint64_t value)
{
	uint16_t v = htobe16((uint16_t)value);

	if (value > UINT16_MAX)
		return fail(EINVAL);
	return ibuf_set(b, pos, &v, sizeof(v));
}

int
ibuf_set_n32(struct ibuf *b, size_t pos, uint64_t value)
{
	uint32_t v = htobe32((uint32_t)value);

	if (value > UINT32_MAX)
		return fail(EINVAL);
	return ibuf_set(b, pos, &v, sizeof(v));
}

int
ibuf_set_n64(struct ibuf *b, size_t pos, uint64_t value)
{
	value = htobe64(value);
	return ibuf_set(b, pos, &value, sizeof(value));
}

int
ibuf_set_h16(struct ibuf *b, size_t pos, uint64_t value)
{
	uint16_t v = (uint16_t)value;

	if (value > UINT16_MAX)
		return fail(EINVAL);
	return ibuf_set(b, pos, &v, sizeof(v));
}

int
ibuf_set_h32(struct ibuf *b, size_t pos, uint64_t value)
{
	uint32_t v = (uint32_t)value;

	if (value > UINT32_MAX)
		return fail(EINVAL);
	return ibuf_set(b, pos, &v, sizeof(v));
}

int
ibuf_set_h64(struct ibuf *b, size_t pos, uint64_t value)
{
	return ibuf_set(b, pos, &value, sizeof(value));
}

void *
ibuf_data(const struct ibuf *b)
{
	return b->buf == NULL ? NULL : b->buf + b->rpos;
}

size_t
ibuf_size(const struct ibuf *b)
{
	return b->wpos - b->rpos;
}

size_t
ibuf_left(const struct ibuf *b)
{
	return b->max == 0 ? 0 : b->max - b->wpos;
}

int
ibuf_get(struct ibuf *b, void *data, size_t len)
{
	if (len > ibuf_size(b))
		return fail(EBADMSG);
	if (len > 0)
		memcpy(data, b->buf + b->rpos, len);
	b->rpos += len;
	return 0;
}

int
ibuf_get_ibuf(struct ibuf *b, size_t len, struct ibuf *view)
{
	if (len > ibuf_size(b))
		return fail(EBADMSG);
	ibuf_from_buffer(view, ibuf_data(b), len);
	b->rpos += len;
	return 0;
}

int
ibuf_get_n8(struct ibuf *b, uint8_t *value)
{
	return ibuf_get(b, value, sizeof(*value));
}

int
ibuf_get_n16(struct ibuf *b, uint16_t *value)
{
	uint16_t v;

	if (ibuf_get(b, &v, sizeof(v)) == -1)
		return -1;
	*value = be16toh(v);
	return 0;
}

int
ibuf_get_n32(struct ibuf *b, uint32_t *value)
{
	uint32_t v;

	if (ibuf_get(b, &v, sizeof(v)) == -1)
		return -1;
	*value = be32toh(v);
	return 0;
}

int
ibuf_get_n64(struct ibuf *b, uint64_t *value)
{
	uint64_t v;

	if (ibuf_get(b, &v, sizeof(v)) == -1)
		return -1;
	*value = be64toh(v);
	return 0;
}

int
ibuf_get_h16(struct ibuf *b, uint16_t *value)
{
	return ibuf_get(b, value, sizeof(*value));
}

int
ibuf_get_h32(struct ibuf *b, uint32_t *value)
{
	return ibuf_get(b, value, sizeof(*value));
}

int
ibuf_get_h64(struct ibuf *b, uint64_t *value)
{
	return ibuf_get(b, value, sizeof(*value));
}

int
ibuf_get_strbuf(struct ibuf *b, char *str, size_t len)
{
	if (len == 0)
		return fail(EINVAL);
	if (ibuf_get(b, str, len) == -1)
		return -1;
	if (str[len - 1] != '\0') {
		str[len - 1] = '\0';
		return fail(EOVERFLOW);
	}
	return 0;
}

char *
ibuf_get_string(struct ibuf *b, size_t len)
{
	char *str;

	if (len > ibuf_size(b)) {
		errno = EBADMSG;
		return NULL;
	}
	str = malloc(len + 1);
	if (str == NULL)
		return NULL;
	if (len > 0)
		memcpy(str, b->buf + b->rpos, len);
	str[len] = '\0';
	b->rpos += len;
	return str;
}

int
ibuf_skip(struct ibuf *b, size_t len)
{
	if (len > ibuf_size(b))
		return fail(EBADMSG);
	b->rpos += len;
	return 0;
}

int
ibuf_truncate(struct ibuf *b, size_t len)
{
	size_t have = ibuf_size(b);

	if (len > have)
		return ibuf_add_zero(b, len - have);
	b->wpos = b->rpos + len;
	return 0;
}

void
ibuf_rewind(struct ibuf *b)
{
	b->rpos = 0;
}

void
ibuf_fd_set(struct ibuf *b, int fd)
{
	fd_close(&b->fd);
	b->fd = fd < 0 ? -1 : fd;
}

int
ibuf_fd_get(struct ibuf *b)
{
	return fd_take(&b->fd);
}

bool
ibuf_fd_avail(const struct ibuf *b)
{
	return b->fd != -1;
}
