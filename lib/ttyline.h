/* SPDX-License-Identifier: ISC */
#ifndef LIB_TTYLINE_H
#define LIB_TTYLINE_H

/* A guest's serial line, as its users reach it: a pseudo terminal. */

/*
 * Open a guest's line: "/dev/pts/N" only, and it has to be a terminal.  One
 * session at a time: -EBUSY.  A non-blocking descriptor, or -errno.
 */
int ttyline_open(const char *path);
/* Raw, 8 bits, 115200.  0 or -errno. */
int ttyline_prepare(int fd);

#endif
