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
 *  3. Who has to kick and to answer an interrupt for each request needs more
 *     time for the next than who needs not, so those looks are long.  One that
 *     was worth it in this way only is believed when the next comes soon.
 */
#include <stdbool.h>
#include <stdint.h>

#define BATCH_MAX  16
#define BATCH_REST 256
/* Nanoseconds: between these is what batch_hold_ns() says, whatever the clock
 * said. */
#define BATCH_HOLD_MIN 20000
#define BATCH_HOLD_MAX 500000

struct batch {
	uint16_t stop; /* it was seen waiting after so many; 0: never */
	uint16_t rest; /* interrupts between two looks whether it still does */
	uint16_t left; /* ... until the next */
	bool slow; /* a look was in time, but not for what is held */
};

enum batch_wait {
	BATCH_TELL, /* there is nothing to wait for */
	BATCH_HOLD, /* more may come within batch_hold_ns() */
	BATCH_LOOK, /* ... or within many times that: this is rare */
};

/* What came of it. */
enum batch_seen {
	BATCH_NONE,
	BATCH_SOON, /* within batch_hold_ns() */
	BATCH_SLOW, /* later, which was waited for as it was a look */
};

/*
 * n, more than 0, are to be told: may there be more soon?  If so, batch_was()
 * follows.  least: waiting does not pay for batches of fewer.
 */
enum batch_wait batch_wait(struct batch *, unsigned n, unsigned least);
void batch_was(struct batch *, unsigned n, enum batch_seen);
/*
 * Nanoseconds to wait for one more, where a system call that does next to
 * nothing takes call_ns: as long as a driver takes for one or two requests, as
 * processors differ by orders of magnitude (one in a VM, or an emulated one).
 */
uint64_t batch_hold_ns(uint64_t call_ns);

#endif
