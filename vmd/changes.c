/* SPDX-License-Identifier: ISC */
/*
 * What a reload changes, for whoever asked for it and for the log.
 *
 * Two configurations of a VM are the same when they are on the wire: that
 * has every field once, and no padding.  Both come from the parser, so what
 * the registry chooses (addresses of interfaces) does not count.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "chan.h"
#include "changes.h"
#include "imsg.h"

static void __attribute__((format(printf, 2, 3)))
say(const struct changes *c, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	c->say(c->arg, line);
}

/* Without memory they count as different: said too much, not too little. */
static bool
same_vm(const struct vmconf *a, const struct vmconf *b)
{
	struct ibuf *x = chan_body(), *y = chan_body();
	bool same;

	same = vmconf_put(x, a) == 0 && vmconf_put(y, b) == 0 &&
	    ibuf_size(x) == ibuf_size(y) &&
	    memcmp(ibuf_data(x), ibuf_data(y), ibuf_size(x)) == 0;
	ibuf_free(x);
	ibuf_free(y);
	return same;
}

static bool
same_switch(const struct conf_switch *a, const struct conf_switch *b)
{
	return a->create == b->create && a->nic.flags == b->nic.flags &&
	    a->nic.rdomain == b->nic.rdomain &&
	    strcmp(a->nic.ifname, b->nic.ifname) == 0 &&
	    strcmp(a->nic.group, b->nic.group) == 0;
}

static void
report_vm(const struct changes *c, const struct conf *old,
    const struct vmconf *vc, const struct vm *vm)
{
	const struct vmconf *was = conf_find(old, vc->name);

	if (vm == NULL)
		say(c, "vm %s: added", vc->name);
	else if ((vm->conf.flags & VM_F_ADHOC) != 0)
		say(c, "vm %s: not added, another one of that name runs",
		    vc->name);
	else if (vm->removed)
		say(c, "vm %s: added, takes effect at its next start",
		    vc->name);
	else if (was == NULL || !same_vm(was, vc))
		say(c, "vm %s: changed%s", vc->name,
		    vm_active(vm) ? ", takes effect at its next start" : "");
}

static void
report_switches(
    const struct changes *c, const struct conf *old, const struct conf *new)
{
	const struct conf_switch *sw, *was;

	TAILQ_FOREACH(sw, &new->switches, entry)
	{
		if ((was = conf_switch(old, sw->name)) == NULL)
			say(c, "switch %s: added", sw->name);
		else if (!same_switch(was, sw))
			say(c, "switch %s: changed, for VMs that start",
			    sw->name);
	}
	TAILQ_FOREACH(sw, &old->switches, entry)
	{
		if (conf_switch(new, sw->name) == NULL)
			say(c, "switch %s: removed", sw->name);
	}
}

void
changes_report(const struct changes *c, const struct conf *old,
    const struct conf *new, const struct vmreg *reg)
{
	const struct conf_vm *cv;
	const struct vm *vm;

	report_switches(c, old, new);
	TAILQ_FOREACH(cv, &new->vms, entry)
	{
		report_vm(c, old, &cv->conf, vmreg_by_name(reg, cv->conf.name));
	}
	TAILQ_FOREACH(vm, &reg->vms, entry)
	{
		if ((vm->conf.flags & VM_F_ADHOC) != 0 || vm->removed ||
		    conf_find(new, vm->conf.name) != NULL)
			continue;
		say(c, "vm %s: removed%s", vm->conf.name,
		    vm_active(vm) ? ", runs until it is stopped" : "");
	}
}
