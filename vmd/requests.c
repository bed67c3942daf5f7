/* SPDX-License-Identifier: ISC */
/*
 * Requests of clients, forwarded by the control process with the client's
 * number as message id.
 *
 * Invariants
 *  1. Rights are judged here by credentials that the kernel gave for the
 *     client's own socket; control's word counts for nothing.
 *  2. Every request has exactly one OK or FAIL, except those of a client
 *     that has left, which nobody reads.
 *  3. A message that control should not have sent (its fields malformed,
 *     a client number used twice) ends control, not us.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adhoc.h"
#include "changes.h"
#include "fd.h"
#include "imsg.h"
#include "link.h"
#include "log.h"
#include "msg.h"
#include "parent.h"
#include "pause.h"
#include "rights.h"

/* Beyond this many unsent bytes to control a LIST is refused. */
#define QUEUE_BUSY (CHAN_QUEUE_MAX / 4)

static void
send_body(struct parent *p, uint32_t type, uint32_t client, struct ibuf *body)
{
	if (p->control.chan == NULL) {
		ibuf_free(body);
		return;
	}
	/* A full queue ends the channel, and control with it. */
	if (chan_send(p->control.chan, type, client, -1, body) != 0)
		log_warnx("control: answer lost");
}

static void
answer(struct parent *p, uint32_t type, uint32_t client, uint32_t n,
    const char *text)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, n) == -1 || ctl_put_str(body, text) != 0)
		fatalx("answer: out of memory");
	send_body(p, type, client, body);
}

static int
ok(struct parent *p, uint32_t client, uint32_t vmid, const char *text)
{
	answer(p, CTL_OK, client, vmid, text);
	return 0;
}

static int
refuse(struct parent *p, uint32_t client, const struct fail *f)
{
	answer(p, CTL_FAIL, client, (uint32_t)f->code, f->text);
	return 0;
}

static int
refuse_perm(struct parent *p, uint32_t client)
{
	struct fail f;

	fail_set(&f, EPERM, "%s", strerror(EPERM));
	return refuse(p, client, &f);
}

static int
refuse_unknown(struct parent *p, uint32_t client, const struct ctl_target *t)
{
	struct fail f;

	if (t->id != 0)
		fail_set(&f, ENOENT, "vm %u not found", t->id);
	else
		fail_set(&f, ENOENT, "vm \"%s\" not found", t->name);
	return refuse(p, client, &f);
}

/* Answers that follow later. */

static int
wait_add(struct parent *p, uint32_t client, struct vm *vm, enum wait_kind kind)
{
	struct wait *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->client = client;
	w->vm = vm;
	w->kind = kind;
	TAILQ_INSERT_TAIL(&p->waits, w, entry);
	return 0;
}

static void
wait_free(struct parent *p, struct wait *w)
{
	TAILQ_REMOVE(&p->waits, w, entry);
	free(w);
}

/* Of one client, or of all for 0. */
static void
wait_forget(struct parent *p, uint32_t client)
{
	struct wait *w, *next;

	for (w = TAILQ_FIRST(&p->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (client == 0 || w->client == client)
			wait_free(p, w);
	}
}

/* OK for all who wait for this of the VM. */
static void
wait_done(
    struct parent *p, struct vm *vm, enum wait_kind kind, const char *text)
{
	struct wait *w, *next;

	for (w = TAILQ_FIRST(&p->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->vm != vm || w->kind != kind)
			continue;
		ok(p, w->client, vm->id, text);
		wait_free(p, w);
	}
}

static void
on_vm_started(void *arg, struct vm *vm)
{
	wait_done(arg, vm, WAIT_START, vm->tty.name);
}

static void
on_vm_paused(void *arg, struct vm *vm)
{
	wait_done(arg, vm, WAIT_PAUSE, "");
}

static void
vm_over(struct parent *p, struct vm *vm, const struct fail *f)
{
	struct wait *w, *next;

	for (w = TAILQ_FIRST(&p->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->vm != vm)
			continue;
		switch (w->kind) {
		case WAIT_START:
		case WAIT_MEDIUM:
		case WAIT_PAUSE:
			refuse(p, w->client, f);
			break;
		case WAIT_END:
			answer(p, CTL_ENDED, w->client, vm->id, vm->conf.name);
			ok(p, w->client, vm->id, "");
			break;
		}
		wait_free(p, w);
	}
}

static void
on_vm_failed(void *arg, struct vm *vm, const struct fail *f)
{
	vm_over(arg, vm, f);
}

static void
on_vm_ended(void *arg, struct vm *vm)
{
	struct fail f;

	fail_set(&f, ECANCELED, "vm \"%s\" ended", vm->conf.name);
	vm_over(arg, vm, &f);
}

static void
on_vm_changed(void *arg, struct vm *vm, uint32_t error)
{
	struct parent *p = arg;
	struct wait *w, *next;
	struct fail f;

	if (error == EBUSY)
		fail_set(&f, EBUSY,
		    "the guest keeps what is in the cdrom drive of vm \"%s\"",
		    vm->conf.name);
	else
		fail_set(&f, (int)error, "cdrom of vm \"%s\": %s",
		    vm->conf.name, strerror((int)error));
	for (w = TAILQ_FIRST(&p->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->vm != vm || w->kind != WAIT_MEDIUM)
			continue;
		if (error == 0)
			ok(p, w->client, vm->id, "");
		else
			refuse(p, w->client, &f);
		wait_free(p, w);
	}
}

const struct life_ops requests_life_ops = {
	on_vm_started,
	on_vm_failed,
	on_vm_ended,
	on_vm_changed,
	on_vm_paused,
};

/* Clients. */

static int
on_connect(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	int error = clients_add(&p->clients, id, fd);

	fd_close(&fd);
	switch (error) {
	case 0:
		return 0;
	case -EEXIST:
		return -EPROTO;
	default:
		log_warnx("client refused: %s", strerror(-error));
		send_body(p, CONTROL_DROP, id, NULL);
		return 0;
	}
}

static int
on_gone(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;

	if (id == 0)
		return -EPROTO;
	wait_forget(p, id);
	clients_remove(&p->clients, id);
	return 0;
}

void
requests_forget(struct parent *p)
{
	wait_forget(p, 0);
	clients_clear(&p->clients);
}

/* Requests.  An unknown client was refused, or its control is a liar. */

static int
on_list(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct client *c = clients_find(&p->clients, id);
	struct ctl_vm row;
	struct ibuf *out;
	struct vm *vm;
	struct fail f;

	if (c == NULL)
		return 0;
	if (!rights_ok(CTL_LIST, &c->cred, NULL))
		return refuse_perm(p, id);
	if (chan_queued(p->control.chan) > QUEUE_BUSY) {
		fail_set(&f, EAGAIN, "vmd is busy");
		return refuse(p, id, &f);
	}
	TAILQ_FOREACH(vm, &p->reg.vms, entry)
	{
		vm_describe(vm, &row);
		out = chan_body();
		if (ctl_vm_put(out, &row) != 0)
			fatalx("list: out of memory");
		send_body(p, CTL_VM, id, out);
	}
	return ok(p, id, 0, "");
}

/*
 * Start and answer when it runs.  The wait comes first: life_start() may
 * report a failure before it returns.
 */
static int
start_vm(struct parent *p, struct client *c, struct vm *vm,
    struct start_fds *given, struct fail *why)
{
	int error;

	if (!vm_active(vm))
		vm->starter = c->cred.uid;
	if ((error = wait_add(p, c->id, vm, WAIT_START)) != 0) {
		if (given != NULL)
			start_fds_close(given);
		return fail_set(why, -error, "out of memory");
	}
	error = life_start(&p->life, vm, given, why);
	if (error != 0)
		wait_free(p, TAILQ_LAST(&p->waits, waits));
	return error;
}

static int
on_start(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct client *c = clients_find(&p->clients, id);
	struct ctl_target t;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0)
		return -EBADMSG;
	if (c == NULL)
		return 0;
	vm = vmreg_find(&p->reg, &t);
	/* As in OpenBSD: a stranger does not learn what else is missing. */
	if (!rights_ok(CTL_START, &c->cred, vm))
		return refuse_perm(p, id);
	if (vm == NULL)
		return refuse_unknown(p, id, &t);
	if (start_vm(p, c, vm, NULL, &f) == 0)
		return 0;
	if (f.code != EALREADY)
		log_warnx("%s: not started: %s", vm->conf.name, f.text);
	return refuse(p, id, &f);
}

/* A file for a START_ADHOC that follows.  That one answers. */
static int
keep_fd(struct parent *p, uint32_t type, uint32_t id, int fd, bool initrd)
{
	struct client *c = clients_find(&p->clients, id);
	int *slot;

	if (c == NULL || !rights_ok(type, &c->cred, NULL)) {
		fd_close(&fd);
		return 0;
	}
	slot = initrd ? &c->initrd : &c->kernel;
	fd_close(slot);
	*slot = fd;
	return 0;
}

static int
on_start_kernel(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	return keep_fd(arg, CTL_START_KERNEL, id, fd, false);
}

static int
on_start_initrd(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	return keep_fd(arg, CTL_START_INITRD, id, fd, true);
}

static int
start_adhoc(
    struct parent *p, struct client *c, struct vmconf *conf, struct fail *f)
{
	struct start_fds given;
	struct vm *vm;
	int error;

	start_fds_init(&given);
	given.kernel = fd_take(&c->kernel);
	given.initrd = fd_take(&c->initrd);
	conf->flags = VM_F_ADHOC;
	error = adhoc_check(&p->reg, &c->cred, given.kernel != -1, conf, f);
	if (error != 0) {
		start_fds_close(&given);
		return error;
	}
	error = vmreg_add(&p->reg, conf, &vm);
	if (error != 0) {
		start_fds_close(&given);
		if (error == -EEXIST)
			return fail_set(
			    f, EEXIST, "vm \"%s\" exists already", conf->name);
		return fail_set(f, -error, "%s", strerror(-error));
	}
	if ((error = start_vm(p, c, vm, &given, f)) != 0) {
		log_warnx("%s: not started: %s", conf->name, f->text);
		vmreg_remove(&p->reg, vm);
	}
	return error;
}

static int
on_start_adhoc(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct client *c = clients_find(&p->clients, id);
	struct vmconf conf;
	struct fail f;

	if (vmconf_get(body, &conf) != 0)
		return -EBADMSG;
	if (c == NULL)
		return 0;
	if (!rights_ok(CTL_START_ADHOC, &c->cred, NULL))
		return refuse_perm(p, id);
	if (start_adhoc(p, c, &conf, &f) != 0)
		return refuse(p, id, &f);
	return 0;
}

static int
on_stop(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct client *c = clients_find(&p->clients, id);
	struct ctl_target t;
	uint32_t force, vmid;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0 || ibuf_get_n32(body, &force) == -1 ||
	    force > 1)
		return -EBADMSG;
	if (c == NULL)
		return 0;
	if ((vm = vmreg_find(&p->reg, &t)) == NULL)
		return refuse_unknown(p, id, &t);
	if (!rights_ok(CTL_STOP, &c->cred, vm))
		return refuse_perm(p, id);
	vmid = vm->id;
	if (life_stop(&p->life, vm, force == 1, &f) != 0)
		return refuse(p, id, &f);
	return ok(p, id, vmid, "");
}

static int
on_wait(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct client *c = clients_find(&p->clients, id);
	struct ctl_target t;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0)
		return -EBADMSG;
	if (c == NULL)
		return 0;
	if ((vm = vmreg_find(&p->reg, &t)) == NULL)
		return refuse_unknown(p, id, &t);
	if (!rights_ok(CTL_WAIT, &c->cred, vm))
		return refuse_perm(p, id);
	if (!vm_active(vm)) {
		fail_set(&f, CTL_E_NOTRUNNING, "vm \"%s\" is not running",
		    vm->conf.name);
		return refuse(p, id, &f);
	}
	if (wait_add(p, id, vm, WAIT_END) == 0)
		return 0;
	fail_set(&f, ENOMEM, "out of memory");
	return refuse(p, id, &f);
}

static int
pause_or_not(
    struct parent *p, uint32_t type, uint32_t id, struct ibuf *body, bool on)
{
	struct client *c = clients_find(&p->clients, id);
	struct ctl_target t;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0)
		return -EBADMSG;
	if (c == NULL)
		return 0;
	if ((vm = vmreg_find(&p->reg, &t)) == NULL)
		return refuse_unknown(p, id, &t);
	if (!rights_ok(type, &c->cred, vm))
		return refuse_perm(p, id);
	if (pause_ask(vm, on, &f) != 0)
		return refuse(p, id, &f);
	if (wait_add(p, id, vm, WAIT_PAUSE) == 0)
		return 0;
	fail_set(&f, ENOMEM, "out of memory");
	return refuse(p, id, &f);
}

static int
on_pause(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	return pause_or_not(arg, CTL_PAUSE, id, body, true);
}

static int
on_unpause(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	return pause_or_not(arg, CTL_UNPAUSE, id, body, false);
}

/* fd: the medium, -1: none.  Taken. */
static int
change_medium(
    struct parent *p, uint32_t type, uint32_t id, int fd, struct ibuf *body)
{
	struct client *c = clients_find(&p->clients, id);
	struct ctl_target t;
	uint32_t force;
	struct vm *vm;
	struct fail f;
	int error = 0;

	if (ctl_target_get(body, &t) != 0 || ibuf_get_n32(body, &force) == -1 ||
	    force > 1)
		error = -EBADMSG;
	else if (c != NULL && (vm = vmreg_find(&p->reg, &t)) == NULL)
		error = refuse_unknown(p, id, &t);
	else if (c != NULL && !rights_ok(type, &c->cred, vm))
		error = refuse_perm(p, id);
	else if (c != NULL) {
		if (medium_change(vm, fd_take(&fd), force == 1, &f) != 0)
			return refuse(p, id, &f);
		if (wait_add(p, id, vm, WAIT_MEDIUM) != 0) {
			fail_set(&f, ENOMEM, "out of memory");
			return refuse(p, id, &f);
		}
	}
	fd_close(&fd);
	return error;
}

static int
on_cdrom(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	return change_medium(arg, CTL_CDROM, id, fd, body);
}

static int
on_eject(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	return change_medium(arg, CTL_EJECT, id, -1, body);
}

static int
on_link(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct client *c = clients_find(&p->clients, id);
	uint32_t up, nic;
	struct ctl_target t;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0 || ibuf_get_n32(body, &up) == -1 ||
	    up > 1 || ibuf_get_n32(body, &nic) == -1)
		return -EBADMSG;
	if (c == NULL)
		return 0;
	if ((vm = vmreg_find(&p->reg, &t)) == NULL)
		return refuse_unknown(p, id, &t);
	if (!rights_ok(CTL_LINK, &c->cred, vm))
		return refuse_perm(p, id);
	if (link_set(vm, nic, up == 1, &f) != 0)
		return refuse(p, id, &f);
	return ok(p, id, vm->id, "");
}

static int
on_log(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct client *c = clients_find(&p->clients, id);
	struct ibuf *out;
	uint32_t verbose;

	if (ibuf_get_n32(body, &verbose) == -1)
		return -EBADMSG;
	if (c == NULL)
		return 0;
	if (!rights_ok(CTL_LOG, &c->cred, NULL))
		return refuse_perm(p, id);
	log_setverbose(verbose != 0);
	life_verbose(&p->life, verbose != 0);
	out = chan_body();
	if (ibuf_add_n32(out, verbose != 0) == -1)
		fatalx("log: out of memory");
	send_body(p, CONTROL_VERBOSE, 0, out);
	return ok(p, id, 0, "");
}

struct teller {
	struct parent *p;
	uint32_t client;
};

static void
tell_line(void *arg, const char *line)
{
	const struct teller *t = arg;
	struct ibuf *out = chan_body();

	if (ctl_put_str(out, line) != 0)
		fatalx("reload: out of memory");
	send_body(t->p, CTL_LINE, t->client, out);
}

static int
on_reload(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct client *c = clients_find(&p->clients, id);
	struct teller teller = { p, id };
	const struct changes tell = { tell_line, &teller };
	struct fail f;

	if (c == NULL)
		return 0;
	if (!rights_ok(CTL_RELOAD, &c->cred, NULL))
		return refuse_perm(p, id);
	if (chan_queued(p->control.chan) > QUEUE_BUSY) {
		fail_set(&f, EAGAIN, "vmd is busy");
		return refuse(p, id, &f);
	}
	if (reload_again(p, &tell, &f) != 0)
		return refuse(p, id, &f);
	return ok(p, id, 0, "");
}

static const struct chan_row rows[] = {
	{ CONTROL_CONNECT, "CONTROL_CONNECT", CHAN_FD, on_connect },
	{ CONTROL_GONE, "CONTROL_GONE", CHAN_NOFD, on_gone },
	{ CTL_LIST, "CTL_LIST", CHAN_NOFD, on_list },
	{ CTL_START, "CTL_START", CHAN_NOFD, on_start },
	{ CTL_START_KERNEL, "CTL_START_KERNEL", CHAN_FD, on_start_kernel },
	{ CTL_START_INITRD, "CTL_START_INITRD", CHAN_FD, on_start_initrd },
	{ CTL_START_ADHOC, "CTL_START_ADHOC", CHAN_NOFD, on_start_adhoc },
	{ CTL_CDROM, "CTL_CDROM", CHAN_FD, on_cdrom },
	{ CTL_EJECT, "CTL_EJECT", CHAN_NOFD, on_eject },
	{ CTL_LINK, "CTL_LINK", CHAN_NOFD, on_link },
	{ CTL_PAUSE, "CTL_PAUSE", CHAN_NOFD, on_pause },
	{ CTL_UNPAUSE, "CTL_UNPAUSE", CHAN_NOFD, on_unpause },
	{ CTL_STOP, "CTL_STOP", CHAN_NOFD, on_stop },
	{ CTL_WAIT, "CTL_WAIT", CHAN_NOFD, on_wait },
	{ CTL_LOG, "CTL_LOG", CHAN_NOFD, on_log },
	{ CTL_RELOAD, "CTL_RELOAD", CHAN_NOFD, on_reload },
};

const struct chan_ops requests_ops = {
	rows,
	sizeof(rows) / sizeof(rows[0]),
	ctlproc_closed,
};
