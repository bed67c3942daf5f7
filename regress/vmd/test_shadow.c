/* SPDX-License-Identifier: ISC */

/*
 * Shadow RAM against the 440FX data sheet, "PAM - Programmable Attribute Map
 * Registers": what a processor reads and where its writes go, with the slots
 * as a hypervisor has them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "shadow.h"

#define LEN(a)	(sizeof(a) / sizeof((a)[0]))
#define MEM	(2ULL << 20)
#define ROM_LEN 0x40000U
#define RAM	0x11 /* what is where at first */
#define ROM	0x22
#define BUS	0xff
#define WROTE	0x33

struct bed {
	struct gmem mem;
	struct shadow s;
	uint8_t rom[ROM_LEN];
	struct slot {
		uint64_t gpa, len;
		uint8_t *host;
		enum shadow_show how;
	} slot[SHADOW_AREAS + 1];
	unsigned calls;
	int fail; /* what map() says from now on */
};

static int
on_map(void *arg, unsigned slot, uint64_t gpa, uint64_t len, void *host,
    enum shadow_show how)
{
	struct bed *b = arg;

	b->calls++;
	if (b->fail != 0)
		return b->fail;
	assert_true(slot < LEN(b->slot));
	assert_true((host == NULL) == (how == SHADOW_NONE));
	/* Made of nothing, taken away as a whole. */
	if (how == SHADOW_NONE) {
		assert_true(b->slot[slot].how != SHADOW_NONE);
		assert_int_equal(b->slot[slot].gpa, gpa);
	} else
		assert_int_equal(b->slot[slot].how, SHADOW_NONE);
	for (unsigned i = 0; i < LEN(b->slot); i++)
		if (i != slot && b->slot[i].how != SHADOW_NONE)
			assert_true(gpa + len <= b->slot[i].gpa ||
			    b->slot[i].gpa + b->slot[i].len <= gpa);
	b->slot[slot] = (struct slot){ gpa, len, host, how };
	return 0;
}

static const struct shadow_ops ops = { .map = on_map };

static void
bed_init(struct bed *b)
{
	memset(b, 0, sizeof(*b));
	assert_int_equal(gmem_create(&b->mem, MEM), 0);
	memset(gmem_range(&b->mem, (struct gpa){ 0 }, MEM), RAM, MEM);
	memset(b->rom, ROM, ROM_LEN);
	assert_int_equal(
	    shadow_init(&b->s, &b->mem, b->rom, ROM_LEN, &ops, b), 0);
}

/* As a processor: by a slot, else by the bus. */
static uint8_t
peek(struct bed *b, uint64_t gpa)
{
	for (unsigned i = 0; i < LEN(b->slot); i++) {
		const struct slot *s = &b->slot[i];

		if (s->how != SHADOW_NONE && gpa >= s->gpa &&
		    gpa - s->gpa < s->len)
			return s->host[gpa - s->gpa];
	}
	return (uint8_t)shadow_bus_ops.read(&b->s, gpa - SHADOW_BASE, 1);
}

static void
poke(struct bed *b, uint64_t gpa, uint8_t val)
{
	for (unsigned i = 0; i < LEN(b->slot); i++) {
		const struct slot *s = &b->slot[i];

		if (s->how == SHADOW_RAM && gpa >= s->gpa &&
		    gpa - s->gpa < s->len) {
			s->host[gpa - s->gpa] = val;
			return;
		}
	}
	shadow_bus_ops.write(&b->s, gpa - SHADOW_BASE, 1, val);
}

/* Which register and nibble an address belongs to. */
static const struct {
	uint64_t first, last;
	unsigned pam, shift;
	uint8_t rom; /* what is there when RAM is not */
} segments[] = {
	{ 0xc0000, 0xc3fff, 1, 0, BUS },
	{ 0xc4000, 0xc7fff, 1, 4, BUS },
	{ 0xc8000, 0xcbfff, 2, 0, BUS },
	{ 0xcc000, 0xcffff, 2, 4, BUS },
	{ 0xd0000, 0xd3fff, 3, 0, BUS },
	{ 0xd4000, 0xd7fff, 3, 4, BUS },
	{ 0xd8000, 0xdbfff, 4, 0, BUS },
	{ 0xdc000, 0xdffff, 4, 4, BUS },
	{ 0xe0000, 0xe3fff, 5, 0, ROM },
	{ 0xe4000, 0xe7fff, 5, 4, ROM },
	{ 0xe8000, 0xebfff, 6, 0, ROM },
	{ 0xec000, 0xeffff, 6, 4, ROM },
	{ 0xf0000, 0xfffff, 0, 4, ROM },
};

/* The lower two bits of a nibble: read enable, write enable. */
static const struct {
	const char *name;
	unsigned bits;
	bool read, write;
} attributes[] = {
	{ "disabled", 0, false, false },
	{ "read only", 1, true, false },
	{ "write only", 2, false, true },
	{ "read and write", 3, true, true },
	{ "reserved bits", 0xc, false, false },
	{ "read only, reserved bits", 0xd, true, false },
};

static void
check_place(struct bed *b, uint64_t gpa, uint8_t rom, bool read, bool write)
{
	uint8_t *ram = gmem_range(&b->mem, (struct gpa){ gpa }, 1);

	*ram = RAM;
	assert_int_equal(peek(b, gpa), read ? RAM : rom);
	(void)gmem_take(&b->mem, gpa / 4096 / 64);
	poke(b, gpa, WROTE);
	assert_int_equal(*ram, write ? WROTE : RAM);
	/* Not by a slot: the hypervisor's log does not have it. */
	if (write && !read)
		assert_int_equal(gmem_take(&b->mem, gpa / 4096 / 64),
		    1ULL << gpa / 4096 % 64);
	if (!read)
		assert_int_equal(peek(b, gpa), rom);
	*ram = RAM;
}

static void
test_attributes(void **state)
{
	struct bed *b = malloc(sizeof(*b));
	uint8_t pam[SHADOW_PAMS];
	unsigned i, k, n;

	bed_init(b);
	for (i = 0; i < LEN(segments); i++)
		for (k = 0; k < LEN(attributes); k++) {
			memset(pam, 0, sizeof(pam));
			pam[segments[i].pam] =
			    (uint8_t)(attributes[k].bits << segments[i].shift);
			assert_int_equal(shadow_set(&b->s, pam, false), 0);
			for (n = 0; n < LEN(segments); n++) {
				bool on = n == i;

				check_place(b, segments[n].first,
				    segments[n].rom, on && attributes[k].read,
				    on && attributes[k].write);
				check_place(b, segments[n].last,
				    segments[n].rom, on && attributes[k].read,
				    on && attributes[k].write);
			}
		}
	/* The ROM is as it was, whatever was written. */
	for (i = 0; i < ROM_LEN; i++)
		assert_int_equal(b->rom[i], ROM);
	gmem_destroy(&b->mem);
	free(b);
}

/* After a reset: the ROM at the end of 4 GiB and of 1 MiB. */
static void
test_reset(void **state)
{
	struct bed *b = malloc(sizeof(*b));

	bed_init(b);
	b->rom[ROM_LEN - 16] = 0xea;
	b->rom[ROM_LEN - 0x20000] = 0xe0;
	assert_int_equal(peek(b, 0xfffffff0), 0xea);
	assert_int_equal(peek(b, 0xffff0), 0xea);
	assert_int_equal(peek(b, 0xe0000), 0xe0);
	assert_int_equal(peek(b, 0xfffc0000), ROM);
	assert_int_equal(peek(b, 0xa0000), BUS);
	assert_int_equal(peek(b, 0xbffff), BUS);
	gmem_destroy(&b->mem);
	free(b);
}

/* "SMRAM": open, or nowhere. */
static void
test_smram(void **state)
{
	static const uint8_t pam[SHADOW_PAMS];
	struct bed *b = malloc(sizeof(*b));

	bed_init(b);
	check_place(b, 0xa0000, BUS, false, false);
	check_place(b, 0xbffff, BUS, false, false);
	assert_int_equal(shadow_set(&b->s, pam, true), 0);
	check_place(b, 0xa0000, BUS, true, true);
	check_place(b, 0xbffff, BUS, true, true);
	check_place(b, 0xc0000, BUS, false, false);
	assert_int_equal(shadow_set(&b->s, pam, false), 0);
	check_place(b, 0xa0000, BUS, false, false);
	gmem_destroy(&b->mem);
	free(b);
}

static uint64_t
video_read(void *arg, uint64_t off, unsigned size)
{
	const uint64_t *last = arg;

	return *last == off ? 0x56 : 0;
}

static void
video_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	uint64_t *last = arg;

	*last = off;
}

/* A video card is behind SMRAM, and nowhere else. */
static void
test_video(void **state)
{
	static const struct bus_ops video = { 1, video_read, video_write };
	static const uint8_t pam[SHADOW_PAMS];
	struct bed *b = malloc(sizeof(*b));
	uint64_t last = 0;

	bed_init(b);
	b->s.video = &video;
	b->s.video_arg = &last;
	poke(b, 0xb8123, 1);
	assert_int_equal(last, 0x18123);
	assert_int_equal(peek(b, 0xb8123), 0x56);
	poke(b, 0xc0000, 1);
	assert_int_equal(last, 0x18123);
	assert_int_equal(shadow_set(&b->s, pam, true), 0);
	poke(b, 0xb8000, 0x33);
	assert_int_equal(peek(b, 0xb8000), 0x33);
	assert_int_equal(last, 0x18123);
	gmem_destroy(&b->mem);
	free(b);
}

/* Nothing is done twice; a refusal leaves what is known to be so. */
static void
test_slots(void **state)
{
	static const uint8_t all[SHADOW_PAMS] = { 0x30, 0x33, 0x33, 0x33, 0x33,
		0x33, 0x33 };
	static const uint8_t none[SHADOW_PAMS];
	struct bed *b = malloc(sizeof(*b));
	unsigned calls;

	bed_init(b);
	assert_int_equal(shadow_set(&b->s, all, false), 0);
	calls = b->calls;
	assert_int_equal(shadow_set(&b->s, all, false), 0);
	assert_int_equal(b->calls, calls);
	b->fail = -ENOMEM;
	assert_int_equal(shadow_set(&b->s, none, false), -ENOMEM);
	b->fail = 0;
	assert_int_equal(shadow_set(&b->s, none, false), 0);
	check_place(b, 0xf0000, ROM, false, false);
	gmem_destroy(&b->mem);
	free(b);
}

/* What firmware does as it begins, by PAM1 to PAM6 and PAM0, and as it ends. */
static void
test_pairs(void **state)
{
	static const uint8_t unlike[SHADOW_PAMS] = { 0x10, 0x13, 0x33, 0x02,
		0x33, 0x31, 0x11 };
	struct bed *b = malloc(sizeof(*b));
	uint8_t pam[SHADOW_PAMS] = { 0 };
	unsigned i;

	bed_init(b);
	b->calls = 0;
	for (i = 1; i < SHADOW_PAMS; i++) {
		pam[i] = 0x33;
		assert_int_equal(shadow_set(&b->s, pam, false), 0);
	}
	pam[0] = 0x30;
	assert_int_equal(shadow_set(&b->s, pam, false), 0);
	/* Of nothing into RAM four times, three times of ROM. */
	assert_int_equal(b->calls, 4 + 3 * 2);
	b->calls = 0;
	pam[6] = 0x11;
	assert_int_equal(shadow_set(&b->s, pam, false), 0);
	assert_int_equal(b->calls, 2);
	/* A pair comes apart, and together again. */
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(shadow_set(&b->s, unlike, false), 0);
		for (i = 0; i < LEN(segments); i++) {
			unsigned bits =
			    unlike[segments[i].pam] >> segments[i].shift;

			check_place(b, segments[i].first, segments[i].rom,
			    bits & 1, bits & 2);
			check_place(b, segments[i].last, segments[i].rom,
			    bits & 1, bits & 2);
		}
		assert_int_equal(shadow_set(&b->s, pam, false), 0);
		for (i = 0; i < LEN(segments); i++)
			check_place(b, segments[i].last, segments[i].rom, true,
			    segments[i].pam != 6);
	}
	gmem_destroy(&b->mem);
	free(b);
}

static void
test_bad(void **state)
{
	static const uint32_t lens[] = { 0, 1, 0xffff, 0x1800, 0x10001,
		(16U << 20) + 0x10000, 0xffff0000 };
	struct bed *b = malloc(sizeof(*b));
	struct gmem small;

	bed_init(b);
	for (unsigned i = 0; i < LEN(lens); i++)
		assert_int_equal(
		    shadow_init(&b->s, &b->mem, b->rom, lens[i], &ops, b),
		    -EINVAL);
	assert_int_equal(gmem_create(&small, 0x90000), 0);
	assert_int_equal(
	    shadow_init(&b->s, &small, b->rom, ROM_LEN, &ops, b), -EINVAL);
	gmem_destroy(&small);
	gmem_destroy(&b->mem);
	free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_smram),
		cmocka_unit_test(test_video),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
