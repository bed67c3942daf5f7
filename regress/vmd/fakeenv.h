/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_FAKEENV_H
#define REGRESS_FAKEENV_H

/* A clock that only moves when told, lines that remember, and dice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "devenv.h"

#define SEC 1000000000ULL

struct fake {
	uint64_t now;
	unsigned rearms;
	bool level;
	unsigned rises, falls;
};

static inline uint64_t
fake_now(void *arg)
{
	return ((struct fake *)arg)->now;
}

static inline void
fake_rearm(void *arg)
{
	((struct fake *)arg)->rearms++;
}

static inline void
fake_set(void *arg, unsigned n, bool level)
{
	struct fake *f = arg;

	(void)n;
	if (level && !f->level)
		f->rises++;
	if (!level && f->level)
		f->falls++;
	f->level = level;
}

static inline struct devenv
fake_env(struct fake *f)
{
	return (struct devenv){ fake_now, fake_rearm, f };
}

static inline struct line
fake_line(struct fake *f)
{
	return (struct line){ fake_set, f, 0 };
}

/* xorshift64*: the same numbers in every run. */
static inline uint32_t
dice(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (uint32_t)(*seed * 0x2545f4914f6cdd1dULL >> 32);
}

/* Steps of time from nothing to years, mostly small. */
static inline uint64_t
dice_step(uint64_t *seed)
{
	unsigned shift = dice(seed) % 40;

	return shift < 32 ? dice(seed) >> (31 - shift % 32)
			  : (uint64_t)dice(seed) << (shift - 32);
}

#endif
