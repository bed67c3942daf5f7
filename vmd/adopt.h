/* SPDX-License-Identifier: ISC */
#ifndef VMD_ADOPT_H
#define VMD_ADOPT_H

/*
 * What an earlier parent left with the keeper: its VMs, which still run, and
 * what it knew.
 */
#include <sys/types.h>

#include "fail.h"

struct adopt;
struct parent;

/*
 * In this order, the first before vm.conf is read: finds and checks; NULL,
 * with why, when there are guests that cannot be adopted and must not be
 * touched.
 */
struct adopt *adopt_find(struct parent *, struct fail *why);
/* VMs that do not run are as they were: stopped, or waiting to be started. */
void adopt_stopped(struct adopt *, struct parent *);
/* Once there are events: they go on with us.  Frees it. */
void adopt_running(struct adopt *, struct parent *);
/*
 * The keeper's word for its own number is not enough to move a process to
 * another control group: it has to be a process of the user whose the keeper
 * is.  The number, or 0.
 */
pid_t adopt_keeper(pid_t claimed, uid_t);

#endif
