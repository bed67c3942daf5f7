/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_TERM_H
#define VMCTL_TERM_H

/*
 * The two terminals of a console session: the user's own, which has to be
 * given back as it was, and the guest's line.
 */
#include <stdbool.h>
#include <termios.h>

struct term {
	int fd; /* borrowed */
	bool tty; /* it is a terminal at all */
	bool raw; /* saved is to be restored */
	struct termios saved;
};

/*
 * Put the terminal fd into raw mode and remember how it was.  A descriptor
 * that is no terminal is left alone.
 */
void term_raw(struct term *, int fd);
/* Raw again after this process was stopped and continued. */
void term_again(const struct term *);
/* Give it back as it was. */
void term_restore(struct term *);

/*
 * Open a guest's line: "/dev/pts/N" only, and it has to be a terminal.  One
 * session at a time: -EBUSY.  A non-blocking descriptor, or -errno.
 */
int term_open_line(const char *path);
/* Raw, 8 bits, 115200.  0 or -errno. */
int term_prepare_line(int fd);

/*
 * From here on the signals that would end or suspend this process are read
 * from the descriptor returned (signalfd(2)), so that no path out of a
 * session skips term_restore().  -errno on failure.
 */
int term_signals(void);
/* Take what came in. true: end the session. */
bool term_signalled(const struct term *, int sigfd);

#endif
