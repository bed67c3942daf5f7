/* SPDX-License-Identifier: ISC */
/*
 * Exceptions: error codes and addresses of page faults, faults in the delivery
 * of others, paging features.
 */
#include "kapi.h"

#define USER 4ull
#define RW   2ull
#define NX   (1ull << 63)

GUEST(64, reading, "mov (%rsi), %rax\n\t" END);
GUEST(64, writing, "mov %rax, (%rsi)\n\t" END);
GUEST(64, fetching, "jmp *%rsi");

static const struct pf_row {
	const char *name;
	enum mode mode;
	const struct guest *code;
	uint64_t clear, set; /* bits of the page's entry */
	uint64_t error;
} pf_rows[] = {
	{ "read, not present", LONG64, &reading, 1, 0, 0 },
	{ "write, not present", LONG64, &writing, 1, 0, 2 },
	{ "fetch, not present", LONG64, &fetching, 1, 0, 0x10 },
	{ "write, read-only", LONG64, &writing, RW, 0, 3 },
	{ "fetch, no-execute", LONG64, &fetching, 0, NX, 0x11 },
	{ "reserved bit", LONG64, &reading, 0, 1ull << 51, 9 },
	{ "user read, supervisor", USER64, &reading, USER, 0, 5 },
	{ "user write, not present", USER64, &writing, 1, 0, 6 },
	{ "user write, read-only", USER64, &writing, RW, 0, 7 },
	{ "user fetch, supervisor", USER64, &fetching, USER, 0, 0x15 },
};

static void
page_fault_errors(int dev)
{
	const struct pf_row *row;
	struct kvm_sregs s;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &reading);
	for (i = 0; i < sizeof(pf_rows) / sizeof(pf_rows[0]); i++) {
		row = &pf_rows[i];
		vcpu_mode(&v, row->mode);
		vm_load(&vm, CODE, row->code);
		*vm_pte(&vm, FREE) = (FREE | 7 | row->set) & ~row->clear;
		regs_get(&v, &r);
		r.rsi = FREE + 0x123;
		regs_set(&v, &r);
		run_trap(&v, &t);
		sregs_get(&v, &s);
		/* The lab's emulated processor forgets P with a reserved bit. */
		t.error |= t.error >> 3 & 1;
		CHECK(t.vector == PF && t.error == row->error &&
			s.cr2 == FREE + 0x123,
		    "%s: vector %u, error %#llx, cr2 %#llx", row->name,
		    t.vector, (unsigned long long)t.error,
		    (unsigned long long)s.cr2);
		CHECK(t.rip == (row->code == &fetching ? r.rsi : CODE),
		    "%s: rip %#llx", row->name, (unsigned long long)t.rip);
	}
}

/* Accessed and dirty bits are set by what needs them. */
static void
accessed_and_dirty(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &reading);
	regs_get(&v, &r);
	r.rsi = FREE;
	regs_set(&v, &r);
	EQ(*vm_pte(&vm, FREE) & 0x60, 0);
	run_done(&v);
	EQ(*vm_pte(&vm, FREE) & 0x60, 0x20);
	vm_load(&vm, CODE, &writing);
	r.rip = CODE;
	regs_set(&v, &r);
	run_done(&v);
	EQ(*vm_pte(&vm, FREE) & 0x60, 0x60);
	EQ(*vm_pte(&vm, FREE + 0x1000) & 0x60, 0);
}

GUEST(64, write_protect,
    "mov %cr0, %rax\n\tand $0xfffeffff, %eax\n\tmov %rax, %cr0\n\t"
    "mov %rax, (%rsi)\n\tor $0x10000, %eax\n\tmov %rax, %cr0\n\t"
    "mov %rax, (%rsi)\n\t" END);

static void
cr0_wp(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, LONG64, &write_protect);
	*vm_pte(&vm, FREE) &= ~RW;
	regs_get(&v, &r);
	r.rsi = FREE;
	regs_set(&v, &r);
	run_trap(&v, &t);
	EQ(t.vector, PF);
	EQ(t.error, 3);
	CHECK(vm_u64(&vm, FREE) != 0, "the write without WP");
}

GUEST(64, smap_code,
    "mov %cr4, %rax\n\tor $0x300000, %eax\n\tmov %rax, %cr4\n\t"
    "mov (%rsi), %rax\n\tjmp *%rsi");

/* The tables give level 3 every page, so the code itself is taken from it
 * first. */
static void
smep_and_smap(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;
	uint64_t a;

	guest(&vm, &v, dev, LONG64, &smap_code);
	for (a = 0; a < FREE; a += 4096)
		*vm_pte(&vm, a) &= ~USER;
	regs_get(&v, &r);
	r.rsi = FREE;
	regs_set(&v, &r);
	run_trap(&v, &t);
	if (t.vector == GP)
		skip("no SMEP or no SMAP");
	EQ(t.vector, PF);
	EQ(t.error, 1);
	EQ(t.rip, CODE + 11);
	regs_get(&v, &r);
	vm.mem[r.rsp + 8] += 3; /* the frame's rip: over the read */
	run_trap(&v, &t);
	EQ(t.vector, PF);
	EQ(t.error, 0x11);
	EQ(t.rip, FREE);
}

GUEST(64, undefined, "ud2\n\t" END);
GUEST(64, divide, "xor %ecx, %ecx\n\tdiv %ecx\n\t" END);

/* A handler that is not present: what its #NP says; which pairs are a double
 * fault. */
static void
fault_in_delivery(int dev)
{
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, LONG64, &undefined);
	vm.mem[IDT + UD * 16 + 5] &= 0x7f;
	run_trap(&v, &t);
	EQ(t.vector, NP); /* a benign one before: no double fault */
	/* Intel's call an earlier exception external (SDM "Error Code"). */
	EQ(t.error, UD * 8 + 2 + (__builtin_cpu_is("intel") ? 1 : 0));
	EQ(t.rip, CODE);
	/* A delivery that the hypervisor mends is an injection then. */
	if (shadows(dev) && !__builtin_cpu_is("intel"))
		skip("without nested paging, this processor (an emulator) "
		     "makes no double fault of what is injected");
	/* Two contributory ones. */
	vcpu_mode(&v, LONG64);
	vm_load(&vm, CODE, &divide);
	vm.mem[IDT + DE * 16 + 5] &= 0x7f;
	run_trap(&v, &t);
	EQ(t.vector, DF);
	EQ(t.error, 0);
	EQ(t.rip, CODE + 2);
	/* A page fault and then one of its own handler's stack: IST1 on a page
	 * that is not there. */
	vcpu_mode(&v, LONG64);
	vm_load(&vm, CODE, &reading);
	vm.mem[IDT + PF * 16 + 4] = 1;
	memcpy(vm.mem + TSS + 36, &(uint64_t){ FREE + 0x1000 }, 8);
	*vm_pte(&vm, FREE) &= ~1ull;
	regs_set(&v,
	    &(struct kvm_regs){
		.rip = CODE, .rflags = 2, .rsp = STACK, .rsi = FREE });
	run_trap(&v, &t);
	EQ(t.vector, DF);
	EQ(t.rip, CODE);
	/* The same without a handler for #DF. */
	vcpu_mode(&v, LONG64);
	*vm_pte(&vm, FREE) &= ~1ull;
	vm.mem[IDT + PF * 16 + 4] = 1;
	memcpy(vm.mem + TSS + 36, &(uint64_t){ FREE + 0x1000 }, 8);
	vm.mem[IDT + DF * 16 + 5] &= 0x7f;
	regs_set(&v,
	    &(struct kvm_regs){
		.rip = CODE, .rflags = 2, .rsp = STACK, .rsi = FREE });
	run_to(&v, KVM_EXIT_SHUTDOWN);
}

/* The same pairs where the first event is injected by the host. */
static void
fault_in_injection(int dev)
{
	struct kvm_vcpu_events e;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, LONG64, &undefined);
	vm.mem[CODE] = vm.mem[CODE + 1] = 0x90;
	vm.mem[IDT + 0x30 * 16 + 5] &= 0x7f;
	regs_get(&v, &r);
	r.rflags |= RFLAGS_IF;
	regs_set(&v, &r);
	DO(v.fd, KVM_INTERRUPT, &(struct kvm_interrupt){ 0x30 });
	run_trap(&v, &t);
	EQ(t.vector, NP);
	/* External, which the lab's emulated processor does not say. */
	EQ(t.error | 1, 0x30 * 8 + 2 + 1);
	EQ(t.rip, CODE);
	vm.mem[IDT + GP * 16 + 5] &= 0x7f;
	vcpu_mode(&v, LONG64);
	vm.mem[IDT + GP * 16 + 5] &= 0x7f;
	DO(v.fd, KVM_GET_VCPU_EVENTS, &e);
	e.exception.injected = 1;
	e.exception.nr = GP;
	e.exception.has_error_code = 1;
	DO(v.fd, KVM_SET_VCPU_EVENTS, &e);
	run_trap(&v, &t);
	/* The lab's emulated processor does not count what was injected. */
	CHECK(t.vector == DF || t.vector == NP, "vector %u", t.vector);
}

/*
 * The delivery of an interrupt touches pages for the first time (nested page
 * faults in the middle of it): it is not lost and not doubled.
 */
static void
delivery_cut_off(int dev)
{
	uint8_t *p = pages(4096);
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &undefined);
	vm.mem[CODE] = vm.mem[CODE + 1] = 0x90;
	for (i = 0; i < 8; i++) {
		/* Where the stack is, memory comes anew each time. */
		vm_slot(&vm, 1, 0, 0x40000000, p, 4096);
		regs_get(&v, &r);
		r.rip = CODE;
		r.rflags = 2 | RFLAGS_IF;
		r.rsp = 0x40001000;
		regs_set(&v, &r);
		if (i % 2 == 0)
			DO(v.fd, KVM_INTERRUPT,
			    &(struct kvm_interrupt){ 0x30 });
		else
			DO(v.fd, KVM_NMI, 0);
		run(&v);
		CHECK(at_port(&v, TRAP), "exit %u", v.run->exit_reason);
		regs_get(&v, &r);
		EQ((r.rip - STUBS) / STUB_LEN, i % 2 == 0 ? 0x30 : NMI);
		EQ(r.rsp, 0x40001000 - 40);
		memcpy(&t.rip, p + 4096 - 40, 8);
		EQ(t.rip, CODE);
		run_done(&v);
		vm_slot(&vm, 1, 0, 0, NULL, 0);
	}
}

GUEST(64, non_canonical, "mov (%rsi), %rax\n\t" END);
GUEST(64, stack_non_canonical, "mov %rsi, %rbp\n\tmov (%rbp), %rax\n\t" END);

static void
canonical(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, LONG64, &non_canonical);
	regs_get(&v, &r);
	r.rsi = 1ull << 47;
	regs_set(&v, &r);
	run_trap(&v, &t);
	EQ(t.vector, GP);
	EQ(t.error, 0);
	vcpu_mode(&v, LONG64);
	vm_load(&vm, CODE, &stack_non_canonical);
	regs_get(&v, &r);
	r.rsi = 1ull << 63;
	regs_set(&v, &r);
	run_trap(&v, &t);
	/* #SS on hardware; the lab's emulated processor makes it #GP. */
	CHECK(t.vector == SS || t.vector == GP, "vector %u", t.vector);
}

GUEST(64, arithmetic, "xor %edx, %edx\n\txor %ecx, %ecx\n\tdiv %ecx\n\t" END);
GUEST(64, x87,
    "fninit\n\tmovw $0x37b, (0xc000)\n\tfldcw (0xc000)\n\t"
    "fld1\n\tfldz\n\tfdivrp\n\tfwait\n\t" END);
GUEST(64, task_switched,
    "mov %cr0, %rax\n\tor $8, %eax\n\tmov %rax, %cr0\n\t"
    "movaps %xmm0, %xmm1\n\tclts\n\t" END);

static void
other_exceptions(int dev)
{
	static const struct {
		const char *name;
		const struct guest *code;
		unsigned vector;
	} rows[] = {
		{ "divide", &arithmetic, DE },
		{ "ud2", &undefined, UD },
		{ "x87", &x87, MF },
		{ "CR0.TS", &task_switched, NM },
	};
	struct vcpu v;
	struct vm vm;
	struct trap t;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &arithmetic);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vcpu_mode(&v, LONG64);
		vm_load(&vm, CODE, rows[i].code);
		run_trap(&v, &t);
		CHECK(t.vector == rows[i].vector, "%s: vector %u", rows[i].name,
		    t.vector);
	}
}

GUEST(64, align3, "mov 1(%rsi), %eax\n\t" END);

static void
alignment_check(int dev)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, USER64, &align3);
	sregs_get(&v, &s);
	s.cr0 |= 1u << 18;
	sregs_set(&v, &s);
	regs_get(&v, &r);
	r.rsi = FREE;
	r.rflags |= 1u << 18;
	regs_set(&v, &r);
	run_trap(&v, &t);
	if (t.vector == PF || t.vector == GP)
		skip("this processor (an emulator) has no alignment check");
	EQ(t.vector, AC);
	EQ(t.error, 0);
}

/* 32-bit paging without PAE: big pages and the guest's own small ones. */
GUEST(32, paged, "mov (%esi), %eax\n\tmov %eax, (%edi)\n\t" END);

static void
paging_32bit(int dev)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;
	uint32_t e = (FREE + 0x10000) | 7, p = (FREE + 0x2000) | 5;

	guest(&vm, &v, dev, PAGED32, &paged);
	/* 0x40000000: a table at FREE + 0x10000, whose page 3 is FREE + 0x2000,
	 * read-only. */
	memcpy(vm.mem + TABLES + 256 * 4, &e, 4);
	memcpy(vm.mem + FREE + 0x10000 + 3 * 4, &p, 4);
	memcpy(vm.mem + FREE + 0x2010, "\x11\x22\x33\x44", 4);
	regs_get(&v, &r);
	r.rsi = 0x40003010;
	r.rdi = FREE;
	regs_set(&v, &r);
	run_done(&v);
	EQ(vm_u32(&vm, FREE), 0x44332211);
	r.rsi = FREE;
	r.rdi = 0x40003020;
	regs_set(&v, &r);
	run_trap(&v, &t);
	EQ(t.vector, PF);
	EQ(t.error, 3);
	sregs_get(&v, &s);
	EQ(s.cr2, 0x40003020);
}

/* PAE: the four pointers are read when CR3 is loaded, not later. */
GUEST(32, pae_reload,
    "mov (%esi), %eax\n\tmov %eax, %ebx\n\tmovl $0, (0x11008)\n\t"
    "movl $0, (0x1100c)\n\tmov (%esi), %eax\n\tmov %cr3, %ecx\n\t"
    "mov %ecx, %cr3\n\tmov (%esi), %eax\n\t" END);

static void
pae_pointers(int dev)
{
	uint8_t *p = pages(4096);
	struct kvm_sregs s;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, PAE32, &pae_reload);
	vm_slot(&vm, 1, 0, 0x40000000, p, 4096); /* the second GiB */
	memcpy(p, "\x78\x56\x34\x12", 4);
	regs_get(&v, &r);
	r.rsi = 0x40000000;
	regs_set(&v, &r);
	run_trap(&v, &t);
	EQ(t.vector, PF);
	EQ(t.error, 0);
	regs_get(&v, &r);
	EQ(r.rbx, 0x12345678);
	sregs_get(&v, &s);
	EQ(s.cr2, 0x40000000);
}

GUEST(64, tlb,
    "mov (%rsi), %rax\n\tmov %rdx, (%rdi)\n\tinvlpg (%rsi)\n\t"
    "mov (%rsi), %rbx\n\tmov %r8, (%rdi)\n\tmov %cr3, %rcx\n\t"
    "mov %rcx, %cr3\n\tmov (%rsi), %rcx\n\t" END);

/* The guest changes its tables: INVLPG and a load of CR3 make it count. */
static void
tlb_flushes(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &tlb);
	memcpy(vm.mem + FREE, &(uint64_t){ 1 }, 8);
	memcpy(vm.mem + FREE + 0x1000, &(uint64_t){ 2 }, 8);
	memcpy(vm.mem + FREE + 0x2000, &(uint64_t){ 3 }, 8);
	regs_get(&v, &r);
	r.rsi = FREE;
	r.rdi = PT + FREE / 4096 * 8;
	r.rdx = (FREE + 0x1000) | 7;
	r.r8 = (FREE + 0x2000) | 7;
	regs_set(&v, &r);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rbx, 2);
	EQ(r.rcx, 3);
}

/* From and to registers of all kinds, the stack pointer among them. */
GUEST(64, cr3_moves,
    "mov %rsp, %rbp\n\tmov %cr3, %r15\n\tmov %rdx, %rsp\n\t"
    "mov %rsp, %cr3\n\tmov (%rsi), %rbx\n\tmov %cr3, %rsp\n\t"
    "mov %rsp, %rcx\n\tmov %r15, %cr3\n\tmov %rbp, %rsp\n\t"
    "mov (%rsi), %r9\n\t" END);
GUEST(64, cr3_load, "mov %rdx, %cr3\n\t" END);

/* A second table of the first level, and tables below it for low memory, in
 * which one page is another one. */
static void
moves_of_cr3(int dev)
{
	const uint64_t area = FREE + 0x10000;
	struct kvm_sregs s, before;
	struct kvm_regs r;
	uint64_t from, e;
	struct vcpu v;
	struct trap t;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &cr3_moves);
	sregs_get(&v, &before);
	for (from = before.cr3, i = 0; i < 4; i++) {
		memcpy(vm.mem + area + i * 4096, vm.mem + from, 4096);
		from = vm_u64(&vm, from) & 0xffffff000;
		e = (area + (i + 1) * 4096) | 7;
		if (i < 3)
			memcpy(vm.mem + area + i * 4096, &e, 8);
	}
	e = (FREE + 0x1000) | 7;
	memcpy(vm.mem + area + 3 * 4096 + FREE / 4096 * 8, &e, 8);
	memcpy(vm.mem + FREE, &(uint64_t){ 1 }, 8);
	memcpy(vm.mem + FREE + 0x1000, &(uint64_t){ 2 }, 8);
	regs_get(&v, &r);
	r.rsi = FREE;
	r.rdx = area;
	regs_set(&v, &r);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rbx, 2);
	EQ(r.rcx, area);
	EQ(r.r9, 1);
	sregs_get(&v, &s);
	EQ(r.r15, before.cr3);
	EQ(s.cr3, before.cr3);
	/* A bit that no address has; else the processor decides. */
	if (!shadows(dev))
		return;
	vcpu_mode(&v, LONG64);
	vm_load(&vm, CODE, &cr3_load);
	regs_get(&v, &r);
	r.rdx = area | 1ull << 62;
	regs_set(&v, &r);
	run_trap(&v, &t);
	EQ(t.vector, GP);
	EQ(t.error, 0);
	EQ(t.rip, CODE);
	sregs_get(&v, &s);
	EQ(s.cr3, before.cr3);
}

/* 32-bit code has no upper halves: the guest comes to it with them set. */
GUEST(32, cr3_moves32,
    "mov %ebx, %cr3\n\tmov %cr3, %edx\n\tmov (%esi), %ecx\n\t" END);

static void
moves_of_cr3_32(int dev)
{
	struct kvm_sregs s, before;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, PAGED32, &cr3_moves32);
	memcpy(vm.mem + FREE, &(uint32_t){ 7 }, 4);
	regs_get(&v, &r);
	sregs_get(&v, &before);
	r.rbx = 0xffffffff00000000 | before.cr3;
	r.rsi = FREE;
	regs_set(&v, &r);
	run_done(&v);
	regs_get(&v, &r);
	sregs_get(&v, &s);
	EQ(s.cr3, before.cr3);
	EQ((uint32_t)r.rdx, before.cr3);
	EQ((uint32_t)r.rcx, 7);
}

/* INVLPG means a linear address, with FS's base. */
GUEST(64, invlpg_by_fs,
    "mov (%rsi), %rax\n\tmov %rdx, (%rdi)\n\tinvlpg %fs:4(%rcx)\n\t"
    "mov (%rsi), %rbx\n\tmov $1, %rax\n\tror $1, %rax\n\t"
    "invlpg (%rax)\n\t" END);

static void
flush_by_segment(int dev)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &invlpg_by_fs);
	memcpy(vm.mem + FREE, &(uint64_t){ 1 }, 8);
	memcpy(vm.mem + FREE + 0x1000, &(uint64_t){ 2 }, 8);
	sregs_get(&v, &s);
	s.fs.base = FREE - 0x5000;
	sregs_set(&v, &s);
	regs_get(&v, &r);
	r.rsi = FREE;
	r.rdi = PT + FREE / 4096 * 8;
	r.rdx = (FREE + 0x1000) | 7;
	r.rcx = 0x5000;
	regs_set(&v, &r);
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rbx, 2);
}

TESTS(faults, T(page_fault_errors), T(accessed_and_dirty), T(cr0_wp),
    T(smep_and_smap), T(fault_in_delivery), T(fault_in_injection),
    T(delivery_cut_off), T(canonical), T(other_exceptions), T(alignment_check),
    T(paging_32bit), T(pae_pointers), T(tlb_flushes), T(moves_of_cr3),
    T(moves_of_cr3_32), T(flush_by_segment));
