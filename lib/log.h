/* SPDX-License-Identifier: ISC */
#ifndef LIB_LOG_H
#define LIB_LOG_H

/*
 * One line per event, in one grammar: "web: vioblk0: what, where".
 * Lines go to descriptor 2: as text to a terminal or file, with a syslog
 * priority prefix to a journal stream or to a connected /dev/log socket that
 * the parent left there.  Nothing here opens a file or socket after
 * log_init(), so it works in a sealed process.
 */
#include <stdarg.h>
#include <stdint.h>

enum log_dest {
	LOG_TO_STDERR, /* plain text */
	LOG_TO_JOURNAL, /* "<N>text" lines on a journal stream */
	LOG_TO_SYSLOG, /* RFC 3164 datagrams on a connected /dev/log */
};

/* Set-up.  tag names the process ("control", "web", "web: vioblk0"). */
void log_init(enum log_dest, const char *tag);
/* In the parent when it goes to the background: fd 2 becomes /dev/log. */
int log_to_syslog(void);
enum log_dest log_dest(void);
/* 0: warnings and notices; 1 (-v): debug. */
void log_setverbose(int);
int log_getverbose(void);

/* With ": strerror(errno)" appended. errno is preserved by all of these. */
void log_warn(const char *, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *, ...) __attribute__((format(printf, 1, 2)));
void fatal(const char *, ...) __attribute__((noreturn, format(printf, 1, 2)));
void fatalx(const char *, ...) __attribute__((noreturn, format(printf, 1, 2)));

/*
 * For lines a guest or client can cause: a token bucket per call site.
 * A suppressed run is summed up in one line when the bucket refills.
 * Use: static struct log_rate rate = LOG_RATE(5, 10);  5 lines in 10 s
 */
struct log_rate {
	unsigned burst; /* lines */
	unsigned seconds;
	unsigned left;
	unsigned dropped;
	int64_t start; /* CLOCK_MONOTONIC seconds of this window */
};
#define LOG_RATE(n, s)            \
	{                         \
		(n), (s), 0, 0, 0 \
	}
void log_limited(struct log_rate *, const char *, ...)
    __attribute__((format(printf, 2, 3)));

#endif
