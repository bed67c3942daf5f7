/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_ROUTING_H
#define LINUX_ROUTING_H

/* Interrupts by number: routing.c, and the eventfds that raise them. */
#include "vm.h"

#define ROUTING_MAX 4096 /* GSIs */
#define MSI_LEVEL   (1U << 15) /* APM vol. 2 "Message Signalled Interrupts" */

/* A message for the local APICs. */
struct route {
	u64 addr;
	u32 data;
	bool used;
};

long routing_set(struct vm *, void __user *); /* KVM_SET_GSI_ROUTING */
/* KVM_IRQ_LINE, and KVM_IRQ_LINE_STATUS which says how many took it. */
long routing_line(struct vm *, void __user *, bool status);
long routing_signal_msi(struct vm *, void __user *);
struct route routing_of(const struct vm *, u32 gsi); /* under irq_lock */
bool routing_wants_eoi(const struct vm *, u8 vector);
void routing_free(struct vm *);

/* irqfd.c */
void irqfd_init(struct vm *);
long irqfd_ioctl(struct vm *, void __user *); /* KVM_IRQFD */
void irqfd_reroute(struct vm *); /* under irq_lock */
void irqfd_free_all(struct vm *);

#endif
