/* SPDX-License-Identifier: ISC */
/*
 * Calls on the device and the lists that it gives.
 */
#include <sys/ioctl.h>
#include <stdlib.h>
#include <unistd.h>
#include "kapi.h"

#define LEAF_SIGNATURE 0x40000000u

static void
api_version(int dev)
{
	EQ(DO(dev, KVM_GET_API_VERSION, 0), 12);
	ERR(dev, KVM_GET_API_VERSION, 1, EINVAL);
}

static void
run_page_size(int dev)
{
	int n = DO(dev, KVM_GET_VCPU_MMAP_SIZE, 0);

	CHECK(n >= 8192 && n % 4096 == 0, "%d", n);
	ERR(dev, KVM_GET_VCPU_MMAP_SIZE, 1, EINVAL);
}

static const struct {
	unsigned cap;
	const char *name;
} needed[] = {
	{ KVM_CAP_USER_MEMORY, "USER_MEMORY" },
	{ KVM_CAP_EXT_CPUID, "EXT_CPUID" },
	{ KVM_CAP_MP_STATE, "MP_STATE" },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, "DESTROY_MEMORY_REGION_WORKS" },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, "JOIN_MEMORY_REGIONS_WORKS" },
	{ KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING" },
	{ KVM_CAP_DEBUGREGS, "DEBUGREGS" },
	{ KVM_CAP_XSAVE, "XSAVE" },
	{ KVM_CAP_XCRS, "XCRS" },
	{ KVM_CAP_VCPU_EVENTS, "VCPU_EVENTS" },
	{ KVM_CAP_IRQFD, "IRQFD" },
	{ KVM_CAP_IOEVENTFD, "IOEVENTFD" },
	{ KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI" },
	{ KVM_CAP_SPLIT_IRQCHIP, "SPLIT_IRQCHIP" },
	{ KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" },
	{ KVM_CAP_READONLY_MEM, "READONLY_MEM" },
	{ KVM_CAP_ADJUST_CLOCK, "ADJUST_CLOCK" },
	{ KVM_CAP_TSC_DEADLINE_TIMER, "TSC_DEADLINE_TIMER" },
	{ KVM_CAP_CHECK_EXTENSION_VM, "CHECK_EXTENSION_VM" },
	{ KVM_CAP_SET_GUEST_DEBUG, "SET_GUEST_DEBUG" },
	{ KVM_CAP_VAPIC, "VAPIC" },
	{ KVM_CAP_NR_VCPUS, "NR_VCPUS" },
	{ KVM_CAP_MAX_VCPUS, "MAX_VCPUS" },
	{ KVM_CAP_NR_MEMSLOTS, "NR_MEMSLOTS" },
};

static void
extensions(int dev)
{
	struct vm vm;
	unsigned i;

	vm_open_bare(&vm, dev);
	for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		CHECK(have_cap(dev, needed[i].cap), "%s", needed[i].name);
		CHECK(have_cap(vm.fd, needed[i].cap), "%s on a VM",
		    needed[i].name);
	}
	EQ(DO(dev, KVM_CHECK_EXTENSION, 1000000), 0);
	CHECK(DO(dev, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS) >= 32, "few");
	CHECK(DO(dev, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS) >= 4, "few");
}

static void
create_vm_type(int dev)
{
	int fd;

	ERR(dev, KVM_CREATE_VM, 1, EINVAL);
	ERR(dev, KVM_CREATE_VM, -1ul, EINVAL);
	fd = DO(dev, KVM_CREATE_VM, 0);
	close(fd);
}

static void
unknown_calls(int dev)
{
	struct vcpu v;
	struct vm vm;

	vm_open(&vm, dev);
	vcpu_open(&v, &vm, 0);
	CHECK(ioctl(dev, _IO(KVMIO, 0xf7), 0) < 0, "on the device");
	CHECK(ioctl(vm.fd, _IO(KVMIO, 0xf7), 0) < 0, "on a VM");
	CHECK(ioctl(v.fd, _IO(KVMIO, 0xf7), 0) < 0, "on a vCPU");
	/* A call of one level on another. */
	CHECK(ioctl(dev, KVM_RUN, 0) < 0, "KVM_RUN on the device");
	CHECK(ioctl(vm.fd, KVM_RUN, 0) < 0, "KVM_RUN on a VM");
	CHECK(ioctl(v.fd, KVM_CREATE_VM, 0) < 0, "CREATE_VM on a vCPU");
	CHECK(ioctl(v.fd, TIOCGWINSZ, 0) < 0, "a terminal's call");
}

static struct kvm_msr_list *
msr_list(int dev, unsigned long request)
{
	struct kvm_msr_list head = { .nmsrs = 0 }, *l;

	ERR(dev, request, &head, E2BIG);
	CHECK(head.nmsrs > 0 && head.nmsrs < 4096, "%u", head.nmsrs);
	l = calloc(1, sizeof(*l) + head.nmsrs * sizeof(uint32_t));
	l->nmsrs = head.nmsrs;
	DO(dev, request, l);
	EQ(l->nmsrs, head.nmsrs);
	return l;
}

/* Every index of the list is one that a vCPU can save; the most important
 * ones are in it. */
static void
msr_index_list(int dev)
{
	static const uint32_t musts[] = { 0x10, 0x174, 0x175, 0x176, 0x277,
		0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102 };
	struct kvm_msr_list *l = msr_list(dev, KVM_GET_MSR_INDEX_LIST);
	unsigned i, k, missing = 0;
	struct vcpu v;
	struct vm vm;
	uint64_t value;

	vm_open(&vm, dev);
	vcpu_open(&v, &vm, 0);
	set_cpuid(&v, dev);
	for (k = 0; k < sizeof(musts) / sizeof(musts[0]); k++) {
		for (i = 0; i < l->nmsrs && l->indices[i] != musts[k]; i++)
			;
		CHECK(i < l->nmsrs, "%#x is not in the list", musts[k]);
	}
	for (i = 0; i < l->nmsrs; i++) {
		value = 0;
		if (!msr_try(&v, false, l->indices[i], &value))
			missing++;
	}
	/* Some depend on a feature that the vCPU's CPUID has not. */
	CHECK(missing < l->nmsrs / 2, "%u of %u", missing, l->nmsrs);
	free(l);
}

static void
msr_feature_list(int dev)
{
	struct kvm_msr_list *l;
	WITH_ROOM(struct kvm_msrs, struct kvm_msr_entry, 1)
	m = { .head.nmsrs = 1 };
	unsigned i;

	if (!have_cap(dev, KVM_CAP_GET_MSR_FEATURES))
		skip("no KVM_CAP_GET_MSR_FEATURES");
	l = msr_list(dev, KVM_GET_MSR_FEATURE_INDEX_LIST);
	for (i = 0; i < l->nmsrs; i++) {
		m.head.entries[0].index = l->indices[i];
		EQ(DO(dev, KVM_GET_MSRS, &m), 1);
	}
	free(l);
}

static const struct kvm_cpuid_entry2 *
leaf(const struct kvm_cpuid2 *c, uint32_t function)
{
	unsigned i;

	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == function)
			return &c->entries[i];
	fail("no leaf %#x", function);
}

static void
supported_cpuid(int dev)
{
	struct kvm_cpuid2 small = { .nent = 0 }, *c;
	const struct kvm_cpuid_entry2 *e;

	ERR(dev, KVM_GET_SUPPORTED_CPUID, &small, E2BIG);
	c = calloc(1, sizeof(*c) + 256 * sizeof(struct kvm_cpuid_entry2));
	c->nent = 256;
	DO(dev, KVM_GET_SUPPORTED_CPUID, c);
	CHECK(c->nent > 4 && c->nent < 256, "%u", c->nent);
	CHECK(leaf(c, 0)->eax >= 1, "largest leaf");
	e = leaf(c, 1);
	CHECK(e->edx & 1u << 9, "APIC");
	CHECK(e->edx & 1u << 5, "MSR");
	CHECK(e->ecx & 1u << 21, "x2APIC");
	e = leaf(c, 0x80000001);
	CHECK(e->edx & 1u << 29, "long mode");
	CHECK(e->edx & 1u << 20, "NX");
	e = leaf(c, LEAF_SIGNATURE);
	CHECK(memcmp(&e->ebx, "KVMKVMKVM\0\0\0", 12) == 0, "signature");
	CHECK(leaf(c, LEAF_SIGNATURE + 1)->eax & 1u << 3, "clock");
	/* A place for one entry less is too small. */
	small.nent = 1;
	ERR(dev, KVM_GET_SUPPORTED_CPUID, &small, E2BIG);
	free(c);
}

TESTS(system, T(api_version), T(run_page_size), T(extensions),
    T(create_vm_type), T(unknown_calls), T(msr_index_list), T(msr_feature_list),
    T(supported_cpuid));
