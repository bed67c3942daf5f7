/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIRTIO_IRQ_H
#define VMD_VIRTIO_IRQ_H

/*
 * The interrupt side of one virtio PCI function: call eventfds, MSI-X, ISR
 * and INTx.
 *
 * Each queue has a call eventfd that the device signals.  Where it goes
 * depends on what the guest programmed:
 *
 *   VIRTIO_IRQ_BOUND    an irqfd: the kernel raises the vector's MSI
 *   VIRTIO_IRQ_WATCHED  this process waits for it, to set a pending bit, or
 *                       ISR and INTx
 *   VIRTIO_IRQ_PARKED   nobody waits: the bit that it would set is set
 *   VIRTIO_IRQ_OFF      nobody waits: the queue is stopped or has no vector;
 *                       what was signalled meanwhile is discarded
 *
 * Invariant: no signal is lost on the way between the first three.  A source
 * is taken away from its old waiter first, then given to the new one, and
 * what came in between is still in the counter: a watch fires on it, and a
 * bind is followed by a look at it.
 */
#include <stdbool.h>
#include <stdint.h>
#include "msix.h"
#include "virtio_pci.h"

struct event;

#define VIRTIO_VECTORS_MAX (VIRTIO_QUEUES_MAX + 1)
#define VIRTIO_NO_VECTOR   0xffff

enum virtio_irq_mode {
	VIRTIO_IRQ_OFF,
	VIRTIO_IRQ_PARKED,
	VIRTIO_IRQ_WATCHED,
	VIRTIO_IRQ_BOUND,
};

struct virtio_irq_queue {
	struct virtio_irq *irq;
	int fd; /* call eventfd, owned */
	struct event *ev;
	bool live; /* started and enabled */
	uint16_t vector;
	enum virtio_irq_mode mode;
	unsigned gsi; /* of the irqfd, when bound */
};

/* All members: (m) machine lock. */
struct virtio_irq {
	struct virtio_host *host;
	struct pci_dev *pci;
	const char *name;
	struct msix msix;
	unsigned nqueues;
	unsigned gsi0; /* vector n is GSI gsi0 + n */
	struct {
		bool set;
		uint64_t addr;
		uint32_t data;
	} route[VIRTIO_VECTORS_MAX]; /* as committed */
	uint16_t config_vector;
	uint8_t isr;
	struct virtio_irq_queue queue[VIRTIO_QUEUES_MAX];
};

/* 0 or -errno; virtio_irq_free() undoes a failed one too. */
int virtio_irq_init(struct virtio_irq *, struct virtio_host *, struct pci_dev *,
    const char *name, unsigned nqueues);
/* Main thread, without the lock, once no vCPU runs. */
void virtio_irq_free(struct virtio_irq *);
/* The device starts: the queues of the mask may signal. */
void virtio_irq_start(struct virtio_irq *, uint32_t queues);
/* The device is reset: all quiet, all vectors unmapped. */
void virtio_irq_stop(struct virtio_irq *);
/* Queue VIRTIO_QUEUES_MAX is the configuration change.  A vector that does
 * not exist becomes VIRTIO_NO_VECTOR. */
void virtio_irq_set_vector(struct virtio_irq *, unsigned queue, uint16_t);
uint16_t virtio_irq_vector(const struct virtio_irq *, unsigned queue);
struct state;
void virtio_irq_state(struct virtio_irq *, struct state *);
/* Configuration change: tell the driver. */
void virtio_irq_config(struct virtio_irq *);
/* The guest reads the ISR status, which clears it. */
uint8_t virtio_irq_isr_read(struct virtio_irq *);
/* The guest wrote MSI-X message control, or the table. */
void virtio_irq_control(struct virtio_irq *, uint16_t);
void virtio_irq_table_write(
    struct virtio_irq *, uint64_t off, unsigned size, uint64_t val);

#endif
