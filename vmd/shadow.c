/* SPDX-License-Identifier: ISC */
/*
 * Shadow RAM, after the 440FX data sheet, "PAM - Programmable Attribute Map
 * Registers", "SMRAM - System Management RAM Control Register", and "Memory
 * Address Map".  There is no system management mode: SMRAM is either open or
 * nowhere.
 *
 * Invariants
 *  1. An area that reads and writes RAM is a slot of it.  One that reads RAM
 *     or ROM, and does not write what it reads, is a slot that is read-only:
 *     its writes come by the bus.  Any other is no slot.  The two areas of one
 *     register that are alike are one slot: firmware changes them together.
 *  2. The ROM is never written.
 *  3. The ROM's last 128 KiB, or all of a smaller one, also end at 1 MiB.
 */
#include <errno.h>
#include <string.h>
#include "shadow.h"

#define FOUR_GIB  (1ULL << 32)
#define LOW_ROM	  0x20000U /* of the ROM, below 1 MiB */
#define PAM_RE	  0x1 /* in a nibble */
#define PAM_WE	  0x2
#define SLOT_ROM  SHADOW_AREAS
#define SMRAM_LEN 0x20000

/* Areas 0-11 are the nibbles of PAM1-PAM6, 12 is the upper one of PAM0. */
static unsigned
pam_of(const uint8_t pam[SHADOW_PAMS], unsigned i)
{
	if (i == SHADOW_SEGMENTS - 1)
		return pam[0] >> 4;
	return pam[1 + i / 2] >> (i % 2 * 4);
}

static void
place(struct shadow *s, unsigned i)
{
	struct shadow_area *a = &s->area[i];
	uint32_t below; /* bytes from it to 1 MiB */

	if (i == SHADOW_SMRAM) {
		a->gpa = SHADOW_BASE;
		a->len = SMRAM_LEN;
	} else if (i == SHADOW_SEGMENTS - 1) {
		a->gpa = 0xf0000;
		a->len = 0x10000;
	} else {
		a->gpa = 0xc0000 + i * 0x4000ULL;
		a->len = 0x4000;
	}
	a->ram = gmem_range(s->mem, (struct gpa){ a->gpa }, a->len);
	below = (uint32_t)(SHADOW_END - a->gpa);
	a->rom = NULL;
	if (below <= LOW_ROM && below <= s->rom_len)
		a->rom = s->rom + s->rom_len - below;
}

static void
want(const struct shadow_area *a, struct shadow_slot *w)
{
	w->gpa = a->gpa;
	w->len = a->len;
	w->host = a->read ? a->ram : a->rom;
	w->how = SHADOW_READONLY;
	if (w->host == NULL)
		w->how = SHADOW_NONE;
	else if (a->read && a->write)
		w->how = SHADOW_RAM;
}

static bool
same(const struct shadow_slot *a, const struct shadow_slot *b)
{
	return a->how == b->how &&
	    (a->how == SHADOW_NONE || (a->len == b->len && a->host == b->host));
}

static void
join(struct shadow_slot *a, struct shadow_slot *b)
{
	if (a->how == SHADOW_NONE || a->how != b->how ||
	    b->host != (uint8_t *)a->host + a->len)
		return;
	a->len += b->len;
	b->how = SHADOW_NONE;
}

/* A slot does not change in place, and none overlaps another. */
static int
show(struct shadow *s, const struct shadow_slot wanted[SHADOW_AREAS])
{
	unsigned i;
	int r;

	for (i = 0; i < SHADOW_AREAS; i++) {
		struct shadow_slot *is = &s->slot[i];

		if (is->how == SHADOW_NONE || same(is, &wanted[i]))
			continue;
		r = s->ops->map(s->arg, i, is->gpa, is->len, NULL, SHADOW_NONE);
		if (r < 0)
			return r;
		is->how = SHADOW_NONE;
	}
	for (i = 0; i < SHADOW_AREAS; i++) {
		const struct shadow_slot *w = &wanted[i];

		if (same(&s->slot[i], w))
			continue;
		r = s->ops->map(s->arg, i, w->gpa, w->len, w->host, w->how);
		if (r < 0)
			return r;
		s->slot[i] = *w;
	}
	return 0;
}

int
shadow_set(struct shadow *s, const uint8_t pam[SHADOW_PAMS], bool smram_open)
{
	struct shadow_slot wanted[SHADOW_AREAS];
	struct shadow_area *a;
	unsigned bits, i;

	for (i = 0; i < SHADOW_AREAS; i++) {
		a = &s->area[i];
		if (i == SHADOW_SMRAM)
			bits = smram_open ? PAM_RE | PAM_WE : 0;
		else
			bits = pam_of(pam, i);
		a->read = (bits & PAM_RE) != 0;
		a->write = (bits & PAM_WE) != 0;
		want(a, &wanted[i]);
	}
	for (i = 0; i < SHADOW_SEGMENTS - 1; i += 2)
		join(&wanted[i], &wanted[i + 1]);
	return show(s, wanted);
}

int
shadow_init(struct shadow *s, const struct gmem *mem, uint8_t *rom,
    uint32_t rom_len, const struct shadow_ops *ops, void *arg)
{
	static const uint8_t reset[SHADOW_PAMS];
	int r;

	memset(s, 0, sizeof(*s));
	if (rom_len == 0 || rom_len % SHADOW_ROM_UNIT != 0 ||
	    rom_len > SHADOW_ROM_MAX)
		return -EINVAL;
	s->mem = mem;
	s->rom = rom;
	s->rom_len = rom_len;
	s->ops = ops;
	s->arg = arg;
	for (unsigned i = 0; i < SHADOW_AREAS; i++) {
		place(s, i);
		if (s->area[i].ram == NULL)
			return -EINVAL;
	}
	r = ops->map(
	    arg, SLOT_ROM, FOUR_GIB - rom_len, rom_len, rom, SHADOW_READONLY);
	return r < 0 ? r : shadow_set(s, reset, false);
}

static struct shadow_area *
area_at(struct shadow *s, uint64_t gpa)
{
	for (unsigned i = 0; i < SHADOW_AREAS; i++) {
		struct shadow_area *a = &s->area[i];

		if (gpa >= a->gpa && gpa - a->gpa < a->len)
			return a;
	}
	return NULL; /* the areas cover the window: never */
}

static uint64_t
shadow_read(void *arg, uint64_t off, unsigned size)
{
	struct shadow *s = arg;
	struct shadow_area *a = area_at(s, SHADOW_BASE + off);
	const uint8_t *p;

	if (s->video != NULL && a == &s->area[SHADOW_SMRAM] && !a->read)
		return s->video->read(s->video_arg, off, size);
	if (a == NULL || (p = a->read ? a->ram : a->rom) == NULL)
		return UINT64_MAX;
	return p[SHADOW_BASE + off - a->gpa];
}

static void
shadow_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct shadow *s = arg;
	struct shadow_area *a = area_at(s, SHADOW_BASE + off);
	uint8_t *p;

	if (s->video != NULL && a == &s->area[SHADOW_SMRAM] && !a->write) {
		s->video->write(s->video_arg, off, size, val);
	} else if (a != NULL && a->write) {
		p = a->ram + (SHADOW_BASE + off - a->gpa);
		*p = (uint8_t)val;
		gmem_wrote(s->mem, p, 1);
	}
}

/* By bytes: an access may lie across two areas. */
const struct bus_ops shadow_bus_ops = {
	.sizes = 1, .read = shadow_read, .write = shadow_write
};
