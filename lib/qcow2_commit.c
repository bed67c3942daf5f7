/* SPDX-License-Identifier: ISC */
/*
 * Commits: changed metadata go to the disk, in the order of invariant 2 of
 * qcow2_impl.h.  Flushes that come while one runs wait for the next.
 */
#include <errno.h>
#include <stddef.h>

#include "qcow2_impl.h"

#define SECTOR 512U

static void step(struct qcow2 *);

void
qc_commit_init(struct qcow2 *s)
{
	struct qc_commit *c = &s->commit;
	unsigned i;

	qc_wait_init(&c->next);
	qc_wait_init(&c->this);
	qc_wait_init(&c->idle);
	for (i = 0; i < QC_COMMIT_IO; i++) {
		c->io[i].s = s;
		c->io[i].next = c->free;
		c->free = &c->io[i];
	}
}

/* qc_drain() begins it. */
void
qc_commit_kick(struct qcow2 *s)
{
	s->commit.again = true;
}

int
qc_commit_quiet(struct qc_op *op)
{
	struct qcow2 *s = op->s;

	if (s->corrupt)
		return -EIO;
	if (s->commit.phase != QC_IDLE)
		return qc_wait(op, &s->commit.idle);
	return QC_GO;
}

static int
flushed(struct qc_op *op)
{
	op->step = NULL;
	return QC_GO;
}

/* The last step of a request. */
int
qc_flush(struct qc_op *op)
{
	op->step = flushed;
	qc_commit_kick(op->s);
	return qc_wait(op, &op->s->commit.next);
}

static void
end(struct qcow2 *s)
{
	struct qc_commit *c = &s->commit;

	c->phase = QC_IDLE;
	qc_wake(s, &c->this, c->error);
	qc_wake(s, &c->idle, 0);
	qc_wake(s, &s->page_wait, c->error);
	if (c->next.head != NULL)
		c->again = true;
	if (c->error == 0) {
		s->reap.committed = s->reap.tail;
		qc_reap_kick(s);
	} else {
		qc_wake(s, &s->reap.space, c->error);
	}
}

static void
io_free(struct qc_commit_io *io)
{
	io->next = io->s->commit.free;
	io->s->commit.free = io;
	io->s->commit.out--;
}

static void
table_dirty(struct qc_table *t, unsigned sector)
{
	if (qc_bit(t->dirty, sector))
		return;
	qc_bit_set(t->dirty, sector);
	t->ndirty++;
}

static void
written(struct aio_req *a, int64_t res)
{
	struct qc_commit_io *io = (struct qc_commit_io *)((char *)a -
	    offsetof(struct qc_commit_io, areq));
	struct qcow2 *s = io->s;
	struct qc_layer *l = &s->layer[0];

	if (res == -EINTR || res == -EAGAIN) {
		aio_start(s->aio, a);
		return;
	}
	if (res > 0) {
		a->off += (uint64_t)res;
		if (a->off > l->end)
			l->end = a->off;
		io->iov.iov_base = (uint8_t *)io->iov.iov_base + res;
		io->iov.iov_len -= (size_t)res;
		if (io->iov.iov_len > 0) {
			aio_start(s->aio, a);
			return;
		}
	} else {
		s->commit.error = res == 0 ? -EIO : (int)res;
	}
	if (io->page != NULL) {
		io->page->writing = false;
		if (res <= 0)
			qc_page_dirty(s, io->page);
		qc_wake(s, &io->page->wait, 0);
	} else if (res <= 0) {
		table_dirty(io->table, io->sector);
	}
	io_free(io);
	step(s);
	qc_drain(s);
}

static void
put(struct qcow2 *s, struct qc_page *page, struct qc_table *t, unsigned sector,
    uint64_t off, void *data, size_t len)
{
	struct qc_commit *c = &s->commit;
	struct qc_commit_io *io = c->free;

	c->free = io->next;
	c->out++;
	io->page = page;
	io->table = t;
	io->sector = sector;
	io->iov = (struct iovec){ data, len };
	io->areq = (struct aio_req){
		.op = AIO_WRITE,
		.iov = &io->iov,
		.niov = 1,
		.off = off,
		.done = written,
	};
	aio_start(s->aio, &io->areq);
}

/* True when nothing of that kind is left to be started. */
static bool
put_pages(struct qcow2 *s, enum qc_page_kind kind)
{
	struct qc_commit *c = &s->commit;
	struct qc_page *p;

	for (; c->scan < s->npages && s->ndirty[kind] > 0; c->scan++) {
		p = &s->page[c->scan];
		if (!p->used || !p->dirty || p->kind != kind)
			continue;
		if (c->free == NULL)
			return false;
		p->dirty = false;
		p->writing = true;
		s->ndirty[kind]--;
		put(s, p, NULL, 0, p->off, p->data, p->len);
	}
	return true;
}

static bool
put_table(struct qcow2 *s, struct qc_table *t, uint64_t from)
{
	struct qc_commit *c = &s->commit;
	uint64_t n = (t->bytes + SECTOR - 1) / SECTOR, i, len;

	for (; c->scan - from < n && t->ndirty > 0; c->scan++) {
		i = c->scan - from;
		if (!qc_bit(t->dirty, i))
			continue;
		if (c->free == NULL)
			return false;
		qc_bit_clear(t->dirty, i);
		t->ndirty--;
		len = t->bytes - i * SECTOR;
		put(s, NULL, t, (unsigned)i, t->off + i * SECTOR,
		    t->be + i * SECTOR, len < SECTOR ? len : SECTOR);
	}
	return true;
}

static bool
put_maps(struct qcow2 *s)
{
	struct qc_commit *c = &s->commit;

	if (c->scan < s->npages) {
		if (!put_pages(s, QC_PAGE_MAP))
			return false;
		c->scan = s->npages;
	}
	return put_table(s, &s->layer[0].l1, s->npages);
}

static void
synced(struct aio_req *a, int64_t res)
{
	struct qcow2 *s =
	    (struct qcow2 *)((char *)a - offsetof(struct qcow2, commit.sync));

	s->commit.out--;
	s->commit.error = disk_flush_failed(s->disk, res < 0 ? (int)res : 0);
	step(s);
	qc_drain(s);
}

static bool
put_sync(struct qcow2 *s)
{
	struct qc_commit *c = &s->commit;

	if (c->synced)
		return true;
	c->synced = true;
	c->out++;
	c->sync = (struct aio_req){ .op = AIO_SYNC, .done = synced };
	aio_start(s->aio, &c->sync);
	return true;
}

static bool
put_phase(struct qcow2 *s)
{
	switch (s->commit.phase) {
	case QC_WRITE_REFS:
		return put_pages(s, QC_PAGE_REFS);
	case QC_WRITE_TABLE:
		return put_table(s, &s->space.refs, 0);
	case QC_WRITE_MAPS:
		return put_maps(s);
	case QC_SYNC_REFS:
	case QC_SYNC_TABLE:
	case QC_SYNC_MAPS:
		return put_sync(s);
	case QC_IDLE:
		break;
	}
	return true;
}

static enum qc_phase
next_phase(const struct qcow2 *s)
{
	bool maps = s->ndirty[QC_PAGE_MAP] + s->layer[0].l1.ndirty > 0;

	switch (s->commit.phase) {
	case QC_WRITE_REFS:
		return QC_SYNC_REFS;
	case QC_SYNC_REFS:
		if (s->space.refs.ndirty > 0)
			return QC_WRITE_TABLE;
		return maps ? QC_WRITE_MAPS : QC_IDLE;
	case QC_WRITE_TABLE:
		return QC_SYNC_TABLE;
	case QC_SYNC_TABLE:
		return maps ? QC_WRITE_MAPS : QC_IDLE;
	case QC_WRITE_MAPS:
		return QC_SYNC_MAPS;
	case QC_SYNC_MAPS:
	case QC_IDLE:
		break;
	}
	return QC_IDLE;
}

static void
step(struct qcow2 *s)
{
	struct qc_commit *c = &s->commit;

	for (;;) {
		/* After an error nothing more is started. */
		if (c->error == 0 && !put_phase(s))
			return;
		if (c->out > 0)
			return;
		c->scan = 0;
		c->synced = false;
		if (c->error == 0)
			c->phase = next_phase(s);
		if (c->error != 0 || c->phase == QC_IDLE) {
			end(s);
			return;
		}
	}
}

void
qc_commit_begin(struct qcow2 *s)
{
	struct qc_commit *c = &s->commit;

	c->again = false;
	c->phase = QC_WRITE_REFS;
	c->this = c->next;
	if (c->this.head == NULL)
		qc_wait_init(&c->this);
	qc_wait_init(&c->next);
	c->scan = 0;
	c->synced = false;
	c->error = disk_flush_failed(s->disk, 0);
	if (c->error == 0 && s->corrupt && !s->disk->readonly)
		c->error = -EIO;
	step(s);
}
