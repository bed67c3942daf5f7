/* SPDX-License-Identifier: ISC */
/*
 * How many answers to give with one interrupt: see batch.h.
 */
#include "batch.h"

/* A driver's request and its part of the answer, in such system calls. */
#define CALLS_PER_REQUEST 32

enum batch_wait
batch_wait(struct batch *b, unsigned n, unsigned least)
{
	if (n >= BATCH_MAX)
		return BATCH_TELL;
	if (b->stop == 0 || (n < b->stop && b->stop >= least))
		return BATCH_HOLD;
	if (b->left == 0)
		return b->slow ? BATCH_HOLD : BATCH_LOOK;
	b->left--;
	return BATCH_TELL;
}

void
batch_was(struct batch *b, unsigned n, enum batch_seen seen)
{
	if (seen == BATCH_SLOW) {
		b->slow = true;
		return;
	}
	if (seen == BATCH_SOON) {
		if (n >= b->stop)
			*b = (struct batch){ 0 };
		return;
	}
	/* Once may be chance, so it is looked at again soon. */
	if (n < b->stop)
		b->rest = 0;
	/* What came slowly is not worth waiting for. */
	if (!b->slow || n < b->stop)
		b->stop = (uint16_t)n;
	b->slow = false;
	b->rest = b->rest == 0 ? 1 : (uint16_t)(2 * b->rest);
	if (b->rest > BATCH_REST)
		b->rest = BATCH_REST;
	b->left = b->rest;
}

uint64_t
batch_hold_ns(uint64_t call_ns)
{
	if (call_ns > BATCH_HOLD_MAX / CALLS_PER_REQUEST)
		return BATCH_HOLD_MAX;
	call_ns *= CALLS_PER_REQUEST;
	return call_ns < BATCH_HOLD_MIN ? BATCH_HOLD_MIN : call_ns;
}
