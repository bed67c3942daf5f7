/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_PVCLOCK_H
#define CORE_PVCLOCK_H

/*
 * kvm-clock: pages in guest memory from which a guest computes its time with
 * its own TSC (Linux "KVM-specific MSRs", MSR_KVM_SYSTEM_TIME_NEW and
 * MSR_KVM_WALL_CLOCK_NEW).
 *
 * One line serves all vCPUs of a VM: at the moment `ref' the system time was
 * so much, and it advances with the TSC.  As all pages say the same line, time
 * is monotonic across vCPUs, whatever their TSC offsets are.
 */
#include "types.h"

/* Layouts of the guest's pages. */
struct pvclock_time {
	u32 version; /* odd while the rest is being written */
	u32 pad0;
	u64 tsc_timestamp;
	u64 system_time; /* ns at that TSC */
	u32 mul;
	s8 shift;
	u8 flags;
	u8 pad1[2];
};
static_assert(sizeof(struct pvclock_time) == 32, "the guest's layout");

struct pvclock_wall {
	u32 version;
	u32 sec, nsec; /* of the moment when the system time was 0 */
};
static_assert(sizeof(struct pvclock_wall) == 12, "the guest's layout");

#define PVCLOCK_TSC_STABLE    0x01 /* one page is good for all vCPUs */
#define PVCLOCK_GUEST_STOPPED 0x02 /* the guest was paused: no watchdogs */

/* ns = (tsc << shift) * mul >> 32 */
struct pvclock_scale {
	u32 mul;
	s8 shift;
};
/* hz: to 2^62; of 0 comes the scale of a clock that stands still. */
struct pvclock_scale pvclock_scale(u64 hz);
u64 pvclock_ns(struct pvclock_scale, u64 tsc);

/* A VM's line. */
struct pvclock_line {
	u64 host_tsc; /* of ref */
	u64 system_time; /* at ref */
	struct pvclock_scale host; /* of the host's TSC */
};

u64 pvclock_now(const struct pvclock_line *, u64 host_tsc);
/* Set the time (KVM_SET_CLOCK). */
void pvclock_set(struct pvclock_line *, u64 host_tsc, u64 system_time);
/* A new reference, e.g. after a suspend: time goes on, never back. */
void pvclock_rebase(struct pvclock_line *, u64 host_tsc, u64 system_time);

/*
 * Fill in a vCPU's page but for its version.  guest_tsc: that vCPU's TSC at
 * the moment of line->host_tsc; guest: the scale of its TSC.
 */
void pvclock_fill(struct pvclock_time *, const struct pvclock_line *,
    u64 guest_tsc, struct pvclock_scale guest, u8 flags);
void pvclock_fill_wall(struct pvclock_wall *, u64 real_ns, u64 system_time);

/* Into guest memory, in pieces and in this order; 0 or what write returned. */
typedef int
pvclock_write_fn(void *arg, unsigned off, const void *, unsigned len);
int pvclock_publish(struct pvclock_time *, pvclock_write_fn *, void *arg);
int pvclock_publish_wall(struct pvclock_wall *, pvclock_write_fn *, void *arg);

/*
 * vCPUs whose TSCs are written one after the other with what is meant to be
 * the same count get the same offset.  Returns the offset for this write;
 * *matched: it is that of the write before.
 */
struct pvclock_sync {
	u64 val, host_tsc, offset;
	bool any;
};
u64 pvclock_sync(
    struct pvclock_sync *, u64 val, u64 host_tsc, u64 hz, bool *matched);

#endif
