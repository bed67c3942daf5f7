/* SPDX-License-Identifier: ISC */
#ifndef VMD_CHANGES_H
#define VMD_CHANGES_H

/*
 * What a new configuration changes, a line each.  To be called with the
 * registry as the old configuration made it.
 */
#include "conf.h"
#include "vmreg.h"

struct changes {
	/* "vm web: added"; the line is the callee's to keep or not. */
	void (*say)(void *arg, const char *line);
	void *arg;
};

void changes_report(const struct changes *, const struct conf *old,
    const struct conf *new, const struct vmreg *);

#endif
