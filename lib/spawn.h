/* SPDX-License-Identifier: ISC */
#ifndef LIB_SPAWN_H
#define LIB_SPAWN_H

/*
 * The only place that forks and execs.  A child is always a fresh exec of
 * this very binary (new address-space layout) with: descriptors 0 and 1 on
 * /dev/null, 2 the log, SPAWN_FD the channel to its parent, nothing else; no
 * environment; its own process group.
 */
#include <stdbool.h>
#include <sys/types.h>

#define SPAWN_FD 3

struct spawn {
	const char *role; /* "control", "vm", "vioblk": argv of the child */
	const char *title; /* setproctitle(3): "vm/web", "web/vioblk0" */
	const char *tag; /* log tag */
	int ns; /* CLONE_NEW* of the namespaces that it gets */
};

/* Once, early in main(): remember the binary by descriptor and its name. */
int spawn_init(const char *progname);
/*
 * Returns the child's pid (in our pid namespace) and stores our end of the
 * channel in *fd (close-on-exec, stream socket pair); or -errno.
 */
pid_t spawn_child(const struct spawn *, int *fd);

/* In the child: true when argv says this is a spawned role; fills the
 * strings (pointing into argv) and sets log and title up. */
struct spawned {
	const char *role, *title, *tag;
};
bool spawn_is_child(int argc, char **argv, struct spawned *);

#endif
