/* SPDX-License-Identifier: ISC */
#ifndef VMD_I8254_H
#define VMD_I8254_H

/* 8254 timer: ports 0x40-0x43, and port 0x61 (gate 2, speaker, OUT2). */
#include "devenv.h"

#define I8254_HZ 1193182

struct i8254 {
	struct i8254_channel {
		uint8_t mode, access, bcd;
		uint32_t count; /* reload value, 1..65536 (10000 in BCD) */
		uint64_t start; /* now() at which counting began */
		bool gate, null_count, write_high, read_high;
		uint8_t write_low;
		uint8_t latched_status;
		bool has_status;
		uint16_t latched;
		uint8_t nlatched; /* bytes of the latch still unread */
		bool loaded, out;
		uint64_t periods; /* periods already signalled on OUT */
	} ch[3];
	bool speaker;
	struct line irq; /* OUT of channel 0 */
	struct devenv env;
};

void i8254_init(struct i8254 *, struct line irq, struct devenv);
uint8_t i8254_read(struct i8254 *, uint16_t port);
void i8254_write(struct i8254 *, uint16_t port, uint8_t val);
/* Deliver what is due; next instant at which OUT0 changes, or DEV_NEVER. */
void i8254_run(struct i8254 *);
uint64_t i8254_deadline(const struct i8254 *);

#endif
