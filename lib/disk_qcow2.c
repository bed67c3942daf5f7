/* SPDX-License-Identifier: ISC */
/*
 * qcow2 images and chains of them, as a format of disk.h: opening and
 * closing.  What happens in between is in qcow2_impl.h and its files.
 */
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <linux/fs.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "aio_sync.h"
#include "log.h"
#include "qcow2_impl.h"
#include "qcow2_sync.h"

#define PAGES_MIN    256U
#define PAGES_MAX    4096U
#define BOUNCE_BYTES (4U << 20)
#define BOUNCE_MIN   4U

static int
open_raw(struct qcow2 *s, unsigned i, struct why *why)
{
	struct qc_layer *l = &s->layer[i];
	struct stat st;
	int fd = s->disk->fd[i];

	if (fstat(fd, &st) == -1)
		return why_set(why, -errno, "cannot look at a backing file");
	l->size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &l->size) == -1)
		return why_set(why, -errno, "cannot get a backing file's size");
	l->end = l->size;
	return 0;
}

static int
read_l1(struct qcow2 *s, unsigned i, struct why *why)
{
	struct qc_layer *l = &s->layer[i];
	struct qc_table *t = &l->l1;
	int error;

	t->off = l->h.l1_offset;
	t->bytes = (uint64_t)l->h.l1_size * 8;
	t->be = calloc(1, (size_t)t->bytes + 8);
	t->dirty = calloc((size_t)(t->bytes / 512 / 64 + 1), sizeof(*t->dirty));
	if (t->be == NULL || t->dirty == NULL)
		return why_set(why, -ENOMEM, "out of memory");
	error = qcow2_read_at(s->disk->fd[i], t->be, (size_t)t->bytes, t->off);
	if (error != 0)
		return why_set(why, error, "cannot read the L1 table");
	return 0;
}

static int
open_layer(struct qcow2 *s, unsigned i, struct why *why)
{
	struct qc_layer *l = &s->layer[i];
	struct why w = { "" };
	int error;

	l->format = s->disk->layer[i].format;
	if (l->format == VM_DISK_RAW)
		return open_raw(s, i, why);
	error = qcow2_header_read(s->disk->fd[i], &l->h, &w);
	if (error == 0) {
		l->size = l->h.size;
		l->end = l->h.file_size;
		l->csize = qcow2_cluster_size(&l->h);
		l->psize = l->csize < QC_PAGE ? (uint32_t)l->csize : QC_PAGE;
		error = read_l1(s, i, &w);
	}
	if (error == 0 && (l->h.backing[0] != '\0') != (i + 1 < s->nlayers))
		error = why_set(&w, -EINVAL,
		    i + 1 < s->nlayers
			? "image has no backing file, but one was given"
			: "image has a backing file, which is missing");
	if (error != 0 && i > 0)
		return why_set(
		    why, error, "backing file %u: %.200s", i, w.text);
	return error != 0 ? why_set(why, error, "%s", w.text) : 0;
}

/* Pages for all L2 tables, if that is not too much. */
static uint32_t
count_pages(const struct qcow2 *s)
{
	uint64_t n = PAGES_MIN, pages;
	const struct qc_layer *l;
	unsigned i;

	for (i = 0; i < s->nlayers; i++) {
		l = &s->layer[i];
		if (l->format != VM_DISK_QCOW2)
			continue;
		pages = l->size / l->csize / (l->psize / 8) + 1;
		n += pages < PAGES_MAX ? pages : PAGES_MAX;
	}
	return n < PAGES_MAX ? (uint32_t)n : PAGES_MAX;
}

static int
make_pages(struct qcow2 *s)
{
	uint32_t i, n = count_pages(s), buckets = 1;

	while (buckets < n)
		buckets *= 2;
	s->page = calloc(n, sizeof(*s->page));
	s->page_mem = malloc((size_t)n * QC_PAGE);
	s->hash = malloc(buckets * sizeof(*s->hash));
	if (s->page == NULL || s->page_mem == NULL || s->hash == NULL)
		return -ENOMEM;
	s->npages = n;
	s->hash_mask = buckets - 1;
	for (i = 0; i < buckets; i++)
		s->hash[i] = QC_NOPAGE;
	for (i = 0; i < n; i++) {
		s->page[i].s = s;
		s->page[i].data = s->page_mem + (size_t)i * QC_PAGE;
		qc_wait_init(&s->page[i].wait);
	}
	return 0;
}

static int
make_bounces(struct qcow2 *s)
{
	uint64_t csize = s->layer[0].csize;
	unsigned i, n = (unsigned)(BOUNCE_BYTES / csize);

	if (n < BOUNCE_MIN)
		n = BOUNCE_MIN;
	if (n > QC_OPS)
		n = QC_OPS;
	s->bounce_mem = malloc(n * csize);
	s->bounce = calloc(n, sizeof(*s->bounce));
	if (s->bounce_mem == NULL || s->bounce == NULL)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		s->bounce[i] = s->bounce_mem + i * csize;
	s->nbounce = n;
	return 0;
}

static int
make_ops(struct qcow2 *s)
{
	unsigned i;

	/* The last one is for freeing clusters. */
	s->ops = calloc(QC_OPS + 1, sizeof(*s->ops));
	if (s->ops == NULL)
		return -ENOMEM;
	for (i = QC_OPS + 1; i-- > 0;) {
		s->ops[i].s = s;
		s->ops[i].next = s->free;
		if (i < QC_OPS)
			s->free = &s->ops[i];
	}
	s->ops[QC_OPS - 1].next = NULL;
	s->reap.op = &s->ops[QC_OPS];
	return 0;
}

static int
make_all(struct qcow2 *s)
{
	int error;

	qc_wait_init(&s->ready);
	qc_wait_init(&s->page_wait);
	qc_wait_init(&s->bounce_wait);
	qc_wait_init(&s->table_wait);
	qc_wait_init(&s->inflate_wait);
	s->backlog_tail = &s->backlog;
	qc_commit_init(s);
	if ((error = make_ops(s)) == 0 && (error = make_pages(s)) == 0 &&
	    (error = make_bounces(s)) == 0 && (error = qc_reap_init(s)) == 0)
		error = qc_inflate_new(s);
	return error;
}

/* Beyond the end of a file a hole changes nothing: see disk_raw.c. */
static bool
probe_punch(const struct qcow2 *s)
{
	const struct qc_layer *l = &s->layer[0];
	uint64_t off = (l->end + 2 * QC_PAGE) & ~(uint64_t)(QC_PAGE - 1);

	return !l->h.blockdev &&
	    fallocate(s->disk->fd[0],
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
		QC_PAGE) == 0;
}

/* All that was loaded. */
static void
forget(struct qcow2 *s)
{
	const struct qcow2 bare = {
		.disk = s->disk,
		.last = s->last,
		.nlayers = s->nlayers,
	};
	unsigned i;

	for (i = 0; i < s->nlayers; i++) {
		free(s->layer[i].l1.be);
		free(s->layer[i].l1.dirty);
	}
	free(s->space.refs.be);
	free(s->space.refs.dirty);
	free(s->space.used);
	free(s->space.meta);
	free(s->space.plan);
	free(s->reap.ring);
	free(s->page);
	free(s->page_mem);
	free(s->hash);
	free(s->bounce_mem);
	free(s->bounce);
	free(s->ops);
	qc_inflate_free(s);
	*s = bare;
}

static int
qcow2_load(struct disk *d, struct why *why)
{
	struct qcow2 *s = d->format;
	unsigned i;
	int error = 0;

	for (i = 0; i < s->nlayers && error == 0; i++)
		error = open_layer(s, i, why);
	if (error == 0 &&
	    s->layer[0].size - s->layer[0].size % DISK_SECTOR != d->size)
		error = why_set(why, -EINVAL, "image's size has changed");
	if (error == 0 && !d->readonly)
		error = qc_load(s, why);
	if (error == 0 && (error = make_all(s)) != 0)
		why_set(why, error, "out of memory");
	if (error != 0)
		forget(s);
	else
		s->reap.can_punch = !d->readonly && probe_punch(s);
	return error;
}

static int
qcow2_open(struct disk *d, struct why *why)
{
	struct qcow2 *s = calloc(1, sizeof(*s));
	struct aio_conf conf = { 0 };
	struct qcow2_header h;
	int error;

	if (s == NULL)
		return why_set(why, -ENOMEM, "out of memory");
	s->disk = d;
	s->nlayers = d->nlayers;
	disk_aio(d, &conf);
	error = qcow2_header_read(d->fd[0], &h, why);
	if (error == 0 && (error = aio_sync_new(&s->last, &conf)) != 0)
		why_set(why, error, "out of memory");
	if (error != 0) {
		free(s);
		return error;
	}
	d->format = s;
	d->cut = h.size % DISK_SECTOR;
	d->size = h.size - d->cut;
	d->block = (uint32_t)qcow2_cluster_size(&h);
	d->can_discard = !d->readonly;
	d->threads = 1;
	d->extra = QC_COMMIT_IO + 2;
	return 0;
}

struct last {
	struct disk_req req;
	bool done;
	int error;
};

static void
last_done(struct disk_req *r, int error)
{
	struct last *l = (struct last *)r;

	l->done = true;
	l->error = error;
}

/*
 * Twice: the first commit allows clusters to be freed, the second one writes
 * that they are.
 */
static int
write_back(struct disk *d)
{
	struct qcow2 *s = d->format;
	struct last l = { 0 };
	struct aio *a = s->last;
	int error = 0, i;

	for (i = 0; i < 2 && error == 0; i++) {
		l.done = false;
		l.req.op = DISK_FLUSH;
		l.req.done = last_done;
		error = disk_start(d, a, &l.req);
		while (error == 0 &&
		    (!l.done || aio_inflight(a) > 0 ||
			(l.error == 0 && !qc_reap_quiet(s))))
			aio_run(a, false);
		if (error == 0)
			error = l.error;
	}
	return error;
}

static int
qcow2_store(struct disk *d)
{
	int error = d->readonly ? 0 : write_back(d);

	if (error == 0)
		forget(d->format);
	return error;
}

static void
qcow2_close(struct disk *d)
{
	struct qcow2 *s = d->format;
	int error = d->readonly || !d->loaded ? 0 : write_back(d);

	if (error != 0) {
		errno = -error;
		log_warn("cannot write what is left of an image");
	}
	forget(s);
	aio_free(s->last);
	free(s);
}

const struct disk_ops disk_qcow2 = {
	.name = "qcow2",
	.open = qcow2_open,
	.load = qcow2_load,
	.store = qcow2_store,
	.start = qc_start,
	.hole = qc_hole,
	.close = qcow2_close,
};
