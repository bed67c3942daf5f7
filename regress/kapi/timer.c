/* SPDX-License-Identifier: ISC */
/*
 * The APIC's timer and halting.
 */
#include <sys/ioctl.h>
#include <unistd.h>
#include "kapi.h"

#define X2APIC                                                     \
	"mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t" \
	"mov $0x80f, %ecx\n\tmov $0x1ff, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
#define WRMSR(index, value)                                                    \
	"mov $" #index ", %ecx\n\tmov $" #value ", %eax\n\txor %edx, %edx\n\t" \
	"wrmsr\n\t"

GUEST(64, count_handler,
    "push %rax\n\tpush %rcx\n\tpush %rdx\n\tincl (0xc000)\n\t"
    "rdtsc\n\tmov %eax, (0xc008)\n\tmov %edx, (0xc00c)\n\t"
    "mov $0x80b, %ecx\n\txor %eax, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "pop %rdx\n\tpop %rcx\n\tpop %rax\n\tiretq");

static void
timed(struct vm *vm, struct vcpu *v, int dev, const struct guest *code)
{
	guest(vm, v, dev, LONG64, code);
	vm_load(vm, CODE2, &count_handler);
	vm_gate(vm, LONG64, 0x41, CODE2);
}

/* Divide by 1, vector 0x41, a million ticks; then wait once more as long. */
GUEST(64, one_shot_code,
    X2APIC "sti\n\t" WRMSR(0x83e, 0xb) WRMSR(0x832, 0x41) WRMSR(0x838,
	1000000) "1: cmpl $0, (0xc000)\n\tje 1b\n\t"
		 "mov $0x839, %ecx\n\trdmsr\n\tmov %eax, %ebx\n\t"
		 "rdtsc\n\tmov %eax, %esi\n2:	rdtsc\n\tsub %esi, %eax\n\t"
		 "cmp $20000000, %eax\n\tjb 2b\n\tcli\n\t" END);

static void
one_shot(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	timed(&vm, &v, dev, &one_shot_code);
	run_done(&v);
	EQ(vm_u32(&vm, DATA), 1);
	regs_get(&v, &r);
	EQ(r.rbx, 0); /* ran down */
}

GUEST(64, periodic_code,
    X2APIC "sti\n\t" WRMSR(0x83e, 0xb) WRMSR(0x832, 0x20041) WRMSR(
	0x838, 1000000) "1: cmpl $20, (0xc000)\n\tjb 1b\n\t" WRMSR(0x838,
	0) "mov (0xc000), %ebx\n\t"
	   "rdtsc\n\tmov %eax, %esi\n2:	rdtsc\n\tsub %esi, %eax\n\t"
	   "cmp $20000000, %eax\n\tjb 2b\n\tcli\n\tmov (0xc000), %edi\n\t" END);

static void
periodic(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	timed(&vm, &v, dev, &periodic_code);
	run_done(&v);
	regs_get(&v, &r);
	CHECK(r.rdi - r.rbx <= 1, "%u more after the timer was stopped",
	    (unsigned)(r.rdi - r.rbx));
}

GUEST(64, masked_code,
    X2APIC "sti\n\t" WRMSR(0x83e, 0xb) WRMSR(0x832, 0x10041) WRMSR(0x838,
	100000) "1: mov $0x839, %ecx\n\trdmsr\n\ttest %eax, %eax\n\t"
		"jnz 1b\n\tmov $100000, %ecx\n2:	loop 2b\n\tcli\n\t" END);

static void
masked(int dev)
{
	struct vcpu v;
	struct vm vm;

	timed(&vm, &v, dev, &masked_code);
	run_done(&v);
	EQ(vm_u32(&vm, DATA), 0);
}

GUEST(64, deadline_code,
    X2APIC "sti\n\t" WRMSR(0x832,
	0x40041) "rdtsc\n\tshl $32, %rdx\n\tor %rdx, %rax\n\tadd $5000000, %rax\n\t"
		 "mov %rax, %rbx\n\tmov %rax, %rdx\n\tshr $32, %rdx\n\t"
		 "mov $0x6e0, %ecx\n\twrmsr\n1:	cmpl $0, (0xc000)\n\tje 1b\n\t"
		 "rdmsr\n\tshl $32, %rdx\n\tor %rdx, %rax\n\tmov %rax, %rdi\n\t"
		 /* one that is in the past comes at once */
		 "mov $1, %eax\n\txor %edx, %edx\n\twrmsr\n"
		 "2:	cmpl $1, (0xc000)\n\tje 2b\n\tcli\n\t" END);

static void
tsc_deadline(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	timed(&vm, &v, dev, &deadline_code);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rdi, 0); /* disarmed */
	EQ(vm_u32(&vm, DATA), 2);
	CHECK(vm_u64(&vm, DATA + 8) >= r.rbx, "before the deadline");
}

GUEST(64, cancel_code,
    X2APIC "sti\n\t" WRMSR(0x832,
	0x40041) "rdtsc\n\tshl $32, %rdx\n\tor %rdx, %rax\n\tadd $50000000, %rax\n\t"
		 "mov %rax, %rbx\n\tmov %rax, %rdx\n\tshr $32, %rdx\n\t"
		 "mov $0x6e0, %ecx\n\twrmsr\n\txor %eax, %eax\n\txor %edx, %edx\n\t"
		 "wrmsr\n1:	rdtsc\n\tshl $32, %rdx\n\tor %rdx, %rax\n\t"
		 "sub $20000000, %rax\n\tcmp %rbx, %rax\n\tjb 1b\n\tcli\n\t" END);

static void
deadline_cancelled(int dev)
{
	struct vcpu v;
	struct vm vm;

	timed(&vm, &v, dev, &cancel_code);
	run_done(&v);
	EQ(vm_u32(&vm, DATA), 0);
}

GUEST(64, halting,
    X2APIC WRMSR(0x83e, 0xb) WRMSR(0x832, 0x20041)
	WRMSR(0x838, 2000000) "1: sti\n\thlt\n\tcli\n\tincl (0xc004)\n\t"
			      "cmpl $20, (0xc000)\n\tjb 1b\n\t" END);

/* Interrupts wake a halt; nothing else does. */
static void
halt_wakes(int dev)
{
	struct vcpu v;
	struct vm vm;
	uint32_t n;

	timed(&vm, &v, dev, &halting);
	run_done(&v);
	n = vm_u32(&vm, DATA);
	CHECK(n >= 20, "%u interrupts", n);
	/* Some may come between STI and CLI, none is a wake-up for free. */
	CHECK(vm_u32(&vm, DATA + 4) >= 1 && vm_u32(&vm, DATA + 4) <= n,
	    "%u halts ended by %u interrupts", vm_u32(&vm, DATA + 4), n);
}

GUEST(64, sleeper, X2APIC "movl $1, (0xc010)\n\tsti\n\thlt\n\tcli\n\t" END);

/* A message wakes a vCPU that sleeps in the kernel. */
static void
halt_message(int dev)
{
	struct kvm_msi m = { .address_lo = APIC, .data = 0x41 };
	struct runner r;
	struct vcpu v;
	struct vm vm;

	timed(&vm, &v, dev, &sleeper);
	runner_start(&r, &v);
	wait_u32(&vm, DATA + 16, 1);
	usleep(50000);
	EQ(vm_u32(&vm, DATA), 0);
	EQ(DO(vm.fd, KVM_SIGNAL_MSI, &m), 1);
	runner_join(&r, 20);
	EQ(vm_u32(&vm, DATA), 1);
	EQ(r.reason, KVM_EXIT_IO);
}

GUEST(64, dead_halt, "movl $1, (0xc010)\n\tcli\n\thlt\n\t" END);

/* Halted with interrupts off: an interrupt does not wake it, an NMI does. */
static void
halt_interrupts_off(int dev)
{
	struct kvm_msi m = { .address_lo = APIC, .data = 0x41 };
	struct runner r;
	struct vcpu v;
	struct vm vm;

	timed(&vm, &v, dev, &dead_halt);
	msr_set(&v, 0x1b, APIC | 0xd00);
	msr_set(&v, 0x80f, 0x1ff);
	runner_start(&r, &v);
	wait_u32(&vm, DATA + 16, 1);
	usleep(20000);
	EQ(DO(vm.fd, KVM_SIGNAL_MSI, &m), 1);
	usleep(50000);
	EQ(pthread_tryjoin_np(r.thread, NULL), EBUSY);
	/* The vCPU's own calls wait for its thread: take it out first. */
	runner_kick(&r);
	runner_join(&r, 20);
	EQ(r.error, EINTR);
	DO(v.fd, KVM_NMI, 0);
	expect_trap(&v, NMI);
	run_done(&v);
	EQ(vm_u32(&vm, DATA), 0);
}

/* The timer's registers survive a move of the page by user space. */
static void
saved_and_restored(int dev)
{
	struct kvm_lapic_state s;
	struct vcpu v;
	struct vm vm;
	uint32_t w;

	timed(&vm, &v, dev, &one_shot_code);
	DO(v.fd, KVM_GET_LAPIC, &s);
	w = 0x20041;
	memcpy(s.regs + 0x320, &w, 4);
	w = 0xb;
	memcpy(s.regs + 0x3e0, &w, 4);
	w = 123456789;
	memcpy(s.regs + 0x380, &w, 4);
	DO(v.fd, KVM_SET_LAPIC, &s);
	DO(v.fd, KVM_GET_LAPIC, &s);
	memcpy(&w, s.regs + 0x380, 4);
	EQ(w, 123456789);
	memcpy(&w, s.regs + 0x390, 4);
	CHECK(w <= 123456789, "current count %u", w);
}

TESTS(timer, T(one_shot), T(periodic), T(masked), T(tsc_deadline),
    T(deadline_cancelled), T(halt_wakes), T(halt_message),
    T(halt_interrupts_off), T(saved_and_restored));
