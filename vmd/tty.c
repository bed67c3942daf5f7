/* SPDX-License-Identifier: ISC */
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "fd.h"
#include "tty.h"
#include "vmconf.h"

void
tty_init(struct tty *t)
{
	t->master = t->slave = -1;
	t->name[0] = '\0';
}

/* The guest's own terminal driver does echo and line editing. */
static int
make_raw(int fd)
{
	struct termios tio;

	if (tcgetattr(fd, &tio) == -1)
		return -errno;
	cfmakeraw(&tio);
	cfsetspeed(&tio, B115200);
	return tcsetattr(fd, TCSANOW, &tio) == -1 ? -errno : 0;
}

static int
give(int fd, uid_t uid, gid_t gid)
{
	mode_t mode = S_IRUSR | S_IWUSR | S_IWGRP;
	const struct group *gr;

	if (gid != VM_NOGID)
		mode |= S_IRGRP;
	else if ((gr = getgrnam("tty")) != NULL)
		gid = gr->gr_gid;
	else
		mode &= ~(mode_t)S_IWGRP;
	if (fchown(fd, uid, gid) == -1 || fchmod(fd, mode) == -1)
		return -errno;
	return 0;
}

static int
open_pair(struct tty *t)
{
	int zero = 0;

	t->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->master == -1)
		return -errno;
	/* The slave by descriptor: no path that could lead elsewhere. */
	if (ioctl(t->master, TIOCSPTLCK, &zero) == -1)
		return -errno;
	t->slave = ioctl(t->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->slave == -1)
		return -errno;
	return -ptsname_r(t->master, t->name, sizeof(t->name));
}

int
tty_open(struct tty *t, uid_t uid, gid_t gid, struct fail *why)
{
	int error;

	tty_init(t);
	if ((error = open_pair(t)) == 0 && (error = make_raw(t->slave)) == 0)
		error = give(t->slave, uid, gid);
	if (error == 0)
		return 0;
	tty_close(t);
	return fail_set(why, -error, "console: %s", strerror(-error));
}

void
tty_close(struct tty *t)
{
	/* Whoever still has it open gets an end of file, not our rights. */
	if (t->slave != -1 &&
	    (fchown(t->slave, 0, 0) == -1 || fchmod(t->slave, 0600) == -1))
		errno = 0;
	fd_close(&t->slave);
	fd_close(&t->master);
	t->name[0] = '\0';
}
