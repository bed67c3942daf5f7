/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CHIP_I8259_H
#define CHIP_I8259_H

/* The 8259A pair with ELCR: ports 0x20-21, 0xa0-a1, 0x4d0-4d1. */
#include "devenv.h"

struct i8259 {
	struct i8259_chip {
		uint8_t irr, imr, isr, lines, elcr, elcr_mask;
		uint8_t keep; /* edges that outlive their input: init's 0 */
		uint8_t base; /* ICW2 */
		uint8_t icw3; /* master: IRs with a slave; slave: its number */
		uint8_t icw_step; /* ICW expected next, 0 when initialised */
		uint8_t prio; /* lowest-priority IR */
		bool read_isr, poll, special_mask, auto_eoi, rotate_aeoi, sfnm,
		    single, want_icw4;
	} chip[2]; /* 0 master, 1 slave on IR2 */
	bool out; /* level of INTR */
	uint16_t ended; /* by IRQ: went out of service; the owner clears */
	struct line intr; /* INTR to the boot processor (ExtINT) */
};

void i8259_init(struct i8259 *, struct line intr);
/* An edge is latched however soon its input falls. */
void i8259_keep_edges(struct i8259 *);
void i8259_restored(struct i8259 *); /* the registers were set by somebody */
void i8259_set(struct i8259 *, unsigned irq, bool level); /* irq 0..15 */
bool i8259_pending(const struct i8259 *);
/* The INTA cycle: the vector to inject (spurious IR7 when nothing is left). */
uint8_t i8259_ack(struct i8259 *);
uint8_t i8259_read(struct i8259 *, uint16_t port);
void i8259_write(struct i8259 *, uint16_t port, uint8_t val);

#endif
