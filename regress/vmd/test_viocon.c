/* SPDX-License-Identifier: ISC */

/* The console device (vmd/viocon.c), driven by rings in guest memory; behind
 * it a console (vmd/console.c) whose terminal is a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <cmocka.h>
#include <linux/virtio_ring.h>
#include "console.h"
#include "gmem.h"
#include "state.h"
#include "viocon.h"
#include "virtio_fake.h"

#define VERSION1   (UINT64_C(1) << 32)
#define EMERG	   (UINT64_C(1) << 2)
#define RAM	   (16ULL << 20)
#define QSIZE	   64
#define RING(q)	   (0x10000 + (q)*0x8000ULL)
#define DESC(q)	   RING(q)
#define AVAIL(q)   (RING(q) + 0x2000)
#define USED(q)	   (RING(q) + 0x4000)
#define BUFFER	   0x100000
#define VECTOR	   0x51 /* of the configuration; queues follow */
#define IN	   0
#define OUT	   1
#define CONSOLE_ID 0x10031af4

struct queue {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t seen; /* used elements looked at */
};

struct fix {
	struct fake *f;
	struct gmem mem;
	struct viocon *c;
	struct console *console;
	struct drv d;
	struct queue q[2];
	int line;
	uint64_t now;
};

static void
lock(void *arg)
{
	struct fix *x = arg;

	x->f->host.ops->lock(&x->f->host);
}

static void
unlock(void *arg)
{
	struct fix *x = arg;

	x->f->host.ops->unlock(&x->f->host);
}

static uint64_t
now(void *arg)
{
	return ((struct fix *)arg)->now;
}

static void
rearm(void *arg)
{
}

static int
setup(void **state)
{
	struct fix *x = calloc(1, sizeof(*x));
	struct console_conf c = { .lock = lock,
		.unlock = unlock,
		.arg = x,
		.env = { now, rearm, x } };
	unsigned q;
	int pair[2];

	x->f = fake_new();
	assert_int_equal(gmem_create(&x->mem, RAM), 0);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	c.base = x->f->host.base;
	c.fd = pair[0];
	x->line = pair[1];
	assert_int_equal(console_new(&x->console, &c), 0);
	x->c =
	    viocon_new(&x->f->pci, &x->f->host, &x->mem, x->console, "viocon");
	assert_non_null(x->c);
	drv_find(&x->d, x->f, 2);
	for (q = 0; q < 2; q++) {
		x->q[q].desc =
		    gmem_range(&x->mem, (struct gpa){ DESC(q) }, 0x1000);
		x->q[q].avail =
		    gmem_range(&x->mem, (struct gpa){ AVAIL(q) }, 0x1000);
		x->q[q].used =
		    gmem_range(&x->mem, (struct gpa){ USED(q) }, 0x1000);
	}
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *x = *state;

	viocon_free(x->c);
	console_free(x->console);
	close(x->line);
	assert_int_equal(fake_nio(x->f) + fake_nirq(x->f), 0);
	gmem_destroy(&x->mem);
	fake_free(x->f);
	free(x);
	return 0;
}

static void
turn(struct fix *x)
{
	unsigned i;

	/* More than one turn of the event loop may be needed. */
	for (i = 0; i < 20; i++)
		fake_run(x->f);
}

static void
bring_up_at(struct fix *x, uint64_t desc)
{
	unsigned q;

	assert_true(drv_negotiate(&x->d, VERSION1));
	drv_msix(&x->d, MSIX_CONTROL_ENABLE);
	for (q = 0; q < 3; q++)
		drv_vector(&x->d, q, VECTOR + q);
	com_wr(&x->d, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	for (q = 0; q < 2; q++) {
		memset(x->q[q].desc, 0, 0x1000);
		memset(x->q[q].avail, 0, 0x1000);
		memset(x->q[q].used, 0, 0x1000);
		x->q[q].seen = 0;
		drv_queue(&x->d, q, QSIZE, q == OUT ? desc : DESC(q), AVAIL(q),
		    USED(q));
		com_wr(&x->d, VIRTIO_PCI_COMMON_Q_MSIX, 2, q + 1);
		drv_enable(&x->d, q);
	}
	drv_set_status(&x->d, 15);
	turn(x);
}

static void
bring_up(struct fix *x)
{
	bring_up_at(x, DESC(OUT));
	assert_int_equal(drv_status(&x->d), 15);
}

static void
set_desc(struct fix *x, unsigned q, uint16_t i, uint64_t addr, uint32_t len,
    uint16_t flags, uint16_t next)
{
	x->q[q].desc[i] = (struct vring_desc){
		.addr = addr, .len = len, .flags = flags, .next = next
	};
}

static void
offer(struct fix *x, unsigned q, uint16_t head)
{
	struct vring_avail *a = x->q[q].avail;
	uint16_t idx = a->idx;

	a->ring[idx % QSIZE] = head;
	__atomic_store_n(&a->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

static void
kick(struct fix *x, unsigned q)
{
	fake_out(x->f, (uint16_t)(x->d.notify + q * x->d.step), (uint16_t)q);
	turn(x);
}

/* Bytes of the next used element; fails when there is none. */
static uint32_t
used_len(struct fix *x, unsigned q, uint16_t head)
{
	struct queue *v = &x->q[q];
	struct vring_used_elem *e = &v->used->ring[v->seen % QSIZE];

	assert_true(v->used->idx != v->seen);
	assert_int_equal(e->id, head);
	v->seen++;
	return e->len;
}

/* What came out at the terminal. */
static void
shown(struct fix *x, const char *want)
{
	char buf[256];
	ssize_t n;

	lock(x);
	console_flush(x->console);
	unlock(x);
	n = read(x->line, buf, sizeof(buf) - 1);
	buf[n < 0 ? 0 : n] = '\0';
	assert_string_equal(buf, want);
}

static void
type(struct fix *x, const char *text)
{
	assert_int_equal(write(x->line, text, strlen(text)), strlen(text));
	turn(x);
}

static void *
at(struct fix *x, uint64_t gpa)
{
	return gmem_range(&x->mem, (struct gpa){ gpa }, 0x1000);
}

static void
test_output(void **state)
{
	struct fix *x = *state;

	assert_int_equal(cfg_rd(&x->d, 0, 4), CONSOLE_ID);
	bring_up(x);
	memcpy(at(x, BUFFER), "hello, ", 7);
	memcpy(at(x, BUFFER + 0x1000), "world\n", 6);
	set_desc(x, OUT, 3, BUFFER, 7, VRING_DESC_F_NEXT, 4);
	set_desc(x, OUT, 4, BUFFER + 0x1000, 6, 0, 0);
	offer(x, OUT, 3);
	kick(x, OUT);
	assert_int_equal(used_len(x, OUT, 3), 0);
	assert_int_equal(fake_msis(x->f, VECTOR + 1 + OUT), 1);
	assert_int_equal(fake_msis(x->f, VECTOR + 1 + IN), 0);
	shown(x, "hello, world\n");
}

static void
test_input(void **state)
{
	struct fix *x = *state;

	/* Typed before there is a driver: it waits. */
	type(x, "ab");
	bring_up(x);
	assert_int_equal(x->q[IN].used->idx, 0);
	set_desc(x, IN, 0, BUFFER, 64, VRING_DESC_F_WRITE, 0);
	offer(x, IN, 0);
	kick(x, IN);
	assert_int_equal(used_len(x, IN, 0), 2);
	assert_memory_equal(at(x, BUFFER), "ab\0", 3);
	assert_int_equal(fake_msis(x->f, VECTOR + 1 + IN), 1);
	/* Buffers that are there before the input; small ones. */
	set_desc(x, IN, 1, BUFFER, 3, VRING_DESC_F_WRITE, 0);
	set_desc(x, IN, 2, BUFFER + 0x1000, 3, VRING_DESC_F_WRITE, 0);
	offer(x, IN, 1);
	offer(x, IN, 2);
	type(x, "cdefgh");
	assert_int_equal(used_len(x, IN, 1), 3);
	assert_int_equal(used_len(x, IN, 2), 3);
	assert_memory_equal(at(x, BUFFER), "cde\0", 4);
	assert_memory_equal(at(x, BUFFER + 0x1000), "fgh\0", 4);
}

/* Much input, few buffers: nothing is lost, and all in order. */
static void
test_input_waits(void **state)
{
	struct fix *x = *state;
	uint8_t text[2000], got[2000];
	size_t n = 0, i;
	unsigned rounds = 0;

	for (i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i % 251);
	bring_up(x);
	assert_int_equal(write(x->line, text, sizeof(text)), sizeof(text));
	turn(x);
	set_desc(x, IN, 0, BUFFER, 100, VRING_DESC_F_WRITE, 0);
	while (n < sizeof(text) && rounds++ < 100) {
		uint32_t len;

		offer(x, IN, 0);
		kick(x, IN);
		len = used_len(x, IN, 0);
		assert_in_range(len, 1, 100);
		memcpy(got + n, at(x, BUFFER), len);
		n += len;
	}
	assert_int_equal(n, sizeof(text));
	assert_memory_equal(got, text, n);
}

/* A guest that stands still is given nothing. */
static void
test_pause(void **state)
{
	struct fix *x = *state;

	bring_up(x);
	set_desc(x, IN, 0, BUFFER, 64, VRING_DESC_F_WRITE, 0);
	offer(x, IN, 0);
	lock(x);
	console_pause(x->console, true);
	unlock(x);
	type(x, "abc");
	assert_int_equal(x->q[IN].used->idx, 0);
	lock(x);
	console_pause(x->console, false);
	unlock(x);
	turn(x);
	assert_int_equal(used_len(x, IN, 0), 3);
}

/* "Device configuration layout": emerg_wr, without queues. */
static void
test_emergency(void **state)
{
	struct fix *x = *state;

	assert_true(drv_negotiate(&x->d, VERSION1 | EMERG));
	bus_write(&x->f->mmio, x->d.device + 8, 4, 'x');
	bus_write(&x->f->mmio, x->d.device + 8, 4, 'y');
	bus_write(&x->f->mmio, x->d.device, 4, 'z'); /* cols and rows */
	shown(x, "xy");
	assert_int_equal(bus_read(&x->f->mmio, x->d.device + 8, 4), 0);
}

/* However much a chain has, the lock is held for little of it. */
static void
test_output_bound(void **state)
{
	struct fix *x = *state;
	char buf[70000];
	uint16_t i;
	ssize_t n, sum = 0;

	bring_up(x);
	for (i = 0; i < QSIZE; i++) {
		set_desc(x, OUT, i, BUFFER, 8 << 20,
		    i < QSIZE - 1 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
	}
	for (i = 0; i < 40; i++)
		offer(x, OUT, 0);
	kick(x, OUT);
	kick(x, OUT);
	kick(x, OUT);
	assert_int_equal(x->q[OUT].used->idx, 40);
	while ((n = read(x->line, buf, sizeof(buf))) > 0)
		sum += n;
	assert_in_range(sum, 1, 40 * 65536);
}

static const struct bad {
	const char *what;
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next, head;
} bad_rows[] = {
	{ "head out of range", BUFFER, 64, 0, 0, QSIZE },
	{ "head 0xffff", BUFFER, 64, 0, 0, 0xffff },
	{ "next out of range", BUFFER, 64, 1, QSIZE, 0 },
	{ "loop", BUFFER, 64, 1, 0, 0 },
	{ "beyond RAM", RAM, 64, 0, 0, 0 },
	{ "across the end", RAM - 32, 64, 0, 0, 0 },
	{ "wraps", UINT64_MAX - 31, 64, 0, 0, 0 },
	{ "4 GiB", BUFFER, UINT32_MAX, 0, 0, 0 },
	{ "its own BAR (CVE-2024-3446)", PCI_MMIO_BASE, 64, 0, 0, 0 },
	{ "indirect table cut short", BUFFER, 20, 4, 0, 0 },
	{ "indirect table beyond RAM", RAM, 64, 4, 0, 0 },
};

static void
bad_ring(struct fix *x, unsigned q, const struct bad *b)
{
	bool indirect = (b->flags & VRING_DESC_F_INDIRECT) != 0;

	x->f->nmsi = 0;
	bring_up(x);
	set_desc(x, q, 0, b->addr, b->len,
	    (uint16_t)(b->flags |
		(q == IN && !indirect ? VRING_DESC_F_WRITE : 0)),
	    b->next);
	offer(x, q, b->head);
	kick(x, q);
	if (q == IN)
		type(x, "a"); /* only then are buffers looked at */
	if (drv_status(&x->d) != 0x4f)
		fail_msg("%u: %s: %#x", q, b->what, drv_status(&x->d));
	assert_int_equal(fake_msis(x->f, VECTOR), 1);
	kick(x, q);
	assert_int_equal(x->q[q].used->idx, 0);
	drv_set_status(&x->d, 0);
	assert_int_equal(drv_status(&x->d), 0);
}

/* ATTACKS.md A: rings and buffers that are none. */
static void
test_bad_ring(void **state)
{
	struct fix *x = *state;
	size_t i;
	unsigned q;

	for (q = 0; q < 2; q++)
		for (i = 0; i < LEN(bad_rows); i++)
			bad_ring(x, q, &bad_rows[i]);
	bring_up_at(x, DESC(OUT) + 8); /* misaligned */
	assert_int_equal(drv_status(&x->d), 0x4f);
	bring_up_at(x, RAM);
	assert_int_equal(drv_status(&x->d), 0x4f);
	bring_up_at(x, UINT64_MAX & ~15ULL);
	assert_int_equal(drv_status(&x->d), 0x4f);
	/* And it is none the worse for it; what was typed is still there. */
	bring_up(x);
	set_desc(x, IN, 0, BUFFER, 64, VRING_DESC_F_WRITE, 0);
	offer(x, IN, 0);
	kick(x, IN);
	assert_int_equal(used_len(x, IN, 0), LEN(bad_rows));
}

/* Buffers of the wrong direction, or of no length. */
static void
test_wrong_way(void **state)
{
	struct fix *x = *state;

	bring_up(x);
	set_desc(x, OUT, 0, BUFFER, 64, VRING_DESC_F_WRITE, 0);
	offer(x, OUT, 0);
	kick(x, OUT);
	assert_int_equal(used_len(x, OUT, 0), 0);
	set_desc(x, IN, 0, BUFFER, 64, 0, 0);
	set_desc(x, IN, 1, BUFFER, 0, VRING_DESC_F_WRITE, 0);
	set_desc(x, IN, 2, BUFFER, 64, VRING_DESC_F_WRITE, 0);
	offer(x, IN, 0);
	offer(x, IN, 1);
	offer(x, IN, 2);
	type(x, "abc");
	assert_int_equal(used_len(x, IN, 0), 0);
	assert_int_equal(used_len(x, IN, 1), 0);
	assert_int_equal(used_len(x, IN, 2), 3);
	shown(x, "");
}

static void
test_reset(void **state)
{
	struct fix *x = *state;

	bring_up(x);
	set_desc(x, IN, 0, BUFFER, 64, VRING_DESC_F_WRITE, 0);
	offer(x, IN, 0);
	drv_set_status(&x->d, 0);
	type(x, "abc");
	kick(x, IN);
	assert_int_equal(x->q[IN].used->idx, 0); /* rings are the guest's */
	/* A driver without queues. */
	assert_true(drv_negotiate(&x->d, VERSION1));
	drv_set_status(&x->d, 15);
	kick(x, IN);
	kick(x, OUT);
	assert_int_equal(drv_status(&x->d), 15);
	drv_set_status(&x->d, 0);
	bring_up(x);
	set_desc(x, IN, 0, BUFFER, 64, VRING_DESC_F_WRITE, 0);
	offer(x, IN, 0);
	kick(x, IN);
	assert_int_equal(used_len(x, IN, 0), 3);
}

/* To bytes and back: what was typed, and where the rings are. */
static void
test_state(void **state)
{
	struct fix *x = *state, *y;
	struct state s = { 0 };
	char name[STATE_NAME_MAX + 1];
	FILE *f = tmpfile();
	void *other;

	bring_up(x);
	type(x, "typed"); /* no buffer yet */
	assert_int_equal(state_write_head(&s, fileno(f), "one"), 0);
	assert_int_equal(state_begin(&s, "viocon", 1), 0);
	viocon_state(x->c, &s);
	assert_int_equal(state_end(&s), 0);
	state_free(&s);

	assert_int_equal(setup(&other), 0);
	y = other;
	memcpy(at(y, 0), at(x, 0), RAM / 2);
	assert_int_equal(lseek(fileno(f), 0, SEEK_SET), 0);
	memset(&s, 0, sizeof(s));
	assert_int_equal(state_read_head(&s, fileno(f), name), 0);
	assert_int_equal(state_begin(&s, "viocon", 1), 0);
	viocon_state(y->c, &s);
	assert_int_equal(state_end(&s), 0);
	state_free(&s);
	fclose(f);
	turn(y);
	set_desc(y, IN, 0, BUFFER, 64, VRING_DESC_F_WRITE, 0);
	offer(y, IN, 0);
	y->d.notify = x->d.notify;
	kick(y, IN);
	assert_int_equal(used_len(y, IN, 0), 5);
	assert_memory_equal(at(y, BUFFER), "typed", 5);
	teardown(&other);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_output),
		T(test_input),
		T(test_input_waits),
		T(test_pause),
		T(test_emergency),
		T(test_output_bound),
		T(test_bad_ring),
		T(test_wrong_way),
		T(test_reset),
		T(test_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
