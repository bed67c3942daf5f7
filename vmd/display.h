/* SPDX-License-Identifier: ISC */
#ifndef VMD_DISPLAY_H
#define VMD_DISPLAY_H

/* The parent's side of a VM's screen and keyboard. */
#include "fail.h"
#include "vmreg.h"

struct ibuf;

/* The vm process gets a page to show its screen in.  0 or -errno. */
int display_make(struct child *);
/* What is shown, for CTL_CELLS. */
int display_read(const struct vm *, struct ibuf *, struct fail *why);
int display_keys(
    const struct vm *, const uint32_t *key, uint32_t n, struct fail *why);

#endif
