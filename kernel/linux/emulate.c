// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * What core/emul.c needs of a vCPU and of its VM, and what becomes of its
 * results.
 */
#include <linux/sched/signal.h>
#include <asm/fpu/api.h>
#include "../core/x86.h"
#include "clock.h"
#include "cpuid.h"
#include "debug.h"
#include "linear.h"
#include "mmio.h"
#include "mmu.h"

/* Tries of an instruction whose atomic access loses each time. */
#define TRIES	1000
#define PAGE_IN 4096ULL

static struct vcpu *
of(struct emul *e)
{
	return e->arg;
}

static int
translate(
    struct emul *e, struct gva va, unsigned access, struct gpa *gpa, u64 *left)
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

	if (r == 0)
		mmu_written(of(e)->vm, gpa, len);
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
	return pio_device(of(e), port, data, len, write) ? 0 : -EREMOTE;
}

static int
gp(struct emul *e)
{
	e->fault = (struct fault){ .vector = X86_GP, .has_error = true };
	return 1;
}

static int
get_msr(struct emul *e, u32 msr, u64 *val)
{
	return msr_read(of(e), msr, val, false) ? gp(e) : 0;
}

static int
set_msr(struct emul *e, u32 msr, u64 val)
{
	return msr_write(of(e), msr, val, false) ? gp(e) : 0;
}

static void
invlpg(struct emul *e, struct gva va)
{
	mmu_invlpg(of(e), va);
	hv->flush_tlb(of(e)->hv);
}

static int
set_cr(struct emul *e, unsigned n, u64 val)
{
	struct vcpu *v = of(e);
	struct gcpu *c = vcpu_state(v);
	int r = 0;

	switch (n) {
	case 0:
		r = cpu_set_cr0(c, val);
		break;
	case 2:
		c->cr2 = val;
		break;
	case 3:
		r = cpu_set_cr3(c, val);
		break;
	case 4:
		r = cpu_set_cr4(c, val);
		break;
	case 8:
		r = val > 15;
		if (!r)
			vcpu_set_cr8(v, val);
		break;
	default:
		r = 1;
		break;
	}
	if (r)
		return gp(e);
	cpu_dirty(c, CPU_CRS);
	mmu_invalidate(v);
	hv->flush_tlb(v->hv);
	return 0;
}

/* The guest's vector registers are in the CPU during KVM_RUN, or where the
 * scheduler has put them. */
static void
fpu_take(void)
{
	fpregs_lock();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

#define XMM_LOW(X)  X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define XMM_HIGH(X) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

static void
xmm_get(struct emul *e, unsigned n, void *buf, unsigned len)
{
	fpu_take();
	switch (len == 32 ? n + 16 : n) {
#define X(r)                                           \
	case r:                                        \
		asm volatile("movdqu %%xmm" #r ", %0"  \
			     : "=m"(*(u8(*)[16])buf)); \
		break;                                 \
	case 16 + r:                                   \
		asm volatile("vmovdqu %%ymm" #r ", %0" \
			     : "=m"(*(u8(*)[32])buf)); \
		break;
		XMM_LOW(X)
		XMM_HIGH(X)
#undef X
	}
	fpregs_unlock();
}

static void
xmm_set(struct emul *e, unsigned n, const void *buf, unsigned len)
{
	fpu_take();
	switch (len == 32 ? n + 16 : n) {
#define X(r)                                                              \
	case r:                                                           \
		asm volatile(                                             \
		    "movdqu %0, %%xmm" #r ::"m"(*(const u8(*)[16])buf));  \
		break;                                                    \
	case 16 + r:                                                      \
		asm volatile(                                             \
		    "vmovdqu %0, %%ymm" #r ::"m"(*(const u8(*)[32])buf)); \
		break;
		XMM_LOW(X)
		XMM_HIGH(X)
#undef X
	}
	fpregs_unlock();
}

static void
answer_cpuid(struct emul *e)
{
	const struct vcpu *v = of(e);

	cpuid_answer(v->cpuid, v->ncpuid, e->cpu, e->gpr);
}

static u16
x87(struct emul *e, unsigned op)
{
	u16 word = 0;

	fpu_take();
	if (op == OP_FNINIT)
		asm volatile("fninit");
	else if (op == OP_FNSTSW)
		asm volatile("fnstsw %0" : "=m"(word));
	else
		asm volatile("fnstcw %0" : "=m"(word));
	fpregs_unlock();
	return word;
}

static u64
guest_tsc(struct emul *e)
{
	return clock_guest_tsc(of(e), rdtsc());
}

static const struct emul_ops ops = {
	.translate = translate,
	.ram_read = ram_read,
	.ram_write = ram_write,
	.ram_cmpxchg = ram_cmpxchg,
	.mmio = device,
	.port = port,
	.set_cr = set_cr,
	.rdmsr = get_msr,
	.wrmsr = set_msr,
	.invlpg = invlpg,
	.xmm_get = xmm_get,
	.xmm_set = xmm_set,
	.cpuid = answer_cpuid,
	.x87 = x87,
	.tsc = guest_tsc,
};

void
emulate_raise(struct vcpu *v, const struct fault *f)
{
	event_raise_payload(&v->event,
	    &(struct event){
		.type = EVENT_EXCEPTION,
		.vector = f->vector,
		.has_error = f->has_error,
		.error = f->error,
		.has_payload = f->vector == X86_PF,
		.payload = f->cr2,
	    });
}

/* #UD for the guest, and its end when it was the kernel's: KVM's answer. */
enum next
emulate_failed(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	const struct emul *e = &v->emul;

	event_raise(&v->event, X86_UD, false, 0);
	if (vcpu_state(v)->cpl != 0)
		return NEXT_ENTER;
	memset(&run->emulation_failure, 0, sizeof(run->emulation_failure));
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 1;
	if (e->insn_len > 0) {
		run->emulation_failure.ndata = 3;
		run->emulation_failure.flags =
		    KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = e->insn_len;
		memcpy(run->emulation_failure.insn_bytes, e->insn, e->insn_len);
	}
	return NEXT_USER;
}

static enum next
io_to_user(struct vcpu *v)
{
	const struct emul_io *io = v->emul.pending;
	struct gpa gpa = { io->addr };

	v->pending.kind = PENDING_EMUL;
	v->pending.rip = vcpu_state(v)->rip;
	if (io->space == EMUL_MMIO)
		return mmio_to_user(v, gpa, io->data, io->len, io->write);
	return pio_to_user(v, (u16)io->addr, io->data, io->len, 1, io->write);
}

static enum next
run(struct vcpu *v)
{
	struct emul *e = &v->emul;
	unsigned tries;

	vcpu_attend(v);
	for (tries = 0; tries < TRIES; tries++) {
		switch (emul_run(e)) {
		case EMUL_DONE:
			if (e->in.op == OP_IRET)
				event_iret_done(&v->event);
			emulate_done(v, e->shadow);
			return NEXT_ENTER;
		case EMUL_HLT:
			emulate_done(v, false);
			return exits_halt(v);
		case EMUL_FAULT:
			emulate_raise(v, &e->fault);
			return NEXT_ENTER;
		case EMUL_IO:
			return io_to_user(v);
		case EMUL_UNHANDLED:
			return emulate_failed(v);
		case EMUL_AGAIN:
			if (e->io_n == 0)
				return NEXT_ENTER;
			break;
		}
	}
	return emulate_failed(v);
}

static struct emul *
begin(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);
	struct emul *e = &v->emul;

	cpu_need(c, CPU_SEGS | CPU_CRS);
	emul_begin(e);
	e->cpu = c;
	e->ops = &ops;
	e->arg = v;
	e->avx = (c->cr4 & X86_CR4_OSXSAVE) && (c->xcr0 & 4);
	return e;
}

enum next
emulate(struct vcpu *v, const u8 *bytes, unsigned n)
{
	struct emul *e = begin(v);

	e->insn_len = (u8)n;
	memcpy(e->insn, bytes, n);
	return run(v);
}

/*
 * The event that came by a task gate has arrived when the new task runs; before,
 * its delivery was cut off.
 */
enum next
emulate_task(struct vcpu *v)
{
	const struct hv_info *i = &v->hv->info;
	const struct event *cut = &v->hv->cut;
	struct task_switch t = {
		.why = i->task.why,
		.sel = i->task.sel,
		.len = i->task.len,
		.has_error = cut->type == EVENT_EXCEPTION && cut->has_error,
		.error = cut->error,
	};
	struct emul *e = begin(v);
	enum emul_result r;
	bool switched;

	vcpu_attend(v);
	cpu_need(vcpu_state(v), CPU_DRS);
	r = emul_task_switch(e, &t, &switched);
	if (switched) {
		v->event.again.type = EVENT_NONE;
		if (t.why == TASK_IRET)
			event_iret_done(&v->event);
		v->hv->intr_shadow = false;
	}
	if (r == EMUL_FAULT)
		emulate_raise(v, &e->fault);
	else if (r != EMUL_DONE && r != EMUL_AGAIN)
		return emulate_failed(v);
	return NEXT_ENTER;
}

enum emul_result
emulate_interrupt(struct vcpu *v, u8 vector, unsigned len)
{
	vcpu_attend(v);
	return emul_interrupt(begin(v), vector, len);
}

enum next
emulate_complete(struct vcpu *v)
{
	struct emul_io *io = v->emul.pending;

	cpu_need(vcpu_state(v), CPU_SEGS | CPU_CRS);
	if (!io->write)
		memcpy(io->data,
		    io->space == EMUL_MMIO ? v->run->mmio.data
					   : (u8 *)v->run + PAGE_SIZE,
		    io->len);
	io->done = true;
	return run(v);
}
