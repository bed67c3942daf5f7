/* SPDX-License-Identifier: ISC */
/*
 * Frames of a stream socket: see vionet.h.
 *
 * The bytes are read into a buffer of our own; a whole frame is handed out
 * where it lies, and the header that the guest gets is written into the
 * bytes before it, which have been taken already.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vionet_impl.h"

/* What a header needs beyond the length that precedes the frame. */
#define HEADROOM (VIONET_HDR - VIONET_LEN)

void
vionet_stream_reset(struct vionet_rx *q)
{
	q->in0 = q->in1 = HEADROOM;
}

/* More bytes; false with errno. */
static bool
fill(struct vionet_rx *q)
{
	ssize_t n;

	memmove(q->in + HEADROOM, q->in + q->in0, q->in1 - q->in0);
	q->in1 -= q->in0 - HEADROOM;
	q->in0 = HEADROOM;
	n = read(q->fd, q->in + q->in1, VIONET_STREAM_MAX - q->in1);
	q->stats.syscalls++;
	if (n == 0)
		errno = EPIPE;
	if (n == -1 && errno == EINTR)
		errno = EAGAIN;
	if (n <= 0)
		return false;
	q->in1 += (size_t)n;
	return true;
}

size_t
vionet_stream_next(struct vionet_rx *q, const uint8_t **frame)
{
	uint8_t *p;
	size_t len;

	for (;;) {
		p = q->in + q->in0;
		len = 0;
		if (q->in1 - q->in0 >= VIONET_LEN)
			len = (size_t)p[0] << 24 | (size_t)p[1] << 16 |
			    (size_t)p[2] << 8 | p[3];
		/* The other end is not itself any more. */
		if (q->in1 - q->in0 >= VIONET_LEN &&
		    (len < ETH_HLEN || len > VIONET_FRAME_MAX)) {
			errno = EPROTO;
			return 0;
		}
		if (len != 0 && q->in1 - q->in0 - VIONET_LEN >= len)
			break;
		if (!fill(q))
			return 0;
	}
	q->in0 += VIONET_LEN + len;
	p -= q->dev->hdr - VIONET_LEN;
	memset(p, 0, q->dev->hdr);
	*frame = p;
	return q->dev->hdr + len;
}
