// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The GSI table and interrupts by number: KVM_SET_GSI_ROUTING, KVM_IRQ_LINE,
 * KVM_SIGNAL_MSI as "The Definitive KVM API Documentation" has them.  Where the
 * IOAPIC is user space's each entry is a message; the first vm->pins of them are
 * those of its pins.
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
#include "chipset.h"
#include "vcpu.h"

/* A number may lead to one pin of each chip. */
static int
take_pin(struct route *r, const struct kvm_irq_routing_entry *e)
{
	u32 chip = e->u.irqchip.irqchip, pin = e->u.irqchip.pin;

	if (e->flags || r->kind == ROUTE_MSI || chip >= ROUTE_CHIPS ||
	    pin >= (chip == ROUTE_IOAPIC ? IOAPIC_PINS : 8))
		return -EINVAL;
	if (r->kind == ROUTE_NONE)
		memset(r->pin, ROUTE_NO_PIN, sizeof(r->pin));
	else if (r->pin[chip] != ROUTE_NO_PIN)
		return -EINVAL;
	r->kind = ROUTE_PINS;
	r->pin[chip] = (u8)pin;
	return 0;
}

static int
take(struct route *r, const struct kvm_irq_routing_entry *e, bool chips)
{
	if (e->type == KVM_IRQ_ROUTING_IRQCHIP && chips)
		return take_pin(r, e);
	if (e->type != KVM_IRQ_ROUTING_MSI ||
	    (e->flags & ~(u32)KVM_MSI_VALID_DEVID) || r->kind != ROUTE_NONE)
		return -EINVAL;
	*r = (struct route){
		.kind = ROUTE_MSI,
		.addr = e->u.msi.address_lo | (u64)e->u.msi.address_hi << 32,
		.data = e->u.msi.data,
	};
	return 0;
}

/* The table of n entries; *len is one more than its highest number. */
static struct route *
build(const struct kvm_irq_routing_entry *e, u32 n, bool chips, u32 *len)
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
		err = take(&all[e[i].gsi], &e[i], chips);
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
		if (vm->routes[i].kind == ROUTE_MSI &&
		    (vm->routes[i].data & MSI_LEVEL))
			__set_bit((u8)vm->routes[i].data, level);
	}
	for (i = 0; i < ARRAY_SIZE(level); i++)
		WRITE_ONCE(vm->eoi_vectors[i], level[i]);
}

static long
replace(struct vm *vm, const struct kvm_irq_routing_entry *e, u32 n, bool chips)
{
	struct route *new, *old, gsi0;
	u32 len;

	new = build(e, n, chips, &len);
	if (IS_ERR(new))
		return PTR_ERR(new);
	mutex_lock(&vm->irq_lock);
	old = vm->routes;
	vm->routes = new;
	vm->nroutes = len;
	note_levels(vm);
	gsi0 = routing_of(vm, 0);
	chipset_reroute(vm, &gsi0);
	irqfd_reroute(vm);
	mutex_unlock(&vm->irq_lock);
	kvfree(old);
	return 0;
}

/* Numbers are the IOAPIC's pins, and the first 16 the 8259s', too. */
int
routing_default(struct vm *vm)
{
	struct kvm_irq_routing_entry *e;
	u32 i, n = 0;
	long r;

	e = kcalloc(IOAPIC_PINS + 16, sizeof(*e), GFP_KERNEL);
	if (!e)
		return -ENOMEM;
	for (i = 0; i < IOAPIC_PINS + 16; i++, n++) {
		e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		e[n].gsi = i < 16 ? i : i - 16;
		e[n].u.irqchip.irqchip = i < 16 ? i / 8 : KVM_IRQCHIP_IOAPIC;
		e[n].u.irqchip.pin = i < 16 ? i % 8 : i - 16;
	}
	r = replace(vm, e, n, true);
	kfree(e);
	return (int)r;
}

long
routing_set(struct vm *vm, void __user *arg)
{
	struct kvm_irq_routing_entry *e = NULL;
	struct kvm_irq_routing head;
	long r;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (!smp_load_acquire(&vm->apics) || head.nr > ROUTING_MAX ||
	    head.flags)
		return -EINVAL;
	if (head.nr != 0) {
		e = vmemdup_user(
		    arg + sizeof(head), array_size(head.nr, sizeof(*e)));
		if (IS_ERR(e))
			return PTR_ERR(e);
	}
	r = replace(vm, e, head.nr, vm->chips);
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
int
routing_send(
    struct vm *vm, const struct route *r, enum line_source s, bool level)
{
	bool fresh;

	switch (r->kind) {
	case ROUTE_NONE:
		return -1;
	case ROUTE_MSI:
		return level ? apic_message(vm, r->addr, r->data, &fresh) : -1;
	case ROUTE_PINS:
		return chipset_line(vm->chipset, r, s, level);
	}
	return -1;
}

long
routing_line(struct vm *vm, void __user *arg, bool status)
{
	struct kvm_irq_level line;
	struct route r;

	if (copy_from_user(&line, arg, sizeof(line)))
		return -EFAULT;
	if (!READ_ONCE(vm->apics))
		return -ENXIO;
	mutex_lock(&vm->irq_lock);
	r = routing_of(vm, line.irq);
	mutex_unlock(&vm->irq_lock);
	line.status = routing_send(vm, &r, LINE_USER, line.level != 0);
	if (status && copy_to_user(arg, &line, sizeof(line)))
		return -EFAULT;
	return 0;
}

long
routing_signal_msi(struct vm *vm, void __user *arg)
{
	struct kvm_msi m;
	bool fresh;

	if (copy_from_user(&m, arg, sizeof(m)))
		return -EFAULT;
	if (!READ_ONCE(vm->apics) || (m.flags & ~(u32)KVM_MSI_VALID_DEVID))
		return -EINVAL;
	return apic_message(
	    vm, m.address_lo | (u64)m.address_hi << 32, m.data, &fresh);
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
