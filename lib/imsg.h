/* SPDX-License-Identifier: ISC */
#ifndef LIB_IMSG_H
#define LIB_IMSG_H

/*
 * Message buffers (ibuf) and framed messages with descriptors (imsg) over a
 * stream socket, or one of packets (SOCK_SEQPACKET).  Names and meaning follow OpenBSD's public manuals
 * ibuf_add(3) and imsg_init(3); the code is ours.
 *
 * Functions returning int give 0, or -1 with errno set, as in those manuals
 * (the one exception from the "0 or -errno" rule of this tree), except where
 * a comment says otherwise.  The getters demand what they are asked for: a
 * short buffer is EBADMSG and nothing is consumed.
 */
#include <sys/queue.h>
#include <sys/uio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A buffer with a write and a read position and at most one descriptor.
 * Members are private to ibuf.c and imsg.c; the type is complete only so
 * that ibuf_from_buffer() and imsg_get_ibuf() can fill one on the stack.
 */
struct ibuf {
	TAILQ_ENTRY(ibuf) entry;
	uint8_t *buf;
	size_t size; /* allocated */
	size_t max; /* limit of growth; 0: a read-only view */
	size_t wpos; /* bytes filled */
	size_t rpos; /* bytes consumed */
	int fd; /* owned; -1 when none */
	bool failed; /* an adder failed: not to be sent */
};

/* len bytes are reserved; the buffer grows up to max.  NULL with errno. */
struct ibuf *ibuf_open(size_t len);
struct ibuf *ibuf_dynamic(size_t len, size_t max);
/* Closes the descriptor still in it; NULL is fine; errno is preserved. */
void ibuf_free(struct ibuf *);
/* A view of somebody else's bytes; not to be freed, cannot be added to. */
void ibuf_from_buffer(struct ibuf *, void *, size_t);
void ibuf_from_ibuf(struct ibuf *, const struct ibuf *);

/*
 * Writing.  ERANGE: no room below max; EINVAL: value does not fit.  A buffer
 * that an adder failed on is refused by imsg_close() and chan_send(), so the
 * results need not be checked one by one.
 */
int ibuf_add(struct ibuf *, const void *, size_t);
int ibuf_add_ibuf(struct ibuf *, const struct ibuf *);
int ibuf_add_zero(struct ibuf *, size_t);
/* NUL-padded field of exactly len bytes; EOVERFLOW when str has no room. */
int ibuf_add_strbuf(struct ibuf *, const char *, size_t len);
int ibuf_add_n8(struct ibuf *, uint64_t);
int ibuf_add_n16(struct ibuf *, uint64_t); /* network byte order */
int ibuf_add_n32(struct ibuf *, uint64_t);
int ibuf_add_n64(struct ibuf *, uint64_t);
int ibuf_add_h16(struct ibuf *, uint64_t); /* host byte order */
int ibuf_add_h32(struct ibuf *, uint64_t);
int ibuf_add_h64(struct ibuf *, uint64_t);
/* Room for len bytes to be filled by the caller, or NULL. */
void *ibuf_reserve(struct ibuf *, size_t len);
/* A pointer to [pos, pos + len) of the unread bytes, or NULL (ERANGE). */
void *ibuf_seek(struct ibuf *, size_t pos, size_t len);
/* Overwrite at pos of the unread bytes; ERANGE outside of what is there. */
int ibuf_set(struct ibuf *, size_t pos, const void *, size_t);
int ibuf_set_n8(struct ibuf *, size_t pos, uint64_t);
int ibuf_set_n16(struct ibuf *, size_t pos, uint64_t);
int ibuf_set_n32(struct ibuf *, size_t pos, uint64_t);
int ibuf_set_n64(struct ibuf *, size_t pos, uint64_t);
int ibuf_set_h16(struct ibuf *, size_t pos, uint64_t);
int ibuf_set_h32(struct ibuf *, size_t pos, uint64_t);
int ibuf_set_h64(struct ibuf *, size_t pos, uint64_t);

/* Reading. */
void *ibuf_data(const struct ibuf *); /* the first unread byte */
size_t ibuf_size(const struct ibuf *); /* unread bytes */
size_t ibuf_left(const struct ibuf *); /* room up to max */
int ibuf_get(struct ibuf *, void *, size_t);
/* The next len bytes as a view. */
int ibuf_get_ibuf(struct ibuf *, size_t len, struct ibuf *);
int ibuf_get_n8(struct ibuf *, uint8_t *);
int ibuf_get_n16(struct ibuf *, uint16_t *);
int ibuf_get_n32(struct ibuf *, uint32_t *);
int ibuf_get_n64(struct ibuf *, uint64_t *);
int ibuf_get_h16(struct ibuf *, uint16_t *);
int ibuf_get_h32(struct ibuf *, uint32_t *);
int ibuf_get_h64(struct ibuf *, uint64_t *);
/* A field of exactly len bytes into str[len]; EOVERFLOW without NUL (str is
 * terminated all the same). */
int ibuf_get_strbuf(struct ibuf *, char *str, size_t len);
/* len bytes as a new string (the caller frees); NULL with errno. */
char *ibuf_get_string(struct ibuf *, size_t len);
int ibuf_skip(struct ibuf *, size_t);
/* Cut the unread bytes to len, or fill up to len with zeroes. */
int ibuf_truncate(struct ibuf *, size_t len);
void ibuf_rewind(struct ibuf *);

/* The descriptor: set takes it (closing one already there), get gives it
 * away and leaves -1. */
void ibuf_fd_set(struct ibuf *, int);
int ibuf_fd_get(struct ibuf *);
bool ibuf_fd_avail(const struct ibuf *);

#define IMSG_HEADER_SIZE sizeof(struct imsg_hdr)
#define MAX_IMSGSIZE	 16384 /* default limit, header included */
#define IMSG_QUEUE_DFLT	 (1024 * 1024) /* default limit of unsent bytes */
#define IMSG_QUEUE_FDS	 512 /* limit of unsent descriptors */
#define IMSG_READ_FDS	 4 /* limit of received, unclaimed descriptors */

/* On the wire, host byte order (both ends are this machine). */
struct imsg_hdr {
	uint32_t type;
	uint32_t len; /* header included; top bit: a descriptor comes along */
	uint32_t peerid;
	uint32_t pid;
};

struct imsg {
	struct imsg_hdr hdr; /* len without the mark */
	void *data; /* payload, imsg_get_len() bytes */
	struct ibuf *buf;
};

TAILQ_HEAD(ibufqueue, ibuf);

/* One end of a channel.  Members are private to imsg.c. */
struct imsgbuf {
	int fd; /* borrowed; the caller closes it */
	pid_t pid;
	uint32_t maxsize;
	bool fdpass, recvonly;
	bool packets; /* SOCK_SEQPACKET */
	/* sending */
	struct ibufqueue queue;
	uint32_t nqueued; /* messages */
	unsigned nqueuedfds;
	size_t queued; /* bytes */
	size_t maxqueue;
	/* receiving */
	uint8_t *rbuf; /* maxsize bytes */
	size_t rpos, rlen; /* unparsed: [rpos, rlen) */
	unsigned nrfds; /* received, not yet claimed */
	int rfd[IMSG_READ_FDS];
};

/*
 * Messages only, no descriptors, until imsgbuf_allow_fdpass().  Without it
 * only read(2) and writev(2) are used: the kernel closes a descriptor that
 * the peer sends, and a message that announces one is EBADMSG.
 */
int imsgbuf_init(struct imsgbuf *, int fd);
void imsgbuf_allow_fdpass(struct imsgbuf *);
/* Back to the state of imsgbuf_init(); EBUSY while unsent messages carry
 * descriptors.  Received ones that were not claimed are closed. */
int imsgbuf_forbid_fdpass(struct imsgbuf *);
/* They are received, none is sent: write(2) does. */
int imsgbuf_only_receive_fds(struct imsgbuf *);
/* Largest message, header included; EINVAL below the header's size or below
 * what is buffered. */
int imsgbuf_set_maxsize(struct imsgbuf *, uint32_t);
/* Unsent bytes beyond which imsg_close() fails with ENOBUFS. */
void imsgbuf_set_maxqueue(struct imsgbuf *, size_t);
/* Frees everything queued and received.  The socket stays open. */
void imsgbuf_clear(struct imsgbuf *);
/*
 * One read. 1: go on with imsgbuf_get() (also when there was nothing to read
 * yet); 0: end of file; -1: error.  On a non-blocking socket never blocks.
 */
int imsgbuf_read(struct imsgbuf *);
/* Write until all is sent or the socket is full; 0 in both cases. */
int imsgbuf_write(struct imsgbuf *);
/* Write all, waiting for the socket. */
int imsgbuf_flush(struct imsgbuf *);
/*
 * Take one message from what was read. 1: *imsg is filled, to be freed with
 * imsg_free(); 0: none complete; -1: the peer broke the framing (EBADMSG),
 * or ENOMEM.
 */
int imsgbuf_get(struct imsgbuf *, struct imsg *);
/* At end of file: was the peer in the middle of a message? */
bool imsgbuf_partial(const struct imsgbuf *);
uint32_t imsgbuf_queuelen(const struct imsgbuf *); /* unsent messages */
size_t imsgbuf_queued(const struct imsgbuf *); /* unsent bytes */

uint32_t imsg_get_type(const struct imsg *);
uint32_t imsg_get_id(const struct imsg *);
pid_t imsg_get_pid(const struct imsg *);
size_t imsg_get_len(const struct imsg *); /* payload not yet consumed */
int imsg_get_fd(struct imsg *); /* gives it away; -1 when none */
/* The payload is exactly len bytes, or EBADMSG. */
int imsg_get_data(struct imsg *, void *, size_t len);
/* The next len bytes of the payload, or EBADMSG. */
int imsg_get_buf(struct imsg *, void *, size_t len);
/* The payload as a view to be read with ibuf getters. */
int imsg_get_ibuf(struct imsg *, struct ibuf *);
void imsg_free(struct imsg *);

/*
 * Sending.  1 from the compose functions means queued, -1 error.  fd is
 * taken in every case (-1: none).  pid 0: our own.
 */
int imsg_compose(struct imsgbuf *, uint32_t type, uint32_t id, pid_t pid,
    int fd, const void *, size_t);
int imsg_composev(struct imsgbuf *, uint32_t type, uint32_t id, pid_t pid,
    int fd, const struct iovec *, int);
/* Takes the buffer and its descriptor, whatever the result. */
int imsg_compose_ibuf(
    struct imsgbuf *, uint32_t type, uint32_t id, pid_t pid, struct ibuf *);
/* In parts: imsg_create, imsg_add..., imsg_close.  imsg_add frees the buffer
 * and returns -1 on failure, else the number of bytes. */
struct ibuf *
imsg_create(struct imsgbuf *, uint32_t type, uint32_t id, pid_t pid, size_t);
int imsg_add(struct ibuf *, const void *, size_t);
/* Queues; takes the buffer in every case. 0 or -1.  EMSGSIZE: an adder had
 * failed on it. */
int imsg_close(struct imsgbuf *, struct ibuf *);

#endif
