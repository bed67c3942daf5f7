/* SPDX-License-Identifier: ISC */
/*
 * Port I/O that user space serves: sizes, strings, repetition, rights.
 */
#include "kapi.h"

#define PORT 0x60

GUEST(64, outs_sizes,
    "mov $0x11223344aabbccdd, %rax\n\tmov $0x60, %edx\n\t"
    "out %al, %dx\n\tout %ax, %dx\n\tout %eax, %dx\n\t"
    "out %al, $0x60\n\tout %ax, $0x60\n\tout %eax, $0x60\n\t" END);

static void
expect_io(struct vcpu *v, unsigned direction, unsigned size, unsigned count)
{
	run_to(v, KVM_EXIT_IO);
	EQ(v->run->io.port, PORT);
	EQ(v->run->io.direction, direction);
	EQ(v->run->io.size, size);
	EQ(v->run->io.count, count);
}

static uint8_t *
io_data(const struct vcpu *v)
{
	CHECK(v->run->io.data_offset +
		    (uint64_t)v->run->io.size * v->run->io.count <=
		v->run_size,
	    "data beyond the run page");
	return (uint8_t *)v->run + v->run->io.data_offset;
}

static void
out_sizes(int dev)
{
	static const uint8_t data[] = { 0xdd, 0xcc, 0xbb, 0xaa };
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &outs_sizes);
	for (i = 0; i < 6; i++) {
		expect_io(&v, KVM_EXIT_IO_OUT, 1u << (i % 3), 1);
		CHECK(memcmp(io_data(&v), data, 1u << (i % 3)) == 0, "data");
	}
	run_done(&v);
}

GUEST(64, ins_sizes,
    "mov $0x1122334455667788, %rax\n\tmov %rax, %rbx\n\tmov %rax, %rcx\n\t"
    "mov $0x60, %edx\n\tin %dx, %al\n\tmov %rax, %rsi\n\t"
    "mov %rbx, %rax\n\tin $0x60, %ax\n\tmov %rax, %rdi\n\t"
    "mov %rbx, %rax\n\tin %dx, %eax\n\tmov %rax, %rbp\n\t" END);

/* 8 and 16 bits leave the rest of the register, 32 clear it. */
static void
in_sizes(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &ins_sizes);
	for (i = 0; i < 3; i++) {
		expect_io(&v, KVM_EXIT_IO_IN, 1u << i, 1);
		memcpy(io_data(&v), "\xf1\xf2\xf3\xf4", 1u << i);
	}
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rsi, 0x11223344556677f1);
	EQ(r.rdi, 0x112233445566f2f1);
	EQ(r.rbp, 0xf4f3f2f1);
}

GUEST(64, one_string,
    "mov $0x60, %edx\n\toutsb\n\tcld\n\toutsl\n\tstd\n\toutsw\n\tcld\n\t"
    "insw\n\tstd\n\tinsb\n\tcld\n\t" END);

static void
single_strings(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &one_string);
	memcpy(vm.mem + FREE, "abcdefghijkl", 12);
	regs_get(&v, &r);
	r.rsi = FREE;
	r.rdi = FREE + 0x100;
	regs_set(&v, &r);
	expect_io(&v, KVM_EXIT_IO_OUT, 1, 1);
	EQ(*io_data(&v), 'a');
	expect_io(&v, KVM_EXIT_IO_OUT, 4, 1);
	CHECK(memcmp(io_data(&v), "bcde", 4) == 0, "outsl");
	expect_io(&v, KVM_EXIT_IO_OUT, 2, 1);
	CHECK(memcmp(io_data(&v), "fg", 2) == 0, "outsw");
	expect_io(&v, KVM_EXIT_IO_IN, 2, 1);
	memcpy(io_data(&v), "XY", 2);
	expect_io(&v, KVM_EXIT_IO_IN, 1, 1);
	memcpy(io_data(&v), "Z", 1);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rsi, FREE + 5 - 2);
	EQ(r.rdi, FREE + 0x102 - 1);
	CHECK(memcmp(vm.mem + FREE + 0x100, "XYZ", 3) == 0, "ins");
}

/* Serves a repeated transfer however it is cut; the number of bytes. */
static size_t
stream(struct vcpu *v, uint8_t *bytes, size_t max)
{
	size_t n, total = 0;

	for (;;) {
		run_to(v, KVM_EXIT_IO);
		if (v->run->io.port != PORT)
			break;
		n = (size_t)v->run->io.size * v->run->io.count;
		CHECK(n != 0 && n <= max - total, "%zu bytes more", n);
		if (v->run->io.direction == KVM_EXIT_IO_OUT)
			memcpy(bytes + total, io_data(v), n);
		else
			memcpy(io_data(v), bytes + total, n);
		total += n;
	}
	CHECK(at_port(v, DONE), "port %#x", v->run->io.port);
	return total;
}

GUEST(64, rep_out64, "mov $0x60, %edx\n\trep outsb\n\t" END);
GUEST(64, rep_out64w, "mov $0x60, %edx\n\trep outsw\n\t" END);
GUEST(64, rep_in64, "mov $0x60, %edx\n\trep insb\n\t" END);
GUEST(64, rep_in64l, "mov $0x60, %edx\n\trep insl\n\t" END);
GUEST(64, rep_in64down, "mov $0x60, %edx\n\tstd\n\trep insb\n\tcld\n\t" END);
GUEST(32, rep_out32, "mov $0x60, %edx\n\trep outsl\n\t" END);
GUEST(16, rep_in16, "mov $0x60, %dx\n\trep insw\n\t" END);

static const struct rep_row {
	const char *name;
	enum mode mode;
	const struct guest *code;
	bool in;
	uint32_t size, count;
	uint64_t where;
	int step; /* of rsi or rdi, per element */
} reps[] = {
	{ "outsb", LONG64, &rep_out64, false, 1, 100, FREE, 1 },
	{ "outsb, over a page", LONG64, &rep_out64, false, 1, 100, FREE + 0xfe0,
	    1 },
	{ "outsb, pages", LONG64, &rep_out64, false, 1, 10000, FREE + 5, 1 },
	{ "outsw, odd over a page", LONG64, &rep_out64w, false, 2, 50,
	    FREE + 0xfdf, 2 },
	{ "outsb, none", LONG64, &rep_out64, false, 1, 0, FREE, 1 },
	{ "insb", LONG64, &rep_in64, true, 1, 300, FREE, 1 },
	{ "insb, pages", LONG64, &rep_in64, true, 1, 10000, FREE + 77, 1 },
	{ "insb, none", LONG64, &rep_in64, true, 1, 0, FREE, 1 },
	{ "insl, over a page", LONG64, &rep_in64l, true, 4, 40, FREE + 0xffe,
	    4 },
	{ "insb, down", LONG64, &rep_in64down, true, 1, 40, FREE + 0x1010, -1 },
	{ "outsl, 32 bit", PAE32, &rep_out32, false, 4, 64, FREE + 0xf80, 4 },
	{ "outsl, no paging", PROT32, &rep_out32, false, 4, 64, FREE + 0xf80,
	    4 },
	{ "insw, 16 bit", REAL16, &rep_in16, true, 2, 64, 0xc000, 2 },
};

static void
repeat(int dev, const struct rep_row *row)
{
	static uint8_t bytes[20000];
	size_t n = (size_t)row->size * row->count, i;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	uint8_t *m;

	guest(&vm, &v, dev, row->mode, row->code);
	m = vm.mem + row->where;
	for (i = 0; i < n; i++)
		*(row->in ? bytes + i : m + i) = (uint8_t)(i * 7 + i / 256);
	regs_get(&v, &r);
	r.rcx = row->count;
	r.rsi = r.rdi = row->where;
	regs_set(&v, &r);
	CHECK(stream(&v, bytes, sizeof(bytes)) == n, "%s: length", row->name);
	regs_get(&v, &r);
	CHECK(
	    r.rcx == 0, "%s: rcx %#llx", row->name, (unsigned long long)r.rcx);
	CHECK((row->in ? r.rdi : r.rsi) ==
		row->where + (uint64_t)(row->step * (int)row->count),
	    "%s: pointer", row->name);
	for (i = 0; i < n; i++)
		CHECK(bytes[i] == m[row->step < 0 ? -(long)i : (long)i],
		    "%s: byte %zu", row->name, i);
}

static void
repeated_strings(int dev)
{
	unsigned i;

	for (i = 0; i < sizeof(reps) / sizeof(reps[0]); i++)
		repeat(dev, &reps[i]);
}

/* A page that is missing in the middle of a transfer: what came before counts,
 * the fault is at the address that is missing, the rest follows. */
static void
string_faults(int dev)
{
	uint8_t bytes[64];
	struct kvm_sregs s;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;
	size_t n = 0;

	guest(&vm, &v, dev, LONG64, &rep_out64);
	memset(vm.mem + FREE, 'x', 0x2000);
	*vm_pte(&vm, FREE + 0x1000) &= ~1ull;
	regs_get(&v, &r);
	r.rsi = FREE + 0xff0;
	r.rcx = 32;
	regs_set(&v, &r);
	while (run(&v) == KVM_EXIT_IO && v.run->io.port == PORT)
		n += v.run->io.count;
	EQ(n, 16);
	CHECK(at_port(&v, TRAP), "exit %u", v.run->exit_reason);
	regs_get(&v, &r);
	EQ(r.rsi, FREE + 0x1000);
	EQ(r.rcx, 16);
	sregs_get(&v, &s);
	EQ(s.cr2, FREE + 0x1000);
	memcpy(&t.error, vm.mem + r.rsp, 8);
	EQ(t.error, 0);
	*vm_pte(&vm, FREE + 0x1000) |= 1;
	EQ(stream(&v, bytes, sizeof(bytes)), 16);
}

GUEST(64, user_io,
    "in $0x60, %al\n\tout %al, $0x60\n\tcli\n\tsti\n\t"
    "out %al, $0x80\n\t");

/* Level 3: by IOPL, by the bitmap, by neither. */
static void
user_rights(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, USER64, &user_io);
	run_trap(&v, &t);
	EQ(t.vector, GP);
	EQ(t.error, 0);
	EQ(t.rip, CODE);
	/* IOPL 3 */
	vcpu_mode(&v, USER64);
	regs_get(&v, &r);
	r.rflags |= RFLAGS_IOPL;
	regs_set(&v, &r);
	expect_io(&v, KVM_EXIT_IO_IN, 1, 1);
	expect_io(&v, KVM_EXIT_IO_OUT, 1, 1);
	run_to(&v, KVM_EXIT_IO);
	EQ(v.run->io.port, 0x80);
	/* A bitmap that allows 0x60 alone. */
	vcpu_enter_user(&v, USER64, 2);
	memset(vm.mem + TSS + 0x68, 0xff, 0x98);
	memcpy(vm.mem + TSS + 102, &(uint16_t){ 0x68 }, 2);
	vm.mem[TSS + 0x68 + 0x60 / 8] = 0xfe;
	expect_io(&v, KVM_EXIT_IO_IN, 1, 1);
	expect_io(&v, KVM_EXIT_IO_OUT, 1, 1);
	run_trap(&v, &t); /* cli */
	EQ(t.vector, GP);
	EQ(t.rip, CODE + 4);
}

TESTS(io, T(out_sizes), T(in_sizes), T(single_strings), T(repeated_strings),
    T(string_faults), T(user_rights));
