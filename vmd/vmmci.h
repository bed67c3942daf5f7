/* SPDX-License-Identifier: ISC */
#ifndef VMD_VMMCI_H
#define VMD_VMMCI_H

/*
 * OpenBSD's VMM control interface, in the vm process: a driver, vmmci(4) in
 * OpenBSD, is asked to shut its system down or to read the clock anew, and
 * reads the host's time.
 *
 * A virtio function as before version 1.0 (virtio 1.2, "Legacy Interfaces: A
 * Note on PCI Device Layout"), without queues, with identifiers of its own, so
 * that no other driver takes it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>

struct pci;
struct virtio_host;
struct vmmci;

struct vmmci_conf {
	struct pci *pci;
	struct virtio_host *host; /* for the machine lock */
	const char *name;
	/* The guest shuts down, as asked; any thread, with the lock held. */
	void (*acked)(void *arg);
	int (*now)(struct timeval *); /* the host's time */
	void *arg;
};

/* Before the guest runs.  NULL with errno. */
struct vmmci *vmmci_new(const struct vmmci_conf *);
/* Main thread, without the lock, once no vCPU runs. */
void vmmci_free(struct vmmci *);
/*
 * Ask the guest to shut down, unless it does so already; main thread.  False
 * when it has to be asked in another way: there is no driver that would
 * answer, or it did not the last time.
 */
bool vmmci_shutdown(struct vmmci *);
/* The guest's clock may be wrong.  Main thread. */
void vmmci_sync(struct vmmci *);
/* In the section at hand, while no vCPU runs.  Main thread. */
struct state;
void vmmci_state(struct vmmci *, struct state *);

#endif
