// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Local APIC: registers and priorities.  Messages are in lapic_msg.c, the
 * timer in lapic_timer.c.  AMD APM vol. 2 "Advanced Programmable Interrupt Controller
 * (APIC)" and "x2APIC Support"; SDM vol. 3 "Advanced Programmable Interrupt
 * Controller (APIC)" and "Extended XAPIC (x2APIC)".
 *
 * Invariants
 *  1. A vector below 16 is never posted: it is an error in ESR.
 *  2. ISR holds a vector only between lapic_accept() and its EOI.
 *  3. Registers that the mode lacks fault (x2APIC) or read 0 and set the
 *     illegal-register bit of ESR (xAPIC).
 */
#include "lapic.h"
#include "lapic_regs.h"
#include "x86.h"

static bool
is_x2(const struct lapic *l)
{
	return (l->base_msr & LAPIC_BASE_X2) != 0;
}

bool
lapic_enabled(const struct lapic *l)
{
	return (l->base_msr & LAPIC_BASE_ENABLE) && (l->svr & SVR_ENABLE);
}

static u32
word(const u32 *reg, unsigned i)
{
	return __atomic_load_n(&reg[i], __ATOMIC_RELAXED);
}

/* Highest set vector of a 256-bit register, or -1, which it is mostly. */
static int
highest(const u32 *reg)
{
	int i;
	u32 w;

	if ((word(reg, 0) | word(reg, 1) | word(reg, 2) | word(reg, 3) |
		word(reg, 4) | word(reg, 5) | word(reg, 6) | word(reg, 7)) == 0)
		return -1;
	for (i = 7; i >= 0; i--) {
		w = word(reg, (unsigned)i);
		if (w != 0)
			return i * 32 + 31 - __builtin_clz(w);
	}
	return -1;
}

static bool
vec_test(const u32 *reg, u8 vec)
{
	return (reg[vec / 32] >> (vec % 32)) & 1;
}

static void
vec_set(u32 *reg, u8 vec)
{
	reg[vec / 32] |= 1U << (vec % 32);
}

static void
vec_clear(u32 *reg, u8 vec)
{
	reg[vec / 32] &= ~(1U << (vec % 32));
}

/* APM "Processor Priority": the greater of TPR and the highest in service. */
static u32
ppr(const struct lapic *l)
{
	int isr = highest(l->isr);
	u32 isrv = isr < 0 ? 0 : (u32)isr;

	if ((l->tpr & 0xf0) >= (isrv & 0xf0))
		return l->tpr & 0xff;
	return isrv & 0xf0;
}

u32
lapic_priority(const struct lapic *l)
{
	return ppr(l);
}

/*
 * "Error Handling": the first of a kind since ESR was written raises the error
 * interrupt.  True when that is newly pending.
 */
static bool
error(struct lapic *l, u32 bit)
{
	u32 lvt = __atomic_load_n(&l->lvt[LVT_ERROR], __ATOMIC_RELAXED);
	u32 vec = lvt & 0xff;

	if (__atomic_fetch_or(&l->esr, bit, __ATOMIC_RELAXED) & bit)
		return false;
	if ((lvt & LVT_MASKED) || !lapic_enabled(l))
		return false;
	if (vec >= 16)
		return lapic_post(l, (u8)vec, false);
	__atomic_fetch_or(&l->esr, ESR_RECV_ILLEGAL, __ATOMIC_RELAXED);
	return false;
}

bool
lapic_post(struct lapic *l, u8 vec, bool level)
{
	u32 bit = 1U << (vec % 32), old;

	if (vec < 16)
		return error(l, ESR_RECV_ILLEGAL);
	if (level)
		__atomic_fetch_or(&l->tmr[vec / 32], bit, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&l->tmr[vec / 32], ~bit, __ATOMIC_RELAXED);
	old = __atomic_fetch_or(&l->irr[vec / 32], bit, __ATOMIC_SEQ_CST);
	return (old & bit) == 0;
}

int
lapic_highest_irr(const struct lapic *l)
{
	return (l->base_msr & LAPIC_BASE_ENABLE) ? highest(l->irr) : -1;
}

int
lapic_above_priority(const struct lapic *l, int irr)
{
	return irr >= 0 && ((u32)irr & 0xf0) > (ppr(l) & 0xf0) ? irr : -1;
}

int
lapic_highest(const struct lapic *l)
{
	return lapic_above_priority(l, lapic_highest_irr(l));
}

void
lapic_accept(struct lapic *l, u8 vec)
{
	__atomic_fetch_and(
	    &l->irr[vec / 32], ~(1U << (vec % 32)), __ATOMIC_SEQ_CST);
	vec_set(l->isr, vec);
}

void
lapic_eoi(struct lapic *l)
{
	int vec = highest(l->isr);

	if (vec < 0)
		return;
	vec_clear(l->isr, (u8)vec);
	if (vec_test(l->tmr, (u8)vec))
		l->ops->eoi(l->arg, (u8)vec);
}

bool
lapic_eoi_alone(struct lapic *l)
{
	int vec;

	if (highest(l->irr) >= 0)
		return false;
	vec = highest(l->isr);
	if (vec >= 0 && vec_test(l->tmr, (u8)vec))
		return false;
	if (vec >= 0)
		vec_clear(l->isr, (u8)vec);
	return true;
}

bool
lapic_eoi_is_private(const struct lapic *l)
{
	int vec = highest(l->isr);

	return vec >= 0 && !vec_test(l->tmr, (u8)vec) && highest(l->irr) < 0;
}

/*
 * The 8259 reaches a CPU through LINT0 in ExtINT mode, or directly while the
 * LAPIC is globally disabled (SDM "Local APIC State After Power-Up or Reset").
 */
bool
lapic_accepts_pic(const struct lapic *l)
{
	u32 lint0 = l->lvt[LVT_LINT0];

	if (!(l->base_msr & LAPIC_BASE_ENABLE))
		return true;
	return !(lint0 & LVT_MASKED) && (lint0 & LVT_MODE) == LVT_EXTINT;
}

bool
lapic_lint1_nmi(const struct lapic *l)
{
	u32 lint1 = l->lvt[LVT_LINT1];

	return !(lint1 & LVT_MASKED) && (lint1 & LVT_MODE) == LVT_NMI;
}

void
lapic_set_cr8(struct lapic *l, u64 cr8)
{
	l->tpr = (u32)(cr8 & 0xf) << 4;
}

void
lapic_set_tpr(struct lapic *l, u8 tpr)
{
	l->tpr = tpr;
}

u32
lapic_summary(const struct lapic *l)
{
	int irr = highest(l->irr), isr = highest(l->isr);
	u32 word = l->tpr & 0xff;

	if (isr >= 0)
		word |= ((u32)isr & 0xf0) << 8;
	if (irr >= 0)
		word |= (u32)irr << 24;
	return word;
}

static u32
x2_ldr(u32 id)
{
	return (id >> 4) << 16 | 1U << (id & 15);
}

void
lapic_init(
    struct lapic *l, u32 id, bool bsp, const struct lapic_ops *ops, void *arg)
{
	memset(l, 0, sizeof(*l));
	l->id = id;
	l->ops = ops;
	l->arg = arg;
	l->base_msr =
	    LAPIC_BASE_ADDR | LAPIC_BASE_ENABLE | (bsp ? LAPIC_BASE_BSP : 0);
	lapic_reset(l, false);
}

void
lapic_reset(struct lapic *l, bool init)
{
	unsigned i;

	if (!init) {
		l->base_msr = LAPIC_BASE_ADDR | LAPIC_BASE_ENABLE |
		    (l->base_msr & LAPIC_BASE_BSP);
		l->xapic_id = l->id & 0xff;
	}
	l->tpr = l->esr = l->esr_latch = 0;
	l->svr = 0xff;
	l->dfr = 0xffffffff;
	l->ldr = is_x2(l) ? x2_ldr(l->id) : 0;
	l->icr = 0;
	for (i = 0; i < LAPIC_LVTS; i++)
		l->lvt[i] = LVT_MASKED;
	/* Virtual wire mode, as firmware leaves it: a system that never looks
	 * at its LAPIC gets the interrupts of the 8259. */
	if (l->base_msr & LAPIC_BASE_BSP)
		l->lvt[LVT_LINT0] = LVT_EXTINT;
	for (i = 0; i < 8; i++) {
		l->isr[i] = 0;
		__atomic_store_n(&l->tmr[i], 0, __ATOMIC_RELAXED);
		__atomic_store_n(&l->irr[i], 0, __ATOMIC_RELAXED);
	}
	l->tmict = l->tdcr = 0;
	l->tsc_deadline = 0;
	lapic_timer_stop(l);
}

#define BASE_KNOWN                                            \
	(LAPIC_BASE_BSP | LAPIC_BASE_X2 | LAPIC_BASE_ENABLE | \
	    0x000ffffffffff000ULL)

/* The mode changes; registers that depend on it follow. */
static void
set_base(struct lapic *l, u64 val)
{
	u64 old = l->base_msr;

	l->base_msr = val;
	if ((old & LAPIC_BASE_ENABLE) && !(val & LAPIC_BASE_ENABLE)) {
		lapic_reset(l, true);
		l->xapic_id = l->id & 0xff;
	} else if (!(old & LAPIC_BASE_X2) && (val & LAPIC_BASE_X2)) {
		l->ldr = x2_ldr(l->id);
		l->icr &= 0xffffffff;
	}
}

/*
 * SDM "x2APIC State Transitions": x2 is entered from the enabled xAPIC state
 * only and left by disabling; other steps fault.
 */
int
lapic_base_write(struct lapic *l, u64 val, bool x2apic_allowed)
{
	u64 old = l->base_msr;
	bool en = val & LAPIC_BASE_ENABLE, x2 = val & LAPIC_BASE_X2;
	bool was_en = old & LAPIC_BASE_ENABLE, was_x2 = old & LAPIC_BASE_X2;

	if ((val & ~BASE_KNOWN) || (x2 && (!en || !x2apic_allowed)))
		return -EINVAL;
	if ((x2 && !was_en) || (was_x2 && en && !x2))
		return -EINVAL;
	set_base(l, val);
	return 0;
}

int
lapic_base_restore(struct lapic *l, u64 val)
{
	if ((val & ~BASE_KNOWN) ||
	    ((val & LAPIC_BASE_X2) && !(val & LAPIC_BASE_ENABLE)))
		return -EINVAL;
	set_base(l, val);
	return 0;
}

bool
lapic_has_page(const struct lapic *l, struct gpa gpa)
{
	return (l->base_msr & LAPIC_BASE_ENABLE) && !is_x2(l) &&
	    ((gpa.v ^ l->base_msr) & 0x000ffffffffff000ULL) == 0;
}

static void
write_svr(struct lapic *l, u32 val)
{
	unsigned i;

	l->svr = val & (SVR_ENABLE | SVR_FOCUS | 0xff);
	if (!(l->svr & SVR_ENABLE)) {
		/* Disabled by software: all LVT entries become masked. */
		for (i = 0; i < LAPIC_LVTS; i++)
			l->lvt[i] |= LVT_MASKED;
	}
}

const u32 lapic_lvt_writable[LAPIC_LVTS] = {
	[LVT_TIMER] = 0xff | LVT_MASKED | LVT_TIMER_MODE,
	[LVT_THERMAL] = 0xff | LVT_MASKED | LVT_MODE,
	[LVT_PMC] = 0xff | LVT_MASKED | LVT_MODE,
	[LVT_LINT0] = 0xff | LVT_MASKED | LVT_MODE | LVT_POLARITY | LVT_LEVEL,
	[LVT_LINT1] = 0xff | LVT_MASKED | LVT_MODE | LVT_POLARITY | LVT_LEVEL,
	[LVT_ERROR] = 0xff | LVT_MASKED,
};

static void
write_lvt(struct lapic *l, enum lapic_lvt n, u32 val)
{
	u32 old = l->lvt[n];

	val &= lapic_lvt_writable[n];
	if (!(l->svr & SVR_ENABLE))
		val |= LVT_MASKED;
	__atomic_store_n(&l->lvt[n], val, __ATOMIC_RELAXED);
	if (n == LVT_TIMER && ((old ^ val) & LVT_TIMER_MODE))
		lapic_timer_mode_changed(l, old);
}

static void
write_icr(struct lapic *l, u64 icr, bool wide)
{
	struct lapic_msg m;

	l->icr = icr & ~(u64)ICR_BUSY;
	if (!lapic_icr(icr, wide, &m))
		return;
	if ((m.mode == LAPIC_FIXED || m.mode == LAPIC_LOWEST) && m.vector < 16)
		error(l, ESR_SEND_ILLEGAL);
	else
		l->ops->ipi(l->arg, &m);
}

static int
lvt_index(u32 off)
{
	switch (off) {
	case APIC_LVT_TIMER:
		return LVT_TIMER;
	case APIC_LVT_THERMAL:
		return LVT_THERMAL;
	case APIC_LVT_PMC:
		return LVT_PMC;
	case APIC_LVT_LINT0:
		return LVT_LINT0;
	case APIC_LVT_LINT1:
		return LVT_LINT1;
	case APIC_LVT_ERROR:
		return LVT_ERROR;
	default:
		return -1;
	}
}

/* -1 when off is none of the three 256-bit registers. */
static int
bitmap_read(const struct lapic *l, u32 off, u32 *val)
{
	const u32 *reg;

	if (off >= APIC_ISR && off < APIC_ISR + 0x80)
		reg = l->isr;
	else if (off >= APIC_TMR && off < APIC_TMR + 0x80)
		reg = l->tmr;
	else if (off >= APIC_IRR && off < APIC_IRR + 0x80)
		reg = l->irr;
	else
		return -1;
	*val = __atomic_load_n(&reg[(off & 0x7f) >> 4], __ATOMIC_RELAXED);
	return 0;
}

static int
reg_read(struct lapic *l, u32 off, u32 *val)
{
	int n = lvt_index(off);

	if (n >= 0) {
		*val = l->lvt[n];
		return 0;
	}
	if (bitmap_read(l, off, val) == 0)
		return 0;
	switch (off) {
	case APIC_ID:
		*val = is_x2(l) ? l->id : l->xapic_id << 24;
		return 0;
	case APIC_VERSION:
		*val = 0x14 | (LAPIC_LVTS - 1) << 16;
		return 0;
	case APIC_TPR:
		l->ops->tpr(l->arg, false);
		*val = l->tpr;
		return 0;
	case APIC_PPR:
		*val = ppr(l);
		return 0;
	case APIC_LDR:
		*val = l->ldr;
		return 0;
	case APIC_SVR:
		*val = l->svr;
		return 0;
	case APIC_ESR:
		*val = l->esr_latch;
		return 0;
	case APIC_ICR_LOW:
		*val = (u32)l->icr;
		return 0;
	case APIC_TMICT:
		*val = l->tmict;
		return 0;
	case APIC_TMCCT:
		*val = lapic_timer_current(l);
		return 0;
	case APIC_TDCR:
		*val = l->tdcr;
		return 0;
	default:
		return -EINVAL;
	}
}

static int
reg_write(struct lapic *l, u32 off, u32 val)
{
	int n = lvt_index(off);

	if (n >= 0) {
		write_lvt(l, (enum lapic_lvt)n, val);
		return 0;
	}
	switch (off) {
	case APIC_TPR:
		l->ops->tpr(l->arg, true);
		l->tpr = val & 0xff;
		return 0;
	case APIC_EOI:
		lapic_eoi(l);
		return 0;
	case APIC_SVR:
		write_svr(l, val);
		return 0;
	case APIC_ESR:
		l->esr_latch =
		    __atomic_exchange_n(&l->esr, 0, __ATOMIC_RELAXED);
		return 0;
	case APIC_TMICT:
		lapic_timer_start(l, val);
		return 0;
	case APIC_TDCR:
		lapic_timer_divide(l, val & TDCR_BITS);
		return 0;
	default:
		return -EINVAL;
	}
}

void
lapic_mmio_read(struct lapic *l, u32 off, u32 *val)
{
	*val = 0;
	switch (off & ~0xfU) {
	case APIC_DFR:
		*val = l->dfr;
		return;
	case APIC_ICR_HIGH:
		*val = (u32)(l->icr >> 32);
		return;
	case APIC_APR:
	case APIC_EOI:
	case APIC_RRR:
		return;
	}
	if (reg_read(l, off & ~0xfU, val) != 0)
		error(l, ESR_ILLEGAL_REG);
}

void
lapic_mmio_write(struct lapic *l, u32 off, u32 val)
{
	switch (off & ~0xfU) {
	case APIC_ID:
		l->xapic_id = val >> 24;
		return;
	case APIC_LDR:
		l->ldr = val & 0xff000000;
		return;
	case APIC_DFR:
		l->dfr = val | 0x0fffffff;
		return;
	case APIC_ICR_LOW:
		write_icr(l, (l->icr & ~0xffffffffULL) | val, false);
		return;
	case APIC_ICR_HIGH:
		l->icr = (l->icr & 0xffffffff) | (u64)(val & 0xff000000) << 32;
		return;
	}
	if (reg_write(l, off & ~0xfU, val) != 0)
		error(l, ESR_ILLEGAL_REG);
}

int
lapic_msr_read(struct lapic *l, u32 msr, u64 *val)
{
	u32 off = (msr - X86_MSR_X2APIC) << 4, v;

	if (!is_x2(l) || off > 0xff0)
		return -EINVAL;
	if (off == APIC_ICR_LOW) {
		*val = l->icr;
		return 0;
	}
	if (reg_read(l, off, &v) != 0)
		return -EINVAL;
	*val = v;
	return 0;
}

/* Bits that a write in x2APIC mode may have (SDM "Reserved Bit Checking"). */
static u64
x2_valid(u32 off)
{
	int n = lvt_index(off);

	if (n >= 0)
		return lapic_lvt_writable[n] | LVT_PENDING | LVT_REMOTE_IRR;
	switch (off) {
	case APIC_TPR:
	case APIC_SELF_IPI:
		return 0xff;
	case APIC_SVR:
		return SVR_ENABLE | SVR_FOCUS | 0xff;
	case APIC_ICR_LOW:
		return ~ICR_RESERVED_X2;
	case APIC_TMICT:
		return 0xffffffff;
	case APIC_TDCR:
		return TDCR_BITS;
	default:
		return 0; /* EOI and ESR take 0; others are refused below */
	}
}

static void
self_ipi(struct lapic *l, u8 vec)
{
	if (vec < 16)
		error(l, ESR_SEND_ILLEGAL);
	else if (lapic_enabled(l) && lapic_post(l, vec, false))
		l->ops->kick(l->arg);
}

int
lapic_msr_write(struct lapic *l, u32 msr, u64 val)
{
	u32 off = (msr - X86_MSR_X2APIC) << 4;

	if (!is_x2(l) || off > 0xff0 || (val & ~x2_valid(off)))
		return -EINVAL;
	switch (off) {
	case APIC_ICR_LOW:
		write_icr(l, val, true);
		return 0;
	case APIC_SELF_IPI:
		self_ipi(l, (u8)val);
		return 0;
	case APIC_LVT_TIMER:
		if ((val & LVT_TIMER_MODE) == LVT_TIMER_MODE)
			return -EINVAL;
		break;
	}
	return reg_write(l, off, (u32)val);
}
