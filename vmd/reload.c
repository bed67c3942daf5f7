/* SPDX-License-Identifier: ISC */
/* From vm.conf, and files beside it, to the registry; the staggered start. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>

#include "changes.h"
#include "events.h"
#include "log.h"
#include "parent.h"
#include "suspend.h"

struct report {
	struct fail *why; /* the first error, may be NULL */
	bool to_log; /* else standard error */
	const struct changes *tell; /* who hears warnings as well, or NULL */
	unsigned told;
};

#define TOLD_MAX 100 /* warnings; the log has all */

static void
on_report(void *arg, const char *file, unsigned line, const char *text)
{
	struct report *r = arg;
	struct fail f;

	if (line == 0)
		fail_set(&f, EINVAL, "%s: %s", file, text);
	else
		fail_set(&f, EINVAL, "%s:%u: %s", file, line, text);
	if (r->to_log)
		log_warnx("%s", f.text);
	else
		fprintf(stderr, "%s%s\n", line == 0 ? "vmd: " : "", f.text);
	if (r->why != NULL && r->why->code == 0)
		*r->why = f;
}

static void
on_warn(void *arg, const char *file, unsigned line, const char *text)
{
	struct report *r = arg;
	struct fail f;

	fail_set(&f, 0, "%s:%u: %s", file, line, text);
	log_warnx("%s", f.text);
	if (r->tell != NULL && r->told++ < TOLD_MAX)
		r->tell->say(r->tell->arg, f.text);
}

static struct conf *
load(const struct options *o, struct report *r)
{
	const struct conf_opts co = {
		.file = o->file,
		.optional = !o->file_given,
		.check_paths = o->check,
		.macros = &o->macros,
		.report = on_report,
		.arg = r,
	};

	return conf_load(&co);
}

/* One that runs: what it is to be once it ended. */
static void
change_later(struct vm *vm, const struct vmconf *conf)
{
	if ((vm->conf.flags & VM_F_ADHOC) == 0 && vmreg_change(vm, conf) != 0)
		log_warnx("%s: not changed: out of memory", vm->conf.name);
}

/* VMs that do not run are forgotten; the new list fills the gaps. */
static void
drop_vms(struct parent *p)
{
	struct vm *vm, *next;

	for (vm = TAILQ_FIRST(&p->reg.vms); vm != NULL; vm = next) {
		next = TAILQ_NEXT(vm, entry);
		if (!vm_active(vm))
			vmreg_remove(&p->reg, vm);
		else
			vm->removed = conf_find(p->conf, vm->conf.name) == NULL;
	}
}

static void
add_vms(struct parent *p, bool change)
{
	const struct conf_vm *cv;
	struct vm *vm;
	int error;

	TAILQ_FOREACH(cv, &p->conf->vms, entry)
	{
		vm = vmreg_by_name(&p->reg, cv->conf.name);
		if (vm != NULL) {
			if (change || vm->removed)
				change_later(vm, &cv->conf);
			continue;
		}
		error = vmreg_add(&p->reg, &cv->conf, &vm);
		if (error != 0)
			log_warnx("%s: %s", cv->conf.name, strerror(-error));
		else if (!(cv->conf.flags & VM_F_DISABLED) ||
		    (p->base == NULL && /* vmd starts */
			suspend_there(&p->life, cv->conf.name))) {
			vm->state = VM_WAITING;
			events_state(p, vm);
		}
	}
}

static void
set_conf(struct parent *p, struct conf *conf)
{
	conf_free(p->conf);
	p->conf = conf;
	netproc_configure(&p->net, conf);
}

/* more: what is there stays as it is. */
static void
apply(struct parent *p, struct conf *conf, bool more)
{
	const char *device = p->opts->device;
	int error;

	set_conf(p, conf);
	snprintf(p->life.hypervisor, sizeof(p->life.hypervisor), "%s",
	    device != NULL ? device : conf->hypervisor);
	if (!more)
		drop_vms(p);
	add_vms(p, !more);
	keep_ids(&p->keep);
	if (p->listener.fd == -1)
		return;
	error = listen_owner(&p->listener, conf->sock_uid, conf->sock_gid);
	if (error != 0)
		log_warnx("%s: %s", p->listener.path, strerror(-error));
}

int
reload_first(struct parent *p)
{
	struct report r = { NULL, false, NULL, 0 };
	struct conf *conf = load(p->opts, &r);

	if (conf == NULL)
		return -EINVAL;
	apply(p, conf, false);
	return 0;
}

static void
to_log(void *arg, const char *line)
{
	log_info("%s", line);
}

/* conf NULL: it was in error, and *why may say how. */
static int
take_over(struct parent *p, struct conf *conf, const char *file, bool more,
    const struct changes *tell, struct fail *why)
{
	static const struct changes logged = { to_log, NULL };

	if (conf == NULL) {
		log_warnx("%s: has errors, not loaded", file);
		if (why->code == 0)
			fail_set(why, ENOMEM, "out of memory");
		return -why->code;
	}
	changes_report(&logged, p->conf, conf, &p->reg);
	if (tell != NULL)
		changes_report(tell, p->conf, conf, &p->reg);
	apply(p, conf, more);
	remoteproc_configure(p);
	log_info("%s: loaded", file);
	reload_boot(p);
	return 0;
}

int
reload_again(struct parent *p, const struct changes *tell, struct fail *why)
{
	struct report r = { why, true, NULL, 0 };

	why->code = 0;
	return take_over(p, load(p->opts, &r), p->opts->file, false, tell, why);
}

int
reload_more(struct parent *p, const char *path, const struct changes *tell,
    struct fail *why)
{
	struct report r = { why, true, tell, 0 };
	const struct conf_opts co = {
		.file = path,
		.onto = p->conf,
		.macros = &p->opts->macros,
		.report = on_report,
		.warn = on_warn,
		.arg = &r,
	};

	why->code = 0;
	return take_over(p, conf_load(&co), path, true, tell, why);
}

/* What new has that old has not: one VM, and no switch. */
static const struct vmconf *
single(const struct conf *old, const struct conf *new, const char *path,
    struct fail *why)
{
	const struct vmconf *found = NULL;
	const struct conf_switch *sw;
	const struct conf_vm *vm;
	unsigned n = 0;

	TAILQ_FOREACH(sw, &new->switches, entry)
	{
		if (conf_switch(old, sw->name) != NULL)
			continue;
		fail_set(
		    why, EINVAL, "%s: declares switch \"%s\"", path, sw->name);
		return NULL;
	}
	TAILQ_FOREACH(vm, &new->vms, entry)
	{
		if (conf_find(old, vm->conf.name) == NULL) {
			found = &vm->conf;
			n++;
		}
	}
	if (n == 1)
		return found;
	/* A warning may have said why there is none. */
	if (n > 0 || why->code == 0)
		fail_set(why, EINVAL, "%s: declares %u vms, not one", path, n);
	return NULL;
}

int
reload_single(
    struct parent *p, const char *path, struct vmconf *out, struct fail *why)
{
	struct report r = { why, true, NULL, 0 };
	const struct conf_opts co = {
		.file = path,
		.onto = p->conf,
		.macros = &p->opts->macros,
		.report = on_report,
		.arg = &r,
	};
	const struct vmconf *found;
	struct conf *conf;

	why->code = 0;
	if ((conf = conf_load(&co)) == NULL) {
		if (why->code == 0)
			fail_set(why, ENOMEM, "out of memory");
		return -why->code;
	}
	if ((found = single(p->conf, conf, path, why)) != NULL)
		*out = *found;
	conf_free(conf);
	return found != NULL ? 0 : -why->code;
}

static void
end_vms(struct parent *p)
{
	struct vm *vm, *next;
	struct fail why;

	for (vm = TAILQ_FIRST(&p->reg.vms); vm != NULL; vm = next) {
		next = TAILQ_NEXT(vm, entry);
		if (!vm_active(vm)) {
			vmreg_remove(&p->reg, vm);
			continue;
		}
		vm->removed = true;
		if (life_stop(&p->life, vm, true, &why) != 0)
			log_warnx("%s: %s", vm->conf.name, why.text);
	}
	vmreg_renumber(&p->reg);
}

int
reload_reset(struct parent *p, uint32_t what)
{
	struct conf *conf = conf_copy(p->conf);

	if (conf == NULL)
		return -ENOMEM;
	if ((what & CTL_RESET_VMS) != 0)
		conf_drop_vms(conf);
	if ((what & CTL_RESET_SWITCHES) != 0)
		conf_drop_switches(conf);
	set_conf(p, conf);
	log_info("reset:%s%s", (what & CTL_RESET_VMS) != 0 ? " vms" : "",
	    (what & CTL_RESET_SWITCHES) != 0 ? " switches" : "");
	if ((what & CTL_RESET_VMS) != 0)
		end_vms(p);
	return 0;
}

static unsigned
parallel(const struct parent *p)
{
	long n = p->conf->parallel;

	if (n == 0)
		n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : (unsigned)n;
}

static struct vm *
first_waiting(const struct parent *p)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &p->reg.vms, entry)
	{
		if (vm->state == VM_WAITING)
			return vm;
	}
	return NULL;
}

static void
boot_some(struct parent *p)
{
	struct timeval tv = { p->conf->delay, 0 };
	unsigned left = parallel(p);
	struct fail why;
	struct vm *vm;

	while ((vm = first_waiting(p)) != NULL && left > 0) {
		left--;
		if (life_start(&p->life, vm, NULL, &why) != 0) {
			log_warnx(
			    "%s: not started: %s", vm->conf.name, why.text);
			life_problem(&p->life, vm, "%.120s", why.text);
		}
	}
	if (vm != NULL && evtimer_add(p->boot, &tv) == -1)
		log_warnx("staggered start: no timer");
}

static void
on_boot(int fd, short what, void *arg)
{
	boot_some(arg);
}

void
reload_boot(struct parent *p)
{
	if (p->boot == NULL &&
	    (p->boot = evtimer_new(p->base, on_boot, p)) == NULL)
		fatalx("evtimer_new failed");
	if (!evtimer_pending(p->boot, NULL))
		boot_some(p);
}
