/* SPDX-License-Identifier: ISC */
#ifndef VMD_VMM_H
#define VMD_VMM_H

/*
 * The hypervisor: KVM ioctls on /dev/vmm or /dev/kvm.  vmm.c is the only
 * file that calls them.  All functions return 0 or -errno unless said.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gmem.h"
#include "sandbox.h"
#include "vmconf.h"

#define VMM_GSI_PINS 24 /* IOAPIC pins come first in the GSI table */
#define VMM_GSI_MAX  256 /* MSI-X vectors follow */

struct vmm; /* one VM */
struct vcpu;

/* Takes devfd (closed once the VM exists).  *why: static text on failure. */
int vmm_create(struct vmm **, int devfd, unsigned ncpus, const char **why);
int vmm_set_memory(struct vmm *, const struct gmem *);
void vmm_destroy(struct vmm *);

/*
 * A write of any size to port or address addr signals fd instead of leaving
 * the guest with an exit.  datamatch < 0: any value.
 */
int vmm_ioeventfd(struct vmm *, int fd, uint64_t addr, unsigned len, bool pio,
    int64_t datamatch, bool assign);
/* Signalling fd raises the MSI that gsi is routed to. */
int vmm_irqfd(struct vmm *, int fd, unsigned gsi, bool assign);
/*
 * The GSI table.  An entry is an MSI (address, data); pins of the IOAPIC are
 * routed too so that the driver reports their EOI.  Changes take effect at
 * vmm_route_commit().
 */
void vmm_route_set(struct vmm *, unsigned gsi, uint64_t addr, uint32_t data);
void vmm_route_clear(struct vmm *, unsigned gsi);
int vmm_route_commit(struct vmm *);
int vmm_signal_msi(struct vmm *, uint64_t addr, uint32_t data);

/* The ioctls that a sealed vm process needs; fills at most max rows and
 * returns the number.  vCPU descriptors sit at fixed aligned numbers. */
size_t vmm_seal_list(const struct vmm *, struct sandbox_ioctl *, size_t max);

#endif
