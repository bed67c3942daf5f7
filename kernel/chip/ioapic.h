/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CHIP_IOAPIC_H
#define CHIP_IOAPIC_H

/* 82093AA IOAPIC at 0xfec00000, 24 pins. */
#include "devenv.h"

#define IOAPIC_BASE 0xfec00000ULL
#define IOAPIC_LEN  0x1000ULL
#define IOAPIC_PINS 24
/* Of an entry: level-triggered, if its mode can be that. */
#define IOAPIC_LEVEL(e) (((e)&0x8000U) != 0)

struct ioapic_ops {
	/* Deliver now; false: nobody took it.  addr/data in MSI format (SDM "Message Signalled
	 * Interrupts"; the IOAPIC's entry maps onto it field by field). */
	bool (*msi)(void *arg, uint64_t addr, uint32_t data);
	/* Keep the GSI table in step: the driver reports EOIs of the messages
	 * in it, which level-triggered pins need.  Called only when what the
	 * table should hold for pin changed; masked: nothing.  A pin masked
	 * while its interrupt is in service keeps its entry. */
	void (*route)(
	    void *arg, unsigned pin, uint64_t addr, uint32_t data, bool masked);
};

struct ioapic {
	uint32_t id, arb, select;
	uint64_t redir[IOAPIC_PINS];
	uint32_t lines; /* asserted now, by pin */
	uint32_t held; /* level pins whose next delivery waits (storm) */
	uint16_t again[IOAPIC_PINS]; /* EOIs with the line still asserted */
	uint64_t release_at; /* now() at which the held ones go on */
	const struct ioapic_ops *ops;
	void *arg;
	struct devenv env; /* for the storm brake only */
};

void
ioapic_init(struct ioapic *, uint8_t id, const struct ioapic_ops *, void *);
/*
 * Optional: with a clock, a level pin that is acknowledged over and over
 * while its line stays asserted is slowed down so that the guest can go on.
 * Then ioapic_run() and ioapic_deadline() are to be called like a timer's.
 */
void ioapic_set_env(struct ioapic *, struct devenv);
void ioapic_run(struct ioapic *);
uint64_t ioapic_deadline(const struct ioapic *);
/* The registers were read from a saved state: the table learns of all pins. */
void ioapic_put(struct ioapic *, unsigned pin, uint64_t entry);
void ioapic_restored(struct ioapic *);
void ioapic_set(struct ioapic *, unsigned pin, bool level);
/* The driver reported an EOI of vector (KVM_EXIT_IOAPIC_EOI). */
uint32_t ioapic_ends(const struct ioapic *, uint8_t vector); /* which pins */
void ioapic_eoi(struct ioapic *, uint8_t vector);
uint64_t ioapic_read(struct ioapic *, uint64_t off, unsigned size);
void ioapic_write(struct ioapic *, uint64_t off, unsigned size, uint64_t val);

#endif
