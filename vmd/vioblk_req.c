/* SPDX-License-Identifier: ISC */
/*
 * Block requests: virtio 1.2, "Block Device", "Device Operation".
 *
 * A chain is decoded wherever its parts happen to be split ("Message
 * Framing"), the header and the ranges are copied once, and the copies are
 * checked before anything is started.  A chain without room for a header and
 * a status byte is no request: nobody can be told, so the ring is broken.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

#include "iov.h"
#include "vioblk_impl.h"

static_assert(sizeof(struct virtio_blk_outhdr) == 16, "request header");

static uint64_t
le(uint64_t v)
{
	return v; /* the host is little-endian: see virtq.c */
}

/* Answer.  The slot is free afterwards. */
static void
complete(struct vioblk_slot *s, uint8_t status)
{
	struct vioblk_queue *q = s->q;

	__atomic_store_n(s->status, status, __ATOMIC_RELAXED);
	gmem_wrote(q->v.vq.mem, s->status, 1);
	virtq_wrote(
	    &q->v.vq, s->big != NULL ? s->big : s->iov, s->nin, s->disk.len);
	q->stats.answered++;
	if (status != VIRTIO_BLK_S_OK)
		q->stats.errors++;
	/* After an error only the status byte is known to be written. */
	virtq_push(
	    &q->v.vq, s->head, status == VIRTIO_BLK_S_OK ? s->written : 1);
	vioblk_slot_put(s);
}

static const char *
verb(uint32_t type)
{
	switch (type) {
	case VIRTIO_BLK_T_IN:
		return "read";
	case VIRTIO_BLK_T_OUT:
		return "write";
	case VIRTIO_BLK_T_FLUSH:
		return "flush";
	case VIRTIO_BLK_T_DISCARD:
		return "discard";
	default:
		return "write-zeroes";
	}
}

static bool next_range(struct vioblk_slot *);

static void
request_done(struct disk_req *r, int error)
{
	struct vioblk_slot *s = (struct vioblk_slot *)r;

	/* Whatever came of it. */
	if (r->op != DISK_READ && r->op != DISK_FLUSH)
		vioblk_mirror_wrote(s->q->dev, r->off, r->len);
	if (error == -EOPNOTSUPP) {
		complete(s, VIRTIO_BLK_S_UNSUPP);
	} else if (error != 0) {
		log_limited(&s->q->rate_io, "%s error at sector %llu: %s",
		    verb(s->type), (unsigned long long)s->sector,
		    strerror(-error));
		complete(s, VIRTIO_BLK_S_IOERR);
	} else if (s->nranges == 0 || !next_range(s)) {
		complete(s, VIRTIO_BLK_S_OK);
	}
}

/* Hand s->disk to the disk, or answer when that is refused. */
static void
start_now(struct vioblk_slot *s)
{
	struct vioblk_queue *q = s->q;
	int error;

	s->disk.done = request_done;
	s->disk.durable = vioblk_durable(q->dev);
	error = disk_start(q->dev->disk, q->aio, &s->disk);
	if (error != 0)
		complete(s,
		    error == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP
					 : VIRTIO_BLK_S_IOERR);
}

uint64_t
vioblk_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* 0, or the ns that the disk's limits want it to wait. */
static uint64_t
wait_for(const struct vioblk_slot *s)
{
	uint64_t bytes = s->disk.op == DISK_DISCARD ? 0 : s->disk.len;

	if (s->disk.op == DISK_FLUSH)
		return 0;
	return limit_take(&s->q->dev->limit, 1, bytes, vioblk_now_ns());
}

static void
set_timer(struct vioblk_queue *q, uint64_t ns)
{
	struct itimerspec t = {
		.it_value = { (time_t)(ns / 1000000000),
		    (long)(ns % 1000000000) },
	};

	if (timerfd_settime(q->timer, 0, &t, NULL) == -1)
		fatal("timer");
}

static void
start(struct vioblk_slot *s)
{
	struct vioblk_queue *q = s->q;
	uint64_t ns;

	if (!q->dev->limit.any) {
		start_now(s);
		return;
	}
	if (q->held == NULL) {
		if ((ns = wait_for(s)) == 0) {
			start_now(s);
			return;
		}
		set_timer(q, ns);
	}
	s->next = NULL;
	*q->held_tail = s;
	q->held_tail = &s->next;
}

static struct vioblk_slot *
unhold(struct vioblk_queue *q)
{
	struct vioblk_slot *s = q->held;

	q->held = s->next;
	if (q->held == NULL)
		q->held_tail = &q->held;
	return s;
}

void
vioblk_req_release(struct vioblk_queue *q)
{
	uint64_t ns;

	while (q->held != NULL) {
		if ((ns = wait_for(q->held)) != 0) {
			set_timer(q, ns);
			return;
		}
		start_now(unhold(q));
	}
}

void
vioblk_req_forget(struct vioblk_queue *q)
{
	while (q->held != NULL)
		vioblk_slot_put(unhold(q));
}

/* The vector moves into the slot, or into one from the pool. */
static void
keep_iov(struct vioblk_slot *s, const struct iovec *iov, unsigned n)
{
	struct vioblk_queue *q = s->q;
	struct iovec *to = s->iov;

	if (n > VIOBLK_IOV_SMALL) {
		/* As many vectors as slots. */
		s->big = q->pool_free[--q->npool_free];
		to = s->big;
	}
	memcpy(to, iov, n * sizeof(*iov));
	s->disk.iov = to;
	s->disk.niov = n;
}

static bool
in_range(struct vioblk_slot *s, uint64_t sector, uint64_t sectors)
{
	uint64_t cap = s->q->dev->sectors;

	if (sector <= cap && sectors <= cap - sector)
		return true;
	log_limited(&s->q->rate_range,
	    "%s beyond end: sector %llu, %llu sectors", verb(s->type),
	    (unsigned long long)sector, (unsigned long long)sectors);
	return false;
}

static void
start_data(struct vioblk_slot *s, enum disk_op op, const struct iovec *iov,
    unsigned n, uint64_t len)
{
	struct vioblk_stats *st = &s->q->stats;

	if (len % DISK_SECTOR != 0 ||
	    !in_range(s, s->sector, len / DISK_SECTOR) ||
	    (op == DISK_WRITE && s->q->dev->conf.readonly)) {
		complete(s, VIRTIO_BLK_S_IOERR);
		return;
	}
	if (len == 0) {
		complete(s, VIRTIO_BLK_S_OK);
		return;
	}
	if (op == DISK_READ) {
		st->reads++;
		st->read_bytes += len;
		s->written = (uint32_t)len + 1;
	} else {
		st->writes++;
		st->write_bytes += len;
	}
	keep_iov(s, iov, n);
	if (op == DISK_READ)
		s->nin = (uint16_t)n;
	s->disk.op = op;
	s->disk.off = s->sector * DISK_SECTOR;
	s->disk.len = len;
	start(s);
}

static void
get_id(struct vioblk_slot *s, const struct iovec *iov, unsigned n, uint64_t len)
{
	const char *id = s->q->dev->conf.serial;
	char field[VIOBLK_SERIAL_MAX] = { 0 };
	size_t left = len < sizeof(field) ? len : sizeof(field), part, at = 0;
	unsigned i;

	memcpy(field, id, strnlen(id, sizeof(field)));
	s->written = (uint32_t)left + 1;
	for (i = 0; i < n && left > 0; i++) {
		part = iov[i].iov_len < left ? iov[i].iov_len : left;
		memcpy(iov[i].iov_base, field + at, part);
		at += part;
		left -= part;
	}
	virtq_wrote(&s->q->v.vq, iov, n, at);
	s->q->stats.others++;
	complete(s, VIRTIO_BLK_S_OK);
}

/* Start the next range; false when there is none. */
static bool
next_range(struct vioblk_slot *s)
{
	const struct virtio_blk_discard_write_zeroes *r;

	if (s->range >= s->nranges)
		return false;
	r = &s->ranges[s->range++];
	if (s->type == VIRTIO_BLK_T_DISCARD)
		s->disk.op = DISK_DISCARD;
	else if (le(r->flags) & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)
		s->disk.op = DISK_ZERO_UNMAP;
	else
		s->disk.op = DISK_ZERO;
	s->sector = le(r->sector);
	s->disk.off = s->sector * DISK_SECTOR;
	s->disk.len = (uint64_t)le(r->num_sectors) * DISK_SECTOR;
	start(s);
	return true;
}

/* All ranges are checked before the first is started. */
static uint8_t
check_ranges(struct vioblk_slot *s)
{
	uint32_t known = s->type == VIRTIO_BLK_T_WRITE_ZEROES
	    ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP
	    : 0;
	unsigned i;

	for (i = 0; i < s->nranges; i++)
		if ((le(s->ranges[i].flags) & ~(uint64_t)known) != 0)
			return VIRTIO_BLK_S_UNSUPP;
	for (i = 0; i < s->nranges; i++) {
		uint32_t n = (uint32_t)le(s->ranges[i].num_sectors);

		if (n == 0 || n > VIOBLK_RANGE_MAX ||
		    !in_range(s, le(s->ranges[i].sector), n))
			return VIRTIO_BLK_S_IOERR;
	}
	return VIRTIO_BLK_S_OK;
}

static void
start_ranges(struct vioblk_slot *s, struct iovec *iov, unsigned n, uint64_t len)
{
	const size_t one = sizeof(s->ranges[0]);
	uint64_t bit = s->type == VIRTIO_BLK_T_DISCARD
	    ? 1ULL << VIRTIO_BLK_F_DISCARD
	    : 1ULL << VIRTIO_BLK_F_WRITE_ZEROES;
	uint8_t status;

	s->q->stats.others++;
	if (s->q->dev->conf.readonly) {
		complete(s, VIRTIO_BLK_S_IOERR);
		return;
	}
	if ((s->q->dev->vdev.features & bit) == 0) {
		complete(s, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (len == 0 || len % one != 0 || len > sizeof(s->ranges) ||
	    !iov_take(&iov, &n, s->ranges, len)) {
		complete(s, VIRTIO_BLK_S_IOERR);
		return;
	}
	s->nranges = (uint8_t)(len / one);
	status = check_ranges(s);
	if (status != VIRTIO_BLK_S_OK)
		complete(s, status);
	else
		next_range(s);
}

static void
start_flush(struct vioblk_slot *s)
{
	s->q->stats.flushes++;
	s->disk.op = DISK_FLUSH;
	s->disk.off = s->disk.len = 0;
	start(s);
}

/* The last writable byte; NULL when there is none. */
static uint8_t *
take_status(const struct virtq_chain *c)
{
	struct iovec *last;

	if (c->nwrite == 0)
		return NULL;
	last = &c->iov[c->nread + c->nwrite - 1];
	last->iov_len--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

bool
vioblk_req_start(struct vioblk_queue *q, const struct virtq_chain *c)
{
	struct iovec *out = c->iov, *in = c->iov + c->nread;
	unsigned nout = c->nread, nin = c->nwrite;
	struct virtio_blk_outhdr hdr;
	struct vioblk_slot *s;
	uint8_t *status;

	if (!iov_take(&out, &nout, &hdr, sizeof(hdr)))
		return false;
	status = take_status(c);
	if (status == NULL)
		return false;
	if (in[nin - 1].iov_len == 0)
		nin--;
	s = vioblk_slot_get(q);
	s->status = status;
	s->head = c->head;
	s->type = (uint32_t)le(hdr.type);
	s->sector = le(hdr.sector);
	s->written = 1;
	switch (s->type) {
	case VIRTIO_BLK_T_IN:
		start_data(s, DISK_READ, in, nin, c->write_len - 1);
		break;
	case VIRTIO_BLK_T_OUT:
		start_data(s, DISK_WRITE, out, nout, c->read_len - sizeof(hdr));
		break;
	case VIRTIO_BLK_T_FLUSH:
		start_flush(s);
		break;
	case VIRTIO_BLK_T_GET_ID:
		get_id(s, in, nin, c->write_len - 1);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		start_ranges(s, out, nout, c->read_len - sizeof(hdr));
		break;
	default:
		/* SCSI commands among them: never passed through. */
		q->stats.others++;
		complete(s, VIRTIO_BLK_S_UNSUPP);
		break;
	}
	return true;
}
