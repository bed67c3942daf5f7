/* SPDX-License-Identifier: ISC */
#ifndef VMD_UFFD_H
#define VMD_UFFD_H

/*
 * userfaultfd(2) of a process's own guest memory: whoever touches a page that
 * is not there yet waits until somebody has brought it, also the kernel on the
 * process's behalf.  ioctl_userfaultfd(2) has the calls.
 */
#include <stddef.h>
#include <stdint.h>
#include "gmem.h"

#define UFFD_DEVICE "/dev/userfaultfd"

/* Of the process that calls, by the device; dev stays the caller's.  The
 * descriptor, close-on-exec and non-blocking, or -errno. */
int uffd_new(int dev);
/* From now on.  Huge pages could be made of pages that are not there: not
 * meanwhile.  0 or -errno. */
int uffd_arm(int fd, const struct gmem *);
/* What is there already stays.  0 or -errno. */
int uffd_copy(int fd, uint64_t to, const uint8_t *from, size_t len);
int uffd_zero(int fd, uint64_t to, size_t len);
/* Whoever waits there looks again. */
int uffd_wake(int fd, uint64_t at, size_t len);
/* ... and nobody waits there any more. */
int uffd_disarm(int fd, uint64_t at, size_t len);

#endif
