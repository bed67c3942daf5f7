/* SPDX-License-Identifier: ISC */
/*
 * Console sessions: this test is the guest (master of one pty), the user's
 * terminal (master of another) and vmd; vmctl runs in a child, sealed.
 */
#include <errno.h>
#include <termios.h>
#include <time.h>

#include "escape.h"
#include "fakevmd.h"

#define NROWS(a) (sizeof(a) / sizeof((a)[0]))
#define WAIT_MS	 30000

struct session {
	struct fake fake;
	int guest; /* master of the VM's line */
	int guest_slave; /* held open, as vmd does */
	char tty[64];
	int user; /* master of the user's terminal, or the pipe to stdin */
	int user_slave;
	int out; /* what vmctl writes to standard output, when not user */
	int err;
	struct termios before;
	pid_t pid;
	char seen[256 * 1024]; /* what expect() read */
};

static int
open_master(char *name, size_t len)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	assert_true(fd != -1);
	assert_int_equal(unlockpt(fd), 0);
	assert_int_equal(ptsname_r(fd, name, len), 0);
	return fd;
}

static int
setup(void **state)
{
	struct session *s = calloc(1, sizeof(*s));
	char name[64];

	assert_non_null(s);
	fake_init(&s->fake);
	s->guest = open_master(s->tty, sizeof(s->tty));
	s->guest_slave = open(s->tty, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(s->guest_slave != -1);
	s->user = open_master(name, sizeof(name));
	s->user_slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(s->user_slave != -1);
	assert_int_equal(tcgetattr(s->user_slave, &s->before), 0);
	s->out = s->err = -1;
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct session *s = *state;

	if (s->pid > 0) {
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
	}
	close(s->guest);
	close(s->guest_slave);
	close(s->user);
	close(s->user_slave);
	close(s->out);
	close(s->err);
	fake_done(&s->fake);
	free(s);
	return 0;
}

/* Run vmctl with these descriptors as 0 and 1 and answer its requests. */
static void
attach(struct session *s, const char *const *args, int in, int out)
{
	char script[256], *rest = script;
	bool start = strcmp(args[0], "start") == 0;
	int fd, i;

	s->err = memfd_create("err", MFD_CLOEXEC);
	fflush(NULL);
	assert_true((s->pid = fork()) != -1);
	if (s->pid == 0) {
		dup2(in, STDIN_FILENO);
		s->fake.sealed = true;
		fake_exec(&s->fake, args, out, s->err);
	}
	snprintf(script, sizeof(script), "%s%s%s%s | vm:1:web:9:%s: ok:0:",
	    start ? "ok:1:" : "vm:1:web:9:", s->tty, start ? "" : ":",
	    start ? "" : " ok:0:", s->tty);
	for (i = 0; i < 2; i++) {
		fd = accept4(s->fake.listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(fd != -1);
		fake_serve(&s->fake, fd, &rest);
	}
}

static void
put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* Read fd until text was seen; fails after WAIT_MS. */
static void
expect(struct session *s, int fd, const char *text)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	ssize_t n;

	s->seen[0] = '\0';
	while (strstr(s->seen, text) == NULL) {
		if (poll(&p, 1, WAIT_MS) != 1)
			fail_msg(
			    "waited for \"%s\", got \"%s\"", text, s->seen);
		n = read(fd, s->seen + len, sizeof(s->seen) - 1 - len);
		if (n <= 0)
			fail_msg("end of file, got \"%s\"", s->seen);
		len += (size_t)n;
		s->seen[len] = '\0';
	}
}

/* Nothing comes within a short while. */
static void
expect_silence(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 100), 0);
}

/* The exit status, or fails after WAIT_MS. */
static int
finish(struct session *s)
{
	struct timespec tick = { 0, 5000000 };
	int i, status;

	for (i = 0; i < WAIT_MS / 5; i++) {
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			s->pid = 0;
			fake_slurp(s->err, s->fake.err, sizeof(s->fake.err));
			s->err = -1;
			return WIFEXITED(status) ? WEXITSTATUS(status)
						 : -WTERMSIG(status);
		}
		nanosleep(&tick, NULL);
	}
	fail_msg("vmctl does not end");
	return -1;
}

static bool
is_raw(int fd)
{
	struct termios t;

	assert_int_equal(tcgetattr(fd, &t), 0);
	return (t.c_lflag & (ICANON | ECHO | ISIG)) == 0;
}

static void
wait_raw(int fd, bool raw)
{
	struct timespec tick = { 0, 5000000 };
	int i;

	for (i = 0; is_raw(fd) != raw && i < WAIT_MS / 5; i++)
		nanosleep(&tick, NULL);
	assert_int_equal(is_raw(fd), raw);
}

static void
assert_restored(const struct session *s)
{
	struct termios now;

	assert_int_equal(tcgetattr(s->user_slave, &now), 0);
	assert_int_equal(now.c_iflag, s->before.c_iflag);
	assert_int_equal(now.c_oflag, s->before.c_oflag);
	assert_int_equal(now.c_cflag, s->before.c_cflag);
	assert_int_equal(now.c_lflag, s->before.c_lflag);
	assert_memory_equal(now.c_cc, s->before.c_cc, sizeof(now.c_cc));
}

static const char *const console_web[] = { "console", "web", NULL };

static void
attach_terminal(struct session *s)
{
	attach(s, console_web, s->user_slave, s->user_slave);
	wait_raw(s->user_slave, true);
}

static void
test_escape_bytes(void **state)
{
	/* Typed bytes; what the guest gets, with actions in capitals. */
	static const struct {
		const char *typed, *want;
	} rows[] = {
		{ "abc", "abc" },
		{ "~.", "L" },
		{ "~?", "H" },
		{ "~#", "B" },
		{ "~~", "~" },
		{ "~~.", "~." },
		{ "~x", "~x" },
		{ "a~.", "a~." },
		{ "\r~.", "\rL" },
		{ "\n~.", "\nL" },
		{ "a\r~.", "a\rL" },
		{ "~?~.", "HL" },
		{ "~#~.", "BL" },
		{ "~\r~.", "~\rL" },
		{ "~~\r~.", "~\rL" },
		{ "~a~.", "~a~." },
		{ "\r\r~~~.", "\r\r~~." },
		{ "\377\001~.", "\377\001~." },
	};
	uint8_t out[ESCAPE_OUT];
	struct escape e;
	char got[32];
	size_t i, j, len, n;

	for (i = 0; i < NROWS(rows); i++) {
		escape_init(&e);
		len = 0;
		for (j = 0; rows[i].typed[j] != '\0'; j++) {
			switch (escape_byte(
			    &e, (uint8_t)rows[i].typed[j], out, &n)) {
			case ESCAPE_NONE:
				memcpy(got + len, out, n);
				len += n;
				break;
			case ESCAPE_LEAVE:
				got[len++] = 'L';
				break;
			case ESCAPE_HELP:
				got[len++] = 'H';
				break;
			case ESCAPE_BREAK:
				got[len++] = 'B';
				break;
			}
		}
		got[len] = '\0';
		assert_string_equal(got, rows[i].want);
	}
}

static void
test_terminal(void **state)
{
	struct session *s = *state;
	struct termios t;

	attach_terminal(s);
	/* The line: raw, 8 bits, 115200. */
	assert_int_equal(tcgetattr(s->guest, &t), 0);
	assert_true(is_raw(s->guest));
	assert_int_equal(cfgetospeed(&t), B115200);
	assert_int_equal(t.c_cflag & CSIZE, CS8);
	assert_int_equal(t.c_oflag & OPOST, 0);

	put(s->guest, "login: ");
	expect(s, s->user, "login: ");
	put(s->user, "root\r");
	expect(s, s->guest, "root\r");
	/* Bytes that a terminal would act on: they are the guest's. */
	put(s->user, "\003\032\034\021\023\004");
	expect(s, s->guest, "\003\032\034\021\023\004");
	put(s->guest, "a\nb\r\n\377");
	expect(s, s->user, "a\nb\r\n\377");

	put(s->user, "\r~?");
	expect(s, s->user, "~.\tleave the console");
	expect(s, s->guest, "\r");
	put(s->user, "~#");
	expect(s, s->user, "BREAK is not possible");
	put(s->user, "~~x");
	expect(s, s->guest, "~x");
	put(s->user, "y~.");
	expect(s, s->guest, "y~.");
	put(s->user, "\r~");
	expect(s, s->guest, "\r");
	expect_silence(s->guest);
	put(s->user, ".");
	assert_int_equal(finish(s), 0);
	assert_restored(s);
	assert_string_equal(s->fake.requests, "LIST\nLIST\n");
	assert_non_null(strstr(s->fake.err, "Connected to web (/dev/pts/"));
	assert_non_null(
	    strstr(s->fake.err, "\n[left the console of vm web]\n"));
	expect_silence(s->guest);
}

static void
test_hangup(void **state)
{
	struct session *s = *state;

	attach_terminal(s);
	put(s->guest, "Power down\r\n");
	expect(s, s->user, "Power down\r\n");
	close(s->guest);
	s->guest = -1;
	assert_int_equal(finish(s), 0);
	assert_restored(s);
	assert_non_null(
	    strstr(s->fake.err, "\n[console closed: vm web ended]\n"));
}

static void
test_signals(void **state)
{
	static const int signals[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT };
	struct session *s = *state;
	size_t i;

	for (i = 0; i < NROWS(signals); i++) {
		attach_terminal(s);
		kill(s->pid, signals[i]);
		assert_int_equal(finish(s), 1);
		assert_restored(s);
		assert_non_null(strstr(s->fake.err, "\n[interrupted]\n"));
	}
}

static void
test_suspend(void **state)
{
	struct session *s = *state;
	int status;

	attach_terminal(s);
	kill(s->pid, SIGTSTP);
	put(s->user, "x");
	expect(s, s->guest, "x");
	/* Stopped for good; a shell takes its terminal back, then goes on. */
	kill(s->pid, SIGSTOP);
	assert_int_equal(waitpid(s->pid, &status, WUNTRACED), s->pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(tcsetattr(s->user_slave, TCSANOW, &s->before), 0);
	kill(s->pid, SIGCONT);
	wait_raw(s->user_slave, true);
	put(s->user, "\r~.");
	assert_int_equal(finish(s), 0);
	assert_restored(s);
}

/* What was typed in one go with ~. still arrives. */
static void
test_leave_flushes(void **state)
{
	struct session *s = *state;

	attach_terminal(s);
	put(s->user, "poweroff\r~.ignored");
	expect(s, s->guest, "poweroff\r");
	assert_int_equal(finish(s), 0);
	assert_restored(s);
	expect_silence(s->guest);
}

static void
make_pipes(struct session *s, int in[2], int out[2])
{
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	s->out = out[0];
}

static void
test_pipe(void **state)
{
	struct session *s = *state;
	int in[2], out[2];

	make_pipes(s, in, out);
	attach(s, console_web, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	put(in[1], "uname\n");
	expect(s, s->guest, "uname\n");
	put(s->guest, "Linux\n");
	expect(s, s->out, "Linux\n");
	put(in[1], "exit\n");
	close(in[1]);
	/* After the end of input the answer is still shown. */
	expect(s, s->guest, "exit\n");
	put(s->guest, "bye\n");
	expect(s, s->out, "bye\n");
	assert_int_equal(finish(s), 0);
	assert_int_equal(read(s->out, s->seen, 1), 0);
	assert_null(strstr(s->fake.err, "[left"));
}

static void
test_no_input(void **state)
{
	static const char *const args[] = { "console", "-n", "web", NULL };
	struct session *s = *state;
	int in[2], out[2];

	make_pipes(s, in, out);
	attach(s, args, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	close(in[1]); /* an end of input that nobody looks at */
	expect_silence(s->out);
	put(s->guest, "still here\n");
	expect(s, s->out, "still here\n");
	close(s->guest);
	s->guest = -1;
	assert_int_equal(finish(s), 0);
	assert_non_null(strstr(s->fake.err, "[console closed: vm web ended]"));
}

static void
test_start(void **state)
{
	static const char *const args[] = { "start", "-c", "web", NULL };
	struct session *s = *state;

	attach(s, args, s->user_slave, s->user_slave);
	wait_raw(s->user_slave, true);
	put(s->guest, "Linux version");
	expect(s, s->user, "Linux version");
	put(s->user, "~.");
	assert_int_equal(finish(s), 0);
	assert_restored(s);
	assert_non_null(strstr(s->fake.err, "started vm 1 successfully, tty"));
}

static void
test_in_use(void **state)
{
	struct session *s = *state;
	char script[128], want[128];

	attach_terminal(s);
	snprintf(script, sizeof(script), "vm:1:web:9:%s: ok:0:", s->tty);
	fake_run(&s->fake, console_web, script);
	snprintf(want, sizeof(want), "vmctl: %s: console is in use\n", s->tty);
	assert_string_equal(s->fake.err, want);
	assert_int_equal(s->fake.status, 1);
	/* A session that was killed leaves no lock. */
	kill(s->pid, SIGKILL);
	assert_int_equal(finish(s), -SIGKILL);
	attach(s, console_web, s->user_slave, s->user_slave);
	put(s->user, "~.");
	assert_int_equal(finish(s), 0);
}

static void
test_output_gone(void **state)
{
	struct session *s = *state;
	int in[2], out[2];

	make_pipes(s, in, out);
	attach(s, console_web, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	close(s->out);
	s->out = -1;
	assert_int_equal(finish(s), 1);
	assert_non_null(strstr(s->fake.err, "Broken pipe"));
	close(in[1]);
}

/* Neither direction loses or reorders, also while the other one waits. */
static void
test_bulk(void **state)
{
	enum { TOTAL = 200000 };
	struct session *s = *state;
	struct pollfd p[3];
	size_t got_in = 0, got_out = 0, i, sent_in = 0, sent_out = 0;
	int in[2], out[2];
	char buf[4096];
	ssize_t n;

	make_pipes(s, in, out);
	attach(s, console_web, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	wait_raw(s->guest, true);
	fcntl(s->guest, F_SETFL, O_NONBLOCK);
	fcntl(in[1], F_SETFL, O_NONBLOCK);
	while (got_in < TOTAL || got_out < TOTAL) {
		p[0] = (struct pollfd){ s->guest, POLLIN, 0 };
		if (sent_out < TOTAL)
			p[0].events |= POLLOUT;
		p[1] = (struct pollfd){ s->out, POLLIN, 0 };
		p[2] =
		    (struct pollfd){ sent_in < TOTAL ? in[1] : -1, POLLOUT, 0 };
		assert_true(poll(p, 3, WAIT_MS) > 0);
		if (p[0].revents & POLLOUT) {
			for (i = 0; i < sizeof(buf); i++)
				buf[i] = (char)('a' + (sent_out + i) % 23);
			n = TOTAL - sent_out < sizeof(buf)
			    ? (ssize_t)(TOTAL - sent_out)
			    : (ssize_t)sizeof(buf);
			n = write(s->guest, buf, (size_t)n);
			sent_out += n > 0 ? (size_t)n : 0;
		}
		if (p[2].revents & POLLOUT) {
			for (i = 0; i < sizeof(buf); i++)
				buf[i] = (char)('a' + (sent_in + i) % 19);
			n = TOTAL - sent_in < sizeof(buf)
			    ? (ssize_t)(TOTAL - sent_in)
			    : (ssize_t)sizeof(buf);
			n = write(in[1], buf, (size_t)n);
			sent_in += n > 0 ? (size_t)n : 0;
		}
		if (p[0].revents & POLLIN) {
			n = read(s->guest, buf, sizeof(buf));
			for (i = 0; n > 0 && i < (size_t)n; i++, got_in++)
				assert_int_equal(buf[i], 'a' + got_in % 19);
		}
		if (p[1].revents & POLLIN) {
			n = read(s->out, buf, sizeof(buf));
			assert_true(n > 0);
			for (i = 0; i < (size_t)n; i++, got_out++)
				assert_int_equal(buf[i], 'a' + got_out % 23);
		}
	}
	assert_int_equal(got_in, TOTAL);
	assert_int_equal(got_out, TOTAL);
	close(in[1]);
	assert_int_equal(finish(s), 0);
}

/* The VM ended meanwhile: its terminal may be somebody else's by now. */
static void
test_reused(void **state)
{
	static const struct {
		const char *second, *err;
	} rows[] = {
		{ "ok:0:", "vmctl: vm not found: web\n" },
		{ "vm:1:web:0:: ok:0:", "vmctl: console not found\n" },
		{ "vm:1:web:9:/dev/pts/99999: ok:0:",
		    "the vm has another console now\n" },
	};
	struct session *s = *state;
	struct termios before, t;
	char script[256];
	size_t i;

	assert_int_equal(tcgetattr(s->guest_slave, &before), 0);
	for (i = 0; i < NROWS(rows); i++) {
		snprintf(script, sizeof(script), "vm:1:web:9:%s: ok:0: | %s",
		    s->tty, rows[i].second);
		fake_run(&s->fake, console_web, script);
		assert_non_null(strstr(s->fake.err, rows[i].err));
		assert_int_equal(s->fake.status, 1);
		/* Nothing was done to it. */
		assert_int_equal(tcgetattr(s->guest_slave, &t), 0);
		assert_int_equal(t.c_lflag, before.c_lflag);
	}
}

/* A sealed process handles the guest's bytes. */
static void
test_sealed(void **state)
{
	struct session *s = *state;
	char line[128], path[64];
	int mode = -1;
	FILE *fp;

	attach_terminal(s);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)s->pid);
	assert_non_null(fp = fopen(path, "re"));
	while (fgets(line, sizeof(line), fp) != NULL)
		sscanf(line, "Seccomp: %d", &mode);
	fclose(fp);
	assert_int_equal(mode, 2);
	put(s->user, "~.");
	assert_int_equal(finish(s), 0);
}

static void
test_not_found(void **state)
{
	static const struct {
		const char *script, *err;
	} rows[] = {
		{ "vm:1:db:9:/dev/pts/0: ok:0:", "vmctl: vm not found: web\n" },
		{ "vm:1:web:0:: ok:0:", "vmctl: console not found\n" },
		{ "vm:1:web:9:/etc/passwd: ok:0:",
		    "vmctl: /etc/passwd: Inappropriate ioctl for device\n" },
		{ "vm:1:web:9:/dev/tty: ok:0:",
		    "vmctl: /dev/tty: Inappropriate ioctl for device\n" },
		{ "vm:1:web:9:/dev/pts/ptmx: ok:0:",
		    "vmctl: /dev/pts/ptmx: Inappropriate ioctl for device\n" },
		{ "vm:1:web:9:/dev/pts/: ok:0:",
		    "vmctl: /dev/pts/: Inappropriate ioctl for device\n" },
		{ "fail:13:", "vmctl: command failed: Permission denied\n" },
	};
	struct session *s = *state;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		fake_run(&s->fake, console_web, rows[i].script);
		assert_string_equal(s->fake.err, rows[i].err);
		assert_int_equal(s->fake.status, 1);
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape_bytes),
		T(terminal),
		T(hangup),
		T(signals),
		T(suspend),
		T(leave_flushes),
		T(pipe),
		T(no_input),
		T(start),
		T(in_use),
		T(output_gone),
		T(bulk),
		T(reused),
		T(sealed),
		T(not_found),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
