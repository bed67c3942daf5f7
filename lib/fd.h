/* SPDX-License-Identifier: ISC */
#ifndef LIB_FD_H
#define LIB_FD_H

/*
 * Descriptors have one visible owner: a variable that is -1 when it owns
 * nothing.
 */

/* The descriptor; *fdp becomes -1. */
int fd_take(int *fdp);
/* Close what *fdp owns, if anything; it becomes -1.  errno is preserved. */
void fd_close(int *fdp);
/* 0 or -errno. */
int fd_nonblock(int fd);
int fd_cloexec(int fd);
/* A connected UNIX stream socket, close-on-exec, with more flags of socket(2);
 * or -errno. */
int fd_connect(const char *path, int flags);
/* Milliseconds of CLOCK_MONOTONIC, for poll(2) deadlines. */
long long fd_now_ms(void);
/*
 * Wait until events (poll(2)) are there.  deadline: fd_now_ms() value, or -1
 * for ever.  The events, or -ETIMEDOUT, or -errno.
 */
int fd_wait(int fd, short events, long long deadline);

#endif
