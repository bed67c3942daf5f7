/* SPDX-License-Identifier: ISC */
/*
 * Terminals of a console session; see term.h.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
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
