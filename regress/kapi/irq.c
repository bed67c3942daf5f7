/* SPDX-License-Identifier: ISC */
/*
 * Routes and messages: GSI routing, KVM_SIGNAL_MSI, irqfd.
 */
#include <sys/ioctl.h>
#include <stdlib.h>
#include <unistd.h>
#include "kapi.h"

/* x2APIC on, interrupts on, then count in DATA until it is what ebx says. */
GUEST(64, waiter,
    "mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t"
    "mov $0x80f, %ecx\n\tmov $0x1ff, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "sti\n\tmovl $1, (0xc010)\n"
    "1:	cmpl %ebx, (0xc000)\n\tjb 1b\n\tcli\n\t" END);
/* Counts, and keeps the order of the first vectors. */
#define HANDLER(n)                                                              \
	GUEST(64, handler_##n,                                                  \
	    "push %rax\n\tpush %rcx\n\tpush %rdx\n\tmov (0xc000), %eax\n\t"     \
	    "movb $" #n ", 0xc100(%rax)\n\tincl (0xc000)\n\t"                   \
	    "mov $0x80b, %ecx\n\txor %eax, %eax\n\txor %edx, %edx\n\twrmsr\n\t" \
	    "pop %rdx\n\tpop %rcx\n\tpop %rax\n\tiretq")
HANDLER(0x41);
HANDLER(0x42);
HANDLER(0x83);

static void
waiting(struct vm *vm, struct vcpu *v, int dev, unsigned count)
{
	struct kvm_regs r;

	guest(vm, v, dev, LONG64, &waiter);
	vm_load(vm, CODE2, &handler_0x41);
	vm_load(vm, CODE2 + 0x100, &handler_0x42);
	vm_load(vm, CODE2 + 0x200, &handler_0x83);
	vm_gate(vm, LONG64, 0x41, CODE2);
	vm_gate(vm, LONG64, 0x42, CODE2 + 0x100);
	vm_gate(vm, LONG64, 0x83, CODE2 + 0x200);
	regs_get(v, &r);
	r.rbx = count;
	regs_set(v, &r);
}

static struct kvm_irq_routing *
routes(unsigned n, const uint32_t *gsi, const uint32_t *data)
{
	struct kvm_irq_routing *t =
	    calloc(1, sizeof(*t) + (n + 1) * sizeof(t->entries[0]));
	unsigned i;

	t->nr = n;
	for (i = 0; i < n; i++) {
		t->entries[i].gsi = gsi[i];
		t->entries[i].type = KVM_IRQ_ROUTING_MSI;
		t->entries[i].u.msi.address_lo = APIC;
		t->entries[i].u.msi.data = data[i];
	}
	return t;
}

static void
attach(const struct vm *vm, int fd, uint32_t gsi, uint32_t flags)
{
	struct kvm_irqfd q = { .fd = (uint32_t)fd, .gsi = gsi, .flags = flags };

	DO(vm->fd, KVM_IRQFD, &q);
}

static void
signal_msi(int dev)
{
	struct kvm_msi m = { .address_lo = APIC, .data = 0x41 };
	struct runner r;
	struct vcpu v;
	struct vm vm;

	waiting(&vm, &v, dev, 2);
	/* An APIC that is off takes nothing. */
	CHECK(DO(vm.fd, KVM_SIGNAL_MSI, &m) <= 1, "result");
	runner_start(&r, &v);
	wait_u32(&vm, DATA + 16, 1);
	EQ(DO(vm.fd, KVM_SIGNAL_MSI, &m), 1);
	wait_u32(&vm, DATA, 1);
	m.data = 0x42;
	EQ(DO(vm.fd, KVM_SIGNAL_MSI, &m), 1);
	runner_join(&r, 20);
	EQ(vm.mem[DATA + 0x100], 0x41);
	EQ(vm.mem[DATA + 0x101], 0x42);
}

/* Nothing but instructions that the hypervisor may serve on the spot, without a look
 * at anything else. */
GUEST(64, spinner,
    "mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t"
    "mov $0x80f, %ecx\n\tmov $0x1ff, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "mov %ebx, %esi\n\tsti\n\tmovl $1, (0xc010)\n"
    "1:	mov $1, %eax\n\txor %ecx, %ecx\n\tcpuid\n\t"
    "mov $0x80b, %ecx\n\txor %eax, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "cmpl %esi, (0xc000)\n\tjb 1b\n\tcli\n\t" END);

/* It is interrupted, and stopped, all the same. */
static void
spinning(int dev)
{
	struct kvm_msi m = { .address_lo = APIC, .data = 0x41 };
	struct runner r;
	struct vcpu v;
	struct vm vm;
	unsigned n;

	waiting(&vm, &v, dev, 3);
	vm_load(&vm, CODE, &spinner);
	for (n = 0; n < 3; n++) {
		runner_start(&r, &v);
		wait_u32(&vm, DATA + 16, 1);
		usleep(20000);
		EQ(DO(vm.fd, KVM_SIGNAL_MSI, &m), 1);
		wait_u32(&vm, DATA, n + 1);
		if (n == 2)
			break;
		usleep(20000);
		runner_kick(&r);
		runner_join(&r, 20);
		EQ(r.error, EINTR);
	}
	runner_join(&r, 20);
	EQ(r.error, 0);
	EQ(vm.mem[DATA + 0x102], 0x41);
}

static void
signal_msi_arguments(int dev)
{
	struct kvm_msi m = { .address_lo = APIC, .data = 0x41 };
	struct vcpu v;
	struct vm vm;

	waiting(&vm, &v, dev, 1);
	m.flags = 1u << 20;
	ERR(vm.fd, KVM_SIGNAL_MSI, &m, EINVAL);
	ERR(vm.fd, KVM_SIGNAL_MSI, NULL, EFAULT);
	m.flags = 0;
	/* Nobody has this id. */
	m.address_lo = APIC | 0x77000;
	CHECK(ioctl(vm.fd, KVM_SIGNAL_MSI, &m) <= 0, "delivered to nobody");
}

/* Two that are pending: the higher class first. */
static void
priority(int dev)
{
	struct kvm_msi m = { .address_lo = APIC, .data = 0x41 };
	struct vcpu v;
	struct vm vm;

	waiting(&vm, &v, dev, 3);
	/* A software-enabled APIC before the guest opens its interrupts. */
	msr_set(&v, 0x1b, APIC | 0xd00);
	msr_set(&v, 0x80f, 0x1ff);
	EQ(DO(vm.fd, KVM_SIGNAL_MSI, &m), 1);
	m.data = 0x83;
	EQ(DO(vm.fd, KVM_SIGNAL_MSI, &m), 1);
	m.data = 0x42;
	EQ(DO(vm.fd, KVM_SIGNAL_MSI, &m), 1);
	/* Twice pending is once. */
	CHECK(DO(vm.fd, KVM_SIGNAL_MSI, &m) <= 1, "result");
	run_done(&v);
	EQ(vm.mem[DATA + 0x100], 0x83);
	EQ(vm.mem[DATA + 0x101], 0x42);
	EQ(vm.mem[DATA + 0x102], 0x41);
	EQ(vm_u32(&vm, DATA), 3);
}

static void
routing_arguments(int dev)
{
	static const uint32_t gsi[] = { 5, 5, 100000 }, data[3] = { 0 };
	struct kvm_irq_routing *t = routes(1, gsi, data);
	struct vm vm;

	vm_open(&vm, dev);
	DO(vm.fd, KVM_SET_GSI_ROUTING, t);
	t->flags = 1;
	ERR(vm.fd, KVM_SET_GSI_ROUTING, t, EINVAL);
	t->flags = 0;
	t->nr = 100000;
	ERR(vm.fd, KVM_SET_GSI_ROUTING, t, EINVAL);
	t->nr = 1;
	t->entries[0].type = 77;
	ERR(vm.fd, KVM_SET_GSI_ROUTING, t, EINVAL);
	t->entries[0].type = KVM_IRQ_ROUTING_MSI;
	t->entries[0].flags = 1u << 30;
	ERR(vm.fd, KVM_SET_GSI_ROUTING, t, EINVAL);
	t->entries[0].flags = 0;
	t->entries[0].gsi = 100000;
	ERR(vm.fd, KVM_SET_GSI_ROUTING, t, EINVAL);
	ERR(vm.fd, KVM_SET_GSI_ROUTING, NULL, EFAULT);
	/* None at all is a table too. */
	t->nr = 0;
	DO(vm.fd, KVM_SET_GSI_ROUTING, t);
	free(t);
	/* Two for one number are not possible with messages. */
	t = routes(2, gsi, data);
	ERR(vm.fd, KVM_SET_GSI_ROUTING, t, EINVAL);
	free(t);
}

static void
irqfd(int dev)
{
	static const uint32_t gsi[] = { 30, 31 }, data[] = { 0x41, 0x42 };
	struct kvm_irq_routing *t = routes(2, gsi, data);
	int a = event_fd(), b = event_fd();
	struct runner r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	waiting(&vm, &v, dev, 101);
	DO(vm.fd, KVM_SET_GSI_ROUTING, t);
	attach(&vm, a, 30, 0);
	attach(&vm, b, 31, 0);
	runner_start(&r, &v);
	wait_u32(&vm, DATA + 16, 1);
	/* Each is one, in this order, as each is waited for. */
	for (i = 0; i < 100; i++) {
		poke(i % 2 == 0 ? a : b);
		wait_u32(&vm, DATA, i + 1);
		EQ(vm.mem[DATA + 0x100 + i], 0x41 + i % 2);
	}
	/* The route changes under the descriptor. */
	t->entries[0].u.msi.data = 0x83;
	DO(vm.fd, KVM_SET_GSI_ROUTING, t);
	poke(a);
	runner_join(&r, 20);
	EQ(vm.mem[DATA + 0x100 + 100], 0x83);
	free(t);
}

/* A signal from before the attachment counts. */
static void
irqfd_signalled_before(int dev)
{
	static const uint32_t gsi[] = { 30 }, data[] = { 0x41 };
	struct kvm_irq_routing *t = routes(1, gsi, data);
	int a = event_fd();
	struct vcpu v;
	struct vm vm;

	waiting(&vm, &v, dev, 1);
	msr_set(&v, 0x1b, APIC | 0xd00);
	msr_set(&v, 0x80f, 0x1ff);
	DO(vm.fd, KVM_SET_GSI_ROUTING, t);
	poke(a);
	attach(&vm, a, 30, 0);
	run_done(&v);
	EQ(vm.mem[DATA + 0x100], 0x41);
	free(t);
}

static void
irqfd_arguments(int dev)
{
	static const uint32_t gsi[] = { 30 }, data[] = { 0x41 };
	struct kvm_irq_routing *t = routes(1, gsi, data);
	struct kvm_irqfd q = { .gsi = 30 };
	int a = event_fd(), p[2];
	struct vcpu v;
	struct vm vm;

	waiting(&vm, &v, dev, 1);
	DO(vm.fd, KVM_SET_GSI_ROUTING, t);
	q.fd = 1000;
	ERR(vm.fd, KVM_IRQFD, &q, EBADF);
	if (pipe(p) != 0)
		fail("pipe");
	q.fd = (uint32_t)p[0];
	ERR(vm.fd, KVM_IRQFD, &q, EINVAL);
	q.fd = (uint32_t)a;
	q.flags = 1u << 20;
	ERR(vm.fd, KVM_IRQFD, &q, EINVAL);
	q.flags = 0;
	DO(vm.fd, KVM_IRQFD, &q);
	ERR(vm.fd, KVM_IRQFD, &q, EBUSY);
	q.flags = KVM_IRQFD_FLAG_DEASSIGN;
	DO(vm.fd, KVM_IRQFD, &q);
	DO(vm.fd, KVM_IRQFD, &q); /* gone already: no error */
	q.flags = 0;
	DO(vm.fd, KVM_IRQFD, &q);
	ERR(vm.fd, KVM_IRQFD, NULL, EFAULT);
	free(t);
}

static void
irqfd_removed(int dev)
{
	static const uint32_t gsi[] = { 30, 31 }, data[] = { 0x41, 0x42 };
	struct kvm_irq_routing *t = routes(2, gsi, data);
	int a = event_fd(), b = event_fd();
	struct runner r;
	struct vcpu v;
	struct vm vm;

	waiting(&vm, &v, dev, 1);
	DO(vm.fd, KVM_SET_GSI_ROUTING, t);
	attach(&vm, a, 30, 0);
	attach(&vm, b, 31, 0);
	attach(&vm, a, 30, KVM_IRQFD_FLAG_DEASSIGN);
	runner_start(&r, &v);
	wait_u32(&vm, DATA + 16, 1);
	poke(a);
	usleep(20000);
	EQ(vm_u32(&vm, DATA), 0);
	poke(b);
	runner_join(&r, 20);
	EQ(vm.mem[DATA + 0x100], 0x42);
	free(t);
}

/* Resampling belongs to an IOAPIC in the kernel: refused with a split one. */
static void
irqfd_resample(int dev)
{
	struct kvm_irqfd q = { .gsi = 5, .flags = KVM_IRQFD_FLAG_RESAMPLE };
	struct vcpu v;
	struct vm vm;

	waiting(&vm, &v, dev, 1);
	q.fd = (uint32_t)event_fd();
	q.resamplefd = (uint32_t)event_fd();
	ERR(vm.fd, KVM_IRQFD, &q, EINVAL);
}

/* The sender may be gone: its last signal and the closing are no trouble. */
static void
irqfd_closed(int dev)
{
	static const uint32_t gsi[] = { 30 }, data[] = { 0x41 };
	struct kvm_irq_routing *t = routes(1, gsi, data);
	struct vcpu v;
	struct vm vm;
	unsigned i;
	int a;

	waiting(&vm, &v, dev, 1);
	msr_set(&v, 0x1b, APIC | 0xd00);
	msr_set(&v, 0x80f, 0x1ff);
	DO(vm.fd, KVM_SET_GSI_ROUTING, t);
	for (i = 0; i < 50; i++) {
		a = event_fd();
		attach(&vm, a, 30, 0);
		poke(a);
		close(a);
	}
	run_done(&v);
	free(t);
}

static void
irqchip_split(int dev)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP,
		.args = { 24 } };
	struct vcpu v;
	struct vm vm;

	vm_open_bare(&vm, dev);
	split.args[0] = 100000;
	ERR(vm.fd, KVM_ENABLE_CAP, &split, EINVAL);
	split.args[0] = 24;
	split.flags = 1;
	ERR(vm.fd, KVM_ENABLE_CAP, &split, EINVAL);
	split.flags = 0;
	DO(vm.fd, KVM_ENABLE_CAP, &split);
	ERR(vm.fd, KVM_ENABLE_CAP, &split, EEXIST);
	vcpu_open(&v, &vm, 0);
	ERR(vm.fd, KVM_CREATE_VCPU, 0, EEXIST);
	ERR(vm.fd, KVM_CREATE_VCPU, 1u << 20, EINVAL);
	split.cap = 100000;
	ERR(vm.fd, KVM_ENABLE_CAP, &split, EINVAL);
}

TESTS(irq, T(signal_msi), T(spinning), T(signal_msi_arguments), T(priority),
    T(routing_arguments), T(irqfd), T(irqfd_signalled_before),
    T(irqfd_arguments), T(irqfd_removed), T(irqfd_resample), T(irqfd_closed),
    T(irqchip_split));
