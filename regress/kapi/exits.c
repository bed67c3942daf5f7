/* SPDX-License-Identifier: ISC */
/*
 * The other exits: halt, shutdown, windows, EOI of an IOAPIC, failures.
 */
#include <sys/ioctl.h>
#include <cpuid.h>
#include "kapi.h"

GUEST(64, halt, "hlt\n\t" END);

/* Without an APIC in the kernel a halt is user space's. */
static void
hlt_without_apic(int dev)
{
	struct vcpu v;
	struct vm vm;
	int fd;

	vm_open_bare(&vm, dev);
	fd = ioctl(vm.fd, KVM_CREATE_VCPU, 0);
	if (fd < 0 && errno == EINVAL)
		skip("no vCPUs without an APIC");
	vm_open_bare(&vm, dev);
	vm.size = MEMORY;
	vm.mem = pages(MEMORY);
	vm_slot(&vm, 0, 0, 0, vm.mem, MEMORY);
	vcpu_open(&v, &vm, 0);
	vcpu_mode(&v, LONG64);
	vm_load(&vm, CODE, &halt);
	run_to(&v, KVM_EXIT_HLT);
	run_done(&v);
}

GUEST(64, triple, "ud2");

static void
triple_fault(int dev)
{
	struct kvm_sregs s;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &triple);
	sregs_get(&v, &s);
	s.idt.limit = 0;
	sregs_set(&v, &s);
	run_to(&v, KVM_EXIT_SHUTDOWN);
}

GUEST(32, triple32, "lidt (0xc000)\n\tint3");

static void
triple_fault_32(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, PAE32, &triple32);
	run_to(&v, KVM_EXIT_SHUTDOWN);
	/* A new set of registers is a new life. */
	vcpu_mode(&v, LONG64);
	vm_load(&vm, CODE, &halt);
	vm.mem[CODE] = 0x90;
	run_done(&v);
}

GUEST(64, open_window,
    "cli\n\t" PUT(1) "sti\n\tnop\n\tnop\n\t" PUT(2) "cli\n\t" END);

static void
irq_window(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &open_window);
	v.run->request_interrupt_window = 1;
	run_to(&v, KVM_EXIT_IRQ_WINDOW_OPEN);
	EQ(v.nmarks, 1);
	EQ(v.run->ready_for_interrupt_injection, 1);
	EQ(v.run->if_flag, 1);
	v.run->request_interrupt_window = 0;
	DO(v.fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x31 });
	expect_trap(&v, 0x31);
	run_done(&v);
	EQ(v.nmarks, 2);
	EQ(v.run->if_flag, 0);
}

/* With the flag set at once, before the first instruction. */
static void
irq_window_open(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &open_window);
	regs_get(&v, &r);
	r.rflags |= RFLAGS_IF;
	regs_set(&v, &r);
	v.run->request_interrupt_window = 1;
	run_to(&v, KVM_EXIT_IRQ_WINDOW_OPEN);
	EQ(v.nmarks, 0);
	EQ(rip_of(&v), CODE);
}

/* HLT in STI's shadow: the window opens in a CPU that sleeps already. */
GUEST(64, halt_window, "sti\n\thlt\n\t" PUT(1) "cli\n\t" END);

static void
irq_window_halted(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &halt_window);
	v.run->request_interrupt_window = 1;
	run_to(&v, KVM_EXIT_IRQ_WINDOW_OPEN);
	EQ(rip_of(&v), CODE + 2);
	EQ(v.run->ready_for_interrupt_injection, 1);
	v.run->request_interrupt_window = 0;
	DO(v.fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x31 });
	expect_trap(&v, 0x31);
	run_done(&v);
	EQ(v.nmarks, 1);
}

/* LINT0 masked: the process's 8259 is cut off, and no window is one for it. */
GUEST(64, masked_window,
    "mov $0xfee00000, %esi\n\tmovl $0x10700, 0x350(%rsi)\n\tsti\n\tnop\n\t"
    "nop\n\t" END);

static void
irq_window_masked(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &masked_window);
	v.run->request_interrupt_window = 1;
	run_done(&v);
	EQ(v.run->if_flag, 1);
	EQ(v.run->ready_for_interrupt_injection, 0);
}

GUEST(64, eoi_code,
    "mov $0x1b, %ecx\n\trdmsr\n\tor $0x400, %eax\n\twrmsr\n\t"
    "mov $0x80f, %ecx\n\tmov $0x1ff, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "sti\n\t" PUT(1) "1:	cmpl $0, (0xc000)\n\tje 1b\n\t" END);
GUEST(64, eoi_handler,
    "push %rax\n\tpush %rcx\n\tpush %rdx\n\tincl (0xc000)\n\t"
    "mov $0x80b, %ecx\n\txor %eax, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "pop %rdx\n\tpop %rcx\n\tpop %rax\n\tiretq");

static void
route(const struct vm *vm, uint32_t gsi, uint32_t data)
{
	WITH_ROOM(struct kvm_irq_routing, struct kvm_irq_routing_entry, 1)
	t = { .head.nr = 1 };

	t.head.entries[0] = (struct kvm_irq_routing_entry){ .gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = APIC, .data = data } };
	DO(vm->fd, KVM_SET_GSI_ROUTING, &t);
}

/* The end of a level-triggered interrupt that is routed from a pin of user
 * space's IOAPIC is told to it; that of an edge is not. */
static void
ioapic_eoi(int dev)
{
	struct kvm_msi m = { .address_lo = 0xfee00000, .data = 0xc041 };
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &eoi_code);
	vm_load(&vm, CODE2, &eoi_handler);
	vm_gate(&vm, LONG64, 0x41, CODE2);
	vm_gate(&vm, LONG64, 0x42, CODE2);
	route(&vm, 5, 0xc041); /* level, asserted */
	DO(v.fd, KVM_RUN, 0); /* to the mark */
	CHECK(at_port(&v, MARK), "exit %u", v.run->exit_reason);
	EQ(DO(vm.fd, KVM_SIGNAL_MSI, &m), 1);
	run_to(&v, KVM_EXIT_IOAPIC_EOI);
	EQ(v.run->eoi.vector, 0x41);
	run_done(&v);
	/* Edge. */
	vcpu_mode(&v, LONG64);
	vm_gate(&vm, LONG64, 0x42, CODE2);
	memset(vm.mem + DATA, 0, 4);
	m.data = 0x42;
	DO(v.fd, KVM_RUN, 0);
	CHECK(at_port(&v, MARK), "exit %u", v.run->exit_reason);
	EQ(DO(vm.fd, KVM_SIGNAL_MSI, &m), 1);
	run_done(&v);
}

/* Is this machine's processor QEMU's software (CPUID leaf 40000000h)? */
static bool
on_tcg(void)
{
	char name[12];
	unsigned a, b, c, d;

	__cpuid(0x40000000, a, b, c, d);
	memcpy(name, &b, 4);
	memcpy(name + 4, &c, 4);
	memcpy(name + 8, &d, 4);
	return memcmp(name, "TCGTCGTCGTCG", sizeof(name)) == 0;
}

/* State that the processor refuses: a reserved bit of EFER.  A driver may refuse
 * it first. */
static void
fail_entry(int dev)
{
	struct kvm_sregs s;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &halt);
	vm.mem[CODE] = 0x90;
	sregs_get(&v, &s);
	s.efer |= 1ull << 40;
	if (ioctl(v.fd, KVM_SET_SREGS, &s) < 0) {
		EQ(errno, EINVAL);
		run_done(&v);
		return;
	}
	if (on_tcg())
		skip("QEMU's processor does not return from a refused VMRUN");
	DO(v.fd, KVM_RUN, 0);
	if (is_kvm(dev) && __builtin_cpu_is("intel") && at_port(&v, DONE))
		skip("KVM enters, where the VMCS has no field of EFER");
	EQ(v.run->exit_reason, KVM_EXIT_FAIL_ENTRY);
	CHECK(v.run->fail_entry.hardware_entry_failure_reason != 0, "reason");
	/* Repaired, it runs. */
	s.efer &= ~(1ull << 40);
	sregs_set(&v, &s);
	run_done(&v);
}

/* Code where there is no memory. */
static void
fetch_from_nowhere(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &halt);
	regs_get(&v, &r);
	r.rip = MMIO;
	regs_set(&v, &r);
	run_to(&v, KVM_EXIT_INTERNAL_ERROR);
	EQ(v.run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
}

GUEST(32, first_task,
    "mov $0x58, %eax\n\tltr %ax\n\tljmp $0x60, $0\n\t" PUT(
	2) "lcall $0x60, $0\n\t" PUT(3) END);
GUEST(32, second_task,
    "out %al, $0xf6\n\tljmp $0x58, $0\n\tout %al, $0xf6\n\tiret");

/* To another task by a jump, back by one, there by a call, back by IRET.  On
 * Intel a hypervisor has to emulate it. */
static void
tasks(struct vm *vm, struct vcpu *v, int dev, const struct guest *first,
    const struct guest *second)
{
	static const uint32_t tss[26] = { [8] = CODE2,
		[9] = 2,
		[10] = 0x11,
		[14] = STACK0,
		[18] = SEL_DATA,
		[19] = SEL_CODE32,
		[20] = SEL_DATA,
		[21] = SEL_DATA,
		[22] = SEL_DATA,
		[23] = SEL_DATA };
	uint64_t descriptor = 0x0000890000000067 | (uint64_t)FREE << 16;
	struct kvm_sregs s;

	if (shadows(dev) && !__builtin_cpu_is("intel"))
		skip("without nested paging, this processor (an emulator) "
		     "lets a task load CR3");
	guest(vm, v, dev, PROT32, first);
	vm_load(vm, CODE2, second);
	memcpy(vm->mem + GDT + 0x58, &descriptor, 8);
	descriptor += 0x100 << 16;
	memcpy(vm->mem + GDT + 0x60, &descriptor, 8);
	memcpy(vm->mem + FREE + 0x100, tss, sizeof(tss));
	sregs_get(v, &s);
	s.gdt.limit = 0x67;
	sregs_set(v, &s);
}

static void
task_switch(int dev)
{
	struct kvm_sregs s;
	struct vcpu v;
	struct vm vm;

	tasks(&vm, &v, dev, &first_task, &second_task);
	run_done(&v);
	EQ(v.nmarks, 4);
	sregs_get(&v, &s);
	EQ(s.tr.selector, 0x58);
	EQ(vm_u32(&vm, FREE + 0x120), CODE2 + 12); /* after its IRET */
}

/* The stack is there before: what nested paging cuts off in the middle of a
 * switch no processor takes up again. */
GUEST(32, faulting_task,
    "addl $0, 0x6ffc\n\taddl $0, 0x100000\n\t"
    "mov $0x58, %eax\n\tltr %ax\n\tmov $0x4124, %ecx\n\tmov %cx, %ds\n\t" PUT(2)
	END);
/* It has the error code, and lets the other go on behind the instruction. */
GUEST(32, handling_task,
    "pop %eax\n\tout %al, $0xf6\n\taddl $2, 0x100020\n\tiret");

/* An exception that comes by a task gate, and one of the new task itself. */
static void
task_gate(int dev)
{
	static const uint32_t gate[2] = { 0x60 << 16, 0x8500 };
	uint32_t selector = 0x4124;
	struct kvm_sregs s;
	struct vcpu v;
	struct vm vm;
	struct trap t;

	tasks(&vm, &v, dev, &faulting_task, &handling_task);
	memcpy(vm.mem + IDT + GP * 8, gate, sizeof(gate));
	run_done(&v);
	EQ(v.nmarks, 2);
	EQ(v.marks[0], 0x24);
	EQ(v.marks[1], 2);
	EQ(vm_u32(&vm, FREE + 0x128), 0x4124); /* its EAX as it ended */
	sregs_get(&v, &s);
	EQ(s.tr.selector, 0x58);
	EQ(s.cr0 & 8, 8); /* TS */

	tasks(&vm, &v, dev, &first_task, &second_task);
	memcpy(vm.mem + FREE + 0x154, &selector, 4); /* its DS */
	/* On Intel a switch is software: kvm_task_switch() of Linux 6.1 does
	 * not raise what emulator_task_switch() has found. */
	if (is_kvm(dev) && __builtin_cpu_is("intel")) {
		run_done(&v);
		skip("KVM drops the fault of a new task");
	}
	run_trap(&v, &t);
	EQ(t.vector, TS);
	EQ(t.error, 0x4124);
	/* QEMU's software processor mixes it with the jump's. */
	if (__builtin_cpu_is("intel"))
		EQ(t.rip, CODE2);
	sregs_get(&v, &s);
	EQ(s.tr.selector, 0x60);
}

GUEST(64, hypercalls, "mov $0x7777, %eax\n\tvmmcall\n\tmov %rax, %rbx\n\t" END);

/* Hypercalls that do not exist: -KVM_ENOSYS; from level 3 -KVM_EPERM. */
static void
unknown_hypercall(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &hypercalls);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rbx, -1000ll);
	vcpu_mode(&v, USER64);
	regs_get(&v, &r);
	r.rflags |= RFLAGS_IOPL;
	regs_set(&v, &r);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rbx, -1ll);
}

TESTS(exits, T(hlt_without_apic), T(triple_fault), T(triple_fault_32),
    T(irq_window), T(irq_window_open), T(irq_window_halted),
    T(irq_window_masked), T(ioapic_eoi), T(task_switch), T(task_gate),
    T(fail_entry), T(fetch_from_nowhere), T(unknown_hypercall));
