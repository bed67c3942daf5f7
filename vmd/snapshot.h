/* SPDX-License-Identifier: ISC */
#ifndef VMD_SNAPSHOT_H
#define VMD_SNAPSHOT_H

/*
 * Snapshots of VMs, as the parent sees them: the vm process has the disks'
 * made and writes the state, into a file beside those of suspend.h.
 *
 * The file is VM,TAG.new while it is written, and VM,TAG.snapshot when the
 * disks have the snapshot too.  A name has no comma.  A crash may leave a
 * disk's snapshot without a file, or a file without it: either can be deleted
 * like others.  What was only half written is swept away.
 */
#include "ctl.h"
#include "fail.h"
#include "msg.h"

struct life;
struct vm;

/* May a snapshot have that name?  0 or -errno. */
int snapshot_name(const char *tag, struct fail *why);
/* The VM, which runs, is asked for it; life_ops.saved is called.  0 or
 * -errno. */
int
snapshot_ask(struct vm *, enum snap_what, const char *tag, struct fail *why);
/* What came of that, which this may change. */
void snapshot_done(struct vm *, struct fail *);
/* The disks of the VM have it no more; ENOENT: or never had.  Nor has it a
 * state now; *f is what is to be said. */
void snapshot_deleted(
    const struct life *, const char *vm, const char *tag, struct fail *f);
/* No state of that VM is being written: what an earlier vmd left of one. */
void snapshot_sweep(const struct life *, const char *vm);
/* The state, to be read; 0 or -errno. */
int snapshot_open(const struct life *, const struct vm *, const char *tag,
    int *fd, struct fail *why);
/* Calls each() for those that there are, in no order; 0, -errno, or what it
 * returned if that was not 0. */
int snapshot_list(const struct life *, const struct vm *,
    int (*each)(void *, const struct ctl_kept *), void *arg);

#endif
