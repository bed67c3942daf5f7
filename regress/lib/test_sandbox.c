/* SPDX-License-Identifier: ISC */
/*
 * The sandbox, from inside: each case is a child process that confines and
 * seals itself and then tries something.  What needs root is skipped without
 * it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <sys/mount.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "filter.h"
#include "landlock.h"
#include "log.h"
#include "sandbox.h"
#include "../confine/confine.c"

#define UID 54321

static const struct sandbox box = {
	.uid = UID,
	.gid = UID,
	.nofile = 64,
	.nproc = 64,
	.memlock = 65536,
};

static void
need_root(void)
{
	if (geteuid() != 0)
		skip();
}

/* Sanitizers make calls of their own (signal stacks, maps of files), for
 * which the promises leave no room. */
static void
need_plain_build(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip();
#endif
}

/* Run f in a child; its wait status.  Log lines go nowhere. */
static int
in_child(int (*f)(const void *), const void *arg)
{
	int status = -1;
	pid_t pid;

	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 2);
		alarm(20);
		_exit(f(arg));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

#define CHECK(cond)                                \
	do {                                       \
		if (!(cond))                       \
			return __LINE__ % 250 + 1; \
	} while (0)

static void
assert_child_ok(int (*f)(const void *), const void *arg)
{
	int status = in_child(f, arg);

	if (WIFSIGNALED(status))
		fail_msg("killed by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		fail_msg("check failed in line ... + %d (mod 250)",
		    WEXITSTATUS(status) - 1);
}

/*
 * Confinement
 */

static int
ids_are_gone(const void *arg)
{
	uid_t r, e, s;
	gid_t g[8];

	sandbox_confine(&box);
	CHECK(getresuid(&r, &e, &s) == 0 && r == UID && e == UID && s == UID);
	CHECK(getresgid(&r, &e, &s) == 0 && r == UID && e == UID && s == UID);
	CHECK(getgroups(8, g) == 0);
	CHECK(setuid(0) == -1 && errno == EPERM);
	CHECK(setresuid(-1, 0, -1) == -1);
	CHECK(setgid(0) == -1);
	CHECK(setgroups(1, &(gid_t){ 0 }) == -1);
	return 0;
}

static int
capabilities_are_gone(const void *arg)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];
	unsigned long cap;

	sandbox_confine(&box);
	CHECK(syscall(SYS_capget, &h, d) == 0);
	CHECK((d[0].effective | d[0].permitted | d[0].inheritable) == 0);
	CHECK((d[1].effective | d[1].permitted | d[1].inheritable) == 0);
	for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != -1; cap++) {
		CHECK(prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0);
		CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) ==
		    0);
	}
	CHECK(cap > 30);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	CHECK(
	    (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) & SECBIT_NOROOT_LOCKED) != 0);
	CHECK(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) == -1);
	return 0;
}

static int
capability_is_kept(const void *arg)
{
	struct sandbox sb = box;
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	sb.keepcaps = 1ULL << CAP_NET_ADMIN;
	sandbox_confine(&sb);
	CHECK(syscall(SYS_capget, &h, d) == 0);
	CHECK(d[0].effective == 1U << CAP_NET_ADMIN && d[1].effective == 0);
	CHECK(d[0].permitted == 1U << CAP_NET_ADMIN && d[1].permitted == 0);
	CHECK((d[0].inheritable | d[1].inheritable) == 0);
	return 0;
}

/* A process that stays root and gives up the rest; what it had not stays away. */
static int
capabilities_are_given_up(const void *arg)
{
	const uint64_t keep = 1ULL << CAP_CHOWN | 1ULL << CAP_KILL;
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];
	unsigned long cap;
	int i;

	CHECK(syscall(SYS_capget, &h, d) == 0);
	for (i = 0; i < 2; i++) {
		d[i].inheritable = d[i].permitted;
		d[i].effective &= ~(i == 0 ? 1U << CAP_KILL : 0);
		d[i].permitted &= ~(i == 0 ? 1U << CAP_KILL : 0);
	}
	CHECK(syscall(SYS_capset, &h, d) == 0);
	sandbox_give_up(keep);
	CHECK(syscall(SYS_capget, &h, d) == 0);
	CHECK(d[0].effective == 1U << CAP_CHOWN && d[1].effective == 0);
	CHECK(d[0].permitted == 1U << CAP_CHOWN && d[1].permitted == 0);
	CHECK((d[0].inheritable & ~(uint32_t)keep) == 0);
	CHECK(d[1].inheritable == 0);
	for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != -1; cap++)
		CHECK(prctl(PR_CAPBSET_READ, cap, 0, 0, 0) ==
		    ((keep & 1ULL << cap) != 0));
	CHECK(cap > 30);
	/* Again, with nothing that it may drop. */
	sandbox_give_up(0);
	CHECK(syscall(SYS_capget, &h, d) == 0);
	CHECK((d[0].effective | d[0].permitted | d[0].inheritable) == 0);
	CHECK(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0) == 1);
	return 0;
}

static int
limits_are_set(const void *arg)
{
	struct rlimit rl;

	sandbox_confine(&box);
	CHECK(getrlimit(RLIMIT_CORE, &rl) == 0 && rl.rlim_max == 0);
	CHECK(getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_max == 64);
	CHECK(getrlimit(RLIMIT_NPROC, &rl) == 0 && rl.rlim_max == 64);
	CHECK(getrlimit(RLIMIT_MEMLOCK, &rl) == 0 && rl.rlim_max == 65536);
	rl.rlim_max++;
	CHECK(setrlimit(RLIMIT_MEMLOCK, &rl) == -1);
	return 0;
}

static int
root_is_empty(const void *arg)
{
	struct dirent *e;
	DIR *d;
	int n = 0;

	sandbox_confine(&box);
	CHECK(access("/etc", F_OK) == -1);
	CHECK(access("/proc", F_OK) == -1);
	CHECK(access("/../../etc/passwd", F_OK) == -1);
	CHECK(open("/x", O_CREAT | O_WRONLY, 0600) == -1);
	CHECK(mkdir("x", 0700) == -1);
	CHECK(chroot("/") == -1 && errno == EPERM);
	CHECK(mount("x", "/", "tmpfs", 0, NULL) == -1);
	d = opendir("/");
	if (d == NULL) { /* Landlock hides even that */
		CHECK(errno == EACCES);
		return 0;
	}
	while ((e = readdir(d)) != NULL)
		n++;
	CHECK(n == 2);
	return 0;
}

static int
host_mounts_stay(const void *arg)
{
	/* The tree outside must not have moved: looked at by the parent. */
	sandbox_confine(&box);
	return 0;
}

static int
chroot_is_used(const void *dir)
{
	struct sandbox sb = box;

	sb.root = dir;
	sandbox_confine(&sb);
	CHECK(access("/etc", F_OK) == -1);
	CHECK(open("/x", O_CREAT | O_WRONLY, 0600) == -1);
	return 0;
}

static int
landlock_denies(const void *arg)
{
	int abi, before, fd;
	struct stat st;

	before = open("/dev/null", O_RDWR);
	CHECK(before != -1);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	abi = landlock_deny_all();
	CHECK(abi >= 0);
	if (abi == 0)
		return 0;
	fd = open("/etc/passwd", O_RDONLY);
	CHECK(fd == -1 && errno == EACCES);
	CHECK(opendir("/") == NULL && errno == EACCES);
	CHECK(mkdir("/tmp/landlock-test", 0700) == -1 && errno == EACCES);
	CHECK(write(before, "x", 1) == 1); /* what was open stays */
	CHECK(fstat(before, &st) == 0);
	return 0;
}

static void
test_confine(void **state)
{
	struct stat before, after;

	need_root();
	assert_child_ok(ids_are_gone, NULL);
	assert_child_ok(capabilities_are_gone, NULL);
	assert_child_ok(capability_is_kept, NULL);
	assert_child_ok(capabilities_are_given_up, NULL);
	assert_child_ok(limits_are_set, NULL);
	assert_child_ok(root_is_empty, NULL);
	assert_int_equal(stat("/", &before), 0);
	assert_child_ok(host_mounts_stay, NULL);
	assert_int_equal(stat("/", &after), 0);
	assert_int_equal(before.st_dev, after.st_dev);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(access("/proc/self/exe", F_OK), 0);
}

static void
test_landlock(void **state)
{
	assert_child_ok(landlock_denies, NULL);
}

static int
confine_with(const void *arg)
{
	sandbox_confine(arg);
	return 0;
}

/* fatal() is exit status 1, after which nothing runs unconfined. */
static void
assert_fatal(const struct sandbox *sb)
{
	int status = in_child(confine_with, sb);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
}

static void
test_confine_refuses(void **state)
{
	struct sandbox sb = box;
	char dir[] = "/tmp/test_sandbox.XXXXXX";

	need_root();
	sb.uid = 0;
	assert_fatal(&sb);
	sb = box;
	sb.gid = 0;
	assert_fatal(&sb);
	sb = box;
	sb.user = "no-such-user-here";
	assert_fatal(&sb);
	sb.user = "root";
	assert_fatal(&sb);
	sb = box;
	sb.root = "/no/such/directory";
	assert_fatal(&sb);

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	assert_child_ok(chroot_is_used, dir);
	sb.root = dir;
	assert_int_equal(chmod(dir, 0777), 0);
	assert_fatal(&sb);
	assert_int_equal(chown(dir, UID, 0), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_fatal(&sb);
	assert_int_equal(rmdir(dir), 0);
}

/*
 * The seal: what it must let through
 */

static void *
mover(void *arg)
{
	pthread_mutex_t *m = arg;
	void *p[64];
	int i;

	pthread_mutex_lock(m); /* held by the main thread until the seal */
	pthread_mutex_unlock(m);
	/* Grow and shrink: a second arena would open files. */
	for (i = 0; i < 64; i++)
		memset(p[i] = malloc(100000), 1, 100000);
	for (i = 0; i < 64; i++)
		free(p[i]);
	free(malloc(1 << 20));
	return NULL;
}

static void
nothing(int sig)
{
}

static int
stdio_works(const void *arg)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct itimerspec its = { .it_value = { .tv_nsec = 1000 } };
	struct timespec ts = { 0, 1000 };
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t c = PTHREAD_COND_INITIALIZER;
	struct pollfd pfd;
	pthread_t t[3];
	uint64_t v = 1;
	void *p;
	int ep, tfd, efd, sv[2], i;
	sigset_t set;

	if (geteuid() == 0)
		sandbox_confine(&box);
	else
		mallopt(M_ARENA_MAX, 1);
	ep = epoll_create1(0);
	tfd = timerfd_create(CLOCK_MONOTONIC, 0);
	efd = eventfd(0, EFD_NONBLOCK);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	signal(SIGUSR1, nothing);
	pthread_mutex_lock(&m);
	for (i = 0; i < 3; i++)
		CHECK(pthread_create(&t[i], NULL, mover, &m) == 0);
	sandbox_seal(arg, NULL, 0);
	pthread_mutex_unlock(&m);
	for (i = 0; i < 3; i++)
		CHECK(pthread_join(t[i], NULL) == 0);

	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, tfd, &ev) == 0);
	CHECK(timerfd_settime(tfd, 0, &its, NULL) == 0);
	CHECK(epoll_wait(ep, &ev, 1, 5000) == 1);
	CHECK(read(tfd, &v, 8) == 8);
	CHECK(write(efd, &v, 8) == 8 && read(efd, &v, 8) == 8);
	pfd.fd = sv[0];
	pfd.events = POLLIN;
	CHECK(write(sv[1], "x", 1) == 1 && poll(&pfd, 1, 5000) == 1);
	CHECK(fcntl(sv[0], F_SETFL, fcntl(sv[0], F_GETFL) | O_NONBLOCK) == 0);
	CHECK(fcntl(sv[0], F_SETFD, fcntl(sv[0], F_GETFD)) == 0);
	CHECK(nanosleep(&ts, NULL) == 0);
	CHECK(pthread_mutex_lock(&m) == 0);
	CHECK(clock_gettime(CLOCK_REALTIME, &ts) == 0);
	CHECK(pthread_cond_timedwait(&c, &m, &ts) == ETIMEDOUT);
	CHECK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts) == 0);
	sigemptyset(&set);
	CHECK(pthread_sigmask(SIG_SETMASK, &set, NULL) == 0);
	p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED && mprotect(p, 4096, PROT_READ) == 0);
	CHECK(madvise(p, 1 << 20, MADV_DONTNEED) == 0);
	CHECK(sandbox_hide(p, 1 << 20) == 0);
	CHECK(munmap(p, 1 << 20) == 0);
	CHECK(getpid() > 0 && prctl(PR_SET_NAME, "sealed") == 0);
	log_warn("a line");
	log_limited(&(struct log_rate)LOG_RATE(1, 1), "another");
	CHECK(close(efd) == 0);
	return 0;
}

static int
disk_works(const void *arg)
{
	struct sandbox_ioctl row = { FIONREAD, 0, 1 };
	struct iovec iov;
	struct stat st;
	char buf[8] = "abcdefg";
	int fd, n;

	fd = memfd_create("disk", 0);
	CHECK(fd != -1);
	row.fd = fd;
	sandbox_seal("stdio disk", &row, 1);
	iov.iov_base = buf;
	iov.iov_len = sizeof(buf);
	CHECK(pwrite(fd, buf, 8, 0) == 8 && pread(fd, buf, 8, 0) == 8);
	CHECK(pwritev(fd, &iov, 1, 8) == 8 && preadv(fd, &iov, 1, 8) == 8);
	CHECK(pwritev2(fd, &iov, 1, 8, 0) == 8);
	CHECK(preadv2(fd, &iov, 1, 8, 0) == 8);
	CHECK(fsync(fd) == 0 && fdatasync(fd) == 0);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8) ==
	    0);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 16);
	CHECK(lseek(fd, 0, SEEK_DATA) == 0);
	CHECK(lseek(fd, 0, SEEK_HOLE) == 16);
	CHECK(ioctl(fd, FIONREAD, &n) == 0 || errno != EPERM);
	return 0;
}

static int
channel_promises_work(const void *arg)
{
	char byte = 'x', control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int sv[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	sandbox_seal("stdio recvfd sendfd unix", NULL, 0);
	CHECK(sendmsg(sv[0], &m, MSG_NOSIGNAL) == 1);
	m.msg_control = control;
	m.msg_controllen = sizeof(control);
	CHECK(recvmsg(sv[1], &m, 0) == 1);
	CHECK(getsockopt(sv[0], SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0);
	CHECK(accept4(sv[0], NULL, NULL, SOCK_CLOEXEC) == -1);
	CHECK(fcntl(sv[0], F_DUPFD_CLOEXEC, 0) >= 0);
	return 0;
}

static int
kick_works(const void *arg)
{
	signal(SIGUSR1, nothing);
	sandbox_seal("stdio vmm", NULL, 0);
	CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
	return 0;
}

static void
test_seal_allows(void **state)
{
	need_plain_build();
	assert_child_ok(stdio_works, "stdio");
	assert_child_ok(disk_works, NULL);
	assert_child_ok(channel_promises_work, NULL);
	assert_child_ok(kick_works, NULL);
}

/*
 * The seal: what it must refuse
 */

struct probe {
	const char *promises;
	const char *what;
};

static int
try_act(const void *arg)
{
	const struct probe *p = arg;
	/* Descriptor 3 is nobody's, the act's request is not in the list. */
	const struct sandbox_ioctl rows[] = {
		{ 0xae80, 3, 1 }, /* KVM_RUN on 3 */
		{ TIOCSTI, 0, 1 }, /* the act tries it on 2 */
		{ 0xae80, 16, 16 },
	};
	bool listed = strstr(p->promises, "vmm") != NULL;

	if (geteuid() == 0)
		sandbox_confine(&box);
	sandbox_seal(p->promises, rows, listed ? 3 : 0);
	return confine_probe(p->what) == -ENOTSUP ? 99 : 98;
}

/* The sets that the roles use: vm, vioblk, control, vionet, netcfg, and the
 * least. */
static const char *const promise_sets[] = {
	"stdio",
	"stdio vmm tty",
	"stdio disk uring",
	"stdio archive",
	"stdio unix recvfd sendfd",
	"stdio tap",
	"stdio recvfd sendfd tap netcfg",
};

/* Acts that a promise of the set permits. */
static bool
promised(const struct probe *p)
{
	return (strcmp(p->what, "fcntl-dupfd") == 0 &&
		   strstr(p->promises, "sendfd") != NULL) ||
	    (strcmp(p->what, "sendto") == 0 &&
		strstr(p->promises, "netcfg") != NULL);
}

static void
test_seal_kills(void **state)
{
	struct probe p;
	size_t i, j;
	int status, sig;

	for (i = 0; i < sizeof(promise_sets) / sizeof(promise_sets[0]); i++) {
		p.promises = promise_sets[i];
		for (j = 0; (p.what = confine_name(j)) != NULL; j++) {
			if (promised(&p))
				continue;
			status = in_child(try_act, &p);
			if (!WIFSIGNALED(status))
				fail_msg("%s under \"%s\": alive, %d", p.what,
				    p.promises, WEXITSTATUS(status));
			sig = WTERMSIG(status);
			/* A kernel without the i386 entry faults there. */
			if (strcmp(p.what, "i386-int80") == 0 && sig == SIGSEGV)
				continue;
			if (sig != SIGSYS)
				fail_msg("%s under \"%s\": signal %d", p.what,
				    p.promises, sig);
		}
	}
}

struct ioctl_case {
	const char *name;
	unsigned long request;
	int fd;
	bool pass;
};

static const struct sandbox_ioctl ioctl_rows[] = {
	{ FIONREAD, 5, 1 }, { FIOCLEX, 16, 16 },
	{ 0xc008ae88, 7, 1 }, /* top bit set, as in _IOWR() */
};

static int
try_ioctl(const void *arg)
{
	const struct ioctl_case *c = arg;
	int n;

	sandbox_seal("stdio vmm", ioctl_rows,
	    sizeof(ioctl_rows) / sizeof(ioctl_rows[0]));
	/* EBADF or whatever: what counts is to come back. */
	syscall(SYS_ioctl, (long)c->fd, c->request, &n);
	return 0;
}

static void
test_seal_ioctls(void **state)
{
	static const struct ioctl_case cases[] = {
		{ "listed", FIONREAD, 5, true },
		{ "other descriptor", FIONREAD, 4, false },
		{ "other descriptor, bit apart", FIONREAD, 7, false },
		{ "negative descriptor", FIONREAD, -1, false },
		{ "other request", FIONBIO, 5, false },
		{ "first of the range", FIOCLEX, 16, true },
		{ "last of the range", FIOCLEX, 31, true },
		{ "before the range", FIOCLEX, 15, false },
		{ "after the range", FIOCLEX, 32, false },
		{ "far after the range", FIOCLEX, 48, false },
		{ "request of another row", FIOCLEX, 5, false },
		{ "top bit", 0xc008ae88, 7, true },
		{ "top bit, sign extended", 0xffffffffc008ae88, 7, true },
		{ "high half ignored by the kernel", 0x1c008ae88, 7, true },
		{ "near", 0xc008ae89, 7, false },
	};
	size_t i;
	int status;

	need_plain_build();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		status = in_child(try_ioctl, &cases[i]);
		if (cases[i].pass
			? !WIFEXITED(status)
			: !WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s: status %#x", cases[i].name, status);
	}
}

static void
test_seal_bad_arguments(void **state)
{
	static const struct {
		const char *promises;
		struct sandbox_ioctl row;
		size_t n;
	} cases[] = {
		{ "stdio rpath", { 0, 0, 0 }, 0 },
		{ "stdi", { 0, 0, 0 }, 0 },
		{ "stdioo", { 0, 0, 0 }, 0 },
		{ "stdio", { FIONREAD, 1, 1 }, 1 }, /* no promise has ioctls */
		{ "stdio vmm", { FIONREAD, -1, 1 }, 1 },
		{ "stdio vmm", { FIONREAD, 16, 3 }, 1 },
		{ "stdio vmm", { FIONREAD, 8, 16 }, 1 },
		{ "stdio vmm", { 0x100000000, 8, 1 }, 1 },
	};
	const char *why;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why = NULL;
		assert_int_equal(filter_load(cases[i].promises, &cases[i].row,
				     cases[i].n, &why),
		    -EINVAL);
		assert_non_null(why);
	}
	assert_int_equal(prctl(PR_GET_SECCOMP), 0);
}

/* The seal binds a thread that was there before. */
static void *
late_offender(void *arg)
{
	pthread_mutex_t *m = arg;

	pthread_mutex_lock(m);
	pthread_mutex_unlock(m);
	syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
	return NULL;
}

static int
other_thread_is_sealed(const void *arg)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_t t;

	pthread_mutex_lock(&m);
	CHECK(pthread_create(&t, NULL, late_offender, &m) == 0);
	sandbox_seal("stdio", NULL, 0);
	pthread_mutex_unlock(&m);
	pthread_join(t, NULL);
	return 0;
}

static void
test_seal_threads(void **state)
{
	int status = in_child(other_thread_is_sealed, NULL);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_confine),
		cmocka_unit_test(test_confine_refuses),
		cmocka_unit_test(test_landlock),
		cmocka_unit_test(test_seal_allows),
		cmocka_unit_test(test_seal_kills),
		cmocka_unit_test(test_seal_ioctls),
		cmocka_unit_test(test_seal_bad_arguments),
		cmocka_unit_test(test_seal_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
