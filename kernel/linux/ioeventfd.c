// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Guest writes that signal an eventfd (KVM_IOEVENTFD): one table for ports and
 * one for memory.
 *
 * Invariants
 *  1. A table never changes; it is replaced under slots_lock, and the old one
 *     freed when no reader (vm->srcu) is left: after a deassignment has
 *     returned nothing is signalled any more.
 *  2. Ascending by address.  Of two with the same address at most one takes a
 *     given write.
 */
#include <linux/eventfd.h>
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>
#include "compat.h"
#include "ioeventfd.h"

#define EVENTS_MAX 1000
#define FLAGS                                                    \
	(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | \
	    KVM_IOEVENTFD_FLAG_DEASSIGN)

struct ioevent {
	u64 addr, match;
	struct eventfd_ctx *ctx;
	u8 len; /* 0: any */
	bool any; /* any value */
};

struct ioevents {
	unsigned n;
	struct ioevent e[];
};

static bool
collide(const struct ioevent *a, const struct ioevent *b)
{
	if (a->addr != b->addr)
		return false;
	if (a->len == 0 || b->len == 0)
		return true;
	return a->len == b->len && (a->any || b->any || a->match == b->match);
}

/* The first at or above addr. */
static unsigned
find(const struct ioevents *all, u64 addr)
{
	unsigned lo = 0, hi = all->n, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (all->e[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool
takes(const struct ioevent *e, u64 val, unsigned len)
{
	return e->len == 0 || (e->len == len && (e->any || e->match == val));
}

/* Of other lengths no descriptor wants a value. */
static u64
value(const void *data, unsigned len)
{
	u64 val = 0;

	switch (len) {
	case 1:
		memcpy(&val, data, 1);
		break;
	case 2:
		memcpy(&val, data, 2);
		break;
	case 4:
		memcpy(&val, data, 4);
		break;
	case 8:
		memcpy(&val, data, 8);
		break;
	}
	return val;
}

bool
ioeventfd_write(struct vm *vm, enum ioeventfd_space space, u64 addr,
    const void *data, unsigned len)
{
	const struct ioevents *all;
	bool taken = false;
	unsigned i;
	u64 val;
	int idx;

	if (!ioeventfd_any(vm, space))
		return false;
	val = value(data, len);
	idx = srcu_read_lock(&vm->srcu);
	all = srcu_dereference(vm->events[space], &vm->srcu);
	for (i = all ? find(all, addr) : 0;
	     all && i < all->n && all->e[i].addr == addr; i++) {
		if (takes(&all->e[i], val, len)) {
			compat_eventfd_signal(all->e[i].ctx);
			taken = true;
			break;
		}
	}
	srcu_read_unlock(&vm->srcu, idx);
	return taken;
}

bool
ioeventfd_at(struct vm *vm, enum ioeventfd_space space, u64 addr)
{
	const struct ioevents *all;
	bool is = false;
	unsigned i;
	int idx;

	idx = srcu_read_lock(&vm->srcu);
	all = srcu_dereference(vm->events[space], &vm->srcu);
	if (all) {
		i = find(all, addr);
		is = i < all->n && all->e[i].addr == addr;
	}
	srcu_read_unlock(&vm->srcu, idx);
	return is;
}

static struct ioevents *
current_table(struct vm *vm, enum ioeventfd_space space)
{
	return rcu_dereference_protected(
	    vm->events[space], lockdep_is_held(&vm->slots_lock));
}

static void
publish(struct vm *vm, enum ioeventfd_space space, struct ioevents *new)
{
	struct ioevents *old = current_table(vm, space);

	rcu_assign_pointer(vm->events[space], new);
	synchronize_srcu_expedited(&vm->srcu);
	kfree(old);
}

/* Takes over the reference in e when it succeeds. */
static int
add(struct vm *vm, enum ioeventfd_space space, const struct ioevent *e)
{
	struct ioevents *old = current_table(vm, space), *new;
	unsigned i, n = old ? old->n : 0, at = old ? find(old, e->addr) : 0;

	for (i = at; i < n && old->e[i].addr == e->addr; i++) {
		if (collide(&old->e[i], e))
			return -EEXIST;
	}
	if (n >= EVENTS_MAX)
		return -ENOSPC;
	new = kzalloc(struct_size(new, e, n + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	new->n = n + 1;
	if (n > 0) {
		memcpy(new->e, old->e, at * sizeof(*e));
		memcpy(new->e + at + 1, old->e + at, (n - at) * sizeof(*e));
	}
	new->e[at] = *e;
	publish(vm, space, new);
	return 0;
}

static int
drop(struct vm *vm, enum ioeventfd_space space, const struct ioevent *e)
{
	struct ioevents *old = current_table(vm, space), *new = NULL;
	struct eventfd_ctx *ctx;
	unsigned i;

	for (i = 0; old && i < old->n; i++) {
		const struct ioevent *o = &old->e[i];

		if (o->ctx == e->ctx && o->addr == e->addr &&
		    o->len == e->len && o->any == e->any &&
		    (o->any || o->match == e->match))
			break;
	}
	if (!old || i == old->n)
		return -ENOENT;
	if (old->n > 1) {
		new = kzalloc(
		    struct_size(new, e, old->n - 1), GFP_KERNEL_ACCOUNT);
		if (!new)
			return -ENOMEM;
		new->n = old->n - 1;
		memcpy(new->e, old->e, i * sizeof(*e));
		memcpy(new->e + i, old->e + i + 1, (new->n - i) * sizeof(*e));
	}
	ctx = old->e[i].ctx;
	publish(vm, space, new);
	eventfd_ctx_put(ctx);
	return 0;
}

static int
check(const struct kvm_ioeventfd *a)
{
	switch (a->len) {
	case 0:
		if (a->flags & KVM_IOEVENTFD_FLAG_DATAMATCH)
			return -EINVAL;
		break;
	case 1:
	case 2:
	case 4:
	case 8:
		break;
	default:
		return -EINVAL;
	}
	if (a->addr + a->len < a->addr || (a->flags & ~(u32)FLAGS))
		return -EINVAL;
	return 0;
}

long
ioeventfd_ioctl(struct vm *vm, void __user *arg)
{
	enum ioeventfd_space space;
	struct kvm_ioeventfd a;
	struct ioevent e;
	bool gone;
	long r;

	if (copy_from_user(&a, arg, sizeof(a)))
		return -EFAULT;
	r = check(&a);
	if (r)
		return r;
	gone = (a.flags & KVM_IOEVENTFD_FLAG_DEASSIGN) != 0;
	space = a.flags & KVM_IOEVENTFD_FLAG_PIO ? IOEVENT_PORT : IOEVENT_MMIO;
	e = (struct ioevent){
		.addr = a.addr,
		.len = (u8)a.len,
		.any = !(a.flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
		.match = a.datamatch,
		.ctx = eventfd_ctx_fdget(a.fd),
	};
	if (IS_ERR(e.ctx))
		return PTR_ERR(e.ctx);
	mutex_lock(&vm->slots_lock);
	r = gone ? drop(vm, space, &e) : add(vm, space, &e);
	mutex_unlock(&vm->slots_lock);
	if (r || gone)
		eventfd_ctx_put(e.ctx);
	return r;
}

/* Nobody reads the tables any more. */
void
ioeventfd_free_all(struct vm *vm)
{
	struct ioevents *all;
	unsigned space, i;

	for (space = 0; space < ARRAY_SIZE(vm->events); space++) {
		all = rcu_dereference_protected(vm->events[space], true);
		for (i = 0; all && i < all->n; i++)
			eventfd_ctx_put(all->e[i].ctx);
		kfree(all);
	}
}
