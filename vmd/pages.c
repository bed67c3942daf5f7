/* SPDX-License-Identifier: ISC */
/*
 * The memory of pages.h.
 *
 * Invariants
 *  1. What a table says was compared with the memory that the VM has, and with
 *     what so many pages can be, before any of it is used; sums of lengths stay far
 *     below 2^64 for that reason.
 *  2. A group's checksum was compared before the guest sees anything of it, and
 *     a frame is exactly its pages.
 *
 * Memory is read by the descriptor, not by the mapping: a hole stays one.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <libdeflate.h>
#include <zstd.h>

#include "pages.h"

#define PAGE	PAGES_PAGE
#define GROUP	PAGES_GROUP
#define ENTRY	16U
#define AT_ONCE 64U /* entries */
/* The guest stands still meanwhile. */
#define LEVEL 1

/* Who writes. */
struct packer {
	uint8_t *piece, *frame; /* a group each */
	ZSTD_CCtx *zstd; /* NULL, and no frame: not compressed */
};

static uint64_t
groups(const struct gmem *mem)
{
	return (mem->size + GROUP - 1) / GROUP;
}

/* Bytes of group i: the last one may be shorter. */
static size_t
group_len(const struct gmem *mem, uint64_t i)
{
	uint64_t left = mem->size - i * GROUP;

	return left < GROUP ? (size_t)left : GROUP;
}

/* Where data begins, behind tables that begin at that byte. */
static uint64_t
data_at(uint64_t table, uint64_t n)
{
	uint64_t sections = (n + PAGES_SECTION - 1) / PAGES_SECTION;
	uint64_t end = table + sections * STATE_SECTION_HEAD + n * ENTRY;

	return (end + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static int
read_at(int fd, uint8_t *p, size_t len, uint64_t off)
{
	ssize_t n;

	while (len > 0) {
		n = pread(fd, p, len, (off_t)off);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -ENODATA : -errno;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int
write_at(int fd, const uint8_t *p, size_t len, uint64_t off)
{
	ssize_t n;

	while (len > 0) {
		n = pwrite(fd, p, len, (off_t)off);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -EIO : -errno;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static bool
is_zero(const uint8_t *p)
{
	return p[0] == 0 && memcmp(p, p + 1, PAGE - 1) == 0;
}

/* Moves the pages that are not zero together. */
static void
pack(struct pages_group *g, uint8_t *p, size_t len)
{
	size_t off;

	g->mask = g->len = 0;
	for (off = 0; off < len; off += PAGE) {
		if (is_zero(p + off))
			continue;
		g->mask |= 1ULL << (off / PAGE);
		if (g->len != off)
			memcpy(p + g->len, p + off, PAGE);
		g->len += PAGE;
	}
}

static int
packer_make(struct packer *k, bool zstd)
{
	*k = (struct packer){ .piece = malloc(GROUP) };
	if (k->piece == NULL)
		return -ENOMEM;
	if (!zstd)
		return 0;
	k->frame = malloc(GROUP);
	k->zstd = ZSTD_createCCtx();
	return k->frame == NULL || k->zstd == NULL ? -ENOMEM : 0;
}

static void
packer_free(struct packer *k)
{
	free(k->piece);
	free(k->frame);
	ZSTD_freeCCtx(k->zstd);
}

/* What to write of the group in piece: as a frame if that is shorter. */
static const uint8_t *
shortest(struct packer *k, struct pages_group *g)
{
	const uint8_t *data = k->piece;
	size_t n;

	if (g->len == 0) {
		g->sum = 0;
		return data;
	}
	if (k->zstd != NULL) {
		n = ZSTD_compressCCtx(
		    k->zstd, k->frame, g->len - 1, k->piece, g->len, LEVEL);
		if (!ZSTD_isError(n)) {
			g->len = (uint32_t)n;
			data = k->frame;
		}
	}
	g->sum = libdeflate_crc32(0, data, g->len);
	return data;
}

/* The data; *at moves behind it. */
static void
write_data(struct state *s, const struct gmem *mem, struct packer *k,
    struct pages *p, uint64_t *at)
{
	struct pages_group *g;
	uint64_t i, from = 0, to = 0;
	const uint8_t *data;
	size_t len;
	int e;

	for (i = 0; i < p->n && s->error == 0; i++) {
		g = &p->group[i];
		len = group_len(mem, i);
		while (to <= i * GROUP) {
			from = to;
			if (!gmem_next(mem, &from, &to))
				return; /* holes to the end */
		}
		if (from >= i * GROUP + len)
			continue; /* all of it is a hole */
		if ((e = read_at(mem->fd, k->piece, len, i * GROUP)) != 0) {
			state_fail(s, e, "memory: %s", strerrordesc_np(-e));
			break;
		}
		pack(g, k->piece, len);
		data = shortest(k, g);
		if ((e = write_at(s->fd, data, g->len, *at)) != 0)
			state_fail(s, e, "%s", strerrordesc_np(-e));
		*at += g->len;
	}
}

/* As in a section, and so as numbers are here: little-endian. */
struct entry {
	uint64_t mask;
	uint32_t sum, len;
};

static_assert(sizeof(struct entry) == ENTRY, "no padding");

/* To or from a section: many at once, as a large memory has a million. */
static void
entries(struct state *s, struct pages_group *g, size_t n)
{
	struct entry e[AT_ONCE] = { { 0 } };
	size_t i;

	for (i = 0; s->writing && i < n; i++)
		e[i] = (struct entry){ g[i].mask, g[i].sum, g[i].len };
	state_bytes(s, e, n * ENTRY);
	for (i = 0; !s->writing && s->error == 0 && i < n; i++) {
		g[i].mask = e[i].mask;
		g[i].sum = e[i].sum;
		g[i].len = e[i].len;
	}
}

static void
table(struct state *s, struct pages *p)
{
	uint64_t i = 0, end, n;

	while (i < p->n) {
		if (state_begin(s, PAGES_NAME, 3) != 0)
			return;
		end = p->n - i < PAGES_SECTION ? p->n : i + PAGES_SECTION;
		for (; i < end; i += n) {
			n = end - i < AT_ONCE ? end - i : AT_ONCE;
			entries(s, &p->group[i], n);
		}
		if (state_end(s) != 0)
			return;
	}
}

static int
make(struct pages *p, const struct gmem *mem)
{
	*p = (struct pages){ .n = groups(mem) };
	p->group = calloc(p->n, sizeof(p->group[0]));
	return p->group == NULL ? -ENOMEM : 0;
}

void
pages_write(struct state *s, const struct gmem *mem, bool zstd)
{
	uint64_t at = s->at, end;
	struct packer k;
	struct pages p;

	if (s->error != 0)
		return;
	if (packer_make(&k, zstd) == 0 && make(&p, mem) == 0) {
		end = data_at(at, p.n);
		write_data(s, mem, &k, &p, &end);
		table(s, &p);
		state_seek(s, end);
		pages_free(&p);
	} else
		state_fail(s, -ENOMEM, "out of memory");
	packer_free(&k);
}

static size_t
pages_len(const struct pages_group *g)
{
	return (size_t)__builtin_popcountll(g->mask) * PAGE;
}

static bool
good(const struct pages_group *g, size_t len)
{
	if (g->mask >> (len / PAGE) != 0)
		return false;
	if (g->mask == 0)
		return g->len == 0 && g->sum == 0;
	return g->len != 0 && g->len <= pages_len(g);
}

static bool
is_frame(const struct pages_group *g)
{
	return g->len != pages_len(g);
}

/* For the first frame. */
static int
unpacker(struct pages *p)
{
	if (p->zstd != NULL)
		return 0;
	p->frame = malloc(GROUP);
	p->zstd = ZSTD_createDCtx();
	return p->frame == NULL || p->zstd == NULL ? -ENOMEM : 0;
}

void
pages_read(struct state *s, struct pages *p, const struct gmem *mem)
{
	uint64_t at = s->at - (s->looked ? STATE_SECTION_HEAD : 0), i;

	*p = (struct pages){ 0 };
	if (s->error != 0)
		return;
	if (make(p, mem) != 0) {
		state_fail(s, -ENOMEM, "out of memory");
		return;
	}
	at = data_at(at, p->n);
	table(s, p);
	for (i = 0; i < p->n && s->error == 0; i++) {
		if (!good(&p->group[i], group_len(mem, i)))
			state_fail(s, -EINVAL, "not what %u pages can be: %llu",
			    PAGES_EACH, (unsigned long long)i);
		else if (p->group[i].mask != 0 && is_frame(&p->group[i]) &&
		    unpacker(p) != 0)
			state_fail(s, -ENOMEM, "out of memory");
		p->group[i].at = at;
		at += p->group[i].len;
	}
	state_seek(s, at);
}

void
pages_free(struct pages *p)
{
	free(p->group);
	free(p->frame);
	ZSTD_freeDCtx(p->zstd);
	*p = (struct pages){ 0 };
}

/* NULL, or what is wrong with the frame. */
static const char *
unpack(const struct pages *p, const struct pages_group *g, uint8_t *to)
{
	size_t len = pages_len(g),
	       n = ZSTD_decompressDCtx(p->zstd, to, len, p->frame, g->len);

	if (ZSTD_isError(n))
		return ZSTD_getErrorName(n);
	return n == len ? NULL : "a frame of fewer pages";
}

int
pages_get(const struct pages *p, int fd, uint64_t group, uint8_t *to,
    char why[STATE_WHY_MAX])
{
	const struct pages_group *g = &p->group[group];
	uint8_t *data = is_frame(g) ? p->frame : to;
	int e = read_at(fd, data, g->len, g->at);
	const char *what = NULL;

	if (e == -ENODATA)
		what = "the file ends here";
	else if (e != 0)
		what = strerrordesc_np(-e);
	else if (g->len != 0 && libdeflate_crc32(0, data, g->len) != g->sum) {
		e = -EINVAL;
		what = "wrong checksum";
	} else if (is_frame(g) && (what = unpack(p, g, to)) != NULL)
		e = -EINVAL;
	if (e != 0)
		snprintf(why, STATE_WHY_MAX,
		    "section \"" PAGES_NAME "\" at byte %llu: %s",
		    (unsigned long long)g->at, what);
	return e;
}

unsigned
pages_run(uint64_t mask, unsigned *first)
{
	uint64_t rest;

	if (mask == 0)
		return 0;
	*first = (unsigned)__builtin_ctzll(mask);
	rest = ~(mask >> *first);
	return rest == 0 ? 64 : (unsigned)__builtin_ctzll(rest);
}

uint64_t
pages_without(uint64_t mask, unsigned first, unsigned n)
{
	return mask & ~(UINT64_MAX >> (64 - n) << first);
}

/* Invariant 2 of gmem.h's: all of it is one mapping. */
static void
spread(
    const struct gmem *mem, uint64_t group, uint64_t mask, const uint8_t *from)
{
	uint8_t *to = mem->region[0].host + group * GROUP;
	unsigned first, n;

	while ((n = pages_run(mask, &first)) != 0) {
		memcpy(to + first * PAGE, from, (size_t)n * PAGE);
		from += (size_t)n * PAGE;
		mask = pages_without(mask, first, n);
	}
}

void
pages_all(struct state *s, const struct pages *p, const struct gmem *mem)
{
	uint8_t *piece = malloc(GROUP);
	char why[STATE_WHY_MAX];
	uint64_t i;
	int e;

	if (piece == NULL)
		state_fail(s, -ENOMEM, "out of memory");
	for (i = 0; i < p->n && s->error == 0; i++) {
		if (p->group[i].mask == 0)
			continue;
		if ((e = pages_get(p, s->fd, i, piece, why)) != 0) {
			s->error = e;
			memcpy(s->why, why, sizeof(s->why));
		} else
			spread(mem, i, p->group[i].mask, piece);
	}
	free(piece);
}
