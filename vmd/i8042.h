/* SPDX-License-Identifier: ISC */
#ifndef VMD_I8042_H
#define VMD_I8042_H

/* Ports 0x60/0x64 (a keyboard and a mouse; reset pulse), 0x92 and 0xcf9. */
#include "devenv.h"
#include "ps2mouse.h"

#define I8042_QUEUE 8
#define I8042_KEYS  64 /* events that wait; more are lost */

struct i8042 {
	uint8_t status; /* bits other than OBF, IBF and SYS */
	uint8_t command; /* waiting for its data byte on port 0x60, or 0 */
	uint8_t ram[32]; /* ram[0] is the command byte */
	uint8_t out; /* output buffer */
	uint8_t outport, cf9;
	bool out_full;
	bool level, aux_level;
	struct i8042_kbd {
		uint8_t queue[I8042_QUEUE], n; /* bytes to send */
		uint8_t command; /* waiting for its argument, or 0 */
		uint8_t last; /* for resend */
		uint8_t set; /* scan code set */
		bool off; /* keys do nothing */
		uint32_t key[I8042_KEYS]; /* SCREEN_KEY_* */
		unsigned nkeys;
	} kbd;
	struct ps2mouse aux;
	struct line irq; /* IRQ 1 */
	struct line aux_irq; /* IRQ 12 */
	void (*reset)(void *arg);
	void *arg;
};

void i8042_init(struct i8042 *, struct line irq, struct line aux_irq,
    void (*reset)(void *), void *);
/* A key goes down or up: SCREEN_KEY_*. */
void i8042_key(struct i8042 *, uint32_t key);
uint8_t i8042_read(struct i8042 *, uint16_t port);
void i8042_write(struct i8042 *, uint16_t port, uint8_t val);

#endif
