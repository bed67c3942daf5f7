// SPDX-License-Identifier: (ISC OR GPL-2.0)
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "emul_machine.h"
#include "x86.h"

static void
note(struct machine *m, char kind, u64 at, unsigned len, u64 v)
{
	assert_true(m->nlog < 16);
	m->log[m->nlog++] = (struct access){ kind, at, (u8)len, v };
}

static int
translate(
    struct emul *e, struct gva va, unsigned access, struct gpa *gpa, u64 *left)
{
	bool write = (access & WALK_WRITE) != 0;
	u64 page = va.v & ~0xfffULL;

	gpa->v = va.v;
	*left = 0x1000 - (va.v & 0xfff);
	if (page != MISSING && !(page == READ_ONLY && write))
		return 0;
	e->fault = (struct fault){
		.vector = X86_PF,
		.has_error = true,
		.error = (page == READ_ONLY ? X86_PFEC_P : 0) |
		    (write ? X86_PFEC_W : 0) |
		    ((access & WALK_USER) ? X86_PFEC_U : 0) |
		    ((access & WALK_FETCH) ? X86_PFEC_ID : 0),
		.cr2 = va.v,
	};
	return 1;
}

static int
ram_read(struct emul *e, struct gpa at, void *buf, unsigned len)
{
	struct machine *m = e->arg;

	assert_true((at.v & 0xfff) + len <= 0x1000);
	if (at.v >= RAM_LEN)
		return -EREMOTE;
	if (at.v >> 12 == CODE >> 12)
		m->fetches++;
	memcpy(buf, m->ram + at.v, len);
	return 0;
}

static int
ram_write(struct emul *e, struct gpa at, const void *buf, unsigned len)
{
	struct machine *m = e->arg;

	assert_true((at.v & 0xfff) + len <= 0x1000);
	if (at.v >= RAM_LEN)
		return -EREMOTE;
	memcpy(m->ram + at.v, buf, len);
	return 0;
}

static int
ram_cmpxchg(struct emul *e, struct gpa at, const void *old, const void *new,
    unsigned len)
{
	struct machine *m = e->arg;

	assert_true((at.v & 0xfff) + len <= 0x1000);
	if (at.v >= RAM_LEN)
		return -EREMOTE;
	if (memcmp(m->ram + at.v, old, len) != 0)
		return -EAGAIN;
	memcpy(m->ram + at.v, new, len);
	return 0;
}

static int
mmio(struct emul *e, struct gpa at, void *data, unsigned len, bool write)
{
	return -EREMOTE;
}

/* Port 80 is the kernel's. */
static int
port(struct emul *e, u16 at, void *data, unsigned len, bool write)
{
	return at == 0x80 ? 0 : -EREMOTE;
}

static int
refuse(struct emul *e)
{
	e->fault = (struct fault){
		.vector = X86_GP,
		.has_error = (e->cpu->cr0 & X86_CR0_PE) != 0,
	};
	return 1;
}

static int
set_cr(struct emul *e, unsigned n, u64 v)
{
	struct gcpu *c = e->cpu;

	switch (n) {
	case 0:
		c->cr0 = v;
		break;
	case 4:
		if (v >> 24 != 0)
			return refuse(e);
		c->cr4 = v;
		break;
	case 8:
		c->cr8 = v;
		break;
	}
	return 0;
}

static int
rdmsr(struct emul *e, u32 msr, u64 *v)
{
	if (msr == 0xbad)
		return refuse(e);
	*v = 0x123456780000 | msr;
	return 0;
}

static int
wrmsr(struct emul *e, u32 msr, u64 v)
{
	note(e->arg, 'm', msr, 8, v);
	return 0;
}

static void
invlpg(struct emul *e, struct gva va)
{
	note(e->arg, 'p', va.v, 0, 0);
}

static void
xmm_get(struct emul *e, unsigned n, void *buf, unsigned len)
{
	unsigned i;

	for (i = 0; i < len; i++)
		((u8 *)buf)[i] = (u8)i;
}

static void
xmm_set(struct emul *e, unsigned n, const void *buf, unsigned len)
{
}

static void
cpuid(struct emul *e)
{
	e->gpr[R_RAX] = (u32)e->gpr[R_RAX] + 1U;
	e->gpr[R_RBX] = 0xb;
	e->gpr[R_RCX] = (u32)e->gpr[R_RCX] + 1U;
	e->gpr[R_RDX] = 0xd;
}

/* What each has in it, as its own word. */
static u16
x87(struct emul *e, unsigned op)
{
	(void)e;
	return op == OP_FNSTCW ? 0x37f : 0x3800;
}

static u64
tsc(struct emul *e)
{
	(void)e;
	return 0x1122334455667788ULL;
}

static const struct emul_ops ops = {
	.translate = translate,
	.ram_read = ram_read,
	.ram_write = ram_write,
	.ram_cmpxchg = ram_cmpxchg,
	.mmio = mmio,
	.port = port,
	.set_cr = set_cr,
	.rdmsr = rdmsr,
	.wrmsr = wrmsr,
	.invlpg = invlpg,
	.xmm_get = xmm_get,
	.xmm_set = xmm_set,
	.cpuid = cpuid,
	.x87 = x87,
	.tsc = tsc,
};

static void
need_nothing(struct gcpu *c, unsigned groups)
{
	c->valid |= groups;
}

static const u64 gdt[16] = {
	[1] = 0x00cf9b000000ffff, /* 08: 32-bit code */
	[2] = 0x00cf93000000ffff, /* 10: data */
	[3] = 0x00009b010000ffff, /* 18: 16-bit code */
	[4] = 0x000093002000ffff, /* 20: 16-bit data */
	[5] = 0x00cff2000000ffff, /* 28: user data, not accessed */
	[6] = 0x00cffb000000ffff, /* 30: user code */
	[7] = 0x0000890090000087, /* 38: TSS */
	[8] = 0x0000820091000017, /* 40: LDT */
	[9] = 0x00cf12000000ffff, /* 48: data, not present */
	[10] = 0x00cf98000000ffff, /* 50: code, execute only */
	[11] = 0x00cf9e000000ffff, /* 58: code, conforming */
	[12] = 0x00008c0000080100, /* 60: call gate */
	[14] = 0x00af9b000000ffff, /* 70: 64-bit code */
	[15] = 0x00cf1b000000ffff, /* 78: code, not present */
};

static void
set_segments(struct gcpu *c, struct seg cs, struct seg data)
{
	unsigned i;

	for (i = SEG_ES; i <= SEG_GS; i++)
		c->seg[i] = data;
	c->seg[SEG_CS] = cs;
}

void
machine_start(struct machine *m, enum mode mode)
{
	static const struct gcpu_ops cpu_ops = { .need = need_nothing };
	static const struct seg real_cs = { 0x1000, 0x9b, 0xffff, 0x10000 };
	static const struct seg real_data = { 0, 0x93, 0xffff, 0 };
	struct gcpu *c = &m->cpu;

	memset(m, 0, sizeof(*m));
	m->e.cpu = c;
	m->e.ops = &ops;
	m->e.arg = m;
	c->ops = &cpu_ops;
	memcpy(m->ram + GDT, gdt, sizeof(gdt));
	memcpy(m->ram + LDT + 8, &(u64){ 0x0040930030000fff }, 8);
	c->gdt = (struct dtable){ GDT, sizeof(gdt) - 1 };
	c->idt = (struct dtable){ 0, 0x3ff };
	c->seg[SEG_LDTR] = (struct seg){ 0x80, 0x82, 0x17, LDT };
	c->seg[SEG_TR] = (struct seg){ 0x88, 0x8b, 0x87, TSS };
	c->gpr[R_RSP] = 0x7000;
	c->rflags = X86_RFLAGS_ONE;
	c->dr6 = 0xffff0ff0;
	c->dr7 = 0x400;
	c->cr0 = mode == REAL ? X86_CR0_ET : X86_CR0_ET | X86_CR0_PE;
	c->rip = CODE;
	switch (mode) {
	case V86:
		c->cpl = 3;
		c->rflags |= X86_RFLAGS_VM;
		/* FALLTHROUGH */
	case REAL:
		c->rip = 0x100;
		set_segments(c, real_cs, real_data);
		break;
	case PROT32:
		set_segments(c, (struct seg){ 8, 0xc9b, 0xffffffff, 0 },
		    (struct seg){ 0x10, 0xc93, 0xffffffff, 0 });
		break;
	case USER32:
		c->cpl = 3;
		set_segments(c, (struct seg){ 0x33, 0xcfb, 0xffffffff, 0 },
		    (struct seg){ 0x2b, 0xcf3, 0xffffffff, 0 });
		break;
	case LONG64:
		c->efer = X86_EFER_LME | X86_EFER_LMA;
		c->cr0 |= X86_CR0_PG;
		c->cr4 = X86_CR4_PAE;
		set_segments(c, (struct seg){ 0x70, 0xa9b, 0xffffffff, 0 },
		    (struct seg){ 0x10, 0xc93, 0xffffffff, 0 });
		break;
	}
}

/* Registers that are whole u64s of struct gcpu; NULL: others. */
static u64 *
wide(struct gcpu *c, enum reg r)
{
	if (r >= RAX && r <= RDI)
		return &c->gpr[r - RAX];
	switch (r) {
	case RIP:
		return &c->rip;
	case FLAGS:
		return &c->rflags;
	case ES_BASE:
		return &c->seg[SEG_ES].base;
	case CS_BASE:
		return &c->seg[SEG_CS].base;
	case DS_BASE:
		return &c->seg[SEG_DS].base;
	case GS_BASE:
		return &c->seg[SEG_GS].base;
	case TR_BASE:
		return &c->seg[SEG_TR].base;
	case CR0:
		return &c->cr0;
	case CR2:
		return &c->cr2;
	case CR4:
		return &c->cr4;
	case CR8:
		return &c->cr8;
	case DR0:
		return &c->dr[0];
	case DR6:
		return &c->dr6;
	case DR7:
		return &c->dr7;
	case KERNEL_GS:
		return &c->kernel_gs_base;
	case GDT_BASE:
		return &c->gdt.base;
	case IDT_BASE:
		return &c->idt.base;
	default:
		return NULL;
	}
}

u64
machine_get(struct gcpu *c, enum reg r)
{
	const u64 *p = wide(c, r);

	if (p)
		return *p;
	if (r >= ES && r <= TR)
		return c->seg[r - ES].sel;
	switch (r) {
	case DS_ATTR:
		return c->seg[SEG_DS].attr;
	case DS_LIMIT:
		return c->seg[SEG_DS].limit;
	case TR_LIMIT:
		return c->seg[SEG_TR].limit;
	case GDT_LIMIT:
		return c->gdt.limit;
	default:
		return c->idt.limit;
	}
}

void
machine_set(struct gcpu *c, enum reg r, u64 v)
{
	u64 *p = wide(c, r);

	if (p)
		*p = v;
	else if (r == DS_ATTR)
		c->seg[SEG_DS].attr = (u16)v;
	else if (r == DS_LIMIT)
		c->seg[SEG_DS].limit = (u32)v;
	else if (r == TR_LIMIT)
		c->seg[SEG_TR].limit = (u32)v;
	else
		c->idt.limit = (u16)v;
}

/* Devices answer with the low bytes of the address. */
void
machine_answer(struct machine *m)
{
	struct emul_io *io = m->e.pending;
	u64 v = 0;
	unsigned i;

	assert_false(io->done);
	if (io->write) {
		memcpy(&v, io->data, io->len);
		note(m, io->space == EMUL_PORT ? 'o' : 'w', io->addr, io->len,
		    v);
	} else {
		for (i = 0; i < io->len; i++)
			io->data[i] = (u8)(io->addr + i);
		note(m, io->space == EMUL_PORT ? 'i' : 'r', io->addr, io->len,
		    0);
	}
	io->done = true;
}

/* Between the calls the guest's registers are as they were before. */
enum emul_result
machine_run(struct machine *m)
{
	enum emul_result r;
	u64 rip = m->cpu.rip;

	emul_begin(&m->e);
	while ((r = emul_run(&m->e)) == EMUL_IO) {
		assert_int_equal(m->cpu.rip, rip);
		machine_answer(m);
	}
	return r;
}
