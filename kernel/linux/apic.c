// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The local APICs of a VM: the host's timer and clock for core/lapic.c, and
 * messages between them (APM vol. 2 "Interprocessor Interrupts (IPI)",
 * "Message Signalled Interrupts").
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <asm/msr.h>
#include <asm/tsc.h>
#include "routing.h"
#include "vcpu.h"

#define TSC_FAR	     (1ULL << 54)
#define ICR_LOGICAL  (1U << 11)
#define ICR_ASSERT   (1U << 14)
#define ICR_LEVEL    (1U << 15)
#define ICR_SHORT(i) (((i) >> 18) & 3)
#define MODE(i)	     (((i) >> 8) & 7)
enum { FIXED, LOWEST, SMI, NMI = 4, INIT, STARTUP };

static void
deliver(struct vcpu *v, u32 mode, u8 vector, bool level)
{
	switch (mode) {
	case FIXED:
	case LOWEST:
		if (lapic_enabled(&v->lapic))
			lapic_post(&v->lapic, vector, level);
		vcpu_request(v, REQ_EVENT);
		break;
	case NMI:
		vcpu_request(v, REQ_NMI);
		break;
	case INIT:
		vcpu_request(v, REQ_INIT);
		break;
	case STARTUP:
		WRITE_ONCE(v->sipi_vector, vector);
		vcpu_request(v, REQ_SIPI);
		break;
	default:
		return;
	}
	vcpu_kick(v);
}

/* To all that dest addresses, or to the one with the lowest priority. */
static int
send(struct vm *vm, u32 dest, bool logical, bool wide, u32 mode, u8 vector,
    bool level)
{
	struct vcpu *v, *best = NULL;
	unsigned i, n = smp_load_acquire(&vm->nvcpus);
	int sent = 0;

	for (i = 0; i < n; i++) {
		v = vm->vcpu[i];
		if (!lapic_match(&v->lapic, dest, logical, wide))
			continue;
		if (mode != LOWEST) {
			deliver(v, mode, vector, level);
			sent++;
		} else if (lapic_enabled(&v->lapic) &&
		    (!best ||
			lapic_priority(&v->lapic) <
			    lapic_priority(&best->lapic))) {
			best = v;
		}
	}
	if (best) {
		deliver(best, FIXED, vector, level);
		sent++;
	}
	return sent;
}

static void
ipi(void *arg, u32 icr, u32 dest, bool wide)
{
	struct vcpu *self = arg, *v;
	u32 mode = MODE(icr), how = ICR_SHORT(icr);
	unsigned i, n = smp_load_acquire(&self->vm->nvcpus);

	/* INIT level de-assert: nothing on CPUs since the Pentium 4. */
	if (mode == INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
		return;
	if (how == 0) {
		send(self->vm, dest, icr & ICR_LOGICAL, wide, mode, (u8)icr,
		    false);
		return;
	}
	for (i = 0; i < n; i++) {
		v = self->vm->vcpu[i];
		if ((v == self && how == 3) || (v != self && how == 1))
			continue;
		deliver(v, mode, (u8)icr, false);
	}
}

int
apic_message(struct vm *vm, u64 addr, u32 data)
{
	u32 dest = (addr >> 12) & 0xff;

	if (!READ_ONCE(vm->split))
		return -EPERM;
	return send(
	    vm, dest, addr & 4, false, MODE(data), (u8)data, data & (1U << 15));
}

static void
timer(void *arg, u64 deadline)
{
	struct vcpu *v = arg;

	hrtimer_cancel(&v->timer);
	clear_bit(REQ_TIMER, &v->requests);
	if (deadline != 0)
		hrtimer_start(
		    &v->timer, ns_to_ktime(deadline), HRTIMER_MODE_ABS_HARD);
}

static enum hrtimer_restart
fired(struct hrtimer *t)
{
	struct vcpu *v = container_of(t, struct vcpu, timer);

	vcpu_request(v, REQ_TIMER);
	vcpu_kick(v);
	return HRTIMER_NORESTART;
}

static u64
now(void *arg)
{
	return ktime_get_ns();
}

static u64
guest_tsc(void *arg)
{
	struct vcpu *v = arg;

	return rdtsc() + v->hv->tsc_offset;
}

static u64
tsc_to_ns(void *arg, u64 tsc)
{
	u64 at = guest_tsc(arg);

	if (tsc <= at)
		return ktime_get_ns();
	/* Years away is never; the product must stay in range. */
	if (tsc - at > TSC_FAR)
		tsc = at + TSC_FAR;
	return ktime_get_ns() + mul_u64_u64_div_u64(tsc - at, 1000000, tsc_khz);
}

/* The EOI of a level-triggered vector is user space's business only when its
 * IOAPIC sends such. */
static void
eoi(void *arg, u8 vector)
{
	struct vcpu *v = arg;

	if (!routing_wants_eoi(v->vm, vector))
		return;
	v->eoi_vector = vector;
	v->eoi_pending = true;
}

static void
kick(void *arg)
{
	struct vcpu *v = arg;

	vcpu_request(v, REQ_EVENT);
	vcpu_kick(v);
}

static const struct lapic_ops ops = {
	.ipi = ipi,
	.eoi = eoi,
	.timer = timer,
	.now = now,
	.guest_tsc = guest_tsc,
	.tsc_to_ns = tsc_to_ns,
	.kick = kick,
};

void
apic_init(struct vcpu *v)
{
	hrtimer_init(&v->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	v->timer.function = fired;
	lapic_init(&v->lapic, v->id, v->id == 0, &ops, v);
}
