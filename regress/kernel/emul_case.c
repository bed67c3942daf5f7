// SPDX-License-Identifier: (ISC OR GPL-2.0)
#include "emul_case.h"
#include "emul_int.h"

static u64 rng;

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

bool
case_percent(unsigned n)
{
	return below(100) < n;
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
bool
case_is_excluded(const struct decoded *d)
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
	/* EVEX, which Zen 4 has. */
	if (d->op == OP_UD && d->opcode == 0x62)
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
	case OP_FNINIT:
	case OP_FNSTSW:
	case OP_FNSTCW:
	/* Linux answers these in place of the CPU (UMIP). */
	case OP_SGDT:
	case OP_SIDT:
	case OP_SMSW:
	case OP_SLDT:
	case OP_STR:
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
	if (case_percent(80))
		return good[below(sizeof(good) / sizeof(good[0]))];
	return (u16)(case_percent(50) ? below(0x40) : below(0x20) * 8 | 0xff00);
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

	if (case_percent(20))
		k->code[n++] = 0x66;
	if (case_percent(12))
		k->code[n++] = 0x67;
	if (case_percent(10))
		k->code[n++] = segments[below(sizeof(segments))];
	if (case_percent(4))
		k->code[n++] = 0xf0;
	if (case_percent(string ? 60 : 2))
		k->code[n++] = case_percent(50) ? 0xf2 : 0xf3;
	return n;
}

static unsigned
put_vex(struct kase *k, const struct opcode *op, unsigned n)
{
	unsigned map = op->map >> 4, pp,
		 vvvv = case_percent(60) ? 15 : below(16);

	pp = op->prefix == 0x66	 ? 1
	    : op->prefix == 0xf3 ? 2
	    : op->prefix == 0xf2 ? 3
				 : 0;
	if (map == 1 && case_percent(40)) {
		k->code[n++] = 0xc5;
		k->code[n++] = (u8)((case_percent(70) ? 0x80 : 0) | vvvv << 3 |
		    (case_percent(40) ? 4 : 0) | pp);
		if (k->bits != 64)
			k->code[n - 1] |= 0xc0;
	} else {
		k->code[n++] = 0xc4;
		k->code[n++] =
		    (u8)((k->bits == 64 ? rnd() & 0xe0 : 0xe0) | map);
		k->code[n++] = (u8)((case_percent(30) ? 0x80 : 0) | vvvv << 3 |
		    (case_percent(40) ? 4 : 0) | pp);
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

	if (case_percent(10)) {
		put_rest(k, 0);
		return;
	}
	n = put_prefixes(k, op);
	if ((op->map & 15) == 3) {
		if (case_percent(90))
			n = 0;
		n = put_vex(k, op, n);
		k->code[n++] = op->byte;
	} else {
		if (op->prefix)
			k->code[n++] = op->prefix;
		if (k->bits == 64 && case_percent(50))
			k->code[n++] = (u8)(0x40 | below(16));
		if (op->map > 0)
			k->code[n++] = 0x0f;
		if (op->map > 1)
			k->code[n++] = 0x38;
		k->code[n++] = op->byte;
	}
	put_rest(k, n);
	/* Group 7 has instructions of one ModRM byte each. */
	if (op->map == 1 && op->byte == 1 && case_percent(40))
		k->code[n] = (const u8[]){ 0xca, 0xcb, 0xf8 }[below(3)];
	/* Of others, prefer memory with a base. */
	else if ((k->code[n] >> 6) == 3 && case_percent(55))
		k->code[n] &= 0x7f;
}

/* Where its segment begins. */
static u64
base_of(const struct kase *k, unsigned seg)
{
	const u16 sel[] = { k->in.es, k->in.cs, k->in.ss, k->in.ds, 0,
		k->in.gs };

	if (k->bits == 64)
		return seg == SEG_GS ? k->in.gs_base : 0;
	return is_ldt(sel[seg]) ? native_ldt[sel[seg] >> 3].base : 0;
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

	if (d->index >= 0 && case_percent(80))
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
	k->in.gs = case_percent(10) ? 0 : data[below(7)];
	k->in.ss = stack[below(5)];
}

static bool
takes_selector(const struct decoded *d)
{
	return d->op == OP_MOV_TO_SEG || (d->op >= OP_LAR && d->op <= OP_VERW);
}

static void
make_registers(struct kase *k)
{
	static const u64 may = FL_STATUS | X86_RFLAGS_DF | X86_RFLAGS_ID;
	struct decoded *d = &k->d;
	u64 *g = k->in.gpr;
	unsigned i;

	for (i = 0; i < 16; i++)
		g[i] = pick_value();
	if (case_percent(90))
		g[R_RSP] = pick_address() - base_of(k, SEG_SS);
	if (case_percent(60))
		g[R_RBP] = pick_address() - base_of(k, SEG_SS);
	if (d->flags & D_STRING) {
		if (case_percent(97))
			g[R_RSI] = pick_address() - base_of(k, d->string_seg);
		if (case_percent(97))
			g[R_RDI] = pick_address() - base_of(k, SEG_ES);
		if (d->rep)
			g[R_RCX] = case_percent(90) ? below(20) : g[R_RCX];
	}
	if (d->op == OP_XLAT)
		g[R_RBX] = pick_address() - base_of(k, d->string_seg);
	if (d->op >= OP_BT && d->op <= OP_BTC && case_percent(90))
		g[d->reg] = (u64)0 + below(0x4000) - 0x2000;
	if (takes_selector(d) && !d->mem)
		g[d->rm] = pick_selector();
	if (d->mem)
		aim(k, pick_address());
	if (k->bits != 64)
		for (i = 0; i < 16; i++)
			g[i] = (u32)g[i];
	k->in.rflags = 0x202 | (rnd() & may);
	if (case_percent(8))
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

bool
case_make(struct kase *k)
{
	memset(k, 0, sizeof(*k));
	k->bits = case_percent(60) || !native_can(32) ? 64
	    : case_percent(60) || !native_can(16)     ? 32
						      : 16;
	choose_segments(k);
	make_code(k);
	if (decode(k->code, 15, k->bits, &k->d) != 0 || case_is_excluded(&k->d))
		return false;
	k->at = NATIVE_CODE + 0x1000 + below(64);
	/* At the end of memory it shows how much was fetched; before #UD a
	 * CPU may fetch more than it needs. */
	if (case_percent(5) && k->d.op != OP_UD)
		k->at = NATIVE_CODE + NATIVE_CODE_LEN - k->d.len;
	k->in.rip = k->at - (k->bits == 16 ? NATIVE_CODE : 0);
	make_registers(k);
	patch_immediate(k);
	return !case_is_excluded(&k->d) && !is_undefined(k);
}

/* A far pointer or selector where the instruction looks for one. */
static void
poke_pointer(const struct kase *k, u8 *real)
{
	static struct emul e;
	static struct gcpu cpu;
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
		d->op == OP_LOAD_FAR || takes_selector(d))) {
		e.in = *d;
		e.bits = d->bits;
		e.cpu = &cpu;
		memcpy(e.gpr, k->in.gpr, sizeof(e.gpr));
		cpu.rip = k->in.rip;
		if (size == 8)
			size = 4;
		ref = emul_operand(&e);
		at = (ref.off + base_of(k, ref.seg) - NATIVE_DATA) & 0xffffffff;
		if (takes_selector(d))
			size = 0;
	} else {
		return;
	}
	if (at >= NATIVE_RW_LEN - 16 || case_percent(5))
		return;
	memcpy(real + at, &off, 8);
	memcpy(real + at + size, &sel, 2);
}

void
case_fill_memory(const struct kase *k, u8 *real)
{
	unsigned i, at;
	u64 v;

	for (i = 0; i < 4; i++) {
		at = below(NATIVE_RW_LEN - 8);
		v = pick_value();
		memcpy(real + at, &v, 8);
	}
	/* What will be returned to or compared with. */
	at = (unsigned)(k->in.gpr[R_RSP] + base_of(k, SEG_SS) - NATIVE_DATA);
	if (at < NATIVE_RW_LEN - 8 && case_percent(50)) {
		v = case_percent(50) ? NATIVE_CODE + below(NATIVE_CODE_LEN)
				     : pick_value();
		memcpy(real + at, &v, 8);
	}
	poke_pointer(k, real);
}

void
case_seed(u64 seed)
{
	rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	nopcodes = 0;
	list_opcodes();
}
