/* SPDX-License-Identifier: ISC */
#ifndef VMD_START_H
#define VMD_START_H

/*
 * What a VM needs to start: files opened, processes made, their
 * configuration sent.  All or nothing.
 */
#include "asuser.h"
#include "chain.h"
#include "chan.h"
#include "msg.h"
#include "vmreg.h"

struct event_base;
struct netproc;

/* What is booted without a kernel: Debian's package seabios. */
#define START_FIRMWARE "/usr/share/seabios/bios-256k.bin"

struct start_fds {
	int hypervisor, kernel, initrd, floppy, vgabios; /* -1: none */
	int netrom;
	int efivars; /* -1: none */
	int state; /* to go on from; -1: a start */
	int faults; /* UFFD_DEVICE, to do so page by page; -1: none */
	bool stream; /* it comes from another host */
	char revert[SNAP_TAG_MAX]; /* first, to this snapshot; "": none */
	struct chain disk[VM_DISKS_MAX];
	int seed[SEED_FILES]; /* enum seed_file */
};

/* Has the VM something that firmware could boot? */
bool start_boots(const struct vmconf *);

void start_fds_init(struct start_fds *);
void start_fds_close(struct start_fds *);

/*
 * Until asuser_end() rights are those of whoever described the VM, unless it
 * has this flag (VM_F_CONF_*, or 0).  0, or negative with *why filled.
 */
int start_as_owner(
    struct asuser *, const struct vmconf *, uint32_t conf, struct fail *why);
/*
 * Opens what conf names and *fds does not hold yet.  0, or negative with
 * *why filled; the caller closes *fds in both cases.
 */
int start_open(struct start_fds *, const struct vmconf *,
    const char *hypervisor, struct fail *why);
/*
 * Opens the hypervisor's device: path, or the usual ones when it is "".
 * *name is the one that was tried last.
 */
int start_hypervisor(
    const char *path, int *fd, const char **name, struct fail *why);
/* One process with its channel, namespaces included.  0 or negative. */
int start_child(struct event_base *, struct child *, const char *role,
    const char *title, const char *tag, const struct chan_ops *,
    struct fail *why);
/*
 * Makes the processes of vm->run and sends them everything; consumes the
 * descriptors in fds that it passed on.  On failure what was made is still
 * in vm->run for the caller to end.
 */
struct start_ops {
	/* of their channels */
	const struct chan_ops *vm, *disk, *nic, *user, *cdrom, *seed;
	struct netproc *net; /* makes the taps; may be NULL without any */
};
int start_spawn(struct event_base *, struct vm *, struct start_fds *,
    const struct start_ops *, struct fail *why);
/* An interface is there: its process gets it.  The last one makes the VM go.
 * 0 or negative. */
int start_nic(
    struct vm *, unsigned nic, const struct net_result *, struct fail *why);

/* The image of the seed disk is there: its vioblk gets it. */
int start_seed(struct vm *, struct fail *why);

/* The same for a user interface, whose passt runs. */
int start_user_nic(struct vm *, unsigned nic, struct fail *why);

#endif
