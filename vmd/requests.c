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
#include "answer.h"
#include "balloon.h"
#include "display.h"
#include "events.h"
#include "fd.h"
#include "imsg.h"
#include "link.h"
#include "log.h"
#include "msg.h"
#include "parent.h"
#include "pause.h"
#include "requests.h"
#include "rights.h"
#include "screen.h"

static int
refuse_unknown(struct parent *p, uint32_t client, const struct ctl_target *t)
{
	struct fail f;

	if (t->id != 0)
		fail_set(&f, ENOENT, "vm %u not found", t->id);
	else
		fail_set(&f, ENOENT, "vm \"%s\" not found", t->name);
	return answer_fail(p, client, &f);
}

/* The VM that c asks about, or NULL: there is nobody, or it was refused. */
static struct vm *
allowed(struct parent *p, uint32_t type, const struct client *c,
    const struct ctl_target *t)
{
	struct vm *vm;

	if (c == NULL)
		return NULL;
	if ((vm = vmreg_find(&p->reg, t)) == NULL)
		refuse_unknown(p, c->id, t);
	else if (!rights_ok(type, &c->cred, vm))
		answer_perm(p, c->id);
	else
		return vm;
	return NULL;
}

struct vm *
requests_allowed(struct parent *p, uint32_t type, uint32_t client,
    const struct ctl_target *t)
{
	return allowed(p, type, clients_find(&p->clients, client), t);
}

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
		answer_send(p, CONTROL_DROP, id, NULL);
		return 0;
	}
}

static int
on_gone(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;

	if (id == 0)
		return -EPROTO;
	reqsend_cancel(p, id);
	wait_forget(p, id);
	clients_remove(&p->clients, id);
	return 0;
}

void
requests_forget(struct parent *p)
{
	reqsend_cancel(p, 0);
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

	if (c == NULL)
		return 0;
	if (!rights_ok(CTL_LIST, &c->cred, NULL))
		return answer_perm(p, id);
	if (answer_busy(p, id))
		return 0;
	TAILQ_FOREACH(vm, &p->reg.vms, entry)
	{
		vm_describe(vm, &p->groups, &row);
		out = chan_body();
		if (ctl_vm_put(out, &row) != 0)
			fatalx("list: out of memory");
		answer_send(p, CTL_VM, id, out);
	}
	return answer_ok(p, id, 0, "");
}

/* The wait comes first: life_start() may report a failure before it returns. */
int
requests_start(struct parent *p, struct client *c, struct vm *vm,
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
		wait_undo(p);
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
		return answer_perm(p, id);
	if (vm == NULL)
		return refuse_unknown(p, id, &t);
	if (requests_start(p, c, vm, NULL, &f) == 0)
		return 0;
	if (f.code != EALREADY)
		log_warnx("%s: not started: %s", vm->conf.name, f.text);
	return answer_fail(p, id, &f);
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
	const struct adhoc_files files = { c->kernel != -1, c->initrd != -1 };
	struct start_fds given;
	struct vm *vm;
	int error;

	start_fds_init(&given);
	given.kernel = fd_take(&c->kernel);
	given.initrd = fd_take(&c->initrd);
	error = adhoc_check(&p->reg, p->conf, &c->cred, &files, conf, f);
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
	if ((error = requests_start(p, c, vm, &given, f)) != 0) {
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
		return answer_perm(p, id);
	if (start_adhoc(p, c, &conf, &f) != 0)
		return answer_fail(p, id, &f);
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
	if ((vm = allowed(p, CTL_STOP, c, &t)) == NULL)
		return 0;
	vmid = vm->id;
	if (life_stop(&p->life, vm, force == 1, &f) != 0)
		return answer_fail(p, id, &f);
	return answer_ok(p, id, vmid, "");
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
	if ((vm = allowed(p, CTL_WAIT, c, &t)) == NULL)
		return 0;
	if (!vm_active(vm)) {
		fail_set(&f, CTL_E_NOTRUNNING, "vm \"%s\" is not running",
		    vm->conf.name);
		return answer_fail(p, id, &f);
	}
	if (wait_add(p, id, vm, WAIT_END) == 0)
		return 0;
	fail_set(&f, ENOMEM, "out of memory");
	return answer_fail(p, id, &f);
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
	if ((vm = allowed(p, type, c, &t)) == NULL)
		return 0;
	if (pause_ask(vm, on, &f) != 0)
		return answer_fail(p, id, &f);
	if (wait_add(p, id, vm, WAIT_PAUSE) == 0)
		return 0;
	fail_set(&f, ENOMEM, "out of memory");
	return answer_fail(p, id, &f);
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
	else if ((vm = allowed(p, type, c, &t)) != NULL) {
		if (medium_change(vm, fd_take(&fd), force == 1, &f) != 0)
			return answer_fail(p, id, &f);
		if (wait_add(p, id, vm, WAIT_MEDIUM) != 0) {
			fail_set(&f, ENOMEM, "out of memory");
			return answer_fail(p, id, &f);
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
	if ((vm = allowed(p, CTL_LINK, c, &t)) == NULL)
		return 0;
	if (link_set(vm, nic, up == 1, &f) != 0)
		return answer_fail(p, id, &f);
	keep_note(&p->keep, vm);
	return answer_ok(p, id, vm->id, "");
}

static int
on_memory(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct client *c = clients_find(&p->clients, id);
	struct ctl_target t;
	uint64_t bytes;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0 || ibuf_get_n64(body, &bytes) == -1)
		return -EBADMSG;
	if ((vm = allowed(p, CTL_MEMORY, c, &t)) == NULL)
		return 0;
	if (balloon_set(vm, bytes, &f) != 0)
		return answer_fail(p, id, &f);
	keep_note(&p->keep, vm);
	return answer_ok(p, id, vm->id, "");
}

static int
on_screen(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct client *c = clients_find(&p->clients, id);
	struct ctl_target t;
	struct ibuf *out;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0)
		return -EBADMSG;
	if ((vm = allowed(p, CTL_SCREEN, c, &t)) == NULL || answer_busy(p, id))
		return 0;
	out = chan_body();
	if (display_read(vm, out, &f) != 0) {
		ibuf_free(out);
		return answer_fail(p, id, &f);
	}
	answer_send(p, CTL_CELLS, id, out);
	return answer_ok(p, id, vm->id, "");
}

static int
on_key(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct client *c = clients_find(&p->clients, id);
	uint32_t key[SCREEN_KEYS_MAX], n;
	struct ctl_target t;
	struct vm *vm;
	struct fail f;

	if (ctl_target_get(body, &t) != 0 ||
	    screen_get_keys(body, key, &n) != 0)
		return -EBADMSG;
	if ((vm = allowed(p, CTL_KEY, c, &t)) == NULL)
		return 0;
	if (display_keys(vm, key, n, &f) != 0)
		return answer_fail(p, id, &f);
	return answer_ok(p, id, vm->id, "");
}

static const struct chan_row rows[] = {
	{ CONTROL_CONNECT, "CONTROL_CONNECT", CHAN_FD, on_connect },
	{ CONTROL_GONE, "CONTROL_GONE", CHAN_NOFD, on_gone },
	{ CTL_LIST, "CTL_LIST", CHAN_NOFD, on_list },
	{ CTL_START, "CTL_START", CHAN_NOFD, on_start },
	{ CTL_START_KERNEL, "CTL_START_KERNEL", CHAN_FD, on_start_kernel },
	{ CTL_START_INITRD, "CTL_START_INITRD", CHAN_FD, on_start_initrd },
	{ CTL_START_ADHOC, "CTL_START_ADHOC", CHAN_NOFD, on_start_adhoc },
	{ CTL_START_FILE, "CTL_START_FILE", CHAN_NOFD, requests_start_file },
	{ CTL_CDROM, "CTL_CDROM", CHAN_FD, on_cdrom },
	{ CTL_EJECT, "CTL_EJECT", CHAN_NOFD, on_eject },
	{ CTL_LINK, "CTL_LINK", CHAN_NOFD, on_link },
	{ CTL_MEMORY, "CTL_MEMORY", CHAN_NOFD, on_memory },
	{ CTL_PAUSE, "CTL_PAUSE", CHAN_NOFD, on_pause },
	{ CTL_UNPAUSE, "CTL_UNPAUSE", CHAN_NOFD, on_unpause },
	{ CTL_SAVE, "CTL_SAVE", CHAN_FD, requests_save },
	{ CTL_RESTORE, "CTL_RESTORE", CHAN_FD, requests_restore },
	{ CTL_SEND, "CTL_SEND", CHAN_FD, requests_send },
	{ CTL_RECEIVE, "CTL_RECEIVE", CHAN_NOFD, requests_receive },
	{ CTL_SNAPSHOT, "CTL_SNAPSHOT", CHAN_NOFD, requests_snapshot },
	{ CTL_SNAPSHOTS, "CTL_SNAPSHOTS", CHAN_NOFD, requests_snapshots },
	{ CTL_REVERT, "CTL_REVERT", CHAN_NOFD, requests_revert },
	{ CTL_SCREEN, "CTL_SCREEN", CHAN_NOFD, on_screen },
	{ CTL_KEY, "CTL_KEY", CHAN_NOFD, on_key },
	{ CTL_STOP, "CTL_STOP", CHAN_NOFD, on_stop },
	{ CTL_WAIT, "CTL_WAIT", CHAN_NOFD, on_wait },
	{ CTL_LOG, "CTL_LOG", CHAN_NOFD, requests_log },
	{ CTL_RELOAD, "CTL_RELOAD", CHAN_NOFD, requests_reload },
	{ CTL_LOAD, "CTL_LOAD", CHAN_NOFD, requests_load },
	{ CTL_RESET, "CTL_RESET", CHAN_NOFD, requests_reset },
	{ CTL_EVENTS, "CTL_EVENTS", CHAN_NOFD, events_request },
};

const struct chan_ops requests_ops = {
	rows,
	sizeof(rows) / sizeof(rows[0]),
	ctlproc_closed,
};
