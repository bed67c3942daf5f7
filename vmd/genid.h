/* SPDX-License-Identifier: ISC */
#ifndef VMD_GENID_H
#define VMD_GENID_H

/*
 * The generation of a guest: Microsoft, "Virtual Machine Generation ID".  128
 * bits that its system can read, by which it learns that it goes on from a state
 * from which it, or another one, may have gone on before.
 *
 * They are at the beginning of a page that the guest cannot write, at
 * GMEM_HIDDEN; the device of the DSDT says so, and general purpose event 0 that
 * they have changed.
 */
#include <stdint.h>
#include "vmm.h"

#define GENID_LEN 16
#define GENID_GPA GMEM_HIDDEN
#define GENID_GPE 0

struct state;

/* Maps the page, for a guest that boots: the same for each VM of that name.  0
 * or -errno. */
int genid_new(uint8_t **page, struct vmm *, const char *name);
/* Another one, which never was before. */
void genid_renew(uint8_t *page);
/* In a section of its own. */
void genid_state(uint8_t *page, struct state *);

#endif
