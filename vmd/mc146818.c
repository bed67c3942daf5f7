/* SPDX-License-Identifier: ISC */

/*
 * MC146818A real-time clock and the PC's CMOS.
 * After: Motorola MC146818A data sheet, sections "Time, Calendar, and Alarm
 * Locations", "Interrupts", "Divider Stages", "Update Cycle" and "Registers".
 * As in the PC's chip sets DSE does nothing and only a divider setting of 010
 * runs the clock; the century is in the PC's place (CMOS 0x32, named by the
 * FADT).
 *
 * Invariants
 *  1. The guest's clock is the host's plus an offset: nothing ticks.  Flags
 *     are brought up to date by whoever looks, at a bounded cost, and a timer
 *     is asked for only while an enabled interrupt is to come.
 *  2. While the clock stands (SET, divider in reset) the time registers are
 *     plain bytes.  They are taken as the time when it starts again; a byte
 *     written to a running clock is taken at the next update.
 *  3. IRQF and the line are (PF & PIE) | (AF & AIE) | (UF & UIE); only a read
 *     of register C takes a flag away.
 */
#include <string.h>
#include "gmem.h"
#include "mc146818.h"

#define NS   1000000000ULL
#define DAY  86400
#define XTAL 32768

#define R_SEC	  0x00
#define R_SEC_AL  0x01
#define R_MIN	  0x02
#define R_MIN_AL  0x03
#define R_HOUR	  0x04
#define R_HOUR_AL 0x05
#define R_DOW	  0x06
#define R_DAY	  0x07
#define R_MONTH	  0x08
#define R_YEAR	  0x09
#define R_A	  0x0a
#define R_B	  0x0b
#define R_C	  0x0c
#define R_D	  0x0d
#define R_CENTURY 0x32

#define A_UIP	 0x80
#define A_DV	 0x70
#define A_DV_RUN 0x20
#define A_RS	 0x0f
#define B_SET	 0x80
#define B_UIE	 0x10
#define B_BINARY 0x04
#define B_24	 0x02
#define C_IRQF	 0x80
#define C_PF	 0x40
#define C_AF	 0x20
#define C_UF	 0x10
#define C_FLAGS	 (C_PF | C_AF | C_UF)
#define D_VRT	 0x80

#define HOUR_PM 0x80
#define ANY	0xc0 /* alarm bytes from here on match everything */
#define UIP_NS	244000 /* UIP is seen this long before an update */
/* The wall clock may be set: an alarm is looked at this often. */
#define ALARM_NS (60 * NS)

#define YEAR0	 (-62167219200LL) /* 0000-01-01 00:00:00 */
#define YEAR_END 253402300799LL /* 9999-12-31 23:59:59 */

struct date {
	int year, month, day; /* month and day from 1 */
};

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar, with
 * years counted from March so that the leap day is the last one. */
static int64_t
days_of(struct date d)
{
	int64_t y = d.month > 2 ? d.year : d.year - 1;
	int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
	int64_t doy = (153 * ((d.month + 9) % 12) + 2) / 5 + d.day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static struct date
date_of(int64_t days)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	struct date d;

	d.day = (int)(doy - (153 * mp + 2) / 5 + 1);
	d.month = (int)(mp < 10 ? mp + 3 : mp - 9);
	d.year = (int)(yoe + era * 400 + (d.month <= 2));
	return d;
}

static int
month_days(int year, int month)
{
	struct date first = { year, month, 1 }, next = { year, month + 1, 1 };

	if (month == 12)
		return 31;
	return (int)(days_of(next) - days_of(first));
}

static int
clamp(int v, int lo, int hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

static uint8_t
encode(const struct mc146818 *c, int v)
{
	if (c->ram[R_B] & B_BINARY)
		return (uint8_t)v;
	return (uint8_t)(v / 10 << 4 | v % 10);
}

/* Digits above 9 count as what they are; strict: -1 for them. */
static int
decode(const struct mc146818 *c, uint8_t v, bool strict)
{
	if (c->ram[R_B] & B_BINARY)
		return v;
	if (strict && ((v & 0x0f) > 9 || v >> 4 > 9))
		return -1;
	return (v >> 4) * 10 + (v & 0x0f);
}

static uint8_t
encode_hour(const struct mc146818 *c, int h)
{
	if (c->ram[R_B] & B_24)
		return encode(c, h);
	return (uint8_t)(encode(c, h % 12 == 0 ? 12 : h % 12) |
	    (h >= 12 ? HOUR_PM : 0));
}

static int
decode_hour(const struct mc146818 *c, uint8_t v, bool strict)
{
	int h;

	if (c->ram[R_B] & B_24)
		return decode(c, v, strict);
	h = decode(c, v & 0x7f, strict);
	if (strict && (h < 1 || h > 12))
		return -1;
	return clamp(h, 1, 12) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* The registers that show second t. */
static void
time_encode(const struct mc146818 *c, int64_t t, uint8_t *r)
{
	int64_t days;
	int sod;
	struct date d;

	if (t < YEAR0)
		t = YEAR0;
	if (t > YEAR_END)
		t = YEAR_END;
	days = (t - YEAR0) / DAY + YEAR0 / DAY;
	sod = (int)(t - days * DAY);
	d = date_of(days);
	r[R_SEC] = encode(c, sod % 60);
	r[R_MIN] = encode(c, sod / 60 % 60);
	r[R_HOUR] = encode_hour(c, sod / 3600);
	/* 1970-01-01 was a Thursday; Sunday is 1. */
	r[R_DOW] = encode(
	    c, (int)((days + 7 * 146097 + 4) % 7 + c->dow_shift) % 7 + 1);
	r[R_DAY] = encode(c, d.day);
	r[R_MONTH] = encode(c, d.month);
	r[R_YEAR] = encode(c, d.year % 100);
	r[R_CENTURY] = encode(c, d.year / 100);
}

/* The second that the registers show; what is out of range is clamped. */
static int64_t
time_decode(struct mc146818 *c)
{
	const uint8_t *r = c->ram;
	struct date d;
	int64_t days;
	int dow;

	d.year = clamp(decode(c, r[R_CENTURY], false), 0, 99) * 100 +
	    clamp(decode(c, r[R_YEAR], false), 0, 99);
	d.month = clamp(decode(c, r[R_MONTH], false), 1, 12);
	d.day =
	    clamp(decode(c, r[R_DAY], false), 1, month_days(d.year, d.month));
	days = days_of(d);
	/* The day of the week is a counter of its own. */
	dow = clamp(decode(c, r[R_DOW], false), 1, 7) - 1;
	c->dow_shift =
	    (uint8_t)((dow + 7 - (int)((days + 7 * 146097 + 4) % 7)) % 7);
	return days * DAY +
	    clamp(decode_hour(c, r[R_HOUR], false), 0, 23) * 3600 +
	    clamp(decode(c, r[R_MIN], false), 0, 59) * 60 +
	    clamp(decode(c, r[R_SEC], false), 0, 59);
}

static int64_t
guest_now(const struct mc146818 *c, uint32_t *ns)
{
	uint32_t frac;
	int64_t sec = c->wall(c->wall_arg, &frac) + c->offset;
	uint64_t sum = (uint64_t)frac + c->offset_ns;

	*ns = (uint32_t)(sum % NS);
	return sec + (int64_t)(sum / NS);
}

static bool
divider_runs(const struct mc146818 *c)
{
	return (c->ram[R_A] & A_DV) == A_DV_RUN;
}

static bool
stands(const struct mc146818 *c)
{
	return (c->ram[R_B] & B_SET) || !divider_runs(c);
}

/* Period of the selected tap in 32768 Hz cycles, 0 for none. */
static uint64_t
period(const struct mc146818 *c)
{
	unsigned rs = c->ram[R_A] & A_RS;

	if (rs == 0)
		return 0;
	/* "Periodic Interrupt Rate": the first two are slow ones. */
	return 1ULL << (rs < 3 ? rs + 6 : rs - 1);
}

static uint64_t
cycles_now(const struct mc146818 *c)
{
	uint64_t ns = c->env.now(c->env.arg);

	ns = ns > c->divider ? ns - c->divider : 0;
	return ns / NS * XTAL + ns % NS * XTAL / NS;
}

/* Seconds from second t to the next alarm, 1..86400; 0 when none comes. */
static unsigned
alarm_in(const struct mc146818 *c, int64_t t)
{
	const uint8_t *r = c->ram;
	int as = r[R_SEC_AL] >= ANY ? 0 : decode(c, r[R_SEC_AL], true);
	int am = r[R_MIN_AL] >= ANY ? 0 : decode(c, r[R_MIN_AL], true);
	int ah = r[R_HOUR_AL] >= ANY ? 0 : decode_hour(c, r[R_HOUR_AL], true);
	unsigned sod = (unsigned)((t % DAY + DAY) % DAY), s, end = sod + DAY;

	if (as < 0 || as > 59 || am < 0 || am > 59 || ah < 0 || ah > 23)
		return 0;
	/* 25 steps of an hour, 60 of a minute, 60 of a second at most. */
	for (s = sod + 1; s <= end;) {
		if (r[R_HOUR_AL] < ANY && (int)(s / 3600 % 24) != ah)
			s = (s / 3600 + 1) * 3600;
		else if (r[R_MIN_AL] < ANY && (int)(s / 60 % 60) != am)
			s = (s / 60 + 1) * 60;
		else if (r[R_SEC_AL] < ANY && (int)(s % 60) != as)
			s++;
		else
			return s - sod;
	}
	return 0;
}

/* Make guest time t at this instant, keeping the phase of the second. */
static void
set_time(struct mc146818 *c, int64_t t)
{
	uint32_t ns;

	c->offset += t - guest_now(c, &ns);
	c->second = t;
}

/* An update cycle or several: from c->second to t. */
static void
update(struct mc146818 *c, int64_t t)
{
	int64_t delta = t - c->second, old;
	unsigned in;

	if (delta <= 0) {
		c->second = t; /* the host's clock was set back */
		return;
	}
	if (c->dirty) {
		old = time_decode(c);
		c->offset += old - c->second;
		c->second = old;
		c->dirty = false;
	}
	c->ram[R_C] |= C_UF;
	in = alarm_in(c, c->second);
	if (in != 0 && in <= delta)
		c->ram[R_C] |= C_AF;
	c->second += delta;
}

static void
catch_up(struct mc146818 *c)
{
	uint64_t cycle, p = period(c);
	uint32_t ns;

	if (divider_runs(c)) {
		cycle = cycles_now(c);
		if (p != 0 && cycle / p > c->cycle / p)
			c->ram[R_C] |= C_PF;
		c->cycle = cycle;
	}
	if (!stands(c))
		update(c, guest_now(c, &ns));
}

/* When does an enabled interrupt come next? */
static uint64_t
next_due(const struct mc146818 *c)
{
	uint64_t now = c->env.now(c->env.arg), at = DEV_NEVER, p, t;
	uint8_t want = c->ram[R_B] & C_FLAGS;
	unsigned in;
	uint32_t ns;

	if (c->ram[R_C] & C_IRQF)
		return DEV_NEVER; /* nothing new before register C is read */
	p = period(c);
	if ((want & C_PF) && p != 0 && divider_runs(c)) {
		t = (c->cycle / p + 1) * p;
		at = c->divider + t / XTAL * NS +
		    (t % XTAL * NS + XTAL - 1) / XTAL;
	}
	if (stands(c) || !(want & (C_UF | C_AF)))
		return at;
	guest_now(c, &ns);
	t = now + NS - ns; /* the next update */
	if (!(want & C_UF) && !c->dirty) {
		in = alarm_in(c, c->second);
		if (in == 0)
			return at;
		t += (in - 1) * NS;
		if (t > now + ALARM_NS)
			t = now + ALARM_NS;
	}
	return t < at ? t : at;
}

/* After any change of flags, enables or time. */
static void
settle(struct mc146818 *c)
{
	bool level = (c->ram[R_C] & c->ram[R_B] & C_FLAGS) != 0;
	uint64_t next;

	c->ram[R_C] &= (uint8_t)~C_IRQF;
	if (level)
		c->ram[R_C] |= C_IRQF;
	if (level != c->level) {
		c->level = level;
		line_set(&c->irq, level);
	}
	next = next_due(c);
	if (next != c->next) {
		c->next = next;
		c->env.rearm(c->env.arg);
	}
}

static void
write_a(struct mc146818 *c, uint8_t val)
{
	bool ran = divider_runs(c);
	uint32_t ns;

	c->ram[R_A] = val & (A_DV | A_RS);
	if (ran || !divider_runs(c))
		return;
	/* "Divider Control": the first update comes half a second later. */
	c->divider = c->env.now(c->env.arg);
	c->cycle = 0;
	guest_now(c, &ns);
	c->offset_ns = (uint32_t)((c->offset_ns + NS + NS / 2 - ns) % NS);
}

static void
write_b(struct mc146818 *c, uint8_t val)
{
	/* "SET ... going high clears the UIE bit." */
	if ((val & B_SET) && !(c->ram[R_B] & B_SET))
		val &= (uint8_t)~B_UIE;
	c->ram[R_B] = val;
}

static void
write_control(struct mc146818 *c, uint8_t reg, uint8_t val)
{
	bool stood = stands(c);
	uint8_t shown[R_CENTURY + 1];

	time_encode(c, c->second, shown);
	if (reg == R_A)
		write_a(c, val);
	else
		write_b(c, val);
	if (!stood && stands(c)) {
		if (!c->dirty) {
			c->ram[R_SEC] = shown[R_SEC];
			c->ram[R_MIN] = shown[R_MIN];
			c->ram[R_HOUR] = shown[R_HOUR];
			memcpy(c->ram + R_DOW, shown + R_DOW, 4);
			c->ram[R_CENTURY] = shown[R_CENTURY];
		}
		c->dirty = false;
	} else if (stood && !stands(c))
		set_time(c, time_decode(c));
}

static bool
is_time(uint8_t reg)
{
	return reg == R_SEC || reg == R_MIN || reg == R_HOUR ||
	    (reg >= R_DOW && reg <= R_YEAR) || reg == R_CENTURY;
}

static uint8_t
register_read(struct mc146818 *c, uint8_t reg)
{
	uint8_t val, shown[R_CENTURY + 1];
	uint32_t ns;

	catch_up(c);
	if (is_time(reg) && !stands(c) && !c->dirty) {
		time_encode(c, c->second, shown);
		return shown[reg];
	}
	val = c->ram[reg];
	if (reg == R_A && !stands(c)) {
		guest_now(c, &ns);
		if (ns >= NS - UIP_NS)
			val |= A_UIP;
	}
	if (reg == R_C) {
		val &= C_FLAGS;
		if (val & c->ram[R_B])
			val |= C_IRQF;
		c->ram[R_C] = 0;
	}
	settle(c);
	return val;
}

static void
register_write(struct mc146818 *c, uint8_t reg, uint8_t val)
{
	uint8_t b;

	catch_up(c);
	if (is_time(reg)) {
		if (!stands(c) && !c->dirty) {
			/* As stopping and starting would, but at once. */
			b = c->ram[R_B];
			write_control(c, R_B, b | B_SET);
			c->ram[R_B] = b;
			c->dirty = true;
		}
		c->ram[reg] = val;
	} else if (reg == R_A || reg == R_B)
		write_control(c, reg, val);
	else if (reg != R_C && reg != R_D)
		c->ram[reg] = val;
	settle(c);
}

static void
put16(struct mc146818 *c, uint8_t reg, uint64_t v)
{
	if (v > 0xffff)
		v = 0xffff;
	c->ram[reg] = (uint8_t)v;
	c->ram[reg + 1] = (uint8_t)(v >> 8);
}

/* What a BIOS leaves in CMOS for others: memory sizes, equipment, sum. */
static void
cmos_fill(struct mc146818 *c, uint64_t memory, unsigned cpus)
{
	uint64_t low = memory < GMEM_PCI_HOLE ? memory : GMEM_PCI_HOLE;
	uint64_t high = (memory - low) >> 16;
	unsigned i, sum = 0;

	c->ram[0x14] = 0x02; /* equipment: a numeric coprocessor */
	put16(c, 0x15, 640); /* KiB below 1 MiB */
	put16(c, 0x17, low > 1 << 20 ? (low - (1 << 20)) >> 10 : 0);
	put16(c, 0x30, low > 1 << 20 ? (low - (1 << 20)) >> 10 : 0);
	put16(c, 0x34, low > 16 << 20 ? (low - (16 << 20)) >> 16 : 0);
	if (high > 0xffffff)
		high = 0xffffff;
	c->ram[0x5b] = (uint8_t)high; /* 64 KiB units above 4 GiB */
	c->ram[0x5c] = (uint8_t)(high >> 8);
	c->ram[0x5d] = (uint8_t)(high >> 16);
	c->ram[0x5f] = (uint8_t)(cpus - 1);
	for (i = 0x10; i <= 0x2d; i++)
		sum += c->ram[i];
	c->ram[0x2e] = (uint8_t)(sum >> 8);
	c->ram[0x2f] = (uint8_t)sum;
}

void
mc146818_init(struct mc146818 *c, struct line irq, struct devenv env,
    int64_t (*wall)(void *, uint32_t *), void *wall_arg, uint64_t memory,
    unsigned cpus)
{
	uint32_t ns;

	memset(c, 0, sizeof(*c));
	c->irq = irq;
	c->env = env;
	c->wall = wall;
	c->wall_arg = wall_arg;
	c->next = DEV_NEVER;
	c->ram[R_A] = A_DV_RUN | 6; /* 1024 Hz, the PC's default */
	c->ram[R_B] = B_24;
	c->ram[R_D] = D_VRT;
	c->divider = env.now(env.arg);
	c->second = guest_now(c, &ns);
	cmos_fill(c, memory, cpus);
}

uint8_t
mc146818_read(struct mc146818 *c, uint16_t port)
{
	/* The index is write-only. */
	return port == 0x71 ? register_read(c, c->index) : 0xff;
}

void
mc146818_write(struct mc146818 *c, uint16_t port, uint8_t val)
{
	if (port == 0x70)
		c->index = val & 0x7f; /* bit 7 is the NMI gate */
	else if (port == 0x71)
		register_write(c, c->index, val);
}

void
mc146818_run(struct mc146818 *c)
{
	catch_up(c);
	settle(c);
}

uint64_t
mc146818_deadline(const struct mc146818 *c)
{
	return c->next;
}
