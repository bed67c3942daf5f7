/* SPDX-License-Identifier: ISC */
/*
 * Copies of disks: several pieces at a time, without blocks of zeroes.
 */
#include <sys/eventfd.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "imgcopy.h"
#include "log.h"

#define PIECES 16U
#define PIECE  (256U * 1024)
/* What is left out when it is all zeroes. */
#define BLOCK (64U * 1024)
#define BAR   40U

struct job;

struct piece {
	struct disk_req req; /* first */
	struct job *job;
	struct iovec iov;
	uint64_t off;
	uint32_t len, at; /* at: written so far */
	uint8_t *buf;
};

struct job {
	struct disk *in, *out;
	struct aio *rd, *wr;
	uint64_t size, next, done;
	unsigned busy; /* pieces */
	int error;
	bool writing; /* where the error was */
	bool progress;
	unsigned shown;
	struct piece piece[PIECES];
};

static bool
make_engine(struct aio **a, const struct disk_layer *l, unsigned n, bool ro)
{
	int fd[DISK_LAYERS_MAX] = { -1 }, error;
	struct aio_conf conf = { .readonly = ro, .depth = 2 * PIECES + 64 };
	unsigned i;

	for (i = 0; i < n; i++)
		fd[i] = l[i].fd;
	conf.fd = fd[0];
	conf.more = fd + 1;
	conf.nmore = n - 1;
	conf.kick = eventfd(0, EFD_CLOEXEC);
	conf.wake = eventfd(0, EFD_CLOEXEC);
	conf.call = eventfd(0, EFD_CLOEXEC);
	error = aio_new(a, &conf);
	if (error == 0)
		error = aio_bind(*a);
	if (error != 0)
		log_warnx("cannot make a queue: %s", strerror(-error));
	return error == 0;
}

bool
imgcopy_prepare(struct imgcopy *c, const struct disk_layer *in, unsigned n,
    struct disk_layer out)
{
	memcpy(c->in, in, n * sizeof(*in));
	c->n = n;
	c->out = out;
	return n > 0 && make_engine(&c->rd, in, n, true) &&
	    make_engine(&c->wr, &c->out, 1, false);
}

static void
show(struct job *j)
{
	unsigned now = (unsigned)(j->done * 100 / j->size);
	char bar[BAR + 1];

	if (!j->progress || now == j->shown)
		return;
	j->shown = now;
	memset(bar, ' ', BAR);
	memset(bar, '#', now * BAR / 100);
	bar[BAR] = '\0';
	fprintf(stderr, "\r[%s] %3u%%%s", bar, now, now == 100 ? "\n" : "");
}

static void read_next(struct piece *);
static void write_next(struct piece *);

static void
failed(struct piece *p, int error, bool writing)
{
	struct job *j = p->job;

	j->busy--;
	if (j->error == 0) {
		j->error = error;
		j->writing = writing;
	}
}

static bool
zeroes(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

static void
was_written(struct disk_req *r, int error)
{
	struct piece *p = (struct piece *)r;

	if (error != 0) {
		failed(p, error, true);
		return;
	}
	p->at += (uint32_t)r->len;
	write_next(p);
}

static uint32_t
block(const struct piece *p, uint32_t at)
{
	return p->len - at < BLOCK ? p->len - at : BLOCK;
}

/* The next run of blocks that are not all zeroes. */
static void
write_next(struct piece *p)
{
	struct job *j = p->job;
	uint32_t end;
	int error;

	while (p->at < p->len && zeroes(p->buf + p->at, block(p, p->at)))
		p->at += block(p, p->at);
	if (p->at == p->len) {
		j->busy--;
		j->done += p->len;
		show(j);
		read_next(p);
		return;
	}
	for (end = p->at; end < p->len && !zeroes(p->buf + end, block(p, end));)
		end += block(p, end);
	p->iov = (struct iovec){ p->buf + p->at, end - p->at };
	p->req = (struct disk_req){
		.op = DISK_WRITE,
		.iov = &p->iov,
		.niov = 1,
		.off = p->off + p->at,
		.len = end - p->at,
		.done = was_written,
	};
	error = disk_start(j->out, j->wr, &p->req);
	if (error != 0)
		failed(p, error, true);
}

static void
was_read(struct disk_req *r, int error)
{
	struct piece *p = (struct piece *)r;

	if (error != 0) {
		failed(p, error, false);
		return;
	}
	p->at = 0;
	write_next(p);
}

static void
read_next(struct piece *p)
{
	struct job *j = p->job;
	uint64_t left = j->size - j->next;
	int error;

	if (left == 0 || j->error != 0)
		return;
	p->off = j->next;
	p->len = left < PIECE ? (uint32_t)left : PIECE;
	j->next += p->len;
	j->busy++;
	p->iov = (struct iovec){ p->buf, p->len };
	p->req = (struct disk_req){
		.op = DISK_READ,
		.iov = &p->iov,
		.niov = 1,
		.off = p->off,
		.len = p->len,
		.done = was_read,
	};
	error = disk_start(j->in, j->rd, &p->req);
	if (error != 0)
		failed(p, error, false);
}

/* Sleeps in one of the engines only when the other has nothing to do. */
static void
turn(struct job *j)
{
	int a, b;

	a = aio_run(j->rd, false);
	b = aio_run(j->wr, false);
	if (a < 0 || b < 0) {
		j->error = a < 0 ? a : b;
		j->busy = 0;
		return;
	}
	if ((a & AIO_DONE) != 0 || (b & AIO_DONE) != 0)
		return;
	if (aio_inflight(j->wr) > 0)
		(void)aio_run(j->wr, true);
	else if (aio_inflight(j->rd) > 0)
		(void)aio_run(j->rd, true);
}

static void
flushed(struct disk_req *r, int error)
{
	struct piece *p = (struct piece *)r;

	p->job->busy--;
	if (error != 0 && p->job->error == 0) {
		p->job->error = error;
		p->job->writing = true;
	}
}

static void
copy(struct job *j)
{
	struct piece *p = &j->piece[0];
	unsigned i;

	for (i = 0; i < PIECES; i++) {
		j->piece[i].job = j;
		read_next(&j->piece[i]);
	}
	while (j->busy > 0)
		turn(j);
	if (j->error != 0)
		return;
	j->busy = 1;
	p->req = (struct disk_req){ .op = DISK_FLUSH, .done = flushed };
	if (disk_start(j->out, j->wr, &p->req) != 0)
		flushed(&p->req, -EIO);
	while (j->busy > 0 || aio_inflight(j->wr) > 0)
		turn(j);
}

static bool
make_buffers(struct job *j)
{
	unsigned i;

	for (i = 0; i < PIECES; i++)
		if ((j->piece[i].buf = malloc(PIECE)) == NULL)
			return false;
	return true;
}

int
imgcopy_run(struct imgcopy *c, bool progress)
{
	struct job *j = calloc(1, sizeof(*j));
	struct why why;

	if (j == NULL || !make_buffers(j)) {
		log_warnx("out of memory");
		return 1;
	}
	j->rd = c->rd;
	j->wr = c->wr;
	j->progress = progress;
	if (disk_open_chain(&j->in, c->in, c->n, true, &why) != 0) {
		log_warnx("input image: %s", why.text);
		return 1;
	}
	if (disk_open_chain(&j->out, &c->out, 1, false, &why) != 0) {
		log_warnx("new image: %s", why.text);
		return 1;
	}
	j->size = disk_size(j->in);
	copy(j);
	if (j->error != 0) {
		/* strerror(3) would look for translations. */
		log_warnx("%s image: %s",
		    j->writing ? "cannot write the new"
			       : "cannot read the input",
		    strerrordesc_np(-j->error));
		return 1;
	}
	disk_close(j->out);
	disk_close(j->in);
	return 0;
}
