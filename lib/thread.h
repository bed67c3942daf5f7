/* SPDX-License-Identifier: ISC */
#ifndef LIB_THREAD_H
#define LIB_THREAD_H

/*
 * Threads of a process that is going to seal itself: a small stack, and no
 * signals (the main thread's event loop handles them).
 */
#include <pthread.h>

/*
 * Returns when the thread has made the system calls that it begins with, so
 * that the process can seal itself at once.  name: at most 15 bytes, for ps and
 * top.  0 or -errno.
 */
int thread_new(pthread_t *, const char *name, void *(*run)(void *), void *arg);

#endif
