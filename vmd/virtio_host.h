/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIRTIO_HOST_H
#define VMD_VIRTIO_HOST_H

/*
 * What the virtio transport needs from the rest of the vm process: kicks and
 * interrupts by eventfd, the GSI table, the event loop, the machine lock.
 * One per VM; the unit tests put their own operations in.
 */
#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct virtio_host;
struct vmm;

struct virtio_irq_ops {
	/* As vmm_ioeventfd() on a port; match: -1, or the value written. */
	int (*ioeventfd)(struct virtio_host *, int fd, uint16_t port,
	    unsigned len, int64_t match, bool assign);
	int (*irqfd)(struct virtio_host *, int fd, unsigned gsi, bool assign);
	void (*route_set)(
	    struct virtio_host *, unsigned gsi, uint64_t addr, uint32_t data);
	void (*route_clear)(struct virtio_host *, unsigned gsi);
	int (*route_commit)(struct virtio_host *);
	int (*msi)(struct virtio_host *, uint64_t addr, uint32_t data);
	/* The machine lock, for callbacks of the event loop. */
	void (*lock)(struct virtio_host *);
	void (*unlock)(struct virtio_host *);
	/* From the end of the exit at hand, and until it is undone as often,
	 * vCPUs that serve an exit do not go on. */
	void (*hold)(struct virtio_host *, bool on);
};

/* The machine's part of the real operations. */
struct virtio_host_calls {
	void (*lock)(void *arg);
	void (*unlock)(void *arg);
	void (*hold)(void *arg, bool on);
};

struct virtio_host {
	const struct virtio_irq_ops *ops;
	struct event_base *base; /* made after evthread_use_pthreads() */
	unsigned next_gsi, end_gsi; /* not yet given to an MSI-X vector */
	struct vmm *vmm;
	const struct virtio_host_calls *calls;
	void *arg;
};

/* The real thing: lock and unlock take and release the machine lock. */
void virtio_host_init(struct virtio_host *, struct vmm *, struct event_base *,
    const struct virtio_host_calls *, void *arg);

#endif
