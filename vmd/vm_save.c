/* SPDX-License-Identifier: ISC */
/*
 * The vm process saves its state, or begins from one.
 *
 * Saving is a pause in which the device processes are drained, one after the
 * other or at once as they answer; the last answer writes the file.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "chan.h"
#include "fd.h"
#include "imsg.h"
#include "machine.h"
#include "save.h"
#include "vcpu.h"
#include "virtio_chan.h"
#include "vm_impl.h"

/* All device processes, in the order of the bus. */
static struct vm_dev *
device(struct vm *vm, unsigned i)
{
	if (i < vm->conf.nnics)
		return &vm->nic[i];
	i -= vm->conf.nnics;
	if (i < vmconf_nblks(&vm->conf))
		return &vm->disk[i];
	i -= vmconf_nblks(&vm->conf);
	return i == 0 && vm->conf.cdrom[0] != '\0' ? &vm->cdrom : NULL;
}

void
vm_resume_devices(struct vm *vm)
{
	struct vm_dev *d;
	unsigned i;

	for (i = 0; (d = device(vm, i)) != NULL; i++)
		virtio_chan_resume(d->front);
}

static void
parts(struct vm *vm, struct save *s)
{
	struct vm_dev *d;

	*s = (struct save){
		.conf = &vm->conf,
		.vmm = vm->vmm,
		.machine = vm->machine,
		.mem = &vm->mem,
		.rom_len = vm->rom_len,
		.rnd = vm->rnd,
		.bal = vm->bal,
		.ci = vm->ci,
	};
	while ((d = device(vm, s->ndevs)) != NULL) {
		s->dev[s->ndevs].name = d->name;
		s->dev[s->ndevs++].front = d->front;
	}
}

/* Whatever came of it: unless it is to end, the guest goes on. */
static void
saved(struct vm *vm, int error, const char *why)
{
	close(fd_take(&vm->save));
	vm_report(vm, VM_SAVED, (uint32_t)-error, why);
	if (error == 0 && !vm->save_go_on) {
		vm_set_end(vm, VM_END_POWEROFF, "its state was saved");
		return;
	}
	if (!vm->save_was_paused)
		vm_set_paused(vm, false);
}

static void
save_now(struct vm *vm)
{
	char why[SAVE_WHY_MAX] = "";
	struct save s;
	int e;

	if (vm->save_lost) {
		saved(vm, -EIO, "a device process ended");
		return;
	}
	parts(vm, &s);
	e = save_write(&s, vm->save, why);
	saved(vm, e, why);
}

void
vm_drained(void *arg, bool ok)
{
	struct vm_dev *d = arg;
	struct vm *vm = d->vm;

	if (!ok)
		vm->save_lost = true;
	if (--vm->draining == 0 && vm->save != -1)
		save_now(vm);
}

/* Nothing of the guest's runs; then its devices end what they have begun. */
static void
save_begin(struct vm *vm)
{
	struct vm_dev *d;
	unsigned i;
	int r;

	vm->save_lost = false;
	vm->save_was_paused = vm->paused;
	if (!vm->paused)
		vm_set_paused(vm, true);
	vcpu_settle(vm->vcpus);
	vm->draining = 1; /* this loop */
	for (i = 0; (d = device(vm, i)) != NULL; i++) {
		if ((r = virtio_chan_drain(d->front)) < 0)
			vm->save_lost = true;
		vm->draining += r == 1;
	}
	if (--vm->draining == 0)
		save_now(vm);
}

int
vm_on_save(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct vm *vm = arg;
	char line[WHY_MAX];
	const char *what;
	uint32_t go_on;

	if (ibuf_get_n32(body, &go_on) == -1 || go_on > 1 ||
	    vm->vcpus == NULL) {
		close(fd);
		return -EBADMSG;
	}
	/* Asked by an earlier parent, or the guest was faster. */
	if (vm->save != -1 || vm->ended) {
		close(fd);
		vm_report(vm, VM_SAVED, EBUSY, strerrordesc_np(EBUSY));
		return 0;
	}
	vm->save = fd;
	vm->save_go_on = go_on == 1;
	if ((what = save_cannot(&vm->conf)) == NULL) {
		save_begin(vm);
		return 0;
	}
	snprintf(line, sizeof(line), "%s cannot be saved", what);
	close(fd_take(&vm->save));
	vm_report(vm, VM_SAVED, EOPNOTSUPP, line);
	return 0;
}

/* As a VM that was paused: what follows is as at the end of a pause. */
int
vm_go_on(struct vm *vm)
{
	char why[SAVE_WHY_MAX];
	const char *what;
	struct save s;
	int e;

	if ((what = save_cannot(&vm->conf)) != NULL)
		return vm_fail(vm, -EOPNOTSUPP, "%s cannot be restored", what);
	vm->paused = true;
	machine_pause(vm->machine);
	parts(vm, &s);
	e = save_read(&s, vm->state, why);
	fd_close(&vm->state);
	fd_close(&vm->kernel);
	fd_close(&vm->initrd);
	fd_close(&vm->vgabios);
	return e < 0 ? vm_fail(vm, e, "saved state: %s", why) : 0;
}
