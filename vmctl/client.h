/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_CLIENT_H
#define VMCTL_CLIENT_H

/*
 * The connection to vmd.  Functions that fail have said so in one line on
 * stderr, and return NULL or -errno.
 */
#include <stddef.h>
#include <stdint.h>

#include "ctl.h"
#include "screen.h"

struct client;
struct cmd_env;
struct ibuf;
struct target;

#define CLIENT_TEXT_MAX 8192 /* longest text of an answer, with its NUL */
#define CLIENT_VMS_MAX	65536 /* longest list */
#define CLIENT_PROMPT	30000 /* ms within which vmd answers simple requests */
#define CLIENT_FOREVER	(-1)

enum client_kind {
	CLIENT_OK,
	CLIENT_FAIL,
	CLIENT_VM,
	CLIENT_ENDED,
	CLIENT_LINE,
	CLIENT_EVENT,
	CLIENT_CELLS,
	CLIENT_KEPT,
};

/* Every string in it is safe to print. */
struct client_answer {
	enum client_kind kind;
	uint32_t id; /* OK, ENDED */
	uint32_t code; /* FAIL: errno or CTL_E_* */
	char text[CLIENT_TEXT_MAX]; /* OK, FAIL, LINE; ENDED: the VM's name */
	struct ctl_vm vm; /* VM */
	struct ctl_event event; /* EVENT */
	struct screen screen; /* CELLS */
	struct ctl_kept kept; /* KEPT */
};

/* To the socket that env names; what goes wrong from here on, a FAIL among
 * the answers included, is told to it by cmd_why(). */
struct client *client_open(const struct cmd_env *env);
/* Once somebody listens there, within so many seconds. */
struct client *client_await(const struct cmd_env *env, unsigned seconds);
void client_close(struct client *);
/* body (may be NULL) and fd (may be -1) are consumed. */
int client_send(struct client *, enum ctl_type, int fd, struct ibuf *body);
/* A request whose body is a VM and, unless extra is NULL, a number. */
int client_send_target(struct client *, enum ctl_type, const struct target *,
    const uint32_t *extra);
int client_next(struct client *, struct client_answer *, int timeout_ms);
/* All VMs, by a connection of its own; to be freed by the caller. */
int client_list(const struct cmd_env *, struct ctl_vm **, size_t *);
/* Why a request failed: vmd's own words or those of its code. */
const char *client_reason(const struct client_answer *);

#endif
