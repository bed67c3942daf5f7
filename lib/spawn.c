/* SPDX-License-Identifier: ISC */
/*
 * Making processes.
 *
 * Invariants
 *  1. Between clone(2) and execveat(2) the child makes only system calls:
 *     it shares nothing with the parent, but locks of other threads may be
 *     held in its copy.
 *  2. All signals are blocked from before the clone until the child has put
 *     every handler to its default, so that no handler of the parent runs in
 *     the child and writes to what both share.
 *  3. Every descriptor of the parent above SPAWN_FD is close-on-exec in the
 *     child whatever the rest of the program did.
 *  4. The child's last word before the exec is the errno of what failed, on
 *     a pipe that the exec closes.
 */
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fd.h"
#include "log.h"
#include "spawn.h"

#define MARK "-X"
#define NAMESPACES                                                  \
	(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | \
	    CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWUSER)
/* Above everything that the child puts at fixed numbers. */
#define FD_ABOVE (SPAWN_FD + 1)

static int binary = -1; /* this program, for execveat(2) */
static int devnull = -1;
static const char *progname;

/* What the child needs, prepared by the parent. */
struct child {
	char **argv;
	int channel; /* its end */
	int report; /* write end of the pipe of invariant 4 */
	int cgroup; /* to go to; -1: none, or it is there */
};

/* open(2) with a number that the child can keep while it fills 0 to 3. */
static int
open_above(const char *path, int flags)
{
	int fd, above;

	fd = open(path, flags | O_CLOEXEC);
	if (fd == -1)
		return -errno;
	above = fcntl(fd, F_DUPFD_CLOEXEC, FD_ABOVE);
	if (above == -1)
		above = -errno;
	fd_close(&fd);
	return above;
}

int
spawn_init(const char *name)
{
	int fd;

	fd = open_above("/proc/self/exe", O_RDONLY);
	if (fd < 0)
		return fd;
	fd_close(&binary);
	binary = fd;
	fd = open_above("/dev/null", O_RDWR);
	if (fd < 0) {
		fd_close(&binary);
		return fd;
	}
	fd_close(&devnull);
	devnull = fd;
	progname = name;
	return 0;
}

/* Invariant 2.  SIGKILL, SIGSTOP and libc's own two refuse; no matter. */
static void
default_signals(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	int sig;

	for (sig = 1; sig < NSIG; sig++)
		sigaction(sig, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
}

static void
unblock_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Where clone3(2) did not put it.  0 is who writes it, whatever the process is
 * called elsewhere. */
static int
enter_cgroup(int dir)
{
	int fd = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return fd == -1 || write(fd, "0", 1) != 1 ? -1 : 0;
}

/* In the child up to the exec; returns only on failure, with errno set. */
static void
child_exec(const struct child *ch)
{
	char *const envp[] = { NULL };

	default_signals();
	if (ch->cgroup != -1 && enter_cgroup(ch->cgroup) == -1)
		return;
	if (setsid() == -1 || chdir("/") == -1)
		return;
	umask(077);
	if (dup2(devnull, 0) == -1 || dup2(devnull, 1) == -1 ||
	    dup2(ch->channel, SPAWN_FD) == -1)
		return;
	if (syscall(SYS_close_range, FD_ABOVE, ~0U, CLOSE_RANGE_CLOEXEC) == -1)
		return;
	unblock_signals();
	syscall(SYS_execveat, binary, "", ch->argv, envp, AT_EMPTY_PATH);
}

/*
 * A process that moves to another control group waits for an RCU grace period
 * (it is the only writer of a lock that each fork and exec reads); one that is
 * made there does not.  Container run-times refuse clone3(2).
 */
static pid_t
clone_into(struct child *ch, int ns)
{
	const struct clone_args there = {
		.flags = (unsigned long)ns | CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = (unsigned)ch->cgroup,
	};
	unsigned long flags = (unsigned long)ns | SIGCHLD;
	pid_t pid;

	if (ch->cgroup != -1) {
		pid = (pid_t)syscall(SYS_clone3, &there, sizeof(there));
		if (pid == 0)
			ch->cgroup = -1;
		if (pid != -1)
			return pid;
	}
	return (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
}

/* The errno that the child reported, 0 when the exec closed the pipe. */
static int
read_report(int fd)
{
	int error = 0;
	ssize_t n;

	do
		n = read(fd, &error, sizeof(error));
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return errno;
	return n == sizeof(error) ? error : 0;
}

static void
reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		;
}

/* Clone and wait for the exec: pid or -errno. */
static pid_t
start(struct child *ch, int ns, int report)
{
	sigset_t all, old;
	ssize_t n;
	pid_t pid;
	int error;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = clone_into(ch, ns);
	if (pid == 0) {
		child_exec(ch);
		error = errno;
		n = write(ch->report, &error, sizeof(error));
		_exit(n == sizeof(error) ? 127 : 126);
	}
	error = errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	fd_close(&ch->report);
	if (pid == -1)
		return -error;
	error = read_report(report);
	if (error != 0) {
		reap(pid);
		return -error;
	}
	return pid;
}

pid_t
spawn_child(const struct spawn *s, int *fd)
{
	char logarg[3] = { (char)('0' + log_dest()),
		log_getverbose() ? '1' : '0', '\0' };
	const char *argv[] = { progname, MARK, s->role, s->title, s->tag,
		logarg, NULL };
	struct child ch = {
		.argv = (char **)(uintptr_t)argv,
		.report = -1,
		.cgroup = s->cgroup,
	};
	int pair[2], report[2], above;
	pid_t pid;

	if (binary == -1 || (s->ns & ~NAMESPACES) != 0)
		return -EINVAL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
		return -errno;
	if (pipe2(report, O_CLOEXEC) == -1) {
		pid = -errno;
		goto close_pair;
	}
	/* dup2(2) in the child must not meet its own sources. */
	above = fcntl(report[1], F_DUPFD_CLOEXEC, FD_ABOVE);
	if (above == -1) {
		pid = -errno;
		goto close_report;
	}
	close(report[1]);
	report[1] = -1;
	ch.report = above;
	above = fcntl(pair[1], F_DUPFD_CLOEXEC, FD_ABOVE);
	if (above == -1) {
		pid = -errno;
		goto close_report;
	}
	close(pair[1]);
	pair[1] = ch.channel = above;

	pid = start(&ch, s->ns, report[0]);
	if (pid > 0)
		*fd = fd_take(&pair[0]);
close_report:
	fd_close(&report[0]);
	fd_close(&report[1]);
	fd_close(&ch.report);
close_pair:
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	return pid;
}

bool
spawn_is_child(int argc, char **argv, struct spawned *sp)
{
	char **environment = environ;
	struct stat st;

	if (argc < 2 || strcmp(argv[1], MARK) != 0)
		return false;
	/* libbsd moves the strings out of the way of the title. */
	setproctitle_init(argc, argv, environment);
	if (argc != 6 || strlen(argv[5]) != 2 || argv[5][0] < '0' ||
	    argv[5][0] > '0' + LOG_TO_SYSLOG)
		fatalx("%s is not for users", MARK);
	log_init((enum log_dest)(argv[5][0] - '0'), argv[4]);
	log_setverbose(argv[5][1] == '1');
	if (fstat(SPAWN_FD, &st) == -1 || !S_ISSOCK(st.st_mode))
		fatalx("%s is not for users", MARK);
	if (fd_cloexec(SPAWN_FD) != 0)
		fatal("channel");
	sp->role = argv[2];
	sp->title = argv[3];
	sp->tag = argv[4];
	/* execveat(2) by descriptor leaves a number as the name. */
	prctl(PR_SET_NAME, sp->title);
	setproctitle("%s", sp->title);
	return true;
}

int
spawn_background(void)
{
	return daemon(0, 0) == -1 ? -errno : 0;
}

int
spawn_replace(const char *path, char *const argv[], int keep)
{
	default_signals();
	signal(SIGPIPE, SIG_DFL);
	unblock_signals();
	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U,
		CLOSE_RANGE_CLOEXEC) == -1 ||
	    (keep != -1 && fcntl(keep, F_SETFD, 0) == -1))
		return -errno;
	execv(path, argv);
	return -errno;
}
