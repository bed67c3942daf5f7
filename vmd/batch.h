/* SPDX-License-Identifier: ISC */
#ifndef VMD_BATCH_H
#define VMD_BATCH_H

/*
 * How many answers to give with one interrupt, learned from what the driver
 * did before: as long as it goes on asking it needs none, and when it asks no
 * more it waits for one.
 *
 * Invariants
 *  1. There is no waiting at BATCH_MAX.
 *  2. A driver that goes on waiting after n is watched for more once in
 *     BATCH_REST interrupts only: enough to learn that it has changed.
 */
#include <stdbool.h>
#include <stdint.h>

#define BATCH_MAX  16
#define BATCH_REST 256

struct batch {
	uint16_t stop; /* it was seen waiting after so many; 0: never */
	uint16_t rest; /* interrupts between two looks whether it still does */
	uint16_t left; /* ... until the next */
};

/*
 * n, more than 0, are to be told: may there be more soon?  If so, batch_was()
 * follows.  least: waiting does not pay for batches of fewer.
 */
bool batch_wait(struct batch *, unsigned n, unsigned least);
/* There were, or there were not. */
void batch_was(struct batch *, unsigned n, bool more);

#endif
