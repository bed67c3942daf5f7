/* SPDX-License-Identifier: ISC */
#ifndef VMD_INSTANCE_H
#define VMD_INSTANCE_H

#include <stddef.h>
#include <stdint.h>

#include "fail.h"
#include "vmconf.h"

/* What an instance may be allowed beside an owner: the i-th and its keyword;
 * NULL behind the last. */
const char *instance_item(size_t i, uint32_t *item);

/*
 * c becomes a whole VM: what it does not say is the parent's.  0, or negative
 * with *why filled; *c is of no use then.
 */
int
instance_merge(const struct vmconf *parent, struct vmconf *c, struct fail *why);

#endif
