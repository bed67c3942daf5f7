/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_FUZZ_RECORD_H
#define REGRESS_FUZZ_RECORD_H

/*
 * What a hostile peer writes to a channel: the fuzzer's input is records of
 * type, flags, length (16 bits, little-endian) and body.  The body gets the
 * header of a message, or with F_RAW none, so that framing is anything.
 */
#include <sys/socket.h>
#include <sys/uio.h>

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "imsg.h"

enum { F_FD = 1, F_RAW = 2 };
#define F_WHICH(flags) ((flags) >> 2) /* of the descriptors that there are */

struct record {
	uint8_t type, flags;
	uint16_t len;
};

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static inline void
check(bool ok)
{
	if (!ok)
		abort();
}

/* To be compared: what is kept of a peer is one too many. */
static inline unsigned
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	check(d != NULL);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* What does not fit is lost, as is the peer then.  fd goes with F_FD. */
static inline void
record_put(int sock, uint32_t type, const struct record *rec,
    const uint8_t *body, size_t len, int fd)
{
	struct imsg_hdr h = {
		.type = type,
		.len = (uint32_t)(sizeof(h) + len),
	};
	struct iovec iov[2] = { { &h, sizeof(h) }, { (void *)body, len } };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} u = { 0 };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

	if ((rec->flags & F_RAW) != 0) {
		m.msg_iov++;
		m.msg_iovlen--;
	}
	if ((rec->flags & F_FD) != 0) {
		h.len |= 1u << 31;
		m.msg_control = &u;
		m.msg_controllen = sizeof(u.space);
		u.align.cmsg_level = SOL_SOCKET;
		u.align.cmsg_type = SCM_RIGHTS;
		u.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&u.align), &fd, sizeof(fd));
	}
	(void)sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The next record of the input and its body; false: no more. */
static inline bool
record_next(const uint8_t **data, size_t *len, struct record *rec,
    const uint8_t **body, size_t *n)
{
	if (*len < sizeof(*rec))
		return false;
	memcpy(rec, *data, sizeof(*rec));
	*data += sizeof(*rec);
	*len -= sizeof(*rec);
	*body = *data;
	*n = rec->len < *len ? rec->len : *len;
	*data += *n;
	*len -= *n;
	return true;
}

#endif
