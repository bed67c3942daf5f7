/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIRTIO_CHAN_H
#define VMD_VIRTIO_CHAN_H

/*
 * The front end of a device that lives in a process of its own, behind a
 * channel (msg.h, "vm <-> device process").  The process at the other end is
 * not trusted: what it says is checked, and all that it can do is to break
 * its own device.
 */
#include <stddef.h>
#include <stdint.h>

struct gmem;
struct pci;
struct virtio_chan;
struct virtio_host;

struct virtio_chan_conf {
	struct pci *pci;
	struct virtio_host *host;
	const struct gmem *mem;
	const char *name; /* "vioblk0"; not copied */
	uint16_t type; /* virtio device id */
	uint32_t class; /* PCI class */
	/* The device needs a reset.  One clean line, at most 127 bytes; main
	 * thread, without the machine lock. */
	void (*broken)(void *arg, const char *why);
	/* The process is gone: no reset will help.  As broken; once. */
	void (*dead)(void *arg, const char *why);
	void *arg;
};

/*
 * Before the seal: takes chanfd, waits (with a time limit) for the device's
 * DEV_HELLO, makes the PCI function, hands memory and eventfds over and waits
 * for DEV_SEALED.  0 or -errno with a clear line in why.
 */
int virtio_chan_new(struct virtio_chan **, int chanfd,
    const struct virtio_chan_conf *, char *why, size_t whylen);
/* Main thread, without the lock, once no vCPU runs. */
void virtio_chan_free(struct virtio_chan *);

#endif
