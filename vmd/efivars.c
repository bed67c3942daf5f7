/* SPDX-License-Identifier: ISC */
/*
 * Invariants
 *  1. What is opened or made is a regular file, found as image.c finds images.
 *  2. A file is made whole or not at all: one that could not be filled is
 *     removed again.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "efivars.h"
#include "fd.h"
#include "image.h"
#include "imglock.h"
#include "vmconf.h"

#define CODE "CODE"
#define VARS "VARS"

/* The name of the variables to begin with, of the firmware's; or -EINVAL. */
static int
template_of(const char *firmware, char *path, size_t len)
{
	const char *base = strrchr(firmware, '/');
	char *at;

	if (base == NULL || strlen(firmware) >= len)
		return -EINVAL;
	memcpy(path, firmware, strlen(firmware) + 1);
	at = strstr(path + (base - firmware), CODE);
	if (at == NULL)
		return -EINVAL;
	memcpy(at, VARS, strlen(VARS));
	return 0;
}

static int
copy(int from, int to)
{
	char buf[16384];
	ssize_t n, w, at;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n; at += w)
			if ((w = write(to, buf + at, (size_t)(n - at))) == -1)
				return -errno;
	}
	if (n == -1 || fsync(to) == -1)
		return -errno;
	return 0;
}

static int
make_in(int dir, const char *name, int from)
{
	int error, fd;

	fd = openat(dir, name,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return -errno;
	error = copy(from, fd);
	fd_close(&fd);
	if (error != 0)
		unlinkat(dir, name, 0);
	return error;
}

static int
make(const char *path, const char *firmware, struct fail *why)
{
	char template[VM_PATH_MAX + 1], name[VM_PATH_MAX + 1],
	    parent[VM_PATH_MAX + 1];
	int dir, error, from = -1;

	if (template_of(firmware, template, sizeof(template)) < 0)
		return fail_set(why, ENOENT,
		    "efivars %s: %s, and no template for %s", path,
		    strerror(ENOENT), firmware);
	if ((error = image_open_file(
		 template, "template for efivars", &from, why)) != 0)
		return error;
	memcpy(name, path, strlen(path) + 1);
	memcpy(parent, path, strlen(path) + 1);
	dir = image_resolve(dirname(parent));
	error = dir < 0 ? dir : make_in(dir, basename(name), from);
	fd_close(&from);
	if (dir >= 0)
		fd_close(&dir);
	if (error == 0)
		return 0;
	return fail_set(why, -error, "efivars %s: cannot be made: %s", path,
	    strerror(-error));
}

static int
open_locked(int pathfd)
{
	struct stat st;
	int error, fd;

	if (fstat(pathfd, &st) == -1)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EISDIR;
	if ((fd = image_reopen(pathfd, O_RDWR)) < 0)
		return fd;
	if ((error = imglock(fd, false)) != 0)
		fd_close(&fd);
	return error != 0 ? error : fd;
}

static int
refuse(int error, const char *path, struct fail *why)
{
	const char *text = strerror(-error);

	if (error == -EPERM)
		text = "symbolic link not owned by root";
	else if (error == -EISDIR)
		text = "not a regular file";
	else if (error == -EAGAIN)
		text = "locked by another process";
	return fail_set(why, -error, "efivars %s: %s", path, text);
}

int
efivars_open(const char *path, const char *firmware, int *fdp, struct fail *why)
{
	int error, fd, pathfd;

	pathfd = image_resolve(path);
	if (pathfd == -ENOENT) {
		if ((error = make(path, firmware, why)) != 0)
			return error;
		pathfd = image_resolve(path);
	}
	if (pathfd < 0)
		return refuse(pathfd, path, why);
	fd = open_locked(pathfd);
	fd_close(&pathfd);
	if (fd < 0)
		return refuse(fd, path, why);
	*fdp = fd;
	return 0;
}
