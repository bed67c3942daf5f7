/* SPDX-License-Identifier: ISC */
/*
 * Who is not root starts a VM of his own: see adhoc.h.
 */
#include <errno.h>

#include "adhoc.h"
#include "ctl.h"

static unsigned
count(const struct vmreg *reg, uid_t uid)
{
	const struct vm *vm;
	unsigned n = 0;

	TAILQ_FOREACH(vm, &reg->vms, entry)
	{
		n += (vm->conf.flags & VM_F_ADHOC) != 0 && vm->conf.uid == uid;
	}
	return n;
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
	if (count(reg, c->uid) >= ADHOC_MAX)
		return fail_set(why, EDQUOT,
		    "you have %d vms that are not in vm.conf: the limit",
		    ADHOC_MAX);
	return 0;
}
