/* SPDX-License-Identifier: ISC */
/* Tilde escapes; see escape.h. */
#include "escape.h"

void
escape_init(struct escape *e)
{
	e->state = ESCAPE_BOL;
}

static enum escape_action
command(struct escape *e, uint8_t c, uint8_t out[ESCAPE_OUT], size_t *nout)
{
	/* After a command the next tilde counts again, nothing was sent. */
	e->state = ESCAPE_BOL;
	switch (c) {
	case '.':
		return ESCAPE_LEAVE;
	case '?':
		return ESCAPE_HELP;
	case '#':
		return ESCAPE_BREAK;
	case '~':
		break;
	default:
		out[(*nout)++] = '~';
		break;
	}
	e->state = c == '\r' || c == '\n' ? ESCAPE_BOL : ESCAPE_MID;
	out[(*nout)++] = c;
	return ESCAPE_NONE;
}

enum escape_action
escape_byte(struct escape *e, uint8_t c, uint8_t out[ESCAPE_OUT], size_t *nout)
{
	*nout = 0;
	if (e->state == ESCAPE_TILDE)
		return command(e, c, out, nout);
	if (e->state == ESCAPE_BOL && c == '~') {
		e->state = ESCAPE_TILDE;
		return ESCAPE_NONE;
	}
	e->state = c == '\r' || c == '\n' ? ESCAPE_BOL : ESCAPE_MID;
	out[(*nout)++] = c;
	return ESCAPE_NONE;
}
