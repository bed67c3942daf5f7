/* SPDX-License-Identifier: ISC */
#ifndef LIB_AIO_IMPL_H
#define LIB_AIO_IMPL_H

/*
 * Between aio.c and its engines: the common part of an engine.
 */
#include <stddef.h>

#include "aio.h"

struct aio_list {
	struct aio_req *head, **tail;
};

struct aio_engine_ops {
	const char *name;
	int (*bind)(struct aio *);
	void (*free)(struct aio *);
	/* Hand requests over; they come back by aio_done(). */
	void (*submit)(struct aio *, struct aio_req *);
	/* Make the kernel or the workers see what was submitted. */
	int (*flush)(struct aio *);
	void (*signal)(struct aio *);
	/* Collect by aio_done().  With wait: flush, and sleep when there is
	 * nothing to collect.  Events or -errno. */
	int (*wait)(struct aio *, bool wait);
};

/* How reads may be done at once (writes: see aio.c). */
enum aio_direct {
	AIO_DIRECT_NEVER,
	AIO_DIRECT_CACHED, /* RWF_NOWAIT works: when the page cache has it */
	AIO_DIRECT_ALWAYS, /* a file in memory */
};

struct aio {
	const struct aio_engine_ops *ops;
	struct aio_conf conf; /* more is not valid after aio_init() */
	int fd[AIO_FILES_MAX];
	enum aio_direct direct[AIO_FILES_MAX];
	struct aio_list pending; /* started, not looked at */
	struct aio_list finished; /* done() to be called */
	unsigned inflight; /* submitted to the engine */
	unsigned npending;
	unsigned nfinished;
	bool signalled; /* a signal waits for flush() */
	int64_t slow_until; /* coarse ms: writes block, so use the engine */
	uint64_t syscalls;
};

int aio_uring_new(struct aio **, const struct aio_conf *);
int aio_threads_new(struct aio **, const struct aio_conf *);

void
aio_init(struct aio *, const struct aio_engine_ops *, const struct aio_conf *);
/* The operation as a plain system call: bytes, 0 or -errno. */
int64_t aio_exec(int fd, const struct aio_req *, int rwflags);
/* An engine reports a submitted request finished. */
void aio_done(struct aio *, struct aio_req *, int64_t res);

static inline void
aio_list_init(struct aio_list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static inline void
aio_list_put(struct aio_list *l, struct aio_req *r)
{
	r->next = NULL;
	*l->tail = r;
	l->tail = &r->next;
}

static inline struct aio_req *
aio_list_get(struct aio_list *l)
{
	struct aio_req *r = l->head;

	if (r != NULL && (l->head = r->next) == NULL)
		l->tail = &l->head;
	return r;
}

#endif
