/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_ROUTING_H
#define LINUX_ROUTING_H

/* Interrupts by number: routing.c, and the eventfds that raise them. */
#include "vm.h"

/* Who may assert a pin of a chip; it is high while anybody does. */
enum line_source { LINE_USER, LINE_RESAMPLE, LINE_PIT };

#define ROUTING_MAX 4096 /* GSIs */
#define MSI_LEVEL   (1U << 15) /* APM vol. 2 "Message Signalled Interrupts" */

/* Where an interrupt by number goes. */
enum { ROUTE_MASTER, ROUTE_SLAVE, ROUTE_IOAPIC, ROUTE_CHIPS };
#define ROUTE_NO_PIN 0xff
struct route {
	enum { ROUTE_NONE, ROUTE_MSI, ROUTE_PINS } kind;
	u32 data; /* MSI: the message for the local APICs */
	u64 addr;
	u8 pin[ROUTE_CHIPS]; /* PINS: of the driver's chips */
};

int routing_default(struct vm *); /* a PC's */
long routing_set(struct vm *, void __user *); /* KVM_SET_GSI_ROUTING */
/* KVM_IRQ_LINE, and KVM_IRQ_LINE_STATUS which says how many took it. */
long routing_line(struct vm *, void __user *, bool status);
long routing_signal_msi(struct vm *, void __user *);
struct route routing_of(const struct vm *, u32 gsi); /* under irq_lock */
/* A level, or a message where that rises.  Any context; as chipset_line(). */
int
routing_send(struct vm *, const struct route *, enum line_source, bool level);
bool routing_wants_eoi(const struct vm *, u8 vector);
void routing_free(struct vm *);

/* irqfd.c */
void irqfd_init(struct vm *);
long irqfd_ioctl(struct vm *, void __user *); /* KVM_IRQFD */
void irqfd_reroute(struct vm *); /* under irq_lock */
/* An interrupt of this pin was served to its end. */
void irqfd_ended(struct vm *, unsigned chip, unsigned pin);
void irqfd_free_all(struct vm *);

#endif
