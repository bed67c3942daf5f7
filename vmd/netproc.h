/* SPDX-License-Identifier: ISC */
#ifndef VMD_NETPROC_H
#define VMD_NETPROC_H

/*
 * The netcfg process as seen from the parent: what the configuration says
 * about networks, one request per interface of a starting VM, and a new
 * process when it dies.  Running VMs go on without it.
 */
#include <stdbool.h>
#include <sys/types.h>
#include "conf.h"
#include "vmreg.h"

struct event;
struct event_base;
struct keep;

struct netproc_ops {
	/* The interface that was asked for is there, or will not be. */
	void (*up)(
	    void *arg, struct vm *, unsigned nic, const struct net_result *);
	void (*failed)(
	    void *arg, struct vm *, unsigned nic, const struct fail *);
};

struct netproc {
	struct event_base *base;
	struct vmreg *reg;
	const struct conf *conf; /* NULL: none yet */
	const struct netproc_ops *ops;
	void *arg;
	struct keep *keep; /* or NULL */
	pid_t pid;
	struct chan *chan;
	struct event *respawn;
	uint32_t last_key;
	bool ending;
	bool forwarding_checked;
	bool have_prefix6;
	uint8_t prefix6[16]; /* random, as long as there are guests */
};

int netproc_start(struct netproc *);
/* No new process from here on; the one that is there cleans up and ends. */
void netproc_stop(struct netproc *);
bool netproc_reaped(struct netproc *, pid_t, int status);
/* conf lives until the next call. */
void netproc_configure(struct netproc *, const struct conf *);

/*
 * Ask for the interface, whose queues are open in vm->run.net.  An answer
 * follows by ops, unless the VM ends first.  0, or negative with why.
 */
int
netproc_request(struct netproc *, struct vm *, unsigned nic, struct fail *why);
/* The VM's run is over, or the queues go for another reason. */
void netproc_forget(struct netproc *, struct vm *, unsigned nic);

#endif
