/* SPDX-License-Identifier: ISC */
/*
 * Dirty logs: exactly the pages that were written, once each.
 */
#include <sys/ioctl.h>
#include <unistd.h>
#include "kapi.h"

#define PAGE   4096ul
#define AREA   0x40000000ul
#define NPAGES 130u /* more than two words of the bitmap */
#define WORDS  ((NPAGES + 63) / 64)

GUEST(64, write_pages,
    "1: mov %rax, (%rdi)\n\tadd %rdx, %rdi\n\tdec %rcx\n\tjnz 1b\n\t" END);

static void
write_some(struct vcpu *v, uint64_t gpa, uint64_t stride, uint64_t count)
{
	struct kvm_regs r;

	regs_get(v, &r);
	r.rip = CODE;
	r.rdi = gpa;
	r.rdx = stride;
	r.rcx = count;
	regs_set(v, &r);
	run_done(v);
}

static void
get_log(const struct vm *vm, unsigned slot, uint64_t *bits)
{
	struct kvm_dirty_log log = { .slot = slot };

	memset(bits, 0xa5, WORDS * 8);
	log.dirty_bitmap = bits;
	DO(vm->fd, KVM_GET_DIRTY_LOG, &log);
}

static unsigned
count(const uint64_t *bits)
{
	unsigned i, n = 0;

	for (i = 0; i < WORDS; i++)
		n += (unsigned)__builtin_popcountll(bits[i]);
	return n;
}

static bool
bit(const uint64_t *bits, unsigned n)
{
	return bits[n / 64] >> (n % 64) & 1;
}

static void
exact(int dev)
{
	uint8_t *p = pages(NPAGES * PAGE);
	uint64_t bits[WORDS];
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &write_pages);
	vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, AREA, p, NPAGES * PAGE);
	get_log(&vm, 1, bits);
	EQ(count(bits), 0);
	write_some(&v, AREA + PAGE, 3 * PAGE, 43);
	get_log(&vm, 1, bits);
	for (i = 0; i < NPAGES; i++)
		CHECK(bit(bits, i) == (i % 3 == 1), "page %u", i);
	get_log(&vm, 1, bits);
	EQ(count(bits), 0);
	/* Pages that were dirty are again; the last one too. */
	write_some(&v, AREA + 64 * PAGE, PAGE, 1);
	write_some(&v, AREA + NPAGES * PAGE - 8, PAGE, 1);
	get_log(&vm, 1, bits);
	EQ(count(bits), 2);
	CHECK(bit(bits, 64) && bit(bits, NPAGES - 1), "pages");
	/* An access over a page's end makes two dirty. */
	write_some(&v, AREA + 8 * PAGE - 4, PAGE, 1);
	get_log(&vm, 1, bits);
	EQ(count(bits), 2);
	CHECK(bit(bits, 7) && bit(bits, 8), "pages");
}

/* Logging may begin and end while the memory is in use. */
static void
switched_on_later(int dev)
{
	uint8_t *p = pages(NPAGES * PAGE);
	uint64_t bits[WORDS];
	struct kvm_dirty_log log = { .slot = 1 };
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &write_pages);
	vm_slot(&vm, 1, 0, AREA, p, NPAGES * PAGE);
	log.dirty_bitmap = bits;
	ERR(vm.fd, KVM_GET_DIRTY_LOG, &log, ENOENT);
	write_some(&v, AREA, PAGE, NPAGES);
	vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, AREA, p, NPAGES * PAGE);
	get_log(&vm, 1, bits);
	EQ(count(bits), 0);
	write_some(&v, AREA + 5 * PAGE, PAGE, 2);
	get_log(&vm, 1, bits);
	EQ(count(bits), 2);
	vm_slot(&vm, 1, 0, AREA, p, NPAGES * PAGE);
	ERR(vm.fd, KVM_GET_DIRTY_LOG, &log, ENOENT);
	write_some(&v, AREA, PAGE, NPAGES);
	log.slot = 2;
	ERR(vm.fd, KVM_GET_DIRTY_LOG, &log, ENOENT);
	log.slot = 0xffff;
	ERR(vm.fd, KVM_GET_DIRTY_LOG, &log, EINVAL);
}

static void
bad_log_address(int dev)
{
	uint8_t *p = pages(NPAGES * PAGE);
	struct kvm_dirty_log log = { .slot = 1 };
	struct vm vm;

	vm_open(&vm, dev);
	vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, AREA, p, NPAGES * PAGE);
	log.dirty_bitmap = (void *)16;
	ERR(vm.fd, KVM_GET_DIRTY_LOG, &log, EFAULT);
	ERR(vm.fd, KVM_GET_DIRTY_LOG, NULL, EFAULT);
}

/* MANUAL_DIRTY_LOG_PROTECT2: GET only looks, CLEAR takes single pages. */
static void
cleared_by_hand(int dev)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE } };
	uint8_t *p = pages(NPAGES * PAGE);
	uint64_t bits[WORDS];
	struct kvm_clear_dirty_log clear = { .slot = 1 };
	struct vcpu v;
	struct vm vm;

	if (!have_cap(dev, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2))
		skip("no KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	guest(&vm, &v, dev, LONG64, &write_pages);
	DO(vm.fd, KVM_ENABLE_CAP, &cap);
	vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, AREA, p, NPAGES * PAGE);
	write_some(&v, AREA + 62 * PAGE, PAGE, 5);
	get_log(&vm, 1, bits);
	EQ(count(bits), 5);
	get_log(&vm, 1, bits);
	EQ(count(bits), 5);
	/* The first page must be a multiple of 64. */
	memset(bits, 0xff, sizeof(bits));
	clear.dirty_bitmap = bits;
	clear.first_page = 1;
	clear.num_pages = 64;
	ERR(vm.fd, KVM_CLEAR_DIRTY_LOG, &clear, EINVAL);
	clear.first_page = 64;
	clear.num_pages = 63;
	ERR(vm.fd, KVM_CLEAR_DIRTY_LOG, &clear, EINVAL);
	clear.num_pages = 1u << 20;
	ERR(vm.fd, KVM_CLEAR_DIRTY_LOG, &clear, EINVAL);
	clear.num_pages = 64;
	bits[0] = 5; /* pages 64 and 66 of 62 .. 66 */
	DO(vm.fd, KVM_CLEAR_DIRTY_LOG, &clear);
	get_log(&vm, 1, bits);
	EQ(count(bits), 3);
	CHECK(bit(bits, 62) && bit(bits, 63) && bit(bits, 65), "pages");
	write_some(&v, AREA + 64 * PAGE, PAGE, 1);
	get_log(&vm, 1, bits);
	EQ(count(bits), 4);
}

GUEST(64, increment, "lock incl (%rdi)\n\t" END);

/* Writes that KVM makes itself (page walks set the accessed bit of the guest's
 * tables; an emulated write) are in the log. */
static void
table_walks_count(int dev)
{
	uint64_t bits[16]; /* MEMORY / PAGE */
	struct kvm_dirty_log log = { .slot = 0 };
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &increment);
	vm_slot(&vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, vm.mem, MEMORY);
	log.dirty_bitmap = bits;
	DO(vm.fd, KVM_GET_DIRTY_LOG, &log);
	regs_get(&v, &r);
	r.rdi = FREE;
	regs_set(&v, &r);
	run_done(&v);
	DO(vm.fd, KVM_GET_DIRTY_LOG, &log);
	CHECK(bit(bits, FREE / PAGE), "the page itself");
	CHECK(bit(bits, PT / PAGE), "its page table");
	EQ(*vm_pte(&vm, FREE) & 0x60, 0x60);
	CHECK(!bit(bits, FREE / PAGE + 1), "the next page");
	CHECK(!bit(bits, DATA / PAGE), "untouched data");
}

GUEST(64, paint,
    /* rsi: a word per page with its generation; rdi: pages; rdx: stride */
    "mov %rdi, %r8\n"
    "2:	mov %r8, %rdi\n\tmov %r9, %rcx\n\tinc %rax\n"
    "1:	mov %rax, (%rdi)\n\tadd %rdx, %rdi\n\tdec %rcx\n\tjnz 1b\n\t"
    "mov %eax, (%rsi)\n\tcmpl $0, 8(%rsi)\n\tje 2b\n\t" END);

#define CONTROL 0x50000000ul

static void
start_painter(struct runner *r, struct vcpu *v, unsigned id, uint64_t npages)
{
	struct kvm_regs regs;

	regs_get(v, &regs);
	regs.rdi = AREA + id * PAGE;
	regs.rdx = 2 * PAGE;
	regs.r9 = npages;
	regs.rsi = CONTROL + id * 0x40;
	regs.rax = 0;
	regs_set(v, &regs);
	runner_start(r, v);
}

/*
 * Two vCPUs write while the log is read: whatever a page holds at the end was
 * written after a log took it, or it is in the last log; a copy that follows
 * the logs is the memory itself.
 */
static void
two_vcpus(int dev)
{
	uint64_t bits[WORDS], copy[NPAGES] = { 0 };
	uint8_t *p = pages(NPAGES * PAGE), *ctl = pages(PAGE);
	struct vcpu v[2];
	struct runner r[2];
	struct vm vm;
	unsigned i, round;

	guest(&vm, &v[0], dev, LONG64, &paint);
	vcpu_open(&v[1], &vm, 1);
	set_cpuid(&v[1], dev);
	vcpu_mode(&v[1], LONG64);
	DO(v[1].fd, KVM_SET_MP_STATE, &(struct kvm_mp_state){ 0 });
	vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, AREA, p, NPAGES * PAGE);
	vm_slot(&vm, 2, 0, CONTROL, ctl, PAGE);
	for (i = 0; i < 2; i++)
		start_painter(&r[i], &v[i], i, 60);
	for (round = 0; round <= 200; round++) {
		if (round == 200) {
			ctl[8] = ctl[0x48] = 1;
			runner_join(&r[0], 20);
			runner_join(&r[1], 20);
		}
		get_log(&vm, 1, bits);
		for (i = 0; i < NPAGES; i++)
			if (bit(bits, i))
				memcpy(&copy[i], p + i * PAGE, 8);
	}
	for (i = 0; i < NPAGES; i++) {
		EQ(copy[i], *(uint64_t *)(void *)(p + i * PAGE));
		CHECK((copy[i] != 0) == (i < 120), "page %u", i);
	}
	EQ(r[0].error | r[1].error, 0);
}

TESTS(dirty, T(exact), T(switched_on_later), T(bad_log_address),
    T(cleared_by_hand), T(table_walks_count), T(two_vcpus));
