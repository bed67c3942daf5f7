/* SPDX-License-Identifier: ISC */
/*
 * vmctl console: a terminal session with a guest's serial line.
 *
 * Bytes go both ways unchanged, but for the escapes that are typed.  What the
 * guest writes reaches the user's terminal as it is: that is what a console
 * is for.
 *
 * Invariants
 *  1. Whatever ends the session, the user's terminal is given back first.
 *  2. Neither direction can block the other: a descriptor is read when there
 *     is room and written when poll(2) says that it takes something, in
 *     pieces of at most PIPE_BUF bytes.
 *  3. What was typed before the end of input or before ~. is still written.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "client.h"
#include "console.h"
#include "escape.h"
#include "fd.h"
#include "log.h"
#include "remote.h"
#include "sandbox.h"
#include "status.h"
#include "term.h"
#include "ttyline.h"

#define TTY_MAX	 sizeof(((struct ctl_vm *)0)->tty)
#define QUIET_MS 1000 /* after the end of input; the limit of leaving */

struct pipebuf {
	uint8_t data[PIPE_BUF];
	size_t len;
};

enum phase {
	ATTACHED,
	DRAINING, /* end of input: leave once the line is quiet */
	LEAVING, /* ~. was typed: leave once the rest is written */
	LEFT,
	HUNG_UP, /* the VM is gone */
	INTERRUPTED, /* by a signal */
	BROKEN, /* standard output or the line failed, error says how */
};

struct session {
	enum phase phase;
	int error;
	int line;
	int sigfd;
	bool input; /* standard input is read */
	bool line_gone;
	int64_t until; /* LEAVING: monotonic milliseconds */
	struct escape escape;
	struct pipebuf typed; /* to the line */
	struct pipebuf shown; /* to standard output */
	struct term term;
};

enum { P_IN, P_OUT, P_LINE, P_SIGNAL, P_COUNT };

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool
again(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* Write from the beginning of the buffer; 0 or -errno. */
static int
drain(struct pipebuf *b, int fd)
{
	ssize_t n = write(fd, b->data, b->len);

	if (n == -1)
		return again() ? 0 : -errno;
	b->len -= (size_t)n;
	memmove(b->data, b->data + n, b->len);
	return 0;
}

static void
broken(struct session *s, int error)
{
	s->phase = BROKEN;
	s->error = error;
}

/* A line of our own amid the guest's output; lost when there is no room. */
static void
tell(struct session *s, const char *text)
{
	size_t n = strlen(text);

	if (n <= sizeof(s->shown.data) - s->shown.len) {
		memcpy(s->shown.data + s->shown.len, text, n);
		s->shown.len += n;
	}
}

static void
typed_byte(struct session *s, uint8_t c)
{
	uint8_t out[ESCAPE_OUT];
	size_t n;

	switch (escape_byte(&s->escape, c, out, &n)) {
	case ESCAPE_NONE:
		memcpy(s->typed.data + s->typed.len, out, n);
		s->typed.len += n;
		break;
	case ESCAPE_LEAVE:
		s->phase = LEAVING;
		s->until = now_ms() + QUIET_MS;
		s->input = false;
		break;
	case ESCAPE_HELP:
		tell(s,
		    "\r\n"
		    "~.\tleave the console; the vm goes on\r\n"
		    "~#\tBREAK: not possible on this kind of line\r\n"
		    "~?\tthis help\r\n"
		    "~~\tsend one ~\r\n"
		    "(only at the beginning of a line)\r\n");
		break;
	case ESCAPE_BREAK:
		tell(s, "\r\n[BREAK is not possible on this line]\r\n");
		break;
	}
}

static void
read_input(struct session *s)
{
	uint8_t in[256];
	ssize_t i, n;

	n = read(STDIN_FILENO, in, sizeof(in));
	if (n == -1 && again())
		return;
	if (n <= 0) {
		s->input = false;
		s->phase = DRAINING;
		return;
	}
	for (i = 0; i < n && s->phase == ATTACHED; i++)
		typed_byte(s, in[i]);
}

static void
read_line(struct session *s)
{
	struct pipebuf *b = &s->shown;
	ssize_t n;

	n = read(s->line, b->data + b->len, sizeof(b->data) - b->len);
	if (n > 0)
		b->len += (size_t)n;
	else if (n == 0 || errno == EIO || errno == ECONNRESET)
		s->line_gone = true; /* what was shown is still written */
	else if (!again())
		broken(s, -errno);
}

static void
write_line(struct session *s)
{
	int error = drain(&s->typed, s->line);

	if (error == -EIO || error == -EPIPE)
		s->line_gone = true;
	else if (error != 0)
		broken(s, error);
}

/* What is of interest now; the time limit of this poll(2). */
static int
prepare(const struct session *s, struct pollfd p[P_COUNT])
{
	bool room = s->shown.len < sizeof(s->shown.data);
	short line = 0;

	if (!s->line_gone && room)
		line |= POLLIN;
	if (!s->line_gone && s->typed.len > 0)
		line |= POLLOUT;
	/* Every byte typed may become two; a message needs room as well. */
	p[P_IN].fd =
	    s->input && sizeof(s->typed.data) - s->typed.len >= 256 * ESCAPE_OUT
	    ? STDIN_FILENO
	    : -1;
	p[P_IN].events = POLLIN;
	p[P_OUT].fd = STDOUT_FILENO;
	p[P_OUT].events = s->shown.len > 0 ? POLLOUT : 0;
	p[P_LINE].fd = line != 0 ? s->line : -1;
	p[P_LINE].events = line;
	p[P_SIGNAL].fd = s->sigfd;
	p[P_SIGNAL].events = POLLIN;
	if (s->phase == LEAVING)
		return s->until > now_ms() ? (int)(s->until - now_ms()) : 0;
	return s->phase == DRAINING && s->typed.len == 0 ? QUIET_MS : -1;
}

static void
serve(struct session *s, const struct pollfd p[P_COUNT])
{
	int error;

	if (p[P_SIGNAL].revents != 0 && term_signalled(&s->term, s->sigfd)) {
		s->phase = INTERRUPTED;
		return;
	}
	if (p[P_OUT].revents != 0) {
		error =
		    s->shown.len > 0 ? drain(&s->shown, STDOUT_FILENO) : -EPIPE;
		if (error != 0) {
			broken(s, error);
			return;
		}
	}
	if (p[P_LINE].revents & POLLOUT)
		write_line(s);
	if (p[P_LINE].revents & (POLLIN | POLLHUP | POLLERR))
		if (s->shown.len < sizeof(s->shown.data))
			read_line(s);
	if (p[P_IN].revents != 0 && s->phase == ATTACHED)
		read_input(s);
}

/* Is the session over? */
static void
judge(struct session *s, int ready)
{
	if (s->phase == INTERRUPTED || s->phase == BROKEN)
		return;
	if (s->line_gone) {
		s->input = false;
		if (s->shown.len == 0)
			s->phase = HUNG_UP;
		return;
	}
	if (s->phase == LEAVING && (s->typed.len == 0 || ready == 0))
		s->phase = LEFT;
	if (s->phase == DRAINING && ready == 0 && s->typed.len == 0 &&
	    s->shown.len == 0)
		s->phase = LEFT;
}

static void
loop(struct session *s)
{
	struct pollfd p[P_COUNT];
	int limit, ready;

	while (s->phase <= LEAVING) {
		memset(p, 0, sizeof(p));
		limit = prepare(s, p);
		ready = poll(p, P_COUNT, limit);
		if (ready == -1 && !again()) {
			broken(s, -errno);
			return;
		}
		if (ready > 0)
			serve(s, p);
		judge(s, ready);
	}
}

/*
 * The guest's bytes are handled by a process that can do nothing but copy
 * them.
 */
static void
seal(void)
{
	static const struct sandbox_ioctl ioctls[] = {
		{ TCGETS, STDIN_FILENO, 1 }, /* remember the terminal */
		{ TCSETSW, STDIN_FILENO, 1 }, /* raw, and back */
	};

	/*
	 * stdio	copy, poll, say why the session ended
	 * tty		the two requests above
	 */
	sandbox_seal("stdio tty", ioctls, sizeof(ioctls) / sizeof(ioctls[0]));
}

static enum cmd_result
farewell(const struct session *s, const char *name, const char *tty)
{
	const char *lead = s->term.tty ? "\n" : "";

	switch (s->phase) {
	case HUNG_UP:
		fprintf(
		    stderr, "%s[console closed: vm %s ended]\n", lead, name);
		return CMD_OK;
	case INTERRUPTED:
		fprintf(stderr, "%s[interrupted]\n", lead);
		return CMD_FAILED;
	case BROKEN:
		errno = -s->error;
		log_warn("console of %s (%s)", name, tty);
		return CMD_FAILED;
	case ATTACHED:
	case DRAINING:
	case LEAVING:
	case LEFT:
		break;
	}
	if (*lead != '\0')
		fprintf(stderr, "%s[left the console of vm %s]\n", lead, name);
	return CMD_OK;
}

/* The tty of a VM of the list, and its name unless that is NULL; 0, or -errno
 * after saying why not. */
static int
find_tty(const struct cmd_env *env, const struct target *target, unsigned which,
    char tty[TTY_MAX], char *vm)
{
	char name[VM_NAME_MAX + 1];
	const char *its = "";
	struct ctl_vm *vms;
	size_t i, n;
	int error;

	if ((error = client_list(env, &vms, &n)) != 0)
		return error;
	for (i = 0; i < n; i++) {
		if (status_match(&vms[i], target))
			break;
	}
	if (i < n)
		its = which == 0 ? vms[i].tty : vms[i].more[which - 1];
	if (i == n) {
		log_warnx("vm not found: %s", args_target_text(target, name));
		cmd_why(env, CMD_EXIT_ABSENT);
		error = -ENOENT;
	} else if (its[0] == '\0') {
		log_warnx("console not found");
		cmd_why(env, CMD_EXIT_STATE);
		error = -ENXIO;
	} else {
		snprintf(tty, TTY_MAX, "%s", its);
		if (vm != NULL)
			snprintf(vm, VM_NAME_MAX + 1, "%s", vms[i].name);
	}
	free(vms);
	return error;
}

/* Of another host's VM: vmd looks all that up itself. */
static int
open_remote(
    const struct cmd_env *env, const struct target *target, unsigned which)
{
	char tty[TTY_MAX], name[VM_NAME_MAX + 1];
	int error, fd;

	if ((error = find_tty(env, target, which, tty, name)) != 0)
		return error;
	if ((fd = remote_open(env, name, which)) < 0)
		return fd;
	if ((error = fd_nonblock(fd)) == 0)
		return fd;
	fd_close(&fd);
	return error;
}

/*
 * The VM may have ended since its tty was looked up, and the number of that
 * pseudo terminal be somebody else's by now.  While we have it open it cannot
 * change hands, so that asking once more settles it.
 */
static int
open_line(const struct cmd_env *env, const struct target *target,
    unsigned which, const char *tty)
{
	char now[TTY_MAX];
	int error, line;

	if ((line = ttyline_open(tty)) == -EBUSY) {
		log_warnx("%s: console is in use", tty);
		return line;
	}
	if (line < 0) {
		errno = -line;
		log_warn("%s", tty);
		return line;
	}
	if ((error = find_tty(env, target, which, now, NULL)) != 0)
		goto close_line;
	if (strcmp(now, tty) != 0) {
		log_warnx("%s: the vm has another console now", tty);
		error = -ESTALE;
		goto close_line;
	}
	if ((error = ttyline_prepare(line)) != 0) {
		errno = -error;
		log_warn("%s", tty);
		goto close_line;
	}
	return line;

close_line:
	close(line);
	return error;
}

static enum cmd_result
attach(const struct cmd_env *env, const struct target *target, unsigned which,
    const char *tty, bool input)
{
	enum cmd_result result = CMD_FAILED;
	char name[VM_NAME_MAX + 1];
	struct session *s;

	args_target_text(target, name);
	if ((s = calloc(1, sizeof(*s))) == NULL) {
		log_warn("console");
		return CMD_FAILED;
	}
	s->input = input;
	escape_init(&s->escape);
	s->line = env->host != NULL ? open_remote(env, target, which)
				    : open_line(env, target, which, tty);
	if (s->line < 0)
		goto free_session;
	if ((s->sigfd = term_signals()) < 0) {
		errno = -s->sigfd;
		log_warn("signals");
		goto close_line;
	}
	seal();
	fprintf(stderr, "Connected to %s (%s)\n", name, tty);
	if (input)
		term_raw(&s->term, STDIN_FILENO);
	loop(s);
	term_restore(&s->term);
	result = farewell(s, name, tty);
	close(s->sigfd);
close_line:
	close(s->line);
free_session:
	free(s);
	return result;
}

enum cmd_result
console_attach(
    const struct cmd_env *env, const struct target *target, const char *tty)
{
	return attach(env, target, VM_TTY_SERIAL, tty, true);
}

enum cmd_result
console_of(const struct cmd_env *env, const struct target *target,
    unsigned which, bool input)
{
	char tty[TTY_MAX];

	if (find_tty(env, target, which, tty, NULL) != 0)
		return CMD_FAILED;
	return attach(env, target, which, tty, input);
}

enum cmd_result
console_run(int argc, char **argv, const struct cmd_env *env)
{
	struct target target;
	unsigned which = VM_TTY_SERIAL;
	bool input = true;
	int ch;

	while ((ch = cmd_getopt(argc, argv, "2nv")) != -1) {
		switch (ch) {
		case '2':
			which = VM_TTY_SERIAL2;
			break;
		case 'n':
			input = false;
			break;
		case 'v':
			which = VM_TTY_VIRTIO;
			break;
		default:
			return CMD_USAGE;
		}
	}
	if (argc - optind != 1)
		return CMD_USAGE;
	if (args_target(argv[optind], &target) != 0)
		return CMD_FAILED;
	return console_of(env, &target, which, input);
}
