/* SPDX-License-Identifier: ISC */
/*
 * Both engines of asynchronous I/O against one list of expectations, on a
 * file in memory and one on a disk.
 */
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aio.h"

#define SIZE  (1 << 20)
#define DEPTH 256

struct kind {
	enum aio_engine engine;
	bool memory;
};

static struct kind kinds[] = {
	{ AIO_URING, false },
	{ AIO_URING, true },
	{ AIO_THREADS, false },
	{ AIO_THREADS, true },
};

struct env {
	struct aio *a;
	int fd, kick, wake, call;
};

struct req {
	struct aio_req r;
	struct iovec iov;
	unsigned ndone;
	int64_t res;
	struct aio *again; /* start once more from done() */
};

static void
on_done(struct aio_req *r, int64_t res)
{
	struct req *q = (struct req *)r;

	q->ndone++;
	q->res = res;
	if (q->again != NULL && q->ndone < 3)
		aio_start(q->again, r);
}

static void
open_env(struct env *e, void **state, bool readonly)
{
	const struct kind *k = *state;
	char path[] = "/tmp/aio.XXXXXX";
	struct aio_conf c = { .engine = k->engine, .depth = DEPTH };

	if (k->memory) {
		e->fd = memfd_create("aio", MFD_CLOEXEC);
	} else {
		e->fd = mkstemp(path);
		unlink(path);
	}
	assert_true(e->fd >= 0);
	assert_int_equal(ftruncate(e->fd, SIZE), 0);
	c.fd = e->fd;
	c.readonly = readonly;
	c.kick = e->kick = eventfd(0, 0);
	c.wake = e->wake = eventfd(0, 0);
	c.call = e->call = eventfd(0, 0);
	assert_int_equal(aio_new(&e->a, &c), 0);
	assert_int_equal(aio_bind(e->a), 0);
}

static void
close_env(struct env *e)
{
	assert_int_equal(aio_inflight(e->a), 0);
	aio_free(e->a);
	close(e->fd);
	close(e->kick);
	close(e->wake);
	close(e->call);
}

static void
start(struct env *e, struct req *q, enum aio_op op, void *p, size_t n,
    uint64_t off)
{
	*q = (struct req){ .iov = { p, n } };
	q->r.op = op;
	q->r.iov = &q->iov;
	q->r.niov = 1;
	q->r.off = off;
	q->r.len = n;
	q->r.done = on_done;
	aio_start(e->a, &q->r);
}

static int64_t
finish(struct env *e, struct req *q)
{
	while (q->ndone == 0)
		assert_true(aio_run(e->a, true) >= 0);
	assert_int_equal(q->ndone, 1);
	return q->res;
}

static void
test_data(void **state)
{
	char a[8192], b[8192];
	struct req q;
	struct env e;

	open_env(&e, state, false);
	memset(a, 7, sizeof(a));
	start(&e, &q, AIO_WRITE, a, 8192, 4096);
	/* Nothing is called back from aio_start(). */
	assert_int_equal(q.ndone, 0);
	assert_int_equal(aio_inflight(e.a), 1);
	assert_int_equal(finish(&e, &q), 8192);
	start(&e, &q, AIO_READ, b, 8192, 4096);
	assert_int_equal(finish(&e, &q), 8192);
	assert_memory_equal(a, b, 8192);
	start(&e, &q, AIO_SYNC, NULL, 0, 0);
	assert_int_equal(finish(&e, &q), 0);
	start(&e, &q, AIO_WRITE, a, 512, 0);
	q.r.durable = true;
	assert_int_equal(finish(&e, &q), 512);
	close_env(&e);
}

static void
test_ends(void **state)
{
	char b[1024];
	struct req q;
	struct env e;

	open_env(&e, state, false);
	start(&e, &q, AIO_READ, b, 1024, SIZE - 512);
	assert_int_equal(finish(&e, &q), 512);
	start(&e, &q, AIO_READ, b, 1024, SIZE);
	assert_int_equal(finish(&e, &q), 0);
	start(&e, &q, AIO_READ, (void *)8, 1024, 0);
	assert_int_equal(finish(&e, &q), -EFAULT);
	close_env(&e);
}

static void
test_punch(void **state)
{
	char a[8192], b[8192], zero[8192] = { 0 };
	struct req q;
	struct env e;

	open_env(&e, state, false);
	memset(a, 7, sizeof(a));
	start(&e, &q, AIO_WRITE, a, 8192, 0);
	assert_int_equal(finish(&e, &q), 8192);
	start(&e, &q, AIO_PUNCH, NULL, 4096, 0);
	assert_int_equal(finish(&e, &q), 0);
	start(&e, &q, AIO_READ, b, 8192, 0);
	assert_int_equal(finish(&e, &q), 8192);
	assert_memory_equal(b, zero, 4096);
	assert_memory_equal(b + 4096, a, 4096);
	start(&e, &q, AIO_ZERO, NULL, 4096, 4096);
	/* tmpfs cannot; whoever can has zeroed. */
	if (finish(&e, &q) != -EOPNOTSUPP) {
		assert_int_equal(q.res, 0);
		assert_int_equal(pread(e.fd, b, 8192, 0), 8192);
		assert_memory_equal(b, zero, 8192);
	}
	close_env(&e);
}

/* As many as there can be, all at once, each done exactly once. */
static void
test_depth(void **state)
{
	struct req *q = calloc(DEPTH, sizeof(*q));
	uint32_t *data = malloc(DEPTH * 4096), want;
	unsigned i, k, done, round;
	struct env e;

	open_env(&e, state, false);
	for (round = 0; round < 4; round++) {
		for (i = 0; i < DEPTH; i++) {
			for (k = 0; k < 1024; k++)
				if (round % 2 == 0)
					data[i * 1024 + k] = round * 7 + i;
			start(&e, &q[i], round % 2 == 0 ? AIO_WRITE : AIO_READ,
			    data + i * 1024, 4096, i * 4096ul);
		}
		do {
			assert_true(aio_run(e.a, true) >= 0);
			for (i = done = 0; i < DEPTH; i++)
				done += q[i].ndone;
		} while (done < DEPTH);
		for (i = 0; i < DEPTH; i++) {
			assert_int_equal(q[i].ndone, 1);
			assert_int_equal(q[i].res, 4096);
			want = (round & ~1u) * 7 + i;
			assert_int_equal(data[i * 1024 + 1023], want);
		}
		if (round % 2 == 0)
			memset(data, 0, DEPTH * 4096);
	}
	close_env(&e);
	free(q);
	free(data);
}

static void
test_again(void **state)
{
	char b[512];
	struct req q;
	struct env e;

	open_env(&e, state, false);
	start(&e, &q, AIO_READ, b, 512, 0);
	q.again = e.a;
	while (q.ndone < 3)
		assert_true(aio_run(e.a, true) >= 0);
	close_env(&e);
}

struct kicker {
	int fd[2];
	sem_t seen; /* the first was */
};

static void *
kicker(void *arg)
{
	const uint64_t one = 1;
	struct kicker *k = arg;
	int i;

	for (i = 0; i < 2; i++) {
		usleep(20000);
		assert_int_equal(write(k->fd[i], &one, 8), 8);
		while (i == 0 && sem_wait(&k->seen) == -1)
			;
	}
	return NULL;
}

/* Sleeps until each eventfd is signalled, every time anew. */
static void
test_events(void **state)
{
	struct kicker k;
	int round;
	pthread_t t;
	struct env e;

	open_env(&e, state, false);
	k.fd[0] = e.kick;
	k.fd[1] = e.wake;
	assert_int_equal(sem_init(&k.seen, 0, 0), 0);
	for (round = 0; round < 3; round++) {
		assert_int_equal(pthread_create(&t, NULL, kicker, &k), 0);
		assert_int_equal(aio_run(e.a, true), AIO_KICK);
		assert_int_equal(sem_post(&k.seen), 0);
		assert_int_equal(aio_run(e.a, true), AIO_WAKE);
		pthread_join(t, NULL);
		assert_int_equal(aio_run(e.a, false), 0);
	}
	sem_destroy(&k.seen);
	close_env(&e);
}

/* One system call for the sleep, and the signal goes out with it. */
static void
test_signal(void **state)
{
	const struct kind *k = *state;
	const uint64_t one = 1;
	uint64_t n, before;
	struct env e;

	open_env(&e, state, false);
	before = aio_syscalls(e.a);
	aio_signal(e.a);
	assert_int_equal(write(e.kick, &one, 8), 8);
	assert_int_equal(aio_run(e.a, true), AIO_KICK);
	assert_int_equal(read(e.call, &n, 8), 8);
	assert_int_equal(n, 1);
	if (k->engine == AIO_URING)
		assert_int_equal(aio_syscalls(e.a) - before, 1);
	/* Twice before anybody looks: still pending once read. */
	aio_signal(e.a);
	aio_signal(e.a);
	assert_int_equal(write(e.kick, &one, 8), 8);
	assert_int_equal(aio_run(e.a, true), AIO_KICK);
	assert_int_equal(read(e.call, &n, 8), 8);
	assert_int_equal(n, 2);
	close_env(&e);
}

/* A read-only engine has no operation that writes. */
static void
test_readonly(void **state)
{
	const struct kind *k = *state;
	struct req q;
	struct env e;
	char b[512] = { 1 };

	if (k->engine != AIO_URING)
		return;
	open_env(&e, state, true);
	start(&e, &q, AIO_PUNCH, NULL, 4096, 0);
	assert_int_equal(finish(&e, &q), -EACCES);
	start(&e, &q, AIO_READ, b, 512, 0);
	assert_int_equal(finish(&e, &q), 512);
	close_env(&e);
}

int
main(void)
{
#define ALL(f)                                       \
	cmocka_unit_test_prestate(f, &kinds[0]),     \
	    cmocka_unit_test_prestate(f, &kinds[1]), \
	    cmocka_unit_test_prestate(f, &kinds[2]), \
	    cmocka_unit_test_prestate(f, &kinds[3])
	const struct CMUnitTest tests[] = {
		ALL(test_data),
		ALL(test_ends),
		ALL(test_punch),
		ALL(test_depth),
		ALL(test_again),
		ALL(test_events),
		ALL(test_signal),
		ALL(test_readonly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
