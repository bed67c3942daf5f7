// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The emulator against the real CPU: random instructions of every form that
 * user mode has, on random state, in 64-, 32- and 16-bit code.  Registers,
 * flags that are defined, memory and the exception must agree.
 *
 *	EMUL_SEED=n	repeat a run
 *	EMUL_CASES=n	how many (default 2,000,000)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <time.h>
#include <cmocka.h>

#include "emul_case.h"
#include "emul_env.h"
#include "x86.h"

#define CF X86_RFLAGS_CF
#define PF X86_RFLAGS_PF
#define AF X86_RFLAGS_AF
#define ZF X86_RFLAGS_ZF
#define SF X86_RFLAGS_SF
#define OF X86_RFLAGS_OF

#define HWCAP2_FSGSBASE (1 << 1)
#define CASES		2000000ULL
#define SECONDS		20 /* of CPU time: a check run stops here ... */
#define PATIENCE	50 /* ... or here, on a machine that is busy otherwise */
#define EXAMPLES	10

static struct env *env;
static u64 seed, differences, accesses;
static unsigned runs[OP_COUNT]; /* how often each was compared */

/* --- What is compared. --- */

/* Flags that APM vol. 3 leaves undefined. */
static const u64 undefined_flags[OP_COUNT] = {
	[OP_AND] = AF,
	[OP_OR] = AF,
	[OP_XOR] = AF,
	[OP_TEST] = AF,
	[OP_MUL] = PF | AF | ZF | SF,
	[OP_IMUL1] = PF | AF | ZF | SF,
	[OP_IMUL2] = PF | AF | ZF | SF,
	[OP_IMUL3] = PF | AF | ZF | SF,
	[OP_DIV] = CF | PF | AF | ZF | SF | OF,
	[OP_IDIV] = CF | PF | AF | ZF | SF | OF,
	[OP_BT] = PF | AF | SF | OF | ZF,
	[OP_BTS] = PF | AF | SF | OF | ZF,
	[OP_BTR] = PF | AF | SF | OF | ZF,
	[OP_BTC] = PF | AF | SF | OF | ZF,
	[OP_BSF] = CF | PF | AF | SF | OF,
	[OP_BSR] = CF | PF | AF | SF | OF,
	[OP_TZCNT] = PF | AF | SF | OF,
	[OP_LZCNT] = PF | AF | SF | OF,
	[OP_DAA] = OF,
	[OP_DAS] = OF,
	[OP_AAA] = PF | ZF | SF | OF,
	[OP_AAS] = PF | ZF | SF | OF,
	[OP_AAM] = CF | AF | OF,
	[OP_AAD] = CF | AF | OF,
};

static u64
undefined_of(const struct kase *k)
{
	const struct decoded *d = &k->d;
	u64 raw = d->src == A_IMM ? (u64)d->imm
	    : d->src == A_ONE	  ? 1
				  : k->in.gpr[R_RCX];
	unsigned n = raw & (d->size == 8 ? 63 : 31), width = 8U * d->size;

	switch (d->op) {
	case OP_ROL:
	case OP_ROR:
	case OP_RCL:
	case OP_RCR:
		return n == 1 ? 0 : n ? OF : 0;
	case OP_SHL:
	case OP_SHR:
		return n == 0 ? 0
			      : (n > 1 ? OF : 0) | AF | (n > width ? CF : 0);
	case OP_SAR:
		return n == 0 ? 0 : AF | (n > 1 ? OF : 0);
	case OP_SHLD:
	case OP_SHRD:
		if (n > width)
			return CF | PF | AF | ZF | SF | OF;
		return n == 0 ? 0 : AF | (n > 1 ? OF : 0);
	default:
		return undefined_flags[d->op];
	}
}

/* --- Both sides. --- */

static void
tell_segments(const struct kase *k)
{
	env_user(env);
	env_segment(env, SEG_CS, k->in.cs);
	env_segment(env, SEG_DS, k->in.ds);
	env_segment(env, SEG_ES, k->in.es);
	env_segment(env, SEG_SS, k->in.ss);
	env_segment(env, SEG_GS, k->in.gs);
	if (k->bits == 64)
		env->cpu.seg[SEG_GS].base = k->in.gs_base;
}

static enum emul_result
emulate(const struct kase *k, bool device)
{
	struct gcpu *c = &env->cpu;
	u64 off = k->at - NATIVE_CODE;
	enum emul_result r;

	memcpy(c->gpr, k->in.gpr, sizeof(c->gpr));
	c->rflags = k->in.rflags;
	c->rip = k->in.rip;
	memcpy(env->ymm, k->in.ymm, sizeof(env->ymm));
	memcpy(env->code + off, k->code, k->d.len);
	env->device = device;
	/* A repeated one takes several batches at most. */
	do
		r = env_run(env);
	while (
	    r == EMUL_DONE && c->rip == k->in.rip && (k->d.flags & D_STRING));
	memset(env->code + off, 0xcc, k->d.len);
	return r;
}

static void
dump(const char *what, const u64 *g, u64 rip, u64 rflags)
{
	unsigned i;

	print_message("%s rip %llx flags %llx", what, rip, rflags);
	for (i = 0; i < 16; i++)
		print_message("%s%llx", i % 8 ? " " : "\n\t", g[i]);
	print_message("\n");
}

static void
complain(const struct kase *k, const struct native_state *out,
    const struct native_end *end, enum emul_result r, const char *what)
{
	const struct gcpu *c = &env->cpu;
	unsigned i;

	print_message("%s differs, seed %llu, %u-bit:", what, seed, k->bits);
	for (i = 0; i < k->d.len; i++)
		print_message(" %02x", k->code[i]);
	print_message(" (op %u size %u) ds %x es %x ss %x gs %x\n", k->d.op,
	    k->d.size, k->in.ds, k->in.es, k->in.ss, k->in.gs);
	dump("before:  ", k->in.gpr, k->in.rip, k->in.rflags);
	dump("CPU:     ", out->gpr, out->rip, out->rflags);
	if (end->fault)
		print_message("  fault %u error %x cr2 %llx\n", end->vector,
		    end->error, end->cr2);
	print_message("  cs %x ds %x es %x ss %x gs %x\n", out->cs, out->ds,
	    out->es, out->ss, out->gs);
	dump("emulator:", c->gpr, c->rip, c->rflags);
	print_message("  cs %x ds %x es %x ss %x gs %x\n", c->seg[SEG_CS].sel,
	    c->seg[SEG_DS].sel, c->seg[SEG_ES].sel, c->seg[SEG_SS].sel,
	    c->seg[SEG_GS].sel);
	print_message("  result %u", r);
	if (r == EMUL_FAULT)
		print_message(": fault %u error %x cr2 %llx",
		    env->e.fault.vector, env->e.fault.error, env->e.fault.cr2);
	print_message("\n");
	for (i = 0; i < NATIVE_RW_LEN; i++)
		if (env->rw[i] != ((u8 *)NATIVE_DATA)[i])
			print_message("  at %llx: CPU %02x, emulator %02x\n",
			    NATIVE_DATA + i, ((u8 *)NATIVE_DATA)[i],
			    env->rw[i]);
}

/* The way through a signal clears the RPL of null selectors. */
static u16
selector(u16 sel)
{
	return sel < 4 ? 0 : sel;
}

static bool
same_fault(const struct native_end *end, const struct fault *f)
{
	return end->vector == f->vector &&
	    (!f->has_error || end->error == f->error) &&
	    (f->vector != X86_PF || end->cr2 == f->cr2);
}

/* Is it the fault of this instruction in the place of a CMPS, with the same
 * registers?  What is compared stays as it is. */
static bool
is_fault_of(const struct kase *k, const struct native_end *end, u8 opcode)
{
	static struct env saved;
	struct kase one = *k;
	bool is;

	saved = *env;
	memcpy(env->rw, (u8 *)NATIVE_DATA, NATIVE_RW_LEN);
	one.code[one.d.len - 1] = opcode | (k->code[k->d.len - 1] & 1);
	tell_segments(&one);
	is = emulate(&one, false) == EMUL_FAULT &&
	    same_fault(end, &env->e.fault);
	*env = saved;
	return is;
}

/*
 * When both operands of CMPS fault, AMD's families 17h to 19h up to Zen 3 tell
 * of that at ES:rDI, as the emulator does, and Zen 4 of the other.  No manual
 * says which.
 */
static bool
is_other_operand(const struct kase *k, const struct native_end *end)
{
	return k->d.op == OP_CMPS &&
	    (is_fault_of(k, end, 0xac) || /* LODS: DS:rSI */
		is_fault_of(k, end, 0xae)); /* SCAS: ES:rDI */
}

/* NULL: the same. */
static const char *
compare(const struct kase *k, const struct native_state *out,
    const struct native_end *end, enum emul_result r)
{
	const struct gcpu *c = &env->cpu;
	const struct fault *f = &env->e.fault;
	u64 flags = ~(undefined_of(k) | X86_RFLAGS_RF);
	u64 mask = k->bits == 64 ? ~0ULL : 0xffffffff;
	unsigned i;

	if ((r == EMUL_FAULT) != end->fault)
		return "outcome";
	if (end->fault && !same_fault(end, f) && !is_other_operand(k, end))
		return "exception";
	if (end->fault && !k->d.rep)
		flags = ~X86_RFLAGS_RF;
	if (((out->rflags ^ c->rflags) & flags) != 0)
		return "flags";
	if (out->rip != c->rip || out->cs != c->seg[SEG_CS].sel)
		return "rip";
	if (selector(out->ds) != selector(c->seg[SEG_DS].sel) ||
	    selector(out->es) != selector(c->seg[SEG_ES].sel) ||
	    selector(out->ss) != selector(c->seg[SEG_SS].sel) ||
	    selector(out->gs) != selector(c->seg[SEG_GS].sel))
		return "segment";
	/* Code of 32 bits is stopped with a stack pointer of 32. */
	if (k->bits == 64 && out->cs != USER_CS &&
	    (u32)out->gpr[R_RSP] == (u32)c->gpr[R_RSP])
		env->cpu.gpr[R_RSP] = out->gpr[R_RSP];
	/* POPA that faults has loaded some of them. */
	for (i = 0; i < (k->bits == 64 ? 16 : 8) &&
	     !(end->fault && k->d.op == OP_POPA);
	     i++)
		if (((out->gpr[i] ^ c->gpr[i]) & mask) != 0)
			return "register";
	/* CPUs leave a part of many pushes behind when a later one faults. */
	if (!(end->fault && (k->d.op == OP_ENTER || k->d.op == OP_PUSHA)) &&
	    memcmp(env->rw, (void *)NATIVE_DATA, NATIVE_RW_LEN) != 0)
		return "memory";
	if (k->in.vectors && memcmp(env->ymm, out->ymm, sizeof(out->ymm)))
		return "vector register";
	return NULL;
}

/* Would the CPU leave for somewhere that is not a trap? */
static bool
is_safe(const struct kase *k)
{
	const struct gcpu *c = &env->cpu;
	u64 to = c->rip;

	if (env->strayed || (c->rflags & X86_RFLAGS_TF))
		return false;
	if (!(c->seg[SEG_CS].attr & SEG_L))
		to = (u32)(to + c->seg[SEG_CS].base);
	/* A jump to itself has no end. */
	if (to == k->at)
		return !(k->d.op >= OP_CALL && k->d.op <= OP_RETF);
	/* The kernel itself acts there: vsyscalls. */
	if (to >> 12 == 0xffffffffff600)
		return false;
	if (to == k->at + k->d.len)
		return c->seg[SEG_CS].sel == k->in.cs;
	return to + 16 < k->at || to >= k->at + 48;
}

/* One example of each kind is shown, and not too many. */
static bool
is_news(unsigned op, const char *what)
{
	static const char *seen[OP_COUNT][4];
	static unsigned shown;
	unsigned i;

	for (i = 0; i < 4 && seen[op][i]; i++)
		if (seen[op][i] == what)
			return false;
	if (i < 4)
		seen[op][i] = what;
	return shown++ < EXAMPLES;
}

/* The same with the memory behind EMUL_IO, access by access. */
static const char *
again_as_device(const struct kase *k, const struct native_state *out,
    const struct native_end *end, const u8 *memory)
{
	enum emul_result r;

	memcpy(env->rw, memory, NATIVE_RW_LEN);
	tell_segments(k);
	r = emulate(k, true);
	accesses += env->reads + env->writes;
	/* More accesses than the log holds: pushes to a device. */
	if (r == EMUL_UNHANDLED)
		return NULL;
	return compare(k, out, end, r);
}

static bool
one_case(void)
{
	static u8 memory[NATIVE_RW_LEN];
	bool device = case_percent(10);
	struct native_state out;
	struct native_end end;
	enum emul_result r;
	struct kase k;
	const char *what;

	if (!case_make(&k))
		return false;
	tell_segments(&k);
	case_fill_memory(&k, (u8 *)NATIVE_DATA);
	memcpy(env->rw, (u8 *)NATIVE_DATA, NATIVE_RW_LEN);
	if (device)
		memcpy(memory, env->rw, sizeof(memory));
	r = emulate(&k, false);
	if (r == EMUL_UNHANDLED || !is_safe(&k))
		return false;
	out = k.in;
	native_run(k.code, k.d.len, &out, &end);
	what = compare(&k, &out, &end, r);
	runs[k.d.op]++;
	if (!what && device)
		what = again_as_device(&k, &out, &end, memory);
	if (what && is_news(k.d.op, what))
		complain(&k, &out, &end, r, what);
	if (what)
		differences++;
	return true;
}

/* The first operation that was hardly compared; OP_COUNT: none. */
static unsigned
neglected(void)
{
	struct decoded d = { 0 };

	while (d.op < OP_COUNT && (case_is_excluded(&d) || runs[d.op] >= 50))
		d.op++;
	return d.op;
}

/*
 * In a run of some length every instruction must have had its turn; chance may
 * need some more cases for the rarest.
 */
static u64
check_coverage(void)
{
	unsigned op = OP_COUNT;
	u64 more = 0;

	while (more < CASES / 2 && (op = neglected()) != OP_COUNT)
		do
			more += one_case();
		while (more & 1023);
	if (op != OP_COUNT)
		fail_msg(
		    "operation %u was compared %u times only", op, runs[op]);
	return more;
}

/* Why this CPU is none to compare with; NULL: it is. */
static const char *
unfit(void)
{
	/* Where vendors differ, the emulator does what AMD's CPUs do. */
	if (!__builtin_cpu_is("amd"))
		return "not one of AMD's";
	/* One that has these has MOVBE, LZCNT and POPCNT, too. */
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi"))
		return "some instructions are missing";
	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE))
		return "no FSGSBASE";
	return NULL;
}

static u64
setting(const char *name, u64 otherwise)
{
	const char *v = getenv(name);

	return v ? strtoull(v, NULL, 0) : otherwise;
}

static void
cpu_agrees(void **state)
{
	u64 cases = setting("EMUL_CASES", CASES), done = 0;
	clock_t end = clock() + SECONDS * CLOCKS_PER_SEC;
	time_t latest = time(NULL) + PATIENCE;
	bool limited = getenv("EMUL_CASES") == NULL;

	if (!env) {
		print_message("cannot compare with this CPU: %s\n", unfit());
		skip();
	}
	seed = setting("EMUL_SEED", (u64)time(NULL));
	case_seed(seed);
	print_message("EMUL_SEED=%llu 32-bit %d 16-bit %d\n", seed,
	    native_can(32), native_can(16));
	native_catch();
	while (done < cases &&
	    (!limited || (done & 1023) ||
		(clock() < end && time(NULL) < latest)))
		done += one_case();
	if (done >= CASES / 2)
		done += check_coverage();
	print_message("%llu cases, %llu differences; %llu device accesses\n",
	    done, differences, accesses);
	assert_int_equal(differences, 0);
}

static int
set_up(void **state)
{
	if (unfit())
		return 0;
	env = malloc(sizeof(*env));
	if (!env || native_init() != 0)
		return -1;
	env_init(env);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpu_agrees),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
