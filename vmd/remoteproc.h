/* SPDX-License-Identifier: ISC */
#ifndef VMD_REMOTEPROC_H
#define VMD_REMOTEPROC_H

/*
 * Control from other hosts as seen from the parent: the sockets that are
 * listened on, the process "remote" that speaks TLS on them, and for each of
 * its clients, for a moment, a process "login".
 */
#include <sys/queue.h>
#include <sys/types.h>
#include "conf.h"

#define REMOTE_LOGINS_MAX 16 /* at a time */

struct event;
struct parent;

struct remote_socket {
	char addr[46];
	uint16_t port;
	int fd; /* -1: none */
};

struct remoteproc {
	pid_t pid;
	struct chan *chan;
	struct event *respawn;
	unsigned nsockets;
	struct remote_socket socket[CONF_LISTENS_MAX];
	unsigned nlogins;
	TAILQ_HEAD(logins, login_child) logins;
};

void remoteproc_init(struct parent *);
/* As p->conf says; what cannot be opened is logged, and not listened on. */
void remoteproc_configure(struct parent *);
void remoteproc_stop(struct parent *);
bool remoteproc_reaped(struct parent *, pid_t, int status);

#endif
