/* SPDX-License-Identifier: ISC */
/*
 * Compressed clusters: one at a time, the last one is kept.
 *
 * Whatever the data say, the result is one cluster at most, and so is what
 * zstd may use to look back (a few MiB at least, as others write it).
 */
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "qcow2_impl.h"

#define ZSTD_WINDOW_LOG 23

struct qc_inflate {
	z_stream deflate;
	bool has_deflate;
	ZSTD_DCtx *zstd;
	uint8_t *in, *out;
	bool valid; /* out is the cluster of: */
	unsigned layer;
	uint64_t entry;
};

int
qc_inflate_new(struct qcow2 *s)
{
	struct qc_inflate *z;
	uint64_t csize = 512;
	bool zstd = false;
	unsigned i;

	for (i = 0; i < s->nlayers; i++) {
		if (s->layer[i].format != VM_DISK_QCOW2)
			continue;
		if (s->layer[i].csize > csize)
			csize = s->layer[i].csize;
		zstd |= s->layer[i].h.compression == QCOW2_ZSTD;
	}
	z = s->inflate = calloc(1, sizeof(*z));
	if (z == NULL)
		return -ENOMEM;
	z->in = malloc(2 * csize + 512);
	z->out = malloc(csize);
	if (z->in == NULL || z->out == NULL)
		return -ENOMEM;
	z->has_deflate = inflateInit2(&z->deflate, -15) == Z_OK;
	if (!z->has_deflate)
		return -ENOMEM;
	if (!zstd)
		return 0;
	z->zstd = ZSTD_createDCtx();
	if (z->zstd == NULL ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(
		z->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG)))
		return -ENOMEM;
	return 0;
}

void
qc_inflate_free(struct qcow2 *s)
{
	struct qc_inflate *z = s->inflate;

	if (z == NULL)
		return;
	if (z->has_deflate)
		inflateEnd(&z->deflate);
	ZSTD_freeDCtx(z->zstd);
	free(z->in);
	free(z->out);
	free(z);
}

static int
run_deflate(struct qc_inflate *z, uint64_t len, uint64_t csize)
{
	z_stream *d = &z->deflate;
	int rc;

	if (inflateReset(d) != Z_OK)
		return -EIO;
	d->next_in = z->in;
	d->avail_in = (uInt)len;
	d->next_out = z->out;
	d->avail_out = (uInt)csize;
	rc = inflate(d, Z_FINISH);
	if ((rc != Z_STREAM_END && rc != Z_BUF_ERROR) || d->avail_out != 0)
		return -EIO;
	return 0;
}

static int
run_zstd(struct qc_inflate *z, uint64_t len, uint64_t csize)
{
	ZSTD_inBuffer in = { z->in, len, 0 };
	ZSTD_outBuffer out = { z->out, csize, 0 };
	size_t rc, before;

	ZSTD_DCtx_reset(z->zstd, ZSTD_reset_session_only);
	while (out.pos < out.size) {
		before = in.pos + out.pos;
		rc = ZSTD_decompressStream(z->zstd, &out, &in);
		if (ZSTD_isError(rc))
			return -EIO;
		if (out.pos < out.size &&
		    (rc == 0 || in.pos + out.pos == before))
			return -EIO;
	}
	return 0;
}

static int
was_read(struct qc_op *op)
{
	struct qcow2 *s = op->s;
	struct qc_inflate *z = s->inflate;
	const struct qc_layer *l = &s->layer[op->in_layer];
	int error;

	if (l->h.compression == QCOW2_ZSTD)
		error = run_zstd(z, op->in_len, l->csize);
	else
		error = run_deflate(z, op->in_len, l->csize);
	z->valid = error == 0;
	z->layer = op->in_layer;
	z->entry = op->in_entry;
	op->holds &= ~(unsigned)QC_HOLD_INFLATE;
	s->inflate_busy = false;
	qc_wake(s, &s->inflate_wait, 0);
	op->step = op->in_then;
	return error;
}

int
qc_inflated(
    struct qc_op *op, unsigned layer, uint64_t entry, const uint8_t **data)
{
	struct qcow2 *s = op->s;
	struct qc_inflate *z = s->inflate;
	uint64_t off;

	if (s->inflate_busy)
		return qc_wait(op, &s->inflate_wait);
	if (z->valid && z->layer == layer && z->entry == entry) {
		*data = z->out;
		return QC_GO;
	}
	s->inflate_busy = true;
	z->valid = false;
	op->holds |= QC_HOLD_INFLATE;
	op->in_layer = layer;
	op->in_entry = entry;
	op->in_then = op->step;
	qcow2_compressed(
	    s->layer[layer].h.cluster_bits, entry, &off, &op->in_len);
	op->iov[0] = (struct iovec){ z->in, op->in_len };
	return qc_xfer(op, AIO_READ, layer, off, 1, op->in_len, was_read);
}
