/* SPDX-License-Identifier: ISC */
/*
 * Vectors, and transfers between them and the files of the layers.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "qcow2_impl.h"

/* Interrupted operations of one transfer that are repeated. */
#define TRIES  64
#define ZEROES (64 * 1024)

/* Never written: all of it is the kernel's one page of zeroes. */
static const uint8_t zeroes[ZEROES];

size_t
qc_cur_slice(const struct qc_cur *cur, uint64_t want, struct iovec *out,
    unsigned max, unsigned *n)
{
	const struct iovec *v = cur->iov;
	size_t skip = cur->skip, part, got = 0;

	*n = 0;
	for (; got < want && *n < max; v++, skip = 0) {
		part = v->iov_len - skip;
		if (part > want - got)
			part = (size_t)(want - got);
		if (part == 0)
			continue;
		out[*n].iov_base = (uint8_t *)v->iov_base + skip;
		out[*n].iov_len = part;
		(*n)++;
		got += part;
	}
	return got;
}

void
qc_cur_advance(struct qc_cur *cur, uint64_t n)
{
	while (n > 0 && n >= cur->iov->iov_len - cur->skip) {
		n -= cur->iov->iov_len - cur->skip;
		cur->skip = 0;
		cur->iov++;
	}
	cur->skip += n;
}

/* from NULL: zeroes. */
static void
fill(struct qc_cur *cur, const uint8_t *from, uint64_t n)
{
	size_t part;
	uint8_t *to;

	while (n > 0) {
		part = cur->iov->iov_len - cur->skip;
		if (part > n)
			part = (size_t)n;
		to = (uint8_t *)cur->iov->iov_base + cur->skip;
		if (from == NULL)
			memset(to, 0, part);
		else
			memcpy(to, from, part);
		from = from == NULL ? NULL : from + part;
		qc_cur_advance(cur, part);
		n -= part;
	}
}

void
qc_cur_zero(struct qc_cur *cur, uint64_t n)
{
	fill(cur, NULL, n);
}

void
qc_cur_copy(struct qc_cur *cur, const uint8_t *from, uint64_t n)
{
	fill(cur, from, n);
}

/* As many zeroes as fit, up to *len, which becomes what they are. */
unsigned
qc_zeroes(struct iovec *v, unsigned max, uint64_t *len)
{
	uint64_t left = *len;
	unsigned n = 0;

	while (left > 0 && n < max) {
		v[n].iov_base = (void *)(uintptr_t)zeroes;
		v[n].iov_len = left < ZEROES ? (size_t)left : ZEROES;
		left -= v[n++].iov_len;
	}
	*len -= left;
	return n;
}

static struct qc_op *
owner(struct aio_req *a)
{
	return (struct qc_op *)((char *)a - offsetof(struct qc_op, areq));
}

static void
resume(struct qc_op *op, int error)
{
	struct qcow2 *s = op->s;

	op->error = error;
	qc_run(op);
	qc_drain(s);
}

static void
advance(struct aio_req *a, uint64_t n)
{
	struct iovec *v = (struct iovec *)(uintptr_t)a->iov;

	a->off += n;
	while (n > 0 && n >= v->iov_len) {
		n -= v->iov_len;
		v++;
		a->niov--;
	}
	if (n > 0) {
		v->iov_base = (uint8_t *)v->iov_base + n;
		v->iov_len -= n;
	}
	a->iov = v;
}

/*
 * The file ends here.  What was never written reads as zeroes; what was there
 * is missing: the file was cut off under us.
 */
static int
at_end(struct qc_op *op, struct aio_req *a)
{
	struct qc_cur cur = { a->iov, 0 };

	if (a->off < op->s->layer[a->file].end)
		return -EIO;
	qc_cur_zero(&cur, op->io_left);
	return 0;
}

static void
xfer_done(struct aio_req *a, int64_t res)
{
	struct qc_op *op = owner(a);
	struct qc_layer *l = &op->s->layer[a->file];

	if ((res == -EINTR || res == -EAGAIN) && op->tries++ < TRIES) {
		aio_start(op->s->aio, a);
		return;
	}
	if (res < 0) {
		resume(op, (int)res);
		return;
	}
	if (a->op == AIO_PUNCH) {
		resume(op, 0);
		return;
	}
	if (res == 0) {
		resume(op, a->op == AIO_READ ? at_end(op, a) : -EIO);
		return;
	}
	op->io_left -= (uint64_t)res;
	advance(a, (uint64_t)res);
	if (a->op == AIO_WRITE && a->off > l->end)
		l->end = a->off;
	if (op->io_left > 0)
		aio_start(op->s->aio, a);
	else
		resume(op, 0);
}

int
qc_xfer(struct qc_op *op, enum aio_op how, unsigned layer, uint64_t off,
    unsigned n, uint64_t len, qc_next then)
{
	op->areq = (struct aio_req){
		.op = how,
		.file = (uint8_t)layer,
		.iov = op->iov,
		.niov = n,
		.off = off,
		.len = len,
		.done = xfer_done,
	};
	op->io_left = len;
	op->tries = 0;
	op->step = then;
	aio_start(op->s->aio, &op->areq);
	return QC_WAIT;
}
