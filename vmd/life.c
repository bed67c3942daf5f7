/* SPDX-License-Identifier: ISC */
/*
 * States of a VM and what moves it from one to the next:
 *
 *   STOPPED, WAITING -> STARTING    life_start()
 *   STARTING -> RUNNING             VM_READY
 *   STARTING -> ENDING              VM_ERROR, a process died, time limit
 *   RUNNING -> STOPPING             life_stop()
 *   RUNNING, STOPPING -> ENDING     the vm process is gone
 *   ENDING -> STOPPED               all processes are gone
 *   ENDING -> STARTING              ... after a guest's reset
 *
 * Invariants
 *  1. A process is gone when it was reaped and its channel was read to the
 *     end: its last message counts, whichever event comes first.
 *  2. STOPPED and WAITING have no process, no open tty, no timer.
 *  3. Each state but STOPPED, WAITING and RUNNING has a timer.
 */
#include <sys/wait.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <event2/event.h>

#include "cgroup.h"
#include "chain.h"
#include "fd.h"
#include "imsg.h"
#include "life.h"
#include "log.h"
#include "msg.h"
#include "pause.h"
#include "netproc.h"
#include "page.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

#define QUICK_MAX 3 /* restarts in a row, as in OpenBSD */

const struct life_limits life_limits_dflt = {
	.start = 30000,
	.press = 3000,
	.ack = 30000,
	.shutdown = 120000,
	.term = 10000,
	.kill = 2000,
	.quick = 6000,
};

static void on_timer(int, short, void *);
static void check_gone(struct vm *);
static void device_gone(struct child *);

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
arm(struct vm *vm, int ms)
{
	struct timeval tv = { ms / 1000, (ms % 1000) * 1000 };

	if (evtimer_add(vm->timer, &tv) == -1)
		fatalx("%s: evtimer_add failed", vm->conf.name);
}

/* Asked to end: look after it again soon, within its patience. */
static void
arm_stopping(struct vm *vm)
{
	int64_t left = vm->patience - now_ms();
	int press = vm->life->limits.press;

	arm(vm, left < 1 ? 1 : left < press ? (int)left : press);
}

static void
set_state(struct vm *vm, enum vm_state state)
{
	bool other = vm->state != state;

	if (vm->timer != NULL)
		evtimer_del(vm->timer);
	vm->state = state;
	if (other)
		vm->life->ops->state(vm->life->arg, vm);
}

static void
describe_status(int status, char *buf, size_t len)
{
	if (WIFSIGNALED(status))
		snprintf(buf, len, "killed by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		snprintf(
		    buf, len, "exited with status %d", WEXITSTATUS(status));
}

static void
child_close(struct child *ch)
{
	chan_free(ch->chan);
	ch->chan = NULL;
}

static void
child_kill(const struct child *ch, int sig)
{
	if (ch->pid != 0 && kill(ch->pid, sig) == -1 && errno != ESRCH)
		log_warn("kill %d", (int)ch->pid);
}

/*
 * The end begins: the vm process is killed.  Devices may write what is left
 * of their images; they are killed when they take too long.
 */
static void
kill_run(struct vm *vm)
{
	bool again = vm->state == VM_ENDING;
	struct child *ch;
	unsigned i;

	set_state(vm, VM_ENDING);
	arm(vm, vm->life->limits.kill);
	for (i = 0; (ch = run_child(&vm->run, i)) != NULL; i++) {
		if (again || ch == &vm->run.vm)
			child_kill(ch, SIGKILL);
		child_close(ch);
	}
	check_gone(vm);
}

static void __attribute__((format(printf, 3, 4)))
kill_because(struct vm *vm, int code, const char *fmt, ...)
{
	struct fail *f = &vm->run.fail;
	va_list ap;

	va_start(ap, fmt);
	f->code = code;
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	vm->run.end = RUN_ERROR;
	kill_run(vm);
}

/* Messages of the vm process. */

static int
on_ready(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm *vm = ch->vm;

	if (vm->state != VM_STARTING)
		return -EPROTO;
	set_state(vm, VM_RUNNING);
	vm->run.ready = true;
	log_info(
	    "%s: started (vm %u), tty %s", vm->conf.name, vm->id, vm->tty.name);
	if (!vm->run.again)
		vm->life->ops->started(vm->life->arg, vm);
#ifdef VMD_CONFINE_TEST
	confine_ask(ch->chan, "vm");
#endif
	return 0;
}

/* The process exits now; give it as long as its devices get. */
static void
expect_exit(struct vm *vm)
{
	if (vm->state == VM_ENDING)
		return;
	set_state(vm, VM_ENDING);
	arm(vm, vm->life->limits.kill);
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
	expect_exit(ch->vm);
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
	expect_exit(ch->vm);
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

static int
on_shutdown_ack(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	struct vm *vm = ch->vm;

	if (vm->state == VM_STOPPING && !vm->run.acked && !vm->run.forced) {
		vm->run.acked = true;
		vm->patience = now_ms() + vm->life->limits.shutdown;
		arm_stopping(vm);
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
		kill_because(vm, (int)code, "cloud-init: %s", text);
	else if (ch->kind == CHILD_DISK)
		kill_because(vm, (int)code, "disk %.300s: %s",
		    vm->conf.disk[ch->index].path, text);
	else if (ch->kind == CHILD_CDROM)
		kill_because(vm, (int)code, "cdrom: %s", text);
	else
		kill_because(
		    vm, (int)code, "interface %u: %s", ch->index, text);
	return 0;
}

static void
medium_changed(struct vm *vm, uint32_t error)
{
	if (medium_done(vm, error))
		vm->life->ops->changed(vm->life->arg, vm, error);
}

static int
on_cd_done(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct child *ch = arg;
	uint32_t error;

	if (ibuf_get_n32(body, &error) == -1 || error > 4095 ||
	    !ch->vm->changing)
		return -EBADMSG;
	medium_changed(ch->vm, error);
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
		kill_because(vm, why.code, "cloud-init: %.900s", why.text);
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
		kill_because(vm, why.code, "%s", why.text);
}

static void
on_closed(void *arg, const char *why)
{
	struct child *ch = arg;
	struct vm *vm = ch->vm;
	char name[32];

	child_close(ch);
	if (why[0] != '\0') {
		child_name(ch, name, sizeof(name));
		log_warnx("%s: %s: %s", vm->conf.name, name, why);
		/* It broke the rules of its channel: it is not ours any more */
		child_kill(ch, SIGKILL);
	}
	if (ch->kind == CHILD_USER && why[0] == '\0' && ch->pid != 0)
		passt_runs(ch);
	else if (ch->kind != CHILD_VM)
		device_gone(ch);
	if (ch->kind != CHILD_VM)
		return;
	expect_exit(vm);
	check_gone(vm);
}

static const struct chan_row vm_rows[] = {
	{ VM_READY, "VM_READY", CHAN_NOFD, on_ready },
	{ VM_ERROR, "VM_ERROR", CHAN_NOFD, on_error },
	{ VM_ENDED, "VM_ENDED", CHAN_NOFD, on_ended },
	{ VM_DEVSTATE, "VM_DEVSTATE", CHAN_NOFD, on_devstate },
	{ VM_PAUSED, "VM_PAUSED", CHAN_NOFD, on_paused },
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

/* Answers of netcfg. */

static void
on_nic_failed(void *arg, struct vm *vm, unsigned nic, const struct fail *why)
{
	if (vm->state == VM_STARTING)
		kill_because(
		    vm, why->code, "interface %u: %.900s", nic, why->text);
}

static void
on_nic_up(void *arg, struct vm *vm, unsigned nic, const struct net_result *res)
{
	struct fail why;

	if (vm->state == VM_STARTING && start_nic(vm, nic, res, &why) != 0)
		kill_because(vm, why.code, "%s", why.text);
}

const struct netproc_ops life_net_ops = { on_nic_up, on_nic_failed };

/* Start. */

static int
open_medium(struct vm *vm, struct fail *why)
{
	struct asuser as;
	int error = start_as_owner(&as, &vm->conf, VM_F_CONF_CDROM, why);

	if (error != 0)
		return error;
	error = medium_open(&vm->medium, vm->conf.cdrom, why);
	asuser_end(&as);
	return error;
}

static int
begin(struct life *l, struct vm *vm, struct start_fds *fds, struct fail *why)
{
	const struct start_ops ops = { &vm_ops, &disk_ops, &nic_ops, &user_ops,
		&cdrom_ops, &seed_ops, l->net };
	int error;

	if (l->unfit[0] != '\0')
		return fail_set(why, ENODEV, "%s", l->unfit);
	if ((error = start_open(fds, &vm->conf, l->hypervisor, why)) != 0)
		return error;
	/* A guest that starts again finds what was in the drive. */
	if (vm->conf.cdrom[0] != '\0' && !vm->run.again &&
	    (error = open_medium(vm, why)) != 0)
		return error;
	if (vm->tty.master == -1) {
		error = tty_open(&vm->tty, vm->conf.uid, vm->conf.gid, why);
		if (error != 0)
			return error;
	}
	if (l->groups != NULL &&
	    (error = cgroup_begin(
		 l->groups, &vm->conf, fds->disk, &vm->run.procs, why)) != 0)
		return error;
	vm->problem[0] = '\0';
	vm->started = now_ms();
	set_state(vm, VM_STARTING);
	arm(vm, l->limits.start);
	error = start_spawn(l->base, vm, fds, &ops, why);
	fd_close(&vm->run.procs);
	if (error != 0) {
		/* What is there already ends like any other failed start. */
		vm->run.fail = *why;
		vm->run.end = RUN_ERROR;
		kill_run(vm);
	}
	return 0;
}

static void
reset_run(struct vm *vm)
{
	struct vm_run *r = &vm->run;

	r->ready = r->again = r->stopped = r->forced = r->acked = false;
	r->paused = r->pausing = r->oom = r->seeded = false;
	r->end = RUN_CRASHED;
	r->fail.code = 0;
	r->fail.text[0] = '\0';
}

/* Back to STOPPED; the VM may be freed by this. */
static void
stopped(struct vm *vm)
{
	set_state(vm, VM_STOPPED);
	if (vm->timer != NULL)
		event_free(vm->timer);
	vm->timer = NULL;
	tty_close(&vm->tty);
	medium_close(&vm->medium);
	vm->starter = (uid_t)-1;
	vm->unplugged = 0;
	vm->quick = 0;
}

/* What was to wait for its end: be forgotten, or what vm.conf says by now. */
static void
settle(struct life *l, struct vm *vm)
{
	if ((vm->conf.flags & VM_F_ADHOC) != 0 || vm->removed)
		vmreg_remove(l->reg, vm);
	else
		vmreg_renew(vm);
}

int
life_start(
    struct life *l, struct vm *vm, struct start_fds *given, struct fail *why)
{
	struct start_fds fds;
	int error;

	start_fds_init(&fds);
	if (given != NULL) {
		fds = *given;
		start_fds_init(given);
	}
	if (l->ending)
		error = fail_set(why, ESHUTDOWN, "vmd is shutting down");
	else if (vm_active(vm))
		error = fail_set(why, EALREADY, "vm \"%s\" is already running",
		    vm->conf.name);
	else if ((vm->timer = evtimer_new(l->base, on_timer, vm)) == NULL)
		error = fail_set(why, ENOMEM, "out of memory");
	else {
		vm->life = l;
		vm->restarts = 0;
		reset_run(vm);
		error = begin(l, vm, &fds, why);
		if (error != 0)
			stopped(vm);
	}
	start_fds_close(&fds);
	return error;
}

/* End. */

/* One line that says why a VM stopped that was not asked to. */
static void
explain_end(struct vm *vm, char *text, size_t len)
{
	struct vm_run *run = &vm->run;

	if (run->fail.text[0] != '\0')
		snprintf(text, len, "%s", run->fail.text);
	else {
		snprintf(text, len, "vm process ");
		describe_status(
		    run->vm.status, text + strlen(text), len - strlen(text));
	}
	if (run->oom)
		strlcat(text, ": out of memory", len);
}

static void
finish_failed(struct life *l, struct vm *vm)
{
	struct fail f = vm->run.fail;

	if (f.text[0] == '\0') {
		explain_end(vm, f.text, sizeof(f.text));
		f.code = EIO;
		vm->run.fail = f;
	}
	log_warnx("%s: not started: %s", vm->conf.name, f.text);
	stopped(vm);
	l->ops->failed(l->arg, vm, &f);
	settle(l, vm);
}

static void
finish_ended(struct life *l, struct vm *vm)
{
	char text[sizeof(vm->problem)];

	if (!vm->run.stopped &&
	    (vm->run.end == RUN_CRASHED || vm->run.end == RUN_ERROR)) {
		explain_end(vm, text, sizeof(text));
		log_warnx("%s: stopped: %s", vm->conf.name, text);
		life_problem(vm->life, vm, "%s", text);
	} else
		log_info("%s: stopped", vm->conf.name);
	stopped(vm);
	l->ops->ended(l->arg, vm);
	settle(l, vm);
}

/* After a guest's reset; false when it has to stay down. */
static bool
restart(struct life *l, struct vm *vm)
{
	struct start_fds fds;
	struct fail why;
	int error;

	if (now_ms() - vm->started < l->limits.quick)
		vm->quick++;
	else
		vm->quick = 0;
	if (vm->quick > QUICK_MAX) {
		vm->run.end = RUN_ERROR;
		fail_set(&vm->run.fail, EPERM, "restarted too quickly");
		return false;
	}
	start_fds_init(&fds);
	reset_run(vm);
	vm->run.again = true;
	vm->restarts++;
	error = begin(l, vm, &fds, &why);
	start_fds_close(&fds);
	if (error != 0) {
		vm->run.end = RUN_ERROR;
		vm->run.fail = why;
		return false;
	}
	return true;
}

/* All processes are gone. */
static void
finish(struct vm *vm)
{
	struct life *l = vm->life;
	struct child *ch;
	uint32_t i;

	evtimer_del(vm->timer);
	medium_changed(vm, ECANCELED);
	for (i = 0; (ch = run_child(&vm->run, i)) != NULL; i++) {
		page_detach(ch->stats);
		ch->stats = NULL;
	}
	for (i = 0; i < VM_DISKS_MAX; i++)
		chain_release(&vm->run.image[i]);
	fd_close(&vm->run.seed_image);
	for (i = 0; i < VM_NICS_MAX; i++)
		netproc_forget(l->net, vm, i);
	vm->run.oom = l->groups != NULL && cgroup_end(l->groups, &vm->conf);
	if (!vm->run.ready && !vm->run.again) {
		finish_failed(l, vm);
		return;
	}
	if (vm->run.ready && vm->run.end == RUN_RESET && !vm->run.stopped &&
	    !l->ending && restart(l, vm))
		return;
	finish_ended(l, vm);
}

/* Invariant 1. May free the VM. */
static void
check_gone(struct vm *vm)
{
	struct child *ch;
	bool alive = false;
	unsigned i;

	if (vm->run.vm.pid != 0 || vm->run.vm.chan != NULL)
		return;
	if (vm->state != VM_ENDING) {
		set_state(vm, VM_ENDING);
		arm(vm, vm->life->limits.kill);
	}
	for (i = 0; (ch = run_child(&vm->run, i)) != NULL; i++) {
		/* Its device channel is closed; this is the other sign. */
		child_close(ch);
		alive |= ch->pid != 0;
	}
	if (!alive)
		finish(vm);
}

/*
 * A device process went away before the guest ran.  When it ended in good
 * order the vm process went first and will say why.
 */
static void
device_gone_early(struct child *ch, const char *name, const char *text)
{
	struct vm *vm = ch->vm;

	if (WIFEXITED(ch->status) && WEXITSTATUS(ch->status) == 0)
		expect_exit(vm);
	else
		kill_because(vm, EIO, "%s: %s", name, text);
}

static void
device_gone(struct child *ch)
{
	struct vm *vm = ch->vm;
	char text[96], name[32];

	if (ch->pid != 0 || ch->chan != NULL)
		return;
	/* Its work is done. */
	if (ch->kind == CHILD_SEED && vm->run.seeded && vm->state != VM_ENDING)
		return;
	child_name(ch, name, sizeof(name));
	describe_status(ch->status, text, sizeof(text));
	switch (vm->state) {
	case VM_STARTING:
		device_gone_early(ch, name, text);
		return;
	case VM_RUNNING:
	case VM_STOPPING:
		/* passt ends with its interface, which says more. */
		if (ch->kind == CHILD_USER && ch->status == 0)
			return;
		log_warnx("%s: %s: %s", vm->conf.name, name, text);
		life_problem(vm->life, vm, "%s: %s", name, text);
		if (ch->kind == CHILD_CDROM)
			medium_changed(vm, EIO);
		if (ch->kind == CHILD_NIC)
			netproc_forget(vm->life->net, vm, ch->index);
		return;
	case VM_ENDING:
		check_gone(vm);
		return;
	case VM_STOPPED:
	case VM_WAITING:
		break;
	}
}

bool
life_reaped(struct life *l, pid_t pid, int status)
{
	struct child *ch;
	struct vm *vm;
	unsigned i;

	TAILQ_FOREACH(vm, &l->reg->vms, entry)
	{
		for (i = 0; (ch = run_child(&vm->run, i)) != NULL; i++) {
			if (ch->pid != pid)
				continue;
			ch->pid = 0;
			ch->status = status;
			if (ch->kind == CHILD_VM)
				check_gone(vm);
			else
				device_gone(ch);
			return true;
		}
	}
	return false;
}

/*
 * A guest that still boots loses the button: an operating system clears what
 * is pending when it takes the ACPI hardware over, which looks as if it had
 * seen it.  So it is pressed again and again.
 */
static void
on_stopping_timer(struct vm *vm)
{
	if (!vm->run.forced && now_ms() < vm->patience &&
	    vm->run.vm.chan != NULL &&
	    chan_send(vm->run.vm.chan, VM_SHUTDOWN, 0, -1, NULL) == 0) {
		arm_stopping(vm);
		return;
	}
	if (vm->run.forced)
		log_info("%s: did not end on SIGTERM, killed", vm->conf.name);
	else if (vm->run.acked)
		log_warnx("%s: did not shut down within %d s, forced to end",
		    vm->conf.name, vm->life->limits.shutdown / 1000);
	else
		log_warnx("%s: no answer to the power button within %d s, "
			  "forced to end",
		    vm->conf.name, vm->life->limits.ack / 1000);
	kill_run(vm);
}

static void
on_timer(int fd, short what, void *arg)
{
	struct vm *vm = arg;

	switch (vm->state) {
	case VM_STARTING:
		kill_because(vm, ETIMEDOUT, "not ready within %d s",
		    vm->life->limits.start / 1000);
		return;
	case VM_STOPPING:
		on_stopping_timer(vm);
		return;
	case VM_ENDING:
		kill_run(vm);
		return;
	case VM_STOPPED:
	case VM_WAITING:
	case VM_RUNNING:
		break;
	}
}

static int
force(struct vm *vm)
{
	if (vm->run.forced)
		return 0;
	vm->run.forced = true;
	set_state(vm, VM_STOPPING);
	arm(vm, vm->life->limits.term);
	child_kill(&vm->run.vm, SIGTERM);
	return 0;
}

static int
press_button(struct vm *vm)
{
	if (vm->run.vm.chan == NULL ||
	    chan_send(vm->run.vm.chan, VM_SHUTDOWN, 0, -1, NULL) != 0)
		return force(vm);
	set_state(vm, VM_STOPPING);
	vm->patience = now_ms() + vm->life->limits.ack;
	arm_stopping(vm);
	return 0;
}

int
life_stop(struct life *l, struct vm *vm, bool forced, struct fail *why)
{
	switch (vm->state) {
	case VM_STOPPED:
		return fail_set(why, CTL_E_NOTRUNNING,
		    "vm \"%s\" is not running", vm->conf.name);
	case VM_WAITING:
		vm->state = VM_STOPPED;
		l->ops->state(l->arg, vm);
		return 0;
	case VM_STARTING:
		vm->run.stopped = true;
		kill_because(vm, ECANCELED, "stopped on request");
		return 0;
	case VM_RUNNING:
		vm->run.stopped = true;
		return forced ? force(vm) : press_button(vm);
	case VM_STOPPING:
		return forced ? force(vm) : 0;
	case VM_ENDING:
		vm->run.stopped = true;
		return 0;
	}
	return 0;
}

void
life_end(struct life *l, bool now)
{
	struct vm *vm, *next;
	struct fail why;

	l->ending = true;
	for (vm = TAILQ_FIRST(&l->reg->vms); vm != NULL; vm = next) {
		next = TAILQ_NEXT(vm, entry);
		if (now && vm_active(vm)) {
			if (vm->state != VM_ENDING)
				log_info("%s: killed", vm->conf.name);
			vm->run.stopped = true;
			kill_run(vm);
		} else if (vm->state != VM_STOPPED)
			life_stop(l, vm, false, &why);
	}
}

bool
life_idle(const struct life *l)
{
	const struct vm *vm;

	TAILQ_FOREACH(vm, &l->reg->vms, entry)
	{
		if (vm_active(vm))
			return false;
	}
	return true;
}

void
life_verbose(struct life *l, int verbose)
{
	struct vm *vm;
	struct ibuf *body;

	TAILQ_FOREACH(vm, &l->reg->vms, entry)
	{
		if (vm->run.vm.chan == NULL)
			continue;
		body = chan_body();
		if (ibuf_add_n32(body, (uint32_t)verbose) == -1) {
			ibuf_free(body);
			continue;
		}
		chan_send(vm->run.vm.chan, VM_VERBOSE, 0, -1, body);
	}
}
