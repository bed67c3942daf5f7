/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_RUN_H
#define LINUX_RUN_H

#include "../core/insn.h"
#include "vcpu.h"

enum next {
	NEXT_ENTER, /* the guest goes on */
	NEXT_USER, /* run->exit_reason says why */
	NEXT_ERROR, /* KVM_RUN fails with -EFAULT */
};

/* exits.c */
enum next exits_serve(struct vcpu *, enum hv_exit);
enum next exits_complete(struct vcpu *); /* user space answered: pending */
/* What CPUID answers, into its registers. */
void exits_answer_cpuid(struct vcpu *);
/* The instruction at RIP; false: not one of those that exit. */
bool exits_measure(struct vcpu *, struct insn *);
enum next exits_halt(struct vcpu *); /* HLT was carried out */
bool exits_skip(struct vcpu *); /* past it; false: it is executed again */

/* run.c: INIT and SIPI that came meanwhile take effect. */
void run_accept_init(struct vcpu *);

/* pio.c */
enum next pio_serve(struct vcpu *); /* HV_IO */
/* Devices of the driver: true when one took the access. */
bool pio_device(struct vcpu *, u16 port, void *data, unsigned len, bool write);
enum next pio_to_user(struct vcpu *, u16 port, const void *data, unsigned size,
    unsigned count, bool write);
void pio_complete(struct vcpu *);

#endif
