/* SPDX-License-Identifier: ISC */
#ifndef VMD_ASUSER_H
#define VMD_ASUSER_H

/*
 * The parent's rights to files are a user's for a moment: neither root's nor
 * those of any group.
 */
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#define ASUSER_NOBODY 65534 /* the overflow id: nothing is its */

struct asuser {
	bool on;
	int ngroups;
	gid_t group[NGROUPS_MAX];
};

/* Where rights were given up before, or there are none of root's, nothing
 * changes.  0 or -errno; then nothing is to be ended. */
int asuser_begin(struct asuser *, uid_t);
void asuser_end(struct asuser *);

#endif
