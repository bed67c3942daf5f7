// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Task switches, which Intel's processors leave to the hypervisor: of 32-bit
 * tasks (APM vol. 2 "Legacy Task-Management Resources", "Hardware Task
 * Switching"; SDM vol. 3 "Task Switching", "Treatment of Task Switches").
 *
 * Invariants
 *  1. The switch is a transaction of its own: until the old task is saved
 *     nothing has changed, then the registers are the new task's.
 *  2. Segments are loaded after that, one by one; what is wrong with one is the
 *     new task's exception, and those that follow are not usable.
 */
#include "emul_int.h"

#define TSS_LIMIT 0x67 /* least, of 32-bit ones */
#define TSS_FREE  9
#define TSS_BUSY  11

/* Of 32 bits each, in the order of memory. */
enum {
	TSS_LINK = 0,
	TSS_CR3 = 7,
	TSS_EIP,
	TSS_EFLAGS,
	TSS_GPRS,
	TSS_SEGS = 18,
	TSS_LDT = 24,
	TSS_WORDS = 26,
};
#define TSS_SAVED (TSS_LDT - TSS_EIP)

static struct gva
word_at(const struct seg *tss, unsigned word)
{
	return (struct gva){ (u32)(tss->base + 4 * word) };
}

/* What the old task is to find again. */
static enum emul_result
save(struct emul *e, const struct task_switch *t)
{
	const struct gcpu *c = e->cpu;
	struct gva at = word_at(&c->seg[SEG_TR], TSS_EIP), half = at;
	u32 w[TSS_SAVED];
	unsigned i;

	/* The upper halves of selectors stay as they are. */
	TRY(emul_read_linear(e, at, WALK_IMPLICIT, w, sizeof(w)));
	w[0] = (u32)e->rip;
	w[1] = (u32)e->rflags;
	if (t->why == TASK_IRET)
		w[1] &= ~(u32)X86_RFLAGS_NT;
	for (i = 0; i < 8; i++)
		w[TSS_GPRS - TSS_EIP + i] = (u32)e->gpr[i];
	for (i = SEG_ES; i <= SEG_GS; i++)
		w[TSS_SEGS - TSS_EIP + i] =
		    (w[TSS_SEGS - TSS_EIP + i] & 0xffff0000) | c->seg[i].sel;
	half.v = (u32)(at.v + sizeof(w) / 2);
	TRY(emul_queue(e, at, WALK_IMPLICIT, w, sizeof(w) / 2));
	return emul_queue(
	    e, half, WALK_IMPLICIT, w + TSS_SAVED / 2, sizeof(w) / 2);
}

/* Busy: the old one after a jump or IRET is not, the new one is. */
static enum emul_result
mark(struct emul *e, u16 sel, u8 type)
{
	struct gva at = { (u32)(e->cpu->gdt.base + (sel & ~7U) + 5) };
	u8 attr;

	TRY(emul_read_linear(e, at, WALK_IMPLICIT, &attr, 1));
	attr = (u8)((attr & ~SEG_TYPE) | type);
	return emul_queue(e, at, WALK_IMPLICIT, &attr, 1);
}

/* The new one's registers, but for what is behind its selectors. */
static enum emul_result
adopt(struct emul *e, const struct task_switch *t, const struct seg *tss,
    const u32 *w)
{
	struct gcpu *c = e->cpu;
	bool nested = t->why == TASK_CALL || t->why == TASK_GATE, v86;
	unsigned i;

	c->rip = w[TSS_EIP];
	c->rflags = (w[TSS_EFLAGS] & TASK_EFLAGS) | X86_RFLAGS_ONE |
	    (nested ? X86_RFLAGS_NT : 0);
	v86 = (c->rflags & X86_RFLAGS_VM) != 0;
	for (i = 0; i < 8; i++)
		c->gpr[i] = w[TSS_GPRS + i];
	for (i = SEG_ES; i <= SEG_GS; i++) {
		c->seg[i] = (struct seg){ .sel = (u16)w[TSS_SEGS + i] };
		if (!v86)
			continue;
		c->seg[i].base = (u64)c->seg[i].sel << 4;
		c->seg[i].limit = 0xffff;
		c->seg[i].attr = SEG_P | SEG_S | SEG_DPL | 3;
	}
	c->cpl = v86 ? 3 : (u8)(w[TSS_SEGS + SEG_CS] & 3);
	c->seg[SEG_SS].attr |= (u16)(c->cpl << SEG_DPL_SHIFT);
	c->seg[SEG_LDTR] = (struct seg){ .sel = (u16)w[TSS_LDT] };
	c->seg[SEG_TR] = *tss;
	c->seg[SEG_TR].attr |= 2;
	c->dr7 &= ~TASK_DR7_LOCAL;
	cpu_dirty(c, CPU_REGS | CPU_SEGS | CPU_DRS);
	if (e->ops->set_cr(e, 0, c->cr0 | X86_CR0_TS) ||
	    ((c->cr0 & X86_CR0_PG) && e->ops->set_cr(e, 3, w[TSS_CR3])))
		return EMUL_FAULT;
	return EMUL_DONE;
}

static enum emul_result
leave(struct emul *e, const struct task_switch *t, const struct seg *tss)
{
	bool nested = t->why == TASK_CALL || t->why == TASK_GATE;
	u16 old = e->cpu->seg[SEG_TR].sel;
	u32 w[TSS_WORDS];

	TRY(save(e, t));
	TRY(emul_read_linear(e, word_at(tss, 0), WALK_IMPLICIT, w, sizeof(w)));
	if (nested)
		TRY(emul_queue(
		    e, word_at(tss, TSS_LINK), WALK_IMPLICIT, &old, 2));
	else
		TRY(mark(e, old, TSS_FREE));
	if (t->why != TASK_IRET)
		TRY(mark(e, t->sel, TSS_BUSY));
	TRY(emul_commit_writes(e));
	return adopt(e, t, tss, w);
}

/* Selectors of a TSS: #TS where other loads say #GP ("Invalid-TSS Exception"). */
static enum emul_result
load(struct emul *e, unsigned n, u16 sel)
{
	enum emul_result r;
	struct seg s;

	emul_start(e);
	if (n == SEG_LDTR)
		r = emul_load_ldt(e, sel, &s);
	else if (n == SEG_CS)
		r = emul_load_cs(e, sel, false, &s);
	else
		r = emul_load_seg(e, n, sel, &s);
	if (r == EMUL_FAULT && e->fault.vector == X86_GP)
		e->fault.vector = X86_TS;
	TRY(r);
	emul_set_seg(e, n, &s);
	TRY(emul_commit_writes(e));
	emul_publish(e);
	return EMUL_DONE;
}

static enum emul_result
enter(struct emul *e, const struct task_switch *t)
{
	static const u8 order[] = { SEG_LDTR, SEG_CS, SEG_SS, SEG_ES, SEG_DS,
		SEG_FS, SEG_GS };
	struct gcpu *c = e->cpu;
	unsigned i;

	e->rflags = c->rflags;
	e->in = (struct decoded){ .bits = 32 };
	for (i = 0; i < sizeof(order); i++)
		if (!(c->rflags & X86_RFLAGS_VM) || order[i] == SEG_LDTR)
			TRY(load(e, order[i], c->seg[order[i]].sel));
	if (!t->has_error)
		return EMUL_DONE;
	emul_start(e);
	TRY(emul_push_value(e, t->error, 4));
	TRY(emul_commit_writes(e));
	emul_publish(e);
	return EMUL_DONE;
}

enum emul_result
emul_task_switch(struct emul *e, const struct task_switch *t, bool *switched)
{
	u8 type = t->why == TASK_IRET ? TSS_BUSY : TSS_FREE;
	struct seg tss;

	*switched = false;
	e->in = (struct decoded){ .bits = 32, .len = t->len };
	emul_start(e);
	if ((e->cpu->seg[SEG_TR].attr & SEG_TYPE) != TSS_BUSY)
		return EMUL_UNHANDLED; /* one of 16 bits */
	TRY(emul_look_at_tss(e, t->sel, &tss));
	if ((tss.attr & (SEG_S | SEG_TYPE)) != type)
		return EMUL_UNHANDLED;
	if (!(tss.attr & SEG_P))
		return emul_fault(e, X86_NP, t->sel & ~3U);
	if (tss.limit < TSS_LIMIT)
		return emul_fault(e, X86_TS, t->sel & ~3U);
	TRY(leave(e, t, &tss));
	*switched = true;
	return enter(e, t);
}
