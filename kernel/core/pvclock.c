// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * kvm-clock.
 *
 * Invariants
 *  1. A reader of a page that sees the same even version before and after
 *     reading has read one consistent page.
 *  2. pvclock_now() never goes back but by pvclock_set().
 */
#include "pvclock.h"

#define NS 1000000000ULL

/*
 * Both numbers are shifted until their quotient is in [1/2, 1); its first 32
 * binary digits are the multiplier.
 */
struct pvclock_scale
pvclock_scale(u64 hz)
{
	struct pvclock_scale s = { 0, 0 };
	u64 a = NS, b = hz;
	unsigned i;

	if (hz == 0)
		return s;
	for (; a >= b; b <<= 1)
		s.shift++;
	for (; a < b - a; a <<= 1)
		s.shift--;
	for (i = 0; i < 32; i++) {
		a <<= 1;
		s.mul <<= 1;
		if (a >= b) {
			a -= b;
			s.mul |= 1;
		}
	}
	return s;
}

u64
pvclock_ns(struct pvclock_scale s, u64 tsc)
{
	u64 d = s.shift < 0 ? tsc >> -s.shift : tsc << s.shift;

	return (d >> 32) * s.mul + (((d & 0xffffffff) * s.mul) >> 32);
}

u64
pvclock_now(const struct pvclock_line *l, u64 host_tsc)
{
	/* Another CPU's TSC may be a little behind the reference. */
	if ((s64)(host_tsc - l->host_tsc) < 0)
		return l->system_time;
	return l->system_time + pvclock_ns(l->host, host_tsc - l->host_tsc);
}

void
pvclock_set(struct pvclock_line *l, u64 host_tsc, u64 system_time)
{
	l->host_tsc = host_tsc;
	l->system_time = system_time;
}

void
pvclock_rebase(struct pvclock_line *l, u64 host_tsc, u64 system_time)
{
	u64 now = pvclock_now(l, host_tsc);

	pvclock_set(l, host_tsc, system_time > now ? system_time : now);
}

void
pvclock_fill(struct pvclock_time *t, const struct pvclock_line *l,
    u64 guest_tsc, struct pvclock_scale guest, u8 flags)
{
	*t = (struct pvclock_time){
		.version = t->version,
		.tsc_timestamp = guest_tsc,
		.system_time = l->system_time,
		.mul = guest.mul,
		.shift = guest.shift,
		.flags = flags,
	};
}

void
pvclock_fill_wall(struct pvclock_wall *w, u64 real_ns, u64 system_time)
{
	u64 boot = real_ns - system_time;

	w->sec = (u32)(boot / NS);
	w->nsec = (u32)(boot % NS);
}

/* The first word of both pages is the version. */
static int
publish(u32 *page, unsigned size, pvclock_write_fn *write, void *arg)
{
	int err;

	*page = (*page + 1) | 1;
	err = write(arg, 0, page, sizeof(*page));
	if (err == 0)
		err = write(arg, sizeof(*page), page + 1,
		    size - (unsigned)sizeof(*page));
	++*page;
	if (err == 0)
		err = write(arg, 0, page, sizeof(*page));
	return err;
}

int
pvclock_publish(struct pvclock_time *t, pvclock_write_fn *write, void *arg)
{
	return publish(&t->version, sizeof(*t), write, arg);
}

int
pvclock_publish_wall(struct pvclock_wall *w, pvclock_write_fn *write, void *arg)
{
	return publish(&w->version, sizeof(*w), write, arg);
}

u64
pvclock_sync(
    struct pvclock_sync *s, u64 val, u64 host_tsc, u64 hz, bool *matched)
{
	u64 expected = s->val + (host_tsc - s->host_tsc);
	u64 diff = val > expected ? val - expected : expected - val;
	/* Within a second, or the same value again: the reset of each vCPU. */
	bool same = s->any && (diff < hz || val == s->val);

	if (!same)
		s->offset = val - host_tsc;
	s->any = true;
	s->val = val;
	s->host_tsc = host_tsc;
	*matched = same;
	return s->offset;
}
