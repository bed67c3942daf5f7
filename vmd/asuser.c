/* SPDX-License-Identifier: ISC */
#include <sys/fsuid.h>
#include <errno.h>
#include <grp.h>
#include <unistd.h>

#include "asuser.h"
#include "log.h"

int
asuser_begin(struct asuser *a, uid_t uid)
{
	a->on = false;
	/* An id that does not exist changes nothing and tells the present. */
	if (geteuid() != 0 || setfsuid((uid_t)-1) != 0)
		return 0;
	a->ngroups = getgroups(NGROUPS_MAX, a->group);
	if (a->ngroups == -1 || setgroups(0, NULL) == -1)
		return -errno;
	a->on = true;
	setfsgid(ASUSER_NOBODY);
	setfsuid(uid);
	/* They do not tell whether they did it. */
	if ((gid_t)setfsgid((gid_t)-1) == ASUSER_NOBODY &&
	    (uid_t)setfsuid((uid_t)-1) == uid)
		return 0;
	asuser_end(a);
	return -EPERM;
}

void
asuser_end(struct asuser *a)
{
	if (!a->on)
		return;
	setfsuid(0);
	setfsgid(0);
	if (setfsuid((uid_t)-1) != 0 || setfsgid((gid_t)-1) != 0 ||
	    setgroups((size_t)a->ngroups, a->group) == -1)
		fatal("cannot be root again");
	a->on = false;
}
