// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * vmm.ko: the device /dev/vmm and the calls on it.  What is not here is
 * absent as in a KVM without the capability.
 */
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>
#include "cpuid.h"
#include "dev.h"
#include "dirtylog.h"
#include "mmu.h"
#include "power.h"
#include "routing.h"
#include "vcpu.h"

#define CPUID_VMX (1U << 5) /* of CPUID.1:ECX, also where firmware forbids it */

const struct hv_ops *hv;

int
dev_check_extension(unsigned long cap)
{
	switch (cap) {
	case KVM_CAP_IRQCHIP:
	case KVM_CAP_PIT:
	case KVM_CAP_PIT2:
	case KVM_CAP_PIT_STATE2:
	case KVM_CAP_REINJECT_CONTROL:
	case KVM_CAP_IOAPIC_POLARITY_IGNORED:
	case KVM_CAP_SET_BOOT_CPU_ID:
	case KVM_CAP_HLT:
	case KVM_CAP_USER_MEMORY:
	case KVM_CAP_SET_TSS_ADDR:
	case KVM_CAP_SET_IDENTITY_MAP_ADDR:
	case KVM_CAP_EXT_CPUID:
	case KVM_CAP_MP_STATE:
	case KVM_CAP_SYNC_MMU:
	case KVM_CAP_READONLY_MEM:
	case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
	case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
	case KVM_CAP_IRQ_INJECT_STATUS:
	case KVM_CAP_IRQFD:
	case KVM_CAP_IRQFD_RESAMPLE:
	case KVM_CAP_IOEVENTFD:
	case KVM_CAP_IOEVENTFD_NO_LENGTH:
	case KVM_CAP_IOEVENTFD_ANY_LENGTH:
	case KVM_CAP_COALESCED_PIO:
	case KVM_CAP_SIGNAL_MSI:
	case KVM_CAP_SPLIT_IRQCHIP:
	case KVM_CAP_IMMEDIATE_EXIT:
	case KVM_CAP_TSC_DEADLINE_TIMER:
	case KVM_CAP_CHECK_EXTENSION_VM:
	case KVM_CAP_ENABLE_CAP_VM:
		return 1;
	case KVM_CAP_COALESCED_MMIO:
		return KVM_COALESCED_MMIO_PAGE_OFFSET;
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return DIRTYLOG_FLAGS;
	case KVM_CAP_IRQ_ROUTING:
		return ROUTING_MAX;
	case KVM_CAP_NR_VCPUS:
	case KVM_CAP_MAX_VCPUS:
	case KVM_CAP_MAX_VCPU_ID:
		return VM_VCPUS;
	case KVM_CAP_NR_MEMSLOTS:
		return VM_SLOTS;
	default:
		return vcpu_check_extension(cap);
	}
}

static long
supported_cpuid(struct kvm_cpuid2 __user *arg)
{
	struct kvm_cpuid_entry2 *e;
	struct kvm_cpuid2 head;
	int n;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	e = kcalloc(CPUID_ENTRIES, sizeof(*e), GFP_KERNEL);
	if (!e)
		return -ENOMEM;
	n = cpuid_offer(e, min_t(u32, head.nent, CPUID_ENTRIES));
	if (n >= 0) {
		head.nent = (u32)n;
		if (copy_to_user(arg, &head, sizeof(head)) ||
		    copy_to_user(arg->entries, e, n * sizeof(*e)))
			n = -EFAULT;
	}
	kfree(e);
	return n < 0 ? n : 0;
}

static long
dev_ioctl(struct file *file, unsigned cmd, unsigned long arg)
{
	switch (cmd) {
	case KVM_GET_API_VERSION:
		return arg ? -EINVAL : KVM_API_VERSION;
	case KVM_CHECK_EXTENSION:
		return dev_check_extension(arg);
	case KVM_CREATE_VM:
		return arg ? -EINVAL : vm_open();
	case KVM_GET_VCPU_MMAP_SIZE:
		return arg ? -EINVAL
			   : (KVM_COALESCED_MMIO_PAGE_OFFSET + 1) * PAGE_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
		return supported_cpuid((void __user *)arg);
	default:
		return msr_dev_ioctl(cmd, arg);
	}
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = dev_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice dev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vmm",
	.fops = &fops,
	.mode = 0660,
};

static int __init
vmm_init(void)
{
	const char *why = NULL;
	int err;

	if (tsc_khz == 0) {
		pr_err("vmm: the frequency of the host's TSC is not known\n");
		return -ENODEV;
	}
	hv = cpuid_ecx(1) & CPUID_VMX ? &vmx_ops : &svm_ops;
	err = hv->probe(&why);
	if (err) {
		pr_err("vmm: %s\n", why);
		return err;
	}
	mmu_init();
	err = hv->global_init();
	if (err)
		return err;
	err = power_init();
	if (err)
		goto exit_hv;
	err = misc_register(&dev);
	if (err)
		goto exit_power;
	return 0;
exit_power:
	power_exit();
exit_hv:
	hv->global_exit();
	return err;
}

static void __exit
vmm_exit(void)
{
	misc_deregister(&dev);
	power_exit();
	hv->global_exit();
}

module_init(vmm_init);
module_exit(vmm_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("vmm hypervisor");
