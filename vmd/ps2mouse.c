/* SPDX-License-Identifier: ISC */
/*
 * A mouse that nobody moves: drivers find it, set it up and get its reports
 * when they ask.
 * After: IBM "Personal System/2 Hardware Interface Technical Reference",
 * "Mouse".
 *
 * Invariants
 *  1. A byte from the host ends what was being sent.
 *  2. An answer has PS2MOUSE_QUEUE bytes at most.
 */
#include <string.h>
#include "ps2mouse.h"

#define ACK    0xfa
#define RESEND 0xfe
#define PASSED 0xaa
#define ID     0x00

/* The lowest command; below are arguments. */
#define COMMANDS 0xe6

#define STATUS_TWICE   0x10
#define STATUS_ENABLED 0x20
#define STATUS_REMOTE  0x40
#define REPORT_ALWAYS  0x08

#define RATE	   100 /* reports a second */
#define RESOLUTION 2 /* four counts a millimetre */

static void
send(struct ps2mouse *m, uint8_t val)
{
	if (m->n < PS2MOUSE_QUEUE)
		m->queue[m->n++] = val;
}

static void
set_defaults(struct ps2mouse *m)
{
	m->rate = RATE;
	m->resolution = RESOLUTION;
	m->enabled = m->remote = m->wrap = m->twice = false;
}

static void
argument(struct ps2mouse *m, uint8_t val)
{
	static const uint8_t rates[] = { 10, 20, 40, 60, 80, 100, 200 };
	uint8_t command = m->command;

	m->command = 0;
	if (command == 0xf3 && memchr(rates, val, sizeof(rates)) != NULL)
		m->rate = val;
	else if (command == 0xe8 && val <= 3)
		m->resolution = val;
	else {
		send(m, RESEND);
		return;
	}
	send(m, ACK);
}

static void
send_status(struct ps2mouse *m)
{
	send(m,
	    (uint8_t)((m->remote ? STATUS_REMOTE : 0) |
		(m->enabled ? STATUS_ENABLED : 0) |
		(m->twice ? STATUS_TWICE : 0)));
	send(m, m->resolution);
	send(m, m->rate);
}

/* What is acknowledged, and does no more than that at once. */
static bool
set_mode(struct ps2mouse *m, uint8_t val)
{
	switch (val) {
	case 0xe6: /* scaling 1:1 */
	case 0xe7: /* 2:1 */
		m->twice = val == 0xe7;
		return true;
	case 0xe8: /* resolution */
	case 0xf3: /* sampling rate */
		m->command = val;
		return true;
	case 0xea: /* stream mode */
	case 0xf0: /* remote mode */
		m->remote = val == 0xf0;
		return true;
	case 0xec: /* end of wrap mode */
	case 0xee: /* wrap mode */
		m->wrap = val == 0xee;
		return true;
	case 0xf4: /* enable */
	case 0xf5: /* disable */
		m->enabled = val == 0xf4;
		return true;
	case 0xf6:
		set_defaults(m);
		return true;
	}
	return false;
}

static void
command(struct ps2mouse *m, uint8_t val)
{
	if (set_mode(m, val)) {
		send(m, ACK);
		return;
	}
	switch (val) {
	case 0xe9:
		send(m, ACK);
		send_status(m);
		break;
	case 0xeb: /* a report: no button is down, nothing moved */
		send(m, ACK);
		send(m, REPORT_ALWAYS);
		send(m, 0);
		send(m, 0);
		break;
	case 0xf2: /* identify */
		send(m, ACK);
		send(m, ID);
		break;
	case 0xfe:
		send(m, m->last);
		break;
	case 0xff:
		set_defaults(m);
		send(m, ACK);
		send(m, PASSED);
		send(m, ID);
		break;
	default:
		send(m, RESEND);
		break;
	}
}

void
ps2mouse_init(struct ps2mouse *m)
{
	memset(m, 0, sizeof(*m));
	set_defaults(m);
}

void
ps2mouse_write(struct ps2mouse *m, uint8_t val)
{
	m->n = 0;
	if (m->wrap && val != 0xec && val != 0xff) {
		send(m, val);
	} else if (m->command != 0 && val < COMMANDS) {
		argument(m, val);
	} else {
		m->command = 0;
		command(m, val);
	}
}

bool
ps2mouse_next(struct ps2mouse *m, uint8_t *val)
{
	if (m->n == 0)
		return false;
	*val = m->last = m->queue[0];
	m->n--;
	memmove(m->queue, m->queue + 1, m->n);
	return true;
}
