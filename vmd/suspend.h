/* SPDX-License-Identifier: ISC */
#ifndef VMD_SUSPEND_H
#define VMD_SUSPEND_H

/*
 * VMs that are saved when vmd ends, and go on when it is there again: "on
 * shutdown save" of vm.conf.  Their states are in files of root's alone, one
 * for each VM, in a directory for each socket that a vmd listens at.
 *
 * A state is used once: disks are not what they were when the guest ran.  Its
 * file is NAME.new while it is written, NAME.state when that is complete, and
 * NAME.used from before the start that uses it; that start takes it away when
 * the guest runs, and makes it NAME.state again when the guest never did.
 */
#include <stdbool.h>
#include <stdint.h>

#include "fail.h"

struct life;
struct vm;

/* It runs, and nothing of this kind is under way.  0 or -errno. */
int suspend_may(const struct vm *, struct fail *why);
/* The VM is asked to write its state to fd, which is taken, as flags of
 * CTL_SAVE_GO_ON and its like say.  life_ops.saved is called.  0 or -errno. */
int suspend_ask(struct vm *, uint32_t flags, int fd, struct fail *why);

/* vmd ends: save the VM.  0, or -errno and a line in the log: stop it. */
int suspend_begin(struct vm *);
/* What came of it: 0, or -errno as above. */
int suspend_done(struct vm *, bool saved);
/* There is a state of that VM. */
bool suspend_there(const struct life *, const char *name);
/* A VM starts, from the state in *fd or -1: then its own is there, if it has
 * one.  One that has its own goes on from no other.  0 or -errno. */
int suspend_take(struct vm *, int *fd, struct fail *why);
/* It runs, or never did. */
void suspend_taken(struct vm *, bool runs);

#endif
