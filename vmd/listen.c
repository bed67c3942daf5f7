/* SPDX-License-Identifier: ISC */
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "listen.h"

#define BACKLOG 64

void
listen_init(struct listener *l)
{
	memset(l, 0, sizeof(*l));
	l->fd = l->lock = -1;
}

/* The lock belongs to the name, not to a file that lost it meanwhile. */
static bool
still_named(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int
take_lock(struct listener *l, struct fail *why)
{
	do {
		fd_close(&l->lock);
		l->lock = open(l->lockpath,
		    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		    0600);
		if (l->lock == -1)
			return fail_set(
			    why, errno, "%s: %s", l->lockpath, strerror(errno));
		if (flock(l->lock, LOCK_EX | LOCK_NB) == -1)
			return fail_set(why, EADDRINUSE,
			    errno == EWOULDBLOCK
				? "another vmd is running on %s"
				: "cannot lock %s",
			    l->path);
	} while (!still_named(l->lock, l->lockpath));
	return 0;
}

static int
bind_path(struct listener *l, struct fail *why)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t mask;
	int error = 0;

	memcpy(sun.sun_path, l->path, sizeof(sun.sun_path));
	/* We hold the lock: a socket that is there is left over. */
	if (lstat(l->path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(l->path);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd == -1)
		return fail_set(why, errno, "socket: %s", strerror(errno));
	mask = umask(0777); /* nobody, until it has its owner */
	if (bind(l->fd, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		error = errno;
	umask(mask);
	if (error == 0 && listen(l->fd, BACKLOG) == -1) {
		error = errno;
		unlink(l->path);
	}
	if (error == 0)
		return 0;
	fd_close(&l->fd);
	return fail_set(why, error, "%s: %s", l->path, strerror(error));
}

int
listen_open(struct listener *l, const char *path, struct fail *why)
{
	int error;

	if (strlen(path) >= sizeof(l->path))
		return fail_set(
		    why, ENAMETOOLONG, "%s: socket path too long", path);
	memset(l->path, 0, sizeof(l->path));
	memcpy(l->path, path, strlen(path));
	snprintf(l->lockpath, sizeof(l->lockpath), "%s.lock", l->path);
	if ((error = take_lock(l, why)) != 0) {
		fd_close(&l->lock);
		return error;
	}
	if ((error = bind_path(l, why)) != 0) {
		unlink(l->lockpath);
		fd_close(&l->lock);
	}
	return error;
}

int
listen_owner(const struct listener *l, uid_t uid, gid_t gid)
{
	/* Owner first: the mode opens it. */
	if (lchown(l->path, uid, gid) == -1 || chmod(l->path, 0660) == -1)
		return -errno;
	return 0;
}

void
listen_stop(struct listener *l)
{
	if (l->fd == -1)
		return;
	unlink(l->path);
	fd_close(&l->fd);
}

void
listen_close(struct listener *l)
{
	listen_stop(l);
	if (l->lock == -1)
		return;
	unlink(l->lockpath);
	fd_close(&l->lock);
}
