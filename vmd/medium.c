/* SPDX-License-Identifier: ISC */
/*
 * The medium of a VM's CD-ROM drive: see medium.h.
 *
 * Invariants
 *  1. A descriptor that a client passed is never handed on: what it refers to
 *     is opened once more, for reading, so that its flags are ours alone.
 *  2. One change at a time: vm->next is what was asked for.
 */
#include <errno.h>
#include <fcntl.h>

#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "image.h"
#include "imsg.h"
#include "medium.h"
#include "msg.h"
#include "vmreg.h"

void
medium_init(struct medium *m)
{
	m->fd = -1;
	m->bytes = 0;
}

void
medium_close(struct medium *m)
{
	image_release(&m->fd);
	m->bytes = 0;
}

int
medium_open(struct medium *m, const char *path, struct fail *why)
{
	return image_open_cdrom(path, &m->fd, &m->bytes, why);
}

static int
send_medium(struct vm *vm, const struct medium *m, uint32_t id, bool force)
{
	struct ibuf *body = chan_body();
	int fd = -1, type = m->fd == -1 ? CD_EJECT : CD_MEDIUM;

	if (m->fd != -1 && (fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 0)) == -1) {
		ibuf_free(body);
		return -errno;
	}
	if (ibuf_add_n32(body, force) == -1 ||
	    (fd != -1 && ibuf_add_n64(body, m->bytes) == -1)) {
		ibuf_free(body);
		fd_close(&fd);
		return -ENOMEM;
	}
	return chan_send(vm->run.cdrom.chan, (uint32_t)type, id, fd, body);
}

int
medium_send(struct vm *vm)
{
	return send_medium(vm, &vm->medium, 0, true);
}

int
medium_change(struct vm *vm, int fd, bool force, struct fail *why)
{
	struct medium m = { .fd = -1 };
	int error;

	if (vm->conf.cdrom[0] == '\0') {
		fd_close(&fd);
		return fail_set(
		    why, ENODEV, "vm \"%s\" has no cdrom drive", vm->conf.name);
	}
	if (vm->state != VM_RUNNING || vm->run.cdrom.chan == NULL) {
		fd_close(&fd);
		return fail_set(why, CTL_E_NOTRUNNING,
		    "vm \"%s\" is not running", vm->conf.name);
	}
	if (vm->changing) {
		fd_close(&fd);
		return fail_set(why, EALREADY,
		    "the cdrom of vm \"%s\" is being changed", vm->conf.name);
	}
	if (fd != -1) {
		error = image_adopt_cdrom(fd, &m.fd, &m.bytes, why);
		fd_close(&fd);
		if (error != 0)
			return error;
	}
	if ((error = send_medium(vm, &m, 1, force)) != 0) {
		medium_close(&m);
		return fail_set(why, -error, "cannot reach the cdrom drive");
	}
	vm->next = m;
	vm->changing = true;
	return 0;
}

bool
medium_done(struct vm *vm, uint32_t error)
{
	if (!vm->changing)
		return false;
	vm->changing = false;
	if (error != 0) {
		medium_close(&vm->next);
		return true;
	}
	medium_close(&vm->medium);
	vm->medium = vm->next;
	medium_init(&vm->next);
	return true;
}
