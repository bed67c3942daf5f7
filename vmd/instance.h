/* SPDX-License-Identifier: ISC */
#ifndef VMD_INSTANCE_H
#define VMD_INSTANCE_H

#include "fail.h"
#include "vmconf.h"

/*
 * c becomes a whole VM: what it does not say is the parent's.  0, or negative
 * with *why filled; *c is of no use then.
 */
int
instance_merge(const struct vmconf *parent, struct vmconf *c, struct fail *why);

#endif
