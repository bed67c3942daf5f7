/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_CHIPSET_H
#define LINUX_CHIPSET_H

/*
 * The interrupt controllers and the timer of a PC in the driver: chipset.c,
 * their state as user space sees it in chipstate.c.
 *
 * Guard (q): chipset->lock, a raw spinlock, IRQs off; any context takes it.
 */
#include <linux/hrtimer.h>
#include <linux/spinlock.h>
#include "../chip/i8254.h"
#include "../chip/i8259.h"
#include "../chip/ioapic.h"
#include "routing.h"

struct vcpu;

struct chipset {
	raw_spinlock_t lock;
	struct vm *vm; /* (c) */
	struct i8259 pic; /* (q) */
	struct ioapic ioapic; /* (q) */
	struct i8254 pit; /* (q) */
	u8 pic_by[16], ioapic_by[IOAPIC_PINS]; /* (q) bits of line_source */
	int sent; /* (q) CPUs that took the last message, or -1 */
	bool fresh; /* (q) and whether it was news to one */
	struct route pit_route; /* (q) of GSI 0 */
	bool missed; /* (q) a tick met one that waits */
	bool reinject; /* (q) missed ticks are owed */
	bool speaker; /* (m), set before vm->pit: port 0x61 is here, too */
	u32 pit_flags; /* (q) KVM_PIT_FLAGS_* */
	u64 armed; /* (q) what the timer is set to, or DEV_NEVER */
	struct hrtimer timer; /* (q) */
};

struct chipset *chipset_new(struct vm *);
void chipset_free(struct chipset *);
/* Calls of /dev/vmm's VMs that are the chips'; others: -ENOTTY. */
long chipset_ioctl(struct vm *, unsigned cmd, void __user *arg);

/* Any context.  As KVM_IRQ_LINE_STATUS says it: how many took it, 0: it was
 * pending, negative: it is masked. */
int chipset_line(
    struct chipset *, const struct route *, enum line_source, bool level);
void chipset_reroute(struct vm *, const struct route *gsi0);

static inline bool
chipset_any(const struct vm *vm)
{
	return READ_ONCE(vm->chips) || READ_ONCE(vm->pit);
}

/* The vCPU's thread. */
bool chipset_asks(const struct vcpu *); /* the 8259 has one for this vCPU */
int chipset_ack(struct vm *); /* its vector; -1: another took it */
void chipset_eoi(struct vm *, u8 vector);
bool chipset_has_port(struct vm *, u16 port);
/* True when a chip took the access. */
bool chipset_port(struct vm *, u16 port, void *data, unsigned len, bool write);
bool
chipset_mmio(struct vm *, struct gpa, void *data, unsigned len, bool write);

/* For chipstate.c, which holds the lock, and leaves by the second. */
void chipset_lock(struct chipset *, unsigned long *flags);
void chipset_unlock(struct chipset *, unsigned long flags);

/* chipstate.c */
long chipstate_ioctl(struct vm *, unsigned cmd, void __user *arg);

#endif
