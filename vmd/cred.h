/* SPDX-License-Identifier: ISC */
#ifndef VMD_CRED_H
#define VMD_CRED_H

/* Who is at the other end of a socket, as the kernel says. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct cred {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary, owned */
	size_t ngroups;
};

/* 0 or -errno; does not take fd. */
int cred_of_peer(int fd, struct cred *);
bool cred_in_group(const struct cred *, gid_t);
void cred_clear(struct cred *);

#endif
