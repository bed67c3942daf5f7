// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Interrupts that an eventfd raises (KVM_IRQFD).  The message is sent by the
 * wake-up itself, in whatever context the eventfd is signalled.
 *
 * Invariants
 *  1. vm->irqfds changes under irq_lock only.  Who wakes us takes no lock: an
 *     eventfd that is closed marks its entry and leaves the rest to a work
 *     item of the VM.
 *  2. The route is a copy, guarded (w) by the lock of the eventfd's wait queue,
 *     under which each wake-up runs: when a route has been changed, nothing
 *     goes along the old one any more.
 *  3. Resampling: an entry's pins stay high from the wake-up to the end of
 *     their interrupt, when its second eventfd is signalled.  `ends' is another
 *     copy of its route, for that, guarded (e) by ends_lock, under which no
 *     wake-up runs but that of the second eventfd.
 *  4. An entry is freed after it left the wait queue, which waits for a
 *     wake-up under way.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/kvm.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "chipset.h"
#include "compat.h"
#include "vcpu.h"

struct irqfd {
	struct vm *vm; /* (c) */
	u32 gsi; /* (c) */
	struct eventfd_ctx *ctx; /* (c) */
	wait_queue_head_t *head; /* (c) the eventfd's */
	wait_queue_entry_t wait;
	struct route route; /* (w) */
	struct eventfd_ctx *resample; /* (c) or NULL */
	struct route ends; /* (e) */
	struct list_head at_ends; /* (e) in vm->ends */
	bool closed; /* (a) nobody can signal it any more */
	struct list_head at; /* (i) in vm->irqfds */
};

/* A line that is only pulsed, or one that goes down at the end. */
static void
signalled(struct irqfd *f)
{
	if (f->resample) {
		routing_send(f->vm, &f->route, LINE_RESAMPLE, true);
		return;
	}
	routing_send(f->vm, &f->route, LINE_USER, true);
	if (f->route.kind == ROUTE_PINS)
		routing_send(f->vm, &f->route, LINE_USER, false);
}

static int
wake(wait_queue_entry_t *wait, unsigned mode, int sync, void *key)
{
	struct irqfd *f = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);
	u64 count;
	int taken = 0;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(f->ctx, &count);
		signalled(f);
		taken = 1;
	}
	if (events & EPOLLHUP) {
		WRITE_ONCE(f->closed, true);
		schedule_work(&f->vm->reap);
	}
	return taken;
}

struct enqueue {
	poll_table table;
	struct irqfd *f;
};

static void
enqueue(struct file *file, wait_queue_head_t *head, poll_table *table)
{
	struct irqfd *f = container_of(table, struct enqueue, table)->f;

	f->head = head;
	add_wait_queue_priority(head, &f->wait);
}

void
irqfd_ended(struct vm *vm, unsigned chip, unsigned pin)
{
	struct irqfd *f;

	if (list_empty_careful(&vm->ends))
		return;
	spin_lock(&vm->ends_lock);
	list_for_each_entry(f, &vm->ends, at_ends)
	{
		if (f->ends.kind != ROUTE_PINS || f->ends.pin[chip] != pin)
			continue;
		chipset_line(vm->chipset, &f->ends, LINE_RESAMPLE, false);
		compat_eventfd_signal(f->resample);
	}
	spin_unlock(&vm->ends_lock);
}

/* Nobody will lower the line any more but one of the same number. */
static void
end_resampling(struct irqfd *f)
{
	struct irqfd *other;
	bool shared = false;

	spin_lock(&f->vm->ends_lock);
	list_del(&f->at_ends);
	list_for_each_entry(other, &f->vm->ends, at_ends) shared |=
	    other->gsi == f->gsi;
	spin_unlock(&f->vm->ends_lock);
	if (!shared)
		routing_send(f->vm, &f->ends, LINE_RESAMPLE, false);
	eventfd_ctx_put(f->resample);
}

static void
free_irqfd(struct irqfd *f)
{
	u64 count;

	if (f->head)
		eventfd_ctx_remove_wait_queue(f->ctx, &f->wait, &count);
	if (f->resample)
		end_resampling(f);
	eventfd_ctx_put(f->ctx);
	kfree(f);
}

static void
reap(struct work_struct *work)
{
	struct vm *vm = container_of(work, struct vm, reap);
	struct irqfd *f, *next;

	mutex_lock(&vm->irq_lock);
	list_for_each_entry_safe(f, next, &vm->irqfds, at)
	{
		if (READ_ONCE(f->closed)) {
			list_del(&f->at);
			free_irqfd(f);
		}
	}
	mutex_unlock(&vm->irq_lock);
}

void
irqfd_init(struct vm *vm)
{
	INIT_LIST_HEAD(&vm->irqfds);
	INIT_LIST_HEAD(&vm->ends);
	spin_lock_init(&vm->ends_lock);
	INIT_WORK(&vm->reap, reap);
}

static void
set_route(struct irqfd *f)
{
	struct route r = routing_of(f->vm, f->gsi);

	spin_lock_irq(&f->head->lock);
	f->route = r;
	spin_unlock_irq(&f->head->lock);
	spin_lock(&f->vm->ends_lock);
	f->ends = r;
	spin_unlock(&f->vm->ends_lock);
}

void
irqfd_reroute(struct vm *vm)
{
	struct irqfd *f;

	list_for_each_entry(f, &vm->irqfds, at) set_route(f);
}

/* What was signalled before we listened. */
static void
take_pending(struct irqfd *f)
{
	spin_lock_irq(&f->head->lock);
	wake(&f->wait, 0, 0, poll_to_key(EPOLLIN));
	spin_unlock_irq(&f->head->lock);
}

static bool
in_use(const struct vm *vm, const struct eventfd_ctx *ctx)
{
	const struct irqfd *f;

	list_for_each_entry(f, &vm->irqfds, at)
	{
		if (f->ctx == ctx)
			return true;
	}
	return false;
}

/* Takes over both when it succeeds.  Caller holds irq_lock. */
static int
listen(struct vm *vm, struct file *file, struct eventfd_ctx *ctx,
    struct eventfd_ctx *resample, u32 gsi)
{
	struct enqueue q;
	struct irqfd *f;

	if (in_use(vm, ctx))
		return -EBUSY;
	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	f->vm = vm;
	f->gsi = gsi;
	f->ctx = ctx;
	f->resample = resample;
	f->route = f->ends = routing_of(vm, gsi);
	init_waitqueue_func_entry(&f->wait, wake);
	init_poll_funcptr(&q.table, enqueue);
	q.f = f;
	list_add_tail(&f->at, &vm->irqfds);
	if (resample) {
		spin_lock(&vm->ends_lock);
		list_add_tail(&f->at_ends, &vm->ends);
		spin_unlock(&vm->ends_lock);
	}
	if (vfs_poll(file, &q.table) & EPOLLIN)
		take_pending(f);
	return 0;
}

static int
assign(struct vm *vm, const struct kvm_irqfd *arg)
{
	struct eventfd_ctx *ctx, *resample = NULL;
	struct file *file;
	int err;

	file = fget((int)arg->fd);
	if (!file)
		return -EBADF;
	ctx = eventfd_ctx_fileget(file);
	if (IS_ERR(ctx)) {
		err = PTR_ERR(ctx);
		goto put_file;
	}
	if (arg->flags & KVM_IRQFD_FLAG_RESAMPLE)
		resample = eventfd_ctx_fdget((int)arg->resamplefd);
	if (IS_ERR(resample)) {
		err = PTR_ERR(resample);
		goto put_ctx;
	}
	mutex_lock(&vm->irq_lock);
	err = listen(vm, file, ctx, resample, arg->gsi);
	mutex_unlock(&vm->irq_lock);
	if (err && resample)
		eventfd_ctx_put(resample);
put_ctx:
	if (err)
		eventfd_ctx_put(ctx);
put_file:
	fput(file);
	return err;
}

static int
deassign(struct vm *vm, const struct kvm_irqfd *arg)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fdget((int)arg->fd);
	struct irqfd *f, *next;

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	mutex_lock(&vm->irq_lock);
	list_for_each_entry_safe(f, next, &vm->irqfds, at)
	{
		if (f->ctx == ctx && f->gsi == arg->gsi) {
			list_del(&f->at);
			free_irqfd(f);
		}
	}
	mutex_unlock(&vm->irq_lock);
	eventfd_ctx_put(ctx);
	return 0;
}

/* Resampling is the IOAPIC's, where that is here. */
long
irqfd_ioctl(struct vm *vm, void __user *arg)
{
	struct kvm_irqfd i;

	if (copy_from_user(&i, arg, sizeof(i)))
		return -EFAULT;
	if (i.flags & ~(u32)(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (i.flags & KVM_IRQFD_FLAG_DEASSIGN)
		return deassign(vm, &i);
	if (!smp_load_acquire(&vm->apics) ||
	    (!vm->chips && (i.flags & KVM_IRQFD_FLAG_RESAMPLE)))
		return -EINVAL;
	return assign(vm, &i);
}

void
irqfd_free_all(struct vm *vm)
{
	struct irqfd *f, *next;

	mutex_lock(&vm->irq_lock);
	list_for_each_entry_safe(f, next, &vm->irqfds, at)
	{
		list_del(&f->at);
		free_irqfd(f);
	}
	mutex_unlock(&vm->irq_lock);
	cancel_work_sync(&vm->reap);
}
