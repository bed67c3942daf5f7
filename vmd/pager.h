/* SPDX-License-Identifier: ISC */
#ifndef VMD_PAGER_H
#define VMD_PAGER_H

/*
 * Memory that comes out of the file of a saved state as it is touched: a thread
 * of the vm process serves page faults of this process and of the device
 * processes (uffd.h), and brings in the rest once the guest runs.  Then it lets
 * the file go and ends.
 *
 * What goes wrong with the file on the way ends this VM: nobody sees a page
 * that is not the guest's.
 *
 * Main thread, unless it says otherwise.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gmem.h"
#include "pages.h"
#include "sandbox.h"

struct pager;

/*
 * Before the seal.  dev: UFFD_DEVICE, which is taken.  failed is called by the
 * pager's thread, once, and has to see to it that no vCPU enters the guest again.
 * 0, or -errno: the kernel cannot do that.
 */
int pager_new(struct pager **, int dev, const struct gmem *,
    void (*failed)(void *arg, const char *why), void *arg);
/* For device processes, which have one made for themselves; the pager's. */
int pager_device(const struct pager *);
/* What one of them made, and where it has the memory.  Takes uffd.  0 or
 * -errno. */
int pager_add(struct pager *, int uffd, uint64_t address);
/* No more of them: the ioctls that stay. */
size_t pager_seal(struct pager *, struct sandbox_ioctl *, size_t max);
/*
 * Begin, with memory that was discarded as a whole, or with no pages when it has
 * what it is to have.  Takes both, but neither when it fails; the file may be
 * read until pager_hurry().  0 or -errno.
 */
int pager_go(struct pager *, struct pages *, int fd);
bool pager_went(struct pager *);
/* The guest runs: the rest as well. */
void pager_hurry(struct pager *);
/* Until everything is there.  0, or -EIO: failed was called, or will be. */
int pager_wait(struct pager *);
/* As gmem_discard(); any thread. */
int pager_discard(struct pager *, void *at, size_t len);

#endif
