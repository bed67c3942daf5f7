// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * What core/emul.c needs of a vCPU and of its VM, and what becomes of its
 * results.
 */
#include <linux/sched/signal.h>
#include <asm/fpu/api.h>
#include "../core/x86.h"
#include "cpuid.h"
#include "ioeventfd.h"
#include "linear.h"
#include "mmio.h"

/* Tries of an instruction whose atomic access loses each time. */
#define TRIES	1000
#define PAGE_IN	4096ULL
#define DR6_BS	CORE_BIT(14)

static struct vcpu *
of(struct emul *e)
{
	return e->arg;
}

static int
translate(struct emul *e, struct gva va, unsigned access, struct gpa *gpa,
    u64 *left)
{
	if (linear_translate(of(e), va, access, gpa, &e->fault))
		return 1;
	*left = PAGE_IN - (va.v & (PAGE_IN - 1));
	return 0;
}

static int
ram_read(struct emul *e, struct gpa gpa, void *buf, unsigned len)
{
	return mem_read(of(e)->vm, gpa, buf, len) ? -EREMOTE : 0;
}

static int
ram_write(struct emul *e, struct gpa gpa, const void *buf, unsigned len)
{
	return mem_write(of(e)->vm, gpa, buf, len) ? -EREMOTE : 0;
}

static int
ram_cmpxchg(struct emul *e, struct gpa gpa, const void *old, const void *new,
    unsigned len)
{
	int r = mem_cmpxchg(of(e)->vm, gpa, old, new, len);

	return r == -EFAULT ? -EREMOTE : r;
}

static int
device(struct emul *e, struct gpa gpa, void *data, unsigned len, bool write)
{
	return mmio_device(of(e), gpa, data, len, write) ? 0 : -EREMOTE;
}

static int
port(struct emul *e, u16 port, void *data, unsigned len, bool write)
{
	if (write &&
	    ioeventfd_write(of(e)->vm, IOEVENT_PORT, port, data, len))
		return 0;
	return -EREMOTE;
}

static int
gp(struct emul *e)
{
	e->fault = (struct fault){ .vector = X86_GP, .has_error = true };
	return 1;
}

static int
rdmsr(struct emul *e, u32 msr, u64 *val)
{
	return msr_read(of(e), msr, val, false) ? gp(e) : 0;
}

static int
wrmsr(struct emul *e, u32 msr, u64 val)
{
	return msr_write(of(e), msr, val, false) ? gp(e) : 0;
}

static void
invlpg(struct emul *e, struct gva va)
{
	hv->flush_tlb(of(e)->hv);
}

/* MOV to CR0, CR3 and CR8 are the hardware's; it decodes those to CR4. */
static int
set_cr(struct emul *e, unsigned n, u64 val)
{
	struct vcpu *v = of(e);
	struct gcpu *c = vcpu_state(v);

	switch (n) {
	case 4:
		if (!cpu_cr4_allowed(c, val))
			return gp(e);
		c->cr4 = val;
		break;
	case 8:
		if (val > 15)
			return gp(e);
		lapic_set_cr8(&v->lapic, val);
		return 0;
	default:
		return gp(e);
	}
	cpu_dirty(c, CPU_CRS);
	hv->flush_tlb(v->hv);
	return 0;
}
