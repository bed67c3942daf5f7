/* SPDX-License-Identifier: ISC */
#ifndef VMD_CGROUP_H
#define VMD_CGROUP_H

/*
 * Control groups, as "Control Group v2" of the Linux documentation has them:
 * each VM has one, with all of its processes and with the limits that vm.conf
 * sets.  A host without them runs VMs that have no limits.
 *
 *	a scope of the service manager's, which has delegated it, else
 *	/sys/fs/cgroup/vmd, or vmd-1 and so on for further daemons
 *		keeper		the keeper
 *		vm-NAME		all processes of a VM
 */
#include <sys/types.h>
#include <stdbool.h>
#include <stdint.h>
#include "chain.h"
#include "fail.h"
#include "vmconf.h"

#define CGROUP_MOUNT	   "/sys/fs/cgroup"
#define CGROUP_CONTROLLERS 3

struct cgroups {
	int mount; /* -1: there is no hierarchy */
	int dir; /* the group above those of VMs; -1: none */
	char name[16]; /* its name below mount, when we made it, or "" */
	int error[CGROUP_CONTROLLERS]; /* why one cannot be used; 0: it can */
	char why[256]; /* why dir is -1 */
};

void cgroup_init(struct cgroups *, const char *mount);
/*
 * There is a keeper, a new one or that of an earlier parent (0: it is not
 * known, and nothing is done): finds or makes
 * the group above, and has it in there.  What a daemon that crashed left
 * there is removed.
 */
void cgroup_keeper(struct cgroups *, pid_t);
/* Removes what was made; all VMs have ended, and so does the keeper. */
void cgroup_exit(struct cgroups *);
/* VMs go on in their groups. */
void cgroup_leave(struct cgroups *);
/*
 * Makes the group of a VM with these images.  *group is for struct spawn, -1
 * when there is no group and none is needed; the caller closes it.  0, or
 * negative with *why filled and nothing left.
 */
int cgroup_begin(struct cgroups *, const struct vmconf *,
    const struct chain disk[VM_DISKS_MAX], int *group, struct fail *why);
/*
 * All processes of a VM are gone; so is the group.  True: one of them was
 * killed because memory ran out.
 */
bool cgroup_end(struct cgroups *, const struct vmconf *);

#define CGROUP_UNKNOWN UINT64_MAX

struct cgroup_usage {
	uint64_t cpu_us; /* microseconds; CGROUP_UNKNOWN */
	uint64_t memory; /* bytes, but for the page cache; CGROUP_UNKNOWN */
};
/* What all processes of a VM used, if this one of them is in its group. */
void cgroup_usage(const struct cgroups *, const struct vmconf *, pid_t,
    struct cgroup_usage *);

#endif
