/* SPDX-License-Identifier: ISC */
#ifndef VMD_LIFE_IMPL_H
#define VMD_LIFE_IMPL_H

/* Between life.c and adopt.c. */
#include "life.h"

/* The VM gets its timer.  0 or -ENOMEM. */
int life_own(struct life *, struct vm *);
/* Of the channel to such a process, whose argument is the struct child. */
const struct chan_ops *life_chan_ops(enum child_kind);
/* A process ended.  May free the VM. */
void life_child_gone(struct child *, int status);

#endif
