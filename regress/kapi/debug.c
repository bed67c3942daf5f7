/* SPDX-License-Identifier: ISC */
/*
 * Debugging by user space and by the guest itself.
 */
#include "kapi.h"

static void
debug(const struct vcpu *v, uint32_t control, unsigned n, uint64_t addr,
    uint64_t dr7)
{
	struct kvm_guest_debug d = { .control = control };

	d.arch.debugreg[n] = addr;
	d.arch.debugreg[7] = dr7;
	DO(v->fd, KVM_SET_GUEST_DEBUG, &d);
}
#define ON   KVM_GUESTDBG_ENABLE
#define STEP (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP)

static void
expect_debug(struct vcpu *v, uint32_t exception, uint64_t pc)
{
	run_to(v, KVM_EXIT_DEBUG);
	EQ(v->run->debug.arch.exception, exception);
	EQ(v->run->debug.arch.pc, pc);
}

GUEST(64, breakpoint, "nop\n\tint3\n\tnop\n\t" END);

static void
software_breakpoint(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &breakpoint);
	debug(&v, ON | KVM_GUESTDBG_USE_SW_BP, 0, 0, 0);
	run(&v);
	if (at_port(&v, TRAP))
		skip("this processor (an emulator) does not intercept INT3");
	EQ(v.run->exit_reason, KVM_EXIT_DEBUG);
	EQ(v.run->debug.arch.exception, BP);
	EQ(v.run->debug.arch.pc, CODE + 1);
	vm.mem[CODE + 1] = 0x90; /* what a debugger puts back */
	run_done(&v);
	/* Not asked for, it is the guest's. */
	debug(&v, 0, 0, 0, 0);
	vcpu_mode(&v, LONG64);
	vm_load(&vm, CODE, &breakpoint);
	expect_trap(&v, BP);
}

GUEST(64, straight, "nop\n\tnop\n\tnop\n\tmov %rax, (%rsi)\n\tnop\n\t" END);

static void
hardware_breakpoint(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &straight);
	debug(&v, ON | KVM_GUESTDBG_USE_HW_BP, 1, CODE + 2, 0x404);
	expect_debug(&v, DB, CODE + 2);
	EQ(v.run->debug.arch.dr6 & 0xf, 2);
	debug(&v, 0, 0, 0, 0);
	run_done(&v);
}

static void
watchpoint(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &straight);
	regs_get(&v, &r);
	r.rsi = FREE + 8;
	regs_set(&v, &r);
	/* Register 2: writes of 8 bytes. */
	debug(&v, ON | KVM_GUESTDBG_USE_HW_BP, 2, FREE + 8,
	    0x400 | 0x20 | 0x9ul << 24);
	expect_debug(&v, DB, CODE + 6);
	EQ(v.run->debug.arch.dr6 & 0xf, 4);
	run_done(&v);
}

GUEST(64, steps,
    "nop\n\tmov $1, %eax\n\tcpuid\n\tmov $0x10, %ecx\n\trdmsr\n\t"
    "in $0x60, %al\n\tout %al, $0x61\n\tmov (%rsi), %rbx\n\tnop\n\t" END);

/* Each instruction is one step, those that are intercepted too. */
static void
single_step(int dev)
{
	static const unsigned char at[] = { 1, 6, 8, 13, 15, 17, 19, 22, 23 };
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &steps);
	regs_get(&v, &r);
	r.rsi = MMIO;
	regs_set(&v, &r);
	for (i = 0; i < sizeof(at); i++) {
		/* Anew for each step, as debuggers do. */
		debug(&v, STEP, 0, 0, 0);
		if (at[i] == 17 || at[i] == 19) {
			run_to(&v, KVM_EXIT_IO);
			EQ(v.run->io.port, at[i] == 17 ? 0x60 : 0x61);
		} else if (at[i] == 22) {
			run_to(&v, KVM_EXIT_MMIO);
		}
		expect_debug(&v, DB, CODE + at[i]);
		EQ(v.run->debug.arch.dr6 & 0x4000, 0x4000);
	}
	debug(&v, 0, 0, 0, 0);
	run_done(&v);
}

GUEST(64, flags_pushed, "pushf\n\tpop %rbx\n\tnop\n\t" END);

/* The guest does not see the flag that steps it. */
static void
step_is_hidden(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &flags_pushed);
	debug(&v, STEP, 0, 0, 0);
	for (i = 0; i < 3; i++)
		run_to(&v, KVM_EXIT_DEBUG);
	regs_get(&v, &r);
	EQ(r.rflags & RFLAGS_TF, 0);
	debug(&v, 0, 0, 0, 0);
	run_done(&v);
}

GUEST(64, step_faults, "nop\n\tud2\n\t" END);

/* A step over a fault ends at the handler's first instruction. */
static void
step_into_handler(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &step_faults);
	debug(&v, STEP, 0, 0, 0);
	expect_debug(&v, DB, CODE + 1);
	run(&v);
	if (v.run->exit_reason == KVM_EXIT_DEBUG)
		EQ((v.run->debug.arch.pc - STUBS) / STUB_LEN, UD);
	else
		CHECK(at_port(&v, TRAP), "exit %u", v.run->exit_reason);
}

GUEST(64, own_step,
    "pushf\n\torl $0x100, (%rsp)\n\tpopf\n\tcpuid\n\tnop\n\t" END);

/* The guest steps itself, over CPUID too: #DB with BS, the frame behind. */
static void
guest_steps_itself(int dev)
{
	struct kvm_debugregs d;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, LONG64, &own_step);
	run_trap(&v, &t);
	EQ(t.vector, DB);
	EQ(t.rip, CODE + 11);
	EQ(t.flags & RFLAGS_TF, RFLAGS_TF);
	DO(v.fd, KVM_GET_DEBUGREGS, &d);
	EQ(d.dr6 & 0x4000, 0x4000);
	run_trap(&v, &t);
	EQ(t.rip, CODE + 12);
	regs_get(&v, &r);
	vm.mem[r.rsp + 17] = 0;
	run_done(&v);
}

GUEST(64, own_registers,
    "mov $0xc100, %eax\n\tmov %rax, %dr0\n\tmov $0xd0401, %eax\n\t"
    "mov %rax, %dr7\n\tmov %rbx, (0xc100)\n\tnop\n\t"
    "mov %dr6, %rbx\n\txor %eax, %eax\n\tmov %rax, %dr7\n\t"
    "mov %rbx, (0xc100)\n\t" END);

/* The guest's own breakpoint on a write of 4 bytes. */
static void
guest_debug_registers(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &own_registers);
	expect_trap(&v, DB);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rbx & 1, 1);
	/* Both kinds at once: user space's come first, the guest's come back. */
	vcpu_mode(&v, LONG64);
	debug(&v, ON | KVM_GUESTDBG_USE_HW_BP, 3, CODE, 0x440);
	expect_debug(&v, DB, CODE);
	debug(&v, 0, 0, 0, 0);
	expect_trap(&v, DB);
	run_done(&v);
}

GUEST(64, watched, PUT(1) "mov %rbx, (0xc100)\n\tnop\n\t" END);

/* Breakpoints that user space set are the guest's, and stay so when the vCPU
 * has left the CPU. */
static void
breakpoints_set_for_guest(int dev)
{
	struct kvm_debugregs d;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &watched);
	DO(v.fd, KVM_GET_DEBUGREGS, &d);
	d.db[0] = 0xc100;
	d.dr7 = 0xd0401;
	DO(v.fd, KVM_SET_DEBUGREGS, &d);
	expect_trap(&v, DB);
	EQ(v.nmarks, 1);
	DO(v.fd, KVM_GET_DEBUGREGS, &d);
	EQ(d.db[0], 0xc100);
	EQ(d.dr6 & 1, 1);
	run_done(&v);
}

GUEST(64, general_detect, "mov %dr0, %rax\n\t" END);

static void
dr7_general_detect(int dev)
{
	struct kvm_debugregs d;
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, LONG64, &general_detect);
	DO(v.fd, KVM_GET_DEBUGREGS, &d);
	d.dr7 = 0x2400;
	DO(v.fd, KVM_SET_DEBUGREGS, &d);
	run_trap(&v, &t);
	EQ(t.vector, DB);
	EQ(t.rip, CODE);
	DO(v.fd, KVM_GET_DEBUGREGS, &d);
	EQ(d.dr6 & 0x2000, 0x2000);
	EQ(d.dr7 & 0x2000, 0);
}

TESTS(debug, T(software_breakpoint), T(hardware_breakpoint), T(watchpoint),
    T(single_step), T(step_is_hidden), T(step_into_handler),
    T(guest_steps_itself), T(guest_debug_registers),
    T(breakpoints_set_for_guest), T(dr7_general_detect));
