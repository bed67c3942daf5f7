/* SPDX-License-Identifier: ISC */
/*
 * See snapdel.h.
 *
 * Invariants
 *  1. Images are opened and locked here, with the rights that a start would
 *     have, and only passed on.
 *  2. A deletion is over when its process was reaped and its channel read to
 *     the end: then nothing holds the locks, and what it said counts.
 *  3. Until then the VM is not started, by vm.deleting.  It may vanish from
 *     vm.conf meanwhile, so it is known by its number and its name.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <event2/event.h>

#include "chain.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "parent.h"
#include "run.h"
#include "snapdel.h"
#include "snapshot.h"
#include "start.h"

/* For all disks: it may have to read all tables of each image. */
#define LIMIT_S 1200

struct snapdel {
	TAILQ_ENTRY(snapdel) entry;
	struct parent *p;
	struct child ch;
	uint32_t client, vm;
	char name[VM_NAME_MAX + 1], tag[SNAP_TAG_MAX];
	bool told; /* what became of it: */
	struct fail fail;
	struct event *timer;
};

/* A disk of the VM whose image may have it. */
struct own {
	const char *path;
	int fd;
};

static void
snapdel_free(struct snapdel *d)
{
	TAILQ_REMOVE(&d->p->snapdels.list, d, entry);
	d->p->snapdels.n--;
	chan_free(d->ch.chan);
	if (d->timer != NULL)
		event_free(d->timer);
	free(d);
}

static void
finish(struct snapdel *d)
{
	const struct ctl_target t = { .id = d->vm };
	struct parent *p = d->p;
	struct vm *vm = vmreg_find(&p->reg, &t);
	char how[96];

	if (!d->told) {
		child_status(&d->ch, how, sizeof(how));
		fail_set(&d->fail, EIO,
		    "vm \"%s\": snapshot \"%s\": its process %s", d->name,
		    d->tag, how);
	}
	snapshot_deleted(&p->life, d->name, d->tag, &d->fail);
	if (d->fail.code != 0)
		log_warnx("%s", d->fail.text);
	else
		log_info("%s: snapshot \"%s\" deleted", d->name, d->tag);
	if (vm != NULL)
		vm->deleting = false;
	/* Who asked may have left. */
	if (clients_find(&p->clients, d->client) != NULL) {
		if (d->fail.code != 0)
			answer_fail(p, d->client, &d->fail);
		else
			answer_ok(p, d->client, d->vm, "");
	}
	snapdel_free(d);
}

/* Invariant 2. */
static void
check_gone(struct snapdel *d)
{
	if (d->ch.pid == 0 && d->ch.chan == NULL)
		finish(d);
}

static int
on_done(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct snapdel *d = arg;
	uint32_t error;
	char text[256];

	if (d->told)
		return -EPROTO;
	if (ibuf_get_n32(body, &error) == -1 || error > 4095 ||
	    ctl_get_str(body, text, sizeof(text)) != 0)
		return -EBADMSG;
	d->told = true;
	if (error != 0)
		fail_set(&d->fail, (int)error, "vm \"%s\": snapshot \"%s\": %s",
		    d->name, d->tag, text);
	return 0;
}

static void
on_closed(void *arg, const char *why)
{
	struct snapdel *d = arg;

	if (why[0] != '\0')
		log_warnx("%s: snap: %s", d->name, why);
	chan_free(d->ch.chan);
	d->ch.chan = NULL;
	/* It has nothing more to say, and nobody to say it to. */
	if (d->ch.pid != 0 && !d->told)
		kill(d->ch.pid, SIGKILL);
	check_gone(d);
}

static const struct chan_row rows[] = {
	{ SNAP_DONE, "SNAP_DONE", CHAN_NOFD, on_done },
};
static const struct chan_ops ops = {
	rows,
	sizeof(rows) / sizeof(rows[0]),
	on_closed,
};

static void
give_up(struct snapdel *d, int error, const char *text)
{
	if (!d->told)
		fail_set(&d->fail, error, "vm \"%s\": snapshot \"%s\": %s",
		    d->name, d->tag, text);
	d->told = true;
	kill(d->ch.pid, SIGKILL);
}

static void
on_late(int fd, short what, void *arg)
{
	struct snapdel *d = arg;

	/* Reaped, but its channel is not closed: it will be. */
	if (d->ch.pid != 0)
		give_up(d, ETIMEDOUT, "its deletion takes too long");
}

static struct snapdel *
find(const struct parent *p, uint32_t vm)
{
	struct snapdel *d;

	TAILQ_FOREACH(d, &p->snapdels.list, entry)
	{
		if (d->vm == vm)
			return d;
	}
	return NULL;
}

static int
may(const struct parent *p, const struct vm *vm, const char *tag,
    struct fail *why)
{
	int error = snapshot_name(tag, why);

	if (error != 0)
		return error;
	if (p->ending)
		return fail_set(why, ESHUTDOWN, "vmd is shutting down");
	if (vm->state != VM_STOPPED)
		return fail_set(
		    why, EBUSY, "vm \"%s\" waits to be started", vm->conf.name);
	if (vm->deleting || find(p, vm->id) != NULL)
		return fail_set(why, EBUSY,
		    "a snapshot of vm \"%s\" is being deleted", vm->conf.name);
	if (p->snapdels.n == SNAPDEL_MAX)
		return fail_set(why, EAGAIN, "vmd is busy");
	return 0;
}

static void
close_images(struct own *image, unsigned n)
{
	while (n > 0)
		fd_close(&image[--n].fd);
}

/* Those that can have one; *n of them are open whatever is returned. */
static int
open_images(
    const struct vm *vm, struct own *image, unsigned *n, struct fail *why)
{
	const struct vm_diskconf *d;
	struct disk_layer l;
	struct asuser as;
	uint32_t i;
	int error;

	*n = 0;
	if ((error = start_as_owner(&as, &vm->conf, 0, why)) != 0)
		return error;
	for (i = 0; i < vm->conf.ndisks && error == 0; i++) {
		d = &vm->conf.disk[i];
		if (d->readonly || (error = chain_open_own(&l, d, why)) != 0)
			continue;
		if (l.format == VM_DISK_QCOW2)
			image[(*n)++] = (struct own){ d->path, l.fd };
		else
			fd_close(&l.fd);
	}
	asuser_end(&as);
	return error;
}

static int
send_all(struct snapdel *d, struct own *image, unsigned n)
{
	struct ibuf *body = chan_body();
	unsigned i;
	int error;

	if (ctl_put_str(body, d->tag) != 0 || ibuf_add_n32(body, n) == -1) {
		ibuf_free(body);
		return -ENOMEM;
	}
	error = chan_send(d->ch.chan, SNAP_CONF, 0, -1, body);
	for (i = 0; i < n && error == 0; i++) {
		body = chan_body();
		if (ctl_put_str(body, image[i].path) != 0) {
			ibuf_free(body);
			return -ENOMEM;
		}
		error = chan_send(
		    d->ch.chan, SNAP_DISK, 0, fd_take(&image[i].fd), body);
	}
	return error;
}

static int
spawn(struct snapdel *d, struct fail *why)
{
	static const struct timeval tv = { LIMIT_S, 0 };
	char title[96], tag[96];

	d->timer = evtimer_new(d->p->base, on_late, d);
	if (d->timer == NULL || evtimer_add(d->timer, &tv) == -1)
		return fail_set(why, ENOMEM, "out of memory");
	snprintf(title, sizeof(title), "%s/snap", d->name);
	snprintf(tag, sizeof(tag), "%s: snap", d->name);
	return start_child(d->p->base, &d->ch, "snap", title, tag, &ops, why);
}

/* The images go to a process that takes it from there. */
static int
start(struct parent *p, uint32_t client, struct vm *vm, const char *tag,
    struct own *image, unsigned n, struct fail *why)
{
	struct snapdel *d = calloc(1, sizeof(*d));
	int error;

	if (d == NULL)
		return fail_set(why, ENOMEM, "out of memory");
	d->p = p;
	d->client = client;
	d->vm = vm->id;
	snprintf(d->name, sizeof(d->name), "%s", vm->conf.name);
	snprintf(d->tag, sizeof(d->tag), "%s", tag);
	TAILQ_INSERT_TAIL(&p->snapdels.list, d, entry);
	p->snapdels.n++;
	if ((error = spawn(d, why)) != 0 && d->ch.pid <= 0) {
		snapdel_free(d);
		return error;
	}
	/* From here on its end answers. */
	vm->deleting = true;
	if (error == 0) {
		chan_set_arg(d->ch.chan, d);
		if ((error = send_all(d, image, n)) != 0)
			give_up(d, -error, strerror(-error));
	} else
		give_up(d, why->code, why->text);
	return 0;
}

int
snapdel_begin(struct parent *p, uint32_t client, struct vm *vm, const char *tag,
    struct fail *why)
{
	struct own image[VM_DISKS_MAX];
	unsigned n;
	int error;

	if ((error = may(p, vm, tag, why)) != 0)
		return error;
	snapshot_sweep(&p->life, vm->conf.name);
	error = open_images(vm, image, &n, why);
	if (error == 0 && n > 0)
		error = start(p, client, vm, tag, image, n, why);
	else if (error == 0) {
		fail_set(why, ENOENT, "no disk can have it");
		snapshot_deleted(&p->life, vm->conf.name, tag, why);
		if ((error = -why->code) == 0)
			answer_ok(p, client, vm->id, "");
	}
	close_images(image, n);
	return error;
}

bool
snapdel_reaped(struct parent *p, pid_t pid, int status)
{
	struct snapdel *d;

	TAILQ_FOREACH(d, &p->snapdels.list, entry)
	{
		if (d->ch.pid != pid)
			continue;
		d->ch.pid = 0; /* what it said is in its channel */
		d->ch.status = status;
		check_gone(d);
		return true;
	}
	return false;
}

bool
snapdel_idle(const struct parent *p)
{
	return TAILQ_EMPTY(&p->snapdels.list);
}

void
snapdel_init(struct parent *p)
{
	TAILQ_INIT(&p->snapdels.list);
}

void
snapdel_forget(struct parent *p)
{
	struct snapdel *d, *next;

	for (d = TAILQ_FIRST(&p->snapdels.list); d != NULL; d = next) {
		next = TAILQ_NEXT(d, entry);
		snapdel_free(d);
	}
}
