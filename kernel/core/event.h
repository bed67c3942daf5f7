/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

/*
 * Exceptions and interrupts on their way into a guest CPU: which one is next,
 * what becomes of one whose delivery was cut off, and when two exceptions
 * make a double fault (AMD APM vol. 2 "Priorities", "Simultaneous Interrupts",
 * "#DF-Double-Fault Exception"; SDM vol. 3 "Double Fault Exception").
 *
 * One turn of the run loop:
 *
 *	event_choose()	what to inject, before each entry
 *	event_undo()	the entry did not happen, or
 *	event_exit()	it did; the backend says what it cut off
 *	event_raise()	any number of times while the exit is served
 */
#include "cpu.h"

enum event_type {
	EVENT_NONE,
	EVENT_INTR, /* an external interrupt, already acknowledged */
	EVENT_NMI,
	EVENT_EXCEPTION,
	EVENT_SOFT, /* INT n, INT3, INTO: rip is that of the instruction */
};

struct event {
	enum event_type type;
	u8 vector;
	bool has_error;
	bool has_payload; /* CR2 of a #PF, new bits of DR6 of a #DB */
	u8 insn_len; /* EVENT_SOFT */
	u32 error;
	u64 payload;
};

enum event_nmi {
	NMI_OPEN,
	NMI_MASKED, /* from the injection of one to its handler's IRET */
	NMI_IRET, /* that IRET is at iret_rip and has not yet completed */
};

struct event_state {
	struct event exception; /* raised, not yet on its way */
	struct event again; /* its delivery was cut off: goes first */
	struct event injected; /* chosen for the entry under way */
	u64 injected_rip, iret_rip;
	int extint; /* vector from an 8259, or -1 */
	enum event_nmi nmi;
	bool nmi_pending; /* one is latched, however many come */
	bool triple; /* a third fault: the CPU shuts down */
};

/* What the CPU is like before an entry. */
struct event_env {
	u64 rip;
	bool iflag; /* RFLAGS.IF */
	bool shadow; /* STI, MOV SS or POP SS was the last instruction */
	int lapic; /* lapic_highest() */
	bool pic; /* the driver's 8259 asks; its vector is not yet known */
};

void event_reset(struct event_state *);

/* An instruction, or the delivery that was cut off, raised an exception. */
void event_raise(struct event_state *, u8 vector, bool has_error, u32 error);
void event_raise_payload(struct event_state *, const struct event *);

/*
 * The event for this entry, or one of type EVENT_NONE.  True: it is the LAPIC's
 * vector, which the caller accepts (lapic_accept).
 */
bool
event_choose(struct event_state *, const struct event_env *, struct event *);
/* CR2, DR6, DR7 and RF as the delivery of this event leaves them.  The groups
 * CRS and DRS are valid. */
void event_apply(struct gcpu *, const struct event *);
void event_undo(struct event_state *);
void event_exit(struct event_state *, const struct event *cut, u64 rip);
/* The backend met the IRET of an NMI's handler, before its execution. */
void event_iret(struct event_state *, u64 rip);
/* Or it met it afterwards: the next NMI may come. */
void event_iret_done(struct event_state *);

/* After event_choose(); env->lapic as it is after lapic_accept(). */
bool event_wants_intr(const struct event_state *, const struct event_env *);
bool event_wants_iret(const struct event_state *);
/* An NMI waits for one IRET to complete: step over it. */
static inline bool
event_wants_step(const struct event_state *s)
{
	return s->nmi == NMI_IRET && s->nmi_pending;
}

/* Would an interrupt be taken now?  For KVM_INTERRUPT and its window. */
bool event_intr_open(const struct event_state *, const struct event_env *);
/* Would it be injected by event_choose()?  Then an 8259 is acknowledged. */
bool event_intr_next(const struct event_state *, const struct event_env *);
/* Is there a reason to leave HLT? */
bool event_wakes(const struct event_state *, const struct event_env *);

/* The members of struct kvm_vcpu_events that are of this module. */
struct event_view {
	struct {
		bool injected, pending, has_error;
		u8 nr;
		u32 error;
		bool has_payload;
		u64 payload;
	} exception;
	struct {
		bool injected, soft;
		u8 nr;
	} interrupt;
	struct {
		bool injected, pending, masked;
	} nmi;
	bool triple;
};

/*
 * payloads: user space knows of them (KVM_CAP_EXCEPTION_PAYLOAD).  Where it
 * does not, pending and injected exceptions look alike, and event_settle()
 * comes first: it applies the payload of a pending one.
 */
void event_settle(struct event_state *, struct gcpu *);
void event_get(const struct event_state *, bool payloads, struct event_view *);
/* 0, or -EINVAL: no CPU can be in that state, nothing is taken. */
int event_set(struct event_state *, bool payloads, const struct event_view *);

#endif
