// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Time of the guest: its time stamp counter, and kvm-clock, a page per vCPU
 * that says how to make nanoseconds of it ("KVM-specific MSRs" of the KVM
 * documentation; APM vol. 2 "TSC Ratio MSR").
 *
 * Invariants
 *  1. guest TSC = host TSC * ratio + offset, everywhere.
 *  2. On a host whose TSCs are in step all vCPUs' pages are made of one
 *     reading of the host's clock (struct vm_clock), so that no two of them
 *     disagree; they say so with PVCLOCK_TSC_STABLE_BIT.
 *  3. A page's version is odd while it is written, and only its own vCPU's
 *     thread writes it.
 */
#include <linux/kvm.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/uaccess.h>
#include <asm/msr.h>
#include <asm/pvclock-abi.h>
#include <asm/tsc.h>
#include <uapi/asm/kvm_para.h>
#include "calls.h"
#include "clock.h"

#define RATIO_ONE     (1ULL << 32)
#define TOLERANCE_PPM 250
#define ENABLED	      1ULL
#define VALID \
	(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)

/* Host TSC lost in all suspends: added to guests' offsets at their next load. */
static u64 tsc_lost;
static unsigned resumes;

static bool
stable(void)
{
	return !check_tsc_unstable();
}

static u64
scale(u64 tsc, u64 ratio)
{
	return ratio == RATIO_ONE ? tsc : mul_u64_u64_shr(tsc, ratio, 32);
}

u64
clock_guest_tsc(const struct vcpu *v, u64 tsc)
{
	return scale(tsc, v->hv->tsc_ratio) + v->hv->tsc_offset;
}

static void
set_offset(struct vcpu *v, u64 offset)
{
	hv->tsc(v->hv, offset, v->hv->tsc_ratio);
	vcpu_request(v, REQ_CLOCK);
}

/*
 * A VMM sets each vCPU's counter in turn, to values that were the same when
 * it computed or saved them.  What is within a second of the last one set,
 * continued, means that one (as KVM has it, which VMMs rely on).
 */
void
clock_sync_tsc(struct vcpu *v, u64 val)
{
	struct vm_clock *k = &v->vm->clock;
	u64 now = ktime_get_boottime_ns(), tsc = rdtsc(), expected, off;

	spin_lock(&k->lock);
	expected = k->tsc_value +
	    mul_u64_u64_div_u64(now - k->tsc_ns, v->tsc_khz, 1000000);
	off = val > expected ? val - expected : expected - val;
	if (k->tsc_khz != v->tsc_khz ||
	    (val != 0 && off > v->tsc_khz * 1000ULL)) {
		k->tsc_khz = v->tsc_khz;
		k->tsc_ns = now;
		k->tsc_value = val;
		k->tsc_offset = val - scale(tsc, v->hv->tsc_ratio);
	}
	off = k->tsc_offset;
	spin_unlock(&k->lock);
	v->tsc_lost = READ_ONCE(tsc_lost);
	set_offset(v, off);
}

void
clock_move_tsc(struct vcpu *v, u64 by)
{
	set_offset(v, v->hv->tsc_offset + by);
}

void
clock_vm_init(struct vm *vm)
{
	struct vm_clock *k = &vm->clock;

	spin_lock_init(&k->lock);
	k->khz = tsc_khz;
	k->base_ns = -ktime_get_boottime_ns();
}

void
clock_vcpu_init(struct vcpu *v)
{
	v->tsc_khz = v->vm->clock.khz;
	hv->tsc(v->hv, 0, hv->caps->tsc_scaling
		? div_u64((u64)v->tsc_khz << 32, tsc_khz)
		: RATIO_ONE);
	clock_sync_tsc(v, 0);
}

static bool
khz_possible(u64 khz)
{
	u64 off = khz > tsc_khz ? khz - tsc_khz : tsc_khz - khz;

	if (khz > UINT_MAX || khz == 0)
		return false;
	if (hv->caps->tsc_scaling)
		return (khz << 32) / tsc_khz < hv->caps->tsc_ratio_end;
	return off * 1000000 <= (u64)tsc_khz * TOLERANCE_PPM;
}

long
clock_set_khz(struct vcpu *v, unsigned long khz)
{
	u64 ratio = RATIO_ONE, tsc, guest;

	if (khz == 0)
		khz = tsc_khz;
	if (!khz_possible(khz))
		return -EINVAL;
	if (hv->caps->tsc_scaling)
		ratio = div_u64((u64)khz << 32, tsc_khz);
	/* The counter goes on from where it is, at the new rate. */
	tsc = rdtsc();
	guest = clock_guest_tsc(v, tsc);
	v->tsc_khz = (u32)khz;
	hv->tsc(v->hv, guest - scale(tsc, ratio), ratio);
	vcpu_request(v, REQ_CLOCK);
	return 0;
}

long
clock_get_khz(struct vcpu *v, unsigned long arg)
{
	return v->tsc_khz;
}

/* The VM's clock at the host's TSC, by the one reading of invariant 2. */
static u64
vm_ns(struct vm_clock *k, u64 tsc)
{
	return k->ns + mul_u64_u64_div_u64(tsc - k->tsc, 1000000, tsc_khz);
}

/* Caller holds k->lock.  A suspend makes the reading worthless. */
static void
read_host(struct vm_clock *k)
{
	unsigned long flags;

	if (k->resumes == READ_ONCE(resumes) && k->tsc != 0)
		return;
	k->resumes = READ_ONCE(resumes);
	local_irq_save(flags);
	k->tsc = rdtsc();
	k->ns = ktime_get_boottime_ns();
	local_irq_restore(flags);
}

/* Nanoseconds since the VM began, at the host's TSC that is returned too. */
static u64
read_clock(struct vm *vm, u64 *tsc)
{
	struct vm_clock *k = &vm->clock;
	unsigned long flags;
	u64 ns;

	spin_lock(&k->lock);
	if (stable()) {
		read_host(k);
		*tsc = rdtsc();
		ns = vm_ns(k, *tsc);
	} else {
		local_irq_save(flags);
		*tsc = rdtsc();
		ns = ktime_get_boottime_ns();
		local_irq_restore(flags);
	}
	ns += k->base_ns;
	spin_unlock(&k->lock);
	return ns;
}

static int
write_guest(struct vm *vm, u64 gpa, const void *buf, unsigned len)
{
	unsigned n = min_t(u64, len, PAGE_SIZE - (gpa & (PAGE_SIZE - 1)));
	int err = mem_write(vm, (struct gpa){ gpa }, buf, n);

	if (err || n == len)
		return err;
	return mem_write(
	    vm, (struct gpa){ gpa + n }, (const u8 *)buf + n, len - n);
}

/* ns = (delta << shift) * mul >> 32, or >> -shift. */
static void
rate(u32 khz, u32 *mul, s8 *shift)
{
	u64 hz = khz * 1000ULL;

	*shift = 0;
	for (; hz > 2 * NSEC_PER_SEC; hz >>= 1)
		--*shift;
	for (; hz <= NSEC_PER_SEC; hz <<= 1)
		++*shift;
	*mul = (u32)div64_u64((u64)NSEC_PER_SEC << 32, hz);
}

static void
fill(struct vcpu *v, struct pvclock_vcpu_time_info *p)
{
	struct vm_clock *k = &v->vm->clock;
	u64 tsc;

	if (stable()) {
		spin_lock(&k->lock);
		read_host(k);
		tsc = k->tsc;
		p->system_time = k->ns + k->base_ns;
		spin_unlock(&k->lock);
		p->flags = PVCLOCK_TSC_STABLE_BIT;
	} else {
		p->system_time = read_clock(v->vm, &tsc);
	}
	p->tsc_timestamp = clock_guest_tsc(v, tsc);
	rate(v->tsc_khz, &p->tsc_to_system_mul, &p->tsc_shift);
	if (v->clock_stopped)
		p->flags |= PVCLOCK_GUEST_STOPPED;
	v->clock_stopped = false;
}

void
clock_update(struct vcpu *v)
{
	struct pvclock_vcpu_time_info p = { 0 };
	u64 at = v->clock_msr & ~ENABLED;
	u32 version;

	if (!(v->clock_msr & ENABLED))
		return;
	fill(v, &p);
	/* The number goes on over re-registrations; odd: being written. */
	v->clock_version += 2;
	p.version = v->clock_version;
	version = p.version - 1;
	if (write_guest(v->vm, at, &version, sizeof(version)))
		return;
	smp_wmb();
	write_guest(v->vm, at + sizeof(version), (u8 *)&p + sizeof(version),
	    sizeof(p) - sizeof(version));
	smp_wmb();
	write_guest(v->vm, at, &p.version, sizeof(p.version));
}

int
clock_write_system(struct vcpu *v, u64 val)
{
	v->clock_msr = val;
	vcpu_request(v, REQ_CLOCK);
	return 0;
}

/* The wall clock at the VM's time 0. */
int
clock_write_wall(struct vcpu *v, u64 val)
{
	struct pvclock_wall_clock w = { .version = 1 };
	u64 ns, tsc;

	v->wall_msr = val;
	if (!val)
		return 0;
	ns = ktime_get_real_ns() - read_clock(v->vm, &tsc);
	if (write_guest(v->vm, val, &w.version, sizeof(w.version)))
		return 0;
	smp_wmb();
	w.sec = (u32)div_u64(ns, NSEC_PER_SEC);
	w.nsec = (u32)(ns - w.sec * NSEC_PER_SEC);
	write_guest(v->vm, val + sizeof(w.version), &w.sec,
	    sizeof(w) - sizeof(w.version));
	smp_wmb();
	w.version = 2;
	write_guest(v->vm, val, &w.version, sizeof(w.version));
	return 0;
}

long
clock_stopped(struct vcpu *v, unsigned long arg)
{
	if (!(v->clock_msr & ENABLED))
		return -EINVAL;
	v->clock_stopped = true;
	vcpu_request(v, REQ_CLOCK);
	return 0;
}

void
clock_load(struct vcpu *v, bool moved)
{
	u64 lost = READ_ONCE(tsc_lost);

	if (v->tsc_lost != lost) {
		set_offset(v, v->hv->tsc_offset +
		    scale(lost - v->tsc_lost, v->hv->tsc_ratio));
		v->tsc_lost = lost;
	}
	if (moved && !stable() && (v->clock_msr & ENABLED))
		vcpu_request(v, REQ_CLOCK);
}

void
clock_resume(u64 before)
{
	u64 now = rdtsc();

	if (now < before)
		WRITE_ONCE(tsc_lost, tsc_lost + (before - now));
	WRITE_ONCE(resumes, resumes + 1);
}

int
clock_capability(void)
{
	return VALID;
}

static long
get_clock(struct vm *vm, void __user *arg)
{
	struct kvm_clock_data d = { 0 };
	u64 tsc;

	d.clock = read_clock(vm, &tsc);
	if (stable()) {
		d.flags = VALID;
		d.host_tsc = tsc;
		d.realtime = ktime_get_real_ns();
	}
	return copy_to_user(arg, &d, sizeof(d)) ? -EFAULT : 0;
}

static long
set_clock(struct vm *vm, void __user *arg)
{
	unsigned i, n = smp_load_acquire(&vm->nvcpus);
	struct kvm_clock_data d;
	u64 now, real, tsc;

	if (copy_from_user(&d, arg, sizeof(d)))
		return -EFAULT;
	if (d.flags & ~VALID)
		return -EINVAL;
	if (d.flags & KVM_CLOCK_REALTIME) {
		real = ktime_get_real_ns();
		if (real > d.realtime)
			d.clock += real - d.realtime;
	}
	now = read_clock(vm, &tsc);
	spin_lock(&vm->clock.lock);
	vm->clock.base_ns += d.clock - now;
	spin_unlock(&vm->clock.lock);
	for (i = 0; i < n; i++) {
		vcpu_request(vm->vcpu[i], REQ_CLOCK);
		vcpu_kick(vm->vcpu[i]);
	}
	return 0;
}

long
clock_vm_ioctl(struct vm *vm, unsigned cmd, unsigned long arg)
{
	long r = 0;

	switch (cmd) {
	case KVM_GET_CLOCK:
		return get_clock(vm, (void __user *)arg);
	case KVM_SET_CLOCK:
		return set_clock(vm, (void __user *)arg);
	case KVM_GET_TSC_KHZ:
		return READ_ONCE(vm->clock.khz);
	case KVM_SET_TSC_KHZ:
		if (arg == 0)
			arg = tsc_khz;
		if (!khz_possible(arg))
			return -EINVAL;
		mutex_lock(&vm->lock);
		if (vm->nvcpus)
			r = -EINVAL;
		else
			WRITE_ONCE(vm->clock.khz, (u32)arg);
		mutex_unlock(&vm->lock);
		return r;
	default:
		return -ENOTTY;
	}
}
