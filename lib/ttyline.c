/* SPDX-License-Identifier: ISC */
/*
 * The path comes from another process.  It is opened only when it is a pseudo
 * terminal by name and a character device by fact: opening some other device
 * can have effects of its own.
 */
#include <sys/file.h>
#include <sys/stat.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "ttyline.h"

static bool
is_pts(const char *path)
{
	static const char dir[] = "/dev/pts/";
	const char *p;

	if (strncmp(path, dir, sizeof(dir) - 1) != 0)
		return false;
	path += sizeof(dir) - 1;
	for (p = path; isdigit((unsigned char)*p); p++)
		;
	return p != path && *p == '\0' && p - path <= 10;
}

int
ttyline_open(const char *path)
{
	struct stat st;
	int error, fd;

	if (!is_pts(path))
		return -ENOTTY;
	fd =
	    open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return -errno;
	/* The lock is the open file description's: gone with its process. */
	if (fstat(fd, &st) == -1)
		error = -errno;
	else if (!S_ISCHR(st.st_mode) || !isatty(fd))
		error = -ENOTTY;
	else if (flock(fd, LOCK_EX | LOCK_NB) == -1)
		error = errno == EWOULDBLOCK ? -EBUSY : -errno;
	else
		return fd;
	close(fd);
	return error;
}

int
ttyline_prepare(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t) == -1)
		return -errno;
	cfmakeraw(&t);
	t.c_cflag &= ~(tcflag_t)HUPCL;
	t.c_cflag |= CLOCAL | CREAD;
	if (cfsetspeed(&t, B115200) == -1 || tcsetattr(fd, TCSANOW, &t) == -1)
		return -errno;
	return 0;
}
