/* SPDX-License-Identifier: ISC */
#ifndef VMD_IMAGE_H
#define VMD_IMAGE_H

/*
 * Files that the parent opens for a VM: kernels, initial RAM disks, disk
 * images.  0 or negative with *why filled; *fd is set on success only.
 */
#include <stdbool.h>
#include <stdint.h>
#include "fail.h"

/* A regular file to be read; what is for the message ("kernel"). */
int
image_open_file(const char *path, const char *what, int *fd, struct fail *why);
/* A disk: regular file or block device, not empty, locked for us; sectors:
 * a whole number of them. */
int image_open_disk(
    const char *path, bool readonly, bool sectors, int *fd, struct fail *why);
/* The same, and it is not locked yet. */
int image_open_free(
    const char *path, bool readonly, bool sectors, int *fd, struct fail *why);
/*
 * Unlock and close.  The locks belong to what all duplicates of the
 * descriptor share, which may outlive the process that used it: the kernel
 * takes an io_uring and its files down some time after their owner's end.
 */
void image_release(int *fd);
/* A CD-ROM image: a regular file of at least one block, locked for reading. */
int
image_open_cdrom(const char *path, int *fd, uint64_t *bytes, struct fail *why);
/* The same for what a client has open: a new descriptor of it. */
int image_adopt_cdrom(int client, int *fd, uint64_t *bytes, struct fail *why);
/* An O_PATH descriptor of the file, by no symbolic link but root's; -errno. */
int image_resolve(const char *path);
/* Opens for real what an O_PATH descriptor refers to; -errno. */
int image_reopen(int pathfd, int flags);
/* A descriptor that a client passed as a file to be read. */
int image_check_fd(int fd, const char *what, struct fail *why);

#endif
