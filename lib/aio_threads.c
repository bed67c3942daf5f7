/* SPDX-License-Identifier: ISC */
/*
 * The thread engine of aio.h, for kernels that refuse io_uring: a few workers
 * make the plain system calls.
 */
#include <sys/eventfd.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "aio_impl.h"
#include "thread.h"

#define WORKERS 4

/* (m) guarded by mtx; the rest belongs to the owner's thread. */
struct pool {
	struct aio a;
	pthread_mutex_t mtx;
	pthread_cond_t more;
	struct aio_list todo; /* (m) */
	struct aio_list done; /* (m) results not collected */
	bool stop; /* (m) */
	int donefd; /* eventfd: done became non-empty */
	unsigned nworkers;
	pthread_t worker[WORKERS];
};

static struct pool *
pool(struct aio *a)
{
	return (struct pool *)a;
}

static void
signal_fd(int fd)
{
	const uint64_t one = 1;

	/* Fails only when the counter is full, which signals as well. */
	(void)!write(fd, &one, sizeof(one));
}

static void
clear_fd(int fd)
{
	uint64_t n;

	/* Non-blocking: nothing to read is fine. */
	(void)!read(fd, &n, sizeof(n));
}

static void *
worker_run(void *arg)
{
	struct pool *p = arg;
	struct aio_req *r;
	bool first;

	pthread_mutex_lock(&p->mtx);
	for (;;) {
		while ((r = aio_list_get(&p->todo)) == NULL && !p->stop)
			pthread_cond_wait(&p->more, &p->mtx);
		if (r == NULL)
			break;
		pthread_mutex_unlock(&p->mtx);
		r->res = aio_exec(p->a.fd[r->file], r, 0);
		pthread_mutex_lock(&p->mtx);
		first = p->done.head == NULL;
		aio_list_put(&p->done, r);
		if (first)
			signal_fd(p->donefd);
	}
	pthread_mutex_unlock(&p->mtx);
	return NULL;
}

static void
threads_submit(struct aio *a, struct aio_req *r)
{
	struct pool *p = pool(a);

	pthread_mutex_lock(&p->mtx);
	aio_list_put(&p->todo, r);
	pthread_mutex_unlock(&p->mtx);
	pthread_cond_signal(&p->more);
}

static int
threads_flush(struct aio *a)
{
	return 0;
}

static void
threads_signal(struct aio *a)
{
	a->syscalls++;
	signal_fd(a->conf.call);
}

static void
collect(struct pool *p)
{
	struct aio_req *r, *next;

	pthread_mutex_lock(&p->mtx);
	r = p->done.head;
	aio_list_init(&p->done);
	pthread_mutex_unlock(&p->mtx);
	for (; r != NULL; r = next) {
		next = r->next;
		aio_done(&p->a, r, r->res);
	}
}

static int
threads_wait(struct aio *a, bool wait)
{
	struct pool *p = pool(a);
	static const int event[4] = { AIO_KICK, AIO_WAKE, 0, AIO_TIME };
	struct pollfd pfd[4] = {
		{ .fd = a->conf.kick, .events = POLLIN },
		{ .fd = a->conf.wake, .events = POLLIN },
		{ .fd = p->donefd, .events = POLLIN },
		{ .fd = a->conf.timed ? a->conf.timer : -1, .events = POLLIN },
	};
	int events = 0;
	unsigned i;

	if (!wait) {
		collect(p);
		return 0;
	}
	a->syscalls++;
	if (poll(pfd, 4, -1) == -1)
		return errno == EINTR ? 0 : -errno;
	for (i = 0; i < 4; i++) {
		if ((pfd[i].revents & (POLLERR | POLLNVAL)) != 0)
			return -EBADF;
		if (pfd[i].revents == 0)
			continue;
		a->syscalls++;
		clear_fd(pfd[i].fd);
		events |= event[i];
	}
	collect(p);
	return events;
}

static int
threads_bind(struct aio *a)
{
	return 0;
}

static void
threads_free(struct aio *a)
{
	struct pool *p = pool(a);
	unsigned i;

	pthread_mutex_lock(&p->mtx);
	p->stop = true;
	pthread_mutex_unlock(&p->mtx);
	pthread_cond_broadcast(&p->more);
	for (i = 0; i < p->nworkers; i++)
		pthread_join(p->worker[i], NULL);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->mtx);
	close(p->donefd);
	free(p);
}

static const struct aio_engine_ops threads_ops = {
	.name = "threads",
	.bind = threads_bind,
	.free = threads_free,
	.submit = threads_submit,
	.flush = threads_flush,
	.signal = threads_signal,
	.wait = threads_wait,
};

int
aio_threads_new(struct aio **out, const struct aio_conf *conf)
{
	struct pool *p = calloc(1, sizeof(*p));
	int error;

	if (p == NULL)
		return -ENOMEM;
	aio_init(&p->a, &threads_ops, conf);
	aio_list_init(&p->todo);
	aio_list_init(&p->done);
	p->donefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->donefd == -1) {
		error = -errno;
		free(p);
		return error;
	}
	pthread_mutex_init(&p->mtx, NULL);
	pthread_cond_init(&p->more, NULL);
	while (p->nworkers < WORKERS && p->nworkers < conf->depth) {
		error =
		    thread_new(&p->worker[p->nworkers], "aio", worker_run, p);
		if (error != 0) {
			threads_free(&p->a);
			return error;
		}
		p->nworkers++;
	}
	*out = &p->a;
	return 0;
}
