/* SPDX-License-Identifier: ISC */
#ifndef VMD_SNAPDEL_H
#define VMD_SNAPDEL_H

/*
 * Snapshots of VMs that are stopped are deleted, as the parent sees it: what
 * images hold is for a process "snap", for a moment, to read; the state's file
 * goes when that is done.
 */
#include <sys/queue.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "fail.h"

struct parent;
struct vm;

#define SNAPDEL_MAX 16 /* at a time */

struct snapdels {
	TAILQ_HEAD(snapdel_list, snapdel) list;
	unsigned n;
};

void snapdel_init(struct parent *);
/*
 * The VM has no processes.  0: the client is answered, now or later;
 * otherwise *why, and nothing has changed.
 */
int snapdel_begin(struct parent *, uint32_t client, struct vm *,
    const char *tag, struct fail *why);
bool snapdel_reaped(struct parent *, pid_t, int status);
bool snapdel_idle(const struct parent *);
/*
 * Nobody waits for them any more: the processes come to their ends, and leave
 * the states' files.
 */
void snapdel_forget(struct parent *);

#endif
