/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_CHECK_H
#define VMCTL_CHECK_H

#include <stddef.h>

/*
 * vmd's binary: ../sbin/vmd from the directory of self if that can be run,
 * else the installed one.  0 or -ENAMETOOLONG.
 */
int check_path(const char *self, char *out, size_t len);

#endif
