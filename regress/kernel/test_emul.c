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
#include <time.h>
#include <cmocka.h>

#include "emul_env.h"
#include "emul_int.h"
#include "x86.h"

#define CF X86_RFLAGS_CF
#define PF X86_RFLAGS_PF
#define AF X86_RFLAGS_AF
#define ZF X86_RFLAGS_ZF
#define SF X86_RFLAGS_SF
#define OF X86_RFLAGS_OF

#define CASES	 2000000ULL
#define SECONDS	 20 /* a check run stops here */
#define EXAMPLES 10

static struct env *env;
static u64 seed, rng, differences, accesses;
static unsigned runs[OP_COUNT]; /* how often each was compared */

static u64
rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng * 0x2545f4914f6cdd1dULL;
}

static unsigned
below(unsigned n)
{
	return (unsigned)((rnd() >> 32) * n >> 32);
}

static bool
percent(unsigned n)
{
	return below(100) < n;
}

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

struct kase {
	unsigned bits;
	u8 code[16];
	struct decoded d;
	struct native_state in;
	u64 at; /* linear address of the code */
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

/* Its result is undefined, too. */
static bool
is_undefined(const struct kase *k)
{
	const struct decoded *d = &k->d;
	u64 n = d->src == A_IMM ? (u64)d->imm : k->in.gpr[R_RCX];

	if (d->op == OP_BSWAP && d->size == 2)
		return true;
	return (d->op == OP_SHLD || d->op == OP_SHRD) && d->size == 2 &&
	    (n & 31) > 16;
}

/* Not to be run, or not the CPU's own doing on Linux. */
static bool
is_excluded(const struct decoded *d)
{
	/* REP changes the condition of LOOPE and LOOPNE on some CPUs. */
	if (d->op == OP_LOOP && d->rep)
		return true;
	/* Some CPUs ignore LOCK before VERR and VERW. */
	if (d->op == OP_UD && d->lock && d->opcode == 0)
		return true;
	/* XOP, of which some CPUs remember something. */
	if (d->op == OP_UD && d->opcode == 0x8f)
		return true;
	/* The host's own thread is there. */
	if (d->seg == SEG_FS || d->string_seg == SEG_FS)
		return true;
	switch (d->op) {
	case OP_OTHER:
	case OP_SYSCALL:
	case OP_INT:
	case OP_INT1:
	case OP_INT3:
	case OP_INTO:
	case OP_IRET:
	case OP_VMMCALL:
	case OP_XSETBV:
	case OP_RDPMC:
	case OP_RDTSC:
	case OP_RDTSCP:
	/* Linux answers these in place of the CPU (UMIP). */
	case OP_SGDT:
	case OP_SIDT:
	case OP_SMSW:
	case OP_SLDT:
	case OP_STR:
	/* Descriptors of the host. */
	case OP_LAR:
	case OP_LSL:
	case OP_VERR:
	case OP_VERW:
		return true;
	/* FS is the host's. */
	case OP_MOV_TO_SEG:
		return (d->reg & 7) == SEG_FS;
	case OP_POP_SEG:
		return d->opcode == 0xa1;
	case OP_LOAD_FAR:
		return d->opcode == 0xb4;
	default:
		return false;
	}
}

/* --- Making a case. --- */

struct opcode {
	u8 map; /* 0, 1: 0F, 2: 0F 38, 3: VEX */
	u8 prefix; /* mandatory one, or VEX.pp */
	u8 byte;
};
static struct opcode opcodes[1024];
static unsigned nopcodes;

static void
list_opcodes(void)
{
	unsigned i;

	for (i = 0; i < 256; i++) {
		if (decode_one[i].op != OP_OTHER &&
		    (decode_one[i].op != OP_UD ||
			decode_one[i].group != G_NONE))
			opcodes[nopcodes++] = (struct opcode){ 0, 0, (u8)i };
		if (decode_two[i].op != OP_OTHER &&
		    (decode_two[i].op != OP_UD ||
			decode_two[i].group != G_NONE))
			opcodes[nopcodes++] = (struct opcode){ 1, 0, (u8)i };
	}
	opcodes[nopcodes++] = (struct opcode){ 0, 0xf3, 0x90 };
	opcodes[nopcodes++] = (struct opcode){ 1, 0xf3, 0xb8 };
	opcodes[nopcodes++] = (struct opcode){ 1, 0xf3, 0xbc };
	opcodes[nopcodes++] = (struct opcode){ 1, 0xf3, 0xbd };
	for (i = 0; i < 4; i++)
		opcodes[nopcodes++] =
		    (struct opcode){ 2, i & 2 ? 0xf2 : 0, 0xf0 | (i & 1) };
	for (i = 0; i < decode_nvectors; i++) {
		opcodes[nopcodes++] = (struct opcode){ decode_vectors[i].map,
			decode_vectors[i].prefix, decode_vectors[i].opcode };
		opcodes[nopcodes++] = (struct opcode){ 3,
			decode_vectors[i].prefix, decode_vectors[i].opcode };
		opcodes[nopcodes - 1].map |= decode_vectors[i].map << 4;
	}
}

/* An address where an operand may be. */
static u64
pick_address(void)
{
	unsigned p = below(100);

	if (p < 68)
		return NATIVE_DATA + 64 + below(NATIVE_RW_LEN - 128);
	if (p < 80)
		return NATIVE_DATA + 0x1000 - below(34);
	if (p < 88)
		return NATIVE_DATA + NATIVE_RW_LEN - below(34);
	if (p < 94)
		return NATIVE_RO + below(NATIVE_RO_LEN);
	if (p < 96)
		return NATIVE_DATA + NATIVE_RW_LEN + below(0x1000);
	if (p < 97)
		return NATIVE_RO - below(34);
	if (p < 98)
		return 0x0000800000000000ULL - below(40);
	if (p < 99)
		return 0xffff800000000000ULL - below(40);
	return rnd();
}

static u16
pick_selector(void)
{
	static const u16 good[] = { 0, 3, USER_DS, USER_CS, USER32_CS,
		LDT_SEL(LDT_DATA16), LDT_SEL(LDT_SMALL), LDT_SEL(LDT_DOWN),
		LDT_SEL(LDT_DOWN16), LDT_SEL(LDT_READ), LDT_SEL(LDT_CODE16) };

	/* 0x40 and beyond are what Linux has for itself. */
	if (percent(80))
		return good[below(sizeof(good) / sizeof(good[0]))];
	return (u16)(percent(50) ? below(0x40) : below(0x20) * 8 | 0xff00);
}

static u64
pick_value(void)
{
	switch (below(8)) {
	case 0:
		return below(256);
	case 1:
		return (u64)0 - below(256);
	case 2:
		return 1ULL << below(64);
	case 3:
		return (1ULL << below(64)) - 1;
	case 4:
		return pick_address();
	case 5:
		return (u32)rnd();
	default:
		return rnd();
	}
}

static unsigned
put_prefixes(struct kase *k, const struct opcode *op)
{
	static const u8 segments[] = { 0x26, 0x2e, 0x36, 0x3e, 0x65, 0x65 };
	unsigned n = 0;
	bool string =
	    op->map == 0 && (decode_one[op->byte].flags & D_STRING) != 0;

	if (percent(20))
		k->code[n++] = 0x66;
	if (percent(12))
		k->code[n++] = 0x67;
	if (percent(10))
		k->code[n++] = segments[below(sizeof(segments))];
	if (percent(4))
		k->code[n++] = 0xf0;
	if (percent(string ? 60 : 2))
		k->code[n++] = percent(50) ? 0xf2 : 0xf3;
	return n;
}

static unsigned
put_vex(struct kase *k, const struct opcode *op, unsigned n)
{
	unsigned map = op->map >> 4, pp, vvvv = percent(60) ? 15 : below(16);

	pp = op->prefix == 0x66	 ? 1
	    : op->prefix == 0xf3 ? 2
	    : op->prefix == 0xf2 ? 3
				 : 0;
	if (map == 1 && percent(40)) {
		k->code[n++] = 0xc5;
		k->code[n++] = (u8)((percent(70) ? 0x80 : 0) | vvvv << 3 |
		    (percent(40) ? 4 : 0) | pp);
		if (k->bits != 64)
			k->code[n - 1] |= 0xc0;
	} else {
		k->code[n++] = 0xc4;
		k->code[n++] =
		    (u8)((k->bits == 64 ? rnd() & 0xe0 : 0xe0) | map);
		k->code[n++] = (u8)((percent(30) ? 0x80 : 0) | vvvv << 3 |
		    (percent(40) ? 4 : 0) | pp);
	}
	return n;
}

/* Random bytes from here on. */
static void
put_rest(struct kase *k, unsigned n)
{
	while (n < sizeof(k->code))
		k->code[n++] = (u8)rnd();
}

static void
make_code(struct kase *k)
{
	const struct opcode *op = &opcodes[below(nopcodes)];
	unsigned n;

	if (percent(10)) {
		put_rest(k, 0);
		return;
	}
	n = put_prefixes(k, op);
	if ((op->map & 15) == 3) {
		if (percent(90))
			n = 0;
		n = put_vex(k, op, n);
		k->code[n++] = op->byte;
	} else {
		if (op->prefix)
			k->code[n++] = op->prefix;
		if (k->bits == 64 && percent(50))
			k->code[n++] = (u8)(0x40 | below(16));
		if (op->map > 0)
			k->code[n++] = 0x0f;
		if (op->map > 1)
			k->code[n++] = 0x38;
		k->code[n++] = op->byte;
	}
	put_rest(k, n);
	/* Group 7 has instructions of one ModRM byte each. */
	if (op->map == 1 && op->byte == 1 && percent(40))
		k->code[n] = (const u8[]){ 0xca, 0xcb, 0xf8 }[below(3)];
	/* Of others, prefer memory with a base. */
	else if ((k->code[n] >> 6) == 3 && percent(55))
		k->code[n] &= 0x7f;
}

/* Where its segment begins; what the emulator was told. */
static u64
base_of(const struct kase *k, unsigned seg)
{
	if (k->bits == 64 && seg != SEG_FS && seg != SEG_GS)
		return 0;
	return env->cpu.seg[seg].base;
}

/* The displacement is the last thing before the immediate. */
static void
patch_disp(struct kase *k, u64 disp)
{
	struct decoded d;
	u8 probe[16];
	unsigned i, width = k->d.asize == 2 ? 2 : 4;
	u32 v = (u32)disp;

	/* Find it: the bytes whose change changes disp. */
	for (i = 1; i + width <= k->d.len; i++) {
		memcpy(probe, k->code, sizeof(probe));
		memcpy(probe + i, &v, width);
		if (decode(probe, 15, k->bits, &d) == 0 && d.len == k->d.len &&
		    d.op == k->d.op && d.imm == k->d.imm &&
		    d.base == k->d.base && d.index == k->d.index &&
		    d.modrm == k->d.modrm &&
		    d.disp == (width == 2 ? (s64)(s16)v : (s64)(s32)v)) {
			memcpy(k->code, probe, sizeof(probe));
			k->d = d;
			return;
		}
	}
}

/* Let the memory operand be at `at'. */
static void
aim(struct kase *k, u64 at)
{
	struct decoded *d = &k->d;
	u64 off = at - base_of(k, d->seg);
	u64 *g = k->in.gpr;

	if (d->index >= 0 && percent(80))
		g[d->index] = below(64);
	if (d->rip_relative) {
		patch_disp(k, off - k->at - d->len);
	} else if (d->base < 0 && d->index < 0) {
		patch_disp(k, off);
	} else if (d->base < 0) {
		g[d->index] = (off - (u64)d->disp) >> d->shift;
	} else if (d->base != d->index) {
		g[d->base] = off - (u64)d->disp -
		    (d->index >= 0 ? g[d->index] << d->shift : 0);
	}
}

static void
choose_segments(struct kase *k)
{
	static const u16 data[] = { USER_DS, USER_DS, LDT_SEL(LDT_DATA16),
		LDT_SEL(LDT_SMALL), LDT_SEL(LDT_DOWN), LDT_SEL(LDT_DOWN16),
		LDT_SEL(LDT_READ) };
	static const u16 stack[] = { USER_DS, LDT_SEL(LDT_DATA16),
		LDT_SEL(LDT_SMALL), LDT_SEL(LDT_DOWN), LDT_SEL(LDT_DOWN16) };

	k->in.cs = k->bits == 64 ? USER_CS
	    : k->bits == 32	 ? USER32_CS
				 : LDT_SEL(LDT_CODE16);
	k->in.gs_base = NATIVE_DATA + 0x800;
	k->in.ds = k->in.es = k->in.ss = USER_DS;
	k->in.gs = 0;
	if (k->bits == 64)
		return;
	k->in.ds = data[below(7)];
	k->in.es = data[below(7)];
	k->in.gs = percent(10) ? 0 : data[below(7)];
	k->in.ss = stack[below(5)];
}

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

static void
make_registers(struct kase *k)
{
	static const u64 may =
	    CF | PF | AF | ZF | SF | OF | X86_RFLAGS_DF | X86_RFLAGS_ID;
	struct decoded *d = &k->d;
	u64 *g = k->in.gpr;
	unsigned i;

	for (i = 0; i < 16; i++)
		g[i] = pick_value();
	if (percent(90))
		g[R_RSP] = pick_address() - base_of(k, SEG_SS);
	if (percent(60))
		g[R_RBP] = pick_address() - base_of(k, SEG_SS);
	if (d->flags & D_STRING) {
		if (percent(97))
			g[R_RSI] = pick_address() - base_of(k, d->string_seg);
		if (percent(97))
			g[R_RDI] = pick_address() - base_of(k, SEG_ES);
		if (d->rep)
			g[R_RCX] = percent(90) ? below(20) : g[R_RCX];
	}
	if (d->op == OP_XLAT)
		g[R_RBX] = pick_address() - base_of(k, d->string_seg);
	if (d->op >= OP_BT && d->op <= OP_BTC && percent(90))
		g[d->reg] = (u64)0 + below(0x4000) - 0x2000;
	if (d->op == OP_MOV_TO_SEG && !d->mem)
		g[d->rm] = pick_selector();
	if (d->mem)
		aim(k, pick_address());
	if (k->bits != 64)
		for (i = 0; i < 16; i++)
			g[i] = (u32)g[i];
	k->in.rflags = 0x202 | (rnd() & may);
	if (percent(8))
		k->in.rflags |= X86_RFLAGS_AC;
	k->in.vectors = d->op == OP_VLOAD || d->op == OP_VSTORE;
	if (k->in.vectors)
		for (i = 0; i < sizeof(k->in.ymm) / 8; i++)
			((u64 *)k->in.ymm)[i] = rnd();
}

/* Operands in the bytes themselves: an offset, a far pointer. */
static void
patch_immediate(struct kase *k)
{
	const struct decoded *d = &k->d;
	u64 at;
	u16 sel;

	if (d->op == OP_CALLF || d->op == OP_JMPF) {
		at = below(NATIVE_CODE_LEN);
		sel = pick_selector();
		if (!is_ldt(sel))
			at += NATIVE_CODE;
		memcpy(&k->code[d->len - 2 - d->size], &at, d->size);
		memcpy(&k->code[d->len - 2], &sel, 2);
		decode(k->code, 15, k->bits, &k->d);
	}
	if (d->dst != A_MOFFS && d->src != A_MOFFS)
		return;
	at = pick_address() - base_of(k, d->seg);
	memcpy(&k->code[d->len - d->asize], &at, d->asize);
	decode(k->code, 15, k->bits, &k->d);
}

static bool
make_case(struct kase *k)
{
	memset(k, 0, sizeof(*k));
	k->bits = percent(60) || !native_can(32) ? 64
	    : percent(60) || !native_can(16)	 ? 32
						 : 16;
	choose_segments(k);
	tell_segments(k);
	make_code(k);
	if (decode(k->code, 15, k->bits, &k->d) != 0 || is_excluded(&k->d))
		return false;
	k->at = NATIVE_CODE + 0x1000 + below(64);
	/* At the end of memory it shows how much was fetched; before #UD a
	 * CPU may fetch more than it needs. */
	if (percent(5) && k->d.op != OP_UD)
		k->at = NATIVE_CODE + NATIVE_CODE_LEN - k->d.len;
	k->in.rip = k->at - (k->bits == 16 ? NATIVE_CODE : 0);
	make_registers(k);
	patch_immediate(k);
	return !is_excluded(&k->d) && !is_undefined(k);
}

/* --- Both sides. --- */

/* A far pointer or selector where the instruction looks for one. */
static void
poke_pointer(const struct kase *k, u8 *real)
{
	const struct decoded *d = &k->d;
	u64 sp = k->in.gpr[R_RSP] + base_of(k, SEG_SS) - NATIVE_DATA;
	u64 at, off = below(NATIVE_CODE_LEN);
	u16 sel = pick_selector();
	unsigned size = d->size;
	struct emul_ref ref;

	if (!is_ldt(sel))
		off += NATIVE_CODE;
	if (d->op == OP_RETF || d->op == OP_POP_SEG) {
		at = sp & 0xffffffff;
		if (d->op == OP_POP_SEG)
			size = 0;
	} else if (d->mem &&
	    (d->op == OP_CALLF_IND || d->op == OP_JMPF_IND ||
		d->op == OP_LOAD_FAR || d->op == OP_MOV_TO_SEG)) {
		env->e.in = *d;
		env->e.bits = d->bits;
		memcpy(env->e.gpr, k->in.gpr, sizeof(env->e.gpr));
		env->cpu.rip = k->in.rip;
		if (size == 8)
			size = 4;
		ref = emul_operand(&env->e);
		at = (ref.off + base_of(k, ref.seg) - NATIVE_DATA) & 0xffffffff;
		if (d->op == OP_MOV_TO_SEG)
			size = 0;
	} else {
		return;
	}
	if (at >= NATIVE_RW_LEN - 16 || percent(5))
		return;
	memcpy(real + at, &off, 8);
	memcpy(real + at + size, &sel, 2);
}

static void
disturb_memory(const struct kase *k)
{
	u8 *real = (u8 *)NATIVE_DATA;
	unsigned i, at;
	u64 v;

	for (i = 0; i < 4; i++) {
		at = below(NATIVE_RW_LEN - 8);
		v = pick_value();
		memcpy(real + at, &v, 8);
	}
	/* What will be returned to or compared with. */
	at = (unsigned)(k->in.gpr[R_RSP] + base_of(k, SEG_SS) - NATIVE_DATA);
	if (at < NATIVE_RW_LEN - 8 && percent(50)) {
		v = percent(50) ? NATIVE_CODE + below(NATIVE_CODE_LEN)
				: pick_value();
		memcpy(real + at, &v, 8);
	}
	poke_pointer(k, real);
	memcpy(env->rw, real, NATIVE_RW_LEN);
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
	if (end->fault &&
	    (end->vector != f->vector ||
		(f->has_error && end->error != f->error) ||
		(f->vector == X86_PF && end->cr2 != f->cr2)))
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
	bool device = percent(10);
	struct native_state out;
	struct native_end end;
	enum emul_result r;
	struct kase k;
	const char *what;

	if (!make_case(&k))
		return false;
	disturb_memory(&k);
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

/* In a run of some length every instruction must have had its turn. */
static void
check_coverage(void)
{
	struct decoded d = { 0 };

	for (; d.op < OP_COUNT; d.op++)
		if (!is_excluded(&d) && runs[d.op] < 50)
			fail_msg("operation %u was compared %u times only",
			    d.op, runs[d.op]);
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
	bool limited = getenv("EMUL_CASES") == NULL;

	seed = setting("EMUL_SEED", (u64)time(NULL));
	rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	print_message("EMUL_SEED=%llu 32-bit %d 16-bit %d\n", seed,
	    native_can(32), native_can(16));
	native_catch();
	while (done < cases && (!limited || (done & 1023) || clock() < end))
		done += one_case();
	print_message("%llu cases, %llu differences; %llu device accesses\n",
	    done, differences, accesses);
	assert_int_equal(differences, 0);
	if (done >= CASES / 2)
		check_coverage();
}

static int
set_up(void **state)
{
	env = malloc(sizeof(*env));
	if (!env || native_init() != 0)
		return -1;
	env_init(env);
	list_opcodes();
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
