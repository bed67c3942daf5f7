/* SPDX-License-Identifier: ISC */
/*
 * VGA memory, after the IBM "Personal System/2 Hardware Interface Technical
 * Reference", "Video Memory Organization" and "Graphics Controller
 * Registers".
 *
 * Invariant: an address in a plane is below VGA_PLANE, whatever the guest
 * wrote where: place() is the only one that makes them.
 */
#include "vga.h"

#define MISC_RAM     0x02 /* the processor sees the memory */
#define SEQ_NO_PAIRS 0x04 /* off: even addresses are planes 0, 2, odd 1, 3 */
#define SEQ_CHAIN4   0x08
#define GR_COMPARE   0x08 /* read mode 1, of the mode register */

struct place {
	unsigned addr; /* in a plane */
	unsigned planes; /* that a write may touch */
	unsigned plane; /* that a read is of */
};

/* "Memory Map" of the miscellaneous register. */
static bool
in_window(const struct vga *v, uint64_t off, unsigned *addr)
{
	static const struct {
		uint32_t from, len;
	} map[4] = {
		{ 0x00000, 0x20000 },
		{ 0x00000, 0x10000 },
		{ 0x10000, 0x08000 },
		{ 0x18000, 0x08000 },
	};
	unsigned i = v->gr[6] >> 2 & 3;

	if ((v->misc & MISC_RAM) == 0 || off < map[i].from ||
	    off - map[i].from >= map[i].len)
		return false;
	*addr = (unsigned)(off - map[i].from) % VGA_PLANE;
	return true;
}

static bool
place(const struct vga *v, uint64_t off, struct place *p)
{
	unsigned addr;

	if (!in_window(v, off, &addr))
		return false;
	p->addr = addr;
	p->planes = v->seq[2] & 0x0f;
	p->plane = v->gr[4] & 3;
	if ((v->seq[4] & SEQ_CHAIN4) != 0) {
		p->plane = addr & 3;
		p->planes &= 1U << p->plane;
		p->addr = addr & ~3U;
	} else if ((v->seq[4] & SEQ_NO_PAIRS) == 0) {
		p->plane = (p->plane & 2) | (addr & 1);
		p->planes &= (addr & 1) != 0 ? 0x0a : 0x05;
		p->addr = addr & ~1U;
	}
	return true;
}

/* Bits that have, in all planes that are cared for, the colour compared. */
static uint8_t
compare(const struct vga *v)
{
	unsigned differ = 0, i;

	for (i = 0; i < VGA_PLANES; i++) {
		if ((v->gr[7] >> i & 1) == 0)
			continue;
		differ |= v->latch[i] ^ ((v->gr[2] >> i & 1) != 0 ? 0xffU : 0);
	}
	return (uint8_t)~differ;
}

static uint64_t
mem_read(void *arg, uint64_t off, unsigned size)
{
	struct vga *v = arg;
	struct place p;
	unsigned i;

	if (!place(v, off, &p))
		return UINT64_MAX;
	for (i = 0; i < VGA_PLANES; i++)
		v->latch[i] = v->mem[i][p.addr];
	if ((v->gr[5] & GR_COMPARE) != 0)
		return compare(v);
	return v->latch[p.plane];
}

static uint8_t
rotated(const struct vga *v, uint8_t val)
{
	unsigned n = v->gr[3] & 7;

	return (uint8_t)(val >> n | val << (8 - n));
}

/* "Function Select" with what the last read left. */
static unsigned
combined(const struct vga *v, unsigned val, unsigned plane)
{
	switch (v->gr[3] >> 3 & 3) {
	case 1:
		return val & v->latch[plane];
	case 2:
		return val | v->latch[plane];
	case 3:
		return val ^ v->latch[plane];
	}
	return val;
}

static unsigned
spread(unsigned bits, unsigned plane)
{
	return (bits >> plane & 1) != 0 ? 0xff : 0;
}

/* What a write of val puts into a plane, by the "Write Mode". */
static uint8_t
plane_value(const struct vga *v, uint8_t val, unsigned plane)
{
	unsigned mask = v->gr[8], new = 0, old = v->latch[plane];

	switch (v->gr[5] & 3) {
	case 0:
		new = (v->gr[1] >> plane & 1) != 0 ? spread(v->gr[0], plane)
						   : rotated(v, val);
		new = combined(v, new, plane);
		break;
	case 1:
		return v->latch[plane];
	case 2:
		new = combined(v, spread(val, plane), plane);
		break;
	case 3:
		mask &= rotated(v, val);
		new = combined(v, spread(v->gr[0], plane), plane);
		break;
	}
	return (uint8_t)((new &mask) | (old & ~mask));
}

static void
mem_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct vga *v = arg;
	struct place p;
	unsigned i;

	if (!place(v, off, &p))
		return;
	for (i = 0; i < VGA_PLANES; i++) {
		if ((p.planes >> i & 1) != 0)
			v->mem[i][p.addr] = plane_value(v, (uint8_t)val, i);
	}
	if ((p.planes & 3) != 0)
		vga_draw_at(v, p.addr);
}

/* By bytes, as a card on an 8-bit bus. */
const struct bus_ops vga_mem_ops = {
	.sizes = 1, .read = mem_read, .write = mem_write
};
