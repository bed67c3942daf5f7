/* SPDX-License-Identifier: ISC */
#ifndef VMD_LIFE_H
#define VMD_LIFE_H

/*
 * The lives of VMs: start, stop, restart, end.  Nothing here blocks: each
 * step is taken by an event, and every wait has a timer.
 */
#include "spares.h"
#include "start.h"
#include "vmreg.h"

struct cgroups;
struct event_base;
struct netproc;
struct netproc_ops;

struct life_ops {
	/* An answer to life_start(): the guest runs, or it does not. */
	void (*started)(void *arg, struct vm *);
	void (*failed)(void *arg, struct vm *, const struct fail *);
	/* A VM that ran has terminated; an ad-hoc one is freed afterwards. */
	void (*ended)(void *arg, struct vm *);
	/* A change of its medium is done, or not: errno. */
	void (*changed)(void *arg, struct vm *, uint32_t error);
	/* The answer to VM_SAVE; an error has a line. */
	void (*saved)(void *arg, struct vm *, const struct fail *);
	/* How far it is sent: a line. */
	void (*progress)(void *arg, struct vm *, const char *);
	/* It paused or goes on, as it was asked to. */
	void (*paused)(void *arg, struct vm *);
	/* Its state is not what it was. */
	void (*state)(void *arg, struct vm *);
	/* Its problem is not what it was. */
	void (*problem)(void *arg, struct vm *);
};

/* Time limits, milliseconds. */
struct life_limits {
	int start; /* spawned until the guest runs */
	int receive; /* the same of one that comes from another host */
	int press; /* power button until it is pressed again */
	int ack; /* power button until the guest reads it */
	int shutdown; /* ... until it is off */
	int term; /* SIGTERM until SIGKILL */
	int kill; /* vm process gone until SIGKILL for the devices */
	int quick; /* a restart sooner than this after the last counts */
};
extern const struct life_limits life_limits_dflt;

struct life {
	struct event_base *base;
	struct vmreg *reg;
	const struct life_ops *ops;
	void *arg;
	struct life_limits limits;
	char hypervisor[VM_PATH_MAX + 1]; /* "" = the usual devices */
	char unfit[256]; /* why the host cannot run VMs, or "" */
	const char *socket; /* which vmd of this host it is */
	bool ending; /* the daemon ends: nothing is started any more */
	struct spares spares;
	struct netproc *net; /* NULL: no VM has interfaces */
	struct cgroups *groups; /* NULL: none has a control group */
};

/* For netproc, with the struct life as its argument. */
extern const struct netproc_ops life_net_ops;

/*
 * 0: under way, ops->started or ops->failed follows.  Otherwise *why says
 * what is wrong and nothing has changed.  given: descriptors that a client
 * passed (taken in every case), NULL for none.
 */
int life_start(
    struct life *, struct vm *, struct start_fds *given, struct fail *why);
/* 0: asked to end, or ended already when it only waited. */
int life_stop(struct life *, struct vm *, bool force, struct fail *why);
/* The daemon ends: power button for all; again: no more patience. */
void life_end(struct life *, bool now);
/* Has any VM processes? */
bool life_idle(const struct life *);
/* A child was reaped.  False when it is none of ours. */
bool life_reaped(struct life *, pid_t, int status);
void life_verbose(struct life *, int verbose);
/* problem.c: what is wrong with it, for people; "": nothing any more. */
void life_problem(struct life *, struct vm *, const char *, ...)
    __attribute__((format(printf, 3, 4)));

#endif
