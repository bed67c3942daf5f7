/* SPDX-License-Identifier: ISC */

/* Against the Motorola MC146818A data sheet; dates against the C library. */
#include <string.h>
#include "fakeenv.h"
#include "mc146818.h"

#define T0 1764000000LL /* 2025-11-24 16:00:00 UTC, a Monday */

struct bed {
	struct fake f;
	struct mc146818 c;
	int64_t base; /* wall clock at now() 0 */
	uint32_t base_ns;
};

static int64_t
wall(void *arg, uint32_t *ns)
{
	struct bed *b = arg;
	uint64_t t = b->f.now + b->base_ns;

	*ns = (uint32_t)(t % SEC);
	return b->base + (int64_t)(t / SEC);
}

static void
bed_init_at(struct bed *b, int64_t base, uint32_t ns, uint64_t memory)
{
	memset(b, 0, sizeof(*b));
	b->base = base;
	b->base_ns = ns;
	mc146818_init(
	    &b->c, fake_line(&b->f), fake_env(&b->f), wall, b, memory, 4);
}

static void
bed_init(struct bed *b)
{
	bed_init_at(b, T0, 0, 64 << 20);
}

static uint8_t
get(struct bed *b, uint8_t reg)
{
	mc146818_write(&b->c, 0x70, reg);
	return mc146818_read(&b->c, 0x71);
}

static void
set(struct bed *b, uint8_t reg, uint8_t val)
{
	mc146818_write(&b->c, 0x70, reg);
	mc146818_write(&b->c, 0x71, val);
}

static void
to(struct bed *b, uint64_t now)
{
	b->f.now = now;
	mc146818_run(&b->c);
}

/* "Time, Calendar, and Alarm Data Modes" */
static const struct {
	uint8_t b; /* register B: DM and 24/12 */
	int64_t t;
	uint8_t sec, min, hour, dow, day, month, year, century;
} formats[] = {
	{ 0x02, T0, 0x00, 0x00, 0x16, 2, 0x24, 0x11, 0x25, 0x20 },
	{ 0x06, T0, 0, 0, 16, 2, 24, 11, 25, 20 },
	{ 0x00, T0, 0x00, 0x00, 0x84, 2, 0x24, 0x11, 0x25, 0x20 },
	{ 0x04, T0, 0, 0, 0x84, 2, 24, 11, 25, 20 },
	{ 0x00, T0 + 8 * 3600, 0, 0, 0x12, 3, 0x25, 0x11, 0x25, 0x20 },
	{ 0x00, T0 - 4 * 3600, 0, 0, 0x92, 2, 0x24, 0x11, 0x25, 0x20 },
	{ 0x04, T0 - 4 * 3600, 0, 0, 0x8c, 2, 24, 11, 25, 20 },
	{ 0x02, 951782399, 0x59, 0x59, 0x23, 2, 0x28, 0x02, 0x00, 0x20 },
	{ 0x02, 951782400, 0x00, 0x00, 0x00, 3, 0x29, 0x02, 0x00, 0x20 },
	{ 0x02, -1, 0x59, 0x59, 0x23, 4, 0x31, 0x12, 0x69, 0x19 },
	{ 0x02, 253402300800 + 5, 0x59, 0x59, 0x23, 6, 0x31, 0x12, 0x99, 0x99 },
	{ 0x02, INT64_MIN / 4, 0, 0, 0, 7, 1, 1, 0, 0 },
};

static void
test_formats(void **state)
{
	struct bed b;
	unsigned i;

	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		bed_init_at(&b, formats[i].t, 0, 64 << 20);
		set(&b, 0x0b, formats[i].b);
		assert_int_equal(get(&b, 0), formats[i].sec);
		assert_int_equal(get(&b, 2), formats[i].min);
		assert_int_equal(get(&b, 4), formats[i].hour);
		assert_int_equal(get(&b, 6), formats[i].dow);
		assert_int_equal(get(&b, 7), formats[i].day);
		assert_int_equal(get(&b, 8), formats[i].month);
		assert_int_equal(get(&b, 9), formats[i].year);
		assert_int_equal(get(&b, 0x32), formats[i].century);
	}
}

static int
from(uint8_t v, bool binary)
{
	return binary ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t
into(int v, bool binary)
{
	return (uint8_t)(binary ? v : v / 10 << 4 | v % 10);
}

/* The chip's own calendar against timegm() and gmtime_r(), both ways. */
static void
test_calendar(void **state)
{
	struct bed b;
	uint64_t seed = 146818;
	unsigned i;
	struct tm tm, back;
	time_t t;
	bool bin, h24;
	uint8_t h;

	for (i = 0; i < 40000; i++) {
		t = -62167219200LL +
		    (time_t)((uint64_t)dice(&seed) * 315569520000ULL >> 32);
		bin = dice(&seed) & 1;
		h24 = dice(&seed) & 1;
		bed_init_at(&b, T0, dice(&seed) % SEC, 64 << 20);
		gmtime_r(&t, &tm);
		set(&b, 0x0b, (uint8_t)(0x80 | bin << 2 | h24 << 1));
		set(&b, 0, into(tm.tm_sec, bin));
		set(&b, 2, into(tm.tm_min, bin));
		h = into(h24 ? tm.tm_hour : (tm.tm_hour + 11) % 12 + 1, bin);
		set(&b, 4, h24 || tm.tm_hour < 12 ? h : h | 0x80);
		set(&b, 6, into(tm.tm_wday + 1, bin));
		set(&b, 7, into(tm.tm_mday, bin));
		set(&b, 8, into(tm.tm_mon + 1, bin));
		set(&b, 9, into((tm.tm_year + 1900) % 100, bin));
		set(&b, 0x32, into((tm.tm_year + 1900) / 100, bin));
		set(&b, 0x0b, (uint8_t)(bin << 2 | h24 << 1));
		b.f.now = (uint64_t)(dice(&seed) % 100000000) * SEC;
		t += (time_t)(b.f.now / SEC);
		if (t > 253402300799LL)
			continue;
		gmtime_r(&t, &back);
		assert_int_equal(from(get(&b, 0), bin), back.tm_sec);
		assert_int_equal(from(get(&b, 2), bin), back.tm_min);
		h = get(&b, 4);
		if (h24)
			assert_int_equal(from(h, bin), back.tm_hour);
		else
			assert_int_equal(
			    from(h & 0x7f, bin) % 12 + (h & 0x80 ? 12 : 0),
			    back.tm_hour);
		assert_int_equal(from(get(&b, 6), bin), back.tm_wday + 1);
		assert_int_equal(from(get(&b, 7), bin), back.tm_mday);
		assert_int_equal(from(get(&b, 8), bin), back.tm_mon + 1);
		assert_int_equal(
		    from(get(&b, 0x32), bin) * 100 + from(get(&b, 9), bin),
		    back.tm_year + 1900);
	}
}

/* "SET ... any update cycle in progress is aborted": time stands, and the
 * host's clock is nobody's but the host's. */
static void
test_set_freezes(void **state)
{
	struct bed b;

	bed_init(&b);
	set(&b, 0x0b, 0x12);
	set(&b, 0x0b, 0x92);
	assert_int_equal(get(&b, 0x0b), 0x82); /* clears UIE */
	b.f.now = 5 * SEC;
	assert_int_equal(get(&b, 0), 0);
	b.f.now = 5 * SEC + 999900000;
	assert_int_equal(get(&b, 0x0a), 0x26); /* no UIP */
	assert_int_equal(get(&b, 0x0c) & 0x10, 0);
	set(&b, 4, 0x03);
	assert_int_equal(get(&b, 4), 0x03);
	set(&b, 0x0b, 0x02);
	assert_int_equal(get(&b, 0), 0);
	b.f.now = 6 * SEC; /* the phase of the second has not changed */
	assert_int_equal(get(&b, 0), 1);
	assert_int_equal(get(&b, 4), 0x03);
	assert_int_equal(b.c.offset, -13 * 3600 - 5);
}

/* A byte written to the running clock counts from the next update. */
static void
test_write_running(void **state)
{
	struct bed b;

	bed_init_at(&b, 1764460800, 0, 64 << 20); /* 2025-11-30 00:00:00 */
	set(&b, 7, 0x31); /* no such day in November ... */
	set(&b, 8, 0x12); /* ... but in December there is */
	assert_int_equal(get(&b, 7), 0x31);
	b.f.now = SEC;
	assert_int_equal(get(&b, 0), 1);
	assert_int_equal(get(&b, 7), 0x31);
	assert_int_equal(get(&b, 8), 0x12);
	set(&b, 8, 0x99);
	set(&b, 7, 0xff);
	set(&b, 4, 0x77);
	b.f.now = 2 * SEC;
	assert_int_equal(get(&b, 8), 0x12);
	assert_int_equal(get(&b, 7), 0x31);
	assert_int_equal(get(&b, 4), 0x23);
}

/* "UIP ... will not be for at least 244 us" */
static void
test_uip(void **state)
{
	struct bed b;

	bed_init(&b);
	b.f.now = SEC - 244001;
	assert_int_equal(get(&b, 0x0a), 0x26);
	b.f.now = SEC - 244000;
	assert_int_equal(get(&b, 0x0a), 0xa6);
	set(&b, 0x0a, 0xa6); /* read-only */
	b.f.now = SEC;
	assert_int_equal(get(&b, 0x0a), 0x26);
	assert_int_equal(get(&b, 0), 1);
}

/* "When the divider reset is removed, the first update cycle begins one-half
 * second later." */
static void
test_divider(void **state)
{
	struct bed b;

	bed_init(&b);
	b.f.now = 300000000;
	set(&b, 0x0a, 0x76);
	b.f.now = 9 * SEC;
	assert_int_equal(get(&b, 0), 0);
	set(&b, 0, 0x30);
	set(&b, 0x0a, 0x26);
	b.f.now += SEC / 2 - 1;
	assert_int_equal(get(&b, 0), 0x30);
	b.f.now += 1;
	assert_int_equal(get(&b, 0), 0x31);
	b.f.now += SEC;
	assert_int_equal(get(&b, 0), 0x32);
}

/* "Periodic Interrupt Rate and Square Wave Output Frequency", 32768 Hz. */
static void
test_periodic(void **state)
{
	static const unsigned rate[16] = { 0, 256, 128, 8192, 4096, 2048, 1024,
		512, 256, 128, 64, 32, 16, 8, 4, 2 };
	struct bed b;
	unsigned rs, n;

	for (rs = 0; rs < 16; rs++) {
		bed_init(&b);
		set(&b, 0x0a, (uint8_t)(0x20 | rs));
		set(&b, 0x0b, 0x42);
		for (n = 0; mc146818_deadline(&b.c) <= SEC; n++) {
			to(&b, mc146818_deadline(&b.c));
			assert_true(b.f.level);
			/* Nothing more until register C was read. */
			assert_int_equal(mc146818_deadline(&b.c), DEV_NEVER);
			assert_int_equal(get(&b, 0x0c) & 0xc0, 0xc0);
			assert_false(b.f.level);
			assert_int_equal(get(&b, 0x0c), 0);
		}
		assert_int_equal(n, rate[rs]);
	}
}

static void
test_update_interrupt(void **state)
{
	struct bed b;

	bed_init_at(&b, T0, 250000000, 64 << 20);
	set(&b, 0x0a, 0x20);
	set(&b, 0x0b, 0x12);
	assert_int_equal(mc146818_deadline(&b.c), 750000000);
	to(&b, 749999999);
	assert_false(b.f.level);
	to(&b, 750000000);
	assert_true(b.f.level);
	assert_int_equal(get(&b, 0), 1);
	to(&b, 5 * SEC); /* unread: one interrupt, no storm */
	assert_int_equal(b.f.rises, 1);
	assert_int_equal(get(&b, 0x0c), 0x90);
	assert_int_equal(mc146818_deadline(&b.c), 5750000000);
	/* The flag is set with the interrupt disabled too, and enabling it
	 * then interrupts: IRQF = PF.PIE + AF.AIE + UF.UIE. */
	set(&b, 0x0b, 0x02);
	assert_int_equal(mc146818_deadline(&b.c), DEV_NEVER);
	b.f.now = 7 * SEC;
	set(&b, 0x0b, 0x12);
	assert_true(b.f.level);
	set(&b, 0x0b, 0x02);
	assert_false(b.f.level);
}

/* "Alarm": seconds to the first one after T0 = 16:00:00; 0 for never. */
static const struct {
	uint8_t b, hour, min, sec;
	unsigned in;
} alarms[] = {
	{ 0x22, 0x16, 0x00, 0x01, 1 },
	{ 0x22, 0x16, 0x00, 0x00, 86400 },
	{ 0x22, 0x15, 0x59, 0x59, 86399 },
	{ 0x22, 0xff, 0xff, 0xff, 1 },
	{ 0x22, 0xc0, 0xc0, 0x10, 10 },
	{ 0x22, 0xc0, 0x05, 0x00, 300 },
	{ 0x22, 0xc0, 0x00, 0x00, 3600 },
	{ 0x22, 0x17, 0xff, 0x30, 3630 },
	{ 0x22, 0x17, 0x30, 0xff, 5400 },
	{ 0x22, 0x00, 0x00, 0x00, 8 * 3600 },
	{ 0x26, 17, 0, 0, 3600 },
	{ 0x20, 0x85, 0x00, 0x00, 3600 },
	{ 0x20, 0x92, 0x00, 0x00, 20 * 3600 },
	{ 0x20, 0x12, 0x00, 0x00, 8 * 3600 },
	{ 0x24, 0x85, 0, 0, 3600 },
	{ 0x22, 0x24, 0x00, 0x00, 0 },
	{ 0x22, 0x16, 0x60, 0x00, 0 },
	{ 0x22, 0x16, 0x00, 0x0a, 0 },
	{ 0x20, 0x00, 0x00, 0x00, 0 },
	{ 0x20, 0x13, 0x00, 0x00, 0 },
};

static void
test_alarm(void **state)
{
	struct bed b;
	unsigned i, guard;
	uint64_t at;

	for (i = 0; i < sizeof(alarms) / sizeof(alarms[0]); i++) {
		bed_init(&b);
		set(&b, 1, alarms[i].sec);
		set(&b, 3, alarms[i].min);
		set(&b, 5, alarms[i].hour);
		set(&b, 0x0b, alarms[i].b);
		for (guard = 0; !b.f.level && guard < 1500; guard++) {
			at = mc146818_deadline(&b.c);
			if (at == DEV_NEVER)
				break;
			assert_true(at > b.f.now);
			to(&b, at);
		}
		assert_int_equal(b.f.level, alarms[i].in != 0);
		assert_int_equal(b.f.now, alarms[i].in * SEC);
		if (alarms[i].in)
			assert_int_equal(get(&b, 0x0c) & 0xb0, 0xb0);
		assert_int_equal(get(&b, 1), alarms[i].sec);
	}
}

/* The host's clock is set while the guest waits for its alarm. */
static void
test_wall_steps(void **state)
{
	struct bed b;

	bed_init(&b);
	set(&b, 1, 0x00);
	set(&b, 3, 0x00);
	set(&b, 5, 0x18);
	set(&b, 0x0b, 0x22);
	b.base += 3 * 3600;
	to(&b, mc146818_deadline(&b.c));
	assert_in_range(b.f.now, 1, 60 * SEC);
	assert_true(b.f.level);
	assert_int_equal(get(&b, 4), 0x19);
	b.base -= 100000;
	get(&b, 0x0c);
	assert_int_equal(get(&b, 0x0c), 0);
	assert_int_equal(get(&b, 7), 0x23);
}

static void
test_readonly(void **state)
{
	struct bed b;

	bed_init(&b);
	assert_int_equal(get(&b, 0x0d), 0x80);
	set(&b, 0x0d, 0);
	assert_int_equal(get(&b, 0x0d), 0x80);
	b.f.now = SEC;
	set(&b, 0x0c, 0);
	assert_int_equal(get(&b, 0x0c) & 0x10, 0x10);
	assert_int_equal(mc146818_read(&b.c, 0x70), 0xff);
	set(&b, 0x8f, 0x5a); /* bit 7 is the NMI gate */
	assert_int_equal(get(&b, 0x0f), 0x5a);
	set(&b, 0x7f, 0xa5);
	assert_int_equal(get(&b, 0x7f), 0xa5);
}

/* CMOS memory sizes as PC firmware writes them. */
static const struct {
	uint64_t memory;
	unsigned k1, k16, k4g;
} sizes[] = {
	{ 512 << 10, 0, 0, 0 },
	{ 16ULL << 20, 15360, 0, 0 },
	{ 64ULL << 20, 64512, 768, 0 },
	{ 128ULL << 20, 65535, 1792, 0 },
	{ 3ULL << 30, 65535, 48896, 0 },
	{ 4ULL << 30, 65535, 48896, 16384 },
	{ 1ULL << 40, 65535, 48896, 0xff4000 },
	{ 1ULL << 50, 65535, 48896, 0xffffff },
};

static void
test_cmos(void **state)
{
	struct bed b;
	unsigned i, r, sum;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		bed_init_at(&b, T0, 0, sizes[i].memory);
		assert_int_equal(get(&b, 0x15) | get(&b, 0x16) << 8, 640);
		assert_int_equal(
		    get(&b, 0x17) | get(&b, 0x18) << 8, sizes[i].k1);
		assert_int_equal(
		    get(&b, 0x30) | get(&b, 0x31) << 8, sizes[i].k1);
		assert_int_equal(
		    get(&b, 0x34) | get(&b, 0x35) << 8, sizes[i].k16);
		assert_int_equal(
		    get(&b, 0x5b) | get(&b, 0x5c) << 8 | get(&b, 0x5d) << 16,
		    sizes[i].k4g);
		assert_int_equal(get(&b, 0x5f), 3);
		for (r = 0x10, sum = 0; r <= 0x2d; r++)
			sum += get(&b, (uint8_t)r);
		assert_int_equal(get(&b, 0x2e) << 8 | get(&b, 0x2f), sum);
	}
}

static void
test_spray(void **state)
{
	struct bed b;
	uint64_t seed = 818;
	unsigned i;
	uint32_t r;

	bed_init(&b);
	for (i = 0; i < 1500000; i++) {
		r = dice(&seed);
		if ((r & 7) == 0)
			b.f.now += dice_step(&seed) >> 4;
		if ((r & 0xff0) == 0)
			b.base += (int32_t)dice(&seed);
		if (r & 8)
			set(&b, r >> 12 & 15, (uint8_t)(r >> 16));
		else
			get(&b, (uint8_t)(r >> 12 & (r & 0x800 ? 15 : 0x7f)));
		if ((r & 0x3000000) == 0) {
			mc146818_run(&b.c);
			assert_true(mc146818_deadline(&b.c) > b.f.now);
		}
		assert_true(b.f.level == b.c.level);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_set_freezes),
		cmocka_unit_test(test_write_running),
		cmocka_unit_test(test_uip),
		cmocka_unit_test(test_divider),
		cmocka_unit_test(test_periodic),
		cmocka_unit_test(test_update_interrupt),
		cmocka_unit_test(test_alarm),
		cmocka_unit_test(test_wall_steps),
		cmocka_unit_test(test_readonly),
		cmocka_unit_test(test_cmos),
		cmocka_unit_test(test_spray),
	};

	return cmocka_run_group_tests_name("mc146818", tests, NULL, NULL);
}
