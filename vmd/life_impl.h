/* SPDX-License-Identifier: ISC */
#ifndef VMD_LIFE_IMPL_H
#define VMD_LIFE_IMPL_H

/* Between life.c, life_msg.c and adopt.c. */
#include "life.h"

/* The VM gets its timer.  0 or -ENOMEM. */
int life_own(struct life *, struct vm *);
/* Of the channel to such a process, whose argument is the struct child. */
const struct chan_ops *life_chan_ops(enum child_kind);
/* A process ended.  May free the VM. */
void life_child_gone(struct child *, int status);

/* States of a VM, its timer in ms, its patience; see life.c. */
int64_t life_now(void);
void life_arm(struct vm *, int ms);
void life_arm_stopping(struct vm *);
void life_set_state(struct vm *, enum vm_state);
/* Its end begins, for this reason. */
void life_kill_because(struct vm *, int code, const char *, ...)
    __attribute__((format(printf, 3, 4)));
/* The vm process exits now; give it as long as its devices get. */
void life_expect_exit(struct vm *);
/* Is everything of it gone?  May free the VM. */
void life_check_gone(struct vm *);
/* One of its devices has ended or closed its channel. */
void life_device_gone(struct child *);
/* Who asked for another medium is told. */
void life_medium_changed(struct vm *, uint32_t error);

#endif
