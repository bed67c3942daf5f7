/* SPDX-License-Identifier: ISC */
/*
 * Memory-mapped I/O: the exits of plain accesses, and the differential test of
 * many instruction forms: each runs once on memory and once, with the same
 * start, on a window that user space serves; registers, flags and bytes must
 * agree.
 */
#include <cpuid.h>
#include <stdlib.h>
#include "kapi.h"

#define PAGE   4096u
#define WINDOW (2 * PAGE) /* at MMIO; its twin is memory at FREE */
#define EDGE   0xff8u /* near the end of the first page */

GUEST(64, plain,
    "mov (%rsi), %al\n\tmov 1(%rsi), %ax\n\tmov 3(%rsi), %eax\n\t"
    "mov 8(%rsi), %rax\n\tmov %bl, (%rsi)\n\tmov %bx, 2(%rsi)\n\t"
    "mov %ebx, 4(%rsi)\n\tmov %rbx, 8(%rsi)\n\t" END);

static void
expect_mmio(struct vcpu *v, bool write, uint64_t gpa, unsigned len)
{
	run_to(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.phys_addr, gpa);
	EQ(v->run->mmio.len, len);
	EQ(v->run->mmio.is_write, write);
}

static void
plain_sizes(int dev)
{
	static const uint8_t offset[2][4] = { { 0, 1, 3, 8 }, { 0, 2, 4, 8 } };
	static const uint64_t value = 0x8877665544332211;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &plain);
	regs_get(&v, &r);
	r.rsi = MMIO;
	r.rbx = value;
	regs_set(&v, &r);
	for (i = 0; i < 4; i++) {
		expect_mmio(&v, false, MMIO + offset[0][i], 1u << i);
		memset(v.run->mmio.data, 0x40 + (int)i, 8);
	}
	for (i = 0; i < 4; i++) {
		expect_mmio(&v, true, MMIO + offset[1][i], 1u << i);
		CHECK(memcmp(v.run->mmio.data, &value, 1u << i) == 0,
		    "data of size %u", 1u << i);
	}
	run_done(&v);
	/* Its rax was 8 bytes of the last read, but al left by DONE. */
	EQ(rax_of(&v), 0x4343434343434343);
}

/* The forms; x87 and MMX have no business with devices.  rsi and rdi point into the window (at offset EDGE when the row
 * crosses pages), r8 and r9 at memory that is the same in both runs. */
#define FORMS(X)                                                        \
	X(mov_r8, "mov (%rsi), %bl")                                    \
	X(mov_r16, "mov 2(%rsi), %bx")                                  \
	X(mov_r32, "mov 4(%rsi), %ebx")                                 \
	X(mov_r64, "mov 8(%rsi), %rbx")                                 \
	X(mov_r64_ext, "mov 3(%rsi), %r13")                             \
	X(mov_high, "mov (%rsi), %bh")                                  \
	X(mov_m8, "mov %bl, (%rsi)")                                    \
	X(mov_m8_high, "mov %ch, (%rsi)")                               \
	X(mov_m16, "mov %bx, 2(%rsi)")                                  \
	X(mov_m32, "mov %ebx, 4(%rsi)")                                 \
	X(mov_m64, "mov %r14, 8(%rsi)")                                 \
	X(mov_imm8, "movb $0x5a, (%rsi)")                               \
	X(mov_imm16, "movw $0x5a5b, (%rsi)")                            \
	X(mov_imm32, "movl $0x5a5b5c5d, (%rsi)")                        \
	X(mov_imm64, "movq $-3, (%rsi)")                                \
	X(mov_sib, "mov 4(%rsi,%rcx,2), %ebx")                          \
	X(movzx_b, "movzbl (%rsi), %ebx")                               \
	X(movzx_w, "movzwq 1(%rsi), %rbx")                              \
	X(movsx_b, "movsbq (%rsi), %rbx")                               \
	X(movsx_w, "movswl 5(%rsi), %ebx")                              \
	X(movsxd, "movslq 4(%rsi), %rbx")                               \
	X(add_m, "add %ebx, (%rsi)")                                    \
	X(add_r, "add (%rsi), %rbx")                                    \
	X(adc_m, "stc\n\tadc %bx, (%rsi)")                              \
	X(sbb_r, "stc\n\tsbb (%rsi), %ebx")                             \
	X(sub_imm, "subl $0x77, (%rsi)")                                \
	X(or_m, "or %rbx, (%rsi)")                                      \
	X(and_imm, "andb $0xf0, (%rsi)")                                \
	X(xor_m, "xorw %bx, (%rsi)")                                    \
	X(cmp_r, "cmp (%rsi), %rbx")                                    \
	X(cmp_imm, "cmpl $0x1234, (%rsi)")                              \
	X(test_r, "test %ebx, (%rsi)")                                  \
	X(test_imm, "testb $0x55, (%rsi)")                              \
	X(inc_m, "incl (%rsi)")                                         \
	X(dec_m, "decb (%rsi)")                                         \
	X(not_m, "notq (%rsi)")                                         \
	X(neg_m, "negw (%rsi)")                                         \
	X(lock_add, "lock addl $5, (%rsi)")                             \
	X(lock_inc, "lock incq (%rsi)")                                 \
	X(xchg, "xchg %ebx, (%rsi)")                                    \
	X(xadd, "xadd %ebx, (%rsi)")                                    \
	X(cmpxchg_no, "cmpxchg %ebx, (%rsi)")                           \
	X(cmpxchg_yes, "mov (%r10), %eax\n\tcmpxchg %ebx, (%rsi)")      \
	X(bt, "btl $3, (%rsi)")                                         \
	X(bts, "btsl $9, (%rsi)")                                       \
	X(btr, "btrw $1, (%rsi)")                                       \
	X(btc, "btcq $33, (%rsi)")                                      \
	X(bts_far, "mov $40, %ebx\n\tbts %ebx, (%rsi)")                 \
	X(shl, "shll $3, (%rsi)")                                       \
	X(sar_cl, "mov $5, %cl\n\tsarq %cl, (%rsi)")                    \
	X(rol, "rolb $1, (%rsi)")                                       \
	X(rcr, "stc\n\trcrw $1, (%rsi)")                                \
	X(imul, "imul (%rsi), %ebx")                                    \
	X(mul, "mull (%rsi)")                                           \
	X(setcc, "stc\n\tsetc (%rsi)")                                  \
	X(cmov, "stc\n\tcmovc (%rsi), %ebx")                            \
	X(push, "pushq (%rsi)\n\tpop %rbx")                             \
	X(pop, "push %rbx\n\tpopq (%rsi)")                              \
	X(movsb_to, "mov %r8, %rsi\n\tmovsb")                           \
	X(movsq_from, "mov %r9, %rdi\n\tmovsq")                         \
	X(movsl_both, "movsl")                                          \
	X(rep_movsb_to, "mov %r8, %rsi\n\tmov $13, %ecx\n\trep movsb")  \
	X(rep_movsl_from, "mov %r9, %rdi\n\tmov $5, %ecx\n\trep movsl") \
	X(stosb, "stosb")                                               \
	X(rep_stosq, "mov $3, %ecx\n\trep stosq")                       \
	X(lodsw, "lodsw")                                               \
	X(scasb, "scasb")                                               \
	X(cmpsl, "mov %r8, %rdi\n\tcmpsl")                              \
	X(movbe_r, "movbe (%rsi), %ebx")                                \
	X(movbe_m, "movbe %rbx, (%rsi)")                                \
	X(movnti, "movnti %ebx, (%rsi)")                                \
	X(movdqu_r, "movdqu (%rsi), %xmm5")                             \
	X(movups_m, "movups %xmm1, (%rsi)")                             \
	X(movdqu_m, "movdqu %xmm1, (%rsi)")                             \
	X(jmp_m,                                                        \
	    "lea 1f(%rip), %rbx\n\tmov %rbx, (%rsi)\n\tjmp *(%rsi)\n"   \
	    "\tud2\n1:")                                                \
	X(call_m,                                                       \
	    "lea 1f(%rip), %rbx\n\tmov %rbx, (%rsi)\n\tcall *(%rsi)\n"  \
	    "\tud2\n1:	pop %rbx\n\txor %ebx, %ebx")

#define FORM(name, text) GUEST(64, form_##name, text "\n\t" END);
FORMS(FORM)

GUEST(64, form_sse_in_use, "mov $1, %eax\n\tmovd %eax, %xmm1\n\t" END);

static const struct form {
	const char *name;
	const struct guest *code;
} forms[] = {
#define ROW(name, text) { #name, &form_##name },
	FORMS(ROW)
};
#define NFORMS (sizeof(forms) / sizeof(forms[0]))

/* What a run leaves, relative to its window. */
struct result {
	struct kvm_regs r;
	struct kvm_fpu f;
	uint8_t window[WINDOW];
	uint8_t scratch[256];
	bool served;
};

static void
fill(uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 37 + 11 + i / 256);
}

static void
run_form(struct vcpu *v, const struct form *f, uint64_t base, uint64_t offset,
    struct result *out)
{
	uint8_t *m = v->vm->mem;
	struct kvm_regs r = { .rax = 0x1020304050607080,
		.rbx = 0xa1b2c3d4e5f60718,
		.rcx = 0x110,
		.rdx = 0x2233,
		.rsi = base + offset,
		.rdi = base + offset,
		.r8 = DATA,
		.r9 = DATA + 64,
		.r10 = DATA + 128,
		.r13 = 13,
		.r14 = 0x1413121110090807,
		.rsp = STACK,
		.rip = CODE,
		.rflags = 2 };

	vcpu_mode(v, LONG64);
	vm_load(v->vm, CODE, f->code);
	fill(m + DATA, 128);
	fill(m + FREE, WINDOW);
	fill(out->window, WINDOW);
	memcpy(m + DATA + 128, out->window + offset, 8);
	DO(v->fd, KVM_GET_FPU, &out->f);
	fill(out->f.xmm[1], 16);
	memset(out->f.xmm[5], 0, 16);
	DO(v->fd, KVM_SET_FPU, &out->f);
	regs_set(v, &r);
	out->served = false;
	for (;;) {
		run(v);
		if (serve(v, MMIO, out->window, WINDOW))
			out->served = true;
		else
			break;
	}
	if (!at_port(v, DONE))
		fail("%s: exit %u (%s), port %#x at rip %#llx", f->name,
		    v->run->exit_reason, reason_name(v->run->exit_reason),
		    v->run->io.port, (unsigned long long)rip_of(v));
	regs_get(v, &out->r);
	if (out->r.rsi - base < WINDOW)
		out->r.rsi -= base;
	if (out->r.rdi - base < WINDOW)
		out->r.rdi -= base;
	DO(v->fd, KVM_GET_FPU, &out->f);
	if (base != MMIO)
		memcpy(out->window, m + FREE, WINDOW);
	memcpy(out->scratch, m + DATA, sizeof(out->scratch));
}

static void
compare(const char *name, const struct result *a, const struct result *b,
    uint64_t undefined_flags)
{
	uint64_t ar[18], br[18];
	unsigned i;

	memcpy(ar, &a->r, sizeof(ar));
	memcpy(br, &b->r, sizeof(br));
	ar[17] &= ~undefined_flags;
	br[17] &= ~undefined_flags;
	CHECK(!a->served && b->served, "%s: no MMIO", name);
	for (i = 0; i < 18; i++)
		CHECK(ar[i] == br[i], "%s: register %u: %#llx, on memory %#llx",
		    name, i, (unsigned long long)br[i],
		    (unsigned long long)ar[i]);
	CHECK(
	    memcmp(a->f.xmm, b->f.xmm, sizeof(a->f.xmm)) == 0, "%s: xmm", name);
	for (i = 0; i < WINDOW; i++)
		CHECK(a->window[i] == b->window[i],
		    "%s: byte %#x: %#x, on memory %#x", name, i, b->window[i],
		    a->window[i]);
	CHECK(memcmp(a->scratch, b->scratch, sizeof(a->scratch)) == 0,
	    "%s: memory", name);
}

/* The guest executes them on memory, too: with the processor's own. */
static bool
has_movbe(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_MOVBE);
}

static void
all_forms(int dev, uint64_t offset)
{
	static struct result a, b;
	struct vcpu v;
	struct vm vm;
	bool movbe = has_movbe();
	unsigned i;

	guest(&vm, &v, dev, LONG64, &form_sse_in_use);
	/* KVM_SET_FPU counts for what is in use. */
	run_done(&v);
	for (i = 0; i < NFORMS; i++) {
		if (!movbe && strncmp(forms[i].name, "movbe", 5) == 0)
			continue;
		run_form(&v, &forms[i], FREE, offset, &a);
		run_form(&v, &forms[i], MMIO, offset, &b);
		/* SF, ZF, AF and PF of a multiplication are undefined; OF and
		 * AF of some shifts and bit tests too. */
		compare(forms[i].name, &a, &b,
		    strstr(forms[i].name, "mul")      ? 0xd4
			: forms[i].name[0] == 'b'     ? 0x894
			: strstr(forms[i].name, "sh") ? 0x810
			: strstr(forms[i].name, "sar") ||
			    strstr(forms[i].name, "ro") ||
			    strstr(forms[i].name, "rcr")
			? 0x810
			: 0);
	}
}

static void
instruction_forms(int dev)
{
	all_forms(dev, 0x40);
}

/* The same where every operand of more than a byte may cross two pages. */
static void
page_crossing(int dev)
{
	all_forms(dev, EDGE + 1);
}

GUEST(64, half, "mov (%rsi), %rax\n\tmov %rbx, (%rsi)\n\t" END);

/* Half in memory, half not; the exits may be cut as they like. */
static void
memory_to_mmio(int dev)
{
	uint8_t *p = pages(PAGE), window[8] = "defgh";
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &half);
	vm_slot(&vm, 1, 0, MMIO - PAGE, p, PAGE);
	memcpy(p + PAGE - 3, "abc", 3);
	regs_get(&v, &r);
	r.rsi = MMIO - 3;
	r.rbx = 0x3837363534333231;
	regs_set(&v, &r);
	while (run(&v) == KVM_EXIT_MMIO)
		CHECK(serve(&v, MMIO, window, 5), "%#llx, %u bytes",
		    (unsigned long long)v.run->mmio.phys_addr, v.run->mmio.len);
	CHECK(at_port(&v, DONE), "exit %u", v.run->exit_reason);
	CHECK(memcmp(window, "45678", 5) == 0, "written");
	CHECK(memcmp(p + PAGE - 3, "123", 3) == 0, "in memory");
	EQ(rax_of(&v), 0x6867666564636261);
}

GUEST(32, plain32,
    "mov (%esi), %eax\n\tmov %ax, 6(%esi)\n\taddl $1, 8(%esi)\n\t" END);

/* Without long mode: 32 bits with and without paging. */
static void
other_modes(int dev)
{
	static const enum mode modes[] = { PROT32, PAGED32, PAE32 };
	uint8_t window[PAGE];
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, PROT32, &plain32);
	for (i = 0; i < 3; i++) {
		vcpu_mode(&v, modes[i]);
		memset(window, 0, sizeof(window));
		memcpy(window, "\x01\x02\x03\x04\0\0\0\0\xff\xff\0\0", 12);
		regs_get(&v, &r);
		r.rsi = MMIO;
		regs_set(&v, &r);
		while (run(&v) == KVM_EXIT_MMIO)
			CHECK(serve(&v, MMIO, window, PAGE), "address");
		CHECK(at_port(&v, DONE), "exit %u", v.run->exit_reason);
		CHECK(memcmp(window, "\x01\x02\x03\x04\0\0\x01\x02\0\0\x01\0",
			  12) == 0,
		    "mode %u", modes[i]);
	}
}

/* Real mode with a segment that reaches a hole below 1 MiB. */
GUEST(16, real_mmio,
    "mov $0xa000, %ax\n\tmov %ax, %es\n\tmovw %es:(0x10), %bx\n\t"
    "mov $0x20, %di\n\tmov $4, %cx\n\tcld\n\trep stosw\n\t" END);

static void
real_mode(int dev)
{
	uint8_t *p = pages(0x80000), window[0x100] = { [0x10] = 0x34, 0x12 };
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP,
		.args = { 24 } };
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	vm_open_bare(&vm, dev);
	DO(vm.fd, KVM_ENABLE_CAP, &split);
	vm.mem = p;
	vm.size = 0x80000;
	vm_slot(&vm, 0, 0, 0, p, 0x80000);
	vcpu_open(&v, &vm, 0);
	vcpu_mode(&v, REAL16);
	vm_load(&vm, CODE, &real_mmio);
	while (run(&v) == KVM_EXIT_MMIO)
		CHECK(serve(&v, 0xa0000, window, sizeof(window)), "%#llx",
		    (unsigned long long)v.run->mmio.phys_addr);
	CHECK(at_port(&v, DONE), "exit %u", v.run->exit_reason);
	regs_get(&v, &r);
	EQ(r.rbx & 0xffff, 0x1234);
	CHECK(memcmp(window + 0x20, "\x00\xa0\x00\xa0\x00\xa0\x00\xa0", 9) == 0,
	    "stosw");
}

GUEST(64, to_read_only_page, "mov (%rsi), %rax\n\tmov %rax, (%rsi)\n\t" END);

/* The guest's own page rights come before the device. */
static void
guest_page_rights(int dev)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, LONG64, &to_read_only_page);
	/* A page of the first 2 MiB that leads to MMIO, not writable. */
	*vm_pte(&vm, FREE) = MMIO | 1;
	regs_get(&v, &r);
	r.rsi = FREE + 8;
	regs_set(&v, &r);
	expect_mmio(&v, false, MMIO + 8, 8);
	run_trap(&v, &t);
	EQ(t.vector, PF);
	EQ(t.error, 3);
	EQ(t.rip, CODE + 3);
	sregs_get(&v, &s);
	EQ(s.cr2, FREE + 8);
	*vm_pte(&vm, FREE) |= 2;
	expect_mmio(&v, true, MMIO + 8, 8);
	run_done(&v);
}

#define STORE "mov %rdx, (%rsi)\n\t"
GUEST(64, stores,
    STORE STORE END STORE END STORE END
    "mov %rbx, (%rdi)\n\tinvlpg (%rsi)\n\t" STORE END STORE END);

/* One address again and again: of a device, then of memory, then of a device
 * once more, each by a change of the slots or of the guest's own tables. */
static void
device_comes_and_goes(int dev)
{
	uint8_t *p = pages(PAGE);
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &stores);
	*vm_pte(&vm, FREE) = MMIO | 7;
	regs_get(&v, &r);
	r.rsi = FREE + 8;
	r.rdx = 0x1122334455667788;
	r.rdi = PT + (FREE / PAGE) * 8;
	r.rbx = (FREE + PAGE) | 7;
	regs_set(&v, &r);
	expect_mmio(&v, true, MMIO + 8, 8);
	expect_mmio(&v, true, MMIO + 8, 8);
	run_done(&v);
	vm_slot(&vm, 1, 0, MMIO, p, PAGE);
	run_done(&v);
	CHECK(memcmp(p + 8, &r.rdx, 8) == 0, "memory where a device was");
	vm_slot(&vm, 1, 0, MMIO, p, 0);
	expect_mmio(&v, true, MMIO + 8, 8);
	run_done(&v);
	EQ(vm_u64(&vm, FREE + PAGE + 8), 0);
	run_done(&v);
	EQ(vm_u64(&vm, FREE + PAGE + 8), r.rdx);
	run_done(&v);
}

TESTS(mmio, T(plain_sizes), T(instruction_forms), T(page_crossing),
    T(memory_to_mmio), T(other_modes), T(real_mode), T(guest_page_rights),
    T(device_comes_and_goes));
