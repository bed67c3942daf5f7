/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIOCON_H
#define VMD_VIOCON_H

/*
 * The console device (virtio 1.2, "Console Device"), in the vm process: one
 * port, whose other end is a console (console.h).
 */
struct console;
struct gmem;
struct pci;
struct state;
struct viocon;
struct virtio_host;

/* Before the guest runs; mem and the console outlive the device.  NULL with
 * errno. */
struct viocon *viocon_new(struct pci *, struct virtio_host *,
    const struct gmem *, struct console *, const char *name);
/* Main thread, without the lock, once no vCPU runs. */
void viocon_free(struct viocon *);
/* In the section at hand, while no vCPU runs.  Main thread. */
void viocon_state(struct viocon *, struct state *);

#endif
