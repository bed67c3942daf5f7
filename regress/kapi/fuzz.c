/* SPDX-License-Identifier: ISC */
/*
 * usage: fuzz [-d device] [-s seed] [-t seconds]
 *
 * Every call with random and hostile structures, from several threads, while
 * descriptors are closed and duplicated, memory is unmapped, processes fork,
 * and guests of random bytes run at levels 0 and 3.  A round is a process with
 * a seed of its own, which is printed before it starts.  What counts is that
 * the host survives and its log stays clean; run.sh looks.
 */
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "kapi.h"

#define NTHREADS 3u
#define NVCPUS	 3u
#define NFDS	 16u /* eventfds and copies */
#define ROUND	 8u /* seconds until a round is killed */
#define STEPS	 400u

enum target { ON_DEV, ON_VM, ON_VCPU };

/* get: a call whose result is a good start for a mutation. */
struct call {
	enum target on;
	unsigned long request, get;
	bool number; /* the argument is one, not an address */
};
static const struct call calls[] = {
	{ ON_DEV, KVM_GET_API_VERSION, 0, true },
	{ ON_DEV, KVM_CREATE_VM, 0, true },
	{ ON_DEV, KVM_CHECK_EXTENSION, 0, true },
	{ ON_DEV, KVM_GET_VCPU_MMAP_SIZE, 0, true },
	{ ON_DEV, KVM_GET_SUPPORTED_CPUID, 0, false },
	{ ON_DEV, KVM_GET_MSR_INDEX_LIST, 0, false },
	{ ON_DEV, KVM_GET_MSR_FEATURE_INDEX_LIST, 0, false },
	{ ON_DEV, KVM_GET_MSRS, 0, false },
	{ ON_VM, KVM_CHECK_EXTENSION, 0, true },
	{ ON_VM, KVM_CREATE_VCPU, 0, true },
	{ ON_VM, KVM_SET_USER_MEMORY_REGION, 0, false },
	{ ON_VM, KVM_GET_DIRTY_LOG, 0, false },
	{ ON_VM, KVM_CLEAR_DIRTY_LOG, 0, false },
	{ ON_VM, KVM_ENABLE_CAP, 0, false },
	{ ON_VM, KVM_SET_GSI_ROUTING, 0, false },
	{ ON_VM, KVM_SIGNAL_MSI, 0, false },
	{ ON_VM, KVM_IRQFD, 0, false },
	{ ON_VM, KVM_IOEVENTFD, 0, false },
	{ ON_VM, KVM_REGISTER_COALESCED_MMIO, 0, false },
	{ ON_VM, KVM_UNREGISTER_COALESCED_MMIO, 0, false },
	{ ON_VM, KVM_GET_CLOCK, 0, false },
	{ ON_VM, KVM_SET_CLOCK, KVM_GET_CLOCK, false },
	{ ON_VM, KVM_SET_TSS_ADDR, 0, true },
	{ ON_VM, KVM_SET_IDENTITY_MAP_ADDR, 0, false },
	{ ON_VM, KVM_CREATE_IRQCHIP, 0, true },
	{ ON_VM, KVM_GET_IRQCHIP, 0, false },
	{ ON_VM, KVM_SET_IRQCHIP, KVM_GET_IRQCHIP, false },
	{ ON_VM, KVM_IRQ_LINE, 0, false },
	{ ON_VM, KVM_IRQ_LINE_STATUS, 0, false },
	{ ON_VM, KVM_CREATE_PIT, 0, true },
	{ ON_VM, KVM_CREATE_PIT2, 0, false },
	{ ON_VM, KVM_GET_PIT, 0, false },
	{ ON_VM, KVM_SET_PIT, KVM_GET_PIT, false },
	{ ON_VM, KVM_GET_PIT2, 0, false },
	{ ON_VM, KVM_SET_PIT2, KVM_GET_PIT2, false },
	{ ON_VM, KVM_REINJECT_CONTROL, 0, false },
	{ ON_VM, KVM_SET_BOOT_CPU_ID, 0, true },
	{ ON_VCPU, KVM_GET_REGS, 0, false },
	{ ON_VCPU, KVM_SET_REGS, KVM_GET_REGS, false },
	{ ON_VCPU, KVM_GET_SREGS, 0, false },
	{ ON_VCPU, KVM_SET_SREGS, KVM_GET_SREGS, false },
	{ ON_VCPU, KVM_GET_SREGS2, 0, false },
	{ ON_VCPU, KVM_SET_SREGS2, KVM_GET_SREGS2, false },
	{ ON_VCPU, KVM_GET_FPU, 0, false },
	{ ON_VCPU, KVM_SET_FPU, KVM_GET_FPU, false },
	{ ON_VCPU, KVM_GET_XSAVE, 0, false },
	{ ON_VCPU, KVM_SET_XSAVE, KVM_GET_XSAVE, false },
	{ ON_VCPU, KVM_GET_XCRS, 0, false },
	{ ON_VCPU, KVM_SET_XCRS, KVM_GET_XCRS, false },
	{ ON_VCPU, KVM_GET_MSRS, 0, false },
	{ ON_VCPU, KVM_SET_MSRS, 0, false },
	{ ON_VCPU, KVM_GET_CPUID2, 0, false },
	{ ON_VCPU, KVM_SET_CPUID2, KVM_GET_CPUID2, false },
	{ ON_VCPU, KVM_GET_LAPIC, 0, false },
	{ ON_VCPU, KVM_SET_LAPIC, KVM_GET_LAPIC, false },
	{ ON_VCPU, KVM_SET_VAPIC_ADDR, 0, false },
	{ ON_VCPU, KVM_TPR_ACCESS_REPORTING, 0, false },
	{ ON_VCPU, KVM_GET_MP_STATE, 0, false },
	{ ON_VCPU, KVM_SET_MP_STATE, KVM_GET_MP_STATE, false },
	{ ON_VCPU, KVM_GET_VCPU_EVENTS, 0, false },
	{ ON_VCPU, KVM_SET_VCPU_EVENTS, KVM_GET_VCPU_EVENTS, false },
	{ ON_VCPU, KVM_GET_DEBUGREGS, 0, false },
	{ ON_VCPU, KVM_SET_DEBUGREGS, KVM_GET_DEBUGREGS, false },
	{ ON_VCPU, KVM_SET_GUEST_DEBUG, 0, false },
	{ ON_VCPU, KVM_SET_SIGNAL_MASK, 0, false },
	{ ON_VCPU, KVM_GET_TSC_KHZ, 0, true },
	{ ON_VCPU, KVM_SET_TSC_KHZ, 0, true },
	{ ON_VCPU, KVM_INTERRUPT, 0, false },
	{ ON_VCPU, KVM_NMI, 0, true },
	{ ON_VCPU, KVM_TRANSLATE, 0, false },
	{ ON_VCPU, KVM_KVMCLOCK_CTRL, 0, true },
	{ ON_VCPU, KVM_ENABLE_CAP, 0, false },
	{ ON_VCPU, KVM_RUN, 0, true },
};
#define NCALLS (sizeof(calls) / sizeof(calls[0]))

struct state {
	int dev;
	struct vm vm;
	struct vcpu v[NVCPUS];
	int fds[NFDS]; /* races on them are the point */
	uint64_t seed;
};

struct worker {
	struct state *s;
	uint64_t seed;
};

static uint64_t
rnd(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Values that limits are made of, or anything. */
static uint64_t
value(uint64_t *seed)
{
	static const uint64_t special[] = { 0, 1, 2, 3, 4, 8, 24, 0xff, 0x100,
		0xfff, 0x1000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
		FREE, MEMORY, MMIO, APIC, 0x7ffffffff000, 1ull << 47,
		1ull << 52, 1ull << 63, -4096ull, -1ull, 0xc0000080, 0x10, 0x1b,
		0x6e0, 0x800, 0x830 };
	uint64_t r = rnd(seed);

	if (r & 1)
		return special[(r >> 8) % (sizeof(special) / 8)];
	return r >> (r >> 1 & 63);
}

/* A structure: zeroes, noise, or few values in zeroes. */
static void
noise(uint64_t *seed, uint8_t *p, size_t n)
{
	uint64_t how = rnd(seed) % 4, v;
	size_t i;

	if (how != 0)
		memset(p, 0, n);
	if (how == 0)
		for (i = 0; i + 8 <= n; i += 8) {
			v = rnd(seed);
			memcpy(p + i, &v, 8);
		}
	else
		for (i = 0; i < how * 4; i++) {
			v = value(seed);
			memcpy(p + rnd(seed) % (how == 3 ? n / 4 - 1 : 15) * 4,
			    &v, 4 + 4 * (v & 1));
		}
}

static void
mutate(uint64_t *seed, uint8_t *p, size_t n)
{
	unsigned k = (unsigned)(rnd(seed) % 4);
	uint64_t v;

	while (k-- > 0) {
		v = value(seed);
		memcpy(p + rnd(seed) % (n / 4 - 2) * 4, &v, 4 + 4 * (v & 1));
	}
}

static int
target(struct state *s, enum target on, uint64_t *seed)
{
	switch (on) {
	case ON_DEV:
		return s->dev;
	case ON_VM:
		return s->vm.fd;
	case ON_VCPU:
		return s->v[rnd(seed) % NVCPUS].fd;
	}
	return -1;
}

/* Descriptors in structures are ones that exist, mostly. */
static void
plausible(struct state *s, const struct call *c, uint64_t *seed, uint8_t *p)
{
	struct kvm_userspace_memory_region *r = (void *)p;
	uint64_t x = rnd(seed);

	if (x & 3) {
		if (c->request == KVM_IRQFD)
			memcpy(p, &s->fds[x % NFDS], 4);
		else if (c->request == KVM_IOEVENTFD)
			memcpy(p + 20, &s->fds[x % NFDS], 4);
		else if (c->request == KVM_SET_USER_MEMORY_REGION) {
			r->slot = x >> 8 & 7;
			r->flags = x >> 16 & 3;
			r->guest_phys_addr = (x >> 20 & 0x7ff) * 4096;
			r->memory_size = (x >> 32 & 0xff) * 4096;
			r->userspace_addr =
			    (uintptr_t)s->vm.mem + (x >> 40 & 0xff) * 4096;
		} else if (c->request == KVM_GET_DIRTY_LOG)
			memcpy(p + 8, &(uintptr_t){ (uintptr_t)p + 4096 }, 8);
	}
	/* The size of an array in front is small, mostly. */
	if (x & 0x30)
		memcpy(p, &(uint32_t){ x >> 50 & 15 }, 4);
}

/*
 * QEMU's software processor ends itself ("invalid tss type") when an exception
 * leaves 32-bit code of level 3, virtual-8086 mode included, while the task
 * register holds anything but an available TSS, which is what its own LTR
 * leaves there.  A real one has a busy TSS there, or raises #TS.
 */
static void
spare_emulator(struct kvm_segment *tr)
{
	tr->type = 9;
	tr->s = 0;
	tr->present = 1;
	tr->unusable = 0;
}

static void
one_call(struct worker *w)
{
	const struct call *c = &calls[rnd(&w->seed) % NCALLS];
	static __thread uint8_t buffer[65536];
	uint64_t how = rnd(&w->seed) % 16;
	int fd = target(w->s, c->on, &w->seed), r;

	if (how == 0) /* of another kind */
		fd = target(w->s, (enum target)(rnd(&w->seed) % 3), &w->seed);
	if (c->number || how == 1) {
		/* To run is of use with no argument only. */
		r = ioctl(fd, c->request,
		    c->request == KVM_RUN && how != 2 ? 0 : value(&w->seed));
		if ((c->request == KVM_CREATE_VM ||
			c->request == KVM_CREATE_VCPU) &&
		    r >= 0)
			close(r);
		return;
	}
	noise(&w->seed, buffer, 4096);
	if (c->get != 0 && how > 4 && ioctl(fd, c->get, buffer) == 0)
		mutate(&w->seed, buffer, 1024);
	else
		plausible(w->s, c, &w->seed, buffer);
	if (c->request == KVM_SET_SREGS)
		spare_emulator(&((struct kvm_sregs *)(void *)buffer)->tr);
	else if (c->request == KVM_SET_SREGS2)
		spare_emulator(&((struct kvm_sregs2 *)(void *)buffer)->tr);
	ioctl(fd, c->request, buffer);
	/* The tick must come through. */
	if (c->request == KVM_SET_SIGNAL_MASK)
		ioctl(fd, c->request, NULL);
}

/*
 * QEMU's translator takes MOV to the segment registers 6 and 7, which do not
 * exist (#UD), for one beyond its table of six, and dies or writes to LDTR and
 * TR.  No two bytes say so, wherever the guest begins to execute, and however
 * the words of two threads mix.
 */
static void
spare_translator(uint8_t *code, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (code[i] == 0x8e &&
		    (i % 8 == 7 || (code[i + 1] & 0x30) == 0x30))
			code[i] = 0x90;
}

static void
random_code(uint64_t *seed, uint8_t *code, size_t n)
{
	uint64_t r;
	size_t i;

	for (i = 0; i < n; i += 8) {
		r = rnd(seed);
		/* Two-byte and SVM's instructions more often than chance. */
		if (r % 5 == 0)
			r = (r & ~0xffffull) | 0x0f | (r % 3 ? 0x0100 : 0xc700);
		memcpy(code + i, &r, 8);
	}
	spare_translator(code, n);
}

/* Random bytes as code, in a random mode. */
static void
random_guest(struct worker *w)
{
	struct vcpu *v = &w->s->v[rnd(&w->seed) % NVCPUS];
	enum mode mode = (enum mode)(rnd(&w->seed) % (USER64 + 1));
	uint8_t code[512];
	unsigned n = 1 + (unsigned)(rnd(&w->seed) % 20);
	uint64_t r;
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = CODE, .rsp = STACK, .rflags = 2 };

	random_code(&w->seed, code, sizeof(code));
	memcpy(w->s->vm.mem + CODE, code, sizeof(code));
	mode_sregs(v, mode, &sregs);
	spare_emulator(&sregs.tr);
	sregs_set(v, &sregs);
	regs.rax = value(&w->seed);
	regs.rbx = value(&w->seed);
	regs.rcx = value(&w->seed);
	regs.rdx = value(&w->seed);
	regs.rsi = value(&w->seed);
	regs.rdi = value(&w->seed);
	regs.rflags |= rnd(&w->seed) & 0x3f7fd5;
	ioctl(v->fd, KVM_SET_REGS, &regs);
	while (n-- > 0) {
		if (ioctl(v->fd, KVM_RUN, 0) < 0)
			return;
		/* An answer, and lies about what was asked. */
		r = rnd(&w->seed);
		memcpy((uint8_t *)v->run + 32 + r % 200, &r, 8);
	}
}

static void
disturb(struct worker *w)
{
	struct state *s = w->s;
	uint64_t r = rnd(&w->seed);
	/* What vcpu_mode() writes to stays accessible. */
	uint8_t *p =
	    s->vm.mem + FREE + (r >> 8) % ((MEMORY - FREE) / 4096) * 4096;
	unsigned i = (unsigned)(r >> 32) % NFDS;
	pid_t pid;

	switch (r % 8) {
	case 0:
		madvise(p, 4096, MADV_REMOVE);
		break;
	case 1:
		mprotect(p, 4096, r & 0x100 ? PROT_READ : PROT_NONE);
		break;
	case 2:
		mprotect(s->vm.mem, MEMORY, PROT_READ | PROT_WRITE);
		break;
	case 3:
		close(s->fds[i]);
		s->fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		break;
	case 4:
		if (write(s->fds[i], &r, 8) < 0)
			return;
		break;
	case 5:
		close(s->fds[i]);
		s->fds[i] =
		    dup(target(s, (enum target)(r >> 48) % 3, &w->seed));
		break;
	case 6:
		if (r >> 40 & 7)
			return;
		pid = fork();
		if (pid == 0) {
			for (i = 0; i < 8; i++)
				one_call(w);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
		break;
	case 7:
		/* Seldom: the real descriptors go. */
		if (r >> 40 & 63)
			return;
		close(target(s, (enum target)(r >> 48) % 3, &w->seed));
		break;
	}
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	unsigned i;

	for (i = 0; i < STEPS; i++) {
		switch (rnd(&w->seed) % 16) {
		case 0:
			random_guest(w);
			break;
		case 1:
		case 2:
			disturb(w);
			break;
		default:
			one_call(w);
			break;
		}
	}
	return NULL;
}

/* Takes whatever runs out of KVM_RUN. */
static void
tick(int sig)
{
}

static void
round_child(const char *device, uint64_t seed)
{
	struct sigaction sa = { .sa_handler = tick };
	struct itimerval it = { { 0, 3000 }, { 0, 3000 } };
	struct worker w[NTHREADS];
	pthread_t t[NTHREADS];
	struct state s = { .seed = seed };
	unsigned i;

	s.dev = open(device, O_RDWR | O_CLOEXEC);
	if (seed & 1)
		vm_open(&s.vm, s.dev);
	else
		vm_open_chips(&s.vm, s.dev);
	if ((seed & 3) == 0)
		DO(s.vm.fd, KVM_CREATE_PIT, 0);
	for (i = 0; i < NVCPUS; i++) {
		vcpu_open(&s.v[i], &s.vm, i);
		set_cpuid(&s.v[i], s.dev);
		DO(s.v[i].fd, KVM_SET_MP_STATE, &(struct kvm_mp_state){ 0 });
	}
	for (i = 0; i < NFDS; i++)
		s.fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	for (i = 0; i < NTHREADS; i++) {
		w[i] = (struct worker){ &s, seed * 0x9e3779b97f4a7c15 + i + 1 };
		pthread_create(&t[i], NULL, work, &w[i]);
	}
	for (i = 0; i < NTHREADS; i++)
		pthread_join(t[i], NULL);
	_exit(0);
}

static void
one_round(const char *device, uint64_t seed)
{
	struct timespec pause = { .tv_nsec = 20000000 };
	time_t end = time(NULL) + ROUND;
	int status;
	pid_t pid;

	printf("seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		round_child(device, seed);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (time(NULL) > end)
			kill(pid, SIGKILL);
		nanosleep(&pause, NULL);
	}
}

int
main(int argc, char **argv)
{
	const char *device = "/dev/kvm";
	unsigned long seconds = 20, rounds = 0;
	uint64_t seed = (uint64_t)time(NULL);
	time_t end;
	int o;

	while ((o = getopt(argc, argv, "d:s:t:")) != -1) {
		if (o == 'd')
			device = optarg;
		else if (o == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (o == 't')
			seconds = strtoul(optarg, NULL, 0);
		else
			return 2;
	}
	/* The harness gives reasons on 3: most are expected here. */
	if (dup2(open("/dev/null", O_WRONLY), 3) < 0)
		return 1;
	end = time(NULL) + (time_t)seconds;
	while (time(NULL) < end) {
		one_round(device, seed++);
		rounds++;
	}
	printf("%lu rounds\n", rounds);
	return 0;
}
