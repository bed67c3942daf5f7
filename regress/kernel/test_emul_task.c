// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Task switches: what of the old task is kept, what of the new one loaded, and
 * whose exception it is when something is wrong with either.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "emul_machine.h"
#include "x86.h"

#define OLD	0x38
#define NEW	0x48
#define NEW_TSS 0x9200

static struct machine m;
static bool switched;

static u32 *
word(u32 at)
{
	return (u32 *)(void *)(m.ram + at);
}

/* Between two tasks, the new one at 0x4000 with its stack at 0x5000. */
static void
begin(u8 busy)
{
	u64 tss = 0x0000800000000067 | (u64)NEW_TSS << 16 | (u64)busy << 40;
	unsigned i;

	machine_start(&m, PROT32);
	m.ram[GDT + OLD + 5] = 0x8b;
	memcpy(m.ram + GDT + NEW, &tss, 8);
	m.cpu.seg[SEG_TR].sel = OLD;
	machine_set(&m.cpu, DR7, 0x4aa | 0x155);
	m.cpu.gpr[R_RDI] = 0x77777777;
	m.cpu.rflags |= X86_RFLAGS_NT | X86_RFLAGS_CF;
	*word(NEW_TSS + 0x20) = 0x4000;
	*word(NEW_TSS + 0x24) = X86_RFLAGS_ZF;
	for (i = 0; i < 8; i++)
		*word(NEW_TSS + 0x28 + 4 * i) = i << 24 | 1;
	*word(NEW_TSS + 0x38) = 0x5000;
	for (i = 0; i < 6; i++)
		*word(NEW_TSS + 0x48 + 4 * i) = i == 1 ? 8 : 0x10;
	*word(TSS + 0x48) = 0xabcd0000; /* above ES: kept */
	emul_begin(&m.e);
}

static enum emul_result
go(enum task_why why, u8 len)
{
	const struct task_switch t = { .why = why, .sel = NEW, .len = len };

	return emul_task_switch(&m.e, &t, &switched);
}

static void
expect_new(u8 old_busy, u8 new_busy)
{
	assert_true(switched);
	assert_int_equal(m.cpu.rip, 0x4000);
	assert_int_equal(m.cpu.gpr[R_RSP], 0x5000);
	assert_int_equal(m.cpu.gpr[R_RDI], 7 << 24 | 1);
	assert_int_equal(machine_get(&m.cpu, TR), NEW);
	assert_int_equal(machine_get(&m.cpu, TR_BASE), NEW_TSS);
	assert_int_equal(m.cpu.seg[SEG_TR].attr & SEG_TYPE, 11);
	assert_int_equal(machine_get(&m.cpu, CS), 8);
	assert_int_equal(m.cpu.seg[SEG_CS].attr, 0xc9b);
	assert_int_equal(m.cpu.seg[SEG_SS].attr, 0xc93);
	assert_int_equal(m.cpu.seg[SEG_LDTR].attr & SEG_P, 0);
	assert_true(m.cpu.cr0 & X86_CR0_TS);
	assert_int_equal(machine_get(&m.cpu, DR7), 0x4aa & ~0x155);
	assert_int_equal(m.ram[GDT + OLD + 5], old_busy);
	assert_int_equal(m.ram[GDT + NEW + 5], new_busy);
	/* And the old one is as it was left. */
	assert_int_equal(*word(TSS + 0x44), 0x77777777);
	assert_int_equal(*word(TSS + 0x48), 0xabcd0010);
	assert_int_equal(*word(TSS + 0x4c) & 0xffff, 8);
}

static void
jump(void **state)
{
	begin(9);
	assert_int_equal(go(TASK_JMP, 7), EMUL_DONE);
	expect_new(0x89, 0x8b);
	assert_int_equal(*word(TSS + 0x20), CODE + 7);
	assert_int_equal(
	    *word(TSS + 0x24), X86_RFLAGS_ONE | X86_RFLAGS_NT | X86_RFLAGS_CF);
	assert_int_equal(m.cpu.rflags, X86_RFLAGS_ONE | X86_RFLAGS_ZF);
	assert_int_equal(*word(NEW_TSS), 0);
}

static void
call(void **state)
{
	begin(9);
	assert_int_equal(go(TASK_CALL, 7), EMUL_DONE);
	expect_new(0x8b, 0x8b);
	assert_int_equal(
	    m.cpu.rflags, X86_RFLAGS_ONE | X86_RFLAGS_ZF | X86_RFLAGS_NT);
	assert_int_equal(*word(NEW_TSS), OLD);
}

static void
iret(void **state)
{
	begin(11);
	assert_int_equal(go(TASK_IRET, 1), EMUL_DONE);
	expect_new(0x89, 0x8b);
	assert_int_equal(*word(TSS + 0x24), X86_RFLAGS_ONE | X86_RFLAGS_CF);
}

static void
exception_by_gate(void **state)
{
	const struct task_switch t = {
		.why = TASK_GATE, .sel = NEW, .has_error = true, .error = 0x1230
	};

	begin(9);
	*word(NEW_TSS + 0x38) = 0x5004; /* ESP */
	assert_int_equal(emul_task_switch(&m.e, &t, &switched), EMUL_DONE);
	expect_new(0x8b, 0x8b);
	assert_int_equal(*word(0x5000), 0x1230);
	assert_int_equal(*word(TSS + 0x20), CODE);
	assert_int_equal(*word(NEW_TSS), OLD);
}

static void
into_v86(void **state)
{
	begin(9);
	*word(NEW_TSS + 0x24) = X86_RFLAGS_VM;
	*word(NEW_TSS + 0x4c) = 0x1000; /* CS */
	assert_int_equal(go(TASK_JMP, 7), EMUL_DONE);
	assert_int_equal(m.cpu.cpl, 3);
	assert_int_equal(machine_get(&m.cpu, CS_BASE), 0x10000);
	assert_int_equal(m.cpu.seg[SEG_CS].attr, 0xf3);
	assert_int_equal(m.cpu.seg[SEG_DS].limit, 0xffff);
}

/* Nothing has happened yet. */
static void
faults_of_the_old_task(void **state)
{
	struct gcpu before;

	begin(9);
	m.ram[GDT + NEW + 5] &= 0x7f;
	memcpy(&before, &m.cpu, sizeof(before));
	assert_int_equal(go(TASK_JMP, 7), EMUL_FAULT);
	assert_false(switched);
	assert_int_equal(m.e.fault.vector, X86_NP);
	assert_int_equal(m.e.fault.error, NEW);
	assert_memory_equal(&before, &m.cpu, sizeof(before));

	begin(9);
	*word(GDT + NEW) = (u32)NEW_TSS << 16 | 0x66;
	assert_int_equal(go(TASK_JMP, 7), EMUL_FAULT);
	assert_int_equal(m.e.fault.vector, X86_TS);

	begin(9);
	m.cpu.seg[SEG_TR].base = MISSING;
	memcpy(&before, &m.cpu, sizeof(before));
	assert_int_equal(go(TASK_JMP, 7), EMUL_FAULT);
	assert_false(switched);
	assert_int_equal(m.e.fault.vector, X86_PF);
	assert_memory_equal(&before, &m.cpu, sizeof(before));
	assert_int_equal(m.ram[GDT + NEW + 5], 0x89);
}

static void
faults_of_the_new_task(void **state)
{
	begin(9);
	*word(NEW_TSS + 0x54) = 0x50; /* DS: cannot be read */
	assert_int_equal(go(TASK_JMP, 7), EMUL_FAULT);
	assert_true(switched);
	assert_int_equal(m.e.fault.vector, X86_TS);
	assert_int_equal(m.e.fault.error, 0x50);
	assert_int_equal(m.cpu.rip, 0x4000);
	assert_int_equal(m.cpu.seg[SEG_SS].attr, 0xc93);
	assert_int_equal(m.cpu.seg[SEG_DS].attr & SEG_P, 0);

	begin(9);
	*word(NEW_TSS + 0x60) = 0x10; /* LDTR: data */
	assert_int_equal(go(TASK_JMP, 7), EMUL_FAULT);
	assert_int_equal(m.e.fault.vector, X86_TS);

	begin(9);
	*word(NEW_TSS + 0x4c) = 0x78; /* CS: not present */
	assert_int_equal(go(TASK_JMP, 7), EMUL_FAULT);
	assert_int_equal(m.e.fault.vector, X86_NP);
}

static void
sixteen_bits_are_not_served(void **state)
{
	begin(1);
	assert_int_equal(go(TASK_JMP, 7), EMUL_UNHANDLED);
	begin(9);
	m.cpu.seg[SEG_TR].attr = 0x83;
	assert_int_equal(go(TASK_JMP, 7), EMUL_UNHANDLED);
	assert_false(switched);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jump),
		cmocka_unit_test(call),
		cmocka_unit_test(iret),
		cmocka_unit_test(exception_by_gate),
		cmocka_unit_test(into_v86),
		cmocka_unit_test(faults_of_the_old_task),
		cmocka_unit_test(faults_of_the_new_task),
		cmocka_unit_test(sixteen_bits_are_not_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
