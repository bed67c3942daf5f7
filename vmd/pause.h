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
/*
 * The vm process says that it is another way now: as it was asked, or running
 * again because it is to stop.  *asked: somebody waits for that.  0, or -EPROTO
 * for anything else that it says.
 */
int pause_told(struct vm *, bool on, bool *asked);

/*
 * The vm process wants the images of its disks locked or not, as its guest is
 * sent or received; it is told.  0 or -errno of its channel.
 */
int pause_locked(struct vm *, bool on);

#endif
