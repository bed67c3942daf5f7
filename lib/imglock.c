/* SPDX-License-Identifier: ISC */
/*
 * Locks of disk images: see imglock.h.
 */
#include <sys/file.h>
#include <errno.h>
#include <fcntl.h>

#include "imglock.h"

/*
 * QEMU locks single bytes of an image, all shared: 100 + n says "I use
 * permission n", 200 + n says "nobody else may", with n = 0 for consistent
 * read, 1 for write, 3 for resize.  An exclusive lock of them all excludes
 * every other user.
 */
#define LOCK_USE   100
#define LOCK_DENY  200
#define LOCK_SPAN  104 /* 100..203 */
#define PERM_READ  0
#define PERM_WRITE 1

static int
set_lock(int fd, short type, off_t start, off_t len)
{
	struct flock fl = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = start,
		.l_len = len,
	};

	return fcntl(fd, F_OFD_SETLK, &fl) == -1 ? -errno : 0;
}

/* Would an exclusive lock of this byte conflict with somebody else's? */
static bool
byte_in_use(int fd, off_t start)
{
	struct flock fl = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = start,
		.l_len = 1,
	};

	return fcntl(fd, F_OFD_GETLK, &fl) == -1 || fl.l_type != F_UNLCK;
}

/*
 * Readers share an image with each other: they use "read" and deny "write",
 * which is then checked as QEMU does, after the own bytes are locked.
 */
int
imglock(int fd, bool readonly)
{
	int error;

	if (flock(fd, (readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) == -1)
		return -errno;
	if (!readonly)
		return set_lock(fd, F_WRLCK, LOCK_USE, LOCK_SPAN);
	error = set_lock(fd, F_RDLCK, LOCK_USE + PERM_READ, 1);
	if (error == 0)
		error = set_lock(fd, F_RDLCK, LOCK_DENY + PERM_WRITE, 1);
	if (error == 0 &&
	    (byte_in_use(fd, LOCK_USE + PERM_WRITE) ||
		byte_in_use(fd, LOCK_DENY + PERM_READ)))
		error = -EAGAIN;
	return error;
}

int
imglock_free(int fd)
{
	if (flock(fd, LOCK_UN) == -1)
		return -errno;
	return set_lock(fd, F_UNLCK, LOCK_USE, LOCK_SPAN);
}
