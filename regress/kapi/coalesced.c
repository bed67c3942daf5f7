/* SPDX-License-Identifier: ISC */
/*
 * Writes that wait in a ring: KVM_REGISTER_COALESCED_MMIO, for memory and ports.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "kapi.h"

#define RING_MAX                                           \
	((4096 - sizeof(struct kvm_coalesced_mmio_ring)) / \
	    sizeof(struct kvm_coalesced_mmio))

GUEST(64, stores,
    "mov $0xd0000000, %esi\n\tmov $0x1122334455667788, %rax\n\t"
    "mov %al, (%rsi)\n\tmov %ax, 0x10(%rsi)\n\tmov %eax, 0x20(%rsi)\n\t"
    "mov %rax, 0x30(%rsi)\n\t" END);
GUEST(64, outs,
    "mov $0x11223344, %eax\n\tmov $0xc80, %edx\n\tout %al, %dx\n\t"
    "inc %edx\n\tout %ax, %dx\n\tinc %edx\n\tout %eax, %dx\n\t" END);
GUEST(64, out_string,
    "mov $0xc80, %edx\n\tmov $0xc000, %esi\n\tmov $5, %ecx\n\tcld\n\t"
    "rep outsb\n\t" END);
GUEST(64, many,
    "mov $0xd0000000, %esi\n1:	mov %eax, (%rsi)\n\tinc %eax\n\t"
    "jmp 1b");

static struct kvm_coalesced_mmio_ring *
ring_of(const struct vcpu *v)
{
	struct kvm_coalesced_mmio_ring *r = mmap(
	    NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 2 * 4096);

	if (r == MAP_FAILED)
		fail("mmap of the ring: %s", strerror(errno));
	return r;
}

static void
zone(const struct vm *vm, uint64_t addr, uint32_t size, uint32_t pio)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size };

	z.pio = pio;
	DO(vm->fd, KVM_REGISTER_COALESCED_MMIO, &z);
}

static void
no_zone(const struct vm *vm, uint64_t addr, uint32_t size, uint32_t pio)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size };

	z.pio = pio;
	DO(vm->fd, KVM_UNREGISTER_COALESCED_MMIO, &z);
}

static void
entry(const struct kvm_coalesced_mmio_ring *r, unsigned i, uint64_t addr,
    unsigned len, uint64_t data, unsigned pio)
{
	uint64_t got = 0;

	EQ(r->coalesced_mmio[i].phys_addr, addr);
	EQ(r->coalesced_mmio[i].len, len);
	EQ(r->coalesced_mmio[i].pio, pio);
	memcpy(&got, r->coalesced_mmio[i].data, len);
	EQ(got, data);
}

static void
memory(int dev)
{
	struct kvm_coalesced_mmio_ring *r;
	struct vcpu v;
	struct vm vm;

	EQ(DO(dev, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO), 2);
	EQ(DO(dev, KVM_GET_VCPU_MMAP_SIZE, 0), 3 * 4096);
	guest(&vm, &v, dev, LONG64, &stores);
	r = ring_of(&v);
	zone(&vm, MMIO, 0x1000, 0);
	run_done(&v);
	EQ(r->first, 0);
	EQ(r->last, 4);
	entry(r, 0, MMIO, 1, 0x88, 0);
	entry(r, 1, MMIO + 0x10, 2, 0x7788, 0);
	entry(r, 2, MMIO + 0x20, 4, 0x55667788, 0);
	entry(r, 3, MMIO + 0x30, 8, 0x1122334455667788, 0);
}

static void
ports(int dev)
{
	struct kvm_coalesced_mmio_ring *r;
	struct vcpu v;
	struct vm vm;

	CHECK(have_cap(dev, KVM_CAP_COALESCED_PIO), "capability");
	guest(&vm, &v, dev, LONG64, &outs);
	r = ring_of(&v);
	zone(&vm, 0xc80, 8, 1);
	run_done(&v);
	EQ(r->last, 3);
	entry(r, 0, 0xc80, 1, 0x44, 1);
	entry(r, 1, 0xc81, 2, 0x3344, 1);
	entry(r, 2, 0xc82, 4, 0x11223344, 1);
	/* And each element of a string. */
	r->last = 0;
	vcpu_mode(&v, LONG64);
	vm_load(&vm, CODE, &out_string);
	memcpy(vm.mem + DATA, "abcde", 5);
	run_done(&v);
	EQ(r->last, 5);
	entry(r, 4, 0xc80, 1, 'e', 1);
}

/* All of a write is in one zone, of its kind. */
static void
outside(int dev)
{
	struct kvm_coalesced_mmio_ring *r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &stores);
	r = ring_of(&v);
	zone(&vm, MMIO, 0x20 + 3, 0);
	zone(&vm, MMIO + 0x20 + 3, 0x1000, 0);
	zone(&vm, MMIO, 0x1000, 1);
	run_to(&v, KVM_EXIT_MMIO);
	EQ(v.run->mmio.phys_addr, MMIO + 0x20);
	EQ(r->last, 2);
	no_zone(&vm, MMIO + 0x30, 8, 0);
	run_to(&v, KVM_EXIT_MMIO);
	EQ(v.run->mmio.phys_addr, MMIO + 0x30);
	EQ(r->last, 2);
	run_done(&v);
}

/* One place stays empty; what does not go in ends KVM_RUN, and then there is
 * room again. */
static void
full(int dev)
{
	struct kvm_coalesced_mmio_ring *r;
	struct vcpu v;
	struct vm vm;
	uint32_t val;

	guest(&vm, &v, dev, LONG64, &many);
	r = ring_of(&v);
	zone(&vm, MMIO, 0x1000, 0);
	run_to(&v, KVM_EXIT_MMIO);
	/* Older ones take a difference below 0 modulo the size of the ring. */
	if (is_kvm(dev) && r->last == (0u - 1) % RING_MAX)
		skip("this KVM's ring is full at %u", r->last);
	EQ(r->last, RING_MAX - 1);
	memcpy(&val, v.run->mmio.data, 4);
	EQ(val, RING_MAX - 1);
	r->first = 7;
	run_to(&v, KVM_EXIT_MMIO);
	EQ(r->last, 6);
	entry(r, 5, MMIO, 4, RING_MAX + 6, 0);
}

/* Whatever user space writes there. */
static void
hostile(int dev)
{
	struct kvm_coalesced_mmio_ring *r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &many);
	r = ring_of(&v);
	zone(&vm, MMIO, 0x1000, 0);
	memset(r, 0xff, 4096);
	run_to(&v, KVM_EXIT_MMIO);
	EQ(r->last, 0xffffffff);
	r->last = RING_MAX;
	run_to(&v, KVM_EXIT_MMIO);
	EQ(r->last, RING_MAX);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, v.fd, 3 * 4096) ==
		    MAP_FAILED ||
		is_kvm(dev),
	    "a fourth page");
}

static void
arguments(int dev)
{
	struct kvm_coalesced_mmio_zone z = { .addr = MMIO, .size = 4096 };
	struct vm vm;

	vm_open(&vm, dev);
	ERR(vm.fd, KVM_REGISTER_COALESCED_MMIO, NULL, EFAULT);
	ERR(vm.fd, KVM_UNREGISTER_COALESCED_MMIO, NULL, EFAULT);
	z.pio = 2;
	ERR(vm.fd, KVM_REGISTER_COALESCED_MMIO, &z, EINVAL);
	ERR(vm.fd, KVM_UNREGISTER_COALESCED_MMIO, &z, EINVAL);
	z.pio = 0;
	DO(vm.fd, KVM_UNREGISTER_COALESCED_MMIO, &z); /* none is no error */
}

TESTS(coalesced, T(memory), T(ports), T(outside), T(full), T(hostile),
    T(arguments));
