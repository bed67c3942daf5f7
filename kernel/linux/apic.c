// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The local APICs of a VM: the host's timer and clock for core/lapic.c, and
 * the bus between them.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <asm/msr.h>
#include "calls.h"
#include "chipset.h"
#include "clock.h"
#include "pveoi.h"
#include "routing.h"
#include "vapic.h"

#define TSC_FAR (1ULL << 54)

struct sending {
	struct vm *vm;
	bool fresh; /* something is newly pending */
};

static struct lapic *
at(void *arg, unsigned i)
{
	const struct sending *s = arg;

	return &s->vm->vcpu[i]->lapic;
}

static void
kick_at(void *arg, unsigned i)
{
	struct sending *s = arg;

	s->fresh = true;
	vcpu_request(s->vm->vcpu[i], REQ_EVENT);
	vcpu_kick(s->vm->vcpu[i]);
}

static void
signal_at(void *arg, unsigned i, enum lapic_mode mode, u8 vector)
{
	struct sending *s = arg;
	struct vcpu *v = s->vm->vcpu[i];

	s->fresh = true;
	if (mode == LAPIC_NMI) {
		vcpu_request(v, REQ_NMI);
	} else if (mode == LAPIC_INIT) {
		/* A start is one only after the INIT. */
		clear_bit(REQ_SIPI, &v->requests);
		vcpu_request(v, REQ_INIT);
	} else {
		WRITE_ONCE(v->sipi_vector, vector);
		vcpu_request(v, REQ_SIPI);
	}
	vcpu_kick(v);
}

static int
send(struct vm *vm, const struct lapic_msg *m, const struct lapic *self,
    bool *fresh)
{
	struct sending s = { .vm = vm };
	int r;
	struct lapic_bus bus = { .n = smp_load_acquire(&vm->nvcpus),
		.at = at,
		.kick = kick_at,
		.signal = signal_at,
		.arg = &s };

	r = lapic_send(&bus, m, self);
	*fresh = s.fresh;
	return r;
}

static void
ipi(void *arg, const struct lapic_msg *m)
{
	struct vcpu *self = arg;
	bool fresh;

	send(self->vm, m, &self->lapic, &fresh);
}

int
apic_message(struct vm *vm, u64 addr, u32 data, bool *fresh)
{
	struct lapic_msg m = lapic_msi(addr, data);

	*fresh = false;
	if (!READ_ONCE(vm->apics))
		return -EPERM;
	return send(vm, &m, NULL, fresh);
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

	return clock_guest_tsc(v, rdtsc());
}

static u64
tsc_to_ns(void *arg, u64 tsc)
{
	struct vcpu *v = arg;
	u64 at = guest_tsc(arg);

	if (tsc <= at)
		return ktime_get_ns();
	/* Years away is never; the product must stay in range. */
	if (tsc - at > TSC_FAR)
		tsc = at + TSC_FAR;
	/* Rounded up: the guest's TSC is there when the timer fires. */
	return ktime_get_ns() +
	    mul_u64_u64_div_u64(tsc - at, 1000000, v->tsc_khz) + 1;
}

/* Of a level-triggered vector: the IOAPIC's business, here, or user space's
 * when that sends such. */
static void
eoi(void *arg, u8 vector)
{
	struct vcpu *v = arg;

	if (v->vm->chips) {
		chipset_eoi(v->vm, vector);
		return;
	}
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

static void
tpr(void *arg, bool write)
{
	vapic_accessed(arg, write);
}

static const struct lapic_ops ops = {
	.ipi = ipi,
	.eoi = eoi,
	.timer = timer,
	.now = now,
	.guest_tsc = guest_tsc,
	.tsc_to_ns = tsc_to_ns,
	.kick = kick,
	.tpr = tpr,
};

void
apic_reset(struct vcpu *v)
{
	lapic_reset(&v->lapic, true);
	v->vapic.addr.v = 0;
	pveoi_reset(v);
}

void
apic_init(struct vcpu *v)
{
	hrtimer_init(&v->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	v->timer.function = fired;
	lapic_init(&v->lapic, v->id, v->id == v->vm->bsp, &ops, v);
}

/*
 * User space may go from any mode to any other, as at a reset; the guest's
 * own steps are lapic_base_write()'s.
 */
int
apic_set_base(struct vcpu *v, u64 val)
{
	bool on = val & LAPIC_BASE_ENABLE, x2 = val & LAPIC_BASE_X2;
	struct lapic *l = &v->lapic;
	u64 off = val & ~(u64)(LAPIC_BASE_ENABLE | LAPIC_BASE_X2);

	if (val == l->base_msr)
		return 0;
	/* The page stays where firmware finds it. */
	if ((val & ~0xfffULL) != LAPIC_BASE_ADDR || (x2 && !on))
		return -EINVAL;
	if (lapic_base_write(l, val, true) == 0)
		return 0;
	if (lapic_base_write(l, off, true))
		return -EINVAL;
	if (on)
		lapic_base_write(l, off | LAPIC_BASE_ENABLE, true);
	return x2 ? lapic_base_write(l, val, true) : 0;
}

/* KVM's structure is the first KiB of the register page. */
long
apic_get(struct vcpu *v, void *buf)
{
	struct kvm_lapic_state *s = buf;

	if (!v->vm->apics)
		return -EINVAL;
	lapic_get_page(&v->lapic, (u8 *)s->regs, READ_ONCE(v->vm->id32));
	return 0;
}

long
apic_set(struct vcpu *v, void *buf)
{
	struct kvm_lapic_state *s = buf;
	long r;

	if (!v->vm->apics)
		return -EINVAL;
	r = lapic_set_page(
	    &v->lapic, (const u8 *)s->regs, READ_ONCE(v->vm->id32));
	vcpu_request(v, REQ_EVENT);
	vcpu_attend(v);
	return r;
}
