/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_DECODE_H
#define CORE_DECODE_H

/*
 * From bytes to an instruction: prefixes, opcode, operands, immediates.  The
 * only decoder; it knows the shape of instructions and nothing of state, so
 * it can be run on any bytes.
 */
#include "types.h"

#define DECODE_MAX 15 /* APM vol. 3 "Instruction Length" */

/* Operations and the function that executes each; see decode_tab.c. */
/* clang-format off */
#define DECODE_OPS(X) \
	/* known to be invalid; not known to us */ \
	X(UD, ud) X(OTHER, other) \
	/* emul_alu.c */ \
	X(ADD, alu) X(OR, alu) X(ADC, alu) X(SBB, alu) X(AND, alu) \
	X(SUB, alu) X(XOR, alu) X(CMP, alu) X(TEST, alu) \
	X(INC, unary) X(DEC, unary) X(NEG, unary) X(NOT, unary) \
	X(ROL, shift) X(ROR, shift) X(RCL, shift) X(RCR, shift) \
	X(SHL, shift) X(SHR, shift) X(SAR, shift) \
	X(SHLD, shift2) X(SHRD, shift2) \
	X(MUL, mul) X(IMUL1, mul) X(IMUL2, imul) X(IMUL3, imul) \
	X(DIV, div) X(IDIV, div) \
	/* emul_bit.c */ \
	X(BT, bt) X(BTS, bt) X(BTR, bt) X(BTC, bt) \
	X(BSF, bitscan) X(BSR, bitscan) X(TZCNT, bitscan) X(LZCNT, bitscan) \
	X(POPCNT, bitscan) X(BSWAP, bswap) X(CRC32, crc32) \
	X(DAA, bcd) X(DAS, bcd) X(AAA, bcd) X(AAS, bcd) X(AAM, bcd) \
	X(AAD, bcd) X(SALC, flagop) \
	X(CLC, flagop) X(STC, flagop) X(CMC, flagop) X(CLD, flagop) \
	X(STD, flagop) X(LAHF, flagop) X(SAHF, flagop) \
	/* emul_mov.c */ \
	X(MOV, mov) X(LEA, lea) X(XCHG, xchg) X(XADD, xadd) \
	X(CMPXCHG, cmpxchg) X(CMPXCHG16B, cmpxchg16b) \
	X(MOVZX8, movx) X(MOVZX16, movx) X(MOVSX8, movx) X(MOVSX16, movx) \
	X(MOVSXD, movx) X(CBW, cbw) X(CWD, cbw) X(SETCC, setcc) \
	X(CMOV, cmov) X(XLAT, xlat) X(MOVBE, movbe) X(MOVNTI, mov) \
	X(NOP, nop) X(TOUCH, nop) X(PAUSE, nop) X(BOUND, bound) \
	/* emul_string.c */ \
	X(MOVS, movs) X(CMPS, cmps) X(STOS, stos) X(LODS, lods) \
	X(SCAS, scas) X(INS, ins) X(OUTS, outs) X(IN, in) X(OUT, out) \
	/* emul_ctl.c */ \
	X(PUSH, push) X(POP, pop) X(PUSHA, pusha) X(POPA, popa) \
	X(PUSHF, pushf) X(POPF, popf) X(ENTER, enter) X(LEAVE, leave) \
	X(CALL, call) X(CALL_IND, call) X(RET, ret) X(JMP, jmp) \
	X(JMP_IND, jmp) X(JCC, jcc) X(LOOP, loop) X(JCXZ, loop) \
	/* emul_far.c */ \
	X(CALLF, far) X(JMPF, far) X(CALLF_IND, far) X(JMPF_IND, far) \
	X(RETF, retf) X(INT, int) X(INT3, int) X(INTO, int) X(IRET, iret) \
	/* emul_seg.c */ \
	X(MOV_FROM_SEG, from_seg) X(MOV_TO_SEG, to_seg) \
	X(PUSH_SEG, from_seg) X(POP_SEG, to_seg) X(LOAD_FAR, load_far) \
	X(LLDT, lldt) X(LTR, lldt) X(SLDT, sldt) X(STR, sldt) \
	X(LAR, lar) X(LSL, lar) X(VERR, verr) X(VERW, verr) X(ARPL, arpl) \
	/* emul_sys.c */ \
	X(LGDT, lgdt) X(LIDT, lgdt) X(SGDT, sgdt) X(SIDT, sgdt) \
	X(LMSW, lmsw) X(SMSW, smsw) X(CLTS, clts) X(CLI, cli) X(STI, cli) \
	X(CLAC, clac) X(STAC, clac) X(HLT, hlt) X(INVLPG, invlpg) \
	X(WBINVD, wbinvd) X(CPUID, cpuid) X(RDMSR, rdmsr) X(WRMSR, wrmsr) \
	X(MOV_CR, mov_cr) X(MOV_DR, mov_dr) X(SWAPGS, swapgs) \
	X(FNINIT, x87) X(FNSTSW, x87) X(FNSTCW, x87) \
	/* only their length is known */ \
	X(VMMCALL, other) X(XSETBV, other) X(RDPMC, other) X(RDTSC, rdtsc) \
	X(RDTSCP, other) X(SYSCALL, other) X(INT1, other) \
	/* emul_sse.c */ \
	X(VLOAD, vload) X(VSTORE, vstore)
/* clang-format on */

enum decode_op {
#define X(name, group) OP_##name,
	DECODE_OPS(X)
#undef X
	    OP_COUNT
};

/* Where an operand is. */
enum decode_arg {
	A_NONE,
	A_RM, /* ModRM.rm: register or memory */
	A_REG, /* ModRM.reg */
	A_OPREG, /* low bits of the opcode */
	A_ACC, /* AL, AX, EAX, RAX */
	A_IMM,
	A_ONE, /* the constant 1 */
	A_CL,
	A_DX,
	A_MOFFS, /* memory at the offset that follows the opcode */
};

#define D_MODRM	   0x0001
#define D_BYTE	   0x0002 /* operand size 1 */
#define D_LOCK	   0x0004 /* LOCK is allowed on a memory destination */
#define D_DEF64	   0x0008 /* 64-bit operands in 64-bit code without REX.W */
#define D_NO64	   0x0010 /* #UD in 64-bit code */
#define D_MEM	   0x0020 /* #UD with a register */
#define D_CPL0	   0x0040 /* #GP(0) unless CPL is 0 */
#define D_REGISTER 0x0080 /* ModRM.mod is ignored: always a register */
#define D_ONLY64   0x0100 /* #UD outside of 64-bit code */
#define D_STRING   0x0200 /* REP repeats it */
#define D_PE	   0x0400 /* #UD in real and virtual-8086 mode */

/* Vector moves: which bytes go where. */
enum decode_vec {
	V_FULL, /* the whole register */
	V_LOW, /* d->vbytes at the bottom; a load clears the rest */
	V_MERGE, /* d->vbytes at the bottom; a load keeps the rest */
	V_HIGH, /* upper 8 bytes */
};

struct decoded {
	u8 op; /* enum decode_op */
	u8 dst, src; /* enum decode_arg */
	u8 len;
	u8 bits; /* 16, 32, 64: of the code */
	u8 size; /* bytes of an operand: 1, 2, 4, 8 */
	u8 asize; /* bytes of an address: 2, 4, 8 */
	u16 flags; /* D_* */

	u8 opcode; /* last byte; low bits are a condition or register */
	u8 modrm, reg, rm; /* reg and rm with their REX bits */
	u8 opreg;
	bool mem; /* rm is in memory ... */
	s8 base, index; /* ... at these registers, or -1 */
	u8 shift;
	bool rip_relative;
	s64 disp;
	u8 seg; /* enum cpu_seg of the memory operand */
	u8 string_seg; /* of a string's source: DS or the override */

	s64 imm; /* sign-extended */
	u16 imm2; /* selector of a far pointer, level of ENTER */

	u8 rep; /* 0, 0xf2, 0xf3: the last of them */
	bool lock;
	u8 rex; /* 0: none */

	bool vex;
	u8 vlen; /* 16 or 32 */
	u8 vreg; /* VEX.vvvv */
	u8 vec; /* enum decode_vec */
	u8 vbytes;
	bool vgpr; /* rm is a general register, not a vector one */
	bool valign; /* memory must be aligned to the operand */
};

/*
 * Decode from `have' bytes.  0: *d is filled.  -ENODATA: more bytes are
 * needed.  -E2BIG: longer than 15 bytes, a #GP(0).
 */
int decode(const u8 *bytes, unsigned have, unsigned bits, struct decoded *d);

/* --- The tables, for decode.c only. --- */

enum decode_imm {
	IMM_NONE,
	IMM_8, /* sign-extended byte */
	IMM_16,
	IMM_Z, /* 16 or 32 bits, by operand size */
	IMM_V, /* 16, 32 or 64 bits */
	IMM_BZ, /* byte for byte operands, else Z */
	IMM_PTR, /* offset and selector */
	IMM_MOFFS, /* of address size */
	IMM_ENTER, /* word and byte */
};

enum decode_group {
	G_NONE,
	G_1,
	G_1A,
	G_2,
	G_3,
	G_4,
	G_5,
	G_6,
	G_7,
	G_8,
	G_9,
	G_11,
	G_15,
	G_COUNT,
};

struct decode_row {
	u8 op, dst, src, imm;
	u8 group; /* ModRM.reg chooses the operation */
	u16 flags;
};

/* One vector move: map, mandatory prefix and opcode name it. */
struct decode_vrow {
	u8 map; /* 1: 0F, 2: 0F 38 */
	u8 prefix; /* 0, 0x66, 0xf3, 0xf2 */
	u8 opcode;
	u8 op; /* OP_VLOAD, OP_VSTORE */
	u8 vec, bytes;
	u8 flags; /* VF_* */
};
#define VF_MEM	 0x01 /* memory form only */
#define VF_GPR	 0x02 /* MOVD, MOVQ: rm is a general register */
#define VF_ALIGN 0x04
#define VF_REG	 0x08 /* register form only */
#define VF_NDS	 0x10 /* VEX form takes another source in vvvv */
#define VF_L0	 0x20 /* VEX form has 128 bits only */

extern const struct decode_row decode_one[256], decode_two[256];
extern const struct decode_row decode_groups[G_COUNT][8];
extern const struct decode_vrow decode_vectors[];
extern const unsigned decode_nvectors;

#endif
