/* SPDX-License-Identifier: ISC */
/*
 * The task priority in a word of the guest's memory (KVM_SET_VAPIC_ADDR), and
 * the exits by which user space finds who accesses it.
 */
#include <linux/kvm_para.h>
#include "kapi.h"

#define WORD DATA
#define TELL 0xf7 /* a port */

static uint8_t
tpr_of(const struct vcpu *v)
{
	struct kvm_lapic_state s;

	DO(v->fd, KVM_GET_LAPIC, &s);
	return (uint8_t)s.regs[0x80];
}

static void
set_addr(const struct vcpu *v, uint64_t gpa)
{
	struct kvm_vapic_addr a = { gpa };

	DO(v->fd, KVM_SET_VAPIC_ADDR, &a);
}

static void
report(const struct vcpu *v, bool on)
{
	struct kvm_tpr_access_ctl c = { .enabled = on };

	DO(v->fd, KVM_TPR_ACCESS_REPORTING, &c);
}

static void
told(struct vcpu *v)
{
	run(v);
	CHECK(at_port(v, TELL), "exit %u at %#llx", v->run->exit_reason,
	    (unsigned long long)rip_of(v));
}

static void
bad_arguments(int dev)
{
	struct kvm_tpr_access_ctl c = { .enabled = 1, .flags = 1 };
	struct kvm_vapic_addr a = { WORD };
	struct vm bare, vm;
	struct vcpu b, v;

	vm_open_bare(&bare, dev);
	vcpu_open(&b, &bare, 0);
	ERR(b.fd, KVM_SET_VAPIC_ADDR, &a, EINVAL);
	vm_open(&vm, dev);
	vcpu_open(&v, &vm, 0);
	ERR(v.fd, KVM_TPR_ACCESS_REPORTING, &c, EINVAL);
	ERR(v.fd, KVM_SET_VAPIC_ADDR, 8, EFAULT);
	ERR(v.fd, KVM_TPR_ACCESS_REPORTING, 8, EFAULT);
	a.vapic_addr = MMIO;
	ERR(v.fd, KVM_SET_VAPIC_ADDR, &a, EINVAL);
	a.vapic_addr = MEMORY - 2;
	ERR(v.fd, KVM_SET_VAPIC_ADDR, &a, EINVAL);
	a.vapic_addr = -2ull;
	ERR(v.fd, KVM_SET_VAPIC_ADDR, &a, EINVAL);
	set_addr(&v, 0);
	set_addr(&v, WORD);
	set_addr(&v, 0);
}

/* The first write begins at 15, the read after it at 25. */
GUEST(64, accesses,
    "mov $0xfee00000, %esi\n\tmovl $0x1ff, 0xf0(%rsi)\n\t"
    "movl $0x20, 0x80(%rsi)\n\tmov 0x80(%rsi), %ebx\n\t"
    "mov $5, %eax\n\tmov %rax, %cr8\n\tmov %cr8, %rax\n\tlea 0x80(%rsi), %edi\n\t"
    "stosl\n\t" END);

/* After the instruction, with its address; CR8 is none. */
static void
reports(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &accesses);
	report(&v, true);
	run_to(&v, KVM_EXIT_TPR_ACCESS);
	EQ(v.run->tpr_access.rip, CODE + 15);
	EQ(v.run->tpr_access.is_write, 1);
	EQ(rip_of(&v), CODE + 25);
	EQ(tpr_of(&v), 0x20);
	run_to(&v, KVM_EXIT_TPR_ACCESS);
	EQ(v.run->tpr_access.rip, CODE + 25);
	EQ(v.run->tpr_access.is_write, 0);
	EQ(rip_of(&v), CODE + 31);
	run_to(&v, KVM_EXIT_TPR_ACCESS);
	EQ(v.run->tpr_access.is_write, 1);
	EQ(rip_of(&v), v.run->tpr_access.rip + 1);
	EQ(tpr_of(&v), 5);
	run_done(&v);
	vcpu_mode(&v, LONG64);
	report(&v, false);
	run_done(&v);
}

GUEST(64, reports_x2apic_code,
    "mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t"
    "mov $0x808, %ecx\n\tmov $0x30, %eax\n\txor %edx, %edx\n\twrmsr\n\trdmsr\n\t" END);

static void
reports_x2apic(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &reports_x2apic_code);
	report(&v, true);
	run_to(&v, KVM_EXIT_TPR_ACCESS);
	EQ(v.run->tpr_access.is_write, 1);
	EQ(rip_of(&v), v.run->tpr_access.rip + 2);
	run_to(&v, KVM_EXIT_TPR_ACCESS);
	EQ(v.run->tpr_access.is_write, 0);
	run_done(&v);
}

GUEST(64, word_code,
    "mov $0xfee00000, %esi\n\tmovl $0x1ff, 0xf0(%rsi)\n\tsti\n\t"
    "movb $0x63, (0xc000)\n\tout %al, $0xf7\n\t"
    "mov (0xc000), %ebx\n\tout %al, $0xf7\n\t"
    "movb $0x50, (0xc000)\n\tmov $1, %eax\n\tvmmcall\n\t"
    "mov %rax, %rbp\n\t" PUT(1) "movb $0x4f, (0xc000)\n\tmov $1, %eax\n\tvmmcall\n\tnop\n\t" PUT(
	2) "cli\n\t" END);
GUEST(64, word_handler,
    "mov (0xc000), %ecx\n\tmov %ecx, (0xc010)\n\t" PUT(
	0x51) "movl $0, 0xb0(%rsi)\n\tiretq");

/* Lowered there, the priority lets the interrupt in at the next exit. */
static void
word(int dev)
{
	struct kvm_msi m = { .address_lo = APIC, .data = 0x51 };
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &word_code);
	vm_load(&vm, CODE2, &word_handler);
	vm_gate(&vm, LONG64, 0x51, CODE2);
	set_addr(&v, WORD);
	told(&v);
	EQ(tpr_of(&v), 0x63);
	EQ(v.run->cr8, 6);
	EQ(DO(vm.fd, KVM_SIGNAL_MSI, &m), 1);
	told(&v);
	regs_get(&v, &r);
	EQ(r.rbx, 0x51000063);
	run_done(&v);
	v.marks[v.nmarks] = 0;
	CHECK(v.nmarks == 3 && memcmp(v.marks, "\1\x51\2", 3) == 0,
	    "order: %#x %#x %#x", v.marks[0], v.marks[1], v.marks[2]);
	EQ(vm_u32(&vm, DATA + 0x10), 0x504f);
	EQ(vm_u32(&vm, WORD), 0x4f);
	regs_get(&v, &r);
	EQ(r.rbp, 0); /* the hypercall's answer */
}

GUEST(64, write_word, "movb $0x70, (%rdi)\n\tout %al, $0xf7\n\t" END);

static void
start(const struct vcpu *v, uint64_t rdi)
{
	struct kvm_regs r;

	vcpu_mode(v, LONG64);
	regs_get(v, &r);
	r.rdi = rdi;
	regs_set(v, &r);
}

/* Address 0 ends it. */
static void
forgotten(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &write_word);
	set_addr(&v, WORD);
	start(&v, WORD);
	told(&v);
	EQ(tpr_of(&v), 0x70);
	run_done(&v);
	set_addr(&v, 0);
	*(uint8_t *)(vm.mem + WORD) = 0;
	start(&v, DATA + 8);
	told(&v);
	EQ(tpr_of(&v), 0x70);
}

/* Its memory goes: the TPR stays, the guest goes on. */
static void
memory_gone(int dev)
{
	void *mem = pages(4096);
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &write_word);
	vm_slot(&vm, 5, 0, MMIO, mem, 4096);
	set_addr(&v, MMIO);
	start(&v, MMIO);
	told(&v);
	EQ(tpr_of(&v), 0x70);
	vm_slot(&vm, 5, 0, MMIO, mem, 0);
	run_done(&v);
	EQ(tpr_of(&v), 0x70);
}

GUEST(64, sends_init,
    "mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t"
    "mov $0x830, %ecx\n\tmov $1, %edx\n\tmov $0x4500, %eax\n\twrmsr\n\t" END);

/* The other CPU, in its code at CODE2. */
static void
other(const struct vcpu *v)
{
	struct kvm_regs r;

	vcpu_mode(v, LONG64);
	DO(v->fd, KVM_SET_MP_STATE,
	    &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE });
	regs_get(v, &r);
	r.rip = CODE2;
	r.rdi = WORD;
	regs_set(v, &r);
}

/* INIT ends it too: what the guest leaves in the word is a word. */
static void
init(int dev)
{
	struct kvm_mp_state mp;
	struct vcpu v[2];
	struct vm vm;

	guest(&vm, &v[0], dev, LONG64, &sends_init);
	vm_load(&vm, CODE2, &write_word);
	vcpu_open(&v[1], &vm, 1);
	set_cpuid(&v[1], dev);
	other(&v[1]);
	set_addr(&v[1], WORD);
	told(&v[1]);
	EQ(tpr_of(&v[1]), 0x70);
	run_done(&v[0]);
	/* Looking at it, it is taken. */
	DO(v[1].fd, KVM_GET_MP_STATE, &mp);
	EQ(mp.mp_state, KVM_MP_STATE_INIT_RECEIVED);
	EQ(tpr_of(&v[1]), 0);
	*(uint32_t *)(vm.mem + WORD) = 0;
	other(&v[1]);
	told(&v[1]);
	EQ(vm_u32(&vm, WORD), 0x70);
	EQ(tpr_of(&v[1]), 0);
}

TESTS(vapic, T(bad_arguments), T(reports), T(reports_x2apic), T(word),
    T(forgotten), T(memory_gone), T(init));
