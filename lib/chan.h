/* SPDX-License-Identifier: ISC */
#ifndef LIB_CHAN_H
#define LIB_CHAN_H

/*
 * A channel to one peer process: imsg framing on a socket, driven by
 * libevent, dispatched by one table.  The table says which messages this end
 * accepts; anything else ends the channel with a reason:
 *   - unknown type                     - a descriptor where none belongs
 *   - descriptor missing               - fields missing or bytes left over
 *   - broken framing                   - more unsent bytes than the limit
 * A handler reads its fields from body with ibuf getters and returns 0 or
 * -errno; nonzero ends the channel too.
 *
 * Threads: chan_send() and chan_queued() may be called by any thread while
 * nobody frees the channel (the event base then needs
 * evthread_use_pthreads() before it is made).  Everything else belongs to
 * the thread that runs the event base.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct ibuf;
struct chan;

#define CHAN_MSG_MAX   65536 /* bytes of one message with its header */
#define CHAN_QUEUE_MAX (4 * 1024 * 1024) /* default limit of unsent bytes */

enum chan_fd { CHAN_NOFD, CHAN_FD };

struct chan_row {
	uint32_t type;
	const char *name; /* for log lines: "CTL_START" */
	enum chan_fd fd;
	/*
	 * id is the message's id field (a client or VM number, by channel).
	 * fd is -1 for CHAN_NOFD rows; the handler owns it otherwise.
	 */
	int (*handle)(void *arg, uint32_t id, int fd, struct ibuf *body);
};

struct chan_ops {
	const struct chan_row *rows;
	size_t nrows;
	/*
	 * The peer is gone ("" = orderly end of file) or broke a rule (why
	 * says which).  The channel stays allocated until chan_free().
	 * Called once, from the event loop only: never from inside
	 * chan_send(), chan_flush() or chan_recv().  A failing handler or a
	 * full queue is reported here too.
	 */
	void (*closed)(void *arg, const char *why);
};

/* Takes fd (made non-blocking).  base may be NULL: then only the blocking
 * calls work until chan_attach().  NULL with errno on failure. */
struct chan *
chan_new(struct event_base *base, int fd, const struct chan_ops *, void *arg);
int chan_attach(struct chan *, struct event_base *);
/* May be called from inside a handler or closed(). */
void chan_free(struct chan *);
/* Likewise, and the peer sees the end whoever else holds a duplicate. */
void chan_end(struct chan *);
/* A duplicate of the descriptor, for another life of this process; or
 * -errno. */
int chan_dup(const struct chan *);
void chan_set_arg(struct chan *, void *arg);
/* Unsent bytes beyond which the peer is dropped: it does not read. */
void chan_set_limit(struct chan *, size_t bytes);
/*
 * From here on descriptors are neither sent nor accepted, and reads use
 * read(2) only, so that a "stdio" promise is enough.  Descriptors still
 * queued are written first, for at most a second.
 */
void chan_forbid_fds(struct chan *);
/* Descriptors are accepted still and never sent: "stdio recvfd" is enough.  0,
 * or -EBUSY when there are some to be sent. */
int chan_only_receive_fds(struct chan *);

/* A message body to be filled with ibuf_add_*(); never NULL. */
struct ibuf *chan_body(void);
/*
 * Queue a message.  body may be NULL (empty) and is consumed; fd (-1: none)
 * is consumed as well, whatever the result.  0 or -errno; never blocks.
 */
int
chan_send(struct chan *, uint32_t type, uint32_t id, int fd, struct ibuf *body);
/* Bytes queued and not yet written. */
size_t chan_queued(const struct chan *);
/* Blocking, with a time limit in ms (-1: none): write all that is queued. */
int chan_flush(struct chan *, int timeout_ms);
/*
 * Blocking: dispatch exactly one message. 0, or -errno: -EPIPE closed (see
 * chan_why()), -ETIMEDOUT, or what the handler returned.  Whatever is queued
 * for the peer is written meanwhile.  A handler that frees the channel makes
 * it return -ECANCELED.
 */
int chan_recv(struct chan *, int timeout_ms);
/* Why the channel ended: "" for end of file, NULL while it is alive. */
const char *chan_why(const struct chan *);

#endif
