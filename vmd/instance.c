/* SPDX-License-Identifier: ISC */
/*
 * Instances: VMs that are like another one, vm.conf(5), "VM INSTANCES".
 *
 * Invariants
 *  1. An instance does not get permissions that its parent does not have.
 *  2. What only one VM can have is not inherited: disks, addresses of
 *     interfaces, names of taps and hosts.
 */
#include <errno.h>
#include <string.h>

#include "efivars.h"
#include "instance.h"

static const struct {
	enum vm_item item;
	const char *name;
} items[] = {
	{ VM_I_BOOT, "boot" },
	{ VM_I_CDROM, "cdrom" },
	{ VM_I_SEED, "cloud-init" },
	{ VM_I_CPU, "cpu" },
	{ VM_I_CPUS, "cpus" },
	{ VM_I_DISK, "disk" },
	{ VM_I_INSTANCE, "instance" },
	{ VM_I_INTERFACE, "interface" },
	{ VM_I_LIMIT, "limit" },
	{ VM_I_MEMORY, "memory" },
};

const char *
instance_item(size_t i, uint32_t *item)
{
	if (i >= sizeof(items) / sizeof(items[0]))
		return NULL;
	*item = items[i].item;
	return items[i].name;
}

static int
refuse(const struct vmconf *parent, uint32_t what, struct fail *why)
{
	const char *name;
	uint32_t item;
	size_t i;

	for (i = 0; (name = instance_item(i, &item)) != NULL; i++) {
		if ((what & item) != 0)
			return fail_set(why, EPERM,
			    "instances of vm \"%s\" may not have their own %s",
			    parent->name, name);
	}
	return 0;
}

static int
merge_allow(const struct vmconf *parent, struct vmconf *c, struct fail *why)
{
	uint32_t have = parent->allow.items;

	if ((have & VM_I_INSTANCE) == 0)
		have = 0;
	if ((c->given & VM_I_INSTANCE) == 0) {
		c->allow = parent->allow;
		c->allow.items = have;
		return 0;
	}
	if ((c->allow.items & ~have & ~(uint32_t)VM_I_OWNER) == 0)
		return 0;
	return fail_set(why, EPERM,
	    "vm \"%s\" does not hand on all of these permissions",
	    parent->name);
}

static int
merge_owner(const struct vmconf *parent, struct vmconf *c, struct fail *why)
{
	const struct vm_allow *a = &parent->allow;

	if ((a->items & VM_I_OWNER) == 0)
		return 0;
	if ((c->given & VM_I_OWNER) == 0) {
		c->uid = a->uid;
		c->gid = a->gid;
		return 0;
	}
	if ((c->uid != 0 && c->uid == a->uid) ||
	    (c->gid != VM_NOGID && c->gid == a->gid))
		return 0;
	return fail_set(
	    why, EPERM, "owner is not one that vm \"%s\" allows", parent->name);
}

static void
merge_boot(const struct vmconf *parent, struct vmconf *c)
{
	if (c->bootdev == VM_BOOT_ANY)
		c->bootdev = parent->bootdev;
	if (c->kernel[0] != '\0')
		return; /* the parent's initrd goes with its kernel */
	memcpy(c->kernel, parent->kernel, sizeof(c->kernel));
	/* Its variables are the parent's alone, but not the firmware. */
	if (parent->efivars[0] != '\0' && parent->kernel[0] == '\0')
		memcpy(c->kernel, EFIVARS_FIRMWARE, sizeof(EFIVARS_FIRMWARE));
	if (c->initrd[0] == '\0')
		memcpy(c->initrd, parent->initrd, sizeof(c->initrd));
	if (c->cmdline[0] == '\0')
		memcpy(c->cmdline, parent->cmdline, sizeof(c->cmdline));
	if (c->floppy[0] == '\0')
		memcpy(c->floppy, parent->floppy, sizeof(c->floppy));
}

static int
check_disks(
    const struct vmconf *parent, const struct vmconf *c, struct fail *why)
{
	uint32_t i, k;

	if (c->efivars[0] != '\0' && strcmp(c->efivars, parent->efivars) == 0)
		return fail_set(
		    why, EBUSY, "efivars are those of vm \"%s\"", parent->name);
	for (i = 0; i < c->ndisks; i++) {
		for (k = 0; k < parent->ndisks; k++) {
			if (strcmp(c->disk[i].path, parent->disk[k].path) == 0)
				return fail_set(why, EBUSY,
				    "disk %s is a disk of vm \"%s\"",
				    c->disk[i].path, parent->name);
		}
	}
	return 0;
}

static int
check_nic(
    const struct vmconf *parent, const struct vm_nicconf *n, struct fail *why)
{
	const struct vm_nicconf *of;
	uint32_t k;

	for (k = 0; k < parent->nnics; k++) {
		of = &parent->nic[k];
		if ((n->flags & of->flags & VM_NIC_LLADDR) != 0 &&
		    memcmp(n->lladdr, of->lladdr, sizeof(n->lladdr)) == 0)
			return fail_set(why, EBUSY,
			    "lladdr is one of vm \"%s\"", parent->name);
		if (n->ifname[0] != '\0' && strcmp(n->ifname, of->ifname) == 0)
			return fail_set(why, EBUSY,
			    "interface %s is one of vm \"%s\"", n->ifname,
			    parent->name);
	}
	return 0;
}

/* Its own come first, in the places of the parent's. */
static int
merge_nics(const struct vmconf *parent, struct vmconf *c, struct fail *why)
{
	struct vm_nicconf *n;
	uint32_t i;
	int error;

	for (i = 0; i < c->nnics; i++) {
		if ((error = check_nic(parent, &c->nic[i], why)) != 0)
			return error;
	}
	for (; c->nnics < parent->nnics; c->nnics++) {
		n = &c->nic[c->nnics];
		*n = parent->nic[c->nnics];
		n->flags &= ~(uint32_t)VM_NIC_LLADDR;
		memset(n->lladdr, 0, sizeof(n->lladdr));
		memset(n->ifname, 0, sizeof(n->ifname));
	}
	return 0;
}

/* Its host name is its own; its files are, or they are its parent's. */
static void
merge_seed(const struct vmconf *parent, struct vmconf *c)
{
	char own[sizeof(c->seed.hostname)];

	if ((parent->flags & VM_F_SEED) == 0)
		return;
	c->flags |= VM_F_SEED;
	if (c->seed.user_data[0] != '\0' || c->seed.network_config[0] != '\0' ||
	    c->seed.ssh_key[0] != '\0')
		return;
	memcpy(own, c->seed.hostname, sizeof(own));
	c->seed = parent->seed;
	memcpy(c->seed.hostname, own, sizeof(own));
}

int
instance_merge(const struct vmconf *parent, struct vmconf *c, struct fail *why)
{
	uint32_t own = c->given & ~(uint32_t)(VM_I_INSTANCE | VM_I_OWNER);
	int error;

	if ((error = refuse(parent, own & ~parent->allow.items, why)) != 0 ||
	    (error = merge_allow(parent, c, why)) != 0 ||
	    (error = merge_owner(parent, c, why)) != 0 ||
	    (error = check_disks(parent, c, why)) != 0 ||
	    (error = merge_nics(parent, c, why)) != 0)
		return error;
	if ((c->given & VM_I_MEMORY) == 0)
		c->memory = parent->memory;
	if ((c->given & VM_I_CPUS) == 0)
		c->cpus = parent->cpus;
	if ((c->given & VM_I_CPU) == 0)
		c->cpu = parent->cpu;
	if ((c->given & VM_I_CDROM) == 0)
		memcpy(c->cdrom, parent->cdrom, sizeof(c->cdrom));
	if ((c->given & VM_I_LIMIT) == 0)
		memcpy(c->quota, parent->quota, sizeof(c->quota));
	merge_boot(parent, c);
	merge_seed(parent, c);
	c->flags |= parent->flags &
	    (uint32_t)(VM_F_SEV | VM_F_SEVES | VM_F_SCREEN | VM_F_SAVE |
		VM_F_SERIAL2 | VM_F_VIOCON);
	return 0;
}
