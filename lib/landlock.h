/* SPDX-License-Identifier: ISC */
#ifndef LIB_LANDLOCK_H
#define LIB_LANDLOCK_H

/*
 * Give up every right that Landlock can take away, for this thread and what
 * it makes later; no_new_privs must be set.  The ABI version in force, 0 when
 * the kernel has no Landlock, or -errno.
 */
int landlock_deny_all(void);

#endif
