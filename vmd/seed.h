/* SPDX-License-Identifier: ISC */
#ifndef VMD_SEED_H
#define VMD_SEED_H

/*
 * The seed disk, which tells cloud-init in the guest who it is and what to do,
 * as the parent sees it: files that it opens and does not read, an image that
 * another process writes, once, for each start.
 */
#include "chan.h"
#include "fail.h"
#include "msg.h"
#include "vmreg.h"

struct event_base;

/* Its word in vm.conf. */
const char *seed_file_name(enum seed_file);
/* Opens what the configuration names; 0, or negative with *why filled. */
int seed_open(int fd[SEED_FILES], const struct vmconf *, struct fail *why);
/* Starts the process NAME/seed0 and passes it everything.  The same. */
int seed_begin(struct event_base *, struct vm *, int fd[SEED_FILES],
    const struct chan_ops *, struct fail *why);
/* It is done: the image, which nobody can change any more. */
int seed_take(struct vm *, int *fd, struct fail *why);

#endif
