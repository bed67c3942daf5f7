/* SPDX-License-Identifier: ISC */
#ifndef VMD_FLASH_H
#define VMD_FLASH_H

/*
 * A flash chip on the memory bus, 8 bits wide, where UEFI firmware keeps its
 * variables.  Caller holds the machine lock, or no vCPU runs yet.
 */
#include <stdbool.h>
#include <stdint.h>
#include "bus.h"

#define FLASH_BLOCK  0x1000U /* erased at once; the chip is a number of them */
#define FLASH_MAX    (1U << 20)
#define FLASH_BUFFER 256U /* of the buffered program command */

struct flash_ops {
	/* The processors read the array itself; or each access comes here.
	 * 0 or -errno. */
	int (*show)(void *arg, bool array);
	/* The array was changed, and the guest is done with it for now. */
	void (*changed)(void *arg);
};

/* What a read sees. */
enum flash_view { FLASH_ARRAY, FLASH_STATUS, FLASH_ID, FLASH_QUERY };

/* What the next write is. */
enum flash_cycle {
	FLASH_COMMAND,
	FLASH_BYTE, /* to program */
	FLASH_ERASE, /* its confirmation */
	FLASH_COUNT, /* of bytes for the buffer, less one */
	FLASH_FILL, /* a byte for the buffer */
	FLASH_CONFIRM, /* that the buffer shall be programmed */
	FLASH_LOCK /* what of a block's lock shall change */
};

struct flash {
	uint8_t *array;
	uint32_t len;
	const struct flash_ops *ops;
	void *arg;
	enum flash_view view;
	enum flash_cycle cycle;
	uint8_t status;
	bool shown;
	uint32_t from, to; /* changed since it was last taken; empty: equal */
	uint32_t start, want, got; /* of the buffer */
	uint8_t buffer[FLASH_BUFFER];
};

/* The array stays the caller's, who fills it before the guest runs.  0 or
 * -errno. */
int flash_init(struct flash *, uint8_t *array, uint32_t len,
    const struct flash_ops *, void *arg);
/* What was changed since the last call, to be copied at once; 0: nothing. */
uint32_t flash_take(struct flash *, uint32_t *off);
/* Its state was read, and the array's content: whoever takes what was changed
 * gets all of it. */
void flash_restored(struct flash *);
/* The window is as long as the chip. */
extern const struct bus_ops flash_bus_ops;

#endif
