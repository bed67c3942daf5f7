/* SPDX-License-Identifier: ISC */
/*
 * The virtqueue reader against good and hostile rings: each row of part A of
 * the list of known attacks that a reader of rings can suffer from, and a
 * second thread that rewrites everything while chains are popped.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "../vdriver.h"
#include "virtq.h"

#define MEM  (1ULL << 20)
#define TAB  0x10000ULL /* indirect tables */
#define DATA 0x40000ULL
#define QS   8

#define N VRING_DESC_F_NEXT
#define W VRING_DESC_F_WRITE
#define I VRING_DESC_F_INDIRECT

struct env {
	struct gmem mem;
	struct vdrv drv;
	struct virtq q;
	struct iovec iov[64];
	struct virtq_chain c;
};

static void
open_env(struct env *e, uint16_t size, bool event_idx)
{
	memset(e, 0, sizeof(*e));
	assert_int_equal(gmem_create(&e->mem, MEM), 0);
	vdrv_init(&e->drv, &e->mem, 0, size, event_idx);
	assert_int_equal(virtq_init(&e->q, &e->mem, size, e->drv.desc_gpa,
			     e->drv.avail_gpa, e->drv.used_gpa, event_idx),
	    0);
	e->c.iov = e->iov;
	e->c.iov_max = 64;
}

static void
close_env(struct env *e)
{
	gmem_destroy(&e->mem);
}

struct init_row {
	const char *name;
	unsigned size;
	uint64_t desc, avail, used;
	int result;
};

static const struct init_row init_rows[] = {
	{ "good", 256, 0x1000, 0x3000, 0x4000, 0 },
	{ "largest", 1024, 0x0, 0x8000, 0x9000, 0 },
	{ "one", 1, 0x1000, 0x3000, 0x4000, 0 },
	{ "zero", 0, 0x1000, 0x3000, 0x4000, -EINVAL },
	{ "no power of two", 96, 0x1000, 0x3000, 0x4000, -EINVAL },
	{ "too large", 2048, 0x1000, 0x30000, 0x40000, -EINVAL },
	{ "32768", 32768, 0x1000, 0x3000, 0x4000, -EINVAL },
	{ "desc alignment", 256, 0x1008, 0x3000, 0x4000, -EINVAL },
	{ "avail alignment", 256, 0x1000, 0x3001, 0x4000, -EINVAL },
	{ "used alignment", 256, 0x1000, 0x3000, 0x4002, -EINVAL },
	{ "desc at the end", 256, MEM - 4096, 0x3000, 0x4000, 0 },
	{ "desc over the end", 256, MEM - 4080, 0x3000, 0x4000, -EFAULT },
	{ "avail over the end", 256, 0x1000, MEM - 516, 0x4000, -EFAULT },
	{ "used over the end", 256, 0x1000, 0x3000, MEM - 2052, -EFAULT },
	{ "desc no memory", 256, 0xc0000000, 0x3000, 0x4000, -EFAULT },
	{ "desc wraps", 256, UINT64_MAX - 15, 0x3000, 0x4000, -EFAULT },
	{ "avail wraps", 256, 0x1000, UINT64_MAX - 1, 0x4000, -EFAULT },
	{ "used wraps", 256, 0x1000, 0x3000, UINT64_MAX - 3, -EFAULT },
};

static void
test_init(void **state)
{
	const struct init_row *r;
	struct gmem g;
	struct virtq q;
	unsigned i;
	int error;

	assert_int_equal(gmem_create(&g, MEM), 0);
	for (i = 0; i < sizeof(init_rows) / sizeof(init_rows[0]); i++) {
		r = &init_rows[i];
		error = virtq_init(&q, &g, (uint16_t)r->size,
		    (struct gpa){ r->desc }, (struct gpa){ r->avail },
		    (struct gpa){ r->used }, true);
		if (error != r->result)
			fail_msg("%s: %d", r->name, error);
	}
	gmem_destroy(&g);
}

/* Descriptors as an attacker writes them: direct table, indirect at TAB. */
struct chain_row {
	const char *name;
	struct vring_desc d[QS];
	struct vring_desc t[QS + 1];
	uint16_t head;
	int result;
	unsigned nread, nwrite;
	uint64_t read_len, write_len;
};

static const struct chain_row chain_rows[] = {
	{ "one readable", { { DATA, 16, 0, 0 } }, { { 0 } }, 0, 1, 1, 0, 16,
	    0 },
	{ "one writable", { { DATA, 16, W, 0 } }, { { 0 } }, 0, 1, 0, 1, 0,
	    16 },
	{ "read, write",
	    { { DATA, 16, N, 3 }, { 0 }, { 0 }, { DATA, 512, W, 0 } },
	    { { 0 } }, 0, 1, 1, 1, 16, 512 },
	{ "next without the flag is ignored", { { DATA, 16, 0, 77 } },
	    { { 0 } }, 0, 1, 1, 0, 16, 0 },
	{ "whole table",
	    { { DATA, 1, N, 1 }, { DATA, 1, N, 2 }, { DATA, 1, N, 3 },
		{ DATA, 1, N, 4 }, { DATA, 1, N, 5 }, { DATA, 1, N, 6 },
		{ DATA, 1, N, 7 }, { DATA, 1, 0, 0 } },
	    { { 0 } }, 0, 1, 8, 0, 8, 0 },
	{ "zero length dropped",
	    { { DATA, 0, N, 1 }, { UINT64_MAX, 0, N, 2 }, { DATA, 4, 0, 0 } },
	    { { 0 } }, 0, 1, 1, 0, 4, 0 },
	{ "only zero length", { { DATA, 0, 0, 0 } }, { { 0 } }, 0, 1, 0, 0, 0,
	    0 },
	{ "head out of range", { { DATA, 16, 0, 0 } }, { { 0 } }, QS, -EPROTO,
	    0, 0, 0, 0 },
	{ "head 65535", { { DATA, 16, 0, 0 } }, { { 0 } }, 65535, -EPROTO, 0, 0,
	    0, 0 },
	{ "next out of range", { { DATA, 16, N, QS } }, { { 0 } }, 0, -EPROTO,
	    0, 0, 0, 0 },
	{ "next 65535", { { DATA, 16, N, 65535 } }, { { 0 } }, 0, -EPROTO, 0, 0,
	    0, 0 },
	{ "self loop", { { DATA, 16, N, 0 } }, { { 0 } }, 0, -EPROTO, 0, 0, 0,
	    0 },
	{ "self loop of nothing", { { DATA, 0, N, 0 } }, { { 0 } }, 0, -EPROTO,
	    0, 0, 0, 0 },
	{ "two-cycle", { { DATA, 16, N, 1 }, { DATA, 16, N, 0 } }, { { 0 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "readable after writable",
	    { { DATA, 16, W | N, 1 }, { DATA, 16, 0, 0 } }, { { 0 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "length over the end", { { MEM - 8, 9, 0, 0 } }, { { 0 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "length at the end", { { MEM - 8, 8, 0, 0 } }, { { 0 } }, 0, 1, 1, 0,
	    8, 0 },
	{ "length 0xffffffff", { { 0, 0xffffffff, W, 0 } }, { { 0 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "address wraps", { { UINT64_MAX - 7, 16, W, 0 } }, { { 0 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "no memory there", { { 0xfe000000, 16, W, 0 } }, { { 0 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "the ring itself", { { 0, 0x6000, W, 0 } }, { { 0 } }, 0, 1, 0, 1, 0,
	    0x6000 },
	/* indirect */
	{ "indirect", { { TAB, 32, I, 0 } },
	    { { DATA, 16, N, 1 }, { DATA, 1, W, 0 } }, 0, 1, 1, 1, 16, 1 },
	{ "indirect, write flag ignored", { { TAB, 16, I | W, 0 } },
	    { { DATA, 16, 0, 0 } }, 0, 1, 1, 0, 16, 0 },
	{ "direct, then indirect", { { DATA, 16, N, 1 }, { TAB, 16, I, 0 } },
	    { { DATA, 1, W, 0 } }, 0, 1, 1, 1, 16, 1 },
	{ "indirect of queue size", { { TAB, 16 * QS, I, 0 } },
	    { { DATA, 1, N, 1 }, { DATA, 1, N, 2 }, { DATA, 1, N, 3 },
		{ DATA, 1, N, 4 }, { DATA, 1, N, 5 }, { DATA, 1, N, 6 },
		{ DATA, 1, N, 7 }, { DATA, 1, 0, 0 } },
	    0, 1, 8, 0, 8, 0 },
	{ "indirect longer than the queue", { { TAB, 16 * (QS + 1), I, 0 } },
	    { { DATA, 16, 0, 0 } }, 0, -EPROTO, 0, 0, 0, 0 },
	{ "indirect empty", { { TAB, 0, I, 0 } }, { { DATA, 16, 0, 0 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "indirect no multiple", { { TAB, 24, I, 0 } }, { { DATA, 16, 0, 0 } },
	    0, -EPROTO, 0, 0, 0, 0 },
	{ "indirect 15 bytes", { { TAB, 15, I, 0 } }, { { DATA, 16, 0, 0 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "indirect huge", { { TAB, 0xfffffff0, I, 0 } },
	    { { DATA, 16, 0, 0 } }, 0, -EPROTO, 0, 0, 0, 0 },
	{ "indirect over the end", { { MEM - 16, 32, I, 0 } }, { { 0 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "indirect wraps", { { UINT64_MAX - 15, 16, I, 0 } }, { { 0 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "indirect and next", { { TAB, 16, I | N, 1 }, { DATA, 16, 0, 0 } },
	    { { DATA, 1, 0, 0 } }, 0, -EPROTO, 0, 0, 0, 0 },
	{ "indirect in indirect", { { TAB, 16, I, 0 } }, { { TAB, 16, I, 0 } },
	    0, -EPROTO, 0, 0, 0, 0 },
	{ "indirect next out of its table", { { TAB, 32, I, 0 } },
	    { { DATA, 1, N, 2 }, { DATA, 1, 0, 0 }, { DATA, 1, 0, 0 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "indirect loop", { { TAB, 32, I, 0 } },
	    { { DATA, 1, N, 1 }, { DATA, 1, N, 0 } }, 0, -EPROTO, 0, 0, 0, 0 },
	{ "indirect self loop", { { TAB, 16, I, 0 } }, { { DATA, 0, N, 0 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "loop through direct and indirect",
	    { { DATA, 1, N, 1 }, { TAB, 16, I, 0 } }, { { DATA, 1, N, 1 } }, 0,
	    -EPROTO, 0, 0, 0, 0 },
	{ "unaligned table", { { TAB + 1, 16, I, 0 } }, { { 0 } }, 0, 1, 0, 0,
	    0, 0 },
};

static void
test_chains(void **state)
{
	const struct chain_row *r;
	struct env e;
	unsigned i;
	int n;

	for (i = 0; i < sizeof(chain_rows) / sizeof(chain_rows[0]); i++) {
		r = &chain_rows[i];
		open_env(&e, QS, false);
		memcpy(e.drv.desc, r->d, sizeof(r->d));
		assert_int_equal(
		    gmem_write(&e.mem, (struct gpa){ TAB }, r->t, sizeof(r->t)),
		    0);
		e.drv.avail->ring[0] = r->head;
		e.drv.avail->idx = 1;
		n = virtq_pop(&e.q, &e.c);
		if (n != r->result)
			fail_msg("%s: %d", r->name, n);
		if (n == 1 &&
		    (e.c.nread != r->nread || e.c.nwrite != r->nwrite ||
			e.c.read_len != r->read_len ||
			e.c.write_len != r->write_len || e.c.head != r->head))
			fail_msg("%s: %u %u", r->name, e.c.nread, e.c.nwrite);
		/* Broken once, then silent; nothing is published. */
		assert_int_equal(virtq_pop(&e.q, &e.c), 0);
		if (n == -EPROTO) {
			assert_true(e.q.broken);
			virtq_push(&e.q, 0, 0);
			assert_int_equal(e.drv.used->idx, 0);
			assert_false(virtq_want_interrupt(&e.q));
			assert_false(virtq_enable_kick(&e.q));
		}
		close_env(&e);
	}
}

/* Buffers may add up to more than 2^32 - 1: "len" could not say how much. */
static void
test_total_length(void **state)
{
	struct gmem g;
	struct env e;

	open_env(&e, QS, false);
	close_env(&e);
	assert_int_equal(gmem_create(&g, 3ULL << 30), 0);
	vdrv_init(&e.drv, &g, 0, QS, false);
	assert_int_equal(virtq_init(&e.q, &g, QS, e.drv.desc_gpa,
			     e.drv.avail_gpa, e.drv.used_gpa, false),
	    0);
	e.drv.desc[0] = (struct vring_desc){ 0, 0x80000000, W | N, 1 };
	e.drv.desc[1] = (struct vring_desc){ 0, 0x7fffffff, W, 0 };
	e.drv.avail->idx = 1;
	assert_int_equal(virtq_pop(&e.q, &e.c), 1);
	assert_int_equal(e.c.write_len, UINT32_MAX);
	e.drv.desc[1].len++;
	e.drv.avail->idx = 2;
	assert_int_equal(virtq_pop(&e.q, &e.c), -EPROTO);
	gmem_destroy(&g);
}

static void
test_iov_max(void **state)
{
	const struct vbuf b[3] = { { DATA, 1, false }, { DATA, 1, false },
		{ DATA, 1, true } };
	struct env e;

	open_env(&e, QS, false);
	vdrv_add(&e.drv, b, 3, 0);
	vdrv_add(&e.drv, b, 3, 0);
	vdrv_publish(&e.drv);
	e.c.iov_max = 3;
	assert_int_equal(virtq_pop(&e.q, &e.c), 1);
	e.c.iov_max = 2;
	assert_int_equal(virtq_pop(&e.q, &e.c), -EPROTO);
	close_env(&e);
}

/* The driver may offer at most size chains that were not taken. */
static void
test_avail_idx(void **state)
{
	static const struct {
		uint16_t idx;
		int result;
	} rows[] = { { 0, 0 }, { 1, 1 }, { QS, 1 }, { QS + 1, -EPROTO },
		{ 0x8000, -EPROTO }, { 0xffff, -EPROTO } };
	struct env e;
	unsigned i, n;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		open_env(&e, QS, false);
		e.drv.desc[0] = (struct vring_desc){ DATA, 1, 0, 0 };
		e.drv.avail->idx = rows[i].idx;
		assert_int_equal(virtq_pop(&e.q, &e.c), rows[i].result);
		/* Never more than were offered, whatever the index says. */
		for (n = 1; n < 100 && virtq_pop(&e.q, &e.c) == 1; n++)
			;
		assert_true(n <= QS);
		/* Going back is a jump by nearly 2^16. */
		if (rows[i].result == 1 && rows[i].idx == QS) {
			e.drv.avail->idx = QS - 1;
			assert_int_equal(virtq_pop(&e.q, &e.c), -EPROTO);
		}
		close_env(&e);
	}
}

/* 200,000 chains: all indices wrap, each chain comes back once, in order. */
static void
test_wrap(void **state)
{
	struct vbuf b[2] = { { DATA, 4, false }, { DATA + 64, 4, true } };
	unsigned i, k, batch;
	struct env e;
	uint32_t id, len;
	int heads[QS];

	open_env(&e, QS, true);
	for (i = 0; i < 200000; i += batch) {
		batch = 1 + i % (QS / 2);
		for (k = 0; k < batch; k++) {
			b[0].len = 1 + (i + k) % 99;
			heads[k] = vdrv_add(&e.drv, b, 2, 0);
			assert_true(heads[k] >= 0);
		}
		vdrv_publish(&e.drv);
		for (k = 0; k < batch; k++) {
			assert_int_equal(virtq_pop(&e.q, &e.c), 1);
			assert_int_equal(e.c.head, heads[k]);
			assert_int_equal(e.c.read_len, 1 + (i + k) % 99);
			virtq_push(&e.q, e.c.head, (uint32_t)(i + k));
		}
		assert_int_equal(virtq_pop(&e.q, &e.c), 0);
		for (k = 0; k < batch; k++) {
			assert_true(vdrv_take(&e.drv, &id, &len));
			assert_int_equal(id, heads[k]);
			assert_int_equal(len, i + k);
		}
		assert_false(vdrv_take(&e.drv, &id, &len));
	}
	close_env(&e);
}

/* "Used Buffer Notification Suppression", with flags and with indices. */
static void
test_interrupts(void **state)
{
	static const struct {
		uint16_t start, event;
		unsigned pushed;
		bool want;
	} rows[] = {
		{ 0, 0, 1, true },
		{ 0, 1, 1, false },
		{ 0, 1, 2, true },
		{ 0, 0xffff, 4, false },
		{ 10, 9, 3, false },
		{ 10, 10, 3, true },
		{ 10, 12, 3, true },
		{ 10, 13, 3, false },
		{ 0xfffe, 0xffff, 1, false },
		{ 0xfffe, 0xffff, 2, true },
		{ 0xffff, 0, 1, false },
		{ 0xffff, 0, 2, true },
		{ 0xfffe, 1, 4, true },
		{ 0xfffe, 2, 4, false },
	};
	struct env e;
	unsigned i, k;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		open_env(&e, QS, true);
		e.q.used_idx = e.q.signalled_used = rows[i].start;
		*vdrv_used_event(&e.drv) = rows[i].event;
		assert_false(virtq_want_interrupt(&e.q));
		assert_int_equal(virtq_unsignalled(&e.q), 0);
		for (k = 0; k < rows[i].pushed; k++)
			virtq_push(&e.q, 0, 0);
		/* It may be asked often. */
		for (k = 0; k < 2; k++)
			assert_int_equal(virtq_unsignalled(&e.q),
			    rows[i].want ? rows[i].pushed : 0);
		if (virtq_want_interrupt(&e.q) != rows[i].want)
			fail_msg("row %u", i);
		assert_false(virtq_want_interrupt(&e.q));
		close_env(&e);
	}
	open_env(&e, QS, false);
	assert_false(virtq_want_interrupt(&e.q));
	virtq_push(&e.q, 0, 0);
	assert_int_equal(virtq_unsignalled(&e.q), 1);
	assert_true(virtq_want_interrupt(&e.q));
	assert_int_equal(virtq_unsignalled(&e.q), 0);
	e.drv.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	virtq_push(&e.q, 0, 0);
	assert_false(virtq_want_interrupt(&e.q));
	close_env(&e);
}

static void
test_kicks(void **state)
{
	const struct vbuf b = { DATA, 1, false };
	struct env e;
	int event;

	for (event = 0; event < 2; event++) {
		open_env(&e, QS, event == 1);
		assert_false(virtq_enable_kick(&e.q));
		vdrv_add(&e.drv, &b, 1, 0);
		assert_true(vdrv_publish(&e.drv));
		virtq_disable_kick(&e.q);
		vdrv_add(&e.drv, &b, 1, 0);
		assert_false(vdrv_publish(&e.drv));
		/* Two are waiting: no sleep. */
		assert_true(virtq_enable_kick(&e.q));
		virtq_disable_kick(&e.q);
		assert_int_equal(virtq_pop(&e.q, &e.c), 1);
		assert_int_equal(virtq_pop(&e.q, &e.c), 1);
		vdrv_add(&e.drv, &b, 1, 0);
		assert_false(vdrv_publish(&e.drv));
		assert_int_equal(virtq_pop(&e.q, &e.c), 1);
		assert_false(virtq_enable_kick(&e.q));
		vdrv_add(&e.drv, &b, 1, 0);
		assert_true(vdrv_publish(&e.drv));
		close_env(&e);
	}
}

/* All of it random: nothing may crash, nothing outside of memory come out. */
static uint32_t
rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return (uint32_t)(*s >> 32);
}

static void
check_chain(const struct env *e)
{
	const uint8_t *lo = e->mem.region[0].host, *p;
	uint64_t total = 0;
	unsigned i;

	assert_true(e->c.nread + e->c.nwrite <= e->c.iov_max);
	for (i = 0; i < e->c.nread + e->c.nwrite; i++) {
		p = e->iov[i].iov_base;
		assert_true(p >= lo && p < lo + MEM);
		assert_true(e->iov[i].iov_len != 0 &&
		    e->iov[i].iov_len <= (size_t)(lo + MEM - p));
		total += e->iov[i].iov_len;
	}
	assert_int_equal(total, e->c.read_len + e->c.write_len);
}

/* Values near the edges are likelier than others. */
static struct vring_desc
random_desc(uint64_t *s)
{
	static const uint64_t addr[] = { DATA, TAB, MEM - 16, 0, MEM,
		UINT64_MAX - 15 };
	static const uint32_t len[] = { 0, 1, 16, 32, 128, 0xfffffff0 };
	struct vring_desc d;

	d.addr = addr[rnd(s) % 6 % (1 + rnd(s) % 6)] + rnd(s) % 2 * 16;
	d.len = len[rnd(s) % 6 % (1 + rnd(s) % 6)];
	d.flags = (uint16_t)(rnd(s) % 8 & rnd(s));
	d.next = (uint16_t)(rnd(s) % (QS + 1));
	return d;
}

static void
scribble(struct env *e, uint64_t *s)
{
	struct vring_desc *t =
	    gmem_range(&e->mem, (struct gpa){ TAB }, 16 * QS);
	unsigned i = rnd(s) % QS;

	e->drv.desc[i] = random_desc(s);
	t[rnd(s) % QS] = random_desc(s);
	e->drv.avail->ring[rnd(s) % QS] =
	    (uint16_t)(rnd(s) % 50 == 0 ? rnd(s) : rnd(s) % QS);
}

static void
test_random(void **state)
{
	uint64_t s = 0x9e3779b97f4a7c15ull;
	unsigned i, k, good = 0, bad = 0;
	struct env e;
	int n;

	open_env(&e, QS, false);
	for (i = 0; i < 100000; i++) {
		for (k = 0; k < 4; k++)
			scribble(&e, &s);
		e.drv.avail->idx = (uint16_t)(e.q.last_avail + rnd(&s) % QS);
		while ((n = virtq_pop(&e.q, &e.c)) == 1) {
			check_chain(&e);
			good++;
		}
		if (n < 0) {
			bad++;
			e.q.broken = false;
			e.q.last_avail = e.drv.avail->idx;
		}
	}
	assert_true(good > 1000 && bad > 1000);
	close_env(&e);
}

struct racer {
	struct env *e;
	bool stop;
};

/* Another vCPU: descriptors change between any two reads. */
static void *
racer_run(void *arg)
{
	struct racer *r = arg;
	uint64_t s = 42;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		scribble(r->e, &s);
		__atomic_store_n(
		    &r->e->drv.avail->idx, (uint16_t)rnd(&s), __ATOMIC_RELAXED);
	}
	return NULL;
}

static void
test_toctou(void **state)
{
	unsigned i, good = 0;
	struct racer r = { 0 };
	struct env e;
	pthread_t t;
	uint16_t idx;
	int n;

	open_env(&e, QS, false);
	r.e = &e;
	assert_int_equal(pthread_create(&t, NULL, racer_run, &r), 0);
	/* On a loaded machine the other thread may be late. */
	for (i = 0; i < 300000 || (good == 0 && i < 300000000); i++) {
		/* Stay near whatever the index is now. */
		idx = __atomic_load_n(&e.drv.avail->idx, __ATOMIC_RELAXED);
		e.q.broken = false;
		e.q.last_avail = (uint16_t)(idx - 1);
		n = virtq_pop(&e.q, &e.c);
		if (n == 1) {
			check_chain(&e);
			good++;
		}
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	assert_true(good > 0);
	close_env(&e);
}

/* Whatever we write into a ring marks it. */
static void
test_written(void **state)
{
	struct env e;
	struct iovec *v;
	unsigned page, i;

	for (i = 0; i < 2; i++) {
		open_env(&e, 16, i == 1);
		page = (unsigned)(e.drv.used_gpa.v / 4096);
#define MARKED() (gmem_take(&e.mem, page / 64) >> page % 64 & 1)
		(void)MARKED();
		virtq_push(&e.q, 0, 0);
		assert_int_equal(MARKED(), 1);
		assert_int_equal(MARKED(), 0);
		virtq_stage(&e.q, 1, 0);
		virtq_publish(&e.q);
		assert_int_equal(MARKED(), 1);
		virtq_enable_kick(&e.q);
		assert_int_equal(MARKED(), 1);
		virtq_disable_kick(&e.q);
		assert_int_equal(MARKED(), i == 0);
		/* Buffers: as far as they were written. */
		v = e.iov;
		v[0] = (struct iovec){ e.mem.region[0].host + 4096, 4096 };
		v[1] = (struct iovec){ e.mem.region[0].host + 32768, 4096 };
		virtq_wrote(&e.q, v, 2, 4096);
		assert_int_equal(gmem_take(&e.mem, 0), 2);
		virtq_wrote(&e.q, v, 2, 4097);
		assert_int_equal(gmem_take(&e.mem, 0), 2 | 1 << 8);
		virtq_wrote(&e.q, v, 2, UINT64_MAX);
		assert_int_equal(gmem_take(&e.mem, 0), 2 | 1 << 8);
		virtq_wrote(&e.q, v, 2, 0);
		assert_int_equal(gmem_take(&e.mem, 0), 0);
#undef MARKED
		close_env(&e);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_total_length),
		cmocka_unit_test(test_iov_max),
		cmocka_unit_test(test_avail_idx),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_kicks),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_toctou),
		cmocka_unit_test(test_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
