/* SPDX-License-Identifier: ISC */
/*
 * What went wrong in other hypervisors' drivers: host state after exits, hidden
 * features, MSRs that leak, lifetimes, races.  Of the same list are
 * memory/unmap_running, discard_running and replace_mapping, irq/irqfd_closed
 * and priv/level_0 (SVM's own instructions).
 */
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "kapi.h"

GUEST(64, nothing, "cpuid\n\t" END);

/* What a user process can see of its CPU. */
struct host {
	uint8_t gdt[10], idt[10];
	uint16_t tr, ldt, ds, es, fs, gs, ss;
	uint32_t limit, mxcsr;
	uint64_t fs_base, gs_base, smsw;
	uint8_t xmm[16];
};

/* SGDT and the like fault into an emulation where UMIP is on; the lab turns it
 * off for this test. */
static void
look(struct host *h)
{
	uint32_t limit = 0;

	memset(h, 0, sizeof(*h));
	__asm__ volatile("sgdt %0" : "=m"(h->gdt));
	__asm__ volatile("sidt %0" : "=m"(h->idt));
	__asm__ volatile("str %0" : "=m"(h->tr));
	__asm__ volatile("sldt %0" : "=m"(h->ldt));
	__asm__ volatile("mov %%ds, %0" : "=r"(h->ds));
	__asm__ volatile("mov %%es, %0" : "=r"(h->es));
	__asm__ volatile("mov %%fs, %0" : "=r"(h->fs));
	__asm__ volatile("mov %%gs, %0" : "=r"(h->gs));
	__asm__ volatile("mov %%ss, %0" : "=r"(h->ss));
	/* The descriptor that holds the CPU's number is the GDT's last. */
	__asm__ volatile("lsl %1, %0" : "=r"(limit) : "r"(0x7b) : "cc");
	h->limit = limit;
	__asm__ volatile("stmxcsr %0" : "=m"(h->mxcsr));
	__asm__ volatile("mov %%fs:0, %0" : "=r"(h->fs_base));
	__asm__ volatile("movdqu %%xmm7, %0" : "=m"(h->xmm));
}

static void
on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		fail("sched_setaffinity: %s", strerror(errno));
}

static void
host_tables_restored(int dev)
{
	struct host before, after;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	on_one_cpu();
	guest(&vm, &v, dev, LONG64, &nothing);
	look(&before);
	for (i = 0; i < 20; i++) {
		vcpu_mode(&v, i % 2 == 0 ? LONG64 : PROT32);
		run(&v);
		look(&after);
		CHECK(memcmp(before.gdt, after.gdt, 10) == 0, "GDT register");
		CHECK(memcmp(before.idt, after.idt, 10) == 0, "IDT register");
		EQ(after.tr, before.tr);
		EQ(after.ldt, before.ldt);
		EQ(after.limit, before.limit);
		EQ(after.ds, before.ds);
		EQ(after.es, before.es);
		EQ(after.fs, before.fs);
		EQ(after.gs, before.gs);
		EQ(after.ss, before.ss);
		EQ(after.mxcsr, before.mxcsr);
		EQ(after.fs_base, before.fs_base);
	}
}

GUEST(64, dirty_everything,
    "mov $0x5a5a5a5a, %eax\n\tmovd %eax, %xmm7\n\tmovl $0x1fa0, (0xc000)\n\t"
    "ldmxcsr (0xc000)\n\tfldpi\n\tmov %rax, %dr0\n\t"
    "mov $0xc0000100, %ecx\n\tmov $0x1234000, %eax\n\txor %edx, %edx\n\t"
    "wrmsr\n\tinc %ecx\n\twrmsr\n\tmov $0x10, %eax\n\tmov %ax, %fs\n\t"
    "mov %ax, %gs\n\tmov $0xc0000082, %ecx\n\tmov $0x9000, %eax\n\t"
    "wrmsr\n\tmov $0xc0000084, %ecx\n\twrmsr\n\t" END);

/* The guest changes what it can; the host's vector state, system calls, thread
 * pointer and debug registers are its own. */
static void
host_state_unchanged(int dev)
{
	uint8_t in[32], out[32];
	struct vcpu v;
	struct vm vm;
	unsigned i;
	pid_t self = getpid();

	on_one_cpu();
	guest(&vm, &v, dev, LONG64, &dirty_everything);
	memset(in, 0xc3, sizeof(in));
	for (i = 0; i < 50; i++) {
		vcpu_mode(&v, LONG64);
		__asm__ volatile("movdqu %0, %%xmm7\n\tmovdqu %0, %%xmm15"
				 :
				 : "m"(in)
				 : "xmm7", "xmm15");
		ioctl(v.fd, KVM_RUN, 0);
		__asm__ volatile("movdqu %%xmm7, %0" : "=m"(out));
		CHECK(memcmp(in, out, 16) == 0, "xmm7 changed in KVM_RUN");
		CHECK(at_port(&v, DONE), "exit %u", v.run->exit_reason);
		EQ(getpid(), self);
		EQ(syscall(39), (uint64_t)self); /* getpid, uncached */
		errno = 5;
		EQ(errno, 5); /* lives behind FS */
	}
}

/* Two guests on one CPU in turn: neither sees the other's registers. */
GUEST(64, vector_code,
    "movdqu %xmm7, (%rsi)\n\tmovq %rdi, %xmm7\n\tmov %dr1, %rax\n\t"
    "mov %rax, 16(%rsi)\n\tmov %rdi, %dr1\n\tmov $0xc0000102, %ecx\n\t"
    "rdmsr\n\tmov %eax, 24(%rsi)\n\tmov %edi, %eax\n\txor %edx, %edx\n\t"
    "wrmsr\n\t" END);

static void
guests_apart(int dev)
{
	struct kvm_regs r;
	struct vcpu v[2];
	struct vm vm[2];
	unsigned i, k;

	on_one_cpu();
	for (k = 0; k < 2; k++)
		guest(&vm[k], &v[k], dev, LONG64, &vector_code);
	for (i = 0; i < 20; i++)
		for (k = 0; k < 2; k++) {
			regs_get(&v[k], &r);
			r.rip = CODE;
			r.rsi = FREE;
			r.rdi = (k + 1) * 1000 + i;
			regs_set(&v[k], &r);
			run_done(&v[k]);
			if (i == 0)
				continue;
			EQ(vm_u32(&vm[k], FREE), (k + 1) * 1000 + i - 1);
			EQ(vm_u32(&vm[k], FREE + 16), (k + 1) * 1000 + i - 1);
			EQ(vm_u32(&vm[k], FREE + 24), (k + 1) * 1000 + i - 1);
		}
}

/* MSRs of the host that a guest has no business with; each must fault or read
 * as something harmless, and none may be written through. */
GUEST(64, rdmsr, "rdmsr\n\t" END);
GUEST(64, wrmsr, "wrmsr\n\t" END);

static void
msr_access(struct vcpu *v, bool write, uint32_t index, uint64_t value)
{
	struct kvm_regs r;

	vm_load(v->vm, CODE, write ? &wrmsr : &rdmsr);
	regs_get(v, &r);
	r.rip = CODE;
	r.rsp = STACK;
	r.rcx = index;
	r.rax = (uint32_t)value;
	r.rdx = value >> 32;
	regs_set(v, &r);
	run(v);
}

static void
msr_allow_list(int dev)
{
	static const uint32_t refused[] = { 0x3, 0x4, 0x35, 0x1ff, 0x400000,
		0x40000080, 0xb0000000, 0xbfffffff, 0xc0000085, 0xc00000ff,
		0xc0000200, 0xc0010200 + 0x77, 0xc0011fff, 0xc0012000,
		0xffffffff, 0xc0010118, 0xc0010119, 0xc001011a };
	struct vcpu v;
	struct vm vm;
	unsigned i, k;

	guest(&vm, &v, dev, LONG64, &rdmsr);
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		for (k = 0; k < 2; k++) {
			msr_access(&v, k == 1, refused[i], 0);
			CHECK(at_port(&v, TRAP), "MSR %#x, %s", refused[i],
			    k == 1 ? "write" : "read");
		}
	/* The host's EFER.SVME is out of reach; KVM offers one of its own. */
	msr_access(&v, true, 0xc0000080, 0x1d01);
	CHECK(is_kvm(dev) || at_port(&v, TRAP), "EFER.SVME");
	msr_access(&v, true, 0xc0000080, 0xd01);
	msr_access(&v, false, 0xc0000080, 0);
	CHECK(at_port(&v, DONE) && !(rax_of(&v) & 0x1000), "EFER %#llx",
	    (unsigned long long)rax_of(&v));
}

/* Features that CPUID does not show: their instructions are #UD.  (RDTSCP would
 * be one; the lab's emulated processor does not intercept it.) */
#define HIDDEN(X)                                              \
	X(xsave, "xsave (0xc000)")                             \
	X(xgetbv, "xor %ecx, %ecx\n\txgetbv")                  \
	X(avx, "vmovdqu (0xc000), %ymm0")                      \
	X(vmrun, "mov $0xc000, %eax\n\tvmrun")                 \
	X(vmload, "mov $0xc000, %eax\n\tvmload")               \
	X(vmsave, "mov $0xc000, %eax\n\tvmsave")               \
	X(stgi, "stgi")                                        \
	X(clgi, "clgi")                                        \
	X(skinit, "skinit")                                    \
	X(rdpru, ".byte 0x0f, 0x01, 0xfd")                     \
	X(invpcid, "xor %eax, %eax\n\tinvpcid (0xc000), %rax") \
	X(monitorx, ".byte 0x0f, 0x01, 0xfa")                  \
	X(xsetbv, "xor %ecx, %ecx\n\tmov $1, %eax\n\txor %edx, %edx\n\txsetbv")
#define HIDDEN_CODE(name, text) GUEST(64, hidden_##name, text "\n\t" END);
HIDDEN(HIDDEN_CODE);

static void
hidden_features(int dev)
{
	static const struct {
		const char *name;
		const struct guest *code;
	} rows[] = {
#define HIDDEN_ROW(name, text) { #name, &hidden_##name },
		HIDDEN(HIDDEN_ROW)
	};
	/* An AMD of 2003: no XSAVE, AVX, SVM, RDTSCP ... */
	static const struct kvm_cpuid_entry2 old[] = {
		{ .function = 0,
		    .eax = 1,
		    .ebx = 0x68747541,
		    .edx = 0x69746e65,
		    .ecx = 0x444d4163 },
		{ .function = 1, .eax = 0x600f20, .edx = 0x0783fbff },
		{ .function = 0x80000000, .eax = 0x80000001 },
		{ .function = 0x80000001, .edx = 0x20100800 },
	};
	WITH_ROOM(struct kvm_cpuid2, struct kvm_cpuid_entry2, 4)
	c = { .head.nent = 4 };
	struct vcpu v;
	struct vm vm;
	char failed[256] = "";
	unsigned i;

	vm_open(&vm, dev);
	vcpu_open(&v, &vm, 0);
	memcpy(c.head.entries, old, sizeof(old));
	DO(v.fd, KVM_SET_CPUID2, &c);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vcpu_mode(&v, LONG64);
		vm_load(&vm, CODE, rows[i].code);
		run(&v);
		/* As in priv.c. */
		if (is_kvm(dev) &&
		    (strcmp(rows[i].name, "stgi") == 0 ||
			strcmp(rows[i].name, "clgi") == 0 ||
			strcmp(rows[i].name, "xsetbv") == 0))
			continue;
		if (at_port(&v, TRAP) && (rip_of(&v) - STUBS) / STUB_LEN == UD)
			continue;
		strcat(strcat(failed, " "), rows[i].name);
	}
	CHECK(failed[0] == 0, "not #UD:%s", failed);
}

/* The bits that KVM_GET_SUPPORTED_CPUID must never have. */
static void
unsupported_flags(int dev)
{
	struct kvm_cpuid2 *c =
	    calloc(1, sizeof(*c) + 256 * sizeof(struct kvm_cpuid_entry2));
	unsigned i;

	c->nent = 256;
	DO(dev, KVM_GET_SUPPORTED_CPUID, c);
	for (i = 0; i < c->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == 1)
			CHECK(!(e->ecx & (1u << 5 | 1u << 6 | 1u << 3)),
			    "VMX, SMX or MONITOR: %#x", e->ecx);
		if (e->function == 0x80000001)
			CHECK(!(e->ecx & (1u << 12 | 1u << 10)),
			    "SKINIT or IBS: %#x", e->ecx);
		CHECK(e->function != 0x12 || e->eax == 0, "SGX");
	}
	free(c);
}

/* Close in every order, here and in a child that holds copies; the run page
 * stays as long as it is mapped. */
static void
lifetimes(int dev)
{
	static const uint8_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 },
		{ 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	volatile uint8_t sum = 0;
	unsigned i, k;
	struct vcpu v;
	struct vm vm;
	pid_t pid[2];

	for (i = 0; i < 24; i++) {
		int fds[3];

		guest(&vm, &v, dev, LONG64, &nothing);
		run_done(&v);
		fds[0] = vm.fd;
		fds[1] = v.fd;
		fds[2] = fcntl(v.fd, F_DUPFD_CLOEXEC, 10);
		for (k = 0; k < 2; k++) {
			pid[k] = fork();
			if (pid[k] == 0) {
				unsigned n;

				for (n = 0; n < 3; n++)
					close(fds[orders[(i + k) % 6][n]]);
				_exit(0);
			}
		}
		for (k = 0; k < 3; k++)
			close(fds[orders[i % 6][k]]);
		for (k = 0; k < 2; k++)
			waitpid(pid[k], NULL, 0);
		sum = (uint8_t)(sum + v.run->exit_reason);
		munmap(v.run, v.run_size);
		munmap(vm.mem, vm.size);
	}
}

/* The descriptor goes while its call sleeps or runs. */
GUEST(64, spin, "movl $1, (0xc000)\n1:	jmp 1b");

static void
closed_while_running(int dev)
{
	struct runner r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	for (i = 0; i < 10; i++) {
		guest(&vm, &v, dev, LONG64, &spin);
		runner_start(&r, &v);
		wait_u32(&vm, DATA, 1);
		close(v.fd);
		close(vm.fd);
		runner_kick(&r);
		runner_join(&r, 20);
		EQ(r.error, EINTR);
		munmap(vm.mem, vm.size);
	}
}

/* A process that is killed in the guest, with everything open. */
static void
killed_while_running(int dev)
{
	unsigned i;
	pid_t pid;

	for (i = 0; i < 20; i++) {
		pid = fork();
		if (pid == 0) {
			struct vcpu v;
			struct vm vm;

			guest(&vm, &v, dev, LONG64, &spin);
			interruptible(&v);
			run(&v);
			_exit(1);
		}
		usleep(5000 * (i % 8));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

struct stress {
	struct vm *vm;
	struct vcpu *v;
	unsigned seed;
	volatile bool stop;
};

static void *
stress_ioctls(void *arg)
{
	struct stress *s = arg;
	struct kvm_vcpu_events e;
	struct kvm_sregs sregs;
	struct kvm_regs r;
	struct kvm_lapic_state l;
	struct kvm_msi m = { .address_lo = APIC, .data = 0x41 };
	uint8_t *p = pages(8 * 4096);
	struct kvm_userspace_memory_region region = { 3, 0, 0x60000000,
		8 * 4096, (uintptr_t)p };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct kvm_irqfd q = { .fd = (uint32_t)fd, .gsi = 4 };
	struct kvm_ioeventfd io = { .addr = 0x600,
		.len = 2,
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_PIO };

	while (!s->stop) {
		switch (rand_r(&s->seed) % 10) {
		case 0:
			ioctl(s->v->fd, KVM_GET_REGS, &r);
			break;
		case 1:
			ioctl(s->v->fd, KVM_GET_SREGS, &sregs);
			break;
		case 2:
			ioctl(s->v->fd, KVM_GET_VCPU_EVENTS, &e);
			break;
		case 3:
			ioctl(s->v->fd, KVM_GET_LAPIC, &l);
			break;
		case 4:
			ioctl(s->vm->fd, KVM_SIGNAL_MSI, &m);
			break;
		case 5:
			region.memory_size ^= 8 * 4096;
			ioctl(s->vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
			break;
		case 6:
			q.flags ^= KVM_IRQFD_FLAG_DEASSIGN;
			ioctl(s->vm->fd, KVM_IRQFD, &q);
			break;
		case 7:
			io.flags ^= KVM_IOEVENTFD_FLAG_DEASSIGN;
			ioctl(s->vm->fd, KVM_IOEVENTFD, &io);
			break;
		case 8:
			ioctl(s->v->fd, KVM_NMI, 0);
			break;
		case 9:
			close(ioctl(
			    s->vm->fd, KVM_CREATE_VCPU, rand_r(&s->seed) % 6));
			break;
		}
	}
	return NULL;
}

static void
nothing_to_do(int sig)
{
}

/* Every call at once from four threads while one runs the guest. */
static void
concurrent_ioctls(int dev)
{
	struct sigaction sa = { .sa_handler = nothing_to_do };
	struct stress s[4];
	pthread_t t[4];
	struct vcpu v;
	struct vm vm;
	unsigned i, n;

	guest(&vm, &v, dev, LONG64, &nothing);
	sigaction(SIGUSR1, &sa, NULL);
	for (i = 0; i < 4; i++) {
		s[i] = (struct stress){ &vm, &v, i + 1, false };
		pthread_create(&t[i], NULL, stress_ioctls, &s[i]);
	}
	for (n = 0; n < 400; n++) {
		if (n % 20 == 0)
			vcpu_mode(&v, LONG64);
		if (ioctl(v.fd, KVM_RUN, 0) < 0)
			CHECK(errno == EINTR, "KVM_RUN: %s", strerror(errno));
	}
	for (i = 0; i < 4; i++)
		s[i].stop = true;
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* The kernel says how it stands to the known weaknesses of CPUs; with a
 * hypervisor at work nothing may be worse than before. */
static void
vulnerabilities_read(int dev)
{
	static const char *const names[] = { "l1tf", "mds", "spectre_v2",
		"spec_store_bypass", "retbleed" };
	char path[128], before[5][256], after[256];
	struct vcpu v;
	struct vm vm;
	unsigned i;
	ssize_t n;
	int fd;

	for (i = 0; i < 10; i++) {
		if (i == 5) {
			guest(&vm, &v, dev, LONG64, &nothing);
			run_done(&v);
		}
		strcpy(path, "/sys/devices/system/cpu/vulnerabilities/");
		strcat(path, names[i % 5]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? 0 : read(fd, after, sizeof(after) - 1);
		close(fd);
		after[n < 0 ? 0 : n] = 0;
		CHECK(n > 0, "%s", path);
		if (i < 5)
			strcpy(before[i], after);
		else
			CHECK(strcmp(before[i % 5], after) == 0, "%s: %s",
			    names[i % 5], after);
	}
}

TESTS(attack, T(host_tables_restored), T(host_state_unchanged), T(guests_apart),
    T(msr_allow_list), T(hidden_features), T(unsupported_flags), T(lifetimes),
    T(closed_while_running), T(killed_while_running), T(concurrent_ioctls),
    T(vulnerabilities_read));
