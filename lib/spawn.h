/* SPDX-License-Identifier: ISC */
#ifndef LIB_SPAWN_H
#define LIB_SPAWN_H

/*
 * The only place that forks and execs.  A child is always a fresh exec of
 * this very binary (new address-space layout) with: descriptors 0 and 1 on
 * /dev/null, 2 the log, SPAWN_FD the channel to its parent, nothing else; no
 * environment; its own session and process group; working directory /, umask
 * 077; all signals unblocked and at their defaults, except that SIGPIPE is
 * ignored.
 *
 * Its arguments:
 *
 *   PROGNAME -X ROLE TITLE TAG LOG
 *
 * LOG is two digits: enum log_dest, verbosity.  They end up in ps(1) as
 * "PROGNAME: TITLE" and are of no use to a user: without a socket at
 * SPAWN_FD the child ends with a message.
 *
 * A child does not die with its parent: it sees the end of file on its
 * channel and decides itself.
 */
#include <stdbool.h>
#include <sys/types.h>

#define SPAWN_FD 3

struct spawn {
	const char *role; /* "control", "vm", "vioblk": argv of the child */
	const char *title; /* setproctitle(3): "vm/web", "web/vioblk0" */
	const char *tag; /* log tag */
	int ns; /* CLONE_NEW* of the namespaces that it gets */
	/* The directory of the control group that it is in before its exec; -1:
	 * its parent's */
	int cgroup;
};

/*
 * Once, early in main(), before threads: remember the binary by descriptor
 * (a replaced file or a chroot does not matter then) and its name.
 */
int spawn_init(const char *progname);
/*
 * Returns the child's pid (in our pid namespace) and stores our end of the
 * channel in *fd (close-on-exec, a socket pair of packets); or -errno.  It waits
 * until the exec has worked, so a failure of the child's first steps is an
 * error here and leaves no child.  The caller reaps the child.
 */
pid_t spawn_child(const struct spawn *, int *fd);

/*
 * Makes ahead what takes the kernel longest of a start: one network namespace, which
 * the next child that is to have one gets.  Some are kept; true: it may be called
 * for another.  Without, spawn_child() makes it.
 */
bool spawn_prepare(void);

/* In the child: true when argv says this is a spawned role; fills the
 * strings (pointing into argv) and sets log and title up. */
struct spawned {
	const char *role, *title, *tag;
};
bool spawn_is_child(int argc, char **argv, struct spawned *);

/*
 * Go on in the background: the foreground process ends with status 0, the
 * caller continues in a session of its own, in /, with descriptors 0 to 2 on
 * /dev/null.  Before threads, children and event bases.  0 or -errno.
 */
int spawn_background(void);

/*
 * Become another program with our own environment, descriptors 0 to 2 and
 * keep (-1: none), and nothing else of us.  Returns -errno only when it
 * failed.
 */
int spawn_replace(const char *path, char *const argv[], int keep);

#endif
