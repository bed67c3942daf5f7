// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Ports.  Each is user space's, but for those of the driver's chips and those
 * that an eventfd takes.
 *
 * INS and OUTS with a repeat count go to user space in batches that end with
 * their page of memory: it is translated, and a fault of it raised, before
 * user space sees the batch.  What such a batch cannot be made of (descending,
 * single-stepped, devices as memory, segments with more than a limit to check)
 * is the emulator's, one element at a time.
 */
#include "../core/walk.h"
#include "../core/x86.h"
#include "chipset.h"
#include "coalesced.h"
#include "ioeventfd.h"
#include "linear.h"
#include "mmio.h"

static u8 *
pio_data(struct vcpu *v)
{
	return (u8 *)v->run + PAGE_SIZE;
}

/* data: NULL when it is in place already, or there is none. */
enum next
pio_to_user(struct vcpu *v, u16 port, const void *data, unsigned size,
    unsigned count, bool write)
{
	struct kvm_run *run = v->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.size = (u8)size;
	run->io.port = port;
	run->io.count = count;
	run->io.data_offset = PAGE_SIZE;
	if (write && data)
		memcpy(pio_data(v), data, (size_t)size * count);
	return NEXT_USER;
}

static __always_inline bool
device(struct vcpu *v, u16 port, void *data, unsigned len, bool write)
{
	if (chipset_any(v->vm) && chipset_port(v->vm, port, data, len, write)) {
		vcpu_attend(v);
		return true;
	}
	if (!write)
		return false;
	return (ioeventfd_any(v->vm, IOEVENT_PORT) &&
		   ioeventfd_write(v->vm, IOEVENT_PORT, port, data, len)) ||
	    (coalesced_any(v->vm) &&
		coalesced_write(v->vm, true, port, data, len));
}

bool
pio_device(struct vcpu *v, u16 port, void *data, unsigned len, bool write)
{
	return device(v, port, data, len, write);
}

static u64
size_mask(unsigned size)
{
	return ~0ULL >> (64 - 8 * size);
}

static void
set_reg(u64 *r, unsigned size, u64 val)
{
	if (size < 4)
		*r = (*r & ~size_mask(size)) | (val & size_mask(size));
	else
		*r = val & size_mask(size);
}

static void
complete_string(struct vcpu *v)
{
	const struct pending *p = &v->pending;
	struct gcpu *c = vcpu_state(v);
	u64 *index = &c->gpr[p->string.in ? R_RDI : R_RSI];
	u64 *count = &c->gpr[R_RCX];
	unsigned len = p->string.count * p->size;

	/* A slot that went meanwhile takes nothing. */
	if (p->string.in)
		mem_write(v->vm, p->string.gpa, pio_data(v), len);
	set_reg(index, p->string.asize, *index + len);
	set_reg(count, p->string.asize, *count - p->string.count);
	if ((*count & size_mask(p->string.asize)) == 0)
		c->rip = p->next_rip;
}

void
pio_complete(struct vcpu *v)
{
	struct pending *p = &v->pending;
	struct gcpu *c = vcpu_state(v);
	u64 val = 0;

	if (p->kind == PENDING_STRING) {
		complete_string(v);
	} else {
		if (p->kind == PENDING_IN) {
			memcpy(&val, pio_data(v), p->size);
			set_reg(&c->gpr[R_RAX], p->size, val);
		}
		c->rip = p->next_rip;
	}
	p->kind = PENDING_NONE;
	emulate_done(v, false);
}

/* The segment needs no more than its limit checked; *left: bytes to there. */
static bool
simple_segment(const struct gcpu *c, const struct decoded *d, bool in, u64 off,
    struct gva *va, u64 *left)
{
	unsigned n = in ? SEG_ES : d->string_seg;
	const struct seg *s = &c->seg[n];

	if (d->bits == 64) {
		va->v = off + (n == SEG_FS || n == SEG_GS ? s->base : 0);
		*left = PAGE_SIZE;
		return (s64)(va->v << 16) >> 16 == (s64)va->v;
	}
	/* Present data, expand-up, writable. */
	if ((c->cr0 & X86_CR0_PE) &&
	    (s->attr & (SEG_P | SEG_S | 0xe)) != (SEG_P | SEG_S | 2))
		return false;
	if (off > s->limit)
		return false;
	va->v = (u32)(s->base + off);
	*left = (u64)s->limit - off + 1;
	return true;
}

/* How many elements one batch has, where it is; 0: none. */
static unsigned
batch(const struct gcpu *c, const struct decoded *d, bool in, unsigned size,
    struct gva *va)
{
	u64 off = c->gpr[in ? R_RDI : R_RSI] & size_mask(d->asize);
	u64 count = c->gpr[R_RCX] & size_mask(d->asize);
	u64 left;

	if (!d->rep || (c->rflags & (X86_RFLAGS_DF | X86_RFLAGS_TF)) ||
	    (c->cpl == 3 && (c->rflags & X86_RFLAGS_AC)) ||
	    !simple_segment(c, d, in, off, va, &left))
		return 0;
	left = min(left, size_mask(d->asize) - off);
	left = min_t(u64, left, PAGE_SIZE - (va->v & ~PAGE_MASK));
	return (unsigned)min_t(u64, count, left / size);
}

/* Each element of OUTS on its own. */
static bool
taken_alone(struct vm *vm, u16 port)
{
	return ioeventfd_at(vm, IOEVENT_PORT, port) ||
	    coalesced_at(vm, true, port);
}

static enum next
serve_string(struct vcpu *v)
{
	const struct hv_info *i = &v->hv->info;
	struct gcpu *c = vcpu_state(v);
	unsigned n, have, access, size = i->io.size;
	struct fault fault;
	struct decoded d;
	u8 insn[DECODE_MAX];
	struct gpa gpa;
	struct gva va;

	cpu_need(c, CPU_SEGS | CPU_CRS);
	have = linear_fetch(v, insn);
	if (chipset_has_port(v->vm, i->io.port) ||
	    decode(insn, have, cpu_mode_bits(c), &d) != 0 ||
	    d.op != (i->io.in ? OP_INS : OP_OUTS) ||
	    (!i->io.in && taken_alone(v->vm, i->io.port)))
		return emulate(v, insn, have);
	n = batch(c, &d, i->io.in, size, &va);
	if (n < 2)
		return emulate(v, insn, have);
	access =
	    (i->io.in ? WALK_WRITE : WALK_READ) | (c->cpl == 3 ? WALK_USER : 0);
	if (linear_translate(v, va, access, &gpa, &fault)) {
		emulate_raise(v, &fault);
		return NEXT_ENTER;
	}
	if (i->io.in ? !mem_present(v->vm, gpa, n * size, true)
		     : mem_read(v->vm, gpa, pio_data(v), n * size) != 0)
		return emulate(v, insn, have);
	v->pending = (struct pending){
		.kind = PENDING_STRING,
		.rip = c->rip,
		.next_rip = i->next_rip,
		.size = (u8)size,
		.string = { i->io.in, d.asize, n, gpa },
	};
	return pio_to_user(v, i->io.port, NULL, size, n, !i->io.in);
}

enum next
pio_serve(struct vcpu *v)
{
	struct gcpu *c = vcpu_state(v);
	const struct hv_info *i = &v->hv->info;
	u64 val = c->gpr[R_RAX];

	if (i->io.string)
		return serve_string(v);
	if (device(v, i->io.port, &val, i->io.size, !i->io.in)) {
		if (i->io.in)
			set_reg(&c->gpr[R_RAX], i->io.size, val);
		c->rip = i->next_rip;
		emulate_done(v, false);
		return NEXT_ENTER;
	}
	v->pending.kind = i->io.in ? PENDING_IN : PENDING_OUT;
	v->pending.rip = c->rip;
	v->pending.next_rip = i->next_rip;
	v->pending.size = i->io.size;
	if (!i->io.in) /* of which user space takes so many bytes */
		*(u32 *)pio_data(v) = (u32)val;
	return pio_to_user(v, i->io.port, NULL, i->io.size, 1, !i->io.in);
}
