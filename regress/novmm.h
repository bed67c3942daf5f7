/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_NOVMM_H
#define REGRESS_NOVMM_H

/*
 * A hypervisor that agrees to everything and does nothing, for programs that
 * have a machine without one: definitions, for one source of each.
 */
#include "vmm.h"

int
vmm_signal_msi(struct vmm *vmm, uint64_t addr, uint32_t data)
{
	return 0;
}

void
vmm_route_set(struct vmm *vmm, unsigned gsi, uint64_t addr, uint32_t data)
{
}

void
vmm_route_clear(struct vmm *vmm, unsigned gsi)
{
}

int
vmm_route_commit(struct vmm *vmm)
{
	return 0;
}

int
vmm_ioeventfd(struct vmm *vmm, int fd, uint64_t addr, unsigned len, bool pio,
    int64_t match, bool assign)
{
	return 0;
}

int
vmm_irqfd(struct vmm *vmm, int fd, unsigned gsi, bool assign)
{
	return 0;
}

int
vmm_set_slot(struct vmm *vmm, unsigned slot, struct gpa gpa, uint64_t len,
    void *hostmem, bool readonly)
{
	return 0;
}

#endif
