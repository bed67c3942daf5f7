/* SPDX-License-Identifier: ISC */
/*
 * Small helpers for descriptors that everything above uses.
 */
#include <sys/socket.h>
#include <sys/un.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <time.h>
#include <string.h>
#include <unistd.h>
#include "fd.h"

int
fd_take(int *fdp)
{
	int fd = *fdp;

	*fdp = -1;
	return fd;
}

void
fd_close(int *fdp)
{
	int saved = errno;

	if (*fdp != -1)
		close(fd_take(fdp));
	errno = saved;
}

int
fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1)
		return -errno;
	if (flags & O_NONBLOCK)
		return 0;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 ? -errno : 0;
}

int
fd_cloexec(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags == -1)
		return -errno;
	if (flags & FD_CLOEXEC)
		return 0;
	return fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == -1 ? -errno : 0;
}

int
fd_connect(const char *path, int flags)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int error, fd;

	if (len == 0)
		return -ENOENT;
	if (len >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, path, len + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd == -1)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	error = -errno;
	fd_close(&fd);
	return error;
}

long long
fd_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int
fd_wait(int fd, short events, long long deadline)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	long long left = -1;
	int n;

	for (;;) {
		if (deadline >= 0) {
			left = deadline - fd_now_ms();
			if (left < 0)
				left = 0;
			if (left > INT_MAX)
				left = INT_MAX;
		}
		n = poll(&pfd, 1, (int)left);
		if (n == 1)
			return pfd.revents;
		if (n == -1 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ETIMEDOUT;
	}
}
