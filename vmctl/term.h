/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_TERM_H
#define VMCTL_TERM_H

/* The user's terminal in a console session: it is given back as it was. */
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
 * From here on the signals that would end or suspend this process are read
 * from the descriptor returned (signalfd(2)), so that no path out of a
 * session skips term_restore().  -errno on failure.
 */
int term_signals(void);
/* Take what came in. true: end the session. */
bool term_signalled(const struct term *, int sigfd);

#endif
