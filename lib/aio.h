/* SPDX-License-Identifier: ISC */
#ifndef LIB_AIO_H
#define LIB_AIO_H

/*
 * Asynchronous file operations for one thread: requests on one file and on
 * others that are only read, two eventfds to sleep on, one to signal.  Two engines, one contract:
 * io_uring (restricted to what is used here), and threads where the kernel
 * refuses io_uring.
 *
 * Invariants
 *  1. done() is called by aio_run() only, once for each aio_start(), in the
 *     thread that owns the engine; it may call aio_start() again.
 *  2. A request and what its iov points to belong to the engine from
 *     aio_start() to done().
 *  3. After aio_bind() nothing is allocated, opened or registered, and no
 *     thread is made: the process can seal itself.
 *  4. aio_run() sleeps in exactly one system call.
 *
 * An operation that cannot block for long is done at once, without the
 * engine, where that is cheaper (aio.c says when).
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum aio_op {
	AIO_READ,
	AIO_WRITE,
	AIO_SYNC, /* all writes that are done become durable */
	AIO_PUNCH, /* deallocate; the range reads as zeroes */
	AIO_ZERO, /* write zeroes without data, keep the allocation */
	AIO_NOP, /* nothing but done() */
};

struct aio_req {
	enum aio_op op;
	uint8_t file; /* 0, or the number of one of aio_conf.more plus 1 */
	bool durable; /* AIO_WRITE: on stable storage before it is done */
	unsigned niov; /* AIO_READ, AIO_WRITE */
	const struct iovec *iov;
	uint64_t off;
	uint64_t len; /* AIO_PUNCH, AIO_ZERO */
	/* res: bytes (READ and WRITE, may be short), 0, or -errno. */
	void (*done)(struct aio_req *, int64_t res);
	/* private to the engine from here on */
	int64_t res;
	struct aio_req *next;
};

#define AIO_FILES_MAX 16 /* conf.fd and conf.more together */

enum aio_engine { AIO_AUTO, AIO_URING, AIO_THREADS };
/* Events: an eventfd was signalled, requests were done. */
enum {
	AIO_KICK = 1 << 0,
	AIO_WAKE = 1 << 1,
	AIO_DONE = 1 << 2,
	AIO_TIME = 1 << 3, /* the timer ran out */
};

struct aio_conf {
	enum aio_engine engine;
	int fd; /* the file; all descriptors stay the caller's */
	const int *more; /* files that are only read */
	unsigned nmore;
	bool readonly;
	int kick, wake; /* eventfds that end aio_run()'s sleep */
	int call; /* eventfd that aio_signal() signals */
	bool timed; /* timer is a timerfd, which ends the sleep as well */
	int timer;
	unsigned depth; /* most requests in flight */
};

struct aio;

/* AIO_AUTO: io_uring, or threads where that is refused.  0 or -errno. */
int aio_new(struct aio **, const struct aio_conf *);
/* First call of the thread that will own the engine.  0 or -errno. */
int aio_bind(struct aio *);
/* No request may be in flight. */
void aio_free(struct aio *);
const char *aio_name(const struct aio *);

void aio_start(struct aio *, struct aio_req *);
/* Signal the call eventfd, at the latest before aio_run() sleeps. */
void aio_signal(struct aio *);
/*
 * Start what is queued, call done() for what finished.  With wait, and only
 * when nothing finished, sleeps until a request is done or an eventfd is
 * signalled.  Without, requests may be held back for the call with wait, which
 * has to follow.  Returns a mask of events, or -errno when the engine itself
 * failed.
 */
int aio_run(struct aio *, bool wait);
/* Requests started and not done. */
unsigned aio_inflight(const struct aio *);
/* System calls made so far by the owner's thread. */
uint64_t aio_syscalls(const struct aio *);

#endif
