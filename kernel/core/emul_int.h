/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_EMUL_INT_H
#define CORE_EMUL_INT_H

/* What the parts of the emulator share. */
#include "emul.h"
#include "x86.h"

#define FL_CF	  X86_RFLAGS_CF
#define FL_PF	  X86_RFLAGS_PF
#define FL_AF	  X86_RFLAGS_AF
#define FL_ZF	  X86_RFLAGS_ZF
#define FL_SF	  X86_RFLAGS_SF
#define FL_OF	  X86_RFLAGS_OF
#define FL_STATUS (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

/* Return from the caller unless a step succeeded. */
#define TRY(step)                               \
	do {                                    \
		enum emul_result try_ = (step); \
		if (try_ != EMUL_DONE)          \
			return try_;            \
	} while (0)

/* One function for each group of DECODE_OPS. */
#define X(name, group) enum emul_result emul_##group(struct emul *);
DECODE_OPS(X)
#undef X

#define TASK_DR7_LOCAL 0x155ULL /* L0-3, LE */
#define TASK_EFLAGS                                                           \
	(FL_STATUS | X86_RFLAGS_TF | X86_RFLAGS_IF | X86_RFLAGS_DF |          \
	    X86_RFLAGS_IOPL | X86_RFLAGS_NT | X86_RFLAGS_RF | X86_RFLAGS_VM | \
	    X86_RFLAGS_AC | X86_RFLAGS_VIF | X86_RFLAGS_VIP | X86_RFLAGS_ID)

/* emul_far.c: through the real-mode vector table. */
enum emul_result emul_real_interrupt(struct emul *, unsigned vector);

/* Bits of a value of 1, 2, 4 or 8 bytes. */
static inline u64
size_mask(unsigned size)
{
	return ~0ULL >> (64 - 8 * size);
}

static inline u64
sign_bit(unsigned size)
{
	return CORE_BIT(8 * size - 1);
}

static inline s64
sign_extended(u64 v, unsigned size)
{
	unsigned drop = 64 - 8 * size;

	return (s64)(v << drop) >> drop;
}

/* CR0.PE and not virtual-8086: descriptors are in use. */
static inline bool
emul_protected(const struct emul *e)
{
	return (e->cpu->cr0 & X86_CR0_PE) && !(e->rflags & X86_RFLAGS_VM);
}

static inline const struct seg *
emul_seg(const struct emul *e, unsigned n)
{
	return (e->seg_set >> n & 1) ? &e->seg[n] : &e->cpu->seg[n];
}

static inline void
emul_set_seg(struct emul *e, unsigned n, const struct seg *s)
{
	e->seg[n] = *s;
	e->seg_set |= (u8)(1 << n);
}

static inline unsigned
emul_iopl(const struct emul *e)
{
	return (e->rflags >> 12) & 3;
}

static inline void
emul_flags(struct emul *e, u64 which, u64 value)
{
	e->rflags = (e->rflags & ~which) | (value & which);
}

/* emul.c: a copy of the CPU's state, and back. */
void emul_start(struct emul *);
void emul_publish(struct emul *);
enum emul_result emul_fault(struct emul *, enum x86_vector, u32 error);
u64 emul_reg(const struct emul *, unsigned n, unsigned size);
void emul_set_reg(struct emul *, unsigned n, unsigned size, u64);
/* An operand; `change': it will be written, too. */
enum emul_result emul_get(struct emul *, unsigned arg, bool change, u64 *);
enum emul_result emul_put(struct emul *, unsigned arg, u64);
/* ModRM.rm as a source of another size than the operation's. */
enum emul_result emul_get_rm(struct emul *, unsigned size, u64 *);
enum emul_result emul_access(
    struct emul *, enum emul_space, u64 addr, void *, unsigned len, bool write);
bool emul_condition(const struct emul *, unsigned cc);

/* emul_mem.c: an address before segmentation. */
struct emul_ref {
	u64 off;
	u8 seg;
	u8 align; /* what #AC asks for; 0: the length */
	bool change; /* a read of what will be written */
};
struct emul_ref emul_operand(const struct emul *);
/* The same; #GP(0) unless it is aligned to its length. */
enum emul_result
emul_aligned_operand(struct emul *, unsigned len, struct emul_ref *);
enum emul_result emul_linear(
    struct emul *, struct emul_ref, unsigned len, bool write, struct gva *);
enum emul_result emul_read(struct emul *, struct emul_ref, void *, unsigned);
enum emul_result
emul_write(struct emul *, struct emul_ref, const void *, unsigned);
/* Would an access fault? */
enum emul_result
emul_probe(struct emul *, struct emul_ref, unsigned, bool write);
enum emul_result emul_translate(
    struct emul *, struct gva, unsigned access, struct gpa *, u64 *left);
/* Memory at a linear address; access is WALK_IMPLICIT for tables. */
enum emul_result
emul_read_linear(struct emul *, struct gva, unsigned access, void *, unsigned);
enum emul_result
emul_queue(struct emul *, struct gva, unsigned access, const void *, unsigned);
void emul_lock_write(struct emul *, const void *old);
enum emul_result emul_commit_writes(struct emul *);
enum emul_result emul_fetch(struct emul *);
bool emul_canonical(const struct emul *, u64);

/* emul_ctl.c */
enum emul_result emul_push_value(struct emul *, u64, unsigned size);
enum emul_result emul_pop_value(struct emul *, u64 *, unsigned size);
enum emul_result emul_jump(struct emul *, u64 rip);
unsigned emul_stack_size(const struct emul *);
void emul_set_flags(struct emul *, u64, unsigned size);
/* May an instruction that depends on IOPL run in virtual-8086 mode? */
enum emul_result emul_check_v86(struct emul *);

/* emul_seg.c: a segment register's new content. */
enum emul_result
emul_load_seg(struct emul *, unsigned n, u16 sel, struct seg *);
enum emul_result emul_load_cs(struct emul *, u16 sel, bool ret, struct seg *);
enum emul_result emul_load_ldt(struct emul *, u16 sel, struct seg *);
enum emul_result emul_look_at_tss(struct emul *, u16 sel, struct seg *);
enum emul_result emul_check_umip(struct emul *);

/* emul_alu.c */
u64 emul_flags_of_result(u64 r, unsigned size);
/* Flags of a - b and of a + b with the operation's size; the result. */
u64 emul_compare(struct emul *, u64 a, u64 b);
u64 emul_add(struct emul *, u64 a, u64 b);

#endif
