/* SPDX-License-Identifier: ISC */
/*
 * One queue of the block device and its thread: see vioblk.h.
 *
 * The thread takes every request that is there, starts them all, answers
 * those that are done with at most one interrupt, and sleeps in one system
 * call for whatever comes first: a completion, a kick, or the main thread.
 *
 * Where a request takes less time than the driver needs for the next one, it
 * would get an interrupt and have to kick for each.  So a device that has
 * answered all waits a moment before it interrupts, if more has come in such
 * moments before (batch.h).
 */
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "vioblk_impl.h"

/* With so many in flight a completion is near: no kicks are needed. */
#define NO_KICK_DEPTH 16
/*
 * In times that an interrupt waits for the next request (hold_ns): how long
 * asleep, which is for a dozen, and for all that come so.  Only while others had
 * the processor it took longer than LATE.
 */
#define NAP(hold_ns)  ((hold_ns)*5 / 2)
#define HELD(hold_ns) (10 * (hold_ns))
#define LATE(hold_ns) (50 * (hold_ns))
/* The least of so many says how long a system call takes. */
#define CALLS 8
/* Fewer are not worth a nap. */
#define NAP_PAYS 8

struct vioblk_slot *
vioblk_slot_get(struct vioblk_queue *q)
{
	struct vioblk_slot *s = q->free;

	q->free = s->next;
	q->nfree--;
	s->q = q;
	s->big = NULL;
	s->range = s->nranges = 0;
	s->nin = 0;
	return s;
}

void
vioblk_slot_put(struct vioblk_slot *s)
{
	struct vioblk_queue *q = s->q;

	if (s->big != NULL)
		q->pool_free[q->npool_free++] = s->big;
	s->next = q->free;
	q->free = s;
	q->nfree++;
}

/* Start what the driver made available; not more than fits the ring at once,
 * as requests that need no disk may come without end. */
static void
take_requests(struct vioblk_queue *q)
{
	struct virtq_chain c;
	unsigned i;
	int n = 0;

	c.iov = q->scratch;
	c.iov_max = VIOBLK_CHAIN_MAX;
	for (i = 0; i < q->v.vq.size && q->nfree > 0; i++) {
		n = virtq_pop(&q->v.vq, &c);
		if (n != 1)
			break;
		if (!vioblk_req_start(q, &c)) {
			vdev_break(&q->v, "request without header or status");
			return;
		}
	}
	if (n < 0)
		vdev_break(&q->v, "invalid virtqueue");
}

static void
interrupt(struct vioblk_queue *q)
{
	q->held_since = 0;
	if (!virtq_want_interrupt(&q->v.vq))
		return;
	q->stats.interrupts++;
	aio_signal(q->aio);
}

static int
run_engine(struct vioblk_queue *q, bool wait)
{
	int events = aio_run(q->aio, wait);

	/* Requests are lost in the kernel: their buffers cannot be reused. */
	if (events < 0) {
		errno = -events;
		fatal("%s: queue %u", aio_name(q->aio), q->v.index);
	}
	if ((events & AIO_KICK) != 0)
		q->stats.kicks++;
	return events;
}

static void
count(const struct vioblk_queue *q)
{
	const struct vioblk_stats *s = &q->stats;

	vdev_count(&q->v,
	    &(struct ctl_counters){
		.requests = s->answered,
		.in = s->read_bytes,
		.out = s->write_bytes,
		.errors = s->errors,
		.kicks = s->kicks,
		.interrupts = s->interrupts,
	    });
}

static bool
idle(const struct vioblk_queue *q)
{
	return q->nfree == VIOBLK_QUEUE_SIZE && aio_inflight(q->aio) == 0;
}

/*
 * Let the driver make more available.  Its processor may be this one; where no
 * other is, it does nothing until we sleep, and that pays for many at a time
 * only.
 */
static bool
await_more(struct vioblk_queue *q, uint64_t start, uint64_t limit)
{
	const struct timespec nap = { .tv_nsec = (long)NAP(q->hold_ns) };
	uint64_t t = 0;

	do {
		if (q->alone)
			nanosleep(&nap, NULL);
		else
			sched_yield();
		if (virtq_pending(&q->v.vq))
			return true;
		t = vioblk_now_ns() - start;
	} while (t < limit && vdev_wanted(&q->v) == q->v.is);
	return false;
}

/*
 * Is the interrupt for what was answered to wait for requests that come just
 * now?  Only while there is nothing else to wait for.  Where others had the
 * processor for long, that was no better than an interrupt.
 */
static bool
hold(struct vioblk_queue *q)
{
	unsigned n = virtq_unsignalled(&q->v.vq);
	enum batch_wait wait;
	uint64_t start, t;
	bool look, more;

	if (n == 0 || !idle(q))
		return false;
	if (virtq_pending(&q->v.vq))
		return n < BATCH_MAX;
	wait = batch_wait(&q->batch, n, q->alone ? NAP_PAYS : 1);
	if (wait == BATCH_TELL)
		return false;
	/* Asleep it is long enough anyway. */
	look = wait == BATCH_LOOK && !q->alone;
	start = vioblk_now_ns();
	if (q->held_since == 0)
		q->held_since = start;
	else if (start - q->held_since >= HELD(q->hold_ns))
		return false;
	q->stats.waits++;
	more = await_more(q, start, look ? HELD(q->hold_ns) : q->hold_ns);
	t = vioblk_now_ns() - start;
	if (!more || t >= LATE(q->hold_ns)) {
		batch_was(&q->batch, n, BATCH_NONE);
	} else if (look && t >= q->hold_ns) {
		batch_was(&q->batch, n, BATCH_SLOW);
		q->held_since = start + t;
	} else {
		batch_was(&q->batch, n, BATCH_SOON);
	}
	return more;
}

int
vioblk_queue_round(struct vioblk_queue *q)
{
	bool held;
	int events;

	vioblk_req_release(q);
	held = hold(q);
	take_requests(q);
	if (!held)
		interrupt(q);
	count(q);
	events = run_engine(q, false);
	/* What has to be waited for is not what it was held for. */
	if (held && (events & AIO_DONE) == 0)
		interrupt(q);
	return events;
}

static void
serve(struct vioblk_queue *q)
{
	if ((vioblk_queue_round(q) & AIO_DONE) != 0)
		return;
	/* About to sleep: from here on the driver has to wake us. */
	if (q->nfree > 0 && aio_inflight(q->aio) < NO_KICK_DEPTH &&
	    virtq_enable_kick(&q->v.vq)) {
		virtq_disable_kick(&q->v.vq);
		return;
	}
	run_engine(q, true);
	virtq_disable_kick(&q->v.vq);
}

/* Follow what the main thread wants.  False: the thread ends. */
static bool
follow(struct vioblk_queue *q, uint32_t want)
{
	enum vdev_state state = VDEV_STATE(want);

	if (q->v.is == want)
		return true;
	/* Those that wait for their share are done, in their own time. */
	if (state == VDEV_IDLE &&
	    __atomic_load_n(&q->dev->vdev.draining, __ATOMIC_RELAXED)) {
		vioblk_req_release(q);
		if (q->nfree < VIOBLK_QUEUE_SIZE)
			return true;
	} else if (state != VDEV_RUN) {
		vioblk_req_forget(q);
	}
	/* Requests have to end before guest memory is let go. */
	if (state != VDEV_RUN && aio_inflight(q->aio) > 0)
		return true;
	if (state == VDEV_RUN)
		virtq_disable_kick(&q->v.vq);
	q->stats.syscalls = aio_syscalls(q->aio);
	vdev_settle(&q->v, want);
	return state != VDEV_QUIT;
}

/* How many processors there are, and how fast. */
static void
look_around(struct vioblk_queue *q)
{
	uint64_t start, t, least = UINT64_MAX;
	cpu_set_t cpus;
	unsigned i;

	for (i = 0; i < CALLS; i++) {
		start = vioblk_now_ns();
		q->alone = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 &&
		    CPU_COUNT(&cpus) == 1;
		t = vioblk_now_ns() - start;
		if (t < least)
			least = t;
	}
	q->hold_ns = batch_hold_ns(least);
}

static void *
queue_run(void *arg)
{
	struct vdev_queue *v = arg;
	struct vioblk_queue *q;
	uint32_t want;

	q = (void *)((char *)v - offsetof(struct vioblk_queue, v));
	look_around(q);
	/* A nap is to be as long as it says. */
	if (q->alone)
		(void)prctl(PR_SET_TIMERSLACK, 1);
	q->bind_error = aio_bind(q->aio);
	sem_post(&q->dev->bound);
	if (q->bind_error != 0)
		return NULL;
	for (;;) {
		want = vdev_wanted(v);
		if (!follow(q, want))
			return NULL;
		vioblk_mirror_run(q);
		if (v->is == want && VDEV_STATE(want) == VDEV_RUN)
			serve(q);
		else
			run_engine(q, true);
	}
}

/* Requests and vectors; untouched ones cost no memory. */
static int
make_slots(struct vioblk_queue *q)
{
	unsigned i, n = VIOBLK_QUEUE_SIZE;

	q->slots = calloc(n, sizeof(*q->slots));
	q->pool = calloc(n * VIOBLK_CHAIN_MAX, sizeof(*q->pool));
	q->pool_free = calloc(n, sizeof(*q->pool_free));
	q->scratch = calloc(VIOBLK_CHAIN_MAX, sizeof(*q->scratch));
	if (q->slots == NULL || q->pool == NULL || q->pool_free == NULL ||
	    q->scratch == NULL)
		return -ENOMEM;
	/* The first to be used are next to each other. */
	for (i = n; i-- > 0;) {
		q->pool_free[n - 1 - i] = q->pool + i * VIOBLK_CHAIN_MAX;
		q->slots[i].next = q->free;
		q->free = &q->slots[i];
	}
	q->nfree = q->npool_free = n;
	return 0;
}

int
vioblk_queue_init(struct vioblk_queue *q, struct vioblk *dev)
{
	int error;

	q->dev = dev;
	q->hold_ns = BATCH_HOLD_MIN;
	q->timer = -1;
	q->held_tail = &q->held;
	q->rate_io = q->rate_range = (struct log_rate)LOG_RATE(5, 10);
	error = vdev_add(&dev->vdev, &q->v);
	return error == 0 ? make_slots(q) : error;
}

int
vioblk_queue_thread(struct vioblk_queue *q)
{
	struct aio_conf conf = {
		.engine = q->dev->conf.engine,
		.kick = q->v.kick,
		.call = q->v.call,
		.wake = q->v.wake,
		.depth =
		    disk_depth(q->dev->disk, VIOBLK_QUEUE_SIZE + MIRROR_SLOTS),
	};
	char name[16];
	int error;

	if (q->dev->limit.any) {
		q->timer =
		    timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (q->timer == -1)
			return -errno;
		conf.timed = true;
		conf.timer = q->timer;
	}
	disk_aio(q->dev->disk, &conf);
	error = aio_new(&q->aio, &conf);
	if (error != 0)
		return error;
	snprintf(name, sizeof(name), "queue%u", q->v.index);
	return vdev_thread(&q->v, name, queue_run);
}

/* The thread is gone. */
void
vioblk_queue_free(struct vioblk_queue *q)
{
	aio_free(q->aio);
	fd_close(&q->timer);
	free(q->slots);
	free(q->pool);
	free(q->pool_free);
	free(q->scratch);
}
