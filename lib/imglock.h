/* SPDX-License-Identifier: ISC */
#ifndef LIB_IMGLOCK_H
#define LIB_IMGLOCK_H

/*
 * Locks of disk images, by flock(2) and by open file description locks as
 * QEMU takes them, so that all of us see each other.  They belong to what all
 * duplicates of the descriptor share.
 */
#include <stdbool.h>

/* 0, -EAGAIN or -EACCES (somebody else uses it), or -errno. */
int imglock(int fd, bool readonly);
int imglock_free(int fd);

#endif
