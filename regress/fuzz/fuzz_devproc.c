/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: what a vm process, which a guest may own, can say to the process of
 * a device: memory, descriptors, the seal, starts and resets, in any order and
 * with any fields.  The device does nothing outside of the memory that it was
 * given, tells of no reset that was not asked for, and keeps no descriptor.
 *
 * The input is records (record.h).
 */
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "record.h"

/* The process itself, as its peers are its own. */
#include "../../vmd/devproc.c"

#define MEM    (1ULL << 20)
#define QUEUES 2
#define SIZE   64
#define SPARE  4

static struct rig {
	struct event_base *base;
	struct vdev dev;
	struct vdev_queue queue[QUEUES];
	int spare[SPARE]; /* descriptors to be sent */
	unsigned resets, done, mirrors;
	bool peer_gone;
} r;

static const void *
config(void *arg, size_t *len)
{
	static const uint8_t bytes[8];

	*len = sizeof(bytes);
	return bytes;
}

/* A device takes what is in its rings; this one gives all of it back. */
static void
serve(struct vdev_queue *q)
{
	struct iovec iov[8];
	struct virtq_chain c = { .iov = iov, .iov_max = 8 };
	unsigned i;

	for (i = 0; i < SIZE && virtq_pop(&q->vq, &c) == 1; i++) {
		for (unsigned j = c.nread; j < c.nread + c.nwrite; j++)
			memset(iov[j].iov_base, 0, iov[j].iov_len);
		virtq_push(&q->vq, c.head, 0);
	}
}

static int
start(void *arg, uint64_t features, const struct virtio_ring *ring, unsigned n)
{
	unsigned i;
	int error;

	/* Not before it is sealed, which it is with memory only. */
	check(r.dev.mem.fd != -1);
	error = vdev_start(&r.dev, features, ring, n);
	if (error != 0 || !vdev_ok(&r.dev))
		return error;
	for (i = 0; i < n; i++)
		if (ring[i].size != 0)
			serve(&r.queue[i]);
	return 0;
}

static int
reset(void *arg)
{
	int error = vdev_reset(&r.dev);

	r.resets += error == 0;
	return error;
}

/* Each is answered; bytes are there as far as they are said to be. */
static int
mirror(void *arg, const struct mirror_msg *m)
{
	static uint8_t bytes[MIRROR_PIECE];

	check(m->what <= MIRROR_PUT && m->error <= 4095);
	check(m->bytes == NULL || (m->len > 0 && m->len <= MIRROR_PIECE));
	if (m->bytes != NULL)
		memcpy(bytes, m->bytes, (size_t)m->len);
	r.mirrors++;
	vdev_news(&r.dev);
	return 0;
}

static bool
mirrored(void *arg, struct mirror_msg *m)
{
	*m = (struct mirror_msg){ .what = MIRROR_END };
	return r.mirrors > 0 && r.mirrors-- > 0;
}

static const struct devproc_ops devops = {
	.config = config,
	.start = start,
	.reset = reset,
	.mirror = mirror,
	.mirrored = mirrored,
};

/* The vm process's ears. */

static int
heard(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	char why[256];

	check(ctl_get_str(body, why, sizeof(why)) == 0);
	return 0;
}

static int
done(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	check(++r.done <= r.resets);
	return 0;
}

static int
copied(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct mirror_msg m;

	check(mirror_get(body, &m) == 0 && m.what == MIRROR_END);
	return 0;
}

static void
gone(void *arg, const char *why)
{
	r.peer_gone = true;
}

static const struct chan_row rows[] = {
	{ DEV_BROKEN, "DEV_BROKEN", CHAN_NOFD, heard },
	{ DEV_RESET_DONE, "DEV_RESET_DONE", CHAN_NOFD, done },
	{ DEV_MIRRORED, "DEV_MIRRORED", CHAN_NOFD, copied },
};
static const struct chan_ops ops = { rows, sizeof(rows) / sizeof(rows[0]),
	gone };

static void
make_rig(void)
{
	struct gmem mem;
	void *page;

	r.base = event_base_new();
	check(r.base != NULL && gmem_create(&mem, MEM) == 0);
	memset(mem.region[0].host, 1, MEM);
	r.spare[0] = mem.fd;
	r.spare[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	check(page_create(&r.spare[2], true, &page) == 0);
	/* One that is not sealed: it could be cut. */
	r.spare[3] = memfd_create("memory", MFD_CLOEXEC);
	check(r.spare[1] != -1 && ftruncate(r.spare[3], MEM) == 0);
}

static void
new_device(struct devproc *p, int sock)
{
	unsigned i;

	check(vdev_init(&r.dev, SIZE) == 0);
	for (i = 0; i < QUEUES; i++) {
		r.queue[i] = (struct vdev_queue){ .dev = &r.dev };
		check(vdev_add(&r.dev, &r.queue[i]) == 0);
	}
	r.dev.offered = UINT64_MAX;
	r.resets = r.done = r.mirrors = 0;
	r.peer_gone = false;
	p->dev = &r.dev;
	p->vm = chan_new(r.base, sock, &vm_ops, p);
	p->report =
	    event_new(r.base, r.dev.report, EV_READ | EV_PERSIST, on_report, p);
	check(p->vm != NULL && p->report != NULL &&
	    event_add(p->report, NULL) == 0);
}

/* As devproc_main() and the devices do between two messages. */
static void
step(struct devproc *p, bool *sealed)
{
	event_base_loop(r.base, EVLOOP_NONBLOCK);
	if (p->ended || !p->sealed || *sealed)
		return;
	*sealed = true;
	if (vdev_complete(&r.dev) != 0)
		p->ended = true;
	else
		chan_forbid_fds(p->vm);
}

static void
free_device(struct devproc *p, struct chan *peer)
{
	event_free(p->report);
	chan_free(p->vm);
	chan_free(peer);
	vdev_destroy(&r.dev);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct devproc p = { .ops = &devops };
	const uint8_t *body;
	struct record rec;
	struct chan *peer;
	int pair[2], spare;
	size_t n;
	bool sealed = false;
	unsigned fds;

	if (r.base == NULL)
		make_rig();
	fds = open_fds();
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	new_device(&p, pair[0]);
	peer = chan_new(r.base, pair[1], &ops, NULL);
	check(peer != NULL);
	while (!p.ended && !r.peer_gone &&
	    record_next(&data, &len, &rec, &body, &n)) {
		spare = r.spare[F_WHICH(rec.flags) % SPARE];
		record_put(
		    pair[1], DEV_MEM + rec.type % 10, &rec, body, n, spare);
		step(&p, &sealed);
	}
	free_device(&p, peer);
	check(open_fds() == fds);
	return 0;
}
