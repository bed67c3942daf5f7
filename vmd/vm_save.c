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
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "machine.h"
#include "pager.h"
#include "save.h"
#include "send.h"
#include "vcpu.h"
#include "virtio_chan.h"
#include "vm_impl.h"
#include "vm_mirror.h"

#define LOCK_MS 10000

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

void
vm_parts(struct vm *vm, struct save *s)
{
	struct vm_dev *d;

	*s = (struct save){
		.conf = &vm->conf,
		.vmm = vm->vmm,
		.machine = vm->machine,
		.mem = &vm->mem,
		.pager = vm->pager,
		.rom_len = vm->rom_len,
		.flash_len = vm->flash_len,
		.rnd = vm->rnd,
		.bal = vm->bal,
		.ci = vm->ci,
		.con = vm->con,
	};
	while ((d = device(vm, s->ndevs)) != NULL) {
		s->dev[s->ndevs].name = d->name;
		s->dev[s->ndevs++].front = d->front;
	}
}

/* Whatever came of it: unless it is to end, the guest goes on. */
void
vm_saved(struct vm *vm, int error, const char *why)
{
	fd_close(&vm->save);
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
		vm_saved(vm, -EIO, "a device process ended");
		return;
	}
	vm_parts(vm, &s);
	s.zstd = vm->save_zstd;
	e = save_write(&s, vm->save, why);
	vm_saved(vm, e, why);
}

static void
all_drained(struct vm *vm)
{
	if (vm->sending != NULL)
		vm_send_drained(vm);
	else if (vm->snap != NULL)
		vm_snap_drained(vm);
	else if (vm->save != -1)
		save_now(vm);
}

void
vm_drained(void *arg, bool ok)
{
	struct vm_dev *d = arg;
	struct vm *vm = d->vm;

	if (!ok)
		vm->save_lost = true;
	if (--vm->draining == 0)
		all_drained(vm);
}

void
vm_stand_still(struct vm *vm)
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
		all_drained(vm);
}

bool
vm_idle(const struct vm *vm)
{
	return vm->save == -1 && vm->sending == NULL && vm->snap == NULL &&
	    !vm->ended && !vm->handed;
}

int
vm_on_save(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct vm *vm = arg;
	char line[WHY_MAX];
	const char *what;
	uint32_t flags;

	if (ibuf_get_n32(body, &flags) == -1 ||
	    (flags & ~(uint32_t)CTL_SAVE_FLAGS) != 0 || vm->vcpus == NULL) {
		close(fd);
		return -EBADMSG;
	}
	/* Asked by an earlier parent, or the guest was faster. */
	if (!vm_idle(vm)) {
		close(fd);
		vm_report(vm, VM_SAVED, EBUSY, strerrordesc_np(EBUSY));
		return 0;
	}
	vm->save = fd;
	vm->save_go_on = (flags & CTL_SAVE_GO_ON) != 0;
	vm->save_zstd = (flags & CTL_SAVE_ZSTD) != 0;
	if ((what = save_cannot(&vm->conf)) == NULL) {
		vm_stand_still(vm);
		return 0;
	}
	snprintf(line, sizeof(line), "%s cannot be saved", what);
	close(fd_take(&vm->save));
	vm_report(vm, VM_SAVED, EOPNOTSUPP, line);
	return 0;
}

int
vm_on_locked(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct vm *vm = arg;
	uint32_t error;

	if (ibuf_get_n32(body, &error) == -1 || error > 4095)
		return -EBADMSG;
	vm->told = true;
	vm->locked = -(int)error;
	vm_send_locked(vm, (int)error);
	return 0;
}

int
vm_lock_images(struct vm *vm)
{
	struct ibuf *body = chan_body();
	int e;

	if (ibuf_add_n32(body, 1) == -1) {
		ibuf_free(body);
		return -ENOMEM;
	}
	if ((e = chan_send(vm->parent, VM_LOCK, vm->id, -1, body)) != 0)
		return e;
	vm->told = false;
	while (!vm->told)
		if ((e = chan_recv(vm->parent, LOCK_MS)) < 0)
			return e;
	return vm->locked;
}

static int
say(const struct vm *vm, uint8_t word, const char *text)
{
	uint8_t b[2 + SEND_TEXT_MAX];
	size_t n = send_word_put(b, word, text);

	return write(vm->state, b, n) == (ssize_t)n ? 0 : -EPIPE;
}

/* Whatever comes instead of COMMIT, the guest is the sender's. */
static int
take_over(struct vm *vm, char why[SAVE_WHY_MAX])
{
	uint8_t b[2] = { 0, 0 };
	size_t n = 0;
	ssize_t r;
	int e;

	if ((e = vm_lock_images(vm)) < 0) {
		snprintf(why, SAVE_WHY_MAX, "disks: %s", strerrordesc_np(-e));
		return e;
	}
	e = say(vm, SEND_READY, "");
	while (e == 0 && n < sizeof(b)) {
		r = read(vm->state, b + n, sizeof(b) - n);
		if (r > 0)
			n += (size_t)r;
		else if (r == 0 || errno != EINTR)
			e = -EPIPE;
	}
	if (e == 0 && b[0] == SEND_COMMIT && b[1] == 0) {
		(void)say(vm, SEND_DONE, "");
		return 0;
	}
	snprintf(why, SAVE_WHY_MAX, "the sender keeps its guest");
	return -ECANCELED;
}

/* What the stream has of it, and of its disks. */
static int
read_state(struct vm *vm, char why[SAVE_WHY_MAX])
{
	struct mirror_to disks;
	struct vm_copy copy;
	struct save s;
	int e;

	vm_parts(vm, &s);
	if (!vm->stream)
		return save_read(&s, vm->state, false, why);
	vm_copy_init(&disks, vm, &copy);
	s.disks = &disks;
	e = save_read(&s, vm->state, true, why);
	if (e == 0 && disks.on)
		e = vm_copy_finish(&disks, why);
	if (e == 0)
		e = take_over(vm, why);
	vm->copy = NULL;
	if (e < 0 && disks.on)
		log_warnx("the images of its disks are incomplete copies");
	return e;
}

/* The pager's thread; how the machine ends is the main thread's. */
static void
on_lost(void *arg, const char *why)
{
	char line[WHY_MAX];
	struct vm *vm = arg;
	unsigned i;

	snprintf(line, sizeof(line), "saved state: %s", why);
	pthread_mutex_lock(&vm->end_lock);
	if (!vm->ended) {
		vcpu_quit(vm->vcpus);
		for (i = 0; i < vm->conf.cpus; i++)
			vcpu_kick(vm->vcpus, i);
	}
	pthread_mutex_unlock(&vm->end_lock);
	vm_set_end(vm, VM_END_ERROR, line);
}

void
vm_make_pager(struct vm *vm)
{
	int e;

	/* To revert, all of the state is read before the disks are changed. */
	if (vm->faults == -1 || vm->state == -1 || vm->stream ||
	    vm->snap != NULL) {
		fd_close(&vm->faults);
		return;
	}
	e = pager_new(&vm->pager, fd_take(&vm->faults), &vm->mem, on_lost, vm);
	if (e != 0)
		log_debug("memory is read at once: userfaultfd: %s",
		    strerrordesc_np(-e));
}

int
vm_discard(void *arg, void *p, size_t len)
{
	struct vm *vm = arg;

	return vm->pager != NULL ? pager_discard(vm->pager, p, len)
				 : gmem_discard(&vm->mem, p, len);
}

/* As a VM that was paused: what follows is as at the end of a pause. */
int
vm_go_on(struct vm *vm)
{
	char why[SAVE_WHY_MAX];
	const char *what;
	int e;

	what = vm->stream ? vm_send_cannot(vm) : save_cannot(&vm->conf);
	if (what != NULL) {
		snprintf(why, sizeof(why), "%s cannot be %s", what,
		    vm->stream ? "received" : "restored");
		if (vm->stream)
			(void)say(vm, SEND_NO, why);
		return vm_fail(vm, -EOPNOTSUPP, "%s", why);
	}
	vm->paused = true;
	machine_pause(vm->machine);
	e = vm_snap_prepare(vm, why, sizeof(why));
	if (e == 0)
		e = read_state(vm, why);
	e = vm_snap_revert(vm, e, why, sizeof(why));
	/* A file may be gone on from again, and its guest may have gone on. */
	if (e == 0 && !vm->stream)
		machine_new_generation(vm->machine);
	if (e < 0 && vm->stream)
		(void)say(vm, SEND_NO, why);
	if (vm->pager != NULL && pager_went(vm->pager))
		vm->state = -1; /* the pager's */
	fd_close(&vm->state);
	fd_close(&vm->kernel);
	fd_close(&vm->initrd);
	fd_close(&vm->vgabios);
	fd_close(&vm->netrom);
	return e < 0 ? vm_fail(vm, e, "%s state: %s",
			   vm->stream ? "received" : "saved", why)
		     : 0;
}
