/* SPDX-License-Identifier: ISC */
/*
 * Memory regions: what a guest finds in them, what user space may ask for,
 * changes while the guest runs.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "kapi.h"

#define PAGE 4096ul
#define AREA 0x40000000ul /* for slot 1 */

static int
region(const struct vm *vm, unsigned slot, unsigned flags, uint64_t gpa,
    void *hva, uint64_t size)
{
	struct kvm_userspace_memory_region r = { slot, flags, gpa, size,
		(uintptr_t)hva };

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) == 0 ? 0 : errno;
}

GUEST(64, copy, "mov (%rsi), %rax\n\tmov %rax, (%rdi)\n\t" END);

static void
aim(const struct vcpu *v, uint64_t from, uint64_t to)
{
	struct kvm_regs r;

	regs_get(v, &r);
	r.rip = CODE;
	r.rsi = from;
	r.rdi = to;
	regs_set(v, &r);
}

static void
two_regions(int dev)
{
	uint64_t *p = pages(4 * PAGE);
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &copy);
	vm_slot(&vm, 1, 0, AREA, p, 4 * PAGE);
	p[0] = 0x1122334455667788;
	aim(&v, AREA, AREA + 3 * PAGE + 8);
	run_done(&v);
	EQ(p[3 * 512 + 1], 0x1122334455667788);
	aim(&v, AREA, FREE);
	run_done(&v);
	EQ(vm_u64(&vm, FREE), 0x1122334455667788);
}

static void
bad_regions(int dev)
{
	uint8_t *p = pages(16 * PAGE);
	unsigned slots;
	struct vm vm;

	vm_open(&vm, dev);
	slots = (unsigned)DO(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	EQ(region(&vm, 1, 0, AREA, p, PAGE + 1), EINVAL);
	EQ(region(&vm, 1, 0, AREA + 1, p, PAGE), EINVAL);
	EQ(region(&vm, 1, 0, AREA, p + 1, PAGE), EINVAL);
	EQ(region(&vm, slots, 0, AREA, p, PAGE), EINVAL);
	EQ(region(&vm, 0xffff, 0, AREA, p, PAGE), EINVAL);
	EQ(region(&vm, 1, 1u << 30, AREA, p, PAGE), EINVAL);
	EQ(region(&vm, 1, 0, -PAGE, p, 2 * PAGE), EINVAL);
	EQ(region(&vm, 1, 0, AREA, (void *)-PAGE, 2 * PAGE), EINVAL);
	EQ(region(&vm, 1, 0, AREA, (void *)(1ul << 63), PAGE), EINVAL);
	/* One that is not there. */
	EQ(region(&vm, 1, 0, AREA, p, 0), EINVAL);
	/* In the way of another. */
	EQ(region(&vm, 1, 0, MEMORY - PAGE, p, 2 * PAGE), EEXIST);
	EQ(region(&vm, 1, 0, 0, p, PAGE), EEXIST);
	EQ(region(&vm, 1, 0, AREA, p, 2 * PAGE), 0);
	/* Another size, another place in user space, another right. */
	EQ(region(&vm, 1, 0, AREA, p, PAGE), EINVAL);
	EQ(region(&vm, 1, 0, AREA, p + PAGE, 2 * PAGE), EINVAL);
	EQ(region(&vm, 1, KVM_MEM_READONLY, AREA, p, 2 * PAGE), EINVAL);
	EQ(region(&vm, 1, 0, 0, p, 2 * PAGE), EEXIST);
	EQ(region(&vm, 1, 0, AREA, p, 2 * PAGE), 0);
	EQ(region(&vm, 1, 0, AREA, p, 0), 0);
	EQ(region(&vm, 1, 0, AREA, p, 0), EINVAL);
}

static void
many_regions(int dev)
{
	uint64_t *p = pages(30 * PAGE);
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &copy);
	/* Descending, so that an order has to be kept. */
	for (i = 0; i < 30; i++) {
		vm_slot(&vm, 30 - i, 0, AREA + 2 * i * PAGE, p + i * 512, PAGE);
		p[i * 512] = 1000 + i;
	}
	for (i = 0; i < 30; i++) {
		aim(&v, AREA + 2 * i * PAGE, FREE);
		run_done(&v);
		EQ(vm_u64(&vm, FREE), 1000 + i);
	}
}

/* As many as memory modules of a large machine make. */
static void
five_hundred_regions(int dev)
{
	const unsigned n = 508;
	uint64_t *p = pages(n * PAGE);
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &copy);
	for (i = 0; i < n; i++) {
		vm_slot(&vm, 1 + i, 0, AREA + 2 * i * PAGE, p + i * 512, PAGE);
		p[i * 512] = 1000 + i;
	}
	for (i = 0; i < n; i += 13) {
		aim(&v, AREA + 2 * i * PAGE, FREE);
		run_done(&v);
		EQ(vm_u64(&vm, FREE), 1000 + i);
	}
}

static void
move_region(int dev)
{
	uint64_t *p = pages(PAGE);
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &copy);
	vm_slot(&vm, 1, 0, AREA, p, PAGE);
	p[0] = 42;
	aim(&v, AREA, FREE);
	run_done(&v);
	vm_slot(&vm, 1, 0, AREA + 16 * PAGE, p, PAGE);
	aim(&v, AREA + 16 * PAGE, FREE + 8);
	run_done(&v);
	EQ(vm_u64(&vm, FREE + 8), 42);
	aim(&v, AREA, FREE + 16);
	run_to(&v, KVM_EXIT_MMIO);
	EQ(v.run->mmio.phys_addr, AREA);
	EQ(v.run->mmio.len, 8);
	memcpy(v.run->mmio.data, &(uint64_t){ 77 }, 8);
	run_done(&v);
	EQ(vm_u64(&vm, FREE + 16), 77);
}

static void
delete_region(int dev)
{
	uint64_t *p = pages(PAGE);
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &copy);
	vm_slot(&vm, 1, 0, AREA, p, PAGE);
	aim(&v, FREE, AREA);
	run_done(&v);
	vm_slot(&vm, 1, 0, 0, NULL, 0);
	aim(&v, FREE, AREA);
	run_to(&v, KVM_EXIT_MMIO);
	EQ(v.run->mmio.is_write, 1);
	vm_slot(&vm, 1, 0, AREA, p, PAGE);
	memcpy(vm.mem + FREE, &(uint64_t){ 5 }, 8);
	run_done(&v);
	aim(&v, FREE, AREA);
	run_done(&v);
	EQ(p[0], 5);
}

/* Reads count; writes do not reach memory and are user space's. */
static void
read_only(int dev)
{
	uint64_t *p = pages(PAGE);
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &copy);
	vm_slot(&vm, 1, KVM_MEM_READONLY, AREA, p, PAGE);
	p[1] = 42;
	aim(&v, AREA + 8, FREE);
	run_done(&v);
	EQ(vm_u64(&vm, FREE), 42);
	aim(&v, FREE, AREA + 16);
	run_to(&v, KVM_EXIT_MMIO);
	EQ(v.run->mmio.is_write, 1);
	EQ(v.run->mmio.phys_addr, AREA + 16);
	EQ(v.run->mmio.len, 8);
	EQ(v.run->mmio.data[0], 42);
	run_done(&v);
	EQ(p[2], 0);
}

GUEST(64, step, "incq 8(%rsi)\n\tjmp *%rbx");

/* Code in read-only memory runs; its read-modify-write reads memory and
 * writes to user space. */
static void
read_only_code(int dev)
{
	uint8_t *p = pages(PAGE);
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &copy);
	memcpy(p, step.start, (size_t)(step.end - step.start));
	p[0x808] = 9;
	vm_slot(&vm, 1, KVM_MEM_READONLY, AREA, p, PAGE);
	regs_get(&v, &r);
	r.rip = AREA;
	r.rsi = AREA + 0x800;
	r.rbx = CODE + 6; /* its end */
	regs_set(&v, &r);
	run_to(&v, KVM_EXIT_MMIO);
	EQ(v.run->mmio.is_write, 1);
	EQ(v.run->mmio.phys_addr, AREA + 0x808);
	EQ(v.run->mmio.data[0], 10);
	run_done(&v);
	EQ(p[0x808], 9);
}

GUEST(64, spin_on, "1: incl (%rdi)\n\tmov (%rsi), %rax\n\tjmp 1b");

/* A vCPU that reads a region all the time notices at once that it is gone. */
static void
delete_running(int dev)
{
	uint64_t *p = pages(PAGE);
	struct runner r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &spin_on);
	vm_slot(&vm, 1, 0, AREA, p, PAGE);
	aim(&v, AREA + 0x10, FREE);
	runner_start(&r, &v);
	wait_u32(&vm, FREE, 1000);
	vm_slot(&vm, 1, 0, 0, NULL, 0);
	runner_join(&r, 20);
	EQ(r.error, 0);
	EQ(r.reason, KVM_EXIT_MMIO);
	EQ(v.run->mmio.phys_addr, AREA + 0x10);
	EQ(v.run->mmio.is_write, 0);
}

/* Other regions come, move and go: a running guest does not notice. */
static void
change_others_running(int dev)
{
	uint64_t *p = pages(64 * PAGE), *q = pages(4 * PAGE);
	struct runner r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &spin_on);
	vm_slot(&vm, 1, 0, AREA, p, PAGE);
	aim(&v, AREA, FREE);
	runner_start(&r, &v);
	wait_u32(&vm, FREE, 100);
	for (i = 0; i < 200; i++) {
		vm_slot(&vm, 2, 0, AREA + (1 + i % 7) * 4 * PAGE, q, 4 * PAGE);
		if (i % 3 == 2)
			vm_slot(&vm, 2, 0, 0, NULL, 0);
	}
	wait_u32(&vm, FREE, vm_u32(&vm, FREE) + 100);
	vm_slot(&vm, 1, 0, 0, NULL, 0);
	runner_join(&r, 20);
	EQ(r.error, 0);
	EQ(r.reason, KVM_EXIT_MMIO);
	EQ(v.run->mmio.phys_addr, AREA);
}

/* Pages that user space discards read as zero. */
static void
discard_running(int dev)
{
	struct runner r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &spin_on);
	aim(&v, FREE + 64 * PAGE, FREE);
	runner_start(&r, &v);
	wait_u32(&vm, FREE, 1000);
	/* A shared anonymous page lives in a file. */
	if (madvise(vm.mem + FREE, PAGE, MADV_REMOVE) != 0)
		fail("MADV_REMOVE: %s", strerror(errno));
	CHECK(vm_u32(&vm, FREE) < 0x7fffffff, "counter");
	wait_u32(&vm, FREE, 1);
	runner_kick(&r);
	runner_join(&r, 20);
	EQ(r.error, EINTR);
}

/* The same for private memory, and for what replaces a mapping. */
static void
replace_mapping(int dev)
{
	uint64_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &copy);
	vm_slot(&vm, 1, 0, AREA, p, 2 * PAGE);
	p[0] = 1;
	aim(&v, AREA, FREE);
	run_done(&v);
	EQ(vm_u64(&vm, FREE), 1);
	madvise(p, PAGE, MADV_DONTNEED);
	aim(&v, AREA, FREE);
	run_done(&v);
	EQ(vm_u64(&vm, FREE), 0);
	if (mmap(p, PAGE, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
		fail("mmap");
	p[0] = 3;
	aim(&v, AREA, FREE);
	run_done(&v);
	EQ(vm_u64(&vm, FREE), 3);
	aim(&v, FREE, AREA + 8);
	run_done(&v);
	EQ(p[1], 3);
}

/* Memory is had for what the guest touches, not for what lies around it. */
static void
untouched_stays_absent(int dev)
{
	uint64_t *p = pages(64 * PAGE);
	unsigned char in[64];
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &copy);
	vm_slot(&vm, 1, 0, AREA, p, 64 * PAGE);
	aim(&v, AREA + 20 * PAGE, AREA + 40 * PAGE);
	run_done(&v);
	if (mincore(p, 64 * PAGE, in) != 0)
		fail("mincore: %s", strerror(errno));
	for (i = 0; i < 64; i++)
		CHECK((in[i] & 1) == (i == 20 || i == 40), "page %u", i);
}

/* A page of zeroes that was only read is not written in place. */
static void
read_then_write(int dev)
{
	uint64_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &copy);
	vm_slot(&vm, 1, 0, AREA, p, 2 * PAGE);
	aim(&v, AREA, FREE);
	run_done(&v);
	memcpy(vm.mem + FREE, &(uint64_t){ 8 }, 8);
	aim(&v, FREE, AREA + 8);
	run_done(&v);
	EQ(p[1], 8);
	EQ(p[513], 0);
	aim(&v, AREA + PAGE + 8, FREE);
	run_done(&v);
	EQ(vm_u64(&vm, FREE), 0);
}

static void
unmapped_host_memory(int dev)
{
	uint64_t *p = pages(2 * PAGE);
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &copy);
	vm_slot(&vm, 1, 0, AREA, p, 2 * PAGE);
	aim(&v, AREA, FREE);
	run_done(&v);
	munmap(p, PAGE);
	aim(&v, AREA, FREE);
	EQ(run_errno(&v), EFAULT);
	aim(&v, AREA + PAGE, FREE);
	run_done(&v);
	mprotect(p + 512, PAGE, PROT_READ);
	aim(&v, FREE, AREA + PAGE);
	EQ(run_errno(&v), EFAULT);
	mprotect(p + 512, PAGE, PROT_READ | PROT_WRITE);
	run_done(&v);
}

GUEST(64, unmap_me, "1: incl (%rdi)\n\tjmp 1b");

static void
unmap_running(int dev)
{
	uint8_t *p = pages(PAGE);
	struct runner r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &unmap_me);
	vm_slot(&vm, 1, 0, AREA, p, PAGE);
	aim(&v, 0, AREA);
	runner_start(&r, &v);
	while (*(volatile uint32_t *)(void *)p < 1000)
		usleep(1000);
	munmap(p, PAGE);
	runner_join(&r, 20);
	EQ(r.error, EFAULT);
}

GUEST(64, self_modify,
    "mov $0x8040, %rdi\n\t"
    "movw $0x00b0, (%rdi)\n\t" /* mov $n, %al */
    "movb $0xc3, 2(%rdi)\n\t" /* ret */
    "xor %ebx, %ebx\n\tmov $100, %ecx\n"
    "1:	mov %cl, 1(%rdi)\n\txor %eax, %eax\n\tcall *%rdi\n\t"
    "add %rax, %rbx\n\tdec %ecx\n\tjnz 1b\n\t" END);

static void
self_modifying(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &self_modify);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rbx, 5050);
}

GUEST(64, patched, "1: mov $1, %eax\n\tout %al, $0xf6\n\tjmp 1b");

/* User space patches code between two runs. */
static void
patched_by_user(int dev)
{
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &patched);
	for (i = 1; i < 20; i++) {
		vm.mem[CODE + 1] = (uint8_t)i;
		DO(v.fd, KVM_RUN, 0);
		CHECK(at_port(&v, MARK), "exit %u", v.run->exit_reason);
		EQ(((uint8_t *)v.run)[v.run->io.data_offset], i);
	}
}

#define HUGE (2ul << 20)

/* Private memory, which the host may move, aligned so that a huge page fits. */
static uint32_t *
movable(size_t size)
{
	char *p = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	return (uint32_t *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
}

/* The guest's counter goes on from where it is. */
static void
counts_on(const uint32_t *p)
{
	uint32_t was = __atomic_load_n(p, __ATOMIC_SEQ_CST), is = was;
	unsigned n;

	for (n = 0; n < 5000 && is - was < 100; n++) {
		usleep(1000);
		is = __atomic_load_n(p, __ATOMIC_SEQ_CST);
		CHECK(is >= was, "the counter was %u, is %u", was, is);
	}
	CHECK(is - was >= 100, "the counter stays at %u", is);
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* since Linux 6.1 */
#endif

/* What a running guest has in memory is there, wherever the host puts it.  Of a
 * huge page the host needs a piece that is gone to make it one again. */
static void
moved_running(int dev, int advice, const char *name)
{
	char *p = (char *)movable(HUGE), *gone = p + 8 * PAGE;
	struct runner r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	madvise(p, HUGE, MADV_NOHUGEPAGE);
	memset(p, 0x5a, HUGE);
	memset(p, 0, 4);
	if (advice == MADV_COLLAPSE)
		madvise(p, HUGE, MADV_HUGEPAGE);
	guest(&vm, &v, dev, LONG64, &spin_on);
	vm_slot(&vm, 1, 0, AREA, p, HUGE);
	aim(&v, AREA + 64 * PAGE, AREA);
	runner_start(&r, &v);
	for (i = 0; i < 20; i++) {
		counts_on((uint32_t *)p);
		if (advice == MADV_COLLAPSE)
			madvise(gone, PAGE, MADV_DONTNEED);
		if (madvise(p, HUGE, advice) == 0 || errno == EAGAIN)
			continue;
		runner_kick(&r);
		runner_join(&r, 20);
		skip("%s: %s", name, strerror(errno));
	}
	counts_on((uint32_t *)p);
	runner_kick(&r);
	runner_join(&r, 20);
	EQ(r.error, EINTR);
	if (advice == MADV_COLLAPSE)
		memset(gone, 0x5a, PAGE);
	for (i = 4; i < HUGE; i++)
		EQ(p[i], 0x5a);
}

static long
number_in(const char *file, const char *key)
{
	char line[256];
	long n = -1;
	FILE *f = fopen(file, "r");

	while (n < 0 && f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			n = strtol(line + strlen(key), NULL, 10);
	if (f != NULL)
		fclose(f);
	return n;
}

static void
huge_page_running(int dev)
{
	long before = number_in("/proc/vmstat", "thp_collapse_alloc ");

	moved_running(dev, MADV_COLLAPSE, "MADV_COLLAPSE");
	CHECK(number_in("/proc/vmstat", "thp_collapse_alloc ") > before,
	    "no huge page was made");
}

static void
swapped_running(int dev)
{
	long before = number_in("/proc/vmstat", "pswpout ");

	if (number_in("/proc/meminfo", "SwapTotal:") <= 0)
		skip("no swap");
	moved_running(dev, MADV_PAGEOUT, "MADV_PAGEOUT");
	CHECK(
	    number_in("/proc/vmstat", "pswpout ") > before, "nothing swapped");
}

/* Two pages that are alike become one until the guest writes to either. */
static void
merged(int dev)
{
	uint32_t *p = movable(2 * PAGE), *q = p + PAGE / sizeof(*p);
	FILE *f = fopen("/sys/kernel/mm/ksm/run", "w");
	struct vcpu v;
	struct vm vm;
	unsigned n;

	if (f == NULL || fputs("1", f) == EOF || fclose(f) != 0)
		skip("no KSM");
	memset(p, 0x77, 2 * PAGE);
	guest(&vm, &v, dev, LONG64, &copy);
	vm_slot(&vm, 1, 0, AREA, p, 2 * PAGE);
	/* Both are there, to be written. */
	aim(&v, AREA, AREA);
	run_done(&v);
	aim(&v, AREA, AREA + PAGE);
	run_done(&v);
	if (madvise(p, 2 * PAGE, MADV_MERGEABLE) != 0)
		skip("MADV_MERGEABLE: %s", strerror(errno));
	for (n = 0; number_in("/sys/kernel/mm/ksm/pages_sharing", "") < 1;
	     n++) {
		if (n > 2000)
			skip("KSM does not come to it");
		usleep(10000);
	}
	*(uint64_t *)(vm.mem + FREE) = 5;
	aim(&v, FREE, AREA + PAGE + 64);
	run_done(&v);
	EQ(q[16], 5);
	EQ(p[16], 0x77777777);
	aim(&v, AREA + 64, FREE + 8);
	run_done(&v);
	EQ(vm_u32(&vm, FREE + 8), 0x77777777);
}

TESTS(memory, T(two_regions), T(bad_regions), T(many_regions),
    T(five_hundred_regions), T(move_region), T(delete_region), T(read_only),
    T(read_only_code), T(delete_running), T(change_others_running),
    T(discard_running), T(replace_mapping), T(untouched_stays_absent),
    T(read_then_write), T(unmapped_host_memory), T(unmap_running),
    T(self_modifying), T(patched_by_user), T(huge_page_running),
    T(swapped_running), T(merged));
