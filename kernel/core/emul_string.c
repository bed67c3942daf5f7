// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * String instructions and ports, APM vol. 3 "String Instructions", vol. 2
 * "I/O-Permission Bitmap".  One call is one iteration.
 */
#include "emul_int.h"

static u64
count(const struct emul *e)
{
	return e->gpr[R_RCX] & size_mask(e->in.asize);
}

/* A repeat count of 0: the instruction does nothing. */
static bool
is_empty(const struct emul *e)
{
	return e->in.rep != 0 && count(e) == 0;
}

static struct emul_ref
source(const struct emul *e)
{
	return (struct emul_ref){
		.off = e->gpr[R_RSI] & size_mask(e->in.asize),
		.seg = e->in.string_seg,
	};
}

static struct emul_ref
destination(const struct emul *e)
{
	return (struct emul_ref){
		.off = e->gpr[R_RDI] & size_mask(e->in.asize),
		.seg = SEG_ES,
	};
}

static void
step(struct emul *e, unsigned reg, unsigned size)
{
	u64 v = e->gpr[reg];

	v = (e->rflags & X86_RFLAGS_DF) ? v - size : v + size;
	emul_set_reg(e, reg, e->in.asize, v);
}

static enum emul_result
finish(struct emul *e)
{
	if (e->in.rep == 0)
		return EMUL_DONE;
	emul_set_reg(e, R_RCX, e->in.asize, e->gpr[R_RCX] - 1);
	e->again = count(e) != 0;
	return EMUL_DONE;
}

/* REPE and REPNE look at ZF, too. */
static enum emul_result
finish_compare(struct emul *e)
{
	bool zf = (e->rflags & FL_ZF) != 0;

	TRY(finish(e));
	if (e->in.rep != 0 && zf != (e->in.rep == 0xf3))
		e->again = false;
	return EMUL_DONE;
}

enum emul_result
emul_movs(struct emul *e)
{
	u64 v = 0;

	if (is_empty(e))
		return EMUL_DONE;
	TRY(emul_read(e, source(e), &v, e->in.size));
	TRY(emul_write(e, destination(e), &v, e->in.size));
	step(e, R_RSI, e->in.size);
	step(e, R_RDI, e->in.size);
	return finish(e);
}

enum emul_result
emul_cmps(struct emul *e)
{
	u64 a = 0, b = 0;

	if (is_empty(e))
		return EMUL_DONE;
	/* In the order of AMD's CPUs, which shows when both fault. */
	TRY(emul_read(e, destination(e), &b, e->in.size));
	TRY(emul_read(e, source(e), &a, e->in.size));
	emul_compare(e, a, b);
	step(e, R_RSI, e->in.size);
	step(e, R_RDI, e->in.size);
	return finish_compare(e);
}

enum emul_result
emul_stos(struct emul *e)
{
	if (is_empty(e))
		return EMUL_DONE;
	TRY(emul_write(e, destination(e), &e->gpr[R_RAX], e->in.size));
	step(e, R_RDI, e->in.size);
	return finish(e);
}

enum emul_result
emul_lods(struct emul *e)
{
	u64 v = 0;

	if (is_empty(e))
		return EMUL_DONE;
	TRY(emul_read(e, source(e), &v, e->in.size));
	emul_set_reg(e, R_RAX, e->in.size, v);
	step(e, R_RSI, e->in.size);
	return finish(e);
}

enum emul_result
emul_scas(struct emul *e)
{
	u64 v = 0;

	if (is_empty(e))
		return EMUL_DONE;
	TRY(emul_read(e, destination(e), &v, e->in.size));
	emul_compare(e, e->gpr[R_RAX] & size_mask(e->in.size), v);
	step(e, R_RDI, e->in.size);
	return finish_compare(e);
}

/* --- Ports. --- */

static unsigned
port_size(const struct emul *e)
{
	return e->in.size == 8 ? 4 : e->in.size;
}

/* The bitmap of a 32- or 64-bit TSS: a bit for each port, 0 allows it. */
static enum emul_result
check_bitmap(struct emul *e, u16 port, unsigned size)
{
	const struct seg *tr = &e->cpu->seg[SEG_TR];
	u16 base = 0, bits = 0;
	u64 off;

	if (!(tr->attr & SEG_P) || (tr->attr & 0xd) != 9 || tr->limit < 0x67)
		return emul_fault(e, X86_GP, 0);
	TRY(emul_read_linear(
	    e, (struct gva){ tr->base + 0x66 }, WALK_IMPLICIT, &base, 2));
	off = (u64)base + port / 8;
	if (off + 1 > tr->limit)
		return emul_fault(e, X86_GP, 0);
	TRY(emul_read_linear(
	    e, (struct gva){ tr->base + off }, WALK_IMPLICIT, &bits, 2));
	if ((bits >> (port & 7)) & ((1U << size) - 1))
		return emul_fault(e, X86_GP, 0);
	return EMUL_DONE;
}

static enum emul_result
check_port(struct emul *e, u16 port, unsigned size)
{
	if (!(e->cpu->cr0 & X86_CR0_PE))
		return EMUL_DONE;
	if (!(e->rflags & X86_RFLAGS_VM) && e->cpl <= emul_iopl(e))
		return EMUL_DONE;
	return check_bitmap(e, port, size);
}

static u16
port_of(const struct emul *e, unsigned arg)
{
	return arg == A_IMM ? (u8)e->in.imm : (u16)e->gpr[R_RDX];
}

enum emul_result
emul_in(struct emul *e)
{
	u16 port = port_of(e, e->in.src);
	unsigned size = port_size(e);
	u64 v = 0;

	TRY(check_port(e, port, size));
	TRY(emul_access(e, EMUL_PORT, port, &v, size, false));
	emul_set_reg(e, R_RAX, size, v);
	return EMUL_DONE;
}

enum emul_result
emul_out(struct emul *e)
{
	u16 port = port_of(e, e->in.dst);
	unsigned size = port_size(e);

	TRY(check_port(e, port, size));
	return emul_access(e, EMUL_PORT, port, &e->gpr[R_RAX], size, true);
}

/* A fault of the destination comes before the device notices anything. */
enum emul_result
emul_ins(struct emul *e)
{
	unsigned size = port_size(e);
	u16 port = port_of(e, A_DX);
	u64 v = 0;

	TRY(check_port(e, port, size)); /* even of no access */
	if (is_empty(e))
		return EMUL_DONE;
	TRY(emul_write(e, destination(e), &v, size));
	TRY(emul_access(e, EMUL_PORT, port, e->writes[0].data, size, false));
	step(e, R_RDI, size);
	return finish(e);
}

enum emul_result
emul_outs(struct emul *e)
{
	unsigned size = port_size(e);
	u16 port = port_of(e, A_DX);
	u64 v = 0;

	TRY(check_port(e, port, size)); /* even of no access */
	if (is_empty(e))
		return EMUL_DONE;
	TRY(emul_read(e, source(e), &v, size));
	TRY(emul_access(e, EMUL_PORT, port, &v, size, true));
	step(e, R_RSI, size);
	return finish(e);
}
