/* SPDX-License-Identifier: ISC */
/*
 * kvm-clock: scales against 128-bit arithmetic at extreme frequencies, the
 * version protocol as a reader sees it, and one time for all vCPUs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>

#include "pvclock.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NS	 1000000000ULL

typedef unsigned __int128 u128;

static const u64 frequencies[] = { 1, 999, 32768, 1000000, 499999999, 500000000,
	999999999, NS, 1000000001, 1999999999, 2000000000, 2000000001,
	2147483647, 2147483648, 2800000000, 4294967295, 4294967296, 5000000000,
	1000000000000, 1ULL << 62 };

/* How a guest reads a page (Linux "KVM-specific MSRs"). */
static u64
guest_reads(const struct pvclock_time *t, u64 tsc)
{
	u64 delta = tsc - t->tsc_timestamp;

	delta = t->shift < 0 ? delta >> -t->shift : delta << t->shift;
	return t->system_time + (u64)(((u128)delta * t->mul) >> 32);
}

static void
test_scale(void **state)
{
	struct pvclock_scale s = pvclock_scale(0);
	u64 hz, seconds, got;
	u128 want, err;
	size_t i;

	assert_int_equal(pvclock_ns(s, ~0ULL), 0);
	for (i = 0; i < COUNT(frequencies); i++) {
		hz = frequencies[i];
		s = pvclock_scale(hz);
		assert_true(s.mul >= 0x80000000); /* all 32 bits are used */
		for (seconds = 1; seconds < 100000000; seconds *= 10) {
			u128 tsc = (u128)hz * seconds;

			/* Where a guest's own arithmetic would wrap. */
			if (tsc >> 63 ||
			    (s.shift > 0 && (tsc << s.shift) >> 63))
				break;
			got = pvclock_ns(s, (u64)tsc);
			want = (u128)NS * seconds;
			err = got > want ? got - want : want - got;
			/* 2^-31 of the time, and the bits shifted out. */
			assert_true(err <= (want >> 31) + 2 && got <= want + 1);
		}
	}
}

static void
test_ns(void **state)
{
	struct pvclock_scale s;
	u64 tsc, got, before, d;
	unsigned bit;
	size_t i;

	for (i = 0; i < COUNT(frequencies); i++) {
		s = pvclock_scale(frequencies[i]);
		before = 0;
		for (bit = 0; bit < 62; bit++) {
			tsc = (1ULL << bit) + (bit * 0x9e3779b9ULL);
			if (s.shift > 0 && tsc >> (63 - s.shift))
				break;
			got = pvclock_ns(s, tsc);
			d = s.shift < 0 ? tsc >> -s.shift : tsc << s.shift;
			assert_true(got == (u64)(((u128)d * s.mul) >> 32));
			assert_true(got >= before || bit < 32);
			before = got;
		}
	}
}

/* vCPUs with other offsets and another frequency than the host's. */
static void
test_one_line(void **state)
{
	struct pvclock_line l = { .host_tsc = 5000000000,
		.system_time = 1234567,
		.host = pvclock_scale(2800000000) };
	static const u64 offsets[] = { 0, 17, (u64)-5000000000LL, 1ULL << 63 };
	struct pvclock_time t = { .version = 8 };
	u64 step, host, ns, last = 0;
	size_t i;

	for (step = 0; step < 1000; step++) {
		host = l.host_tsc + step * step * 7919;
		ns = pvclock_now(&l, host);
		assert_true(ns >= last);
		last = ns;
		for (i = 0; i < COUNT(offsets); i++) {
			pvclock_fill(&t, &l, l.host_tsc + offsets[i],
			    pvclock_scale(2800000000), PVCLOCK_TSC_STABLE);
			assert_true(guest_reads(&t, host + offsets[i]) == ns);
		}
	}
	assert_int_equal(t.version, 8);
	assert_int_equal(t.flags, PVCLOCK_TSC_STABLE);
	/* Half the frequency, by TSC scaling. */
	pvclock_fill(&t, &l, l.host_tsc / 2, pvclock_scale(1400000000), 0);
	host = l.host_tsc + 28000000000;
	assert_true(guest_reads(&t, host / 2) == pvclock_now(&l, host));
}

static void
test_never_back(void **state)
{
	struct pvclock_line l = { .host_tsc = 1000, .host = pvclock_scale(NS) };

	pvclock_set(&l, 1000, 500);
	assert_int_equal(pvclock_now(&l, 1000), 500);
	assert_int_equal(pvclock_now(&l, 990), 500);
	assert_int_equal(pvclock_now(&l, 1100), 600);
	/* The host says it is earlier: time stands. */
	pvclock_rebase(&l, 1100, 550);
	assert_int_equal(pvclock_now(&l, 1100), 600);
	/* Later, after a suspend: it jumps. */
	pvclock_rebase(&l, 1200, 5000);
	assert_int_equal(pvclock_now(&l, 1200), 5000);
	/* The TSC began again at 0. */
	pvclock_rebase(&l, 10, 5001);
	assert_int_equal(pvclock_now(&l, 11), 5002);
	/* User space may set any time. */
	pvclock_set(&l, 20, 1);
	assert_int_equal(pvclock_now(&l, 20), 1);
}

/* A guest's memory, and what a reader makes of it between any two writes. */
struct reader {
	u8 mem[32];
	unsigned writes, odd, even;
	int fail_at; /* this write, from 0, is refused */
	u64 old, new; /* the system time */
};

static int
guest_write(void *arg, unsigned off, const void *buf, unsigned len)
{
	struct reader *r = arg;
	struct pvclock_time t;

	if ((int)r->writes == r->fail_at)
		return -EFAULT;
	r->writes++;
	assert_true(off <= sizeof(r->mem) && len <= sizeof(r->mem) - off);
	memcpy(r->mem + off, buf, len);
	memcpy(&t, r->mem, sizeof(t));
	if (t.version & 1) {
		r->odd++;
		return 0;
	}
	r->even++;
	assert_true(t.system_time == r->new);
	return 0;
}

static void
test_version(void **state)
{
	struct pvclock_line l = { .host = pvclock_scale(NS) };
	struct reader r = { .fail_at = -1 };
	struct pvclock_time t = { .version = 0 };
	u32 before;
	unsigned i;

	for (i = 1; i < 10; i++) {
		before = t.version;
		r.new = l.system_time = i * 1000;
		pvclock_fill(&t, &l, i, l.host, 0);
		assert_int_equal(pvclock_publish(&t, guest_write, &r), 0);
		assert_int_equal(t.version & 1, 0);
		assert_true(t.version > before);
		assert_int_equal(r.odd, 2 * i);
		assert_int_equal(r.even, i);
		assert_memory_equal(r.mem, &t, sizeof(t));
	}
	/* Cut short, it is odd in memory until the next one. */
	r.fail_at = (int)r.writes + 1;
	assert_int_equal(pvclock_publish(&t, guest_write, &r), -EFAULT);
	assert_int_equal(r.mem[0] & 1, 1);
	r.fail_at = -1;
	assert_int_equal(pvclock_publish(&t, guest_write, &r), 0);
	assert_int_equal(r.mem[0] & 1, 0);
	/* What a guest, or a restored one, had left odd. */
	t.version = 7;
	i = r.odd;
	assert_int_equal(pvclock_publish(&t, guest_write, &r), 0);
	assert_int_equal(r.odd, i + 2);
	assert_int_equal(t.version, 10);
	/* Around the end of the counter. */
	t.version = 0xfffffffe;
	assert_int_equal(pvclock_publish(&t, guest_write, &r), 0);
	assert_int_equal(t.version, 0);
}

static int
plain_write(void *arg, unsigned off, const void *buf, unsigned len)
{
	memcpy((u8 *)arg + off, buf, len);
	return 0;
}

static void
test_wall(void **state)
{
	struct pvclock_wall w = { .version = 4 }, guest;

	/* 2026-01-01 plus half a second, the guest up for 10.75 s. */
	pvclock_fill_wall(&w, 1767225600ULL * NS + 500000000, 10750000000);
	assert_int_equal(w.sec, 1767225589);
	assert_int_equal(w.nsec, 750000000);
	assert_int_equal(pvclock_publish_wall(&w, plain_write, &guest), 0);
	assert_int_equal(guest.version, 6);
	assert_int_equal(guest.sec, 1767225589);
	/* Beyond 2038. */
	pvclock_fill_wall(&w, 4102444800ULL * NS, 0);
	assert_true(w.sec == 4102444800U);
}

struct sync_row {
	const char *name;
	u64 val, host;
	u64 offset;
	bool matched;
};

#define HZ 1000000000ULL

/* In this order. */
static const struct sync_row sync_rows[] = {
	{ "first vCPU", 0, 100, (u64)-100, false },
	{ "second, at its reset", 0, 5000, (u64)-100, true },
	{ "third, seconds later", 0, 3 * HZ, (u64)-100, true },
	{ "another time", 50 * HZ, 4 * HZ, 46 * HZ, false },
	{ "the same a little later", 50 * HZ + 7, 4 * HZ + 1000, 46 * HZ,
	    true },
	{ "as much as it advanced", 60 * HZ, 14 * HZ, 46 * HZ, true },
	{ "a second off", 62 * HZ, 15 * HZ, 47 * HZ, false },
};

static void
test_sync(void **state)
{
	struct pvclock_sync s = { .any = false };
	const struct sync_row *r;
	bool matched;
	size_t i;

	for (i = 0; i < COUNT(sync_rows); i++) {
		r = &sync_rows[i];
		if (pvclock_sync(&s, r->val, r->host, HZ, &matched) !=
			r->offset ||
		    matched != r->matched)
			fail_msg("%s", r->name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scale),
		cmocka_unit_test(test_ns),
		cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_never_back),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_wall),
		cmocka_unit_test(test_sync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
