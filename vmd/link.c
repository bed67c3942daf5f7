/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>

#include "chan.h"
#include "ctl.h"
#include "imsg.h"
#include "link.h"
#include "msg.h"
#include "vmreg.h"

int
link_send(struct vm *vm, uint32_t nic)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, (vm->unplugged & 1U << nic) == 0) == -1) {
		ibuf_free(body);
		return -ENOMEM;
	}
	return chan_send(vm->run.nic[nic].chan, NET_LINK, 0, -1, body);
}

int
link_set(struct vm *vm, uint32_t nic, bool up, struct fail *why)
{
	int error;

	if (nic >= vm->conf.nnics)
		return fail_set(why, ENODEV, "vm \"%s\" has no interface %u",
		    vm->conf.name, nic);
	if (vm->state != VM_RUNNING || vm->run.nic[nic].chan == NULL)
		return fail_set(why, CTL_E_NOTRUNNING,
		    "vm \"%s\" is not running", vm->conf.name);
	vm->unplugged &= ~(1U << nic);
	if (!up)
		vm->unplugged |= 1U << nic;
	error = link_send(vm, nic);
	if (error != 0)
		return fail_set(why, -error, "cannot reach interface %u: %s",
		    nic, strerror(-error));
	return 0;
}
