/* SPDX-License-Identifier: ISC */
/*
 * The system call filter: promises become an allow-list, everything else
 * ends the process and is logged by the kernel.  seccomp(2),
 * "SECCOMP_RET_KILL_PROCESS".
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
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include "bpf.h"
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

/* The longest list has a hundred, of six instructions each. */
#define CALLS_MAX 160
#define PROG_MAX  1024

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
	struct bpf_cond cond[BPF_CONDS];
} rules[] = {
	/* Descriptors that are there. */
	{ P_STDIO, SYS_read, { { 0 } } },
	{ P_STDIO, SYS_readv, { { 0 } } },
	{ P_STDIO, SYS_write, { { 0 } } },
	{ P_STDIO, SYS_writev, { { 0 } } },
	{ P_STDIO, SYS_close, { { 0 } } },
	{ P_STDIO, SYS_fcntl, { IS(1, F_GETFL) } },
	{ P_STDIO, SYS_fcntl, { IS(1, F_SETFL), NONBLOCK_ONLY(2) } },
	{ P_STDIO, SYS_fcntl, { IS(1, F_GETFD) } },
	{ P_STDIO, SYS_fcntl, { IS(1, F_SETFD) } },
	/* Waiting: the event loop's, and pollers with a deadline. */
	{ P_STDIO, SYS_poll, { { 0 } } },
	{ P_STDIO, SYS_ppoll, { { 0 } } },
	{ P_STDIO, SYS_epoll_wait, { { 0 } } },
	{ P_STDIO, SYS_epoll_pwait, { { 0 } } },
	{ P_STDIO, SYS_epoll_pwait2, { { 0 } } },
	{ P_STDIO, SYS_epoll_ctl, { { 0 } } },
	{ P_STDIO, SYS_timerfd_settime, { { 0 } } },
	{ P_STDIO, SYS_timerfd_gettime, { { 0 } } },
	{ P_STDIO, SYS_nanosleep, { { 0 } } },
	{ P_STDIO, SYS_clock_nanosleep, { { 0 } } },
	{ P_STDIO, SYS_restart_syscall, { { 0 } } },
	/* Clocks: where the vDSO cannot read the clock source. */
	{ P_STDIO, SYS_clock_gettime, { { 0 } } },
	{ P_STDIO, SYS_clock_getres, { { 0 } } },
	{ P_STDIO, SYS_gettimeofday, { { 0 } } },
	{ P_STDIO, SYS_time, { { 0 } } },
	/* Mutexes, and threads that start or end. */
	{ P_STDIO, SYS_futex, { { 0 } } },
	{ P_STDIO, SYS_sched_yield, { { 0 } } },
	/* A thread that lets others go first, or does so no more. */
	{ P_STDIO, SYS_sched_setscheduler, { IS(0, 0), IS(1, SCHED_BATCH) } },
	{ P_STDIO, SYS_sched_setscheduler, { IS(0, 0), IS(1, SCHED_OTHER) } },
	{ P_STDIO, SYS_set_robust_list, { { 0 } } },
	{ P_STDIO, SYS_rseq, { { 0 } } },
	{ P_STDIO, SYS_prctl, { IS(0, PR_SET_NAME) } },
	{ P_STDIO, SYS_gettid, { { 0 } } },
	{ P_STDIO, SYS_getpid, { { 0 } } },
	{ P_STDIO, SYS_exit, { { 0 } } },
	{ P_STDIO, SYS_exit_group, { { 0 } } },
	/* Signals: handlers were set before. */
	{ P_STDIO, SYS_rt_sigreturn, { { 0 } } },
	{ P_STDIO, SYS_rt_sigprocmask, { { 0 } } },
	/* malloc(3): memory of its own, never executable. */
	{ P_STDIO, SYS_brk, { { 0 } } },
	{ P_STDIO, SYS_mmap,
	    { WITHOUT(2, PROT_EXEC), WITH(3, MAP_ANONYMOUS) } },
	{ P_STDIO, SYS_mprotect, { WITHOUT(2, PROT_EXEC) } },
	{ P_STDIO, SYS_munmap, { { 0 } } },
	{ P_STDIO, SYS_mremap, { { 0 } } },
	{ P_STDIO, SYS_madvise, { { 0 } } },
	{ P_STDIO, SYS_getrandom, { { 0 } } },

	{ P_RECVFD, SYS_recvmsg, { { 0 } } },
	{ P_SENDFD, SYS_sendmsg, { { 0 } } },
	/* What is passed on is mostly a copy of what is kept. */
	{ P_SENDFD, SYS_fcntl, { IS(1, F_DUPFD_CLOEXEC) } },

	{ P_UNIX, SYS_accept4, { { 0 } } },
	{ P_UNIX, SYS_getsockopt, { { 0 } } },
	{ P_UNIX, SYS_getpeername, { { 0 } } },

	{ P_INET, SYS_accept4, { { 0 } } },
	{ P_INET, SYS_setsockopt, { IS(1, SOL_SOCKET), IS(2, SO_KEEPALIVE) } },
	{ P_INET, SYS_setsockopt, { IS(1, IPPROTO_TCP) } },

	{ P_DISK, SYS_pread64, { { 0 } } },
	{ P_DISK, SYS_preadv, { { 0 } } },
	{ P_DISK, SYS_preadv2, { { 0 } } },
	{ P_DISK, SYS_pwrite64, { { 0 } } },
	{ P_DISK, SYS_pwritev, { { 0 } } },
	{ P_DISK, SYS_pwritev2, { { 0 } } },
	/* Where it has data; offsets of descriptors are nobody's. */
	{ P_DISK, SYS_lseek, { IS(2, SEEK_DATA) } },
	{ P_DISK, SYS_lseek, { IS(2, SEEK_HOLE) } },
	{ P_DISK, SYS_fsync, { { 0 } } },
	{ P_DISK, SYS_fdatasync, { { 0 } } },
	{ P_DISK, SYS_fallocate, { { 0 } } },
	{ P_DISK, SYS_fstat, { { 0 } } },
	{ P_DISK, SYS_fstatfs, { { 0 } } },
	/* fstat(3) of glibc 2.33 and newer. */
	{ P_DISK, SYS_newfstatat, { IS(3, AT_EMPTY_PATH) } },

	/* Its temporary file; the name of the system is in a volume's header. */
	{ P_ARCHIVE, SYS_lseek, { { 0 } } },
	{ P_ARCHIVE, SYS_uname, { { 0 } } },

	{ P_URING, SYS_io_uring_enter, { { 0 } } },

	/* A netlink socket that is there; sockets cannot be made. */
	{ P_NETCFG, SYS_sendto, { { 0 } } },
	{ P_NETCFG, SYS_recvmsg, { { 0 } } },
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

/* The list of calls as it grows. */
struct list {
	struct bpf_call call[CALLS_MAX];
	size_t n; /* may pass CALLS_MAX: then it does not fit */
};

static void
allow(struct list *l, int nr, const struct bpf_cond cond[BPF_CONDS])
{
	unsigned i;

	if (l->n < CALLS_MAX) {
		l->call[l->n].nr = nr;
		for (i = 0; i < BPF_CONDS; i++)
			l->call[l->n].cond[i] = cond[i];
	}
	l->n++;
}

/* The kernel looks at 32 bits of both: asm/ioctl.h, ioctl(2). */
static int
allow_ioctl(struct list *l, const struct sandbox_ioctl *row)
{
	unsigned nfds = row->nfds == 0 ? 1 : row->nfds;
	const struct bpf_cond cond[BPF_CONDS] = {
		{ 0, LOW32 & ~(uint64_t)(nfds - 1), (unsigned)row->fd },
		{ 1, LOW32, row->request & LOW32 },
	};

	if (row->fd < 0 || (nfds & (nfds - 1)) != 0 ||
	    ((unsigned)row->fd & (nfds - 1)) != 0 || row->request > LOW32)
		return -EINVAL;
	allow(l, SYS_ioctl, cond);
	return 0;
}

static int
add_rules(struct list *l, unsigned promises, const struct sandbox_ioctl *ioctls,
    size_t nioctls)
{
	/* The kicks of vCPU threads: signals to ourselves only. */
	const struct bpf_cond self[BPF_CONDS] = { IS(0, (unsigned)getpid()) };
	int error = 0;
	size_t i;

	for (i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (rules[i].promise & promises)
			allow(l, rules[i].nr, rules[i].cond);
	for (i = 0; error == 0 && i < nioctls; i++)
		error = allow_ioctl(l, &ioctls[i]);
	if (promises & P_VMM)
		allow(l, SYS_tgkill, self);
	return error == 0 && l->n > CALLS_MAX ? -E2BIG : error;
}

/* All threads get it, or none. */
static int
load(struct sock_filter *prog, int n)
{
	const struct sock_fprog p = { (unsigned short)n, prog };
	long r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -errno;
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
	    SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG, &p);
	/* A positive one is a thread that has another filter. */
	return r == -1 ? -errno : r == 0 ? 0 : -ESRCH;
}

int
filter_load(const char *names, const struct sandbox_ioctl *ioctls,
    size_t nioctls, const char **why)
{
	struct sock_filter prog[PROG_MAX];
	struct list l;
	unsigned promises;
	int n;

	*why = "unknown promise";
	n = parse(names, &promises);
	if (n != 0)
		return n;
	*why = "ioctls without a promise that has any";
	if (nioctls > 0 && !(promises & (P_VMM | P_TTY | P_DISK | P_TAP)))
		return -EINVAL;
	*why = "rule";
	l.n = 0;
	n = add_rules(&l, promises, ioctls, nioctls);
	if (n != 0)
		return n;
	n = bpf_compile(l.call, l.n, SYS_ioctl, prog, PROG_MAX);
	if (n < 0)
		return n;
	*why = "load";
	return load(prog, n);
}
