/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIORND_H
#define VMD_VIORND_H

/*
 * The entropy device (virtio 1.2, "Entropy Device"), in the vm process:
 * getrandom(2) on the main thread, when the request queue is kicked.
 */
struct gmem;
struct pci;
struct viornd;
struct virtio_host;

/* Before the guest runs; mem outlives the device.  NULL with errno. */
struct viornd *viornd_new(
    struct pci *, struct virtio_host *, const struct gmem *, const char *name);
/* Main thread, without the lock, once no vCPU runs. */
void viornd_free(struct viornd *);
/* In the section at hand, while no vCPU runs.  Main thread. */
struct state;
void viornd_state(struct viornd *, struct state *);

#endif
