/* SPDX-License-Identifier: ISC */
#ifndef VMD_CONSOLE_H
#define VMD_CONSOLE_H

/*
 * Between the console's descriptor (a pty master) and the UART.  Output is
 * kept in a bounded ring and written in batches; when nobody reads, the
 * oldest bytes are dropped: a guest never waits for an onlooker.  Input is
 * taken only as the UART has room.
 */
#include <stddef.h>
#include <stdint.h>
#include "devenv.h"

struct console;
struct event_base;
struct ns16550;

struct console_conf {
	struct event_base *base;
	int fd; /* taken, made non-blocking */
	struct ns16550 *uart;
	void (*lock)(void *arg); /* the machine lock (m) */
	void (*unlock)(void *arg);
	void *arg;
	struct devenv env;
};

/* 0 or -errno (fd is closed then too). */
int console_new(struct console **, const struct console_conf *);
/* Main thread, without the lock. */
void console_free(struct console *);

/* The rest: with the lock held. */
/* The UART's output; takes everything. */
size_t console_out(void *console, const uint8_t *, size_t);
/* The guest took bytes out of the UART. */
void console_room(struct console *);
void console_run(struct console *);
uint64_t console_deadline(const struct console *);
/* Write now what can be written without blocking. */
void console_flush(struct console *);

#endif
