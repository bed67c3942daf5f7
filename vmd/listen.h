/* SPDX-License-Identifier: ISC */
#ifndef VMD_LISTEN_H
#define VMD_LISTEN_H

/*
 * The control socket: made, owned and removed by the parent.  A lock file
 * beside it keeps a second vmd away.
 */
#include <sys/types.h>
#include "fail.h"

struct listener {
	int fd; /* listening; -1: none */
	int lock;
	char path[108]; /* sun_path of unix(7) */
	char lockpath[120];
};

void listen_init(struct listener *);
int listen_open(struct listener *, const char *path, struct fail *why);
/* 0 or -errno. */
int listen_owner(const struct listener *, uid_t, gid_t);
/* Removes the socket; a second vmd is still kept away. */
void listen_stop(struct listener *);
/* Removes the lock as well. */
void listen_close(struct listener *);

#endif
