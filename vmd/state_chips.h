/* SPDX-License-Identifier: ISC */
#ifndef VMD_STATE_CHIPS_H
#define VMD_STATE_CHIPS_H

/*
 * What of each chip is saved: a row per member.  The others are what the
 * machine gives the chip when it is made, and are listed as such: together they
 * have to be all of it, which a unit test sees to.
 */
#include "state.h"

struct state_chip {
	const char *name; /* of its section */
	size_t size;
	const struct state_field *saved, *derived;
	size_t nsaved, nderived;
};

enum state_chip_kind {
	STATE_I8259,
	STATE_I8254,
	STATE_IOAPIC,
	STATE_RTC,
	STATE_UART,
	STATE_UART2,
	STATE_I8042,
	STATE_PVPANIC,
	STATE_PM,
	STATE_VGA,
	STATE_PIIX4,
	STATE_FWCFG,
	STATE_FLASH,
	STATE_CHIPS
};

extern const struct state_chip state_chips[STATE_CHIPS];

/* Its section. */
void state_chip(struct state *, enum state_chip_kind, void *chip);

#endif
