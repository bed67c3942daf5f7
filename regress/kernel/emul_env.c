// SPDX-License-Identifier: (ISC OR GPL-2.0)
#include <stdlib.h>
#include "emul_env.h"
#include "x86.h"

#define TASK_SIZE 0x7ffffffff000ULL
/* In the kernel's half; what is there is not accessible for the process. */
#define GDT 0xffffc90000000000ULL
#define LDT 0xffffc90000001000ULL

static struct env *
env_of(struct emul *e)
{
	return e->arg;
}

/* Memory at a physical address, which is the linear one. */
static u8 *
find(struct env *v, u64 at, unsigned len, bool write)
{
	if (at - NATIVE_DATA < NATIVE_RW_LEN &&
	    len <= NATIVE_DATA + NATIVE_RW_LEN - at)
		return &v->rw[at - NATIVE_DATA];
	if (at - NATIVE_RO < NATIVE_RO_LEN &&
	    len <= NATIVE_RO + NATIVE_RO_LEN - at && !write)
		return &v->ro[at - NATIVE_RO];
	if (at - NATIVE_CODE < NATIVE_CODE_LEN &&
	    len <= NATIVE_CODE + NATIVE_CODE_LEN - at && !write)
		return &v->code[at - NATIVE_CODE];
	return NULL;
}

/* The tables, for the CPU itself only. */
static u8 *
find_table(struct env *v, u64 at, unsigned len)
{
	if (at - GDT < sizeof(v->gdt) && len <= GDT + sizeof(v->gdt) - at)
		return (u8 *)v->gdt + (at - GDT);
	if (at - LDT < sizeof(v->ldt) && len <= LDT + sizeof(v->ldt) - at)
		return (u8 *)v->ldt + (at - LDT);
	return NULL;
}

static bool
is_device(const struct env *v, u64 at)
{
	return v->device && at - NATIVE_DATA < NATIVE_RW_LEN;
}

static int
page_fault(struct emul *e, u64 va, u32 error)
{
	e->fault = (struct fault){
		.vector = X86_PF,
		.has_error = true,
		.error = error,
		.cr2 = va,
	};
	return 1;
}

static int
translate(
    struct emul *e, struct gva va, unsigned access, struct gpa *gpa, u64 *left)
{
	struct env *v = env_of(e);
	bool write = (access & WALK_WRITE) != 0;
	u32 error = 0;

	if (access & WALK_USER)
		error |= X86_PFEC_U;
	if (write)
		error |= X86_PFEC_W;
	if (access & WALK_FETCH)
		error |= X86_PFEC_ID;
	if (!(access & WALK_FETCH) &&
	    (va.v - NATIVE_CODE < NATIVE_CODE_LEN ||
		va.v - NATIVE_OWN < NATIVE_OWN_LEN))
		v->strayed = true;
	gpa->v = va.v;
	*left = 0x1000 - (va.v & 0xfff);
	if ((access & WALK_IMPLICIT) && find_table(v, va.v, 1))
		return 0;
	if (find(v, va.v, 1, write))
		return 0;
	/* The kernel says "present" of its own addresses. */
	if (find(v, va.v, 1, false) || va.v >= TASK_SIZE)
		error |= X86_PFEC_P;
	return page_fault(e, va.v, error);
}

static int
ram_read(struct emul *e, struct gpa at, void *buf, unsigned len)
{
	const u8 *p = find(env_of(e), at.v, len, false);

	if (!p)
		p = find_table(env_of(e), at.v, len);
	if (!p || is_device(env_of(e), at.v))
		return -EREMOTE;
	memcpy(buf, p, len);
	return 0;
}

static int
ram_write(struct emul *e, struct gpa at, const void *buf, unsigned len)
{
	u8 *p = find(env_of(e), at.v, len, true);

	if (!p || is_device(env_of(e), at.v))
		return -EREMOTE;
	memcpy(p, buf, len);
	return 0;
}

static int
ram_cmpxchg(struct emul *e, struct gpa at, const void *old, const void *new,
    unsigned len)
{
	u8 *p = find(env_of(e), at.v, len, true);

	if (!p || is_device(env_of(e), at.v))
		return -EREMOTE;
	if (memcmp(p, old, len) != 0)
		return -EAGAIN;
	memcpy(p, new, len);
	return 0;
}

static int
no_mmio(struct emul *e, struct gpa at, void *data, unsigned len, bool write)
{
	return -EREMOTE;
}

static int
no_port(struct emul *e, u16 port, void *data, unsigned len, bool write)
{
	return -EREMOTE;
}

static int
no_set_cr(struct emul *e, unsigned cr, u64 v)
{
	return 1;
}

static int
no_rdmsr(struct emul *e, u32 msr, u64 *v)
{
	return 1;
}

static int
no_wrmsr(struct emul *e, u32 msr, u64 v)
{
	return 1;
}

static void
no_invlpg(struct emul *e, struct gva va)
{
}

static void
xmm_get(struct emul *e, unsigned n, void *buf, unsigned len)
{
	memcpy(buf, env_of(e)->ymm[n], len);
}

static void
xmm_set(struct emul *e, unsigned n, const void *buf, unsigned len)
{
	memcpy(env_of(e)->ymm[n], buf, len);
}

static void
real_cpuid(struct emul *e)
{
	u64 *g = e->gpr;

	asm("cpuid"
	    : "=a"(g[R_RAX]), "=b"(g[R_RBX]), "=c"(g[R_RCX]), "=d"(g[R_RDX])
	    : "a"(g[R_RAX]), "c"(g[R_RCX]));
}

static u16
x87(struct emul *e, unsigned op)
{
	u16 word = 0;

	(void)e;
	if (op == OP_FNSTSW)
		asm volatile("fnstsw %0" : "=m"(word));
	else if (op == OP_FNSTCW)
		asm volatile("fnstcw %0" : "=m"(word));
	return word;
}

static const struct emul_ops ops = {
	.translate = translate,
	.ram_read = ram_read,
	.ram_write = ram_write,
	.ram_cmpxchg = ram_cmpxchg,
	.mmio = no_mmio,
	.port = no_port,
	.set_cr = no_set_cr,
	.rdmsr = no_rdmsr,
	.wrmsr = no_wrmsr,
	.invlpg = no_invlpg,
	.xmm_get = xmm_get,
	.xmm_set = xmm_set,
	.cpuid = real_cpuid,
	.x87 = x87,
};

static void
need_nothing(struct gcpu *c, unsigned groups)
{
	c->valid |= groups;
}

void
env_init(struct env *v)
{
	static const struct gcpu_ops cpu_ops = { .need = need_nothing };

	memset(v, 0, sizeof(*v));
	memset(v->code, 0xcc, sizeof(v->code));
	v->cpu.ops = &cpu_ops;
	v->e.cpu = &v->cpu;
	v->e.ops = &ops;
	v->e.arg = v;
	v->e.avx = true;
}

/* Linux tells a process by a limit which CPU it runs on. */
static u64
cpu_number(void)
{
	u32 rights = 0, limit = 0;

	asm("lar %2, %0; lsl %2, %1"
	    : "=&r"(rights), "=&r"(limit)
	    : "r"(0x78 | 3));
	return (u64)(rights & 0x00f0ff00) << 32 | (limit & 0xffff) |
	    (u64)(limit & 0xf0000) << 32;
}

/* As Linux has them; the TLS entries are empty. */
static void
fill_tables(struct env *v)
{
	const struct native_segment *s;
	unsigned i;

	v->gdt[1] = 0x00cf9b000000ffff;
	v->gdt[2] = 0x00af9b000000ffff;
	v->gdt[3] = 0x00cf93000000ffff;
	v->gdt[4] = 0x00cffb000000ffff;
	v->gdt[5] = 0x00cff3000000ffff;
	v->gdt[6] = 0x00affb000000ffff;
	v->gdt[15] = cpu_number();
	for (i = 1; i < LDT_COUNT; i++) {
		s = &native_ldt[i];
		v->ldt[i] = (s->limit & 0xffff) | (s->base & 0xffffff) << 16 |
		    (u64)(s->attr & 0xff) << 40 | (u64)(s->limit >> 16) << 48 |
		    (u64)(s->attr & 0xf00) << 44 | s->base >> 24 << 56;
	}
}

void
env_segment(struct env *v, unsigned n, u16 sel)
{
	const struct native_segment *ldt = &native_ldt[sel >> 3];
	struct seg *s = &v->cpu.seg[n];

	*s = (struct seg){ .sel = sel };
	if (is_ldt(sel))
		*s = (struct seg){ sel, ldt->attr, ldt->limit, ldt->base };
	else if (sel == USER_DS)
		*s = (struct seg){ sel, 0xcf3, 0xffffffff, 0 };
	else if (sel == USER_CS)
		*s = (struct seg){ sel, 0xafb, 0xffffffff, 0 };
	else if (sel == USER32_CS)
		*s = (struct seg){ sel, 0xcfb, 0xffffffff, 0 };
}

void
env_user(struct env *v)
{
	struct gcpu *c = &v->cpu;
	unsigned i;

	c->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE |
	    X86_CR0_WP | X86_CR0_AM | X86_CR0_PG;
	c->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT |
	    X86_CR4_OSXSAVE | X86_CR4_UMIP;
	c->efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	c->cpl = 3;
	for (i = 0; i < CPU_NSEGS; i++)
		c->seg[i] = (struct seg){ 0 };
	c->gdt = (struct dtable){ GDT, sizeof(v->gdt) - 1 };
	c->seg[SEG_LDTR] = (struct seg){ 0x50, 0x82, sizeof(v->ldt) - 1, LDT };
	fill_tables(v);
}

/* The device is memory that is asked one access at a time. */
static void
answer(struct env *v)
{
	struct emul_io *io = v->e.pending;
	u8 *p = find(v, io->addr, io->len, io->write);

	if (!p || io->done)
		abort();
	if (io->write) {
		memcpy(p, io->data, io->len);
		v->writes++;
	} else {
		memcpy(io->data, p, io->len);
		v->reads++;
	}
	io->done = true;
}

enum emul_result
env_run(struct env *v)
{
	enum emul_result r;

	v->strayed = false;
	v->reads = v->writes = 0;
	emul_begin(&v->e);
	while ((r = emul_run(&v->e)) == EMUL_IO)
		answer(v);
	return r;
}
