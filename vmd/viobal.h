/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIOBAL_H
#define VMD_VIOBAL_H

/*
 * The memory balloon (virtio 1.2, "Traditional Memory Balloon Device"), in the
 * vm process: pages that the guest gives up, or reports as free, go back to
 * the host.  A page that is used again is there again, as zeroes.
 */
#include <stddef.h>
#include <stdint.h>

struct gmem;
struct pci;
struct viobal;
struct virtio_host;

struct viobal_conf {
	struct pci *pci;
	struct virtio_host *host;
	const struct gmem *mem; /* outlives the device */
	const char *name;
	/* As gmem_discard() of mem, 0 or -errno; NULL: that. */
	int (*discard)(void *arg, void *p, size_t len);
	/* The guest has given up so many bytes; main thread, without the
	 * lock, now and then. */
	void (*told)(void *arg, uint64_t bytes);
	void *arg;
};

/* Before the guest runs.  NULL with errno. */
struct viobal *viobal_new(const struct viobal_conf *);
/* Main thread, without the lock, once no vCPU runs. */
void viobal_free(struct viobal *);
/* The guest is asked to keep so many bytes of its memory.  Main thread. */
void viobal_keep(struct viobal *, uint64_t bytes);
/* What the guest says that it has given up, bytes.  Main thread. */
uint64_t viobal_given(struct viobal *);
/* In the section at hand, while no vCPU runs.  Main thread. */
struct state;
void viobal_state(struct viobal *, struct state *);

#endif
