/* SPDX-License-Identifier: ISC */

/*
 * ACPI fixed hardware against the ACPI specification, and the tables: walked
 * here, and taken apart by iasl and acpiexec where these are installed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fakeenv.h"
#include "acpi.h"
#include "aml.h"
#include "pci.h"

/* Guest memory of this test: what is written is kept, up to limit. */
static uint8_t mem[ACPI_TABLES_LEN];
static size_t limit;

int
gmem_write(const struct gmem *g, struct gpa gpa, const void *buf, size_t len)
{
	assert_true(gpa.v >= ACPI_TABLES_GPA);
	if (gpa.v - ACPI_TABLES_GPA > limit ||
	    len > limit - (gpa.v - ACPI_TABLES_GPA))
		return -EFAULT;
	memcpy(mem + (gpa.v - ACPI_TABLES_GPA), buf, len);
	return 0;
}

struct bed {
	struct fake f;
	struct acpi_pm pm;
	unsigned offs, buttons;
};

static void
on_poweroff(void *arg)
{
	((struct bed *)arg)->offs++;
}

static void
on_button(void *arg)
{
	((struct bed *)arg)->buttons++;
}

static void
bed_init(struct bed *b)
{
	memset(b, 0, sizeof(*b));
	acpi_pm_init(&b->pm, fake_line(&b->f), fake_env(&b->f), on_poweroff,
	    on_button, b);
}

/* "PM1 Control Registers": what a write leaves, and what it does. */
static const struct {
	const char *name;
	unsigned off, size;
	uint32_t val, control;
	unsigned offs;
} controls[] = {
	{ "SCI_EN cannot be cleared", 4, 2, 0x0000, 0x0001, 0 },
	{ "BM_RLD is kept", 4, 2, 0x0002, 0x0003, 0 },
	{ "GBL_RLS reads 0", 4, 2, 0x0004, 0x0001, 0 },
	{ "SLP_TYP alone does nothing", 4, 2, 0x1400, 0x1401, 0 },
	{ "S5", 4, 2, 0x3400, 0x1401, 1 },
	{ "S5 with SCI_EN", 4, 2, 0x3401, 0x1401, 1 },
	{ "S5 in 32 bits", 4, 4, 0x3400, 0x1401, 1 },
	{ "S5 by its byte", 5, 1, 0x34, 0x1401, 1 },
	{ "PIIX4's soft off", 4, 2, 0x2000, 0x0001, 1 },
	{ "S1 is not there", 4, 2, 0x2400, 0x0401, 0 },
	{ "S3 is not there", 4, 2, 0x2c00, 0x0c01, 0 },
	{ "type 7 is not there", 4, 2, 0x3c00, 0x1c01, 0 },
	{ "reserved bits", 4, 2, 0xc3f8, 0x0001, 0 },
};

static void
test_control(void **state)
{
	struct bed b;
	unsigned i;

	for (i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
		bed_init(&b);
		assert_int_equal(acpi_pm_read(&b.pm, 4, 2), 1);
		acpi_pm_write(
		    &b.pm, controls[i].off, controls[i].size, controls[i].val);
		assert_int_equal(
		    acpi_pm_read(&b.pm, 4, 2), controls[i].control);
		assert_int_equal(b.offs, controls[i].offs);
	}
}

/* "PM1 Event Grouping": SCI is status and enable, status by writing ones. */
static void
test_button(void **state)
{
	struct bed b;

	bed_init(&b);
	acpi_pm_power_button(&b.pm);
	assert_false(b.f.level);
	assert_int_equal(acpi_pm_read(&b.pm, 0, 2), 0x0100);
	acpi_pm_write(&b.pm, 2, 2, 0xffff);
	assert_int_equal(acpi_pm_read(&b.pm, 2, 2), 0x0521);
	assert_true(b.f.level);
	acpi_pm_write(&b.pm, 0, 2, 0xfeff);
	assert_true(b.f.level);
	assert_int_equal(b.buttons, 0);
	acpi_pm_write(&b.pm, 0, 2, 0x0100);
	assert_false(b.f.level);
	assert_int_equal(b.buttons, 1);
	acpi_pm_write(&b.pm, 0, 2, 0x0100); /* was not set */
	assert_int_equal(b.buttons, 1);
	acpi_pm_power_button(&b.pm);
	acpi_pm_power_button(&b.pm);
	assert_int_equal(b.f.rises, 2);
	acpi_pm_write(&b.pm, 3, 1, 0x00);
	assert_false(b.f.level);
	acpi_pm_write(&b.pm, 0, 4, 0x01000100); /* clears and enables */
	assert_false(b.f.level);
	assert_int_equal(acpi_pm_read(&b.pm, 0, 4), 0x01000000);
	acpi_pm_power_button(&b.pm);
	assert_true(b.f.level);
	acpi_pm_write(&b.pm, 1, 1, 0x01);
	assert_false(b.f.level);
	assert_int_equal(b.buttons, 3);
}

/* "General-Purpose Event Register Blocks" */
static void
test_gpe(void **state)
{
	struct bed b;

	bed_init(&b);
	assert_int_equal(acpi_pm_read(&b.pm, 12, 4), 0);
	acpi_pm_write(&b.pm, 12, 4, 0xffffffff);
	assert_int_equal(acpi_pm_read(&b.pm, 12, 4), 0xffff0000);
	acpi_pm_write(&b.pm, 14, 1, 0x5a);
	acpi_pm_write(&b.pm, 15, 1, 0xa5);
	assert_int_equal(acpi_pm_read(&b.pm, 14, 2), 0xa55a);
	assert_int_equal(acpi_pm_read(&b.pm, 12, 1), 0);
	assert_int_equal(acpi_pm_read(&b.pm, 15, 1), 0xa5);
	assert_int_equal(acpi_pm_read(&b.pm, 0, 4), 0);
	assert_false(b.f.level);
	/* One that is enabled, and one that is not. */
	acpi_pm_gpe(&b.pm, 9);
	assert_false(b.f.level);
	acpi_pm_gpe(&b.pm, 0);
	assert_int_equal(acpi_pm_read(&b.pm, 12, 2), 0x0201);
	assert_false(b.f.level);
	acpi_pm_write(&b.pm, 14, 2, 0x0001);
	assert_true(b.f.level);
	acpi_pm_write(&b.pm, 13, 1, 0x02);
	assert_int_equal(acpi_pm_read(&b.pm, 12, 2), 0x0001);
	assert_true(b.f.level);
	acpi_pm_write(&b.pm, 12, 1, 0x01);
	assert_false(b.f.level);
	/* Outside of ACPI mode there is no SCI. */
	acpi_pm_enable(&b.pm, false);
	acpi_pm_gpe(&b.pm, 0);
	assert_false(b.f.level);
	acpi_pm_enable(&b.pm, true);
	assert_true(b.f.level);
}

/* "PM1 Event Grouping": RTC_STS and RTC_EN. */
static void
test_rtc(void **state)
{
	struct bed b;

	bed_init(&b);
	acpi_pm_rtc(&b.pm);
	assert_int_equal(acpi_pm_read(&b.pm, 0, 2), 0x0400);
	assert_false(b.f.level);
	acpi_pm_write(&b.pm, 2, 2, 0x0400);
	assert_int_equal(acpi_pm_read(&b.pm, 2, 2), 0x0400);
	assert_true(b.f.level);
	acpi_pm_write(&b.pm, 0, 2, 0x0400);
	assert_false(b.f.level);
	assert_int_equal(b.buttons, 0);
}

/* "Power Management Timer": 3.579545 MHz; no drift, no overflow. */
static void
test_timer(void **state)
{
	static const struct {
		uint64_t ns;
		uint32_t val;
	} rows[] = { { 0, 0 }, { 279, 0 }, { 280, 1 }, { SEC, 3579545 },
		{ 1000 * SEC + 1, 3579545000u },
		{ 1200 * SEC, 486704u /* 1200 * 3579545 - 2^32 */ },
		{ 315360000ULL * SEC, /* ten years */
		    (uint32_t)(315360000ULL * 3579545) },
		{ 18446744073ULL * SEC,
		    (uint32_t)(18446744073ULL * 3579545) } };
	struct bed b;
	unsigned i;

	bed_init(&b);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		b.f.now = rows[i].ns;
		assert_int_equal(acpi_pm_read(&b.pm, 8, 4), rows[i].val);
		acpi_pm_write(&b.pm, 8, 4, 0);
		assert_int_equal(acpi_pm_read(&b.pm, 9, 2),
		    acpi_pm_read(&b.pm, 8, 4) >> 8 & 0xffff);
	}
}

/* TMR_STS: the top bit changed, either way; 2^31 clocks are 599.9 s. */
static void
test_carry(void **state)
{
	struct bed b;
	uint64_t due = 599932015941ULL; /* ceil(2^31 / 3579545 s) */

	bed_init(&b);
	assert_int_equal(acpi_pm_deadline(&b.pm), DEV_NEVER);
	acpi_pm_write(&b.pm, 2, 2, 1);
	assert_true(b.f.rearms > 0);
	assert_int_equal(acpi_pm_deadline(&b.pm), due);
	b.f.now = acpi_pm_deadline(&b.pm) - 1;
	assert_int_equal(acpi_pm_read(&b.pm, 8, 4), 0x7fffffff);
	acpi_pm_run(&b.pm);
	assert_false(b.f.level);
	b.f.now++;
	acpi_pm_run(&b.pm);
	assert_true(b.f.level);
	assert_int_equal(acpi_pm_read(&b.pm, 8, 4), 0x80000000);
	assert_int_equal(acpi_pm_deadline(&b.pm), DEV_NEVER);
	acpi_pm_write(&b.pm, 0, 2, 1);
	assert_false(b.f.level);
	b.f.now = acpi_pm_deadline(&b.pm);
	assert_int_equal(acpi_pm_read(&b.pm, 8, 4), 0);
	acpi_pm_power_button(&b.pm);
	assert_int_equal(acpi_pm_read(&b.pm, 0, 2), 0x0101);
}

static void
test_spray(void **state)
{
	struct bed b;
	uint64_t seed = 3579545;
	unsigned i;
	uint32_t r;

	bed_init(&b);
	for (i = 0; i < 1500000; i++) {
		r = dice(&seed);
		if ((r & 3) == 0)
			b.f.now += dice_step(&seed);
		if ((r & 0x30) == 0)
			acpi_pm_power_button(&b.pm);
		if (r & 4)
			acpi_pm_write(&b.pm, r >> 8 & 15, 1u << (r >> 12 & 3),
			    (uint64_t)dice(&seed) << 32 | dice(&seed));
		else
			acpi_pm_read(&b.pm, r >> 8 & 15, 1u << (r >> 12 & 3));
		if ((r & 0xc0) == 0) {
			acpi_pm_run(&b.pm);
			assert_true(acpi_pm_deadline(&b.pm) > b.f.now);
		}
		assert_int_equal(
		    b.f.level, (b.pm.pm1_status & b.pm.pm1_enable) != 0);
	}
}

static const struct acpi_conf conf = { 4, ACPI_PM_BASE, false, 0xd0000000,
	0x10000000, 0xc000, 0x2000, false };

static uint64_t
le(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

static const uint8_t *
at(uint64_t gpa)
{
	assert_in_range(
	    gpa, ACPI_TABLES_GPA, ACPI_TABLES_GPA + ACPI_TABLES_LEN - 36);
	return mem + (gpa - ACPI_TABLES_GPA);
}

static unsigned
sum(const uint8_t *p, size_t n)
{
	unsigned s = 0;

	while (n-- > 0)
		s += *p++;
	return s & 0xff;
}

static const uint8_t *
table(uint64_t gpa, const char *signature, unsigned revision)
{
	const uint8_t *t = at(gpa);

	assert_memory_equal(t, signature, 4);
	assert_true(le(t + 4, 4) <= ACPI_TABLES_LEN - (size_t)(t - mem));
	assert_int_equal(t[8], revision);
	assert_int_equal(sum(t, le(t + 4, 4)), 0);
	return t;
}

static void
make(const struct acpi_conf *c)
{
	struct gpa rsdp = { 0 };

	memset(mem, 0, sizeof(mem));
	limit = sizeof(mem);
	assert_int_equal(acpi_tables(NULL, c, &rsdp), 0);
	assert_int_equal(rsdp.v, ACPI_TABLES_GPA);
	assert_int_equal(rsdp.v & 15, 0); /* where BIOS scans look */
}

static const uint8_t *
fadt(void)
{
	const uint8_t *r = mem, *x, *old;

	assert_memory_equal(r, "RSD PTR ", 8);
	assert_int_equal(sum(r, 20), 0);
	assert_int_equal(sum(r, 36), 0);
	assert_int_equal(r[15], 2);
	assert_int_equal(le(r + 20, 4), 36);
	x = table(le(r + 24, 8), "XSDT", 1);
	assert_int_equal(le(x + 4, 4), 36 + 2 * 8);
	old = table(le(r + 16, 4), "RSDT", 1);
	assert_int_equal(le(old + 4, 4), 36 + 2 * 4);
	assert_int_equal(le(old + 36, 4), le(x + 36, 8));
	assert_int_equal(le(old + 40, 4), le(x + 44, 8));
	return table(le(x + 36, 8), "FACP", 4);
}

static const uint8_t *
madt(void)
{
	return table(le(at(le(mem + 24, 8)) + 44, 8), "APIC", 3);
}

/* "Fixed ACPI Description Table (FADT)" */
static const struct {
	const char *name;
	unsigned off, len;
	uint64_t val;
} fields[] = {
	{ "length", 4, 4, 244 },
	{ "SCI_INT", 46, 2, 9 },
	{ "SMI_CMD, ACPI_ENABLE", 48, 5, 0 },
	{ "PM1a_EVT_BLK", 56, 4, 0xb000 },
	{ "PM1a_CNT_BLK", 64, 4, 0xb004 },
	{ "PM_TMR_BLK", 76, 4, 0xb008 },
	{ "GPE0_BLK, GPE1_BLK", 80, 8, 0xb00c },
	{ "PM1_EVT_LEN, PM1_CNT_LEN", 88, 2, 0x0204 },
	{ "PM2_CNT_LEN, PM_TMR_LEN", 90, 2, 0x0400 },
	{ "P_LVL2_LAT above 100: no C2", 96, 2, 0xfff },
	{ "P_LVL3_LAT above 1000: no C3", 98, 2, 0xfff },
	{ "DAY_ALRM, MON_ALRM, CENTURY", 106, 3, 0x320000 },
	{ "IAPC_BOOT_ARCH", 109, 2, 0x17 },
	{ "Flags", 112, 4, 0x525 },
	{ "RESET_REG", 116, 4, 0x01000801 },
	{ "RESET_REG address", 120, 8, 0xcf9 },
	{ "RESET_VALUE", 128, 1, 6 },
	{ "X_PM1a_EVT_BLK", 148, 4, 0x02002001 },
	{ "X_PM1a_EVT_BLK address", 152, 8, 0xb000 },
	{ "X_PM1a_CNT_BLK", 172, 4, 0x02001001 },
	{ "X_PM1a_CNT_BLK address", 176, 8, 0xb004 },
	{ "X_PM_TMR_BLK", 208, 4, 0x03002001 },
	{ "X_PM_TMR_BLK address", 212, 8, 0xb008 },
	{ "GPE0_BLK_LEN, GPE1_BLK_LEN, GPE1_BASE", 92, 3, 4 },
	{ "X_GPE0_BLK", 220, 4, 0x02002001 },
	{ "X_GPE0_BLK address", 224, 8, 0xb00c },
	{ "X_GPE1_BLK", 232, 8, 0 },
};

static void
test_fadt(void **state)
{
	const uint8_t *f, *facs;
	unsigned i;

	make(&conf);
	f = fadt();
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (le(f + fields[i].off, fields[i].len) != fields[i].val)
			print_message("%s\n", fields[i].name);
		assert_int_equal(
		    le(f + fields[i].off, fields[i].len), fields[i].val);
	}
	/* PWR_BUTTON, FIX_RTC clear: fixed features; hardware-reduced clear. */
	assert_int_equal(le(f + 112, 4) & (1u << 4 | 1u << 6 | 1u << 20), 0);
	assert_int_equal(le(f + 40, 4), le(f + 140, 8));
	table(le(f + 40, 4), "DSDT", 2);
	facs = at(le(f + 36, 4));
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal(le(facs + 4, 4), 64);
	assert_int_equal(le(f + 36, 4) & 63, 0); /* "64-byte boundary" */
}

/* "Multiple APIC Description Table (MADT)" */
static void
test_madt(void **state)
{
	static const uint8_t rest[] = {
		1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0, /* I/O APIC */
		2, 10, 0, 0, 2, 0, 0, 0, 0, 0, /* IRQ 0 is pin 2 */
		2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0, /* SCI: level, high */
		4, 6, 0xff, 0, 0, 1, /* NMI: LINT1 of all */
	};
	static const unsigned cpus[] = { 1, 2, 64, 255 };
	struct acpi_conf c = conf;
	const uint8_t *m;
	unsigned i, n;

	for (i = 0; i < 4; i++) {
		c.cpus = cpus[i];
		make(&c);
		fadt();
		m = madt();
		assert_int_equal(le(m + 4, 4), 44 + 8 * cpus[i] + sizeof(rest));
		assert_int_equal(le(m + 36, 4), 0xfee00000);
		assert_int_equal(le(m + 40, 4), 1);
		for (n = 0; n < cpus[i]; n++) {
			assert_int_equal(le(m + 44 + 8 * n, 2), 0x0800);
			assert_int_equal(m[44 + 8 * n + 2], n);
			assert_int_equal(m[44 + 8 * n + 3], n);
			assert_int_equal(le(m + 44 + 8 * n + 4, 4), 1);
		}
		assert_memory_equal(m + 44 + 8 * n, rest, sizeof(rest));
	}
}

static bool
has(const uint8_t *p, size_t len, const void *what, size_t n)
{
	return memmem(p, len, what, n) != NULL;
}

/* "Virtual Machine Generation ID": where it is, and who tells of it. */
static void
test_generation(void **state)
{
	static const uint8_t addr[] = {
		0x08, 'A', 'D', 'D', 'R', /* Name */
		0x12, 0x08, 2, /* Package */
		0x0c, 0x00, 0xb0, 0xff, 0xfe, 0x00, /* its halves */
	}, event[] = {
		0x10, 0x1a, '\\', '_', 'G', 'P', 'E', /* Scope */
		0x14, 0x13, '_', 'E', '0', '0', 0x00, /* Method */
		0x86, '\\', 0x2e, '_', 'S', 'B', '_', 'V', 'G', 'E', 'N',
		0x0a, 0x80, /* Notify */
	};
	const uint8_t *dsdt;
	size_t len;

	make(&conf);
	dsdt = table(le(fadt() + 140, 8), "DSDT", 2);
	len = (size_t)le(dsdt + 4, 4);
	assert_true(has(dsdt, len, addr, sizeof(addr)));
	assert_true(has(dsdt, len, event, sizeof(event)));
	assert_true(has(dsdt, len, "\x0dVM_Gen_Counter", 16));
}

static void
test_refused(void **state)
{
	struct acpi_conf c = conf;
	struct gpa rsdp = { 7 };

	limit = sizeof(mem);
	c.cpus = 0;
	assert_int_equal(acpi_tables(NULL, &c, &rsdp), -ENOSPC);
	c.cpus = 256;
	assert_int_equal(acpi_tables(NULL, &c, &rsdp), -ENOSPC);
	limit = 100;
	assert_int_equal(acpi_tables(NULL, &conf, &rsdp), -EFAULT);
	assert_int_equal(rsdp.v, 7);
}

/* "Package Length Encoding": one byte up to 63, then four bits and bytes. */
static const struct {
	size_t body; /* what is in the block, its name included */
	unsigned n; /* bytes of length */
	uint8_t b[3];
} lengths[] = {
	{ 4, 1, { 5 } },
	{ 62, 1, { 63 } },
	{ 63, 2, { 0x41, 0x04 } },
	{ 4093, 2, { 0x4f, 0xff } },
	{ 4094, 3, { 0x81, 0x00, 0x01 } },
};

static void
test_aml_length(void **state)
{
	uint8_t buf[5000];
	struct aml a;
	unsigned i, k;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		aml_init(&a, buf, sizeof(buf));
		aml_scope(&a, "_SB_");
		for (k = 4; k < lengths[i].body; k++)
			aml_int(&a, 1);
		aml_close(&a);
		assert_false(aml_error(&a));
		assert_int_equal(buf[0], 0x10);
		assert_memory_equal(buf + 1, lengths[i].b, lengths[i].n);
		assert_memory_equal(buf + 1 + lengths[i].n, "_SB_", 4);
		assert_int_equal(a.len, 1 + lengths[i].n + lengths[i].body);
	}
}

static void
test_aml_errors(void **state)
{
	uint8_t buf[64];
	struct aml a;
	size_t size;
	unsigned i;

	/* A device of 29 bytes: every size that is too small is noticed, none
	 * is exceeded. */
	for (size = 0; size < 40; size++) {
		memset(buf, 0xee, sizeof(buf));
		aml_init(&a, buf, size);
		aml_device(&a, "COM1");
		aml_name(&a, "_CRS");
		aml_resources(&a);
		aml_res_io(&a, 0x3f8, 8);
		aml_res_irq(&a, 4);
		aml_close(&a);
		aml_close(&a);
		assert_int_equal(aml_error(&a), size < 29);
		assert_int_equal(buf[size], 0xee);
	}
	aml_init(&a, buf, sizeof(buf));
	aml_close(&a);
	assert_true(aml_error(&a));
	aml_init(&a, buf, sizeof(buf));
	for (i = 0; i < AML_DEPTH + 1; i++)
		aml_package(&a, 1);
	assert_true(aml_error(&a));
	aml_init(&a, buf, sizeof(buf));
	aml_package(&a, 0);
	assert_true(aml_error(&a)); /* not closed */
}

/* An integer as AML encodes it. */
static const uint8_t *
aml_read(const uint8_t *p, uint64_t *val)
{
	size_t n = *p == 0x0a ? 1 : *p == 0x0b ? 2 : *p == 0x0c ? 4 : 0;

	*val = n == 0 ? *p : le(p + 1, n);
	assert_true(n != 0 || *val <= 1);
	return p + 1 + n;
}

/* "_PRT": every slot and pin, where the root bus is wired to. */
static void
test_prt(void **state)
{
	const uint8_t *f, *p;
	uint64_t v, slot, pin;

	make(&conf);
	f = fadt();
	p = at(le(f + 40, 4));
	p = memmem(p, le(p + 4, 4), "_PRT", 4);
	assert_non_null(p);
	assert_int_equal(p[4], 0x12);
	assert_int_equal(p[5] >> 6, 1); /* two bytes of length */
	assert_int_equal(p[7], PCI_SLOTS * 4);
	p += 8;
	for (slot = 0; slot < PCI_SLOTS; slot++)
		for (pin = 0; pin < 4; pin++) {
			assert_int_equal(p[0], 0x12);
			assert_int_equal(p[2], 4);
			p = aml_read(p + 3, &v);
			assert_int_equal(v, slot << 16 | 0xffff);
			p = aml_read(p, &v);
			assert_int_equal(v, pin);
			p = aml_read(p, &v);
			assert_int_equal(v, 0);
			p = aml_read(p, &v);
			assert_int_equal(v, 16 + (slot + pin + 3) % 4);
		}
}

/* Programs that know ACPI better than this test does. */
static char dir[] = "/tmp/test_acpi.XXXXXX";

static void
save(const char *name, const uint8_t *t)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(t, le(t + 4, 4), 1, f), 1);
	assert_int_equal(fclose(f), 0);
}

/* Taken apart without complaint, compiled to the same bytes again, loaded,
 * and the resources of every device and the sleep state evaluated. */
static const char script[] =
    "set -e; trap 'cat out; exit 1' EXIT; bad='error|warning|invalid'\n"
    "for t in facp apic facs dsdt; do\n"
    "	iasl -d $t >out 2>&1\n"
    "	if grep -iE $bad out $t.dsl; then exit 1; fi\n"
    "done\n"
    "iasl -oa -p again dsdt.dsl >out 2>&1\n"
    "grep -q '0 Errors, 0 Warnings' out\n"
    "cmp -i 36 dsdt again.aml\n"
    "acpiexec -b 'resources; evaluate \\_S5_; quit' dsdt </dev/null "
    ">out 2>&1\n"
    "if grep -E 'AE_AML|AE_BAD|Exception' out; then exit 1; fi\n"
    "for m in 0CF7 DFFF DFFFFFFF; do\n"
    "	grep -qx \" *Address Maximum : $m\" out\n"
    "done\n"
    "test $(grep -c 'Interrupt List : [148] ' out) = 3\n"
    "grep -q 'Contains 4 Elements' out\n"
    "grep -q 'Name (_HID, \"QEMU0001\")' dsdt.dsl\n"
    "grep -A 20 'Device (COM2)' dsdt.dsl | grep -q 0x02F8\n"
    "trap - EXIT\n";

static void
test_acpica(void **state)
{
	char cmd[sizeof(script) + sizeof(dir) + 16];
	const uint8_t *f;
	int status;

	if (system("command -v iasl acpiexec >/dev/null 2>&1") != 0) {
		print_message("no acpica-tools here: not asked\n");
		skip();
	}
	make(&conf);
	f = fadt();
	assert_non_null(mkdtemp(dir));
	save("facp", f);
	save("apic", madt());
	save("facs", at(le(f + 36, 4)));
	save("dsdt", at(le(f + 40, 4)));
	snprintf(cmd, sizeof(cmd), "cd %s\n%s", dir, script);
	status = system(cmd);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	if (status == 0)
		assert_int_equal(system(cmd), 0);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_button),
		cmocka_unit_test(test_gpe),
		cmocka_unit_test(test_generation),
		cmocka_unit_test(test_rtc),
		cmocka_unit_test(test_timer),
		cmocka_unit_test(test_carry),
		cmocka_unit_test(test_spray),
		cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_madt),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_aml_length),
		cmocka_unit_test(test_aml_errors),
		cmocka_unit_test(test_prt),
		cmocka_unit_test(test_acpica),
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
