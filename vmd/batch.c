/* SPDX-License-Identifier: ISC */
/*
 * How many answers to give with one interrupt: see batch.h.
 */
#include "batch.h"

bool
batch_wait(struct batch *b, unsigned n, unsigned least)
{
	if (n >= BATCH_MAX)
		return false;
	if (b->stop == 0 || (n < b->stop && b->stop >= least) || b->left == 0)
		return true;
	b->left--;
	return false;
}

void
batch_was(struct batch *b, unsigned n, bool more)
{
	if (more && n < b->stop)
		return;
	if (more) {
		b->stop = b->rest = b->left = 0;
		return;
	}
	/* Once may be chance, so it is looked at again soon. */
	if (n < b->stop)
		b->rest = 0;
	b->stop = (uint16_t)n;
	b->rest = b->rest == 0 ? 1 : (uint16_t)(2 * b->rest);
	if (b->rest > BATCH_REST)
		b->rest = BATCH_REST;
	b->left = b->rest;
}
