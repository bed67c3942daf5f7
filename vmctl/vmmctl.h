/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_VMMCTL_H
#define VMCTL_VMMCTL_H

/*
 * vmmctl(8), the older form: what this program is when it is called so.
 */
#include <stdbool.h>

bool vmmctl_name(const char *argv0);
/* The whole program; the exit status: 0 or 1. */
int vmmctl_main(int argc, char **argv);

/*
 * Another program in the place of a child: the first one loads the driver, the
 * second checks it.  The exit status, when there is none.
 */
#define VMMCTL_LOAD  "load"
#define VMMCTL_CHECK "check"
int vmmctl_child(const char *role);

#endif
