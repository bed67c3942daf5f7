/* SPDX-License-Identifier: ISC */
/*
 * The spawner: the test is its own child.  A child answers questions about
 * itself over its channel, by raw bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fd.h"
#include "log.h"
#include "spawn.h"

/* What a child found out about itself. */
struct answer {
	char role[16], title[32], tag[32], comm[16], cmdline[64];
	int dest, verbose;
	int nfds, fd0_null, fd1_null, channel_cloexec;
	int environment, umask, blocked, handled, sigpipe_ignored;
	pid_t pid, pgrp, sid;
	char cwd[64];
	ino_t ns_net;
};

static int
is_null(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) &&
	    st.st_rdev == makedev(1, 3);
}

static void
look_at_signals(struct answer *a)
{
	struct sigaction sa;
	sigset_t set;
	int sig;

	sigprocmask(SIG_BLOCK, NULL, &set);
	for (sig = 1; sig < NSIG; sig++) {
		if (sigismember(&set, sig) == 1)
			a->blocked++;
		if (sigaction(sig, NULL, &sa) == -1)
			continue;
		if (sig == SIGPIPE)
			a->sigpipe_ignored = sa.sa_handler == SIG_IGN;
		else if (sa.sa_handler != SIG_DFL)
			a->handled++;
	}
}

static int
count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -3; /* ".", ".." and the directory itself */

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n;
}

static int
child_answer(const struct spawned *sp)
{
	struct answer a = { .nfds = count_fds() };
	struct stat st;
	ssize_t n;
	int fd;

	snprintf(a.role, sizeof(a.role), "%s", sp->role);
	snprintf(a.title, sizeof(a.title), "%s", sp->title);
	snprintf(a.tag, sizeof(a.tag), "%s", sp->tag);
	prctl(PR_GET_NAME, a.comm);
	fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	n = read(fd, a.cmdline, sizeof(a.cmdline) - 1);
	a.cmdline[n < 0 ? 0 : n] = '\0';
	a.dest = (int)log_dest();
	a.verbose = log_getverbose();
	a.fd0_null = is_null(0);
	a.fd1_null = is_null(1);
	a.channel_cloexec = fcntl(SPAWN_FD, F_GETFD) == FD_CLOEXEC;
	a.environment = environ != NULL && environ[0] != NULL;
	a.umask = (int)umask(0);
	look_at_signals(&a);
	a.pid = getpid();
	a.pgrp = getpgrp();
	a.sid = getsid(0);
	if (getcwd(a.cwd, sizeof(a.cwd)) == NULL)
		a.cwd[0] = '\0';
	if (stat("/proc/self/ns/net", &st) == 0)
		a.ns_net = st.st_ino;
	return write(SPAWN_FD, &a, sizeof(a)) == sizeof(a) ? 0 : 1;
}

/* Says when its parent's end closed, on the descriptor it was sent. */
static int
child_survive(void)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int out;

	if (recvmsg(SPAWN_FD, &m, 0) != 1 || CMSG_FIRSTHDR(&m) == NULL)
		return 1;
	memcpy(&out, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(out));
	if (read(SPAWN_FD, &byte, 1) != 0)
		return 1;
	return write(out, "e", 1) == 1 ? 0 : 1;
}

static int
child_replace(const struct spawned *sp)
{
	const char *words[] = { "sh", "-c",
		"test ! -e /proc/self/fd/3 && test -e /proc/self/fd/2 && "
		"exit 7",
		NULL };
	char *const *argv = (char *const *)(uintptr_t)words;

	if (spawn_replace("/no/such/program", argv, -1) != -ENOENT)
		return 1;
	spawn_replace("/bin/sh", argv, -1);
	return 2;
}

static int
child_main(const struct spawned *sp)
{
	alarm(20);
	if (strcmp(sp->role, "answer") == 0)
		return child_answer(sp);
	if (strcmp(sp->role, "survive") == 0)
		return child_survive();
	if (strcmp(sp->role, "replace") == 0)
		return child_replace(sp);
	return 1;
}

static int
wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
ask(const struct spawn *s, struct answer *a)
{
	pid_t pid;
	int fd = -1;

	pid = spawn_child(s, &fd);
	if (pid < 0)
		fail_msg("spawn_child: %s", strerror(-pid));
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(read(fd, a, sizeof(*a)), sizeof(*a));
	close(fd);
	assert_int_equal(wait_for(pid), 0);
}

static void
on_signal(int sig)
{
}

static void
test_spawn_clean(void **state)
{
	struct spawn s = { "answer", "vm/web", "web", 0, -1 };
	struct answer a;
	int leaks[20], i;
	sigset_t set, old;

	/* Dirt that must not be inherited. */
	for (i = 0; i < 20; i++)
		leaks[i] = dup(0);
	dup2(0, 100);
	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &old);
	umask(0);
	setenv("LD_PRELOAD", "/no/such/library", 1);
	log_init(LOG_TO_JOURNAL, "parent");
	log_setverbose(1);
	ask(&s, &a);
	log_setverbose(0);
	log_init(LOG_TO_STDERR, "");
	unsetenv("LD_PRELOAD");
	sigprocmask(SIG_SETMASK, &old, NULL);
	for (i = 0; i < 20; i++)
		close(leaks[i]);
	close(100);

	assert_string_equal(a.role, "answer");
	assert_string_equal(a.title, "vm/web");
	assert_string_equal(a.tag, "web");
	assert_string_equal(a.comm, "vm/web");
	assert_string_equal(a.cmdline, "vmd: vm/web");
	assert_int_equal(a.dest, LOG_TO_JOURNAL);
	assert_int_equal(a.verbose, 1);
	assert_int_equal(a.nfds, 4);
	assert_true(a.fd0_null);
	assert_true(a.fd1_null);
	assert_true(a.channel_cloexec);
	assert_false(a.environment);
	assert_int_equal(a.umask, 077);
	assert_int_equal(a.blocked, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_int_equal(a.handled, 0); /* sanitizers have some */
#endif
	assert_true(a.sigpipe_ignored);
	assert_int_equal(a.pgrp, a.pid);
	assert_int_equal(a.sid, a.pid);
	assert_string_equal(a.cwd, "/");
}

static void
test_spawn_no_standard_fds(void **state)
{
	struct spawn s = { "answer", "t", "t", 0, -1 };
	struct answer a;
	int saved[2];

	/* Sockets and pipes would get the numbers 0 and 1. */
	saved[0] = fcntl(0, F_DUPFD_CLOEXEC, 10);
	saved[1] = fcntl(1, F_DUPFD_CLOEXEC, 10);
	close(0);
	close(1);
	ask(&s, &a);
	dup2(saved[0], 0);
	dup2(saved[1], 1);
	close(saved[0]);
	close(saved[1]);
	assert_int_equal(a.nfds, 4);
	assert_true(a.fd0_null);
	assert_true(a.fd1_null);
}

static void
test_spawn_namespaces(void **state)
{
	struct spawn s = { "answer", "t", "t",
		CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS, -1 };
	struct answer a;
	struct stat st;

	if (geteuid() != 0)
		skip();
	assert_int_equal(stat("/proc/self/ns/net", &st), 0);
	ask(&s, &a);
	assert_int_equal(a.pid, 1);
	assert_int_not_equal(a.ns_net, st.st_ino);
}

/* Made ahead: each child has one of its own, as long as there are some and
 * after. */
static void
test_spawn_prepared(void **state)
{
	struct spawn s = { "answer", "t", "t", CLONE_NEWPID | CLONE_NEWNET,
		-1 };
	int before = count_fds(), n, i, k;
	struct answer a[8];
	struct stat st;

	if (geteuid() != 0)
		skip();
	assert_int_equal(stat("/proc/self/ns/net", &st), 0);
	for (n = 1; spawn_prepare(); n++)
		;
	assert_in_range(n, 2, 7);
	assert_false(spawn_prepare());
	assert_int_equal(count_fds(), before + n);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	for (i = 0; i <= n; i++) {
		ask(&s, &a[i]);
		assert_int_equal(a[i].nfds, 4);
		assert_int_not_equal(a[i].ns_net, st.st_ino);
		assert_int_equal(count_fds(), before + (i < n ? n - 1 - i : 0));
	}
	/* Of those that were there together none is another's. */
	for (i = 0; i < n; i++)
		for (k = 0; k < i; k++)
			assert_int_not_equal(a[i].ns_net, a[k].ns_net);
	/* Who wants none gets none. */
	assert_true(spawn_prepare());
	s.ns = CLONE_NEWPID;
	ask(&s, &a[0]);
	assert_int_equal(a[0].ns_net, st.st_ino);
	assert_int_equal(count_fds(), before + 1);
	s.ns |= CLONE_NEWNET;
	ask(&s, &a[0]);
	assert_int_equal(count_fds(), before);
}

static void
test_spawn_refuses(void **state)
{
	struct spawn s = { "answer", "t", "t", CLONE_VM, -1 };
	int fd = -1;

	assert_int_equal(spawn_child(&s, &fd), -EINVAL);
	s.ns = SIGCHLD;
	assert_int_equal(spawn_child(&s, &fd), -EINVAL);
	assert_int_equal(fd, -1);
}

/* The exec fails: an error here, no child left. */
static void
test_spawn_exec_fails(void **state)
{
	static char huge[3 << 20]; /* more than an argument may be long */
	struct spawn s = { "answer", "t", huge, 0, -1 };
	int before = count_fds(), fd = -1;

	memset(huge, 'x', sizeof(huge) - 1);
	assert_int_equal(spawn_child(&s, &fd), -E2BIG);
	assert_int_equal(fd, -1);
	assert_int_equal(count_fds(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void
send_fd(int s, int fd)
{
	char byte = 'x', control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	assert_int_equal(sendmsg(s, &m, 0), 1);
}

/* Where the kernel does not make it there, the child enters its control group
 * itself, or there is none. */
static void
test_spawn_cgroup(void **state)
{
	struct spawn s = { "answer", "t", "t", 0, -1 };
	char path[] = "/tmp/test_spawn.XXXXXX", text[4] = "";
	struct answer a;
	int file, fd = -1;

	assert_non_null(mkdtemp(path));
	s.cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_not_equal(s.cgroup, -1);
	file = openat(
	    s.cgroup, "cgroup.procs", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_not_equal(file, -1);
	ask(&s, &a);
	assert_int_equal(a.nfds, 4);
	assert_int_equal(pread(file, text, sizeof(text), 0), 1);
	assert_string_equal(text, "0");
	close(file);
	assert_int_equal(unlinkat(s.cgroup, "cgroup.procs", 0), 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(spawn_child(&s, &fd), -ENOENT);
	assert_int_equal(fd, -1);
	close(s.cgroup);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* The parent dies; the child sees end of file and lives on. */
static void
test_spawn_outlives(void **state)
{
	struct spawn s = { "survive", "t", "t", 0, -1 };
	struct pollfd pfd;
	int p[2], fd;
	pid_t pid;
	char c = 0;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (spawn_child(&s, &fd) < 0)
			_exit(1);
		send_fd(fd, p[1]);
		raise(SIGKILL);
	}
	close(p[1]);
	wait_for(pid);
	pfd.fd = p[0];
	pfd.events = POLLIN;
	assert_int_equal(poll(&pfd, 1, 10000), 1);
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_int_equal(c, 'e');
	close(p[0]);
}

static void
test_spawn_replace(void **state)
{
	struct spawn s = { "replace", "t", "t", 0, -1 };
	int fd, status;
	pid_t pid;

	pid = spawn_child(&s, &fd);
	assert_true(pid > 0);
	status = wait_for(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	close(fd);
}

/* The caller ends, what goes on has no terminal and no parent. */
static void
test_spawn_background(void **state)
{
	char c[3] = "";
	int p[2];
	pid_t pid;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		pid = getpid();
		if (spawn_background() != 0)
			_exit(1);
		c[0] = getpid() != pid ? 'y' : 'n';
		c[1] = getsid(0) != getsid(pid) && is_null(2) ? 'y' : 'n';
		_exit(write(p[1], c, 2) != 2);
	}
	close(p[1]);
	assert_int_equal(wait_for(pid), 0);
	assert_int_equal(read(p[0], c, 2), 2);
	assert_string_equal(c, "yy");
	close(p[0]);
}

/* Not for users: no socket at SPAWN_FD, or the wrong arguments. */
static void
test_spawn_by_hand(void **state)
{
	static const char *const rows[][7] = {
		{ "vmd", "-X", "answer", "t", "t", "00", NULL },
		{ "vmd", "-X", "answer", "t", "t", NULL },
		{ "vmd", "-X", "answer", "t", "t", "90", NULL },
		{ "vmd", "-X", NULL },
	};
	size_t i;
	int status;
	pid_t pid;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pid = fork();
		if (pid == 0) {
			int null = open("/dev/null", O_RDWR);

			dup2(null, 2);
			dup2(null, SPAWN_FD);
			execv("/proc/self/exe",
			    (char *const *)(uintptr_t)rows[i]);
			_exit(99);
		}
		status = wait_for(pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 1);
	}
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spawn_clean),
		cmocka_unit_test(test_spawn_no_standard_fds),
		cmocka_unit_test(test_spawn_namespaces),
		cmocka_unit_test(test_spawn_prepared),
		cmocka_unit_test(test_spawn_refuses),
		cmocka_unit_test(test_spawn_exec_fails),
		cmocka_unit_test(test_spawn_cgroup),
		cmocka_unit_test(test_spawn_outlives),
		cmocka_unit_test(test_spawn_replace),
		cmocka_unit_test(test_spawn_background),
		cmocka_unit_test(test_spawn_by_hand),
	};
	struct spawned sp;

	if (spawn_is_child(argc, argv, &sp))
		return child_main(&sp);
	if (spawn_init("vmd") != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
