/* SPDX-License-Identifier: ISC */
#ifndef VMD_PAUSE_H
#define VMD_PAUSE_H

/*
 * A VM that stands still: its vm process parks the vCPUs and stops the
 * guest's clocks.  The parent's side.
 */
#include <stdbool.h>
#include "fail.h"
#include "vmreg.h"

/* 0: the vm process was asked; pause_told() follows, or the VM's end. */
int pause_ask(struct vm *, bool on, struct fail *why);
/* The vm process says how it is; true when somebody waits for that. */
bool pause_told(struct vm *, bool on);

#endif
