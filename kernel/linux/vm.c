// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * VMs: their life and their file.  A VM lives until its own file and those
 * of all its vCPUs are closed, in any order, by any process; its memory is
 * that of the process that made it.
 */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "chipset.h"
#include "clock.h"
#include "coalesced.h"
#include "dev.h"
#include "dirtylog.h"
#include "ioeventfd.h"
#include "routing.h"
#include "stats.h"
#include "vcpu.h"

struct vm *
vm_new(void)
{
	struct vm *vm;
	int err;

	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);
	refcount_set(&vm->refs, 1);
	mutex_init(&vm->lock);
	mutex_init(&vm->irq_lock);
	mutex_init(&vm->slots_lock);
	irqfd_init(vm);
	spin_lock_init(&vm->mmu_lock);
	clock_vm_init(vm);
	err = coalesced_init(vm);
	if (err)
		goto free_vm;
	err = -ENOMEM;
	vm->chipset = chipset_new(vm);
	if (!vm->chipset)
		goto free_ring;
	err = dev_enable();
	if (err)
		goto free_chipset;
	mmgrab(current->mm);
	vm->mm = current->mm;
	err = mem_create(vm);
	if (err)
		goto drop_mm;
	return vm;
drop_mm:
	mmdrop(vm->mm);
	dev_disable();
free_chipset:
	chipset_free(vm->chipset);
free_ring:
	coalesced_free(vm);
free_vm:
	kfree(vm);
	return ERR_PTR(err);
}

void
vm_get(struct vm *vm)
{
	refcount_inc(&vm->refs);
}

void
vm_put(struct vm *vm)
{
	unsigned i;

	if (!refcount_dec_and_test(&vm->refs))
		return;
	mem_stop(vm); /* it reaches for the vCPUs */
	chipset_free(vm->chipset); /* so does its timer */
	for (i = 0; i < vm->nvcpus; i++)
		vcpu_free(vm->vcpu[i]);
	vm->nvcpus = 0;
	routing_free(vm);
	ioeventfd_free_all(vm);
	coalesced_free(vm);
	mem_destroy(vm);
	mmdrop(vm->mm);
	dev_disable();
	kfree(vm);
}

static long
split_irqchip(struct vm *vm, u64 pins)
{
	long r = 0;

	if (pins > ROUTING_MAX)
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (vm->apics || vm->nvcpus) {
		r = -EEXIST;
	} else {
		vm->pins = (u32)pins;
		smp_store_release(&vm->apics, true); /* after pins */
	}
	mutex_unlock(&vm->lock);
	return r;
}

static long
enable_cap(struct vm *vm, void __user *arg)
{
	struct kvm_enable_cap cap;

	if (copy_from_user(&cap, arg, sizeof(cap)))
		return -EFAULT;
	switch (cap.cap) {
	case KVM_CAP_SPLIT_IRQCHIP:
		return cap.flags ? -EINVAL : split_irqchip(vm, cap.args[0]);
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return cap.flags ? -EINVAL : dirtylog_enable(vm, cap.args[0]);
	default:
		return vcpu_enable_cap(vm, &cap);
	}
}

static long
set_boot_cpu(struct vm *vm, unsigned long id)
{
	long r = -EBUSY;

	mutex_lock(&vm->lock);
	if (!vm->nvcpus) {
		vm->bsp = (u32)id;
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static long
set_region(struct vm *vm, void __user *arg)
{
	struct kvm_userspace_memory_region r;

	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	return mem_set_region(vm, &r);
}

/* Intel's real-mode helpers: this hardware needs neither. */
static long
set_tss_addr(unsigned long addr)
{
	return addr > (u32)(-3 * PAGE_SIZE) ? -EINVAL : 0;
}

static long
set_identity_map(struct vm *vm, void __user *arg)
{
	u64 addr;

	if (copy_from_user(&addr, arg, sizeof(addr)))
		return -EFAULT;
	return smp_load_acquire(&vm->nvcpus) ? -EINVAL : 0;
}

static long
vm_ioctl(struct file *file, unsigned cmd, unsigned long arg)
{
	void __user *p = (void __user *)arg;
	struct vm *vm = file->private_data;
	long r;

	if (current->mm != vm->mm)
		return -EIO;
	switch (cmd) {
	case KVM_CHECK_EXTENSION:
		return dev_check_extension(arg);
	case KVM_ENABLE_CAP:
		return enable_cap(vm, p);
	case KVM_SET_USER_MEMORY_REGION:
		return set_region(vm, p);
	case KVM_GET_DIRTY_LOG:
		return dirtylog_get(vm, p);
	case KVM_CLEAR_DIRTY_LOG:
		return dirtylog_clear(vm, p);
	case KVM_SET_TSS_ADDR:
		return set_tss_addr(arg);
	case KVM_SET_IDENTITY_MAP_ADDR:
		return set_identity_map(vm, p);
	case KVM_SET_GSI_ROUTING:
		return routing_set(vm, p);
	case KVM_IRQ_LINE:
	case KVM_IRQ_LINE_STATUS:
		return routing_line(vm, p, cmd == KVM_IRQ_LINE_STATUS);
	case KVM_SIGNAL_MSI:
		return routing_signal_msi(vm, p);
	case KVM_IRQFD:
		return irqfd_ioctl(vm, p);
	case KVM_IOEVENTFD:
		return ioeventfd_ioctl(vm, p);
	case KVM_REGISTER_COALESCED_MMIO:
	case KVM_UNREGISTER_COALESCED_MMIO:
		return coalesced_ioctl(
		    vm, p, cmd == KVM_UNREGISTER_COALESCED_MMIO);
	case KVM_GET_STATS_FD:
		return stats_vm(vm);
	case KVM_CREATE_VCPU:
		if (arg >= VM_VCPUS)
			return -EINVAL;
		mutex_lock(&vm->lock);
		r = vcpu_new(vm, (u32)arg);
		mutex_unlock(&vm->lock);
		return r;
	case KVM_SET_BOOT_CPU_ID:
		return set_boot_cpu(vm, arg);
	default:
		r = chipset_ioctl(vm, cmd, p);
		return r == -ENOTTY ? clock_vm_ioctl(vm, cmd, arg) : r;
	}
}

static int
vm_release(struct inode *inode, struct file *file)
{
	struct vm *vm = file->private_data;

	irqfd_free_all(vm);
	vm_put(vm);
	return 0;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = vm_ioctl,
	.release = vm_release,
	.llseek = noop_llseek,
};

int
vm_open(void)
{
	struct vm *vm = vm_new();
	int fd;

	if (IS_ERR(vm))
		return PTR_ERR(vm);
	fd = anon_inode_getfd("vmm-vm", &fops, vm, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		vm_put(vm);
	return fd;
}
