/* SPDX-License-Identifier: ISC */
/*
 * Log lines.
 *
 * Invariants
 *  1. One line is one write(2) on descriptor 2 of at most LINE_BYTES bytes,
 *     so that lines of several processes do not mix.
 *  2. What a guest or client chose cannot break the grammar: every byte that
 *     is not printable ASCII is written as \ooo.
 *  3. Nothing is opened and nothing allocated after log_init(); errno is
 *     preserved.
 *
 * Formats: a journal stream takes "<N>" prefixes as in sd-daemon(3), "Log
 * Prefixes"; a syslog datagram is built as in RFC 3164, "syslog Message
 * Parts".
 */
#include <sys/socket.h>
#include <sys/un.h>
#include <errno.h>
#include <paths.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include "fd.h"
#include "log.h"

#define LINE_BYTES 1024
#define TAG_BYTES  128

static enum log_dest dest = LOG_TO_STDERR;
static int verbose;
static char tag[TAG_BYTES];
/* Guards every struct log_rate: lines come from several threads. */
static pthread_mutex_t rate_lock = PTHREAD_MUTEX_INITIALIZER;

struct line {
	char buf[LINE_BYTES];
	size_t len;
};

void
log_init(enum log_dest d, const char *name)
{
	dest = d;
	snprintf(tag, sizeof(tag), "%s", name == NULL ? "" : name);
	tzset(); /* reads the time zone's file now, see invariant 3 */
}

enum log_dest
log_dest(void)
{
	return dest;
}

void
log_setverbose(int v)
{
	__atomic_store_n(&verbose, v, __ATOMIC_RELAXED);
}

int
log_getverbose(void)
{
	return __atomic_load_n(&verbose, __ATOMIC_RELAXED);
}

int
log_to_syslog(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX,
		.sun_path = _PATH_LOG };
	int error, s;

	s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s == -1)
		return -errno;
	if (connect(s, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
	    dup2(s, STDERR_FILENO) == -1) {
		error = -errno;
		fd_close(&s);
		return error;
	}
	fd_close(&s);
	dest = LOG_TO_SYSLOG;
	return 0;
}

static void __attribute__((format(printf, 2, 3)))
append(struct line *l, const char *fmt, ...)
{
	size_t room = sizeof(l->buf) - l->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->buf + l->len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* Invariant 2.  Keeps one byte for the newline. */
static void
append_escaped(struct line *l, const char *s)
{
	for (; *s != '\0'; s++) {
		unsigned char ch = (unsigned char)*s;

		if (l->len + 5 >= sizeof(l->buf))
			return;
		if (ch >= 0x20 && ch < 0x7f)
			l->buf[l->len++] = (char)ch;
		else
			append(l, "\\%03o", ch);
	}
}

static void
append_prefix(struct line *l, int priority)
{
	struct timespec now;
	struct tm tm;
	char stamp[32] = "";

	switch (dest) {
	case LOG_TO_STDERR:
		break;
	case LOG_TO_JOURNAL:
		append(l, "<%d>", priority);
		break;
	case LOG_TO_SYSLOG:
		/* Not localtime(3): it would look at the zone's file. */
		clock_gettime(CLOCK_REALTIME, &now);
		if (localtime_r(&now.tv_sec, &tm) != NULL)
			strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S ", &tm);
		append(l, "<%d>%svmd[%d]: ", LOG_DAEMON | priority, stamp,
		    (int)getpid());
		break;
	}
}

static void
put_line(int priority, const char *text, int error)
{
	struct line l = { .len = 0 };
	const char *why;
	ssize_t n;

	append_prefix(&l, priority);
	if (tag[0] != '\0') {
		append_escaped(&l, tag);
		append_escaped(&l, ": ");
	}
	append_escaped(&l, text);
	if (error != 0) {
		/* Not strerror(3): it may translate, which opens files. */
		why = strerrordesc_np(error);
		append_escaped(&l, ": ");
		append_escaped(&l, why == NULL ? "unknown error" : why);
	}
	if (dest != LOG_TO_SYSLOG)
		l.buf[l.len++] = '\n';
	do
		n = write(STDERR_FILENO, l.buf, l.len);
	while (n == -1 && errno == EINTR);
}

static void __attribute__((format(printf, 3, 0)))
vlog(int priority, int error, const char *fmt, va_list ap)
{
	char text[LINE_BYTES];
	int saved = errno;

	vsnprintf(text, sizeof(text), fmt, ap);
	put_line(priority, text, error);
	errno = saved;
}

void
log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_WARNING, errno, fmt, ap);
	va_end(ap);
}

void
log_warnx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_WARNING, 0, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_INFO, 0, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	if (log_getverbose() == 0)
		return;
	va_start(ap, fmt);
	vlog(LOG_DEBUG, 0, fmt, ap);
	va_end(ap);
}

void
fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_CRIT, errno, fmt, ap);
	va_end(ap);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_CRIT, 0, fmt, ap);
	va_end(ap);
	exit(1);
}

/* A new window began; the number of lines dropped in the last one. */
static unsigned
refill(struct log_rate *r, int64_t now)
{
	unsigned dropped = r->dropped;

	r->left = r->burst;
	r->dropped = 0;
	r->start = now;
	return dropped;
}

void
log_limited(struct log_rate *r, const char *fmt, ...)
{
	struct timespec ts;
	unsigned dropped = 0;
	bool pass;
	va_list ap;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	pthread_mutex_lock(&rate_lock);
	/* start is 0 only before the first line. */
	if (r->start == 0 || ts.tv_sec - r->start >= (int64_t)r->seconds)
		dropped = refill(r, ts.tv_sec == 0 ? 1 : ts.tv_sec);
	pass = r->left > 0;
	if (pass)
		r->left--;
	else
		r->dropped++;
	pthread_mutex_unlock(&rate_lock);

	if (dropped > 0)
		log_warnx("%u lines like the next one were left out", dropped);
	if (!pass)
		return;
	va_start(ap, fmt);
	vlog(LOG_WARNING, 0, fmt, ap);
	va_end(ap);
}
