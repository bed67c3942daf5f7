/* SPDX-License-Identifier: ISC */
#ifndef VMD_PS2MOUSE_H
#define VMD_PS2MOUSE_H

/* A mouse with two buttons at the i8042's auxiliary port. */
#include <stdbool.h>
#include <stdint.h>

#define PS2MOUSE_QUEUE 4

struct ps2mouse {
	uint8_t queue[PS2MOUSE_QUEUE], n; /* bytes to send */
	uint8_t command; /* waiting for its argument, or 0 */
	uint8_t last; /* for resend */
	uint8_t rate, resolution;
	bool enabled, remote, wrap, twice;
};

void ps2mouse_init(struct ps2mouse *);
void ps2mouse_write(struct ps2mouse *, uint8_t);
/* The next byte that it sends; false when there is none. */
bool ps2mouse_next(struct ps2mouse *, uint8_t *);

#endif
