// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The opcode maps, APM vol. 3 "Opcode and Operand Encodings".  A row that is
 * not there is OP_UD in the maps' holes and OP_OTHER where an instruction
 * exists that is not emulated (x87, MMX, SSE arithmetic, SVM).
 */
#include "decode.h"

#define M    D_MODRM
#define B    D_BYTE
#define LK   D_LOCK
#define D64  D_DEF64
#define NO64 D_NO64
#define MEM  D_MEM
#define P0   D_CPL0
#define REP  D_STRING

#define ROW(op, dst, src, imm, flags)                                 \
	{                                                             \
		OP_##op, A_##dst, A_##src, IMM_##imm, G_NONE, (flags) \
	}
#define GROUP(g, dst, src, imm, flags)                                 \
	{                                                              \
		OP_UD, A_##dst, A_##src, IMM_##imm, G_##g, (flags) | M \
	}
#define PLAIN(op, flags) ROW(op, NONE, NONE, NONE, flags)
#define ABSENT		 PLAIN(OTHER, 0)
#define ABSENT_M	 PLAIN(OTHER, M)

/* The eight arithmetic operations have six forms each. */
#define ALU(at, op, lock)                                      \
	[(at) + 0] = ROW(op, RM, REG, NONE, M | B | lock),     \
		[(at) + 1] = ROW(op, RM, REG, NONE, M | lock), \
		[(at) + 2] = ROW(op, REG, RM, NONE, M | B),    \
		[(at) + 3] = ROW(op, REG, RM, NONE, M),        \
		[(at) + 4] = ROW(op, ACC, IMM, 8, B),          \
		[(at) + 5] = ROW(op, ACC, IMM, Z, 0)

const struct decode_row decode_one[256] = {
	ALU(0x00, ADD, LK),
	[0x06] = PLAIN(PUSH_SEG, NO64),
	[0x07] = PLAIN(POP_SEG, NO64),
	ALU(0x08, OR, LK),
	[0x0e] = PLAIN(PUSH_SEG, NO64),
	ALU(0x10, ADC, LK),
	[0x16] = PLAIN(PUSH_SEG, NO64),
	[0x17] = PLAIN(POP_SEG, NO64),
	ALU(0x18, SBB, LK),
	[0x1e] = PLAIN(PUSH_SEG, NO64),
	[0x1f] = PLAIN(POP_SEG, NO64),
	ALU(0x20, AND, LK),
	[0x27] = PLAIN(DAA, NO64),
	ALU(0x28, SUB, LK),
	[0x2f] = PLAIN(DAS, NO64),
	ALU(0x30, XOR, LK),
	[0x37] = PLAIN(AAA, NO64),
	ALU(0x38, CMP, 0),
	[0x3f] = PLAIN(AAS, NO64),
	[0x40 ... 0x47] = ROW(INC, OPREG, NONE, NONE, 0),
	[0x48 ... 0x4f] = ROW(DEC, OPREG, NONE, NONE, 0),
	[0x50 ... 0x57] = ROW(PUSH, OPREG, NONE, NONE, D64),
	[0x58 ... 0x5f] = ROW(POP, OPREG, NONE, NONE, D64),
	[0x60] = PLAIN(PUSHA, NO64),
	[0x61] = PLAIN(POPA, NO64),
	[0x62] = ROW(BOUND, REG, RM, NONE, M | NO64 | MEM),
	[0x63] = ROW(MOVSXD, REG, RM, NONE, M), /* or ARPL: decode.c */
	[0x68] = ROW(PUSH, IMM, NONE, Z, D64),
	[0x69] = ROW(IMUL3, REG, RM, Z, M),
	[0x6a] = ROW(PUSH, IMM, NONE, 8, D64),
	[0x6b] = ROW(IMUL3, REG, RM, 8, M),
	[0x6c] = PLAIN(INS, B | REP),
	[0x6d] = PLAIN(INS, REP),
	[0x6e] = PLAIN(OUTS, B | REP),
	[0x6f] = PLAIN(OUTS, REP),
	[0x70 ... 0x7f] = ROW(JCC, NONE, IMM, 8, D64),
	[0x80] = GROUP(1, RM, IMM, 8, B),
	[0x81] = GROUP(1, RM, IMM, Z, 0),
	[0x82] = GROUP(1, RM, IMM, 8, B | NO64),
	[0x83] = GROUP(1, RM, IMM, 8, 0),
	[0x84] = ROW(TEST, RM, REG, NONE, M | B),
	[0x85] = ROW(TEST, RM, REG, NONE, M),
	[0x86] = ROW(XCHG, RM, REG, NONE, M | B | LK),
	[0x87] = ROW(XCHG, RM, REG, NONE, M | LK),
	[0x88] = ROW(MOV, RM, REG, NONE, M | B),
	[0x89] = ROW(MOV, RM, REG, NONE, M),
	[0x8a] = ROW(MOV, REG, RM, NONE, M | B),
	[0x8b] = ROW(MOV, REG, RM, NONE, M),
	[0x8c] = ROW(MOV_FROM_SEG, RM, NONE, NONE, M),
	[0x8d] = ROW(LEA, REG, NONE, NONE, M | MEM),
	[0x8e] = ROW(MOV_TO_SEG, NONE, RM, NONE, M),
	[0x8f] = GROUP(1A, RM, NONE, NONE, D64),
	[0x90 ... 0x97] = ROW(XCHG, OPREG, ACC, NONE, 0), /* 90: decode.c */
	[0x98] = PLAIN(CBW, 0),
	[0x99] = PLAIN(CWD, 0),
	[0x9a] = ROW(CALLF, NONE, IMM, PTR, NO64),
	[0x9b] = ABSENT,
	[0x9c] = PLAIN(PUSHF, D64),
	[0x9d] = PLAIN(POPF, D64),
	[0x9e] = PLAIN(SAHF, 0),
	[0x9f] = PLAIN(LAHF, 0),
	[0xa0] = ROW(MOV, ACC, MOFFS, MOFFS, B),
	[0xa1] = ROW(MOV, ACC, MOFFS, MOFFS, 0),
	[0xa2] = ROW(MOV, MOFFS, ACC, MOFFS, B),
	[0xa3] = ROW(MOV, MOFFS, ACC, MOFFS, 0),
	[0xa4] = PLAIN(MOVS, B | REP),
	[0xa5] = PLAIN(MOVS, REP),
	[0xa6] = PLAIN(CMPS, B | REP),
	[0xa7] = PLAIN(CMPS, REP),
	[0xa8] = ROW(TEST, ACC, IMM, 8, B),
	[0xa9] = ROW(TEST, ACC, IMM, Z, 0),
	[0xaa] = PLAIN(STOS, B | REP),
	[0xab] = PLAIN(STOS, REP),
	[0xac] = PLAIN(LODS, B | REP),
	[0xad] = PLAIN(LODS, REP),
	[0xae] = PLAIN(SCAS, B | REP),
	[0xaf] = PLAIN(SCAS, REP),
	[0xb0 ... 0xb7] = ROW(MOV, OPREG, IMM, 8, B),
	[0xb8 ... 0xbf] = ROW(MOV, OPREG, IMM, V, 0),
	[0xc0] = GROUP(2, RM, IMM, 8, B),
	[0xc1] = GROUP(2, RM, IMM, 8, 0),
	[0xc2] = ROW(RET, NONE, IMM, 16, D64),
	[0xc3] = PLAIN(RET, D64),
	[0xc4] = ROW(LOAD_FAR, REG, RM, NONE, M | MEM | NO64),
	[0xc5] = ROW(LOAD_FAR, REG, RM, NONE, M | MEM | NO64),
	[0xc6] = GROUP(11, RM, IMM, 8, B),
	[0xc7] = GROUP(11, RM, IMM, Z, 0),
	[0xc8] = ROW(ENTER, NONE, NONE, ENTER, D64),
	[0xc9] = PLAIN(LEAVE, D64),
	[0xca] = ROW(RETF, NONE, IMM, 16, 0),
	[0xcb] = PLAIN(RETF, 0),
	[0xcc] = PLAIN(INT3, 0),
	[0xcd] = ROW(INT, NONE, IMM, 8, 0),
	[0xce] = PLAIN(INTO, NO64),
	[0xcf] = PLAIN(IRET, 0),
	[0xd0] = GROUP(2, RM, ONE, NONE, B),
	[0xd1] = GROUP(2, RM, ONE, NONE, 0),
	[0xd2] = GROUP(2, RM, CL, NONE, B),
	[0xd3] = GROUP(2, RM, CL, NONE, 0),
	[0xd4] = ROW(AAM, NONE, IMM, 8, NO64),
	[0xd5] = ROW(AAD, NONE, IMM, 8, NO64),
	[0xd6] = PLAIN(SALC, NO64),
	[0xd7] = PLAIN(XLAT, B),
	[0xd8 ... 0xdf] = ABSENT_M,
	[0xe0] = ROW(LOOP, NONE, IMM, 8, D64),
	[0xe1] = ROW(LOOP, NONE, IMM, 8, D64),
	[0xe2] = ROW(LOOP, NONE, IMM, 8, D64),
	[0xe3] = ROW(JCXZ, NONE, IMM, 8, D64),
	[0xe4] = ROW(IN, ACC, IMM, 8, B),
	[0xe5] = ROW(IN, ACC, IMM, 8, 0),
	[0xe6] = ROW(OUT, IMM, ACC, 8, B),
	[0xe7] = ROW(OUT, IMM, ACC, 8, 0),
	[0xe8] = ROW(CALL, NONE, IMM, Z, D64),
	[0xe9] = ROW(JMP, NONE, IMM, Z, D64),
	[0xea] = ROW(JMPF, NONE, IMM, PTR, NO64),
	[0xeb] = ROW(JMP, NONE, IMM, 8, D64),
	[0xec] = ROW(IN, ACC, DX, NONE, B),
	[0xed] = ROW(IN, ACC, DX, NONE, 0),
	[0xee] = ROW(OUT, DX, ACC, NONE, B),
	[0xef] = ROW(OUT, DX, ACC, NONE, 0),
	[0xf1] = PLAIN(INT1, 0),
	[0xf4] = PLAIN(HLT, P0),
	[0xf5] = PLAIN(CMC, 0),
	[0xf6] = GROUP(3, RM, NONE, NONE, B),
	[0xf7] = GROUP(3, RM, NONE, NONE, 0),
	[0xf8] = PLAIN(CLC, 0),
	[0xf9] = PLAIN(STC, 0),
	[0xfa] = PLAIN(CLI, 0),
	[0xfb] = PLAIN(STI, 0),
	[0xfc] = PLAIN(CLD, 0),
	[0xfd] = PLAIN(STD, 0),
	[0xfe] = GROUP(4, RM, NONE, NONE, B),
	[0xff] = GROUP(5, RM, NONE, NONE, 0),
};

const struct decode_row decode_two[256] = {
	[0x00] = GROUP(6, RM, NONE, NONE, 0),
	[0x01] = GROUP(7, RM, NONE, NONE, 0),
	[0x02] = ROW(LAR, REG, RM, NONE, M | D_PE),
	[0x03] = ROW(LSL, REG, RM, NONE, M | D_PE),
	[0x05] = PLAIN(SYSCALL, 0),
	[0x06] = PLAIN(CLTS, P0),
	[0x07] = ABSENT,
	[0x08] = PLAIN(WBINVD, P0),
	[0x09] = PLAIN(WBINVD, P0),
	[0x0d] = ROW(NOP, NONE, NONE, NONE, M | MEM),
	[0x10 ... 0x17] = ABSENT_M, /* vector moves: decode_vectors */
	[0x18 ... 0x1f] = ROW(NOP, NONE, NONE, NONE, M),
	[0x20] = ROW(MOV_CR, RM, NONE, NONE, M | D_REGISTER | P0),
	[0x21] = ROW(MOV_DR, RM, NONE, NONE, M | D_REGISTER | P0),
	[0x22] = ROW(MOV_CR, NONE, RM, NONE, M | D_REGISTER | P0),
	[0x23] = ROW(MOV_DR, NONE, RM, NONE, M | D_REGISTER | P0),
	[0x28 ... 0x2f] = ABSENT_M,
	[0x30] = PLAIN(WRMSR, P0),
	[0x31] = PLAIN(RDTSC, 0),
	[0x32] = PLAIN(RDMSR, P0),
	[0x33] = PLAIN(RDPMC, 0),
	[0x34] = ABSENT,
	[0x35] = ABSENT,
	[0x40 ... 0x4f] = ROW(CMOV, REG, RM, NONE, M),
	[0x50 ... 0x5f] = ABSENT_M,
	[0x60 ... 0x6f] = ABSENT_M,
	[0x70 ... 0x76] = ABSENT_M,
	[0x77] = ABSENT,
	[0x78 ... 0x7f] = ABSENT_M,
	[0x80 ... 0x8f] = ROW(JCC, NONE, IMM, Z, D64),
	[0x90 ... 0x9f] = ROW(SETCC, RM, NONE, NONE, M | B),
	[0xa0] = PLAIN(PUSH_SEG, D64),
	[0xa1] = PLAIN(POP_SEG, D64),
	[0xa2] = PLAIN(CPUID, 0),
	[0xa3] = ROW(BT, RM, REG, NONE, M),
	[0xa4] = ROW(SHLD, RM, IMM, 8, M),
	[0xa5] = ROW(SHLD, RM, CL, NONE, M),
	[0xa8] = PLAIN(PUSH_SEG, D64),
	[0xa9] = PLAIN(POP_SEG, D64),
	[0xaa] = ABSENT,
	[0xab] = ROW(BTS, RM, REG, NONE, M | LK),
	[0xac] = ROW(SHRD, RM, IMM, 8, M),
	[0xad] = ROW(SHRD, RM, CL, NONE, M),
	[0xae] = GROUP(15, NONE, NONE, NONE, 0),
	[0xaf] = ROW(IMUL2, REG, RM, NONE, M),
	[0xb0] = ROW(CMPXCHG, RM, REG, NONE, M | B | LK),
	[0xb1] = ROW(CMPXCHG, RM, REG, NONE, M | LK),
	[0xb2] = ROW(LOAD_FAR, REG, RM, NONE, M | MEM),
	[0xb3] = ROW(BTR, RM, REG, NONE, M | LK),
	[0xb4] = ROW(LOAD_FAR, REG, RM, NONE, M | MEM),
	[0xb5] = ROW(LOAD_FAR, REG, RM, NONE, M | MEM),
	[0xb6] = ROW(MOVZX8, REG, RM, NONE, M),
	[0xb7] = ROW(MOVZX16, REG, RM, NONE, M),
	[0xb8] = ROW(POPCNT, REG, RM, NONE, M),
	[0xba] = GROUP(8, RM, IMM, 8, 0),
	[0xbb] = ROW(BTC, RM, REG, NONE, M | LK),
	[0xbc] = ROW(BSF, REG, RM, NONE, M),
	[0xbd] = ROW(BSR, REG, RM, NONE, M),
	[0xbe] = ROW(MOVSX8, REG, RM, NONE, M),
	[0xbf] = ROW(MOVSX16, REG, RM, NONE, M),
	[0xc0] = ROW(XADD, RM, REG, NONE, M | B | LK),
	[0xc1] = ROW(XADD, RM, REG, NONE, M | LK),
	[0xc2] = ROW(OTHER, NONE, NONE, 8, M),
	[0xc3] = ROW(MOVNTI, RM, REG, NONE, M | MEM),
	[0xc4] = ROW(OTHER, NONE, NONE, 8, M),
	[0xc5] = ROW(OTHER, NONE, NONE, 8, M),
	[0xc6] = ROW(OTHER, NONE, NONE, 8, M),
	[0xc7] = GROUP(9, RM, NONE, NONE, 0),
	[0xc8 ... 0xcf] = ROW(BSWAP, OPREG, NONE, NONE, 0),
	[0xd0 ... 0xdf] = ABSENT_M,
	[0xe0 ... 0xef] = ABSENT_M,
	[0xf0 ... 0xf7] = ABSENT_M,
	[0xf8 ... 0xfe] = ABSENT_M,
	[0xff] = PLAIN(UD, M),
};

/* What a group's row leaves open comes from the opcode's. */
#define G(op, flags) ROW(op, NONE, NONE, NONE, flags)

const struct decode_row decode_groups[G_COUNT][8] = {
	[G_1] = { G(ADD, LK), G(OR, LK), G(ADC, LK), G(SBB, LK), G(AND, LK),
	    G(SUB, LK), G(XOR, LK), G(CMP, 0) },
	[G_1A] = { G(POP, 0) },
	[G_2] = { G(ROL, 0), G(ROR, 0), G(RCL, 0), G(RCR, 0), G(SHL, 0),
	    G(SHR, 0), G(SHL, 0), G(SAR, 0) },
	[G_3] = { ROW(TEST, NONE, IMM, BZ, 0), ROW(TEST, NONE, IMM, BZ, 0),
	    G(NOT, LK), G(NEG, LK), G(MUL, 0), G(IMUL1, 0), G(DIV, 0),
	    G(IDIV, 0) },
	[G_4] = { G(INC, LK), G(DEC, LK) },
	[G_5] = { G(INC, LK), G(DEC, LK), G(CALL_IND, D64), G(CALLF_IND, MEM),
	    G(JMP_IND, D64), G(JMPF_IND, MEM), G(PUSH, D64) },
	[G_6] = { G(SLDT, D_PE), G(STR, D_PE), G(LLDT, D_PE | P0),
	    G(LTR, D_PE | P0), G(VERR, D_PE), G(VERW, D_PE) },
	/* Those with a register that are not SMSW, LMSW: decode.c. */
	[G_7] = { G(SGDT, MEM), G(SIDT, MEM), G(LGDT, MEM | P0),
	    G(LIDT, MEM | P0), G(SMSW, 0), G(UD, 0), G(LMSW, P0),
	    G(INVLPG, MEM | P0) },
	[G_8] = { G(UD, 0), G(UD, 0), G(UD, 0), G(UD, 0), G(BT, 0), G(BTS, LK),
	    G(BTR, LK), G(BTC, LK) },
	[G_9] = { G(UD, 0), G(CMPXCHG16B, MEM | LK), G(UD, 0), G(OTHER, 0),
	    G(OTHER, 0), G(OTHER, 0), G(OTHER, 0), G(OTHER, 0) },
	[G_11] = { G(MOV, 0) },
	[G_15] = { G(OTHER, 0), G(OTHER, 0), G(OTHER, 0), G(OTHER, 0),
	    G(OTHER, 0), G(OTHER, 0), G(OTHER, 0), G(OTHER, 0) },
};

#define V(map, prefix, opcode, op, vec, bytes, flags)                \
	{                                                            \
		map, prefix, opcode, OP_V##op, V_##vec, bytes, flags \
	}

/* APM vol. 4 "Instruction Reference"; bytes 0: the vector length. */
const struct decode_vrow decode_vectors[] = {
	V(1, 0x00, 0x10, LOAD, FULL, 0, 0), /* MOVUPS */
	V(1, 0x66, 0x10, LOAD, FULL, 0, 0), /* MOVUPD */
	V(1, 0xf3, 0x10, LOAD, LOW, 4, VF_MEM), /* MOVSS */
	V(1, 0xf3, 0x10, LOAD, MERGE, 4, VF_REG | VF_NDS),
	V(1, 0xf2, 0x10, LOAD, LOW, 8, VF_MEM), /* MOVSD */
	V(1, 0xf2, 0x10, LOAD, MERGE, 8, VF_REG | VF_NDS),
	V(1, 0x00, 0x11, STORE, FULL, 0, 0),
	V(1, 0x66, 0x11, STORE, FULL, 0, 0),
	V(1, 0xf3, 0x11, STORE, LOW, 4, VF_MEM),
	V(1, 0xf3, 0x11, STORE, MERGE, 4, VF_REG | VF_NDS),
	V(1, 0xf2, 0x11, STORE, LOW, 8, VF_MEM),
	V(1, 0xf2, 0x11, STORE, MERGE, 8, VF_REG | VF_NDS),
	V(1, 0x00, 0x12, LOAD, MERGE, 8, VF_MEM | VF_NDS | VF_L0), /* MOVLPS */
	V(1, 0x66, 0x12, LOAD, MERGE, 8, VF_MEM | VF_NDS | VF_L0), /* MOVLPD */
	V(1, 0x00, 0x13, STORE, LOW, 8, VF_MEM | VF_L0),
	V(1, 0x66, 0x13, STORE, LOW, 8, VF_MEM | VF_L0),
	V(1, 0x00, 0x16, LOAD, HIGH, 8, VF_MEM | VF_NDS | VF_L0), /* MOVHPS */
	V(1, 0x66, 0x16, LOAD, HIGH, 8, VF_MEM | VF_NDS | VF_L0), /* MOVHPD */
	V(1, 0x00, 0x17, STORE, HIGH, 8, VF_MEM | VF_L0),
	V(1, 0x66, 0x17, STORE, HIGH, 8, VF_MEM | VF_L0),
	V(1, 0x00, 0x28, LOAD, FULL, 0, VF_ALIGN), /* MOVAPS */
	V(1, 0x66, 0x28, LOAD, FULL, 0, VF_ALIGN), /* MOVAPD */
	V(1, 0x00, 0x29, STORE, FULL, 0, VF_ALIGN),
	V(1, 0x66, 0x29, STORE, FULL, 0, VF_ALIGN),
	V(1, 0x00, 0x2b, STORE, FULL, 0, VF_MEM | VF_ALIGN), /* MOVNTPS */
	V(1, 0x66, 0x2b, STORE, FULL, 0, VF_MEM | VF_ALIGN), /* MOVNTPD */
	V(1, 0x66, 0x6e, LOAD, LOW, 0, VF_GPR | VF_L0), /* MOVD, MOVQ */
	V(1, 0x66, 0x6f, LOAD, FULL, 0, VF_ALIGN), /* MOVDQA */
	V(1, 0xf3, 0x6f, LOAD, FULL, 0, 0), /* MOVDQU */
	V(1, 0x66, 0x7e, STORE, LOW, 0, VF_GPR | VF_L0), /* MOVD, MOVQ */
	V(1, 0xf3, 0x7e, LOAD, LOW, 8, VF_L0), /* MOVQ */
	V(1, 0x66, 0x7f, STORE, FULL, 0, VF_ALIGN),
	V(1, 0xf3, 0x7f, STORE, FULL, 0, 0),
	V(1, 0x66, 0xd6, STORE, LOW, 8, VF_L0), /* MOVQ */
	V(1, 0x66, 0xe7, STORE, FULL, 0, VF_MEM | VF_ALIGN), /* MOVNTDQ */
	V(1, 0xf2, 0xf0, LOAD, FULL, 0, VF_MEM), /* LDDQU */
	V(2, 0x66, 0x2a, LOAD, FULL, 0, VF_MEM | VF_ALIGN), /* MOVNTDQA */
};
const unsigned decode_nvectors =
    sizeof(decode_vectors) / sizeof(decode_vectors[0]);
