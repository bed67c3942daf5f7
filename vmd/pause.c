/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>

#include "chan.h"
#include "chain.h"
#include "ctl.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "pause.h"

static int
send_pause(const struct vm *vm, bool on)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, on) == -1) {
		ibuf_free(body);
		return -ENOMEM;
	}
	return chan_send(vm->run.vm.chan, VM_PAUSE, 0, -1, body);
}

static int
lock_images(const struct vm *vm, bool on)
{
	uint32_t i;
	int error = 0;

	for (i = 0; i < vm->conf.ndisks && error == 0; i++)
		error = chain_lock(
		    &vm->run.image[i], vm->conf.disk[i].readonly, on);
	return error;
}

int
pause_locked(struct vm *vm, bool on)
{
	struct ibuf *body = chan_body();
	int error = lock_images(vm, on);

	if (on && error != 0) /* all or none */
		(void)lock_images(vm, false);
	if (ibuf_add_n32(body, (uint32_t)-error) == -1) {
		ibuf_free(body);
		return -ENOMEM;
	}
	return chan_send(vm->run.vm.chan, VM_LOCKED, 0, -1, body);
}

int
pause_ask(struct vm *vm, bool on, struct fail *why)
{
	int error;

	if (vm->state != VM_RUNNING || vm->run.vm.chan == NULL)
		return fail_set(why, CTL_E_NOTRUNNING,
		    "vm \"%s\" is not running", vm->conf.name);
	if (vm->run.pausing || vm->run.saving || vm->run.asked != 0)
		return fail_set(why, EBUSY,
		    "vm \"%s\" is being paused or unpaused", vm->conf.name);
	if (vm->run.paused == on)
		return fail_set(why, EALREADY, "vm \"%s\" is %s", vm->conf.name,
		    on ? "paused already" : "not paused");
	/* It may have been sent to another host. */
	if (!on && (error = lock_images(vm, true)) != 0)
		return fail_set(why, -error,
		    "disks of vm \"%s\": %s: does it run on another host?",
		    vm->conf.name, strerror(-error));
	if ((error = send_pause(vm, on)) != 0)
		return fail_set(why, -error, "cannot reach vm \"%s\": %s",
		    vm->conf.name, strerror(-error));
	vm->run.pausing = true;
	return 0;
}

int
pause_told(struct vm *vm, bool on, bool *asked)
{
	/* An answer to an earlier parent: VM_STATE says the last word. */
	if (vm->run.asked != 0) {
		*asked = false;
		return 0;
	}
	if (vm->run.paused == on ||
	    (on && !vm->run.pausing && !vm->run.sending && !vm->run.adopted))
		return -EPROTO;
	log_info("%s: %s", vm->conf.name, on ? "paused" : "goes on");
	*asked = vm->run.pausing;
	vm->run.paused = on;
	vm->run.pausing = false;
	return 0;
}
