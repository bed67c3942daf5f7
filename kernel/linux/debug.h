/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_DEBUG_H
#define LINUX_DEBUG_H

#include "run.h"

/* A debugger of user space, or the step over an NMI handler's IRET, needs
 * these two around an entry. */
static inline bool
debug_wanted(const struct vcpu *v)
{
	return v->debug.control || event_wants_step(&v->event);
}
void debug_before(struct vcpu *);
void debug_after(struct vcpu *);

/* The guest is not to be interrupted while it is stepped. */
static inline bool
debug_blocks_events(const struct vcpu *v)
{
	return (v->debug.control & KVM_GUESTDBG_BLOCKIRQ) != 0;
}

/* RIP was moved past an instruction that the driver carried out (emulate_done). */
void debug_skipped(struct vcpu *);
/* KVM_EXIT_DEBUG for such a step; true: run->exit_reason says so. */
bool debug_report_step(struct vcpu *);

enum next debug_db(struct vcpu *);
enum next debug_bp(struct vcpu *);
enum next debug_mov_dr(struct vcpu *);

#endif
