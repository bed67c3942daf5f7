/* SPDX-License-Identifier: ISC */
#ifndef VMD_MC146818_H
#define VMD_MC146818_H

/* MC146818A real-time clock with 128 bytes of CMOS: ports 0x70-0x71, UTC. */
#include <time.h>
#include "devenv.h"

struct mc146818 {
	uint8_t ram[128];
	uint8_t index;
	bool dirty; /* written while running: taken at the next update */
	uint8_t dow_shift; /* guest's day of the week minus the date's */
	/* Guest's clock minus host's. */
	int64_t offset; /* seconds */
	uint32_t offset_ns; /* and 0..999999999 ns */
	int64_t second; /* guest's time up to which flags are set */
	uint64_t cycle; /* and 32768 Hz cycles, for the periodic flag */
	uint64_t divider; /* now() at which the divider left reset */
	uint64_t next; /* now() of the next interrupt, or DEV_NEVER */
	/* Wall clock, seconds since 1970 in UTC, and the fraction in ns. */
	int64_t (*wall)(void *arg, uint32_t *ns);
	void *wall_arg;
	bool level;
	struct line irq; /* IRQ 8 */
	struct devenv env;
};

/* memory: bytes of RAM, for the CMOS size registers; cpus for 0x5f. */
void mc146818_init(struct mc146818 *, struct line irq, struct devenv,
    int64_t (*wall)(void *, uint32_t *), void *wall_arg, uint64_t memory,
    unsigned cpus);
uint8_t mc146818_read(struct mc146818 *, uint16_t port);
void mc146818_write(struct mc146818 *, uint16_t port, uint8_t val);
void mc146818_run(struct mc146818 *);
uint64_t mc146818_deadline(const struct mc146818 *);

#endif
