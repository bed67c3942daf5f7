/* SPDX-License-Identifier: ISC */
/*
 * What the processes of a VM say, and the ends of their channels.  What follows
 * for the VM is for life.c to do.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "balloon.h"
#include "imsg.h"
#include "life.h"
#include "life_impl.h"
#include "log.h"
#include "msg.h"
#include "pause.h"
#include "run.h"
#include "snapshot.h"
#include "suspend.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

/* Of the vm process. */

static int
on_ready(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm *vm = ch->vm;

	if (vm->state != VM_STARTING)
		return -EPROTO;
	if (vm->run.resumed)
		suspend_taken(vm, true);
	life_set_state(vm, VM_RUNNING);
	vm->run.ready = true;
	vm->run.receiving = vm->run.reverting = false;
	if (vm->keep != 0) /* if it is gone, its channel will say so */
		(void)balloon_send(vm);
	log_info("%s: started (vm %u), tty %s", vm->conf.name, vm->id,
	    vm->tty[0].name);
	if (!vm->run.again)
		vm->life->ops->started(vm->life->arg, vm);
#ifdef VMD_CONFINE_TEST
	confine_ask(ch->chan, "vm");
#endif
	return 0;
}

static int
on_error(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm_run *run = &ch->vm->run;
	char text[sizeof(run->fail.text)];
	uint32_t code;

	if (ibuf_get_n32(body, &code) == -1 ||
	    ctl_get_str(body, text, sizeof(text)) != 0)
		return -EBADMSG;
	run->end = RUN_ERROR;
	run->fail.code = code > 0 && code < 4096 ? (int)code : EIO;
	memcpy(run->fail.text, text, sizeof(text));
	life_expect_exit(ch->vm);
	return 0;
}

static int
on_ended(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm_run *run = &ch->vm->run;
	char text[sizeof(run->fail.text)];
	uint32_t how;

	if (ibuf_get_n32(body, &how) == -1 ||
	    ctl_get_str(body, text, sizeof(text)) != 0)
		return -EBADMSG;
	switch (how) {
	case VM_END_POWEROFF:
		run->end = RUN_OFF;
		break;
	case VM_END_RESET:
	case VM_END_TRIPLE:
		run->end = RUN_RESET;
		break;
	case VM_END_ERROR:
		run->end = RUN_ERROR;
		break;
	default:
		return -EBADMSG;
	}
	run->fail.code = EIO;
	memcpy(run->fail.text, text, sizeof(text));
	log_info("%s: %s%s%s", ch->vm->conf.name,
	    how == VM_END_POWEROFF     ? "powered off"
		: how == VM_END_RESET  ? "reset by the guest"
		: how == VM_END_TRIPLE ? "triple fault"
				       : "stopped by an error",
	    text[0] != '\0' ? ": " : "", text);
	life_expect_exit(ch->vm);
	return 0;
}

static struct child *
device(struct vm *vm, uint32_t index)
{
	if (index < vmconf_nblks(&vm->conf))
		return &vm->run.disk[index];
	if (index == VM_DEV_CDROM && vm->conf.cdrom[0] != '\0')
		return &vm->run.cdrom;
	if (index >= VM_DEV_NIC && index - VM_DEV_NIC < vm->conf.nnics)
		return &vm->run.nic[index - VM_DEV_NIC];
	return NULL;
}

static int
on_devstate(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg, *dev;
	char text[128], name[32];
	uint32_t index;

	if (ibuf_get_n32(body, &index) == -1 ||
	    ctl_get_str(body, text, sizeof(text)) != 0 ||
	    (dev = device(ch->vm, index)) == NULL)
		return -EBADMSG;
	/* That its process is gone says more. */
	if (text[0] != '\0' && dev->pid == 0)
		return 0;
	child_name(dev, name, sizeof(name));
	if (text[0] == '\0')
		life_problem(ch->vm->life, ch->vm, "%s", "");
	else
		life_problem(ch->vm->life, ch->vm, "%s: %.100s", name, text);
	return 0;
}

static int
on_paused(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm *vm = ch->vm;
	bool asked;
	uint32_t on;
	int error;

	if (ibuf_get_n32(body, &on) == -1 || on > 1)
		return -EBADMSG;
	if ((error = pause_told(vm, on == 1, &asked)) != 0)
		return error;
	if (asked)
		vm->life->ops->paused(vm->life->arg, vm);
	return 0;
}

static void
snapped(struct vm *vm, int error, const char *text)
{
	static const char *const done[] = {
		[SNAP_CREATE] = "created",
		[SNAP_DELETE] = "deleted",
		[SNAP_REVERT] = "",
		[SNAP_CHECK] = "is on all disks",
	};
	struct vm_run *run = &vm->run;
	struct fail f = { 0 };

	run->saving = false;
	if (error != 0)
		fail_set(&f, error, "vm \"%s\": snapshot \"%s\": %s",
		    vm->conf.name, run->snap_tag, text);
	snapshot_done(vm, &f);
	if (f.code != 0)
		log_warnx("%s", f.text);
	else
		log_info("%s: snapshot \"%s\" %s", vm->conf.name, run->snap_tag,
		    done[run->snap_what]);
	vm->life->ops->saved(vm->life->arg, vm, &f);
}

static int
on_saved(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm_run *run = &ch->vm->run;
	struct fail f = { 0 };
	struct fail unused;
	const char *what;
	char text[256];
	uint32_t error;

	if (ibuf_get_n32(body, &error) == -1 || error > 4095 ||
	    ctl_get_str(body, text, sizeof(text)) != 0)
		return -EBADMSG;
	/* An answer to an earlier parent, whose client is gone. */
	if (run->adopted && !run->saving)
		return 0;
	if (!run->saving)
		return -EPROTO;
	if (run->snapping) {
		snapped(ch->vm, (int)error, text);
		return 0;
	}
	what = run->sending ? "sent" : "saved";
	run->saving = run->sending = false;
	run->saved = error == 0;
	if (error != 0)
		fail_set(&f, (int)error, "vm \"%s\": not %s: %s",
		    ch->vm->conf.name, what, text);
	if (error == EOWNERDEAD)
		life_problem(ch->vm->life, ch->vm, "not sent: %.100s", text);
	log_info("%s: %s%s%s%s", ch->vm->conf.name,
	    error == 0 ? "its state was " : "not ", what,
	    error == 0 ? "" : ": ", text);
	if (run->suspending && suspend_done(ch->vm, error == 0) != 0)
		(void)life_stop(ch->vm->life, ch->vm, false, &unused);
	ch->vm->life->ops->saved(ch->vm->life->arg, ch->vm, &f);
	return 0;
}

static int
on_lock(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm *vm = ch->vm;
	uint32_t on;

	if (ibuf_get_n32(body, &on) == -1 || on > 1)
		return -EBADMSG;
	if (!vm->run.sending && !vm->run.receiving && !vm->run.adopted)
		return -EPROTO;
	return pause_locked(vm, on == 1);
}

static int
on_progress(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	char text[256];

	if (ctl_get_str(body, text, sizeof(text)) != 0)
		return -EBADMSG;
	ch->vm->life->ops->progress(ch->vm->life->arg, ch->vm, text);
	return 0;
}

static int
on_state(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm_run *run = &ch->vm->run;
	uint32_t paused;
	uint64_t given;

	if (ibuf_get_n32(body, &paused) == -1 || paused > 1 ||
	    ibuf_get_n64(body, &given) == -1 || given > ch->vm->conf.memory ||
	    !run->adopted)
		return -EBADMSG;
	/* Else it is the answer to another parent, which died as well. */
	if (run->asked != 0 && run->asked == id) {
		run->asked = 0;
		run->paused = paused == 1;
		run->given = given;
	}
	return 0;
}

static int
on_given(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	uint64_t given;

	if (ibuf_get_n64(body, &given) == -1 || given > ch->vm->conf.memory)
		return -EBADMSG;
	ch->vm->run.given = given;
	return 0;
}

static int
on_panicked(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm *vm = ch->vm;
	uint32_t handled;

	if (ibuf_get_n32(body, &handled) == -1 || handled > 1)
		return -EBADMSG;
	log_warnx("%s: the guest panicked", vm->conf.name);
	life_problem(vm->life, vm, "the guest panicked%s",
	    handled ? ", and handles it itself" : "");
	return 0;
}

static int
on_shutdown_ack(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm *vm = ch->vm;

	if (vm->state == VM_STOPPING && !vm->run.acked && !vm->run.forced) {
		vm->run.acked = true;
		vm->patience = life_now() + vm->life->limits.shutdown;
		life_arm_stopping(vm);
	}
	return 0;
}

/* Messages of device processes. */

static int
on_dev_ready(void *arg, uint32_t id, int fd, struct ibuf *body)
{
#ifdef VMD_CONFINE_TEST
	struct child *ch = arg;

	confine_ask(ch->chan,
	    ch->kind == CHILD_DISK	? "vioblk"
		: ch->kind == CHILD_NIC ? "vionet"
					: "vioscsi");
#endif
	return 0;
}

static int
on_dev_error(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm *vm = ch->vm;
	char text[512], name[32];
	uint32_t code;

	if (ibuf_get_n32(body, &code) == -1 ||
	    ctl_get_str(body, text, sizeof(text)) != 0)
		return -EBADMSG;
	code = code > 0 && code < 4096 ? code : EIO;
	child_name(ch, name, sizeof(name));
	if (vm->state != VM_STARTING)
		life_problem(vm->life, vm, "%s: %.100s", name, text);
	else if (ch->kind == CHILD_SEED ||
	    (ch->kind == CHILD_DISK && ch->index == vm->conf.ndisks))
		life_kill_because(vm, (int)code, "cloud-init: %s", text);
	else if (ch->kind == CHILD_DISK)
		life_kill_because(vm, (int)code, "disk %.300s: %s",
		    vm->conf.disk[ch->index].path, text);
	else if (ch->kind == CHILD_CDROM)
		life_kill_because(vm, (int)code, "cdrom: %s", text);
	else
		life_kill_because(
		    vm, (int)code, "interface %u: %s", ch->index, text);
	return 0;
}

static int
on_cd_done(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	uint32_t error;

	if (ibuf_get_n32(body, &error) == -1 || error > 4095 ||
	    (!ch->vm->changing && !ch->vm->run.adopted))
		return -EBADMSG;
	life_medium_changed(ch->vm, error);
	return 0;
}

static int
on_seed_done(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm *vm = ch->vm;
	struct fail why;

	if (vm->run.seeded)
		return -EPROTO;
	if (vm->state == VM_STARTING && start_seed(vm, &why) != 0)
		life_kill_because(vm, why.code, "cloud-init: %.900s", why.text);
	return 0;
}

/* Its end of the channel went with the exec. */
static void
passt_runs(struct child *ch)
{
	struct vm *vm = ch->vm;
	struct fail why;

	if (vm->state == VM_STARTING && !vm->run.net[ch->index].ready &&
	    start_user_nic(vm, ch->index, &why) != 0)
		life_kill_because(vm, why.code, "%s", why.text);
}

static void
on_closed(void *arg, const char *why)
{
	struct child *ch = arg;
	struct vm *vm = ch->vm;
	char name[32];

	if (why[0] != '\0') {
		child_name(ch, name, sizeof(name));
		log_warnx("%s: %s: %s", vm->conf.name, name, why);
		/* It broke the rules of its channel: it is not ours any more */
		child_kill(ch, SIGKILL);
	}
	child_close(ch);
	if (ch->kind == CHILD_USER && why[0] == '\0' && ch->pid != 0)
		passt_runs(ch);
	else if (ch->kind != CHILD_VM)
		life_device_gone(ch);
	if (ch->kind != CHILD_VM)
		return;
	life_expect_exit(vm);
	life_check_gone(vm);
}

static const struct chan_row vm_rows[] = {
	{ VM_READY, "VM_READY", CHAN_NOFD, on_ready },
	{ VM_ERROR, "VM_ERROR", CHAN_NOFD, on_error },
	{ VM_ENDED, "VM_ENDED", CHAN_NOFD, on_ended },
	{ VM_DEVSTATE, "VM_DEVSTATE", CHAN_NOFD, on_devstate },
	{ VM_PAUSED, "VM_PAUSED", CHAN_NOFD, on_paused },
	{ VM_SAVED, "VM_SAVED", CHAN_NOFD, on_saved },
	{ VM_STATE, "VM_STATE", CHAN_NOFD, on_state },
	{ VM_LOCK, "VM_LOCK", CHAN_NOFD, on_lock },
	{ VM_PROGRESS, "VM_PROGRESS", CHAN_NOFD, on_progress },
	{ VM_PANICKED, "VM_PANICKED", CHAN_NOFD, on_panicked },
	{ VM_GIVEN, "VM_GIVEN", CHAN_NOFD, on_given },
	{ VM_SHUTDOWN_ACK, "VM_SHUTDOWN_ACK", CHAN_NOFD, on_shutdown_ack },
};
static const struct chan_ops vm_ops = {
	vm_rows,
	sizeof(vm_rows) / sizeof(vm_rows[0]),
	on_closed,
};

static const struct chan_row disk_rows[] = {
	{ BLK_READY, "BLK_READY", CHAN_NOFD, on_dev_ready },
	{ BLK_ERROR, "BLK_ERROR", CHAN_NOFD, on_dev_error },
};
static const struct chan_ops disk_ops = {
	disk_rows,
	sizeof(disk_rows) / sizeof(disk_rows[0]),
	on_closed,
};

static const struct chan_row nic_rows[] = {
	{ NET_READY, "NET_READY", CHAN_NOFD, on_dev_ready },
	{ NET_ERROR, "NET_ERROR", CHAN_NOFD, on_dev_error },
};
static const struct chan_ops nic_ops = {
	nic_rows,
	sizeof(nic_rows) / sizeof(nic_rows[0]),
	on_closed,
};

static const struct chan_row cdrom_rows[] = {
	{ CD_READY, "CD_READY", CHAN_NOFD, on_dev_ready },
	{ CD_ERROR, "CD_ERROR", CHAN_NOFD, on_dev_error },
	{ CD_DONE, "CD_DONE", CHAN_NOFD, on_cd_done },
};
static const struct chan_ops cdrom_ops = {
	cdrom_rows,
	sizeof(cdrom_rows) / sizeof(cdrom_rows[0]),
	on_closed,
};

static const struct chan_row seed_rows[] = {
	{ SEED_DONE, "SEED_DONE", CHAN_NOFD, on_seed_done },
	{ SEED_ERROR, "SEED_ERROR", CHAN_NOFD, on_dev_error },
};
static const struct chan_ops seed_ops = {
	seed_rows,
	sizeof(seed_rows) / sizeof(seed_rows[0]),
	on_closed,
};

static const struct chan_row user_rows[] = {
	{ PASST_ERROR, "PASST_ERROR", CHAN_NOFD, on_dev_error },
};
static const struct chan_ops user_ops = {
	user_rows,
	sizeof(user_rows) / sizeof(user_rows[0]),
	on_closed,
};

const struct chan_ops *
life_chan_ops(enum child_kind kind)
{
	switch (kind) {
	case CHILD_VM:
		return &vm_ops;
	case CHILD_DISK:
		return &disk_ops;
	case CHILD_NIC:
		return &nic_ops;
	case CHILD_USER:
		return &user_ops;
	case CHILD_SEED:
		return &seed_ops;
	case CHILD_CDROM:
		break;
	}
	return &cdrom_ops;
}
