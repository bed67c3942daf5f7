/* SPDX-License-Identifier: ISC */
#ifndef VMD_STATEDIR_H
#define VMD_STATEDIR_H

/*
 * The directory with the states of VMs that are kept for them: root's alone,
 * one for each socket that a vmd listens at.
 */
#include <limits.h>
#include <stdbool.h>

struct life;

/* Made when it is to be written to.  The descriptor, or -errno. */
int statedir_open(const struct life *, bool make);
/* A file's name; out. */
const char *
statedir_file(const char *name, const char *kind, char out[NAME_MAX]);
/* One kind of file becomes another, for good.  0 or -errno. */
int statedir_turn(int dir, const char *name, const char *from, const char *to);

#endif
