/* SPDX-License-Identifier: ISC */
/*
 * Opening files for VMs, with root's rights, by names that an owner of a VM
 * may influence: the directory of an image may be his.
 *
 * Invariants
 *  1. A symbolic link is followed only when root owns it: nobody else can
 *     plant a link that leads to somebody else's file.
 *  2. No device, FIFO or socket is opened to find out what it is: the path
 *     is resolved with O_PATH, judged by fstat(2), and only then reopened.
 *  3. A disk is locked until its last descriptor is closed: imglock.h.
 */
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <linux/fs.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdrom.h"
#include "ctl.h"
#include "fd.h"
#include "image.h"
#include "imglock.h"
#include "log.h"

#define LINKS_MAX 40 /* as the kernel's own limit, path_resolution(7) */

struct walk {
	int dir; /* O_PATH, where we are */
	char rest[2 * PATH_MAX]; /* still to go */
	unsigned links;
};

/* Put a link's target before the rest of the way. */
static int
follow(struct walk *w, int linkfd, const struct stat *st)
{
	char target[PATH_MAX], rest[sizeof(w->rest)];
	ssize_t n;
	int len;

	if (st->st_uid != 0)
		return -EPERM;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	n = readlinkat(linkfd, "", target, sizeof(target) - 1);
	if (n == -1)
		return -errno;
	target[n] = '\0';
	len = snprintf(rest, sizeof(rest), "%s/%s", target, w->rest);
	if (len < 0 || (size_t)len >= sizeof(rest))
		return -ENAMETOOLONG;
	memcpy(w->rest, rest, (size_t)len + 1);
	if (target[0] == '/') {
		fd_close(&w->dir);
		w->dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (w->dir == -1)
			return -errno;
	}
	return 0;
}

/* Take the first component off the rest; "" when there is none left. */
static int
component(struct walk *w, char *name, size_t len)
{
	size_t skip = strspn(w->rest, "/");
	size_t n = strcspn(w->rest + skip, "/");

	if (n >= len)
		return -ENAMETOOLONG;
	memcpy(name, w->rest + skip, n);
	name[n] = '\0';
	memmove(w->rest, w->rest + skip + n, strlen(w->rest + skip + n) + 1);
	return 0;
}

static int
step(struct walk *w)
{
	char name[NAME_MAX + 1];
	struct stat st;
	int fd, error;

	if ((error = component(w, name, sizeof(name))) != 0)
		return error;
	if (name[0] == '\0' || strcmp(name, ".") == 0)
		return 0;
	fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return -errno;
	if (fstat(fd, &st) == -1)
		error = -errno;
	else if (S_ISLNK(st.st_mode))
		error = follow(w, fd, &st);
	else {
		fd_close(&w->dir);
		w->dir = fd_take(&fd);
	}
	fd_close(&fd);
	return error;
}

int
image_resolve(const char *path)
{
	struct walk w = { .dir = -1 };
	int error = 0;

	if (path[0] != '/')
		return -EINVAL;
	if (strlen(path) >= sizeof(w.rest))
		return -ENAMETOOLONG;
	memcpy(w.rest, path, strlen(path) + 1);
	w.dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (w.dir == -1)
		return -errno;
	while (error == 0 && w.rest[0] != '\0')
		error = step(&w);
	if (error != 0)
		fd_close(&w.dir);
	return error != 0 ? error : w.dir;
}

int
image_reopen(int pathfd, int flags)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", pathfd);
	fd = open(name, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd == -1 ? -errno : fd;
}

static int
explain(
    struct fail *why, int code, int error, const char *what, const char *path)
{
	const char *text = strerror(-error);

	if (error == -EPERM)
		text = "symbolic link not owned by root";
	fail_set(why, code, "%s %s: %s", what, path, text);
	why->cause = -error;
	return -code;
}

int
image_open_file(const char *path, const char *what, int *fdp, struct fail *why)
{
	struct stat st;
	int fd, pathfd;

	if ((pathfd = image_resolve(path)) < 0)
		return explain(why, -pathfd, pathfd, what, path);
	if (fstat(pathfd, &st) == -1)
		fd = -errno;
	else if (!S_ISREG(st.st_mode)) {
		fd_close(&pathfd);
		return fail_set(
		    why, EINVAL, "%s %s: not a regular file", what, path);
	} else
		fd = image_reopen(pathfd, O_RDONLY);
	fd_close(&pathfd);
	if (fd < 0)
		return fail_set(
		    why, -fd, "%s %s: %s", what, path, strerror(-fd));
	*fdp = fd;
	return 0;
}

int
image_check_fd(int fd, const char *what, struct fail *why)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1 || fstat(fd, &st) == -1)
		return fail_set(why, errno, "%s: %s", what, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail_set(why, EINVAL, "%s: not a regular file", what);
	if ((flags & O_ACCMODE) == O_WRONLY || (flags & O_PATH) != 0)
		return fail_set(why, EBADF, "%s: not open for reading", what);
	return 0;
}

static int
disk_size(int fd, const struct stat *st, uint64_t *size)
{
	if (S_ISREG(st->st_mode)) {
		*size = (uint64_t)st->st_size;
		return 0;
	}
	return ioctl(fd, BLKGETSIZE64, size) == -1 ? -errno : 0;
}

static int
check_disk(int fd, const char *path, bool sectors, const struct stat *st,
    struct fail *why)
{
	uint64_t size;
	int error;

	if ((error = disk_size(fd, st, &size)) != 0)
		return explain(why, CTL_E_DISK, error, "disk", path);
	if (size == 0)
		return fail_set(
		    why, CTL_E_DISK, "disk %s: file is empty", path);
	if (sectors && size % 512 != 0)
		return fail_set(why, CTL_E_DISK,
		    "disk %s: size is not a multiple of 512 bytes", path);
	return 0;
}

static int
lock_disk(int fd, const char *path, bool readonly, struct fail *why)
{
	int error = imglock(fd, readonly);

	if (error == -EAGAIN || error == -EACCES)
		return fail_set(why, CTL_E_DISK,
		    "disk %s: locked by another process", path);
	if (error != 0)
		return explain(why, CTL_E_DISK, error, "disk", path);
	return 0;
}

int
image_open_free(
    const char *path, bool readonly, bool sectors, int *fdp, struct fail *why)
{
	struct stat st;
	int fd, pathfd, flags = readonly ? O_RDONLY : O_RDWR;
	int error;

	if ((pathfd = image_resolve(path)) < 0)
		return explain(why, CTL_E_DISK, pathfd, "disk", path);
	if (fstat(pathfd, &st) == -1) {
		fd = -errno;
	} else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		fd_close(&pathfd);
		return fail_set(why, CTL_E_DISK,
		    "disk %s: neither a regular file nor a block device", path);
	} else {
		/* Exclusive, open(2): not a mounted device. */
		if (S_ISBLK(st.st_mode) && !readonly)
			flags |= O_EXCL;
		fd = image_reopen(pathfd, flags);
	}
	fd_close(&pathfd);
	if (fd < 0) {
		fail_set(why, CTL_E_DISK, "disk %s: %s", path, strerror(-fd));
		why->cause = -fd;
		return -CTL_E_DISK;
	}
	if ((error = check_disk(fd, path, sectors, &st, why)) != 0) {
		fd_close(&fd);
		return error;
	}
	*fdp = fd;
	return 0;
}

int
image_open_disk(
    const char *path, bool readonly, bool sectors, int *fdp, struct fail *why)
{
	int fd, error;

	error = image_open_free(path, readonly, sectors, &fd, why);
	if (error != 0)
		return error;
	if ((error = lock_disk(fd, path, readonly, why)) != 0)
		fd_close(&fd);
	else
		*fdp = fd;
	return error;
}

/* from: what to open once more; never a device, a FIFO, a socket. */
static int
open_cdrom(
    int from, const char *path, int *fdp, uint64_t *bytes, struct fail *why)
{
	struct stat st;
	int fd, error;

	if (fstat(from, &st) == -1)
		return explain(why, CTL_E_CDROM, -errno, "cdrom", path);
	if (!S_ISREG(st.st_mode))
		return fail_set(
		    why, CTL_E_NOTCDROM, "cdrom %s: not a regular file", path);
	if (st.st_size < CDROM_BLOCK)
		return fail_set(why, CTL_E_NOTCDROM,
		    "cdrom %s: smaller than a block of %d bytes", path,
		    CDROM_BLOCK);
	if ((fd = image_reopen(from, O_RDONLY)) < 0)
		return explain(why, CTL_E_CDROM, fd, "cdrom", path);
	error = imglock(fd, true);
	if (error == 0) {
		*fdp = fd;
		*bytes = (uint64_t)st.st_size;
		return 0;
	}
	fd_close(&fd);
	if (error == -EAGAIN || error == -EACCES)
		return fail_set(why, CTL_E_CDROM,
		    "cdrom %s: written to by another process", path);
	return explain(why, CTL_E_CDROM, error, "cdrom", path);
}

int
image_open_cdrom(const char *path, int *fd, uint64_t *bytes, struct fail *why)
{
	int pathfd = image_resolve(path), error;

	if (pathfd < 0)
		return explain(why, CTL_E_CDROM, pathfd, "cdrom", path);
	error = open_cdrom(pathfd, path, fd, bytes, why);
	fd_close(&pathfd);
	return error;
}

int
image_adopt_cdrom(int client, int *fd, uint64_t *bytes, struct fail *why)
{
	int error = image_check_fd(client, "cdrom", why);

	if (error != 0)
		return error;
	return open_cdrom(client, "image", fd, bytes, why);
}

void
image_release(int *fd)
{
	if (*fd == -1)
		return;
	if (imglock_free(*fd) != 0)
		log_warn("unlock");
	fd_close(fd);
}
