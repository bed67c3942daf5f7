/* SPDX-License-Identifier: ISC */
/*
 * The stream of state.h.
 *
 * Invariants
 *  1. A section is read as a whole and its checksum compared before anything
 *     of it is used.
 *  2. A number is compared with its limit before it is stored.
 *  3. After an error nothing is written or stored any more.
 */
#include <sys/stat.h>
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <libdeflate.h>

#include "state.h"

#define SECTION_HEAD STATE_SECTION_HEAD
#define SECTION_NAME 16

void
state_fail(struct state *s, int error, const char *fmt, ...)
{
	char what[STATE_WHY_MAX / 2];
	va_list ap;

	if (s->error != 0)
		return;
	s->error = error;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (s->writing)
		snprintf(s->why, sizeof(s->why), "%s", what);
	else
		snprintf(s->why, sizeof(s->why),
		    "section \"%s\" at byte %llu: %s", s->section,
		    (unsigned long long)s->off, what);
}

/* Where a section has room behind what is there; NULL: it failed. */
static uint8_t *
out_room(struct state *s)
{
	size_t room = s->nout + STATE_SECTION_MAX;
	uint8_t *to;

	if (room > s->room) {
		if ((to = realloc(s->out, room)) == NULL) {
			state_fail(s, -ENOMEM, "out of memory");
			return NULL;
		}
		s->out = to;
		s->room = room;
	}
	return s->out + s->nout;
}

static void
put_all(struct state *s, const void *p, size_t len)
{
	const uint8_t *b = p;
	ssize_t n;

	while (len > 0 && s->error == 0) {
		n = s->file ? pwrite(s->fd, b, len, (off_t)s->at)
			    : write(s->fd, b, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			state_fail(s, n == 0 ? -EIO : -errno, "%s",
			    strerrordesc_np(n == 0 ? EIO : errno));
			return;
		}
		b += n;
		s->at += (uint64_t)n;
		len -= (size_t)n;
	}
}

static void
get_all(struct state *s, void *p, size_t len)
{
	uint8_t *b = p;
	ssize_t n;

	while (len > 0 && s->error == 0) {
		n = s->file ? pread(s->fd, b, len, (off_t)s->at)
			    : read(s->fd, b, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN) { /* a socket with a limit */
			state_fail(s, -ETIMEDOUT, "no more came in time");
			return;
		}
		if (n == -1) {
			state_fail(s, -errno, "%s", strerrordesc_np(errno));
			return;
		}
		if (n == 0) {
			state_fail(s, -ENODATA, "the file ends here");
			return;
		}
		b += n;
		s->at += (uint64_t)n;
		len -= (size_t)n;
	}
}

static void
start(struct state *s, int fd, bool writing)
{
	struct stat st;

	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->writing = writing;
	s->file = fd != -1 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	snprintf(s->section, sizeof(s->section), "head");
	if (fd != -1 && (s->buf = malloc(STATE_SECTION_MAX)) == NULL)
		state_fail(s, -ENOMEM, "out of memory");
}

static void
put32(uint8_t *to, uint32_t v)
{
	v = htole32(v);
	memcpy(to, &v, sizeof(v));
}

static uint32_t
get32(const uint8_t *from)
{
	uint32_t v;

	memcpy(&v, from, sizeof(v));
	return le32toh(v);
}

int
state_write_head(struct state *s, int fd, const char *name)
{
	uint8_t head[STATE_HEAD] = STATE_MAGIC, *to;

	start(s, fd, true);
	put32(head + 8, STATE_VERSION);
	snprintf((char *)head + 16, STATE_HEAD - 16, "%s", name);
	if (fd != -1) {
		put_all(s, head, sizeof(head));
	} else if ((to = out_room(s)) != NULL) {
		memcpy(to, head, sizeof(head));
		s->nout = sizeof(head);
	}
	s->off = sizeof(head);
	return s->error;
}

int
state_read_head(struct state *s, int fd, char name[STATE_NAME_MAX + 1])
{
	uint8_t head[STATE_HEAD] = { 0 };

	start(s, fd, false);
	get_all(s, head, sizeof(head));
	if (s->error != 0)
		return s->error;
	if (memcmp(head, STATE_MAGIC, sizeof(STATE_MAGIC)) != 0)
		state_fail(s, -EINVAL, "no state of a vm");
	else if (get32(head + 8) != STATE_VERSION)
		state_fail(s, -ENOTSUP, "version %u, not %u", get32(head + 8),
		    STATE_VERSION);
	else if (get32(head + 12) != 0 || head[16] == '\0' ||
	    head[STATE_HEAD - 1] != '\0')
		state_fail(s, -EINVAL, "not as a head is");
	if (s->error != 0)
		return s->error;
	memcpy(name, head + 16, STATE_NAME_MAX + 1);
	s->off = sizeof(head);
	return 0;
}

void
state_free(struct state *s)
{
	free(s->buf);
	free(s->out);
	s->buf = s->out = s->to = NULL;
}

/* A name is letters, digits and punctuation, then NULs. */
static bool
good_name(const uint8_t *p)
{
	size_t i, n = strnlen((const char *)p, SECTION_NAME);

	for (i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] > '~' || p[i] == '"')
			return false;
	for (; i < SECTION_NAME; i++)
		if (p[i] != '\0')
			return false;
	return n > 0;
}

static void
look(struct state *s)
{
	if (s->looked)
		return;
	get_all(s, s->head, sizeof(s->head));
	if (s->error == 0 && !good_name(s->head))
		state_fail(s, -EINVAL, "no section");
	s->looked = s->error == 0;
}

bool
state_next(struct state *s, const char *section)
{
	if (s->error != 0)
		return false;
	snprintf(s->section, sizeof(s->section), "%s", section);
	look(s);
	return s->looked &&
	    strncmp((char *)s->head, section, SECTION_NAME) == 0;
}

void
state_seek(struct state *s, uint64_t at)
{
	if (s->error == 0)
		s->at = s->off = at;
}

/* Further bytes of the payload; all of them have the checksum of its head. */
static void
get_payload(struct state *s, void *p, size_t len)
{
	get_all(s, p, len);
	if (s->error != 0)
		return;
	s->crc = libdeflate_crc32(s->crc, p, len);
	s->got += len;
	if (s->got == s->len && s->crc != s->crc_due)
		state_fail(s, -EINVAL, "wrong checksum");
}

static void
read_section(
    struct state *s, const char *section, uint32_t version, size_t first)
{
	const uint8_t *head = s->head;
	uint64_t len;

	look(s);
	if (s->error != 0)
		return;
	s->looked = false;
	if (strncmp((char *)head, section, SECTION_NAME) != 0) {
		state_fail(s, -EINVAL, "it is \"%.16s\" instead", head);
		return;
	}
	if (get32(head + 16) != version) {
		state_fail(s, -ENOTSUP, "version %u, not %u", get32(head + 16),
		    version);
		return;
	}
	len = get32(head + 24) | (uint64_t)get32(head + 28) << 32;
	if (len > STATE_SECTION_MAX) {
		state_fail(s, -EINVAL, "longer than a section can be");
		return;
	}
	s->len = (size_t)len;
	s->crc = 0;
	s->crc_due = get32(head + 20);
	get_payload(s, s->buf, s->len < first ? s->len : first);
}

/* A section that is written has its head in front of its payload. */
static void
write_section(struct state *s, const char *section, uint32_t version)
{
	s->to = s->fd == -1 ? out_room(s) : s->buf;
	if (s->error != 0)
		return;
	memset(s->to, 0, SECTION_HEAD);
	memcpy(s->to, section, strnlen(section, SECTION_NAME));
	put32(s->to + 16, version);
	s->len = SECTION_HEAD;
}

int
state_begin_first(
    struct state *s, const char *section, uint32_t version, size_t first)
{
	if (s->error != 0)
		return s->error;
	snprintf(s->section, sizeof(s->section), "%s", section);
	s->len = s->pos = s->got = 0;
	if (s->writing)
		write_section(s, section, version);
	else
		read_section(s, section, version, first);
	return s->error;
}

int
state_begin(struct state *s, const char *section, uint32_t version)
{
	return state_begin_first(s, section, version, STATE_SECTION_MAX);
}

size_t
state_left(const struct state *s)
{
	return s->len - s->got;
}

void
state_into(struct state *s, void *p)
{
	if (s->error == 0 && s->pos != s->got)
		state_fail(
		    s, -EINVAL, "%zu bytes are left over", s->got - s->pos);
	if (s->error == 0)
		get_payload(s, p, s->len - s->got);
	s->pos = s->got;
}

int
state_end(struct state *s)
{
	uint32_t len;

	if (s->error != 0)
		return s->error;
	if (s->writing) {
		len = (uint32_t)(s->len - SECTION_HEAD);
		put32(
		    s->to + 20, libdeflate_crc32(0, s->to + SECTION_HEAD, len));
		put32(s->to + 24, len);
		if (s->fd == -1)
			s->nout += s->len;
		else
			put_all(s, s->to, s->len);
		s->off += s->len;
	} else if (s->pos != s->len) {
		state_fail(
		    s, -EINVAL, "%zu bytes are left over", s->len - s->pos);
	} else {
		s->off += SECTION_HEAD + s->len;
	}
	return s->error;
}

void
state_bytes(struct state *s, void *p, size_t len)
{
	if (s->error != 0)
		return;
	if (s->writing) {
		if (len > STATE_SECTION_MAX - s->len) {
			state_fail(s, -EOVERFLOW, "section \"%s\" is too long",
			    s->section);
			return;
		}
		memcpy(s->to + s->len, p, len);
		s->len += len;
		return;
	}
	if (len > s->got - s->pos) {
		state_fail(s, -EINVAL, "shorter than it has to be");
		return;
	}
	memcpy(p, s->buf + s->pos, len);
	s->pos += len;
}

void
state_number(struct state *s, uint64_t *v, uint64_t max)
{
	uint64_t n = htole64(*v);

	state_bytes(s, &n, sizeof(n));
	if (s->error != 0)
		return;
	n = le64toh(n);
	if (n > max)
		state_fail(s, -EINVAL, "number out of range: %llu",
		    (unsigned long long)n);
	else
		*v = n;
}

/* A row has a size of 1, 2, 4 or 8, of an unsigned or a bool member, or one
 * of two's complement without a limit; the host is little-endian, x86. */
void
state_fields(struct state *s, void *chip, const struct state_field *f, size_t n)
{
	uint64_t v;
	uint8_t *p;
	size_t i, k;

	for (i = 0; i < n; i++) {
		for (k = 0; k < f[i].count && s->error == 0; k++) {
			p = (uint8_t *)chip + f[i].off + k * f[i].stride;
			v = 0;
			if (s->writing)
				memcpy(&v, p, f[i].size);
			state_bytes(s, &v, f[i].size);
			if (s->error == 0 && v > f[i].max)
				state_fail(s, -EINVAL,
				    "number out of range: %llu",
				    (unsigned long long)v);
			if (s->error == 0 && !s->writing)
				memcpy(p, &v, f[i].size);
		}
	}
}
