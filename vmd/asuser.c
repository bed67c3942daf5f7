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
	setfsgid(ASUSER_NOBODY);
	setfsuid(uid);
	a->on = true;
	return 0;
}

void
asuser_end(struct asuser *a)
{
	if (!a->on)
		return;
	setfsuid(0);
	setfsgid(0);
	if (setgroups((size_t)a->ngroups, a->group) == -1)
		fatal("setgroups");
	a->on = false;
}
