/* SPDX-License-Identifier: ISC */
/*
 * Forbidden acts: rows of a name and one system call.  The calls are raw, so
 * that what is refused is the act and not a preparation by the C library;
 * their arguments do no harm where the call is let through.
 */
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "chan.h"
#include "confine.h"
#include "imsg.h"
#include "log.h"

/* Newer than the oldest headers that this is built with. */
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static long zeroes[64]; /* a null structure of any kind */
static char own_page[8192];

/* A page of our own, aligned. */
static void *
page(void)
{
	return (void *)(((uintptr_t)own_page + 4095) & ~(uintptr_t)4095);
}

/* The i386 way in: getpid(2) by number 20. */
static long
int80(void)
{
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(20L)
			 : "memory", "r8", "r9", "r10", "r11");
	return r;
}

/* One row: X(name, call). */
#define ACTS(X)                                                                \
	X("open", syscall(SYS_open, "/", O_RDONLY, 0))                         \
	X("openat", syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY, 0)) \
	X("openat-dotdot",                                                     \
	    syscall(                                                           \
		SYS_openat, AT_FDCWD, "../../..", O_RDONLY | O_DIRECTORY, 0))  \
	X("openat-proc",                                                       \
	    syscall(SYS_openat, AT_FDCWD, "/proc/1/mem", O_RDWR, 0))           \
	X("openat-kvm", syscall(SYS_openat, AT_FDCWD, "/dev/kvm", O_RDWR, 0))  \
	X("openat2", syscall(SYS_openat2, AT_FDCWD, "/", zeroes, 24))          \
	X("creat", syscall(SYS_creat, "/x", 0600))                             \
	X("name_to_handle_at",                                                 \
	    syscall(SYS_name_to_handle_at, AT_FDCWD, "/", zeroes, zeroes, 0))  \
	X("open_by_handle_at",                                                 \
	    syscall(SYS_open_by_handle_at, AT_FDCWD, zeroes, O_RDONLY))        \
	X("memfd_create", syscall(SYS_memfd_create, "x", 0))                   \
	X("memfd_secret", syscall(SYS_memfd_secret, 0))                        \
	X("mkdir", syscall(SYS_mkdir, "/x", 0700))                             \
	X("unlink", syscall(SYS_unlink, "/x"))                                 \
	X("rename", syscall(SYS_rename, "/x", "/y"))                           \
	X("link", syscall(SYS_link, "/x", "/y"))                               \
	X("symlink", syscall(SYS_symlink, "/x", "/y"))                         \
	X("mknod", syscall(SYS_mknod, "/x", 0600, 0))                          \
	X("chmod", syscall(SYS_chmod, "/", 0777))                              \
	X("fchmod", syscall(SYS_fchmod, 0, 0777))                              \
	X("chown", syscall(SYS_chown, "/", 0, 0))                              \
	X("fchown", syscall(SYS_fchown, 0, 0, 0))                              \
	X("truncate", syscall(SYS_truncate, "/x", 0L))                         \
	X("ftruncate", syscall(SYS_ftruncate, 0, 0L))                          \
	X("stat-path", syscall(SYS_stat, "/", zeroes))                         \
	X("statx", syscall(SYS_statx, AT_FDCWD, "/", 0, 0, zeroes))            \
	X("newfstatat-path",                                                   \
	    syscall(SYS_newfstatat, AT_FDCWD, "/", zeroes, 0))                 \
	X("readlink", syscall(SYS_readlink, "/proc/self/exe", zeroes, 8))      \
	X("getdents64", syscall(SYS_getdents64, 0, zeroes, 8))                 \
	X("chdir", syscall(SYS_chdir, "/"))                                    \
	X("fchdir", syscall(SYS_fchdir, 0))                                    \
	X("dup", syscall(SYS_dup, 0))                                          \
	X("dup2", syscall(SYS_dup2, 0, 9))                                     \
	X("fcntl-dupfd", syscall(SYS_fcntl, 0, F_DUPFD_CLOEXEC, 9))            \
	X("fcntl-setown", syscall(SYS_fcntl, 0, F_SETOWN, 1))                  \
	X("fcntl-block", syscall(SYS_fcntl, 0, F_SETFL, O_RDWR))               \
	X("fcntl-async",                                                       \
	    syscall(SYS_fcntl, 0, F_SETFL, O_RDWR | O_NONBLOCK | O_ASYNC))     \
	X("fcntl-addseals", syscall(SYS_fcntl, 0, F_ADD_SEALS, 0))             \
	X("pipe2", syscall(SYS_pipe2, zeroes, 0))                              \
	X("splice", syscall(SYS_splice, 0, NULL, 1, NULL, 1L, 0))              \
	X("sendfile", syscall(SYS_sendfile, 1, 0, NULL, 1L))                   \
	X("copy_file_range",                                                   \
	    syscall(SYS_copy_file_range, 0, NULL, 1, NULL, 1L, 0))             \
	X("epoll_create1", syscall(SYS_epoll_create1, 0))                      \
	X("inotify_init1", syscall(SYS_inotify_init1, 0))                      \
	X("fanotify_init", syscall(SYS_fanotify_init, 0, 0))                   \
	X("socket-unix", syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0))         \
	X("socket-inet", syscall(SYS_socket, AF_INET, SOCK_STREAM, 0))         \
	X("socket-netlink", syscall(SYS_socket, AF_NETLINK, SOCK_RAW, 0))      \
	X("socket-packet", syscall(SYS_socket, AF_PACKET, SOCK_RAW, 0))        \
	X("socketpair",                                                        \
	    syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, zeroes))          \
	X("bind", syscall(SYS_bind, 0, zeroes, 2))                             \
	X("listen", syscall(SYS_listen, 0, 1))                                 \
	X("connect", syscall(SYS_connect, 0, zeroes, 2))                       \
	X("sendto", syscall(SYS_sendto, 0, "x", 1L, 0, NULL, 0))               \
	X("setsockopt",                                                        \
	    syscall(SYS_setsockopt, 0, SOL_SOCKET, SO_PASSCRED, zeroes, 4))    \
	X("shutdown", syscall(SYS_shutdown, 0, 2))                             \
	X("execve", syscall(SYS_execve, "/bin/sh", zeroes, zeroes))            \
	X("execveat",                                                          \
	    syscall(                                                           \
		SYS_execveat, AT_FDCWD, "", zeroes, zeroes, AT_EMPTY_PATH))    \
	X("fork", syscall(SYS_fork))                                           \
	X("vfork", syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0))      \
	X("clone", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))                    \
	X("clone-newuser",                                                     \
	    syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0))           \
	X("clone3", syscall(SYS_clone3, zeroes, 64L))                          \
	X("wait4", syscall(SYS_wait4, -1, NULL, WNOHANG, NULL))                \
	X("kill", syscall(SYS_kill, -1, 0))                                    \
	X("kill-parent", syscall(SYS_kill, 1, 0))                              \
	X("tkill", syscall(SYS_tkill, 1, 0))                                   \
	X("tgkill-other", syscall(SYS_tgkill, 0x7ffffff0, 0x7ffffff0, 0))      \
	X("rt_sigqueueinfo", syscall(SYS_rt_sigqueueinfo, 1, 0, zeroes))       \
	X("pidfd_open", syscall(SYS_pidfd_open, 1, 0))                         \
	X("pidfd_getfd", syscall(SYS_pidfd_getfd, 0, 0, 0))                    \
	X("pidfd_send_signal", syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0))  \
	X("ptrace", syscall(SYS_ptrace, PTRACE_ATTACH, 1, 0, 0))               \
	X("process_vm_readv",                                                  \
	    syscall(SYS_process_vm_readv, 1, zeroes, 1L, zeroes, 1L, 0L))      \
	X("process_vm_writev",                                                 \
	    syscall(SYS_process_vm_writev, 1, zeroes, 1L, zeroes, 1L, 0L))     \
	X("process_madvise",                                                   \
	    syscall(SYS_process_madvise, 0, zeroes, 1L, 0, 0))                 \
	X("kcmp", syscall(SYS_kcmp, 1, 1, 0, 0, 0))                            \
	X("prlimit64", syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, zeroes))   \
	X("setpriority", syscall(SYS_setpriority, 0, 0, -20))                  \
	X("sched_setscheduler", syscall(SYS_sched_setscheduler, 0, 1, zeroes)) \
	X("mmap-exec",                                                         \
	    syscall(SYS_mmap, NULL, 4096L, PROT_READ | PROT_EXEC,              \
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L))                          \
	X("mmap-wx",                                                           \
	    syscall(SYS_mmap, NULL, 4096L, PROT_READ | PROT_WRITE | PROT_EXEC, \
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L))                          \
	X("mmap-file",                                                         \
	    syscall(SYS_mmap, NULL, 4096L, PROT_READ, MAP_SHARED, 0, 0L))      \
	X("mprotect-exec",                                                     \
	    syscall(SYS_mprotect, page(), 4096L, PROT_READ | PROT_EXEC))       \
	X("pkey_mprotect",                                                     \
	    syscall(                                                           \
		SYS_pkey_mprotect, page(), 4096L, PROT_READ | PROT_EXEC, -1))  \
	X("personality", syscall(SYS_personality, 0x0400000))                  \
	X("shmget", syscall(SYS_shmget, 0, 4096L, 0600))                       \
	X("shmat", syscall(SYS_shmat, 0, NULL, 0))                             \
	X("remap_file_pages",                                                  \
	    syscall(SYS_remap_file_pages, page(), 4096L, 0, 0L, 0))            \
	X("userfaultfd", syscall(SYS_userfaultfd, 0))                          \
	X("mlockall", syscall(SYS_mlockall, 1))                                \
	X("ioctl-tiocsti", syscall(SYS_ioctl, 2, TIOCSTI, "x"))                \
	X("ioctl-fionread", syscall(SYS_ioctl, 0, FIONREAD, zeroes))           \
	X("ioctl-create-vm", syscall(SYS_ioctl, 3, 0xae01UL, 0))               \
	X("ioctl-fs-ioc", syscall(SYS_ioctl, 0, 0x40086602UL, zeroes))         \
	X("setuid", syscall(SYS_setuid, 0))                                    \
	X("setresuid", syscall(SYS_setresuid, 0, 0, 0))                        \
	X("setgid", syscall(SYS_setgid, 0))                                    \
	X("setgroups", syscall(SYS_setgroups, 0, NULL))                        \
	X("capset", syscall(SYS_capset, zeroes, zeroes))                       \
	X("prctl-dumpable", syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0))   \
	X("prctl-keepcaps", syscall(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0))   \
	X("prctl-seccomp", syscall(SYS_prctl, PR_SET_SECCOMP, 1, 0, 0, 0))     \
	X("prctl-mm", syscall(SYS_prctl, PR_SET_MM, 1, 0, 0, 0))               \
	X("seccomp", syscall(SYS_seccomp, 1, 0, zeroes))                       \
	X("chroot", syscall(SYS_chroot, "."))                                  \
	X("pivot_root", syscall(SYS_pivot_root, ".", "."))                     \
	X("mount", syscall(SYS_mount, "x", "/", "tmpfs", 0L, NULL))            \
	X("umount2", syscall(SYS_umount2, "/", 2))                             \
	X("fsopen", syscall(SYS_fsopen, "tmpfs", 0))                           \
	X("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1))               \
	X("move_mount", syscall(SYS_move_mount, 0, "", AT_FDCWD, "/", 4))      \
	X("unshare-user", syscall(SYS_unshare, CLONE_NEWUSER))                 \
	X("unshare-mount", syscall(SYS_unshare, CLONE_NEWNS))                  \
	X("setns", syscall(SYS_setns, 0, 0))                                   \
	X("keyctl", syscall(SYS_keyctl, 0, -3, 0, 0, 0))                       \
	X("add_key", syscall(SYS_add_key, "user", "x", "x", 1L, -3))           \
	X("request_key", syscall(SYS_request_key, "user", "x", NULL, -3))      \
	X("bpf", syscall(SYS_bpf, 0, zeroes, 32))                              \
	X("perf_event_open",                                                   \
	    syscall(SYS_perf_event_open, zeroes, 0, -1, -1, 0L))               \
	X("io_uring_setup", syscall(SYS_io_uring_setup, 1, zeroes))            \
	X("io_uring_register", syscall(SYS_io_uring_register, 0, 0, NULL, 0))  \
	X("io_setup", syscall(SYS_io_setup, 1, zeroes))                        \
	X("landlock", syscall(SYS_landlock_create_ruleset, NULL, 0L, 1))       \
	X("timer_create", syscall(SYS_timer_create, 0, NULL, zeroes))          \
	X("rt_sigaction", syscall(SYS_rt_sigaction, SIGSYS, NULL, NULL, 8L))   \
	X("sigaltstack", syscall(SYS_sigaltstack, NULL, NULL))                 \
	X("arch_prctl", syscall(SYS_arch_prctl, 0x1012, 0))                    \
	X("modify_ldt", syscall(SYS_modify_ldt, 0, zeroes, 8L))                \
	X("iopl", syscall(SYS_iopl, 3))                                        \
	X("ioperm", syscall(SYS_ioperm, 0x80L, 1L, 1))                         \
	X("init_module", syscall(SYS_init_module, zeroes, 0L, ""))             \
	X("finit_module", syscall(SYS_finit_module, 0, "", 0))                 \
	X("delete_module", syscall(SYS_delete_module, "x", 0))                 \
	X("kexec_load", syscall(SYS_kexec_load, 0L, 0L, NULL, 0L))             \
	X("reboot", syscall(SYS_reboot, 0, 0, 0, NULL))                        \
	X("swapon", syscall(SYS_swapon, "/x", 0))                              \
	X("clock_settime", syscall(SYS_clock_settime, 0, zeroes))              \
	X("settimeofday", syscall(SYS_settimeofday, zeroes, NULL))             \
	X("adjtimex", syscall(SYS_adjtimex, zeroes))                           \
	X("sethostname", syscall(SYS_sethostname, "x", 1L))                    \
	X("syslog", syscall(SYS_syslog, 10, NULL, 0))                          \
	X("quotactl", syscall(SYS_quotactl, 0, NULL, 0, NULL))                 \
	X("acct", syscall(SYS_acct, NULL))                                     \
	X("lookup_dcookie", syscall(SYS_lookup_dcookie, 0L, zeroes, 8L))       \
	X("vhangup", syscall(SYS_vhangup))                                     \
	X("no-such-call", syscall(4000))                                       \
	X("x32-getpid", syscall(0x40000000 + SYS_getpid))                      \
	X("x32-write", syscall(0x40000000 + SYS_write, 2, "", 0L))             \
	X("i386-int80", int80())

#define X(name, call) name,
static const char *const names[] = { ACTS(X) };
#undef X

const char *
confine_name(size_t i)
{
	return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

static long
act(size_t i)
{
	size_t n = 0;

#define X(name, call) \
	if (i == n++) \
		return call;
	ACTS(X)
#undef X
	return -1;
}

int
confine_probe(const char *what)
{
	size_t i;

	for (i = 0; confine_name(i) != NULL; i++) {
		if (strcmp(confine_name(i), what) != 0)
			continue;
		return act(i) == -1 ? -errno : 0;
	}
	return -ENOTSUP;
}

int
confine_handle(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	char name[64] = "";
	size_t len = ibuf_size(body);
	int error;

	if (len >= sizeof(name) || ibuf_get(body, name, len) == -1)
		return -EBADMSG;
	error = confine_probe(name);
	log_warnx("confine: %s: still alive, %s", name,
	    error == 0 ? "and it worked" : strerrordesc_np(-error));
	return -EPERM;
}
