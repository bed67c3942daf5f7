/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_ESCAPE_H
#define VMCTL_ESCAPE_H

/*
 * The escapes of a console session, as in cu(1) and ssh(1): a tilde typed at
 * the beginning of a line makes the next character a command.
 */
#include <stddef.h>
#include <stdint.h>

struct escape {
	enum { ESCAPE_BOL, ESCAPE_TILDE, ESCAPE_MID } state;
};

enum escape_action {
	ESCAPE_NONE, /* out[0 .. *nout) goes to the guest; may be nothing */
	ESCAPE_LEAVE, /* ~. */
	ESCAPE_HELP, /* ~? */
	ESCAPE_BREAK, /* ~# */
};

#define ESCAPE_OUT 2 /* at most so many bytes for one that was typed */

void escape_init(struct escape *);
enum escape_action
escape_byte(struct escape *, uint8_t c, uint8_t out[ESCAPE_OUT], size_t *nout);

#endif
