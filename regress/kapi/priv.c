/* SPDX-License-Identifier: ISC */
/*
 * Every privileged instruction at level 0 and at level 3, and the ones that a
 * guest must not have at all.
 */
#include <stdio.h>
#include "kapi.h"

#define NONE 99u /* no exception */
/* #GP, or nothing where a driver leaves CR0 and CR8 to the processor and that is
 * the lab's, which does not check. */
#define LAX 97u
#define ANY 98u /* #UD or #GP: CPUs differ */

/* name, text, vector at level 0, vector at level 3 */
#define ROWS(X)                                                               \
	X(hlt_, "movl $0, (0xc000)", NONE, NONE)                              \
	X(cli, "cli", NONE, GP)                                               \
	X(sti, "sti\n\tcli", NONE, GP)                                        \
	X(clts, "clts", NONE, GP)                                             \
	X(lgdt, "lgdt (0xc010)", NONE, GP)                                    \
	X(lidt, "lidt (0xc020)", NONE, GP)                                    \
	X(lldt, "xor %eax, %eax\n\tlldt %ax", NONE, GP)                       \
	X(ltr_busy, "mov $0x38, %eax\n\tltr %ax", NONE, GP)                   \
	X(lmsw, "smsw %ax\n\tlmsw %ax", NONE, GP)                             \
	X(invlpg, "invlpg (0xc000)", NONE, GP)                                \
	X(invd, "wbinvd", NONE, GP)                                           \
	X(mov_from_cr0, "mov %cr0, %rax", NONE, GP)                           \
	X(mov_from_cr2, "mov %cr2, %rax", NONE, GP)                           \
	X(mov_from_cr3, "mov %cr3, %rax", NONE, GP)                           \
	X(mov_from_cr4, "mov %cr4, %rax", NONE, GP)                           \
	X(mov_from_cr8, "mov %cr8, %rax", NONE, GP)                           \
	X(mov_to_cr2, "mov %rax, %cr2", NONE, GP)                             \
	X(mov_cr1, ".byte 0x0f, 0x20, 0xc8", UD, ANY)                         \
	X(mov_cr5, ".byte 0x0f, 0x20, 0xe8", UD, ANY)                         \
	X(cr0_pg_without_pe,                                                  \
	    "mov %cr0, %rax\n\tand $-2, %rax\n\t"                             \
	    "mov %rax, %cr0",                                                 \
	    LAX, GP)                                                          \
	X(cr0_nw_without_cd,                                                  \
	    "mov %cr0, %rax\n\tor $0x20000000, %eax\n\t"                      \
	    "mov %rax, %cr0",                                                 \
	    LAX, GP)                                                          \
	X(cr4_no_pae, "mov %cr4, %rax\n\tand $-33, %rax\n\tmov %rax, %cr4",   \
	    GP, GP)                                                           \
	X(cr4_reserved, "mov %cr4, %rax\n\tbts $30, %rax\n\tmov %rax, %cr4",  \
	    GP, GP)                                                           \
	X(cr8_reserved, "mov $0x10, %eax\n\tmov %rax, %cr8", LAX, GP)         \
	X(mov_from_dr, "mov %dr0, %rax", NONE, GP)                            \
	X(mov_to_dr, "xor %eax, %eax\n\tmov %rax, %dr0", NONE, GP)            \
	X(dr6_upper, "mov $1, %eax\n\tshl $40, %rax\n\tmov %rax, %dr6", GP,   \
	    GP)                                                               \
	X(dr7_upper, "mov $1, %eax\n\tshl $40, %rax\n\tmov %rax, %dr7", GP,   \
	    GP)                                                               \
	X(rdmsr, "mov $0xc0000080, %ecx\n\trdmsr", NONE, GP)                  \
	X(wrmsr,                                                              \
	    "mov $0x174, %ecx\n\txor %eax, %eax\n\txor %edx, %edx\n\t"        \
	    "wrmsr",                                                          \
	    NONE, GP)                                                         \
	X(wrmsr_lme,                                                          \
	    "mov $0xc0000080, %ecx\n\trdmsr\n\tand $~0x100, %eax\n\t"         \
	    "wrmsr",                                                          \
	    GP, GP)                                                           \
	X(in, "in $0x70, %al", NONE, GP)                                      \
	X(swapgs, "swapgs\n\tswapgs", NONE, GP)                               \
	X(iret_null,                                                          \
	    "push $0\n\tpush $0\n\tpush $2\n\tpush $0\n\tpush $0\n\t"         \
	    "iretq",                                                          \
	    GP, GP)                                                           \
	X(xsetbv_off,                                                         \
	    "xor %ecx, %ecx\n\tmov $1, %eax\n\txor %edx, %edx\n\t"            \
	    "xsetbv",                                                         \
	    UD, ANY)                                                          \
	X(rsm, "rsm", UD, UD)                                                 \
	X(monitor,                                                            \
	    "mov $0xc000, %eax\n\txor %ecx, %ecx\n\txor %edx, %edx\n\t"       \
	    "monitor",                                                        \
	    UD, ANY)                                                          \
	X(vmread, ".byte 0x0f, 0x78, 0xc0", UD, ANY)                          \
	X(vmlaunch, ".byte 0x0f, 0x01, 0xc2", UD, ANY)                        \
	X(vmrun, "mov $0xc000, %eax\n\tvmrun", UD, ANY)                       \
	X(vmload, "mov $0xc000, %eax\n\tvmload", UD, ANY)                     \
	X(vmsave, "mov $0xc000, %eax\n\tvmsave", UD, ANY)                     \
	X(stgi, "stgi", UD, ANY)                                              \
	X(clgi, "clgi", UD, ANY)                                              \
	X(invlpga, "mov $0xc000, %eax\n\txor %ecx, %ecx\n\tinvlpga", UD, ANY) \
	X(skinit, "mov $0xc000, %eax\n\tskinit", UD, ANY)

#define CODE_ROW(name, text, v0, v3) GUEST(64, at_##name, text "\n\t" END);
ROWS(CODE_ROW)

static const struct row {
	const char *name;
	const struct guest *code;
	unsigned level0, level3;
} rows[] = {
#define ROW(name, text, v0, v3) { #name, &at_##name, v0, v3 },
	ROWS(ROW)
};

/* KVM does not intercept STGI and CLGI where the CPU has a virtual GIF, makes
 * MONITOR a NOP, and leaves CR4.OSXSAVE to the processor. */
static bool
may_run(int dev, const char *name)
{
	return is_kvm(dev) &&
	    (strcmp(name, "stgi") == 0 || strcmp(name, "clgi") == 0 ||
		strcmp(name, "monitor") == 0 ||
		strcmp(name, "xsetbv_off") == 0);
}

/* The vector of a row's run, NONE, or something else. */
static unsigned
outcome(struct vcpu *v, const struct row *row, enum mode mode)
{
	struct vm *vm = v->vm;

	vcpu_mode(v, mode);
	vm_load(vm, CODE, row->code);
	memcpy(vm->mem + DATA + 16, "\x57\0\0\x10\0\0\0\0\0\0", 10);
	memcpy(vm->mem + DATA + 32, "\xff\x0f\0\x20\0\0\0\0\0\0", 10);
	do
		run(v);
	while (v->run->exit_reason == KVM_EXIT_IO && v->run->io.port == 0x70);
	if (at_port(v, DONE))
		return NONE;
	if (!at_port(v, TRAP))
		return 1000 + v->run->exit_reason;
	return (unsigned)(rip_of(v) - STUBS) / STUB_LEN;
}

static void
privileged(int dev, enum mode mode)
{
	char failed[400] = "";
	const struct row *row;
	unsigned i, want, got;
	struct vcpu v;
	struct vm vm;
	bool good;

	guest(&vm, &v, dev, LONG64, rows[0].code);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		row = &rows[i];
		got = outcome(&v, row, mode);
		want = mode == USER64 ? row->level3 : row->level0;
		/* Without a right to END a row that may run ends in #GP. */
		if (want == NONE && mode == USER64)
			want = GP;
		good = got == want ||
		    (want == ANY && (got == UD || got == GP)) ||
		    (want == LAX && (got == NONE || got == GP)) ||
		    (got == NONE && may_run(dev, row->name));
		if (!good && strlen(failed) < 300)
			sprintf(failed + strlen(failed), " %s (%u)", row->name,
			    got);
	}
	CHECK(failed[0] == 0, "%s", failed);
}

static void
level_0(int dev)
{
	privileged(dev, LONG64);
}

static void
level_3(int dev)
{
	privileged(dev, USER64);
}

GUEST(64, halt3, "hlt\n\t" END);

static void
halt_level_3(int dev)
{
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, USER64, &halt3);
	run_trap(&v, &t);
	EQ(t.vector, GP);
	EQ(t.rip, CODE);
	EQ(t.cs, SEL_USER64);
}

/* Level 3 and back: SYSCALL and SYSRET, SYSENTER's absence or presence. */
GUEST(64, user_call, "syscall\n\tmov %rax, %rbx\n\tcli");
GUEST(64, kernel_call, "mov $0x77, %eax\n\tsysretq");

static void
syscall_sysret(int dev)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	struct trap t;

	guest(&vm, &v, dev, USER64, &user_call);
	sregs_get(&v, &s);
	s.efer |= 1;
	sregs_set(&v, &s);
	/* SYSRET to 64-bit code: base + 16 is SEL_USER64 without its RPL. */
	msr_set(&v, 0xc0000081,
	    (uint64_t)(SEL_USER64 - 16) << 48 | (uint64_t)SEL_CODE64 << 32);
	msr_set(&v, 0xc0000082, CODE2);
	msr_set(&v, 0xc0000084, RFLAGS_IF);
	vm_load(&vm, CODE2, &kernel_call);
	run_trap(&v, &t);
	EQ(t.vector, GP); /* cli */
	EQ(t.rip, CODE + 5);
	EQ(t.cs, SEL_USER64);
	regs_get(&v, &r);
	EQ(r.rbx, 0x77);
	EQ(r.rcx, CODE + 2);
	/* Off, both are undefined. */
	s.efer &= ~1ull;
	vcpu_mode(&v, USER64);
	run_trap(&v, &t);
	EQ(t.vector, UD);
}

TESTS(priv, T(level_0), T(level_3), T(halt_level_3), T(syscall_sysret));
