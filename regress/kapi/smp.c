/* SPDX-License-Identifier: ISC */
/*
 * Several vCPUs: start-up by INIT and SIPI, clocks that agree.
 */
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "kapi.h"

#define AP_PAGE	  0x90000u
#define MSR_CLOCK 0x4b564d01u
#define MSR_WALL  0x4b564d00u

GUEST(64, bsp,
    "mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t"
    "mov $0x80f, %ecx\n\tmov $0x1ff, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "mov $0x830, %ecx\n\tmov $1, %edx\n\tmov $0x4500, %eax\n\twrmsr\n\t"
    "mov $0x4690, %eax\n\twrmsr\n\t" /* page 0x90 */
    "1:	pause\n\tcmpl $1, (0xc000)\n\tjne 1b\n\t"
    /* a SIPI to one that runs is ignored */
    "mov $0x4691, %eax\n\twrmsr\n\tmovl $2, (0xc000)\n"
    "2:	pause\n\tcmpl $3, (0xc000)\n\tjne 2b\n\t"
    /* and again from INIT */
    "mov $0x4500, %eax\n\twrmsr\n\tmov $0x4690, %eax\n\twrmsr\n"
    "3:	pause\n\tcmpl $4, (0xc000)\n\tjne 3b\n\t" END);
/* With interrupts on: see interruptible(). */
GUEST(16, ap,
    "sti\n\tmov %cs, %ax\n\tmov %ax, (0xc010)\n\txor %ax, %ax\n\tmov %ax, %ds\n\t"
    "mov %dx, (0xc014)\n\tsmsw %ax\n\tmov %ax, (0xc012)\n\t"
    "call 1f\n1:	pop %ax\n\tmov %ax, (0xc016)\n\t"
    "lock incl (0xc000)\n1:	pause\n\tcmpl $2, (0xc000)\n\tje 2f\n\t"
    "cmpl $4, (0xc000)\n\tjne 1b\n\tcli\n3:	hlt\n\tjmp 3b\n"
    "2:	lock incl (0xc000)\n4:	pause\n\tjmp 4b");

/* The other CPU starts in real mode at its page; INIT stops one that runs. */
static void
init_sipi(int dev)
{
	struct kvm_sregs s;
	struct runner r[2];
	struct vcpu v[2];
	struct vm vm;

	guest(&vm, &v[0], dev, LONG64, &bsp);
	vcpu_open(&v[1], &vm, 1);
	set_cpuid(&v[1], dev);
	sregs_get(&v[1], &s);
	vm_load(&vm, AP_PAGE, &ap);
	runner_start(&r[1], &v[1]);
	usleep(20000);
	runner_start(&r[0], &v[0]);
	runner_join(&r[0], 30);
	CHECK(at_port(&v[0], DONE), "exit %u", r[0].reason);
	EQ(vm_u32(&vm, DATA + 16) & 0xffff, AP_PAGE >> 4);
	EQ(vm_u32(&vm, DATA + 16) >> 16, 0x10); /* CR0.PE is off */
	runner_kick(&r[1]);
	runner_join(&r[1], 20);
	EQ(r[1].error, EINTR);
	sregs_get(&v[1], &s);
	EQ(s.cs.selector, AP_PAGE >> 4);
	EQ(s.cs.base, AP_PAGE);
	EQ(s.efer | s.cr3, 0);
}

/* KVM_RUN on one that waits for its SIPI blocks until a signal. */
static void
waits_for_sipi(int dev)
{
	struct kvm_mp_state m;
	struct runner r;
	struct vcpu v[2];
	struct vm vm;

	guest(&vm, &v[0], dev, LONG64, &bsp);
	vcpu_open(&v[1], &vm, 1);
	runner_start(&r, &v[1]);
	usleep(50000);
	EQ(pthread_tryjoin_np(r.thread, NULL), EBUSY);
	runner_kick(&r);
	runner_join(&r, 20);
	EQ(r.error, EINTR);
	DO(v[1].fd, KVM_GET_MP_STATE, &m);
	EQ(m.mp_state, KVM_MP_STATE_UNINITIALIZED);
}

GUEST(64, init_sipi_init,
    "mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t"
    "mov $0x830, %ecx\n\tmov $1, %edx\n\tmov $0x4500, %eax\n\twrmsr\n\t"
    "mov $0x4690, %eax\n\twrmsr\n\tmov $0x4500, %eax\n\twrmsr\n\t" END);

/* An INIT undoes a SIPI that was not taken yet. */
static void
init_drops_sipi(int dev)
{
	struct kvm_mp_state m;
	struct runner r;
	struct vcpu v[2];
	struct vm vm;

	guest(&vm, &v[0], dev, LONG64, &init_sipi_init);
	vcpu_open(&v[1], &vm, 1);
	set_cpuid(&v[1], dev);
	vm_load(&vm, AP_PAGE, &ap);
	run(&v[0]);
	CHECK(at_port(&v[0], DONE), "exit %u", v[0].run->exit_reason);
	runner_start(&r, &v[1]);
	usleep(50000);
	EQ(pthread_tryjoin_np(r.thread, NULL), EBUSY);
	runner_kick(&r);
	runner_join(&r, 20);
	EQ(r.error, EINTR);
	EQ(vm_u32(&vm, DATA), 0);
	DO(v[1].fd, KVM_GET_MP_STATE, &m);
	EQ(m.mp_state, KVM_MP_STATE_INIT_RECEIVED);
}

static void
second(struct vcpu *v, struct vm *vm, int dev)
{
	struct kvm_regs r;

	vcpu_open(v, vm, 1);
	set_cpuid(v, dev);
	vcpu_mode(v, LONG64);
	DO(v->fd, KVM_SET_MP_STATE,
	    &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE });
	regs_get(v, &r);
	r.rsp = FREE;
	regs_set(v, &r);
}

static void
both_run(struct vcpu *v)
{
	struct runner r[2];
	unsigned i;

	for (i = 0; i < 2; i++)
		runner_start(&r[i], &v[i]);
	for (i = 0; i < 2; i++) {
		runner_join(&r[i], 40);
		EQ(r[i].error, 0);
		CHECK(at_port(&v[i], DONE), "vCPU %u: exit %u", i, r[i].reason);
	}
}

/* Under a lock: the counter is never less than what the last one read. */
GUEST(64, tsc_code,
    "mov $20000, %r8d\n"
    "1:	lock btsl $0, (0xc000)\n\tpause\n\tjc 1b\n\t"
    "rdtsc\n\tshl $32, %rdx\n\tor %rdx, %rax\n\tcmp (0xc008), %rax\n\tjae 2f\n\t"
    "incl (0xc010)\n2:	mov %rax, (0xc008)\n\tmovl $0, (0xc000)\n\t"
    "pause\n\tdec %r8d\n\tjnz 1b\n\t" END);

static void
tsc_monotonic(int dev)
{
	struct vcpu v[2];
	struct vm vm;

	guest(&vm, &v[0], dev, LONG64, &tsc_code);
	second(&v[1], &vm, dev);
	both_run(v);
	EQ(vm_u32(&vm, DATA + 16), 0);
}

/*
 * kvm-clock as the guest computes it (rdi: its page), under a lock; the largest
 * step backwards and the last time are left in memory.
 */
GUEST(64, clock_code,
    "mov $0x4b564d01, %ecx\n\tmov %rdi, %rax\n\tor $1, %eax\n\txor %edx, %edx\n\t"
    "wrmsr\n\tmov $20000, %r8d\n"
    "1:	lock btsl $0, (0xc000)\n\tpause\n\tjc 1b\n"
    "2:	mov (%rdi), %r9d\n\ttest $1, %r9d\n\tjnz 2b\n\tlfence\n\t"
    "rdtsc\n\tshl $32, %rdx\n\tor %rdx, %rax\n\tsub 8(%rdi), %rax\n\t"
    "movsbl 28(%rdi), %ecx\n\ttest %ecx, %ecx\n\tjs 3f\n\tshl %cl, %rax\n\t"
    "jmp 4f\n3:	neg %ecx\n\tshr %cl, %rax\n"
    "4:	mov 24(%rdi), %edx\n\tmul %rdx\n\tshrd $32, %rdx, %rax\n\t"
    "add 16(%rdi), %rax\n\tlfence\n\tcmp (%rdi), %r9d\n\tjne 2b\n\t"
    "mov (0xc008), %rdx\n\tcmp %rdx, %rax\n\tjae 5f\n\tsub %rax, %rdx\n\t"
    "cmp (0xc010), %rdx\n\tjbe 6f\n\tmov %rdx, (0xc010)\n\tjmp 6f\n"
    "5:	mov %rax, (0xc008)\n6:	movl $0, (0xc000)\n\tpause\n\t"
    "dec %r8d\n\tjnz 1b\n\t" END);

static void
clock_at(const struct vcpu *v, uint64_t page)
{
	struct kvm_regs r;

	regs_get(v, &r);
	r.rdi = page;
	regs_set(v, &r);
}

static void
clock_monotonic(int dev)
{
	struct kvm_clock_data before, after;
	struct vcpu v[2];
	struct vm vm;

	guest(&vm, &v[0], dev, LONG64, &clock_code);
	second(&v[1], &vm, dev);
	clock_at(&v[0], FREE + 0x2000);
	clock_at(&v[1], FREE + 0x3000);
	DO(vm.fd, KVM_GET_CLOCK, &before);
	both_run(v);
	DO(vm.fd, KVM_GET_CLOCK, &after);
	EQ(vm_u32(&vm, FREE + 0x2000) & 1, 0);
	EQ(msr_get(&v[0], MSR_CLOCK), (FREE + 0x2000) | 1);
	/* With the flag that says so the clocks agree to the nanosecond;
	 * without it a guest mends small steps itself. */
	if (vm.mem[FREE + 0x2000 + 29] & 1)
		EQ(vm_u64(&vm, DATA + 16), 0);
	else
		CHECK(vm_u64(&vm, DATA + 16) < 10000000, "%lld ns backwards",
		    (long long)vm_u64(&vm, DATA + 16));
	CHECK(vm_u64(&vm, DATA + 8) >= before.clock &&
		vm_u64(&vm, DATA + 8) <= after.clock + 1000000,
	    "the guest's %lld is not in %lld .. %lld",
	    (long long)vm_u64(&vm, DATA + 8), (long long)before.clock,
	    (long long)after.clock);
}

GUEST(64, wall_code,
    "mov $0x4b564d00, %ecx\n\tmov $0x101000, %eax\n\txor %edx, %edx\n\t"
    "wrmsr\n\t" END);

/* Wall clock of the moment when the VM's clock was zero. */
static void
wall_clock(int dev)
{
	struct kvm_clock_data now;
	struct timespec t;
	struct vcpu v;
	struct vm vm;
	int64_t boot;

	guest(&vm, &v, dev, LONG64, &wall_code);
	run_done(&v);
	DO(vm.fd, KVM_GET_CLOCK, &now);
	clock_gettime(CLOCK_REALTIME, &t);
	EQ(vm_u32(&vm, FREE + 0x1000) & 1, 0);
	CHECK(vm_u32(&vm, FREE + 0x1000) != 0, "no version");
	boot = vm_u32(&vm, FREE + 0x1004) + (int64_t)(now.clock / 1000000000);
	CHECK(boot - t.tv_sec >= -2 && boot - t.tv_sec <= 2, "%lld s off",
	    (long long)(boot - t.tv_sec));
}

/* Halts that wake each other: no wake-up is lost in many rounds. */
GUEST(64, ping_code,
    "mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t"
    "mov $0x80f, %ecx\n\tmov $0x1ff, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "lock incl (0xc020)\n9:	pause\n\tcmpl $2, (0xc020)\n\tjne 9b\n\t"
    "mov $1000, %r8d\n\tmov %ebx, %edx\n\txor $1, %edx\n\t" /* the other */
    "mov $0x830, %ecx\n\ttest %ebx, %ebx\n\tjnz 2f\n"
    "1:	mov $0x41, %eax\n\twrmsr\n"
    "2:	cli\n\tcmpl $0, 0xc000(,%rbx,4)\n\tjne 3f\n\tsti\n\thlt\n\tjmp 2b\n"
    "3:	sti\n\tmovl $0, 0xc000(,%rbx,4)\n\tdec %r8d\n\tjnz 1b\n\t"
    "mov $0x41, %eax\n\twrmsr\n\tcli\n\t" END);
GUEST(64, ping_handler,
    "push %rax\n\tpush %rcx\n\tpush %rdx\n\tmovl $1, 0xc000(,%rbx,4)\n\t"
    "mov $0x80b, %ecx\n\txor %eax, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "pop %rdx\n\tpop %rcx\n\tpop %rax\n\tiretq");

static void
ping_pong(int dev)
{
	struct kvm_regs r;
	struct vcpu v[2];
	struct vm vm;

	guest(&vm, &v[0], dev, LONG64, &ping_code);
	second(&v[1], &vm, dev);
	regs_get(&v[1], &r);
	r.rbx = 1;
	regs_set(&v[1], &r);
	vm_load(&vm, CODE2, &ping_handler);
	vm_gate(&vm, LONG64, 0x41, CODE2);
	both_run(v);
}

TESTS(smp, T(init_sipi), T(waits_for_sipi), T(init_drops_sipi),
    T(tsc_monotonic), T(clock_monotonic), T(wall_clock), T(ping_pong));
