/* SPDX-License-Identifier: ISC */
/*
 * ioeventfd: writes of the guest that wake a descriptor instead of user space.
 */
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "kapi.h"

#define PORT 0x700

static uint64_t
taken(int fd)
{
	uint64_t n = 0;

	if (read(fd, &n, sizeof(n)) != sizeof(n))
		return 0;
	return n;
}

static struct kvm_ioeventfd
ioevent(int fd, uint64_t addr, uint32_t len, uint32_t flags, uint64_t match)
{
	return (struct kvm_ioeventfd){ .datamatch = match,
		.addr = addr,
		.len = len,
		.fd = fd,
		.flags = flags };
}

static void
add(const struct vm *vm, int fd, uint64_t addr, uint32_t len, uint32_t flags,
    uint64_t match)
{
	struct kvm_ioeventfd e = ioevent(fd, addr, len, flags, match);

	DO(vm->fd, KVM_IOEVENTFD, &e);
}
#define PIO   KVM_IOEVENTFD_FLAG_PIO
#define MATCH KVM_IOEVENTFD_FLAG_DATAMATCH

GUEST(64, port_writes,
    "mov $0x700, %edx\n\tmov $7, %eax\n\tout %al, %dx\n\tout %ax, %dx\n\t"
    "out %eax, %dx\n\tin %dx, %al\n\t" END);

static void
expect_port(struct vcpu *v, unsigned direction, unsigned size)
{
	run_to(v, KVM_EXIT_IO);
	EQ(v->run->io.port, PORT);
	EQ(v->run->io.direction, direction);
	EQ(v->run->io.size, size);
}

/* Of one length: the other lengths and reads are user space's. */
static void
port(int dev)
{
	struct vcpu v;
	struct vm vm;
	int a = event_fd();

	guest(&vm, &v, dev, LONG64, &port_writes);
	add(&vm, a, PORT, 2, PIO, 0);
	expect_port(&v, KVM_EXIT_IO_OUT, 1);
	EQ(taken(a), 0);
	expect_port(&v, KVM_EXIT_IO_OUT, 4);
	EQ(taken(a), 1);
	expect_port(&v, KVM_EXIT_IO_IN, 1);
	run_done(&v);
	EQ(taken(a), 0);
}

static void
port_any_length(int dev)
{
	struct vcpu v;
	struct vm vm;
	int a = event_fd();

	if (!have_cap(dev, KVM_CAP_IOEVENTFD_ANY_LENGTH))
		skip("no KVM_CAP_IOEVENTFD_ANY_LENGTH");
	guest(&vm, &v, dev, LONG64, &port_writes);
	add(&vm, a, PORT, 0, PIO, 0);
	expect_port(&v, KVM_EXIT_IO_IN, 1);
	EQ(taken(a), 3);
	run_done(&v);
}

GUEST(64, mmio_writes,
    "mov %bl, (%rsi)\n\tmov %bx, (%rsi)\n\tmov %ebx, (%rsi)\n\t"
    "mov %rbx, (%rsi)\n\tmov %ebx, 4(%rsi)\n\tmov (%rsi), %ebx\n\t" END);

static void
at_mmio(const struct vcpu *v, uint64_t value)
{
	struct kvm_regs r;

	regs_get(v, &r);
	r.rip = CODE;
	r.rsi = MMIO;
	r.rbx = value;
	regs_set(v, &r);
}

static void
expect_write(struct vcpu *v, uint64_t gpa, unsigned len)
{
	run_to(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.phys_addr, gpa);
	EQ(v->run->mmio.len, len);
	EQ(v->run->mmio.is_write, 1);
}

static void
mmio(int dev)
{
	struct vcpu v;
	struct vm vm;
	int a = event_fd();

	guest(&vm, &v, dev, LONG64, &mmio_writes);
	add(&vm, a, MMIO, 4, 0, 0);
	at_mmio(&v, 1);
	expect_write(&v, MMIO, 1);
	expect_write(&v, MMIO, 2);
	EQ(taken(a), 0);
	expect_write(&v, MMIO, 8);
	EQ(taken(a), 1);
	expect_write(&v, MMIO + 4, 4);
	run_to(&v, KVM_EXIT_MMIO);
	EQ(v.run->mmio.is_write, 0);
	run_done(&v);
	EQ(taken(a), 0);
}

static void
mmio_any_length(int dev)
{
	struct vcpu v;
	struct vm vm;
	int a = event_fd();

	if (!have_cap(dev, KVM_CAP_IOEVENTFD_ANY_LENGTH))
		skip("no KVM_CAP_IOEVENTFD_ANY_LENGTH");
	guest(&vm, &v, dev, LONG64, &mmio_writes);
	add(&vm, a, MMIO, 0, 0, 0);
	at_mmio(&v, 1);
	expect_write(&v, MMIO + 4, 4);
	EQ(taken(a), 4);
}

GUEST(64, two_values,
    "mov %ebx, (%rsi)\n\tinc %ebx\n\tmov %ebx, (%rsi)\n\tinc %ebx\n\t"
    "mov %ebx, (%rsi)\n\t" END);

/* Values select among descriptors at one address; the rest exits. */
static void
datamatch(int dev)
{
	struct vcpu v;
	struct vm vm;
	int a = event_fd(), b = event_fd();

	guest(&vm, &v, dev, LONG64, &two_values);
	add(&vm, a, MMIO, 4, MATCH, 5);
	add(&vm, b, MMIO, 4, MATCH, 6);
	at_mmio(&v, 5);
	expect_write(&v, MMIO, 4);
	EQ(v.run->mmio.data[0], 7);
	run_done(&v);
	EQ(taken(a), 1);
	EQ(taken(b), 1);
	/* Only the bytes of the length count. */
	at_mmio(&v, 0x1234567800000005);
	expect_write(&v, MMIO, 4);
	EQ(taken(a), 1);
}

static void
arguments(int dev)
{
	struct kvm_ioeventfd e;
	struct vm vm;
	int a = event_fd(), b = event_fd();

	vm_open(&vm, dev);
	e = ioevent(a, PORT, 3, PIO, 0);
	ERR(vm.fd, KVM_IOEVENTFD, &e, EINVAL);
	e = ioevent(a, PORT, 16, PIO, 0);
	ERR(vm.fd, KVM_IOEVENTFD, &e, EINVAL);
	e = ioevent(a, PORT, 2, PIO | 1u << 20, 0);
	ERR(vm.fd, KVM_IOEVENTFD, &e, EINVAL);
	e = ioevent(a, -1ull, 2, 0, 0);
	ERR(vm.fd, KVM_IOEVENTFD, &e, EINVAL);
	e = ioevent(a, PORT, 0, PIO | MATCH, 1); /* a value without a length */
	ERR(vm.fd, KVM_IOEVENTFD, &e, EINVAL);
	e = ioevent(1000, PORT, 2, PIO, 0);
	ERR(vm.fd, KVM_IOEVENTFD, &e, EBADF);
	e = ioevent(vm.fd, PORT, 2, PIO, 0);
	ERR(vm.fd, KVM_IOEVENTFD, &e, EINVAL);
	ERR(vm.fd, KVM_IOEVENTFD, NULL, EFAULT);
	/* One after another at the same place. */
	add(&vm, a, PORT, 2, PIO, 0);
	e = ioevent(b, PORT, 2, PIO, 0);
	ERR(vm.fd, KVM_IOEVENTFD, &e, EEXIST);
	e = ioevent(b, PORT, 2, PIO | MATCH, 3);
	ERR(vm.fd, KVM_IOEVENTFD, &e, EEXIST);
	add(&vm, b, PORT, 2, 0, 0); /* memory is another space */
	e = ioevent(b, PORT, 2, PIO | KVM_IOEVENTFD_FLAG_DEASSIGN, 0);
	ERR(vm.fd, KVM_IOEVENTFD, &e, ENOENT);
	e.fd = a;
	DO(vm.fd, KVM_IOEVENTFD, &e);
	ERR(vm.fd, KVM_IOEVENTFD, &e, ENOENT);
	add(&vm, b, PORT, 2, PIO, 0);
}

static void
removed(int dev)
{
	struct vcpu v;
	struct vm vm;
	int a = event_fd();

	guest(&vm, &v, dev, LONG64, &two_values);
	add(&vm, a, MMIO, 4, 0, 0);
	at_mmio(&v, 1);
	run_done(&v);
	EQ(taken(a), 3);
	add(&vm, a, MMIO, 4, KVM_IOEVENTFD_FLAG_DEASSIGN, 0);
	at_mmio(&v, 1);
	expect_write(&v, MMIO, 4);
	EQ(taken(a), 0);
}

/* Over memory the memory is what counts, not the descriptor. */
static void
memory_wins(int dev)
{
	uint8_t *p = pages(4096);
	struct vcpu v;
	struct vm vm;
	int a = event_fd();

	guest(&vm, &v, dev, LONG64, &two_values);
	add(&vm, a, MMIO, 4, 0, 0);
	vm_slot(&vm, 1, 0, MMIO, p, 4096);
	at_mmio(&v, 1);
	run_done(&v);
	EQ(taken(a), 0);
	EQ(p[0], 3);
	vm_slot(&vm, 1, 0, 0, NULL, 0);
	at_mmio(&v, 1);
	run_done(&v);
	EQ(taken(a), 3);
}

/*
 * What the guest stored before its kick is there when the kick is seen: a
 * thread waits for each kick and looks.
 */
GUEST(64, kicks,
    "1:	inc %ebx\n\tmov %ebx, (%rdi)\n\tmov %ebx, (%rsi)\n\t"
    "2:	cmp %ebx, 8(%rdi)\n\tjne 2b\n\tcmp $2000, %ebx\n\tjb 1b\n\t" END);

static void
ordering(int dev)
{
	struct kvm_regs r;
	struct runner run;
	struct vcpu v;
	struct vm vm;
	uint32_t i;
	int a = eventfd(0, EFD_CLOEXEC); /* blocks */

	guest(&vm, &v, dev, LONG64, &kicks);
	add(&vm, a, MMIO, 4, 0, 0);
	at_mmio(&v, 0);
	regs_get(&v, &r);
	r.rdi = FREE;
	regs_set(&v, &r);
	runner_start(&run, &v);
	for (i = 1; i <= 2000; i++) {
		EQ(taken(a), 1);
		EQ(vm_u32(&vm, FREE), i);
		*(volatile uint32_t *)(void *)(vm.mem + FREE + 8) = i;
	}
	runner_join(&run, 20);
	EQ(run.reason, KVM_EXIT_IO);
}

TESTS(ioevent, T(port), T(port_any_length), T(mmio), T(mmio_any_length),
    T(datamatch), T(arguments), T(removed), T(memory_wins), T(ordering));
