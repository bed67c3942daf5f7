/* SPDX-License-Identifier: ISC */
#ifndef VMD_CGROUP_IMPL_H
#define VMD_CGROUP_IMPL_H

/* What cgroup.c and cgroup_root.c share. */
#include "cgroup.h"

#define PREFIX_VM "vm-"
#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

enum cgroup_controller { CPU, MEMORY, IO };
extern const char *const cgroup_controllers[CGROUP_CONTROLLERS];

/* Writes a file of the group dir; 0 or -errno. */
int cgroup_put(int dir, const char *file, const char *text);
/*
 * Removes a group below dir, for which it waits a second at most: KVM has a
 * thread in that of a VM, which outlives the VM's processes for a moment.  end:
 * kills who is in it.  0 or -errno.
 */
int cgroup_remove(int dir, const char *name, bool end);
/* Removes the groups of VMs that nobody is in any more. */
void cgroup_sweep(const struct cgroups *);

#endif
