/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>

#include "balloon.h"
#include "chan.h"
#include "ctl.h"
#include "imsg.h"
#include "msg.h"
#include "vmreg.h"

#define MIB (1ULL << 20)

int
balloon_send(const struct vm *vm)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n64(body, vm->keep) == -1) {
		ibuf_free(body);
		return -ENOMEM;
	}
	return chan_send(vm->run.vm.chan, VM_MEMORY, 0, -1, body);
}

int
balloon_set(struct vm *vm, uint64_t bytes, struct fail *why)
{
	uint64_t before = vm->keep;
	int error;

	if (bytes < VM_MEMORY_MIN || bytes % MIB != 0)
		return fail_set(why, EINVAL,
		    "memory of vm \"%s\": invalid size", vm->conf.name);
	if (bytes > vm->conf.memory)
		return fail_set(why, ERANGE,
		    "vm \"%s\" has %llu MB of memory, not more", vm->conf.name,
		    (unsigned long long)(vm->conf.memory / MIB));
	if (vm->state != VM_RUNNING || vm->run.vm.chan == NULL)
		return fail_set(why, CTL_E_NOTRUNNING,
		    "vm \"%s\" is not running", vm->conf.name);
	vm->keep = bytes;
	if ((error = balloon_send(vm)) != 0) {
		vm->keep = before;
		return fail_set(why, -error, "cannot reach vm \"%s\": %s",
		    vm->conf.name, strerror(-error));
	}
	return 0;
}
