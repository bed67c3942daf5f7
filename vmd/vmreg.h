/* SPDX-License-Identifier: ISC */
#ifndef VMD_VMREG_H
#define VMD_VMREG_H

/*
 * The registry: every VM that the daemon knows, by id and by name.  A VM of
 * the same name and owner gets the same id for the life of the daemon.
 */
#include <sys/queue.h>
#include <stdbool.h>
#include "ctl.h"
#include "fail.h"
#include "chain.h"
#include "medium.h"
#include "net.h"
#include "tty.h"
#include "vionet.h"
#include "msg.h"
#include "vmconf.h"

#define VMREG_MAX 1024

struct cgroups;
struct chan;
struct event;
struct life;
struct vm;

enum vm_state {
	VM_STOPPED,
	VM_WAITING, /* to be started with the daemon, not yet */
	VM_STARTING, /* processes are there, the guest does not run yet */
	VM_RUNNING,
	VM_STOPPING, /* asked to end */
	VM_ENDING, /* its processes are going away */
};

/* One process of a VM. */
enum child_kind {
	CHILD_VM,
	CHILD_DISK,
	CHILD_NIC,
	CHILD_USER,
	CHILD_CDROM,
	CHILD_SEED,
};
struct child {
	struct vm *vm;
	enum child_kind kind;
	unsigned index; /* of the disk or interface */
	pid_t pid; /* 0: none, or reaped */
	int status; /* of waitpid(2), once reaped, or CHILD_UNKNOWN */
	struct chan *chan; /* NULL: closed */
	void *stats; /* struct devstat_page, of a device's process; of the
		      * vm process struct screen, or NULL */
	int stats_fd; /* the same; -1: none */
	/* One of an earlier parent's: */
	int pidfd; /* -1: our own child */
	struct event *watch; /* its end */
};

#define RUN_CHILDREN (1 + VM_DISKS_MAX + 2 * VM_NICS_MAX + 1)

enum run_end {
	RUN_CRASHED, /* nothing was said: the process was killed */
	RUN_OFF, /* the guest powered off */
	RUN_RESET,
	RUN_ERROR, /* what the vm process found wrong, in fail */
	RUN_RESETS, /* too many in too short a time; as RUN_ERROR */
};

/* The host's side of an interface: netproc.h. */
struct run_nic {
	uint32_t key; /* for netcfg; 0: nothing asked for */
	int queue[VIONET_PAIRS_MAX]; /* until passed on; -1 */
	bool ready; /* its process has its configuration */
	struct net_tap tap; /* as asked for; ifname once there is one */
	bool locked;
};

/* One life of a VM, from its processes' start to their end. */
struct vm_run {
	struct child vm;
	struct child disk[VM_BLKS_MAX];
	struct chain image[VM_DISKS_MAX]; /* see image_release() */
	struct child nic[VM_NICS_MAX];
	struct child user[VM_NICS_MAX]; /* passt, for user interfaces */
	struct child cdrom;
	struct child seed; /* ends when it has made the image */
	int seed_image; /* until then; -1 */
	bool seeded; /* then */
	struct run_nic net[VM_NICS_MAX];
	int group; /* of control, while it is started; -1 */
	bool ready; /* the guest ran */
	bool again; /* restart after a guest's reset */
	bool stopped; /* on request: no restart */
	bool forced; /* SIGTERM was sent */
	bool oom; /* a process was killed as memory ran out */
	bool acked; /* the guest saw the power button */
	bool paused; /* says the vm process */
	bool saving; /* VM_SAVED will follow */
	bool sending; /* the same, to another host */
	bool receiving; /* from there; until it runs */
	bool save_go_on;
	bool snapping; /* for a snapshot, see snapshot.h: */
	enum snap_what snap_what;
	char snap_tag[SNAP_TAG_MAX];
	bool reverting; /* until it runs */
	bool saved; /* and ends */
	bool suspending; /* saved as vmd ends, see suspend.h */
	bool resumed; /* from such a state, and does not run yet */
	bool pausing; /* it was asked for that, or for the opposite */
	bool adopted; /* from an earlier parent */
	uint64_t given; /* bytes of its memory that the guest gave up */
	uint32_t asked; /* ... and what it is: number of VM_ASK, 0: known */
	enum run_end end;
	struct fail fail;
};

struct vm {
	TAILQ_ENTRY(vm) entry;
	uint32_t id;
	struct vmconf conf;
	struct vmconf *next_conf; /* once it ended; NULL: as before */
	bool removed; /* from vm.conf: forgotten once it ended */
	enum vm_state state;
	struct tty tty[VM_TTYS];
	uint32_t unplugged; /* interfaces, a bit each; see link.h */
	uint64_t keep; /* bytes of memory, 0: all; see balloon.h */
	uid_t starter; /* (uid_t)-1: nobody but the daemon */
	char problem[128]; /* life_problem() */
	unsigned nproblems; /* told of since then, see events.c */
	int64_t problems_since; /* ms, CLOCK_MONOTONIC */
	struct vm_run run;
	struct event *timer; /* what for depends on state */
	uint32_t restarts; /* after resets by the guest, since its start */
	unsigned quick; /* restarts, each soon after the other */
	int64_t started; /* ms, CLOCK_MONOTONIC */
	int64_t patience; /* ... when a guest that was asked to end is ended */
	struct life *life;
	struct medium medium; /* in the drive, while there are processes */
	struct medium next; /* asked for, while changing */
	bool changing;
	bool deleting; /* a snapshot, while it is stopped: snapdel.h */
	int stream; /* from the sender, until it is taken; -1 */
	char ticket[33]; /* who knows it takes it */
};

struct vmreg_id;
struct vmreg {
	TAILQ_HEAD(vm_list, vm) vms;
	SLIST_HEAD(vmreg_ids, vmreg_id) ids;
	unsigned n;
	uint32_t next_id;
	bool renumber; /* when there is no VM left */
};

void vmreg_init(struct vmreg *);
void vmreg_clear(struct vmreg *);
/* The VM of this name and owner has this id, as it had with an earlier
 * parent.  Before it is added.  0, -EEXIST or -ENOMEM. */
int vmreg_set_id(struct vmreg *, uint32_t id, uid_t, const char *name);
/* 0, -EEXIST (the name), -ENOSPC, -ENOMEM. */
int vmreg_add(struct vmreg *, const struct vmconf *, struct vm **);
/* Ids begin at 1 again, once there is no VM, unless one is added before. */
void vmreg_renumber(struct vmreg *);
/* The VM must be stopped or waiting. */
void vmreg_remove(struct vmreg *, struct vm *);
/*
 * A VM that runs is another one once it ended, its chosen addresses and its
 * number excepted.  0 or -ENOMEM.
 */
int vmreg_change(struct vm *, const struct vmconf *);
/* It ended: be that one. */
void vmreg_renew(struct vm *);
struct vm *vmreg_by_name(const struct vmreg *, const char *);
/* By id when it is not 0, else by name; NULL when there is none. */
struct vm *vmreg_find(const struct vmreg *, const struct ctl_target *);

/* All processes of a run, in no order: for (i = 0; (ch = run_child(r, i)) !=
 * NULL; i++) */
struct child *run_child(struct vm_run *, unsigned i);

/* As users know it: "vioblk0". */
void child_name(const struct child *, char *buf, size_t len);

bool vm_active(const struct vm *); /* has or is about to have processes */
enum ctl_state vm_ctl_state(const struct vm *);
/* The row of a LIST. */
void vm_describe(const struct vm *, const struct cgroups *, struct ctl_vm *);

#endif
