/* SPDX-License-Identifier: ISC */
#ifndef VMD_CONSOLE_H
#define VMD_CONSOLE_H

/*
 * Between the console's descriptor (a pty master) and a device.  Output is
 * kept in a bounded ring and written in batches; when nobody reads, the
 * oldest bytes are dropped: a guest never waits for an onlooker.  Input is
 * taken only as the device has room.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "devenv.h"

struct console;
struct event_base;

/* The device: with the lock held. */
struct console_sink {
	size_t (*room)(const void *arg);
	/* Takes all that room() said. */
	void (*input)(void *arg, const uint8_t *, size_t);
};
extern const struct console_sink console_uart; /* of a struct ns16550 */

struct console_conf {
	struct event_base *base;
	int fd; /* taken, made non-blocking */
	const struct console_sink *sink; /* or NULL, until it is attached */
	void *sink_arg;
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
/* The device, when it was not there from the start; the loop does not run. */
void console_attach(struct console *, const struct console_sink *, void *arg);
/* The device's output; takes everything. */
size_t console_out(void *console, const uint8_t *, size_t);
/* The guest took bytes out of the device. */
void console_room(struct console *);
/* Input waits, as a device may be written to a file or another host. */
void console_pause(struct console *, bool on);
void console_run(struct console *);
uint64_t console_deadline(const struct console *);
/* Write now what can be written without blocking. */
void console_flush(struct console *);

#endif
