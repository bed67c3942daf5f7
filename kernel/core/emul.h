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
 *  2. Restartable: an access that user space must answer ends with EMUL_IO;
 *     after the answer the same instruction is emulated again from its start
 *     and the answered accesses are served from the log (io[]).  No
 *     instruction writes before its last read, so a replay is exact.
 *  3. The instruction bytes are fetched once; what was fetched is decoded.
 */
#include "cpu.h"

enum emul_result {
	EMUL_DONE, /* rip advanced (or at the same REP, with less left) */
	EMUL_FAULT, /* ctx->fault is to be injected */
	EMUL_IO, /* ctx->pending describes what user space must do */
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
	 * Linear memory, len <= 64, may cross pages.  0; 1: ctx->fault set;
	 * -EAGAIN; -EREMOTE: MMIO, the emulator logs it in io[] page by page.
	 * translate gives the gpa for that (and for atomic access).
	 */
	int (*translate)(struct emul *, struct gva, unsigned access,
	    struct gpa *, u64 *left_in_page);
	/* Guest RAM, within one page. 0, or -EREMOTE when it is no RAM. */
	int (*ram_read)(struct emul *, struct gpa, void *, unsigned len);
	int (*ram_write)(struct emul *, struct gpa, const void *, unsigned len);
	/* Atomic compare-exchange of 1..16 bytes in RAM; 0, -EAGAIN,-EREMOTE */
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
	/* Vector registers for SSE/AVX moves; n < 16, len 16 or 32. */
	void (*xmm_get)(struct emul *, unsigned n, void *, unsigned len);
	void (*xmm_set)(struct emul *, unsigned n, const void *, unsigned len);
	void (*cpuid)(struct emul *, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
};

struct emul {
	struct gcpu *cpu; /* groups REGS, SEGS, CRS are needed by the caller */
	const struct emul_ops *ops;
	void *arg;
	bool avx; /* vector state is enabled: XCR0 and CR4 allow VEX moves */

	u8 insn[15]; /* bytes at rip, when the hardware supplied them ... */
	u8 insn_len; /* ... 0: fetch through translate/ram_read */

	struct fault fault;
	struct emul_io io[EMUL_IO_MAX]; /* log of this instruction */
	u8 io_n, io_at;
	struct emul_io *pending; /* with EMUL_IO: the entry to answer */
};

/* Forget the log: a new instruction begins. */
void emul_begin(struct emul *);
/* After EMUL_IO: the caller set pending->done (and data for a read). */
enum emul_result emul_run(struct emul *);

#endif
