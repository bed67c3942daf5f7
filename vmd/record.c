/* SPDX-License-Identifier: ISC */
/* Notes for a later parent: see record.h. */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "imsg.h"
#include "msg.h"
#include "netmsg.h"
#include "record.h"
#include "vmconf.h"

static int
get_bool(struct ibuf *b, bool *v)
{
	uint32_t n;

	if (ibuf_get_n32(b, &n) == -1 || n > 1)
		return -EBADMSG;
	*v = n == 1;
	return 0;
}

int
record_put_daemon(struct ibuf *b, const struct record_daemon *d)
{
	if (ibuf_add_n32(b, d->version) == -1 ||
	    ibuf_add_n32(b, d->have_prefix6) == -1 ||
	    ibuf_add(b, d->prefix6, sizeof(d->prefix6)) == -1 ||
	    ibuf_add_n32(b, (uint64_t)d->keeper) == -1)
		return -errno;
	return 0;
}

int
record_get_daemon(struct ibuf *b, struct record_daemon *d)
{
	uint32_t keeper;

	if (ibuf_get_n32(b, &d->version) == -1)
		return -EBADMSG;
	if (d->version != MSG_VERSION)
		return -EPROTO;
	if (get_bool(b, &d->have_prefix6) != 0 ||
	    ibuf_get(b, d->prefix6, sizeof(d->prefix6)) == -1 ||
	    ibuf_get_n32(b, &keeper) == -1 || ibuf_size(b) != 0 ||
	    keeper > INT_MAX)
		return -EBADMSG;
	d->keeper = (pid_t)keeper;
	return 0;
}

int
record_put_id(struct ibuf *b, const struct vm *vm)
{
	int error = ctl_put_str(b, vm->conf.name);

	if (error != 0)
		return error;
	if (ibuf_add_n32(b, vm->conf.uid) == -1 ||
	    ibuf_add_n32(b, vm->state != VM_STOPPED) == -1)
		return -errno;
	return 0;
}

int
record_get_id(struct ibuf *b, struct record_id *id)
{
	if (ctl_get_str(b, id->name, sizeof(id->name)) != 0 ||
	    !vmconf_name_ok(id->name) || ibuf_get_n32(b, &id->uid) == -1 ||
	    get_bool(b, &id->up) != 0 || ibuf_size(b) != 0)
		return -EBADMSG;
	return 0;
}

static int
put_numbers(struct ibuf *b, const struct vm *vm)
{
	if (ibuf_add_n32(b, vm->state != VM_RUNNING) == -1 ||
	    ibuf_add_n32(b, vm->run.stopped) == -1 ||
	    ibuf_add_n32(b, vm->run.forced) == -1 ||
	    ibuf_add_n32(b, vm->unplugged) == -1 ||
	    ibuf_add_n32(b, vm->restarts) == -1 ||
	    ibuf_add_n32(b, vm->quick) == -1 ||
	    ibuf_add_n32(b, vm->starter) == -1 ||
	    ibuf_add_n64(b, (uint64_t)vm->started) == -1 ||
	    ibuf_add_n64(b, vm->medium.bytes) == -1 ||
	    ibuf_add_n64(b, vm->keep) == -1)
		return -errno;
	return 0;
}

static int
put_nic(struct ibuf *b, const struct run_nic *n)
{
	if (ibuf_add_n32(b, n->key) == -1 || ibuf_add_n32(b, n->ready) == -1 ||
	    ibuf_add_n32(b, n->locked) == -1)
		return -errno;
	return n->key == 0 ? 0 : netmsg_put_tap(b, &n->tap);
}

static int
put_ttys(struct ibuf *b, const struct vm *vm)
{
	unsigned i;
	int error = 0;

	for (i = 0; i < VM_TTYS && error == 0; i++)
		error = ctl_put_str(b, vm->tty[i].name);
	return error;
}

static int
put_end(struct ibuf *b, const struct vm_run *run)
{
	if (ibuf_add_n32(b, run->end) == -1 ||
	    ibuf_add_n32(b, (uint32_t)run->fail.code) == -1)
		return -errno;
	return ctl_put_str(b, run->fail.text);
}

int
record_put_vm(struct ibuf *b, const struct vm *vm)
{
	const struct child *ch;
	unsigned i;
	int error;

	if ((error = vmconf_put(b, &vm->conf)) != 0 ||
	    (error = put_numbers(b, vm)) != 0 ||
	    (error = put_ttys(b, vm)) != 0 ||
	    (error = ctl_put_str(b, vm->problem)) != 0 ||
	    (error = put_end(b, &vm->run)) != 0)
		return error;
	for (i = 0; i < RUN_CHILDREN; i++) {
		ch = run_child((struct vm_run *)&vm->run, i);
		if (ibuf_add_n32(b, (uint32_t)ch->pid) == -1)
			return -errno;
	}
	for (i = 0; i < VM_NICS_MAX && error == 0; i++)
		error = put_nic(b, &vm->run.net[i]);
	return error;
}

static int
get_numbers(struct ibuf *b, struct record_vm *r)
{
	uint64_t started;

	if (get_bool(b, &r->stopping) != 0 || get_bool(b, &r->stopped) != 0 ||
	    get_bool(b, &r->forced) != 0 ||
	    ibuf_get_n32(b, &r->unplugged) == -1 ||
	    ibuf_get_n32(b, &r->restarts) == -1 ||
	    ibuf_get_n32(b, &r->quick) == -1 ||
	    ibuf_get_n32(b, &r->starter) == -1 ||
	    ibuf_get_n64(b, &started) == -1 ||
	    ibuf_get_n64(b, &r->medium) == -1 ||
	    ibuf_get_n64(b, &r->keep) == -1 || started > INT64_MAX ||
	    r->unplugged >> VM_NICS_MAX != 0 || r->keep > r->conf.memory)
		return -EBADMSG;
	r->started = (int64_t)started;
	return 0;
}

static int
get_pid(struct ibuf *b, pid_t *pid)
{
	uint32_t n;

	if (ibuf_get_n32(b, &n) == -1 || n > INT_MAX)
		return -EBADMSG;
	*pid = (pid_t)n;
	return 0;
}

static int
get_nic(struct ibuf *b, struct run_nic *n)
{
	if (ibuf_get_n32(b, &n->key) == -1 || get_bool(b, &n->ready) != 0 ||
	    get_bool(b, &n->locked) != 0)
		return -EBADMSG;
	return n->key == 0 ? 0 : netmsg_get_tap(b, &n->tap);
}

static int
get_ttys(struct ibuf *b, struct record_vm *r)
{
	unsigned i;

	for (i = 0; i < VM_TTYS; i++)
		if (ctl_get_str(b, r->tty[i], sizeof(r->tty[i])) != 0)
			return -EBADMSG;
	return 0;
}

static int
get_end(struct ibuf *b, struct record_vm *r)
{
	uint32_t end, code;

	if (ibuf_get_n32(b, &end) == -1 || end > RUN_RESETS ||
	    ibuf_get_n32(b, &code) == -1 || code > INT_MAX ||
	    ctl_get_str(b, r->fail.text, sizeof(r->fail.text)) != 0)
		return -EBADMSG;
	r->end = (enum run_end)end;
	r->fail.code = (int)code;
	return 0;
}

int
record_get_vm(struct ibuf *b, struct record_vm *r)
{
	unsigned i;

	memset(r, 0, sizeof(*r));
	if (vmconf_get(b, &r->conf) != 0 || get_numbers(b, r) != 0 ||
	    get_ttys(b, r) != 0 ||
	    ctl_get_str(b, r->problem, sizeof(r->problem)) != 0 ||
	    get_end(b, r) != 0)
		return -EBADMSG;
	for (i = 0; i < RUN_CHILDREN; i++)
		if (get_pid(b, &r->pid[i]) != 0)
			return -EBADMSG;
	for (i = 0; i < VM_NICS_MAX; i++)
		if (get_nic(b, &r->net[i]) != 0)
			return -EBADMSG;
	return ibuf_size(b) != 0 || r->pid[0] == 0 ? -EBADMSG : 0;
}

void
record_apply(struct vm *vm, const struct record_vm *r)
{
	unsigned i;

	vm->conf = r->conf;
	vm->state = VM_RUNNING;
	vm->run.stopped = r->stopped;
	vm->run.end = r->end;
	vm->run.fail = r->fail;
	vm->unplugged = r->unplugged;
	vm->restarts = r->restarts;
	vm->quick = r->quick;
	vm->starter = r->starter;
	vm->started = r->started;
	vm->medium.bytes = r->medium;
	vm->keep = r->keep;
	for (i = 0; i < VM_TTYS; i++)
		memcpy(vm->tty[i].name, r->tty[i], sizeof(r->tty[i]));
	memcpy(vm->problem, r->problem, sizeof(vm->problem));
	for (i = 0; i < RUN_CHILDREN; i++)
		run_child(&vm->run, i)->pid = r->pid[i];
	for (i = 0; i < VM_NICS_MAX; i++) {
		vm->run.net[i].key = r->net[i].key;
		vm->run.net[i].ready = r->net[i].ready;
		vm->run.net[i].locked = r->net[i].locked;
		vm->run.net[i].tap = r->net[i].tap;
	}
}
