/* SPDX-License-Identifier: ISC */
#ifndef VMD_PROBE_GUEST_H
#define VMD_PROBE_GUEST_H

/*
 * The probe's guest: PROBE_RAM bytes of memory with its code, descriptor and
 * page tables.  Fill, point the boot processor at real mode address
 * PROBE_ENTRY and run.
 */
#include <stddef.h>
#include <stdint.h>

#define PROBE_RAM   0x10000
#define PROBE_ENTRY 0x1000

/* What the guest's steps must have seen. */
#define PROBE_FAULT_ADDR 0xf123
#define PROBE_FAULT_CODE 2 /* a write by ring 0 to a page not present */
#define PROBE_IRQ_VECTOR 0x41
#define PROBE_USER_CS	 0x3b

void probe_guest(uint8_t ram[PROBE_RAM]);

#endif
