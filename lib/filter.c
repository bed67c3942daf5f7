/* SPDX-License-Identifier: ISC */
/*
 * The system call filter: promises become an allow-list, everything else
 * ends the process and is logged by the kernel.  seccomp(2),
 * "SECCOMP_RET_KILL_PROCESS"; seccomp_attr_set(3).
 *
 * What the list is made for, and what it must not be used with:
 *   - glibc 2.36, libevent 2.1 (epoll, timerfd, eventfd), liburing, pthread.
 *   - Threads are made before.  One that is still starting may set its robust
 *     list and rseq area, and its name.
 *   - After the seal do not call what opens files behind one's back:
 *     strerror(3), localtime(3), qsort(3) of more than 1 KiB,
 *     pthread_exit(3), pthread_cancel(3), getpw*(3), stdio on new streams.
 *   - abort(3) dies by SIGSYS instead of SIGABRT.
 */
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <seccomp.h>
#include "filter.h"
#include "sandbox.h"

enum promise {
	P_STDIO = 1 << 0,
	P_RECVFD = 1 << 1,
	P_SENDFD = 1 << 2,
	P_UNIX = 1 << 3,
	P_DISK = 1 << 4,
	P_URING = 1 << 5,
	P_VMM = 1 << 6,
	P_TTY = 1 << 7,
	P_TAP = 1 << 8,
	P_NETCFG = 1 << 9,
	P_ARCHIVE = 1 << 10,
	P_INET = 1 << 11,
};

static const struct {
	const char *name;
	unsigned bit;
} promise_names[] = {
	{ "stdio", P_STDIO },
	{ "recvfd", P_RECVFD },
	{ "sendfd", P_SENDFD },
	{ "unix", P_UNIX },
	{ "disk", P_DISK },
	{ "uring", P_URING },
	{ "vmm", P_VMM },
	{ "tty", P_TTY },
	{ "tap", P_TAP },
	{ "netcfg", P_NETCFG },
	{ "archive", P_ARCHIVE },
	{ "inet", P_INET },
};

/* (argument & mask) == value; mask 0: no condition. */
struct cond {
	unsigned arg;
	uint64_t mask;
	uint64_t value;
};

#define LOW32 0xffffffffULL
#define IS(n, v)                \
	{                       \
		(n), LOW32, (v) \
	}
#define WITHOUT(n, m)       \
	{                   \
		(n), (m), 0 \
	}
#define WITH(n, m)            \
	{                     \
		(n), (m), (m) \
	}

/*
 * F_SETFL reaches whoever shares the open file.  To set O_NONBLOCK is
 * harmless; to clear it would block the other process, O_ASYNC and O_APPEND
 * change what it sees.  What F_GETFL says beside may be given back.
 */
#define O_LARGEFILE_X86 0100000
#define NONBLOCK_ONLY(n)                                                \
	{                                                               \
		(n), LOW32 & ~(O_ACCMODE | O_LARGEFILE_X86), O_NONBLOCK \
	}

/*
 * A row without conditions is decided by the kernel's per-call bitmap, at no
 * cost for the filter's length.
 */
static const struct rule {
	unsigned promise;
	int nr;
	struct cond cond[2];
} rules[] = {
	/* Descriptors that are there. */
	{ P_STDIO, SCMP_SYS(read), { { 0 } } },
	{ P_STDIO, SCMP_SYS(readv), { { 0 } } },
	{ P_STDIO, SCMP_SYS(write), { { 0 } } },
	{ P_STDIO, SCMP_SYS(writev), { { 0 } } },
	{ P_STDIO, SCMP_SYS(close), { { 0 } } },
	{ P_STDIO, SCMP_SYS(fcntl), { IS(1, F_GETFL) } },
	{ P_STDIO, SCMP_SYS(fcntl), { IS(1, F_SETFL), NONBLOCK_ONLY(2) } },
	{ P_STDIO, SCMP_SYS(fcntl), { IS(1, F_GETFD) } },
	{ P_STDIO, SCMP_SYS(fcntl), { IS(1, F_SETFD) } },
	/* Waiting: the event loop's, and pollers with a deadline. */
	{ P_STDIO, SCMP_SYS(poll), { { 0 } } },
	{ P_STDIO, SCMP_SYS(ppoll), { { 0 } } },
	{ P_STDIO, SCMP_SYS(epoll_wait), { { 0 } } },
	{ P_STDIO, SCMP_SYS(epoll_pwait), { { 0 } } },
	{ P_STDIO, SCMP_SYS(epoll_pwait2), { { 0 } } },
	{ P_STDIO, SCMP_SYS(epoll_ctl), { { 0 } } },
	{ P_STDIO, SCMP_SYS(timerfd_settime), { { 0 } } },
	{ P_STDIO, SCMP_SYS(timerfd_gettime), { { 0 } } },
	{ P_STDIO, SCMP_SYS(nanosleep), { { 0 } } },
	{ P_STDIO, SCMP_SYS(clock_nanosleep), { { 0 } } },
	{ P_STDIO, SCMP_SYS(restart_syscall), { { 0 } } },
	/* Clocks: where the vDSO cannot read the clock source. */
	{ P_STDIO, SCMP_SYS(clock_gettime), { { 0 } } },
	{ P_STDIO, SCMP_SYS(clock_getres), { { 0 } } },
	{ P_STDIO, SCMP_SYS(gettimeofday), { { 0 } } },
	{ P_STDIO, SCMP_SYS(time), { { 0 } } },
	/* Mutexes, and threads that start or end. */
	{ P_STDIO, SCMP_SYS(futex), { { 0 } } },
	{ P_STDIO, SCMP_SYS(sched_yield), { { 0 } } },
	/* A thread that lets others go first, or does so no more. */
	{ P_STDIO, SCMP_SYS(sched_setscheduler),
	    { IS(0, 0), IS(1, SCHED_BATCH) } },
	{ P_STDIO, SCMP_SYS(sched_setscheduler),
	    { IS(0, 0), IS(1, SCHED_OTHER) } },
	{ P_STDIO, SCMP_SYS(set_robust_list), { { 0 } } },
	{ P_STDIO, SCMP_SYS(rseq), { { 0 } } },
	{ P_STDIO, SCMP_SYS(prctl), { IS(0, PR_SET_NAME) } },
	{ P_STDIO, SCMP_SYS(gettid), { { 0 } } },
	{ P_STDIO, SCMP_SYS(getpid), { { 0 } } },
	{ P_STDIO, SCMP_SYS(exit), { { 0 } } },
	{ P_STDIO, SCMP_SYS(exit_group), { { 0 } } },
	/* Signals: handlers were set before. */
	{ P_STDIO, SCMP_SYS(rt_sigreturn), { { 0 } } },
	{ P_STDIO, SCMP_SYS(rt_sigprocmask), { { 0 } } },
	/* malloc(3): memory of its own, never executable. */
	{ P_STDIO, SCMP_SYS(brk), { { 0 } } },
	{ P_STDIO, SCMP_SYS(mmap),
	    { WITHOUT(2, PROT_EXEC), WITH(3, MAP_ANONYMOUS) } },
	{ P_STDIO, SCMP_SYS(mprotect), { WITHOUT(2, PROT_EXEC) } },
	{ P_STDIO, SCMP_SYS(munmap), { { 0 } } },
	{ P_STDIO, SCMP_SYS(mremap), { { 0 } } },
	{ P_STDIO, SCMP_SYS(madvise), { { 0 } } },
	{ P_STDIO, SCMP_SYS(getrandom), { { 0 } } },

	{ P_RECVFD, SCMP_SYS(recvmsg), { { 0 } } },
	{ P_SENDFD, SCMP_SYS(sendmsg), { { 0 } } },
	/* What is passed on is mostly a copy of what is kept. */
	{ P_SENDFD, SCMP_SYS(fcntl), { IS(1, F_DUPFD_CLOEXEC) } },

	{ P_UNIX, SCMP_SYS(accept4), { { 0 } } },
	{ P_UNIX, SCMP_SYS(getsockopt), { { 0 } } },
	{ P_UNIX, SCMP_SYS(getpeername), { { 0 } } },

	{ P_INET, SCMP_SYS(accept4), { { 0 } } },
	{ P_INET, SCMP_SYS(setsockopt),
	    { IS(1, SOL_SOCKET), IS(2, SO_KEEPALIVE) } },
	{ P_INET, SCMP_SYS(setsockopt), { IS(1, IPPROTO_TCP) } },

	{ P_DISK, SCMP_SYS(pread64), { { 0 } } },
	{ P_DISK, SCMP_SYS(preadv), { { 0 } } },
	{ P_DISK, SCMP_SYS(preadv2), { { 0 } } },
	{ P_DISK, SCMP_SYS(pwrite64), { { 0 } } },
	{ P_DISK, SCMP_SYS(pwritev), { { 0 } } },
	{ P_DISK, SCMP_SYS(pwritev2), { { 0 } } },
	/* Where it has data; offsets of descriptors are nobody's. */
	{ P_DISK, SCMP_SYS(lseek), { IS(2, SEEK_DATA) } },
	{ P_DISK, SCMP_SYS(lseek), { IS(2, SEEK_HOLE) } },
	{ P_DISK, SCMP_SYS(fsync), { { 0 } } },
	{ P_DISK, SCMP_SYS(fdatasync), { { 0 } } },
	{ P_DISK, SCMP_SYS(fallocate), { { 0 } } },
	{ P_DISK, SCMP_SYS(fstat), { { 0 } } },
	{ P_DISK, SCMP_SYS(fstatfs), { { 0 } } },
	/* fstat(3) of glibc 2.33 and newer. */
	{ P_DISK, SCMP_SYS(newfstatat), { IS(3, AT_EMPTY_PATH) } },

	/* Its temporary file; the name of the system is in a volume's header. */
	{ P_ARCHIVE, SCMP_SYS(lseek), { { 0 } } },
	{ P_ARCHIVE, SCMP_SYS(uname), { { 0 } } },

	{ P_URING, SCMP_SYS(io_uring_enter), { { 0 } } },

	/* A netlink socket that is there; sockets cannot be made. */
	{ P_NETCFG, SCMP_SYS(sendto), { { 0 } } },
	{ P_NETCFG, SCMP_SYS(recvmsg), { { 0 } } },
};

static int
parse(const char *s, unsigned *promises)
{
	size_t i, n;

	*promises = 0;
	for (;;) {
		s += strspn(s, " ");
		n = strcspn(s, " ");
		if (n == 0)
			return 0;
		for (i = 0; i < sizeof(promise_names) / sizeof(*promise_names);
		     i++)
			if (strlen(promise_names[i].name) == n &&
			    memcmp(promise_names[i].name, s, n) == 0)
				break;
		if (i == sizeof(promise_names) / sizeof(*promise_names))
			return -EINVAL;
		*promises |= promise_names[i].bit;
		s += n;
	}
}

static int
allow(scmp_filter_ctx ctx, int nr, const struct cond *cond)
{
	struct scmp_arg_cmp cmp[2];
	unsigned i, n = 0;

	for (i = 0; i < 2; i++) {
		if (cond[i].mask == 0)
			continue;
		cmp[n].arg = cond[i].arg;
		cmp[n].op = SCMP_CMP_MASKED_EQ;
		cmp[n].datum_a = cond[i].mask;
		cmp[n].datum_b = cond[i].value;
		n++;
	}
	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, nr, n, cmp);
}

/* The kernel looks at 32 bits of both: asm/ioctl.h, ioctl(2). */
static int
allow_ioctl(scmp_filter_ctx ctx, const struct sandbox_ioctl *row)
{
	unsigned nfds = row->nfds == 0 ? 1 : row->nfds;
	struct cond cond[2] = {
		{ 0, LOW32 & ~(uint64_t)(nfds - 1), (unsigned)row->fd },
		{ 1, LOW32, row->request & LOW32 },
	};

	if (row->fd < 0 || (nfds & (nfds - 1)) != 0 ||
	    ((unsigned)row->fd & (nfds - 1)) != 0 || row->request > LOW32)
		return -EINVAL;
	return allow(ctx, SCMP_SYS(ioctl), cond);
}

static int
set_attributes(scmp_filter_ctx ctx)
{
	int error;

	error = seccomp_attr_set(
	    ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (error == 0)
		error = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (error == 0)
		error = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
	if (error == 0) /* 2: a binary tree over the call numbers */
		error = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return error;
}

static int
add_rules(scmp_filter_ctx ctx, unsigned promises,
    const struct sandbox_ioctl *ioctls, size_t nioctls)
{
	/* The kicks of vCPU threads: signals to ourselves only. */
	const struct cond self[2] = { IS(0, (unsigned)getpid()) };
	int error = 0;
	size_t i;

	for (i = 0; error == 0 && i < sizeof(rules) / sizeof(*rules); i++)
		if (rules[i].promise & promises)
			error = allow(ctx, rules[i].nr, rules[i].cond);
	for (i = 0; error == 0 && i < nioctls; i++)
		error = allow_ioctl(ctx, &ioctls[i]);
	if (error == 0 && (promises & P_VMM))
		error = allow(ctx, SCMP_SYS(tgkill), self);
	return error;
}

int
filter_load(const char *names, const struct sandbox_ioctl *ioctls,
    size_t nioctls, const char **why)
{
	unsigned promises;
	scmp_filter_ctx ctx;
	int error;

	*why = "unknown promise";
	error = parse(names, &promises);
	if (error != 0)
		return error;
	*why = "ioctls without a promise that has any";
	if (nioctls > 0 && !(promises & (P_VMM | P_TTY | P_DISK | P_TAP)))
		return -EINVAL;
	*why = "libseccomp";
	ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (ctx == NULL)
		return -ENOMEM;
	error = set_attributes(ctx);
	if (error != 0)
		goto release;
	*why = "rule";
	error = add_rules(ctx, promises, ioctls, nioctls);
	if (error != 0)
		goto release;
	*why = "load";
	error = seccomp_load(ctx);
release:
	seccomp_release(ctx);
	return error;
}
