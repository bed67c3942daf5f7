/* SPDX-License-Identifier: ISC */
#ifndef LIB_FILTER_H
#define LIB_FILTER_H

/*
 * The system call filter behind sandbox_seal().  Loads it into all threads
 * of this process; 0, or -errno with *why a static text.
 */
#include <stddef.h>

struct sandbox_ioctl;

int filter_load(const char *promises, const struct sandbox_ioctl *,
    size_t nioctls, const char **why);

#endif
