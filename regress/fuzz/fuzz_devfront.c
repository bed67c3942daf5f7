/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: what the process of a device can say to the vm process, from its
 * first message on, while the guest starts and resets the device.  Whatever it
 * is breaks this one device: nothing is bound in the kernel afterwards that was
 * not before, no descriptor is kept, and the guest gets an end to each reset.
 *
 * The input is a byte, whether it is a network device, and records (record.h).
 * One of a type above those that there are is the guest's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "record.h"

/* What the tests of the transport want of cmocka. */
#define assert_true(x)	       check(x)
#define assert_false(x)	       check(!(x))
#define assert_int_equal(a, b) check((a) == (b))
#define fail_msg(...)	       abort()

#include "../vmd/virtio_fake.h"
#include "chan.h"
#include "gmem.h"
#include "mirror.h"
#include "msg.h"
#include "virtio_chan.h"

#define MEM	 (1ULL << 20)
#define TYPES	 11
#define G_START	 8
#define G_RESET	 9
#define G_MIRROR 10

static struct rig {
	struct gmem mem;
	int spare; /* a descriptor to be sent */
	unsigned dead;
	unsigned asked, answered; /* of its disk */
	struct virtio_chan *vc;
} r;

static void
broken(void *arg, const char *why)
{
	for (; *why != '\0'; why++)
		check(*why >= ' ' && *why <= '~');
}

static void
dead(void *arg, const char *why)
{
	broken(arg, why);
	check(++r.dead == 1);
}

/* One answer to each at most, or the word that there will be none. */
static void
mirrored(void *arg, const struct mirror_msg *m)
{
	static uint8_t bytes[MIRROR_PIECE];

	if (m == NULL) {
		check(r.answered < r.asked);
		return;
	}
	check(++r.answered <= r.asked);
	check(m->what <= MIRROR_PUT && m->error <= 4095);
	check(m->bytes == NULL || (m->len > 0 && m->len <= MIRROR_PIECE));
	if (m->bytes != NULL)
		memcpy(bytes, m->bytes, (size_t)m->len);
}

static void
ask(void)
{
	const struct mirror_msg m = { .what = MIRROR_NEXT };

	if (virtio_chan_mirror(r.vc, &m) == 0)
		r.asked++;
	check(r.asked - r.answered <= MIRROR_SLOTS);
	(void)virtio_chan_disk_size(r.vc);
}

static void
set_up(void)
{
	check(gmem_create(&r.mem, MEM) == 0);
	r.spare = dup(r.mem.fd);
	check(r.spare != -1);
}

int __real_chan_recv(struct chan *, int);
int __wrap_chan_recv(struct chan *, int);

/* What is not there by now does not come: nobody waits for it. */
int
__wrap_chan_recv(struct chan *c, int timeout_ms)
{
	return __real_chan_recv(c, 0);
}

/* What the device process reads is of no interest, but it has to be read. */
static void
drain(int sock)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(64 * sizeof(int))];
	} u;
	char buf[4096];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	int fd[64];
	size_t n;

	for (;;) {
		m.msg_control = &u;
		m.msg_controllen = sizeof(u.space);
		if (recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			return;
		for (c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
			n = c->cmsg_len - CMSG_LEN(0);
			memcpy(fd, CMSG_DATA(c), n);
			for (n /= sizeof(int); n > 0; n--)
				close(fd[n - 1]);
		}
	}
}

/* The messages that are there before the front end looks. */
static void
set_up_messages(int sock, const uint8_t **data, size_t *len)
{
	const uint8_t *body;
	struct record rec;
	unsigned i;
	size_t n;

	for (i = 0; i < 2 && record_next(data, len, &rec, &body, &n); i++)
		record_put(
		    sock, DEV_HELLO + rec.type % TYPES, &rec, body, n, r.spare);
}

static void
guest_start(struct drv *d)
{
	if (!drv_negotiate(d, UINT64_C(1) << VIRTIO_F_VERSION_1))
		return;
	drv_queue(d, 0, 64, 0x1000, 0x2000, 0x3000);
	drv_enable(d, 0);
	drv_set_status(d, 15);
}

static void
life(struct fake *f, int sock, const uint8_t *data, size_t len)
{
	const uint8_t *body;
	struct record rec;
	struct drv d;
	size_t n;

	drv_find(&d, f, 2);
	while (record_next(&data, &len, &rec, &body, &n)) {
		if (rec.type % TYPES == G_START)
			guest_start(&d);
		else if (rec.type % TYPES == G_RESET)
			drv_set_status(&d, 0);
		else if (rec.type % TYPES == G_MIRROR)
			ask();
		else
			record_put(sock, DEV_HELLO + rec.type % TYPES, &rec,
			    body, n, r.spare);
		event_base_loop(f->host.base, EVLOOP_NONBLOCK);
		drain(sock);
	}
	/* Gone; then a reset ends at once. */
	shutdown(sock, SHUT_RDWR);
	for (n = 0; n < 100 && r.dead == 0; n++)
		event_base_loop(f->host.base, EVLOOP_NONBLOCK);
	check(r.dead == 1);
	drv_set_status(&d, 0);
	check(drv_status(&d) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct virtio_chan_conf conf = {
		.mem = &r.mem,
		.name = "device",
		.type = 2,
		.class = 0x010000,
		.broken = broken,
		.dead = dead,
		.mirrored = mirrored,
	};
	struct fake *f;
	char why[128];
	unsigned fds;
	int pair[2];

	if (len == 0)
		return 0;
	if (r.spare == 0)
		set_up();
	r.dead = r.asked = r.answered = 0;
	if ((*data & 1) != 0)
		conf.type = 1;
	data++;
	len--;
	fds = fake_open_fds();
	f = fake_new();
	conf.pci = &f->pci;
	conf.host = &f->host;
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	set_up_messages(pair[1], &data, &len);
	if (virtio_chan_new(&r.vc, pair[0], &conf, why, sizeof(why)) == 0) {
		drain(pair[1]);
		life(f, pair[1], data, len);
		virtio_chan_free(r.vc);
	} else
		check(strlen(why) < sizeof(why));
	close(pair[1]);
	check(fake_nio(f) + fake_nirq(f) == 0 && f->mmio.n == 0);
	fake_free(f);
	check(fake_open_fds() == fds);
	return 0;
}
