// SPDX-License-Identifier: (ISC OR GPL-2.0)

/*
 * I/O APIC, delivering by messages in MSI format.
 * After: Intel "82093AA I/O Advanced Programmable Interrupt Controller" data
 * sheet, "IOAPIC Registers"; message format after the Intel SDM, "Message
 * Address Register Format" and "Message Data Register Format".
 *
 * Invariants
 *  1. A level-triggered pin has at most one interrupt out: remote IRR is set
 *     when a CPU takes it and cleared by the EOI of its vector, by reset, or by
 *     software that makes the entry edge-triggered (the way out that version
 *     0x11 leaves to systems without an EOI register).
 *  2. Edges on a masked pin are lost; a level is seen when unmasked.
 *  3. A line is "asserted" or not: polarity is a matter of wiring, stored
 *     for software and otherwise without meaning.
 */
#include "ioapic.h"

#define REG_SELECT 0x00
#define REG_WINDOW 0x10

#define SEL_ID	    0x00
#define SEL_VERSION 0x01
#define SEL_ARB	    0x02
#define SEL_REDIR   0x10

#define VERSION (0x11u | (IOAPIC_PINS - 1) << 16)
#define ID_MASK 0x0f000000u

#define RED_VECTOR  0xffULL
#define RED_MODE    0x700ULL
#define RED_LOGICAL 0x800ULL
#define RED_SENDING 0x1000ULL /* delivery status, read only */
#define RED_IRR	    0x4000ULL /* remote IRR, read only */
#define RED_LEVEL   0x8000ULL
#define RED_MASK    0x10000ULL
#define RED_RW	    0xff0000000001afffULL
#define RED_DEST(e) ((e) >> 56)

#define MODE_FIXED  0x000ULL
#define MODE_LOWEST 0x100ULL

#define MSI_BASE     0xfee00000ULL
#define MSI_LOGICAL  0x4u
#define MSI_REDIRECT 0x8u
#define MSI_ASSERT   0x4000u
#define MSI_LEVEL    0x8000u

/* EOIs in a row that find the line asserted before the brake is on, and how
 * long each further delivery then waits.  A shared line under load has many
 * such EOIs for good reasons, and 1000 of 10 ms each starve nobody. */
#define STORM_EOIS 1000
#define STORM_NS   10000000ULL

/* Only these modes have a level; the others are edges whatever the entry
 * says, and never set remote IRR. */
static bool
is_level(uint64_t e)
{
	return (e & RED_LEVEL) &&
	    ((e & RED_MODE) == MODE_FIXED || (e & RED_MODE) == MODE_LOWEST);
}

static bool
is_reserved(uint64_t e)
{
	return (e & RED_MODE) == 0x300 || (e & RED_MODE) == 0x600;
}

static uint64_t
msi_addr(uint64_t e)
{
	uint64_t addr = MSI_BASE | RED_DEST(e) << 12;

	if (e & RED_LOGICAL)
		addr |= MSI_LOGICAL;
	if ((e & RED_MODE) == MODE_LOWEST)
		addr |= MSI_REDIRECT;
	return addr;
}

static uint32_t
msi_data(uint64_t e)
{
	uint32_t data = (uint32_t)(e & (RED_VECTOR | RED_MODE));

	if (is_level(e))
		data |= MSI_LEVEL | MSI_ASSERT;
	return data;
}

/* Does the driver have to report EOIs of this entry's message? */
static bool
is_routed(uint64_t e)
{
	return is_level(e) && (e & (RED_MASK | RED_IRR)) != RED_MASK;
}

static void
route_update(struct ioapic *io, unsigned pin, uint64_t old, uint64_t now)
{
	bool was = is_routed(old), is = is_routed(now);

	if (was == is &&
	    (!is ||
		(msi_addr(old) == msi_addr(now) &&
		    msi_data(old) == msi_data(now))))
		return;
	io->ops->route(io->arg, pin, msi_addr(now), msi_data(now), !is);
}

static void
pin_deliver(struct ioapic *io, unsigned pin)
{
	uint64_t e = io->redir[pin];

	if (is_reserved(e))
		return;
	if (io->ops->msi(io->arg, msi_addr(e), msi_data(e)) && is_level(e))
		io->redir[pin] |= RED_IRR;
}

/* A level pin delivers when asserted, unmasked, idle and not held. */
static void
pin_level(struct ioapic *io, unsigned pin)
{
	uint64_t e = io->redir[pin];
	uint32_t bit = 1u << pin;

	if (!is_level(e) || (e & (RED_MASK | RED_IRR)))
		return;
	if ((io->lines & bit) && !(io->held & bit))
		pin_deliver(io, pin);
}

static void
pin_release(struct ioapic *io, unsigned pin)
{
	io->again[pin] = 0;
	io->held &= ~(1u << pin);
	if (io->held == 0)
		io->release_at = DEV_NEVER;
}

/* An EOI found the line still asserted: is it time for the brake? */
static void
pin_brake(struct ioapic *io, unsigned pin)
{
	if (io->env.now == NULL || ++io->again[pin] < STORM_EOIS)
		return;
	io->again[pin] = STORM_EOIS;
	io->held |= 1u << pin;
	if (io->release_at == DEV_NEVER) {
		io->release_at = io->env.now(io->env.arg) + STORM_NS;
		io->env.rearm(io->env.arg);
	}
}

void
ioapic_init(
    struct ioapic *io, uint8_t id, const struct ioapic_ops *ops, void *arg)
{
	unsigned pin;

	memset(io, 0, sizeof(*io));
	io->id = io->arb = (uint32_t)id << 24 & ID_MASK;
	io->ops = ops;
	io->arg = arg;
	io->release_at = DEV_NEVER;
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		io->redir[pin] = RED_MASK;
}

void
ioapic_set_env(struct ioapic *io, struct devenv env)
{
	io->env = env;
}

void
ioapic_run(struct ioapic *io)
{
	uint32_t held = io->held;
	unsigned pin;

	if (held == 0 || io->env.now(io->env.arg) < io->release_at)
		return;
	io->held = 0;
	io->release_at = DEV_NEVER;
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		if (held & 1u << pin)
			pin_level(io, pin);
}

uint64_t
ioapic_deadline(const struct ioapic *io)
{
	return io->release_at;
}

void
ioapic_set(struct ioapic *io, unsigned pin, bool level)
{
	uint32_t bit;
	bool rise;

	if (pin >= IOAPIC_PINS)
		return;
	bit = 1u << pin;
	if (!level) {
		io->lines &= ~bit;
		pin_release(io, pin);
		return;
	}
	rise = !(io->lines & bit);
	io->lines |= bit;
	if (is_level(io->redir[pin]))
		pin_level(io, pin);
	else if (rise && !(io->redir[pin] & RED_MASK))
		pin_deliver(io, pin);
}

void
ioapic_eoi(struct ioapic *io, uint8_t vector)
{
	unsigned pin;
	uint64_t e;

	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		e = io->redir[pin];
		if (!(e & RED_IRR) || (e & RED_VECTOR) != vector)
			continue;
		io->redir[pin] &= ~RED_IRR;
		if (!(io->lines & 1u << pin))
			continue;
		pin_brake(io, pin);
		pin_level(io, pin);
	}
}

static uint32_t
window_read(const struct ioapic *io)
{
	unsigned n = io->select - SEL_REDIR, pin = n / 2;
	uint64_t e;

	switch (io->select) {
	case SEL_ID:
		return io->id;
	case SEL_VERSION:
		return VERSION;
	case SEL_ARB:
		return io->arb;
	}
	if (io->select < SEL_REDIR || pin >= IOAPIC_PINS)
		return 0;
	e = io->redir[pin];
	if (io->held & 1u << pin)
		e |= RED_SENDING;
	return (uint32_t)(n & 1 ? e >> 32 : e);
}

static void
redir_write(struct ioapic *io, unsigned pin, bool high, uint32_t val)
{
	uint64_t e = io->redir[pin], now;

	if (high)
		now = (e & 0xffffffffULL) | (uint64_t)val << 32;
	else
		now = (e & ~0xffffffffULL) | val;
	now = (now & RED_RW) | (e & RED_IRR);
	if (!is_level(now)) {
		now &= ~RED_IRR;
		pin_release(io, pin);
	}
	io->redir[pin] = now;
	route_update(io, pin, e, now);
	pin_level(io, pin);
}

static void
window_write(struct ioapic *io, uint32_t val)
{
	unsigned n = io->select - SEL_REDIR;

	if (io->select == SEL_ID)
		io->id = io->arb = val & ID_MASK;
	else if (io->select >= SEL_REDIR && n / 2 < IOAPIC_PINS)
		redir_write(io, n / 2, n & 1, val);
}

uint64_t
ioapic_read(struct ioapic *io, uint64_t off, unsigned size)
{
	unsigned shift = (unsigned)(off & 3) * 8;
	uint64_t val = 0;

	if ((off & ~3ULL) == REG_SELECT)
		val = io->select;
	else if ((off & ~3ULL) == REG_WINDOW)
		val = window_read(io);
	val >>= shift;
	return size >= 4 ? val : val & ((1ULL << size * 8) - 1);
}

void
ioapic_write(struct ioapic *io, uint64_t off, unsigned size, uint64_t val)
{
	unsigned shift = (unsigned)(off & 3) * 8;
	uint32_t mask = size >= 4 ? 0xffffffffU : (1u << size * 8) - 1;

	mask <<= shift;
	val <<= shift;
	if ((off & ~3ULL) == REG_SELECT && shift == 0)
		io->select = val & 0xff;
	else if ((off & ~3ULL) == REG_WINDOW)
		/* The data sheet wants whole words; of a part of one the
		 * other bytes keep their value. */
		window_write(
		    io, (window_read(io) & ~mask) | ((uint32_t)val & mask));
}

void
ioapic_put(struct ioapic *io, unsigned pin, uint64_t entry)
{
	entry &= RED_RW | RED_IRR;
	if (!is_level(entry))
		entry &= ~RED_IRR;
	io->redir[pin] = entry;
}

uint32_t
ioapic_ends(const struct ioapic *io, uint8_t vector)
{
	uint32_t pins = 0;
	unsigned pin;

	for (pin = 0; pin < IOAPIC_PINS; pin++)
		if ((io->redir[pin] & (RED_IRR | RED_VECTOR)) ==
		    (RED_IRR | vector))
			pins |= 1u << pin;
	return pins;
}

void
ioapic_restored(struct ioapic *io)
{
	unsigned pin;

	for (pin = 0; pin < IOAPIC_PINS; pin++)
		route_update(io, pin, RED_MASK, io->redir[pin]);
}
