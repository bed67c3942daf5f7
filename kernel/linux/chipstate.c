// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The chips' registers in the structures of KVM's API ("KVM_GET_IRQCHIP",
 * "KVM_GET_PIT2"): for resets and migration.
 *
 * Invariants
 *  1. What user space sets is brought into the range of the chip's registers
 *     before it is used.
 *  2. Who asserts a pin is not told: what was high is user space's afterwards.
 */
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "chipset.h"
#include "vm.h"

#define PIT_BOTH    3 /* both bytes, low first */
#define PIT_WORD1   4 /* KVM's: the high one is next */
#define CASCADE_BIT 4

static void
get_pic(const struct i8259_chip *c, struct kvm_pic_state *s)
{
	s->last_irr = c->lines;
	s->irr = c->irr;
	s->imr = c->imr;
	s->isr = c->isr;
	s->priority_add = (c->prio + 1) & 7;
	s->irq_base = c->base;
	s->read_reg_select = c->read_isr;
	s->poll = c->poll;
	s->special_mask = c->special_mask;
	s->init_state = c->icw_step ? c->icw_step - 1 : 0;
	s->auto_eoi = c->auto_eoi;
	s->rotate_on_auto_eoi = c->rotate_aeoi;
	s->special_fully_nested_mode = c->sfnm;
	s->init4 = c->want_icw4;
	s->elcr = c->elcr;
	s->elcr_mask = c->elcr_mask;
}

static void
set_pic(struct chipset *cs, unsigned n, const struct kvm_pic_state *s)
{
	struct i8259_chip *c = &cs->pic.chip[n];
	u8 inputs = n == 0 ? (u8)~CASCADE_BIT : 0xff;
	unsigned i;

	c->elcr = s->elcr & c->elcr_mask;
	c->lines = s->last_irr & inputs;
	c->irr = s->irr & inputs & (u8)(~c->elcr | c->lines);
	c->imr = s->imr;
	c->isr = s->isr;
	c->prio = (u8)(s->priority_add - 1) & 7;
	c->base = s->irq_base & 0xf8;
	c->read_isr = s->read_reg_select != 0;
	c->poll = s->poll != 0;
	c->special_mask = s->special_mask != 0;
	c->icw_step =
	    s->init_state >= 1 && s->init_state <= 3 ? s->init_state + 1 : 0;
	c->auto_eoi = s->auto_eoi != 0;
	c->rotate_aeoi = s->rotate_on_auto_eoi != 0;
	c->sfnm = n == 0 && s->special_fully_nested_mode != 0;
	c->want_icw4 = s->init4 != 0;
	/* A PC's are wired in one way. */
	c->single = false;
	c->icw3 = n == 0 ? CASCADE_BIT : 2;
	for (i = 0; i < 8; i++)
		cs->pic_by[n * 8 + i] = c->lines >> i & 1 ? 1 << LINE_USER : 0;
	i8259_restored(&cs->pic);
}

static void
get_ioapic(const struct ioapic *io, struct kvm_ioapic_state *s)
{
	unsigned pin;

	s->base_address = IOAPIC_BASE;
	s->ioregsel = io->select;
	s->id = io->id >> 24;
	s->irr = io->lines;
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		s->redirtbl[pin].bits = io->redir[pin];
}

/* A pin that is high interrupts, unless that is in service already. */
static void
set_ioapic(struct chipset *cs, const struct kvm_ioapic_state *s)
{
	struct ioapic *io = &cs->ioapic;
	unsigned pin;

	io->select = s->ioregsel & 0xff;
	io->id = io->arb = s->id << 24 & 0x0f000000;
	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		ioapic_set(io, pin, false);
		ioapic_put(io, pin, s->redirtbl[pin].bits);
		cs->ioapic_by[pin] = s->irr >> pin & 1 ? 1 << LINE_USER : 0;
		ioapic_set(io, pin, cs->ioapic_by[pin] != 0);
	}
}

static long
get_irqchip(struct vm *vm, struct kvm_irqchip *chip)
{
	struct chipset *c = vm->chipset;
	unsigned long flags;
	u32 id = chip->chip_id;

	if (id >= KVM_NR_IRQCHIPS)
		return -EINVAL;
	memset(chip, 0, sizeof(*chip));
	chip->chip_id = id;
	chipset_lock(c, &flags);
	if (id == KVM_IRQCHIP_IOAPIC)
		get_ioapic(&c->ioapic, &chip->chip.ioapic);
	else
		get_pic(&c->pic.chip[id], &chip->chip.pic);
	chipset_unlock(c, flags);
	return 0;
}

static long
set_irqchip(struct vm *vm, const struct kvm_irqchip *chip)
{
	struct chipset *c = vm->chipset;
	unsigned long flags;

	if (chip->chip_id >= KVM_NR_IRQCHIPS)
		return -EINVAL;
	chipset_lock(c, &flags);
	if (chip->chip_id == KVM_IRQCHIP_IOAPIC)
		set_ioapic(c, &chip->chip.ioapic);
	else
		set_pic(c, chip->chip_id, &chip->chip.pic);
	chipset_unlock(c, flags);
	return 0;
}

/* KVM's names for which byte is next. */
static u8
latched(const struct i8254_channel *c, u8 rw)
{
	if (c->nlatched == 0)
		return 0;
	return rw == PIT_BOTH && c->nlatched == 1 ? 2 : rw;
}

static void
get_channel(struct i8254 *p, unsigned n, struct kvm_pit_channel_state *s)
{
	const struct i8254_channel *c = &p->ch[n];
	u8 rw = c->control >> 4 & 3;

	s->count_load_time = (s64)i8254_loaded(p, n);
	s->count = c->cr ? c->cr : 0x10000;
	s->latched_count = c->latched;
	s->count_latched = latched(c, rw);
	s->status_latched = c->has_status;
	s->status = c->latched_status;
	s->read_state = c->read_high ? PIT_WORD1 : rw;
	s->write_state = c->write_high ? PIT_WORD1 : rw;
	s->write_latch = c->write_low;
	s->rw_mode = rw;
	s->mode = c->mode;
	s->bcd = c->control & 1;
	s->gate = c->gate;
}

/* The count begins anew, as it does when KVM is told. */
static void
set_channel(struct i8254 *p, unsigned n, const struct kvm_pit_channel_state *s)
{
	struct i8254_channel *c = &p->ch[n];
	u8 rw = s->rw_mode & 3, mode = s->mode & 7;
	bool idle = s->mode > 7; /* no control word was written yet */

	if (rw == 0)
		rw = PIT_BOTH;
	i8254_program(p, n,
	    (u8)(rw << 4 | (idle ? 3 : mode) << 1 | (s->bcd & 1)), s->gate != 0,
	    idle ? ~0U : s->count);
	c->latched = s->latched_count;
	if (s->count_latched)
		c->nlatched =
		    s->count_latched == PIT_BOTH && rw == PIT_BOTH ? 2 : 1;
	c->has_status = s->status_latched != 0;
	c->latched_status = s->status;
	c->read_high = rw == PIT_BOTH && s->read_state == PIT_WORD1;
	c->write_high = rw == PIT_BOTH && s->write_state == PIT_WORD1;
	c->write_low = s->write_latch;
}

static void
get_pit(struct vm *vm, struct kvm_pit_state2 *s)
{
	struct chipset *c = vm->chipset;
	unsigned long flags;
	unsigned n;

	memset(s, 0, sizeof(*s));
	chipset_lock(c, &flags);
	for (n = 0; n < ARRAY_SIZE(s->channels); n++)
		get_channel(&c->pit, n, &s->channels[n]);
	s->flags = c->pit_flags;
	chipset_unlock(c, flags);
}

static void
set_pit(struct vm *vm, const struct kvm_pit_channel_state *channels, u32 flags)
{
	struct chipset *c = vm->chipset;
	unsigned long saved;
	unsigned n;

	chipset_lock(c, &saved);
	c->pit_flags =
	    flags & (KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	for (n = 0; n < 3; n++)
		set_channel(&c->pit, n, &channels[n]);
	c->pit.port61 = c->pit.ch[2].gate ? 1 : 0;
	if (flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON)
		c->pit.port61 |= 2;
	chipset_unlock(c, saved);
}

static long
reinject(struct vm *vm, const struct kvm_reinject_control *r)
{
	unsigned long flags;

	chipset_lock(vm->chipset, &flags);
	vm->chipset->reinject = r->pit_reinject != 0;
	chipset_unlock(vm->chipset, flags);
	return 0;
}

static long
irqchip_ioctl(struct vm *vm, unsigned cmd, void __user *arg)
{
	struct kvm_irqchip *chip = memdup_user(arg, sizeof(*chip));
	long r;

	if (IS_ERR(chip))
		return PTR_ERR(chip);
	if (!vm->chips)
		r = -ENXIO;
	else if (cmd == KVM_SET_IRQCHIP)
		r = set_irqchip(vm, chip);
	else
		r = get_irqchip(vm, chip);
	if (r == 0 && cmd == KVM_GET_IRQCHIP &&
	    copy_to_user(arg, chip, sizeof(*chip)))
		r = -EFAULT;
	kfree(chip);
	return r;
}

/* The numbers of some calls do not have it. */
static size_t
pit_size(unsigned cmd)
{
	switch (cmd) {
	case KVM_GET_PIT:
	case KVM_SET_PIT:
		return sizeof(struct kvm_pit_state);
	case KVM_REINJECT_CONTROL:
		return sizeof(struct kvm_reinject_control);
	}
	return sizeof(struct kvm_pit_state2);
}

static long
pit_ioctl(struct vm *vm, unsigned cmd, void __user *arg)
{
	size_t size = pit_size(cmd);
	union {
		struct kvm_pit_state2 pit;
		struct kvm_reinject_control reinject;
	} u;

	memset(&u, 0, sizeof(u));
	if (cmd != KVM_GET_PIT && cmd != KVM_GET_PIT2 &&
	    copy_from_user(&u, arg, size))
		return -EFAULT;
	if (!smp_load_acquire(&vm->pit))
		return -ENXIO;
	switch (cmd) {
	case KVM_SET_PIT:
		set_pit(vm, u.pit.channels, 0);
		return 0;
	case KVM_SET_PIT2:
		set_pit(vm, u.pit.channels, u.pit.flags);
		return 0;
	case KVM_REINJECT_CONTROL:
		return reinject(vm, &u.reinject);
	}
	get_pit(vm, &u.pit);
	return copy_to_user(arg, &u, size) ? -EFAULT : 0;
}

long
chipstate_ioctl(struct vm *vm, unsigned cmd, void __user *arg)
{
	switch (cmd) {
	case KVM_GET_IRQCHIP:
	case KVM_SET_IRQCHIP:
		return irqchip_ioctl(vm, cmd, arg);
	case KVM_GET_PIT:
	case KVM_SET_PIT:
	case KVM_GET_PIT2:
	case KVM_SET_PIT2:
	case KVM_REINJECT_CONTROL:
		return pit_ioctl(vm, cmd, arg);
	}
	return -ENOTTY;
}
