/* SPDX-License-Identifier: ISC */
/*
 * Registers in and out, and as the guest sees them: general, segment and
 * control, FPU and XSAVE, XCR0, debug registers.
 */
#include <sys/ioctl.h>
#include <stdlib.h>
#include "kapi.h"

GUEST(64, nothing, END);

GUEST(64, rotate,
    "xchg %rax, %rbx\n\txchg %rcx, %rdx\n\txchg %rsi, %rdi\n\t"
    "xchg %r8, %r15\n\txchg %r9, %r14\n\txchg %r10, %r13\n\t"
    "xchg %r11, %r12\n\txchg %rbp, %rsp\n\tpushf\n\tpop %rbp\n\t" END);

static void
general(int dev)
{
	struct kvm_regs r = { .rax = 0x1111111111111111,
		.rbx = 2,
		.rcx = 3,
		.rdx = 4,
		.rsi = 5,
		.rdi = 6,
		.r8 = 8,
		.r9 = 9,
		.r10 = 10,
		.r11 = 11,
		.r12 = 12,
		.r13 = 13,
		.r14 = 14,
		.r15 = 15ull << 60,
		.rsp = 0x1234,
		.rbp = STACK,
		.rip = CODE,
		.rflags = 0xcd7 },
			n;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &rotate);
	regs_set(&v, &r);
	regs_get(&v, &n);
	CHECK(memcmp(&r, &n, sizeof(r)) == 0, "not as they were set");
	run_done(&v);
	regs_get(&v, &n);
	EQ(n.rax, r.rbx);
	EQ(n.rbx, r.rax);
	EQ(n.rcx, r.rdx);
	EQ(n.rsi, r.rdi);
	EQ(n.r8, r.r15);
	EQ(n.r12, r.r11);
	EQ(n.rsp, STACK);
	EQ(n.rbp, 0xcd7);
	ERR(v.fd, KVM_GET_REGS, NULL, EFAULT);
	ERR(v.fd, KVM_SET_REGS, NULL, EFAULT);
}

/* Bit 1 of the flags is fixed. */
static void
flags_fixed(int dev)
{
	struct kvm_regs r = { .rip = CODE, .rsp = STACK, .rbp = STACK };
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &rotate);
	regs_set(&v, &r);
	regs_get(&v, &r);
	EQ(r.rflags, 2);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rbp, 2);
}

/* What a vCPU is at birth: the state after RESET. */
static void
at_reset(int dev)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	vm_open(&vm, dev);
	vcpu_open(&v, &vm, 0);
	regs_get(&v, &r);
	sregs_get(&v, &s);
	EQ(r.rip, 0xfff0);
	EQ(r.rflags, 2);
	EQ(r.rax | r.rbx | r.rcx | r.rsp | r.rbp | r.r15, 0);
	EQ(s.cs.base, 0xffff0000);
	EQ(s.cs.selector, 0xf000);
	EQ(s.cs.limit, 0xffff);
	EQ(s.ds.base | s.ds.selector, 0);
	EQ(s.cr0, 0x60000010);
	EQ(s.cr3 | s.cr4 | s.efer, 0);
	EQ(s.gdt.limit, 0xffff);
	EQ(s.idt.limit, 0xffff);
	EQ(s.apic_base, 0xfee00900);
}

/* From CS:IP f000:fff0 the first jump goes to low memory. */
GUEST(16, reset_vector, "ljmp $0, $0x8000");
GUEST(16, real_end, "mov %cs, %ax\n\t" END);

static void
reset_runs(int dev)
{
	uint8_t *rom = pages(4096);
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	vm_open(&vm, dev);
	vcpu_open(&v, &vm, 0);
	vm_load(&vm, CODE, &real_end);
	memcpy(rom + 0xff0, reset_vector.start,
	    (size_t)(reset_vector.end - reset_vector.start));
	vm_slot(&vm, 1, KVM_MEM_READONLY, 0xfffff000, rom, 4096);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rax & 0xffff, 0);
}

static void
same_segment(
    const char *name, const struct kvm_segment *a, const struct kvm_segment *b)
{
	CHECK(a->base == b->base && a->limit == b->limit &&
		a->selector == b->selector && a->type == b->type &&
		a->present == b->present && a->dpl == b->dpl &&
		a->db == b->db && a->s == b->s && a->l == b->l && a->g == b->g,
	    "%s is not as it was set", name);
}

static void
system_registers(int dev)
{
	static const enum mode modes[] = { REAL16, PROT32, PAGED32, PAE32,
		LONG64, USER32, USER64 };
	struct kvm_sregs a, b;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &nothing);
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		vcpu_mode(&v, modes[i]);
		sregs_get(&v, &a);
		a.gdt.base += 0x10;
		a.idt.limit = 0x7ff;
		a.cr2 = 0x12345;
		a.fs.base = 0x5000;
		a.ldt.selector = 0x20;
		a.ldt.base = 0x9000;
		a.ldt.limit = 0xff;
		a.ldt.type = 2;
		a.ldt.present = 1;
		a.ldt.unusable = 0;
		sregs_set(&v, &a);
		sregs_get(&v, &b);
		same_segment("cs", &a.cs, &b.cs);
		same_segment("ss", &a.ss, &b.ss);
		same_segment("fs", &a.fs, &b.fs);
		same_segment("tr", &a.tr, &b.tr);
		same_segment("ldt", &a.ldt, &b.ldt);
		EQ(b.cr0, a.cr0);
		EQ(b.cr2, a.cr2);
		EQ(b.cr3, a.cr3);
		EQ(b.cr4, a.cr4);
		EQ(b.efer, a.efer);
		EQ(b.gdt.base, a.gdt.base);
		EQ(b.idt.limit, a.idt.limit);
	}
}

GUEST(64, look,
    "mov %cr0, %rax\n\tmov %cr2, %rbx\n\tmov %cr3, %rcx\n\t"
    "mov %cr4, %rdx\n\tsgdt (0xc000)\n\tsidt (0xc010)\n\tsldt %r8w\n\t"
    "str %r9w\n\tmov %fs, %r10w\n\tmov %fs:0, %r11\n\tsmsw %r12w\n\t" END);

static void
system_registers_seen(int dev)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &look);
	sregs_get(&v, &s);
	s.cr2 = 0xabcdef;
	s.fs.base = FREE;
	memcpy(vm.mem + FREE, &(uint64_t){ 99 }, 8);
	sregs_set(&v, &s);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rax, s.cr0);
	EQ(r.rbx, s.cr2);
	EQ(r.rcx, s.cr3);
	EQ(r.rdx, s.cr4);
	EQ(vm_u64(&vm, DATA) & 0xffffffffffff, (uint64_t)GDT << 16 | 0x57);
	EQ(vm_u64(&vm, DATA + 16) & 0xffffffffffff,
	    (uint64_t)IDT << 16 | 0xfff);
	EQ(r.r9 & 0xffff, SEL_TSS);
	EQ(r.r10 & 0xffff, SEL_DATA);
	EQ(r.r11, 99);
	EQ(r.r12 & 0xffff, s.cr0 & 0xffff);
}

static void
bad_system_registers(int dev)
{
	struct kvm_sregs good, s;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &nothing);
	sregs_get(&v, &good);
	s = good;
	s.cr4 &= ~0x20ull; /* long mode without PAE */
	ERR(v.fd, KVM_SET_SREGS, &s, EINVAL);
	s = good;
	s.efer = 0x900; /* paging, LME, no LMA */
	ERR(v.fd, KVM_SET_SREGS, &s, EINVAL);
	s = good;
	s.cr4 |= 1ull << 40;
	ERR(v.fd, KVM_SET_SREGS, &s, EINVAL);
	s = good;
	s.cr3 |= 1ull << 62;
	ERR(v.fd, KVM_SET_SREGS, &s, EINVAL);
	s = good;
	s.apic_base |= 1; /* a reserved bit */
	ERR(v.fd, KVM_SET_SREGS, &s, EINVAL);
	ERR(v.fd, KVM_SET_SREGS, NULL, EFAULT);
	ERR(v.fd, KVM_GET_SREGS, NULL, EFAULT);
	/* None of it was taken. */
	run_done(&v);
	sregs_get(&v, &s);
	EQ(s.cr4, good.cr4);
	EQ(s.efer, good.efer);
	EQ(s.cr3, good.cr3);
}

static void
system_registers2(int dev)
{
	struct kvm_sregs2 s, n;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	if (!have_cap(dev, KVM_CAP_SREGS2))
		skip("no KVM_CAP_SREGS2");
	guest(&vm, &v, dev, PAE32, &nothing);
	DO(v.fd, KVM_GET_SREGS2, &s);
	CHECK(s.flags == KVM_SREGS2_FLAGS_PDPTRS_VALID || s.flags == 0, "%#llx",
	    (unsigned long long)s.flags);
	s.cr2 = 0x777;
	DO(v.fd, KVM_SET_SREGS2, &s);
	DO(v.fd, KVM_GET_SREGS2, &n);
	EQ(n.cr2, 0x777);
	EQ(n.cr3, s.cr3);
	for (i = 0; i < 4; i++)
		EQ(n.pdptrs[i], s.pdptrs[i]);
	s.flags = 1u << 20;
	ERR(v.fd, KVM_SET_SREGS2, &s, EINVAL);
	run_done(&v);
}

GUEST(64, fpu_code,
    "movdqu %xmm0, (0xc000)\n\tfstpl (0xc010)\n\t"
    "mov $0x5555, %eax\n\tmovq %rax, %xmm15\n\tfldpi\n\t" END);

static void
fpu(int dev)
{
	struct kvm_fpu f;
	struct vcpu v;
	struct vm vm;
	double d;

	guest(&vm, &v, dev, LONG64, &fpu_code);
	DO(v.fd, KVM_GET_FPU, &f);
	EQ(f.fcw, 0x37f);
	/* State that was never used has no place in the XSAVE area, where
	 * KVM_SET_FPU would put it: the guest uses it once. */
	run_done(&v);
	vcpu_mode(&v, LONG64);
	memcpy(f.xmm[0], "0123456789abcdef", 16);
	memset(f.fpr, 0, sizeof(f.fpr));
	f.fpr[0][7] = 0x80; /* 1.0 */
	f.fpr[0][8] = 0xff;
	f.fpr[0][9] = 0x3f;
	f.ftwx = 0x80; /* register 7 is in use and on top */
	f.fsw = 7 << 11;
	DO(v.fd, KVM_SET_FPU, &f);
	run_done(&v);
	CHECK(memcmp(vm.mem + DATA, "0123456789abcdef", 16) == 0, "xmm0");
	memcpy(&d, vm.mem + DATA + 16, 8);
	CHECK(d == 1.0, "st(0) is %g", d);
	DO(v.fd, KVM_GET_FPU, &f);
	EQ(f.xmm[15][0], 0x55);
	EQ(f.ftwx, 0x80);
	EQ(f.fpr[0][9], 0x40);
	ERR(v.fd, KVM_GET_FPU, NULL, EFAULT);
}

GUEST(64, xcr_code,
    "mov %cr4, %rax\n\tor $0x40000, %eax\n\tmov %rax, %cr4\n\t"
    "xor %ecx, %ecx\n\txgetbv\n\tmov %eax, %ebx\n\t"
    "xor %edx, %edx\n\tmov $7, %eax\n\txsetbv\n\t"
    "vmovdqu (0xc000), %ymm3\n\t" END);

static bool
have_avx(int dev)
{
	struct kvm_cpuid2 *c =
	    calloc(1, sizeof(*c) + 256 * sizeof(struct kvm_cpuid_entry2));
	bool found = false;
	unsigned i;

	c->nent = 256;
	DO(dev, KVM_GET_SUPPORTED_CPUID, c);
	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 1)
			found = (c->entries[i].ecx >> 28 & 1) != 0;
	free(c);
	return found;
}

static void
xcrs(int dev)
{
	struct kvm_xcrs x = { .nr_xcrs = 1 };
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	if (!have_avx(dev))
		skip("no AVX");
	guest(&vm, &v, dev, LONG64, &xcr_code);
	DO(v.fd, KVM_GET_XCRS, &x);
	EQ(x.nr_xcrs, 1);
	EQ(x.xcrs[0].value, 1);
	x.xcrs[0].value = 3;
	DO(v.fd, KVM_SET_XCRS, &x);
	x.xcrs[0].value = 2; /* the x87 bit is always on */
	ERR(v.fd, KVM_SET_XCRS, &x, EINVAL);
	x.xcrs[0].value = 5; /* AVX without SSE */
	ERR(v.fd, KVM_SET_XCRS, &x, EINVAL);
	x.xcrs[0].value = 1ull << 62 | 1;
	ERR(v.fd, KVM_SET_XCRS, &x, EINVAL);
	x.nr_xcrs = 1000;
	ERR(v.fd, KVM_SET_XCRS, &x, EINVAL);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rbx, 3);
	DO(v.fd, KVM_GET_XCRS, &x);
	EQ(x.xcrs[0].value, 7);
}

/* The upper half of a YMM register, in the standard format. */
static void
xsave(int dev)
{
	struct kvm_xsave x, n;
	uint8_t *area = (uint8_t *)x.region;
	struct vcpu v;
	struct vm vm;

	if (!have_avx(dev))
		skip("no AVX");
	guest(&vm, &v, dev, LONG64, &xcr_code);
	memcpy(vm.mem + DATA, "abcdefghijklmnopABCDEFGHIJKLMNOP", 32);
	run_done(&v);
	DO(v.fd, KVM_GET_XSAVE, &x);
	CHECK((area[512] & 4) != 0, "AVX is not in the header");
	CHECK(memcmp(area + 160 + 3 * 16, vm.mem + DATA, 16) == 0, "xmm3");
	CHECK(memcmp(area + 576 + 3 * 16, vm.mem + DATA + 16, 16) == 0,
	    "ymm3, upper half");
	area[576 + 3 * 16] = '!';
	DO(v.fd, KVM_SET_XSAVE, &x);
	DO(v.fd, KVM_GET_XSAVE, &n);
	EQ(((uint8_t *)n.region)[576 + 3 * 16], '!');
	/* A component that is not there; a compacted header; a bad MXCSR. */
	area[512 + 7] = 0x40;
	ERR(v.fd, KVM_SET_XSAVE, &x, EINVAL);
	area[512 + 7] = 0;
	area[24 + 3] = 0xff;
	ERR(v.fd, KVM_SET_XSAVE, &x, EINVAL);
	DO(v.fd, KVM_GET_XSAVE, &n);
	EQ(((uint8_t *)n.region)[576 + 3 * 16], '!');
}

GUEST(64, debug_registers,
    "mov %dr0, %rax\n\tmov %dr3, %rbx\n\tmov %dr6, %rcx\n\tmov %dr7, %rdx\n\t"
    "mov $0x1234, %esi\n\tmov %rsi, %dr1\n\t" END);

static void
debug_regs(int dev)
{
	struct kvm_debugregs d, n;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &debug_registers);
	DO(v.fd, KVM_GET_DEBUGREGS, &d);
	EQ(d.dr6, 0xffff0ff0);
	EQ(d.dr7, 0x400);
	d.db[0] = 0x1000;
	d.db[3] = 0xffff800000000000;
	d.dr6 = 0xffff0ff1;
	d.dr7 = 0x400;
	DO(v.fd, KVM_SET_DEBUGREGS, &d);
	n = d;
	n.flags = 1;
	ERR(v.fd, KVM_SET_DEBUGREGS, &n, EINVAL);
	n = d;
	n.dr6 = 1ull << 32;
	ERR(v.fd, KVM_SET_DEBUGREGS, &n, EINVAL);
	n = d;
	n.dr7 = 1ull << 40;
	ERR(v.fd, KVM_SET_DEBUGREGS, &n, EINVAL);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rax, 0x1000);
	EQ(r.rbx, 0xffff800000000000);
	EQ(r.rcx, 0xffff0ff1);
	EQ(r.rdx, 0x400);
	DO(v.fd, KVM_GET_DEBUGREGS, &n);
	EQ(n.db[1], 0x1234);
}

TESTS(regs, T(general), T(flags_fixed), T(at_reset), T(reset_runs),
    T(system_registers), T(system_registers_seen), T(bad_system_registers),
    T(system_registers2), T(fpu), T(xcrs), T(xsave), T(debug_regs));
