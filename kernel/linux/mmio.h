/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_MMIO_H
#define LINUX_MMIO_H

/*
 * Accesses that are no RAM, and the instructions that the driver carries out
 * itself.
 */
#include "../core/x86.h"
#include "debug.h"
#include "run.h"

/* mmio.c: a nested fault at an address without a slot. */
enum next mmio_fault(struct vcpu *);
/* KVM_EXIT_MMIO; data of a write. */
enum next mmio_to_user(
    struct vcpu *, struct gpa, const void *data, unsigned len, bool write);
enum next mmio_complete(struct vcpu *);
/* Devices of the driver: true when one took the access. */
bool
mmio_device(struct vcpu *, struct gpa, void *data, unsigned len, bool write);

/* emulate.c: the instruction at RIP, of which n bytes are known. */
enum next emulate(struct vcpu *, const u8 *bytes, unsigned n);
enum next emulate_complete(struct vcpu *);
/* Real mode: through the vector table; len: of the instruction that asked. */
enum emul_result emulate_interrupt(struct vcpu *, u8 vector, unsigned len);
enum next emulate_task(struct vcpu *); /* HV_TASK */
/* What follows an instruction that was carried out: no more interrupt shadow,
 * and the trap of a single step. */
static inline void
emulate_done(struct vcpu *v, bool shadow)
{
	v->hv->intr_shadow = shadow;
	if (v->debug.control || (v->hv->cpu.rflags & X86_RFLAGS_TF))
		debug_skipped(v);
}
void emulate_raise(struct vcpu *, const struct fault *);
enum next emulate_failed(struct vcpu *);

/* real.c: the backend did not enter, as it cannot run this state. */
enum next real_serve(struct vcpu *);

#endif
