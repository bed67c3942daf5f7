// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * vCPUs: creation, end, their file, and how other CPUs reach them.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include "../core/x86.h"
#include "calls.h"
#include "clock.h"
#include "compat.h"
#include "mmu.h"
#include "vcpu.h"

/* Single pages, as user mappings count references of each. */
#define RUN_PAGES 2

void
vcpu_kick(struct vcpu *v)
{
	int cpu;

	smp_mb(); /* the request before in_guest */
	rcuwait_wake_up(&v->wait);
	preempt_disable();
	cpu = READ_ONCE(v->cpu);
	if (READ_ONCE(v->in_guest) && cpu != smp_processor_id())
		smp_send_reschedule(cpu);
	preempt_enable();
}

static void
nothing(void *arg)
{
}

/* What the calls on a vCPU, and its clock, offer. */
int
vcpu_check_extension(unsigned long cap)
{
	switch (cap) {
	case KVM_CAP_VCPU_EVENTS:
	case KVM_CAP_USER_NMI:
	case KVM_CAP_DEBUGREGS:
	case KVM_CAP_SET_GUEST_DEBUG:
	case KVM_CAP_XSAVE:
	case KVM_CAP_XCRS:
	case KVM_CAP_GET_TSC_KHZ:
	case KVM_CAP_EXCEPTION_PAYLOAD:
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
	case KVM_CAP_SREGS2:
	case KVM_CAP_GET_MSR_FEATURES:
	case KVM_CAP_X86_ROBUST_SINGLESTEP:
	case KVM_CAP_KVMCLOCK_CTRL:
	case KVM_CAP_CLOCKSOURCE:
	case KVM_CAP_INTERNAL_ERROR_DATA:
	case KVM_CAP_VAPIC:
	case KVM_CAP_BINARY_STATS_FD:
		return 1;
	case KVM_CAP_TSC_CONTROL:
	case KVM_CAP_VM_TSC_CONTROL:
		return hv->caps->tsc_scaling;
	case KVM_CAP_MCE:
		return MSR_BANKS;
	case KVM_CAP_ADJUST_CLOCK:
		return clock_capability();
	case KVM_CAP_SET_GUEST_DEBUG2:
		return KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
		    KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP |
		    KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |
		    KVM_GUESTDBG_BLOCKIRQ;
	case KVM_CAP_SYNC_REGS:
		return KVM_SYNC_X86_VALID_FIELDS;
	case KVM_CAP_XSAVE2:
		return (int)fpu_xsave_size();
	case KVM_CAP_X2APIC_API:
		return KVM_X2APIC_API_USE_32BIT_IDS |
		    KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
	default:
		return 0;
	}
}

/* Of a VM, for all its vCPUs. */
long
vcpu_enable_cap(struct vm *vm, const struct kvm_enable_cap *cap)
{
	u64 x2 = KVM_X2APIC_API_USE_32BIT_IDS |
	    KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;

	switch (cap->cap) {
	case KVM_CAP_EXCEPTION_PAYLOAD:
		WRITE_ONCE(vm->payloads, cap->args[0] != 0);
		return 0;
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
		WRITE_ONCE(vm->triple_faults, cap->args[0] != 0);
		return 0;
	case KVM_CAP_X2APIC_API:
		if (cap->args[0] & ~x2)
			return -EINVAL;
		if (cap->args[0] & KVM_X2APIC_API_USE_32BIT_IDS)
			WRITE_ONCE(vm->id32, true);
		return 0;
	default:
		return -EINVAL;
	}
}

/* Waits until no CPU is in the guest with old translations. */
void
vcpu_flush_all(struct vm *vm)
{
	unsigned i, n = smp_load_acquire(&vm->nvcpus);
	struct vcpu *v;

	for (i = 0; i < n; i++)
		vcpu_request(vm->vcpu[i], REQ_FLUSH);
	smp_mb(); /* requests before in_guest */
	for (i = 0; i < n; i++) {
		v = vm->vcpu[i];
		if (READ_ONCE(v->in_guest))
			smp_call_function_single(
			    READ_ONCE(v->cpu), nothing, NULL, 1);
	}
}

static struct vcpu *
of_notifier(struct preempt_notifier *n)
{
	return container_of(n, struct vcpu, preempt);
}

/* Preemption is off. */
void
vcpu_load(struct vcpu *v, int cpu)
{
	clock_load(v, v->cpu != cpu);
	WRITE_ONCE(v->cpu, cpu);
	compat_ibpb_before_user();
	hv->load(v->hv);
}

/* The thread that calls KVM_RUN, for those who wait for it to run. */
void
vcpu_set_thread(struct vcpu *v)
{
	struct pid *old = rcu_access_pointer(v->pid);
	struct pid *mine = task_pid(current);

	if (old == mine)
		return;
	rcu_assign_pointer(v->pid, get_pid(mine));
	if (old) {
		synchronize_rcu();
		put_pid(old);
	}
}

/* Gives the rest of our time to v's thread, when that waits for a CPU. */
static bool
yield_to_vcpu(struct vcpu *v)
{
	struct task_struct *task;
	bool done;

	rcu_read_lock();
	task = pid_task(rcu_dereference(v->pid), PIDTYPE_PID);
	if (task)
		get_task_struct(task);
	rcu_read_unlock();
	if (!task)
		return false;
	done = yield_to(task, true) > 0;
	put_task_struct(task);
	return done;
}

/*
 * PAUSE in a loop: the holder of the lock may be a vCPU that is not running.
 * Candidates are taken in turn, beginning after the last one.
 */
void
vcpu_spins(struct vcpu *self)
{
	unsigned i, n = smp_load_acquire(&self->vm->nvcpus);
	struct vcpu *v;

	for (i = 1; i < n; i++) {
		v = self->vm->vcpu[(self->spun_for + i) % n];
		if (v == self || READ_ONCE(v->in_guest) ||
		    rcuwait_active(&v->wait))
			continue;
		if (yield_to_vcpu(v)) {
			self->spun_for = (self->spun_for + i) % n;
			return;
		}
	}
	cond_resched();
}

static void
sched_in(struct preempt_notifier *n, int cpu)
{
	vcpu_load(of_notifier(n), cpu);
}

static void
sched_out(struct preempt_notifier *n, struct task_struct *next)
{
	hv->put(of_notifier(n)->hv);
}

static struct preempt_ops preempt_ops = {
	.sched_in = sched_in,
	.sched_out = sched_out,
};

void
vcpu_free(struct vcpu *v)
{
	hrtimer_cancel(&v->timer);
	put_pid(rcu_access_pointer(v->pid));
	npt_cache_drain(&v->cache);
	mmu_vcpu_free(v);
	fpu_free_guest_fpstate(&v->fpu);
	hv->vcpu_free(v->hv);
	kvfree(v->cpuid);
	if (v->run)
		free_pages_exact(v->run, RUN_PAGES * PAGE_SIZE);
	kfree(v);
}

static struct vcpu *
make(struct vm *vm, u32 id)
{
	struct vcpu *v = kzalloc(sizeof(*v), GFP_KERNEL_ACCOUNT);

	if (!v)
		return NULL;
	v->vm = vm;
	v->id = id;
	event_reset(&v->event);
	msr_reset(&v->msr);
	mutex_init(&v->lock);
	rcuwait_init(&v->wait);
	preempt_notifier_init(&v->preempt, &preempt_ops);
	v->mp_state = id == vm->bsp || !vm->apics ? KVM_MP_STATE_RUNNABLE
						  : KVM_MP_STATE_UNINITIALIZED;
	apic_init(v);
	v->hv = hv->vcpu_new(
	    vm->shadow ? (struct hpa){ 0 } : host_page_pa(vm->npt.root));
	v->run = alloc_pages_exact(
	    RUN_PAGES * PAGE_SIZE, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!v->hv || !v->run || mmu_vcpu_init(v) ||
	    !fpu_alloc_guest_fpstate(&v->fpu)) {
		vcpu_free(v);
		return NULL;
	}
	vcpu_state(v)->maxphyaddr = 36;
	vcpu_state(v)->xcr0_valid = 1;
	vcpu_state(v)->cr4_valid = 0x7ff;
	vcpu_state(v)->efer_valid =
	    X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	clock_vcpu_init(v);
	return v;
}

static long
vcpu_ioctl(struct file *file, unsigned cmd, unsigned long arg)
{
	struct vcpu *v = file->private_data;
	long r;

	if (current->mm != v->vm->mm)
		return -EIO;
	if (mutex_lock_killable(&v->lock))
		return -EINTR;
	if (cmd == KVM_RUN)
		r = arg ? -EINVAL : vcpu_run(v);
	else
		r = calls_vcpu(v, cmd, arg);
	mutex_unlock(&v->lock);
	return r;
}

static vm_fault_t
run_fault(struct vm_fault *f)
{
	struct vcpu *v = f->vma->vm_file->private_data;

	if (f->pgoff == KVM_COALESCED_MMIO_PAGE_OFFSET)
		f->page = virt_to_page(v->vm->coalesced.ring);
	else if (f->pgoff < RUN_PAGES)
		f->page = virt_to_page((u8 *)v->run + f->pgoff * PAGE_SIZE);
	else
		return VM_FAULT_SIGBUS;
	get_page(f->page);
	return 0;
}

static const struct vm_operations_struct run_ops = { .fault = run_fault };

static int
vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (vma->vm_pgoff + vma_pages(vma) > KVM_COALESCED_MMIO_PAGE_OFFSET + 1)
		return -EINVAL;
	vma->vm_ops = &run_ops;
	return 0;
}

static int
vcpu_release(struct inode *inode, struct file *file)
{
	struct vcpu *v = file->private_data;

	vm_put(v->vm);
	return 0;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = vcpu_ioctl,
	.mmap = vcpu_mmap,
	.release = vcpu_release,
	.llseek = noop_llseek,
};

/* Caller holds vm->lock. */
int
vcpu_new(struct vm *vm, u32 id)
{
	struct vcpu *v;
	unsigned i;
	int fd;

	if (id >= VM_VCPUS || vm->nvcpus == VM_VCPUS)
		return -EINVAL;
	for (i = 0; i < vm->nvcpus; i++) {
		if (vm->vcpu[i]->id == id)
			return -EEXIST;
	}
	v = make(vm, id);
	if (!v)
		return -ENOMEM;
	vm_get(vm);
	fd = anon_inode_getfd("vmm-vcpu", &fops, v, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		vm_put(vm);
		vcpu_free(v);
		return fd;
	}
	vm->vcpu[vm->nvcpus] = v;
	smp_store_release(&vm->nvcpus, vm->nvcpus + 1);
	return fd;
}
