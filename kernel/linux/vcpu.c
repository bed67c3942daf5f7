// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * vCPUs: creation, end, their file, and how other CPUs reach them.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include "../core/x86.h"
#include "compat.h"
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

static void
sched_in(struct preempt_notifier *n, int cpu)
{
	struct vcpu *v = of_notifier(n);

	WRITE_ONCE(v->cpu, cpu);
	hv->load(v->hv);
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
	npt_cache_drain(&v->cache);
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
	mutex_init(&v->lock);
	rcuwait_init(&v->wait);
	preempt_notifier_init(&v->preempt, &preempt_ops);
	v->mp_state =
	    id == 0 ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
	apic_init(v);
	v->hv = hv->vcpu_new(host_page_pa(vm->npt.root), id);
	v->run = alloc_pages_exact(
	    RUN_PAGES * PAGE_SIZE, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!v->hv || !v->run || !fpu_alloc_guest_fpstate(&v->fpu)) {
		vcpu_free(v);
		return NULL;
	}
	vcpu_state(v)->maxphyaddr = 36;
	vcpu_state(v)->xcr0_valid = 1;
	vcpu_state(v)->cr4_valid = 0x7ff;
	vcpu_state(v)->efer_valid =
	    X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	hv->tsc(v->hv, -rdtsc());
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
		r = state_ioctl(v, cmd, (void __user *)arg);
	mutex_unlock(&v->lock);
	return r;
}

static vm_fault_t
run_fault(struct vm_fault *f)
{
	struct vcpu *v = f->vma->vm_file->private_data;

	if (f->pgoff >= RUN_PAGES)
		return VM_FAULT_SIGBUS;
	f->page = virt_to_page((u8 *)v->run + f->pgoff * PAGE_SIZE);
	get_page(f->page);
	return 0;
}

static const struct vm_operations_struct run_ops = { .fault = run_fault };

static int
vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (vma->vm_pgoff + vma_pages(vma) > RUN_PAGES)
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
	int fd;

	if (id >= VM_VCPUS || vm->nvcpus == VM_VCPUS || !vm->split)
		return -EINVAL;
	if (id != vm->nvcpus) /* in order: ids are indices */
		return id < vm->nvcpus ? -EEXIST : -EINVAL;
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
	vm->vcpu[id] = v;
	smp_store_release(&vm->nvcpus, id + 1);
	return fd;
}
