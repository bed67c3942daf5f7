/* SPDX-License-Identifier: ISC */
#ifndef LIB_IOV_H
#define LIB_IOV_H

/*
 * Vectors of guest memory, consumed from the front wherever they happen to be
 * split.  What is in guest memory may change at any time: take copies it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* Each consumes the first len bytes; false when there are not so many (what
 * there was is consumed).  dst NULL: skipped.  src NULL: zeroes. */
bool iov_take(struct iovec **, unsigned *n, void *dst, size_t len);
bool iov_give(struct iovec **, unsigned *n, const void *src, size_t len);

#endif
