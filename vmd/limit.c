/* SPDX-License-Identifier: ISC */
/*
 * Limits of a device: see limit.h.
 */
#include "limit.h"

#define SECOND 1000000000ULL
/* No request is kept for longer, whatever the configuration says. */
#define SPAN_MAX (3600 * SECOND)

static uint64_t
duration(uint64_t n, uint64_t rate)
{
	unsigned __int128 ns = (unsigned __int128)n * SECOND / rate;

	return ns < SPAN_MAX ? (uint64_t)ns : SPAN_MAX;
}

static void
bucket_init(struct limit_bucket *b, const struct vm_limit *l)
{
	b->rate = l->rate;
	b->full = 0;
	b->span = l->rate != 0 ? duration(l->burst, l->rate) : 0;
}

void
limit_init(struct limit *l, const struct vm_limit *requests,
    const struct vm_limit *bytes)
{
	pthread_mutex_init(&l->mtx, NULL);
	bucket_init(&l->requests, requests);
	bucket_init(&l->bytes, bytes);
	l->any = requests->rate != 0 || bytes->rate != 0;
}

/* How long until n tokens are there, or the bucket is full. */
static uint64_t
wait_for(const struct limit_bucket *b, uint64_t n, uint64_t now)
{
	uint64_t cost, full = b->full > now ? b->full : now;

	if (b->rate == 0 || n == 0)
		return 0;
	cost = duration(n, b->rate);
	if (cost > b->span)
		cost = b->span;
	return full + cost > now + b->span ? full + cost - now - b->span : 0;
}

static void
take(struct limit_bucket *b, uint64_t n, uint64_t now)
{
	if (b->rate == 0)
		return;
	if (b->full < now)
		b->full = now;
	b->full += duration(n, b->rate);
}

uint64_t
limit_take(struct limit *l, uint64_t requests, uint64_t bytes, uint64_t now)
{
	uint64_t a, b;

	if (!l->any)
		return 0;
	pthread_mutex_lock(&l->mtx);
	a = wait_for(&l->requests, requests, now);
	b = wait_for(&l->bytes, bytes, now);
	if (b > a)
		a = b;
	if (a == 0) {
		take(&l->requests, requests, now);
		take(&l->bytes, bytes, now);
	}
	pthread_mutex_unlock(&l->mtx);
	return a;
}
