/* SPDX-License-Identifier: ISC */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "life.h"
#include "log.h"
#include "msg.h"
#include "statedir.h"
#include "suspend.h"

#define NEW   ".new"
#define STATE ".state"
#define USED  ".used"

int
suspend_may(const struct vm *vm, struct fail *why)
{
	if (vm->state != VM_RUNNING || vm->run.vm.chan == NULL)
		return fail_set(why, CTL_E_NOTRUNNING,
		    "vm \"%s\" is not running", vm->conf.name);
	if (vm->run.saving || vm->run.pausing || vm->run.asked != 0)
		return fail_set(why, EBUSY,
		    "vm \"%s\" is being paused, unpaused, saved or sent",
		    vm->conf.name);
	return 0;
}

int
suspend_ask(struct vm *vm, uint32_t flags, int fd, struct fail *why)
{
	struct ibuf *body;
	int error;

	if ((error = suspend_may(vm, why)) != 0) {
		fd_close(&fd);
		return error;
	}
	body = chan_body();
	if (ibuf_add_n32(body, flags) == -1) {
		ibuf_free(body);
		fd_close(&fd);
		return fail_set(why, ENOMEM, "out of memory");
	}
	error = chan_send(vm->run.vm.chan, VM_SAVE, 0, fd, body);
	if (error != 0)
		return fail_set(why, -error, "cannot reach vm \"%s\": %s",
		    vm->conf.name, strerror(-error));
	vm->run.saving = true;
	vm->run.save_go_on = (flags & CTL_SAVE_GO_ON) != 0;
	return 0;
}

static int
not_saved(const struct vm *vm, int error)
{
	log_warnx("%s: its state cannot be kept: %s", vm->conf.name,
	    strerror(-error));
	return error;
}

int
suspend_begin(struct vm *vm)
{
	int dir = statedir_open(vm->life, true), fd, error;
	char name[NAME_MAX];
	struct fail why;

	if (dir < 0)
		return not_saved(vm, dir);
	fd = openat(dir, statedir_file(vm->conf.name, NEW, name),
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1) {
		error = -errno;
		close(dir);
		return not_saved(vm, error);
	}
	if ((error = suspend_ask(vm, 0, fd, &why)) != 0) {
		log_warnx("%s", why.text);
		(void)unlinkat(dir, name, 0);
	} else
		vm->run.suspending = vm->run.stopped = true;
	close(dir);
	return error;
}

int
suspend_done(struct vm *vm, bool saved)
{
	int dir = statedir_open(vm->life, false), error = 0;
	char name[NAME_MAX];

	vm->run.suspending = false;
	if (dir < 0)
		return not_saved(vm, dir);
	if (!saved)
		error = -EIO;
	else if ((error = statedir_turn(dir, vm->conf.name, NEW, STATE)) != 0)
		not_saved(vm, error);
	if (error != 0)
		(void)unlinkat(dir, statedir_file(vm->conf.name, NEW, name), 0);
	close(dir);
	return error;
}

bool
suspend_there(const struct life *l, const char *vm)
{
	int dir = statedir_open(l, false);
	char name[NAME_MAX];
	bool there;

	if (dir < 0)
		return false;
	there = faccessat(dir, statedir_file(vm, STATE, name), F_OK, 0) == 0;
	close(dir);
	return there;
}

int
suspend_take(struct vm *vm, int *fd, struct fail *why)
{
	int dir, error = 0;
	char name[NAME_MAX];

	if (*fd != -1)
		return !suspend_there(vm->life, vm->conf.name)
		    ? 0
		    : fail_set(why, EEXIST,
			  "vm \"%s\" was saved at a shutdown: start it, or "
			  "remove that state first, see vmd(8)",
			  vm->conf.name);
	if ((dir = statedir_open(vm->life, false)) == -ENOENT)
		return 0;
	if (dir < 0)
		return fail_set(why, -dir, "saved state of vm \"%s\": %s",
		    vm->conf.name, strerror(-dir));
	*fd = openat(dir, statedir_file(vm->conf.name, STATE, name),
	    O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (*fd == -1)
		error = errno == ENOENT ? 0 : -errno;
	else if ((error = statedir_turn(dir, vm->conf.name, STATE, USED)) == 0)
		vm->run.resumed = true;
	close(dir);
	if (error == 0)
		return 0;
	fd_close(fd);
	return fail_set(why, -error, "saved state of vm \"%s\": %s",
	    vm->conf.name, strerror(-error));
}

void
suspend_taken(struct vm *vm, bool runs)
{
	int dir = statedir_open(vm->life, false), error = dir;
	char name[NAME_MAX];

	vm->run.resumed = false;
	if (dir >= 0) {
		if (!runs)
			error = statedir_turn(dir, vm->conf.name, USED, STATE);
		else
			error = unlinkat(dir,
				    statedir_file(vm->conf.name, USED, name),
				    0) == -1
			    ? -errno
			    : 0;
		close(dir);
	}
	if (error < 0)
		log_warnx(
		    "%s: saved state: %s", vm->conf.name, strerror(-error));
	else if (runs)
		log_info("%s: goes on where it was saved", vm->conf.name);
	else
		log_warnx("%s: does not go on where it was saved; its state "
			  "is kept",
		    vm->conf.name);
}
