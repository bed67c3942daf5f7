/* SPDX-License-Identifier: ISC */
/*
 * The image of a block device is copied, or is a copy that comes into being:
 * mirror.h.  The main thread takes requests and gives answers; the first
 * queue's thread reads and writes in between, among the guest's requests, since
 * some formats are one thread's.
 *
 * Invariants
 *  1. A granule is taken from the map before it is read.  A guest's request
 *     marks what it changed when it is done, before the guest learns of it: so
 *     what was changed under a reader's hands, or after it, is marked.  One
 *     that was under way as the copying began is done later, and marks too.
 *  2. Where all requests are done, as after a drain, what is not marked was
 *     read as it is.
 *  3. Nothing is begun after MIRROR_END.
 *  4. An image is a copy only while its guest has never run.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vioblk_impl.h"

static_assert(MIRROR_WINDOW + 4 <= MIRROR_SLOTS, "others than pieces");

int
vioblk_mirror_init(struct vioblk_mirror *m)
{
	m->todo_tail = &m->todo;
	m->done_tail = &m->done;
	return -pthread_mutex_init(&m->lock, NULL);
}

void
vioblk_mirror_free(struct vioblk_mirror *m)
{
	pthread_mutex_destroy(&m->lock);
	blkmap_free(&m->map);
	free(m->buf);
}

static void
put_done(struct vioblk *v, struct vioblk_job *j)
{
	struct vioblk_mirror *m = &v->mirror;

	pthread_mutex_lock(&m->lock);
	j->next = NULL;
	*m->done_tail = j;
	m->done_tail = &j->next;
	pthread_mutex_unlock(&m->lock);
	vdev_news(&v->vdev);
}

static struct vioblk_job *
take_todo(struct vioblk_mirror *m)
{
	struct vioblk_job *j;

	pthread_mutex_lock(&m->lock);
	if ((j = m->todo) != NULL && (m->todo = j->next) == NULL)
		m->todo_tail = &m->todo;
	pthread_mutex_unlock(&m->lock);
	return j;
}

/* ---- the first queue's thread ---- */

static bool
is_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

static void
job_done(struct disk_req *r, int error)
{
	struct vioblk_job *j = (struct vioblk_job *)r;

	j->msg.error = (uint32_t)-error;
	if (j->msg.what != MIRROR_NEXT || error != 0 ||
	    is_zero(j->buf, (size_t)j->msg.len))
		j->msg.bytes = NULL;
	put_done(j->dev, j);
}

static void
start(struct vioblk_queue *q, struct vioblk_job *j, enum disk_op op)
{
	int error;

	j->iov = (struct iovec){ j->buf, (size_t)j->msg.len };
	j->disk = (struct disk_req){
		.op = op,
		.iov = &j->iov,
		.niov = 1,
		.off = j->msg.off,
		.len = j->msg.len,
		.done = job_done,
	};
	if ((error = disk_start(q->dev->disk, q->aio, &j->disk)) != 0)
		job_done(&j->disk, error);
}

/*
 * The zeroes from a marked granule on, in whole ones: 0: there are none.  It is
 * asked again after they were taken, as somebody may write there.
 */
static uint64_t
take_hole(struct vioblk *v, uint64_t off)
{
	struct blkmap *map = &v->mirror.map;
	uint64_t n = disk_hole(v->disk, off);

	if (n > MIRROR_ZEROES)
		n = MIRROR_ZEROES;
	if (n < map->size - off)
		n -= n % BLKMAP_GRANULE;
	if (n == 0)
		return 0;
	blkmap_take(map, off, n);
	if (disk_hole(v->disk, off) >= n)
		return n;
	blkmap_mark(map, off, n);
	return 0;
}

static void
next_piece(struct vioblk_queue *q, struct vioblk_job *j)
{
	struct vioblk_mirror *m = &q->dev->mirror;
	uint64_t off, n;

	if (m->pass != j->msg.tag) {
		m->pass = j->msg.tag;
		m->cursor = 0;
	}
	j->msg.bytes = NULL;
	j->msg.len = 0;
	if (!blkmap_next(&m->map, m->cursor, &off)) {
		m->cursor = m->map.size;
		put_done(q->dev, j);
		return;
	}
	j->msg.off = off;
	if ((n = take_hole(q->dev, off)) != 0) {
		j->msg.len = n;
		m->cursor = off + n;
		put_done(q->dev, j);
		return;
	}
	n = m->map.size - off;
	j->msg.len = n < BLKMAP_GRANULE ? n : BLKMAP_GRANULE;
	m->cursor = off + j->msg.len;
	blkmap_take(&m->map, off, j->msg.len);
	j->msg.bytes = j->buf;
	start(q, j, DISK_READ);
}

void
vioblk_mirror_run(struct vioblk_queue *q)
{
	struct vioblk_mirror *m = &q->dev->mirror;
	struct vioblk_job *j;

	if (q->v.index != 0 ||
	    __atomic_load_n(&m->buf, __ATOMIC_ACQUIRE) == NULL)
		return;
	while ((j = take_todo(m)) != NULL) {
		if (j->msg.what == MIRROR_NEXT)
			next_piece(q, j);
		else if (j->msg.len == 0)
			start(q, j, DISK_FLUSH);
		else
			start(q, j,
			    j->msg.bytes != NULL ? DISK_WRITE
						 : DISK_ZERO_UNMAP);
	}
}

void
vioblk_mirror_wrote(struct vioblk *v, uint64_t off, uint64_t len)
{
	if (__atomic_load_n(&v->mirror.marking, __ATOMIC_ACQUIRE))
		blkmap_mark(&v->mirror.map, off, len);
}

/* ---- the main thread ---- */

static int
make_buffers(struct vioblk_mirror *m)
{
	uint8_t *buf;
	unsigned i;

	if (m->buf != NULL)
		return 0;
	if ((buf = malloc(MIRROR_SLOTS * MIRROR_PIECE)) == NULL)
		return -ENOMEM;
	for (i = 0; i < MIRROR_SLOTS; i++)
		m->job[i].buf = buf + i * MIRROR_PIECE;
	__atomic_store_n(&m->buf, buf, __ATOMIC_RELEASE);
	return 0;
}

static int
begin(struct vioblk *v, enum mirror_do how)
{
	struct vioblk_mirror *m = &v->mirror;
	struct why why = { "" };
	int error;

	if (v->conf.readonly)
		return -EROFS;
	if (how == MIRROR_TO && v->vdev.generation != 0)
		return -EBUSY;
	if ((error = make_buffers(m)) != 0)
		return error;
	if ((error = disk_load(v->disk, &why)) != 0) {
		log_warnx("%s", why.text);
		return error;
	}
	/* Once made it stays, as a queue may be marking. */
	if (how == MIRROR_FROM && m->map.size == 0 &&
	    (error = blkmap_init(&m->map, disk_size(v->disk))) != 0)
		return error;
	m->mode = how;
	if (how == MIRROR_TO)
		return 0;
	__atomic_store_n(&m->marking, true, __ATOMIC_RELEASE);
	blkmap_mark(&m->map, 0, m->map.size);
	return 0;
}

/* What was not begun is answered without. */
static void
end(struct vioblk *v)
{
	struct vioblk_mirror *m = &v->mirror;
	struct vioblk_job *j;

	m->mode = MIRROR_END;
	__atomic_store_n(&m->marking, false, __ATOMIC_RELEASE);
	while ((j = take_todo(m)) != NULL) {
		j->msg.error = ECANCELED;
		j->msg.bytes = NULL;
		put_done(v, j);
	}
}

static void
put_todo(struct vioblk *v, struct vioblk_job *j)
{
	struct vioblk_mirror *m = &v->mirror;
	const uint64_t one = 1;

	pthread_mutex_lock(&m->lock);
	j->next = NULL;
	*m->todo_tail = j;
	m->todo_tail = &j->next;
	pthread_mutex_unlock(&m->lock);
	/* Fails only when the counter is full, which wakes as well. */
	(void)!write(v->queue[0].v.wake, &one, sizeof(one));
}

/* Does it belong to what is going on? */
static bool
fits(const struct vioblk *v, const struct mirror_msg *msg)
{
	const struct vioblk_mirror *m = &v->mirror;

	switch (msg->what) {
	case MIRROR_END:
	case MIRROR_FROM:
	case MIRROR_TO:
		return true;
	case MIRROR_NEXT:
	case MIRROR_LEFT:
		return m->mode == MIRROR_FROM;
	case MIRROR_PUT:
		return m->mode == MIRROR_TO && v->vdev.generation == 0 &&
		    ((msg->len == 0 && msg->bytes == NULL) ||
			mirror_piece_ok(msg, disk_size(v->disk)));
	}
	return false;
}

static struct vioblk_job *
free_job(struct vioblk *v)
{
	unsigned i;

	for (i = 0; i < MIRROR_SLOTS; i++)
		if (!v->mirror.job[i].used)
			return &v->mirror.job[i];
	return NULL;
}

int
vioblk_mirror(struct vioblk *v, const struct mirror_msg *msg)
{
	struct vioblk_job *j = free_job(v);

	if (j == NULL || !fits(v, msg))
		return -EBADMSG;
	j->used = true;
	j->dev = v;
	j->msg = *msg;
	j->msg.error = 0;
	switch (msg->what) {
	case MIRROR_END:
		end(v);
		break;
	case MIRROR_FROM:
	case MIRROR_TO:
		j->msg.error = (uint32_t)-begin(v, msg->what);
		break;
	case MIRROR_LEFT:
		j->msg.left = blkmap_left(&v->mirror.map);
		break;
	case MIRROR_PUT:
		if (msg->bytes != NULL) {
			memcpy(j->buf, msg->bytes, (size_t)msg->len);
			j->msg.bytes = j->buf;
		}
		put_todo(v, j);
		return 0;
	case MIRROR_NEXT:
		put_todo(v, j);
		return 0;
	}
	put_done(v, j);
	return 0;
}

bool
vioblk_mirrored(struct vioblk *v, struct mirror_msg *out)
{
	struct vioblk_mirror *m = &v->mirror;
	struct vioblk_job *j;

	if (m->told != NULL)
		m->told->used = false;
	pthread_mutex_lock(&m->lock);
	if ((j = m->done) != NULL && (m->done = j->next) == NULL)
		m->done_tail = &m->done;
	pthread_mutex_unlock(&m->lock);
	m->told = j;
	if (j == NULL)
		return false;
	*out = j->msg;
	return true;
}

bool
vioblk_mirroring(const struct vioblk *v)
{
	return v->mirror.mode == MIRROR_FROM;
}
