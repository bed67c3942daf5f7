/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CHIP_DEVENV_H
#define CHIP_DEVENV_H

/*
 * What an emulated chip gets from the machine.  A chip is a plain struct with
 * X_init(), accessors called by the bus, and, when it has timers, X_run()
 * and X_deadline().  Chips never lock: the caller holds a lock.
 * Chips never read a clock, open, allocate after init, or end the process.
 * The same files are built into vmd and into the driver.
 */
#ifndef __KERNEL__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#else
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/types.h>
#endif

#define DEV_NEVER (~(uint64_t)0)

struct devenv {
	/* Monotonic nanoseconds since the machine was made. */
	uint64_t (*now)(void *arg);
	/* A deadline changed: ask every X_deadline() again soon. */
	void (*rearm)(void *arg);
	void *arg;
};

/* One interrupt line or other single-bit output. */
struct line {
	void (*set)(void *arg, unsigned n, bool level);
	void *arg;
	unsigned n;
};

static inline void
line_set(const struct line *l, bool level)
{
	if (l->set != NULL)
		l->set(l->arg, l->n, level);
}

#endif
