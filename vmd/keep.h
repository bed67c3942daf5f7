/* SPDX-License-Identifier: ISC */
#ifndef VMD_KEEP_H
#define VMD_KEEP_H

/*
 * The keeper (keeper.c) as seen from the parent: what is put there survives
 * this process.  When the keeper dies another one gets all of it again.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "fail.h"

struct cgroups;
struct chan;
struct event;
struct event_base;
struct ibuf;
struct netproc;
struct vm;
struct vmreg;

struct keep {
	struct event_base *base;
	struct vmreg *reg;
	struct netproc *net;
	struct cgroups *groups; /* NULL: there are none */
	struct chan *chan; /* NULL: none */
	pid_t pid; /* 0: none, or an earlier parent's child */
	pid_t process; /* the same, or who was noted, as the caller tells us */
	struct event *respawn;
	struct keep_reading *reading; /* while keep_open() does */
	uint32_t next_id; /* of reg, when ids were put */
	bool ending;
	char path[108]; /* where it listens for our successor; "": nowhere */
};

/* What was kept.  The functions return 0 or -errno. */
struct keep_ops {
	int (*note)(void *arg, uint32_t vm, uint32_t what, struct ibuf *);
	/* Takes fd. */
	int (*fd)(
	    void *arg, uint32_t vm, uint32_t what, uint32_t index, int fd);
};

/*
 * Is there a keeper of an earlier parent on this control socket?  Then reads
 * all that it has.  The listener's lock is held.  0, or negative with why.
 */
int keep_open(struct keep *, const char *sock, const struct keep_ops *,
    void *arg, struct fail *why);
/* From here on there is one, as far as it is in our power. */
void keep_start(struct keep *);
bool keep_reaped(struct keep *, pid_t, int status);
/* Is everything there? */
bool keep_ready(const struct keep *);
/* The daemon ends and its guests have: so does the keeper. */
void keep_end(struct keep *);
/* The daemon ends, its guests do not. */
void keep_leave(struct keep *);

/* All VMs' ids: there are more, or other ones. */
void keep_ids(struct keep *);
/* The VM's state is another one: what is kept of it follows. */
void keep_state(struct keep *, const struct vm *);
/* What is noted of it, if it runs, has changed. */
void keep_note(struct keep *, const struct vm *);
/* What is in its drive has changed. */
void keep_medium(struct keep *, const struct vm *);
/* Nothing of this VM is to be found any more. */
void keep_drop(struct keep *, uint32_t vm);
/* There is a new netcfg process. */
void keep_netcfg(struct keep *);

#endif
