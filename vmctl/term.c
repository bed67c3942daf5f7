/* SPDX-License-Identifier: ISC */
/*
 * Terminals of a console session; see term.h.
 *
 * The line's path comes from vmd.  It is opened only when it is a
 * pseudo terminal by name and a character device by fact: opening some other
 * device can have effects of its own.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "term.h"

void
term_raw(struct term *t, int fd)
{
	t->fd = fd;
	t->tty = t->raw = tcgetattr(fd, &t->saved) == 0;
	term_again(t);
}

void
term_again(const struct term *t)
{
	struct termios raw = t->saved;

	if (!t->raw)
		return;
	cfmakeraw(&raw);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	tcsetattr(t->fd, TCSADRAIN, &raw);
}

void
term_restore(struct term *t)
{
	if (t->raw)
		tcsetattr(t->fd, TCSADRAIN, &t->saved);
	t->raw = false;
}

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
term_open_line(const char *path)
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
term_prepare_line(int fd)
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

int
term_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGCONT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd == -1 ? -errno : fd;
}

bool
term_signalled(const struct term *t, int sigfd)
{
	struct signalfd_siginfo info;

	while (read(sigfd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCONT:
			term_again(t);
			break;
		case SIGTSTP: /* a raw terminal makes none; not ours */
			break;
		default:
			return true;
		}
	}
	return false;
}
