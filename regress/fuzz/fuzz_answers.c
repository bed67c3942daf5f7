/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: what a vmd says to vmctl, and the process that speaks TLS with one on
 * another host, for each command that asks and can be watched to its end.
 * Whatever it is, the command ends, says why when it failed, keeps nothing of
 * the connection, and writes nothing to the terminal that could steer it.
 *
 * The input is which command it is, then records (record.h).  One of the type
 * T_NEXT ends what is said on a connection: the rest is for the next one.  With
 * -H the relay's come first, then those of the socket that it was given.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "chan.h"
#include "ctl.h"
#include "parent.h"
#include "spawn.h"

/* Not vmd's. */
#include "../../vmctl/cmd.h"
#include "../../vmctl/remote.h"

#define T_NEXT	 0xff
#define ARGS	 8
#define ROOM	 (1 << 20) /* of a connection; what does not fit is not said */
#define TEXT_MIN 0x20

static struct rig {
	char dir[40], file[64];
	const uint8_t *data;
	size_t len;
	unsigned nlines;
	int vmd; /* its end of the last connection */
	FILE *out, *err;
} r = { .dir = "/tmp/fuzz_answers.XXXXXX", .vmd = -1 };

pid_t __wrap_spawn_child(const struct spawn *, int *);
int __wrap_fd_connect(const char *, int);
void __wrap_chan_free(struct chan *);
void __real_chan_free(struct chan *);
pid_t __wrap_waitpid(pid_t, int *, int);
int __wrap_nanosleep(const struct timespec *, struct timespec *);
unsigned __wrap_sleep(unsigned);
void __wrap_log_warnx(const char *, ...) __attribute__((format(printf, 1, 2)));
void __wrap_log_warn(const char *, ...) __attribute__((format(printf, 1, 2)));

static void
say(const struct proc *p, uint32_t base)
{
	const uint8_t *body;
	struct record rec;
	size_t n;

	while (
	    record_next(&r.data, &r.len, &rec, &body, &n) && rec.type != T_NEXT)
		proc_say(p, &rec, base + rec.type, 0, body, n, p->sock);
}

/* It says nothing more; what is said to it goes nowhere. */
static void
say_all(int sock, uint32_t base)
{
	static const int room = ROOM;
	const struct proc p = { .sock = sock };

	(void)setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	say(&p, base);
	check(shutdown(sock, SHUT_WR) == 0);
}

/* vmctl reads from one connection at a time. */
static void
connected(int sock)
{
	fd_close(&r.vmd);
	r.vmd = sock;
	say_all(sock, CTL_OK);
}

int
__wrap_fd_connect(const char *path, int flags)
{
	int pair[2];

	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	connected(pair[1]);
	return pair[0];
}

pid_t
__wrap_spawn_child(const struct spawn *s, int *fd)
{
	pid_t pid = proc_new(s->role, fd);

	if (pid > 0)
		say_all(proc[pid - PID_BASE].sock, RELAY_OPEN);
	return pid;
}

/* The socket for the relay, which was sent before it was heard. */
static int
given(const struct proc *p)
{
	uint8_t body[4096];
	struct iovec iov = { body, sizeof(body) };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} u = { 0 };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &u,
		.msg_controllen = sizeof(u.space),
	};
	int fd;

	if (recvmsg(p->sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0 ||
	    CMSG_FIRSTHDR(&m) == NULL)
		return -1;
	memcpy(&fd, CMSG_DATA(&u.align), sizeof(fd));
	return fd;
}

/* That to a relay is closed when it has answered. */
void
__wrap_chan_free(struct chan *c)
{
	unsigned i;
	int fd;

	for (i = 0; i < nprocs; i++) {
		if (proc[i].sock == -1)
			continue;
		if ((fd = given(&proc[i])) != -1)
			connected(fd);
		fd_close(&proc[i].sock);
	}
	__real_chan_free(c);
}

/* There is no child but those. */
pid_t
__wrap_waitpid(pid_t pid, int *status, int options)
{
	check(options == WNOHANG);
	errno = ECHILD;
	return -1;
}

int
__wrap_nanosleep(const struct timespec *t, struct timespec *rest)
{
	return 0;
}

unsigned
__wrap_sleep(unsigned seconds)
{
	return 0;
}

/* The log escapes what is no text. */
void
__wrap_log_warnx(const char *fmt, ...)
{
	r.nlines++;
}

void
__wrap_log_warn(const char *fmt, ...)
{
	r.nlines++;
}

/* Unicode's C1, too; they are two bytes of UTF-8. */
static ssize_t
print(void *arg, const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		check(s[i] == '\n' || (uint8_t)s[i] >= TEXT_MIN);
		check(s[i] != 0x7f);
		if ((uint8_t)s[i] == 0xc2 && i + 1 < n)
			check((uint8_t)s[i + 1] >= 0xa0);
	}
	if (arg != NULL)
		r.nlines++;
	return (ssize_t)n;
}

static void
remove_files(void)
{
	unlink(r.file);
	rmdir(r.dir);
}

static void
set_up(void)
{
	const cookie_io_functions_t io = { .write = print };

	check(mkdtemp(r.dir) != NULL);
	atexit(remove_files);
	snprintf(r.file, sizeof(r.file), "%s/state", r.dir);
	r.out = fopencookie(NULL, "w", io);
	r.err = fopencookie(&r, "w", io);
	check(r.out != NULL && r.err != NULL &&
	    setvbuf(r.err, NULL, _IONBF, 0) == 0);
	signal(SIGPIPE, SIG_IGN);
}

static int
run(unsigned which)
{
	const char *const lines[][ARGS] = {
		{ "status" },
		{ "status", "-v" },
		{ "status", "-j" },
		{ "status", "-r", "a" },
		{ "events" },
		{ "events", "-j", "a" },
		{ "metrics" },
		{ "top", "-1" },
		{ "screen", "a" },
		{ "screen", "-j", "a" },
		{ "screen", "-f", "a" },
		{ "snapshot", "list", "a" },
		{ "snapshot", "list", "-j", "a" },
		{ "snapshot", "revert", "a", "tag" },
		{ "start", "a" },
		{ "start", "-q", "-m", "64M", "-t", "a", "b" },
		{ "stop", "-w", "a" },
		{ "stop", "-a" },
		{ "restart", "a" },
		{ "wait", "a" },
		{ "pause", "a" },
		{ "set", "a", "memory", "64M" },
		{ "key", "-t", "a", "word" },
		{ "reload" },
		{ "reset", "vms" },
		{ "save", "-k", "a", r.file },
		{ "send", "a", "there" },
		{ "-H", "there", "status", "-v" },
		{ "-H", "[::1]:1", "start", "a" },
	};
	const char *argv[ARGS + 2] = { "vmctl", "--exit-codes" };
	int argc = 2;

	memcpy(argv + 2, lines[which % (sizeof(lines) / sizeof(lines[0]))],
	    sizeof(lines[0]));
	while (argc < ARGS + 2 && argv[argc] != NULL)
		argc++;
	return cmd_main(argc, (char **)(uintptr_t)argv);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	FILE *out = stdout, *err = stderr;
	unsigned fds, i;
	int status;

	if (r.out == NULL)
		set_up();
	if (len < 1)
		return 0;
	fds = open_fds();
	nprocs = r.nlines = 0;
	r.data = data + 1;
	r.len = len - 1;
	stdout = r.out;
	stderr = r.err;
	status = run(data[0]);
	check(fflush(stdout) == 0);
	stdout = out;
	stderr = err;
	fd_close(&r.vmd);
	for (i = 0; i < nprocs; i++)
		fd_close(&proc[i].sock);
	check(open_fds() == fds);
	check(status == CMD_EXIT_OK || r.nlines > 0);
	check(status != CMD_EXIT_USAGE);
	return 0;
}
