/* SPDX-License-Identifier: ISC */
/*
 * Running requests: see qcow2_impl.h.
 */
#include <errno.h>
#include <stddef.h>

#include "log.h"
#include "qcow2_impl.h"

void
qc_wait_init(struct qc_wait *w)
{
	w->head = NULL;
	w->tail = &w->head;
}

int
qc_wait(struct qc_op *op, struct qc_wait *w)
{
	op->next = NULL;
	*w->tail = op;
	w->tail = &op->next;
	return QC_WAIT;
}

int
qc_wait_apart(struct qc_op *op, struct qc_wait *w)
{
	qc_epoch_leave(op);
	return qc_wait(op, w);
}

/* All of them run later, from qc_drain(). */
void
qc_wake(struct qcow2 *s, struct qc_wait *w, int error)
{
	struct qc_op *op;

	if (w->head == NULL)
		return;
	for (op = w->head; op != NULL; op = op->next)
		op->error = error;
	*s->ready.tail = w->head;
	s->ready.tail = w->tail;
	qc_wait_init(w);
}

int
qc_call(struct qc_op *op, qc_next sub, qc_next then)
{
	op->ret[op->depth++] = then;
	op->step = sub;
	return QC_GO;
}

int
qc_return(struct qc_op *op)
{
	op->step = op->ret[--op->depth];
	return QC_GO;
}

int
qc_corrupt(struct qcow2 *s, const char *what)
{
	if (!s->corrupt && !s->disk->readonly)
		log_warnx("image is corrupt, nothing is written to it any "
			  "more: %s",
		    what);
	s->corrupt = true;
	return -EIO;
}

int
qc_bounce_get(struct qc_op *op)
{
	struct qcow2 *s = op->s;

	if (op->bounce != NULL)
		return QC_GO;
	if (s->nbounce == 0)
		return qc_wait(op, &s->bounce_wait);
	op->bounce = s->bounce[--s->nbounce];
	return QC_GO;
}

void
qc_bounce_put(struct qc_op *op)
{
	struct qcow2 *s = op->s;

	if (op->bounce == NULL)
		return;
	s->bounce[s->nbounce++] = op->bounce;
	op->bounce = NULL;
	qc_wake(s, &s->bounce_wait, 0);
}

void
qc_epoch_enter(struct qc_op *op)
{
	struct qc_reap *r = &op->s->reap;

	if (op->counted)
		return;
	op->counted = true;
	op->epoch = r->epoch;
	r->count[r->epoch]++;
}

void
qc_epoch_leave(struct qc_op *op)
{
	struct qc_reap *r = &op->s->reap;

	if (!op->counted)
		return;
	op->counted = false;
	if (--r->count[op->epoch] == 0 && r->grace)
		qc_reap_kick(op->s);
}

static void begin(struct qcow2 *, struct qc_op *, struct disk_req *);

/* The op is free before the owner hears of it, and may start the next. */
static void
deliver(struct disk_req *r, int error)
{
	r->done(r, error);
}

static void
late_done(struct aio_req *a, int64_t res)
{
	struct disk_req *r =
	    (struct disk_req *)((char *)a - offsetof(struct disk_req, areq));

	deliver(r, (int)(int64_t)r->pos);
}

static void
release(struct qc_op *op)
{
	struct qcow2 *s = op->s;

	qc_write_abort(op);
	qc_bounce_put(op);
	if ((op->holds & QC_HOLD_TABLE) != 0) {
		s->table_busy = false;
		qc_wake(s, &s->table_wait, 0);
	}
	if ((op->holds & QC_HOLD_BLOCK) != 0) {
		s->space.block_busy = false;
		qc_wake(s, &s->space.block_wait, 0);
	}
	if ((op->holds & QC_HOLD_INFLATE) != 0) {
		s->inflate_busy = false;
		qc_wake(s, &s->inflate_wait, 0);
	}
	op->holds = 0;
	qc_epoch_leave(op);
}

static void
end(struct qc_op *op, int error)
{
	struct qcow2 *s = op->s;
	struct disk_req *r = op->req, *b = s->backlog;

	release(op);
	op->next = s->free;
	s->free = op;
	if (b != NULL) {
		s->backlog = b->next;
		if (s->backlog == NULL)
			s->backlog_tail = &s->backlog;
		op = s->free;
		s->free = op->next;
		begin(s, op, b);
	}
	if (s->starting == 0) {
		deliver(r, error);
		return;
	}
	/* done() is for aio_run() alone to call. */
	r->pos = (uint64_t)(int64_t)error;
	r->areq = (struct aio_req){ .op = AIO_NOP, .done = late_done };
	aio_start(s->aio, &r->areq);
}

void
qc_run(struct qc_op *op)
{
	int rc = op->error;

	op->error = 0;
	if (op->req != NULL && !op->flushing)
		qc_epoch_enter(op);
	while (rc == QC_GO && op->step != NULL)
		rc = op->step(op);
	if (rc == QC_WAIT)
		return;
	if (op != op->s->reap.op) {
		end(op, rc);
		return;
	}
	/* What could not be freed stays as it is: leaked, and harmless. */
	release(op);
	op->s->reap.head += op->s->reap.run != 0 ? op->s->reap.run : 1;
	op->s->reap.idle = true;
	qc_reap_kick(op->s);
}

void
qc_drain(struct qcow2 *s)
{
	struct qc_op *op;

	for (;;) {
		while ((op = s->ready.head) != NULL) {
			s->ready.head = op->next;
			if (s->ready.head == NULL)
				s->ready.tail = &s->ready.head;
			qc_run(op);
		}
		if (!s->commit.again || s->commit.phase != QC_IDLE)
			return;
		qc_commit_begin(s);
	}
}

/* Everything of a request is done; the last step is NULL. */
static int
finish(struct qc_op *op)
{
	op->step = NULL;
	if (op->req->durable && op->req->op != DISK_READ) {
		qc_epoch_leave(op);
		op->flushing = true;
		op->step = qc_flush;
	}
	return QC_GO;
}

static void
begin(struct qcow2 *s, struct qc_op *op, struct disk_req *r)
{
	op->req = r;
	op->flushing = r->op == DISK_FLUSH;
	op->depth = 0;
	op->error = 0;
	op->ret[op->depth++] = finish;
	if (r->op == DISK_FLUSH) {
		op->step = qc_flush;
		op->depth = 0;
	}
	switch (r->op) {
	case DISK_READ:
		op->rd_off = r->off;
		op->rd_left = r->len;
		op->rd_cur = (struct qc_cur){ r->iov, 0 };
		op->step = qc_read;
		break;
	case DISK_WRITE:
		op->wr_off = r->off;
		op->wr_left = r->len;
		op->wr_cur = (struct qc_cur){ r->iov, 0 };
		op->wr_zero = false;
		op->step = qc_write;
		break;
	case DISK_DISCARD:
	case DISK_ZERO:
	case DISK_ZERO_UNMAP:
		op->ze_off = r->off;
		op->ze_left = r->len;
		op->step = qc_zero;
		break;
	case DISK_FLUSH:
		break;
	}
	/* Run by whoever drains next. */
	qc_wait(op, &s->ready);
}

int
qc_start(struct disk_req *r)
{
	struct qcow2 *s = r->disk->format;
	struct qc_op *op = s->free;

	s->aio = r->aio;
	if (s->corrupt && r->op != DISK_READ && r->op != DISK_FLUSH)
		return -EIO;
	if (op == NULL) {
		r->next = NULL;
		*s->backlog_tail = r;
		s->backlog_tail = &r->next;
		return 0;
	}
	s->free = op->next;
	begin(s, op, r);
	s->starting++;
	qc_drain(s);
	s->starting--;
	return 0;
}
