/* SPDX-License-Identifier: ISC */
/*
 * Hostile arguments: addresses that are none, sizes that lie, descriptors that
 * are used wrongly, other processes.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <cpuid.h>
#include <stdlib.h>
#include <unistd.h>
#include "kapi.h"

GUEST(64, nothing, END);

/* Calls that take or give a structure. */
static const struct {
	const char *name;
	unsigned long request;
} vcpu_calls[] = {
	{ "GET_REGS", KVM_GET_REGS },
	{ "SET_REGS", KVM_SET_REGS },
	{ "GET_SREGS", KVM_GET_SREGS },
	{ "SET_SREGS", KVM_SET_SREGS },
	{ "GET_FPU", KVM_GET_FPU },
	{ "SET_FPU", KVM_SET_FPU },
	{ "GET_XSAVE", KVM_GET_XSAVE },
	{ "SET_XSAVE", KVM_SET_XSAVE },
	{ "GET_XCRS", KVM_GET_XCRS },
	{ "SET_XCRS", KVM_SET_XCRS },
	{ "GET_MSRS", KVM_GET_MSRS },
	{ "SET_MSRS", KVM_SET_MSRS },
	{ "SET_CPUID2", KVM_SET_CPUID2 },
	{ "GET_CPUID2", KVM_GET_CPUID2 },
	{ "GET_LAPIC", KVM_GET_LAPIC },
	{ "SET_LAPIC", KVM_SET_LAPIC },
	{ "GET_MP_STATE", KVM_GET_MP_STATE },
	{ "SET_MP_STATE", KVM_SET_MP_STATE },
	{ "GET_VCPU_EVENTS", KVM_GET_VCPU_EVENTS },
	{ "SET_VCPU_EVENTS", KVM_SET_VCPU_EVENTS },
	{ "GET_DEBUGREGS", KVM_GET_DEBUGREGS },
	{ "SET_DEBUGREGS", KVM_SET_DEBUGREGS },
	{ "SET_GUEST_DEBUG", KVM_SET_GUEST_DEBUG },
	{ "INTERRUPT", KVM_INTERRUPT },
	{ "SET_VAPIC_ADDR", KVM_SET_VAPIC_ADDR },
	{ "TPR_ACCESS_REPORTING", KVM_TPR_ACCESS_REPORTING },
}, vm_calls[] = {
	{ "SET_USER_MEMORY_REGION", KVM_SET_USER_MEMORY_REGION },
	{ "GET_DIRTY_LOG", KVM_GET_DIRTY_LOG },
	{ "SET_GSI_ROUTING", KVM_SET_GSI_ROUTING },
	{ "SIGNAL_MSI", KVM_SIGNAL_MSI },
	{ "IRQFD", KVM_IRQFD },
	{ "IOEVENTFD", KVM_IOEVENTFD },
	{ "GET_CLOCK", KVM_GET_CLOCK },
	{ "SET_CLOCK", KVM_SET_CLOCK },
	{ "ENABLE_CAP", KVM_ENABLE_CAP },
};

static const unsigned long bad_addresses[] = { 0, 1, 0x7ffffffff000, 1ul << 47,
	0xffff800000000000, 0xffffffff81000000, -8ul };

/* Is there nothing to be asked for on this processor? */
static bool
absent(unsigned long request)
{
	unsigned a, b, c, d;

	return (request == KVM_GET_XCRS || request == KVM_SET_XCRS) &&
	    !(__get_cpuid(1, &a, &b, &c, &d) && (c & bit_XSAVE));
}

static void
bad_addresses_fault(int dev)
{
	struct vcpu v;
	struct vm vm;
	unsigned i, k;
	int r;

	guest(&vm, &v, dev, LONG64, &nothing);
	for (k = 0; k < sizeof(bad_addresses) / sizeof(bad_addresses[0]); k++) {
		for (i = 0; i < sizeof(vcpu_calls) / sizeof(vcpu_calls[0]);
		     i++) {
			if (absent(vcpu_calls[i].request))
				continue;
			r = ioctl(
			    v.fd, vcpu_calls[i].request, bad_addresses[k]);
			CHECK(r < 0 && errno == EFAULT, "%s at %#lx: %s",
			    vcpu_calls[i].name, bad_addresses[k],
			    r < 0 ? strerror(errno) : "accepted");
		}
		for (i = 0; i < sizeof(vm_calls) / sizeof(vm_calls[0]); i++) {
			r = ioctl(vm.fd, vm_calls[i].request, bad_addresses[k]);
			CHECK(r < 0 && errno == EFAULT, "%s at %#lx: %s",
			    vm_calls[i].name, bad_addresses[k],
			    r < 0 ? strerror(errno) : "accepted");
		}
	}
	/* Nothing of it counts. */
	run_done(&v);
}

/* A structure that ends where its memory ends is complete; one byte later it
 * is not. */
static void
end_of_mapping(int dev)
{
	uint8_t *p = pages(2 * 4096);
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &nothing);
	munmap(p + 4096, 4096);
	DO(v.fd, KVM_GET_REGS, p + 4096 - sizeof(struct kvm_regs));
	ERR(v.fd, KVM_GET_REGS, p + 4096 - sizeof(struct kvm_regs) + 1, EFAULT);
	DO(v.fd, KVM_GET_SREGS, p + 4096 - sizeof(struct kvm_sregs));
	ERR(v.fd, KVM_SET_SREGS, p + 4096 - sizeof(struct kvm_sregs) + 8,
	    EFAULT);
	DO(v.fd, KVM_GET_LAPIC, p + 4096 - sizeof(struct kvm_lapic_state));
	ERR(v.fd, KVM_GET_LAPIC, p + 4096 - sizeof(struct kvm_lapic_state) + 4,
	    EFAULT);
	run_done(&v);
}

static void
huge_counts(int dev)
{
	static const uint32_t counts[] = { 257, 0x10000, 0x7fffffff, 0x80000000,
		0xffffffff };
	struct kvm_cpuid2 *c = calloc(1, 65536);
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &nothing);
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		c->nent = counts[i];
		ERR(v.fd, KVM_SET_CPUID2, c, E2BIG);
		*(uint32_t *)(void *)c = counts[i]; /* nmsrs */
		ERR(v.fd, KVM_GET_MSRS, c, E2BIG);
		ERR(v.fd, KVM_SET_MSRS, c, E2BIG);
	}
	free(c);
	run_done(&v);
}

static void
run_page(int dev)
{
	struct vcpu v;
	struct vm vm;
	void *p;
	int n;

	guest(&vm, &v, dev, LONG64, &nothing);
	n = DO(dev, KVM_GET_VCPU_MMAP_SIZE, 0);
	ERR(v.fd, KVM_RUN, 1, EINVAL);
	/* Beyond the end: no mapping, or one that has nothing. */
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, v.fd, n + 0x100000);
	if (p != MAP_FAILED) {
		int fds[2];

		if (pipe(fds) != 0)
			fail("pipe");
		CHECK(write(fds[1], p, 1) < 0 && errno == EFAULT,
		    "a page beyond the end");
	}
	/* Garbage in the page is no reason to fail. */
	memset(&v.run->request_interrupt_window, 0, 1);
	memset((uint8_t *)v.run + 32, 0xff, 1024);
	v.run->immediate_exit = 0;
	v.run->kvm_valid_regs = v.run->kvm_dirty_regs = 0;
	run_done(&v);
}

/* What user space writes into the page between exits (an offset, a count) is
 * not believed. */
GUEST(64, reads, "in $0x60, %al\n\tin $0x60, %eax\n\tmov (%rsi), %rbx\n\t" END);

static void
run_page_lies(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &reads);
	regs_get(&v, &r);
	r.rsi = MMIO;
	regs_set(&v, &r);
	for (i = 0; i < 2; i++) {
		run_to(&v, KVM_EXIT_IO);
		((uint8_t *)v.run)[v.run->io.data_offset] = 0x11;
		v.run->io.count = 0xffffffff;
		v.run->io.size = 0xff;
		v.run->io.data_offset = 1ull << 62;
	}
	run_to(&v, KVM_EXIT_MMIO);
	v.run->mmio.len = 0xffffffff;
	v.run->mmio.phys_addr = 0;
	v.run->mmio.is_write = 1;
	v.run->exit_reason = 77;
	run_done(&v);
}

/* A descriptor that a child inherits is not the child's VM. */
static void
other_process(int dev)
{
	struct vcpu v;
	struct vm vm;
	struct kvm_regs r;
	int status;
	pid_t pid;

	guest(&vm, &v, dev, LONG64, &nothing);
	pid = fork();
	if (pid == 0) {
		ERR(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS, EIO);
		ERR(vm.fd, KVM_CREATE_VCPU, 1, EIO);
		ERR(v.fd, KVM_GET_REGS, &r, EIO);
		ERR(v.fd, KVM_RUN, 0, EIO);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		_exit(1); /* the child told why */
	run_done(&v);
}

static void
vcpu_limits(int dev)
{
	unsigned max =
	    (unsigned)DO(dev, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID);
	struct vcpu v;
	struct vm vm;

	vm_open(&vm, dev);
	if (max == 0)
		max = (unsigned)DO(dev, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	ERR(vm.fd, KVM_CREATE_VCPU, max, EINVAL);
	ERR(vm.fd, KVM_CREATE_VCPU, 0xffffffff, EINVAL);
	vcpu_open(&v, &vm, 0);
	ERR(vm.fd, KVM_CREATE_VCPU, 0, EEXIST);
}

TESTS(bad, T(bad_addresses_fault), T(end_of_mapping), T(huge_counts),
    T(run_page), T(run_page_lies), T(other_process), T(vcpu_limits));
