/* SPDX-License-Identifier: ISC */
/*
 * Who is not root starts a VM of his own: see adhoc.h.
 */
#include <sys/sysinfo.h>
#include <errno.h>
#include <string.h>

#include "adhoc.h"
#include "start.h"
#include "ctl.h"
#include "instance.h"

struct use {
	unsigned vms;
	uint64_t memory;
};

/* What uid has already. */
static struct use
count(const struct vmreg *reg, uid_t uid)
{
	const struct vm *vm;
	struct use u = { 0 };

	TAILQ_FOREACH(vm, &reg->vms, entry)
	{
		if ((vm->conf.flags & VM_F_ADHOC) == 0 || vm->conf.uid != uid)
			continue;
		u.vms++;
		u.memory += vm->conf.memory;
	}
	return u;
}

static int
check_use(const struct vmreg *reg, const struct vmconf *conf, struct fail *why)
{
	struct use u = count(reg, conf->uid);
	struct sysinfo si;
	uint64_t most;

	if (u.vms >= ADHOC_MAX)
		return fail_set(why, EDQUOT,
		    "you have %d vms that are not in vm.conf: the limit",
		    ADHOC_MAX);
	if (sysinfo(&si) == -1)
		return fail_set(why, errno, "sysinfo: %s", strerror(errno));
	most = (uint64_t)si.totalram * si.mem_unit / ADHOC_SHARE;
	if (u.memory <= most && conf->memory <= most - u.memory)
		return 0;
	return fail_set(why, EDQUOT,
	    "memory of %lluM: you may have %lluM, a half of the host's, in "
	    "all vms that are not in vm.conf, and %lluM are in use",
	    (unsigned long long)conf->memory >> 20,
	    (unsigned long long)most >> 20, (unsigned long long)u.memory >> 20);
}

static int
check_nic(const struct vm_nicconf *n, struct fail *why)
{
	/* Everything else changes the host's network. */
	if ((n->flags & VM_NIC_USER) != 0 && (n->flags & VM_NIC_LOCAL) == 0 &&
	    n->sw[0] == '\0' && n->ifname[0] == '\0' && n->group[0] == '\0' &&
	    n->rdomain == 0)
		return 0;
	return fail_set(why, EPERM,
	    "only root may start a vm with taps, switches or local interfaces "
	    "that is not in vm.conf");
}

static int
check_nics(const struct vmconf *conf, struct fail *why)
{
	uint32_t i;
	int error;

	for (i = 0; i < conf->nnics; i++) {
		if ((error = check_nic(&conf->nic[i], why)) != 0)
			return error;
	}
	return 0;
}

/* Instances may be allowed interfaces, but not those of others. */
static int
check_instance_nics(const struct vmconf *conf, struct fail *why)
{
	const struct vm_nicconf *n;
	uint32_t i;

	for (i = 0; i < conf->nnics; i++) {
		n = &conf->nic[i];
		if ((n->flags & VM_NIC_LLADDR) != 0 || n->ifname[0] != '\0' ||
		    n->group[0] != '\0' || n->rdomain != 0)
			return fail_set(why, EPERM,
			    "only root may choose names, addresses, groups "
			    "and domains of interfaces");
	}
	return 0;
}

static bool
may_have_instances(const struct cred *c, const struct vm_allow *a)
{
	if (c->uid == 0)
		return true;
	if ((a->items & VM_I_OWNER) == 0)
		return false;
	return c->uid == a->uid ||
	    (a->gid != VM_NOGID && cred_in_group(c, a->gid));
}

/* What it says of its own; a client's word for it counts as little as can be.
 */
static uint32_t
given(const struct vmconf *conf, const struct adhoc_files *files)
{
	uint32_t items = conf->given & (uint32_t)(VM_I_MEMORY | VM_I_CPUS);

	if (files->kernel || files->initrd || conf->kernel[0] != '\0' ||
	    conf->initrd[0] != '\0' || conf->cmdline[0] != '\0' ||
	    conf->bootdev != VM_BOOT_ANY)
		items |= VM_I_BOOT;
	if (conf->cdrom[0] != '\0')
		items |= VM_I_CDROM;
	if (conf->ndisks > 0)
		items |= VM_I_DISK;
	if (conf->nnics > 0)
		items |= VM_I_INTERFACE;
	if (vmconf_limited(conf))
		items |= VM_I_LIMIT;
	return items;
}

/* An instance belongs to who starts it, and to the group that may. */
static void
set_owner(const struct cred *c, const struct vm_allow *a, struct vmconf *conf)
{
	conf->uid = c->uid;
	conf->gid = VM_NOGID;
	if (c->uid == 0)
		return; /* unless the template says another one */
	conf->gid = a->gid;
	conf->given |= VM_I_OWNER;
}

static int
instance(const struct conf *all, const struct cred *c,
    const struct adhoc_files *files, struct vmconf *conf, struct fail *why)
{
	const struct vmconf *parent = conf_find(all, conf->parent);
	bool kernel = conf->kernel[0] != '\0';
	uint32_t ours = 0;
	int error;

	if (parent == NULL)
		return fail_set(why, CTL_E_PARENT,
		    "vm \"%s\" is not in vm.conf", conf->parent);
	if (!may_have_instances(c, &parent->allow))
		return fail_set(why, EPERM,
		    "you may not start instances of vm \"%s\"", parent->name);
	/* A guest that restarts has it opened again. */
	if (files->kernel && conf->kernel[0] == '\0')
		return fail_set(why, EINVAL, "kernel without its path");
	/* The template's kernel would be read with other rights. */
	if (!kernel && (files->initrd || conf->initrd[0] != '\0'))
		return fail_set(why, EINVAL, "initrd without a kernel");
	if (c->uid != 0 && (error = check_instance_nics(conf, why)) != 0)
		return error;
	conf->given = given(conf, files);
	if (!kernel)
		ours |= VM_F_CONF_BOOT;
	if ((conf->given & VM_I_CDROM) == 0)
		ours |= VM_F_CONF_CDROM;
	set_owner(c, &parent->allow, conf);
	if ((error = instance_merge(parent, conf, why)) != 0)
		return error;
	if ((conf->flags & VM_F_SEED) != 0 && vmconf_hostname(conf) == NULL)
		return fail_set(why, EINVAL,
		    "%s is not the name of a host, which cloud-init needs",
		    conf->name);
	conf->flags |= ours;
	return 0;
}

/* One that is like none of vm.conf. */
static int
alone(const struct cred *c, const struct adhoc_files *files,
    struct vmconf *conf, struct fail *why)
{
	if (c->uid == 0)
		return 0;
	conf->uid = c->uid;
	conf->gid = VM_NOGID;
	if (!files->kernel && !start_boots(conf))
		return fail_set(why, CTL_E_FIRMWARE,
		    "no kernel given, and no disk to boot from");
	return check_nics(conf, why);
}

int
adhoc_check(const struct vmreg *reg, const struct conf *all,
    const struct cred *c, const struct adhoc_files *files, struct vmconf *conf,
    struct fail *why)
{
	int error;

	conf->flags = VM_F_ADHOC;
	memset(&conf->allow, 0, sizeof(conf->allow));
	memset(&conf->seed, 0, sizeof(conf->seed));
	memset(conf->floppy, 0, sizeof(conf->floppy));
	memset(conf->efivars, 0, sizeof(conf->efivars));
	if (conf->parent[0] != '\0')
		error = instance(all, c, files, conf, why);
	else
		error = alone(c, files, conf, why);
	if (error != 0 || c->uid == 0)
		return error;
	return check_use(reg, conf, why);
}
