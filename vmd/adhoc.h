/* SPDX-License-Identifier: ISC */
#ifndef VMD_ADHOC_H
#define VMD_ADHOC_H

/*
 * VMs that are not in vm.conf, of users who are not root.  Whoever may use
 * the control socket may have some: with files that he may use himself
 * (start_open()) and networks that need no privileges.  Those whom a VM of
 * vm.conf allows instances may have more: what it has, and what it says that
 * its instances may have.  What cloud-init is told vm.conf alone says.
 */
#include "conf.h"
#include "cred.h"
#include "fail.h"
#include "vmreg.h"

/* Of one user, at the same time. */
#define ADHOC_MAX   4
#define ADHOC_SHARE 2 /* one half of the host's memory, for all together */

/* Passed by descriptor. */
struct adhoc_files {
	bool kernel, initrd;
};

/* What c asks for, made his own; 0, or negative with *why filled. */
int adhoc_check(const struct vmreg *, const struct conf *, const struct cred *c,
    const struct adhoc_files *, struct vmconf *, struct fail *why);

#endif
