/* SPDX-License-Identifier: ISC */
#ifndef VMD_I8042_H
#define VMD_I8042_H

/* Ports 0x60/0x64 (a keyboard nobody presses; reset pulse), 0x92 and 0xcf9. */
#include "devenv.h"

struct i8042 {
	uint8_t status, command, cmdbyte, out, outport, port92, cf9;
	bool out_full;
	struct line irq; /* IRQ 1 */
	void (*reset)(void *arg);
	void *arg;
};

void i8042_init(struct i8042 *, struct line irq, void (*reset)(void *), void *);
uint8_t i8042_read(struct i8042 *, uint16_t port);
void i8042_write(struct i8042 *, uint16_t port, uint8_t val);

#endif
