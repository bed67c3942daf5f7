/* SPDX-License-Identifier: ISC */
/*
 * One queue of the block device and its thread: see vioblk.h.
 *
 * The thread takes every request that is there, starts them all, answers
 * those that are done with at most one interrupt, and sleeps in one system
 * call for whatever comes first: a completion, a kick, or the main thread.
 */
#include <sys/eventfd.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "thread.h"
#include "vioblk_impl.h"

/* With so many in flight a completion is near: no kicks are needed. */
#define NO_KICK_DEPTH 16

void
vioblk_queue_want(struct vioblk_queue *q, enum vioblk_qstate s)
{
	const uint64_t one = 1;
	uint32_t number = (q->want - VIOBLK_Q_STATE(q->want)) + VIOBLK_Q_NEXT;

	__atomic_store_n(&q->want, number | s, __ATOMIC_RELEASE);
	/* Fails only when the counter is full, which wakes as well. */
	(void)!write(q->wake, &one, sizeof(one));
}

bool
vioblk_queue_settled(const struct vioblk_queue *q)
{
	return __atomic_load_n(&q->is, __ATOMIC_ACQUIRE) == q->want;
}

static void
report(struct vioblk_queue *q)
{
	const uint64_t one = 1;

	(void)!write(q->dev->report, &one, sizeof(one));
}

struct vioblk_slot *
vioblk_slot_get(struct vioblk_queue *q)
{
	struct vioblk_slot *s = q->free;

	q->free = s->next;
	q->nfree--;
	s->q = q;
	s->big = NULL;
	s->range = s->nranges = 0;
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

static void
break_ring(struct vioblk_queue *q, const char *why)
{
	q->vq.broken = true;
	__atomic_store_n(&q->broken, why, __ATOMIC_RELEASE);
	report(q);
}

/* Start everything that the driver made available. */
static void
take_requests(struct vioblk_queue *q)
{
	struct virtq_chain c;
	int n = 0;

	c.iov = q->scratch;
	c.iov_max = VIOBLK_CHAIN_MAX;
	while (q->nfree > 0) {
		n = virtq_pop(&q->vq, &c);
		if (n != 1)
			break;
		if (!vioblk_req_start(q, &c)) {
			break_ring(q, "request without header or status");
			return;
		}
	}
	if (n < 0)
		break_ring(q, "invalid virtqueue");
}

static void
interrupt(struct vioblk_queue *q)
{
	if (!virtq_want_interrupt(&q->vq))
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
		fatal("%s: queue %u", aio_name(q->aio), q->index);
	}
	if ((events & AIO_KICK) != 0)
		q->stats.kicks++;
	return events;
}

/* One round of a running queue. */
static void
serve(struct vioblk_queue *q)
{
	take_requests(q);
	interrupt(q);
	if ((run_engine(q, false) & AIO_DONE) != 0)
		return;
	/* About to sleep: from here on the driver has to wake us. */
	if (q->nfree > 0 && aio_inflight(q->aio) < NO_KICK_DEPTH &&
	    virtq_enable_kick(&q->vq)) {
		virtq_disable_kick(&q->vq);
		return;
	}
	run_engine(q, true);
	virtq_disable_kick(&q->vq);
}

/* Follow what the main thread wants.  False: the thread ends. */
static bool
follow(struct vioblk_queue *q, uint32_t want)
{
	enum vioblk_qstate state = VIOBLK_Q_STATE(want);

	if (q->is == want)
		return true;
	/* Requests have to end before guest memory is let go. */
	if (state != VIOBLK_Q_RUN && aio_inflight(q->aio) > 0)
		return true;
	if (state == VIOBLK_Q_RUN)
		virtq_disable_kick(&q->vq);
	q->stats.syscalls = aio_syscalls(q->aio);
	__atomic_store_n(&q->is, want, __ATOMIC_RELEASE);
	report(q);
	return state != VIOBLK_Q_QUIT;
}

static void *
queue_run(void *arg)
{
	struct vioblk_queue *q = arg;
	uint32_t want;

	q->bind_error = aio_bind(q->aio);
	sem_post(&q->dev->bound);
	if (q->bind_error != 0)
		return NULL;
	for (;;) {
		want = __atomic_load_n(&q->want, __ATOMIC_ACQUIRE);
		if (!follow(q, want))
			return NULL;
		if (q->is == want && VIOBLK_Q_STATE(want) == VIOBLK_Q_RUN)
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
vioblk_queue_init(struct vioblk_queue *q, struct vioblk *dev, unsigned index)
{
	q->dev = dev;
	q->index = index;
	q->kick = q->call = -1;
	q->rate_io = q->rate_range = (struct log_rate)LOG_RATE(5, 10);
	q->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->wake == -1)
		return -errno;
	return make_slots(q);
}

int
vioblk_queue_thread(struct vioblk_queue *q)
{
	struct aio_conf conf = {
		.engine = q->dev->conf.engine,
		.kick = q->kick,
		.call = q->call,
		.wake = q->wake,
		.depth = disk_depth(q->dev->disk, VIOBLK_QUEUE_SIZE),
	};
	char name[16];
	int error;

	disk_aio(q->dev->disk, &conf);
	error = aio_new(&q->aio, &conf);
	if (error != 0)
		return error;
	snprintf(name, sizeof(name), "queue%u", q->index);
	error = thread_new(&q->thread, name, queue_run, q);
	q->threaded = error == 0;
	return error;
}

void
vioblk_queue_stop(struct vioblk_queue *q)
{
	if (!q->threaded)
		return;
	vioblk_queue_want(q, VIOBLK_Q_QUIT);
	pthread_join(q->thread, NULL);
	q->threaded = false;
}

/* The thread is gone. */
void
vioblk_queue_free(struct vioblk_queue *q)
{
	aio_free(q->aio);
	fd_close(&q->kick);
	fd_close(&q->call);
	fd_close(&q->wake);
	free(q->slots);
	free(q->pool);
	free(q->pool_free);
	free(q->scratch);
}
