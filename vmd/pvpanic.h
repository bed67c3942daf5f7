/* SPDX-License-Identifier: ISC */
#ifndef VMD_PVPANIC_H
#define VMD_PVPANIC_H

/*
 * The port by which a guest's kernel says that it panicked ("PVPANIC DEVICE"
 * of QEMU's specifications, "ISA Interface").  It goes on as it likes: what
 * it wrote to its console can be read, or it restarts.
 */
#include <stdbool.h>
#include <stdint.h>

#define PVPANIC_PORT 0x505

struct pvpanic {
	bool told; /* once is enough */
	void (*panicked)(void *arg, bool handled);
	void *arg;
};

/* handled: by the guest, with a kernel that it keeps for that. */
void pvpanic_init(
    struct pvpanic *, void (*panicked)(void *arg, bool handled), void *arg);
uint8_t pvpanic_read(const struct pvpanic *);
void pvpanic_write(struct pvpanic *, uint8_t);

#endif
