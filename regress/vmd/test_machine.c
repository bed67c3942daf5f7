/* SPDX-License-Identifier: ISC */
/*
 * The machine whole (vmd/machine.c), without firmware or a screen, with
 * firmware, with both: no port and no address does harm, whatever the size of
 * an access and however many a string instruction has; what is not there reads
 * as ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../vmd/machine.c"
#include "../novmm.h"

#include "screen.h"

#define MEM   (16ULL << 20)
#define ROM   (64U << 10)
#define GUARD 0x5a

enum { WITH_ROM = 1, WITH_SCREEN = 2, KINDS = 4 };

static struct {
	struct event_base *base;
	struct gmem mem;
	struct screen screen;
	uint8_t rom[ROM], genid[GENID_LEN];
	struct machine *m;
} r;

static void
on_ended(void *arg, enum vm_end how, const char *detail)
{
}

static void
on_nothing(void *arg)
{
}

static void
on_bool(void *arg, bool on)
{
}

static const struct machine_ops calls = {
	.ended = on_ended,
	.button_read = on_nothing,
	.kick = on_nothing,
	.hold = on_bool,
	.panicked = on_bool,
	.flash_changed = on_nothing,
};

static void
make(unsigned how)
{
	struct machine_conf c = {
		.mem = &r.mem,
		.name = "one",
		.cpus = 2,
		.console = { -1, -1, -1 },
		.rom = (how & WITH_ROM) ? r.rom : NULL,
		.rom_len = (how & WITH_ROM) ? ROM : 0,
		.screen = (how & WITH_SCREEN) ? &r.screen : NULL,
		.genid = r.genid,
		.ops = &calls,
	};

	memset(r.rom, 0xc3, ROM);
	r.base = event_base_new();
	assert_non_null(r.base);
	c.base = r.base;
	assert_int_equal(gmem_create(&r.mem, MEM), 0);
	assert_int_equal(machine_new(&r.m, &c), 0);
}

static void
unmake(void)
{
	machine_free(r.m);
	event_base_free(r.base);
	gmem_destroy(&r.mem);
}

/* Is any byte of the access somebody's? */
static bool
is_there(const struct bus *b, uint64_t addr, unsigned size)
{
	const struct bus_window *w;
	unsigned i;

	for (i = 0; i < b->n + b->nexact; i++) {
		w = i < b->n ? &b->win[i] : &b->exact[i - b->n];
		if (addr < w->base + w->len && w->base < addr + size)
			return true;
	}
	return false;
}

/* Of COUNT elements, and nothing beyond them. */
static void
in(uint16_t port, unsigned size, uint32_t count)
{
	uint8_t data[5 * 4];
	size_t len = (size_t)size * count, i;

	memset(data, GUARD, sizeof(data));
	machine_pio(r.m, port, size, count, false, data);
	for (i = len; i < sizeof(data); i++)
		assert_int_equal(data[i], GUARD);
	if (is_there(&r.m->pio, port, size))
		return;
	for (i = 0; i < len; i++)
		if (data[i] != 0xff)
			fail_msg("port %#x, %u of %u bytes: %#x", port, count,
			    size, data[i]);
}

static void
out(uint16_t port, unsigned size, uint32_t count, uint8_t val)
{
	uint8_t data[5 * 4], was[sizeof(data)];

	memset(data, val, sizeof(data));
	memcpy(was, data, sizeof(was));
	machine_pio(r.m, port, size, count, true, data);
	assert_memory_equal(data, was, sizeof(was));
}

static void
test_every_port(void **state)
{
	static const uint8_t vals[] = { 0x00, 0xff, 0xa5 };
	unsigned how, port, size, i;

	for (how = 0; how < KINDS; how++) {
		make(how);
		for (i = 0; i < sizeof(vals); i++)
			for (port = 0; port < PORTS; port++)
				for (size = 1; size <= 4; size *= 2) {
					in((uint16_t)port, size, 1);
					in((uint16_t)port, size, 4);
					out((uint16_t)port, size, 1, vals[i]);
					out((uint16_t)port, size, 5, vals[i]);
				}
		machine_run(r.m);
		unmake();
	}
}

/* A string longer than a page, as REP makes them. */
static void
test_long_strings(void **state)
{
	static const uint16_t ports[] = { 0x20, 0x40, 0x60, 0x71, 0x3f8, 0x511,
		0xcf8, 0xcfc, 0xcfd, 0x1234, 0xffff };
	uint8_t *data = malloc(4 * 4096);
	unsigned i, size;

	assert_non_null(data);
	make(WITH_ROM | WITH_SCREEN);
	for (i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		for (size = 1; size <= 4; size *= 2) {
			memset(data, 0, 4 * 4096);
			machine_pio(r.m, ports[i], size, 4096, false, data);
			machine_pio(r.m, ports[i], size, 4096, true, data);
		}
	unmake();
	free(data);
}

/* Windows' ends and what is between them, and the ends of all. */
static void
test_every_window_of_memory(void **state)
{
	static const uint64_t also[] = { 0, 0x9fffe, 0xfffffe, MEM - 2, MEM,
		0xc0000000, 0xfebffffe, 0xfee00000, 0xfffffffe, 0x100000000,
		MMIO_LIMIT - 4, MMIO_LIMIT, UINT64_MAX - 3 };
	uint64_t at[2 * BUS_WINDOWS + sizeof(also) / sizeof(also[0])];
	uint8_t data[8];
	unsigned how, i, n, size, k;
	int off;

	for (how = 0; how < KINDS; how++) {
		make(how);
		n = sizeof(also) / sizeof(also[0]);
		memcpy(at, also, sizeof(also));
		for (i = 0; i < r.m->mmio.n; i++) {
			at[n++] = r.m->mmio.win[i].base;
			at[n++] = r.m->mmio.win[i].base + r.m->mmio.win[i].len;
		}
		for (i = 0; i < n; i++)
			for (off = -8; off < 8; off++)
				for (size = 1; size <= 8; size *= 2) {
					uint64_t a =
					    at[i] + (uint64_t)(int64_t)off;

					memset(data, 0xa5, sizeof(data));
					machine_mmio(r.m, a, size, true, data);
					memset(data, 0, sizeof(data));
					machine_mmio(r.m, a, size, false, data);
					if (a > UINT64_MAX - size ||
					    is_there(&r.m->mmio, a, size))
						continue;
					for (k = 0; k < size; k++)
						assert_int_equal(data[k], 0xff);
				}
		unmake();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_port),
		cmocka_unit_test(test_long_strings),
		cmocka_unit_test(test_every_window_of_memory),
	};

	log_init(LOG_TO_STDERR, "test");
	log_setverbose(-1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
