// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Interrupt messages and whom they reach: APM vol. 2 "Interprocessor
 * Interrupts (IPI)", "Message Signalled Interrupts"; SDM vol. 3 "Issuing
 * Interprocessor Interrupts", "Determining IPI Destination".
 *
 * Invariants
 *  1. A message is decoded once; what means nothing reaches nobody.
 *  2. Only the bus sees several LAPICs; each is read word by word, as it may
 *     be running.
 */
#include "lapic.h"
#include "lapic_regs.h"

static bool
is_x2(const struct lapic *l)
{
	return (l->base_msr & LAPIC_BASE_X2) != 0;
}

static bool
match_logical(const struct lapic *l, u32 dest, bool wide)
{
	u32 ldr = l->ldr;

	if (is_x2(l)) {
		if (!wide)
			/* An 8-bit message reaches cluster 0 only. */
			return (ldr >> 16) == 0 && (ldr & dest & 0xff) != 0;
		return (ldr >> 16) == (dest >> 16) &&
		    (ldr & dest & 0xffff) != 0;
	}
	if (wide && dest > 0xff)
		return false;
	ldr >>= 24;
	switch (l->dfr >> 28) {
	case DFR_FLAT:
		return (ldr & dest & 0xff) != 0;
	case DFR_CLUSTER:
		return (ldr >> 4) == ((dest >> 4) & 0xf) &&
		    (ldr & dest & 0xf) != 0;
	default:
		return false;
	}
}

bool
lapic_match(const struct lapic *l, u32 dest, bool logical, bool wide)
{
	if (!(l->base_msr & LAPIC_BASE_ENABLE))
		return false;
	if (dest == (wide ? 0xffffffffU : 0xffU))
		return true;
	if (logical)
		return match_logical(l, dest, wide);
	return is_x2(l) ? dest == l->id : dest == l->xapic_id;
}

/*
 * "Valid ICR Field Combinations": the sender itself is reached by fixed
 * interrupts only.  INIT level de-assert did something to CPUs before the
 * Pentium 4.
 */
bool
lapic_icr(u64 icr, bool wide, struct lapic_msg *m)
{
	u32 low = (u32)icr;

	m->mode = (enum lapic_mode)((low >> ICR_MODE_SHIFT) & 7);
	m->vector = (u8)low;
	m->to = (low >> ICR_TO_SHIFT) & 3;
	m->dest = wide ? (u32)(icr >> 32) : (u32)(icr >> 56);
	m->logical = (low & ICR_LOGICAL) != 0;
	m->wide = wide;
	m->level = false; /* IPIs are edge-triggered */
	switch (m->mode) {
	case LAPIC_FIXED:
		return true;
	case LAPIC_LOWEST:
	case LAPIC_NMI:
	case LAPIC_STARTUP:
		return m->to == TO_DEST || m->to == TO_OTHERS;
	case LAPIC_INIT:
		if ((low & ICR_LEVEL) && !(low & ICR_ASSERT))
			return false;
		return m->to == TO_DEST || m->to == TO_OTHERS;
	case LAPIC_SMI:
	case LAPIC_EXTINT:
		return false;
	}
	return false; /* the reserved type */
}

struct lapic_msg
lapic_msi(u64 addr, u32 data)
{
	return (struct lapic_msg){
		.mode = (enum lapic_mode)((data >> ICR_MODE_SHIFT) & 7),
		.vector = (u8)data,
		.to = TO_DEST,
		.dest = (addr >> 12) & 0xff,
		.logical = (addr & 4) != 0,
		.level = (data & ICR_LEVEL) != 0,
	};
}

static bool
reaches(
    const struct lapic_msg *m, const struct lapic *l, const struct lapic *self)
{
	switch (m->to) {
	case TO_DEST:
		return lapic_match(l, m->dest, m->logical, m->wide);
	case TO_SELF:
		return l == self;
	case TO_ALL:
		return (l->base_msr & LAPIC_BASE_ENABLE) != 0;
	case TO_OTHERS:
		return l != self && (l->base_msr & LAPIC_BASE_ENABLE);
	}
	return false;
}

static bool
post(const struct lapic_bus *bus, unsigned i, const struct lapic_msg *m)
{
	struct lapic *l = bus->at(bus->arg, i);

	if (!lapic_enabled(l))
		return false;
	if (lapic_post(l, m->vector, m->level))
		bus->kick(bus->arg, i);
	return true;
}

/* "Lowest Priority": to the one that does the least important work; of
 * several to the first. */
static int
send_lowest(const struct lapic_bus *bus, const struct lapic_msg *m,
    const struct lapic *self)
{
	u32 priority, best = ~0U;
	unsigned i, to = 0;

	for (i = 0; i < bus->n; i++) {
		const struct lapic *l = bus->at(bus->arg, i);

		if (!reaches(m, l, self) || !lapic_enabled(l))
			continue;
		priority = lapic_priority(l);
		if (priority < best) {
			best = priority;
			to = i;
		}
	}
	return best != ~0U && post(bus, to, m);
}

int
lapic_send(const struct lapic_bus *bus, const struct lapic_msg *m,
    const struct lapic *self)
{
	unsigned i;
	int sent = 0;

	if (m->mode == LAPIC_LOWEST)
		return send_lowest(bus, m, self);
	for (i = 0; i < bus->n; i++) {
		if (!reaches(m, bus->at(bus->arg, i), self))
			continue;
		switch (m->mode) {
		case LAPIC_FIXED:
			sent += post(bus, i, m);
			break;
		case LAPIC_NMI:
		case LAPIC_INIT:
		case LAPIC_STARTUP:
			bus->signal(bus->arg, i, m->mode, m->vector);
			sent++;
			break;
		case LAPIC_LOWEST: /* above */
		case LAPIC_SMI:
		case LAPIC_EXTINT:
			break;
		}
	}
	return sent;
}
