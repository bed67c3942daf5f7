/* SPDX-License-Identifier: ISC */
#ifndef LIB_SANDBOX_H
#define LIB_SANDBOX_H

/*
 * How a process gives up what it does not need.  Two steps, because threads
 * have to be made between them:
 *
 *   sandbox_confine()  single-threaded: limits, mount namespace emptied,
 *                      chroot, ids, capabilities, no_new_privs, landlock,
 *                      no core dumps, not dumpable
 *   sandbox_seal()     any number of threads: seccomp filter by promises on
 *                      all of them (TSYNC), default action: kill, logged
 *
 * Both are fatal() on failure: a process that cannot be confined must not
 * run.  Nothing a guest or client controls is read before the seal.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sandbox {
	const char *user; /* "_vmd"; its uid, gid, no supplementary groups */
	uid_t uid; /* when user is NULL (a uid range per VM) */
	gid_t gid;
	/*
	 * NULL: a mount namespace of its own in which nothing but an empty
	 * read-only directory is left, so that no path leads anywhere.  Else
	 * a directory that only root can write, by chroot(2).
	 */
	const char *root;
	uint64_t keepcaps; /* bit (1 << CAP_...) of those kept; 0 */
	unsigned nofile; /* RLIMIT_NOFILE */
	/* RLIMIT_NPROC: all threads of that uid together, those of other
	 * processes too; 0 = as is. */
	unsigned nproc;
	uint64_t memlock; /* RLIMIT_MEMLOCK, bytes */
};

void sandbox_confine(const struct sandbox *);

/*
 * Of a process that stays root and makes others: all capabilities but those in
 * keep, bits (1 << CAP_...), go from its own sets and from its bounding set.
 * What a container never gave us is not gained.
 */
void sandbox_give_up(uint64_t keep);

/*
 * Neither of the two counts on the other, but after the seal nothing may
 * open files behind one's back; filter.c lists the library functions that
 * do.  sandbox_confine() also limits malloc(3) to one arena for that reason.
 */

/*
 * One ioctl(2) that stays possible: request on descriptor fd, or on any of
 * the descriptors [fd, fd + nfds) when nfds > 1 (nfds a power of two and fd
 * a multiple of it).
 */
struct sandbox_ioctl {
	unsigned long request;
	int fd;
	unsigned nfds;
};

/*
 * promises: blank-separated names, each with one reason in a comment at the
 * call.
 *   stdio     read, write and their vectors on open descriptors; poll, epoll,
 *             futex, clocks, timerfd, eventfd use, madvise/munmap/anonymous
 *             non-executable mmap, exit, signal return, close
 *   recvfd    recvmsg;  sendfd  sendmsg, duplicating a descriptor
 *   unix      accept4, getsockopt, getpeername on listening UNIX sockets
 *   inet      accept4 on listening TCP sockets; keep-alive and TCP's options
 *   disk      pread/pwrite vectors, fsync, fdatasync, fallocate, fstat, fstatfs, ftruncate never;
 *             the ioctls listed
 *   archive   lseek, uname: writing ISO 9660 images with libarchive
 *   uring     io_uring_enter only
 *   vmm       the ioctls listed, on the descriptors listed; tgkill of our own
 *             process, for kicks
 *   tty       TCGETS/TCSETS/TIOC* listed as ioctls too
 *   tap       TUNSET* listed as ioctls
 *   netcfg    sendto, recvmsg: netlink sockets that are open
 */
void sandbox_seal(
    const char *promises, const struct sandbox_ioctl *, size_t nioctls);

/* Guest memory stays out of core dumps and is not inherited. */
int sandbox_hide(void *, size_t);

#endif
