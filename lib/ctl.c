/* SPDX-License-Identifier: ISC */
/*
 * Encoders and decoders of the control protocol's composite fields.  What is
 * read here comes from another process, possibly a hostile one: a getter
 * fills its output only when the whole field is within its limits.
 */
#include <errno.h>
#include <string.h>

#include "ctl.h"
#include "imsg.h"

int
ctl_put_str(struct ibuf *buf, const char *s)
{
	size_t n = strlen(s);

	if (n > UINT16_MAX)
		return -ENAMETOOLONG;
	if (ibuf_add_n16(buf, n) == -1 || ibuf_add(buf, s, n) == -1)
		return -errno;
	return 0;
}

int
ctl_get_str(struct ibuf *buf, char *s, size_t len)
{
	uint16_t n;

	if (ibuf_get_n16(buf, &n) == -1 || n >= len || n > ibuf_size(buf))
		return -EBADMSG;
	if (memchr(ibuf_data(buf), '\0', n) != NULL)
		return -EBADMSG;
	if (ibuf_get(buf, s, n) == -1)
		return -EBADMSG;
	s[n] = '\0';
	return 0;
}

int
ctl_target_put(struct ibuf *buf, const struct ctl_target *t)
{
	if (ibuf_add_n32(buf, t->id) == -1)
		return -errno;
	return ctl_put_str(buf, t->name);
}

int
ctl_target_get(struct ibuf *buf, struct ctl_target *out)
{
	struct ctl_target t;

	memset(&t, 0, sizeof(t));
	if (ibuf_get_n32(buf, &t.id) == -1 ||
	    ctl_get_str(buf, t.name, sizeof(t.name)) != 0)
		return -EBADMSG;
	*out = t;
	return 0;
}

static int
put_nic(struct ibuf *buf, const struct ctl_dev *d)
{
	const struct ctl_nic *n = &d->nic;

	if (ibuf_add_n32(buf, d->is_nic) == -1)
		return -errno;
	if (!d->is_nic)
		return 0;
	if (ibuf_add(buf, n->lladdr, sizeof(n->lladdr)) == -1 ||
	    ibuf_add_n32(buf, n->up) == -1 ||
	    ibuf_add_n32(buf, n->addr) == -1 ||
	    ibuf_add(buf, n->addr6, sizeof(n->addr6)) == -1)
		return -errno;
	return ctl_put_str(buf, n->ifname);
}

static int
get_nic(struct ibuf *buf, struct ctl_dev *d)
{
	struct ctl_nic *n = &d->nic;

	memset(n, 0, sizeof(*n));
	if (ibuf_get_n32(buf, &d->is_nic) == -1 || d->is_nic > 1)
		return -EBADMSG;
	if (!d->is_nic)
		return 0;
	if (ibuf_get(buf, n->lladdr, sizeof(n->lladdr)) == -1 ||
	    ibuf_get_n32(buf, &n->up) == -1 || n->up > 1 ||
	    ibuf_get_n32(buf, &n->addr) == -1 ||
	    ibuf_get(buf, n->addr6, sizeof(n->addr6)) == -1 ||
	    ctl_get_str(buf, n->ifname, sizeof(n->ifname)) != 0)
		return -EBADMSG;
	return 0;
}

static int
put_devs(struct ibuf *buf, const struct ctl_vm *vm)
{
	const struct ctl_dev *d;
	uint32_t i;
	int error;

	if (vm->ndevs > CTL_DEVS_MAX)
		return -EINVAL;
	if (ibuf_add_n32(buf, vm->ndevs) == -1)
		return -errno;
	for (i = 0; i < vm->ndevs; i++) {
		d = &vm->dev[i];
		if ((error = ctl_put_str(buf, d->name)) != 0)
			return error;
#define X(field, name)                           \
	if (ibuf_add_n64(buf, d->n.field) == -1) \
		return -errno;
		CTL_COUNTERS(X)
#undef X
		if ((error = put_nic(buf, d)) != 0)
			return error;
	}
	return 0;
}

static int
get_devs(struct ibuf *buf, struct ctl_vm *vm)
{
	struct ctl_dev *d;
	uint32_t i;

	if (ibuf_get_n32(buf, &vm->ndevs) == -1 || vm->ndevs > CTL_DEVS_MAX)
		return -EBADMSG;
	for (i = 0; i < vm->ndevs; i++) {
		d = &vm->dev[i];
		if (ctl_get_str(buf, d->name, sizeof(d->name)) != 0)
			return -EBADMSG;
#define X(field, name)                            \
	if (ibuf_get_n64(buf, &d->n.field) == -1) \
		return -EBADMSG;
		CTL_COUNTERS(X)
#undef X
		if (get_nic(buf, d) != 0)
			return -EBADMSG;
	}
	return 0;
}

int
ctl_vm_put(struct ibuf *buf, const struct ctl_vm *vm)
{
	unsigned i;
	int error;

	if (ibuf_add_n32(buf, vm->id) == -1)
		return -errno;
	if ((error = ctl_put_str(buf, vm->name)) != 0)
		return error;
	if (ibuf_add_n32(buf, vm->state) == -1 ||
	    ibuf_add_n32(buf, vm->pid) == -1 ||
	    ibuf_add_n32(buf, vm->cpus) == -1 ||
	    ibuf_add_n64(buf, vm->maxmem) == -1 ||
	    ibuf_add_n64(buf, vm->curmem) == -1 ||
	    ibuf_add_n64(buf, vm->asked) == -1 ||
	    ibuf_add_n64(buf, vm->given) == -1)
		return -errno;
	if ((error = ctl_put_str(buf, vm->tty)) != 0)
		return error;
	for (i = 0; i < CTL_MORE; i++)
		if ((error = ctl_put_str(buf, vm->more[i])) != 0)
			return error;
	if (ibuf_add_n32(buf, vm->uid) == -1 ||
	    ibuf_add_n32(buf, vm->gid) == -1 ||
	    ibuf_add_n64(buf, vm->cpu_us) == -1 ||
	    ibuf_add_n32(buf, vm->restarts) == -1)
		return -errno;
	if ((error = ctl_put_str(buf, vm->problem)) != 0)
		return error;
	return put_devs(buf, vm);
}

int
ctl_vm_get(struct ibuf *buf, struct ctl_vm *out)
{
	struct ctl_vm vm;
	unsigned i;

	memset(&vm, 0, sizeof(vm));
	if (ibuf_get_n32(buf, &vm.id) == -1 ||
	    ctl_get_str(buf, vm.name, sizeof(vm.name)) != 0 ||
	    ibuf_get_n32(buf, &vm.state) == -1 ||
	    ibuf_get_n32(buf, &vm.pid) == -1 ||
	    ibuf_get_n32(buf, &vm.cpus) == -1 ||
	    ibuf_get_n64(buf, &vm.maxmem) == -1 ||
	    ibuf_get_n64(buf, &vm.curmem) == -1 ||
	    ibuf_get_n64(buf, &vm.asked) == -1 ||
	    ibuf_get_n64(buf, &vm.given) == -1 ||
	    ctl_get_str(buf, vm.tty, sizeof(vm.tty)) != 0)
		return -EBADMSG;
	for (i = 0; i < CTL_MORE; i++)
		if (ctl_get_str(buf, vm.more[i], sizeof(vm.more[i])) != 0)
			return -EBADMSG;
	if (ibuf_get_n32(buf, &vm.uid) == -1 ||
	    ibuf_get_n32(buf, &vm.gid) == -1 ||
	    ibuf_get_n64(buf, &vm.cpu_us) == -1 ||
	    ibuf_get_n32(buf, &vm.restarts) == -1 ||
	    ctl_get_str(buf, vm.problem, sizeof(vm.problem)) != 0 ||
	    get_devs(buf, &vm) != 0)
		return -EBADMSG;
	if (vm.state > CTL_ST_PAUSED)
		return -EBADMSG;
	*out = vm;
	return 0;
}

int
ctl_event_put(struct ibuf *buf, const struct ctl_event *e)
{
	int error;

	if (ibuf_add_n64(buf, e->ms) == -1 ||
	    ibuf_add_n32(buf, e->what) == -1 ||
	    ibuf_add_n32(buf, e->outcome) == -1 ||
	    ibuf_add_n32(buf, e->id) == -1)
		return -errno;
	if ((error = ctl_put_str(buf, e->name)) != 0)
		return error;
	return ctl_put_str(buf, e->text);
}

int
ctl_event_get(struct ibuf *buf, struct ctl_event *out)
{
	struct ctl_event e;

	memset(&e, 0, sizeof(e));
	if (ibuf_get_n64(buf, &e.ms) == -1 ||
	    ibuf_get_n32(buf, &e.what) == -1 || e.what >= CTL_EV_END ||
	    ibuf_get_n32(buf, &e.outcome) == -1 || e.outcome >= CTL_OUT_END ||
	    ibuf_get_n32(buf, &e.id) == -1 ||
	    ctl_get_str(buf, e.name, sizeof(e.name)) != 0 ||
	    ctl_get_str(buf, e.text, sizeof(e.text)) != 0)
		return -EBADMSG;
	*out = e;
	return 0;
}

int
ctl_kept_put(struct ibuf *buf, const struct ctl_kept *k)
{
	int error = ctl_put_str(buf, k->tag);

	if (error != 0)
		return error;
	return ibuf_add_n64(buf, k->ms) == -1 ||
		ibuf_add_n64(buf, k->bytes) == -1
	    ? -errno
	    : 0;
}

int
ctl_kept_get(struct ibuf *buf, struct ctl_kept *out)
{
	struct ctl_kept k;

	if (ctl_get_str(buf, k.tag, sizeof(k.tag)) != 0 ||
	    ibuf_get_n64(buf, &k.ms) == -1 || ibuf_get_n64(buf, &k.bytes) == -1)
		return -EBADMSG;
	*out = k;
	return 0;
}

const char *
ctl_outcome_name(uint32_t outcome)
{
	static const char *const names[] = {
#define X(name, text) text,
		CTL_OUTCOMES(X)
#undef X
	};

	return outcome < CTL_OUT_END ? names[outcome] : "unknown";
}

const char *
ctl_event_name(uint32_t what)
{
	static const char *const names[] = {
#define X(name, text) text,
		CTL_HAPPENINGS(X)
#undef X
	};

	return what < CTL_EV_END ? names[what] : "unknown";
}
