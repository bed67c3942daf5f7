/* SPDX-License-Identifier: ISC */
#ifndef LIB_CHAN_H
#define LIB_CHAN_H

/*
 * A channel to one peer process: imsg framing on a stream socket, driven by
 * libevent, dispatched by one table.  The table says which messages this end
 * accepts; anything else ends the channel with a reason:
 *   - unknown type                     - a descriptor where none belongs
 *   - descriptor missing               - fields missing or bytes left over
 * A handler reads its fields from body with ibuf getters and returns 0 or
 * -errno; nonzero ends the channel too.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct ibuf;
struct chan;

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
	/* The peer is gone ("" = orderly end of file) or broke a rule (why
	 * says which).  The channel stays allocated until chan_free(). */
	void (*closed)(void *arg, const char *why);
};

/* Takes fd (made non-blocking).  base may be NULL: then only the blocking
 * calls work until chan_attach().  NULL with errno on failure. */
struct chan *
chan_new(struct event_base *base, int fd, const struct chan_ops *, void *arg);
int chan_attach(struct chan *, struct event_base *);
/* May be called from inside a handler or closed(). */
void chan_free(struct chan *);
void chan_set_arg(struct chan *, void *arg);
/*
 * From here on descriptors are neither sent nor accepted, and reads use
 * read(2) only, so that a "stdio" promise is enough.
 */
void chan_forbid_fds(struct chan *);

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
/* Blocking: dispatch exactly one message. 0, or -errno (-EPIPE: closed). */
int chan_recv(struct chan *, int timeout_ms);

#endif
