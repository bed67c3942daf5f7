/* SPDX-License-Identifier: ISC */
#ifndef VMD_VGA_H
#define VMD_VGA_H

/*
 * A VGA's registers (ports 0x3b4-0x3df) and memory (0xa0000-0xbffff), as far
 * as text needs them.  Caller holds the machine lock.
 */
#include <stdint.h>
#include "bus.h"
#include "screen.h"

/* What firmware shows text with: Debian's package seabios. */
#define VGA_BIOS     "/usr/share/seabios/vgabios-isavga.bin"
#define VGA_MEM_BASE 0xa0000ULL
#define VGA_MEM_LEN  0x20000ULL
#define VGA_MEM_END  (VGA_MEM_BASE + VGA_MEM_LEN)
#define VGA_PLANE    0x10000U
#define VGA_PLANES   4
#define VGA_SEQ	     5
#define VGA_CRTC     25
#define VGA_GR	     9
#define VGA_ATTR     21

struct vga {
	struct screen *out; /* what is shown, a page that others read */
	uint8_t misc, status; /* status: input status register 1 */
	uint8_t seq_index, crtc_index, gr_index, attr_index;
	bool attr_data; /* the next write to 0x3c0 is the register's */
	uint8_t seq[VGA_SEQ], crtc[VGA_CRTC], gr[VGA_GR], attr[VGA_ATTR];
	uint8_t dac[256 * 3], dac_mask;
	unsigned dac_read, dac_write; /* bytes */
	bool dac_reading;
	uint8_t latch[VGA_PLANES];
	uint8_t mem[VGA_PLANES][VGA_PLANE];
};

/* In 80 by 25 text, blank, as a BIOS leaves it. */
void vga_init(struct vga *, struct screen *out);
uint8_t vga_read(struct vga *, uint16_t port);
void vga_write(struct vga *, uint16_t port, uint8_t val);
/* Windows of the memory, at VGA_MEM_BASE. */
extern const struct bus_ops vga_mem_ops;
/* For vga.c and vga_mem.c: the screen again, or after a cell's change. */
void vga_draw(struct vga *);
void vga_draw_at(struct vga *, unsigned addr);

#endif
