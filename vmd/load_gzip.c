/* SPDX-License-Identifier: ISC */
/*
 * A compressed kernel, RFC 1952: inflated as a whole before a loader looks at
 * it.  What it may become is bounded by what the guest has for it, so a file
 * that is small and never ends costs no more than that.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "load.h"

#define MIB	 (1ULL << 20)
#define PIECE	 65536U
#define ROOM_MIN (1 * MIB)
#define ROOM_MAX (256 * MIB) /* OpenBSD's loaders reach no further */
#define GZIP	 (16 + MAX_WBITS) /* zlib.h, "inflateInit2" */

struct gunzip {
	const struct load *l;
	z_stream z;
	uint64_t off; /* in the file */
	uint8_t in[PIECE];
	uint8_t *out;
	uint64_t room, limit;
};

static int
refill(struct gunzip *g)
{
	uint64_t left = g->l->kernel.size - g->off;
	size_t n = left < sizeof(g->in) ? left : sizeof(g->in);
	int r;

	if (n == 0)
		return load_fail(g->l, -ENODATA,
		    "kernel: gzip data ends early, at %#llx",
		    (unsigned long long)g->off);
	if ((r = load_peek(g->l, g->in, n, g->off)) < 0)
		return load_fail(g->l, r, "kernel: gzip data at %#llx: %s",
		    (unsigned long long)g->off, strerrordesc_np(-r));
	g->off += n;
	g->z.next_in = g->in;
	g->z.avail_in = (uInt)n;
	return 0;
}

static int
grow(struct gunzip *g)
{
	uint64_t had = g->room;
	uint8_t *p;

	if (had == g->limit)
		return load_fail(g->l, -ENOSPC,
		    "kernel: inflates to more than %llu MiB",
		    (unsigned long long)(g->limit / MIB));
	g->room = had == 0 ? ROOM_MIN : 2 * had;
	if (g->room > g->limit)
		g->room = g->limit;
	if ((p = realloc(g->out, g->room)) == NULL)
		return load_fail(g->l, -ENOMEM, "kernel: no memory to inflate");
	g->out = p;
	g->z.next_out = p + had;
	g->z.avail_out = (uInt)(g->room - had);
	return 0;
}

static int
inflate_all(struct gunzip *g)
{
	int r, z;

	do {
		if (g->z.avail_in == 0 && (r = refill(g)) < 0)
			return r;
		if (g->z.avail_out == 0 && (r = grow(g)) < 0)
			return r;
		z = inflate(&g->z, Z_NO_FLUSH);
		if (z != Z_OK && z != Z_BUF_ERROR && z != Z_STREAM_END)
			return load_fail(g->l, -EINVAL,
			    "kernel: bad gzip data before %#llx: %s",
			    (unsigned long long)(g->off - g->z.avail_in),
			    g->z.msg != NULL ? g->z.msg : "no memory");
	} while (z != Z_STREAM_END);
	return 0;
}

int
load_gunzip(struct load *l, uint8_t **bytes)
{
	struct gunzip *g;
	int r;

	if ((g = calloc(1, sizeof(*g))) == NULL)
		return load_fail(l, -ENOMEM, "kernel: no memory to inflate");
	g->l = l;
	g->limit = l->ram_end < ROOM_MAX ? l->ram_end : ROOM_MAX;
	if (inflateInit2(&g->z, GZIP) != Z_OK) {
		free(g);
		return load_fail(l, -ENOMEM, "kernel: no memory to inflate");
	}
	if ((r = inflate_all(g)) == 0) {
		l->kernel.bytes = *bytes = g->out;
		l->kernel.size = g->room - g->z.avail_out;
	} else
		free(g->out);
	inflateEnd(&g->z);
	free(g);
	return r;
}
