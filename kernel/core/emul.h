/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_EMUL_H
#define CORE_EMUL_H

/*
 * The instruction emulator: one instruction (one iteration of a repeated
 * one, or a batch of them) on struct gcpu.  It serves MMIO under nested
 * paging, real mode where hardware cannot run it, and shadow paging.
 *
 * Invariants
 *  1. Transactional: registers change only when the whole instruction (or
 *     iteration) succeeded; on a fault nothing but what the architecture
 *     says has changed.
 *  2. Restartable: an access that user space must answer ends with EMUL_IO.
 *     Reads come first: after the answer the same instruction is emulated
 *     again from its start and what was answered is served from the log
 *     (io[]).  Writes are collected, checked together, and only then carried
 *     out, in program order; an answered write continues there.  So each
 *     device access happens exactly once.
 *  3. The instruction bytes are fetched once; what was fetched is decoded.
 *
 * Single-stepping (RFLAGS.TF), breakpoints and the delivery of faults are the
 * caller's.
 */
#include "cpu.h"
#include "decode.h"
#include "walk.h"

enum emul_result {
	EMUL_DONE, /* rip advanced (or at the same REP, with less left) */
	EMUL_FAULT, /* fault is to be injected */
	EMUL_IO, /* pending describes what user space must do */
	EMUL_UNHANDLED, /* not an instruction that we emulate */
	EMUL_AGAIN, /* translation changed under us: run the guest again */
	EMUL_HLT, /* HLT executed; rip advanced */
};

enum emul_space { EMUL_MMIO, EMUL_PORT };

struct emul_io {
	enum emul_space space;
	u64 addr; /* gpa or port */
	u8 len; /* 1, 2, 4, 8 */
	bool write, done;
	u8 data[8];
};
#define EMUL_IO_MAX 16

struct emul;
struct emul_ops {
	/*
	 * The guest's page tables; access is enum walk_access.  0: gpa and
	 * the bytes to the end of the page; 1: e->fault is set; -EAGAIN.
	 */
	int (*translate)(struct emul *, struct gva, unsigned access,
	    struct gpa *, u64 *left_in_page);
	/* Guest RAM, within one page.  0, or -EREMOTE: it is no RAM (or ROM,
	 * which is RAM for reads only). */
	int (*ram_read)(struct emul *, struct gpa, void *, unsigned len);
	int (*ram_write)(struct emul *, struct gpa, const void *, unsigned len);
	/* Atomic compare-exchange of 1..16 bytes within a cache line;
	 * 0, -EAGAIN: memory is not old, -EREMOTE as above. */
	int (*ram_cmpxchg)(struct emul *, struct gpa, const void *old,
	    const void *new, unsigned len);
	/* In-kernel devices (LAPIC page, ioeventfd): 0 = served. */
	int (*mmio)(
	    struct emul *, struct gpa, void *, unsigned len, bool write);
	int (*port)(struct emul *, u16 port, void *, unsigned len, bool write);
	/* Privileged register access by instructions; 0 or 1 (fault set). */
	int (*set_cr)(struct emul *, unsigned cr, u64);
	int (*rdmsr)(struct emul *, u32 msr, u64 *);
	int (*wrmsr)(struct emul *, u32 msr, u64);
	void (*invlpg)(struct emul *, struct gva);
	/* Vector registers for SSE/AVX moves; n < 16, len 16 or 32.  A set of
	 * 16 keeps the upper half. */
	void (*xmm_get)(struct emul *, unsigned n, void *, unsigned len);
	void (*xmm_set)(struct emul *, unsigned n, const void *, unsigned len);
	void (*cpuid)(struct emul *); /* upon its gpr[] */
	/* FNINIT; FNSTSW, FNSTCW: the word (enum decode_op). */
	u16 (*x87)(struct emul *, unsigned op);
	u64 (*tsc)(struct emul *); /* or NULL */
};

/* A write that is carried out when the instruction cannot fail any more. */
struct emul_write {
	struct gva va;
	struct gpa gpa[2]; /* of the bytes in the first and in the next page */
	u8 len;
	u8 split; /* bytes in the first page */
	bool lock; /* compare-exchange against old */
	u8 data[32], old[16];
};
#define EMUL_WRITES 34 /* ENTER with 31 levels */

struct emul {
	struct gcpu *cpu; /* groups REGS, SEGS, CRS are needed by the caller */
	const struct emul_ops *ops;
	void *arg;
	bool avx; /* vector state is enabled: XCR0 and CR4 allow VEX moves */

	u8 insn[DECODE_MAX]; /* bytes at rip, as far as the hardware supplied
				them; more are fetched as needed */
	u8 insn_len;

	struct fault fault;
	struct emul_io io[EMUL_IO_MAX]; /* log of this instruction */
	u8 io_n, io_at;
	struct emul_io *pending; /* with EMUL_IO: the entry to answer */
	bool shadow; /* done: events wait until after the next instruction */

	/* The emulator's own: the instruction and the state it will leave. */
	bool decoded, committing;
	bool again; /* a repeated instruction is not at its end */
	u8 result; /* enum emul_result, when it is complete */
	u16 spent; /* of what it may do before the caller looks for events */
	u8 cpl;
	u8 bits; /* how memory is addressed: 16, 32 or 64-bit code */
	struct decoded in;
	u64 gpr[CPU_NREGS], rip, rflags;
	struct seg seg[CPU_NSEGS];
	u8 seg_set; /* which of seg[] are new */
	u64 old; /* of the memory operand that is being changed */
	struct emul_write writes[EMUL_WRITES];
	u8 nwrites, write_at, write_off;
};

/* A new instruction begins: forget the log and the bytes.  Then the caller may
 * give insn[] and insn_len. */
void emul_begin(struct emul *);
/*
 * Call it again after EMUL_IO, when pending->done (and data of a read) is set.
 * After EMUL_AGAIN the guest may run instead, unless io_n is not 0: then
 * devices were accessed already and the call must be repeated.
 */
enum emul_result emul_run(struct emul *);
/* Or, after emul_begin(), an interrupt in real mode; len: of the instruction
 * that it returns behind. */
enum emul_result emul_interrupt(struct emul *, u8 vector, unsigned len);

/* A switch to another task that the processor has begun: its checks of gate and
 * rights are done. */
struct task_switch {
	enum task_why { TASK_CALL, TASK_IRET, TASK_JMP, TASK_GATE } why;
	u16 sel; /* of the new TSS */
	u8 len; /* of the instruction that asked; 0: of none */
	bool has_error; /* of the exception that came by a gate */
	u32 error;
};
/* After emul_begin(), with the group DRS too.  *switched: the new task runs, and
 * a fault is its own. */
enum emul_result
emul_task_switch(struct emul *, const struct task_switch *, bool *switched);

#endif
