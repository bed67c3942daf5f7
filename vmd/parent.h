/* SPDX-License-Identifier: ISC */
#ifndef VMD_PARENT_H
#define VMD_PARENT_H

/*
 * The parent process: holds the configuration, the registry of VMs and the
 * channels of all children; does for others what needs root.
 */
#include <sys/queue.h>
#include "answer.h"
#include "cgroup.h"
#include "clients.h"
#include "conf.h"
#include "keep.h"
#include "life.h"
#include "listen.h"
#include "netproc.h"
#include "remoteproc.h"
#include "snapdel.h"
#include "vmreg.h"

struct adopt;
struct changes;
struct event;
struct event_base;

struct options {
	const char *file; /* vm.conf */
	bool file_given;
	const char *device; /* -k, or NULL */
	const char *socket;
	bool foreground;
	bool check; /* -n */
	bool probe; /* -c */
	int verbose;
	struct macros macros; /* -D */
};

/* The control process as seen from the parent. */
struct control {
	pid_t pid;
	struct chan *chan;
	struct event *respawn;
};

struct parent {
	const struct options *opts;
	struct event_base *base;
	struct conf *conf;
	struct vmreg reg;
	struct life life;
	struct listener listener;
	struct control control;
	struct netproc net;
	struct remoteproc remote;
	struct snapdels snapdels;
	struct keep keep;
	struct adopt *adopt; /* until they are */
	struct cgroups groups;
	struct clients clients;
	TAILQ_HEAD(waits, wait) waits;
	struct event *boot; /* staggered start */
	struct event *endtimer;
	unsigned netticks;
	struct event *sig[5];
	bool ending;
	bool leaving; /* guests stay, for the next parent */
};

/* parent.c; the exit status. */
int parent_run(const struct options *);
/* -c: the host check on standard output; the exit status. */
int parent_check_host(const struct options *);

/* reload.c: read vm.conf, put what is new into the registry. */
int reload_first(struct parent *);
/* What changes is logged and, unless NULL, told. */
int reload_again(struct parent *, const struct changes *, struct fail *why);
/*
 * Another file, for what is not there yet: as if it were at the end of
 * vm.conf, until that is read again.
 */
int reload_more(struct parent *, const char *path, const struct changes *,
    struct fail *why);
/* The one VM that a file declares, of which nothing else is kept. */
int reload_single(
    struct parent *, const char *path, struct vmconf *, struct fail *why);
/* No VM any more or no switch, until then; VMs that run are ended.  0 or
 * -errno. */
int reload_reset(struct parent *, uint32_t what); /* CTL_RESET_* */
/* Start the VMs that wait for it, a few at a time. */
void reload_boot(struct parent *);

/* ctlproc.c: the control process. */
int ctlproc_start(struct parent *);
void ctlproc_stop(struct parent *);
/* struct chan_ops.closed of its channel. */
void ctlproc_closed(void *arg, const char *why);
bool ctlproc_reaped(struct parent *, pid_t, int status);

/* requests.c: what clients ask for; answer.c: the answers. */
extern const struct chan_ops requests_ops;
extern const struct life_ops answer_life_ops;
/* All clients are gone. */
void requests_forget(struct parent *);

/* hostcheck.c: the probe. */
struct hostcheck {
	bool done;
	bool fit;
	char text[8192];
};
/* Runs the probe on this device; 0, or negative with *why. */
int hostcheck_run(const char *path, struct hostcheck *, struct fail *why);

#endif
