// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Memory-mapped devices: the local APIC's page, eventfds, and user space.  The
 * moves of core/mov.c are served at once; all else goes to the emulator.
 */
#include "../core/mov.h"
#include "../core/x86.h"
#include "chipset.h"
#include "coalesced.h"
#include "ioeventfd.h"
#include "linear.h"
#include "mmio.h"

#define LAPIC_PAGE 0xfffULL

/*
 * APM vol. 2 "APIC Registers": 32 bits on each 16-byte boundary.  A wider or
 * unaligned write does nothing, a read of the gaps gives 0.
 */
static void
lapic_page(struct vcpu *v, u32 off, void *data, unsigned len, bool write)
{
	u32 val = 0;

	if (write) {
		if (len != 4 || (off & 15))
			return;
		memcpy(&val, data, sizeof(val));
		lapic_mmio_write(&v->lapic, off, val);
		return;
	}
	memset(data, 0, len);
	if ((off & 15) + len > sizeof(val))
		return;
	lapic_mmio_read(&v->lapic, off & ~15U, &val);
	memcpy(data, (u8 *)&val + (off & 15), len);
}

bool
mmio_device(
    struct vcpu *v, struct gpa gpa, void *data, unsigned len, bool write)
{
	u64 base = v->lapic.base_msr;

	if (v->vm->apics && ((gpa.v ^ base) & ~LAPIC_PAGE) == 0) {
		if ((base & LAPIC_BASE_ENABLE) && !(base & LAPIC_BASE_X2))
			lapic_page(v, gpa.v & LAPIC_PAGE, data, len, write);
		else if (!write) /* nobody is there */
			memset(data, 0xff, len);
		vcpu_attend(v);
		return true;
	}
	if (chipset_any(v->vm) && chipset_mmio(v->vm, gpa, data, len, write)) {
		vcpu_attend(v);
		return true;
	}
	return write &&
	    (ioeventfd_write(v->vm, IOEVENT_MMIO, gpa.v, data, len) ||
		(coalesced_any(v->vm) &&
		    coalesced_write(v->vm, false, gpa.v, data, len)));
}

enum next
mmio_to_user(
    struct vcpu *v, struct gpa gpa, const void *data, unsigned len, bool write)
{
	struct kvm_run *run = v->run;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = gpa.v;
	run->mmio.len = len;
	run->mmio.is_write = write;
	if (write) {
		memset(run->mmio.data, 0, sizeof(run->mmio.data));
		memcpy(run->mmio.data, data, len);
	}
	return NEXT_USER;
}

static void
step_over(struct vcpu *v, unsigned len)
{
	struct gcpu *c = vcpu_state(v);

	c->rip += len;
	if (cpu_mode_bits(c) != 64)
		c->rip = (u32)c->rip;
	emulate_done(v, false);
}

static enum next
move(struct vcpu *v, struct gpa gpa, struct mov *m)
{
	struct gcpu *c = vcpu_state(v);
	u64 val = m->value;

	if (mmio_device(v, gpa, &val, m->size, m->write)) {
		if (!m->write)
			mov_load(c, m, val);
		step_over(v, m->len);
		return NEXT_ENTER;
	}
	if (m->write) {
		step_over(v, m->len);
	} else {
		v->pending.kind = PENDING_LOAD;
		v->pending.rip = c->rip;
		v->pending.load = *m;
	}
	return mmio_to_user(v, gpa, &val, m->size, m->write);
}

enum next
mmio_complete(struct vcpu *v)
{
	const struct mov *m = &v->pending.load;
	u64 val = 0;

	memcpy(&val, v->run->mmio.data, m->size);
	cpu_need(vcpu_state(v), CPU_SEGS | CPU_CRS);
	mov_load(vcpu_state(v), m, val);
	step_over(v, m->len);
	return NEXT_ENTER;
}

enum next
mmio_fault(struct vcpu *v)
{
	struct hv_info *i = &v->hv->info;
	struct gpa gpa = { i->gpa };
	struct gcpu *c = vcpu_state(v);
	struct mov m;

	cpu_need(c, CPU_SEGS | CPU_CRS);
	if (i->insn_len == 0)
		i->insn_len = (u8)linear_fetch(v, i->insn);
	if (!i->table && !(i->error & X86_PFEC_ID) &&
	    mov_match(
		c, i->insn, i->insn_len, gpa, (i->error & X86_PFEC_W) != 0, &m))
		return move(v, gpa, &m);
	return emulate(v, i->insn, i->insn_len);
}
