// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * A PC's 8259 pair, IOAPIC and 8254 (../chip) as devices of a VM.
 *
 * Invariants
 *  1. All chips of a VM are under one lock.  Messages and kicks go out below
 *     it; eventfds are signalled after it, as their wake-ups may come back.
 *  2. Who takes the lock leaves with chipset_unlock(): the host's timer is what
 *     the 8254 wants, and those who wait for the end of an interrupt are told.
 *  3. The 8259 is asked for its vector only when that is injected at once.
 *  4. The host's timer fires no more often than each I8254_MIN_NS.
 *  5. The 8259's request is visible before the LAPICs are looked at for who
 *     takes it; a vCPU's LINT0 before it looks at the request.
 */
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "chipset.h"
#include "vcpu.h"

#define IOAPIC_WINDOW 0x100

/* The 8259's INT: to each CPU whose LINT0 lets it through. */
static void
set_intr(void *arg, unsigned n, bool level)
{
	struct chipset *c = arg;
	unsigned i, count;
	struct vcpu *v;

	if (!level)
		return;
	smp_mb(); /* invariant 5 */
	count = smp_load_acquire(&c->vm->nvcpus);
	for (i = 0; i < count; i++) {
		v = c->vm->vcpu[i];
		if (!lapic_accepts_pic(&v->lapic))
			continue;
		vcpu_request(v, REQ_EVENT);
		vcpu_kick(v);
	}
}

static bool
message(void *arg, uint64_t addr, uint32_t data)
{
	struct chipset *c = arg;

	c->sent = apic_message(c->vm, addr, data, &c->fresh);
	return c->sent > 0;
}

/* User space has no table that is to be kept in step. */
static void
route(void *arg, unsigned pin, uint64_t addr, uint32_t data, bool masked)
{
}

static const struct ioapic_ops ioapic_ops = { .msi = message, .route = route };

static u64
now(void *arg)
{
	return ktime_get_ns();
}

static void
rearm(void *arg)
{
	/* chipset_unlock() does. */
}

static bool
source(u8 *by, enum line_source s, bool level)
{
	u8 bit = (u8)(1U << s);

	*by = level ? *by | bit : *by & (u8)~bit;
	return *by != 0;
}

static int
pic_line(struct chipset *c, unsigned irq, enum line_source s, bool level)
{
	struct i8259_chip *chip = &c->pic.chip[irq / 8];
	u8 bit = (u8)(1U << (irq % 8));
	int taken = 1;

	level = source(&c->pic_by[irq], s, level);
	if (level && ((chip->elcr & bit) || !(chip->lines & bit)))
		taken = !(chip->irr & bit);
	i8259_set(&c->pic, irq, level);
	return chip->imr & bit ? -1 : taken;
}

static int
ioapic_line(struct chipset *c, unsigned pin, enum line_source s, bool level)
{
	bool was = c->ioapic.lines & 1U << pin;
	u64 entry = c->ioapic.redir[pin];

	level = source(&c->ioapic_by[pin], s, level);
	c->sent = -1;
	c->fresh = false;
	ioapic_set(&c->ioapic, pin, level);
	if (!level)
		return 1;
	/* An edge that is none. */
	return was && c->sent < 0 && !IOAPIC_LEVEL(entry) ? 0 : c->sent;
}

static int
sum(int all, int one)
{
	if (one < 0)
		return all;
	return all < 0 ? one : all + one;
}

/* *taken: it was news to somebody. */
static int
set_pins(struct chipset *c, const struct route *r, enum line_source s,
    bool level, bool *taken)
{
	int status = -1, one;
	unsigned i;

	*taken = false;
	for (i = 0; i < ROUTE_IOAPIC; i++) {
		if (r->pin[i] == ROUTE_NO_PIN)
			continue;
		one = pic_line(c, i * 8 + r->pin[i], s, level);
		*taken |= one > 0;
		status = sum(status, one);
	}
	if (r->pin[ROUTE_IOAPIC] != ROUTE_NO_PIN) {
		one = ioapic_line(c, r->pin[ROUTE_IOAPIC], s, level);
		*taken |= c->fresh;
		status = sum(status, one);
	}
	return status;
}

/* The 8254's OUT 0, which is GSI 0, wherever that leads. */
static void
pit_line(void *arg, unsigned n, bool level)
{
	struct chipset *c = arg;
	const struct route *r = &c->pit_route;
	bool taken = false;
	int status = -1;

	if (c->pit_flags & KVM_PIT_FLAGS_HPET_LEGACY)
		level = false;
	if (r->kind == ROUTE_PINS)
		status = set_pins(c, r, LINE_PIT, level, &taken);
	else if (r->kind == ROUTE_MSI && level)
		status = apic_message(c->vm, r->addr, r->data, &taken);
	c->missed = level && status >= 0 && !taken;
}

static void
pit_missed(struct chipset *c)
{
	if (!c->reinject) {
		c->pit.owed = 0;
		c->pit.pay_at = DEV_NEVER;
	} else if (c->missed) {
		i8254_missed(&c->pit);
	}
	c->missed = false;
}

static void
pit_arm(struct chipset *c)
{
	u64 at = i8254_deadline(&c->pit);

	if (at == c->armed)
		return;
	c->armed = at;
	if (at == DEV_NEVER)
		hrtimer_try_to_cancel(&c->timer);
	else
		hrtimer_start(
		    &c->timer, ns_to_ktime(at), HRTIMER_MODE_ABS_HARD);
}

void
chipset_lock(struct chipset *c, unsigned long *flags)
{
	raw_spin_lock_irqsave(&c->lock, *flags);
}

void
chipset_unlock(struct chipset *c, unsigned long flags)
{
	u16 ended = c->pic.ended;
	unsigned irq;

	c->pic.ended = 0;
	if (READ_ONCE(c->vm->pit)) {
		pit_missed(c);
		pit_arm(c);
	}
	raw_spin_unlock_irqrestore(&c->lock, flags);
	for (irq = 0; ended >> irq; irq++) {
		if (ended >> irq & 1)
			irqfd_ended(c->vm, irq / 8, irq % 8);
	}
}

static enum hrtimer_restart
fired(struct hrtimer *t)
{
	struct chipset *c = container_of(t, struct chipset, timer);
	unsigned long flags;

	chipset_lock(c, &flags);
	c->armed = DEV_NEVER;
	i8254_run(&c->pit);
	chipset_unlock(c, flags);
	return HRTIMER_NORESTART; /* set anew there */
}

struct chipset *
chipset_new(struct vm *vm)
{
	struct chipset *c = kzalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);
	struct devenv env = { .now = now, .rearm = rearm };

	if (!c)
		return NULL;
	raw_spin_lock_init(&c->lock);
	c->vm = vm;
	c->armed = DEV_NEVER;
	c->reinject = true;
	hrtimer_init(&c->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	c->timer.function = fired;
	i8259_init(&c->pic, (struct line){ .set = set_intr, .arg = c });
	i8259_keep_edges(&c->pic);
	c->pic.chip[0].imr = c->pic.chip[1].imr = 0; /* as KVM's begins */
	ioapic_init(&c->ioapic, 0, &ioapic_ops, c);
	i8254_init(&c->pit, (struct line){ .set = pit_line, .arg = c }, env);
	return c;
}

void
chipset_free(struct chipset *c)
{
	hrtimer_cancel(&c->timer);
	kfree(c);
}

int
chipset_line(
    struct chipset *c, const struct route *r, enum line_source s, bool level)
{
	unsigned long flags;
	bool taken;
	int status;

	chipset_lock(c, &flags);
	status = set_pins(c, r, s, level, &taken);
	chipset_unlock(c, flags);
	return status;
}

void
chipset_reroute(struct vm *vm, const struct route *gsi0)
{
	unsigned long flags;

	chipset_lock(vm->chipset, &flags);
	vm->chipset->pit_route = *gsi0;
	chipset_unlock(vm->chipset, flags);
}

bool
chipset_asks(const struct vcpu *v)
{
	if (!v->vm->chips || !lapic_accepts_pic(&v->lapic))
		return false;
	smp_mb(); /* invariant 5 */
	return READ_ONCE(v->vm->chipset->pic.out);
}

int
chipset_ack(struct vm *vm)
{
	struct chipset *c = vm->chipset;
	unsigned long flags;
	int vector = -1;

	chipset_lock(c, &flags);
	if (i8259_pending(&c->pic))
		vector = i8259_ack(&c->pic);
	chipset_unlock(c, flags);
	return vector;
}

/* Those who wait for it lower the line first, so that a level which they held
 * does not interrupt once more. */
void
chipset_eoi(struct vm *vm, u8 vector)
{
	struct chipset *c = vm->chipset;
	unsigned long flags;
	unsigned pin;
	u32 pins;

	chipset_lock(c, &flags);
	pins = ioapic_ends(&c->ioapic, vector);
	chipset_unlock(c, flags);
	if (pins == 0)
		return;
	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		if (pins >> pin & 1)
			irqfd_ended(vm, ROUTE_IOAPIC, pin);
	}
	chipset_lock(c, &flags);
	ioapic_eoi(&c->ioapic, vector);
	chipset_unlock(c, flags);
}

static bool
is_pic(u16 port)
{
	return (port & 0xff7e) == 0x20 || (port & ~1) == 0x4d0;
}

static bool
is_pit(u16 port)
{
	return (port & ~3) == 0x40;
}

bool
chipset_has_port(struct vm *vm, u16 port)
{
	if (vm->chips && is_pic(port))
		return true;
	return smp_load_acquire(&vm->pit) &&
	    (is_pit(port) || (port == 0x61 && vm->chipset->speaker));
}

/* All of them are 8 bits wide: a wider access of the 8259 is none, one of the
 * 8254 is its first byte's, as KVM has it. */
bool
chipset_port(struct vm *vm, u16 port, void *data, unsigned len, bool write)
{
	struct chipset *c = vm->chipset;
	bool pic = is_pic(port);
	unsigned long flags;
	u8 val = 0;

	if (!chipset_has_port(vm, port) ||
	    !chipset_has_port(vm, (u16)(port + len - 1)) ||
	    is_pic((u16)(port + len - 1)) != pic)
		return false;
	if (write)
		memcpy(&val, data, sizeof(val));
	if (!pic || len == 1) {
		chipset_lock(c, &flags);
		if (pic && write)
			i8259_write(&c->pic, port, val);
		else if (pic)
			val = i8259_read(&c->pic, port);
		else if (write)
			i8254_write(&c->pit, port, val);
		else
			val = i8254_read(&c->pit, port);
		chipset_unlock(c, flags);
	}
	if (!write) {
		memset(data, 0, len);
		memcpy(data, &val, sizeof(val));
	}
	return true;
}

bool
chipset_mmio(
    struct vm *vm, struct gpa gpa, void *data, unsigned len, bool write)
{
	struct chipset *c = vm->chipset;
	u64 off = gpa.v - IOAPIC_BASE, val = 0;
	unsigned long flags;

	if (!vm->chips || off >= IOAPIC_WINDOW || len > IOAPIC_WINDOW - off)
		return false;
	if (write && len <= sizeof(val))
		memcpy(&val, data, len);
	chipset_lock(c, &flags);
	if (write && len <= sizeof(val))
		ioapic_write(&c->ioapic, off, len, val);
	else if (!write)
		val = ioapic_read(&c->ioapic, off, min(len, 8U));
	chipset_unlock(c, flags);
	if (!write) {
		memset(data, 0, len);
		memcpy(data, &val, min_t(unsigned, len, sizeof(val)));
	}
	return true;
}

static long
create_irqchip(struct vm *vm)
{
	long r = 0;

	mutex_lock(&vm->lock);
	if (vm->apics) {
		r = -EEXIST;
	} else if (vm->nvcpus) {
		r = -EINVAL;
	} else {
		r = routing_default(vm);
	}
	if (r == 0) {
		WRITE_ONCE(vm->chips, true);
		smp_store_release(&vm->apics, true); /* after chips */
	}
	mutex_unlock(&vm->lock);
	return r;
}

static long
create_pit(struct vm *vm, u32 flags)
{
	long r = 0;

	mutex_lock(&vm->lock);
	if (vm->pit) {
		r = -EEXIST;
	} else {
		vm->chipset->speaker = (flags & KVM_PIT_SPEAKER_DUMMY) != 0;
		smp_store_release(&vm->pit, true); /* after speaker */
	}
	mutex_unlock(&vm->lock);
	return r;
}

long
chipset_ioctl(struct vm *vm, unsigned cmd, void __user *arg)
{
	struct kvm_pit_config config;

	switch (cmd) {
	case KVM_CREATE_IRQCHIP:
		return create_irqchip(vm);
	case KVM_CREATE_PIT:
		return create_pit(vm, KVM_PIT_SPEAKER_DUMMY);
	case KVM_CREATE_PIT2:
		if (copy_from_user(&config, arg, sizeof(config)))
			return -EFAULT;
		return create_pit(vm, config.flags);
	default:
		return chipstate_ioctl(vm, cmd, arg);
	}
}
