// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * How the emulator fetches, repeats and is resumed; what the decoder reads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "emul_machine.h"
#include "insn.h"
#include "x86.h"

static struct machine m;

static void
begin(enum mode mode, const char *code, unsigned len)
{
	machine_start(&m, mode);
	memcpy(m.ram + CODE, code, len);
	emul_begin(&m.e);
}
#define BEGIN(mode, code) begin(mode, code, sizeof(code) - 1)

/* --- The decoder. --- */

/* Whatever follows them, `n' bytes are decoded without a look beyond. */
static void
decoder_reads_only_what_it_has(void **state)
{
	u8 *page = mmap(NULL, 0x2000, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned i, k, n, bits, full;
	struct decoded d, e;
	u8 bytes[16], *end;
	int err, short_of;

	assert_ptr_not_equal(page, MAP_FAILED);
	assert_int_equal(mprotect(page + 0x1000, 0x1000, PROT_NONE), 0);
	end = page + 0x1000;
	srand(1);
	for (i = 0; i < 200000; i++) {
		bits = 16U << (i % 3);
		for (k = 0; k < sizeof(bytes); k++)
			bytes[k] = (u8)(rand() >> 8);
		memset(&d, 0, sizeof(d));
		err = decode(bytes, 15, bits, &d);
		assert_true(err == 0 || err == -E2BIG);
		full = err == 0 ? d.len : 15;
		assert_in_range(full, 1, 15);
		for (n = 0; n <= full; n++) {
			memcpy(end - n, bytes, n);
			short_of = decode(end - n, n, bits, &e);
			if (n < full)
				assert_int_equal(short_of, -ENODATA);
			else
				assert_int_equal(short_of, err);
		}
		if (err == 0)
			assert_memory_equal(&d, &e, sizeof(d));
	}
	munmap(page, 0x2000);
}

static void
fifteen_bytes_are_the_most(void **state)
{
	struct decoded d;
	u8 b[16];

	memset(b, 0x66, sizeof(b));
	b[14] = 0x90;
	assert_int_equal(decode(b, 15, 64, &d), 0);
	assert_int_equal(d.len, 15);
	b[14] = 0x66;
	b[15] = 0x90;
	assert_int_equal(decode(b, 15, 64, &d), -E2BIG);
	begin(PROT32, (char *)b, 16);
	assert_int_equal(emul_run(&m.e), EMUL_FAULT);
	assert_int_equal(m.e.fault.vector, X86_GP);
}

struct exit_row {
	const char *bytes;
	unsigned len, bits;
	struct insn want;
};

static void
exits_are_measured(void **state)
{
	static const struct exit_row rows[] = {
		{ "\x0f\xa2", 2, 32, { .what = INSN_CPUID, .len = 2 } },
		{ "\x66\xf3\x0f\xa2", 4, 64, { .what = INSN_CPUID, .len = 4 } },
		{ "\x0f\x01\xd9", 3, 64, { .what = INSN_VMMCALL, .len = 3 } },
		{ "\x0f\x30", 2, 16, { .what = INSN_WRMSR, .len = 2 } },
		{ "\x48\x0f\x32", 3, 64, { .what = INSN_RDMSR, .len = 3 } },
		{ "\x0f\x32", 2, 64, { .what = INSN_RDMSR, .len = 2 } },
		{ "\xf4", 1, 16, { .what = INSN_HLT, .len = 1 } },
		{ "\x0f\x01\xd1", 3, 64, { .what = INSN_XSETBV, .len = 3 } },
		{ "\xf3\x90", 2, 64, { .what = INSN_PAUSE, .len = 2 } },
		{ "\x0f\x08", 2, 32, { .what = INSN_INVD, .len = 2 } },
		{ "\x0f\x33", 2, 32, { .what = INSN_RDPMC, .len = 2 } },
		{ "\x44\x0f\x20\xc1", 4, 64, { INSN_MOV_CR, 4, false, 8, 1 } },
		{ "\xf0\x0f\x22\xc3", 4, 32, { INSN_MOV_CR, 4, true, 8, 3 } },
		{ "\x0f\x22\xe0", 3, 16, { INSN_MOV_CR, 3, true, 4, 0 } },
		{ "\x41\x0f\x23\xf8", 4, 64, { INSN_MOV_DR, 4, true, 7, 8 } },
		{ "\x48\xcf", 2, 64, { .what = INSN_IRET, .len = 2 } },
		{ "\x89\xd8", 2, 32, { .what = INSN_OTHER, .len = 2 } },
	};
	struct insn in;
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(insn_decode((const u8 *)rows[i].bytes,
				     rows[i].len, rows[i].bits, &in),
		    0);
		assert_int_equal(in.what, rows[i].want.what);
		assert_int_equal(in.len, rows[i].want.len);
		assert_int_equal(in.write, rows[i].want.write);
		assert_int_equal(in.n, rows[i].want.n);
		assert_int_equal(in.reg, rows[i].want.reg);
		assert_int_equal(insn_decode((const u8 *)rows[i].bytes,
				     rows[i].len - 1, rows[i].bits, &in),
		    -ENODATA);
	}
}

/* --- Fetching. --- */

static void
bytes_of_the_hardware_are_used(void **state)
{
	BEGIN(PROT32, "\xf4");
	memcpy(m.e.insn, "\x40", 1); /* INC EAX */
	m.e.insn_len = 1;
	assert_int_equal(emul_run(&m.e), EMUL_DONE);
	assert_int_equal(m.cpu.gpr[R_RAX], 1);
	assert_int_equal(m.fetches, 0);
}

static void
missing_bytes_are_fetched(void **state)
{
	BEGIN(PROT32, "\xb8\x78\x56\x34\x12"); /* MOV EAX, 12345678 */
	memcpy(m.e.insn, "\xb8\x79", 2);
	m.e.insn_len = 2;
	assert_int_equal(emul_run(&m.e), EMUL_DONE);
	assert_int_equal(m.cpu.gpr[R_RAX], 0x12345679);
	assert_int_equal(m.fetches, 1);
}

/* Another CPU rewrites the instruction while user space answers. */
static void
bytes_are_fetched_once(void **state)
{
	BEGIN(PROT32, "\xa1\x00\x00\x10\x00"); /* MOV EAX, [DEVICE] */
	assert_int_equal(emul_run(&m.e), EMUL_IO);
	memset(m.ram + CODE, 0xf4, 5);
	machine_answer(&m);
	assert_int_equal(emul_run(&m.e), EMUL_DONE);
	assert_int_equal(m.cpu.gpr[R_RAX], 0x03020100);
	assert_int_equal(m.cpu.rip, CODE + 5);
	assert_int_equal(m.fetches, 1);
}

static void
next_page_is_fetched_when_needed(void **state)
{
	BEGIN(PROT32, "");
	m.cpu.rip = MISSING - 1;
	m.ram[MISSING - 1] = 0x40;
	assert_int_equal(emul_run(&m.e), EMUL_DONE);

	BEGIN(PROT32, "");
	m.cpu.rip = MISSING - 1;
	m.ram[MISSING - 1] = 0xb8;
	assert_int_equal(emul_run(&m.e), EMUL_FAULT);
	assert_int_equal(m.e.fault.vector, X86_PF);
	assert_int_equal(m.e.fault.error, X86_PFEC_ID);
	assert_int_equal(m.e.fault.cr2, MISSING);
}

static void
code_ends_at_its_limit(void **state)
{
	BEGIN(REAL, "");
	m.cpu.seg[SEG_CS].limit = 0x101;
	m.ram[CODE] = 0x50;
	assert_int_equal(emul_run(&m.e), EMUL_DONE);

	BEGIN(REAL, "\xb8\x34\x12");
	m.cpu.seg[SEG_CS].limit = 0x101;
	assert_int_equal(emul_run(&m.e), EMUL_FAULT);
	assert_int_equal(m.e.fault.vector, X86_GP);
}

static void
code_of_a_device_is_not_emulated(void **state)
{
	BEGIN(PROT32, "");
	m.cpu.rip = DEVICE;
	assert_int_equal(emul_run(&m.e), EMUL_UNHANDLED);
}

/* --- Repeating. --- */

static void
long_repeats_come_in_batches(void **state)
{
	unsigned calls = 0;

	BEGIN(PROT32, "\xf3\xa4");
	m.cpu.gpr[R_RSI] = 0x1000;
	m.cpu.gpr[R_RDI] = 0x4000;
	m.cpu.gpr[R_RCX] = 3000;
	memset(m.ram + 0x1000, 0x5a, 3000);
	do {
		emul_begin(&m.e);
		assert_int_equal(emul_run(&m.e), EMUL_DONE);
		calls++;
		assert_int_equal(
		    m.cpu.gpr[R_RCX] + m.cpu.gpr[R_RDI], 0x4000 + 3000);
	} while (m.cpu.rip == CODE);
	assert_int_equal(calls, 3);
	assert_int_equal(m.cpu.gpr[R_RCX], 0);
	assert_memory_equal(m.ram + 0x1000, m.ram + 0x4000, 3000);
}

/* Interrupts must not wait for the end of a long one. */
static void
repeats_to_a_device_pause_soon(void **state)
{
	unsigned n = 0;

	BEGIN(PROT32, "\xf3\xaa");
	m.cpu.gpr[R_RDI] = DEVICE;
	m.cpu.gpr[R_RCX] = 3000;
	while (emul_run(&m.e) == EMUL_IO) {
		m.e.pending->done = true;
		n++;
	}
	assert_int_equal(n, 16);
	assert_int_equal(m.cpu.gpr[R_RCX], 3000 - 16);
	assert_int_equal(m.cpu.rip, CODE);
}

static void
single_step_stops_each_iteration(void **state)
{
	BEGIN(PROT32, "\xf3\xaa");
	m.cpu.gpr[R_RDI] = 0x4000;
	m.cpu.gpr[R_RCX] = 2;
	m.cpu.rflags |= X86_RFLAGS_TF;
	assert_int_equal(emul_run(&m.e), EMUL_DONE);
	assert_int_equal(m.cpu.gpr[R_RCX], 1);
	assert_int_equal(m.cpu.rip, CODE);
	emul_begin(&m.e);
	assert_int_equal(emul_run(&m.e), EMUL_DONE);
	assert_int_equal(m.cpu.gpr[R_RCX], 0);
	assert_int_equal(m.cpu.rip, CODE + 2);
}

/* --- Resuming. --- */

static void
unanswered_access_is_asked_again(void **state)
{
	struct emul_io *io;

	BEGIN(PROT32, "\xa1\x00\x00\x10\x00");
	assert_int_equal(emul_run(&m.e), EMUL_IO);
	io = m.e.pending;
	assert_int_equal(emul_run(&m.e), EMUL_IO);
	assert_ptr_equal(m.e.pending, io);
	assert_int_equal(m.e.io_n, 1);
}

/* Half of it lies in RAM, which is written first and not again afterwards,
 * though somebody else has changed it meanwhile. */
static void
a_write_continues_where_it_was(void **state)
{
	u8 *half = m.ram + RAM_LEN - 2;

	BEGIN(PROT32, "\x01\x03"); /* ADD [EBX], EAX */
	m.cpu.gpr[R_RBX] = RAM_LEN - 2;
	m.cpu.gpr[R_RAX] = 0x10;
	assert_int_equal(emul_run(&m.e), EMUL_IO);
	assert_false(m.e.pending->write);
	assert_int_equal(m.e.pending->addr, RAM_LEN);
	machine_answer(&m);
	assert_int_equal(emul_run(&m.e), EMUL_IO);
	assert_true(m.e.pending->write);
	assert_int_equal(m.e.pending->addr, RAM_LEN);
	assert_int_equal(m.e.pending->len, 2);
	assert_int_equal(m.cpu.rip, CODE);
	assert_memory_equal(half, "\x10\x00", 2);
	half[0] = 0x77;
	machine_answer(&m);
	assert_int_equal(emul_run(&m.e), EMUL_DONE);
	assert_int_equal(m.cpu.rip, CODE + 2);
	assert_int_equal(m.nlog, 2);
	assert_memory_equal(half, "\x77\x00", 2);
}

/* What the log says and what is accessed differ: tables were changed. */
static void
a_different_access_is_a_new_one(void **state)
{
	BEGIN(PROT32, "\x8b\x03");
	m.cpu.gpr[R_RBX] = DEVICE;
	assert_int_equal(emul_run(&m.e), EMUL_IO);
	machine_answer(&m);
	m.cpu.gpr[R_RBX] = DEVICE + 0x40;
	assert_int_equal(emul_run(&m.e), EMUL_IO);
	assert_int_equal(m.e.pending->addr, DEVICE + 0x40);
	machine_answer(&m);
	assert_int_equal(emul_run(&m.e), EMUL_DONE);
	assert_int_equal(m.cpu.gpr[R_RAX], 0x43424140);
}

static void
too_many_accesses_are_refused(void **state)
{
	BEGIN(PROT32, "\xc8\x00\x00\x1f"); /* ENTER 0, 31 */
	m.cpu.gpr[R_RSP] = DEVICE + 0x1000;
	m.cpu.gpr[R_RBP] = DEVICE + 0x2000;
	assert_int_equal(machine_run(&m), EMUL_UNHANDLED);
	assert_int_equal(m.cpu.gpr[R_RSP], DEVICE + 0x1000);
}

static int loses;

static int
losing_cmpxchg(struct emul *e, struct gpa at, const void *old, const void *new,
    unsigned len)
{
	return loses-- > 0 ? -EAGAIN : 0;
}

static void
a_lost_exchange_is_tried_again(void **state)
{
	struct emul_ops ops;

	BEGIN(PROT32, "\xf0\x01\x03"); /* LOCK ADD [EBX], EAX */
	ops = *m.e.ops;
	ops.ram_cmpxchg = losing_cmpxchg;
	m.e.ops = &ops;
	m.cpu.gpr[R_RBX] = 0x500;
	loses = 1;
	assert_int_equal(emul_run(&m.e), EMUL_AGAIN);
	assert_int_equal(m.cpu.rip, CODE);
	assert_int_equal(m.e.io_n, 0);
	assert_int_equal(emul_run(&m.e), EMUL_DONE);
	assert_int_equal(m.cpu.rip, CODE + 3);
}

static void
resume_flag_ends_with_the_instruction(void **state)
{
	BEGIN(PROT32, "\x90");
	m.cpu.rflags |= X86_RFLAGS_RF;
	assert_int_equal(emul_run(&m.e), EMUL_DONE);
	assert_int_equal(m.cpu.rflags, X86_RFLAGS_ONE);
}

/* --- Hostile guests. --- */

static u64
any(void)
{
	u64 v = (u64)rand() << 42 ^ (u64)rand() << 21 ^ (u64)rand();

	switch (rand() % 4) {
	case 0:
		return v;
	case 1:
		return v & 0xffff;
	default:
		return v % (RAM_LEN + 0x1000);
	}
}

static void
any_state(struct gcpu *c)
{
	static const u64 cr4 = X86_CR4_OSFXSR | X86_CR4_UMIP | X86_CR4_VME |
	    X86_CR4_PVI | X86_CR4_LA57 | X86_CR4_DE | X86_CR4_SMAP;
	unsigned i;

	for (i = 0; i < CPU_NREGS; i++)
		c->gpr[i] = any();
	for (i = 0; i < CPU_NSEGS; i++)
		c->seg[i] = (struct seg){ (u16)any(), any() & 0xfff,
			rand() % 4 ? 0xffffffff : (u32)any(),
			rand() % 4 ? 0 : any() };
	c->seg[SEG_CS].limit = 0xffffffff;
	c->seg[SEG_CS].base = 0;
	c->rflags = any() | X86_RFLAGS_ONE;
	c->cr0 = any() & (X86_CR0_PE | X86_CR0_AM | X86_CR0_TS | X86_CR0_EM);
	c->cr4 = any() & cr4;
	c->efer = rand() % 2 ? X86_EFER_LMA | X86_EFER_LME : 0;
	c->dr7 = any();
	c->gdt.limit = (u16)any();
	c->idt.limit = (u16)any();
	c->cpl = (u8)(rand() % 4);
}

/* A fault of an instruction that is not repeated leaves all as it was; so
 * does one that is not emulated. */
static void
nothing_changed(const struct gcpu *was, const u8 *ram)
{
	const struct gcpu *c = &m.cpu;

	assert_memory_equal(c->gpr, was->gpr, sizeof(was->gpr));
	assert_memory_equal(c->seg, was->seg, sizeof(was->seg));
	assert_int_equal(c->rip, was->rip);
	assert_int_equal(c->rflags, was->rflags);
	assert_int_equal(c->cpl, was->cpl);
	assert_int_equal(c->cr0, was->cr0);
	assert_memory_equal(m.ram, ram, RAM_LEN);
}

static void
hostile_states_are_survived(void **state)
{
	static u8 ram[RAM_LEN];
	struct gcpu was;
	enum emul_result r;
	unsigned i, k, tries;

	machine_start(&m, PROT32);
	srand(2);
	for (k = 0; k < RAM_LEN; k++)
		m.ram[k] = (u8)(rand() >> 8);
	for (i = 0; i < 200000; i++) {
		any_state(&m.cpu);
		m.cpu.rip = CODE + i % 64;
		for (k = 0; k < 16; k++)
			m.ram[m.cpu.rip + k] = (u8)(rand() >> 8);
		was = m.cpu;
		if (i % 16 == 0)
			memcpy(ram, m.ram, RAM_LEN);
		m.e.avx = rand() % 2;
		emul_begin(&m.e);
		tries = 0;
		do {
			m.nlog = 0;
			r = emul_run(&m.e);
			if (r == EMUL_IO)
				machine_answer(&m);
			/* User space is hostile, too. */
			if (r == EMUL_IO && i % 16 != 0 && rand() % 4 == 0)
				any_state(&m.cpu);
			assert_true(tries++ < 1000);
		} while (r == EMUL_IO);
		if (i % 16 == 0 && !(m.e.in.flags & D_STRING) &&
		    (r == EMUL_FAULT || r == EMUL_UNHANDLED) && m.nlog == 0)
			nothing_changed(&was, ram);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decoder_reads_only_what_it_has),
		cmocka_unit_test(fifteen_bytes_are_the_most),
		cmocka_unit_test(exits_are_measured),
		cmocka_unit_test(bytes_of_the_hardware_are_used),
		cmocka_unit_test(missing_bytes_are_fetched),
		cmocka_unit_test(bytes_are_fetched_once),
		cmocka_unit_test(next_page_is_fetched_when_needed),
		cmocka_unit_test(code_ends_at_its_limit),
		cmocka_unit_test(code_of_a_device_is_not_emulated),
		cmocka_unit_test(long_repeats_come_in_batches),
		cmocka_unit_test(repeats_to_a_device_pause_soon),
		cmocka_unit_test(single_step_stops_each_iteration),
		cmocka_unit_test(unanswered_access_is_asked_again),
		cmocka_unit_test(a_write_continues_where_it_was),
		cmocka_unit_test(a_different_access_is_a_new_one),
		cmocka_unit_test(too_many_accesses_are_refused),
		cmocka_unit_test(a_lost_exchange_is_tried_again),
		cmocka_unit_test(resume_flag_ends_with_the_instruction),
		cmocka_unit_test(hostile_states_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
