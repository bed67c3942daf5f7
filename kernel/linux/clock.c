// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Time of the guest: its time stamp counter, and kvm-clock, a page per vCPU
 * that says how to make nanoseconds of it ("KVM-specific MSRs" of the KVM
 * documentation; APM vol. 2 "TSC Ratio MSR").
 *
 * Invariants
 *  1. guest TSC = host TSC * ratio + offset, everywhere.
 *  2. On a host whose TSCs are in step all vCPUs' pages say the same line
 *     (core/pvclock.h), and that they do.
 *  3. Only the vCPU's own thread writes its page.
 */
#include <linux/kvm.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/uaccess.h>
#include <asm/msr.h>
#include <asm/tsc.h>
#include "calls.h"
#include "clock.h"

#define RATIO_ONE     (1ULL << 32)
#define TOLERANCE_PPM 250
#define ENABLED	      1ULL
#define VALID	      (KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)

/* Host TSC lost in suspends: added to guests' offsets at their next load. */
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

/* pvclock_sync() knows one rate: two vCPUs of different ones are not in step. */
void
clock_sync_tsc(struct vcpu *v, u64 val)
{
	struct vm_clock *k = &v->vm->clock;
	u64 now = scale(rdtsc(), v->hv->tsc_ratio), off;
	bool matched;

	spin_lock(&k->lock);
	if (k->sync_khz != v->tsc_khz)
		k->sync.any = false;
	k->sync_khz = v->tsc_khz;
	off = pvclock_sync(&k->sync, val, now, v->tsc_khz * 1000ULL, &matched);
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
	k->line.host = pvclock_scale(tsc_khz * 1000ULL);
	k->resumes = READ_ONCE(resumes);
	k->boot_offset = -ktime_get_boottime_ns();
	pvclock_set(&k->line, rdtsc(), 0);
}

void
clock_vcpu_init(struct vcpu *v)
{
	v->tsc_khz = v->vm->clock.khz;
	hv->tsc(v->hv, 0,
	    hv->caps->tsc_scaling ? div_u64((u64)v->tsc_khz << 32, tsc_khz)
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

/*
 * The line, caller holds k->lock.  A suspend ends it; where TSCs are not in
 * step it is drawn anew at each use, by the host's clock alone, and guests take
 * care that their time does not go back.
 */
static struct pvclock_line *
line(struct vm_clock *k)
{
	u64 tsc, ns, now = READ_ONCE(resumes);

	if (stable() && k->resumes == now)
		return &k->line;
	tsc = rdtsc();
	ns = ktime_get_boottime_ns() + k->boot_offset;
	if (k->resumes == now)
		pvclock_set(&k->line, tsc, ns);
	else
		pvclock_rebase(&k->line, tsc, ns);
	k->resumes = now;
	return &k->line;
}

/* Nanoseconds since the VM began, at the host's TSC that is returned too. */
static u64
read_clock(struct vm *vm, u64 *tsc)
{
	struct vm_clock *k = &vm->clock;
	u64 ns;

	spin_lock(&k->lock);
	*tsc = rdtsc();
	ns = pvclock_now(line(k), *tsc);
	spin_unlock(&k->lock);
	return ns;
}

struct page_at {
	struct vm *vm;
	u64 gpa;
};

static int
write_page(void *arg, unsigned off, const void *buf, unsigned len)
{
	struct page_at *p = arg;
	u64 gpa = p->gpa + off;
	unsigned n = min_t(u64, len, PAGE_SIZE - (gpa & (PAGE_SIZE - 1)));
	int err = mem_write(p->vm, (struct gpa){ gpa }, buf, n);

	if (!err && n < len)
		err = mem_write(p->vm, (struct gpa){ gpa + n },
		    (const u8 *)buf + n, len - n);
	smp_wmb(); /* the version, then what it guards */
	return err;
}

void
clock_update(struct vcpu *v)
{
	struct page_at at = { v->vm, v->clock_msr & ~ENABLED };
	struct vm_clock *k = &v->vm->clock;
	struct pvclock_line *l;
	u8 flags = 0;

	if (!(v->clock_msr & ENABLED))
		return;
	if (stable())
		flags |= PVCLOCK_TSC_STABLE;
	if (v->clock_stopped)
		flags |= PVCLOCK_GUEST_STOPPED;
	v->clock_stopped = false;
	spin_lock(&k->lock);
	l = line(k);
	pvclock_fill(&v->clock, l, clock_guest_tsc(v, l->host_tsc),
	    pvclock_scale(v->tsc_khz * 1000ULL), flags);
	spin_unlock(&k->lock);
	pvclock_publish(&v->clock, write_page, &at);
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
	struct page_at at = { v->vm, val };
	struct pvclock_wall w = { 0 };
	u64 tsc;

	if (val == 0)
		return 0;
	if (mem_read(v->vm, (struct gpa){ val }, &w.version, 4))
		return 0;
	pvclock_fill_wall(&w, ktime_get_real_ns(), read_clock(v->vm, &tsc));
	pvclock_publish_wall(&w, write_page, &at);
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
		set_offset(v,
		    v->hv->tsc_offset +
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
	struct vm_clock *k = &vm->clock;
	struct kvm_clock_data d;
	u64 real;

	if (copy_from_user(&d, arg, sizeof(d)))
		return -EFAULT;
	if (d.flags & ~VALID)
		return -EINVAL;
	if (d.flags & KVM_CLOCK_REALTIME) {
		real = ktime_get_real_ns();
		if (real > d.realtime)
			d.clock += real - d.realtime;
	}
	spin_lock(&k->lock);
	pvclock_set(&k->line, rdtsc(), d.clock);
	k->boot_offset = d.clock - ktime_get_boottime_ns();
	spin_unlock(&k->lock);
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
