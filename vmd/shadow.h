/* SPDX-License-Identifier: ISC */
#ifndef VMD_SHADOW_H
#define VMD_SHADOW_H

/*
 * What a processor finds between 640 KiB and 1 MiB and at the end of the
 * first 4 GiB: RAM, firmware's ROM or the bus, as the host bridge's PAM and
 * SMRAM registers say.  Caller holds the machine lock, or no vCPU runs yet.
 */
#include <stdbool.h>
#include <stdint.h>
#include "bus.h"
#include "gmem.h"

#define SHADOW_BASE	0xa0000ULL /* the bus's window begins here ... */
#define SHADOW_END	0x100000ULL /* ... and ends here */
#define SHADOW_PAMS	7
#define SHADOW_SEGMENTS 13
#define SHADOW_SMRAM	SHADOW_SEGMENTS /* its index among the areas */
#define SHADOW_AREAS	(SHADOW_SEGMENTS + 1)
#define SHADOW_ROM_UNIT 0x1000U /* a ROM is a number of these ... */
#define SHADOW_ROM_MAX	(16U << 20) /* ... up to that */

enum shadow_show { SHADOW_NONE, SHADOW_READONLY, SHADOW_RAM };

struct shadow_ops {
	/* The processors see len bytes of host at gpa; SHADOW_NONE: nothing
	 * any more, and host is NULL.  slot is 0 to SHADOW_AREAS. 0 or
	 * -errno. */
	int (*map)(void *arg, unsigned slot, uint64_t gpa, uint64_t len,
	    void *host, enum shadow_show);
};

struct shadow {
	const struct gmem *mem;
	uint8_t *rom; /* of rom_len bytes, the last at 4 GiB - 1 */
	uint32_t rom_len;
	const struct shadow_ops *ops;
	void *arg;
	const struct bus_ops *video; /* what SMRAM hides, by bytes; or NULL */
	void *video_arg;
	struct shadow_area {
		uint64_t gpa;
		uint32_t len;
		uint8_t *ram, *rom; /* rom NULL: the bus, where nothing is */
		bool read, write; /* from, to RAM */
	} area[SHADOW_AREAS];
	struct shadow_slot {
		uint64_t gpa;
		uint32_t len;
		void *host;
		enum shadow_show how; /* SHADOW_NONE: no slot */
	} slot[SHADOW_AREAS];
};

/* After a reset: the ROM everywhere.  0 or -errno. */
int shadow_init(struct shadow *, const struct gmem *, uint8_t *rom,
    uint32_t rom_len, const struct shadow_ops *, void *arg);
/* PAM0-PAM6 and SMRAM of the host bridge.  0 or -errno. */
int
shadow_set(struct shadow *, const uint8_t pam[SHADOW_PAMS], bool smram_open);
/* What no slot serves: [SHADOW_BASE, SHADOW_END) on the bus. */
extern const struct bus_ops shadow_bus_ops;

#endif
