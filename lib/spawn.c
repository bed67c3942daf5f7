/* SPDX-License-Identifier: ISC */
/*
 * Making processes.
 *
 * Invariants
 *  1. Between clone(2) and execveat(2) the child runs on a stack of its own in the
 *     parent's memory, as after vfork(2): nothing has to be copied, which takes the
 *     longer the more the parent has.  The thread that made it stands still
 *     until then; of others locks may be held.  So the child makes only system
 *     calls, and writes only to its stack, errno and its struct child.
 *  2. All signals are blocked from before the clone until the child has put
 *     every handler to its default, so that no handler of the parent runs in
 *     the child and writes to what both share.
 *  3. Every descriptor of the parent above SPAWN_FD is close-on-exec in the
 *     child whatever the rest of the program did.
 *  4. The child's last word before its end is the errno of what failed.
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
#include <stdalign.h>
#include <stdbool.h>
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
#define STACK	 16384 /* bytes, of a child before its exec */
#define SPARES	 4 /* a VM with a disk and an interface has three processes */

static int binary = -1; /* this program, for execveat(2) */
static int devnull = -1;
static const char *progname;
static int spare[SPARES]; /* network namespaces that nobody has yet */
static unsigned nspare;

/* What the child needs, prepared by the parent. */
struct child {
	char **argv;
	int channel; /* its end */
	int netns; /* the one that it joins; -1: none */
	int cgroup; /* the one that it is to be in; -1: none */
	bool move; /* it has to go there itself */
	int error; /* invariant 4; 0 after the exec */
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

/* In the child, up to the exec: invariant 1. */
static int
child_exec(void *arg)
{
	char *const envp[] = { NULL };
	struct child *ch = arg;

	default_signals();
	if ((ch->netns == -1 || setns(ch->netns, CLONE_NEWNET) == 0) &&
	    (!ch->move || enter_cgroup(ch->cgroup) == 0) && setsid() != -1 &&
	    chdir("/") != -1 && dup2(devnull, 0) != -1 &&
	    dup2(devnull, 1) != -1 && dup2(ch->channel, SPAWN_FD) != -1 &&
	    syscall(SYS_close_range, FD_ABOVE, ~0U, CLOSE_RANGE_CLOEXEC) !=
		-1) {
		umask(077);
		unblock_signals();
		syscall(
		    SYS_execveat, binary, "", ch->argv, envp, AT_EMPTY_PATH);
	}
	ch->error = errno;
	_exit(127);
}

/*
 * clone3(2), which libc does not have: the child finds itself on the stack that the
 * arguments name, where nobody has called it.
 */
static pid_t
clone3_call(const struct clone_args *args, int (*fn)(void *), void *arg)
{
	register void *to __asm__("r12") = arg;
	register int (*call)(void *) __asm__("r13") = fn;
	long pid;

	__asm__ volatile(
	    "syscall\n\t"
	    "test %%rax, %%rax\n\t"
	    "jnz 1f\n\t"
	    "xor %%ebp, %%ebp\n\t"
	    "mov %%r12, %%rdi\n\t"
	    "call *%%r13\n\t"
	    "ud2\n"
	    "1:"
	    : "=a"(pid)
	    : "a"(SYS_clone3), "D"(args), "S"(sizeof(*args)), "r"(to), "r"(call)
	    : "rcx", "r11", "memory");
	return (pid_t)pid;
}

/*
 * A process that moves to another control group waits for an RCU grace period
 * (it is the only writer of a lock that each fork and exec reads); one that is
 * made there does not.  Container run-times refuse clone3(2).
 */
static pid_t
clone_into(struct child *ch, int ns)
{
	const int flags = ns | CLONE_VM | CLONE_VFORK;
	alignas(16) uint8_t stack[STACK];
	const struct clone_args there = {
		.flags = (unsigned)flags | CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.stack = (uintptr_t)stack,
		.stack_size = sizeof(stack),
		.cgroup = (unsigned)ch->cgroup,
	};
	pid_t pid;

	if (ch->cgroup != -1) {
		pid = clone3_call(&there, child_exec, ch);
		if (pid > 0)
			return pid;
		ch->move = true;
	}
	pid = clone(child_exec, stack + sizeof(stack), flags | SIGCHLD, ch);
	return pid == -1 ? -errno : pid;
}

/* In a child that has the parent's memory and descriptors, and a network
 * namespace of its own, of which a descriptor is what stays. */
static int
child_netns(void *arg)
{
	struct child *ch = arg;

	ch->netns = open_above("/proc/self/ns/net", O_RDONLY);
	_exit(0);
}

static void
reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		;
}

/* Clone and wait for the exec: pid or -errno. */
static pid_t
start(struct child *ch, int ns)
{
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = clone_into(ch, ns);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid > 0 && ch->error != 0) {
		reap(pid);
		return -ch->error;
	}
	return pid;
}

/* A descriptor of a new one, or -errno. */
static int
make_netns(void)
{
	alignas(16) uint8_t stack[STACK];
	struct child ch = { .netns = -ECHILD };
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = clone(child_netns, stack + sizeof(stack),
	    CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_NEWNET | SIGCHLD, &ch);
	if (pid == -1)
		ch.netns = -errno;
	else
		reap(pid);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return ch.netns;
}

bool
spawn_prepare(void)
{
	int fd;

	if (nspare == SPARES)
		return false;
	fd = make_netns();
	if (fd < 0) {
		log_debug("no network namespace ahead: %s", strerror(-fd));
		return false;
	}
	spare[nspare++] = fd;
	return nspare < SPARES;
}

/* One that is there already, instead of a new one; -1: there is none, or it would
 * be of another user namespace. */
static int
take_netns(int *ns)
{
	if (nspare == 0 ||
	    (*ns & (CLONE_NEWNET | CLONE_NEWUSER)) != CLONE_NEWNET)
		return -1;
	*ns &= ~CLONE_NEWNET;
	return spare[--nspare];
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
		.netns = -1,
		.cgroup = s->cgroup,
	};
	int pair[2], above, ns = s->ns;
	pid_t pid;

	if (binary == -1 || (s->ns & ~NAMESPACES) != 0)
		return -EINVAL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
		return -errno;
	/* dup2(2) in the child must not meet its own source. */
	above = fcntl(pair[1], F_DUPFD_CLOEXEC, FD_ABOVE);
	if (above == -1) {
		pid = -errno;
		goto out;
	}
	close(pair[1]);
	pair[1] = ch.channel = above;

	ch.netns = take_netns(&ns);
	pid = start(&ch, ns);
	fd_close(&ch.netns);
	if (pid > 0)
		*fd = fd_take(&pair[0]);
out:
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
