/* SPDX-License-Identifier: ISC */

/* Port and MMIO dispatch: vmd/bus.c, compared with a slow twin. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "bus.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

/* A device of bytes that checks what the bus promises to it. */
struct dev {
	uint64_t len;
	unsigned sizes;
	uint8_t mem[64];
	unsigned reads, writes;
};

static uint64_t
dev_read(void *arg, uint64_t off, unsigned size)
{
	struct dev *d = arg;
	uint64_t val = 0;

	assert_true(off < d->len && size <= d->len - off);
	assert_true((d->sizes & size) != 0 && (size & (size - 1)) == 0);
	for (unsigned i = 0; i < size; i++)
		val |= (uint64_t)d->mem[off + i] << (8 * i);
	d->reads++;
	/* A device may return rubbish above its size. */
	return size < 8 ? val | UINT64_MAX << (8 * size) : val;
}

static void
dev_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct dev *d = arg;

	assert_true(off < d->len && size <= d->len - off);
	assert_true((d->sizes & size) != 0 && (size & (size - 1)) == 0);
	if (size < 8)
		assert_int_equal(val >> (8 * size), 0);
	for (unsigned i = 0; i < size; i++)
		d->mem[off + i] = (uint8_t)(val >> (8 * i));
	d->writes++;
}

#define OPS(n)                                                     \
	{                                                          \
		.sizes = (n), .read = dev_read, .write = dev_write \
	}
static const struct bus_ops ops1 = OPS(1), ops4 = OPS(4), ops124 = OPS(7),
			    ops_all = OPS(15);

static void
test_add(void **state)
{
	static const struct {
		const char *what;
		uint64_t base, len;
		int error;
	} rows[] = {
		{ "first", 0x100, 0x10, 0 },
		{ "below, touching", 0xf0, 0x10, 0 },
		{ "above, touching", 0x110, 0x10, 0 },
		{ "same", 0x100, 0x10, -EBUSY },
		{ "inside", 0x104, 1, -EBUSY },
		{ "around", 0x80, 0x200, -EBUSY },
		{ "over the beginning", 0xe8, 9, -EBUSY },
		{ "over the end", 0x11f, 2, -EBUSY },
		{ "far below", 0, 1, 0 },
		{ "last byte", 0xffff, 1, 0 },
		{ "empty", 0x200, 0, -EINVAL },
		{ "beyond limit", 0x10000, 1, -EINVAL },
		{ "across limit", 0xfff0, 0x11, -EINVAL },
		{ "wraps", 0x200, UINT64_MAX, -EINVAL },
	};
	struct bus b;

	bus_init(&b, 0x10000);
	for (size_t i = 0; i < LEN(rows); i++) {
		int r =
		    bus_add(&b, rows[i].base, rows[i].len, &ops_all, NULL, "t");
		if (r != rows[i].error)
			fail_msg("%s: %d", rows[i].what, r);
	}
	for (unsigned i = 1; i < b.n; i++)
		assert_true(
		    b.win[i - 1].base + b.win[i - 1].len <= b.win[i].base);
	assert_int_equal(bus_add(&b, 0x300, 1, NULL, NULL, "t"), -EINVAL);
	bus_remove(&b, 0x104); /* no window begins there */
	assert_int_equal(b.n, 5);
	bus_remove(&b, 0x100);
	assert_int_equal(b.n, 4);
	assert_int_equal(bus_add(&b, 0x104, 4, &ops_all, NULL, "t"), 0);
}

static void
test_full(void **state)
{
	struct bus b;

	bus_init(&b, UINT64_MAX);
	for (unsigned i = 0; i < BUS_WINDOWS; i++)
		assert_int_equal(bus_add(&b, (BUS_WINDOWS - i) * 16ULL, 16,
				     &ops_all, NULL, "t"),
		    0);
	assert_int_equal(
	    bus_add(&b, 0x10000, 16, &ops_all, NULL, "t"), -ENOSPC);
}

/* ATTACKS.md B, kvmtool e473028: an access that straddles a window's end. */
static void
test_access(void **state)
{
	static const struct {
		const char *what;
		uint64_t addr;
		unsigned size;
		uint64_t val; /* expected */
		unsigned calls; /* to the device */
	} rows[] = {
		{ "whole", 0x1000, 8, 0x0706050403020100, 1 },
		{ "inside", 0x1002, 2, 0x0302, 1 },
		{ "unaligned", 0x1001, 4, 0x04030201, 1 },
		{ "below", 0xfff, 1, 0xff, 0 },
		{ "over the beginning", 0xffe, 4, 0x0100ffff, 1 },
		{ "over the end", 0x100e, 4, 0xffff0f0e, 1 },
		{ "over the end, 8", 0x100d, 8, 0xffffffffff0f0e0d, 2 },
		{ "absent", 0x2000, 8, UINT64_MAX, 0 },
		{ "three bytes", 0x1000, 3, 0x020100, 2 },
		{ "top of the address space", UINT64_MAX - 1, 4, 0xffffffff,
		    0 },
		{ "size 0", 0x1000, 0, UINT64_MAX, 0 },
		{ "size 9", 0x1000, 9, UINT64_MAX, 0 },
	};
	struct dev d = { .len = 16, .sizes = 15 };
	struct bus b;

	bus_init(&b, UINT64_MAX);
	assert_int_equal(bus_add(&b, 0x1000, 16, &ops_all, &d, "t"), 0);
	for (size_t i = 0; i < LEN(rows); i++) {
		uint64_t v;

		for (unsigned j = 0; j < 16; j++)
			d.mem[j] = (uint8_t)j;
		d.reads = d.writes = 0;
		v = bus_read(&b, rows[i].addr, rows[i].size);
		if (v != rows[i].val || d.reads != rows[i].calls)
			fail_msg("%s: %#llx, %u calls", rows[i].what,
			    (unsigned long long)v, d.reads);
		bus_write(&b, rows[i].addr, rows[i].size, v);
		assert_int_equal(d.writes, rows[i].calls);
		for (unsigned j = 0; j < 16; j++)
			assert_int_equal(d.mem[j], j);
	}
}

static void
test_sizes(void **state)
{
	static const struct {
		const struct bus_ops *ops;
		unsigned size, calls;
		uint64_t val;
	} rows[] = {
		{ &ops1, 4, 4, 0x03020100 },
		{ &ops1, 8, 8, 0x0706050403020100 },
		{ &ops124, 8, 2, 0x0706050403020100 },
		{ &ops4, 8, 2, 0x0706050403020100 },
		{ &ops4, 2, 0, 0xffff }, /* smaller than it takes: absent */
		{ &ops4, 1, 0, 0xff },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct dev d = { .len = 16, .sizes = rows[i].ops->sizes };
		struct bus b;

		for (unsigned j = 0; j < 16; j++)
			d.mem[j] = (uint8_t)j;
		bus_init(&b, 0x10000);
		assert_int_equal(bus_add(&b, 0, 16, rows[i].ops, &d, "t"), 0);
		assert_int_equal(bus_read(&b, 0, rows[i].size), rows[i].val);
		assert_int_equal(d.reads, rows[i].calls);
	}
}

static void
test_exact(void **state)
{
	struct dev dw = { .len = 4, .sizes = 4 };
	struct dev byte = { .len = 1, .sizes = 1 };
	struct bus b;

	bus_init(&b, 0x10000);
	assert_int_equal(bus_add_exact(&b, 0xcf8, 4, &ops4, &dw, "t"), 0);
	assert_int_equal(bus_add(&b, 0xcf9, 1, &ops1, &byte, "t"), 0);
	assert_int_equal(bus_add_exact(&b, 0xcf8, 4, &ops4, &dw, "t"), -EBUSY);
	assert_int_equal(bus_add_exact(&b, 0xcf8, 2, &ops4, &dw, "t"), -EINVAL);
	assert_int_equal(
	    bus_add_exact(&b, 0xfffe, 4, &ops4, &dw, "t"), -EINVAL);
	assert_int_equal(bus_add_exact(&b, 0xcf8, 0, &ops4, &dw, "t"), -EINVAL);

	bus_write(&b, 0xcf8, 4, 0x80001234);
	assert_int_equal(bus_read(&b, 0xcf8, 4), 0x80001234);
	assert_int_equal(byte.writes, 0);
	bus_write(&b, 0xcf9, 1, 6);
	assert_int_equal(byte.mem[0], 6);
	assert_int_equal(bus_read(&b, 0xcf8, 4), 0x80001234);
	assert_int_equal(bus_read(&b, 0xcf8, 1), 0xff);
	assert_int_equal(bus_read(&b, 0xcf8, 2), 0x06ff);
}

/* The twin: one byte at a time, every window looked at. */
static uint8_t
slow_byte(const struct bus *b, uint64_t addr)
{
	for (unsigned i = 0; i < b->n; i++)
		if (addr >= b->win[i].base &&
		    addr - b->win[i].base < b->win[i].len) {
			struct dev *d = b->win[i].arg;

			return d->mem[addr - b->win[i].base];
		}
	return 0xff;
}

static void
test_random(void **state)
{
	static struct dev dev[24];
	struct bus b;
	unsigned added = 0;

	srandom(1);
	bus_init(&b, 0x400);
	for (unsigned i = 0; i < LEN(dev); i++) {
		uint64_t base = (uint64_t)random() % 0x400;

		dev[i].len = 1 + (uint64_t)random() % 40;
		dev[i].sizes = 15;
		for (unsigned j = 0; j < sizeof(dev[i].mem); j++)
			dev[i].mem[j] = (uint8_t)random();
		if (bus_add(&b, base, dev[i].len, &ops_all, &dev[i], "t") == 0)
			added++;
	}
	assert_true(added > 5);
	for (unsigned n = 0; n < 200000; n++) {
		uint64_t addr = (uint64_t)random() % 0x410, want = 0;
		unsigned size = 1 + (unsigned)random() % 8;

		for (unsigned i = 0; i < size; i++)
			want |= (uint64_t)slow_byte(&b, addr + i) << (8 * i);
		assert_int_equal(bus_read(&b, addr, size), want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_access),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
