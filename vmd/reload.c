/* SPDX-License-Identifier: ISC */
/* From vm.conf to the registry, and the staggered start. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>

#include "changes.h"
#include "log.h"
#include "parent.h"

struct report {
	struct fail *why; /* the first error, may be NULL */
	bool to_log; /* else standard error */
};

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
replace_vms(struct parent *p)
{
	const struct conf_vm *cv;
	struct vm *vm, *next;
	int error;

	for (vm = TAILQ_FIRST(&p->reg.vms); vm != NULL; vm = next) {
		next = TAILQ_NEXT(vm, entry);
		if (!vm_active(vm))
			vmreg_remove(&p->reg, vm);
		else
			vm->removed = conf_find(p->conf, vm->conf.name) == NULL;
	}
	TAILQ_FOREACH(cv, &p->conf->vms, entry)
	{
		vm = vmreg_by_name(&p->reg, cv->conf.name);
		if (vm != NULL) {
			change_later(vm, &cv->conf);
			continue;
		}
		error = vmreg_add(&p->reg, &cv->conf, &vm);
		if (error != 0)
			log_warnx("%s: %s", cv->conf.name, strerror(-error));
		else if (!(cv->conf.flags & VM_F_DISABLED))
			vm->state = VM_WAITING;
	}
}

static void
apply(struct parent *p, struct conf *conf)
{
	const char *device = p->opts->device;
	int error;

	conf_free(p->conf);
	p->conf = conf;
	netproc_configure(&p->net, conf);
	snprintf(p->life.hypervisor, sizeof(p->life.hypervisor), "%s",
	    device != NULL ? device : conf->hypervisor);
	replace_vms(p);
	if (p->listener.fd == -1)
		return;
	error = listen_owner(&p->listener, conf->sock_uid, conf->sock_gid);
	if (error != 0)
		log_warnx("%s: %s", p->listener.path, strerror(-error));
}

int
reload_first(struct parent *p)
{
	struct report r = { NULL, false };
	struct conf *conf = load(p->opts, &r);

	if (conf == NULL)
		return -EINVAL;
	apply(p, conf);
	return 0;
}

static void
to_log(void *arg, const char *line)
{
	log_info("%s", line);
}

int
reload_again(struct parent *p, const struct changes *tell, struct fail *why)
{
	static const struct changes logged = { to_log, NULL };
	struct report r = { why, true };
	struct conf *conf;

	why->code = 0;
	conf = load(p->opts, &r);
	if (conf == NULL) {
		log_warnx("%s: has errors, not loaded", p->opts->file);
		if (why->code == 0)
			fail_set(why, ENOMEM, "out of memory");
		return -why->code;
	}
	changes_report(&logged, p->conf, conf, &p->reg);
	if (tell != NULL)
		changes_report(tell, p->conf, conf, &p->reg);
	apply(p, conf);
	log_info("%s: loaded", p->opts->file);
	reload_boot(p);
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
			vm_problem(vm, "%.120s", why.text);
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
