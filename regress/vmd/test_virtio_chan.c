/* SPDX-License-Identifier: ISC */

/*
 * The front end of a device process (vmd/virtio_chan.c).  The test is the
 * device process: what it says during the set-up is in the socket before
 * virtio_chan_new() looks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "chan.h"
#include "ctl.h"
#include "gmem.h"
#include "imsg.h"
#include "msg.h"
#include "page.h"
#include "virtio_chan.h"
#include "virtio_fake.h"

#define VERSION1 (UINT64_C(1) << 32)
#define RAM	 (16ULL << 20)
#define QUEUES	 2
#define WAIT_MS	 30000

struct fix {
	unsigned snapped;
	int snap_error;
	struct fake *f;
	struct gmem mem;
	struct virtio_chan *vc;
	struct drv d;
	struct chan *peer; /* the device process's end */
	int ours; /* until virtio_chan_new() takes it */
	unsigned fds; /* open at first */
	char why[128];
	/* what the peer got */
	unsigned mems, seals, starts, resets;
	unsigned configs;
	void *page; /* DEV_CONFIG */
	uint64_t memsize;
	ino_t meminode;
	int fd[QUEUES][2];
	uint64_t features;
	struct virtio_ring ring[VIRTIO_QUEUES_MAX];
	uint32_t nrings;
	uint32_t resume, kept;
	/* what our user was told */
	uint16_t type; /* of the device; 0: a disk */
	unsigned broken, dead;
	char told[256];
};

static int
peer_mem(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct fix *x = arg;
	struct stat st;

	assert_int_equal(ibuf_get_n64(body, &x->memsize), 0);
	assert_int_equal(fstat(fd, &st), 0);
	x->meminode = st.st_ino;
	close(fd);
	x->mems++;
	return 0;
}

static int
peer_queuefd(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct fix *x = arg;
	uint32_t queue, call;

	assert_int_equal(ibuf_get_n32(body, &queue), 0);
	assert_int_equal(ibuf_get_n32(body, &call), 0);
	assert_true(queue < QUEUES && call < 2 && x->fd[queue][call] == -1);
	x->fd[queue][call] = fd;
	return 0;
}

static int
peer_seal(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct fix *x = arg;

	x->seals++;
	return 0;
}

static int
peer_start(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct fix *x = arg;
	uint32_t size;

	x->starts++;
	assert_int_equal(ibuf_get_n64(body, &x->features), 0);
	assert_int_equal(ibuf_get_n32(body, &x->nrings), 0);
	assert_true(x->nrings <= VIRTIO_QUEUES_MAX);
	for (unsigned i = 0; i < x->nrings; i++) {
		assert_int_equal(ibuf_get_n32(body, &size), 0);
		x->ring[i].size = (uint16_t)size;
		ibuf_get_n64(body, &x->ring[i].desc.v);
		ibuf_get_n64(body, &x->ring[i].avail.v);
		assert_int_equal(ibuf_get_n64(body, &x->ring[i].used.v), 0);
	}
	assert_int_equal(ibuf_get_n32(body, &x->resume), 0);
	assert_int_equal(ibuf_get_n32(body, &x->kept), 0);
	assert_int_equal(ibuf_size(body), x->kept);
	assert_int_equal(ibuf_skip(body, x->kept), 0);
	return 0;
}

static int
peer_config(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct fix *x = arg;

	x->configs++;
	return page_attach(fd, false, &x->page);
}

static int
peer_reset(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct fix *x = arg;

	x->resets++;
	return 0;
}

static void
peer_closed(void *arg, const char *why)
{
}

static const struct chan_row peer_rows[] = {
	{ DEV_MEM, "DEV_MEM", CHAN_FD, peer_mem },
	{ DEV_QUEUEFD, "DEV_QUEUEFD", CHAN_FD, peer_queuefd },
	{ DEV_SEAL, "DEV_SEAL", CHAN_NOFD, peer_seal },
	{ DEV_START, "DEV_START", CHAN_NOFD, peer_start },
	{ DEV_CONFIG, "DEV_CONFIG", CHAN_FD, peer_config },
	{ DEV_RESET, "DEV_RESET", CHAN_NOFD, peer_reset },
};

static const struct chan_ops peer_ops = {
	.rows = peer_rows, .nrows = LEN(peer_rows), .closed = peer_closed
};

static void
on_broken(void *arg, const char *why)
{
	struct fix *x = arg;

	assert_int_equal(pthread_mutex_trylock(&x->f->lock), 0);
	pthread_mutex_unlock(&x->f->lock);
	x->broken++;
	snprintf(x->told, sizeof(x->told), "%s", why);
}

static void
on_dead(void *arg, const char *why)
{
	struct fix *x = arg;

	assert_int_equal(pthread_mutex_trylock(&x->f->lock), 0);
	pthread_mutex_unlock(&x->f->lock);
	x->dead++;
	snprintf(x->told, sizeof(x->told), "%s", why);
}

static void
on_snapped(void *arg, int error, const char *why)
{
	struct fix *x = arg;

	x->snapped++;
	x->snap_error = error;
	snprintf(x->told, sizeof(x->told), "%s", why);
}

static void
connect_peer(struct fix *x)
{
	int s[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	x->ours = s[0];
	x->peer = chan_new(NULL, s[1], &peer_ops, x);
	assert_non_null(x->peer);
}

static int
setup(void **state)
{
	struct fix *x = calloc(1, sizeof(*x));

	x->f = fake_new();
	assert_int_equal(gmem_create(&x->mem, RAM), 0);
	for (unsigned i = 0; i < QUEUES; i++)
		x->fd[i][0] = x->fd[i][1] = -1;
	x->fds = fake_open_fds();
	connect_peer(x);
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *x = *state;

	virtio_chan_free(x->vc);
	chan_free(x->peer);
	for (unsigned i = 0; i < QUEUES; i++)
		for (unsigned j = 0; j < 2; j++)
			if (x->fd[i][j] != -1)
				close(x->fd[i][j]);
	assert_int_equal(fake_nio(x->f) + fake_nirq(x->f), 0);
	assert_int_equal(x->f->mmio.n, 0);
	assert_int_equal(fake_open_fds(), x->fds);
	gmem_destroy(&x->mem);
	fake_free(x->f);
	free(x);
	return 0;
}

/* ---- the device process speaks ---- */

static void
say(struct fix *x, uint32_t type, struct ibuf *body)
{
	chan_send(x->peer, type, 0, -1, body);
	chan_flush(x->peer, WAIT_MS);
}

static void
say_text(struct fix *x, uint32_t type, const char *text)
{
	struct ibuf *b = chan_body();

	ctl_put_str(b, text);
	say(x, type, b);
}

struct hello {
	uint64_t features;
	uint32_t nqueues, size, config_len;
	size_t bytes; /* of configuration really sent */
};

static const struct hello good = { .features = UINT64_C(0x30000200),
	.nqueues = QUEUES,
	.size = 128,
	.config_len = 60,
	.bytes = 60 };

static struct ibuf *
hello_body(const struct hello *h)
{
	struct ibuf *b = chan_body();

	ibuf_add_n64(b, h->features);
	ibuf_add_n32(b, h->nqueues);
	ibuf_add_n32(b, h->size);
	ibuf_add_n32(b, h->config_len);
	for (size_t i = 0; i < h->bytes; i++)
		ibuf_add_n8(b, i & 0xff);
	return b;
}

static int
front_end(struct fix *x)
{
	const struct virtio_chan_conf conf = {
		.pci = &x->f->pci,
		.host = &x->f->host,
		.mem = &x->mem,
		.name = "vioblk0",
		.type = x->type != 0 ? x->type : 2,
		.class = 0x010000,
		.broken = on_broken,
		.dead = on_dead,
		.snapped = on_snapped,
		.arg = x,
	};
	int fd = x->ours;

	x->ours = -1;
	memset(x->why, 'x', sizeof(x->why));
	return virtio_chan_new(&x->vc, fd, &conf, x->why, sizeof(x->why));
}

/* A device that is set up, with its messages so far read. */
static void
bring_up_device(struct fix *x, const struct hello *h)
{
	say(x, DEV_HELLO, hello_body(h));
	say(x, DEV_SEALED, NULL);
	assert_int_equal(front_end(x), 0);
	while (x->seals == 0)
		assert_int_equal(chan_recv(x->peer, WAIT_MS), 0);
	drv_find(&x->d, x->f, 2);
}

static void
bring_up_driver(struct fix *x)
{
	struct drv *d = &x->d;

	assert_true(drv_negotiate(d, good.features | VERSION1));
	drv_msix(d, MSIX_CONTROL_ENABLE);
	for (unsigned v = 0; v <= QUEUES; v++)
		drv_vector(d, v, 0x40 + v);
	com_wr(d, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	drv_queue(d, 1, 64, 0x1000, 0x2000, UINT64_C(0x123456789000));
	com_wr(d, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	drv_enable(d, 1);
	drv_set_status(d, 15);
	fake_run(x->f);
}

static void
up_with(struct fix *x, const struct hello *h)
{
	bring_up_device(x, h);
	bring_up_driver(x);
	assert_int_equal(drv_status(&x->d), 15);
	assert_int_equal(chan_recv(x->peer, WAIT_MS), 0);
	assert_int_equal(x->starts, 1);
}

static void
up(struct fix *x)
{
	up_with(x, &good);
}

/* ---- snapshots ---- */

static int
snap(struct fix *x)
{
	return virtio_chan_snapshot(
	    x->vc, SNAP_COMMIT, SNAP_DELETE, "tag", (struct timespec){ 7, 9 });
}

static void
say_snapped(struct fix *x, uint32_t error, const char *text)
{
	struct ibuf *b = chan_body();

	ibuf_add_n32(b, error);
	ctl_put_str(b, text);
	say(x, DEV_SNAPPED, b);
}

/* One at a time, of a device that is not started. */
static void
test_snapshot(void **state)
{
	struct fix *x = *state;

	bring_up_device(x, &good);
	assert_int_equal(snap(x), 0);
	assert_int_equal(snap(x), -EBUSY);
	say_snapped(x, ENOSPC, "no \x1b[31mroom\n");
	assert_int_equal(virtio_chan_snap_wait(x->vc, WAIT_MS), 0);
	assert_int_equal(x->snapped, 1);
	assert_int_equal(x->snap_error, -ENOSPC);
	assert_string_equal(x->told, "no ?[31mroom?");
	/* It ends before it answers. */
	assert_int_equal(snap(x), 0);
	chan_free(x->peer);
	x->peer = NULL;
	fake_run(x->f);
	assert_int_equal(x->snapped, 2);
	assert_int_equal(x->snap_error, -EPIPE);
	assert_int_equal(snap(x), -EPIPE);
}

/* ---- set-up ---- */

static void
test_setup(void **state)
{
	struct fix *x = *state;
	struct stat st;

	bring_up_device(x, &good);
	assert_int_equal(x->mems, 1);
	assert_int_equal(x->memsize, RAM);
	assert_int_equal(fstat(x->mem.fd, &st), 0);
	assert_int_equal(x->meminode, st.st_ino);
	for (unsigned i = 0; i < QUEUES; i++)
		assert_true(x->fd[i][0] != -1 && x->fd[i][1] != -1);
	assert_int_equal(cfg_rd(&x->d, 0, 4), 0x10011af4);
	assert_int_equal(x->d.device_len, 60);
	assert_int_equal(bus_read(&x->f->mmio, x->d.device, 4), 0x03020100);
	com_wr(&x->d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	assert_int_equal(com_rd(&x->d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 128);
	assert_int_equal(com_rd(&x->d, VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
}

static void
check_failed(struct fix *x, int error, const char *what)
{
	if (error >= 0 || x->vc != NULL)
		fail_msg("%s: accepted", what);
	assert_true(memchr(x->why, '\0', sizeof(x->why)) != NULL);
	if (x->why[0] == '\0')
		fail_msg("%s: no reason", what);
	for (const char *p = x->why; *p != '\0'; p++)
		assert_true(*p >= ' ' && *p <= '~');
	assert_int_equal(x->dead + x->broken, 0);
	chan_free(x->peer);
	x->peer = NULL;
	for (unsigned i = 0; i < QUEUES; i++)
		for (unsigned j = 0; j < 2; j++)
			assert_int_equal(x->fd[i][j], -1);
	if (fake_open_fds() != x->fds)
		fail_msg("%s: descriptors left", what);
	assert_int_equal(x->f->mmio.n, 0);
	x->f->host.next_gsi = 24;
	connect_peer(x);
}

static void
test_hello_limits(void **state)
{
	static const struct {
		const char *what, *why;
		struct hello h;
	} rows[] = {
		{ "ACCESS_PLATFORM", "features", { 1ULL << 33, 1, 128, 0, 0 } },
		{ "RING_PACKED", "features", { 1ULL << 34, 1, 128, 0, 0 } },
		{ "NOTIFICATION_DATA", "features",
		    { 1ULL << 38, 1, 128, 0, 0 } },
		{ "RING_RESET", "features", { 1ULL << 40, 1, 128, 0, 0 } },
		{ "NOTIFY_ON_EMPTY", "features", { 1ULL << 24, 1, 128, 0, 0 } },
		{ "bit 63", "features", { 1ULL << 63, 1, 128, 0, 0 } },
		{ "all features", "features", { UINT64_MAX, 1, 128, 0, 0 } },
		{ "no queue", "queues", { 0, 0, 128, 0, 0 } },
		{ "17 queues", "queues", { 0, 17, 128, 0, 0 } },
		{ "2^32 - 1 queues", "queues", { 0, UINT32_MAX, 128, 0, 0 } },
		{ "2^16 + 1 queues", "queues", { 0, 0x10001, 128, 0, 0 } },
		{ "size 0", "queues of size", { 0, 1, 0, 0, 0 } },
		{ "size 3", "queues of size", { 0, 1, 3, 0, 0 } },
		{ "size 2048", "queues of size", { 0, 1, 2048, 0, 0 } },
		{ "size 2^16 + 128", "queues of size",
		    { 0, 1, 0x10080, 0, 0 } },
		{ "size 2^31", "queues of size", { 0, 1, 0x80000000, 0, 0 } },
		{ "configuration too long", "configuration bytes",
		    { 0, 1, 128, 257, 257 } },
		{ "length without bytes", "DEV_HELLO", { 0, 1, 128, 10, 0 } },
		{ "length 2^32 - 1", "configuration bytes",
		    { 0, 1, 128, UINT32_MAX, 16 } },
		{ "bytes missing", "DEV_HELLO", { 0, 1, 128, 10, 9 } },
		{ "bytes left over", "DEV_HELLO", { 0, 1, 128, 10, 11 } },
	};
	struct fix *x = *state;

	for (size_t i = 0; i < LEN(rows); i++) {
		say(x, DEV_HELLO, hello_body(&rows[i].h));
		say(x, DEV_SEALED, NULL);
		check_failed(x, front_end(x), rows[i].what);
		if (strstr(x->why, rows[i].why) == NULL)
			fail_msg("%s: %s", rows[i].what, x->why);
	}
	close(x->ours);
}

static void
test_hello_truncated(void **state)
{
	struct fix *x = *state;

	for (size_t n = 0; n < 20 + 60; n++) {
		struct ibuf *b = hello_body(&good);

		ibuf_truncate(b, n);
		say(x, DEV_HELLO, b);
		say(x, DEV_SEALED, NULL);
		check_failed(x, front_end(x), "truncated");
	}
	close(x->ours);
}

static void
say_nothing(struct fix *x)
{
	chan_free(x->peer);
	x->peer = NULL;
}

/* Bytes that nobody framed. */
static void
say_garbage(struct fix *x)
{
	char junk[4096];
	int s[2];

	say_nothing(x);
	close(x->ours);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	memset(junk, 0xa5, sizeof(junk));
	assert_int_equal(write(s[1], junk, sizeof(junk)), sizeof(junk));
	close(s[1]);
	x->ours = s[0];
}

static void
say_unknown(struct fix *x)
{
	say(x, 4711, NULL);
}

static void
say_sealed(struct fix *x)
{
	say(x, DEV_SEALED, NULL);
}

static void
say_reset_done(struct fix *x)
{
	say(x, DEV_RESET_DONE, NULL);
}

static void
say_broken(struct fix *x)
{
	say_text(x, DEV_BROKEN, "cannot\nopen \033[31m it");
}

static void
say_hello_with_fd(struct fix *x)
{
	chan_send(x->peer, DEV_HELLO, 0, open("/dev/null", O_RDONLY),
	    hello_body(&good));
	chan_flush(x->peer, WAIT_MS);
}

static void
say_hello_and_go(struct fix *x)
{
	say(x, DEV_HELLO, hello_body(&good));
	say_nothing(x);
}

static void
say_hello_twice(struct fix *x)
{
	say(x, DEV_HELLO, hello_body(&good));
	say(x, DEV_HELLO, hello_body(&good));
}

static void
say_hello_then_broken(struct fix *x)
{
	say(x, DEV_HELLO, hello_body(&good));
	say_broken(x);
}

static void
say_hello_then_reset_done(struct fix *x)
{
	say(x, DEV_HELLO, hello_body(&good));
	say_reset_done(x);
}

static void
say_sealed_with_body(struct fix *x)
{
	say(x, DEV_HELLO, hello_body(&good));
	say_text(x, DEV_SEALED, "x");
}

static void
test_setup_disorder(void **state)
{
	static const struct {
		const char *what;
		void (*say)(struct fix *);
	} rows[] = {
		{ "nothing", say_nothing },
		{ "garbage", say_garbage },
		{ "unknown message", say_unknown },
		{ "sealed first", say_sealed },
		{ "reset done first", say_reset_done },
		{ "broken first", say_broken },
		{ "hello with a descriptor", say_hello_with_fd },
		{ "hello and gone", say_hello_and_go },
		{ "hello twice", say_hello_twice },
		{ "hello, broken", say_hello_then_broken },
		{ "hello, reset done", say_hello_then_reset_done },
		{ "sealed with a body", say_sealed_with_body },
	};
	struct fix *x = *state;

	for (size_t i = 0; i < LEN(rows); i++) {
		rows[i].say(x);
		check_failed(x, front_end(x), rows[i].what);
	}
	/* The device's own words, when it has some. */
	say_broken(x);
	check_failed(x, front_end(x), "broken");
	assert_string_equal(x->why, "cannot?open ?[31m it");
	close(x->ours);
}

/* ---- running ---- */

static void
test_start(void **state)
{
	struct fix *x = *state;
	eventfd_t n;

	up(x);
	assert_true(x->features == (good.features | VERSION1));
	assert_int_equal(x->nrings, QUEUES);
	assert_int_equal(x->ring[0].size, 0);
	assert_int_equal(x->ring[1].size, 64);
	assert_int_equal(x->ring[1].desc.v, 0x1000);
	assert_int_equal(x->ring[1].avail.v, 0x2000);
	assert_int_equal(x->ring[1].used.v, UINT64_C(0x123456789000));
	/* The data path: no message, only eventfds. */
	fake_out(x->f, (uint16_t)(x->d.notify + x->d.step), 1);
	assert_int_equal(eventfd_read(x->fd[1][0], &n), 0);
	assert_int_equal(eventfd_write(x->fd[1][1], 1), 0);
	fake_run(x->f);
	assert_int_equal(fake_msis(x->f, 0x42), 1);
}

static void
test_reset(void **state)
{
	struct fix *x = *state;

	up(x);
	drv_set_status(&x->d, 0);
	fake_run(x->f);
	assert_int_equal(chan_recv(x->peer, WAIT_MS), 0);
	assert_int_equal(x->resets, 1);
	drv_set_status(&x->d, 0); /* again, and no second message */
	fake_run(x->f);
	assert_int_equal(drv_status(&x->d), 15);
	assert_int_equal(chan_recv(x->peer, 50), -ETIMEDOUT);
	say(x, DEV_RESET_DONE, NULL);
	fake_run(x->f);
	assert_int_equal(drv_status(&x->d), 0);
	bring_up_driver(x);
	assert_int_equal(chan_recv(x->peer, WAIT_MS), 0);
	assert_int_equal(x->starts, 2);
	assert_int_equal(drv_status(&x->d), 15);
	assert_int_equal(x->broken + x->dead, 0);
}

/* The write cache's byte, and no other, is the driver's to write. */
static void
test_config_byte(void **state)
{
	struct fix *x = *state;
	const struct hello caching = { good.features | 1 << 11, QUEUES, 128, 60,
		60 };
	const volatile uint8_t *page;
	unsigned i;

	up_with(x, &caching);
	page = x->page;
	for (i = 0; i < 60; i++) {
		bus_write(&x->f->mmio, x->d.device + i, 1, i == 32 ? 0 : 0xee);
		if (i != 32)
			assert_int_equal(
			    bus_read(&x->f->mmio, x->d.device + i, 1), i);
		/* There before the write is done; no message. */
		assert_int_equal(page[i], i == 32 ? 0 : i);
	}
	fake_run(x->f);
	assert_int_equal(chan_recv(x->peer, 50), -ETIMEDOUT);
	assert_int_equal(bus_read(&x->f->mmio, x->d.device + 32, 1), 0);
	/* Neither 0 nor 1. */
	bus_write(&x->f->mmio, x->d.device + 32, 1, 2);
	assert_int_equal(bus_read(&x->f->mmio, x->d.device + 32, 1), 0);
	/* After a reset it is what the device said. */
	drv_set_status(&x->d, 0);
	fake_run(x->f);
	assert_int_equal(page[32], 32);
	assert_int_equal(chan_recv(x->peer, WAIT_MS), 0);
	assert_int_equal(bus_read(&x->f->mmio, x->d.device + 32, 1), 32);
	page_detach(x->page);
}

static void
test_config_not_offered(void **state)
{
	struct fix *x = *state;

	up(x);
	bus_write(&x->f->mmio, x->d.device + 32, 1, 0);
	assert_int_equal(bus_read(&x->f->mmio, x->d.device + 32, 1), 32);
	assert_int_equal(chan_recv(x->peer, 50), -ETIMEDOUT);
}

/* A network device's configuration, whose byte at is another. */
static struct ibuf *
configuration(uint32_t len, uint32_t at)
{
	struct ibuf *b = chan_body();

	for (uint32_t i = 0; i < len; i++)
		ibuf_add_n8(b, i == at ? 0xa5 : i & 0xff);
	return b;
}

/* The status of a link changes, with an interrupt; it stays over a reset. */
static void
test_configured(void **state)
{
	struct fix *x = *state;
	uint64_t generation;

	x->type = 1;
	bring_up_device(x, &good);
	generation = com_rd(&x->d, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	say(x, DEV_CONFIGURED, configuration(60, 6));
	fake_run(x->f);
	assert_int_equal(bus_read(&x->f->mmio, x->d.device + 6, 1), 0xa5);
	bring_up_driver(x);
	assert_int_equal(fake_msis(x->f, 0x40), 0);
	say(x, DEV_CONFIGURED, configuration(60, 7));
	fake_run(x->f);
	assert_int_equal(bus_read(&x->f->mmio, x->d.device + 6, 2), 0xa506);
	assert_int_equal(fake_msis(x->f, 0x40), 1);
	assert_int_not_equal(
	    com_rd(&x->d, VIRTIO_PCI_COMMON_CFGGENERATION, 1), generation);
	drv_set_status(&x->d, 0);
	say(x, DEV_RESET_DONE, NULL);
	fake_run(x->f);
	assert_int_equal(bus_read(&x->f->mmio, x->d.device + 6, 2), 0xa506);
	assert_int_equal(x->dead, 0);
}

/* What a device process may not say; it is dropped for it. */
static void
test_configured_wrongly(void **state)
{
	static const struct {
		uint16_t type;
		uint32_t len, at;
	} rows[] = {
		{ 2, 60, 6 }, /* of a disk nothing changes */
		{ 1, 60, 5 }, /* the address */
		{ 1, 60, 8 },
		{ 1, 59, 6 },
		{ 1, 61, 6 },
		{ 1, 0, 6 },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct fix *x;

		assert_int_equal(setup((void **)&x), 0);
		x->type = rows[i].type;
		up(x);
		say(x, DEV_CONFIGURED, configuration(rows[i].len, rows[i].at));
		fake_run(x->f);
		assert_int_equal(x->dead, 1);
		assert_int_equal(
		    bus_read(&x->f->mmio, x->d.device + 6, 2), 0x0706);
		page_detach(x->page);
		assert_int_equal(teardown((void **)&x), 0);
	}
}

static void
test_broken(void **state)
{
	static const char junk[] = "bad\nring\t\001\033[2J\377 \\";
	struct fix *x = *state;

	bring_up_device(x, &good);
	say_text(x, DEV_BROKEN, "before the driver came"); /* of no effect */
	fake_run(x->f);
	assert_int_equal(x->broken, 0);
	bring_up_driver(x);
	assert_int_equal(drv_status(&x->d), 15);
	for (unsigned i = 0; i < 100; i++)
		say_text(x, DEV_BROKEN, junk);
	fake_run(x->f);
	assert_int_equal(drv_status(&x->d), 0x4f);
	assert_int_equal(fake_msis(x->f, 0x40), 1);
	assert_int_equal(x->broken, 1);
	assert_string_equal(x->told, "bad?ring???[2J? \\");
	/* A reset heals it. */
	drv_set_status(&x->d, 0);
	say(x, DEV_RESET_DONE, NULL);
	fake_run(x->f);
	assert_int_equal(drv_status(&x->d), 0);
	bring_up_driver(x);
	assert_int_equal(drv_status(&x->d), 15);
	assert_int_equal(x->dead, 0);
}

static void
test_broken_long(void **state)
{
	struct fix *x = *state;
	char text[201];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	up(x);
	say_text(x, DEV_BROKEN, text);
	fake_run(x->f);
	assert_int_equal(x->broken, 1);
	assert_int_equal(strlen(x->told), 127);
}

/* A peer that breaks a rule, or dies, takes its own device only. */
static void
say_broken_truncated(struct fix *x)
{
	struct ibuf *b = chan_body();

	ibuf_add_n16(b, 1000);
	say(x, DEV_BROKEN, b);
}

static void
say_broken_huge(struct fix *x)
{
	char text[4096];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	say_text(x, DEV_BROKEN, text);
}

static void
say_hello_again(struct fix *x)
{
	say(x, DEV_HELLO, hello_body(&good));
}

static void
say_reset_done_with_body(struct fix *x)
{
	say_text(x, DEV_RESET_DONE, "x");
}

static void
test_death(void **state)
{
	static const struct {
		const char *what;
		void (*say)(struct fix *);
	} rows[] = {
		{ "end of file", say_nothing },
		{ "unknown message", say_unknown },
		{ "hello", say_hello_again },
		{ "hello with a descriptor", say_hello_with_fd },
		{ "sealed", say_sealed },
		{ "unasked reset done", say_reset_done },
		{ "reset done with a body", say_reset_done_with_body },
		{ "truncated text", say_broken_truncated },
		{ "huge text", say_broken_huge },
	};
	struct fix *x = *state;

	for (size_t i = 0; i < LEN(rows); i++) {
		if (i > 0)
			connect_peer(x);
		x->starts = x->seals = x->dead = 0;
		up(x);
		x->f->nmsi = 0;
		rows[i].say(x);
		fake_run(x->f);
		fake_run(x->f);
		if (x->dead != 1 || x->told[0] == '\0' ||
		    drv_status(&x->d) != 0x4f || fake_msis(x->f, 0x40) != 1)
			fail_msg("%s: %u", rows[i].what, x->dead);
		/* A reset is done at once, a start fails at once. */
		drv_set_status(&x->d, 0);
		assert_int_equal(drv_status(&x->d), 0);
		bring_up_driver(x);
		assert_int_equal(drv_status(&x->d), 0x4f);
		drv_set_status(&x->d, 0);
		assert_int_equal(drv_status(&x->d), 0);
		fake_run(x->f);
		assert_int_equal(x->dead, 1);
		virtio_chan_free(x->vc);
		x->vc = NULL;
		chan_free(x->peer);
		x->peer = NULL;
		for (unsigned q = 0; q < QUEUES; q++)
			for (unsigned j = 0; j < 2; j++) {
				close(x->fd[q][j]);
				x->fd[q][j] = -1;
			}
		x->f->host.next_gsi = 24;
	}
}

static void
test_death_in_reset(void **state)
{
	struct fix *x = *state;

	up(x);
	drv_set_status(&x->d, 0);
	fake_run(x->f);
	assert_int_equal(drv_status(&x->d), 15);
	say_nothing(x);
	fake_run(x->f);
	fake_run(x->f);
	assert_int_equal(drv_status(&x->d), 0);
	assert_int_equal(x->dead, 1);
}

static void
test_death_idle(void **state)
{
	struct fix *x = *state;

	bring_up_device(x, &good);
	say_nothing(x);
	fake_run(x->f);
	fake_run(x->f);
	assert_int_equal(x->dead, 1);
	assert_int_equal(drv_status(&x->d), 0);
	bring_up_driver(x);
	assert_int_equal(drv_status(&x->d), 0x4f);
}

/* A peer that does not read: the guest resets and starts, nothing blocks. */
static void
test_deaf_peer(void **state)
{
	struct fix *x = *state;

	up(x);
	for (unsigned i = 0; i < 20000; i++) {
		drv_set_status(&x->d, 0);
		say(x, DEV_RESET_DONE, NULL);
		fake_run(x->f);
		if (drv_status(&x->d) != 0 || x->dead != 0)
			break;
		bring_up_driver(x);
		if (i == 200)
			break;
	}
	assert_true(x->dead <= 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_snapshot),
		T(test_setup),
		T(test_hello_limits),
		T(test_hello_truncated),
		T(test_setup_disorder),
		T(test_start),
		T(test_reset),
		T(test_config_byte),
		T(test_config_not_offered),
		T(test_configured),
		cmocka_unit_test(test_configured_wrongly),
		T(test_broken),
		T(test_broken_long),
		T(test_death),
		T(test_death_in_reset),
		T(test_death_idle),
		T(test_deaf_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
