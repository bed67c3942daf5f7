/* SPDX-License-Identifier: ISC */
/*
 * Snapshots of a VM: its state in a file, and one of the same name in the
 * image of each disk that can be written.
 *
 * The guest stands still and its disks are drained, so that their images are
 * whole.  Then, on all disks: what can fail is prepared; the state is
 * written; and what was prepared is committed, or after any failure given up.
 * Reverting happens at a start, in the same order: the state is read between.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "save.h"
#include "virtio_chan.h"
#include "vm_impl.h"

/* For one step of one disk: it may have to read all tables of the image. */
#define STEP_MS 600000

struct snapping {
	enum snap_what what;
	enum snap_step step;
	char tag[SNAP_TAG_MAX];
	struct timespec when;
	unsigned waiting; /* answers */
	bool prepared[VM_DISKS_MAX];
	int error; /* the first one */
	char why[WHY_MAX];
};

static void
failed(struct vm *vm, unsigned disk, int error, const char *why)
{
	struct snapping *x = vm->snap;

	if (x->error != 0)
		return;
	x->error = error;
	snprintf(x->why, sizeof(x->why), "disk %.120s: %.100s",
	    vm->conf.disk[disk].path, why);
}

/* A step of all disks that can be written, or of those that are prepared. */
static void
tell(struct vm *vm, enum snap_step step)
{
	struct snapping *x = vm->snap;
	/* What is only checked is prepared, and given up again. */
	enum snap_what what = x->what == SNAP_CHECK ? SNAP_REVERT : x->what;
	unsigned i;
	int e;

	x->step = step;
	for (i = 0; i < vm->conf.ndisks; i++) {
		if (vm->conf.disk[i].readonly ||
		    (step != SNAP_PREPARE && !x->prepared[i]))
			continue;
		e = virtio_chan_snapshot(
		    vm->disk[i].front, step, what, x->tag, x->when);
		if (e == 0)
			x->waiting++;
		else
			failed(vm, i, e, strerrordesc_np(-e));
	}
}

static bool
any_prepared(const struct snapping *x)
{
	unsigned i;

	for (i = 0; i < VM_DISKS_MAX; i++)
		if (x->prepared[i])
			return true;
	return false;
}

/* Is there anything to be done still?  All that were asked have answered. */
static bool
more(struct vm *vm)
{
	struct snapping *x = vm->snap;
	struct save s;

	if (x->step != SNAP_PREPARE)
		return false;
	if (x->error == 0 && x->what == SNAP_CREATE) {
		vm_parts(vm, &s);
		x->error = save_write(&s, vm->save, x->why);
	}
	/* Of a snapshot that is not everywhere the rest is deleted. */
	if (x->error == 0 && x->what == SNAP_DELETE && !any_prepared(x)) {
		x->error = -ENOENT;
		snprintf(x->why, sizeof(x->why),
		    "no disk has a snapshot "
		    "\"%s\"",
		    x->tag);
	}
	tell(vm,
	    x->error != 0 || x->what == SNAP_CHECK ? SNAP_ABORT : SNAP_COMMIT);
	return x->waiting > 0;
}

static void
finish(struct vm *vm)
{
	struct snapping *x = vm->snap;

	vm->snap = NULL;
	vm->save_go_on = true;
	vm_saved(vm, x->error, x->why);
	free(x);
}

void
vm_snapped(void *arg, int error, const char *why)
{
	struct vm_dev *d = arg;
	struct vm *vm = d->vm;
	struct snapping *x = vm->snap;
	unsigned i = (unsigned)(d - vm->disk);

	if (x == NULL)
		return;
	x->waiting--;
	x->prepared[i] = x->step == SNAP_PREPARE && error == 0;
	if (error != 0 &&
	    !(error == -ENOENT && x->step == SNAP_PREPARE &&
		x->what == SNAP_DELETE))
		failed(vm, i, error, why);
	/* At a start vm_go_on() does. */
	if (x->waiting == 0 && vm->vcpus != NULL && !vm->starting && !more(vm))
		finish(vm);
}

void
vm_snap_drained(struct vm *vm)
{
	if (vm->save_lost) {
		vm->snap->error = -EIO;
		snprintf(vm->snap->why, sizeof(vm->snap->why),
		    "a device process ended");
		finish(vm);
		return;
	}
	tell(vm, SNAP_PREPARE);
	if (vm->snap->waiting == 0 && !more(vm))
		finish(vm);
}

static int
get(struct ibuf *body, struct snapping *x)
{
	uint32_t what, ns;
	uint64_t s;

	if (ibuf_get_n32(body, &what) == -1 || what > SNAP_CHECK ||
	    ctl_get_str(body, x->tag, sizeof(x->tag)) != 0 ||
	    ibuf_get_n64(body, &s) == -1 || s > INT64_MAX ||
	    ibuf_get_n32(body, &ns) == -1 || ns > 999999999)
		return -EBADMSG;
	x->what = (enum snap_what)what;
	x->when = (struct timespec){ (time_t)s, (long)ns };
	return 0;
}

/* fd is taken; -1: none. */
static int
begin(struct vm *vm, struct snapping *x, int fd)
{
	struct snapping *copy;
	const char *what = save_cannot(&vm->conf);
	char line[WHY_MAX];

	if (!vm_idle(vm) || what != NULL) {
		fd_close(&fd);
		snprintf(line, sizeof(line), "%s has no snapshots",
		    what != NULL ? what : "");
		vm_report(vm, VM_SAVED, what != NULL ? EOPNOTSUPP : EBUSY,
		    what != NULL ? line : strerrordesc_np(EBUSY));
		return 0;
	}
	if ((copy = malloc(sizeof(*copy))) == NULL) {
		fd_close(&fd);
		vm_report(vm, VM_SAVED, ENOMEM, strerrordesc_np(ENOMEM));
		return 0;
	}
	*copy = *x;
	vm->snap = copy;
	vm->save = fd;
	vm_stand_still(vm);
	return 0;
}

int
vm_on_snapshot(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct snapping x = { .waiting = 0 };
	struct vm *vm = arg;

	if (get(body, &x) != 0 || x.what != SNAP_CREATE || vm->vcpus == NULL) {
		close(fd);
		return -EBADMSG;
	}
	return begin(vm, &x, fd);
}

int
vm_on_snapchange(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct snapping x = { .waiting = 0 };
	struct vm *vm = arg;

	if (get(body, &x) != 0 || x.what == SNAP_CREATE ||
	    (x.what == SNAP_REVERT) != (vm->vcpus == NULL) ||
	    (x.what == SNAP_REVERT && vm->snap != NULL))
		return -EBADMSG;
	if (x.what != SNAP_REVERT)
		return begin(vm, &x, -1);
	if ((vm->snap = malloc(sizeof(x))) == NULL)
		return -ENOMEM;
	*vm->snap = x;
	return 0;
}

/* All disks at once; one that does not answer has failed. */
static void
wait_for_all(struct vm *vm)
{
	unsigned i;
	int e;

	for (i = 0; i < vm->conf.ndisks; i++) {
		e = virtio_chan_snap_wait(vm->disk[i].front, STEP_MS);
		if (e < 0)
			failed(vm, i, e, strerrordesc_np(-e));
	}
}

int
vm_snap_prepare(struct vm *vm, char *why, size_t len)
{
	if (vm->snap == NULL)
		return 0;
	vm->starting = true;
	tell(vm, SNAP_PREPARE);
	wait_for_all(vm);
	snprintf(why, len, "%s", vm->snap->why);
	return vm->snap->error;
}

int
vm_snap_revert(struct vm *vm, int error, char *why, size_t len)
{
	struct snapping *x = vm->snap;

	if (x == NULL)
		return error;
	if (x->error == 0)
		x->error = error;
	if (more(vm))
		wait_for_all(vm);
	vm->starting = false;
	vm->snap = NULL;
	if (error == 0 && x->error != 0) {
		error = x->error;
		snprintf(why, len, "%s", x->why);
	}
	free(x);
	return error;
}
