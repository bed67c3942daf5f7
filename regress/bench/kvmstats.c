/* SPDX-License-Identifier: ISC */
/*
 * usage: kvmstats pid		(in the lab, as root)
 *
 * What the driver has counted of a running VM, in lines "name value", each the
 * sum of all vCPUs.
 *
 * The driver answers the VM's own process alone, and that has neither a reason
 * to ask nor leave to (its filter of system calls).  So it is stopped, one of
 * its threads is made to ask, with the filter suspended, and the descriptor
 * that this gives is taken from it (pidfd_getfd(2)).  Then the threads go on as
 * if a signal had come that they ignore.
 *
 * Invariant: all threads are stopped, so none is in KVM_RUN with the lock of
 * its vCPU held.
 */
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 64
#define NAMES	256
#define SYSCALL 0x050fu /* the instruction */

struct process {
	pid_t pid;
	pid_t tid[THREADS];
	unsigned n;
};

struct sum {
	char name[NAMES];
	uint64_t value;
};

/* Made by the first vCPU. */
struct table {
	struct sum *sum;
	unsigned n;
};

static DIR *
proc_dir(pid_t pid, const char *what)
{
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	d = opendir(path);
	if (d == NULL)
		err(1, "%s", path);
	return d;
}

/* The next entry that is a number, or -1. */
static int
next_number(DIR *d)
{
	struct dirent *e;
	char *end;
	long n;

	while ((e = readdir(d)) != NULL) {
		n = strtol(e->d_name, &end, 10);
		if (end != e->d_name && *end == '\0')
			return (int)n;
	}
	return -1;
}

static void
wait_stopped(pid_t tid)
{
	int status;

	while (waitpid(tid, &status, __WALL) != tid) {
		if (errno != EINTR)
			err(1, "thread %d", (int)tid);
	}
	if (!WIFSTOPPED(status))
		errx(1, "thread %d is gone", (int)tid);
}

static void
trace(int request, pid_t tid, unsigned long addr, unsigned long data)
{
	if (ptrace(request, tid, addr, data) == -1)
		err(1, "ptrace request %#x", (unsigned)request);
}

static void
stop(struct process *p)
{
	DIR *d = proc_dir(p->pid, "task");
	int tid;

	while ((tid = next_number(d)) != -1) {
		if (p->n == THREADS)
			errx(1, "too many threads");
		trace(PTRACE_SEIZE, tid, 0,
		    PTRACE_O_SUSPEND_SECCOMP | PTRACE_O_TRACESYSGOOD);
		trace(PTRACE_INTERRUPT, tid, 0, 0);
		wait_stopped(tid);
		p->tid[p->n++] = tid;
	}
	closedir(d);
}

/* A thread that is behind an instruction by which it can ask. */
static pid_t
one_in_a_call(const struct process *p, struct user_regs_struct *regs)
{
	unsigned i;
	long word;

	for (i = 0; i < p->n; i++) {
		trace(PTRACE_GETREGS, p->tid[i], 0, (unsigned long)regs);
		errno = 0;
		word = ptrace(PTRACE_PEEKTEXT, p->tid[i], regs->rip - 2, 0);
		if (errno == 0 && (word & 0xffff) == SYSCALL)
			return p->tid[i];
	}
	errx(1, "no thread is in a system call");
}

/* In thread tid, whose registers are regs: to the entry, to the return. */
static long
call(pid_t tid, const struct user_regs_struct *regs, long nr, unsigned long a,
    unsigned long b, unsigned long c)
{
	struct user_regs_struct r = *regs;

	r.rip -= 2;
	r.rax = (unsigned long)nr;
	r.orig_rax = -1UL;
	r.rdi = a;
	r.rsi = b;
	r.rdx = c;
	trace(PTRACE_SETREGS, tid, 0, (unsigned long)&r);
	trace(PTRACE_SYSCALL, tid, 0, 0);
	wait_stopped(tid);
	trace(PTRACE_SYSCALL, tid, 0, 0);
	wait_stopped(tid);
	trace(PTRACE_GETREGS, tid, 0, (unsigned long)&r);
	return (long)r.rax;
}

/*
 * Registers come back where the kernel looks at them for a system call to
 * restart, which is not the stop of a system call's return.
 */
static void
restore(pid_t tid, const struct user_regs_struct *regs)
{
	trace(PTRACE_INTERRUPT, tid, 0, 0);
	trace(PTRACE_CONT, tid, 0, 0);
	wait_stopped(tid);
	trace(PTRACE_SETREGS, tid, 0, (unsigned long)regs);
}

static void
read_at(int fd, void *to, size_t len, uint64_t at)
{
	if (pread(fd, to, len, (off_t)at) != (ssize_t)len)
		err(1, "statistics");
}

static struct sum *
find(struct table *t, const char *name)
{
	unsigned i;

	for (i = 0; i < t->n; i++) {
		if (strcmp(t->sum[i].name, name) == 0)
			return &t->sum[i];
	}
	t->sum = realloc(t->sum, (t->n + 1) * sizeof(*t->sum));
	if (t->sum == NULL)
		err(1, NULL);
	t->sum[t->n] = (struct sum){ .value = 0 };
	snprintf(t->sum[t->n].name, NAMES, "%s", name);
	return &t->sum[t->n++];
}

/* The counters of one vCPU; histograms and what is no count are left out. */
static void
add(struct table *t, int fd)
{
	_Alignas(8) uint8_t room[sizeof(struct kvm_stats_desc) + NAMES];
	const struct kvm_stats_desc *d = (const void *)room;
	struct kvm_stats_header h;
	uint64_t value;
	size_t len;
	uint32_t i;

	read_at(fd, &h, sizeof(h), 0);
	if (h.name_size == 0 || h.name_size > NAMES)
		errx(1, "names of %u bytes", h.name_size);
	len = sizeof(*d) + h.name_size;
	for (i = 0; i < h.num_desc; i++) {
		read_at(fd, room, len, h.desc_offset + i * len);
		room[len - 1] = '\0';
		if (d->size != 1 ||
		    (d->flags & KVM_STATS_TYPE_MASK) !=
			KVM_STATS_TYPE_CUMULATIVE)
			continue;
		read_at(fd, &value, sizeof(value), h.data_offset + d->offset);
		find(t, d->name)->value += value;
	}
}

static bool
is_vcpu(pid_t pid, int fd)
{
	char path[64], to[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	n = readlink(path, to, sizeof(to) - 1);
	if (n == -1)
		return false;
	to[n] = '\0';
	return strncmp(to, "anon_inode:kvm-vcpu:", 20) == 0 ||
	    strcmp(to, "anon_inode:vmm-vcpu") == 0;
}

/* The statistics of the vCPU that is fd there; -errno. */
static int
borrow(pid_t tid, const struct user_regs_struct *regs, int pidfd, int fd)
{
	long theirs;
	int mine;

	theirs =
	    call(tid, regs, SYS_ioctl, (unsigned long)fd, KVM_GET_STATS_FD, 0);
	if (theirs < 0)
		return (int)theirs;
	mine = (int)syscall(SYS_pidfd_getfd, pidfd, (int)theirs, 0);
	if (mine == -1)
		mine = -errno;
	call(tid, regs, SYS_close, (unsigned long)theirs, 0, 0);
	return mine;
}

/* The VM stands still between the first and the last of its vCPUs. */
static void
collect(struct process *p, struct table *t)
{
	int pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0), fd, mine = 0;
	struct rlimit limit, room = { 1024, 1024 };
	struct user_regs_struct regs;
	DIR *d = proc_dir(p->pid, "fd");
	pid_t tid;

	/* The process may have no descriptor to spare. */
	if (pidfd == -1 || prlimit(p->pid, RLIMIT_NOFILE, &room, &limit) == -1)
		err(1, "process %d", (int)p->pid);
	tid = one_in_a_call(p, &regs);
	while (mine >= 0 && (fd = next_number(d)) != -1) {
		if (!is_vcpu(p->pid, fd))
			continue;
		mine = borrow(tid, &regs, pidfd, fd);
		if (mine < 0)
			continue;
		add(t, mine);
		close(mine);
	}
	restore(tid, &regs);
	prlimit(p->pid, RLIMIT_NOFILE, &limit, NULL);
	if (mine < 0)
		errx(1, "KVM_GET_STATS_FD: %s", strerror(-mine));
	closedir(d);
	close(pidfd);
}

int
main(int argc, char **argv)
{
	struct process p = { .pid = argc == 2 ? atoi(argv[1]) : 0 };
	struct table t = { NULL, 0 };
	unsigned i;

	if (p.pid <= 0) {
		fprintf(stderr, "usage: kvmstats pid\n");
		return 2;
	}
	stop(&p);
	collect(&p, &t);
	for (i = 0; i < p.n; i++)
		trace(PTRACE_DETACH, p.tid[i], 0, 0);
	if (t.n == 0)
		errx(1, "process %d has no vCPU", (int)p.pid);
	for (i = 0; i < t.n; i++)
		printf("%s %llu\n", t.sum[i].name,
		    (unsigned long long)t.sum[i].value);
	free(t.sum);
	return 0;
}
