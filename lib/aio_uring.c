/* SPDX-License-Identifier: ISC */
/*
 * The io_uring engine of aio.h: one ring for one thread.
 *
 * The ring is made disabled, restricted to the few operations of the file's
 * access mode on registered descriptors, and enabled by the thread that owns
 * it.  A process that is taken over can therefore not use the ring to get at
 * what its seccomp filter forbids.
 *
 * The two eventfds to sleep on are watched by multishot polls, so that the
 * same system call waits for completions and for them.  A multishot poll
 * reports every signal of an eventfd, not its level: the counters are never
 * read.
 */
#include <sys/syscall.h>

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aio_impl.h"

/* SQEs for one batch; a larger one is submitted in parts. */
#define SQ_MAX 128

/* Registered descriptors. */
enum {
	FILE_KICK,
	FILE_WAKE,
	FILE_CALL,
	FILE_TIMER,
	FILE_IMAGE,
	NEVENTS = FILE_IMAGE,
};

/* user_data beside request pointers. */
enum { TAG_KICK = 1, TAG_WAKE, TAG_CALL, TAG_TIMER };

struct uring {
	struct aio a;
	struct io_uring ring;
	bool plain_signal; /* the call eventfd is written by write(2) */
};

static const uint64_t one = 1;

static struct uring *
uring(struct aio *a)
{
	return (struct uring *)a;
}

/* Best first: task work only when we ask for it (Linux 6.1), cooperative
 * (5.19), or as it comes. */
static const unsigned setup_flags[] = {
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
	    IORING_SETUP_TASKRUN_FLAG,
	IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	0,
};

static int
make_ring(struct uring *u)
{
	struct io_uring_params p;
	unsigned i, sq = u->a.conf.depth;
	int error = -EINVAL;

	if (sq > SQ_MAX)
		sq = SQ_MAX;
	for (i = 0; i < 3 && error == -EINVAL; i++) {
		p = (struct io_uring_params){ 0 };
		p.flags = setup_flags[i] | IORING_SETUP_R_DISABLED |
		    IORING_SETUP_CQSIZE;
		/* All requests and some events: never overflows. */
		p.cq_entries = 2 * (u->a.conf.depth + NEVENTS);
		error = io_uring_queue_init_params(sq, &u->ring, &p);
	}
	if (error != 0)
		return error;
	u->plain_signal = (p.features & IORING_FEAT_CQE_SKIP) == 0;
	return 0;
}

/* liburing 2.3 declares helpers for these two and does not export them. */
static int
ring_register(struct uring *u, unsigned op, void *arg, unsigned n)
{
	if (syscall(__NR_io_uring_register, u->ring.ring_fd, op, arg, n) == -1)
		return -errno;
	return 0;
}

static void
allow(struct io_uring_restriction *r, unsigned *n, unsigned op)
{
	r[(*n)++] = (struct io_uring_restriction){
		.opcode = IORING_RESTRICTION_SQE_OP,
		.sqe_op = (uint8_t)op,
	};
}

static int
restrict_ring(struct uring *u)
{
	struct io_uring_restriction r[8] = { 0 };
	unsigned n = 0;

	r[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	r[n++].sqe_flags = IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
	r[n].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
	r[n++].sqe_flags = IOSQE_FIXED_FILE;
	allow(r, &n, IORING_OP_READV);
	allow(r, &n, IORING_OP_FSYNC);
	allow(r, &n, IORING_OP_POLL_ADD);
	allow(r, &n, IORING_OP_WRITE); /* the call eventfd */
	if (!u->a.conf.readonly) {
		allow(r, &n, IORING_OP_WRITEV);
		allow(r, &n, IORING_OP_FALLOCATE);
	}
	return ring_register(u, IORING_REGISTER_RESTRICTIONS, r, n);
}

static struct io_uring_sqe *
get_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (sqe == NULL) {
		u->a.syscalls++;
		u->a.signalled = false;
		io_uring_submit(&u->ring);
		sqe = io_uring_get_sqe(&u->ring);
	}
	return sqe;
}

static int
watch(struct uring *u, int file, uint64_t tag)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (sqe == NULL)
		return -EBUSY;
	io_uring_prep_poll_multishot(sqe, file, POLLIN);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = tag;
	return 0;
}

static void
uring_submit(struct aio *a, struct aio_req *r)
{
	struct io_uring_sqe *sqe = get_sqe(uring(a));
	int file;

	if (sqe == NULL) {
		aio_done(a, r, -EBUSY);
		return;
	}
	file = FILE_IMAGE + r->file;
	switch (r->op) {
	case AIO_READ:
		io_uring_prep_readv(sqe, file, r->iov, r->niov, r->off);
		break;
	case AIO_WRITE:
		io_uring_prep_writev2(sqe, file, r->iov, r->niov, r->off,
		    r->durable ? RWF_DSYNC : 0);
		break;
	case AIO_SYNC:
		io_uring_prep_fsync(sqe, file, IORING_FSYNC_DATASYNC);
		break;
	case AIO_PUNCH:
		io_uring_prep_fallocate(sqe, file,
		    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)r->off,
		    (off_t)r->len);
		break;
	case AIO_ZERO:
		io_uring_prep_fallocate(sqe, file,
		    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)r->off,
		    (off_t)r->len);
		break;
	case AIO_NOP: /* aio.c does it */
		io_uring_prep_nop(sqe);
		break;
	}
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, r);
}

/* Errors after which the submission is simply tried again. */
static bool
transient(int error)
{
	return error == -EINTR || error == -EAGAIN || error == -EBUSY;
}

static int
uring_flush(struct aio *a)
{
	int n;

	a->signalled = false;
	a->syscalls++;
	n = io_uring_submit(&uring(a)->ring);
	return n < 0 && !transient(n) ? n : 0;
}

static void
write_call(struct aio *a)
{
	a->syscalls++;
	/* Fails only when the counter is full, which signals as well. */
	(void)!write(a->conf.call, &one, sizeof(one));
}

static void
uring_signal(struct aio *a)
{
	struct uring *u = uring(a);
	struct io_uring_sqe *sqe = NULL;

	if (!u->plain_signal)
		sqe = get_sqe(u);
	if (sqe == NULL) {
		write_call(a);
		return;
	}
	io_uring_prep_write(sqe, FILE_CALL, &one, sizeof(one), 0);
	sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = TAG_CALL;
	a->signalled = true;
}

/* An event of one of the two polls; watch again when it ended. */
static int
event(struct uring *u, const struct io_uring_cqe *cqe, int file)
{
	if (cqe->res < 0)
		return cqe->res;
	if ((cqe->flags & IORING_CQE_F_MORE) == 0)
		return watch(u, file, cqe->user_data);
	return 0;
}

static int
reap_one(struct uring *u, const struct io_uring_cqe *cqe, int *events)
{
	switch (cqe->user_data) {
	case TAG_KICK:
		*events |= AIO_KICK;
		return event(u, cqe, FILE_KICK);
	case TAG_WAKE:
		*events |= AIO_WAKE;
		return event(u, cqe, FILE_WAKE);
	case TAG_TIMER:
		*events |= AIO_TIME;
		return event(u, cqe, FILE_TIMER);
	case TAG_CALL:
		/* Only failures are reported.  Do not lose the signal. */
		u->plain_signal = true;
		write_call(&u->a);
		return 0;
	default:
		aio_done(&u->a, io_uring_cqe_get_data(cqe), cqe->res);
		return 0;
	}
}

static int
reap(struct uring *u)
{
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;
	int events = 0, error = 0, e;

	io_uring_for_each_cqe(&u->ring, head, cqe)
	{
		e = reap_one(u, cqe, &events);
		if (e != 0)
			error = e;
		n++;
	}
	io_uring_cq_advance(&u->ring, n);
	return error != 0 ? error : events;
}

static bool
task_work_pending(const struct uring *u)
{
	return (__atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) &
		   (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static int
uring_wait(struct aio *a, bool wait)
{
	struct uring *u = uring(a);
	bool ready = io_uring_cq_ready(&u->ring) > 0;
	int n;

	if (wait && !ready)
		n = io_uring_submit_and_wait(&u->ring, 1);
	else if (wait && io_uring_sq_ready(&u->ring) > 0)
		n = io_uring_submit(&u->ring);
	else if (!ready && task_work_pending(u))
		n = io_uring_get_events(&u->ring);
	else
		return reap(u);
	if (wait)
		a->signalled = false;
	a->syscalls++;
	if (n < 0 && !transient(n))
		return n;
	return reap(u);
}

static int
uring_bind(struct aio *a)
{
	struct uring *u = uring(a);
	int error;

	error = ring_register(u, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	if (error == 0)
		error = watch(u, FILE_KICK, TAG_KICK);
	if (error == 0)
		error = watch(u, FILE_WAKE, TAG_WAKE);
	if (error == 0 && a->conf.timed)
		error = watch(u, FILE_TIMER, TAG_TIMER);
	return error != 0 ? error : uring_flush(a);
}

static void
uring_free(struct aio *a)
{
	io_uring_queue_exit(&uring(a)->ring);
	free(a);
}

static const struct aio_engine_ops uring_ops = {
	.name = "io_uring",
	.bind = uring_bind,
	.free = uring_free,
	.submit = uring_submit,
	.flush = uring_flush,
	.signal = uring_signal,
	.wait = uring_wait,
};

int
aio_uring_new(struct aio **out, const struct aio_conf *conf)
{
	int files[NEVENTS + AIO_FILES_MAX] = {
		[FILE_KICK] = conf->kick,
		[FILE_WAKE] = conf->wake,
		[FILE_CALL] = conf->call,
		[FILE_TIMER] = conf->timed ? conf->timer : -1,
	};
	struct uring *u = calloc(1, sizeof(*u));
	int error;

	if (u == NULL)
		return -ENOMEM;
	aio_init(&u->a, &uring_ops, conf);
	memcpy(
	    files + FILE_IMAGE, u->a.fd, (1 + conf->nmore) * sizeof(files[0]));
	error = make_ring(u);
	if (error != 0)
		goto free_it;
	error =
	    io_uring_register_files(&u->ring, files, NEVENTS + 1 + conf->nmore);
	if (error == 0)
		error = restrict_ring(u);
	if (error != 0)
		goto exit_ring;
	*out = &u->a;
	return 0;
exit_ring:
	io_uring_queue_exit(&u->ring);
free_it:
	free(u);
	return error;
}
