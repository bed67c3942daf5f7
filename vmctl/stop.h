/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_STOP_H
#define VMCTL_STOP_H

#include <stdbool.h>

#include "cmd.h"

struct target;

struct stop_flags {
	bool force, wait;
	bool quiet; /* no error: it does not run, or was asked to stop */
};

/*
 * One "stopping vm NAME: RESULT" line.  listed: it ran a moment ago, so that
 * one which is gone by now is no failure.
 */
enum cmd_result stop_one(const struct cmd_env *, const struct target *,
    const struct stop_flags *, const char *name, bool listed);

#endif
