/* SPDX-License-Identifier: ISC */
#ifndef VMD_MEDIUM_H
#define VMD_MEDIUM_H

/*
 * What is in a VM's CD-ROM drive.  The parent keeps the descriptor, so that a
 * medium outlives a guest's reset; the drive's process has a copy.
 */
#include <stdbool.h>
#include <stdint.h>
#include "fail.h"

struct vm;

struct medium {
	int fd; /* locked; -1: none */
	uint64_t bytes;
};

void medium_init(struct medium *);
void medium_close(struct medium *);
/* Opens what vm.conf names.  0 or negative. */
int medium_open(struct medium *, const char *path, struct fail *why);
/*
 * Asks the drive of a VM that runs to take what a client opened (taken in
 * every case; -1: nothing).  0: medium_done() will tell, or negative.
 */
int medium_change(struct vm *, int fd, bool force, struct fail *why);
/* The drive's process said so, or there is none any more; error: errno.
 * False when nobody waits for it. */
bool medium_done(struct vm *, uint32_t error);
/* To a new process: what is there.  0 or -errno. */
int medium_send(struct vm *);

#endif
