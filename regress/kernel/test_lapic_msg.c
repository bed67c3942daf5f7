/* SPDX-License-Identifier: ISC */
/*
 * Messages between local APICs: whom an ICR or an MSI reaches, as rows.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>

#include "lapic.h"
#include "lapic_regs.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BSP_OFF	 0xfee00100ULL
#define CPUS	 6

/* One CPU, and what it sent last. */
struct world {
	struct lapic l;
	struct lapic_msg sent;
	unsigned nsent;
};

static void
ipi(void *arg, const struct lapic_msg *m)
{
	struct world *w = arg;

	w->sent = *m;
	w->nsent++;
}

static void
no_timer(void *arg, u64 deadline)
{
	(void)arg;
	(void)deadline;
}

static const struct lapic_ops ops = { .ipi = ipi, .timer = no_timer };

struct net {
	struct world w[CPUS];
	unsigned kicked, signalled; /* bit masks */
	enum lapic_mode mode;
	u8 vector;
};

static struct lapic *
at(void *arg, unsigned i)
{
	return &((struct net *)arg)->w[i].l;
}

static void
kick_at(void *arg, unsigned i)
{
	((struct net *)arg)->kicked |= 1U << i;
}

static void
signal_at(void *arg, unsigned i, enum lapic_mode mode, u8 vector)
{
	struct net *n = arg;

	n->signalled |= 1U << i;
	n->mode = mode;
	n->vector = vector;
}

enum layout {
	FLAT, /* ids 0-5, logical ids 1, 2, 4 .. */
	CLUSTER, /* clusters 0, 0, 1, 1, 2, 2, bits 1, 2, 1, 2 .. */
	MIXED, /* as FLAT, but CPU 1 is in x2APIC mode */
	X2, /* ids 0, 1, 0xf, 0x10, 0x11, 0x100 */
	SOFT_OFF, /* as FLAT, but CPU 2's SVR disables it */
	HARD_OFF, /* as FLAT, but CPU 2 is disabled */
	BUSY, /* as FLAT, CPUs 0-2 have TPR 0x30, 3 0x20, 4 serves 0x55 */
};

static void
lay_out(struct net *n, enum layout how)
{
	static const u32 x2_ids[CPUS] = { 0, 1, 0xf, 0x10, 0x11, 0x100 };
	struct lapic *l;
	unsigned i;

	memset(n, 0, sizeof(*n));
	for (i = 0; i < CPUS; i++) {
		l = &n->w[i].l;
		lapic_init(
		    l, how == X2 ? x2_ids[i] : i, i == 0, &ops, &n->w[i]);
		lapic_mmio_write(l, APIC_SVR, 0x1ff);
		if (how == CLUSTER) {
			lapic_mmio_write(l, APIC_DFR, 0);
			lapic_mmio_write(
			    l, APIC_LDR, (i / 2) << 28 | (1U << (i % 2)) << 24);
		} else {
			lapic_mmio_write(l, APIC_LDR, 1U << (24 + i));
		}
		if (how == X2)
			lapic_base_write(l, l->base_msr | LAPIC_BASE_X2, true);
		if (how == BUSY)
			lapic_set_cr8(l, i < 3 ? 3 : i == 3 ? 2 : 0);
	}
	if (how == MIXED)
		lapic_base_write(&n->w[1].l, 0xfee00c00, true);
	if (how == SOFT_OFF)
		lapic_mmio_write(&n->w[2].l, APIC_SVR, 0xff);
	if (how == HARD_OFF)
		lapic_base_write(&n->w[2].l, BSP_OFF, true);
	if (how == BUSY) {
		lapic_accept(&n->w[4].l, 0x55);
		lapic_set_cr8(&n->w[5].l, 5);
	}
}

struct msg_row {
	const char *name;
	enum layout layout;
	u64 icr; /* CPU 1 writes it, in the layout's mode */
	unsigned reached; /* bit mask */
	int mode; /* of a signal, or FIXED_ */
};
#define FIXED_ -1
#define TO(d)  ((u64)(d) << 56)
#define XTO(d) ((u64)(d) << 32)
#define ANY    0x3fU

static const struct msg_row msg_rows[] = {
	{ "physical", FLAT, TO(3) | 0x41, 1 << 3, FIXED_ },
	{ "physical, itself", FLAT, TO(1) | 0x41, 1 << 1, FIXED_ },
	{ "physical, nobody", FLAT, TO(9) | 0x41, 0, FIXED_ },
	{ "physical broadcast", FLAT, TO(0xff) | 0x41, ANY, FIXED_ },
	{ "flat logical", FLAT, TO(0x14) | 0x841, 0x14, FIXED_ },
	{ "flat logical, nobody", FLAT, TO(0xc0) | 0x841, 0, FIXED_ },
	{ "flat logical broadcast", FLAT, TO(0xff) | 0x841, ANY, FIXED_ },
	{ "cluster", CLUSTER, TO(0x12) | 0x841, 1 << 3, FIXED_ },
	{ "cluster, both", CLUSTER, TO(0x23) | 0x841, 0x30, FIXED_ },
	{ "cluster, nobody", CLUSTER, TO(0x31) | 0x841, 0, FIXED_ },
	{ "cluster broadcast", CLUSTER, TO(0xff) | 0x841, ANY, FIXED_ },
	{ "x2APIC physical", X2, XTO(0x100) | 0x41, 1 << 5, FIXED_ },
	{ "x2APIC physical, nobody", X2, XTO(0x200) | 0x41, 0, FIXED_ },
	{ "x2APIC: 255 is an id", X2, XTO(0xff) | 0x41, 0, FIXED_ },
	{ "x2APIC broadcast", X2, XTO(0xffffffff) | 0x41, ANY, FIXED_ },
	{ "x2APIC cluster 0", X2, XTO(0x8003) | 0x841, 7, FIXED_ },
	{ "x2APIC cluster 1", X2, XTO(0x10002) | 0x841, 1 << 4, FIXED_ },
	{ "x2APIC cluster 16", X2, XTO(0x100001) | 0x841, 1 << 5, FIXED_ },
	{ "x2APIC logical broadcast", X2, XTO(0xffffffff) | 0x841, ANY,
	    FIXED_ },
	{ "x2APIC to an xAPIC", MIXED, XTO(3) | 0x41, 1 << 3, FIXED_ },
	{ "x2APIC to flat xAPICs", MIXED, XTO(0x14) | 0x841, 0x14, FIXED_ },
	{ "x2APIC to another cluster", MIXED, XTO(0x10004) | 0x841, 0, FIXED_ },
	{ "to itself", FLAT, TO(3) | 0x40041, 1 << 1, FIXED_ },
	{ "to all", FLAT, 0x80041, ANY, FIXED_ },
	{ "to others", FLAT, 0xc0041, ANY & ~2U, FIXED_ },
	{ "x2APIC: to others", X2, 0xc0041, ANY & ~2U, FIXED_ },
	{ "lowest priority: the idle one", BUSY, TO(0xff) | 0x941, 1 << 3,
	    FIXED_ },
	{ "lowest priority: of three the first", BUSY, TO(0x07) | 0x941, 1 << 0,
	    FIXED_ },
	{ "lowest priority: of those asked", BUSY, TO(0x30) | 0x941, 1 << 4,
	    FIXED_ },
	{ "lowest priority: one", FLAT, TO(2) | 0x141, 1 << 2, FIXED_ },
	{ "lowest priority: nobody", FLAT, TO(9) | 0x141, 0, FIXED_ },
	{ "lowest priority: others", FLAT, 0xc0141, 1 << 0, FIXED_ },
	{ "lowest priority: not itself", FLAT, 0x40141, 0, FIXED_ },
	{ "NMI", FLAT, TO(4) | 0x4400, 1 << 4, LAPIC_NMI },
	{ "NMI to others", FLAT, 0xc4400, ANY & ~2U, LAPIC_NMI },
	{ "NMI to itself", FLAT, 0x44400, 0, LAPIC_NMI },
	{ "NMI to all", FLAT, 0x84400, 0, LAPIC_NMI },
	{ "INIT", FLAT, TO(2) | 0x4500, 1 << 2, LAPIC_INIT },
	{ "INIT to others", FLAT, 0xc4500, ANY & ~2U, LAPIC_INIT },
	{ "INIT, level assert", FLAT, TO(2) | 0xc500, 1 << 2, LAPIC_INIT },
	{ "INIT, level de-assert", FLAT, TO(2) | 0x8500, 0, LAPIC_INIT },
	{ "INIT to all, de-assert", FLAT, 0x88500, 0, LAPIC_INIT },
	{ "INIT to itself", FLAT, 0x44500, 0, LAPIC_INIT },
	{ "start-up", FLAT, TO(2) | 0x4641, 1 << 2, LAPIC_STARTUP },
	{ "start-up of others", X2, 0xc4641, ANY & ~2U, LAPIC_STARTUP },
	{ "SMI", FLAT, TO(2) | 0x4200, 0, FIXED_ },
	{ "the reserved type", FLAT, TO(2) | 0x4341, 0, FIXED_ },
	{ "an external interrupt", FLAT, TO(2) | 0x4741, 0, FIXED_ },
	{ "SVR off: no interrupt", SOFT_OFF, 0xc0041, ANY & ~6U, FIXED_ },
	{ "SVR off: NMI", SOFT_OFF, TO(2) | 0x4400, 1 << 2, LAPIC_NMI },
	{ "SVR off: INIT", SOFT_OFF, TO(2) | 0x4500, 1 << 2, LAPIC_INIT },
	{ "SVR off: lowest priority", SOFT_OFF, TO(0x14) | 0x941, 1 << 4,
	    FIXED_ },
	{ "disabled: nothing", HARD_OFF, 0xc4500, ANY & ~6U, LAPIC_INIT },
	{ "disabled: no broadcast", HARD_OFF, TO(0xff) | 0x41, ANY & ~4U,
	    FIXED_ },
	{ "disabled: not by number", HARD_OFF, TO(2) | 0x4400, 0, LAPIC_NMI },
};

static void
check_reached(const struct msg_row *r, const struct net *n)
{
	unsigned i, posted = 0;

	for (i = 0; i < CPUS; i++) {
		if (n->w[i].l.irr[2] & 2)
			posted |= 1U << i;
	}
	if (r->mode == FIXED_) {
		if (posted != r->reached || n->kicked != posted ||
		    n->signalled != 0)
			fail_msg("%s: reached %x", r->name, posted);
		return;
	}
	if (n->signalled != r->reached || posted != 0)
		fail_msg("%s: signalled %x", r->name, n->signalled);
	if (r->reached != 0 &&
	    (n->mode != (enum lapic_mode)r->mode || n->vector != (u8)r->icr))
		fail_msg("%s: mode %d", r->name, n->mode);
}

static void
test_messages(void **state)
{
	struct lapic_bus bus = {
		.n = CPUS, .at = at, .kick = kick_at, .signal = signal_at
	};
	const struct msg_row *r;
	struct world *self;
	struct net n;
	size_t i;

	for (i = 0; i < COUNT(msg_rows); i++) {
		r = &msg_rows[i];
		lay_out(&n, r->layout);
		bus.arg = &n;
		self = &n.w[1];
		if (r->layout == X2 || r->layout == MIXED) {
			assert_int_equal(
			    lapic_msr_write(&self->l, 0x830, r->icr), 0);
		} else {
			lapic_mmio_write(
			    &self->l, APIC_ICR_HIGH, (u32)(r->icr >> 32));
			lapic_mmio_write(&self->l, APIC_ICR_LOW, (u32)r->icr);
		}
		if (self->nsent != 0)
			lapic_send(&bus, &self->sent, &self->l);
		check_reached(r, &n);
	}
}

struct msi_row {
	const char *name;
	enum layout layout;
	u64 addr;
	u32 data;
	unsigned reached;
	bool level;
	int taken;
};

static const struct msi_row msi_rows[] = {
	{ "physical", FLAT, 0xfee03000, 0x41, 1 << 3, false, 1 },
	{ "level", FLAT, 0xfee03000, 0xc041, 1 << 3, true, 1 },
	{ "logical", FLAT, 0xfee05004, 0x41, 5, false, 2 },
	{ "lowest priority", BUSY, 0xfeeff00c, 0x141, 1 << 3, false, 1 },
	{ "broadcast", FLAT, 0xfeeff000, 0x41, ANY, false, CPUS },
	{ "nobody", FLAT, 0xfee99000, 0x41, 0, false, 0 },
	{ "to x2APICs", X2, 0xfee11000, 0x41, 1 << 4, false, 1 },
	{ "to cluster 0 of x2APICs", X2, 0xfee03004, 0x41, 3, false, 2 },
	{ "off", SOFT_OFF, 0xfee02000, 0x41, 0, false, 0 },
	{ "SMI", FLAT, 0xfee03000, 0x241, 0, false, 0 },
};

static void
test_msi(void **state)
{
	struct lapic_bus bus = {
		.n = CPUS, .at = at, .kick = kick_at, .signal = signal_at
	};
	const struct msi_row *r;
	struct lapic_msg m;
	struct net n;
	unsigned k;
	size_t i;

	for (i = 0; i < COUNT(msi_rows); i++) {
		r = &msi_rows[i];
		lay_out(&n, r->layout);
		bus.arg = &n;
		m = lapic_msi(r->addr, r->data);
		if (lapic_send(&bus, &m, NULL) != r->taken ||
		    n.kicked != r->reached)
			fail_msg("%s: reached %x", r->name, n.kicked);
		for (k = 0; k < CPUS; k++) {
			if (((n.w[k].l.tmr[2] & 2) != 0) !=
			    (r->level && (r->reached & (1U << k))))
				fail_msg("%s: trigger mode", r->name);
		}
		/* Pending already: taken, but nobody needs a kick. */
		n.kicked = 0;
		lapic_send(&bus, &m, NULL);
		if (r->layout != BUSY && n.kicked != 0)
			fail_msg("%s: kicked again", r->name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_msi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
