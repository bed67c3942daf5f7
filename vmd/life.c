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
#include "fd.h"
#include "imsg.h"
#include "life.h"
#include "life_impl.h"
#include "log.h"
#include "msg.h"
#include "netproc.h"
#include "run.h"
#include "snapshot.h"
#include "suspend.h"

#define RESTORE_RATE (50 << 10) /* bytes per ms: a slow disk reads them */
#define REVERT_MS    600000 /* of disks: all their tables are read */
#define QUICK_MAX    3 /* restarts in a row, as in OpenBSD */

const struct life_limits life_limits_dflt = {
	.start = 30000,
	.receive = 24 * 60 * 60 * 1000,
	.press = 3000,
	.ack = 30000,
	.shutdown = 120000,
	.term = 10000,
	.kill = 2000,
	.quick = 6000,
};

static void on_timer(int, short, void *);

int64_t
life_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
life_arm(struct vm *vm, int ms)
{
	struct timeval tv = { ms / 1000, (ms % 1000) * 1000 };

	if (evtimer_add(vm->timer, &tv) == -1)
		fatalx("%s: evtimer_add failed", vm->conf.name);
}

/* Asked to end: look after it again soon, within its patience. */
void
life_arm_stopping(struct vm *vm)
{
	int64_t left = vm->patience - life_now();
	int press = vm->life->limits.press;

	life_arm(vm, left < 1 ? 1 : left < press ? (int)left : press);
}

void
life_set_state(struct vm *vm, enum vm_state state)
{
	bool other = vm->state != state;

	if (vm->timer != NULL)
		evtimer_del(vm->timer);
	vm->state = state;
	if (other)
		vm->life->ops->state(vm->life->arg, vm);
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

	life_set_state(vm, VM_ENDING);
	life_arm(vm, vm->life->limits.kill);
	for (i = 0; (ch = run_child(&vm->run, i)) != NULL; i++) {
		if (again || ch == &vm->run.vm)
			child_kill(ch, SIGKILL);
		child_close(ch);
	}
	life_check_gone(vm);
}

void
life_kill_because(struct vm *vm, int code, const char *fmt, ...)
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

/* The process exits now; give it as long as its devices get. */
void
life_expect_exit(struct vm *vm)
{
	if (vm->state == VM_ENDING)
		return;
	life_set_state(vm, VM_ENDING);
	life_arm(vm, vm->life->limits.kill);
}

void
life_medium_changed(struct vm *vm, uint32_t error)
{
	if (medium_done(vm, error))
		vm->life->ops->changed(vm->life->arg, vm, error);
}

/* Answers of netcfg. */

static void
on_nic_failed(void *arg, struct vm *vm, unsigned nic, const struct fail *why)
{
	if (vm->state == VM_STARTING)
		life_kill_because(
		    vm, why->code, "interface %u: %.900s", nic, why->text);
}

static void
on_nic_up(void *arg, struct vm *vm, unsigned nic, const struct net_result *res)
{
	struct fail why;

	if (vm->state == VM_STARTING && start_nic(vm, nic, res, &why) != 0)
		life_kill_because(vm, why.code, "%s", why.text);
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

/* Those that it does not have from before its guest's restart. */
static int
open_ttys(struct vm *vm, struct fail *why)
{
	unsigned i;
	int error = 0;

	for (i = 0; i < VM_TTYS && error == 0; i++)
		if (vmconf_has_tty(&vm->conf, i) && vm->tty[i].master == -1)
			error = tty_open(
			    &vm->tty[i], vm->conf.uid, vm->conf.gid, why);
	return error;
}

static int
begin(struct life *l, struct vm *vm, struct start_fds *fds, struct fail *why)
{
	const struct start_ops ops = {
		.vm = life_chan_ops(CHILD_VM),
		.disk = life_chan_ops(CHILD_DISK),
		.nic = life_chan_ops(CHILD_NIC),
		.user = life_chan_ops(CHILD_USER),
		.cdrom = life_chan_ops(CHILD_CDROM),
		.seed = life_chan_ops(CHILD_SEED),
		.net = l->net,
	};
	int error, limit;

	if (l->unfit[0] != '\0')
		return fail_set(why, ENODEV, "%s", l->unfit);
	if ((error = start_open(fds, &vm->conf, l->hypervisor, why)) != 0)
		return error;
	/* A guest that starts again finds what was in the drive. */
	if (vm->conf.cdrom[0] != '\0' && !vm->run.again &&
	    (error = open_medium(vm, why)) != 0)
		return error;
	if ((error = open_ttys(vm, why)) != 0)
		return error;
	if (l->groups != NULL &&
	    (error = cgroup_begin(
		 l->groups, &vm->conf, fds->disk, &vm->run.group, why)) != 0)
		return error;
	if (!vm->run.again && (vm->conf.flags & VM_F_ADHOC) == 0 &&
	    (error = suspend_take(vm, &fds->state, why)) != 0)
		return error;
	vm->problem[0] = '\0';
	vm->started = life_now();
	life_set_state(vm, VM_STARTING);
	vm->run.receiving = fds->stream;
	vm->run.reverting = fds->revert[0] != '\0';
	limit = fds->stream ? l->limits.receive : l->limits.start;
	if (fds->state != -1 && !fds->stream)
		limit += (int)(vm->conf.memory / RESTORE_RATE);
	if (vm->run.reverting)
		limit += REVERT_MS;
	life_arm(vm, limit);
	error = start_spawn(l->base, vm, fds, &ops, why);
	spares_soon(&l->spares);
	fd_close(&vm->run.group);
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
	r->saving = r->save_go_on = r->saved = false;
	r->suspending = r->resumed = false;
	r->sending = r->receiving = r->reverting = false;
	r->snapping = false;
	r->paused = r->pausing = r->oom = r->seeded = r->adopted = false;
	r->asked = 0;
	r->given = 0;
	r->end = RUN_CRASHED;
	r->fail.code = 0;
	r->fail.text[0] = '\0';
}

/* Back to STOPPED; the VM may be freed by this. */
static void
stopped(struct vm *vm)
{
	struct fail f = { 0 };
	unsigned i;

	if (vm->run.resumed)
		suspend_taken(vm, false);
	if (vm->run.snapping) {
		f.code = EIO;
		snapshot_done(vm, &f);
	}
	life_set_state(vm, VM_STOPPED);
	if (vm->timer != NULL)
		event_free(vm->timer);
	vm->timer = NULL;
	for (i = 0; i < VM_TTYS; i++)
		tty_close(&vm->tty[i]);
	medium_close(&vm->medium);
	fd_close(&vm->stream);
	vm->starter = (uid_t)-1;
	vm->unplugged = 0;
	vm->keep = 0;
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
life_own(struct life *l, struct vm *vm)
{
	vm->life = l;
	vm->timer = evtimer_new(l->base, on_timer, vm);
	return vm->timer == NULL ? -ENOMEM : 0;
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
	else if (vm->deleting)
		error = fail_set(why, EBUSY,
		    "a snapshot of vm \"%s\" is being deleted", vm->conf.name);
	else if (life_own(l, vm) != 0)
		error = fail_set(why, ENOMEM, "out of memory");
	else {
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
		child_status(&run->vm, text + strlen(text), len - strlen(text));
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

static bool
run_failed(enum run_end end)
{
	return end == RUN_CRASHED || end == RUN_ERROR || end == RUN_RESETS;
}

static void
finish_ended(struct life *l, struct vm *vm)
{
	char text[sizeof(vm->problem)];

	if (!vm->run.stopped && run_failed(vm->run.end)) {
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

	if (life_now() - vm->started < l->limits.quick)
		vm->quick++;
	else
		vm->quick = 0;
	if (vm->quick > QUICK_MAX) {
		vm->run.end = RUN_RESETS;
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
	uint32_t i;

	evtimer_del(vm->timer);
	life_medium_changed(vm, ECANCELED);
	run_clear(&vm->run);
	fd_close(&vm->run.seed_image);
	for (i = 0; i < VM_NICS_MAX; i++)
		netproc_forget(l->net, vm, i);
	vm->run.oom = l->groups != NULL && cgroup_end(l->groups, &vm->conf);
	if (!vm->run.ready && !vm->run.again) {
		finish_failed(l, vm);
		return;
	}
	if (vm->run.ready && vm->run.end == RUN_RESET && !vm->run.stopped &&
	    vm->conf.bootdev == VM_BOOT_ANY && !l->ending && restart(l, vm))
		return;
	finish_ended(l, vm);
}

/* Invariant 1. May free the VM. */
void
life_check_gone(struct vm *vm)
{
	struct child *ch;
	bool alive = false;
	unsigned i;

	if (vm->run.vm.pid != 0 || vm->run.vm.chan != NULL)
		return;
	if (vm->state != VM_ENDING) {
		life_set_state(vm, VM_ENDING);
		life_arm(vm, vm->life->limits.kill);
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
		life_expect_exit(vm);
	else
		life_kill_because(vm, EIO, "%s: %s", name, text);
}

void
life_device_gone(struct child *ch)
{
	struct vm *vm = ch->vm;
	char text[96], name[32];

	if (ch->pid != 0 || ch->chan != NULL)
		return;
	/* Its work is done. */
	if (ch->kind == CHILD_SEED && vm->run.seeded && vm->state != VM_ENDING)
		return;
	child_name(ch, name, sizeof(name));
	child_status(ch, text, sizeof(text));
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
			life_medium_changed(vm, EIO);
		if (ch->kind == CHILD_NIC)
			netproc_forget(vm->life->net, vm, ch->index);
		return;
	case VM_ENDING:
		life_check_gone(vm);
		return;
	case VM_STOPPED:
	case VM_WAITING:
		break;
	}
}

void
life_child_gone(struct child *ch, int status)
{
	ch->pid = 0;
	ch->status = status;
	if (ch->kind == CHILD_VM)
		life_check_gone(ch->vm);
	else
		life_device_gone(ch);
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
			if (ch->pid != pid || ch->pidfd != -1)
				continue;
			life_child_gone(ch, status);
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
	if (!vm->run.forced && life_now() < vm->patience &&
	    vm->run.vm.chan != NULL &&
	    chan_send(vm->run.vm.chan, VM_SHUTDOWN, 0, -1, NULL) == 0) {
		life_arm_stopping(vm);
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
		life_kill_because(vm, ETIMEDOUT, "not ready within %d s",
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
	life_set_state(vm, VM_STOPPING);
	life_arm(vm, vm->life->limits.term);
	child_kill(&vm->run.vm, SIGTERM);
	return 0;
}

static int
press_button(struct vm *vm)
{
	if (vm->run.vm.chan == NULL ||
	    chan_send(vm->run.vm.chan, VM_SHUTDOWN, 0, -1, NULL) != 0)
		return force(vm);
	life_set_state(vm, VM_STOPPING);
	vm->patience = life_now() + vm->life->limits.ack;
	life_arm_stopping(vm);
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
		life_kill_because(vm, ECANCELED, "stopped on request");
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
		} else if ((vm->conf.flags & (VM_F_SAVE | VM_F_ADHOC)) ==
			VM_F_SAVE &&
		    vm->state == VM_RUNNING && suspend_begin(vm) == 0) {
			log_info("%s: its state is saved", vm->conf.name);
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
