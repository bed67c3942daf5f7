/* SPDX-License-Identifier: ISC */
/*
 * VGA registers, after the IBM "Personal System/2 Hardware Interface
 * Technical Reference", "Video Subsystem": general registers, sequencer, CRT
 * controller, graphics controller, attribute controller, DAC.
 *
 * Invariants
 *  1. An index beyond a controller's registers reads 0 and writes nothing.
 *  2. out is what screen_ok() takes after each change: cols and rows come
 *     from registers and are cut to what fits.
 *
 * There is no picture, so there is no time: input status register 1 says
 * retrace and no retrace in turn, which ends every loop that waits for one.
 */
#include <string.h>
#include "vga.h"

#define MISC_COLOUR   0x01 /* ports 0x3dX, not 0x3bX */
#define ST_RETRACE    0x09 /* no display, vertical retrace */
#define ATTR_VIDEO    0x20 /* in the index */
#define ATTR_GRAPHICS 0x01 /* of the mode register */
#define GR_GRAPHICS   0x01 /* of the miscellaneous register */
#define SEQ_OFF	      0x20 /* of the clocking mode */
#define CURSOR_OFF    0x20
#define CRTC_LOCK     0x80 /* of 0x11: registers 0-7 are read-only */
#define LINE_COMPARE  0x10 /* ... but this bit of 7 */
#define PLANE_CELLS   (VGA_PLANE / 2)
#define BLANK	      0x0720

/* ---- what is shown ---- */

static bool
shows_text(const struct vga *v)
{
	return (v->gr[6] & GR_GRAPHICS) == 0 &&
	    (v->attr[0x10] & ATTR_GRAPHICS) == 0;
}

static enum screen_mode
mode_of(const struct vga *v)
{
	if ((v->attr_index & ATTR_VIDEO) == 0 || (v->seq[1] & SEQ_OFF) != 0)
		return SCREEN_OFF;
	return shows_text(v) ? SCREEN_TEXT : SCREEN_GRAPHICS;
}

/* Scan lines by lines of a character. */
static unsigned
text_rows(const struct vga *v)
{
	unsigned lines = v->crtc[0x12] | (v->crtc[7] & 0x02U) << 7 |
	    (v->crtc[7] & 0x40U) << 3;
	unsigned height = (v->crtc[9] & 0x1fU) + 1;

	if ((v->crtc[9] & 0x80) != 0) /* each line twice */
		height *= 2;
	return (lines + 1) / height;
}

static unsigned
start_of(const struct vga *v)
{
	return (unsigned)v->crtc[0x0c] << 8 | v->crtc[0x0d];
}

/* Cells from one row's begin to the next one's. */
static unsigned
stride_of(const struct vga *v)
{
	return v->crtc[0x13] * 2U;
}

static void
draw_cursor(struct vga *v)
{
	unsigned at = (unsigned)v->crtc[0x0e] << 8 | v->crtc[0x0f];
	unsigned stride = stride_of(v), row, col;
	uint32_t cursor = SCREEN_NOCURSOR;

	if ((v->crtc[0x0a] & CURSOR_OFF) == 0 && stride != 0) {
		at = (at - start_of(v)) % PLANE_CELLS;
		row = at / stride;
		col = at % stride;
		if (row < v->out->rows && col < v->out->cols)
			cursor = row * v->out->cols + col;
	}
	v->out->cursor = cursor;
}

static uint16_t
cell_at(const struct vga *v, unsigned row, unsigned col)
{
	unsigned n = (start_of(v) + row * stride_of(v) + col) % PLANE_CELLS;

	return (uint16_t)(v->mem[1][2 * n] << 8 | v->mem[0][2 * n]);
}

void
vga_draw(struct vga *v)
{
	struct screen *s = v->out;
	unsigned row, col, rows;

	s->mode = mode_of(v);
	if (s->mode != SCREEN_TEXT) {
		s->cursor = SCREEN_NOCURSOR;
		s->cols = s->rows = 0;
		return;
	}
	s->cols = v->crtc[1] + 1U;
	rows = text_rows(v);
	if (rows > SCREEN_CELLS / s->cols)
		rows = SCREEN_CELLS / s->cols;
	s->rows = rows == 0 ? 1 : rows;
	for (row = 0; row < s->rows; row++) {
		for (col = 0; col < s->cols; col++)
			s->cell[row * s->cols + col] = cell_at(v, row, col);
	}
	draw_cursor(v);
}

/* addr: in a plane. */
void
vga_draw_at(struct vga *v, unsigned addr)
{
	struct screen *s = v->out;
	unsigned stride = stride_of(v), n, row, col;

	if (s->mode != SCREEN_TEXT)
		return;
	n = (addr / 2 - start_of(v)) % PLANE_CELLS;
	/* Rows that overlap have the cell twice. */
	if (stride < s->cols) {
		vga_draw(v);
		return;
	}
	row = n / stride;
	col = n % stride;
	if (row < s->rows && col < s->cols)
		s->cell[row * s->cols + col] = cell_at(v, row, col);
}

/* ---- registers ---- */

static void
crtc_write(struct vga *v, uint8_t val)
{
	unsigned i = v->crtc_index;

	if (i >= VGA_CRTC)
		return;
	if (i <= 7 && (v->crtc[0x11] & CRTC_LOCK) != 0) {
		if (i != 7)
			return;
		val = (uint8_t)((v->crtc[7] & ~LINE_COMPARE) |
		    (val & LINE_COMPARE));
	}
	v->crtc[i] = val;
	/* The cursor moves with each character that is written. */
	if (i == 0x0a || i == 0x0e || i == 0x0f) {
		if (v->out->mode == SCREEN_TEXT)
			draw_cursor(v);
	} else
		vga_draw(v);
}

static void
attr_write(struct vga *v, uint8_t val)
{
	unsigned i = v->attr_index & 0x1f;

	if (!v->attr_data)
		v->attr_index = val & 0x3f;
	else if (i < VGA_ATTR)
		v->attr[i] = val;
	v->attr_data = !v->attr_data;
	vga_draw(v);
}

static uint8_t
dac_next(struct vga *v)
{
	uint8_t val = v->dac[v->dac_read];

	v->dac_read = (v->dac_read + 1) % sizeof(v->dac);
	return val;
}

static void
dac_set(struct vga *v, uint8_t val)
{
	v->dac[v->dac_write] = val & 0x3f;
	v->dac_write = (v->dac_write + 1) % sizeof(v->dac);
}

/* 0x3bX and 0x3dX are the same registers; one of them is there. */
static bool
is_there(const struct vga *v, uint16_t port)
{
	if (port >= 0x3c0 && port <= 0x3cf)
		return true;
	return (port >= 0x3d0) == ((v->misc & MISC_COLOUR) != 0);
}

static uint8_t
status_read(struct vga *v)
{
	v->attr_data = false;
	v->status ^= ST_RETRACE;
	return v->status;
}

uint8_t
vga_read(struct vga *v, uint16_t port)
{
	unsigned i = v->attr_index & 0x1f;

	if (!is_there(v, port))
		return 0xff;
	switch (port) {
	case 0x3c0:
		return v->attr_index;
	case 0x3c1:
		return i < VGA_ATTR ? v->attr[i] : 0;
	case 0x3c2: /* input status 0: no interrupt, a monitor is there */
		return 0x10;
	case 0x3c4:
		return v->seq_index;
	case 0x3c5:
		return v->seq_index < VGA_SEQ ? v->seq[v->seq_index] : 0;
	case 0x3c6:
		return v->dac_mask;
	case 0x3c7:
		return v->dac_reading ? 3 : 0;
	case 0x3c8:
		return (uint8_t)(v->dac_write / 3);
	case 0x3c9:
		return dac_next(v);
	case 0x3ca: /* feature control */
		return 0;
	case 0x3cc:
		return v->misc;
	case 0x3ce:
		return v->gr_index;
	case 0x3cf:
		return v->gr_index < VGA_GR ? v->gr[v->gr_index] : 0;
	case 0x3b4:
	case 0x3d4:
		return v->crtc_index;
	case 0x3b5:
	case 0x3d5:
		return v->crtc_index < VGA_CRTC ? v->crtc[v->crtc_index] : 0;
	case 0x3ba:
	case 0x3da:
		return status_read(v);
	}
	return 0xff;
}

static void
write_common(struct vga *v, uint16_t port, uint8_t val)
{
	switch (port) {
	case 0x3c0:
		attr_write(v, val);
		break;
	case 0x3c2:
		v->misc = val;
		break;
	case 0x3c4:
		v->seq_index = val;
		break;
	case 0x3c5:
		if (v->seq_index < VGA_SEQ)
			v->seq[v->seq_index] = val;
		vga_draw(v);
		break;
	case 0x3c6:
		v->dac_mask = val;
		break;
	case 0x3c7:
		v->dac_read = val * 3U;
		v->dac_reading = true;
		break;
	case 0x3c8:
		v->dac_write = val * 3U;
		v->dac_reading = false;
		break;
	case 0x3c9:
		dac_set(v, val);
		break;
	case 0x3ce:
		v->gr_index = val;
		break;
	case 0x3cf:
		if (v->gr_index < VGA_GR)
			v->gr[v->gr_index] = val;
		if (v->gr_index == 6)
			vga_draw(v);
		break;
	}
}

void
vga_write(struct vga *v, uint16_t port, uint8_t val)
{
	if (!is_there(v, port))
		return;
	switch (port) {
	case 0x3b4:
	case 0x3d4:
		v->crtc_index = val;
		break;
	case 0x3b5:
	case 0x3d5:
		crtc_write(v, val);
		break;
	default:
		write_common(v, port, val);
		break;
	}
}

/* "Mode 3+": 80 by 25, characters of 16 lines. */
static const uint8_t seq3[VGA_SEQ] = { 0x03, 0x00, 0x03, 0x00, 0x02 };
static const uint8_t crtc3[VGA_CRTC] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81,
	0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
	0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff };
static const uint8_t gr3[VGA_GR] = { 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e,
	0x0f, 0xff };
static const uint8_t attr3[VGA_ATTR] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05,
	0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00,
	0x0f, 0x08, 0x00 };

void
vga_init(struct vga *v, struct screen *out)
{
	unsigned i;

	memset(v, 0, sizeof(*v));
	v->out = out;
	v->misc = 0x67;
	memcpy(v->seq, seq3, sizeof(seq3));
	memcpy(v->crtc, crtc3, sizeof(crtc3));
	memcpy(v->gr, gr3, sizeof(gr3));
	memcpy(v->attr, attr3, sizeof(attr3));
	v->attr_index = ATTR_VIDEO;
	v->dac_mask = 0xff;
	for (i = 0; i < VGA_PLANE; i += 2) {
		v->mem[0][i] = BLANK & 0xff;
		v->mem[1][i] = BLANK >> 8;
	}
	vga_draw(v);
}
