/* SPDX-License-Identifier: ISC */
/*
 * Virtqueues: no notification is lost between a driver and a device that fall
 * asleep on two CPUs at once.  Each publishes its index and then reads what
 * the other asked for; where one of the two is done before the other is seen,
 * both sleep for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "../vdriver.h"
#include "virtq.h"

#define MEM	(1ULL << 20)
#define BUFFER	0x80000
#define RUN_NS	1500000000LL
#define LOST_NS 5000000000LL

struct pair {
	struct gmem mem;
	struct virtq q;
	struct vdrv d;
	unsigned kicks, calls; /* atomic */
	bool end; /* atomic */
	bool lost; /* atomic */
	unsigned long rounds, slept[2];
};

static long long
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* So that the two meet at every distance. */
static void
stagger(unsigned *seed)
{
	unsigned n;

	*seed = *seed * 1103515245u + 12345u;
	for (n = *seed >> 16 & 127; n > 0; n--)
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void
notify(unsigned *count)
{
	__atomic_add_fetch(count, 1, __ATOMIC_RELEASE);
}

/* Sleep until there are more than seen; false: for too long. */
static bool
await(const struct pair *p, const unsigned *count, unsigned *seen)
{
	long long until = 0;
	unsigned n, i;

	for (i = 1;; i++) {
		n = __atomic_load_n(count, __ATOMIC_ACQUIRE);
		if (n != *seen || __atomic_load_n(&p->end, __ATOMIC_ACQUIRE))
			break;
		if (i % 4096 != 0)
			continue;
		/* There may be no other CPU at the moment. */
		sched_yield();
		if (until == 0)
			until = now() + LOST_NS;
		else if (now() > until)
			return false;
	}
	*seen = n;
	return true;
}

static void *
device(void *arg)
{
	struct pair *p = arg;
	struct iovec iov[1];
	struct virtq_chain c = { .iov = iov, .iov_max = 1 };
	unsigned seen = 0, seed = 7;

	virtq_disable_kick(&p->q);
	while (!__atomic_load_n(&p->end, __ATOMIC_ACQUIRE)) {
		if (virtq_pop(&p->q, &c) == 1) {
			stagger(&seed);
			virtq_push(&p->q, c.head, 0);
			if (virtq_want_interrupt(&p->q))
				notify(&p->calls);
			continue;
		}
		stagger(&seed);
		if (!virtq_enable_kick(&p->q)) {
			p->slept[0]++;
			if (!await(p, &p->kicks, &seen)) {
				__atomic_store_n(
				    &p->lost, true, __ATOMIC_RELAXED);
				break;
			}
		}
		virtq_disable_kick(&p->q);
	}
	return NULL;
}

/* One frame after the other, with a sleep until it is used. */
static void
driver(struct pair *p)
{
	const struct vbuf b = { BUFFER, 64, false };
	long long until = now() + RUN_NS;
	unsigned seen = 0, seed = 3;
	uint32_t id, len;

	for (; p->rounds % 1024 != 0 || now() < until; p->rounds++) {
		assert_true(vdrv_add(&p->d, &b, 1, 0) >= 0);
		stagger(&seed);
		if (vdrv_publish(&p->d))
			notify(&p->kicks);
		stagger(&seed);
		while (!vdrv_take(&p->d, &id, &len)) {
			if (vdrv_want_used(&p->d))
				continue;
			p->slept[1]++;
			if (!await(p, &p->calls, &seen)) {
				__atomic_store_n(
				    &p->lost, true, __ATOMIC_RELAXED);
				return;
			}
		}
	}
}

static void
exchange(bool event_idx)
{
	struct pair p = { 0 };
	pthread_t t;

	assert_int_equal(gmem_create(&p.mem, MEM), 0);
	vdrv_init(&p.d, &p.mem, 0, 16, event_idx);
	assert_int_equal(virtq_init(&p.q, &p.mem, 16, p.d.desc_gpa,
			     p.d.avail_gpa, p.d.used_gpa, event_idx),
	    0);
	assert_int_equal(pthread_create(&t, NULL, device, &p), 0);
	driver(&p);
	__atomic_store_n(&p.end, true, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	gmem_destroy(&p.mem);
	if (p.lost)
		fail_msg("%s is lost in round %lu",
		    p.q.used_idx != p.d.last_used ? "an interrupt" : "a kick",
		    p.rounds);
	/* Or nothing was tried. */
	assert_true(p.rounds > 0 && p.slept[0] > 0 && p.slept[1] > 0);
}

static void
test_event_idx(void **state)
{
	exchange(true);
}

static void
test_flags(void **state)
{
	exchange(false);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_event_idx),
		cmocka_unit_test(test_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
