/* SPDX-License-Identifier: ISC */
#include "cred.h"
#include "ctl.h"
#include "rights.h"
#include "vmreg.h"

/* An unknown request needs more than anybody has but root. */
static enum ctl_right
needed(uint32_t type)
{
	switch (type) {
#define X(name, right, fd, fields) \
	case CTL_##name:           \
		return right;
		CTL_REQUESTS(X)
#undef X
	}
	return CTL_ROOT;
}

static bool
owns(const struct cred *c, const struct vm *vm)
{
	return c->uid == vm->conf.uid ||
	    (vm->conf.gid != VM_NOGID && cred_in_group(c, vm->conf.gid));
}

static bool
may_control(const struct cred *c, const struct vm *vm)
{
	/* Who started it, for as long as it runs. */
	return owns(c, vm) || (vm_active(vm) && vm->starter == c->uid);
}

bool
rights_ok(uint32_t type, const struct cred *c, const struct vm *vm)
{
	if (c->uid == (uid_t)-1)
		return false;
	if (c->uid == 0)
		return true;
	switch (needed(type)) {
	case CTL_ANY:
		return true;
	case CTL_OWNER:
		return vm != NULL && may_control(c, vm);
	case CTL_ROOT:
		break;
	}
	return false;
}

bool
rights_told(const struct cred *c, const struct vm *vm)
{
	if (c->uid == (uid_t)-1)
		return false;
	/* Who started it hears of its end as well. */
	return c->uid == 0 || owns(c, vm) || vm->starter == c->uid;
}
