// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The emulator where a process cannot run the instruction itself: real and
 * virtual-8086 mode, privileged instructions, descriptors, ports, devices.
 * A row is an instruction, the state before it and what it changes; whatever
 * a row does not name must stay as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "emul_machine.h"
#include "x86.h"

struct value {
	enum reg reg;
	u64 v;
};

struct bytes {
	u32 at;
	u8 len; /* 0: end */
	u64 v;
};

struct row {
	const char *name;
	enum mode mode;
	const char *code;
	u8 len;
	struct value in[8];
	struct bytes mem[6];
	enum emul_result result;
	struct value out[8];
	struct bytes mem_out[6];
	struct access access[8];
	u8 vector; /* with EMUL_FAULT ... */
	u32 error;
	bool has_error;
	bool shadow;
};
#define C(s)	 .code = s, .len = sizeof(s) - 1
#define FAULT(v) .result = EMUL_FAULT, .vector = (v)
#define FAULT_CODE(v, e) \
	.result = EMUL_FAULT, .vector = (v), .error = (e), .has_error = true

static const struct row rows[] = {
	/* --- Real mode. --- */
	{ "far jump", REAL, C("\xea\x34\x12\x00\x20"),
	    .out = { { CS, 0x2000 }, { CS_BASE, 0x20000 }, { RIP, 0x1234 } } },
	{ "far jump, 32-bit offset beyond the limit", REAL,
	    C("\x66\xea\x00\x00\x01\x00\x00\x20"), FAULT(X86_GP) },
	{ "far jump through memory", REAL, C("\xff\x2e\x00\x05"),
	    .mem = { { 0x500, 4, 0x30000042 } },
	    .out = { { CS, 0x3000 }, { CS_BASE, 0x30000 }, { RIP, 0x42 } } },
	{ "far call", REAL, C("\x9a\x34\x12\x00\x20"),
	    .out = { { CS, 0x2000 }, { CS_BASE, 0x20000 }, { RIP, 0x1234 },
		{ RSP, 0x6ffc } },
	    .mem_out = { { 0x6ffc, 4, 0x10000105 } } },
	{ "far call wraps the stack", REAL, C("\x9a\x34\x12\x00\x20"),
	    .in = { { RSP, 2 } },
	    .out = { { CS, 0x2000 }, { CS_BASE, 0x20000 }, { RIP, 0x1234 },
		{ RSP, 0xfffe } },
	    .mem_out = { { 0, 2, 0x1000 }, { 0xfffe, 2, 0x105 } } },
	{ "push at an odd end of the stack", REAL, C("\x50"),
	    .in = { { RSP, 1 } }, FAULT(X86_SS) },
	{ "far return", REAL, C("\xca\x04\x00"),
	    .mem = { { 0x7000, 4, 0x20001234 } },
	    .out = { { CS, 0x2000 }, { CS_BASE, 0x20000 }, { RIP, 0x1234 },
		{ RSP, 0x7008 } } },
	{ "INT", REAL, C("\xcd\x10"), .in = { { FLAGS, 0x46301 | 2 } },
	    .mem = { { 0x40, 4, 0xf0001234 } },
	    .out = { { CS, 0xf000 }, { CS_BASE, 0xf0000 }, { RIP, 0x1234 },
		{ RSP, 0x6ffa }, { FLAGS, 0x6003 } },
	    .mem_out = { { 0x6ffa, 4, 0x10000102 }, { 0x6ffe, 2, 0x6303 } } },
	{ "INT beyond the table", REAL, C("\xcd\x10"),
	    .in = { { IDT_LIMIT, 0x42 } }, FAULT(X86_GP) },
	{ "INT3", REAL, C("\xcc"), .mem = { { 0x0c, 4, 0x20000010 } },
	    .out = { { CS, 0x2000 }, { CS_BASE, 0x20000 }, { RIP, 0x10 },
		{ RSP, 0x6ffa } },
	    .mem_out = { { 0x6ffa, 4, 0x10000101 }, { 0x6ffe, 2, 2 } } },
	{ "INTO without overflow", REAL, C("\xce") },
	{ "INTO", REAL, C("\xce"), .in = { { FLAGS, 0x802 } },
	    .mem = { { 0x10, 4, 0x20000010 } },
	    .out = { { CS, 0x2000 }, { CS_BASE, 0x20000 }, { RIP, 0x10 },
		{ RSP, 0x6ffa } },
	    .mem_out = { { 0x6ffa, 4, 0x10000101 }, { 0x6ffe, 2, 0x802 } } },
	{ "IRET", REAL, C("\xcf"),
	    .mem = { { 0x7000, 4, 0x20001234 }, { 0x7004, 2, 0x3257 } },
	    .out = { { CS, 0x2000 }, { CS_BASE, 0x20000 }, { RIP, 0x1234 },
		{ RSP, 0x7006 }, { FLAGS, 0x3257 } } },
	{ "IRETD", REAL, C("\x66\xcf"),
	    .mem = { { 0x7000, 8, 0x200000001234 }, { 0x7008, 4, 0x40202 } },
	    .out = { { CS, 0x2000 }, { CS_BASE, 0x20000 }, { RIP, 0x1234 },
		{ RSP, 0x700c }, { FLAGS, 0x40202 } } },
	{ "MOV to DS", REAL, C("\x8e\xd8"), .in = { { RAX, 0x1234 } },
	    .out = { { DS, 0x1234 }, { DS_BASE, 0x12340 } } },
	{ "MOV to SS holds interrupts", REAL, C("\x8e\xd0"),
	    .in = { { RAX, 0x1234 } }, .out = { { SS, 0x1234 } },
	    .shadow = true },
	{ "MOV to CS", REAL, C("\x8e\xc8"), FAULT(X86_UD) },
	{ "MOV from a register that is none", REAL, C("\x8c\xf0"),
	    FAULT(X86_UD) },
	{ "POP ES", REAL, C("\x07"), .mem = { { 0x7000, 2, 0xb800 } },
	    .out = { { ES, 0xb800 }, { ES_BASE, 0xb8000 }, { RSP, 0x7002 } } },
	{ "LES", REAL, C("\xc4\x1e\x00\x05"),
	    .mem = { { 0x500, 4, 0x40001111 } },
	    .out = { { ES, 0x4000 }, { ES_BASE, 0x40000 }, { RBX, 0x1111 } } },
	{ "LDS with a register", REAL, C("\xc5\xc0"), .result = EMUL_FAULT,
	    .vector = X86_UD },
	{ "read at the end of the segment", REAL, C("\xa1\xfe\xff"),
	    .mem = { { 0xfffe, 2, 0x4321 } }, .out = { { RAX, 0x4321 } } },
	{ "read across the end of the segment", REAL, C("\xa1\xff\xff"),
	    FAULT(X86_GP) },
	{ "big real mode", REAL, C("\x67\x66\xa1\x00\x00\x01\x00"),
	    .in = { { DS_LIMIT, 0xffffffff } },
	    .mem = { { 0x10000, 4, 0x55667788 } },
	    .out = { { RAX, 0x55667788 } } },
	{ "FNINIT", REAL, C("\xdb\xe3") },
	{ "FNINIT without", REAL, C("\xdb\xe3"), .in = { { CR0, 0x14 } },
	    FAULT(X86_NM) },
	{ "FNSTSW", REAL, C("\xdf\xe0"), .in = { { RAX, 0x12345678 } },
	    .out = { { RAX, 0x12343800 } } },
	{ "FNSTSW to memory", REAL, C("\xdd\x3e\x00\x05"),
	    .mem_out = { { 0x500, 2, 0x3800 } } },
	{ "FNSTCW to memory", REAL, C("\xd9\x3e\x00\x05"),
	    .mem_out = { { 0x500, 2, 0x37f } } },
	{ "FLDCW", REAL, C("\xd9\x2e\x00\x05"), .result = EMUL_UNHANDLED },
	{ "RDTSC", REAL, C("\x0f\x31"),
	    .out = { { RAX, 0x55667788 }, { RDX, 0x11223344 } } },
	{ "LLDT", REAL, C("\x0f\x00\xd0"), FAULT(X86_UD) },
	{ "ARPL", REAL, C("\x63\xc0"), FAULT(X86_UD) },
	{ "LGDT, 24 bits of base", REAL, C("\x0f\x01\x16\x00\x05"),
	    .mem = { { 0x500, 6, 0xff1234560027 } },
	    .out = { { GDT_BASE, 0x123456 }, { GDT_LIMIT, 0x27 } } },
	{ "LIDT, 32 bits of base", REAL, C("\x66\x0f\x01\x1e\x00\x05"),
	    .mem = { { 0x500, 6, 0xff1234560027 } },
	    .out = { { IDT_BASE, 0xff123456 }, { IDT_LIMIT, 0x27 } } },
	{ "SGDT", REAL, C("\x0f\x01\x06\x00\x05"),
	    .mem_out = { { 0x500, 2, 0x7f }, { 0x502, 4, GDT } } },
	{ "LMSW sets PE", REAL, C("\x0f\x01\xf0"), .in = { { RAX, 0xfff1 } },
	    .out = { { CR0, 0x11 } } },
	{ "LMSW does not clear PE", PROT32, C("\x0f\x01\xf0"),
	    .in = { { RAX, 0xfff0 } }, .out = { { CR0, 0x11 } } },
	{ "SMSW", REAL, C("\x0f\x01\xe0"), .in = { { RAX, 0xffffffff } },
	    .out = { { RAX, 0xffff0010 } } },
	{ "MOV to CR0", REAL, C("\x0f\x22\xc0"), .in = { { RAX, 0x11 } },
	    .out = { { CR0, 0x11 } } },
	{ "CLI", REAL, C("\xfa"), .in = { { FLAGS, 0x202 } },
	    .out = { { FLAGS, 2 } } },
	{ "STI holds interrupts", REAL, C("\xfb"), .out = { { FLAGS, 0x202 } },
	    .shadow = true },
	{ "STI again does not", REAL, C("\xfb"), .in = { { FLAGS, 0x202 } } },
	{ "HLT", REAL, C("\xf4"), .result = EMUL_HLT },
	{ "PUSHFD", REAL, C("\x66\x9c"), .in = { { FLAGS, 0x50202 } },
	    .out = { { RSP, 0x6ffc }, { FLAGS, 0x40202 } },
	    .mem_out = { { 0x6ffc, 4, 0x40202 } } },
	{ "short jump back", REAL, C("\xeb\x80"), .out = { { RIP, 0x82 } } },
	{ "relative jump wraps", REAL, C("\xe9\x00\xff"),
	    .out = { { RIP, 3 } } },
	{ "CPUID", REAL, C("\x0f\xa2"), .in = { { RAX, 7 }, { RCX, 1 } },
	    .out = { { RAX, 8 }, { RBX, 0xb }, { RCX, 2 }, { RDX, 0xd } } },
	{ "RDMSR", REAL, C("\x0f\x32"), .in = { { RCX, 0x1b } },
	    .out = { { RAX, 0x5678001b }, { RDX, 0x1234 } } },
	{ "RDMSR of none", REAL, C("\x0f\x32"), .in = { { RCX, 0xbad } },
	    FAULT(X86_GP) },
	{ "WRMSR", REAL, C("\x0f\x30"),
	    .in = { { RCX, 0x1b }, { RAX, 5 }, { RDX, 6 } },
	    .access = { { 'm', 0x1b, 8, 0x600000005 } } },

	/* --- Virtual-8086 mode. --- */
	{ "CLI, IOPL 0", V86, C("\xfa"), FAULT_CODE(X86_GP, 0) },
	{ "CLI, IOPL 3", V86, C("\xfa"), .in = { { FLAGS, 0x23202 } },
	    .out = { { FLAGS, 0x23002 } } },
	{ "PUSHF, IOPL 0", V86, C("\x9c"), FAULT_CODE(X86_GP, 0) },
	{ "POPF keeps IOPL", V86, C("\x9d"), .in = { { FLAGS, 0x23002 } },
	    .mem = { { 0x7000, 2, 0x0202 } },
	    .out = { { RSP, 0x7002 }, { FLAGS, 0x23202 } } },
	{ "HLT", V86, C("\xf4"), FAULT_CODE(X86_GP, 0) },
	{ "MOV to DS", V86, C("\x8e\xd8"), .in = { { RAX, 0x1234 } },
	    .out = { { DS, 0x1234 }, { DS_BASE, 0x12340 } } },
	{ "SLDT", V86, C("\x0f\x00\xc0"), FAULT(X86_UD) },
	{ "IN looks at the bitmap", V86, C("\xe4\x21"),
	    .in = { { FLAGS, 0x23002 } }, .mem = { { TSS + 0x66, 2, 0xffff } },
	    FAULT_CODE(X86_GP, 0) },

	/* --- Descriptors. --- */
	{ "MOV to DS sets accessed", PROT32, C("\x8e\xd8"),
	    .in = { { RAX, 0x2b } },
	    .out = { { DS, 0x2b }, { DS_ATTR, 0xcf3 } },
	    .mem_out = { { GDT + 0x2d, 1, 0xf3 } } },
	{ "MOV null to DS", PROT32, C("\x8e\xd8"), .in = { { RAX, 3 } },
	    .out = { { DS, 3 }, { DS_ATTR, 0 }, { DS_LIMIT, 0 } } },
	{ "reading through null", PROT32, C("\xa1\x00\x05\x00\x00"),
	    .in = { { DS_ATTR, 0 } }, FAULT_CODE(X86_GP, 0) },
	{ "MOV null to SS", PROT32, C("\x8e\xd0"), .in = { { RAX, 0 } },
	    FAULT_CODE(X86_GP, 0) },
	{ "MOV null to SS in 64-bit code", LONG64, C("\x8e\xd0"),
	    .in = { { RAX, 0 } }, .out = { { SS, 0 } }, .shadow = true },
	{ "MOV to DS beyond the table", PROT32, C("\x8e\xd8"),
	    .in = { { RAX, 0x80 } }, FAULT_CODE(X86_GP, 0x80) },
	{ "MOV to DS, not present", PROT32, C("\x8e\xd8"),
	    .in = { { RAX, 0x48 } }, FAULT_CODE(X86_NP, 0x48) },
	{ "MOV to SS, not present", PROT32, C("\x8e\xd0"),
	    .in = { { RAX, 0x48 } }, FAULT_CODE(X86_SS, 0x48) },
	{ "MOV to DS, execute only", PROT32, C("\x8e\xd8"),
	    .in = { { RAX, 0x50 } }, FAULT_CODE(X86_GP, 0x50) },
	{ "MOV to SS of another level", PROT32, C("\x8e\xd0"),
	    .in = { { RAX, 0x2b } }, FAULT_CODE(X86_GP, 0x28) },
	{ "MOV to DS of a system segment", PROT32, C("\x8e\xd8"),
	    .in = { { RAX, 0x38 } }, FAULT_CODE(X86_GP, 0x38) },
	{ "MOV to DS from user level", USER32, C("\x8e\xd8"),
	    .in = { { RAX, 0x13 } }, FAULT_CODE(X86_GP, 0x10) },
	{ "MOV to DS of conforming code", USER32, C("\x8e\xd8"),
	    .in = { { RAX, 0x5b } },
	    .out = { { DS, 0x5b }, { DS_ATTR, 0xc9f } },
	    .mem_out = { { GDT + 0x5d, 1, 0x9f } } },
	{ "MOV to DS from the LDT", PROT32, C("\x8e\xd8"),
	    .in = { { RAX, 0x0c } },
	    .out = { { DS, 0x0c }, { DS_BASE, 0x3000 }, { DS_LIMIT, 0xfff },
		{ DS_ATTR, 0x493 } } },
	{ "MOV to DS beyond the LDT", PROT32, C("\x8e\xd8"),
	    .in = { { RAX, 0x1c } }, FAULT_CODE(X86_GP, 0x1c) },
	{ "write through code", PROT32, C("\x2e\xa3\x00\x05\x00\x00"),
	    FAULT_CODE(X86_GP, 0) },
	{ "far jump", PROT32, C("\xea\x00\x00\x00\x00\x18\x00"),
	    .out = { { CS, 0x18 }, { CS_BASE, 0x10000 }, { RIP, 0 } } },
	{ "far jump to data", PROT32, C("\xea\x00\x00\x00\x00\x10\x00"),
	    FAULT_CODE(X86_GP, 0x10) },
	{ "far jump to null", PROT32, C("\xea\x00\x00\x00\x00\x03\x00"),
	    FAULT_CODE(X86_GP, 0) },
	{ "far jump, not present", PROT32, C("\xea\x00\x00\x00\x00\x78\x00"),
	    FAULT_CODE(X86_NP, 0x78) },
	{ "far jump to user code", PROT32, C("\xea\x00\x00\x00\x00\x33\x00"),
	    FAULT_CODE(X86_GP, 0x30) },
	{ "far jump beyond the limit", PROT32,
	    C("\xea\x00\x00\x01\x00\x18\x00"), FAULT_CODE(X86_GP, 0) },
	{ "far jump through a gate", PROT32, C("\xea\x00\x00\x00\x00\x60\x00"),
	    .result = EMUL_UNHANDLED },
	{ "far jump to conforming code keeps the level", USER32,
	    C("\xea\x00\x10\x00\x00\x58\x00"),
	    .out = { { CS, 0x5b }, { RIP, 0x1000 } },
	    .mem_out = { { GDT + 0x5d, 1, 0x9f } } },
	{ "far return to an inner level", USER32, C("\xcb"),
	    .mem = { { 0x7000, 8, 0x0800000000 } }, FAULT_CODE(X86_GP, 8) },
	{ "far jump to compatibility mode", LONG64,
	    C("\xff\x2c\x25\x00\x05\x00\x00"),
	    .mem = { { 0x500, 6, 0x08fffffff0 } },
	    .out = { { CS, 8 }, { RIP, 0xfffffff0 } } },
	{ "LLDT", PROT32, C("\x0f\x00\xd0"), .in = { { RAX, 0x40 } },
	    .out = { { LDTR, 0x40 } } },
	{ "LLDT null", PROT32, C("\x0f\x00\xd0"), .in = { { RAX, 0 } },
	    .out = { { LDTR, 0 } } },
	{ "LLDT of a TSS", PROT32, C("\x0f\x00\xd0"), .in = { { RAX, 0x38 } },
	    FAULT_CODE(X86_GP, 0x38) },
	{ "LLDT from user level", USER32, C("\x0f\x00\xd0"),
	    FAULT_CODE(X86_GP, 0) },
	{ "LTR sets busy", PROT32, C("\x0f\x00\xd8"), .in = { { RAX, 0x38 } },
	    .out = { { TR, 0x38 } }, .mem_out = { { GDT + 0x3d, 1, 0x8b } } },
	{ "LTR null", PROT32, C("\x0f\x00\xd8"), FAULT_CODE(X86_GP, 0) },
	{ "LTR of 16 bytes", LONG64, C("\x0f\x00\xd8"), .in = { { RAX, 0x38 } },
	    .mem = { { GDT + 0x40, 8, 0xffff8000 } },
	    .out = { { TR, 0x38 }, { TR_BASE, 0xffff800000009000 } },
	    .mem_out = { { GDT + 0x3d, 1, 0x8b } } },
	{ "STR", PROT32, C("\x0f\x00\xc8"), .in = { { RAX, 0xffffffff } },
	    .out = { { RAX, 0x88 } } },
	{ "SLDT to memory", PROT32, C("\x0f\x00\x05\x00\x05\x00\x00"),
	    .mem = { { 0x500, 4, 0xffffffff } },
	    .mem_out = { { 0x500, 4, 0xffff0080 } } },
	{ "SLDT under UMIP", USER32, C("\x0f\x00\xc0"),
	    .in = { { CR4, X86_CR4_UMIP } }, FAULT_CODE(X86_GP, 0) },
	{ "LAR", PROT32, C("\x0f\x02\xc3"), .in = { { RBX, 0x2b } },
	    .out = { { RAX, 0xcff200 }, { FLAGS, 0x42 } } },
	{ "LAR of what is hidden", USER32, C("\x0f\x02\xc3"),
	    .in = { { RBX, 0x10 }, { FLAGS, 0x42 } }, .out = { { FLAGS, 2 } } },
	{ "LSL", PROT32, C("\x0f\x03\xc3"), .in = { { RBX, 0x2b } },
	    .out = { { RAX, 0xffffffff }, { FLAGS, 0x42 } } },
	{ "LSL of a gate", PROT32, C("\x0f\x03\xc3"),
	    .in = { { RBX, 0x60 }, { FLAGS, 0x42 } }, .out = { { FLAGS, 2 } } },
	{ "VERR", PROT32, C("\x0f\x00\xe0"), .in = { { RAX, 0x08 } },
	    .out = { { FLAGS, 0x42 } } },
	{ "VERW of code", PROT32, C("\x0f\x00\xe8"),
	    .in = { { RAX, 0x08 }, { FLAGS, 0x42 } }, .out = { { FLAGS, 2 } } },
	{ "ARPL raises", PROT32, C("\x63\xd8"),
	    .in = { { RAX, 0x10 }, { RBX, 3 } },
	    .out = { { RAX, 0x13 }, { FLAGS, 0x42 } } },
	{ "INT is the caller's", PROT32, C("\xcd\x80"),
	    .result = EMUL_UNHANDLED },

	/* --- System registers. --- */
	{ "MOV from CR2", LONG64, C("\x0f\x20\xd0"),
	    .in = { { CR2, 0x123456789abc } },
	    .out = { { RAX, 0x123456789abc } } },
	{ "MOV to CR8", LONG64, C("\x44\x0f\x22\xc0"), .in = { { RAX, 5 } },
	    .out = { { CR8, 5 } } },
	{ "MOV to CR8 with LOCK", PROT32, C("\xf0\x0f\x22\xc0"),
	    .in = { { RAX, 5 } }, .out = { { CR8, 5 } } },
	{ "MOV to CR4 that is refused", PROT32, C("\x0f\x22\xe0"),
	    .in = { { RAX, 0xffffffff } }, FAULT_CODE(X86_GP, 0) },
	{ "MOV to CR1", PROT32, C("\x0f\x22\xc8"), FAULT(X86_UD) },
	{ "MOV to CR0 from user level", USER32, C("\x0f\x22\xc0"),
	    FAULT_CODE(X86_GP, 0) },
	{ "CLTS", PROT32, C("\x0f\x06"), .in = { { CR0, 0x19 } },
	    .out = { { CR0, 0x11 } } },
	{ "MOV to DR0", LONG64, C("\x0f\x23\xc0"),
	    .in = { { RAX, 0x1234567890 } }, .out = { { DR0, 0x1234567890 } } },
	{ "MOV to DR4 is DR6", PROT32, C("\x0f\x23\xe0"),
	    .in = { { RAX, 0xf } }, .out = { { DR6, 0xffff0fff } } },
	{ "MOV to DR4 with DE", PROT32, C("\x0f\x23\xe0"),
	    .in = { { CR4, X86_CR4_DE } }, FAULT(X86_UD) },
	{ "MOV to DR7, upper half", LONG64, C("\x0f\x23\xf8"),
	    .in = { { RAX, 0x100000000 } }, FAULT_CODE(X86_GP, 0) },
	{ "MOV from DR0, guarded", PROT32, C("\x0f\x21\xc0"),
	    .in = { { DR7, 0x2400 } }, FAULT(X86_DB),
	    .out = { { DR6, 0xffff2ff0 }, { DR7, 0x400 } } },
	{ "SWAPGS", LONG64, C("\x0f\x01\xf8"),
	    .in = { { KERNEL_GS, 0x1111 }, { GS_BASE, 0x2222 } },
	    .out = { { KERNEL_GS, 0x2222 }, { GS_BASE, 0x1111 } } },
	{ "SWAPGS in 32-bit code", PROT32, C("\x0f\x01\xf8"), FAULT(X86_UD) },
	{ "LGDT, not canonical", LONG64, C("\x0f\x01\x14\x25\x00\x05\x00\x00"),
	    .mem = { { 0x500, 2, 0x27 }, { 0x502, 8, 1ULL << 63 } },
	    FAULT_CODE(X86_GP, 0) },
	{ "SIDT in 64-bit code", LONG64, C("\x0f\x01\x0c\x25\x00\x05\x00\x00"),
	    .in = { { IDT_BASE, 0xffff800012345678 } },
	    .mem_out = { { 0x500, 2, 0x3ff },
		{ 0x502, 8, 0xffff800012345678 } } },
	{ "STAC without SMAP", PROT32, C("\x0f\x01\xcb"), FAULT(X86_UD) },
	{ "STAC", PROT32, C("\x0f\x01\xcb"), .in = { { CR4, X86_CR4_SMAP } },
	    .out = { { FLAGS, 0x40002 } } },
	{ "INVLPG", LONG64, C("\x0f\x01\x38"), .in = { { RAX, 0x12345 } },
	    .access = { { 'p', 0x12345, 0, 0 } } },
	{ "INVLPG, not canonical", LONG64, C("\x0f\x01\x38"),
	    .in = { { RAX, 1ULL << 62 } } },
	{ "WBINVD", PROT32, C("\x0f\x09") },
	{ "WBINVD from user level", USER32, C("\x0f\x09"),
	    FAULT_CODE(X86_GP, 0) },
	{ "SSE without OSFXSR", PROT32, C("\x0f\x10\x05\x00\x05\x00\x00"),
	    FAULT(X86_UD) },
	{ "SSE with TS", PROT32, C("\x0f\x10\x05\x00\x05\x00\x00"),
	    .in = { { CR4, X86_CR4_OSFXSR }, { CR0, 0x19 } }, FAULT(X86_NM) },
	{ "AVX that is off", PROT32, C("\xc5\xf8\x10\x05\x00\x05\x00\x00"),
	    FAULT(X86_UD) },

	/* --- Ports. --- */
	{ "IN AL", REAL, C("\xe4\x71"), .in = { { RAX, 0x12345678 } },
	    .out = { { RAX, 0x12345671 } }, .access = { { 'i', 0x71, 1, 0 } } },
	{ "IN EAX clears the upper half", LONG64, C("\xed"),
	    .in = { { RAX, ~0ULL }, { RDX, 0x1234 } },
	    .out = { { RAX, 0x37363534 } },
	    .access = { { 'i', 0x1234, 4, 0 } } },
	{ "IN with REX.W", LONG64, C("\x48\xed"), .in = { { RDX, 0x1234 } },
	    .out = { { RAX, 0x37363534 } },
	    .access = { { 'i', 0x1234, 4, 0 } } },
	{ "OUT AX", PROT32, C("\x66\xef"),
	    .in = { { RAX, 0x12345678 }, { RDX, 0x3f8 } },
	    .access = { { 'o', 0x3f8, 2, 0x5678 } } },
	{ "port served by the kernel", REAL, C("\xe6\x80") },
	{ "REP OUTSB", REAL, C("\xf3\x6e"),
	    .in = { { RCX, 3 }, { RSI, 0x500 }, { RDX, 0x402 } },
	    .mem = { { 0x500, 3, 0x434241 } },
	    .out = { { RCX, 0 }, { RSI, 0x503 } },
	    .access = { { 'o', 0x402, 1, 0x41 }, { 'o', 0x402, 1, 0x42 },
		{ 'o', 0x402, 1, 0x43 } } },
	{ "REP INSW down", REAL, C("\xf3\x6d"),
	    .in = { { RCX, 2 }, { RDI, 0x502 }, { RDX, 0x1f0 },
		{ FLAGS, 0x402 } },
	    .out = { { RCX, 0 }, { RDI, 0x4fe } },
	    .mem_out = { { 0x500, 4, 0xf1f0f1f0 } },
	    .access = { { 'i', 0x1f0, 2, 0 }, { 'i', 0x1f0, 2, 0 } } },
	{ "INS to what is missing asks no device", PROT32, C("\x6c"),
	    .in = { { RDI, MISSING }, { RDX, 0x1f0 } }, FAULT_CODE(X86_PF, 2) },
	{ "REP INSB faults in the middle", PROT32, C("\xf3\x6c"),
	    .in = { { RCX, 5 }, { RDI, READ_ONLY - 1 }, { RDX, 0x1f0 } },
	    FAULT_CODE(X86_PF, 3), .out = { { RCX, 4 }, { RDI, READ_ONLY } },
	    .mem_out = { { READ_ONLY - 1, 1, 0xf0 } },
	    .access = { { 'i', 0x1f0, 1, 0 } } },
	{ "IN at IOPL", USER32, C("\xec"),
	    .in = { { FLAGS, 0x3002 }, { RDX, 0x60 } },
	    .out = { { RAX, 0x60 } }, .access = { { 'i', 0x60, 1, 0 } } },
	{ "IN that the bitmap allows", USER32, C("\xec"),
	    .in = { { RDX, 0x60 } },
	    .mem = { { TSS + 0x66, 2, 0x68 }, { TSS + 0x74, 2, 0xfffe } },
	    .out = { { RAX, 0x60 } }, .access = { { 'i', 0x60, 1, 0 } } },
	{ "IN that the bitmap forbids", USER32, C("\xec"),
	    .in = { { RDX, 0x61 } },
	    .mem = { { TSS + 0x66, 2, 0x68 }, { TSS + 0x74, 2, 0xfffe } },
	    FAULT_CODE(X86_GP, 0) },
	{ "IN of two ports, one forbidden", USER32, C("\x66\xed"),
	    .in = { { RDX, 0x60 } },
	    .mem = { { TSS + 0x66, 2, 0x68 }, { TSS + 0x74, 2, 0xfffe } },
	    FAULT_CODE(X86_GP, 0) },
	{ "IN beyond the bitmap", USER32, C("\xec"), .in = { { RDX, 0x3f8 } },
	    .mem = { { TSS + 0x66, 2, 0x68 } }, FAULT_CODE(X86_GP, 0) },
	{ "IN with a short TSS", USER32, C("\xec"),
	    .in = { { RDX, 0x60 }, { TR_LIMIT, 0x66 } },
	    FAULT_CODE(X86_GP, 0) },

	/* --- Devices: each access once, in order. --- */
	{ "MOV from a device", PROT32, C("\x8b\x03"),
	    .in = { { RBX, DEVICE + 0x20 } }, .out = { { RAX, 0x23222120 } },
	    .access = { { 'r', DEVICE + 0x20, 4, 0 } } },
	{ "MOVZX from a device", PROT32, C("\x0f\xb6\x03"),
	    .in = { { RBX, DEVICE + 0x20 } }, .out = { { RAX, 0x20 } },
	    .access = { { 'r', DEVICE + 0x20, 1, 0 } } },
	{ "MOV to a device", LONG64, C("\x48\x89\x03"),
	    .in = { { RBX, DEVICE }, { RAX, 0x1122334455667788 } },
	    .access = { { 'w', DEVICE, 8, 0x1122334455667788 } } },
	{ "OR to a device", PROT32, C("\x80\x0b\x80"),
	    .in = { { RBX, DEVICE + 1 } }, .out = { { FLAGS, 0x86 } },
	    .access = { { 'r', DEVICE + 1, 1, 0 },
		{ 'w', DEVICE + 1, 1, 0x81 } } },
	{ "XCHG with a device", PROT32, C("\x87\x03"),
	    .in = { { RBX, DEVICE }, { RAX, 0x55 } },
	    .out = { { RAX, 0x03020100 } },
	    .access = { { 'r', DEVICE, 4, 0 }, { 'w', DEVICE, 4, 0x55 } } },
	{ "LOCK ADD to a device", PROT32, C("\xf0\x01\x03"),
	    .in = { { RBX, DEVICE }, { RAX, 1 } }, .out = { { FLAGS, 2 } },
	    .access = { { 'r', DEVICE, 4, 0 },
		{ 'w', DEVICE, 4, 0x03020101 } } },
	{ "an odd address is split", PROT32, C("\x8b\x03"),
	    .in = { { RBX, DEVICE + 0xffe } }, .out = { { RAX, 0x0100fffe } },
	    .access = { { 'r', DEVICE + 0xffe, 2, 0 },
		{ 'r', DEVICE + 0x1000, 2, 0 } } },
	{ "PUSH from a device", PROT32, C("\xff\x33"),
	    .in = { { RBX, DEVICE } }, .out = { { RSP, 0x6ffc } },
	    .mem_out = { { 0x6ffc, 4, 0x03020100 } },
	    .access = { { 'r', DEVICE, 4, 0 } } },
	{ "POP to a device", PROT32, C("\x8f\x03"), .in = { { RBX, DEVICE } },
	    .mem = { { 0x7000, 4, 0x99 } }, .out = { { RSP, 0x7004 } },
	    .access = { { 'w', DEVICE, 4, 0x99 } } },
	{ "PUSHA", REAL, C("\x60"),
	    .in = { { RSP, 0x10 }, { RAX, 1 }, { RCX, 2 }, { RDX, 3 },
		{ RBX, 4 }, { RBP, 5 }, { RSI, 6 }, { RDI, 7 } },
	    .out = { { RSP, 0 } },
	    .mem_out = { { 0, 8, 0x0010000500060007 },
		{ 8, 8, 0x0001000200030004 } } },
	{ "REP MOVSB from a device", PROT32, C("\xf3\xa4"),
	    .in = { { RCX, 2 }, { RSI, DEVICE + 8 }, { RDI, 0x500 } },
	    .out = { { RCX, 0 }, { RSI, DEVICE + 10 }, { RDI, 0x502 } },
	    .mem_out = { { 0x500, 2, 0x0908 } },
	    .access = { { 'r', DEVICE + 8, 1, 0 },
		{ 'r', DEVICE + 9, 1, 0 } } },
	{ "MOVS from device to device", PROT32, C("\xa5"),
	    .in = { { RSI, DEVICE + 8 }, { RDI, DEVICE + 0x80 } },
	    .out = { { RSI, DEVICE + 12 }, { RDI, DEVICE + 0x84 } },
	    .access = { { 'r', DEVICE + 8, 4, 0 },
		{ 'w', DEVICE + 0x80, 4, 0x0b0a0908 } } },
	{ "REP STOSD to a device", PROT32, C("\xf3\xab"),
	    .in = { { RCX, 2 }, { RDI, DEVICE }, { RAX, 0x11 } },
	    .out = { { RCX, 0 }, { RDI, DEVICE + 8 } },
	    .access = { { 'w', DEVICE, 4, 0x11 },
		{ 'w', DEVICE + 4, 4, 0x11 } } },
	{ "REPNE SCASB on a device", PROT32, C("\xf2\xae"),
	    .in = { { RCX, 9 }, { RDI, DEVICE }, { RAX, 2 } },
	    .out = { { RCX, 6 }, { RDI, DEVICE + 3 }, { FLAGS, 0x46 } },
	    .access = { { 'r', DEVICE, 1, 0 }, { 'r', DEVICE + 1, 1, 0 },
		{ 'r', DEVICE + 2, 1, 0 } } },
	{ "a fault comes before the device", PROT32, C("\xa5"),
	    .in = { { RSI, MISSING }, { RDI, DEVICE } },
	    FAULT_CODE(X86_PF, 0) },
	{ "MOVDQU to a device", LONG64, C("\xf3\x0f\x7f\x03"),
	    .in = { { RBX, DEVICE }, { CR4, X86_CR4_OSFXSR } },
	    .access = { { 'w', DEVICE, 8, 0x0706050403020100 },
		{ 'w', DEVICE + 8, 8, 0x0f0e0d0c0b0a0908 } } },
	{ "prefetch asks nobody", PROT32, C("\x0f\x18\x03"),
	    .in = { { RBX, DEVICE } } },
	{ "CLFLUSH asks nobody", PROT32, C("\x0f\xae\x3b"),
	    .in = { { RBX, DEVICE } } },
	{ "x87", PROT32, C("\xd9\x03"), .in = { { RBX, DEVICE } },
	    .result = EMUL_UNHANDLED },

	/* --- Pages. --- */
	{ "a write that crosses into read-only changes nothing", PROT32,
	    C("\x89\x03"), .in = { { RBX, READ_ONLY - 2 }, { RAX, 0x55 } },
	    FAULT_CODE(X86_PF, 3) },
	{ "a read-modify-write faults as a write", PROT32, C("\x01\x03"),
	    .in = { { RBX, READ_ONLY } }, FAULT_CODE(X86_PF, 3) },
	{ "CMPXCHG faults as a write, equal or not", PROT32, C("\x0f\xb1\x0b"),
	    .in = { { RBX, READ_ONLY }, { RAX, 1 } }, FAULT_CODE(X86_PF, 3) },
	{ "CALL to the end of the stack", PROT32, C("\xe8\x00\x00\x00\x00"),
	    .in = { { RSP, READ_ONLY + 4 } }, FAULT_CODE(X86_PF, 3) },
	{ "POP that cannot be stored keeps the stack", PROT32, C("\x8f\x03"),
	    .in = { { RBX, READ_ONLY } }, FAULT_CODE(X86_PF, 3) },
	{ "REP MOVSD faults in the middle", PROT32, C("\xf3\xa5"),
	    .in = { { RCX, 5 }, { RSI, 0x500 }, { RDI, READ_ONLY - 8 } },
	    .mem = { { 0x500, 8, 0x1122334455667788 } }, FAULT_CODE(X86_PF, 3),
	    .out = { { RCX, 3 }, { RSI, 0x508 }, { RDI, READ_ONLY } },
	    .mem_out = { { READ_ONLY - 8, 8, 0x1122334455667788 } } },
};

static void
check_registers(const struct row *row, struct gcpu *c, struct gcpu *was)
{
	enum reg r;
	unsigned i;
	u64 want;

	for (r = RAX; r < NREGS; r++) {
		want = machine_get(was, r);
		if (r == RIP &&
		    (row->result == EMUL_DONE || row->result == EMUL_HLT))
			want += row->len;
		for (i = 0; i < 8 && row->out[i].reg != END; i++)
			if (row->out[i].reg == r)
				want = row->out[i].v;
		/* Loading a selector sets the rest, in detail or not. */
		if (want != machine_get(c, r) && r >= ES_BASE &&
		    r <= TR_LIMIT && row->out[0].reg >= ES &&
		    row->out[0].reg <= TR &&
		    machine_get(c, row->out[0].reg) !=
			machine_get(was, row->out[0].reg))
			continue;
		if (machine_get(c, r) != want)
			fail_msg("%s: register %u is %llx, not %llx", row->name,
			    r, machine_get(c, r), want);
	}
}

static void
put(u8 *ram, const struct bytes *b)
{
	for (; b->len != 0; b++)
		memcpy(ram + b->at, &b->v, b->len);
}

static void
check_row(struct machine *m, const struct row *row)
{
	static u8 want[RAM_LEN];
	struct gcpu was;
	enum emul_result r;
	unsigned i;

	machine_start(m, row->mode);
	for (i = 0; i < 8 && row->in[i].reg != END; i++)
		machine_set(&m->cpu, row->in[i].reg, row->in[i].v);
	put(m->ram, row->mem);
	memcpy(m->ram + CODE, row->code, row->len);
	was = m->cpu;
	memcpy(want, m->ram, sizeof(want));
	put(want, row->mem_out);
	r = machine_run(m);
	if (r != row->result)
		fail_msg("%s: result %u (vector %u)", row->name, r,
		    m->e.fault.vector);
	if (r == EMUL_FAULT &&
	    (m->e.fault.vector != row->vector ||
		m->e.fault.has_error != row->has_error ||
		m->e.fault.error != row->error))
		fail_msg("%s: fault %u, error %x", row->name, m->e.fault.vector,
		    m->e.fault.error);
	check_registers(row, &m->cpu, &was);
	for (i = 0; i < RAM_LEN; i++)
		if (m->ram[i] != want[i])
			fail_msg("%s: at %x is %02x, not %02x", row->name, i,
			    m->ram[i], want[i]);
	for (i = 0; i < 8 && row->access[i].kind; i++)
		if (i >= m->nlog ||
		    memcmp(&m->log[i].kind, &row->access[i].kind, 1) != 0 ||
		    m->log[i].at != row->access[i].at ||
		    m->log[i].len != row->access[i].len ||
		    m->log[i].v != row->access[i].v)
			fail_msg("%s: access %u", row->name, i);
	if (m->nlog != i)
		fail_msg("%s: %u accesses", row->name, m->nlog);
	if (m->e.shadow != row->shadow)
		fail_msg("%s: shadow", row->name);
}

static void
test_rows(void **state)
{
	static struct machine m;
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&m, &rows[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
