/* SPDX-License-Identifier: ISC */
/*
 * Log lines, as they arrive on descriptor 2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "log.h"

static int saved2, reader;
static char got[70000];

/* Descriptor 2 becomes a datagram socket: one receive is one write. */
static int
setup(void **state)
{
	int s[2], size = 1 << 20;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s) == -1)
		return -1;
	setsockopt(s[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	saved2 = dup(2);
	dup2(s[1], 2);
	close(s[1]);
	reader = s[0];
	log_setverbose(0);
	return 0;
}

static int
teardown(void **state)
{
	dup2(saved2, 2);
	close(saved2);
	close(reader);
	log_init(LOG_TO_STDERR, "");
	return 0;
}

/* The next line, "" when there is none. */
static const char *
line(void)
{
	ssize_t n = read(reader, got, sizeof(got) - 1);

	got[n < 0 ? 0 : n] = '\0';
	return got;
}

static void
test_log_text(void **state)
{
	log_init(LOG_TO_STDERR, "web: vioblk0");
	log_warnx("request beyond end: sector %d, %d sectors", 912, 8);
	assert_string_equal(line(),
	    "web: vioblk0: request beyond end: sector 912, 8 sectors\n");
	errno = ENOENT;
	log_warn("open %s", "x");
	assert_int_equal(errno, ENOENT);
	assert_string_equal(
	    line(), "web: vioblk0: open x: No such file or directory\n");
	errno = 54321;
	log_warn("odd");
	assert_string_equal(line(), "web: vioblk0: odd: unknown error\n");
	log_init(LOG_TO_STDERR, NULL);
	log_info("plain");
	assert_string_equal(line(), "plain\n");
	assert_string_equal(line(), "");
}

static void
test_log_verbosity(void **state)
{
	log_init(LOG_TO_STDERR, "");
	log_debug("hidden");
	assert_string_equal(line(), "");
	log_setverbose(1);
	assert_int_equal(log_getverbose(), 1);
	log_debug("shown");
	assert_string_equal(line(), "shown\n");
}

static void
test_log_journal(void **state)
{
	log_init(LOG_TO_JOURNAL, "t");
	log_setverbose(1);
	log_warnx("w");
	assert_string_equal(line(), "<4>t: w\n");
	log_info("i");
	assert_string_equal(line(), "<6>t: i\n");
	log_debug("d");
	assert_string_equal(line(), "<7>t: d\n");
}

/* RFC 3164: <PRI>Mmm dd hh:mm:ss TAG[pid]: text, no newline. */
static void
test_log_syslog(void **state)
{
	char mon[4], text[32];
	int pri, day, h, m, s, pid;

	log_init(LOG_TO_SYSLOG, "t");
	log_warnx("w");
	assert_int_equal(sscanf(line(), "<%d>%3s %d %d:%d:%d vmd[%d]: %31[^\n]",
			     &pri, mon, &day, &h, &m, &s, &pid, text),
	    8);
	assert_int_equal(pri, 3 * 8 + 4);
	assert_int_equal(pid, getpid());
	assert_string_equal(text, "t: w");
	assert_null(strchr(got, '\n'));
}

/* What others chose cannot forge lines or drive a terminal. */
static void
test_log_hostile(void **state)
{
	static char big[65536];

	log_init(LOG_TO_STDERR, "a\nb");
	log_warnx("x\nvmd: forged\033[2J\t\x7f\xff%s", "\r");
	assert_string_equal(
	    line(), "a\\012b: x\\012vmd: forged\\033[2J\\011\\177\\377\\015\n");
	memset(big, 'x', sizeof(big) - 1);
	log_warnx("%s", big);
	line();
	assert_true(strlen(got) <= 1024);
	assert_int_equal(got[strlen(got) - 1], '\n');
	memset(big, '\n', sizeof(big) - 1);
	log_warnx("%s", big);
	line();
	assert_true(strlen(got) <= 1024);
	assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1);
	log_init(LOG_TO_STDERR, big);
	log_warnx("text");
	line();
	assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1);
}

static void
test_log_limited(void **state)
{
	struct log_rate r = LOG_RATE(3, 1000);
	int i;

	log_init(LOG_TO_STDERR, "");
	for (i = 0; i < 10; i++)
		log_limited(&r, "line %d", i);
	assert_string_equal(line(), "line 0\n");
	assert_string_equal(line(), "line 1\n");
	assert_string_equal(line(), "line 2\n");
	assert_string_equal(line(), "");
	r.start -= 1000; /* the window is over */
	log_limited(&r, "line %d", 10);
	assert_string_equal(
	    line(), "7 lines like the next one were left out\n");
	assert_string_equal(line(), "line 10\n");
	assert_string_equal(line(), "");
}

static void
test_log_fatal(void **state)
{
	int status;
	pid_t pid;

	log_init(LOG_TO_STDERR, "t");
	pid = fork();
	if (pid == 0) {
		errno = EACCES;
		fatal("open");
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_string_equal(line(), "t: open: Permission denied\n");
	pid = fork();
	if (pid == 0)
		fatalx("no %d", 7);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_string_equal(line(), "t: no 7\n");
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_log_text),
		T(test_log_verbosity),
		T(test_log_journal),
		T(test_log_syslog),
		T(test_log_hostile),
		T(test_log_limited),
		T(test_log_fatal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
