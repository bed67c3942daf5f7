/* SPDX-License-Identifier: ISC */
/*
 * Console glue.  Owns the descriptor, its two events and the output ring.
 *
 * Invariants
 *  1. ring holds the last RING bytes at most that are not yet written.
 *  2. Unwritten bytes have either a deadline (batch time) or, after EAGAIN,
 *     the write event pending; never neither.
 *  3. The read event is pending unless throttled (the device is full, or the
 *     guest stands still; the next console_room() adds it) or hung up (a timer
 *     adds it).
 */
#include <event2/event.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "console.h"
#include "log.h"
#include "ns16550.h"

#define RING	  16384U /* a power of two */
#define INPUT	  256 /* read at once */
#define BATCH_NS  1000000ULL /* a human does not see a millisecond */
#define BATCH_MAX 4096U /* written at once when this much waits */

struct console {
	struct console_conf conf;
	struct event *readable, *writable, *retry;
	uint32_t head, tail; /* (m) free-running: tail - head bytes wait */
	uint64_t flush_at; /* (m) */
	bool blocked; /* (m) after EAGAIN */
	bool throttled; /* (m) */
	bool paused; /* (m) no input */
	uint8_t ring[RING]; /* (m) */
};

static void
lock(struct console *c)
{
	c->conf.lock(c->conf.arg);
}

static void
unlock(struct console *c)
{
	c->conf.unlock(c->conf.arg);
}

static size_t
uart_room(const void *uart)
{
	return ns16550_room(uart);
}

static void
uart_input(void *uart, const uint8_t *b, size_t n)
{
	ns16550_input(uart, b, n);
}

const struct console_sink console_uart = { uart_room, uart_input };

static size_t
room(const struct console *c)
{
	if (c->paused || c->conf.sink == NULL)
		return 0;
	return c->conf.sink->room(c->conf.sink_arg);
}

void
console_pause(struct console *c, bool on)
{
	c->paused = on;
	console_room(c);
}

void
console_attach(struct console *c, const struct console_sink *sink, void *arg)
{
	c->conf.sink = sink;
	c->conf.sink_arg = arg;
}

void
console_flush(struct console *c)
{
	uint32_t at, len;
	ssize_t n;

	c->flush_at = DEV_NEVER;
	while (c->head != c->tail) {
		at = c->head % RING;
		len = c->tail - c->head;
		if (len > RING - at)
			len = RING - at;
		n = write(c->conf.fd, c->ring + at, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN) {
			c->blocked = true;
			event_add(c->writable, NULL);
			return;
		}
		if (n <= 0) { /* nobody there: as if read */
			c->head = c->tail;
			break;
		}
		c->head += (uint32_t)n;
	}
	c->blocked = false;
}

size_t
console_out(void *console, const uint8_t *b, size_t n)
{
	struct console *c = console;
	size_t i;

	for (i = 0; i < n; i++) {
		if (c->tail - c->head == RING)
			c->head++; /* the oldest goes */
		c->ring[c->tail++ % RING] = b[i];
	}
	if (c->blocked || n == 0)
		return n;
	if (c->tail - c->head >= BATCH_MAX) {
		console_flush(c);
	} else if (c->flush_at == DEV_NEVER) {
		c->flush_at = c->conf.env.now(c->conf.env.arg) + BATCH_NS;
		c->conf.env.rearm(c->conf.env.arg);
	}
	return n;
}

void
console_run(struct console *c)
{
	if (c->flush_at != DEV_NEVER &&
	    c->conf.env.now(c->conf.env.arg) >= c->flush_at)
		console_flush(c);
}

uint64_t
console_deadline(const struct console *c)
{
	return c->flush_at;
}

void
console_room(struct console *c)
{
	if (!c->throttled || room(c) == 0)
		return;
	c->throttled = false;
	event_add(c->readable, NULL);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct console *c = arg;

	lock(c);
	console_flush(c);
	unlock(c);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval second = { 1, 0 };
	struct console *c = arg;
	uint8_t buf[INPUT];
	size_t max;
	ssize_t n;

	lock(c);
	max = room(c);
	if (max == 0) {
		c->throttled = true;
		event_del(c->readable);
		unlock(c);
		return;
	}
	if (max > sizeof(buf))
		max = sizeof(buf);
	n = read(c->conf.fd, buf, max);
	if (n > 0) {
		c->conf.sink->input(c->conf.sink_arg, buf, (size_t)n);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		/* No slave is open: look again later. */
		event_del(c->readable);
		event_add(c->retry, &second);
	}
	unlock(c);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct console *c = arg;

	lock(c);
	if (!c->throttled)
		event_add(c->readable, NULL);
	unlock(c);
}

int
console_new(struct console **console, const struct console_conf *conf)
{
	struct console *c;
	int flags;

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		close(conf->fd);
		return -ENOMEM;
	}
	c->conf = *conf;
	c->flush_at = DEV_NEVER;
	if ((flags = fcntl(conf->fd, F_GETFL)) == -1 ||
	    fcntl(conf->fd, F_SETFL, flags | O_NONBLOCK) == -1)
		goto free_console;
	c->readable = event_new(
	    conf->base, conf->fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(conf->base, conf->fd, EV_WRITE, on_writable, c);
	c->retry = evtimer_new(conf->base, on_retry, c);
	if (c->readable == NULL || c->writable == NULL || c->retry == NULL ||
	    event_add(c->readable, NULL) == -1) {
		errno = ENOMEM;
		goto free_console;
	}
	*console = c;
	return 0;

free_console:
	flags = -errno;
	console_free(c);
	return flags;
}

void
console_free(struct console *c)
{
	if (c == NULL)
		return;
	if (c->readable != NULL)
		event_free(c->readable);
	if (c->writable != NULL)
		event_free(c->writable);
	if (c->retry != NULL)
		event_free(c->retry);
	close(c->conf.fd);
	free(c);
}
