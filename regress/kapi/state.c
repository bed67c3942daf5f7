/* SPDX-License-Identifier: ISC */
/*
 * The other state of a vCPU and a VM: MSRs, CPUID, APIC page, run state,
 * events, clocks.
 */
#include <sys/ioctl.h>
#include <stdlib.h>
#include <time.h>
#include "kapi.h"

#define MSR_TSC		 0x10u
#define MSR_SYSENTER_CS	 0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_PAT		 0x277u
#define MSR_STAR	 0xc0000081u
#define MSR_LSTAR	 0xc0000082u
#define MSR_FS_BASE	 0xc0000100u
#define MSR_KERNEL_GS	 0xc0000102u
#define MSR_NOWHERE	 0x12345678u

GUEST(64, rdmsr, "rdmsr\n\tshl $32, %rdx\n\tor %rdx, %rax\n\t" END);
GUEST(64, wrmsr, "wrmsr\n\t" END);

static void
start_msr(
    struct vcpu *v, const struct guest *code, uint32_t index, uint64_t value)
{
	struct kvm_regs r;

	vm_load(v->vm, CODE, code);
	regs_get(v, &r);
	r.rip = CODE;
	r.rcx = index;
	r.rax = (uint32_t)value;
	r.rdx = value >> 32;
	regs_set(v, &r);
}

static const struct {
	uint32_t index;
	uint64_t value;
} saved[] = {
	{ MSR_SYSENTER_CS, 0x10 },
	/* The upper halves do not exist on every vendor's. */
	{ MSR_SYSENTER_ESP, 0x34567890 },
	{ 0x176, 0x81001000 },
	{ MSR_PAT, 0x0007040600070406 },
	{ MSR_STAR, 0x0023001000000000 },
	{ MSR_LSTAR, 0xffffffff81000000 },
	{ 0xc0000083, 0xffffffff82000000 },
	{ 0xc0000084, 0x47700 },
	{ MSR_FS_BASE, 0x7f0000001000 },
	{ 0xc0000101, 0xffff888000000000 },
	{ MSR_KERNEL_GS, 0x7f0000002000 },
};

/* Set by user space, read by the guest; and the other way round. */
static void
msrs(int dev)
{
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &rdmsr);
	for (i = 0; i < sizeof(saved) / sizeof(saved[0]); i++) {
		msr_set(&v, saved[i].index, saved[i].value);
		EQ(msr_get(&v, saved[i].index), saved[i].value);
		start_msr(&v, &rdmsr, saved[i].index, 0);
		run_done(&v);
		EQ(rax_of(&v), saved[i].value);
		msr_set(&v, saved[i].index, 0);
		start_msr(&v, &wrmsr, saved[i].index, saved[i].value);
		run_done(&v);
		EQ(msr_get(&v, saved[i].index), saved[i].value);
	}
}

/* A list is taken up to the first that is refused; its place is the result. */
static void
msr_lists(int dev)
{
	WITH_ROOM(struct kvm_msrs, struct kvm_msr_entry, 3)
	m = { .head.nmsrs = 3 };
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &rdmsr);
	m.head.entries[0].index = MSR_STAR;
	m.head.entries[0].data = 1ull << 32;
	m.head.entries[1].index = MSR_NOWHERE;
	m.head.entries[2].index = MSR_LSTAR;
	m.head.entries[2].data = 0x1000;
	EQ(DO(v.fd, KVM_SET_MSRS, &m), 1);
	EQ(msr_get(&v, MSR_STAR), 1ull << 32);
	EQ(msr_get(&v, MSR_LSTAR), 0);
	EQ(DO(v.fd, KVM_GET_MSRS, &m), 1);
	m.head.entries[1].index = MSR_SYSENTER_CS;
	EQ(DO(v.fd, KVM_GET_MSRS, &m), 3);
	m.head.nmsrs = 0;
	EQ(DO(v.fd, KVM_GET_MSRS, &m), 0);
	m.head.nmsrs = 100000;
	ERR(v.fd, KVM_GET_MSRS, &m, E2BIG);
	ERR(v.fd, KVM_SET_MSRS, &m, E2BIG);
	ERR(v.fd, KVM_GET_MSRS, NULL, EFAULT);
}

/* Values that hardware refuses: not taken from user space, #GP in the guest;
 * what the guest writes without an exit the (emulated) processor checks. */
static void
bad_msr_values(int dev)
{
	static const struct {
		uint32_t index;
		uint64_t value;
		bool no_exit;
	} rows[] = {
		{ MSR_PAT, 0x2, false },
		{ MSR_PAT, 0x0800000000000000, false },
		{ MSR_LSTAR, 0x8000000000000000, true },
		{ MSR_FS_BASE, 0x1000000000000000, true },
		{ MSR_KERNEL_GS, 0x0000900000000000, true },
		{ 0xc0000080, 0xfffffffffffffd01, false },
		{ 0x1b, 0xfee00001, false },
		{ 0x2ff, 0x7, false },
		{ MSR_NOWHERE, 0, false },
	};
	uint64_t value;
	struct vcpu v;
	struct vm vm;
	struct trap t;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &wrmsr);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		value = rows[i].value;
		CHECK(!msr_try(&v, true, rows[i].index, &value),
		    "MSR %#x took %#llx", rows[i].index,
		    (unsigned long long)value);
		if (rows[i].no_exit)
			continue;
		start_msr(&v, &wrmsr, rows[i].index, rows[i].value);
		run(&v);
		CHECK(at_port(&v, TRAP), "MSR %#x took %#llx", rows[i].index,
		    (unsigned long long)rows[i].value);
	}
	start_msr(&v, &rdmsr, MSR_NOWHERE, 0);
	run_trap(&v, &t);
	EQ(t.vector, GP);
	EQ(t.error, 0);
	EQ(t.rip, CODE);
}

GUEST(64, cpuid, "cpuid\n\t" END);

static struct kvm_cpuid2 *
cpuid_array(void)
{
	struct kvm_cpuid2 *c =
	    calloc(1, sizeof(*c) + 256 * sizeof(struct kvm_cpuid_entry2));

	c->nent = 256;
	return c;
}

static void
ask(struct vcpu *v, uint32_t leaf, uint32_t sub, struct kvm_regs *r)
{
	regs_get(v, r);
	r->rip = CODE;
	r->rax = 0xffffffff00000000 | leaf;
	r->rcx = 0xffffffff00000000 | sub;
	regs_set(v, r);
	run_done(v);
	regs_get(v, r);
}

static void
cpuid2(int dev)
{
	struct kvm_cpuid2 *c = cpuid_array(), *n = cpuid_array();
	struct kvm_cpuid_entry2 *e;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	vm_open(&vm, dev);
	vcpu_open(&v, &vm, 0);
	DO(dev, KVM_GET_SUPPORTED_CPUID, c);
	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0x40000000)
			memcpy(&c->entries[i].ebx, "its own name", 12);
	e = &c->entries[c->nent];
	e[0] = (struct kvm_cpuid_entry2){ .function = 0x40000080,
		.index = 0,
		.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.eax = 10 };
	e[1] = e[0];
	e[1].index = 1;
	e[1].eax = 11;
	e[1].ecx = 0xcccccccc;
	c->nent += 2;
	DO(v.fd, KVM_SET_CPUID2, c);
	DO(v.fd, KVM_GET_CPUID2, n);
	for (i = 0; i < c->nent; i++)
		CHECK(n->entries[i].function == c->entries[i].function &&
			n->entries[i].index == c->entries[i].index,
		    "entry %u", i);
	n->nent = 1;
	ERR(v.fd, KVM_GET_CPUID2, n, E2BIG);
	n->nent = 1000000;
	ERR(v.fd, KVM_SET_CPUID2, n, E2BIG);
	vcpu_mode(&v, LONG64);
	vm_load(&vm, CODE, &cpuid);
	ask(&v, 0x40000000, 0, &r);
	EQ(r.rbx, 0x20737469); /* "its " */
	ask(&v, 0x40000080, 0, &r);
	EQ(r.rax, 10);
	ask(&v, 0x40000080, 1, &r);
	EQ(r.rax, 11);
	EQ(r.rcx, 0xcccccccc);
	ask(&v, 0x40000080, 2, &r);
	EQ(r.rax | r.rbx | r.rcx | r.rdx, 0);
	free(c);
	free(n);
}

GUEST(64, osxsave,
    "mov $1, %eax\n\tcpuid\n\tmov %ecx, %esi\n\tmov %ecx, %edi\n\t"
    "bt $26, %ecx\n\tjnc 1f\n\t"
    "mov %cr4, %rax\n\tor $0x40000, %eax\n\tmov %rax, %cr4\n\t"
    "mov $1, %eax\n\tcpuid\n\tmov %ecx, %edi\n1:	" END);

/* Bits that mirror the state of the CPU: OSXSAVE follows CR4. */
static void
cpuid_dynamic(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &osxsave);
	run_done(&v);
	regs_get(&v, &r);
	if (!(r.rdi & 1u << 26))
		skip("no XSAVE");
	EQ(r.rsi >> 27 & 1, 0);
	EQ(r.rdi >> 27 & 1, 1);
}

static void
apic_page(int dev)
{
	struct kvm_lapic_state s, n;
	struct vcpu v;
	struct vm vm;
	uint32_t w;

	guest(&vm, &v, dev, LONG64, &cpuid);
	DO(v.fd, KVM_GET_LAPIC, &s);
	memcpy(&w, s.regs + 0x30, 4);
	CHECK((w & 0xff) >= 0x10 && (w & 0xff) < 0x20, "version %#x", w);
	memcpy(&w, s.regs + 0xf0, 4);
	EQ(w, 0xff);
	memcpy(&w, s.regs + 0x350, 4);
	CHECK(w == 0x10000 || w == 0x700, "LVT0 %#x", w);
	memcpy(&w, s.regs + 0x320, 4);
	EQ(w, 0x10000);
	s.regs[0x80] = 0x20; /* TPR */
	s.regs[0xf1] = 1; /* enabled */
	s.regs[0x200 + 0x10 * 2] = 4; /* IRR: vector 66 */
	s.regs[0x320] = 0x40;
	DO(v.fd, KVM_SET_LAPIC, &s);
	DO(v.fd, KVM_GET_LAPIC, &n);
	EQ(n.regs[0x80], 0x20);
	EQ(n.regs[0xf1], 1);
	EQ(n.regs[0x220], 4);
	EQ(n.regs[0x320], 0x40);
	ERR(v.fd, KVM_GET_LAPIC, NULL, EFAULT);
	ERR(v.fd, KVM_SET_LAPIC, NULL, EFAULT);
}

static void
run_states(int dev)
{
	struct kvm_mp_state m;
	struct vcpu v[2];
	struct vm vm;

	guest(&vm, &v[0], dev, LONG64, &cpuid);
	vcpu_open(&v[1], &vm, 1);
	DO(v[0].fd, KVM_GET_MP_STATE, &m);
	EQ(m.mp_state, KVM_MP_STATE_RUNNABLE);
	DO(v[1].fd, KVM_GET_MP_STATE, &m);
	EQ(m.mp_state, KVM_MP_STATE_UNINITIALIZED);
	m.mp_state = KVM_MP_STATE_RUNNABLE;
	DO(v[1].fd, KVM_SET_MP_STATE, &m);
	DO(v[1].fd, KVM_GET_MP_STATE, &m);
	EQ(m.mp_state, KVM_MP_STATE_RUNNABLE);
	m.mp_state = 77;
	ERR(v[1].fd, KVM_SET_MP_STATE, &m, EINVAL);
	ERR(v[1].fd, KVM_SET_MP_STATE, NULL, EFAULT);
	m.mp_state = KVM_MP_STATE_HALTED;
	DO(v[0].fd, KVM_SET_MP_STATE, &m);
	DO(v[0].fd, KVM_GET_MP_STATE, &m);
	EQ(m.mp_state, KVM_MP_STATE_HALTED);
	/* An NMI wakes it. */
	DO(v[0].fd, KVM_NMI, 0);
	expect_trap(&v[0], NMI);
	run_done(&v[0]);
	DO(v[0].fd, KVM_GET_MP_STATE, &m);
	EQ(m.mp_state, KVM_MP_STATE_RUNNABLE);
}

/* Exceptions that user space plants. */
static void
vcpu_events(int dev)
{
	struct kvm_vcpu_events e, n;
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, LONG64, &cpuid);
	DO(v.fd, KVM_GET_VCPU_EVENTS, &e);
	EQ(e.exception.injected | e.interrupt.injected | e.nmi.injected |
		e.nmi.pending | e.nmi.masked,
	    0);
	e.exception.injected = 1;
	e.exception.nr = GP;
	e.exception.has_error_code = 1;
	e.exception.error_code = 0x1234;
	DO(v.fd, KVM_SET_VCPU_EVENTS, &e);
	DO(v.fd, KVM_GET_VCPU_EVENTS, &n);
	EQ(n.exception.injected, 1);
	EQ(n.exception.nr, GP);
	run_trap(&v, &t);
	EQ(t.vector, GP);
	EQ(t.error, 0x1234);
	EQ(t.rip, CODE);
	run_done(&v);
	n = e;
	n.exception.nr = NMI;
	ERR(v.fd, KVM_SET_VCPU_EVENTS, &n, EINVAL);
	n.exception.nr = 32;
	ERR(v.fd, KVM_SET_VCPU_EVENTS, &n, EINVAL);
	n = e;
	n.flags = 1u << 30;
	ERR(v.fd, KVM_SET_VCPU_EVENTS, &n, EINVAL);
	ERR(v.fd, KVM_SET_VCPU_EVENTS, NULL, EFAULT);
}

/* A masked NMI waits; unmasked it comes. */
static void
vcpu_events_nmi(int dev)
{
	struct kvm_vcpu_events e;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &cpuid);
	DO(v.fd, KVM_GET_VCPU_EVENTS, &e);
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	e.nmi.masked = 1;
	e.nmi.pending = 1;
	DO(v.fd, KVM_SET_VCPU_EVENTS, &e);
	run_done(&v);
	DO(v.fd, KVM_GET_VCPU_EVENTS, &e);
	EQ(e.nmi.masked, 1);
	EQ(e.nmi.pending, 1);
	e.nmi.masked = 0;
	DO(v.fd, KVM_SET_VCPU_EVENTS, &e);
	expect_trap(&v, NMI);
	DO(v.fd, KVM_GET_VCPU_EVENTS, &e);
	EQ(e.nmi.masked, 1);
	EQ(e.nmi.pending, 0);
}

GUEST(64, rdtsc, "rdtsc\n\tshl $32, %rdx\n\tor %rdx, %rax\n\t" END);

static void
tsc(int dev)
{
	struct vcpu v;
	struct vm vm;
	int khz;
	uint64_t t;

	guest(&vm, &v, dev, LONG64, &rdtsc);
	khz = DO(v.fd, KVM_GET_TSC_KHZ, 0);
	CHECK(khz > 1000, "%d", khz);
	DO(v.fd, KVM_SET_TSC_KHZ, khz);
	EQ(DO(v.fd, KVM_GET_TSC_KHZ, 0), khz);
	t = msr_get(&v, MSR_TSC);
	run_done(&v);
	CHECK(rax_of(&v) > t, "the guest's counter is behind");
	CHECK(msr_get(&v, MSR_TSC) > rax_of(&v), "the MSR is behind");
	/* Far enough from now that it is not taken for a synchronisation. */
	msr_set(&v, MSR_TSC, 1ull << 50);
	vcpu_mode(&v, LONG64);
	run_done(&v);
	CHECK(rax_of(&v) >= 1ull << 50 &&
		rax_of(&v) < (1ull << 50) + 60000ull * (unsigned)khz,
	    "%#llx", (unsigned long long)rax_of(&v));
}

static void
vm_clock(int dev)
{
	struct kvm_clock_data a, b;
	struct vm vm;
	struct vcpu v;

	guest(&vm, &v, dev, LONG64, &rdtsc);
	memset(&a, 0, sizeof(a));
	DO(vm.fd, KVM_GET_CLOCK, &a);
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	DO(vm.fd, KVM_GET_CLOCK, &b);
	CHECK(b.clock - a.clock >= 20000000 && b.clock - a.clock < 30000000000,
	    "%lld", (long long)(b.clock - a.clock));
	a.clock = 1000000000000ull;
	a.flags = 0;
	DO(vm.fd, KVM_SET_CLOCK, &a);
	DO(vm.fd, KVM_GET_CLOCK, &b);
	CHECK(b.clock >= 1000000000000ull && b.clock < 1030000000000ull, "%lld",
	    (long long)b.clock);
	a.flags = 1u << 20;
	ERR(vm.fd, KVM_SET_CLOCK, &a, EINVAL);
	ERR(vm.fd, KVM_SET_CLOCK, NULL, EFAULT);
}

TESTS(state, T(msrs), T(msr_lists), T(bad_msr_values), T(cpuid2),
    T(cpuid_dynamic), T(apic_page), T(run_states), T(vcpu_events),
    T(vcpu_events_nmi), T(tsc), T(vm_clock));
