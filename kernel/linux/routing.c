// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The GSI table and interrupts by number: KVM_SET_GSI_ROUTING, KVM_IRQ_LINE,
 * KVM_SIGNAL_MSI as "The Definitive KVM API Documentation" has them for split
 * interrupt controllers.  The IOAPIC is user space's, so each entry is a
 * message; the first vm->pins of them are those of its pins.
 *
 * Invariants
 *  1. The table changes as a whole and under irq_lock, irqfds with it: a
 *     message along the old one is sent before KVM_SET_GSI_ROUTING returns or
 *     never.
 *  2. eoi_vectors holds the vectors of the pins that are level-triggered: their
 *     EOI goes to user space (KVM_EXIT_IOAPIC_EOI).
 */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "routing.h"
#include "vcpu.h"

static int
take(struct route *r, const struct kvm_irq_routing_entry *e)
{
	if (e->type != KVM_IRQ_ROUTING_MSI ||
	    (e->flags & ~(u32)KVM_MSI_VALID_DEVID) || r->used)
		return -EINVAL;
	*r = (struct route){
		.used = true,
		.addr = e->u.msi.address_lo | (u64)e->u.msi.address_hi << 32,
		.data = e->u.msi.data,
	};
	return 0;
}

/* The table of n entries; *len is one more than its highest number. */
static struct route *
build(const struct kvm_irq_routing_entry *e, u32 n, u32 *len)
{
	struct route *all;
	u32 i, max = 0;
	int err;

	for (i = 0; i < n; i++) {
		if (e[i].gsi >= ROUTING_MAX)
			return ERR_PTR(-EINVAL);
		max = max(max, e[i].gsi + 1);
	}
	all = kvcalloc(max_t(u32, max, 1), sizeof(*all), GFP_KERNEL_ACCOUNT);
	if (!all)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < n; i++) {
		err = take(&all[e[i].gsi], &e[i]);
		if (err) {
			kvfree(all);
			return ERR_PTR(err);
		}
	}
	*len = max;
	return all;
}

static void
note_levels(struct vm *vm)
{
	DECLARE_BITMAP(level, 256);
	unsigned i;

	bitmap_zero(level, 256);
	for (i = 0; i < min(vm->pins, vm->nroutes); i++) {
		if (vm->routes[i].used && (vm->routes[i].data & MSI_LEVEL))
			__set_bit((u8)vm->routes[i].data, level);
	}
	for (i = 0; i < ARRAY_SIZE(level); i++)
		WRITE_ONCE(vm->eoi_vectors[i], level[i]);
}

static long
replace(struct vm *vm, const struct kvm_irq_routing_entry *e, u32 n)
{
	struct route *new, *old;
	u32 len;

	new = build(e, n, &len);
	if (IS_ERR(new))
		return PTR_ERR(new);
	mutex_lock(&vm->irq_lock);
	old = vm->routes;
	vm->routes = new;
	vm->nroutes = len;
	note_levels(vm);
	irqfd_reroute(vm);
	mutex_unlock(&vm->irq_lock);
	kvfree(old);
	return 0;
}

long
routing_set(struct vm *vm, void __user *arg)
{
	struct kvm_irq_routing_entry *e = NULL;
	struct kvm_irq_routing head;
	long r;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (!smp_load_acquire(&vm->split) || head.nr > ROUTING_MAX ||
	    head.flags)
		return -EINVAL;
	if (head.nr != 0) {
		e = vmemdup_user(
		    arg + sizeof(head), array_size(head.nr, sizeof(*e)));
		if (IS_ERR(e))
			return PTR_ERR(e);
	}
	r = replace(vm, e, head.nr);
	kvfree(e);
	return r;
}

struct route
routing_of(const struct vm *vm, u32 gsi)
{
	lockdep_assert_held(&vm->irq_lock);
	return gsi < vm->nroutes ? vm->routes[gsi] : (struct route){ 0 };
}

/* A message has no level: only raising one sends it. */
long
routing_line(struct vm *vm, void __user *arg, bool status)
{
	struct kvm_irq_level line;
	struct route r;
	int sent = -1;

	if (copy_from_user(&line, arg, sizeof(line)))
		return -EFAULT;
	if (!READ_ONCE(vm->split))
		return -ENXIO;
	mutex_lock(&vm->irq_lock);
	r = routing_of(vm, line.irq);
	mutex_unlock(&vm->irq_lock);
	if (r.used && line.level)
		sent = apic_message(vm, r.addr, r.data);
	line.status = sent;
	if (status && copy_to_user(arg, &line, sizeof(line)))
		return -EFAULT;
	return 0;
}

long
routing_signal_msi(struct vm *vm, void __user *arg)
{
	struct kvm_msi m;

	if (copy_from_user(&m, arg, sizeof(m)))
		return -EFAULT;
	if (!READ_ONCE(vm->split) || (m.flags & ~(u32)KVM_MSI_VALID_DEVID))
		return -EINVAL;
	return apic_message(vm, m.address_lo | (u64)m.address_hi << 32, m.data);
}

bool
routing_wants_eoi(const struct vm *vm, u8 vector)
{
	return test_bit(vector, vm->eoi_vectors);
}

void
routing_free(struct vm *vm)
{
	kvfree(vm->routes);
}
