/* SPDX-License-Identifier: ISC */
/*
 * Peer credentials, unix(7): SO_PEERCRED and SO_PEERGROUPS give what the peer
 * was at the time of its connect(2).
 */
#include <sys/socket.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cred.h"

#define GROUPS_MAX 65536 /* NGROUPS_MAX of Linux */

static int
peer_groups(int fd, struct cred *c)
{
	socklen_t len = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0)
		return 0; /* none */
	/* The needed length came back; it cannot change any more. */
	if (errno != ERANGE || len > GROUPS_MAX * sizeof(gid_t))
		return -errno;
	if ((c->groups = malloc(len)) == NULL)
		return -ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, c->groups, &len) == -1)
		return -errno;
	c->ngroups = len / sizeof(gid_t);
	return 0;
}

int
cred_of_peer(int fd, struct cred *out)
{
	struct cred c = { 0 };
	struct ucred uc;
	socklen_t len = sizeof(uc);
	int error;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &uc, &len) == -1)
		return -errno;
	if (len != sizeof(uc) || uc.uid == (uid_t)-1)
		return -EINVAL; /* not connected, or not from here */
	c.uid = uc.uid;
	c.gid = uc.gid;
	if ((error = peer_groups(fd, &c)) != 0) {
		cred_clear(&c);
		return error;
	}
	*out = c;
	return 0;
}

bool
cred_in_group(const struct cred *c, gid_t gid)
{
	size_t i;

	if (c->gid == gid)
		return true;
	for (i = 0; i < c->ngroups; i++) {
		if (c->groups[i] == gid)
			return true;
	}
	return false;
}

void
cred_clear(struct cred *c)
{
	free(c->groups);
	memset(c, 0, sizeof(*c));
	c->uid = (uid_t)-1;
	c->gid = (gid_t)-1;
}
