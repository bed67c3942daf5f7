/* SPDX-License-Identifier: ISC */
/*
 * usage: exits [device [figure turns]]	(in the lab with a deterministic clock)
 *
 * What the exits of a guest cost: nanoseconds per operation, which are
 * instructions where one instruction is one nanosecond.  Prints lines
 * "figure value": all, or one with so many turns.  Guests and VMs are those of
 * the conformance tests.
 */
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "../kapi/kapi.h"

#define NPAGES 1024u
#define AREA   0x40000000ul
#define X2APIC                                                     \
	"mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t" \
	"mov $0x80f, %ecx\n\tmov $0x1ff, %eax\n\txor %edx, %edx\n\twrmsr\n\t"

/* Each loop runs once for what is slow the first time, then r8 times. */
#define LOOP(text) PUT(1) "1:	" text "\n\tdec %r8d\n\tjnz 1b\n\t" END
GUEST(64, empty, LOOP("nop"));
GUEST(64, cpuid, LOOP("xor %eax, %eax\n\tcpuid"));
GUEST(64, vmmcall, LOOP("mov $0x7777, %eax\n\tvmmcall"));
GUEST(64, eoi, X2APIC "mov $0x80b, %ecx\n\t" LOOP("xor %eax, %eax\n\twrmsr"));
/* A load, of the value that is there; an exit of shadow paging. */
GUEST(64, cr3, "mov %cr3, %rbx\n\t" LOOP("mov %rbx, %cr3"));
GUEST(64, port, LOOP("out %al, $0x60"));
GUEST(64, mmio, LOOP("mov %eax, (%rsi)"));
GUEST(64, touch, LOOP("mov %eax, (%rsi)\n\tadd $4096, %rsi"));
GUEST(64, timer,
    X2APIC "mov $0x832, %ecx\n\tmov $0x40041, %eax\n\twrmsr\n\tsti\n\t"
	   "xor %ebx, %ebx\n\t" LOOP("mov $0x6e0, %ecx\n\tmov $1, %eax\n\t"
				     "xor %edx, %edx\n\twrmsr\n\tinc %ebx\n"
				     "2:	cmp %ebx, (0xc000)\n\tjne 2b"));
GUEST(64, waiting, X2APIC "sti\n\t" LOOP("nop\n\tout %al, $0x60"));
GUEST(64, handler,
    "push %rax\n\tpush %rcx\n\tpush %rdx\n\tincl (0xc000)\n\t"
    "mov $0x80b, %ecx\n\txor %eax, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "pop %rdx\n\tpop %rcx\n\tpop %rax\n\tiretq");

static const char *only; /* NULL: all figures */
static unsigned turns = 2000;

static bool
wanted(const char *figure)
{
	return only == NULL || strcmp(figure, only) == 0;
}

static uint64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void
report(const char *figure, uint64_t ns, unsigned n)
{
	printf("%s %.0f\n", figure, (double)ns / n);
	fflush(stdout);
}

static void
prepare(struct vm *vm, struct vcpu *v, int dev, const struct guest *code,
    unsigned n)
{
	struct kvm_regs r;

	guest(vm, v, dev, LONG64, code);
	vm_load(vm, CODE2, &handler);
	vm_gate(vm, LONG64, 0x41, CODE2);
	regs_get(v, &r);
	r.rsi = MMIO;
	r.r8 = n;
	regs_set(v, &r);
	/* To the mark before the loop. */
	DO(v->fd, KVM_RUN, 0);
	CHECK(at_port(v, MARK), "exit %u", v->run->exit_reason);
	/* Bochs's debugger looks from here on (profile); else it does nothing. */
	if (only != NULL)
		asm volatile("xchg %bx, %bx");
}

/* A loop that stays in the kernel. */
static void
inside(int dev, const char *figure, const struct guest *code)
{
	struct vcpu v;
	struct vm vm;
	uint64_t t;

	if (!wanted(figure))
		return;
	prepare(&vm, &v, dev, code, turns);
	t = now();
	run_done(&v);
	report(figure, now() - t, turns);
}

/* Each turn of the loop is an exit to us. */
static void
outside(int dev, const char *figure, const struct guest *code, uint32_t reason)
{
	struct vcpu v;
	struct vm vm;
	uint64_t t;
	unsigned i;

	if (!wanted(figure))
		return;
	prepare(&vm, &v, dev, code, turns);
	t = now();
	for (i = 0; i < turns; i++) {
		DO(v.fd, KVM_RUN, 0);
		CHECK(v.run->exit_reason == reason, "exit %u",
		    v.run->exit_reason);
	}
	report(figure, now() - t, turns);
}

static void
kick(int dev, const char *figure, const struct guest *code, uint64_t addr,
    uint32_t len, uint32_t flags)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct kvm_ioeventfd e = {
		.addr = addr, .len = len, .fd = fd, .flags = flags
	};
	struct vcpu v;
	struct vm vm;
	uint64_t t;

	if (!wanted(figure))
		return;
	prepare(&vm, &v, dev, code, turns);
	DO(vm.fd, KVM_IOEVENTFD, &e);
	t = now();
	run_done(&v);
	report(figure, now() - t, turns);
	close(fd);
}

/* A signal, the interrupt, its EOI and one exit, which "port" shows alone. */
static void
irqfd(int dev)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	WITH_ROOM(struct kvm_irq_routing, struct kvm_irq_routing_entry, 1)
	route = { .head.nr = 1 };
	struct kvm_irqfd q = { .fd = (uint32_t)fd, .gsi = 30 };
	struct vcpu v;
	struct vm vm;
	uint64_t t;
	unsigned i;

	if (!wanted("irqfd+port"))
		return;
	prepare(&vm, &v, dev, &waiting, turns);
	route.head.entries[0] = (struct kvm_irq_routing_entry){ .gsi = 30,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = APIC, .data = 0x41 } };
	DO(vm.fd, KVM_SET_GSI_ROUTING, &route);
	DO(vm.fd, KVM_IRQFD, &q);
	t = now();
	for (i = 0; i < turns; i++) {
		if (write(fd, &(uint64_t){ 1 }, 8) != 8)
			fail("eventfd");
		DO(v.fd, KVM_RUN, 0);
	}
	report("irqfd+port", now() - t, turns);
	EQ(vm_u32(&vm, DATA), turns);
}

/* Memory that user space touched already: the nested fault alone. */
static void
nested_faults(int dev)
{
	uint8_t *p = pages(NPAGES * 4096);
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	uint64_t t;

	if (!wanted("page-fault"))
		return;
	memset(p, 1, NPAGES * 4096);
	prepare(&vm, &v, dev, &touch, NPAGES);
	vm_slot(&vm, 1, 0, AREA, p, NPAGES * 4096);
	regs_get(&v, &r);
	r.rsi = AREA;
	regs_set(&v, &r);
	t = now();
	run_done(&v);
	report("page-fault", now() - t, NPAGES);
}

/* One thread runs two vCPUs in turn: an exit and a switch each. */
static void
switches(int dev)
{
	struct vcpu v[2];
	struct vm vm[2];
	uint64_t t;
	unsigned i;

	if (!wanted("switch+port"))
		return;
	for (i = 0; i < 2; i++)
		prepare(&vm[i], &v[i], dev, &port, turns);
	t = now();
	for (i = 0; i < 2 * turns; i++)
		DO(v[i % 2].fd, KVM_RUN, 0);
	report("switch+port", now() - t, 2 * turns);
}

int
main(int argc, char **argv)
{
	const char *device = argc > 1 ? argv[1] : "/dev/kvm";
	int dev;

	if (argc > 3) {
		only = argv[2];
		turns = (unsigned)strtoul(argv[3], NULL, 10);
	}
	/* The harness says on descriptor 3 why it gave up. */
	if (dup2(STDERR_FILENO, 3) < 0 ||
	    (dev = open(device, O_RDWR | O_CLOEXEC)) < 0) {
		perror(device);
		return 1;
	}
	inside(dev, "loop", &empty);
	inside(dev, "cpuid", &cpuid);
	inside(dev, "vmmcall", &vmmcall);
	inside(dev, "eoi", &eoi);
	inside(dev, "timer", &timer);
	outside(dev, "port", &port, KVM_EXIT_IO);
	outside(dev, "mmio", &mmio, KVM_EXIT_MMIO);
	kick(dev, "ioeventfd-port", &port, 0x60, 1, KVM_IOEVENTFD_FLAG_PIO);
	kick(dev, "ioeventfd-mmio", &mmio, MMIO, 4, 0);
	irqfd(dev);
	nested_faults(dev);
	switches(dev);
	/* QEMU's software SVM shuts down KVM's guest without nested paging. */
	if (!shadows(dev) || !is_kvm(dev) || __builtin_cpu_is("intel"))
		inside(dev, "cr3", &cr3);
	return 0;
}
