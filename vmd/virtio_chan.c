/* SPDX-License-Identifier: ISC */

/*
 * Front end of a device process; see virtio_chan.h.
 *
 * The device's life, as this end sees it (all transitions under (m)):
 *
 *   HELLO ──▶ SEALING ──▶ IDLE ◀──▶ STARTED
 *                          ▲           │
 *                          └─ RESETTING◀┘         any ──▶ DEAD
 *                             DRAINING
 *                             SNAPPING
 *
 * Invariants
 *  1. A message that does not belong to the state ends the channel.
 *  2. The guest sees a reset as done only after DEV_RESET_DONE, or when the
 *     process is gone: until then it may still write to guest memory.
 *  3. After DEAD nothing is sent; a start fails at once, a reset succeeds at
 *     once.
 *
 * start and reset come from vCPU threads with the machine lock held, and send
 * directly: chan_send() only queues.  Handlers run on the main thread without
 * the lock and take it.  The caller's callbacks run without it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>
#include "chan.h"
#include "ctl.h"
#include "disk.h"
#include "imsg.h"
#include "fd.h"
#include "log.h"
#include "mirror.h"
#include "msg.h"
#include "page.h"
#include "pager.h"
#include "state.h"
#include "virtio_chan.h"
#include "virtio_host.h"
#include "virtio_pci.h"
#include "virtq.h"
#include "why.h"

#define SETUP_MS   10000 /* for each answer before the seal */
#define RESET_SEC  10 /* after which a reset is reported as stuck */
#define REASON_MAX 128 /* what is kept of a peer's text */

/*
 * Features that a device may offer: its own (0 to 23, and from 50 on, where
 * no device of ours knows 63), and of those reserved for rings and negotiation
 * ("Reserved Feature Bits") what our virtqueue reader knows.  The transport
 * itself adds VERSION_1.
 */
#define FEATURES_KNOWN                                   \
	(UINT64_C(0xffffff) | UINT64_C(0x1fff) << 50 |   \
	    UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC | \
	    UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |     \
	    UINT64_C(1) << VIRTIO_F_VERSION_1)

enum stage {
	HELLO,
	SEALING,
	IDLE,
	STARTED,
	RESETTING,
	DRAINING,
	SNAPPING,
	DEAD
};

struct virtio_chan {
	struct virtio_chan_conf conf;
	struct chan *chan; /* (m) once attached; NULL when DEAD */
	struct virtio_dev *dev;
	struct event *stuck; /* timer of a reset */
	enum stage state; /* (m) once attached */
	/* from DEV_HELLO, checked */
	uint64_t features;
	uint32_t nqueues, queue_size, config_len;
	uint8_t config[VIRTIO_CONFIG_MAX];
	uint8_t *page; /* what the driver wrote, for the device to read */
	int page_fd; /* until passed on */
	char reason[REASON_MAX]; /* why the set-up fails */
	uint8_t kept[DEV_KEPT_MAX]; /* of DEV_DRAINED */
	uint32_t kept_len;
	bool paged; /* DEV_FAULTS was there */
	bool ran; /* as it was drained */
	bool drained; /* it did, between DEV_DRAINED and virtio_chan_resume() */
	unsigned mirrors; /* without an answer */
};

static void
lock(struct virtio_chan *vc)
{
	vc->conf.host->ops->lock(vc->conf.host);
}

static void
unlock(struct virtio_chan *vc)
{
	vc->conf.host->ops->unlock(vc->conf.host);
}

static enum stage
stage(struct virtio_chan *vc)
{
	enum stage now;

	lock(vc);
	now = vc->state;
	unlock(vc);
	return now;
}

/* A peer's text is bytes until it is cleaned: one line of ASCII, bounded. */
static void
clean(char *to, size_t len, const char *from)
{
	size_t n = strnlen(from, len - 1);

	for (size_t i = 0; i < n; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[n] = '\0';
}

static int __attribute__((format(printf, 3, 4)))
refuse(struct virtio_chan *vc, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(vc->reason, sizeof(vc->reason), fmt, ap);
	va_end(ap);
	return error;
}

/* ---- what the device says ---- */

static int
check_hello(struct virtio_chan *vc)
{
	if ((vc->features & ~FEATURES_KNOWN) != 0)
		return refuse(vc, -ENOTSUP, "device offers features %#llx",
		    (unsigned long long)(vc->features & ~FEATURES_KNOWN));
	if (vc->nqueues == 0 || vc->nqueues > VIRTIO_QUEUES_MAX)
		return refuse(vc, -ERANGE, "device has %u queues", vc->nqueues);
	if (vc->queue_size == 0 || vc->queue_size > VIRTQ_SIZE_MAX ||
	    (vc->queue_size & (vc->queue_size - 1)) != 0)
		return refuse(vc, -ERANGE, "device has queues of size %u",
		    vc->queue_size);
	if (vc->config_len > VIRTIO_CONFIG_MAX)
		return refuse(vc, -ERANGE, "device has %u configuration bytes",
		    vc->config_len);
	return 0;
}

static int
on_hello(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct virtio_chan *vc = arg;
	int error;

	if (stage(vc) != HELLO)
		return -EPROTO;
	if (ibuf_get_n64(body, &vc->features) == -1 ||
	    ibuf_get_n32(body, &vc->nqueues) == -1 ||
	    ibuf_get_n32(body, &vc->queue_size) == -1 ||
	    ibuf_get_n32(body, &vc->config_len) == -1)
		return -EBADMSG;
	if ((error = check_hello(vc)) != 0)
		return error;
	if (ibuf_get(body, vc->config, vc->config_len) == -1 ||
	    ibuf_size(body) != 0)
		return -EBADMSG;
	vc->state = SEALING;
	return 0;
}

static int
on_sealed(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct virtio_chan *vc = arg;

	/* Not before it was told to: dev is made after DEV_HELLO. */
	if (stage(vc) != SEALING || vc->dev == NULL)
		return -EPROTO;
	vc->state = IDLE;
	return 0;
}

/* Once, when it was asked for: it is not asked after the seal. */
static int
on_faults(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct virtio_chan *vc = arg;
	uint64_t at;

	if (stage(vc) != SEALING || vc->dev == NULL || vc->conf.pager == NULL ||
	    vc->paged) {
		close(fd);
		return -EPROTO;
	}
	if (ibuf_get_n64(body, &at) == -1 || ibuf_size(body) != 0) {
		close(fd);
		return -EBADMSG;
	}
	vc->paged = true;
	return pager_add(vc->conf.pager, fd, at);
}

static int
on_reset_done(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct virtio_chan *vc = arg;
	int error = -EPROTO;

	if (ibuf_size(body) != 0)
		return -EBADMSG;
	lock(vc);
	if (vc->state == RESETTING) {
		vc->state = IDLE;
		virtio_reset_done(vc->dev);
		event_del_noblock(vc->stuck);
		error = 0;
	}
	unlock(vc);
	return error;
}

static int
on_drained(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct virtio_chan *vc = arg;
	uint32_t error;
	size_t len;

	if (stage(vc) != DRAINING || ibuf_get_n32(body, &error) == -1)
		return -EPROTO;
	len = ibuf_size(body);
	if (len > sizeof(vc->kept) ||
	    (len > 0 && ibuf_get(body, vc->kept, len) == -1))
		return -EPROTO;
	lock(vc);
	vc->state = IDLE;
	vc->drained = vc->ran;
	vc->kept_len = (uint32_t)len;
	unlock(vc);
	vc->conf.drained(vc->conf.arg, error == 0);
	return 0;
}

static int
on_snapped(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct virtio_chan *vc = arg;
	char text[sizeof(struct why)], why[sizeof(struct why)];
	uint32_t error;

	if (stage(vc) != SNAPPING)
		return -EPROTO;
	if (ibuf_get_n32(body, &error) == -1 || error > 4095 ||
	    ctl_get_str(body, text, sizeof(text)) != 0)
		return -EBADMSG;
	clean(why, sizeof(why), text);
	lock(vc);
	vc->state = IDLE;
	unlock(vc);
	vc->conf.snapped(vc->conf.arg, -(int)error, why);
	return 0;
}

static int
on_broken(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct virtio_chan *vc = arg;
	char text[2 * REASON_MAX], why[REASON_MAX];
	bool news;

	if (ctl_get_str(body, text, sizeof(text)) != 0)
		return -EBADMSG;
	clean(why, sizeof(why), text);
	if (stage(vc) == HELLO || stage(vc) == SEALING)
		return refuse(vc, -ECANCELED, "%s", why);
	lock(vc);
	/* Once per start: a device that repeats itself is not heard. */
	news = virtio_running(vc->dev);
	if (news)
		virtio_needs_reset(vc->dev, why);
	unlock(vc);
	if (news && vc->conf.broken != NULL)
		vc->conf.broken(vc->conf.arg, why);
	return 0;
}

/* All that ever changes is the status of a network device. */
static bool
may_become(const struct virtio_chan *vc, const uint8_t *config)
{
	const size_t off = offsetof(struct virtio_net_config, status);
	const size_t end = off + sizeof(uint16_t);

	return vc->conf.type == VIRTIO_ID_NET && vc->config_len >= end &&
	    memcmp(config, vc->config, off) == 0 &&
	    memcmp(config + end, vc->config + end, vc->config_len - end) == 0;
}

static int
on_configured(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct virtio_chan *vc = arg;
	uint8_t config[VIRTIO_CONFIG_MAX];
	enum stage now = stage(vc);

	if (now == HELLO || now == SEALING)
		return -EPROTO;
	if (ibuf_get(body, config, vc->config_len) == -1 ||
	    ibuf_size(body) != 0 || !may_become(vc, config))
		return -EBADMSG;
	lock(vc);
	memcpy(vc->config, config, vc->config_len);
	virtio_configure(vc->dev, 0, vc->config, vc->config_len);
	unlock(vc);
	return 0;
}

static int
on_mirrored(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct virtio_chan *vc = arg;
	struct mirror_msg m;

	if (vc->mirrors == 0 || mirror_get(body, &m) != 0)
		return -EBADMSG;
	vc->mirrors--;
	vc->conf.mirrored(vc->conf.arg, &m);
	return 0;
}

static void
on_closed(void *arg, const char *text)
{
	struct virtio_chan *vc = arg;
	struct chan *chan = vc->chan;
	bool draining, mirroring = vc->mirrors > 0;
	char why[REASON_MAX];
	bool snapping;

	clean(why, sizeof(why),
	    text[0] == '\0' ? "the device process ended" : text);
	lock(vc);
	vc->chan = NULL;
	if (vc->state == RESETTING)
		virtio_reset_done(vc->dev); /* invariant 2 */
	draining = vc->state == DRAINING;
	snapping = vc->state == SNAPPING;
	virtio_needs_reset(vc->dev, why);
	vc->state = DEAD;
	event_del_noblock(vc->stuck);
	unlock(vc);
	chan_free(chan);
	if (vc->conf.dead != NULL)
		vc->conf.dead(vc->conf.arg, why);
	if (mirroring)
		vc->conf.mirrored(vc->conf.arg, NULL);
	if (draining)
		vc->conf.drained(vc->conf.arg, false);
	if (snapping)
		vc->conf.snapped(vc->conf.arg, -EPIPE, why);
}

static void
on_stuck(evutil_socket_t fd, short what, void *arg)
{
	struct virtio_chan *vc = arg;
	bool stuck;

	lock(vc);
	stuck = vc->state == RESETTING;
	unlock(vc);
	if (!stuck)
		return;
	log_warnx("%s: no answer to a reset", vc->conf.name);
	if (vc->conf.broken != NULL)
		vc->conf.broken(vc->conf.arg, "no answer to a reset");
}

/* ---- what the driver wants ---- */

static void
start(struct virtio_dev *dev, uint64_t features, const struct virtio_ring *ring,
    unsigned nqueues)
{
	struct virtio_chan *vc = virtio_arg(dev);
	struct ibuf *body;

	if (vc->state != IDLE) {
		virtio_needs_reset(dev, "the device process is gone");
		return;
	}
	vc->state = STARTED;
	body = chan_body();
	ibuf_add_n64(body, features);
	ibuf_add_n32(body, nqueues);
	for (unsigned i = 0; i < nqueues; i++) {
		ibuf_add_n32(body, ring[i].size);
		ibuf_add_n64(body, ring[i].desc.v);
		ibuf_add_n64(body, ring[i].avail.v);
		ibuf_add_n64(body, ring[i].used.v);
	}
	ibuf_add_n32(body, virtio_resuming(dev));
	ibuf_add_n32(body, vc->kept_len);
	ibuf_add(body, vc->kept, vc->kept_len);
	/* A channel that is ending tells it by on_closed(). */
	if (chan_send(vc->chan, DEV_START, 0, -1, body) != 0)
		virtio_needs_reset(dev, "cannot reach the device process");
}

static void
put_config(struct virtio_chan *vc, unsigned off, uint8_t val)
{
	__atomic_store_n(vc->page + off, val, __ATOMIC_RELAXED);
}

static void
reset(struct virtio_dev *dev)
{
	static const struct timeval limit = { .tv_sec = RESET_SEC };
	struct virtio_chan *vc = virtio_arg(dev);
	unsigned i;

	for (i = 0; i < vc->config_len; i++)
		put_config(vc, i, vc->config[i]);

	if (vc->state != STARTED) {
		virtio_reset_done(dev);
		return;
	}
	vc->state = RESETTING;
	event_add(vc->stuck, &limit);
	/* If that fails, the reset ends with the channel: on_closed(). */
	(void)chan_send(vc->chan, DEV_RESET, 0, -1, NULL);
}

/* "writeback", 0 or 1, where it is offered; "sense_size" and "cdb_size". */
static bool
writable(const struct virtio_chan *vc, unsigned off, uint8_t val)
{
	if (off >= vc->config_len)
		return false;
	switch (vc->conf.type) {
	case VIRTIO_ID_BLOCK:
		return (vc->features & 1ULL << VIRTIO_BLK_F_CONFIG_WCE) != 0 &&
		    off == offsetof(struct virtio_blk_config, wce) && val <= 1;
	case VIRTIO_ID_SCSI:
		return off >= offsetof(struct virtio_scsi_config, sense_size) &&
		    off < offsetof(struct virtio_scsi_config, max_channel);
	}
	return false;
}

/*
 * What is offered and not more.  The process sees it at once and looks at what
 * was negotiated.
 */
static bool
config(struct virtio_dev *dev, unsigned off, uint8_t val)
{
	struct virtio_chan *vc = virtio_arg(dev);

	if (!writable(vc, off, val) ||
	    (vc->state != IDLE && vc->state != STARTED))
		return false;
	put_config(vc, off, val);
	return true;
}

static const struct virtio_ops ops = {
	.start = start,
	.reset = reset,
	.config = config,
};

/* ---- stop and go on ---- */

int
virtio_chan_drain(struct virtio_chan *vc)
{
	bool begin;
	int error = 0;

	lock(vc);
	/* The image of a disk that its guest has left may be in memory. */
	begin = vc->state == STARTED ||
	    (vc->state == IDLE && vc->conf.type == VIRTIO_ID_BLOCK);
	if (begin)
		error = chan_send(vc->chan, DEV_DRAIN, 0, -1, NULL);
	if (vc->state == RESETTING || vc->state == DEAD)
		error = -EBUSY;
	else if (begin && error == 0) {
		/* It may be drained for the second time. */
		vc->ran = vc->state == STARTED || vc->drained;
		vc->state = DRAINING;
		error = 1;
	}
	unlock(vc);
	return error;
}

int
virtio_chan_snapshot(struct virtio_chan *vc, enum snap_step step,
    enum snap_what what, const char *tag, struct timespec now)
{
	struct ibuf *body = chan_body();
	int error = -EBUSY;

	if (ibuf_add_n32(body, step) == -1 || ibuf_add_n32(body, what) == -1 ||
	    ctl_put_str(body, tag) != 0 ||
	    ibuf_add_n64(body, (uint64_t)now.tv_sec) == -1 ||
	    ibuf_add_n32(body, (uint64_t)now.tv_nsec) == -1) {
		ibuf_free(body);
		return -ENOMEM;
	}
	lock(vc);
	if (vc->state == IDLE) {
		error = chan_send(vc->chan, DEV_SNAPSHOT, 0, -1, body);
		body = NULL;
		if (error == 0)
			vc->state = SNAPPING;
	} else if (vc->state == DEAD)
		error = -EPIPE;
	unlock(vc);
	ibuf_free(body);
	return error;
}

int
virtio_chan_snap_wait(struct virtio_chan *vc, int ms)
{
	int error = 0;

	while (error == 0 && stage(vc) == SNAPPING)
		error = chan_recv(vc->chan, ms);
	return error;
}

void
virtio_chan_resume(struct virtio_chan *vc)
{
	lock(vc);
	if (vc->drained) {
		vc->drained = false;
		virtio_resume(vc->dev);
		vc->kept_len = 0;
	}
	unlock(vc);
}

void
virtio_chan_state(struct virtio_chan *vc, struct state *s)
{
	uint64_t len = vc->kept_len, i;
	uint8_t byte;

	lock(vc);
	if (!s->writing && vc->state != IDLE)
		state_fail(s, -EIO, "the device process ended");
	virtio_state(vc->dev, s);
	state_number(s, &len, sizeof(vc->kept));
	if (s->error == 0)
		state_bytes(s, vc->kept, (size_t)len);
	for (i = 0; i < vc->config_len; i++) {
		byte = virtio_config_byte(vc->dev, (unsigned)i);
		if (s->error == 0 && !s->writing &&
		    writable(vc, (unsigned)i, byte))
			put_config(vc, (unsigned)i, byte);
	}
	if (s->error == 0 && !s->writing) {
		vc->kept_len = (uint32_t)len;
		vc->drained = virtio_running(vc->dev);
	}
	unlock(vc);
}

/* ---- a disk that is copied ---- */

int
virtio_chan_mirror(struct virtio_chan *vc, const struct mirror_msg *m)
{
	struct ibuf *body;
	int error;

	if (vc->conf.mirrored == NULL || stage(vc) == DEAD)
		return -EPIPE;
	if (vc->mirrors == MIRROR_SLOTS)
		return -EAGAIN;
	body = chan_body();
	if ((error = mirror_put(body, m)) != 0) {
		ibuf_free(body);
		return error;
	}
	if ((error = chan_send(vc->chan, DEV_MIRROR, 0, -1, body)) == 0)
		vc->mirrors++;
	return error;
}

int
virtio_chan_wait(struct virtio_chan *vc, int timeout_ms)
{
	return stage(vc) == DEAD ? -EPIPE : chan_recv(vc->chan, timeout_ms);
}

uint64_t
virtio_chan_disk_size(const struct virtio_chan *vc)
{
	uint64_t sectors = 0;

	if (vc->conf.type == VIRTIO_ID_BLOCK &&
	    vc->config_len >= sizeof(sectors))
		memcpy(&sectors, vc->config, sizeof(sectors));
	return sectors <= UINT64_MAX / DISK_SECTOR ? sectors * DISK_SECTOR : 0;
}

/* ---- set-up ---- */

#define ROW(type, handler)                      \
	{                                       \
		type, #type, CHAN_NOFD, handler \
	}

static const struct chan_row rows[] = {
	ROW(DEV_HELLO, on_hello),
	ROW(DEV_SEALED, on_sealed),
	ROW(DEV_RESET_DONE, on_reset_done),
	ROW(DEV_DRAINED, on_drained),
	ROW(DEV_SNAPPED, on_snapped),
	ROW(DEV_CONFIGURED, on_configured),
	ROW(DEV_BROKEN, on_broken),
	{ DEV_FAULTS, "DEV_FAULTS", CHAN_FD, on_faults },
	ROW(DEV_MIRRORED, on_mirrored),
};

static const struct chan_ops chan_ops = {
	.rows = rows,
	.nrows = sizeof(rows) / sizeof(rows[0]),
	.closed = on_closed,
};

/* One message of the device, which has to take us on to state next. */
static int
await(struct virtio_chan *vc, enum stage next, const char *what)
{
	int error = chan_recv(vc->chan, SETUP_MS);
	const char *why = chan_why(vc->chan);

	if (error == 0 && vc->state == next)
		return 0;
	if (error == 0)
		return refuse(vc, -EPROTO, "waited for %s", what);
	if (vc->reason[0] != '\0')
		return error;
	if (why != NULL && why[0] != '\0')
		return refuse(vc, error, "%s", why);
	if (error == -EPIPE)
		return refuse(vc, error, "the device process ended");
	return refuse(vc, error, "no %s: %s", what, strerrordesc_np(-error));
}

static int
send_fd(struct virtio_chan *vc, uint32_t type, int fd, struct ibuf *body)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy == -1) {
		ibuf_free(body);
		return -errno;
	}
	return chan_send(vc->chan, type, 0, copy, body);
}

static int
send_queue_fd(struct virtio_chan *vc, unsigned queue, bool call)
{
	struct ibuf *body = chan_body();
	int fd = call ? virtio_call_fd(vc->dev, queue)
		      : virtio_kick_fd(vc->dev, queue);

	ibuf_add_n32(body, queue);
	ibuf_add_n32(body, call ? 1 : 0);
	return send_fd(vc, DEV_QUEUEFD, fd, body);
}

static int
hand_over(struct virtio_chan *vc)
{
	struct ibuf *body = chan_body();
	int error;

	ibuf_add_n64(body, vc->conf.mem->size);
	error = chan_send(vc->chan, DEV_CONFIG, 0, fd_take(&vc->page_fd), NULL);
	if (error == 0)
		error = send_fd(vc, DEV_MEM, vc->conf.mem->fd, body);
	else
		ibuf_free(body);
	if (error == 0 && vc->conf.pager != NULL)
		error = send_fd(
		    vc, DEV_LAZY, pager_device(vc->conf.pager), chan_body());
	for (unsigned i = 0; i < vc->nqueues && error == 0; i++) {
		error = send_queue_fd(vc, i, false);
		if (error == 0)
			error = send_queue_fd(vc, i, true);
	}
	if (error == 0)
		error = chan_send(vc->chan, DEV_SEAL, 0, -1, NULL);
	if (error == 0)
		error = chan_flush(vc->chan, SETUP_MS);
	if (error != 0)
		return refuse(vc, error, "hand-over: %s",
		    error == -EPIPE ? "the device process ended"
				    : strerrordesc_np(-error));
	return 0;
}

static int
make_device(struct virtio_chan *vc)
{
	const struct virtio_conf conf = {
		.name = vc->conf.name,
		.type = vc->conf.type,
		.class = vc->conf.class,
		.features = vc->features,
		.nqueues = vc->nqueues,
		.queue_size = (uint16_t)vc->queue_size,
		.config = vc->config,
		.config_len = vc->config_len,
		.ops = &ops,
		.arg = vc,
	};

	vc->dev = virtio_pci_new(vc->conf.pci, vc->conf.host, &conf);
	if (vc->dev == NULL)
		return refuse(
		    vc, -errno, "PCI function: %s", strerrordesc_np(errno));
	vc->stuck = event_new(vc->conf.host->base, -1, 0, on_stuck, vc);
	if (vc->stuck == NULL)
		return refuse(vc, -ENOMEM, "out of memory");
	return 0;
}

static int
make_page(struct virtio_chan *vc)
{
	void *page;
	int error = page_create(&vc->page_fd, true, &page);

	if (error != 0)
		return refuse(vc, error, "page: %s", strerrordesc_np(-error));
	vc->page = page;
	memcpy(vc->page, vc->config, vc->config_len);
	return 0;
}

static int
await_faults(struct virtio_chan *vc)
{
	int error;

	if (vc->conf.pager == NULL)
		return 0;
	error = await(vc, SEALING, "DEV_FAULTS");
	if (error == 0 && !vc->paged)
		return refuse(vc, -EPROTO, "waited for DEV_FAULTS");
	return error;
}

static int
set_up(struct virtio_chan *vc)
{
	int error;

	if ((error = await(vc, SEALING, "DEV_HELLO")) != 0 ||
	    (error = make_device(vc)) != 0 || (error = make_page(vc)) != 0 ||
	    (error = hand_over(vc)) != 0 || (error = await_faults(vc)) != 0 ||
	    (error = await(vc, IDLE, "DEV_SEALED")) != 0)
		return error;
	chan_forbid_fds(vc->chan);
	error = chan_attach(vc->chan, vc->conf.host->base);
	if (error != 0)
		return refuse(vc, error, "%s", strerrordesc_np(-error));
	return 0;
}

int
virtio_chan_new(struct virtio_chan **out, int chanfd,
    const struct virtio_chan_conf *conf, char *why, size_t whylen)
{
	struct virtio_chan *vc = calloc(1, sizeof(*vc));
	int error;

	if (vc == NULL) {
		close(chanfd);
		snprintf(why, whylen, "out of memory");
		return -ENOMEM;
	}
	vc->conf = *conf;
	vc->state = HELLO;
	vc->page_fd = -1;
	vc->chan = chan_new(NULL, chanfd, &chan_ops, vc);
	if (vc->chan == NULL) {
		error = -errno;
		snprintf(why, whylen, "channel: %s", strerrordesc_np(-error));
		free(vc);
		return error;
	}
	if ((error = set_up(vc)) != 0) {
		snprintf(why, whylen, "%s", vc->reason);
		virtio_chan_free(vc);
		return error;
	}
	*out = vc;
	return 0;
}

void
virtio_chan_free(struct virtio_chan *vc)
{
	if (vc == NULL)
		return;
	chan_free(vc->chan);
	fd_close(&vc->page_fd);
	page_detach(vc->page);
	if (vc->stuck != NULL)
		event_free(vc->stuck);
	virtio_pci_free(vc->dev);
	free(vc);
}
