/* SPDX-License-Identifier: ISC */
/*
 * The thread of the SCSI host, and its request queue: virtio 1.2, "Device
 * Operation: Request Queues".
 *
 * The headers' sizes are the driver's to choose ("sense_size", "cdb_size");
 * they are read once per request.  A chain without room for the headers is no
 * request: nobody can be told, so the ring is broken.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "iov.h"
#include "vioscsi_impl.h"

/* Before the command, and before the sense data. */
#define REQ_HEAD  offsetof(struct virtio_scsi_cmd_req, cdb)
#define RESP_HEAD offsetof(struct virtio_scsi_cmd_resp, sense)

struct request {
	struct virtq_chain c;
	struct iovec *in; /* data; the response's header is before it */
	unsigned nin;
	uint64_t in_len, out_len; /* of the data */
	uint32_t sense_size;
	uint8_t lun[8];
	uint8_t cdb[CDROM_CDB_MAX];
};

static uint32_t
config32(const struct vioscsi *v, size_t off, uint32_t dflt)
{
	uint32_t n = 0;
	unsigned i;

	for (i = 0; i < 4; i++)
		n |= (uint32_t)vdev_config_byte(
			 &v->vdev, off + i, (uint8_t)(dflt >> 8 * i))
		    << 8 * i;
	return n;
}

/* Virtual: 1, target, unit in the "peripheral device" or "flat space" form. */
bool
vioscsi_unit(const uint8_t lun[8], enum cdrom_lun *unit)
{
	static const uint8_t zero[6];
	unsigned number = (unsigned)(lun[2] & 0x3f) << 8 | lun[3];

	/* "The REPORT LUNS well-known logical unit". */
	if (lun[0] == 0xc1 && lun[1] == 0x01) {
		*unit = CDROM_LUN_REPORT;
		return memcmp(lun + 2, zero, 6) == 0;
	}
	if (lun[0] != 1 || lun[1] != 0)
		return false;
	*unit =
	    (lun[2] & 0x80) == 0 && number == 0 && memcmp(lun + 4, zero, 4) == 0
	    ? CDROM_LUN_DRIVE
	    : CDROM_LUN_NONE;
	return true;
}

bool
vioscsi_pop(struct vioscsi *v, unsigned queue, struct virtq_chain *c)
{
	struct vdev_queue *q = &v->queue[queue];
	int n;

	c->iov = v->iov;
	c->iov_max = VIOSCSI_CHAIN_MAX;
	n = virtq_pop(&q->vq, c);
	if (n < 0)
		vdev_break(q, "invalid virtqueue");
	return n == 1;
}

bool
vioscsi_give(const struct vioscsi *v, struct iovec **iov, unsigned *n,
    const void *src, size_t len)
{
	const uint8_t *from = src;
	struct iovec to;
	size_t part;

	for (; len > 0; len -= part) {
		if (*n == 0)
			return false;
		to = **iov;
		part = len < to.iov_len ? len : to.iov_len;
		iov_give(iov, n, from, part);
		gmem_wrote(&v->vdev.mem, to.iov_base, part);
		if (from != NULL)
			from += part;
	}
	return true;
}

/* Takes the headers apart; false when there is no room for them. */
static bool
decode(struct vioscsi *v, struct request *r)
{
	uint8_t head[REQ_HEAD];
	uint32_t cdb_size = config32(v,
	    offsetof(struct virtio_scsi_config, cdb_size), v->config.cdb_size);
	struct iovec *out = r->c.iov;
	unsigned nout = r->c.nread;
	size_t part = cdb_size < sizeof(r->cdb) ? cdb_size : sizeof(r->cdb);

	r->sense_size =
	    config32(v, offsetof(struct virtio_scsi_config, sense_size),
		v->config.sense_size);
	memset(r->cdb, 0, sizeof(r->cdb));
	if (!iov_take(&out, &nout, head, sizeof(head)) ||
	    !iov_take(&out, &nout, r->cdb, part) ||
	    !iov_take(&out, &nout, NULL, cdb_size - part) ||
	    r->c.write_len < RESP_HEAD ||
	    r->c.write_len - RESP_HEAD < r->sense_size)
		return false;
	memcpy(r->lun, head, sizeof(r->lun));
	r->out_len = r->c.read_len - sizeof(head) - cdb_size;
	r->in_len = r->c.write_len - RESP_HEAD - r->sense_size;
	/* The response's header is written last, from a vector of its own. */
	r->in = v->data;
	r->nin = r->c.nwrite;
	memcpy(r->in, r->c.iov + r->c.nread, r->nin * sizeof(*r->in));
	iov_take(&r->in, &r->nin, NULL, RESP_HEAD + (size_t)r->sense_size);
	return true;
}

/* The response's header, once the data is there. */
static void
answer(struct vioscsi *v, struct request *r, uint8_t response,
    const struct cdrom_reply *reply, uint64_t moved)
{
	struct iovec *in = r->c.iov + r->c.nread;
	struct virtio_scsi_cmd_resp resp = { .response = response };
	uint8_t sense[CDROM_SENSE] = { 0 };
	uint64_t resid = r->out_len + r->in_len - moved;
	size_t n =
	    r->sense_size < sizeof(sense) ? r->sense_size : sizeof(sense);
	unsigned nin = r->c.nwrite;

	if (reply->status == CDROM_CHECK) {
		cdrom_sense(reply, sense);
		resp.sense_len = (uint32_t)n;
	}
	resp.status = reply->status;
	resp.resid = resid > UINT32_MAX ? UINT32_MAX : (uint32_t)resid;
	vioscsi_give(v, &in, &nin, &resp, RESP_HEAD);
	vioscsi_give(v, &in, &nin, sense, n);
	vioscsi_give(v, &in, &nin, NULL, r->sense_size - n);
	v->stats.requests++;
	v->stats.in += moved;
	if (response != VIRTIO_SCSI_S_OK || reply->status != CDROM_GOOD)
		v->stats.errors++;
	virtq_push(&v->queue[VIOSCSI_REQUEST].vq, r->c.head,
	    (uint32_t)(RESP_HEAD + r->sense_size + moved));
}

/* From the medium into the data part.  0 or -errno. */
static int
read_medium(
    int fd, const struct iovec *iov, unsigned n, uint64_t off, uint64_t len)
{
	struct iovec part[16];
	unsigned i = 0, k;
	uint64_t done = 0, want;
	ssize_t got;

	/* done: bytes of iov[i] that are there. */
	while (len > 0 && i < n) {
		want = 0;
		for (k = 0; k < 16 && i + k < n && want < len; k++) {
			part[k] = iov[i + k];
			if (k == 0) {
				part[0].iov_base =
				    (uint8_t *)part[0].iov_base + done;
				part[0].iov_len -= done;
			}
			if (part[k].iov_len > len - want)
				part[k].iov_len = len - want;
			want += part[k].iov_len;
		}
		got = preadv(fd, part, (int)k, (off_t)off);
		if (got == -1 && errno == EINTR)
			continue;
		if (got <= 0) /* an image that became shorter */
			return got == 0 ? -ENODATA : -errno;
		off += (uint64_t)got;
		len -= (uint64_t)got;
		for (done += (uint64_t)got; i < n && done >= iov[i].iov_len;)
			done -= iov[i++].iov_len;
	}
	return 0;
}

/* (l).  Bytes moved, or -1: the data part is too small for what was asked. */
static int64_t
execute(struct vioscsi *v, struct request *r, enum cdrom_lun unit,
    struct cdrom_reply *reply)
{
	uint64_t bytes;
	int error;

	cdrom_command(&v->drive, unit, r->cdb, reply);
	bytes = (uint64_t)reply->count * CDROM_BLOCK;
	if (reply->len > r->in_len || bytes > r->in_len)
		return -1;
	if (bytes > 0) {
		error = read_medium(v->medium, r->in, r->nin,
		    reply->block * CDROM_BLOCK, bytes);
		virtq_wrote(
		    &v->queue[VIOSCSI_REQUEST].vq, r->in, r->nin, bytes);
		if (error == 0)
			return (int64_t)bytes;
		log_limited(&v->rate_io, "read error at block %llu: %s",
		    (unsigned long long)reply->block, strerror(-error));
		cdrom_failed(reply);
		return 0;
	}
	bytes = reply->len;
	vioscsi_give(v, &r->in, &r->nin, reply->data, bytes);
	return (int64_t)bytes;
}

static void
request(struct vioscsi *v, struct request *r)
{
	struct cdrom_reply reply = { 0 };
	enum cdrom_lun unit;
	int64_t moved;

	if (!decode(v, r)) {
		vdev_break(
		    &v->queue[VIOSCSI_REQUEST], "request without its headers");
		return;
	}
	if (!vioscsi_unit(r->lun, &unit)) {
		answer(v, r, VIRTIO_SCSI_S_BAD_TARGET, &reply, 0);
		return;
	}
	pthread_mutex_lock(&v->lock);
	moved = execute(v, r, unit, &reply);
	pthread_mutex_unlock(&v->lock);
	if (moved < 0) {
		reply.status = CDROM_GOOD;
		answer(v, r, VIRTIO_SCSI_S_OVERRUN, &reply, 0);
	} else
		answer(v, r, VIRTIO_SCSI_S_OK, &reply, (uint64_t)moved);
}

void
vioscsi_requests(struct vioscsi *v)
{
	struct request r;
	unsigned n;

	for (n = 0; n < VIOSCSI_QUEUE_SIZE; n++) {
		if (!vioscsi_pop(v, VIOSCSI_REQUEST, &r.c))
			return;
		request(v, &r);
	}
}

static void
interrupt(struct vioscsi *v, unsigned queue)
{
	const uint64_t one = 1;

	if (!virtq_want_interrupt(&v->queue[queue].vq))
		return;
	v->interrupts[queue]++;
	(void)!write(v->queue[queue].call, &one, sizeof(one));
}

static void
count(const struct vioscsi *v)
{
	struct ctl_counters n = v->stats;
	unsigned i;

	for (i = 0; i < VIOSCSI_QUEUES; i++) {
		n.kicks += v->kicks[i];
		n.interrupts += v->interrupts[i];
	}
	vdev_count(&v->queue[VIOSCSI_REQUEST], &n);
}

/* From here on the driver has to wake us; false: there is more already. */
static bool
enable_kicks(struct vioscsi *v)
{
	bool more = false;

	more |= virtq_enable_kick(&v->queue[VIOSCSI_CONTROL].vq);
	more |= virtq_enable_kick(&v->queue[VIOSCSI_REQUEST].vq);
	/* Buffers for events lie there until there is one. */
	if (virtq_enable_kick(&v->queue[VIOSCSI_EVENT].vq))
		more |= v->missed;
	return !more;
}

static void
wait_for_work(struct vioscsi *v)
{
	struct pollfd p[VIOSCSI_QUEUES + 1];
	uint64_t n;
	unsigned i;

	for (i = 0; i < VIOSCSI_QUEUES; i++)
		p[i] = (struct pollfd){ v->queue[i].kick, POLLIN, 0 };
	p[i] = (struct pollfd){ v->queue[VIOSCSI_REQUEST].wake, POLLIN, 0 };
	(void)poll(p, VIOSCSI_QUEUES + 1, -1);
	for (i = 0; i <= VIOSCSI_QUEUES; i++) {
		if ((p[i].revents & POLLIN) == 0)
			continue;
		(void)!read(p[i].fd, &n, sizeof(n));
		if (i < VIOSCSI_QUEUES)
			v->kicks[i]++;
	}
}

static struct vioscsi *
host_of(struct vdev_queue *q)
{
	return (void *)((char *)q -
	    offsetof(struct vioscsi, queue[VIOSCSI_REQUEST]));
}

static void
take_over(struct vioscsi *v)
{
	pthread_mutex_lock(&v->lock);
	if (v->kept) {
		v->subscribed = v->kept_subscribed;
		v->missed |= v->kept_missed;
		v->kept = false;
	}
	pthread_mutex_unlock(&v->lock);
}

static void
serve(struct vdev_queue *q)
{
	struct vioscsi *v = host_of(q);
	unsigned i;

	take_over(v);
	vioscsi_control(v);
	vioscsi_requests(v);
	vioscsi_events(v);
	for (i = 0; i < VIOSCSI_QUEUES; i++)
		interrupt(v, i);
	count(v);
	if (enable_kicks(v))
		wait_for_work(v);
	for (i = 0; i < VIOSCSI_QUEUES; i++)
		virtq_disable_kick(&v->queue[i].vq);
}

/* A reset: the next driver finds the drive as it is after power-on. */
static void
forget(struct vdev_queue *q)
{
	struct vioscsi *v = host_of(q);

	v->subscribed = 0;
	v->missed = false;
	pthread_mutex_lock(&v->lock);
	v->news = v->kept = false;
	cdrom_reset(&v->drive);
	pthread_mutex_unlock(&v->lock);
}

void *
vioscsi_run(void *queue)
{
	static const struct vdev_loop loop = { NULL, serve, forget };

	vdev_loop(queue, &loop);
	return NULL;
}
