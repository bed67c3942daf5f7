/* SPDX-License-Identifier: ISC */
#ifndef VMD_MC146818_H
#define VMD_MC146818_H

/* MC146818A real-time clock with 128 bytes of CMOS: ports 0x70-0x71, UTC. */
#include <time.h>
#include "devenv.h"

struct mc146818 {
	uint8_t ram[128];
	uint8_t index;
	int64_t offset; /* guest's clock minus host's, seconds */
	uint64_t periodic_next, update_next, alarm_next; /* now() instants */
	/* Wall clock, seconds since 1970 in UTC, and the fraction in ns. */
	int64_t (*wall)(void *arg, uint32_t *ns);
	void *wall_arg;
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
