/* SPDX-License-Identifier: ISC */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "devstat.h"
#include "vmreg.h"

struct vmreg_id {
	SLIST_ENTRY(vmreg_id) entry;
	uint32_t id;
	uid_t uid;
	char name[VM_NAME_MAX + 1];
};

void
vmreg_init(struct vmreg *r)
{
	TAILQ_INIT(&r->vms);
	SLIST_INIT(&r->ids);
	r->n = 0;
	r->next_id = 1;
	r->renumber = false;
}

static void
forget_ids(struct vmreg *r)
{
	struct vmreg_id *id;

	while ((id = SLIST_FIRST(&r->ids)) != NULL) {
		SLIST_REMOVE_HEAD(&r->ids, entry);
		free(id);
	}
	r->next_id = 1;
	r->renumber = false;
}

void
vmreg_renumber(struct vmreg *r)
{
	if (r->n == 0)
		forget_ids(r);
	else
		r->renumber = true;
}

void
vmreg_clear(struct vmreg *r)
{
	struct vm *vm;

	while ((vm = TAILQ_FIRST(&r->vms)) != NULL)
		vmreg_remove(r, vm);
	forget_ids(r);
}

static int
new_id(struct vmreg *r, uint32_t n, const char *name, uid_t uid)
{
	struct vmreg_id *id = calloc(1, sizeof(*id));

	if (id == NULL)
		return -ENOMEM;
	id->id = n;
	id->uid = uid;
	snprintf(id->name, sizeof(id->name), "%s", name);
	SLIST_INSERT_HEAD(&r->ids, id, entry);
	if (n >= r->next_id)
		r->next_id = n + 1;
	return 0;
}

/* 0 when there is no memory. */
static uint32_t
id_for(struct vmreg *r, const char *name, uid_t uid)
{
	const struct vmreg_id *id;
	uint32_t n = r->next_id;

	SLIST_FOREACH(id, &r->ids, entry)
	{
		if (id->uid == uid && strcmp(id->name, name) == 0)
			return id->id;
	}
	return n == 0 || new_id(r, n, name, uid) != 0 ? 0 : n;
}

int
vmreg_set_id(struct vmreg *r, uint32_t n, uid_t uid, const char *name)
{
	const struct vmreg_id *id;

	if (n == 0 || n == UINT32_MAX)
		return -EINVAL;
	SLIST_FOREACH(id, &r->ids, entry)
	{
		if (id->id == n ||
		    (id->uid == uid && strcmp(id->name, name) == 0))
			return -EEXIST;
	}
	return new_id(r, n, name, uid);
}

static void
init_child(struct vm *vm, struct child *ch, enum child_kind kind, unsigned i)
{
	ch->vm = vm;
	ch->kind = kind;
	ch->index = i;
	ch->stats_fd = ch->pidfd = -1;
}

static void
init_children(struct vm *vm)
{
	unsigned i, k;

	vm->run.group = -1;
	init_child(vm, &vm->run.vm, CHILD_VM, 0);
	init_child(vm, &vm->run.cdrom, CHILD_CDROM, 0);
	init_child(vm, &vm->run.seed, CHILD_SEED, 0);
	vm->run.seed_image = -1;
	for (i = 0; i < VM_DISKS_MAX; i++)
		vm->run.image[i].n = 0;
	for (i = 0; i < VM_BLKS_MAX; i++)
		init_child(vm, &vm->run.disk[i], CHILD_DISK, i);
	for (i = 0; i < VM_NICS_MAX; i++) {
		init_child(vm, &vm->run.nic[i], CHILD_NIC, i);
		init_child(vm, &vm->run.user[i], CHILD_USER, i);
		for (k = 0; k < VIONET_PAIRS_MAX; k++)
			vm->run.net[i].queue[k] = -1;
	}
}

struct child *
run_child(struct vm_run *r, unsigned i)
{
	if (i == 0)
		return &r->vm;
	if (--i < VM_BLKS_MAX)
		return &r->disk[i];
	if ((i -= VM_BLKS_MAX) < VM_NICS_MAX)
		return &r->nic[i];
	if ((i -= VM_NICS_MAX) < VM_NICS_MAX)
		return &r->user[i];
	if (i == VM_NICS_MAX)
		return &r->cdrom;
	return i == VM_NICS_MAX + 1 ? &r->seed : NULL;
}

void
child_name(const struct child *ch, char *buf, size_t len)
{
	switch (ch->kind) {
	case CHILD_VM:
		snprintf(buf, len, "vm process");
		break;
	case CHILD_DISK:
		snprintf(buf, len, "vioblk%u", ch->index);
		break;
	case CHILD_NIC:
		snprintf(buf, len, "vionet%u", ch->index);
		break;
	case CHILD_USER:
		snprintf(buf, len, "passt%u", ch->index);
		break;
	case CHILD_CDROM:
		snprintf(buf, len, "vioscsi%u", ch->index);
		break;
	case CHILD_SEED:
		snprintf(buf, len, "seed%u", ch->index);
		break;
	}
}

/*
 * A MAC for each interface that was given none; the same as long as the VM is
 * known.  The form is OpenBSD's: fe:e1:bb:dN, N the interface's number.
 */
static void
choose_lladdrs(struct vmconf *c)
{
	uint8_t *a;
	uint32_t i;

	for (i = 0; i < c->nnics; i++) {
		if ((c->nic[i].flags & VM_NIC_LLADDR) != 0)
			continue;
		a = c->nic[i].lladdr;
		memcpy(a, "\xfe\xe1\xbb", 3);
		arc4random_buf(a + 3, 3);
		a[3] = (uint8_t)(0xd0 | (i + 1));
	}
}

int
vmreg_add(struct vmreg *r, const struct vmconf *conf, struct vm **out)
{
	struct vm *vm;
	unsigned i;

	if (vmreg_by_name(r, conf->name) != NULL)
		return -EEXIST;
	if (r->n == VMREG_MAX)
		return -ENOSPC;
	if ((vm = calloc(1, sizeof(*vm))) == NULL)
		return -ENOMEM;
	if ((vm->id = id_for(r, conf->name, conf->uid)) == 0) {
		free(vm);
		return -ENOMEM;
	}
	vm->conf = *conf;
	choose_lladdrs(&vm->conf);
	vm->state = VM_STOPPED;
	vm->starter = (uid_t)-1;
	for (i = 0; i < VM_TTYS; i++)
		tty_init(&vm->tty[i]);
	vm->stream = -1;
	medium_init(&vm->medium);
	medium_init(&vm->next);
	init_children(vm);
	TAILQ_INSERT_TAIL(&r->vms, vm, entry);
	r->n++;
	r->renumber = false;
	*out = vm;
	return 0;
}

void
vmreg_remove(struct vmreg *r, struct vm *vm)
{
	TAILQ_REMOVE(&r->vms, vm, entry);
	r->n--;
	free(vm->next_conf);
	free(vm);
	if (r->n == 0 && r->renumber)
		forget_ids(r);
}

int
vmreg_change(struct vm *vm, const struct vmconf *conf)
{
	struct vmconf *next = malloc(sizeof(*next));
	uint32_t i;

	if (next == NULL)
		return -ENOMEM;
	*next = *conf;
	choose_lladdrs(next);
	for (i = 0; i < next->nnics && i < vm->conf.nnics; i++) {
		if (((next->nic[i].flags | vm->conf.nic[i].flags) &
			VM_NIC_LLADDR) == 0)
			memcpy(next->nic[i].lladdr, vm->conf.nic[i].lladdr,
			    sizeof(next->nic[i].lladdr));
	}
	free(vm->next_conf);
	vm->next_conf = next;
	vm->removed = false;
	return 0;
}

void
vmreg_renew(struct vm *vm)
{
	if (vm->next_conf == NULL)
		return;
	vm->conf = *vm->next_conf;
	free(vm->next_conf);
	vm->next_conf = NULL;
}

struct vm *
vmreg_by_name(const struct vmreg *r, const char *name)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &r->vms, entry)
	{
		if (strcmp(vm->conf.name, name) == 0)
			return vm;
	}
	return NULL;
}

struct vm *
vmreg_find(const struct vmreg *r, const struct ctl_target *t)
{
	struct vm *vm;

	if (t->id == 0)
		return vmreg_by_name(r, t->name);
	TAILQ_FOREACH(vm, &r->vms, entry)
	{
		if (vm->id == t->id)
			return vm;
	}
	return NULL;
}

bool
vm_active(const struct vm *vm)
{
	return vm->state != VM_STOPPED && vm->state != VM_WAITING;
}

enum ctl_state
vm_ctl_state(const struct vm *vm)
{
	switch (vm->state) {
	case VM_STOPPED:
		return CTL_ST_STOPPED;
	case VM_WAITING:
		return CTL_ST_WAITING;
	case VM_STARTING:
		return CTL_ST_RUNNING;
	case VM_RUNNING:
		return vm->run.paused ? CTL_ST_PAUSED : CTL_ST_RUNNING;
	case VM_STOPPING:
		return CTL_ST_STOPPING;
	case VM_ENDING:
		break;
	}
	return CTL_ST_STOPPING;
}

/* Bytes resident, statm in proc(5): guest RAM included, guest untouched. */
static uint64_t
resident(pid_t pid)
{
	char path[64];
	uint64_t pages = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if ((f = fopen(path, "re")) == NULL)
		return 0;
	if (fscanf(f, "%*u %" SCNu64, &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* CPU time so far, microseconds; stat in proc(5). */
static uint64_t
cpu_us(pid_t pid)
{
	char path[64], line[512] = "";
	const char *p;
	uint64_t user, kernel;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if ((f = fopen(path, "re")) == NULL)
		return 0;
	p = fgets(line, sizeof(line), f);
	fclose(f);
	/* The second field is a name, and may hold anything. */
	if (p == NULL || (p = strrchr(line, ')')) == NULL ||
	    sscanf(p,
		") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64
		" %" SCNu64,
		&user, &kernel) != 2)
		return 0;
	return (user + kernel) * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* Of all its processes. */
static uint64_t
cpu_time(const struct vm *vm)
{
	const struct child *ch;
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; (ch = run_child((struct vm_run *)&vm->run, i)) != NULL; i++)
		sum += ch->pid == 0 ? 0 : cpu_us(ch->pid);
	return sum;
}

/* Of its control group; what that does not tell, of its processes. */
static void
describe_usage(
    const struct vm *vm, const struct cgroups *groups, struct ctl_vm *out)
{
	struct cgroup_usage u;

	if (vm->run.vm.pid == 0)
		return;
	cgroup_usage(groups, &vm->conf, vm->run.vm.pid, &u);
	out->curmem =
	    u.memory != CGROUP_UNKNOWN ? u.memory : resident(vm->run.vm.pid);
	out->cpu_us = u.cpu_us != CGROUP_UNKNOWN ? u.cpu_us : cpu_time(vm);
}

static_assert(VM_BLKS_MAX + VM_NICS_MAX + 1 <= CTL_DEVS_MAX, "room");

static void
describe_nic(const struct vm *vm, unsigned i, struct ctl_nic *out)
{
	const struct net_tap *tap = &vm->run.net[i].tap;

	memcpy(out->lladdr, vm->conf.nic[i].lladdr, sizeof(out->lladdr));
	snprintf(out->ifname, sizeof(out->ifname), "%s", tap->ifname);
	out->up = (vm->unplugged & 1U << i) == 0;
	if (!tap->local)
		return;
	out->addr = tap->addr.guest;
	if (tap->addr.inet6)
		memcpy(out->addr6, tap->addr.guest6, sizeof(out->addr6));
}

/* What the devices' processes counted; those that are gone, too. */
static void
describe_devices(const struct vm *vm, struct ctl_vm *out)
{
	struct child *ch;
	struct ctl_dev *d;
	unsigned i;

	for (i = 0; (ch = run_child((struct vm_run *)&vm->run, i)) != NULL;
	     i++) {
		if (ch->stats == NULL || ch->kind == CHILD_VM)
			continue;
		d = &out->dev[out->ndevs++];
		child_name(ch, d->name, sizeof(d->name));
		devstat_sum(ch->stats, &d->n);
		d->is_nic = ch->kind == CHILD_NIC;
		if (d->is_nic)
			describe_nic(vm, ch->index, &d->nic);
	}
}

void
vm_describe(
    const struct vm *vm, const struct cgroups *groups, struct ctl_vm *out)
{
	unsigned i;

	static_assert(1 + CTL_MORE == VM_TTYS, "all consoles are told of");
	memset(out, 0, sizeof(*out));
	out->id = vm->id;
	snprintf(out->name, sizeof(out->name), "%s", vm->conf.name);
	out->state = vm_ctl_state(vm);
	out->pid = (uint32_t)vm->run.vm.pid;
	out->cpus = vm->conf.cpus;
	out->maxmem = vm->conf.memory;
	out->asked = vm->keep != 0 ? vm->keep : vm->conf.memory;
	out->given = vm->run.given;
	snprintf(out->tty, sizeof(out->tty), "%s", vm->tty[0].name);
	for (i = 0; i < CTL_MORE; i++)
		snprintf(out->more[i], sizeof(out->more[i]), "%s",
		    vm->tty[1 + i].name);
	out->uid = vm->conf.uid;
	out->gid = vm->conf.gid;
	out->restarts = vm->restarts;
	snprintf(out->problem, sizeof(out->problem), "%s", vm->problem);
	describe_usage(vm, groups, out);
	describe_devices(vm, out);
}
