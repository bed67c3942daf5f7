/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CHIP_I8254_H
#define CHIP_I8254_H

/* 8254 timer: ports 0x40-0x43, and port 0x61 (gate 2, speaker, OUT2). */
#include "devenv.h"

#define I8254_HZ 1193182
/* Interrupts that come due while nobody runs the timer are owed, at most
 * this many, and paid at no more than twice the programmed rate. */
#define I8254_OWED 100
/* OUT 0 is not followed more often than this; faster rates coalesce. */
#define I8254_MIN_NS 50000

struct i8254 {
	struct i8254_channel {
		uint8_t control; /* RW, M and BCD bits as last written */
		uint8_t mode; /* 0..5 */
		uint32_t cr; /* count register, 1..65536 (10000 in BCD) */
		uint32_t cur; /* count of the period under way */
		/* Counting element.  Modes 2 and 3: clocks left of the
		 * period or half period; else 0..65536, wrapping. */
		uint32_t ce;
		uint64_t tick; /* clocks since time 0 that are accounted for */
		bool gate, out;
		bool written; /* a count was written since the control word */
		bool load; /* the next clock loads CR into CE */
		bool counting; /* CE was loaded once */
		bool stopped; /* mode 0 between the two bytes of a count */
		bool armed; /* modes 4 and 5: the strobe is still to come */
		bool low; /* mode 3: in the second half of the period */
		bool null_count, write_high, read_high, has_status;
		uint8_t write_low, latched_status;
		uint8_t nlatched; /* bytes of the latch still unread */
		uint16_t latched;
	} ch[3];
	uint8_t port61; /* bits 0-3 as written */
	bool level; /* of the interrupt line */
	unsigned owed; /* interrupts not yet delivered */
	uint64_t pay_at; /* now() for the next of them, or DEV_NEVER */
	uint64_t quiet_until; /* now() before which nothing is due */
	struct line irq; /* OUT of channel 0 */
	struct devenv env;
};

void i8254_init(struct i8254 *, struct line irq, struct devenv);
uint8_t i8254_read(struct i8254 *, uint16_t port);
void i8254_write(struct i8254 *, uint16_t port, uint8_t val);
/* Deliver what is due; next instant at which OUT0 rises, or DEV_NEVER. */
/* now() at which the period under way began. */
uint64_t i8254_loaded(struct i8254 *, unsigned channel);
/* A channel starts as after this control word and, if it is in range, count,
 * in binary whatever the word says. */
void i8254_program(struct i8254 *, unsigned channel, uint8_t control, bool gate,
    uint32_t count);
/* The interrupt requested last met one that waits: it is owed. */
void i8254_missed(struct i8254 *);
void i8254_run(struct i8254 *);
uint64_t i8254_deadline(const struct i8254 *);

#endif
