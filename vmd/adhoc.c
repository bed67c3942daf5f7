/* SPDX-License-Identifier: ISC */
/*
 * Who is not root starts a VM of his own: see adhoc.h.
 */
#include <sys/sysinfo.h>
#include <errno.h>
#include <string.h>

#include "adhoc.h"
#include "ctl.h"

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

int
adhoc_check(const struct vmreg *reg, const struct cred *c, bool kernel,
    struct vmconf *conf, struct fail *why)
{
	uint32_t i;

	if (c->uid == 0)
		return 0;
	conf->uid = c->uid;
	conf->gid = VM_NOGID;
	if (!kernel)
		return fail_set(why, CTL_E_FIRMWARE,
		    "no kernel given, and there is no firmware to boot");
	for (i = 0; i < conf->nnics; i++)
		if (check_nic(&conf->nic[i], why) != 0)
			return -why->code;
	return check_use(reg, conf, why);
}
