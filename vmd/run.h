/* SPDX-License-Identifier: ISC */
#ifndef VMD_RUN_H
#define VMD_RUN_H

/*
 * The processes of a VM, whoever made them: children of this parent, or of an
 * earlier one, which are known by a pidfd and whose status nobody learns.
 */
#include <stddef.h>
#include <event2/event.h>
#include "vmreg.h"

#define CHILD_UNKNOWN (-1) /* a status: it ended, no more is known */

/* Closes the channel; the process sees the end of it. */
void child_close(struct child *);
void child_kill(const struct child *, int sig);
/* How it ended, for people. */
void child_status(const struct child *, char *buf, size_t len);
/* The end of one of an earlier parent's is an event.  0 or -ENOMEM. */
int child_watch(struct child *, struct event_base *, event_callback_fn);
/* It ended: no event any more. */
void child_unwatch(struct child *);
/* What is left of a run whose processes are gone. */
void run_clear(struct vm_run *);

#endif
