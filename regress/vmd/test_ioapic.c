/* SPDX-License-Identifier: ISC */

/* Rows against the Intel 82093AA data sheet, "IOAPIC Registers". */
#include <string.h>
#include "fakeenv.h"
#include "ioapic.h"

struct bed {
	struct fake f;
	struct ioapic io;
	unsigned msis, routes;
	bool deaf; /* no CPU takes a message */
	uint64_t addr;
	uint32_t data;
	struct {
		bool on;
		uint64_t addr;
		uint32_t data;
	} route[IOAPIC_PINS];
};

static bool
on_msi(void *arg, uint64_t addr, uint32_t data)
{
	struct bed *b = arg;

	b->msis++;
	b->addr = addr;
	b->data = data;
	return !b->deaf;
}

static void
on_route(void *arg, unsigned pin, uint64_t addr, uint32_t data, bool masked)
{
	struct bed *b = arg;

	assert_true(pin < IOAPIC_PINS);
	b->routes++;
	b->route[pin].on = !masked;
	b->route[pin].addr = addr;
	b->route[pin].data = data;
}

static const struct ioapic_ops ops = { on_msi, on_route };

static void
bed_init(struct bed *b)
{
	memset(b, 0, sizeof(*b));
	ioapic_init(&b->io, 3, &ops, b);
}

static void
reg_write(struct bed *b, unsigned reg, uint32_t val)
{
	ioapic_write(&b->io, 0, 4, reg);
	ioapic_write(&b->io, 0x10, 4, val);
}

static uint32_t
reg_read(struct bed *b, unsigned reg)
{
	ioapic_write(&b->io, 0, 4, reg);
	return (uint32_t)ioapic_read(&b->io, 0x10, 4);
}

static void
entry(struct bed *b, unsigned pin, uint32_t high, uint32_t low)
{
	reg_write(b, 0x11 + 2 * pin, high);
	reg_write(b, 0x10 + 2 * pin, low);
}

/* What each entry becomes as a message when its pin is asserted. */
static const struct {
	const char *name;
	uint32_t high, low;
	unsigned msis;
	uint64_t addr;
	uint32_t data;
	bool irr;
} messages[] = {
	{ "fixed edge physical", 0x05000000, 0x31, 1, 0xfee05000, 0x31, false },
	{ "fixed level", 0, 0x8031, 1, 0xfee00000, 0xc031, true },
	{ "logical", 0x0f000000, 0x0841, 1, 0xfee0f004, 0x41, false },
	{ "lowest priority logical", 0xff000000, 0x0941, 1, 0xfeeff00c, 0x141,
	    false },
	{ "lowest priority level", 0, 0x8141, 1, 0xfee00008, 0xc141, true },
	{ "SMI", 0x01000000, 0x0200, 1, 0xfee01000, 0x200, false },
	{ "NMI set to level is an edge", 0x01000000, 0x8400, 1, 0xfee01000,
	    0x400, false },
	{ "INIT", 0x02000000, 0x0500, 1, 0xfee02000, 0x500, false },
	{ "ExtINT", 0, 0x0700, 1, 0xfee00000, 0x700, false },
	{ "reserved mode 3", 0, 0x0331, 0, 0, 0, false },
	{ "reserved mode 6", 0, 0x8631, 0, 0, 0, false },
	{ "masked", 0, 0x10031, 0, 0, 0, false },
	{ "masked level", 0, 0x18031, 0, 0, 0, false },
	{ "polarity low changes nothing", 0, 0xa031, 1, 0xfee00000, 0xc031,
	    true },
};

static void
test_messages(void **state)
{
	struct bed b;
	unsigned i;

	for (i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		bed_init(&b);
		entry(&b, 5, messages[i].high, messages[i].low);
		ioapic_set(&b.io, 5, true);
		print_message("%s\n", messages[i].name);
		assert_int_equal(b.msis, messages[i].msis);
		assert_int_equal(b.addr, messages[i].addr);
		assert_int_equal(b.data, messages[i].data);
		assert_int_equal(reg_read(&b, 0x1a),
		    messages[i].low | (messages[i].irr ? 0x4000 : 0));
		assert_int_equal(reg_read(&b, 0x1b), messages[i].high);
		/* The driver's table holds what needs EOIs, nothing else. */
		assert_int_equal(b.route[5].on, messages[i].irr);
		if (messages[i].irr) {
			assert_int_equal(b.route[5].addr, messages[i].addr);
			assert_int_equal(b.route[5].data, messages[i].data);
		} else
			assert_int_equal(b.routes, 0);
	}
}

static void
test_registers(void **state)
{
	struct bed b;
	unsigned i;

	bed_init(&b);
	assert_int_equal(reg_read(&b, 0), 0x03000000);
	assert_int_equal(reg_read(&b, 1), 0x00170011);
	assert_int_equal(reg_read(&b, 2), 0x03000000);
	reg_write(&b, 1, 0xffffffff);
	reg_write(&b, 2, 0xffffffff);
	assert_int_equal(reg_read(&b, 1), 0x00170011);
	assert_int_equal(reg_read(&b, 2), 0x03000000);
	/* "The APIC bus arbitration ID is also written during a write to
	 * the APICID register." */
	reg_write(&b, 0, 0xffffffff);
	assert_int_equal(reg_read(&b, 0), 0x0f000000);
	assert_int_equal(reg_read(&b, 2), 0x0f000000);
	for (i = 0; i < IOAPIC_PINS; i++) {
		assert_int_equal(reg_read(&b, 0x10 + 2 * i), 0x10000);
		assert_int_equal(reg_read(&b, 0x11 + 2 * i), 0);
		entry(&b, i, 0xffffffff, 0xffffffff);
		assert_int_equal(reg_read(&b, 0x10 + 2 * i), 0x1afff);
		assert_int_equal(reg_read(&b, 0x11 + 2 * i), 0xff000000);
	}
	for (i = 3; i < 256; i++)
		if (i < 0x10 || i >= 0x40) {
			reg_write(&b, i, 0xffffffff);
			assert_int_equal(reg_read(&b, i), 0);
		}
	/* IOREGSEL has eight bits; other offsets are empty. */
	ioapic_write(&b.io, 0, 4, 0xffffff01);
	assert_int_equal(ioapic_read(&b.io, 0, 4), 1);
	ioapic_write(&b.io, 0x20, 4, 7);
	ioapic_write(&b.io, 0x40, 4, 7);
	assert_int_equal(ioapic_read(&b.io, 0x40, 4), 0);
	assert_int_equal(ioapic_read(&b.io, 0xfff, 1), 0);
	assert_int_equal(ioapic_read(&b.io, 0x10, 4), 0x00170011);
	assert_int_equal(b.msis, 0);
}

static void
test_narrow(void **state)
{
	struct bed b;

	bed_init(&b);
	reg_write(&b, 0x11, 0x12000000);
	assert_int_equal(ioapic_read(&b.io, 0x13, 1), 0x12);
	ioapic_write(&b.io, 0, 1, 0x10);
	ioapic_write(&b.io, 0x10, 1, 0x55);
	assert_int_equal(ioapic_read(&b.io, 0x10, 4), 0x10055);
	ioapic_write(&b.io, 0x11, 1, 0xa8);
	assert_int_equal(ioapic_read(&b.io, 0x10, 2), 0xa855);
	assert_int_equal(ioapic_read(&b.io, 0x11, 1), 0xa8);
	ioapic_write(&b.io, 0x12, 2, 0);
	assert_int_equal(ioapic_read(&b.io, 0x10, 4), 0xa855);
	assert_int_equal(ioapic_read(&b.io, 0x10, 8), 0xa855);
	ioapic_write(&b.io, 0, 4, 1);
	assert_int_equal(ioapic_read(&b.io, 0x12, 1), 0x17);
	ioapic_write(&b.io, 1, 1, 0x10);
	assert_int_equal(ioapic_read(&b.io, 0, 4), 1);
}

static void
test_edge(void **state)
{
	struct bed b;

	bed_init(&b);
	entry(&b, 4, 0, 0x34);
	ioapic_set(&b.io, 4, true);
	ioapic_set(&b.io, 4, true);
	assert_int_equal(b.msis, 1);
	ioapic_set(&b.io, 4, false);
	ioapic_set(&b.io, 4, true);
	assert_int_equal(b.msis, 2);
	/* "Edge-sensitive interrupts signaled on a masked interrupt pin are
	 * ignored." */
	ioapic_set(&b.io, 4, false);
	reg_write(&b, 0x18, 0x10034);
	ioapic_set(&b.io, 4, true);
	reg_write(&b, 0x18, 0x34);
	assert_int_equal(b.msis, 2);
	ioapic_set(&b.io, 24, true);
	ioapic_set(&b.io, 1000, true);
}

static void
test_level(void **state)
{
	struct bed b;

	bed_init(&b);
	entry(&b, 17, 0, 0xa051);
	ioapic_set(&b.io, 17, true);
	ioapic_set(&b.io, 17, true);
	assert_int_equal(b.msis, 1);
	ioapic_eoi(&b.io, 0x52); /* somebody else's */
	assert_int_equal(b.msis, 1);
	ioapic_eoi(&b.io, 0x51); /* still asserted: again */
	assert_int_equal(b.msis, 2);
	ioapic_set(&b.io, 17, false);
	ioapic_set(&b.io, 17, true); /* remote IRR is set: wait */
	assert_int_equal(b.msis, 2);
	ioapic_set(&b.io, 17, false);
	ioapic_eoi(&b.io, 0x51);
	ioapic_eoi(&b.io, 0x51);
	assert_int_equal(b.msis, 2);
	assert_int_equal(reg_read(&b, 0x10 + 34), 0xa051);
	/* Masked in service: the EOI must still come through. */
	ioapic_set(&b.io, 17, true);
	reg_write(&b, 0x10 + 34, 0x1a051);
	assert_true(b.route[17].on);
	ioapic_eoi(&b.io, 0x51);
	assert_int_equal(b.msis, 3);
	reg_write(&b, 0x10 + 34, 0xa051);
	assert_int_equal(b.msis, 4);
	/* A level on a masked pin is seen when unmasked, if still there. */
	ioapic_set(&b.io, 17, false);
	ioapic_eoi(&b.io, 0x51);
	reg_write(&b, 0x10 + 34, 0x1a051);
	assert_false(b.route[17].on);
	ioapic_set(&b.io, 17, true);
	ioapic_set(&b.io, 17, false);
	reg_write(&b, 0x10 + 34, 0xa051);
	assert_int_equal(b.msis, 4);
}

/* The driver's table follows vector and destination, and only those. */
static void
test_route(void **state)
{
	struct bed b;

	bed_init(&b);
	entry(&b, 6, 0x01000000, 0x8051);
	assert_int_equal(b.routes, 1);
	reg_write(&b, 0x1d, 0x02000000);
	assert_int_equal(b.routes, 2);
	assert_int_equal(b.route[6].addr, 0xfee02000);
	reg_write(&b, 0x1c, 0x8052);
	assert_int_equal(b.routes, 3);
	assert_int_equal(b.route[6].data, 0xc052);
	reg_write(&b, 0x1c, 0xa052); /* polarity is not in the message */
	assert_int_equal(b.routes, 3);
	reg_write(&b, 0x1c, 0x0052);
	assert_int_equal(b.routes, 4);
	assert_false(b.route[6].on);
}

/* Version 0x11 has no EOI register: software makes the pin edge-triggered
 * for a moment. */
static void
test_software_eoi(void **state)
{
	struct bed b;

	bed_init(&b);
	entry(&b, 9, 0, 0x8060);
	ioapic_set(&b.io, 9, true);
	assert_int_equal(reg_read(&b, 0x22), 0xc060);
	reg_write(&b, 0x22, 0x10060);
	assert_int_equal(reg_read(&b, 0x22), 0x10060);
	reg_write(&b, 0x22, 0x8060);
	assert_int_equal(b.msis, 2);
	/* Remote IRR is read-only. */
	ioapic_set(&b.io, 9, false);
	ioapic_eoi(&b.io, 0x60);
	reg_write(&b, 0x22, 0xd060);
	assert_int_equal(reg_read(&b, 0x22), 0x8060);
}

/* Two pins of one vector: one EOI is for both. */
static void
test_shared_vector(void **state)
{
	struct bed b;

	bed_init(&b);
	entry(&b, 16, 0, 0x8070);
	entry(&b, 18, 0, 0x8070);
	ioapic_set(&b.io, 16, true);
	ioapic_set(&b.io, 18, true);
	assert_int_equal(b.msis, 2);
	ioapic_eoi(&b.io, 0x70);
	assert_int_equal(b.msis, 4);
}

/* A line nobody serves does not keep the guest from its own work. */
static void
test_storm(void **state)
{
	struct bed b;
	unsigned i;

	bed_init(&b);
	ioapic_set_env(&b.io, fake_env(&b.f));
	entry(&b, 20, 0, 0x8044);
	ioapic_set(&b.io, 20, true);
	for (i = 0; i < 5000 && ioapic_deadline(&b.io) == DEV_NEVER; i++)
		ioapic_eoi(&b.io, 0x44);
	assert_int_equal(i, 1000);
	assert_int_equal(b.msis, 1000);
	assert_int_equal(ioapic_deadline(&b.io), 10000000);
	assert_int_equal(reg_read(&b, 0x38), 0x9044); /* delivery status */
	ioapic_set(&b.io, 20, true);
	ioapic_run(&b.io);
	assert_int_equal(b.msis, 1000);
	b.f.now = 10000000;
	ioapic_run(&b.io);
	assert_int_equal(b.msis, 1001);
	assert_int_equal(ioapic_deadline(&b.io), DEV_NEVER);
	ioapic_eoi(&b.io, 0x44);
	assert_int_equal(b.msis, 1001);
	/* Served at last: the brake is off. */
	ioapic_set(&b.io, 20, false);
	assert_int_equal(ioapic_deadline(&b.io), DEV_NEVER);
	ioapic_set(&b.io, 20, true);
	assert_int_equal(b.msis, 1002);
	ioapic_eoi(&b.io, 0x44);
	assert_int_equal(b.msis, 1003);
}

/* A level that no CPU took is no interrupt in service: it is sent again. */
static void
test_not_taken(void **state)
{
	struct bed b;

	bed_init(&b);
	b.deaf = true;
	reg_write(&b, 0x10 + 2 * 11, 0x8030);
	ioapic_set(&b.io, 11, true);
	assert_int_equal(b.msis, 1);
	assert_int_equal(reg_read(&b, 0x10 + 2 * 11), 0x8030);
	assert_int_equal(ioapic_ends(&b.io, 0x30), 0);
	b.deaf = false;
	ioapic_set(&b.io, 11, true);
	assert_int_equal(b.msis, 2);
	assert_int_equal(reg_read(&b, 0x10 + 2 * 11), 0xc030);
	assert_int_equal(ioapic_ends(&b.io, 0x30), 1 << 11);
	assert_int_equal(ioapic_ends(&b.io, 0x31), 0);
}

static void
test_spray(void **state)
{
	static const uint8_t off[] = { 0, 0x10, 0x10, 0x11, 0x12, 0x13, 0x40 };
	struct bed b;
	uint64_t seed = 82093, v;
	unsigned i;
	uint32_t r;

	bed_init(&b);
	ioapic_set_env(&b.io, fake_env(&b.f));
	for (i = 0; i < 1500000; i++) {
		r = dice(&seed);
		v = (uint64_t)dice(&seed) << 32 | dice(&seed);
		if ((r & 1) == 0)
			b.f.now += r >> 20;
		switch (r >> 1 & 7) {
		case 0:
			ioapic_write(&b.io, 0, 1, 0x0e + (r >> 8) % 0x34);
			break;
		case 1:
			ioapic_set(&b.io, r >> 8 & 31, r & 0x4000);
			break;
		case 2:
			ioapic_eoi(&b.io, (uint8_t)(r >> 8));
			ioapic_run(&b.io);
			break;
		case 3:
			ioapic_read(
			    &b.io, off[(r >> 8) % 7], 1u << (r >> 16) % 4);
			break;
		default:
			ioapic_write(
			    &b.io, off[(r >> 8) % 7], 1u << (r >> 16) % 4, v);
			break;
		}
	}
	assert_true(b.msis > 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_edge),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_software_eoi),
		cmocka_unit_test(test_shared_vector),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_not_taken),
		cmocka_unit_test(test_spray),
	};

	return cmocka_run_group_tests_name("ioapic", tests, NULL, NULL);
}
